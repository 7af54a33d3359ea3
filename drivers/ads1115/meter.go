package ads1115

import (
	"errors"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/mains"
)

// StepPeriod is how long after a Step the next one is due: the longest
// conversion of 860 a second, and the bus.
const StepPeriod = 1500 * time.Microsecond

// Trim corrects one channel: true value = Gain × measured + Offset, Offset in
// V, A or W.
type Trim struct {
	Gain   float64
	Offset float64
}

// Channel is how a transformer is wired to the converter.
type Channel struct {
	// Input is where its signal is; its bias does not matter.
	Input Input
	// Range is the full scale of the conversions, bias included.
	Range Range
	// Ratio is mains volts, or amps, for one volt at the input. 0 is a channel
	// that is not wired and not read. Negative is a transformer that is wired the
	// other way round.
	Ratio float64
	// Low and High are the voltages at the input at which the circuit before the
	// converter clips, such as its supply. Both 0 is nowhere.
	Low, High physic.ElectricPotential
	// Trim corrects the RMS value after calibration.
	Trim Trim
}

// MeterOpts says how a meter is wired.
type MeterOpts struct {
	// Addr is the 7-bit I²C address, 0x48 to 0x4B.
	Addr uint16
	// Volts is the voltage transformer, Amps the current transformer.
	Volts, Amps Channel
	// Watts corrects the active power after calibration.
	Watts Trim
	// PhaseDegrees is by how much the voltage signal is ahead of the current
	// signal at a resistive load.
	PhaseDegrees float64
	// Span is how long a window is, 100 ms to 1 s.
	Span time.Duration
}

// DefaultMeterOpts suits a voltage transformer of 230 V to 0.7 V RMS on A0 and a
// current transformer of 30 A to 1 V RMS on A1, both around half a supply of 3.3
// V. At ±4.096 V the supply is the limit: 1.65 V peak, 383 V RMS and 35 A RMS.
func DefaultMeterOpts() *MeterOpts {
	high := 3280 * physic.MilliVolt
	return &MeterOpts{
		Addr:  0x48,
		Volts: Channel{Input: A0, Range: Range4096mV, Ratio: 230 / 0.7, Low: 20 * physic.MilliVolt, High: high, Trim: Trim{Gain: 1}},
		Amps:  Channel{Input: A1, Range: Range4096mV, Ratio: 30, Low: 20 * physic.MilliVolt, High: high, Trim: Trim{Gain: 1}},
		Watts: Trim{Gain: 1},
		Span:  250 * time.Millisecond,
	}
}

// Measurement is what a window of samples shows.
type Measurement struct {
	// Volts and Amps are the true RMS values, without offset, never negative.
	Volts physic.ElectricPotential
	Amps  physic.ElectricCurrent
	// Watts is the active power of the fundamental; negative when it flows back.
	Watts physic.Power
	// PowerFactor is −1 to 1.
	PowerFactor float64
	// Frequency is that of the line; 0 if there is none.
	Frequency physic.Frequency
	// VoltsClipped and AmpsClipped say that the RMS value is too low, because the
	// wave was beyond the converter or its circuit.
	VoltsClipped, AmpsClipped bool
	// Raw are the last codes of both channels and a sum over all of the window,
	// which noise changes while the converter is alive.
	Raw [3]uint32
}

// Meter measures a line by one converter that takes both transformers in turn.
// It does not wait: its owner calls Step every StepPeriod.
type Meter struct {
	dev      *Dev
	channels [2]Channel // volts, amps
	watts    Trim
	window   *mains.Window
	turn     int // the channel of the conversion under way
	begun    time.Duration
	full     bool // and measured, so that the next sample begins another
	raw      [3]uint32
}

var _ conn.Resource = (*Meter)(nil)

// NewMeter returns a meter with the converter at opts.Addr. It checks the options
// and leaves the bus alone.
func NewMeter(bus i2c.Bus, opts *MeterOpts) (*Meter, error) {
	m := &Meter{channels: [...]Channel{opts.Volts, opts.Amps}, watts: opts.Watts}
	var err error
	if m.dev, err = New(bus, &Opts{Addr: opts.Addr, Rate: Rate860}); err != nil {
		return nil, err
	}
	for i, name := range [...]string{"volts", "amps"} {
		if err := m.channels[i].check(); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", m, name, err)
		}
	}
	if opts.Volts.Ratio == 0 && opts.Amps.Ratio == 0 {
		return nil, fmt.Errorf("%s: no channel is wired", m)
	}
	if opts.Volts.Ratio != 0 && opts.Amps.Ratio != 0 && opts.Volts.Input == opts.Amps.Input {
		return nil, fmt.Errorf("%s: both channels are input %d", m, opts.Volts.Input)
	}
	if err := opts.Watts.check(); err != nil {
		return nil, fmt.Errorf("%s: watts trim: %w", m, err)
	}
	if opts.Span > time.Second {
		return nil, fmt.Errorf("%s: span %s: want 100ms to 1s", m, opts.Span)
	}
	m.window, err = mains.NewWindow(&mains.Opts{Span: opts.Span, Aperture: Rate860.Period(), PhaseDegrees: opts.PhaseDegrees})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m, err)
	}
	return m, nil
}

