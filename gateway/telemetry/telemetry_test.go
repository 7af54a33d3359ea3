package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/telemetry"
)

// start is the beginning of the boot in every test; wall is where the clock
// puts it once it is known.
var (
	start = time.Unix(1_000_000, 0)
	wall  = time.UnixMilli(1_732_366_800_000).UTC()
)

// sink keeps what a recorder puts.
type sink struct {
	synced bool
	err    error
	points []shedguard.Point
	from   []bool // synced, of each point
}

func (s *sink) put(_ context.Context, synced bool, lines []byte) error {
	if s.err != nil {
		return s.err
	}
	var r shedguard.LineReader
	for line := range bytes.Lines(lines) {
		var p shedguard.Point
		if err := r.Parse(bytes.TrimSuffix(line, []byte("\n")), &p); err != nil {
			return fmt.Errorf("line %q: %w", line, err)
		}
		s.points = append(s.points, p)
		s.from = append(s.from, synced)
	}
	return nil
}

func (s *sink) clock() (time.Time, bool) { return wall, s.synced }

func newRecorder(tb testing.TB, s *sink) *telemetry.Recorder {
	tb.Helper()
	r, err := telemetry.New(telemetry.Options{Shed: "S1", Start: start, DeadBand: telemetry.DefaultDeadBand(), Clock: s.clock, Put: s.put})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

func sample(ms int, amps float64) *telemetry.Sample {
	return &telemetry.Sample{
		Reading: shedguard.Reading{
			Outlet: 3, At: at(ms), Volts: 220, Amps: amps, Watts: 220 * amps, PowerFactor: 1, Hertz: 50,
		},
		Fresh: true, State: shedguard.StateCharging, EnergyWh: float64(ms) / 1000, Celsius: 25,
	}
}

// get is a field of a point, NaN when it has none.
func get(p shedguard.Point, key string) float64 {
	for _, f := range p.Fields {
		if f.Key == key {
			return f.Value
		}
	}
	return math.NaN()
}

func (s *sink) times() []int64 {
	var out []int64
	for _, p := range s.points {
		out = append(out, p.Time.Sub(wall).Milliseconds())
	}
	return out
}

func flush(tb testing.TB, r *telemetry.Recorder, ms int) {
	tb.Helper()
	if err := r.Flush(context.Background(), at(ms)); err != nil {
		tb.Fatal(err)
	}
}

func TestWindow(t *testing.T) {
	s := &sink{synced: true}
	r := newRecorder(t, s)
	for i := range 100 { // 10 Hz; the mean is 2, the peak 2.2, inside the dead band
		amps := 2.0
		switch i {
		case 50:
			amps = 2.1
		case 51:
			amps = 1.9
		}
		r.Sample(sample(50+100*i, amps))
	}
	r.Sample(sample(10_050, 2))
	flush(t, r, 10_100)
	if got, want := s.times(), []int64{50, 10_000}; !slices.Equal(got, want) {
		t.Fatalf("lines at %v ms, want the first sample and the window's end %v", got, want)
	}
	first, p := s.points[0], s.points[1]
	if n := get(first, "n"); n != 1 {
		t.Errorf("first line stands for %g samples", n)
	}
	if p.Tag("shed") != "S1" || p.Tag("outlet") != "3" || p.Measurement != "outlet" {
		t.Errorf("point %+v", p)
	}
	want := map[string]float64{
		"volts": 220, "amps": 2, "amps_max": 2.1, "watts": 440, "pf": 1, "hz": 50,
		"energy_wh": 9.95, "celsius": 25, "state": 3, "quality": 0, "n": 100,
	}
	got := make(map[string]float64)
	for _, f := range p.Fields {
		got[f.Key] = f.Value
	}
	if !maps.EqualFunc(got, want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
		t.Errorf("window %v, want %v", got, want)
	}
}

func TestOnChange(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*telemetry.Sample)
		want   bool
	}{
		"same":         {func(*telemetry.Sample) {}, false},
		"ripple":       {func(s *telemetry.Sample) { s.Reading.Volts, s.Reading.Amps, s.Reading.Watts = 222, 2.1, 450 }, false},
		"amps":         {func(s *telemetry.Sample) { s.Reading.Amps = 2.4 }, true},
		"volts":        {func(s *telemetry.Sample) { s.Reading.Volts = 214 }, true},
		"watts":        {func(s *telemetry.Sample) { s.Reading.Watts = 540 }, true},
		"state":        {func(s *telemetry.Sample) { s.State = shedguard.StateTripped }, true},
		"quality":      {func(s *telemetry.Sample) { s.Reading.Quality = shedguard.QualityStale }, true},
		"not a number": {func(s *telemetry.Sample) { s.Reading.Watts = math.NaN() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sink{synced: true}
			r := newRecorder(t, s)
			r.Sample(sample(100, 2))
			next := sample(200, 2)
			tt.change(next)
			r.Sample(next)
			flush(t, r, 300)
			if got := len(s.points) == 2; got != tt.want {
				t.Errorf("written at once: %v, want %v (%v)", got, tt.want, s.points)
			}
		})
	}
}

