package app

import (
	"context"
	"errors"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/alarm"
	"github.com/shedguard/shedguard/gateway/guard"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/telemetry"
)

const (
	saveEvery    = 10 * time.Second // heat images and sessions
	flushEvery   = time.Second      // telemetry batches to the outbox
	gatewayEvery = 10 * time.Second // telemetry of the gateway itself
	// SoundAfter is how long an urgent alarm may stay unsent before the siren
	// of the shed tells it (GB 26875.1-2011 4.1.1.4, 4.1.2.1).
	SoundAfter = 10 * time.Second
	// clockPatience is how long a gateway may be without a set clock before
	// that is an alarm: a boot needs a while to reach a time server.
	clockPatience = 2 * time.Minute
)

// shedSubject is what alarms are about that belong to no single outlet.
const shedSubject = "shed"

// recordChanges keeps the alarm book: what the guard tells, and what this
// program finds out about itself.
func (a *App) recordChanges(ctx context.Context) error {
	save, look := time.NewTicker(saveEvery), time.NewTicker(time.Second)
	defer save.Stop()
	defer look.Stop()
	var seen health
	for {
		select {
		case <-ctx.Done():
			return a.lastChanges(context.WithoutCancel(ctx))
		case c := <-a.guard.Changes():
			a.record(context.WithoutCancel(ctx), &c) // the end must not lose it half-way
		case c := <-a.phases:
			a.recordPhase(context.WithoutCancel(ctx), &c)
		case <-a.guard.SirenChanged():
			a.uplink.PublishStatus()
		case now := <-look.C:
			a.lookAfter(ctx, &seen, now)
		case now := <-save.C:
			if err := a.alarms.Save(ctx, now); err != nil {
				a.log.Error("alarm book not saved", "part", "alarms", "err", err)
			}
		}
	}
}

// lastChanges records what the guard said before it ended.
func (a *App) lastChanges(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, Grace/2)
	defer cancel()
	for {
		select {
		case c := <-a.guard.Changes():
			a.record(ctx, &c)
		case c := <-a.phases:
			a.recordPhase(ctx, &c)
		default:
			return a.alarms.Save(ctx, time.Now())
		}
	}
}

// record writes one change into the book and tells the shed's story.
func (a *App) record(ctx context.Context, c *guard.Change) {
	now := time.Now()
	fail := func(what string, err error) {
		if err != nil {
			a.log.Error("change not recorded", "part", "alarms", "subject", c.Subject, "what", what, "err", err)
		}
	}
	o := alarm.Observation{Subject: c.Subject, Decisions: c.Decisions, Judged: c.Judged}
	if c.Outlet != 0 {
		if c.Latched == 0 {
			o.By = a.takeResetBy(c.Outlet)
		}
		fail("heat and session", a.alarms.Keep(c.Outlet, alarm.Kept{Heat: c.Heat, Session: c.Record, Charge: c.Curves, Closings: c.Closings}))
		if len(c.Decisions) > 0 {
			a.recorder.Incident(c.Outlet, c.At)
		}
		if a.eyes != nil {
			a.eyes.outlet(c.Outlet, c.Decisions)
		}
	}
	fail("alarm", a.alarms.Observe(ctx, o, now))
	for _, op := range c.Operations {
		a.log.Info("relay operated", "outlet", c.Outlet, "closed", op.Closed, "why", op.Why, "verified", op.Verified, "sample_to_relay_us", op.SampleToRelay.Microseconds())
		fail("relay", a.alarms.Emit(ctx, shedguard.EventRelayOperated, c.Subject, op.At, &shedguard.RelayOperated{
			Outlet: c.Outlet, Closed: op.Closed, Why: op.Why, SampleToRelay: op.SampleToRelay.Microseconds(), Verified: op.Verified,
		}))
	}
	for i := range c.Steps {
		s := c.Steps[i].Session
		fail("session", a.alarms.Emit(ctx, c.Steps[i].Type, c.Subject, c.At, &s))
	}
	a.uplink.PublishStatus()
}

// health is what lookAfter remembers from one look to the next.
type health struct {
	dropped uint64
	since   time.Time // of the last drop
	begun   bool
	ails    map[int][2]string // what was logged of each outlet's meter and thermometer
	faults  map[string]string // and of each bus
}

// sayBuses logs what is wrong with a bus and what was tried about it, when that
// changes.
func (a *App) sayBuses(h *health) {
	if h.faults == nil {
		h.faults = make(map[string]string)
	}
	for bus, l := range a.guard.Lines() {
		switch l.Fault {
		case h.faults[bus]:
		case "":
			a.log.Info("bus is good again", "bus", bus)
		default:
			a.log.Error("bus fault", "bus", bus, "err", l.Fault)
		}
		h.faults[bus] = l.Fault
	}
}

