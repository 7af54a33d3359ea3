package app_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"periph.io/x/conn/v3/i2c"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/app"
	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/sim"
)

// TestMain plays a camera worker when it is started as one.
func TestMain(m *testing.M) {
	if dir := os.Getenv(playEnv); dir != "" && len(os.Args) > 1 && os.Args[1] == "run" {
		playWorker(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// box is a gateway on a simulated shed.
type box struct {
	*app.App
	shed *sim.Shed
	dir  string
}

type boxOptions struct {
	dir      string
	scenario string
	profile  string
	load     sim.Load // on the fault outlet
	expired  func(error)
	before   func(*sim.Shed) // before the gateway is built
	edit     func(*config.Config)
}

// start builds a gateway and runs it until the test ends or stop is called.
func start(t *testing.T, o boxOptions) (b *box, stop func()) {
	t.Helper()
	if o.dir == "" {
		o.dir = t.TempDir()
	}
	if o.profile == "" {
		o.profile = "outlet-10a"
	}
	text, err := sim.Config(sim.Settings{Shed: "S", Broker: "mqtt://127.0.0.1:1", Status: "127.0.0.1:0", Dir: o.dir, Profile: o.profile})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	// Whichever outlet comes last is fed within 6 s, not 24: what a test waits for is its matter.
	cfg.Actuate.Stagger = 500 * time.Millisecond
	if o.edit != nil {
		o.edit(cfg)
	}
	opts := sim.Options{Seed: 1}
	if o.scenario != "" {
		if opts.Script, err = sim.NewScript(o.scenario, cfg.Outlets[0].RatingAmps); err != nil {
			t.Fatal(err)
		}
	}
	mem, err := sim.OpenMemory(filepath.Join(o.dir, "board"))
	if err != nil {
		t.Fatal(err)
	}
	opts.Memory = mem
	shed, err := sim.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if o.load != nil {
		shed.Plug(sim.FaultOutlet, o.load)
	}
	if o.before != nil {
		o.before(shed)
	}
	if o.expired == nil {
		o.expired = func(err error) { t.Errorf("guard stood still: %v", err) }
	}
	a, err := app.New(t.Context(), app.Options{
		Config: cfg, Version: "test", Buses: map[string]i2c.Bus{sim.BusName: shed.Bus}, EnableLine: shed,
		Resets:  map[string]board.Line{sim.ResetLine: shed.MuxReset()},
		Expired: o.expired, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := a.Run(ctx); err != nil && o.scenario != "bus-hang" {
			t.Errorf("Run: %v", err)
		}
	})
	physics, endPhysics := context.WithCancel(t.Context())
	wg.Go(func() {
		if err := shed.Run(physics); err != nil {
			t.Errorf("physics: %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		endPhysics()
		wg.Wait()
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return &box{App: a, shed: shed, dir: o.dir}, stop
}

// await waits until ok holds of the state.
func (b *box) await(t *testing.T, within time.Duration, what string, ok func(*shedguard.ShedState) bool) shedguard.ShedState {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		s := b.State()
		if ok(&s) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %+v", what, within, s)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func tripped(outlet int) func(*shedguard.ShedState) bool {
	return func(s *shedguard.ShedState) bool {
		o := s.Outlets[outlet-1]
		return o.State == shedguard.StateTripped && !o.Closed
	}
}

func alarmed(cause shedguard.Cause) func(*shedguard.ShedState) bool {
	return func(s *shedguard.ShedState) bool {
		return slices.ContainsFunc(s.Alarms, func(a shedguard.Alarm) bool { return a.Cause == cause })
	}
}

func TestOutputsAreOpenBeforeTheFirstReading(t *testing.T) {
	t.Parallel()
	var (
		mu    sync.Mutex
		first uint16 // of the outputs at the first read of a meter
		seen  bool
		order []uint16
	)
	start(t, boxOptions{before: func(s *sim.Shed) {
		// What a process that died left behind: all twelve outlets closed.
		for _, w := range [][]byte{{0x14, 0xFF, 0x0F}, {0x00, 0, 0x30}} {
			if err := s.Bus.Tx(sim.RelayAddress, w, nil); err != nil {
				t.Error(err)
			}
		}
		s.Bus.Trace(func(addr uint16, _, _ []byte, _ error) {
			mu.Lock()
			defer mu.Unlock()
			if len(order) < 32 {
				order = append(order, addr)
			}
			if addr == sim.FirstMeter && !seen {
				seen, first = true, s.Expander.Outputs()
			}
		})
	}})
	deadline := time.Now().Add(10 * time.Second)
	for {
		mu.Lock()
		done, outputs, addrs := seen, first, slices.Clone(order)
		mu.Unlock()
		if done {
			if outputs&0x0FFF != 0 {
				t.Errorf("outputs %#x at the first reading, want all outlets open; transactions went to %#x", outputs, addrs)
			}
			if addrs[0] != sim.RelayAddress {
				t.Errorf("first transaction went to %#x, want the relays", addrs[0])
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no meter was read")
		}
		<-time.After(10 * time.Millisecond)
	}
}

func TestTripOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, stop := start(t, boxOptions{dir: dir, load: &sim.Resistor{Ohms: 226. / 40}})
	state := b.await(t, 20*time.Second, "trip", func(s *shedguard.ShedState) bool {
		return tripped(sim.FaultOutlet)(s) && len(s.Alarms) > 0
	})
	stop()

	again, _ := start(t, boxOptions{dir: dir})
	fed := again.await(t, 20*time.Second, "outlets 1 and 2 fed", func(s *shedguard.ShedState) bool {
		return s.Outlets[0].Closed && s.Outlets[1].Closed && s.Outlets[3].Closed
	})
	if !tripped(sim.FaultOutlet)(&fed) {
		t.Errorf("outlet after the restart: %+v, want it tripped", fed.Outlets[sim.FaultOutlet-1])
	}
	if got, want := ids(fed.Alarms), ids(state.Alarms); !slices.Equal(got, want) {
		t.Errorf("alarms after the restart: %v, want the same as before: %v", got, want)
	}
}

func ids(alarms []shedguard.Alarm) []string {
	var list []string
	for _, a := range alarms {
		list = append(list, a.ID)
	}
	slices.Sort(list)
	return list
}

func TestEachScenarioEndsAsTheFateTableSays(t *testing.T) {
	t.Parallel()
	fed := func(b *box, outlet int) bool { return b.shed.Look(outlet).Fed }
	tests := map[string]struct {
		within time.Duration // after the fault
		done   func(b *box, s *shedguard.ShedState) bool
	}{
		"overload": {20 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return tripped(3)(s) && alarmed(shedguard.CauseOvercurrent)(s) && !fed(b, 3)
		}},
		"short": {2 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return tripped(3)(s) && alarmed(shedguard.CauseShortCircuit)(s) && !fed(b, 3)
		}},
		"hot": {60 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return tripped(3)(s) && alarmed(shedguard.CauseOverTemperature)(s) && !fed(b, 3)
		}},
		"rise": {20 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return tripped(3)(s) && alarmed(shedguard.CauseTemperatureRise)(s) && !fed(b, 3)
		}},
		// Every outlet waits for the supply, and none needs a person.
		"overvoltage": {10 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return s.Outlets[2].State == shedguard.StateSuspended && alarmed(shedguard.CauseOvervoltage)(s) && !fed(b, 1) && !fed(b, 3) && len(s.Outlets[2].Latched) == 0
		}},
		"undervoltage": {15 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return s.Outlets[2].State == shedguard.StateSuspended && alarmed(shedguard.CauseUndervoltage)(s) && !fed(b, 1) && !fed(b, 3) && len(s.Outlets[2].Latched) == 0
		}},
		"smoke": {5 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return tripped(1)(s) && tripped(3)(s) && alarmed(shedguard.CauseSmokeContact)(s) && !fed(b, 1) && !fed(b, 3) && !tripped(7)(s)
		}},
		"welded": {25 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return alarmed(shedguard.CauseRelayWelded)(s) && s.Siren && fed(b, 3)
		}},
		"meter-dead": {5 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return !s.Outlets[2].Closed && alarmed(shedguard.CauseMeterStale)(s) && !fed(b, 3) && s.Outlets[0].Closed
		}},
		// The stuck bus carries no word to the relays: the enable line opens them.
		"bus-hang": {8 * time.Second, func(b *box, s *shedguard.ShedState) bool {
			return alarmed(shedguard.CauseBusFault)(s) && !fed(b, 1) && !fed(b, 2) && !fed(b, 3)
		}},
		"quiet": {5 * time.Second, func(_ *box, s *shedguard.ShedState) bool {
			return len(s.Alarms) == 0 && s.Outlets[0].Closed && s.At.After(time.Time{})
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := start(t, boxOptions{scenario: name})
			b.await(t, 40*time.Second, "outlet 3 fed", func(s *shedguard.ShedState) bool { return s.Outlets[2].Closed || name == "quiet" })
			b.await(t, 12*time.Second+tt.within, name, func(s *shedguard.ShedState) bool { return tt.done(b, s) })
			if name == "overvoltage" {
				b.await(t, 90*time.Second, "fed again by itself", func(s *shedguard.ShedState) bool { return s.Outlets[2].Closed && len(s.Alarms) == 0 })
			}
		})
	}
}

