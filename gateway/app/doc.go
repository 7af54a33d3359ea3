// Package app wires a gateway together and gives every part its fate.
//
// # Order
//
// [New] writes all outlets open before anything else, then reads back what
// outlives a restart, and builds the parts. [App.Run] starts the guard first.
// At the end the guard ends first and opens the relays; then what it had to say
// is written down, sent if the link allows it within [Grace], and closed.
//
// # Fate
//
//   - The guard and its deadline: their end is the end of the program.
//   - Alarms, telemetry, uplink, clock, status page: each runs by itself. One
//     that errs or panics is logged and started again, after a pause that grows
//     to a minute. The guard does not notice.
//
// # Caveats
//
// App opens no hardware and reads no flags: buses and pins are given to it. It
// never ends the process; Options.Expired does, when the guard stands still.
package app
