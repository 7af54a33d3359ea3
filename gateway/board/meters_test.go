package board_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/poll"
)

// rig is a chip that measures outlets 1 and up, as the configuration names them.
type rig struct {
	chip    string
	outlets []string // what each says of its meter beyond chip, bus and address
	address int
	model   sim.Chip
	set     func(outlet int, volts, amps float64)
	pin     func(outlet int) bool // is pulled; nil where no pin is modelled
	hertz   float64
	near    float64 // of volts and amps, as a share
	noAlert bool
}

const shuntOf2 = "shunt_ohms: 0.002"

// rigs are one of each chip that measures. Channels are set apart.
func rigs() map[string]func() *rig {
	adm := func(chip string, model *sim.ADM1272, shunt string) *rig {
		return &rig{
			chip: chip, outlets: []string{shunt}, address: 0x10, model: model, near: 0.02,
			set: func(_ int, volts, amps float64) { model.Set(volts, amps) },
		}
	}
	return map[string]func() *rig{
		"acs37800": func() *rig {
			m := sim.NewACS37800(sim.MainsBoard())
			return &rig{
				chip: "acs37800", outlets: []string{""}, address: 0x60, model: m, near: 0.01, noAlert: true,
				set: func(_ int, volts, amps float64) { m.Set(volts, amps, volts*amps) },
			}
		},
		"ade7953": func() *rig {
			m := sim.NewADE7953(sim.ADE7953Outlets())
			volts, loads := 0.0, [2]sim.ADE7953Load{}
			return &rig{
				chip: "ade7953", outlets: []string{"channel: a", "channel: b"}, address: 0x38, model: m, hertz: 50, near: 0.001,
				set: func(outlet int, v, a float64) {
					volts, loads[outlet] = v, sim.ADE7953Load{Amps: a, Watts: v * a}
					m.Set(volts, 50, loads[0], loads[1])
				},
				pin: func(outlet int) bool { a, b := m.IRQ(); return [2]bool{a, b}[outlet] },
			}
		},
		"adm1272": func() *rig { return adm("adm1272", sim.NewADM1272(0x10, 0.0015), "shunt_ohms: 0.0015") },
		"adm1275": func() *rig { return adm("adm1275", sim.NewADM1275(0x10, 0.001), "shunt_ohms: 0.001") },
		"adm1276": func() *rig { return adm("adm1276", sim.NewADM1276(0x10, 0.001), "shunt_ohms: 0.001") },
		"adm1278": func() *rig { return adm("adm1278", sim.NewADM1278(0x10, 0.001), "shunt_ohms: 0.001") },
		"ina219": func() *rig {
			m := sim.NewINA219(0.01)
			return &rig{
				chip: "ina219", outlets: []string{"shunt_ohms: 0.01"}, address: 0x40, model: m, near: 0.01, noAlert: true,
				set: func(_ int, volts, amps float64) { m.Set(volts, amps) },
			}
		},
		"ina226": func() *rig {
			m := sim.NewINA226(0.002)
			return &rig{
				chip: "ina226", outlets: []string{shuntOf2}, address: 0x41, model: m, near: 0.01,
				set: func(_ int, volts, amps float64) { m.Set(volts, amps) },
				pin: func(int) bool { return !m.Pin() },
			}
		},
		"ina228": func() *rig {
			m := sim.NewINA228(0.002)
			return &rig{
				chip: "ina228", outlets: []string{shuntOf2}, address: 0x42, model: m, near: 0.001,
				set: func(_ int, volts, amps float64) { m.Set(volts, amps) },
				pin: func(int) bool { return !m.Pin() },
			}
		},
		"ina3221": func() *rig {
			m := sim.NewINA3221([3]float64{0.005, 0.005, 0.005})
			return &rig{
				chip: "ina3221", address: 0x43, model: m, near: 0.02,
				outlets: []string{"shunt_ohms: 0.005, channel: 3", "shunt_ohms: 0.005, channel: 1", "shunt_ohms: 0.005, channel: 2"},
				set:     func(outlet int, volts, amps float64) { m.Set([]int{2, 0, 1}[outlet], volts, amps) },
				pin:     func(int) bool { critical, _ := m.Pins(); return !critical },
			}
		},
		"max34451": func() *rig {
			m := sim.NewMAX34451(0x34, 0x12)
			return &rig{
				chip: "max34451", address: 0x34, model: m, near: 0.01,
				outlets: []string{"volts_channel: 0, amps_channel: 1", "volts_channel: 14, amps_channel: 15"},
				set: func(outlet int, volts, amps float64) {
					m.Set(14*outlet, volts, 0)
					m.Set(14*outlet+1, 0, amps)
				},
			}
		},
	}
}

