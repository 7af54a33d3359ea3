package session_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/session"
)

// distinct are settings of which no two are the same, so that one cannot stand
// in for another.
func distinct(by session.Start) *session.Settings {
	return &session.Settings{
		StartBy: by, LoadWatts: 15, LoadAfter: 3 * time.Second, NoLoadWatts: 10, NoLoadAfter: 20 * time.Second,
		StartWithin: 2 * time.Minute, SelfCheck: time.Second, ResumeAfter: 10 * time.Second, ResumesPerHour: 3,
		MaxWh: 10, MaxMinutes: 5, MaxWatts: 1000, WattsDelay: 5 * time.Second, MaxGap: 4 * time.Second,
	}
}

// begun is a commanded outlet on which a session was just started.
func begun(t *testing.T, c *session.Settings) *outlet {
	t.Helper()
	o := newOutlet(c, session.Record{})
	o.run(5 * time.Second)
	o.start(t)
	return o
}

func (o *outlet) start(t *testing.T) {
	t.Helper()
	if err := o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "wang", commandID, o.now); err != nil {
		t.Fatal(err)
	}
}

// tell gives one reading of a moment, late or early as it may be.
func (o *outlet) tell(at time.Time, watts float64) session.Outcome {
	o.in.Fresh = true
	o.in.Reading = shedguard.Reading{Outlet: 3, At: at, Volts: 220, Watts: watts, PowerFactor: 1}
	return o.step()
}

// ends gives a sample a second until a session ends, and says after how long.
func (o *outlet) ends(t *testing.T) (time.Duration, session.Outcome) {
	t.Helper()
	began := o.now
	for range 10_000 {
		if out := o.run(time.Second); out.Ended {
			return o.now.Sub(began), out
		}
	}
	t.Fatal("no end")
	return 0, session.Outcome{}
}

func TestLimitsToTheSecond(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		watts float64
		want  time.Duration // from the start
		phase string
	}{
		// Fed a second after the start. 900 W for a second are a quarter of a Wh.
		"energy":              {900, 1*time.Second + 40*time.Second, session.PhaseLimitWh},
		"minutes":             {1, 2 * time.Minute, session.PhaseNoLoad},
		"minutes with a load": {100, 5 * time.Minute, session.PhaseLimitMinutes},
		"watts":               {1000.5, 1*time.Second + 1*time.Second + 5*time.Second, session.PhaseLimitWatts},
		"as many as it may":   {1000, 1*time.Second + 36*time.Second, session.PhaseLimitWh},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := begun(t, distinct(session.StartCommand))
			o.watts = tt.watts
			if tt.phase == session.PhaseNoLoad {
				tt.want += time.Second // counted from the closing
			}
			got, out := o.ends(t)
			if got != tt.want || out.Session.Phase != tt.phase {
				t.Errorf("%s after %v, want %s after %v", out.Session.Phase, got, tt.phase, tt.want)
			}
		})
	}
}

func TestThresholdsAreReachedByEquality(t *testing.T) {
	t.Parallel()
	o := newOutlet(distinct(session.StartPlug), session.Record{})
	o.run(2 * time.Second)
	o.watts = 14.99 // above what ends a session, below what begins one
	o.want(t, o.run(time.Minute), true, shedguard.StateReady)
	o.watts = 15
	o.want(t, o.run(4*time.Second), true, shedguard.StateCharging, "begun by plug")
	o.watts = 10
	o.want(t, o.run(time.Minute), true, shedguard.StateCharging)
	o.watts = 9.99
	if got, out := o.ends(t); got != 21*time.Second || out.Session.Phase != session.PhaseUnplugged {
		t.Errorf("%s after %v", out.Session.Phase, got)
	}
}

func TestDipIsNoNewLoad(t *testing.T) {
	t.Parallel()
	o := newOutlet(distinct(session.StartPlug), session.Record{})
	o.watts = 100
	o.run(10 * time.Second)
	o.watts = 12
	o.run(10 * time.Second)
	o.watts, o.log = 100, nil
	o.want(t, o.run(time.Second), true, shedguard.StateCharging)
}

