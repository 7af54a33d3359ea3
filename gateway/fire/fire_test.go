package fire_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/fire"
)

func settings() *fire.Settings {
	return &fire.Settings{Persist: 10 * time.Second, Within: time.Minute, Break: 2 * time.Second, Cut: shedguard.ActionCutZone}
}

func start() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

var (
	flame   = fire.Sign{Subject: "camera/c1", Cause: shedguard.CauseFlameSeen}
	smoke   = fire.Sign{Subject: "camera/c2", Cause: shedguard.CauseSmokeSeen}
	contact = fire.Sign{Subject: "smoke/bay-1", Cause: shedguard.CauseSmokeContact}
	hot     = fire.Sign{Subject: "outlet/3", Cause: shedguard.CauseOverTemperature}
	rising  = fire.Sign{Subject: "outlet/4", Cause: shedguard.CauseTemperatureRise}
	over    = fire.Sign{Subject: "outlet/3", Cause: shedguard.CauseOvercurrent}
)

// TestFusion is every combination of the senses.
func TestFusion(t *testing.T) {
	type outcome struct {
		grade  shedguard.Grade
		action shedguard.Action
		siren  bool
	}
	none := outcome{shedguard.GradeNone, shedguard.ActionNone, false}
	pre := outcome{shedguard.GradePreAlarm, shedguard.ActionNone, false}
	seen := outcome{shedguard.GradeAlarm, shedguard.ActionSiren, true}
	smoky := outcome{shedguard.GradeAlarm, shedguard.ActionCutZone, true}
	burns := outcome{shedguard.GradeFire, shedguard.ActionCutZone, true}
	// Camera: 0 sees nothing, 1 sees something, 2 has seen it for ten seconds.
	for _, tt := range []struct {
		camera                   int
		contact, heat, electrics bool
		want                     outcome
	}{
		{0, false, false, false, none},
		{0, false, false, true, none},
		{0, false, true, false, none},
		{0, false, true, true, none}, // an overloaded outlet is hot: one fault, not two senses of fire
		{0, true, false, false, smoky},
		{0, true, false, true, burns},
		{0, true, true, false, burns},
		{0, true, true, true, burns},
		{1, false, false, false, pre},
		{1, false, false, true, burns},
		{1, false, true, false, burns},
		{1, false, true, true, burns},
		{1, true, false, false, burns},
		{1, true, false, true, burns},
		{1, true, true, false, burns},
		{1, true, true, true, burns},
		{2, false, false, false, seen},
		{2, false, false, true, burns},
		{2, false, true, false, burns},
		{2, false, true, true, burns},
		{2, true, false, false, burns},
		{2, true, false, true, burns},
		{2, true, true, false, burns},
		{2, true, true, true, burns},
	} {
		t.Run(fmt.Sprintf("camera %d contact %t heat %t electrical %t", tt.camera, tt.contact, tt.heat, tt.electrics), func(t *testing.T) {
			c, s, now := settings(), &fire.State{}, start()
			var signs []fire.Sign
			if tt.camera > 0 {
				signs = append(signs, flame)
			}
			if tt.camera == 2 { // alone until now
				for range 10 {
					c.Next(s, signs, now)
					now = now.Add(time.Second)
				}
			}
			for sign, stands := range map[fire.Sign]bool{contact: tt.contact, hot: tt.heat, over: tt.electrics} {
				if stands {
					signs = append(signs, sign)
				}
			}
			v := c.Next(s, signs, now)
			if got := (outcome{v.Grade, v.Action, v.Siren}); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if s.Fire() != (tt.want == burns) {
				t.Errorf("Fire %t", s.Fire())
			}
			if len(v.List()) == 0 != (tt.want == none) {
				t.Errorf("signs %v", v.List())
			}
		})
	}
}

func TestACameraAloneGrowsIntoAnAlarm(t *testing.T) {
	c, s, t0 := settings(), &fire.State{}, start()
	grade := func(at time.Duration, signs ...fire.Sign) shedguard.Grade {
		v := c.Next(s, signs, t0.Add(at))
		return v.Grade
	}
	for _, step := range []struct {
		at    time.Duration
		signs []fire.Sign
		want  shedguard.Grade
	}{
		{0, []fire.Sign{flame}, shedguard.GradePreAlarm},
		{4 * time.Second, nil, shedguard.GradeNone}, // longer than the break
		{5 * time.Second, []fire.Sign{smoke}, shedguard.GradePreAlarm},
		{7 * time.Second, nil, shedguard.GradePreAlarm}, // a flicker
		{7 * time.Second, []fire.Sign{smoke}, shedguard.GradePreAlarm},
		{9 * time.Second, []fire.Sign{flame}, shedguard.GradePreAlarm},
		{11 * time.Second, []fire.Sign{flame}, shedguard.GradePreAlarm},
		{13 * time.Second, []fire.Sign{flame}, shedguard.GradePreAlarm},
		{14900 * time.Millisecond, []fire.Sign{flame}, shedguard.GradePreAlarm},
		{15 * time.Second, []fire.Sign{flame}, shedguard.GradeAlarm},
		{16 * time.Second, nil, shedguard.GradeAlarm},
		{18 * time.Second, nil, shedguard.GradeNone},
	} {
		if got := grade(step.at, step.signs...); got != step.want {
			t.Errorf("at %s with %v: %q, want %q", step.at, step.signs, got, step.want)
		}
	}
}

