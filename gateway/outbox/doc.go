// Package outbox keeps what the gateway has to say until somebody has it: a
// durable queue with two lanes in one bbolt file.
//
// # Lanes
//
// The alarm lane holds CloudEvents. [Outbox.PutAlarm] returns nil only after
// the event is on disk (fsync), and the event leaves only when [Outbox.Acked]
// names its id. The telemetry lane holds batches of line protocol. They are
// committed together every few seconds, so a power cut loses at most
// [Options.FlushEvery] of telemetry, and a batch that is delivered before its
// commit is never written: while the link is up the flash sees next to
// nothing. Marks of delivery are committed with the same beat; after a crash
// some records go out again, under the same id and the same timestamps.
//
// # Bounds
//
// Telemetry is bounded in live bytes, oldest dropped first and counted; the
// counts survive a restart. Events of the alarm lane that are not alarms are
// bounded too. Alarms never are, and never give way to telemetry. The file of
// bbolt does not shrink: it stays as large as its largest content was, and
// reuses the room.
//
// # What goes wrong
//
//   - A record whose checksum is wrong is set aside and counted.
//   - A file whose structure is wrong is renamed NAME.corrupt-TIME and kept, a
//     fresh one is started, and every whole alarm found in the old one is
//     taken over; some of those may have been delivered before. Open does not
//     fail for anything that a file holds.
//   - A disk that refuses to write costs telemetry first, oldest first. An
//     alarm that still finds no room is kept in memory and delivered from
//     there; PutAlarm then says so with [ErrMemoryOnly].
//
// # Clocks
//
// A gateway that does not know the time yet puts batches with
// [Telemetry.Synced] false, whose timestamps count from the start of its boot.
// They wait until [Outbox.SetClock] names that instant, and are given real
// timestamps on their way out. Batches of another boot that is still unknown
// when the present boot becomes known are dropped and counted.
package outbox
