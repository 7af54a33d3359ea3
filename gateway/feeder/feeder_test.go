package feeder_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/gateway/feeder"
)

const (
	tick        = 100 * time.Millisecond
	resumeAfter = 10 * time.Second
)

func limits() *feeder.Limits {
	return &feeder.Limits{SoftWatts: 7800, HardWatts: 8700, Delay: 5 * time.Second, Settle: 10 * time.Second}
}

// outlet is a charger on an outlet of the plant.
type outlet struct {
	watts   float64 // that it draws while it is fed
	plugged bool
	session bool
	begun   time.Time
	stale   bool
	stuck   bool // the relay does not open
	fed     bool
	since   time.Time
	asks    bool      // wants to be fed again and finds no room
	free    time.Time // since when nothing holds it open
	seen    float64
	at      time.Time
}

// plant is a shed around a feeder: what the guard does, without its chips.
type plant struct {
	limits  *feeder.Limits
	state   feeder.State
	outlets []*outlet
	loads   []feeder.Load
	meter   feeder.Meter
	now     time.Time
	last    feeder.Verdict
	sheds   []shedding
	backs   []int
	closed  int // relays that closed
}

type shedding struct {
	at     time.Time
	outlet int
	drawn  float64
}

func newPlant(n int) *plant {
	p := &plant{limits: limits(), state: feeder.NewState(n), now: time.Unix(1_700_000_000, 0)}
	for range n {
		p.outlets = append(p.outlets, &outlet{fed: true, since: p.now.Add(-time.Hour)})
	}
	p.loads = make([]feeder.Load, n)
	return p
}

// charge begins a session that draws so many watts.
func (p *plant) charge(i int, watts float64) {
	o := p.outlets[i]
	o.watts, o.plugged, o.session, o.begun, o.fed, o.since = watts, true, true, p.now, true, p.now
}

func (p *plant) flows(o *outlet) float64 {
	if (o.fed || o.stuck) && o.plugged {
		return o.watts
	}
	return 0
}

// real is what really flows.
func (p *plant) real() float64 {
	var w float64
	for _, o := range p.outlets {
		w += p.flows(o)
	}
	return w
}

// step reads the meters, judges, and switches.
func (p *plant) step() feeder.Verdict {
	p.now = p.now.Add(tick)
	for i, o := range p.outlets {
		if !o.stale {
			o.seen, o.at = p.flows(o), p.now
		}
		l := &p.loads[i]
		last := o.watts
		*l = feeder.Load{
			Outlet: i + 1, Rated: 1000, Watts: o.seen, At: o.at, Fed: o.fed || o.stuck, Since: o.since, Wanted: true,
			Session: o.session, Begun: o.begun, Expected: last, Asks: o.asks,
		}
	}
	before := make([]feeder.Hold, len(p.outlets))
	for i := range before {
		before[i] = p.state.Hold(i)
	}
	p.last = p.limits.Next(&p.state, p.loads, p.meter, p.now)
	for i, o := range p.outlets {
		hold := p.state.Hold(i)
		if hold.Mode == feeder.Shed && before[i].Mode == feeder.Free {
			p.sheds = append(p.sheds, shedding{p.now, i, p.last.Drawn})
		}
		if hold.Mode == feeder.Free && before[i].Mode != feeder.Free {
			p.backs = append(p.backs, i)
		}
		switch {
		case hold.Mode != feeder.Free:
			if o.fed {
				o.fed, o.since = false, p.now
			}
			o.free = time.Time{}
		case o.fed || o.asks:
		case o.free.IsZero():
			o.free = p.now
		case p.now.Sub(o.free) >= resumeAfter:
			o.fed, o.since = true, p.now
			p.closed++
		}
	}
	return p.last
}

func (p *plant) run(d time.Duration) {
	for range int(d / tick) {
		p.step()
	}
}

func (p *plant) modes() []feeder.Mode {
	m := make([]feeder.Mode, len(p.outlets))
	for i := range m {
		m[i] = p.state.Hold(i).Mode
	}
	return m
}

