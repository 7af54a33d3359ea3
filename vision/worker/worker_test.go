package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/capture"
	"github.com/shedguard/shedguard/vision/confirm"
	"github.com/shedguard/shedguard/vision/report"
	"github.com/shedguard/shedguard/vision/worker"
)

const grid = 16

// stage is what the cameras show, by name, and how they fail.
type stage struct {
	mu      sync.Mutex
	shows   map[string]*show
	judged  map[string]int
	open    atomic.Int64 // pictures that nobody has closed
	marked  atomic.Int64
	frames  int
	private bool
	look    time.Duration // that the model takes
}

type show struct {
	burns  bool
	frozen bool  // the picture does not change
	err    error // instead of a frame
	hangs  bool  // Next does not return
	spoilt int   // of how many pictures one is damaged; 0: none
	opens  int
}

func (s *stage) set(camera string, f func(*show)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shows[camera] == nil {
		s.shows[camera] = &show{}
	}
	f(s.shows[camera])
}

// seen is how many frames of a camera the model saw, and how often it was opened.
func (s *stage) seen(camera string) (frames, opens int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.judged[camera], s.shows[camera].opens
}

// buffer is a log that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type source struct {
	stage  *stage
	camera string
	rate   time.Duration
}

func (s *source) Next(ctx context.Context) (worker.Picture, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.rate):
	}
	s.stage.mu.Lock()
	show := *s.stage.shows[s.camera]
	s.stage.frames++
	n := s.stage.frames
	s.stage.mu.Unlock()
	if show.hangs {
		select {} // as in C: the context is of no use
	}
	if show.err != nil {
		return nil, show.err
	}
	if show.frozen {
		n = 0
	}
	s.stage.open.Add(1)
	return &picture{stage: s.stage, camera: s.camera, burns: show.burns, n: n, damaged: show.spoilt > 0 && s.stage.frames%show.spoilt == 0}, nil
}

func (s *source) Close() error { return nil }

type picture struct {
	stage  *stage
	camera string
	burns  bool
	n      int
	width  int // 0: too small for a closer look

	damaged bool
}

func flame() vision.Rect { return vision.Rect{X: 0.5, Y: 0.5, W: 0.125, H: 0.125} }

func (p *picture) Grey(dst []uint8, width, height int) error {
	if p.damaged {
		return fmt.Errorf("%w: cut off", worker.ErrDamaged)
	}
	for y := range height {
		for x := range width {
			v := 60 + 10*(x/8%3) + 12*(y/6%3)
			if p.n > 0 {
				v += (x*7 + y*13 + p.n*29) % 3 // noise
			}
			if p.burns && flame().Contains((float64(x)+0.5)/float64(width), (float64(y)+0.5)/float64(height)) {
				v = 120 + (x*31+y*17+p.n*53)%90
			}
			dst[y*width+x] = uint8(v)
		}
	}
	return nil
}

func (p *picture) Size() (width, height int) { return p.width, p.width * 9 / 16 }

func (p *picture) JPEG(int) ([]byte, error) {
	img := image.NewGray(image.Rect(0, 0, 32, 32))
	img.SetGray(p.n%32, 3, color.Gray{Y: 200})
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, nil)
	return b.Bytes(), err
}

func (p *picture) Mark(_ []vision.Box, _ string, only bool) error {
	p.stage.marked.Add(1)
	p.stage.mu.Lock()
	defer p.stage.mu.Unlock()
	p.stage.private = only
	return nil
}

func (p *picture) Close() error {
	p.stage.open.Add(-1)
	return nil
}

// See sees the flame where it is, and takes a while.
func (s *stage) See(p worker.Picture, _ vision.Rect) (vision.Sight, error) {
	time.Sleep(s.look)
	pic, ok := p.(*picture)
	if !ok {
		return vision.Sight{}, fmt.Errorf("a picture of %T", p)
	}
	s.mu.Lock()
	s.judged[pic.camera]++
	s.mu.Unlock()
	h := vision.NewHeat(grid, grid)
	out := vision.Sight{Heat: h, Scores: vision.Scores{Flame: 0.01, Smoke: 0.01}}
	for i := range h.Cells[0] {
		h.Cells[0][i], h.Cells[1][i] = 0.01, 0.01
		if pic.burns && flame().Contains((float64(i%grid)+0.5)/grid, (float64(i/grid)+0.5)/grid) {
			h.Cells[0][i] = 0.95
			out.Flame = 0.95
		}
	}
	return out, nil
}

