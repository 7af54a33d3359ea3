package uplink_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/outbox"
	"github.com/shedguard/shedguard/gateway/uplink"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shed = "S1"

// limit is how long a test waits for what must come; nothing is measured by it.
const limit = 30 * time.Second

func newOutbox(tb testing.TB, boot string) *outbox.Outbox {
	tb.Helper()
	o, err := outbox.Open(filepath.Join(tb.TempDir(), "outbox.db"), outbox.Options{BootID: boot, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = o.Close() })
	return o
}

func options(tb testing.TB, broker string) uplink.Options {
	tb.Helper()
	boot := ulid.Make().String()
	return uplink.Options{
		Broker: broker, Shed: shed, BootID: boot, RequireAck: true,
		Outbox: newOutbox(tb, boot),
		Status: func() shedguard.Status { return shedguard.Status{Version: "test"} },
		Clock:  func() shedguard.ClockQuality { return shedguard.ClockSynced },
		Log:    slog.New(slog.DiscardHandler),
	}
}

// run starts an uplink and returns what ends it and waits.
func run(tb testing.TB, opts uplink.Options) (u *uplink.Uplink, stop func()) {
	tb.Helper()
	u, err := uplink.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	u.Hurry(20*time.Millisecond, 200*time.Millisecond, time.Second)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := u.Run(ctx); err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	stop = func() { cancel(); wg.Wait() }
	tb.Cleanup(stop)
	return u, stop
}

// collector is the other side: it sees every topic of the shed.
type collector struct {
	tb     testing.TB
	client mqtt.Client
	in     chan mqtt.Message
}

func newCollector(tb testing.TB, addr string, filters ...string) *collector {
	tb.Helper()
	c := &collector{tb: tb, in: make(chan mqtt.Message, 1<<17)}
	opts := mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("collector-" + ulid.Make().String()).
		SetCleanSession(true).SetAutoReconnect(false).SetConnectTimeout(5 * time.Second)
	c.client = mqtt.NewClient(opts)
	c.done(c.client.Connect())
	if len(filters) == 0 {
		filters = []string{"shedguard/v1/#"}
	}
	for _, f := range filters {
		c.done(c.client.Subscribe(f, 1, func(_ mqtt.Client, m mqtt.Message) { c.in <- m }))
	}
	tb.Cleanup(func() { c.client.Disconnect(50) })
	return c
}

func (c *collector) done(t mqtt.Token) {
	c.tb.Helper()
	if !t.WaitTimeout(limit) || t.Error() != nil {
		c.tb.Fatalf("collector: %v", t.Error())
	}
}

func (c *collector) send(class shedguard.Class, retained bool, v any) {
	c.tb.Helper()
	b, ok := v.([]byte)
	if !ok {
		var err error
		if b, err = json.Marshal(v); err != nil {
			c.tb.Fatal(err)
		}
	}
	c.done(c.client.Publish(shedguard.Topic(shed, class), 1, retained, b))
}

// next is the next message of a class; others are passed over.
func (c *collector) next(class shedguard.Class) mqtt.Message {
	c.tb.Helper()
	end := time.After(limit)
	for {
		select {
		case m := <-c.in:
			if m.Topic() == shedguard.Topic(shed, class) {
				return m
			}
		case <-end:
			c.tb.Fatalf("no message on %s within %v", class, limit)
		}
	}
}

// event waits for the event with that id.
func (c *collector) event(class shedguard.Class, id string) {
	c.tb.Helper()
	for {
		var e shedguard.Event
		if err := json.Unmarshal(c.next(class).Payload(), &e); err != nil {
			c.tb.Fatal(err)
		}
		if e.ID == id {
			return
		}
	}
}

// status waits for a status with that state.
func (c *collector) status(state shedguard.GatewayState) shedguard.Status {
	c.tb.Helper()
	for {
		s, err := shedguard.DecodeStatus(c.next(shedguard.ClassStatus).Payload())
		if err != nil {
			c.tb.Fatal(err)
		}
		if s.State == state {
			return s
		}
	}
}

