// Package pca9554 drives the outputs of the eight-pin I²C expanders NXP PCA9554
// and PCA9554A, TI TCA9554 and TCA6408A, and Maxim MAX7310, such as the relays
// of a shed.
//
// # Model
//
// Pins are the lower eight bits of a uint16; the upper eight have no effect and
// read 0. Opts.Outputs says which pins are outputs; the others stay inputs. The
// chip has one register for each thing: input 0, output latch 1, polarity of the
// input 2, direction 3 (1 is an input). The latch of a fresh PCA9554 is HIGH on
// all pins, so [Dev.Configure] writes it before the direction, and no relay
// chatters:
//
//	02 00           polarity: not inverted; the MAX7310 wakes up with 0xF0
//	01 latch        what the pins are to show
//	03 inputs       direction: outputs drive
//	01 latch        once more, for a chip that has no latch behind an input
//
// and reads polarity, direction and latch back. [Dev.Set] then is one write of
// two bytes. [Dev.Latch] reads the latch of the outputs from the chip, [Dev.Pins]
// the levels at all pins.
//
// A chip that loses its supply makes all pins inputs, which the board must pull
// to the safe side. [Dev.Check] notices (ErrReset), and only Configure, with a
// latch that the caller chooses anew, takes the pins up again.
//
// # When the program is gone
//
// [Open] knows nothing of the state of the chip and drives all outputs to
// Opts.Initial with two writes of two bytes: latch, direction. A MAX7310 gets the
// latch once more, for the reason above. Polarity turns only what is read, so
// Open leaves it alone.
//
// # Sources
//
// NXP PCA9554/PCA9554A and TI TCA6408A datasheets, register descriptions. In
// agreement: esphome pca9554, RobTillaart TCA9554, Linux gpio-pca953x (which
// knows the MAX7310 by the same four registers), QEMU hw/gpio/pca9554.c; a
// capture of a real TCA6408A in sigrok-dumps, 377 transfers. The MAX7310's
// polarity of 0xF0 after a reset, its one data byte a message and its inputs
// without a latch are from QEMU hw/gpio/max7310.c alone; no second public source
// was found, nor one for its address range.
//
// # Caveats
//
//   - A MAX7310 as QEMU models it drives a pin low from the moment it becomes an
//     output until the latch is written again: relays that close on a low pin
//     would chatter there once, when it is configured.
//   - Registers cannot be read in one transaction: the pointer does not move.
//   - A line that is held low reads as eight outputs, all low, and passes Check
//     when Opts.Outputs is 0xFF; the bus reports that by a time-out.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package pca9554