func TestWhatASessionByPlugBeginsWith(t *testing.T) {
	t.Parallel()
	for name, watts := range map[string][]float64{
		"inrush first":  {400, 180, 180, 180},
		"inrush second": {180, 400, 180, 180},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutlet(distinct(session.StartPlug), session.Record{})
			o.run(2 * time.Second)
			o.watts = 700 // a glitch, which is none of its own
			o.run(2 * time.Second)
			o.watts = 0
			o.run(time.Second)
			sum := 0.0
			for i, w := range watts {
				if i > 0 {
					sum += (watts[i-1] + w) / 2 // over a second
				}
				o.watts = w
				o.run(time.Second)
			}
			r := o.s.Record().Session
			if r == nil {
				t.Fatal("no session")
			}
			if r.PeakWatts != 400 || r.AgeS != 3 || !r.Drawn || math.Abs(r.EnergyWh-sum/3600) > 1e-9 {
				t.Errorf("%+v, want a peak of 400 W and an age of 3 s", r)
			}
		})
	}
}

func TestReadingsThatDoNotCount(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		at      time.Duration // from now
		watts   float64
		quality shedguard.Quality
		repeat  bool // it is none of a new conversion
	}{
		"from the future":     {at: time.Second, watts: 900},
		"of the same instant": {at: -time.Second, watts: 900},
		"older than the last": {at: -3 * time.Second, watts: 900},
		"not finite":          {watts: math.NaN()},
		"suspect":             {watts: 900, quality: shedguard.QualitySuspect},
		"not a new one":       {watts: 900, repeat: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutlet(distinct(session.StartPlug), session.Record{})
			o.watts = 100
			o.run(10 * time.Second)
			before, _ := o.s.Session()
			o.now = o.now.Add(time.Second)
			o.in.Fresh = !tt.repeat
			o.in.Reading = shedguard.Reading{Outlet: 3, At: o.now.Add(tt.at), Volts: 220, Watts: tt.watts, Quality: tt.quality}
			o.step()
			if after, _ := o.s.Session(); after.EnergyWh != before.EnergyWh || after.PeakWatts != 100 {
				t.Errorf("%+v, before %+v", after, before)
			}
			// The next one counts as if it had not been there.
			o.watts = 100
			o.run(time.Second)
			if after, _ := o.s.Session(); math.Abs(after.EnergyWh-before.EnergyWh-200/3600.) > 1e-9 {
				t.Errorf("%g Wh more, want %g", after.EnergyWh-before.EnergyWh, 200/3600.)
			}
		})
	}
}

func TestReadingThatComesLateCounts(t *testing.T) {
	t.Parallel()
	o := newOutlet(distinct(session.StartPlug), session.Record{})
	o.watts = 100
	o.run(10 * time.Second)
	before, _ := o.s.Session()
	o.now = o.now.Add(time.Second)
	o.tell(o.now.Add(-100*time.Millisecond), 300)
	if after, _ := o.s.Session(); after.PeakWatts != 300 || math.Abs(after.EnergyWh-before.EnergyWh-200*0.9/3600) > 1e-9 {
		t.Errorf("%+v, before %+v", after, before)
	}
}

