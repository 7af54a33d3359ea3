package book_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

func BenchmarkPutEvent(b *testing.B) {
	bk := open(b, nil)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if _, err := bk.PutEvent(b.Context(), alarmEvent(b, shedguard.EventAlarmRaised, n, n, nil), noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeen(b *testing.B) {
	bk := open(b, nil)
	b.ReportAllocs()
	at := noon
	for b.Loop() {
		at = at.Add(100 * time.Millisecond)
		bk.Seen("shed-1", at)
	}
}

// The inbox of a book with 10,000 alarms, half of them open.
func BenchmarkAlarms(b *testing.B) {
	bk := open(b, nil)
	for n := 1; n <= 10_000; n++ {
		put(b, bk, alarmEvent(b, shedguard.EventAlarmRaised, n, n, func(a *shedguard.Alarm) {
			if n%1000 == 0 {
				a.Severity, a.Level = 1, 1
			}
		}))
		if n%2 == 0 {
			put(b, bk, alarmEvent(b, shedguard.EventAlarmCleared, 100_000+n, n, nil))
		}
	}
	for name, q := range map[string]book.AlarmQuery{
		"open":          {State: book.AlarmOpen},
		"all":           {},
		"critical":      {Severity: shedguard.SeverityCritical},
		"of a shed":     {State: book.AlarmOpen, Shed: "shed-1"},
		"deep page":     {Cursor: fmt.Sprint(200)},
		"none for shed": {Shed: "shed-2"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := bk.Alarms(b.Context(), q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("sheds", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := bk.Sheds(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
