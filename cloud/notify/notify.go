package notify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/shedguard/shedguard/cloud/book"
)

// The pace of a notifier.
const (
	workers     = 2                      // sends of one channel at the same time
	planGap     = 200 * time.Millisecond // least time between two plans
	planShare   = 4                      // and a plan is followed by that many times its own length
	planAtLeast = time.Minute            // most time between two plans
	storeRetry  = 5 * time.Second        // after the book could not be read or written
	stopGrace   = 3 * time.Second        // for sends under way when the notifier ends
	giveUp      = 24 * time.Hour         // for a message that no channel takes
	giveUpGood  = time.Hour              // for good news
)

// keeper is what of the alarm book decides and remembers.
type keeper interface {
	NotifyState(ctx context.Context, recent, now time.Time) (book.NotifyState, error)
	PutNotify(ctx context.Context, c book.NotifyChange) ([]book.Delivery, error)
	BeginAttempt(ctx context.Context, delivery int64, channel string, at time.Time) (int64, error)
	EndAttempt(ctx context.Context, a book.Attempt, d book.Delivery) error
}

// reader is what of the alarm book messages and the log are made of.
type reader interface {
	Alarm(ctx context.Context, id string) (book.Alarm, error)
	Shed(ctx context.Context, id string) (book.Shed, error)
	DeliveryNotices(ctx context.Context, delivery int64) ([]book.Notice, error)
	Deliveries(ctx context.Context, q book.DeliveryQuery) ([]book.Delivery, string, error)
}

// Options are what a notifier needs. Book is required.
type Options struct {
	Settings Settings
	Book     interface {
		keeper
		reader
	}
	Log *slog.Logger
	// Senders replaces the sender of a channel, by its name. It is for programs
	// that bring a channel of their own; the others are made from the settings.
	Senders map[string]Sender
}

// Notifier tells people about alarms.
type Notifier struct {
	policy *Policy
	writer writer
	keep   keeper
	read   reader
	log    *slog.Logger
	wake   chan struct{}

	mu    sync.Mutex
	plans uint64           // guarded by mu; plans begun
	lanes map[string]*lane // never changed
	held  map[int64]uint64 // guarded by mu; deliveries that a lane has (0), or gave back during that plan
	stats Stats            // guarded by mu
}

// lane is one channel: its sender and its queue.
type lane struct {
	name    string
	timeout time.Duration
	sender  Sender
	ready   chan struct{} // one token while the queue may hold something

	mu    sync.Mutex
	queue []book.Delivery // guarded by mu
}

// Stats are counts since the start, for metrics.
type Stats struct {
	Sent     uint64 // messages taken by a service
	Attempts uint64 // failed attempts
	Failed   uint64 // messages given up
	Pending  int    // messages waiting, at the last plan
	Unrouted uint64 // alarms that no route covers
}

