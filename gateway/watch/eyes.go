package watch

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/alarm"
	"github.com/shedguard/shedguard/gateway/fire"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/health"
	"github.com/shedguard/shedguard/vision/report"
)

// Camera is a camera and what it overlooks.
type Camera struct {
	Name  string
	Zones []string // at least one
}

// Zone is a fire zone.
type Zone struct {
	Name    string
	Outlets []int
}

// Settings are how cameras and zones are judged.
type Settings struct {
	Fire fire.Settings
	Lost time.Duration // without a frame, a camera is lost
	// SightAge is how old an observation may be that still counts: a worker that
	// has died says nothing of what it saw.
	SightAge time.Duration
}

// DefaultSettings are those of the fate table. A camera alone makes an alarm
// nine seconds after the first frame that showed flame or smoke, so that it is
// told within the ten seconds that a fire detector's path may take. A camera is to
// be told as lost within twenty seconds of its last frame, and an alarm that is not
// critical must stand for three seconds (alarms.report_after) before it is told. A worker
// that stands still is killed, and its cameras are watched again, before that.
func DefaultSettings() Settings {
	return Settings{
		Fire:     fire.Settings{Persist: confirm.Persist, Within: time.Minute, Break: confirm.Break, Cut: shedguard.ActionCutZone},
		Lost:     15 * time.Second,
		SightAge: 5 * time.Second,
	}
}

// Level is an alarm condition that stands.
type Level struct {
	Subject string
	Fault   alarm.Fault
	Senses  []shedguard.Cause // of a fire: what agrees on it; empty for one of an earlier run
	Sight   string            // the observation behind it, whose pictures belong to the alarm; may be empty
}

// View is what the eyes make of everything at one moment.
type View struct {
	Levels []Level // all that stands about cameras and zones
	// Outlets is what is to be told to the guard of each outlet of every zone;
	// an outlet of which nothing stands has an empty list.
	Outlets map[int][]protect.Condition
	Siren   bool
	Fires   []string // zones that burn, sorted
}

// Eyes turn what the camera workers say, and what the guard decided about the
// outlets, into grades of fire. Its methods are for one goroutine.
type Eyes struct {
	settings Settings
	cameras  map[string]*camera
	zones    map[string]*zone
	outlets  map[int]*outlet
}

type camera struct {
	Camera
	since  time.Time // of the first look: a camera has as long to show itself
	newest time.Time // when the newest frame came; zero before the first
	health report.Health
	sights map[string]*sight
}

type sight struct {
	report.Observation
	heard time.Time
}

type zone struct {
	Zone
	state   fire.State
	verdict fire.Verdict
	latched bool // an outlet was latched for the fire that stands
}

// word is a decision about an outlet that speaks for fire.
type word struct {
	cause    shedguard.Cause
	standing bool
	at       time.Time // when it was decided
}

type outlet struct {
	words []word // that speak for fire
	burnt bool   // latched for fire
}

// NewEyes returns eyes that have seen nothing yet.
func NewEyes(s Settings, cameras []Camera, zones []Zone) (*Eyes, error) {
	errs := []error{s.Fire.Validate()}
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(s.Lost >= time.Second && s.SightAge >= time.Second, "lost: %v, sight age: %v: want 1s and more", s.Lost, s.SightAge)
	e := &Eyes{settings: s, cameras: make(map[string]*camera), zones: make(map[string]*zone), outlets: make(map[int]*outlet)}
	for _, z := range zones {
		check(z.Name != "" && e.zones[z.Name] == nil, "zone %q: want a name of its own", z.Name)
		e.zones[z.Name] = &zone{Zone: z}
		for _, n := range z.Outlets {
			check(e.outlets[n] == nil, "outlet %d: is in two zones", n)
			e.outlets[n] = &outlet{}
		}
	}
	for _, c := range cameras {
		check(c.Name != "" && e.cameras[c.Name] == nil, "camera %q: want a name of its own", c.Name)
		check(len(c.Zones) > 0, "camera %q: want at least one zone", c.Name)
		for _, z := range c.Zones {
			check(e.zones[z] != nil, "camera %q: there is no zone %q", c.Name, z)
		}
		e.cameras[c.Name] = &camera{Camera: c, sights: make(map[string]*sight)}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("watch: %w", err)
	}
	return e, nil
}

// Take takes what a worker said.
func (e *Eyes) Take(l report.Line, now time.Time) {
	switch {
	case l.Health != nil:
		if c := e.cameras[l.Health.Camera]; c != nil {
			c.health = *l.Health
			// A worker that was started again and has had no frame does not know how
			// old the newest one is: one that dies soon after every start never does.
			if !c.health.Waiting {
				c.newest = now.Add(-time.Duration(c.health.FrameAgeMS) * time.Millisecond)
			}
		}
	case l.Observation != nil:
		o := l.Observation
		c := e.cameras[o.Camera]
		if c == nil {
			return
		}
		if o.State == report.Gone {
			delete(c.sights, o.ID)
			return
		}
		c.sights[o.ID] = &sight{*o, now}
	default:
	}
}

