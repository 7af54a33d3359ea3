package queue_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/shedguard/shedguard/cloud/series/influx/queue"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SHEDGUARD_TEST_QUEUE"); dir != "" {
		writeUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func open(tb testing.TB, opts queue.Options) *queue.Queue {
	tb.Helper()
	q, err := queue.Open(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

func closed(tb testing.TB, c interface{ Close() error }) {
	tb.Helper()
	if err := c.Close(); err != nil {
		tb.Error(err)
	}
}

func put(tb testing.TB, q *queue.Queue, texts ...string) {
	tb.Helper()
	for _, s := range texts {
		if err := q.Put(tb.Context(), queue.Chunk{Data: []byte(s), Points: 1}); err != nil {
			tb.Fatal(err)
		}
	}
}

// rest reads everything that is left.
func rest(tb testing.TB, r *queue.Reader) (texts []string, end queue.Position) {
	tb.Helper()
	for {
		rec, ok, err := r.Next()
		if err != nil {
			tb.Fatal(err)
		}
		if !ok {
			return texts, end
		}
		texts, end = append(texts, string(rec.Data)), rec.End
	}
}

func same(tb testing.TB, got []string, want ...string) {
	tb.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		tb.Errorf("read %q, want %q", got, want)
	}
}

func TestOrderRewindConfirm(t *testing.T) {
	dir := t.TempDir()
	q := open(t, queue.Options{Dir: dir})
	put(t, q, "a", "b", "c")
	r := q.Reader()
	rec, ok, err := r.Next()
	if err != nil || !ok || string(rec.Data) != "a" || rec.Points != 1 || time.Since(rec.At) > time.Minute {
		t.Fatalf("first record %q %v %v", rec.Data, ok, err)
	}
	if err := q.Confirm(rec.End); err != nil {
		t.Fatal(err)
	}
	got, _ := rest(t, r)
	same(t, got, "b", "c")
	r.Rewind()
	got, _ = rest(t, r)
	same(t, got, "b", "c")
	closed(t, r)
	closed(t, q)

	q = open(t, queue.Options{Dir: dir})
	defer closed(t, q)
	if q.Points() != 2 {
		t.Errorf("%d points wait, want 2", q.Points())
	}
	put(t, q, "d")
	r = q.Reader()
	defer closed(t, r)
	got, end := rest(t, r)
	same(t, got, "b", "c", "d")
	if err := q.Confirm(end); err != nil {
		t.Fatal(err)
	}
	r.Rewind()
	got, _ = rest(t, r)
	same(t, got)
}

func TestSpaceComesBack(t *testing.T) {
	q := open(t, queue.Options{Dir: t.TempDir(), MaxBytes: queue.MinBytes})
	defer closed(t, q)
	r := q.Reader()
	defer closed(t, r)
	noise := bytes.Repeat([]byte("0123456789abcdef"), 64)
	for i := range noise {
		noise[i] ^= byte(i * i >> 3)
	}
	full := 0
	for i := range 2000 {
		err := q.Put(t.Context(), queue.Chunk{Data: noise})
		if errors.Is(err, queue.ErrFull) {
			full++
			if held := q.Stats().Bytes; held < queue.MinBytes/2 || held > queue.MinBytes {
				t.Fatalf("full with %d bytes of %d", held, queue.MinBytes)
			}
			_, end := rest(t, r)
			if err := q.Confirm(end); err != nil {
				t.Fatal(err)
			}
			err = q.Put(t.Context(), queue.Chunk{Data: noise})
		}
		if err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
	}
	if full == 0 || q.Stats().Full != uint64(full) {
		t.Errorf("full %d times, counted %d", full, q.Stats().Full)
	}
}

func TestNothingIsDroppedWhenFull(t *testing.T) {
	q := open(t, queue.Options{Dir: t.TempDir(), MaxBytes: queue.MinBytes})
	defer closed(t, q)
	var want []string
	for i := 0; ; i++ {
		s := strconv.Itoa(i)
		err := q.Put(t.Context(), queue.Chunk{Data: []byte(s)})
		if errors.Is(err, queue.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, s)
	}
	r := q.Reader()
	defer closed(t, r)
	got, _ := rest(t, r)
	same(t, got, want...)
}

func TestHeldFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	q := open(t, queue.Options{Dir: dir})
	defer closed(t, q)
	if _, err := queue.Open(queue.Options{Dir: dir}); err == nil {
		t.Error("opened a queue that is held")
	}
}

func TestClosedAndEnded(t *testing.T) {
	q := open(t, queue.Options{Dir: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := q.Put(ctx, queue.Chunk{Data: []byte("x")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Put after the context ended: %v", err)
	}
	closed(t, q)
	closed(t, q)
	if err := q.Put(t.Context(), queue.Chunk{Data: []byte("x")}); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Put after Close: %v", err)
	}
}

func segments(tb testing.TB, dir string) []string {
	tb.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil {
		tb.Fatal(err)
	}
	return found
}

func TestTornEndIsCut(t *testing.T) {
	dir := t.TempDir()
	q := open(t, queue.Options{Dir: dir})
	put(t, q, "a", "b")
	closed(t, q)
	name := segments(t, dir)[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 1; cut < len(b)/2; cut++ {
		if err := os.WriteFile(name, b[:len(b)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		q := open(t, queue.Options{Dir: dir})
		r := q.Reader()
		got, _ := rest(t, r)
		same(t, got, "a")
		if s := q.Stats(); s.TornBytes != int64(len(b)/2-cut) || s.DamagedBytes != 0 {
			t.Errorf("cut %d: %+v", cut, s)
		}
		closed(t, r)
		closed(t, q)
	}
}

func TestBadRecordIsSkippedAndKept(t *testing.T) {
	dir := t.TempDir()
	q := open(t, queue.Options{Dir: dir})
	put(t, q, "aaaa", "bbbb", "cccc")
	closed(t, q)
	name := segments(t, dir)[0]
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	one := len(b) / 3
	for _, at := range []int{one, one + 4, one + 8, 2*one - 1} { // magic, length, points, body
		bad := bytes.Clone(b)
		bad[at] ^= 0x40
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		q := open(t, queue.Options{Dir: dir})
		r := q.Reader()
		got, end := rest(t, r)
		same(t, got, "aaaa", "cccc")
		if s := q.Stats(); s.DamagedBytes != int64(one) {
			t.Errorf("byte %d: %+v, want %d bytes damaged", at, s, one)
		}
		if at == 2*one-1 {
			if err := q.Confirm(end); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(name + ".damaged"); err != nil {
				t.Error(err)
			}
		}
		closed(t, r)
		closed(t, q)
	}
}

// A segment that somebody took away or cut short does not stop the others.
func TestMissingSegmentIsSkipped(t *testing.T) {
	dir := t.TempDir()
	q := open(t, queue.Options{Dir: dir, SegmentBytes: 1})
	defer closed(t, q)
	put(t, q, "a", "b", "c")
	found := segments(t, dir)
	if err := os.Remove(found[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(found[1], 3); err != nil {
		t.Fatal(err)
	}
	r := q.Reader()
	defer closed(t, r)
	got, end := rest(t, r)
	same(t, got, "c")
	if q.Stats().DamagedBytes == 0 {
		t.Error("no damage counted")
	}
	if err := q.Confirm(end); err != nil {
		t.Error(err)
	}
	if s := q.Stats(); s.Bytes != 0 {
		t.Errorf("%d bytes held after everything was confirmed", s.Bytes)
	}
}

// What was put and not confirmed is read, in order, whatever happens between.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "queue")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		opts := queue.Options{Dir: dir, MaxBytes: queue.MinBytes, SegmentBytes: rapid.Int64Range(1, 400).Draw(t, "segment")}
		q, err := queue.Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		r := q.Reader()
		var waiting []string // put and not confirmed
		read, made := 0, 0
		ends := map[int]queue.Position{} // behind the n-th of waiting
		defer func() { _ = errors.Join(r.Close(), q.Close()) }()
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				s := fmt.Sprintf("%d %s", made, strings.Repeat("x", rapid.IntRange(0, 100).Draw(t, "size")))
				made++
				if err := q.Put(context.Background(), queue.Chunk{Data: []byte(s), Points: 1}); err != nil {
					t.Fatal(err)
				}
				waiting = append(waiting, s)
			},
			"read": func(t *rapid.T) {
				rec, ok, err := r.Next()
				if err != nil || ok != (read < len(waiting)) {
					t.Fatalf("Next: %v %v with %d of %d read", ok, err, read, len(waiting))
				}
				if !ok {
					return
				}
				if string(rec.Data) != waiting[read] {
					t.Fatalf("read %q, want %q", rec.Data, waiting[read])
				}
				read++
				ends[read] = rec.End
			},
			"rewind": func(*rapid.T) { r.Rewind(); read = 0 },
			"confirm": func(t *rapid.T) {
				n := rapid.IntRange(0, read).Draw(t, "n")
				if n == 0 {
					return
				}
				if err := q.Confirm(ends[n]); err != nil {
					t.Fatal(err)
				}
				waiting, read = waiting[n:], read-n
				moved := map[int]queue.Position{}
				for k, v := range ends {
					moved[k-n] = v
				}
				ends = moved
			},
			"reopen": func(t *rapid.T) {
				if err := errors.Join(r.Close(), q.Close()); err != nil {
					t.Fatal(err)
				}
				if q, err = queue.Open(opts); err != nil {
					t.Fatal(err)
				}
				if q.Points() != len(waiting) {
					t.Fatalf("%d points wait, want %d", q.Points(), len(waiting))
				}
				r, read = q.Reader(), 0
			},
		})
	})
}

func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	q := open(f, queue.Options{Dir: dir})
	put(f, q, "outlet,shed=a watts=1 1000000", "b")
	closed(f, q)
	b, err := os.ReadFile(segments(f, dir)[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add(append([]byte("sgQ1"), b...))
	f.Add([]byte("sgQ1\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "0000000000000001.segment"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		q := open(t, queue.Options{Dir: dir})
		defer closed(t, q)
		r := q.Reader()
		defer closed(t, r)
		put(t, q, "after")
		got, _ := rest(t, r)
		if len(got) == 0 || got[len(got)-1] != "after" {
			t.Errorf("read %q, want the new record behind whatever was there", got)
		}
	})
}

// writeUntilKilled puts numbers from several goroutines and prints each one
// once Put returned nil.
func writeUntilKilled(dir string) {
	q, err := queue.Open(queue.Options{Dir: dir, SegmentBytes: 4096})
	if err != nil {
		fmt.Println("open", err)
		os.Exit(1)
	}
	var mu sync.Mutex
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := 0; ; i++ {
				s := fmt.Sprintf("%s-%d-%d", os.Getenv("SHEDGUARD_TEST_ROUND"), w, i)
				if err := q.Put(context.Background(), queue.Chunk{Data: []byte(s), Points: 1}); err != nil {
					fmt.Println("put", err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Println(s)
				mu.Unlock()
			}
		})
	}
	writers.Wait()
}

func TestKill(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), "SHEDGUARD_TEST_QUEUE="+dir, fmt.Sprint("SHEDGUARD_TEST_ROUND=", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		buf := make([]byte, 4096)
		for n := 0; n < 40*(round+1); {
			k, err := out.Read(buf)
			if err != nil {
				t.Fatalf("writer ended: %v\n%s", err, text.String())
			}
			text.Write(buf[:k])
			n += bytes.Count(buf[:k], []byte("\n"))
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for {
			k, err := out.Read(buf)
			text.Write(buf[:k])
			if err != nil {
				break
			}
		}
		_ = cmd.Wait() // it was killed
		lines := strings.Split(text.String(), "\n")
		for _, s := range lines[:len(lines)-1] { // the last one may be cut
			acknowledged[s] = true
		}
		q := open(t, queue.Options{Dir: dir})
		r := q.Reader()
		got, _ := rest(t, r)
		closed(t, r)
		closed(t, q)
		held := map[string]bool{}
		for _, s := range got {
			held[s] = true
		}
		for s := range acknowledged {
			if !held[s] {
				t.Fatalf("round %d: %q was acknowledged and is gone (%d acknowledged, %d held)", round, s, len(acknowledged), len(got))
			}
		}
	}
}

func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprint("writers=", writers), func(b *testing.B) {
			q := open(b, queue.Options{Dir: b.TempDir(), MaxBytes: 64 << 30})
			defer closed(b, q)
			var text bytes.Buffer
			for i := range 1200 {
				fmt.Fprintf(&text, "outlet,shed=shed-%d,outlet=%d volts=22%d.4,amps=1.%d,watts=38%d.1,pf=0.966,hz=50.0,energy_wh=81%d.4,state=3i,quality=0i,n=100i 17323668%d0000000000\n", i/12, i%12, i%10, i, i%10, i, i%10)
			}
			b.ReportAllocs()
			b.SetBytes(int64(text.Len()))
			b.SetParallelism(writers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := q.Put(context.Background(), queue.Chunk{Data: text.Bytes(), Points: 1200}); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(q.Stats().Bytes)/float64(b.N), "B/record")
		})
	}
}
