// Package alarm keeps the alarm book of a gateway: every fault has one
// identity from the moment it is first seen until it clears, over restarts.
//
// # Model
//
// The book is told levels, not changes: what stands and what is latched for
// one subject. From that and from what it remembers it works out what to say:
// raised, updated, cleared. An update is said only when the value moved by
// more than a tenth of its limit or the severity or action changed, and at
// most once in ten seconds an alarm.
//
// # What comes and goes
//
// With a [Damping], what neither is critical nor made the gateway act is told
// once it has stood for a moment, and an alarm clears once its fault has been
// gone for a while: a fault that returns meanwhile is the same alarm. One that
// comes too often flaps: its alarm stays open, says how often it came, and clears
// after a long calm; a critical fault is still said each time it comes, and
// what gets more severe is said at once. How often a fault came is on disk.
//
// An [Inhibition] lets one alarm stand for others: the fault of a bus for the
// silent meters on it, which it lists. What outlives it is raised when it ends.
//
// # Durability
//
// One file holds the open alarms (and with them the latches), the events not
// yet handed to the outbox, heat images and running sessions. It is one line
// of JSON and one line with its SHA-256, written beside, synced, renamed, and
// its folder synced. A change and its event are on disk together before the
// event is handed on, and an event is forgotten only after the outbox took
// it: a crash at any point repeats events with their ids and loses none.
//
// A file that cannot be read is set aside under another name, and every
// outlet starts latched with state_lost: nobody knows any more which trip a
// person has yet to look at. The start is never refused.
//
// # Caveats
//
// When the disk cannot be written, alarms still go out; the error is returned,
// and the book writes again with the next call. What is lost by a crash then
// is the identity of alarms that were raised meanwhile.
//
// Nothing waits for the disk: a relay opens, and a page shows the alarm, before
// the first write of it has returned. A crash or power cut within that write,
// milliseconds on a good card, forgets the latch; the fault trips again if it
// still stands.
//
// The book runs no goroutine. Its methods may be called from several; writers
// take turns.
package alarm
