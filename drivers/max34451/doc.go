// Package max34451 reads the Maxim MAX34451, a monitor of 16 voltages or currents
// and five temperatures, over PMBus.
//
// # Model
//
// The chip measures by itself and keeps the last results in words of PMBus direct
// format (see package pmbus), one page for each channel and each sensor.
// [Dev.Sense] turns to the page of each channel that is used, and reads:
//
//	0xE4  MFR_CHANNEL_CONFIG, which says whether this is a voltage or a current
//	0x46, 0x4A  the limits of overcurrent, if there are any
//	0x8B  READ_VOUT, 1 mV a step, or
//	0x8C  READ_IOUT, 10 mA a step
//	0x00  PAGE
//
// The page is read last: it proves that the words belong to the channel. Reading the
// configuration first also gives the chip the 50 µs that it needs after a change of
// page (at 400 kHz it takes 120 µs).
//
// A chip that lost its supply has the configuration of its flash. If a channel or a
// limit is not what [Dev.Configure] left, Sense fails with [ErrReset] and Configure
// brings everything back. If all happen to be, nothing was lost.
//
// The chip compares the current of a channel with Warn and Fault by itself. What it
// does then (warn, cut a supply, pull a pin) is the configuration of the board.
// Program the limits from the rating of the outlets.
//
// # Sources
//
// Linux hwmon/pmbus/max34440.c (scales, channel configuration, the wait of 50 µs,
// the limits of overcurrent swapped in revisions below 0x0012) and QEMU
// hw/sensor/max34451.c (pages, commands, identity 0x4D, millivolts and hundredths of
// a degree). They agree; the scale of the current is known from Linux alone. The
// datasheet was not read.
//
// # Caveats
//
//   - Not verified on silicon by this project, and no bytes of a real chip were
//     found.
//   - The chip scales voltages by VOUT_SCALE_MONITOR and currents by IOUT_CAL_GAIN,
//     which belong to the board and are in its flash. This package leaves both alone;
//     how they are scaled was found in no source that could be checked.
//   - Sequencing, margining, the fault log and fault responses are left out. A
//     channel that sequences a supply is read as a voltage and never made a current.
//   - QEMU's chip has no revision and sends ones, so that limits are an error there;
//     without limits the revision is not asked. Its current is 0 for good.
//   - Without PEC a word of all ones, one step below zero, is an error.
//   - A Dev is for one goroutine, and the only one who turns pages. It never retries,
//     sleeps or logs.
package max34451
