package calibration

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/shedguard/shedguard/gateway/config"
)

// The range of a correction. What is beyond is no error of a meter but one of
// the configuration: another part, divider or shunt.
const (
	LeastGain  = 0.5
	MostGain   = 2.0
	mostOffset = 0.05 // of the outlet's rating
	mostVolts  = 5.0  // V
	ratedVolts = 250.0
)

const (
	sameLoad   = 0.2  // loads within this share of each other are one
	farLoads   = 1.5  // loads that differ by this factor have an offset
	mostMisfit = 0.02 // of a load, after the fit
	mostLoads  = 4    // of an outlet
)

// Values are one quantity of each channel.
type Values struct {
	Volts float64 `json:"volts"`           // V
	Amps  float64 `json:"amps"`            // A
	Watts float64 `json:"watts,omitempty"` // W; 0 in a reference: not known
}

// Trim is the correction of one channel: true = Gain × measured + Offset.
type Trim struct {
	Gain   float64 `json:"gain"`
	Offset float64 `json:"offset"` // V, A or W
}

// of applies the correction.
func (t *Trim) of(x float64) float64 { return t.Gain*x + t.Offset }

// Point is one measurement of an outlet.
type Point struct {
	At      time.Time `json:"at"`
	By      string    `json:"by,omitempty"` // who held the reference
	Seconds float64   `json:"seconds"`
	Samples int       `json:"samples"`
	// Mean is what the meter said without corrections, and Spread its standard
	// deviation.
	Mean   Values `json:"mean"`
	Spread Values `json:"spread"`
	// True is what the reference said; nil for an open outlet.
	True *Values `json:"true,omitempty"`
}

// Record is the calibration of one outlet's meter.
type Record struct {
	Outlet int    `json:"outlet"`
	Meter  string `json:"meter"`  // chip and place
	Wiring string `json:"wiring"` // a name of everything that scales its values
	// Volts, Amps and Watts are nil where nothing is known.
	Volts  *Trim   `json:"volts,omitempty"`
	Amps   *Trim   `json:"amps,omitempty"`
	Watts  *Trim   `json:"watts,omitempty"`
	Points []Point `json:"points"`
}

// At is when the newest point was measured.
func (r *Record) At() time.Time {
	var at time.Time
	for i := range r.Points {
		if r.Points[i].At.After(at) {
			at = r.Points[i].At
		}
	}
	return at
}

// Zero is the point of the open outlet, or nil.
func (r *Record) Zero() *Point {
	for i := range r.Points {
		if r.Points[i].True == nil {
			return &r.Points[i]
		}
	}
	return nil
}

// Loads counts the known loads.
func (r *Record) Loads() int {
	n := len(r.Points)
	if r.Zero() != nil {
		n--
	}
	return n
}

// New is the calibration of an outlet of which nothing was measured yet.
func New(o *config.Outlet) *Record {
	return &Record{Outlet: o.Number, Meter: Meter(&o.Meter), Wiring: Wiring(&o.Meter)}
}

// Add takes a point in, in place of an older one of the same load, and fits anew.
// On an error the record is left as it was.
func (r *Record) Add(p Point, o *config.Outlet) error {
	next := *r
	next.Points = slices.DeleteFunc(slices.Clone(r.Points), func(old Point) bool { return old.replacedBy(&p) })
	next.Points = append(next.Points, p)
	for next.Loads() > mostLoads {
		oldest := slices.IndexFunc(next.Points, func(p Point) bool { return p.True != nil })
		next.Points = slices.Delete(next.Points, oldest, oldest+1)
	}
	if err := next.fit(&o.Meter); err != nil {
		return err
	}
	if err := next.Check(o); err != nil {
		return err
	}
	*r = next
	return nil
}

func (p *Point) replacedBy(other *Point) bool {
	if p.True == nil || other.True == nil {
		return p.True == other.True
	}
	return math.Abs(p.True.Amps-other.True.Amps) <= sameLoad*other.True.Amps
}

// pair is a measured value and the true one.
type pair struct{ x, y float64 }

