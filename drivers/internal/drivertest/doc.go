// Package drivertest tests what every driver has in common, so that each package
// of a chip tests only what is its own.
//
// # Model
//
// A [Sensor] or an [Expander] describes a driver on the model of its chip
// (drivers/sim). Its method Run carries the contract out:
//
//   - String is chip@bus/address, and every error begins with it.
//   - A call that fails, in whichever of its transactions and by whatever (no
//     acknowledge, a time-out, a short read), says why by its chain and leaves the
//     caller's value alone; the next call works.
//   - Whatever is read, any bit flipped or any word at all, ends in an error and an
//     untouched value or in a value, the same for the same words.
//   - A chip that lost its supply is told, and Configure brings it back.
//   - Nothing is allocated, and the bus carries the bits that were computed by hand
//     from the transactions, at 100, 400 and 1000 kHz.
//
// [Fails] and [Refuses] carry out tables of exact bytes.
package drivertest