// text is a configuration of the rig; more is said of every meter.
func (r *rig) text(khz, hz int, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `shed: s1
uplink: {broker: "mqtts://b:8883"}
buses: [{name: main, path: /dev/i2c-1, khz: %d}]
relays: [{name: k, chip: mcp23017, bus: main, active_low: false}]
poll: {hz: %d}
outlets:
`, khz, hz)
	for i, wiring := range r.outlets {
		if wiring != "" {
			wiring = ", " + wiring
		}
		fmt.Fprintf(&b, "  - {number: %d, profile: direct-5a, limits: {over_temperature: {enabled: false}}, meter: {chip: %s, bus: main, address: %#x%s%s}, relay: {name: k, pin: %d}}\n",
			i+1, r.chip, r.address, wiring, more, i)
	}
	return b.String()
}

// start puts the chip on a bus and returns what polls it.
func (r *rig) start(t *testing.T, more string) (*sim.Bus, *sim.Wire, []poll.Point) {
	t.Helper()
	cfg, err := config.Parse([]byte(r.text(400, 10, more)))
	if err != nil {
		t.Fatal(err)
	}
	bus := sim.NewBus("i2c-1", 400*physic.KiloHertz)
	wire := bus.Attach(uint16(r.address), r.model)
	b, err := board.New(cfg, map[string]i2c.Bus{"main": bus}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return bus, wire, b.Polls()[0].Points
}

// first reads every outlet once its chip is set up and has settled.
func first(t *testing.T, points []poll.Point) []shedguard.Reading {
	t.Helper()
	readings := make([]shedguard.Reading, len(points))
	for i, p := range points {
		var err error
		if readings[i], err = settled(p.Meter.Read); err != nil {
			t.Fatal(err)
		}
	}
	return readings
}

func each(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	for name, build := range rigs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { f(t, build()) })
		})
	}
}

func TestEveryMeterIsRead(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		bus, wire, points := r.start(t, "")
		want := func(outlet int) (volts, amps float64) { return 12 + float64(outlet)/10, 2 + float64(outlet) }
		shared := 12.0 // one voltage for all outlets of an ADE7953
		for i := range points {
			volts, amps := want(i)
			if r.chip == "ade7953" {
				volts = shared
			}
			r.set(i, volts, amps)
		}
		if n := bus.Transactions(); n != 0 {
			t.Errorf("%d transactions before anybody read", n)
		}
		for i, got := range first(t, points) {
			volts, amps := want(i)
			if r.chip == "ade7953" {
				volts = shared
			}
			if math.Abs(got.Volts/volts-1) > r.near || math.Abs(got.Amps/amps-1) > r.near || math.Abs(got.Watts/(volts*amps)-1) > 2*r.near {
				t.Errorf("outlet %d reads %.3f V, %.3f A, %.3f W, want %g V, %g A", i+1, got.Volts, got.Amps, got.Watts, volts, amps)
			}
			if math.Abs(got.PowerFactor-1) > 0.01 || math.Abs(got.Hertz-r.hertz) > 0.05 || got.Raw == [3]uint32{} {
				t.Errorf("outlet %d reads power factor %g, %g Hz, raw %v", i+1, got.PowerFactor, got.Hertz, got.Raw)
			}
		}
		round := func() {
			time.Sleep(100 * time.Millisecond)
			var into shedguard.Reading
			for _, p := range points {
				if err := p.Meter.Read(&into); err != nil {
					t.Fatal(err)
				}
			}
		}
		round()
		// A chip that does not answer leaves the reading as it was, by every error.
		time.Sleep(100 * time.Millisecond)
		wire.Cut(true)
		for i, p := range points {
			kept := shedguard.Reading{Amps: 7}
			if err := p.Meter.Read(&kept); !errors.Is(err, sim.ErrNACK) || kept != (shedguard.Reading{Amps: 7}) || !strings.Contains(err.Error(), fmt.Sprintf("outlet %d: meter: ", i+1)) {
				t.Errorf("cut off: %+v, %v", kept, err)
			}
		}
		wire.Cut(false)
		round()
	})
}

