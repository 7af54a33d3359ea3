package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/klauspost/compress/s2"
)

// A record is a header and a body, the chunk in S2 block format. The header:
// magic (4 bytes), length of the body (4), number of points (4), time of the
// Put in milliseconds since 1970 (8), CRC-32C of all that and the body (4).
const (
	magic       = "sgQ1"
	headerBytes = 24
)

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func appendRecord(dst []byte, c Chunk, at time.Time) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, headerBytes+s2.MaxEncodedLen(len(c.Data)))...)
	b := dst[start:]
	body := s2.Encode(b[headerBytes:], c.Data)
	b = b[:headerBytes+len(body)]
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(body)))
	binary.LittleEndian.PutUint32(b[8:], uint32(c.Points))
	binary.LittleEndian.PutUint64(b[12:], uint64(at.UnixMilli()))
	binary.LittleEndian.PutUint32(b[20:], recordSum(b))
	return dst[:start+len(b)]
}

func recordSum(b []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(b[:20], table), table, b[headerBytes:])
}

// found is a record as it stands in a segment.
type found struct {
	body   []byte
	points int
	at     time.Time
	size   int64 // header included
}

// parse reads the record that b begins with.
func parse(b []byte) (found, bool) {
	if len(b) < headerBytes || string(b[:4]) != magic {
		return found{}, false
	}
	n := int64(binary.LittleEndian.Uint32(b[4:]))
	if n > int64(maxCompressed()) || headerBytes+n > int64(len(b)) {
		return found{}, false
	}
	b = b[:headerBytes+n]
	if recordSum(b) != binary.LittleEndian.Uint32(b[20:]) {
		return found{}, false
	}
	return found{
		body: b[headerBytes:], points: int(binary.LittleEndian.Uint32(b[8:])),
		at: time.UnixMilli(int64(binary.LittleEndian.Uint64(b[12:]))), size: int64(len(b)),
	}, true
}

// next finds the first good record of a segment at or behind off, and how many
// bytes before it are no record.
func next(b []byte, off int64) (r found, skipped int64, ok bool) {
	for at := off; at < int64(len(b)); {
		if r, ok := parse(b[at:]); ok {
			return r, at - off, true
		}
		i := bytes.Index(b[at+1:], []byte(magic))
		if i < 0 {
			break
		}
		at += int64(i) + 1
	}
	return found{}, 0, false
}

// Record is one chunk as it was put.
type Record struct {
	Data   []byte // valid until the next call of Next
	Points int
	At     time.Time // of the Put
	End    Position  // behind the record
}

// Reader walks the records of a queue. It is for one goroutine.
type Reader struct {
	q    *Queue
	pos  Position
	file *os.File
	open uint64 // the number of file
	raw  []byte
	data []byte
}

// Reader is a new reader that begins at the confirmed position.
func (q *Queue) Reader() *Reader {
	r := &Reader{q: q}
	r.Rewind()
	return r
}

// Rewind goes back to the confirmed position.
func (r *Reader) Rewind() {
	r.q.mu.Lock()
	r.pos = r.q.confirmed
	r.q.mu.Unlock()
}

// Next is the next record, or false when there is none yet.
func (r *Reader) Next() (Record, bool, error) {
	for {
		s, more := r.segment()
		if s.size <= r.pos.offset {
			if !more {
				return Record{}, false, nil
			}
			r.pos = Position{segment: s.number + 1}
			continue
		}
		f, err := r.record(s)
		if errors.Is(err, errRest) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			r.q.spoil(s.number, s.size-r.pos.offset)
			r.pos.offset = s.size
			continue
		}
		if err != nil {
			return Record{}, false, fmt.Errorf("read queue: %w", err)
		}
		r.pos.offset += f.size
		data, err := s2.Decode(r.data[:cap(r.data)], f.body)
		if err != nil { // the checksum fits: the writer was broken, not the disk
			r.q.spoil(s.number, f.size)
			continue
		}
		r.data = data
		return Record{Data: data, Points: f.points, At: f.at, End: r.pos}, true, nil
	}
}

// segment moves the position to a segment that is there.
func (r *Reader) segment() (s segment, more bool) {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	for i, s := range r.q.segments {
		if s.number < r.pos.segment {
			continue
		}
		if s.number > r.pos.segment {
			r.pos = Position{segment: s.number}
		}
		return s, i+1 < len(r.q.segments)
	}
	return segment{}, false
}

// errRest says that the rest of a segment holds no good record.
var errRest = errors.New("no record in the rest of the segment")

// record reads the record at the position, or the first good one behind it.
func (r *Reader) record(s segment) (found, error) {
	if r.file == nil || r.open != s.number {
		if err := r.Close(); err != nil {
			return found{}, err
		}
		f, err := os.Open(r.q.path(s.number))
		if err != nil {
			return found{}, err
		}
		r.file, r.open = f, s.number
	}
	if err := r.read(min(headerBytes, s.size-r.pos.offset)); err != nil {
		return found{}, err
	}
	if len(r.raw) == headerBytes && string(r.raw[:4]) == magic {
		n := int64(binary.LittleEndian.Uint32(r.raw[4:]))
		if n <= int64(maxCompressed()) && headerBytes+n <= s.size-r.pos.offset {
			if err := r.read(headerBytes + n); err != nil {
				return found{}, err
			}
			if f, ok := parse(r.raw); ok {
				return f, nil
			}
		}
	}
	if err := r.read(s.size - r.pos.offset); err != nil {
		return found{}, err
	}
	f, skipped, ok := next(r.raw, 0)
	if !ok {
		return found{}, errRest
	}
	r.q.spoil(s.number, skipped)
	r.pos.offset += skipped
	return f, nil
}

func (r *Reader) read(n int64) error {
	if int64(cap(r.raw)) < n {
		r.raw = make([]byte, n)
	}
	r.raw = r.raw[:n]
	_, err := io.ReadFull(io.NewSectionReader(r.file, r.pos.offset, n), r.raw)
	return err
}

// spoil counts bytes of a segment that hold no good record.
func (q *Queue) spoil(number uint64, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.DamagedBytes += bytes
	for i := range q.segments {
		if q.segments[i].number == number {
			q.segments[i].damaged = true
		}
	}
}

// Close gives the reader's file free.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
