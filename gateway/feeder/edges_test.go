package feeder_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/gateway/feeder"
)

// TestValidateRanges tries both ends of every range, and what is just beyond.
func TestValidateRanges(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		edit func(*feeder.Limits)
		want string // empty: good
	}{
		"least soft":       {func(l *feeder.Limits) { l.SoftWatts = 100 }, ""},
		"less soft":        {func(l *feeder.Limits) { l.SoftWatts = 99.9 }, "soft_watts: "},
		"most of both":     {func(l *feeder.Limits) { l.SoftWatts, l.HardWatts = 100_000, 200_000 }, ""},
		"more soft":        {func(l *feeder.Limits) { l.SoftWatts = 200_001 }, "soft_watts: "},
		"most soft":        {func(l *feeder.Limits) { l.SoftWatts, l.HardWatts = 200_000, 200_000 }, "hard_watts: 200000: want at least"},
		"more hard":        {func(l *feeder.Limits) { l.HardWatts = 200_001 }, "hard_watts: 200001: want 100"},
		"less hard":        {func(l *feeder.Limits) { l.HardWatts = 99.9 }, "hard_watts: 99.9: want 100"},
		"least hard":       {func(l *feeder.Limits) { l.SoftWatts, l.HardWatts = 100, 100 }, "hard_watts: 100: want at least 1.05 x soft_watts (105)"},
		"as near as it is": {func(l *feeder.Limits) { l.SoftWatts, l.HardWatts = 1000, 1050 }, ""},
		"nearer":           {func(l *feeder.Limits) { l.SoftWatts, l.HardWatts = 1000, 1049 }, "hard_watts: 1049: want at least 1.05 x soft_watts (1050)"},
		"no delay":         {func(l *feeder.Limits) { l.Delay = 0 }, ""},
		"most delay":       {func(l *feeder.Limits) { l.Delay = time.Minute }, ""},
		"more delay":       {func(l *feeder.Limits) { l.Delay = time.Minute + 1 }, "delay: 1m0.000000001s: want"},
		"least settle":     {func(l *feeder.Limits) { l.Settle = time.Second }, ""},
		"less settle":      {func(l *feeder.Limits) { l.Settle = time.Second - 1 }, "settle: 999.999999ms: want"},
		"most settle":      {func(l *feeder.Limits) { l.Settle = 10 * time.Minute }, ""},
		"more settle":      {func(l *feeder.Limits) { l.Settle = 10*time.Minute + 1 }, "settle: 10m0.000000001s: want"},
	}
	for name, tt := range tests {
		l := limits()
		tt.edit(l)
		err := l.Validate()
		if (err == nil) != (tt.want == "") || err != nil && (!strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %q alone", name, err, tt.want)
		}
	}
}

// table is a feeder whose loads are set by hand.
type table struct {
	limits *feeder.Limits
	state  feeder.State
	loads  []feeder.Load
	now    time.Time
}

// newTable has a session that draws watts and n outlets that are fed and idle.
func newTable(watts float64, n int) *table {
	b := &table{limits: limits(), state: feeder.NewState(n + 1), now: time.Unix(1_700_000_000, 0)}
	for i := range n + 1 {
		b.loads = append(b.loads, feeder.Load{Outlet: i + 1, Rated: 1000, Fed: true, Since: b.now.Add(-time.Hour), Wanted: true})
	}
	b.loads[0].Watts, b.loads[0].Session, b.loads[0].Expected = watts, true, watts
	return b
}

// step lets d pass and reads every outlet.
func (b *table) step(d time.Duration) feeder.Verdict {
	b.now = b.now.Add(d)
	for i := range b.loads {
		b.loads[i].At, b.loads[i].Claim = b.now, 0
	}
	return b.judge()
}

func (b *table) judge() feeder.Verdict {
	return b.limits.Next(&b.state, b.loads, feeder.Meter{}, b.now)
}

func (b *table) hold(t *testing.T, what string, i int, want feeder.Hold) {
	t.Helper()
	if got := b.state.Hold(i); got != want {
		t.Fatalf("%s: %+v, want %+v", what, got, want)
	}
}

