package alarm

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

const (
	updateEvery = 10 * time.Second // shortest time between two updates of an alarm
	updateShare = 0.1              // of the limit, that a value must move to be said
	heatShare   = 0.01             // of the trip heat, that an image must move to be written
	keepAtMost  = time.Minute      // how long a lesser change waits to be written
	maxWaiting  = 256              // events kept for an outbox that takes none
)

// ErrNotOpen is returned by Acknowledge when no open alarm has the id: it was
// cleared meanwhile, or never was.
var ErrNotOpen = errors.New("no such open alarm")

// Options are what a book needs. All but Damping and Inhibit are required.
type Options struct {
	Path    string // of the state file; its folder must exist
	Shed    string
	BootID  string    // a new ULID each start
	Outlets []int     // that start latched when the file cannot be read
	Started time.Time // of the gateway, with its monotonic part
	// Put hands an event to the outbox; it is durable when Put returns nil.
	// An event that was put before may come again, with the same id.
	Put   func(ctx context.Context, e shedguard.Event) error
	Clock func() shedguard.ClockQuality
	Log   *slog.Logger
	// Damping is nil where everything is told as it comes and goes.
	Damping *Damping
	// Inhibit says which alarms stand for others.
	Inhibit []Inhibition
}

func (o *Options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(o.Path != "", "path: required")
	check(shedguard.ValidShedID(o.Shed), "shed: %q: want a shed id", o.Shed)
	check(shedguard.ValidID(o.BootID), "boot_id: %q: want a ULID", o.BootID)
	check(!o.Started.IsZero(), "started: required")
	check(o.Put != nil && o.Clock != nil && o.Log != nil, "put, clock, log: required")
	if d := o.Damping; d != nil {
		check(d.ReportAfter >= 0 && d.ClearAfter >= 0, "damping: report after %v, clear after %v: want 0 or more", d.ReportAfter, d.ClearAfter)
		check(d.FlapCount >= 2 && d.FlapCount <= maxFlaps, "damping: flap count: %d: want 2 to %d", d.FlapCount, maxFlaps)
		check(d.FlapWindow > 0 && d.FlapCalm >= d.ClearAfter, "damping: flap window %v, calm %v: want more than 0, at least clear after (%v)", d.FlapWindow, d.FlapCalm, d.ClearAfter)
	}
	for i := range o.Inhibit {
		check(o.Inhibit[i].Subject != "" && o.Inhibit[i].Cause != "", "inhibit[%d]: subject, cause: required", i)
	}
	return errors.Join(errs...)
}

// Observation is the level of one subject, all of it.
type Observation struct {
	Subject   string             // "outlet/3", "bus/main"
	Decisions []protect.Decision // what stands or is latched now
	Judged    bool               // see protect.Verdict: until then the lack of a decision clears nothing
	By        string             // who reset the subject, when a reset led to this observation
}

// Fault is an alarm condition that is told by itself and not with a level of
// its whole subject.
type Fault struct {
	Cause    shedguard.Cause
	Detail   shedguard.Detail
	Severity shedguard.Severity
	Grade    shedguard.Grade
	Action   shedguard.Action // empty: none
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
	Charge  charge.Record  `json:"charge"`
	// Closings is how long ago its relay closed, in seconds.
	Closings []float64 `json:"closings_s,omitempty"`
}

// Entry is an open alarm and what it is about.
type Entry struct {
	Subject        string
	Alarm          shedguard.Alarm
	AcknowledgedBy string // empty: nobody yet
}

// Stamped is the data of an event that carries a [shedguard.Stamp].
type Stamped interface{ SetStamp(to shedguard.Stamp) }

// Book is the alarm book of one gateway.
type Book struct {
	opts Options
	disk disk
	lost bool

	turn chan struct{} // whoever's token is in it may use the next group
	// Of the one whose turn it is.
	alarms      []*record
	waiting     []shedguard.Event
	stored      int // how many of waiting, from the oldest, are on disk
	seq         uint64
	onsets      []onset           // of the last flap window
	early       map[key]time.Time // since when what is not told yet stands
	suppression *actuate.SuppressionRecord
	stale       bool // the file lacks a change that must not be lost
	handed      bool // the file has events that the outbox took
	heat        map[int]float64
	written     time.Time

	mu      sync.Mutex // guards the rest
	open    []Entry
	queued  int
	dropped uint64
	kept    map[int]Kept
	urgent  bool // a session began or ended, a relay closed, or an outlet was switched off
	changed bool // anything else about kept
}

