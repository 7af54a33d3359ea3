package poll_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/poll"
)

// stuckBus is a bus of chips behind the ports of a mux: while the port of a
// chip that holds its line is joined, nobody answers.
type stuckBus struct {
	clock  *clock
	joined int // port, 0 none
	holds  int // the port whose line is held; 0 none, -1 the trunk
	tries  int // of the held port
}

const timeout = 50 * time.Millisecond

func (b *stuckBus) hung() bool { return b.holds < 0 || b.holds > 0 && b.joined == b.holds }

// portMeter reads as the driver of a chip behind a mux does: it joins its port,
// then asks.
type portMeter struct {
	bus  *stuckBus
	port int
}

func (m *portMeter) Read(r *shedguard.Reading) error {
	if m.bus.hung() {
		m.bus.clock.add(timeout)
		return fmt.Errorf("select port %d: %w", m.port, errDead)
	}
	if m.bus.joined = m.port; m.bus.hung() {
		m.bus.tries++
		m.bus.clock.add(timeout)
		return fmt.Errorf("port %d: %w", m.port, errDead)
	}
	m.bus.clock.add(500 * time.Microsecond)
	r.Volts, r.Amps, r.Watts, r.PowerFactor = 220, 1, 220, 1
	return nil
}

var errHeld = errors.New("line is held")

// rungs are those of a board; which of them works depends on the bus.
func (b *stuckBus) rungs(log *[]string) []poll.Rung {
	rung := func(name string, do func() error) poll.Rung {
		return poll.Rung{Name: name, Do: func() error { *log = append(*log, name); return do() }}
	}
	return []poll.Rung{
		rung("open the bus again", func() error { return nil }),
		rung("reset the muxes", func() error { b.joined = 0; return nil }),
		rung("deselect the muxes", func() error {
			if b.hung() {
				b.clock.add(timeout)
				return errHeld
			}
			b.joined = 0
			return nil
		}),
	}
}

func newStuck(t *testing.T, hz int, log *[]string) (*stuckBus, *poll.Line) {
	t.Helper()
	b := &stuckBus{clock: newClock()}
	var points []poll.Point
	for i := range 12 {
		points = append(points, poll.Point{Outlet: i + 1, Meter: &portMeter{b, i + 1}, Every: time.Second / time.Duration(hz)})
	}
	l, err := poll.New(poll.Options{Name: "main", Points: points, Ladder: b.rungs(log)})
	if err != nil {
		t.Fatal(err)
	}
	return b, l
}

// TestAHeldPortIsSetAside wants the reset line to free a bus that one chip
// holds, and that chip to be left alone so that the others are read.
func TestAHeldPortIsSetAside(t *testing.T) {
	t.Parallel()
	var log []string
	b, l := newStuck(t, 10, &log)
	run(l, b.clock, time.Second)
	b.holds = 4
	began := b.clock.t
	good := make(map[int]time.Time)
	worst := make(map[int]time.Duration)
	for _, s := range run(l, b.clock, time.Minute) {
		n := s.Reading.Outlet
		if s.Fresh {
			if was, ok := good[n]; ok {
				worst[n] = max(worst[n], s.Reading.At.Sub(was))
			}
			good[n] = s.Reading.At
		}
	}
	for n := 1; n <= 12; n++ {
		if n == 4 {
			if at := good[n]; at.After(began) {
				t.Errorf("outlet 4 read %s after its line was held", at.Sub(began))
			}
			continue
		}
		if worst[n] == 0 || worst[n] > time.Second {
			t.Errorf("outlet %d: %s between two readings, want 1 s at most", n, worst[n])
		}
	}
	if b.tries < 4 || b.tries > 10 {
		t.Errorf("the held port was joined %d times in a minute, want with pauses from 1 s to 30 s", b.tries)
	}
	if !slices.Equal(log[:4], []string{"open the bus again", "reset the muxes", "open the bus again", "reset the muxes"}) {
		t.Errorf("tried %q", log[:4])
	}
	_, err := l.Fault()
	if err == nil {
		t.Fatal("no fault while a chip is set aside")
	}
	for _, want := range []string{"bus main: hung when the meter of outlet 4 was read", "freed by: reset the muxes", "set aside for"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("fault %q does not say %q", err, want)
		}
	}
	s := l.Stats()
	if s.Healed == 0 || s.Healed*2 != s.Recoveries || s.Fault != err.Error() {
		t.Errorf("stats %+v, want every second rung to heal", s)
	}
	// Let go, it is read again, and after a minute forgotten.
	b.holds = 0
	fresh := 0
	for _, s := range run(l, b.clock, 32*time.Second) {
		if s.Fresh && s.Reading.Outlet == 4 {
			fresh++
		}
	}
	if fresh == 0 {
		t.Error("outlet 4 is not read again")
	}
	run(l, b.clock, time.Minute)
	if since, err := l.Fault(); err != nil || !since.IsZero() || l.Stats().Fault != "" {
		t.Errorf("fault since %s a minute later: %v", since, err)
	}
}

