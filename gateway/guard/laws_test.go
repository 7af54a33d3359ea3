package guard

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"periph.io/x/conn/v3/physic"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/drivers/mcp23017"
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/protect"
)

// socket is a meter and what is plugged in: its current flows while the relay is
// closed.
type socket struct {
	chip *sim.MCP23017
	amps float64
	err  error
	read time.Time // last time it answered
	n    uint32
}

func (l *socket) Read(r *shedguard.Reading) error {
	if l.err != nil {
		return l.err
	}
	amps := l.amps
	if l.chip.Outputs()&1 == 0 {
		amps = 0
	}
	l.n++ // a converter's noise
	l.read = time.Now()
	r.Volts, r.Amps, r.Watts, r.PowerFactor, r.Raw[0] = 220, amps, 220*amps, 1, l.n
	return nil
}

// bay is a guard of one outlet, from its meter to the pin of its relay.
type bay struct {
	*Guard
	o      *outlet
	socket *socket
	chip   *sim.MCP23017
}

func newBay() (*bay, error) {
	bus := sim.NewBus("relays", 400*physic.KiloHertz)
	chip, err := sim.NewMCP23017(nil)
	if err != nil {
		return nil, err
	}
	bus.Attach(0x20, chip)
	dev, err := mcp23017.New(bus, mcp23017.DefaultOpts())
	if err != nil {
		return nil, err
	}
	b := &bay{socket: &socket{chip: chip}, chip: chip}
	line, err := poll.New(poll.Options{Name: "main", Points: []poll.Point{{Outlet: 1, Meter: b.socket, Every: 100 * time.Millisecond}}})
	if err != nil {
		return nil, err
	}
	relays, err := actuate.New(actuate.Options{Expanders: []actuate.Expander{dev}, Outlets: []actuate.Outlet{{Number: 1}}})
	if err != nil {
		return nil, err
	}
	limits := benchLimits()
	limits.OverTemperature.Enabled = false // there is no thermometer
	limits.Overpower.Delay = 3 * time.Second
	settings := benchSettings()
	settings.MaxMinutes = 2
	ids := 0
	b.Guard, err = New(Options{
		Lines: []*poll.Line{line}, Relays: relays, ChangeQueue: 1024, SampleQueue: 1,
		Outlets: []Outlet{{Number: 1, Limits: limits, Session: settings, Charge: benchCurve()}},
		NewID: func() string {
			ids++
			return fmt.Sprintf("01JD%022d", ids)
		},
	})
	if err != nil {
		return nil, err
	}
	b.o = b.lines[0].outlets[0]
	return b, nil
}

// fed reports whether the relay's pin is on.
func (b *bay) fed() bool { return b.chip.Outputs()&1 == 1 }

// tick waits for the next sample and takes it.
func (b *bay) tick() {
	time.Sleep(time.Until(b.lines[0].poll.Next()))
	b.Tick()
	drain(b.Guard)
}

// plug sets what is plugged in, what fails and what others found.
func (b *bay) plug(a act) {
	b.socket.amps, b.socket.err, b.o.conditions = a.amps, nil, a.what
	if a.dead {
		b.socket.err = errNoAnswer
	}
}

// order carries out an order now, as the line does between two samples.
func (b *bay) order(kind string) error {
	reply := make(chan error, 1)
	b.carryOut(b.lines[0], &order{
		Order: Order{Kind: kind, Outlet: 1, Args: shedguard.StartArgs{Outlet: 1}, By: "wang", SessionID: b.opts.NewID()}, reply: reply,
	})
	drain(b.Guard)
	return <-reply
}

// act is one thing that happens to an outlet.
type act struct {
	amps  float64
	dead  bool
	order string
	what  []protect.Condition
	ticks int
}

func drawActs(t *rapid.T) []act {
	conditions := rapid.SampledFrom([][]protect.Condition{
		nil, nil, nil,
		{{Cause: shedguard.CausePowerUnstable, Severity: shedguard.SeverityWarning}},
		{{Cause: shedguard.CauseFloatTooHigh, Severity: shedguard.SeverityMajor, Action: shedguard.ActionSuspended}},
		{{Cause: shedguard.CauseFire, Severity: shedguard.SeverityCritical, Action: shedguard.ActionCutZone, Latch: true}},
	})
	acts := make([]act, rapid.IntRange(1, 25).Draw(t, "acts"))
	for i := range acts {
		acts[i] = act{
			amps: rapid.SampledFrom([]float64{0, 0.02, 2, 2, 2, 9.9, 10.4, 14, 31, 60}).Draw(t, "amps"),
			dead: rapid.IntRange(0, 5).Draw(t, "dead") == 0,
			order: rapid.SampledFrom([]string{
				"", "", "", shedguard.CommandStart, shedguard.CommandStop, shedguard.CommandResetTrip, shedguard.CommandResetTrip,
			}).Draw(t, "order"),
			what:  conditions.Draw(t, "conditions"),
			ticks: rapid.SampledFrom([]int{1, 2, 5, 30, 60, 200}).Draw(t, "ticks"),
		}
	}
	return acts
}

