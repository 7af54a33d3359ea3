// Package charge follows the charging curve on one outlet: which phase it is
// in, whether the battery is full, and whether power does what no healthy
// charge does. Pure steps from (settings, state, input, now) to an [Outcome].
//
// # Model
//
// Readings are gathered into slots of ten seconds by the time that each was
// valid; the level is the median of the last five slots, so that an inrush, a
// glitch or a pulsing charger does not show. Everything slow is decided on
// levels, at the end of a slot. The plateau is the highest level of the charge
// that runs, and nearly every limit is a share of it: 4 W are a full battery
// behind a 100 W charger, and 60 W may be one behind a 1200 W charger.
//
//   - inrush, until the first level is known;
//   - constant_current, where power may rise slowly with the battery's voltage;
//   - constant_voltage, once power has fallen from the plateau for two minutes;
//   - trickle, once it is as low as a full battery draws;
//   - full, once it has been so for long enough. A charge whose power never was
//     that of a charge is idle_load instead. Both end the session.
//
// A fall to next to nothing from above a third of the plateau is somebody
// pulling a plug; from below, it is the charger that ends its work.
//
// [Finding]s are graded: a notice near the limit is for the log only, a warning
// raises an alarm, and at twice the limit it is major, which is where a rule
// that may act does. A finding stands until its charge is over.
//
// # Envelope
//
// After each charge that was healthy and came to its end, a few numbers are
// kept: how long power took from one tenth of the plateau to the next, how long
// the charge took, by how much power rose. Median and median absolute deviation
// of the last nine charges say what is usual at this outlet. An outlet with many
// kinds of vehicles thereby gets wide limits, and one with a single vehicle
// narrow ones.
//
// # Caveats
//
// Where the mains voltage is measured, a change of power that it explains
// (power by its square, as in a transformer) is no change. Only good readings
// count, and no time in which nothing is known. The outcome does not depend on
// how often Next is called between two readings.
//
// A reading that is held for minutes shows a fast taper as steps; a fall is
// therefore judged as a step only if power then stays where it is for a quarter
// of an hour.
//
// Next allocates nothing. Not safe for concurrent use of one State.
package charge
