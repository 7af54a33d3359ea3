package app_test

import (
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/sim"
)

// TestFeederOverload: a shed that draws more than its cable carries switches
// off the outlet that came last, says so, and gives it back when there is room.
func TestFeederOverload(t *testing.T) {
	t.Parallel()
	b, _ := start(t, boxOptions{
		load: &sim.Resistor{Ohms: 48.4}, // 1000 W
		edit: func(c *config.Config) {
			c.Feeder.SoftWatts, c.Feeder.HardWatts, c.Feeder.Delay, c.Feeder.Settle = 700, 800, time.Second, time.Second
			for i := range c.Outlets {
				c.Outlets[i].Session.SelfCheck, c.Outlets[i].Session.ResumeAfter = 500*time.Millisecond, time.Second
			}
			c.Actuate.Stagger = 0
		},
	})
	s := b.await(t, 30*time.Second, "outlet switched off", func(s *shedguard.ShedState) bool {
		return s.Feeder != nil && s.Feeder.Shed == 1 && !s.Outlets[sim.FaultOutlet-1].Closed
	})
	if o := s.Outlets[sim.FaultOutlet-1]; o.State != shedguard.StateSuspended {
		t.Errorf("outlet %+v", o)
	}
	s = b.await(t, 10*time.Second, "alarms", func(s *shedguard.ShedState) bool {
		n := 0
		for i := range s.Alarms {
			if s.Alarms[i].Cause == shedguard.CauseShedOverload {
				n++
			}
		}
		return n == 2
	})
	for i := range s.Alarms {
		if a := &s.Alarms[i]; a.Cause == shedguard.CauseShedOverload &&
			(a.Limit != 800 || a.Unit != "W" || a.Value <= 800 || a.Action != shedguard.ActionSuspended || !strings.Contains(a.Text.EN, "limit 800 W")) {
			t.Errorf("alarm %+v", a)
		}
	}
	b.shed.Plug(sim.FaultOutlet, &sim.Resistor{Ohms: 484}) // 100 W: but what it drew before is expected of it
	time.Sleep(3 * time.Second)
	if s := b.State(); s.Feeder.Shed != 1 {
		t.Errorf("given back without room for what it drew: %+v", s.Feeder)
	}
}