func TestIncident(t *testing.T) {
	s := &sink{synced: true}
	r := newRecorder(t, s)
	ms := 0
	run := func(seconds int) {
		for range seconds * 10 {
			ms += 100
			r.Sample(sample(ms+7, 2))
		}
	}
	run(25)
	r.Incident(3, at(ms+7))
	r.Incident(3, at(ms+7)) // a second alarm of the same moment changes nothing
	r.Incident(9, at(ms+7)) // an outlet that was never seen
	run(60)
	flush(t, r, ms+10)
	var full int
	for _, p := range s.points {
		if v := p.Time.Sub(wall).Milliseconds(); get(p, "n") == 1 && v > 200 {
			if v < 15_007 || v > 55_007 {
				t.Errorf("a single sample at %d ms, want 15 007 to 55 007", v)
			}
			full++
		}
	}
	if full != 401 {
		t.Errorf("%d single samples, want the 101 of the 10 s before and the 300 of the 30 s behind", full)
	}
}

func TestSilentOutletSaysSo(t *testing.T) {
	s := &sink{synced: true}
	r := newRecorder(t, s)
	r.Sample(sample(100, 2))
	flush(t, r, 16_000)
	flush(t, r, 26_000)
	if len(s.points) != 3 {
		t.Fatalf("%d lines, want the sample and two windows", len(s.points))
	}
	p := s.points[2]
	if get(p, "n") != 0 || get(p, "quality") != float64(shedguard.QualityStale) || !math.IsNaN(get(p, "volts")) {
		t.Errorf("window without samples: %+v", p)
	}
}

func TestStaleReadingIsNeverAValue(t *testing.T) {
	s := &sink{synced: true}
	r := newRecorder(t, s)
	r.Sample(sample(100, 2))
	for ms := 200; ms < 10_200; ms += 100 {
		old := sample(100, 2)
		old.Fresh, old.At, old.Reading.Quality = false, at(ms), shedguard.QualityStale
		r.Sample(old)
	}
	flush(t, r, 10_300)
	for _, p := range s.points[1:] {
		if get(p, "quality") != float64(shedguard.QualityStale) {
			t.Errorf("quality of %+v", p)
		}
		if v := get(p, "volts"); get(p, "n") == 0 && !math.IsNaN(v) {
			t.Errorf("a stale line has %g V", v)
		}
	}
}

func TestClock(t *testing.T) {
	s := &sink{}
	r := newRecorder(t, s)
	r.Sample(sample(1500, 2))
	s.synced = true
	r.Sample(sample(1600, 4)) // still in the batch that began unsynced
	flush(t, r, 1700)
	r.Sample(sample(1800, 6))
	flush(t, r, 1900)
	if fmt.Sprint(s.from) != "[false false true]" {
		t.Fatalf("synced %v", s.from)
	}
	if got := s.points[1].Time.UnixMilli(); got != 1600 {
		t.Errorf("unsynced timestamp %d ms, want 1600 since the start", got)
	}
	if got := s.points[2].Time; !got.Equal(wall.Add(1800 * time.Millisecond)) {
		t.Errorf("synced timestamp %v", got)
	}
}

func TestOtherMeasurements(t *testing.T) {
	s := &sink{synced: true}
	r := newRecorder(t, s)
	r.Climate("bay 1", 31.2, true, at(100))
	r.Climate("bay-2", math.NaN(), false, at(100))
	r.Add(&shedguard.Point{Measurement: shedguard.MeasurementGateway, Fields: []shedguard.Field{
		{Key: "queue", Value: 7, Int: true}, {Key: "latency_us", Value: math.Inf(1)}, {Key: "latency_seconds", Value: 2.5e-5},
	}}, at(200))
	r.Add(&shedguard.Point{Measurement: "nothing", Fields: []shedguard.Field{{Key: "v", Value: math.NaN()}}}, at(200))
	r.Add(&shedguard.Point{Measurement: "bad name", Fields: []shedguard.Field{{Key: "v", Value: 1}}}, at(200))
	flush(t, r, 300)
	if len(s.points) != 3 || r.Stats().Refused != 2 {
		t.Fatalf("%d lines and %d refused: want 3 and 2", len(s.points), r.Stats().Refused)
	}
	if p := s.points[0]; p.Tag("zone") != "bay 1" || get(p, "celsius") != 31.2 || get(p, "smoke") != 1 {
		t.Errorf("climate %+v", p)
	}
	if p := s.points[2]; p.Tag("shed") != "S1" || get(p, "queue") != 7 || get(p, "latency_seconds") != 2.5e-5 || len(p.Fields) != 2 {
		t.Errorf("gateway %+v", p)
	}
}

