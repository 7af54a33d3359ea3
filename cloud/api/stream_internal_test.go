package api

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shedguard/shedguard/cloud/live"
)

// A stream on which nothing happens beats every 15 s and ends after its life.
func TestStreamBeatsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{ended: make(chan struct{})}
		feed := live.New(4, time.Now())
		w := httptest.NewRecorder()
		began := time.Now()
		time.AfterFunc(100*time.Second, func() { feed.Publish(live.Change{Kind: live.KindShed, Data: 1}) })
		if err := s.send(t.Context(), w, feed.Subscribe(0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("send: %v, want the end of its life", err)
		}
		if lived := time.Since(began); lived != streamLife {
			t.Errorf("lived %s, want %s", lived, streamLife)
		}
		// A change puts the next heartbeat off; 15 minutes hold 59 or 60.
		if beats := strings.Count(w.Body.String(), ": heartbeat\n\n"); beats < 58 || beats > 60 {
			t.Errorf("%d heartbeats", beats)
		}
		if !strings.Contains(w.Body.String(), "event: shed\ndata: 1\n\n") || !w.Flushed {
			t.Errorf("the change was not written: %s", w.Body)
		}
	})
}

func TestStreamOfChangesThatCannotBeEncoded(t *testing.T) {
	feed := live.New(4, time.Now())
	changes := feed.Subscribe(0)
	feed.Publish(live.Change{Kind: live.KindShed, Data: func() {}})
	s := &Server{ended: make(chan struct{})}
	if err := s.send(t.Context(), httptest.NewRecorder(), changes); err == nil || !strings.Contains(err.Error(), "encode change") {
		t.Errorf("send: %v", err)
	}
}

func TestClientAddress(t *testing.T) {
	for name, tt := range map[string]struct{ remote, forwarded, want string }{
		"direct":                 {"192.0.2.7:5", "", "192.0.2.7"},
		"direct, with a claim":   {"192.0.2.7:5", "10.0.0.1", "192.0.2.7"},
		"proxy on this machine":  {"127.0.0.1:5", "10.0.0.1", "10.0.0.1"},
		"its last word":          {"[::1]:5", "10.0.0.1, 10.0.0.2", "10.0.0.2"},
		"its last word, garbage": {"127.0.0.1:5", "10.0.0.1, x", "127.0.0.1"},
		"no port":                {"strange", "", "strange"},
	} {
		if got := clientAddress(tt.remote, tt.forwarded); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
