package broker

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/shedguard/shedguard"
)

const (
	plainID = "plain"
	tlsID   = "tls"
	maxHeld = 256 // waiting publishes of one client
	recheck = 50 * time.Millisecond
)

var (
	errHeld  = errors.New("too many messages wait for room")
	errIdle  = errors.New("session acknowledges nothing")
	errQoS2  = errors.New("QoS 2 is not served")
	errStore = errors.New("could not be queued")
)

// gate decides who may come in and what may pass, and holds publishes until
// there is room for them.
type gate struct {
	mqtt.HookBase
	opts    *Options
	server  *mqtt.Server
	inner   *mqtt.Client // publishes what passed
	kick    chan struct{}
	refused atomic.Uint64
	closing atomic.Bool // the broker ends

	mu     sync.Mutex // guards the fields below, never held over I/O
	idle   sync.Cond  // some count in active fell to 0
	held   map[*mqtt.Client][]packets.Packet
	active map[string]int          // messages being queued for a session
	moving map[string]*mqtt.Client // sessions being taken over, and by whom
	asked  map[*mqtt.Client]uint16 // packet id of the SUBSCRIBE in hand
}

func newGate(opts *Options, server *mqtt.Server) *gate {
	g := &gate{
		opts: opts, server: server, inner: server.NewClient(nil, mqtt.LocalListener, "shedguard-gate", true),
		kick: make(chan struct{}, 1), held: make(map[*mqtt.Client][]packets.Packet),
		active: make(map[string]int), moving: make(map[string]*mqtt.Client), asked: make(map[*mqtt.Client]uint16),
	}
	g.idle.L = &g.mu
	return g
}

// ID names the hook.
func (*gate) ID() string { return "shedguard" }

// Init has nothing to do.
func (*gate) Init(any) error { return nil }

// Provides says which calls the hook wants.
func (*gate) Provides(b byte) bool {
	return slices.Contains([]byte{mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish, mqtt.OnQosComplete, mqtt.OnDisconnect, mqtt.OnSessionEstablish, mqtt.OnSessionEstablished, mqtt.OnSubscribe, mqtt.OnPacketEncode, mqtt.OnWill}, b)
}

// OnWill replaces the will of a client that the broker's own end cuts off by one
// that nobody can subscribe to: the server sends some will in any case.
func (g *gate) OnWill(_ *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	if g.closing.Load() {
		return mqtt.Will{TopicName: "ended"}, nil
	}
	return will, nil
}

// OnConnectAuthenticate names the client or turns it away. The name becomes
// its user name, which is what the rules go by.
func (g *gate) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	name, ok := g.identify(cl, pk)
	if ok {
		cl.Properties.Username = []byte(name)
		ok = !pk.Connect.WillFlag || g.may(name, pk.Connect.WillTopic)
	}
	if !ok {
		g.refused.Add(1)
		g.opts.Log.Warn("broker turned a client away", "client_id", cl.ID, "listener", cl.Net.Listener, "remote", cl.Net.Remote)
	}
	return ok
}

func (g *gate) identify(cl *mqtt.Client, pk packets.Packet) (name string, ok bool) {
	c := g.opts.Collector
	if string(pk.Connect.Username) == c.Username {
		return c.Username, subtle.ConstantTimeCompare(pk.Connect.Password, []byte(c.Password)) == 1
	}
	switch cl.Net.Listener {
	case tlsID:
		conn, isTLS := cl.Net.Conn.(*tls.Conn)
		if !isTLS {
			return "", false
		}
		chain := conn.ConnectionState().VerifiedChains
		if len(chain) == 0 {
			return "", false
		}
		name = chain[0][0].Subject.CommonName
	case plainID:
		if !g.opts.TrustLoopback {
			return "", false
		}
		name = cl.ID
	}
	reserved := name == c.Username || strings.HasPrefix(name, c.Username+"-")
	return name, shedguard.ValidShedID(name) && name == cl.ID && !reserved
}

// may reports whether name may touch a topic or filter.
func (g *gate) may(name, topic string) bool {
	if name == g.opts.Collector.Username {
		if rest, ok := strings.CutPrefix(topic, "$share/"); ok {
			_, topic, _ = strings.Cut(rest, "/")
		}
		return strings.HasPrefix(topic, shedguard.TopicPrefix)
	}
	return shedguard.ValidShedID(name) && strings.HasPrefix(topic, prefix(name))
}

// OnACLCheck applies the rules to a publish, a subscription or a delivery.
func (g *gate) OnACLCheck(cl *mqtt.Client, topic string, _ bool) bool {
	ok := g.may(string(cl.Properties.Username), topic)
	if !ok {
		g.refused.Add(1)
		g.opts.Log.Warn("broker refused a topic", "client_id", cl.ID, "topic", topic)
	}
	return ok
}

// OnPublish queues a message, then acknowledges it, or holds it until there is
// room. The library is told to do no more about it.
func (g *gate) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline || pk.FixedHeader.Qos == 0 {
		return pk, nil
	}
	if pk.FixedHeader.Qos > 1 {
		cl.Stop(errQoS2)
		return pk, packets.ErrRejectPacket
	}
	if to, now := g.admit(cl, pk); now {
		g.pass(cl, pk, to)
	}
	return pk, packets.ErrRejectPacket
}

