package session_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/session"
)

func settings(by session.Start) *session.Settings {
	return &session.Settings{
		StartBy: by, LoadWatts: 15, LoadAfter: 3 * time.Second, NoLoadWatts: 10, NoLoadAfter: 10 * time.Second,
		StartWithin: 2 * time.Minute, SelfCheck: time.Second, ResumeAfter: 10 * time.Second, ResumesPerHour: 3,
		MaxWh: 3000, MaxMinutes: 600, MaxWatts: 1000, WattsDelay: 5 * time.Second, MaxGap: 3 * time.Second,
	}
}

const commandID = "01JDBQ6N5XB4Y3M2T1S0R9Q8P7"

// outlet is one outlet under test, sampled once a second.
type outlet struct {
	c     *session.Settings
	s     session.State
	in    session.Input
	now   time.Time
	watts float64
	ids   int
	log   []string // what was told
}

func newOutlet(c *session.Settings, kept session.Record) *outlet {
	o := &outlet{c: c, now: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}
	o.in = session.Input{Permit: true, MayClose: true}
	o.s = session.NewState(3, kept, o.newID)
	return o
}

func (o *outlet) newID() string {
	o.ids++
	return fmt.Sprintf("01JDBQ6N5XB4Y3M2T1S0R9Q8P%d", o.ids)
}

func (o *outlet) sample() session.Outcome {
	o.in.Fresh = true
	o.in.Reading = shedguard.Reading{Outlet: 3, At: o.now, Volts: 220, Watts: o.watts, Amps: o.watts / 220, PowerFactor: 1}
	return o.step()
}

func (o *outlet) step() session.Outcome {
	out := o.c.Next(&o.s, &o.in, o.now)
	o.in.Fresh = false
	if out.Began {
		o.log = append(o.log, "begun by "+out.Session.By)
	}
	if out.Phase {
		o.log = append(o.log, out.Session.Phase)
	}
	if out.Ended {
		o.log = append(o.log, "ended "+out.Session.Phase+" "+out.Session.Reason)
	}
	return out
}

// run gives a sample a second for d.
func (o *outlet) run(d time.Duration) session.Outcome {
	var out session.Outcome
	for end := o.now.Add(d); o.now.Before(end); {
		o.now = o.now.Add(time.Second)
		out = o.sample()
	}
	return out
}

func (o *outlet) want(t *testing.T, out session.Outcome, closed bool, state shedguard.OutletState, log ...string) {
	t.Helper()
	if out.Close != closed || out.Outlet != state {
		t.Errorf("close %t, %s; want %t, %s", out.Close, out.Outlet, closed, state)
	}
	if diff := cmp.Diff(log, o.log); diff != "" {
		t.Errorf("told: %s", diff)
	}
	o.log = nil
}

func TestPlug(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.in.Permit = false
	o.want(t, o.step(), false, shedguard.StateUnknown)
	o.in.Permit = true
	o.want(t, o.sample(), false, shedguard.StateOff)
	o.want(t, o.run(time.Second), true, shedguard.StateReady)
	o.want(t, o.run(time.Hour), true, shedguard.StateReady)

	o.watts = 180
	o.want(t, o.run(3*time.Second), true, shedguard.StateReady)
	plugged := o.now.Add(-2 * time.Second)
	out := o.run(time.Second)
	o.want(t, out, true, shedguard.StateCharging, "begun by plug")
	if s := out.Session; !s.BegunAt.Equal(plugged) || s.PeakWatts != 180 || math.Abs(s.EnergyWh-180*3/3600.) > 1e-9 || s.Outlet != 3 || !shedguard.ValidID(s.ID) {
		t.Errorf("session %+v, want it from the first sample of the load", s)
	}

	out = o.run(time.Hour - 3*time.Second)
	if math.Abs(out.Session.EnergyWh-180) > 1e-6 {
		t.Errorf("180 W for an hour: %.6f Wh", out.Session.EnergyWh)
	}
	o.want(t, out, true, shedguard.StateCharging)

	o.watts = 12 // between the thresholds: still drawing
	o.want(t, o.run(time.Hour), true, shedguard.StateCharging)
	o.watts = 4
	o.want(t, o.run(10*time.Second), true, shedguard.StateCharging)
	out = o.run(time.Second)
	o.want(t, out, true, shedguard.StateReady, "ended unplugged EVDisconnected")
	if !out.Session.EndedAt.Equal(o.now) {
		t.Errorf("ended at %v, want %v", out.Session.EndedAt, o.now)
	}
	if _, ok := o.s.Session(); ok {
		t.Error("a session still runs")
	}
}

