package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// The form of a bbolt file, as far as verify reads it. Numbers are
// little-endian on every machine the gateway runs on.
const (
	pageHeaderBytes   = 16
	elementBytes      = 16
	bucketHeaderBytes = 16
	metaBytes         = 64
	boltMagic         = 0xED0CDAED
	boltVersion       = 2
	flagBranch        = 0x01
	flagLeaf          = 0x02
	flagFreelist      = 0x10
	flagBucket        = 0x01 // of a leaf element
	noFreelist        = ^uint64(0)
	maxDepth          = 64
)

// verify reads the structure of the bbolt file at path with plain reads and
// reports errBroken when bbolt would panic, fault or overwrite live pages over
// it. A file that is missing or empty is well. The content of values is not
// looked at: records carry their own checksum.
//
// bbolt itself trusts its pages, and part of its own check runs on a goroutine
// whose panic would end the process: so the check comes before the opening.
func verify(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return nil
	}
	w := walker{r: f, size: uint64(info.Size()), seen: make(map[uint64]struct{})}
	return w.file()
}

// walker visits every page of a file once.
type walker struct {
	r        io.ReaderAt
	size     uint64 // of the file
	pageSize uint64
	pages    uint64 // high-water mark
	seen     map[uint64]struct{}
}

func broken(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errBroken}, args...)...)
}

func (w *walker) file() error {
	var root, freelist, txid uint64
	found := false
	// The second meta page lies one page in; the page size is in either.
	for _, at := range []uint64{0, 1024, 2048, 4096, 8192, 16384, 32768, 65536} {
		m := make([]byte, pageHeaderBytes+metaBytes)
		if _, err := w.r.ReadAt(m, int64(at)); err != nil {
			continue
		}
		m = m[pageHeaderBytes:]
		size := uint64(binary.LittleEndian.Uint32(m[8:]))
		h := fnv.New64a()
		_, _ = h.Write(m[:56]) // never fails
		if binary.LittleEndian.Uint32(m) != boltMagic || binary.LittleEndian.Uint32(m[4:]) != boltVersion ||
			h.Sum64() != binary.LittleEndian.Uint64(m[56:]) || at != 0 && at != size {
			continue
		}
		if id := binary.LittleEndian.Uint64(m[48:]); !found || id > txid {
			found, txid = true, id
			w.pageSize = size
			root = binary.LittleEndian.Uint64(m[16:])
			freelist = binary.LittleEndian.Uint64(m[32:])
			w.pages = binary.LittleEndian.Uint64(m[40:])
		}
	}
	if !found {
		return broken("no valid meta page")
	}
	if w.pageSize < 1024 || w.pageSize > 65536 || w.pages < 2 || w.pages > w.size/w.pageSize {
		return broken("%d pages of %d bytes in %d bytes", w.pages, w.pageSize, w.size)
	}
	if err := w.tree(root, 0); err != nil {
		return err
	}
	if freelist == noFreelist {
		return nil
	}
	return w.freelist(freelist)
}

// claim notes that a page and its overflow are in use, once.
func (w *walker) claim(id, overflow uint64) error {
	if id < 2 || id >= w.pages || overflow >= w.pages-id {
		return broken("page %d with %d more: want within %d", id, overflow, w.pages)
	}
	for i := id; i <= id+overflow; i++ {
		if _, twice := w.seen[i]; twice {
			return broken("page %d: used twice", i)
		}
		w.seen[i] = struct{}{}
	}
	return nil
}

// page reads a page's header and claims it.
func (w *walker) page(id uint64) (flags, count uint16, overflow uint64, err error) {
	var h [pageHeaderBytes]byte
	if id < 2 || id >= w.pages {
		return 0, 0, 0, broken("page %d: want within %d", id, w.pages)
	}
	if err := w.read(h[:], id*w.pageSize); err != nil {
		return 0, 0, 0, err
	}
	flags, count = binary.LittleEndian.Uint16(h[8:]), binary.LittleEndian.Uint16(h[10:])
	overflow = uint64(binary.LittleEndian.Uint32(h[12:]))
	if got := binary.LittleEndian.Uint64(h[:]); got != id {
		return 0, 0, 0, broken("page %d: says it is %d", id, got)
	}
	return flags, count, overflow, w.claim(id, overflow)
}

func (w *walker) read(b []byte, at uint64) error {
	if at > w.size || uint64(len(b)) > w.size-at {
		return broken("%d bytes at %d of %d", len(b), at, w.size)
	}
	if _, err := w.r.ReadAt(b, int64(at)); err != nil {
		return fmt.Errorf("read at %d: %w", at, err)
	}
	return nil
}

