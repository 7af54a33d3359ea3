// Package ina3221 reads the TI INA3221, a DC voltage and current monitor of three
// channels with two alert pins, over I²C.
//
// # Model
//
// The chip measures the voltage across three shunts and three bus voltages by
// itself, averages as many conversions as it is told, and keeps the last results
// in 16-bit registers that are read most significant byte first. [Dev.Sense] reads
// two for each channel that is on, and one more, one transaction each:
//
//	0x01, 0x03, 0x05  shunt voltage s13 [15:3], 40 µV a step, ±163.8 mV
//	0x02, 0x04, 0x06  bus voltage u12 [14:3], 8 mV a step, 32.76 V (the pins stand 26 V)
//	0x0E              limit of the sum of the shunt voltages
//
//	amps  = shunt voltage / resistance of the shunt
//	watts = volts × amps
//
// No channel is added to the sum, so that its limit does nothing. It is the mark by
// which a chip is known that lost its supply: [New] and [Dev.Configure] write it
// last, one step below the value after power-on, and Sense reads it last. If it is
// gone, Sense fails with [ErrReset] and Configure brings everything back.
//
// The two pins follow limits of each channel by themselves, without any software:
// the critical pin compares each conversion, the warning pin the average. Program
// them from the rating of the outlets. With Opts.Latch they stay until [Dev.Flags].
// A chip that lost its supply has no limits until Configure.
//
// # Sources
//
// TI INA3221 datasheet SBOS576, sections 7.6.1 (register map) and 7.6.2 (0x7127,
// 0x7FF8 and 0x7FFE after power-on, limits of each conversion and of the average),
// 7.1 (32.76 V and 26 V), as far as its pages are public. In agreement: esphome
// ina3221, RobTillaart INA3221_RT, Linux hwmon/ina3221.c.
//
// # Caveats
//
//   - Not verified on silicon by this project, and no bytes of a real chip were
//     found.
//   - A current past full scale reads as ±163.8 mV, and is no error: a short
//     circuit must be seen as a large current.
//   - The words of two channels may belong to neighbouring windows.
//   - After Configure the registers may hold zeros until [Dev.Window] has passed.
//   - The power-valid and the timing-control pin, and limits of the sum, are left
//     out.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package ina3221
