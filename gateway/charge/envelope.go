package charge

import (
	"math"

	"github.com/shedguard/shedguard"
)

const (
	// MaxCharges is how many healthy charges an outlet remembers.
	MaxCharges = 9

	dwells     = 8    // stretches of the taper, from 95 % of the plateau down to 15 %
	topShare   = 0.95 //
	dwellShare = 0.1  // of the plateau: one stretch
	madSigma   = 1.4826
	spreads    = 5    // standard deviations of what is usual
	leastMin   = 40   // minutes: a stretch is not too long before
	leastRise  = 0.10 // likewise of a rise

	featureTotal = 0 // minutes of charging
	featureRise  = 1 // share
	featureDwell = 2 // minutes, the first of them
	features     = featureDwell + dwells
)

// Charge is what is kept of one healthy charge: minutes of charging, the rise
// in constant current as a share, and the minutes that each stretch of the
// taper took.
type Charge [features]float32

// envelope is what is usual at an outlet.
type envelope struct {
	charges [MaxCharges]Charge
	n, next int
	limit   [features]float64 // without the factor; 0: nothing is known, but of a rise
}

// dwellOf is the stretch of a level, as a share of the plateau, or -1.
func dwellOf(share float64) int {
	i := int((topShare - share) / dwellShare)
	if share > topShare || i >= dwells {
		return -1
	}
	return i
}

// add remembers a charge.
func (e *envelope) add(c Charge) {
	e.charges[e.next] = c
	e.next = (e.next + 1) % MaxCharges
	e.n = min(e.n+1, MaxCharges)
	for i := range features {
		e.limit[i] = e.usual(i)
	}
}

// usual is the upper end of what is usual of a feature: the median, and as much
// above it as the deviations explain.
func (e *envelope) usual(feature int) float64 {
	var v [MaxCharges]float64
	n := 0
	for i := range e.n {
		if x := float64(e.charges[i][feature]); x > 0 || feature == featureRise {
			v[n] = x
			n++
		}
	}
	if n < 3 {
		return 0
	}
	mid := median(v[:n])
	for i := range n {
		v[i] = math.Abs(v[i] - mid)
	}
	return mid + spreads*madSigma*median(v[:n])
}

// learn keeps a charge that found its battery full, if it was a healthy one.
func (c *Settings) learn(s *State) {
	u := &s.curve
	if !c.Envelope.Enabled || !s.healthy() || !c.sure(u) {
		return
	}
	var k Charge
	minutes := func(n int) float32 { return float32(float64(n) * slotLen.Minutes()) }
	k[featureTotal] = minutes(u.total)
	k[featureRise] = float32(math.Round(u.most*1000) / 1000)
	for i, n := range u.dwell {
		k[featureDwell+i] = minutes(n)
	}
	s.usual.add(k)
}

// compare holds the charge against those before it.
func (c *Settings) compare(s *State) {
	r, e, u := &c.Envelope, &s.usual, &s.curve
	if e.n < r.Charges {
		return
	}
	minutes := func(n int) float64 { return float64(n) * slotLen.Minutes() }
	if l := e.limit[featureTotal]; l > 0 && u.phase != PhaseTrickle {
		s.find(&r.Rule, shedguard.CauseChargeTooLong, shedguard.DetailSlow, minutes(u.total), max(l*r.Factor, 3*leastMin), "min")
	}
	if u.phase == PhaseConstantCurrent { // no rise at all is known, too
		s.find(&r.Rule, shedguard.CausePowerUnstable, shedguard.DetailSteeper, u.most*percent, max(e.limit[featureRise]*r.Factor, leastRise)*percent, "%")
	}
	if i := dwellOf(u.lowest / u.plateau); i >= 0 {
		if l := e.limit[featureDwell+i]; l > 0 {
			s.find(&r.Rule, shedguard.CauseFloatTooHigh, shedguard.DetailSlow, minutes(u.dwell[i]), max(l*r.Factor, leastMin), "min")
		}
	}
}