// record is one open alarm in the book.
type record struct {
	Subject        string          `json:"subject"`
	Observed       bool            `json:"observed,omitempty"` // told with a level; else as a Fault
	Alarm          shedguard.Alarm `json:"alarm"`              // as it was last said
	Raised         shedguard.Stamp `json:"raised"`             // of the raising
	AcknowledgedBy string          `json:"acknowledged_by,omitempty"`

	now  Fault     // what holds, said or not
	gone time.Time // since when it does not stand, in this boot; zero: it does
	said time.Time // in this boot; zero: not yet
	due  bool      // to be said although nothing moved
}

// Open reads the book at opts.Path, or begins one. It errs only when the
// options are wrong: a file that cannot be read is set aside, every outlet is
// latched with state_lost, and Lost is true.
func Open(opts Options, now time.Time) (*Book, error) {
	return open(opts, osDisk{}, now)
}

func open(opts Options, d disk, now time.Time) (*Book, error) {
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("alarm book: %w", err)
	}
	b := &Book{
		opts: opts, disk: d, turn: make(chan struct{}, 1), heat: map[int]float64{}, kept: map[int]Kept{}, early: map[key]time.Time{},
	}
	f, aside, err := load(d, opts.Path)
	if err != nil {
		opts.Log.Error("alarm book lost, every outlet needs a reset", "path", opts.Path, "err", err)
		b.lost = true
		b.begin(now, aside)
		b.publish()
		return b, nil
	}
	for i := range f.Alarms {
		r := &f.Alarms[i]
		r.now = faultOf(&r.Alarm)
		b.alarms = append(b.alarms, r)
	}
	b.waiting, b.stored = f.Waiting, len(f.Waiting)
	b.onsets, b.suppression = restore(f.Onsets, now), f.Suppression
	if f.Outlets != nil {
		b.kept = f.Outlets
	}
	for n, k := range b.kept {
		b.heat[n] = k.Heat
	}
	b.publish()
	return b, nil
}

// begin starts the book anew after its file was lost, and sets the file aside
// if there is one.
func (b *Book) begin(now time.Time, aside bool) {
	for _, outlet := range b.opts.Outlets {
		b.raise(shedguard.OutletSubject(outlet), Fault{
			Cause: shedguard.CauseStateLost, Severity: shedguard.SeverityMajor, Action: shedguard.ActionTripped, Latched: true,
		}, true, now, now)
	}
	b.suppression = &actuate.SuppressionRecord{Phase: shedguard.SuppressionUnknown}
	var name string
	if aside {
		name = b.opts.Path + ".corrupt-" + b.opts.BootID
	}
	if err := b.write(now, name); err != nil {
		b.opts.Log.Error("alarm book not written", "path", b.opts.Path, "err", err)
		return
	}
	if aside {
		b.opts.Log.Warn("alarm book set aside", "path", b.opts.Path, "as", name)
	}
}

// Lost reports whether the file could not be read at Open.
func (b *Book) Lost() bool { return b.lost }

// Observe works out what changed for one subject and says so.
func (b *Book) Observe(ctx context.Context, o Observation, now time.Time) error {
	var errs []error
	if err := validSubject(o.Subject); err != nil {
		return err
	}
	err := b.change(ctx, now, func() {
		for i := range o.Decisions {
			d := &o.Decisions[i]
			f := Fault{
				Cause: d.Cause, Detail: d.Detail, Grade: d.Grade, Severity: d.Severity, Action: d.Action, Value: d.Value,
				Limit: d.Limit, Unit: d.Unit, Since: d.Since, Latched: d.Latched,
			}
			if err := f.complete(now); err != nil {
				errs = append(errs, err)
				continue
			}
			b.stand(o.Subject, f, true, d.At, now)
		}
		b.uncover(o.Subject, o.Decisions, now)
		for k := range b.early {
			if k.subject == o.Subject && !has(o.Decisions, k.cause) {
				delete(b.early, k)
			}
		}
		for _, r := range slices.Clone(b.alarms) {
			if r.Subject != o.Subject || !r.Observed || has(o.Decisions, r.Alarm.Cause) {
				continue
			}
			// A latch, or a fault of an earlier boot, outlasts a look that saw nothing yet.
			if o.Judged || !r.Alarm.Latched && r.Raised.BootID == b.opts.BootID {
				b.end(r, o.By, now)
			}
		}
	})
	return errors.Join(append(errs, err)...)
}

