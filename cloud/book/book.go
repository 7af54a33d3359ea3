package book

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/shedguard/shedguard"
)

// SeenEvery is how often Seen writes a shed's last_seen to the disk.
const SeenEvery = 10 * time.Second

// Options are what a book needs.
type Options struct {
	Path string
	Log  *slog.Logger
	// Changed is told what each committed write made different. It is called
	// on the writer's goroutine after the commit and must not block. May be nil.
	Changed func(Change)
}

// Book is an open alarm book. It is safe for concurrent use.
type Book struct{}

// Open opens the book at opts.Path, makes it when it is not there, and brings
// its tables up to date.
func Open(ctx context.Context, opts Options) (*Book, error) { return nil, errors.ErrUnsupported }

// Close closes the book.
func (b *Book) Close() error { return errors.ErrUnsupported }

// PutEvent keeps an event of a gateway (or of the collector itself). It
// reports false when the book already had it.
func (b *Book) PutEvent(ctx context.Context, e shedguard.Event, received time.Time) (fresh bool, err error) {
	return false, errors.ErrUnsupported
}

// PutStatus keeps what a gateway says of itself. It reports false for a word
// of a connection that was already replaced.
func (b *Book) PutStatus(ctx context.Context, shed string, s shedguard.Status, received time.Time, retained bool) (accepted bool, err error) {
	return false, errors.ErrUnsupported
}

// SetState is the collector's own judgement of a gateway: offline, silent, or
// online again. It reports whether it changed anything.
func (b *Book) SetState(ctx context.Context, shed string, s State, since time.Time) (changed bool, err error) {
	return false, errors.ErrUnsupported
}

// PutReply keeps a gateway's reply.
func (b *Book) PutReply(ctx context.Context, shed string, r shedguard.Reply, received time.Time) error {
	return errors.ErrUnsupported
}

// PutCommand keeps a command before it is sent.
func (b *Book) PutCommand(ctx context.Context, shed string, c shedguard.Command) error {
	return errors.ErrUnsupported
}

// Seen notes that a shed was heard (not a retained message).
func (b *Book) Seen(ctx context.Context, shed string, at time.Time) error {
	return errors.ErrUnsupported
}

// DeadLetter keeps a refused message with the reason.
func (b *Book) DeadLetter(ctx context.Context, d DeadLetter) error { return errors.ErrUnsupported }

// Sheds lists every shed by name.
func (b *Book) Sheds(ctx context.Context) ([]Shed, error) { return nil, errors.ErrUnsupported }

// Shed is one shed.
func (b *Book) Shed(ctx context.Context, id string) (Shed, error) {
	return Shed{}, errors.ErrUnsupported
}

// Alarms is one page of alarms, newest first, and the cursor of the next page
// ("" when this is the last).
func (b *Book) Alarms(ctx context.Context, q AlarmQuery) (page []Alarm, next string, err error) {
	return nil, "", errors.ErrUnsupported
}

// OpenAlarm is the open alarm of a shed with that subject and cause, or
// ErrNotFound.
func (b *Book) OpenAlarm(ctx context.Context, shed, subject string, cause shedguard.Cause) (Alarm, error) {
	return Alarm{}, errors.ErrUnsupported
}
