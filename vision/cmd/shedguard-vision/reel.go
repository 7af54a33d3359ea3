package main

import (
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"runtime"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/health"
	"github.com/shedguard/shedguard/vision/opencv"
	"github.com/shedguard/shedguard/vision/scene"
	"github.com/shedguard/shedguard/vision/worker"
)

const (
	reelFPS = 5
	// The closer look shows a quarter of it: more pixels would cost time to draw and
	// be made fewer again.
	reelWidth, reelHeight = 640, 360
	// shedTime is how long a shed of the negative reel is watched at most before
	// another one is drawn.
	shedTime = 40 * time.Minute
	// A camera looks on for a lookOn-th of the counted time before it. A site
	// looks on for days, and through every hour of them.
	lookOn = 2
	// calm is how long each positive clip is quiet before it burns.
	calm = 30 * time.Second
	// burn is how long it burns.
	burn = 30 * time.Second
	// inPicture is how much of the picture's height a flame must have to be in it: a
	// cell of the model's grid, 22 pixels of 720. The fires begin smaller.
	inPicture = 1.0 / 32
	// wantPreAlarm and wantAlarm are within what flame that is in the picture must be told.
	wantPreAlarm = 3 * time.Second
	wantAlarm    = 10 * time.Second
	// mayPreAlarm is how many pre-alarms two hours of nothing may have.
	mayPreAlarm = 1
)

// clipLine is what confirmation over time makes of one rendered clip or video.
type clipLine struct {
	Kind      string        `json:"kind"` // clip
	Name      string        `json:"name"`
	Burns     bool          `json:"burns"`
	Seconds   vision.Number `json:"seconds"`     // counted
	LookedOnS vision.Number `json:"looked_on_s"` // before them
	Frames    int           `json:"frames"`
	Judged    int           `json:"judged"` // by the model; the others showed nothing new
	PreAlarms int           `json:"pre_alarms"`
	Alarms    int           `json:"alarms"`
	// Of a rendered clip that burns: of the first smoke or flame that is drawn, of the
	// first flame, of the first one that is inPicture, and of the first frame whose score
	// counts. Null: never.
	BurnsS         vision.Number `json:"burns_s"`
	DrawnS         vision.Number `json:"flame_drawn_s"`
	InPictureS     vision.Number `json:"flame_in_picture_s"`
	SeenS          vision.Number `json:"flame_seen_s"`
	FirstPreAlarmS vision.Number `json:"first_pre_alarm_s"` // on the clip's clock
	FirstAlarmS    vision.Number `json:"first_alarm_s"`
	FlamePreAlarmS vision.Number `json:"flame_to_pre_alarm_s"` // after it was in the picture; negative where it, or smoke, was told of before
	FlameAlarmS    vision.Number `json:"flame_to_alarm_s"`
	Told           []toldLine    `json:"told"` // each sight that was confirmed
}

// toldLine is a sight that was confirmed.
type toldLine struct {
	Class  vision.Class  `json:"class"`
	AtS    vision.Number `json:"at_s"`
	SinceS vision.Number `json:"since_s"`
	Score  vision.Number `json:"score"`
	Box    vision.Rect   `json:"box"`
}

// reelLine sums up all rendered clips.
type reelLine struct {
	Hours         vision.Number `json:"quiet_hours"`
	PreAlarms     int           `json:"pre_alarms"`
	Alarms        int           `json:"alarms"`
	Burning       int           `json:"burning"` // clips
	InTime        int           `json:"in_time"` // of them
	WorstPreAlarm vision.Number `json:"worst_flame_to_pre_alarm_s"`
	WorstAlarm    vision.Number `json:"worst_flame_to_alarm_s"`
	MSFrame       vision.Number `json:"ms_frame"` // drawing, judging, confirming; as many clips at once as there are processors
}

