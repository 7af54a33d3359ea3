package sim_test

import (
	"testing"
	"time"

	"github.com/shedguard/shedguard/gateway/sim"
)

// TestBikeCharges holds the shape of each chemistry's charge to what chargers
// do: hours, nearly level first, then falling, a small share at the end.
func TestBikeCharges(t *testing.T) {
	tests := map[string]struct {
		bike sim.Bike
		// what is wanted of it
		first, most, end [2]float64 // W: after a minute, at most, after it has ended
		hours            [2]float64 // until then
	}{
		"lead-acid, 48 V 12 Ah": {
			bike:  sim.Bike{Chemistry: sim.LeadAcid, Cells: 24, AmpHours: 12, Charge: 0.2, Amps: 1.8, EndShare: 0.2, Efficiency: 0.85, IdleWatts: 2, PowerFactor: 0.6},
			first: [2]float64{105, 115}, most: [2]float64{120, 130}, end: [2]float64{3, 6}, hours: [2]float64{5.5, 9},
		},
		"NMC, 48 V 15 Ah": {
			bike:  sim.Bike{Chemistry: sim.NMC, Cells: 13, AmpHours: 15, Charge: 0.1, Amps: 3, EndShare: 0.05, Efficiency: 0.88, IdleWatts: 1, PowerFactor: 0.6},
			first: [2]float64{150, 160}, most: [2]float64{180, 190}, end: [2]float64{1, 1}, hours: [2]float64{4.5, 6.5},
		},
		"LFP, 60 V 20 Ah": {
			bike:  sim.Bike{Chemistry: sim.LFP, Cells: 20, AmpHours: 20, Charge: 0.05, Amps: 5, EndShare: 0.05, Efficiency: 0.9, IdleWatts: 3, PowerFactor: 0.95},
			first: [2]float64{345, 370}, most: [2]float64{400, 412}, end: [2]float64{3, 3}, hours: [2]float64{3.7, 5},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var first, most, last float64
			var d time.Duration
			for ; !tt.bike.Ended() && d < 24*time.Hour; d += time.Second {
				w := tt.bike.Draw(time.Second, 220).Watts
				if d == time.Minute {
					first = w
				}
				most = max(most, w)
			}
			for range 1800 {
				last = tt.bike.Draw(time.Second, 220).Watts
			}
			in := func(what string, v float64, r [2]float64) {
				if v < r[0] || v > r[1] {
					t.Errorf("%s: %.1f, want %g to %g", what, v, r[0], r[1])
				}
			}
			in("watts after a minute", first, tt.first)
			in("most watts", most, tt.most)
			in("watts at the end", last, tt.end)
			in("hours", d.Hours(), tt.hours)
		})
	}
}
