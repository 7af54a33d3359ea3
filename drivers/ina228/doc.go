// Package ina228 reads the TI INA228, a 20-bit DC voltage, current and power
// monitor with an alert pin, over I²C.
//
// # Model
//
// The chip measures the voltage across a shunt, the bus voltage and its own
// temperature by itself, averages as many conversions as it is told, and keeps the
// last result in registers of 16 and 24 bits that are read most significant byte
// first. [Dev.Sense] reads three of them, one transaction each:
//
//	0x04  shunt voltage s20 [23:4], 312.5 nV a step, ±163.84 mV, or
//	      78.125 nV a step, ±40.96 mV (Opts.Max chooses)
//	0x05  bus voltage u19 [23:4], 195.3125 µV a step, 102.4 V (the pin stands 85 V)
//	0x00  configuration, which says the range, and reads 0 after a reset
//
//	amps  = shunt voltage / resistance of the shunt
//	watts = volts × amps
//
// The chip's own power register is not used: its error is a part of full scale
// (diyBMS-CurrentShunt PR 24: 86 W shown at 2.5 W) and it has no sign.
//
// The configuration is the mark by which a chip is known that lost its supply:
// [New] and [Dev.Configure] write it last, with a delay of 2 ms before the first
// conversion that a reset chip has not, and Sense reads it last. If it is gone,
// Sense fails with [ErrReset] and Configure brings everything back.
//
// The alert pin follows limits of current, voltage, power and temperature by
// itself, without any software (Opts.Alert). Program it from the rating of the
// outlet. With Latch it stays until [Dev.Flags]. A chip that lost its supply has
// no limits until Configure.
//
// # Sources
//
// TI INA228 datasheet SLYS021, sections 7.6.1 (register map), 8.1.1 (steps) and
// 8.2.2.4 (limits: 16 times the step of the 20 bits, 162 mV = 0x7E90, bus 3.125
// mV). In agreement: esphome ina2xx_base, RobTillaart INA228 (power limit 256 times
// the step of the power, temperature limit 1/128 °C, both from the datasheet too),
// Zephyr ti/ina228 (the lowest four bits of 24 are 0), the register comments of a
// driver of the sister INA229 (values after power-on, what DIAG_ALRT clears). Bytes
// of a real chip: 05 34 80 = 4.16406 V, FF FF 90 = −2.1875 µV, device 0x2281
// (meshcore-firmware issue 991).
//
// # Caveats
//
//   - Not verified on silicon by this project.
//   - A current past the chosen range reads as its end, and is no error: a short
//     circuit must be seen as a large current. Choose Max well above the trip.
//   - Energy and charge registers are left out: public drivers disagree on the step
//     of the charge by 16, and a session's energy must not end with a reset.
//   - After Configure the registers may hold zeros until [Dev.Window] has passed.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package ina228
