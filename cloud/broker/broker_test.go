package broker_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/broker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	limit    = 30 * time.Second
	password = "0123456789abcdef"
)

func start(tb testing.TB, opts broker.Options) *broker.Broker {
	tb.Helper()
	opts.Log = slog.New(slog.DiscardHandler)
	opts.Collector = broker.Credentials{Username: "shedcloud", Password: password}
	if opts.Path == "" {
		opts.Path = filepath.Join(tb.TempDir(), "broker.db")
	}
	if opts.Plain == "" {
		opts.Plain = "127.0.0.1:0"
	}
	b, err := broker.Start(tb.Context(), opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closed(tb, b) })
	return b
}

func closed(tb testing.TB, b *broker.Broker) {
	tb.Helper()
	if err := b.Close(); err != nil {
		tb.Error(err)
	}
}

// client is one MQTT client that keeps what it gets.
type client struct {
	mqtt.Client
	tb   testing.TB
	lost chan error
	mu   sync.Mutex
	got  []string
	msgs []mqtt.Message
}

func options(b *broker.Broker, id string) *mqtt.ClientOptions {
	return mqtt.NewClientOptions().AddBroker("tcp://" + b.PlainAddr().String()).SetClientID(id).
		SetAutoReconnect(false).SetConnectTimeout(5 * time.Second).SetProtocolVersion(4)
}

func collector(b *broker.Broker, id string) *mqtt.ClientOptions {
	return options(b, id).SetUsername("shedcloud").SetPassword(password).SetCleanSession(false)
}

func dial(tb testing.TB, o *mqtt.ClientOptions) (*client, error) {
	tb.Helper()
	c := &client{tb: tb, lost: make(chan error, 1)}
	o.SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
		c.mu.Lock()
		c.got = append(c.got, string(m.Payload()))
		c.msgs = append(c.msgs, m)
		c.mu.Unlock()
	}).SetConnectionLostHandler(func(_ mqtt.Client, err error) { c.lost <- err })
	c.Client = mqtt.NewClient(o)
	t := c.Connect()
	if !t.WaitTimeout(limit) {
		tb.Fatal("broker does not answer")
	}
	tb.Cleanup(func() { c.Disconnect(10) })
	return c, t.Error()
}

