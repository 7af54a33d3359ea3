package outbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/shedguard/shedguard"
)

// PutTelemetry takes a batch over. It touches memory only and never waits for
// the disk; the batch is committed with the next flush, within
// [Options.FlushEvery].
func (o *Outbox) PutTelemetry(ctx context.Context, t Telemetry) error {
	if len(t.Lines) == 0 {
		return nil
	}
	if err := t.validate(); err != nil {
		o.refuse(ctx, t.Lines, err.Error())
		return fmt.Errorf("put telemetry: %w: %w", ErrRefused, err)
	}
	select {
	case <-o.stop:
		return fmt.Errorf("put telemetry: %w", ErrClosed)
	default:
	}
	boot := ""
	if !t.Synced {
		boot = t.BootID
	}
	o.mu.Lock()
	if last := o.last(); last != nil && last.body != nil && !last.taken && !last.writing && !last.onDisk &&
		last.boot == boot && last.size+len(t.Lines) <= maxBatchBytes {
		last.body = append(last.body, t.Lines...)
		last.size += len(t.Lines)
	} else {
		r := record{kind: kindTelemetry, id: boot}
		o.items = append(o.items, &item{
			key: o.nextItem, size: r.size() + len(t.Lines), boot: boot, body: bytes.Clone(t.Lines),
		})
		o.nextItem++
		if boot != "" {
			o.clockless++
		}
		o.liveBytes += int64(r.size())
		o.pendingBytes += int64(r.size())
	}
	o.liveBytes += int64(len(t.Lines))
	o.pendingBytes += int64(len(t.Lines))
	o.bound()
	early := o.pendingBytes > flushBytes && o.diskError == ""
	o.mu.Unlock()
	if early {
		o.signal(o.flush)
	}
	o.signal(o.wake)
	return nil
}

func (t *Telemetry) validate() error {
	var errs []error
	if len(t.Lines) > shedguard.MaxEventBytes {
		errs = append(errs, fmt.Errorf("%d bytes: want at most %d", len(t.Lines), shedguard.MaxEventBytes))
	}
	if t.Lines[len(t.Lines)-1] != '\n' {
		errs = append(errs, errors.New("last line: want a newline"))
	}
	if !t.Synced && !shedguard.ValidID(t.BootID) {
		errs = append(errs, fmt.Errorf("boot id %q: want a ULID", t.BootID))
	}
	return errors.Join(errs...)
}

func (o *Outbox) last() *item {
	if n := len(o.items); n > 0 && !o.items[n-1].delivered {
		return o.items[n-1]
	}
	return nil
}

// bound drops the oldest telemetry over the bounds. The caller holds mu.
func (o *Outbox) bound() {
	for i := 0; i < len(o.items) && o.liveBytes > o.opts.MaxTelemetryBytes; i++ {
		if !o.items[i].delivered {
			o.drop(o.items[i])
		}
	}
	for i := 0; i < len(o.items) && o.pendingBytes > maxPendingBytes; i++ {
		if it := o.items[i]; !it.delivered && !it.onDisk && !it.writing {
			o.drop(it)
		}
	}
	o.trim()
}

// Telemetry reads up to n batches whose key is over after and whose clock is
// known, oldest first, with wall time in every line.
func (o *Outbox) Telemetry(ctx context.Context, after uint64, n int) ([]Record, error) {
	var out []Record
	for len(out) < n {
		o.mu.Lock()
		var recs []record
		i, _ := slices.BinarySearchFunc(o.items, after+1, byKey)
		for ; i < len(o.items) && len(recs) < n-len(out); i++ {
			it := o.items[i]
			if it.delivered || it.boot != "" && o.boots[it.boot] == 0 {
				continue
			}
			it.taken = true
			recs = append(recs, record{kind: kindTelemetry, key: it.key, id: it.boot, payload: it.body})
		}
		o.mu.Unlock()
		if len(recs) == 0 {
			break
		}
		after = recs[len(recs)-1].key
		good, err := o.load(ctx, []byte(telemetryName), recs)
		if err != nil {
			return nil, fmt.Errorf("read telemetry lane: %w", err)
		}
		for _, r := range good {
			if r.id != "" {
				o.mu.Lock()
				start := o.boots[r.id]
				o.mu.Unlock()
				lines, lost := shift(r.payload, start)
				if lost > 0 {
					o.tally(func(c *Counters) { c.BadRecords += uint64(lost) })
				}
				if r.payload = lines; len(lines) == 0 {
					o.Delivered(r.key)
					continue
				}
			}
			out = append(out, Record{Key: r.key, Class: shedguard.ClassTelemetry, Payload: r.payload})
		}
	}
	return out, nil
}

// shift adds an instant in milliseconds since 1970 to the timestamp of every
// line and leaves out the lines that have none.
func shift(lines []byte, startMS int64) (out []byte, lost int) {
	out = make([]byte, 0, len(lines)+len(lines)/8)
	for line := range bytes.Lines(lines) {
		line = bytes.TrimSuffix(line, []byte{'\n'})
		i := bytes.LastIndexByte(line, ' ')
		ns, err := strconv.ParseInt(string(line[i+1:]), 10, 64)
		const most = int64(100 * 365 * 24 * time.Hour)
		if i <= 0 || err != nil || ns < 0 || ns > most {
			lost++
			continue
		}
		out = append(out, line[:i+1]...)
		out = strconv.AppendInt(out, ns+startMS*int64(time.Millisecond), 10)
		out = append(out, '\n')
	}
	return out, lost
}

// Delivered takes out the telemetry with those keys.
func (o *Outbox) Delivered(keys ...uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		if i, ok := slices.BinarySearchFunc(o.items, key, byKey); ok {
			o.remove(o.items[i])
		}
	}
	o.trim()
}
