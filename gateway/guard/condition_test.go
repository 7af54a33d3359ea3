package guard

import (
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// TestConditionsReachTheRelay: what others found opens the outlet like a rule of
// protect, every change of it is told, and a report changes nothing else.
func TestConditionsReachTheRelay(t *testing.T) {
	b := newBoard(t, 20*time.Millisecond)
	g, o := b.guard, b.line.outlets[2]
	o.settings.SelfCheck = 0
	g.opts.Stagger = 0
	step := func() []Change {
		t.Helper()
		drain(g)
		time.Sleep(time.Until(b.line.poll.Next()))
		g.Tick()
		var of []Change
		for _, c := range drain(g) {
			if c.Outlet == o.number {
				of = append(of, c)
			}
		}
		return of
	}
	for range 5 {
		step()
	}
	if !o.in.Closed {
		t.Fatal("never fed")
	}

	// More than any fixed number of marks that a change could be told by.
	reports := []shedguard.Cause{
		shedguard.CauseFloatTooHigh, shedguard.CausePowerUnstable, shedguard.CauseChargeTooLong, shedguard.CauseOvervoltage,
		shedguard.CauseUndervoltage, shedguard.CauseShedOverload, shedguard.CauseDoorOpen, shedguard.CauseSmokeSeen, shedguard.CauseFlameSeen,
	}
	for i, cause := range reports {
		o.conditions = append(o.conditions, protect.Condition{Cause: cause, Severity: shedguard.SeverityWarning})
		of := step()
		if len(of) != 1 || len(of[0].Decisions) != i+1 || !of[0].Closed {
			t.Fatalf("%d reports: %d changes, %+v", i+1, len(of), of)
		}
	}
	o.conditions = append(o.conditions, protect.Condition{Cause: shedguard.CauseFire, Severity: shedguard.SeverityCritical, Action: shedguard.ActionCutZone, Latch: true})
	of := step()
	if len(of) != 1 || of[0].Closed || len(of[0].Operations) != 1 || of[0].Operations[0].Why != string(shedguard.CauseFire) {
		t.Fatalf("fire: %+v", of)
	}
	if b.relays.Outputs()&(1<<(o.number-1)) != 0 {
		t.Error("the relay is closed")
	}
	o.conditions = o.conditions[:0]
	if of = step(); len(of) != 1 || len(of[0].Decisions) != 1 || of[0].Latched != protect.NewCauses(shedguard.CauseFire) || of[0].State != shedguard.StateTripped {
		t.Errorf("after it passed: %+v", of)
	}
}