func connect(tb testing.TB, o *mqtt.ClientOptions) *client {
	tb.Helper()
	c, err := dial(tb, o)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func (c *client) wait(t mqtt.Token) {
	c.tb.Helper()
	if !t.WaitTimeout(limit) {
		c.tb.Fatal("broker does not answer")
	}
	if t.Error() != nil {
		c.tb.Fatal(t.Error())
	}
}

func (c *client) payloads() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

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

// different is how many different messages a client got: one may come twice.
func different(c *client) int {
	got := map[string]bool{}
	for _, p := range c.payloads() {
		got[p] = true
	}
	return len(got)
}

func topic(shed string, class shedguard.Class) string { return shedguard.Topic(shed, class) }

func TestRules(t *testing.T) {
	b := start(t, broker.Options{TrustLoopback: true})
	boss := connect(t, collector(b, "shedcloud-book"))
	boss.wait(boss.Subscribe("shedguard/v1/+/alarm", 1, nil))
	a := connect(t, options(b, "a"))
	for filter, granted := range map[string]bool{
		"shedguard/v1/a/cmd": true, "shedguard/v1/a/#": true,
		"shedguard/v1/b/cmd": false, "shedguard/v1/+/cmd": false, "#": false, "shedguard/v1/#": false,
		"$share/x/shedguard/v1/a/cmd": false, "shedguard/v1/ab/cmd": false, "$SYS/#": false,
	} {
		token := a.Subscribe(filter, 1, nil)
		token.WaitTimeout(limit)
		for _, code := range token.(*mqtt.SubscribeToken).Result() { //nolint:errcheck // Subscribe returns no other; its key lacks a shared filter's group
			if (code <= 2) != granted {
				t.Errorf("subscribe %s: code %d, want granted %v", filter, code, granted)
			}
		}
	}
	a.wait(a.Publish(topic("a", shedguard.ClassAlarm), 1, false, "mine"))
	eventually(t, "own alarm", func() bool { return slices.Contains(boss.payloads(), "mine") })
	a.Publish(topic("b", shedguard.ClassAlarm), 1, false, "forged")
	select {
	case <-a.lost: //nolint:errcheck // any end will do
	case <-time.After(limit):
		t.Error("publishing as another shed does not end the connection")
	}
	forged := connect(t, options(b, "a"))
	forged.Publish(topic("b", shedguard.ClassAlarm), 0, false, "forged at QoS 0")
	forged.wait(forged.Publish(topic("a", shedguard.ClassAlarm), 1, false, "after"))
	eventually(t, "message after", func() bool { return slices.Contains(boss.payloads(), "after") })
	if got := boss.payloads(); len(got) != 2 {
		t.Errorf("collector got %v, want the two of shed a alone", got)
	}
	for name, o := range map[string]*mqtt.ClientOptions{
		"will on another shed": options(b, "c").SetWill(topic("b", shedguard.ClassStatus), "x", 1, true),
		"wrong password":       options(b, "shedcloud-book").SetUsername("shedcloud").SetPassword("guess"),
		"collector's id":       options(b, "shedcloud-book"),
		"not a shed id":        options(b, "a b"),
	} {
		if _, err := dial(t, o); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	if b.Stats().Refused == 0 {
		t.Error("refusals are not counted")
	}
}

func TestNobodyWithoutAName(t *testing.T) {
	b := start(t, broker.Options{})
	if _, err := dial(t, options(b, "a")); err == nil {
		t.Error("let in without a certificate or password")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := broker.Start(t.Context(), broker.Options{Plain: "0.0.0.0:1883", TLSListen: ":8883", Quota: -1})
	if err == nil {
		t.Fatal("started, want an error")
	}
	for _, part := range []string{"path", "collector:", "quota:", "plain:", "tls:"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func issue(tb testing.TB, from *authority, name string) (tls.Certificate, *authority) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: from == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	self := &authority{template, key}
	if from == nil {
		from = self
	}
	der, err := x509.CreateCertificate(rand.Reader, template, from.cert, &key.PublicKey, from.key)
	if err != nil {
		tb.Fatal(err)
	}
	if self.cert, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, self
}

func TestCertificateNamesTheGateway(t *testing.T) {
	_, ca := issue(t, nil, "ca")
	_, foreign := issue(t, nil, "foreign")
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	server, _ := issue(t, ca, "broker")
	b := start(t, broker.Options{TLSListen: "127.0.0.1:0", TLS: &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}})
	over := func(id, name string, by *authority) *mqtt.ClientOptions {
		config := &tls.Config{RootCAs: pool}
		if name != "" {
			cert, _ := issue(t, by, name)
			config.Certificates = []tls.Certificate{cert}
		}
		return mqtt.NewClientOptions().AddBroker("ssl://" + b.TLSAddr().String()).SetClientID(id).SetAutoReconnect(false).SetProtocolVersion(4).SetTLSConfig(config)
	}
	g := connect(t, over("shed-1", "shed-1", ca))
	g.wait(g.Publish(topic("shed-1", shedguard.ClassAlarm), 1, false, "x"))
	g.Publish(topic("shed-2", shedguard.ClassAlarm), 1, false, "x")
	select {
	case <-g.lost: //nolint:errcheck // any end will do
	case <-time.After(limit):
		t.Error("published as another shed")
	}
	for name, o := range map[string]*mqtt.ClientOptions{
		"client id is another's": over("shed-2", "shed-1", ca),
		"no certificate":         over("shed-1", "", ca),
		"of another authority":   over("shed-1", "shed-1", foreign),
		"named as the collector": over("shedcloud", "shedcloud", ca),
	} {
		if _, err := dial(t, o); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
}

func TestRestartKeepsSessionsQueuesAndRetained(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	b := start(t, broker.Options{Path: path, TrustLoopback: true})
	boss := connect(t, collector(b, "shedcloud-book"))
	boss.wait(boss.Subscribe("shedguard/v1/+/alarm", 1, nil))
	boss.Disconnect(50)
	g := connect(t, options(b, "a"))
	const n = 50
	for i := range n {
		g.wait(g.Publish(topic("a", shedguard.ClassAlarm), 1, false, fmt.Sprint("alarm ", i)))
	}
	g.wait(g.Publish(topic("a", shedguard.ClassStatus), 1, true, "online"))
	g.Disconnect(50)
	closed(t, b)

	b = start(t, broker.Options{Path: path, TrustLoopback: true})
	if s := b.Stats(); s.SetAside || s.StoreErrors != 0 {
		t.Errorf("stats after the restart: %+v", s)
	}
	boss = connect(t, collector(b, "shedcloud-book"))
	eventually(t, "the queue", func() bool { return len(boss.payloads()) == n })
	got := boss.payloads()
	slices.Sort(got)
	if len(slices.Compact(got)) != n {
		t.Errorf("got %d different alarms, want %d", len(slices.Compact(got)), n)
	}
	reader := connect(t, collector(b, "shedcloud-reader").SetCleanSession(true))
	reader.wait(reader.Subscribe("shedguard/v1/+/status", 1, nil))
	eventually(t, "retained status", func() bool { return slices.Equal(reader.payloads(), []string{"online"}) })
	eventually(t, "queue is empty", func() bool { return b.Stats().Inflight == 0 })
	boss.Disconnect(50)
	closed(t, b)

	b = start(t, broker.Options{Path: path, TrustLoopback: true})
	boss = connect(t, collector(b, "shedcloud-book"))
	g = connect(t, options(b, "a"))
	g.wait(g.Publish(topic("a", shedguard.ClassAlarm), 1, false, "new"))
	eventually(t, "the new alarm", func() bool { return len(boss.payloads()) > 0 })
	if got := boss.payloads(); !slices.Equal(got, []string{"new"}) {
		t.Errorf("after the second restart %v, want the new one alone", got)
	}
}

// A queue that was delivered and not acknowledged survives a reconnect and then
// a restart.
// TestAnEndIsNoLastWill: what the broker's own end cuts off is not dead.
func TestAnEndIsNoLastWill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	b := start(t, broker.Options{Path: path, TrustLoopback: true})
	boss := connect(t, collector(b, "shedcloud-book"))
	boss.wait(boss.Subscribe("shedguard/v1/+/status", 1, nil))
	sheds := []string{"a", "b", "c", "d", "e", "f"}
	for _, name := range sheds {
		g := connect(t, options(b, name).SetWill(topic(name, shedguard.ClassStatus), "offline", 1, true))
		g.wait(g.Publish(topic(name, shedguard.ClassStatus), 1, true, "online "+name))
	}
	var line net.Conn
	connect(t, options(b, "gone").SetWill(topic("gone", shedguard.ClassStatus), "lost", 1, true).
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (_ net.Conn, err error) {
			line, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", b.PlainAddr().String())
			return line, err
		}))
	eventually(t, "all online", func() bool { return different(boss) == len(sheds) })
	if err := line.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the will of one that is cut off", func() bool { return slices.Contains(boss.payloads(), "lost") })
	closed(t, b)
	if got := boss.payloads(); slices.Contains(got, "offline") {
		t.Errorf("the end of the broker: %v", got)
	}

	b = start(t, broker.Options{Path: path, TrustLoopback: true})
	reader := connect(t, collector(b, "shedcloud-reader").SetCleanSession(true))
	reader.wait(reader.Subscribe("shedguard/v1/+/status", 1, nil))
	eventually(t, "what is retained", func() bool { return different(reader) == len(sheds)+1 })
	if got := reader.payloads(); slices.Contains(got, "offline") {
		t.Errorf("retained: %v", got)
	}
	closed(t, b)
}

func TestReconnectKeepsTheStoredQueue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "broker.db")
	b := start(t, broker.Options{Path: path, TrustLoopback: true})
	silent := func() *mqtt.ClientOptions { return collector(b, "shedcloud-book").SetAutoAckDisabled(true) }
	boss := connect(t, silent())
	boss.wait(boss.Subscribe("shedguard/v1/+/alarm", 1, nil))
	g := connect(t, options(b, "a"))
	for i := range 10 {
		g.wait(g.Publish(topic("a", shedguard.ClassAlarm), 1, false, fmt.Sprint(i)))
	}
	eventually(t, "first delivery", func() bool { return different(boss) == 10 })
	boss.Disconnect(50)
	boss = connect(t, silent())
	eventually(t, "second delivery", func() bool { return different(boss) == 10 })
	boss.Disconnect(50)
	closed(t, b)
	b = start(t, broker.Options{Path: path})
	boss = connect(t, collector(b, "shedcloud-book"))
	eventually(t, "third delivery", func() bool { return different(boss) == 10 })
}

