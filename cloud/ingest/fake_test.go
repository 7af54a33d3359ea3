package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/ingest"
)

const limit = 20 * time.Second

// eventually fails the test when ok does not come true.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(limit); ; {
		if ok() {
			return
		}
		select {
		case <-end:
			tb.Fatalf("waited %v for: %s", limit, what)
		case <-tick.C:
		}
	}
}

// fakeBook keeps everything in memory; fail decides what it refuses.
type fakeBook struct {
	mu       sync.Mutex
	events   map[string]int // id to times put
	order    []string
	statuses []shedguard.Status
	replies  []shedguard.Reply
	letters  []book.DeadLetter
	seen     map[string]int
	fail     func(what string) error
}

func newBook() *fakeBook { return &fakeBook{events: map[string]int{}, seen: map[string]int{}} }

func (b *fakeBook) do(what string, f func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		if err := b.fail(what); err != nil {
			return err
		}
	}
	f()
	return nil
}

func (b *fakeBook) PutEvent(_ context.Context, e shedguard.Event, _ time.Time) (fresh bool, err error) {
	err = b.do(e.ID, func() {
		b.events[e.ID]++
		b.order = append(b.order, e.ID)
		fresh = b.events[e.ID] == 1
	})
	return fresh, err
}

func (b *fakeBook) PutStatus(_ context.Context, _ string, s shedguard.Status, _ time.Time, _ bool) (bool, error) {
	return true, b.do("status", func() { b.statuses = append(b.statuses, s) })
}

func (b *fakeBook) PutReply(_ context.Context, _ string, r shedguard.Reply, _ time.Time) error {
	return b.do("reply", func() { b.replies = append(b.replies, r) })
}

func (b *fakeBook) DeadLetter(_ context.Context, d book.DeadLetter) error {
	return b.do("letter", func() { b.letters = append(b.letters, d) })
}

func (b *fakeBook) Seen(shed string, _ time.Time) {
	b.mu.Lock()
	b.seen[shed]++
	b.mu.Unlock()
}

func (b *fakeBook) has(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.events[id] > 0
}

func (b *fakeBook) count() (events, statuses, replies, letters int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.events), len(b.statuses), len(b.replies), len(b.letters)
}

// fakeStore counts how often each point was stored; while shut it holds the
// caller, with broken set it refuses.
type fakeStore struct {
	mu     sync.Mutex
	points map[string]int
	calls  int
	broken bool
	shut   chan struct{} // closed: open
}

func newStore(shut bool) *fakeStore {
	s := &fakeStore{points: map[string]int{}, shut: make(chan struct{})}
	if !shut {
		close(s.shut)
	}
	return s
}

func (s *fakeStore) Append(ctx context.Context, points []shedguard.Point) error {
	s.mu.Lock()
	s.calls++
	broken := s.broken
	s.mu.Unlock()
	if broken {
		return errors.New("disk is full")
	}
	select {
	case <-s.shut:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range points {
		line, err := shedguard.AppendLine(nil, &points[i])
		if err != nil {
			return err
		}
		s.points[string(line)]++
	}
	return nil
}

func (s *fakeStore) get() (points, calls int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.points), s.calls
}

func (s *fakeStore) setBroken(broken bool) {
	s.mu.Lock()
	s.broken = broken
	s.mu.Unlock()
}

// fakeWatch counts what it is told.
type fakeWatch struct {
	mu       sync.Mutex
	statuses int
	traffic  map[string]int
	good     map[string]int
	untimely map[string]int
}

func newWatch() *fakeWatch {
	return &fakeWatch{traffic: map[string]int{}, good: map[string]int{}, untimely: map[string]int{}}
}

func (w *fakeWatch) Status(string, shedguard.Status, bool, time.Time) {
	w.mu.Lock()
	w.statuses++
	w.mu.Unlock()
}

func (w *fakeWatch) Traffic(shed string, _ time.Time) {
	w.mu.Lock()
	w.traffic[shed]++
	w.mu.Unlock()
}

func (w *fakeWatch) Telemetry(shed string, good, untimely int, _ time.Time) {
	w.mu.Lock()
	w.good[shed] += good
	w.untimely[shed] += untimely
	w.mu.Unlock()
}

