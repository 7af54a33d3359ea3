package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

const (
	flushAfter   = 100 * time.Millisecond // a batch of telemetry is stored no later than that
	idleFlush    = 5 * time.Millisecond   // or when nothing more came for so long
	maxBatch     = 20_000                 // points
	storeLimit   = 5 * time.Second        // storing that takes longer is not listening
	firstRetry   = 100 * time.Millisecond
	longestRetry = 10 * time.Second
	poisonAfter  = 5 // attempts after which a message may be set aside if the book is otherwise well
	ackAfter     = 50 * time.Millisecond
	maxAcks      = 10_000
	maxAckIDs    = 500 // ids in one ack: 14.5 KB
)

// ack is one committed event.
type ack struct{ shed, id string }

// keepBook stores what the book session brings, one message after the other.
func (c *Collector) keepBook(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-c.book.queue:
			if !c.settle(ctx, m) {
				return nil
			}
			c.messages.Add(1)
			c.book.done(m)
		}
	}
}

// settle stores or refuses a message, however long that takes. It reports
// false when ctx ended first.
func (c *Collector) settle(ctx context.Context, m received) bool {
	shed, class, rest, err := shedguard.ParseTopic(m.Topic())
	if err != nil {
		c.refusals.refuse("", m.Topic(), refuse(ReasonTopic, err), m.Payload(), 1, m.at)
		return true
	}
	said := ""
	for attempt, pause := 1, firstRetry; ; attempt++ {
		err := c.put(ctx, m, shed, class, rest)
		var why *refusal
		switch {
		case err == nil:
			return true
		case errors.As(err, &why):
			c.refusals.refuse(shed, m.Topic(), why, m.Payload(), 1, m.at)
			return true
		case errors.Is(err, book.ErrInvalid):
			c.refusals.refuse(shed, m.Topic(), refuse(ReasonBook, err), m.Payload(), 1, m.at)
			return true
		case ctx.Err() != nil:
			return false
		}
		c.retries.Add(1)
		if attempt >= poisonAfter {
			// A book that takes the complaint is well: the message is what ails it.
			why = refuse(ReasonBook, err)
			if c.opts.Book.DeadLetter(ctx, letter(shed, m.Topic(), why, m.Payload(), m.at)) == nil {
				c.refusals.count(pair{shed, ReasonBook}, 1, m.at)
				c.opts.Log.Error("book refuses a message, set it aside", "shed", shed, "topic", m.Topic(), "err", err)
				return true
			}
		}
		if err.Error() != said {
			said = err.Error()
			c.opts.Log.Error("book cannot store", "shed", shed, "topic", m.Topic(), "err", err, "retry_in", pause)
		}
		if pause = again(ctx, pause); ctx.Err() != nil {
			return false
		}
	}
}

// again waits and returns the next, longer pause.
func again(ctx context.Context, pause time.Duration) time.Duration {
	select {
	case <-ctx.Done():
	case <-time.After(pause/2 + rand.N(pause)):
	}
	return min(2*pause, longestRetry)
}

// put makes one attempt to commit a message. A *refusal is final.
func (c *Collector) put(ctx context.Context, m received, shed string, class shedguard.Class, rest string) error {
	switch class {
	case shedguard.ClassStatus:
		s, err := shedguard.DecodeStatus(m.Payload())
		if err != nil {
			return refuse(ReasonStatus, err)
		}
		if _, err := c.opts.Book.PutStatus(ctx, shed, s, m.at, m.Retained()); err != nil {
			return err
		}
		if c.opts.Watch != nil {
			c.opts.Watch.Status(shed, s, m.Retained(), m.at)
		}
		return nil
	case shedguard.ClassAlarm, shedguard.ClassEvent:
		e, err := decodeEvent(shed, m.Payload())
		if err != nil {
			return err
		}
		if _, err := c.opts.Book.PutEvent(ctx, e, m.at); err != nil {
			return err
		}
		c.acknowledge(ack{shed, e.ID})
	case shedguard.ClassReply:
		r, err := shedguard.DecodeReply(m.Payload())
		if err != nil {
			return refuse(ReasonReply, err)
		}
		c.answer(r) // a person waits; the record follows
		if err := c.opts.Book.PutReply(ctx, shed, r, m.at); err != nil {
			return err
		}
	case shedguard.ClassEvidence:
		id, n, err := decodeEvidence(rest, m.Payload())
		if err != nil {
			return err
		}
		if c.opts.Evidence == nil {
			return refuse(ReasonNoStore, fmt.Errorf("picture %d of alarm %s, %d bytes", n, id, len(m.Payload())))
		}
		if err := c.opts.Evidence(ctx, shed, id, n, m.Payload(), m.at); err != nil {
			return err
		}
	case shedguard.ClassTelemetry, shedguard.ClassCommand, shedguard.ClassAck, shedguard.ClassConfig:
		return refuse(ReasonDirection, fmt.Errorf("class %s on the book session", class))
	}
	if !m.Retained() {
		c.traffic(shed, m.at)
	}
	return nil
}