func TestMetersDoNotAllocate(t *testing.T) { //nolint:paralleltest // counts allocations
	for name, build := range rigs() {
		synctest.Test(t, func(t *testing.T) {
			r := build()
			more := ", alert: true"
			if r.noAlert {
				more = ""
			}
			_, _, points := r.start(t, more)
			first(t, points)
			var into shedguard.Reading
			if n := testing.AllocsPerRun(20, func() {
				time.Sleep(100 * time.Millisecond)
				for _, p := range points {
					if err := p.Meter.Read(&into); err != nil {
						t.Fatal(err)
					}
				}
			}); n > 0 {
				t.Errorf("%s: %g allocations a round, want 0", name, n)
			}
		})
	}
}

// TestEveryMeterSurvivesAReset: a chip that lost its supply is told from one that
// measures nothing, is set up again, and its limit with it.
func TestEveryMeterSurvivesAReset(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		more := ", alert: true"
		if r.noAlert {
			more = ""
		}
		_, _, points := r.start(t, more)
		for i := range points {
			r.set(i, 12, 2)
		}
		first(t, points)
		r.model.Reset()
		for i := range points {
			r.set(i, 12, 3)
		}
		time.Sleep(100 * time.Millisecond)
		if r.chip != "acs37800" { // its configuration is in its own memory
			kept := shedguard.Reading{Amps: 7}
			if err := points[0].Meter.Read(&kept); err == nil || kept.Amps != 7 {
				t.Errorf("after a reset: %+v, %v, want an error and the reading as it was", kept, err)
			}
		}
		for i, got := range first(t, points) {
			if math.Abs(got.Amps/3-1) > r.near {
				t.Errorf("outlet %d: set up again: %+v", i+1, got)
			}
		}
		if !r.noAlert {
			r.trips(t, points)
		}
	})
}

// TestAlertPins: the pin moves by itself above the current at which a short
// circuit begins, and holds until the next reading, which shows it.
func TestAlertPins(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		if r.noAlert {
			if _, err := config.Parse([]byte(r.text(400, 10, ", alert: true"))); err == nil || !strings.Contains(err.Error(), "meter.alert: true: want false") {
				t.Errorf("alert: true: %v", err)
			}
			return
		}
		_, _, points := r.start(t, ", alert: true")
		for i := range points {
			r.set(i, 12, 2)
		}
		first(t, points)
		r.trips(t, points)
	})
	t.Run("calibrated", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := rigs()["ina226"]()
			// The chip shows 8 A where 15 A flow.
			_, _, points := r.start(t, ", alert: true, amps: {gain: 2, offset: -1}")
			first(t, points)
			for _, tt := range []struct {
				shown float64
				want  bool
			}{{7.9, false}, {8.1, true}} {
				if r.set(0, 12, tt.shown); r.pin(0) != tt.want {
					t.Errorf("the chip shows %g A: pin pulled %t, want %t", tt.shown, r.pin(0), tt.want)
				}
			}
		})
	})
	t.Run("off", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			for _, chip := range []string{"ina226", "ina228", "ina3221", "ade7953"} {
				r := rigs()[chip]()
				_, _, points := r.start(t, "")
				first(t, points)
				if r.set(0, 12, 18); r.pin(0) {
					t.Errorf("%s: the pin is pulled without alert", chip)
				}
			}
		})
	})
}

// trips draws from each outlet in turn what is just below and just above 15 A,
// three times the rating of 5 A.
func (r *rig) trips(t *testing.T, points []poll.Point) {
	t.Helper()
	const begins = 15.0
	round := func() []float64 {
		t.Helper()
		time.Sleep(100 * time.Millisecond)
		amps := make([]float64, len(points))
		for i, p := range points {
			var got shedguard.Reading
			if err := p.Meter.Read(&got); err != nil {
				t.Fatal(err)
			}
			amps[i] = got.Amps
		}
		return amps
	}
	for i := range points {
		for _, amps := range []float64{0.97 * begins, 1.03 * begins} {
			for j := range points {
				r.set(j, 12, 2)
			}
			round()
			r.set(i, 12, amps)
			r.set(i, 12, 0) // the pin cut it
			over := amps > begins
			if r.pin != nil && r.pin(i) != over {
				t.Errorf("outlet %d: pin pulled after %.2f A: %t", i+1, amps, !over)
			}
			for j, got := range round() {
				if (got >= begins) != (over && j == i) {
					t.Errorf("outlet %d: after %.2f A of outlet %d it reads %.2f A", j+1, amps, i+1, got)
				}
			}
			if r.pin != nil && r.pin(i) {
				t.Errorf("outlet %d: the pin is still pulled after the reading", i+1)
			}
			if got := round(); got[i] >= begins {
				t.Errorf("outlet %d: a second reading still shows %.2f A", i+1, got[i])
			}
		}
	}
}

