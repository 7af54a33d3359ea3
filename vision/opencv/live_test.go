//go:build opencv && cgo

package opencv_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/internal/rtsptest"
	"github.com/shedguard/shedguard/vision/capture"
	"github.com/shedguard/shedguard/vision/opencv"
)

// TestLiveOpensWhileAnotherHangs: cameras that never answer hold up no other one.
func TestLiveOpensWhileAnotherHangs(t *testing.T) {
	camera := rtsptest.Start(t, rtsptest.H264)
	mute := rtsptest.StartRelay(t, camera.Addr())
	mute.Set(rtsptest.Mute)
	ctx, cancel := context.WithCancel(t.Context())
	const hanging = 4
	ended := make(chan error, hanging)
	for range hanging {
		go func() {
			_, err := opencv.OpenLive(ctx, mute.URL())
			ended <- err
		}()
	}
	for limit := time.Now().Add(10 * time.Second); mute.Accepted() < hanging; {
		if time.Now().After(limit) {
			t.Fatalf("%d of %d are being opened", mute.Accepted(), hanging)
		}
		<-time.After(time.Millisecond)
	}
	for range 3 {
		l, err := opencv.OpenLive(t.Context(), camera.URL())
		if err != nil {
			t.Fatal(err)
		}
		img, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		if w, h := img.Size(); w != 640 || h != 360 {
			t.Errorf("%d x %d", w, h)
		}
		_ = img.Close()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	select {
	case err := <-ended:
		t.Errorf("one that hangs ended while the others were opened: %v", err)
	default:
	}
	// And their end need not be waited for.
	cancel()
	for range hanging {
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "stopped") {
			t.Errorf("ended with %v", err)
		}
	}
}

// TestLiveEndsWithItsContext: a read that waits for a frame ends at once.
func TestLiveEndsWithItsContext(t *testing.T) {
	camera := rtsptest.Start(t, rtsptest.H264)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := opencv.OpenLive(ctx, camera.URL())
	if err != nil {
		t.Fatal(err)
	}
	next := func() error {
		img, err := l.Next()
		if err == nil {
			err = img.Close()
		}
		return err
	}
	if err := next(); err != nil {
		t.Fatal(err)
	}
	camera.Stall()
	began := time.Now()
	late := time.AfterFunc(100*time.Millisecond, cancel) // while Next waits
	defer late.Stop()
	err = next()
	for err == nil { // what was on its way
		err = next()
	}
	if !strings.Contains(err.Error(), "stopped") || time.Since(began) >= opencv.LiveTimeout {
		t.Errorf("ended with %v after %s", err, time.Since(began))
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestLiveRefuses: the error says why, and never where.
func TestLiveRefuses(t *testing.T) {
	camera := rtsptest.Start(t, rtsptest.H264)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ url, want string }{
		"nobody there":   {"rtsp://user:secret@" + addr + "/camera", "camera: open: Connection refused"},
		"no such camera": {"rtsp://user:secret@" + camera.Addr() + "/other", "camera: open: Server returned 404 Not Found"},
		"no protocol":    {"ftp://user:secret@" + addr + "/x", "camera: open: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := opencv.OpenLive(t.Context(), tt.url)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, want %s", err, tt.want)
			}
		})
	}
}

// TestLiveTellsARefusal: a wrong password is known from a camera that is not there.
func TestLiveTellsARefusal(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			in := textproto.NewReader(bufio.NewReader(c))
			for {
				if _, err := in.ReadLine(); err != nil {
					break
				}
				head, err := in.ReadMIMEHeader()
				if err != nil {
					break
				}
				fmt.Fprintf(c, "RTSP/1.0 401 Unauthorized\r\nCSeq: %s\r\nWWW-Authenticate: Basic realm=\"camera\"\r\n\r\n", head.Get("CSeq"))
			}
			_ = c.Close()
		}
	}()
	_, err = opencv.OpenLive(t.Context(), "rtsp://user:secret@"+listener.Addr().String()+"/camera")
	if !errors.Is(err, capture.ErrRefused) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v, want %v", err, capture.ErrRefused)
	}
}

// TestLiveLeavesNothingBehind: opening again and again, in vain or not, costs no files.
func TestLiveLeavesNothingBehind(t *testing.T) {
	camera := rtsptest.Start(t, rtsptest.H264)
	round := func() {
		if l, err := opencv.OpenLive(t.Context(), camera.URL()+"/other"); err == nil {
			t.Fatal("what is not there was opened", l.Close())
		}
		l, err := opencv.OpenLive(t.Context(), camera.URL())
		if err != nil {
			t.Fatal(err)
		}
		img, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		if err := img.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	files := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	tasks := func() int {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	resident := func() int { return statusKiB(t, "VmRSS") }
	for range 10 {
		round()
	}
	f, n, m := files(), tasks(), resident()
	const rounds = 40
	for range rounds {
		round()
	}
	t.Logf("after %d rounds more: files %d -> %d, threads %d -> %d, memory %d -> %d KiB", rounds, f, files(), n, tasks(), m, resident())
	if files() > f+4 || tasks() > n+4 { // of the Go runtime and of the relay
		t.Errorf("files %d -> %d, threads %d -> %d", f, files(), n, tasks())
	}
	// A decoder of this size is more than 1 MiB.
	if grown := resident() - m; grown > rounds<<10/2 {
		t.Errorf("memory grew by %d KiB", grown)
	}
}

func statusKiB(t *testing.T, key string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, key+":"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %s", key)
	return 0
}