// TestNoRungHelps wants the whole ladder tried, told, and tried again.
func TestNoRungHelps(t *testing.T) {
	t.Parallel()
	var log []string
	b, l := newStuck(t, 10, &log)
	run(l, b.clock, time.Second)
	b.holds = -1
	start := b.clock.t
	for range 100 {
		b.clock.until(l.Next())
		began := b.clock.t
		l.Tick(b.clock.now, func(*poll.Sample) {})
		if took := b.clock.t.Sub(began); took > 500*time.Millisecond {
			t.Fatalf("a tick took %s, want at most 500 ms", took)
		}
		if b.clock.t.Sub(start) > 900*time.Millisecond {
			break
		}
	}
	since, err := l.Fault()
	if err == nil {
		t.Fatal("no fault")
	}
	if d := since.Sub(start); d > 500*time.Millisecond {
		t.Errorf("seen after %s, want half a second", d)
	}
	for _, want := range []string{
		"bus main: no chip answers: ", "tried to open the bus again: done, no answer", ", to reset the muxes: done, no answer",
		", to deselect the muxes: line is held; given up, next try in 1s",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("fault %q does not say %q", err, want)
		}
	}
	if !errors.Is(err, errHeld) || !errors.Is(err, errDead) {
		t.Errorf("fault %v wraps neither why nor what was tried", err)
	}
	run(l, b.clock, time.Minute)
	if n := len(log); n < 15 || n > 21 || n%3 != 0 {
		t.Errorf("%d rungs tried in a minute, want whole ladders with pauses from 1 s to 30 s", n)
	}
	// It comes back by itself.
	b.holds = 0
	run(l, b.clock, 2*time.Second)
	if _, err := l.Fault(); err != nil {
		t.Errorf("fault with a bus that answers: %v", err)
	}
	if s := l.Stats(); s.Failing != 0 || s.Healed != 0 {
		t.Errorf("stats %+v, want none failing and none healed by a rung", s)
	}
}

// TestHalfTheBusIsNoBusFault wants chips that died together, such as those
// behind one mux, not to be taken for the bus.
func TestHalfTheBusIsNoBusFault(t *testing.T) {
	t.Parallel()
	c := newClock()
	var chips []*meter
	var points []poll.Point
	for i := range 12 {
		chips = append(chips, &meter{clock: c, cost: 500 * time.Microsecond})
		points = append(points, poll.Point{Outlet: i + 1, Meter: chips[i], Every: 100 * time.Millisecond})
	}
	called := 0
	l := newLine(t, func() error { called++; return nil }, points...)
	run(l, c, time.Second)
	for _, m := range chips[:6] {
		m.err = errDead
	}
	samples := run(l, c, 10*time.Second)
	if _, err := l.Fault(); err != nil || called > 0 {
		t.Errorf("fault %v, %d recoveries", err, called)
	}
	fresh := 0
	for _, s := range samples {
		if s.Fresh {
			fresh++
		}
	}
	if fresh < 6*99 {
		t.Errorf("%d good readings of six meters in 10 s, want 600", fresh)
	}
}

