package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/storage/bolt"
	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/shedguard/shedguard"
)

const (
	// DefaultQuota is how many messages are kept for one session.
	DefaultQuota = 4000
	// MaxQuota leaves room for one message of every client beyond the quota.
	MaxQuota   = 6000
	maxClients = 1000
	maxQueue   = 8192
	maxPacket  = 1<<20 + 1024 // a telemetry batch and its topic
	handshake  = 10 * time.Second
)

// Options says where the broker listens and what it may keep.
type Options struct {
	Path      string      // the file that keeps sessions, queues and retained messages
	Plain     string      // host:port of the plain listener, loopback only; "" for none
	TLSListen string      // host:port of the TLS listener; "" for none
	TLS       *tls.Config // with ClientAuth RequireAndVerifyClientCert; a gateway is named by its certificate's CN
	Collector Credentials // may read and write every topic of the contract, on any listener
	Quota     int         // messages kept for one session before publishers must wait; default DefaultQuota
	Log       *slog.Logger

	// TrustLoopback lets a client on the plain listener be the gateway that
	// its client id names, without a password. For demonstrations.
	TrustLoopback bool
}

// Credentials are a name and a password made anew for every process. Client
// ids that begin with the name and a dash are kept for the collector.
type Credentials struct {
	Username string
	Password string
}

// Broker is a running MQTT broker.
type Broker struct {
	server     *mqtt.Server
	gate       *gate
	plain, tls net.Addr
	setAside   bool
	failures   *atomic.Uint64
	stop       context.CancelFunc
	work       sync.WaitGroup
	once       sync.Once
	closeErr   error
}

