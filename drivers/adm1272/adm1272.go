package adm1272

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/pmbus"
)

var (
	// ErrWord comes when a command reads what the chip cannot send: the bus is
	// stuck, a bit flipped, or another chip has this address.
	ErrWord = errors.New("impossible word")
	// ErrReset comes from Sense and Check when the chip no longer holds what was
	// configured, as after a loss of its supply. Configure brings it back.
	ErrReset = errors.New("configuration lost")
	// ErrNone comes when the chip does not measure what was asked for.
	ErrNone = errors.New("not measured by this chip")
)

// Chip is a member of the family.
type Chip uint8

// The chips whose coefficients are known.
const (
	// ADM1272 measures up to 60 or 100 V.
	ADM1272 Chip = iota
	// ADM1275 measures up to 6 or 20 V, and neither power nor temperature.
	ADM1275
	// ADM1276 measures up to 6 or 20 V, and no temperature.
	ADM1276
	// ADM1278 measures up to 20 V.
	ADM1278
)

// String returns the name of the chip as it is printed on it.
func (c Chip) String() string {
	switch c {
	case ADM1272:
		return "ADM1272"
	case ADM1275:
		return "ADM1275"
	case ADM1276:
		return "ADM1276"
	case ADM1278:
		return "ADM1278"
	}
	return fmt.Sprintf("Chip(%d)", uint8(c))
}

// Commands of this family, and bits in the configuration of its monitor.
const (
	cmdControl = 0xD3
	cmdConfig  = 0xD4

	converting = 1 // in the control of the monitor

	conf30mV   = 1 << 0 // ADM1272
	confVout   = 1 << 1 // ADM1272, ADM1278
	confVin    = 1 << 2
	confTemp   = 1 << 3
	confWide   = 1 << 5 // not ADM1278
	confSelect = 1 << 6 // ADM1275, ADM1276: voltage of the output in place of the input

	topOfADC = 1<<12 - 1
	noLimit  = topOfADC

	coldest = physic.ZeroCelsius - 55*physic.Celsius
	hottest = physic.ZeroCelsius + 175*physic.Celsius

	minShunt = 10 * physic.MicroOhm
	maxShunt = physic.Ohm
)

// Opts says how the chip is wired, and what New programs.
type Opts struct {
	// Chip is the member of the family.
	Chip Chip
	// Addr is the 7-bit I²C address.
	Addr uint16
	// Shunt is the resistance of the shunt, 10 µΩ to 1 Ω.
	Shunt physic.ElectricResistance
	// WideVolts chooses the upper range of the voltage: 100 V in place of 60 V, 20
	// V in place of 6 V; an ADM1278 has but one.
	WideVolts bool
	// WideAmps chooses the upper range of the current of an ADM1272: 30 mV across
	// the shunt in place of 15 mV.
	WideAmps bool
	// Average is how many conversions are averaged: 1, 2, 4, 8, 16, 32, 64 or 128.
	Average int
	// Warn is the current above which the chip warns by itself (IOUT_OC_WARN),
	// rounded down to a step of its ADC; 0 leaves the limit out. A current that
	// flows back is never above.
	Warn physic.ElectricCurrent
	// PEC ends every transaction with a packet error code.
	PEC bool
}

// DefaultOpts suits an ADM1272 on a battery of up to 100 V with a shunt of 1 mΩ
// that carries up to 30 A, averaging 16 conversions, without a limit.
func DefaultOpts() *Opts {
	return &Opts{
		Chip:      ADM1272,
		Addr:      0x10,
		Shunt:     physic.MilliOhm,
		WideVolts: true,
		WideAmps:  true,
		Average:   16,
	}
}

// Measurement is what the chip saw in its last window.
type Measurement struct {
	// Volts is the voltage at the input, never negative.
	Volts physic.ElectricPotential
	// Amps is the current through the shunt; negative when it flows back.
	Amps physic.ElectricCurrent
	// Watts is Volts × Amps.
	Watts physic.Power
	// Raw are the words READ_VIN and READ_IOUT as they were read.
	Raw [2]uint16
}

