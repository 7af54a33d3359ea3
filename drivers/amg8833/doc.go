// Package amg8833 reads the Panasonic Grid-EYE AMG8833 and AMG8834, thermopile
// arrays of 8×8 pixels on I²C.
//
// # Model
//
// The chip makes ten frames a second, or one. [Dev.Sense] reads the thermistor
// and the 64 pixels of the last frame in two transactions, 130 bytes: register
// 0x0E, two bytes; register 0x80, 128 bytes; the low byte of a word first, twelve
// bits. A pixel is two's complement in steps of 0.25 °C; the thermistor, which is
// the temperature of the chip itself, is sign and magnitude in steps of 0.0625 °C.
// [Frame.Hottest] is what a guard asks.
//
// Seen from the front with the lens above, pixel 0 is at the lower left; they
// count to the right, then up.
//
// [New] wakes the chip, resets it and sets the frame rate; the interrupt pin
// stays off. [Dev.Check] reads whether it still is so.
//
// # Sources
//
// Panasonic Grid-EYE specifications, register map and the tables of both number
// formats, as given in the DigiKey description of the registers (power modes
// 0x00, 0x10, 0x20, 0x21) and in the Devantech USB-TPA64 documentation, page 3
// (pixel 0xF9C = −25 °C, thermistor 0x940 = −20 °C). That pixels are two's
// complement is also said by the .NET binding and, from pages 13 and 14 of the
// datasheet, by adafruit/Adafruit_CircuitPython_AMG88xx issue 15; the drivers of
// Adafruit for Arduino and of tinygo, which read them as sign and magnitude, are
// wrong below 0 °C. No capture of a real chip was found.
//
// # Caveats
//
//   - A pixel sees the mean of what is in its 7.5°: a hot spot smaller than that is
//     hotter than it reads. The accuracy of the AMG8833 is ±2.5 °C, its range 0 to
//     80 °C; that of the AMG8834 −20 to 100 °C. A value above the range is passed
//     on: it is hot.
//   - After power-on and New the registers hold no frame for up to two frame
//     times. A frame that is zero all over is ErrNoFrame, not 0 °C.
//   - A word of all ones, which a stuck bus reads, and a temperature below −55 °C
//     are errors; one bad pixel spoils the frame. Further bits above the twelve are
//     ignored, since the datasheet does not define them.
//   - A frame may be read while the next one is written.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package amg8833
