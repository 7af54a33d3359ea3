package guard

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/acs37800"
	"github.com/shedguard/shedguard/drivers/mcp23017"
	"github.com/shedguard/shedguard/drivers/pca9548"
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/drivers/tmp102"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/feeder"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// meter is the real driver as a poll.Meter.
type meter struct {
	dev *acs37800.Dev
	m   acs37800.Measurement
}

func (m *meter) Read(r *shedguard.Reading) error {
	if err := m.dev.Sense(&m.m); err != nil {
		return err
	}
	r.Volts = float64(m.m.Volts) / float64(physic.Volt)
	r.Amps = float64(m.m.Amps) / float64(physic.Ampere)
	r.Watts = float64(m.m.Watts) / float64(physic.Watt)
	r.PowerFactor, r.Raw = m.m.PowerFactor, m.m.Raw
	return nil
}

type thermometer struct {
	dev *tmp102.Dev
	t   physic.Temperature
}

func (t *thermometer) Read() (float64, error) {
	err := t.dev.Sense(&t.t)
	return t.t.Celsius(), err
}

// board is a shed of twelve outlets behind two muxes, all on one 400 kHz bus.
type board struct {
	bus    *sim.Bus
	relays *sim.MCP23017
	meters []*sim.ACS37800
	guard  *Guard
	line   *line
}

func newBoard(tb testing.TB, every time.Duration, change ...func(*Options)) *board {
	tb.Helper()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	b := &board{bus: sim.NewBus("main", 400*physic.KiloHertz)}
	var err error
	b.relays, err = sim.NewMCP23017(nil)
	must(err)
	b.bus.Attach(0x20, b.relays)
	chip := mcp23017.DefaultOpts()
	chip.Outputs = 0x0FFF // the others are inputs
	expander, err := mcp23017.New(b.bus, chip)
	must(err)
	var points []poll.Point
	var pins []actuate.Outlet
	opts := Options{
		Feeder:  &Feeder{Limits: &feeder.Limits{SoftWatts: 50_000, HardWatts: 60_000, Delay: 5 * time.Second, Settle: 10 * time.Second}, Severity: shedguard.SeverityMajor},
		Stagger: 2 * time.Second, ChangeQueue: 1024, SampleQueue: 1, NewID: func() string { return "01JD0000000000000000000000" },
	}
	for side := range 2 {
		model := sim.NewPCA9548()
		b.bus.Attach(0x70+uint16(side), model)
		muxOpts := pca9548.DefaultOpts()
		muxOpts.Addr += uint16(side)
		mux, err := pca9548.New(b.bus, muxOpts)
		must(err)
		for port := range 6 {
			n := 6*side + port + 1
			chip, probe := sim.NewACS37800(sim.MainsBoard()), sim.NewTMP102()
			chip.Set(220, 2, 440)
			probe.SetCelsius(25)
			model.Attach(port, 0x60+uint16(side), chip)
			model.Attach(port, 0x48+uint16(side), probe)
			b.meters = append(b.meters, chip)
			points = append(points, poll.Point{
				Outlet: n, Every: every, ThermometerEvery: time.Second,
				Meter: newMeter(tb, mux.Port(port), side), Thermometer: newThermometer(tb, mux.Port(port), side),
			})
			pins = append(pins, actuate.Outlet{Number: n, Pin: actuate.Pin{Pin: n - 1}})
			opts.Outlets = append(opts.Outlets, Outlet{Number: n, Limits: benchLimits(), Session: benchSettings(), Charge: benchCurve(), RatedWatts: 2200})
		}
	}
	l, err := poll.New(poll.Options{Name: "main", Points: points})
	must(err)
	opts.Lines = []*poll.Line{l}
	opts.Relays, err = actuate.New(actuate.Options{Expanders: []actuate.Expander{expander}, Outlets: pins})
	must(err)
	for _, c := range change {
		c(&opts)
	}
	b.guard, err = New(opts)
	must(err)
	b.line = b.guard.lines[0]
	return b
}

