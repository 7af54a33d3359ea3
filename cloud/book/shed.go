package book

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/shedguard/shedguard"
)

// querier is what reading a row needs: a transaction or a pool.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

const shedQuery = `
SELECT s.shed, s.name, s.place, s.state, s.since, s.last_seen, s.version, s.config_hash, s.clock, s.boot_id, s.conn, s.outlets,
       s.siren, s.suppression, s.status_state, count(a.num), coalesce(min(a.severity), 0)
FROM sheds s LEFT JOIN alarms a ON a.shed = s.shed AND a.cleared = 0 `

// shedRow is a shed with the state of its gateway's own last word.
type shedRow struct {
	Shed
	word shedguard.GatewayState
}

func scanShed(scan func(...any) error) (shedRow, error) {
	var (
		s           shedRow
		since, last int64
		outlets     []byte
		agent       []byte
		worst       shedguard.Severity
	)
	if err := scan(&s.ID, &s.Name, &s.Place, &s.State, &since, &last, &s.Version, &s.ConfigHash, &s.Clock, &s.BootID, &s.Conn,
		&outlets, &s.Siren, &agent, &s.word, &s.OpenAlarms, &worst); err != nil {
		return shedRow{}, err
	}
	if err := json.Unmarshal(outlets, &s.Outlets); err != nil {
		return shedRow{}, fmt.Errorf("outlets of shed %s: %w", s.ID, err)
	}
	if agent != nil {
		if err := json.Unmarshal(agent, &s.Suppression); err != nil {
			return shedRow{}, fmt.Errorf("suppression of shed %s: %w", s.ID, err)
		}
	}
	s.Since, s.LastSeen = instant(since), instant(last)
	if s.OpenAlarms > 0 {
		s.Worst = worst.String()
	}
	return s, nil
}

func findShed(ctx context.Context, q querier, id string) (shedRow, error) {
	s, err := scanShed(q.QueryRowContext(ctx, shedQuery+"WHERE s.shed = ? GROUP BY s.shed", id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return shedRow{}, fmt.Errorf("shed %s: %w", id, err)
	}
	return s, nil
}

// Sheds lists every shed by name.
func (b *Book) Sheds(ctx context.Context) ([]Shed, error) {
	rows, err := b.read.QueryContext(ctx, shedQuery+"GROUP BY s.shed ORDER BY s.name, s.shed")
	if err != nil {
		return nil, fmt.Errorf("sheds: %w", err)
	}
	sheds := []Shed{}
	for rows.Next() {
		s, err := scanShed(rows.Scan)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("sheds: %w", err), rows.Close())
		}
		sheds = append(sheds, b.fresh(s.Shed))
	}
	return sheds, errors.Join(rows.Err(), rows.Close())
}

// Shed is one shed, or [ErrNotFound].
func (b *Book) Shed(ctx context.Context, id string) (Shed, error) {
	s, err := findShed(ctx, b.read, id)
	return b.fresh(s.Shed), err
}

// fresh is s with the last_seen that may not be on the disk yet.
func (b *Book) fresh(s Shed) Shed {
	b.mu.Lock()
	defer b.mu.Unlock()
	if at := b.seen[s.ID].at; at.After(s.LastSeen) {
		s.LastSeen = at
	}
	return s
}

// NameShed changes a shed's name and place; nil leaves one as it is.
func (b *Book) NameShed(ctx context.Context, id string, name, place *string) (Shed, error) {
	for what, s := range map[string]*string{"name": name, "place": place} {
		if s != nil && (len(*s) > 200 || !utf8.ValidString(*s) || what == "name" && *s == "") {
			return Shed{}, fmt.Errorf("shed %s: %s: want text of at most 200 bytes: %w", id, what, ErrInvalid)
		}
	}
	return b.changeShed(ctx, id, func(tx *sql.Tx, _ shedRow) error {
		_, err := tx.ExecContext(ctx, "UPDATE sheds SET name = coalesce(?, name), place = coalesce(?, place) WHERE shed = ?", name, place, id)
		return err
	})
}

// changeShed runs f on an existing shed and tells what became different.
func (b *Book) changeShed(ctx context.Context, id string, f func(*sql.Tx, shedRow) error) (Shed, error) {
	var before, after shedRow
	err := b.tx(ctx, func(tx *sql.Tx) (err error) {
		if before, err = findShed(ctx, tx, id); err != nil {
			return err
		}
		if err := f(tx, before); err != nil {
			return err
		}
		after, err = findShed(ctx, tx, id)
		return err
	})
	if err != nil {
		return Shed{}, err
	}
	return b.tellShed(before.Shed, after.Shed), nil
}

