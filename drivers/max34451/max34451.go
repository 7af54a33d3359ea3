package max34451

import (
	"errors"
	"fmt"
	"math"

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
	// configured, as after a loss of its supply, or turned another page by itself.
	// Configure brings it back.
	ErrReset = errors.New("configuration lost")
	// ErrSequenced comes when a channel that is to measure a current switches a
	// supply.
	ErrSequenced = errors.New("channel sequences a supply")
)

// Channels and Sensors are how many of both the chip has.
const (
	Channels = 16
	Sensors  = 5
)

// Commands of this chip, and what is in them.
const (
	cmdChannel = 0xE4

	maker = 0x4D

	selectMask     = 0x3F // of the channel's configuration
	sequencedVolts = 0x10
	monitorVolts   = 0x20
	readVolts      = 0x21
	monitorAmps    = 0x22

	// From this revision on the two overcurrent limits are where PMBus has them.
	standard = 0x0012

	firstSensor = 16 // its page

	coldest = physic.ZeroCelsius - 55*physic.Celsius
	hottest = physic.ZeroCelsius + 175*physic.Celsius
)

// Kind is what a channel measures.
type Kind uint8

// The kinds of channels.
const (
	// Off leaves a channel alone, whatever it does.
	Off Kind = iota
	// Volts is a voltage.
	Volts
	// Amps is a current.
	Amps
)

// Channel says what a channel measures, and its limits.
type Channel struct {
	// Kind is what it measures.
	Kind Kind
	// Warn and Fault are the currents above which the chip warns, and faults, by
	// itself, rounded down to 10 mA; 0 leaves a limit as it is.
	Warn, Fault physic.ElectricCurrent
}

// Opts says how the chip is wired, and what New programs.
type Opts struct {
	// Addr is the 7-bit I²C address.
	Addr uint16
	// Channels are the 16 channels; at least one is not Off.
	Channels [Channels]Channel
	// PEC ends every transaction with a packet error code.
	PEC bool
}

// DefaultOpts measures the voltage of every channel. The address depends on the
// straps of the board: check it.
func DefaultOpts() *Opts {
	opts := &Opts{Addr: 0x74}
	for i := range opts.Channels {
		opts.Channels[i].Kind = Volts
	}
	return opts
}

// Measurement is what the chip saw last, channel by channel. A channel that is
// Off reads zero.
type Measurement [Channels]Reading

// Reading is what the chip saw on one channel.
type Reading struct {
	// Volts is the voltage of a channel of voltage.
	Volts physic.ElectricPotential
	// Amps is the current of a channel of current.
	Amps physic.ElectricCurrent
	// Raw is the word READ_VOUT or READ_IOUT as it was read.
	Raw uint16
}

// setting is what a word of a page is to hold.
type setting struct {
	command byte
	word    uint16
}

// channel is what a channel holds.
type channel struct {
	kind   Kind
	config uint16 // as Configure left it
	limits [2]setting
	n      int // how many limits
}

// Dev is one MAX34451.
type Dev struct {
	conn        pmbus.Conn
	name        string
	warn, fault [Channels]uint16 // steps; 0 for none
	channels    [Channels]channel
	got         Measurement
}

var _ conn.Resource = (*Dev)(nil)

// The direct format of the chip.
func formatVolts() pmbus.Coefficients   { return pmbus.Coefficients{M: 1, R: 3} }
func formatAmps() pmbus.Coefficients    { return pmbus.Coefficients{M: 1, R: 2} }
func formatCelsius() pmbus.Coefficients { return pmbus.Coefficients{M: 1, R: 2} }

// New returns the monitor at opts.Addr after Configure.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: pmbus.Conn{Dev: i2c.Dev{Bus: bus, Addr: opts.Addr}, PEC: opts.PEC},
		name: fmt.Sprintf("max34451@%s/%#02x", bus, opts.Addr),
	}
	if opts.Addr > 0x7F {
		return nil, fmt.Errorf("%s: address %#x: want 7 bits", d, opts.Addr)
	}
	used := false
	for i := range opts.Channels {
		c := &opts.Channels[i]
		if c.Kind > Amps {
			return nil, fmt.Errorf("%s: channel %d: kind %d: want Off, Volts or Amps", d, i, c.Kind)
		}
		used = used || c.Kind != Off
		d.channels[i].kind = c.Kind
		if c.Kind != Amps && (c.Warn != 0 || c.Fault != 0) {
			return nil, fmt.Errorf("%s: channel %d: limit of a current: want a channel of current", d, i)
		}
		var err error
		if d.warn[i], err = steps(c.Warn); err != nil {
			return nil, fmt.Errorf("%s: channel %d: warning limit %w", d, i, err)
		}
		if d.fault[i], err = steps(c.Fault); err != nil {
			return nil, fmt.Errorf("%s: channel %d: fault limit %w", d, i, err)
		}
	}
	if !used {
		return nil, fmt.Errorf("%s: no channel is used", d)
	}
	if err := d.Configure(); err != nil {
		return nil, err
	}
	return d, nil
}

