package outbox_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/outbox"
)

func Example() {
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()
	opts := outbox.Options{BootID: "01JDEXAMP00000000000000000", Log: slog.New(slog.DiscardHandler)}
	o, err := outbox.Open(filepath.Join(dir, "outbox.db"), opts)
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := shedguard.NewEvent("01JDEXAMP00000000000000001", shedguard.Source("S1"), shedguard.EventAlarmRaised,
		shedguard.OutletSubject(3), time.Now(), map[string]any{"severity": shedguard.SeverityCritical})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("put:", o.PutAlarm(ctx, e)) // on disk when it returns
	severity, _, waiting := o.Unsent()
	fmt.Println("unsent:", severity, waiting)
	records, err := o.Alarms(ctx, 0, 10)
	fmt.Println("to send:", len(records), err)
	o.Sent(records[0].Key) // the broker has it
	o.Acked(e.ID)          // the collector has it
	fmt.Println("left:", o.Stats().Alarms, o.Close())
	// Output:
	// put: <nil>
	// unsent: critical true
	// to send: 1 <nil>
	// left: 0 <nil>
}