func alarm(tb testing.TB) shedguard.Event {
	tb.Helper()
	e, err := shedguard.NewEvent(ulid.Make().String(), shedguard.Source(shed), shedguard.EventAlarmRaised,
		"outlet/3", time.Now(), map[string]any{"severity": "critical"})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func put(tb testing.TB, o *outbox.Outbox) string {
	tb.Helper()
	e := alarm(tb)
	if err := o.PutAlarm(context.Background(), e); err != nil {
		tb.Fatal(err)
	}
	return e.ID
}

// record puts lines as a record of their own behind the key after, and returns
// its key: what was read once is not joined with what comes later.
func record(tb testing.TB, o *outbox.Outbox, after uint64, lines []byte) uint64 {
	tb.Helper()
	if err := o.PutTelemetry(context.Background(), outbox.Telemetry{Synced: true, Lines: lines}); err != nil {
		tb.Fatal(err)
	}
	rs, err := o.Telemetry(context.Background(), after, 1)
	if err != nil || len(rs) != 1 {
		tb.Fatalf("read back: %d records, %v", len(rs), err)
	}
	return rs[0].Key
}

func waitFor(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(limit); !ok(); {
		if time.Now().After(end) {
			tb.Fatalf("%s: not within %v", what, limit)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAlarmRaisedWhileTheBrokerIsDownArrives(t *testing.T) {
	server := mosquittotest.Start(t)
	opts := options(t, "mqtt://"+server.Addr())
	u, _ := run(t, opts)
	waitFor(t, "connection", u.Connected)
	server.Kill()
	waitFor(t, "loss", func() bool { return !u.Connected() })
	id := put(t, opts.Outbox)
	if s, since, ok := u.OldestUnsent(); !ok || s != shedguard.SeverityCritical || time.Since(since) < 0 {
		t.Errorf("oldest unsent %v, %v, %v: want the critical alarm", s, since, ok)
	}
	server.Restart()
	c := newCollector(t, server.Addr())
	// It may have gone out before the collector was there; without an ack it
	// comes again.
	c.event(shedguard.ClassAlarm, id)
	c.send(shedguard.ClassAck, false, shedguard.Ack{IDs: []string{id}})
	waitFor(t, "empty alarm lane", func() bool { return opts.Outbox.Stats().Alarms == 0 })
}

func TestUnacknowledgedAlarmIsSentAgain(t *testing.T) {
	server := mosquittotest.Start(t)
	c := newCollector(t, server.Addr())
	opts := options(t, "mqtt://"+server.Addr())
	u, _ := run(t, opts)
	id := put(t, opts.Outbox)
	c.event(shedguard.ClassAlarm, id)
	waitFor(t, "PUBACK", func() bool { return u.Stats().Alarms == 1 })
	c.event(shedguard.ClassAlarm, id) // the broker had it, the collector said nothing
	c.send(shedguard.ClassAck, false, shedguard.Ack{IDs: []string{id}})
	waitFor(t, "empty alarm lane", func() bool { return opts.Outbox.Stats().Alarms == 0 })
	if s := u.Stats(); s.Resent == 0 || s.Acked != 1 {
		t.Errorf("stats %+v: want resent and acked once", s)
	}
}

func TestCleanEndSaysStopped(t *testing.T) {
	server := mosquittotest.Start(t)
	c := newCollector(t, server.Addr())
	opts := options(t, "mqtt://"+server.Addr())
	_, stop := run(t, opts)
	s := c.status(shedguard.GatewayOnline)
	if s.BootID != opts.BootID || s.Conn != 1 || s.Version != "test" {
		t.Errorf("status %+v", s)
	}
	stop()
	if s := c.status(shedguard.GatewayStopped); s.Conn != 1 {
		t.Errorf("stopped has connection %d, want 1", s.Conn)
	}
	late := newCollector(t, server.Addr())
	if m := late.next(shedguard.ClassStatus); !m.Retained() || !strings.Contains(string(m.Payload()), "stopped") {
		t.Errorf("retained status %q", m.Payload())
	}
}

// proxy stands between uplink and broker and can cut its connections without
// a word.
type proxy struct {
	l     net.Listener
	to    string
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newProxy(tb testing.TB, to string) *proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &proxy{l: l, to: to}
	p.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			p.wg.Go(func() { pipe(out, in) })
			p.wg.Go(func() { pipe(in, out) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		p.cut()
		p.wg.Wait()
	})
	return p
}

// pipe ends both connections with the first that ends.
func pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func TestLastWill(t *testing.T) {
	server := mosquittotest.Start(t)
	c := newCollector(t, server.Addr())
	p := newProxy(t, server.Addr())
	opts := options(t, "mqtt://"+p.l.Addr().String())
	run(t, opts)
	c.status(shedguard.GatewayOnline)
	p.cut()
	will := c.status(shedguard.GatewayOffline)
	if will.BootID != opts.BootID || will.Conn != 1 {
		t.Errorf("last will %+v: want boot %s, connection 1", will, opts.BootID)
	}
	if s := c.status(shedguard.GatewayOnline); s.Conn != 2 {
		t.Errorf("connection %d after the cut, want 2", s.Conn)
	}
}

func TestAlarmPassesBacklog(t *testing.T) {
	const backlog = 20_000
	server := mosquittotest.Start(t, "max_queued_messages 0")
	c := newCollector(t, server.Addr())
	opts := options(t, "mqtt://"+server.Addr())
	short := []byte("outlet,shed=S1,outlet=3 watts=389.1 1732366800000000000\n")
	var at uint64
	for range backlog {
		at = record(t, opts.Outbox, at, short)
	}
	if n := opts.Outbox.Stats().Telemetry; n != backlog {
		t.Fatalf("%d records in the backlog, want %d", n, backlog)
	}
	u, _ := run(t, opts)
	c.next(shedguard.ClassTelemetry)
	id := put(t, opts.Outbox)
	c.event(shedguard.ClassAlarm, id)
	left := opts.Outbox.Stats().Telemetry
	if left < backlog/10 {
		t.Errorf("the alarm came when %d of %d records were left: want it ahead of the backlog", left, backlog)
	}
	waitFor(t, "delivered backlog", func() bool { return opts.Outbox.Stats().Telemetry == 0 })
	if n := u.Stats().Telemetry; n != backlog {
		t.Errorf("%d records delivered, want %d", n, backlog)
	}
}

func TestBrokerRestartLosesNothing(t *testing.T) {
	server := mosquittotest.Start(t)
	opts := options(t, "mqtt://"+server.Addr())
	opts.RequireAck = false
	u, _ := run(t, opts)
	for i := range 3 {
		waitFor(t, "connection", u.Connected)
		for range 20 {
			put(t, opts.Outbox)
		}
		waitFor(t, "delivery", func() bool { return opts.Outbox.Stats().Alarms == 0 })
		if i == 1 {
			server.Stop()
			waitFor(t, "loss", func() bool { return !u.Connected() })
		}
		server.Restart()
	}
	waitFor(t, "connection", u.Connected)
	if s := u.Stats(); s.Alarms < 60 || s.Connects < 3 {
		t.Errorf("stats %+v: want 60 alarms over 3 connections or more", s)
	}
}

func TestKickAfterConnackIsNotAStorm(t *testing.T) {
	server := mosquittotest.Start(t)
	opts := options(t, "mqtt://"+server.Addr())
	u, err := uplink.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = u.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	waitFor(t, "connection", u.Connected)
	// A second client with the same id takes each connection over as fast as it can.
	for range 30 {
		o := mqtt.NewClientOptions().AddBroker("tcp://" + server.Addr()).SetClientID(shed).SetAutoReconnect(false)
		rival := mqtt.NewClient(o)
		tok := rival.Connect()
		tok.Wait()
		time.Sleep(50 * time.Millisecond)
		rival.Disconnect(0)
	}
	// The rival needed 1.5 s at least; the waits are 1 s and then more.
	if n := u.Stats().Attempts; n > 4 {
		t.Errorf("%d attempts while being kicked: want at most 4", n)
	}
	waitFor(t, "connection once the rival is gone", u.Connected)
}

func TestCommands(t *testing.T) {
	server := mosquittotest.Start(t)
	c := newCollector(t, server.Addr())
	opts := options(t, "mqtt://"+server.Addr())
	opts.Kinds = []string{shedguard.CommandStop, shedguard.CommandStart, shedguard.CommandGetState}
	opts.Handle = func(_ context.Context, cmd shedguard.Command) (any, error) {
		switch cmd.Kind {
		case shedguard.CommandStart:
			return nil, shedguard.Refuse(shedguard.CodeCauseStands, "overcurrent")
		case shedguard.CommandGetState:
			panic("broken handler")
		}
		return map[string]int{"outlet": 3}, nil
	}
	u, _ := run(t, opts)
	c.status(shedguard.GatewayOnline)
	command := func(kind, boot string, lifetime time.Duration) shedguard.Command {
		now := time.Now()
		return shedguard.Command{ID: ulid.Make().String(), Kind: kind, IssuedAt: now, ExpiresAt: now.Add(lifetime), By: "test", BootID: boot}
	}
	stop := command(shedguard.CommandStop, "", time.Minute)
	for i, tt := range []struct {
		cmd  shedguard.Command
		code shedguard.ReplyCode
	}{
		{stop, ""},
		{stop, shedguard.CodeRepeated},
		{command(shedguard.CommandStart, opts.BootID, time.Minute), shedguard.CodeCauseStands},
		{command(shedguard.CommandStart, ulid.Make().String(), time.Minute), shedguard.CodeWrongBoot},
		{command(shedguard.CommandGetState, "", time.Minute), shedguard.CodeBusy},
		{command(shedguard.CommandSnapshot, "", time.Minute), shedguard.CodeUnknownKind},
		{command(shedguard.CommandStop, "", 2*time.Hour), shedguard.CodeBadArgs},
	} {
		c.send(shedguard.ClassCommand, false, tt.cmd)
		r, err := shedguard.DecodeReply(c.next(shedguard.ClassReply).Payload())
		if err != nil {
			t.Fatal(err)
		}
		if r.ID != tt.cmd.ID || r.OK != (tt.code == "") || r.Error != nil && r.Error.Code != tt.code {
			t.Errorf("%d: %s: reply %+v %v, want code %q", i, tt.cmd.Kind, r, r.Error, tt.code)
		}
	}
	for _, class := range []shedguard.Class{shedguard.ClassCommand, shedguard.ClassAck, shedguard.ClassConfig} {
		for range 3 {
			c.send(class, false, []byte("\x00garbage"))
		}
	}
	waitFor(t, "counted garbage", func() bool { return u.Stats().Garbage == 9 })
	last := command(shedguard.CommandStop, "", time.Minute)
	c.send(shedguard.ClassCommand, false, last)
	if r, err := shedguard.DecodeReply(c.next(shedguard.ClassReply).Payload()); err != nil || r.ID != last.ID || !r.OK {
		t.Errorf("after the garbage: %+v, %v", r, err)
	}
}

func TestPoisonIsSetAsideAndBlocksNothing(t *testing.T) {
	server := mosquittotest.Start(t, "max_packet_size 4000") // a longer packet costs the connection
	c := newCollector(t, server.Addr())
	opts := options(t, "mqtt://"+server.Addr())
	opts.RequireAck = false
	long := []byte(strings.Repeat("outlet,shed=S1,outlet=3 watts=389.1 1732366800000000000\n", 100))
	short := []byte("outlet,shed=S1,outlet=4 watts=1 1732366800000000000\n")
	var at uint64
	for _, b := range [][]byte{long, short} {
		at = record(t, opts.Outbox, at, b)
	}
	u, _ := run(t, opts)
	id := put(t, opts.Outbox)
	c.event(shedguard.ClassAlarm, id)
	if m := c.next(shedguard.ClassTelemetry); string(m.Payload()) != string(short) {
		t.Errorf("telemetry %.60q: want the short batch", m.Payload())
	}
	waitFor(t, "the long batch set aside", func() bool { return u.Stats().SetAside == 1 && opts.Outbox.Stats().SetAside == 1 })
	waitFor(t, "an empty lane", func() bool { return opts.Outbox.Stats().Telemetry == 0 })
}

// authority signs certificates for one test.
type authority struct {
	tb   testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
	name string
}

func newAuthority(tb testing.TB, name string) *authority {
	tb.Helper()
	a := &authority{tb: tb, dir: tb.TempDir(), name: name}
	a.key, a.cert = a.make(name, nil)
	a.write(name+".crt", "CERTIFICATE", a.cert.Raw)
	return a
}

func (a *authority) make(cn string, parent *authority) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: cn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	signer, signKey := c, key
	if parent != nil {
		signer, signKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, signer, &key.PublicKey, signKey)
	if err != nil {
		a.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.tb.Fatal(err)
	}
	return key, cert
}

func (a *authority) write(name, kind string, der []byte) string {
	a.tb.Helper()
	path := filepath.Join(a.dir, name)
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.tb.Fatal(err)
	}
	return path
}

// issue makes a certificate and returns its files.
func (a *authority) issue(cn string) (cert, key string) {
	a.tb.Helper()
	k, c := a.make(cn, a)
	der, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		a.tb.Fatal(err)
	}
	return a.write(cn+".crt", "CERTIFICATE", c.Raw), a.write(cn+".key", "EC PRIVATE KEY", der)
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func TestMutualTLS(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "other")
	cert, key := ca.issue("broker")
	server := mosquittotest.Start(t, fmt.Sprintf(
		"cafile %s\ncertfile %s\nkeyfile %s\nrequire_certificate true\nuse_identity_as_username true\nallow_anonymous false",
		filepath.Join(ca.dir, "ca.crt"), cert, key))
	pair := func(a *authority) []tls.Certificate {
		c, err := tls.LoadX509KeyPair(a.issue(shed))
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{c}
	}
	for name, tt := range map[string]struct {
		config *tls.Config
		want   string // in the logged error; empty means a connection
	}{
		"good":              {&tls.Config{RootCAs: ca.pool(), Certificates: pair(ca)}, ""},
		"wrong ca":          {&tls.Config{RootCAs: other.pool(), Certificates: pair(ca)}, "certificate signed by unknown authority"},
		"wrong server name": {&tls.Config{RootCAs: ca.pool(), Certificates: pair(ca), ServerName: "elsewhere.example"}, "elsewhere.example"},
		"wrong client":      {&tls.Config{RootCAs: ca.pool(), Certificates: pair(other)}, "connect"},
		"no client":         {&tls.Config{RootCAs: ca.pool()}, "connect"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := options(t, "mqtts://"+server.Addr())
			opts.TLS = tt.config
			log := &lines{}
			opts.Log = slog.New(slog.NewTextHandler(log, nil))
			u, _ := run(t, opts)
			if tt.want == "" {
				waitFor(t, "connection", u.Connected)
				put(t, opts.Outbox)
				waitFor(t, "alarm sent", func() bool { return u.Stats().Alarms == 1 })
				return
			}
			waitFor(t, "refusals", func() bool { return u.Stats().Attempts > 2 })
			if u.Stats().Connects != 0 {
				t.Error("connected")
			}
			if !slices.ContainsFunc(log.all(), func(l string) bool { return strings.Contains(l, tt.want) }) {
				t.Errorf("log %q: want %q", log.all(), tt.want)
			}
		})
	}
}

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	got []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, string(b))
	return len(b), nil
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}
