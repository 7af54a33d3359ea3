package ads1115

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

var (
	// ErrBusy comes while the conversion is under way; ask again later.
	ErrBusy = errors.New("conversion is under way")
	// ErrReset comes when the chip does not hold the configuration that was
	// written: it lost its supply, or the bus is stuck.
	ErrReset = errors.New("configuration lost")
	// ErrIdle comes from Sense in single-shot mode when no conversion was started.
	ErrIdle = errors.New("no conversion was started")
)

// Registers, and fields of the configuration.
const (
	regConversion = 0
	regConfig     = 1

	confStart  = 1 << 15 // written: start; read: nothing is under way
	confInput  = 12      // shift
	confRange  = 9       // shift
	confSingle = 1 << 8
	confRate   = 5 // shift
	confQuiet  = 3 // comparator off
)

// Input is what is converted: the difference between two pins, or one pin.
type Input uint8

// The inputs, as codes of the multiplexer.
const (
	// A0A1 is pin A0 minus pin A1.
	A0A1 Input = iota
	// A0A3 is pin A0 minus pin A3.
	A0A3
	// A1A3 is pin A1 minus pin A3.
	A1A3
	// A2A3 is pin A2 minus pin A3.
	A2A3
	// A0 is pin A0.
	A0
	// A1 is pin A1.
	A1
	// A2 is pin A2.
	A2
	// A3 is pin A3.
	A3
)

// Range is the full scale of a conversion. No pin may be more than 0.3 V outside
// the supply, whatever the range.
type Range uint8

// The ranges, as codes of the amplifier.
const (
	// Range6144mV is ±6.144 V, 187.5 µV a code.
	Range6144mV Range = iota
	// Range4096mV is ±4.096 V, 125 µV a code.
	Range4096mV
	// Range2048mV is ±2.048 V, 62.5 µV a code.
	Range2048mV
	// Range1024mV is ±1.024 V, 31.25 µV a code.
	Range1024mV
	// Range512mV is ±0.512 V, 15.625 µV a code.
	Range512mV
	// Range256mV is ±0.256 V, 7.8125 µV a code.
	Range256mV
)

// code is what one code of the range is worth, in units of 0.1 nV.
func (r Range) code() int64 {
	return [...]int64{1875000, 1250000, 625000, 312500, 156250, 78125}[r]
}

// Rate is the number of conversions in a second, within 10 %.
type Rate uint8

// The rates, as codes of the chip.
const (
	// Rate8 is 8 conversions a second.
	Rate8 Rate = iota
	// Rate16 is 16 conversions a second.
	Rate16
	// Rate32 is 32 conversions a second.
	Rate32
	// Rate64 is 64 conversions a second.
	Rate64
	// Rate128 is 128 conversions a second, the rate after power-on.
	Rate128
	// Rate250 is 250 conversions a second.
	Rate250
	// Rate475 is 475 conversions a second.
	Rate475
	// Rate860 is 860 conversions a second.
	Rate860
)

// Period is the nominal time of a conversion.
func (r Rate) Period() time.Duration {
	return time.Second / [...]time.Duration{8, 16, 32, 64, 128, 250, 475, 860}[r]
}

// Longest is the longest time of a conversion: the oscillator may be 10 % slow,
// and a single conversion wakes the chip up first.
func (r Rate) Longest() time.Duration { return r.Period()*10/9 + 30*time.Microsecond }

// Opts is the address and what is converted.
type Opts struct {
	// Addr is the 7-bit I²C address, 0x48 to 0x4B.
	Addr uint16
	// Continuous converts one input over and over; otherwise each Start makes one
	// conversion, and the chip sleeps in between.
	Continuous bool
	// Input, Range and Rate are those of the conversions.
	Input Input
	Range Range
	Rate  Rate
}

// DefaultOpts is what the chip does after power-on, at the address of ADDR low.
func DefaultOpts() *Opts { return &Opts{Addr: 0x48, Input: A0A1, Range: Range2048mV, Rate: Rate128} }

// Reading is one conversion.
type Reading struct {
	// Volts is the voltage of the input.
	Volts physic.ElectricPotential
	// Clipped says that the code is at an end of its range: the voltage may be
	// anything beyond.
	Clipped bool
	// Raw is the code.
	Raw int16
}

