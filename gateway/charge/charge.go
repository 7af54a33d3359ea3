package charge

import (
	"math"
	"time"

	"github.com/shedguard/shedguard"
)

// Phase is where a charge is.
type Phase string

// The phases. PhaseUnclear is power that does not look like a charge.
const (
	PhaseNone            Phase = ""
	PhaseInrush          Phase = "inrush"
	PhaseUnclear         Phase = "charging"
	PhaseConstantCurrent Phase = "constant_current"
	PhaseConstantVoltage Phase = "constant_voltage"
	PhaseTrickle         Phase = "trickle"
	PhaseFull            Phase = "full"
	PhaseIdle            Phase = "idle_load"
)

// Phases lists the phases that a session can be told to be in.
func Phases() []Phase {
	return []Phase{
		PhaseInrush, PhaseUnclear, PhaseConstantCurrent, PhaseConstantVoltage, PhaseTrickle, PhaseFull, PhaseIdle,
	}
}

// Load is what a fed outlet has plugged in, as far as its power tells.
type Load string

// The loads.
const (
	LoadUnknown     Load = ""
	LoadNothing     Load = "nothing"      // 0 W
	LoadIdleCharger Load = "idle_charger" // 0.7 W: a charger without a battery, or switched off by it
	LoadFullBattery Load = "full_battery" // 4.2 W: a full battery, or a small device
	LoadIdle        Load = "idle_load"    // 15.5 W: a charger that idles badly, or a small device
	LoadCharge      Load = "charge"       // anything above
)

// Input is what is known of the outlet at one moment.
type Input struct {
	Session string // id of the session that runs; empty: none
	Fed     bool   // the relay is closed
	Reading shedguard.Reading
	Fresh   bool // Reading is a new conversion since the last call
}

// Outcome is what one step came to.
type Outcome struct {
	Phase    Phase // of the session's charge
	Load     Load  // what is plugged in
	Attached bool  // the battery is still there, however little it draws
	Over     bool  // the phase is full or idle_load: the session is to end
	// Findings are what stands, at most one a detail. The slice belongs to
	// the state.
	Findings []Finding
}

const (
	slotLen    = 10 * time.Second
	levelSlots = 5  // of a level: their median
	firstSlots = 3  // before there is a first level
	ringSlots  = 20 // kept
	stepSlots  = 12 // two minutes: a step is between levels this far apart
	kneeSlots  = 12 // below the knee before constant voltage
	riseSlots  = 18 // of a late rise
	lowSlots   = 3  // levels in a row that a mixed slot cannot make
	trickle    = 6  // slots before a low level is a trickle
	lastSlots  = 90 // a quarter of an hour: what a fall must last to be a step

	mostWatts = 1e6 // beyond what any meter here can show
	mostVolts = 1e4
	deadVolts = 50 // V; below it the mains have failed, or their voltage is not measured

	thirdShare   = 0.35            // of the plateau; the charger's own end begins below
	backShare    = 0.97            // of the plateau: back in constant current
	shallow      = 0.85            // of the plateau, that power must not have fallen below for that
	againShare   = 0.08            // of the plateau, within two minutes and from a trickle: a charge began again
	mostBegins   = 2               // times in a session without a finding
	judgeShare   = 0.05            // of the plateau: what a big charger may draw and still be judged full
	largeShare   = 0.04            // of the plateau, likewise: its fans
	sameShare    = 0.15            // of the level: the same charge goes on after a pause
	roughShare   = 0.08            // of the level: more up and down in a minute is no charge
	mostlyShare  = 0.9             // of the slots, that must look like a charge
	precharge    = 0.4             // of the level after it
	idleAfter    = 5 * time.Minute // before a small load is said to be no charge
	prechargeFor = 360             // slots: an hour, in which a deeply empty battery is woken
)

func slots(d time.Duration) int { return int((d + slotLen - 1) / slotLen) }

