package recording_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/gateway/recording"
)

func readAll(in string, opts recording.Options) ([]recording.Sample, *recording.Reader, error) {
	r, err := recording.Open(strings.NewReader(in), opts)
	if err != nil {
		return nil, nil, err
	}
	var all []recording.Sample
	for {
		var s recording.Sample
		err := r.Next(&s)
		if errors.Is(err, io.EOF) {
			return all, r, nil
		}
		if err != nil {
			return all, r, err
		}
		all = append(all, s)
	}
}

// sample makes a sample without peaks.
func sample(at time.Duration, volts, amps, watts float64) recording.Sample {
	return recording.Sample{At: at, Volts: volts, Amps: amps, Watts: watts, PeakAmps: nan(), PeakWatts: nan()}
}

func nan() float64 { return math.NaN() }

// lost is a sample from which on nothing is known.
func lost(at time.Duration) recording.Sample {
	s := sample(at, nan(), nan(), nan())
	s.Lost = true
	return s
}

func TestReads(t *testing.T) {
	t.Parallel()
	peaks := func(s recording.Sample, amps, watts float64) recording.Sample {
		s.PeakAmps, s.PeakWatts = amps, watts
		return s
	}
	tests := map[string]struct {
		in      string
		channel int
		format  recording.Format
		want    []recording.Sample
	}{
		"csv": {
			in:     "time_s,note,watts,amps,volts\n0,x,440.5,2,220\r\n0.25,\"a, \"\"b\"\"\",-1e1,,\n",
			format: recording.FormatCSV,
			want:   []recording.Sample{sample(0, 220, 2, 440.5), sample(250*time.Millisecond, nan(), nan(), -10)},
		},
		"csv with byte order mark, no last line end": {
			in:     "\xef\xbb\xbftime_s,amps\n-5,2\n\n7,12345678901234567.5e-16",
			format: recording.FormatCSV,
			want:   []recording.Sample{sample(-5*time.Second, nan(), 2, nan()), sample(7*time.Second, nan(), 1.23456789012345675, nan())},
		},
		"csv scaled": {
			in:     "time_s,volts_scaled,amps_scaled\n1,170,-3\n",
			format: recording.FormatCSV,
			want:   []recording.Sample{sample(time.Second, 170, -3, nan())},
		},
		"tasmota bare": {
			in: `{"Time":"2026-05-01T08:00:00","ENERGY":{"TotalStartTime":"2026-01-01T00:00:00","Total":51.2,"Yesterday":1.4,"Today":0.5,"Period":0,"Power":96,"ApparentPower":101,"ReactivePower":31,"Factor":0.95,"Voltage":221,"Current":0.457}}
{"Time":"2026-05-01T08:00:10","POWER":"ON","Wifi":{"RSSI":70}}
{"Time":"2026-05-01T08:05:00","ENERGY":{"Power":94.5,"Current":0.45}}
`,
			format: recording.FormatTasmota,
			want:   []recording.Sample{sample(0, 221, 0.457, 96), sample(5*time.Minute, nan(), 0.45, 94.5)},
		},
		"tasmota log, second channel": {
			in: `08:00:00.120 MQT: tele/plug/STATE = {"Time":"2026-05-01T08:00:00","Uptime":"0T01:00:00"}
08:00:00.123 MQT: tele/plug/SENSOR = {"Time":"2026-05-01T08:00:00","ENERGY":{"Power":[52,5],"Voltage":235,"Current":[0.278,0.044]}}
08:00:01.000 RSL: nothing of ours
08:00:09.123 MQT: stat/plug/STATUS8 = {"StatusSNS":{"Time":"2026-05-01T08:00:09","ENERGY":{"Power":[53,6],"Voltage":236,"Current":[0.279,0.045]}}}
`,
			channel: 2,
			format:  recording.FormatTasmota,
			want:    []recording.Sample{sample(0, 235, 0.044, 5), sample(9*time.Second, 236, 0.045, 6)},
		},
		"tasmota csv": {
			in:     "Time,ENERGY.Total,ENERGY.Power,ENERGY.Voltage,ENERGY.Current\n2026-05-01T08:00:00,1.2,96,221,0.457\n2026-05-01T08:00:10,1.2,97,,0.46\n",
			format: recording.FormatTasmota,
			want:   []recording.Sample{sample(0, 221, 0.457, 96), sample(10*time.Second, nan(), 0.46, 97)},
		},
		"shelly em1 csv": {
			in: "timestamp,total_act_energy,total_act_ret_energy,max_act_power,min_act_power,max_voltage,min_voltage,avg_voltage,max_current,min_current,avg_current\n" +
				"1777622400,1.6,0,480,90,223,220,221,2.4,0.4,0.46\n1777622460,1.5,0,95,88,223,220,222,0.47,0.4,0.44\n",
			format: recording.FormatShelly,
			want: []recording.Sample{
				peaks(sample(0, 221, 0.46, 96), 2.4, 480), peaks(sample(time.Minute, 222, 0.44, 90), 0.47, 95), lost(2 * time.Minute),
			},
		},
		"shelly em csv, phase c": {
			in:      "timestamp,a_total_act_energy,a_avg_voltage,a_avg_current,c_total_act_energy,c_avg_voltage,c_avg_current\n1777622400,9,1,1,1.6,221,0.46\n",
			channel: 3,
			format:  recording.FormatShelly,
			want:    []recording.Sample{sample(0, 221, 0.46, 96), lost(time.Minute)},
		},
		"shelly em1 json with an interruption": {
			in: `{"id":1,"src":"shellyproem50","result":{"keys":["total_act_energy","avg_voltage","avg_current","max_current"],
"data":[{"ts":1777622400,"period":60,"values":[[1.6,221,0.46,0.5],[1.5,null,0.44,0.5]]},
{"ts":1777623000,"period":"60","values":[[0,220,0,0]]}]}}`,
			format: recording.FormatShelly,
			want: []recording.Sample{
				peaks(sample(0, 221, 0.46, 96), 0.5, nan()), peaks(sample(time.Minute, nan(), 0.44, 90), 0.5, nan()), lost(2 * time.Minute),
				peaks(sample(10*time.Minute, 220, 0, 0), 0, nan()), lost(11 * time.Minute),
			},
		},
		"shelly notifications hold what did not change": {
			in: `{"src":"shellyplusplugs-1","dst":"x","method":"NotifyStatus","params":{"ts":1777622400.25,"switch:0":{"id":0,"apower":96.1,"voltage":221.4,"current":0.46}}}
{"src":"shellyplusplugs-1","method":"NotifyStatus","params":{"ts":1777622401.00,"sys":{"unixtime":1777622401}}}
{"src":"shellyplusplugs-1","method":"NotifyStatus","params":{"ts":1777622402.25,"switch:0":{"id":0,"apower":90.5}}}
`,
			format: recording.FormatShelly,
			want:   []recording.Sample{sample(0, 221.4, 0.46, 96.1), sample(2*time.Second, 221.4, 0.46, 90.5)},
		},
		"home assistant, one entity after the other": {
			in: `entity_id,state,last_changed
sensor.bay_3_plug_power,96.1,2026-05-01T08:00:00.000Z
sensor.bay_3_plug_power,unavailable,2026-05-01T08:10:00.000Z
sensor.bay_3_plug_power,90,2026-05-01T08:20:00.000Z
sensor.bay_3_plug_current,0.46,2026-05-01T07:59:59.500Z
sensor.bay_3_plug_current,unavailable,2026-05-01T08:10:00.000Z
sensor.bay_3_plug_energy,12.5,2026-05-01T08:00:00.000Z
sensor.bay_3_plug_power_factor,0.95,2026-05-01T08:00:00.000Z
`,
			format: recording.FormatHomeAssistant,
			want: []recording.Sample{
				sample(0, nan(), 0.46, nan()), sample(500*time.Millisecond, nan(), 0.46, 96.1),
				lost(10*time.Minute + 500*time.Millisecond), sample(20*time.Minute+500*time.Millisecond, nan(), nan(), 90),
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, format := range []recording.Format{recording.FormatAuto, tt.format} {
				got, r, err := readAll(tt.in, recording.Options{Format: format, Channel: tt.channel})
				if err != nil {
					t.Fatal(err)
				}
				if r.Format() != tt.format {
					t.Errorf("taken for %s, want %s", r.Format(), tt.format)
				}
				if diff := cmp.Diff(tt.want, got, cmpopts.EquateNaNs(), cmpopts.EquateApprox(1e-12, 0)); diff != "" {
					t.Errorf("%s: %s", format, diff)
				}
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		in      string
		format  recording.Format
		channel int
		want    string
	}{
		"empty":               {in: "", want: "header"},
		"a picture":           {in: "\x89PNG\r\n\x1a\n", want: "line 1"},
		"unknown columns":     {in: "when,what\n1,2\n", want: `line 1: "when,what": want a CSV header with time_s`},
		"no quantity":         {in: "time_s,va\n0,1\n", want: `line 1: columns "time_s,va": want time_s and at least one of volts, amps, watts`},
		"no time":             {in: "amps,watts\n", format: recording.FormatCSV, want: "time_s"},
		"text":                {in: "time_s,amps,watts\n0,1,1\n1,1,much\n", want: `line 3: watts "much": want a finite number or nothing`},
		"not a number":        {in: "time_s,amps\n0,NaN\n", want: `line 2: amps "NaN"`},
		"infinite":            {in: "time_s,amps\n0,-Inf\n", want: `line 2: amps "-Inf"`},
		"too large":           {in: "time_s,amps\n0,1e9\n", want: "line 2: amps"},
		"no instant":          {in: "time_s,amps\n,1\n", want: `line 2: time_s ""`},
		"endless time":        {in: "time_s,amps\n1e18,1\n", want: "line 2: time_s"},
		"goes back":           {in: "time_s,amps\n5,1\n6,1\n4,1\n", want: `line 4: time "4s": want 6s or later`},
		"short row":           {in: "time_s,amps\n5\n", want: "line 2: \"5\": want 2 columns"},
		"long row":            {in: "time_s,amps\n5,1,2\n", want: "line 2"},
		"open quote":          {in: "time_s,amps\n\"5,1\n", want: "closing quote"},
		"long line":           {in: "time_s,amps\n0," + strings.Repeat("1", 2<<20), want: "line 2"},
		"channel":             {in: "time_s,amps\n0,1\n", channel: 99, want: "channel 99: want 1 to 8"},
		"format":              {in: "time_s,amps\n0,1\n", format: "excel", want: `format "excel": want one of`},
		"tasmota JSON":        {in: "{\"Time\":\"2026-05-01T08:00:00\",\"ENERGY\":{\"Power\":1}}\n{\"Time\":\n", want: "line 2"},
		"tasmota time":        {in: "{\"Time\":\"soon\",\"ENERGY\":{\"Power\":1}}\n", want: `line 1: Time "soon": want a time such as`},
		"tasmota channel":     {in: "{\"Time\":\"2026-05-01T08:00:00\",\"ENERGY\":{\"Power\":[1,2]}}\n", channel: 3, want: "line 1: ENERGY.Power \"[1 2]\": want a channel 3"},
		"tasmota text":        {in: "{\"Time\":\"2026-05-01T08:00:00\",\"ENERGY\":{\"Power\":\"lots\"}}\n", want: "line 1"},
		"tasmota CSV number":  {in: "Time,Power\n2026-05-01T08:00:00,x\n", want: `line 2: Power "x"`},
		"shelly columns":      {in: "timestamp,act_power_total\n1,2\n", format: recording.FormatShelly, want: "total_act_energy"},
		"shelly phase":        {in: "timestamp,a_total_act_energy\n1,2\n", channel: 4, want: "1 to 3"},
		"shelly CSV number":   {in: "timestamp,total_act_energy,avg_voltage\n1777622400,2,x\n", want: `line 2: avg_voltage "x"`},
		"shelly keys":         {in: `{"data":[{"ts":1,"period":60,"values":[[1]]}]}`, want: "keys before data"},
		"shelly row":          {in: `{"keys":["total_act_energy","avg_voltage"],"data":[{"ts":1777622400,"period":60,"values":[[1]]}]}`, want: `values[0] "1 numbers": want 2`},
		"shelly cut off":      {in: `{"keys":["total_act_energy"],"data":[{"ts":1777622400,"period":60,"values":[[1],`, want: "end of file"},
		"shelly no time":      {in: "{\"id\":0,\"method\":\"NotifyStatus\",\"params\":{\"switch:0\":{\"apower\":1}}}\n", want: "line 1: ts"},
		"assistant number":    {in: "entity_id,state,last_changed\nsensor.a_power,on,2026-05-01T08:00:00.000Z\n", want: `line 2: state "on": want a finite number, unavailable or unknown`},
		"assistant time":      {in: "entity_id,state,last_changed\nsensor.a_power,1,noon\n", want: `line 2: last_changed "noon"`},
		"assistant two plugs": {in: "entity_id,state,last_changed\nsensor.a_power,1,2026-05-01T08:00:00.000Z\nsensor.b_power,1,2026-05-01T08:00:00.000Z\n", want: "line 3: entity_id \"sensor.b_power\": want one plug in a file"},
		"assistant no plug":   {in: "entity_id,state,last_changed\nsensor.humidity,1,2026-05-01T08:00:00.000Z\n", want: "at least one entity whose id ends in power or current"},
		"assistant columns":   {in: "entity_id,state\n", format: recording.FormatHomeAssistant, want: "last_changed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := readAll(tt.in, recording.Options{Format: tt.format, Channel: tt.channel})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want an error with %q", err, tt.want)
			}
		})
	}
}

