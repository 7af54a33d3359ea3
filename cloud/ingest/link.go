package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
)

const (
	connectTimeout = 10 * time.Second
	writeTimeout   = 5 * time.Second
	keepAlive      = 20 * time.Second
	pingTimeout    = 10 * time.Second
	firstWait      = 250 * time.Millisecond
	longestWait    = 30 * time.Second
	steady         = 30 * time.Second // a link that held so long starts again with the shortest wait
	maxQueued      = 1 << 14          // messages in hand, not yet stored
	maxQueuedBytes = 64 << 20
)

// received is a message in hand.
type received struct {
	mqtt.Message
	at time.Time
}

// link is one MQTT session that is kept up.
type link struct {
	opts    *Options
	id      string
	filters map[string]byte // none: a clean session that only publishes
	queue   chan received
	bytes   atomic.Int64 // of payload in the queue
	log     *slog.Logger

	connects, overruns atomic.Uint64

	mu     sync.Mutex  // guards client, never held over I/O
	client mqtt.Client // connected and subscribed, or nil
}

func newLink(opts *Options, suffix string, filters ...string) *link {
	l := &link{opts: opts, id: opts.ClientID + "-" + suffix, log: opts.Log.With("client_id", opts.ClientID+"-"+suffix)}
	if len(filters) > 0 {
		l.filters = make(map[string]byte, len(filters))
		for _, f := range filters {
			l.filters[f] = 1
		}
		l.queue = make(chan received, maxQueued)
	}
	return l
}

func (l *link) connected() bool { return l.current() != nil }

func (l *link) current() mqtt.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client
}

func (l *link) use(c mqtt.Client) {
	l.mu.Lock()
	l.client = c
	l.mu.Unlock()
}

// run connects again and again, with decorrelated jitter, until ctx ends.
func (l *link) run(ctx context.Context) error {
	wait, said := firstWait, ""
	for {
		begun := time.Now()
		err := l.serve(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end was asked for
		}
		if time.Since(begun) > steady {
			wait, said = firstWait, ""
		}
		wait = min(longestWait, firstWait+rand.N(3*wait-firstWait))
		if err.Error() != said {
			said = err.Error()
			l.log.Warn("link to the broker is down", "broker", l.opts.Broker, "err", err, "retry_in", wait)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// serve holds one connection until it breaks or ctx ends.
func (l *link) serve(ctx context.Context) error {
	lost := make(chan error, 1)
	fail := func(err error) {
		select {
		case lost <- err:
		default: // the connection already has its reason to end
		}
	}
	o := mqtt.NewClientOptions().AddBroker(l.opts.Broker).SetClientID(l.id).
		SetProtocolVersion(4).SetCleanSession(l.filters == nil).
		SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false).
		SetConnectTimeout(connectTimeout).SetWriteTimeout(writeTimeout).
		SetKeepAlive(keepAlive).SetPingTimeout(pingTimeout).
		SetOrderMatters(true).SetAutoAckDisabled(true).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { fail(err) }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) {
			if !l.take(m) {
				fail(errors.New("more messages in hand than fit"))
			}
		})
	if l.opts.Username != "" {
		o.SetUsername(l.opts.Username).SetPassword(l.opts.Password)
	}
	if l.opts.TLS != nil {
		o.SetTLSConfig(l.opts.TLS)
	}
	c := mqtt.NewClient(o)
	if err := wait(ctx, c.Connect()); err != nil {
		c.Disconnect(0)
		return fmt.Errorf("connect: %w", err)
	}
	defer c.Disconnect(100)
	if l.filters != nil {
		token := c.SubscribeMultiple(l.filters, nil)
		if err := wait(ctx, token); err != nil {
			return fmt.Errorf("subscribe: %w", err)
		}
		for filter, code := range token.(*mqtt.SubscribeToken).Result() { //nolint:errcheck // paho documents the type
			if code > 2 {
				return fmt.Errorf("subscribe %s: refused by the broker", filter)
			}
		}
	}
	l.connects.Add(1)
	l.log.Info("link to the broker is up", "broker", l.opts.Broker)
	l.use(c)
	defer l.use(nil)
	select {
	case <-ctx.Done():
		return nil
	case err := <-lost:
		return fmt.Errorf("lost: %w", err)
	}
}

// take puts a message in hand. It never blocks: what does not fit is left to
// the broker, and the connection ends so that it comes again later.
func (l *link) take(m mqtt.Message) bool {
	n := int64(len(m.Payload()))
	if l.bytes.Add(n) > maxQueuedBytes {
		l.bytes.Add(-n)
		l.overruns.Add(1)
		return false
	}
	select {
	case l.queue <- received{Message: m, at: time.Now()}:
		return true
	default:
		l.bytes.Add(-n)
		l.overruns.Add(1)
		return false
	}
}

// done tells that a message left the hand.
func (l *link) done(m received) {
	l.bytes.Add(-int64(len(m.Payload())))
	m.Ack()
}

// publish sends a message with QoS 1 and returns its token.
func (l *link) publish(topic string, payload []byte) (mqtt.Token, error) {
	c := l.current()
	if c == nil {
		return nil, ErrNotConnected
	}
	return c.Publish(topic, 1, false, payload), nil
}

func wait(ctx context.Context, t mqtt.Token) error {
	limit, cancel := context.WithTimeout(ctx, connectTimeout+writeTimeout)
	defer cancel()
	select {
	case <-t.Done():
		return t.Error()
	case <-limit.Done():
		return limit.Err()
	}
}