// New makes a notifier. Settings are validated and every file they name is
// read; the error tells all faults.
func New(opts Options) (*Notifier, error) {
	if opts.Book == nil {
		return nil, errors.New("notify: book: required")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	policy, err := NewPolicy(opts.Settings)
	if err != nil {
		return nil, fmt.Errorf("notify: settings: %w", err)
	}
	n := &Notifier{
		policy: policy, writer: writer{base: policy.settings.BaseURL, zone: policy.zone},
		keep: opts.Book, read: opts.Book, log: opts.Log,
		wake: make(chan struct{}, 1), held: map[int64]uint64{},
	}
	if n.lanes, err = open(policy.settings.Channels, opts.Senders); err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	return n, nil
}

// open makes the lanes of channels.
func open(channels []Channel, senders map[string]Sender) (lanes map[string]*lane, err error) {
	lanes = map[string]*lane{}
	var errs []error
	for _, c := range channels {
		s := senders[c.Name]
		if s == nil {
			if s, err = NewSender(c); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		lanes[c.Name] = &lane{name: c.Name, timeout: c.Timeout, sender: s, ready: make(chan struct{}, workers)}
	}
	return lanes, errors.Join(errs...)
}

// Check tells everything that is wrong with settings, with the files they name
// read, as New does.
func Check(s Settings) error {
	policy, err := NewPolicy(s)
	if err != nil {
		return fmt.Errorf("notify: settings: %w", err)
	}
	if _, err := open(policy.settings.Channels, nil); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// Try sends a test as [Notifier.Test] does, without a book and so without a
// trace in the log. It is for a command beside a running collector.
func Try(ctx context.Context, s Settings, name string) error {
	n, err := New(Options{Settings: s, Book: unkept{}})
	if err != nil {
		return err
	}
	return n.Test(ctx, name)
}

// unkept takes what a test notes and keeps nothing; it has no more of a book.
type unkept struct{ *book.Book }

func (unkept) PutNotify(_ context.Context, c book.NotifyChange) ([]book.Delivery, error) {
	return c.Deliveries, nil
}

func (unkept) BeginAttempt(context.Context, int64, string, time.Time) (int64, error) { return 0, nil }

func (unkept) EndAttempt(context.Context, book.Attempt, book.Delivery) error { return nil }

// Names lists the people and channels of the settings, in their order, for
// [Notifier.Test].
func (n *Notifier) Names() (people, channels []string) {
	people, channels = []string{}, []string{}
	for _, p := range n.policy.settings.People {
		people = append(people, p.Name)
	}
	for _, c := range n.policy.settings.Channels {
		channels = append(channels, c.Name)
	}
	return people, channels
}

// Wake says that an alarm changed. It never blocks; it is made to be called
// from the book's Changed.
func (n *Notifier) Wake() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Stats are the counts of this notifier.
func (n *Notifier) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// Log is one page of the delivery log, newest first.
func (n *Notifier) Log(ctx context.Context, q book.DeliveryQuery) (page []book.Delivery, next string, err error) {
	return n.read.Deliveries(ctx, q)
}

// Run tells people about alarms until ctx ends, which is no error. Sends under
// way then have a moment to end.
func (n *Notifier) Run(ctx context.Context) error {
	if n.policy.settings.Off() {
		n.log.Warn("nobody is told of alarms: the settings of notify are empty")
		<-ctx.Done()
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range n.lanes {
		for range workers {
			g.Go(func() error { n.serve(ctx, l); return nil })
		}
	}
	g.Go(func() error { n.planLoop(ctx); return nil })
	return g.Wait()
}

// planLoop plans when woken, when something is due and once a minute.
func (n *Notifier) planLoop(ctx context.Context) {
	var said string
	for ctx.Err() == nil {
		began := time.Now()
		next, err := n.plan(ctx, began)
		gap := max(planGap, planShare*time.Since(began))
		wait := time.Until(next)
		switch {
		case err != nil && ctx.Err() == nil:
			if err.Error() != said {
				n.log.Error("deciding about notifications failed", "err", err, "retry_in", storeRetry)
			}
			said, wait = err.Error(), storeRetry
		case said != "":
			n.log.Info("deciding about notifications works again")
			said = ""
		}
		rest(ctx, gap)
		if err == nil {
			n.sleep(ctx, min(max(wait-gap, 0), planAtLeast))
		} else {
			rest(ctx, wait)
		}
	}
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// sleep is rest that Wake ends.
func (n *Notifier) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-n.wake:
	case <-ctx.Done():
	}
}

// plan decides, writes the decision, and hands what is pending to the lanes.
// It gives the time of the next plan.
func (n *Notifier) plan(ctx context.Context, now time.Time) (next time.Time, err error) {
	now = now.UTC().Truncate(time.Millisecond)
	next = now.Add(planAtLeast)
	n.begin()
	recent := now.Add(-n.policy.Memory())
	state, err := n.keep.NotifyState(ctx, recent, now)
	if err != nil {
		return next, err
	}
	p := n.policy.Plan(&state, now)
	if len(p.Deliveries)+len(p.Seen)+len(p.Withdraw)+len(p.Settle) > 0 {
		for i := range p.Deliveries {
			p.Deliveries[i].ID = ulid.Make().String()
		}
		made, err := n.keep.PutNotify(ctx, book.NotifyChange{
			At: now, Deliveries: p.Deliveries, Seen: p.Seen, Withdraw: p.Withdraw, Settle: p.Settle,
		})
		if err != nil {
			return next, err
		}
		state.Pending = append(state.Pending, made...)
		next = now // what was made may make more due at a later time
	}
	for _, id := range p.Unrouted {
		n.log.Warn("no route covers the alarm: nobody is told", "alarm", id)
	}
	if !p.Next.IsZero() && p.Next.Before(next) {
		next = p.Next
	}
	for _, l := range n.lanes {
		n.release(l.drop(p.Withdraw)...)
	}
	n.hand(state.Pending, p.Withdraw, now)
	n.mu.Lock()
	n.stats.Pending = len(state.Pending) - len(p.Withdraw)
	n.stats.Unrouted += uint64(len(p.Unrouted))
	n.mu.Unlock()
	return next, nil
}

// hand gives pending deliveries that are due to their channels' lanes.
func (n *Notifier) hand(pending []book.Delivery, withdrawn map[int64]string, now time.Time) {
	for _, d := range pending {
		_, gone := withdrawn[d.Num]
		channel, _ := n.channel(&d, d.Channel)
		if channel == "" { // the settings changed: what is left has refused it
			d.Refused = nil
			channel, _ = n.channel(&d, "")
		}
		l := n.lanes[channel]
		if gone || l == nil || d.NextAt.After(now) || !n.claim(d.Num) {
			continue
		}
		l.mu.Lock()
		l.queue = append(l.queue, d)
		l.mu.Unlock()
		l.signal()
	}
}

func (l *lane) signal() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

// drop takes withdrawn deliveries out of the queue.
func (l *lane) drop(withdrawn map[int64]string) (dropped []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = slices.DeleteFunc(l.queue, func(d book.Delivery) bool {
		_, gone := withdrawn[d.Num]
		if gone {
			dropped = append(dropped, d.Num)
		}
		return gone
	})
	return dropped
}

// begin counts a plan. What lanes gave back before it began is free again: the
// plan reads what they wrote.
func (n *Notifier) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.plans++
	maps.DeleteFunc(n.held, func(_ int64, back uint64) bool { return back != 0 && back < n.plans })
}

// claim takes a delivery for a lane; false when one has it, or had it while
// the plan was made.
func (n *Notifier) claim(num int64) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, taken := n.held[num]; taken {
		return false
	}
	n.held[num] = 0
	return true
}

// release gives deliveries back, for the next plan.
func (n *Notifier) release(nums ...int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, num := range nums {
		n.held[num] = n.plans
	}
}

// channel is the first channel of the delivery's person, from that one on,
// which has not refused it; wrapped says that the list began anew.
func (n *Notifier) channel(d *book.Delivery, from string) (name string, wrapped bool) {
	p := n.policy.people[d.Person]
	if p == nil {
		return "", false
	}
	start := max(slices.Index(p.Channels, from), 0)
	for i := range p.Channels {
		at := start + i
		c := p.Channels[at%len(p.Channels)]
		if !slices.Contains(d.Refused, c) {
			return c, at >= len(p.Channels)
		}
	}
	return "", false
}

// serve sends what comes into a lane's queue.
func (n *Notifier) serve(ctx context.Context, l *lane) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.ready:
		}
		for {
			d, ok := l.next()
			if !ok || ctx.Err() != nil {
				break
			}
			n.send(ctx, l, d)
			n.release(d.Num)
			n.Wake()
		}
	}
}

