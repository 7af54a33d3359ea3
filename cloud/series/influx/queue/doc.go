// Package queue is a durable queue in a folder: records go in at one end, are
// read in order, and leave once they are confirmed.
//
// # Model
//
// Records are appended to segment files and never changed. A segment is
// removed when every record of it is confirmed, so that the folder gives its
// space back; this, and one sequential write per commit, is why it is files
// and not a bbolt database, whose file never shrinks and whose every commit
// rewrites pages. Put returns once the records are forced to the disk; all
// who wait share one fsync. A record carries a CRC-32C and is kept compressed.
//
// A [Reader] walks the records without taking them out. Its owner confirms a
// position when everything before it has arrived for good, and rewinds to the
// confirmed position when it has reason to doubt what was sent. The confirmed
// position is remembered without fsync: after a crash some records may be read
// again, none is skipped. Delivery is therefore at least once.
//
// # Bounds
//
// The segments together never exceed Options.MaxBytes; a Put beyond it fails
// with [ErrFull] and changes nothing. Nothing is ever dropped to make room.
//
// # Damage
//
// A torn end of a segment is what a crash leaves; it was never acknowledged
// and is cut. A bad record with good ones behind it is skipped and counted,
// and the segment is kept aside (the newest few of them) as <segment>.damaged
// instead of being removed. A failed write or fsync fails every Put that
// shared it; the file is closed for good and the next Put starts a new one,
// because what a file holds after a failed fsync cannot be known.
package queue
