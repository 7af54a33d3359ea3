package charge

import (
	"errors"
	"fmt"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

// Settings are how the charging curve of one outlet is judged. Every rule that
// is on needs its limits: zero never stands for "none". A rule reports from its
// limit on, and one step more severe from twice its limit on; only there does
// one that may trip do so.
type Settings struct {
	EmptyWatts   float64 // W; below: nothing is plugged in
	StandbyWatts float64 // W; below: a charger without a battery
	IdleWatts    float64 // W; a steady load below it that was never more is no charge

	KneeShare float64       // of the plateau, that power must fall to leave constant current
	Settle    time.Duration // of a curve like a charge's, before anything about it is judged
	MaxGap    time.Duration // longest time between two readings that counts

	Full         Full
	TooLong      TooLong
	FloatTooHigh FloatTooHigh
	Unstable     Unstable
	Envelope     Envelope
	Frozen       Frozen
}

// The bounds of Settings.MaxGap.
const (
	MinGap = time.Second
	MaxGap = slotLen - time.Second
)

// Full ends a charge. Whatever the limits say, power must also have fallen
// below a third of the session's own plateau.
type Full struct {
	JudgeWatts  float64       // W; above it (or 5 % of the plateau) nothing is judged full
	Watts       float64       // W; below it (or 4 % of the plateau) for After, without a change above ChangeWatts
	After       time.Duration //
	ChangeWatts float64       // W
	Share       float64       // of the plateau; below it for ShareAfter the battery is full, too
	ShareAfter  time.Duration //
	IdleAfter   time.Duration // a load below IdleWatts that never was a charge ends the session
}

// TooLong reports a charge that takes too long.
type TooLong struct {
	protect.Rule
	Limit time.Duration // of charging, without pauses and the trickle
}

// FloatTooHigh reports power that stops falling after the taper: a battery that
// does not get full because it is hot or damaged.
type FloatTooHigh struct {
	protect.Rule
	LimitWatts float64       // W; and
	LimitShare float64       // of the plateau: the larger of the two
	FallShare  float64       // of the plateau; falling by less is not falling
	After      time.Duration // without falling
}

// Unstable reports power that does what no healthy charge does.
type Unstable struct {
	protect.Rule
	LateRiseShare float64 // of the plateau, after the knee
	RiseShare     float64 // of the level after Settle, in constant current
	StepShare     float64 // of the plateau
	SwingShare    float64 // of the plateau: what counts as a swing
	Swings        int     // in Window; at most MaxSwings
	Window        time.Duration
}

// MaxSwings bounds Unstable.Swings.
const MaxSwings = 20

// Envelope compares a charge with those that the outlet has seen before.
type Envelope struct {
	protect.Rule
	Charges int     // healthy ones before anything is judged; at most [MaxCharges]
	Factor  float64 // times what is usual
}

// Frozen reports a reading that never changes while something charges.
type Frozen struct {
	protect.Rule
	Limit time.Duration // at least; a meter that is seldom read gets longer
}

// Validate reports what is wrong with the settings, every fault at once, each
// with its path. A rule that is off is not looked into.
func (c *Settings) Validate() error {
	var errs []error
	number := func(path string, v, low, high float64) {
		if !(v >= low && v <= high) { // NaN is refused too
			errs = append(errs, fmt.Errorf("%s: %g: want %g to %g", path, v, low, high))
		}
	}
	span := func(path string, v, low, high time.Duration) {
		if v < low || v > high {
			errs = append(errs, fmt.Errorf("%s: %v: want %v to %v", path, v, low, high))
		}
	}
	rule := func(path string, r *protect.Rule) bool {
		if !r.Enabled {
			return false
		}
		if r.Severity < shedguard.SeverityCritical || r.Severity > shedguard.SeverityWarning {
			errs = append(errs, fmt.Errorf("%s.severity: %s: want critical, major, minor or warning", path, r.Severity))
		}
		// Without voltage the curve cannot show that the condition has passed.
		if r.Act != protect.ActReport && r.Act != protect.ActTrip {
			errs = append(errs, fmt.Errorf("%s.action: %s: want report or trip", path, r.Act))
		}
		return true
	}

	number("empty_watts", c.EmptyWatts, 0.05, 5)
	number("standby_watts", c.StandbyWatts, c.EmptyWatts, 10)
	number("idle_watts", c.IdleWatts, c.StandbyWatts, 100)
	number("knee_share", c.KneeShare, 0.02, 0.3)
	span("settle", c.Settle, time.Minute, time.Hour)
	span("max_gap", c.MaxGap, MinGap, MaxGap)
	f := &c.Full
	number("full.judge_watts", f.JudgeWatts, 10, 200)
	number("full.watts", f.Watts, 1, f.JudgeWatts)
	span("full.after", f.After, time.Minute, 6*time.Hour)
	number("full.change_watts", f.ChangeWatts, 0.5, 50)
	number("full.share", f.Share, 0.01, thirdShare)
	span("full.share_after", f.ShareAfter, time.Minute, 6*time.Hour)
	span("full.idle_after", f.IdleAfter, time.Minute, 6*time.Hour)
	if r := &c.TooLong; rule("charge_too_long", &r.Rule) {
		span("charge_too_long.limit", r.Limit, 10*time.Minute, 24*time.Hour)
	}
	if r := &c.FloatTooHigh; rule("float_too_high", &r.Rule) {
		number("float_too_high.limit_watts", r.LimitWatts, 5, 500)
		number("float_too_high.limit_share", r.LimitShare, 0.05, 0.9)
		number("float_too_high.fall_share", r.FallShare, 0.005, 0.2)
		span("float_too_high.after", r.After, 5*time.Minute, 6*time.Hour)
	}
	if r := &c.Unstable; rule("power_unstable", &r.Rule) {
		number("power_unstable.late_rise_share", r.LateRiseShare, 0.03, 1)
		number("power_unstable.rise_share", r.RiseShare, 0.1, 3)
		number("power_unstable.step_share", r.StepShare, 0.1, 1)
		number("power_unstable.swing_share", r.SwingShare, 0.05, 1)
		number("power_unstable.swings", float64(r.Swings), 4, MaxSwings)
		span("power_unstable.window", r.Window, time.Minute, time.Hour)
	}
	if r := &c.Envelope; rule("charge_unusual", &r.Rule) {
		number("charge_unusual.charges", float64(r.Charges), 3, MaxCharges)
		number("charge_unusual.factor", r.Factor, 1.5, 20)
	}
	if r := &c.Frozen; rule("reading_frozen", &r.Rule) {
		span("reading_frozen.limit", r.Limit, time.Minute, 6*time.Hour)
	}
	return errors.Join(errs...)
}
