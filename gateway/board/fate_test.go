package board_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/poll"
)

// TestFateOfDirectMeters freezes and resets the meters of direct current, which
// must be set up, and wants each to be seen and to come back.
func TestFateOfDirectMeters(t *testing.T) {
	t.Parallel()
	bench := func(t *testing.T) (first *sim.INA219, second *sim.INA226, line *poll.Line) {
		t.Helper()
		bus := sim.NewBus("i2c-1", 400*physic.KiloHertz)
		first, second = sim.NewINA219(0.01), sim.NewINA226(0.002)
		bus.Attach(0x40, first)
		bus.Attach(0x41, second)
		bus.Attach(0x48, sim.NewLM75())
		bus.Attach(0x49, sim.NewTMP75())
		bus.Attach(0x18, sim.NewMAX7310())
		b, err := board.New(directConfig(t, "max7310", 0x18, false), map[string]i2c.Bus{"main": bus}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if line, err = poll.New(b.Polls()[0]); err != nil {
			t.Fatal(err)
		}
		return first, second, line
	}
	// run polls for d while the currents move as living ones do, and returns when
	// each outlet's reading was last good and last frozen, since the start.
	run := func(line *poll.Line, first *sim.INA219, second *sim.INA226, d time.Duration) (good, frozen [3]time.Duration, qualities [3]shedguard.Quality) {
		start := time.Now()
		for i := 0; time.Since(start) < d; i++ {
			time.Sleep(max(time.Until(line.Next()), time.Millisecond))
			first.Set(12, 2+float64(i%2)/100)
			second.Set(24, 3+float64(i%2)/100)
			line.Tick(time.Now, func(s *poll.Sample) {
				n := s.Reading.Outlet
				qualities[n] = s.Reading.Quality
				if s.Fresh {
					good[n] = time.Since(start)
				}
				if errors.Is(s.Err, poll.ErrFrozen) && frozen[n] == 0 {
					frozen[n] = time.Since(start)
				}
			})
		}
		return good, frozen, qualities
	}
	t.Run("frozen_registers", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			first, second, line := bench(t)
			run(line, first, second, 10*time.Second)
			first.Freeze(true)
			second.Freeze(true)
			_, frozen, q := run(line, first, second, 90*time.Second)
			for n, limit := range map[int]time.Duration{1: time.Minute, 2: 30 * time.Second} {
				if frozen[n] < limit-time.Second || frozen[n] > limit+time.Second || q[n] != shedguard.QualityFault {
					t.Errorf("outlet %d: frozen after %s, want %s; quality %s", n, frozen[n], limit, q[n])
				}
			}
			first.Freeze(false)
			second.Freeze(false)
			if _, _, q := run(line, first, second, time.Second); q[1] != shedguard.QualityGood || q[2] != shedguard.QualityGood {
				t.Errorf("they move again: %s, %s", q[1], q[2])
			}
		})
	})
	t.Run("power_on_reset", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			first, second, line := bench(t)
			run(line, first, second, 10*time.Second)
			errs := line.Stats().Errors
			first.Reset()
			second.Reset()
			good, _, q := run(line, first, second, 3*time.Second)
			if line.Stats().Errors == errs {
				t.Error("no read told of a reset")
			}
			for n := 1; n <= 2; n++ {
				if q[n] != shedguard.QualityGood || good[n] < 2*time.Second {
					t.Errorf("outlet %d: %s, last good %s after the reset of 3 s ago", n, q[n], good[n])
				}
			}
		})
	})
}
