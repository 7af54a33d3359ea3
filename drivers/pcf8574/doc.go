// Package pcf8574 drives the outputs of the NXP and TI PCF8574 and PCF8574A,
// eight-pin I²C expanders, and of the sixteen-pin PCF8575, such as relays that
// close on a low pin.
//
// # Model
//
// Pins are bits of a uint16: P0 is bit 0; a PCF8575 calls bits 8 to 15 P10 to
// P17. The chip has no registers. A byte that is written (two for a PCF8575, the
// lower pins first) is the latch; a byte that is read is the pins. A latch bit of
// 0 pulls its pin low with a transistor that can drive a relay's input; a bit of
// 1 leaves the pin to a current source of 0.1 mA. So a pin is an output that can
// only sink, or an input whose latch is 1: [Dev.Set] writes 1 to all pins that
// are not in Opts.Outputs.
//
// After power-on all pins are high, and there is nothing to set up: Configure is
// Set and Check. Wire relays so that a high pin opens them.
//
// The latch cannot be read. [Dev.Latch] therefore reads the pins of the outputs:
// what the board shows, which is what was written unless something else pulls a
// high pin down or a low pin up. [Dev.Check] does what can be done: an output
// that was driven low and reads high means that the chip lost its latch
// (ErrReset). A loss of supply while all outputs were high changes nothing and
// is not seen.
//
// # When the program is gone
//
// [Open] drives all outputs to Opts.Initial with a single write of one byte (two
// for a PCF8575); whatever state the chip is in, no shorter way exists.
//
// # Sources
//
// NXP PCF8574/PCF8574A data sheet, rev. 5, section 8.1 (quasi-bidirectional pins,
// all high at power-on with 100 µA) and tables 4 and 5 (addresses 0x20 to 0x27,
// 0x38 to 0x3F). In agreement: esphome pcf8574, RobTillaart PCF8574, and the
// recordings in periph devices/pcf857x; three captures of a real PCA9571, the
// same chip as an output only, in sigrok-dumps.
//
// # Caveats
//
//   - A bus that is stuck high reads as pins all high: Check tells that as a
//     reset as soon as an output is low.
//   - A line that is held low reads as all outputs low; the bus reports that by a
//     time-out.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package pcf8574
