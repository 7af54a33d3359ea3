//go:build opencv

package eyes_test

import (
	"testing"
	"time"

	"github.com/shedguard/shedguard/gateway/watch"
	"github.com/shedguard/shedguard/internal/rtsptest"
)

// inFlight is how old a frame may be that comes: what a connection and a busy machine
// hold. It is less than a worker waits for a frame.
const inFlight = 4 * time.Second

// TestCamerasMisbehave: one worker watches a camera of every fault and a good one. Each
// of the bad ones is lost in time and back in time, in the same process, and the good
// one gives frames all along.
func TestCamerasMisbehave(t *testing.T) {
	needs(t)
	shared := rtsptest.Start(t, rtsptest.H264)
	type fault struct {
		url        string
		begin, end func()
		size       [2]int // that the picture changes to, where frames go on
	}
	own := func(codec string) *rtsptest.Camera { return rtsptest.Start(t, codec) }
	relayed := func(m rtsptest.Mode) fault {
		r := rtsptest.StartRelay(t, shared.Addr())
		return fault{url: r.URL(), begin: func() { r.Set(m) }, end: func() { r.Set(rtsptest.Clear) }}
	}
	stalling, stalling265, leaving, leaving265, changing, changing265 := own(rtsptest.H264), own(rtsptest.H265), own(rtsptest.H264), own(rtsptest.H265), own(rtsptest.H264), own(rtsptest.H265)
	faults := map[string]fault{
		"stalls":         {url: stalling.URL(), begin: stalling.Stall, end: stalling.Flow},
		"stalls-h265":    {url: stalling265.URL(), begin: stalling265.Stall, end: stalling265.Flow},
		"goes":           {url: leaving.URL(), begin: leaving.Drop, end: leaving.Back},
		"goes-h265":      {url: leaving265.URL(), begin: leaving265.Drop, end: leaving265.Back},
		"hangs":          relayed(rtsptest.Mute),
		"sends-noise":    relayed(rtsptest.Noise),
		"garbles-frames": relayed(rtsptest.Garbled),
		"larger":         {url: changing.URL(), begin: func() { changing.Resize(1280, 720) }, end: func() { changing.Resize(320, 240) }, size: [2]int{1280, 720}},
		"larger-h265":    {url: changing265.URL(), begin: func() { changing265.Resize(960, 540) }, end: func() { changing265.Resize(320, 240) }, size: [2]int{960, 540}},
	}
	views := []view{{"good", shared.URL()}}
	for name, f := range faults {
		views = append(views, view{name, f.url})
	}
	w := startWorker(t, views...)
	before := held(t, w.cmd.Process.Pid)

	t.Run("faults", func(t *testing.T) {
		for name, f := range faults {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				began := time.Now()
				f.begin()
				if f.size[0] > 0 {
					larger := until(t, backWithin, "frames of another size", func() bool { return w.shows(t, name, f.size[0], f.size[1]) })
					f.end()
					smaller := until(t, backWithin, "frames of a third size", func() bool { return w.shows(t, name, 320, 240) })
					t.Logf("larger pictures after %.1f s, smaller ones after %.1f s, newest frame never older than %.1f s", larger.Seconds(), smaller.Seconds(), w.oldest(name).Seconds())
					return
				}
				lost := watch.DefaultSettings().Lost
				until(t, lostWithin, "the camera is lost", func() bool {
					return time.Since(w.newest(name)) > lost && w.trouble(name) != ""
				})
				if last := w.newest(name).Sub(began); last > inFlight {
					t.Errorf("the newest frame came %s after the last one was sent", last)
				}
				took, why := time.Since(w.newest(name)), w.trouble(name)
				healed := time.Now()
				f.end()
				until(t, backWithin, "frames again", func() bool { return w.newest(name).After(healed) })
				t.Logf("lost %.1f s after its last frame (%s), back %.1f s after the camera was", took.Seconds(), why, w.newest(name).Sub(healed).Seconds())
			})
		}
	})

	if gap := w.oldest("good"); gap > 5*time.Second {
		t.Errorf("the good camera was without a frame for %s while others were at fault", gap)
	} else {
		t.Logf("the good camera was never without a frame for longer than %.1f s", gap.Seconds())
	}
	after := held(t, w.cmd.Process.Pid)
	t.Logf("held before %+v, after %+v", before, after)
	// The decoder of a new stream may have a thread more.
	if after.threads > before.threads+len(views) || after.files > before.files+len(views) {
		t.Errorf("held after the faults %+v, before %+v", after, before)
	}
	select {
	case <-w.ended:
		t.Error("the worker ended")
	default:
	}
}

// TestReconnectsLeaveNothingBehind: cameras that are connected to anew again and again
// cost neither threads nor files nor memory.
func TestReconnectsLeaveNothingBehind(t *testing.T) {
	needs(t)
	t.Parallel()
	const (
		warm  = 3 // rounds until everything was allocated once
		count = 12
		// most is what may come and go, in KiB: the allocator's own. A decoder or
		// a connection that is left behind in each round is several times that.
		most = 16 << 10
	)
	camera := rtsptest.Start(t, rtsptest.H264)
	names := []string{"c1", "c2", "c3"}
	relays := make([]*rtsptest.Relay, len(names))
	views := make([]view, len(names))
	for i, name := range names {
		relays[i] = rtsptest.StartRelay(t, camera.Addr())
		views[i] = view{name, relays[i].URL()}
	}
	w := startWorker(t, views...)
	var first holdings
	for round := range warm + count {
		if round == warm {
			first = held(t, w.cmd.Process.Pid)
		}
		cut := time.Now()
		for _, r := range relays {
			r.Cut()
		}
		until(t, backWithin, "frames again", func() bool {
			for _, name := range names {
				if !w.newest(name).After(cut.Add(time.Second)) {
					return false
				}
			}
			return true
		})
	}
	for i, r := range relays {
		if n := r.Accepted(); n < warm+count {
			t.Errorf("%s was connected to %d times: want at least %d", names[i], n, warm+count)
		}
	}
	last := held(t, w.cmd.Process.Pid)
	t.Logf("after %d connections %+v, after %d more %+v", warm*len(names), first, count*len(names), last)
	if last.threads > first.threads+2 || last.files > first.files+2 || last.memoryKiB > first.memoryKiB+most {
		t.Errorf("held after %d connections %+v, after %d more %+v", warm*len(names), first, count*len(names), last)
	}
}
