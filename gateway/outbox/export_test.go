package outbox

import (
	"sync/atomic"

	bolt "go.etcd.io/bbolt"
)

// Disk is the seam to bbolt with a switch: while Fail is set, every write is
// refused with it.
type Disk struct{ fail atomic.Pointer[error] }

// Fail refuses writes with err from now on; nil lets them through.
func (d *Disk) Fail(err error) {
	if err == nil {
		d.fail.Store(nil)
		return
	}
	d.fail.Store(&err)
}

type switched struct {
	file
	d *Disk
}

func (s switched) Update(fn func(*bolt.Tx) error) error {
	if err := s.d.fail.Load(); err != nil {
		return *err
	}
	return s.file.Update(fn)
}

// OpenOn opens an outbox whose disk can be made to fail.
func OpenOn(path string, opts Options, d *Disk) (*Outbox, error) {
	return openWith(path, opts, func(path string, maxBytes int64) (file, error) {
		f, err := openBolt(path, maxBytes)
		if err != nil {
			return nil, err
		}
		return switched{f, d}, nil
	})
}

// OpenSmall opens an outbox whose file may not grow over maxBytes: a disk that
// is full in earnest.
func OpenSmall(path string, opts Options, maxBytes int64) (*Outbox, error) {
	return openWith(path, opts, func(path string, _ int64) (file, error) { return openBolt(path, maxBytes) })
}

// Verify is the check of a file's structure.
func Verify(path string) error { return verify(path) }

// ErrBroken is what Verify reports.
var ErrBroken = errBroken

// Decode reads a record and gives it back as it is written, with its key.
func Decode(b []byte) (again []byte, key uint64, err error) {
	var r record
	n, err := r.decode(b)
	if err != nil {
		return nil, 0, err
	}
	_ = n
	return r.encode(), r.key, nil
}

// Encode is a record of the alarm lane.
func Encode(key uint64, id string, payload []byte) []byte {
	r := record{kind: kindAlarm, key: key, id: id, payload: payload}
	return r.encode()
}

// Shift moves timestamps.
func Shift(lines []byte, startMS int64) ([]byte, int) { return shift(lines, startMS) }

// NewestKey is the key of the newest telemetry record.
func (o *Outbox) NewestKey() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.items[len(o.items)-1].key
}
