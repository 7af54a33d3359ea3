package outbox_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/outbox"
)

// onDisk counts the telemetry in a copy of the file.
func onDisk(tb testing.TB, path string) int {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	copied := filepath.Join(tb.TempDir(), "copy.db")
	if err := os.WriteFile(copied, b, 0o600); err != nil {
		tb.Fatal(err)
	}
	n := 0
	edit(tb, copied, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("telemetry")).ForEach(func(_, _ []byte) error { n++; return nil })
	})
	return n
}

func edit(tb testing.TB, path string, f func(*bolt.Tx) error) {
	tb.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.Update(f); err != nil {
		tb.Fatal(err)
	}
}

// filled is an outbox file with n alarms and some telemetry, and their ids.
func filled(tb testing.TB, path string, n int) []string {
	tb.Helper()
	o := open(tb, path)
	var want []string
	for i := range n {
		e := raised(tb, shedguard.SeverityMajor)
		want = append(want, e.ID)
		if err := o.PutAlarm(context.Background(), e); err != nil {
			tb.Fatal(err)
		}
		putTelemetry(tb, o, lines(20))
		if i%5 == 0 {
			telemetry(tb, o) // the next batch becomes a record of its own
		}
	}
	if err := o.Close(); err != nil {
		tb.Fatal(err)
	}
	return want
}

func TestBadRecordIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	want := filled(t, path, 6)
	edit(t, path, func(tx *bolt.Tx) error {
		a, tele := tx.Bucket([]byte("alarm")), tx.Bucket([]byte("telemetry"))
		c := a.Cursor()
		c.First()
		c.Next()
		key, v := c.Next()
		key, v = slices.Clone(key), slices.Clone(v)
		v[60] ^= 1
		k, tv := tele.Cursor().First()
		tv = slices.Clone(tv)
		tv[len(tv)-10] ^= 1
		return errors.Join(a.Put(key, v), tele.Put(slices.Clone(k), tv), tele.Put(binary.BigEndian.AppendUint64(nil, 65535), []byte("x")))
	})
	o := open(t, path)
	if got := ids(alarms(t, o)); !slices.Equal(got, slices.Delete(slices.Clone(want), 2, 3)) {
		t.Errorf("alarm lane %v, want all but the third of %v", got, want)
	}
	telemetry(t, o)
	if s := o.Stats(); s.BadRecords != 3 || s.BadFiles != 0 {
		t.Errorf("stats %+v: want 3 bad records", s)
	}
	_ = o.Close()
	o = open(t, path)
	if s := o.Stats(); s.BadRecords != 3 {
		t.Errorf("%d bad records after restart, want 3", s.BadRecords)
	}
	_ = o.Close()
	aside := 0
	edit(t, path, func(tx *bolt.Tx) error {
		return tx.Bucket([]byte("aside")).ForEach(func(_, _ []byte) error {
			aside++
			return nil
		})
	})
	if aside != 3 {
		t.Errorf("%d records kept aside, want 3", aside)
	}
}

func TestBadFileIsSetAsideAndItsAlarmsAreFound(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"not a database":  func([]byte) []byte { return []byte("what is this?") },
		"one byte":        func([]byte) []byte { return []byte{0} },
		"both metas gone": func(b []byte) []byte { clear(b[:2*os.Getpagesize()]); return b },
		"cut in half":     func(b []byte) []byte { return b[:len(b)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "o.db")
			want := filled(t, path, 40)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b = damage(b)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := outbox.Verify(path); !errors.Is(err, outbox.ErrBroken) {
				t.Errorf("verify: %v", err)
			}
			o := open(t, path)
			got := ids(alarms(t, o))
			if name == "both metas gone" && !slices.Equal(got, want) {
				t.Errorf("%d alarms found, want %d in order", len(got), len(want))
			}
			if s := o.Stats(); s.BadFiles != 1 || int(s.Salvaged) != len(got) {
				t.Errorf("stats %+v with %d alarms", s, len(got))
			}
			kept, err := filepath.Glob(path + ".corrupt-*")
			if err != nil || len(kept) != 1 {
				t.Fatalf("kept %v, %v", kept, err)
			}
			if k, err := os.ReadFile(kept[0]); err != nil || len(k) != len(b) {
				t.Errorf("kept %d bytes, %v: want %d", len(k), err, len(b))
			}
			e := raised(t, shedguard.SeverityMajor)
			if err := o.PutAlarm(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			o = open(t, path)
			if again := ids(alarms(t, o)); !slices.Equal(again, append(got, e.ID)) {
				t.Errorf("%d alarms after restart, want %d", len(again), len(got)+1)
			}
		})
	}
}