func has(ds []protect.Decision, c shedguard.Cause) bool {
	return slices.ContainsFunc(ds, func(d protect.Decision) bool { return d.Cause == c })
}

// Raise says that a fault stands. A fault that is open already, by subject and
// cause, is updated when it moved enough.
func (b *Book) Raise(ctx context.Context, subject string, f Fault, now time.Time) error {
	if err := errors.Join(validSubject(subject), f.complete(now)); err != nil {
		return err
	}
	return b.change(ctx, now, func() {
		b.stand(subject, f, false, now, now)
	})
}

// Clear says that a fault no longer stands; by is the person who ended it, if
// one did. A fault that is not open is no error.
func (b *Book) Clear(ctx context.Context, subject string, cause shedguard.Cause, by string, now time.Time) error {
	return b.change(ctx, now, func() {
		delete(b.early, key{subject, cause})
		if r := b.find(subject, cause); r != nil {
			b.end(r, by, now)
		}
	})
}

// Acknowledge says that a person has seen an alarm. It errs with [ErrNotOpen]
// when no open alarm has that id; a repeated one changes nothing.
func (b *Book) Acknowledge(ctx context.Context, alarmID, by string, now time.Time) error {
	if by == "" {
		return fmt.Errorf("acknowledge %s: by: required", alarmID)
	}
	found := false
	err := b.change(ctx, now, func() {
		i := slices.IndexFunc(b.alarms, func(r *record) bool { return r.Alarm.ID == alarmID })
		if i < 0 {
			return
		}
		found = true
		if r := b.alarms[i]; r.AcknowledgedBy == "" {
			r.AcknowledgedBy = by
			a := r.Alarm
			a.By = by
			b.say(shedguard.EventAlarmAcknowledged, r.Subject, a, now, now)
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("acknowledge %q: %w", alarmID, ErrNotOpen)
	}
	return err
}

// Attach adds a piece of evidence to an alarm. It errs with [ErrNotOpen] when no
// open alarm has that id.
func (b *Book) Attach(ctx context.Context, alarmID, evidence string, now time.Time) error {
	found := false
	err := b.change(ctx, now, func() {
		i := slices.IndexFunc(b.alarms, func(r *record) bool { return r.Alarm.ID == alarmID })
		if i < 0 {
			return
		}
		found = true
		if r := b.alarms[i]; !slices.Contains(r.Alarm.Evidence, evidence) {
			r.Alarm.Evidence = append(slices.Clone(r.Alarm.Evidence), evidence)
			r.due, b.stale = true, true
		}
	})
	if err == nil && !found {
		err = fmt.Errorf("attach to %q: %w", alarmID, ErrNotOpen)
	}
	return err
}

// Emit sends an event that is not an alarm. It fills the stamp of data. What
// was kept of a session that began or ended is on disk before the event is
// handed on.
func (b *Book) Emit(ctx context.Context, typ, subject string, at time.Time, data Stamped) error {
	var invalid error
	err := b.change(ctx, at, func() {
		data.SetStamp(b.stamp(at))
		e, err := shedguard.NewEvent(newID(at), shedguard.Source(b.opts.Shed), typ, subject, at, data)
		if err != nil {
			b.seq-- // it was never said
			invalid = err
			return
		}
		b.queue(e)
	})
	return errors.Join(invalid, err)
}

// Keep remembers an outlet's heat and session. They are on disk with the next
// Save; a session that began or ended, with the next event. It errs when they
// cannot be written, and keeps what it had.
func (b *Book) Keep(outlet int, k Kept) error {
	if math.IsNaN(k.Heat) || math.IsInf(k.Heat, 0) {
		k.Heat = protect.UnknownHeat
	}
	if _, err := json.Marshal(k); err != nil {
		return fmt.Errorf("keep outlet %d: %w", outlet, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	old := b.kept[outlet]
	b.urgent = b.urgent || sessionID(old) != sessionID(k) || old.Session.Off != k.Session.Off || len(old.Closings) < len(k.Closings)
	b.changed = true
	b.kept[outlet] = k
	return nil
}

func sessionID(k Kept) string {
	if k.Session.Session == nil {
		return ""
	}
	return k.Session.Session.ID
}

// Write puts the book on disk now, whether it changed or not.
func (b *Book) Write(ctx context.Context, now time.Time) error {
	return b.change(ctx, now, func() { b.stale = true })
}

// KeepSuppression remembers how far the suppression output is. It is on disk
// when KeepSuppression returns nil.
func (b *Book) KeepSuppression(ctx context.Context, r actuate.SuppressionRecord, now time.Time) error {
	var failed error
	err := b.change(ctx, now, func() {
		b.suppression = &r
		failed = b.write(now, "")
	})
	if failed == nil {
		return nil // what else went wrong is not about this
	}
	return errors.Join(failed, err)
}

// Suppression is how far the suppression output was; unknown when the book was
// lost, for it may have released.
func (b *Book) Suppression() actuate.SuppressionRecord {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	if b.suppression == nil {
		return actuate.SuppressionRecord{}
	}
	return *b.suppression
}

// Kept is what the book keeps of an outlet. An outlet it knows nothing of has
// an unknown heat and no session.
func (b *Book) Kept(outlet int) Kept {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k, ok := b.kept[outlet]; ok {
		return k
	}
	return Kept{Heat: protect.UnknownHeat}
}

// Save hands on waiting events, says updates that were held back and writes
// the book when that is worth the wear: when an event or session is at stake,
// when a heat image moved by a hundredth, or when a lesser change is a minute
// old. It is to be called every ten seconds and at the end.
func (b *Book) Save(ctx context.Context, now time.Time) error {
	return b.change(ctx, now, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		old := now.Sub(b.written) >= keepAtMost
		b.stale = b.stale || b.handed || b.changed && (old || b.warmed())
	})
}

// warmed reports whether a heat image moved since it was written.
func (b *Book) warmed() bool {
	for n, k := range b.kept {
		if written, ok := b.heat[n]; !ok || math.Abs(k.Heat-written) >= heatShare {
			return true
		}
	}
	return false
}

// Open is a copy of the open alarms, oldest first.
func (b *Book) Open() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.open)
}

// Latched is the latched causes of an outlet, for protect.NewState.
func (b *Book) Latched(outlet int) protect.Causes {
	subject := shedguard.OutletSubject(outlet)
	b.mu.Lock()
	defer b.mu.Unlock()
	var set protect.Causes
	for _, e := range b.open {
		if e.Subject == subject && e.Alarm.Latched {
			set = set.With(e.Alarm.Cause)
		}
	}
	return set
}

// Waiting is how many events the outbox has not taken yet.
func (b *Book) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.queued
}

