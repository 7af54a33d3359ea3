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

// PutCommand keeps a command before it is sent. A repeated id gives
// [ErrConflict], an unknown shed [ErrNotFound].
func (b *Book) PutCommand(ctx context.Context, shed string, c shedguard.Command) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("put command: %w: %w", ErrInvalid, err)
	}
	err := b.tx(ctx, func(tx *sql.Tx) error {
		if _, err := findShed(ctx, tx, shed); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO commands (id, shed, kind, args, by, boot_id, issued_at, expires_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			c.ID, shed, c.Kind, string(c.Args), c.By, c.BootID, millis(c.IssuedAt), millis(c.ExpiresAt))
		return one(res, err, ErrConflict)
	})
	if err != nil {
		return fmt.Errorf("put command %s: %w", c.ID, err)
	}
	return nil
}

// one is otherwise when a statement touched no row.
func one(res sql.Result, err, otherwise error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = otherwise
	}
	return err
}

// PutReply keeps a gateway's reply. A repeated one changes nothing. A reply to
// a command of another shed gives [ErrInvalid].
func (b *Book) PutReply(ctx context.Context, shed string, r shedguard.Reply, received time.Time) error {
	var before, after shedRow
	var fresh bool
	var changes []Change
	err := b.tx(ctx, func(tx *sql.Tx) (err error) {
		if before, err = meet(ctx, tx, shed, received); err != nil {
			return err
		}
		var meant string
		switch err := tx.QueryRowContext(ctx, "SELECT shed FROM commands WHERE id = ?", r.ID).Scan(&meant); {
		case errors.Is(err, sql.ErrNoRows): // given by another program
		case err != nil:
			return err
		case meant != shed:
			return fmt.Errorf("the command was for shed %s: %w", meant, ErrInvalid)
		}
		var refusal shedguard.ReplyError
		if r.Error != nil {
			refusal = *r.Error
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO replies (shed, id, received_at, ok, code, text, result)
			VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			shed, r.ID, millis(received), r.OK, refusal.Code, refusal.Text, string(r.Result))
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return err
		}
		fresh = n == 1
		if changes, err = settleSnapshot(ctx, tx, shed, r.ID); err != nil {
			return err
		}
		after, err = findShed(ctx, tx, shed)
		return err
	})
	if err != nil {
		return fmt.Errorf("put reply %s of shed %s: %w", r.ID, shed, err)
	}
	if fresh {
		b.changed(Change{Reply: &Reply{Shed: shed, Reply: r}})
	}
	for _, c := range changes {
		b.changed(c)
	}
	b.tellShed(before.Shed, after.Shed)
	return nil
}

// Command is a command that was given, with the reply when one came.
func (b *Book) Command(ctx context.Context, id string) (CommandRecord, error) {
	var (
		r                   CommandRecord
		args                string
		issued, expires     int64
		ok                  sql.NullBool
		code, text, outcome sql.NullString
	)
	err := b.read.QueryRowContext(ctx, `SELECT c.shed, c.id, c.kind, c.args, c.by, c.boot_id, c.issued_at, c.expires_at, r.ok, r.code, r.text, r.result
		FROM commands c LEFT JOIN replies r ON r.shed = c.shed AND r.id = c.id WHERE c.id = ?`, id).
		Scan(&r.Shed, &r.Command.ID, &r.Command.Kind, &args, &r.Command.By, &r.Command.BootID, &issued, &expires, &ok, &code, &text, &outcome)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return CommandRecord{}, fmt.Errorf("command %s: %w", id, err)
	}
	r.Command.Args = raw(args)
	r.Command.IssuedAt, r.Command.ExpiresAt = instant(issued), instant(expires)
	if ok.Valid {
		r.Reply = &shedguard.Reply{ID: id, OK: ok.Bool, Result: raw(outcome.String)}
		if !ok.Bool {
			r.Reply.Error = &shedguard.ReplyError{Code: shedguard.ReplyCode(code.String), Text: text.String}
		}
	}
	return r, nil
}

func raw(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return json.RawMessage(s)
}

// DeadLetter keeps a refused message with the reason. Of a long payload the
// first [MaxDeadLetterBytes] are kept, of all messages the last
// [MaxDeadLetters].
func (b *Book) DeadLetter(ctx context.Context, d DeadLetter) error {
	size := max(d.Original, len(d.Payload))
	err := b.tx(ctx, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, "INSERT INTO dead_letters (at, shed, topic, reason, payload, bytes) VALUES (?, ?, ?, ?, ?, ?)",
			millis(d.At), valid(d.Shed), valid(d.Topic), valid(d.Reason), d.Payload[:min(len(d.Payload), MaxDeadLetterBytes):len(d.Payload)], size)
		if err != nil {
			return err
		}
		num, err := res.LastInsertId()
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM dead_letters WHERE num <= ?", num-MaxDeadLetters)
		return err
	})
	if err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	return nil
}

// valid is s as text that every reader takes.
func valid(s string) string { return strings.ToValidUTF8(s[:min(len(s), 2000)], "\ufffd") }

