package poll_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/poll"
)

// clock is the time of a bus: it moves when a chip is read.
type clock struct{ t time.Time }

func newClock() *clock               { return &clock{time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }
func (c *clock) now() time.Time      { return c.t }
func (c *clock) add(d time.Duration) { c.t = c.t.Add(d) }
func (c *clock) until(t time.Time)   { c.t = later(c.t, t) }
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

var errDead = errors.New("not acknowledged")

// meter is a chip that takes cost for each read.
type meter struct {
	clock *clock
	cost  time.Duration
	watts float64
	err   error
	tried []time.Time
}

func (m *meter) Read(r *shedguard.Reading) error {
	m.tried = append(m.tried, m.clock.t)
	m.clock.add(m.cost)
	if m.err != nil {
		return m.err
	}
	r.Volts, r.Amps, r.Watts, r.PowerFactor = 220, m.watts/220, m.watts, 1
	return nil
}

type thermometer struct {
	meter
	celsius float64
}

func (t *thermometer) Read() (float64, error) {
	t.tried = append(t.tried, t.clock.t)
	t.clock.add(t.cost)
	return t.celsius, t.err
}

func ladder(do func() error) []poll.Rung {
	if do == nil {
		return nil
	}
	return []poll.Rung{{Name: "open the bus again", Do: do}}
}

func newLine(tb testing.TB, again func() error, points ...poll.Point) *poll.Line {
	tb.Helper()
	l, err := poll.New(poll.Options{Name: "main", Points: points, Ladder: ladder(again)})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// run ticks the line until its clock has moved by d, and returns the samples.
func run(l *poll.Line, c *clock, d time.Duration) []poll.Sample {
	var got []poll.Sample
	for end := c.t.Add(d); ; {
		c.until(l.Next())
		if !c.t.Before(end) {
			return got
		}
		l.Tick(c.now, func(s *poll.Sample) { got = append(got, *s) })
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	good := poll.Point{Outlet: 1, Meter: &meter{}, Every: 100 * time.Millisecond}
	edit := func(f func(*poll.Point)) []poll.Point { p := good; f(&p); return []poll.Point{p} }
	tests := map[string][]poll.Point{
		"no points":            nil,
		"outlet -1":            edit(func(p *poll.Point) { p.Outlet = -1 }),
		"outlet 257":           edit(func(p *poll.Point) { p.Outlet = 257 }),
		"same outlet twice":    {good, good},
		"no meter":             edit(func(p *poll.Point) { p.Meter = nil }),
		"faster than 50 Hz":    edit(func(p *poll.Point) { p.Every = 19 * time.Millisecond }),
		"slower than 1 Hz":     edit(func(p *poll.Point) { p.Every = 1001 * time.Millisecond }),
		"no thermometer time":  edit(func(p *poll.Point) { p.Thermometer = &thermometer{} }),
		"thermometer too slow": edit(func(p *poll.Point) { p.Thermometer, p.ThermometerEvery = &thermometer{}, 11*time.Second }),
	}
	for name, points := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := poll.New(poll.Options{Name: "main", Points: points}); err == nil {
				t.Error("New: want an error")
			}
		})
	}
}

// TestSchedule wants each chip read at its own rate, and the thermometer just
// before the meter of its outlet.
func TestSchedule(t *testing.T) {
	t.Parallel()
	c := newClock()
	fast, slow := &meter{clock: c, watts: 100}, &meter{clock: c, watts: 100}
	temp := &thermometer{meter: meter{clock: c}, celsius: 31.5}
	l := newLine(t, nil,
		poll.Point{Outlet: 1, Meter: fast, Every: 20 * time.Millisecond},
		poll.Point{Outlet: 2, Meter: slow, Every: 100 * time.Millisecond, Thermometer: temp, ThermometerEvery: time.Second})
	samples := run(l, c, 9990*time.Millisecond)
	if len(fast.tried) != 500 || len(slow.tried) != 100 || len(temp.tried) != 10 {
		t.Errorf("read %d, %d, %d times in 10 s, want 500, 100, 10", len(fast.tried), len(slow.tried), len(temp.tried))
	}
	if len(samples) != 600 {
		t.Errorf("%d samples, want 600", len(samples))
	}
	for _, s := range samples {
		if !s.Fresh || s.Err != nil || s.Reading.Quality != shedguard.QualityGood || s.Reading.Watts != 100 {
			t.Fatalf("sample %+v, want a fresh good one of 100 W", s)
		}
		if s.Thermometer != (s.Reading.Outlet == 2) || s.Thermometer && s.Celsius != 31.5 {
			t.Fatalf("outlet %d: %g °C, thermometer %v", s.Reading.Outlet, s.Celsius, s.Thermometer)
		}
	}
	if s := l.Stats(); s.Reads != 610 || s.Errors != 0 || s.Late != 0 {
		t.Errorf("stats %+v, want 610 reads without errors", s)
	}
}

