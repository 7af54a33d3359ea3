package ds3231_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/ds3231"
	"github.com/shedguard/shedguard/drivers/sim"
)

func write(w ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x68, W: w} }

func read(reg byte, r ...byte) i2ctest.IO { return i2ctest.IO{Addr: 0x68, W: []byte{reg}, R: r} }

// all is what a DS3231 sends from register 0 on: the time, two alarms, control
// and status.
func all(when []byte, control, status byte) i2ctest.IO {
	return read(0, append(append(bytes.Clone(when), 0, 0, 0, 0, 0, 0, 0), control, status)...)
}

// noon is 2026-11-23 12:34:56, a Monday.
func noon() []byte { return []byte{0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26} }

func newDev(tb testing.TB, chip ds3231.Chip, more ...i2ctest.IO) (*ds3231.Dev, *i2ctest.Playback) {
	tb.Helper()
	first := read(0, append(noon(), 0)...)
	if chip == ds3231.DS3231 {
		first = all(noon(), 0x1C, 0)
	}
	bus := &i2ctest.Playback{Ops: append([]i2ctest.IO{first}, more...), DontPanic: true}
	dev, err := ds3231.New(bus, &ds3231.Opts{Chip: chip, Addr: 0x68})
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

func TestSense(t *testing.T) {
	change := func(at int, b byte) []byte { w := noon(); w[at] = b; return w }
	tests := map[string]struct {
		raw  []byte
		want string
		err  error
	}{
		"a Monday":              {raw: noon(), want: "2026-11-23T12:34:56Z"},
		"the beginning":         {raw: []byte{0, 0, 0, 7, 1, 1, 0}, want: "2000-01-01T00:00:00Z"},
		"the end of a century":  {raw: []byte{0x59, 0x59, 0x23, 5, 0x31, 0x12, 0x99}, want: "2099-12-31T23:59:59Z"},
		"the end":               {raw: []byte{0x59, 0x59, 0x23, 5, 0x31, 0x92, 0x99}, want: "2199-12-31T23:59:59Z"},
		"a leap day":            {raw: []byte{0, 0, 0, 1, 0x29, 0x02, 0x28}, want: "2028-02-29T00:00:00Z"},
		"midnight, 12 hours":    {raw: change(2, 0x52), want: "2026-11-23T00:34:56Z"},
		"1 am":                  {raw: change(2, 0x41), want: "2026-11-23T01:34:56Z"},
		"noon, 12 hours":        {raw: change(2, 0x72), want: "2026-11-23T12:34:56Z"},
		"11 pm":                 {raw: change(2, 0x71), want: "2026-11-23T23:34:56Z"},
		"no day of the week":    {raw: change(3, 0), want: "2026-11-23T12:34:56Z"},
		"no leap day":           {raw: []byte{0, 0, 0, 1, 0x29, 0x02, 0x26}, err: ds3231.ErrWord},
		"the 31st of November":  {raw: change(4, 0x31), err: ds3231.ErrWord},
		"date 0":                {raw: change(4, 0), err: ds3231.ErrWord},
		"month 0":               {raw: change(5, 0), err: ds3231.ErrWord},
		"month 13":              {raw: change(5, 0x13), err: ds3231.ErrWord},
		"second 60":             {raw: change(0, 0x60), err: ds3231.ErrWord},
		"minute 60":             {raw: change(1, 0x60), err: ds3231.ErrWord},
		"hour 24":               {raw: change(2, 0x24), err: ds3231.ErrWord},
		"hour 0 of 12":          {raw: change(2, 0x40), err: ds3231.ErrWord},
		"hour 13 of 12":         {raw: change(2, 0x53), err: ds3231.ErrWord},
		"no decimal digit":      {raw: change(6, 0x2A), err: ds3231.ErrWord},
		"no decimal ten":        {raw: change(6, 0xA2), err: ds3231.ErrWord},
		"day of the week":       {raw: change(3, 8), err: ds3231.ErrWord},
		"halt, of another chip": {raw: change(0, 0xD6), err: ds3231.ErrWord},
		"bus stuck high":        {raw: bytes.Repeat([]byte{0xFF}, 7), err: ds3231.ErrWord},
		"bus held low":          {raw: make([]byte, 7), err: ds3231.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, ds3231.DS3231, all(tt.raw, 0x1C, 0x08))
			old := time.Unix(42, 0)
			got := old
			err := dev.Sense(&got)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				if !got.Equal(old) || !strings.HasPrefix(err.Error(), "ds3231@playback/0x68: ") {
					t.Errorf("%s, error %q", got, err)
				}
			} else if got.Format(time.RFC3339) != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A clock that stood still gives no time, and is to be told from no clock.
func TestStoodStill(t *testing.T) {
	set := func(at int, b byte) []byte { w := append(noon(), 0); w[at] = b; return w }
	tests := map[string]struct {
		chip ds3231.Chip
		op   i2ctest.IO
		err  error
	}{
		"DS3231 OSF":            {ds3231.DS3231, all(noon(), 0x1C, 0x88), ds3231.ErrReset},
		"DS3231 stuck high":     {ds3231.DS3231, read(0, bytes.Repeat([]byte{0xFF}, 16)...), ds3231.ErrWord},
		"DS3231 missing bit":    {ds3231.DS3231, all(noon(), 0x1C, 0x10), ds3231.ErrWord},
		"DS1338 OSF":            {ds3231.DS1338, read(0, set(7, 0xB3)...), ds3231.ErrReset},
		"DS1338 CH":             {ds3231.DS1338, read(0, set(0, 0x80)...), ds3231.ErrReset},
		"DS1338 square wave":    {ds3231.DS1338, read(0, set(7, 0x93)...), nil},
		"DS1338 stuck high":     {ds3231.DS1338, read(0, bytes.Repeat([]byte{0xFF}, 8)...), ds3231.ErrWord},
		"DS1338 has no century": {ds3231.DS1338, read(0, set(5, 0x91)...), ds3231.ErrWord},
		"DS1307 CH":             {ds3231.DS1307, read(0, set(0, 0xD6)...), ds3231.ErrReset},
		"DS1307 has no OSF":     {ds3231.DS1307, read(0, set(7, 0x20)...), nil},
		"DS1307 held low":       {ds3231.DS1307, read(0, make([]byte, 8)...), ds3231.ErrWord},
		"DS1307 stuck high":     {ds3231.DS1307, read(0, bytes.Repeat([]byte{0xFF}, 8)...), ds3231.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, tt.chip, tt.op)
			old := time.Unix(42, 0)
			got := old
			if err := dev.Sense(&got); !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if got.Equal(old) != (tt.err != nil) {
				t.Errorf("time %s", got)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConfigure(t *testing.T) {
	zone := time.FixedZone("CST", 8*3600)
	when := time.Date(2026, 11, 23, 20, 34, 56, 999_999_999, zone)
	tests := map[string]struct {
		chip ds3231.Chip
		ops  []i2ctest.IO
		err  error
		text string
	}{
		"DS3231": {chip: ds3231.DS3231, ops: []i2ctest.IO{
			write(0, 0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26), write(0x0E, 0x1C, 0), all(noon(), 0x1C, 0),
		}},
		"DS1338": {chip: ds3231.DS1338, ops: []i2ctest.IO{
			write(0, 0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26, 0), read(0, append(noon(), 0)...),
		}},
		"DS1307": {chip: ds3231.DS1307, ops: []i2ctest.IO{
			write(0, 0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26, 0), read(0, append(noon(), 0)...),
		}},
		"a second later": {chip: ds3231.DS1307, ops: []i2ctest.IO{
			write(0, 0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26, 0), read(0, 0x57, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26, 0),
		}},
		"not set": {chip: ds3231.DS1307, err: ds3231.ErrReset, ops: []i2ctest.IO{
			write(0, 0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26, 0), read(0, 0x55, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26, 0),
		}},
		"still stopped": {chip: ds3231.DS3231, err: ds3231.ErrReset, ops: []i2ctest.IO{
			write(0, 0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26), write(0x0E, 0x1C, 0), all(noon(), 0x1C, 0x80),
		}},
		"stops on the battery": {chip: ds3231.DS3231, err: ds3231.ErrReset, ops: []i2ctest.IO{
			write(0, 0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26), write(0x0E, 0x1C, 0), all(noon(), 0x9C, 0),
		}},
		"nobody there": {chip: ds3231.DS3231, text: "write register 0x00"},
		"the mark stays": {chip: ds3231.DS3231, text: "write register 0x0e", ops: []i2ctest.IO{
			write(0, 0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26),
		}},
		"not read back": {chip: ds3231.DS3231, text: "read register 0x00", ops: []i2ctest.IO{
			write(0, 0x56, 0x34, 0x12, 0x02, 0x23, 0x11, 0x26), write(0x0E, 0x1C, 0),
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, tt.chip, tt.ops...)
			err := dev.Configure(when)
			switch {
			case tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)):
				t.Errorf("error %v, want %q", err, tt.text)
			case tt.text == "" && !errors.Is(err, tt.err):
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestYears(t *testing.T) {
	for chip, last := range map[ds3231.Chip]int{ds3231.DS3231: 2199, ds3231.DS1338: 2099, ds3231.DS1307: 2099} {
		for _, year := range []int{1999, 2000, last, last + 1} {
			dev, m, _ := simDev(t, chip)
			err := dev.Configure(time.Date(year, 6, 15, 12, 0, 0, 0, time.UTC))
			if want := year < 2000 || year > last; errors.Is(err, ds3231.ErrYear) != want || (err != nil) != want {
				t.Errorf("%s, %d: %v", chip, year, err)
			}
			m.Advance(time.Second)
			var now time.Time
			if err := dev.Sense(&now); (err == nil) != (year >= 2000 && year <= last) || err == nil && now.Year() != year {
				t.Errorf("%s, %d: %s, %v", chip, year, now, err)
			}
		}
	}
}

func TestTemperature(t *testing.T) {
	tests := map[string]struct {
		raw  [2]byte
		want float64
		err  error
	}{
		"25.25, datasheet": {raw: [2]byte{0x19, 0x40}, want: 25.25},
		"zero":             {raw: [2]byte{0, 0}, want: 0},
		"minus one step":   {raw: [2]byte{0xFF, 0xC0}, want: -0.25},
		"-40":              {raw: [2]byte{0xD8, 0x00}, want: -40},
		"85":               {raw: [2]byte{0x55, 0x00}, want: 85},
		"the lowest word":  {raw: [2]byte{0x80, 0x00}, want: -128},
		"the highest word": {raw: [2]byte{0x7F, 0xC0}, want: 127.75},
		"bus stuck high":   {raw: [2]byte{0xFF, 0xFF}, err: ds3231.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, _ := newDev(t, ds3231.DS3231, read(0x11, tt.raw[:]...))
			got := physic.Temperature(42)
			if err := dev.Temperature(&got); !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil && got != 42 || tt.err == nil && got.Celsius() != tt.want {
				t.Errorf("%s, want %g °C", got, tt.want)
			}
			got = 42
			if err := dev.Temperature(&got); err == nil || got != 42 {
				t.Errorf("nobody there: %s, %v", got, err)
			}
		})
	}
	dev, _ := newDev(t, ds3231.DS1338)
	if err := dev.Temperature(new(physic.Temperature)); err == nil {
		t.Error("a DS1338 has no thermometer: want an error")
	}
}

func TestNewRefuses(t *testing.T) {
	tests := map[string]struct {
		opts ds3231.Opts
		ops  []i2ctest.IO
		err  error
	}{
		"address":      {opts: ds3231.Opts{Addr: 0x69}},
		"chip":         {opts: ds3231.Opts{Chip: 3, Addr: 0x68}},
		"nobody there": {opts: *ds3231.DefaultOpts()},
		"short read":   {opts: *ds3231.DefaultOpts(), ops: []i2ctest.IO{read(0, noon()...)}},
		"held low":     {opts: *ds3231.DefaultOpts(), ops: []i2ctest.IO{read(0, make([]byte, 16)...)}, err: ds3231.ErrWord},
		"stuck high":   {opts: *ds3231.DefaultOpts(), ops: []i2ctest.IO{read(0, bytes.Repeat([]byte{0xFF}, 16)...)}, err: ds3231.ErrWord},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, err := ds3231.New(&i2ctest.Playback{Ops: tt.ops, DontPanic: true}, &tt.opts)
			if err == nil || dev != nil || (tt.err != nil && !errors.Is(err, tt.err)) {
				t.Errorf("got %v, %v, want the error %v", dev, err, tt.err)
			}
		})
	}
}

// A time that is set comes back, later by what has gone by, and is lost with the
// supply, as far as the chip can tell.
func TestGoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chip := rapid.SampledFrom([]ds3231.Chip{ds3231.DS3231, ds3231.DS1338, ds3231.DS1307}).Draw(t, "chip")
		dev, m, bus := simDev(t, chip)
		begin := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
		end := time.Date(2099, 12, 30, 0, 0, 0, 0, time.UTC)
		set := time.Unix(rapid.Int64Range(begin.Unix(), end.Unix()).Draw(t, "time"), 0).UTC()
		var now time.Time
		if err := dev.Sense(&now); !errors.Is(err, ds3231.ErrReset) {
			t.Fatalf("never set: %v", err)
		}
		if err := dev.Configure(set); err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "12 hours") { // by somebody else
			h := set.Hour()
			b := byte(0x40)
			if h >= 12 {
				b |= 0x20
			}
			if h %= 12; h == 0 {
				h = 12
			}
			if err := bus.Tx(0x68, []byte{2, b | byte(h/10<<4|h%10)}, nil); err != nil {
				t.Fatal(err)
			}
		}
		gone := time.Duration(rapid.IntRange(0, 86400).Draw(t, "seconds")) * time.Second
		m.Advance(gone)
		if err := dev.Sense(&now); err != nil || !now.Equal(set.Add(gone)) {
			t.Fatalf("%s, %v, want %s", now, err, set.Add(gone))
		}
		if err := dev.Check(); err != nil {
			t.Fatal(err)
		}
		m.Stop()
		if err := dev.Check(); errors.Is(err, ds3231.ErrReset) != (chip != ds3231.DS1307) {
			t.Fatalf("after a stop: %v", err)
		}
		m.Reset()
		if err := dev.Sense(&now); !errors.Is(err, ds3231.ErrReset) {
			t.Fatalf("after a loss of supply and battery: %v", err)
		}
	})
}

