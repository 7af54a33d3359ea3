package alarm

import "time"

// Disk is the seam that tests put a failing file system into.
type Disk = disk

// OpenOn is Open on a disk of the test's.
func OpenOn(opts Options, d Disk, now time.Time) (*Book, error) { return open(opts, d, now) }

// Seal appends the line with the checksum.
func Seal(line []byte) []byte { return seal(line) }

// Again decodes a file, encodes it and decodes that.
func Again(b []byte) (first, second []byte, err error) {
	f, err := decode(b)
	if err != nil {
		return nil, nil, err
	}
	if first, err = encode(f); err != nil {
		return nil, nil, err
	}
	g, err := decode(first)
	if err != nil {
		return nil, nil, err
	}
	second, err = encode(g)
	return first, second, err
}

// MaxWaiting bounds the events that wait for the outbox.
const MaxWaiting = maxWaiting
