package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/shedguard/shedguard"
)

// kind says what a stored record is.
type kind uint8

const (
	kindAlarm     kind = 1
	kindEvent     kind = 2
	kindTelemetry kind = 3
	kindCounters  kind = 4
)

// record is one value in the file. Its form, numbers big-endian:
//
//	0  "SGr1"
//	4  kind
//	5  flags: 1 = timestamps count from the start of the boot
//	6  severity of an alarm
//	7  length of the id
//	8  key, as in the bucket
//	16 when it was put, milliseconds since 1970
//	24 length of the payload
//	28 id: CloudEvents id or boot id
//	…  payload
//	…  CRC-32C of all before
type record struct {
	kind     kind
	unsynced bool
	severity shedguard.Severity
	key      uint64
	put      time.Time
	id       string
	payload  []byte
}

const (
	recordMagic  = "SGr1"
	headerBytes  = 28
	sumBytes     = 4
	flagUnsynced = 1
)

// errRecord comes when a stored record is not what was written.
var errRecord = errors.New("bad record")

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (r *record) size() int { return headerBytes + len(r.id) + len(r.payload) + sumBytes }

// encode is the record as it is stored.
func (r *record) encode() []byte {
	dst := append(make([]byte, 0, r.size()), recordMagic...)
	var flags byte
	if r.unsynced {
		flags = flagUnsynced
	}
	dst = append(dst, byte(r.kind), flags, byte(r.severity), byte(len(r.id)))
	dst = binary.BigEndian.AppendUint64(dst, r.key)
	dst = binary.BigEndian.AppendUint64(dst, uint64(max(r.put.UnixMilli(), 0)))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.payload)))
	dst = append(dst, r.id...)
	dst = append(dst, r.payload...)
	return binary.BigEndian.AppendUint32(dst, sum(dst))
}

// header reads everything of a record but its payload, without the checksum,
// and returns the record's whole size.
func (r *record) header(b []byte) (size int, err error) {
	if len(b) < headerBytes+sumBytes || string(b[:4]) != recordMagic {
		return 0, fmt.Errorf("%w: %d bytes without its mark", errRecord, len(b))
	}
	k, flags, severity, idLen := kind(b[4]), b[5], shedguard.Severity(b[6]), int(b[7])
	payload := binary.BigEndian.Uint32(b[24:])
	if k < kindAlarm || k > kindCounters || flags > flagUnsynced || severity > shedguard.SeverityWarning {
		return 0, fmt.Errorf("%w: kind %d, flags %d, severity %d", errRecord, k, flags, severity)
	}
	if int64(payload) > int64(len(b)-headerBytes-idLen-sumBytes) {
		return 0, fmt.Errorf("%w: %d bytes of payload in %d bytes", errRecord, payload, len(b))
	}
	*r = record{
		kind: k, unsynced: flags == flagUnsynced, severity: severity,
		key: binary.BigEndian.Uint64(b[8:]),
		put: time.UnixMilli(int64(binary.BigEndian.Uint64(b[16:]) & (1<<62 - 1))).UTC(),
		id:  string(b[headerBytes : headerBytes+idLen]),
	}
	return headerBytes + idLen + int(payload) + sumBytes, nil
}

// decode reads the record at the start of b and checks its sum. The payload is
// a copy.
func (r *record) decode(b []byte) (size int, err error) {
	var read record
	size, err = read.header(b)
	if err != nil {
		return 0, err
	}
	body := b[:size-sumBytes]
	if got, want := sum(body), binary.BigEndian.Uint32(b[size-sumBytes:]); got != want {
		return 0, fmt.Errorf("%w: checksum %08x, want %08x", errRecord, got, want)
	}
	read.payload = append([]byte(nil), body[headerBytes+len(read.id):]...)
	*r = read
	return size, nil
}

// decodeAt is decode for the value of a bucket, which must be the record of
// that key and nothing more.
func (r *record) decodeAt(key uint64, b []byte) error {
	var read record
	size, err := read.decode(b)
	if err != nil {
		return err
	}
	if read.key != key || size != len(b) {
		return fmt.Errorf("%w: of key %d and %d bytes at key %d in %d bytes", errRecord, read.key, size, key, len(b))
	}
	*r = read
	return nil
}

func (r *record) class() shedguard.Class {
	switch r.kind {
	case kindAlarm:
		return shedguard.ClassAlarm
	case kindEvent:
		return shedguard.ClassEvent
	default:
		return shedguard.ClassTelemetry
	}
}