func TestGlitchIsNoPlug(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.run(5 * time.Second)
	for range 10 { // never three seconds in a row
		o.watts = 600
		o.run(2 * time.Second)
		o.watts = 0
		o.run(time.Second)
	}
	o.want(t, o.run(time.Second), true, shedguard.StateReady)
	for range 30 { // suspect readings are for protection
		o.now = o.now.Add(time.Second)
		o.in.Fresh = true
		o.in.Reading = shedguard.Reading{Outlet: 3, At: o.now, Watts: 700, Quality: shedguard.QualitySuspect}
		o.step()
	}
	o.want(t, o.run(time.Second), true, shedguard.StateReady)
}

func TestCommand(t *testing.T) {
	o := newOutlet(settings(session.StartCommand), session.Record{})
	o.watts = 200
	o.want(t, o.run(time.Minute), false, shedguard.StateOff)
	if err := o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "wang", commandID, o.now); err != nil {
		t.Fatal(err)
	}
	o.in.MayClose = false // another outlet was closed a moment ago
	o.want(t, o.run(2*time.Second), false, shedguard.StateOff, "begun by wang")
	o.in.MayClose = true
	out := o.run(time.Second)
	o.want(t, out, true, shedguard.StateReady)
	if out.Session.ID != commandID {
		t.Errorf("id %q", out.Session.ID)
	}
	o.in.MayClose = false // asked at the closing only
	o.want(t, o.run(4*time.Second), true, shedguard.StateCharging, "charging")
	if err := o.c.Stop(&o.s, session.ReasonRemote, o.now); err != nil {
		t.Fatal(err)
	}
	o.want(t, o.run(time.Second), false, shedguard.StateOff, "ended stopped Remote")
	o.want(t, o.run(time.Hour), false, shedguard.StateOff)
}

func TestUnpluggedAfterCommand(t *testing.T) {
	o := newOutlet(settings(session.StartCommand), session.Record{})
	o.run(5 * time.Second)
	if err := o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "wang", commandID, o.now); err != nil {
		t.Fatal(err)
	}
	o.watts = 100
	o.run(10 * time.Second)
	o.watts = 0
	o.want(t, o.run(11*time.Second), false, shedguard.StateOff, "begun by wang", "charging", "ended unplugged EVDisconnected")
}

func TestNoLoad(t *testing.T) {
	for _, by := range []session.Start{session.StartPlug, session.StartCommand} {
		o := newOutlet(settings(by), session.Record{})
		o.run(5 * time.Second)
		if err := o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "wang", commandID, o.now); err != nil {
			t.Fatal(err)
		}
		o.want(t, o.run(119*time.Second), true, shedguard.StateReady, "begun by wang")
		out := o.run(3 * time.Second)
		if by == session.StartPlug {
			o.want(t, out, true, shedguard.StateReady, "ended no_load Other")
		} else {
			o.want(t, out, false, shedguard.StateOff, "ended no_load Other")
		}
	}
}

func TestStopKeepsAPlugOutletOff(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.watts = 100
	o.run(10 * time.Second)
	if err := o.c.Stop(&o.s, session.ReasonLocal, o.now); err != nil {
		t.Fatal(err)
	}
	o.log = nil
	o.want(t, o.run(time.Hour), false, shedguard.StateOff, "ended stopped Local")
	r := o.s.Record()
	if !r.Off {
		t.Fatalf("record %+v, want off", r)
	}
	o = newOutlet(o.c, r) // nor does a restart start it
	o.want(t, o.run(time.Hour), false, shedguard.StateOff)
	if err := o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "li", commandID, o.now); err != nil {
		t.Fatal(err)
	}
	o.want(t, o.run(time.Second), true, shedguard.StateReady, "begun by li")
}

