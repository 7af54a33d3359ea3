package sim_test

import (
	"errors"
	"testing"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/acs37800"
	"github.com/shedguard/shedguard/drivers/mcp23017"
	"github.com/shedguard/shedguard/drivers/pca9548"
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/drivers/tmp102"
)

// shed is the bus of twelve outlets: relays on the trunk, and behind each of two
// muxes six meters and six thermometers, at other addresses behind the second.
type shed struct {
	bus      *sim.Bus
	expander *sim.MCP23017
	muxes    [2]*sim.PCA9548
	meters   [12]*sim.ACS37800
	sensors  [12]*sim.TMP102
}

func newShed(tb testing.TB) *shed {
	tb.Helper()
	s := &shed{bus: sim.NewBus("trunk", fast)}
	var err error
	if s.expander, err = sim.NewMCP23017(nil); err != nil {
		tb.Fatal(err)
	}
	s.bus.Attach(0x20, s.expander)
	for i := range s.muxes {
		s.muxes[i] = sim.NewPCA9548()
		s.bus.Attach(0x70+uint16(i), s.muxes[i])
	}
	for i := range s.meters {
		s.meters[i] = sim.NewACS37800(sim.MainsBoard())
		s.meters[i].Set(220, float64(i), 220*float64(i))
		s.muxes[i/6].Attach(i%6, 0x60+uint16(i/6), s.meters[i])
		s.sensors[i] = sim.NewTMP102()
		s.sensors[i].SetCelsius(float64(20 + i))
		s.muxes[i/6].Attach(i%6, 0x48+uint16(i/6), s.sensors[i])
	}
	return s
}

// drivers are the drivers of a shed.
type drivers struct {
	relays  *mcp23017.Dev
	meters  [12]*acs37800.Dev
	sensors [12]*tmp102.Dev
}

func (s *shed) drivers(tb testing.TB) *drivers {
	tb.Helper()
	d := &drivers{}
	var err error
	if d.relays, err = mcp23017.New(s.bus, mcp23017.DefaultOpts()); err != nil {
		tb.Fatal(err)
	}
	for i := range d.meters {
		if i%6 != 0 {
			continue
		}
		mux, err := pca9548.New(s.bus, &pca9548.Opts{Addr: 0x70 + uint16(i/6)})
		if err != nil {
			tb.Fatal(err)
		}
		for n := range 6 {
			meter, sensor := acs37800.DefaultOpts(), tmp102.DefaultOpts()
			meter.Addr += uint16(i / 6)
			sensor.Addr += uint16(i / 6)
			if d.meters[i+n], err = acs37800.New(mux.Port(n), meter); err != nil {
				tb.Fatal(err)
			}
			if d.sensors[i+n], err = tmp102.New(mux.Port(n), sensor); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return d
}

// Every driver reads its own chip through two muxes, and the outputs are written
// before anything else happens on the bus.
func TestShed(t *testing.T) {
	s := newShed(t)
	var first []uint16
	s.bus.Trace(func(addr uint16, _, _ []byte, err error) {
		if err != nil {
			t.Error(err)
		}
		first = append(first, addr)
	})
	d := s.drivers(t)
	if first[0] != 0x20 || first[1] != 0x20 || first[2] != 0x20 {
		t.Errorf("the bus began with %#x, want the expander", first[:3])
	}
	for range 2 {
		for i := range d.meters {
			var m acs37800.Measurement
			if err := d.meters[i].Sense(&m); err != nil {
				t.Fatal(err)
			}
			if got, want := m.Amps, physic.ElectricCurrent(i)*physic.Ampere; got < want-physic.MilliAmpere || got > want+physic.MilliAmpere {
				t.Errorf("outlet %d: %s, want %s", i, got, want)
			}
			var temp physic.Temperature
			if err := d.sensors[i].Sense(&temp); err != nil {
				t.Fatal(err)
			}
			if want := physic.ZeroCelsius + physic.Temperature(20+i)*physic.Celsius; temp != want {
				t.Errorf("outlet %d: %s, want %s", i, temp, want)
			}
		}
	}
}

// One dead meter, one floating and one behind a mux that was reset do not touch
// their neighbours.
func TestShedFaults(t *testing.T) {
	s := newShed(t)
	d := s.drivers(t)
	dead := sim.NewACS37800(sim.MainsBoard())
	s.muxes[0].Attach(6, 0x60, dead).Cut(true)
	floating := sim.NewACS37800(sim.MainsBoard())
	s.muxes[0].Attach(7, 0x60, floating).Float(true)
	mux, err := pca9548.New(s.bus, pca9548.DefaultOpts())
	if err != nil {
		t.Fatal(err)
	}
	for port, want := range map[int]error{6: sim.ErrNACK, 7: acs37800.ErrAllOnes} {
		dev, err := acs37800.New(mux.Port(port), acs37800.DefaultOpts())
		if err != nil {
			t.Fatal(err)
		}
		var m acs37800.Measurement
		if err := dev.Sense(&m); !errors.Is(err, want) || m != (acs37800.Measurement{}) {
			t.Errorf("port %d: %v, %+v, want %v", port, err, m, want)
		}
	}
	s.muxes[1].Reset()
	failed := 0
	for i := range d.meters {
		var m acs37800.Measurement
		if err := d.meters[i].Sense(&m); err != nil {
			failed++
		}
	}
	// Mux 0 was used by a second driver, mux 1 was reset before its first use
	// since: at most the first read of each fails.
	if failed > 2 {
		t.Errorf("%d of 12 reads failed, want at most 2", failed)
	}
	for i := range d.meters {
		var m acs37800.Measurement
		if err := d.meters[i].Sense(&m); err != nil {
			t.Errorf("second round: %v", err)
		}
	}
}

// BenchmarkRound is one round over the twelve meters of a shed. bus-ms/round is
// what it takes on a 400 kHz bus.
func BenchmarkRound(b *testing.B) {
	s := newShed(b)
	d := s.drivers(b)
	var m acs37800.Measurement
	start := s.bus.BusTime()
	b.ReportAllocs()
	for b.Loop() {
		for i := range d.meters {
			if err := d.meters[i].Sense(&m); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric((s.bus.BusTime()-start).Seconds()*1000/float64(b.N), "bus-ms/round")
}

// BenchmarkRoundFull is a round that also reads the twelve thermometers and
// reads the relays back.
func BenchmarkRoundFull(b *testing.B) {
	s := newShed(b)
	d := s.drivers(b)
	var m acs37800.Measurement
	var temp physic.Temperature
	start := s.bus.BusTime()
	b.ReportAllocs()
	for b.Loop() {
		for i := range d.meters {
			if err := d.meters[i].Sense(&m); err != nil {
				b.Fatal(err)
			}
			if err := d.sensors[i].Sense(&temp); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := d.relays.Latch(); err != nil {
			b.Fatal(err)
		}
		if err := d.relays.Check(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((s.bus.BusTime()-start).Seconds()*1000/float64(b.N), "bus-ms/round")
}
