package influx_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/series"
	"github.com/shedguard/shedguard/cloud/series/influx"
	"github.com/shedguard/shedguard/cloud/series/influx/queue"
	"github.com/shedguard/shedguard/cloud/series/seriestest"
	"github.com/shedguard/shedguard/internal/victoriatest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SHEDGUARD_TEST_STORE"); dir != "" {
		appendUntilKilled(dir, os.Getenv("SHEDGUARD_TEST_URL"), os.Getenv("SHEDGUARD_TEST_ROUND"))
	}
	goleak.VerifyTestMain(m)
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(tb testing.TB, opts influx.Options) *influx.Store {
	tb.Helper()
	if opts.Dir == "" {
		opts.Dir = tb.TempDir()
	}
	if opts.Language == "" {
		opts.Language = influx.PromQL
	}
	opts.Log = quiet()
	s, err := influx.Open(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func closed(tb testing.TB, s *influx.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Error(err)
	}
}

// eventually waits until ok, which some other goroutine or process makes true.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for limit := time.Now().Add(90 * time.Second); !ok(); {
		if time.Now().After(limit) {
			tb.Fatalf("waited too long for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// settled reads only what the database has taken and shows.
type settled struct {
	*influx.Store
	tb    testing.TB
	flush func()
}

func (s settled) wait() {
	s.tb.Helper()
	eventually(s.tb, "an empty queue", func() bool { return s.Stats().Waiting == 0 })
	s.flush()
}

func (s settled) Range(ctx context.Context, q series.Query) ([]series.Series, error) {
	s.wait()
	return s.Store.Range(ctx, q)
}

func (s settled) Latest(ctx context.Context, m string, tags map[string]string, within time.Duration) ([]series.Latest, error) {
	s.wait()
	return s.Store.Latest(ctx, m, tags, within)
}

func TestVictoriaMetricsConforms(t *testing.T) {
	seriestest.Run(t, func(t *testing.T) series.Store {
		t.Helper()
		vm := victoriatest.Start(t)
		return settled{open(t, influx.Options{URL: vm.URL()}), t, vm.Flush}
	})
}

// The suite over a real InfluxDB 2; the bucket is emptied before each part.
func TestInfluxDBConforms(t *testing.T) {
	addr, token, org, bucket := os.Getenv("INFLUX_URL"), os.Getenv("INFLUX_TOKEN"), os.Getenv("INFLUX_ORG"), os.Getenv("INFLUX_BUCKET")
	if addr == "" {
		t.Skip("INFLUX_URL is not set: needs an InfluxDB 2 with INFLUX_TOKEN, INFLUX_ORG and a bucket INFLUX_BUCKET that may be emptied")
	}
	seriestest.Run(t, func(t *testing.T) series.Store {
		t.Helper()
		where := strings.TrimSuffix(addr, "/") + "/api/v2/delete?" + url.Values{"org": {org}, "bucket": {bucket}}.Encode()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, where, strings.NewReader(`{"start":"1970-01-01T00:00:00Z","stop":"2200-01-01T00:00:00Z"}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Token "+token)
		req.Header.Set("Content-Type", "application/json")
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Fatalf("empty the bucket: %s", resp.Status)
		}
		return settled{open(t, influx.Options{URL: addr, Token: token, Org: org, Bucket: bucket, Language: influx.Flux}), t, func() {}}
	})
}

func point(shed string, outlet int, at time.Time, watts float64) shedguard.Point {
	return shedguard.Point{
		Measurement: shedguard.MeasurementOutlet, Time: at, Fields: []shedguard.Field{{Key: "watts", Value: watts}},
		Tags: []shedguard.Tag{{Key: "shed", Value: shed}, {Key: "outlet", Value: strconv.Itoa(outlet)}},
	}
}

// windows is what a number of sheds of 12 outlets say in one window.
func windows(sheds int, at time.Time) []shedguard.Point {
	var batch []shedguard.Point
	for shed := range sheds {
		for outlet := range 12 {
			p := point(fmt.Sprint("shed-", shed), outlet, at, float64(shed)+0.1)
			for _, key := range []string{"volts", "amps", "amps_max", "pf", "hz", "energy_wh", "state", "quality", "n"} {
				p.Fields = append(p.Fields, shedguard.Field{Key: key, Value: float64(outlet) + 0.25})
			}
			batch = append(batch, p)
		}
	}
	return batch
}

// stored is how many values a VictoriaMetrics holds, each counted as often as
// it is kept.
func stored(tb testing.TB, vm *victoriatest.Server) int {
	tb.Helper()
	vm.Flush()
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).PostForm(vm.URL()+"/api/v1/query", url.Values{
		"query": {`sum(count_over_time({__name__=~"outlet_.+"}[2d]))`}, "nocache": {"1"}, "time": {strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)},
	})
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		tb.Fatal(err)
	}
	if len(answer.Data.Result) == 0 {
		return 0
	}
	n, err := strconv.ParseFloat(fmt.Sprint(answer.Data.Result[0].Value[1]), 64)
	if err != nil {
		tb.Fatal(err)
	}
	return int(n)
}

// A database that is killed under load and comes back has in the end exactly
// what was appended. SHEDGUARD_TEST_OUTAGE lengthens the outage.
func TestKilledDatabaseLosesNothing(t *testing.T) {
	t.Parallel() // it mostly waits
	outage, settle := 3*time.Second, 15*time.Second
	if text := os.Getenv("SHEDGUARD_TEST_OUTAGE"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		outage, settle = d, influx.DefaultSettle
	}
	vm := victoriatest.Start(t)
	s := open(t, influx.Options{URL: vm.URL(), Settle: settle})
	defer closed(t, s)
	stop := make(chan struct{})
	appended := 0
	var writer sync.WaitGroup
	writer.Go(func() {
		at := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
		for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C { // 120 points of 10 values
			select {
			case <-stop:
				tick.Stop()
				return
			default:
			}
			at = at.Add(time.Second)
			batch := windows(10, at)
			if err := s.Append(context.Background(), batch); err != nil {
				t.Errorf("Append: %v", err)
				return
			}
			appended += 10 * len(batch)
		}
	})
	time.Sleep(3 * time.Second) // the load runs
	vm.Kill()
	time.Sleep(outage)
	peak := s.Stats()
	vm.Restart()
	time.Sleep(2 * time.Second) // and goes on
	vm.Kill()                   // again, at once: what came from the queue is not on the disk yet
	vm.Restart()
	close(stop)
	writer.Wait()
	eventually(t, "an empty queue", func() bool { return s.Stats().Waiting == 0 })
	// An outage after the last append, too, is noticed before anything is let go.
	vm.Kill()
	vm.Restart()
	resent := s.Stats().Resent
	eventually(t, "the unsettled points to be sent again", func() bool { st := s.Stats(); return st.Waiting == 0 && st.Resent > resent })
	if got := stored(t, vm); got != appended {
		t.Errorf("%d values appended, %d stored", appended, got)
	}
	st := s.Stats()
	t.Logf("outage %v: %d values appended and stored, queue peaked at %d points in %d bytes, oldest %v; %d lines sent, %d retries, sent again %d times", outage, appended, peak.Waiting, peak.QueueBytes, peak.Oldest.Round(time.Millisecond), st.Sent, st.Retries, st.Resent)
	if st.Queued != uint64(appended) || st.Refused != 0 || st.RefusedLines != 0 || peak.Waiting == 0 || peak.Oldest < outage/2 {
		t.Errorf("stats %+v, at the peak %+v", st, peak)
	}
}

// appendUntilKilled appends and prints the number of each point once Append
// returned nil.
func appendUntilKilled(dir, addr, round string) {
	s, err := influx.Open(influx.Options{URL: addr, Language: influx.PromQL, Dir: dir, Log: quiet()})
	if err != nil {
		fmt.Println("open", err)
		os.Exit(1)
	}
	base, err := strconv.ParseInt(round, 10, 64)
	if err != nil {
		os.Exit(1)
	}
	for i := int64(0); ; i++ {
		if err := s.Append(context.Background(), []shedguard.Point{point("a", 1, time.UnixMilli(base+i), float64(i))}); err != nil {
			fmt.Println("append", err)
			os.Exit(1)
		}
		fmt.Println(base + i)
	}
}

func TestKilledCollectorLosesNothing(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	vm := victoriatest.Start(t)
	dir := t.TempDir()
	begin := time.Now().Add(-time.Hour).Truncate(time.Second)
	acknowledged, beyond := 0, 0
	for round := range 4 {
		cmd := exec.CommandContext(t.Context(), program)
		base := begin.Add(time.Duration(round) * time.Minute).UnixMilli()
		cmd.Env = append(os.Environ(), "SHEDGUARD_TEST_STORE="+dir, "SHEDGUARD_TEST_URL="+vm.URL(), fmt.Sprint("SHEDGUARD_TEST_ROUND=", base))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		buf := make([]byte, 4096)
		for strings.Count(text.String(), "\n") < 50*(round+1) {
			n, err := out.Read(buf)
			if err != nil {
				t.Fatalf("writer ended: %v\n%s", err, text.String())
			}
			text.Write(buf[:n])
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		left, _ := io.ReadAll(out) // it ends with the process
		_ = cmd.Wait()             // it was killed
		text.Write(left)
		acknowledged += strings.Count(text.String(), "\n")
		beyond++ // one may be on the disk without the answer having been printed
	}
	s := open(t, influx.Options{URL: vm.URL(), Dir: dir})
	defer closed(t, s)
	eventually(t, "an empty queue", func() bool { return s.Stats().Waiting == 0 })
	if got := stored(t, vm); got < acknowledged || got > acknowledged+beyond {
		t.Errorf("%d acknowledged, %d stored: want as many and at most %d more", acknowledged, got, beyond)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	s := open(t, influx.Options{URL: "http://127.0.0.1:1/", QueueBytes: influx.MinQueueBytes})
	at, appended := time.Now().Add(-7*24*time.Hour), uint64(0)
	for i := 0; ; i++ {
		batch := windows(200, at.Add(time.Duration(i)*time.Millisecond))
		for j := range batch {
			for k := range batch[j].Fields { // digits that do not compress
				batch[j].Fields[k].Value = float64(uint32(i*7919+j*104729+k*1299709)*2654435761) / 4096.7
			}
		}
		err := s.Append(t.Context(), batch)
		if errors.Is(err, queue.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		appended += uint64(10 * len(batch))
	}
	if st := s.Stats(); st.Full != 1 || st.Queued != appended || st.Waiting != int64(appended/10) || st.QueueBytes > influx.MinQueueBytes || st.QueueBytes < influx.MinQueueBytes/2 {
		t.Errorf("stats %+v after %d values", st, appended)
	}
	closed(t, s)
}

func TestRefusedPoints(t *testing.T) {
	s := open(t, influx.Options{URL: "http://127.0.0.1:1/", SeriesPerShed: 2})
	defer closed(t, s)
	now := time.Now()
	long := point("a", 1, now, 1)
	long.Tags[1].Value = strings.Repeat("x", shedguard.MaxTagBytes+1)
	if err := s.Append(t.Context(), []shedguard.Point{
		point("a", 1, now, 1), point("a", 1, now, 1), point("a", 1, now, 2), // the same again, then another
		point("b", 1, now.Add(time.Hour), 1), point("b", 1, now.Add(-9*24*time.Hour), 1),
		long, point("b", 1, now, 1), point("b", 2, now, 1), point("b", 3, now, 1),
	}); err != nil {
		t.Fatal(err)
	}
	st := s.Stats()
	want := influx.Stats{Queued: 4, Refused: 5, RefusedSeries: 1, Series: 4}
	got := influx.Stats{Queued: st.Queued, Refused: st.Refused, RefusedSeries: st.RefusedSeries, Series: st.Series}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("stats (-want +got):\n%s", d)
	}
}

// A value of this second is in the chart and is the latest, whatever the
// server's own latency offset is.
func TestFreshValuesAreShown(t *testing.T) {
	vm := victoriatest.Start(t, "-search.latencyOffset=30s")
	s := settled{open(t, influx.Options{URL: vm.URL()}), t, vm.Flush}
	defer closed(t, s.Store)
	now := time.Now().Truncate(time.Millisecond)
	if err := s.Append(t.Context(), []shedguard.Point{point("a", 1, now.Add(-20*time.Second), 1), point("a", 1, now.Add(-time.Second), 2), point("a", 1, now, 3)}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Range(t.Context(), series.Query{Measurement: "outlet", Field: "watts", From: now.Add(-time.Minute), To: now.Add(time.Second), Points: 61})
	if err != nil || len(got) != 1 || len(got[0].Buckets) != 3 || got[0].Buckets[2].Max != 3 || !got[0].Buckets[2].At.Equal(now) {
		t.Errorf("chart %v, %v", got, err)
	}
	last, err := s.Latest(t.Context(), "outlet", nil, time.Minute)
	if err != nil || len(last) != 1 || last[0].Value != 3 || !last[0].At.Equal(now) {
		t.Errorf("latest %v, %v", last, err)
	}
}

func TestEveryTextIsQuoted(t *testing.T) {
	vm := victoriatest.Start(t)
	s := settled{open(t, influx.Options{URL: vm.URL()}), t, vm.Flush}
	defer closed(t, s.Store)
	now := time.Now().Truncate(time.Second)
	odd := []string{`quo"te`, "spa ce", "com,ma", "equ=al", "中文车棚", "$" + "{x}", "#", "{}", "or", "a'b", "back`tick", "*.+"}
	var batch []shedguard.Point
	for i, text := range odd {
		batch = append(batch, point(text, 1, now, float64(i)))
	}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for i, text := range odd {
		got, err := s.Range(t.Context(), series.Query{Measurement: "outlet", Field: "watts", Tags: map[string]string{"shed": text}, From: now, To: now.Add(time.Second), Points: 1})
		if err != nil || len(got) != 1 || got[0].Tags["shed"] != text || got[0].Buckets[0].Mean != float64(i) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{`x"} or vector(1)`, "\x00\xff\n", `\`, `"`} {
		got, err := s.Range(t.Context(), series.Query{Measurement: "outlet", Field: "watts", Tags: map[string]string{"shed": text}, From: now, To: now.Add(time.Second)})
		if err != nil || got != nil {
			t.Errorf("%q: %v, %v, want nothing", text, got, err)
		}
	}
	if got, err := s.Range(t.Context(), series.Query{Measurement: "outlet", Field: "watts", Tags: map[string]string{`shed="a"} or x{y`: "a"}, From: now, To: now.Add(time.Second)}); err == nil {
		t.Errorf("a tag that is no name: %v, want an error", got)
	}
}

// Buckets agree with those counted by hand, also when the steps do not divide
// the span.
func TestBucketsAgree(t *testing.T) {
	vm := victoriatest.Start(t)
	s := settled{open(t, influx.Options{URL: vm.URL()}), t, vm.Flush}
	defer closed(t, s.Store)
	from := time.Now().Add(-time.Hour).Truncate(time.Millisecond).UTC()
	var batch []shedguard.Point
	at := from.Add(-5 * time.Second)
	for i := range 500 {
		batch = append(batch, point("a", 1, at, float64((i*i)%97)))
		at = at.Add(time.Duration(1+(i*37)%400) * time.Millisecond)
	}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, points := range []int{1, 2, 7, 60, 599, 1000} {
		q := series.Query{Measurement: "outlet", Field: "watts", From: from, To: from.Add(61 * time.Second), Points: points}
		var want []series.Bucket
		for _, p := range batch {
			if p.Time.Before(q.From) || !p.Time.Before(q.To) {
				continue
			}
			begin := q.From.Add(p.Time.Sub(q.From).Truncate(q.Step()))
			v := p.Fields[0].Value
			if len(want) == 0 || !want[len(want)-1].At.Equal(begin) {
				want = append(want, series.Bucket{At: begin, Min: v, Max: v})
			}
			b := &want[len(want)-1]
			b.Count++
			b.Min, b.Max, b.Mean = min(b.Min, v), max(b.Max, v), b.Mean+v
		}
		for i := range want {
			want[i].Mean /= float64(want[i].Count)
		}
		got, err := s.Range(t.Context(), q)
		if err != nil || len(got) != 1 || len(got[0].Buckets) > points {
			t.Fatalf("%d points: %d series, %v", points, len(got), err)
		}
		near := cmp.Comparer(func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 })
		if d := cmp.Diff(want, got[0].Buckets, near); d != "" {
			t.Errorf("%d points (-want +got):\n%s", points, d)
		}
	}
}

func TestCheckSeesTheSwitch(t *testing.T) {
	for flag, good := range map[string]bool{"-dedup.minScrapeInterval=1ms": true, "-dedup.minScrapeInterval=0s": false, "-dedup.minScrapeInterval=10s": false} {
		vm := victoriatest.Start(t, flag)
		s := open(t, influx.Options{URL: vm.URL()})
		if err := s.Check(t.Context()); (err == nil) != good {
			t.Errorf("%s: %v", flag, err)
		}
		closed(t, s)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := influx.Options{URL: "http://127.0.0.1:1", Language: influx.PromQL, Dir: filepath.Join(t.TempDir(), "q"), Log: quiet()}
	for name, change := range map[string]func(*influx.Options){
		"no url":         func(o *influx.Options) { o.URL = "" },
		"not http":       func(o *influx.Options) { o.URL = "ftp://127.0.0.1" },
		"no language":    func(o *influx.Options) { o.Language = "" },
		"flux, no org":   func(o *influx.Options) { o.Language, o.Bucket = influx.Flux, "b" },
		"no dir":         func(o *influx.Options) { o.Dir = "" },
		"no log":         func(o *influx.Options) { o.Log = nil },
		"tiny queue":     func(o *influx.Options) { o.QueueBytes = 1 },
		"negative ahead": func(o *influx.Options) { o.Ahead = -1 },
	} {
		o := good
		change(&o)
		if s, err := influx.Open(o); err == nil {
			t.Errorf("%s: opened, want an error", name)
			closed(t, s)
		}
	}
	o := good
	o.URL = "http://user:secret@host:1/?x=1"
	if _, err := influx.Open(o); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v: want one that does not show the password", err)
	}
	s, err := influx.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, s)
}

func BenchmarkAppend(b *testing.B) {
	s := open(b, influx.Options{URL: "http://127.0.0.1:1/", QueueBytes: 64 << 30})
	defer closed(b, s)
	at := time.Now().Add(-7 * 24 * time.Hour)
	batch := windows(100, at)
	b.ReportAllocs()
	values := 0
	for b.Loop() {
		at = at.Add(time.Second)
		for i := range batch {
			batch[i].Time = at
		}
		if err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		values += 10 * len(batch)
	}
	b.ReportMetric(float64(values)/b.Elapsed().Seconds(), "values/s")
}

// BenchmarkStore measures the way from Append until VictoriaMetrics has taken
// everything.
func BenchmarkStore(b *testing.B) {
	vm := victoriatest.Start(b)
	s := open(b, influx.Options{URL: vm.URL(), QueueBytes: 64 << 30})
	defer closed(b, s)
	at := time.Now().Add(-7 * 24 * time.Hour)
	batch := windows(100, at)
	b.ReportAllocs()
	values, begin := 0, time.Now()
	for b.Loop() {
		at = at.Add(time.Second)
		for i := range batch {
			batch[i].Time = at
		}
		if err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		values += 10 * len(batch)
	}
	eventually(b, "an empty queue", func() bool { return s.Stats().Waiting == 0 })
	b.ReportMetric(float64(values)/time.Since(begin).Seconds(), "values/s")
}
