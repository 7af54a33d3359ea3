package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/shedguard/shedguard"
)

// The times that hold when [Options] says nothing.
const (
	DefaultWindow = 10 * time.Second
	DefaultBefore = 10 * time.Second
	DefaultAfter  = 30 * time.Second
)

const (
	// batchBytes is the size at which a batch is closed.
	batchBytes = 24 << 10
	// maxBatches bounds the closed batches that wait for [Recorder.Flush].
	maxBatches = 64
)

// DeadBand is how far a value may move before it is written at once. The
// watts band is the larger of WattsLeast and WattsPart of the last value.
type DeadBand struct {
	Volts      float64 // V
	Amps       float64 // A
	WattsLeast float64 // W
	WattsPart  float64 // of the last value written, 0.1 = 10 %
}

// DefaultDeadBand suits a charger: it shows plugging, phases and faults and
// hides the ripple of mains and meter.
func DefaultDeadBand() DeadBand {
	return DeadBand{Volts: 5, Amps: 0.3, WattsLeast: 25, WattsPart: 0.15}
}

// Options are what a recorder needs.
type Options struct {
	Shed     string        // shed id, the tag of every line
	Start    time.Time     // the start of the boot, with its monotonic part
	Window   time.Duration // 0 means DefaultWindow; whole milliseconds
	Before   time.Duration // kept for incidents; 0 means DefaultBefore
	After    time.Duration // written after incidents; 0 means DefaultAfter
	SampleHz int           // samples a second and outlet to keep room for; 0 means 10
	DeadBand DeadBand
	// Clock is the wall time of Start, and whether it is known. It is asked
	// once a batch.
	Clock func() (start time.Time, synced bool)
	// Put takes a batch; lines are only valid during the call. Lines of an
	// unsynced batch count from Start.
	Put func(ctx context.Context, synced bool, lines []byte) error
}

// Sample is one look at an outlet.
type Sample struct {
	Reading  shedguard.Reading // the last good one
	Fresh    bool              // Reading is a new conversion since the last sample
	At       time.Time         // when the outlet was looked at, for samples that are not fresh
	State    shedguard.OutletState
	EnergyWh float64 // since the session began
	Celsius  float64 // NaN without a sensor
}

// Stats counts what a recorder did since it was made.
type Stats struct {
	Samples uint64 // taken
	Lines   uint64 // written into batches
	Dropped uint64 // lines lost: batches that nobody took or that Put refused
	Refused uint64 // samples and points that could not be written: no number, bad name, bad outlet
}

// Recorder turns samples into batches. Its methods may be called from any
// goroutine; none of them but Flush calls out.
type Recorder struct {
	opts     Options
	windowMS int64

	mu      sync.Mutex
	outlets [shedguard.MaxOutlets + 1]*outlet
	point   shedguard.Point
	startMS int64 // wall time of Start in the open batch, 0 when unsynced
	synced  bool
	batch   []byte
	lines   uint64 // in batch
	full    []batch
	spare   [][]byte
	stats   Stats
}

// batch is a closed batch.
type batch struct {
	synced bool
	bytes  []byte
	lines  uint64
}

// outlet is what a recorder remembers of one outlet.
type outlet struct {
	number  string // tag value
	ring    []kept // samples of the last Before, a ring
	next    int
	filled  int
	fullTo  int64 // write every sample up to this ms since Start; 0 none
	written kept  // last value written
	has     bool
	lastMS  int64 // of the newest sample

	// The open window.
	end                                 int64 // ms since Start
	n                                   int
	volts, amps, watts, pf, hz, ampsMax float64
	hzN                                 int
	energy, celsius                     float64
	state                               shedguard.OutletState
	quality                             shedguard.Quality
}

// kept is one sample as it is kept.
type kept struct {
	ms                                      int64
	volts, amps, watts, pf, hz, wh, celsius float64
	state                                   shedguard.OutletState
	quality                                 shedguard.Quality
	usable                                  bool // the electrical values mean something
	done                                    bool // written already
}

