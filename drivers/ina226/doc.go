// Package ina226 reads the TI INA226 (and INA230, INA231), a DC voltage, current
// and power monitor with an alert pin, over I²C.
//
// # Model
//
// The chip measures the voltage across a shunt and the bus voltage by itself,
// averages as many conversions as it is told, and keeps the last result in 16-bit
// registers that are read most significant byte first. [Dev.Sense] reads three of
// them, one transaction each:
//
//	0x01  shunt voltage s16, 2.5 µV a step, ±81.92 mV
//	0x02  bus voltage u15, 1.25 mV a step, 40.96 V (the pin stands 36 V)
//	0x05  calibration, which reads 0 after a reset
//
//	amps  = shunt voltage / resistance of the shunt
//	watts = volts × amps
//
// The chip's own current and power registers are not used: they read 0 while the
// calibration is 0, which looks like no load, and the power has no sign. Instead
// the calibration is the mark by which a chip is known that lost its supply:
// [New] and [Dev.Configure] write it last, as 2048 (the current register then
// repeats the shunt register), and Sense reads it last. If it is gone, Sense fails
// with [ErrReset] and Configure brings everything back.
//
// The alert pin follows a limit by itself, without any software
// (Opts.Alert), here one of the shunt voltage, that is of the current. Program it
// from the rating of the outlet. With Latch it stays until [Dev.Flags]. A chip that
// lost its supply has no limit until Configure.
//
// # Sources
//
// TI INA226 datasheet SBOS547, sections 7.1 (register map, power-on values),
// 7.1.1 (configuration, 0x4127), 6.5.1 (calibration), 7.1.7 and 7.1.8 (mask/enable
// and alert limit: the highest function bit is heeded, reading the mask ends a
// latched alert); application curves of INA230 and INA231 (mask 0x8008, limit
// 0x4E20 = 50 mV). In agreement: esphome ina226, RobTillaart INA226, Linux
// hwmon/ina2xx.c. Bytes of real chips: bus 0x2562 = 11.9625 V and power 0x15D8 at
// 250 µA = 34.95 W (esphome issue 2506), configuration 0x4127 and calibration 0
// after power-on, 0x0800 for 100 mΩ and 24.99 µA (pi_ina226 issue 3).
//
// # Caveats
//
//   - Not verified on silicon by this project. Cheap modules read 1.5 to 5 % high
//     in bus voltage (RobTillaart/INA226 issue 30): calibrate each outlet.
//   - A shunt word of 0xFFFF is −2.5 µV, what noise at rest gives, and a reading.
//     A stuck bus is told by the two other words, which cannot be all ones.
//   - A current past full scale reads as ±81.92 mV, and is no error: a short
//     circuit must be seen as a large current.
//   - After Configure the registers may hold zeros until [Dev.Window] has passed.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package ina226
