package uplink_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/outbox"
	"github.com/shedguard/shedguard/gateway/uplink"
)

// broker is a broker in memory: it decides for each publish whether to
// acknowledge, stay silent, or cut the connection.
type broker struct {
	began  time.Time
	answer func(topic string, payload []byte) verdict

	mu     sync.Mutex
	sent   []sent
	dials  []time.Duration
	links  []*fakeLink
	refuse error
}

type verdict int

const (
	puback verdict = iota
	silent
	cut
)

type sent struct {
	at      time.Duration
	class   string
	payload string
}

type fakeLink struct {
	b     *broker
	lost  chan error
	inbox chan uplink.Message
}

type fakeToken struct {
	done chan struct{}
	err  error
}

func (t *fakeToken) Done() <-chan struct{} { return t.done }
func (t *fakeToken) Error() error          { return t.err }

func (l *fakeLink) Publish(topic string, _ bool, payload []byte) uplink.Token {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.b.sent = append(l.b.sent, sent{time.Since(l.b.began), topic[strings.LastIndex(topic, "/")+1:], string(payload)})
	t := &fakeToken{done: make(chan struct{})}
	switch l.b.answer(topic, payload) {
	case puback:
		close(t.done)
	case cut:
		select {
		case l.lost <- errors.New("kicked"):
		default:
		}
	case silent:
	}
	return t
}

func (l *fakeLink) Lost() <-chan error           { return l.lost }
func (l *fakeLink) Inbox() <-chan uplink.Message { return l.inbox }
func (l *fakeLink) Close(bool)                   {}

func (b *broker) dial([]byte) (uplink.Link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dials = append(b.dials, time.Since(b.began))
	if b.refuse != nil {
		return nil, b.refuse
	}
	l := &fakeLink{b: b, lost: make(chan error, 1), inbox: make(chan uplink.Message, 16)}
	b.links = append(b.links, l)
	return l, nil
}

func (b *broker) send(class shedguard.Class, v any) {
	payload, _ := json.Marshal(v)
	b.mu.Lock()
	l := b.links[len(b.links)-1]
	b.mu.Unlock()
	l.inbox <- uplink.NewMessage(class, false, payload)
}

// times are the instants, in whole seconds, at which payloads holding text
// were published.
func (b *broker) times(text string) []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []int
	for _, s := range b.sent {
		if strings.Contains(s.payload, text) {
			out = append(out, int(s.at.Seconds()))
		}
	}
	return out
}

// bubble runs an uplink on a fake broker in fake time.
func bubble(t *testing.T, f func(t *testing.T, b *broker, u *uplink.Uplink, opts uplink.Options)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		boot := ulid.Make().String()
		o, err := outbox.Open(dir+"/outbox.db", outbox.Options{BootID: boot, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		opts := uplink.Options{
			Broker: "mqtt://broker.example:1883", Shed: shed, BootID: boot, RequireAck: true, Outbox: o,
			Status: func() shedguard.Status { return shedguard.Status{} },
			Clock:  func() shedguard.ClockQuality { return shedguard.ClockSynced },
			Kinds:  []string{shedguard.CommandStop},
			Handle: func(ctx context.Context, _ shedguard.Command) (any, error) {
				<-ctx.Done() // a handler that hangs
				return nil, context.Cause(ctx)
			},
			Log: slog.New(slog.DiscardHandler),
		}
		u, err := uplink.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		b := &broker{began: time.Now(), answer: func(string, []byte) verdict { return puback }}
		u.Dial(b.dial)
		f(t, b, u, opts)
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
}

// during runs u for d and then lets f look at what happened.
func during(t *testing.T, u *uplink.Uplink, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := u.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	f()
	cancel()
	wg.Wait()
}

func TestResendsWithBackOffUntilAcked(t *testing.T) {
	bubble(t, func(t *testing.T, b *broker, u *uplink.Uplink, opts uplink.Options) {
		id := put(t, opts.Outbox)
		during(t, u, func() {
			time.Sleep(220*time.Second + 500*time.Millisecond)
			b.send(shedguard.ClassAck, shedguard.Ack{IDs: []string{id}})
			time.Sleep(time.Hour)
		})
		// 30 s, then 60 s, then 120 s behind the one before; checked every second.
		if got, want := b.times(id), []int{0, 30, 90, 210}; !slices.Equal(got, want) {
			t.Errorf("sent at %v s, want %v", got, want)
		}
	})
}

func TestSilentBrokerIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T, b *broker, u *uplink.Uplink, opts uplink.Options) {
		b.answer = func(string, []byte) verdict {
			if len(b.links) == 1 {
				return silent
			}
			return puback
		}
		id := put(t, opts.Outbox)
		during(t, u, func() {
			time.Sleep(10*time.Second + 500*time.Millisecond)
			if s, since, ok := u.OldestUnsent(); !ok || s != shedguard.SeverityCritical || time.Since(since) < 10*time.Second {
				t.Errorf("oldest unsent after 10 s: %v, %v ago, %v", s, time.Since(since), ok)
			}
			time.Sleep(9*time.Second + 500*time.Millisecond)
			if _, _, ok := u.OldestUnsent(); ok {
				t.Error("still unsent after the second connection")
			}
		})
		if got := b.times(id); len(got) != 2 || got[1] < 16 || got[1] > 19 {
			t.Errorf("sent at %v s, want 0 and 16 to 19", got)
		}
	})
}

