package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/shedguard/shedguard"
)

// PutAlarm takes an event over. Nil means that it is on disk, and stays there
// until [Outbox.Acked] names its id. An id that is in the outbox already is
// not put twice. When ctx ends first the event may be kept or not; it may be put
// again. [ErrMemoryOnly] means that the event will be delivered, but
// not over a restart; [ErrRefused], that it never can be.
func (o *Outbox) PutAlarm(ctx context.Context, e shedguard.Event) error {
	payload, err := json.Marshal(e)
	if err == nil && len(payload) > shedguard.MaxEventBytes {
		err = fmt.Errorf("%d bytes: want at most %d", len(payload), shedguard.MaxEventBytes)
	}
	if err != nil {
		o.refuse(ctx, payload, err.Error())
		return fmt.Errorf("put event %s: %w: %w", e.ID, ErrRefused, err)
	}
	en := &entry{waiting: time.Now(), rec: record{kind: kindEvent, id: e.ID, put: time.Now(), payload: payload}}
	if e.IsAlarm() {
		en.rec.kind = kindAlarm
		en.rec.severity = urgency(&e)
	}
	p := &put{e: en, done: make(chan error, 1)}
	select {
	case o.puts <- p:
	case <-o.ended:
		return fmt.Errorf("put event %s: %w", e.ID, ErrClosed)
	case <-ctx.Done():
		return fmt.Errorf("put event %s: %w", e.ID, context.Cause(ctx))
	}
	select {
	case err = <-p.done:
	case <-o.ended:
		// The owner may have answered before it ended.
		select {
		case err = <-p.done:
		default:
			err = ErrClosed
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("put event %s: %w", e.ID, err)
	}
	return nil
}

// urgency is the severity that must reach a person: that of an alarm that
// stands. Cleared and acknowledged ones call nobody.
func urgency(e *shedguard.Event) shedguard.Severity {
	if e.Type != shedguard.EventAlarmRaised && e.Type != shedguard.EventAlarmUpdated {
		return shedguard.SeverityCleared
	}
	var a struct {
		Severity shedguard.Severity `json:"severity"`
	}
	if err := json.Unmarshal(e.Data, &a); err != nil {
		return shedguard.SeverityCritical // an alarm that cannot be read is not one to be quiet about
	}
	return a.Severity
}

// writeAlarms commits events with one fsync. It runs on the owner's goroutine.
func (o *Outbox) writeAlarms(ps []*put) {
	o.attach()
	var fresh []*entry // in the order of their keys
	o.mu.Lock()
	batch := make(map[string]*entry, len(ps))
	for _, p := range ps {
		id := p.e.rec.id
		switch known := o.ids[id]; {
		case known != nil:
			p.e = known
			if !known.onDisk && batch[id] == nil {
				batch[id] = known
			}
		case batch[id] != nil:
			p.e = batch[id]
		default:
			p.e.rec.key = o.nextAlarm
			o.nextAlarm++
			p.e.size = p.e.rec.size()
			batch[id] = p.e
			fresh = append(fresh, p.e)
		}
	}
	o.mu.Unlock()

	var err error
	if len(batch) > 0 {
		write := func(tx *bolt.Tx) error {
			b := tx.Bucket([]byte(alarmName))
			for _, e := range batch {
				if err := b.Put(keyBytes(e.rec.key), e.rec.encode()); err != nil {
					return err
				}
			}
			return nil
		}
		err = o.update(write)
		if err != nil && (errors.Is(err, errBroken) || o.shed()) {
			err = o.update(write)
		}
	}

	o.mu.Lock()
	for _, e := range fresh {
		if err != nil && o.memoryOnly >= maxMemoryOnly {
			continue
		}
		o.alarms = append(o.alarms, e)
		o.ids[e.rec.id] = e
		if e.rec.kind == kindEvent {
			o.otherBytes += int64(e.size)
		}
		if err != nil {
			o.memoryOnly++
		}
	}
	for _, e := range batch {
		if err == nil && !e.onDisk {
			if !slices.Contains(fresh, e) {
				o.memoryOnly--
			}
			e.onDisk, e.rec.payload = true, nil
		}
	}
	o.boundOthers()
	results := make([]error, len(ps))
	for i, p := range ps {
		switch kept := o.ids[p.e.rec.id] == p.e; {
		case p.e.onDisk:
		case kept:
			results[i] = fmt.Errorf("%w: %w", ErrMemoryOnly, err)
		default:
			results[i] = fmt.Errorf("%d records wait in memory already: %w", maxMemoryOnly, err)
		}
	}
	o.mu.Unlock()
	if err != nil {
		o.diskFailed(err)
	} else if len(batch) > 0 {
		o.diskWorked()
	}
	for i, p := range ps {
		p.done <- results[i]
	}
	o.signal(o.wake)
}

// boundOthers drops the oldest events that are not alarms while they are over
// their bound. The caller holds mu.
func (o *Outbox) boundOthers() {
	for i := 0; o.otherBytes > o.opts.MaxOtherBytes && i < len(o.alarms); {
		if e := o.alarms[i]; e.rec.kind == kindEvent {
			o.counters.DroppedEvents++
			o.forget(e)
			continue
		}
		i++
	}
}

// forget takes a record out of the alarm lane. The caller holds mu.
func (o *Outbox) forget(e *entry) {
	i, ok := slices.BinarySearchFunc(o.alarms, e.rec.key, entryByKey)
	if !ok {
		return
	}
	o.alarms = slices.Delete(o.alarms, i, i+1)
	delete(o.ids, e.rec.id)
	if e.rec.kind == kindEvent {
		o.otherBytes -= int64(e.size)
	}
	if e.onDisk {
		o.gone = append(o.gone, e.rec.key)
	} else {
		o.memoryOnly--
	}
}

// Alarms reads up to n records of the alarm lane whose key is over after,
// oldest first.
func (o *Outbox) Alarms(ctx context.Context, after uint64, n int) ([]Record, error) {
	var out []Record
	for len(out) < n {
		o.mu.Lock()
		i, _ := slices.BinarySearchFunc(o.alarms, after+1, entryByKey)
		es := o.alarms[i:min(i+n-len(out), len(o.alarms))]
		recs := make([]record, len(es))
		for j, e := range es {
			recs[j] = e.rec
		}
		o.mu.Unlock()
		if len(recs) == 0 {
			break
		}
		after = recs[len(recs)-1].key
		good, err := o.load(ctx, []byte(alarmName), recs)
		if err != nil {
			return nil, fmt.Errorf("read alarm lane: %w", err)
		}
		for _, r := range good {
			out = append(out, Record{Key: r.key, Class: r.class(), ID: r.id, Severity: r.severity, Payload: r.payload})
		}
	}
	return out, nil
}

// load fills in the payloads that are on disk. A record that is not whole is
// set aside, counted and left out.
func (o *Outbox) load(ctx context.Context, bucket []byte, recs []record) ([]record, error) {
	if !slices.ContainsFunc(recs, func(r record) bool { return r.payload == nil }) {
		return recs, nil
	}
	var good []record
	bad := make(map[uint64]error)
	var err error
	doErr := o.do(ctx, func() {
		o.attach()
		err = o.view(func(tx *bolt.Tx) error {
			good, bad = nil, make(map[uint64]error)
			b := tx.Bucket(bucket)
			for _, r := range recs {
				if r.payload == nil {
					v := b.Get(keyBytes(r.key))
					if v == nil {
						continue // delivered meanwhile
					}
					if err := r.decodeAt(r.key, v); err != nil {
						bad[r.key] = err
						continue
					}
				}
				good = append(good, r)
			}
			return nil
		})
		for key, why := range bad {
			o.tally(func(c *Counters) { c.BadRecords++ })
			o.opts.Log.Error("outbox record set aside", "lane", string(bucket), "key", key, "err", why)
			o.moveAside(bucket, key, why.Error())
		}
	})
	return good, errors.Join(doErr, err)
}

// tally changes the counters.
func (o *Outbox) tally(f func(*Counters)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.counters)
}

// Sent notes that the broker has the record of the alarm lane with that key:
// it no longer counts as unsent, but stays until it is acknowledged.
func (o *Outbox) Sent(key uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i, ok := slices.BinarySearchFunc(o.alarms, key, entryByKey); ok {
		o.alarms[i].sent = true
	}
}

// Acked takes out the records of the alarm lane with those ids, and says which
// keys they had. Ids that are not there are passed over.
func (o *Outbox) Acked(ids ...string) []uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	var keys []uint64
	for _, id := range ids {
		if e := o.ids[id]; e != nil {
			keys = append(keys, e.rec.key)
			o.forget(e)
		}
	}
	return keys
}

// Unsent is the most severe standing alarm that the broker does not have, and
// since when the oldest of that severity has waited in this process; false
// when there is none.
func (o *Outbox) Unsent() (severity shedguard.Severity, since time.Time, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.alarms {
		s := e.rec.severity
		if e.sent || s == shedguard.SeverityCleared {
			continue
		}
		if !ok || s < severity || s == severity && e.waiting.Before(since) {
			severity, since, ok = s, e.waiting, true
		}
	}
	return severity, since, ok
}
