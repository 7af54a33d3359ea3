package book

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shedguard/shedguard"
)

// MaxEvidenceBytes bounds one picture.
const MaxEvidenceBytes = 256 << 10

// MaxCameraBytes bounds the name of a camera.
const MaxCameraBytes = 64

// Picture is one picture of an alarm.
type Picture struct {
	N          int       `json:"n" doc:"as in the path that gives it"`
	ReceivedAt time.Time `json:"received_at"`
	Bytes      int       `json:"bytes"`
}

// AlarmPicture is a picture and the alarm that it belongs to.
type AlarmPicture struct {
	Shed    string `json:"shed"`
	AlarmID string `json:"alarm_id"`
	Picture
	Count int `json:"picture_count"` // of the alarm, with this one
}

// Snapshot is the last picture that somebody asked of a camera.
type Snapshot struct {
	Camera     string    `json:"camera"`
	ID         string    `json:"id" doc:"of the command that asked for it"`
	ReceivedAt time.Time `json:"received_at"`
	Bytes      int       `json:"bytes"`
}

// ShedSnapshot is a snapshot and its shed.
type ShedSnapshot struct {
	Shed string `json:"shed"`
	Snapshot
}

// PutEvidence keeps picture n of an alarm, or the picture that a command asked
// for. The alarm, or the reply that names the camera, may come later. A second
// picture of that number changes nothing.
func (b *Book) PutEvidence(ctx context.Context, shed, id string, n int, jpeg []byte, received time.Time) error {
	if !shedguard.ValidShedID(shed) || !shedguard.ValidID(id) || n < 0 || n > 999 || len(jpeg) == 0 || len(jpeg) > MaxEvidenceBytes {
		return fmt.Errorf("evidence %d of alarm %q: %d bytes: want a ULID, 0 to 999 and 1 to %d bytes: %w", n, id, len(jpeg), MaxEvidenceBytes, ErrInvalid)
	}
	var changes []Change
	err := b.tx(ctx, func(tx *sql.Tx) error {
		l, err := findLife(ctx, tx, "WHERE alarm_id = ?", id)
		known := err == nil
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if known && l.Shed != shed {
			return fmt.Errorf("the alarm is of shed %s, not of %s: %w", l.Shed, shed, ErrInvalid)
		}
		if !known {
			if camera, err := askedCamera(ctx, tx, shed, id); err != nil || camera != "" {
				if err == nil {
					changes, err = putSnapshot(ctx, tx, shed, camera, id, jpeg, received)
				}
				return err
			}
		}
		res, err := tx.ExecContext(ctx, "INSERT INTO evidence (alarm_id, num, shed, received_at, jpeg) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			id, n, shed, millis(received), jpeg)
		if err != nil || !known {
			return err
		}
		fresh, err := res.RowsAffected()
		if fresh == 1 {
			p := Picture{N: n, ReceivedAt: instant(millis(received)), Bytes: len(jpeg)}
			changes = []Change{{Picture: &AlarmPicture{Shed: shed, AlarmID: id, Picture: p, Count: l.PictureCount + 1}}}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("evidence %d of alarm %s: %w", n, id, err)
	}
	for _, c := range changes {
		b.changed(c)
	}
	return nil
}

// askedCamera is the camera of which the command with that id asked a picture,
// as the gateway's reply says or else the command; empty when there is no such
// command or nobody has named the camera yet.
func askedCamera(ctx context.Context, q querier, shed, id string) (string, error) {
	var args, result string
	err := q.QueryRowContext(ctx, `SELECT c.args, coalesce(r.result, '') FROM commands c LEFT JOIN replies r ON r.shed = c.shed AND r.id = c.id AND r.ok
		WHERE c.id = ? AND c.shed = ? AND c.kind = ?`, id, shed, shedguard.CommandSnapshot).Scan(&args, &result)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var said, asked struct {
		EvidenceID string `json:"evidence_id"`
		Camera     string `json:"camera"`
	}
	if json.Unmarshal([]byte(result), &said) != nil || said.EvidenceID != id || !validCamera(said.Camera) {
		said.Camera = ""
	}
	if json.Unmarshal([]byte(args), &asked) != nil || !validCamera(asked.Camera) {
		asked.Camera = ""
	}
	return cmp.Or(said.Camera, asked.Camera), nil
}

func validCamera(name string) bool {
	return name != "" && len(name) <= MaxCameraBytes && utf8.ValidString(name) && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '/' || r == 0x7f })
}

// putSnapshot makes a picture the camera's last one, unless there is a younger
// one: commands have the order of their ids.
func putSnapshot(ctx context.Context, tx *sql.Tx, shed, camera, id string, jpeg []byte, received time.Time) ([]Change, error) {
	res, err := tx.ExecContext(ctx, `INSERT INTO snapshots (shed, camera, id, received_at, jpeg) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (shed, camera) DO UPDATE SET id = excluded.id, received_at = excluded.received_at, jpeg = excluded.jpeg WHERE excluded.id > snapshots.id`,
		shed, camera, id, millis(received), jpeg)
	if err != nil {
		return nil, err
	}
	n, err := res.RowsAffected()
	if err != nil || n == 0 {
		return nil, err
	}
	return []Change{{Snapshot: &ShedSnapshot{Shed: shed, Snapshot: Snapshot{Camera: camera, ID: id, ReceivedAt: instant(millis(received)), Bytes: len(jpeg)}}}}, nil
}

// settleSnapshot gives a picture that waited for the name of its camera to the
// camera that the reply to a command has now named.
func settleSnapshot(ctx context.Context, tx *sql.Tx, shed, id string) ([]Change, error) {
	var jpeg []byte
	var received int64
	err := tx.QueryRowContext(ctx, "SELECT jpeg, received_at FROM evidence WHERE alarm_id = ? AND shed = ? ORDER BY num DESC LIMIT 1", id, shed).Scan(&jpeg, &received)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	camera, err := askedCamera(ctx, tx, shed, id)
	if err != nil || camera == "" {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM evidence WHERE alarm_id = ? AND shed = ?", id, shed); err != nil {
		return nil, err
	}
	return putSnapshot(ctx, tx, shed, camera, id, jpeg, instant(received))
}

func countPictures(ctx context.Context, q querier, shed, alarmID string) (n int, err error) {
	err = q.QueryRowContext(ctx, "SELECT count(*) FROM evidence WHERE alarm_id = ? AND shed = ?", alarmID, shed).Scan(&n)
	return n, err
}

// Evidence is picture n of an alarm that is in the book, or [ErrNotFound].
func (b *Book) Evidence(ctx context.Context, alarmID string, n int) (jpeg []byte, err error) {
	err = b.read.QueryRowContext(ctx, "SELECT jpeg FROM evidence JOIN alarms USING (alarm_id, shed) WHERE alarm_id = ? AND evidence.num = ?", alarmID, n).Scan(&jpeg)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("evidence %d of alarm %s: %w", n, alarmID, err)
	}
	return jpeg, nil
}

