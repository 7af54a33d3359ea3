package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/shedguard/shedguard"
)

const (
	schemePlain = "mqtt"
	schemeTLS   = "mqtts"

	connectLimit  = 10 * time.Second
	writeLimit    = 5 * time.Second
	keepAlive     = 30 * time.Second
	pingLimit     = 10 * time.Second
	quiesceMillis = 250
	inboxSize     = 256
)

// pahoLink is one connection of one paho client, which is never used again.
type pahoLink struct {
	client mqtt.Client
	lost   chan error
	inbox  chan message
	mu     sync.Mutex
	conn   net.Conn // guarded by mu
}

// dialPaho connects and subscribes.
func dialPaho(ctx context.Context, opts *Options, will []byte, overrun *atomic.Uint64) (link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectLimit, fmt.Errorf("no connection within %v", connectLimit))
	defer cancel()
	l := &pahoLink{lost: make(chan error, 1), inbox: make(chan message, inboxSize)}
	var dialErr error
	o := mqtt.NewClientOptions().
		AddBroker(opts.Broker).
		SetClientID(opts.Shed).
		SetUsername(opts.Username).
		SetPassword(opts.Password).
		SetProtocolVersion(4). // MQTT 3.1.1
		SetCleanSession(true).
		SetStore(mqtt.NewMemoryStore()).
		SetAutoReconnect(false).
		SetConnectRetry(false).
		SetOrderMatters(true). // the handler never blocks
		SetConnectTimeout(connectLimit).
		SetWriteTimeout(writeLimit).
		SetKeepAlive(keepAlive).
		SetPingTimeout(pingLimit).
		SetBinaryWill(shedguard.Topic(opts.Shed, shedguard.ClassStatus), will, 1, true).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { l.fail(err) }).
		SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			conn, err := open(ctx, u, opts.TLS)
			if err != nil {
				dialErr = err
				return nil, err
			}
			l.mu.Lock()
			l.conn = conn
			l.mu.Unlock()
			return conn, nil
		})
	l.client = mqtt.NewClient(o)
	connect := l.client.Connect()
	select {
	case <-connect.Done():
	case <-ctx.Done():
		l.cut()
		<-connect.Done() // the connection is closed under it
		if connect.Error() == nil {
			l.client.Disconnect(0)
		}
		return nil, fmt.Errorf("connect: %w", context.Cause(ctx))
	}
	if err := connect.Error(); err != nil {
		if dialErr != nil {
			err = dialErr // paho's wrapping says no more
		}
		return nil, fmt.Errorf("connect: %w", err)
	}
	denied, err := l.subscribe(ctx, opts.Shed, overrun)
	if err != nil {
		l.Close(true)
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if len(denied) > 0 {
		opts.Log.Error("broker denies the gateway its own topics, alarms go out all the same", "shed", opts.Shed, "topics", denied)
	}
	return l, nil
}

// open makes the connection below MQTT. TLS checks the server's name.
func open(ctx context.Context, u *url.URL, config *tls.Config) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	if u.Scheme != schemeTLS {
		return conn, nil
	}
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = u.Hostname()
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("tls with %s: %w", config.ServerName, err), conn.Close())
	}
	return secure, nil
}

// subscribe asks for the shed's own topics and returns those that the broker
// denies: its rules are wrong for this gateway then.
func (l *pahoLink) subscribe(ctx context.Context, shed string, overrun *atomic.Uint64) (denied []string, err error) {
	filters := make(map[string]byte)
	for _, class := range []shedguard.Class{shedguard.ClassCommand, shedguard.ClassAck, shedguard.ClassConfig} {
		filters[shedguard.Topic(shed, class)] = 1
	}
	handler := func(_ mqtt.Client, m mqtt.Message) {
		_, class, _, err := shedguard.ParseTopic(m.Topic())
		if err != nil {
			class = "" // counted as garbage by the reader
		}
		select {
		case l.inbox <- message{class: class, retained: m.Retained(), payload: m.Payload()}:
		default:
			overrun.Add(1)
		}
	}
	t := l.client.SubscribeMultiple(filters, handler)
	select {
	case <-t.Done():
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if sub, ok := t.(*mqtt.SubscribeToken); ok {
		for filter, qos := range sub.Result() {
			if qos > 2 {
				denied = append(denied, filter)
			}
		}
	}
	if len(denied) > 0 {
		slices.Sort(denied)
		return denied, nil
	}
	return nil, t.Error()
}

func (l *pahoLink) Publish(topic string, retained bool, payload []byte) token {
	return l.client.Publish(topic, 1, retained, payload)
}

func (l *pahoLink) Lost() <-chan error { return l.lost }

func (l *pahoLink) Inbox() <-chan message { return l.inbox }

func (l *pahoLink) fail(err error) {
	select {
	case l.lost <- err:
	default:
	}
}

// Close ends the connection. An unclean one closes the socket first, so that
// the broker sends the last will.
func (l *pahoLink) Close(clean bool) {
	if !clean {
		l.cut()
	}
	l.client.Disconnect(quiesceMillis)
	l.cut()
}

func (l *pahoLink) cut() {
	l.mu.Lock()
	conn := l.conn
	l.mu.Unlock()
	if conn != nil {
		_ = conn.Close() // it is over either way
	}
}
