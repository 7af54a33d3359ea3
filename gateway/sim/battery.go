package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Chemistry is what a battery's cells are made of.
type Chemistry uint8

// The chemistries of e-bikes.
const (
	LeadAcid Chemistry = iota // three stages: constant current, constant voltage, float
	NMC                       // lithium nickel manganese cobalt
	LFP                       // lithium iron phosphate
)

func (c Chemistry) String() string {
	switch c {
	case LeadAcid:
		return "lead-acid"
	case NMC:
		return "NMC"
	case LFP:
		return "LFP"
	default:
		return fmt.Sprintf("chemistry(%d)", uint8(c))
	}
}

// cell is one cell's side of a charge, in volts a cell.
type cell struct {
	curve      [7][2]float64 // state of charge, voltage that the current works against
	limit      float64       // constant voltage
	float      float64       // after it; 0: the charger ends
	wake       float64       // below it the charger gives a tenth
	resistance float64       // volts at the charger's full current
	slow       float64       // likewise, of the polarisation
}

func (c Chemistry) cell() cell {
	switch c {
	case NMC:
		return cell{
			curve: [7][2]float64{{0, 3.0}, {0.05, 3.4}, {0.2, 3.55}, {0.5, 3.7}, {0.8, 3.98}, {0.95, 4.12}, {1, 4.19}},
			limit: 4.2, wake: 3.0, resistance: 0.05, slow: 0.05,
		}
	case LFP:
		return cell{
			curve: [7][2]float64{{0, 2.6}, {0.05, 3.15}, {0.2, 3.26}, {0.5, 3.31}, {0.9, 3.36}, {0.97, 3.42}, {1, 3.62}},
			limit: 3.65, wake: 2.6, resistance: 0.05, slow: 0.04,
		}
	default:
		return cell{
			curve: [7][2]float64{{0, 1.9}, {0.1, 1.97}, {0.3, 2.02}, {0.6, 2.08}, {0.85, 2.14}, {0.95, 2.26}, {1, 2.43}},
			limit: 2.46, float: 2.28, wake: 1.8, resistance: 0.16, slow: 0.12,
		}
	}
}

// polarises is the time constant of the slow part of a cell's voltage: what
// recovers in a pause.
const polarises = 15 * time.Minute

// Bike is a charger with the battery that it charges: constant current and then
// constant voltage, worked out from the cells' voltage, and float for lead-acid.
// It has no faults; a test adds those.
type Bike struct {
	Chemistry   Chemistry
	Cells       int     // in series
	AmpHours    float64 // of the battery
	Charge      float64 // state of charge, 0 to 1
	Amps        float64 // DC, of constant current
	EndShare    float64 // of Amps: where constant voltage ends
	Efficiency  float64
	IdleWatts   float64 // of the charger itself
	PowerFactor float64
	Transformer bool // a charger without regulation: its current follows the mains

	polarised float64 // V a cell
	ended     bool
	awake     bool
}

// voltage is what the current works against at a state of charge.
func (c *cell) voltage(charge float64) float64 {
	last := len(c.curve) - 1
	for i := 1; ; i++ {
		a, b := c.curve[i-1], c.curve[i]
		if charge <= b[0] || i == last { // beyond the end it goes on as before
			return a[1] + (charge-a[0])/(b[0]-a[0])*(b[1]-a[1])
		}
	}
}

// Draw implements [Load].
func (b *Bike) Draw(dt time.Duration, volts float64) Draw {
	c := b.Chemistry.cell()
	full := b.Amps
	if b.Transformer {
		full *= volts / 220
	}
	emf := c.voltage(b.Charge) + b.polarised
	share := 1.0
	b.awake = b.awake || emf > c.wake
	limit := c.limit
	switch {
	case b.ended && c.float == 0:
		share = 0
	case b.ended:
		limit = c.float
	case !b.awake:
		share = 0.1
	}
	share = min(share, (limit-emf)/c.resistance)
	if b.ended && c.float > 0 {
		share = max(share, 0.02) // what a full lead-acid battery takes for ever
	}
	share = max(share, 0)
	amps := full * share
	b.ended = b.ended || share < b.EndShare && b.awake
	cellVolts := emf + share*c.resistance
	b.Charge = min(b.Charge+amps*dt.Hours()/b.AmpHours, 1.1)
	b.polarised += (share*c.slow - b.polarised) * min(1, dt.Seconds()/polarises.Seconds())

	watts := b.IdleWatts + amps*cellVolts*float64(b.Cells)/b.Efficiency
	most := b.IdleWatts + b.Amps*c.limit*float64(b.Cells)/b.Efficiency
	pf := b.PowerFactor * (0.55 + 0.45*min(1, watts/most))
	return Draw{Amps: watts / (max(volts, 1) * pf), Watts: watts}
}

// Off implements [Load]. A charger begins anew when its supply comes back.
func (b *Bike) Off() { b.ended = false }

// Ended reports whether constant voltage is over.
func (b *Bike) Ended() bool { return b.ended }

// kind is a kind of vehicle with its charger.
type kind struct {
	chemistry   Chemistry
	cells       [2]int     // from, to, in steps of step
	step        int        //
	hours       [2]float64 // of a charge from empty, by the charger's current alone
	watts       [2]float64 // DC, at the limit
	end         [2]float64 // share
	efficiency  float64
	powerFactor float64
	transformer bool
}

// RandomBike returns a bike as sheds see them: three chemistries, 36 to 72 V,
// chargers of 60 to 1200 W, batteries in any state.
func RandomBike(r *rand.Rand) *Bike {
	kinds := [...]kind{
		{LeadAcid, [2]int{18, 36}, 6, [2]float64{5, 8}, [2]float64{60, 220}, [2]float64{0.15, 0.25}, 0.85, 0.6, false},
		{LeadAcid, [2]int{18, 30}, 6, [2]float64{5, 9}, [2]float64{60, 160}, [2]float64{0.15, 0.25}, 0.7, 0.8, true},
		{LeadAcid, [2]int{24, 36}, 6, [2]float64{6, 9}, [2]float64{250, 700}, [2]float64{0.15, 0.25}, 0.88, 0.95, false}, // three-wheelers
		{NMC, [2]int{10, 14}, 1, [2]float64{2.5, 7}, [2]float64{60, 250}, [2]float64{0.03, 0.1}, 0.87, 0.6, false},
		{NMC, [2]int{13, 20}, 1, [2]float64{1.5, 4}, [2]float64{250, 1200}, [2]float64{0.03, 0.1}, 0.91, 0.97, false}, // fast chargers
		{LFP, [2]int{12, 24}, 1, [2]float64{2, 6}, [2]float64{90, 900}, [2]float64{0.03, 0.1}, 0.9, 0.9, false},
	}
	k := kinds[r.IntN(len(kinds))]
	between := func(x [2]float64) float64 { return x[0] + r.Float64()*(x[1]-x[0]) }
	b := &Bike{
		Chemistry: k.chemistry, Cells: k.cells[0] + k.step*r.IntN((k.cells[1]-k.cells[0])/k.step+1),
		EndShare: between(k.end), Efficiency: k.efficiency * (0.97 + 0.06*r.Float64()), PowerFactor: k.powerFactor, Transformer: k.transformer,
	}
	c := k.chemistry.cell()
	watts := between(k.watts)
	b.Amps = watts / (c.limit * float64(b.Cells))
	b.AmpHours = b.Amps * between(k.hours)
	b.IdleWatts = 0.5 + watts*0.012*r.Float64()
	b.Charge = 0.02 + 0.9*r.Float64()*r.Float64()
	return b
}