func (c *Channel) check() error {
	if c.Ratio == 0 {
		return nil
	}
	if err := check(c.Input, c.Range); err != nil {
		return err
	}
	if math.IsNaN(c.Ratio) || math.Abs(c.Ratio) < 1e-3 || math.Abs(c.Ratio) > 1e6 {
		return fmt.Errorf("ratio %g: want 0.001 to 1000000, or minus that", c.Ratio)
	}
	if (c.Low != 0 || c.High != 0) && c.Low >= c.High {
		return fmt.Errorf("clips at %s and %s: want low below high", c.Low, c.High)
	}
	if err := c.Trim.check(); err != nil {
		return fmt.Errorf("trim: %w", err)
	}
	return nil
}

func (t Trim) check() error {
	if math.IsNaN(t.Gain) || t.Gain <= 0 || t.Gain > 10 {
		return fmt.Errorf("gain %g: want above 0, up to 10", t.Gain)
	}
	if math.IsNaN(t.Offset) || math.Abs(t.Offset) > 1000 {
		return fmt.Errorf("offset %g: want -1000 to 1000", t.Offset)
	}
	return nil
}

// Step takes the conversion that the last Step began and begins the next one, on
// the other channel; now is the time by a monotonic clock of the caller. It
// reports whether the window is full: then Sense measures it, and the next Step
// begins another.
//
// After ErrBusy nothing is lost, call it again. After any other error the sample
// is lost and the next Step begins anew.
func (m *Meter) Step(now time.Duration) (full bool, err error) {
	if m.full || m.window.Full(now) {
		m.reset()
	}
	if m.dev.started {
		var r Reading
		switch err := m.dev.Sense(&r); {
		case errors.Is(err, ErrBusy):
			return false, err
		case err != nil:
			m.dev.started = false
			return false, err
		}
		if err := m.add(&r); err != nil {
			m.dev.started = false
			return false, fmt.Errorf("%s: %w", m, err)
		}
	}
	if m.channels[1-m.turn].Ratio != 0 {
		m.turn = 1 - m.turn
	}
	m.begun = now
	c := &m.channels[m.turn]
	if err := m.dev.start(c.Input, c.Range); err != nil {
		return false, err
	}
	m.full = m.window.Full(now + StepPeriod)
	return m.full, nil
}

// reset begins a window.
func (m *Meter) reset() {
	m.window.Reset()
	m.full, m.raw[2] = false, 0
}

// add adds the conversion that is over to the window.
func (m *Meter) add(r *Reading) error {
	c := &m.channels[m.turn]
	m.raw[m.turn] = uint32(uint16(r.Raw))
	m.raw[2] = m.raw[2]*31 + m.raw[m.turn]
	clipped := r.Clipped || (c.Low != 0 || c.High != 0) && (r.Volts <= c.Low || r.Volts >= c.High)
	value := float64(r.Volts) / float64(physic.Volt) * c.Ratio
	// The middle of the conversion; what the bus took before it is the same for
	// both channels.
	at := m.begun + Rate860.Period()/2
	if m.turn == 0 {
		return m.window.AddVolts(at, value, clipped)
	}
	return m.window.AddAmps(at, value, clipped)
}

// Sense measures the samples of the window so far into r; it does not use the
// bus. On an error r is left as it was.
func (m *Meter) Sense(r *Measurement) error {
	var w mains.Result
	if err := m.window.Measure(&w); err != nil {
		return fmt.Errorf("%s: %w", m, err)
	}
	now := Measurement{
		Volts:        physic.ElectricPotential(m.channels[0].Trim.nano(w.Volts)),
		Amps:         physic.ElectricCurrent(m.channels[1].Trim.nano(w.Amps)),
		Frequency:    physic.Frequency(math.Round(w.Hertz * float64(physic.Hertz))),
		PowerFactor:  w.PowerFactor,
		VoltsClipped: w.VoltsClipped,
		AmpsClipped:  w.AmpsClipped,
		Raw:          m.raw,
	}
	if m.channels[0].Ratio == 0 {
		now.Volts = 0
	}
	if m.channels[1].Ratio == 0 {
		now.Amps = 0
	}
	// A trim may push a small RMS value below zero, where none exists.
	now.Volts, now.Amps = max(0, now.Volts), max(0, now.Amps)
	if m.channels[0].Ratio != 0 && m.channels[1].Ratio != 0 {
		now.Watts = physic.Power(m.watts.nano(w.Watts))
	}
	*r = now
	return nil
}

// nano applies the trim and returns nano-units.
func (t Trim) nano(value float64) int64 { return int64(math.Round((value*t.Gain + t.Offset) * 1e9)) }

// Configure makes sure that the converter answers and can be written, and begins
// a new window.
func (m *Meter) Configure() error {
	m.reset()
	return m.dev.Configure()
}

// String returns the chip, its bus and its address.
func (m *Meter) String() string { return m.dev.String() }

// Halt implements conn.Resource; the converter sleeps after its conversion.
func (m *Meter) Halt() error { return m.dev.Halt() }