// TestEnergyBeginsWithTheClosing: what was measured before is not the load's.
func TestEnergyBeginsWithTheClosing(t *testing.T) {
	t.Parallel()
	o := begun(t, distinct(session.StartCommand))
	o.now = o.now.Add(time.Second)
	if out := o.tell(o.now.Add(-500*time.Millisecond), 500); !out.Close {
		t.Fatal("not closed")
	}
	fed := o.now
	o.now = o.now.Add(time.Second)
	o.tell(fed.Add(-time.Millisecond), 600) // converted while it was open
	o.now = o.now.Add(time.Second)
	o.tell(fed.Add(2*time.Second), 360)
	// From nothing at the closing to 360 W two seconds later.
	if s, ok := o.s.Session(); !ok || s.PeakWatts != 360 || math.Abs(s.EnergyWh-360*2/2/3600.) > 1e-9 {
		t.Errorf("%+v, want %g Wh", s, 360*2/2/3600.)
	}

	o = newOutlet(distinct(session.StartPlug), session.Record{})
	o.run(time.Second)
	o.now = o.now.Add(time.Second)
	if out := o.tell(o.now.Add(-time.Millisecond), 0); !out.Close {
		t.Fatal("not closed")
	}
	fed = o.now
	for i := range 4 { // the first of these was converted in the instant of closing
		o.now = o.now.Add(time.Second)
		if out := o.tell(fed.Add(time.Duration(i)*time.Second), 100); out.Began {
			t.Fatalf("begun %d s after the closing, want LoadAfter after the first reading that is fed", i)
		}
	}
	o.now = o.now.Add(time.Second)
	if out := o.tell(fed.Add(4*time.Second), 100); !out.Began || !out.Session.BegunAt.Equal(fed.Add(time.Second)) {
		t.Errorf("%+v", out)
	}
}

func TestGapsOfEnergy(t *testing.T) {
	t.Parallel()
	for gap, want := range map[time.Duration]float64{ // W·s between 100 W and 300 W; counted over 4 s at most
		4 * time.Second:                    800,
		4*time.Second + time.Millisecond:   400,
		4*time.Second - 2*time.Millisecond: 799.6,
	} {
		o := newOutlet(distinct(session.StartPlug), session.Record{})
		o.watts = 100
		o.run(10 * time.Second)
		before, _ := o.s.Session()
		o.now = o.now.Add(gap)
		o.tell(o.now, 300)
		after, _ := o.s.Session()
		if got := (after.EnergyWh - before.EnergyWh) * 3600; math.Abs(got-want) > 1e-6 {
			t.Errorf("%v: %g Ws, want %g", gap, got, want)
		}
	}
}

// TestHeldOpen: each of the three that hold an outlet open does so by itself,
// whatever else is said.
func TestHeldOpen(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		set  func(*session.Input)
		want shedguard.OutletState
	}{
		"tripped":   {func(in *session.Input) { in.Tripped = true }, shedguard.StateTripped},
		"fault":     {func(in *session.Input) { in.Fault = true }, shedguard.StateFault},
		"suspended": {func(in *session.Input) { in.Suspended = true }, shedguard.StateSuspended},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutlet(distinct(session.StartPlug), session.Record{})
			o.run(5 * time.Second)
			tt.set(&o.in) // though Permit and MayClose are true
			for range 100 {
				if out := o.run(time.Second); out.Close || out.Outlet != tt.want {
					t.Fatalf("%+v", out)
				}
			}
		})
	}
}

func TestWithoutPermitIsNotUnknownAgain(t *testing.T) {
	t.Parallel()
	o := newOutlet(distinct(session.StartCommand), session.Record{})
	o.run(time.Second)
	o.in.Permit = false
	o.want(t, o.run(time.Second), false, shedguard.StateOff)
}

// TestTripForgetsASuspension: after a reset the outlet waits for its self-check
// and takes no resume.
func TestTripForgetsASuspension(t *testing.T) {
	t.Parallel()
	o := newOutlet(distinct(session.StartPlug), session.Record{})
	o.run(5 * time.Second)
	o.in.Permit, o.in.Suspended = false, true
	o.run(time.Second)
	o.in.Suspended, o.in.Tripped = false, true
	o.run(time.Second)
	o.in.Permit, o.in.Tripped = true, false
	o.want(t, o.run(time.Second), false, shedguard.StateOff)
	o.want(t, o.run(time.Second), true, shedguard.StateReady)
	if r := o.s.Record(); len(r.Resumes) != 0 {
		t.Errorf("took a resume: %+v", r)
	}
}

