package ds3231

import (
	"errors"
	"fmt"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

var (
	// ErrReset comes from Sense and Check when the clock stood still since it
	// was set, as after a loss of its supply and its battery: the time is lost.
	ErrReset = errors.New("clock stood still")
	// ErrWord comes when a register holds what the chip cannot send: the bus is
	// stuck, a bit flipped, or another chip has this address.
	ErrWord = errors.New("impossible register word")
	// ErrYear comes from Configure when the chip cannot hold the year.
	ErrYear = errors.New("year outside the range of the clock")
)

// Registers and their bits.
const (
	regTime        = 0x00
	regControl     = 0x07 // of the DS1307 and DS1338
	regControl3231 = 0x0E
	regStatus3231  = 0x0F
	regCelsius3231 = 0x11

	secondsHalt   = 0x80
	hoursTwelve   = 0x40
	hoursPM       = 0x20
	monthCentury  = 0x80
	controlOSF    = 0x20 // of the DS1338
	control3231   = 0x1C // oscillator on, also on the battery; no square wave, no alarms
	controlEOSC   = 0x80
	statusOSF     = 0x80
	statusMissing = 0x70 // bits that read 0
)

// Chip says which chip it is.
type Chip uint8

// The chips, all at address 0x68.
const (
	// DS3231 is also the DS3231M: with a temperature-compensated crystal.
	DS3231 Chip = iota
	// DS1338 is also the DS1308.
	DS1338
	// DS1307 does not mark that it stood still.
	DS1307
)

// String returns the name of the chip in lower case.
func (c Chip) String() string {
	switch c {
	case DS1338:
		return "ds1338"
	case DS1307:
		return "ds1307"
	default:
		return "ds3231"
	}
}

// Opts is the chip and its address.
type Opts struct {
	// Chip is the kind of chip.
	Chip Chip
	// Addr is the 7-bit I²C address; the chips have 0x68 and no other.
	Addr uint16
}

// DefaultOpts is a DS3231.
func DefaultOpts() *Opts { return &Opts{Chip: DS3231, Addr: 0x68} }

// Dev is one clock.
type Dev struct {
	conn  i2c.Dev
	name  string
	chip  Chip
	write [9]byte
	read  [regStatus3231 + 1]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the clock after it has answered once, whether it goes or stood
// still.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: i2c.Dev{Bus: bus, Addr: opts.Addr},
		name: fmt.Sprintf("%s@%s/%#02x", opts.Chip, bus, opts.Addr),
		chip: opts.Chip,
	}
	if opts.Chip > DS1307 {
		return nil, fmt.Errorf("%s: chip %d: want DS3231, DS1338 or DS1307", d, uint8(opts.Chip))
	}
	if opts.Addr != 0x68 {
		return nil, fmt.Errorf("%s: address %#02x: want 0x68", d, opts.Addr)
	}
	var t time.Time
	if err := d.Sense(&t); err != nil && !errors.Is(err, ErrReset) {
		return nil, err
	}
	return d, nil
}

// Sense reads the time into now, in UTC and whole seconds. The error is ErrReset
// if the clock stood still. On an error now is left as it was.
func (d *Dev) Sense(now *time.Time) error {
	if err := d.registers(); err != nil {
		return err
	}
	if d.chip == DS3231 && d.read[regStatus3231]&statusMissing != 0 {
		return fmt.Errorf("%s: status %#02x: %w", d, d.read[regStatus3231], ErrWord)
	}
	if err := d.stood(); err != nil {
		return err
	}
	t, ok := decode([7]byte(d.read[:7]), d.chip == DS3231)
	if !ok {
		return fmt.Errorf("%s: time % x: %w", d, d.read[:7], ErrWord)
	}
	*now = t
	return nil
}

// Check reads whether the clock goes, and has gone since it was set. The error is
// ErrReset if not, and if a DS3231 would stand still on its battery.
func (d *Dev) Check() error {
	var t time.Time
	if err := d.Sense(&t); err != nil {
		return err
	}
	if c := d.read[regControl3231]; d.chip == DS3231 && c&controlEOSC != 0 {
		return fmt.Errorf("%s: control %#02x: off on the battery: %w", d, c, ErrReset)
	}
	return nil
}

