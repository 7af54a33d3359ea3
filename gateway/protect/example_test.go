package protect_test

import (
	"fmt"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// An outlet rated 10 A carries 25 A from cold until the image trips it.
func Example() {
	limits := protect.Limits{
		RatingAmps: 10,
		Overcurrent: protect.Overcurrent{
			Rule:   protect.Rule{Enabled: true, Severity: shedguard.SeverityMajor, Act: protect.ActTrip},
			PickUp: 1.05, Heating: 2 * time.Minute, Cooling: 6 * time.Minute, ResetHeat: 0.97,
		},
	}
	state := protect.NewState(0, 0)
	begin := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	for now := begin; ; now = now.Add(100 * time.Millisecond) {
		in := protect.Input{
			Reading: shedguard.Reading{Outlet: 3, At: now, Volts: 221, Amps: 25, Watts: 5400, PowerFactor: 0.98},
			Fresh:   true, Closed: true,
		}
		verdict := limits.Next(&state, &in, now)
		if verdict.MustOpen() {
			d := verdict.Decisions()[0]
			fmt.Printf("%s after %v: %g %s, limit %g %s\n", d.Cause, now.Sub(begin), d.Value, d.Unit, d.Limit, d.Unit)
			return
		}
	}
	// Output: overcurrent after 23.3s: 25 A, limit 10.5 A
}