func TestFails(t *testing.T) {
	dev, _, bus := simDev(t, ds3231.DS3231)
	for name, call := range map[string]func() error{
		"Sense":       func() error { return dev.Sense(new(time.Time)) },
		"Check":       dev.Check,
		"Configure":   func() error { return dev.Configure(time.Unix(1e9, 0)) },
		"Temperature": func() error { return dev.Temperature(new(physic.Temperature)) },
	} {
		bus.NACK(0x68, true)
		if err := call(); !errors.Is(err, sim.ErrNACK) || !strings.HasPrefix(err.Error(), "ds3231@sim/0x68: ") {
			t.Errorf("%s: %v, want %v", name, err, sim.ErrNACK)
		}
	}
}

// FuzzSense: registers are a time within the range of the chip, or an error that
// leaves the caller's value alone.
func FuzzSense(f *testing.F) {
	f.Add(append(noon(), make([]byte, 9)...), uint8(0))
	f.Add(append(noon(), 0xB3), uint8(1))
	f.Add(bytes.Repeat([]byte{0xFF}, 16), uint8(2))
	f.Fuzz(func(t *testing.T, raw []byte, kind uint8) {
		chip := ds3231.Chip(kind % 3)
		n, last := 8, 2099
		if chip == ds3231.DS3231 {
			n, last = 16, 2199
		}
		if len(raw) != n {
			t.Skip()
		}
		dev, _ := newDev(t, chip, read(0, raw...))
		old := time.Unix(42, 0)
		got := old
		err := dev.Sense(&got)
		if err != nil && !got.Equal(old) {
			t.Errorf("% x: %v, yet %s", raw, err, got)
		}
		if err == nil && (got.Year() < 2000 || got.Year() > last || got.Location() != time.UTC) {
			t.Errorf("% x: %s", raw, got)
		}
	})
}