// format are the coefficients of a chip; M is 0 where it does not measure.
type format struct{ volts, amps, watts, celsius pmbus.Coefficients }

// Dev is one chip of the family.
type Dev struct {
	conn   pmbus.Conn
	name   string
	chip   Chip
	format format
	narrow bool   // the configuration is one byte
	known  uint16 // bits of the configuration that this package sets or clears
	want   uint16 // and how
	config uint16 // all of it, as Configure left it
	warn   uint16 // limit, noLimit if none
}

var _ conn.Resource = (*Dev)(nil)

// New returns the monitor at opts.Addr after Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: pmbus.Conn{Dev: i2c.Dev{Bus: bus, Addr: opts.Addr}, PEC: opts.PEC},
		name: fmt.Sprintf("%s@%s/%#02x", strings.ToLower(opts.Chip.String()), bus, opts.Addr),
		chip: opts.Chip,
		warn: noLimit,
	}
	if opts.Chip > ADM1278 {
		return nil, fmt.Errorf("%s: want ADM1272, ADM1275, ADM1276 or ADM1278", d)
	}
	if opts.Addr > 0x7F {
		return nil, fmt.Errorf("%s: address %#x: want 7 bits", d, opts.Addr)
	}
	if opts.Shunt < minShunt || opts.Shunt > maxShunt {
		return nil, fmt.Errorf("%s: shunt %s: want %s to %s", d, opts.Shunt, minShunt, maxShunt)
	}
	if opts.Average < 1 || opts.Average > 128 || bits.OnesCount(uint(opts.Average)) != 1 {
		return nil, fmt.Errorf("%s: average of %d: want 1, 2, 4, 8, 16, 32, 64 or 128", d, opts.Average)
	}
	if opts.WideAmps && opts.Chip != ADM1272 {
		return nil, fmt.Errorf("%s: upper range of the current: only an ADM1272 has one", d)
	}
	d.program(opts)
	if opts.Warn != 0 {
		word, ok := d.format.amps.Encode(float64(opts.Warn) / 1e9)
		if !ok || opts.Warn < 0 || word >= noLimit || int64(word) <= d.zero() {
			return nil, fmt.Errorf("%s: warning above %s: want above %s, below %s", d, opts.Warn, d.amps(uint16(d.zero()+1)), d.amps(noLimit))
		}
		d.warn = word
	}
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// program works out the coefficients and the configuration.
func (d *Dev) program(opts *Opts) {
	average := uint16(bits.TrailingZeros(uint(opts.Average)))
	set := func(bit uint16, on bool) {
		d.known |= bit
		if on {
			d.want |= bit
		}
	}
	wide := opts.WideVolts
	switch opts.Chip {
	case ADM1272:
		d.format = format{
			volts:   pmbus.Coefficients{M: 6770, R: -2},
			amps:    pmbus.Coefficients{M: 1326, B: 20480, R: -1},
			watts:   pmbus.Coefficients{M: 3512, R: -2},
			celsius: pmbus.Coefficients{M: 42, B: 31871, R: -1},
		}
		if wide {
			d.format.volts.M = 4062
		}
		if opts.WideAmps {
			d.format.amps.M = 663
		}
		switch {
		case wide && opts.WideAmps:
			d.format.watts = pmbus.Coefficients{M: 10535, R: -3}
		case wide:
			d.format.watts = pmbus.Coefficients{M: 21071, R: -3}
		case opts.WideAmps:
			d.format.watts = pmbus.Coefficients{M: 17561, R: -3}
		}
		set(confWide, wide)
		set(conf30mV, opts.WideAmps)
		set(confVin|confVout|confTemp, true)
		d.known |= 0x3F << 8 // averaging of power, and of voltage and current
		d.want |= average<<11 | average<<8
	case ADM1278:
		d.format = format{
			volts:   pmbus.Coefficients{M: 19599, R: -2},
			amps:    pmbus.Coefficients{M: 800, B: 20475, R: -1},
			watts:   pmbus.Coefficients{M: 6123, R: -2},
			celsius: pmbus.Coefficients{M: 42, B: 31880, R: -1},
		}
		set(confVin|confVout|confTemp, true)
		d.known |= 0x3F << 8
		d.want |= average<<11 | average<<8
	case ADM1275, ADM1276:
		d.format = format{
			volts: pmbus.Coefficients{M: 6720, R: -1},
			amps:  pmbus.Coefficients{M: 807, B: 20475, R: -1},
			watts: pmbus.Coefficients{M: 2115, R: -1},
		}
		if wide {
			d.format.volts = pmbus.Coefficients{M: 19199, R: -2}
			d.format.watts = pmbus.Coefficients{M: 6043, R: -2}
		}
		if opts.Chip == ADM1275 {
			d.format.watts = pmbus.Coefficients{}
		}
		set(confWide, wide)
		set(confSelect, false)
		d.known |= 7
		d.want |= average
		d.narrow = true
	}
	// The coefficients are for a shunt of 1 mΩ.
	shunt := float64(opts.Shunt) / float64(physic.MilliOhm)
	d.format.amps.M *= shunt
	d.format.watts.M *= shunt
}