func TestNothingBelowTheLimits(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 12 {
		p.charge(i, 640) // 7680 W
		p.run(time.Second)
	}
	p.run(10 * time.Minute)
	if len(p.sheds) != 0 || p.last.Refusing || p.last.Drawn != 7680 {
		t.Errorf("sheds %v, verdict %+v", p.sheds, p.last)
	}
}

func TestYoungestFirstAndOnlyAsManyAsItTakes(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	order := []int{5, 2, 9, 0, 11, 1, 7, 3, 4, 6, 8, 10}
	for _, i := range order {
		p.charge(i, 600)
		p.run(time.Second)
	}
	p.run(time.Minute) // 7200 W
	for _, o := range p.outlets {
		o.watts = 800 // 9600 W: two must go
	}
	began := p.now
	p.run(5 * time.Minute)
	var got []string
	for _, s := range p.sheds {
		got = append(got, fmt.Sprintf("%d after %s at %g W", s.outlet, s.at.Sub(began.Add(tick)), s.drawn))
	}
	want := []string{"10 after 5s at 9600 W", "8 after 15s at 8800 W"}
	if !slices.Equal(got, want) {
		t.Errorf("shed %q, want %q", got, want)
	}
	if h := p.state.Hold(10); h.Limit != 8700 || h.Value != 9600 {
		t.Errorf("hold %+v", h)
	}
	if p.last.Drawn != 8000 || !p.last.Refusing || p.last.Shed != 2 || !p.last.Over.IsZero() {
		t.Errorf("verdict %+v", p.last)
	}
	// Nobody leaves: nothing is given back, for 8000 W are above the soft limit.
	if len(p.backs) != 0 {
		t.Errorf("given back %v", p.backs)
	}
	// Two leave: 6400 W. The older one of the two fits (7200 W), then the other does not (8000 W).
	p.outlets[5].plugged, p.outlets[5].session = false, false
	p.outlets[2].plugged, p.outlets[2].session = false, false
	p.run(5 * time.Minute)
	if !slices.Equal(p.backs, []int{8}) || p.last.Drawn != 7200 || p.last.Shed != 1 {
		t.Errorf("given back %v, verdict %+v", p.backs, p.last)
	}
	p.outlets[9].plugged, p.outlets[9].session = false, false
	p.run(5 * time.Minute)
	if !slices.Equal(p.backs, []int{8, 10}) || len(p.sheds) != 2 || p.last.Drawn != 7200 {
		t.Errorf("given back %v, sheds %v, verdict %+v", p.backs, p.sheds, p.last)
	}
}

func TestAPeakShorterThanTheDelayShedsNothing(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 12 {
		p.charge(i, 640)
	}
	p.run(time.Minute)
	for range 50 {
		p.outlets[0].watts = 4000
		p.run(4900 * time.Millisecond)
		p.outlets[0].watts = 640
		p.run(tick)
	}
	if len(p.sheds) != 0 {
		t.Errorf("shed %v", p.sheds)
	}
}

func TestPlugInWaitsForRoom(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 10 {
		p.charge(i, 780) // 7800 W: the soft limit
	}
	p.run(time.Minute)
	if !p.last.Refusing || p.last.Waiting != 0 {
		t.Fatalf("verdict %+v", p.last)
	}
	o := p.outlets[11]
	o.plugged, o.watts = true, 300
	p.run(time.Second)
	if p.state.Hold(11).Mode != feeder.Waiting || o.fed || p.real() != 7800 {
		t.Fatalf("hold %+v, fed %t, %g W", p.state.Hold(11), o.fed, p.real())
	}
	p.run(time.Hour)
	if p.closed != 0 {
		t.Errorf("%d relays closed while there was no room", p.closed)
	}
	p.outlets[0].watts = 430 // 7450 W: 7750 W with it, and still nothing else may begin
	p.run(2 * time.Minute)
	if !p.last.Refusing || p.state.Hold(11).Mode != feeder.Free || !o.fed || p.real() != 7750 || p.closed != 1 {
		t.Errorf("hold %+v, fed %t, %g W, closed %d", p.state.Hold(11), o.fed, p.real(), p.closed)
	}
}

