package book

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/shedguard/shedguard"
)

// LogEntry is one thing that happened at a shed and belongs to no alarm: an
// event of its gateway, or a command that was given here.
type LogEntry struct {
	ID         string          `json:"id" doc:"ULID of the event or the command"`
	At         time.Time       `json:"at" doc:"when it happened; the receipt when the gateway did not know the time"`
	ReceivedAt time.Time       `json:"received_at" doc:"when the collector heard of it, or sent it"`
	Type       string          `json:"type" doc:"command, or of an event: relay.operated, session.begun, config.applied, …"`
	Subject    string          `json:"subject" doc:"outlet/3, bus/main, shed; empty for a command"`
	Kind       string          `json:"kind,omitempty" doc:"of a command"`
	By         string          `json:"by,omitempty" doc:"who gave the command"`
	Data       json.RawMessage `json:"data,omitempty" doc:"of the event; the args of a command"`
	Reply      *LogReply       `json:"reply,omitempty" doc:"absent until the gateway answered"`
}

// LogReply is what a gateway answered to a command.
type LogReply struct {
	At   time.Time           `json:"at"`
	OK   bool                `json:"ok"`
	Code shedguard.ReplyCode `json:"code,omitempty"`
	Text string              `json:"text,omitempty"`
}

// ShedLog is one page of what happened at a shed, newest first, and the cursor
// of the next page ("" when this is the last). A wrong query gives
// [ErrInvalid], an unknown shed [ErrNotFound].
func (b *Book) ShedLog(ctx context.Context, shed, cursor string, limit int) (page []LogEntry, next string, err error) {
	at, id := int64(math.MaxInt64), ""
	if cursor != "" {
		ms, last, ok := strings.Cut(cursor, ".")
		at, err = strconv.ParseInt(ms, 10, 64)
		if err != nil || !ok || !shedguard.ValidID(last) {
			return nil, "", fmt.Errorf("log of shed %s: cursor %q: want the next of a page before: %w", shed, cursor, ErrInvalid)
		}
		id = last
	}
	limit = cmp.Or(limit, DefaultPage)
	if limit < 1 || limit > MaxPage {
		return nil, "", fmt.Errorf("log of shed %s: limit %d: want 1 to %d: %w", shed, limit, MaxPage, ErrInvalid)
	}
	if _, err := findShed(ctx, b.read, shed); err != nil {
		return nil, "", err
	}
	page = []LogEntry{}
	err = each(ctx, b.read, func(scan func(...any) error) error {
		e, err := scanLog(scan)
		page = append(page, e)
		return err
	}, `SELECT * FROM (SELECT shown_at AS at, id, received_at, type, subject, '' AS kind, '' AS by, data, NULL AS ok, NULL AS code, NULL AS text, NULL AS replied_at
			FROM events WHERE shed = ?1 AND alarm_id IS NULL AND (shown_at, id) < (?2, ?3) ORDER BY shown_at DESC, id DESC LIMIT ?4)
		UNION ALL
		SELECT * FROM (SELECT c.issued_at, c.id, c.issued_at, 'shedguard.command', '', c.kind, c.by, c.args, r.ok, r.code, r.text, r.received_at
			FROM commands c LEFT JOIN replies r ON r.shed = c.shed AND r.id = c.id
			WHERE c.shed = ?1 AND (c.issued_at, c.id) < (?2, ?3) ORDER BY c.issued_at DESC, c.id DESC LIMIT ?4)
		ORDER BY 1 DESC, 2 DESC LIMIT ?4`, shed, at, id, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("log of shed %s: %w", shed, err)
	}
	if len(page) > limit {
		page = page[:limit]
		last := &page[limit-1]
		next = strconv.FormatInt(millis(last.At), 10) + "." + last.ID
	}
	return page, next, nil
}

func scanLog(scan func(...any) error) (e LogEntry, err error) {
	var (
		at, received int64
		data         string
		ok           sql.NullBool
		code, text   sql.NullString
		replied      sql.NullInt64
	)
	if err := scan(&at, &e.ID, &received, &e.Type, &e.Subject, &e.Kind, &e.By, &data, &ok, &code, &text, &replied); err != nil {
		return e, err
	}
	e.At, e.ReceivedAt, e.Data = instant(at), instant(received), raw(data)
	e.Type = strings.TrimPrefix(e.Type, "shedguard.")
	if ok.Valid {
		e.Reply = &LogReply{At: instant(replied.Int64), OK: ok.Bool, Code: shedguard.ReplyCode(code.String), Text: text.String}
	}
	return e, nil
}

// AcknowledgeAll acknowledges alarms together, as [Book.Acknowledge] does each
// of them: all are written, or none. What is not in the book is left out and
// listed.
func (b *Book) AcknowledgeAll(ctx context.Context, ids []string, by, comment string, at time.Time) (alarms []Alarm, missing []string, err error) {
	if len(ids) == 0 || len(ids) > MaxPage {
		return nil, nil, fmt.Errorf("acknowledge: %d alarms: want 1 to %d: %w", len(ids), MaxPage, ErrInvalid)
	}
	var noted []bool
	err = b.tx(ctx, func(tx *sql.Tx) error {
		alarms, missing, noted = []Alarm{}, []string{}, nil
		for _, id := range ids {
			a, fresh, err := noteIn(ctx, tx, id, noteAcknowledged, by, comment, at)
			switch {
			case errors.Is(err, ErrNotFound):
				missing = append(missing, id)
			case err != nil:
				return fmt.Errorf("alarm %s: %w", id, err)
			default:
				alarms, noted = append(alarms, a), append(noted, fresh)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("acknowledge: %w", err)
	}
	for i := range alarms {
		if noted[i] {
			b.changed(Change{Alarm: new(alarms[i])})
		}
	}
	return alarms, missing, nil
}
