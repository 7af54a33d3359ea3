package board

import (
	"errors"
	"fmt"
	"math"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/adm1272"
	"github.com/shedguard/shedguard/drivers/lm75"
	"github.com/shedguard/shedguard/drivers/tmp102"
	"github.com/shedguard/shedguard/gateway/config"
)

// ErrSettling comes from a meter that was just set up and has not measured for
// long enough: what its registers hold is not of the outlet.
var ErrSettling = errors.New("first measurement not complete")

// meter is one outlet of a chip as poll reads it.
type meter struct {
	outlet int
	chip   *chip
	place  int // in chip.outlets
}

// Read fills r. On an error r is left as it was.
func (m *meter) Read(r *shedguard.Reading) error {
	if err := m.chip.read(m.place, r); err != nil {
		return fmt.Errorf("outlet %d: meter: %w", m.outlet, err)
	}
	return nil
}

// chip is a chip that measures one outlet, or several. Its driver is made by the
// first read that reaches the chip, and anew when the chip lost its
// configuration.
type chip struct {
	bus     i2c.Bus
	outlets []*config.Outlet
	sensor  sensor
	ready   time.Time // of the first measurement since the chip was set up
}

// sensor is the driver of a chip behind one call.
type sensor struct {
	// read fills r with what the chip says of the outlet at that place.
	read func(place int, r *shedguard.Reading) error
	// lost is the error of a chip that must be set up again; nil where there is
	// nothing to set up.
	lost error
	// window is how long the chip measures for one value.
	window time.Duration
}

func (c *chip) read(place int, r *shedguard.Reading) error {
	if c.sensor.read == nil {
		s, err := newSensor(c.bus, c.outlets)
		if err != nil {
			return fmt.Errorf("set up: %w", err)
		}
		c.sensor = s
		if s.window > 0 {
			c.ready = time.Now().Add(s.window)
		}
	}
	if !c.ready.IsZero() {
		if time.Now().Before(c.ready) {
			return ErrSettling
		}
		c.ready = time.Time{}
	}
	err := c.sensor.read(place, r)
	if err != nil && c.sensor.lost != nil && errors.Is(err, c.sensor.lost) {
		c.sensor.read = nil
	}
	return err
}

// newSensor makes the driver of the chip that measures the outlets.
func newSensor(bus i2c.Bus, outlets []*config.Outlet) (sensor, error) {
	o := outlets[0]
	switch o.Meter.Chip {
	case "acs37800":
		return newACS37800(bus, &o.Meter)
	case "ade7953":
		return newADE7953(bus, outlets)
	case "adm1272":
		return newHotSwap(bus, o, adm1272.ADM1272)
	case "adm1275":
		return newHotSwap(bus, o, adm1272.ADM1275)
	case "adm1276":
		return newHotSwap(bus, o, adm1272.ADM1276)
	case "adm1278":
		return newHotSwap(bus, o, adm1272.ADM1278)
	case "ads1115":
		return newADS1115(bus, &o.Meter)
	case "ina219":
		return newINA219(bus, o)
	case "ina226":
		return newINA226(bus, o)
	case "ina228":
		return newINA228(bus, o)
	case "ina3221":
		return newINA3221(bus, outlets)
	case "max34451":
		return newMAX34451(bus, outlets)
	default:
		return sensor{}, fmt.Errorf("%s: no driver for meters", o.Meter.Chip)
	}
}

// thermometer is a thermometer as poll reads it. The chip is set up by the first
// read that reaches it, and again after an error: it may have lost its supply,
// and its limits with it.
type thermometer struct {
	outlet int
	bus    i2c.Bus
	of     *config.Outlet
	dev    probe
	looked time.Time // when dev was last found configured
}

// lookEvery is how often a thermometer is asked whether it still is configured:
// a power-on reset takes the limits of its alert pin and shows in no reading.
const lookEvery = 10 * time.Second

// probe is the driver of a thermometer.
type probe interface {
	Sense(t *physic.Temperature) error
	Check() error
}

// Read returns the last conversion in °C.
func (t *thermometer) Read() (float64, error) {
	now := time.Now()
	if t.dev != nil && now.Sub(t.looked) >= lookEvery {
		if t.looked = now; t.dev.Check() != nil {
			t.dev = nil // whatever it is, setting up says it, or ends it
		}
	}
	if t.dev == nil {
		dev, err := newProbe(t.bus, t.of)
		if err != nil {
			return 0, fmt.Errorf("outlet %d: thermometer: set up: %w", t.outlet, err)
		}
		t.dev, t.looked = dev, now
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
