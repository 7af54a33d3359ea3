package board

import (
	"errors"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/acs37800"
	"github.com/shedguard/shedguard/drivers/ade7953"
	"github.com/shedguard/shedguard/drivers/adm1272"
	"github.com/shedguard/shedguard/drivers/ads1115"
	"github.com/shedguard/shedguard/drivers/ina219"
	"github.com/shedguard/shedguard/drivers/ina226"
	"github.com/shedguard/shedguard/drivers/ina228"
	"github.com/shedguard/shedguard/drivers/ina3221"
	"github.com/shedguard/shedguard/drivers/max34451"
	"github.com/shedguard/shedguard/drivers/pmbus"
	"github.com/shedguard/shedguard/gateway/config"
)

// freshFor is how long what was read of a chip for one of its outlets is handed
// out to the others: as long as poll takes from one of them to the next, and
// within one cycle of the mains.
const freshFor = 15 * time.Millisecond

// batch hands out what one reading of a chip says of several outlets: to each of
// them once, and not for long.
type batch struct {
	at   time.Time
	left []bool // of each outlet: not handed out yet
}

func newBatch(outlets []*config.Outlet) *batch { return &batch{left: make([]bool, len(outlets))} }

// take calls sense unless the last reading still has a part for that outlet.
func (b *batch) take(place int, sense func() error) error {
	if !b.left[place] || time.Since(b.at) > freshFor {
		clear(b.left)
		if err := sense(); err != nil {
			return err
		}
		b.at = time.Now()
		for i := range b.left {
			b.left[i] = true
		}
	}
	b.left[place] = false
	return nil
}

// limit is the current at which a chip pulls its alert pin by itself, none where
// the configuration leaves that out.
func limit(o *config.Outlet) physic.ElectricCurrent {
	if !o.Meter.Alert {
		return 0
	}
	return longest(o)
}

// longest is the largest current that a chip must tell from a larger one: that of
// a short circuit, as the chip shows it before calibration. A calibration that was
// made after the configuration was checked may take it past the range by a little.
func longest(o *config.Outlet) physic.ElectricCurrent { return shown(o, o.AlertAmps()) }

func shown(o *config.Outlet, amps float64) physic.ElectricCurrent {
	const least = 1e-3 // A; an offset may be larger than the current
	return current(max(least, min(o.Meter.Shown(amps), 0.999*o.Meter.Reach())))
}

func current(amps float64) physic.ElectricCurrent {
	return physic.ElectricCurrent(math.Round(amps * float64(physic.Ampere)))
}

// tell makes r say what a pin that was pulled proves: that at least so much flowed
// since the last reading, whatever flows now.
func tell(r *shedguard.Reading, o *config.Outlet, alerted bool) {
	if alerted {
		r.Amps = max(r.Amps, o.AlertAmps())
	}
}

func newACS37800(bus i2c.Bus, m *config.Meter) (sensor, error) {
	dev, err := acs37800.New(bus, &acs37800.Opts{
		Addr: address(m.Address), RangeAmps: m.RangeAmps, Divider: m.Divider,
		Volts: acs37800.Trim(m.Volts), Amps: acs37800.Trim(m.Amps), Watts: acs37800.Trim(m.Watts),
	})
	if err != nil {
		return sensor{}, err
	}
	var got acs37800.Measurement
	return sensor{read: func(_ int, r *shedguard.Reading) error {
		if err := dev.Sense(&got); err != nil {
			return err
		}
		r.Volts, r.Amps, r.Watts = volts(got.Volts), amps(got.Amps), watts(got.Watts)
		r.PowerFactor, r.Hertz, r.Raw = got.PowerFactor, 0, got.Raw // the chip does not give the frequency
		return nil
	}}, nil
}

// adeSettles is how long the RMS values take to settle: ADE7953 data sheet, Root
// Mean Square Measurement.
const adeSettles = 200 * time.Millisecond