func TestStopRefusesAnUnknownReason(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	if err := o.c.Stop(&o.s, "because", o.now); err == nil || !strings.Contains(err.Error(), `"because"`) {
		t.Errorf("error %v", err)
	}
}

func TestLimits(t *testing.T) {
	ptr := func(v float64) *float64 { return &v }
	tests := map[string]struct {
		args  shedguard.StartArgs
		watts float64
		after time.Duration // of load, to the end
		phase string
	}{
		"energy":               {shedguard.StartArgs{MaxWh: ptr(10)}, 360, 101 * time.Second, session.PhaseLimitWh},
		"minutes":              {shedguard.StartArgs{MaxMinutes: ptr(2)}, 360, 120 * time.Second, session.PhaseLimitMinutes},
		"watts":                {shedguard.StartArgs{MaxWatts: ptr(300)}, 360, 7 * time.Second, session.PhaseLimitWatts},
		"watts of the profile": {shedguard.StartArgs{}, 1001, 7 * time.Second, session.PhaseLimitWatts},
		"energy of the profile": {
			shedguard.StartArgs{}, 999, 10812 * time.Second, session.PhaseLimitWh,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOutlet(settings(session.StartCommand), session.Record{})
			o.watts = tt.watts
			o.run(5 * time.Second)
			tt.args.Outlet = 3
			if err := o.c.Start(&o.s, tt.args, "wang", commandID, o.now); err != nil {
				t.Fatal(err)
			}
			began := o.now
			for range 20000 {
				if out := o.run(time.Second); out.Ended {
					if out.Close || out.Outlet != shedguard.StateOff || out.Session.Phase != tt.phase || out.Session.Reason != session.ReasonOther {
						t.Errorf("outcome %+v", out)
					}
					if got := o.now.Sub(began); got < tt.after-2*time.Second || got > tt.after+2*time.Second {
						t.Errorf("after %v, want %v", got, tt.after)
					}
					o.log = nil
					o.want(t, o.run(time.Hour), false, shedguard.StateOff)
					return
				}
			}
			t.Fatal("no end")
		})
	}
}

func TestOneSampleOfInrushIsNoLimit(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.watts = 300
	o.run(10 * time.Second)
	for range 20 {
		o.watts = 1500
		o.run(4 * time.Second)
		o.watts = 300
		o.run(time.Second)
	}
	if s, ok := o.s.Session(); !ok || s.PeakWatts != 1500 {
		t.Errorf("session %+v, runs %t", s, ok)
	}
}

func TestSuspendAndResume(t *testing.T) {
	for _, by := range []session.Start{session.StartPlug, session.StartCommand} {
		t.Run(string(by), func(t *testing.T) {
			o := newOutlet(settings(by), session.Record{})
			o.watts = 200
			o.run(10 * time.Second)
			if by == session.StartCommand {
				if err := o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "wang", commandID, o.now); err != nil {
					t.Fatal(err)
				}
				o.run(10 * time.Second)
			}
			before, ok := o.s.Session()
			if !ok {
				t.Fatal("no session")
			}
			o.log = nil
			suspend := func() {
				o.in.Permit, o.in.Suspended = false, true
				o.now = o.now.Add(4 * time.Second)
				o.want(t, o.step(), false, shedguard.StateSuspended, "suspended")
				o.in.Permit, o.in.Suspended = true, false
			}
			for i := range 3 {
				suspend()
				o.watts = 0 // the relay is open
				o.want(t, o.run(10*time.Second), false, shedguard.StateSuspended)
				if i == 0 { // a break in the good readings starts the wait again
					o.in.Permit = false
					o.run(time.Second)
					o.in.Permit = true
					o.want(t, o.run(10*time.Second), false, shedguard.StateSuspended)
					o.in.MayClose = false
					o.want(t, o.run(2*time.Second), false, shedguard.StateSuspended)
					o.in.MayClose = true
				}
				o.want(t, o.run(time.Second), true, shedguard.StateReady, "waiting")
				o.watts = 200
				o.want(t, o.run(4*time.Second), true, shedguard.StateCharging, "charging")
			}
			if after, _ := o.s.Session(); after.ID != before.ID || after.EnergyWh <= before.EnergyWh {
				t.Errorf("session %+v, want %s to go on", after, before.ID)
			}
			suspend() // a fourth within the hour waits until the first is an hour old
			o.watts = 0
			o.want(t, o.run(58*time.Minute), false, shedguard.StateSuspended)
			out := o.run(time.Second)
			for i := 0; !out.Close && i < 120; i++ {
				out = o.run(time.Second)
			}
			o.want(t, out, true, shedguard.StateReady, "waiting")
		})
	}
}