// steps returns the word of a limit, 0 for none.
func steps(above physic.ElectricCurrent) (uint16, error) {
	if above == 0 {
		return 0, nil
	}
	word, ok := formatAmps().Encode(float64(above) / 1e9)
	if !ok || above < 10*physic.MilliAmpere || word == math.MaxInt16 {
		return 0, fmt.Errorf("%s: want 10mA to 327.66A", above)
	}
	return word, nil
}

// Configure makes sure that a MAX34451 answers, as far as its maker tells, makes
// every channel that is not Off measure what New was told, writes the limits, and
// checks it all. The rest of the configuration stays as it is.
func (d *Dev) Configure() error {
	id, err := d.conn.Byte(pmbus.MfrID)
	if err != nil {
		return fmt.Errorf("%s: %w", d, err)
	}
	if id != maker {
		return fmt.Errorf("%s: manufacturer %#02x, want %#02x: %w", d, id, maker, ErrWord)
	}
	cmdWarn, cmdFault := byte(pmbus.IoutOCWarn), byte(pmbus.IoutOCFault)
	if d.limited() { // only where the limits are depends on the revision
		revision, err := d.conn.Word(pmbus.MfrRevision)
		if err != nil {
			return fmt.Errorf("%s: %w", d, err)
		}
		if revision == 0xFFFF {
			return fmt.Errorf("%s: revision %#04x: %w", d, revision, ErrWord)
		}
		if revision < standard {
			cmdWarn, cmdFault = cmdFault, cmdWarn
		}
	}
	for i := range d.channels {
		c := &d.channels[i]
		if c.kind == Off {
			continue
		}
		c.n = 0
		for _, limit := range [...]setting{{cmdWarn, d.warn[i]}, {cmdFault, d.fault[i]}} {
			if limit.word != 0 {
				c.limits[c.n] = limit
				c.n++
			}
		}
		if err := d.configure(i, c); err != nil {
			return fmt.Errorf("%s: channel %d: %w", d, i, err)
		}
	}
	return d.Check()
}

// limited reports whether any channel has a limit.
func (d *Dev) limited() bool {
	for i := range d.channels {
		if d.warn[i] != 0 || d.fault[i] != 0 {
			return true
		}
	}
	return false
}

// configure writes what a channel is to hold.
func (d *Dev) configure(page int, c *channel) error {
	if err := d.conn.SetByte(pmbus.Page, byte(page)); err != nil {
		return err
	}
	config, err := d.conn.Word(cmdChannel)
	if err != nil {
		return err
	}
	if config == 0xFFFF {
		return fmt.Errorf("configuration %#04x: %w", config, ErrWord)
	}
	want := uint16(monitorVolts)
	if c.kind == Amps {
		want = monitorAmps
	}
	switch selected := config & selectMask; {
	case selected == want:
	case c.kind == Volts && (selected == sequencedVolts || selected == readVolts):
	case selected == sequencedVolts:
		return fmt.Errorf("configuration %#04x: %w", config, ErrSequenced)
	default:
		config = config&^selectMask | want
		if err := d.conn.SetWord(cmdChannel, config); err != nil {
			return err
		}
	}
	c.config = config
	for _, limit := range c.limits[:c.n] {
		if err := d.conn.SetWord(limit.command, limit.word); err != nil {
			return err
		}
	}
	return nil
}

// Check reads the configuration and the limits of all channels that are not Off
// back. The error is ErrReset if they are not what Configure left.
func (d *Dev) Check() error {
	for i := range d.channels {
		c := &d.channels[i]
		if c.kind == Off {
			continue
		}
		err := d.turn(i, c)
		if err == nil {
			err = d.turned(i)
		}
		if err != nil {
			return fmt.Errorf("%s: channel %d: %w", d, i, err)
		}
	}
	return nil
}

// turn turns to the page of a channel and makes sure that it still is what it was
// configured to be.
func (d *Dev) turn(page int, c *channel) error {
	if err := d.conn.SetByte(pmbus.Page, byte(page)); err != nil {
		return err
	}
	if err := d.holds(setting{cmdChannel, c.config}); err != nil {
		return err
	}
	for _, limit := range c.limits[:c.n] {
		if err := d.holds(limit); err != nil {
			return err
		}
	}
	return nil
}