// benchCurve is how charges are judged: as the shipped profiles have it.
func benchCurve() *charge.Settings {
	rule := func(s shedguard.Severity, a protect.Act) protect.Rule {
		return protect.Rule{Enabled: true, Severity: s, Act: a}
	}
	return &charge.Settings{
		EmptyWatts: 0.4, StandbyWatts: 2, IdleWatts: 20, KneeShare: 0.05, Settle: 10 * time.Minute, MaxGap: 3 * time.Second,
		Full: charge.Full{
			JudgeWatts: 45, Watts: 30, After: time.Hour, ChangeWatts: 6, Share: 0.1, ShareAfter: 20 * time.Minute, IdleAfter: time.Hour,
		},
		TooLong:      charge.TooLong{Rule: rule(shedguard.SeverityWarning, protect.ActReport), Limit: 10 * time.Hour},
		FloatTooHigh: charge.FloatTooHigh{Rule: rule(shedguard.SeverityMajor, protect.ActTrip), LimitWatts: 30, LimitShare: 0.25, FallShare: 0.03, After: time.Hour},
		Unstable: charge.Unstable{
			Rule: rule(shedguard.SeverityMinor, protect.ActTrip), LateRiseShare: 0.1, RiseShare: 0.5, StepShare: 0.3,
			SwingShare: 0.15, Swings: 8, Window: 10 * time.Minute,
		},
		Envelope: charge.Envelope{Rule: rule(shedguard.SeverityWarning, protect.ActReport), Charges: 5, Factor: 3},
		Frozen:   charge.Frozen{Rule: rule(shedguard.SeverityMajor, protect.ActTrip), Limit: 15 * time.Minute},
	}
}

func newMeter(tb testing.TB, bus i2c.Bus, side int) *meter {
	tb.Helper()
	o := acs37800.DefaultOpts()
	o.Addr += uint16(side)
	dev, err := acs37800.New(bus, o)
	if err != nil {
		tb.Fatal(err)
	}
	return &meter{dev: dev}
}

func newThermometer(tb testing.TB, bus i2c.Bus, side int) *thermometer {
	tb.Helper()
	o := tmp102.DefaultOpts()
	o.Addr += uint16(side)
	dev, err := tmp102.New(bus, o)
	if err != nil {
		tb.Fatal(err)
	}
	return &thermometer{dev: dev}
}

// benchLimits are those of a 10 A outlet, every rule on.
func benchLimits() *protect.Limits {
	return &protect.Limits{
		RatingAmps:      10,
		ShortCircuit:    protect.ShortCircuit{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityCritical, Act: protect.ActTrip}, TimesRating: 3, Span: 100 * time.Millisecond},
		Overcurrent:     protect.Overcurrent{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip}, PickUp: 1.05, Heating: 120 * time.Second, Cooling: 360 * time.Second, ResetHeat: 0.9},
		Overpower:       protect.Overpower{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip}, LimitWatts: 2500},
		OverTemperature: protect.OverTemperature{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip}, LimitCelsius: 65, ResetCelsius: 55, Delay: 2 * time.Second, Stale: 5 * time.Second},
		MeterStale:      protect.MeterStale{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActSuspend}, Limit: 3 * time.Second},
		RelayWelded:     protect.RelayWelded{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityCritical, Act: protect.ActTrip}, LimitAmps: 0.1, Delay: time.Second},
		Overvoltage:     protect.Overvoltage{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActSuspend}, LimitVolts: 264, ResetVolts: 250, Delay: time.Second},
		Undervoltage:    protect.Undervoltage{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMinor, Act: protect.ActSuspend}, LimitVolts: 170, ResetVolts: 187, Delay: 5 * time.Second},
		ResidualCurrent: protect.ResidualCurrent{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityCritical, Act: protect.ActTrip}, LimitAmps: 0.03, Delay: 100 * time.Millisecond},
		TemperatureRise: protect.TemperatureRise{Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityCritical, Act: protect.ActTrip}, LimitPerMinute: 20, Window: time.Minute},
		MeterImplausible: protect.MeterImplausible{
			Rule: protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActSuspend}, Tolerance: 0.15, LeastFactor: 0.2, FloorAmps: 0.5, Delay: 2 * time.Second,
		},
	}
}

