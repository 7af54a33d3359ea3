package pmbus_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/pmbus"
)

func newConn(pec bool, ops ...i2ctest.IO) (*pmbus.Conn, *i2ctest.Playback) {
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	return &pmbus.Conn{Dev: i2c.Dev{Bus: bus, Addr: 0x10}, PEC: pec}, bus
}

func TestDecode(t *testing.T) {
	tests := map[string]struct {
		c    pmbus.Coefficients
		word uint16
		want float64
	}{
		"ADM1272, 100 V":          {c: pmbus.Coefficients{M: 4062, R: -2}, word: 0x01E7, want: 11.98916},
		"ADM1272, 30 mV, 300 µΩ":  {c: pmbus.Coefficients{M: 663 * 0.3, B: 20480, R: -1}, word: 0x09EF, want: 24.88688},
		"ADM1272, no current":     {c: pmbus.Coefficients{M: 663, B: 20480, R: -1}, word: 2048, want: 0},
		"ADM1272, temperature":    {c: pmbus.Coefficients{M: 42, B: 31871, R: -1}, word: 3292, want: 24.97619},
		"ADM1272, no temperature": {c: pmbus.Coefficients{M: 42, B: 31871, R: -1}, word: 0, want: -758.83333},
		"MAX34451, mV":            {c: pmbus.Coefficients{M: 1, R: 3}, word: 12000, want: 12},
		"MAX34451, 10 mA":         {c: pmbus.Coefficients{M: 1, R: 2}, word: 0xFFFF, want: -0.01},
		"the lowest":              {c: pmbus.Coefficients{M: 1, R: 0}, word: 0x8000, want: -32768},
		"the highest":             {c: pmbus.Coefficients{M: 1, R: 0}, word: 0x7FFF, want: 32767},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.c.Decode(tt.word); math.Abs(got-tt.want) > 1e-5 {
				t.Errorf("%.6g, want %.6g", got, tt.want)
			}
			if word, ok := tt.c.Encode(tt.c.Decode(tt.word)); !ok || word != tt.word {
				t.Errorf("back %#04x, %t, want %#04x", word, ok, tt.word)
			}
		})
	}
}

// Every word comes back, whatever the coefficients; a number that is none is
// rounded down; one that does not fit is refused.
func TestEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := pmbus.Coefficients{
			M: float64(rapid.IntRange(1, 32767).Draw(t, "m")),
			B: float64(rapid.IntRange(-32768, 32767).Draw(t, "b")),
			R: rapid.IntRange(-3, 3).Draw(t, "r"),
		}
		word := rapid.Uint16Range(0, 65535).Draw(t, "word")
		if got, ok := c.Encode(c.Decode(word)); !ok || got != word {
			t.Fatalf("%#04x comes back as %#04x, %t", word, got, ok)
		}
		if word != 0x7FFF {
			between := c.Decode(word) + (c.Decode(word+1)-c.Decode(word))/2
			if got, ok := c.Encode(between); !ok || got != word {
				t.Fatalf("half a step above %#04x is %#04x, %t", word, got, ok)
			}
		}
	})
	c := pmbus.Coefficients{M: 1, R: 3}
	for _, x := range []float64{32.768, -32.769, math.NaN(), math.Inf(1), math.Inf(-1)} {
		if word, ok := c.Encode(x); ok {
			t.Errorf("%g is %#04x, want a refusal", x, word)
		}
	}
}

func TestRead(t *testing.T) {
	c, bus := newConn(false,
		i2ctest.IO{Addr: 0x10, W: []byte{0x7B}, R: []byte{0x20}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x88}, R: []byte{0xE7, 0x01}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x99}, R: []byte{3, 'A', 'D', 'I'}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x99}, R: []byte{1, 'A', 0xFF, 0xFF}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x99}, R: []byte{33, 'A', 'D', 'I'}},
		// A longer block is read to its end, by a chip that sends the rest then.
		i2ctest.IO{Addr: 0x10, W: []byte{0x9A}, R: []byte{5, 'A', 'D', 'M'}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x9A}, R: []byte{'1', '2'}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x9A}, R: []byte{4, 'A', 'D', 'M'}},
	)
	if got, err := c.Byte(pmbus.StatusIout); got != 0x20 || err != nil {
		t.Errorf("byte %#x, %v", got, err)
	}
	if got, err := c.Word(pmbus.ReadVin); got != 0x01E7 || err != nil {
		t.Errorf("word %#x, %v", got, err)
	}
	if got, err := c.Block(pmbus.MfrID, 3); string(got) != "ADI" || err != nil {
		t.Errorf("block %q, %v", got, err)
	}
	if got, err := c.Block(pmbus.MfrID, 3); string(got) != "A" || err != nil {
		t.Errorf("short block %q, %v", got, err)
	}
	if got, err := c.Block(pmbus.MfrID, 3); err == nil {
		t.Errorf("a block of 33 bytes is %q", got)
	}
	if got, err := c.Block(pmbus.MfrModel, 3); string(got) != "ADM" || err != nil {
		t.Errorf("long block %q, %v", got, err)
	}
	if got, err := c.Block(pmbus.MfrModel, 3); err == nil {
		t.Errorf("a block whose rest fails is %q", got)
	}
	for _, n := range []int{0, 33} {
		if got, err := c.Block(pmbus.MfrID, n); err == nil {
			t.Errorf("%d bytes of a block are %q", n, got)
		}
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
	for what, f := range map[string]func() error{
		"read command 0x7b":  func() error { _, err := c.Byte(pmbus.StatusIout); return err },
		"read command 0x88":  func() error { _, err := c.Word(pmbus.ReadVin); return err },
		"read command 0x99":  func() error { _, err := c.Block(pmbus.MfrID, 3); return err },
		"write command 0x03": func() error { return c.Send(pmbus.ClearFaults) },
		"write command 0x00": func() error { return c.SetByte(pmbus.Page, 1) },
		"write command 0x4a": func() error { return c.SetWord(pmbus.IoutOCWarn, 1) },
	} {
		if err := f(); err == nil || !strings.HasPrefix(err.Error(), what+": ") {
			t.Errorf("error %v, want %q", err, what)
		}
	}
}