// TestWhoAsksIsHeld: a session that asks to be fed and finds no room waits.
func TestWhoAsksIsHeld(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit func(*feeder.Load)
		held bool
	}{
		"asks":            {func(*feeder.Load) {}, true},
		"does not ask":    {func(l *feeder.Load) { l.Asks = false }, false},
		"is fed":          {func(l *feeder.Load) { l.Fed = true }, false},
		"is latched":      {func(l *feeder.Load) { l.Latched = true }, false},
		"has no session":  {func(l *feeder.Load) { l.Session = false }, false},
		"is not wanted":   {func(l *feeder.Load) { l.Wanted = false }, true}, // until the next step
		"is nearly ready": {func(l *feeder.Load) { l.Claim = 500 }, true},
	} {
		b := newTable(7600, 1)
		b.loads[1].Fed, b.loads[1].Session, b.loads[1].Asks, b.loads[1].Expected = false, true, true, 500
		tt.edit(&b.loads[1])
		v := b.step(time.Second)
		want := feeder.Hold{}
		waiting := 0
		if tt.held {
			want, waiting = feeder.Hold{Mode: feeder.Waiting, Value: 7600, Limit: 7800, Since: b.now}, 1
		}
		b.hold(t, name, 1, want)
		if v.Changed != tt.held || v.Waiting != waiting || v.Shed != 0 {
			t.Errorf("%s: %+v", name, v)
		}
		if v = b.judge(); tt.held && name == "asks" && v.Changed {
			t.Errorf("%s: changed again", name)
		}
	}
}

// TestWhoPlugsInIsHeld: while nothing new may begin, what begins to draw waits;
// what drew before goes on, until it stops.
func TestWhoPlugsInIsHeld(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		edit func(l *feeder.Load, now time.Time)
		held bool
	}{
		"plugged in":          {func(l *feeder.Load, _ time.Time) { l.Watts = 300 }, true},
		"the least":           {func(l *feeder.Load, _ time.Time) { l.Watts = 10 }, true},
		"less than the least": {func(l *feeder.Load, _ time.Time) { l.Watts = 9.9 }, false},
		"not fed":             {func(l *feeder.Load, _ time.Time) { l.Watts, l.Fed = 300, false }, false},
		"read as it closed":   {func(l *feeder.Load, now time.Time) { l.Watts, l.Since = 300, now }, false},
		"read a while ago":    {func(l *feeder.Load, now time.Time) { l.Watts, l.At = 300, now.Add(-4*time.Second) }, false},
	} {
		b := newTable(7800, 1)
		b.loads[0].Since, b.loads[0].Expected = b.now.Add(-time.Second), 8000 // ramping up
		if v := b.step(time.Second); !v.Refusing || !v.Since.Equal(b.now) || v.Changed {
			t.Fatalf("%s: %+v at the soft limit", name, v)
		}
		b.now = b.now.Add(time.Second)
		b.loads[0].At, b.loads[1].At = b.now, b.now
		tt.edit(&b.loads[1], b.now)
		v := b.judge()
		want := feeder.Hold{}
		if tt.held {
			want = feeder.Hold{Mode: feeder.Waiting, Value: 7800 + b.loads[1].Watts, Limit: 7800, Since: b.now}
		}
		b.hold(t, name, 1, want)
		if v.Changed != tt.held {
			t.Errorf("%s: changed %t", name, v.Changed)
		}
	}
	b := newTable(7000, 1)
	b.loads[1].Watts = 300
	b.step(time.Second)
	b.loads[0].Watts = 7800
	for range 3 {
		b.step(time.Second)
		b.hold(t, "drew before", 1, feeder.Hold{})
	}
	b.loads[1].Watts = 0
	b.step(time.Second)
	b.loads[1].Watts = 300
	b.step(time.Second)
	if b.state.Hold(1).Mode != feeder.Waiting {
		t.Error("what stopped and began again went on")
	}
}

// TestRefusingEnds: under 95 % of the soft limit for as long as Settle, in a row.
func TestRefusingEnds(t *testing.T) {
	t.Parallel()
	b := newTable(7800, 1)
	b.step(time.Second)
	for _, watts := range []float64{7409, 7410, 7409, 7800, 7409} { // 95 % are 7410
		b.loads[0].Watts = watts
		if v := b.step(9 * time.Second); !v.Refusing {
			t.Fatalf("%g W: ended", watts)
		}
	}
	if v := b.step(10*time.Second - 1); !v.Refusing {
		t.Error("ended too soon")
	}
	if v := b.step(1); v.Refusing || !v.Since.IsZero() {
		t.Errorf("%+v after it settled", v)
	}
}

