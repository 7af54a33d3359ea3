package calibration_test

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/calibration"
	"github.com/shedguard/shedguard/gateway/config"
)

var day = time.Date(2026, 11, 28, 9, 30, 0, 0, time.UTC)

func mains() *config.Outlet {
	port := 2
	one := config.Trim{Gain: 1}
	return &config.Outlet{Number: 3, RatingAmps: 10, Meter: config.Meter{
		Chip: "acs37800", Place: config.Place{Mux: "left", Port: &port, Address: 0x60}, RangeAmps: 30, Divider: 1819, Volts: one, Amps: one, Watts: one,
	}}
}

func direct() *config.Outlet {
	one := config.Trim{Gain: 1}
	return &config.Outlet{Number: 4, RatingAmps: 10, Meter: config.Meter{
		Chip: "ina226", Place: config.Place{Bus: "main", Address: 0x40}, ShuntOhms: 0.002, Volts: one, Amps: one, Watts: one,
	}}
}

func zero(amps, watts float64) calibration.Point {
	return calibration.Point{At: day, Samples: 100, Mean: calibration.Values{Volts: 226, Amps: amps, Watts: watts}}
}

func load(x, y calibration.Values) calibration.Point {
	return calibration.Point{At: day, Samples: 100, Mean: x, True: &y}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func same(t *testing.T, name string, got, want *calibration.Trim) {
	t.Helper()
	switch {
	case (got == nil) != (want == nil):
		t.Errorf("%s: %+v, want %+v", name, got, want)
	case got != nil && (!near(got.Gain, want.Gain) || !near(got.Offset, want.Offset)):
		t.Errorf("%s: %+v, want %+v", name, *got, *want)
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	v := func(volts, amps, watts float64) calibration.Values {
		return calibration.Values{Volts: volts, Amps: amps, Watts: watts}
	}
	trim := func(gain, offset float64) *calibration.Trim { return &calibration.Trim{Gain: gain, Offset: offset} }
	tests := map[string]struct {
		outlet             *config.Outlet
		points             []calibration.Point
		volts, amps, watts *calibration.Trim
	}{
		"mains, open: noise is no offset, power is": {
			mains(), []calibration.Point{zero(0.02, 0.5)}, nil, nil, trim(1, -0.5),
		},
		"mains, one load": {
			mains(), []calibration.Point{load(v(220, 4, 880), v(231, 4.4, 1016.4))}, trim(1.05, 0), trim(1.1, 0), trim(1.155, 0),
		},
		"mains, open and one load": {
			mains(), []calibration.Point{zero(0.02, 10), load(v(220, 4, 890), v(231, 4.4, 1012))}, trim(1.05, 0), trim(1.1, 0), trim(1.15, -11.5),
		},
		"mains, loads far apart": {
			mains(), []calibration.Point{load(v(220, 2.1, 0), v(220, 2, 0)), load(v(220, 4.1, 0), v(220, 4, 0))}, trim(1, 0), trim(1, -0.1), nil,
		},
		"mains, the same load again": { // the newer one counts
			mains(), []calibration.Point{load(v(220, 4, 0), v(220, 5, 0)), load(v(220, 4, 0), v(220, 4.4, 0))}, trim(1, 0), trim(1.1, 0), nil,
		},
		"direct, open": {
			direct(), []calibration.Point{zero(0.03, 0)}, nil, trim(1, -0.03), nil,
		},
		"direct, open and one load": {
			direct(), []calibration.Point{zero(0.03, 0), load(v(48, 4.03, 0), v(48.48, 4.4, 0))}, trim(1.01, 0), trim(1.1, -0.033), nil,
		},
		"direct, one load": {
			direct(), []calibration.Point{load(v(48, 4, 0), v(48, 4.4, 0))}, trim(1, 0), trim(1.1, 0), nil,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := calibration.New(tt.outlet)
			for _, p := range tt.points {
				if err := r.Add(p, tt.outlet); err != nil {
					t.Fatal(err)
				}
			}
			same(t, "volts", r.Volts, tt.volts)
			same(t, "amps", r.Amps, tt.amps)
			same(t, "watts", r.Watts, tt.watts)
			if err := r.Check(tt.outlet); err != nil {
				t.Errorf("Check: %v", err)
			}
			m := tt.outlet.Meter
			r.Apply(&m)
			if tt.amps != nil && (!near(m.Amps.Gain, tt.amps.Gain) || !near(m.Amps.Offset, tt.amps.Offset)) || tt.amps == nil && m.Amps != tt.outlet.Meter.Amps {
				t.Errorf("applied: %+v", m.Amps)
			}
		})
	}
}

// TestFitFindsAnyMeter: whatever a meter is off by, two loads and the open outlet
// find it, and every value is then right.
func TestFitFindsAnyMeter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := rapid.SampledFrom([]*config.Outlet{mains(), direct()}).Draw(t, "outlet")
		gain := rapid.Float64Range(0.55, 1.9).Draw(t, "gain")
		offset := rapid.Float64Range(-0.3, 0.3).Draw(t, "offset")
		meter := func(amps float64) float64 { return (amps - offset) / gain }
		small := rapid.Float64Range(1, 3).Draw(t, "small")
		large := small * rapid.Float64Range(1.6, 3).Draw(t, "times")
		r := calibration.New(o)
		points := []calibration.Point{zero(meter(0), 0)}
		for _, amps := range []float64{small, large} {
			points = append(points, load(calibration.Values{Volts: 220, Amps: meter(amps)}, calibration.Values{Volts: 220, Amps: amps}))
		}
		for _, i := range rapid.Permutation([]int{0, 1, 2}).Draw(t, "order") {
			// On the way a single load may seem out of range; that is refused and
			// leaves the record alone.
			before := len(r.Points)
			if err := r.Add(points[i], o); err != nil && len(r.Points) != before {
				t.Fatalf("an error changed the record: %v", err)
			}
		}
		for _, p := range points { // those that were refused fit now, or for good
			_ = r.Add(p, o)
		}
		if r.Amps == nil || r.Loads() < 2 {
			return
		}
		for _, amps := range []float64{small, large, (small + large) / 2} {
			if got := r.Amps.Gain*meter(amps) + r.Amps.Offset; math.Abs(got-amps) > 1e-6 {
				t.Fatalf("%g A reads as %g A with %+v", amps, got, *r.Amps)
			}
		}
	})
}