type rig struct {
	*stage
	opts  worker.Options
	input *io.PipeWriter
	log   *buffer
	all   []report.Line
	mu    sync.Mutex
}

func settings() worker.Settings {
	rule := vision.BoxRule{Seed: 0.5, Grow: 0.3, MinCells: 1}
	return worker.DefaultSettings(confirm.Settings{
		Picture: vision.Scores{Flame: 0.5, Smoke: 0.5}, Cells: [2]vision.BoxRule{rule, rule}, Margin: 1.5,
		K: [2]int{6, 6}, N: [2]int{10, 10}, Span: [2]time.Duration{1600 * time.Millisecond, 1600 * time.Millisecond}, Alive: [2]float64{1.5, 0}, Still: [2]float64{0.35, 0.6}, Hold: 3 * time.Second,
	})
}

func rigged(t *testing.T, dir string, cameras ...string) *rig {
	t.Helper()
	r := &rig{stage: &stage{shows: map[string]*show{}, judged: map[string]int{}, look: 20 * time.Millisecond}, log: &buffer{}}
	cfg := &worker.Config{StateDir: filepath.Join(dir, "state"), Threads: 1, Evidence: worker.Evidence{Dir: filepath.Join(dir, "evidence"), MaxMB: 64, MaxAge: 24 * time.Hour, Privacy: worker.PrivacyNone}}
	for _, c := range cameras {
		cfg.Cameras = append(cfg.Cameras, worker.Camera{Name: c, URL: "/" + c, FPS: 5})
		r.set(c, func(*show) {})
	}
	in, input := io.Pipe()
	r.input = input
	n := 0
	r.opts = worker.Options{
		Config: cfg, Settings: settings(), Grid: func() (int, int) { return grid, grid }, Detector: r.stage,
		Open: func(_ context.Context, url string) (worker.Source, error) {
			camera := strings.TrimPrefix(url, "/")
			r.stage.mu.Lock()
			defer r.stage.mu.Unlock()
			r.shows[camera].opens++
			return &source{stage: r.stage, camera: camera, rate: 40 * time.Millisecond}, nil
		},
		Hello: report.Hello{Version: "test"}, In: in, Log: slog.New(slog.NewTextHandler(r.log, nil)),
		NewID: func() string { n++; return fmt.Sprintf("01TEST%d", n) },
	}
	return r
}

// start runs the worker; the returned function ends it by its input and returns
// what came of it.
func (r *rig) start(t *testing.T) (end func() error) {
	t.Helper()
	out, w := io.Pipe()
	r.opts.Out = w
	wk, err := worker.New(r.opts)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- wk.Run(context.Background()); _ = w.Close() }()
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := report.NewReader(out)
		for {
			l, err := lines.Read()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.all = append(r.all, l)
			r.mu.Unlock()
		}
	}()
	return func() error {
		_ = r.input.Close()
		err := <-done
		<-read
		return err
	}
}

func (r *rig) health(camera string) (last *report.Health) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.all {
		if l.Health != nil && l.Health.Camera == camera {
			last = l.Health
		}
	}
	return last
}

func (r *rig) observed(state string) (list []*report.Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.all {
		if l.Observation != nil && l.Observation.State == state {
			list = append(list, l.Observation)
		}
	}
	return list
}

func (r *rig) evidence(kind string) (list []*report.Evidence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.all {
		if l.Evidence != nil && l.Evidence.Kind == kind {
			list = append(list, l.Evidence)
		}
	}
	return list
}

