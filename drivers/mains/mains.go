package mains

import (
	"errors"
	"fmt"
	"math"
	"time"
)

var (
	// ErrShort comes from Measure when too few samples were added.
	ErrShort = errors.New("too few samples")
	// ErrOrder comes when a sample is not later than the one before it.
	ErrOrder = errors.New("samples out of order")
	// ErrFull comes when a sample is beyond the span of the window, or there is
	// no room for it.
	ErrFull = errors.New("window is full")
)

// Limits of a window.
const (
	room    = 1024 // samples a channel
	fewest  = 16   // samples a channel that Measure needs
	slowest = 40.0 // Hz, of a line
	fastest = 70.0
)

// Opts says how the samples are taken.
type Opts struct {
	// Span is how long samples are collected, 100 ms to 2 s.
	Span time.Duration
	// Aperture is how long the converter averages for one sample, 0 to 5 ms.
	Aperture time.Duration
	// PhaseDegrees is by how much the voltage signal is ahead of the current
	// signal at a resistive load, −90° to 90°: the phase error of the voltage
	// transformer less that of the current transformer.
	PhaseDegrees float64
}

// DefaultOpts suits a converter of 860 samples a second on 50 or 60 Hz: ten
// whole cycles fit into 250 ms down to 45 Hz, wherever they begin.
func DefaultOpts() *Opts {
	return &Opts{Span: 250 * time.Millisecond, Aperture: time.Second / 860}
}

// Result is what a window measured.
type Result struct {
	// Volts and Amps are the true RMS values without their offset.
	Volts, Amps float64
	// VoltsOffset and AmpsOffset are the means that were removed.
	VoltsOffset, AmpsOffset float64
	// Watts is the active power of the fundamental; negative when it flows back.
	// It is 0 without voltage, current or line.
	Watts float64
	// VoltAmps is the product of Volts and Amps.
	VoltAmps float64
	// PowerFactor is Watts over VoltAmps, −1 to 1; 0 if VoltAmps is.
	PowerFactor float64
	// Hertz is the frequency of the line; 0 if there is none, and the RMS values
	// are then of all samples.
	Hertz float64
	// Cycles is how many whole cycles the values are taken over.
	Cycles int
	// Clipped says that samples were at an end of the converter: the RMS value of
	// that channel is too low.
	VoltsClipped, AmpsClipped bool
}

// Window collects samples of the voltage and the current of a line.
type Window struct {
	opts        Opts
	phase       float64 // radians
	volts, amps series
}

// series are the samples of one channel; times in seconds since the first sample
// of the window.
type series struct {
	n       int
	at      [room]float64
	value   [room]float64
	clipped bool
	start   time.Duration
}

// NewWindow returns an empty window.
func NewWindow(opts *Opts) (*Window, error) {
	if opts.Span < 100*time.Millisecond || opts.Span > 2*time.Second {
		return nil, fmt.Errorf("mains: span %s: want 100ms to 2s", opts.Span)
	}
	if opts.Aperture < 0 || opts.Aperture > 5*time.Millisecond {
		return nil, fmt.Errorf("mains: aperture %s: want 0s to 5ms", opts.Aperture)
	}
	if math.IsNaN(opts.PhaseDegrees) || math.Abs(opts.PhaseDegrees) > 90 {
		return nil, fmt.Errorf("mains: phase %g°: want -90 to 90", opts.PhaseDegrees)
	}
	return &Window{opts: *opts, phase: opts.PhaseDegrees * math.Pi / 180}, nil
}

// AddVolts adds a sample of the voltage; at is the middle of its conversion, by
// any clock that both channels share.
func (w *Window) AddVolts(at time.Duration, volts float64, clipped bool) error {
	return w.add(&w.volts, at, volts, clipped)
}

// AddAmps adds a sample of the current.
func (w *Window) AddAmps(at time.Duration, amps float64, clipped bool) error {
	return w.add(&w.amps, at, amps, clipped)
}

func (w *Window) add(s *series, at time.Duration, value float64, clipped bool) error {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return fmt.Errorf("mains: sample %g: want a number", value)
	}
	start, ok := w.start()
	if !ok {
		start = at
	}
	seconds := (at - start).Seconds()
	switch {
	case seconds < 0 || s.n > 0 && seconds <= s.at[s.n-1]:
		return fmt.Errorf("mains: sample at %s: %w", at, ErrOrder)
	case at-start > w.opts.Span || s.n == room:
		return fmt.Errorf("mains: sample at %s: %w", at, ErrFull)
	}
	s.start = start
	s.at[s.n], s.value[s.n] = seconds, value
	s.n++
	s.clipped = s.clipped || clipped
	return nil
}

// start is the time of the first sample of the window.
func (w *Window) start() (time.Duration, bool) {
	if w.volts.n > 0 {
		return w.volts.start, true
	}
	return w.amps.start, w.amps.n > 0
}

// Full reports whether a sample at a time would be beyond the span.
func (w *Window) Full(at time.Duration) bool {
	start, ok := w.start()
	return ok && at-start > w.opts.Span
}

// Reset empties the window.
func (w *Window) Reset() {
	w.volts.n, w.volts.clipped = 0, false
	w.amps.n, w.amps.clipped = 0, false
}