func newADE7953(bus i2c.Bus, outlets []*config.Outlet) (sensor, error) {
	opts := *ade7953.DefaultOpts()
	opts.Divider, opts.VoltsGain = outlets[0].Meter.Divider, outlets[0].Meter.VoltsPGA
	opts.A, opts.B = ade7953.Channel{}, ade7953.Channel{}
	second := make([]bool, len(outlets)) // on channel B
	for i, o := range outlets {
		m := &o.Meter
		c := &opts.A
		if second[i] = m.Channel == "b"; second[i] {
			c = &opts.B
		}
		*c = ade7953.Channel{
			AmpsPerVolt: m.AmpsPerVolt, Gain: m.AmpsPGA, Reversed: m.Reversed,
			Amps: ade7953.Trim(m.Amps), Watts: ade7953.Trim(m.Watts),
		}
		if m.Residual != nil { // then this outlet has the chip for itself
			other := &opts.B
			if second[i] {
				other = &opts.A
			}
			*other = ade7953.Channel{
				AmpsPerVolt: m.Residual.AmpsPerVolt, Gain: m.Residual.PGA,
				Amps: ade7953.Trim{Gain: 1}, Watts: ade7953.Trim{Gain: 1},
			}
		}
		if m.Alert {
			// It compares the waveform: a sine of that current. The chip follows the
			// gain of the trim by itself, not the offset.
			peak := math.Sqrt2 * float64(longest(o)) / float64(physic.Ampere) * m.Amps.Gain
			if opts.Limits.PeakAmps == 0 || current(peak) < opts.Limits.PeakAmps {
				opts.Limits.PeakAmps = current(peak)
			}
		}
	}
	dev, err := ade7953.New(bus, &opts)
	if err != nil {
		return sensor{}, err
	}
	if err := dev.Configure(); err != nil {
		return sensor{}, err
	}
	var (
		got   ade7953.Measurement
		flags ade7953.Flags
		b     = newBatch(outlets)
	)
	sense := func() error {
		if err := dev.Sense(&got); err != nil {
			return err
		}
		flags = 0
		if opts.Limits.PeakAmps == 0 {
			return nil
		}
		// Only what stands is cleared: that a chip was reset meanwhile must stay.
		flags, err = dev.Clear()
		return err
	}
	return sensor{lost: ade7953.ErrReset, window: adeSettles, read: func(place int, r *shedguard.Reading) error {
		if err := b.take(place, sense); err != nil {
			return err
		}
		m, load, other, flag := &outlets[place].Meter, &got.A, &got.B, ade7953.OvercurrentA
		if second[place] {
			load, other, flag = &got.B, &got.A, ade7953.OvercurrentB
		}
		r.Volts, r.Amps, r.Watts = max(0, m.Volts.Gain*volts(got.Volts)+m.Volts.Offset), amps(load.Amps), watts(load.Watts)
		r.PowerFactor, r.Hertz, r.Raw = load.PowerFactor, float64(got.Frequency)/float64(physic.Hertz), load.Raw
		tell(r, outlets[place], m.Alert && flags&flag != 0)
		if r.HasResidual = m.Residual != nil; r.HasResidual {
			r.ResidualAmps = amps(other.Amps)
		}
		return nil
	}}, nil
}

func newHotSwap(bus i2c.Bus, o *config.Outlet, part adm1272.Chip) (sensor, error) {
	m := &o.Meter
	opts := *adm1272.DefaultOpts()
	opts.Chip, opts.Addr, opts.Shunt, opts.Warn = part, address(m.Address), shunt(m), limit(o)
	opts.WideAmps = part == adm1272.ADM1272 // the others have one range
	dev, err := adm1272.New(bus, &opts)
	if err != nil {
		return sensor{}, err
	}
	var got adm1272.Measurement
	return sensor{lost: adm1272.ErrReset, read: func(_ int, r *shedguard.Reading) error {
		if err := dev.Sense(&got); err != nil {
			return err
		}
		warned := false
		if m.Alert {
			_, iout, err := dev.Status()
			if err != nil {
				return err
			}
			if warned = iout&(pmbus.IoutWarning|pmbus.IoutFault) != 0; warned {
				if err := dev.ClearFaults(); err != nil {
					return err
				}
			}
		}
		direct(r, m, volts(got.Volts), amps(got.Amps))
		r.Raw = [3]uint32{uint32(got.Raw[0]), uint32(got.Raw[1]), 0}
		tell(r, o, warned)
		return nil
	}}, nil
}

