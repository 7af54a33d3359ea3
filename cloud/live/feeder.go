package live

import (
	"math"
	"time"

	"github.com/shedguard/shedguard"
)

// Feeder is the load of the supply that all outlets of a shed share.
type Feeder struct {
	shedguard.FeederStatus
	At time.Time `json:"at" doc:"of the newest value"`
}

// NewFeeder is the feeder of its telemetry fields, or nil unless every quantity
// is among them: a limit that is missing would be shown as a limit of 0 W.
func NewFeeder(at time.Time, fields map[string]float64) *Feeder {
	ok := true
	number := func(field string) float64 {
		v, found := fields[field]
		ok = ok && found && !math.IsNaN(v) && !math.IsInf(v, 0)
		return v
	}
	count := func(field string) int {
		v := number(field)
		ok = ok && v >= 0 && v <= shedguard.MaxOutlets && v == math.Trunc(v)
		if !ok {
			return 0
		}
		return int(v)
	}
	f := &Feeder{FeederStatus: shedguard.FeederStatus{
		Watts: number("watts"), CommittedWatts: number("committed_watts"), SoftWatts: number("soft_watts"), HardWatts: number("hard_watts"),
		Refusing: number("refusing") != 0, Waiting: count("waiting"), Shed: count("shed"),
	}, At: at.UTC()}
	if !ok {
		return nil
	}
	return f
}

// feederOf is the feeder of a point, or nil.
func feederOf(p *shedguard.Point) *Feeder {
	fields := make(map[string]float64, len(p.Fields))
	for _, f := range p.Fields {
		fields[f.Key] = f.Value
	}
	return NewFeeder(p.Time, fields)
}