// Dropped is how many events were given up because too many waited: events
// that are no alarms first, then updates, then the oldest.
func (b *Book) Dropped() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

// change takes a turn: it lets f edit the book, says what follows, writes the
// file if it must and hands events on.
func (b *Book) change(ctx context.Context, now time.Time, f func()) error {
	select {
	case b.turn <- struct{}{}: // even when ctx has ended: what is known must not be lost
	default:
		select {
		case b.turn <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("alarm book: wait for a turn: %w", context.Cause(ctx))
		}
	}
	defer func() { <-b.turn }()

	f()
	b.expire(now)
	for _, r := range b.alarms {
		b.correct(r, now)
		b.update(r, now)
	}
	b.publish()

	b.mu.Lock()
	b.stale = b.stale || b.urgent
	b.mu.Unlock()
	var errWrite error
	if b.stale {
		errWrite = b.write(now, "")
	}
	errPut := b.handOn(ctx)
	if errWrite == nil && b.stored < len(b.waiting) { // what waits now must outlast a crash
		errWrite = b.write(now, "")
	}
	b.publish()
	return errors.Join(errWrite, errPut)
}

// handOn puts waiting events into the outbox, oldest first.
func (b *Book) handOn(ctx context.Context) error {
	for len(b.waiting) > 0 {
		e := b.waiting[0]
		if err := b.opts.Put(ctx, e); err != nil {
			return fmt.Errorf("put event %s: %w", e.ID, err)
		}
		b.waiting = slices.Delete(b.waiting, 0, 1)
		if b.stored > 0 {
			b.stored--
			b.handed = true
		}
	}
	return nil
}

