package book

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shedguard/shedguard"
)

// MaxCommentBytes bounds what a person writes about an alarm.
const MaxCommentBytes = 2000

// order places an event among the events of one alarm. Boot ids are ULIDs of
// a clock that a gateway never lets run backwards over a restart.
type order struct {
	boot string
	seq  uint64
	id   string // of the event; decides between two that claim the same place
}

func (o order) after(p order) bool {
	return cmp.Or(cmp.Compare(o.boot, p.boot), cmp.Compare(o.seq, p.seq), cmp.Compare(o.id, p.id)) > 0
}

// life is what the events of one alarm add up to. [life.apply] gives the same
// life whatever the order of the events.
type life struct {
	Alarm
	num              int64
	clock            shedguard.ClockQuality
	head, clear, own order // of the details, of the clearing, of the gateway's acknowledgement
}

// apply adds one event to the life.
func (l *life) apply(e *shedguard.Event, a *shedguard.Alarm, shed, subject string, received time.Time) error {
	at := order{boot: a.BootID, seq: a.Seq, id: e.ID}
	switch {
	case l.ID == "":
		l.ID, l.Shed, l.State, l.ReceivedAt = a.ID, shed, AlarmOpen, received
	case l.Shed != shed:
		return fmt.Errorf("alarm %s is of shed %s, not of %s: %w", a.ID, l.Shed, shed, ErrInvalid)
	}
	when := e.Time
	if a.Clock == shedguard.ClockUnsynced {
		when = received
	}
	first := l.head == order{}
	switch e.Type {
	case shedguard.EventAlarmCleared:
		if first && at.after(l.clear) {
			l.details(a, subject) // better than nothing until its raising comes
		}
		l.State = AlarmCleared
		if at.after(l.clear) {
			l.clear, l.ClearedAt = at, &when
		}
		return nil
	case shedguard.EventAlarmAcknowledged:
		mine := l.Acknowledged != nil && l.own == order{} // given here
		if !mine && (l.Acknowledged == nil || l.own.after(at)) {
			l.own, l.Acknowledged = at, &Acknowledgement{By: cmp.Or(a.By, "gateway"), At: when}
		}
	case shedguard.EventAlarmRaised, shedguard.EventAlarmUpdated:
	default:
		return fmt.Errorf("event type %q: want raised, updated, acknowledged or cleared: %w", e.Type, ErrInvalid)
	}
	if at.after(l.head) {
		l.head = at
		l.details(a, subject)
	}
	return nil
}

func (l *life) details(a *shedguard.Alarm, subject string) {
	l.Subject, l.Cause, l.Detail, l.Severity, l.Level, l.Grade = subject, a.Cause, a.Detail, a.Severity, a.Level, a.Grade
	l.RaisedAt, l.Since = a.RaisedAt.UTC().Truncate(time.Millisecond), a.Since.UTC().Truncate(time.Millisecond)
	l.Value, l.Limit, l.Unit, l.Action, l.Latched = a.Value, a.Limit, a.Unit, a.Action, a.Latched
	l.Evidence, l.Text, l.clock = append([]string{}, a.Evidence...), a.Text, a.Clock
	if l.Text.ZH == "" {
		l.Text.ZH = string(a.Cause)
	}
	if l.Text.EN == "" {
		l.Text.EN = string(a.Cause)
	}
}

// view is the alarm for readers. The instants of a gateway whose clock was
// never set are replaced by the receipt.
func (l *life) view() Alarm {
	a := l.Alarm
	if l.clock == shedguard.ClockUnsynced {
		a.RaisedAt, a.Since = a.ReceivedAt, a.ReceivedAt
	}
	if a.Since.IsZero() {
		a.Since = a.RaisedAt
	}
	return a
}