// TestGivenBackWithoutASession: its place is kept until it is fed and has ramped
// up, a session takes it over, or nobody feeds it for a minute.
func TestGivenBackWithoutASession(t *testing.T) {
	t.Parallel()
	waiting := func() *table {
		b := newTable(7800, 1)
		b.step(time.Second)
		b.loads[1].Watts, b.loads[1].Expected = 300, 300
		b.step(time.Second)
		b.loads[1].Fed, b.loads[1].Since, b.loads[1].Watts = false, b.now, 0
		b.loads[0].Watts = 7500 // 7,800 W with it: it fits
		if v := b.step(time.Second); v.Changed || v.Waiting != 1 {
			t.Fatalf("%+v", v)
		}
		if v := b.step(10*time.Second - 1); v.Changed || b.state.Granted(1) {
			t.Fatal("given back before it settled")
		}
		if v := b.step(1); !v.Changed || v.Waiting != 0 || !b.state.Granted(1) || b.state.Hold(1).Mode != feeder.Free {
			t.Fatalf("%+v after it settled", v)
		}
		return b
	}
	b := waiting()
	if b.state.Granted(0) {
		t.Error("granted to one that was never held")
	}
	if v := b.step(60*time.Second - 1); !b.state.Granted(1) || v.Active != 7800 || v.Changed {
		t.Errorf("within a minute: granted %t, %+v", b.state.Granted(1), v)
	}
	if v := b.step(1); b.state.Granted(1) || v.Active != 7500 {
		t.Errorf("after a minute: granted %t, %+v", b.state.Granted(1), v)
	}
	b = waiting()
	b.loads[1].Session = true
	if b.step(time.Second); b.state.Granted(1) {
		t.Error("still granted with a session")
	}
	b = waiting()
	b.now = b.now.Add(time.Second)
	b.loads[1].Fed, b.loads[1].Since, b.loads[1].Watts = true, b.now, 300
	for range 2 {
		if b.step(15*time.Second - 1); !b.state.Granted(1) || b.state.Hold(1).Mode != feeder.Free {
			t.Error("its place was lost while it ramped up")
		}
	}
	if b.step(2); b.state.Granted(1) {
		t.Error("still granted after the ramp")
	}
	b = waiting()
	b.loads[1].Since = b.now.Add(time.Second) // closed, and opened again
	if b.step(40 * time.Second); !b.state.Granted(1) {
		t.Error("its place was lost because it opened")
	}
	b = waiting()
	b.step(time.Second)
	b.loads[0].Watts, b.loads[1].Fed, b.loads[1].Since, b.loads[1].Watts = 8600, true, b.now, 300
	for range 12 {
		b.step(time.Second)
	}
	if b.state.Hold(1).Mode != feeder.Shed || b.state.Granted(1) {
		t.Errorf("shed: %+v, granted %t", b.state.Hold(1), b.state.Granted(1))
	}
	b = waiting()
	b.loads[1].Fed = true // by a relay that closed before: not by the grant
	b.loads[1].Since = b.now.Add(-time.Hour)
	if b.step(2 * time.Minute); !b.state.Granted(1) {
		t.Error("a closing of before used the grant up")
	}
}

// TestWhoIsForgotten: a hold ends when nobody waits for it any more.
func TestWhoIsForgotten(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before, edit func(*feeder.Load)
		free         bool
	}{
		"waits":                      {nil, func(*feeder.Load) {}, false},
		"latched":                    {nil, func(l *feeder.Load) { l.Latched = true }, true},
		"not wanted":                 {nil, func(l *feeder.Load) { l.Wanted = false }, true},
		"a session began":            {nil, func(l *feeder.Load) { l.Session = true }, false},
		"a session began and ended":  {func(l *feeder.Load) { l.Session = true }, func(l *feeder.Load) { l.Session = false }, true},
		"nothing but a second later": {func(*feeder.Load) {}, func(*feeder.Load) {}, false},
	} {
		b := newTable(8000, 1)
		b.step(time.Second)
		b.loads[1].Watts = 300
		b.step(time.Second)
		b.loads[1].Fed, b.loads[1].Since, b.loads[1].Watts = false, b.now, 0
		if tt.before != nil {
			tt.before(&b.loads[1])
			b.step(time.Second)
		}
		tt.edit(&b.loads[1])
		v := b.step(time.Second)
		if got := b.state.Hold(1).Mode == feeder.Free; got != tt.free || v.Changed != tt.free {
			t.Errorf("%s: free %t, changed %t", name, got, v.Changed)
		}
	}
}