// Dev is one converter.
type Dev struct {
	conn    i2c.Dev
	name    string
	opts    Opts
	config  uint16 // what the configuration register holds, the start bit aside
	started bool
	write   [3]byte
	read    [2]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the converter at opts.Addr. It checks the options and leaves the
// bus alone; a continuous converter needs Configure before the first Sense.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: i2c.Dev{Bus: bus, Addr: opts.Addr},
		name: fmt.Sprintf("ads1115@%s/%#02x", bus, opts.Addr),
		opts: *opts,
	}
	if opts.Addr < 0x48 || opts.Addr > 0x4B {
		return nil, fmt.Errorf("%s: address %#02x: want 0x48 to 0x4b", d, opts.Addr)
	}
	if err := check(opts.Input, opts.Range); err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	if opts.Rate > Rate860 {
		return nil, fmt.Errorf("%s: rate %d: want Rate8 to Rate860", d, opts.Rate)
	}
	d.config = d.word(opts.Input, opts.Range)
	return d, nil
}

func check(input Input, r Range) error {
	if input > A3 {
		return fmt.Errorf("input %d: want A0A1 to A3", input)
	}
	if r > Range256mV {
		return fmt.Errorf("range %d: want Range6144mV to Range256mV", r)
	}
	return nil
}

// word is the configuration for an input, without the start bit.
func (d *Dev) word(input Input, r Range) uint16 {
	word := uint16(input)<<confInput | uint16(r)<<confRange | uint16(d.opts.Rate)<<confRate | confQuiet
	if !d.opts.Continuous {
		word |= confSingle
	}
	return word
}

// Configure writes the configuration and reads it back: the conversions of a
// continuous converter begin, a single-shot converter sleeps.
func (d *Dev) Configure() error {
	d.started = false
	d.config = d.word(d.opts.Input, d.opts.Range)
	if err := d.set(d.config); err != nil {
		return err
	}
	if _, err := d.idle(); err != nil {
		return err
	}
	d.started = d.opts.Continuous
	return nil
}

// Start begins one conversion in single-shot mode, of the input and range of the
// options.
func (d *Dev) Start() error {
	if d.opts.Continuous {
		return fmt.Errorf("%s: start: the converter is continuous", d)
	}
	return d.start(d.opts.Input, d.opts.Range)
}

func (d *Dev) start(input Input, r Range) error {
	d.started = false
	d.config = d.word(input, r)
	if err := d.set(d.config | confStart); err != nil {
		return err
	}
	d.started = true
	return nil
}

// Sense reads the last conversion into r; in single-shot mode it ends what Start
// began. On an error r is left as it was; after ErrBusy the conversion goes on.
func (d *Dev) Sense(r *Reading) error {
	if !d.started {
		if d.opts.Continuous {
			return fmt.Errorf("%s: not configured: %w", d, ErrReset)
		}
		return fmt.Errorf("%s: %w", d, ErrIdle)
	}
	// The configuration says which input the conversion is of, and whether it is
	// over: an old code must not pass for a new one.
	idle, err := d.idle()
	if err != nil {
		return err
	}
	if !idle && !d.opts.Continuous {
		return fmt.Errorf("%s: %w", d, ErrBusy)
	}
	word, err := d.register(regConversion)
	if err != nil {
		return err
	}
	d.started = d.opts.Continuous
	*r = reading(word, Range(d.config>>confRange&7))
	return nil
}

// reading converts a word of the conversion register.
func reading(word uint16, r Range) Reading {
	code := int16(word)
	tenths := int64(code) * r.code() // of a nanovolt
	return Reading{
		Volts:   physic.ElectricPotential(math.Round(float64(tenths) / 10)),
		Clipped: code == math.MaxInt16 || code == math.MinInt16,
		Raw:     code,
	}
}

// idle reads the configuration and compares it, and reports whether no
// conversion is under way.
func (d *Dev) idle() (bool, error) {
	word, err := d.register(regConfig)
	if err != nil {
		return false, err
	}
	if got := word &^ confStart; got != d.config {
		d.started = false
		return false, fmt.Errorf("%s: configuration %#04x, want %#04x: %w", d, got, d.config, ErrReset)
	}
	return word&confStart != 0, nil
}

func (d *Dev) register(reg byte) (uint16, error) {
	d.write[0] = reg
	if err := d.conn.Tx(d.write[:1], d.read[:]); err != nil {
		return 0, fmt.Errorf("%s: read register %d: %w", d, reg, err)
	}
	return binary.BigEndian.Uint16(d.read[:]), nil
}

func (d *Dev) set(word uint16) error {
	d.write = [3]byte{regConfig, byte(word >> 8), byte(word)}
	if err := d.conn.Tx(d.write[:], nil); err != nil {
		return fmt.Errorf("%s: write register %d: %w", d, regConfig, err)
	}
	return nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource. It puts a continuous converter to sleep.
func (d *Dev) Halt() error {
	if !d.opts.Continuous || !d.started {
		return nil
	}
	d.started = false
	return d.set(d.config | confSingle)
}
