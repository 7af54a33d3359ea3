package app_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/sim"
)

const agentPin = 13

func withAgent(c *config.Config) {
	c.Suppression = &config.Suppression{
		Enabled: true, Output: config.Pin{Name: c.Relays[0].Name, Pin: agentPin}, Veto: 5 * time.Second, Release: 2 * time.Second,
	}
}

func fire() *actuate.Fire {
	return &actuate.Fire{
		Grade: shedguard.GradeFire, Zone: "bay-1", AlarmID: "01JD0000000000000000000000",
		Senses: []shedguard.Cause{shedguard.CauseFlameSeen, shedguard.CauseSmokeContact},
	}
}

func (b *box) agent() bool { return b.shed.Expander.Outputs()>>agentPin&1 == 1 }

func (b *box) do(t *testing.T, kind, args string) (any, error) {
	t.Helper()
	return b.Command(t.Context(), shedguard.Command{
		ID: "01JD0000000000000000000009", Kind: kind, By: "wang", Args: json.RawMessage(args), BootID: b.BootID(),
	})
}

func phase(want shedguard.SuppressionPhase) func(*shedguard.ShedState) bool {
	return func(s *shedguard.ShedState) bool { return s.Suppression != nil && s.Suppression.Phase == want }
}

// TestSuppressionReleases: after its window, once, and over a restart.
func TestSuppressionReleases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, stop := start(t, boxOptions{dir: dir, edit: withAgent})
	b.await(t, 5*time.Second, "idle", phase("idle"))
	if err := b.Arm(t.Context(), fire()); err != nil {
		t.Fatal(err)
	}
	b.await(t, 5*time.Second, "armed", phase("armed"))
	if b.agent() {
		t.Fatal("released at once")
	}
	stop() // within the window

	b, _ = start(t, boxOptions{dir: dir, edit: withAgent})
	b.await(t, 20*time.Second, "releasing", phase("releasing"))
	if !b.agent() {
		t.Error("the output is off while it releases")
	}
	b.await(t, 20*time.Second, "released", phase("released"))
	if b.agent() {
		t.Error("the output is on after the release")
	}
	if err := b.Arm(t.Context(), fire()); !errors.Is(err, actuate.ErrSpent) {
		t.Errorf("armed again: %v", err)
	}
	if _, err := b.do(t, shedguard.CommandVetoSuppression, `{"reset":true}`); err != nil {
		t.Errorf("reset: %v", err)
	}
	b.await(t, 5*time.Second, "ready again", phase("idle"))
}