func benchSettings() *session.Settings {
	return &session.Settings{
		StartBy: session.StartPlug, LoadWatts: 20, LoadAfter: 2 * time.Second, NoLoadWatts: 10, NoLoadAfter: 10 * time.Second,
		StartWithin: 5 * time.Minute, SelfCheck: 2 * time.Second, ResumeAfter: 10 * time.Second, ResumesPerHour: 3,
		MaxWh: 5000, MaxMinutes: 720, MaxWatts: 3600, WattsDelay: 10 * time.Second, MaxGap: 5 * time.Second,
	}
}

// sampler hands the guard samples that pass, one after the other: what is left
// when the bus is taken away.
func sampler(tb testing.TB) (one func(), g *Guard) {
	tb.Helper()
	b := newBoard(tb, 100*time.Millisecond)
	b.guard.Tick()
	for len(b.guard.changes) > 0 {
		<-b.guard.changes
	}
	s := b.line.outlets[0].sample
	s.Reading.ResidualAmps, s.Reading.HasResidual = 0.002, true
	return func() {
		s.Reading.At = time.Now()
		s.CelsiusAt, s.Fresh = s.Reading.At, true
		s.Reading.Raw[0]++
		b.guard.visit(b.line, &s)
	}, b.guard
}

func TestVisitDoesNotAllocate(t *testing.T) {
	one, g := sampler(t)
	one()
	deferred := g.Stats().Deferred
	if n := testing.AllocsPerRun(10000, one); n != 0 {
		t.Errorf("%g allocations a sample, want none", n)
	}
	if g.Stats().Deferred != deferred {
		t.Error("samples that change nothing were changes")
	}
}

// TestTickDoesNotAllocate has the real drivers read twelve outlets that are all
// due, in each of its runs.
func TestTickDoesNotAllocate(t *testing.T) {
	b := newBoard(t, 20*time.Millisecond)
	for range 3 { // what is said once: the first changes
		time.Sleep(time.Until(b.line.poll.Next()))
		b.guard.Tick()
	}
	reads := b.line.poll.Stats().Reads
	n := testing.AllocsPerRun(10, func() {
		time.Sleep(time.Until(b.line.poll.Next()))
		b.guard.Tick()
	})
	if n != 0 {
		t.Errorf("%g allocations a tick, want none", n)
	}
	if got := b.line.poll.Stats().Reads - reads; got < 11*12 {
		t.Errorf("%d reads in 11 ticks, want 12 each", got)
	}
}

// TestSirenChangeDoesNotAllocate has the siren begin and end in every run, and
// nobody listens to it.
func TestSirenChangeDoesNotAllocate(t *testing.T) {
	b := newBoard(t, 20*time.Millisecond)
	b.guard.Signal(actuate.SignalFire)
	for range 3 {
		time.Sleep(time.Until(b.line.poll.Next()))
		b.guard.Tick()
	}
	on := func(want bool) {
		time.Sleep(time.Until(b.line.poll.Next()))
		b.guard.Tick()
		if b.guard.Siren() != want {
			t.Errorf("siren %t, want %t", !want, want)
		}
	}
	if n := testing.AllocsPerRun(10, func() {
		b.guard.Silence()
		on(false)
		b.guard.Alarmed()
		on(true)
	}); n != 0 {
		t.Errorf("%g allocations for two changes, want none", n)
	}
}