func TestAddRefuses(t *testing.T) {
	t.Parallel()
	v := func(volts, amps float64) calibration.Values { return calibration.Values{Volts: volts, Amps: amps} }
	tests := map[string]struct {
		outlet *config.Outlet
		points []calibration.Point // the last one is refused
		want   string
	}{
		"gain too large":   {mains(), []calibration.Point{load(v(220, 2), v(220, 4.2))}, "outlet 3: amps.gain: 2.1: want 0.5 to 2; does the configuration name the right part"},
		"gain too small":   {mains(), []calibration.Point{load(v(220, 2), v(100, 2))}, "outlet 3: volts.gain: 0.4545: want 0.5 to 2"},
		"offset too large": {direct(), []calibration.Point{zero(0.6, 0)}, "outlet 4: amps.offset: -0.6 A: want 0.5 A at most"},
		"not a number":     {mains(), []calibration.Point{load(v(0, 2), v(220, 2))}, "off by"},
		"loads contradict": {mains(), []calibration.Point{load(v(220, 2), v(220, 2)), load(v(220, 3), v(220, 3)), load(v(220, 4), v(220, 6))}, "the loads do not fit together"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := calibration.New(tt.outlet)
			last := len(tt.points) - 1
			for _, p := range tt.points[:last] {
				if err := r.Add(p, tt.outlet); err != nil {
					t.Fatal(err)
				}
			}
			before := *r
			if err := r.Add(tt.points[last], tt.outlet); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Add: %v, want %q", err, tt.want)
			}
			if !reflect.DeepEqual(*r, before) {
				t.Error("a refused point changed the record")
			}
		})
	}
}

func TestOldLoadsGo(t *testing.T) {
	t.Parallel()
	o := mains()
	r := calibration.New(o)
	for i, amps := range []float64{1, 1.5, 2.3, 3.5, 5.5, 8} {
		p := load(calibration.Values{Volts: 220, Amps: amps}, calibration.Values{Volts: 220, Amps: amps})
		p.At = day.AddDate(0, 0, i)
		if err := r.Add(p, o); err != nil {
			t.Fatal(err)
		}
	}
	if r.Loads() != 4 || r.Points[0].True.Amps != 2.3 || !r.At().Equal(day.AddDate(0, 0, 5)) {
		t.Errorf("%d loads from %g A on, newest of %s", r.Loads(), r.Points[0].True.Amps, r.At())
	}
}