// TestThePlanIsWhatTheBusCarries: config allows as many readings a second as fit
// into nine tenths of the bus, by what the simulated bus counts.
func TestThePlanIsWhatTheBusCarries(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, r *rig) {
		for _, more := range []string{"", ", alert: true"} {
			if more != "" && r.noAlert {
				continue
			}
			r := rigs()[r.chip]()
			bus, _, points := r.start(t, more)
			first(t, points)
			time.Sleep(100 * time.Millisecond)
			before := bus.BusTime()
			for _, p := range points {
				if _, err := settled(p.Meter.Read); err != nil {
					t.Fatal(err)
				}
			}
			const port = 20 // bits that select the port of a mux
			bits := (bus.BusTime()-before).Seconds()*400e3 + float64(port*len(points))
			most := int(0.9 * 10e3 / math.Round(bits))
			_, err := config.Parse([]byte(r.text(10, 50, more)))
			want := fmt.Sprintf("poll.hz: 50: want at most %d for %d meters on bus main at 10 kHz", most, len(points))
			if most < 50 && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("with%s: error %v, want %s", more, err, want)
			}
			if _, err := config.Parse([]byte(r.text(10, min(most, 50), more))); err != nil {
				t.Errorf("with%s: %d Hz: %v", more, most, err)
			}
		}
	})
}

// transformers are wired as firmware-config/sensors has them: around half a supply
// of 3.3 V, 230 V to 0.7 V and 30 A to 1 V.
func transformers(chip *sim.ADS1115, volts, amps, degrees float64) {
	wave := sim.Wave{Bias: 1.65, Hertz: 50, High: 3.3, Noise: 0.0002}
	wave.RMS = volts / 328.57
	chip.Set(0, wave)
	wave.RMS, wave.Degrees = amps/30, degrees
	chip.Set(1, wave)
}