// ADS1115: what its inputs are called, and the codes of its ranges.
func adsInput(name string) ads1115.Input {
	return map[string]ads1115.Input{
		"a0": ads1115.A0, "a1": ads1115.A1, "a2": ads1115.A2, "a3": ads1115.A3,
		"a0-a1": ads1115.A0A1, "a0-a3": ads1115.A0A3, "a1-a3": ads1115.A1A3, "a2-a3": ads1115.A2A3,
	}[name]
}

func adsRange(millivolts int) ads1115.Range {
	return map[int]ads1115.Range{
		6144: ads1115.Range6144mV, 4096: ads1115.Range4096mV, 2048: ads1115.Range2048mV,
		1024: ads1115.Range1024mV, 512: ads1115.Range512mV, 256: ads1115.Range256mV,
	}[millivolts]
}

// adsMargin is how near its supply a circuit comes, and adsGiveUp how long a
// window may take: its 250 ms and as much again for a busy host.
const (
	adsMargin = 20 * physic.MilliVolt
	adsGiveUp = 500 * time.Millisecond
)

// ErrSlow comes from an ADS1115 whose window was not full in time: the host or
// the bus is too busy for 667 conversions a second.
var ErrSlow = errors.New("window not full in time")

func newADS1115(bus i2c.Bus, m *config.Meter) (sensor, error) {
	opts := *ads1115.DefaultMeterOpts()
	opts.Addr, opts.PhaseDegrees, opts.Watts = address(m.Address), m.PhaseDegrees, ads1115.Trim(m.Watts)
	high := physic.ElectricPotential(m.SupplyMV)*physic.MilliVolt - adsMargin
	channel := func(input string, millivolts int, ratio float64, trim config.Trim) ads1115.Channel {
		c := ads1115.Channel{Input: adsInput(input), Range: adsRange(millivolts), Ratio: ratio, Trim: ads1115.Trim(trim)}
		if c.Input >= ads1115.A0 { // a difference of pins says nothing of the supply
			c.Low, c.High = adsMargin, high
		}
		return c
	}
	perVolt := m.AmpsPerVolt
	if m.Reversed {
		perVolt = -perVolt
	}
	opts.Volts = channel(m.VoltsInput, m.VoltsRangeMV, m.Divider, m.Volts)
	opts.Amps = channel(m.AmpsInput, m.AmpsRangeMV, perVolt, m.Amps)
	dev, err := ads1115.NewMeter(bus, &opts)
	if err != nil {
		return sensor{}, err
	}
	base := time.Now() // a monotonic clock
	var got ads1115.Measurement
	return sensor{read: func(_ int, r *shedguard.Reading) error {
		if err := window(dev, base); err != nil {
			return err
		}
		if err := dev.Sense(&got); err != nil {
			return err
		}
		r.Volts, r.Amps, r.Watts = volts(got.Volts), amps(got.Amps), watts(got.Watts)
		r.PowerFactor, r.Hertz, r.Raw = got.PowerFactor, float64(got.Frequency)/float64(physic.Hertz), got.Raw
		return nil
	}}, nil
}

// window samples a whole window. It is the one read that waits: nothing else may
// be measured on its bus, which config sees to.
func window(dev *ads1115.Meter, base time.Time) error {
	if err := dev.Configure(); err != nil { // begins anew, and sees a chip that was reset
		return err
	}
	began := time.Now()
	for {
		at := time.Now()
		full, err := dev.Step(at.Sub(base))
		wait := ads1115.StepPeriod
		switch {
		case errors.Is(err, ads1115.ErrBusy): // the oscillator of the chip is slow
			wait = ads1115.StepPeriod / 8
		case err != nil:
			return err
		case full:
			return nil
		}
		if at.Sub(began) > adsGiveUp {
			return fmt.Errorf("%s: %w", dev, ErrSlow)
		}
		time.Sleep(time.Until(at.Add(wait)))
	}
}

