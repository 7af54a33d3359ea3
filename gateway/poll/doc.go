// Package poll owns one I²C bus of meters and thermometers: when each chip is
// read, how old and how trustworthy its value is, and what a dead one may cost.
//
// # Model
//
// A [Line] is one bus. [Line.Tick] reads every chip that is due, the one that
// waited longest first, and hands each outlet to a visitor the moment its meter
// was read, so that the visitor can act on one meter before the next is read.
// The thermometer of an outlet is read just before its meter, while a mux in
// between already has their port selected.
//
// A reading has an age and a [shedguard.Quality]. A read that failed leaves the
// last good value and makes it suspect; without a good one for [StaleAfter] it
// is stale; a value that is not finite is a fault and is never handed on. A jump
// of more than [GlitchWatts] from one sample to the next makes that one sample
// suspect, and it is still handed on: whoever looks for a short circuit must see
// it.
//
// A visitor is called for an outlet in every period, also while its meter is
// not tried: an outlet whose meter died grows old in front of its visitor.
//
// # What a dead chip costs
//
// A bus that hangs makes every transaction wait for a time-out. So after a
// chip's last read failed, its further attempts share one tenth of the bus time
// with all other failing chips, in turn; after [DeadAfter] failures in a row it
// is tried once a second at most. Failures within one tick may take
// [FailureBudget]; what is left untried then is tried in its next period.
//
// # A dead bus
//
// When the last read of every chip on the line failed, and at least [DeadAfter]
// in a row, the bus is at fault: [Line.Fault] tells, and the recovery hook is
// called, at once and then after 1, 2, 4 … 30 s. Any chip that answers ends the
// fault, and all others are tried again in their next period.
//
// # Caveats
//
// A Line is for one goroutine; only [Line.Stats] may be called from others. A
// bus that never returns from a transaction blocks Tick: the caller needs a
// deadline of its own.
package poll