// zero returns the highest word at which no current flows forward.
func (d *Dev) zero() int64 {
	word, _ := d.format.amps.Encode(0)
	return int64(word)
}

// Configure makes sure that the chip of Opts answers, by its maker and model,
// writes all that New was given, and checks it. Bits of the configuration that
// this package does not know stay as they are. The monitor does not convert
// meanwhile.
func (d *Dev) Configure() error {
	for _, id := range [...]struct {
		command byte
		want    string
	}{{pmbus.MfrID, "ADI"}, {pmbus.MfrModel, d.chip.String()}} {
		got, err := d.conn.Block(id.command, len(id.want))
		if err != nil {
			return fmt.Errorf("%s: %w", d, err)
		}
		if !strings.EqualFold(string(got), id.want) {
			return fmt.Errorf("%s: command %#02x reads %q, want %q: %w", d, id.command, got, id.want, ErrWord)
		}
	}
	config, err := d.configuration()
	if err != nil {
		return err
	}
	config = config&^d.known | d.want
	if err := d.conn.SetByte(cmdControl, 0); err != nil {
		return fmt.Errorf("%s: stop: %w", d, err)
	}
	if d.narrow {
		err = d.conn.SetByte(cmdConfig, byte(config))
	} else {
		err = d.conn.SetWord(cmdConfig, config)
	}
	// It must convert again, whatever became of the configuration.
	if err := errors.Join(err, d.conn.SetByte(cmdControl, converting)); err != nil {
		return fmt.Errorf("%s: configure: %w", d, err)
	}
	d.config = config
	if err := d.conn.SetWord(pmbus.IoutOCWarn, d.warn); err != nil {
		return fmt.Errorf("%s: warning limit: %w", d, err)
	}
	return d.Check()
}

// configuration reads the configuration of the monitor.
func (d *Dev) configuration() (uint16, error) {
	if d.narrow {
		b, err := d.conn.Byte(cmdConfig)
		if err != nil {
			return 0, fmt.Errorf("%s: configuration: %w", d, err)
		}
		if b == 0xFF {
			return 0, fmt.Errorf("%s: configuration %#02x: %w", d, b, ErrWord)
		}
		return uint16(b), nil
	}
	word, err := d.conn.Word(cmdConfig)
	if err != nil {
		return 0, fmt.Errorf("%s: configuration: %w", d, err)
	}
	if word == 0xFFFF {
		return 0, fmt.Errorf("%s: configuration %#04x: %w", d, word, ErrWord)
	}
	return word, nil
}

// Check reads the configuration and the warning limit back. The error is ErrReset
// if they are not what Configure left.
func (d *Dev) Check() error {
	config, err := d.configuration()
	if err != nil {
		return err
	}
	if config != d.config {
		return fmt.Errorf("%s: configuration %#04x, want %#04x: %w", d, config, d.config, ErrReset)
	}
	warn, err := d.measured("warning limit", pmbus.IoutOCWarn)
	if err != nil {
		return err
	}
	if warn != d.warn {
		return fmt.Errorf("%s: warning limit %#04x, want %#04x: %w", d, warn, d.warn, ErrReset)
	}
	return nil
}