// State is what is remembered of one outlet between two steps.
type State struct {
	id     string // of the session that runs
	at     time.Time
	watts  float64 // of the last good reading
	volts  float64
	fed    bool
	filled time.Duration // of the slot
	sumW   float64       // watt seconds of it
	sumV   float64

	ring  ring
	load  Load
	curve curve
	usual envelope

	swing  swings
	frozen struct {
		watts   float64
		since   time.Time
		begun   time.Time
		changes int
	}
	findings [MaxFindings]Finding
	found    int // of them
}

// ring holds the last slots.
type ring struct {
	watts, volts [ringSlots]float64
	n, next      int
}

func (r *ring) clear() { r.n, r.next = 0, 0 }

func (r *ring) push(w, v float64) {
	r.watts[r.next], r.volts[r.next] = w, v
	r.next = (r.next + 1) % ringSlots
	r.n = min(r.n+1, ringSlots)
}

// level is the median of the slots that end ago slots ago, and their voltage.
func (r *ring) level(ago int) (watts, volts float64, ok bool) {
	n := min(r.n-ago, levelSlots)
	if n < firstSlots {
		return 0, 0, false
	}
	var w, v [levelSlots]float64
	for i := range n {
		k := (r.next - 1 - ago - i + 2*ringSlots) % ringSlots
		w[i], v[i] = r.watts[k], r.volts[k]
	}
	return median(w[:n]), median(v[:n]), true
}