func TestSuspendedSessionStillAges(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.watts = 200
	o.run(10 * time.Second)
	o.in.Permit, o.in.Suspended, o.log = false, true, nil
	o.want(t, o.run(10*time.Hour), false, shedguard.StateSuspended, "suspended", "ended limit_minutes Other")
}

func TestTrip(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.watts = 200
	o.run(10 * time.Second)
	o.log = nil
	o.in.Permit, o.in.Tripped = false, true
	o.want(t, o.run(time.Second), false, shedguard.StateTripped, "ended tripped Other")
	var refused *shedguard.ReplyError
	if err := o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "wang", commandID, o.now); !errors.As(err, &refused) || refused.Code != shedguard.CodeCauseStands {
		t.Errorf("start while tripped: %v", err)
	}
	o.want(t, o.run(time.Hour), false, shedguard.StateTripped)
	o.in.Permit, o.in.Tripped = true, false // reset by a person
	o.want(t, o.run(2*time.Second), true, shedguard.StateReady)
}

func TestFault(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.run(10 * time.Second)
	o.in.Permit, o.in.Fault = false, true
	o.want(t, o.run(time.Second), false, shedguard.StateFault)
	var refused *shedguard.ReplyError
	if err := o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "wang", commandID, o.now); !errors.As(err, &refused) || refused.Code != shedguard.CodeNotPermitted {
		t.Errorf("start in fault: %v", err)
	}
	o.in.Permit, o.in.Fault = true, false
	o.want(t, o.run(10*time.Second), false, shedguard.StateSuspended)
	o.want(t, o.run(time.Second), true, shedguard.StateReady)
}

