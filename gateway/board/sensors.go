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
	"github.com/shedguard/shedguard/drivers/adm1272"
	"github.com/shedguard/shedguard/drivers/ina219"
	"github.com/shedguard/shedguard/drivers/ina226"
	"github.com/shedguard/shedguard/drivers/lm75"
	"github.com/shedguard/shedguard/drivers/tmp102"
	"github.com/shedguard/shedguard/gateway/config"
)

// ErrSettling comes from a meter that was just set up and has not measured for
// long enough: what its registers hold is not of the outlet.
var ErrSettling = errors.New("first measurement not complete")

// meter is a meter as poll reads it. Its driver is made by the first read that
// reaches the chip, and anew when the chip lost its configuration.
type meter struct {
	outlet int
	bus    i2c.Bus
	of     *config.Meter
	sensor sensor
	ready  time.Time // of the first measurement since the chip was set up
}

// sensor is the driver of a meter behind one call.
type sensor struct {
	read func(r *shedguard.Reading) error
	// lost is the error of a chip that must be set up again; nil where there is
	// nothing to set up.
	lost error
	// window is how long the chip measures for one value.
	window time.Duration
}

// Read fills r. On an error r is left as it was.
func (m *meter) Read(r *shedguard.Reading) error {
	if m.sensor.read == nil {
		s, err := newSensor(m.bus, m.of)
		if err != nil {
			return fmt.Errorf("outlet %d: meter: set up: %w", m.outlet, err)
		}
		m.sensor = s
		if s.window > 0 {
			m.ready = time.Now().Add(s.window)
		}
	}
	if !m.ready.IsZero() {
		if time.Now().Before(m.ready) {
			return fmt.Errorf("outlet %d: meter: %w", m.outlet, ErrSettling)
		}
		m.ready = time.Time{}
	}
	err := m.sensor.read(r)
	if err == nil {
		return nil
	}
	if m.sensor.lost != nil && errors.Is(err, m.sensor.lost) {
		m.sensor.read = nil
	}
	return fmt.Errorf("outlet %d: meter: %w", m.outlet, err)
}

// newSensor makes the driver of a meter.
func newSensor(bus i2c.Bus, m *config.Meter) (sensor, error) {
	switch m.Chip {
	case "acs37800":
		dev, err := acs37800.New(bus, &acs37800.Opts{
			Addr: address(m.Address), RangeAmps: m.RangeAmps, Divider: m.Divider,
			Volts: acs37800.Trim(m.Volts), Amps: acs37800.Trim(m.Amps), Watts: acs37800.Trim(m.Watts),
		})
		if err != nil {
			return sensor{}, err
		}
		var got acs37800.Measurement
		return sensor{read: func(r *shedguard.Reading) error {
			if err := dev.Sense(&got); err != nil {
				return err
			}
			r.Volts, r.Amps, r.Watts = volts(got.Volts), amps(got.Amps), watts(got.Watts)
			r.PowerFactor, r.Hertz, r.Raw = got.PowerFactor, 0, got.Raw // the chip does not give the frequency
			return nil
		}}, nil
	case "adm1272":
		opts := *adm1272.DefaultOpts()
		opts.Addr, opts.Shunt = address(m.Address), shunt(m)
		dev, err := adm1272.New(bus, &opts)
		if err != nil {
			return sensor{}, err
		}
		var got adm1272.Measurement
		return sensor{lost: adm1272.ErrReset, read: func(r *shedguard.Reading) error {
			if err := dev.Sense(&got); err != nil {
				return err
			}
			direct(r, m, volts(got.Volts), amps(got.Amps))
			r.Raw = [3]uint32{uint32(got.Raw[0]), uint32(got.Raw[1]), 0}
			return nil
		}}, nil
	case "ina219":
		opts := *ina219.DefaultOpts()
		opts.Addr, opts.Shunt = address(m.Address), shunt(m)
		dev, err := ina219.New(bus, &opts)
		if err != nil {
			return sensor{}, err
		}
		var got ina219.Measurement
		return sensor{lost: ina219.ErrReset, window: dev.Window(), read: func(r *shedguard.Reading) error {
			if err := dev.Sense(&got); err != nil {
				return err
			}
			direct(r, m, volts(got.Volts), amps(got.Amps))
			r.Raw = [3]uint32{uint32(got.Raw[0]), uint32(got.Raw[1]), 0}
			return nil
		}}, nil
	case "ina226":
		opts := *ina226.DefaultOpts()
		opts.Addr, opts.Shunt = address(m.Address), shunt(m)
		dev, err := ina226.New(bus, &opts)
		if err != nil {
			return sensor{}, err
		}
		var got ina226.Measurement
		return sensor{lost: ina226.ErrReset, window: dev.Window(), read: func(r *shedguard.Reading) error {
			if err := dev.Sense(&got); err != nil {
				return err
			}
			direct(r, m, volts(got.Volts), amps(got.Amps))
			r.Raw = [3]uint32{uint32(got.Raw[0]), uint32(got.Raw[1]), 0}
			return nil
		}}, nil
	default:
		return sensor{}, fmt.Errorf("%s: no driver for meters", m.Chip)
	}
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
	return physic.ElectricResistance(m.ShuntOhms * float64(physic.Ohm))
}

