package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/shedguard/shedguard"
)

// file is what the outbox needs of a bbolt database.
type file interface {
	Update(fn func(*bolt.Tx) error) error
	View(fn func(*bolt.Tx) error) error
	Close() error
}

// opener opens the file at path.
type opener func(path string, maxBytes int64) (file, error)

// The buckets and keys of the file.
const (
	alarmName     = "alarm"
	telemetryName = "telemetry"
	asideName     = "aside"
	metaName      = "meta"
	countersKey   = "counters"
	bootPrefix    = "boot/"
)

// maxAside bounds how many set-aside records are kept to be looked at.
const maxAside = 256

// maxBoots bounds how many boots' clocks are remembered.
const maxBoots = 64

// errBroken comes when the structure of the file is wrong.
var errBroken = errors.New("file structure is broken")

func keyBytes(key uint64) []byte { return binary.BigEndian.AppendUint64(nil, key) }

func openBolt(path string, maxBytes int64) (file, error) {
	maxSize := 0
	if int64(int(maxBytes)) == maxBytes {
		maxSize = int(maxBytes)
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 100 * time.Millisecond, FreelistType: bolt.FreelistMapType, MaxSize: maxSize})
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{alarmName, telemetryName, asideName, metaName} {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// syncFolder makes a new or renamed file's name durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// guarded runs f and turns what a damaged file can do to it (a panic of bbolt,
// a fault in the mapped memory) into errBroken.
func guarded(f func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errBroken, r)
		}
	}()
	return f()
}

// update and view run on the owner's goroutine. A broken file is replaced; its
// alarms are in memory then, and the error tells the caller to come again.
func (o *Outbox) update(f func(*bolt.Tx) error) error {
	return o.access(func(db file) error { return db.Update(f) })
}

func (o *Outbox) view(f func(*bolt.Tx) error) error {
	return o.access(func(db file) error { return db.View(f) })
}

func (o *Outbox) access(f func(file) error) error {
	if o.file == nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		return errors.New(o.diskError)
	}
	err := guarded(func() error { return f(o.file) })
	if errors.Is(err, errBroken) {
		// The database may hold its own locks for ever: it is left alone, not closed.
		o.file = nil
		o.setFileAside(err)
		o.attach()
	}
	return err
}

// maxFileBytes is where the file stops growing: twice what may live in it,
// because bbolt writes beside what it replaces.
func (o *Outbox) maxFileBytes() int64 {
	return 2*(o.opts.MaxTelemetryBytes+o.opts.MaxOtherBytes) + 256<<20
}

// attach opens the file and takes over what it holds. A bad one is set aside
// and a fresh one started. On any other fault o.file stays nil.
func (o *Outbox) attach() {
	for range 2 {
		if o.file != nil {
			return
		}
		err := guarded(func() error { return verify(o.path) })
		var db file
		if err == nil {
			err = guarded(func() (err error) {
				db, err = o.open(o.path, o.maxFileBytes())
				return err
			})
		}
		var found *contents
		if err == nil {
			err = guarded(func() error {
				return db.View(func(tx *bolt.Tx) (err error) {
					found, err = scan(tx)
					return err
				})
			})
		}
		switch {
		case err == nil:
			o.file = db
			o.adopt(found)
		case errors.Is(err, errBroken) || errors.Is(err, berrors.ErrInvalid) ||
			errors.Is(err, berrors.ErrVersionMismatch) || errors.Is(err, berrors.ErrChecksum):
			o.setFileAside(err)
		default:
			if db != nil {
				err = errors.Join(err, db.Close())
			}
			o.diskFailed(fmt.Errorf("open outbox: %w", err))
			return
		}
	}
}

// contents is what a file holds.
type contents struct {
	alarms   []*entry
	items    []*item
	boots    map[string]int64
	counters Counters
	bad      []record // keys of records without a readable header, by lane
}

