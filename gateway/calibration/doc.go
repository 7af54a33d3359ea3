// Package calibration keeps what known loads have shown of each outlet's meter:
// the corrections that the gateway applies, the measurements they come from, and
// their dates. They are kept apart from the configuration, which says how a board
// is wired and is the same for every box of a kind.
//
// # Model
//
// A [Point] is one measurement: what the meter said by itself, without any
// correction, and what was true. A zero point is an open outlet. [Fit] turns the
// points of an outlet into a gain and an offset for each channel:
//
//	true = gain × measured + offset
//
// Volts get a gain, from all loads. Amperes get a gain from one load; an offset,
// too, from loads that differ by half or more, and for direct current from the
// zero point. The RMS current of a mains meter at rest is noise: it adds in
// quadrature and is gone under load, so that taking it off would be wrong. Watts of
// a mains meter are signed, and get their offset from the zero point; those of
// direct current are volts times amperes and have no correction of their own.
//
// A [Record] names the chip and the wiring it was measured with. One of another
// chip, another place or another shunt is not applied ([Record.Check]), nor is one
// whose numbers are out of range.
//
// # File
//
// [Save] replaces the file whole or not at all, with a checksum in its last line;
// the rest is JSON that people can read. [Load] refuses what it cannot trust, and
// [SetAside] keeps such a file for somebody to look at.
package calibration
