package charge_test

import (
	"fmt"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
)

// A battery stops taking less when it should be nearly full.
func Example() {
	c := settings()
	state := charge.NewState(charge.Record{})
	begin := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	watts := func(t time.Duration) float64 {
		switch {
		case t < time.Hour:
			return 120
		case t < 100*time.Minute:
			return 120 - 1.8*(t-time.Hour).Minutes() // to 48 W
		default:
			return 48 + t.Seconds()/1e6 // no meter says the same for ever
		}
	}
	phase, grade := charge.PhaseNone, charge.Grade(0)
	for t := time.Duration(0); t < 4*time.Hour; t += time.Second {
		now := begin.Add(t)
		out := c.Next(&state, &charge.Input{
			Session: "01JDBQ6N5XB4Y3M2T1S0R9Q8P7", Fed: true, Fresh: true,
			Reading: shedguard.Reading{Outlet: 3, At: now, Volts: 220, Watts: watts(t)},
		}, now)
		if out.Phase != phase {
			phase = out.Phase
			fmt.Println(t, phase)
		}
		for _, f := range out.Findings {
			if f.Grade > grade {
				grade = f.Grade
				fmt.Println(t, grade, f.Cause, f.Action, "-", f.Text().EN)
			}
		}
	}
	// Output:
	// 0s inrush
	// 30s constant_current
	// 1h5m40s constant_voltage
	// 2h39m10s warning float_too_high none - power stopped falling at 48 W after the taper (limit 30 W)
	// 3h39m10s major float_too_high tripped - power stopped falling at 48 W after the taper (limit 30 W)
}