// tree walks a bucket from its root page.
func (w *walker) tree(id uint64, depth int) error {
	flags, count, overflow, err := w.page(id)
	if err != nil {
		return err
	}
	room := (overflow + 1) * w.pageSize
	if depth > maxDepth || pageHeaderBytes+uint64(count)*elementBytes > room {
		return broken("page %d: %d elements at depth %d", id, count, depth)
	}
	at := id * w.pageSize
	elements := make([]byte, int(count)*elementBytes)
	if err := w.read(elements, at+pageHeaderBytes); err != nil {
		return err
	}
	switch flags {
	case flagLeaf:
		return w.leaf(elements, at, room, depth)
	case flagBranch:
		if count == 0 {
			return broken("page %d: branch without children", id)
		}
		var before []byte
		for i := range int(count) {
			e := elements[i*elementBytes:]
			pos, size := uint64(binary.LittleEndian.Uint32(e)), uint64(binary.LittleEndian.Uint32(e[4:]))
			key, err := w.key(at, room, pageHeaderBytes+uint64(i)*elementBytes+pos, size)
			if err != nil {
				return err
			}
			if i > 0 && string(before) >= string(key) {
				return broken("page %d: keys out of order", id)
			}
			before = key
			if err := w.tree(binary.LittleEndian.Uint64(e[8:]), depth+1); err != nil {
				return err
			}
		}
		return nil
	default:
		return broken("page %d: kind %#x", id, flags)
	}
}

// key reads a key that must lie within the room bytes that start at base.
func (w *walker) key(base, room, from, size uint64) ([]byte, error) {
	const maxKey = 32768
	if size == 0 || size > maxKey || from > room || size > room-from {
		return nil, broken("key of %d bytes at %d of %d", size, from, room)
	}
	b := make([]byte, size)
	return b, w.read(b, base+from)
}

// leaf walks the elements of a leaf page, which may be one that lies within
// another page's value: an inline bucket.
func (w *walker) leaf(elements []byte, base, room uint64, depth int) error {
	var before []byte
	for i := range len(elements) / elementBytes {
		e := elements[i*elementBytes:]
		flags, pos := binary.LittleEndian.Uint32(e), uint64(binary.LittleEndian.Uint32(e[4:]))
		keySize, valueSize := uint64(binary.LittleEndian.Uint32(e[8:])), uint64(binary.LittleEndian.Uint32(e[12:]))
		from := pageHeaderBytes + uint64(i)*elementBytes + pos
		key, err := w.key(base, room, from, keySize)
		if err != nil {
			return err
		}
		if i > 0 && string(before) >= string(key) {
			return broken("keys out of order at %d", base)
		}
		before = key
		from += keySize
		if valueSize > room-from {
			return broken("value of %d bytes at %d of %d", valueSize, from, room)
		}
		switch flags {
		case 0:
		case flagBucket:
			if err := w.bucket(base+from, valueSize, depth); err != nil {
				return err
			}
		default:
			return broken("element kind %#x", flags)
		}
	}
	return nil
}

func (w *walker) bucket(at, size uint64, depth int) error {
	var h [bucketHeaderBytes]byte
	if size < bucketHeaderBytes {
		return broken("bucket of %d bytes", size)
	}
	if err := w.read(h[:], at); err != nil {
		return err
	}
	if root := binary.LittleEndian.Uint64(h[:]); root != 0 {
		return w.tree(root, depth+1)
	}
	var page [pageHeaderBytes]byte
	if size < bucketHeaderBytes+pageHeaderBytes {
		return broken("inline bucket of %d bytes", size)
	}
	at, size = at+bucketHeaderBytes, size-bucketHeaderBytes
	if err := w.read(page[:], at); err != nil {
		return err
	}
	flags, count := binary.LittleEndian.Uint16(page[8:]), binary.LittleEndian.Uint16(page[10:])
	if flags != flagLeaf || pageHeaderBytes+uint64(count)*elementBytes > size || depth > maxDepth {
		return broken("inline bucket of kind %#x with %d elements in %d bytes", flags, count, size)
	}
	elements := make([]byte, int(count)*elementBytes)
	if err := w.read(elements, at+pageHeaderBytes); err != nil {
		return err
	}
	return w.leaf(elements, at, size, depth+1)
}

// freelist checks that no page that may be overwritten is in use.
func (w *walker) freelist(id uint64) error {
	flags, small, overflow, err := w.page(id)
	if err != nil {
		return err
	}
	if flags != flagFreelist {
		return broken("page %d: kind %#x: want the free list", id, flags)
	}
	at, count, room := id*w.pageSize+pageHeaderBytes, uint64(small), (overflow+1)*w.pageSize-pageHeaderBytes
	if small == 0xFFFF { // the count did not fit and stands first in the list
		var first [8]byte
		if err := w.read(first[:], at); err != nil {
			return err
		}
		count = binary.LittleEndian.Uint64(first[:])
		at, room = at+8, room-8
	}
	if count > room/8 {
		return broken("free list of %d pages in %d bytes", count, room)
	}
	ids := make([]byte, count*8)
	if err := w.read(ids, at); err != nil {
		return err
	}
	for ; len(ids) > 0; ids = ids[8:] {
		if err := w.claim(binary.LittleEndian.Uint64(ids), 0); err != nil {
			return fmt.Errorf("free list: %w", err)
		}
	}
	return nil
}
