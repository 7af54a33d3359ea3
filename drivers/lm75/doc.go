// Package lm75 reads the LM75 and the temperature sensors made to replace it:
// FM75, NXP LM75B, TI TMP75 and TMP105, Maxim DS75.
//
// # Model
//
// A pointer byte chooses one of four registers: temperature 0, configuration 1,
// low limit 2, high limit 3. All but the configuration, which is one byte, are 16
// bits, the most significant byte first, in 1/256 °C, left-justified; [Chip] says
// how many bits are used and so the step. The chip converts by itself;
// [Dev.Sense] reads the last conversion. A temperature above the end of the
// format reads as 127.5 °C or a little more: hot, which is what it is.
//
// The O.S. pin follows the limits by itself (comparator mode, active low): it
// goes active above the high limit and stays until the temperature is below the
// low one. [New] programs them, and the finest step for the chips that have a
// choice (a DS75 gets 11 bits: its twelfth would take 1.2 s). [Dev.Check] says
// whether the chip still has them; a chip that lost its supply has 75 and 80 °C.
//
// The TMP102 has another configuration register and its own package, tmp102.
//
// # Sources
//
// National LM75 datasheet, sections 1.11 to 1.14; TI LM75B/LM75C SNIS153B; NXP
// LM75B rev. 6.1, tables 8 to 10; TI TMP75 SBOS288M, table 7-1 (golden words
// 0x6400 = 100 °C, 0xE700 = −25 °C, 0xC900 = −55 °C). In agreement: Linux
// hwmon/lm75.c, QEMU hw/sensor/tmp105.c; captures of a real FM75 in sigrok-dumps
// (0x1D80 = 29.5 °C, 0x1E00 = 30.0 °C).
//
// # Caveats
//
//   - NXP's LM75B has 11 bits, TI's LM75B has 9: take LM75 for that one.
//   - The chips have no identity. New refuses a configuration with bits that the
//     chip does not have (0xFF of a stuck bus among them), no more.
//   - The seven lowest bits of an LM75 are not defined, so they are ignored; but a
//     word of all ones, which a stuck bus reads, is an error, never −0.5 °C. With
//     the other chips any unused bit is an error.
//   - Limits are rounded down to 0.5 °C, the step that the limits of all these
//     chips have.
//   - After power-on the register may read 0 °C until the first conversion is done
//     (0.1 to 0.6 s). That cannot be told from a true 0 °C, nor can a line that is
//     held low: the bus reports that by a time-out.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package lm75
