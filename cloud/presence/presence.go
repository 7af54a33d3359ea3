package presence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard"
)

// SourceCloud is the CloudEvents source of the alarms that presence raises.
const SourceCloud = "shedcloud"

// Subject is the CloudEvents subject of a shed seen from the cloud.
func Subject(shed string) string { return "shed/" + shed }

// State is how a shed's gateway is, as the collector sees it.
type State string

// The states of a gateway.
const (
	StateUnknown State = "unknown" // no status yet, or a retained online that nothing has borne out
	StateOnline  State = "online"
	StateSilent  State = "silent"
	StateOffline State = "offline"
	StateStopped State = "stopped"
)

// The defaults of Limits.
const (
	DefaultTrust  = 90 * time.Second
	DefaultSilent = 60 * time.Second
)

const (
	judgeEvery = time.Second
	putLimit   = 10 * time.Second
)

// Limits are the waits of the judgement; the zero value of each is its default.
type Limits struct {
	Trust  time.Duration // a retained online without traffic for so long is not believed
	Silent time.Duration // connected and without telemetry for so long is silent
}

// Open is an alarm of source shedcloud that was open when the collector ended.
type Open struct {
	Shed  string
	Alarm shedguard.Alarm
}

// Options says what presence knows at start and whom it tells.
type Options struct {
	Limits Limits
	BootID string // a ULID, one a start of the collector
	// Open lists the alarms of source shedcloud that are open in the book.
	Open func(ctx context.Context) ([]Open, error)
	// Put commits an event and returns nil once that is done. An event that
	// failed is offered again with the same id.
	Put func(ctx context.Context, e shedguard.Event) error
	// Set is told of every new state of a shed, until it returns nil; may be nil.
	Set func(ctx context.Context, shed string, s State, since time.Time) error
	// Listening reports whether the collector hears and stores everything that
	// gateways say; nil for always.
	Listening func() bool
	// Text words an alarm; nil for shedguard.AlarmText.
	Text func(subject string, a *shedguard.Alarm) shedguard.Text
	Log  *slog.Logger
}

// Watch follows every shed. Its methods are safe for concurrent use and never
// wait for input or output.
type Watch struct {
	opts  Options
	begun time.Time
	wake  chan struct{}

	mu        sync.Mutex // guards the fields below, never held over I/O
	sheds     map[string]*followed
	listening time.Time // since when; zero while the collector does not listen
	seq       uint64
}

// followed is a shed with what was said of it.
type followed struct {
	shed
	alarms [3]alarm // offline, silent, clock
	set    State    // what Set was told
	setAt  time.Time
}

// alarm is one cause of one shed.
type alarm struct {
	open    *shedguard.Alarm // committed and not cleared
	pending *shedguard.Event // to be committed
	next    *shedguard.Alarm // what open is once pending is
}

// New checks the options, every fault at once.
func New(opts Options) (*Watch, error) {
	var errs []error
	if opts.Limits.Trust == 0 {
		opts.Limits.Trust = DefaultTrust
	}
	if opts.Limits.Silent == 0 {
		opts.Limits.Silent = DefaultSilent
	}
	if opts.Text == nil {
		opts.Text = shedguard.AlarmText
	}
	if opts.Limits.Trust < time.Second || opts.Limits.Silent < time.Second {
		errs = append(errs, fmt.Errorf("limits: trust %v, silent %v: want 1s or more", opts.Limits.Trust, opts.Limits.Silent))
	}
	if !shedguard.ValidID(opts.BootID) {
		errs = append(errs, fmt.Errorf("boot id: %q: want a ULID", opts.BootID))
	}
	if opts.Put == nil || opts.Open == nil || opts.Log == nil {
		errs = append(errs, errors.New("open, put and log: required"))
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("presence: %w", errors.Join(errs...))
	}
	return &Watch{opts: opts, begun: time.Now(), wake: make(chan struct{}, 1), sheds: make(map[string]*followed)}, nil
}

// Run reads the open alarms, then raises and clears until ctx ends. It returns
// an error only when the open alarms cannot be read.
func (w *Watch) Run(ctx context.Context) error {
	open, err := w.opts.Open(ctx)
	if err != nil {
		return fmt.Errorf("presence: open alarms: %w", err)
	}
	w.mu.Lock()
	for i := range open {
		if n, ok := slot(open[i].Alarm.Cause); ok {
			w.follow(open[i].Shed).alarms[n].open = &open[i].Alarm
		}
	}
	w.mu.Unlock()
	tick := time.NewTicker(judgeEvery)
	defer tick.Stop()
	said := ""
	for {
		err := w.turn(ctx, time.Now())
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			w.opts.Log.Error("cannot tell how gateways are", "err", err, "retry_in", judgeEvery)
		}
		wake := w.wake
		if err != nil {
			wake = nil // news must not defeat the wait
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-wake:
		}
	}
}

func slot(c shedguard.Cause) (int, bool) {
	for i, cause := range causes() {
		if c == cause {
			return i, true
		}
	}
	return 0, false
}

func causes() [3]shedguard.Cause {
	return [3]shedguard.Cause{shedguard.CauseGatewayOffline, shedguard.CauseGatewaySilent, shedguard.CauseClockUnsynced}
}

func severity(c shedguard.Cause) shedguard.Severity {
	switch c {
	case shedguard.CauseGatewayOffline:
		return shedguard.SeverityMajor
	case shedguard.CauseGatewaySilent:
		return shedguard.SeverityMinor
	default:
		return shedguard.SeverityWarning
	}
}