const alarmColumns = `num, alarm_id, shed, subject, cause, severity, grade, raised_at, since, received_at, value, lim, unit, action,
	latched, evidence, text_zh, text_en, clock, cleared, cleared_at, head_boot, head_seq, head_id, clear_boot, clear_seq, clear_id,
	ack_by, ack_at, ack_comment, ack_boot, ack_seq, ack_id, detail`

func alarmQuery(where string) string {
	return "SELECT " + alarmColumns + `, coalesce((SELECT name FROM sheds WHERE sheds.shed = alarms.shed), ''),
		(SELECT count(*) FROM evidence e WHERE e.alarm_id = alarms.alarm_id AND e.shed = alarms.shed) FROM alarms ` + where
}

func scanLife(scan func(...any) error) (life, error) {
	var (
		l                                         life
		raised, since, received, clearedAt, acked int64
		evidence                                  []byte
		ack                                       Acknowledgement
		cleared                                   bool
	)
	if err := scan(&l.num, &l.ID, &l.Shed, &l.Subject, &l.Cause, &l.Severity, &l.Grade, &raised, &since, &received, &l.Value, &l.Limit,
		&l.Unit, &l.Action, &l.Latched, &evidence, &l.Text.ZH, &l.Text.EN, &l.clock, &cleared, &clearedAt,
		&l.head.boot, &l.head.seq, &l.head.id, &l.clear.boot, &l.clear.seq, &l.clear.id,
		&ack.By, &acked, &ack.Comment, &l.own.boot, &l.own.seq, &l.own.id, &l.Detail, &l.ShedName, &l.PictureCount); err != nil {
		return life{}, err
	}
	if err := json.Unmarshal(evidence, &l.Evidence); err != nil {
		return life{}, fmt.Errorf("evidence of alarm %s: %w", l.ID, err)
	}
	l.RaisedAt, l.Since, l.ReceivedAt = instant(raised), instant(since), instant(received)
	l.Level, l.State = int(l.Severity), AlarmOpen
	if cleared {
		at := instant(clearedAt)
		l.State, l.ClearedAt = AlarmCleared, &at
	}
	if ack.By != "" {
		ack.At = instant(acked)
		l.Acknowledged = &ack
	}
	return l, nil
}