// TestSampledMeters: one converter measures one outlet, a window of 250 ms at a
// time, on a bus that does nothing else.
func TestSampledMeters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg, err := config.Parse([]byte(`shed: s1
uplink: {broker: "mqtts://b:8883"}
buses: [{name: main, path: /dev/i2c-1, khz: 400}, {name: meters, path: /dev/i2c-2, khz: 400}]
relays: [{name: k, chip: mcp23017, bus: main, active_low: false}]
outlets:
  - {number: 1, profile: outlet-10a, limits: {over_temperature: {enabled: false}}, meter: {chip: ads1115, bus: meters}, relay: {name: k, pin: 0}}
  - {number: 2, profile: outlet-10a, limits: {over_temperature: {enabled: false}}, meter: {chip: ads1115, bus: meters, address: 0x49, reversed: true}, relay: {name: k, pin: 1}}
`))
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Join(cfg.Warnings(), "\n"); !strings.Contains(all, "sees a short circuit of outlet 2 after up to 2s") {
			t.Errorf("no warning of its slowness in:\n%s", all)
		}
		base := time.Now()
		clock := func() time.Duration { return time.Since(base) }
		chips := []*sim.ADS1115{sim.NewADS1115(clock), sim.NewADS1115(clock)}
		transformers(chips[0], 229, 8.5, 0)
		transformers(chips[1], 231, 4, 180+60)
		bus := sim.NewBus("i2c-2", 400*physic.KiloHertz)
		wire := bus.Attach(0x48, chips[0])
		bus.Attach(0x49, chips[1])
		b, err := board.New(cfg, map[string]i2c.Bus{"main": sim.NewBus("i2c-1", 400*physic.KiloHertz), "meters": bus}, nil)
		if err != nil {
			t.Fatal(err)
		}
		line := b.Polls()[0]
		for i, want := range []shedguard.Reading{
			{Volts: 229, Amps: 8.5, Watts: 229 * 8.5, PowerFactor: 1},
			{Volts: 231, Amps: 4, Watts: 231 * 4 * 0.5, PowerFactor: 0.5},
		} {
			p := line.Points[i]
			if p.Every != time.Second {
				t.Errorf("outlet %d every %s", i+1, p.Every)
			}
			for range 2 {
				began := time.Now()
				var got shedguard.Reading
				if err := p.Meter.Read(&got); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > 300*time.Millisecond {
					t.Errorf("outlet %d: a measurement keeps the bus for %s: config counts on 300 ms", i+1, took)
				}
				if math.Abs(got.Volts-want.Volts) > 0.5 || math.Abs(got.Amps-want.Amps) > 0.02 || math.Abs(got.Watts-want.Watts) > 5 ||
					math.Abs(got.PowerFactor-want.PowerFactor) > 0.01 || math.Abs(got.Hertz-50) > 0.1 || got.Raw == [3]uint32{} {
					t.Errorf("outlet %d: %+v, want %+v", i+1, got, want)
				}
			}
		}
		read := func() (shedguard.Reading, error) {
			kept := shedguard.Reading{Amps: 7}
			err := line.Points[0].Meter.Read(&kept)
			return kept, err
		}
		// Between two windows a reset loses nothing.
		chips[0].Reset()
		if got, err := read(); err != nil || math.Abs(got.Amps-8.5) > 0.02 {
			t.Errorf("after a reset between windows: %+v, %v", got, err)
		}
		// In the middle of one it does, and is seen.
		time.AfterFunc(100*time.Millisecond, chips[0].Reset)
		if got, err := read(); err == nil || got.Amps != 7 {
			t.Errorf("reset within a window: %+v, %v", got, err)
		}
		if got, err := read(); err != nil || math.Abs(got.Amps-8.5) > 0.02 {
			t.Errorf("and after it: %+v, %v", got, err)
		}
		// A chip whose conversions never end is given up.
		chips[0].Slow(1e6)
		began := time.Now()
		if got, err := read(); !errors.Is(err, board.ErrSlow) || got.Amps != 7 || time.Since(began) > time.Second {
			t.Errorf("a chip that does not convert: %+v, %v after %s", got, err, time.Since(began))
		}
		chips[0].Slow(1)
		wire.Cut(true)
		began = time.Now()
		if got, err := read(); !errors.Is(err, sim.ErrNACK) || got.Amps != 7 || time.Since(began) > 10*time.Millisecond {
			t.Errorf("cut off: %+v, %v after %s", got, err, time.Since(began))
		}
		wire.Cut(false)
		time.Sleep(time.Second)
		if _, err := read(); err != nil {
			t.Errorf("joined again: %v", err)
		}
	})
}

