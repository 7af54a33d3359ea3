package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shedguard/shedguard"
)

const (
	// maxLifetime is the longest a command may be valid.
	maxLifetime = time.Hour
	// maxAhead is how far a command's issue may lie in the gateway's future.
	maxAhead = 5 * time.Minute
	// rememberFor outlives every command that passed the checks: it is counted
	// from the receipt, on the monotonic clock.
	rememberFor = maxLifetime + 2*maxAhead
	// maxRemembered bounds the ids that are remembered. Beyond it commands are
	// refused rather than let through unchecked.
	maxRemembered = 4096
)

// commands judges commands. It belongs to Run's goroutine.
type commands struct {
	boot  string
	kinds []string
	seen  map[string]time.Time // when a command was received
}

// check is why the command is refused, or nil. The id of a command that is not
// refused as busy is remembered.
func (c *commands) check(cmd *shedguard.Command, clock shedguard.ClockQuality, now time.Time) *shedguard.ReplyError {
	if _, ok := c.seen[cmd.ID]; ok {
		if now.Sub(c.seen[cmd.ID]) < rememberFor {
			return shedguard.Refuse(shedguard.CodeRepeated, "command %s came before", cmd.ID)
		}
	}
	if len(c.seen) >= maxRemembered {
		for id, at := range c.seen {
			if now.Sub(at) >= rememberFor {
				delete(c.seen, id)
			}
		}
		if len(c.seen) >= maxRemembered {
			return shedguard.Refuse(shedguard.CodeBusy, "%d commands within %v", maxRemembered, rememberFor)
		}
	}
	if c.seen == nil {
		c.seen = make(map[string]time.Time)
	}
	c.seen[cmd.ID] = now
	lifetime := cmd.ExpiresAt.Sub(cmd.IssuedAt)
	energising := shedguard.Energising(cmd.Kind)
	switch {
	case !slices.Contains(c.kinds, cmd.Kind):
		return shedguard.Refuse(shedguard.CodeUnknownKind, "%q: want one of %q", cmd.Kind, c.kinds)
	case lifetime <= 0 || lifetime > maxLifetime:
		return shedguard.Refuse(shedguard.CodeBadArgs, "expires_at: %v after issued_at: want more than 0 and at most %v", lifetime, maxLifetime)
	case cmd.BootID != "" && cmd.BootID != c.boot:
		return shedguard.Refuse(shedguard.CodeWrongBoot, "for boot %s: this is boot %s", cmd.BootID, c.boot)
	case energising && cmd.BootID == "":
		return shedguard.Refuse(shedguard.CodeWrongBoot, "boot_id: required for %s: this is boot %s", cmd.Kind, c.boot)
	case energising && clock == shedguard.ClockUnsynced:
		return shedguard.Refuse(shedguard.CodeClockUnsynced, "%s: the gateway does not know the time", cmd.Kind)
	case clock == shedguard.ClockUnsynced:
		return nil // its age cannot be judged, and it can only make things safer
	case now.After(cmd.ExpiresAt):
		return shedguard.Refuse(shedguard.CodeExpired, "expired at %s, it is %s", stamp(cmd.ExpiresAt), stamp(now))
	case cmd.IssuedAt.Sub(now) > maxAhead:
		return shedguard.Refuse(shedguard.CodeBadArgs, "issued_at: %s, it is %s: want at most %v ahead", stamp(cmd.IssuedAt), stamp(now), maxAhead)
	}
	return nil
}

func (c *commands) forget(id string) { delete(c.seen, id) }

func stamp(t time.Time) string { return t.UTC().Format(shedguard.TimeFormat) }

