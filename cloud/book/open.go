package book

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations/*.sql
var migrations embed.FS

// SeenEvery is how often [Book.FlushSeen] is to be called.
const SeenEvery = 10 * time.Second

// readers is how many queries run at the same time. Reading never waits for
// the writer (write-ahead log).
const readers = 4

// Options are what a book needs.
type Options struct {
	Path string
	Log  *slog.Logger
	// Changed is told what each committed write made different. It is called
	// on the writer's goroutine after the commit and must not block. May be nil.
	Changed func(Change)
}

// Book is an open alarm book. It is safe for concurrent use.
type Book struct {
	write   *sql.DB // one connection
	read    *sql.DB
	log     *slog.Logger
	changed func(Change)

	mu   sync.Mutex
	seen map[string]seen // guarded by mu; by shed
}

// seen is when a shed was last heard, and which of that the disk knows.
type seen struct{ at, written time.Time }

// Open opens the book at opts.Path, makes it when it is not there, and brings
// its tables up to date. A file that is not a sound book gives [ErrDamaged]
// and is left as it is.
func Open(ctx context.Context, opts Options) (*Book, error) {
	if opts.Path == "" {
		return nil, errors.New("open book: path: required")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Changed == nil {
		opts.Changed = func(Change) {}
	}
	if err := ensure(ctx, opts.Path); err != nil {
		return nil, fmt.Errorf("open book %s: %w", opts.Path, explain(err, opts.Path))
	}
	b := &Book{log: opts.Log, changed: opts.Changed, seen: map[string]seen{}}
	if err := b.open(ctx, opts.Path); err != nil {
		return nil, fmt.Errorf("open book %s: %w", opts.Path, errors.Join(explain(err, opts.Path), b.Close())) //nolint:contextcheck // what is open is closed whatever ctx says
	}
	return b, nil
}

// ensure makes the book under another name first, so that an empty or half
// made file under its own name is always damage and never a fresh start.
func ensure(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Size() == 0:
		return fmt.Errorf("%w: it is empty", ErrDamaged)
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		return fmt.Errorf("%w: its write-ahead log %s-wal is there, the file itself is not", ErrDamaged, path)
	}
	fresh := path + ".new"
	for _, leftover := range []string{fresh, fresh + "-wal", fresh + "-shm"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	db, err := connect(fresh, 1, "")
	if err != nil {
		return err
	}
	if err := errors.Join(migrate(ctx, db), db.Close()); err != nil {
		return err
	}
	if err := os.Chmod(fresh, 0o600); err != nil { // it holds password hashes; the log beside it takes the same mode
		return err
	}
	return os.Rename(fresh, path)
}

func (b *Book) open(ctx context.Context, path string) (err error) {
	if b.write, err = connect(path, 1, ""); err != nil {
		return err
	}
	var verdict string
	if err := b.write.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", ErrDamaged, verdict)
	}
	if err := migrate(ctx, b.write); err != nil {
		return err
	}
	if b.read, err = connect(path, readers, "&_pragma=query_only(1)"); err != nil {
		return err
	}
	return b.read.PingContext(ctx)
}

// connect opens one pool. A commit is on the disk when it returns; whoever
// finds the file locked waits for five seconds.
func connect(path string, conns int, more string) (*sql.DB, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_txlock=immediate&_pragma=busy_timeout(5000)" +
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" + more
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	have, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; have > newest {
		return fmt.Errorf("the file is of version %d, this program knows up to %d: use the newer shedcloud that wrote it, or its backup of before", have, newest)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrations: %w", err)
	}
	return nil
}

// explain turns SQLite's words for a bad file into ErrDamaged, and says what
// a person can do.
func explain(err error, path string) error {
	var se *sqlite.Error
	if errors.As(err, &se) && (se.Code()&0xff == sqlite3.SQLITE_CORRUPT || se.Code()&0xff == sqlite3.SQLITE_NOTADB) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if errors.Is(err, ErrDamaged) {
		return fmt.Errorf("%w; nothing was changed. Stop shedcloud, keep a copy of %s* and either put a backup in its place, or recover it with `sqlite3 %s .recover`, or move it away to begin an empty book (open alarms come again from the gateways' outboxes only if they were not acknowledged yet)", err, path, path)
	}
	return err
}

// Close writes what is still only in memory and closes the book.
func (b *Book) Close() error {
	var errs []error
	if b.write != nil && b.read != nil {
		errs = append(errs, b.FlushSeen(context.Background()))
	}
	for _, db := range []*sql.DB{b.read, b.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Ping reports whether the book can be read and its writer answers.
func (b *Book) Ping(ctx context.Context) error {
	var one int
	return errors.Join(
		b.read.QueryRowContext(ctx, "SELECT 1 FROM sqlite_schema LIMIT 1").Scan(&one),
		b.write.PingContext(ctx),
	)
}

// Prune deletes what no one will ask for any more: events that are no alarm's,
// commands and replies older than before, and logins that ended before now.
// Alarms and their history stay.
func (b *Book) Prune(ctx context.Context, before, now time.Time) (deleted int64, err error) {
	err = b.tx(ctx, func(tx *sql.Tx) error {
		for _, q := range []struct {
			sql string
			at  time.Time
		}{
			{"DELETE FROM events WHERE alarm_id IS NULL AND received_at < ?", before},
			{"DELETE FROM commands WHERE issued_at < ?", before},
			{"DELETE FROM replies WHERE received_at < ?", before},
			{"DELETE FROM logins WHERE expires < ?", now},
		} {
			res, err := tx.ExecContext(ctx, q.sql, millis(q.at))
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			deleted += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("prune book: %w", err)
	}
	return deleted, nil
}

// tx runs f in one transaction and returns nil once it is on the disk.
func (b *Book) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := b.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// millis is how an instant is kept: milliseconds since 1970, 0 for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