var errNoAnswer = errors.New("not acknowledged")

// TestLaws: whatever is plugged in, whatever fails and whatever people ask for,
// a trip stays until a reset that was granted, a latched outlet is not fed, an
// outlet whose meter is silent is not fed, and what must be open is open, with
// every sample.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		acts := drawActs(r)
		var err error
		synctest.Test(t, func(*testing.T) { err = obeyed(acts) })
		if err != nil {
			r.Fatal(err)
		}
	})
}

// obeyed plays acts and reports the law that was broken, if one was.
func obeyed(acts []act) error {
	b, err := newBay()
	if err != nil {
		return err
	}
	var latched protect.Causes // since the last reset
	for _, a := range acts {
		b.plug(a)
		if a.order != "" {
			was := b.fed()
			err := b.order(a.order)
			if a.order == shedguard.CommandResetTrip && err == nil {
				latched = 0
			}
			if b.fed() && (!was || a.order == shedguard.CommandStop) {
				return fmt.Errorf("fed after %s (%w) and before the next sample", a.order, err)
			}
		}
		for range a.ticks {
			b.tick()
			v := &b.o.verdict
			if gone := latched &^ v.Latched(); gone != 0 {
				return fmt.Errorf("%v cleared itself", gone)
			}
			latched |= v.Latched()
			switch silent := time.Since(b.socket.read); {
			case b.o.protect.Latched() != latched:
				return fmt.Errorf("kept over a restart: %v, want %v", b.o.protect.Latched(), latched)
			case b.fed() && latched != 0:
				return fmt.Errorf("fed while %v is latched", latched)
			case b.fed() && v.MustOpen():
				return fmt.Errorf("fed in spite of %v", v.Opening())
			case b.fed() && silent > b.o.limits.MeterStale.Limit:
				return fmt.Errorf("fed though the meter has been silent for %v", silent)
			}
		}
	}
	return nil
}

// TestFaultsAreFoundInTheGuard: laws that only forbid would hold of an outlet
// that is never fed.
func TestFaultsAreFoundInTheGuard(t *testing.T) {
	tests := map[string]struct {
		amps  float64
		dead  bool
		cause shedguard.Cause
		after time.Duration // between the last good sample and the opening, within one sample
	}{
		"short circuit":  {amps: 31, cause: shedguard.CauseShortCircuit, after: 200 * time.Millisecond},
		"overpower":      {amps: 14, cause: shedguard.CauseOverpower, after: 3 * time.Second},
		"silent meter":   {amps: 2, dead: true, cause: shedguard.CauseMeterStale, after: 3 * time.Second},
		"nothing at all": {amps: 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, err := newBay()
				if err != nil {
					t.Fatal(err)
				}
				b.socket.amps = 2
				for range 200 {
					b.tick()
				}
				if !b.fed() {
					t.Fatal("never fed")
				}
				b.socket.amps = tt.amps
				if tt.dead {
					b.socket.err = errNoAnswer
				}
				began := time.Now()
				for b.fed() && time.Since(began) < time.Minute {
					b.tick()
				}
				if tt.cause == "" {
					if !b.fed() {
						t.Fatalf("opened for %v", b.o.verdict.Held())
					}
					return
				}
				if got := time.Since(began); !b.o.verdict.Opening().Has(tt.cause) || got < tt.after-100*time.Millisecond || got > tt.after+200*time.Millisecond {
					t.Errorf("%v after %v, want %s after %v", b.o.verdict.Opening(), got, tt.cause, tt.after)
				}
			})
		})
	}
}

// TestLookingTwiceDecidesNothing: steps between two samples, such as those of
// refused orders, do not change what samples decide.
func TestLookingTwiceDecidesNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		acts := drawActs(r)
		extra := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 20).Draw(r, "extra")
		var once, twice []string
		synctest.Test(t, func(t *testing.T) { once = watched(t, acts, []int{0}) })
		synctest.Test(t, func(t *testing.T) { twice = watched(t, acts, extra) })
		if diff := cmp.Diff(once, twice); diff != "" {
			r.Fatal(diff)
		}
	})
}

// watched plays acts with so many steps after each sample, and writes down what
// the samples decide.
func watched(t *testing.T, acts []act, steps []int) []string {
	t.Helper()
	b, err := newBay()
	if err != nil {
		t.Fatal(err)
	}
	var log []string
	n := 0
	for _, a := range acts {
		b.plug(a)
		for range a.ticks {
			b.tick()
			v := &b.o.verdict
			log = append(log, fmt.Sprintf("%d %v %v %v %s %.9f", n, b.fed(), v.Held(), v.Latched(), b.o.outcome.Outlet, b.o.protect.Heat()))
			for i := range v.Decisions() {
				d := &v.Decisions()[i]
				log = append(log, fmt.Sprint(d.Cause, d.Value, d.Latched, d.Standing))
			}
			n++
			for range steps[n%len(steps)] {
				b.o.sample.Fresh = false
				b.step(b.lines[0], b.o, time.Now(), whySession)
			}
		}
	}
	return log
}
