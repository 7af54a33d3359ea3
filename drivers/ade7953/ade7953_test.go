package ade7953_test

import (
	"encoding/csv"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/ade7953"
	"github.com/shedguard/shedguard/drivers/internal/drivertest"
	"github.com/shedguard/shedguard/drivers/sim"
)

const checksum = 0xA1B2C3D4

// word is a register as it goes over the bus: as many bytes as its address says.
func word(reg uint16, value uint32) []byte {
	b := []byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}
	return b[3-reg>>8:]
}

func read(reg uint16, value uint32) i2ctest.IO {
	return i2ctest.IO{Addr: 0x38, W: []byte{byte(reg >> 8), byte(reg)}, R: word(reg, value)}
}

func write(reg uint16, value uint32) i2ctest.IO {
	return i2ctest.IO{Addr: 0x38, W: append([]byte{byte(reg >> 8), byte(reg)}, word(reg, value)...)}
}

// program is what the default options write.
func program() []struct {
	reg  uint16
	word uint32
} {
	return []struct {
		reg  uint16
		word uint32
	}{
		{0x102, 0x0104},
		{0x007, 0},
		{0x008, 3},
		{0x009, 3},
		{0x101, 100},
		{0x004, 0x7F},
		{0x000, 0},
		{0x300, 0},
		{0x324, 0xFFFFFF},
		{0x325, 0xFFFFFF},
		{0x110, 0},
		{0x32C, 0x300000},
		{0x32F, 0},
	}
}

// configure is the playback of Configure, with another program where change
// says so.
func configure(change map[uint16]uint32) []i2ctest.IO {
	ops := []i2ctest.IO{read(0x303, 0x00E419), write(0x0FE, 0xAD), write(0x120, 0x0030)}
	var back []i2ctest.IO
	for _, s := range program() {
		if value, ok := change[s.reg]; ok {
			s.word = value
		}
		ops = append(ops, write(s.reg, s.word))
		back = append(back, read(s.reg, s.word))
	}
	ops = append(ops, back...)
	return append(ops, read(0x32E, 0x100000), read(0x331, 0), read(0x37F, checksum))
}

// regs are the words of one Sense.
type regs struct {
	volts, period              uint32
	amps, watts, vars, va, fac [2]uint32
}

// sense is the playback of one Sense of the wired channels.
func (r *regs) sense(wired ...int) []i2ctest.IO {
	ops := []i2ctest.IO{read(0x31C, r.volts), read(0x10E, r.period)}
	for _, i := range wired {
		n := uint16(i)
		ops = append(ops, read(0x31A+n, r.amps[i]), read(0x312+n, r.watts[i]), read(0x314+n, r.vars[i]),
			read(0x310+n, r.va[i]), read(0x10A+n, r.fac[i]))
	}
	return append(ops, read(0x37F, checksum))
}

// newDev returns a configured meter that goes on with the playback of more.
func newDev(tb testing.TB, opts *ade7953.Opts, change map[uint16]uint32, more ...i2ctest.IO) (*ade7953.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: append(configure(change), more...), DontPanic: true}
	dev, err := ade7953.New(bus, opts)
	if err != nil {
		tb.Fatal(err)
	}
	if err := dev.Configure(); err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

// unity is a board on which full scale is 1 V and 1 A peak.
func unity() *ade7953.Opts {
	opts := ade7953.DefaultOpts()
	opts.Divider = 2
	for _, c := range []*ade7953.Channel{&opts.A, &opts.B} {
		c.AmpsPerVolt, c.Gain = 2, 1
	}
	return opts
}

// unityProgram is how its program differs from that of the default options.
func unityProgram() map[uint16]uint32 { return map[uint16]uint32{0x008: 0, 0x009: 0} }

func near(t *testing.T, what string, got, want, slack float64) {
	t.Helper()
	if math.Abs(got-want) > slack {
		t.Errorf("%s %.9g, want %.9g ± %g", what, got, want, slack)
	}
}

