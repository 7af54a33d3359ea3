package live

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/shedguard/shedguard"
)

// OutletsEvery is the least time between two outlets changes of one shed.
const OutletsEvery = time.Second

// OutletsChange is the data of an outlets change: the newest values of what was
// heard since the change before.
type OutletsChange struct {
	Shed   string   `json:"shed"`
	Live   []Outlet `json:"live"`             // of the outlets that were heard; empty when only the feeder was
	Feeder *Feeder  `json:"feeder,omitempty"` // absent when it was not heard
}

// Outlet is what is measured at one outlet. A quantity that is not measured,
// or not lately, is absent.
type Outlet struct {
	Outlet   int                    `json:"outlet"`
	State    *shedguard.OutletState `json:"state,omitempty" doc:"unknown, off, ready, charging, full, suspended, tripped, fault"`
	Quality  *shedguard.Quality     `json:"quality,omitempty" doc:"good, suspect, stale, fault"`
	Volts    *float64               `json:"volts,omitempty"`
	Amps     *float64               `json:"amps,omitempty"`
	Watts    *float64               `json:"watts,omitempty"`
	PF       *float64               `json:"pf,omitempty" doc:"power factor, -1 to 1"`
	Celsius  *float64               `json:"celsius,omitempty"`
	EnergyWh *float64               `json:"energy_wh,omitempty"`
	At       time.Time              `json:"at" doc:"of the newest value"`
}

// Set puts the value of a telemetry field; a field that is not shown changes
// nothing.
func (o *Outlet) Set(field string, value float64) {
	switch field {
	case "volts":
		o.Volts = &value
	case "amps":
		o.Amps = &value
	case "watts":
		o.Watts = &value
	case "pf":
		o.PF = &value
	case "celsius":
		o.Celsius = &value
	case "energy_wh":
		o.EnergyWh = &value
	case "state":
		if s := shedguard.OutletState(value); value >= 0 && value <= float64(shedguard.StateFault) {
			o.State = &s
		}
	case "quality":
		if q := shedguard.Quality(value); value >= 0 && value <= float64(shedguard.QualityFault) {
			o.Quality = &q
		}
	default:
	}
}

// Outlets makes outlets changes of telemetry: at most one a second for each
// shed, with the newest values.
type Outlets struct {
	feed *Feed

	mu    sync.Mutex
	sheds map[string]*heard // guarded by mu; what was heard since the last change
}

// heard is what was heard of one shed.
type heard struct {
	outlets map[int]Outlet
	feeder  *Feeder
}

// NewOutlets is an Outlets that publishes to feed.
func NewOutlets(feed *Feed) *Outlets {
	return &Outlets{feed: feed, sheds: map[string]*heard{}}
}

// Observe takes points as they were stored. It keeps nothing of the slice and
// does not wait.
func (o *Outlets) Observe(points []shedguard.Point) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range points {
		p := &points[i]
		shed := p.Tag("shed")
		if shed == "" {
			continue
		}
		switch p.Measurement {
		case shedguard.MeasurementOutlet:
			if n, err := strconv.Atoi(p.Tag("outlet")); err == nil && n >= 1 && n <= shedguard.MaxOutlets {
				o.of(shed).outlet(n, p)
			}
		case shedguard.MeasurementFeeder:
			if f := feederOf(p); f != nil {
				o.of(shed).feed(f)
			}
		}
	}
}

// of is what was heard of a shed; o.mu is held.
func (o *Outlets) of(shed string) *heard {
	h := o.sheds[shed]
	if h == nil {
		h = &heard{outlets: map[int]Outlet{}}
		o.sheds[shed] = h
	}
	return h
}

func (h *heard) outlet(n int, p *shedguard.Point) {
	out := h.outlets[n]
	if p.Time.Before(out.At) {
		return // a replay is history
	}
	out.Outlet, out.At = n, p.Time
	for _, f := range p.Fields {
		out.Set(f.Key, f.Value)
	}
	h.outlets[n] = out
}

func (h *heard) feed(f *Feeder) {
	if h.feeder == nil || !f.At.Before(h.feeder.At) {
		h.feeder = f
	}
}

// Run publishes until ctx ends.
func (o *Outlets) Run(ctx context.Context) error {
	tick := time.NewTicker(OutletsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		o.mu.Lock()
		sheds := o.sheds
		o.sheds = make(map[string]*heard, len(sheds))
		o.mu.Unlock()
		for _, shed := range slices.Sorted(maps.Keys(sheds)) {
			h := sheds[shed]
			c := OutletsChange{Shed: shed, Live: []Outlet{}, Feeder: h.feeder}
			for _, n := range slices.Sorted(maps.Keys(h.outlets)) {
				c.Live = append(c.Live, h.outlets[n])
			}
			o.feed.Publish(Change{Kind: KindOutlets, Shed: shed, Data: c})
		}
	}
}
