package mlx90640_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/mlx90640"
	"github.com/shedguard/shedguard/drivers/sim"
)

// noise is a sequence of words that everybody can make again.
func noise(seed uint32) func() uint16 {
	return func() uint16 {
		seed = seed*1664525 + 1013904223
		return uint16(seed >> 16)
	}
}

// eeprom is a made-up calibration: words that a chip could have for the whole, noise
// within reason for rows, columns and pixels. Number 2
// is a chip that was calibrated in the interleaved pattern; number 3 has other
// ranges of object temperature.
func eeprom(n uint32) *[sim.MLX90640Words]uint16 {
	next := noise(n)
	var ee [sim.MLX90640Words]uint16
	for i := range ee {
		ee[i] = next()
	}
	ee[10] = 0
	if n == 2 {
		ee[10] = 0x0800
	}
	for at, word := range map[int]uint16{
		16: 0x4210, 17: 0xFFBB, 32: 0x79A6, 33: 0x2F44, 48: 0x18EF, 49: 0x2FF1, 50: 0x5952, 51: 0x9D68, 52: 0x5454,
		54: 0x5354, 55: 0x4F4B, 56: 0x2363, 57: 0xF84B, 58: 0xFBB5, 59: 0x044B, 60: 0xF020, 61: 0x9797, 62: 0x9797, 63: 0x2889,
	} {
		ee[at] = word
	}
	if n == 3 {
		ee[61], ee[62], ee[63] = 0x9785, 0xA0A7, 0x2449
	}
	for i := 34; i < 40; i++ {
		ee[i] = ee[i] & 0x1111 * 15
	}
	for i := 40; i < 48; i++ {
		ee[i] &= 0x3333
	}
	for i := 64; i < len(ee); i++ {
		ee[i] = ee[i]&0xFFFE | 0x0400
	}
	return &ee
}

// ram is a made-up measurement: words that a chip could have for the supply, the
// chip, the gain and the compensation pixels, noise for the pixels.
func ram(n uint32) *[sim.MLX90640Words]uint16 {
	next := noise(n + 1000)
	var r [sim.MLX90640Words]uint16
	span, low := uint16(1400), uint16(150)
	if n == 3 {
		span, low = 5000, 500
	}
	for i := range 768 {
		r[i] = next()%span - low
	}
	r[768], r[776], r[778], r[800], r[808], r[810] = 0x4BF2, 0xFFCA, 0x1881, 0x06AF, 0xFFC8, 0xCCC5
	return &r
}

func newDev(t fatal, n uint32) (*mlx90640.Dev, *sim.MLX90640, *sim.Bus) {
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	chip := sim.NewMLX90640(eeprom(n))
	bus.Attach(0x33, chip)
	opts := mlx90640.DefaultOpts()
	opts.Rate = mlx90640.Rate4Hz
	dev, err := mlx90640.New(bus, opts)
	if err != nil {
		t.Fatal(err)
	}
	return dev, chip, bus
}

// fatal is what testing.TB and rapid.T have in common here.
type fatal interface{ Fatal(args ...any) }

// frame measures both subpages and reads them.
func frame(dev *mlx90640.Dev, chip *sim.MLX90640, r *[sim.MLX90640Words]uint16, f *mlx90640.Frame) error {
	chip.Measure(0, r)
	if err := dev.Sense(f); err != nil && !errors.Is(err, mlx90640.ErrNoData) {
		return err
	}
	chip.Measure(1, r)
	return dev.Sense(f)
}

