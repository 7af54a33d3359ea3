package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/feeder"
)

// Feeder is the supply of the whole shed.
type Feeder struct {
	Profile   string             `yaml:"profile" base:"feeders" doc:"Set of defaults for the rest."`
	Enabled   bool               `yaml:"enabled" doc:"Whether the limits are applied."`
	Severity  shedguard.Severity `yaml:"severity" doc:"Severity of the alarm of an outlet that is shed (ITU-T X.733); refusing new sessions is a warning."`
	SoftWatts float64            `yaml:"soft_watts" min:"100" max:"200000" doc:"Power of the shed in W from which no new session begins: a start is refused, what is plugged in waits."`
	HardWatts float64            `yaml:"hard_watts" min:"100" max:"200000" doc:"Power of the shed in W above which the youngest session is switched off, one at a time; at least 1.05 x soft_watts."`
	Delay     time.Duration      `yaml:"delay" min:"0s" max:"1m" doc:"Time above hard_watts before the first is switched off."`
	Settle    time.Duration      `yaml:"settle" min:"1s" max:"10m" doc:"Time between two that are switched off, and for which there must be room before one is fed again."`
	Meter     *Meter             `yaml:"meter,omitempty" doc:"A meter of the whole feeder, which also sees what no outlet does. Leave out where there is none: the outlets' own meters are added up then."`
}

// FeederLimits returns what the feeder carries, or nil when nothing watches it.
func (c *Config) FeederLimits() *feeder.Limits {
	if c.Feeder == nil || !c.Feeder.Enabled {
		return nil
	}
	f := c.Feeder
	return &feeder.Limits{SoftWatts: f.SoftWatts, HardWatts: f.HardWatts, Delay: f.Delay, Settle: f.Settle}
}

// MainsVolts is the nominal voltage of a single-phase supply in China
// (GB/T 156).
const MainsVolts = 220.0

// RatedWatts is the most that the outlet is meant for.
func (o *Outlet) RatedWatts() float64 { return o.RatingAmps * MainsVolts }

// usualFeeder is what the feeder of a shed carries, in A, as the piles in the
// field have it: 8700 W.
const usualFeeder = 40.0

// feeder checks the feeder once every value of it is in its range.
func (c *checker) feeder(cfg *Config) {
	if slices.ContainsFunc(c.found, func(f *Fault) bool { return strings.HasPrefix(f.Path, "feeder") }) {
		return
	}
	if l := cfg.FeederLimits(); l != nil {
		c.report("feeder.", l.Validate())
	}
	f := cfg.Feeder
	if f == nil || f.Meter == nil || parts()[f.Meter.Chip] == nil {
		return
	}
	c.wiring("feeder.meter", f.Meter)
	switch {
	case serves(f.Meter.Chip) || f.Meter.Chip == sampling:
		c.fault("feeder.meter.chip", show(f.Meter.Chip), "a chip that measures one circuit by itself")
	case f.Meter.Alert:
		c.fault("feeder.meter.alert", "true", "false: the feeder has no relay of its own")
	case f.Meter.Residual != nil:
		c.fault("feeder.meter.residual", "given", "left out: residual current is watched at the outlets")
	default:
		if reach := parts()[f.Meter.Chip].reach(f.Meter) * MainsVolts; reach < 1.2*f.HardWatts {
			value := strconv.FormatFloat(f.Meter.ShuntOhms, 'g', -1, 64)
			if f.Meter.RangeAmps > 0 {
				value = strconv.Itoa(f.Meter.RangeAmps)
			}
			c.fault("feeder.meter."+parts()[f.Meter.Chip].key, value, fmt.Sprintf("a range beyond 1.2 x hard_watts: it ends at %.0f W", reach))
		}
	}
}

// feederWarning says that nothing keeps the outlets from drawing more than
// their cable carries; empty when something does, or they cannot.
func (c *Config) feederWarning() string {
	var amps float64
	for i := range c.Outlets {
		amps += c.Outlets[i].RatingAmps
	}
	switch {
	case c.FeederLimits() != nil || amps <= usualFeeder:
		return ""
	case c.Feeder != nil:
		return fmt.Sprintf("feeder.enabled: false: %d outlets may draw %g A together and nothing but the breaker watches their sum", len(c.Outlets), amps)
	default:
		return fmt.Sprintf("feeder: left out: %d outlets may draw %g A together and nothing but the breaker watches their sum", len(c.Outlets), amps)
	}
}
