package scan_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/physic"

	chips "github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/scan"
	"github.com/shedguard/shedguard/gateway/sim"
)

// tame watches a bus: nothing but pointers and control bytes may be written, and
// pointers only where no chip takes them for something else.
func tame(t *testing.T, bus *chips.Bus, ade bool, quiet ...uint16) {
	t.Helper()
	bus.Trace(func(addr uint16, w, r []byte, _ error) {
		switch {
		case addr < 0x08 || addr > 0x77 || addr == 0x0C:
			t.Errorf("%#02x was asked", addr)
		case len(w) == 0 && len(r) > 0:
		case slices.Contains(quiet, addr):
			t.Errorf("% x written to %#02x, a relay expander", w, addr)
		case addr >= 0x70 && len(w) == 1 && len(r) == 0:
		case ade && addr == 0x38 && len(w) == 2 && len(r) > 0:
		case addr >= 0x20 && addr <= 0x27, addr >= 0x30 && addr <= 0x3F, addr >= 0x50 && addr <= 0x57, addr >= 0x70,
			len(w) != 1, len(r) == 0:
			t.Errorf("% x written to %#02x, %d bytes read", w, addr, len(r))
		}
	})
}

func shed(t *testing.T) (*sim.Shed, *config.Config) {
	t.Helper()
	s, err := sim.New(sim.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	text, err := sim.Config(sim.Settings{Shed: "s1", Broker: "mqtt://127.0.0.1:1883", Status: "127.0.0.1:0", Dir: t.TempDir(), Profile: "outlet-10a"})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s, cfg
}

func run(t *testing.T, opts scan.Options) *scan.Result {
	t.Helper()
	r, err := scan.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestShed scans the simulated shed with relays closed: what differs is told, and
// no relay moves.
func TestShed(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(s *sim.Shed, cfg *config.Config)
		want   []string // what differs
	}{
		"as configured": {func(*sim.Shed, *config.Config) {}, nil},
		"a cut meter": {
			func(s *sim.Shed, _ *config.Config) { s.CutMeter(3, true) },
			[]string{"sim/0x70.2/0x60 missing acs37800 [outlet 3 meter] no answer"},
		},
		"an unexpected chip": {
			func(s *sim.Shed, _ *config.Config) { s.Bus.Attach(0x40, chips.NewINA226(0.001)) },
			[]string{"sim/0x40 unexpected  [] maker 0x5449, device 0x2260"},
		},
		"another chip": {
			func(_ *sim.Shed, cfg *config.Config) { cfg.Outlets[0].Meter.Chip = "adm1272" },
			[]string{"sim/0x70.0/0x60 other adm1272 [outlet 1 meter] 5 of 5 words of memory in the shadow"},
		},
		"another expander": {
			func(_ *sim.Shed, cfg *config.Config) { cfg.Relays[0].Chip = "pcf8574" },
			[]string{"sim/0x20 other pcf8574 [relays board] 22 registers that run round"},
		},
		"a meter before the mux": {
			func(s *sim.Shed, _ *config.Config) {
				s.Bus.Attach(0x61, chips.NewACS37800(chips.MainsBoard()))
				s.Bus.NACK(0x49, true)
			},
			append([]string{"sim/0x61 unexpected  [] 5 of 5 words of memory in the shadow"}, behind("0x71", "hidden", "0x61 answers before the mux", "no answer")...),
		},
		"a mux is missing": {
			func(s *sim.Shed, _ *config.Config) { s.Bus.NACK(0x71, true) },
			append([]string{"sim/0x71 missing pca9548 [mux right] no answer"}, behind("0x71", "missing", "mux 0x71 does not answer", "mux 0x71 does not answer")...),
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, cfg := shed(t)
			// As a gateway that was killed left it: relays closed, a port joined.
			for _, w := range [][]byte{{0x14, 0x45, 0x03}, {0x00, 0x00, 0x30}} {
				if err := s.Bus.Tx(0x20, w, nil); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Bus.Tx(0x70, []byte{0x08}, nil); err != nil {
				t.Fatal(err)
			}
			test.change(s, cfg)
			var before, after [22]byte
			registers := func(into *[22]byte) {
				for i := range into {
					into[i] = s.Expander.Register(i)
				}
			}
			registers(&before)
			tame(t, s.Bus, false, 0x20)
			r := run(t, scan.Options{Lines: []scan.Line{{Name: sim.BusName, Bus: s.Bus}}, Want: scan.Expect(cfg), Compare: true})
			registers(&after)
			if before != after {
				t.Errorf("the expander's registers were\n% x and are\n% x", before, after)
			}
			if len(r.Faults) > 0 {
				t.Errorf("faults: %v", r.Faults)
			}
			var got []string
			good := 0
			for _, item := range r.Items {
				if !item.Differs() {
					good++
					continue
				}
				got = append(got, strings.Join([]string{item.String(), string(item.Verdict), item.Want, "[" + strings.Join(item.Parts, " ") + "]", item.Evidence}, " "))
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("differences\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			if r.Differences() != len(test.want) || good+len(got) != len(r.Items) {
				t.Errorf("%d differences of %d", r.Differences(), len(r.Items))
			}
			s.Bus.Trace(nil)
			for addr := uint16(0x70); addr <= 0x71; addr++ {
				var mask [1]byte
				if err := s.Bus.Tx(addr, nil, mask[:]); err == nil && mask[0] != 0 {
					t.Errorf("mux %#02x has the ports %#02x joined", addr, mask[0])
				}
			}
		})
	}
}

// behind is what differs when all meters and thermometers of a mux do.
func behind(mux, meters, why, probes string) []string {
	var all []string
	for i, outlet := range []string{"7", "8", "9", "10", "11", "12"} {
		at := "sim/" + mux + "." + string(rune('0'+i))
		all = append(all,
			at+"/0x61 "+meters+" acs37800 [outlet "+outlet+" meter] "+why,
			at+"/0x49 missing tmp102 [outlet "+outlet+" thermometer] "+probes)
	}
	return all
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	now := func() time.Duration { return 0 }
	mcp, err := chips.NewMCP23017(nil)
	if err != nil {
		t.Fatal(err)
	}
	warm := chips.NewAMG8833()
	warm.SetCelsius(&[chips.AMG8833Pixels]float64{}, 25)
	tests := map[string]struct {
		addr  uint16
		chip  chips.Chip
		ade   bool
		chips string
		sure  bool
	}{
		"ina226":            {0x44, chips.NewINA226(0.01), false, "ina226", true},
		"ina228":            {0x45, chips.NewINA228(0.01), false, "ina228", true},
		"ina3221":           {0x41, chips.NewINA3221([3]float64{0.1, 0.1, 0.1}), false, "ina3221", true},
		"ina219":            {0x40, chips.NewINA219(0.1), false, "ina219", false},
		"ina219 high":       {0x4F, chips.NewINA219(0.1), false, "ina219", false},
		"adm1272":           {0x10, chips.NewADM1272(0x10, 0.0003), false, "adm1272", true},
		"adm1272 elsewhere": {0x46, chips.NewADM1272(0x46, 0.0003), false, "adm1272", true},
		"max34451":          {0x1A, chips.NewMAX34451(0x1A, 0x12), false, "max34451", true},
		"acs37800":          {0x6F, chips.NewACS37800(chips.MainsBoard()), false, "acs37800", false},
		"ads1115":           {0x4A, chips.NewADS1115(now), false, "ads1115", false},
		"tmp102":            {0x48, chips.NewTMP102(), false, "tmp102", false},
		"lm75":              {0x4C, chips.NewLM75(), false, "lm75b ds75 tmp75 tmp105 lm75", false},
		"tmp75":             {0x4D, chips.NewTMP75(), false, "lm75b ds75 tmp75 tmp105 lm75", false},
		"ds3231":            {0x68, chips.NewDS3231(), false, "ds3231 ds1338 ds1307", false},
		"amg8833":           {0x69, warm, false, "amg8833", false},
		"at24":              {0x50, chips.NewAT24(256, 8, 1), false, "at24", false},
		"mcp23017":          {0x27, mcp, false, "mcp23017", false},
		"pcf8574":           {0x21, chips.NewPCF8574(), false, "pcf8574 pca9554 max7310", false},
		"pcf8574a":          {0x39, chips.NewPCF8574(), false, "pcf8574 pca9554", false},
		"pca9554":           {0x22, chips.NewPCA9554(), false, "mcp23017 pcf8574 pca9554 max7310", false},
		"ade7953 unasked":   {0x38, chips.NewADE7953(chips.ADE7953Outlets()), false, "ade7953 pcf8574 pca9554", false},
		"ade7953":           {0x38, chips.NewADE7953(chips.ADE7953Outlets()), true, "ade7953", true},
		"nothing known":     {0x2A, chips.NewTMP102(), false, "", false},
		"an empty mux":      {0x77, chips.NewPCA9548(), false, "pca9548", false},
		"no mux":            {0x76, chips.NewTMP102(), false, "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := chips.NewBus("b", 100*physic.KiloHertz)
			wire := bus.Attach(test.addr, test.chip)
			tame(t, bus, test.ade)
			opts := scan.Options{Lines: []scan.Line{{Name: "b", Bus: bus}}, ADE7953: test.ade}
			r := run(t, opts)
			if len(r.Items) != 1 || r.Differences() != 0 || r.Items[0].Verdict != scan.Found {
				t.Fatalf("%+v", r)
			}
			item := r.Items[0]
			if got := strings.Join(item.Chips, " "); got != test.chips || item.Sure != test.sure || item.Evidence == "" {
				t.Errorf("%q, sure %v by %q; want %q, %v", got, item.Sure, item.Evidence, test.chips, test.sure)
			}
			// The same chip with a broken data line is never sure.
			wire.Float(true)
			for _, item := range run(t, opts).Items {
				if item.Sure {
					t.Errorf("0xFF everywhere is taken for %v by %q", item.Chips, item.Evidence)
				}
			}
		})
	}
}

// TestExpandersKeepTheirOutputs: wherever a configuration says that relays are,
// nothing at all is written, and neither where a PCF8574 can be.
func TestExpandersKeepTheirOutputs(t *testing.T) {
	t.Parallel()
	bus := chips.NewBus("b", 400*physic.KiloHertz)
	low, high, max7310, mux := chips.NewPCF8574(), chips.NewPCF8574(), chips.NewMAX7310(), chips.NewPCA9548()
	side := chips.NewPCF8574()
	bus.Attach(0x23, low)
	bus.Attach(0x38, high)
	bus.Attach(0x44, max7310)
	bus.Attach(0x70, mux)
	mux.Attach(2, 0x3A, side)
	for _, w := range []struct {
		addr uint16
		b    []byte
	}{{0x23, []byte{0xA5}}, {0x38, []byte{0x5A}}, {0x44, []byte{3, 0}}, {0x44, []byte{1, 0x99}}, {0x70, []byte{4}}, {0x3A, []byte{0x0F}}} {
		if err := bus.Tx(w.addr, w.b, nil); err != nil {
			t.Fatal(err)
		}
	}
	tame(t, bus, true, 0x23, 0x38, 0x44)
	want := func(addr uint16, chip string) scan.Want {
		return scan.Want{Place: scan.Place{Bus: "b", Address: addr}, Chip: chip, Part: "relays"}
	}
	r := run(t, scan.Options{
		Lines: []scan.Line{{Name: "b", Bus: bus}}, Compare: true, ADE7953: true,
		Want: []scan.Want{want(0x23, "pcf8574"), want(0x38, "pcf8574"), want(0x44, "max7310")},
	})
	if a, b, c, d := low.Outputs(), high.Outputs(), max7310.Outputs(), side.Outputs(); a != 0xA5 || b != 0x5A || c != 0x99 || d != 0x0F {
		t.Errorf("outputs %#02x, %#02x, %#02x, %#02x", a, b, c, d)
	}
	if mux.Mask() != 0 || r.Differences() != 2 { // the mux and what is behind it
		t.Errorf("mask %#02x, %+v", mux.Mask(), r.Items)
	}
}

func TestAPortThatHangsTheBus(t *testing.T) {
	t.Parallel()
	s, cfg := shed(t)
	bus, mux := chips.NewBus("b", 400*physic.KiloHertz), chips.NewPCA9548()
	bus.Attach(0x70, mux)
	mux.Hold(3, true)
	r := run(t, scan.Options{Lines: []scan.Line{{Name: "b", Bus: bus}, {Name: sim.BusName, Bus: s.Bus}}, Want: scan.Expect(cfg), Compare: true})
	if len(r.Faults) != 1 || !errors.Is(r.Faults[0].Err, scan.ErrHung) || !strings.Contains(r.Faults[0].Err.Error(), "mux 0x70: port 3") {
		t.Errorf("faults %v", r.Faults)
	}
	if r.Differences() != 2 { // the fault, and the mux that nobody wants
		t.Errorf("the other bus: %+v", r.Items)
	}
}

func TestADeadBus(t *testing.T) {
	t.Parallel()
	s, cfg := shed(t)
	s.Bus.Hold(true)
	r := run(t, scan.Options{Lines: []scan.Line{{Name: sim.BusName, Bus: s.Bus}}, Want: scan.Expect(cfg), Compare: true})
	if len(r.Faults) != 1 || !errors.Is(r.Faults[0].Err, chips.ErrTimeout) || r.Differences() != 28 {
		t.Errorf("%d differences, faults %v", r.Differences(), r.Faults)
	}
}

// shaky is a bus that loses the first transactions to an address, and can end a
// context in the middle.
type shaky struct {
	*chips.Bus
	addr uint16
	lose int
	stop func()
}

func (s *shaky) Tx(addr uint16, w, r []byte) error {
	if addr == s.addr && s.stop != nil {
		s.stop()
	}
	if addr == s.addr && s.lose > 0 {
		s.lose--
		return chips.ErrNACK
	}
	return s.Bus.Tx(addr, w, r)
}

func TestAWantedChipIsAskedAgain(t *testing.T) {
	t.Parallel()
	for _, addr := range []uint16{0x20, 0x60, 0x70} {
		s, cfg := shed(t)
		bus := &shaky{Bus: s.Bus, addr: addr, lose: 2}
		r := run(t, scan.Options{Lines: []scan.Line{{Name: sim.BusName, Bus: bus}}, Want: scan.Expect(cfg), Compare: true})
		if r.Differences() != 0 {
			t.Errorf("%#02x: %d differences", addr, r.Differences())
		}
	}
}

func TestStopped(t *testing.T) {
	t.Parallel()
	bus, mux := chips.NewBus("b", 400*physic.KiloHertz), chips.NewPCA9548()
	bus.Attach(0x71, mux)
	mux.Attach(5, 0x60, chips.NewTMP102())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stopping := &shaky{Bus: bus, addr: 0x60}
	stopping.stop = func() {
		if mux.Mask() != 0 {
			cancel()
		}
	}
	_, err := scan.Run(ctx, scan.Options{Lines: []scan.Line{{Name: "b", Bus: stopping}}})
	if !errors.Is(err, context.Canceled) || mux.Mask() != 0 {
		t.Errorf("%v, mask %#02x", err, mux.Mask())
	}
}

// TestSharedChips: one chip of several outlets is one item, and is asked for its
// identity where the configuration has it.
func TestSharedChips(t *testing.T) {
	t.Parallel()
	cfg, err := config.Parse([]byte(`shed: s1
uplink: {broker: "mqtts://b:8883"}
buses: [{name: b, path: /dev/i2c-1, khz: 400}]
muxes: [{name: m, chip: pca9548, bus: b, address: 0x70}]
relays: [{name: k, chip: mcp23017, bus: b, active_low: false}]
outlets:
  - {number: 1, profile: outlet-5a, meter: {chip: ade7953, bus: b, channel: a}, thermometer: {chip: tmp102, bus: b}, relay: {name: k, pin: 0}}
  - {number: 2, profile: outlet-5a, meter: {chip: ade7953, bus: b, channel: b}, thermometer: {chip: tmp102, bus: b, address: 0x49}, relay: {name: k, pin: 1}}
  - {number: 3, profile: outlet-5a, meter: {chip: max34451, bus: b, volts_channel: 0, amps_channel: 1}, thermometer: {chip: tmp102, bus: b, address: 0x4A}, relay: {name: k, pin: 2}}
  - {number: 4, profile: direct-5a, meter: {chip: ina3221, mux: m, port: 0, channel: 2, shunt_ohms: 0.01}, thermometer: {chip: tmp102, bus: b, address: 0x4B}, relay: {name: k, pin: 3}}
`))
	if err != nil {
		t.Fatal(err)
	}
	find := func(t *testing.T, bus *chips.Bus) map[uint16]scan.Item {
		t.Helper()
		items := map[uint16]scan.Item{}
		for _, item := range run(t, scan.Options{Lines: []scan.Line{{Name: "b", Bus: bus}}, Want: scan.Expect(cfg), Compare: true}).Items {
			items[item.Address] = item
		}
		return items
	}
	bus, mux := chips.NewBus("b", 400*physic.KiloHertz), chips.NewPCA9548()
	bus.Attach(0x70, mux)
	bus.Attach(0x38, chips.NewADE7953(chips.ADE7953Outlets()))
	bus.Attach(0x74, chips.NewMAX34451(0x74, 0x12))
	mux.Attach(0, 0x40, chips.NewINA3221([3]float64{0.01, 0.01, 0.01}))
	items := find(t, bus)
	for addr, want := range map[uint16]struct{ chip, parts string }{
		0x38: {"ade7953", "outlet 1 meter, outlet 2 meter"},
		0x74: {"max34451", "outlet 3 meter"},
		0x40: {"ina3221", "outlet 4 meter"},
	} {
		item := items[addr]
		if item.Verdict != scan.Good || !item.Sure || strings.Join(item.Chips, " ") != want.chip || strings.Join(item.Parts, ", ") != want.parts {
			t.Errorf("%#02x: %+v", addr, item)
		}
	}

	// What the configuration has at 0x74 is a mux: it is not written a pointer.
	bus = chips.NewBus("b", 400*physic.KiloHertz)
	wrong := chips.NewPCA9548()
	bus.Attach(0x74, wrong)
	wrong.Attach(3, 0x55, chips.NewTMP102())
	bus.Trace(func(addr uint16, w, _ []byte, _ error) {
		if addr == 0x74 && len(w) > 0 && w[0]&(w[0]-1) != 0 {
			t.Errorf("%#02x joins several ports", w[0])
		}
	})
	if item := find(t, bus)[0x74]; item.Verdict != scan.Other || strings.Join(item.Chips, " ") != "pca9548" || wrong.Mask() != 0 {
		t.Errorf("a mux in its place: %+v", item)
	}
}
