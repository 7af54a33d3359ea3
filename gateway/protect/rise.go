package protect

import (
	"math"
	"time"
)

// riseSlots is how many parts the window of temperature_rise is cut into. The
// window slides by one part: it is between 15/16 and the whole of what the
// limits say.
const riseSlots = 16

// rise is the memory of temperature_rise: of each part of the window the lowest
// median of three samples in a row.
type rise struct {
	last  [3]float64 // the last samples, oldest first
	n     int        // of them
	begun time.Time  // of the slots
	slot  int64      // number of the latest one
	low   [riseSlots]float64
	now   float64 // kelvin above the lowest of the window
}

// add takes one sample and reports whether the rise is known: one sample that
// is wrong, up or down, is never the median of three.
func (r *rise) add(celsius float64, at time.Time, window time.Duration) bool {
	r.last[0], r.last[1], r.last[2] = r.last[1], r.last[2], celsius
	if r.n++; r.n < len(r.last) {
		return false
	}
	r.n = len(r.last)
	m := median(r.last)
	if r.begun.IsZero() {
		r.begun, r.slot = at, 0
		for i := range r.low {
			r.low[i] = math.Inf(1)
		}
	}
	slot := int64(at.Sub(r.begun) * riseSlots / window)
	for ; r.slot < slot; r.slot++ {
		if slot-r.slot > riseSlots {
			r.slot = slot - riseSlots
		}
		r.low[(r.slot+1)%riseSlots] = math.Inf(1)
	}
	here := &r.low[slot%riseSlots]
	*here = min(*here, m)
	lowest := m
	for _, low := range r.low {
		lowest = min(lowest, low)
	}
	r.now = m - lowest
	return true
}

func median(v [3]float64) float64 {
	return max(min(v[0], v[1]), min(max(v[0], v[1]), v[2]))
}

// rising runs temperature_rise on one sample of the thermometer.
func (l *Limits) rising(s *State, broken bool, at time.Time) {
	o := &l.TemperatureRise
	if !o.Enabled {
		return
	}
	if broken {
		s.rise = rise{}
	}
	if !s.rise.add(s.temp, at, o.Window) {
		return
	}
	rate := s.rise.now / o.Window.Minutes()
	over := rate > o.LimitPerMinute
	if over {
		l.decide(s, temperatureRise, rate, at.Add(-o.Window), at)
	}
	s.stand(temperatureRise, over, rate)
}
