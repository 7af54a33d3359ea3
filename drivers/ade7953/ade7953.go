package ade7953

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
	// ErrNotReady comes from Configure while the chip answers but is not an
	// ADE7953 that has finished its reset.
	ErrNotReady = errors.New("not ready")
	// ErrReset comes when the chip does not hold what Configure programmed: it
	// lost its supply, something else wrote to it, or it was never configured.
	ErrReset = errors.New("configuration lost")
	// ErrWord comes when a register holds what the chip cannot send: the bus is
	// stuck, or a bit flipped.
	ErrWord = errors.New("impossible register word")
)

// Addr is the 7-bit I²C address of every ADE7953. Two of them on one bus need a
// multiplexer.
const Addr = 0x38

// PowerUp is how long after power-on or reset the chip is to be left alone.
const PowerUp = 100 * time.Millisecond

// Registers. Those of 24 bits are read and written at their 32-bit addresses.
const (
	regSagCycles  = 0x000
	regLineMode   = 0x004
	regGainVolts  = 0x007
	regGainA      = 0x008
	regGainB      = 0x009
	regUnlock     = 0x0FE
	regLineCycles = 0x101
	regConfig     = 0x102
	regFactor     = 0x10A // channel A, then B; so are those marked AB
	regPeriod     = 0x10E
	regAltOutput  = 0x110
	regInternal   = 0x120
	regSagLevel   = 0x300
	regNoLoad     = 0x303
	regVoltAmps   = 0x310 // AB
	regWatts      = 0x312 // AB
	regVars       = 0x314 // AB
	regAmps       = 0x31A // AB
	regVolts      = 0x31C
	regEnergy     = 0x31E // active AB, reactive AB, apparent AB
	regOverVolts  = 0x324
	regOverAmps   = 0x325
	regPeakVolts  = 0x327 // with reset
	regPeakAmps   = 0x329 // A, 0x32B is B, with reset
	regEnableA    = 0x32C
	regStatusA    = 0x32D
	regClearA     = 0x32E
	regEnableB    = 0x32F
	regStatusB    = 0x330
	regClearB     = 0x331
	regChecksum   = 0x37F
)

// Values of registers.
const (
	unlockKey    = 0xAD
	internal     = 0x0030 // what the datasheet requires in 0x120
	noLoad       = 0x00E419
	config       = 0x0104 // checksum and high-pass filter on, bus locked to I²C
	lineMode     = 0x7F   // all six energies by line cycles, read with reset
	altB         = 0x00A0 // interrupts of channel B on the ZX_I pin
	off          = 0xFFFFFF
	checksumOff  = 0xFFFFFFFF
	irqOverAmps  = 1 << 13
	irqOverVolts = 1 << 16
	irqCycleEnd  = 1 << 18
	irqSag       = 1 << 19
	irqReset     = 1 << 20
	irqChecksum  = 1 << 21
)

// Full scale of the chip: what it shows for a sine of 500 mV peak between the
// pins of both inputs, behind the amplifiers.
const (
	fullVolts  = 0.5
	fullPeak   = 6500000
	fullRMS    = 9032007
	fullPower  = 4862401
	fullEnergy = 206900 // codes a second
)

// Trim corrects one channel: true value = Gain × measured + Offset, Offset in
// V, A or W.
type Trim struct {
	Gain   float64
	Offset float64
}

// Channel is how a current channel is wired.
type Channel struct {
	// AmpsPerVolt is the current that makes one volt between the pins: 1/R of a
	// shunt, turns/R of a current transformer with its burden. 0 is a channel
	// that is not wired and not read.
	AmpsPerVolt float64
	// Gain is the gain of the amplifier: 1, 2, 4, 8, 16 or, on channel A, 22.
	Gain int
	// Reversed is a sensor that is wired the other way round.
	Reversed bool
	// Amps and Watts correct the channel after calibration. Reactive and
	// apparent power and the energies follow the gain of Watts.
	Amps, Watts Trim
}

// Limits are what the chip watches by itself at each of its 6990 samples a
// second. They are compared with the waveform: peaks, not RMS values. Zero is
// no limit.
type Limits struct {
	// PeakAmps is the overcurrent of both channels.
	PeakAmps physic.ElectricCurrent
	// PeakVolts is the overvoltage.
	PeakVolts physic.ElectricPotential
	// SagVolts is the peak voltage that the line must reach at least once in
	// SagHalfCycles half cycles.
	SagVolts      physic.ElectricPotential
	SagHalfCycles uint8
}