func TestNames(t *testing.T) {
	for chip, want := range map[ds3231.Chip]string{
		ds3231.DS3231: "ds3231@playback/0x68", ds3231.DS1338: "ds1338@playback/0x68", ds3231.DS1307: "ds1307@playback/0x68",
	} {
		dev, _ := newDev(t, chip)
		if got := dev.String(); got != want {
			t.Errorf("String %q, want %q", got, want)
		}
		if err := dev.Halt(); err != nil {
			t.Error(err)
		}
	}
}

// fatal is what testing.TB and rapid.T have in common here.
type fatal interface{ Fatal(args ...any) }

func simDev(t fatal, chip ds3231.Chip) (*ds3231.Dev, *sim.DS3231, *sim.Bus) {
	m := sim.NewDS3231()
	switch chip {
	case ds3231.DS1338:
		m = sim.NewDS1338()
	case ds3231.DS1307:
		m = sim.NewDS1307()
	case ds3231.DS3231:
	}
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	bus.Attach(0x68, m)
	dev, err := ds3231.New(bus, &ds3231.Opts{Chip: chip, Addr: 0x68})
	if err != nil {
		t.Fatal(err)
	}
	return dev, m, bus
}

func TestSenseAllocates(t *testing.T) {
	dev, _, _ := simDev(t, ds3231.DS3231)
	if err := dev.Configure(time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	var now time.Time
	var temp physic.Temperature
	if n := testing.AllocsPerRun(100, func() {
		if err := dev.Sense(&now); err != nil {
			t.Fatal(err)
		}
		if err := dev.Temperature(&temp); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkSense(b *testing.B) {
	dev, _, bus := simDev(b, ds3231.DS3231)
	if err := dev.Configure(time.Unix(1e9, 0)); err != nil {
		b.Fatal(err)
	}
	start := bus.BusTime()
	var now time.Time
	b.ReportAllocs()
	for b.Loop() {
		if err := dev.Sense(&now); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((bus.BusTime()-start).Seconds()*1e3/float64(b.N), "bus-ms/op")
}