// theatre shows frames to the same gate and the same confirmation as a camera's
// frames pass, on a clock of its own, and grades by time as the gateway does.
type theatre struct {
	settings worker.Settings
	judge    *worker.Judge
	grey     [health.Size]uint8
	start    time.Time
	line     clipLine
	told     map[uint64]bool
	from, to time.Time // of the stretch in which something is seen
	alarmed  bool      // of this stretch
	began    time.Duration
}

func newTheatre(d *opencv.Detector, m vision.Settings, name string, learn time.Duration) (*theatre, error) {
	s := worker.DefaultSettings(confirm.Shipped(m))
	cols, rows := m.Grid()
	j, err := worker.NewJudge(judge{d}, &s, learn, confirm.Regions{}, cols, rows)
	if err != nil {
		return nil, err
	}
	never := vision.Number(math.NaN())
	return &theatre{
		settings: s, judge: j, start: time.Date(2026, 1, 1, 20, 0, 0, 0, time.UTC), told: make(map[uint64]bool), began: learn,
		line: clipLine{
			Kind: "clip", Name: name, BurnsS: never, DrawnS: never, InPictureS: never, SeenS: never, FirstPreAlarmS: never, FirstAlarmS: never,
			FlamePreAlarmS: never, FlameAlarmS: never, LookedOnS: seconds(learn), Told: []toldLine{},
		},
	}, nil
}

func seconds(d time.Duration) vision.Number { return vision.Number(d.Seconds()) }

// show takes the frame of the instant t.
func (h *theatre) show(img *opencv.Image, t time.Duration) error {
	if err := img.Grey(h.grey[:], health.Width, health.Height); err != nil {
		return err
	}
	at := h.start.Add(t)
	if t >= h.began {
		h.line.Frames++
		h.line.Seconds = seconds(t - h.began)
	}
	v, err := h.judge.Next(frame{img}, &h.grey, at)
	if err != nil {
		return err
	}
	if v.Judged && t >= h.began {
		h.line.Judged++
	}
	if !math.IsNaN(float64(h.line.DrawnS)) && math.IsNaN(float64(h.line.SeenS)) && v.Scores.Flame >= h.settings.Confirm.Picture.Flame {
		h.line.SeenS = seconds(t)
	}
	h.grade(v.Sights, t)
	return nil
}

// drawn notes what is drawn at t for the first time.
func (h *theatre) drawn(truth scene.Truth, t time.Duration) {
	first := func(at *vision.Number, is bool) {
		if is && math.IsNaN(float64(*at)) {
			*at = seconds(t)
		}
	}
	first(&h.line.BurnsS, !truth.Flame.Empty() || !truth.Smoke.Empty())
	first(&h.line.DrawnS, !truth.Flame.Empty())
	first(&h.line.InPictureS, truth.Flame.Y1-truth.Flame.Y0 >= inPicture)
}

// grade counts pre-alarms and alarms.
func (h *theatre) grade(sights []confirm.Sight, t time.Duration) {
	at := h.start.Add(t)
	for i := range sights {
		s := &sights[i]
		if s.Shadow {
			continue
		}
		if !h.told[s.ID] {
			h.told[s.ID] = true
			h.line.Told = append(h.line.Told, toldLine{s.Class, seconds(t), seconds(s.Since.Sub(h.start)), vision.Number(s.Score), s.Box})
		}
		if h.to.IsZero() || at.Sub(h.to) > confirm.Break {
			h.from, h.alarmed = s.Since, false
			h.line.PreAlarms++
			if math.IsNaN(float64(h.line.FirstPreAlarmS)) {
				h.line.FirstPreAlarmS = seconds(t)
			}
		}
		h.to = at
	}
	if !h.to.IsZero() && at.Sub(h.to) <= confirm.Break && h.to.Sub(h.from) >= confirm.Persist && !h.alarmed {
		h.alarmed = true
		h.line.Alarms++
		if math.IsNaN(float64(h.line.FirstAlarmS)) {
			h.line.FirstAlarmS = seconds(t)
		}
	}
}

