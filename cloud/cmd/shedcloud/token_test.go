package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// shared is a buffer that is written and read at the same time.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// A token is made, used and ended beside a running collector.
func TestTokenBesideACollector(t *testing.T) {
	dir := t.TempDir()
	token := func(code int, args ...string) (out, errs string) {
		t.Helper()
		var o, e bytes.Buffer
		if got := run(t.Context(), append([]string{"token"}, append(args, "--data", dir)...), &o, &e); got != code {
			t.Errorf("token %q: exit %d, want %d: %s", args, got, code, &e)
		}
		return o.String(), e.String()
	}
	if _, errs := token(2, "list"); !strings.Contains(errs, "start shedcloud there first") {
		t.Errorf("without a book: %s", errs)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var errs shared
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--broker-listen", "127.0.0.1:0"}, io.Discard, &errs)
	}()
	defer func() {
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("serve: exit %d:\n%s", code, &errs)
		}
	}()
	page := ""
	for over := time.After(20 * time.Second); page == ""; {
		if found := regexp.MustCompile(`page=(http://\S+)`).FindStringSubmatch(errs.String()); found != nil {
			page = found[1]
		}
		select {
		case <-over:
			t.Fatalf("does not serve:\n%s", &errs)
		case <-time.After(20 * time.Millisecond):
		}
	}
	ask := func(token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, page+"/api/v1/prom/api/v1/query?query=1", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		return res.StatusCode
	}
	out, _ := token(0, "create", "--name", "grafana", "--read-only")
	made := strings.TrimSpace(out)
	if got := ask(made); got != 200 {
		t.Errorf("with the token: %d", got)
	}
	if got := ask(made + "x"); got != 401 {
		t.Errorf("with another token: %d", got)
	}
	token(2, "create", "--name", "grafana", "--read-only")
	token(2, "create", "--name", "grafana2", "--read-only=false")
	if list, _ := token(0, "list"); !strings.Contains(list, "grafana") || strings.Contains(list, made) || strings.Contains(list, "never") {
		t.Errorf("list: %s", list)
	}
	token(0, "revoke", "grafana")
	token(2, "revoke", "grafana")
	if got := ask(made); got != 401 {
		t.Errorf("with the ended token: %d", got)
	}
}