func (c *Collector) traffic(shed string, at time.Time) {
	c.opts.Book.Seen(shed, at)
	if c.opts.Watch != nil {
		c.opts.Watch.Traffic(shed, at)
	}
}

// acknowledge queues the ack of a committed event. What does not fit is lost:
// the gateway sends the event again.
func (c *Collector) acknowledge(a ack) {
	select {
	case c.acks <- a:
	default:
		c.acksLost.Add(1)
	}
}

// sendAcks publishes acks, many ids at once.
func (c *Collector) sendAcks(ctx context.Context) error {
	pending := make(map[string][]string)
	var due <-chan time.Time
	for {
		full := ""
		select {
		case <-ctx.Done():
			return nil
		case a := <-c.acks:
			pending[a.shed] = append(pending[a.shed], a.id)
			if due == nil {
				due = time.After(ackAfter)
			}
			if len(pending[a.shed]) >= maxAckIDs {
				full = a.shed
			}
		case <-due:
			due = nil
		}
		if full != "" {
			c.sendAck(full, pending[full])
			delete(pending, full)
		}
		if due == nil {
			for shed, ids := range pending {
				c.sendAck(shed, ids)
			}
			clear(pending)
		}
	}
}

func (c *Collector) sendAck(shed string, ids []string) {
	payload, err := json.Marshal(shedguard.Ack{IDs: ids})
	if err == nil {
		_, err = c.send.publish(shedguard.Topic(shed, shedguard.ClassAck), payload)
	}
	if err != nil {
		c.acksLost.Add(uint64(len(ids)))
	}
}

// taken is a telemetry message whose lines are in the batch.
type taken struct {
	received
	shed           string
	good, untimely int
}

// keepSeries stores telemetry in batches.
func (c *Collector) keepSeries(ctx context.Context) error {
	var b batch
	var in []taken
	for {
		in = in[:0]
		b.reset()
		select {
		case <-ctx.Done():
			return nil
		case m := <-c.series.queue:
			in = append(in, c.decode(&b, m))
		}
		in = c.fill(ctx, &b, in)
		if !c.append(ctx, b.filled()) {
			return nil
		}
		c.points.Add(uint64(b.used))
		c.values.Add(uint64(b.values))
		if c.opts.Live != nil && b.used > 0 {
			c.opts.Live(b.filled())
		}
		for i := range in {
			t := &in[i]
			c.messages.Add(1)
			c.series.done(t.received)
			if t.good+t.untimely > 0 && !t.Retained() {
				c.traffic(t.shed, t.at)
				if c.opts.Watch != nil {
					c.opts.Watch.Telemetry(t.shed, t.good, t.untimely, t.at)
				}
			}
		}
		clear(in)
	}
}

// fill adds what is waiting to the batch: until the window is full, for
// flushAfter, or until nothing comes any more.
func (c *Collector) fill(ctx context.Context, b *batch, in []taken) []taken {
	end := time.After(flushAfter)
	idle := time.NewTimer(idleFlush)
	defer idle.Stop()
	for len(in) < c.opts.Window && b.used < maxBatch {
		select {
		case <-ctx.Done():
			return in
		case <-end:
			return in
		case <-idle.C:
			return in
		case m := <-c.series.queue:
			in = append(in, c.decode(b, m))
			idle.Reset(idleFlush)
		}
	}
	return in
}

// decode adds a message's lines to the batch and refuses the bad ones.
func (c *Collector) decode(b *batch, m received) taken {
	shed, class, _, err := shedguard.ParseTopic(m.Topic())
	if err == nil && class != shedguard.ClassTelemetry {
		err = fmt.Errorf("class %s on the series session", class)
	}
	if err != nil {
		c.refusals.refuse("", m.Topic(), refuse(ReasonTopic, err), m.Payload(), 1, m.at)
		return taken{received: m}
	}
	good, untimely := b.add(shed, m.Payload(), m.at)
	for i := range b.bad {
		c.refusals.refuse(shed, m.Topic(), &b.bad[i].refusal, b.bad[i].line, b.bad[i].count, m.at)
	}
	return taken{received: m, shed: shed, good: good, untimely: untimely}
}

// append stores points, however long that takes. It reports false when ctx
// ended first.
func (c *Collector) append(ctx context.Context, points []shedguard.Point) bool {
	if len(points) == 0 {
		return true
	}
	c.storing.Store(time.Now().UnixMilli())
	defer c.storing.Store(0)
	said := ""
	for pause := firstRetry; ; {
		err := c.opts.Series.Append(ctx, points)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		c.retries.Add(1)
		if err.Error() != said {
			said = err.Error()
			c.opts.Log.Error("series store cannot store", "points", len(points), "err", err, "retry_in", pause)
		}
		if pause = again(ctx, pause); ctx.Err() != nil {
			return false
		}
	}
}
