package worker

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/shedguard/shedguard/vision/evidence"
	"github.com/shedguard/shedguard/vision/report"
)

// mostWaiting bounds what waits for the disk, in bytes: the beginnings of a few clips,
// whose pictures the rings hold too.
const mostWaiting = 64 << 20

// errSlowDisk is why something is not written.
var errSlowDisk = errors.New("the disk is too slow")

// keeper writes files, in order and on a goroutine of its own: a disk that takes its time
// keeps nobody from judging.
type keeper struct {
	ready chan struct{} // there is a job, or the last one was given

	mu      sync.Mutex // guards what follows
	jobs    []job
	waiting int // bytes of jobs
	ended   bool
}

// job is something to write.
type job struct {
	bytes int
	do    func()
}

func newKeeper() *keeper { return &keeper{ready: make(chan struct{}, 1)} }

// later has do called, unless too much waits. What holds no bytes is never refused.
func (k *keeper) later(bytes int, do func()) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if bytes > 0 && k.waiting > 0 && k.waiting+bytes > mostWaiting {
		return errSlowDisk
	}
	k.jobs = append(k.jobs, job{bytes, do})
	k.waiting += bytes
	k.wake()
	return nil
}

// end says that there are no more jobs.
func (k *keeper) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ended = true
	k.wake()
}

func (k *keeper) wake() {
	select {
	case k.ready <- struct{}{}:
	default:
	}
}

// run does the jobs until the last one is done.
func (k *keeper) run() {
	for range k.ready {
		for {
			k.mu.Lock()
			if len(k.jobs) == 0 {
				ended := k.ended
				k.mu.Unlock()
				if ended {
					return
				}
				break
			}
			next := k.jobs[0]
			k.jobs[0] = job{}
			k.jobs = k.jobs[1:]
			k.mu.Unlock()
			next.do()
			k.mu.Lock()
			k.waiting -= next.bytes
			k.mu.Unlock()
		}
	}
}

// recording is the clip of an incident. Its methods are for the goroutine that judges, its
// clip is the keeper's.
type recording struct {
	w          *Worker
	camera, id string
	begun      time.Time
	short      bool           // a frame is missing, which was said
	clip       *evidence.Clip // nil: it could not be begun, was given up, or has ended
}

// record begins a clip with the frames before, or says why not.
func (w *Worker) record(c *camera, id string, at time.Time) *recording {
	r := &recording{w: w, camera: c.Name, id: id, begun: at}
	before := append([]evidence.Frame(nil), c.ring.Frames()...)
	bytes := 0
	for _, f := range before {
		bytes += len(f.JPEG)
	}
	err := w.keeper.later(bytes, func() {
		var err error
		if r.clip, err = w.store.Clip(r.camera, r.id, at, before); err != nil {
			w.opts.Log.Warn("clip not begun", "camera", r.camera, "err", err)
		}
	})
	if err != nil {
		w.opts.Log.Warn("clip not begun", "camera", r.camera, "err", err)
		return nil
	}
	return r
}

func (r *recording) add(f evidence.Frame) {
	err := r.w.keeper.later(len(f.JPEG), func() {
		if r.clip == nil {
			return
		}
		if err := r.clip.Add(f); err != nil {
			r.w.opts.Log.Warn("clip given up", "camera", r.camera, "err", errors.Join(err, r.clip.Drop()))
			r.clip = nil
		}
	})
	if err != nil && !r.short {
		r.short = true
		r.w.opts.Log.Warn("frames of a clip left out", "camera", r.camera, "err", err)
	}
}

func (r *recording) end() {
	_ = r.w.keeper.later(0, func() { // holds no bytes: never refused
		if r.clip == nil {
			return
		}
		path, size, err := r.clip.Close()
		r.clip = nil
		if err == nil {
			err = r.w.out.Write(report.Line{Evidence: &report.Evidence{
				Camera: r.camera, Observation: r.id, Kind: report.Clip, Path: path, Bytes: size, At: r.begun,
			}})
		}
		if err != nil {
			r.w.opts.Log.Warn("clip not kept", "camera", r.camera, "err", err)
		}
	})
}

// snapshot keeps a picture and says so.
func (w *Worker) snapshot(c *camera, id string, f evidence.Frame) {
	err := w.keeper.later(len(f.JPEG), func() {
		path, err := w.store.Snapshot(c.Name, id, f)
		if err == nil {
			err = w.out.Write(report.Line{Evidence: &report.Evidence{
				Camera: c.Name, Observation: id, Kind: report.Snapshot, Path: path, Bytes: int64(len(f.JPEG)), At: f.At,
			}})
		}
		if err != nil {
			w.opts.Log.Warn("picture not kept", "camera", c.Name, "err", err)
		}
	})
	if err != nil {
		w.opts.Log.Warn("picture not kept", "camera", c.Name, "err", err)
	}
}

// save writes the background, whole or not at all.
func (w *Worker) save(c *camera) {
	learned := c.judge.Watch.Save()
	err := w.keeper.later(len(learned), func() {
		tmp := c.path + ".part"
		err := os.WriteFile(tmp, learned, 0o600)
		if err == nil {
			err = os.Rename(tmp, c.path)
		}
		if err != nil {
			w.opts.Log.Warn("what was learned is not kept", "camera", c.Name, "err", err)
		}
	})
	if err != nil {
		w.opts.Log.Warn("what was learned is not kept", "camera", c.Name, "err", err)
	}
}

// prune makes room on the disk.
func (w *Worker) prune(now time.Time) {
	_ = w.keeper.later(0, func() { // holds no bytes: never refused
		if n, err := w.store.Prune(now); err != nil {
			w.opts.Log.Warn("old evidence not deleted", "err", err)
		} else if n > 0 {
			w.opts.Log.Info("old evidence deleted", "files", n)
		}
	})
}