// What Adafruit's port of the Melexis library, adafruit-circuitpython-mlx90640
// 1.3.9, computes from the same words, at emissivity 0.95 and 8 K: as it is (rounded
// to its integers) and with that rounding taken out.
func TestReference(t *testing.T) {
	at := [...]int{0, 1, 31, 32, 33, 100, 201, 383, 400, 511, 640, 735, 766, 767}
	tests := map[uint32]struct {
		exact, library       [len(at)]float64
		exactSum, librarySum float64
		coldest, hottest     float64
	}{
		1: {
			exact: [len(at)]float64{
				61.629976, 82.090581, 33.382733, 67.010505, 99.402151, 128.194084, 62.912228,
				37.714788, 101.965872, 62.357757, 112.649748, 86.8769, 90.101104, 88.363207,
			},
			library: [len(at)]float64{
				61.629967, 82.090844, 33.382779, 67.010714, 99.402504, 128.194402, 62.91235,
				37.714767, 101.966038, 62.35788, 112.649753, 86.877235, 90.101143, 88.363449,
			},
			exactSum: 66601.12054, librarySum: 66601.15868, coldest: 25.344328, hottest: 151.322319,
		},
		2: {
			exact: [len(at)]float64{
				60.506421, 101.272458, 64.659921, 95.001692, 112.937227, 80.393706, 80.037134,
				110.13007, 68.988434, 124.05318, 97.771243, 85.558154, 110.424917, 129.933806,
			},
			library: [len(at)]float64{
				60.506575, 101.272786, 64.65985, 95.001545, 112.937101, 80.393831, 80.037546,
				110.130159, 68.988162, 124.053695, 97.770861, 85.558494, 110.424422, 129.934349,
			},
			exactSum: 65805.06037, librarySum: 65805.10494, coldest: 24.318080, hottest: 151.755505,
		},
		3: {
			exact: [len(at)]float64{
				77.675137, 117.582405, 225.330569, 179.395693, 192.868113, 66.345943, 74.70761,
				95.131864, 229.2513, -4.140651, 53.110609, 178.939, 226.558281, 143.548375,
			},
			library: [len(at)]float64{
				77.675343, 117.582106, 225.33187, 179.395779, 192.867957, 66.346102, 74.707513,
				95.132097, 229.251842, -4.14119, 53.110721, 178.938962, 226.558133, 143.549141,
			},
			exactSum: 117132.41274, librarySum: 117132.50727, coldest: -37.664990, hottest: 287.439108,
		},
	}
	for n, tt := range tests {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dev, chip, _ := newDev(t, n)
			var f mlx90640.Frame
			if err := frame(dev, chip, ram(n), &f); err != nil {
				t.Fatal(err)
			}
			near := func(what string, got, want, within float64) {
				t.Helper()
				if !(math.Abs(got-want) <= within) {
					t.Errorf("%s: %.6f, want %.6f ± %g", what, got, want, within)
				}
			}
			near("supply", float64(f.Supply)/float64(physic.Volt), 3.318623737, 1e-8)
			near("chip", f.Chip.Celsius(), 39.184423789, 1e-8)
			sum, low := 0.0, math.Inf(1)
			for _, p := range f.Pixels {
				sum += p.Celsius()
				low = min(low, p.Celsius())
			}
			for i, p := range at {
				near(fmt.Sprint("pixel ", p), f.Pixels[p].Celsius(), tt.exact[i], 1e-5)
				near(fmt.Sprint("pixel ", p, " of the library"), f.Pixels[p].Celsius(), tt.library[i], 2e-3)
			}
			near("sum", sum, tt.exactSum, 1e-3)
			near("sum of the library", sum, tt.librarySum, 0.2)
			near("coldest", low, tt.coldest, 1e-5)
			hot, _ := f.Hottest()
			near("hottest", hot.Celsius(), tt.hottest, 1e-5)
		})
	}
}