func TestLossIsCounted(t *testing.T) {
	s := &sink{synced: true, err: errors.New("no room")}
	r := newRecorder(t, s)
	r.Sample(sample(100, 2))
	if err := r.Flush(t.Context(), at(200)); !errors.Is(err, s.err) {
		t.Errorf("flush: %v", err)
	}
	if st := r.Stats(); st.Dropped != 1 {
		t.Errorf("stats %+v: want one line dropped", st)
	}
	// Nobody flushes: memory stays bounded and what goes is counted.
	for i := range 60_000 {
		r.Sample(sample(300+i, float64(i%2)*5))
	}
	st := r.Stats()
	if st.Dropped < 2 || st.Lines <= st.Dropped {
		t.Errorf("stats %+v", st)
	}
	s.err = nil
	flush(t, r, 300+60_000)
	if got := uint64(len(s.points)) + r.Stats().Dropped; got != r.Stats().Lines {
		t.Errorf("%d lines put or dropped of %d written", got, r.Stats().Lines)
	}
	r.Sample(&telemetry.Sample{Reading: shedguard.Reading{Outlet: 300}})
	if r.Stats().Refused != 1 {
		t.Error("outlet 300 was taken")
	}
}

// Whatever the samples, every line is whole and finite, and no series has two
// values in one millisecond.
func TestOneValueASeriesAndMillisecond(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := &sink{synced: true}
		r := newRecorder(t, s)
		ms := 0
		value := rapid.OneOf(rapid.Float64Range(0, 20), rapid.SampledFrom([]float64{math.NaN(), math.Inf(-1), 0, 2}))
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			ms += rapid.SampledFrom([]int{0, 1, 100, 100, 100, 1000, 9_999, 10_000}).Draw(rt, "step")
			switch rapid.IntRange(0, 9).Draw(rt, "what") {
			case 0:
				r.Incident(rapid.IntRange(1, 4).Draw(rt, "outlet"), at(ms))
			case 1:
				if err := r.Flush(context.Background(), at(ms)); err != nil {
					rt.Fatal(err)
				}
			default:
				k := sample(ms, value.Draw(rt, "amps"))
				k.Reading.Outlet = rapid.IntRange(1, 2).Draw(rt, "outlet")
				k.Reading.Watts = value.Draw(rt, "watts")
				k.Celsius = value.Draw(rt, "celsius")
				k.Fresh = rapid.Bool().Draw(rt, "fresh")
				k.At = at(ms)
				k.Reading.Quality = rapid.SampledFrom(shedguard.Qualities()).Draw(rt, "quality")
				r.Sample(k)
			}
		}
		if err := r.Flush(context.Background(), at(ms+20_000)); err != nil {
			rt.Fatal(err)
		}
		seen := make(map[string]bool)
		for _, p := range s.points {
			key := p.Tag("outlet") + "@" + p.Time.String()
			if seen[key] {
				rt.Fatalf("two lines for outlet %s at %v", p.Tag("outlet"), p.Time)
			}
			seen[key] = true
		}
		if st := r.Stats(); st.Dropped != 0 || st.Lines != uint64(len(s.points)) {
			rt.Fatalf("stats %+v with %d lines", st, len(s.points))
		}
	})
}

func TestOptions(t *testing.T) {
	_, err := telemetry.New(telemetry.Options{Window: time.Millisecond, SampleHz: -1})
	for _, want := range []string{"shed:", "start:", "window:", "sample_hz:", "dead_band:", "clock:", "put:"} {
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte(want)) {
			t.Errorf("error %v: want %q", err, want)
		}
	}
}

func TestSampleDoesNotAllocate(t *testing.T) {
	s := &sink{synced: true}
	r, err := telemetry.New(telemetry.Options{
		Shed: "S1", Start: start, DeadBand: telemetry.DefaultDeadBand(), Clock: s.clock,
		Put: func(context.Context, bool, []byte) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ms := 0
	k := sample(0, 2)
	step := func() {
		ms += 100
		k.Reading.At = start.Add(time.Duration(ms) * time.Millisecond)
		k.Reading.Amps = 2 + float64(ms%700)/100 // leaves the dead band now and then
		r.Sample(k)
	}
	for range 1000 {
		step()
	}
	flush(t, r, ms)
	if n := testing.AllocsPerRun(5000, func() {
		step()
		if ms%1000 == 0 {
			_ = r.Flush(context.Background(), at(ms))
		}
	}); n != 0 {
		t.Errorf("%g allocations a sample, want 0", n)
	}
}

func BenchmarkSample(b *testing.B) {
	for name, moving := range map[string]bool{"quiet": false, "incident": true} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			r, err := telemetry.New(telemetry.Options{
				Shed: "S1", Start: start, DeadBand: telemetry.DefaultDeadBand(),
				Clock: func() (time.Time, bool) { return wall, true },
				Put:   func(context.Context, bool, []byte) error { return nil },
			})
			if err != nil {
				b.Fatal(err)
			}
			k := sample(0, 2)
			ms := 0
			for b.Loop() {
				ms += 100
				k.Reading.At = start.Add(time.Duration(ms) * time.Millisecond)
				if moving && ms%20_000 == 0 {
					r.Incident(3, k.Reading.At)
				}
				r.Sample(k)
				if ms%1000 == 0 {
					_ = r.Flush(b.Context(), k.Reading.At)
				}
			}
		})
	}
}