// New checks opts and makes a recorder.
func New(opts Options) (*Recorder, error) {
	opts.Window = cmp.Or(opts.Window, DefaultWindow)
	opts.Before = cmp.Or(opts.Before, DefaultBefore)
	opts.After = cmp.Or(opts.After, DefaultAfter)
	opts.SampleHz = cmp.Or(opts.SampleHz, 10)
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(shedguard.ValidShedID(opts.Shed), "shed: %q: want a shed id", opts.Shed)
	check(!opts.Start.IsZero(), "start: required")
	check(opts.Window >= time.Second && opts.Window <= time.Hour && opts.Window%time.Millisecond == 0, "window: %v: want 1s to 1h in whole milliseconds", opts.Window)
	check(opts.Before >= 0 && opts.Before <= time.Minute, "before: %v: want 0 to 1m", opts.Before)
	check(opts.After >= 0 && opts.After <= time.Hour, "after: %v: want 0 to 1h", opts.After)
	check(opts.SampleHz >= 1 && opts.SampleHz <= 1000, "sample_hz: %d: want 1 to 1000", opts.SampleHz)
	b := opts.DeadBand
	check(b.Volts > 0 && b.Amps > 0 && b.WattsLeast > 0 && b.WattsPart >= 0, "dead_band: %+v: want volts, amps and watts over 0", b)
	check(opts.Clock != nil, "clock: required")
	check(opts.Put != nil, "put: required")
	if len(errs) > 0 {
		return nil, fmt.Errorf("telemetry: %w", errors.Join(errs...))
	}
	r := &Recorder{opts: opts, windowMS: opts.Window.Milliseconds()}
	r.point.Tags = make([]shedguard.Tag, 0, shedguard.MaxLineTags)
	r.point.Fields = make([]shedguard.Field, 0, shedguard.MaxLineFields)
	r.batch = make([]byte, 0, batchBytes+shedguard.MaxLineBytes)
	r.readClock()
	return r, nil
}

// Sample takes one look at an outlet.
func (r *Recorder) Sample(s *Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Samples++
	n := s.Reading.Outlet
	if n < 1 || n > shedguard.MaxOutlets {
		r.stats.Refused++
		return
	}
	o := r.outlets[n]
	if o == nil {
		o = r.outlet(n)
	}
	at := s.At
	if s.Fresh || at.IsZero() {
		at = s.Reading.At
	}
	k := kept{
		ms:    at.Sub(r.opts.Start).Milliseconds(),
		volts: s.Reading.Volts, amps: s.Reading.Amps, watts: s.Reading.Watts, pf: s.Reading.PowerFactor, hz: s.Reading.Hertz,
		wh: s.EnergyWh, celsius: s.Celsius, state: s.State, quality: s.Reading.Quality,
		usable: s.Fresh && s.Reading.Quality <= shedguard.QualitySuspect && s.Reading.Finite(),
	}
	if at.IsZero() || k.ms <= 0 || o.lastMS != 0 && k.ms <= o.lastMS {
		// Two looks in one millisecond, or an outlet that never had a reading
		// and no time: the state of the window is all that can be kept.
		o.state, o.quality = k.state, max(o.quality, k.quality)
		return
	}
	o.lastMS = k.ms
	r.roll(o, k.ms)
	o.add(&k)
	boundary := k.ms%r.windowMS == 0
	incident := o.fullTo != 0 && k.ms <= o.fullTo
	if !boundary && (incident || r.moved(o, &k)) {
		k.done = true
		r.writeSample(o, &k)
	}
	o.ring[o.next] = k
	o.next = (o.next + 1) % len(o.ring)
	o.filled = min(o.filled+1, len(o.ring))
}

func (r *Recorder) outlet(n int) *outlet {
	o := &outlet{
		number: strconv.Itoa(n),
		ring:   make([]kept, max(1, int(r.opts.Before.Seconds()*float64(r.opts.SampleHz))+1)),
	}
	r.outlets[n] = o
	return o
}

// moved reports whether k is outside the dead band around what was last
// written.
func (r *Recorder) moved(o *outlet, k *kept) bool {
	w, b := &o.written, &r.opts.DeadBand
	if !o.has {
		return true
	}
	if k.state != w.state || k.quality != w.quality {
		return true
	}
	if !k.usable {
		return false
	}
	return !w.usable || math.Abs(k.volts-w.volts) > b.Volts || math.Abs(k.amps-w.amps) > b.Amps ||
		math.Abs(k.watts-w.watts) > max(b.WattsLeast, b.WattsPart*math.Abs(w.watts))
}