// The bytes of New and of Sense.
func TestBytes(t *testing.T) {
	read := func(addr uint16, words ...uint16) i2ctest.IO {
		io := i2ctest.IO{Addr: 0x33, W: binary.BigEndian.AppendUint16(nil, addr)}
		for _, w := range words {
			io.R = binary.BigEndian.AppendUint16(io.R, w)
		}
		return io
	}
	write := func(b ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x33, W: b} }
	var born, sense []i2ctest.IO
	for i := uint16(0); i < 832; i += 64 {
		born = append(born, read(0x2400+i, eeprom(1)[i:i+64]...))
		sense = append(sense, read(0x0400+i, ram(1)[i:i+64]...))
	}
	born = append(born, write(0x80, 0x0D, 0x19, 0x81), read(0x800D, 0x1981))
	subpage := func(n uint16) []i2ctest.IO {
		ops := append([]i2ctest.IO{read(0x8000, 0x0038|n), write(0x80, 0x00, 0x00, 0x30)}, sense...)
		return append(ops, read(0x8000, 0x0030|n), read(0x800D, 0x1981))
	}
	opts := mlx90640.DefaultOpts()
	opts.Rate = mlx90640.Rate4Hz

	ops := append(append(append([]i2ctest.IO{}, born...), subpage(0)...), subpage(1)...)
	ops = append(ops, read(0x8000, 0x0031))
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	dev, err := mlx90640.New(bus, opts)
	if err != nil {
		t.Fatal(err)
	}
	f := mlx90640.Frame{Chip: 42}
	for i, want := range []error{mlx90640.ErrNoData, nil, mlx90640.ErrNoData} {
		before := f
		if err := dev.Sense(&f); !errors.Is(err, want) {
			t.Errorf("read %d: %v, want %v", i, err, want)
		} else if (f == before) != (want != nil) {
			t.Errorf("read %d: the frame changed: %t", i, f != before)
		}
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}

	// Each step of New that fails is named, and a short read is one.
	for n, text := range map[int]string{0: "read 0x2400", 5: "read 0x2540", 13: "write 0x800d", 14: "read 0x800d"} {
		dev, err := mlx90640.New(&i2ctest.Playback{Ops: born[:n], DontPanic: true}, opts)
		if err == nil || dev != nil || !strings.HasPrefix(err.Error(), "mlx90640@playback/0x33: "+text) {
			t.Errorf("after %d steps: %v, %v, want %q", n, dev, err, text)
		}
	}
	if _, err := mlx90640.New(&i2ctest.Playback{Ops: []i2ctest.IO{read(0x2400, 1)}, DontPanic: true}, opts); err == nil {
		t.Error("short read: want an error")
	}
	// And of Sense.
	one := subpage(0)
	for n, text := range map[int]string{0: "read 0x8000", 1: "write 0x8000", 2: "read 0x0400", 14: "read 0x0700", 15: "read 0x8000", 16: "read 0x800d"} {
		dev, err := mlx90640.New(&i2ctest.Playback{Ops: append(append([]i2ctest.IO{}, born...), one[:n]...), DontPanic: true}, opts)
		if err != nil {
			t.Fatal(err)
		}
		f := mlx90640.Frame{Chip: 42}
		if err := dev.Sense(&f); err == nil || !strings.Contains(err.Error(), text) || f != (mlx90640.Frame{Chip: 42}) {
			t.Errorf("after %d steps: %v, want %q", n, err, text)
		}
	}
}

func TestSenseFails(t *testing.T) {
	word := func(at int, w uint16) *[sim.MLX90640Words]uint16 {
		r := ram(1)
		r[at] = w
		return r
	}
	ones := new([sim.MLX90640Words]uint16)
	for i := range ones {
		ones[i] = 0xFFFF
	}
	for name, r := range map[string]*[sim.MLX90640Words]uint16{
		"stuck high":          ones,
		"held low":            new([sim.MLX90640Words]uint16),
		"supply too low":      word(810, 0xD700),
		"supply too high":     word(810, 0xC000),
		"chip too hot":        word(800, 0x0C00),
		"chip too cold":       word(800, 0x0300),
		"gain of zero":        word(778, 0),
		"gain is negative":    word(778, 0x8000),
		"gain is half":        word(778, 0x31E0),
		"gain is double":      word(778, 0x0C70),
		"pixel is impossible": word(100, 0x7FFF),
		"pixel is too cold":   word(100, 0xF000),
	} {
		t.Run(name, func(t *testing.T) {
			dev, chip, _ := newDev(t, 1)
			f := mlx90640.Frame{Chip: 42}
			if err := frame(dev, chip, r, &f); !errors.Is(err, mlx90640.ErrWord) || f != (mlx90640.Frame{Chip: 42}) {
				t.Errorf("error %v, want %v", err, mlx90640.ErrWord)
			}
			if err := frame(dev, chip, ram(1), &f); err != nil {
				t.Errorf("the next frame: %v", err)
			}
		})
	}
	dev, chip, bus := newDev(t, 1)
	chip.Measure(3, ram(1))
	if err := dev.Sense(new(mlx90640.Frame)); !errors.Is(err, mlx90640.ErrWord) {
		t.Errorf("subpage 3: %v, want %v", err, mlx90640.ErrWord)
	}
	// Another subpage comes while one is read.
	chip.Measure(0, ram(1))
	n := 0
	bus.Trace(func(uint16, []byte, []byte, error) {
		if n++; n == 5 {
			chip.Measure(1, ram(1))
		}
	})
	if err := dev.Sense(new(mlx90640.Frame)); !errors.Is(err, mlx90640.ErrTorn) {
		t.Errorf("error %v, want %v", err, mlx90640.ErrTorn)
	}
	bus.Trace(nil)
	bus.Hold(true)
	if err := dev.Sense(new(mlx90640.Frame)); !errors.Is(err, sim.ErrTimeout) {
		t.Errorf("on a stuck bus: %v, want %v", err, sim.ErrTimeout)
	}
}

