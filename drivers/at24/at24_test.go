package at24_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"periph.io/x/conn/v3/i2c/i2ctest"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/drivers/at24"
	"github.com/shedguard/shedguard/drivers/sim"
)

func playback(tb testing.TB, chip at24.Chip, addr uint16, ops ...i2ctest.IO) (*at24.Dev, *i2ctest.Playback) {
	tb.Helper()
	bus := &i2ctest.Playback{Ops: ops, DontPanic: true}
	dev, err := at24.New(bus, &at24.Opts{Chip: chip, Addr: addr})
	if err != nil {
		tb.Fatal(err)
	}
	return dev, bus
}

// The word address and the I²C address of a byte, by chip; reads are cut at 64
// bytes and at blocks.
func TestReadAt(t *testing.T) {
	run := func(n int) []byte { return bytes.Repeat([]byte{0xA5}, n) }
	tests := map[string]struct {
		chip at24.Chip
		off  int64
		n    int
		ops  []i2ctest.IO
	}{
		"AT24C02, first": {at24.AT24C02, 0, 1, []i2ctest.IO{{Addr: 0x50, W: []byte{0}, R: run(1)}}},
		"AT24C02, last":  {at24.AT24C02, 0xFF, 1, []i2ctest.IO{{Addr: 0x50, W: []byte{0xFF}, R: run(1)}}},
		"AT24C02, all": {at24.AT24C02, 0, 256, []i2ctest.IO{
			{Addr: 0x50, W: []byte{0}, R: run(64)},
			{Addr: 0x50, W: []byte{64}, R: run(64)},
			{Addr: 0x50, W: []byte{128}, R: run(64)},
			{Addr: 0x50, W: []byte{192}, R: run(64)},
		}},
		"AT24C16, over a block": {at24.AT24C16, 0x3F0, 32, []i2ctest.IO{
			{Addr: 0x53, W: []byte{0xF0}, R: run(16)}, {Addr: 0x54, W: []byte{0x00}, R: run(16)},
		}},
		"AT24C16, last":  {at24.AT24C16, 0x7FF, 1, []i2ctest.IO{{Addr: 0x57, W: []byte{0xFF}, R: run(1)}}},
		"AT24C32, last":  {at24.AT24C32, 0xFFF, 1, []i2ctest.IO{{Addr: 0x50, W: []byte{0x0F, 0xFF}, R: run(1)}}},
		"AT24C512, last": {at24.AT24C512, 0xFFFF, 1, []i2ctest.IO{{Addr: 0x50, W: []byte{0xFF, 0xFF}, R: run(1)}}},
		"nothing":        {at24.AT24C02, 256, 0, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := playback(t, tt.chip, 0x50, tt.ops...)
			got := make([]byte, tt.n)
			if n, err := dev.ReadAt(got, tt.off); n != tt.n || err != nil || !bytes.Equal(got, run(tt.n)) {
				t.Errorf("%d, %v, % x", n, err, got)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestReadAtFails(t *testing.T) {
	dev, _ := playback(t, at24.AT24C02, 0x50, i2ctest.IO{Addr: 0x50, W: []byte{0xFE}, R: []byte{1, 2}})
	if n, err := dev.ReadAt(make([]byte, 5), 0xFE); n != 2 || !errors.Is(err, io.EOF) {
		t.Errorf("past the end: %d, %v, want 2, EOF", n, err)
	}
	for _, off := range []int64{-1, 257} {
		if _, err := dev.ReadAt(make([]byte, 1), off); err == nil {
			t.Errorf("at %d: want an error", off)
		}
	}
	if _, err := dev.ReadAt(make([]byte, 1), 0x12); err == nil || !strings.HasPrefix(err.Error(), "at24c02@playback/0x50: read at 0x0012: ") {
		t.Errorf("nobody there: %v", err)
	}
	short, _ := playback(t, at24.AT24C02, 0x50, i2ctest.IO{Addr: 0x50, W: []byte{0}, R: []byte{1}})
	if _, err := short.ReadAt(make([]byte, 2), 0); err == nil {
		t.Error("short read: want an error")
	}
}

func TestWritePage(t *testing.T) {
	dev, bus := playback(t, at24.AT24C08, 0x54,
		i2ctest.IO{Addr: 0x54, W: []byte{0x00, 1}},
		i2ctest.IO{Addr: 0x57, W: append([]byte{0xF0}, make([]byte, 16)...)},
	)
	if err := dev.WritePage([]byte{1}, 0); err != nil {
		t.Error(err)
	}
	if err := dev.WritePage(make([]byte, 16), 0x3F0); err != nil {
		t.Error(err)
	}
	if err := dev.WritePage([]byte{1}, 0); !errors.Is(err, at24.ErrBusy) {
		t.Errorf("no answer: %v, want %v", err, at24.ErrBusy)
	}
	for name, w := range map[string]struct{ n, off int }{
		"nothing": {0, 0}, "two pages": {2, 15}, "more than a page": {17, 0}, "below": {1, -1}, "above": {1, 1024},
	} {
		if err := dev.WritePage(make([]byte, w.n), w.off); err == nil || errors.Is(err, at24.ErrBusy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, opts := range map[string]at24.Opts{
		"address below":      {Chip: at24.AT24C02, Addr: 0x4F},
		"address above":      {Chip: at24.AT24C02, Addr: 0x58},
		"not the first of 2": {Chip: at24.AT24C04, Addr: 0x51},
		"not the first of 8": {Chip: at24.AT24C16, Addr: 0x54},
		"chip":               {Chip: 10, Addr: 0x50},
	} {
		if dev, err := at24.New(&i2ctest.Playback{DontPanic: true}, &opts); err == nil {
			t.Errorf("%s: %v, want an error", name, dev)
		}
	}
}

// stored is a record with no channels, byte by byte.
func stored(t *testing.T) []byte {
	t.Helper()
	b := []byte("shdg\x01\x00\x00\x00\x01\x00\x00\x00" +
		"shed-12\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"0042\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x03\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x80\x51\x01\x00\x00\x00\x00\x00")
	if len(b) != 72 {
		t.Fatal(len(b))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// The bytes of a record, and each step of its way into the chip.
func TestStoreBytes(t *testing.T) {
	b := stored(t)
	at := func(off int) []byte { return []byte{byte(off >> 8), byte(off)} }
	blank := bytes.Repeat([]byte{0xFF}, 72)
	dev, bus := playback(t, at24.AT24C32, 0x57,
		i2ctest.IO{Addr: 0x57, W: at(0), R: blank[:64]}, i2ctest.IO{Addr: 0x57, W: at(64), R: blank[64:]},
		i2ctest.IO{Addr: 0x57, W: at(0x800), R: blank[:64]}, i2ctest.IO{Addr: 0x57, W: at(0x840), R: blank[64:]},
		i2ctest.IO{Addr: 0x57, W: append(at(0), b[:32]...)},
		i2ctest.IO{Addr: 0x57, W: append(at(32), b[32:64]...)},
		i2ctest.IO{Addr: 0x57, W: append(at(64), b[64:]...)},
		i2ctest.IO{Addr: 0x57, W: at(0), R: b[:64]}, i2ctest.IO{Addr: 0x57, W: at(64), R: b[64:]},
	)
	w, err := dev.Store(&at24.Record{Model: "shed-12", Serial: "0042", Revision: 3, Calibrated: time.Unix(86400, 0)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if done, err := w.Next(); err != nil || done != (i == 3) {
			t.Errorf("step %d: %t, %v", i, done, err)
		}
	}
	if err := bus.Close(); err != nil {
		t.Error(err)
	}
}

func TestSense(t *testing.T) {
	good := stored(t)
	with := func(at int, b ...byte) []byte {
		w := bytes.Clone(good)
		copy(w[at:], b)
		return w
	}
	sum := func(b []byte) []byte {
		binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-4]))
		return b
	}
	tests := map[string]struct {
		low, high []byte
		serial    string
		err       error
	}{
		"a new chip":                 {err: at24.ErrNoRecord},
		"zeros":                      {low: make([]byte, 100), high: make([]byte, 100), err: at24.ErrNoRecord},
		"one":                        {low: good, serial: "0042"},
		"one in the upper half":      {high: good, serial: "0042"},
		"the upper is newer":         {low: good, high: sum(with(8, 2)), serial: "0042"},
		"the lower is newer":         {low: sum(with(28, '7')), high: sum(with(8, 0)), serial: "7042"},
		"generations wrap":           {low: sum(with(8, 0xFF, 0xFF, 0xFF, 0xFF)), high: sum(with(8, 0, 0, 0, 0, 's', 'h', 'e', 'd', '-', '1', '2', 0, 0, 0, 0, 0, 0, 0, 0, 0, '9')), serial: "9042"},
		"a flipped bit":              {low: with(20, 0x40), err: at24.ErrCorrupt},
		"a flipped bit, other half":  {low: with(20, 0x40), high: good, serial: "0042"},
		"cut off in a write":         {low: good, high: sum(with(8, 2))[:40], serial: "0042"},
		"too many channels":          {low: with(5, 17), err: at24.ErrCorrupt},
		"channels that are not":      {low: with(5, 16), err: at24.ErrCorrupt},
		"another version":            {low: sum(with(4, 2)), err: at24.ErrVersion},
		"another version, newer one": {low: good, high: sum(with(4, 2)), err: at24.ErrVersion},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, chip, _ := simDev(t, at24.AT24C32)
			chip.Load(0, tt.low)
			chip.Load(2048, tt.high)
			r := at24.Record{Serial: "as it was"}
			err := dev.Sense(&r)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			want := tt.serial
			if tt.err != nil {
				want = "as it was"
				if !strings.HasPrefix(err.Error(), "at24c32@sim/0x50: ") {
					t.Errorf("error %q", err)
				}
			}
			if r.Serial != want {
				t.Errorf("serial %q, want %q", r.Serial, want)
			}
		})
	}
}

func TestStoreRefuses(t *testing.T) {
	dev, chip, bus := simDev(t, at24.AT24C32)
	for name, r := range map[string]at24.Record{
		"model too long":    {Model: strings.Repeat("m", 17)},
		"serial too long":   {Serial: strings.Repeat("s", 25)},
		"not ASCII":         {Model: "棚"},
		"not printable":     {Serial: "a\x00b"},
		"too many channels": {Channels: make([]at24.Channel, 17)},
	} {
		if _, err := dev.Store(&r); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
	small, _, _ := simDev(t, at24.AT24C02)
	if _, err := small.Store(&at24.Record{Channels: make([]at24.Channel, 3)}); err == nil {
		t.Error("a record longer than half the chip: want an error")
	}
	tiny, _, _ := simDev(t, at24.AT24C01)
	if _, err := tiny.Store(&at24.Record{}); err == nil {
		t.Error("any record in an AT24C01: want an error")
	}
	if err := tiny.Sense(new(at24.Record)); !errors.Is(err, at24.ErrNoRecord) {
		t.Errorf("AT24C01: %v, want %v", err, at24.ErrNoRecord)
	}
	newer := stored(t)
	newer[4] = 9
	binary.LittleEndian.PutUint32(newer[72:], crc32.ChecksumIEEE(newer[:72]))
	chip.Load(0, newer)
	if _, err := dev.Store(&at24.Record{}); !errors.Is(err, at24.ErrVersion) {
		t.Errorf("over a record of a newer program: %v, want %v", err, at24.ErrVersion)
	}
	bus.NACK(0x50, true)
	if _, err := dev.Store(&at24.Record{}); !errors.Is(err, sim.ErrNACK) {
		t.Errorf("nobody there: %v, want %v", err, sim.ErrNACK)
	}
}

// A bit that does not take is found by the last step, and the old record stays.
func TestStoreReadsBack(t *testing.T) {
	dev, chip, _ := simDev(t, at24.AT24C32)
	store(t, dev, &at24.Record{Serial: "old"})
	w, err := dev.Store(&at24.Record{Serial: "new"})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err = w.Next(); err == nil || errors.Is(err, at24.ErrBusy) {
			chip.Load(2048+30, []byte{0x00}) // a worn cell
			continue
		}
		break
	}
	if !errors.Is(err, at24.ErrCorrupt) {
		t.Errorf("error %v, want %v", err, at24.ErrCorrupt)
	}
	var r at24.Record
	if err := dev.Sense(&r); err != nil || r.Serial != "old" {
		t.Errorf("%q, %v, want the old record", r.Serial, err)
	}
}

// store writes a record to the end.
func store(t fatal, dev *at24.Dev, r *at24.Record) {
	w, err := dev.Store(r)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		done, err := w.Next()
		if done {
			return
		}
		if err != nil && !errors.Is(err, at24.ErrBusy) {
			t.Fatal(err)
		}
	}
	t.Fatal("the write never ends")
}

func drawRecord(t *rapid.T, label string, channels int) at24.Record {
	correction := rapid.Custom(func(t *rapid.T) at24.Correction {
		return at24.Correction{GainPPM: rapid.Int32().Draw(t, "gain"), OffsetMicros: rapid.Int32().Draw(t, "offset")}
	})
	second := rapid.Custom(func(t *rapid.T) time.Time {
		if s := rapid.Int64Range(-1<<40, 1<<40).Draw(t, "second"); s != 0 {
			return time.Unix(s, 0).UTC()
		}
		return time.Time{}
	})
	r := at24.Record{
		Model:      rapid.StringMatching(`[ -~]{0,16}`).Draw(t, label+" model"),
		Serial:     rapid.StringMatching(`[ -~]{0,24}`).Draw(t, label+" serial"),
		Revision:   rapid.Uint32().Draw(t, label+" revision"),
		Made:       second.Draw(t, label+" made"),
		Calibrated: second.Draw(t, label+" calibrated"),
	}
	for range rapid.IntRange(0, channels).Draw(t, label+" channels") {
		r.Channels = append(r.Channels, at24.Channel{
			Volts: correction.Draw(t, "volts"), Amps: correction.Draw(t, "amps"), Watts: correction.Draw(t, "watts"),
		})
	}
	return r
}

// What is stored comes back from any chip, again and again.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := at24.Chip(rapid.IntRange(int(at24.AT24C04), int(at24.AT24C512)).Draw(t, "chip"))
		dev, _, _ := simDev(t, kind)
		channels := min((kind.Size()/2-76)/24, at24.MaxChannels)
		for i := range rapid.IntRange(1, 3).Draw(t, "times") {
			want := drawRecord(t, fmt.Sprint(i), channels)
			store(t, dev, &want)
			var got at24.Record
			if err := dev.Sense(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

// A supply that fails in any write leaves the old record or the new one.
func TestPowerFails(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]at24.Chip{at24.AT24C08, at24.AT24C32, at24.AT24C256}).Draw(t, "chip")
		dev, chip, _ := simDev(t, kind)
		before := at24.Record{Serial: "none"}
		if rapid.Bool().Draw(t, "has one") {
			before = drawRecord(t, "old", 6)
			store(t, dev, &before)
		}
		after := drawRecord(t, "new", 6)
		chip.SetCycle(0)
		chip.TearAt(rapid.IntRange(1, 30).Draw(t, "fails in write"))
		w, err := dev.Store(&after)
		if err != nil {
			t.Fatal(err)
		}
		done := false
		for i := 0; i < 40 && !done && err == nil; i++ {
			done, err = w.Next()
		}
		chip.Reset()
		got := at24.Record{Serial: "none"}
		if err := dev.Sense(&got); err != nil && !errors.Is(err, at24.ErrNoRecord) && !errors.Is(err, at24.ErrCorrupt) {
			t.Fatal(err)
		}
		want := before
		if done {
			want = after
		}
		if diff := cmp.Diff(want, got); diff != "" && !cmp.Equal(after, got) {
			t.Fatal(diff)
		}
		store(t, dev, &after)
		if err := dev.Sense(&got); err != nil || !cmp.Equal(after, got) {
			t.Fatalf("%v, %v, want %v", got, err, after)
		}
	})
}

// FuzzSense: whatever the memory holds, Sense gives a record that could have been
// stored, or an error that leaves the caller's alone.
func FuzzSense(f *testing.F) {
	f.Add([]byte("shdg\x01\x01"))
	f.Add(bytes.Repeat([]byte{0xFF}, 256))
	f.Add(make([]byte, 80))
	f.Fuzz(func(t *testing.T, data []byte) {
		dev, chip, _ := simDev(t, at24.AT24C08)
		data = data[:min(len(data), 512)]
		for _, fix := range []bool{false, true} {
			b := bytes.Clone(data)
			if fix && len(b) >= 76 { // a record as its writer would have left it
				copy(b, "shdg\x01")
				if n := 76 + 24*int(b[5]); n <= len(b) {
					binary.LittleEndian.PutUint32(b[n-4:], crc32.ChecksumIEEE(b[:n-4]))
				}
			}
			chip.Load(0, b)
			r := at24.Record{Serial: "as it was"}
			err := dev.Sense(&r)
			if err != nil && r.Serial != "as it was" {
				t.Errorf("%v, yet %v", err, r)
			}
			if err == nil && len(r.Channels) > at24.MaxChannels {
				t.Errorf("%d channels", len(r.Channels))
			}
		}
	})
}

func TestNames(t *testing.T) {
	dev, _ := playback(t, at24.AT24C512, 0x50)
	if got, want := dev.String(), "at24c512@playback/0x50"; got != want {
		t.Errorf("String %q, want %q", got, want)
	}
	if got := dev.Size(); got != 65536 {
		t.Errorf("size %d", got)
	}
	if err := dev.Halt(); err != nil {
		t.Error(err)
	}
	want := map[at24.Chip]string{
		at24.AT24C01: "at24c01 128 8", at24.AT24C02: "at24c02 256 8", at24.AT24C04: "at24c04 512 16",
		at24.AT24C16: "at24c16 2048 16", at24.AT24C32: "at24c32 4096 32", at24.AT24C64: "at24c64 8192 32",
		at24.AT24C128: "at24c128 16384 64", at24.AT24C512: "at24c512 65536 128",
	}
	for chip, want := range want {
		if got := fmt.Sprint(chip, chip.Size(), chip.Page()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// fatal is what testing.TB and rapid.T have in common here.
type fatal interface{ Fatal(args ...any) }

func simDev(t fatal, kind at24.Chip) (*at24.Dev, *sim.AT24, *sim.Bus) {
	bytes := 2
	if kind <= at24.AT24C16 {
		bytes = 1
	}
	chip := sim.NewAT24(kind.Size(), kind.Page(), bytes)
	bus := sim.NewBus("sim", 400*physic.KiloHertz)
	for n := range max(1, kind.Size()>>8) {
		if bytes == 1 {
			bus.Attach(0x50+uint16(n), chip.Block(n))
		} else if n == 0 {
			bus.Attach(0x50, chip)
		}
	}
	dev, err := at24.New(bus, &at24.Opts{Chip: kind, Addr: 0x50})
	if err != nil {
		t.Fatal(err)
	}
	return dev, chip, bus
}

func TestReadAllocates(t *testing.T) {
	dev, _, _ := simDev(t, at24.AT24C32)
	p := make([]byte, 200)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := dev.ReadAt(p, 1000); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkReadAt(b *testing.B) {
	dev, _, bus := simDev(b, at24.AT24C32)
	start := bus.BusTime()
	p := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := dev.ReadAt(p, 0); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((bus.BusTime()-start).Seconds()*1e3/float64(b.N), "bus-ms/op")
}