// TestSlowBusHasNoGaps wants a bus that cannot keep up to be used all the time.
func TestSlowBusHasNoGaps(t *testing.T) {
	t.Parallel()
	c := newClock()
	var points []poll.Point
	for i := range 11 {
		points = append(points, poll.Point{Outlet: i + 1, Meter: &meter{clock: c, cost: 10 * time.Millisecond}, Every: 100 * time.Millisecond})
	}
	l := newLine(t, nil, points...)
	samples := run(l, c, 11*time.Second)
	if len(samples) < 1090 {
		t.Errorf("%d samples of 10 ms in 11 s, want at least 1090", len(samples))
	}
	count := make(map[int]int)
	for _, s := range samples {
		count[s.Reading.Outlet]++
	}
	for n, k := range count {
		if k < 98 || k > 102 {
			t.Errorf("outlet %d: %d samples, want 100", n, k)
		}
	}
}

func TestQuality(t *testing.T) {
	t.Parallel()
	const every = 100 * time.Millisecond
	type step struct {
		watts float64
		err   error
		want  shedguard.Quality
		fresh bool
		value float64 // of the reading that is handed on
	}
	repeat := func(n int, s step) []step { return slices.Repeat([]step{s}, n) }
	tests := map[string][]step{
		"one failed read": {
			{100, nil, shedguard.QualityGood, true, 100},
			{0, errDead, shedguard.QualitySuspect, false, 100},
			{101, nil, shedguard.QualityGood, true, 101},
		},
		"step of 500 W":  {{100, nil, shedguard.QualityGood, true, 100}, {600, nil, shedguard.QualityGood, true, 600}},
		"glitch":         {{100, nil, shedguard.QualityGood, true, 100}, {601, nil, shedguard.QualitySuspect, true, 601}, {601, nil, shedguard.QualityGood, true, 601}},
		"negative watts": {{100, nil, shedguard.QualityGood, true, 100}, {-401, nil, shedguard.QualitySuspect, true, -401}},
		"not a number": {
			{100, nil, shedguard.QualityGood, true, 100},
			{math.NaN(), nil, shedguard.QualityFault, false, 100},
			{math.Inf(1), nil, shedguard.QualityFault, false, 100},
			{99, nil, shedguard.QualityGood, true, 99},
		},
		"never answered": {{0, errDead, shedguard.QualityStale, false, 0}},
		"dead for 3 s":   append([]step{{100, nil, shedguard.QualityGood, true, 100}}, append(repeat(30, step{0, errDead, shedguard.QualitySuspect, false, 100}), repeat(5, step{0, errDead, shedguard.QualityStale, false, 100})...)...),
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			m := &meter{clock: c}
			l := newLine(t, nil, poll.Point{Outlet: 7, Meter: m, Every: every})
			for i, want := range steps {
				c.until(l.Next())
				m.watts, m.err = want.watts, want.err
				n := 0
				l.Tick(c.now, func(s *poll.Sample) {
					n++
					if s.Reading.Quality != want.want || s.Fresh != want.fresh || s.Reading.Watts != want.value {
						t.Errorf("step %d: %s, fresh %v, %g W; want %s, %v, %g W", i, s.Reading.Quality, s.Fresh, s.Reading.Watts, want.want, want.fresh, want.value)
					}
					if (s.Err == nil) != s.Fresh {
						t.Errorf("step %d: fresh %v with error %v", i, s.Fresh, s.Err)
					}
				})
				if n != 1 {
					t.Fatalf("step %d: %d visits, want 1", i, n)
				}
			}
		})
	}
}