// next takes the most urgent delivery of the queue, the oldest among equals.
func (l *lane) next() (d book.Delivery, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return d, false
	}
	best := 0
	for i := range l.queue {
		if rank(&l.queue[i]) < rank(&l.queue[best]) {
			best = i
		}
	}
	d = l.queue[best]
	l.queue = slices.Delete(l.queue, best, best+1)
	if len(l.queue) > 0 {
		l.signal() // for the other workers
	}
	return d, true
}

// rank orders a lane: first words of critical alarms, then everything in the
// order it was made, good news last. The notices of a delivery that was read
// from the disk are not at hand: it waited long enough to be first.
func rank(d *book.Delivery) int {
	if d.Kind == book.NoticeCleared {
		return 100
	}
	return urgency(d.Notices) % 100
}

// send makes one attempt and notes what came of it.
func (n *Notifier) send(ctx context.Context, l *lane, d book.Delivery) {
	log := n.log.With("person", d.Person, "channel", l.name, "kind", string(d.Kind), "delivery", d.ID)
	at := time.Now()
	attempt, err := n.keep.BeginAttempt(ctx, d.Num, l.name, at)
	if err != nil {
		log.Error("noting an attempt failed", "err", err, "retry_in", storeRetry)
		rest(ctx, storeRetry)
		return
	}
	m, err := n.message(ctx, &d, at)
	retry := true
	if err == nil {
		retry, err = l.try(ctx, m)
	}
	took := time.Since(at)
	a := book.Attempt{Num: attempt, Delivery: d.Num, At: at, Channel: l.name, Result: book.AttemptSent, TookMS: took.Milliseconds()}
	d.Attempts++
	d.Channel = l.name
	if err == nil {
		d.State, d.DoneAt, d.Reason = book.DeliverySent, time.Now(), ""
		d.SaidOver = m.over()
		log.Info("notification sent", "took", took, "attempt", d.Attempts)
	} else {
		a.Result, a.Error = book.AttemptFailed, err.Error()
		n.afterFailure(&d, l, retry, err, log)
	}
	n.note(ctx, a, d, log)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case err == nil:
		n.stats.Sent++
	case d.State == book.DeliveryFailed:
		n.stats.Failed++
		n.stats.Attempts++
	default:
		n.stats.Attempts++
	}
}

