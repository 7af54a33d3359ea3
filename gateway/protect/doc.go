// Package protect decides, from one sample to the next, whether an outlet may
// stay fed: pure arithmetic from (limits, state, input, now) to a verdict.
//
// # Model
//
// [Limits] say what an outlet may do, [State] is what must be remembered
// between two samples, [Limits.Next] takes both one step further. A [Verdict]
// lists one [Decision] a cause that stands or is latched.
//
//   - short_circuit: a multiple of the rating on two or more distinct
//     conversions that span a minimum time.
//   - overcurrent: a thermal image in the manner of IEC 60255-149. The heat
//     moves towards (I / (pick-up × rating))² with one time constant while it
//     rises and a longer one while it falls, and trips at 1. The step is the
//     exact exponential, so it does not matter how samples are spaced.
//   - overpower and over_temperature: a limit exceeded from one sample to
//     another at least a delay later, with no sample at or under the limit
//     between them.
//   - overvoltage and undervoltage: likewise, with a limit of their own for
//     being over. They suspend by default: the fault is in the supply, nobody at
//     the box can mend it, and it goes away without one. An open outlet whose
//     meter shows next to no voltage says nothing of the supply.
//   - residual_current: two samples or more, where the meter measures it.
//   - temperature_rise: the median of three samples against the lowest such
//     median within a window, so that one wrong sample is never a rise.
//   - meter_implausible: power that does not fit volts and amps, or a meter that
//     answers and measures nothing.
//   - meter_stale: no usable reading for too long, also before the first one.
//     A thermometer that has fallen silent counts too.
//   - relay_welded: current although the relay was told to open.
//
// A rule decides on a sample and never between samples; only meter_stale and
// meter_implausible decide on the lack of one. Calling Next more often, without a new sample,
// therefore changes no decision. Between two samples the earlier current is
// held, at most for the stale limit; after that the heat image stands still,
// because nothing is known: it does not cool on hope.
//
// # Acts
//
// Each rule says what is done about what it finds: [ActReport] raises the alarm
// and leaves the outlet as it is, [ActSuspend] opens it while the condition
// stands, [ActTrip] opens it for good. A trip is a latch: it stays, whatever the
// meter says, until [Limits.Reset], which refuses while a cause that opens still
// stands, or while nobody can say. A rule whose condition goes away because the
// outlet is open cannot suspend, and the lack of a meter cannot only be reported.
//
// # Conditions
//
// What others find goes through the same door: a [Condition] in the input is
// held, latched, reset and told like a decision of a rule here, so that there is
// one holder of latches. Two that name the same cause do not end what the other
// one says, and the stronger of them counts.
//
// # Caveats
//
// A reading that is not finite, or whose quality is stale or fault, is no
// reading: it changes nothing and lets the age grow. A suspect reading counts,
// because a glitch filter must never hide a short circuit. Currents and powers
// are taken by magnitude, so a meter wired backwards still protects.
//
// A conversion speaks until the next one. Sampled slower than 5 times a second,
// the thermal image may take a charger's inrush for a current that flows.
//
// The package holds no clock, does no input or output, allocates nothing in
// Next and is not safe for concurrent use of one State.
package protect
