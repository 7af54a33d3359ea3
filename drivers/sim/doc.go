// Package sim is a simulated I²C bus with register-level models of the chips
// that shedguard drives, and with the faults that real buses have.
//
// # Model
//
// A [Bus] is an i2c.Bus. A [Chip] is attached at an address, to the bus or to
// one port of a [PCA9548]; a chip behind a port is reached only while the port
// is selected, and two chips that answer at once drive the bus together (what
// is read is the AND of both), as on real wires. Chips are written from
// register facts and know nothing of the drivers, so that a mistake in one is
// seen by the other.
//
// [Bus.BusTime] is virtual: each transaction costs its bits (start, 9 per
// address and data byte, repeated start, stop) at the speed of the bus, and
// nothing sleeps unless a test asks for it by [Bus.SetDelay].
//
// # Faults
//
// On the bus: [Bus.NACK] (an address does not answer), [Bus.Hold] (a line is
// held low; every transaction times out), [Bus.SetDelay] (transactions take
// real time). On the way to one chip, by the [Wire] that attaching returns:
// [Wire.Cut], [Wire.Float] (reads all ones), [Wire.Flip] (bits flip),
// [Wire.Stretch] (the chip holds the clock: slow, or dead by time-out),
// [Wire.BrownOut] (the supply sags, and the chip comes back reset). In every chip
// Reset (power-on reset in mid-run), and in each that measures by itself Freeze
// (registers stop changing, for good or as long as a slow conversion takes).
// Chips whose conversions are waited for have more of their own: [ADS1115.Slow],
// the write cycle of [AT24], the frames of [MLX90640] that do not come. Behind a
// mux [PCA9548.Hold] (a line of a port is held low).
//
// Everything may be called from any goroutine. Transactions of one bus are
// carried out one at a time; injecting never waits for them.
//
// # Caveats
//
// No arbitration, no 10-bit addresses, no general call.
// The MCP23017 does not raise interrupts. The ACS37800 does not sample: its
// registers hold what Set computed, until the next Set.
package sim