// LimitsFor returns limits for an outlet by its rating: a current peak of crest
// × the rated RMS current, overvoltage 20 % above and a sag 20 % below the
// nominal RMS voltage, the sag for one whole cycle. √2 is the crest of a sine;
// chargers without power-factor correction reach 3.
func LimitsFor(rated physic.ElectricCurrent, nominal physic.ElectricPotential, crest float64) Limits {
	return Limits{
		PeakAmps:      physic.ElectricCurrent(math.Round(crest * float64(rated))),
		PeakVolts:     physic.ElectricPotential(math.Round(1.2 * math.Sqrt2 * float64(nominal))),
		SagVolts:      physic.ElectricPotential(math.Round(0.8 * math.Sqrt2 * float64(nominal))),
		SagHalfCycles: 2,
	}
}

// Opts says how the chip is wired on its board, and what Configure programs.
type Opts struct {
	// Divider is the number by which the mains voltage is divided.
	Divider float64
	// VoltsGain is the gain of the voltage amplifier: 1, 2, 4, 8 or 16.
	VoltsGain int
	// Volts corrects the voltage after calibration.
	Volts Trim
	// A and B are the current channels.
	A, B Channel
	// HalfCycles is the window of the energies, 1 to 3600.
	HalfCycles uint16
	// Limits are what the chip watches.
	Limits Limits
}

// DefaultOpts suits two outlets on 220-250 V mains: a divider of 990 kΩ and
// 1 kΩ (full scale 350 V RMS), a shunt of 1 mΩ and a gain of 8 a channel (full
// scale 44 A RMS), energies over 100 half cycles (1 s at 50 Hz), no limits.
func DefaultOpts() *Opts {
	channel := Channel{AmpsPerVolt: 1000, Gain: 8, Amps: Trim{Gain: 1}, Watts: Trim{Gain: 1}}
	return &Opts{
		Divider:    991,
		VoltsGain:  1,
		Volts:      Trim{Gain: 1},
		A:          channel,
		B:          channel,
		HalfCycles: 100,
	}
}

// Load is what flows through one current channel.
type Load struct {
	// Amps is the RMS current, never negative.
	Amps physic.ElectricCurrent
	// Watts is the active power; negative when power flows back.
	Watts physic.Power
	// Vars is the reactive power; negative for a capacitive load.
	Vars physic.Power
	// VoltAmps is the apparent power.
	VoltAmps physic.Power
	// PowerFactor is −1 to 1, with the sign of Watts.
	PowerFactor float64
	// Raw are the words of voltage, current and active power as they were read.
	Raw [3]uint32
}

// Measurement is what the chip showed in its registers.
type Measurement struct {
	// Volts is the RMS voltage, never negative.
	Volts physic.ElectricPotential
	// Frequency is that of the line; 0 outside 30 to 100 Hz, as without mains.
	Frequency physic.Frequency
	// A and B are the current channels; zero for one that is not wired.
	A, B Load
}

// Joules is the energy of one channel. Active is negative when it flowed back,
// Reactive for a capacitive load.
type Joules struct {
	Active, Reactive, Apparent physic.Energy
}

// Peaks are the highest absolute values of the waveforms.
type Peaks struct {
	Volts physic.ElectricPotential
	A, B  physic.ElectricCurrent
}

// Flags is what happened since the flags were cleared.
type Flags uint8

// The flags.
const (
	// OvercurrentA is set when the current of channel A passed its limit.
	OvercurrentA Flags = 1 << iota
	// OvercurrentB is set when the current of channel B passed its limit.
	OvercurrentB
	// Overvoltage is set when the voltage passed its limit.
	Overvoltage
	// Sag is set when the voltage stayed below its limit.
	Sag
	// CycleEnd is set at the end of a window of line cycles.
	CycleEnd
	// Reset is set at the end of a reset.
	Reset
	// Changed is set when the register checksum changed.
	Changed
)

// Dev is one ADE7953.
type Dev struct {
	conn       i2c.Dev
	name       string
	volts      scale
	peakVolts  scale
	channels   [2]channel
	program    [13]setting
	checksum   uint32
	configured bool
	held       Flags    // cleared in the chip, not handed on yet
	joules     [6]int64 // energy codes read, not handed on yet
	write      [6]byte
	read       [4]byte
}

// channel is how the codes of one current channel are converted.
type channel struct {
	wired                     bool
	amps, watts, power, joule scale
	peak                      scale
}

