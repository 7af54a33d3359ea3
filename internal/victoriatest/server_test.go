package victoriatest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/internal/victoriatest"
)

func export(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url + "/api/v1/export?match[]=outlet_watts")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRestartKeepsPortAndData(t *testing.T) {
	s := victoriatest.Start(t)
	url := s.URL()
	resp, err := http.Post(url+"/api/v2/write", "text/plain", strings.NewReader("outlet,shed=a watts=42\n"))
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	s.Flush()
	s.Stop()
	if resp, err := http.Get(url + "/health"); err == nil {
		_ = resp.Body.Close()
		t.Fatal("a stopped server still answers")
	}
	s.Restart()
	if s.URL() != url {
		t.Errorf("address after restart %s, want %s", s.URL(), url)
	}
	// The index of a server that has just started is not there at once.
	got := export(t, url)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(got, "[42]") && time.Now().Before(deadline); got = export(t, url) {
		<-time.After(50 * time.Millisecond)
	}
	if !strings.Contains(got, "[42]") {
		t.Errorf("after restart %q, want the value 42", got)
	}
	s.Kill()
	s.Restart()
}
