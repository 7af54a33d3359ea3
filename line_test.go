package shedguard_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard"
)

func outletPoint() *shedguard.Point {
	return &shedguard.Point{
		Measurement: shedguard.MeasurementOutlet,
		Tags:        []shedguard.Tag{{Key: "shed", Value: "S"}, {Key: "outlet", Value: "3"}},
		Fields: []shedguard.Field{
			{Key: "volts", Value: 221.4},
			{Key: "amps", Value: 1.82},
			{Key: "amps_max", Value: 1.9},
			{Key: "watts", Value: 389.1},
			{Key: "pf", Value: 0.966},
			{Key: "hz", Value: 50},
			{Key: "energy_wh", Value: 812.4},
			{Key: "state", Value: 3, Int: true},
			{Key: "quality", Value: 0, Int: true},
			{Key: "n", Value: 100, Int: true},
		},
		Time: time.UnixMilli(1732366800000).UTC(),
	}
}

func ExampleAppendLine() {
	line, err := shedguard.AppendLine(nil, &shedguard.Point{
		Measurement: shedguard.MeasurementClimate,
		Tags:        []shedguard.Tag{{Key: "shed", Value: "S"}, {Key: "zone", Value: "bay-1"}},
		Fields:      []shedguard.Field{{Key: "celsius", Value: 31.2}, {Key: "smoke", Int: true}},
		Time:        time.UnixMilli(1732366800000),
	})
	fmt.Print(string(line), err)
	// Output:
	// climate,shed=S,zone=bay-1 celsius=31.2,smoke=0i 1732366800000000000
	// <nil>
}

func TestAppendLineContract(t *testing.T) {
	t.Parallel()
	want := "outlet,shed=S,outlet=3 volts=221.4,amps=1.82,amps_max=1.9,watts=389.1,pf=0.966,hz=50,energy_wh=812.4,state=3i,quality=0i,n=100i 1732366800000000000\n"
	got, err := shedguard.AppendLine(nil, outletPoint())
	if err != nil || string(got) != want {
		t.Errorf("AppendLine = %q, %v\nwant %q", got, err, want)
	}
}

func TestAppendLineRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]func(p *shedguard.Point){
		"no name":          func(p *shedguard.Point) { p.Measurement = "" },
		"name with comma":  func(p *shedguard.Point) { p.Measurement = "a,b" },
		"no fields":        func(p *shedguard.Point) { p.Fields = nil },
		"empty tag":        func(p *shedguard.Point) { p.Tags[0].Value = "" },
		"tag line break":   func(p *shedguard.Point) { p.Tags[0].Value = "a\nb" },
		"tag backslash":    func(p *shedguard.Point) { p.Tags[0].Value = `a\` },
		"tag not utf-8":    func(p *shedguard.Point) { p.Tags[0].Value = "\xff" },
		"field name":       func(p *shedguard.Point) { p.Fields[0].Key = "1a" },
		"not a number":     func(p *shedguard.Point) { p.Fields[1].Value = math.NaN() },
		"infinite":         func(p *shedguard.Point) { p.Fields[1].Value = math.Inf(-1) },
		"broken int":       func(p *shedguard.Point) { p.Fields[7].Value = 0.5 },
		"huge int":         func(p *shedguard.Point) { p.Fields[7].Value = 1e17 },
		"no time":          func(p *shedguard.Point) { p.Time = time.Time{} },
		"time before 1970": func(p *shedguard.Point) { p.Time = time.Unix(-1, 0) },
		"too many tags":    func(p *shedguard.Point) { p.Tags = make([]shedguard.Tag, 9) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := outletPoint()
			spoil(p)
			dst := []byte("kept")
			got, err := shedguard.AppendLine(dst, p)
			if err == nil || string(got) != "kept" {
				t.Errorf("AppendLine = %q, %v, want an error and dst as it came", got, err)
			}
		})
	}
	p := outletPoint()
	p.Fields[0].Value = math.NaN()
	if _, err := shedguard.AppendLine(nil, p); !errors.Is(err, shedguard.ErrNotFinite) {
		t.Errorf("NaN: %v, want ErrNotFinite", err)
	}
}

func TestParseLineRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"empty":          "",
		"no fields":      "outlet,shed=S 1732366800000000000",
		"no time":        "outlet,shed=S volts=1",
		"empty time":     "outlet,shed=S volts=1 ",
		"time word":      "outlet,shed=S volts=1 now",
		"time zero":      "outlet,shed=S volts=1 0",
		"negative time":  "outlet,shed=S volts=1 -5000000",
		"text":           `outlet,shed=S volts="high" 1732366800000000000`,
		"word":           "outlet,shed=S volts=abc 1732366800000000000",
		"boolean":        "outlet,shed=S volts=true 1732366800000000000",
		"nan":            "outlet,shed=S volts=NaN 1732366800000000000",
		"inf":            "outlet,shed=S volts=+Inf 1732366800000000000",
		"overflow":       "outlet,shed=S volts=1e999 1732366800000000000",
		"hex":            "outlet,shed=S volts=0x1p4 1732366800000000000",
		"empty value":    "outlet,shed=S volts= 1732366800000000000",
		"field twice":    "outlet,shed=S volts=1,volts=2 1732366800000000000",
		"tag twice":      "outlet,shed=S,shed=T volts=1 1732366800000000000",
		"empty tag":      "outlet,shed= volts=1 1732366800000000000",
		"bare equals":    "outlet,shed=a=b volts=1 1732366800000000000",
		"trailing comma": "outlet,shed=S volts=1, 1732366800000000000",
		"control bytes":  "outlet,shed=\x01 volts=1 1732366800000000000",
		"too long":       "outlet,shed=S " + strings.Repeat("v", shedguard.MaxLineBytes) + "=1 1732366800000000000",
	}
	for name, line := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var (
				r shedguard.LineReader
				p shedguard.Point
			)
			if err := r.Parse([]byte(line), &p); err == nil {
				t.Errorf("Parse(%q) = %+v, want an error", line, p)
			}
		})
	}
}

func drawPoint(t *rapid.T) *shedguard.Point {
	name := rapid.StringMatching(`[a-zA-Z_][a-zA-Z0-9_]{0,20}`)
	text := rapid.StringMatching(`[ -\[\]-~äöü智慧]{1,20}`)
	p := &shedguard.Point{
		Measurement: name.Draw(t, "measurement"),
		Time:        time.UnixMilli(rapid.Int64Range(1, math.MaxInt64/int64(time.Millisecond)).Draw(t, "ms")).UTC(),
	}
	for _, k := range rapid.SliceOfNDistinct(name, 0, shedguard.MaxLineTags, rapid.ID).Draw(t, "tags") {
		p.Tags = append(p.Tags, shedguard.Tag{Key: k, Value: text.Draw(t, "tag")})
	}
	for _, k := range rapid.SliceOfNDistinct(name, 1, 12, rapid.ID).Draw(t, "fields") {
		f := shedguard.Field{Key: k, Int: rapid.Bool().Draw(t, "int")}
		if f.Int {
			f.Value = float64(rapid.Int64Range(-1<<53, 1<<53).Draw(t, "whole"))
		} else {
			f.Value = rapid.Float64().Filter(func(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }).Draw(t, "value")
		}
		p.Fields = append(p.Fields, f)
	}
	return p
}

func TestLineRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawPoint(t)
		line, err := shedguard.AppendLine(nil, want)
		if err != nil {
			t.Fatal(err)
		}
		var (
			r   shedguard.LineReader
			got shedguard.Point
		)
		if err := r.Parse(bytes.TrimSuffix(line, []byte("\n")), &got); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if len(got.Tags) == 0 {
			got.Tags = nil
		}
		if diff := cmp.Diff(want, &got); diff != "" {
			t.Errorf("%q: %s", line, diff)
		}
	})
}

// FuzzParseLine proves that no input panics and that what was understood is
// written and read again as the same point.
func FuzzParseLine(f *testing.F) {
	for _, s := range []string{
		"outlet,shed=S,outlet=3 volts=221.4,state=3i 1732366800000000000",
		`climate,shed=S,zone=bay\ 1 celsius=-31.2,smoke=0i 1732366800000000000`,
		`a,b=\=\,\ x c=.5,d=-1e-3,e=+7 1000000`,
		"gateway drops=1i 1",
		"outlet,shed=S volts=\"x y\" 1732366800000000000",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var (
			r    shedguard.LineReader
			p, q shedguard.Point
		)
		if r.Parse(line, &p) != nil {
			return
		}
		again, err := shedguard.AppendLine(nil, &p)
		if err != nil {
			if len(line) > shedguard.MaxLineBytes/4 {
				return // numbers grow when they are written in full
			}
			t.Fatalf("%q was read but cannot be written: %v", line, err)
		}
		if err := r.Parse(bytes.TrimSuffix(again, []byte("\n")), &q); err != nil {
			t.Fatalf("%q: %v", again, err)
		}
		if diff := cmp.Diff(p, q); diff != "" {
			t.Errorf("%q: %s", line, diff)
		}
	})
}

// BenchmarkAppendLine encodes a batch of 120 points, ten seconds of a shed.
func BenchmarkAppendLine(b *testing.B) {
	const points = 120
	p := outletPoint()
	buf := make([]byte, 0, points*256)
	b.ReportAllocs()
	for b.Loop() {
		buf = buf[:0]
		for range points {
			var err error
			if buf, err = shedguard.AppendLine(buf, p); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*points), "ns/point")
}

func BenchmarkParseLine(b *testing.B) {
	line, err := shedguard.AppendLine(nil, outletPoint())
	if err != nil {
		b.Fatal(err)
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	var (
		r shedguard.LineReader
		p shedguard.Point
	)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Parse(line, &p); err != nil {
			b.Fatal(err)
		}
	}
}

func TestLineAllocations(t *testing.T) {
	p := outletPoint()
	buf := make([]byte, 0, 4096)
	var err error
	if n := testing.AllocsPerRun(100, func() { buf, err = shedguard.AppendLine(buf[:0], p) }); n != 0 || err != nil {
		t.Errorf("AppendLine: %v allocations, %v, want none", n, err)
	}
}
