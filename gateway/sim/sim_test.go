package sim_test

import (
	"encoding/binary"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/sim"
)

const step = 20 * time.Millisecond

// relays writes the expander as a gateway would: latch, then direction.
func relays(t *testing.T, s *sim.Shed, latch uint16) {
	t.Helper()
	lo, hi := byte(latch), byte(latch>>8)
	for _, w := range [][]byte{{0x14, lo, hi}, {0x00, 0, 0}} {
		if err := s.Bus.Tx(sim.RelayAddress, w, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// amps reads an outlet's current from the meter's register, by the code of the
// 30 A part: 55000 counts at full scale.
func amps(t *testing.T, s *sim.Shed, outlet int) float64 {
	t.Helper()
	mux, other, meter := uint16(sim.FirstMux), uint16(sim.SecondMux), uint16(sim.FirstMeter)
	port := outlet - 1
	if outlet > 6 {
		mux, other, meter, port = other, mux, sim.SecondMeter, outlet-7
	}
	if err := s.Bus.Tx(other, []byte{0}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Bus.Tx(mux, []byte{1 << port}, nil); err != nil {
		t.Fatal(err)
	}
	var r [4]byte
	if err := s.Bus.Tx(meter, []byte{0x20}, r[:]); err != nil {
		t.Fatal(err)
	}
	return float64(binary.LittleEndian.Uint32(r[:])>>16) / 55000 * 30
}

func run(s *sim.Shed, d time.Duration) {
	for range d / step {
		s.Step(step)
	}
}

func newShed(t *testing.T, opts sim.Options) *sim.Shed {
	t.Helper()
	s, err := sim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLoadDrawsOnlyThroughAClosedContact(t *testing.T) {
	t.Parallel()
	s := newShed(t, sim.Options{})
	s.Plug(5, &sim.Resistor{Ohms: 100})
	run(s, time.Second)
	if got := amps(t, s, 5); got != 0 {
		t.Errorf("open contact: %.3f A, want 0", got)
	}
	relays(t, s, 1<<4)
	run(s, time.Second)
	if got := amps(t, s, 5); math.Abs(got-2.26) > 0.05 {
		t.Errorf("closed contact: %.3f A, want 226 V over 100 Ω", got)
	}
	if got := amps(t, s, 11); got != 0 {
		t.Errorf("neighbour behind the other mux: %.3f A, want 0", got)
	}
	relays(t, s, 0)
	run(s, time.Second)
	if got := amps(t, s, 5); got != 0 {
		t.Errorf("opened again: %.3f A, want 0", got)
	}
}

func TestWeldedContactKeepsFeeding(t *testing.T) {
	t.Parallel()
	s := newShed(t, sim.Options{})
	s.Plug(2, &sim.Resistor{Ohms: 50})
	relays(t, s, 1<<1)
	run(s, time.Second)
	s.Weld(2, true)
	relays(t, s, 0)
	run(s, time.Second)
	if got := amps(t, s, 2); got < 4 {
		t.Errorf("welded contact: %.3f A, want about 4.5", got)
	}
}

func TestEnableLineOpensWhenItIsNotToggled(t *testing.T) {
	t.Parallel()
	s := newShed(t, sim.Options{})
	relays(t, s, 1)
	run(s, 10*time.Second)
	if !s.Look(1).Fed {
		t.Fatal("a board without an enable line lost its coil supply")
	}
	level := gpio.Low
	for range 30 {
		level = !level
		if err := s.Out(level); err != nil {
			t.Fatal(err)
		}
		run(s, 100*time.Millisecond)
	}
	if !s.Look(1).Fed {
		t.Fatal("the contact opened while the line was toggled")
	}
	run(s, sim.EnableHold+100*time.Millisecond)
	if s.Look(1).Fed {
		t.Error("the contact is closed although the line is still")
	}
}

func TestBoardKeepsItsOutputs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "board")
	open := func() (*sim.Shed, *sim.Memory) {
		mem, err := sim.OpenMemory(path)
		if err != nil {
			t.Fatal(err)
		}
		return newShed(t, sim.Options{Memory: mem}), mem
	}
	s, mem := open()
	relays(t, s, 0x0F0)
	if err := mem.Close(); err != nil {
		t.Fatal(err)
	}
	s, mem = open()
	defer func() {
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	}()
	if got := s.Expander.Outputs(); got != 0x0F0 {
		t.Errorf("outputs after the process died: %#x, want 0xf0", got)
	}
}

func TestHotSocketPassesSixtyFive(t *testing.T) {
	t.Parallel()
	s := newShed(t, sim.Options{})
	s.Plug(3, &sim.Resistor{Ohms: 60})
	relays(t, s, 1<<2)
	run(s, 10*time.Minute)
	if c := s.Look(3).Celsius; c > 35 {
		t.Fatalf("a sound contact at 3.7 A is at %.1f °C", c)
	}
	s.Heat(3, 400)
	run(s, 20*time.Second)
	if c := s.Look(3).Celsius; c < 65 {
		t.Errorf("a bad contact is at %.1f °C after 20 s, want over 65", c)
	}
}

func TestChargerCurve(t *testing.T) {
	t.Parallel()
	c := &sim.Charger{Watts: 200, Rise: 0.05, PowerFactor: 0.9, ConstantFor: time.Hour, Taper: 20 * time.Minute, Trickle: 4}
	first := c.Draw(step, 220)
	second := c.Draw(step, 220)
	if first.Amps < 2*second.Amps {
		t.Errorf("inrush %.2f A over %.2f A, want a peak in the first step", first.Amps, second.Amps)
	}
	last := second.Watts
	for range 59 {
		d := c.Draw(time.Minute, 220)
		if d.Watts < last {
			t.Fatalf("power fell from %.2f to %.2f W in constant current", last, d.Watts)
		}
		last = d.Watts
	}
	for range 6 * 60 {
		d := c.Draw(time.Minute, 220)
		if d.Watts > last+1 {
			t.Fatalf("power rose from %.2f to %.2f W after the knee", last, d.Watts)
		}
		last = d.Watts
	}
	if !c.Full() || last != 4 {
		t.Errorf("after seven hours: full %v at %.2f W, want the trickle of 4 W", c.Full(), last)
	}
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, name := range sim.Scenarios() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script, err := sim.NewScript(name, 10)
			if err != nil {
				t.Fatal(err)
			}
			s := newShed(t, sim.Options{Script: script, Seed: 1})
			relays(t, s, 0x0FFF)
			run(s, 9*time.Second)
			before := s.Look(sim.FaultOutlet)
			if before.Draw.Amps > 9 || before.Celsius > 40 && name != "hot" || before.Celsius > 60 {
				t.Fatalf("before the fault: %+v, want ordinary charging", before)
			}
			run(s, 16*time.Second)
			after := s.Look(sim.FaultOutlet)
			switch name {
			case "check":
				if after.Draw.Amps < 22 || after.Draw.Amps > 26 {
					t.Errorf("%.1f A, want about 2.5 × 10 A", after.Draw.Amps)
				}
				run(s, 30*time.Second)
				if hot := s.Look(sim.CheckHotOutlet); hot.Celsius < 65 {
					t.Errorf("outlet %d: %.1f °C, want over 65", sim.CheckHotOutlet, hot.Celsius)
				}
			case "overload", "welded":
				if after.Draw.Amps < 22 || after.Draw.Amps > 26 {
					t.Errorf("%.1f A, want about 2.5 × 10 A", after.Draw.Amps)
				}
			case "short":
				if after.Draw.Amps < 50 {
					t.Errorf("%.1f A, want about 6 × 10 A", after.Draw.Amps)
				}
			case "overvoltage":
				if v := s.Volts(); v < 290 {
					t.Errorf("%.1f V, want about 300", v)
				}
			case "undervoltage":
				if v := s.Volts(); v > 155 {
					t.Errorf("%.1f V, want about 150", v)
				}
			case "hot", "rise", "fire":
				if after.Celsius < 65 {
					t.Errorf("%.1f °C, want over 65", after.Celsius)
				}
			case "bus-hang":
				if err := s.Bus.Tx(sim.RelayAddress, []byte{0x14, 0, 0}, nil); err == nil {
					t.Error("the bus answers")
				}
			default:
				if after.Draw.Amps > 9 || after.Celsius > 40 {
					t.Errorf("%+v, want ordinary charging", after)
				}
			}
		})
	}
	if _, err := sim.NewScript("flood", 10); err == nil || !strings.Contains(err.Error(), "overload") {
		t.Errorf("unknown scenario: %v, want the names that exist", err)
	}
}