// DeadLetters is one page of refused messages, newest first, and the cursor of
// the next page.
func (b *Book) DeadLetters(ctx context.Context, cursor string, limit int) (page []DeadLetter, next string, err error) {
	before := int64(1<<63 - 1)
	if cursor != "" {
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil || before < 1 {
			return nil, "", fmt.Errorf("dead letters: cursor %q: want the next of a page before: %w", cursor, ErrInvalid)
		}
	}
	limit = cmp.Or(limit, DefaultPage)
	if limit < 1 || limit > MaxPage {
		return nil, "", fmt.Errorf("dead letters: limit %d: want 1 to %d: %w", limit, MaxPage, ErrInvalid)
	}
	rows, err := b.read.QueryContext(ctx, "SELECT num, at, shed, topic, reason, payload, bytes FROM dead_letters WHERE num < ? ORDER BY num DESC LIMIT ?", before, limit)
	if err != nil {
		return nil, "", fmt.Errorf("dead letters: %w", err)
	}
	page = make([]DeadLetter, 0, limit)
	for rows.Next() {
		var d DeadLetter
		var at int64
		if err := rows.Scan(&d.ID, &at, &d.Shed, &d.Topic, &d.Reason, &d.Payload, &d.Original); err != nil {
			return nil, "", errors.Join(fmt.Errorf("dead letters: %w", err), rows.Close())
		}
		d.At = instant(at)
		page = append(page, d)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, "", fmt.Errorf("dead letters: %w", err)
	}
	if len(page) == limit && page[limit-1].ID > 1 {
		next = strconv.FormatInt(page[limit-1].ID, 10)
	}
	return page, next, nil
}

// Audit keeps one deed of a person.
func (b *Book) Audit(ctx context.Context, a AuditEntry) error { return audit(ctx, b.write, a) }

// execer is a transaction or a pool.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func audit(ctx context.Context, to execer, a AuditEntry) error {
	_, err := to.ExecContext(ctx, "INSERT INTO audit (at, by, address, deed, target, detail) VALUES (?, ?, ?, ?, ?, ?)",
		millis(a.At), valid(a.By), valid(a.Address), a.Deed, valid(a.Target), string(a.Detail))
	if err != nil {
		return fmt.Errorf("audit %s: %w", a.Deed, err)
	}
	return nil
}

// AuditTrail is the newest deeds, newest first.
func (b *Book) AuditTrail(ctx context.Context, limit int) ([]AuditEntry, error) {
	rows, err := b.read.QueryContext(ctx, "SELECT at, by, address, deed, target, detail FROM audit ORDER BY num DESC LIMIT ?", min(max(limit, 1), MaxPage))
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	trail := []AuditEntry{}
	for rows.Next() {
		var a AuditEntry
		var at int64
		var detail string
		if err := rows.Scan(&at, &a.By, &a.Address, &a.Deed, &a.Target, &detail); err != nil {
			return nil, errors.Join(fmt.Errorf("audit trail: %w", err), rows.Close())
		}
		a.At, a.Detail = instant(at), raw(detail)
		trail = append(trail, a)
	}
	return trail, errors.Join(rows.Err(), rows.Close())
}

// AddUser makes a user. A name that is taken gives [ErrConflict].
func (b *Book) AddUser(ctx context.Context, u User) error {
	if u.Name == "" || len(u.Name) > 100 || u.PasswordHash == "" || u.Role == "" {
		return fmt.Errorf("user %q: want a name of 1 to 100 bytes, a role and a password hash: %w", u.Name, ErrInvalid)
	}
	res, err := b.write.ExecContext(ctx, "INSERT INTO users (name, role, password_hash, created_at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		u.Name, u.Role, u.PasswordHash, millis(u.CreatedAt))
	if err := one(res, err, ErrConflict); err != nil {
		return fmt.Errorf("add user %s: %w", u.Name, err)
	}
	return nil
}

// User is one user, or [ErrNotFound].
func (b *Book) User(ctx context.Context, name string) (User, error) {
	u := User{Name: name}
	var created int64
	err := b.read.QueryRowContext(ctx, "SELECT role, password_hash, created_at FROM users WHERE name = ?", name).Scan(&u.Role, &u.PasswordHash, &created)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return User{}, fmt.Errorf("user %q: %w", name, err)
	}
	u.CreatedAt = instant(created)
	return u, nil
}

// Users is how many users there are.
func (b *Book) Users(ctx context.Context) (n int, err error) {
	if err := b.read.QueryRowContext(ctx, "SELECT count(*) FROM users").Scan(&n); err != nil {
		return 0, fmt.Errorf("users: %w", err)
	}
	return n, nil
}

// Logins keeps the sessions of the web page over a restart. It has the shape
// that alexedwards/scs wants of a store; the tokens come hashed.
type Logins struct{ book *Book }

// Logins is the book's store of web sessions.
func (b *Book) Logins() *Logins { return &Logins{book: b} }

// FindCtx is the data of a session that has not ended.
func (l *Logins) FindCtx(ctx context.Context, token string) (data []byte, found bool, err error) {
	err = l.book.read.QueryRowContext(ctx, "SELECT data FROM logins WHERE token = ? AND expires > ?", token, time.Now().UnixMilli()).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("find login: %w", err)
	}
	return data, true, nil
}

// CommitCtx keeps a session until expires.
func (l *Logins) CommitCtx(ctx context.Context, token string, data []byte, expires time.Time) error {
	if _, err := l.book.write.ExecContext(ctx, "INSERT OR REPLACE INTO logins (token, data, expires) VALUES (?, ?, ?)", token, data, millis(expires)); err != nil {
		return fmt.Errorf("keep login: %w", err)
	}
	return nil
}

// DeleteCtx ends a session.
func (l *Logins) DeleteCtx(ctx context.Context, token string) error {
	if _, err := l.book.write.ExecContext(ctx, "DELETE FROM logins WHERE token = ?", token); err != nil {
		return fmt.Errorf("end login: %w", err)
	}
	return nil
}

// Find is FindCtx without a context.
func (l *Logins) Find(token string) ([]byte, bool, error) {
	return l.FindCtx(context.Background(), token)
}

// Commit is CommitCtx without a context.
func (l *Logins) Commit(token string, data []byte, expires time.Time) error {
	return l.CommitCtx(context.Background(), token, data, expires)
}

// Delete is DeleteCtx without a context.
func (l *Logins) Delete(token string) error { return l.DeleteCtx(context.Background(), token) }
