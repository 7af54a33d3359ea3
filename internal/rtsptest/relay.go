package rtsptest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Mode is what a relay makes of a camera.
type Mode int32

// The modes. A change is for connections that stand, too.
const (
	// Clear passes everything on.
	Clear Mode = iota
	// Mute takes connections and requests and never says anything.
	Mute
	// Noise answers everything with random bytes, without an end.
	Noise
	// Garbled answers requests as the camera does, and sends its packets with a
	// good header and random bytes for pictures.
	Garbled
)

// Relay stands before a camera.
type Relay struct {
	listener net.Listener
	mode     atomic.Int32
	waiter   sync.WaitGroup
	mu       sync.Mutex // guards conns
	conns    map[net.Conn]bool
	accepted atomic.Int64
	packets  atomic.Int64 // of the newest connection
}

// StartRelay returns a relay before the camera at addr, until the test ends.
func StartRelay(tb testing.TB, addr string) *Relay {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := &Relay{listener: l, conns: make(map[net.Conn]bool)}
	ctx := context.WithoutCancel(tb.Context())
	r.waiter.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			r.packets.Store(0)
			r.accepted.Add(1)
			r.waiter.Go(func() { r.serve(ctx, client, addr) })
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		r.Cut()
		r.waiter.Wait()
	})
	return r
}

// URL is where the pictures are.
func (r *Relay) URL() string { return url(r.listener.Addr().String()) }

// Set changes the mode.
func (r *Relay) Set(m Mode) { r.mode.Store(int32(m)) }

// Accepted is how many connections were taken.
func (r *Relay) Accepted() int64 { return r.accepted.Load() }

// Packets is how many packets of a stream were passed on since the last connection
// was taken.
func (r *Relay) Packets() int64 { return r.packets.Load() }

// Cut closes all connections; new ones are taken.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close() // it may be closed
	}
}

func (r *Relay) is(m Mode) bool { return Mode(r.mode.Load()) == m }

func (r *Relay) hold(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conns[c] = true
}

func (r *Relay) release(c net.Conn) {
	_ = c.Close() // it may be closed
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

// serve is one connection, until an end of it closes.
func (r *Relay) serve(ctx context.Context, client net.Conn, addr string) {
	r.hold(client)
	defer r.release(client)
	camera, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return
	}
	r.hold(camera)
	defer r.release(camera)

	ended := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		defer r.release(camera)
		defer close(ended)
		b := make([]byte, 4096)
		for {
			n, err := client.Read(b)
			if err != nil {
				return
			}
			if r.is(Mute) || r.is(Noise) {
				continue
			}
			if _, err := camera.Write(b[:n]); err != nil {
				return
			}
		}
	})
	all.Go(func() { r.rattle(client, ended) })
	defer all.Wait()
	defer r.release(client)
	for in := bufio.NewReader(camera); ; {
		b, packet, err := message(in)
		if err != nil {
			// A camera that gives up on a client is no reason to let that go.
			if r.is(Mute) || r.is(Noise) {
				<-ended
			}
			return
		}
		if r.is(Mute) || r.is(Noise) {
			continue
		}
		if packet && r.is(Garbled) && len(b) > 16 {
			_, _ = rand.Read(b[16:]) // 4 bytes of framing, 12 of RTP
		}
		if _, err := client.Write(b); err != nil {
			return
		}
		if packet {
			r.packets.Add(1)
		}
	}
}

// rattle sends noise while that is the mode, as much as a camera sends.
func (r *Relay) rattle(client net.Conn, ended <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	b := make([]byte, 4096)
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
		}
		if !r.is(Noise) {
			continue
		}
		_, _ = rand.Read(b) // never fails
		if _, err := client.Write(b); err != nil {
			return
		}
	}
}

// message reads what a camera sends: an answer, or a packet of its stream (RFC 2326
// section 10.12).
func message(in *bufio.Reader) (b []byte, packet bool, err error) {
	first, err := in.Peek(1)
	if err != nil {
		return nil, false, err
	}
	if first[0] == '$' {
		head, err := in.Peek(4)
		if err != nil {
			return nil, false, err
		}
		b = make([]byte, 4+int(binary.BigEndian.Uint16(head[2:])))
		_, err = io.ReadFull(in, b)
		return b, true, err
	}
	var text bytes.Buffer
	lines := textproto.NewReader(bufio.NewReader(io.TeeReader(oneByte{in}, &text)))
	if _, err := lines.ReadLine(); err != nil {
		return nil, false, err
	}
	head, err := lines.ReadMIMEHeader()
	if err != nil {
		return nil, false, err
	}
	if s := head.Get("Content-Length"); s != "" {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 0 || n > 1<<20 {
			return nil, false, fmt.Errorf("an answer of %q bytes", s)
		}
		if _, err := io.CopyN(&text, in, int64(n)); err != nil {
			return nil, false, err
		}
	}
	return text.Bytes(), false, nil
}

// oneByte keeps a reader behind it from taking more than it needs.
type oneByte struct{ in *bufio.Reader }

// Read implements io.Reader.
func (o oneByte) Read(p []byte) (int, error) { return o.in.Read(p[:min(1, len(p))]) }
