package sim

import (
	"sync"
	"time"
)

// Registers of the DS3231 and, where it has them, of the DS1307 and DS1338.
const (
	rtcSeconds = 0x00
	rtcHours   = 0x02
	rtcDay     = 0x03
	rtcDate    = 0x04
	rtcMonth   = 0x05
	rtcYear    = 0x06
	rtcControl = 0x07 // of the DS1307 and DS1338

	ds3231Control = 0x0E
	ds3231Status  = 0x0F
	ds3231Celsius = 0x11

	ds3231OSF = 0x80 // in the status
	ds1338OSF = 0x20 // in the control
	rtcHalt   = 0x80 // in the seconds of the DS1307 and DS1338
	rtcTwelve = 0x40 // in the hours
	rtcPM     = 0x20
)

// rtcKind is one of the three clocks.
type rtcKind uint8

const (
	kindDS3231 rtcKind = iota
	kindDS1338
	kindDS1307
)

// DS3231 is the model of a clock with a battery: DS3231, DS1338 or DS1307. It
// stands still but for Advance.
type DS3231 struct {
	kind rtcKind
	mask [0x40]byte // the bits of each register that exist
	size byte

	mu    sync.Mutex // guards all below
	regs  [0x40]byte
	point byte
}

var _ Chip = (*DS3231)(nil)

// NewDS3231 returns a DS3231 whose battery was never there: it begins at
// 2000-01-01 00:00:00 and says that it had stopped.
func NewDS3231() *DS3231 {
	d := &DS3231{kind: kindDS3231, size: 0x13}
	copy(d.mask[:], []byte{
		0x7F, 0x7F, 0x7F, 0x07, 0x3F, 0x9F, 0xFF,
		0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x8F, 0xFF, 0x00, 0x00,
	})
	d.Reset()
	return d
}

// NewDS1338 returns a DS1338 whose battery was never there: it stands still and
// says so.
func NewDS1338() *DS3231 { return newDS1338(kindDS1338, 0xB3) }

// NewDS1307 returns a DS1307 whose battery was never there: it stands still. It
// has no other way to say so.
func NewDS1307() *DS3231 { return newDS1338(kindDS1307, 0x93) }

func newDS1338(kind rtcKind, control byte) *DS3231 {
	d := &DS3231{kind: kind, size: 0x40}
	for i := range d.mask {
		d.mask[i] = 0xFF
	}
	copy(d.mask[:], []byte{0xFF, 0x7F, 0x7F, 0x07, 0x3F, 0x1F, 0xFF, control})
	d.Reset()
	return d
}

// SetCelsius applies the temperature that a DS3231 reads, in steps of 0.25 °C.
func (d *DS3231) SetCelsius(celsius float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kind == kindDS3231 {
		word := uint16(int16(clamp(celsius*4, -512, 511))) << 6
		d.regs[ds3231Celsius], d.regs[ds3231Celsius+1] = byte(word>>8), byte(word)
	}
}

// Stop stops the oscillator for a moment, as dirt on the crystal or an empty
// battery does; the clock goes on from where it was.
func (d *DS3231) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped()
}

func (d *DS3231) stopped() {
	switch d.kind {
	case kindDS3231:
		d.regs[ds3231Status] |= ds3231OSF
	case kindDS1338:
		d.regs[rtcControl] |= ds1338OSF
	case kindDS1307: // no flag
	}
}

// Advance lets time go on by whole seconds, unless the clock is halted.
func (d *DS3231) Advance(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.kind != kindDS3231 && d.regs[rtcSeconds]&rtcHalt != 0 {
		return
	}
	for range by / time.Second {
		d.tick()
	}
}

// tick adds a second as the chip's counters do.
func (d *DS3231) tick() {
	if !d.carry(0, 0x59, 0) || !d.carry(1, 0x59, 0) || !d.hour() {
		return
	}
	d.regs[rtcDay] = d.regs[rtcDay]%7 + 1
	if !d.carry(rtcDate, d.lastDate(), 1) {
		return
	}
	century := d.regs[rtcMonth] & 0x80
	d.regs[rtcMonth] &= 0x1F
	yearOver := d.carry(rtcMonth, 0x12, 1)
	d.regs[rtcMonth] |= century
	if yearOver && d.carry(rtcYear, 0x99, 0) && d.kind == kindDS3231 {
		d.regs[rtcMonth] ^= 0x80
	}
}

// carry adds one to a BCD register; it reports whether the register went from
// last to first.
func (d *DS3231) carry(reg int, last, first byte) bool {
	b := &d.regs[reg]
	if *b == last {
		*b = first
		return true
	}
	if *b++; *b&0x0F > 9 {
		*b += 6
	}
	return false
}

// hour adds an hour; it reports whether a day is over.
func (d *DS3231) hour() bool {
	h := &d.regs[rtcHours]
	if *h&rtcTwelve == 0 {
		return d.carry(rtcHours, 0x23, 0)
	}
	flags := *h & (rtcTwelve | rtcPM)
	*h &= 0x1F
	d.carry(rtcHours, 0x12, 1)
	over := false
	if *h == 0x12 {
		over = flags&rtcPM != 0
		flags ^= rtcPM
	}
	*h |= flags
	return over
}

// lastDate is the last date of the month, in BCD.
func (d *DS3231) lastDate() byte {
	switch d.regs[rtcMonth] & 0x1F {
	case 0x02:
		// A year is a leap year if its BCD number is divided by four.
		if y := d.regs[rtcYear]; (10*(y>>4)+y&0x0F)%4 == 0 {
			return 0x29
		}
		return 0x28
	case 0x04, 0x06, 0x09, 0x11:
		return 0x30
	default:
		return 0x31
	}
}

// Tx implements Chip: a register, followed by bytes that are written from there
// on, or read from there on; after the last register comes the first.
func (d *DS3231) Tx(w, r []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(w) > 0 {
		d.point = w[0] % d.size
		for _, b := range w[1:] {
			d.store(b)
			d.point = (d.point + 1) % d.size
		}
	}
	for i := range r {
		r[i] = d.regs[d.point]
		d.point = (d.point + 1) % d.size
	}
	return nil
}

func (d *DS3231) store(b byte) {
	old := d.regs[d.point]
	b &= d.mask[d.point]
	switch {
	case d.kind == kindDS3231 && d.point == ds3231Status:
		b = b&0x08 | b&old&0x83 // OSF and the alarm flags can only be cleared; BSY not even that
	case d.kind == kindDS3231 && d.point >= ds3231Celsius:
		return
	case d.kind == kindDS1338 && d.point == rtcControl:
		b = b&^ds1338OSF | b&old&ds1338OSF
	}
	d.regs[d.point] = b
	if d.point == rtcSeconds && d.kind != kindDS3231 && b&rtcHalt != 0 {
		d.stopped()
	}
}

// Reset implements Chip: the supply comes back and the battery was empty.
func (d *DS3231) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.regs[:])
	d.point = 0
	d.regs[rtcDay], d.regs[rtcDate], d.regs[rtcMonth] = 1, 1, 1
	switch d.kind {
	case kindDS3231:
		d.regs[ds3231Control], d.regs[ds3231Status] = 0x1C, ds3231OSF|0x08
	case kindDS1338:
		d.regs[rtcSeconds], d.regs[rtcControl] = rtcHalt, 0xB3
	case kindDS1307:
		d.regs[rtcSeconds], d.regs[rtcControl] = rtcHalt, 0x03
	}
}