// BenchmarkSample is the guard's own work on one sample, without the bus, with
// every rule of protect on, a thermometer that answers with each sample, and a
// meter that measures residual current.
func BenchmarkSample(b *testing.B) {
	one, _ := sampler(b)
	b.ReportAllocs()
	before := processor(b)
	for b.Loop() {
		one()
	}
	b.ReportMetric(float64((processor(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// BenchmarkSampleToRelay trips all twelve outlets in every tick, on the
// simulated bus, while other goroutines burn both processors. The time is from
// the sample on the bus to the relay read back; what the bits of the two
// transactions would take on wires is added as bus-µs.
func BenchmarkSampleToRelay(b *testing.B) {
	for _, load := range []int{0, 4} {
		b.Run(fmt.Sprintf("burners=%d", load), func(b *testing.B) {
			var stop atomic.Bool
			var wg sync.WaitGroup
			for range load {
				wg.Go(func() {
					x := 1.0
					for !stop.Load() {
						x *= 1.0000001
					}
				})
			}
			took, wires := tripAll(b)
			stop.Store(true)
			wg.Wait()
			slices.Sort(took)
			at := func(q float64) float64 {
				return float64(took[int(q*float64(len(took)-1))].Nanoseconds()) / 1000
			}
			b.ReportMetric(at(0.50), "p50-µs")
			b.ReportMetric(at(0.99), "p99-µs")
			b.ReportMetric(at(1), "max-µs")
			b.ReportMetric(float64(wires.Nanoseconds())/1000, "bus-µs")
			b.ReportMetric(float64(len(took)), "trips")
		})
	}
}

// tripAll trips every outlet once an iteration, and returns how long each took
// and the bus time of one opening.
func tripAll(b *testing.B) (took []time.Duration, wires time.Duration) {
	b.Helper()
	board := newBoard(b, 20*time.Millisecond)
	g := board.guard
	for _, m := range board.meters {
		m.Set(220, 14, 3080)
	}
	for b.Loop() {
		for _, o := range board.line.outlets {
			if err := g.relays.Close(o.number); err != nil {
				b.Fatal(err)
			}
			o.protect = protect.NewState(0, 0)
			o.in.Closed = true
			o.operations = nil
		}
		time.Sleep(time.Until(board.line.poll.Next()))
		g.Tick()
		for _, c := range drain(g) {
			for _, op := range c.Operations {
				if !op.Closed && op.SampleToRelay > 0 {
					took = append(took, op.SampleToRelay)
				}
			}
		}
		if board.relays.Outputs() != 0 {
			b.Fatalf("outputs %#04x after a tick of overpower on all outlets", board.relays.Outputs())
		}
	}
	if err := g.relays.Close(1); err != nil {
		b.Fatal(err)
	}
	before := board.bus.BusTime()
	if err := g.relays.Open(1); err != nil {
		b.Fatal(err)
	}
	return took, board.bus.BusTime() - before
}

func drain(g *Guard) []Change {
	var all []Change
	for len(g.changes) > 0 {
		all = append(all, <-g.changes)
	}
	return all
}

// BenchmarkBus says what twelve outlets at 10 Hz, with thermometers at 1 Hz and
// the relays read back each second, take of a 400 kHz bus, and how often they
// could be polled if the guard did nothing but that.
func BenchmarkBus(b *testing.B) {
	board := newBoard(b, 20*time.Millisecond)
	g := board.guard
	g.Tick() // thermometers, relays
	first := board.bus.BusTime()
	var meters, guard time.Duration
	ticks := 0
	for b.Loop() {
		time.Sleep(time.Until(board.line.poll.Next()))
		count := board.bus.Transactions()
		before, began := board.bus.BusTime(), time.Now()
		g.Tick()
		if board.bus.Transactions()-count > 12*4 {
			continue // a tick with thermometers or the look after the relays
		}
		meters += board.bus.BusTime() - before
		guard += time.Since(began)
		ticks++
	}
	if ticks == 0 {
		return
	}
	round := meters / time.Duration(ticks)
	b.ReportMetric(float64(round.Microseconds())/12, "bus-µs/sample")
	b.ReportMetric((10*round+first-round).Seconds()*100, "%bus-at-10Hz")
	b.ReportMetric(float64(guard.Microseconds())/float64(ticks)/12, "cpu-µs/sample")
	// The bus is idle while the guard works: what is left of it when polling
	// without a pause.
	b.ReportMetric(100*round.Seconds()/(round+guard/time.Duration(ticks)).Seconds(), "%bus-reachable")
}