func TestAFlameIsToldWithItsEvidence(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1", "c2")
		end := r.start(t)
		time.Sleep(30 * time.Second)
		if n := len(r.observed(report.Seen)); n != 0 {
			t.Errorf("%d observations while nothing burns", n)
		}
		r.set("c1", func(s *show) { s.burns = true })
		lit := time.Now()
		time.Sleep(12 * time.Second)
		seen := r.observed(report.Seen)
		if len(seen) < 9 || seen[0].Camera != "c1" || seen[0].Class != vision.Flame || seen[0].Shadow {
			t.Fatalf("%d observations, the first %+v", len(seen), seen)
		}
		if late := seen[0].At.Sub(lit); late > 3*time.Second || seen[0].Since.Sub(lit) > time.Second {
			t.Errorf("told after %s, since %s", late, seen[0].Since.Sub(lit))
		}
		r.set("c1", func(s *show) { s.burns = false })
		time.Sleep(15 * time.Second)
		if gone := r.observed(report.Gone); len(gone) != 1 || gone[0].ID != seen[0].ID {
			t.Errorf("gone: %+v", gone)
		}
		shots, clips := r.evidence(report.Snapshot), r.evidence(report.Clip)
		if len(shots) != 2 || len(clips) != 1 || shots[0].Observation != seen[0].ID {
			t.Fatalf("%d pictures, %d clips", len(shots), len(clips))
		}
		for _, e := range append(shots, clips...) {
			if info, err := os.Stat(e.Path); err != nil || info.Size() != e.Bytes {
				t.Errorf("%s: %v", e.Path, err)
			}
		}
		// Ten seconds before and twenty after, at five frames a second.
		b, err := os.ReadFile(clips[0].Path)
		if n := bytes.Count(b, []byte("00dc")) / 2; err != nil || n < 140 || n > 155 {
			t.Errorf("a clip of %d frames: %v", n, err)
		}
		if err := end(); err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := r.open.Load(); n != 0 {
			t.Errorf("%d pictures are not closed", n)
		}
	})
}

