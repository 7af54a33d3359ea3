package mlx90640

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

var (
	// ErrCalibration comes from New when the EEPROM cannot be that of a good chip.
	ErrCalibration = errors.New("impossible calibration")
	// ErrNoData comes from Sense when no subpage is new, or the first one has no
	// partner yet.
	ErrNoData = errors.New("no new data")
	// ErrTorn comes from Sense when a subpage came while the one before was read.
	ErrTorn = errors.New("subpage came while reading")
	// ErrWord comes from Sense when the counts give what the chip cannot measure:
	// the bus is stuck, or bits flipped.
	ErrWord = errors.New("impossible measurement")
	// ErrReset comes from Sense, Check and Configure when the chip no longer holds
	// what was configured, as after a loss of its supply.
	ErrReset = errors.New("configuration lost")
)

// The size of a frame.
const (
	// Width is the number of pixels in a row.
	Width = 32
	// Height is the number of pixels in a column.
	Height = 24
)

// Addresses and bits.
const (
	addrEEPROM  = 0x2400
	addrRAM     = 0x0400
	addrStatus  = 0x8000
	addrControl = 0x800D

	statusSubpage = 0x0007
	statusNew     = 0x0008
	statusClear   = 0x0030 // RAM may be overwritten; the note of new data is taken away

	controlBase       = 0x1801 // chess pattern, 18 bits, subpages
	controlRate       = 7      // shift
	controlResolution = 2

	piece = 64 // words in one read

	coldest, hottest = -60, 500
)

// Rate is how many subpages the chip measures; a frame takes two.
type Rate uint8

// The rates of the chip.
const (
	// Rate500mHz is one subpage in two seconds.
	Rate500mHz Rate = iota
	// Rate1Hz is one subpage a second.
	Rate1Hz
	// Rate2Hz is the rate after power-on.
	Rate2Hz
	// Rate4Hz is four subpages a second.
	Rate4Hz
	// Rate8Hz is eight subpages a second.
	Rate8Hz
	// Rate16Hz needs a bus of 1 MHz.
	Rate16Hz
	// Rate32Hz needs a bus of 1 MHz for itself.
	Rate32Hz
)

// Opts is the address and how to measure.
type Opts struct {
	// Addr is the 7-bit I²C address, 0x33 unless the EEPROM was changed.
	Addr uint16
	// Rate is how many subpages the chip measures.
	Rate Rate
	// Emissivity of what is looked at, 0.1 to 1: plastics and paint have 0.95.
	Emissivity float64
	// Warmer is by how much the chip is warmer than what the object reflects: 8 K
	// in the open air.
	Warmer float64
}

// DefaultOpts looks at plastics in the open air, two subpages a second.
func DefaultOpts() *Opts { return &Opts{Addr: 0x33, Rate: Rate2Hz, Emissivity: 0.95, Warmer: 8} }

// Frame is one picture.
type Frame struct {
	// Pixels are the temperatures that the pixels see, row by row.
	Pixels [Width * Height]physic.Temperature
	// Chip is the temperature of the chip itself.
	Chip physic.Temperature
	// Supply is the voltage at the chip.
	Supply physic.ElectricPotential
}

// Hottest returns the highest temperature and the first pixel that has it.
func (f *Frame) Hottest() (physic.Temperature, int) {
	at := 0
	for i, t := range f.Pixels {
		if t > f.Pixels[at] {
			at = i
		}
	}
	return f.Pixels[at], at
}

// Dev is one array.
type Dev struct {
	conn       i2c.Dev
	name       string
	control    uint16
	emissivity float64
	warmer     float64
	cal        calibration
	words      [words]uint16
	objects    [pixels]float64 // of both subpages, the newest of each
	trial      [pixels]float64
	seen       [2]bool
	write      [4]byte
	read       [2 * piece]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the array at opts.Addr after it read the calibration, and Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn:       i2c.Dev{Bus: bus, Addr: opts.Addr},
		name:       fmt.Sprintf("mlx90640@%s/%#02x", bus, opts.Addr),
		control:    controlBase | uint16(opts.Rate)<<controlRate,
		emissivity: opts.Emissivity,
		warmer:     opts.Warmer,
	}
	switch {
	case opts.Addr < 0x08 || opts.Addr > 0x77:
		return nil, fmt.Errorf("%s: address %#02x: want 0x08 to 0x77", d, opts.Addr)
	case opts.Rate > Rate32Hz:
		return nil, fmt.Errorf("%s: rate %d: want Rate500mHz to Rate32Hz", d, opts.Rate)
	case !(opts.Emissivity >= 0.1 && opts.Emissivity <= 1):
		return nil, fmt.Errorf("%s: emissivity %g: want 0.1 to 1", d, opts.Emissivity)
	case !(math.Abs(opts.Warmer) <= 50):
		return nil, fmt.Errorf("%s: warmer by %g K: want -50 to 50", d, opts.Warmer)
	}
	if err := d.receive(addrEEPROM, d.words[:]); err != nil {
		return nil, err
	}
	if err := d.cal.parse(&d.words); err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// Configure writes the control register and checks it. The next frame needs two new
