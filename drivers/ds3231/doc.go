// Package ds3231 reads and sets the Maxim DS3231, DS1338 and DS1307, clocks with a
// battery on I²C.
//
// # Model
//
// Seven registers hold second, minute, hour, day of the week, date, month and year
// in binary-coded decimal; a read takes them all at one instant. The clock is kept
// in UTC and in 24-hour form; a clock that somebody set in 12-hour form is read as
// well. Years are 2000 to 2099; the century bit of a DS3231 makes them end at 2199.
//
// A clock knows when its oscillator stood still, because the battery is empty or
// was never there: a DS3231 by OSF in register 0x0F, a DS1338 by OSF in register
// 0x07, and those that can be halted, DS1338 and DS1307, by CH in the seconds.
// Then [Dev.Sense] gives ErrReset and no time: a clock that is wrong is worse than
// none. [Dev.Configure] sets the time and starts the clock; it clears the mark
// after the time was written, so that a failure in between leaves it set.
//
// Sense is one transaction: 16 bytes of a DS3231, eight of the others.
// [Dev.Temperature] reads the thermometer of a DS3231, steps of 0.25 °C, once in
// 64 s.
//
// # Sources
//
// Maxim DS3231 datasheet, Figure 1 and the descriptions of registers 0x0E, 0x0F,
// 0x11 and 0x12; DS1338 datasheet, Table 3; DS1307 address map. In agreement: QEMU
// hw/rtc/ds1338.c (bits of registers 0 to 7; that OSF cannot be set).
//
// # Caveats
//
//   - A DS1307 has no OSF. If its battery fails while CH is 0, it may come back
//     with a time that is wrong and no mark; only a time that cannot be (ErrWord)
//     is noticed.
//   - The model of QEMU neither halts nor stops.
//   - The chips have no identity. New refuses registers with bits that the chip
//     does not have, such as the 0xFF of a stuck bus, and a month of 0, which a
//     line held low reads.
//   - The alarms and the square wave are not used: Configure turns them off.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package ds3231
