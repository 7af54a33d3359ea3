package charge_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/protect"
)

// rules are the rules of settings by the names that their faults have.
func rules(c *charge.Settings) map[string]*protect.Rule {
	return map[string]*protect.Rule{
		"charge_too_long": &c.TooLong.Rule,
		"float_too_high":  &c.FloatTooHigh.Rule,
		"power_unstable":  &c.Unstable.Rule,
		"charge_unusual":  &c.Envelope.Rule,
		"reading_frozen":  &c.Frozen.Rule,
	}
}

// without are the settings with one rule off and nothing said of its limits.
func without(name string) *charge.Settings {
	c := settings()
	switch name {
	case "charge_too_long":
		c.TooLong = charge.TooLong{}
	case "float_too_high":
		c.FloatTooHigh = charge.FloatTooHigh{}
	case "power_unstable":
		c.Unstable = charge.Unstable{}
	case "charge_unusual":
		c.Envelope = charge.Envelope{}
	case "reading_frozen":
		c.Frozen = charge.Frozen{}
	}
	return c
}

// oneFault wants no fault, or one with the prefix.
func oneFault(t *testing.T, c *charge.Settings, good bool, prefix string) {
	t.Helper()
	err := c.Validate()
	if good != (err == nil) {
		t.Errorf("%s%v, want good: %t", prefix, err, good)
	} else if !good && (!strings.HasPrefix(err.Error(), prefix) || strings.Contains(err.Error(), "\n")) {
		t.Errorf("%v, want one fault, of %s", err, prefix)
	}
}

func TestValidateRules(t *testing.T) {
	for name := range rules(settings()) {
		for severity, good := range map[shedguard.Severity]bool{
			shedguard.SeverityCleared: false, shedguard.SeverityCritical: true, shedguard.SeverityWarning: true, shedguard.SeverityWarning + 1: false,
		} {
			c := settings()
			rules(c)[name].Severity = severity
			oneFault(t, c, good, name+".severity: ")
		}
		for act, good := range map[protect.Act]bool{protect.ActTrip: true, protect.ActReport: true, protect.ActSuspend: false, "": false} {
			c := settings()
			rules(c)[name].Act = act
			oneFault(t, c, good, name+".action: ")
		}
		oneFault(t, without(name), true, "")
	}
}