// median sorts s and returns its middle, the lower one of two.
func median(s []float64) float64 {
	for i := 1; i < len(s); i++ {
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
	return s[(len(s)-1)/2]
}

// rough is how much the last minute goes up and down beyond what it moves in
// all, in watts: nothing for a curve that only rises or only falls.
func (r *ring) rough() float64 {
	const n = trickle
	if r.n < n {
		return 0
	}
	at := func(i int) float64 { return r.watts[(r.next-1-i+2*ringSlots)%ringSlots] }
	way := 0.0
	for i := range n - 1 {
		way += math.Abs(at(i) - at(i+1))
	}
	return way - math.Abs(at(0)-at(n-1))
}

// curve is the charge that runs. Times are counted in slots.
type curve struct {
	phase    Phase
	attached bool
	over     bool
	paused   bool // next to nothing is drawn, or the outlet is not fed
	known    bool // there is a level

	idleFor int // slots of a pause in which a charger idles
	age     int // since the charge began
	total   int // of charging in the session
	level   float64
	volts   float64
	plateau float64
	atVolts float64 // when it was reached
	most    float64 // of constant current, by the envelope

	smooth int     // slots that look like a charge
	rough  float64 // share of those that do not, lately
	ref    float64 // level once smooth for long enough; 0 before
	atRef  float64 // its volts
	begins int     // how often the charge began again by itself

	below, low, drop int // slots in a row: below the knee, low in the taper, as a trickle
	back             int
	lowest           float64 // since the knee
	lowVolts         float64
	rising           int

	stalled   float64 // level that was last fallen to
	stalledAt int     // since when it has not fallen further

	full, share, idle counter
	fullWatts         float64

	stepFrom, stepTo float64
	stepAt           int // 0: none
	stepSeen         int // readings that differed until then

	dwell [dwells]int
}

// counter is a slot's age since which something holds.
type counter struct {
	since int
	on    bool
}

func (k *counter) hold(is bool, age int) {
	if !k.on {
		k.since = age
	}
	k.on = is
}

func (k *counter) lasts(age int, d time.Duration) bool { return k.on && age-k.since >= slots(d) }

// Next takes the state one step further.
func (c *Settings) Next(s *State, in *Input, now time.Time) Outcome {
	if in.Session != s.id {
		c.change(s, in.Session)
	}
	if in.Fed != s.fed {
		s.fed = in.Fed
		s.interrupt()
	}
	r := &in.Reading
	if in.Fresh && s.fed && r.Quality == shedguard.QualityGood && r.Finite() && r.At.After(s.at) && !r.At.After(now) {
		if math.Abs(r.Volts) < deadVolts && s.volts >= deadVolts {
			s.interrupt() // the mains failed: every charger begins anew afterwards
			s.volts = 0
		} else {
			c.read(s, r)
		}
	}
	return Outcome{Phase: s.curve.phase, Load: s.load, Attached: s.curve.attached, Over: s.curve.over, Findings: s.findings[:s.found]}
}

// change begins or ends a session.
func (c *Settings) change(s *State, id string) {
	s.id = id
	s.curve, s.swing = curve{}, swings{}
	s.frozen.begun, s.frozen.changes = time.Time{}, 0
	s.found = 0
	s.filled, s.sumW, s.sumV = 0, 0, 0
	s.ring.clear()
	if id != "" {
		s.curve.phase = PhaseInrush
	}
}

// interrupt is a time without voltage, or without readings.
func (s *State) interrupt() {
	s.at = time.Time{}
	s.filled, s.sumW, s.sumV = 0, 0, 0
	s.ring.clear()
	s.load = LoadUnknown
	s.curve.paused = true
	s.swing = swings{}
	s.frozen.begun, s.frozen.changes = time.Time{}, 0
}

// read takes a good reading. The one before it was valid until now.
func (c *Settings) read(s *State, r *shedguard.Reading) {
	d := r.At.Sub(s.at)
	from, fromVolts := s.watts, s.volts
	s.at, s.watts, s.volts = r.At, min(math.Abs(r.Watts), mostWatts), min(math.Abs(r.Volts), mostVolts)
	if s.curve.known {
		c.watch(s)
	}
	if d > c.MaxGap { // as after the zero time: nothing is known of it
		return
	}
	for d > 0 {
		part := min(d, slotLen-s.filled)
		s.filled += part
		s.sumW += from * part.Seconds()
		s.sumV += fromVolts * part.Seconds()
		d -= part
		if s.filled == slotLen {
			w, v := s.sumW/slotLen.Seconds(), s.sumV/slotLen.Seconds()
			s.filled, s.sumW, s.sumV = 0, 0, 0
			c.slot(s, w, v)
		}
	}
}

// slot takes a slot that is complete.
func (c *Settings) slot(s *State, watts, volts float64) {
	s.ring.push(watts, volts)
	level, levelVolts, ok := s.ring.level(0)
	if s.id == "" || s.curve.over {
		if ok {
			s.load = c.loadOf(level)
		}
		return
	}
	u := &s.curve
	u.age++
	if u.phase != PhaseTrickle {
		u.total++
	}
	// Without a taper before it, next to nothing is a pause, and what was
	// before it goes on afterwards: a plug was pulled.
	gone := !u.attached && (watts < c.StandbyWatts || u.plateau >= c.Full.JudgeWatts && c.lowShare(u, watts))
	if gone && ok && c.fell(s) {
		u.attached, gone = true, false
		if u.phase != PhaseConstantVoltage {
			u.knee()
		}
	}
	if gone {
		u.age--
		u.total--
		c.pause(s, watts)
		return
	}
	if !ok {
		return
	}
	if u.paused {
		c.resume(s, level)
	}
	c.follow(s, level, levelVolts)
	c.judge(s)
}

// fell reports whether the slot before last, which no pulled plug has part of,
// was low already: a taper of seconds, as some lithium batteries have.
func (c *Settings) fell(s *State) bool {
	u := &s.curve
	w := s.ring.watts[(s.ring.next-3+ringSlots)%ringSlots]
	return w <= thirdShare*u.plateau && w > c.Full.Share*u.plateau
}

// pause waits for the battery to come back. A charger that idles without one
// for long enough has no charge to go on with.
func (c *Settings) pause(s *State, watts float64) {
	u := &s.curve
	s.ring.clear()
	s.load = c.loadOf(watts)
	u.idleFor = run(u.idleFor, watts >= c.EmptyWatts)
	u.paused = true
	if u.idleFor >= slots(c.Full.ShareAfter) {
		u.phase, u.over = PhaseIdle, true
	}
}

// loadOf says what draws so much.
func (c *Settings) loadOf(level float64) Load {
	switch {
	case level < c.EmptyWatts:
		return LoadNothing
	case level < c.StandbyWatts:
		return LoadIdleCharger
	case level < c.IdleWatts/2:
		return LoadFullBattery
	case level < c.IdleWatts:
		return LoadIdle
	default:
		return LoadCharge
	}
}

// resume goes on with the charge before a pause when power is the same, and
// begins another one otherwise: another battery, or one that has rested.
func (c *Settings) resume(s *State, level float64) {
	u := &s.curve
	u.paused, u.idleFor = false, 0
	same := math.Abs(level-u.level) <= sameShare*u.level || u.phase == PhaseTrickle && level <= u.level*1.5+c.StandbyWatts
	if u.known && !same {
		s.again()
	}
}

// again begins the charge anew, within its session.
func (s *State) again() {
	s.curve = curve{phase: PhaseInrush, total: s.curve.total}
}

// explained is what a level of power would be at another voltage, if it went
// with the square: never less than it is.
func explained(level, volts, at float64) float64 {
	if volts < deadVolts {
		return level
	}
	k := max(1, at/volts)
	return level * k * k
}

// follow takes the next level into the charge's phase.
func (c *Settings) follow(s *State, level, volts float64) {
	u := &s.curve
	before, beforeVolts, stepped := s.ring.level(stepSlots)
	switch {
	case !stepped:
	// A charger that is switched on again, or gets another battery.
	case u.attached && before <= c.Full.Share*u.plateau && level >= before+againShare*u.plateau,
		// A deeply empty battery is first woken with little.
		!c.sure(u) && u.age < prechargeFor && before <= c.Full.JudgeWatts && before <= precharge*level:
		if u.begins >= mostBegins && c.sure(u) {
			s.find(&c.Unstable.Rule, shedguard.CausePowerUnstable, shedguard.DetailStepUp, (level-before)/level*percent, c.Unstable.StepShare*percent, "%")
		}
		begins := u.begins + 1
		s.again()
		s.ring.clear()
		s.curve.begins = begins
		return
	}
	u.known = true
	u.level, u.volts = level, volts
	s.load = LoadCharge
	if u.phase == PhaseInrush {
		u.phase = PhaseConstantCurrent
	}
	c.smooth(s)
	if stepped {
		c.step(s, before, beforeVolts)
	}
	switch u.phase {
	case PhaseConstantVoltage, PhaseTrickle:
		c.taper(s)
	default:
		c.constantCurrent(s)
	}
	c.end(s)
}

// smooth says whether this is a charge at all.
func (c *Settings) smooth(s *State) {
	u := &s.curve
	rough := 0.0
	if s.ring.rough() > roughShare*u.level {
		rough = 1
	} else {
		u.smooth++
	}
	u.rough += (rough - u.rough) / 30 // five minutes
	sure := u.smooth >= slots(c.Settle)
	switch {
	case u.phase == PhaseConstantCurrent && !sure && u.rough > 0.3:
		u.phase = PhaseUnclear
	case u.phase == PhaseUnclear && u.rough < 0.15:
		u.phase = PhaseConstantCurrent
	}
	if u.ref == 0 && sure && float64(u.smooth) >= mostlyShare*float64(u.age) {
		u.ref, u.atRef = u.level, u.volts
	}
}

// sure reports whether the curve is known well enough to be judged.
func (c *Settings) sure(u *curve) bool { return u.ref > 0 && u.plateau >= c.Full.JudgeWatts }

// constantCurrent looks for the knee.
func (c *Settings) constantCurrent(s *State) {
	u := &s.curve
	if u.level >= u.plateau {
		u.plateau, u.atVolts = u.level, u.volts
	}
	// A fall to next to nothing is no knee: a plug was pulled.
	u.below = run(u.below, explained(u.level, u.volts, u.atVolts) < (1-c.KneeShare)*u.plateau && !c.lowShare(u, u.level))
	if u.below >= kneeSlots && u.phase == PhaseConstantCurrent {
		u.knee()
	}
}

// knee begins constant voltage.
func (u *curve) knee() {
	u.phase = PhaseConstantVoltage
	u.lowest, u.lowVolts, u.rising, u.back = u.level, u.volts, 0, 0
	u.stalled, u.stalledAt = u.level, u.age
}

// taper follows constant voltage and the trickle.
func (c *Settings) taper(s *State) {
	u := &s.curve
	if u.level < u.lowest {
		u.lowest, u.lowVolts = u.level, u.volts
	}
	if u.level < u.stalled-c.FloatTooHigh.FallShare*u.plateau {
		u.stalled, u.stalledAt = u.level, u.age
	}
	if i := dwellOf(u.lowest / u.plateau); i >= 0 && u.phase == PhaseConstantVoltage {
		u.dwell[i]++
	}
	u.low = run(u.low, u.level <= thirdShare*u.plateau && u.level > c.Full.Share*u.plateau)
	u.attached = (u.attached || u.low >= lowSlots) && u.level >= c.EmptyWatts
	u.back, u.drop = run(u.back, u.level >= backShare*u.plateau), run(u.drop, c.low(u))
	switch {
	case u.back >= kneeSlots && u.lowest >= shallow*u.plateau:
		// It was no knee. After a deep fall, power that comes back is a rise.
		u.phase, u.below, u.attached = PhaseConstantCurrent, 0, false
	case u.drop >= trickle && u.attached:
		u.phase = PhaseTrickle
	case u.level > 1.5*max(c.trickleWatts(u), c.Full.Share*u.plateau):
		u.phase = PhaseConstantVoltage // a trickle no longer
	}
}

func run(n int, is bool) int {
	if is {
		return n + 1
	}
	return 0
}

// trickleWatts is the power of the rule that looks at watts.
func (c *Settings) trickleWatts(u *curve) float64 {
	return min(max(c.Full.Watts, largeShare*u.plateau), thirdShare*u.plateau)
}

// lowShare reports whether watts are next to nothing beside the plateau.
func (c *Settings) lowShare(u *curve, watts float64) bool {
	return watts <= c.Full.Share*u.plateau && watts < max(c.Full.JudgeWatts, judgeShare*u.plateau)
}

// low reports whether a full battery may draw so little.
func (c *Settings) low(u *curve) bool { return u.level < c.trickleWatts(u) || c.lowShare(u, u.level) }

// end finds a full battery, and a load that never was a charge.
func (c *Settings) end(s *State) {
	u := &s.curve
	switch {
	case u.level >= c.trickleWatts(u):
		u.full.on = false
	case !u.full.on || math.Abs(u.level-u.fullWatts) > c.Full.ChangeWatts:
		u.full, u.fullWatts = counter{u.age, true}, u.level
	}
	u.share.hold(c.lowShare(u, u.level), u.age)
	u.idle.hold(u.plateau < c.IdleWatts, u.age)
	switch {
	case u.full.lasts(u.age, c.Full.After), u.share.lasts(u.age, c.Full.ShareAfter):
		u.phase, u.over = PhaseFull, true
		c.learn(s)
	case u.idle.lasts(u.age, c.Full.IdleAfter):
		u.phase, u.over = PhaseIdle, true
	case u.idle.lasts(u.age, idleAfter):
		u.phase, s.load = PhaseIdle, LoadIdle
	case u.phase == PhaseIdle:
		u.phase = PhaseConstantCurrent
	}
}