// Flipped bits anywhere: the outbox opens, every alarm that is still whole in
// the file is there, and what is lost is counted.
func TestBitRot(t *testing.T) {
	dir := t.TempDir()
	clean := filepath.Join(dir, "clean.db")
	want := filled(t, clean, 60)
	original, err := os.ReadFile(clean)
	if err != nil {
		t.Fatal(err)
	}
	if err := outbox.Verify(clean); err != nil {
		t.Fatal(err)
	}
	rounds := 150
	if testing.Short() {
		rounds = 30
	}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range rounds {
		b := slices.Clone(original)
		for range 1 + rng.IntN(8) {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		if rng.IntN(3) == 0 { // a page that was never written
			at := rng.IntN(len(b)/4096) * 4096
			clear(b[at : at+4096])
		}
		path := filepath.Join(dir, strconv.Itoa(i)+".db")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		o := open(t, path)
		rs := alarms(t, o)
		telemetry(t, o)
		e := raised(t, shedguard.SeverityMajor)
		if err := o.PutAlarm(t.Context(), e); err != nil {
			t.Fatalf("seed %d round %d: %v", seed, i, err)
		}
		s := o.Stats()
		got := ids(rs)
		for _, id := range want {
			if !slices.Contains(got, id) && s.BadRecords == 0 && s.BadFiles == 0 {
				t.Fatalf("seed %d round %d: an alarm is gone without a count: %+v", seed, i, s)
			}
		}
		for _, id := range got {
			if !slices.Contains(want, id) {
				t.Fatalf("seed %d round %d: invented %q", seed, i, id)
			}
		}
		if missing := len(want) - len(got); missing > 8+16 { // bits flipped, plus a page of records
			t.Fatalf("seed %d round %d: %d alarms are gone", seed, i, missing)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// The file goes bad under a running outbox: pages vanish from the mapped memory
// or turn to nonsense. The process lives, what is whole is found, what is not
// is counted, and the lane works on.
func TestFileGoesBadWhileRunning(t *testing.T) {
	for name, damage := range map[string]func(f *os.File) error{
		"truncated": func(f *os.File) error { return f.Truncate(int64(4 * os.Getpagesize())) },
		"nonsense": func(f *os.File) error {
			info, err := f.Stat()
			if err != nil {
				return err
			}
			for at := int64(2 * os.Getpagesize()); at < info.Size(); at += int64(os.Getpagesize()) {
				if _, err := f.WriteAt([]byte{0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 0x77, 0x77, 0xff, 0xff, 0xff, 0xff}, at); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		for _, first := range []string{"read", "put", "sync"} {
			t.Run(name+" before "+first, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "o.db")
				want := filled(t, path, 60)
				o := open(t, path)
				f, err := os.OpenFile(path, os.O_RDWR, 0)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(damage(f), f.Close()); err != nil {
					t.Fatal(err)
				}
				e := raised(t, shedguard.SeverityCritical)
				switch first {
				case "read":
					if _, err := o.Alarms(t.Context(), 0, 1000); err == nil {
						t.Error("a broken file was read")
					}
				case "put":
				case "sync":
					putTelemetry(t, o, lines(1))
					if err := o.Sync(t.Context()); err != nil {
						t.Error(err)
					}
				}
				if err := o.PutAlarm(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				got := ids(alarms(t, o))
				s := o.Stats()
				if s.BadFiles != 1 || len(got)-1+int(s.BadRecords) < len(want) || got[len(got)-1] != e.ID {
					t.Errorf("stats %+v with %d of %d alarms", s, len(got)-1, len(want))
				}
				if name == "nonsense" && len(got) < len(want)/2 {
					t.Errorf("%d of %d alarms found", len(got)-1, len(want))
				}
				if err := o.Close(); err != nil {
					t.Fatal(err)
				}
				o = open(t, path)
				if again := ids(alarms(t, o)); !slices.Equal(again, got) {
					t.Errorf("%d alarms after restart, want %d", len(again), len(got))
				}
			})
		}
	}
}

func TestOtherProcessHoldsTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.db")
	want := filled(t, path, 3)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := open(t, path)
	e := raised(t, shedguard.SeverityMajor)
	if err := o.PutAlarm(t.Context(), e); !errors.Is(err, outbox.ErrMemoryOnly) {
		t.Errorf("put: %v, want memory only", err)
	}
	if kept, _ := filepath.Glob(path + ".corrupt-*"); len(kept) != 0 {
		t.Fatalf("a good file was set aside: %v", kept)
	}
	_ = db.Close()
	if err := o.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := ids(alarms(t, o))
	slices.Sort(got)
	want = append(want, e.ID)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("alarm lane %v, want %v", got, want)
	}
}

// TestWriter is the process that TestKill kills: it puts alarms, acknowledges
// some, and says on stdout what was promised to it.
func TestWriter(t *testing.T) {
	path := os.Getenv("OUTBOX_WRITER")
	if path == "" {
		t.Skip("helper process of TestKill")
	}
	o, err := outbox.Open(path, options(func(o *outbox.Options) { o.FlushEvery = 3 * time.Millisecond }))
	if err != nil {
		t.Fatal(err)
	}
	out := bufio.NewWriter(os.Stdout)
	say := func(word, id string) {
		if _, err := fmt.Fprintf(out, "\n%s %s\n", word, id); err != nil {
			t.Fatal(err)
		}
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	var mine []string
	for i := 0; ; i++ {
		e := raised(t, shedguard.SeverityMajor)
		say("try", e.ID)
		if err := o.PutAlarm(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		say("put", e.ID)
		mine = append(mine, e.ID)
		putTelemetry(t, o, lines(30))
		if rs := telemetry(t, o); len(rs) > 20 {
			o.Delivered(rs[0].Key, rs[1].Key)
		}
		if i%4 == 3 {
			say("ack", mine[0])
			o.Acked(mine[0])
			mine = mine[1:]
		}
	}
}

func TestKill(t *testing.T) {
	kills := 30
	if v := os.Getenv("SHEDGUARD_KILLS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatalf("SHEDGUARD_KILLS: %v", err)
		}
		kills = n
	}
	path := filepath.Join(t.TempDir(), "o.db")
	promised, maybe := make(map[string]bool), make(map[string]bool)
	for i := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestWriter$", "-test.count=1")
		cmd.Env = append(os.Environ(), "OUTBOX_WRITER="+path)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		after, seen := 1+rand.IntN(120), 0
		scanner := bufio.NewScanner(stdout)
		for scanner.Scan() {
			word, id, _ := strings.Cut(scanner.Text(), " ")
			switch word {
			case "try":
				maybe[id] = true
			case "put":
				promised[id] = true
			case "ack":
				delete(promised, id)
			}
			if seen++; seen == after {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		if seen < after {
			t.Fatalf("kill %d: the writer ended by itself after %d lines", i, seen)
		}
		o := open(t, path)
		got := ids(alarms(t, o))
		if s := o.Stats(); s.BadFiles != 0 || s.BadRecords != 0 {
			t.Fatalf("kill %d: damage without a cause: %+v", i, s)
		}
		for id := range promised {
			if !slices.Contains(got, id) {
				t.Fatalf("kill %d: alarm %s was put and is gone", i, id)
			}
		}
		for _, id := range got {
			if !maybe[id] {
				t.Fatalf("kill %d: alarm %s was never put", i, id)
			}
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	good := outbox.Encode(7, boot, []byte(`{"a":1}`))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte("SGr1"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		again, _, err := outbox.Decode(b)
		if err != nil {
			return
		}
		if len(again) > len(b) || string(again) != string(b[:len(again)]) {
			t.Errorf("read %x, written again %x", b, again)
		}
	})
}

func FuzzShift(f *testing.F) {
	f.Add([]byte("a,b=c d=1 5000000\n"), int64(1732366800000))
	f.Add([]byte("a\n\n 5\n"), int64(1))
	f.Fuzz(func(t *testing.T, b []byte, start int64) {
		if start <= 0 || start > 4e12 {
			return
		}
		out, lost := outbox.Shift(b, start)
		want := strings.Count(string(b), "\n")
		if len(b) > 0 && b[len(b)-1] != '\n' {
			want++
		}
		if got := strings.Count(string(out), "\n"); got+lost != want {
			t.Errorf("%d lines out and %d lost of %d", got, lost, want)
		}
	})
}

func FuzzVerify(f *testing.F) {
	path := filepath.Join(f.TempDir(), "o.db")
	filled(f, path, 4)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	for at := 0; at < len(good); at += 1500 {
		f.Add(uint32(at), byte(0xff))
	}
	f.Fuzz(func(t *testing.T, at uint32, flip byte) {
		b := slices.Clone(good)
		b[int(at)%len(b)] ^= flip
		damaged := filepath.Join(t.TempDir(), "o.db")
		if err := os.WriteFile(damaged, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if outbox.Verify(damaged) != nil {
			return
		}
		// What is called well must be safe for bbolt to open and walk.
		db, err := bolt.Open(damaged, 0o600, &bolt.Options{Timeout: time.Second})
		if err != nil {
			return
		}
		defer func() { _ = db.Close() }()
		_ = db.View(func(tx *bolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
				return b.ForEach(func(_, _ []byte) error { return nil })
			})
		})
	})
}