// subpages.
func (d *Dev) Configure() error {
	d.seen = [2]bool{}
	if err := d.send(addrControl, d.control); err != nil {
		return err
	}
	return d.Check()
}

// Check reads the control register back. The error is ErrReset if it is not what
// was written. A chip that was reset at Rate2Hz has lost nothing.
func (d *Dev) Check() error {
	control, err := d.word(addrControl)
	if err != nil {
		return err
	}
	if control != d.control {
		return fmt.Errorf("%s: control %#04x, want %#04x: %w", d, control, d.control, ErrReset)
	}
	return nil
}

// Sense reads the new subpage and, if it has its partner, fills f with the newest
// frame. On an error f is left as it was.
func (d *Dev) Sense(f *Frame) error {
	status, err := d.word(addrStatus)
	if err != nil {
		return err
	}
	if status&statusNew == 0 {
		return fmt.Errorf("%s: %w", d, ErrNoData)
	}
	subpage := int(status & statusSubpage)
	if subpage > 1 {
		return fmt.Errorf("%s: subpage %d: %w", d, subpage, ErrWord)
	}
	if err := d.send(addrStatus, statusClear); err != nil {
		return err
	}
	if err := d.receive(addrRAM, d.words[:]); err != nil {
		return err
	}
	if status, err = d.word(addrStatus); err != nil {
		return err
	}
	if status&statusNew != 0 {
		return fmt.Errorf("%s: %w", d, ErrTorn)
	}
	if err := d.Check(); err != nil { // the resolution is part of the arithmetic
		return err
	}
	volts, ta, err := d.convert(subpage)
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	d.objects = d.trial
	d.seen[subpage] = true
	if !d.seen[1-subpage] {
		return fmt.Errorf("%s: the first subpage: %w", d, ErrNoData)
	}
	for i, celsius := range d.objects {
		f.Pixels[i] = temperature(celsius)
	}
	f.Chip = temperature(ta)
	f.Supply = physic.ElectricPotential(math.Round(volts * float64(physic.Volt)))
	return nil
}

// convert converts the words of RAM; the pixels go to d.trial.
func (d *Dev) convert(subpage int) (volts, ta float64, err error) {
	volts, ta = d.cal.conditions(&d.words, controlResolution)
	gain := d.cal.relativeGain(&d.words)
	if !(volts > 2.5 && volts < 4) || !(ta > -45 && ta < 130) || !(gain > 0.5 && gain < 2) {
		return 0, 0, fmt.Errorf("supply %.4g V, chip %.4g °C, gain %.4g: %w", volts, ta, gain, ErrWord)
	}
	d.trial = d.objects
	d.cal.objects(&d.words, subpage, volts, ta, d.emissivity, ta-d.warmer, &d.trial)
	d.cal.mend(&d.trial)
	for i, celsius := range d.trial {
		if !(celsius >= coldest && celsius <= hottest) { // NaN is none of both
			return 0, 0, fmt.Errorf("pixel %d: counts %#04x are %.4g °C: %w", i, d.words[i], celsius, ErrWord)
		}
	}
	return volts, ta, nil
}

func temperature(celsius float64) physic.Temperature {
	return physic.ZeroCelsius + physic.Temperature(math.Round(celsius*float64(physic.Celsius)))
}

// send writes one word.
func (d *Dev) send(addr, word uint16) error {
	binary.BigEndian.PutUint16(d.write[:], addr)
	binary.BigEndian.PutUint16(d.write[2:], word)
	if err := d.conn.Tx(d.write[:], nil); err != nil {
		return fmt.Errorf("%s: write %#04x: %w", d, addr, err)
	}
	return nil
}

// word reads one word.
func (d *Dev) word(addr uint16) (uint16, error) {
	binary.BigEndian.PutUint16(d.write[:], addr)
	if err := d.conn.Tx(d.write[:2], d.read[:2]); err != nil {
		return 0, fmt.Errorf("%s: read %#04x: %w", d, addr, err)
	}
	return binary.BigEndian.Uint16(d.read[:]), nil
}

// receive reads words from addr on, in pieces.
func (d *Dev) receive(addr uint16, into []uint16) error {
	for len(into) > 0 {
		n := min(len(into), piece)
		binary.BigEndian.PutUint16(d.write[:], addr)
		if err := d.conn.Tx(d.write[:2], d.read[:2*n]); err != nil {
			return fmt.Errorf("%s: read %#04x: %w", d, addr, err)
		}
		for i := range n {
			into[i] = binary.BigEndian.Uint16(d.read[2*i:])
		}
		into, addr = into[n:], addr+uint16(n)
	}
	return nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; the array goes on measuring.
func (d *Dev) Halt() error { return nil }