func TestKicksDoNotResetTheBackOff(t *testing.T) {
	bubble(t, func(t *testing.T, b *broker, u *uplink.Uplink, _ uplink.Options) {
		b.answer = func(string, []byte) verdict { return cut }
		during(t, u, func() { time.Sleep(time.Hour) })
		// Were each wait the shortest, there would be over 1000.
		if n := len(b.dials); n < 60 || n > 250 {
			t.Errorf("%d connections in an hour of kicks, want 60 to 250", n)
		}
	})
}

func TestBackOffLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lived := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(2*time.Minute)).Draw(t, "lived"))
		}), 1, 40).Draw(t, "lives")
		last := time.Duration(0)
		for i, d := range uplink.Backoff(time.Second, time.Minute, lived) {
			if lived[i] >= time.Minute {
				last = 0
			}
			if d < time.Second || d > time.Minute || d > 3*max(last, time.Second) {
				t.Fatalf("wait %d is %v after %v", i, d, last)
			}
			last = d
		}
	})
}

func TestPoisonedAlarmIsPutOffNotLost(t *testing.T) {
	bubble(t, func(t *testing.T, b *broker, u *uplink.Uplink, opts uplink.Options) {
		bad := put(t, opts.Outbox)
		b.answer = func(_ string, payload []byte) verdict {
			if strings.Contains(string(payload), bad) {
				return cut
			}
			return puback
		}
		good := put(t, opts.Outbox)
		during(t, u, func() {
			time.Sleep(20 * time.Minute)
			b.mu.Lock()
			b.answer = func(string, []byte) verdict { return puback } // the broker was mended
			b.mu.Unlock()
			time.Sleep(10 * time.Minute)
		})
		if len(b.times(good)) == 0 {
			t.Error("the alarm behind it never went out")
		}
		if n := len(b.times(bad)); n < 4 || n > 60 {
			t.Errorf("sent %d times in half an hour, want 4 to 60", n)
		}
		if _, _, ok := u.OldestUnsent(); ok {
			t.Error("still unsent after the broker was mended")
		}
	})
}

func TestAlarmGoesBeforeTelemetry(t *testing.T) {
	bubble(t, func(t *testing.T, b *broker, u *uplink.Uplink, opts uplink.Options) {
		var at uint64
		for i := range 50 {
			line := fmt.Appendf(nil, "outlet,shed=S1 watts=%d 1732366800000000000\n", i)
			at = record(t, opts.Outbox, at, line)
		}
		id := put(t, opts.Outbox)
		b.answer = func(topic string, _ []byte) verdict {
			if strings.HasSuffix(topic, "/alarm") {
				return silent
			}
			return puback
		}
		during(t, u, func() { time.Sleep(10 * time.Second) })
		if len(b.times(id)) != 1 || len(b.times("watts")) != 0 {
			t.Errorf("%d alarms and %d batches sent while the alarm had no PUBACK, want 1 and 0", len(b.times(id)), len(b.times("watts")))
		}
	})
}

func TestSlowHandlerHoldsNothingUp(t *testing.T) {
	bubble(t, func(t *testing.T, b *broker, u *uplink.Uplink, opts uplink.Options) {
		var id string
		during(t, u, func() {
			synctest.Wait()
			now := time.Now()
			for range 20 { // one is being handled, 16 wait, 3 are too many
				b.send(shedguard.ClassCommand, shedguard.Command{
					ID: ulid.Make().String(), Kind: "stop", IssuedAt: now, ExpiresAt: now.Add(time.Hour), By: "test",
				})
				synctest.Wait()
			}
			id = put(t, opts.Outbox)
			synctest.Wait()
			if len(b.times(id)) != 1 {
				t.Error("the alarm waits for the handler")
			}
			if n := len(b.times(`"busy"`)); n != 3 {
				t.Errorf("%d commands refused as busy, want 3", n)
			}
			time.Sleep(11 * time.Second)
			if n := len(b.times("took longer")); n != 1 {
				t.Errorf("%d replies after the handler's limit, want 1", n)
			}
		})
	})
}

