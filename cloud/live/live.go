package live

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Kind says what a change is about. It is the event name of the stream.
type Kind string

// The kinds of change.
const (
	KindAlarm   Kind = "alarm"   // Data is the alarm as it now is
	KindShed    Kind = "shed"    // Data is the shed as it now is
	KindOutlets Kind = "outlets" // Data is an OutletsChange
	KindReply   Kind = "reply"   // Data is a gateway's reply to a command

	KindPicture  Kind = "picture"  // Data says which picture of which alarm has come
	KindSnapshot Kind = "snapshot" // Data says which snapshot of which camera has come
)

// Change is one thing that became different.
type Change struct {
	ID   uint64 // given by Publish
	Kind Kind
	Shed string
	Data any // encoded as JSON by readers; must not be changed once published
}

// ErrReset comes from Next when the changes after the reader's position are
// not in the ring: it was too slow, or it asked for an id of another life. The
// reader then stands at the newest change and reads the present state afresh.
var ErrReset = errors.New("live: changes were missed")

// ErrEnded comes from Next when its ended channel was closed.
var ErrEnded = errors.New("live: the reader was ended")

// Feed hands changes to any number of readers. It is safe for concurrent use.
type Feed struct {
	mu      sync.Mutex
	ring    []Change      // guarded by mu; the change with id i is at i % len
	next    uint64        // guarded by mu; id of the next change
	held    uint64        // guarded by mu; number of changes in the ring
	wake    chan struct{} // guarded by mu; closed by the next Publish
	readers int           // guarded by mu; who may wait on wake
}

// New is a feed that keeps the last size changes. Its first id is made from
// started (microseconds), so that ids grow over a restart and stay within what
// JavaScript counts exactly.
func New(size int, started time.Time) *Feed {
	if size < 1 {
		panic("live: New: size must be at least 1")
	}
	return &Feed{
		ring: make([]Change, size),
		next: uint64(max(started.UnixMicro(), 1)),
		wake: make(chan struct{}),
	}
}

// Publish gives c the next id, keeps it and wakes every reader. It never waits
// for a reader.
func (f *Feed) Publish(c Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c.ID = f.next
	f.ring[c.ID%uint64(len(f.ring))] = c
	f.next++
	f.held = min(f.held+1, uint64(len(f.ring)))
	if f.readers > 0 { // without a reader there is nobody to wake
		f.readers = 0
		close(f.wake)
		f.wake = make(chan struct{})
	}
}

// Last is the id of the newest change, or one less than the first id.
func (f *Feed) Last() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.next - 1
}

// Subscribe is a reader of the changes after the id after; 0 means from now
// on. It holds nothing that has to be closed and is for one goroutine.
func (f *Feed) Subscribe(after uint64) *Subscription {
	if after == 0 {
		after = f.Last()
	}
	return &Subscription{feed: f, next: after + 1}
}

// Subscription is one reader's position in a feed.
type Subscription struct {
	feed *Feed
	next uint64
}

// Position is the id of the change that the reader saw last.
func (s *Subscription) Position() uint64 { return s.next - 1 }

// Next waits for the next change. It ends with [ErrReset] when changes were
// missed, with [ErrEnded] when ended is closed (it may be nil), and with the
// context's error.
func (s *Subscription) Next(ctx context.Context, ended <-chan struct{}) (Change, error) {
	for {
		select {
		case <-ended:
			return Change{}, ErrEnded
		default:
		}
		c, wake, err := s.feed.at(s.next)
		switch {
		case err != nil:
			s.next = c.ID + 1
			return Change{}, err
		case wake == nil:
			s.next = c.ID + 1
			return c, nil
		}
		select {
		case <-wake:
		case <-ended:
			return Change{}, ErrEnded
		case <-ctx.Done():
			return Change{}, ctx.Err()
		}
	}
}

// at is the change with that id, or a channel that is closed when the next one
// comes, or ErrReset with the newest id.
func (f *Feed) at(id uint64) (Change, <-chan struct{}, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case id > f.next || id < f.next-f.held:
		return Change{ID: f.next - 1}, nil, ErrReset
	case id == f.next:
		f.readers++
		return Change{}, f.wake, nil
	default:
		return f.ring[id%uint64(len(f.ring))], nil, nil
	}
}
