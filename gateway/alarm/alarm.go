package alarm

import (
	"context"
	"log/slog"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// Options are what a book needs. All are required.
type Options struct {
	Path    string // of the state file; its folder must exist
	Shed    string
	BootID  string // a new ULID each start
	Outlets []int  // that start latched when the file cannot be read
	Started time.Time
	// Put hands an event to the outbox; it is durable when Put returns nil.
	// An event that was put before may come again, with the same id.
	Put   func(ctx context.Context, e shedguard.Event) error
	Clock func() shedguard.ClockQuality
	Log   *slog.Logger
}

// Book is the alarm book of one gateway.
type Book struct{}

// Observation is the level of one subject's protection.
type Observation struct {
	Subject   string
	Decisions []protect.Decision
	Judged    bool   // see protect.Verdict: until then the lack of a decision clears nothing
	By        string // who reset the outlet, when a reset led to this observation
}

// Fault is an alarm condition that is not protection's.
type Fault struct {
	Cause    shedguard.Cause
	Severity shedguard.Severity
	Grade    shedguard.Grade
	Action   shedguard.Action
	Value    float64
	Limit    float64
	Unit     string
	Since    time.Time // zero: now
	Latched  bool
}

// Kept is what the book keeps of an outlet besides its alarms.
type Kept struct {
	Heat    float64        `json:"heat"` // protect.UnknownHeat when unknown
	Session session.Record `json:"session"`
}

// Open reads the book at opts.Path, or begins one. It errs only when the
// options are wrong: a file that cannot be read is set aside and Lost is true.
func Open(ctx context.Context, opts Options, now time.Time) (*Book, error) { return &Book{}, nil }

// Lost reports whether the file could not be read at Open.
func (b *Book) Lost() bool { return false }

// Observe works out what changed for one subject's protection and says so.
func (b *Book) Observe(ctx context.Context, o Observation, now time.Time) error { return nil }

// Raise says that a fault stands. A fault that is open already, by subject and
// cause, is updated when it moved enough.
func (b *Book) Raise(ctx context.Context, subject string, f Fault, now time.Time) error { return nil }

// Clear says that a fault no longer stands; by is the person who ended it, if
// one did. A fault that is not open is no error.
func (b *Book) Clear(ctx context.Context, subject string, cause shedguard.Cause, by string, now time.Time) error {
	return nil
}

// Acknowledge says that a person has seen an alarm. It errs with [ErrNotOpen]
// when no open alarm has that id; a repeated one changes nothing.
func (b *Book) Acknowledge(ctx context.Context, alarmID, by string, now time.Time) error { return nil }

// Stamped is the data of an event that carries a [shedguard.Stamp].
type Stamped interface{ SetStamp(s shedguard.Stamp) }

// Emit sends an event that is not an alarm. It fills the stamp of data.
func (b *Book) Emit(ctx context.Context, typ, subject string, at time.Time, data Stamped) error {
	return nil
}

// Keep remembers an outlet's heat and session; they are on disk with the next
// Save, or sooner.
func (b *Book) Keep(outlet int, k Kept) {}

// Kept is what the book keeps of an outlet, or false.
func (b *Book) Kept(outlet int) (Kept, bool) { return Kept{}, false }

// Save writes the book when that is worth it, hands on waiting events and
// sends updates that were held back. It is to be called every ten seconds and
// at the end.
func (b *Book) Save(ctx context.Context, now time.Time) error { return nil }

// Open is a copy of the open alarms, oldest first.
func (b *Book) Open() []Entry { return nil }

// Entry is an open alarm and what it is about.
type Entry struct {
	Subject        string
	Alarm          shedguard.Alarm
	AcknowledgedBy string // empty: nobody yet
}

// Latched is the latched causes of an outlet, for protect.NewState.
func (b *Book) Latched(outlet int) protect.Causes { return 0 }

// Waiting is how many events the outbox has not taken yet.
func (b *Book) Waiting() int { return 0 }

// Dropped is how many events were given up because too many waited.
func (b *Book) Dropped() uint64 { return 0 }