// scan lists the lanes without reading payloads of telemetry.
func scan(tx *bolt.Tx) (*contents, error) {
	c := &contents{boots: make(map[string]int64)}
	now := time.Now()
	err := tx.Bucket([]byte(alarmName)).ForEach(func(k, v []byte) error {
		var r record
		if len(k) != 8 {
			return fmt.Errorf("%w: key of %d bytes", errBroken, len(k))
		}
		key := binary.BigEndian.Uint64(k)
		if err := r.decodeAt(key, v); err != nil || r.kind != kindAlarm && r.kind != kindEvent {
			c.bad = append(c.bad, record{kind: kindAlarm, key: key})
			return nil //nolint:nilerr // one bad record is set aside and counted, the rest is good
		}
		r.payload = nil
		c.alarms = append(c.alarms, &entry{rec: r, size: len(v), onDisk: true, waiting: now})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = tx.Bucket([]byte(telemetryName)).ForEach(func(k, v []byte) error {
		var r record
		if len(k) != 8 {
			return fmt.Errorf("%w: key of %d bytes", errBroken, len(k))
		}
		key := binary.BigEndian.Uint64(k)
		if size, err := r.header(v); err != nil || r.kind != kindTelemetry || r.key != key || size != len(v) {
			c.bad = append(c.bad, record{kind: kindTelemetry, key: key})
			return nil //nolint:nilerr // as above
		}
		c.items = append(c.items, &item{key: key, size: len(v), boot: r.id, onDisk: true})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = tx.Bucket([]byte(metaName)).ForEach(func(k, v []byte) error {
		if boot, ok := strings.CutPrefix(string(k), bootPrefix); ok && len(v) == 8 {
			c.boots[boot] = int64(binary.BigEndian.Uint64(v))
		}
		var r record
		if string(k) == countersKey {
			if err := r.decodeAt(0, v); err == nil {
				err = json.Unmarshal(r.payload, &c.counters)
				if err != nil {
					return fmt.Errorf("%w: counters: %w", errBroken, err)
				}
			}
		}
		return nil
	})
	return c, err
}

// adopt adds what a file holds to what is in memory already.
func (o *Outbox) adopt(c *contents) {
	o.mu.Lock()
	if n := len(c.alarms); n > 0 && len(o.alarms) > 0 && o.alarms[0].rec.key <= c.alarms[n-1].rec.key {
		// The clock stood behind the file's: what waits in memory is younger.
		for _, e := range o.alarms {
			e.rec.key += c.alarms[n-1].rec.key
		}
		o.nextAlarm += c.alarms[n-1].rec.key
	}
	for _, e := range c.alarms {
		if known := o.ids[e.rec.id]; known != nil {
			o.gone = append(o.gone, e.rec.key) // the one in memory is written again
			continue
		}
		o.alarms = append(o.alarms, e)
		o.ids[e.rec.id] = e
		if e.rec.kind == kindEvent {
			o.otherBytes += int64(e.size)
		}
		o.nextAlarm = max(o.nextAlarm, e.rec.key+1)
	}
	slices.SortFunc(o.alarms, func(a, b *entry) int { return entryByKey(a, b.rec.key) })
	if n := len(c.items); n > 0 {
		if len(o.items) > 0 && o.items[0].key <= c.items[n-1].key {
			for _, it := range o.items {
				it.key += c.items[n-1].key
			}
			o.nextItem += c.items[n-1].key
		}
		o.nextItem = max(o.nextItem, c.items[n-1].key+1)
		o.items = append(c.items, o.items...)
		for _, it := range c.items {
			o.liveBytes += int64(it.size)
			if it.boot != "" {
				o.clockless++
			}
		}
	}
	for boot, start := range c.boots {
		if o.boots[boot] == 0 {
			o.boots[boot] = start
		}
	}
	o.counters.add(c.counters)
	o.saved = c.counters
	o.bound()
	o.mu.Unlock()
	for _, r := range c.bad {
		lane := alarmName
		if r.kind == kindTelemetry {
			lane = telemetryName
		}
		o.tally(func(c *Counters) { c.BadRecords++ })
		o.opts.Log.Error("outbox record set aside", "lane", lane, "key", r.key)
		o.moveAside([]byte(lane), r.key, errRecord.Error())
	}
	o.signal(o.wake)
}

func (c *Counters) add(d Counters) {
	c.DroppedTelemetry += d.DroppedTelemetry
	c.DroppedBytes += d.DroppedBytes
	c.DroppedEvents += d.DroppedEvents
	c.BadRecords += d.BadRecords
	c.BadFiles += d.BadFiles
	c.Salvaged += d.Salvaged
	c.SetAside += d.SetAside
}

// setFileAside renames the bad file and takes its whole alarms into memory.
// What the memory knew to be on disk and is not found there is counted.
func (o *Outbox) setFileAside(why error) {
	aside := o.path + ".corrupt-" + time.Now().UTC().Format("20060102T150405.000000000")
	err := os.Rename(o.path, aside)
	if err == nil {
		err = syncFolder(filepath.Dir(o.path))
	}
	found, counters, salvageErr := salvage(aside)
	o.mu.Lock()
	byID := make(map[string]record, len(found))
	for _, r := range found {
		byID[r.id] = r
	}
	var lost []*entry
	for _, e := range o.alarms {
		if r, ok := byID[e.rec.id]; ok {
			delete(byID, e.rec.id)
			if e.onDisk {
				e.onDisk, e.rec.payload = false, r.payload
				o.memoryOnly++
			}
		} else if e.onDisk {
			lost = append(lost, e)
		}
	}
	for _, e := range lost {
		o.counters.BadRecords++
		o.forget(e)
	}
	now := time.Now()
	for _, r := range found {
		if _, ok := byID[r.id]; !ok {
			continue
		}
		delete(byID, r.id)
		r.key = o.nextAlarm
		o.nextAlarm++
		e := &entry{rec: r, size: r.size(), waiting: now}
		o.alarms = append(o.alarms, e)
		o.ids[r.id] = e
		o.memoryOnly++
		o.counters.Salvaged++
		if r.kind == kindEvent {
			o.otherBytes += int64(e.size)
		}
	}
	for _, it := range o.items {
		if it.onDisk && !it.delivered {
			o.drop(it)
		}
	}
	o.trim()
	o.gone, o.doomed = nil, nil
	if o.counters == (Counters{Salvaged: o.counters.Salvaged}) {
		o.counters.add(counters) // this process had not read them yet
	}
	o.counters.BadFiles++
	o.saved = Counters{}
	o.bootsDirty = len(o.boots) > 0
	salvaged := o.counters.Salvaged
	o.mu.Unlock()
	o.opts.Log.Error("outbox file set aside", "path", aside, "err", why, "rename_err", err, "salvage_err", salvageErr, "salvaged", salvaged)
}

// salvage finds the whole records of the alarm lane in a damaged file, in the
// order of their keys, wherever in the file they lie.
func salvage(path string) (found []record, counters Counters, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, counters, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	const chunk = 1 << 20
	const overlap = headerBytes + 255 + shedguard.MaxEventBytes + sumBytes
	byID := make(map[string]record)
	buf := make([]byte, 0, chunk+overlap)
	for {
		n, readErr := io.ReadFull(f, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		last := readErr != nil
		at := 0
		for {
			i := bytes.Index(buf[at:], []byte(recordMagic))
			if i < 0 || !last && at+i > len(buf)-overlap {
				break
			}
			at += i
			var r record
			if _, err := r.decode(buf[at:]); err == nil {
				switch r.kind {
				case kindAlarm, kindEvent:
					byID[r.id] = r
				case kindCounters:
					var c Counters
					if json.Unmarshal(r.payload, &c) == nil {
						counters.most(c)
					}
				case kindTelemetry:
				}
			}
			at += len(recordMagic)
		}
		if last {
			if !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF) {
				err = readErr
			}
			break
		}
		buf = buf[:copy(buf, buf[max(at, len(buf)-overlap):])]
	}
	for _, r := range byID {
		found = append(found, r)
	}
	slices.SortFunc(found, func(a, b record) int {
		return entryByKey(&entry{rec: a}, b.key)
	})
	return found, counters, err
}

func (c *Counters) most(d Counters) {
	c.DroppedTelemetry = max(c.DroppedTelemetry, d.DroppedTelemetry)
	c.DroppedBytes = max(c.DroppedBytes, d.DroppedBytes)
	c.DroppedEvents = max(c.DroppedEvents, d.DroppedEvents)
	c.BadRecords = max(c.BadRecords, d.BadRecords)
	c.BadFiles = max(c.BadFiles, d.BadFiles)
	c.Salvaged = max(c.Salvaged, d.Salvaged)
	c.SetAside = max(c.SetAside, d.SetAside)
}

// commit brings the file up to date with the memory. It runs on the owner's
// goroutine; without news it does not touch the disk.
func (o *Outbox) commit() error {
	o.attach()
	err := o.commitOnce()
	if err != nil && (errors.Is(err, errBroken) || o.shed()) {
		err = o.commitOnce()
	}
	switch {
	case err != nil:
		o.diskFailed(err)
	case o.file != nil:
		o.diskWorked()
	}
	return err
}

func (o *Outbox) commitOnce() error {
	o.mu.Lock()
	gone, doomed := o.gone, o.doomed
	counters, boots := o.counters, o.bootsDirty
	var entries []*entry
	var events []record
	if o.memoryOnly > 0 {
		for _, e := range o.alarms {
			if !e.onDisk {
				entries = append(entries, e)
				events = append(events, e.rec)
			}
		}
	}
	var items []*item
	var batches []record
	for i := len(o.items) - 1; i >= 0 && !o.items[i].onDisk; i-- {
		if it := o.items[i]; !it.delivered {
			it.writing = true
			items = append(items, it)
			batches = append(batches, record{kind: kindTelemetry, key: it.key, id: it.boot, unsynced: it.boot != "", payload: it.body})
		}
	}
	var starts map[string]int64
	if boots {
		starts = o.recentBoots()
	}
	if len(gone)+len(doomed)+len(entries)+len(items) == 0 && counters == o.saved && !boots {
		o.mu.Unlock()
		return nil
	}
	o.mu.Unlock()

	now := time.Now()
	err := o.update(func(tx *bolt.Tx) error {
		alarms, telemetry := tx.Bucket([]byte(alarmName)), tx.Bucket([]byte(telemetryName))
		for _, key := range gone {
			if err := alarms.Delete(keyBytes(key)); err != nil {
				return err
			}
		}
		for _, key := range doomed {
			if err := telemetry.Delete(keyBytes(key)); err != nil {
				return err
			}
		}
		for i := range events {
			if err := alarms.Put(keyBytes(events[i].key), events[i].encode()); err != nil {
				return err
			}
		}
		telemetry.FillPercent = 0.9 // keys only grow
		for i := range batches {
			r := &batches[len(batches)-1-i]
			r.put = now
			if err := telemetry.Put(keyBytes(r.key), r.encode()); err != nil {
				return err
			}
		}
		return putMeta(tx, counters, starts)
	})

	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		o.gone, o.doomed = o.gone[len(gone):], o.doomed[len(doomed):]
		if len(o.gone) == 0 {
			o.gone = nil
		}
		if len(o.doomed) == 0 {
			o.doomed = nil
		}
		o.saved = counters
		o.bootsDirty = o.bootsDirty && !boots
		for _, e := range entries {
			if o.ids[e.rec.id] == e {
				o.memoryOnly--
			} else {
				o.gone = append(o.gone, e.rec.key) // acknowledged while it was written
			}
			e.onDisk, e.rec.payload = true, nil
		}
	}
	for _, it := range items {
		it.writing = false
		switch {
		case err == nil && it.delivered:
			o.doomed = append(o.doomed, it.key)
			it.onDisk, it.body = true, nil
		case err == nil:
			it.onDisk, it.body = true, nil
			o.pendingBytes -= int64(it.size)
		case it.delivered:
			it.body = nil
		}
	}
	if err != nil {
		o.bound()
	}
	return err
}

// recentBoots are the clocks worth keeping: ULIDs sort by time. The caller
// holds mu.
func (o *Outbox) recentBoots() map[string]int64 {
	ids := make([]string, 0, len(o.boots))
	for id := range o.boots {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids[:max(0, len(ids)-maxBoots)] {
		if id != o.opts.BootID {
			delete(o.boots, id)
		}
	}
	starts := make(map[string]int64, len(o.boots))
	maps.Copy(starts, o.boots)
	return starts
}

func putMeta(tx *bolt.Tx, counters Counters, starts map[string]int64) error {
	meta := tx.Bucket([]byte(metaName))
	text, err := json.Marshal(counters)
	if err != nil {
		return err
	}
	r := record{kind: kindCounters, put: time.Now(), payload: text}
	if err := meta.Put([]byte(countersKey), r.encode()); err != nil {
		return err
	}
	if starts == nil {
		return nil
	}
	var old [][]byte
	c := meta.Cursor()
	for k, _ := c.Seek([]byte(bootPrefix)); bytes.HasPrefix(k, []byte(bootPrefix)); k, _ = c.Next() {
		if _, ok := starts[string(k[len(bootPrefix):])]; !ok {
			old = append(old, bytes.Clone(k))
		}
	}
	for _, k := range old {
		if err := meta.Delete(k); err != nil {
			return err
		}
	}
	for id, start := range starts {
		if err := meta.Put([]byte(bootPrefix+id), keyBytes(uint64(start))); err != nil {
			return err
		}
	}
	return nil
}

// shed gives the oldest tenth of the telemetry on disk up, so that its pages
// can be written again. It reports whether that made any room.
func (o *Outbox) shed() bool {
	o.mu.Lock()
	n := 0
	for _, it := range o.items {
		if it.onDisk && !it.delivered {
			n++
		}
	}
	for _, it := range o.items {
		if n == 0 {
			break
		}
		if it.onDisk && !it.delivered {
			o.drop(it)
			n = min(n-1, max(63, len(o.items)/10))
		}
	}
	o.trim()
	doomed := o.doomed
	o.mu.Unlock()
	if len(doomed) == 0 {
		return false
	}
	err := o.update(func(tx *bolt.Tx) error {
		for _, key := range doomed {
			if err := tx.Bucket([]byte(telemetryName)).Delete(keyBytes(key)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return false
	}
	o.mu.Lock()
	o.doomed = o.doomed[min(len(doomed), len(o.doomed)):]
	o.mu.Unlock()
	return true
}

// SetAside takes a record out that can never be delivered, counts it and keeps
// it in the file to be looked at.
func (o *Outbox) SetAside(ctx context.Context, r Record, reason string) error {
	err := o.do(ctx, func() {
		o.tally(func(c *Counters) { c.SetAside++ })
		o.keepAside(r.Payload, reason)
		if r.Class == shedguard.ClassTelemetry {
			o.Delivered(r.Key)
		} else {
			o.Acked(r.ID)
		}
	})
	if err != nil {
		return fmt.Errorf("set aside %s %d: %w", r.Class, r.Key, err)
	}
	o.opts.Log.Error("outbox record set aside", "lane", string(r.Class), "key", r.Key, "reason", reason)
	return nil
}

// refuse counts and keeps a payload that never got into a lane.
func (o *Outbox) refuse(ctx context.Context, payload []byte, reason string) {
	o.tally(func(c *Counters) { c.SetAside++ })
	payload = bytes.Clone(payload[:min(len(payload), shedguard.MaxEventBytes)])
	if err := o.do(ctx, func() { o.keepAside(payload, reason) }); err != nil {
		reason += " (not kept: " + err.Error() + ")"
	}
	o.opts.Log.Error("outbox refused a record", "bytes", len(payload), "reason", reason)
}

// moveAside moves a record of a lane that is not whole. It runs on the owner's
// goroutine.
func (o *Outbox) moveAside(bucket []byte, key uint64, reason string) {
	err := o.update(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		if err := putAside(tx, b.Get(keyBytes(key)), reason); err != nil {
			return err
		}
		return b.Delete(keyBytes(key))
	})
	o.mu.Lock()
	if string(bucket) == telemetryName {
		if i, ok := slices.BinarySearchFunc(o.items, key, byKey); ok {
			o.remove(o.items[i])
			o.trim()
		}
	} else if i, ok := slices.BinarySearchFunc(o.alarms, key, entryByKey); ok {
		o.forget(o.alarms[i])
	}
	o.mu.Unlock()
	if err != nil {
		o.diskFailed(err)
	}
}

func (o *Outbox) keepAside(payload []byte, reason string) {
	err := o.update(func(tx *bolt.Tx) error { return putAside(tx, payload, reason) })
	if err != nil {
		o.diskFailed(err)
	}
}

// putAside keeps a payload behind the reason and a zero byte.
func putAside(tx *bolt.Tx, payload []byte, reason string) error {
	b := tx.Bucket([]byte(asideName))
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	if n > maxAside {
		if err := b.Delete(keyBytes(n - maxAside)); err != nil {
			return err
		}
	}
	return b.Put(keyBytes(n), append(append([]byte(reason), 0), payload...))
}