// TestNumbers holds the short way of reading numbers to the standard library's.
func TestNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`-?[0-9]{1,10}(\.[0-9]{0,8})?`),
			rapid.StringMatching(`-?[0-9]{0,3}\.?[0-9]{0,6}(e-?[0-9])?`),
		).Draw(t, "text")
		got, _, err := readAll("time_s,amps\n0,"+text+"\n", recording.Options{Format: recording.FormatCSV})
		want, bad := strconv.ParseFloat(text, 64)
		switch refused := bad != nil || math.Abs(want) > recording.MaxValue; {
		case text == "":
			if err != nil || !math.IsNaN(got[0].Amps) {
				t.Fatalf("nothing is read as %v, %v", got, err)
			}
		case refused != (err != nil):
			t.Fatalf("%q: %v, want an error: %t", text, err, refused)
		case !refused && got[0].Amps != want:
			t.Fatalf("%q is read as %g, want %g", text, got[0].Amps, want)
		}
	})
}

func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"time_s,volts,amps,watts\n0,220,1,220\n1,,2,\n",
		"Time,Power,Voltage\n2026-05-01T08:00:00,96,221\n",
		"{\"Time\":\"2026-05-01T08:00:00\",\"ENERGY\":{\"Power\":[1,2],\"Voltage\":230,\"Current\":0.1}}\n",
		"tele/plug/SENSOR = {\"StatusSNS\":{\"Time\":\"2026-05-01T08:00:00\",\"ENERGY\":{\"Power\":1}}}\n",
		"timestamp,total_act_energy,avg_voltage\n1777622400,1.6,221\n",
		`{"keys":["total_act_energy","max_current"],"data":[{"ts":1777622400,"period":60,"values":[[1.6,2],[null,3]]}]}`,
		"{\"method\":\"NotifyStatus\",\"params\":{\"ts\":1777622400.25,\"switch:0\":{\"apower\":96.1}}}\n",
		"entity_id,state,last_changed\nsensor.a_power,96,2026-05-01T08:00:00.000Z\nsensor.a_current,unavailable,2026-05-01T08:00:01.000Z\n",
	} {
		f.Add(seed, uint8(0), uint8(0))
	}
	f.Fuzz(func(t *testing.T, in string, format, channel uint8) {
		formats := recording.Formats()
		all, _, _ := readAll(in, recording.Options{Format: formats[int(format)%len(formats)], Channel: int(channel)})
		last := time.Duration(math.MinInt64)
		for _, s := range all {
			if s.At < last {
				t.Fatalf("time goes back from %s to %s", last, s.At)
			}
			last = s.At
			for _, v := range []float64{s.Volts, s.Amps, s.Watts, s.PeakAmps, s.PeakWatts} {
				if v > recording.MaxValue || v < -recording.MaxValue {
					t.Fatalf("%+v", s)
				}
			}
		}
	})
}

func BenchmarkCSV(b *testing.B) {
	in := strings.NewReader("")
	text := denseCSV(100_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		in.Reset(text)
		r, err := recording.Open(in, recording.Options{})
		if err != nil {
			b.Fatal(err)
		}
		var s recording.Sample
		for err = r.Next(&s); err == nil; err = r.Next(&s) {
			n++
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "samples/s")
}

// denseCSV is a recording with one row every millisecond.
func denseCSV(rows int) string {
	var b strings.Builder
	b.WriteString("time_s,volts,amps,watts\n")
	for i := range rows {
		fmt.Fprintf(&b, "%.3f,220.%d,1.8%d,38%d.4\n", float64(i)/1000, i%10, i%7, i%9)
	}
	return b.String()
}
