// Package acs37800 reads the Allegro ACS37800, an isolated AC power monitor,
// over I²C.
//
// # Model
//
// The chip samples voltage and current itself and keeps RMS values and powers
// over its own window (by default the full mains cycles between zero
// crossings, 20 ms at 50 Hz) in 32-bit registers that are read least
// significant byte first. [Dev.Sense] reads three of them, one transaction
// each:
//
//	0x20  vrms u16 [15:0], irms u16 [31:16]
//	0x21  active power s16 [15:0], reactive power u16 [31:16]
//	0x22  apparent power u16 [15:0], power factor s11 [26:16]
//
// The words of one Sense may therefore belong to neighbouring windows. They
// are handed on in Measurement.Raw, so that a caller can see a chip whose
// registers no longer change: noise moves the last bits of a live one.
//
// # Scale
//
// The voltage input takes ±250 mV peak, 27500 codes; the RMS field has one
// bit more, 55000 codes for the same 250 mV. With K = (R_divider + R_sense) /
// R_sense and the range of the part (30 A or 90 A):
//
//	volts = vrms / 55000 × 0.250 V × K
//	amps  = irms / 55000 × range
//	watts = active / (3.08 × 30 A / range) × K / 1000
//	pf    = s11 / 1024
//
// DefaultOpts takes four 1 MΩ isolation resistors and R_sense = 2.2 kΩ, so
// K = 1819.2 and 454.8 V peak at full scale: a sine of 321.6 V RMS, that is
// 250 V mains and 20 % overvoltage (300 V RMS, 424 V peak) with 7 % to spare.
// The 2 MΩ / 8.2 kΩ divider of the breakout boards reaches only 61.2 V peak
// and must never be set for mains.
//
// # Sources
//
// Allegro ACS37800 datasheet, registers 0x20 to 0x2D (the tables of 0x0C and
// 0x22 were read; the text of 0x20 and 0x21 is known from the comments in
// SparkFun's library), and three independent drivers:
// sparkfun/SparkFun_ACS37800_Power_Monitor_Arduino_Library,
// gfcwfzkm/ACS37800, hacknus/acs37800-rs. They disagree twice:
//
//   - Divisor of the RMS fields: SparkFun 55000, gfcwfzkm 65536/1.19 = 55072,
//     acs37800-rs 27500. This package uses 55000. A bench measurement in
//     SparkFun issue 13 decides: 20.70 V and 0.48 A by this divisor against
//     20.84 V on a true-RMS meter, and their product, 9.94 VA, against 10.01 VA
//     in the apparent-power field, which has its own scale (6.15 LSB/mVA). By
//     27500 the product would be four times the field.
//   - Sign of irms: SparkFun casts it to signed, as the datasheet says;
//     gfcwfzkm reads it unsigned. The product above shows that its full scale
//     is 55000, which no signed 16-bit field can hold, and a signed reading
//     would show 20 A on a 30 A part as −15.7 A. This package reads it
//     unsigned: if that were wrong, it errs towards a trip.
//
// # Caveats
//
//   - Not verified on silicon by this project. Calibrate each board against a
//     reference (Opts.Volts, Amps, Watts) before trusting a trip level.
//   - Real parts at rest show an offset of 0.45 A (SparkFun issue 5, 30 A
//     part). In an RMS value it adds in quadrature, so an offset measured at
//     rest must not be subtracted from a load current. Fit gain and offset at
//     two loads.
//   - A part driven past full scale clips; Sense then returns the clipped,
//     still very large, value (at most 1.19 × range) and no error: a short
//     circuit must be seen as a large current, not as a broken meter.
//   - The overcurrent comparator of the chip is not programmed. Its threshold is
//     the field fault, register 0x0D [20:13], 8 bits, compared with a 12-bit
//     measurement of 200 kHz bandwidth that the trims of the current channel do
//     not reach (datasheet, Overcurrent Measurement Path); what one code of it is
//     worth in amps was found in no public source. [Dev.Flags] shows the result
//     for the threshold that the part was delivered with.
//   - The address 0x60 holds for both DIO pins low at power-up, others by the
//     same pins or EEPROM.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package acs37800
