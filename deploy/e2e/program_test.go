package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// within bounds every wait for what must come; nothing is measured by it. A
	// gateway may wait up to a minute between two attempts to connect.
	within = 90 * time.Second
	// endWithin bounds the end of a program that was asked to end.
	endWithin = 10 * time.Second
	lookEvery = 25 * time.Millisecond
)

// until waits for something that comes by itself.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(within)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		case <-t.Context().Done():
			t.Fatalf("test ended: %s", what)
		case <-time.After(lookEvery):
		}
	}
}

// program is a running program.
type program struct {
	cmd     *exec.Cmd
	logPath string
	ended   chan struct{}
	err     error // of the end; read after ended
}

// start runs a program of bin until it ends, is killed, or the test ends.
func start(t *testing.T, name string, args ...string) *program {
	t.Helper()
	return startWith(t, nil, name, args...)
}

// startWith runs it with more in its environment.
func startWith(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()
	log, err := os.CreateTemp(t.TempDir(), name+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &program{logPath: log.Name(), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(bin, name), args...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Env = log, log, append(os.Environ(), env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			b := []byte(p.log(t))
			t.Logf("log of %s:\n%s", name, b[max(0, len(b)-8<<10):])
		}
	})
	return p
}

// kill ends the program as kill -9 does, and waits until it is gone.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// end ends the program as a person or service manager does; it must end well.
func (p *program) end(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
		if p.err != nil {
			t.Errorf("%s ended with %v on %v", p.cmd.Path, p.err, sig)
		}
	case <-time.After(endWithin):
		t.Errorf("%s did not end within %s of %v", p.cmd.Path, endWithin, sig)
		p.kill()
	}
}

func (p *program) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(p.logPath)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// logged are the lines of the log whose message is msg.
func (p *program) logged(t *testing.T, msg string) (lines []map[string]any) {
	t.Helper()
	for line := range strings.Lines(p.log(t)) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["msg"] == msg {
			lines = append(lines, m)
		}
	}
	return lines
}

// awaitLog waits for a message of the log and returns one of its attributes.
func (p *program) awaitLog(t *testing.T, msg, key string) (value string) {
	t.Helper()
	until(t, fmt.Sprintf("%s logs %q", filepath.Base(p.cmd.Path), msg), func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s ended while it started: %v\n%s", p.cmd.Path, p.err, p.log(t))
		default:
		}
		lines := p.logged(t, msg)
		if len(lines) > 0 {
			value = fmt.Sprint(lines[0][key])
		}
		return len(lines) > 0
	})
	return value
}

// client asks a program over HTTP.
type client struct {
	base string
	http *http.Client
}

func newClient(t *testing.T, base string) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{base: base, http: &http.Client{Jar: jar, Transport: &http.Transport{}, Timeout: 30 * time.Second}}
	t.Cleanup(c.http.CloseIdleConnections)
	return c
}

// try asks and reads a good answer into out, which may be nil.
func (c *client) try(t *testing.T, method, path string, body, out any) error {
	t.Helper()
	var in io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, c.base+path, in)
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

// get asks for what must be there.
func (c *client) get(t *testing.T, path string, out any) {
	t.Helper()
	if err := c.try(t, http.MethodGet, path, nil, out); err != nil {
		t.Fatal(err)
	}
}

// metrics are the series of /metrics by name with labels.
func (c *client) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.base+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	m := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		line := lines.Text()
		cut := strings.LastIndexByte(line, ' ')
		if cut < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[cut+1:], 64); err == nil {
			m[line[:cut]] = v
		}
	}
	return m
}