// sayChips logs why a chip does not answer, when that changes.
func (a *App) sayChips(h *health) {
	if h.ails == nil {
		h.ails = make(map[int][2]string)
	}
	text := func(err error) string {
		if err == nil || errors.Is(err, poll.ErrNotTried) {
			return ""
		}
		return err.Error()
	}
	for _, v := range a.guard.Snapshot() {
		was, is := h.ails[v.Outlet], [2]string{text(v.MeterErr), text(v.ThermometerErr)}
		for i, chip := range [2]string{"meter", "thermometer"} {
			switch is[i] {
			case was[i]:
			case "":
				a.log.Info("chip answers again", "outlet", v.Outlet, "chip", chip)
			default:
				a.log.Warn("chip does not answer", "outlet", v.Outlet, "chip", chip, "err", is[i])
			}
		}
		h.ails[v.Outlet] = is
	}
}

// lookAfter raises and clears the alarms about the gateway itself, and sounds
// the siren for what cannot be sent.
func (a *App) lookAfter(ctx context.Context, h *health, now time.Time) {
	level := func(cause shedguard.Cause, stands bool, f alarm.Fault) {
		var err error
		if stands {
			f.Cause = cause
			err = a.alarms.Raise(ctx, shedSubject, f, now)
		} else {
			err = a.alarms.Clear(ctx, shedSubject, cause, "", now)
		}
		if err != nil {
			a.log.Error("alarm not recorded", "part", "alarms", "cause", cause, "err", err)
		}
	}
	a.sayChips(h)
	a.sayBuses(h)
	if a.clock.Quality() != shedguard.ClockUnsynced {
		// Telemetry from before the clock was known can go out now.
		if err := a.outbox.SetClock(a.boot, a.clock.Wall(a.clock.Started())); err != nil {
			a.log.Error("outbox not told of the clock", "err", err)
		}
	}
	s := a.outbox.Stats()
	lost := s.DroppedTelemetry + s.DroppedEvents + a.alarms.Dropped()
	if h.begun && lost > h.dropped {
		h.since = now
	}
	h.dropped, h.begun = lost, true
	// One alarm for a whole stretch of losses: an hour of calm ends it.
	level(shedguard.CauseRecordsDropped, !h.since.IsZero() && now.Sub(h.since) < time.Hour, alarm.Fault{
		Severity: shedguard.SeverityMinor, Value: float64(lost), Unit: "records", Since: h.since,
	})
	level(shedguard.CauseStorageLow, s.DiskError != "", alarm.Fault{Severity: shedguard.SeverityMajor, Unit: ""})
	level(shedguard.CauseClockUnsynced, a.clock.Quality() == shedguard.ClockUnsynced && a.clock.Mono(now) > clockPatience, alarm.Fault{
		Severity: shedguard.SeverityWarning, Value: a.clock.Mono(now).Seconds(), Limit: clockPatience.Seconds(), Unit: "s",
	})
	severity, since, waiting := a.uplink.OldestUnsent()
	late := waiting && now.Sub(since) > SoundAfter
	urgent := late && severity == shedguard.SeverityCritical
	switch {
	case a.eyes != nil && a.eyes.burning.Load():
		a.guard.Signal(actuate.SignalFire)
	case urgent:
		a.guard.Signal(actuate.SignalUnsentCritical)
	case late:
		a.guard.Signal(actuate.SignalUnsent)
	default:
		a.guard.Signal(actuate.SignalNone)
	}
}

// recordSamples turns samples into telemetry.
func (a *App) recordSamples(ctx context.Context) error {
	flush, own := time.NewTicker(flushEvery), time.NewTicker(gatewayEvery)
	defer flush.Stop()
	defer own.Stop()
	var buses use
	for {
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), Grace/2)
			defer cancel()
			return errors.Join(a.recorder.Flush(end, time.Now()), a.outbox.Sync(end))
		case s := <-a.guard.Samples():
			a.sample(&s)
		case now := <-flush.C:
			if err := a.recorder.Flush(ctx, now); err != nil {
				a.log.Warn("telemetry not kept", "part", "telemetry", "err", err)
			}
		case now := <-own.C:
			a.recorder.Add(a.point(&buses, now), now)
			if p, ok := a.feeder(); ok {
				a.recorder.Add(&p, now)
			}
			for _, p := range append(a.climate(now), a.eyes.points()...) {
				a.recorder.Add(&p, now)
			}
		}
	}
}