// Pictures lists the pictures of an alarm that are kept, by number.
func (b *Book) Pictures(ctx context.Context, alarmID string) ([]Picture, error) {
	rows, err := b.read.QueryContext(ctx, `SELECT e.num, e.received_at, length(e.jpeg) FROM evidence e JOIN alarms USING (alarm_id, shed)
		WHERE alarm_id = ? ORDER BY e.num`, alarmID)
	if err != nil {
		return nil, fmt.Errorf("pictures of alarm %s: %w", alarmID, err)
	}
	pictures := []Picture{}
	for rows.Next() {
		var p Picture
		var at int64
		if err := rows.Scan(&p.N, &at, &p.Bytes); err != nil {
			return nil, errors.Join(fmt.Errorf("pictures of alarm %s: %w", alarmID, err), rows.Close())
		}
		p.ReceivedAt = instant(at)
		pictures = append(pictures, p)
	}
	return pictures, errors.Join(rows.Err(), rows.Close())
}

// Snapshots lists the last snapshots of a shed's cameras, by camera.
func (b *Book) Snapshots(ctx context.Context, shed string) ([]Snapshot, error) {
	rows, err := b.read.QueryContext(ctx, "SELECT camera, id, received_at, length(jpeg) FROM snapshots WHERE shed = ? ORDER BY camera", shed)
	if err != nil {
		return nil, fmt.Errorf("snapshots of shed %s: %w", shed, err)
	}
	var all []Snapshot
	for rows.Next() {
		var s Snapshot
		var at int64
		if err := rows.Scan(&s.Camera, &s.ID, &at, &s.Bytes); err != nil {
			return nil, errors.Join(fmt.Errorf("snapshots of shed %s: %w", shed, err), rows.Close())
		}
		s.ReceivedAt = instant(at)
		all = append(all, s)
	}
	return all, errors.Join(rows.Err(), rows.Close())
}

