package board_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/config"
)

// directText is a shed of direct current: one outlet of every part that can
// measure it, and relays on a chip with eight pins.
const directText = `shed: s1
uplink: {broker: "mqtts://b:8883"}
buses: [{name: main, path: /dev/i2c-1, khz: 400}]
relays: [{name: k, chip: %s, bus: main, address: %#x, active_low: %t}]
outlets:
  - {number: 1, profile: direct-5a, meter: {chip: ina219, bus: main, address: 0x40, shunt_ohms: 0.01, amps: {gain: 1.1, offset: 0}}, thermometer: {chip: lm75, bus: main, address: 0x48}, relay: {name: k, pin: 0}}
  - {number: 2, profile: direct-5a, meter: {chip: ina226, bus: main, address: 0x41, shunt_ohms: 0.002}, thermometer: {chip: tmp105, bus: main, address: 0x49}, relay: {name: k, pin: 7}}
`

func directConfig(t *testing.T, chip string, address int, activeLow bool) *config.Config {
	t.Helper()
	cfg, err := config.Parse(fmt.Appendf(nil, directText, chip, address, activeLow))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestDirectCurrentIsRead(t *testing.T) {
	t.Parallel()
	bus := sim.NewBus("i2c-1", 400*physic.KiloHertz)
	first, second := sim.NewINA219(0.01), sim.NewINA226(0.002)
	first.Set(12, 2)
	second.Set(24, -3)
	bus.Attach(0x40, first)
	wire := bus.Attach(0x41, second)
	cold, warm := sim.NewLM75(), sim.NewTMP75()
	cold.SetCelsius(21)
	warm.SetCelsius(42.25)
	bus.Attach(0x48, cold)
	bus.Attach(0x49, warm)
	bus.Attach(0x18, sim.NewMAX7310())
	b, err := board.New(directConfig(t, "max7310", 0x18, false), map[string]i2c.Bus{"main": bus}, nil)
	if err != nil {
		t.Fatal(err)
	}
	points := b.Polls()[0].Points
	want := []shedguard.Reading{
		{Volts: 12, Amps: 2.2, Watts: 26.4, PowerFactor: 1},
		{Volts: 24, Amps: -3, Watts: -72, PowerFactor: 1},
	}
	celsius := []float64{21, 42.25}
	for i := range points {
		r, err := settled(points[i].Meter.Read)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(r.Volts-want[i].Volts) > 0.05 || math.Abs(r.Amps-want[i].Amps) > 0.02 || math.Abs(r.Watts-want[i].Watts) > 0.5 || r.PowerFactor != 1 || r.Raw == [3]uint32{} {
			t.Errorf("outlet %d: %+v, want %+v", i+1, r, want[i])
		}
		if c, err := points[i].Thermometer.Read(); err != nil || c != celsius[i] {
			t.Errorf("outlet %d: %.4f °C, %v, want %.4f", i+1, c, err, celsius[i])
		}
	}

	// A chip that lost its supply reads as no current at all: it must be set up
	// again, and what it holds before its first window is no reading.
	second.Reset()
	kept := shedguard.Reading{Amps: 7}
	if err := points[1].Meter.Read(&kept); err == nil || kept.Amps != 7 {
		t.Errorf("after a reset: %+v, %v, want an error and the reading as it was", kept, err)
	}
	if r, err := settled(points[1].Meter.Read); err != nil || math.Abs(r.Amps+3) > 0.02 {
		t.Errorf("set up again: %+v, %v", r, err)
	}
	wire.Cut(true)
	if err := points[1].Meter.Read(&kept); err == nil || kept.Amps != 7 {
		t.Errorf("cut off: %+v, %v, want an error and the reading as it was", kept, err)
	}
}

// settled reads once the meter has measured for long enough.
func settled(read func(*shedguard.Reading) error) (r shedguard.Reading, err error) {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); <-time.After(time.Millisecond) {
		if err = read(&r); !errors.Is(err, board.ErrSettling) {
			return r, err
		}
	}
	return r, err
}

func TestEightPinRelays(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		model     sim.Chip
		outputs   func() uint16
		address   int
		activeLow bool
	}{}
	pca, max7310, pcf := sim.NewPCA9554(), sim.NewMAX7310(), sim.NewPCF8574()
	for name, m := range map[string]*sim.PCA9554{"pca9554": pca, "max7310": max7310} {
		tt := tests[name]
		tt.model, tt.outputs, tt.address = m, func() uint16 { return uint16(m.Outputs()) }, map[string]int{"pca9554": 0x20, "max7310": 0x18}[name]
		tests[name] = tt
	}
	tt := tests["pcf8574"]
	tt.model, tt.outputs, tt.address, tt.activeLow = pcf, pcf.Outputs, 0x20, true
	tests["pcf8574"] = tt
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := sim.NewBus("i2c-1", 400*physic.KiloHertz)
			bus.Attach(uint16(tt.address), tt.model)
			cfg := directConfig(t, name, tt.address, tt.activeLow)
			closed := func() uint16 {
				pins := tt.outputs() & 0x81
				if tt.activeLow {
					pins ^= 0x81
				}
				return pins
			}
			b, err := board.New(cfg, map[string]i2c.Bus{"main": bus}, nil)
			if err != nil {
				t.Fatal(err)
			}
			relays, err := actuate.New(b.Relays())
			if err != nil {
				t.Fatal(err)
			}
			if got := closed(); got != 0 {
				t.Fatalf("pins %#02x closed at start", got)
			}
			if err := relays.Close(2); err != nil {
				t.Fatal(err)
			}
			if got := closed(); got != 0x80 {
				t.Errorf("pins %#02x closed, want that of outlet 2", got)
			}
			if err := board.OpenRelays(cfg, map[string]i2c.Bus{"main": bus}); err != nil {
				t.Fatal(err)
			}
			if got := closed(); got != 0 {
				t.Errorf("pins %#02x closed after OpenRelays", got)
			}
		})
	}
}
