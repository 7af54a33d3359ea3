package uplink

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/outbox"
	"github.com/shedguard/shedguard/gateway/spool"
)

const (
	alarmWindow     = 16       // alarm-lane records in flight
	telemetryWindow = 8        // telemetry records in flight
	telemetryBytes  = 64 << 10 // and their size, so that an alarm never waits behind more on a slow line
	prefetch        = 64       // telemetry records read at once

	resendAfter    = 30 * time.Second // a PUBACK without an ack
	resendMost     = 10 * time.Minute
	deferMost      = 5 * time.Minute  // an alarm that takes the connection down
	stallAfter     = 15 * time.Second // something in flight and no PUBACK at all
	farewellLimit  = 2 * time.Second
	handleLimit    = 10 * time.Second
	strikesAlarm   = 3  // lost connections before an alarm is put off
	strikesForever = 5  // lost connections before telemetry is set aside
	provedBy       = 32 // PUBACKs in a row before many records are in flight again
	maxReplies     = 64
)

// Options are what an uplink needs.
type Options struct {
	Broker     string      // mqtt://host:port, or mqtts://host:port with TLS
	Shed       string      // shed id, also the MQTT client id
	BootID     string      // ULID of this start
	TLS        *tls.Config // for mqtts; the server's name is checked against Broker's host unless ServerName is set
	Username   string
	Password   string
	RequireAck bool // an alarm leaves the outbox on the collector's ack; else on the broker's PUBACK

	Outbox *outbox.Outbox
	// Pictures are sent one at a time, after the alarms; nil where there are none.
	Pictures Pictures
	// Status is the gateway's summary: version, configuration, clock, outlets.
	// The uplink fills in state, since, boot and connection.
	Status func() shedguard.Status
	Clock  func() shedguard.ClockQuality
	// Kinds are the commands that Handle carries out.
	Kinds []string
	// Handle carries a command out, one at a time. Its result is the reply's; a
	// *shedguard.ReplyError is the refusal, any other error is answered as busy.
	Handle func(ctx context.Context, c shedguard.Command) (any, error)
	// Config takes the payload of the config topic; nil counts it as garbage. It
	// must not block.
	Config func(payload []byte)
	Log    *slog.Logger
}

// Stats counts what an uplink did since it was made.
type Stats struct {
	Connects  uint64 // connections that the broker accepted
	Attempts  uint64
	Alarms    uint64 // alarm-lane records that the broker acknowledged, resent ones included
	Telemetry uint64 // telemetry records that the broker acknowledged
	Resent    uint64 // alarm-lane records sent again for want of an ack
	Acked     uint64 // alarm-lane records that the collector acknowledged
	// AlarmDelay is how long the last alarm that was raised took from its
	// deciding sample to the PUBACK of its first sending.
	AlarmDelay time.Duration
	SetAside   uint64 // telemetry records that no connection survived
	Pictures   uint64 // that the broker acknowledged
	Commands   uint64 // given to the handler
	Refused    uint64 // commands answered with an error by the uplink itself
	Garbage    uint64 // payloads that could not be read
	Overrun    uint64 // messages that came faster than they could be taken
}

// Pictures is where pictures of incidents wait.
type Pictures interface {
	Wake() <-chan struct{}
	// Next is the oldest one.
	Next() (spool.Picture, bool)
	Done(p spool.Picture)
	Refuse(p spool.Picture)
}

// link is one connection to the broker.
type link interface {
	// Publish hands a QoS 1 message over; it may block for the write time-out.
	Publish(topic string, retained bool, payload []byte) token
	// Lost receives once why the connection ended.
	Lost() <-chan error
	// Inbox is what came in. It is never closed.
	Inbox() <-chan message
	// Close ends the connection; a clean one does not fire the last will.
	Close(clean bool)
}

// token is done when the broker acknowledged a publish, or with an error.
type token interface {
	Done() <-chan struct{}
	Error() error
}

// message is what came in on a subscription.
type message struct {
	class    shedguard.Class
	retained bool
	payload  []byte
}

// dialer makes one connection. overrun counts messages that found no room.
type dialer func(ctx context.Context, opts *Options, will []byte, overrun *atomic.Uint64) (link, error)

