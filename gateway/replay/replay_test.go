package replay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/replay"
	"github.com/shedguard/shedguard/gateway/session"
)

// options are those of a shipped profile.
func options(tb testing.TB, profile string) replay.Options {
	tb.Helper()
	o, err := replay.ProfileOutlet(profile)
	if err != nil {
		tb.Fatal(err)
	}
	return replay.Options{Limits: o.ProtectLimits(), Session: o.SessionSettings(), Charge: o.ChargeSettings()}
}

// result is what a replay told.
type result struct {
	Events  []replay.Event
	Summary replay.Summary
}

// kinds are the events of a kind.
func (r *result) kinds(kind replay.Kind) []replay.Event {
	return slices.DeleteFunc(slices.Clone(r.Events), func(e replay.Event) bool { return e.Kind != kind })
}

// run replays samples in batches of the given lengths, the last one again and
// again.
func run(tb testing.TB, opts replay.Options, samples []recording.Sample, batches ...int) result {
	tb.Helper()
	var r result
	opts.Emit = func(e *replay.Event) {
		kept := *e
		for _, p := range []**float64{&kept.Value, &kept.Limit, &kept.EnergyWh, &kept.UntilS} {
			if *p != nil {
				v := **p
				*p = &v
			}
		}
		r.Events = append(r.Events, kept)
	}
	p, err := replay.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	for len(samples) > 0 {
		n := len(samples)
		if len(batches) > 0 {
			n = min(n, batches[0])
		}
		if len(batches) > 1 {
			batches = batches[1:]
		}
		p.Feed(samples[:n])
		samples = samples[n:]
	}
	if r.Summary, err = p.Finish(); err != nil {
		tb.Fatal(err)
	}
	return r
}

// row is a sample with amps and watts at 220 V.
func row(at time.Duration, amps float64) recording.Sample {
	nan := math.NaN()
	return recording.Sample{At: at, Volts: 220, Amps: amps, Watts: 220 * amps, PeakAmps: nan, PeakWatts: nan}
}

// rows are samples at an even distance.
func rows(every time.Duration, amps ...float64) []recording.Sample {
	all := make([]recording.Sample, len(amps))
	for i, a := range amps {
		all[i] = row(time.Duration(i)*every, a)
	}
	return all
}

// level is a current n times.
func level(n int, amps float64) []float64 { return slices.Repeat([]float64{amps}, n) }

// TestDelaysPass holds what sparse samples decide to what dense ones do.
func TestDelaysPass(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		amps  float64
		cause shedguard.Cause
		want  time.Duration // of a trip on the 10 A profile, from the first sample
	}{
		"overpower, 2200 W for 5 s":                    {amps: 10.2, cause: shedguard.CauseOverpower, want: 5 * time.Second},
		"short circuit, two conversions":               {amps: 31, cause: shedguard.CauseShortCircuit, want: 100 * time.Millisecond},
		"twice the pick-up, 120 s × ln(4/3)":           {amps: 21, cause: shedguard.CauseOvercurrent, want: 34521 * time.Millisecond},
		"1.2 times the pick-up, 120 s × ln(1.44/0.44)": {amps: 12.6, cause: shedguard.CauseOvercurrent, want: 142275 * time.Millisecond},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, every := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, time.Second, 7 * time.Second, 5 * time.Minute} {
				opts := options(t, "outlet-10a")
				opts.Limits.Overpower.Enabled = tt.cause == shedguard.CauseOverpower
				opts.Session.MaxWatts = 20_000
				n := max(3, int(10*time.Minute/every))
				got := run(t, opts, rows(every, level(n, tt.amps)...)).Summary
				if got.Trips != 1 || got.FirstTrip != tt.cause {
					t.Fatalf("every %s: %d trips, first for %q, want one for %s", every, got.Trips, got.FirstTrip, tt.cause)
				}
				late := time.Duration(*got.FirstTripS*1e9) - tt.want
				if late < -time.Millisecond || late > 120*time.Millisecond {
					t.Errorf("every %s: trips after %gs, want %s", every, *got.FirstTripS, tt.want)
				}
				if got.JudgedS != *got.FirstTripS || got.JudgedUntilS != *got.FirstTripS {
					t.Errorf("every %s: judged %gs until %gs, want %gs", every, got.JudgedS, got.JudgedUntilS, *got.FirstTripS)
				}
			}
		})
	}
}

