package actuate_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
)

var two = []shedguard.Cause{shedguard.CauseFlameSeen, shedguard.CauseSmokeContact}

func suppression(t testing.TB, kept actuate.SuppressionRecord) *actuate.Suppression {
	t.Helper()
	s, err := actuate.NewSuppression(actuate.SuppressionSettings{Veto: 15 * time.Second, Release: 10 * time.Second}, kept)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fire(senses ...shedguard.Cause) *actuate.Fire {
	return &actuate.Fire{Grade: shedguard.GradeFire, Zone: "bay-1", AlarmID: "01JD0000000000000000000000", Senses: senses}
}

func TestSuppressionReleasesOnceAfterItsWindow(t *testing.T) {
	t.Parallel()
	s := suppression(t, actuate.SuppressionRecord{})
	now := time.Unix(1_700_000_000, 0)
	if err := s.Arm(fire(two...), now); err != nil {
		t.Fatal(err)
	}
	var on []int
	for i := range 600 { // a minute
		if out, _ := s.Next(now.Add(time.Duration(i) * 100 * time.Millisecond)); out {
			on = append(on, i)
		}
		if i == 100 { // the fire is seen again and again
			if err := s.Arm(fire(two...), now.Add(10*time.Second)); err != nil {
				t.Error(err)
			}
		}
	}
	if len(on) != 100 || on[0] != 150 || on[99] != 249 {
		t.Errorf("on from %v to %v, %d times: want 15.0 s to 24.9 s", on[0], on[len(on)-1], len(on))
	}
	if r := s.Record(); r.Phase != shedguard.SuppressionReleased || r.Zone != "bay-1" || !slices.Equal(r.Senses, two) {
		t.Errorf("record %+v", r)
	}
	if err := s.Arm(fire(two...), now.Add(time.Hour)); !errors.Is(err, actuate.ErrSpent) {
		t.Errorf("armed a second time: %v", err)
	}
	if err := s.Reset("wang", now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := s.Arm(fire(two...), now.Add(2*time.Hour)); err != nil || s.Left() != 15*time.Second {
		t.Errorf("after a reset: %v, %v left", err, s.Left())
	}
}

func TestSuppressionVeto(t *testing.T) {
	t.Parallel()
	s := suppression(t, actuate.SuppressionRecord{})
	now := time.Unix(1_700_000_000, 0)
	if err := s.Veto("wang", now); !errors.Is(err, actuate.ErrNotArmed) {
		t.Errorf("veto of nothing: %v", err)
	}
	if err := s.Arm(fire(two...), now); err != nil {
		t.Fatal(err)
	}
	if err := s.Reset("wang", now); err == nil {
		t.Error("an armed one was reset")
	}
	s.Next(now.Add(14900 * time.Millisecond))
	if d := s.Left(); d != 100*time.Millisecond {
		t.Errorf("%v left", d)
	}
	if err := s.Veto("wang", now.Add(14950*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if on, _ := s.Next(now.Add(15*time.Second + time.Duration(i)*time.Second)); on {
			t.Fatal("released after a veto")
		}
	}
	if r := s.Record(); r.Phase != shedguard.SuppressionVetoed || r.By != "wang" {
		t.Errorf("%+v", r)
	}
	if err := s.Arm(fire(two...), now.Add(time.Hour)); !errors.Is(err, actuate.ErrSpent) {
		t.Errorf("armed again without a reset: %v", err)
	}
	if err := s.Veto("wang", now); !errors.Is(err, actuate.ErrNotArmed) {
		t.Errorf("a second veto: %v", err)
	}
}

func TestSuppressionNeedsTwoSenses(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for name, tt := range map[string]struct {
		fire *actuate.Fire
		ok   bool
	}{
		"camera and contact":     {fire(two...), true},
		"camera and thermometer": {fire(shedguard.CauseSmokeSeen, shedguard.CauseTemperatureRise), true},
		"camera and meter":       {fire(shedguard.CauseSmokeSeen, shedguard.CauseResidualCurrent), true},
		"contact, thermometer":   {fire(shedguard.CauseSmokeContact, shedguard.CauseOverTemperature), true},
		"none":                   {fire(), false},
		"one camera twice":       {fire(shedguard.CauseFlameSeen, shedguard.CauseSmokeSeen), false},
		"one thermometer":        {fire(shedguard.CauseOverTemperature, shedguard.CauseTemperatureRise), false},
		"one meter":              {fire(shedguard.CauseOvercurrent, shedguard.CauseShortCircuit), false},
		"camera and its loss":    {fire(shedguard.CauseFlameSeen, shedguard.CauseCameraLost, shedguard.CauseMeterStale), false},
		"grade alarm":            {&actuate.Fire{Grade: shedguard.GradeAlarm, Senses: two}, false},
		"no grade":               {&actuate.Fire{Senses: two}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := suppression(t, actuate.SuppressionRecord{})
			if err := s.Arm(tt.fire, now); (err == nil) != tt.ok {
				t.Errorf("%v", err)
			}
			if on, _ := s.Next(now.Add(time.Hour)); on != tt.ok {
				t.Errorf("on %t", on)
			}
		})
	}
	if err := actuate.CheckSuppression(actuate.SuppressionSettings{Veto: 15 * time.Second, Release: time.Second}); err != nil {
		t.Error(err)
	}
	if err := actuate.CheckSuppression(actuate.SuppressionSettings{}); err == nil || !strings.Contains(err.Error(), "veto: 0s: want 5s") || !strings.Contains(err.Error(), "release: 0s: want 100ms") {
		t.Errorf("%v", err)
	}
}

func TestSuppressionRecordThatMakesNoSense(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for name, kept := range map[string]actuate.SuppressionRecord{
		"unknown phase":  {Phase: "firing"},
		"one sense":      {Phase: shedguard.SuppressionArmed, Senses: two[:1]},
		"no senses":      {Phase: shedguard.SuppressionReleasing},
		"time backwards": {Phase: shedguard.SuppressionArmed, Senses: two, Elapsed: -1},
		"lost":           {Phase: shedguard.SuppressionUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := suppression(t, kept)
			if on, _ := s.Next(now.Add(time.Hour)); on || s.Record().Phase != shedguard.SuppressionUnknown {
				t.Errorf("on %t, %+v", on, s.Record())
			}
			if err := s.Arm(fire(two...), now); !errors.Is(err, actuate.ErrSpent) {
				t.Errorf("armed: %v", err)
			}
		})
	}
}

// TestSuppressionLaw: killed at any moment, with what was on disk then, the
// output comes on once, never before the window has passed in which the gateway
// was alive, stays on for the release in all, and a veto that was kept holds.
func TestSuppressionLaw(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s, err := actuate.NewSuppression(actuate.SuppressionSettings{Veto: 15 * time.Second, Release: 10 * time.Second}, actuate.SuppressionRecord{})
		if err != nil {
			t.Fatal(err)
		}
		const tick = 100 * time.Millisecond
		now := time.Unix(1_700_000_000, 0)
		if err := s.Arm(fire(two...), now); err != nil {
			t.Fatal(err)
		}
		disk := s.Record()
		vetoAt := rapid.IntRange(0, 600).Draw(t, "veto")
		vetoed := false
		var alive, lit time.Duration
		bursts, was := 0, false
		sinceSaved := time.Duration(0)
		for i := range 1000 {
			if rapid.IntRange(0, 40).Draw(t, "kill") == 0 && i > 0 {
				now = now.Add(time.Duration(rapid.IntRange(0, 3600).Draw(t, "dead")) * time.Second)
				if s, err = actuate.NewSuppression(actuate.SuppressionSettings{Veto: 15 * time.Second, Release: 10 * time.Second}, disk); err != nil {
					t.Fatal(err)
				}
				sinceSaved = 0
			}
			now = now.Add(tick)
			if i == vetoAt {
				if err := s.Veto("wang", now); err == nil {
					vetoed = true
					disk = s.Record()
				}
			}
			on, changed := s.Next(now)
			if sinceSaved += tick; changed || sinceSaved >= time.Second {
				disk, sinceSaved = s.Record(), 0
			}
			alive += tick
			if on {
				if vetoed {
					t.Fatalf("on after a veto")
				}
				if alive <= 15*time.Second {
					t.Fatalf("on after %v", alive)
				}
				lit += tick
				if !was && lit > 11*time.Second {
					t.Fatalf("a second release")
				}
			}
			if on && !was {
				bursts++
			}
			was = on
		}
		if s.Record().Phase == shedguard.SuppressionReleased && lit == 0 {
			t.Fatal("forgotten")
		}
	})
}