// Whatever comes in on whatever topic: nothing panics, everything is counted,
// and the handler gets only commands that are whole, known and in time.
func FuzzReceive(f *testing.F) {
	boot := ulid.Make().String()
	now := time.Now()
	good, err := json.Marshal(shedguard.Command{
		ID: ulid.Make().String(), Kind: "stop", IssuedAt: now, ExpiresAt: now.Add(time.Hour), By: "test", BootID: boot,
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("cmd", good, false)
	f.Add("cmd", []byte(`{"id":"01JDEXAMP00000000000000000"}`), true)
	f.Add("ack", []byte(`{"ids":["01JDEXAMP00000000000000000"]}`), false)
	f.Add("config", []byte("x"), true)
	f.Add("", []byte(nil), false)
	o := newOutbox(f, boot)
	f.Fuzz(func(t *testing.T, class string, payload []byte, retained bool) {
		u, err := uplink.New(uplink.Options{
			Broker: "mqtt://broker.example:1883", Shed: shed, BootID: boot, Outbox: o,
			Status: func() shedguard.Status { return shedguard.Status{} },
			Clock:  func() shedguard.ClockQuality { return shedguard.ClockSynced },
			Kinds:  []string{"stop"},
			Handle: func(context.Context, shedguard.Command) (any, error) { return nil, nil },
			Log:    slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		u.Receive(uplink.NewMessage(shedguard.Class(class), retained, payload))
		s := u.Stats()
		c, ok := u.Queued()
		if ok && (c.Validate() != nil || c.Kind != "stop" || retained || class != "cmd" || time.Now().After(c.ExpiresAt)) {
			t.Errorf("the handler gets %+v", c)
		}
		if !ok && class != "ack" && s.Garbage+s.Refused == 0 {
			t.Errorf("%s %q vanished", class, payload)
		}
	})
}

func TestStatusOnChangeOnly(t *testing.T) {
	bubble(t, func(t *testing.T, b *broker, u *uplink.Uplink, _ uplink.Options) {
		during(t, u, func() {
			time.Sleep(time.Minute)
			u.PublishStatus()
			time.Sleep(time.Minute)
		})
		if n := len(b.times(`"online"`)); n != 1 {
			t.Errorf("%d online statuses without a change, want 1", n)
		}
		if n := len(b.times(`"stopped"`)); n != 1 {
			t.Errorf("%d stopped statuses, want 1", n)
		}
	})
}

// A status that has changed goes out at once when somebody says so, within a
// second when nobody does, and as it is then: a change that was taken back in
// between is none.
func TestStatusChangeIsPublished(t *testing.T) {
	armed := &shedguard.Suppression{Phase: shedguard.SuppressionArmed, Zone: "bay-1", Until: time.Date(2026, 3, 1, 12, 0, 15, 0, time.UTC)}
	bubble(t, func(t *testing.T, b *broker, _ *uplink.Uplink, opts uplink.Options) {
		var mu sync.Mutex
		var now shedguard.Status // guarded by mu
		set := func(siren bool, s *shedguard.Suppression) {
			mu.Lock()
			defer mu.Unlock()
			now.Siren, now.Suppression = siren, s
		}
		opts.Status = func() shedguard.Status {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
		u, err := uplink.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		u.Dial(b.dial)
		during(t, u, func() {
			time.Sleep(1500 * time.Millisecond)
			set(true, nil)
			u.PublishStatus()
			time.Sleep(5 * time.Second) // 6.5 s
			set(true, armed)            // nobody says so
			time.Sleep(5*time.Second + 100*time.Millisecond)
			set(false, armed)
			set(true, armed)
			u.PublishStatus()
			time.Sleep(4900 * time.Millisecond) // 16.5 s
			set(false, &shedguard.Suppression{Phase: shedguard.SuppressionIdle})
			u.PublishStatus()
			time.Sleep(time.Second)
		})
		type said struct {
			at    time.Duration
			siren bool
			phase shedguard.SuppressionPhase
		}
		var got []said
		for _, s := range b.sent {
			if s.class != string(shedguard.ClassStatus) {
				continue
			}
			m, err := shedguard.DecodeStatus([]byte(s.payload))
			if err != nil {
				t.Fatal(err)
			}
			if m.State != shedguard.GatewayOnline {
				if m.Siren || m.Suppression != nil {
					t.Errorf("%s says %s", m.State, s.payload)
				}
				continue
			}
			one := said{at: s.at, siren: m.Siren}
			if m.Suppression != nil {
				one.phase = m.Suppression.Phase
			}
			got = append(got, one)
		}
		want := []said{{0, false, ""}, {1500 * time.Millisecond, true, ""}, {7 * time.Second, true, shedguard.SuppressionArmed}, {16500 * time.Millisecond, false, shedguard.SuppressionIdle}}
		if !slices.Equal(got, want) {
			t.Errorf("said %v, want %v", got, want)
		}
	})
}

func TestCommandChecks(t *testing.T) {
	boot := ulid.Make().String()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		change func(*shedguard.Command)
		clock  shedguard.ClockQuality
		want   shedguard.ReplyCode
	}{
		"good":                    {func(*shedguard.Command) {}, shedguard.ClockSynced, ""},
		"holdover":                {func(*shedguard.Command) {}, shedguard.ClockHoldover, ""},
		"clock unsynced":          {func(*shedguard.Command) {}, shedguard.ClockUnsynced, shedguard.CodeClockUnsynced},
		"other boot":              {func(c *shedguard.Command) { c.BootID = ulid.Make().String() }, shedguard.ClockSynced, shedguard.CodeWrongBoot},
		"start without boot":      {func(c *shedguard.Command) { c.BootID = "" }, shedguard.ClockSynced, shedguard.CodeWrongBoot},
		"stop without boot":       {func(c *shedguard.Command) { c.Kind, c.BootID = "stop", "" }, shedguard.ClockSynced, ""},
		"stop for another boot":   {func(c *shedguard.Command) { c.Kind, c.BootID = "stop", ulid.Make().String() }, shedguard.ClockSynced, shedguard.CodeWrongBoot},
		"stop, clock unsynced":    {func(c *shedguard.Command) { c.Kind = "stop" }, shedguard.ClockUnsynced, ""},
		"expired":                 {func(c *shedguard.Command) { c.IssuedAt, c.ExpiresAt = now.Add(-time.Hour), now.Add(-time.Second) }, shedguard.ClockSynced, shedguard.CodeExpired},
		"longer than an hour":     {func(c *shedguard.Command) { c.ExpiresAt = now.Add(time.Hour + time.Second) }, shedguard.ClockSynced, shedguard.CodeBadArgs},
		"expires before it began": {func(c *shedguard.Command) { c.ExpiresAt = now.Add(-time.Minute) }, shedguard.ClockSynced, shedguard.CodeBadArgs},
		"from the future": {func(c *shedguard.Command) {
			c.IssuedAt, c.ExpiresAt = now.Add(time.Hour), now.Add(2*time.Hour)
		}, shedguard.ClockSynced, shedguard.CodeBadArgs},
		"unknown kind": {func(c *shedguard.Command) { c.Kind = "explode" }, shedguard.ClockSynced, shedguard.CodeUnknownKind},
	} {
		t.Run(name, func(t *testing.T) {
			c := shedguard.Command{ID: ulid.Make().String(), Kind: "start", IssuedAt: now, ExpiresAt: now.Add(time.Minute), By: "test", BootID: boot}
			tt.change(&c)
			if got := uplink.NewCheck(boot, "start", "stop").Command(c, tt.clock, now); got != tt.want {
				t.Errorf("code %q, want %q", got, tt.want)
			}
		})
	}
}

// A command that was accepted is never accepted again while it is valid,
// whatever came between, and the memory stays bounded.
func TestRepeatLaw(t *testing.T) {
	boot := ulid.Make().String()
	rapid.Check(t, func(t *rapid.T) {
		check := uplink.NewCheck(boot, "stop")
		now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
		c := shedguard.Command{ID: ulid.Make().String(), Kind: "stop", IssuedAt: now, ExpiresAt: now.Add(time.Hour), By: "test"}
		if code := check.Command(c, shedguard.ClockSynced, now); code != "" {
			t.Fatalf("first: %q", code)
		}
		for range rapid.IntRange(0, 3).Draw(t, "bursts") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(40*time.Minute)).Draw(t, "step")))
			for range rapid.IntRange(0, uplink.MaxRemembered).Draw(t, "others") {
				other := c
				other.ID, other.IssuedAt, other.ExpiresAt = ulid.Make().String(), now, now.Add(time.Minute)
				check.Command(other, shedguard.ClockSynced, now)
			}
			if n := check.Remembered(); n > uplink.MaxRemembered {
				t.Fatalf("%d ids remembered", n)
			}
			if code := check.Command(c, shedguard.ClockSynced, now); code == "" {
				t.Fatalf("accepted twice, %v after it was issued", now.Sub(c.IssuedAt))
			}
		}
	})
}

func TestOptions(t *testing.T) {
	_, err := uplink.New(uplink.Options{Broker: "http://user:secret@x", Kinds: []string{"stop"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"broker:", "shed:", "boot_id:", "outbox:", "status:", "clock:", "handle:", "log:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q: want %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("error %q tells the password", err)
	}
}
