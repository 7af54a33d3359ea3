// Package actuate switches the relays of a shed, its siren and its lamp, and
// opens everything when the guard no longer does its work.
//
// # Model
//
// [Relays] keeps, for each expander, the word that its latch is to hold. [New]
// writes every outlet open, whatever state the chips are in, before it returns.
// [Relays.Open] and [Relays.Close] change one bit, write the word and read the
// latch back; a write that fails or reads back different is done once more, then
// it is an error. An expander that cannot be written counts as lost: all its
// outlets are commanded open, so that what it shows next, when it answers again,
// is open; [Relays.Fault] tells. Only a fresh Close feeds an outlet again.
//
// [Relays.Verify] looks for chips that lost their supply in mid-run (every pin
// is an input then) and for latches that somebody else wrote. It never closes an
// outlet: what is found open stays open until it is closed anew.
//
// [Relays.OpenAll] is for good: everything is written open, each expander on its
// own so that one dead bus does not keep the others, and no Close succeeds
// after it.
//
// # Signals and wear
//
// A [Signal] is what siren and lamp tell, each in a rhythm of its own: fire
// without a break, an outlet that stays live in pulses, what cannot be sent by
// short tones and a slowly blinking lamp. The output of the siren must bear to be
// switched once a second: a transistor, not a relay. [Wear] bounds how often a
// relay closes; nothing bounds how often it opens.
//
// # Suppression
//
// A [Suppressor] drives the output of a suppression agent. Only a fire of the
// highest grade on which two independent senses agree arms it, and then a person
// has a window to veto. What it does is on disk before it is done: a restart
// within the window neither forgets nor releases twice. [CheckSuppression] plays
// every cause alone before the output is enabled.
//
// # When the guard stands still
//
// [Deadline] is fed by completed work. When no [Deadline.Kick] came within the
// limit it drops the [Enable] line, opens all relays, and calls Expired, which
// ends the process. It takes no lock of the guard's, and the words it opens with
// are atomics: a guard that is blocked in a transaction, and comes back later
// with a word to close something, finds that word replaced.
//
// # What software cannot do
//
// A relay is opened by software only while its bus lives. When the guard is
// blocked in a transaction on the relays' own bus, the kernel lets no second one
// through: OpenAll waits behind it, the deadline waits for OpenAll no longer
// than its grace, and what opens the relays is the enable line. So either put
// the relays on a bus of their own, which then is free when a meter hangs, or
// wire the enable line: a retriggerable supply of the relay coils, fed by every
// toggle and falling off when the toggles end, at whatever level.
package actuate
