package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/evidence"
	"github.com/shedguard/shedguard/vision/health"
	"github.com/shedguard/shedguard/vision/report"
)

// ErrWedged ends Run when a source does not return: the process is to be started
// anew.
var ErrWedged = errors.New("a camera's library does not return")

// ErrDamaged comes from a Picture or a Detector for a picture that is none: the frame
// is left away.
var ErrDamaged = errors.New("damaged picture")

// Picture is one frame. Whoever has it last closes it.
type Picture interface {
	Size() (width, height int) // in pixels
	// Grey fills dst with a grey copy of width x height pixels, averaged.
	Grey(dst []uint8, width, height int) error
	// JPEG encodes the picture.
	JPEG(quality int) ([]byte, error)
	// Mark draws boxes and a line of text into the picture. With only set, all
	// outside the boxes is made unrecognisable first.
	Mark(boxes []vision.Box, line string, only bool) error
	Close() error
}

// Source gives frames of one camera.
type Source interface {
	// Next returns the next frame and io.EOF after the last one of a file. It
	// returns within seconds when ctx ends or the camera says nothing.
	Next(ctx context.Context) (Picture, error)
	Close() error
}

// Detector judges pictures. Its methods are called by one goroutine.
type Detector interface {
	// See judges a part of a picture as if it were all of it.
	See(p Picture, part vision.Rect) (vision.Sight, error)
}

// Settings are the same for all cameras.
type Settings struct {
	Confirm confirm.Settings // Learn is the camera's
	Health  health.Settings
	// Idle is how often a picture that has not changed is judged all the same.
	Idle time.Duration
	// Wedged is how long a source may take to return.
	Wedged time.Duration
	// Before and After are the length of a clip around the moment of an
	// incident, Shots when pictures of it are taken.
	Before, After time.Duration
	Shots         []time.Duration
}

// DefaultSettings are those that ship, but for what the model's own settings say.
func DefaultSettings(c confirm.Settings) Settings {
	return Settings{
		Confirm: c, Health: health.DefaultSettings(), Idle: 2 * time.Second, Wedged: 20 * time.Second,
		Before: 10 * time.Second, After: 20 * time.Second, Shots: []time.Duration{0, 5 * time.Second, 15 * time.Second},
	}
}

// Options are what a worker needs.
type Options struct {
	Config   *Config
	Settings Settings
	Grid     func() (cols, rows int) // of the model
	Detector Detector
	Open     func(ctx context.Context, url string) (Source, error)
	Hello    report.Hello
	Out      io.Writer // of the lines
	In       io.Reader // requests; its end ends the worker
	Log      *slog.Logger
	NewID    func() string // of observations: ULIDs
	// Now is the clock of the frames: time.Now unless set. What is played faster
	// than it happened brings its own.
	Now func() time.Time
}

// Worker watches cameras.
type Worker struct {
	opts    Options
	out     *report.Writer
	store   *evidence.Store // the keeper's
	keeper  *keeper
	cameras []*camera
	asks    chan ask
}

// New returns a worker; nothing is opened but the folders.
func New(opts Options) (*Worker, error) {
	e := &opts.Config.Evidence
	store, err := evidence.Open(e.Dir, evidence.Limits{Bytes: int64(e.MaxMB) << 20, ClipBytes: 16 << 20, Age: e.MaxAge})
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(opts.Config.StateDir, 0o750); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	w := &Worker{opts: opts, out: report.NewWriter(opts.Out), store: store, keeper: newKeeper(), asks: make(chan ask, 16)}
	for i := range opts.Config.Cameras {
		c, err := w.newCamera(&opts.Config.Cameras[i])
		if err != nil {
			return nil, fmt.Errorf("camera %s: %w", opts.Config.Cameras[i].Name, err)
		}
		w.cameras = append(w.cameras, c)
	}
	return w, nil
}

// errDone ends the worker when its standard input is closed.
var errDone = errors.New("standard input is closed")

