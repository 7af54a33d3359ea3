package sim_test

import (
	"encoding/hex"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/lm75"
	"github.com/shedguard/shedguard/drivers/sim"
)

func TestLM75(t *testing.T) {
	c := sim.NewLM75()
	expect(t, c, nil, []byte{0, 0})
	expect(t, c, []byte{1}, []byte{0, 0})
	expect(t, c, []byte{2}, []byte{0x4B, 0x00})
	expect(t, c, []byte{3}, []byte{0x50, 0x00, 0xFF})
	for celsius, want := range map[float64][]byte{
		0: {0, 0}, 29.5: {0x1D, 0x80}, 30: {0x1E, 0}, 125: {0x7D, 0}, 127.5: {0x7F, 0x80}, 200: {0x7F, 0x80},
		-0.5: {0xFF, 0x80}, -25: {0xE7, 0}, -55: {0xC9, 0}, -300: {0x80, 0}, 29.3: {0x1D, 0x80},
	} {
		c.SetCelsius(celsius)
		expect(t, c, []byte{0}, want)
	}
	c.SetCelsius(29.5)
	expect(t, c, []byte{1, 0xFF}, []byte{0x1F}) // all that can be written
	expect(t, c, []byte{3, 0x7F, 0xFF}, []byte{0x7F, 0x80})
	expect(t, c, []byte{2, 0x10}, []byte{0x10, 0x00})
	expect(t, c, []byte{0, 1, 2}, []byte{0x1D, 0x80}) // read only, and shut down
	c.Reset()
	expect(t, c, nil, []byte{0, 0})
	expect(t, c, []byte{1}, []byte{0})
}

// The steps of the finer chips.
func TestLM75Steps(t *testing.T) {
	b, tmp := sim.NewLM75B(), sim.NewTMP75()
	for celsius, want := range map[float64][]byte{25.125: {0x19, 0x20}, -0.125: {0xFF, 0xE0}, 127.875: {0x7F, 0xE0}} {
		b.SetCelsius(celsius)
		expect(t, b, []byte{0}, want)
	}
	tmp.SetCelsius(25.3125) // 19 50
	for config, want := range map[byte][]byte{0: {0x19, 0x80}, 0x20: {0x19, 0x40}, 0x40: {0x19, 0x60}, 0x60: {0x19, 0x50}} {
		chipTx(t, tmp, []byte{1, config}, 0)
		expect(t, tmp, []byte{0}, want)
	}
	chipTx(t, tmp, []byte{1, 0xE0}, 0)
	expect(t, tmp, []byte{1}, []byte{0x60}) // one-shot reads 0
	expect(t, tmp, []byte{2, 0x12, 0x3F}, []byte{0x12, 0x30})
	tmp.SetCelsius(-0.0625)
	expect(t, tmp, []byte{0}, []byte{0xFF, 0xF0})
	tmp.Freeze(true)
	tmp.SetCelsius(99)
	expect(t, tmp, []byte{0}, []byte{0xFF, 0xF0})
	tmp.Freeze(false)
	expect(t, tmp, []byte{0}, []byte{0x63, 0x00})
}

func TestLM75Alert(t *testing.T) {
	c := sim.NewLM75B()
	for _, s := range []struct {
		celsius float64
		alert   bool
	}{{80, false}, {80.5, true}, {75, true}, {74.5, false}, {79, false}, {127, true}} {
		c.SetCelsius(s.celsius)
		if got := c.Alert(); got != s.alert {
			t.Errorf("%g °C: alert %t, want %t", s.celsius, got, s.alert)
		}
	}
}

// What a real FM75 sent is a room's temperature to the driver, and the model
// sends the same bytes.
func TestFM75CapturesAsLM75(t *testing.T) {
	for name, want := range map[string]struct {
		celsius float64
		raw     string
		reads   int
	}{
		"i2c_rding_temper_rding_temper_i2c_usb_led_sensor_5s.i2c.txt": {29.5, "1d80", 130},
		"i2c_rding_temper_rding_temper_i2c_eeprom_and_sensor.i2c.txt": {30, "1e00", 224},
	} {
		t.Run(name, func(t *testing.T) {
			var ops []i2ctest.IO
			for _, tr := range capture(t, name) {
				if tr.addr == "addr=0x4f" && tr.read && len(tr.data) == 2 {
					ops = append(ops, i2ctest.IO{Addr: 0x4F, W: []byte{0}, R: tr.data})
				}
			}
			reads := len(ops)
			if reads < want.reads-8 {
				t.Errorf("%d readings, want about %d: is the capture whole?", reads, want.reads)
			}
			ops = append([]i2ctest.IO{
				{Addr: 0x4F, W: []byte{1}, R: []byte{0}},
				{Addr: 0x4F, W: []byte{1, 0}},
				{Addr: 0x4F, W: []byte{2, 0x4B, 0}},
				{Addr: 0x4F, W: []byte{3, 0x50, 0}},
				{Addr: 0x4F, W: []byte{1}, R: []byte{0}},
				{Addr: 0x4F, W: []byte{2}, R: []byte{0x4B, 0}},
				{Addr: 0x4F, W: []byte{3}, R: []byte{0x50, 0}},
			}, ops...)
			bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
			opts := lm75.DefaultOpts()
			opts.Addr = 0x4F
			dev, err := lm75.New(bus, opts)
			if err != nil {
				t.Fatal(err)
			}
			for range reads {
				var temp physic.Temperature
				if err := dev.Sense(&temp); err != nil {
					t.Fatal(err)
				}
				if got := temp.Celsius(); got != want.celsius {
					t.Errorf("%g °C, want %g", got, want.celsius)
				}
			}
			chip := sim.NewLM75()
			chip.SetCelsius(want.celsius)
			raw, err := hex.DecodeString(want.raw)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, chip, []byte{0}, raw)
		})
	}
}