// TestThreeSamplersOnOneLine: poll reads as many as config allows, each once a
// second, beside thermometers.
func TestThreeSamplersOnOneLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text := `shed: s1
uplink: {broker: "mqtts://b:8883"}
buses: [{name: main, path: /dev/i2c-1, khz: 400}, {name: meters, path: /dev/i2c-2, khz: 400}]
relays: [{name: k, chip: mcp23017, bus: main, active_low: false}]
outlets:
`
		base := time.Now()
		bus := sim.NewBus("i2c-2", 400*physic.KiloHertz)
		for i := range 3 {
			text += fmt.Sprintf("  - {number: %d, profile: outlet-10a, meter: {chip: ads1115, bus: meters, address: %#x}, thermometer: {chip: tmp102, bus: meters, address: 0x4B}, relay: {name: k, pin: %d}}\n", i+1, 0x48+i, i)
			chip := sim.NewADS1115(func() time.Duration { return time.Since(base) })
			transformers(chip, 230, float64(i+1), 0)
			bus.Attach(uint16(0x48+i), chip)
		}
		text = strings.Replace(text, "address: 0x4B}, relay: {name: k, pin: 1", "address: 0x4C}, relay: {name: k, pin: 1", 1)
		text = strings.Replace(text, "address: 0x4B}, relay: {name: k, pin: 2", "address: 0x4D}, relay: {name: k, pin: 2", 1)
		// A TMP102 has no address above 0x4B; its sister has.
		text = strings.Replace(text, "chip: tmp102, bus: meters, address: 0x4C", "chip: tmp75, bus: meters, address: 0x4C", 1)
		text = strings.Replace(text, "chip: tmp102, bus: meters, address: 0x4D", "chip: tmp75, bus: meters, address: 0x4D", 1)
		bus.Attach(0x4B, sim.NewTMP102())
		bus.Attach(0x4C, sim.NewTMP75())
		bus.Attach(0x4D, sim.NewTMP75())
		cfg, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		b, err := board.New(cfg, map[string]i2c.Bus{"main": sim.NewBus("i2c-1", 400*physic.KiloHertz), "meters": bus}, nil)
		if err != nil {
			t.Fatal(err)
		}
		line, err := poll.New(b.Polls()[0])
		if err != nil {
			t.Fatal(err)
		}
		fresh, oldest := map[int]int{}, time.Duration(0)
		for time.Since(base) < 30*time.Second {
			line.Tick(time.Now, func(s *poll.Sample) {
				if s.Err != nil || s.ThermometerErr != nil {
					t.Fatalf("outlet %d: %v, %v", s.Reading.Outlet, s.Err, s.ThermometerErr)
				}
				if s.Fresh {
					fresh[s.Reading.Outlet]++
					if math.Abs(s.Reading.Amps-float64(s.Reading.Outlet)) > 0.02 {
						t.Errorf("outlet %d reads %.3f A", s.Reading.Outlet, s.Reading.Amps)
					}
				}
				if age := s.Reading.Age(time.Now()); time.Since(base) > 2*time.Second {
					oldest = max(oldest, age)
				}
			})
			time.Sleep(max(time.Millisecond, time.Until(line.Next())))
		}
		for outlet := 1; outlet <= 3; outlet++ {
			if fresh[outlet] < 28 {
				t.Errorf("outlet %d: %d measurements in 30 s", outlet, fresh[outlet])
			}
		}
		if oldest > 1500*time.Millisecond {
			t.Errorf("a reading was %s old", oldest)
		}
	})
}

// TestWhatConfigAcceptsTheDriversTake: no shunt, gain, calibration or rating that
// the configuration lets through is refused by the driver, which nobody would
// notice before the outlet stays open.
func TestWhatConfigAcceptsTheDriversTake(t *testing.T) {
	t.Parallel()
	accepted, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"ade7953", "adm1272", "adm1275", "adm1276", "adm1278", "ina219", "ina226", "ina228", "ina3221", "max34451"}).Draw(t, "chip")
		r := rigs()[name]()
		r.outlets = r.outlets[:1]
		channel := map[string]string{"ina3221": ", channel: 3"}[name]
		shunt := math.Pow(10, rapid.Float64Range(-5, 0).Draw(t, "shunt"))
		switch name {
		case "ade7953":
			r.outlets[0] = fmt.Sprintf("channel: a, amps_per_volt: %g, amps_pga: %d", math.Pow(10, rapid.Float64Range(-3, 6).Draw(t, "amps per volt")), rapid.SampledFrom([]int{1, 2, 4, 8, 16, 22}).Draw(t, "gain"))
		case "max34451":
		default:
			r.outlets[0] = fmt.Sprintf("shunt_ohms: %.9f%s", shunt, channel)
		}
		more := ""
		if !r.noAlert && rapid.Bool().Draw(t, "alert") {
			more = ", alert: true"
		}
		if rapid.Bool().Draw(t, "calibrated") {
			more += fmt.Sprintf(", amps: {gain: %g, offset: %g}", rapid.Float64Range(0.5, 2).Draw(t, "trim"), rapid.Float64Range(-50, 50).Draw(t, "offset"))
		}
		text := strings.Replace(r.text(400, 10, more), "profile: outlet-5a,", fmt.Sprintf("profile: outlet-5a, rating_amps: %g,", rapid.Float64Range(1, 63).Draw(t, "rating")), 1)
		cfg, err := config.Parse([]byte(text))
		if err != nil {
			refused++
			return
		}
		accepted++
		bus := sim.NewBus("i2c-1", 400*physic.KiloHertz)
		bus.Attach(uint16(r.address), r.model)
		b, err := board.New(cfg, map[string]i2c.Bus{"main": bus}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got shedguard.Reading
		if err := b.Polls()[0].Points[0].Meter.Read(&got); err != nil && !errors.Is(err, board.ErrSettling) {
			t.Fatalf("%v of\n%s", err, text)
		}
	})
	if accepted == 0 || refused == 0 {
		t.Errorf("%d configurations accepted, %d refused: want some of both", accepted, refused)
	}
}