// TestRecordedOverloadTrips plays a real recording into the registers: three
// lab loads switched on one after another, 14, 23 and 30 A.
func TestRecordedOverloadTrips(t *testing.T) {
	t.Parallel()
	shared := os.Getenv("SHEDGUARD_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	f, err := os.Open(filepath.Join(shared, "charging-data", "lab_main3_train.csv"))
	if err != nil {
		t.Skipf("needs the recordings: set SHEDGUARD_SHARED or put them into ../shared: %v", err)
	}
	defer func() { _ = f.Close() }()
	rec, err := sim.ReadRecording(f)
	if err != nil {
		t.Fatal(err)
	}
	// From shortly before the first load that exceeds 5 A: the minutes of
	// nothing before it show nothing.
	i := slices.IndexFunc(rec.Rows, func(r sim.Row) bool { return r.Amps > 5 })
	if i < 0 {
		t.Fatal("no overload in the recording")
	}
	rec.Rows = rec.Rows[max(0, i-3):]
	for k, from := 0, rec.Rows[0].At; k < len(rec.Rows); k++ {
		rec.Rows[k].At -= from
	}
	b, _ := start(t, boxOptions{profile: "outlet-5a", load: rec})
	s := b.await(t, 60*time.Second, "trip of a 5 A outlet", func(s *shedguard.ShedState) bool {
		return tripped(3)(s) && !b.shed.Look(3).Fed && len(s.Alarms) > 0
	})
	t.Logf("tripped by %s at %.2f %s, limit %.2f", s.Alarms[0].Cause, s.Alarms[0].Value, s.Alarms[0].Unit, s.Alarms[0].Limit)
}

// TestUnsentCriticalAlarmSoundsTheSiren: nobody can be told over the network, so
// the shed itself tells (GB 26875.1-2011 4.1.1.4).
func TestUnsentCriticalAlarmSoundsTheSiren(t *testing.T) {
	t.Parallel()
	b, _ := start(t, boxOptions{load: &sim.Resistor{Ohms: 226. / 40}})
	s := b.await(t, 20*time.Second, "trip", func(s *shedguard.ShedState) bool {
		return tripped(sim.FaultOutlet)(s) && len(s.Alarms) > 0
	})
	if s.Siren {
		t.Error("the siren sounds at once: the link gets ten seconds first")
	}
	// In short tones: the output is on for a part of the time.
	b.await(t, 30*time.Second, "siren", func(s *shedguard.ShedState) bool {
		return s.Siren && b.shed.Expander.Outputs()&(1<<sim.SirenPin) != 0
	})
}

// TestUnreadableLatchesKeepEverythingOpen: a gateway that cannot know what was
// tripped feeds nothing until a person says so.
func TestUnreadableLatchesKeepEverythingOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "alarms.json"), []byte("{\"torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, _ := start(t, boxOptions{dir: dir})
	b.await(t, 10*time.Second, "state_lost on every outlet", func(s *shedguard.ShedState) bool {
		for _, o := range s.Outlets {
			if o.Closed {
				t.Fatalf("outlet %d was closed", o.Outlet)
			}
			if o.State != shedguard.StateTripped || !slices.Contains(o.Latched, shedguard.CauseStateLost) {
				return false
			}
		}
		return alarmed(shedguard.CauseStateLost)(s)
	})
	kept, err := filepath.Glob(filepath.Join(dir, "alarms.json?*"))
	if err != nil || len(kept) == 0 {
		t.Errorf("the unreadable file was not set aside: %v, %v", kept, err)
	}
}