// write puts the book on disk. A name for aside keeps the file that was there.
func (b *Book) write(now time.Time, aside string) error {
	b.stale = true
	f := file{Version: version, BootID: b.opts.BootID, SavedAt: now.UTC(), Waiting: b.waiting, Onsets: b.onsets, Suppression: b.suppression}
	for _, r := range b.alarms {
		f.Alarms = append(f.Alarms, *r)
	}
	b.mu.Lock()
	f.Outlets = make(map[int]Kept, len(b.kept))
	maps.Copy(f.Outlets, b.kept)
	urgent, changed := b.urgent, b.changed
	b.urgent, b.changed = false, false
	b.mu.Unlock()

	raw, err := encode(&f)
	if err == nil {
		err = replace(b.disk, b.opts.Path, aside, raw)
	}
	if err != nil {
		b.mu.Lock()
		b.urgent, b.changed = b.urgent || urgent, b.changed || changed
		b.mu.Unlock()
		return fmt.Errorf("write alarm book: %w", err)
	}
	b.stale, b.handed, b.written, b.stored = false, false, now, len(b.waiting)
	for n, k := range f.Outlets {
		b.heat[n] = k.Heat
	}
	return nil
}

func (b *Book) find(subject string, cause shedguard.Cause) *record {
	for _, r := range b.alarms {
		if r.Subject == subject && r.Alarm.Cause == cause {
			return r
		}
	}
	return nil
}

func (b *Book) raise(subject string, f Fault, observed bool, at, now time.Time) {
	r := &record{Subject: subject, Observed: observed, now: f, said: now}
	if f.Since.IsZero() {
		f.Since = at
	}
	r.Alarm = shedguard.Alarm{ID: newID(now), Cause: f.Cause, RaisedAt: wall(at), Since: wall(f.Since), Evidence: []string{}}
	f.tell(&r.Alarm)
	b.came(r, now)
	r.due = false // it is said here
	b.alarms = append(b.alarms, r)
	r.Raised = b.say(shedguard.EventAlarmRaised, subject, r.Alarm, at, now)
	r.Raised.MonoMS -= now.Sub(at).Milliseconds()
}

// correct sets the instants of an alarm right that was raised before the clock
// was.
func (b *Book) correct(r *record, now time.Time) {
	clock := b.opts.Clock()
	if r.Raised.Clock != shedguard.ClockUnsynced || r.Raised.BootID != b.opts.BootID || clock == shedguard.ClockUnsynced {
		return
	}
	raised := wall(now.Add(time.Duration(r.Raised.MonoMS)*time.Millisecond - now.Sub(b.opts.Started)))
	r.Alarm.Since = r.Alarm.Since.Add(raised.Sub(r.Alarm.RaisedAt))
	r.Alarm.RaisedAt = raised
	r.Raised.Clock = clock
	r.due = true
	b.stale = true
}

// update says what moved, unless something was said a moment ago. What became
// more severe is said at once.
func (b *Book) update(r *record, now time.Time) {
	f, a := &r.now, &r.Alarm
	moved := f.Limit > 0 && math.Abs(f.Value-a.Value) > updateShare*f.Limit ||
		f.Severity != a.Severity || f.Action != a.Action || f.Detail != a.Detail || f.Grade != a.Grade || f.Latched != a.Latched
	worse := f.Severity < a.Severity
	if !moved && !r.due || !worse && !r.said.IsZero() && now.Sub(r.said) < updateEvery {
		return
	}
	r.due, r.said = false, now
	f.tell(a)
	b.say(shedguard.EventAlarmUpdated, r.Subject, *a, now, now)
}

func (b *Book) clear(r *record, by string, now time.Time) {
	b.alarms = slices.DeleteFunc(b.alarms, func(o *record) bool { return o == r })
	a := r.Alarm
	a.Severity, a.Level, a.Latched, a.By = shedguard.SeverityCleared, 0, false, by
	b.say(shedguard.EventAlarmCleared, r.Subject, a, now, now)
}