func TestInrushShowsInThePeakOnly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		every := rapid.SampledFrom([]time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second, 5 * time.Minute}).Draw(t, "every")
		base := rapid.Float64Range(0, 5).Draw(t, "base")
		spike := rapid.Float64Range(11, 50).Draw(t, "spike")
		before, after := rapid.IntRange(1, 20).Draw(t, "before"), rapid.IntRange(1, 20).Draw(t, "after")
		limits, settings, err := replay.Profile("outlet-10a")
		if err != nil {
			t.Fatal(err)
		}
		p, err := replay.New(replay.Options{Limits: limits, Session: settings})
		if err != nil {
			t.Fatal(err)
		}
		p.Feed(rows(every, slices.Concat(level(before, base), []float64{spike}, level(after, base))...))
		got, err := p.Finish()
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Alarms) != 0 || got.Trips != 0 {
			t.Fatalf("raised %v", got.Alarms)
		}
		if got.PeakAmps != math.Round(spike*1e6)/1e6 || got.PeakAmpsAtS != (time.Duration(before)*every).Seconds() {
			t.Fatalf("peak %g A at %gs, want %g A", got.PeakAmps, got.PeakAmpsAtS, spike)
		}
	})
}

func TestTwoSamplesAreNoInrush(t *testing.T) {
	t.Parallel()
	got := run(t, options(t, "outlet-10a"), rows(time.Second, 1, 1, 40, 40, 1, 1)).Summary
	if got.FirstTrip != shedguard.CauseShortCircuit {
		t.Errorf("two samples of 40 A: %+v", got.Alarms)
	}
}