func TestStartRefuses(t *testing.T) {
	ptr := func(v float64) *float64 { return &v }
	tests := map[string]struct {
		args shedguard.StartArgs
		by   string
		id   string
		code shedguard.ReplyCode
		text string
	}{
		"another outlet":  {shedguard.StartArgs{Outlet: 4}, "w", commandID, shedguard.CodeBadArgs, "outlet: 4: want 3"},
		"nobody":          {shedguard.StartArgs{Outlet: 3}, "", commandID, shedguard.CodeBadArgs, `by ""`},
		"no id":           {shedguard.StartArgs{Outlet: 3}, "w", "x", shedguard.CodeBadArgs, `id "x"`},
		"zero is no none": {shedguard.StartArgs{Outlet: 3, MaxWh: ptr(0)}, "w", commandID, shedguard.CodeBadArgs, "max_wh: 0: want above 0, at most 3000"},
		"above profile": {
			shedguard.StartArgs{Outlet: 3, MaxMinutes: ptr(601), MaxWatts: ptr(math.NaN())},
			"w", commandID,
			shedguard.CodeBadArgs, "max_minutes: 601: want above 0, at most 600\nmax_watts: NaN: want above 0, at most 1000",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o := newOutlet(settings(session.StartCommand), session.Record{})
			o.run(2 * time.Second)
			var refused *shedguard.ReplyError
			if err := o.c.Start(&o.s, tt.args, tt.by, tt.id, o.now); !errors.As(err, &refused) || refused.Code != tt.code || !strings.Contains(refused.Text, tt.text) {
				t.Errorf("%v, want %s %q", err, tt.code, tt.text)
			}
			o.want(t, o.run(time.Minute), false, shedguard.StateOff)
		})
	}
	t.Run("before the first step", func(t *testing.T) {
		o := newOutlet(settings(session.StartCommand), session.Record{})
		var refused *shedguard.ReplyError
		if err := o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "w", commandID, o.now); !errors.As(err, &refused) || refused.Code != shedguard.CodeNotPermitted {
			t.Error(err)
		}
	})
	t.Run("while one runs, or its end is not told", func(t *testing.T) {
		o := newOutlet(settings(session.StartCommand), session.Record{})
		o.run(2 * time.Second)
		start := func() error {
			return o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "w", commandID, o.now)
		}
		if err := start(); err != nil {
			t.Fatal(err)
		}
		var refused *shedguard.ReplyError
		if err := start(); !errors.As(err, &refused) || refused.Code != shedguard.CodeBusy {
			t.Error(err)
		}
		if err := o.c.Stop(&o.s, session.ReasonRemote, o.now); err != nil {
			t.Fatal(err)
		}
		if err := start(); !errors.As(err, &refused) || refused.Code != shedguard.CodeBusy {
			t.Error(err)
		}
		o.want(t, o.step(), false, shedguard.StateOff, "begun by w", "ended stopped Remote")
	})
}

// TestRestart: a session goes on after a restart as after a suspension, with
// its energy, age and limits, whatever the wall clock says now.
func TestRestart(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.watts = 200
	o.run(time.Hour)
	before, _ := o.s.Session()
	b, err := json.Marshal(o.s.Record())
	if err != nil {
		t.Fatal(err)
	}
	var kept session.Record
	if err := json.Unmarshal(b, &kept); err != nil {
		t.Fatal(err)
	}
	for name, now := range map[string]time.Time{
		"clock lost": time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC),
		"year ahead": o.now.AddDate(1, 0, 0),
	} {
		t.Run(name, func(t *testing.T) {
			n := newOutlet(o.c, kept)
			n.now, n.watts = now, 0
			if diff := cmp.Diff(kept, n.s.Record()); diff != "" {
				t.Errorf("record before the first step: %s", diff)
			}
			n.want(t, n.run(10*time.Second), false, shedguard.StateSuspended, "suspended")
			n.run(time.Second)
			n.watts = 200
			n.log = nil
			n.want(t, n.run(4*time.Second), true, shedguard.StateCharging, "charging")
			after, ok := n.s.Session()
			if !ok || after.ID != before.ID || after.EnergyWh < before.EnergyWh || !after.BegunAt.Equal(before.BegunAt) {
				t.Errorf("%+v, want %+v to go on", after, before)
			}
			n.log = nil
			n.want(t, n.run(9*time.Hour), false, shedguard.StateOff, "ended limit_minutes Other")
		})
	}
}

// TestRestartsUseUpResumes: a crash loop does not feed an outlet more often
// than suspensions may.
func TestRestartsUseUpResumes(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.watts = 200
	o.run(time.Minute)
	fed := 0
	for range 10 {
		kept := o.s.Record()
		now := o.now
		o = newOutlet(o.c, kept)
		o.now, o.watts = now, 0
		if out := o.run(12 * time.Second); out.Close {
			fed++
		}
	}
	if fed != 3 {
		t.Errorf("fed %d times in ten restarts, want 3", fed)
	}
}

func TestGapCountsLess(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.watts = 360
	o.run(10 * time.Second)
	before, _ := o.s.Session()
	o.now = o.now.Add(time.Minute)
	o.sample()
	after, _ := o.s.Session()
	if got := (after.EnergyWh - before.EnergyWh) * 10; math.Abs(got-3) > 1e-9 {
		t.Errorf("a gap of a minute counted as %.3f s, want 3", got)
	}
}