// Run watches until ctx ends or the input is closed, which is no error. When a
// source does not return, it ends with ErrWedged and leaves that one's goroutine
// behind.
func (w *Worker) Run(ctx context.Context) error {
	hello := w.opts.Hello
	for _, c := range w.cameras {
		hello.Cameras = append(hello.Cameras, c.Name)
	}
	if err := w.out.Write(report.Line{Hello: &hello}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var captures sync.WaitGroup // may never end
	for _, c := range w.cameras {
		captures.Go(func() { w.capture(ctx, c) })
	}
	var keeping sync.WaitGroup
	keeping.Go(w.keeper.run)
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error { return w.judge(inner) })
	group.Go(func() error { return w.watchdog(inner) })
	if w.opts.In != nil {
		// Reading from standard input cannot be interrupted; it ends with the
		// process.
		var input sync.WaitGroup
		input.Go(func() { cancel(w.listen()) })
	}
	err := group.Wait()
	cancel(nil)
	if err == nil || errors.Is(err, context.Canceled) {
		err = nil
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errDone) && !errors.Is(cause, context.Canceled) {
			err = cause
		}
	}
	w.finish()
	w.keeper.end()
	keeping.Wait()
	if !errors.Is(err, ErrWedged) {
		captures.Wait()
	}
	return err
}

// watchdog ends the worker when a source does not return.
func (w *Worker) watchdog(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			for _, c := range w.cameras {
				if since, busy := c.inCall(); busy && now.Sub(since) > w.opts.Settings.Wedged {
					return fmt.Errorf("camera %s: %w for %s", c.Name, ErrWedged, now.Sub(since).Round(time.Second))
				}
			}
		}
	}
}

// judge looks at the newest frame of whichever camera has waited longest, says
// how the cameras do, and answers requests.
//
// Health is said here, and by nobody else, on purpose: when the model does not return from
// its library, the worker falls silent, and that is what the gateway kills it for. So
// nothing else may keep this goroutine: what waits for a disk is the keeper's, and health
// that is due comes before the next look, however many cameras wait. The keeper's own
// lines, of evidence, end with what this goroutine gave it.
func (w *Worker) judge(ctx context.Context) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	pruned := time.Time{}
	for {
		now := w.opts.Now()
		var next *camera
		wake := now.Add(time.Second)
		for _, c := range w.cameras {
			if due, ok := c.due(); ok && !due.After(now) && (next == nil || c.looked.Before(next.looked)) {
				next = c
			} else if ok && due.Before(wake) {
				wake = due
			}
		}
		if next != nil {
			if err := w.look(next, now); err != nil {
				return err
			}
			select {
			case <-second.C:
				if err := w.everySecond(&pruned); err != nil {
					return err
				}
			default:
			}
			wake = now
		}
		select {
		case <-ctx.Done():
			return nil
		case a := <-w.asks:
			w.answer(&a)
		case <-second.C:
			if err := w.everySecond(&pruned); err != nil {
				return err
			}
		case <-w.arrivals():
		case <-time.After(wake.Sub(w.opts.Now())):
		}
	}
}

// everySecond says how the cameras do, and once a minute keeps what is to be kept.
func (w *Worker) everySecond(pruned *time.Time) error {
	now := w.opts.Now()
	for _, c := range w.cameras {
		if err := w.say(c, now); err != nil {
			return err
		}
	}
	if now.Sub(*pruned) > time.Minute {
		*pruned = now
		for _, c := range w.cameras {
			w.save(c)
		}
		w.prune(now)
	}
	return nil
}

// arrivals is ready when a frame has come to a camera that waits for one.
func (w *Worker) arrivals() <-chan struct{} { return w.cameras[0].arrived }

// finish ends clips and writes what was learned.
func (w *Worker) finish() {
	for _, c := range w.cameras {
		for _, i := range c.incidents {
			if i.clip != nil {
				i.clip.end()
			}
		}
		w.save(c)
	}
}