// What is acknowledged is kept: publishers wait at the quota, nothing is
// dropped, and other topics pass.
func TestPublishersWaitAtTheQuota(t *testing.T) {
	b := start(t, broker.Options{Quota: 100, TrustLoopback: true})
	away := connect(t, collector(b, "shedcloud-series"))
	away.wait(away.Subscribe("$share/g/shedguard/v1/+/telemetry", 1, nil))
	away.Disconnect(50)
	boss := connect(t, collector(b, "shedcloud-book"))
	boss.wait(boss.Subscribe("shedguard/v1/+/alarm", 1, nil))
	g := connect(t, options(b, "a"))
	var tokens []mqtt.Token
	for i := range 150 {
		tokens = append(tokens, g.Publish(topic("a", shedguard.ClassTelemetry), 1, false, fmt.Sprint(i)))
	}
	for _, token := range tokens[:100] {
		g.wait(token)
	}
	eventually(t, "the rest waits", func() bool { return b.Stats().Held == 50 })
	g.wait(g.Publish(topic("a", shedguard.ClassAlarm), 1, false, "alarm")) // passes all of them
	eventually(t, "alarm", func() bool { return len(boss.payloads()) == 1 })
	for i, token := range tokens[100:] {
		if token.WaitTimeout(0) {
			t.Fatalf("message %d was acknowledged without room for it", 100+i)
		}
	}
	back := connect(t, collector(b, "shedcloud-series"))
	for _, token := range tokens {
		g.wait(token)
	}
	eventually(t, "all of it", func() bool { return different(back) == 150 })
	if s := b.Stats(); s.Dropped != 0 || s.Held != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestTooManyWaitingEndTheConnection(t *testing.T) {
	b := start(t, broker.Options{Quota: 1, TrustLoopback: true})
	away := connect(t, collector(b, "shedcloud-series"))
	away.wait(away.Subscribe("shedguard/v1/+/telemetry", 1, nil))
	away.Disconnect(50)
	g := connect(t, options(b, "a"))
	for range 300 {
		g.Publish(topic("a", shedguard.ClassTelemetry), 1, false, "x")
	}
	select {
	case <-g.lost: //nolint:errcheck // any end will do
	case <-time.After(limit):
		t.Error("300 waiting messages are taken")
	}
	eventually(t, "nothing waits for who left", func() bool { return b.Stats().Held == 0 })
}

// TestAcknowledgedIsKept fills a queue beyond its quota from several sheds.
func TestAcknowledgedIsKept(t *testing.T) {
	if testing.Short() {
		t.Skip("4,200 messages, each forced to the disk")
	}
	b := start(t, broker.Options{TrustLoopback: true})
	boss := connect(t, collector(b, "shedcloud-book"))
	boss.wait(boss.Subscribe("shedguard/v1/+/alarm", 1, nil))
	boss.Disconnect(50)
	const sheds, each = 4, broker.DefaultQuota/4 + 50
	kept := make([][]mqtt.Token, sheds)
	for s := range sheds {
		g := connect(t, options(b, fmt.Sprint("s", s)))
		for i := range each {
			kept[s] = append(kept[s], g.Publish(topic(fmt.Sprint("s", s), shedguard.ClassAlarm), 1, false, fmt.Sprintf("%d/%d", s, i)))
		}
	}
	eventually(t, "the quota is full", func() bool { return b.Stats().Held >= 4*50-sheds })
	boss = connect(t, collector(b, "shedcloud-book"))
	total := 0
	for s := range sheds {
		for _, token := range kept[s] {
			boss.wait(token)
			total++
		}
	}
	eventually(t, "every acknowledged alarm", func() bool { return different(boss) == total })
	if n := b.Stats().Dropped; n != 0 {
		t.Errorf("%d dropped", n)
	}
}

func TestDamagedFileIsSetAside(t *testing.T) {
	for name, harm := range map[string]func(b []byte) []byte{
		"noise":     func([]byte) []byte { return []byte(strings.Repeat("noise", 5000)) },
		"truncated": func(b []byte) []byte { return b[:len(b)/2] },
		"flipped": func(b []byte) []byte {
			for i := 8192; i < len(b); i++ {
				b[i] ^= 0x55
			}
			return b
		},
		"empty": func([]byte) []byte { return []byte{} },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "broker.db")
			b := start(t, broker.Options{Path: path})
			boss := connect(t, collector(b, "shedcloud-book"))
			boss.wait(boss.Subscribe("shedguard/v1/+/alarm", 1, nil))
			boss.wait(boss.Publish(topic("a", shedguard.ClassConfig), 1, true, strings.Repeat("x", 20000)))
			boss.Disconnect(50)
			closed(t, b)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, harm(content), 0o600); err != nil {
				t.Fatal(err)
			}
			b = start(t, broker.Options{Path: path})
			aside, err := filepath.Glob(path + ".corrupt-*")
			if err != nil || b.Stats().SetAside != (len(aside) == 1) || (name != "empty") != b.Stats().SetAside {
				t.Errorf("set aside %v: %v, %v", b.Stats().SetAside, aside, err)
			}
			connect(t, collector(b, "shedcloud-book"))
		})
	}
}

// BenchmarkPublish is one publisher that waits for each PUBACK, with one
// persistent subscriber: every message is forced to the disk twice.
func BenchmarkPublish(b *testing.B) {
	server := start(b, broker.Options{TrustLoopback: true})
	boss := connect(b, collector(server, "shedcloud-book"))
	boss.wait(boss.Subscribe("shedguard/v1/+/alarm", 1, nil))
	g := connect(b, options(server, "a"))
	b.ReportAllocs()
	for b.Loop() {
		g.wait(g.Publish(topic("a", shedguard.ClassAlarm), 1, false, "alarm"))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}
