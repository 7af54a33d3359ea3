// Package evidence keeps pictures and clips of incidents on the box's disk.
//
// # Model
//
// A [Ring] holds the last seconds of a camera in memory, as JPEG. When something is
// seen, a [Store] writes a snapshot, and a clip that begins with the ring and goes
// on for a while: Motion JPEG in an AVI file, which every player shows and which
// needs no encoder.
//
// # Bounds
//
// A ring is bounded in time and bytes, a clip in bytes, a store in bytes and age:
// [Store.Prune] deletes the oldest files first. A file is written beside its name and
// renamed when it is whole; what a crash left half written is deleted by the next
// [Open].
//
// # Caveats
//
// A full disk makes evidence fail and nothing else: the alarm goes out without its
// picture. Pictures are not synced to disk one by one.
package evidence
