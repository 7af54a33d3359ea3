package broker

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
)

// Options says where the broker listens and what it may keep.
type Options struct {
	Path      string      // the file that keeps sessions, queues and retained messages
	Plain     string      // host:port of the plain listener, loopback only; "" for none
	TLSListen string      // host:port of the TLS listener; "" for none
	TLS       *tls.Config // with ClientAuth RequireAndVerifyClientCert; a gateway is named by its certificate's CN
	Collector Credentials // may read and write every topic of the contract, on any listener
	Quota     int         // messages kept for one session before publishers must wait; default 4000
	Log       *slog.Logger

	// TrustLoopback lets a client on the plain listener be the gateway that
	// its client id names, without a password. For demonstrations.
	TrustLoopback bool
}

// Credentials are a name and a password made anew for every process.
type Credentials struct {
	Username string
	Password string
}

// Broker is a running MQTT broker.
type Broker struct {
	opts Options
}

// Start opens the file and listens. A file that cannot be read is set aside.
func Start(ctx context.Context, opts Options) (*Broker, error) {
	return &Broker{opts: opts}, nil
}

// PlainAddr is the address of the plain listener, or nil.
func (b *Broker) PlainAddr() net.Addr { return nil }

// TLSAddr is the address of the TLS listener, or nil.
func (b *Broker) TLSAddr() net.Addr { return nil }

// Stats is what the broker has counted since it started.
type Stats struct {
	Clients   int64  // connected now
	Received  int64  // messages from publishers
	Sent      int64  // messages to subscribers
	Inflight  int64  // kept, not yet acknowledged by their subscriber
	Retained  int64  // retained messages
	Held      int    // publishes whose PUBACK waits for room
	Dropped   int64  // messages lost to a full queue: stays 0
	Refused   uint64 // publishes and subscriptions against the access rules
	Corrupted bool   // the file was unreadable at start and was set aside
}

// Stats is a copy of the counters.
func (b *Broker) Stats() Stats { return Stats{} }

// Close disconnects every client and closes the file.
func (b *Broker) Close() error { return nil }