func TestWrite(t *testing.T) {
	c, bus := newConn(false,
		i2ctest.IO{Addr: 0x10, W: []byte{0x03}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x00, 0x05}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x4A, 0x34, 0x12}},
	)
	if err := errors.Join(c.Send(pmbus.ClearFaults), c.SetByte(pmbus.Page, 5), c.SetWord(pmbus.IoutOCWarn, 0x1234)); err != nil {
		t.Error(err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// The packet error codes were computed by dividing the whole message: CRC-8 of the address
// with the direction, the command and the data.
func TestPEC(t *testing.T) {
	c, bus := newConn(true,
		i2ctest.IO{Addr: 0x10, W: []byte{0x88}, R: []byte{0xE7, 0x01, 0xE2}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x03, 0xA7}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x00, 0x05, 0x58}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x4A, 0x34, 0x12, 0x1C}},
		i2ctest.IO{Addr: 0x10, W: []byte{0x7B}, R: []byte{0x20, 0x1E}},
	)
	if got, err := c.Word(pmbus.ReadVin); got != 0x01E7 || err != nil {
		t.Errorf("word %#x, %v", got, err)
	}
	if err := errors.Join(c.Send(pmbus.ClearFaults), c.SetByte(pmbus.Page, 5), c.SetWord(pmbus.IoutOCWarn, 0x1234)); err != nil {
		t.Error(err)
	}
	if got, err := c.Byte(pmbus.StatusIout); got != 0x20 || err != nil {
		t.Errorf("byte %#x, %v", got, err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

// One flipped bit, wherever it is, is seen.
func TestPECFlipped(t *testing.T) {
	for bit := range 24 {
		data := []byte{0xE7, 0x01, 0xE2}
		data[bit/8] ^= 1 << (bit % 8)
		c, _ := newConn(true, i2ctest.IO{Addr: 0x10, W: []byte{0x88}, R: data})
		if got, err := c.Word(pmbus.ReadVin); !errors.Is(err, pmbus.ErrPEC) || got != 0 {
			t.Errorf("bit %d: %#x, %v", bit, got, err)
		}
	}
	c, _ := newConn(true, i2ctest.IO{Addr: 0x10, W: []byte{0x88}, R: []byte{0xFF, 0xFF, 0xFF}})
	if _, err := c.Word(pmbus.ReadVin); !errors.Is(err, pmbus.ErrPEC) {
		t.Errorf("all ones: %v", err)
	}
}

// Whatever is read, a block is no longer than asked for, and a word with a wrong
// code is an error.
func FuzzRead(f *testing.F) {
	f.Add([]byte{3, 'A', 'D', 'I'})
	f.Add([]byte{0xFF, 0xFF, 0xFF, 0xFF})
	f.Add([]byte{0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 4 {
			return
		}
		data = data[:4]
		rest := max(0, int(data[0])-3)
		c, _ := newConn(false,
			i2ctest.IO{Addr: 0x10, W: []byte{0x99}, R: data},
			i2ctest.IO{Addr: 0x10, W: []byte{0x99}, R: make([]byte, rest)})
		if got, err := c.Block(pmbus.MfrID, 3); err == nil && (len(got) > 3 || len(got) > int(data[0])) || (err == nil) != (data[0] <= 32) {
			t.Errorf("% x is %q, %v", data, got, err)
		}
		c, _ = newConn(true, i2ctest.IO{Addr: 0x10, W: []byte{0x88}, R: data[:3]})
		if got, err := c.Word(pmbus.ReadVin); err != nil && got != 0 {
			t.Errorf("% x is %#x, %v", data, got, err)
		}
	})
}
