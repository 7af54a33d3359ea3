package rtsptest

import (
	"bufio"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/internal/servertest"
)

//go:embed camera.py
var script string

// python is Debian's: the packages are for that one.
const python = "/usr/bin/python3"

// answerWithin is how long the server may take to start, or to do as it is told.
const answerWithin = 60 * time.Second

// The codecs of a camera.
const (
	H264 = "h264"
	H265 = "h265"
)

// Camera is a network camera. Its methods are for one goroutine at a time.
type Camera struct {
	tb      testing.TB
	input   io.WriteCloser
	answers chan string
	port    string
}

// Start runs a camera until the test ends, or skips the test where it cannot run.
func Start(tb testing.TB, codec string) *Camera {
	tb.Helper()
	const elements = `import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
missing = [e for e in "videotestsrc x264enc x265enc h265parse rtph264pay rtph265pay".split() if not Gst.ElementFactory.find(e)]
raise SystemExit(f"without {missing}" if missing else 0)`
	if out, err := exec.CommandContext(tb.Context(), python, "-c", elements).CombinedOutput(); err != nil {
		servertest.Missing(tb, fmt.Sprintf("GStreamer's RTSP server is not installed, deploy/setup.sh does that: %v: %s", err, lastLine(out)))
	}
	log, err := os.Create(filepath.Join(tb.TempDir(), "camera.log"))
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the server holds its own copy
	//nolint:gosec // the codec is the test's
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), python, "-c", script, codec)
	cmd.Stderr = log
	c := &Camera{tb: tb, answers: make(chan string, 1)}
	if c.input, err = cmd.StdinPipe(); err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			c.answers <- lines.Text()
		}
		close(c.answers)
	}()
	tb.Cleanup(func() {
		_ = c.input.Close() // it may have ended
		late := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		for range c.answers {
			continue // until it has ended
		}
		<-ended
		_ = cmd.Wait() // how it ended does not matter
		if tb.Failed() {
			b, _ := os.ReadFile(log.Name()) // best effort: it only explains a failure
			tb.Logf("camera log:\n%s", b[max(0, len(b)-4<<10):])
		}
	})
	c.port = c.answer("its port")
	return c
}

func lastLine(b []byte) string {
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

func (c *Camera) answer(what string) string {
	c.tb.Helper()
	select {
	case a, ok := <-c.answers:
		if !ok {
			c.tb.Fatalf("the camera ended before it said %s", what)
		}
		return a
	case <-time.After(answerWithin):
		c.tb.Fatalf("the camera did not say %s", what)
	}
	return ""
}

// Addr is the camera's host:port, the same before and after Drop.
func (c *Camera) Addr() string { return "127.0.0.1:" + c.port }

// URL is where its pictures are.
func (c *Camera) URL() string { return url(c.Addr()) }

func url(addr string) string { return "rtsp://" + addr + "/camera" }

func (c *Camera) do(command string) {
	c.tb.Helper()
	if _, err := io.WriteString(c.input, command+"\n"); err != nil {
		c.tb.Fatalf("camera: %s: %v", command, err)
	}
	if a := c.answer(command); a != "ok" {
		c.tb.Fatalf("camera: %s: %s", command, a)
	}
}

// Stall ends the frames; connections stay, and new ones are taken.
func (c *Camera) Stall() { c.tb.Helper(); c.do("stall") }

// Flow undoes Stall.
func (c *Camera) Flow() { c.tb.Helper(); c.do("flow") }

// Resize changes the size of the picture in the stream that runs.
func (c *Camera) Resize(width, height int) {
	c.tb.Helper()
	c.do(fmt.Sprintf("size %d %d", width, height))
}

// Drop closes every connection and takes no new one, as a camera without power.
func (c *Camera) Drop() { c.tb.Helper(); c.do("drop") }

// Back undoes Drop.
func (c *Camera) Back() { c.tb.Helper(); c.do("back") }
