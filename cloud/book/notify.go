package book

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shedguard/shedguard"
)

// NoticeKind is why a person is told of an alarm.
type NoticeKind string

// The kinds of notices and of deliveries.
const (
	NoticeRaised    NoticeKind = "raised"    // the first word of an alarm
	NoticeEscalated NoticeKind = "escalated" // the first word, because nobody before has answered
	NoticeReminder  NoticeKind = "reminder"  // nobody has answered yet
	NoticeWorse     NoticeKind = "worse"     // the alarm is more severe than what was told
	NoticeCleared   NoticeKind = "cleared"   // the alarm is over
	NoticeSeen      NoticeKind = "seen"      // nobody is told: the alarm was acknowledged, or has no route, at this severity
	NoticeSummary   NoticeKind = "summary"   // of a delivery: several notices in one message
	NoticeTest      NoticeKind = "test"      // of a delivery: a person pressed the test button
)

// Notice is that one person is told one thing about one alarm. Alarm, person,
// kind and round together are its identity: it is made once.
type Notice struct {
	AlarmID  string             `json:"alarm_id"`
	Person   string             `json:"person" doc:"empty for the kind seen"`
	Kind     NoticeKind         `json:"kind" enum:"raised,escalated,reminder,worse,cleared,seen"`
	Round    int                `json:"round" doc:"counts reminders; the severity for the kinds worse and seen"`
	Severity shedguard.Severity `json:"severity" doc:"of the alarm when the notice was made"`
	At       time.Time          `json:"at" doc:"when it was made"`
	Shed     string             `json:"shed"`
	Subject  string             `json:"subject"`
	Cause    shedguard.Cause    `json:"cause"`

	Delivery int64         `json:"-"` // 0 for the kind seen
	State    DeliveryState `json:"-"` // of its delivery
	Sent     time.Time     `json:"-"` // when its delivery was done
	SaidOver bool          `json:"-"` // its message said that the alarm is over
	Settled  bool          `json:"-"` // nothing more is to be told of the alarm
	Grouped  bool          `json:"-"` // its delivery is a summary
}

// DeliveryState is what became of a delivery.
type DeliveryState string

// The delivery states.
const (
	DeliveryPending   DeliveryState = "pending"
	DeliverySent      DeliveryState = "sent"
	DeliveryFailed    DeliveryState = "failed"    // given up
	DeliveryWithdrawn DeliveryState = "withdrawn" // not wanted any more before it was sent
)

// Delivery is one message to one person.
type Delivery struct {
	Num       int64         `json:"num"` // given by the book
	ID        string        `json:"id" doc:"ULID; receivers of the webhook de-duplicate by it"`
	Person    string        `json:"person"`
	Kind      NoticeKind    `json:"kind" enum:"raised,escalated,reminder,worse,cleared,summary,test"`
	CreatedAt time.Time     `json:"created_at"`
	State     DeliveryState `json:"state" enum:"pending,sent,failed,withdrawn"`
	Reason    string        `json:"reason" doc:"why it failed or was withdrawn"`
	Channel   string        `json:"channel" doc:"that took it, or is tried next"`
	Refused   []string      `json:"refused" doc:"channels that will never take it"`
	Attempts  int           `json:"attempts"`
	NextAt    time.Time     `json:"next_at" doc:"of the next attempt while it is pending"`
	DoneAt    time.Time     `json:"done_at" doc:"when it was sent, given up or withdrawn"`
	SaidOver  []string      `json:"-"` // alarms that the message, as sent, said to be over
	Notices   []Notice      `json:"notices"`
	Log       []Attempt     `json:"log" doc:"every attempt, oldest first"`
}

// The results of an attempt.
const (
	AttemptBegun  = "begun" // no result was noted: the program ended in between
	AttemptSent   = "sent"
	AttemptFailed = "failed"
)

// Attempt is one try to send a delivery over one channel.
type Attempt struct {
	Num      int64     `json:"num"`
	Delivery int64     `json:"-"`
	At       time.Time `json:"at"`
	Channel  string    `json:"channel"`
	Result   string    `json:"result" enum:"begun,sent,failed" doc:"begun: the program ended before a result was noted"`
	Error    string    `json:"error"`
	TookMS   int64     `json:"took_ms"`
}

// NotifyState is all that deciding about notices needs.
type NotifyState struct {
	Since   time.Time // alarms that were over before are not told
	Alarms  []Alarm   // open, or over and not settled, or over and severe and never told
	Places  map[string]string
	Notices []Notice   // of unsettled alarms, and all made after a given time
	Pending []Delivery // without notices and log
}

// NotifyChange is what a decision about notices writes, all or nothing.
type NotifyChange struct {
	At         time.Time
	Deliveries []Delivery // new ones with their notices; num is given by the book
	Seen       []Notice   // without a delivery
	Withdraw   map[int64]string
	Settle     []string // alarm ids
}

