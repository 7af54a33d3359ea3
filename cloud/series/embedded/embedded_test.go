package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/series"
	"github.com/shedguard/shedguard/cloud/series/embedded"
	"github.com/shedguard/shedguard/cloud/series/seriestest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SERIES_TEST_WRITER"); dir != "" {
		write(dir)
		return
	}
	// A start that fails on a damaged folder leaves the log's goroutine of that
	// attempt behind, in the database itself (v0.316).
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/prometheus/prometheus/tsdb/wlog.(*WL).run"))
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func open(tb testing.TB, opts embedded.Options) *embedded.Store {
	tb.Helper()
	opts.Log = quiet()
	s, err := embedded.Open(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func closed(tb testing.TB, s *embedded.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Error(err)
	}
}

func TestContract(t *testing.T) {
	seriestest.Run(t, func(t *testing.T) series.Store {
		t.Helper()
		return open(t, embedded.Options{Dir: t.TempDir()})
	})
}

func point(shed string, outlet int, at time.Time, watts float64) shedguard.Point {
	return shedguard.Point{
		Measurement: "outlet", Tags: []shedguard.Tag{{Key: "shed", Value: shed}, {Key: "outlet", Value: strconv.Itoa(outlet)}},
		Fields: []shedguard.Field{{Key: "watts", Value: watts}}, Time: at,
	}
}

func count(tb testing.TB, s *embedded.Store, shed string, from, to time.Time) int {
	tb.Helper()
	got, err := s.Range(tb.Context(), series.Query{Measurement: "outlet", Field: "watts", Tags: map[string]string{"shed": shed}, From: from, To: to, Points: 1})
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	for _, g := range got {
		for _, b := range g.Buckets {
			n += b.Count
		}
	}
	return n
}

// write appends points until it is killed and prints how many are stored.
func write(dir string) {
	s, err := embedded.Open(embedded.Options{Dir: dir, Log: quiet()})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	at, err := strconv.ParseInt(os.Getenv("SERIES_TEST_START"), 10, 64)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := range 1_000_000 {
		if err := s.Append(context.Background(), []shedguard.Point{point("a", 1, time.UnixMilli(at+int64(i)), float64(i))}); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(i + 1)
	}
}

func TestKilledWriterLosesNothing(t *testing.T) {
	dir := t.TempDir()
	from := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "SERIES_TEST_WRITER="+dir, fmt.Sprintf("SERIES_TEST_START=%d", from.UnixMilli()))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stored := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Fatalf("writer says %q", lines.Text())
		}
		stored = n
		if n == 2000 {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("writer ended by itself")
	}
	s := open(t, embedded.Options{Dir: dir})
	defer closed(t, s)
	if n := count(t, s, "a", from, from.Add(time.Hour)); n < stored {
		t.Errorf("%d values after kill -9, want at least the %d that were stored", n, stored)
	}
}

// damaged makes a store with values, harms it and opens it again.
func damaged(t *testing.T, blocks bool, harm func(t *testing.T, dir string)) (*embedded.Store, time.Time, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "series")
	s := open(t, embedded.Options{Dir: dir})
	from := time.Now().Add(-7 * 24 * time.Hour).Truncate(time.Hour)
	n := 500
	if blocks {
		n = 12 * 60
	}
	for i := range n {
		if err := s.Append(t.Context(), []shedguard.Point{point("a", 1, from.Add(time.Duration(i)*time.Minute), float64(i))}); err != nil {
			t.Fatal(err)
		}
	}
	if blocks {
		if err := s.Compact(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	harm(t, dir)
	s = open(t, embedded.Options{Dir: dir})
	t.Cleanup(func() { closed(t, s) })
	if err := s.Append(t.Context(), []shedguard.Point{point("b", 1, time.Now(), 1)}); err != nil {
		t.Errorf("Append after the repair: %v", err)
	}
	return s, from, dir
}

func each(t *testing.T, pattern string, do func(path string) error) {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		t.Fatalf("no file %s: %v", pattern, err)
	}
	for _, path := range found {
		if err := do(path); err != nil {
			t.Fatal(err)
		}
	}
}

