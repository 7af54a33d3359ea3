package amg8833

import (
	"encoding/binary"
	"errors"
	"fmt"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

var (
	// ErrWord comes when a register holds what the chip cannot send: the bus is
	// stuck, a bit flipped, or another chip has this address.
	ErrWord = errors.New("impossible register word")
	// ErrNoFrame comes from Sense when the chip has made no frame since it was
	// reset.
	ErrNoFrame = errors.New("no frame yet")
	// ErrReset comes from Check when the chip no longer holds what was
	// configured, as after a loss of its supply.
	ErrReset = errors.New("configuration lost")
)

// Side is the number of pixels in a row and in a column.
const Side = 8

// Registers, and what is written to them.
const (
	regPower      = 0x00
	regReset      = 0x01
	regFrameRate  = 0x02
	regThermistor = 0x0E
	regPixels     = 0x80

	powerNormal  = 0x00
	resetInitial = 0x3F

	coldest = physic.ZeroCelsius - 55*physic.Celsius
)

// Rate is how many frames the chip makes.
type Rate uint8

// The rates of the chip.
const (
	// Rate10Hz is ten frames a second.
	Rate10Hz Rate = iota
	// Rate1Hz is one frame a second, the mean of ten, with less noise.
	Rate1Hz
)

// Opts is the address and the frame rate.
type Opts struct {
	// Addr is the 7-bit I²C address, 0x68 or 0x69.
	Addr uint16
	// Rate is how many frames the chip makes.
	Rate Rate
}

// DefaultOpts suits a breakout board with AD_SELECT high: ten frames a second.
func DefaultOpts() *Opts { return &Opts{Addr: 0x69, Rate: Rate10Hz} }

// Frame is one picture.
type Frame struct {
	// Pixels are the temperatures that the pixels see, row by row from below.
	Pixels [Side * Side]physic.Temperature
	// Chip is the temperature of the chip itself.
	Chip physic.Temperature
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
	conn  i2c.Dev
	name  string
	rate  byte
	frame Frame // scratch, so that a failed read leaves the caller's alone
	write [2]byte
	read  [2 * Side * Side]byte
}

var _ conn.Resource = (*Dev)(nil)

// New returns the array at opts.Addr after Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: i2c.Dev{Bus: bus, Addr: opts.Addr},
		name: fmt.Sprintf("amg8833@%s/%#02x", bus, opts.Addr),
		rate: byte(opts.Rate),
	}
	if opts.Addr != 0x68 && opts.Addr != 0x69 {
		return nil, fmt.Errorf("%s: address %#02x: want 0x68 or 0x69", d, opts.Addr)
	}
	if opts.Rate > Rate1Hz {
		return nil, fmt.Errorf("%s: rate %d: want Rate10Hz or Rate1Hz", d, opts.Rate)
	}
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// Configure wakes the chip, resets it, sets the frame rate, and checks it. The
// first frame after it takes up to two frame times.
func (d *Dev) Configure() error {
	for _, w := range [...][2]byte{{regPower, powerNormal}, {regReset, resetInitial}, {regFrameRate, d.rate}} {
		d.write = w
		if err := d.conn.Tx(d.write[:], nil); err != nil {
			return fmt.Errorf("%s: write register %#02x: %w", d, w[0], err)
		}
	}
	return d.Check()
}

// Check reads the power mode, the frame rate and the interrupt control back. The
// error is ErrReset if they are not what was written. A chip that was reset while
// it was set to ten frames a second has lost nothing.
func (d *Dev) Check() error {
	if err := d.receive(regPower, 4); err != nil {
		return err
	}
	// The second is the reset register, which cannot be read.
	power, rate, interrupt := d.read[0], d.read[2], d.read[3]
	if power != powerNormal || rate != d.rate || interrupt != 0 {
		return fmt.Errorf("%s: power %#02x, frame rate %#02x, interrupt %#02x, want 0x00, %#02x, 0x00: %w",
			d, power, rate, interrupt, d.rate, ErrReset)
	}
	return nil
}

// Sense reads the last frame into f. On an error f is left as it was.
func (d *Dev) Sense(f *Frame) error {
	if err := d.receive(regThermistor, 2); err != nil {
		return err
	}
	raw := binary.LittleEndian.Uint16(d.read[:])
	some := raw != 0
	var err error
	if d.frame.Chip, err = temperature(raw, thermistor(raw)); err != nil {
		return fmt.Errorf("%s: thermistor: %w", d, err)
	}
	if err := d.receive(regPixels, len(d.read)); err != nil {
		return err
	}
	for i := range d.frame.Pixels {
		raw := binary.LittleEndian.Uint16(d.read[2*i:])
		some = some || raw != 0
		if d.frame.Pixels[i], err = temperature(raw, pixel(raw)); err != nil {
			return fmt.Errorf("%s: pixel %d: %w", d, i, err)
		}
	}
	if !some {
		return fmt.Errorf("%s: %w", d, ErrNoFrame)
	}
	*f = d.frame
	return nil
}

// temperature checks what a word was converted to.
func temperature(word uint16, t physic.Temperature) (physic.Temperature, error) {
	if word == 0xFFFF || t < coldest {
		return 0, fmt.Errorf("%#04x: %w", word, ErrWord)
	}
	return t, nil
}

// pixel converts twelve bits, two's complement.
func pixel(word uint16) physic.Temperature {
	return physic.ZeroCelsius + physic.Temperature(int16(word<<4)>>4)*(physic.Celsius/4)
}

// thermistor converts twelve bits, sign and magnitude.
func thermistor(word uint16) physic.Temperature {
	t := physic.Temperature(word&0x7FF) * (physic.Celsius / 16)
	if word&0x800 != 0 {
		t = -t
	}
	return physic.ZeroCelsius + t
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

// Halt implements conn.Resource; the array goes on making frames.
func (d *Dev) Halt() error { return nil }
