package feeder_test

import (
	"fmt"
	"time"

	"github.com/shedguard/shedguard/gateway/feeder"
)

// Three chargers draw more than the feeder carries: the one that came last goes.
func Example() {
	limits := &feeder.Limits{SoftWatts: 900, HardWatts: 1000, Delay: 2 * time.Second, Settle: 10 * time.Second}
	state := feeder.NewState(3)
	now := time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)
	begun := []time.Time{now.Add(-time.Hour), now.Add(-time.Minute), now.Add(-3 * time.Hour)}
	for range 4 {
		loads := make([]feeder.Load, 3)
		for i := range loads {
			loads[i] = feeder.Load{
				Outlet: i + 1, Rated: 1000, Watts: 350, At: now, Fed: true, Since: begun[i],
				Wanted: true, Session: true, Begun: begun[i],
			}
		}
		v := limits.Next(&state, loads, feeder.Meter{}, now)
		if v.Changed {
			for i := range loads {
				if h := state.Hold(i); h.Mode == feeder.Shed {
					fmt.Printf("outlet %d is switched off: the shed draws %.0f W, limit %.0f W\n", loads[i].Outlet, h.Value, h.Limit)
				}
			}
		}
		now = now.Add(time.Second)
	}
	// Output:
	// outlet 2 is switched off: the shed draws 1050 W, limit 1000 W
}