// TestShedThenBegunAndEnded: a session that began while its outlet was shed ends
// the hold with itself.
func TestShedThenBegunAndEnded(t *testing.T) {
	t.Parallel()
	b := newTable(7000, 1)
	b.loads[1].Watts = 300
	b.step(time.Second)
	b.loads[0].Watts = 8500
	for range 6 {
		b.step(time.Second)
	}
	if b.state.Hold(1).Mode != feeder.Shed {
		t.Fatalf("%+v", b.state.Hold(1))
	}
	b.loads[1].Fed, b.loads[1].Watts = false, 0
	for _, session := range []bool{false, true, false} {
		b.loads[1].Session = session
		b.step(time.Second)
	}
	b.hold(t, "ended", 1, feeder.Hold{})
}

// TestWhoIsShed: above the hard limit, not at it, for as long as Delay; the one
// that came last and draws something.
func TestWhoIsShed(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1_699_000_000, 0)
	for name, tt := range map[string]struct {
		edit func(a, b *feeder.Load)
		shed int
	}{
		"the younger session":         {func(a, b *feeder.Load) { a.Begun, b.Begun = begun.Add(1), begun }, 1},
		"the other one is younger":    {func(a, b *feeder.Load) { a.Begun, b.Begun = begun, begun.Add(1) }, 2},
		"the first is youngest":       {func(a, b *feeder.Load) { a.Begun, b.Begun = begun.Add(-2*time.Hour), begun.Add(-3*time.Hour) }, 0},
		"of the same instant":         {func(a, b *feeder.Load) { a.Begun, b.Begun = begun, begun }, 2},
		"one without a session":       {func(a, b *feeder.Load) { a.Session, b.Begun = false, begun }, 1},
		"both without a session":      {func(a, b *feeder.Load) { a.Session, b.Session, a.Begun = false, false, begun }, 2},
		"the younger one draws least": {func(a, b *feeder.Load) { a.Begun, b.Begun, a.Watts = begun.Add(1), begun, 10 }, 1},
		"the younger one is idle":     {func(a, b *feeder.Load) { a.Begun, b.Begun, a.Watts = begun.Add(1), begun, 9.9 }, 2},
		"the younger one is open":     {func(a, b *feeder.Load) { a.Begun, b.Begun, a.Fed, a.Watts = begun.Add(1), begun, false, 0 }, 2},
	} {
		b := newTable(8700-500-500, 2)
		b.loads[0].Begun = begun.Add(-time.Hour)
		for i := range 2 {
			l := &b.loads[i+1]
			l.Session, l.Watts, l.Expected = true, 500, 500
		}
		b.step(time.Second)
		tt.edit(&b.loads[1], &b.loads[2])
		b.loads[0].Watts = 8700 - b.loads[1].Watts - b.loads[2].Watts
		b.loads[0].Since, b.loads[0].Expected = b.now, b.loads[0].Watts+2000 // what is to come is not over yet
		for range 10 {
			if v := b.step(time.Second); v.Changed || !v.Over.IsZero() {
				t.Fatalf("%s: %+v at the limit", name, v)
			}
		}
		b.loads[0].Watts++
		over := b.now.Add(time.Second)
		for range 5 {
			if v := b.step(time.Second); v.Changed || !v.Over.Equal(over) {
				t.Fatalf("%s: %+v before the delay", name, v)
			}
		}
		v := b.step(time.Second)
		if !v.Changed || v.Shed != 1 || v.Waiting != 0 {
			t.Fatalf("%s: %+v after the delay", name, v)
		}
		b.hold(t, name, tt.shed, feeder.Hold{Mode: feeder.Shed, Value: 8701, Limit: 8700, Since: b.now})
		if v = b.step(10*time.Second - 1); v.Changed {
			t.Errorf("%s: a second one before it settled", name)
		}
	}
}

// TestHeldAgain: what is forgotten and still draws is held anew.
func TestHeldAgain(t *testing.T) {
	t.Parallel()
	b := newTable(8000, 1)
	b.step(time.Second)
	b.loads[1].Watts = 300
	b.step(time.Second)
	b.loads[1].Wanted = false
	v := b.step(time.Second)
	b.hold(t, "still drawing", 1, feeder.Hold{Mode: feeder.Waiting, Value: 8300, Limit: 7800, Since: b.now})
	if !v.Changed || v.Waiting != 1 {
		t.Errorf("%+v", v)
	}
}

