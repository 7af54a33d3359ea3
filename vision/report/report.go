package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/shedguard/shedguard/vision"
)

// MaxLine bounds a line in bytes. What a worker says comes nowhere near it.
const MaxLine = 64 << 10

// The types of lines.
const (
	TypeHello       = "hello"
	TypeHealth      = "health"
	TypeObservation = "observation"
	TypeEvidence    = "evidence"
)

// Hello is the first line of a worker.
type Hello struct {
	Version string   `json:"version"`
	Model   string   `json:"model"` // name and version of the model
	Cameras []string `json:"cameras"`
}

// Health is how a camera does.
type Health struct {
	Camera     string         `json:"camera"`
	FrameAgeMS int64          `json:"frame_age_ms"`      // of the newest frame; since the start while Waiting
	Waiting    bool           `json:"waiting,omitempty"` // this process has had no frame yet
	FPS        float64        `json:"fps"`               // frames judged a second, of the last ten
	Fault      string         `json:"fault"`             // why the camera is blind, a word of vision/health; empty: it is not
	Error      string         `json:"error"`             // why there are no frames; empty: there are
	Flame      float64        `json:"flame"`             // highest score of the last second
	Smoke      float64        `json:"smoke"`
	JudgeMS    float64        `json:"judge_ms"` // time a frame takes the model, mean of the last ten seconds
	Shadow     bool           `json:"shadow"`   // it only looks on yet
	LearnedS   int64          `json:"learned_s"`
	Frames     int64          `json:"frames"`             // that were looked at since the worker started
	Judged     int64          `json:"judged"`             // of them, by the model; the others showed nothing new
	Proposal   *vision.Scores `json:"proposal,omitempty"` // thresholds that the site's own quiet hours suggest
}

// The states of an observation.
const (
	Seen = "seen"
	Gone = "gone"
)

// Observation is flame or smoke that was confirmed.
type Observation struct {
	Camera string       `json:"camera"`
	ID     string       `json:"id"` // a ULID, the same from the first to the last line about it
	State  string       `json:"state"`
	Class  vision.Class `json:"class"`
	Since  time.Time    `json:"since"` // the first frame that showed it
	At     time.Time    `json:"at"`    // the last one
	Score  float64      `json:"score"`
	Growth float64      `json:"growth"` // its area, in parts of what it was when it was confirmed
	Shadow bool         `json:"shadow"`
	Boxes  []vision.Box `json:"boxes"`
}

// The kinds of evidence.
const (
	Snapshot = "snapshot"
	Clip     = "clip"
)

// Evidence is a file that was written about an observation, or because somebody
// asked for a picture.
type Evidence struct {
	Camera      string    `json:"camera"`
	Observation string    `json:"observation"` // its id, or the id of the request
	Kind        string    `json:"kind"`
	Path        string    `json:"path"`
	Bytes       int64     `json:"bytes"`
	At          time.Time `json:"at"` // of the picture, or of the clip's first
}

// Line is one line: one of its members is set.
type Line struct {
	Hello       *Hello
	Health      *Health
	Observation *Observation
	Evidence    *Evidence
}

// ErrLine comes from Read for a line that cannot be used. The next line can be
// read.
var ErrLine = errors.New("line of a camera worker cannot be used")

// Writer writes lines. Its methods may be called from any goroutine.
type Writer struct {
	mu  sync.Mutex // guards out
	out io.Writer
}

// NewWriter writes to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write writes one line.
func (w *Writer) Write(l Line) error {
	var typ string
	var data any
	switch {
	case l.Hello != nil:
		typ, data = TypeHello, l.Hello
	case l.Health != nil:
		typ, data = TypeHealth, l.Health
	case l.Observation != nil:
		typ, data = TypeObservation, l.Observation
	case l.Evidence != nil:
		typ, data = TypeEvidence, l.Evidence
	default:
		return errors.New("report: an empty line")
	}
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("report %s: %w", typ, err)
	}
	// The type first: a person reads it too.
	line := fmt.Appendf(nil, `{"type":%q,%s`+"\n", typ, body[1:])
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.out.Write(line); err != nil {
		return fmt.Errorf("report %s: %w", typ, err)
	}
	return nil
}

