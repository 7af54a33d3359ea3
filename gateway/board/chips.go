package board

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3/i2c"

	"github.com/shedguard/shedguard/drivers/mcp23017"
	"github.com/shedguard/shedguard/drivers/pca9554"
	"github.com/shedguard/shedguard/drivers/pcf8574"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/poll"
)

// ErrNotConfigured comes from an expander that was not set up yet.
var ErrNotConfigured = errors.New("not configured")

var (
	_ poll.Meter       = (*meter)(nil)
	_ poll.Thermometer = (*thermometer)(nil)
	_ actuate.Expander = (*expander)(nil)
	_ actuate.Inputs   = (*expander)(nil)
)

// relayChip is the driver of an expander.
type relayChip interface {
	actuate.Expander
	actuate.Inputs
	fmt.Stringer
}

// wiring is an expander and the use of its pins.
type wiring struct {
	chip    string // of the configuration
	addr    uint16
	outputs uint16
	initial uint16 // the level of each output at which everything is open
}

// start returns the driver of the chip after it was set up with latch.
func (w *wiring) start(bus i2c.Bus, latch uint16) (relayChip, error) {
	switch w.chip {
	case "mcp23017":
		return orNil(mcp23017.New(bus, &mcp23017.Opts{Addr: w.addr, Outputs: w.outputs, Initial: latch}))
	case "pca9554":
		return orNil(pca9554.New(bus, &pca9554.Opts{Chip: pca9554.PCA9554, Addr: w.addr, Outputs: w.outputs, Initial: latch}))
	case "max7310":
		return orNil(pca9554.New(bus, &pca9554.Opts{Chip: pca9554.MAX7310, Addr: w.addr, Outputs: w.outputs, Initial: latch}))
	case "pcf8574":
		return orNil(pcf8574.New(bus, &pcf8574.Opts{Chip: pcf8574.PCF8574, Addr: w.addr, Outputs: w.outputs, Initial: latch}))
	default:
		return nil, fmt.Errorf("%s: no driver for relays", w.chip)
	}
}

// orNil keeps a nil driver from hiding in an interface.
func orNil[D relayChip](dev D, err error) (relayChip, error) {
	if err != nil {
		return nil, err
	}
	return dev, nil
}

// open writes all outputs open, whatever the chip did before.
func (w *wiring) open(bus i2c.Bus) error {
	switch w.chip {
	case "mcp23017":
		return mcp23017.Open(bus, &mcp23017.Opts{Addr: w.addr, Outputs: w.outputs, Initial: w.initial})
	case "pca9554":
		return pca9554.Open(bus, &pca9554.Opts{Chip: pca9554.PCA9554, Addr: w.addr, Outputs: w.outputs, Initial: w.initial})
	case "max7310":
		return pca9554.Open(bus, &pca9554.Opts{Chip: pca9554.MAX7310, Addr: w.addr, Outputs: w.outputs, Initial: w.initial})
	case "pcf8574":
		return pcf8574.Open(bus, &pcf8574.Opts{Chip: pcf8574.PCF8574, Addr: w.addr, Outputs: w.outputs, Initial: w.initial})
	default:
		return fmt.Errorf("%s: no driver for relays", w.chip)
	}
}

// expander is a chip as actuate writes it. The driver is made by the first
// Configure that reaches the chip.
type expander struct {
	name string
	bus  i2c.Bus
	wiring
	dev relayChip
}

// Configure sets the chip up with latch on its outputs.
func (e *expander) Configure(latch uint16) error {
	if e.dev != nil {
		return e.wrap("configure", e.dev.Configure(latch))
	}
	dev, err := e.start(e.bus, latch)
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

// Pins reads the levels at the pins.
func (e *expander) Pins() (uint16, error) {
	if e.dev == nil {
		return 0, e.wrap("read pins", ErrNotConfigured)
	}
	pins, err := e.dev.Pins()
	return pins, e.wrap("read pins", err)
}

func (e *expander) wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("relays %s: %s: %w", e.name, what, err)
}

// String returns the name of the configuration, chip, bus and address.
func (e *expander) String() string {
	return fmt.Sprintf("relays %s (%s@%s/%#02x)", e.name, e.chip, e.bus, e.addr)
}
