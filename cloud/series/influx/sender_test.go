package influx

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"github.com/shedguard/shedguard/cloud/series/influx/queue"
)

// records is a queue of one point per record, in memory.
type records struct {
	mu        *sync.Mutex
	held      []string
	next      int
	confirmed int
}

func (r *records) Next() (queue.Record, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == len(r.held) {
		return queue.Record{}, false, nil
	}
	r.next++
	return queue.Record{Data: []byte(r.held[r.next-1]), Points: 1, At: time.Now()}, true, nil
}

func (r *records) Rewind() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = r.confirmed
}

func (r *records) points() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.held)
}

func (r *records) Close() error { return nil }

func (r *records) confirm(queue.Position) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.confirmed = r.next
	return nil
}

// database is what the sender writes to.
type database struct {
	mu    *sync.Mutex
	err   error
	dials uint64
	got   []string
	at    []time.Time
}

func (d *database) write(_ context.Context, lines ...string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = append(d.at, time.Now())
	if d.err == nil {
		d.got = append(d.got, lines...)
	}
	return d.err
}

func (d *database) ping(context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

func (d *database) dialled() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dials
}

// sending runs a sender in a bubble. The test holds the lock of the fakes
// except while it sleeps.
func sending(t *testing.T, test func(r *records, d *database, s *sender, sleep func(time.Duration))) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		r, d := &records{mu: &mu}, &database{mu: &mu, dials: 1}
		wake := make(chan struct{}, 1)
		s := &sender{
			source: r, wake: wake, write: d.write, log: slog.New(slog.DiscardHandler), aside: map[uint64]bool{}, settle: 10 * time.Second,
			points: r.points, confirm: r.confirm, ping: d.ping, dials: d.dialled, ends: func() bool { return false },
			refused: filepath.Join(t.TempDir(), "refused.lp"),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.run(ctx); close(done) }()
		synctest.Wait()
		mu.Lock()
		test(r, d, s, func(span time.Duration) {
			select {
			case wake <- struct{}{}:
			default:
			}
			mu.Unlock()
			time.Sleep(span)
			synctest.Wait()
			mu.Lock()
		})
		mu.Unlock()
		cancel()
		<-done
	})
}

func TestWrittenIsKeptUntilItSettles(t *testing.T) {
	sending(t, func(r *records, d *database, _ *sender, sleep func(time.Duration)) {
		r.held = []string{"a\n"}
		sleep(9 * time.Second)
		if len(d.got) != 1 || r.confirmed != 0 {
			t.Errorf("after 9 s written %q, confirmed %d: want it written and kept", d.got, r.confirmed)
		}
		sleep(2 * time.Second)
		if len(d.got) != 1 || r.confirmed != 1 {
			t.Errorf("after 11 s written %q, confirmed %d: want it let go", d.got, r.confirmed)
		}
	})
}

func TestNewConnectionSendsAgain(t *testing.T) {
	sending(t, func(r *records, d *database, s *sender, sleep func(time.Duration)) {
		r.held = []string{"a\n"}
		sleep(5 * time.Second)
		d.dials++ // the database went away and came back
		sleep(6 * time.Second)
		if len(d.got) != 2 || r.confirmed != 0 || s.resent.Load() != 1 {
			t.Errorf("written %q, confirmed %d: want it written twice and kept", d.got, r.confirmed)
		}
		sleep(11 * time.Second)
		if len(d.got) != 2 || r.confirmed != 1 {
			t.Errorf("written %q, confirmed %d: want it let go", d.got, r.confirmed)
		}
	})
}

func TestPausesGrowAndEnd(t *testing.T) {
	sending(t, func(r *records, d *database, s *sender, sleep func(time.Duration)) {
		d.err = influxhttp.NewError(errors.New("connection refused"))
		r.held = []string{"a\n"}
		for range 600 { // new points do not shorten the pauses
			sleep(time.Second)
		}
		n := len(d.at)
		if n < 600/31 || n > 120 {
			t.Errorf("%d attempts in 10 minutes", n)
		}
		if gap := d.at[1].Sub(d.at[0]); gap < firstPause || gap > 2*firstPause {
			t.Errorf("first pause %v", gap)
		}
		for i := 1; i < n; i++ {
			if gap := d.at[i].Sub(d.at[i-1]); gap < firstPause || gap > longestPause {
				t.Errorf("pause %d: %v, want %v to %v", i, gap, firstPause, longestPause)
			}
		}
		d.err = nil
		sleep(longestPause + time.Second)
		if len(d.got) != 1 || uint64(n) != s.retries.Load() {
			t.Errorf("written %q, %d retries of %d", d.got, s.retries.Load(), n)
		}
	})
}

func TestRetryAfterIsHeeded(t *testing.T) {
	sending(t, func(r *records, d *database, _ *sender, sleep func(time.Duration)) {
		busy := influxhttp.NewError(nil)
		busy.StatusCode, busy.Code, busy.Message, busy.RetryAfter = 429, "too many requests", "", 20
		d.err = busy
		r.held = []string{"a\n"}
		sleep(61 * time.Second)
		for i := 1; i < len(d.at); i++ {
			if gap := d.at[i].Sub(d.at[i-1]); gap < 20*time.Second {
				t.Errorf("pause %v, want at least 20 s", gap)
			}
		}
		if len(d.at) < 2 {
			t.Errorf("%d attempts", len(d.at))
		}
	})
}