// done is the clip's line.
func (h *theatre) done() clipLine {
	if h.line.Burns {
		h.line.FlamePreAlarmS = h.line.FirstPreAlarmS - h.line.InPictureS
		h.line.FlameAlarmS = h.line.FirstAlarmS - h.line.InPictureS
	}
	return h.line
}

// inTime reports whether a clip that burns was told of in time, and not before it burned.
func (l *clipLine) inTime() bool {
	return l.FirstPreAlarmS >= l.BurnsS && l.FlamePreAlarmS <= seconds(wantPreAlarm) && l.FlameAlarmS <= seconds(wantAlarm) // not so for NaN
}

// clip is a rendered clip.
type clip struct {
	name   string
	seed   uint64
	learn  time.Duration
	length time.Duration // with learn
	script scene.Script
	burns  bool
}

// reel is what is rendered for a negative reel of a length.
func reel(length time.Duration) []clip {
	n := max(int((length+shedTime-1)/shedTime), 1)
	counted := length / time.Duration(n)
	var clips []clip
	for i := range n {
		seed := uint64(101 + i)
		all := counted + counted/lookOn
		clips = append(clips, clip{name: fmt.Sprintf("quiet %d", seed), seed: seed, learn: counted / lookOn, length: all, script: scene.Quiet(seed, all)})
	}
	sizes := []float64{0.32, 0.24}
	if length >= 10*time.Minute {
		sizes = []float64{0.14, 0.18, 0.22, 0.26, 0.32, 0.4}
	}
	for i, size := range sizes {
		seed, x := uint64(201+i), float64(i)/float64(len(sizes))
		at := calm
		bare := scene.Script{{Kind: scene.Flame, At: at, For: burn, X: x, Size: size}}
		clips = append(clips, clip{fmt.Sprintf("flame %.2f", size), seed, calm - 10*time.Second, calm + burn, bare, true})
		if i%2 == 0 {
			const smoulder = 10 * time.Second
			clips = append(clips, clip{fmt.Sprintf("smoke, flame %.2f", size), seed + 100, calm - 10*time.Second, calm + smoulder + burn, scene.Burning(calm, smoulder, smoulder+burn, x, size), true})
		}
	}
	return clips
}

// play renders a clip and shows it to a detector.
func (ev *evaluation) play(d *opencv.Detector, c *clip, step func()) (clipLine, error) {
	s, err := scene.New(scene.Options{Width: reelWidth, Height: reelHeight, Seed: c.seed, Script: c.script})
	if err != nil {
		return clipLine{}, err
	}
	h, err := newTheatre(d, ev.settings, c.name, c.learn)
	if err != nil {
		return clipLine{}, err
	}
	h.line.Burns = c.burns
	rgba := image.NewRGBA(image.Rect(0, 0, reelWidth, reelHeight))
	bgr := make([]byte, 3*reelWidth*reelHeight)
	for t := time.Duration(0); t < c.length && ev.ctx.Err() == nil; t += time.Second / reelFPS {
		s.Render(t, rgba)
		for i := range reelWidth * reelHeight {
			p := rgba.Pix[4*i : 4*i+4]
			bgr[3*i], bgr[3*i+1], bgr[3*i+2] = p[2], p[1], p[0]
		}
		h.drawn(s.Truth(t), t)
		img, err := opencv.NewImage(reelWidth, reelHeight, bgr)
		if err != nil {
			return clipLine{}, err
		}
		if err := errors.Join(h.show(img, t), img.Close()); err != nil {
			return clipLine{}, err
		}
		step()
	}
	return h.done(), nil
}

