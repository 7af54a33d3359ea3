// Package adm1272 reads the Analog Devices ADM1272, a hot-swap controller with a
// power monitor, over PMBus, and its sisters ADM1275, ADM1276 and ADM1278.
//
// # Model
//
// The monitor measures voltage, the current through a shunt and the power by
// itself, averages as many conversions as it is told, and keeps the last result in
// words of 12 bits in PMBus direct format (see package pmbus). [Dev.Sense] reads
// four of them, one transaction each:
//
//	0x88  READ_VIN
//	0x8C  READ_IOUT, which is 2048 without current
//	0xD4  PMON_CONFIG, which says the ranges (one byte in ADM1275 and ADM1276)
//	0x4A  IOUT_OC_WARN_LIMIT, 0x0FFF after a reset
//
//	watts = volts × amps
//
// An ADM1272 with 1 mΩ measures 60.5 V in steps of 14.8 mV or 100.8 V in steps of
// 24.6 mV, and ±15.4 A in steps of 7.5 mA or ±30.9 A in steps of 15.1 mA; amps go
// with the inverse of the shunt.
//
// After a loss of its supply the chip has its own configuration and no limit. If one
// of the two is not what [Dev.Configure] left, Sense fails with [ErrReset] and
// Configure brings everything back. If both happen to be, nothing was lost.
//
// The chip compares the current with Opts.Warn by itself and keeps the warning in
// its status ([Dev.Status]). Program it from the rating of the outlet.
//
// [Dev.Power] reads the power that the chip works out, [Dev.Temperature] the
// temperature at its sensor.
//
// # Sources
//
// Linux hwmon/pmbus/adm1275.c (coefficients and bits of the configuration of all
// four chips; that the voltage of the output and the temperature are off after
// power-on; that the monitor is stopped while it is configured; which have a word of
// configuration) and QEMU hw/sensor/adm1272.c (the ADM1272 again, independently:
// commands, identity, values after power-on). They agree. The datasheets were not
// read.
//
// # Caveats
//
//   - Not verified on silicon by this project, and no bytes of a real chip were
//     found. ADM1275, ADM1276 and ADM1278 rest on one source.
//   - QEMU's ADM1272 shortens the coefficient of the current to whole numbers: with
//     its shunt of 300 µΩ it sends 25 A as 24.89 A. It measures no temperature and
//     sends 0, which is an error here. It has no PEC. A bad command makes it set
//     many bits of the status word at once. None of this is so on silicon.
//   - Which warning pulls which alert pin (ALERT1_CONFIG) was found in no source that
//     could be checked and is left out, as is switching the output off (OPERATION):
//     both stay as the board has them. So do the hot-swap limits, which are set by
//     resistors.
//   - A current past full scale reads as its end, and is no error: a short circuit
//     must be seen as a large current.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package adm1272
