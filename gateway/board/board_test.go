package board_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/sim"
	firmwareconfig "github.com/shedguard/shedguard/firmware-config"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/calibration"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/poll"
)

// hardware is the shipped example's board, chip by chip.
type hardware struct {
	cfg      *config.Config
	bus      *sim.Bus
	muxes    [2]*sim.PCA9548
	expander *sim.MCP23017
	meters   [12]*sim.ACS37800
	probes   [12]*sim.TMP102
	wires    [12]*sim.Wire
	reset    resetLine
}

// resetLine is a GPIO on the reset pins of muxes.
type resetLine struct {
	muxes  []*sim.PCA9548
	levels []gpio.Level
	err    error
}

func (r *resetLine) Out(l gpio.Level) error {
	r.levels = append(r.levels, l)
	if l == gpio.Low && r.err == nil {
		for _, m := range r.muxes {
			m.Reset()
		}
	}
	return r.err
}

func example(t testing.TB, change func(string) string) *config.Config {
	t.Helper()
	b, err := fs.ReadFile(firmwareconfig.Files(), "gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if change != nil {
		if text = change(text); text == string(b) {
			t.Fatal("the change changes nothing")
		}
	}
	cfg, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func build(t testing.TB, change func(string) string) *hardware {
	t.Helper()
	h := &hardware{cfg: example(t, change), bus: sim.NewBus("i2c-1", 400*physic.KiloHertz)}
	expander, err := sim.NewMCP23017(nil)
	if err != nil {
		t.Fatal(err)
	}
	h.expander = expander
	h.bus.Attach(0x20, expander)
	for side := range h.muxes {
		h.muxes[side] = sim.NewPCA9548()
		h.bus.Attach(uint16(0x70+side), h.muxes[side])
	}
	h.reset.muxes = h.muxes[:]
	for i := range h.meters {
		side, port := i/6, i%6
		h.meters[i] = sim.NewACS37800(sim.MainsBoard())
		h.meters[i].Set(220+float64(i), 1+float64(i)/10, 200+float64(i))
		h.wires[i] = h.muxes[side].Attach(port, uint16(0x60+side), h.meters[i])
		h.probes[i] = sim.NewTMP102()
		h.probes[i].SetCelsius(20 + float64(i))
		h.muxes[side].Attach(port, uint16(0x48+side), h.probes[i])
	}
	return h
}

func (h *hardware) buses() map[string]i2c.Bus { return map[string]i2c.Bus{"main": h.bus} }

func (h *hardware) board(t testing.TB) *board.Board {
	t.Helper()
	b, err := board.New(h.cfg, h.buses(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNewLeavesTheBusAlone(t *testing.T) {
	h := build(t, nil)
	h.board(t)
	if n := h.bus.Transactions(); n != 0 {
		t.Errorf("%d transactions before anybody asked, want 0: outputs are written open first", n)
	}
}

func TestEveryOutletReadsItsOwnChips(t *testing.T) {
	h := build(t, nil)
	polls := h.board(t).Polls()
	if len(polls) != 1 || polls[0].Name != "main" || len(polls[0].Points) != 12 {
		t.Fatalf("polls: %+v", polls)
	}
	if _, err := poll.New(polls[0]); err != nil {
		t.Fatalf("poll.New: %v", err)
	}
	for i, p := range polls[0].Points {
		if p.Outlet != i+1 || p.Every != 100*time.Millisecond || p.ThermometerEvery != time.Second {
			t.Errorf("point %d: %+v", i, p)
		}
		var r shedguard.Reading
		if err := p.Meter.Read(&r); err != nil {
			t.Fatalf("outlet %d: %v", p.Outlet, err)
		}
		near := func(what string, got, want, tolerance float64) {
			if math.Abs(got-want) > tolerance {
				t.Errorf("outlet %d: %s %g, want %g", p.Outlet, what, got, want)
			}
		}
		near("volts", r.Volts, 220+float64(i), 0.01)
		near("amps", r.Amps, 1+float64(i)/10, 0.001)
		near("watts", r.Watts, 200+float64(i), 0.5)
		near("power factor", r.PowerFactor, r.Watts/r.Volts/r.Amps, 0.005)
		if r.Raw == [3]uint32{} {
			t.Errorf("outlet %d: no raw words", p.Outlet)
		}
		celsius, err := p.Thermometer.Read()
		if err != nil {
			t.Fatalf("outlet %d: %v", p.Outlet, err)
		}
		near("celsius", celsius, 20+float64(i), 0.07)
	}
}

func TestReadDoesNotAllocate(t *testing.T) {
	h := build(t, nil)
	p := h.board(t).Polls()[0].Points[3]
	var r shedguard.Reading
	if n := testing.AllocsPerRun(100, func() {
		if err := p.Meter.Read(&r); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%g allocations a reading, want 0", n)
	}
}

func TestCalibrationIsApplied(t *testing.T) {
	h := build(t, func(s string) string {
		return strings.Replace(s, "mux: left, port: 0, address: 0x60}", "mux: left, port: 0, address: 0x60, amps: {gain: 1.1, offset: 0.5}}", 1)
	})
	var r shedguard.Reading
	if err := h.board(t).Polls()[0].Points[0].Meter.Read(&r); err != nil {
		t.Fatal(err)
	}
	if math.Abs(r.Amps-1.6) > 0.001 {
		t.Errorf("%g A, want 1.1 x 1 A + 0.5 A", r.Amps)
	}
}

// TestCalibrateReplacesTheCorrections and leaves the configuration alone.
func TestCalibrateReplacesTheCorrections(t *testing.T) {
	h := build(t, func(s string) string {
		return strings.Replace(s, "mux: left, port: 0, address: 0x60}", "mux: left, port: 0, address: 0x60, amps: {gain: 1.1, offset: 0.5}}", 1)
	})
	hash := h.cfg.Hash()
	b := h.board(t)
	var records []calibration.Record
	for i := range 3 {
		r := calibration.New(&h.cfg.Outlets[i])
		if err := r.Add(calibration.Point{Samples: 100, Mean: calibration.Values{Volts: 200, Amps: 4}, True: &calibration.Values{Volts: 220, Amps: 5}}, &h.cfg.Outlets[i]); err != nil {
			t.Fatal(err)
		}
		records = append(records, *r)
	}
	records[1].Amps.Gain = 3       // out of range
	records[2].Wiring = "ffffffff" // of another divider
	gone := records[0]
	gone.Outlet = 200
	applied, errs := b.Calibrate(append(records, gone))
	if applied != 1 || len(errs) != 3 {
		t.Errorf("%d applied, %v", applied, errs)
	}
	for i, want := range []string{"outlet 2: amps.gain: 3: want 0.5 to 2", "outlet 3: calibrated with another meter", "outlet 200: calibrated, but not configured"} {
		if i < len(errs) && !strings.Contains(errs[i].Error(), want) {
			t.Errorf("%v, want %q", errs[i], want)
		}
	}
	points := b.Polls()[0].Points
	for i, want := range []struct{ volts, amps float64 }{{1.1 * 220, 1.25 * 1}, {221, 1.1}, {222, 1.2}} {
		var r shedguard.Reading
		if err := points[i].Meter.Read(&r); err != nil {
			t.Fatal(err)
		}
		if math.Abs(r.Volts-want.volts) > 0.02 || math.Abs(r.Amps-want.amps) > 0.001 {
			t.Errorf("outlet %d: %g V, %g A, want %g V, %g A", i+1, r.Volts, r.Amps, want.volts, want.amps)
		}
	}
	if h.cfg.Hash() != hash {
		t.Error("the configuration was changed")
	}
}

func TestAMissingChipStopsNobodyElse(t *testing.T) {
	h := build(t, nil)
	h.wires[0].Cut(true)
	h.bus.NACK(0x49, true) // all thermometers behind the right mux
	points := h.board(t).Polls()[0].Points
	r := shedguard.Reading{Volts: 1, Raw: [3]uint32{1, 2, 3}}
	before := r
	err := points[0].Meter.Read(&r)
	if !errors.Is(err, sim.ErrNACK) {
		t.Fatalf("Read of a missing meter: %v", err)
	}
	for _, want := range []string{"outlet 1", "acs37800", "i2c-1", "0x70", ".0", "0x60"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not name %s", err, want)
		}
	}
	if r != before {
		t.Errorf("a failed read changed the reading to %+v", r)
	}
	if err := points[1].Meter.Read(&r); err != nil {
		t.Errorf("outlet 2: %v", err)
	}
	for i := range 2 {
		if _, err := points[6].Thermometer.Read(); err == nil || !strings.Contains(err.Error(), "outlet 7: thermometer: set up") {
			t.Errorf("read %d of a missing thermometer: %v", i, err)
		}
	}
	if err := points[6].Meter.Read(&r); err != nil {
		t.Errorf("outlet 7: %v", err)
	}
	// Both come back.
	h.wires[0].Cut(false)
	h.bus.NACK(0x49, false)
	if err := points[0].Meter.Read(&r); err != nil {
		t.Errorf("outlet 1 again: %v", err)
	}
	if c, err := points[6].Thermometer.Read(); err != nil || math.Abs(c-26) > 0.07 {
		t.Errorf("thermometer of outlet 7 again: %g, %v", c, err)
	}
}

// TestAThermometerGetsItsLimits: boards may wire the alert pin to the coils.
func TestAThermometerGetsItsLimits(t *testing.T) {
	h := build(t, nil)
	th := h.board(t).Polls()[0].Points[2].Thermometer
	alert := func(celsius float64) bool {
		t.Helper()
		h.probes[2].SetCelsius(celsius)
		if _, err := th.Read(); err != nil {
			t.Fatal(err)
		}
		return h.probes[2].Alert()
	}
	if alert(64) || !alert(66) || !alert(55) || alert(49) {
		t.Error("the alert pin does not follow limit_celsius 65 and reset_celsius 50")
	}
	// A chip that lost its supply gets them again after the failure was seen.
	h.bus.NACK(0x48, true)
	if _, err := th.Read(); err == nil {
		t.Fatal("no error")
	}
	h.bus.NACK(0x48, false)
	h.probes[2].Reset()
	if !alert(66) {
		t.Error("the limits were not written again")
	}
}

func TestRecoverForgetsThePorts(t *testing.T) {
	h := build(t, nil)
	asked := ""
	b, err := board.New(h.cfg, h.buses(), &board.Recovery{
		Reopen: func(bus string) error { asked = bus; return errors.New("stuck") },
		Resets: map[string]board.Line{"GPIO27": &h.reset},
	})
	if err != nil {
		t.Fatal(err)
	}
	line := b.Polls()[0]
	var r shedguard.Reading
	if err := line.Points[0].Meter.Read(&r); err != nil {
		t.Fatal(err)
	}
	h.muxes[0].Reset() // by its pin: the driver cannot know
	if err := line.Ladder[0].Do(); err == nil || err.Error() != "stuck" || asked != "main" {
		t.Errorf("open the bus again: %v, asked for %q", err, asked)
	}
	if err := line.Points[0].Meter.Read(&r); err != nil {
		t.Errorf("first read after Recover: %v", err)
	}
}

func TestTheLadder(t *testing.T) {
	h := build(t, nil)
	b, err := board.New(h.cfg, h.buses(), &board.Recovery{
		Reopen: func(string) error { return nil },
		Resets: map[string]board.Line{"GPIO27": &h.reset},
	})
	if err != nil {
		t.Fatal(err)
	}
	line := b.Polls()[0]
	var names []string
	for _, r := range line.Ladder {
		names = append(names, r.Name)
	}
	if want := []string{"open the bus again", "reset the muxes", "deselect the muxes"}; !slices.Equal(names, want) {
		t.Fatalf("rungs %q, want %q", names, want)
	}
	// A chip behind port 2 of the left mux holds the bus once it is joined.
	var r shedguard.Reading
	read := func(outlet int) error { return line.Points[outlet-1].Meter.Read(&r) }
	h.muxes[0].Hold(2, true)
	if err := read(3); !errors.Is(err, sim.ErrTimeout) {
		t.Fatalf("outlet 3: %v, want a time-out", err)
	}
	if err := line.Ladder[2].Do(); !errors.Is(err, sim.ErrTimeout) {
		t.Errorf("deselect on a bus that is held: %v", err)
	}
	if err := read(1); err == nil {
		t.Fatal("outlet 1 is read on a bus that is held")
	}
	if err := line.Ladder[1].Do(); err != nil {
		t.Fatal(err)
	}
	if want := []gpio.Level{gpio.Low, gpio.High}; !slices.Equal(h.reset.levels, want) {
		t.Errorf("the reset line that two muxes share went %v, want %v", h.reset.levels, want)
	}
	if err := errors.Join(read(1), read(12), line.Ladder[2].Do()); err != nil {
		t.Errorf("after the reset: %v", err)
	}
	if h.muxes[0].Mask() != 0 || h.muxes[1].Mask() != 0 {
		t.Errorf("ports %#02x and %#02x joined after deselect", h.muxes[0].Mask(), h.muxes[1].Mask())
	}
	if err := read(12); err != nil {
		t.Errorf("after deselect: %v", err)
	}
	h.reset.err = errors.New("line is taken")
	if err := line.Ladder[1].Do(); err == nil || !strings.Contains(err.Error(), "reset line GPIO27: line is taken") {
		t.Errorf("a reset line that fails: %v", err)
	}
	h.reset.err, h.reset.levels = nil, nil
	if err := board.ResetMuxes(h.cfg, map[string]board.Line{"GPIO27": &h.reset}); err != nil || len(h.reset.levels) != 2 {
		t.Errorf("ResetMuxes: %v, levels %v", err, h.reset.levels)
	}
	if _, err := board.New(h.cfg, h.buses(), &board.Recovery{}); err == nil || !strings.Contains(err.Error(), "mux left: reset line GPIO27 is not open") {
		t.Errorf("New without the line: %v", err)
	}
}

func TestRelays(t *testing.T) {
	for name, low := range map[string]bool{"active high": false, "active low": true} {
		t.Run(name, func(t *testing.T) {
			h := build(t, func(s string) string {
				if !low {
					return s + "\n"
				}
				// All but outlet 2, whose relay is wired the other way round.
				s = strings.Replace(s, "active_low: false", "active_low: true", 1)
				return strings.Replace(s, "relay: {name: board, pin: 1}", "relay: {name: board, pin: 1, active_low: false}", 1)
			})
			open := uint16(0)
			if low {
				open = 0xCFFD
			}
			relays, err := actuate.New(h.board(t).Relays())
			if err != nil {
				t.Fatal(err)
			}
			if got := h.expander.Outputs() & 0xCFFF; got != open {
				t.Errorf("pins %#04x after New, want %#04x", got, open)
			}
			for n := 1; n <= 12; n++ {
				if err := relays.Close(n); err != nil {
					t.Fatal(err)
				}
				if got, want := h.expander.Outputs()&0xCFFF, open^(1<<(n-1)); got != want {
					t.Errorf("outlet %d closed: pins %#04x, want %#04x", n, got, want)
				}
				if err := relays.Open(n); err != nil {
					t.Fatal(err)
				}
			}
			if dir := uint16(h.expander.Register(0)) | uint16(h.expander.Register(1))<<8; dir != 0x3000 {
				t.Errorf("IODIR %#04x: want the pins that nothing uses as inputs alone", dir)
			}
		})
	}
}

func TestAnExpanderThatIsMissingAtStart(t *testing.T) {
	h := build(t, nil)
	h.bus.NACK(0x20, true)
	opts := h.board(t).Relays()
	e := opts.Expanders[0]
	for what, err := range map[string]error{
		"configure": e.Configure(0), "check": e.Check(), "set": e.Set(0),
	} {
		if err == nil || !strings.Contains(err.Error(), "relays board: "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := e.Latch(); !errors.Is(err, board.ErrNotConfigured) {
		t.Errorf("Latch: %v", err)
	}
	if s := fmt.Sprint(e); s != "relays board (mcp23017@i2c-1/0x20)" {
		t.Errorf("it is called %q", s)
	}
	h.bus.NACK(0x20, false)
	if err := e.Configure(5); err != nil {
		t.Fatal(err)
	}
	if latch, err := e.Latch(); err != nil || latch != 5 || h.expander.Outputs() != 5 {
		t.Errorf("latch %#x, %v, pins %#x", latch, err, h.expander.Outputs())
	}
	h.expander.Reset()
	if err := e.Check(); err == nil {
		t.Error("a reset is not seen")
	}
	if err := errors.Join(e.Configure(0), e.Check(), e.Set(3)); err != nil {
		t.Error(err)
	}
}

const twoBuses = `shed: s1
uplink: {broker: "mqtts://b:8883"}
buses: [{name: a, path: /dev/i2c-1, khz: 400}, {name: b, path: /dev/i2c-2, khz: 400}]
relays:
  - {name: k, chip: mcp23017, bus: a, active_low: false}
  - {name: l, chip: mcp23017, bus: b, active_low: true}
  - {name: m, chip: mcp23017, bus: b, address: 0x21, active_low: true}
outlets:
  - {number: 1, profile: outlet-5a, meter: {chip: acs37800, bus: a}, thermometer: {chip: tmp102, bus: a}, relay: {name: k, pin: 0}}
  - {number: 2, profile: outlet-5a, meter: {chip: acs37800, bus: b}, thermometer: {chip: tmp102, bus: b}, relay: {name: l, pin: 9}}
siren: {name: m, pin: 3}
`

func TestOpenRelays(t *testing.T) {
	cfg, err := config.Parse([]byte(twoBuses))
	if err != nil {
		t.Fatal(err)
	}
	// As a killed gateway left them: all outputs, all closed.
	chips := map[string]*sim.MCP23017{}
	busA, busB := sim.NewBus("i2c-1", 400*physic.KiloHertz), sim.NewBus("i2c-2", 400*physic.KiloHertz)
	closed := func(name string, bus *sim.Bus, addr uint16, latch byte) {
		chip, err := sim.NewMCP23017(nil)
		if err != nil {
			t.Fatal(err)
		}
		bus.Attach(addr, chip)
		for _, w := range [][]byte{{0x14, latch, latch}, {0x00, 0, 0}} {
			if err := bus.Tx(addr, w, nil); err != nil {
				t.Fatal(err)
			}
		}
		chips[name] = chip
	}
	closed("k", busA, 0x20, 0xFF)
	closed("l", busB, 0x20, 0x00)
	closed("m", busB, 0x21, 0x00)
	buses := map[string]i2c.Bus{"a": busA, "b": busB}

	written := 0
	busA.Trace(func(_ uint16, w, r []byte, _ error) { written += len(w) + len(r) })
	if err := board.OpenRelays(cfg, buses); err != nil {
		t.Fatal(err)
	}
	if k, l, m := chips["k"].Outputs(), chips["l"].Outputs(), chips["m"].Outputs(); k&1 != 0 || l&(1<<9) == 0 || m&(1<<3) == 0 {
		t.Errorf("pins %#04x, %#04x, %#04x: want all open", k, l, m)
	}
	if written > 8 {
		t.Errorf("%d bytes for one expander, want at most 8", written)
	}

	// Whatever fails, the others are opened and everything is told.
	closed("k2", sim.NewBus("x", physic.KiloHertz), 0x20, 0) // another chip, not wired
	if err := busB.Tx(0x21, []byte{0x14, 0, 0}, nil); err != nil {
		t.Fatal(err)
	}
	busB.NACK(0x20, true)
	err = board.OpenRelays(cfg, map[string]i2c.Bus{"b": busB})
	if err == nil || !strings.Contains(err.Error(), "open relays k: bus a is not open") || !strings.Contains(err.Error(), "open relays l: ") || !errors.Is(err, sim.ErrNACK) {
		t.Errorf("OpenRelays: %v", err)
	}
	if strings.Contains(err.Error(), "open relays m") || chips["m"].Outputs()&(1<<3) == 0 {
		t.Errorf("the last expander was not opened: %v", err)
	}
}

func TestTwoBusesAreTwoLines(t *testing.T) {
	cfg, err := config.Parse([]byte(twoBuses))
	if err != nil {
		t.Fatal(err)
	}
	a, b := sim.NewBus("i2c-1", physic.KiloHertz), sim.NewBus("i2c-2", physic.KiloHertz)
	w, err := board.New(cfg, map[string]i2c.Bus{"a": a, "b": b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := w.Polls(); len(p) != 2 || p[0].Name != "a" || p[1].Points[0].Outlet != 2 {
		t.Errorf("polls: %+v", p)
	}
	r := w.Relays()
	if r.Siren == nil || *r.Siren != (actuate.Pin{Expander: 2, Pin: 3, ActiveLow: true}) || r.Lamp != nil {
		t.Errorf("siren %+v, lamp %+v", r.Siren, r.Lamp)
	}
	// Every fault at once.
	_, err = board.New(cfg, map[string]i2c.Bus{"a": a}, nil)
	if err == nil || !strings.Contains(err.Error(), "outlet 2: meter: bus b is not open") || !strings.Contains(err.Error(), "relays l: bus b") || !strings.Contains(err.Error(), "relays m: bus b") {
		t.Errorf("New without a bus: %v", err)
	}
}

func BenchmarkRead(b *testing.B) {
	h := build(b, nil)
	points := h.board(b).Polls()[0].Points
	var r shedguard.Reading
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if err := points[i%len(points)].Meter.Read(&r); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTheFeedersMeter: a meter of the whole feeder is polled beside the outlets.
func TestTheFeedersMeter(t *testing.T) {
	text, err := fs.ReadFile(firmwareconfig.Files(), "gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse([]byte(strings.Replace(string(text), "feeder: {profile: feeder-40a}",
		"feeder: {profile: feeder-40a, meter: {chip: acs37800, bus: main, address: 0x62, range_amps: 90}}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := board.New(cfg, map[string]i2c.Bus{"main": sim.NewBus("main", 400*physic.KiloHertz)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	points := b.Polls()[0].Points
	if i := slices.IndexFunc(points, func(p poll.Point) bool { return p.Outlet == poll.Feeder }); len(points) != 13 || i < 0 {
		t.Errorf("%d points, the feeder's at %d", len(points), i)
	}
}
