// Package tmp102 reads the TI TMP102 (and TMP112), a temperature sensor on I²C.
//
// # Model
//
// A pointer byte chooses one of four 16-bit registers, most significant byte
// first: temperature, configuration, low limit, high limit. The chip converts by
// itself; [Dev.Sense] reads the last conversion. A step is 1/16 °C. In normal
// mode the temperature is 12 bits, left-justified, and ends at 127.9375 °C; in
// extended mode (Opts.Extended) it is 13 bits and ends at 150 °C. The lowest bit
// of the word says which of the two it is, and Sense believes the word, not the
// options: so a chip that lost its configuration still reads right.
//
// The alert pin follows the limits by itself (comparator mode, active low): it
// goes active at the high limit and stays until the temperature is below the
// low one. [New] programs them; [Dev.Check] says whether the chip still has
// them.
//
// The LM75 and its kin, TMP75 and TMP105 among them, have a configuration of eight
// bits and no extended mode: package lm75.
//
// # Sources
//
// TI TMP102 datasheet SBOS397: temperature register (Tables 3 to 6, with
// the golden words 0x6400 = 100 °C, 0xE700 = −25 °C, 0xC900 = −55 °C and, in
// extended mode, 0x4B01 = 150 °C), configuration register (Table 7, 0x60A0 at
// power-on). In agreement: periph devices/tmp102, tinygo drivers/tmp102, esphome
// tmp102, Linux hwmon/lm75.c; captures of a real FM75, an LM75 with the same
// temperature format (0x1D80 = 29.5 °C, 0x1E00 = 30.0 °C).
//
// # Caveats
//
//   - After power-on the register reads 0 °C until the first conversion is done
//     (some 30 ms; up to 4 s at 0.25 Hz for a fresh value). That cannot be told
//     from a true 0 °C.
//   - A word whose unused bits are not as the datasheet says (0xFFFF of a stuck
//     bus among them) or that is outside −55 to 150 °C is an error, never a
//     temperature. 0x0000 of a line held low is 0 °C: the bus reports that by a
//     time-out.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package tmp102