func TestNoLoadWaitsForTheFeeding(t *testing.T) {
	t.Parallel()
	c := distinct(session.StartCommand)
	c.MaxMinutes = 20
	o := begun(t, c)
	o.in.MayClose = false // chargers start one after the other
	if out := o.run(3 * time.Minute); out.Ended || out.Close {
		t.Fatalf("%+v", out)
	}
	o.in.MayClose = true
	if out := o.run(time.Second); !out.Close {
		t.Fatal("not closed")
	}
	if got, out := o.ends(t); got != 2*time.Minute || out.Session.Phase != session.PhaseNoLoad {
		t.Errorf("%s after %v", out.Session.Phase, got)
	}

	// A load that has just been plugged in is given its time.
	o = begun(t, distinct(session.StartCommand))
	o.run(2 * time.Minute)
	o.watts, o.log = 100, nil
	o.want(t, o.run(time.Second), true, shedguard.StateReady)
	o.want(t, o.run(3*time.Second), true, shedguard.StateCharging, "charging")

	// An outlet that is fed already counts from the start.
	o = newOutlet(distinct(session.StartPlug), session.Record{})
	o.run(time.Hour)
	o.start(t)
	if got, out := o.ends(t); got != 2*time.Minute || out.Session.Phase != session.PhaseNoLoad {
		t.Errorf("%s after %v", out.Session.Phase, got)
	}
}

func TestLoadIsSeenAnewAfterAResume(t *testing.T) {
	t.Parallel()
	o := newOutlet(distinct(session.StartPlug), session.Record{})
	o.watts = 100
	o.run(10 * time.Second)
	o.in.Permit, o.in.Suspended = false, true
	o.run(time.Second)
	o.in.Permit, o.in.Suspended = true, false
	if out := o.run(11 * time.Second); !out.Close {
		t.Fatal("not resumed")
	}
	o.log = nil
	o.want(t, o.run(3*time.Second), true, shedguard.StateReady)
	o.want(t, o.run(time.Second), true, shedguard.StateCharging, "charging")
}

func TestRestoredResumesExpire(t *testing.T) {
	t.Parallel()
	running := &session.Running{Session: shedguard.Session{ID: commandID, Outlet: 7, By: "wang"}, MaxWh: 10, MaxMinutes: 5, MaxWatts: 1000}
	for agoS, want := range map[float64]time.Duration{
		3590: 11 * time.Second, // an hour old when the outlet has been good for ten seconds
		3589: 12 * time.Second,
		3580: 21 * time.Second,
	} {
		kept := session.Record{Session: running, Resumes: []float64{agoS, agoS, agoS}}
		o := newOutlet(distinct(session.StartCommand), kept)
		if diff := cmp.Diff(kept.Resumes, o.s.Record().Resumes); diff != "" {
			t.Errorf("before the first step: %s", diff)
		}
		if s, ok := o.s.Session(); !ok || s.Outlet != 3 {
			t.Errorf("%+v, want it on outlet 3", s)
		}
		began := o.now
		for !o.run(time.Second).Close {
			if o.now.Sub(began) > time.Minute {
				t.Fatal("not resumed")
			}
		}
		if got := o.now.Sub(began); got != want {
			t.Errorf("resumed %v after the restart, want %v", got, want)
		}
		if diff := cmp.Diff([]float64{0}, o.s.Record().Resumes); diff != "" {
			t.Errorf("%s", diff)
		}
		o.run(time.Hour - time.Second)
		if got := o.s.Record().Resumes; len(got) != 1 {
			t.Errorf("after 59:59: %v", got)
		}
		o.run(time.Second)
		if got := o.s.Record().Resumes; len(got) != 0 {
			t.Errorf("after an hour: %v", got)
		}
	}
}