// TestDeadChipsAreBounded wants the living to be read at their rate while four
// of twelve chips cost a bus time-out each time they are tried.
func TestDeadChipsAreBounded(t *testing.T) {
	t.Parallel()
	c := newClock()
	var points []poll.Point
	var dead []*meter
	for i := range 12 {
		m := &meter{clock: c, cost: 400 * time.Microsecond}
		if i%3 == 1 {
			m.err, m.cost = errDead, 50*time.Millisecond
			dead = append(dead, m)
		}
		points = append(points, poll.Point{Outlet: i + 1, Meter: m, Every: 100 * time.Millisecond})
	}
	l := newLine(t, nil, points...)
	run(l, c, 5*time.Second)
	before := len(dead[0].tried) + len(dead[1].tried) + len(dead[2].tried) + len(dead[3].tried)
	const seconds = 60
	samples := run(l, c, seconds*time.Second)
	fresh := make(map[int]int)
	visits := make(map[int]int)
	for _, s := range samples {
		visits[s.Reading.Outlet]++
		if s.Fresh {
			fresh[s.Reading.Outlet]++
		}
	}
	for i := range 12 {
		if visits[i+1] < 9*seconds {
			t.Errorf("outlet %d: visited %d times in %d s, want at least %d", i+1, visits[i+1], seconds, 9*seconds)
		}
		if i%3 != 1 && fresh[i+1] != visits[i+1] {
			t.Errorf("outlet %d: %d of %d samples fresh, want all", i+1, fresh[i+1], visits[i+1])
		}
	}
	total := -before
	for i, m := range dead {
		total += len(m.tried)
		last := m.tried[len(m.tried)-1]
		if c.t.Sub(last) > 5*time.Second {
			t.Errorf("dead chip %d: last tried %s ago, want each one to get its turn", i, c.t.Sub(last))
		}
	}
	if spent := time.Duration(total) * 50 * time.Millisecond; spent > seconds*time.Second/9 {
		t.Errorf("dead chips took %s of %d s, want a tenth", spent, seconds)
	}
	if since, err := l.Fault(); err != nil {
		t.Errorf("bus fault since %s with eight living chips: %v", since, err)
	}
	// One that comes back is read at its rate again.
	dead[2].err, dead[2].cost = nil, 0
	run(l, c, 5*time.Second)
	n := len(dead[2].tried)
	run(l, c, 5*time.Second)
	if got := len(dead[2].tried) - n; got < 45 {
		t.Errorf("read %d times in 5 s after it came back, want 50", got)
	}
}

func TestBusFault(t *testing.T) {
	t.Parallel()
	c := newClock()
	var chips []*meter
	var points []poll.Point
	for i := range 6 {
		m, th := &meter{clock: c}, &thermometer{meter: meter{clock: c}}
		chips = append(chips, m, &th.meter)
		points = append(points, poll.Point{Outlet: i + 1, Meter: m, Every: 100 * time.Millisecond, Thermometer: th, ThermometerEvery: time.Second})
	}
	var called []time.Duration
	var start time.Time
	errHook := errors.New("mux does not answer")
	l := newLine(t, func() error { called = append(called, c.t.Sub(start)); return errHook }, points...)
	run(l, c, 2*time.Second)
	start = c.t
	for _, m := range chips {
		m.err, m.cost = errDead, 50*time.Millisecond
	}
	samples := run(l, c, 40*time.Second)
	since, err := l.Fault()
	if !errors.Is(err, errHook) {
		t.Fatalf("Fault: %v, want the error of the hook", err)
	}
	if d := since.Sub(start); d > 3*time.Second {
		t.Errorf("fault seen after %s, want 3 s or less", d)
	}
	if len(called) < 5 || len(called) > 7 {
		t.Errorf("hook called at %v, want with back-off 1 s to 30 s", called)
	}
	visits := make(map[int]time.Time)
	for _, s := range samples {
		visits[s.Reading.Outlet] = c.t
	}
	if len(visits) != 6 {
		t.Errorf("%d outlets visited while the bus is dead, want 6", len(visits))
	}
	if got := l.Stats(); got.Recoveries != uint64(len(called)) || got.Failing != 12 {
		t.Errorf("stats %+v, want %d recoveries and 12 failing", got, len(called))
	}
	for _, m := range chips {
		m.err, m.cost = nil, 0
	}
	run(l, c, 2500*time.Millisecond)
	if _, err := l.Fault(); err != nil {
		t.Errorf("Fault after the bus came back: %v", err)
	}
	fresh := 0
	for _, s := range run(l, c, time.Second) {
		if s.Fresh {
			fresh++
		}
	}
	if fresh < 54 {
		t.Errorf("%d fresh samples in the next second, want 60", fresh)
	}
	if got := l.Stats(); got.Failing != 0 {
		t.Errorf("%d chips still count as failing", got.Failing)
	}
}

