package sim_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/drivers/tmp102"
)

// transfer is one line of a decoded logic-analyser capture: a write, or a read,
// to one address.
type transfer struct {
	addr string
	read bool
	data []byte
}

// capture reads a decoded capture, or skips the test when the collection of
// captures is not beside the repository.
func capture(t *testing.T, name string) []transfer {
	t.Helper()
	file, err := os.Open(filepath.Join(captures(), name))
	if err != nil {
		t.Skipf("no captures of real chips (set SHEDGUARD_SHARED to their folder): %v", err)
	}
	t.Cleanup(func() { _ = file.Close() })

	var transfers []transfer
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		// time addr=0x20 W+ 14 00 ff P
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || fields[0] == "#" {
			continue
		}
		tr := transfer{addr: fields[1], read: fields[2] == "R+"}
		if !tr.read && fields[2] != "W+" {
			continue // not acknowledged
		}
		for _, field := range fields[3:] {
			b, err := hex.DecodeString(strings.TrimSuffix(field, "!"))
			if err != nil {
				break // how the transfer ended
			}
			tr.data = append(tr.data, b...)
		}
		transfers = append(transfers, tr)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return transfers
}

// replayed are the captures, each with the test that replays it, or none.
func replayed() map[string]string {
	const none = "" // of a chip without a driver: a DAC, and a touch panel
	return map[string]string{
		"i2c_ltc2607_ltc2607_write_dac.i2c.txt":                              none,
		"i2c_trekstor_ebr30_a_trekstor_ebr30_a_i2c_30s.i2c.txt":              none,
		"i2c_microchip_mcp23017_mcp23017_counter_a_write.i2c.txt":            "MCP23017",
		"i2c_microchip_mcp23017_mcp23017_counter_init_ab_write.i2c.txt":      "MCP23017",
		"i2c_microchip_mcp23017_mcp23017_counter_init_ab_write_read.i2c.txt": "MCP23017",
		"i2c_nxp_pca9571_pca9571_sequence.i2c.txt":                           "PCF8574",
		"i2c_nxp_pca9571_pca9571_simple.i2c.txt":                             "PCF8574",
		"i2c_nxp_pca9571_pca9571_warning.i2c.txt":                            "PCF8574",
		"i2c_rding_temper_rding_temper_i2c_eeprom_and_sensor.i2c.txt":        "FM75 by TMP102 and LM75, AT24",
		"i2c_rding_temper_rding_temper_i2c_usb_led_sensor_5s.i2c.txt":        "FM75 by TMP102 and LM75",
		"i2c_ti_tca6408a_tca6408a.i2c.txt":                                   "PCA9554",
	}
}

// TestNoCaptureIsLeftOut: what is new in the collection must be replayed, or be of
// a chip without a driver.
func TestNoCaptureIsLeftOut(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(captures(), "*.i2c.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("no captures of real chips (set SHEDGUARD_SHARED to their folder)")
	}
	known := replayed()
	for _, file := range files {
		if _, ok := known[filepath.Base(file)]; !ok {
			t.Errorf("%s is replayed by no test", filepath.Base(file))
		}
		delete(known, filepath.Base(file))
	}
	for name, by := range known {
		t.Errorf("%s is not there (%s)", name, by)
	}
}

// captures is the folder of decoded captures.
func captures() string {
	shared := os.Getenv("SHEDGUARD_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	return filepath.Join(shared, "chip-captures", "sigrok-dumps")
}

// The model of the expander answers as the real one did.
func TestMCP23017Captures(t *testing.T) {
	tests := map[string]struct{ writes, reads int }{
		"i2c_microchip_mcp23017_mcp23017_counter_a_write.i2c.txt":            {writes: 90},
		"i2c_microchip_mcp23017_mcp23017_counter_init_ab_write.i2c.txt":      {writes: 90},
		"i2c_microchip_mcp23017_mcp23017_counter_init_ab_write_read.i2c.txt": {writes: 150, reads: 80},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			chip := newExpander(t, nil)
			writes, reads := 0, 0
			for i, tr := range capture(t, name) {
				if tr.addr != "addr=0x20" {
					t.Fatalf("line %d: %s", i, tr.addr)
				}
				if tr.read {
					reads++
					if got := chipTx(t, chip, nil, len(tr.data)); !bytes.Equal(got, tr.data) {
						t.Errorf("transfer %d: read % x, the chip sent % x", i, got, tr.data)
					}
					continue
				}
				writes++
				chipTx(t, chip, tr.data, 0)
				// The recorded pins followed each write to the latch.
				if tr.data[0] == 0x14 && len(tr.data) > 1 && byte(chip.Outputs()) != tr.data[1] {
					t.Errorf("transfer %d: port A shows %#02x after % x", i, byte(chip.Outputs()), tr.data)
				}
			}
			if writes < tt.writes || reads < tt.reads {
				t.Errorf("%d writes and %d reads, want at least %d and %d: is the capture whole?", writes, reads, tt.writes, tt.reads)
			}
		})
	}
}

// What a real FM75 sent, an LM75 with the temperature format of the TMP102, is a
// room's temperature to the driver, and the model sends the same bytes.
func TestFM75Captures(t *testing.T) {
	tests := map[string]map[string]float64{
		"i2c_rding_temper_rding_temper_i2c_usb_led_sensor_5s.i2c.txt": {"1d80": 29.5},
		"i2c_rding_temper_rding_temper_i2c_eeprom_and_sensor.i2c.txt": {"1e00": 30},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			seen := 0
			for _, tr := range capture(t, name) {
				if tr.addr != "addr=0x4f" || !tr.read || len(tr.data) != 2 {
					continue
				}
				celsius, ok := want[hex.EncodeToString(tr.data)]
				if !ok {
					t.Fatalf("the chip sent % x", tr.data)
				}
				seen++
				bus := &i2ctest.Playback{DontPanic: true, Ops: []i2ctest.IO{
					{Addr: 0x48, W: []byte{1}, R: []byte{0x60, 0xA0}},
					{Addr: 0x48, W: []byte{1, 0x60, 0x80}},
					{Addr: 0x48, W: []byte{2, 0x4B, 0x00}},
					{Addr: 0x48, W: []byte{3, 0x50, 0x00}},
					{Addr: 0x48, W: []byte{1}, R: []byte{0x60, 0xA0}},
					{Addr: 0x48, W: []byte{2}, R: []byte{0x4B, 0x00}},
					{Addr: 0x48, W: []byte{3}, R: []byte{0x50, 0x00}},
					{Addr: 0x48, W: []byte{0}, R: tr.data},
				}}
				dev, err := tmp102.New(bus, tmp102.DefaultOpts())
				if err != nil {
					t.Fatal(err)
				}
				var temp physic.Temperature
				if err := dev.Sense(&temp); err != nil {
					t.Fatal(err)
				}
				if got := temp.Celsius(); got != celsius {
					t.Errorf("% x is %g °C, want %g", tr.data, got, celsius)
				}
				chip := sim.NewTMP102()
				chip.SetCelsius(celsius)
				expect(t, chip, []byte{0}, tr.data)
			}
			if seen == 0 {
				t.Error("no reading in the capture")
			}
		})
	}
}
