package sim_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/shedguard/shedguard/drivers/sim"
)

// The words of the monitor, computed by hand from its coefficients: 40.62 counts
// a volt, 66.3 counts an ampere above 2048, 4.2 counts a degree above 3187.1; PIN
// 10.535 counts a watt. The codes at the end are CRC-8 of the whole transaction.
func TestADM1272Words(t *testing.T) {
	c := sim.NewADM1272(0x10, 0.001)
	expect(t, c, []byte{0xD4}, []byte{0x35, 0x3F})
	expect(t, c, []byte{0x4A}, []byte{0xFF, 0x0F})
	expect(t, c, []byte{0x01}, []byte{0x80})
	expect(t, c, []byte{0xD3}, []byte{0x01})
	expect(t, c, []byte{0x99}, []byte{3, 'A', 'D', 'I'})
	expect(t, c, []byte{0x9A}, append([]byte{10}, "ADM1272-A1"...))
	c.Set(48, 12)
	expect(t, c, []byte{0x88}, []byte{0x9E, 0x07}) // 1950
	expect(t, c, []byte{0x8C}, []byte{0x1C, 0x0B}) // 2843.6: 2844
	expect(t, c, []byte{0x97}, []byte{0xB4, 0x17}) // 6068
	expect(t, c, []byte{0x8B}, []byte{0, 0})       // off after power-on, as the temperature
	expect(t, c, []byte{0x8D}, []byte{0, 0})
	c.Set(11.989, 0)
	expect(t, c, []byte{0x88}, []byte{0xE7, 0x01, 0xE2}) // the word that QEMU sends, and its code
	expect(t, c, []byte{0x8C}, []byte{0x00, 0x08})       // nothing flows
	c.Set(math.NaN(), math.NaN())
	expect(t, c, []byte{0x88}, []byte{0, 0})
	expect(t, c, []byte{0x8C}, []byte{0x00, 0x08})
	c.Set(1000, 1000)
	expect(t, c, []byte{0x88}, []byte{0xFF, 0x0F})
	expect(t, c, []byte{0x8C}, []byte{0xFF, 0x0F})
	c.Set(-1, -1000)
	expect(t, c, []byte{0x88}, []byte{0, 0})
	expect(t, c, []byte{0x8C}, []byte{0, 0})

	// The configuration is taken only while the monitor stands still.
	if err := c.Tx([]byte{0xD4, 0x3F, 0x3F}, nil); !errors.Is(err, sim.ErrNACK) {
		t.Errorf("configured while it converts: %v", err)
	}
	chipTx(t, c, []byte{0xD3, 0}, 0)
	chipTx(t, c, []byte{0xD4, 0x3F, 0x3F}, 0)
	c.Set(48, 12)
	expect(t, c, []byte{0x88}, []byte{0, 0}) // not yet
	chipTx(t, c, []byte{0xD3, 1}, 0)
	expect(t, c, []byte{0x88}, []byte{0x9E, 0x07})
	expect(t, c, []byte{0x8B}, []byte{0x9E, 0x07})
	c.SetCelsius(25)
	expect(t, c, []byte{0x8D}, []byte{0xDC, 0x0C}) // 3292.1: 3292
	c.Freeze(true)
	c.Set(0, 0)
	expect(t, c, []byte{0x88}, []byte{0x9E, 0x07})
	c.Freeze(false)
	expect(t, c, []byte{0x88}, []byte{0, 0})
	c.Reset()
	expect(t, c, []byte{0xD4}, []byte{0x35, 0x3F})
	expect(t, c, []byte{0x8C}, []byte{0, 0})
	expect(t, c, nil, []byte{0xFF})
}

// Overcurrent and faults of communication stay in the status until they are
// cleared.
func TestADM1272Status(t *testing.T) {
	c := sim.NewADM1272(0x10, 0.001)
	chipTx(t, c, []byte{0x4A, 0x2E, 0x0D}, 0) // 3374: 20 A
	c.Set(48, 20)
	expect(t, c, []byte{0x79}, []byte{0, 0})
	c.Set(48, 20.03)
	c.Set(48, 0)
	expect(t, c, []byte{0x79}, []byte{0x00, 0x40})
	expect(t, c, []byte{0x7B}, []byte{0x20})
	expect(t, c, []byte{0x7C}, []byte{0x00})
	chipTx(t, c, []byte{0x03}, 0)
	expect(t, c, []byte{0x79}, []byte{0, 0})
	chipTx(t, c, []byte{0x01, 0x00}, 0)
	expect(t, c, []byte{0x01}, []byte{0x00})

	expect(t, c, []byte{0x55}, []byte{0xFF, 0xFF}) // no such command
	expect(t, c, []byte{0x7E}, []byte{0x80})
	for fault, w := range map[byte][]byte{
		0x80: {0x88, 1, 2},             // read only
		0x40: {0x4A, 1},                // too short
		0x20: {0x4A, 0x34, 0x12, 0x00}, // wrong code
	} {
		chipTx(t, c, []byte{0x03}, 0)
		if err := c.Tx(w, nil); !errors.Is(err, sim.ErrNACK) {
			t.Errorf("% x: %v", w, err)
		}
		expect(t, c, []byte{0x7E}, []byte{fault})
		expect(t, c, []byte{0x78}, []byte{0x02})
	}
	expect(t, c, []byte{0x4A}, []byte{0x2E, 0x0D})
	w := []byte{0x4A, 0x34, 0x12, 0x00}
	for code := range 256 { // one of all codes is right
		w[3] = byte(code)
		if c.Tx(w, nil) == nil && code != 0x1C {
			t.Errorf("code %#02x accepted", code)
		}
	}
	expect(t, c, []byte{0x4A}, []byte{0x34, 0x12})
	chipTx(t, c, []byte{0x4A}, 0) // a command alone
	if got := chipTx(t, c, []byte{0x9A}, 4); !bytes.Equal(got, []byte("\x0aADM")) {
		t.Errorf("%q", got)
	}
}