// TestOneTickIsBounded wants a tick on a bus that hangs to end in time for the
// guard's deadline, however many chips there are.
func TestOneTickIsBounded(t *testing.T) {
	t.Parallel()
	c := newClock()
	var points []poll.Point
	for i := range 100 {
		points = append(points, poll.Point{
			Outlet: i + 1, Every: 100 * time.Millisecond, ThermometerEvery: time.Second,
			Meter:       &meter{clock: c, err: errDead, cost: 50 * time.Millisecond},
			Thermometer: &thermometer{meter: meter{clock: c, err: errDead, cost: 50 * time.Millisecond}},
		})
	}
	l := newLine(t, nil, points...)
	visited := make(map[int]time.Time)
	for i := range 500 {
		c.until(l.Next())
		began := c.t
		l.Tick(c.now, func(s *poll.Sample) { visited[s.Reading.Outlet] = began })
		if took := c.t.Sub(began); took > 400*time.Millisecond {
			t.Fatalf("a tick took %s, want at most 400 ms", took)
		}
		for n := range 100 {
			if gap := began.Sub(visited[n+1]); gap > time.Second {
				t.Fatalf("tick %d: outlet %d: not visited for %s", i, n+1, gap)
			}
		}
	}
}

// TestLaws lets chips fail and recover at random.
func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		n := rapid.IntRange(1, 6).Draw(t, "points")
		var meters []*meter
		var points []poll.Point
		for i := range n {
			m := &meter{clock: c, cost: 300 * time.Microsecond}
			meters = append(meters, m)
			points = append(points, poll.Point{
				Outlet: i + 1, Meter: m,
				Every: time.Duration(rapid.IntRange(20, 1000).Draw(t, "every")) * time.Millisecond,
			})
		}
		l, err := poll.New(poll.Options{Name: "main", Points: points, Ladder: ladder(func() error { return nil })})
		if err != nil {
			t.Fatal(err)
		}
		good := make(map[int]time.Time)
		visited := make(map[int]time.Time)
		for i := range n {
			visited[i+1] = c.t
		}
		for range rapid.IntRange(1, 200).Draw(t, "ticks") {
			m := meters[rapid.IntRange(0, n-1).Draw(t, "meter")]
			m.err, m.cost = nil, 300*time.Microsecond
			if rapid.Bool().Draw(t, "dead") {
				m.err, m.cost = errDead, time.Duration(rapid.SampledFrom([]int{1, 50}).Draw(t, "cost"))*time.Millisecond
			}
			c.until(l.Next())
			l.Tick(c.now, func(s *poll.Sample) {
				o := s.Reading.Outlet
				if s.Fresh {
					good[o] = s.Reading.At
				}
				if !s.Reading.At.Equal(good[o]) {
					t.Fatalf("outlet %d: reading of %s, the last good one is of %s", o, s.Reading.At, good[o])
				}
				if old := s.Reading.Age(c.t) > poll.StaleAfter; old && s.Reading.Quality < shedguard.QualityStale {
					t.Fatalf("outlet %d: %s old and %s", o, s.Reading.Age(c.t), s.Reading.Quality)
				}
				if s.Fresh && s.Reading.Quality > shedguard.QualitySuspect {
					t.Fatalf("outlet %d: fresh and %s", o, s.Reading.Quality)
				}
				visited[o] = c.t
			})
			for i, p := range points {
				if gap := c.t.Sub(visited[i+1]); gap > p.Every+time.Second {
					t.Fatalf("outlet %d: not visited for %s, period %s", i+1, gap, p.Every)
				}
			}
		}
	})
}

func TestTickAllocates(t *testing.T) {
	l := newLine(t, nil, benchPoints()...)
	visit := func(*poll.Sample) {}
	now := future()
	if n := testing.AllocsPerRun(1000, func() { l.Tick(now, visit) }); n != 0 {
		t.Errorf("%g allocations a tick, want none", n)
	}
}

// quiet is a meter that costs nothing.
type quiet struct{}

func (quiet) Read(r *shedguard.Reading) error { r.Volts, r.Watts = 220, 100; return nil }
func benchPoints() []poll.Point {
	var points []poll.Point
	for i := range 12 {
		points = append(points, poll.Point{Outlet: i + 1, Meter: quiet{}, Every: 100 * time.Millisecond})
	}
	return points
}

// future returns a clock on which everything is due.
func future() func() time.Time {
	base := time.Now().Add(time.Second)
	return func() time.Time { base = base.Add(time.Second); return base }
}

// BenchmarkTick polls twelve meters that answer at once: the cost of the
// schedule alone.
func BenchmarkTick(b *testing.B) {
	l := newLine(b, nil, benchPoints()...)
	now := future()
	visit := func(*poll.Sample) {}
	b.ReportAllocs()
	for b.Loop() {
		l.Tick(now, visit)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(12*b.N), "ns/sample")
}
