// Package book is the alarm book of the collector: sheds, alarms with their
// history, statuses, replies, users and the audit trail, in one SQLite file.
//
// # What is kept
//
// Every event of a gateway is kept once, by its source and CloudEvents id.
// An alarm is what its events say, in whatever order they came: the details
// are those of the newest event (by boot, then sequence number), and an alarm
// that was once cleared stays cleared, because its identity ends there. So
// replays, duplicates and events out of order all end in the same alarm. The
// gateway owns raising and clearing; acknowledgement is owned here.
//
// Pictures belong to an alarm, or to the command that asked for one: a
// gateway answers that with a picture under the command's id, and such an id
// never becomes an alarm. Of each camera the last one is kept.
// [Book.PrunePictures] bounds them by age and size.
//
// # What a nil error means
//
// A write that returned nil is on the disk (write-ahead log, synchronous
// FULL): it survives kill -9 and a power cut. Every write may be repeated.
//
// # Caveats
//
// When a shed was last seen is exact in memory and written by
// [Book.FlushSeen]; a crash loses at most what came since. A damaged file is
// never repaired or made anew by this package: [Open] says what to do, a person
// decides. One collector at a time opens a book; a command of the same version
// may change tokens beside it.
package book
