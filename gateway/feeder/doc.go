// Package feeder keeps the supply of a whole shed below what its cable and its
// breaker carry, as pure arithmetic: (limits, state, loads, now) → who is held
// open.
//
// # Model
//
// Two limits. From the soft one on nothing new begins: a start is refused, and
// what is plugged in waits. When the shed draws more than the hard one for
// [Limits.Delay], the outlet whose session is the youngest is held open, then,
// [Limits.Settle] later, the next, until the shed draws no more than that limit.
// Whoever came first is served to the end.
//
// What was held open is given back by itself, the oldest first and one at a
// time, once what it will draw has fitted below the soft limit for Settle. Between
// the two limits nothing is shed and nothing is given back, so that a steady load
// never makes an outlet switch twice.
//
// # What counts
//
// An outlet counts with what its meter shows, and from the moment its relay
// closes until [Ramp] later with what its session is expected to draw, if that is
// more. One whose meter is silent counts with the last power it drew, and with
// its rated power as long as it is fed and that is not known; never as nothing.
// Only a reading taken after its relay opened takes it out of the sum. A session
// that another cause suspended keeps its place: what it drew stays reserved.
//
// A meter of the whole feeder, where there is one, counts instead of the sum,
// unless the outlets' own meters show more.
//
// # Caveats
//
// Loads that no outlet meters, such as the light of the shed, are seen by a
// feeder's own meter only; without one the limits must leave room for them.
//
// The breaker remains what protects the cable from a short circuit and from
// whatever happens faster than Delay.
package feeder
