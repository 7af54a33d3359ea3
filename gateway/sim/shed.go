package sim

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/physic"

	chips "github.com/shedguard/shedguard/drivers/sim"
)

// The wiring of the simulated shed, as its configuration names it.
const (
	BusName         = "sim"
	ResetLine       = "SIM_RESET" // of both muxes
	RelayAddress    = 0x20        // MCP23017, outlet n on pin n-1
	FirstContact    = 12          // of the smoke detectors, one a zone, closed to ground at rest
	AgentPin        = 13          // of the suppression agent, where there is one
	SirenPin        = 14
	LampPin         = 15
	FirstMux        = 0x70 // outlets 1 to 6 on ports 0 to 5
	SecondMux       = 0x71 // outlets 7 to 12 on ports 0 to 5
	FirstMeter      = 0x60 // behind the first mux
	SecondMeter     = 0x61 // behind the second mux
	FirstSocket     = 0x48 // thermometer behind the first mux
	SecondSocket    = 0x49 // thermometer behind the second mux
	Outlets         = 12
	perMux          = 6
	busSpeed        = 400 * physic.KiloHertz
	stepEvery       = 20 * time.Millisecond // one mains cycle, a meter's RMS window
	mainsVolts      = 226.0
	feederOhms      = 0.12 // the cable to the shed: every ampere drops the voltage
	ambientCelsius  = 24.0
	socketTau       = 90 * time.Second // time constant of a socket's temperature
	celsiusPerAmps2 = 0.12             // rise of a sound contact at rest, K/A²
)

// EnableHold is how long the coil supply stays on after the last edge of the
// enable line: the retriggerable one-shot on the relay board.
const EnableHold = 1500 * time.Millisecond

// Options are the settings of a shed.
type Options struct {
	Memory *Memory // the expander's registers; nil for a new board
	Speed  float64 // battery time per second of real time; 0 is 1
	Seed   uint64  // of noise and comings and goings
	Script Script  // what happens; nil for an empty shed
}

// Script is what happens in a shed over time: it is called at every step with
// the time since the shed was switched on, and may plug, unplug and break.
type Script func(s *Shed, since time.Duration)

// Shed is the simulated shed. Its methods may be called from any goroutine.
type Shed struct {
	Bus      *chips.Bus
	Expander *chips.MCP23017

	muxes  [2]*chips.PCA9548
	script Script
	speed  float64

	mu      sync.Mutex
	rng     *rand.Rand
	since   time.Duration
	mains   float64 // V before the cable; 0: as usual
	smoke   uint16  // pins that an open contact leaves high
	at      float64 // V at the outlets in the last step
	outlets [Outlets]socket
	edge    time.Duration // when the enable line last changed
	enable  gpio.Level
	enabled bool // an enable line is wired: it was driven at least once
	touched bool // the enable line changed since the last step
}

// socket is one outlet: its chips, what is plugged in, and its faults.
type socket struct {
	meter     *chips.ACS37800
	wire      *chips.Wire
	probe     *chips.TMP102
	probeWire *chips.Wire
	load      Load
	fed       bool
	welded    bool
	heater    float64 // K that a bad contact adds at rest
	temp      float64
	last      Draw
	lost      time.Duration // since when the load has no supply
}

// New is a shed with every socket empty.
func New(opts Options) (*Shed, error) {
	var mem []byte
	if opts.Memory != nil {
		mem = opts.Memory.Bytes
	}
	expander, err := chips.NewMCP23017(mem)
	if err != nil {
		return nil, fmt.Errorf("simulated board: %w; delete its file to start with a new board", err)
	}
	s := &Shed{
		Bus: chips.NewBus(BusName, busSpeed), Expander: expander, script: opts.Script, speed: opts.Speed,
		rng: rand.New(rand.NewPCG(opts.Seed, 0x5eed)),
	}
	if s.speed == 0 {
		s.speed = 1
	}
	s.Bus.Attach(RelayAddress, expander)
	s.muxes = [2]*chips.PCA9548{chips.NewPCA9548(), chips.NewPCA9548()}
	s.Bus.Attach(FirstMux, s.muxes[0])
	s.Bus.Attach(SecondMux, s.muxes[1])
	for i := range s.outlets {
		o := &s.outlets[i]
		side, port := i/perMux, i%perMux
		o.meter, o.probe, o.temp = chips.NewACS37800(chips.MainsBoard()), chips.NewTMP102(), ambientCelsius
		o.wire = s.muxes[side].Attach(port, uint16(FirstMeter+side), o.meter)
		o.probeWire = s.muxes[side].Attach(port, uint16(FirstSocket+side), o.probe)
	}
	s.Step(0)
	return s, nil
}

// Run steps the shed in real time until ctx ends.
func (s *Shed) Run(ctx context.Context) error {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			s.Step(now.Sub(last))
			last = now
		}
	}
}

