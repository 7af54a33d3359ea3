package sim_test

import (
	"bytes"
	"testing"

	"github.com/shedguard/shedguard/drivers/sim"
)

func TestPCF8574(t *testing.T) {
	c := sim.NewPCF8574()
	expect(t, c, nil, []byte{0xFF, 0xFF})
	expect(t, c, []byte{0x12, 0xA5}, []byte{0xA5}) // the last byte stays
	c.PullDown(0x81)
	expect(t, c, nil, []byte{0x24})
	if got := c.Outputs(); got != 0x24 {
		t.Errorf("pins %#04x, want 0x0024", got)
	}
	c.Reset()
	expect(t, c, nil, []byte{0x7E})
}

func TestPCF8575(t *testing.T) {
	c := sim.NewPCF8575()
	expect(t, c, nil, []byte{0xFF, 0xFF})
	expect(t, c, []byte{0x34, 0x12}, []byte{0x34, 0x12, 0x34})
	expect(t, c, []byte{0x56}, []byte{0x56, 0x12})
	if got := c.Outputs(); got != 0x1256 {
		t.Errorf("pins %#04x, want 0x1256", got)
	}
	c.Reset()
	expect(t, c, nil, []byte{0xFF, 0xFF})
}

// The PCA9571, a PCF8574 that is an output only, was recorded: what it sends
// when asked is what was written.
func TestPCA9571Captures(t *testing.T) {
	for name, want := range map[string]int{
		"i2c_nxp_pca9571_pca9571_sequence.i2c.txt": 64,
		"i2c_nxp_pca9571_pca9571_simple.i2c.txt":   1,
		"i2c_nxp_pca9571_pca9571_warning.i2c.txt":  2,
	} {
		t.Run(name, func(t *testing.T) {
			transfers := capture(t, name)
			if len(transfers) != want {
				t.Errorf("%d transfers, want %d: is the capture whole?", len(transfers), want)
			}
			c := sim.NewPCF8574()
			for i, tr := range transfers {
				if !tr.read {
					chipTx(t, c, tr.data, 0)
					expect(t, c, nil, tr.data)
					continue
				}
				// Recorded before the first write: the latch is from earlier.
				chipTx(t, c, []byte{0xD0}, 0)
				if got := chipTx(t, c, nil, 1); !bytes.Equal(got, tr.data) {
					t.Errorf("transfer %d: read % x, the chip sent % x", i, got, tr.data)
				}
			}
		})
	}
}