// rendered plays the reel and sums it up.
func (ev *evaluation) rendered() (err error) {
	if ev.Reel == 0 {
		return nil
	}
	clips := reel(ev.Reel)
	frames := 0
	for i := range clips {
		frames += int(clips[i].length * reelFPS / time.Second)
	}
	p := newProgress(ev.errs, "frames of the reel", frames)
	defer p.clear()
	lines := make([]clipLine, len(clips))
	var (
		mu   sync.Mutex // guards p, spent and what is written
		todo errgroup.Group
		free = make(chan *opencv.Detector, runtime.GOMAXPROCS(0)) // one clip each
	)
	free <- ev.detector
	for range cap(free) - 1 {
		d, _, failed := ev.open()
		if failed != nil {
			return failed
		}
		defer func() { err = errors.Join(err, d.Close()) }()
		free <- d
	}
	var spent time.Duration
	todo.SetLimit(cap(free))
	for i := range clips {
		todo.Go(func() error {
			d := <-free
			defer func() { free <- d }()
			began := time.Now()
			line, err := ev.play(d, &clips[i], func() {
				mu.Lock()
				defer mu.Unlock()
				p.step()
			})
			if err != nil || ev.ctx.Err() != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			spent += time.Since(began)
			lines[i] = line
			return ev.write(line)
		})
	}
	if err := todo.Wait(); err != nil || ev.ctx.Err() != nil {
		return err
	}
	ev.clips = append(ev.clips, lines...)
	ev.reel = sum(lines)
	ev.reel.MSFrame = vision.Number(spent.Seconds() * 1000 / float64(max(p.done, 1)))
	return nil
}

// sum is what the lines of a reel come to.
func sum(lines []clipLine) *reelLine {
	r := &reelLine{WorstPreAlarm: vision.Number(math.Inf(-1)), WorstAlarm: vision.Number(math.Inf(-1))}
	for i := range lines {
		line := &lines[i]
		if !line.Burns {
			r.Hours += line.Seconds / 3600
			r.PreAlarms += line.PreAlarms
			r.Alarms += line.Alarms
			continue
		}
		r.Burning++
		if line.inTime() {
			r.InTime++
		}
		r.WorstPreAlarm = max(r.WorstPreAlarm, line.FlamePreAlarmS) // NaN wins
		r.WorstAlarm = max(r.WorstAlarm, line.FlameAlarmS)
	}
	return r
}

// bars tells what the reel must show and does not.
func (r *reelLine) bars() error {
	var errs []error
	if r.Alarms > 0 {
		errs = append(errs, fmt.Errorf("%d alarms where nothing burns: want none", r.Alarms))
	}
	if may := mayPreAlarm * max(1, int(r.Hours/2+0.01)); r.PreAlarms > may {
		errs = append(errs, fmt.Errorf("%d pre-alarms where nothing burns: want %d at most", r.PreAlarms, may))
	}
	if r.InTime < r.Burning {
		errs = append(errs, fmt.Errorf("%d of %d fires were not told of in time: want a pre-alarm within %s of the flame, an alarm within %s",
			r.Burning-r.InTime, r.Burning, wantPreAlarm, wantAlarm))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the reel: %w", err)
	}
	return nil
}

// table tells people of the clips.
func clipTable(w io.Writer, clips []clipLine, r *reelLine) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "clip\tseconds\tlooked on\tframes\tjudged\tpre-alarms\talarms\tflame drawn to in picture\tto seen\tin picture to pre-alarm\tto alarm\t")
	for i := range clips {
		c := &clips[i]
		fmt.Fprintf(t, "%s\t%.0f\t%.0f\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t\n", c.Name, float64(c.Seconds), float64(c.LookedOnS), c.Frames, c.Judged, c.PreAlarms, c.Alarms,
			tenth(c.InPictureS-c.DrawnS), tenth(c.SeenS-c.DrawnS), tenth(c.FlamePreAlarmS), tenth(c.FlameAlarmS))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r == nil {
		return nil
	}
	_, err := fmt.Fprintf(w, "\nreel: %.2f h in which nothing burns: %d pre-alarms, %d alarms; %d of %d fires told of in time, the last ones %s s and %s s after the flame; %.1f ms a frame\n",
		float64(r.Hours), r.PreAlarms, r.Alarms, r.InTime, r.Burning, tenth(r.WorstPreAlarm), tenth(r.WorstAlarm), float64(r.MSFrame))
	return err
}

func tenth(n vision.Number) string {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(n))
}
