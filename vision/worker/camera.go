package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/capture"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/evidence"
	"github.com/shedguard/shedguard/vision/health"
	"github.com/shedguard/shedguard/vision/report"
)

// maxWait is the longest pause before a camera is opened again. With an attempt that
// was just begun and hangs, and ten seconds until an alarm clears, a camera that is back
// is no longer told as lost after 30 s.
const maxWait = 5 * time.Second

// refusedWait is the pause after a camera refused the password: tried every few
// seconds, many a camera locks its account.
const refusedWait = 2 * time.Minute

// camera is one camera and what is known of it.
type camera struct {
	Camera
	every   time.Duration
	judge   *Judge
	check   *health.Check
	path    string // of the background
	arrived chan struct{}

	mu      sync.Mutex // guards what capture and judge share
	newest  Picture
	at      time.Time // of newest
	seen    time.Time // of the last frame that came; of the start before
	trouble string    // why none comes
	calling time.Time // since when a call of the source runs; zero: none
	spoilt  int       // damaged pictures in a row
	flaw    error     // of the last of them

	// Of the goroutine that judges.
	next      time.Time // due
	looked    time.Time // when it last had its turn
	grey      [health.Size]uint8
	fault     health.Fault
	wasMoved  bool
	ring      *evidence.Ring
	incidents map[uint64]*incident
	stat      stat
}

// stat is what a health line says.
type stat struct {
	since        time.Time
	frames, cost int
	spent        time.Duration
	peak         vision.Scores
	fps, judgeMS float64
	looked       int64 // frames since the start
	judged       int64 // of them, by the model
}

// incident is a sight and the evidence about it.
type incident struct {
	id    string
	since time.Time
	told  time.Time
	shots int
	clip  *recording
	begun time.Time
	last  confirm.Sight
	seen  bool // in this frame
	gone  bool // it was said; its clip may go on
}

func (w *Worker) newCamera(cfg *Camera) (*camera, error) {
	cols, rows := w.opts.Grid()
	judge, err := NewJudge(w.opts.Detector, &w.opts.Settings, cfg.Learn, confirm.Regions{Include: cfg.Include, Exclude: cfg.Exclude}, cols, rows)
	if err != nil {
		return nil, err
	}
	check, err := health.New(w.opts.Settings.Health)
	if err != nil {
		return nil, err
	}
	now := w.opts.Now()
	c := &camera{
		Camera: *cfg, every: time.Duration(float64(time.Second) / cfg.FPS), judge: judge, check: check,
		path: filepath.Join(w.opts.Config.StateDir, cfg.Name+".background"), seen: now, next: now,
		ring:      evidence.NewRing(w.opts.Settings.Before, 24<<20),
		incidents: make(map[uint64]*incident), stat: stat{since: now},
	}
	if len(w.cameras) > 0 {
		c.arrived = w.cameras[0].arrived
	} else {
		c.arrived = make(chan struct{}, 1)
	}
	kept, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil {
		err = judge.Watch.Restore(kept)
	}
	if err != nil {
		aside := c.path + ".corrupt-" + now.UTC().Format("20060102T150405")
		w.opts.Log.Warn("background set aside, the camera learns anew", "camera", c.Name, "err", err, "aside", aside)
		if err := os.Rename(c.path, aside); err != nil {
			w.opts.Log.Warn("background cannot be set aside", "camera", c.Name, "err", err)
		}
	}
	return c, nil
}

