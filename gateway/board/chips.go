package board

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/acs37800"
	"github.com/shedguard/shedguard/drivers/mcp23017"
	"github.com/shedguard/shedguard/drivers/tmp102"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/poll"
)

// ErrNotConfigured comes from an expander that was not set up yet.
var ErrNotConfigured = errors.New("not configured")

var (
	_ poll.Meter       = (*meter)(nil)
	_ poll.Thermometer = (*thermometer)(nil)
	_ actuate.Expander = (*expander)(nil)
)

// meter is an ACS37800 as poll reads it.
type meter struct {
	outlet int
	dev    *acs37800.Dev
	m      acs37800.Measurement
}

// Read fills r. On an error r is left as it was.
func (m *meter) Read(r *shedguard.Reading) error {
	if err := m.dev.Sense(&m.m); err != nil {
		return fmt.Errorf("outlet %d: meter: %w", m.outlet, err)
	}
	r.Volts = float64(m.m.Volts) / float64(physic.Volt)
	r.Amps = float64(m.m.Amps) / float64(physic.Ampere)
	r.Watts = float64(m.m.Watts) / float64(physic.Watt)
	r.PowerFactor = m.m.PowerFactor
	r.Hertz = 0 // the chip does not give it
	r.Raw = m.m.Raw
	return nil
}

// thermometer is a TMP102 as poll reads it. The chip is set up by the first
// read that reaches it.
type thermometer struct {
	outlet int
	bus    i2c.Bus
	opts   tmp102.Opts
	dev    *tmp102.Dev
}

// Read returns the last conversion in °C.
func (t *thermometer) Read() (float64, error) {
	if t.dev == nil {
		dev, err := tmp102.New(t.bus, &t.opts)
		if err != nil {
			return 0, fmt.Errorf("outlet %d: thermometer: set up: %w", t.outlet, err)
		}
		t.dev = dev
	}
	var temp physic.Temperature
	if err := t.dev.Sense(&temp); err != nil {
		// The chip may have lost its supply, and its limits with it.
		t.dev = nil
		return 0, fmt.Errorf("outlet %d: thermometer: %w", t.outlet, err)
	}
	return temp.Celsius(), nil
}

// expander is an MCP23017 as actuate writes it. The driver is made by the first
// Configure that reaches the chip.
type expander struct {
	name string
	bus  i2c.Bus
	opts mcp23017.Opts
	dev  *mcp23017.Dev
}

// Configure sets the chip up with latch on its outputs.
func (e *expander) Configure(latch uint16) error {
	if e.dev != nil {
		return e.wrap("configure", e.dev.Configure(latch))
	}
	opts := e.opts
	opts.Initial = latch
	dev, err := mcp23017.New(e.bus, &opts)
	if err != nil {
		return e.wrap("configure", err)
	}
	e.dev = dev
	return nil
}

// Check reads whether the chip still has its configuration.
func (e *expander) Check() error {
	if e.dev == nil {
		return e.wrap("check", ErrNotConfigured)
	}
	return e.wrap("check", e.dev.Check())
}

// Set writes the latch.
func (e *expander) Set(latch uint16) error {
	if e.dev == nil {
		return e.wrap("set", ErrNotConfigured)
	}
	return e.wrap("set", e.dev.Set(latch))
}

// Latch reads the latch back.
func (e *expander) Latch() (uint16, error) {
	if e.dev == nil {
		return 0, e.wrap("read latch", ErrNotConfigured)
	}
	latch, err := e.dev.Latch()
	return latch, e.wrap("read latch", err)
}

func (e *expander) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("relays %s: %s: %w", e.name, what, err)
}

// String returns the name of the configuration, chip, bus and address.
func (e *expander) String() string {
	return fmt.Sprintf("relays %s (mcp23017@%s/%#02x)", e.name, e.bus, e.opts.Addr)
}