func newINA219(bus i2c.Bus, o *config.Outlet) (sensor, error) {
	m := &o.Meter
	opts := *ina219.DefaultOpts()
	opts.Addr, opts.Shunt, opts.Max = address(m.Address), shunt(m), longest(o)
	dev, err := ina219.New(bus, &opts)
	if err != nil {
		return sensor{}, err
	}
	var got ina219.Measurement
	return sensor{lost: ina219.ErrReset, window: dev.Window(), read: func(_ int, r *shedguard.Reading) error {
		if err := dev.Sense(&got); err != nil {
			return err
		}
		direct(r, m, volts(got.Volts), amps(got.Amps))
		r.Raw = [3]uint32{uint32(got.Raw[0]), uint32(got.Raw[1]), 0}
		return nil
	}}, nil
}

func newINA226(bus i2c.Bus, o *config.Outlet) (sensor, error) {
	m := &o.Meter
	opts := *ina226.DefaultOpts()
	opts.Addr, opts.Shunt = address(m.Address), shunt(m)
	opts.Alert = ina226.Alert{Enabled: m.Alert, Above: limit(o), Latch: true}
	dev, err := ina226.New(bus, &opts)
	if err != nil {
		return sensor{}, err
	}
	var got ina226.Measurement
	return sensor{lost: ina226.ErrReset, window: dev.Window(), read: func(_ int, r *shedguard.Reading) error {
		if err := dev.Sense(&got); err != nil {
			return err
		}
		var flags ina226.Flags
		if m.Alert {
			var err error
			if flags, err = dev.Flags(); err != nil {
				return err
			}
		}
		direct(r, m, volts(got.Volts), amps(got.Amps))
		r.Raw = [3]uint32{uint32(got.Raw[0]), uint32(got.Raw[1]), 0}
		tell(r, o, flags&ina226.Alerted != 0)
		return nil
	}}, nil
}

func newINA228(bus i2c.Bus, o *config.Outlet) (sensor, error) {
	m := &o.Meter
	opts := *ina228.DefaultOpts()
	opts.Addr, opts.Shunt, opts.Max = address(m.Address), shunt(m), longest(o)
	opts.Alert = ina228.Alert{Enabled: m.Alert, Amps: limit(o), Latch: true}
	dev, err := ina228.New(bus, &opts)
	if err != nil {
		return sensor{}, err
	}
	var got ina228.Measurement
	return sensor{lost: ina228.ErrReset, window: dev.Window(), read: func(_ int, r *shedguard.Reading) error {
		if err := dev.Sense(&got); err != nil {
			return err
		}
		var flags ina228.Flags
		if m.Alert {
			var err error
			if flags, err = dev.Flags(); err != nil {
				return err
			}
		}
		direct(r, m, volts(got.Volts), amps(got.Amps))
		r.Raw = [3]uint32{got.Raw[0], got.Raw[1], 0}
		tell(r, o, flags&ina228.OverAmps != 0)
		return nil
	}}, nil
}