// add adds a sample to the open window.
func (o *outlet) add(k *kept) {
	o.state, o.energy, o.celsius = k.state, k.wh, k.celsius
	o.quality = max(o.quality, k.quality)
	if !k.usable {
		return
	}
	o.n++
	o.volts += k.volts
	o.amps += k.amps
	o.watts += k.watts
	o.pf += k.pf
	if k.hz > 0 {
		o.hz += k.hz
		o.hzN++
	}
	o.ampsMax = max(o.ampsMax, k.amps)
}

// roll closes the windows that end at or before ms.
func (r *Recorder) roll(o *outlet, ms int64) {
	if o.end == 0 {
		o.end = (ms/r.windowMS + 1) * r.windowMS
		return
	}
	if ms < o.end {
		return
	}
	r.writeWindow(o)
	o.end = (ms/r.windowMS + 1) * r.windowMS
	o.n, o.hzN = 0, 0
	o.volts, o.amps, o.watts, o.pf, o.hz, o.ampsMax = 0, 0, 0, 0, 0, 0
	o.quality = shedguard.QualityGood
}

// Incident writes every sample of an outlet from Before before at until After
// behind it.
func (r *Recorder) Incident(outlet int, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if outlet < 1 || outlet > shedguard.MaxOutlets || r.outlets[outlet] == nil {
		return
	}
	o := r.outlets[outlet]
	ms := at.Sub(r.opts.Start).Milliseconds()
	o.fullTo = max(o.fullTo, ms+r.opts.After.Milliseconds())
	from := ms - r.opts.Before.Milliseconds()
	for i := range o.filled {
		k := &o.ring[(o.next-o.filled+i+len(o.ring))%len(o.ring)]
		if k.done || k.ms < from || k.ms%r.windowMS == 0 {
			continue
		}
		k.done = true
		r.writeSample(o, k)
	}
}

// Add writes a point of another measurement. The tag shed is put in front and
// the time is that of at; p's own time is not used. Fields that are not finite
// are left out.
func (r *Recorder) Add(p *shedguard.Point, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(p.Measurement)
	r.point.Tags = append(r.point.Tags, p.Tags...)
	for _, f := range p.Fields {
		r.field(f.Key, f.Value, f.Int)
	}
	r.end(at.Sub(r.opts.Start).Milliseconds())
}

// Climate writes the temperature of a zone in °C and whether its smoke contact
// is closed.
func (r *Recorder) Climate(zone string, celsius float64, smoke bool, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begin(shedguard.MeasurementClimate)
	r.point.Tags = append(r.point.Tags, shedguard.Tag{Key: "zone", Value: zone})
	r.measured("celsius", celsius)
	seen := 0.0
	if smoke {
		seen = 1
	}
	r.field("smoke", seen, true)
	r.end(at.Sub(r.opts.Start).Milliseconds())
}

// begin, field and end write one line. The caller holds mu.
func (r *Recorder) begin(measurement string) {
	r.point.Measurement = measurement
	r.point.Tags = append(r.point.Tags[:0], shedguard.Tag{Key: "shed", Value: r.opts.Shed})
	r.point.Fields = r.point.Fields[:0]
}

func (r *Recorder) field(key string, v float64, whole bool) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	r.point.Fields = append(r.point.Fields, shedguard.Field{Key: key, Value: v, Int: whole})
}

// measured is field for what a sensor says, without the digits that none of
// them resolves.
func (r *Recorder) measured(key string, v float64) {
	r.field(key, math.Round(v*1e4)/1e4, false)
}

func (r *Recorder) end(ms int64) {
	if len(r.point.Fields) == 0 {
		r.stats.Refused++
		return
	}
	r.point.Time = time.UnixMilli(r.startMS + ms)
	b, err := shedguard.AppendLine(r.batch, &r.point)
	if err != nil {
		r.stats.Refused++
		return
	}
	r.batch = b
	r.lines++
	r.stats.Lines++
	if len(r.batch) >= batchBytes {
		r.closeBatch()
	}
}