// afterFailure decides how a delivery goes on: the next channel at once, or the
// first one after a pause, or not at all.
func (n *Notifier) afterFailure(d *book.Delivery, l *lane, retry bool, err error, log *slog.Logger) {
	now := time.Now()
	if !retry {
		d.Refused = append(slices.Clone(d.Refused), l.name)
	}
	p := n.policy.people[d.Person]
	following, wrapped := l.name, false
	if i := slices.Index(p.Channels, l.name); retry && i >= 0 {
		following = p.Channels[(i+1)%len(p.Channels)]
		wrapped = i+1 == len(p.Channels)
	}
	channel, again := n.channel(d, following)
	wrapped = wrapped || again
	limit := giveUp
	if d.Kind == book.NoticeCleared || d.Kind == book.NoticeTest {
		limit = giveUpGood
	}
	if channel == "" || now.Sub(d.CreatedAt) > limit {
		d.State, d.DoneAt, d.Reason = book.DeliveryFailed, now, err.Error()
		log.Error("notification given up: no channel of the person takes it", "err", err, "attempts", d.Attempts)
		return
	}
	d.Channel, d.NextAt, d.Reason = channel, now, err.Error()
	if wrapped {
		d.NextAt = now.Add(backoff(d.Attempts / max(len(p.Channels), 1)))
	}
	log.Warn("notification not sent", "err", err, "next", channel, "retry_in", d.NextAt.Sub(now))
}

// backoff is the pause after the n-th time that all channels failed.
func backoff(n int) time.Duration {
	pauses := []time.Duration{5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute}
	return pauses[min(max(n, 1), len(pauses))-1]
}

// note writes the result of an attempt, however long that takes: a message
// that was sent must not be sent again only because the disk was busy.
func (n *Notifier) note(ctx context.Context, a book.Attempt, d book.Delivery, log *slog.Logger) {
	for {
		write, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeRetry)
		err := n.keep.EndAttempt(write, a, d)
		cancel()
		if err == nil || errors.Is(err, book.ErrNotFound) {
			return
		}
		log.Error("noting the result of an attempt failed", "err", err, "retry_in", storeRetry)
		if rest(ctx, storeRetry); ctx.Err() != nil {
			return
		}
	}
}

// errTimeout is the cause of a send that took too long.
var errTimeout = errors.New("the channel's timeout is over")