// TestValidateRanges tries both ends of every range, and what is just beyond.
func TestValidateRanges(t *testing.T) {
	type set func(*charge.Settings, float64)
	number := func(of func(*charge.Settings) *float64) set {
		return func(c *charge.Settings, v float64) { *of(c) = v }
	}
	span := func(of func(*charge.Settings) *time.Duration) set {
		return func(c *charge.Settings, v float64) { *of(c) = time.Duration(v) }
	}
	count := func(of func(*charge.Settings) *int) set {
		return func(c *charge.Settings, v float64) { *of(c) = int(v) }
	}
	const s, m, h = float64(time.Second), float64(time.Minute), float64(time.Hour)
	const near, ns, one = 1e-6, 1, 1 // beyond the ends
	tests := map[string]struct {
		set       set
		low, high float64
		beyond    float64
	}{
		"empty_watts":                    {number(func(c *charge.Settings) *float64 { return &c.EmptyWatts }), 0.05, 5, near},
		"standby_watts":                  {number(func(c *charge.Settings) *float64 { return &c.StandbyWatts }), 0.4, 10, near}, // not below empty_watts
		"idle_watts":                     {number(func(c *charge.Settings) *float64 { return &c.IdleWatts }), 8, 100, near},     // not below standby_watts
		"knee_share":                     {number(func(c *charge.Settings) *float64 { return &c.KneeShare }), 0.02, 0.3, near},
		"settle":                         {span(func(c *charge.Settings) *time.Duration { return &c.Settle }), m, h, ns},
		"max_gap":                        {span(func(c *charge.Settings) *time.Duration { return &c.MaxGap }), s, 9 * s, ns},
		"full.judge_watts":               {number(func(c *charge.Settings) *float64 { return &c.Full.JudgeWatts }), 10, 200, near},
		"full.watts":                     {number(func(c *charge.Settings) *float64 { return &c.Full.Watts }), 1, 45, near}, // not above judge_watts
		"full.after":                     {span(func(c *charge.Settings) *time.Duration { return &c.Full.After }), m, 6 * h, ns},
		"full.change_watts":              {number(func(c *charge.Settings) *float64 { return &c.Full.ChangeWatts }), 0.5, 50, near},
		"full.share":                     {number(func(c *charge.Settings) *float64 { return &c.Full.Share }), 0.01, 0.35, near},
		"full.share_after":               {span(func(c *charge.Settings) *time.Duration { return &c.Full.ShareAfter }), m, 6 * h, ns},
		"full.idle_after":                {span(func(c *charge.Settings) *time.Duration { return &c.Full.IdleAfter }), m, 6 * h, ns},
		"charge_too_long.limit":          {span(func(c *charge.Settings) *time.Duration { return &c.TooLong.Limit }), 10 * m, 24 * h, ns},
		"float_too_high.limit_watts":     {number(func(c *charge.Settings) *float64 { return &c.FloatTooHigh.LimitWatts }), 5, 500, near},
		"float_too_high.limit_share":     {number(func(c *charge.Settings) *float64 { return &c.FloatTooHigh.LimitShare }), 0.05, 0.9, near},
		"float_too_high.fall_share":      {number(func(c *charge.Settings) *float64 { return &c.FloatTooHigh.FallShare }), 0.005, 0.2, near},
		"float_too_high.after":           {span(func(c *charge.Settings) *time.Duration { return &c.FloatTooHigh.After }), 5 * m, 6 * h, ns},
		"power_unstable.late_rise_share": {number(func(c *charge.Settings) *float64 { return &c.Unstable.LateRiseShare }), 0.03, 1, near},
		"power_unstable.rise_share":      {number(func(c *charge.Settings) *float64 { return &c.Unstable.RiseShare }), 0.1, 3, near},
		"power_unstable.step_share":      {number(func(c *charge.Settings) *float64 { return &c.Unstable.StepShare }), 0.1, 1, near},
		"power_unstable.swing_share":     {number(func(c *charge.Settings) *float64 { return &c.Unstable.SwingShare }), 0.05, 1, near},
		"power_unstable.swings":          {count(func(c *charge.Settings) *int { return &c.Unstable.Swings }), 4, 20, one},
		"power_unstable.window":          {span(func(c *charge.Settings) *time.Duration { return &c.Unstable.Window }), m, h, ns},
		"charge_unusual.charges":         {count(func(c *charge.Settings) *int { return &c.Envelope.Charges }), 3, 9, one},
		"charge_unusual.factor":          {number(func(c *charge.Settings) *float64 { return &c.Envelope.Factor }), 1.5, 20, near},
		"reading_frozen.limit":           {span(func(c *charge.Settings) *time.Duration { return &c.Frozen.Limit }), m, 6 * h, ns},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for v, good := range map[float64]bool{tt.low: true, tt.high: true, tt.low - tt.beyond: false, tt.high + tt.beyond: false} {
				c := settings()
				c.StandbyWatts, c.Full.Watts = 8, 5 // out of the way of empty_watts and judge_watts
				tt.set(c, v)
				prefix := name + ": " + fmt.Sprintf("%g: want %g to %g", v, tt.low, tt.high)
				if tt.beyond == ns { // spans and counts are told in their own words
					prefix = name + ": "
				}
				oneFault(t, c, good, prefix)
			}
			if tt.beyond == near {
				c := settings()
				tt.set(c, math.NaN())
				if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name+": NaN") {
					t.Errorf("NaN: %v", err)
				}
			}
		})
	}
}

// TestValidateSays what was given and what is allowed.
func TestValidateSays(t *testing.T) {
	c := settings()
	c.Settle, c.Unstable.Swings, c.Frozen.Act, c.TooLong.Severity = 30*time.Second, 21, protect.ActSuspend, shedguard.SeverityWarning+1
	want := "settle: 30s: want 1m0s to 1h0m0s\n" +
		"charge_too_long.severity: " + (shedguard.SeverityWarning + 1).String() + ": want critical, major, minor or warning\n" +
		"power_unstable.swings: 21: want 4 to 20\n" +
		"reading_frozen.action: suspend: want report or trip"
	if err := c.Validate(); err == nil || err.Error() != want {
		t.Errorf("%v\nwant\n%s", err, want)
	}
}