// Step moves the shed on by dt.
func (s *Shed) Step(dt time.Duration) {
	if s.script != nil {
		s.script(s, s.Since())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since += dt
	if s.touched {
		s.touched, s.edge = false, s.since
	}
	coils := s.Expander.Outputs()
	if s.enabled && s.since-s.edge > EnableHold {
		coils = 0
	}
	volts := s.volts()
	s.at = volts
	for i := range s.outlets {
		s.stepOutlet(&s.outlets[i], coils&(1<<i) != 0, volts, dt)
	}
}

// volts is the voltage at the outlets: a daily drift, the cable's drop, and
// noise that keeps the register words alive.
func (s *Shed) volts() float64 {
	var amps float64
	for i := range s.outlets {
		amps += s.outlets[i].last.Amps
	}
	mains := s.mains
	if mains == 0 {
		mains = mainsVolts
	}
	drift := 3 * math.Sin(2*math.Pi*s.since.Hours()/24)
	return mains + drift - feederOhms*amps + 0.15*s.rng.NormFloat64()
}

func (s *Shed) stepOutlet(o *socket, closed bool, volts float64, dt time.Duration) {
	closed = closed || o.welded
	switch {
	case closed && o.load != nil:
		o.last = o.load.Draw(time.Duration(float64(dt)*s.loadSpeed(o.load)), volts)
		noise := 1 + 0.002*s.rng.NormFloat64()
		o.last = Draw{Amps: o.last.Amps * noise, Watts: o.last.Watts * noise}
		o.lost = 0
	default:
		if o.load != nil && o.fed {
			o.load.Off()
		}
		o.last = Draw{}
		o.lost += dt
	}
	o.fed = closed
	rest := ambientCelsius + celsiusPerAmps2*o.last.Amps*o.last.Amps
	if closed {
		rest += o.heater
	}
	o.temp += (rest - o.temp) * -math.Expm1(-float64(dt)/float64(socketTau))
	o.meter.Set(volts, o.last.Amps, o.last.Watts)
	o.probe.SetCelsius(o.temp)
}

// loadSpeed is how fast a load's time runs: a recording is played as it was.
func (s *Shed) loadSpeed(l Load) float64 {
	if _, charger := l.(*Charger); charger {
		return s.speed
	}
	return 1
}

// Since is how long the shed has been on.
func (s *Shed) Since() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.since
}

// Plug puts a load into an outlet, or takes it out when load is nil.
func (s *Shed) Plug(outlet int, load Load) {
	s.with(outlet, func(o *socket) {
		if o.load != nil && o.fed {
			o.load.Off()
		}
		o.load, o.lost = load, 0
	})
}

// Weld welds the contact of an outlet's relay, or frees it.
func (s *Shed) Weld(outlet int, welded bool) {
	s.with(outlet, func(o *socket) { o.welded = welded })
}

// Heat makes a bad contact that warms the socket by kelvin at rest while fed.
func (s *Shed) Heat(outlet int, kelvin float64) {
	s.with(outlet, func(o *socket) { o.heater = kelvin })
}

// Warm sets the temperature of a socket, as of one that was hot before.
func (s *Shed) Warm(outlet int, celsius float64) {
	s.with(outlet, func(o *socket) { o.temp = celsius })
}

// Mains sets the voltage of the supply; 0 is as usual.
func (s *Shed) Mains(volts float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mains = volts
}

// Volts is the voltage at the outlets.
func (s *Shed) Volts() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// Smoke makes the smoke detector of a zone, 0 or 1, open its contact or close it
// again. A broken wire to it looks the same.
func (s *Shed) Smoke(zone int, smoke bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.smoke &^= 1 << (FirstContact + zone)
	if smoke {
		s.smoke |= 1 << (FirstContact + zone)
	}
	s.Expander.SetPulls(s.smoke)
}

// CutMeter takes an outlet's meter off the bus, or joins it again.
func (s *Shed) CutMeter(outlet int, dead bool) {
	s.with(outlet, func(o *socket) { o.wire.Cut(dead) })
}

// Outlet is what an observer in the shed would see of an outlet.
type Outlet struct {
	Fed     bool // the contact is closed
	Loaded  bool // something is plugged in
	Draw    Draw
	Celsius float64
	Dark    time.Duration // how long the load has had no supply
}

// Look returns what an observer would see of an outlet.
func (s *Shed) Look(outlet int) Outlet {
	var seen Outlet
	s.with(outlet, func(o *socket) {
		seen = Outlet{Fed: o.fed, Loaded: o.load != nil, Draw: o.last, Celsius: o.temp, Dark: o.lost}
	})
	return seen
}

func (s *Shed) with(outlet int, f func(*socket)) {
	if outlet < 1 || outlet > Outlets {
		panic(fmt.Sprintf("sim: outlet %d: want 1 to %d", outlet, Outlets))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.outlets[outlet-1])
}

// Out drives the enable line. From its first edge on, the relay coils have a
// supply only for [EnableHold] after each change.
func (s *Shed) Out(l gpio.Level) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.enabled || l != s.enable {
		// The edge is one of the step under way, however long that took: a process
		// that was stopped for a while has not let the line stand still.
		s.enabled, s.enable, s.touched = true, l, true
	}
	return nil
}

// MuxReset is the line on the reset pins of both muxes.
func (s *Shed) MuxReset() *MuxReset { return &MuxReset{shed: s} }

// MuxReset resets the muxes of a shed while it is low.
type MuxReset struct{ shed *Shed }

// Out drives the line.
func (r *MuxReset) Out(l gpio.Level) error {
	if l == gpio.Low {
		for _, m := range r.shed.muxes {
			m.Reset()
		}
	}
	return nil
}

// Wiring is the chips of an outlet and the wires that lead to them: where a test
// breaks them.
type Wiring struct {
	Meter     *chips.ACS37800
	MeterWire *chips.Wire
	Probe     *chips.TMP102
	ProbeWire *chips.Wire
	Mux       *chips.PCA9548
	Port      int
}

// Wiring returns the chips of an outlet.
func (s *Shed) Wiring(outlet int) Wiring {
	w := Wiring{Mux: s.muxes[(outlet-1)/perMux], Port: (outlet - 1) % perMux}
	s.with(outlet, func(o *socket) {
		w.Meter, w.MeterWire, w.Probe, w.ProbeWire = o.meter, o.wire, o.probe, o.probeWire
	})
	return w
}

// random returns a number from the shed's own source.
func (s *Shed) random() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.Float64()
}