// setting is a register and what Configure writes to it.
type setting struct {
	reg  uint16
	word uint32
}

// scale turns codes into nano-units.
type scale struct{ lsb, offset float64 }

func (s scale) nano(code float64) int64 { return int64(math.Round(code*s.lsb + s.offset)) }

var _ conn.Resource = (*Dev)(nil)

// New returns the meter on bus. It checks the options and leaves the bus alone;
// the chip needs Configure before the first Sense.
func New(bus i2c.Bus, opts *Opts) (*Dev, error) {
	d := &Dev{
		conn: i2c.Dev{Bus: bus, Addr: Addr},
		name: fmt.Sprintf("ade7953@%s/%#02x", bus, Addr),
	}
	gain, err := gainCode(opts.VoltsGain, 16)
	if err != nil {
		return nil, fmt.Errorf("%s: volts: %w", d, err)
	}
	if !(opts.Divider >= 1 && opts.Divider <= 1e5) {
		return nil, fmt.Errorf("%s: divider %g: want 1 to 100000", d, opts.Divider)
	}
	if opts.HalfCycles < 1 || opts.HalfCycles > 3600 {
		return nil, fmt.Errorf("%s: %d half cycles: want 1 to 3600", d, opts.HalfCycles)
	}
	full := fullVolts / float64(opts.VoltsGain) * opts.Divider
	if d.volts, err = opts.Volts.scale(full / math.Sqrt2 / fullRMS); err != nil {
		return nil, fmt.Errorf("%s: volts trim: %w", d, err)
	}
	d.peakVolts = scale{lsb: full / fullPeak * opts.Volts.Gain * 1e9}
	var gains [2]uint32
	for i, c := range [...]Channel{opts.A, opts.B} {
		if gains[i], err = d.wire(i, &c, full); err != nil {
			return nil, fmt.Errorf("%s: channel %c: %w", d, 'A'+i, err)
		}
	}
	if !d.channels[0].wired && !d.channels[1].wired {
		return nil, fmt.Errorf("%s: no channel is wired", d)
	}
	if err := d.limit(opts, gain, gains); err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	return d, nil
}

// wire makes the scales of a current channel, and returns its gain code.
func (d *Dev) wire(i int, c *Channel, fullMains float64) (uint32, error) {
	if c.AmpsPerVolt == 0 {
		return 0, nil
	}
	if !(c.AmpsPerVolt >= 1e-3 && c.AmpsPerVolt <= 1e6) {
		return 0, fmt.Errorf("%g A/V: want 0.001 to 1000000", c.AmpsPerVolt)
	}
	gain, err := gainCode(c.Gain, 22-6*i)
	if err != nil {
		return 0, err
	}
	fullAmps := fullVolts / float64(c.Gain) * c.AmpsPerVolt
	sign := 1.0
	if c.Reversed {
		sign = -1
	}
	ch := &d.channels[i]
	if ch.amps, err = c.Amps.scale(fullAmps / math.Sqrt2 / fullRMS); err != nil {
		return 0, fmt.Errorf("amps trim: %w", err)
	}
	watts := fullMains * fullAmps / 2
	if ch.watts, err = c.Watts.scale(watts / fullPower); err != nil {
		return 0, fmt.Errorf("watts trim: %w", err)
	}
	ch.watts.lsb *= sign
	ch.power = scale{lsb: ch.watts.lsb}
	ch.joule = scale{lsb: sign * watts / fullEnergy * c.Watts.Gain * 1e9}
	ch.peak = scale{lsb: fullAmps / fullPeak * c.Amps.Gain * 1e9}
	ch.wired = true
	return gain, nil
}

// gainCode returns the code of an amplifier's gain.
func gainCode(gain, highest int) (uint32, error) {
	for code, g := range [...]int{1, 2, 4, 8, 16, 22} {
		if g == gain && g <= highest {
			return uint32(code), nil
		}
	}
	return 0, fmt.Errorf("gain %d: want 1, 2, 4, 8, 16 or, on channel A, 22", gain)
}

// scale returns codes → nano-units for a channel whose code is worth lsb units.
func (t Trim) scale(lsb float64) (scale, error) {
	if !(t.Gain > 0 && t.Gain <= 10) {
		return scale{}, fmt.Errorf("gain %g: want above 0, up to 10", t.Gain)
	}
	if !(math.Abs(t.Offset) <= 1000) {
		return scale{}, fmt.Errorf("offset %g: want -1000 to 1000", t.Offset)
	}
	return scale{lsb: lsb * t.Gain * 1e9, offset: t.Offset * 1e9}, nil
}