// Uplink is the gateway's side of the MQTT contract.
type Uplink struct {
	opts      Options
	dial      dialer
	wait      backoff
	resend    time.Duration // first wait for an ack
	commands  commands
	queue     chan shedguard.Command
	poke      chan struct{} // status or replies to publish
	connected atomic.Bool
	overrun   atomic.Uint64
	conn      uint64 // attempts; Run's goroutine

	mu      sync.Mutex // guards what follows
	stats   Stats
	replies [][]byte
	logged  map[string]string

	// Of Run's goroutine, over all connections.
	later   map[uint64]*delay // alarm-lane keys not to be sent before a time
	strikes map[strike]int
	suspect string // the picture that was in flight when connections went
	blamed  int    // how many
	narrow  bool   // one record in flight
	proved  int    // PUBACKs since narrow
}

// delay is when a record of the alarm lane may be sent again.
type delay struct {
	until time.Time
	wait  time.Duration
}

// strike names a record that was in flight alone when the connection went.
type strike struct {
	alarm bool
	key   uint64
}

// New checks opts and makes an uplink.
func New(opts Options) (*Uplink, error) {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	b, err := url.Parse(opts.Broker)
	check(err == nil && b.Host != "" && b.Port() != "" && (b.Scheme == schemePlain || b.Scheme == schemeTLS) && b.User == nil,
		"broker: %q: want mqtt://host:port or mqtts://host:port", redact(opts.Broker))
	if err == nil {
		check((b.Scheme == schemeTLS) == (opts.TLS != nil), "tls: want it with mqtts:// and only with it")
	}
	check(shedguard.ValidShedID(opts.Shed), "shed: %q: want a shed id", opts.Shed)
	check(shedguard.ValidID(opts.BootID), "boot_id: %q: want a ULID", opts.BootID)
	check(opts.Outbox != nil, "outbox: required")
	check(opts.Status != nil, "status: required")
	check(opts.Clock != nil, "clock: required")
	check(opts.Handle != nil || len(opts.Kinds) == 0, "handle: required for the kinds %v", opts.Kinds)
	check(opts.Log != nil, "log: required")
	if len(errs) > 0 {
		return nil, fmt.Errorf("uplink: %w", errors.Join(errs...))
	}
	return &Uplink{
		opts: opts, dial: dialPaho, wait: backoff{base: time.Second, most: time.Minute}, resend: resendAfter,
		commands: commands{boot: opts.BootID, kinds: opts.Kinds},
		queue:    make(chan shedguard.Command, 16), poke: make(chan struct{}, 1),
		logged: make(map[string]string), later: make(map[uint64]*delay), strikes: make(map[strike]int),
	}, nil
}

// redact leaves a broker's URL without its credentials.
func redact(broker string) string {
	if u, err := url.Parse(broker); err == nil {
		return u.Redacted()
	}
	return "unreadable URL"
}

