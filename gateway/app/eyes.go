package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/alarm"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/spool"
	"github.com/shedguard/shedguard/gateway/status"
	"github.com/shedguard/shedguard/gateway/watch"
	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/report"
)

const (
	lookEvery = 500 * time.Millisecond
	// afresh is how long alarms of an earlier run stay open until the cameras
	// have shown whether they still stand.
	afresh = 20 * time.Second
	// fireSource is who imposes conditions on outlets of a zone that burns.
	fireSource = "fire"

	camerasFile  = "cameras.yaml"
	visionDir    = "vision"
	evidenceDir  = "evidence"
	spoolDir     = "pictures"
	maxPictures  = 100 // of one alarm
	spoolBytes   = 64 << 20
	askedFor     = time.Minute // how long a picture that was asked for is waited for
	maxUnmatched = 64          // pictures whose alarm is not open yet
)

// eyes ties the cameras to the rest: what is seen becomes alarms, conditions of
// outlets, the siren, the suppression, and pictures on their way.
type eyes struct {
	app     *App
	watch   *watch.Eyes
	worker  *watch.Worker // nil where there are no cameras
	spool   *spool.Spool
	lines   chan report.Line
	missed  atomic.Int64 // lines that found no room
	burning atomic.Bool  // the siren tells of fire

	mu      sync.Mutex // guards the rest
	decided map[int][]protect.Decision
	health  map[string]report.Health
	peaks   map[string]vision.Scores // highest since they were last sent
	asked   map[string]time.Time     // ids of commands whose picture is waited for

	// Of the goroutine of run.
	open      map[string]bool // subject and cause of what it raised
	imposed   map[int]bool
	armed     map[string]bool // alarm ids
	pictures  map[string]int  // of each alarm
	unmatched []report.Evidence
	started   time.Time
}

// newEyes returns nil where there are neither zones nor cameras.
func (a *App) newEyes() (*eyes, error) {
	zones, cameras := a.cfg.Zones(), a.cfg.Overlooked()
	if len(zones) == 0 {
		return nil, nil
	}
	settings := watch.DefaultSettings()
	settings.Fire = a.cfg.FireSettings()
	w, err := watch.NewEyes(settings, cameras, zones)
	if err != nil {
		return nil, err
	}
	e := &eyes{
		app: a, watch: w, lines: make(chan report.Line, 256), decided: make(map[int][]protect.Decision),
		health: make(map[string]report.Health), peaks: make(map[string]vision.Scores), asked: make(map[string]time.Time),
		open: make(map[string]bool), imposed: make(map[int]bool), armed: make(map[string]bool), pictures: make(map[string]int),
	}
	if len(cameras) == 0 {
		return e, nil
	}
	dir := func(name string) string { return filepath.Join(a.cfg.State.Dir, name) }
	if e.spool, err = spool.Open(dir(spoolDir), spoolBytes); err != nil {
		a.log.Error("pictures cannot be sent", "part", "eyes", "err", err)
	}
	limits := watch.DefaultLimits()
	limits.Memory = int64(a.cfg.Vision.MemoryMB) << 20
	e.worker = &watch.Worker{
		Name: "cameras", Command: []string{a.cfg.Vision.Program, "run", "--config", dir(camerasFile), "--log-format", "json"},
		Limits: limits, Line: e.take, Restarted: e.restarted, Log: a.part("cameras"),
	}
	return e, nil
}

// configure writes the worker's configuration. It holds passwords.
func (e *eyes) configure() error {
	dir := e.app.cfg.State.Dir
	cfg, err := e.app.cfg.Worker(filepath.Join(dir, visionDir), filepath.Join(dir, evidenceDir), func(path string) (string, error) {
		b, err := os.ReadFile(path)
		return strings.TrimSpace(string(b)), err
	})
	if err != nil {
		return err
	}
	b, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, camerasFile)
	if err := os.WriteFile(path+".part", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// runWorker keeps the camera worker.
func (e *eyes) runWorker(ctx context.Context) error {
	if err := e.configure(); err != nil {
		return fmt.Errorf("configuration of the camera worker: %w", err)
	}
	return e.worker.Run(ctx)
}

// take is called with what the worker says.
func (e *eyes) take(l report.Line) {
	if h := l.Health; h != nil {
		e.mu.Lock()
		e.health[h.Camera] = *h
		p := e.peaks[h.Camera]
		p.Flame, p.Smoke = max(p.Flame, h.Flame), max(p.Smoke, h.Smoke)
		e.peaks[h.Camera] = p
		e.mu.Unlock()
	}
	select {
	case e.lines <- l:
	default: // it says what stands again and again
		e.missed.Add(1)
	}
}

func (e *eyes) restarted(why error, starts int) {
	data := &shedguard.WorkerRestarted{Worker: e.worker.Name, Reason: why.Error(), Starts: starts}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := e.app.alarms.Emit(ctx, shedguard.EventWorkerRestarted, shedSubject, time.Now(), data); err != nil {
		e.app.log.Error("restart of the camera worker not recorded", "part", "eyes", "err", err)
	}
}

// outlet takes what the guard decided about an outlet.
func (e *eyes) outlet(n int, decisions []protect.Decision) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.decided[n] = decisions
}

