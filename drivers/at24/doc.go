// Package at24 reads and writes the EEPROMs AT24C01 to AT24C512, and keeps in one
// the identity and the calibration of a board.
//
// # Model
//
// A word address of one byte (AT24C01 to AT24C16) or two begins each transaction.
// The AT24C04, 08 and 16 take further address bits from their I²C address, of
// which they have two, four and eight. [Dev.ReadAt] reads any range, at most 64
// bytes a transaction, so that others come to the bus in between.
//
// A write stays within a page, 8 to 128 bytes, and is followed by a write cycle of
// up to 10 ms in which the chip does not answer. The driver does not sleep: each
// call of [Write.Next] tries one page, and gives ErrBusy while there is no answer.
// The caller waits as it likes, and gives up when ErrBusy lasts longer than
// [WriteCycle].
//
// # Record
//
// The memory is two halves. Each holds a record or none:
//
//	0  "shdg"                4 bytes
//	4  version, 1            1 byte
//	5  channels              1 byte
//	6  0, 0                  2 bytes
//	8  generation            4 bytes, least significant byte first, as all below
//	12 model, serial         16 and 24 bytes of ASCII, filled up with 0
//	52 revision              4 bytes
//	56 made, calibrated      8 bytes each, seconds of Unix time; the first second
//	                         of 1970 is none
//	72 channels, each        volts, amperes, watts: gain in ppm off 1 and offset in
//	                         millionths of the unit, 4 bytes each, signed
//	…  CRC-32 (IEEE)         4 bytes, over all that is before
//
// [Dev.Sense] reads the good record of the higher generation. [Dev.Store] writes
// into the other half, so that a supply that fails meanwhile leaves the old record
// as it was; the last step reads the new one back.
//
// # Sources
//
// Atmel AT24C02B datasheet (device addressing, page write, roll-over within a page,
// no answer in the write cycle); AT24C02C (8-byte pages of 1K and 2K, 16-byte pages
// of 4K and 8K); Microchip 24AA32A DS21713 (32-byte pages, two address bytes,
// write cycle of 5 ms); 24AA02E48 DS20002124 (acknowledge polling). In agreement:
// a capture of a real 24C02, 29 reads, in sigrok-dumps rding_temper. The pages of
// the AT24C128 to 512 (64, 64, 128 bytes) are those of their datasheets by general
// knowledge; a chip with larger pages works too.
//
// # Caveats
//
//   - The chips have no identity. A chip with one address byte that is taken for
//     one with two is not harmed by reading; by writing it is.
//   - A missing chip and a chip in its write cycle look the same: ErrBusy.
//   - The CRC finds errors, not forgers.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package at24