// follow finds or begins a shed; w.mu is held.
func (w *Watch) follow(shed string) *followed {
	f := w.sheds[shed]
	if f == nil {
		f = &followed{}
		f.state = StateUnknown
		w.sheds[shed] = f
	}
	return f
}

// Status tells of a status message.
func (w *Watch) Status(shed string, s shedguard.Status, retained bool, at time.Time) {
	w.with(shed, func(f *followed) { f.status(&s, retained, at) })
}

// Traffic tells of a message that a gateway itself sent.
func (w *Watch) Traffic(shed string, at time.Time) {
	w.with(shed, func(f *followed) { f.traffic(at) })
}

// Telemetry tells of a telemetry message: lines that were stored, and lines
// that were refused for their time.
func (w *Watch) Telemetry(shed string, good, untimely int, at time.Time) {
	w.with(shed, func(f *followed) { f.lines(good, untimely, at) })
}

func (w *Watch) with(shed string, do func(*followed)) {
	w.mu.Lock()
	f := w.follow(shed)
	before := f.state
	do(f)
	changed := !w.listening.IsZero() && f.judge(&w.opts.Limits, time.Now(), w.listening).state != before
	w.mu.Unlock()
	if changed {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// State is how a shed's gateway is, and since when.
func (w *Watch) State(shed string) (State, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.sheds[shed]; f != nil {
		return f.state, f.since
	}
	return StateUnknown, time.Time{}
}

// job is one thing to tell.
type job struct {
	shed  string
	slot  int
	event *shedguard.Event // nil: tell the state
	state State
	since time.Time
}

// turn judges every shed and tells what changed.
func (w *Watch) turn(ctx context.Context, now time.Time) error {
	var errs []error
	jobs, err := w.judge(now)
	errs = append(errs, err)
	for _, j := range jobs {
		if ctx.Err() != nil {
			break
		}
		if err := w.tell(ctx, j); err != nil {
			errs = append(errs, fmt.Errorf("shed %s: %w", j.shed, err))
			break // what ails one ails the book: the rest waits for the next turn
		}
	}
	return errors.Join(errs...)
}

func (w *Watch) tell(ctx context.Context, j job) error {
	ctx, cancel := context.WithTimeout(ctx, putLimit)
	defer cancel()
	if j.event == nil {
		if err := w.opts.Set(ctx, j.shed, j.state, j.since); err != nil {
			return err
		}
		w.mu.Lock()
		w.sheds[j.shed].set, w.sheds[j.shed].setAt = j.state, j.since
		w.mu.Unlock()
		return nil
	}
	if err := w.opts.Put(ctx, *j.event); err != nil {
		return err
	}
	w.mu.Lock()
	a := &w.sheds[j.shed].alarms[j.slot]
	a.open, a.pending, a.next = a.next, nil, nil
	w.mu.Unlock()
	return nil
}

// judge collects what is to be told.
func (w *Watch) judge(now time.Time) ([]job, error) {
	hears := w.opts.Listening == nil || w.opts.Listening()
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !hears:
		w.listening = time.Time{}
	case w.listening.IsZero():
		w.listening = now
	}
	var jobs []job
	var errs []error
	for name, f := range w.sheds {
		if hears {
			v := f.judge(&w.opts.Limits, now, w.listening)
			if v.offline.word == unsaid && f.alarms[0].open != nil && v.silent.word == stands {
				v.silent.word = unsaid // not back yet, as far as is known: of course it is silent
			}
			for n, x := range [3]fault{v.offline, v.silent, v.clock} {
				if err := w.decide(name, f, n, x, now); err != nil {
					errs = append(errs, err)
				}
			}
		}
		for n := range f.alarms {
			if e := f.alarms[n].pending; e != nil {
				jobs = append(jobs, job{shed: name, slot: n, event: e})
			}
		}
		if w.opts.Set != nil && hears && f.state != StateUnknown && (f.state != f.set || !f.since.Equal(f.setAt)) {
			jobs = append(jobs, job{shed: name, state: f.state, since: f.since})
		}
	}
	return jobs, errors.Join(errs...)
}

// decide makes the event of an alarm that begins or ends; w.mu is held.
func (w *Watch) decide(name string, f *followed, n int, x fault, now time.Time) error {
	a := &f.alarms[n]
	if a.pending != nil {
		return nil // one after the other
	}
	cause := causes()[n]
	var next shedguard.Alarm
	typ := shedguard.EventAlarmRaised
	switch {
	case x.word == stands && a.open == nil:
		next = shedguard.Alarm{
			ID: newID(now), Cause: cause, Severity: severity(cause), Level: int(severity(cause)),
			RaisedAt: now.UTC(), Since: x.since.UTC(), Action: shedguard.ActionNone, Evidence: []string{},
		}
		if x.limit > 0 {
			next.Value, next.Limit, next.Unit = x.value, x.limit, "s"
		}
	case x.word == over && a.open != nil:
		next = *a.open
		next.Severity, next.Level = shedguard.SeverityCleared, 0
		typ = shedguard.EventAlarmCleared
	default:
		return nil
	}
	w.seq++
	next.Stamp = shedguard.Stamp{Clock: shedguard.ClockSynced, MonoMS: now.Sub(w.begun).Milliseconds(), BootID: w.opts.BootID, Seq: w.seq}
	next.Text = w.opts.Text(Subject(name), &next)
	e, err := shedguard.NewEvent(newID(now), SourceCloud, typ, Subject(name), now, &next)
	if err != nil {
		return fmt.Errorf("shed %s: %w", name, err)
	}
	a.pending, a.next = &e, &next
	if typ == shedguard.EventAlarmCleared {
		a.next = nil
	}
	return nil
}

func newID(at time.Time) string {
	return ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy()).String()
}
