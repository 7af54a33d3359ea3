// Package guard is the one short straight line that protects the outlets of a
// shed: read a meter, judge, write the relay, then the next meter.
//
// # Model
//
// A [Guard] runs one goroutine for each bus, a [poll.Line]. Each sample goes
// through protect first; what must open is written before anything else is
// looked at, and the time from the sample to the confirmed relay is measured.
// Then session says what it wishes, and an outlet is closed only when
//
//   - a good reading of it was taken in this very step,
//   - nothing stands or is latched against it, and its relay obeys,
//   - Options.Stagger has passed since the last closing anywhere in the shed.
//
// Where all outlets share a [Feeder], each line writes what it knows of its
// outlets into atomics, and whichever line comes by when it is time adds the shed
// up and decides who is held open; the outlet's own line acts with its next
// sample. No line waits for another.
//
// [Guard.Order] is carried out between two samples, by the goroutine that owns
// the outlet.
//
// # What hangs off it
//
// Nothing on the line waits for anybody. [Guard.Snapshot] is a copy; a line that
// finds it being copied publishes with its next sample. [Guard.Samples] is a
// queue that drops, and counts, when it is full. [Guard.Changes] is a queue of
// levels: when it is full, the outlet stays marked and its change is sent with a
// later sample, whole, with every relay operation and session step since the
// last one; what does not fit even there is counted in Missed.
//
// # When it goes wrong
//
// At the end of a tick in which every line completed its work, and only then,
// the deadline is kicked, the enable line toggled and the watchdog fed. A panic
// opens all relays and is returned as an error, as is every other end of Run.
// A relay that cannot be written is relay_failed and is tried again with every
// tick; a welded relay, or a relay that fails while its outlet must be open,
// sounds the siren. So does fire, and a smoke contact that cuts: from the tick
// that hears it, whether or not its outlets have samples.
//
// # Caveats
//
// A guard that is blocked inside a bus transaction opens nothing; package
// actuate tells what does then. Run and Tick must not run at the same time, and
// a guard that has ended is not started again.
package guard
