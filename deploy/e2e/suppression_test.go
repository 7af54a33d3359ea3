package e2e_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
)

// agentPin is the output of the suppression agent of the simulated board.
const agentPin = 13

// site is what the API says of a shed as a whole.
type site struct {
	State       string
	Siren       bool
	Suppression *struct {
		Phase   shedguard.SuppressionPhase
		Zone    string
		AlarmID string `json:"alarm_id"`
		By      string
		Until   *time.Time
	}
	Feeder *struct {
		Watts     float64
		HardWatts float64 `json:"hard_watts"`
		At        time.Time
	}
}

func (c *collector) site(t *testing.T, shed string) (s site) {
	t.Helper()
	if c.try(t, http.MethodGet, "/api/v1/sheds/"+shed, nil, &s) != nil {
		return site{} // not heard yet
	}
	return s
}

// command gives a command through the API and reads its result.
func (c *collector) command(t *testing.T, shed, kind string, args, result any) {
	t.Helper()
	answer := struct {
		OK     bool
		Error  *shedguard.ReplyError
		Result any
	}{Result: result}
	body := map[string]any{"kind": kind}
	if args != nil {
		body["args"] = args
	}
	if err := c.try(t, http.MethodPost, "/api/v1/sheds/"+shed+"/commands", body, &answer); err != nil || !answer.OK {
		t.Fatalf("%s: %v, %v", kind, answer.Error, err)
	}
}

// changes are the phases that the shed's log tells of, oldest first.
func (c *collector) changes(t *testing.T, shed string) (all []shedguard.SuppressionChanged) {
	t.Helper()
	var log struct {
		Events []struct {
			Type, Subject string
			Data          shedguard.SuppressionChanged
		}
	}
	c.get(t, "/api/v1/sheds/"+shed+"/events?limit=500", &log)
	for _, e := range log.Events {
		if e.Type != "suppression.changed" {
			continue
		}
		if e.Subject != "shed" {
			t.Errorf("a change of the suppression is about %q", e.Subject)
		}
		all = append(all, e.Data)
	}
	slices.Reverse(all)
	return all
}

// A fire arms the agent; somebody who is not there sees it, vetoes, silences the
// siren and makes the agent ready again, and the shed's log tells who.
func TestFireVetoedFromAfar(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for a fire in the simulated shed and for the end of a veto window")
	}
	const shed = "burning"
	cloud := startCollector(t, t.TempDir(), withBroker)
	g := startGateway(t, t.TempDir(), shed, "mqtt://"+cloud.broker, "fire", "--suppression")
	var s site
	until(t, "the suppression is idle", func() bool {
		s = cloud.site(t, shed)
		return s.Suppression != nil && s.Suppression.Phase == shedguard.SuppressionIdle
	})
	if s.Siren || s.Suppression.Until != nil || s.Suppression.Zone != "" {
		t.Errorf("before the fire: %+v %+v", s, s.Suppression)
	}
	until(t, "the suppression is armed, the siren sounds", func() bool {
		s = cloud.site(t, shed)
		return s.Siren && s.Suppression.Phase == shedguard.SuppressionArmed
	})
	armed := s.Suppression
	if armed.Until == nil || time.Until(*armed.Until) > 30*time.Second || armed.Zone != "bay-1" || armed.By != "" {
		t.Errorf("armed: %+v", armed)
	}
	var now shedguard.SuppressionStatus
	cloud.command(t, shed, shedguard.CommandVetoSuppression, map[string]any{}, &now)
	if now.Phase != shedguard.SuppressionVetoed || now.By != user {
		t.Fatalf("the gateway answers %+v", now)
	}
	until(t, "the veto is shown", func() bool {
		s = cloud.site(t, shed)
		return s.Suppression.Phase == shedguard.SuppressionVetoed && s.Suppression.By == user && s.Suppression.Until == nil
	})
	if fires := cloud.find(t, shed, shedguard.CauseFire); !slices.ContainsFunc(fires, func(a alarm) bool { return a.ID == armed.AlarmID }) {
		t.Errorf("armed by alarm %q, fires are %+v", armed.AlarmID, fires)
	}

	// Every new critical alarm ends a silence, and a fire brings several.
	until(t, "the siren is silent", func() bool {
		cloud.command(t, shed, shedguard.CommandSilenceSiren, nil, nil)
		for range 40 {
			if !cloud.site(t, shed).Siren {
				return true
			}
			time.Sleep(lookEvery)
		}
		return false
	})
	var test shedguard.SelfTest
	cloud.command(t, shed, shedguard.CommandSelfTest, nil, &test)
	for _, name := range []string{"relays", "lamp", "outlet/3/meter", "suppression"} {
		if !slices.ContainsFunc(test.Checks, func(c shedguard.SelfTestCheck) bool { return c.Name == name && c.OK }) {
			t.Errorf("self-test has no good %s: %+v", name, test.Checks)
		}
	}
	until(t, "the feeder's load is shown", func() bool { f := cloud.site(t, shed).Feeder; return f != nil && f.HardWatts > 0 && !f.At.IsZero() })

	if armed.Until != nil {
		until(t, "the window is over", func() bool { return time.Since(*armed.Until) > time.Second })
	}
	if latch(t, g.dir)&(1<<agentPin) != 0 {
		t.Error("the agent is released in spite of the veto")
	}
	cloud.command(t, shed, shedguard.CommandVetoSuppression, map[string]any{"reset": true}, &now)
	until(t, "it is ready again", func() bool {
		s = cloud.site(t, shed)
		return s.Suppression.Phase == shedguard.SuppressionIdle && s.Suppression.By == user
	})
	var told []shedguard.SuppressionChanged
	until(t, "the log tells of three changes", func() bool { told = cloud.changes(t, shed); return len(told) >= 3 })
	want := []shedguard.SuppressionChanged{
		{Phase: shedguard.SuppressionArmed, Zone: "bay-1", AlarmID: armed.AlarmID, Senses: told[0].Senses},
		{Phase: shedguard.SuppressionVetoed, Zone: "bay-1", AlarmID: armed.AlarmID, By: user, Senses: told[0].Senses},
		{Phase: shedguard.SuppressionIdle, By: user, Senses: []shedguard.Cause{}},
	}
	if len(told[0].Senses) < 2 {
		t.Errorf("armed by %v alone", told[0].Senses)
	}
	for i := range told {
		told[i].Stamp = shedguard.Stamp{}
	}
	if !slices.EqualFunc(told, want, func(a, b shedguard.SuppressionChanged) bool {
		return a.Phase == b.Phase && a.Zone == b.Zone && a.AlarmID == b.AlarmID && a.By == b.By && a.Senses != nil && slices.Equal(a.Senses, b.Senses)
	}) {
		t.Errorf("the log tells %+v, want %+v", told, want)
	}
}