// tellShed tells of the shed when more than its last_seen became different.
func (b *Book) tellShed(before, after Shed) Shed {
	after = b.fresh(after)
	before.LastSeen = after.LastSeen
	if !reflect.DeepEqual(before, after) {
		b.changed(Change{Shed: &after})
	}
	return after
}

// meet finds a shed and makes its row on first contact. What it returns is the
// shed as it was before, so that a new one differs from it.
func meet(ctx context.Context, tx *sql.Tx, shed string, at time.Time) (shedRow, error) {
	if !shedguard.ValidShedID(shed) {
		return shedRow{}, fmt.Errorf("shed id %q: %w", shed, ErrInvalid)
	}
	known, err := findShed(ctx, tx, shed)
	if !errors.Is(err, ErrNotFound) {
		return known, err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO sheds (shed, name, created_at, since) VALUES (?, ?, ?, ?)",
		shed, shed, millis(at), millis(at))
	return shedRow{Shed: Shed{ID: shed, Since: at}}, err
}

// PutStatus keeps what a gateway says of itself. It reports false for a word
// of a connection that was already replaced, and for a repeated word of a
// connection that is known to have ended.
//
// The order of two words is that of (boot, connection); boots that were seen
// before the present one are past. A retained online is not believed yet: the
// shed stays or becomes unknown until [Book.Seen] or [Book.SetState] says
// more.
func (b *Book) PutStatus(ctx context.Context, shed string, s shedguard.Status, received time.Time, retained bool) (accepted bool, err error) {
	if s.Conn > math.MaxInt64 {
		return false, fmt.Errorf("status of shed %s: conn: %d: want at most 2^63-1: %w", shed, s.Conn, ErrInvalid)
	}
	var before, after shedRow
	err = b.tx(ctx, func(tx *sql.Tx) error {
		if before, err = meet(ctx, tx, shed, received); err != nil {
			return err
		}
		accepted, err = b.putStatus(ctx, tx, &before, &s, received, retained)
		if err != nil || !accepted {
			return err
		}
		after, err = findShed(ctx, tx, shed)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("status of shed %s: %w", shed, err)
	}
	if accepted {
		b.tellShed(before.Shed, after.Shed)
	}
	return accepted, nil
}

func (b *Book) putStatus(ctx context.Context, tx *sql.Tx, known *shedRow, s *shedguard.Status, received time.Time, retained bool) (bool, error) {
	if s.BootID != known.BootID {
		var past int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM boots WHERE shed = ? AND boot_id = ?", known.ID, s.BootID).Scan(&past); err != nil {
			return false, err
		}
		if past > 0 {
			return false, nil
		}
		// The will of a boot that was never heard, older than the present one.
		if s.State != shedguard.GatewayOnline && !retained && s.BootID < known.BootID {
			return false, nil
		}
	} else {
		ended := known.word != shedguard.GatewayOnline
		if s.Conn < known.Conn || s.Conn == known.Conn && ended && s.State != known.word {
			return false, nil
		}
	}
	outlets, err := json.Marshal(append([]shedguard.OutletSummary{}, s.Outlets...))
	if err != nil {
		return false, err
	}
	if len(s.Outlets) == 0 && s.State != shedguard.GatewayOnline {
		outlets = nil // a will carries none: what was last said stays
	}
	siren, agent, err := encodeSuppression(known, s)
	if err != nil {
		return false, err
	}
	state := StateUnknown
	switch s.State {
	case shedguard.GatewayOffline:
		state = StateOffline
	case shedguard.GatewayStopped:
		state = StateStopped
	case shedguard.GatewayOnline:
		same := s.BootID == known.BootID && s.Conn == known.Conn
		switch {
		case !retained:
			state = StateOnline
		case same && (known.State == StateOnline || known.State == StateSilent):
			state = known.State
		}
		if !retained && same && known.State == StateSilent {
			state = StateSilent // a word is not telemetry
		}
	default:
		return false, fmt.Errorf("state %q: %w", s.State, ErrInvalid)
	}
	since, seenAt := known.Since, known.LastSeen
	if state != known.State {
		since = received
	}
	if !retained && s.State != shedguard.GatewayOffline && received.After(seenAt) { // a will is the broker's word
		seenAt = received
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO boots (shed, boot_id, first_seen) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
		known.ID, s.BootID, millis(received)); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE sheds SET state = ?, since = ?, last_seen = ?, status_state = ?, version = ?, config_hash = ?,
		clock = ?, boot_id = ?, conn = ?, outlets = coalesce(?, outlets), siren = ?, suppression = ? WHERE shed = ?`,
		state, millis(since), millis(seenAt), s.State, s.Version, s.ConfigHash, s.Clock, s.BootID, s.Conn, nullable(outlets), siren, nullable(agent), known.ID)
	return true, err
}

// encodeSuppression is what to keep of siren and suppression after a word.
func encodeSuppression(known *shedRow, s *shedguard.Status) (siren bool, agent []byte, err error) {
	siren, now := s.Siren, (*Suppression)(nil)
	switch {
	case s.Suppression != nil:
		now = &Suppression{Phase: s.Suppression.Phase, Zone: s.Suppression.Zone, AlarmID: s.Suppression.AlarmID, By: s.Suppression.By}
		if until := s.Suppression.Until; !until.IsZero() {
			now.Until = new(until.UTC())
		}
	case s.State != shedguard.GatewayOnline && !s.Siren:
		siren, now = known.Siren, known.Suppression // a will carries neither: what was last said stays
	}
	if now == nil {
		return siren, nil, nil
	}
	agent, err = json.Marshal(now)
	return siren, agent, err
}

func nullable(b []byte) any {
	if b == nil {
		return nil
	}
	return string(b)
}

// SetState is the collector's own judgement of a gateway: silent, offline,
// unknown, or online again. It reports whether it changed anything.
func (b *Book) SetState(ctx context.Context, shed string, s State, since time.Time) (changed bool, err error) {
	if !slices.Contains(States(), s) {
		return false, fmt.Errorf("shed %s: state %q: want one of %q: %w", shed, s, States(), ErrInvalid)
	}
	if now, err := findShed(ctx, b.read, shed); err != nil || now.State == s {
		return false, err
	}
	_, err = b.changeShed(ctx, shed, func(tx *sql.Tx, before shedRow) error {
		changed = before.State != s
		if !changed {
			return nil
		}
		_, err := tx.ExecContext(ctx, "UPDATE sheds SET state = ?, since = ? WHERE shed = ?", s, millis(since), shed)
		return err
	})
	return changed && err == nil, err
}

// Seen notes, in memory, that a gateway was heard: any message that was not
// retained, but not its last will. [Book.FlushSeen] writes it.
func (b *Book) Seen(shed string, at time.Time) {
	if !shedguard.ValidShedID(shed) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.seen[shed]; at.After(s.at) {
		s.at = at
		b.seen[shed] = s
	}
}

// FlushSeen writes what Seen noted since the last call. It makes the row of a
// shed on first contact, and a shed that was unknown or judged offline is
// online again when its own last word was. It is for one caller at a time,
// every [SeenEvery].
func (b *Book) FlushSeen(ctx context.Context) error {
	b.mu.Lock()
	behind := map[string]time.Time{}
	for shed, s := range b.seen {
		if s.at.After(s.written) {
			behind[shed] = s.at
		}
	}
	b.mu.Unlock()
	if len(behind) == 0 {
		return nil
	}
	type pair struct{ before, after shedRow }
	var sheds []pair
	err := b.tx(ctx, func(tx *sql.Tx) error {
		for shed, at := range behind {
			var p pair
			var err error
			if p.before, err = meet(ctx, tx, shed, at); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE sheds SET last_seen = max(last_seen, ?1),
				since = CASE WHEN status_state = 'online' AND state IN ('unknown', 'offline') THEN ?1 ELSE since END,
				state = CASE WHEN status_state = 'online' AND state IN ('unknown', 'offline') THEN 'online' ELSE state END
				WHERE shed = ?2`, millis(at), shed); err != nil {
				return err
			}
			if p.after, err = findShed(ctx, tx, shed); err != nil {
				return err
			}
			sheds = append(sheds, p)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write when sheds were last seen: %w", err)
	}
	b.mu.Lock()
	for shed, at := range behind {
		s := b.seen[shed]
		s.written = at
		b.seen[shed] = s
	}
	b.mu.Unlock()
	for _, p := range sheds {
		b.tellShed(p.before.Shed, p.after.Shed)
	}
	return nil
}