// Reader reads lines.
type Reader struct{ in *bufio.Reader }

// NewReader reads from in.
func NewReader(in io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(in, MaxLine)} }

// Read returns the next line that is known. The error is [ErrLine] for one that
// cannot be used, and what the input gave when there is no next one.
func (r *Reader) Read() (Line, error) {
	for {
		raw, err := r.in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.in.ReadSlice('\n')
			}
			return Line{}, fmt.Errorf("%w: longer than %d bytes", ErrLine, MaxLine)
		}
		if err != nil { // half a line at the end is no line
			return Line{}, err
		}
		l, known, err := parse(raw)
		if err != nil {
			return Line{}, fmt.Errorf("%w: %w: %.120q", ErrLine, err, raw)
		}
		if known {
			return l, nil
		}
	}
}

// parse reads a line; known is false for a type of a newer worker.
func parse(raw []byte) (l Line, known bool, err error) {
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return Line{}, false, err
	}
	take := func(v interface{ valid() error }) error {
		if err := json.Unmarshal(raw, v); err != nil {
			return err
		}
		return v.valid()
	}
	switch head.Type {
	case TypeHello:
		l.Hello = &Hello{}
		err = take(l.Hello)
	case TypeHealth:
		l.Health = &Health{}
		err = take(l.Health)
	case TypeObservation:
		l.Observation = &Observation{}
		err = take(l.Observation)
	case TypeEvidence:
		l.Evidence = &Evidence{}
		err = take(l.Evidence)
	case "":
		return Line{}, false, errors.New("type: missing")
	default:
		return Line{}, false, nil
	}
	if err != nil {
		return Line{}, false, fmt.Errorf("%s: %w", head.Type, err)
	}
	return l, true, nil
}

func (h *Hello) valid() error {
	if len(h.Cameras) == 0 {
		return errors.New("cameras: want at least one")
	}
	return nil
}

func (h *Health) valid() error {
	return errors.Join(named(h.Camera), score("flame", h.Flame), score("smoke", h.Smoke))
}

func (o *Observation) valid() error {
	err := errors.Join(named(o.Camera), score("score", o.Score))
	if o.State != Seen && o.State != Gone {
		err = errors.Join(err, fmt.Errorf("state: %q: want %q or %q", o.State, Seen, Gone))
	}
	if o.ID == "" || o.Since.IsZero() || o.At.IsZero() {
		err = errors.Join(err, errors.New("id, since, at: required"))
	}
	for i, b := range o.Boxes {
		if !(b.X >= 0 && b.Y >= 0 && b.W > 0 && b.H > 0 && b.X+b.W <= 1.001 && b.Y+b.H <= 1.001) {
			err = errors.Join(err, fmt.Errorf("boxes[%d]: %g, %g, %g, %g: want a part of the picture", i, b.X, b.Y, b.W, b.H))
		}
	}
	return err
}

func (e *Evidence) valid() error {
	err := named(e.Camera)
	if e.Kind != Snapshot && e.Kind != Clip {
		err = errors.Join(err, fmt.Errorf("kind: %q: want %q or %q", e.Kind, Snapshot, Clip))
	}
	if e.Observation == "" || e.Path == "" || e.At.IsZero() {
		err = errors.Join(err, errors.New("observation, path, at: required"))
	}
	return err
}

func named(camera string) error {
	if camera == "" {
		return errors.New("camera: required")
	}
	return nil
}

func score(name string, v float64) error {
	if !(v >= 0 && v <= 1) {
		return fmt.Errorf("%s: %g: want 0 to 1", name, v)
	}
	return nil
}
