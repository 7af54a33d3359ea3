// Package mosquitto_test runs the shipped settings in a real Mosquitto: they
// must let a gateway do its work and nothing else.
package mosquitto_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/internal/mosquittotest"
)

// authority signs the certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return a
}

// issue writes name.crt and name.key and returns what is in them.
func (a *authority) issue(t *testing.T, name string, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{
		".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(a.dir, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// client connects as name.
func (a *authority) client(t *testing.T, addr, name string) mqtt.Client {
	t.Helper()
	a.issue(t, name, nil)
	pair, err := tls.LoadX509KeyPair(filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("mqtts://" + addr).SetClientID(name).SetAutoReconnect(false).
		SetTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	done(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

func done(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("mqtt: %v", token.Error())
	}
}

// shipped is the shipped configuration with the test's own files, less what
// belongs to the listener's port and the store, which the test sets itself.
func shipped(t *testing.T, a *authority) []string {
	t.Helper()
	b, err := os.ReadFile("mosquitto.conf")
	if err != nil {
		t.Fatal(err)
	}
	acl, err := filepath.Abs("shedguard.acl")
	if err != nil {
		t.Fatal(err)
	}
	// The broker reads the access rules as its own user.
	readable := filepath.Join(a.dir, "shedguard.acl")
	rules, err := os.ReadFile(acl)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(readable, rules, 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(
		"/etc/mosquitto/certs/ca.crt", filepath.Join(a.dir, "ca.crt"),
		"/etc/mosquitto/certs/server", filepath.Join(a.dir, "server"),
		"/etc/mosquitto/shedguard.acl", readable,
	).Replace(string(b))
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, _, _ := strings.Cut(line, " ")
		switch word {
		case "", "#", "listener", "per_listener_settings", "persistence", "persistence_location", "autosave_interval":
		default:
			lines = append(lines, line)
		}
	}
	return lines
}

func TestShippedSettingsKeepGatewaysApart(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue(t, "server", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	server := mosquittotest.Start(t, shipped(t, a)...)

	collector := a.client(t, server.Addr(), "shedcloud")
	got := make(chan string, 16)
	done(t, collector.Subscribe(shedguard.TopicPrefix+"#", 1, func(_ mqtt.Client, m mqtt.Message) { got <- m.Topic() }))
	north, south := a.client(t, server.Addr(), "north"), a.client(t, server.Addr(), "south")
	heard := make(chan string, 16)
	done(t, south.Subscribe(shedguard.Topic("south", shedguard.ClassCommand), 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() }))
	south.Subscribe(shedguard.Topic("north", shedguard.ClassCommand), 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() }).Wait()

	// What is forbidden first, what is allowed behind it: when the allowed has
	// come, the forbidden would have come before.
	for _, topic := range []string{shedguard.Topic("south", shedguard.ClassAlarm), shedguard.Topic("north", shedguard.ClassCommand)} {
		// The broker may end the connection over it: one of its own for each.
		if north.IsConnectionOpen() {
			north.Publish(topic, 1, false, "x").WaitTimeout(10 * time.Second)
			north.Disconnect(100)
		}
		north = a.client(t, server.Addr(), "north")
	}
	var want []string
	for _, topic := range []string{
		shedguard.Topic("north", shedguard.ClassStatus), shedguard.Topic("north", shedguard.ClassTelemetry),
		shedguard.Topic("north", shedguard.ClassAlarm), shedguard.Topic("north", shedguard.ClassEvent),
		shedguard.Topic("north", shedguard.ClassReply), shedguard.EvidenceTopic("north", "01JDEXAMP0E00000000000000A", 1),
	} {
		done(t, north.Publish(topic, 1, false, "x"))
		want = append(want, topic)
	}
	for _, topic := range want {
		if next := receive(t, got); next != topic {
			t.Fatalf("the collector got %s, want %s", next, topic)
		}
	}
	done(t, collector.Publish(shedguard.Topic("north", shedguard.ClassCommand), 1, false, "x"))
	done(t, collector.Publish(shedguard.Topic("south", shedguard.ClassCommand), 1, false, "x"))
	if topic := receive(t, heard); topic != shedguard.Topic("south", shedguard.ClassCommand) {
		t.Errorf("south heard %s", topic)
	}
}

func receive(t *testing.T, c <-chan string) string {
	t.Helper()
	select {
	case s := <-c:
		return s
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came within 10 s")
		return ""
	}
}

func TestShippedSettingsRefuseStrangers(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	a.issue(t, "server", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	server := mosquittotest.Start(t, shipped(t, a)...)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	c := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("mqtts://" + server.Addr()).SetClientID("north").
		SetTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() == nil {
		t.Error("a client without a certificate was let in")
	}
	other := newAuthority(t)
	other.issue(t, "north", nil)
	pair, err := tls.LoadX509KeyPair(filepath.Join(other.dir, "north.crt"), filepath.Join(other.dir, "north.key"))
	if err != nil {
		t.Fatal(err)
	}
	c = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("mqtts://" + server.Addr()).SetClientID("north").
		SetTLSConfig(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	if token := c.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() == nil {
		t.Error("a certificate of another authority was let in")
	}
}
