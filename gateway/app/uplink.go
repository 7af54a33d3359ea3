package app

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/uplink"
)

// newUplink builds the link from the configuration.
func (a *App) newUplink() (*uplink.Uplink, error) {
	u := &a.cfg.Uplink
	identity, err := tlsConfig(u)
	if err != nil {
		return nil, err
	}
	password, err := u.Password()
	if err != nil {
		return nil, err
	}
	var pictures uplink.Pictures
	if a.eyes != nil && a.eyes.spool != nil {
		pictures = a.eyes.spool
	}
	return uplink.New(uplink.Options{
		Pictures: pictures,
		Broker:   u.Broker, Shed: a.cfg.Shed, BootID: a.boot, TLS: identity,
		Username: u.Username, Password: password, RequireAck: u.RequireAck, Outbox: a.outbox,
		Status: a.told,
		Clock:  a.clock.Quality,
		Kinds: []string{
			shedguard.CommandStart, shedguard.CommandStop, shedguard.CommandResetTrip, shedguard.CommandAcknowledge,
			shedguard.CommandSilenceSiren, shedguard.CommandVetoSuppression, shedguard.CommandSelfTest,
			shedguard.CommandSnapshot, shedguard.CommandGetState,
		},
		Handle: a.command,
		Log:    a.part("uplink"),
	})
}

// tlsConfig is what the configuration says about both sides' identity, or nil
// for a broker without TLS.
func tlsConfig(u *config.Uplink) (*tls.Config, error) {
	if !strings.HasPrefix(u.Broker, "mqtts://") {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if u.CAFile != "" {
		pem, err := os.ReadFile(u.CAFile)
		if err != nil {
			return nil, fmt.Errorf("uplink: read ca_file: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("uplink: ca_file %s: no certificate in PEM form in it", u.CAFile)
		}
	}
	if u.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(u.CertFile, u.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("uplink: cert_file %s, key_file %s: %w", u.CertFile, u.KeyFile, err)
		}
		c.Certificates = []tls.Certificate{pair}
	} else if u.KeyFile != "" {
		return nil, errors.New("uplink: key_file without cert_file")
	}
	return c, nil
}
