package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/evidence"
	"github.com/shedguard/shedguard/vision/report"
)

const (
	ringQuality = 75
	// MaxSnapshot bounds a picture in bytes, as the collector does.
	MaxSnapshot = 256 << 10
)

// ask is a request on standard input: {"snapshot":{"camera":"c1","id":"…"}}.
type ask struct {
	Snapshot struct {
		Camera string `json:"camera"`
		ID     string `json:"id"`
	} `json:"snapshot"`
}

var askID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// listen reads requests until the input ends, and says so.
func (w *Worker) listen() error {
	in := bufio.NewScanner(w.opts.In)
	for in.Scan() {
		var a ask
		err := json.Unmarshal(in.Bytes(), &a)
		if err == nil && (a.Snapshot.Camera == "" || !askID.MatchString(a.Snapshot.ID)) {
			err = errors.New("want camera and id")
		}
		if err != nil {
			w.opts.Log.Warn("request not understood", "err", err)
			continue
		}
		select {
		case w.asks <- a:
		default:
			w.opts.Log.Warn("request refused, too many wait", "camera", a.Snapshot.Camera)
		}
	}
	return errDone
}

// answer writes the picture that somebody asked for: the newest of the ring.
func (w *Worker) answer(a *ask) {
	for _, c := range w.cameras {
		if c.Name != a.Snapshot.Camera {
			continue
		}
		frames := c.ring.Frames()
		if len(frames) == 0 {
			w.opts.Log.Warn("no picture to give", "camera", c.Name)
			return
		}
		w.snapshot(c, a.Snapshot.ID, frames[len(frames)-1])
		return
	}
	w.opts.Log.Warn("a picture is asked of a camera that is not here", "camera", a.Snapshot.Camera)
}

// tell says what is confirmed, begins and ends incidents, and keeps the frame.
func (w *Worker) tell(c *camera, p Picture, sights []confirm.Sight, at time.Time) error {
	jpeg, err := p.JPEG(ringQuality)
	if err != nil {
		return fmt.Errorf("camera %s: %w", c.Name, err)
	}
	frame := evidence.Frame{At: at, JPEG: jpeg}
	c.ring.Add(frame)
	for _, i := range c.incidents {
		i.seen = false
	}
	var boxes []vision.Box
	for i := range sights {
		boxes = append(boxes, vision.Box{Class: sights[i].Class, Rect: sights[i].Box, Score: sights[i].Score, Cells: 1})
	}
	var due []*incident
	for i := range sights {
		s := &sights[i]
		in := c.incidents[s.ID]
		if in == nil {
			in = &incident{id: w.opts.NewID(), since: s.Since, begun: at}
			c.incidents[s.ID] = in
			w.opts.Log.Warn("seen", "camera", c.Name, "class", s.Class, "score", s.Score, "shadow", s.Shadow)
			// With privacy there is no clip: it shows everybody.
			if !s.Shadow && w.opts.Config.Evidence.Privacy != PrivacyOutside {
				in.clip = w.record(c, in.id, at)
			}
		}
		in.last, in.seen = *s, true
		if at.Sub(in.told) >= time.Second {
			in.told = at
			if err := w.observe(c, in, report.Seen); err != nil {
				return err
			}
		}
		if shots := w.opts.Settings.Shots; !s.Shadow && in.shots < len(shots) && at.Sub(in.begun) >= shots[in.shots] {
			in.shots++
			due = append(due, in)
		}
	}
	for id, in := range c.incidents {
		if in.clip != nil && at.After(in.begun) {
			in.clip.add(frame)
		}
		if in.clip != nil && at.Sub(in.begun) >= w.opts.Settings.After {
			in.clip.end()
			in.clip = nil
		}
		if !in.seen && !in.gone {
			in.gone = true
			if err := w.observe(c, in, report.Gone); err != nil {
				return err
			}
			w.opts.Log.Info("no longer seen", "camera", c.Name, "class", in.last.Class, "lasted", at.Sub(in.since).Round(time.Second))
		}
		if in.gone && in.clip == nil {
			delete(c.incidents, id)
		}
	}
	if len(due) == 0 {
		return nil
	}
	// Last, since it draws into the picture.
	line := c.Name + "  " + at.Format("2006-01-02 15:04:05.0 MST")
	if err := p.Mark(boxes, line, w.opts.Config.Evidence.Privacy == PrivacyOutside); err != nil {
		return fmt.Errorf("camera %s: %w", c.Name, err)
	}
	for quality := 85; ; quality -= 15 {
		if frame.JPEG, err = p.JPEG(quality); err != nil {
			return fmt.Errorf("camera %s: %w", c.Name, err)
		}
		if len(frame.JPEG) <= MaxSnapshot {
			break
		}
		if quality <= 25 {
			w.opts.Log.Warn("picture too large to be sent", "camera", c.Name, "bytes", len(frame.JPEG))
			return nil
		}
	}
	for _, in := range due {
		w.snapshot(c, in.id, frame)
	}
	return nil
}

func (w *Worker) observe(c *camera, in *incident, state string) error {
	s := &in.last
	return w.out.Write(report.Line{Observation: &report.Observation{
		Camera: c.Name, ID: in.id, State: state, Class: s.Class, Since: in.since, At: s.Seen, Score: s.Score, Growth: s.Growth, Shadow: s.Shadow,
		Boxes: []vision.Box{{Class: s.Class, Rect: s.Box, Score: s.Score, Cells: 1}},
	}})
}