// TestBatchesChangeNothing is the law that how samples come decides nothing.
func TestBatchesChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 400).Draw(t, "samples")
		interval := rapid.SampledFrom([]time.Duration{0, time.Millisecond, 3 * time.Millisecond, 20 * time.Millisecond, 90 * time.Millisecond, time.Second, 4 * time.Second, 10 * time.Minute})
		amps := rapid.SampledFrom([]float64{0, 0.01, 0.5, 3, 9, 10.4, 12, 31, 60, math.NaN()})
		var samples []recording.Sample
		at := time.Duration(0)
		usual := interval.Draw(t, "usual")
		for range n {
			s := row(at, amps.Draw(t, "amps"))
			s.Lost = rapid.IntRange(0, 40).Draw(t, "lost") == 0
			samples = append(samples, s)
			at += usual
			if rapid.IntRange(0, 20).Draw(t, "odd") == 0 {
				at += interval.Draw(t, "interval")
			}
		}
		limits, settings, err := replay.Profile("outlet-10a")
		if err != nil {
			t.Fatal(err)
		}
		opts := replay.Options{
			Limits: limits, Session: settings,
			MeterStale: rapid.Bool().Draw(t, "stale"),
			ResetAfter: rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "reset"),
		}
		replayed := func(batches []int) (string, error) {
			var b strings.Builder
			opts.Emit = func(e *replay.Event) { fmt.Fprintf(&b, "%g %s %s %s %s\n", e.TimeS, e.Kind, e.Cause, e.Phase, e.Text) }
			p, err := replay.New(opts)
			if err != nil {
				return "", err
			}
			rest := samples
			for len(rest) > 0 {
				k := len(rest)
				if len(batches) > 0 {
					k, batches = min(k, batches[0]), batches[1:]
				}
				p.Feed(rest[:k])
				rest = rest[k:]
			}
			sum, err := p.Finish()
			if err != nil {
				return "", err
			}
			if sum.Samples != n || sum.JudgedS > sum.DurationS+1e-6 || sum.JudgedUntilS > sum.TimeS {
				return "", fmt.Errorf("impossible: %+v", sum)
			}
			fmt.Fprintf(&b, "%+v", sum.Alarms)
			fmt.Fprintf(&b, "%g %g %g %d %v", sum.EnergyWh, sum.JudgedS, sum.PeakHeat, sum.Trips, sum.State)
			return b.String(), nil
		}
		want, err := replayed(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := replayed(rapid.SliceOfN(rapid.IntRange(1, 300), 0, 50).Draw(t, "batches"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestGaps(t *testing.T) {
	t.Parallel()
	// A charge of 440 W, silent for 20 minutes in the middle.
	samples := slices.Concat(rows(time.Second, level(600, 2)...), rows(time.Second, level(600, 2)...))
	for i := 600; i < len(samples); i++ {
		samples[i].At += 30 * time.Minute
	}
	t.Run("is no silent meter", func(t *testing.T) {
		t.Parallel()
		got := run(t, options(t, "outlet-10a"), samples)
		if len(got.Summary.Alarms) != 0 || got.Summary.Gaps != 1 || got.Summary.LongestGapS != 1200 {
			t.Errorf("%+v", got.Summary)
		}
		if got.Summary.JudgedS != 1199 {
			t.Errorf("judged %gs, want 1199: the samples and the usual interval", got.Summary.JudgedS)
		}
		// 440 W for 600 s and 599 s; nothing is made up for the gap.
		if want := 440 * 1199.0 / 3600; math.Abs(got.Summary.EnergyWh-want) > 1e-5 {
			t.Errorf("%g Wh, want %g", got.Summary.EnergyWh, want)
		}
		gaps := slices.DeleteFunc(got.kinds(replay.KindPhase), func(e replay.Event) bool { return e.Phase != replay.PhaseGap })
		if len(gaps) != 1 || gaps[0].Phase != replay.PhaseGap || gaps[0].TimeS != 600 || *gaps[0].UntilS != 1800 {
			t.Errorf("%+v", gaps)
		}
	})
	t.Run("is one when it is asked for", func(t *testing.T) {
		t.Parallel()
		opts := options(t, "outlet-10a")
		opts.MeterStale = true
		got := run(t, opts, samples)
		alarms := got.kinds(replay.KindAlarm)
		if len(alarms) != 1 || alarms[0].Cause != shedguard.CauseMeterStale || alarms[0].Action != shedguard.ActionSuspended {
			t.Fatalf("%+v", alarms)
		}
		if at := alarms[0].TimeS; at < 602.5 || at > 604 {
			t.Errorf("stale at %gs, want 3 s after the last reading", at)
		}
		if got.Summary.Trips != 0 || got.Summary.State != shedguard.StateCharging || len(got.Summary.Sessions) != 1 {
			t.Errorf("the session did not go on: %+v", got.Summary)
		}
	})
	t.Run("is none in a recording of changes", func(t *testing.T) {
		t.Parallel()
		opts := options(t, "outlet-10a")
		opts.OnChange = true
		got := run(t, opts, samples).Summary
		if want := 440 * 2399.0 / 3600; got.Gaps != 0 || math.Abs(got.EnergyWh-want) > 1e-5 {
			t.Errorf("%d gaps, %g Wh, want %g", got.Gaps, got.EnergyWh, want)
		}
	})
	t.Run("is told where the recording says so", func(t *testing.T) {
		t.Parallel()
		lost := slices.Clone(rows(time.Second, level(20, 2)...))
		lost[10].Lost = true
		got := run(t, options(t, "outlet-10a"), lost).Summary
		if got.Gaps != 1 || got.LongestGapS != 1 || got.JudgedS != 18 {
			t.Errorf("%+v", got)
		}
	})
}

func TestSessionOfACharge(t *testing.T) {
	t.Parallel()
	got := run(t, options(t, "outlet-10a"), rows(time.Minute, slices.Concat(level(5, 0), level(60, 1), level(30, 0.02))...))
	if len(got.Summary.Sessions) != 1 {
		t.Fatalf("%+v", got.Summary.Sessions)
	}
	s := got.Summary.Sessions[0]
	if s.BegunS < 300 || s.BegunS > 301 || s.Phase != session.PhaseUnplugged || s.Reason != session.ReasonEVDisconnected {
		t.Errorf("%+v", s)
	}
	if s.EndedS == nil || *s.EndedS < 65*60+300 || *s.EndedS > 65*60+302 { // no_load_after: 5m
		t.Errorf("ended %v", s.EndedS)
	}
	if want := 220 + 4.4*5/60; math.Abs(s.EnergyWh-want) > 0.1 {
		t.Errorf("%g Wh, want %g", s.EnergyWh, want)
	}
	if len(got.kinds(replay.KindSession)) != 2 || len(got.kinds(replay.KindAlarm)) != 0 {
		t.Errorf("%+v", got.Events)
	}
}

func TestResetAfterATrip(t *testing.T) {
	t.Parallel()
	amps := slices.Concat(level(10, 1), level(20, 12), level(300, 1), level(20, 12), level(300, 1))
	opts := options(t, "outlet-10a")
	if got := run(t, opts, rows(time.Second, amps...)).Summary; got.Trips != 1 || got.State != shedguard.StateTripped {
		t.Errorf("without a person: %d trips, %s", got.Trips, got.State)
	}
	opts.ResetAfter = time.Minute
	got := run(t, opts, rows(time.Second, amps...))
	if got.Summary.Trips != 2 || got.Summary.State != shedguard.StateCharging || got.Summary.JudgedS != got.Summary.DurationS {
		t.Errorf("with a person: %+v", got.Summary)
	}
	if got.Summary.Alarms[shedguard.CauseOverpower] != 2 {
		t.Errorf("%v", got.Summary.Alarms)
	}
}

func TestStartAfterASessionsLimit(t *testing.T) {
	t.Parallel()
	opts := options(t, "outlet-10a")
	opts.Session.MaxMinutes = 2
	samples := rows(time.Second, level(600, 1)...)
	got := run(t, opts, samples).Summary
	if got.State != shedguard.StateOff || len(got.Sessions) != 1 || got.Sessions[0].Phase != session.PhaseLimitMinutes || len(got.Alarms) != 0 {
		t.Errorf("without a person: %+v", got)
	}
	if got.JudgedUntilS < 119 || got.JudgedUntilS > 121 {
		t.Errorf("judged until %gs, want the limit of 2 min", got.JudgedUntilS)
	}
	opts.ResetAfter = time.Minute
	got = run(t, opts, samples).Summary
	if got.JudgedS != got.DurationS || len(got.Sessions) != 4 { // 2 min on, 1 min off
		t.Errorf("with a person: %+v", got)
	}
}

// TestWaveform replays the same kettle as a waveform and as RMS.
func TestWaveform(t *testing.T) {
	t.Parallel()
	var wave, rms []recording.Sample
	for i := range 6400 * 8 {
		at := time.Duration(i) * time.Second / 6400
		s := row(at, math.Sqrt2*10.5*math.Sin(2*math.Pi*50*at.Seconds()))
		s.Volts = math.Sqrt2 * 220 * math.Sin(2*math.Pi*50*at.Seconds())
		s.Watts = math.NaN()
		wave = append(wave, s)
	}
	rms = rows(100*time.Millisecond, level(80, 10.5)...)
	w, r := run(t, options(t, "outlet-10a"), wave).Summary, run(t, options(t, "outlet-10a"), rms).Summary
	if w.FirstTrip != shedguard.CauseOverpower || r.FirstTrip != w.FirstTrip {
		t.Fatalf("waveform %q, RMS %q", w.FirstTrip, r.FirstTrip)
	}
	if math.Abs(*w.FirstTripS-*r.FirstTripS) > 0.15 {
		t.Errorf("waveform trips after %gs, RMS after %gs", *w.FirstTripS, *r.FirstTripS)
	}
	if math.Abs(w.EnergyWh-r.EnergyWh) > 0.1 {
		t.Errorf("waveform %g Wh, RMS %g Wh", w.EnergyWh, r.EnergyWh)
	}
}

func TestDerivedQuantitiesAreNamed(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	watts := rows(time.Second, level(10, 1)...)
	for i := range watts {
		watts[i].Volts, watts[i].Amps, watts[i].Watts = nan, nan, 1100
	}
	opts := options(t, "outlet-10a")
	got := run(t, opts, watts).Summary
	if diff := cmp.Diff([]string{"amps", "volts"}, got.Derived); diff != "" || got.PeakAmps != 5 {
		t.Errorf("%g A at 220 V: %s", got.PeakAmps, diff)
	}
	opts.MainsVolts = 110
	if got := run(t, opts, watts).Summary; got.PeakAmps != 10 {
		t.Errorf("%g A at 110 V", got.PeakAmps)
	}
	for i := range watts {
		watts[i].Watts = nan
	}
	none := run(t, opts, watts).Summary
	if none.JudgedS != 0 || len(none.Notes) != 1 || none.Trips != 0 {
		t.Errorf("nothing recorded: %+v", none)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*replay.Options)
		want   string
	}{
		"volts":  {func(o *replay.Options) { o.MainsVolts = 5 }, "mains volts: 5: want 10 to 1000"},
		"heat":   {func(o *replay.Options) { o.Heat = 1 }, "heat: 1"},
		"gap":    {func(o *replay.Options) { o.Gap = -1 }, "gap"},
		"reset":  {func(o *replay.Options) { o.ResetAfter = -1 }, "reset after"},
		"rules":  {func(o *replay.Options) { o.Limits = nil }, "limits and session: required"},
		"limits": {func(o *replay.Options) { o.Limits.RatingAmps = 0 }, "rating_amps"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := options(t, "outlet-10a")
			tt.change(&opts)
			if _, err := replay.New(opts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want an error with %q", err, tt.want)
			}
		})
	}
	p, err := replay.New(options(t, "outlet-5a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Finish(); err == nil || !strings.Contains(err.Error(), "no samples") {
		t.Errorf("no samples: %v", err)
	}
	for _, name := range replay.Profiles() {
		if _, err := replay.ProfileOutlet(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := replay.Profile("outlet-99a"); err == nil || !strings.Contains(err.Error(), "outlet-10a") {
		t.Errorf("unknown profile: %v", err)
	}
}

// TestLongFilesTakeNoMoreMemory: nothing is kept of a row.
func TestLongFilesTakeNoMoreMemory(t *testing.T) {
	opts := options(t, "outlet-10a")
	took := func(rows int) float64 {
		var text strings.Builder
		text.WriteString("time_s,volts,amps,watts\n")
		for i := range rows {
			fmt.Fprintf(&text, "%d,220,1.%d,220\n", i, i%7)
		}
		return testing.AllocsPerRun(3, func() { playText(t, opts, text.String()) })
	}
	if short, long := took(2_000), took(20_000); long > short+10 {
		t.Errorf("%g allocations for 2,000 rows, %g for 20,000", short, long)
	}
}

// TestChunksOfTheFileChangeNothing: however the bytes of a file come, and
// however many samples are taken at once, the same is decided.
func TestChunksOfTheFileChangeNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amps := rapid.SampledFrom([]string{"0", "0.01", "2", "9", "10.4", "12", "31", "", "1e1"})
		var text strings.Builder
		text.WriteString("time_s,volts,amps\n")
		at := 0.0
		for range rapid.IntRange(1, 300).Draw(t, "rows") {
			fmt.Fprintf(&text, "%g,220,%s\r\n", at, amps.Draw(t, "amps"))
			at += rapid.SampledFrom([]float64{0.02, 0.1, 1, 1, 1, 60, 4000}).Draw(t, "interval")
		}
		opts := replay.Options{ResetAfter: rapid.SampledFrom([]time.Duration{0, time.Minute}).Draw(t, "reset")}
		var err error
		if opts.Limits, opts.Session, err = replay.Profile("outlet-10a"); err != nil {
			t.Fatal(err)
		}
		told := func(in io.Reader, batch int) string {
			var b strings.Builder
			opts.Emit = func(e *replay.Event) { fmt.Fprintf(&b, "%g %s %s %s %s\n", e.TimeS, e.Kind, e.Cause, e.Phase, e.Text) }
			sum, err := playAll(opts, in, batch)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(&sum)
			if err != nil {
				t.Fatal(err)
			}
			return b.String() + string(text)
		}
		want := told(strings.NewReader(text.String()), 1024)
		got := told(iotest.OneByteReader(strings.NewReader(text.String())), rapid.IntRange(1, 50).Draw(t, "batch"))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// BenchmarkHours replays a day of one value every five minutes.
func BenchmarkHours(b *testing.B) {
	samples := rows(5*time.Minute, level(288, 1)...)
	opts := options(b, "outlet-10a")
	b.ReportAllocs()
	for b.Loop() {
		p, err := replay.New(opts)
		if err != nil {
			b.Fatal(err)
		}
		p.Feed(samples)
		if _, err := p.Finish(); err != nil {
			b.Fatal(err)
		}
	}
}

// playText replays a recording as a file has it.
func playText(tb testing.TB, opts replay.Options, text string) replay.Summary {
	tb.Helper()
	return play(tb, opts, strings.NewReader(text))
}

func play(tb testing.TB, opts replay.Options, in io.Reader) replay.Summary {
	tb.Helper()
	sum, err := playAll(opts, in, 1024)
	if err != nil {
		tb.Fatal(err)
	}
	return sum
}

// playAll replays a recording with so many samples at once.
func playAll(opts replay.Options, in io.Reader, at int) (replay.Summary, error) {
	rec, err := recording.Open(in, recording.Options{})
	if err != nil {
		return replay.Summary{}, err
	}
	opts.OnChange = rec.OnChange()
	p, err := replay.New(opts)
	if err != nil {
		return replay.Summary{}, err
	}
	batch := make([]recording.Sample, at)
	for {
		n := 0
		for n < len(batch) && err == nil {
			if err = rec.Next(&batch[n]); err == nil {
				n++
			}
		}
		p.Feed(batch[:n])
		if errors.Is(err, io.EOF) {
			return p.Finish()
		}
		if err != nil {
			return replay.Summary{}, err
		}
	}
}