// TestOtherWiring: every key that scales a meter's values makes another wiring;
// what corrects or judges them does not.
func TestOtherWiring(t *testing.T) {
	t.Parallel()
	seven := 7
	base := calibration.Wiring(&config.Meter{})
	scales := map[string]func(*config.Meter){
		"range_amps":    func(m *config.Meter) { m.RangeAmps = 90 },
		"divider":       func(m *config.Meter) { m.Divider = 2 },
		"amps_per_volt": func(m *config.Meter) { m.AmpsPerVolt = 2 },
		"shunt_ohms":    func(m *config.Meter) { m.ShuntOhms = 0.01 },
		"volts_pga":     func(m *config.Meter) { m.VoltsPGA = 2 },
		"amps_pga":      func(m *config.Meter) { m.AmpsPGA = 2 },
		"volts_input":   func(m *config.Meter) { m.VoltsInput = "a1" },
		"amps_input":    func(m *config.Meter) { m.AmpsInput = "a1" },
		"volts_range":   func(m *config.Meter) { m.VoltsRangeMV = 512 },
		"amps_range":    func(m *config.Meter) { m.AmpsRangeMV = 512 },
		"phase":         func(m *config.Meter) { m.PhaseDegrees = 1 },
		"reversed":      func(m *config.Meter) { m.Reversed = true },
		"volts_channel": func(m *config.Meter) { m.VoltsChannel = &seven },
	}
	seen := map[string]string{base: "nothing"}
	for name, set := range scales {
		var m config.Meter
		set(&m)
		w := calibration.Wiring(&m)
		if other, taken := seen[w]; taken {
			t.Errorf("%s and %s have the same wiring", name, other)
		}
		seen[w] = name
	}
	m := config.Meter{Alert: true, Every: time.Second, Volts: config.Trim{Gain: 2}, Frozen: config.Frozen{Enabled: true}}
	if calibration.Wiring(&m) != base {
		t.Error("a correction makes another wiring")
	}
	// Whoever adds a key decides here whether it scales volts, amperes or watts;
	// those that do belong into Wiring, and above.
	known := []string{
		"Chip", "Place", "Channel", "VoltsChannel", "AmpsChannel", "RangeAmps", "Divider", "AmpsPerVolt", "ShuntOhms", "VoltsPGA", "AmpsPGA",
		"VoltsInput", "AmpsInput", "VoltsRangeMV", "AmpsRangeMV", "SupplyMV", "PhaseDegrees", "Reversed", "Residual", "Every", "Alert", "Volts", "Amps",
		"Watts", "Frozen",
	}
	for f := range reflect.TypeFor[config.Meter]().Fields() {
		if !slices.Contains(known, f.Name) {
			t.Errorf("config.Meter.%s: does it scale what the meter says?", f.Name)
		}
	}
}