func flip(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for i := len(b) / 3; i < len(b)/3+40 && i < len(b); i++ {
		b[i] ^= 0x5a
	}
	return os.WriteFile(path, b, 0o600)
}

func TestDamageNeverRefusesTheStart(t *testing.T) {
	for name, tt := range map[string]struct {
		blocks bool
		whole  bool // nothing is lost
		harm   func(t *testing.T, dir string)
	}{
		"wal flipped": {harm: func(t *testing.T, dir string) {
			t.Helper()
			each(t, filepath.Join(dir, "wal", "0*"), flip)
		}},
		"wal is noise": {harm: func(t *testing.T, dir string) {
			t.Helper()
			each(t, filepath.Join(dir, "wal", "0*"), func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("noise", 20000)), 0o600) })
		}},
		"stray file in wal": {harm: func(t *testing.T, dir string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "wal", "00000099"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		"block index flipped": {blocks: true, harm: func(t *testing.T, dir string) {
			t.Helper()
			each(t, filepath.Join(dir, "01*", "index"), flip)
		}},
		"block index empty": {blocks: true, harm: func(t *testing.T, dir string) {
			t.Helper()
			each(t, filepath.Join(dir, "01*", "index"), func(p string) error { return os.Truncate(p, 0) })
		}},
		"block meta empty": {blocks: true, harm: func(t *testing.T, dir string) {
			t.Helper()
			each(t, filepath.Join(dir, "01*", "meta.json"), func(p string) error { return os.Truncate(p, 0) })
		}},
		"head chunks are noise": {whole: true, harm: func(t *testing.T, dir string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, "chunks_head", "000001"), []byte(strings.Repeat("noise", 2000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, from, dir := damaged(t, tt.blocks, tt.harm)
			if n := count(t, s, "b", time.Now().Add(-time.Minute), time.Now().Add(time.Minute)); n != 1 {
				t.Errorf("%d new values after the repair, want 1", n)
			}
			stats := s.Stats()
			n := count(t, s, "a", from, from.Add(24*time.Hour))
			if tt.whole && n != 500 {
				t.Errorf("%d old values, want all 500", n)
			}
			if !tt.whole && stats.SetAside+stats.Repaired == 0 {
				t.Errorf("%d values left and no damage counted", n)
			}
			aside, err := filepath.Glob(dir + ".corrupt-*")
			if err != nil {
				t.Fatal(err)
			}
			if (stats.SetAside > 0) != (len(aside) == 1) {
				t.Errorf("set aside %d parts, folders %v", stats.SetAside, aside)
			}
		})
	}
}

func TestBadBlockLeavesTheOthers(t *testing.T) {
	s, from, _ := damaged(t, true, func(t *testing.T, dir string) {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "01*", "index"))
		if err != nil || len(found) < 2 {
			t.Fatalf("blocks %v, %v: want two or more", found, err)
		}
		if err := os.Truncate(found[0], 10); err != nil {
			t.Fatal(err)
		}
	})
	if got := s.Stats().SetAside; got != 1 {
		t.Errorf("set aside %d, want 1", got)
	}
	if n := count(t, s, "a", from, from.Add(24*time.Hour)); n < 100 || n >= 720 {
		t.Errorf("%d values left, want those of the good blocks", n)
	}
}

func TestHeldFolderIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, embedded.Options{Dir: dir})
	defer closed(t, s)
	if _, err := embedded.Open(embedded.Options{Dir: dir, Log: quiet()}); err == nil {
		t.Fatal("opened a folder that another store holds")
	}
	if aside, err := filepath.Glob(dir + ".corrupt-*"); err != nil || len(aside) != 0 {
		t.Errorf("set aside %v, %v", aside, err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, opts := range map[string]embedded.Options{
		"no dir":          {Log: quiet()},
		"no log":          {Dir: t.TempDir()},
		"short retention": {Dir: t.TempDir(), Log: quiet(), Retention: time.Hour},
	} {
		if _, err := embedded.Open(opts); err == nil {
			t.Errorf("%s: opened, want an error", name)
		}
	}
}

func TestOneShedCannotFillTheStore(t *testing.T) {
	s := open(t, embedded.Options{Dir: t.TempDir(), SeriesPerShed: 10})
	defer closed(t, s)
	now := time.Now()
	for i := range 100 {
		if err := s.Append(t.Context(), []shedguard.Point{point("bad", i, now, 1), point("good", 1, now.Add(time.Duration(i)*time.Millisecond), 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(t, s, "bad", now.Add(-time.Minute), now.Add(time.Minute)); n != 10 {
		t.Errorf("bad shed has %d values, want 10", n)
	}
	if n := count(t, s, "good", now.Add(-time.Minute), now.Add(time.Minute)); n != 100 {
		t.Errorf("good shed has %d values, want 100", n)
	}
	if got := s.Stats(); got.RefusedSeries != 90 || got.Stored != 110 {
		t.Errorf("stats %+v, want 90 refused series and 110 stored", got)
	}
}

func TestTooManySeriesIsSaid(t *testing.T) {
	s := open(t, embedded.Options{Dir: t.TempDir()})
	defer closed(t, s)
	now := time.Now()
	var points []shedguard.Point
	for i := range embedded.MaxSeriesPerAnswer + 1 {
		points = append(points, point("a", i, now, 1))
	}
	if err := s.Append(t.Context(), points); err != nil {
		t.Fatal(err)
	}
	_, err := s.Range(t.Context(), series.Query{Measurement: "outlet", Field: "watts", From: now.Add(-time.Hour), To: now.Add(time.Hour)})
	if !errors.Is(err, embedded.ErrTooManySeries) {
		t.Errorf("Range: %v, want %v", err, embedded.ErrTooManySeries)
	}
}

func TestRetentionDropsOldBlocks(t *testing.T) {
	s := open(t, embedded.Options{Dir: t.TempDir(), MaxBytes: 1})
	defer closed(t, s)
	from := time.Now().Add(-7 * 24 * time.Hour)
	for i := range 24 * 60 {
		if err := s.Append(t.Context(), []shedguard.Point{point("a", 1, from.Add(time.Duration(i)*time.Minute), 1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := count(t, s, "a", from.Add(-time.Hour), time.Now()); n >= 24*60 || n == 0 {
		t.Errorf("%d values left of %d, want the newest alone", n, 24*60)
	}
}

// shedBatch is what 100 sheds of 12 outlets say in one window: 1200 points of
// 10 numbers.
func shedBatch(at time.Time) []shedguard.Point {
	var batch []shedguard.Point
	for shed := range 100 {
		for outlet := range 12 {
			p := shedguard.Point{Measurement: "outlet", Tags: []shedguard.Tag{{Key: "shed", Value: fmt.Sprint("shed-", shed)}, {Key: "outlet", Value: strconv.Itoa(outlet)}}, Time: at}
			for _, key := range []string{"volts", "amps", "amps_max", "watts", "pf", "hz", "energy_wh", "state", "quality", "n"} {
				p.Fields = append(p.Fields, shedguard.Field{Key: key, Value: float64(shed + outlet)})
			}
			batch = append(batch, p)
		}
	}
	return batch
}

func BenchmarkAppend(b *testing.B) {
	s := open(b, embedded.Options{Dir: b.TempDir()})
	defer closed(b, s)
	at := time.Now().Add(-7 * 24 * time.Hour)
	batch := shedBatch(at)
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

func BenchmarkRange(b *testing.B) {
	s := open(b, embedded.Options{Dir: b.TempDir()})
	defer closed(b, s)
	from := time.Now().Add(-24 * time.Hour).Truncate(time.Second)
	for i := range 24 * 360 {
		if err := s.Append(b.Context(), []shedguard.Point{point("a", 1, from.Add(time.Duration(i)*10*time.Second), float64(i))}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		got, err := s.Range(b.Context(), series.Query{Measurement: "outlet", Field: "watts", Tags: map[string]string{"shed": "a", "outlet": "1"}, From: from, To: from.Add(24 * time.Hour), Points: 600})
		if err != nil || len(got[0].Buckets) != 600 {
			b.Fatal(got, err)
		}
	}
}