// Run keeps a connection until ctx ends, then says stopped and disconnects. No
// fault of broker, network or payload ends it earlier.
func (u *Uplink) Run(ctx context.Context) error {
	var worker sync.WaitGroup
	defer worker.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	worker.Go(func() { u.work(ctx) })
	for {
		began := time.Now()
		err := u.once(ctx)
		u.connected.Store(false)
		if ctx.Err() != nil {
			return nil
		}
		u.wait.settle(time.Since(began))
		wait := u.wait.next()
		u.warn("link", "uplink has no connection", err, "retry_in", wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// Connected reports whether there is a connection now.
func (u *Uplink) Connected() bool { return u.connected.Load() }

// PublishStatus says that the status may have changed.
func (u *Uplink) PublishStatus() {
	select {
	case u.poke <- struct{}{}:
	default:
	}
}

// OldestUnsent is the most severe standing alarm that the broker has not
// acknowledged yet, and since when the oldest of that severity has waited.
func (u *Uplink) OldestUnsent() (severity shedguard.Severity, since time.Time, ok bool) {
	return u.opts.Outbox.Unsent()
}

// Stats is what the uplink did so far.
func (u *Uplink) Stats() Stats {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.stats
	s.Overrun = u.overrun.Load()
	return s
}

func (u *Uplink) count(f func(*Stats)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.stats)
}

// warn logs a fault when its text differs from the last of its kind.
func (u *Uplink) warn(kind, msg string, err error, args ...any) {
	text := fmt.Sprint(err)
	u.mu.Lock()
	same := u.logged[kind] == text
	u.logged[kind] = text
	u.mu.Unlock()
	if !same {
		u.opts.Log.Warn(msg, append([]any{"shed", u.opts.Shed, "broker", redact(u.opts.Broker), "err", text}, args...)...) //nolint:sloglint // the callers' messages are constant
	}
}

// status is the payload of the status topic.
func (u *Uplink) status(state shedguard.GatewayState, since time.Time) ([]byte, error) {
	s := shedguard.Status{}
	if state == shedguard.GatewayOnline {
		s = u.opts.Status()
	}
	s.State, s.Since, s.BootID, s.Conn = state, since.UTC().Truncate(time.Millisecond), u.opts.BootID, u.conn
	s.Clock = u.opts.Clock()
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	return b, nil
}

// once makes a connection and serves it until it ends.
func (u *Uplink) once(ctx context.Context) error {
	u.conn++
	u.count(func(s *Stats) { s.Attempts++ })
	now := time.Now()
	will, err := u.status(shedguard.GatewayOffline, now)
	if err != nil {
		return err
	}
	l, err := u.dial(ctx, &u.opts, will, &u.overrun)
	if err != nil {
		return err
	}
	u.count(func(s *Stats) { s.Connects++ })
	u.connected.Store(true)
	u.opts.Log.Info("uplink connected", "shed", u.opts.Shed, "broker", redact(u.opts.Broker), "conn", u.conn)
	u.mu.Lock()
	delete(u.logged, "link")
	u.mu.Unlock()
	s := &session{u: u, link: l, since: now, progress: now}
	return s.serve(ctx)
}

// flight is a record on its way.
type flight struct {
	rec   outbox.Record
	token token
	reply bool
}

// session is one connection. It belongs to Run's goroutine.
type session struct {
	u        *Uplink
	link     link
	since    time.Time
	progress time.Time // last PUBACK, or when something was first in flight

	status    []byte // last published
	alarms    []flight
	telemetry []flight
	others    []flight // status and replies
	picture   *flight
	shown     spool.Picture // in picture
	alarmAt   uint64        // highest alarm-lane key looked at
	batchAt   uint64        // highest telemetry key read
	batches   []outbox.Record
	inFlight  int  // bytes of telemetry
	dry       bool // no telemetry to read until the outbox wakes
	look      bool // for records of the alarm lane that are due again
}

func (s *session) serve(ctx context.Context) error {
	u := s.u
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	s.publishStatus()
	s.publishReplies()
	for {
		s.fill(ctx)
		var err error
		select {
		case <-ctx.Done():
			s.farewell()
			return nil
		case err = <-s.link.Lost():
			err = fmt.Errorf("connection lost: %w", err)
		case m := <-s.link.Inbox():
			u.receive(m)
		case <-head(s.alarms):
			err = s.alarmDone()
		case <-head(s.telemetry):
			err = s.telemetryDone()
		case <-head(s.others):
			err = s.otherDone()
		case <-s.pictured():
			err = s.pictureDone()
		case <-u.pictures(): // fill looks for it
		case <-u.opts.Outbox.Wake():
			s.dry = false
		case <-u.poke:
			s.publishStatus()
			s.publishReplies()
		case <-tick.C:
			s.publishStatus()
			s.dry, s.look = false, true
			if s.flying() > 0 && time.Since(s.progress) > stallAfter {
				err = fmt.Errorf("broker acknowledged nothing for %v", stallAfter)
			}
		}
		if err != nil {
			s.link.Close(false)
			s.lost(ctx)
			return err
		}
	}
}

// lost settles what was in flight when the connection went. A record that was
// alone on its way is a suspect.
func (s *session) lost(ctx context.Context) {
	u := s.u
	for len(s.alarms) > 0 && s.alarms[0].done() {
		_ = s.alarmDone() // done without an error
	}
	for len(s.telemetry) > 0 && s.telemetry[0].done() {
		_ = s.telemetryDone() // as above
	}
	for _, f := range s.others {
		if f.reply && !f.done() {
			u.addReply(f.rec.Payload)
		}
	}
	s.blamePicture()
	if len(s.alarms)+len(s.telemetry) == 0 {
		return
	}
	if !u.narrow || s.flying() > 1 {
		u.narrow, u.proved = true, 0
		return
	}
	u.proved = 0
	if len(s.alarms) == 1 {
		key := strike{true, s.alarms[0].rec.Key}
		if u.strikes[key]++; u.strikes[key] >= strikesAlarm {
			u.putOff(key.key, deferMost)
		}
		return
	}
	r := s.telemetry[0].rec
	key := strike{false, r.Key}
	if u.strikes[key]++; u.strikes[key] < strikesForever {
		return
	}
	delete(u.strikes, key)
	if err := u.opts.Outbox.SetAside(ctx, r, "no connection survived sending it"); err != nil {
		u.warn("outbox", "uplink cannot set a record aside", err)
		return
	}
	u.count(func(st *Stats) { st.SetAside++ })
}

// done reports whether the broker acknowledged the record.
func (f *flight) done() bool {
	select {
	case <-f.token.Done():
		return f.token.Error() == nil
	default:
		return false
	}
}

// farewell says stopped and ends the connection cleanly, so that the last will
// is not sent.
func (s *session) farewell() {
	b, err := s.u.status(shedguard.GatewayStopped, time.Now())
	if err == nil {
		select {
		case <-s.publish(shedguard.ClassStatus, true, outbox.Record{Payload: b}).token.Done():
		case err := <-s.link.Lost():
			s.u.opts.Log.Debug("connection lost before it could be said that the gateway stops", "err", err)
		case <-time.After(farewellLimit):
		}
	}
	for len(s.alarms) > 0 && s.alarms[0].done() {
		_ = s.alarmDone() // done without an error
	}
	for len(s.telemetry) > 0 && s.telemetry[0].done() {
		_ = s.telemetryDone() // as above
	}
	s.link.Close(true)
}

// head is done when the oldest of the flights is; brokers acknowledge in
// order.
func head(fs []flight) <-chan struct{} {
	if len(fs) == 0 {
		return nil
	}
	return fs[0].token.Done()
}

func (s *session) flying() int {
	n := len(s.alarms) + len(s.telemetry) + len(s.others)
	if s.picture != nil {
		n++
	}
	return n
}

// publish hands a record over.
func (s *session) publish(class shedguard.Class, retained bool, r outbox.Record) flight {
	if s.flying() == 0 {
		s.progress = time.Now()
	}
	return flight{rec: r, token: s.link.Publish(shedguard.Topic(s.u.opts.Shed, class), retained, r.Payload)}
}

func (s *session) publishStatus() {
	b, err := s.u.status(shedguard.GatewayOnline, s.since)
	if err != nil {
		s.u.warn("status", "uplink cannot encode the status", err)
		return
	}
	if slices.Equal(b, s.status) {
		return
	}
	s.status = b
	s.others = append(s.others, s.publish(shedguard.ClassStatus, true, outbox.Record{Payload: b}))
}

func (s *session) publishReplies() {
	u := s.u
	u.mu.Lock()
	replies := u.replies
	u.replies = nil
	u.mu.Unlock()
	for _, b := range replies {
		f := s.publish(shedguard.ClassReply, false, outbox.Record{Payload: b})
		f.reply = true
		s.others = append(s.others, f)
	}
}

// fill publishes what the windows have room for, the alarm lane first.
func (s *session) fill(ctx context.Context) {
	u := s.u
	if !s.fillAlarms(ctx) {
		return
	}
	if u.narrow && (s.flying() > 0 || time.Since(s.since) < time.Second) {
		return
	}
	s.sendPicture()
	for len(s.alarms) == 0 && len(s.telemetry) < telemetryWindow && s.inFlight < telemetryBytes {
		if len(s.batches) == 0 && (s.dry || !s.read(ctx)) {
			return
		}
		r := s.batches[0]
		s.batches = s.batches[1:]
		s.telemetry = append(s.telemetry, s.publish(shedguard.ClassTelemetry, false, r))
		s.inFlight += len(r.Payload)
		if u.narrow {
			return
		}
	}
}

// read gets the next telemetry. It starts over at the head when the end is
// reached with nothing in flight: records whose clock became known meanwhile
// lie behind it.
func (s *session) read(ctx context.Context) bool {
	rs, err := s.u.opts.Outbox.Telemetry(ctx, s.batchAt, prefetch)
	if err == nil && len(rs) == 0 && s.batchAt > 0 && len(s.telemetry) == 0 {
		s.batchAt = 0
		rs, err = s.u.opts.Outbox.Telemetry(ctx, 0, prefetch)
	}
	if err != nil {
		s.u.warn("outbox", "uplink cannot read the outbox", err)
	}
	if len(rs) == 0 {
		s.dry = true
		return false
	}
	s.batchAt = rs[len(rs)-1].Key
	s.batches = rs
	return true
}

// fillAlarms publishes what waits in the alarm lane and reports whether
// telemetry may follow.
func (s *session) fillAlarms(ctx context.Context) bool {
	u := s.u
	now := time.Now()
	var due []uint64
	if s.look {
		s.look = false
		for key, d := range u.later {
			flying := slices.ContainsFunc(s.alarms, func(f flight) bool { return f.rec.Key == key })
			if key <= s.alarmAt && !now.Before(d.until) && !flying {
				due = append(due, key)
			}
		}
	}
	slices.Sort(due)
	room := func() int {
		if u.narrow {
			return 1 - s.flying()
		}
		return alarmWindow - len(s.alarms)
	}
	for room() > 0 {
		rs, err := u.opts.Outbox.Alarms(ctx, s.alarmAt, room())
		if err != nil {
			u.warn("outbox", "uplink cannot read the outbox", err)
			return false
		}
		if len(rs) == 0 {
			break
		}
		for _, r := range rs {
			s.alarmAt = r.Key
			if d := u.later[r.Key]; d == nil || !now.Before(d.until) {
				s.alarms = append(s.alarms, s.publish(r.Class, false, r))
			}
		}
	}
	for _, key := range due {
		if room() <= 0 {
			break
		}
		rs, err := u.opts.Outbox.Alarms(ctx, key-1, 1)
		if err != nil {
			u.warn("outbox", "uplink cannot read the outbox", err)
			return false
		}
		if len(rs) == 0 || rs[0].Key != key {
			delete(u.later, key)
			continue
		}
		u.count(func(st *Stats) { st.Resent++ })
		s.alarms = append(s.alarms, s.publish(rs[0].Class, false, rs[0]))
	}
	return true
}

// puback notes that the broker takes what it is sent.
func (s *session) puback() {
	s.progress = time.Now()
	if u := s.u; u.narrow {
		if u.proved++; u.proved >= provedBy {
			u.narrow, u.proved = false, 0
		}
	}
}

func (s *session) alarmDone() error {
	u, f := s.u, s.alarms[0]
	if err := f.token.Error(); err != nil {
		return fmt.Errorf("publish %s: %w", f.rec.Class, err)
	}
	s.alarms = s.alarms[1:]
	s.puback()
	key := f.rec.Key
	if u.later[key] == nil {
		u.measure(&f.rec)
	}
	delete(u.strikes, strike{true, key})
	u.count(func(st *Stats) { st.Alarms++ })
	u.opts.Outbox.Sent(key)
	if !u.opts.RequireAck {
		u.opts.Outbox.Acked(f.rec.ID)
		delete(u.later, key)
		return nil
	}
	u.putOff(key, resendMost)
	return nil
}

// measure notes how long a raised alarm took from its deciding sample to the
// broker's word.
func (u *Uplink) measure(rec *outbox.Record) {
	if rec.Class != shedguard.ClassAlarm || u.opts.Clock() == shedguard.ClockUnsynced {
		return
	}
	var e shedguard.Event
	if json.Unmarshal(rec.Payload, &e) != nil || e.Type != shedguard.EventAlarmRaised {
		return
	}
	a, err := e.Alarm()
	if err != nil {
		return // the outbox checked it; the collector will say what is wrong
	}
	u.count(func(st *Stats) { st.AlarmDelay = time.Since(a.RaisedAt) })
}

// putOff keeps a record of the alarm lane back for 30 s the first time and
// twice as long each time after.
func (u *Uplink) putOff(key uint64, most time.Duration) {
	d := u.later[key]
	if d == nil {
		d = &delay{wait: u.resend}
		u.later[key] = d
	} else {
		d.wait = min(2*d.wait, most)
	}
	d.until = time.Now().Add(d.wait)
}

func (s *session) telemetryDone() error {
	u, f := s.u, s.telemetry[0]
	if err := f.token.Error(); err != nil {
		return fmt.Errorf("publish %s: %w", f.rec.Class, err)
	}
	s.telemetry = s.telemetry[1:]
	s.inFlight -= len(f.rec.Payload)
	s.puback()
	delete(u.strikes, strike{false, f.rec.Key})
	u.count(func(st *Stats) { st.Telemetry++ })
	u.opts.Outbox.Delivered(f.rec.Key)
	return nil
}

func (s *session) otherDone() error {
	if err := s.others[0].token.Error(); err != nil {
		return fmt.Errorf("publish status or reply: %w", err)
	}
	s.others = s.others[1:]
	s.progress = time.Now()
	return nil
}
