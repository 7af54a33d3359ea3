package mosquittotest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startLimit is how long a broker may take until it accepts connections.
const startLimit = 10 * time.Second

// Server is one broker. Its methods are for the test's own goroutine.
type Server struct {
	tb      testing.TB
	program string
	dir     string
	port    int
	conf    string
	cmd     *exec.Cmd
	waiter  sync.WaitGroup
	ended   chan struct{}
}

// Start runs a broker until the test ends. The lines of conf are added behind
// the listener, so options of a listener (cafile, certfile, …) belong to it.
// Anonymous clients are let in unless conf says allow_anonymous itself.
func Start(tb testing.TB, conf ...string) *Server {
	tb.Helper()
	s := &Server{tb: tb, program: find(tb), dir: tb.TempDir()}
	for _, c := range conf {
		s.conf += c + "\n"
	}
	tb.Cleanup(func() {
		s.Stop()
		if tb.Failed() {
			if log, err := os.ReadFile(filepath.Join(s.dir, "mosquitto.log")); err == nil {
				tb.Logf("mosquitto.log:\n%s", log[max(0, len(log)-8<<10):])
			}
		}
	})
	// A port found free can be taken by another process before the broker binds it.
	for range 5 {
		s.port = freePort(tb)
		if s.start() {
			return s
		}
	}
	log, _ := os.ReadFile(filepath.Join(s.dir, "mosquitto.log")) // best effort: the log explains the failure
	tb.Fatalf("mosquitto did not start:\n%s", log)
	return nil
}

// Addr is the host:port that the broker listens on. It stays the same over
// Stop and Restart.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Dir is the folder of the broker's configuration, log and store.
func (s *Server) Dir() string { return s.dir }

// Stop ends the broker as a service manager does: it writes its store.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill ends the broker without warning.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Pause stops the broker from running while its connections stay open, as a
// machine that hangs does; Resume lets it go on.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

// Restart starts a stopped broker again on the same port with the same store;
// a running one is stopped first.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	if !s.start() {
		s.tb.Fatalf("mosquitto did not come back on %s", s.Addr())
	}
}

func (s *Server) signal(sig os.Signal) {
	if s.cmd != nil {
		if err := s.cmd.Process.Signal(sig); err != nil {
			s.tb.Errorf("mosquitto: signal %v: %v", sig, err)
		}
	}
}

func (s *Server) end(sig syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGCONT) // a paused broker cannot end itself
	_ = s.cmd.Process.Signal(sig)             // it may have ended by itself
	select {
	case <-s.ended:
	case <-time.After(startLimit):
		_ = s.cmd.Process.Kill() // it may just have ended
		s.tb.Errorf("mosquitto did not end within %v", startLimit)
	}
	s.waiter.Wait()
	s.cmd = nil
}

func (s *Server) start() bool {
	s.tb.Helper()
	text := fmt.Sprintf("user root\npersistence true\npersistence_location %s/\nautosave_interval 1\n"+
		"log_dest file %s\nlog_type all\nconnection_messages true\n", s.dir, filepath.Join(s.dir, "mosquitto.log"))
	if !strings.Contains("\n"+s.conf, "\nallow_anonymous") {
		text += "allow_anonymous true\n"
	}
	text += fmt.Sprintf("listener %d 127.0.0.1\n%s", s.port, s.conf)
	path := filepath.Join(s.dir, "mosquitto.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.tb.Fatal(err)
	}
	cmd := exec.CommandContext(context.Background(), s.program, "-c", path) //nolint:gosec // the program is found on the machine's own path
	if err := cmd.Start(); err != nil {
		s.tb.Fatalf("start %s: %v", s.program, err)
	}
	ended := make(chan struct{})
	s.waiter.Go(func() {
		_ = cmd.Wait() // how it ended does not matter, that it did does
		close(ended)
	})
	dialer := net.Dialer{Timeout: time.Second}
	for limit := time.Now().Add(startLimit); time.Now().Before(limit); {
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
		c, err := dialer.DialContext(context.Background(), "tcp", s.Addr())
		if err == nil {
			_ = c.Close() // it only had to open
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
	if p, err := exec.LookPath("mosquitto"); err == nil {
		return p
	}
	// Debian puts it where only root's search path looks.
	const debian = "/usr/sbin/mosquitto"
	if _, err := os.Stat(debian); err == nil {
		return debian
	}
	if os.Getenv("SHEDGUARD_REQUIRE_SERVERS") == "1" {
		tb.Fatal("mosquitto is not installed and SHEDGUARD_REQUIRE_SERVERS=1: apt-get install mosquitto")
	}
	tb.Skip("mosquitto is not installed: apt-get install mosquitto (SHEDGUARD_REQUIRE_SERVERS=1 makes this a failure)")
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
