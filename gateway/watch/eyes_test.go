package watch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/watch"
	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/health"
	"github.com/shedguard/shedguard/vision/report"
)

// shed has two zones of two outlets; c1 overlooks both, c2 the second.
type shed struct {
	t    *testing.T
	eyes *watch.Eyes
	now  time.Time
}

func open(t *testing.T, cut shedguard.Action) *shed {
	t.Helper()
	s := watch.DefaultSettings()
	s.Fire.Cut = cut
	e, err := watch.NewEyes(s,
		[]watch.Camera{{Name: "c1", Zones: []string{"bay-1", "bay-2"}}, {Name: "c2", Zones: []string{"bay-2"}}},
		[]watch.Zone{{Name: "bay-1", Outlets: []int{1, 2}}, {Name: "bay-2", Outlets: []int{3, 4}}})
	if err != nil {
		t.Fatal(err)
	}
	return &shed{t: t, eyes: e, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// pass lets time pass in which both cameras are well, and looks.
func (s *shed) pass(d time.Duration, during func()) watch.View {
	s.t.Helper()
	var v watch.View
	for end := s.now.Add(d); !s.now.After(end); s.now = s.now.Add(500 * time.Millisecond) {
		for _, c := range []string{"c1", "c2"} {
			s.eyes.Take(report.Line{Health: &report.Health{Camera: c, FrameAgeMS: 150, FPS: 5}}, s.now)
		}
		if during != nil {
			during()
		}
		v = s.eyes.Look(s.now)
	}
	return v
}

func (s *shed) sees(camera, id string, c vision.Class, since time.Time, shadow bool) {
	s.eyes.Take(report.Line{Observation: &report.Observation{
		Camera: camera, ID: id, State: report.Seen, Class: c, Since: since, At: s.now, Score: 0.93, Shadow: shadow,
	}}, s.now)
}

// told is the levels, a word each.
func told(v watch.View) string {
	var words []string
	for _, l := range v.Levels {
		word := fmt.Sprintf("%s:%s:%s:%s", l.Subject, l.Fault.Cause, l.Fault.Grade, l.Fault.Action)
		words = append(words, strings.TrimSuffix(word, ":"))
	}
	return strings.Join(words, " ")
}

// cut is the outlets that are told a fire.
func cut(v watch.View) []int {
	var list []int
	for n, conditions := range v.Outlets {
		for _, c := range conditions {
			if c.Cause == shedguard.CauseFire && c.Latch {
				list = append(list, n)
			}
		}
	}
	slices.Sort(list)
	return list
}

func latched(c shedguard.Cause) []protect.Decision {
	return []protect.Decision{{Cause: c, Latched: true, Standing: true}}
}

func TestNothing(t *testing.T) {
	s := open(t, shedguard.ActionCutZone)
	if v := s.pass(time.Minute, nil); told(v) != "" || v.Siren || len(cut(v)) != 0 || len(v.Fires) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestACameraAlone(t *testing.T) {
	s := open(t, shedguard.ActionCutZone)
	since := s.now.Add(-2 * time.Second) // it takes a while to confirm
	see := func() { s.sees("c2", "A", vision.Flame, since, false) }
	v := s.pass(time.Second, see)
	if got := told(v); got != "camera/c2:flame_seen:pre_alarm:none" || v.Siren {
		t.Errorf("at first: %s, siren %t", got, v.Siren)
	}
	v = s.pass(6*time.Second, see)
	if got := told(v); got != "camera/c2:flame_seen:alarm:siren" || !v.Siren || len(cut(v)) != 0 {
		t.Errorf("after nine seconds: %s, siren %t, cut %v", got, v.Siren, cut(v))
	}
	s.eyes.Take(report.Line{Observation: &report.Observation{Camera: "c2", ID: "A", State: report.Gone, Class: vision.Flame, Since: since, At: s.now}}, s.now)
	if v := s.pass(4*time.Second, nil); told(v) != "" || v.Siren {
		t.Errorf("afterwards: %s, siren %t", told(v), v.Siren)
	}
}

func TestAWorkerThatDiedSawNothing(t *testing.T) {
	s := open(t, shedguard.ActionCutZone)
	s.sees("c2", "A", vision.Flame, s.now, false)
	if v := s.pass(5*time.Second, nil); !strings.Contains(told(v), "flame_seen") {
		t.Errorf("a moment later: %q", told(v))
	}
	if v := s.pass(4*time.Second, nil); told(v) != "" {
		t.Errorf("nobody has said so for nine seconds: %q", told(v))
	}
}

func TestTwoSensesCutTheZone(t *testing.T) {
	for name, tt := range map[string]struct {
		cut  shedguard.Action
		want []int
	}{
		"zone":   {shedguard.ActionCutZone, []int{3, 4}},
		"shed":   {shedguard.ActionCutShed, []int{1, 2, 3, 4}},
		"outlet": {shedguard.ActionTripped, []int{4}},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, tt.cut)
			s.eyes.Outlet(4, latched(shedguard.CauseOverTemperature))
			s.eyes.Outlet(1, []protect.Decision{{Cause: shedguard.CauseMeterStale, Standing: true}})
			if v := s.pass(5*time.Second, nil); told(v) != "" || len(cut(v)) != 0 {
				t.Fatalf("heat alone: %s", told(v))
			}
			v := s.pass(500*time.Millisecond, func() { s.sees("c1", "B", vision.Smoke, s.now, false) })
			want := fmt.Sprintf("zone/bay-2:fire:fire:%[1]s camera/c1:smoke_seen:alarm:%[1]s", tt.cut)
			if got := told(v); got != want {
				t.Errorf("told %s, want %s", got, want)
			}
			if got := cut(v); !slices.Equal(got, tt.want) {
				t.Errorf("cut %v, want %v", got, tt.want)
			}
			if !v.Siren || !slices.Equal(v.Fires, []string{"bay-2"}) || v.Levels[0].Sight != "B" || !v.Levels[0].Fault.Latched {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestAFireStaysUntilItsOutletsAreReset(t *testing.T) {
	s := open(t, shedguard.ActionCutZone)
	s.eyes.Outlet(3, latched(shedguard.CauseOvercurrent))
	s.pass(time.Second, func() { s.sees("c2", "A", vision.Flame, s.now, false) })
	both := append(latched(shedguard.CauseFire), latched(shedguard.CauseOvercurrent)...)
	s.eyes.Outlet(3, both)
	s.eyes.Outlet(4, latched(shedguard.CauseFire))

	// It still burns as long as something speaks for it: a reset is refused.
	if v := s.pass(time.Minute, nil); len(cut(v)) != 2 || len(v.Fires) != 1 {
		t.Errorf("with an overcurrent that stands: cut %v, fires %v", cut(v), v.Fires)
	}
	// What is only latched does not speak, or no outlet could ever be reset.
	both[1].Standing = false
	s.eyes.Outlet(3, both)
	v := s.pass(time.Minute, nil)
	if len(cut(v)) != 0 || len(v.Fires) != 1 || !strings.HasPrefix(told(v), "zone/bay-2:fire") {
		t.Errorf("nothing speaks for it any more: cut %v, told %s", cut(v), told(v))
	}
	s.eyes.Outlet(3, nil)
	if v := s.pass(time.Second, nil); len(v.Fires) != 1 {
		t.Error("over while an outlet is latched")
	}
	s.eyes.Outlet(4, nil)
	if v := s.pass(time.Second, nil); len(v.Fires) != 0 || told(v) != "" || v.Siren {
		t.Errorf("after the resets: %s", told(v))
	}
}

func TestAFireOfAnEarlierRun(t *testing.T) {
	s := open(t, shedguard.ActionCutZone)
	s.eyes.Outlet(2, latched(shedguard.CauseFire))
	v := s.pass(10*time.Second, nil)
	if got := told(v); got != "zone/bay-1:fire:fire:cut_zone" || len(cut(v)) != 0 {
		t.Errorf("told %s, cut %v", got, cut(v))
	}
	s.eyes.Outlet(2, nil)
	if v := s.pass(time.Second, nil); told(v) != "" {
		t.Errorf("after its reset: %s", told(v))
	}
}

func TestAShadowOnlyNotices(t *testing.T) {
	s := open(t, shedguard.ActionCutZone)
	s.eyes.Outlet(3, latched(shedguard.CauseOverTemperature))
	v := s.pass(20*time.Second, func() { s.sees("c2", "A", vision.Flame, s.now, true) })
	if got := told(v); got != "camera/c2:flame_seen:notice:none" || v.Siren || len(cut(v)) != 0 {
		t.Errorf("told %s, siren %t, cut %v", got, v.Siren, cut(v))
	}
}

func TestCameraHealth(t *testing.T) {
	s := open(t, shedguard.ActionCutZone)
	s.pass(time.Second, nil)
	at := s.now
	look := func(after time.Duration, fault string, age time.Duration) string {
		s.eyes.Take(report.Line{Health: &report.Health{Camera: "c1", FrameAgeMS: 100}}, at.Add(after))
		if age >= 0 {
			s.eyes.Take(report.Line{Health: &report.Health{Camera: "c2", FrameAgeMS: age.Milliseconds(), Fault: fault}}, at.Add(after))
		}
		return told(s.eyes.Look(at.Add(after)))
	}
	for _, step := range []struct {
		after time.Duration
		fault string
		age   time.Duration // of the newest frame; below 0: the worker says nothing
		want  string
	}{
		{time.Second, "", 0, ""},
		{2 * time.Second, "covered", 0, "camera/c2:camera_blind:"},
		{3 * time.Second, "of a newer worker", 0, "camera/c2:camera_blind:"},
		{4 * time.Second, "", 14 * time.Second, ""},
		{6 * time.Second, "", 16 * time.Second, "camera/c2:camera_lost:"},
		{7 * time.Second, "", 0, ""},
		{21 * time.Second, "", -1, ""},
		{23 * time.Second, "", -1, "camera/c2:camera_lost:"},
	} {
		if got := look(step.after, step.fault, step.age); got != step.want {
			t.Errorf("after %s: %q, want %q", step.after, got, step.want)
		}
	}
}

// TestAWorkerThatAlwaysDies: what is started again and again and never has a frame is
// no sign of life of a camera.
func TestSmokeVeilsTheCameraThatSeesIt(t *testing.T) {
	for _, tc := range []struct {
		fault  health.Fault
		shadow bool
		want   string // while the smoke is seen
	}{
		{health.Covered, false, "camera/c2:smoke_seen:pre_alarm:none"},
		{health.Defocused, false, "camera/c2:smoke_seen:pre_alarm:none"},
		{health.Overexposed, false, "camera/c2:smoke_seen:pre_alarm:none"},
		{health.Frozen, false, "camera/c2:camera_blind: camera/c2:smoke_seen:pre_alarm:none"},
		{health.Covered, true, "camera/c2:camera_blind: camera/c2:smoke_seen:notice:none"},
	} {
		t.Run(fmt.Sprintf("%s,shadow=%t", tc.fault, tc.shadow), func(t *testing.T) {
			s := open(t, shedguard.ActionCutZone)
			since := s.now
			blind := func() {
				s.eyes.Take(report.Line{Health: &report.Health{Camera: "c2", FrameAgeMS: 150, Fault: string(tc.fault)}}, s.now)
			}
			v := s.pass(2*time.Second, func() { blind(); s.sees("c2", "A", vision.Smoke, since, tc.shadow) })
			if got := told(v); got != tc.want {
				t.Errorf("while it is seen: %s, want %s", got, tc.want)
			}
			v = s.pass(6*time.Second, blind) // nothing is seen any more
			if got := told(v); got != "camera/c2:camera_blind:" {
				t.Errorf("afterwards: %s", got)
			}
		})
	}
}

func TestAWorkerThatAlwaysDies(t *testing.T) {
	s := open(t, shedguard.ActionCutZone)
	s.pass(time.Second, nil) // with frames
	for n := range 20 {
		s.now = s.now.Add(time.Second)
		s.eyes.Take(report.Line{Health: &report.Health{Camera: "c1", FrameAgeMS: int64(n%5) * 1000, Waiting: true}}, s.now)
		s.eyes.Take(report.Line{Health: &report.Health{Camera: "c2", FrameAgeMS: 100}}, s.now)
	}
	if got := told(s.eyes.Look(s.now)); got != "camera/c1:camera_lost:" {
		t.Errorf("after 20 s: %q", got)
	}
	s.eyes.Take(report.Line{Health: &report.Health{Camera: "c1", FrameAgeMS: 100}}, s.now)
	if got := told(s.eyes.Look(s.now)); got != "" {
		t.Errorf("with a frame: %q", got)
	}
}

func TestWhatNewEyesRefuses(t *testing.T) {
	_, err := watch.NewEyes(watch.Settings{},
		[]watch.Camera{{Name: "c1"}, {Name: "c1", Zones: []string{"cellar"}}},
		[]watch.Zone{{Name: "a", Outlets: []int{1}}, {Name: "b", Outlets: []int{1}}})
	for _, want := range []string{"persist: 0s", "lost: 0s", `camera "c1": want at least one zone`, `camera "c1": want a name of its own`, `there is no zone "cellar"`, "outlet 1: is in two zones"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("NewEyes: %v, want %q", err, want)
		}
	}
}
