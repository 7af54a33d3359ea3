package protect_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/gateway/protect"
)

// A mains cycle has two half-cycles; a meter's RMS value is of one cycle.
const (
	halfCycle = 10 * time.Millisecond
	window    = 2 * halfCycle
)

// rms is what a meter shows at an instant: the RMS value of the last cycle of a
// current whose RMS value in each millisecond is given.
func rms(amps func(ms int) float64, at time.Duration) float64 {
	end, n := int(at/time.Millisecond), int(window/time.Millisecond)
	var sum float64
	for ms := end - n; ms < end; ms++ {
		sum += amps(ms) * amps(ms)
	}
	return math.Sqrt(sum / float64(n))
}

// play samples a current from now on and returns the first verdict that opens.
func (b *bench) play(d, every, phase time.Duration, amps func(ms int) float64) (protect.Verdict, bool) {
	for at := phase; at < d; at += every {
		wait := every
		if at == phase {
			wait = phase
		}
		if v := b.sample(wait, rms(amps, at)); v.MustOpen() {
			return v, true
		}
	}
	return protect.Verdict{}, false
}

// TestArcsOfNineHalfCycles: GB 31252-2014 allows no action on up to nine
// disturbed half-cycles in a second. Wherever they lie, whatever the phase of
// sampling at 5 to 50 Hz, and up to 4.1 times the rating (beyond it the magnetic
// trip of a C breaker is near), they trip nothing, also on an outlet that has
// carried its rating for ever.
func TestArcsOfNineHalfCycles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.SampledFrom([]int{20, 25, 50, 100, 110, 200}).Draw(t, "every_ms")) * time.Millisecond
		phase := time.Duration(rapid.IntRange(0, int(every/time.Millisecond)-1).Draw(t, "phase_ms")) * time.Millisecond
		times := rapid.Float64Range(1, 4.1).Draw(t, "times")
		disturbed := map[int]bool{} // half-cycles of the second
		if rapid.Bool().Draw(t, "in a row") {
			first := rapid.IntRange(0, 91).Draw(t, "first")
			for i := range 9 {
				disturbed[first+i] = true
			}
		} else {
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 99), 0, 9, rapid.ID[int]).Draw(t, "which") {
				disturbed[i] = true
			}
		}
		l := limits()
		l.Overpower.Enabled = false // of active power, which an arc of a few half-cycles has none of its own
		b := newBench(l, protect.UnknownHeat, 0)
		v, opened := b.play(3*time.Second, every, phase, func(ms int) float64 {
			if ms -= 1000; ms >= 0 && disturbed[ms/int(halfCycle/time.Millisecond)] {
				return 10 * times
			}
			return 10
		})
		if opened {
			t.Fatalf("%v", causes(v))
		}
	})
}

// TestInrushNeverTrips: the capacitor of a charger draws tens of amperes for a
// few half-cycles as it is plugged in (supplies of this size are rated 60 A at
// most, cold), and for a second or two somewhat more than later. On the smallest
// outlet, 5 A, that trips nothing, whatever the phase of sampling at 5 to 50 Hz,
// from cold or warm. Slower, one conversion speaks for so long that the image
// may take a surge for a current that flows.
func TestInrushNeverTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.SampledFrom([]int{20, 25, 50, 100, 110, 200}).Draw(t, "every_ms")) * time.Millisecond
		phase := time.Duration(rapid.IntRange(0, int(every/time.Millisecond)-1).Draw(t, "phase_ms")) * time.Millisecond
		peak := rapid.Float64Range(0, 60).Draw(t, "peak")
		tau := rapid.Float64Range(1, 10).Draw(t, "tau_ms")
		slow := rapid.Float64Range(0, 8).Draw(t, "slow")
		settle := rapid.Float64Range(50, 700).Draw(t, "settle_ms")
		l := limits()
		l.RatingAmps, l.Overpower.LimitWatts = 5, 1100
		b := newBench(l, rapid.SampledFrom([]float64{0, 0.5, 0.8}).Draw(t, "heat"), 0)
		plugged := rapid.IntRange(0, 100).Draw(t, "plugged_ms")
		v, opened := b.play(10*time.Second, every, phase, func(ms int) float64 {
			if ms -= plugged; ms < 0 {
				return 0
			}
			x := float64(ms)
			return 2 + slow*math.Exp(-x/settle) + peak*math.Exp(-x/tau)
		})
		if opened {
			t.Fatalf("%v", v.Decisions())
		}
	})
}

// TestShortCircuitTripsAtAnyRate: a current of three times the rating that
// lasts trips with the second conversion that is 100 ms after the first: within
// 100 ms and two periods.
func TestShortCircuitTripsAtAnyRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		every := time.Duration(rapid.SampledFrom([]int{20, 50, 100, 200, 500, 1000}).Draw(t, "every_ms")) * time.Millisecond
		phase := time.Duration(rapid.IntRange(0, int(every/time.Millisecond)-1).Draw(t, "phase_ms")) * time.Millisecond
		times := rapid.Float64Range(3.01, 20).Draw(t, "times")
		b := newBench(limits(), 0, 0)
		begun := b.now.Add(2 * time.Second)
		_, opened := b.play(6*time.Second, every, phase, func(ms int) float64 {
			if ms >= 2000 {
				return 10 * times
			}
			return 2
		})
		if took := b.now.Sub(begun); !opened || took > 100*time.Millisecond+window+2*every {
			t.Fatalf("opened %t after %v", opened, took)
		}
	})
}
