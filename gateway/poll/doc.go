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
// # Frozen words
//
// A meter that stopped measuring goes on answering. Its register words are
// compared from read to read: when all of them, volts and amperes at least, stay
// the same to the last bit for the time that [Frozen] says while a current
// flows, or for longer while there is mains voltage, the reading is a fault ([ErrFrozen]) until a bit moves. A value that
// merely repeats is none: how long words may honestly repeat depends on what one
// bit of the chip is worth.
//
// # What a dead or slow chip costs
//
// A bus that hangs makes every transaction wait for a time-out. So after a
// chip's last read failed, its further attempts share one tenth of the bus time
// with all other failing chips, in turn; after [DeadAfter] failures in a row it
// is tried once a second at most. Failures within one tick may take
// [FailureBudget]; what is left untried then is tried in its next period.
//
// Chips that fail, and those whose reads take much longer than is usual on the
// bus, are read after all others that are due, and only when they are likely to
// be done before the next one is: a sound meter keeps its times. One that finds
// no such gap waits for it, a slow one for 2 s and a failing one for 20 s at
// most.
//
// # A dead bus
//
// When three chips that were good fail one after the other, and so does the one
// that answered last, it is the bus; likewise when the last read of every chip
// failed, and at least [DeadAfter] in a row. The [Rung]s of the ladder are then
// tried, one in each tick, the mildest first, and after each a chip is asked
// whether it helped. When none did, the fault says what was tried and what came
// of it, and the ladder is climbed again after 1, 2, 4 … 30 s. Any chip that
// answers ends the fault, and all others are tried again in their next period.
//
// A bus that a rung freed may have hung on one chip, as when a part behind a mux
// holds its line low. The first chip that did not answer is set aside for 1 s,
// and for twice as long each time that the bus hangs on it again, up to 30 s:
// the others are read meanwhile. [Line.Fault] names it until the bus has not hung
// on it for a minute.
//
// # Caveats
//
// A Line is for one goroutine; only [Line.Stats] may be called from others. A
// bus that never returns from a transaction blocks Tick: the caller needs a
// deadline of its own.
package poll
