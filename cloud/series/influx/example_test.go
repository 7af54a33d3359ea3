package influx_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/series/influx"
)

// A store keeps points while the database is away.
func Example() {
	dir, err := os.MkdirTemp("", "queue")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := influx.Open(influx.Options{
		URL: "http://127.0.0.1:1/", Language: influx.PromQL, // nobody answers there
		Dir: dir, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = s.Append(context.Background(), []shedguard.Point{{
		Measurement: shedguard.MeasurementOutlet,
		Tags:        []shedguard.Tag{{Key: "shed", Value: "shed-1"}, {Key: "outlet", Value: "3"}},
		Fields:      []shedguard.Field{{Key: "watts", Value: 389.1}},
		Time:        time.Now(),
	}})
	fmt.Println("appended:", err == nil, "waiting:", s.Stats().Waiting)
	if err := s.Close(); err != nil {
		fmt.Println(err)
	}
	// Output: appended: true waiting: 1
}