func TestSuppressionVetoed(t *testing.T) {
	t.Parallel()
	b, _ := start(t, boxOptions{edit: withAgent})
	refused := func(args, want string) {
		t.Helper()
		_, err := b.do(t, shedguard.CommandVetoSuppression, args)
		if r, ok := errors.AsType[*shedguard.ReplyError](err); !ok || !strings.Contains(r.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
	refused(`{}`, "not_permitted: veto: it is idle")
	refused(`{"all":true}`, "bad_args")
	if got := b.Told().Suppression; *got != (shedguard.Suppression{Phase: shedguard.SuppressionIdle}) {
		t.Errorf("the status tells %+v", got)
	}
	began := time.Now()
	if err := b.Arm(t.Context(), fire()); err != nil {
		t.Fatal(err)
	}
	told := *b.Told().Suppression
	if left := told.Until.Sub(began); told.Phase != shedguard.SuppressionArmed || told.Zone != "bay-1" || told.AlarmID != fire().AlarmID || left < 4900*time.Millisecond || left > 10*time.Second {
		t.Errorf("the status tells %+v, %v after it was armed", told, left)
	}
	for range 100 { // what differs is published anew
		if again := *b.Told().Suppression; again != told {
			t.Fatalf("%+v became %+v in the same window", told, again)
		}
		time.Sleep(time.Millisecond)
	}
	refused(`{"reset":true}`, "not_permitted: reset suppression: it is armed")
	result, err := b.do(t, shedguard.CommandVetoSuppression, ``)
	if s, ok := result.(*shedguard.SuppressionStatus); err != nil || !ok || s.Phase != "vetoed" || s.By != "wang" {
		t.Fatalf("%+v, %v", result, err)
	}
	select {
	case <-t.Context().Done():
	case <-time.After(6 * time.Second):
	}
	if got, want := *b.Told().Suppression, (shedguard.Suppression{Phase: shedguard.SuppressionVetoed, Zone: "bay-1", AlarmID: fire().AlarmID, By: "wang"}); got != want {
		t.Errorf("the status tells %+v, want %+v", got, want)
	}
	if s := b.State(); b.agent() || s.Suppression.Phase != "vetoed" {
		t.Errorf("output %t, %+v", b.agent(), s.Suppression)
	}
}

// TestSuppressionOfALostBook: nobody knows whether it released.
func TestSuppressionOfALostBook(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "alarms.json"), []byte("{\"torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, stop := start(t, boxOptions{dir: dir, edit: withAgent})
	b.await(t, 5*time.Second, "unknown", phase("unknown"))
	stop()
	b, _ = start(t, boxOptions{dir: dir, edit: withAgent})
	b.await(t, 5*time.Second, "still unknown", phase("unknown"))
	if err := b.Arm(t.Context(), fire()); !errors.Is(err, actuate.ErrSpent) {
		t.Errorf("armed: %v", err)
	}
}

func TestNoSuppression(t *testing.T) {
	t.Parallel()
	b, _ := start(t, boxOptions{edit: func(c *config.Config) { withAgent(c); c.Suppression.Enabled = false }})
	_, err := b.do(t, shedguard.CommandVetoSuppression, `{}`)
	if r, ok := errors.AsType[*shedguard.ReplyError](err); !ok || r.Code != shedguard.CodeNotPermitted || b.State().Suppression != nil || b.Told().Suppression != nil {
		t.Errorf("%v", err)
	}
}

// TestSelfTest: it tells what is well and what is not, and switches no outlet.
func TestSelfTest(t *testing.T) {
	t.Parallel()
	// All at once: an outlet whose turn comes within a test is not switched by it.
	b, _ := start(t, boxOptions{scenario: "meter-dead", edit: func(c *config.Config) { withAgent(c); c.Actuate.Stagger = 0 }})
	b.await(t, 30*time.Second, "outlets fed", func(s *shedguard.ShedState) bool {
		return !slices.ContainsFunc(s.Outlets, func(o shedguard.OutletStatus) bool { return !o.Closed })
	})
	run := func() *shedguard.SelfTest {
		t.Helper()
		before := b.shed.Expander.Outputs()
		result, err := b.do(t, shedguard.CommandSelfTest, `{}`)
		r, ok := result.(*shedguard.SelfTest)
		if err != nil || !ok {
			t.Fatalf("%v, %v", result, err)
		}
		if after := b.shed.Expander.Outputs(); after&^(1<<sim.LampPin) != before&^(1<<sim.LampPin) {
			t.Errorf("outputs %#04x before, %#04x after: an outlet was switched", before, after)
		}
		return r
	}
	find := func(r *shedguard.SelfTest, name string) *shedguard.SelfTestCheck {
		t.Helper()
		i := slices.IndexFunc(r.Checks, func(c shedguard.SelfTestCheck) bool { return c.Name == name })
		if i < 0 {
			t.Fatalf("no check %q: %+v", name, r.Checks)
		}
		return &r.Checks[i]
	}
	r := run()
	for _, name := range []string{"guard", "relays", "lamp", "outlet/3/meter", "outlet/12/thermometer", "outlet/1/relay", "disk", "clock", "suppression"} {
		if c := find(r, name); !c.OK {
			t.Errorf("%+v", c)
		}
	}
	if b.shed.Expander.Outputs()>>sim.LampPin&1 == 0 {
		t.Error("the lamp is not lit")
	}
	b.await(t, 30*time.Second, "the meter of outlet 3 dies", alarmed(shedguard.CauseMeterStale))
	r = run()
	if c := find(r, "outlet/3/meter"); c.OK || c.Detail == "" || r.OK {
		t.Errorf("%+v", c)
	}
	if _, err := b.do(t, shedguard.CommandSelfTest, `{"outlet":3}`); err == nil {
		t.Error("an argument that it does not have was accepted")
	}
}

// TestSilenceHoldsUntilANewCriticalAlarm: a person who was heard is not deafened,
// and is called again when there is more.
func TestSilenceHoldsUntilANewCriticalAlarm(t *testing.T) {
	t.Parallel()
	b, _ := start(t, boxOptions{load: &sim.Resistor{Ohms: 226. / 40}})
	b.await(t, 30*time.Second, "trip", tripped(sim.FaultOutlet))
	b.await(t, 30*time.Second, "siren: nobody can be told", func(s *shedguard.ShedState) bool { return s.Siren })
	if _, err := b.do(t, shedguard.CommandSilenceSiren, `{}`); err != nil {
		t.Fatal(err)
	}
	b.await(t, 5*time.Second, "silence, in the status too", func(s *shedguard.ShedState) bool { return !s.Siren && !b.Told().Siren })
	select {
	case <-t.Context().Done():
	case <-time.After(2 * time.Second):
	}
	if b.State().Siren {
		t.Error("the silence did not hold")
	}
	b.shed.Plug(sim.FaultOutlet+1, &sim.Resistor{Ohms: 226. / 40})
	b.await(t, 30*time.Second, "siren again: another outlet tripped", func(s *shedguard.ShedState) bool { return s.Siren && b.Told().Siren && tripped(sim.FaultOutlet+1)(s) })
}