// run looks at everything twice a second.
func (e *eyes) run(ctx context.Context) error {
	e.started = time.Now()
	for _, o := range e.app.alarms.Open() {
		if strings.HasPrefix(o.Subject, "camera/") || strings.HasPrefix(o.Subject, "zone/") && o.Alarm.Cause == shedguard.CauseFire {
			e.open[o.Subject+" "+string(o.Alarm.Cause)] = true
		}
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case l := <-e.lines:
			now := time.Now()
			e.watch.Take(l, now)
			if l.Evidence != nil {
				e.keep(l.Evidence)
			}
			if l.Observation != nil { // at once
				e.look(ctx, now)
			}
		case now := <-tick.C:
			e.look(ctx, now)
		}
	}
}

// look makes of what stands what has to be done.
func (e *eyes) look(ctx context.Context, now time.Time) {
	e.mu.Lock()
	known := len(e.decided)
	for n, d := range e.decided {
		e.watch.Outlet(n, d)
	}
	e.mu.Unlock()
	v := e.watch.Look(now)

	// Power first.
	for n, conditions := range v.Outlets {
		if burns := len(conditions) > 0; burns || e.imposed[n] {
			e.app.guard.Impose(fireSource, []int{n}, conditions)
			e.imposed[n] = burns
		}
	}
	if was := e.burning.Swap(v.Siren); v.Siren && !was {
		e.app.guard.Signal(actuate.SignalFire)
	}

	stands := make(map[string]bool, len(v.Levels))
	for i := range v.Levels {
		l := &v.Levels[i]
		stands[l.Subject+" "+string(l.Fault.Cause)] = true
		if err := e.app.alarms.Raise(ctx, l.Subject, l.Fault, now); err != nil {
			e.app.log.Error("alarm not recorded", "part", "eyes", "subject", l.Subject, "cause", l.Fault.Cause, "err", err)
		}
	}
	// What an earlier run raised is not over because nobody has looked yet.
	fresh := now.Sub(e.started) < afresh || known < len(v.Outlets)
	for key := range e.open {
		if stands[key] || fresh {
			continue
		}
		subject, cause, _ := strings.Cut(key, " ")
		if err := e.app.alarms.Clear(ctx, subject, shedguard.Cause(cause), "", now); err != nil {
			e.app.log.Error("alarm not cleared", "part", "eyes", "subject", subject, "cause", cause, "err", err)
			continue
		}
		delete(e.open, key)
	}
	maps.Copy(e.open, stands)

	if len(v.Levels) > 0 {
		opened := e.app.alarms.Open()
		e.suppress(ctx, &v, opened)
		e.attach(ctx, &v, opened, now)
	}
	e.forget(now)
}

// idOf is the open alarm of a level.
func idOf(l *watch.Level, opened []alarm.Entry) string {
	for i := range opened {
		if opened[i].Subject == l.Subject && opened[i].Alarm.Cause == l.Fault.Cause {
			return opened[i].Alarm.ID
		}
	}
	return ""
}

// suppress arms the suppression output for a new fire.
func (e *eyes) suppress(ctx context.Context, v *watch.View, opened []alarm.Entry) {
	if e.app.suppressor == nil {
		return
	}
	for i := range v.Levels {
		l := &v.Levels[i]
		id := idOf(l, opened)
		if l.Fault.Grade != shedguard.GradeFire || len(l.Senses) == 0 || id == "" || e.armed[id] {
			continue
		}
		e.armed[id] = true
		_, zone, _ := strings.Cut(l.Subject, "/")
		err := e.app.suppressor.Arm(ctx, &actuate.Fire{Grade: l.Fault.Grade, Zone: zone, AlarmID: id, Senses: l.Senses})
		if err != nil {
			e.app.log.Error("suppression not armed", "part", "eyes", "zone", zone, "alarm_id", id, "err", err)
		}
	}
}

// keep takes a picture that the worker wrote: one that somebody asked for goes out
// at once, others wait for their alarm. Clips stay on the box.
func (e *eyes) keep(ev *report.Evidence) {
	if ev.Kind != report.Snapshot {
		e.app.log.Info("clip kept", "part", "eyes", "camera", ev.Camera, "path", ev.Path, "bytes", ev.Bytes)
		return
	}
	e.mu.Lock()
	_, asked := e.asked[ev.Observation]
	delete(e.asked, ev.Observation)
	e.mu.Unlock()
	if asked {
		e.send(ev, ev.Observation, 0)
		return
	}
	if len(e.unmatched) == maxUnmatched {
		e.unmatched = e.unmatched[1:]
	}
	e.unmatched = append(e.unmatched, *ev)
}

