// Package mlx90640 reads the Melexis MLX90640, a thermopile array of 32×24 pixels
// on I²C, and does the arithmetic that makes temperatures of its counts.
//
// # Model
//
// Addresses and words are 16 bits, the most significant byte first. [New] reads the
// 832 words of the EEPROM from 0x2400 on, once: the factory's calibration of this
// very chip. [Dev.Configure] writes control register 0x800D: chess pattern, 18 bits,
// the rate of the subpages.
//
// The chip measures half of the pixels at a time, the white and the black fields of
// a chess board. [Dev.Sense] asks the status register 0x8000 for a new subpage
// (ErrNoData if there is none), takes the note of it away, reads the 832 words of
// RAM from 0x0400 on, and asks again: if another subpage came meanwhile the read may
// be a mixture (ErrTorn). It then converts the half that is new. The caller's frame
// is filled from the second subpage on.
//
// The way from counts to °C is that of the datasheet: supply voltage and chip
// temperature, gain, offset and its drift with both, the compensation pixel, the
// sensitivity and its drift, the inverse of Stefan-Boltzmann's law with the
// temperature that the object reflects, and the four ranges of object temperature.
// Up to four pixels may be bad; the factory marks them, and they get the highest of
// their neighbours, so that no heat is lost in them.
//
// # Sources
//
// Melexis MLX90640 datasheet rev. 11, sections 11.1 and 11.2 (method; ranges of
// object temperature; marks of bad pixels); Melexis mlx90640-library and a Linux
// driver built on it (addresses, status bits). The whole arithmetic is tested
// against what Adafruit's port of the Melexis library,
// adafruit-circuitpython-mlx90640 1.3.9 from PyPI, computes for three made-up
// calibrations, made in either reading pattern, and in all four ranges: to
// 0.002 °C, the rounding of that library to eight and sixteen bits, and without its
// rounding to 10⁻⁵ °C.
//
// # Caveats
//
//   - No capture of a real chip was found: the bytes on the bus and the meaning of
//     the status bits are from drivers, and no temperature was compared with a
//     thermometer.
//   - A subpage is 1.7 kB: 39 ms of a 400 kHz bus, 16 ms at 1 MHz. Give the chip a
//     bus of its own, or the meters wait. It is read in pieces of 128 bytes.
//   - The rate must leave time for that; the chip itself needs 80 ms to wake up and
//     minutes to settle.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package mlx90640