// TestNoClaimWithoutAGrant: an idle outlet that has just closed takes no place.
func TestNoClaimWithoutAGrant(t *testing.T) {
	t.Parallel()
	b := newTable(1000, 1)
	b.loads[1].Since = b.now
	if v := b.step(time.Second); v.Active != 1000 || b.state.Granted(1) {
		t.Errorf("%+v", v)
	}
}

// TestNobodyToShed: the feeder's meter sees what no outlet draws.
func TestNobodyToShed(t *testing.T) {
	t.Parallel()
	b := newTable(0, 2)
	for range 20 {
		b.now = b.now.Add(time.Second)
		for i := range b.loads {
			b.loads[i].At = b.now
		}
		if v := b.limits.Next(&b.state, b.loads, feeder.Meter{Watts: 9000, At: b.now}, b.now); v.Changed || v.Shed != 0 {
			t.Fatalf("%+v", v)
		}
	}
}

// TestGivenBackOneByOne: the oldest first, and the next one once that has settled.
func TestGivenBackOneByOne(t *testing.T) {
	t.Parallel()
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {1, 0, 2}} {
		b := newTable(0, 3)
		b.loads[0].Session = false
		for age, i := range order {
			l := &b.loads[i]
			l.Session, l.Begun, l.Expected, l.Watts = true, b.now.Add(time.Duration(age)*time.Minute), 1000, 1000
		}
		b.loads[3].Session, b.loads[3].Begun, b.loads[3].Watts, b.loads[3].Expected = true, b.now.Add(-time.Hour), 8500, 8500
		for range 40 {
			b.step(time.Second)
			for i := range 3 {
				if l := &b.loads[i]; b.state.Hold(i).Mode != feeder.Free {
					l.Fed, l.Watts = false, 0
				}
			}
		}
		b.loads[3].Watts = 1000
		b.step(time.Second)
		var back []int
		for range 40 {
			b.step(time.Second)
			for i := range 3 {
				if l := &b.loads[i]; !l.Fed && b.state.Hold(i).Mode == feeder.Free {
					l.Fed, l.Since, l.Watts = true, b.now, 1000
					back = append(back, i)
					if n := len(back); n > 1 && b.now.Sub(b.loads[back[n-2]].Since) < b.limits.Settle {
						t.Errorf("%v: %d so soon after %d", order, i, back[n-2])
					}
				}
			}
		}
		if !slices.Equal(back, order) {
			t.Errorf("given back %v, want %v", back, order)
		}
	}
}

// TestCountToTheEdge: where a reading becomes old, a load idle and a ramp over.
func TestCountToTheEdge(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	base := feeder.Load{Rated: 1000, Watts: 400, At: now, Fed: true, Since: ago(time.Hour), Wanted: true, Session: true, Expected: 500}
	for name, tt := range map[string]struct {
		edit          func(*feeder.Load)
		drawn, active float64
	}{
		"as old as it may be":            {func(l *feeder.Load) { l.At, l.Since = ago(3*time.Second), ago(time.Second) }, 400, 500},
		"older":                          {func(l *feeder.Load) { l.At, l.Since = ago(3*time.Second+1), ago(time.Second) }, 1000, 1000},
		"the last of as much as is idle": {func(l *feeder.Load) { l.At, l.Watts = ago(time.Minute), 10 }, 10, 10},
		"read as it closed":              {func(l *feeder.Load) { l.At, l.Since = ago(time.Minute), ago(time.Minute) }, 400, 400},
		"the ramp is over":               {func(l *feeder.Load) { l.Since = ago(30 * time.Second) }, 400, 400},
		"the ramp is nearly over":        {func(l *feeder.Load) { l.Since = ago(30*time.Second - 1) }, 400, 500},
		"part of the claim flows":        {func(l *feeder.Load) { l.Claim = 700 }, 400, 700},
		"more than the claim flows":      {func(l *feeder.Load) { l.Claim = 300 }, 400, 400},
	} {
		l := base
		tt.edit(&l)
		s := feeder.Count([]feeder.Load{l}, feeder.Meter{}, now)
		if got, want := fmt.Sprint(s.Drawn, s.Active), fmt.Sprint(tt.drawn, tt.active); got != want {
			t.Errorf("%s: drawn and active %s, want %s", name, got, want)
		}
	}
}
