package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/notify"
	"github.com/shedguard/shedguard/cloud/notify/webhook"
)

const crashEscalation = 2 * time.Second

// crashSettings tell the first at once and the second two seconds later, over webhooks of a
// receiver.
func crashSettings(receiver, secretFile string) notify.Settings {
	channel := func(name string) notify.Channel {
		return notify.Channel{Name: name, Webhook: &notify.Webhook{URL: receiver + "/" + name, SecretFile: secretFile}}
	}
	return notify.Settings{
		Channels: []notify.Channel{channel("first-hook"), channel("second-hook")},
		People:   []notify.Person{{Name: "first", Channels: []string{"first-hook"}}, {Name: "second", Channels: []string{"second-hook"}}},
		Routes:   []notify.Route{{Sheds: []string{"*"}, Steps: []notify.Step{{People: []string{"first"}}, {After: crashEscalation, People: []string{"second"}}}}},
	}
}

// crashChild is a collector's notifier until it is killed.
func crashChild() {
	ctx := context.Background()
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	b, err := book.Open(ctx, book.Options{Path: os.Getenv("NOTIFY_CRASH_BOOK")})
	fail(err)
	n, err := notify.New(notify.Options{
		Settings: crashSettings(os.Getenv("NOTIFY_CRASH_RECEIVER"), os.Getenv("NOTIFY_CRASH_SECRET")), Book: b,
	})
	fail(err)
	fail(n.Run(ctx))
}

// For an alarm that nobody acknowledges the second person is reached after the
// configured time. After kill -9 between the two exactly one more is sent.
func TestKillBetweenFirstAndSecond(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, alive := range map[string]bool{"killed between the two": false, "not killed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const word = "0123456789abcdef"
			got := make(chan string, 100)
			receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				var p webhook.Payload
				if err := webhook.Verify(r.Header, []byte(word), body, time.Now()); err != nil {
					got <- err.Error()
				} else if err := json.Unmarshal(body, &p); err != nil {
					got <- err.Error()
				} else {
					got <- strings.TrimPrefix(r.URL.Path, "/") + " " + p.Kind
				}
			}))
			defer receiver.Close()
			path, ctx := filepath.Join(t.TempDir(), "book.db"), t.Context()
			b := openBook(t, path, nil)
			now := time.Now()
			if _, err := b.PutEvent(ctx, event(t, shedguard.EventAlarmRaised, 1, 1, shedguard.SeverityCritical, now), now); err != nil {
				t.Fatal(err)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			start := func() (kill func()) {
				t.Helper()
				cmd := exec.CommandContext(ctx, exe)
				cmd.Env = append(os.Environ(), "NOTIFY_CRASH_BOOK="+path, "NOTIFY_CRASH_RECEIVER="+receiver.URL, "NOTIFY_CRASH_SECRET="+secret(t, word))
				cmd.Stderr = os.Stderr
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				return func() {
					if err := cmd.Process.Kill(); err != nil {
						t.Error(err)
					}
					_ = cmd.Wait() // killed
				}
			}
			next := func(want string) {
				t.Helper()
				select {
				case s := <-got:
					if s != want {
						t.Fatalf("received %q, want %q", s, want)
					}
				case <-time.After(20 * time.Second):
					t.Fatalf("nothing was received, want %q", want)
				}
			}
			kill := start()
			next("first-hook raised")
			first := time.Now()
			if !alive {
				sent(t, path, 1) // the kill is to come after it was marked
				kill()
				kill = start()
			}
			next("second-hook escalated")
			if gap := time.Since(first); gap < crashEscalation-500*time.Millisecond {
				t.Errorf("the second person was reached after %v, want %v", gap, crashEscalation)
			}
			sent(t, path, 2)
			kill()
			kill = start() // whoever comes next has nothing to send
			select {
			case s := <-got:
				t.Errorf("received %q once more", s)
			case <-time.After(1500 * time.Millisecond): // before the first reminder
			}
			kill()
			b = openBook(t, path, nil)
			page, _, err := b.Deliveries(ctx, book.DeliveryQuery{})
			if err != nil || len(page) != 2 || len(page[0].Log) != 1 || len(page[1].Log) != 1 {
				t.Errorf("log %+v, %v: want two deliveries with one attempt each", page, err)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Killed at any moment, again and again: every message arrives; one that
// arrives twice was under way when the program was killed, and has the same id.
func TestKillAnywhere(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const word, alarms = "0123456789abcdef", 40
	var mu sync.Mutex
	got, arrived := map[string]int{}, make(chan struct{}, 10*alarms)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var p webhook.Payload
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.Kind != "raised" {
			return
		}
		mu.Lock()
		got[p.ID]++
		mu.Unlock()
		arrived <- struct{}{}
	}))
	defer receiver.Close()
	path, ctx := filepath.Join(t.TempDir(), "book.db"), t.Context()
	b := openBook(t, path, nil)
	for n := range alarms {
		if _, err := b.PutEvent(ctx, event(t, shedguard.EventAlarmRaised, n+1, n+1, shedguard.SeverityCritical, time.Now()), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	key := secret(t, word)
	kills := 0
	for {
		cmd := exec.CommandContext(ctx, exe)
		cmd.Env = append(os.Environ(), "NOTIFY_CRASH_BOOK="+path, "NOTIFY_CRASH_RECEIVER="+receiver.URL, "NOTIFY_CRASH_SECRET="+key)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		few := time.After(2 * time.Second) // the last ones may all be there
		for n := 0; n < 3+kills; n++ {
			select {
			case <-arrived:
			case <-few:
				n = alarms
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // killed
		kills++
		page, _, err := b.Deliveries(ctx, book.DeliveryQuery{Person: "first", Limit: book.MaxPage})
		if err != nil {
			t.Fatal(err)
		}
		done := 0
		for _, d := range page {
			if d.Kind == book.NoticeRaised && d.State == book.DeliverySent {
				done++
			}
		}
		if done == alarms {
			mu.Lock()
			defer mu.Unlock()
			twice := 0
			for _, d := range page {
				if d.Kind != book.NoticeRaised {
					continue
				}
				tries := len(d.Log)
				if n := got[d.ID]; n < 1 || n > tries {
					t.Errorf("delivery %s arrived %d times in %d attempts", d.ID, n, tries)
				} else if n > 1 {
					twice++
				}
			}
			if len(got) != alarms || twice > 2*kills { // two workers
				t.Errorf("%d ids for %d alarms, %d of them twice after %d kills", len(got), alarms, twice, kills)
			}
			t.Logf("%d kills, %d of %d messages came twice", kills, twice, alarms)
			break
		}
		if kills > 60 {
			t.Fatalf("%d of %d sent after %d kills", done, alarms, kills)
		}
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// sent waits until that many deliveries are marked as sent on the disk.
func sent(t *testing.T, path string, want int) {
	t.Helper()
	b := openBook(t, path, nil)
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		page, _, err := b.Deliveries(t.Context(), book.DeliveryQuery{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, d := range page {
			if d.State == book.DeliverySent {
				n++
			}
		}
		if n == want {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d deliveries are marked as sent, want %d", n, want)
		}
	}
}