func (r *Recorder) writeSample(o *outlet, k *kept) {
	if !o.has || k.ms > o.written.ms {
		o.written, o.has = *k, true
	}
	r.begin(shedguard.MeasurementOutlet)
	r.point.Tags = append(r.point.Tags, shedguard.Tag{Key: "outlet", Value: o.number})
	if k.usable {
		r.measured("volts", k.volts)
		r.measured("amps", k.amps)
		r.measured("amps_max", k.amps)
		r.measured("watts", k.watts)
		r.measured("pf", k.pf)
		if k.hz > 0 {
			r.measured("hz", k.hz)
		}
	}
	r.rest(k.wh, k.celsius, k.state, k.quality, b2i(k.usable))
	r.end(k.ms)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *Recorder) writeWindow(o *outlet) {
	r.begin(shedguard.MeasurementOutlet)
	r.point.Tags = append(r.point.Tags, shedguard.Tag{Key: "outlet", Value: o.number})
	if n := float64(o.n); o.n > 0 {
		r.measured("volts", o.volts/n)
		r.measured("amps", o.amps/n)
		r.measured("amps_max", o.ampsMax)
		r.measured("watts", o.watts/n)
		r.measured("pf", o.pf/n)
		if o.hzN > 0 {
			r.measured("hz", o.hz/float64(o.hzN))
		}
	}
	r.rest(o.energy, o.celsius, o.state, o.quality, o.n)
	r.end(o.end)
}

func (r *Recorder) rest(wh, celsius float64, state shedguard.OutletState, quality shedguard.Quality, n int) {
	r.measured("energy_wh", wh)
	r.measured("celsius", celsius)
	r.field("state", float64(state), true)
	r.field("quality", float64(quality), true)
	r.field("n", float64(n), true)
}

// closeBatch moves the open batch behind the closed ones. The caller holds mu.
func (r *Recorder) closeBatch() {
	if r.lines == 0 {
		return
	}
	if len(r.full) == maxBatches {
		r.stats.Dropped += r.full[0].lines
		r.spare = append(r.spare, r.full[0].bytes[:0])
		r.full = append(r.full[:0], r.full[1:]...)
	}
	r.full = append(r.full, batch{synced: r.synced, bytes: r.batch, lines: r.lines})
	if n := len(r.spare); n > 0 {
		r.batch, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		r.batch = make([]byte, 0, batchBytes+shedguard.MaxLineBytes)
	}
	r.lines = 0
}

func (r *Recorder) readClock() {
	start, synced := r.opts.Clock()
	r.startMS, r.synced = 0, synced && start.UnixMilli() > 0
	if r.synced {
		r.startMS = start.UnixMilli()
	}
}

// Flush closes the windows that ended before now, also of outlets that are not
// sampled any more, and puts every batch. It is called about once a second.
// Batches that Put refuses are counted as dropped.
func (r *Recorder) Flush(ctx context.Context, now time.Time) error {
	r.mu.Lock()
	ms := now.Sub(r.opts.Start).Milliseconds()
	for _, o := range r.outlets {
		// A sample of the window may still be on its way for a moment.
		if o != nil && o.end != 0 && ms >= o.end+r.windowMS/2 {
			if o.n == 0 && o.quality < shedguard.QualityStale {
				o.quality = shedguard.QualityStale
			}
			r.roll(o, ms)
		}
	}
	r.closeBatch()
	r.readClock()
	full := r.full
	r.full = nil
	r.mu.Unlock()

	var errs []error
	var lost uint64
	for _, b := range full {
		if err := r.opts.Put(ctx, b.synced, b.bytes); err != nil {
			errs = append(errs, err)
			lost += b.lines
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.Dropped += lost
	for i := range full {
		if len(r.spare) < 4 {
			r.spare = append(r.spare, full[i].bytes[:0])
		}
	}
	if r.full == nil {
		clear(full)
		r.full = full[:0]
	}
	if len(errs) > 0 {
		return fmt.Errorf("put telemetry: %w", errors.Join(errs...))
	}
	return nil
}

// Stats is what the recorder did so far.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stats
}