// say queues the event of an alarm's change and returns its stamp.
func (b *Book) say(typ, subject string, a shedguard.Alarm, at, now time.Time) shedguard.Stamp {
	a.SetStamp(b.stamp(now))
	a.Text = shedguard.AlarmText(subject, &a)
	e, err := shedguard.NewEvent(newID(now), shedguard.Source(b.opts.Shed), typ, subject, at, a)
	if err != nil { // every part was checked on its way in
		b.opts.Log.Error("alarm event not made", "subject", subject, "cause", string(a.Cause), "err", err)
		b.drop()
		return a.Stamp
	}
	b.queue(e)
	b.stale = true
	return a.Stamp
}

func (b *Book) stamp(now time.Time) shedguard.Stamp {
	b.seq++
	return shedguard.Stamp{
		Clock: b.opts.Clock(), MonoMS: now.Sub(b.opts.Started).Milliseconds(), BootID: b.opts.BootID, Seq: b.seq,
	}
}

// queue adds an event to those the outbox is to take.
func (b *Book) queue(e shedguard.Event) {
	if len(b.waiting) >= maxWaiting {
		i := slices.IndexFunc(b.waiting, func(o shedguard.Event) bool { return !o.IsAlarm() })
		if i < 0 {
			i = slices.IndexFunc(b.waiting, func(o shedguard.Event) bool { return o.Type == shedguard.EventAlarmUpdated })
		}
		i = max(i, 0)
		b.waiting = slices.Delete(b.waiting, i, i+1)
		if i < b.stored {
			b.stored--
		}
		b.drop()
	}
	b.waiting = append(b.waiting, e)
}

func (b *Book) drop() {
	b.mu.Lock()
	b.dropped++
	b.mu.Unlock()
}

// publish puts the open alarms where readers find them.
func (b *Book) publish() {
	open := make([]Entry, len(b.alarms))
	for i, r := range b.alarms {
		open[i] = Entry{Subject: r.Subject, Alarm: r.Alarm, AcknowledgedBy: r.AcknowledgedBy}
		open[i].Alarm.Text = shedguard.AlarmText(r.Subject, &r.Alarm)
		open[i].Alarm.Stamp = r.Raised
	}
	b.mu.Lock()
	b.open, b.queued = open, len(b.waiting)
	b.mu.Unlock()
}

// complete checks a fault and fills what may be left out.
func (f *Fault) complete(now time.Time) error {
	if !f.Cause.WellFormed() {
		return fmt.Errorf("alarm: cause %q: want lower-case words joined by underscores", f.Cause)
	}
	if f.Severity < shedguard.SeverityCritical || f.Severity > shedguard.SeverityWarning {
		return fmt.Errorf("alarm %s: severity %s: want critical to warning", f.Cause, f.Severity)
	}
	if f.Action == "" {
		f.Action = shedguard.ActionNone
	}
	if f.Since.After(now) {
		f.Since = now
	}
	for _, v := range []*float64{&f.Value, &f.Limit} {
		if math.IsNaN(*v) || math.IsInf(*v, 0) {
			*v = 0 // cannot be said; the cause still can
		}
	}
	return nil
}

// tell writes what may change of a fault into its alarm.
func (f *Fault) tell(a *shedguard.Alarm) {
	a.Detail, a.Severity, a.Level, a.Grade, a.Action = f.Detail, f.Severity, int(f.Severity), f.Grade, f.Action
	a.Value, a.Limit, a.Unit, a.Latched = f.Value, f.Limit, f.Unit, f.Latched
}

func faultOf(a *shedguard.Alarm) Fault {
	return Fault{
		Cause: a.Cause, Detail: a.Detail, Severity: a.Severity, Grade: a.Grade, Action: a.Action,
		Value: a.Value, Limit: a.Limit, Unit: a.Unit, Since: a.Since, Latched: a.Latched,
	}
}

func validSubject(s string) error {
	if s == "" || len(s) > 200 {
		return fmt.Errorf("alarm: subject %.40q: want 1 to 200 bytes", s)
	}
	return nil
}

func wall(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// newID is a ULID of the moment. A clock before 1970 counts as 1970.
func newID(now time.Time) string {
	ms := min(uint64(max(0, now.UnixMilli())), ulid.MaxTime())
	return ulid.MustNew(ms, rand.Reader).String()
}