// Outlet takes what the guard decided about an outlet, all of it.
func (e *Eyes) Outlet(number int, decisions []protect.Decision) {
	o := e.outlets[number]
	if o == nil {
		return
	}
	o.words, o.burnt = o.words[:0], false
	for i := range decisions {
		d := &decisions[i]
		if d.Cause == shedguard.CauseFire {
			o.burnt = o.burnt || d.Latched
			continue
		}
		if _, ok := fire.SenseOf(d.Cause); ok {
			o.words = append(o.words, word{d.Cause, d.Standing, d.At})
		}
	}
}

// Look says what stands now. A zone with an outlet that is latched for fire, be it
// by an earlier run of the gateway, burns until its outlets are reset.
func (e *Eyes) Look(now time.Time) View {
	v := View{Outlets: make(map[int][]protect.Condition, len(e.outlets))}
	for _, name := range slices.Sorted(maps.Keys(e.cameras)) {
		e.lookAfter(e.cameras[name], &v, now)
	}
	for n := range e.outlets {
		v.Outlets[n] = nil
	}
	for _, name := range slices.Sorted(maps.Keys(e.zones)) {
		e.judge(e.zones[name], &v, now)
	}
	for _, name := range slices.Sorted(maps.Keys(e.cameras)) {
		e.grade(e.cameras[name], &v)
	}
	return v
}

// lookAfter finds cameras that are lost or blind, and forgets sights that nobody
// has confirmed for too long.
func (e *Eyes) lookAfter(c *camera, v *View, now time.Time) {
	if c.since.IsZero() {
		c.since = now
	}
	maps.DeleteFunc(c.sights, func(_ string, s *sight) bool { return now.Sub(s.heard) > e.settings.SightAge })
	subject := cameraSubject(c.Name)
	newest := c.newest
	if newest.IsZero() {
		newest = c.since
	}
	switch age := now.Sub(newest); {
	case age > e.settings.Lost:
		v.Levels = append(v.Levels, Level{Subject: subject, Fault: alarm.Fault{
			Cause: shedguard.CauseCameraLost, Severity: shedguard.SeverityMajor, Since: newest,
			Value: age.Seconds(), Limit: e.settings.Lost.Seconds(), Unit: "s",
		}})
	case c.health.Fault != "" && !c.obscured():
		v.Levels = append(v.Levels, Level{Subject: subject, Fault: alarm.Fault{
			Cause: shedguard.CauseCameraBlind, Severity: shedguard.SeverityMajor, Detail: blind(c.health.Fault),
		}})
	}
}

// obscured reports that what veils the picture is most likely the smoke or the
// flames that the camera sees: that is told, and when nothing of it is seen any
// more, that the camera is blind. A frozen picture shows no fire.
func (c *camera) obscured() bool {
	if health.Fault(c.health.Fault) == health.Frozen {
		return false
	}
	for _, s := range c.sights {
		if !s.Shadow {
			return true
		}
	}
	return false
}

// judge grades one zone, and says what that means for its outlets.
func (e *Eyes) judge(z *zone, v *View, now time.Time) {
	signs, burnt, standing := e.signs(z, now)
	z.verdict = e.settings.Fire.Next(&z.state, signs, now)
	z.latched = burnt || z.latched && z.state.Fire()
	switch {
	case z.state.Fire() && !standing && !burnt && (z.latched || len(z.Outlets) == 0):
		// A person has reset every outlet, and nothing speaks for fire any more.
		z.state.Reset()
		z.latched = false
		z.verdict = e.settings.Fire.Next(&z.state, signs, now)
	case burnt && !z.state.Fire(): // cut by an earlier run of the gateway
		z.verdict = fire.Verdict{Grade: shedguard.GradeFire, Severity: shedguard.SeverityCritical, Action: e.settings.Fire.Cut, Since: now}
	}
	f := &z.verdict
	if f.Grade != shedguard.GradeFire {
		v.Siren = v.Siren || f.Siren && standing
		return
	}
	v.Fires = append(v.Fires, z.Name)
	v.Siren = true
	var senses []shedguard.Cause
	for _, s := range f.List() {
		senses = append(senses, s.Cause)
	}
	v.Levels = append(v.Levels, Level{Subject: "zone/" + z.Name, Senses: senses, Sight: e.sighted(z), Fault: alarm.Fault{
		Cause: shedguard.CauseFire, Severity: f.Severity, Grade: f.Grade, Action: f.Action, Since: f.Since, Latched: true,
	}})
	if !z.state.Fire() || burnt && !standing { // latched, and over: a person may reset it
		return
	}
	c := protect.Condition{Cause: shedguard.CauseFire, Severity: f.Severity, Action: f.Action, Since: f.Since, Latch: true}
	for _, n := range e.cut(z, signs) {
		v.Outlets[n] = append(v.Outlets[n], c)
	}
}

