package book_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

// crashWriter puts events until it is killed and says each one's number once
// it is committed.
func crashWriter(path string) {
	tb, ctx := &testing.T{}, context.Background()
	b, err := book.Open(ctx, book.Options{Path: path})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	page, _, err := b.Alarms(ctx, book.AlarmQuery{Limit: 1})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	from := 1
	if len(page) > 0 {
		if _, err := fmt.Sscanf(page[0].ID, "%d", &from); err != nil {
			os.Exit(1)
		}
		from -= 999_999
	}
	for n := from; ; n++ {
		if _, err := b.PutEvent(ctx, alarmEvent(tb, shedguard.EventAlarmRaised, n, n, nil), noon); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Printf("committed %d\n", n)
	}
}

// What was committed survives kill -9, and the book opens again.
func TestKilledWriterLosesNothing(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "book.db")
	last := 0
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), exe)
		cmd.Env = append(os.Environ(), "BOOK_CRASH_PATH="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := last + 7 + 11*round
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			n := 0
			if _, err := fmt.Sscanf(lines.Text(), "committed %d", &n); err != nil {
				t.Fatalf("writer: %s", lines.Text())
			}
			if n != last+1 && round == 0 || n <= last {
				t.Fatalf("writer committed %d after %d", n, last)
			}
			if last = n; n >= stop {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		for lines.Scan() { // what it said before the signal came
			if _, err := fmt.Sscanf(lines.Text(), "committed %d", &last); err != nil {
				break
			}
		}
		_ = cmd.Wait() // killed
		b, err := book.Open(t.Context(), book.Options{Path: path})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for n := 1; n <= last; n++ {
			if _, err := b.Alarm(t.Context(), id(1_000_000+n)); err != nil {
				t.Fatalf("round %d: %v of %d committed", round, err, last)
			}
			if fresh, err := b.PutEvent(t.Context(), alarmEvent(t, shedguard.EventAlarmRaised, n, n, nil), noon.Add(time.Hour)); err != nil || fresh {
				t.Fatalf("round %d: event %d again: fresh %v, %v", round, n, fresh, err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if last < 50 {
		t.Errorf("only %d events in all", last)
	}
}