func TestCheckRefusesAnotherMeter(t *testing.T) {
	t.Parallel()
	o := mains()
	r := calibration.New(o)
	if err := r.Add(zero(0, 0), o); err != nil {
		t.Fatal(err)
	}
	moved := mains()
	*moved.Meter.Port = 5
	rewired := mains()
	rewired.Meter.Divider = 1000
	for name, other := range map[string]*config.Outlet{"moved": moved, "rewired": rewired} {
		if err := r.Check(other); !errors.Is(err, calibration.ErrOtherMeter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	nan := *r
	nan.Amps = &calibration.Trim{Gain: math.NaN()}
	if err := nan.Check(o); err == nil {
		t.Error("a gain that is no number is in range")
	}
}

func TestMeterNames(t *testing.T) {
	t.Parallel()
	four := 4
	for want, m := range map[string]config.Meter{
		"acs37800 at left.2/0x60":   mains().Meter,
		"ina226 at main/0x40":       direct().Meter,
		"ade7953 at main/0x38 b":    {Chip: "ade7953", Place: config.Place{Bus: "main", Address: 0x38}, Channel: "b"},
		"max34451 at main/0x74 RS4": {Chip: "max34451", Place: config.Place{Bus: "main", Address: 0x74}, AmpsChannel: &four},
	} {
		if got := calibration.Meter(&m); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func sample() []calibration.Record {
	o := mains()
	r := calibration.New(o)
	for _, p := range []calibration.Point{zero(0.02, 1), load(calibration.Values{Volts: 226, Amps: 4.5, Watts: 1017}, calibration.Values{Volts: 230, Amps: 4.6, Watts: 1058})} {
		if err := r.Add(p, o); err != nil {
			panic(err)
		}
	}
	d := direct()
	second := calibration.New(d)
	if err := second.Add(zero(0.01, 0), d); err != nil {
		panic(err)
	}
	return []calibration.Record{*r, *second}
}

func TestFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "calibration.json")
	if got, err := calibration.Load(path); err != nil || got != nil {
		t.Fatalf("without a file: %v, %v", got, err)
	}
	want := sample()
	if err := calibration.Save(path, []calibration.Record{want[1], want[0]}); err != nil {
		t.Fatal(err)
	}
	got, err := calibration.Load(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("read back: %v\n%+v", err, got)
	}
	if err := calibration.Save(path, want[:1]); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%v, %v: want the file alone", entries, err)
	}
	// It is replaced whole or not at all.
	if err := calibration.Save(filepath.Join(dir, "none", "calibration.json"), want); err == nil {
		t.Error("saved into a folder that is not there")
	}
	aside, err := calibration.SetAside(path, day)
	if err != nil || filepath.Base(aside) != "calibration.json.bad-20261128T093000Z" {
		t.Errorf("set aside as %s, %v", aside, err)
	}
	if got, err := calibration.Load(path); err != nil || got != nil {
		t.Errorf("after that: %v, %v", got, err)
	}
}

// TestEveryDamageIsSeen flips every bit and cuts at every byte.
func TestEveryDamageIsSeen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "calibration.json")
	if err := calibration.Save(path, sample()[1:]); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(b []byte, what string, at int) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := calibration.Load(path); !errors.Is(err, calibration.ErrDamaged) {
			t.Fatalf("%s %d: %v", what, at, err)
		}
	}
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		refused(b, "bit of byte", i)
		refused(whole[:i], "cut at", i)
	}
	refused(bytes.Repeat([]byte{'x'}, 2<<20), "long", 2<<20)
}

func FuzzLoad(f *testing.F) {
	path := filepath.Join(f.TempDir(), "seed")
	if err := calibration.Save(path, sample()); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte("{}\nsha256:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		records, err := calibration.Load(path)
		if err != nil {
			if !errors.Is(err, calibration.ErrDamaged) {
				t.Fatalf("%v is no damage", err)
			}
			return
		}
		for i := range records {
			_ = records[i].Check(mains())
		}
	})
}

// feed gives a measurement n readings.
func feed(o *config.Outlet, n int, f func(i int) shedguard.Reading) *calibration.Measurement {
	m := new(calibration.Measurement)
	for i := range n {
		r := f(i)
		r.At = day.Add(time.Duration(i) * 100 * time.Millisecond)
		m.Take(&r, &o.Meter)
	}
	return m
}

func steady(volts, amps, pf float64) func(int) shedguard.Reading {
	return func(i int) shedguard.Reading {
		wobble := 1 + 0.001*float64(i%2*2-1)
		return shedguard.Reading{Volts: volts * wobble, Amps: amps * wobble, Watts: volts * amps * pf, PowerFactor: pf}
	}
}