// Start opens the file and listens until Close. A file that cannot be read is
// set aside.
func Start(ctx context.Context, opts Options) (*Broker, error) {
	if opts.Quota == 0 {
		opts.Quota = DefaultQuota
	}
	if err := opts.validate(); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	setAside, err := mend(opts.Path, opts.Log)
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	b := &Broker{setAside: setAside, failures: new(atomic.Uint64)}
	log := slog.New(&counting{Handler: quieter{opts.Log.Handler()}, errors: b.failures})
	limits := mqtt.NewDefaultServerCapabilities()
	limits.MaximumMessageExpiryInterval = 0 // nothing is forgotten for its age
	limits.MaximumClients = maxClients
	limits.MaximumInflight = maxQueue
	limits.MaximumClientWritesPending = maxQueue
	limits.MaximumPacketSize = maxPacket
	b.server = mqtt.New(&mqtt.Options{Capabilities: limits, Logger: log, SysTopicResendInterval: 3600})
	b.gate = newGate(&opts, b.server)
	err = errors.Join(
		b.server.AddHook(b.gate, nil),
		b.server.AddHook(&sessions{Hook: new(bolt.Hook)}, &bolt.Options{Path: opts.Path}),
	)
	if err == nil {
		err = b.listen(ctx, &opts)
	}
	if err == nil {
		err = b.server.Serve()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start broker: %w", err), b.server.Close())
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	b.stop = stop
	b.work.Go(func() { b.gate.run(run) })
	return b, nil
}

func (o *Options) validate() error {
	var errs []error
	if o.Path == "" || o.Log == nil {
		errs = append(errs, errors.New("path and log: required"))
	}
	if o.Collector.Username == "" || len(o.Collector.Password) < 16 {
		errs = append(errs, errors.New("collector: want a name and a password of 16 bytes or more"))
	}
	if o.Quota < 1 || o.Quota > MaxQuota {
		errs = append(errs, fmt.Errorf("quota: %d: want 1 to %d", o.Quota, MaxQuota))
	}
	if o.Plain == "" && o.TLSListen == "" {
		errs = append(errs, errors.New("plain, tls listen: want at least one"))
	}
	if host, _, err := net.SplitHostPort(o.Plain); o.Plain != "" && (err != nil || host != "localhost" && !net.ParseIP(host).IsLoopback()) {
		errs = append(errs, fmt.Errorf("plain: %q: want an address of this machine alone, as 127.0.0.1:1883", o.Plain))
	}
	if o.TLSListen != "" && (o.TLS == nil || o.TLS.ClientAuth != tls.RequireAndVerifyClientCert || o.TLS.ClientCAs == nil) {
		errs = append(errs, errors.New("tls: want client certificates required and verified against a CA of its own"))
	}
	return errors.Join(errs...)
}

func (b *Broker) listen(ctx context.Context, o *Options) error {
	open := func(id, addr string, wrap func(net.Listener) net.Listener) (net.Addr, error) {
		if addr == "" {
			return nil, nil //nolint:nilnil // no such listener
		}
		var lc net.ListenConfig
		ln, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		return ln.Addr(), b.server.AddListener(listeners.NewNet(id, wrap(hurried{ln})))
	}
	var plainErr, tlsErr error
	b.plain, plainErr = open(plainID, o.Plain, func(ln net.Listener) net.Listener { return ln })
	b.tls, tlsErr = open(tlsID, o.TLSListen, func(ln net.Listener) net.Listener { return tls.NewListener(ln, o.TLS) })
	return errors.Join(plainErr, tlsErr)
}

// hurried gives a new connection little time until its CONNECT, after which
// the library sets the deadlines.
type hurried struct{ net.Listener }

// Accept waits for the next connection. The library ends a listener for good
// at the first error, as when the process is out of file descriptors: only a
// closed one may say so.
func (h hurried) Accept() (net.Conn, error) {
	for {
		c, err := h.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil {
			time.Sleep(recheck)
			continue
		}
		if c.SetDeadline(time.Now().Add(handshake)) == nil {
			return c, nil
		}
		_ = c.Close() // it was gone before it began
	}
}

// PlainAddr is the address of the plain listener, or nil.
func (b *Broker) PlainAddr() net.Addr { return b.plain }

// TLSAddr is the address of the TLS listener, or nil.
func (b *Broker) TLSAddr() net.Addr { return b.tls }

// Stats is what the broker has counted since it started.
type Stats struct {
	Clients     int64  // connected now
	Received    int64  // messages from publishers
	Sent        int64  // messages to subscribers
	Inflight    int    // kept, not yet acknowledged by their subscriber
	Retained    int64  // retained messages
	Held        int    // publishes whose PUBACK waits for room
	Dropped     int64  // messages lost to a full queue; stays 0 for QoS 1
	Refused     uint64 // connects, publishes and subscriptions against the access rules
	StoreErrors uint64 // changes that did not reach the file
	SetAside    bool   // the file was unreadable at start and was set aside
}

// Stats is a copy of the counters.
func (b *Broker) Stats() Stats {
	i := b.server.Info
	inflight := 0
	for _, cl := range b.server.Clients.GetAll() { // the library's own count is off after a restart
		inflight += cl.State.Inflight.Len()
	}
	return Stats{
		Clients: atomic.LoadInt64(&i.ClientsConnected), Received: atomic.LoadInt64(&i.MessagesReceived), Sent: atomic.LoadInt64(&i.MessagesSent),
		Inflight: inflight, Retained: atomic.LoadInt64(&i.Retained),
		Dropped: atomic.LoadInt64(&i.InflightDropped) + atomic.LoadInt64(&i.MessagesDropped),
		Held:    b.gate.count(), Refused: b.gate.refused.Load(), StoreErrors: b.failures.Load(), SetAside: b.setAside,
	}
}

// Close disconnects every client and closes the file. It sends no last wills: the
// broker ends, and the gateways do not.
func (b *Broker) Close() error {
	b.once.Do(func() {
		b.gate.closing.Store(true)
		b.stop()
		b.work.Wait()
		if err := b.server.Close(); err != nil {
			b.closeErr = fmt.Errorf("close broker: %w", err)
		}
	})
	return b.closeErr
}

// prefix begins every topic that a gateway may touch.
func prefix(shed string) string { return shedguard.TopicPrefix + shed + "/" }