// measured reads a word of the ADC's 12 bits.
func (d *Dev) measured(what string, command byte) (uint16, error) {
	word, err := d.conn.Word(command)
	if err != nil {
		return 0, fmt.Errorf("%s: %s: %w", d, what, err)
	}
	if word > topOfADC {
		return 0, fmt.Errorf("%s: %s %#04x: %w", d, what, word, ErrWord)
	}
	return word, nil
}

// Sense reads the last window into m. On an error m is left as it was.
func (d *Dev) Sense(m *Measurement) error {
	vin, err := d.measured("voltage", pmbus.ReadVin)
	if err != nil {
		return err
	}
	iout, err := d.measured("current", pmbus.ReadIout)
	if err != nil {
		return err
	}
	// The last to be read, so that a reset before or between is seen. Without the
	// configuration the ranges are not known.
	if err := d.Check(); err != nil {
		return err
	}
	volts := physic.ElectricPotential(math.Round(d.format.volts.Decode(vin) * 1e9))
	amps := d.amps(iout)
	*m = Measurement{
		Volts: volts,
		Amps:  amps,
		Watts: physic.Power(math.Round(float64(volts) * float64(amps) / 1e9)),
		Raw:   [2]uint16{vin, iout},
	}
	return nil
}

// amps converts the word of a current.
func (d *Dev) amps(word uint16) physic.ElectricCurrent {
	return physic.ElectricCurrent(math.Round(d.format.amps.Decode(word) * 1e9))
}

// Power reads the power that the chip itself works out, conversion by conversion,
// into p. On an error p is left as it was; an ADM1275 has no power, ErrNone.
// Without PEC a word of all ones, one step backwards, is an error.
func (d *Dev) Power(p *physic.Power) error {
	if d.format.watts.M == 0 {
		return fmt.Errorf("%s: power: %w", d, ErrNone)
	}
	word, err := d.conn.Word(pmbus.ReadPin)
	if err != nil {
		return fmt.Errorf("%s: power: %w", d, err)
	}
	if word == 0xFFFF && !d.conn.PEC { // a step backwards, or a stuck bus
		return fmt.Errorf("%s: power %#04x: %w", d, word, ErrWord)
	}
	*p = physic.Power(math.Round(d.format.watts.Decode(word) * 1e9))
	return nil
}

// Temperature reads the temperature at the sensor of the chip, as a rule that of
// the MOSFET, into t. On an error t is left as it was; ADM1275 and ADM1276 have
// none, ErrNone.
func (d *Dev) Temperature(t *physic.Temperature) error {
	if d.format.celsius.M == 0 {
		return fmt.Errorf("%s: temperature: %w", d, ErrNone)
	}
	word, err := d.measured("temperature", pmbus.ReadTemperature)
	if err != nil {
		return err
	}
	temp := physic.ZeroCelsius + physic.Temperature(math.Round(d.format.celsius.Decode(word)*1e9))
	if temp < coldest || temp > hottest {
		return fmt.Errorf("%s: temperature %#04x is %s: %w", d, word, temp, ErrWord)
	}
	*t = temp
	return nil
}

// Status reads the status word and the status of the output current. Their bits
// stay until ClearFaults.
func (d *Dev) Status() (pmbus.Status, pmbus.IoutStatus, error) {
	word, err := d.conn.Word(pmbus.StatusWord)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: status: %w", d, err)
	}
	if word == 0xFFFF {
		return 0, 0, fmt.Errorf("%s: status %#04x: %w", d, word, ErrWord)
	}
	iout, err := d.conn.Byte(pmbus.StatusIout)
	if err != nil {
		return 0, 0, fmt.Errorf("%s: status: %w", d, err)
	}
	return pmbus.Status(word), pmbus.IoutStatus(iout), nil
}

// ClearFaults ends what Status says; what still stands comes back.
func (d *Dev) ClearFaults() error {
	if err := d.conn.Send(pmbus.ClearFaults); err != nil {
		return fmt.Errorf("%s: clear faults: %w", d, err)
	}
	return nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; the chip goes on converting, for its warning.
func (d *Dev) Halt() error { return nil }