// Configure sets the clock to now, starts it, takes the mark away that it stood
// still, and reads it back. Parts of a second are cut off: to be exact, call it
// when a second begins.
func (d *Dev) Configure(now time.Time) error {
	now = now.UTC().Truncate(time.Second)
	last := 2099
	if d.chip == DS3231 {
		last = 2199
	}
	if y := now.Year(); y < 2000 || y > last {
		return fmt.Errorf("%s: %s: %w: want 2000 to %d", d, now.Format(time.DateOnly), ErrYear, last)
	}
	d.write[0] = regTime
	encode(d.write[1:8], now)
	n := 8
	if d.chip != DS3231 {
		d.write[8] = 0 // control: no square wave, OSF is cleared
		n = 9
	}
	if err := d.send(n); err != nil {
		return err
	}
	if d.chip == DS3231 {
		d.write[0], d.write[1], d.write[2] = regControl3231, control3231, 0
		if err := d.send(3); err != nil {
			return err
		}
	}
	if err := d.Check(); err != nil {
		return err
	}
	got, _ := decode([7]byte(d.read[:7]), d.chip == DS3231)
	if late := got.Sub(now); late < 0 || late > 2*time.Second {
		return fmt.Errorf("%s: set to %s, reads %s: %w", d, now, got, ErrReset)
	}
	return nil
}

// Temperature reads the last conversion of a DS3231 into t. On an error t is left
// as it was.
func (d *Dev) Temperature(t *physic.Temperature) error {
	if d.chip != DS3231 {
		return fmt.Errorf("%s: has no thermometer", d)
	}
	if err := d.receive(regCelsius3231, 2); err != nil {
		return err
	}
	word := uint16(d.read[0])<<8 | uint16(d.read[1])
	if word&0x3F != 0 {
		return fmt.Errorf("%s: temperature %#04x: %w", d, word, ErrWord)
	}
	*t = physic.ZeroCelsius + physic.Temperature(int16(word)>>6)*(physic.Celsius/4)
	return nil
}

// registers reads the time and what tells whether it is good.
func (d *Dev) registers() error {
	if d.chip == DS3231 {
		return d.receive(regTime, regStatus3231+1)
	}
	return d.receive(regTime, regControl+1)
}

// stood is the error of a clock that stood still, by the registers last read.
func (d *Dev) stood() error {
	var mark string
	switch {
	case d.chip == DS3231 && d.read[regStatus3231]&statusOSF != 0, d.chip == DS1338 && d.read[regControl]&controlOSF != 0:
		mark = "OSF"
	case d.chip != DS3231 && d.read[0]&secondsHalt != 0:
		mark = "CH"
	default:
		return nil
	}
	if d.read[5]&0x1F == 0 || d.read[4]&0xC0 != 0 {
		return fmt.Errorf("%s: time % x: %w", d, d.read[:7], ErrWord) // no clock at all
	}
	return fmt.Errorf("%s: %s is set: %w", d, mark, ErrReset)
}

// encode writes the registers of a time into w.
func encode(w []byte, t time.Time) {
	bcd := func(n int) byte { return byte(n/10<<4 | n%10) }
	w[0], w[1], w[2] = bcd(t.Second()), bcd(t.Minute()), bcd(t.Hour())
	w[3], w[4], w[5] = byte(t.Weekday())+1, bcd(t.Day()), bcd(int(t.Month()))
	if t.Year() >= 2100 {
		w[5] |= monthCentury
	}
	w[6] = bcd(t.Year() % 100)
}

// decode returns the time of the registers, and whether there is one. The day of
// the week is everybody's own.
func decode(r [7]byte, century bool) (time.Time, bool) {
	year := 2000
	if century && r[5]&monthCentury != 0 {
		r[5] &^= monthCentury
		year = 2100
	}
	pm, twelve := r[2]&hoursPM != 0, r[2]&hoursTwelve != 0
	if twelve {
		r[2] &^= hoursTwelve | hoursPM
	}
	var n [7]int
	for i, b := range r {
		if i != 3 && (b>>4 > 9 || b&0x0F > 9) {
			return time.Time{}, false
		}
		n[i] = int(b>>4)*10 + int(b&0x0F)
	}
	hour := n[2]
	if twelve {
		if hour < 1 || hour > 12 {
			return time.Time{}, false
		}
		hour %= 12
		if pm {
			hour += 12
		}
	}
	if n[0] > 59 || n[1] > 59 || hour > 23 || n[5] < 1 || n[5] > 12 {
		return time.Time{}, false
	}
	t := time.Date(year+n[6], time.Month(n[5]), n[4], hour, n[1], n[0], 0, time.UTC)
	return t, t.Day() == n[4] && r[3]&0xF8 == 0
}

// send writes the first n bytes of d.write.
func (d *Dev) send(n int) error {
	if err := d.conn.Tx(d.write[:n], nil); err != nil {
		return fmt.Errorf("%s: write register %#02x: %w", d, d.write[0], err)
	}
	return nil
}

// receive reads n bytes from reg on into d.read.
func (d *Dev) receive(reg byte, n int) error {
	d.write[0] = reg
	if err := d.conn.Tx(d.write[:1], d.read[:n]); err != nil {
		return fmt.Errorf("%s: read register %#02x: %w", d, reg, err)
	}
	return nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; the clock goes on.
func (d *Dev) Halt() error { return nil }