func TestLimitWhileSuspendedLeavesItOff(t *testing.T) {
	t.Parallel()
	o := begun(t, distinct(session.StartCommand))
	o.watts = 100
	o.run(10 * time.Second)
	o.in.Permit, o.in.Suspended = false, true
	o.run(time.Second)
	var refused *shedguard.ReplyError
	other := newOutlet(distinct(session.StartCommand), session.Record{})
	other.run(time.Second)
	other.in.Suspended = true
	other.run(time.Second)
	if err := other.c.Start(&other.s, shedguard.StartArgs{Outlet: 3}, "li", commandID, other.now); !errors.As(err, &refused) || refused.Code != shedguard.CodeNotPermitted {
		t.Errorf("started while suspended: %v", err)
	}
	o.in.Suspended = false // gone, but not good for long enough
	o.log = nil
	o.want(t, o.run(5*time.Minute), false, shedguard.StateOff, "ended limit_minutes Other")
}

func TestAsMuchAsTheProfileMayBeAskedFor(t *testing.T) {
	t.Parallel()
	c := distinct(session.StartCommand)
	o := newOutlet(c, session.Record{})
	o.run(time.Second)
	args := shedguard.StartArgs{Outlet: 3, MaxWh: &c.MaxWh, MaxMinutes: &c.MaxMinutes, MaxWatts: &c.MaxWatts}
	if err := c.Start(&o.s, args, "wang", commandID, o.now); err != nil {
		t.Error(err)
	}
}

func TestStopBetweenTwoSteps(t *testing.T) {
	t.Parallel()
	o := newOutlet(distinct(session.StartPlug), session.Record{})
	o.watts = 100
	o.run(10 * time.Second)
	o.in.Permit, o.in.Suspended = false, true
	o.run(time.Second)
	o.in.Permit, o.in.Suspended = true, false
	o.run(2 * time.Second)
	o.now = o.now.Add(300 * time.Millisecond)
	at := o.now
	if err := o.c.Stop(&o.s, session.ReasonRemote, at); err != nil {
		t.Fatal(err)
	}
	o.now = o.now.Add(time.Second)
	if out := o.sample(); !out.Ended || !out.Session.EndedAt.Equal(at) {
		t.Errorf("%+v, want the end at %v", out, at)
	}
	// The stop was the end of the suspension, too: no resume is taken.
	o.start(t)
	if out := o.run(time.Second); !out.Close || len(o.s.Record().Resumes) != 0 {
		t.Errorf("%+v, resumes %v", out, o.s.Record().Resumes)
	}
}

func TestNewStateNeedsIDs(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	session.NewState(3, session.Record{}, nil)
}

// TestValidateRanges tries both ends of every range, and what is just beyond.
func TestValidateRanges(t *testing.T) {
	t.Parallel()
	number := func(of func(*session.Settings) *float64) func(*session.Settings, float64) {
		return func(c *session.Settings, v float64) { *of(c) = v }
	}
	span := func(of func(*session.Settings) *time.Duration) func(*session.Settings, float64) {
		return func(c *session.Settings, v float64) { *of(c) = time.Duration(v) }
	}
	const s, m, h = float64(time.Second), float64(time.Minute), float64(time.Hour)
	tests := map[string]struct {
		set       func(*session.Settings, float64)
		low, high float64
		beyond    float64
	}{
		"load_watts":       {number(func(c *session.Settings) *float64 { return &c.LoadWatts }), 10, 200, 0.01}, // not below no_load_watts
		"load_after":       {span(func(c *session.Settings) *time.Duration { return &c.LoadAfter }), 0, m, 1},
		"no_load_watts":    {number(func(c *session.Settings) *float64 { return &c.NoLoadWatts }), 0.1, 15, 0.01},
		"no_load_after":    {span(func(c *session.Settings) *time.Duration { return &c.NoLoadAfter }), s, h, 1},
		"start_within":     {span(func(c *session.Settings) *time.Duration { return &c.StartWithin }), 10 * s, h, 1},
		"self_check":       {span(func(c *session.Settings) *time.Duration { return &c.SelfCheck }), 0, m, 1},
		"resume_after":     {span(func(c *session.Settings) *time.Duration { return &c.ResumeAfter }), s, 10 * m, 1},
		"resumes_per_hour": {func(c *session.Settings, v float64) { c.ResumesPerHour = int(v) }, 1, 12, 1},
		"max_wh":           {number(func(c *session.Settings) *float64 { return &c.MaxWh }), 1, 100_000, 0.01},
		"max_minutes":      {number(func(c *session.Settings) *float64 { return &c.MaxMinutes }), 1, 1440, 0.01},
		"max_watts":        {number(func(c *session.Settings) *float64 { return &c.MaxWatts }), 10, 20_000, 0.01},
		"watts_delay":      {span(func(c *session.Settings) *time.Duration { return &c.WattsDelay }), 0, m, 1},
		"max_gap":          {span(func(c *session.Settings) *time.Duration { return &c.MaxGap }), s, m, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for v, good := range map[float64]bool{tt.low: true, tt.high: true, tt.low - tt.beyond: false, tt.high + tt.beyond: false} {
				c := distinct(session.StartPlug)
				tt.set(c, v)
				err := c.Validate()
				if good != (err == nil) {
					t.Errorf("%g: %v", v, err)
				}
				if name == "load_watts" && v < tt.low {
					continue // said of no_load_watts, which may not be above it
				}
				if !good && (strings.Count(err.Error(), "\n") != 0 || !strings.HasPrefix(err.Error(), name+": ")) {
					t.Errorf("%g: %v, want one fault, of %s", v, err, name)
				}
			}
			if c := distinct(session.StartPlug); strings.HasSuffix(name, "watts") {
				tt.set(c, math.NaN())
				if err := c.Validate(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s: NaN", name)) {
					t.Errorf("NaN: %v", err)
				}
			}
		})
	}
	c := distinct(session.StartPlug)
	c.LoadWatts, c.NoLoadWatts = 0.4, 0.2
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "load_watts: 0.4: want 0.5 to 200") {
		t.Errorf("%v", err)
	}
}

