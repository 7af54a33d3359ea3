// Package ade7953 reads the Analog Devices ADE7953, an AC meter with one
// voltage and two current channels, over I²C.
//
// # Model
//
// The chip samples 6990 times a second and keeps RMS values, powers, power
// factors, the period of the line and peaks in registers that can be read at any
// time; [Dev.Sense] reads them. The address of a register says how many bytes it
// has (0x0xx one, 0x1xx two, 0x3xx four; the most significant first). Registers
// of four bytes hold 24 bits, extended by their sign, which is checked.
//
// Bring-up takes time, and a driver does not sleep: the caller waits [PowerUp]
// after power-on, may ask [Dev.Ready], and calls [Dev.Configure]. It writes the
// value that the datasheet requires (0x120, opened by its key), the gains, the
// window of the energies and the limits, reads all back and remembers the
// checksum that the chip computes over its configuration. Every Sense ends by
// comparing that checksum, so that a chip that lost its supply, and with it its
// gains (a gain of 8 that is lost makes 16 A look like 2 A), is an error
// ([ErrReset]) and never a reading. The way back is Configure.
//
// # Scale
//
// A sine of 500 mV peak behind the amplifiers is full scale: 9032007 codes of
// RMS, 6500000 of the waveform, 4862401 of power, 206900 codes of energy a
// second. Everything else is the board: Opts.Divider and Channel.AmpsPerVolt.
//
//	volts = code / 9032007 × 0.5 V/√2 × Divider / gain
//	amps  = code / 9032007 × 0.5 V/√2 × AmpsPerVolt / gain
//	watts = code / 4862401 × full volts × full amps
//	joule = code / 206900  × full volts × full amps
//	hertz = 223750 / (period + 1)
//
// # Energy
//
// The energies are accumulated over Opts.HalfCycles half cycles of the line. At
// the end of a window the registers get its energy, and hold it until they are
// read, which sets them to zero ("read with reset"), or until the next window
// replaces it. So [Dev.Energy], which adds what it reads, counts each window
// once if it is called at least once a window; a window that nobody read is
// lost, and so is one that is cut off between the chip and the gateway. What was
// read before a failure is kept and added later. The first window after
// Configure began somewhere in a cycle and must be dropped by the caller.
//
// # Limits
//
// The chip compares each sample with the limits and pulls its IRQ pin by itself,
// until [Dev.Clear]. They are peaks: a charger without power-factor correction
// draws peaks of three times its RMS current. [LimitsFor] makes them from the
// rating of an outlet. One register serves both current channels, so on
// different sensors the lower code is programmed. An overcurrent of channel B
// is put out on the ZX_I pin, not on IRQ. After power-on IRQ is low until
// Configure: wired to the coil enable, an outlet that is not guarded is off.
//
// # Sources
//
// Analog Devices ADE7953 datasheet, Rev. B and C: power-up and required setting
// (p. 18), inputs and amplifiers (p. 19), energy (pp. 25-31), power factor (p.
// 38), peaks (p. 46), interrupts (p. 49), I²C (pp. 53-54), checksum (p. 58),
// registers (Tables 13 to 25, pp. 60-67, which SparkFun's library also carries).
// Agreed with arendst/Tasmota xnrg_07_ade7953, esphome ade7953, sparkfun
// SparkFun_ADE7953_Arduino_Library, Pfannex/ADE7953_Breakoutboard.
//
// Checked on registers of real chips:
//
//   - Tasmota 17107, 17811, 17741, 5968 (boards calibrated to 26000 codes a volt
//     and 100000 an ampere): the power and energy scales that follow from these
//     two by the full-scale codes are within 0.7 % of the 154 codes a watt and
//     6.577 codes a joule that were calibrated independently.
//   - EngineerZone 117723 (400 kΩ and 1 kΩ, 19.43 V on a meter): 1244824 codes
//     are 19.54 V; its peak register, 892104 codes, is 1.408 times that.
//
// # Caveats
//
//   - Not verified on silicon by this project. Calibrate each board (Trim).
//     Limits follow the gain of a trim, not its offset.
//   - With nothing connected a real chip shows 1773 codes of RMS current, 0.02 %
//     of full scale.
//   - Energies of less than 1/10000 of full scale are zero: the no-load
//     threshold of the chip stays as it is at power-on. Powers are not affected.
//   - Which registers the checksum covers beyond "configuration, control and
//     calibration" was not found in public, so it is compared with itself only.
//   - That the ZX_I pin (code 1010 of register 0x110) carries the interrupts of
//     channel B is read from two passages of the datasheet that do not say it
//     outright. Test it on the board.
//   - A short circuit clips at about full scale; that is a reading, not an error.
//   - The chip wants 4.7 µs of idle bus between transactions, which a Linux
//     adapter at 100 or 400 kHz keeps.
//   - The words of one Sense may belong to neighbouring samples.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package ade7953