// logBook is a log that can be searched.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBook) lines(part string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.buf.Bytes(), []byte(part))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// collect runs a collector until stop is called or the test ends.
func collect(tb testing.TB, opts ingest.Options) (c *ingest.Collector, stop func()) {
	tb.Helper()
	if opts.ClientID == "" {
		opts.ClientID = "cloud"
	}
	if opts.Log == nil {
		opts.Log = quiet()
	}
	c, err := ingest.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				tb.Errorf("Run: %v", err)
			}
		case <-time.After(limit):
			tb.Error("collector does not end")
		}
	})
	tb.Cleanup(stop)
	return c, stop
}

// gateway is a client that talks as a shed's gateway does.
type gateway struct {
	tb   testing.TB
	shed string
	mqtt.Client
}

func connect(tb testing.TB, addr, shed string) *gateway {
	tb.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID(shed).SetAutoReconnect(false).SetConnectTimeout(5 * time.Second).SetOrderMatters(false)
	g := &gateway{tb: tb, shed: shed, Client: mqtt.NewClient(o)}
	g.wait(g.Connect())
	tb.Cleanup(func() { g.Disconnect(50) })
	return g
}

func (g *gateway) wait(t mqtt.Token) {
	g.tb.Helper()
	if !t.WaitTimeout(limit) {
		g.tb.Fatal("broker does not answer")
	}
	if err := t.Error(); err != nil {
		g.tb.Fatal(err)
	}
}

func (g *gateway) say(class shedguard.Class, payload []byte) {
	g.tb.Helper()
	g.wait(g.Publish(shedguard.Topic(g.shed, class), 1, false, payload))
}

// acked collects the ids that come back.
func (g *gateway) acked() func(id string) bool {
	g.tb.Helper()
	var mu sync.Mutex
	got := map[string]bool{}
	g.wait(g.Subscribe(shedguard.Topic(g.shed, shedguard.ClassAck), 1, func(_ mqtt.Client, m mqtt.Message) {
		a, err := shedguard.DecodeAck(m.Payload())
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			g.tb.Errorf("ack: %v", err)
		}
		for _, id := range a.IDs {
			got[id] = true
		}
	}))
	return func(id string) bool {
		mu.Lock()
		defer mu.Unlock()
		return got[id]
	}
}

func line(shed string, outlet int, at time.Time) []byte {
	return fmt.Appendf(nil, "outlet,shed=%s,outlet=%d watts=%d,volts=230.5 %d\n", shed, outlet, outlet, at.UnixMilli()*1_000_000)
}

func alarm(tb testing.TB, shed string) (id string, payload []byte) {
	tb.Helper()
	now := time.Now()
	a := shedguard.Alarm{
		ID: ulid.Make().String(), Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityMajor, Level: 2,
		RaisedAt: now, Since: now, Value: 14, Limit: 10, Unit: "A", Action: shedguard.ActionTripped, Latched: true,
		Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: ulid.Make().String(), Seq: 1},
	}
	e, err := shedguard.NewEvent(ulid.Make().String(), shedguard.Source(shed), shedguard.EventAlarmRaised, shedguard.OutletSubject(3), now, a)
	if err != nil {
		tb.Fatal(err)
	}
	return e.ID, encode(tb, e)
}

func status(tb testing.TB, state shedguard.GatewayState) []byte {
	tb.Helper()
	return encode(tb, shedguard.Status{State: state, Since: time.Now(), BootID: ulid.Make().String(), Conn: 1, Clock: shedguard.ClockSynced})
}

func encode(tb testing.TB, v any) []byte {
	tb.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// proxy passes bytes to a broker until it is cut, as a dead machine would be.
type proxy struct {
	ln    net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func newProxy(tb testing.TB, to string) *proxy {
	tb.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{ln: ln}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			work.Go(func() { _, _ = io.Copy(in, out); in.Close() })
			work.Go(func() { _, _ = io.Copy(out, in); out.Close() })
		}
	})
	tb.Cleanup(func() {
		ln.Close()
		p.cut()
		work.Wait()
	})
	return p
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}