// admit lets a message pass now, or keeps it: when it has no room, or comes
// behind one of the same topic that waits.
func (g *gate) admit(cl *mqtt.Client, pk packets.Packet) (to []string, now bool) {
	to, room := g.room(pk.TopicName)
	g.mu.Lock()
	waiting := g.held[cl]
	behind := slices.ContainsFunc(waiting, func(w packets.Packet) bool { return w.TopicName == pk.TopicName })
	now = room && !behind && g.begin(to)
	full := !now && len(waiting) >= maxHeld
	if !now && !full && !cl.Closed() {
		g.held[cl] = append(waiting, pk)
	}
	g.mu.Unlock()
	if full {
		cl.Stop(errHeld)
	}
	return to, now
}

// begin notes that a message is being queued for sessions, unless one of them
// is being taken over; g.mu is held.
func (g *gate) begin(to []string) bool {
	for _, id := range to {
		if by := g.moving[id]; by != nil && !by.Closed() {
			return false
		}
	}
	for _, id := range to {
		g.active[id]++
	}
	return true
}

func (g *gate) end(to []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range to {
		if g.active[id]--; g.active[id] == 0 {
			delete(g.active, id)
			g.idle.Broadcast()
		}
	}
}

// OnSessionEstablish comes before a client takes its session over. The library
// copies the queue and then forgets the old one: what is queued between the
// two is lost. So nothing is, until the session has moved.
func (g *gate) OnSessionEstablish(cl *mqtt.Client, _ packets.Packet) {
	if passing(cl) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.moving[cl.ID] = cl
	for g.active[cl.ID] > 0 {
		g.idle.Wait()
	}
}

// OnSessionEstablished comes when the session has moved.
func (g *gate) OnSessionEstablished(cl *mqtt.Client, _ packets.Packet) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.moving[cl.ID] == cl {
		delete(g.moving, cl.ID)
	}
}

// OnSubscribe hides the packet id of a SUBSCRIBE: the library refuses one that
// is also the id of a queued delivery, though the two are counted apart.
func (g *gate) OnSubscribe(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	g.mu.Lock()
	g.asked[cl] = pk.PacketID
	g.mu.Unlock()
	pk.PacketID = 0
	return pk
}

// OnPacketEncode gives the answer to a SUBSCRIBE its id back.
func (g *gate) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Suback && pk.PacketID == 0 {
		g.mu.Lock()
		pk.PacketID = g.asked[cl]
		delete(g.asked, cl)
		g.mu.Unlock()
	}
	return pk
}

// room reports whether every session that is to have a message of the topic
// can take one more, and which these are.
func (g *gate) room(topic string) (to []string, ok bool) {
	subs := g.server.Topics.Subscribers(topic)
	ok = true
	look := func(id string, sub packets.Subscription) {
		cl, known := g.server.Clients.Get(id)
		if !known || sub.Qos == 0 {
			return
		}
		to = append(to, id)
		switch {
		case cl.State.Inflight.Len() < g.opts.Quota:
		case passing(cl):
			cl.Stop(errIdle)
		default:
			ok = false
		}
	}
	for id, sub := range subs.Subscriptions {
		look(id, sub)
	}
	for _, group := range subs.Shared {
		for id, sub := range group {
			look(id, sub)
		}
	}
	return to, ok
}

// pass queues a message for its subscribers and acknowledges it.
func (g *gate) pass(cl *mqtt.Client, pk packets.Packet, to []string) {
	id := pk.PacketID
	pk.FixedHeader.Dup = false
	err := g.server.InjectPacket(g.inner, pk)
	g.end(to)
	if err != nil {
		g.opts.Log.Error("broker cannot queue a message", "client_id", cl.ID, "topic", pk.TopicName, "err", err)
		cl.Stop(errStore)
		return
	}
	if err := cl.WritePacket(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}, PacketID: id}); err != nil {
		cl.Stop(err) // it sends the message again on its next connection
	}
}

// OnQosComplete tells that a session has more room.
func (g *gate) OnQosComplete(*mqtt.Client, packets.Packet) {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}

// OnDisconnect forgets what waits: it was not acknowledged and comes again.
func (g *gate) OnDisconnect(cl *mqtt.Client, _ error, _ bool) {
	g.mu.Lock()
	delete(g.held, cl)
	delete(g.asked, cl)
	g.mu.Unlock()
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := 0
	for _, w := range g.held {
		n += len(w)
	}
	return n
}

// run passes what was held as soon as there is room, until ctx ends.
func (g *gate) run(ctx context.Context) {
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.kick:
		case <-tick.C:
		}
		g.release()
	}
}

// release makes one round over the clients with waiting messages.
func (g *gate) release() {
	g.mu.Lock()
	clients := make([]*mqtt.Client, 0, len(g.held))
	for cl := range g.held {
		clients = append(clients, cl)
	}
	g.mu.Unlock()
	for _, cl := range clients {
		g.mu.Lock()
		waiting := slices.Clone(g.held[cl])
		g.mu.Unlock()
		stuck := map[string]bool{} // topics behind which more waits
		for _, pk := range waiting {
			to, ok := g.room(pk.TopicName)
			if ok && !stuck[pk.TopicName] {
				g.mu.Lock()
				ok = g.begin(to)
				g.mu.Unlock()
			}
			if !ok || stuck[pk.TopicName] {
				stuck[pk.TopicName] = true
				continue
			}
			g.pass(cl, pk, to)
			g.mu.Lock() // only now: until then it keeps later ones of its topic behind it
			g.held[cl] = slices.DeleteFunc(g.held[cl], func(w packets.Packet) bool { return w.PacketID == pk.PacketID })
			if len(g.held[cl]) == 0 {
				delete(g.held, cl)
			}
			g.mu.Unlock()
		}
	}
}
