package calibration

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/config"
)

// What a measurement must be to be believed.
const (
	LeastSamples = 10
	mostSpread   = 0.02  // of the mean, amperes
	mostVSpread  = 0.01  // of the mean, volts
	mostDrift    = 0.005 // of the mean, from the first half to the second
	leastLoad    = 0.05  // of the rating, the least load that says something
	mostRest     = 0.05  // of the rating, the most current of an open outlet
	nearEnd      = 0.95  // of full scale
	resistive    = 0.98  // the power factor from which watts are volts times amperes
)

// ErrUnsteady comes when the readings move too much to be averaged.
var ErrUnsteady = errors.New("unsteady")

// ErrSaturated comes when a current is at the end of what the meter can measure.
var ErrSaturated = errors.New("saturated")

// Measurement sums up the readings of one meter, without corrections.
type Measurement struct {
	from, to time.Time
	samples  []Values
	factor   float64 // sum of the power factors
	bad      int     // readings that were none
}

// Take takes one reading in. Whatever corrections are in effect on it is undone.
func (m *Measurement) Take(r *shedguard.Reading, in *config.Meter) {
	if r.Quality > shedguard.QualitySuspect || !r.Finite() {
		m.bad++
		return
	}
	if len(m.samples) == 0 {
		m.from = r.At
	}
	m.to = r.At
	v := Values{Volts: undo(r.Volts, in.Volts), Amps: undo(r.Amps, in.Amps), Watts: undo(r.Watts, in.Watts)}
	if !Mains(in) {
		v.Watts = v.Volts * v.Amps
	}
	m.samples = append(m.samples, v)
	m.factor += r.PowerFactor
}

// Bad counts a reading that failed.
func (m *Measurement) Bad() { m.bad++ }

// Samples counts the good readings.
func (m *Measurement) Samples() int { return len(m.samples) }

func undo(y float64, t config.Trim) float64 { return (y - t.Offset) / t.Gain }

// mean is the mean of some samples.
func mean(samples []Values) (v Values) {
	n := float64(len(samples))
	for _, s := range samples {
		v.Volts += s.Volts / n
		v.Amps += s.Amps / n
		v.Watts += s.Watts / n
	}
	return v
}

// point is the mean and the spread of what was measured.
func (m *Measurement) point(now time.Time, by string) (Point, error) {
	if len(m.samples) < LeastSamples || m.bad > len(m.samples)/20 {
		return Point{}, fmt.Errorf("%d good readings and %d bad ones: want at least %d, and 1 bad one in 20", len(m.samples), m.bad, LeastSamples)
	}
	p := Point{At: now.UTC().Truncate(time.Second), By: by, Seconds: m.to.Sub(m.from).Round(100 * time.Millisecond).Seconds(), Samples: len(m.samples), Mean: mean(m.samples)}
	for _, s := range m.samples {
		p.Spread.Volts += (s.Volts - p.Mean.Volts) * (s.Volts - p.Mean.Volts)
		p.Spread.Amps += (s.Amps - p.Mean.Amps) * (s.Amps - p.Mean.Amps)
		p.Spread.Watts += (s.Watts - p.Mean.Watts) * (s.Watts - p.Mean.Watts)
	}
	n := float64(len(m.samples) - 1)
	p.Spread = Values{Volts: math.Sqrt(p.Spread.Volts / n), Amps: math.Sqrt(p.Spread.Amps / n), Watts: math.Sqrt(p.Spread.Watts / n)}
	return p, nil
}

// Rest is the point of an open outlet.
func (m *Measurement) Rest(o *config.Outlet, now time.Time, by string) (Point, error) {
	p, err := m.point(now, by)
	if err != nil {
		return Point{}, err
	}
	if most := mostRest * o.RatingAmps; math.Abs(p.Mean.Amps) > most || p.Spread.Amps > most {
		return Point{}, fmt.Errorf("%.3g A ± %.2g A through an open outlet: want %.3g A at most; is the relay stuck, or does something bypass it?", p.Mean.Amps, p.Spread.Amps, most)
	}
	return p, nil
}

// Load is the point of a known load. A reference without watts gets those of a
// resistive load where the meter sees one.
func (m *Measurement) Load(o *config.Outlet, ref Values, now time.Time, by string) (Point, error) {
	p, err := m.point(now, by)
	if err != nil {
		return Point{}, err
	}
	half := len(m.samples) / 2
	first, second := mean(m.samples[:half]), mean(m.samples[half:])
	share := func(x, of float64) float64 { return math.Abs(x / of) }
	end := FullScaleAmps(&o.Meter)
	top := 0.0
	for _, s := range m.samples {
		top = max(top, math.Abs(s.Amps))
	}
	switch least := leastLoad * o.RatingAmps; {
	case end > 0 && top > nearEnd*end:
		return Point{}, fmt.Errorf("%w: %.4g A of %.4g A; take a smaller load", ErrSaturated, top, end)
	case ref.Amps < least:
		return Point{}, fmt.Errorf("a load of %.3g A is too small: want %.3g A or more, %g %% of the rating", ref.Amps, least, 100*leastLoad)
	case math.Abs(p.Mean.Amps) < least/MostGain:
		return Point{}, fmt.Errorf("the meter sees %.3g A where %.4g A flow: is the load in this outlet?", p.Mean.Amps, ref.Amps)
	case share(p.Spread.Volts, p.Mean.Volts) > mostVSpread:
		return Point{}, fmt.Errorf("%w: %.4g V ± %.2g V; want %g %% or less", ErrUnsteady, p.Mean.Volts, p.Spread.Volts, 100*mostVSpread)
	case share(p.Spread.Amps, p.Mean.Amps) > mostSpread:
		return Point{}, fmt.Errorf("%w: %.4g A ± %.2g A; want %g %% or less", ErrUnsteady, p.Mean.Amps, p.Spread.Amps, 100*mostSpread)
	case share(second.Amps-first.Amps, p.Mean.Amps) > mostDrift:
		return Point{}, fmt.Errorf("%w: from %.4g A to %.4g A while it was measured; is the load still warming up?", ErrUnsteady, first.Amps, second.Amps)
	}
	if ref.Watts == 0 && Mains(&o.Meter) && m.factor/float64(len(m.samples)) >= resistive {
		ref.Watts = ref.Volts * ref.Amps
	}
	if !Mains(&o.Meter) {
		ref.Watts = 0
	}
	p.True = &ref
	return p, nil
}