// limit makes the program of the chip, with the codes of the limits.
func (d *Dev) limit(opts *Opts, gain uint32, gains [2]uint32) error {
	l := &opts.Limits
	overVolts, overAmps, sag := uint32(off), uint32(off), uint32(0)
	enableA, enableB, alt := uint32(irqReset|irqChecksum), uint32(0), uint32(0)
	var err error
	if l.PeakVolts != 0 {
		if overVolts, err = d.peakVolts.code(int64(l.PeakVolts)); err != nil {
			return fmt.Errorf("overvoltage %s peak: %w", l.PeakVolts, err)
		}
		enableA |= irqOverVolts
	}
	if (l.SagVolts != 0) != (l.SagHalfCycles != 0) {
		return fmt.Errorf("sag %s peak for %d half cycles: want both or neither", l.SagVolts, l.SagHalfCycles)
	}
	if l.SagVolts != 0 {
		if sag, err = d.peakVolts.code(int64(l.SagVolts)); err != nil {
			return fmt.Errorf("sag %s peak: %w", l.SagVolts, err)
		}
		enableA |= irqSag
	}
	if l.PeakAmps != 0 {
		for i, ch := range d.channels {
			if !ch.wired {
				continue
			}
			code, err := ch.peak.code(int64(l.PeakAmps))
			if err != nil {
				return fmt.Errorf("channel %c: overcurrent %s peak: %w", 'A'+i, l.PeakAmps, err)
			}
			// One register serves both: neither may pass its limit.
			overAmps = min(overAmps, code)
		}
		if d.channels[0].wired {
			enableA |= irqOverAmps
		}
		if d.channels[1].wired {
			enableB, alt = irqOverAmps, altB
		}
	}
	d.program = [...]setting{
		{regConfig, config},
		{regGainVolts, gain},
		{regGainA, gains[0]},
		{regGainB, gains[1]},
		{regLineCycles, uint32(opts.HalfCycles)},
		{regLineMode, lineMode},
		{regSagCycles, uint32(l.SagHalfCycles)},
		{regSagLevel, sag},
		{regOverVolts, overVolts},
		{regOverAmps, overAmps},
		{regAltOutput, alt},
		{regEnableA, enableA},
		{regEnableB, enableB},
	}
	return nil
}

// code returns the waveform code of a limit in nano-units, rounded down.
func (s scale) code(nano int64) (uint32, error) {
	code := math.Floor(float64(nano) / s.lsb)
	if code < 1 || code > fullPeak {
		return 0, fmt.Errorf("want %.3g to %.6g, the full scale", s.lsb/1e9, fullPeak*s.lsb/1e9)
	}
	return uint32(code), nil
}

// Ready reports whether an ADE7953 answers that has finished its reset. Before
// PowerUp has passed an error or false is to be expected.
func (d *Dev) Ready() (bool, error) {
	// A register that Configure leaves at its power-on value, which no other
	// register has.
	word, err := d.register(regNoLoad)
	return err == nil && word == noLoad, err
}

// Configure programs the chip and reads everything back. It clears the flags,
// and what was read of the energies before is dropped.
func (d *Dev) Configure() error {
	ready, err := d.Ready()
	if err != nil {
		return err
	}
	if !ready {
		return fmt.Errorf("%s: configure: %w", d, ErrNotReady)
	}
	d.configured = false
	// The key opens 0x120 for the next transaction only.
	if err := d.set(setting{regUnlock, unlockKey}); err != nil {
		return err
	}
	if err := d.set(setting{regInternal, internal}); err != nil {
		return err
	}
	for _, s := range d.program {
		if err := d.set(s); err != nil {
			return err
		}
	}
	for _, s := range d.program {
		word, err := d.register(s.reg)
		if err != nil {
			return err
		}
		if word &= 0xFFFFFF; word != s.word { // 32 bits wide are only the addresses
			return fmt.Errorf("%s: register %#03x: %#x, want %#x: %w", d, s.reg, word, s.word, ErrReset)
		}
	}
	if _, err := d.Clear(); err != nil {
		return err
	}
	sum, err := d.register(regChecksum)
	if err != nil {
		return err
	}
	if sum == checksumOff {
		return fmt.Errorf("%s: checksum is off: %w", d, ErrReset)
	}
	d.checksum, d.configured = sum, true
	d.joules = [6]int64{}
	return nil
}