// TestJitter wants meters to be read on time while one chip is dead, so that
// each attempt costs a time-out, and one is slow.
func TestJitter(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dead, slow time.Duration // what a read costs
		hz         int
	}{
		"sound":                      {500 * time.Microsecond, 500 * time.Microsecond, 10},
		"dead by time-out":           {timeout, 500 * time.Microsecond, 10},
		"slow":                       {500 * time.Microsecond, 30 * time.Millisecond, 10},
		"dead and slow":              {timeout, 30 * time.Millisecond, 10},
		"dead and slow, no room":     {timeout, 60 * time.Millisecond, 10},
		"dead and slow, 20 a second": {timeout, 30 * time.Millisecond, 20},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			var points []poll.Point
			for i := range 12 {
				m := &meter{clock: c, cost: 500 * time.Microsecond, watts: 100}
				switch {
				case i == 2 && tt.dead == timeout:
					m.cost, m.err = tt.dead, errDead
				case i == 7:
					m.cost = tt.slow
				}
				th := &thermometer{meter: meter{clock: c, cost: 120 * time.Microsecond}}
				points = append(points, poll.Point{Outlet: i + 1, Meter: m, Every: time.Second / time.Duration(tt.hz), Thermometer: th, ThermometerEvery: time.Second})
			}
			l := newLine(t, nil, points...)
			run(l, c, 5*time.Second)
			last := make(map[int]time.Time)
			var off []time.Duration
			slow := 0
			const seconds = 60
			for _, s := range run(l, c, seconds*time.Second) {
				n := s.Reading.Outlet
				if n == 8 && s.Fresh {
					slow++
				}
				if n == 3 && tt.dead == timeout || n == 8 && tt.slow > time.Millisecond {
					continue
				}
				if was, ok := last[n]; ok {
					off = append(off, (s.Reading.At.Sub(was) - points[n-1].Every).Abs())
				}
				last[n] = s.Reading.At
			}
			slices.Sort(off)
			p99 := off[len(off)*99/100]
			t.Logf("p99 %s, max %s, of the slow chip %d readings in %d s", p99, off[len(off)-1], slow, seconds)
			if p99 > 5*time.Millisecond {
				t.Errorf("p99 of the jitter is %s, want 5 ms or less", p99)
			}
			if len(off) < 10*seconds*tt.hz-20 {
				t.Errorf("%d readings of ten sound meters in %d s, want %d each", len(off), seconds, seconds*tt.hz)
			}
			if slow < seconds/3 {
				t.Errorf("the slow chip was read %d times in %d s, want no gap of 3 s", slow, seconds)
			}
			s := l.Stats()
			if q := s.Quantile(0.9); q > 5*time.Millisecond { // it counts the slow one, too
				t.Errorf("by the line's own count p90 is %s", q)
			}
			if use := s.Busy.Seconds() / 65; use > 1 || use < 0.05 {
				t.Errorf("bus use %.3f", use)
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var s poll.Stats
	if got := s.Quantile(0.99); got != 0 {
		t.Errorf("of nothing: %s", got)
	}
	s.Jitter[2], s.Jitter[poll.JitterClasses-1] = 99, 1
	if got := s.Quantile(0.99); got != time.Millisecond {
		t.Errorf("99 of 100 are below 1 ms: %s", got)
	}
	if got := s.Quantile(1); got != time.Second {
		t.Errorf("the last class: %s", got)
	}
}

// wordMeter gives words as a chip's registers hold them.
type wordMeter struct {
	clock *clock
	words [3]uint32
	amps  float64
	err   error
}

func (m *wordMeter) Read(r *shedguard.Reading) error {
	m.clock.add(time.Millisecond)
	if m.err != nil {
		return m.err
	}
	r.Volts, r.Amps, r.Watts, r.PowerFactor, r.Raw = 220, m.amps, 220*m.amps, 1, m.words
	return nil
}

func TestFrozen(t *testing.T) {
	t.Parallel()
	same := func(*wordMeter, int) {}
	moving := func(m *wordMeter, i int) { m.words[0] = uint32(i + 1) }
	tests := map[string]struct {
		amps   float64
		frozen *poll.Frozen
		step   func(*wordMeter, int)
		after  time.Duration // when it is a fault; 0: never
	}{
		"current flows":       {2, &poll.Frozen{After: 5 * time.Second, AboveAmps: 0.2}, same, 5 * time.Second},
		"current flows back":  {-2, &poll.Frozen{After: 5 * time.Second, AboveAmps: 0.2}, same, 5 * time.Second},
		"coarse meter":        {2, &poll.Frozen{After: 20 * time.Second, AboveAmps: 0.2}, same, 20 * time.Second},
		"no current":          {0.2, &poll.Frozen{After: 5 * time.Second, AboveAmps: 0.2}, same, 0},
		"no current, volts":   {0.1, &poll.Frozen{After: 5 * time.Second, AboveAmps: 0.2, AtRestAfter: 12 * time.Second}, same, 12 * time.Second},
		"not judged":          {2, nil, same, 0},
		"moves":               {2, &poll.Frozen{After: 5 * time.Second, AboveAmps: 0.2}, moving, 0},
		"one bit of the last": {2, &poll.Frozen{After: 5 * time.Second, AboveAmps: 0.2}, func(m *wordMeter, i int) { m.words[2] = uint32(i / 40 % 2) }, 0},
		"no words":            {2, &poll.Frozen{After: 5 * time.Second, AboveAmps: 0.2}, func(m *wordMeter, _ int) { m.words = [3]uint32{} }, 0},
		"failures between": {2, &poll.Frozen{After: 5 * time.Second, AboveAmps: 0.2}, func(m *wordMeter, i int) {
			m.err = nil
			if i%3 == 0 {
				m.err = errDead
			}
		}, 5 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			m := &wordMeter{clock: c, words: [3]uint32{7, 8, 9}, amps: tt.amps}
			l := newLine(t, nil, poll.Point{Outlet: 7, Meter: m, Every: 100 * time.Millisecond, Frozen: tt.frozen})
			start, seen := c.t, time.Duration(0)
			for i := range 300 {
				tt.step(m, i)
				c.until(l.Next())
				l.Tick(c.now, func(s *poll.Sample) {
					if s.Reading.Quality != shedguard.QualityFault {
						return
					}
					if seen == 0 {
						seen = c.t.Sub(start)
					}
					if s.Fresh || !errors.Is(s.Err, poll.ErrFrozen) && !errors.Is(s.Err, errDead) {
						t.Fatalf("frozen, fresh %v: %v", s.Fresh, s.Err)
					}
				})
			}
			if tt.after == 0 && seen != 0 {
				t.Fatalf("frozen after %s, want never", seen)
			}
			if tt.after == 0 {
				return
			}
			if seen < tt.after || seen > tt.after+500*time.Millisecond {
				t.Fatalf("frozen after %s, want %s", seen, tt.after)
			}
			if n := l.Stats().Frozen; n != 1 {
				t.Errorf("%d frozen meters, want 1", n)
			}
			m.words[1]++
			m.err = nil
			c.until(l.Next())
			l.Tick(c.now, func(s *poll.Sample) {
				if s.Reading.Quality != shedguard.QualityGood || !s.Fresh || s.Err != nil {
					t.Errorf("a bit moved: %s, fresh %v, %v", s.Reading.Quality, s.Fresh, s.Err)
				}
			})
			if n := l.Stats().Frozen; n != 0 {
				t.Errorf("%d frozen meters after it moved", n)
			}
		})
	}
}