// thermometer is a thermometer as poll reads it. The chip is set up by the first
// read that reaches it, and again after an error: it may have lost its supply,
// and its limits with it.
type thermometer struct {
	outlet int
	bus    i2c.Bus
	of     *config.Outlet
	dev    probe
}

// probe is the driver of a thermometer.
type probe interface {
	Sense(t *physic.Temperature) error
}

// Read returns the last conversion in °C.
func (t *thermometer) Read() (float64, error) {
	if t.dev == nil {
		dev, err := newProbe(t.bus, t.of)
		if err != nil {
			return 0, fmt.Errorf("outlet %d: thermometer: set up: %w", t.outlet, err)
		}
		t.dev = dev
	}
	var temp physic.Temperature
	if err := t.dev.Sense(&temp); err != nil {
		t.dev = nil
		return 0, fmt.Errorf("outlet %d: thermometer: %w", t.outlet, err)
	}
	return temp.Celsius(), nil
}

// newProbe makes the driver of a thermometer. The alert pin of the chip follows
// the limits of the outlet, for boards that wire it to the coil enable.
func newProbe(bus i2c.Bus, o *config.Outlet) (probe, error) {
	high, low := physic.ZeroCelsius+80*physic.Celsius, physic.ZeroCelsius+75*physic.Celsius
	if l := &o.Limits.OverTemperature; l.Enabled {
		// Whole degrees suit every chip; up, so that the program comes first.
		high = physic.ZeroCelsius + physic.Temperature(math.Ceil(l.LimitCelsius))*physic.Celsius
		low = min(physic.ZeroCelsius+physic.Temperature(math.Floor(l.ResetCelsius))*physic.Celsius, high-physic.Celsius)
	}
	addr := address(o.Thermometer.Address)
	switch chip := o.Thermometer.Chip; chip {
	case "tmp102":
		opts := *tmp102.DefaultOpts()
		opts.Addr, opts.High, opts.Low = addr, high, low
		dev, err := tmp102.New(bus, &opts)
		if err != nil {
			return nil, err
		}
		return dev, nil
	case "lm75", "lm75b", "ds75", "tmp75", "tmp105":
		kinds := map[string]lm75.Chip{"lm75": lm75.LM75, "lm75b": lm75.LM75B, "ds75": lm75.DS75, "tmp75": lm75.TMP75, "tmp105": lm75.TMP75}
		dev, err := lm75.New(bus, &lm75.Opts{Chip: kinds[chip], Addr: addr, High: high, Low: low})
		if err != nil {
			return nil, err
		}
		return dev, nil
	default:
		return nil, fmt.Errorf("%s: no driver for thermometers", chip)
	}
}