// Snapshot is the last snapshot of a camera, or [ErrNotFound].
func (b *Book) Snapshot(ctx context.Context, shed, camera string) (s Snapshot, jpeg []byte, err error) {
	s.Camera = camera
	var at int64
	err = b.read.QueryRowContext(ctx, "SELECT id, received_at, jpeg FROM snapshots WHERE shed = ? AND camera = ?", shed, camera).Scan(&s.ID, &at, &jpeg)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Snapshot{}, nil, fmt.Errorf("snapshot of camera %q of shed %s: %w", camera, shed, err)
	}
	s.ReceivedAt, s.Bytes = instant(at), len(jpeg)
	return s, jpeg, nil
}

// CameraAlarms lists the open alarms of a shed's cameras, oldest first.
func (b *Book) CameraAlarms(ctx context.Context, shed string) ([]Alarm, error) {
	rows, err := b.read.QueryContext(ctx, alarmQuery("WHERE cleared = 0 AND shed = ? AND subject GLOB 'camera/*' ORDER BY num"), shed)
	if err != nil {
		return nil, fmt.Errorf("camera alarms of shed %s: %w", shed, err)
	}
	var all []Alarm
	for rows.Next() {
		l, err := scanLife(rows.Scan)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("camera alarms of shed %s: %w", shed, err), rows.Close())
		}
		all = append(all, l.view())
	}
	return all, errors.Join(rows.Err(), rows.Close())
}

// pruneBatch is how many pictures one transaction deletes, so that an alarm
// that comes meanwhile waits for no more than that.
const pruneBatch = 64

// PrunePictures deletes the pictures that came before that moment and whose
// alarm was cleared before it or never came, and snapshots that are older.
// While all pictures of alarms are longer than maxBytes it then deletes the
// oldest, those of alarms that still stand last.
func (b *Book) PrunePictures(ctx context.Context, before time.Time, maxBytes int64) (deleted int64, err error) {
	fail := func(err error) (int64, error) { return deleted, fmt.Errorf("prune pictures: %w", err) }
	if _, err := b.write.ExecContext(ctx, "DELETE FROM snapshots WHERE received_at < ?", millis(before)); err != nil {
		return fail(err)
	}
	for {
		res, err := b.write.ExecContext(ctx, `DELETE FROM evidence WHERE rowid IN (
			SELECT e.rowid FROM evidence e LEFT JOIN alarms a ON a.alarm_id = e.alarm_id AND a.shed = e.shed
			WHERE e.received_at < ?1 AND (a.alarm_id IS NULL OR a.cleared = 1 AND a.cleared_at < ?1) LIMIT ?2)`, millis(before), pruneBatch)
		if err != nil {
			return fail(err)
		}
		n, err := res.RowsAffected()
		deleted += n
		if err != nil {
			return fail(err)
		}
		if n < pruneBatch {
			break
		}
	}
	for {
		// The oldest that have to go so that the younger ones fit, counted from
		// the youngest on; a picture that still stands for an open alarm is young.
		res, err := b.write.ExecContext(ctx, `DELETE FROM evidence WHERE rowid IN (
			SELECT num FROM (
				SELECT e.rowid AS num, e.received_at AS at, coalesce(a.cleared, 1) AS over,
					sum(length(e.jpeg)) OVER (ORDER BY coalesce(a.cleared, 1), e.received_at DESC, e.rowid DESC) AS with_younger
				FROM evidence e LEFT JOIN alarms a ON a.alarm_id = e.alarm_id AND a.shed = e.shed)
			WHERE with_younger > ?1 ORDER BY over DESC, at, num LIMIT ?2)`, maxBytes, pruneBatch)
		if err != nil {
			return fail(err)
		}
		n, err := res.RowsAffected()
		deleted += n
		if err != nil {
			return fail(err)
		}
		if n < pruneBatch {
			return deleted, nil
		}
	}
}

// AuditOnce keeps a deed unless the same person did the same from the same
// address within the time before: looking at a picture again is no news.
func (b *Book) AuditOnce(ctx context.Context, a AuditEntry, within time.Duration) error {
	_, err := b.write.ExecContext(ctx, `INSERT INTO audit (at, by, address, deed, target, detail) SELECT ?1, ?2, ?3, ?4, ?5, ?6
		WHERE NOT EXISTS (SELECT 1 FROM audit WHERE at > ?7 AND by = ?2 AND address = ?3 AND deed = ?4 AND target = ?5 AND detail = ?6)`,
		millis(a.At), valid(a.By), valid(a.Address), a.Deed, valid(a.Target), string(a.Detail), millis(a.At.Add(-within)))
	if err != nil {
		return fmt.Errorf("audit %s: %w", a.Deed, err)
	}
	return nil
}