func TestSense(t *testing.T) {
	minus := func(n uint32) uint32 { return -n }
	rms := 1 / math.Sqrt2 / 9032007 // of one code on the board of unity
	watt := 0.5 / 4862401
	tests := map[string]struct {
		change                        func(*ade7953.Opts)
		regs                          regs
		volts, hertz                  float64
		amps, watts, vars, va, factor [2]float64
	}{
		"zero":    {hertz: 0},
		"no line": {regs: regs{period: 0xFFFF}},
		// The full scale of the datasheet, a sine of 500 mV peak everywhere.
		"full scale": {
			regs: regs{
				volts: 9032007, period: 4474, amps: [2]uint32{9032007, 9032007}, watts: [2]uint32{4862401, minus(4862401)},
				va: [2]uint32{4862401, 4862401}, fac: [2]uint32{0x7FFF, 0x7FFF},
			},
			volts: math.Sqrt2 / 2, hertz: 50, amps: [2]float64{math.Sqrt2 / 2, math.Sqrt2 / 2}, watts: [2]float64{0.5, -0.5},
			va: [2]float64{0.5, 0.5}, factor: [2]float64{0.99997, -0.99997},
		},
		"one code": {
			regs: regs{
				volts: 1, period: 4475, amps: [2]uint32{1, 1}, watts: [2]uint32{1, minus(1)},
				vars: [2]uint32{minus(1), 1}, va: [2]uint32{1, minus(1)}, fac: [2]uint32{1, 0xFFFF},
			},
			volts: rms, hertz: 49.9888, amps: [2]float64{rms, rms}, watts: [2]float64{watt, -watt},
			vars: [2]float64{-watt, watt}, va: [2]float64{watt, watt}, factor: [2]float64{1.0 / 32768, -1.0 / 32768},
		},
		"saturated": {
			regs: regs{
				volts: 0xFFFFFE, period: 3728, amps: [2]uint32{0xFFFFFE, 0x800000}, watts: [2]uint32{0x7FFFFF, 0xFF800000},
				vars: [2]uint32{0x7FFFFF, 0xFF800000}, va: [2]uint32{0x7FFFFF, 0x7FFFFF}, fac: [2]uint32{0x8000, 0x8000},
			},
			volts: 0xFFFFFE * rms, hertz: 60.0027, amps: [2]float64{0xFFFFFE * rms, 0x800000 * rms},
			watts: [2]float64{0x7FFFFF * watt, -0x800000 * watt}, vars: [2]float64{0x7FFFFF * watt, -0x800000 * watt},
			va: [2]float64{0x7FFFFF * watt, 0x7FFFFF * watt}, factor: [2]float64{1, -1},
		},
		"the highest bit of an RMS value, extended": {
			regs: regs{volts: 0xFF800000, amps: [2]uint32{0xFF89D147, 0}}, volts: 0x800000 * rms, amps: [2]float64{math.Sqrt2 / 2, 0},
		},
		// A charger without power-factor correction: the chip's factor is
		// negative for a capacitive load, ours only when power flows back.
		"capacitive": {
			regs:  regs{watts: [2]uint32{1000, minus(1000)}, vars: [2]uint32{minus(500), minus(500)}, fac: [2]uint32{0xB000, 0xB000}},
			watts: [2]float64{1000 * watt, -1000 * watt}, vars: [2]float64{-500 * watt, -500 * watt}, factor: [2]float64{0.625, -0.625},
		},
		"slowest and fastest line": {regs: regs{period: 7457}, hertz: 30.0013},
		"too slow for a line":      {regs: regs{period: 7458}},
		"fastest line":             {regs: regs{period: 2237}, hertz: 99.9777},
		"too fast for a line":      {regs: regs{period: 2235}},
		"trimmed and reversed": {
			change: func(o *ade7953.Opts) {
				o.Volts = ade7953.Trim{Gain: 1.02, Offset: -0.001}
				o.A.Amps = ade7953.Trim{Gain: 0.5, Offset: -2}
				o.A.Watts = ade7953.Trim{Gain: 2, Offset: 0.5}
				o.B.Reversed = true
			},
			regs: regs{
				volts: 9032007, amps: [2]uint32{9032007, 9032007}, watts: [2]uint32{4862401, minus(4862401)},
				vars: [2]uint32{4862401, 4862401}, va: [2]uint32{4862401, 4862401}, fac: [2]uint32{0x4000, 0x4000},
			},
			volts: 1.02*math.Sqrt2/2 - 0.001, amps: [2]float64{0, math.Sqrt2 / 2}, watts: [2]float64{1.5, 0.5},
			vars: [2]float64{1, -0.5}, va: [2]float64{1, 0.5}, factor: [2]float64{0.5, 0.5},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := unity()
			if tt.change != nil {
				tt.change(opts)
			}
			dev, bus := newDev(t, opts, unityProgram(), tt.regs.sense(0, 1)...)
			var m ade7953.Measurement
			if err := dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
			near(t, "volts", float64(m.Volts)/1e9, tt.volts, 1e-9)
			near(t, "hertz", float64(m.Frequency)/1e6, tt.hertz, 1e-4)
			for i, l := range []ade7953.Load{m.A, m.B} {
				near(t, "amps", float64(l.Amps)/1e9, tt.amps[i], 1e-9)
				near(t, "watts", float64(l.Watts)/1e9, tt.watts[i], 1e-9)
				near(t, "vars", float64(l.Vars)/1e9, tt.vars[i], 1e-9)
				near(t, "volt-amperes", float64(l.VoltAmps)/1e9, tt.va[i], 1e-9)
				near(t, "power factor", l.PowerFactor, tt.factor[i], 1e-5)
				if want := [3]uint32{tt.regs.volts & 0xFFFFFF, tt.regs.amps[i] & 0xFFFFFF, tt.regs.watts[i]}; l.Raw != want {
					t.Errorf("raw %#x, want %#x", l.Raw, want)
				}
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// shelly is the front end of the boards that the captured registers come from,
// by the scales that were calibrated on them: 26000 codes a volt, 100000 an
// ampere. Those of power and energy, 154 codes a watt and 6.577 a joule, were
// calibrated too, so that they check how this package derives them.
func shelly() *ade7953.Opts {
	opts := ade7953.DefaultOpts()
	opts.Divider = 9032007 / 26000.0 * math.Sqrt2 / 0.5
	opts.A = ade7953.Channel{
		AmpsPerVolt: 9032007 / 100000.0 * math.Sqrt2 / 0.5, Gain: 1, Reversed: true,
		Amps: ade7953.Trim{Gain: 1}, Watts: ade7953.Trim{Gain: 1},
	}
	opts.B = ade7953.Channel{}
	return opts
}

func TestRealChips(t *testing.T) {
	tests := map[string]struct {
		volts, period, amps    uint32
		watts                  int32
		v, hertz, a, w, wSlack float64
	}{
		"no load (Tasmota 17107)":     {6236480, 4475, 1773, 0, 239.86, 49.989, 0.0177, 0, 0},
		"a load (Tasmota 17811)":      {6116142, 4476, 27697, -9319, 235.24, 49.978, 0.277, 60.5, 0.5},
		"old firmware (Tasmota 5968)": {5630047, 4475, 2172, -136, 216.54, 49.989, 0.0217, 0.883, 0.01},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := regs{volts: tt.volts, period: tt.period, amps: [2]uint32{tt.amps}, watts: [2]uint32{uint32(tt.watts)}}
			dev, _ := newDev(t, shelly(), unityProgram(), r.sense(0)...)
			var m ade7953.Measurement
			if err := dev.Sense(&m); err != nil {
				t.Fatal(err)
			}
			near(t, "volts", float64(m.Volts)/1e9, tt.v, 0.01)
			near(t, "hertz", float64(m.Frequency)/1e6, tt.hertz, 0.001)
			near(t, "amps", float64(m.A.Amps)/1e9, tt.a, 0.0001)
			near(t, "watts", float64(m.A.Watts)/1e9, tt.w, tt.wSlack)
			if m.B != (ade7953.Load{}) {
				t.Errorf("channel B, not wired, shows %+v", m.B)
			}
		})
	}
}

// Registers of a bare chip behind 400 kΩ and 1 kΩ that was measured with a
// meter (EngineerZone 117723): 19.4 V RMS. The peak register, with the scale of
// the limits, agrees with the RMS register on a sine.
func TestRealChipPeak(t *testing.T) {
	opts := unity()
	opts.Divider = 401
	opts.B = ade7953.Channel{}
	r := regs{volts: 1244824}
	dev, _ := newDev(t, opts, unityProgram(), append(r.sense(0), read(0x327, 892104), read(0x329, 0))...)
	var m ade7953.Measurement
	var p ade7953.Peaks
	if err := errors.Join(dev.Sense(&m), dev.Peaks(&p)); err != nil {
		t.Fatal(err)
	}
	near(t, "volts", float64(m.Volts)/1e9, 19.43, 0.01*19.43)
	near(t, "crest", float64(p.Volts)/float64(m.Volts), math.Sqrt2, 0.005*math.Sqrt2)
}

// Every row of the captures is a sensible mains, and its energies a sensible
// power: the product of volts and amps bounds it.
func TestCaptures(t *testing.T) {
	shared := os.Getenv("SHEDGUARD_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	file, err := os.Open(filepath.Join(shared, "chip-captures", "regs", "ade7953_tasmota_issue_logs.csv"))
	if err != nil {
		t.Skipf("no captures of real chips (set SHEDGUARD_SHARED to their folder): %v", err)
	}
	t.Cleanup(func() { _ = file.Close() })
	reader := csv.NewReader(file)
	reader.Comment = '#'
	rows, err := reader.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	number := func(s string) uint32 {
		n, err := strconv.ParseInt(s, 10, 32)
		if s != "" && err != nil {
			t.Fatal(err)
		}
		return uint32(int32(n))
	}
	if len(rows) < 18 {
		t.Fatalf("%d rows, want 18: is the file whole?", len(rows))
	}
	for _, row := range rows[1:] {
		acc := row[11]
		r := regs{volts: number(row[5]), period: number(row[6]), amps: [2]uint32{number(row[7])}}
		ops := r.sense(0)
		for i, column := range []int{8, 10, 9} { // active, reactive, apparent
			ops = append(ops, read(0x31E+2*uint16(i), number(row[column])))
		}
		dev, _ := newDev(t, shelly(), unityProgram(), ops...)
		var m ade7953.Measurement
		if err := dev.Sense(&m); err != nil {
			t.Fatal(err)
		}
		volts, amps := float64(m.Volts)/1e9, float64(m.A.Amps)/1e9
		near(t, "volts of "+row[1], volts, float64(r.volts)/26000, 0.01)
		near(t, "amps of "+row[1], amps, float64(r.amps[0])/100000, 1e-4)
		if row[6] != "" {
			near(t, "hertz of "+row[1], float64(m.Frequency)/1e6, 50, 0.1)
		}
		if acc != "1" || amps < 0.1 {
			continue
		}
		var a, b ade7953.Joules
		if err := dev.Energy(&a, &b); err != nil {
			t.Fatal(err)
		}
		// Accumulated over about a second.
		near(t, "active power", float64(a.Active)/1e9, -float64(int32(number(row[8])))/6.577, 0.006*66)
		near(t, "apparent power", float64(a.Apparent)/1e9, volts*amps, 0.04*volts*amps)
	}
}

func TestSenseFails(t *testing.T) {
	good := (&regs{volts: 1, period: 4474}).sense(0, 1)
	with := func(n int, value uint32) []i2ctest.IO {
		ops := append([]i2ctest.IO(nil), good...)
		ops[n] = read(uint16(ops[n].W[0])<<8|uint16(ops[n].W[1]), value)
		return ops[:n+1]
	}
	tests := map[string]struct {
		ops  []i2ctest.IO
		err  error
		text string
	}{
		"nobody there":                  {text: "read register 0x31c"},
		"short read":                    {ops: []i2ctest.IO{{Addr: 0x38, W: []byte{0x03, 0x1C}, R: []byte{0, 0, 1}}}, text: "read register 0x31c"},
		"dies before the period":        {ops: good[:1], text: "read register 0x10e"},
		"dies in channel A":             {ops: good[:3], text: "read register 0x312"},
		"dies before the factor":        {ops: good[:6], text: "read register 0x10a"},
		"dies in channel B":             {ops: good[:7], text: "read register 0x31b"},
		"dies before the checksum":      {ops: good[:12], text: "read register 0x37f"},
		"volts all ones":                {ops: with(0, 0xFFFFFFFF), err: ade7953.ErrWord, text: "register 0x31c"},
		"volts of 24 ones":              {ops: with(0, 0x00FFFFFF), err: ade7953.ErrWord, text: "register 0x31c"},
		"volts of 25 bits":              {ops: with(0, 0x01000000), err: ade7953.ErrWord, text: "register 0x31c"},
		"volts extended without a sign": {ops: with(0, 0xFF7FFFFF), err: ade7953.ErrWord, text: "register 0x31c"},
		"amps all ones":                 {ops: with(2, 0xFFFFFFFF), err: ade7953.ErrWord, text: "register 0x31a"},
		"watts not extended":            {ops: with(3, 0x00800000), err: ade7953.ErrWord, text: "register 0x312"},
		"vars of 25 bits":               {ops: with(4, 0x01000000), err: ade7953.ErrWord, text: "register 0x314"},
		"apparent extended wrongly":     {ops: with(5, 0xFF000000), err: ade7953.ErrWord, text: "register 0x310"},
		"another checksum":              {ops: with(12, checksum+1), err: ade7953.ErrReset, text: "checksum 0xa1b2c3d5, want 0xa1b2c3d4"},
		"checksum after power-on":       {ops: with(12, 0xFFFFFFFF), err: ade7953.ErrReset, text: "checksum 0xffffffff"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, ade7953.DefaultOpts(), nil, tt.ops...)
			before := ade7953.Measurement{Volts: 7, Frequency: 8, A: ade7953.Load{Amps: 9, Raw: [3]uint32{1, 2, 3}}}
			m := before
			err := dev.Sense(&m)
			if err == nil || (tt.err != nil && !errors.Is(err, tt.err)) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if !strings.HasPrefix(err.Error(), "ade7953@playback/0x38: ") || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %q: want %q", err, tt.text)
			}
			if m != before {
				t.Errorf("measurement changed to %+v", m)
			}
			if tt.err != nil {
				if err := bus.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Before Configure nothing is read: the gains are not known.
func TestNotConfigured(t *testing.T) {
	dev, err := ade7953.New(&i2ctest.Playback{DontPanic: true}, ade7953.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	var a, b ade7953.Joules
	for name, err := range map[string]error{
		"Sense":  dev.Sense(new(ade7953.Measurement)),
		"Energy": dev.Energy(&a, &b),
		"Peaks":  dev.Peaks(new(ade7953.Peaks)),
		"Check":  dev.Check(),
	} {
		if !errors.Is(err, ade7953.ErrReset) {
			t.Errorf("%s: %v, want %v", name, err, ade7953.ErrReset)
		}
	}
}

// The limits of a 10 A outlet, as codes worked out by hand: full scale is 495.5
// V and 62.5 A peak, 6500000 codes.
func TestConfigure(t *testing.T) {
	limits := ade7953.LimitsFor(10*physic.Ampere, 220*physic.Volt, 3)
	tests := map[string]struct {
		change  func(*ade7953.Opts)
		program map[uint16]uint32
	}{
		"default": {change: func(*ade7953.Opts) {}},
		"limits by the rating": {
			change: func(o *ade7953.Opts) { o.Limits = limits },
			program: map[uint16]uint32{
				0x000: 2,
				0x300: 3265106, // 248.90 V
				0x324: 4897659, // 373.35 V
				0x325: 3120000, // 30 A
				0x110: 0x00A0,
				0x32C: 0x392000,
				0x32F: 0x2000,
			},
		},
		"channel A alone": {
			change: func(o *ade7953.Opts) {
				o.B = ade7953.Channel{}
				o.Limits.PeakAmps = 62500 * physic.MilliAmpere
			},
			program: map[uint16]uint32{0x009: 0, 0x325: 6500000, 0x32C: 0x302000},
		},
		"channel B alone, gains at their ends": {
			change: func(o *ade7953.Opts) {
				o.A = ade7953.Channel{}
				o.B.Gain, o.VoltsGain, o.HalfCycles = 16, 16, 3600
				o.Limits.PeakAmps = 10 * physic.Ampere
			},
			program: map[uint16]uint32{0x007: 4, 0x008: 0, 0x009: 4, 0x101: 3600, 0x325: 2080000, 0x110: 0x00A0, 0x32F: 0x2000},
		},
		// 22 on channel A, and the code of the channel that reaches it first.
		"different channels": {
			change: func(o *ade7953.Opts) {
				o.A.Gain, o.HalfCycles = 22, 1
				o.Limits.PeakAmps = 10 * physic.Ampere
			},
			program: map[uint16]uint32{0x008: 5, 0x101: 1, 0x325: 1040000, 0x110: 0x00A0, 0x32C: 0x302000, 0x32F: 0x2000},
		},
		"different channels, the other way round": {
			change: func(o *ade7953.Opts) {
				o.A.Gain, o.B.Gain = 1, 16
				o.Limits.PeakAmps = 10 * physic.Ampere
			},
			program: map[uint16]uint32{0x008: 0, 0x009: 4, 0x325: 130000, 0x110: 0x00A0, 0x32C: 0x302000, 0x32F: 0x2000},
		},
		"limits follow the trim": {
			change: func(o *ade7953.Opts) {
				o.A.Amps.Gain, o.B.Amps.Gain, o.Volts.Gain = 2, 2, 2
				o.Limits.PeakAmps, o.Limits.PeakVolts = 10*physic.Ampere, 99100*physic.MilliVolt
			},
			program: map[uint16]uint32{0x324: 650000, 0x325: 520000, 0x110: 0x00A0, 0x32C: 0x312000, 0x32F: 0x2000},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := ade7953.DefaultOpts()
			tt.change(opts)
			_, bus := newDev(t, opts, tt.program)
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Whether the chip extends the highest of 24 bits of a limit is not documented.
func TestConfigureExtended(t *testing.T) {
	ops := configure(nil)
	for i := range ops {
		if len(ops[i].R) == 4 && ops[i].R[1] == 0xFF {
			ops[i].R[0] = 0xFF
		}
	}
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	dev, err := ade7953.New(bus, ade7953.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dev.Configure(), bus.Close()); err != nil {
		t.Error(err)
	}
}

func TestConfigureFails(t *testing.T) {
	all := configure(nil)
	with := func(n int, op i2ctest.IO) []i2ctest.IO { return append(append([]i2ctest.IO(nil), all[:n]...), op) }
	tests := map[string]struct {
		ops []i2ctest.IO
		err error
	}{
		"nobody there":            {},
		"another chip":            {ops: []i2ctest.IO{read(0x303, 0)}, err: ade7953.ErrNotReady},
		"bus stuck high":          {ops: []i2ctest.IO{read(0x303, 0xFFFFFFFF)}, err: ade7953.ErrNotReady},
		"key not written":         {ops: all[:1]},
		"0x120 not written":       {ops: all[:2]},
		"a setting not written":   {ops: all[:9]},
		"not read back":           {ops: all[:16]},
		"gain read back as reset": {ops: with(18, read(0x008, 0)), err: ade7953.ErrReset},
		"flags not cleared":       {ops: all[:29]},
		"flags of B not cleared":  {ops: all[:30]},
		"flags that cannot be":    {ops: with(29, read(0x32E, 0xFFFFFFFF)), err: ade7953.ErrWord},
		"checksum not read":       {ops: all[:31]},
		"checksum that is off":    {ops: with(31, read(0x37F, 0xFFFFFFFF)), err: ade7953.ErrReset},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			bus := &i2ctest.Playback{Ops: tt.ops, DontPanic: true}
			dev, err := ade7953.New(bus, ade7953.DefaultOpts())
			if err != nil {
				t.Fatal(err)
			}
			if err := dev.Configure(); err == nil || (tt.err != nil && !errors.Is(err, tt.err)) {
				t.Errorf("Configure: %v, want %v", err, tt.err)
			}
			if err := dev.Sense(new(ade7953.Measurement)); !errors.Is(err, ade7953.ErrReset) {
				t.Errorf("Sense after it: %v, want %v", err, ade7953.ErrReset)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]func(*ade7953.Opts){
		"no divider":                    func(o *ade7953.Opts) { o.Divider = 0 },
		"divider is NaN":                func(o *ade7953.Opts) { o.Divider = math.NaN() },
		"no voltage gain":               func(o *ade7953.Opts) { o.VoltsGain = 0 },
		"voltage gain of 22":            func(o *ade7953.Opts) { o.VoltsGain = 22 },
		"gain of 3":                     func(o *ade7953.Opts) { o.A.Gain = 3 },
		"gain of 22 on B":               func(o *ade7953.Opts) { o.B.Gain = 22 },
		"negative shunt":                func(o *ade7953.Opts) { o.A.AmpsPerVolt = -1000 },
		"shunt is NaN":                  func(o *ade7953.Opts) { o.B.AmpsPerVolt = math.NaN() },
		"no channel":                    func(o *ade7953.Opts) { o.A.AmpsPerVolt, o.B.AmpsPerVolt = 0, 0 },
		"no gain trim":                  func(o *ade7953.Opts) { o.Volts.Gain = 0 },
		"amps trim is NaN":              func(o *ade7953.Opts) { o.A.Amps.Gain = math.NaN() },
		"watts offset is infinite":      func(o *ade7953.Opts) { o.B.Watts.Offset = math.Inf(1) },
		"no window":                     func(o *ade7953.Opts) { o.HalfCycles = 0 },
		"window of more than registers": func(o *ade7953.Opts) { o.HalfCycles = 3601 },
		"overcurrent that is never met": func(o *ade7953.Opts) { o.Limits.PeakAmps = 63 * physic.Ampere },
		"negative overcurrent":          func(o *ade7953.Opts) { o.Limits.PeakAmps = -1 },
		"overvoltage never met":         func(o *ade7953.Opts) { o.Limits.PeakVolts = 496 * physic.Volt },
		"sag never left":                func(o *ade7953.Opts) { o.Limits.SagVolts, o.Limits.SagHalfCycles = 496*physic.Volt, 2 },
		"sag without duration":          func(o *ade7953.Opts) { o.Limits.SagVolts = 200 * physic.Volt },
		"sag without level":             func(o *ade7953.Opts) { o.Limits.SagHalfCycles = 2 },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			opts := ade7953.DefaultOpts()
			spoil(opts)
			dev, err := ade7953.New(&i2ctest.Playback{DontPanic: true}, opts)
			if err == nil {
				t.Fatalf("got %v, want an error", dev)
			}
			if !strings.HasPrefix(err.Error(), "ade7953@playback/0x38: ") {
				t.Errorf("error %q", err)
			}
		})
	}
}

// A window is added once, and what was read before an error is not lost.
func TestEnergy(t *testing.T) {
	full := uint32(206900) // one second at full scale of the board of unity, 0.5 J
	six := func(words ...uint32) (ops []i2ctest.IO) {
		for i, w := range words {
			ops = append(ops, read(0x31E+uint16(i), w))
		}
		return ops
	}
	ops := six(full, -full, 2*full, -(2 * full), full, -full)
	ops = append(ops, six(0, 0, 0, 0, 0, 0)...)
	dev, bus := newDev(t, unity(), unityProgram(), append(ops, six(full, full)...)...)
	var a, b ade7953.Joules
	half, one := 500*physic.MilliJoule, physic.Joule
	for range 2 {
		if err := dev.Energy(&a, &b); err != nil {
			t.Fatal(err)
		}
		if want := (ade7953.Joules{Active: half, Reactive: one, Apparent: half}); a != want {
			t.Errorf("A %v, want %v", a, want)
		}
		if want := (ade7953.Joules{Active: -half, Reactive: -one, Apparent: half}); b != want {
			t.Errorf("B %v, want %v", b, want)
		}
	}
	before := [2]ade7953.Joules{a, b}
	if err := dev.Energy(&a, &b); err == nil || [2]ade7953.Joules{a, b} != before {
		t.Errorf("error %v, %v and %v, want an error and %v", err, a, b, before)
	}
	bus.Ops = append(bus.Ops, six(full, 0, 0, 0, 0, 0)...)
	if err := dev.Energy(&a, &b); err != nil {
		t.Fatal(err)
	}
	if want := half + 2*half; a.Active != want || b.Active != 0 {
		t.Errorf("after an error %s and %s, want %s and 0", a.Active, b.Active, want)
	}
	bus.Ops = append(bus.Ops, read(0x31E, 0x00800000))
	if err := dev.Energy(&a, &b); !errors.Is(err, ade7953.ErrWord) {
		t.Errorf("a word that is not extended: %v, want %v", err, ade7953.ErrWord)
	}
}

func TestFlags(t *testing.T) {
	dev, bus := newDev(t, ade7953.DefaultOpts(), nil,
		read(0x32D, 1<<13), read(0x330, 0),
		read(0x32D, 1<<16|1<<19), read(0x330, 1<<13),
		read(0x32E, 1<<18|1<<20|1<<21|0xFFF), read(0x331, 0x1FFF),
		read(0x32E, 1<<13), // and nothing after it
	)
	for _, want := range []ade7953.Flags{
		ade7953.OvercurrentA,
		ade7953.Overvoltage | ade7953.Sag | ade7953.OvercurrentB,
	} {
		if got, err := dev.Flags(); err != nil || got != want {
			t.Errorf("flags %#x, %v, want %#x", got, err, want)
		}
	}
	if got, err := dev.Clear(); err != nil || got != ade7953.CycleEnd|ade7953.Reset|ade7953.Changed {
		t.Errorf("flags %#x, %v", got, err)
	}
	if _, err := dev.Clear(); err == nil {
		t.Error("no error from a bus that is dead")
	}
	// What the failed call cleared is not forgotten.
	bus.Ops = append(bus.Ops, read(0x32D, 0), read(0x330, 0), read(0x32E, 0), read(0x331, 1<<13), read(0x32D, 0), read(0x330, 0))
	if got, err := dev.Flags(); err != nil || got != ade7953.OvercurrentA {
		t.Errorf("flags %#x, %v, want %#x", got, err, ade7953.OvercurrentA)
	}
	if got, err := dev.Clear(); err != nil || got != ade7953.OvercurrentA|ade7953.OvercurrentB {
		t.Errorf("flags %#x, %v, want both overcurrents", got, err)
	}
	if got, err := dev.Flags(); err != nil || got != 0 {
		t.Errorf("flags %#x, %v, want none", got, err)
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestPeaksFail(t *testing.T) {
	for name, ops := range map[string][]i2ctest.IO{
		"nobody there":     nil,
		"dies after volts": {read(0x327, 1)},
		"dies after A":     {read(0x327, 1), read(0x329, 1)},
		"B reads all ones": {read(0x327, 1), read(0x329, 1), read(0x32B, 0xFFFFFFFF)},
		"volts of 32 bits": {read(0x327, 0x12345678)},
	} {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, ade7953.DefaultOpts(), nil, ops...)
			p := ade7953.Peaks{Volts: 1, A: 2, B: 3}
			if err := dev.Peaks(&p); err == nil || p != (ade7953.Peaks{Volts: 1, A: 2, B: 3}) {
				t.Errorf("%v, %+v", err, p)
			}
		})
	}
}

// simDev is a meter on a simulated bus, configured.
func simDev(tb testing.TB, opts *ade7953.Opts) (*ade7953.Dev, *sim.ADE7953, *sim.Bus) {
	tb.Helper()
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	chip := sim.NewADE7953(sim.ADE7953Outlets())
	bus.Attach(ade7953.Addr, chip)
	dev, err := ade7953.New(bus, opts)
	if err != nil {
		tb.Fatal(err)
	}
	if err := dev.Configure(); err != nil {
		tb.Fatal(err)
	}
	return dev, chip, bus
}

// What the plant feeds into the model comes out of the driver, within the
// resolution of the registers, with every gain and over the whole range.
func TestRoundTrip(t *testing.T) {
	gains := []int{1, 2, 4, 8, 16, 22}
	rapid.Check(t, func(t *rapid.T) {
		opts := ade7953.DefaultOpts()
		opts.Divider = rapid.Float64Range(700, 2000).Draw(t, "divider")
		opts.A.AmpsPerVolt = rapid.Float64Range(100, 5000).Draw(t, "A/V of A")
		opts.B.AmpsPerVolt = rapid.Float64Range(100, 5000).Draw(t, "A/V of B")
		opts.A.Gain = rapid.SampledFrom(gains).Draw(t, "gain of A")
		opts.B.Gain = rapid.SampledFrom(gains[:5]).Draw(t, "gain of B")
		opts.VoltsGain = rapid.SampledFrom(gains[:2]).Draw(t, "gain of V")
		fullVolts := opts.Divider * 0.5 / math.Sqrt2 / float64(opts.VoltsGain)
		volts := rapid.Float64Range(0, fullVolts).Draw(t, "volts")
		hertz := rapid.Float64Range(45, 65).Draw(t, "hertz")
		chip := sim.NewADE7953(sim.ADE7953Board{VoltsRatio: opts.Divider, AmpsPerV: [2]float64{opts.A.AmpsPerVolt, opts.B.AmpsPerVolt}})
		var loads [2]sim.ADE7953Load
		var full [2]float64
		for i, c := range []ade7953.Channel{opts.A, opts.B} {
			full[i] = c.AmpsPerVolt * 0.5 / math.Sqrt2 / float64(c.Gain)
			amps := rapid.Float64Range(0, full[i]).Draw(t, "amps")
			angle := rapid.Float64Range(-math.Pi, math.Pi).Draw(t, "angle")
			loads[i] = sim.ADE7953Load{Amps: amps, Watts: volts * amps * math.Cos(angle), Vars: volts * amps * math.Sin(angle)}
		}
		chip.Set(volts, hertz, loads[0], loads[1])

		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(ade7953.Addr, chip)
		dev, err := ade7953.New(bus, opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := dev.Configure(); err != nil {
			t.Fatal(err)
		}
		var m ade7953.Measurement
		var p ade7953.Peaks
		if err := errors.Join(dev.Sense(&m), dev.Peaks(&p)); err != nil {
			t.Fatal(err)
		}
		within(t, "volts", float64(m.Volts)/1e9, volts, fullVolts/9032007)
		within(t, "peak volts", float64(p.Volts)/1e9, volts*math.Sqrt2, fullVolts*math.Sqrt2/6500000)
		within(t, "hertz", float64(m.Frequency)/1e6, hertz, hertz*hertz/223750)
		peaks := []physic.ElectricCurrent{p.A, p.B}
		for i, l := range []ade7953.Load{m.A, m.B} {
			within(t, "amps", float64(l.Amps)/1e9, loads[i].Amps, full[i]/9032007)
			watt := fullVolts * full[i] / 4862401
			within(t, "watts", float64(l.Watts)/1e9, loads[i].Watts, watt)
			within(t, "vars", float64(l.Vars)/1e9, loads[i].Vars, watt)
			within(t, "apparent", float64(l.VoltAmps)/1e9, volts*loads[i].Amps, watt)
			if apparent := volts * loads[i].Amps; apparent > 1 {
				within(t, "power factor", l.PowerFactor, loads[i].Watts/apparent, 1.0/32768)
			}
			// The peak registers were filled while the gains were still those of
			// power-on, when a code was worth up to 22 times more.
			within(t, "peak amps", float64(peaks[i])/1e9, loads[i].Amps*math.Sqrt2, 2*full[i]/6500000)
		}

		// Windows of line cycles add up to power × time.
		seconds := float64(opts.HalfCycles) / (2 * hertz)
		var a, b ade7953.Joules
		if err := dev.Energy(&a, &b); err != nil {
			t.Fatal(err)
		}
		a, b = ade7953.Joules{}, ade7953.Joules{}
		n := rapid.IntRange(1, 4).Draw(t, "windows")
		for range n {
			chip.Advance(time.Duration(seconds * 1e9))
			chip.Advance(time.Microsecond)
			if err := dev.Energy(&a, &b); err != nil {
				t.Fatal(err)
			}
		}
		for i, j := range []ade7953.Joules{a, b} {
			code := fullVolts * full[i] / 206900
			slack := float64(n)*code + 1e-5*fullVolts*full[i]*float64(n)
			within(t, "active energy", float64(j.Active)/1e9, loads[i].Watts*seconds*float64(n), slack)
			within(t, "reactive energy", float64(j.Reactive)/1e9, loads[i].Vars*seconds*float64(n), slack)
			within(t, "apparent energy", float64(j.Apparent)/1e9, volts*loads[i].Amps*seconds*float64(n), slack)
		}
	})
}

func within(t *rapid.T, what string, got, want, slack float64) {
	if !(math.Abs(got-want) <= slack+1e-8) {
		t.Fatalf("%s %.9g, want %.9g ± %g", what, got, want, slack)
	}
}

// The chip pulls its pin by itself, at the limit and not below it.
func TestLimits(t *testing.T) {
	opts := ade7953.DefaultOpts()
	opts.Limits = ade7953.LimitsFor(10*physic.Ampere, 220*physic.Volt, 3)
	dev, chip, _ := simDev(t, opts)
	ok := sim.ADE7953Load{Amps: 9.99, Watts: 1500, Vars: -1000, Crest: 3}
	over := sim.ADE7953Load{Amps: 10.01, Watts: 1500, Vars: -1000, Crest: 3}
	steps := []struct {
		name  string
		volts float64
		a, b  sim.ADE7953Load
		pins  [2]bool
		flags ade7953.Flags
	}{
		{name: "just below all limits", volts: 263.9, a: ok, b: ok},
		{name: "overcurrent on A", volts: 220, a: over, b: ok, pins: [2]bool{true, false}, flags: ade7953.OvercurrentA},
		{name: "overcurrent on B", volts: 220, a: ok, b: over, pins: [2]bool{false, true}, flags: ade7953.OvercurrentB},
		{name: "overvoltage", volts: 264.1, a: ok, b: ok, pins: [2]bool{true, false}, flags: ade7953.Overvoltage},
		{name: "just above the sag", volts: 176.1, a: ok, b: ok},
		{name: "sag", volts: 175.9, a: ok, b: ok, pins: [2]bool{true, false}, flags: ade7953.Sag},
		{name: "short circuit", volts: 10, a: sim.ADE7953Load{Amps: 500}, b: ok, pins: [2]bool{true, false}, flags: ade7953.Sag | ade7953.OvercurrentA},
	}
	chip.Set(220, 50, ok, ok)
	for _, s := range steps {
		t.Run(s.name, func(t *testing.T) {
			if _, err := dev.Clear(); err != nil {
				t.Fatal(err)
			}
			chip.Set(s.volts, 50, s.a, s.b)
			chip.Advance(30 * time.Millisecond)
			chip.Set(220, 50, ok, ok) // over before anybody looked
			chip.Advance(30 * time.Millisecond)
			if a, b := chip.IRQ(); a != s.pins[0] || b != s.pins[1] {
				t.Errorf("pins %t and %t, want %v", a, b, s.pins)
			}
			if got, err := dev.Flags(); err != nil || got&^ade7953.CycleEnd != s.flags {
				t.Errorf("flags %#x, %v, want %#x", got, err, s.flags)
			}
		})
	}
}

// A loss of supply in mid-run is an error at the next Sense, never a reading
// with the gains of power-on, and Configure brings everything back.
func TestPowerOnReset(t *testing.T) {
	opts := ade7953.DefaultOpts()
	opts.Limits = ade7953.LimitsFor(10*physic.Ampere, 220*physic.Volt, 3)
	dev, chip, bus := simDev(t, opts)
	chip.Set(221, 50, sim.ADE7953Load{Amps: 2, Watts: 400}, sim.ADE7953Load{})
	var m ade7953.Measurement
	if err := dev.Sense(&m); err != nil {
		t.Fatal(err)
	}
	before := m
	chip.HoldReset(true)
	if err := dev.Sense(&m); !errors.Is(err, sim.ErrNACK) {
		t.Errorf("Sense in reset: %v, want %v", err, sim.ErrNACK)
	}
	if ready, err := dev.Ready(); ready || !errors.Is(err, sim.ErrNACK) {
		t.Errorf("in reset: ready %t, %v", ready, err)
	}
	chip.HoldReset(false)
	if err := dev.Sense(&m); !errors.Is(err, ade7953.ErrReset) || m != before {
		t.Errorf("Sense after a reset: %v, %+v, want %v", err, m, ade7953.ErrReset)
	}
	if err := dev.Check(); !errors.Is(err, ade7953.ErrReset) {
		t.Errorf("Check after a reset: %v, want %v", err, ade7953.ErrReset)
	}
	// The pin is low until the chip is configured again: who wired it to the
	// relay has no power on an outlet that nobody guards.
	if pin, _ := chip.IRQ(); !pin {
		t.Error("the pin is released after a reset")
	}
	if flags, err := dev.Flags(); err != nil || flags&ade7953.Reset == 0 {
		t.Errorf("flags %#x, %v, want the reset", flags, err)
	}
	if ready, err := dev.Ready(); !ready || err != nil {
		t.Errorf("ready %t, %v", ready, err)
	}
	if err := dev.Configure(); err != nil {
		t.Fatal(err)
	}
	if err := dev.Sense(&m); err != nil || m != before {
		t.Errorf("Sense: %v, %+v, want %+v", err, m, before)
	}
	if pin, _ := chip.IRQ(); pin {
		t.Error("the pin is held after Configure")
	}

	// A single register that something else wrote is noticed too.
	if err := bus.Tx(ade7953.Addr, []byte{0x03, 0x25, 0, 0xFF, 0xFF, 0xFF}, nil); err != nil {
		t.Fatal(err)
	}
	if err := dev.Sense(&m); !errors.Is(err, ade7953.ErrReset) {
		t.Errorf("Sense with another limit: %v, want %v", err, ade7953.ErrReset)
	}
	if flags, err := dev.Flags(); err != nil || flags&ade7953.Changed == 0 {
		t.Errorf("flags %#x, %v, want the change", flags, err)
	}
	bus.Hold(true)
	if err := dev.Sense(&m); !errors.Is(err, sim.ErrTimeout) {
		t.Errorf("Sense on a stuck bus: %v, want %v", err, sim.ErrTimeout)
	}
}

// Whatever the bus delivers, a measurement is within the range of the chip, or
// an error that leaves the caller's value alone.
func FuzzSense(f *testing.F) {
	f.Add(uint32(6116142), uint32(4476), uint32(27697), uint32(0xFFFFFE72), uint32(0), uint32(435), uint32(0x7FFF))
	f.Add(uint32(0xFFFFFFFF), uint32(0xFFFF), uint32(0), uint32(0), uint32(0), uint32(0), uint32(0))
	f.Add(uint32(0xFFFFFE), uint32(0), uint32(0x800000), uint32(0xFF800000), uint32(0x7FFFFF), uint32(0xFFFFFFFF), uint32(0x8000))
	f.Fuzz(func(t *testing.T, volts, period, amps, watts, vars, va, factor uint32) {
		r := regs{
			volts: volts, period: period & 0xFFFF, amps: [2]uint32{amps}, watts: [2]uint32{watts}, vars: [2]uint32{vars},
			va: [2]uint32{va}, fac: [2]uint32{factor & 0xFFFF},
		}
		opts := ade7953.DefaultOpts()
		opts.B = ade7953.Channel{}
		dev, _ := newDev(t, opts, map[uint16]uint32{0x009: 0}, r.sense(0)...)
		var m ade7953.Measurement
		err := dev.Sense(&m)
		if err != nil {
			if !errors.Is(err, ade7953.ErrWord) || m != (ade7953.Measurement{}) {
				t.Fatalf("%v, %+v", err, m)
			}
			return
		}
		// 1.86 times full scale is all that 24 bits hold.
		if m.Volts < 0 || m.Volts > 651*physic.Volt || m.A.Amps < 0 || m.A.Amps > 83*physic.Ampere {
			t.Errorf("%s, %s outside the range of the chip", m.Volts, m.A.Amps)
		}
		for _, p := range []physic.Power{m.A.Watts, m.A.Vars, m.A.VoltAmps} {
			if p > 28*physic.KiloWatt || p < -28*physic.KiloWatt {
				t.Errorf("%s outside the range of the chip", p)
			}
		}
		if m.A.VoltAmps < 0 || (m.A.Watts < 0) != (int32(watts) < 0) {
			t.Errorf("signs of %s, %s", m.A.VoltAmps, m.A.Watts)
		}
		if m.A.PowerFactor < -1 || m.A.PowerFactor > 1 {
			t.Errorf("power factor %g", m.A.PowerFactor)
		}
		if m.Frequency != 0 && (m.Frequency < 29*physic.Hertz || m.Frequency > 101*physic.Hertz) {
			t.Errorf("frequency %s", m.Frequency)
		}
	})
}

func benchmark(b *testing.B, opts *ade7953.Opts, f func(*ade7953.Dev) error) {
	b.Helper()
	dev, chip, bus := simDev(b, opts)
	chip.Set(221.4, 50, sim.ADE7953Load{Amps: 1.82, Watts: 389}, sim.ADE7953Load{Amps: 0.4, Watts: 60})
	start := bus.BusTime()
	b.ReportAllocs()
	for b.Loop() {
		if err := f(dev); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((bus.BusTime()-start).Seconds()*1000/float64(b.N), "bus-ms/op")
}

func BenchmarkSense(b *testing.B) {
	var m ade7953.Measurement
	benchmark(b, ade7953.DefaultOpts(), func(d *ade7953.Dev) error { return d.Sense(&m) })
}

func BenchmarkSenseOneChannel(b *testing.B) {
	var m ade7953.Measurement
	opts := ade7953.DefaultOpts()
	opts.B = ade7953.Channel{}
	benchmark(b, opts, func(d *ade7953.Dev) error { return d.Sense(&m) })
}

func BenchmarkEnergy(b *testing.B) {
	var one, two ade7953.Joules
	benchmark(b, ade7953.DefaultOpts(), func(d *ade7953.Dev) error { return d.Energy(&one, &two) })
}

func BenchmarkFlags(b *testing.B) {
	benchmark(b, ade7953.DefaultOpts(), func(d *ade7953.Dev) error { _, err := d.Flags(); return err })
}

// Reading allocates nothing, so that a poll loop leaves the collector nothing to
// do.
func TestAllocates(t *testing.T) {
	bus := &echo{}
	dev, err := ade7953.New(bus, ade7953.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Configure(); err != nil {
		t.Fatal(err)
	}
	var m ade7953.Measurement
	var a, b ade7953.Joules
	if n := testing.AllocsPerRun(100, func() {
		_, err := dev.Flags()
		if err := errors.Join(err, dev.Sense(&m), dev.Energy(&a, &b)); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// echo is a bus whose chip reads back what was written.
type echo struct{ regs [0x400][4]byte }

var _ i2c.Bus = (*echo)(nil)

func (*echo) String() string                    { return "echo" }
func (*echo) SetSpeed(_ physic.Frequency) error { return nil }
func (e *echo) Tx(_ uint16, w, r []byte) error {
	reg := int(w[0])<<8 | int(w[1])
	if reg == 0x303 {
		copy(r, []byte{0x00, 0x00, 0xE4, 0x19})
		return nil
	}
	copy(e.regs[reg][:], w[2:])
	copy(r, e.regs[reg][:])
	return nil
}

// contract is what the driver has in common with all others, with both channels.
func contract() *drivertest.Sensor[ade7953.Measurement] {
	const word, half = 4, 2
	return &drivertest.Sensor[ade7953.Measurement]{
		Name: "ade7953", Addr: ade7953.Addr, Stale: ade7953.Measurement{Volts: 7, A: ade7953.Load{Amps: 8}},
		// Voltage and period; current, three powers and the factor of each channel;
		// the checksum.
		Bits: (1+2*4+1)*drivertest.Bits(2, word) + (1+2)*drivertest.Bits(2, half),
		Chip: func() sim.Chip {
			chip := sim.NewADE7953(sim.ADE7953Outlets())
			chip.Set(229, 50, sim.ADE7953Load{Amps: 3, Watts: 600}, sim.ADE7953Load{Amps: 1, Watts: -200})
			return chip
		},
		Start: func(bus i2c.Bus) (drivertest.Dev[ade7953.Measurement], error) {
			dev, err := ade7953.New(bus, ade7953.DefaultOpts())
			if err != nil {
				return nil, err
			}
			return dev, dev.Configure()
		},
		Float: ade7953.ErrWord, Lost: ade7953.ErrReset,
	}
}

func TestContract(t *testing.T) { contract().Run(t) }