// DeliveryQuery picks deliveries, newest first.
type DeliveryQuery struct {
	Alarm  string // empty: of every alarm
	Person string // empty: to everybody
	Cursor string // next of the page before
	Limit  int    // 1 to MaxPage; 0: DefaultPage
}

// severeWindow is how long after its receipt a severe alarm that came and went
// unseen is still told.
const severeWindow = 24 * time.Hour

// NotifyState reads, at one moment, what deciding about notices needs. Notices
// of settled alarms are there when they were made after recent. The first call
// ever fixes Since at now.
func (b *Book) NotifyState(ctx context.Context, recent, now time.Time) (NotifyState, error) {
	s := NotifyState{Places: map[string]string{}}
	var since int64
	err := b.read.QueryRowContext(ctx, "SELECT at FROM notify_since").Scan(&since)
	if errors.Is(err, sql.ErrNoRows) {
		since = millis(now)
		_, err = b.write.ExecContext(ctx, "INSERT INTO notify_since (one, at) VALUES (1, ?) ON CONFLICT DO NOTHING", since)
	}
	if err != nil {
		return s, fmt.Errorf("notify state: %w", err)
	}
	s.Since = instant(since)
	tx, err := b.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s, fmt.Errorf("notify state: %w", err)
	}
	err = s.load(ctx, tx, recent, now)
	if err := errors.Join(err, tx.Rollback()); err != nil {
		return s, fmt.Errorf("notify state: %w", err)
	}
	return s, nil
}

func (s *NotifyState) load(ctx context.Context, tx *sql.Tx, recent, now time.Time) error {
	severe := now.Add(-severeWindow)
	if s.Since.After(severe) {
		severe = s.Since
	}
	err := each(ctx, tx, func(scan func(...any) error) error {
		l, err := scanLife(scan)
		s.Alarms = append(s.Alarms, l.view())
		return err
	}, alarmQuery(`WHERE cleared = 0
		OR alarm_id IN (SELECT alarm_id FROM notify_notices WHERE settled = 0)
		OR severity IN (1, 2) AND ack_by = '' AND received_at >= ? AND NOT EXISTS (SELECT 1 FROM notify_notices n WHERE n.alarm_id = alarms.alarm_id)
		ORDER BY num`), millis(severe))
	if err != nil {
		return err
	}
	err = each(ctx, tx, func(scan func(...any) error) error {
		var shed, place string
		err := scan(&shed, &place)
		s.Places[shed] = place
		return err
	}, "SELECT shed, place FROM sheds")
	if err != nil {
		return err
	}
	err = each(ctx, tx, func(scan func(...any) error) error {
		n, err := scanNotice(scan)
		s.Notices = append(s.Notices, n)
		return err
	}, noticeQuery+"WHERE n.settled = 0 OR n.at >= ? ORDER BY n.at, n.alarm_id, n.person, n.round", millis(recent))
	if err != nil {
		return err
	}
	return each(ctx, tx, func(scan func(...any) error) error {
		d, err := scanDelivery(scan)
		s.Pending = append(s.Pending, d)
		return err
	}, deliveryQuery+"WHERE state = 'pending' ORDER BY num")
}

// each runs f on every row of a query.
func each(ctx context.Context, q querier, f func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
	return errors.Join(rows.Err(), rows.Close())
}

const noticeQuery = `SELECT n.alarm_id, n.person, n.kind, n.round, n.severity, n.at, n.shed, n.subject, n.cause, n.settled,
	coalesce(d.num, 0), coalesce(d.state, ''), coalesce(d.done_at, 0), n.said_over, coalesce(d.kind, '') = 'summary'
	FROM notify_notices n LEFT JOIN notify_deliveries d ON d.num = n.delivery `

func scanNotice(scan func(...any) error) (n Notice, err error) {
	var at, done int64
	err = scan(&n.AlarmID, &n.Person, &n.Kind, &n.Round, &n.Severity, &at, &n.Shed, &n.Subject, &n.Cause, &n.Settled,
		&n.Delivery, &n.State, &done, &n.SaidOver, &n.Grouped)
	n.At = instant(at)
	if n.State == DeliverySent || n.State == DeliveryFailed {
		n.Sent = instant(done)
	}
	return n, err
}

const deliveryQuery = `SELECT num, id, person, kind, created_at, state, reason, channel, refused, attempts, next_at, done_at
	FROM notify_deliveries `

func scanDelivery(scan func(...any) error) (d Delivery, err error) {
	var created, next, done int64
	var refused []byte
	if err := scan(&d.Num, &d.ID, &d.Person, &d.Kind, &created, &d.State, &d.Reason, &d.Channel, &refused, &d.Attempts, &next, &done); err != nil {
		return d, err
	}
	d.CreatedAt, d.NextAt, d.DoneAt = instant(created), instant(next), instant(done)
	d.Notices, d.Log = []Notice{}, []Attempt{}
	if err := json.Unmarshal(refused, &d.Refused); err != nil {
		return d, fmt.Errorf("refused channels of delivery %d: %w", d.Num, err)
	}
	return d, nil
}

