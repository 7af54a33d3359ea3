// Package embedded is the series store that needs no other program: a
// Prometheus time-series database in a folder of this machine.
//
// # What is durable
//
// Append returns nil once the batch is in the write-ahead log, that is, handed
// to the kernel by write(2). It survives the death of the process, kill -9
// included. It is not forced to the disk: a power cut may take what the kernel
// had not written back yet, on Linux usually the last 5 to 30 seconds. Alarms
// do not live here; the book commits those to the disk.
//
// # What is accepted
//
// Points up to 8 days behind the newest point of the whole store are accepted
// in any order, which is the window of a gateway's backfill. Because that
// window is measured from the newest point, one point from the future would
// close it for everybody: points more than Options.Ahead before this machine's
// clock are refused here too, whatever the caller checked. A point that says
// the same again is stored once. A point that gives another value for a
// millisecond that is the newest of its series is refused and counted; behind
// the newest, the value that was stored first is kept.
//
// # Damage
//
// A torn or flipped write-ahead log is cut at the damage by the database
// itself. What that cannot mend (a block without its index, chunks that
// contradict the log) is moved to a folder beside the store, named
// <folder>.corrupt-<time>, and the store starts with what is left. Both are
// logged and counted in [Stats]; nothing is deleted. Errors that say nothing
// about the content (permission, a full disk, another process that holds the
// folder) are returned and move nothing.
//
// # Retention
//
// Whole blocks leave when they are older than Options.Retention, or when all
// blocks together are larger than Options.MaxBytes, oldest first. The
// write-ahead log and the newest two to three hours are not part of that sum.
package embedded
