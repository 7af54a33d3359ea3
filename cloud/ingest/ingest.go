package ingest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

// ErrNotConnected comes from Command while the link to the broker is down.
var ErrNotConnected = errors.New("not connected to the broker")

// ErrNoReply comes from Command when the gateway did not answer in time.
var ErrNoReply = errors.New("no reply from the gateway")

// ledger is where alarms, events, statuses and replies are committed; a
// book.Book satisfies it. A method returns nil after the commit and may be
// called twice with the same message.
type ledger interface {
	PutEvent(ctx context.Context, e shedguard.Event, received time.Time) (fresh bool, err error)
	PutStatus(ctx context.Context, shed string, s shedguard.Status, received time.Time, retained bool) (accepted bool, err error)
	PutReply(ctx context.Context, shed string, r shedguard.Reply, received time.Time) error
	Seen(shed string, at time.Time)
	DeadLetter(ctx context.Context, d book.DeadLetter) error
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
	Telemetry(shed string, good, untimely int, at time.Time)
}

// DefaultWindow is the default of Options.Window.
const DefaultWindow = 500

// Options says where a collector gets messages and where it puts them.
type Options struct {
	Broker   string // tcp://host:port, ssl://host:port
	ClientID string // the sessions are ClientID-book, ClientID-series and ClientID-send
	Group    string // of collectors that share the telemetry; empty: this one takes all of it
	Username string
	Password string
	TLS      *tls.Config // for ssl; nil for the machine's roots
	Window   int         // telemetry messages per batch; default DefaultWindow
	Book     ledger
	Series   store
	Watch    watcher // may be nil
	// Evidence keeps a picture of an alarm, as book.Book.PutEvidence does; nil
	// refuses pictures.
	Evidence func(ctx context.Context, shed, alarmID string, n int, jpeg []byte, received time.Time) error
	// Live is shown the points that were just stored. It must not block nor
	// keep the slice. May be nil.
	Live func(points []shedguard.Point)
	Log  *slog.Logger
}

// Collector takes what gateways publish and stores it. It is safe for
// concurrent use.
type Collector struct {
	opts     Options
	book     *link
	series   *link
	send     *link
	refusals *refusals
	acks     chan ack

	messages, points, values, retries, acksLost atomic.Uint64

	storing atomic.Int64 // since when the batch in hand is being stored, Unix ms; 0 for none

	mu      sync.Mutex // guards waiting, never held over I/O
	waiting map[string]chan shedguard.Reply
}

// New checks the options, every fault at once.
func New(opts Options) (*Collector, error) {
	var errs []error
	u, err := url.Parse(opts.Broker)
	if err != nil || u.Host == "" || (u.Scheme != "tcp" && u.Scheme != "ssl") {
		errs = append(errs, fmt.Errorf("broker: %q: want tcp://host:port or ssl://host:port", opts.Broker))
	}
	if opts.Window == 0 {
		opts.Window = DefaultWindow
	}
	if opts.ClientID == "" {
		errs = append(errs, errors.New("client id: required"))
	}
	if strings.ContainsAny(opts.Group, "/+#") {
		errs = append(errs, fmt.Errorf("group: %q: want no / + #", opts.Group))
	}
	if opts.Window < 1 || opts.Window > maxQueued {
		errs = append(errs, fmt.Errorf("window: %d: want 1 to %d", opts.Window, maxQueued))
	}
	if opts.Book == nil || opts.Series == nil || opts.Log == nil {
		errs = append(errs, errors.New("book, series and log: required"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("ingest: %w", errors.Join(errs...))
	}
	c := &Collector{opts: opts, refusals: newRefusals(opts.Log), acks: make(chan ack, maxAcks), waiting: make(map[string]chan shedguard.Reply)}
	c.book = newLink(
		&c.opts, "book",
		shedguard.Topic("+", shedguard.ClassStatus), shedguard.Topic("+", shedguard.ClassAlarm), shedguard.Topic("+", shedguard.ClassEvent),
		shedguard.Topic("+", shedguard.ClassReply), shedguard.Topic("+", shedguard.ClassEvidence)+"/+/+",
	)
	telemetry := shedguard.Topic("+", shedguard.ClassTelemetry)
	if opts.Group != "" {
		telemetry = "$share/" + opts.Group + "/" + telemetry
	}
	c.series = newLink(&c.opts, "series", telemetry)
	c.send = newLink(&c.opts, "send")
	return c, nil
}

// Run serves the sessions until ctx ends, and reconnects by itself. It returns
// nil when ctx ended. What was received and not stored by then comes again to
// the next collector with the same client id.
func (c *Collector) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return c.book.run(ctx) })
	g.Go(func() error { return c.series.run(ctx) })
	g.Go(func() error { return c.send.run(ctx) })
	g.Go(func() error { return c.keepBook(ctx) })
	g.Go(func() error { return c.keepSeries(ctx) })
	g.Go(func() error { return c.sendAcks(ctx) })
	g.Go(func() error { return c.refusals.run(ctx, c.opts.Book) })
	return g.Wait()
}

