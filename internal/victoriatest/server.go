package victoriatest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit is how long a server may take until it answers, or to end.
const startLimit = 20 * time.Second

// Server is one VictoriaMetrics. Its methods are for the test's own goroutine.
type Server struct {
	tb      testing.TB
	program string
	dir     string
	port    int
	flags   []string
	cmd     *exec.Cmd
	waiter  sync.WaitGroup
	ended   chan struct{}
}

// Start runs a server until the test ends. The flags are added behind the
// usual ones and override them.
func Start(tb testing.TB, flags ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, program: find(tb), dir: tb.TempDir(), flags: flags}
	tb.Cleanup(func() {
		s.end(syscall.SIGKILL) // nobody reads the data again
		if tb.Failed() {
			tb.Logf("victoria-metrics log:\n%s", s.log())
		}
	})
	// A port found free can be taken by another process before the server binds it.
	for range 5 {
		s.port = freePort(tb)
		if s.start() {
			return s
		}
	}
	tb.Fatalf("victoria-metrics did not start:\n%s", s.log())
	return nil
}

func (s *Server) log() []byte {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log")) // best effort: it only explains a failure
	return b[max(0, len(b)-8<<10):]
}

// URL is the address of the server. It stays the same over Stop and Restart.
func (s *Server) URL() string {
	return "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// Stop ends the server as a service manager does: it writes what it holds.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the server without warning: it loses what it had not written yet.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Restart starts a stopped server again on the same port with the same data;
// a running one is stopped first.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	if !s.start() {
		s.tb.Fatalf("victoria-metrics did not come back on %s:\n%s", s.URL(), s.log())
	}
}

// Flush makes everything that the server has taken visible to queries.
func (s *Server) Flush() {
	s.tb.Helper()
	if err := get(s.URL() + "/internal/force_flush"); err != nil {
		s.tb.Fatalf("flush victoria-metrics: %v", err)
	}
}

func get(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it is read to its end
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}

func (s *Server) end(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended by itself
	select {
	case <-s.ended:
	case <-time.After(startLimit):
		_ = s.cmd.Process.Kill() // it may just have ended
		s.tb.Errorf("victoria-metrics did not end within %v", startLimit)
	}
	s.waiter.Wait()
	s.cmd = nil
}

func (s *Server) start() bool {
	s.tb.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer func() { _ = log.Close() }()                                           // the server holds its own copy
	cmd := exec.CommandContext(context.Background(), s.program, append([]string{ //nolint:gosec // the program is found on the machine's own path
		"-storageDataPath=" + filepath.Join(s.dir, "data"), "-httpListenAddr=127.0.0.1:" + strconv.Itoa(s.port),
		"-dedup.minScrapeInterval=1ms", "-search.latencyOffset=0s", "-retentionPeriod=2y", "-memory.allowedBytes=128MB",
	}, s.flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.tb.Fatalf("start %s: %v", s.program, err)
	}
	ended := make(chan struct{})
	s.waiter.Go(func() {
		_ = cmd.Wait() // how it ended does not matter, that it did does
		close(ended)
	})
	for limit := time.Now().Add(startLimit); time.Now().Before(limit); {
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
		if get(s.URL()+"/health") == nil {
			s.cmd, s.ended = cmd, ended
			return true
		}
	}
	_ = cmd.Process.Kill() // it may just have ended
	s.waiter.Wait()
	return false
}

func find(tb testing.TB) string {
	tb.Helper()
	for _, name := range []string{"victoria-metrics", "victoria-metrics-prod"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	if os.Getenv("SHEDGUARD_REQUIRE_SERVERS") == "1" {
		tb.Fatal("victoria-metrics is not installed and SHEDGUARD_REQUIRE_SERVERS=1: apt-get install victoria-metrics")
	}
	tb.Skip("victoria-metrics is not installed: apt-get install victoria-metrics (SHEDGUARD_REQUIRE_SERVERS=1 makes this a failure)")
	return ""
}

func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nothing was accepted
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		tb.Fatalf("listener address %v: want TCP", l.Addr())
	}
	return addr.Port
}