func newINA3221(bus i2c.Bus, outlets []*config.Outlet) (sensor, error) {
	opts := *ina3221.DefaultOpts()
	opts.Addr, opts.Channels = address(outlets[0].Meter.Address), [ina3221.Channels]ina3221.Channel{}
	channel, alert := make([]int, len(outlets)), false
	for i, o := range outlets {
		m := &o.Meter
		channel[i] = int(m.Channel[0] - '1')
		c := ina3221.Channel{Shunt: shunt(m), Critical: limit(o)}
		if m.Alert && o.Limits.Overcurrent.Enabled {
			c.Warning = shown(o, o.Limits.Overcurrent.PickUp*o.RatingAmps)
		}
		opts.Channels[channel[i]] = c
		alert = alert || m.Alert
	}
	opts.Latch = alert
	dev, err := ina3221.New(bus, &opts)
	if err != nil {
		return sensor{}, err
	}
	var (
		got   ina3221.Measurement
		flags ina3221.Flags
		b     = newBatch(outlets)
	)
	sense := func() error {
		if err := dev.Sense(&got); err != nil {
			return err
		}
		if !alert {
			return nil
		}
		var err error
		flags, err = dev.Flags()
		return err
	}
	critical := [...]ina3221.Flags{ina3221.Critical1, ina3221.Critical2, ina3221.Critical3}
	return sensor{lost: ina3221.ErrReset, window: dev.Window(), read: func(place int, r *shedguard.Reading) error {
		if err := b.take(place, sense); err != nil {
			return err
		}
		o, n := outlets[place], channel[place]
		direct(r, &o.Meter, volts(got[n].Volts), amps(got[n].Amps))
		r.Raw = [3]uint32{uint32(got[n].Raw[0]), uint32(got[n].Raw[1]), 0}
		tell(r, o, o.Meter.Alert && flags&critical[n] != 0)
		return nil
	}}, nil
}

func newMAX34451(bus i2c.Bus, outlets []*config.Outlet) (sensor, error) {
	opts := &max34451.Opts{Addr: address(outlets[0].Meter.Address)}
	alert := false
	for _, o := range outlets {
		opts.Channels[*o.Meter.VoltsChannel].Kind = max34451.Volts
		opts.Channels[*o.Meter.AmpsChannel] = max34451.Channel{Kind: max34451.Amps, Fault: limit(o)}
		alert = alert || o.Meter.Alert
	}
	dev, err := max34451.New(bus, opts)
	if err != nil {
		return sensor{}, err
	}
	var got max34451.Measurement
	faulted := make([]bool, len(outlets))
	b := newBatch(outlets)
	sense := func() error {
		if err := dev.Sense(&got); err != nil {
			return err
		}
		for i, o := range outlets {
			if !o.Meter.Alert {
				continue
			}
			status, err := dev.Status(*o.Meter.AmpsChannel)
			if err != nil {
				return err
			}
			faulted[i] = status&pmbus.Iout != 0
		}
		for _, f := range faulted {
			if f { // all of the statuses were read: clearing them loses nothing
				return dev.ClearFaults()
			}
		}
		return nil
	}
	return sensor{lost: max34451.ErrReset, read: func(place int, r *shedguard.Reading) error {
		if err := b.take(place, sense); err != nil {
			return err
		}
		o := outlets[place]
		v, i := &got[*o.Meter.VoltsChannel], &got[*o.Meter.AmpsChannel]
		direct(r, &o.Meter, volts(v.Volts), amps(i.Amps))
		r.Raw = [3]uint32{uint32(v.Raw), uint32(i.Raw), 0}
		tell(r, o, faulted[place])
		return nil
	}}, nil
}

// direct fills r with direct current, calibrated: power is volts times amps,
// because the power registers of these chips err by a share of full scale.
func direct(r *shedguard.Reading, m *config.Meter, v, i float64) {
	r.Volts, r.Amps = m.Volts.Gain*v+m.Volts.Offset, m.Amps.Gain*i+m.Amps.Offset
	r.Watts = m.Watts.Gain*r.Volts*r.Amps + m.Watts.Offset
	r.PowerFactor, r.Hertz = 1, 0
}

func volts(v physic.ElectricPotential) float64 { return float64(v) / float64(physic.Volt) }
func amps(a physic.ElectricCurrent) float64    { return float64(a) / float64(physic.Ampere) }
func watts(w physic.Power) float64             { return float64(w) / float64(physic.Watt) }

func shunt(m *config.Meter) physic.ElectricResistance {
	return physic.ElectricResistance(math.Round(m.ShuntOhms * float64(physic.Ohm)))
}