// Check compares the register checksum with that after Configure. The error is
// ErrReset if it is another.
func (d *Dev) Check() error {
	if !d.configured {
		return fmt.Errorf("%s: not configured: %w", d, ErrReset)
	}
	sum, err := d.register(regChecksum)
	if err != nil {
		return err
	}
	if sum != d.checksum {
		return fmt.Errorf("%s: checksum %#08x, want %#08x: %w", d, sum, d.checksum, ErrReset)
	}
	return nil
}

// Sense reads the registers of both channels, then the checksum: what a chip
// measured with lost gains is an error, not a small current. On an error m is
// left as it was.
func (d *Dev) Sense(m *Measurement) error {
	if !d.configured {
		return fmt.Errorf("%s: not configured: %w", d, ErrReset)
	}
	volts, err := d.rms(regVolts)
	if err != nil {
		return err
	}
	period, err := d.register(regPeriod)
	if err != nil {
		return err
	}
	var now Measurement
	// A trim may push a small RMS value below zero, where none exists.
	now.Volts = physic.ElectricPotential(max(0, d.volts.nano(float64(volts))))
	if period >= 223750/100-1 && period < 223750/30 {
		now.Frequency = physic.Frequency(math.Round(223750 / float64(period+1) * float64(physic.Hertz)))
	}
	for i, load := range [...]*Load{&now.A, &now.B} {
		if !d.channels[i].wired {
			continue
		}
		if err := d.load(uint16(i), volts, load); err != nil {
			return err
		}
	}
	if err := d.Check(); err != nil {
		return err
	}
	*m = now
	return nil
}

// load reads the registers of channel i.
func (d *Dev) load(i uint16, volts uint32, l *Load) error {
	amps, err := d.rms(regAmps + i)
	if err != nil {
		return err
	}
	var words [3]int32
	for n, reg := range [...]uint16{regWatts, regVars, regVoltAmps} {
		if words[n], err = d.signed(reg + i); err != nil {
			return err
		}
	}
	factor, err := d.register(regFactor + i)
	if err != nil {
		return err
	}
	ch := &d.channels[i]
	l.Amps = physic.ElectricCurrent(max(0, ch.amps.nano(float64(amps))))
	l.Watts = physic.Power(ch.watts.nano(float64(words[0])))
	l.Vars = physic.Power(ch.power.nano(float64(words[1])))
	l.VoltAmps = physic.Power(math.Round(math.Abs(float64(words[2]) * ch.power.lsb)))
	// The chip signs the factor as it signs the reactive power.
	l.PowerFactor = math.Abs(float64(int16(factor))) / 32768
	if l.Watts < 0 {
		l.PowerFactor = -l.PowerFactor
	}
	l.Raw = [3]uint32{volts, amps, uint32(words[0])}
	return nil
}

// Energy reads the energies of the last window of line cycles, and adds them to
// a and b. Each window is handed on once: reading resets the registers, and
// until the next window ends Energy adds nothing. What was read before an error
// is added by the next call.
func (d *Dev) Energy(a, b *Joules) error {
	if !d.configured {
		return fmt.Errorf("%s: not configured: %w", d, ErrReset)
	}
	for i := range d.joules {
		if !d.channels[i%2].wired {
			continue
		}
		word, err := d.signed(regEnergy + uint16(i))
		if err != nil {
			return err
		}
		d.joules[i] += int64(word)
	}
	for i, j := range [...]*Joules{a, b} {
		s := d.channels[i].joule
		j.Active += physic.Energy(s.nano(float64(d.joules[i])))
		j.Reactive += physic.Energy(s.nano(float64(d.joules[2+i])))
		j.Apparent += physic.Energy(math.Round(math.Abs(float64(d.joules[4+i]) * s.lsb)))
	}
	d.joules = [6]int64{}
	return nil
}

// Peaks reads the peaks since it was called last. On an error p is left as it
// was, and peaks read before it are lost.
func (d *Dev) Peaks(p *Peaks) error {
	if !d.configured {
		return fmt.Errorf("%s: not configured: %w", d, ErrReset)
	}
	volts, err := d.rms(regPeakVolts)
	if err != nil {
		return err
	}
	now := Peaks{Volts: physic.ElectricPotential(d.peakVolts.nano(float64(volts)))}
	for i, amps := range [...]*physic.ElectricCurrent{&now.A, &now.B} {
		if !d.channels[i].wired {
			continue
		}
		word, err := d.rms(regPeakAmps + 2*uint16(i))
		if err != nil {
			return err
		}
		*amps = physic.ElectricCurrent(d.channels[i].peak.nano(float64(word)))
	}
	*p = now
	return nil
}