func TestFrozenText(t *testing.T) {
	t.Parallel()
	c := newClock()
	m := &wordMeter{clock: c, words: [3]uint32{0x1f, 8, 9}, amps: 2}
	l := newLine(t, nil, poll.Point{Outlet: 7, Meter: m, Every: 100 * time.Millisecond, Frozen: &poll.Frozen{After: 5 * time.Second, AboveAmps: 0.2}})
	samples := run(l, c, 6*time.Second)
	const want = "outlet 7: meter: register words are frozen: [0x0000001f 0x00000008 0x00000009] for 5s at 2 A"
	if err := samples[len(samples)-1].Err; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// TestNewRefusesMore: ladders and limits of frozen words that make no sense.
func TestNewRefusesMore(t *testing.T) {
	t.Parallel()
	point := func(f *poll.Frozen) []poll.Point {
		return []poll.Point{{Outlet: 1, Meter: &meter{}, Every: 100 * time.Millisecond, Frozen: f}}
	}
	tests := map[string]poll.Options{
		"frozen too soon":   {Points: point(&poll.Frozen{After: time.Second, AboveAmps: 1})},
		"frozen at no amps": {Points: point(&poll.Frozen{After: 5 * time.Second})},
		"rest before after": {Points: point(&poll.Frozen{After: 6 * time.Second, AboveAmps: 1, AtRestAfter: 5 * time.Second})},
		"rung without name": {Points: point(nil), Ladder: []poll.Rung{{Do: func() error { return nil }}}},
		"rung without deed": {Points: point(nil), Ladder: []poll.Rung{{Name: "pray"}}},
	}
	for name, opts := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts.Name = "main"
			if _, err := poll.New(opts); err == nil {
				t.Error("New: want an error")
			}
		})
	}
}