// TestLateFaultLastsAsLong: the outlet of the fault may be fed long after it is due,
// since outlets are fed one after the other.
func TestLateFaultLastsAsLong(t *testing.T) {
	t.Parallel()
	script, err := sim.NewScript("undervoltage", 10)
	if err != nil {
		t.Fatal(err)
	}
	s := newShed(t, sim.Options{Script: script, Seed: 1})
	run(s, 25*time.Second)
	relays(t, s, 1<<2)
	run(s, time.Second)
	if v := s.Volts(); v < 200 {
		t.Fatalf("%.1f V just after the outlet was fed, want sound mains", v)
	}
	run(s, 20*time.Second)
	if v := s.Volts(); v > 155 {
		t.Errorf("%.1f V, want about 150 for 20 s", v)
	}
	run(s, 3*time.Second)
	if v := s.Volts(); v < 200 {
		t.Errorf("%.1f V afterwards, want sound mains", v)
	}
}

func TestFaultyLoadIsTakenOutOnceDark(t *testing.T) {
	t.Parallel()
	script, err := sim.NewScript("overload", 10)
	if err != nil {
		t.Fatal(err)
	}
	s := newShed(t, sim.Options{Script: script})
	relays(t, s, 1<<2)
	run(s, 12*time.Second)
	relays(t, s, 0)
	run(s, 5*time.Second)
	if s.Look(sim.FaultOutlet).Loaded {
		t.Error("the faulty load is still in the socket")
	}
}