func TestValidate(t *testing.T) {
	for _, by := range []session.Start{session.StartPlug, session.StartCommand} {
		if err := settings(by).Validate(); err != nil {
			t.Error(err)
		}
	}
	want := `start: "": want plug or command
load_watts: 0: want 0.5 to 200
no_load_watts: 0: want 0.1 to 0
no_load_after: 0s: want 1s to 1h0m0s
start_within: 0s: want 10s to 1h0m0s
resume_after: 0s: want 1s to 10m0s
resumes_per_hour: 0: want 1 to 12
max_wh: 0: want 1 to 100000
max_minutes: 0: want 1 to 1440
max_watts: 0: want 10 to 20000
max_gap: 0s: want 1s to 1m0s`
	if diff := cmp.Diff(want, (&session.Settings{}).Validate().Error()); diff != "" {
		t.Error(diff)
	}
}

// TestLaws: an outlet is never fed without a permit, energy never falls within
// a session, a session ends once and begins once, and resumes are bounded.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := newOutlet(settings(rapid.SampledFrom([]session.Start{session.StartPlug, session.StartCommand}).Draw(t, "by")), session.Record{})
		var (
			running string
			energy  float64
			closed  bool
			resumes []time.Time
			opened  bool // by something passing
		)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			o.now = o.now.Add(time.Duration(rapid.IntRange(1, 20000).Draw(t, "ms")) * time.Millisecond)
			o.in = session.Input{
				Permit:   rapid.IntRange(0, 9).Draw(t, "permit") > 0,
				MayClose: rapid.Bool().Draw(t, "may_close"),
				Tripped:  rapid.IntRange(0, 19).Draw(t, "tripped") == 0,
			}
			o.in.Suspended = !o.in.Permit && !o.in.Tripped
			o.in.Permit = o.in.Permit && !o.in.Tripped
			switch rapid.IntRange(0, 9).Draw(t, "command") {
			case 0:
				_ = o.c.Start(&o.s, shedguard.StartArgs{Outlet: 3}, "w", o.newID(), o.now)
			case 1:
				_ = o.c.Stop(&o.s, session.ReasonRemote, o.now)
				opened = false
			}
			o.watts = rapid.Float64Range(-100, 1200).Draw(t, "watts")
			out := o.sample()

			if out.Close && !o.in.Permit {
				t.Fatal("fed without a permit")
			}
			if out.Close && !closed {
				if !o.in.MayClose {
					t.Fatal("closed without being allowed to")
				}
				if opened {
					resumes = append(resumes, o.now)
				}
			}
			if closed && !out.Close {
				opened = o.in.Suspended
			}
			if o.in.Tripped || out.Close {
				opened = false
			}
			closed = out.Close
			if n := len(resumes); n > 3 && resumes[n-1].Sub(resumes[n-4]) < time.Hour {
				t.Fatalf("four resumes within %v", resumes[n-1].Sub(resumes[n-4]))
			}

			if out.Began {
				if running != "" {
					t.Fatalf("%s began while %s ran", out.Session.ID, running)
				}
				running, energy = out.Session.ID, 0
			}
			if running != "" {
				if out.Session.ID != running || out.Session.EnergyWh < energy {
					t.Fatalf("session %+v, want %s with at least %g Wh", out.Session, running, energy)
				}
				energy = out.Session.EnergyWh
			}
			if out.Ended {
				if running == "" {
					t.Fatal("an end without a begin")
				}
				running = ""
			}
			if s, ok := o.s.Session(); ok != (running != "") || ok && s.ID != running {
				t.Fatalf("Session says %q %t, told was %q", s.ID, ok, running)
			}
		}
	})
}