func findLife(ctx context.Context, q querier, where string, args ...any) (life, error) {
	l, err := scanLife(q.QueryRowContext(ctx, alarmQuery(where), args...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return l, err
}

func (l *life) save(ctx context.Context, tx *sql.Tx) error {
	evidence, err := json.Marshal(l.Evidence)
	if err != nil {
		return err
	}
	var clearedAt time.Time
	if l.ClearedAt != nil {
		clearedAt = *l.ClearedAt
	}
	var ack Acknowledgement
	if l.Acknowledged != nil {
		ack = *l.Acknowledged
	}
	var num any // a new alarm gets its number from the table
	if l.num != 0 {
		num = l.num
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO alarms ("+alarmColumns+") VALUES (?"+strings.Repeat(", ?", 33)+")", //nolint:gosec // constants
		num, l.ID, l.Shed, l.Subject, l.Cause, l.Severity, l.Grade, millis(l.RaisedAt), millis(l.Since), millis(l.ReceivedAt), l.Value, l.Limit,
		l.Unit, l.Action, l.Latched, string(evidence), l.Text.ZH, l.Text.EN, l.clock, l.State == AlarmCleared, millis(clearedAt),
		l.head.boot, l.head.seq, l.head.id, l.clear.boot, l.clear.seq, l.clear.id,
		ack.By, millis(ack.At), ack.Comment, l.own.boot, l.own.seq, l.own.id, l.Detail)
	return err
}

// PutEvent keeps an event of a gateway, or of the collector itself. It reports
// false when the book already had it. An event that can never be kept gives
// [ErrInvalid].
func (b *Book) PutEvent(ctx context.Context, e shedguard.Event, received time.Time) (fresh bool, err error) {
	if err := e.Validate(); err != nil {
		return false, fmt.Errorf("event: %w: %w", ErrInvalid, err)
	}
	shed, subject := e.Shed(), e.Subject
	if e.Source == SourceCloud {
		shed, subject = strings.TrimPrefix(e.Subject, "shed/"), "shed"
		if !shedguard.ValidShedID(shed) || shed == e.Subject {
			return false, fmt.Errorf("event %s: subject %q: want shed/<shed id> from %s: %w", e.ID, e.Subject, SourceCloud, ErrInvalid)
		}
	}
	var alarm *shedguard.Alarm
	if e.IsAlarm() {
		a, err := e.Alarm()
		if err != nil {
			return false, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if a.Seq > math.MaxInt64 {
			return false, fmt.Errorf("event %s: seq: %d: want at most 2^63-1: %w", e.ID, a.Seq, ErrInvalid)
		}
		alarm = &a
	}
	var (
		before, after shedRow
		l             life
	)
	err = b.tx(ctx, func(tx *sql.Tx) error {
		var alarmID any
		if alarm != nil {
			alarmID = alarm.ID
		}
		if before, err = meet(ctx, tx, shed, received); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO events (source, id, shed, type, subject, at, received_at, alarm_id, data)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			e.Source, e.ID, shed, e.Type, subject, millis(e.Time), millis(received), alarmID, string(e.Data))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		fresh = n == 1
		if fresh && alarm != nil {
			if l, err = findLife(ctx, tx, "WHERE alarm_id = ?", alarm.ID); err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if err := l.apply(&e, alarm, shed, subject, received.UTC().Truncate(time.Millisecond)); err != nil {
				return err
			}
			if err := l.save(ctx, tx); err != nil {
				return err
			}
			if l.num == 0 { // its pictures may have come first
				if l.PictureCount, err = countPictures(ctx, tx, shed, l.ID); err != nil {
					return err
				}
			}
		}
		after, err = findShed(ctx, tx, shed)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("put event %s: %w", e.ID, err)
	}
	if fresh && alarm != nil {
		a := l.view()
		a.ShedName = after.Name
		b.changed(Change{Alarm: &a})
	}
	b.tellShed(before.Shed, after.Shed)
	return fresh, nil
}

// Alarms is one page of alarms, the newest in the book first, and the cursor
// of the next page ("" when this is the last). A wrong query gives
// [ErrInvalid].
func (b *Book) Alarms(ctx context.Context, q AlarmQuery) (page []Alarm, next string, err error) {
	where, args := []string{"1"}, []any{}
	add := func(clause string, arg ...any) { where, args = append(where, clause), append(args, arg...) }
	switch q.State {
	case "":
	case AlarmOpen:
		add("cleared = 0")
	case AlarmCleared:
		add("cleared = 1")
	default:
		return nil, "", fmt.Errorf("alarms: state %q: want open or cleared: %w", q.State, ErrInvalid)
	}
	if q.Shed != "" {
		add("shed = ?", q.Shed)
	}
	if q.Severity != shedguard.SeverityCleared {
		add("severity = ?", q.Severity)
	}
	if q.Subject != "" {
		add("subject = ?", q.Subject)
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		return nil, "", fmt.Errorf("alarms: from %s, to %s: want from before to: %w", q.From.Format(time.RFC3339), q.To.Format(time.RFC3339), ErrInvalid)
	}
	// One index has all that the span needs.
	if span := spanOf(&q); span != "" && q.Shed == "" {
		add("num IN (SELECT num FROM alarms INDEXED BY alarms_span WHERE " + span + ")")
	} else if span != "" {
		add(span)
	}
	if q.Cursor != "" {
		num, err := strconv.ParseInt(q.Cursor, 10, 64)
		if err != nil || num < 1 {
			return nil, "", fmt.Errorf("alarms: cursor %q: want the next of a page before: %w", q.Cursor, ErrInvalid)
		}
		add("num < ?", num)
	}
	limit := cmp.Or(q.Limit, DefaultPage)
	if limit < 1 || limit > MaxPage {
		return nil, "", fmt.Errorf("alarms: limit %d: want 1 to %d: %w", q.Limit, MaxPage, ErrInvalid)
	}
	rows, err := b.read.QueryContext(ctx, alarmQuery("WHERE "+strings.Join(where, " AND ")+" ORDER BY num DESC LIMIT ?"), append(args, limit+1)...)
	if err != nil {
		return nil, "", fmt.Errorf("alarms: %w", err)
	}
	page = make([]Alarm, 0, limit)
	for rows.Next() {
		l, err := scanLife(rows.Scan)
		if err != nil {
			return nil, "", errors.Join(fmt.Errorf("alarms: %w", err), rows.Close())
		}
		if len(page) == limit {
			next = strconv.FormatInt(l.num+1, 10)
			break
		}
		page = append(page, l.view())
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, "", fmt.Errorf("alarms: %w", err)
	}
	return page, next, nil
}

// spanOf is the condition that an alarm stood at some moment of the query's
// span, "" when it has none.
func spanOf(q *AlarmQuery) string {
	const raised = "(CASE WHEN clock = 'unsynced' THEN received_at ELSE raised_at END)"
	var all []string
	if !q.To.IsZero() {
		all = append(all, fmt.Sprintf("%s < %d", raised, millis(q.To)))
	}
	if !q.From.IsZero() {
		all = append(all, fmt.Sprintf("(cleared = 0 OR cleared_at >= %d)", millis(q.From)))
	}
	return strings.Join(all, " AND ")
}

// Alarm is one alarm, or [ErrNotFound].
func (b *Book) Alarm(ctx context.Context, id string) (Alarm, error) {
	l, err := findLife(ctx, b.read, "WHERE alarm_id = ?", id)
	if err != nil {
		return Alarm{}, fmt.Errorf("alarm %s: %w", id, err)
	}
	return l.view(), nil
}

// OpenAlarm is the newest open alarm of a shed with that subject (for alarms
// of the collector "shed") and cause, or [ErrNotFound].
func (b *Book) OpenAlarm(ctx context.Context, shed, subject string, cause shedguard.Cause) (Alarm, error) {
	l, err := findLife(ctx, b.read, "WHERE cleared = 0 AND shed = ? AND subject = ? AND cause = ? ORDER BY num DESC LIMIT 1", shed, subject, cause)
	if err != nil {
		return Alarm{}, fmt.Errorf("alarm of %s of shed %s for %s: %w", subject, shed, cause, err)
	}
	return l.view(), nil
}

// History is everything that happened to an alarm, oldest first.
func (b *Book) History(ctx context.Context, id string) ([]HistoryEntry, error) {
	if _, err := b.Alarm(ctx, id); err != nil {
		return nil, err
	}
	history := []HistoryEntry{}
	rows, err := b.read.QueryContext(ctx, `SELECT at, received_at, type, data, '', '' FROM events WHERE alarm_id = ?1
		UNION ALL SELECT at, at, kind, NULL, by, text FROM alarm_notes WHERE alarm_id = ?1`, id)
	if err != nil {
		return nil, fmt.Errorf("history of alarm %s: %w", id, err)
	}
	for rows.Next() {
		var (
			at, received int64
			data         []byte
			h            HistoryEntry
			a            shedguard.Alarm
		)
		err := rows.Scan(&at, &received, &h.Type, &data, &h.By, &h.Text)
		if err == nil && data != nil {
			err = json.Unmarshal(data, &a)
			h.By, h.Severity, h.Value, h.Message = a.By, &a.Severity, &a.Value, &a.Text
			if a.Clock == shedguard.ClockUnsynced {
				at = received
			}
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("history of alarm %s: %w", id, err), rows.Close())
		}
		h.At, h.Type = instant(at), strings.TrimPrefix(h.Type, "shedguard.alarm.")
		history = append(history, h)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("history of alarm %s: %w", id, err)
	}
	slices.SortStableFunc(history, func(a, b HistoryEntry) int { return a.At.Compare(b.At) })
	return history, nil
}

// The kinds of notes that people leave on an alarm.
const (
	noteAcknowledged = "acknowledged"
	noteComment      = "comment"
)

// Acknowledge notes that a person has taken note of an alarm. The first one
// counts; a later one with a comment leaves the comment. Acknowledging
// neither clears an alarm nor resets a trip.
func (b *Book) Acknowledge(ctx context.Context, id, by, comment string, at time.Time) (Alarm, error) {
	return b.note(ctx, id, noteAcknowledged, by, comment, at)
}

// Comment leaves a person's comment on an alarm.
func (b *Book) Comment(ctx context.Context, id, by, comment string, at time.Time) (Alarm, error) {
	if strings.TrimSpace(comment) == "" {
		return Alarm{}, fmt.Errorf("alarm %s: comment: required: %w", id, ErrInvalid)
	}
	return b.note(ctx, id, noteComment, by, comment, at)
}

func (b *Book) note(ctx context.Context, id, kind, by, text string, at time.Time) (a Alarm, err error) {
	var fresh bool
	err = b.tx(ctx, func(tx *sql.Tx) error {
		a, fresh, err = noteIn(ctx, tx, id, kind, by, text, at)
		return err
	})
	if err != nil {
		return Alarm{}, fmt.Errorf("alarm %s: %s: %w", id, kind, err)
	}
	if fresh {
		b.changed(Change{Alarm: &a})
	}
	return a, nil
}

// noteIn writes a note; fresh says that it changed anything.
func noteIn(ctx context.Context, tx *sql.Tx, id, kind, by, text string, at time.Time) (a Alarm, fresh bool, err error) {
	if by == "" || len(text) > MaxCommentBytes || !utf8.ValidString(text) {
		return a, false, fmt.Errorf("comment: want at most %d bytes of text, and a name: %w", MaxCommentBytes, ErrInvalid)
	}
	at = at.UTC().Truncate(time.Millisecond)
	l, err := findLife(ctx, tx, "WHERE alarm_id = ?", id)
	if err != nil {
		return a, false, err
	}
	if kind == noteAcknowledged {
		if l.Acknowledged != nil {
			if text == "" {
				return l.view(), false, nil
			}
			kind = noteComment
		} else {
			l.Acknowledged = &Acknowledgement{By: by, At: at, Comment: text}
			if err := l.save(ctx, tx); err != nil {
				return a, false, err
			}
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO alarm_notes (alarm_id, at, kind, by, text) VALUES (?, ?, ?, ?, ?)", id, millis(at), kind, by, text)
	return l.view(), true, err
}

// OwnAlarm is an open alarm that the collector itself raised.
type OwnAlarm struct {
	Shed  string
	Alarm shedguard.Alarm
}

// OpenOwn lists the open alarms that the collector itself raised, so that it
// goes on with them after a restart.
func (b *Book) OpenOwn(ctx context.Context) ([]OwnAlarm, error) {
	rows, err := b.read.QueryContext(ctx, `SELECT a.shed, e.data FROM alarms a JOIN events e ON e.source = ? AND e.id = a.head_id
		WHERE a.cleared = 0 ORDER BY a.num`, SourceCloud)
	if err != nil {
		return nil, fmt.Errorf("own alarms: %w", err)
	}
	var own []OwnAlarm
	for rows.Next() {
		var o OwnAlarm
		var data []byte
		err := rows.Scan(&o.Shed, &data)
		if err == nil {
			err = json.Unmarshal(data, &o.Alarm)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("own alarms: %w", err), rows.Close())
		}
		own = append(own, o)
	}
	return own, errors.Join(rows.Err(), rows.Close())
}
