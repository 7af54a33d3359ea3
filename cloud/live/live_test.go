package live_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/live"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestSubscribe(t *testing.T) {
	first := uint64(noon.UnixMicro())
	tests := map[string]struct {
		published int
		after     uint64
		want      []uint64 // then it waits
		reset     bool     // before want
	}{
		"from now on":                      {3, 0, nil, false},
		"resumes":                          {3, first, []uint64{first + 1, first + 2}, false},
		"resumes at the newest":            {3, first + 2, nil, false},
		"resumes before the first":         {3, first - 1, []uint64{first, first + 1, first + 2}, false},
		"resumes at the edge of the ring":  {9, first + 4, []uint64{first + 5, first + 6, first + 7, first + 8}, false},
		"too old":                          {9, first + 3, nil, true},
		"of an earlier life":               {3, first - 1000, nil, true},
		"of a life whose clock ran ahead":  {3, first + 1_000_000, nil, true},
		"of the past, nothing has changed": {0, first - 1, nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := live.New(4, noon)
				for i := range tt.published {
					f.Publish(live.Change{Kind: live.KindAlarm, Data: i})
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				s := f.Subscribe(tt.after)
				if tt.reset {
					if _, err := s.Next(ctx, nil); !errors.Is(err, live.ErrReset) {
						t.Fatalf("Next: %v, want ErrReset", err)
					}
				}
				for _, id := range tt.want {
					c, err := s.Next(ctx, nil)
					if err != nil || c.ID != id || c.Data != int(id-first) {
						t.Fatalf("Next: %+v, %v, want %d", c, err, id)
					}
				}
				time.AfterFunc(time.Second, func() { f.Publish(live.Change{Kind: live.KindShed, Shed: "x"}) })
				if c, err := s.Next(ctx, nil); err != nil || c.Shed != "x" {
					t.Fatalf("Next after waiting: %+v, %v", c, err)
				}
				if _, err := s.Next(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Next with nothing new: %v", err)
				}
			})
		})
	}
}

// Whoever is too slow is told; whoever is told or not never sees a change
// twice, out of order, or changed.
func TestManyReadersAndPublishers(t *testing.T) {
	f := live.New(64, noon)
	const publishers, each = 4, 500
	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 8 {
		s := f.Subscribe(0)
		readers.Go(func() {
			last := uint64(0)
			for {
				c, err := s.Next(ctx, nil)
				switch {
				case errors.Is(err, live.ErrReset):
				case err != nil:
					return
				case c.ID <= last || c.Data != c.Shed:
					t.Errorf("change %+v after %d", c, last)
					return
				default:
					last = c.ID
				}
			}
		})
	}
	for p := range publishers {
		writers.Go(func() {
			for i := range each {
				shed := fmt.Sprint(p, i)
				f.Publish(live.Change{Kind: live.KindShed, Shed: shed, Data: shed})
			}
		})
	}
	writers.Wait() // publishing waits for nobody
	cancel()
	readers.Wait()
	if got, want := f.Last(), uint64(noon.UnixMicro())+publishers*each-1; got != want {
		t.Errorf("last id %d, want %d", got, want)
	}
}

func outletPoint(shed string, outlet int, at time.Time, watts float64) shedguard.Point {
	return shedguard.Point{
		Measurement: shedguard.MeasurementOutlet,
		Tags:        []shedguard.Tag{{Key: "shed", Value: shed}, {Key: "outlet", Value: fmt.Sprint(outlet)}},
		Fields:      []shedguard.Field{{Key: "volts", Value: 220}, {Key: "watts", Value: watts}, {Key: "state", Value: 3, Int: true}, {Key: "n", Value: 100, Int: true}},
		Time:        at,
	}
}

