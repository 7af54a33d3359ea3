package victoriatest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/shedguard/shedguard/internal/servertest"
)

// startLimit is how long a server may take until it answers, or to end.
const startLimit = 20 * time.Second

// Server is one VictoriaMetrics. Its methods are for the test's own goroutine.
type Server struct {
	*servertest.Process
	tb testing.TB
}

// Start runs a server until the test ends. The flags are added behind the
// usual ones and override them.
func Start(tb testing.TB, flags ...string) *Server {
	tb.Helper()
	return &Server{tb: tb, Process: servertest.Start(tb, &servertest.Spec{
		Name: "victoria-metrics", Package: "victoria-metrics", Limit: startLimit,
		Programs: []string{"victoria-metrics", "victoria-metrics-prod"},
		End:      syscall.SIGKILL, // nobody reads the data again
		Args: func(dir string, port int) []string {
			return append([]string{
				"-storageDataPath=" + filepath.Join(dir, "data"), "-httpListenAddr=127.0.0.1:" + strconv.Itoa(port),
				"-dedup.minScrapeInterval=1ms", "-search.latencyOffset=0s", "-retentionPeriod=2y", "-memory.allowedBytes=128MB",
			}, flags...)
		},
		Up: func(addr string) bool { return get("http://"+addr+"/health") == nil },
	})}
}

// URL is the address of the server. It stays the same over Stop and Restart.
func (s *Server) URL() string { return "http://" + s.Addr() }

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
