package guard

import (
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// drive hands one outlet a reading a second, of which watts says how much is
// drawn while it is fed, and returns what was told about it.
func drive(b *bay, from time.Time, d time.Duration, watts func(time.Duration) float64) []Change {
	var all []Change
	for t := time.Duration(0); t < d; t += time.Second {
		now := from.Add(t)
		w := 0.0
		if b.o.in.Closed {
			w = watts(t)
		}
		s := &b.o.sample
		s.Fresh, s.Err = true, nil
		s.Reading = shedguard.Reading{Outlet: 1, At: now, Volts: 220, Watts: w, Amps: w / 220, PowerFactor: 1}
		b.step(b.lines[0], b.o, now, whySession)
		b.emit(b.o, now)
		all = append(all, drain(b.Guard)...)
	}
	return all
}

func newCharge(t *testing.T) *bay {
	t.Helper()
	b, err := newBay()
	if err != nil {
		t.Fatal(err)
	}
	b.o.settings.MaxMinutes = 720
	return b
}

// ripple is what a real meter's last digits do.
func ripple(t time.Duration) float64 { return 1 + 0.002*math.Sin(1.7*t.Seconds()) }

// TestFullOpens follows a charge to its end: the phases are told, the outlet is
// opened, and stays so, and what was learned is handed on to be kept.
func TestFullOpens(t *testing.T) {
	b := newCharge(t)
	told := drive(b, time.Now(), 4*time.Hour, func(t time.Duration) float64 {
		return ripple(t) * 120 * min(1, max(0.03, math.Exp(-(t-time.Hour).Minutes()/25)))
	})
	var phases []string
	var last session.Record
	var curves charge.Record
	for _, c := range told {
		for _, s := range c.Steps {
			phases = append(phases, s.Session.Phase+" "+s.Session.Reason)
		}
		last, curves = c.Record, c.Curves
	}
	want := []string{"waiting ", "inrush ", "constant_current ", "constant_voltage ", "trickle ", "full Other"}
	if len(phases) < len(want) || phases[len(phases)-1] != want[len(want)-1] {
		t.Fatalf("told %q, want %q", phases, want)
	}
	for _, p := range want[1:] {
		n := 0
		for _, got := range phases {
			if got == p {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%q told %d times: %q", p, n, phases)
		}
	}
	if b.fed() || b.o.outcome.Outlet != shedguard.StateFull {
		t.Errorf("fed %t, %s after the battery was full", b.fed(), b.o.outcome.Outlet)
	}
	if !last.Off || !last.Full || len(curves.Charges) != 1 || curves.Running != nil {
		t.Errorf("kept %+v, %+v", last, curves)
	}
	if b.o.verdict.MustOpen() {
		t.Errorf("a full battery is no fault: %+v", b.o.verdict.Decisions())
	}
}

// TestFindingTrips takes a finding through protect to the relay and the alarm.
func TestFindingTrips(t *testing.T) {
	b := newCharge(t)
	begin := time.Now()
	watts := func(t time.Duration) float64 {
		switch {
		case t < time.Hour:
			return ripple(t) * 120
		case t < 100*time.Minute:
			return ripple(t) * (120 - 1.8*(t-time.Hour).Minutes())
		default:
			return ripple(t) * 48 // when it should fall on
		}
	}
	var warned, tripped time.Duration
	for _, c := range drive(b, begin, 5*time.Hour, watts) {
		for _, d := range c.Decisions {
			switch {
			case d.Cause != shedguard.CauseFloatTooHigh || d.Detail != shedguard.DetailStuck:
				t.Fatalf("%+v", d)
			case !d.Latched && warned == 0:
				warned = c.At.Sub(begin)
				if d.Severity != shedguard.SeverityMajor || d.Action != shedguard.ActionNone || !c.Closed {
					t.Errorf("first: %+v, closed %t", d, c.Closed)
				}
			case d.Latched && tripped == 0:
				tripped = c.At.Sub(begin)
				if d.Severity != shedguard.SeverityCritical || d.Action != shedguard.ActionTripped || c.Closed {
					t.Errorf("then: %+v, closed %t", d, c.Closed)
				}
			}
		}
	}
	if warned < 150*time.Minute || warned > 170*time.Minute || tripped < warned+55*time.Minute || tripped > warned+65*time.Minute {
		t.Errorf("warned after %s, tripped after %s", warned, tripped)
	}
	if b.fed() || b.o.outcome.Outlet != shedguard.StateTripped || !b.o.protect.Latched().Has(shedguard.CauseFloatTooHigh) {
		t.Errorf("fed %t, %s, latched %s", b.fed(), b.o.outcome.Outlet, b.o.protect.Latched())
	}
	// A person resets it: the finding went with its session.
	b.o.in.Fresh = false
	if err := b.o.limits.Reset(&b.o.protect, &b.o.in, begin.Add(5*time.Hour)); err != nil {
		t.Errorf("reset: %v", err)
	}
}

// TestShadow: a rule that only reports lets the outlet be, however bad it gets.
func TestShadow(t *testing.T) {
	b := newCharge(t)
	c := *b.o.charge
	c.FloatTooHigh.Act = protect.ActReport
	b.o.charge = &c
	told := drive(b, time.Now(), 5*time.Hour, func(t time.Duration) float64 {
		return ripple(t) * max(60, 120-1.8*max(0, (t-time.Hour).Minutes()))
	})
	seen := false
	for _, c := range told {
		for _, d := range c.Decisions {
			seen = seen || d.Severity == shedguard.SeverityCritical && d.Cause == shedguard.CauseFloatTooHigh
			if d.Opens() {
				t.Fatalf("%+v", d)
			}
		}
	}
	if !seen || !b.fed() || b.o.outcome.Outlet != shedguard.StateCharging {
		t.Errorf("reported %t, fed %t, %s", seen, b.fed(), b.o.outcome.Outlet)
	}
}

// BenchmarkSampleOfACharge is the guard's own work on one sample while the curve
// of a charge is judged by every rule.
func BenchmarkSampleOfACharge(b *testing.B) {
	bay, err := newBay()
	if err != nil {
		b.Fatal(err)
	}
	bay.o.settings.MaxMinutes, bay.o.settings.MaxWh = 24*60, 1e5
	begin := time.Now()
	drive(bay, begin, time.Hour, func(t time.Duration) float64 { return ripple(t) * 120 })
	s, l := bay.o.sample, bay.lines[0]
	now, w := begin.Add(time.Hour), 120.0
	b.ReportAllocs()
	before := processor(b)
	for b.Loop() {
		now = now.Add(5 * time.Millisecond) // so that the session outlasts the benchmark
		w = 240.001 - w
		s.Reading.At, s.Reading.Watts, s.Fresh = now, w, true
		bay.o.sample = s
		bay.step(l, bay.o, now, whySession)
	}
	b.ReportMetric(float64((processor(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	if bay.o.charged.Phase == charge.PhaseNone {
		b.Fatal("no charge")
	}
}

// processor is the time that this process had a processor: what a busy machine
// does not distort.
func processor(tb testing.TB) time.Duration {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