// Connected reports whether every session is connected and subscribed.
func (c *Collector) Connected() bool {
	return c.book.connected() && c.series.connected() && c.send.connected()
}

// Listening reports whether whatever gateways say is heard and stored: every
// session is up and no attempt to store is failing or taking long. Otherwise a
// gateway that seems silent may not be.
func (c *Collector) Listening() bool {
	begun := c.storing.Load()
	return c.Connected() && (begun == 0 || time.Since(time.UnixMilli(begun)) < storeLimit)
}

// Command publishes cmd to a shed's gateway and waits for its reply, at most
// until cmd.ExpiresAt or the end of ctx. A refusal by the gateway is a reply
// and no error.
func (c *Collector) Command(ctx context.Context, shed string, cmd shedguard.Command) (shedguard.Reply, error) {
	fail := func(err error) (shedguard.Reply, error) {
		return shedguard.Reply{}, fmt.Errorf("command %s to %s: %w", cmd.Kind, shed, err)
	}
	if err := cmd.Validate(); err != nil {
		return fail(err)
	}
	if !shedguard.ValidShedID(shed) {
		return fail(fmt.Errorf("shed id %q is not valid", shed))
	}
	payload, err := json.Marshal(cmd)
	if err != nil {
		return fail(err)
	}
	if len(payload) > shedguard.MaxCommandBytes {
		return fail(fmt.Errorf("%d bytes: want at most %d", len(payload), shedguard.MaxCommandBytes))
	}
	if !c.Connected() {
		return fail(ErrNotConnected)
	}
	answer := make(chan shedguard.Reply, 1)
	if !c.expect(cmd.ID, answer) {
		return fail(fmt.Errorf("id %s is already under way", cmd.ID))
	}
	defer c.expect(cmd.ID, nil)
	ctx, cancel := context.WithDeadlineCause(ctx, cmd.ExpiresAt, ErrNoReply)
	defer cancel()
	token, err := c.send.publish(shedguard.Topic(shed, shedguard.ClassCommand), payload)
	if err != nil {
		return fail(err)
	}
	sent := token.Done()
	for {
		select {
		case <-sent:
			if err := token.Error(); err != nil {
				return fail(err)
			}
			sent = nil
		case r := <-answer:
			return r, nil
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fail(ErrNoReply)
			}
			return fail(context.Cause(ctx))
		}
	}
}

// expect sets who waits for the reply to a command, or nobody.
func (c *Collector) expect(id string, answer chan shedguard.Reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer == nil {
		delete(c.waiting, id)
		return true
	}
	if c.waiting[id] != nil {
		return false
	}
	c.waiting[id] = answer
	return true
}

// answer hands a reply to who waits for it.
func (c *Collector) answer(r shedguard.Reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case c.waiting[r.ID] <- r:
	default: // nobody waits, or it was answered before
	}
}

// Stats is what a collector has counted since it was made.
type Stats struct {
	Messages    uint64            // received and dealt with
	Points      uint64            // lines of telemetry stored
	Values      uint64            // numbers in them
	Refused     map[string]uint64 // payloads and lines by reason
	LettersLost uint64            // dead letters that the book did not take
	AcksLost    uint64            // acks that could not be sent; their events come again
	Retries     uint64            // failed attempts to store
	Connects    uint64            // connections of all sessions, first ones included
	Overruns    uint64            // connections ended because too much was in hand
	BookQueue   int               // messages in hand, not yet stored
	SeriesQueue int
}

// Stats is a copy of the counters.
func (c *Collector) Stats() Stats {
	s := Stats{
		Messages: c.messages.Load(), Points: c.points.Load(), Values: c.values.Load(),
		AcksLost: c.acksLost.Load(), Retries: c.retries.Load(),
		BookQueue: len(c.book.queue), SeriesQueue: len(c.series.queue),
		Refused: make(map[string]uint64),
	}
	for _, l := range []*link{c.book, c.series, c.send} {
		s.Connects += l.connects.Load()
		s.Overruns += l.overruns.Load()
	}
	c.refusals.mu.Lock()
	defer c.refusals.mu.Unlock()
	s.LettersLost = c.refusals.lost
	maps.Copy(s.Refused, c.refusals.byReason)
	return s
}