func TestReadRecording(t *testing.T) {
	t.Parallel()
	rec, err := sim.ReadRecording(strings.NewReader("time_s,watts,amps,note\n100,0,0,x\n101,440,2,\n103,2200,,\n"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		dt   time.Duration
		want sim.Draw
	}{
		{0, sim.Draw{}},
		{999 * time.Millisecond, sim.Draw{}},
		{time.Millisecond, sim.Draw{Amps: 2, Watts: 440}},
		{1999 * time.Millisecond, sim.Draw{Amps: 2, Watts: 440}},
		{time.Millisecond, sim.Draw{Amps: 10, Watts: 2200}},
		{time.Hour, sim.Draw{Amps: 10, Watts: 2200}},
	}
	for i, tt := range tests {
		if got := rec.Draw(tt.dt, 220); got != tt.want {
			t.Errorf("step %d: %+v, want %+v", i, got, tt.want)
		}
	}
	if !rec.Done() {
		t.Error("not done after the last sample")
	}
}

func TestReadRecordingRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ csv, want string }{
		"empty":       {"", "header"},
		"no time":     {"amps\n1\n", "time_s"},
		"no quantity": {"time_s,volts\n1,220\n", "amps"},
		"no samples":  {"time_s,amps\n", "no samples"},
		"text":        {"time_s,amps\n0,much\n", `line 2: amps "much"`},
		"infinite":    {"time_s,amps\n0,Inf\n", "line 2"},
		"goes back":   {"time_s,amps\n5,1\n4,1\n", "line 3"},
		"short row":   {"time_s,amps\n5\n", "line 2"},
		"no instant":  {"time_s,amps\n,1\n", "line 2: time_s"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sim.ReadRecording(strings.NewReader(tt.csv))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want an error with %q", err, tt.want)
			}
		})
	}
}

func FuzzReadRecording(f *testing.F) {
	f.Add("time_s,amps\n0,1\n1,2\n")
	f.Add("time_s,watts,volts\n0,1,\n")
	f.Fuzz(func(t *testing.T, csv string) {
		rec, err := sim.ReadRecording(strings.NewReader(csv))
		if err != nil {
			return
		}
		for range 3 {
			d := rec.Draw(time.Second, 220)
			if math.IsNaN(d.Amps) || math.IsNaN(d.Watts) {
				t.Fatalf("%q draws %+v", csv, d)
			}
		}
	})
}

func TestConfigIsValid(t *testing.T) {
	t.Parallel()
	for _, agent := range []bool{false, true} {
		b, err := sim.Config(sim.Settings{
			Shed: "demo-1", Broker: "mqtt://127.0.0.1:1883", Status: "127.0.0.1:9108", Dir: t.TempDir(), Profile: "outlet-10a", Suppression: agent,
		})
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Parse(b)
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		if len(c.Outlets) != sim.Outlets {
			t.Errorf("%d outlets, want %d", len(c.Outlets), sim.Outlets)
		}
		if out := c.SuppressionOutput(); (out != nil) != agent || agent && out.Pin != sim.AgentPin {
			t.Errorf("suppression %t: output %+v", agent, out)
		}
	}
}
