// Package replay runs a recording through the rules of the gateway: the same
// protect and session steps that the guard takes, in virtual time.
//
// # Model
//
// A [Player] is fed samples and steps an outlet through them as the guard would,
// ten times a second. Between two samples the earlier one is held, so that
// delays and the heat image pass as they do in a shed. What the rules say comes
// as an [Event]; [Player.Finish] sums up.
//
// The outlet is fed when the recording begins, its heat image is cold unless
// [Options].Heat says otherwise, and it starts sessions by plug. Once a rule
// has opened it, the recorded load would be without power, so the rest is only
// measured (samples, energy, peaks) and no longer judged, unless
// [Options].ResetAfter stands for a person who resets it.
//
// # What is not recorded
//
// Volts that are missing are [Options].MainsVolts; no rule looks at them. Amps
// that are missing are watts over volts and watts that are missing are volts
// times amps, both at power factor 1: a charger without power factor correction
// draws more amps than that. Where neither is known nothing is judged.
//
// A silence longer than the recording's own sampling explains (ten times the
// usual interval, 30 s to 1 h) is a gap: the last value is held for one usual
// interval, then nothing is known until the next sample. It is no silent meter
// unless [Options].MeterStale says so. A recording of changes has no such gaps.
//
// One sample that is over a limit while its neighbours are not is an inrush: it
// counts as one conversion and is not held, as nobody knows how long it lasted.
// So it shows in the peak and decides nothing by itself; a limit without a delay
// still decides on it. Samples closer together than 10 ms are taken through a
// window of 20 ms, RMS for volts and amps and the mean for watts, as a meter
// does; so an AC waveform can be replayed.
//
// # Caveats
//
// Steps are one second long when for ten seconds nothing was over a limit, no
// threshold of a session was crossed and nothing happened. Rules that look at
// what a recording does not hold (temperature, the relay) are not judged; see
// [Summary].NotJudged.
package replay
