package certtest

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
	"testing"
	"time"
)

// validFor is how long before and after its making a certificate is valid.
const validFor = time.Hour

// Authority signs certificates and keeps them in one folder.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

// New makes an authority; its certificate is ca.crt in a folder of the test.
func New(tb testing.TB) *Authority {
	tb.Helper()
	a := &Authority{dir: tb.TempDir()}
	a.cert, a.key = a.issue(tb, "ca", func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return a
}

// Dir is the folder of the files.
func (a *Authority) Dir() string { return a.dir }

// CAFile is the path of the authority's certificate.
func (a *Authority) CAFile() string { return filepath.Join(a.dir, "ca.crt") }

// Pool holds the authority's certificate alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Server makes the certificate of a server on 127.0.0.1, which may be known by
// more addresses, and returns the paths of it and its key.
func (a *Authority) Server(tb testing.TB, name string, more ...net.IP) (certFile, keyFile string) {
	tb.Helper()
	a.issue(tb, name, func(c *x509.Certificate) {
		c.IPAddresses = append([]net.IP{net.IPv4(127, 0, 0, 1)}, more...)
	})
	return a.files(name)
}

// Client makes the certificate of a client whose common name is name and
// returns the paths of it and its key.
func (a *Authority) Client(tb testing.TB, name string) (certFile, keyFile string) {
	tb.Helper()
	a.issue(tb, name, nil)
	return a.files(name)
}

// ClientTLS is what a client named name connects with.
func (a *Authority) ClientTLS(tb testing.TB, name string) *tls.Config {
	tb.Helper()
	pair, err := tls.LoadX509KeyPair(a.Client(tb, name))
	if err != nil {
		tb.Fatal(err)
	}
	return &tls.Config{RootCAs: a.Pool(), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

func (a *Authority) files(name string) (certFile, keyFile string) {
	return filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
}

// issue writes name.crt and name.key and returns what is in them.
func (a *Authority) issue(tb testing.TB, name string, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-validFor), NotAfter: time.Now().Add(validFor),
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
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	for suffix, block := range map[string]*pem.Block{
		".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(a.dir, name+suffix), pem.EncodeToMemory(block), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return cert, key
}