// holds returns an error unless the word is what it is to be.
func (d *Dev) holds(s setting) error {
	word, err := d.conn.Word(s.command)
	switch {
	case err != nil:
		return err
	case word == 0xFFFF:
		return fmt.Errorf("command %#02x reads %#04x: %w", s.command, word, ErrWord)
	case word != s.word:
		return fmt.Errorf("command %#02x reads %#04x, want %#04x: %w", s.command, word, s.word, ErrReset)
	}
	return nil
}

// turned returns an error unless the chip still is at that page. Asked last, it
// proves that what was read belongs to the page.
func (d *Dev) turned(page int) error {
	got, err := d.conn.Byte(pmbus.Page)
	switch {
	case err != nil:
		return err
	case got == 0xFF:
		return fmt.Errorf("page %d: %w", got, ErrWord)
	case int(got) != page:
		return fmt.Errorf("page %d, want %d: %w", got, page, ErrReset)
	}
	return nil
}

// value reads a measurement of the current page. A word of all ones is a stuck
// bus, unless the packet error code tells that it is not.
func (d *Dev) value(command byte) (uint16, error) {
	word, err := d.conn.Word(command)
	if err != nil {
		return 0, err
	}
	if word == 0xFFFF && !d.conn.PEC {
		return 0, fmt.Errorf("command %#02x reads %#04x: %w", command, word, ErrWord)
	}
	return word, nil
}

// Sense reads all channels that are not Off into m. On an error m is left as it
// was.
func (d *Dev) Sense(m *Measurement) error {
	for i := range d.channels {
		if d.channels[i].kind == Off {
			continue
		}
		if err := d.sense(i, &d.got[i]); err != nil {
			return fmt.Errorf("%s: channel %d: %w", d, i, err)
		}
	}
	*m = d.got
	return nil
}

// SenseChannel reads one channel, 0 to 15, into r. On an error r is left as it
// was; a channel that is Off is one.
func (d *Dev) SenseChannel(channel int, r *Reading) error {
	if channel < 0 || channel >= Channels || d.channels[channel].kind == Off {
		return fmt.Errorf("%s: channel %d: want one that is used", d, channel)
	}
	var got Reading
	if err := d.sense(channel, &got); err != nil {
		return fmt.Errorf("%s: channel %d: %w", d, channel, err)
	}
	*r = got
	return nil
}

func (d *Dev) sense(i int, r *Reading) error {
	c := &d.channels[i]
	if err := d.turn(i, c); err != nil {
		return err
	}
	command := byte(pmbus.ReadVout)
	if c.kind == Amps {
		command = pmbus.ReadIout
	}
	word, err := d.value(command)
	if err != nil {
		return err
	}
	if err := d.turned(i); err != nil {
		return err
	}
	*r = Reading{Raw: word}
	if c.kind == Amps {
		r.Amps = physic.ElectricCurrent(math.Round(formatAmps().Decode(word) * 1e9))
	} else {
		r.Volts = physic.ElectricPotential(math.Round(formatVolts().Decode(word) * 1e9))
	}
	return nil
}

// Temperature reads a sensor, 0 (the chip's own) to 4, into t. On an error t is
// left as it was.
func (d *Dev) Temperature(sensor int, t *physic.Temperature) error {
	if sensor < 0 || sensor >= Sensors {
		return fmt.Errorf("%s: sensor %d: want 0 to %d", d, sensor, Sensors-1)
	}
	page := firstSensor + sensor
	word := uint16(0)
	err := d.conn.SetByte(pmbus.Page, byte(page))
	if err == nil {
		word, err = d.value(pmbus.ReadTemperature)
	}
	if err == nil {
		err = d.turned(page)
	}
	if err != nil {
		return fmt.Errorf("%s: sensor %d: %w", d, sensor, err)
	}
	temp := physic.ZeroCelsius + physic.Temperature(math.Round(formatCelsius().Decode(word)*1e9))
	if temp < coldest || temp > hottest {
		return fmt.Errorf("%s: sensor %d: %#04x is %s: %w", d, sensor, word, temp, ErrWord)
	}
	*t = temp
	return nil
}

// Status reads the status word of a channel, 0 to 15. Its bits stay until
// ClearFaults.
func (d *Dev) Status(channel int) (pmbus.Status, error) {
	if channel < 0 || channel >= Channels {
		return 0, fmt.Errorf("%s: channel %d: want 0 to %d", d, channel, Channels-1)
	}
	word := uint16(0)
	err := d.conn.SetByte(pmbus.Page, byte(channel))
	if err == nil {
		word, err = d.value(pmbus.StatusWord)
	}
	if err == nil {
		err = d.turned(channel)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: channel %d: status: %w", d, channel, err)
	}
	return pmbus.Status(word), nil
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

// Halt implements conn.Resource; the chip goes on converting, for its limits.
func (d *Dev) Halt() error { return nil }