func TestAQuietShedCostsLittle(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1")
		end := r.start(t)
		time.Sleep(60 * time.Second)
		if n, _ := r.seen("c1"); n < 28 || n > 45 { // every two seconds, of 300 frames
			t.Errorf("the model saw %d frames", n)
		}
		if h := r.health("c1"); h.FPS < 4.5 || h.FPS > 5.5 || h.FrameAgeMS > 300 || h.JudgeMS < 15 {
			t.Errorf("%+v", h)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

func TestSeveralCamerasShareFairly(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1", "c2", "c3", "c4")
		for _, c := range []string{"c1", "c2", "c3", "c4"} {
			r.set(c, func(s *show) { s.burns = true }) // every frame goes to the model
		}
		for i := range r.opts.Config.Cameras {
			r.opts.Config.Cameras[i].FPS = 25 // more than the model can do: 50 a second for four
		}
		end := r.start(t)
		time.Sleep(40 * time.Second)
		var counts []int
		for _, c := range []string{"c1", "c2", "c3", "c4"} {
			n, _ := r.seen(c)
			counts = append(counts, n)
		}
		if least, most := slices.Min(counts), slices.Max(counts); most-least > most/10 || least < 300 {
			t.Errorf("frames judged: %v", counts)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

func TestACameraThatFails(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1", "c2")
		end := r.start(t)
		time.Sleep(5 * time.Second)
		r.set("c1", func(s *show) { s.err = errors.New("no route to host") })
		time.Sleep(60 * time.Second)
		if h := r.health("c1"); h.FrameAgeMS < 55_000 || h.Error != "no route to host" {
			t.Errorf("%+v", h)
		}
		if h := r.health("c2"); h.FrameAgeMS > 500 || h.Error != "" {
			t.Errorf("its neighbour: %+v", h)
		}
		if _, n := r.seen("c1"); n < 10 || n > 16 {
			t.Errorf("opened %d times within a minute", n)
		}
		if n := strings.Count(r.log.String(), "camera gives no frames"); n != 1 {
			t.Errorf("the same trouble is logged %d times", n)
		}
		r.set("c1", func(s *show) { s.err = nil })
		time.Sleep(20 * time.Second)
		if h := r.health("c1"); h.FrameAgeMS > 500 || h.Error != "" {
			t.Errorf("it is back: %+v", h)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// TestACameraThatRefuses is asked every two minutes: many a camera locks its account.
func TestACameraThatRefuses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1")
		end := r.start(t)
		r.set("c1", func(s *show) { s.err = fmt.Errorf("camera: %w", capture.ErrRefused) })
		time.Sleep(9 * time.Minute)
		if _, n := r.seen("c1"); n != 5 {
			t.Errorf("opened %d times within nine minutes", n)
		}
		r.set("c1", func(s *show) { s.err = nil })
		time.Sleep(2*time.Minute + time.Second)
		if h := r.health("c1"); h.FrameAgeMS > 1000 || h.Error != "" {
			t.Errorf("it takes the password now: %+v", h)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// TestDamagedPictures: some are left away; a camera that gives no others gives none, and
// is opened again.
func TestDamagedPictures(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1")
		r.set("c1", func(s *show) { s.spoilt = 3 })
		end := r.start(t)
		time.Sleep(60 * time.Second)
		if h := r.health("c1"); h.FPS < 2 || h.FrameAgeMS > 1500 || h.Error != "" {
			t.Errorf("every third is damaged: %+v", h)
		}
		if _, n := r.seen("c1"); n != 1 {
			t.Errorf("every third is damaged: opened %d times", n)
		}
		r.set("c1", func(s *show) { s.spoilt = 1 })
		time.Sleep(60 * time.Second)
		h := r.health("c1")
		if h.FrameAgeMS < 55_000 || !strings.Contains(h.Error, "damaged picture: cut off") {
			t.Errorf("all are damaged: %+v", h)
		}
		if _, n := r.seen("c1"); n < 3 || n > 9 {
			t.Errorf("all are damaged: opened %d times", n)
		}
		if n := strings.Count(r.log.String(), "camera gives no frames"); n != 1 {
			t.Errorf("the same trouble is logged %d times", n)
		}
		r.set("c1", func(s *show) { s.spoilt = 0 })
		time.Sleep(20 * time.Second)
		if h := r.health("c1"); h.FrameAgeMS > 500 || h.Error != "" || h.Frames <= h.Judged {
			t.Errorf("it is back: %+v", h)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
		if n := r.open.Load(); n != 0 {
			t.Errorf("%d pictures are not closed", n)
		}
	})
}

// TestHealthComesFirst: cameras that are all due at all times keep health from being said
// for no longer than a look takes. What the gateway hears nothing of for ten seconds it
// kills.
func TestHealthComesFirst(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1", "c2", "c3")
		r.look = 1100 * time.Millisecond // whole and closer, each
		for _, c := range []string{"c1", "c2", "c3"} {
			r.set(c, func(s *show) { s.burns = true })
		}
		end := r.start(t)
		var said []int
		for range 200 {
			time.Sleep(3 * time.Second)
			r.mu.Lock()
			n := 0
			for _, l := range r.all {
				if l.Health != nil && l.Health.Camera == "c2" {
					n++
				}
			}
			r.mu.Unlock()
			said = append(said, n)
		}
		for i := 1; i < len(said); i++ {
			if said[i] == said[i-1] {
				t.Errorf("nothing said for three seconds, after %d s", 3*i)
			}
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// TestAModelThatDoesNotReturn: the worker falls silent, which is what the gateway kills
// it for; a line of health would hide that nobody judges.
func TestAModelThatDoesNotReturn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1", "c2")
		stuck := make(chan struct{})
		r.opts.Detector = hanging{r.stage, stuck}
		end := r.start(t)
		time.Sleep(30 * time.Second)
		r.mu.Lock()
		if len(r.all) != 1 || r.all[0].Hello == nil {
			t.Errorf("while the model hangs: %+v", r.all)
		}
		r.mu.Unlock()
		close(stuck)
		time.Sleep(2 * time.Second)
		if r.health("c1") == nil || r.health("c2") == nil {
			t.Error("nothing is said once the model goes on")
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

// hanging is a detector that waits.
type hanging struct {
	*stage
	until <-chan struct{}
}

func (h hanging) See(p worker.Picture, part vision.Rect) (vision.Sight, error) {
	<-h.until
	return h.stage.See(p, part)
}

// TestADiskThatTakesItsTime: while a file cannot be written, cameras are watched, and
// what they see is told; once the disk does, nothing is lost. A named pipe that nobody
// reads is such a disk. It blocks for real, so this test is not in a bubble.
func TestADiskThatTakesItsTime(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"what is learned": "state/c1.background.part",
		"a picture":       "evidence/20260102T030405.000-c1-ASKED.jpg.part",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := rigged(t, dir, "c1", "c2")
			path := filepath.Join(dir, path)
			born := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			var begun atomic.Int64 // the clock goes on once the picture was asked for
			r.opts.Now = func() time.Time {
				if b := begun.Load(); b > 0 {
					return born.Add(time.Since(time.Unix(0, b)))
				}
				return born
			}
			wait := func(what string, ok func() bool) {
				t.Helper()
				deadline := time.After(time.Minute)
				for !ok() {
					select {
					case <-deadline:
						t.Fatalf("never: %s", what)
					case <-time.After(10 * time.Millisecond):
					}
				}
			}
			if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
			end := r.start(t) // which deletes what is half written of evidence
			if err := syscall.Mkfifo(path, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
				t.Fatal(err)
			}
			wait("a frame of c1 is seen", func() bool { n, _ := r.seen("c1"); return n > 0 })
			for _, camera := range []string{"c1", "c9"} {
				if _, err := io.WriteString(r.input, `{"snapshot":{"camera":"`+camera+`","id":"ASKED"}}`+"\n"); err != nil {
					t.Fatal(err)
				}
			}
			wait("both are answered", func() bool {
				return strings.Contains(r.log.String(), "a picture is asked of a camera that is not here")
			})
			wait("health is said", func() bool { return r.health("c1") != nil })
			begun.Store(time.Now().UnixNano())
			r.set("c2", func(s *show) { s.burns = true })
			wait("a flame is told of", func() bool { return len(r.observed(report.Seen)) > 2 })
			if n := len(r.evidence(report.Snapshot)); name == "a picture" && n > 0 {
				t.Errorf("%d pictures before the disk took one", n)
			}
			written := make(chan []byte, 1)
			go func() {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Error(err)
				}
				written <- b
			}()
			if b := <-written; len(b) == 0 {
				t.Error("nothing written")
			}
			wait("pictures of what was asked and seen", func() bool {
				return slices.ContainsFunc(r.evidence(report.Snapshot), func(e *report.Evidence) bool { return e.Observation == "ASKED" }) &&
					slices.ContainsFunc(r.evidence(report.Snapshot), func(e *report.Evidence) bool { return e.Camera == "c2" })
			})
			if err := end(); err != nil {
				t.Error(err)
			}
			if n := len(r.evidence(report.Clip)); n != 1 {
				t.Errorf("%d clips", n)
			}
		})
	}
}

// TestALibraryThatDoesNotReturn ends the worker. What hangs stays behind, so this
// test is not in a bubble.
func TestALibraryThatDoesNotReturn(t *testing.T) {
	r := rigged(t, t.TempDir(), "c1")
	r.opts.Settings.Wedged = 1200 * time.Millisecond
	r.set("c1", func(s *show) { s.hangs = true })
	r.opts.Out = io.Discard
	w, err := worker.New(r.opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(t.Context()); !errors.Is(err, worker.ErrWedged) || !strings.HasPrefix(err.Error(), "camera c1: ") {
		t.Errorf("Run: %v", err)
	}
}

func TestRequests(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1")
		end := r.start(t)
		time.Sleep(3 * time.Second)
		for _, line := range []string{"garbage", `{"snapshot":{"camera":"c9","id":"X1"}}`, `{"snapshot":{"camera":"c1","id":"../x"}}`, `{"snapshot":{"camera":"c1","id":"X2"}}`} {
			if _, err := io.WriteString(r.input, line+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(3 * time.Second)
		if got := r.evidence(report.Snapshot); len(got) != 1 || got[0].Observation != "X2" || got[0].Camera != "c1" {
			t.Errorf("%+v", got)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	})
}

func TestPrivacy(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1")
		r.opts.Config.Evidence.Privacy = worker.PrivacyOutside
		r.set("c1", func(s *show) { s.burns = true })
		end := r.start(t)
		time.Sleep(30 * time.Second)
		if err := end(); err != nil {
			t.Error(err)
		}
		if n := len(r.evidence(report.Clip)); n != 0 {
			t.Errorf("%d clips show everybody", n)
		}
		if len(r.evidence(report.Snapshot)) == 0 || !r.private {
			t.Error("no picture with what is outside made unrecognisable")
		}
	})
}

func TestWhatIsLearnedIsKept(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := rigged(t, dir, "c1")
		r.opts.Config.Cameras[0].Learn = time.Minute
		end := r.start(t)
		time.Sleep(90 * time.Second)
		if err := end(); err != nil {
			t.Fatal(err)
		}
		r = rigged(t, dir, "c1")
		r.opts.Config.Cameras[0].Learn = time.Minute
		end = r.start(t)
		time.Sleep(5 * time.Second)
		if h := r.health("c1"); h.Shadow || h.LearnedS < 80 {
			t.Errorf("after a restart: %+v", h)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		// A damaged file is set aside and the camera learns anew.
		path := filepath.Join(dir, "state", "c1.background")
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		r = rigged(t, dir, "c1")
		r.opts.Config.Cameras[0].Learn = time.Minute
		end = r.start(t)
		time.Sleep(5 * time.Second)
		if h := r.health("c1"); !h.Shadow {
			t.Errorf("with a damaged file: %+v", h)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if aside, err := filepath.Glob(path + ".corrupt-*"); err != nil || len(aside) != 1 {
			t.Errorf("set aside: %v, %v", aside, err)
		}
	})
}

func TestParseConfig(t *testing.T) {
	const good = `
state_dir: /var/lib/shedguard/vision
evidence: {dir: /var/lib/shedguard/evidence, max_mb: 512, max_age: 720h, privacy: none}
threads: 1
nice: 10
cameras:
  - {name: c1, url: "rtsp://viewer:secret@10.0.0.5/stream", fps: 5, learn: 72h, exclude: [[{x: 0, y: 0}, {x: 1, y: 0}, {x: 1, y: 0.1}]]}
  - {name: c2, url: /dev/video0, fps: 2, learn: 0s}
`
	c, err := worker.ParseConfig([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Cameras) != 2 || c.Cameras[0].Learn != 72*time.Hour || len(c.Cameras[0].Exclude[0]) != 3 {
		t.Errorf("%+v", c)
	}
	// The gateway writes it as JSON, which is YAML, too.
	b, err := json.Marshal(map[string]any{"state_dir": "s", "threads": 1, "nice": 0, "evidence": map[string]any{"dir": "e", "max_mb": 64, "max_age": "24h", "privacy": "outside"}, "cameras": []map[string]any{{"name": "c", "url": "/x", "fps": 5, "learn": "1h"}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := worker.ParseConfig(b); err != nil {
		t.Errorf("as JSON: %v", err)
	}
	for name, tt := range map[string]struct {
		from, to string
		want     []string
	}{
		"unknown":   {"threads: 1", "treads: 1", []string{"treads"}},
		"values":    {"threads: 1\nnice: 10", "threads: 0\nnice: -1", []string{"threads: 0: want 1 to 16", "nice: -1: want 0 to 19"}},
		"evidence":  {"max_mb: 512, max_age: 720h, privacy: none", "max_mb: 5, max_age: 1m, privacy: some", []string{"evidence.max_mb: 5: want 64 to", "evidence.max_age: 1m0s", `evidence.privacy: "some": want none or outside`}},
		"camera":    {"name: c2, url: /dev/video0, fps: 2", "name: c1, url: ftp://x, fps: 90", []string{`cameras[1].name: "c1": is another`, `cameras[1].url: "ftp://x"`, "cameras[1].fps: 90: want 0.5 to 25"}},
		"polygon":   {"{x: 1, y: 0.1}", "{x: 1, y: 7}", []string{"cameras[0].exclude[0]: point 2: 1, 7"}},
		"no secret": {"rtsp://viewer:secret@10.0.0.5/stream", "ftp://viewer:secret@10.0.0.5/stream?pwd=secret", []string{"viewer:xxxxx@10.0.0.5/stream?..."}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := worker.ParseConfig([]byte(strings.Replace(good, tt.from, tt.to, 1)))
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("ParseConfig: %v, want %q", err, want)
				}
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells a password: %v", err)
			}
		})
	}
}