// cut is the outlets that a fire in the zone cuts.
func (e *Eyes) cut(z *zone, signs []fire.Sign) []int {
	switch z.verdict.Action {
	case shedguard.ActionCutShed:
		return slices.Sorted(maps.Keys(e.outlets))
	case shedguard.ActionTripped:
		var only []int
		for _, s := range append(signs, z.verdict.List()...) {
			if n, ok := shedguard.SubjectOutlet(s.Subject); ok && !slices.Contains(only, n) {
				only = append(only, n)
			}
		}
		if len(only) > 0 {
			return only
		}
	default:
	}
	return z.Outlets
}

// signs is all that speaks for fire in a zone, whether an outlet of it is latched
// for fire, and whether something speaks now.
func (e *Eyes) signs(z *zone, now time.Time) (signs []fire.Sign, burnt, standing bool) {
	for _, name := range slices.Sorted(maps.Keys(e.cameras)) {
		c := e.cameras[name]
		if !slices.Contains(c.Zones, z.Name) {
			continue
		}
		for _, s := range c.sorted() {
			signs = append(signs, fire.Sign{Subject: cameraSubject(name), Cause: seen(s.Class), Since: s.Since, Shadow: s.Shadow})
			standing = standing || !s.Shadow
		}
	}
	for _, n := range z.Outlets {
		o := e.outlets[n]
		burnt = burnt || o.burnt
		for _, w := range o.words {
			// A trip takes its own cause away at once: it speaks for a moment
			// more. A latch alone says what was, not what is.
			if w.standing || now.Sub(w.at) <= e.settings.SightAge {
				signs = append(signs, fire.Sign{Subject: shedguard.OutletSubject(n), Cause: w.cause})
				standing = true
			}
		}
	}
	return signs, burnt, standing
}

// sighted is the observation whose pictures show the zone, if there is one.
func (e *Eyes) sighted(z *zone) string {
	for _, c := range e.cameras {
		if slices.Contains(c.Zones, z.Name) {
			for _, s := range c.sorted() {
				return s.ID
			}
		}
	}
	return ""
}

// grade says what each camera sees, with the best grade of its zones. A fire has
// an alarm of its own: the camera's says that it saw it.
func (e *Eyes) grade(c *camera, v *View) {
	told := make(map[vision.Class]bool)
	for _, s := range c.sorted() {
		if told[s.Class] {
			continue
		}
		told[s.Class] = true
		f := alarm.Fault{
			Cause: seen(s.Class), Severity: shedguard.SeverityWarning, Grade: shedguard.GradeNotice, Action: shedguard.ActionNone,
			Value: math.Round(s.Score*20) * 5, Unit: "%", Since: s.Since, // steps of 5 %: each one is an update
		}
		if !s.Shadow {
			f.Severity, f.Grade = shedguard.SeverityMajor, shedguard.GradePreAlarm
			for _, name := range c.Zones {
				zv := &e.zones[name].verdict
				if zv.Grade == shedguard.GradeAlarm || zv.Grade == shedguard.GradeFire {
					f.Severity, f.Grade = shedguard.SeverityCritical, shedguard.GradeAlarm
					switch {
					case zv.Grade == shedguard.GradeFire:
						f.Action = zv.Action // the siren goes without saying
					case zv.Siren && f.Action == shedguard.ActionNone:
						f.Action = shedguard.ActionSiren
					}
				}
			}
		}
		v.Levels = append(v.Levels, Level{Subject: cameraSubject(c.Name), Fault: f, Sight: s.ID})
	}
}

// sorted is the camera's sights, the surest first.
func (c *camera) sorted() []*sight {
	return slices.SortedFunc(maps.Values(c.sights), func(a, b *sight) int {
		if a.Shadow != b.Shadow {
			if b.Shadow {
				return -1
			}
			return 1
		}
		if d := a.Since.Compare(b.Since); d != 0 {
			return d
		}
		return slices.Compare([]byte(a.ID), []byte(b.ID))
	})
}

func seen(c vision.Class) shedguard.Cause {
	if c == vision.Flame {
		return shedguard.CauseFlameSeen
	}
	return shedguard.CauseSmokeSeen
}

// blind is what an alarm says of a fault of vision/health.
func blind(fault string) shedguard.Detail {
	switch health.Fault(fault) {
	case health.Frozen:
		return shedguard.DetailPictureFrozen
	case health.Black:
		return shedguard.DetailPictureBlack
	case health.Overexposed:
		return shedguard.DetailPictureOverexposed
	case health.Covered:
		return shedguard.DetailPictureCovered
	case health.Defocused:
		return shedguard.DetailPictureDefocused
	case health.Moved:
		return shedguard.DetailPictureMoved
	default: // of a newer worker
		return shedguard.DetailNone
	}
}

func cameraSubject(name string) string { return "camera/" + name }
