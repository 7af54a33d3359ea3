package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.yaml", "data: store\nbroker: {listen: '127.0.0.1:0'}\n")
	bad := write("bad.yaml", "datas: store\nhttp: {listen: 8080}\npresence: {silent: 1s}\n")
	occupied := write("occupied", "")
	taken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer taken.Close()
	write("hook.secret", "a secret of more than 16 bytes")
	told := write("told.yaml", `broker: {listen: "127.0.0.1:0"}
notify:
  channels: [{name: desk, webhook: {url: "`+taken.URL+`/yes", secret_file: hook.secret}}, {name: wall, webhook: {url: "`+taken.URL+`/no", secret_file: hook.secret}}]
  people: [{name: duty, channels: [desk]}]
  routes: [{sheds: ["*"], steps: [{people: [duty]}]}]
`)
	untold := write("untold.yaml", `broker: {listen: "127.0.0.1:0"}
notify: {people: [{name: duty, channels: [pigeon]}]}
`)
	tests := map[string]struct {
		args      []string
		code      int
		out, errs string
	}{
		"nothing":                 {nil, 0, "serve", ""},
		"help":                    {[]string{"--help"}, 0, "without a configuration", ""},
		"help of serve":           {[]string{"serve", "--help"}, 0, "--broker-listen", ""},
		"version":                 {[]string{"version"}, 0, "shedcloud ", ""},
		"unknown command":         {[]string{"swim"}, 2, "", "see shedcloud --help"},
		"unknown flag":            {[]string{"serve", "--fast"}, 2, "", "see shedcloud --help"},
		"bad log level":           {[]string{"--log-level", "loud", "version"}, 2, "", "log-level"},
		"serve without anything":  {[]string{"serve"}, 2, "", "want --config FILE"},
		"serve with a bad flag":   {[]string{"serve", "--data", dir, "--broker-listen", "0.0.0.0:1883"}, 2, "", "loopback"},
		"serve without its file":  {[]string{"serve", "--config", filepath.Join(dir, "none")}, 1, "", "no such file"},
		"serve with a bad file":   {[]string{"serve", "--config", bad}, 2, "", "http.listen"},
		"serve, data is a file":   {[]string{"serve", "--data", occupied, "--listen", "127.0.0.1:0", "--broker-listen", "127.0.0.1:0"}, 1, "", "data folder"},
		"serve, no password file": {[]string{"serve", "--config", good, "--admin-password-file", filepath.Join(dir, "none")}, 2, "", "admin password"},
		"serve, empty password":   {[]string{"serve", "--config", good, "--admin-password-file", occupied}, 2, "", "first line is empty"},
		"check good":              {[]string{"check", "--config", good}, 0, "good", ""},
		"check bad":               {[]string{"check", "--config", bad}, 2, "line 1: datas: want one of", "faults"},
		"check who is told":       {[]string{"check", "--config", told}, 0, "good", ""},
		"check who is not told":   {[]string{"check", "--config", untold}, 2, `notify.people[0].channels[0]: "pigeon": want one of []`, "2 faults"},
		"test a person":           {[]string{"notify", "test", "duty", "--config", told}, 0, "duty: the message was taken", ""},
		"test a channel":          {[]string{"notify", "test", "desk", "--config", told}, 0, "desk: the message was taken", ""},
		"test in vain":            {[]string{"notify", "test", "wall", "--config", told}, 1, "", "channel wall"},
		"test nobody":             {[]string{"notify", "test", "pigeon", "--config", told}, 2, "", "neither a person nor a channel"},
		"test without its file":   {[]string{"notify", "test", "duty", "--config", filepath.Join(dir, "none")}, 2, "", "no such file"},
		"check without its file":  {[]string{"check", "--config", filepath.Join(dir, "none")}, 2, "", "no such file"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			code := run(t.Context(), tt.args, &out, &errs)
			if code != tt.code || !strings.Contains(out.String(), tt.out) || !strings.Contains(errs.String(), tt.errs) {
				t.Errorf("exit %d, want %d\nstdout (want %q): %s\nstderr (want %q): %s", code, tt.code, tt.out, &out, tt.errs, &errs)
			}
		})
	}
}

// The random password is printed at the first start, and never again.
// said keeps what was written, and calls then when some words have been so often.
type said struct {
	mu    sync.Mutex // guards the rest
	text  bytes.Buffer
	until string
	left  int
	then  func()
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left -= bytes.Count(p, []byte(s.until)); s.left <= 0 {
		s.then()
	}
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestFirstLoginIsPrintedOnce(t *testing.T) {
	dir := t.TempDir()
	for i, want := range []bool{true, false} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		// It ends when all that is its own has come in: three links to its broker.
		errs := said{until: "link to the broker is up", left: 3, then: cancel}
		var out bytes.Buffer
		code := run(ctx, []string{"--log-format", "json", "serve", "--data", dir, "--listen", "127.0.0.1:0", "--broker-listen", "127.0.0.1:0"}, &out, &errs)
		cancel()
		if code != 0 || strings.Contains(errs.String(), "First login: user admin, password ") != want || out.Len() > 0 {
			t.Errorf("start %d: exit %d, stdout %q, stderr:\n%s", i, code, &out, &errs)
		}
	}
}
