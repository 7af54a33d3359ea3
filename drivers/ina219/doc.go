// Package ina219 reads the TI INA219, a DC voltage, current and power monitor,
// over I²C.
//
// # Model
//
// The chip measures the voltage across a shunt and the bus voltage by itself,
// averages as many conversions as it is told, and keeps the last result in 16-bit
// registers that are read most significant byte first. [Dev.Sense] reads three of
// them, one transaction each:
//
//	0x01  shunt voltage s16, 10 µV a step, ±40, 80, 160 or 320 mV
//	0x02  bus voltage u13 [15:3], 4 mV a step, 32 V (the pin stands 26 V)
//	0x05  calibration, which reads 0 after a reset
//
//	amps  = shunt voltage / resistance of the shunt
//	watts = volts × amps
//
// The chip's own current and power registers are not used: they read 0 while the
// calibration is 0, which looks like no load, and the power has no sign. Instead
// the calibration is the mark by which a chip is known that lost its supply:
// [New] and [Dev.Configure] write it last, as 4096 (the current register then
// repeats the shunt register), and Sense reads it last. If it is gone, Sense fails
// with [ErrReset] and Configure brings everything back.
//
// The chip has no alert pin.
//
// # Sources
//
// TI INA219 datasheet SBOS448, section 8.6 (register maps: configuration 0x399F
// after power-on, PGA and ADC codes, bits CNVR and OVF of the bus register) as far
// as it is known from public drivers: periph devices/ina219 and Linux
// hwmon/ina2xx.c for the scales and the calibration, Zephyr ti/ina219 for the
// fields, Adafruit_INA219 for the codes of averaging. They agree.
//
// # Caveats
//
//   - Not verified on silicon by this project.
//   - A shunt word of 0xFFFF is −10 µV, what noise at rest gives, and a reading. A
//     stuck bus is told by the two other words, which cannot be all ones.
//   - A current past the chosen range reads as its end, and is no error: a short
//     circuit must be seen as a large current. Choose Max well above the trip.
//   - After Configure the registers may hold zeros until [Dev.Window] has passed.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package ina219