func TestPowerOnReset(t *testing.T) {
	dev, chip, _ := newDev(t, 1)
	var f mlx90640.Frame
	if err := frame(dev, chip, ram(1), &f); err != nil {
		t.Fatal(err)
	}
	chip.Reset()
	if err := dev.Sense(&f); !errors.Is(err, mlx90640.ErrNoData) {
		t.Errorf("after a reset: %v, want %v", err, mlx90640.ErrNoData)
	}
	chip.Measure(0, ram(1))
	if err := dev.Sense(&f); !errors.Is(err, mlx90640.ErrReset) {
		t.Errorf("after a reset: %v, want %v", err, mlx90640.ErrReset)
	}
	if err := dev.Check(); !errors.Is(err, mlx90640.ErrReset) {
		t.Errorf("Check after a reset: %v, want %v", err, mlx90640.ErrReset)
	}
	if err := dev.Configure(); err != nil {
		t.Error(err)
	}
	chip.Measure(1, ram(1))
	if err := dev.Sense(&f); !errors.Is(err, mlx90640.ErrNoData) {
		t.Errorf("half a frame: %v, want %v", err, mlx90640.ErrNoData)
	}
	chip.Measure(0, ram(1))
	if err := dev.Sense(&f); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	change := func(f func(ee *[sim.MLX90640Words]uint16)) *[sim.MLX90640Words]uint16 {
		ee := eeprom(1)
		f(ee)
		return ee
	}
	all := func(w uint16) *[sim.MLX90640Words]uint16 {
		return change(func(ee *[sim.MLX90640Words]uint16) {
			for i := range ee {
				ee[i] = w
			}
		})
	}
	for name, ee := range map[string]*[sim.MLX90640Words]uint16{
		"erased":         all(0),
		"bus stuck high": all(0xFFFF),
		"no gain":        change(func(ee *[sim.MLX90640Words]uint16) { ee[48] = 0 }),
		"no sensitivity": change(func(ee *[sim.MLX90640Words]uint16) { ee[33] = 0 }),
		"five bad pixels": change(func(ee *[sim.MLX90640Words]uint16) {
			for i := range 5 {
				ee[64+100*i] |= uint16(i & 1)
				ee[64+100*i] *= uint16(i & 1)
			}
		}),
	} {
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		bus.Attach(0x33, sim.NewMLX90640(ee))
		if dev, err := mlx90640.New(bus, mlx90640.DefaultOpts()); !errors.Is(err, mlx90640.ErrCalibration) {
			t.Errorf("%s: %v, %v, want %v", name, dev, err, mlx90640.ErrCalibration)
		}
	}
	for name, f := range map[string]func(*mlx90640.Opts){
		"address":       func(o *mlx90640.Opts) { o.Addr = 0x80 },
		"rate":          func(o *mlx90640.Opts) { o.Rate = 7 },
		"no emissivity": func(o *mlx90640.Opts) { o.Emissivity = 0 },
		"mirror":        func(o *mlx90640.Opts) { o.Emissivity = math.NaN() },
		"above 1":       func(o *mlx90640.Opts) { o.Emissivity = 1.01 },
		"warmer":        func(o *mlx90640.Opts) { o.Warmer = math.Inf(1) },
	} {
		opts := mlx90640.DefaultOpts()
		f(opts)
		if dev, err := mlx90640.New(&i2ctest.Playback{DontPanic: true}, opts); err == nil {
			t.Errorf("%s: %v, want an error", name, dev)
		}
	}
}