func TestItsOwnLoadDoesNotTurnAPlugInAway(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 10 {
		p.charge(i, 770) // 7700 W
	}
	p.run(time.Minute)
	o := p.outlets[11]
	o.plugged, o.watts = true, 300 // 8000 W: above the soft limit, by itself
	p.run(time.Minute)
	if p.state.Hold(11).Mode != feeder.Free || !o.fed || !p.last.Refusing {
		t.Errorf("hold %+v, fed %t, verdict %+v", p.state.Hold(11), o.fed, p.last)
	}
}

func TestWhoGivesUpIsForgotten(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 12 {
		p.charge(i, 800)
		p.run(tick)
	}
	p.run(time.Minute)
	if p.last.Shed != 2 {
		t.Fatalf("verdict %+v", p.last)
	}
	p.outlets[11].session = false // stopped by command
	p.run(tick)
	if p.last.Shed != 1 || p.state.Hold(11).Mode != feeder.Free {
		t.Errorf("verdict %+v, hold %+v", p.last, p.state.Hold(11))
	}
}

func TestRoomMustStand(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 12 {
		p.charge(i, 800)
		p.run(tick)
	}
	p.run(time.Minute) // two are shed: 8000 W
	for range 50 {
		p.outlets[0].watts, p.outlets[1].watts = 100, 100
		p.run(9900 * time.Millisecond)
		p.outlets[0].watts, p.outlets[1].watts = 800, 800
		p.run(tick)
	}
	if len(p.backs) != 0 {
		t.Errorf("given back %v", p.backs)
	}
}

func TestASuspendedSessionKeepsItsPlace(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 12 {
		p.charge(i, 800)
		p.run(tick)
	}
	p.run(time.Minute) // two are shed: 8000 W
	// Another cause opens one: 7200 W flow, but it will be back.
	o := p.outlets[0]
	o.fed, o.asks, o.since = false, false, p.now
	o.plugged = false
	hold := func() {
		for range 600 {
			o.fed = false
			p.step()
		}
	}
	hold()
	p.outlets[1].watts = 300 // 6700 W: there is room for one of the two, or for both but for the reserved place
	hold()
	if len(p.backs) != 0 || p.last.Reserved != 800 {
		t.Errorf("given back %v, verdict %+v", p.backs, p.last)
	}
	p.outlets[2].watts = 300 // 6200 W
	hold()
	if !slices.Equal(p.backs, []int{10}) {
		t.Errorf("given back %v", p.backs)
	}
}

func TestATrippedOutletIsForgotten(t *testing.T) {
	t.Parallel()
	l := limits()
	s := feeder.NewState(2)
	now := time.Unix(1_700_000_000, 0)
	load := func(i int, latched bool) feeder.Load {
		return feeder.Load{
			Outlet: i, Rated: 9000, Watts: 5000, At: now, Fed: s.Hold(i-1).Mode == feeder.Free, Since: now.Add(-time.Hour),
			Wanted: true, Session: true, Begun: now.Add(time.Duration(i) * time.Second), Latched: latched,
		}
	}
	for range 100 {
		now = now.Add(tick)
		l.Next(&s, []feeder.Load{load(1, false), load(2, false)}, feeder.Meter{}, now)
	}
	if s.Hold(1).Mode != feeder.Shed {
		t.Fatalf("hold %+v", s.Hold(1))
	}
	if v := l.Next(&s, []feeder.Load{load(1, false), load(2, true)}, feeder.Meter{}, now); s.Hold(1).Mode != feeder.Free || !v.Changed {
		t.Errorf("hold %+v", s.Hold(1))
	}
}

func TestWhatCannotHelpIsNotShed(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 11 {
		p.charge(i, 850)
		p.run(tick)
	}
	p.charge(11, 2) // the youngest: its battery is full
	p.run(4 * time.Second)
	p.run(time.Minute)
	for _, s := range p.sheds {
		if s.outlet == 11 {
			t.Errorf("shed %+v", s)
		}
	}
	if p.real() > p.limits.HardWatts {
		t.Errorf("%g W", p.real())
	}
}