// attach sends the pictures of what is seen with the alarms that it led to.
func (e *eyes) attach(ctx context.Context, v *watch.View, opened []alarm.Entry, now time.Time) {
	e.unmatched = slices.DeleteFunc(e.unmatched, func(ev report.Evidence) bool {
		matched := false
		for i := range v.Levels {
			l := &v.Levels[i]
			id := idOf(l, opened)
			if l.Sight != ev.Observation || id == "" || e.pictures[id] >= maxPictures {
				continue
			}
			n := e.pictures[id]
			if !e.send(&ev, id, n) {
				continue
			}
			matched = true
			e.pictures[id] = n + 1
			if err := e.app.alarms.Attach(ctx, id, fmt.Sprintf("%s/%d", id, n), now); err != nil {
				e.app.log.Error("picture not noted with its alarm", "part", "eyes", "alarm_id", id, "err", err)
			}
		}
		return matched
	})
}

// send puts a picture on its way.
func (e *eyes) send(ev *report.Evidence, id string, n int) bool {
	if e.spool == nil {
		return false
	}
	b, err := os.ReadFile(ev.Path)
	if err == nil {
		err = e.spool.Put(id, n, b)
	}
	if err != nil {
		e.app.log.Error("picture not sent", "part", "eyes", "camera", ev.Camera, "err", err)
		return false
	}
	return true
}

// forget drops pictures whose alarm never came, and requests that were not
// answered.
func (e *eyes) forget(now time.Time) {
	e.unmatched = slices.DeleteFunc(e.unmatched, func(ev report.Evidence) bool { return now.Sub(ev.At) > time.Minute })
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.DeleteFunc(e.asked, func(_ string, at time.Time) bool { return now.Sub(at) > askedFor })
}

// snapshot carries out the command of that name.
func (e *eyes) snapshot(c *shedguard.Command) (any, error) {
	var args shedguard.SnapshotArgs
	if err := shedguard.DecodeArgs(c.Args, &args); err != nil {
		return nil, shedguard.Refuse(shedguard.CodeBadArgs, "%v", err)
	}
	if e == nil || e.worker == nil {
		return nil, shedguard.Refuse(shedguard.CodeNotPermitted, "this gateway has no cameras")
	}
	names := make([]string, 0, len(e.app.cfg.Cameras))
	for i := range e.app.cfg.Cameras {
		names = append(names, e.app.cfg.Cameras[i].Name)
	}
	if !slices.Contains(names, args.Camera) {
		return nil, shedguard.Refuse(shedguard.CodeBadArgs, "camera: %q: want one of %v", args.Camera, names)
	}
	line, err := json.Marshal(map[string]any{"snapshot": map[string]string{"camera": args.Camera, "id": c.ID}})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.asked[c.ID] = time.Now()
	e.mu.Unlock()
	if err := e.worker.Ask(line); err != nil {
		if errors.Is(err, watch.ErrNoWorker) {
			return nil, shedguard.Refuse(shedguard.CodeBusy, "%v: it is being started; try again in a minute", err)
		}
		return nil, err
	}
	return map[string]string{"evidence_id": c.ID, "camera": args.Camera}, nil
}

// metrics are those of the eyes; none where there are no cameras.
func (e *eyes) metrics() []status.Metric {
	if e == nil || e.worker == nil {
		return nil
	}
	return []status.Metric{{
		Name: "camera_lines_missed_total", Counter: true, Value: func() float64 { return float64(e.missed.Load()) },
		Help: "Lines of the camera worker that were lost while their queue was full.",
	}}
}

// points is the telemetry of the cameras.
func (e *eyes) points() []shedguard.Point {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []shedguard.Point
	for _, name := range slices.Sorted(maps.Keys(e.health)) {
		h, p := e.health[name], e.peaks[name]
		all = append(all, shedguard.Point{
			Measurement: shedguard.MeasurementCamera, Tags: []shedguard.Tag{{Key: "camera", Value: name}},
			Fields: []shedguard.Field{
				{Key: "fps", Value: h.FPS},
				{Key: "flame", Value: p.Flame},
				{Key: "smoke", Value: p.Smoke},
				{Key: "frame_age_seconds", Value: float64(h.FrameAgeMS) / 1000},
				{Key: "judge_seconds", Value: h.JudgeMS / 1000},
				{Key: "shadow", Value: number(h.Shadow), Int: true},
				{Key: "blind", Value: number(h.Fault != ""), Int: true},
			},
		})
	}
	clear(e.peaks)
	return all
}
