package book_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/book"
)

func ExampleBook_PutEvent() {
	dir, err := os.MkdirTemp("", "book")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	b, err := book.Open(ctx, book.Options{Path: filepath.Join(dir, "book.db")})
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	alarm := shedguard.Alarm{
		ID: "01KAAAAAAAAAAAAAAAAAAAAAA7", Cause: shedguard.CauseOvercurrent, Severity: shedguard.SeverityMajor, Level: 2,
		RaisedAt: at, Value: 25, Limit: 10.5, Unit: "A", Action: shedguard.ActionTripped,
		Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: "01KAAAAAAAAAAAAAAAAAAAAAA1", Seq: 1},
	}
	e, err := shedguard.NewEvent("01KAAAAAAAAAAAAAAAAAAAAAA8", shedguard.Source("north-1"), shedguard.EventAlarmRaised, shedguard.OutletSubject(3), at, alarm)
	if err != nil {
		fmt.Println(err)
		return
	}
	for range 2 { // the broker delivers at least once
		fresh, err := b.PutEvent(ctx, e, at)
		fmt.Println(fresh, err)
	}
	shed, err := b.Shed(ctx, "north-1")
	fmt.Println(shed.OpenAlarms, shed.Worst, err)
	fmt.Println(errors.Join(b.Close(), os.RemoveAll(dir)))
	// Output:
	// true <nil>
	// false <nil>
	// 1 major <nil>
	// <nil>
}