func TestOutlets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := live.New(100, noon)
		o := live.NewOutlets(f)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := o.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		s := f.Subscribe(0)
		now := time.Now()
		for i := range 50 { // of one second, out of order
			o.Observe([]shedguard.Point{outletPoint("shed-1", 3, now.Add(time.Duration(50-i)*time.Millisecond), float64(50-i))})
		}
		o.Observe([]shedguard.Point{
			outletPoint("shed-2", 1, now, 5),
			{Measurement: shedguard.MeasurementGateway, Tags: []shedguard.Tag{{Key: "shed", Value: "shed-3"}}, Fields: []shedguard.Field{{Key: "x", Value: 1}}, Time: now},
		})
		seen := map[string]live.OutletsChange{}
		for range 2 {
			c, err := s.Next(t.Context(), nil)
			if err != nil || c.Kind != live.KindOutlets {
				t.Fatal(c, err)
			}
			change, ok := c.Data.(live.OutletsChange)
			if !ok {
				t.Fatalf("data is %T", c.Data)
			}
			seen[c.Shed] = change
		}
		got := seen["shed-1"].Live
		if len(got) != 1 || got[0].Outlet != 3 || *got[0].Watts != 50 || *got[0].Volts != 220 || got[0].Amps != nil || got[0].State == nil || *got[0].State != shedguard.StateCharging {
			t.Errorf("shed-1: %+v", got)
		}
		short, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		if c, err := s.Next(short, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing new, yet %+v, %v", c, err)
		}
		cancel()
		wg.Wait()
	})
}

func feederPoint(shed string, at time.Time, fields map[string]float64) shedguard.Point {
	p := shedguard.Point{Measurement: shedguard.MeasurementFeeder, Tags: []shedguard.Tag{{Key: "shed", Value: shed}}, Time: at}
	for key, value := range fields {
		p.Fields = append(p.Fields, shedguard.Field{Key: key, Value: value})
	}
	return p
}

// The feeder goes with the outlets, or alone when they say nothing.
func TestOutletsWithFeeder(t *testing.T) {
	whole := func(watts float64) map[string]float64 {
		return map[string]float64{"watts": watts, "watts_max": 9, "committed_watts": 20, "soft_watts": 500, "hard_watts": 600, "refusing": 1, "waiting": 2, "shed": 1}
	}
	without := func(field string) map[string]float64 {
		f := whole(7)
		delete(f, field)
		return f
	}
	feeder := func(watts float64, at time.Time) *live.Feeder {
		return &live.Feeder{FeederStatus: shedguard.FeederStatus{Watts: watts, CommittedWatts: 20, SoftWatts: 500, HardWatts: 600, Refusing: true, Waiting: 2, Shed: 1}, At: at}
	}
	at := noon
	tests := map[string]struct {
		points []shedguard.Point
		want   string // the change as it goes out; empty for none
	}{
		"outlets alone": {
			[]shedguard.Point{outletPoint("s", 3, at, 5)},
			`{"shed":"s","live":[{"outlet":3,"state":"charging","volts":220,"watts":5,"at":"2026-03-01T12:00:00Z"}]}`,
		},
		"with the feeder": {
			[]shedguard.Point{feederPoint("s", at, whole(7)), outletPoint("s", 3, at, 5)},
			`{"shed":"s","live":[{"outlet":3,"state":"charging","volts":220,"watts":5,"at":"2026-03-01T12:00:00Z"}],"feeder":` + encoded(t, feeder(7, at)) + `}`,
		},
		"feeder alone, the newest": {
			[]shedguard.Point{feederPoint("s", at.Add(time.Second), whole(8)), feederPoint("s", at, whole(7))},
			`{"shed":"s","live":[],"feeder":` + encoded(t, feeder(8, at.Add(time.Second))) + `}`,
		},
		"a limit is missing": {[]shedguard.Point{feederPoint("s", at, without("hard_watts"))}, ""},
		"of no shed":         {[]shedguard.Point{feederPoint("", at, whole(7))}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := live.New(4, noon)
				o := live.NewOutlets(f)
				s := f.Subscribe(0)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				wg.Go(func() { _ = o.Run(ctx) })
				o.Observe(tt.points)
				c, err := s.Next(ctx, nil)
				switch {
				case tt.want == "" && !errors.Is(err, context.DeadlineExceeded):
					t.Errorf("%+v, %v: want no change", c, err)
				case tt.want != "" && (err != nil || encoded(t, c.Data) != tt.want):
					t.Errorf("%s, %v, want %s", encoded(t, c.Data), err, tt.want)
				}
				cancel()
				wg.Wait()
			})
		})
	}
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func BenchmarkPublish(b *testing.B) {
	for _, readers := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("%d readers", readers), func(b *testing.B) {
			f := live.New(1024, noon)
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			for range readers {
				s := f.Subscribe(0)
				wg.Go(func() {
					for {
						if _, err := s.Next(ctx, nil); err != nil && !errors.Is(err, live.ErrReset) {
							return
						}
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				f.Publish(live.Change{Kind: live.KindAlarm})
			}
			cancel()
			wg.Wait()
		})
	}
}
