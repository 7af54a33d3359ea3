package spool_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard/gateway/spool"
)

func open(t *testing.T, dir string, most int64) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, most)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *spool.Spool, id string, n, size int) {
	t.Helper()
	if err := s.Put(id, n, bytes.Repeat([]byte{byte(n + 1)}, size)); err != nil {
		t.Fatal(err)
	}
}

func TestInOrderAndOverARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	id := ulid.Make().String()
	for n := range 3 {
		put(t, s, id, n, 100)
	}
	select {
	case <-s.Wake():
	default:
		t.Error("nobody was woken")
	}
	p, ok := s.Next()
	if !ok || p.AlarmID != id || p.Number != 0 || len(p.JPEG) != 100 {
		t.Fatalf("%+v", p)
	}
	if again, _ := s.Next(); again.Number != 0 {
		t.Error("gone before it was delivered")
	}
	s.Done(p)
	s.Done(p) // twice is no harm

	s = open(t, dir, 1<<20)
	for want := 1; want < 3; want++ {
		p, ok := s.Next()
		if !ok || p.Number != want || p.JPEG[0] != byte(want+1) {
			t.Errorf("after a restart: %d, want %d", p.Number, want)
		}
		s.Done(p)
	}
	if _, ok := s.Next(); ok {
		t.Error("something is left")
	}
	put(t, s, id, 7, 10)
	if p, _ := s.Next(); p.Number != 7 {
		t.Errorf("%+v", p)
	}
}

func TestTheOldestGoFirst(t *testing.T) {
	s := open(t, t.TempDir(), spool.MaxPicture)
	id := ulid.Make().String()
	for n := range 4 {
		put(t, s, id, n, 100<<10)
	}
	waiting, size, dropped := s.Stats()
	if p, _ := s.Next(); p.Number != 2 || waiting != 2 || size != 200<<10 || dropped != 2 {
		t.Errorf("%d wait, %d bytes, %d dropped, next is %d", waiting, size, dropped, p.Number)
	}
	p, _ := s.Next()
	s.Refuse(p)
	if waiting, _, dropped := s.Stats(); waiting != 1 || dropped != 3 {
		t.Errorf("%d wait, %d dropped", waiting, dropped)
	}
}

func TestWhatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	id := ulid.Make().String()
	put(t, s, id, 0, 10)
	put(t, s, id, 1, 10)
	files, err := filepath.Glob(filepath.Join(dir, "*-0.jpg"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	for _, f := range []string{"note.txt", "000000000009-" + id + "-3.jpg.part"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(files[0], 0); err != nil { // a power cut
		t.Fatal(err)
	}
	s = open(t, dir, 1<<20)
	if p, ok := s.Next(); !ok || p.Number != 1 {
		t.Errorf("%+v", p)
	}
	if _, _, dropped := s.Stats(); dropped != 1 {
		t.Errorf("%d dropped", dropped)
	}
	if _, err := os.Stat(filepath.Join(dir, "note.txt")); err != nil {
		t.Error("a file that is not its own is gone")
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	for name, err := range map[string]error{
		"no id":     s.Put("x", 0, []byte{1}),
		"number":    s.Put(ulid.Make().String(), 100, []byte{1}),
		"empty":     s.Put(ulid.Make().String(), 0, nil),
		"too large": s.Put(ulid.Make().String(), 0, make([]byte, spool.MaxPicture+1)),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), "spool: picture ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := spool.Open(dir, 10); err == nil {
		t.Error("a spool that holds no picture")
	}
}