// A bad pixel gets the highest of its good neighbours, whatever it measures; at a
// corner as well.
func TestBadPixels(t *testing.T) {
	ee := eeprom(1)
	ee[64], ee[64+100], ee[64+101], ee[64+767] = 0, ee[64+100]|1, 0, ee[64+767]|1
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	chip := sim.NewMLX90640(ee)
	bus.Attach(0x33, chip)
	dev, err := mlx90640.New(bus, mlx90640.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	r := ram(1)
	r[0], r[100], r[767] = 0x7FFF, 0x7FFF, 0x8000
	var f, again mlx90640.Frame
	if err := frame(dev, chip, r, &f); err != nil {
		t.Fatal(err)
	}
	if err := frame(dev, chip, r, &again); err != nil || again != f {
		t.Errorf("the same again is another frame: %v", err)
	}
	p := &f.Pixels
	for at, want := range map[int]physic.Temperature{
		0: max(p[1], p[32]), 100: max(p[99], p[68], p[132]), 101: max(p[102], p[69], p[133]), 767: max(p[766], p[735]),
	} {
		if p[at] != want {
			t.Errorf("pixel %d: %s, want %s", at, p[at], want)
		}
	}
}

// More counts are more heat, in every pixel and every range, and nothing but that
// pixel changes.
func TestMonotonic(t *testing.T) {
	dev, chip, _ := newDev(t, 3)
	rapid.Check(t, func(t *rapid.T) {
		r := ram(3)
		at := rapid.IntRange(0, 767).Draw(t, "pixel")
		less := rapid.IntRange(-300, 4500).Draw(t, "counts")
		more := less + rapid.IntRange(1, 500).Draw(t, "more")
		var a, b mlx90640.Frame
		r[at] = uint16(less)
		if err := frame(dev, chip, r, &a); err != nil {
			t.Fatal(err)
		}
		r[at] = uint16(more)
		if err := frame(dev, chip, r, &b); err != nil {
			t.Fatal(err)
		}
		if a.Pixels[at] >= b.Pixels[at] {
			t.Fatalf("%d counts are %s, %d are %s", less, a.Pixels[at], more, b.Pixels[at])
		}
		a.Pixels[at] = b.Pixels[at]
		if a != b {
			t.Fatal("another pixel changed")
		}
	})
}

// FuzzSense: whatever words the RAM holds, Sense gives temperatures in its range, or
// an error that leaves the caller's frame alone.
func FuzzSense(f *testing.F) {
	f.Add(uint16(810), uint16(0xFFFF), uint16(100), uint16(0x7FFF))
	f.Add(uint16(778), uint16(1), uint16(800), uint16(0))
	f.Add(uint16(776), uint16(0x8000), uint16(768), uint16(0))
	f.Fuzz(func(t *testing.T, at1, word1, at2, word2 uint16) {
		dev, chip, _ := newDev(t, 1)
		r := ram(1)
		r[at1%832], r[at2%832] = word1, word2
		got := mlx90640.Frame{Chip: 42}
		if err := frame(dev, chip, r, &got); err != nil {
			if got != (mlx90640.Frame{Chip: 42}) {
				t.Errorf("%v, yet a frame", err)
			}
			return
		}
		for i, p := range got.Pixels {
			if c := p.Celsius(); !(c >= -60.001 && c <= 500.001) {
				t.Errorf("pixel %d: %g °C", i, c)
			}
		}
	})
}

// FuzzCalibration: whatever the EEPROM holds, New makes a device or says why not,
// and the device does no harm.
func FuzzCalibration(f *testing.F) {
	f.Add(uint16(32), uint16(0xFFFF), uint16(63), uint16(0))
	f.Add(uint16(51), uint16(0), uint16(50), uint16(0xFC00))
	f.Fuzz(func(t *testing.T, at1, word1, at2, word2 uint16) {
		ee := eeprom(2)
		ee[at1%832], ee[at2%832] = word1, word2
		bus := sim.NewBus("sim", 400*physic.KiloHertz)
		chip := sim.NewMLX90640(ee)
		bus.Attach(0x33, chip)
		dev, err := mlx90640.New(bus, mlx90640.DefaultOpts())
		if err != nil {
			if !errors.Is(err, mlx90640.ErrCalibration) {
				t.Error(err)
			}
			return
		}
		var got mlx90640.Frame
		if err := frame(dev, chip, ram(2), &got); err != nil && !errors.Is(err, mlx90640.ErrWord) {
			t.Error(err)
		}
	})
}

func TestNames(t *testing.T) {
	dev, _, _ := newDev(t, 1)
	if got, want := dev.String(), "mlx90640@sim/0x33"; got != want {
		t.Errorf("String %q, want %q", got, want)
	}
	if err := dev.Halt(); err != nil {
		t.Error(err)
	}
}

func TestSenseAllocates(t *testing.T) {
	dev, chip, _ := newDev(t, 1)
	var f mlx90640.Frame
	r := ram(1)
	if err := frame(dev, chip, r, &f); err != nil {
		t.Fatal(err)
	}
	n := 0
	if allocs := testing.AllocsPerRun(20, func() {
		n++
		chip.Measure(n&1, r)
		if err := dev.Sense(&f); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

func BenchmarkSense(b *testing.B) {
	dev, chip, bus := newDev(b, 1)
	var f mlx90640.Frame
	r := ram(1)
	if err := frame(dev, chip, r, &f); err != nil {
		b.Fatal(err)
	}
	start := bus.BusTime()
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		chip.Measure(n&1, r)
		if err := dev.Sense(&f); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((bus.BusTime()-start).Seconds()*1e3/float64(b.N), "bus-ms/op")
}