// TestWhatAStartWouldDo: asked beforehand, without beginning anything.
func TestWhatAStartWouldDo(t *testing.T) {
	t.Parallel()
	c := distinct(session.StartCommand)
	o := newOutlet(c, session.Record{})
	less := 300.0
	args := shedguard.StartArgs{Outlet: 3, MaxWatts: &less}
	var refused *shedguard.ReplyError
	if _, err := c.MayStart(&o.s, args, "wang", commandID); !errors.As(err, &refused) || refused.Code != shedguard.CodeNotPermitted {
		t.Errorf("before the first step: %v", err)
	}
	o.run(5 * time.Second)
	if most, err := c.MayStart(&o.s, args, "wang", commandID); err != nil || most != 300 {
		t.Errorf("%g W, %v, want the 300 W that are asked for", most, err)
	}
	if most, err := c.MayStart(&o.s, shedguard.StartArgs{Outlet: 3}, "wang", commandID); err != nil || most != 1000 {
		t.Errorf("%g W, %v, want the 1000 W of the profile", most, err)
	}
	if c.Wanted(&o.s) || o.s.MaxWatts() != 0 || o.run(time.Second).Close {
		t.Error("began with the question")
	}
	if err := c.Start(&o.s, args, "wang", commandID, o.now); err != nil {
		t.Fatal(err)
	}
	if !c.Wanted(&o.s) || o.s.MaxWatts() != 300 {
		t.Errorf("wanted %t, %g W", c.Wanted(&o.s), o.s.MaxWatts())
	}
	if err := c.Stop(&o.s, session.ReasonRemote, o.now); err != nil {
		t.Fatal(err)
	}
	if c.Wanted(&o.s) || o.s.MaxWatts() != 0 {
		t.Errorf("after the stop: wanted %t, %g W", c.Wanted(&o.s), o.s.MaxWatts())
	}
	plug := newOutlet(distinct(session.StartPlug), session.Record{})
	if !plug.c.Wanted(&plug.s) {
		t.Error("an outlet that starts by plug is not wanted")
	}
	if off := newOutlet(distinct(session.StartPlug), session.Record{Off: true}); off.c.Wanted(&off.s) {
		t.Error("an outlet that was stopped is wanted")
	}
}
