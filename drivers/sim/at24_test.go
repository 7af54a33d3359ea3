package sim_test

import (
	"bytes"
	"errors"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"

	"github.com/shedguard/shedguard/drivers/at24"
	"github.com/shedguard/shedguard/drivers/sim"
)

func TestAT24(t *testing.T) {
	c := sim.NewAT24(256, 8, 1)
	c.SetCycle(2)
	expect(t, c, []byte{0xFF}, []byte{0xFF, 0xFF})
	chipTx(t, c, []byte{0x0E, 1, 2, 3}, 0) // past the end of the page
	for range 2 {
		if err := c.Tx(nil, nil); !errors.Is(err, sim.ErrNACK) {
			t.Errorf("in the write cycle: %v, want %v", err, sim.ErrNACK)
		}
	}
	expect(t, c, []byte{0x08}, []byte{3, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 0xFF})
	expect(t, c, nil, []byte{0xFF}) // goes on
	expect(t, c, []byte{0x08, 9}, []byte{3})
	c.Load(0xFE, []byte{7, 8})
	expect(t, c, []byte{0xFE}, []byte{7, 8, 0xFF}) // round to the first
	c.TearAt(2)
	c.SetCycle(0)
	chipTx(t, c, []byte{0x20, 1, 2}, 0)
	chipTx(t, c, []byte{0x28, 1, 2, 3, 4}, 0)
	if err := c.Tx(nil, nil); !errors.Is(err, sim.ErrNACK) {
		t.Errorf("without supply: %v, want %v", err, sim.ErrNACK)
	}
	c.Reset()
	if got := c.Data()[0x20:0x2C]; !bytes.Equal(got, []byte{1, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 0xFF, 0xFF}) {
		t.Errorf("% x", got)
	}

	big := sim.NewAT24(4096, 32, 2)
	big.SetCycle(0)
	chipTx(t, big, []byte{0x0F, 0xFF, 5}, 0)
	expect(t, big, []byte{0x0F, 0xFF}, []byte{5, 0xFF})

	blocks := sim.NewAT24(1024, 16, 1)
	blocks.SetCycle(0)
	chipTx(t, blocks.Block(3), []byte{0x10, 6}, 0)
	expect(t, blocks.Block(3), []byte{0x10}, []byte{6})
	expect(t, blocks, []byte{0x10}, []byte{0xFF})
	blocks.Block(1).Reset()
}

// What a real AT24C02 sent, eight bytes a time, comes out of the driver and of the
// model; it holds no record of ours.
func TestAT24Capture(t *testing.T) {
	transfers := capture(t, "i2c_rding_temper_rding_temper_i2c_eeprom_and_sensor.i2c.txt")
	var ops []i2ctest.IO
	for i, tr := range transfers {
		if tr.addr == "addr=0x50" && tr.read {
			ops = append(ops, i2ctest.IO{Addr: 0x50, W: transfers[i-1].data, R: tr.data})
		}
	}
	if len(ops) != 29 {
		t.Errorf("%d reads, want 29: is the capture whole?", len(ops))
	}
	model := sim.NewAT24(256, 8, 1)
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	dev, err := at24.New(bus, &at24.Opts{Chip: at24.AT24C02, Addr: 0x50})
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range ops {
		got := make([]byte, len(op.R))
		if n, err := dev.ReadAt(got, int64(op.W[0])); n != len(got) || err != nil || !bytes.Equal(got, op.R) {
			t.Errorf("at %#02x: % x, %v, want % x", op.W[0], got, err, op.R)
		}
		model.Load(int(op.W[0]), op.R)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
	for _, op := range ops {
		expect(t, model, op.W, op.R)
	}
	sb := sim.NewBus("sim", fast)
	sb.Attach(0x50, model)
	if dev, err = at24.New(sb, &at24.Opts{Chip: at24.AT24C02, Addr: 0x50}); err != nil {
		t.Fatal(err)
	}
	if err := dev.Sense(new(at24.Record)); !errors.Is(err, at24.ErrNoRecord) {
		t.Errorf("error %v, want %v", err, at24.ErrNoRecord)
	}
}