// fit computes the corrections from the points. Channels of which nothing was
// measured keep the gain of the configuration.
func (r *Record) fit(m *config.Meter) error {
	var volts, amps, watts []pair
	zero := r.Zero()
	for i := range r.Points {
		if p := &r.Points[i]; p.True != nil {
			volts = append(volts, pair{p.Mean.Volts, p.True.Volts})
			amps = append(amps, pair{p.Mean.Amps, p.True.Amps})
			if p.True.Watts != 0 {
				watts = append(watts, pair{p.Mean.Watts, p.True.Watts})
			}
		}
	}
	r.Volts, r.Amps, r.Watts = nil, nil, nil
	if len(volts) > 0 {
		r.Volts = gainOnly(volts)
	}
	if !Mains(m) {
		r.Amps = line(amps, zero != nil, restOf(zero).Amps, m.Amps.Gain)
	} else {
		r.Amps = line(amps, false, 0, 0)
		r.Watts = line(watts, zero != nil, restOf(zero).Watts, m.Watts.Gain)
	}
	for _, c := range []struct {
		name  string
		trim  *Trim
		pairs []pair
	}{{"V", r.Volts, volts}, {"A", r.Amps, amps}, {"W", r.Watts, watts}} {
		for _, p := range c.pairs {
			if off := (c.trim.of(p.x) - p.y) / p.y; math.IsNaN(off) || math.Abs(off) > mostMisfit {
				return fmt.Errorf("the loads do not fit together: at %.4g %s the meter would be off by %.1f %%, want %g %% or less; measure again, or begin anew with --clear",
					p.y, c.name, 100*off, 100*mostMisfit)
			}
		}
	}
	return nil
}

func restOf(zero *Point) Values {
	if zero == nil {
		return Values{}
	}
	return zero.Mean
}

// gainOnly is the gain with the least squares of what is left.
func gainOnly(pairs []pair) *Trim {
	var xy, xx float64
	for _, p := range pairs {
		xy += p.x * p.y
		xx += p.x * p.x
	}
	return &Trim{Gain: xy / xx}
}

// line is the correction through the pairs, and through the rest where it is
// known; gain is for a rest alone. It is nil when there is nothing.
func line(pairs []pair, rested bool, rest, gain float64) *Trim {
	if len(pairs) == 0 {
		if !rested {
			return nil
		}
		return &Trim{Gain: gain, Offset: -gain * rest}
	}
	if rested {
		pairs = append(slices.Clone(pairs), pair{rest, 0})
	}
	least := slices.MinFunc(pairs, func(a, b pair) int { return cmp.Compare(math.Abs(a.y), math.Abs(b.y)) })
	most := slices.MaxFunc(pairs, func(a, b pair) int { return cmp.Compare(math.Abs(a.y), math.Abs(b.y)) })
	if len(pairs) == 1 || math.Abs(most.y) < farLoads*math.Abs(least.y) {
		return gainOnly(pairs)
	}
	var mx, my float64
	for _, p := range pairs {
		mx += p.x / float64(len(pairs))
		my += p.y / float64(len(pairs))
	}
	var xy, xx float64
	for _, p := range pairs {
		xy += (p.x - mx) * (p.y - my)
		xx += (p.x - mx) * (p.x - mx)
	}
	t := &Trim{Gain: xy / xx}
	t.Offset = my - t.Gain*mx
	return t
}

// ErrOtherMeter comes when a record is of another chip, place or wiring.
var ErrOtherMeter = errors.New("calibrated with another meter or wiring")

// Check reports whether the record may be applied to an outlet: it is of its
// meter, and its numbers are in range.
func (r *Record) Check(o *config.Outlet) error {
	if meter, wiring := Meter(&o.Meter), Wiring(&o.Meter); r.Meter != meter || r.Wiring != wiring {
		return fmt.Errorf("outlet %d: %w: %s, wiring %s; now %s, wiring %s", r.Outlet, ErrOtherMeter, r.Meter, r.Wiring, meter, wiring)
	}
	var errs []error
	for _, c := range []struct {
		name string
		unit string
		trim *Trim
		most float64 // offset
	}{
		{"volts", "V", r.Volts, mostVolts},
		{"amps", "A", r.Amps, mostOffset * o.RatingAmps},
		{"watts", "W", r.Watts, mostOffset * o.RatingAmps * ratedVolts},
	} {
		if c.trim == nil {
			continue
		}
		if g := c.trim.Gain; !(g >= LeastGain && g <= MostGain) { // a NaN is neither
			errs = append(errs, fmt.Errorf("outlet %d: %s.gain: %.4g: want %g to %g; does the configuration name the right part, divider or shunt?", r.Outlet, c.name, g, LeastGain, MostGain))
		}
		if !(math.Abs(c.trim.Offset) <= c.most) {
			errs = append(errs, fmt.Errorf("outlet %d: %s.offset: %.4g %s: want %.4g %s at most, either way", r.Outlet, c.name, c.trim.Offset, c.unit, c.most, c.unit))
		}
	}
	return errors.Join(errs...)
}

// Apply puts the corrections in place of those of the configuration.
func (r *Record) Apply(m *config.Meter) {
	for _, c := range []struct {
		from *Trim
		to   *config.Trim
	}{{r.Volts, &m.Volts}, {r.Amps, &m.Amps}, {r.Watts, &m.Watts}} {
		if c.from != nil {
			*c.to = config.Trim(*c.from)
		}
	}
}