// Measure computes r from the samples in the window, which it keeps. On an error
// r is left as it was. A channel without samples is 0.
func (w *Window) Measure(r *Result) error {
	for _, s := range [...]*series{&w.volts, &w.amps} {
		if s.n > 0 && s.n < fewest {
			return fmt.Errorf("mains: %d samples of %d: %w", s.n, fewest, ErrShort)
		}
	}
	if w.volts.n+w.amps.n == 0 {
		return fmt.Errorf("mains: no samples: %w", ErrShort)
	}
	// The voltage is the cleaner wave; the current shows the line where there is
	// no voltage.
	line, ok := w.volts.line()
	if !ok {
		line, ok = w.amps.line()
	}
	if !ok {
		line = cycles{from: math.Inf(-1), to: math.Inf(1)}
	}
	volts, amps := w.volts.fit(&line), w.amps.fit(&line)
	droop := sinc(line.hertz * w.opts.Aperture.Seconds())
	now := Result{
		Volts:        volts.rms(droop),
		Amps:         amps.rms(droop),
		VoltsOffset:  volts.mean,
		AmpsOffset:   amps.mean,
		Watts:        volts.power(&amps, w.phase) / (droop * droop),
		Hertz:        line.hertz,
		Cycles:       line.n,
		VoltsClipped: w.volts.clipped,
		AmpsClipped:  w.amps.clipped,
	}
	now.VoltAmps = now.Volts * now.Amps
	if now.VoltAmps > 0 {
		now.PowerFactor = min(max(now.Watts/now.VoltAmps, -1), 1)
	}
	*r = now
	return nil
}

// cycles are whole cycles of the line.
type cycles struct {
	n        int
	from, to float64 // seconds
	hertz    float64
}

// line finds the whole cycles between the first and the last rising zero
// crossing, each interpolated between the samples around it.
func (s *series) line() (cycles, bool) {
	if s.n < fewest {
		return cycles{}, false
	}
	mean, peak := 0.0, 0.0
	for _, x := range s.value[:s.n] {
		mean += x / float64(s.n)
	}
	for _, x := range s.value[:s.n] {
		peak = max(peak, math.Abs(x-mean))
	}
	var c cycles
	// A crossing counts once after the wave was clearly below zero, so that noise
	// does not make several of one.
	armed, last, shortest, longest := false, 0.0, math.Inf(1), 0.0
	for i := 1; i < s.n; i++ {
		before, after := s.value[i-1]-mean, s.value[i]-mean
		armed = armed || before < -0.3*peak
		if !armed || before >= 0 || after < 0 {
			continue
		}
		armed = false
		at := s.at[i-1] + (s.at[i]-s.at[i-1])*before/(before-after)
		if c.to != 0 {
			c.n++
			shortest, longest = min(shortest, at-last), max(longest, at-last)
		} else {
			c.from = at
		}
		c.to, last = at, at
	}
	if c.n < 2 {
		return cycles{}, false
	}
	c.hertz = float64(c.n) / (c.to - c.from)
	// What is not steady is no line, but noise or a transient.
	steady := longest-shortest < 0.4/c.hertz
	return c, steady && c.hertz >= slowest && c.hertz <= fastest
}

// wave is mean + cos × cos ωt + sin × sin ωt, and the mean square of what that
// leaves of the samples: harmonics and noise.
type wave struct{ mean, cos, sin, rest float64 }

// fit fits a wave to the samples within whole cycles, by least squares. Without
// a line there is only a mean and the rest.
func (s *series) fit(c *cycles) wave {
	var normal [3][4]float64
	omega := 2 * math.Pi * c.hertz
	n := 0
	for i, t := range s.at[:s.n] {
		if t < c.from || t >= c.to {
			continue
		}
		n++
		sin, cos := math.Sincos(omega * t)
		row := [4]float64{1, cos, sin, s.value[i]}
		for j := range 3 {
			for k := range 4 {
				normal[j][k] += row[j] * row[k]
			}
		}
	}
	var w wave
	free := n - 1
	if c.hertz > 0 && n > 3 {
		w, free = solve(&normal), n-3
	} else if n > 0 {
		w.mean = normal[0][3] / float64(n)
	}
	if free <= 0 {
		return wave{}
	}
	for i, t := range s.at[:s.n] {
		if t < c.from || t >= c.to {
			continue
		}
		sin, cos := math.Sincos(omega * t)
		rest := s.value[i] - w.mean - w.cos*cos - w.sin*sin
		w.rest += rest * rest / float64(free)
	}
	return w
}

// solve solves the normal equations by elimination. Samples at more than two
// phases of the line make them regular.
func solve(m *[3][4]float64) wave {
	for i := range 3 {
		for j := i + 1; j < 3; j++ {
			if math.Abs(m[j][i]) > math.Abs(m[i][i]) {
				m[i], m[j] = m[j], m[i]
			}
		}
		if m[i][i] == 0 {
			return wave{mean: m[0][3] / max(m[0][0], 1)}
		}
		for j := range 3 {
			if j == i {
				continue
			}
			f := m[j][i] / m[i][i]
			for k := range 4 {
				m[j][k] -= f * m[i][k]
			}
		}
	}
	return wave{mean: m[0][3] / m[0][0], cos: m[1][3] / m[1][1], sin: m[2][3] / m[2][2]}
}

// rms is the RMS value of the wave without its mean, its fundamental corrected
// by the droop of the converter.
func (w *wave) rms(droop float64) float64 {
	return math.Sqrt((w.cos*w.cos+w.sin*w.sin)/(2*droop*droop) + w.rest)
}

// power is the active power of two waves, w turned back by phase.
func (w *wave) power(i *wave, phase float64) float64 {
	sin, cos := math.Sincos(phase)
	active := (w.cos*i.cos + w.sin*i.sin) / 2
	reactive := (w.cos*i.sin - w.sin*i.cos) / 2 // positive when w is ahead of i
	return active*cos + reactive*sin
}

// sinc is sin πx / πx, the amplitude of a wave of x cycles after averaging.
func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}