func TestNextAllocatesNothing(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.watts = 100
	o.run(time.Minute)
	o.in.Fresh = true
	if n := testing.AllocsPerRun(1000, func() {
		o.now = o.now.Add(100 * time.Millisecond)
		o.in.Reading.At, o.in.Fresh = o.now, true
		o.c.Next(&o.s, &o.in, o.now)
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkNext(b *testing.B) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.watts = 1
	o.run(time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		o.now = o.now.Add(100 * time.Millisecond)
		o.in.Reading.At, o.in.Fresh = o.now, true
		o.c.Next(&o.s, &o.in, o.now)
	}
}

// TestCurve: what is known of the charge is told as the session's phase, keeps a
// battery that draws next to nothing from being taken for a pulled plug, and ends
// the session.
func TestCurve(t *testing.T) {
	c := settings(session.StartPlug)
	o := newOutlet(c, session.Record{})
	o.run(2 * time.Second)
	o.watts = 180
	o.want(t, o.run(5*time.Second), true, shedguard.StateCharging, "begun by plug")
	o.in.Curve.Phase = "constant_current"
	o.want(t, o.run(time.Minute), true, shedguard.StateCharging, "constant_current")
	o.in.Curve = session.Curve{Phase: "trickle", Attached: true}
	o.watts = 4
	o.want(t, o.run(time.Hour), true, shedguard.StateCharging, "trickle")

	// A passing fault does not end it, and it goes on where it was.
	o.in.Permit, o.in.Suspended = false, true
	o.want(t, o.run(time.Second), false, shedguard.StateSuspended, "suspended")
	o.in.Curve.Over = true
	o.want(t, o.run(time.Second), false, shedguard.StateSuspended)
	o.in.Curve.Over = false
	o.in.Permit, o.in.Suspended = true, false
	o.want(t, o.run(12*time.Second), true, shedguard.StateCharging, "trickle")

	o.in.Curve = session.Curve{Phase: session.PhaseFull, Over: true}
	out := o.run(time.Second)
	o.want(t, out, false, shedguard.StateFull, "ended full Other")
	if out.Session.EnergyWh < 4 {
		t.Errorf("%g Wh, want an hour of 4 W and more", out.Session.EnergyWh)
	}
	o.in.Curve = session.Curve{}
	o.want(t, o.run(time.Hour), false, shedguard.StateFull)

	// It stays so over a restart, until somebody starts it.
	kept := o.s.Record()
	if !kept.Off || !kept.Full {
		t.Fatalf("%+v", kept)
	}
	again := newOutlet(c, kept)
	again.want(t, again.run(time.Hour), false, shedguard.StateFull)
	if err := c.Start(&again.s, shedguard.StartArgs{Outlet: 3}, "wang", commandID, again.now); err != nil {
		t.Fatal(err)
	}
	again.want(t, again.run(time.Second), true, shedguard.StateReady, "begun by wang")
	if kept := again.s.Record(); kept.Off || kept.Full {
		t.Errorf("%+v", kept)
	}
	if err := c.Stop(&again.s, session.ReasonRemote, again.now); err != nil {
		t.Fatal(err)
	}
	again.want(t, again.run(time.Second), false, shedguard.StateOff, "ended stopped Remote")
}

// TestIdleLoadIsNotFull: what never charged is switched off, but is no battery.
func TestIdleLoadIsNotFull(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.run(2 * time.Second)
	o.watts = 15.5
	o.run(5 * time.Second)
	o.log = nil
	o.in.Curve = session.Curve{Phase: session.PhaseIdle, Over: true}
	o.want(t, o.run(time.Second), false, shedguard.StateOff, "ended idle_load Other")
	if kept := o.s.Record(); !kept.Off || kept.Full {
		t.Errorf("%+v", kept)
	}
}

// TestUnpluggedWithoutABattery: a charger without its battery ends the session as
// before, whatever phase the curve was in.
func TestUnpluggedWithoutABattery(t *testing.T) {
	o := newOutlet(settings(session.StartPlug), session.Record{})
	o.run(2 * time.Second)
	o.watts = 180
	o.run(5 * time.Second)
	o.in.Curve.Phase = "constant_voltage"
	o.run(time.Second)
	o.log = nil
	o.watts = 4
	o.want(t, o.run(12*time.Second), true, shedguard.StateReady, "ended unplugged EVDisconnected")
}