// try sends within the channel's timeout. When ctx ends meanwhile the send has
// a short time left, so that its outcome is known.
func (l *lane) try(ctx context.Context, m *Message) (retry bool, err error) {
	send, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), l.timeout, errTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		rest(send, stopGrace)
		cancel()
	})
	defer stop()
	return l.sender.Send(send, m)
}

// message writes what a delivery says now.
func (n *Notifier) message(ctx context.Context, d *book.Delivery, now time.Time) (*Message, error) {
	m := &Message{ID: d.ID, Kind: d.Kind, Person: d.Person, At: now}
	notices, err := n.read.DeliveryNotices(ctx, d.Num)
	if err != nil {
		return nil, err
	}
	if len(notices) == 1 {
		m.Kind = notices[0].Kind // a summary of one is none
	}
	round, shed, same := 0, "", true
	for _, notice := range notices {
		a, err := n.read.Alarm(ctx, notice.AlarmID)
		if err != nil {
			return nil, err
		}
		m.Alarms = append(m.Alarms, a)
		round = notice.Round
		same = same && (shed == "" || shed == a.Shed)
		shed = a.Shed
	}
	if shed != "" && same {
		s, err := n.read.Shed(ctx, shed)
		if err != nil {
			return nil, err
		}
		m.Place = s.Place
	}
	slices.SortStableFunc(m.Alarms, func(a, b book.Alarm) int {
		return cmp.Or(cmp.Compare(a.State, b.State)*-1, cmp.Compare(a.Severity, b.Severity), a.RaisedAt.Compare(b.RaisedAt))
	})
	p := n.policy.people[d.Person]
	n.writer.fill(m, p.Language, round)
	return m, nil
}

// over is the alarms that the message says to be over.
func (m *Message) over() (ids []string) {
	for i := range m.Alarms {
		if m.Alarms[i].State == book.AlarmCleared {
			ids = append(ids, m.Alarms[i].ID)
		}
	}
	return ids
}

// Test sends a test message over one channel, or over every channel of one
// person, waits for the results and keeps them in the log. A name that is
// neither gives [book.ErrNotFound].
func (n *Notifier) Test(ctx context.Context, name string) error {
	channels, language := []string{name}, LanguageBoth
	if p := n.policy.people[name]; p != nil {
		channels, language = p.Channels, p.Language
	} else if n.lanes[name] == nil {
		return fmt.Errorf("notify: test %q: neither a person nor a channel: %w", name, book.ErrNotFound)
	}
	var errs []error
	for _, c := range channels {
		if err := n.testOne(ctx, n.lanes[c], name, language); err != nil {
			errs = append(errs, fmt.Errorf("channel %s: %w", c, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("notify: test: %w", err)
	}
	return nil
}

func (n *Notifier) testOne(ctx context.Context, l *lane, name string, language Language) error {
	at := time.Now()
	made, err := n.keep.PutNotify(ctx, book.NotifyChange{At: at, Deliveries: []book.Delivery{{
		ID: ulid.Make().String(), Person: name, Kind: book.NoticeTest, CreatedAt: at, Channel: l.name,
		State: book.DeliveryFailed, Reason: "the test did not end", DoneAt: at, // never sent again by a restart
	}}})
	if err != nil {
		return err
	}
	d := made[0]
	attempt, err := n.keep.BeginAttempt(ctx, d.Num, l.name, at)
	if err != nil {
		return err
	}
	m := &Message{ID: d.ID, Kind: d.Kind, Person: name, At: at}
	n.writer.fill(m, language, 0)
	_, sendErr := l.try(ctx, m)
	a := book.Attempt{Num: attempt, Delivery: d.Num, At: at, Channel: l.name, Result: book.AttemptSent, TookMS: time.Since(at).Milliseconds()}
	d.State, d.Attempts, d.DoneAt, d.Reason = book.DeliverySent, 1, time.Now(), ""
	if sendErr != nil {
		d.State, d.Reason = book.DeliveryFailed, sendErr.Error()
		a.Result, a.Error = book.AttemptFailed, sendErr.Error()
	}
	write, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeRetry)
	defer cancel()
	return errors.Join(sendErr, n.keep.EndAttempt(write, a, d))
}
