package notify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/notify"
)

func TestMain(m *testing.M) {
	if os.Getenv("NOTIFY_CRASH_BOOK") != "" {
		crashChild()
	}
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"), // ends a moment after Close
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),    // idle connections of shoutrrr's own clients
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
	)
}

const boot = "01KAAAAAAAAAAAAAAAAAAAAAA1"

// event is one event of alarm number n of shed north-1.
func event(tb testing.TB, typ string, num, n int, severity shedguard.Severity, at time.Time) shedguard.Event {
	tb.Helper()
	e, err := shedguard.NewEvent(id(1_000_000+num), shedguard.Source("north-1"), typ, shedguard.OutletSubject(n), at, shedguard.Alarm{
		ID: id(n), Cause: shedguard.CauseShortCircuit, Severity: severity, Level: int(severity), RaisedAt: at, Since: at,
		Value: 31, Limit: 30, Unit: "A", Action: shedguard.ActionTripped, Latched: true, Evidence: []string{},
		Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: boot, Seq: uint64(num)},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// desk is a book with a notifier, for tests in a bubble.
type desk struct {
	t    *testing.T
	book *book.Book
	n    *notify.Notifier
	num  int

	grain time.Duration // of the times in said, at least a second

	mu   sync.Mutex
	said []string // "time channel kind subject"
	t0   time.Time
}

func openBook(tb testing.TB, path string, changed func(book.Change)) *book.Book {
	tb.Helper()
	b, err := book.Open(tb.Context(), book.Options{Path: path, Changed: changed})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// fake is a channel of a test: it notes what it is asked to send, and answers
// as told.
type fake struct {
	desk *desk
	name string
	send func(ctx context.Context, m *notify.Message) (bool, error) // nil: sent
}

func (f *fake) Send(ctx context.Context, m *notify.Message) (retry bool, err error) {
	if f.send != nil {
		retry, err = f.send(ctx, m)
	}
	f.desk.mu.Lock()
	defer f.desk.mu.Unlock()
	word := "sent"
	if err != nil {
		word = "failed"
	}
	var alarms []string
	for _, a := range m.Alarms {
		alarms = append(alarms, strings.TrimLeft(a.ID, "0"))
	}
	f.desk.said = append(f.desk.said, fmt.Sprintf("%v %s %s %s %s",
		time.Since(f.desk.t0).Truncate(max(f.desk.grain, time.Second)), f.name, word, m.Kind, strings.Join(alarms, ",")))
	return retry, err
}

// bubble runs play with a running notifier in a bubble of its own time.
func bubble(t *testing.T, s notify.Settings, sends map[string]func(context.Context, *notify.Message) (bool, error), play func(d *desk)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "book.db")
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, t0: time.Now()}
		d.book = openBook(t, path, func(c book.Change) {
			if c.Alarm != nil {
				d.n.Wake()
			}
		})
		senders := map[string]notify.Sender{}
		for _, c := range s.Channels {
			senders[c.Name] = &fake{desk: d, name: c.Name, send: sends[c.Name]}
		}
		var err error
		if d.n, err = notify.New(notify.Options{Settings: s, Book: d.book, Senders: senders}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() {
			if err := d.n.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		play(d)
		cancel()
		run.Wait()
		if err := d.book.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (d *desk) event(typ string, alarm int, severity shedguard.Severity) {
	d.t.Helper()
	d.num++
	if _, err := d.book.PutEvent(d.t.Context(), event(d.t, typ, d.num, alarm, severity, time.Now()), time.Now()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) raise(alarm int) {
	d.t.Helper()
	d.event(shedguard.EventAlarmRaised, alarm, shedguard.SeverityMajor)
}

// pass lets time pass.
func (d *desk) pass(span time.Duration) {
	time.Sleep(span)
	synctest.Wait()
}

func (d *desk) want(want ...string) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if diff := cmp.Diff(want, d.said); diff != "" {
		d.t.Errorf("said (-want +got):\n%s", diff)
	}
}

// TestZoneThatIsCut: twelve outlets that latch within a second are one message a
// person, and no alarm is left out of it.
func TestZoneThatIsCut(t *testing.T) {
	bubble(t, settings(), nil, func(d *desk) {
		for n := range 12 {
			d.num++
			now := time.Now()
			e, err := shedguard.NewEvent(id(1_000_000+d.num), shedguard.Source("north-1"), shedguard.EventAlarmRaised, shedguard.OutletSubject(n+1), now, shedguard.Alarm{
				ID: id(n + 1), Cause: shedguard.CauseSmokeContact, Severity: shedguard.SeverityCritical, Level: 1, Grade: shedguard.GradeAlarm,
				RaisedAt: now, Since: now, Action: shedguard.ActionCutZone, Latched: true, Evidence: []string{},
				Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: boot, Seq: uint64(d.num)},
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.book.PutEvent(d.t.Context(), e, now); err != nil {
				t.Fatal(err)
			}
			d.pass(80 * time.Millisecond)
		}
		d.pass(5 * time.Second)
		slices.Sort(d.said)
		d.want("2s c-group sent raised 1,2,3,4,5,6,7,8,9,10,11,12", "2s c-li sent raised 1,2,3,4,5,6,7,8,9,10,11,12")
	})
}

func TestTellsUntilSomebodyAnswers(t *testing.T) {
	bubble(t, settings(), nil, func(d *desk) {
		d.raise(1)
		d.pass(8 * time.Minute)
		want := []string{
			"0s c-li sent raised 1", "2m0s c-li sent reminder 1", "5m0s c-wang sent escalated 1",
			"7m0s c-li sent reminder 1", "7m0s c-wang sent reminder 1",
		}
		slices.Sort(d.said[3:]) // two channels at one moment
		d.want(want...)
		if _, err := d.book.Acknowledge(d.t.Context(), id(1), "li", "", time.Now()); err != nil {
			d.t.Fatal(err)
		}
		d.pass(3 * time.Hour)
		d.want(want...)
		d.event(shedguard.EventAlarmCleared, 1, shedguard.SeverityCleared)
		d.pass(3 * time.Hour)
		slices.Sort(d.said[5:])
		d.want(append(want, "3h8m0s c-li sent cleared 1", "3h8m0s c-wang sent cleared 1")...)
		page, next, err := d.n.Log(d.t.Context(), book.DeliveryQuery{Alarm: id(1)})
		if err != nil || len(page) != 7 || next != "" {
			d.t.Fatalf("log: %d deliveries, next %q, %v", len(page), next, err)
		}
		first := page[6]
		if first.Person != "li" || first.State != book.DeliverySent || first.Channel != "c-li" || first.Attempts != 1 ||
			len(first.Log) != 1 || first.Log[0].Result != book.AttemptSent || len(first.Notices) != 1 {
			d.t.Errorf("first delivery %+v", first)
		}
		if got := d.n.Stats(); got.Sent != 7 || got.Pending != 0 || got.Failed != 0 {
			d.t.Errorf("stats %+v", got)
		}
	})
}

// A severe alarm that was over before it could be told is told once, and its
// end not again.
func TestOverBeforeTold(t *testing.T) {
	bubble(t, settings(), nil, func(d *desk) {
		synctest.Wait() // the notifier has begun
		at := time.Now()
		for i, typ := range []string{shedguard.EventAlarmRaised, shedguard.EventAlarmCleared} {
			if _, err := d.book.PutEvent(d.t.Context(), event(d.t, typ, i+1, 1, shedguard.SeverityMajor, at), at); err != nil {
				d.t.Fatal(err)
			}
		}
		d.pass(time.Hour)
		d.want("0s c-li sent raised 1")
	})
}

// A plan that read the book before a message was marked as sent, and ends
// after, does not send it again.
func TestStalePlanSendsNothingTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.db")
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, t0: time.Now()}
		d.book = openBook(t, path, nil)
		d.raise(1)
		slow := func(context.Context, *notify.Message) (bool, error) {
			time.Sleep(4500 * time.Millisecond)
			return false, nil
		}
		n, err := notify.New(notify.Options{Settings: settings(), Book: lagging{d.book}, Senders: map[string]notify.Sender{
			"c-li": &fake{d, "c-li", slow}, "c-li-2": &fake{d, "c-li-2", nil}, "c-wang": &fake{d, "c-wang", nil}, "c-group": &fake{d, "c-group", nil},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
		d.want("5s c-li sent raised 1")
		if err := d.book.Close(); err != nil {
			t.Error(err)
		}
	})
}

// lagging is a book whose state is a second old when it is given.
type lagging struct{ *book.Book }

func (b lagging) NotifyState(ctx context.Context, recent, now time.Time) (book.NotifyState, error) {
	s, err := b.Book.NotifyState(ctx, recent, now)
	time.Sleep(time.Second)
	return s, err
}

// A failed attempt goes to the next channel at once, then begins again with
// growing pauses; a channel that refuses for good is left out.
func TestFallsThroughAndBacksOff(t *testing.T) {
	errDown, errWrong := errors.New("down"), errors.New("wrong key")
	down := func(context.Context, *notify.Message) (bool, error) { return true, errDown }
	wrong := func(context.Context, *notify.Message) (bool, error) { return false, errWrong }
	s := settings()
	s.Routes = s.Routes[:1]
	s.Routes[0].Steps = s.Routes[0].Steps[:1]
	s.Resend = []time.Duration{time.Hour}
	type sends = map[string]func(context.Context, *notify.Message) (bool, error)
	tests := map[string]struct {
		sends sends
		want  []string
		state book.DeliveryState
	}{
		"the second takes it": {
			sends{"c-li": down},
			[]string{"0s c-li failed raised 1", "0s c-li-2 sent raised 1"},
			book.DeliverySent,
		},
		"both down for a while": {
			sends{"c-li": down, "c-li-2": down},
			[]string{
				"0s c-li failed raised 1", "0s c-li-2 failed raised 1", "5s c-li failed raised 1", "5s c-li-2 failed raised 1",
				"20s c-li failed raised 1", "20s c-li-2 failed raised 1", "50s c-li failed raised 1", "50s c-li-2 failed raised 1",
			},
			book.DeliveryPending,
		},
		"one wrong, the other down": {
			sends{"c-li": wrong, "c-li-2": down},
			[]string{
				"0s c-li failed raised 1", "0s c-li-2 failed raised 1", "5s c-li-2 failed raised 1",
				"10s c-li-2 failed raised 1", "25s c-li-2 failed raised 1", "40s c-li-2 failed raised 1",
			},
			book.DeliveryPending,
		},
		"both wrong": {
			sends{"c-li": wrong, "c-li-2": wrong},
			[]string{"0s c-li failed raised 1", "0s c-li-2 failed raised 1"},
			book.DeliveryFailed,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, s, tt.sends, func(d *desk) {
				d.grain = 5 * time.Second // two plans in between take 0.2 s each
				d.raise(1)
				d.pass(55 * time.Second)
				d.want(tt.want...)
				page, _, err := d.n.Log(d.t.Context(), book.DeliveryQuery{Person: "li"})
				if err != nil || len(page) != 1 || page[0].State != tt.state || page[0].Attempts != len(tt.want) || len(page[0].Log) != len(tt.want) {
					d.t.Errorf("log %+v, %v: want one delivery, %s after %d attempts", page, err, tt.state, len(tt.want))
				}
			})
		})
	}
}

// A channel that hangs until its timeout, for every message, delays neither
// another person's channel nor this person's second one beyond that timeout.
func TestSlowChannelDelaysNoOther(t *testing.T) {
	hang := func(ctx context.Context, _ *notify.Message) (bool, error) {
		<-ctx.Done()
		return true, context.Cause(ctx)
	}
	s := settings()
	s.Flood.Messages = 1000
	bubble(t, s, map[string]func(context.Context, *notify.Message) (bool, error){"c-li": hang}, func(d *desk) {
		for n := range 20 {
			d.event(shedguard.EventAlarmRaised, n+1, shedguard.SeverityCritical)
		}
		d.pass(9 * time.Second) // before the first timeout of c-li
		d.mu.Lock()
		group := 0
		for _, said := range d.said {
			if strings.HasPrefix(said, "0s c-group sent raised") {
				group++
			}
		}
		d.mu.Unlock()
		if group != 20 {
			d.t.Errorf("the group got %d of 20 alarms while another channel hung: %v", group, d.said)
		}
		d.pass(2 * time.Second)
		if !slices.ContainsFunc(d.said, func(s string) bool { return strings.HasPrefix(s, "10s c-li-2 sent raised") }) {
			d.t.Errorf("the second channel was not tried after the timeout: %v", d.said)
		}
	})
}

// What a lane holds for an alarm that was acknowledged meanwhile is not sent.
func TestAcknowledgedWhileQueued(t *testing.T) {
	s := settings()
	s.Routes = s.Routes[:1]
	s.People[0].Channels = []string{"c-li"}
	s.Flood.Messages = 100
	slow := func(ctx context.Context, _ *notify.Message) (bool, error) {
		select {
		case <-time.After(8 * time.Second):
			return false, nil
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
	bubble(t, s, map[string]func(context.Context, *notify.Message) (bool, error){"c-li": slow}, func(d *desk) {
		for n := range 6 {
			d.raise(n + 1)
		}
		d.pass(time.Second)
		for n := range 6 {
			if _, err := d.book.Acknowledge(d.t.Context(), id(n+1), "wang", "", time.Now()); err != nil {
				d.t.Fatal(err)
			}
		}
		d.pass(time.Hour)
		if len(d.said) != 2 { // the two that were under way
			d.t.Errorf("said %v, want the two sends under way alone", d.said)
		}
		page, _, err := d.n.Log(d.t.Context(), book.DeliveryQuery{})
		if err != nil || len(page) != 6 || page[0].State != book.DeliveryWithdrawn || page[0].Reason != "the alarm was acknowledged" {
			d.t.Errorf("log %+v, %v", page, err)
		}
	})
}

// The end of the program lets a send under way finish, and the next program
// sends it neither again nor loses what was not sent.
func TestStopAndStart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.db")
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, t0: time.Now()}
		d.book = openBook(t, path, nil)
		slow := func(ctx context.Context, _ *notify.Message) (bool, error) {
			select {
			case <-time.After(2 * time.Second):
				return false, nil
			case <-ctx.Done():
				return true, ctx.Err()
			}
		}
		run := func(span time.Duration) {
			n, err := notify.New(notify.Options{Settings: settings(), Book: d.book, Senders: map[string]notify.Sender{
				"c-li": &fake{d, "c-li", slow}, "c-li-2": &fake{d, "c-li-2", nil}, "c-wang": &fake{d, "c-wang", nil}, "c-group": &fake{d, "c-group", nil},
			}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), span)
			defer cancel()
			if err := n.Run(ctx); err != nil {
				t.Error(err)
			}
		}
		d.raise(1)
		run(time.Second) // ends while the send is under way
		d.want("2s c-li sent raised 1")
		run(30 * time.Second)
		d.want("2s c-li sent raised 1")
		time.Sleep(4 * time.Minute) // down while a reminder was due
		run(10 * time.Second)
		run(10 * time.Second)
		d.want("2s c-li sent raised 1", "4m34s c-li sent reminder 1")
		if err := d.book.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestTest(t *testing.T) {
	errDown := errors.New("down")
	down := func(context.Context, *notify.Message) (bool, error) { return true, errDown }
	bubble(t, settings(), map[string]func(context.Context, *notify.Message) (bool, error){"c-li-2": down}, func(d *desk) {
		if err := d.n.Test(d.t.Context(), "wang"); err != nil {
			d.t.Error(err)
		}
		if err := d.n.Test(d.t.Context(), "c-group"); err != nil {
			d.t.Error(err)
		}
		if err := d.n.Test(d.t.Context(), "li"); !errors.Is(err, errDown) || !strings.Contains(err.Error(), "channel c-li-2") {
			d.t.Errorf("a person with one channel down: %v", err)
		}
		if err := d.n.Test(d.t.Context(), "nobody"); !errors.Is(err, book.ErrNotFound) {
			d.t.Errorf("nobody: %v", err)
		}
		d.pass(time.Hour) // a failed test is not sent again
		d.want("0s c-wang sent test ", "0s c-group sent test ", "0s c-li sent test ", "0s c-li-2 failed test ")
		page, _, err := d.n.Log(d.t.Context(), book.DeliveryQuery{})
		if err != nil || len(page) != 4 || page[0].State != book.DeliveryFailed || page[0].Log[0].Error != "down" || page[1].State != book.DeliverySent {
			d.t.Errorf("log %+v, %v", page, err)
		}
	})
}

// A command beside a running collector tests without its book.
func TestTry(t *testing.T) {
	r := newReceiver(t, http.StatusOK, "")
	s := notify.Settings{
		Channels: []notify.Channel{
			{Name: "hook", Webhook: &notify.Webhook{URL: r.URL, SecretFile: secret(t, "0123456789abcdef")}},
			{Name: "dead", Webhook: &notify.Webhook{URL: "http://127.0.0.1:1/", SecretFile: secret(t, "0123456789abcdef")}},
		},
		People: []notify.Person{{Name: "li", Channels: []string{"hook"}}},
		Routes: []notify.Route{{Sheds: []string{"*"}, Steps: []notify.Step{{People: []string{"li"}}}}},
	}
	if err := notify.Check(s); err != nil {
		t.Fatal(err)
	}
	if err := notify.Try(t.Context(), s, "li"); err != nil {
		t.Error(err)
	}
	if got := decode(t, r.last(t).body); got["kind"] != "test" || got["person"] != "li" {
		t.Errorf("received %v", got)
	}
	if err := notify.Try(t.Context(), s, "dead"); err == nil || !strings.Contains(err.Error(), "channel dead") {
		t.Errorf("a dead channel: %v", err)
	}
	s.Channels[0].Webhook.SecretFile = "/nowhere"
	if notify.Check(s) == nil {
		t.Error("a missing secret was not told")
	}
}

// A book that cannot be read or written delays, and is said; it ends nothing.
func TestBookInTrouble(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.db")
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t, t0: time.Now()}
		d.book = openBook(t, path, nil)
		d.raise(1)
		troubled := &troubled{Book: d.book, until: time.Now().Add(12 * time.Second)}
		n, err := notify.New(notify.Options{Settings: settings(), Book: troubled, Senders: map[string]notify.Sender{
			"c-li": &fake{d, "c-li", nil}, "c-li-2": &fake{d, "c-li-2", nil}, "c-wang": &fake{d, "c-wang", nil}, "c-group": &fake{d, "c-group", nil},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
		d.want("15s c-li sent raised 1")
		page, _, err := d.book.Deliveries(t.Context(), book.DeliveryQuery{})
		if err != nil || len(page) != 1 || page[0].State != book.DeliverySent || page[0].Attempts != 1 {
			t.Errorf("log %+v, %v", page, err)
		}
		if err := d.book.Close(); err != nil {
			t.Error(err)
		}
	})
}

// troubled is a book that cannot decide until a time, and cannot note results
// for ten seconds more.
type troubled struct {
	*book.Book
	until time.Time
}

var errFull = errors.New("disk full")

func (b *troubled) PutNotify(ctx context.Context, c book.NotifyChange) ([]book.Delivery, error) {
	if time.Now().Before(b.until) {
		return nil, errFull
	}
	return b.Book.PutNotify(ctx, c)
}

func (b *troubled) EndAttempt(ctx context.Context, a book.Attempt, d book.Delivery) error {
	if time.Now().Before(b.until.Add(10 * time.Second)) {
		return errFull
	}
	return b.Book.EndAttempt(ctx, a, d)
}

func TestNothingConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := notify.New(notify.Options{Book: (*book.Book)(nil)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	})
}
