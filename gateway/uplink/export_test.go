package uplink

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/shedguard/shedguard"
)

// Hurry shortens the waits, so that tests against a real broker end soon.
func (u *Uplink) Hurry(base, most, resend time.Duration) {
	u.wait, u.resend = backoff{base: base, most: most}, resend
}

// The seam to the broker, for tests in fake time.
type (
	Link    = link
	Token   = token
	Message = message
)

// NewMessage is something that came in.
func NewMessage(class shedguard.Class, retained bool, payload []byte) Message {
	return message{class: class, retained: retained, payload: payload}
}

// Dial replaces the connection to the broker.
func (u *Uplink) Dial(f func(will []byte) (Link, error)) {
	u.dial = func(_ context.Context, _ *Options, will []byte, _ *atomic.Uint64) (link, error) { return f(will) }
}

// Backoff draws the waits after connections that lived so long.
func Backoff(base, most time.Duration, lived []time.Duration) []time.Duration {
	b := backoff{base: base, most: most}
	var out []time.Duration
	for _, l := range lived {
		b.settle(l)
		out = append(out, b.next())
	}
	return out
}

// Check judges commands one after the other, for boot and kinds.
type Check struct{ c commands }

// NewCheck is a judge without memory.
func NewCheck(boot string, kinds ...string) *Check {
	return &Check{commands{boot: boot, kinds: kinds}}
}

// Command is the code of the refusal, or "".
func (c *Check) Command(cmd shedguard.Command, clock shedguard.ClockQuality, now time.Time) shedguard.ReplyCode {
	if e := c.c.check(&cmd, clock, now); e != nil {
		return e.Code
	}
	return ""
}

// Remembered is how many ids are kept.
func (c *Check) Remembered() int { return len(c.c.seen) }

const (
	MaxRemembered = maxRemembered
	RememberFor   = rememberFor
)

// Receive takes what came in, and Queued is what it let through to the handler.
func (u *Uplink) Receive(m Message) { u.receive(m) }

// Queued takes the next command that waits for the handler.
func (u *Uplink) Queued() (c shedguard.Command, ok bool) {
	select {
	case c = <-u.queue:
		return c, true
	default:
		return c, false
	}
}