// Flags reads the flags and leaves them, and the interrupt pin, as they are.
func (d *Dev) Flags() (Flags, error) {
	a, err := d.status(regStatusA)
	if err != nil {
		return 0, err
	}
	b, err := d.status(regStatusB)
	if err != nil {
		return 0, err
	}
	return d.held | flagsA(a) | flagsB(b), nil
}

// Clear reads the flags and clears them, which releases the interrupt pin.
// Flags that were cleared before an error are returned by the next call.
func (d *Dev) Clear() (Flags, error) {
	a, err := d.status(regClearA)
	if err != nil {
		return 0, err
	}
	d.held |= flagsA(a)
	b, err := d.status(regClearB)
	if err != nil {
		return 0, err
	}
	flags := d.held | flagsB(b)
	d.held = 0
	return flags, nil
}

func flagsA(word uint32) Flags {
	var f Flags
	for _, bit := range [...]struct {
		word uint32
		flag Flags
	}{
		{irqOverAmps, OvercurrentA},
		{irqOverVolts, Overvoltage},
		{irqSag, Sag},
		{irqCycleEnd, CycleEnd},
		{irqReset, Reset},
		{irqChecksum, Changed},
	} {
		if word&bit.word != 0 {
			f |= bit.flag
		}
	}
	return f
}

func flagsB(word uint32) Flags {
	if word&irqOverAmps != 0 {
		return OvercurrentB
	}
	return 0
}

// status reads a status register; the highest byte does not exist.
func (d *Dev) status(reg uint16) (uint32, error) {
	word, err := d.register(reg)
	if err != nil {
		return 0, err
	}
	if word>>24 != 0 {
		return 0, fmt.Errorf("%s: register %#03x: %#08x: %w", d, reg, word, ErrWord)
	}
	return word, nil
}

// rms reads an unsigned register of 24 bits. Whether the chip extends the
// highest of them is not documented, so both are taken. All ones is above
// anything that its converter can reach.
func (d *Dev) rms(reg uint16) (uint32, error) {
	word, err := d.register(reg)
	if err != nil {
		return 0, err
	}
	if top := word >> 24; top != 0 && (top != 0xFF || word&0x800000 == 0) || word&0xFFFFFF == 0xFFFFFF {
		return 0, fmt.Errorf("%s: register %#03x: %#08x: %w", d, reg, word, ErrWord)
	}
	return word & 0xFFFFFF, nil
}

// signed reads a signed register of 24 bits, which the chip extends to 32.
func (d *Dev) signed(reg uint16) (int32, error) {
	word, err := d.register(reg)
	if err != nil {
		return 0, err
	}
	value := int32(word)
	if value != value<<8>>8 {
		return 0, fmt.Errorf("%s: register %#03x: %#08x: %w", d, reg, word, ErrWord)
	}
	return value, nil
}

// width is how many bytes a register has, which is in its address.
func width(reg uint16) int { return 1 + int(reg>>8) }

// register reads a register.
func (d *Dev) register(reg uint16) (uint32, error) {
	binary.BigEndian.PutUint16(d.write[:], reg)
	d.read = [4]byte{}
	if err := d.conn.Tx(d.write[:2], d.read[4-width(reg):]); err != nil {
		return 0, fmt.Errorf("%s: read register %#03x: %w", d, reg, err)
	}
	return binary.BigEndian.Uint32(d.read[:]), nil
}

// set writes a register.
func (d *Dev) set(s setting) error {
	n := width(s.reg)
	binary.BigEndian.PutUint16(d.write[:], s.reg)
	for i := range n {
		d.write[2+i] = byte(s.word >> (8 * (n - 1 - i)))
	}
	if err := d.conn.Tx(d.write[:2+n], nil); err != nil {
		return fmt.Errorf("%s: write register %#03x: %w", d, s.reg, err)
	}
	return nil
}

// String returns the chip, its bus and its address.
func (d *Dev) String() string { return d.name }

// Halt implements conn.Resource; the meter goes on, for its interrupt pin.
func (d *Dev) Halt() error { return nil }