// receive takes one message. It never blocks.
func (u *Uplink) receive(m message) {
	switch m.class {
	case shedguard.ClassAck:
		ack, err := shedguard.DecodeAck(m.payload)
		if err != nil {
			u.garbage("ack", err)
			return
		}
		keys := u.opts.Outbox.Acked(ack.IDs...)
		for _, key := range keys {
			delete(u.later, key)
			delete(u.strikes, strike{true, key})
		}
		u.count(func(s *Stats) { s.Acked += uint64(len(keys)) })
	case shedguard.ClassCommand:
		u.command(m)
	case shedguard.ClassConfig:
		if u.opts.Config == nil {
			u.garbage("config", errors.New("this gateway takes no configuration from its topic"))
			return
		}
		u.opts.Config(m.payload)
	case shedguard.ClassStatus, shedguard.ClassTelemetry, shedguard.ClassAlarm, shedguard.ClassEvent,
		shedguard.ClassEvidence, shedguard.ClassReply:
		u.garbage(string(m.class), errors.New("not a topic that the gateway listens to"))
	default:
		u.garbage("topic", fmt.Errorf("class %q is unknown", m.class))
	}
}

// garbage counts a payload that cannot be read and logs the first of its kind.
func (u *Uplink) garbage(kind string, err error) {
	u.mu.Lock()
	u.stats.Garbage++
	_, told := u.logged["garbage "+kind]
	u.logged["garbage "+kind] = ""
	u.mu.Unlock()
	if !told {
		u.opts.Log.Warn("uplink got a payload it cannot read, further ones are only counted", "shed", u.opts.Shed, "class", kind, "err", err)
	}
}

func (u *Uplink) command(m message) {
	c, err := shedguard.DecodeCommand(m.payload)
	if err != nil {
		u.garbage("cmd", err)
		if shedguard.ValidID(c.ID) {
			u.refuse(c.ID, shedguard.Refuse(shedguard.CodeBadArgs, "%v", err))
		}
		return
	}
	if m.retained {
		u.refuse(c.ID, shedguard.Refuse(shedguard.CodeNotPermitted, "the command was retained by the broker: want it sent to a connected gateway"))
		return
	}
	if refusal := u.commands.check(&c, u.opts.Clock(), time.Now()); refusal != nil {
		u.refuse(c.ID, refusal)
		return
	}
	select {
	case u.queue <- c:
	default:
		u.commands.forget(c.ID)
		u.refuse(c.ID, shedguard.Refuse(shedguard.CodeBusy, "%d commands wait already", cap(u.queue)))
	}
}

func (u *Uplink) refuse(id string, e *shedguard.ReplyError) {
	u.count(func(s *Stats) { s.Refused++ })
	u.reply(shedguard.Reply{ID: id, Error: e})
}

// work carries commands out, one at a time, until ctx ends.
func (u *Uplink) work(ctx context.Context) {
	for {
		select {
		case c := <-u.queue:
			u.count(func(s *Stats) { s.Commands++ })
			r := shedguard.Reply{ID: c.ID}
			result, err := u.handle(ctx, c)
			if err == nil && result != nil {
				r.Result, err = json.Marshal(result)
			}
			if r.OK = err == nil; err != nil {
				r.Result = nil
				if !errors.As(err, &r.Error) {
					r.Error = shedguard.Refuse(shedguard.CodeBusy, "%v", err)
				}
			}
			u.reply(r)
		case <-ctx.Done():
			return
		}
	}
}

// handle keeps a fault of one command's code from ending the gateway.
func (u *Uplink) handle(ctx context.Context, c shedguard.Command) (result any, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, handleLimit, fmt.Errorf("%s took longer than %v", c.Kind, handleLimit))
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: internal error", c.Kind)
			u.opts.Log.Error("command handler panicked", "shed", u.opts.Shed, "kind", c.Kind, "err", fmt.Sprint(r))
		}
	}()
	return u.opts.Handle(ctx, c)
}

func (u *Uplink) reply(r shedguard.Reply) {
	b, err := json.Marshal(r)
	if err != nil {
		u.warn("reply", "uplink cannot encode a reply", err)
		return
	}
	u.addReply(b)
	u.PublishStatus()
}

// addReply queues a reply; when nobody takes them the oldest goes, whose sender
// has long stopped waiting.
func (u *Uplink) addReply(b []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.replies) == maxReplies {
		u.replies = slices.Delete(u.replies, 0, 1)
	}
	u.replies = append(u.replies, b)
}