func TestLoadPoint(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		outlet *config.Outlet
		read   func(int) shedguard.Reading
		n      int
		ref    calibration.Values
		want   calibration.Values // true, when it is good
		err    string
	}{
		"resistive":     {mains(), steady(226, 4.5, 0.999), 100, calibration.Values{Volts: 230, Amps: 4.6}, calibration.Values{Volts: 230, Amps: 4.6, Watts: 1058}, ""},
		"not resistive": {mains(), steady(226, 4.5, 0.6), 100, calibration.Values{Volts: 230, Amps: 4.6}, calibration.Values{Volts: 230, Amps: 4.6}, ""},
		"watts given":   {mains(), steady(226, 4.5, 0.6), 100, calibration.Values{Volts: 230, Amps: 4.6, Watts: 650}, calibration.Values{Volts: 230, Amps: 4.6, Watts: 650}, ""},
		"direct":        {direct(), steady(48, 4.5, 1), 100, calibration.Values{Volts: 48, Amps: 4.6, Watts: 1}, calibration.Values{Volts: 48, Amps: 4.6}, ""},
		"too few":       {mains(), steady(226, 4.5, 1), 9, calibration.Values{Volts: 230, Amps: 4.6}, calibration.Values{}, "9 good readings"},
		"stale ones": {mains(), func(i int) shedguard.Reading {
			r := steady(226, 4.5, 1)(i)
			if i%10 == 0 {
				r.Quality = shedguard.QualityStale
			}
			return r
		}, 100, calibration.Values{Volts: 230, Amps: 4.6}, calibration.Values{}, "90 good readings and 10 bad ones"},
		"too small":     {mains(), steady(226, 0.4, 1), 100, calibration.Values{Volts: 230, Amps: 0.4}, calibration.Values{}, "too small: want 0.5 A or more"},
		"wrong outlet":  {mains(), steady(226, 0.01, 1), 100, calibration.Values{Volts: 230, Amps: 4.6}, calibration.Values{}, "is the load in this outlet?"},
		"saturated":     {mains(), steady(226, 29, 1), 100, calibration.Values{Volts: 230, Amps: 33}, calibration.Values{}, "saturated: 29.03 A of 30 A"},
		"saturated too": {direct(), steady(24, 40, 1), 100, calibration.Values{Volts: 24, Amps: 44}, calibration.Values{}, "saturated: 40.04 A of 40.96 A"},
		"volts move": {
			mains(), func(i int) shedguard.Reading { return steady(226+float64(i%2)*8, 4.5, 1)(0) },
			100,
			calibration.Values{Volts: 230, Amps: 4.6},
			calibration.Values{},
			"unsteady: 229.8 V",
		},
		"amps move": {
			mains(), func(i int) shedguard.Reading { return steady(226, 4.5+float64(i%2)/3, 1)(0) },
			100,
			calibration.Values{Volts: 230, Amps: 4.6},
			calibration.Values{},
			"unsteady: 4.66",
		},
		"warms up": {
			mains(), func(i int) shedguard.Reading { return steady(226, 4.6-float64(i)/1500, 1)(0) },
			100,
			calibration.Values{Volts: 230, Amps: 4.6},
			calibration.Values{},
			"is the load still warming up?",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := feed(tt.outlet, tt.n, tt.read).Load(tt.outlet, tt.ref, day, "me")
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if *p.True != tt.want || p.By != "me" || !p.At.Equal(day) || p.Samples != tt.n || p.Seconds != 9.9 {
				t.Errorf("%+v, true %+v, want %+v", p, *p.True, tt.want)
			}
		})
	}
}

func TestRestPoint(t *testing.T) {
	t.Parallel()
	o := mains()
	p, err := feed(o, 50, steady(226, 0.02, 0)).Rest(o, day, "")
	if err != nil || p.True != nil || math.Abs(p.Mean.Amps-0.02) > 1e-6 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := feed(o, 50, steady(226, 0.6, 1)).Rest(o, day, ""); err == nil || !strings.Contains(err.Error(), "through an open outlet: want 0.5 A at most") {
		t.Errorf("a current through an open outlet: %v", err)
	}
	m := feed(o, 20, steady(226, 0, 0))
	m.Bad()
	m.Bad()
	if _, err := m.Rest(o, day, ""); err == nil || m.Samples() != 20 {
		t.Errorf("2 bad readings of 22: %v", err)
	}
}

// TestCorrectionsAreUndone: what is in effect while it is measured makes no
// difference.
func TestCorrectionsAreUndone(t *testing.T) {
	t.Parallel()
	o := mains()
	o.Meter.Volts, o.Meter.Amps, o.Meter.Watts = config.Trim{Gain: 1.1, Offset: 2}, config.Trim{Gain: 0.9, Offset: -0.1}, config.Trim{Gain: 1.2, Offset: 5}
	m := feed(o, 20, func(int) shedguard.Reading {
		return shedguard.Reading{Volts: 1.1*220 + 2, Amps: 0.9*4 - 0.1, Watts: 1.2*880 + 5, PowerFactor: 1}
	})
	p, err := m.Load(o, calibration.Values{Volts: 220, Amps: 4}, day, "")
	if err != nil {
		t.Fatal(err)
	}
	if !near(p.Mean.Volts, 220) || !near(p.Mean.Amps, 4) || !near(p.Mean.Watts, 880) {
		t.Errorf("measured %+v, want 220 V, 4 A, 880 W", p.Mean)
	}
}
