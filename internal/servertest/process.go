package servertest

import (
	"context"
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

// Spec says what is run.
type Spec struct {
	// Name is that of the server in messages, and Package that of Debian.
	Name, Package string
	// Programs are the names that the program may have, or paths.
	Programs []string
	// Limit is how long it may take until it is up, or to end.
	Limit time.Duration
	// Args makes the arguments, and what files they name, for each start.
	Args func(dir string, port int) []string
	// Up reports whether the server at the address, host:port, does its work.
	Up func(addr string) bool
	// End is the signal at the end of the test.
	End syscall.Signal
}

// Process is one server. Its methods are for the test's own goroutine.
type Process struct {
	tb      testing.TB
	spec    *Spec
	program string
	dir     string
	port    int
	cmd     *exec.Cmd
	waiter  sync.WaitGroup
	ended   chan struct{}
}

// Start runs a server until the test ends, or skips the test when its program is
// not there.
func Start(tb testing.TB, spec *Spec) *Process {
	tb.Helper()
	p := &Process{tb: tb, spec: spec, program: find(tb, spec), dir: tb.TempDir()}
	tb.Cleanup(func() {
		p.end(spec.End)
		if tb.Failed() {
			tb.Logf("%s log:\n%s", spec.Name, p.log())
		}
	})
	// A port found free can be taken by another process before the server binds it.
	for range 5 {
		p.port = freePort(tb)
		if p.start() {
			return p
		}
	}
	tb.Fatalf("%s did not start:\n%s", spec.Name, p.log())
	return nil
}

// Addr is the host:port of the server. It stays the same over Stop and Restart.
func (p *Process) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)) }

// Dir is the folder of the server's files.
func (p *Process) Dir() string { return p.dir }

// Stop ends the server as a service manager does: it writes what it holds.
func (p *Process) Stop() { p.end(syscall.SIGTERM) }

// Kill ends the server without warning: it loses what it had not written yet.
func (p *Process) Kill() { p.end(syscall.SIGKILL) }

// Pause stops the server from running while its connections stay open, as a
// machine that hangs does; Resume lets it go on.
func (p *Process) Pause() { p.signal(syscall.SIGSTOP) }

// Resume undoes Pause.
func (p *Process) Resume() { p.signal(syscall.SIGCONT) }

// Restart starts a stopped server again on the same port with the same data; a
// running one is stopped first.
func (p *Process) Restart() {
	p.tb.Helper()
	p.Stop()
	if !p.start() {
		p.tb.Fatalf("%s did not come back on %s:\n%s", p.spec.Name, p.Addr(), p.log())
	}
}

func (p *Process) signal(sig os.Signal) {
	if p.cmd != nil {
		if err := p.cmd.Process.Signal(sig); err != nil {
			p.tb.Errorf("%s: signal %v: %v", p.spec.Name, sig, err)
		}
	}
}

// log is the end of what the server wrote.
func (p *Process) log() []byte {
	b, _ := os.ReadFile(filepath.Join(p.dir, "log")) // best effort: it only explains a failure
	return b[max(0, len(b)-8<<10):]
}

func (p *Process) end(sig syscall.Signal) {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // a paused server cannot end itself
	_ = p.cmd.Process.Signal(sig)             // it may have ended by itself
	select {
	case <-p.ended:
	case <-time.After(p.spec.Limit):
		_ = p.cmd.Process.Kill() // it may just have ended
		p.tb.Errorf("%s did not end within %v", p.spec.Name, p.spec.Limit)
	}
	p.waiter.Wait()
	p.cmd = nil
}

func (p *Process) start() bool {
	p.tb.Helper()
	log, err := os.OpenFile(filepath.Join(p.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer func() { _ = log.Close() }()                                                         // the server holds its own copy
	cmd := exec.CommandContext(context.Background(), p.program, p.spec.Args(p.dir, p.port)...) //nolint:gosec // the program is found on the machine's own path
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		p.tb.Fatalf("start %s: %v", p.program, err)
	}
	ended := make(chan struct{})
	p.waiter.Go(func() {
		_ = cmd.Wait() // how it ended does not matter, that it did does
		close(ended)
	})
	for limit := time.Now().Add(p.spec.Limit); time.Now().Before(limit); {
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
		if p.spec.Up(p.Addr()) {
			p.cmd, p.ended = cmd, ended
			return true
		}
	}
	_ = cmd.Process.Kill() // it may just have ended
	p.waiter.Wait()
	return false
}

func find(tb testing.TB, spec *Spec) string {
	tb.Helper()
	for _, name := range spec.Programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Missing(tb, spec.Name+" is not installed: apt-get install "+spec.Package+" (looked for "+strings.Join(spec.Programs, ", ")+")")
	return ""
}

// Missing ends a test for which something is not installed: it is skipped, unless
// SHEDGUARD_REQUIRE_SERVERS=1 makes that a failure.
func Missing(tb testing.TB, why string) {
	tb.Helper()
	if os.Getenv("SHEDGUARD_REQUIRE_SERVERS") == "1" {
		tb.Fatal(why + " (SHEDGUARD_REQUIRE_SERVERS=1)")
	}
	tb.Skip(why + " (SHEDGUARD_REQUIRE_SERVERS=1 makes this a failure)")
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