// capture keeps the newest frame of a camera until ctx ends.
func (w *Worker) capture(ctx context.Context, c *camera) {
	wait := time.Second
	for ctx.Err() == nil {
		got, err := w.stream(ctx, c)
		if ctx.Err() != nil {
			break
		}
		if got {
			wait = time.Second
		}
		if errors.Is(err, capture.ErrRefused) {
			wait = refusedWait
		}
		if c.fail(err) {
			w.opts.Log.Warn("camera gives no frames", "camera", c.Name, "url", Redact(c.URL), "err", err, "retry_in", wait)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, maxWait)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newest != nil {
		_ = c.newest.Close()
		c.newest = nil
	}
}

// stream opens a camera and takes its frames until it fails.
func (w *Worker) stream(ctx context.Context, c *camera) (got bool, err error) {
	c.enter()
	src, err := w.opts.Open(ctx, c.URL)
	c.leave()
	if err != nil {
		return false, err
	}
	defer func() {
		c.enter()
		err = errors.Join(err, src.Close())
		c.leave()
	}()
	before, _ := c.damaged()
	for ctx.Err() == nil {
		c.enter()
		p, err := src.Next(ctx)
		c.leave()
		if err != nil {
			return got, err
		}
		if c.put(p, w.opts.Now()) {
			w.opts.Log.Info("camera gives frames", "camera", c.Name, "url", Redact(c.URL))
		}
		n, flaw := c.damaged()
		before = min(before, n)
		if n-before > mostDamaged {
			return got, fmt.Errorf("camera: nothing but %w", flaw)
		}
		got = got || n == 0
	}
	return got, nil
}

// mostDamaged is after how many damaged pictures in a row a source is opened again.
const mostDamaged = 25

// damaged is how many pictures in a row were, and what the last of them had.
func (c *camera) damaged() (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spoilt, c.flaw
}

// sound notes the flaw of a picture, or that it had none: a camera that gives only
// damaged ones gives no frames.
func (c *camera) sound(flaw error, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flaw = flaw
	switch {
	case flaw != nil:
		c.spoilt++
	case c.spoilt > 0:
		c.spoilt, c.seen, c.trouble = 0, at, ""
	}
}

// enter and leave mark a call that may never return.
func (c *camera) enter() {
	c.mu.Lock()
	c.calling = time.Now()
	c.mu.Unlock()
}

func (c *camera) leave() {
	c.mu.Lock()
	c.calling = time.Time{}
	c.mu.Unlock()
}

func (c *camera) inCall() (since time.Time, busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calling, !c.calling.IsZero()
}

// put makes p the newest frame. It reports whether frames come again.
func (c *camera) put(p Picture, at time.Time) (again bool) {
	c.mu.Lock()
	if c.newest != nil {
		_ = c.newest.Close()
	}
	c.newest, c.at = p, at
	if c.spoilt == 0 {
		again = c.trouble != ""
		c.seen, c.trouble = at, ""
	}
	c.mu.Unlock()
	select {
	case c.arrived <- struct{}{}:
	default:
	}
	return again
}

// fail notes why there are no frames, and reports whether that is news.
func (c *camera) fail(err error) bool {
	text := "the stream ended"
	if err != nil {
		text = err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	news := text != c.trouble
	c.trouble = text
	return news
}

// due is when the camera's next frame is to be judged, if it has one.
func (c *camera) due() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next, c.newest != nil
}

// take takes the newest frame away.
func (c *camera) take() (Picture, time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.newest
	c.newest = nil
	return p, c.at
}

// look judges the newest frame of a camera.
func (w *Worker) look(c *camera, now time.Time) error {
	p, at := c.take()
	c.looked = now
	c.next = c.next.Add(c.every)
	if c.next.Before(now) { // not on the old grid when late
		c.next = now.Add(c.every)
	}
	if p == nil {
		return nil
	}
	err := errors.Join(w.see(c, p, at), p.Close())
	if errors.Is(err, ErrDamaged) {
		c.sound(err, at)
		return nil
	}
	c.sound(nil, at)
	return err
}

// see looks at a picture.
func (w *Worker) see(c *camera, p Picture, at time.Time) (err error) {
	if err := p.Grey(c.grey[:], health.Width, health.Height); err != nil {
		return fmt.Errorf("camera %s: %w", c.Name, err)
	}
	if c.fault, err = c.check.Next(c.grey[:], at); err != nil {
		return fmt.Errorf("camera %s: %w", c.Name, err)
	}
	if moved := c.fault == health.Moved; moved != c.wasMoved {
		if c.wasMoved = moved; moved {
			w.opts.Log.Warn("camera was moved, it learns anew", "camera", c.Name)
			c.judge.Watch.Forget()
		}
	}
	c.stat.frames++
	c.stat.looked++
	began := time.Now()
	v, err := c.judge.Next(p, &c.grey, at)
	if err != nil {
		return fmt.Errorf("camera %s: %w", c.Name, err)
	}
	if v.Judged {
		c.stat.cost++
		c.stat.judged++
		c.stat.spent += time.Since(began)
		c.stat.peak.Flame, c.stat.peak.Smoke = max(c.stat.peak.Flame, v.Scores.Flame), max(c.stat.peak.Smoke, v.Scores.Smoke)
	}
	return w.tell(c, p, v.Sights, at)
}

// say writes the camera's health.
func (w *Worker) say(c *camera, now time.Time) error {
	s := &c.stat
	if d := now.Sub(s.since); d >= 5*time.Second { // rates of the last seconds
		s.fps = float64(s.frames) / d.Seconds()
		s.judgeMS = 0
		if s.cost > 0 {
			s.judgeMS = s.spent.Seconds() * 1000 / float64(s.cost)
		}
		s.since, s.frames, s.cost, s.spent = now, 0, 0, 0
	}
	c.mu.Lock()
	age, trouble, waiting := now.Sub(c.seen), c.trouble, c.at.IsZero()
	c.mu.Unlock()
	h := &report.Health{
		Camera: c.Name, FrameAgeMS: max(age.Milliseconds(), 0), Waiting: waiting, FPS: s.fps, Fault: string(c.fault), Error: trouble,
		Flame: s.peak.Flame, Smoke: s.peak.Smoke, JudgeMS: s.judgeMS, Shadow: c.judge.Watch.Shadow(), LearnedS: int64(c.judge.Watch.Learned().Seconds()),
		Frames: s.looked, Judged: s.judged,
	}
	if p, ok := c.judge.Watch.Proposal(); ok {
		h.Proposal = &p
	}
	s.peak = vision.Scores{}
	return w.out.Write(report.Line{Health: h})
}