// feeder is what all outlets draw together; false where nothing watches it, and
// before it was first added up.
func (a *App) feeder() (shedguard.Point, bool) {
	f, ok := a.guard.Feeder()
	if !ok || f.At.IsZero() {
		return shedguard.Point{}, false
	}
	refusing := 0.0
	if f.Refusing {
		refusing = 1
	}
	return shedguard.Point{Measurement: shedguard.MeasurementFeeder, Fields: []shedguard.Field{
		{Key: "watts", Value: f.Drawn},
		{Key: "watts_max", Value: max(f.Drawn, a.guard.FeederPeak())},
		{Key: "committed_watts", Value: f.Committed()},
		{Key: "soft_watts", Value: f.SoftWatts},
		{Key: "hard_watts", Value: f.HardWatts},
		{Key: "refusing", Value: refusing, Int: true},
		{Key: "waiting", Value: float64(f.Waiting), Int: true},
		{Key: "shed", Value: float64(f.Shed), Int: true},
	}}, true
}

// climate is the temperature of each zone: that of its hottest outlet.
func (a *App) climate(now time.Time) []shedguard.Point {
	hottest := make(map[string]float64)
	for _, v := range a.guard.Snapshot() {
		zone := a.zones[v.Outlet]
		if zone == "" || v.CelsiusAt.IsZero() || now.Sub(v.CelsiusAt) >= thermometerStale {
			continue
		}
		if c, ok := hottest[zone]; !ok || v.Celsius > c {
			hottest[zone] = v.Celsius
		}
	}
	var points []shedguard.Point
	for _, zone := range slices.Sorted(maps.Keys(hottest)) {
		points = append(points, shedguard.Point{
			Measurement: shedguard.MeasurementClimate, Tags: []shedguard.Tag{{Key: "zone", Value: zone}},
			Fields: []shedguard.Field{{Key: "celsius", Value: hottest[zone]}},
		})
	}
	return points
}

func (a *App) sample(s *guard.Sample) {
	t := telemetry.Sample{
		Reading: s.Reading, Fresh: s.Fresh, At: s.At, State: s.State, EnergyWh: s.EnergyWh, Celsius: math.NaN(),
	}
	if !s.CelsiusAt.IsZero() && t.At.Sub(s.CelsiusAt) < thermometerStale {
		t.Celsius = s.Celsius
	}
	a.recorder.Sample(&t)
}

// thermometerStale is how old a temperature may be to be sent as one.
const thermometerStale = 10 * time.Second

// point is the gateway's own telemetry.
func (a *App) point(buses *use, now time.Time) *shedguard.Point {
	p := &shedguard.Point{Measurement: shedguard.MeasurementGateway}
	add := func(key string, v float64, whole bool) {
		p.Fields = append(p.Fields, shedguard.Field{Key: key, Value: v, Int: whole})
	}
	count := func(key string, v uint64) { add(key, float64(v), true) }
	g, o, t := a.guard.Stats(), a.outbox.Stats(), a.recorder.Stats()
	count("ticks", g.Ticks)
	add("tick_max_seconds", g.TickMax.Seconds(), false)
	add("sample_to_relay_max_seconds", g.RelayMax.Seconds(), false)
	add("samples_dropped", float64(g.SamplesDropped), true)
	add("changes_deferred", float64(g.Deferred), true)
	add("outbox_alarms", float64(o.Alarms), true)
	add("outbox_telemetry", float64(o.Telemetry), true)
	add("outbox_bytes", float64(o.TelemetryBytes), true)
	count("dropped", o.DroppedTelemetry+o.DroppedEvents+t.Dropped)
	var errs, reads uint64
	var faults, frozen int
	lines := a.guard.Lines()
	for _, l := range lines {
		errs += l.Errors
		reads += l.Reads
		frozen += l.Frozen
		if l.Fault != "" {
			faults++
		}
	}
	count("bus_errors", errs)
	count("bus_reads", reads)
	add("bus_faults", float64(faults), true)
	add("meters_frozen", float64(frozen), true)
	if busy, jitter, ok := buses.since(lines, now); ok {
		add("bus_use", busy, false)
		add("bus_jitter_p99_seconds", jitter.Seconds(), false)
	}
	add("part_restarts", float64(a.restarts.Load()), true)
	return p
}

// noteReset remembers who cleared an outlet's latches, for the clearing event.
func (a *App) noteReset(outlet int, by string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resetBy[outlet] = by
}

func (a *App) takeResetBy(outlet int) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	by := a.resetBy[outlet]
	delete(a.resetBy, outlet)
	return by
}