func TestAnOpenOutletIsNotShed(t *testing.T) {
	t.Parallel()
	l := limits()
	s := feeder.NewState(2)
	now := time.Unix(1_700_000_000, 0)
	for range 100 {
		now = now.Add(tick)
		loads := []feeder.Load{
			{Outlet: 1, Rated: 9000, Watts: 6000, At: now, Fed: true, Since: now.Add(-time.Hour), Wanted: true, Session: true, Begun: now.Add(-time.Hour)},
			// Welded: tripped, open, and current flows. The session is over.
			{Outlet: 2, Rated: 9000, Watts: 3000, At: now, Since: now.Add(-time.Minute), Wanted: true, Latched: true},
		}
		if s.Hold(0).Mode != feeder.Free {
			loads[0].Fed, loads[0].Watts = false, 0
		}
		l.Next(&s, loads, feeder.Meter{}, now)
	}
	if s.Hold(0).Mode != feeder.Shed || s.Hold(1).Mode != feeder.Free {
		t.Errorf("holds %+v, %+v", s.Hold(0), s.Hold(1))
	}
}

func TestAStuckRelayDoesNotEndTheShedding(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 12 {
		p.charge(i, 800)
		p.run(tick)
	}
	p.outlets[11].stuck = true
	p.run(2 * time.Minute)
	if p.real() > p.limits.HardWatts || p.last.Shed != 3 {
		t.Errorf("%g W, verdict %+v", p.real(), p.last)
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	base := feeder.Load{Rated: 1000, Watts: 400, At: ago(tick), Fed: true, Since: ago(time.Hour), Wanted: true, Session: true, Expected: 500}
	tests := map[string]struct {
		edit                     func(*feeder.Load)
		drawn, active, committed float64
	}{
		"fed":                     {func(*feeder.Load) {}, 400, 400, 400},
		"just fed, ramping up":    {func(l *feeder.Load) { l.Since = ago(time.Second) }, 400, 500, 500},
		"stale, with a last one":  {func(l *feeder.Load) { l.At = ago(4 * time.Second) }, 400, 400, 400},
		"stale, idle before":      {func(l *feeder.Load) { l.At, l.Watts = ago(4*time.Second), 0.2 }, 1000, 1000, 1000},
		"stale since it is fed":   {func(l *feeder.Load) { l.At, l.Since = ago(2*time.Minute), ago(time.Minute) }, 1000, 1000, 1000},
		"never read":              {func(l *feeder.Load) { l.At, l.Watts = time.Time{}, 0 }, 1000, 1000, 1000},
		"not a number":            {func(l *feeder.Load) { l.Watts = math.NaN() }, 1000, 1000, 1000},
		"infinite":                {func(l *feeder.Load) { l.Watts = math.Inf(1) }, 1000, 1000, 1000},
		"suspended":               {func(l *feeder.Load) { l.Fed, l.Since, l.Watts = false, ago(time.Minute), 0 }, 0, 0, 500},
		"suspended, stale":        {func(l *feeder.Load) { l.Fed, l.At, l.Since = false, ago(4*time.Second), ago(time.Second) }, 400, 400, 500},
		"suspended, unknown load": {func(l *feeder.Load) { l.Fed, l.At, l.Watts, l.Expected = false, time.Time{}, 0, 0 }, 0, 0, 1000},
		"welded":                  {func(l *feeder.Load) { l.Fed, l.Latched, l.Since = false, true, ago(time.Minute) }, 400, 400, 400},
		"held":                    {func(l *feeder.Load) { l.Fed, l.Held, l.Watts = false, true, 0 }, 0, 0, 500},
		"open without a session":  {func(l *feeder.Load) { l.Fed, l.Session, l.Watts = false, false, 0 }, 0, 0, 0},
		"about to close":          {func(l *feeder.Load) { l.Fed, l.Watts, l.Claim = false, 0, 700 }, 0, 700, 700},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := base
			tt.edit(&l)
			s := feeder.Count([]feeder.Load{l}, feeder.Meter{}, now)
			if s.Drawn != tt.drawn || s.Active != tt.active || s.Committed() != tt.committed || s.Metered {
				t.Errorf("%+v, committed %g: want drawn %g, active %g, committed %g", s, s.Committed(), tt.drawn, tt.active, tt.committed)
			}
		})
	}
	t.Run("the feeder's own meter sees more", func(t *testing.T) {
		t.Parallel()
		s := feeder.Count([]feeder.Load{base}, feeder.Meter{Watts: 900, At: ago(tick)}, now)
		if !s.Metered || s.Drawn != 900 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("the outlets see more than the feeder's own meter", func(t *testing.T) {
		t.Parallel()
		s := feeder.Count([]feeder.Load{base}, feeder.Meter{Watts: 100, At: ago(tick)}, now)
		if s.Drawn != 400 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("the feeder's own meter is silent", func(t *testing.T) {
		t.Parallel()
		s := feeder.Count([]feeder.Load{base}, feeder.Meter{Watts: 900, At: ago(4 * time.Second)}, now)
		if s.Metered || s.Drawn != 400 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAdmits(t *testing.T) {
	t.Parallel()
	l := limits()
	tests := map[string]struct {
		sum            feeder.Sum
		watts          float64
		admit, resumes bool
	}{
		"room":                               {feeder.Sum{Active: 7000}, 800, true, true},
		"between the limits":                 {feeder.Sum{Active: 7700}, 1000, true, false},
		"could go over the hard one":         {feeder.Sum{Active: 7701}, 1000, false, false},
		"at the soft one":                    {feeder.Sum{Active: 7800}, 10, false, false},
		"reserved for others counts":         {feeder.Sum{Active: 7000, Reserved: 800}, 10, false, true},
		"others wait already: they go first": {feeder.Sum{Active: 7000, Held: 800}, 10, false, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if a, r := l.Admits(&tt.sum, tt.watts), l.Resumes(&tt.sum, tt.watts); a != tt.admit || r != tt.resumes {
				t.Errorf("admits %t, resumes %t: want %t, %t", a, r, tt.admit, tt.resumes)
			}
		})
	}
}

func TestRefusingHasHysteresis(t *testing.T) {
	t.Parallel()
	p := newPlant(12)
	for i := range 10 {
		p.charge(i, 780)
	}
	p.run(time.Second)
	if !p.last.Refusing {
		t.Fatal("not refusing at the soft limit")
	}
	p.outlets[0].watts = 500 // 7520 W, above 95 %
	p.run(10 * time.Minute)
	if !p.last.Refusing {
		t.Error("stopped refusing at 7520 W")
	}
	p.outlets[0].watts = 300 // 7320 W, below 95 % of 7800 W
	p.run(10 * time.Second)
	if !p.last.Refusing {
		t.Error("stopped refusing before it settled")
	}
	p.run(time.Second)
	if p.last.Refusing {
		t.Error("still refusing at 7320 W")
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := limits().Validate(); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		edit func(*feeder.Limits)
		want string
	}{
		"no soft":         {func(l *feeder.Limits) { l.SoftWatts = 0 }, "soft_watts: 0: want 100"},
		"no hard":         {func(l *feeder.Limits) { l.HardWatts = math.NaN() }, "hard_watts: NaN"},
		"hard below soft": {func(l *feeder.Limits) { l.HardWatts = 7800 }, "hard_watts: 7800: want at least 1.05 x soft_watts"},
		"delay":           {func(l *feeder.Limits) { l.Delay = -1 }, "delay: -1ns"},
		"settle":          {func(l *feeder.Limits) { l.Settle = 0 }, "settle: 0s: want 1s"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := limits()
			tt.edit(l)
			if err := l.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

// TestLaws: whatever is plugged in, unplugged, stopped, silent or stuck, the
// feeder keeps to its limits.
func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 12).Draw(t, "outlets")
		p := newPlant(n)
		p.limits.Delay = time.Duration(rapid.IntRange(0, 10).Draw(t, "delay")) * time.Second
		p.limits.Settle = time.Duration(rapid.IntRange(1, 10).Draw(t, "settle")) * time.Second
		p.limits.SoftWatts = float64(rapid.IntRange(500, 400*n).Draw(t, "soft"))
		p.limits.HardWatts = p.limits.SoftWatts * rapid.Float64Range(1.05, 1.5).Draw(t, "hard")
		var overSince time.Time
		var lastShed time.Time
		watch := func() {
			before, fed := p.modes(), make([]bool, n)
			for i, o := range p.outlets {
				fed[i] = o.fed || o.stuck
			}
			v := p.step()
			switch {
			case v.Drawn <= p.limits.HardWatts:
				overSince = time.Time{}
			case overSince.IsZero():
				overSince = p.now
			}
			for i := range p.outlets {
				was, is := before[i], p.state.Hold(i).Mode
				if was == feeder.Free && is == feeder.Shed {
					if v.Drawn <= p.limits.HardWatts || p.now.Sub(overSince) < p.limits.Delay {
						t.Fatalf("outlet %d shed at %g W, above the limit since %v", i, v.Drawn, p.now.Sub(overSince))
					}
					if !lastShed.IsZero() && p.now.Sub(lastShed) < p.limits.Settle {
						t.Fatalf("outlet %d shed %v after the one before", i, p.now.Sub(lastShed))
					}
					lastShed = p.now
					for j := range p.outlets {
						l := &p.loads[j]
						if j != i && fed[j] && before[j] == feeder.Free && l.Session && l.Watts >= feeder.IdleWatts &&
							p.loads[i].Session && l.Begun.After(p.loads[i].Begun) {
							t.Fatalf("outlet %d shed, outlet %d is younger", i, j)
						}
					}
				}
				if was != feeder.Free && is == feeder.Free && (p.loads[i].Session || was == feeder.Waiting) && v.Active+p.loads[i].Expected > p.limits.SoftWatts {
					t.Fatalf("outlet %d given back at %g W, it will draw %g W", i, v.Active, p.loads[i].Expected)
				}
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "acts") {
			i := rapid.IntRange(0, n-1).Draw(t, "outlet")
			o := p.outlets[i]
			switch rapid.SampledFrom([]string{"plug", "session", "unplug", "load", "stale", "stuck"}).Draw(t, "act") {
			case "plug":
				o.plugged, o.watts = true, float64(rapid.IntRange(20, 1000).Draw(t, "watts"))
			case "session":
				if o.plugged && !o.session && o.fed {
					o.session, o.begun = true, p.now
				}
			case "unplug":
				o.plugged, o.session = false, false
			case "load":
				o.watts = float64(rapid.IntRange(0, 1000).Draw(t, "watts"))
			case "stale":
				o.stale = !o.stale
			case "stuck":
				o.stuck = rapid.IntRange(0, 3).Draw(t, "stuck") == 0 && o.fed
			}
			for range rapid.IntRange(1, 150).Draw(t, "ticks") {
				watch()
			}
		}
		// From here on nothing changes but by the feeder.
		for _, o := range p.outlets {
			o.stale, o.stuck = false, false
		}
		for range int((time.Duration(n)*2*p.limits.Settle + 2*p.limits.Delay + 2*time.Minute) / tick) {
			watch()
		}
		if p.real() > p.limits.HardWatts {
			t.Fatalf("%g W flow in the end, the limit is %g W", p.real(), p.limits.HardWatts)
		}
		modes, closed := p.modes(), p.closed
		for range int((time.Duration(n)*2*p.limits.Settle + 2*time.Minute) / tick) {
			watch()
		}
		if !slices.Equal(modes, p.modes()) || p.closed != closed {
			t.Fatalf("a steady load still switches: %v, %v", modes, p.modes())
		}
	})
}

func TestNextAllocatesNothing(t *testing.T) {
	p := newPlant(24)
	for i := range 24 {
		p.charge(i, 500)
	}
	p.run(time.Minute)
	if got := testing.AllocsPerRun(100, func() {
		p.now = p.now.Add(tick)
		p.limits.Next(&p.state, p.loads, feeder.Meter{}, p.now)
	}); got != 0 {
		t.Errorf("%g allocations", got)
	}
}

func BenchmarkNext(b *testing.B) {
	p := newPlant(12)
	for i := range 12 {
		p.charge(i, 700)
	}
	p.run(time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		p.now = p.now.Add(time.Microsecond)
		p.limits.Next(&p.state, p.loads, feeder.Meter{}, p.now)
	}
}