func TestTwoSensesWithinAMinute(t *testing.T) {
	for name, tt := range map[string]struct {
		gap  time.Duration
		want shedguard.Grade
	}{
		"59 s apart": {59 * time.Second, shedguard.GradeFire},
		"61 s apart": {61 * time.Second, shedguard.GradeNone},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := settings(), &fire.State{}
			c.Next(s, []fire.Sign{smoke}, start())
			c.Next(s, nil, start().Add(30*time.Second)) // the camera has lost it
			v := c.Next(s, []fire.Sign{rising}, start().Add(tt.gap))
			if v.Grade != tt.want {
				t.Errorf("grade %q, want %q", v.Grade, tt.want)
			}
			if tt.want == shedguard.GradeFire && (!slices.Equal(v.List(), []fire.Sign{smoke, rising}) || !v.Since.Equal(start())) {
				t.Errorf("signs %v since %s", v.List(), v.Since)
			}
		})
	}
}

func TestAShadowOnlyNotices(t *testing.T) {
	c, s := settings(), &fire.State{}
	watching := flame
	watching.Shadow = true
	for i := range 30 {
		v := c.Next(s, []fire.Sign{watching, over}, start().Add(time.Duration(i)*time.Second))
		if v.Grade != shedguard.GradeNotice || v.Action != shedguard.ActionNone || v.Siren || v.Severity != shedguard.SeverityWarning {
			t.Fatalf("after %d s: %+v", i, v)
		}
	}
}

func TestValidate(t *testing.T) {
	if err := settings().Validate(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*fire.Settings){
		"persist: 0s: want 1s to 5m0s":     func(c *fire.Settings) { c.Persist = 0 },
		"within: 1h0m0s: want 1s to 10m0s": func(c *fire.Settings) { c.Within = time.Hour },
		"break: 11s: want 0s to 10s":       func(c *fire.Settings) { c.Break = 11 * time.Second },
		`cut: "none": want "tripped"`:      func(c *fire.Settings) { c.Cut = shedguard.ActionNone },
	} {
		c := settings()
		spoil(c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Validate: %v, want %s", err, want)
		}
	}
}

// TestLaws: one sense alone is never a fire, and a fire stays.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, s, now := settings(), &fire.State{}, start()
		all := []fire.Sign{flame, smoke, contact, hot, rising, over}
		heard := map[fire.Sense]time.Time{}
		burnt := false
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(1, 40000).Draw(t, "ms")) * time.Millisecond)
			signs := rapid.SliceOfNDistinct(rapid.SampledFrom(all), 0, 3, func(s fire.Sign) fire.Sign { return s }).Draw(t, "signs")
			for _, sign := range signs {
				sense, ok := fire.SenseOf(sign.Cause)
				if !ok {
					t.Fatalf("%s has no sense", sign.Cause)
				}
				heard[sense] = now
			}
			recent := 0
			for _, at := range heard {
				if now.Sub(at) <= c.Within {
					recent++
				}
			}
			v := c.Next(s, signs, now)
			if burnt && v.Grade != shedguard.GradeFire {
				t.Fatalf("a fire passed by itself: %+v", v)
			}
			if v.Grade == shedguard.GradeFire && !burnt && recent < 2 {
				t.Fatalf("fire by one sense: %v", v.List())
			}
			burnt = v.Grade == shedguard.GradeFire
			if burnt && rapid.Bool().Draw(t, "reset") {
				s.Reset()
				burnt = false
				clear(heard)
			}
		}
	})
}

func ExampleSettings_Next() {
	c := &fire.Settings{Persist: 10 * time.Second, Within: time.Minute, Break: 2 * time.Second, Cut: shedguard.ActionCutZone}
	var s fire.State
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	camera := fire.Sign{Subject: "camera/c1", Cause: shedguard.CauseSmokeSeen}
	outlet := fire.Sign{Subject: "outlet/3", Cause: shedguard.CauseOverTemperature}
	v := c.Next(&s, []fire.Sign{camera}, now)
	fmt.Println(v.Grade, v.Action)
	v = c.Next(&s, []fire.Sign{camera, outlet}, now.Add(5*time.Second))
	fmt.Println(v.Grade, v.Action)
	// Output:
	// pre_alarm none
	// fire cut_zone
}