// PutNotify writes a decision about notices. A notice that was made before is
// left out, and a delivery without notices left is not made, so that the same
// decision may be written again. A test has no notices and is always made.
func (b *Book) PutNotify(ctx context.Context, c NotifyChange) (made []Delivery, err error) {
	err = b.tx(ctx, func(tx *sql.Tx) error {
		made = nil
		for _, d := range c.Deliveries {
			d, err := putDelivery(ctx, tx, d)
			if err != nil {
				return fmt.Errorf("delivery to %s: %w", d.Person, err)
			}
			if d.Num != 0 {
				made = append(made, d)
			}
		}
		for _, n := range c.Seen {
			if _, err := putNotice(ctx, tx, n, nil); err != nil {
				return err
			}
		}
		for num, why := range c.Withdraw {
			if _, err := tx.ExecContext(ctx, "UPDATE notify_deliveries SET state = ?, reason = ?, done_at = ? WHERE num = ? AND state = 'pending'",
				DeliveryWithdrawn, valid(why), millis(c.At), num); err != nil {
				return err
			}
		}
		for _, id := range c.Settle {
			if _, err := tx.ExecContext(ctx, "UPDATE notify_notices SET settled = 1 WHERE alarm_id = ?", id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("put notices: %w", err)
	}
	return made, nil
}

func putDelivery(ctx context.Context, tx *sql.Tx, d Delivery) (Delivery, error) {
	if !shedguard.ValidID(d.ID) || d.Person == "" || d.Kind == "" || d.State == "" {
		return d, fmt.Errorf("id %q, kind %q, state %q: want a ULID, a person, a kind and a state: %w", d.ID, d.Kind, d.State, ErrInvalid)
	}
	refused, err := json.Marshal(append([]string{}, d.Refused...))
	if err != nil {
		return d, err
	}
	res, err := tx.ExecContext(ctx, `INSERT INTO notify_deliveries
		(id, person, kind, created_at, state, reason, channel, refused, attempts, next_at, done_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		d.ID, valid(d.Person), d.Kind, millis(d.CreatedAt), d.State, valid(d.Reason), valid(d.Channel), string(refused),
		d.Attempts, millis(d.NextAt), millis(d.DoneAt))
	if err != nil {
		return d, err
	}
	num, err := res.LastInsertId()
	if err != nil {
		return d, err
	}
	var kept []Notice
	for _, n := range d.Notices {
		n.Delivery, n.State = num, d.State
		fresh, err := putNotice(ctx, tx, n, num)
		if err != nil {
			return d, err
		}
		if fresh {
			kept = append(kept, n)
		}
	}
	if len(kept) == 0 && d.Kind != NoticeTest {
		_, err := tx.ExecContext(ctx, "DELETE FROM notify_deliveries WHERE num = ?", num)
		return Delivery{}, err
	}
	d.Num, d.Notices = num, kept
	return d, nil
}

func putNotice(ctx context.Context, tx *sql.Tx, n Notice, delivery any) (fresh bool, err error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO notify_notices (alarm_id, person, kind, round, severity, at, shed, subject, cause, delivery)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		n.AlarmID, valid(n.Person), n.Kind, n.Round, n.Severity, millis(n.At), n.Shed, n.Subject, n.Cause, delivery)
	if err != nil {
		return false, fmt.Errorf("notice of alarm %s: %w", n.AlarmID, err)
	}
	rows, err := res.RowsAffected()
	return rows == 1, err
}

// BeginAttempt notes that a delivery is about to be sent over a channel, and
// gives the attempt its number.
func (b *Book) BeginAttempt(ctx context.Context, delivery int64, channel string, at time.Time) (int64, error) {
	res, err := b.write.ExecContext(ctx, "INSERT INTO notify_attempts (delivery, at, channel, result, error, took_ms) VALUES (?, ?, ?, ?, '', 0)",
		delivery, millis(at), valid(channel), AttemptBegun)
	if err != nil {
		return 0, fmt.Errorf("begin attempt of delivery %d: %w", delivery, err)
	}
	return res.LastInsertId()
}

// EndAttempt notes the result of an attempt, and what its delivery is now. A
// delivery that was withdrawn meanwhile stays withdrawn unless it was sent.
func (b *Book) EndAttempt(ctx context.Context, a Attempt, d Delivery) error {
	refused, err := json.Marshal(append([]string{}, d.Refused...))
	if err != nil {
		return fmt.Errorf("end attempt of delivery %d: %w", d.Num, err)
	}
	err = b.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "UPDATE notify_attempts SET result = ?, error = ?, took_ms = ? WHERE num = ?",
			a.Result, valid(a.Error), a.TookMS, a.Num)
		if err := one(res, err, ErrNotFound); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE notify_deliveries SET state = ?, reason = ?, channel = ?, refused = ?, attempts = ?, next_at = ?,
			done_at = ? WHERE num = ? AND (state <> 'withdrawn' OR ? = 'sent')`,
			d.State, valid(d.Reason), valid(d.Channel), string(refused), d.Attempts, millis(d.NextAt), millis(d.DoneAt), d.Num, d.State)
		for _, alarm := range d.SaidOver {
			if err != nil {
				break
			}
			_, err = tx.ExecContext(ctx, "UPDATE notify_notices SET said_over = 1 WHERE delivery = ? AND alarm_id = ?", d.Num, alarm)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("end attempt of delivery %d: %w", d.Num, err)
	}
	return nil
}

// DeliveryNotices is what a delivery tells, in the order of the alarms' ids.
func (b *Book) DeliveryNotices(ctx context.Context, delivery int64) (notices []Notice, err error) {
	err = each(ctx, b.read, func(scan func(...any) error) error {
		n, err := scanNotice(scan)
		notices = append(notices, n)
		return err
	}, noticeQuery+"WHERE n.delivery = ? ORDER BY n.severity, n.alarm_id", delivery)
	if err != nil {
		return nil, fmt.Errorf("notices of delivery %d: %w", delivery, err)
	}
	return notices, nil
}

// Deliveries is one page of the delivery log, newest first, and the cursor of
// the next page ("" when this is the last). A wrong query gives [ErrInvalid].
func (b *Book) Deliveries(ctx context.Context, q DeliveryQuery) (page []Delivery, next string, err error) {
	where, args := []string{"1"}, []any{}
	if q.Alarm != "" {
		where, args = append(where, "num IN (SELECT delivery FROM notify_notices WHERE alarm_id = ?)"), append(args, q.Alarm)
	}
	if q.Person != "" {
		where, args = append(where, "person = ?"), append(args, q.Person)
	}
	if q.Cursor != "" {
		before, err := strconv.ParseInt(q.Cursor, 10, 64)
		if err != nil || before < 1 {
			return nil, "", fmt.Errorf("deliveries: cursor %q: want the next of a page before: %w", q.Cursor, ErrInvalid)
		}
		where, args = append(where, "num < ?"), append(args, before)
	}
	limit := cmp.Or(q.Limit, DefaultPage)
	if limit < 1 || limit > MaxPage {
		return nil, "", fmt.Errorf("deliveries: limit %d: want 1 to %d: %w", q.Limit, MaxPage, ErrInvalid)
	}
	page = []Delivery{}
	err = each(ctx, b.read, func(scan func(...any) error) error {
		d, err := scanDelivery(scan)
		page = append(page, d)
		return err
	}, deliveryQuery+"WHERE "+strings.Join(where, " AND ")+" ORDER BY num DESC LIMIT ?", append(args, limit+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("deliveries: %w", err)
	}
	if len(page) > limit {
		page = page[:limit]
		next = strconv.FormatInt(page[limit-1].Num, 10)
	}
	for i := range page {
		d := &page[i]
		notices, err := b.DeliveryNotices(ctx, d.Num)
		if err != nil {
			return nil, "", err
		}
		d.Notices = append(d.Notices, notices...)
		err = each(ctx, b.read, func(scan func(...any) error) error {
			var at int64
			a := Attempt{Delivery: d.Num}
			err := scan(&a.Num, &at, &a.Channel, &a.Result, &a.Error, &a.TookMS)
			a.At = instant(at)
			d.Log = append(d.Log, a)
			return err
		}, "SELECT num, at, channel, result, error, took_ms FROM notify_attempts WHERE delivery = ? ORDER BY num", d.Num)
		if err != nil {
			return nil, "", fmt.Errorf("attempts of delivery %d: %w", d.Num, err)
		}
	}
	return page, next, nil
}

// PruneDeliveries deletes the log of deliveries that were done before, with
// their notices, when nothing more is to be told of their alarms.
func (b *Book) PruneDeliveries(ctx context.Context, before time.Time) (deleted int64, err error) {
	err = b.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM notify_deliveries WHERE state <> 'pending' AND done_at < ?
			AND NOT EXISTS (SELECT 1 FROM notify_notices n WHERE n.delivery = notify_deliveries.num AND n.settled = 0)`, millis(before))
		if err != nil {
			return err
		}
		if deleted, err = res.RowsAffected(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM notify_notices WHERE delivery IS NULL AND settled = 1 AND at < ?", millis(before))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("prune deliveries: %w", err)
	}
	return deleted, nil
}
