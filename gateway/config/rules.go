package config

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/charge"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// Limits are the protection rules of one outlet, as protect knows them.
type Limits struct {
	ShortCircuit     ShortCircuit     `yaml:"short_circuit" doc:"A current so large that waiting is no choice."`
	Overcurrent      Overcurrent      `yaml:"overcurrent" doc:"Thermal image of the wiring: the larger the current, the sooner the cut."`
	Overpower        Overpower        `yaml:"overpower" doc:"More power than the outlet is meant for."`
	Overvoltage      Overvoltage      `yaml:"overvoltage" doc:"The supply is too high, as when a neutral is lost."`
	Undervoltage     Undervoltage     `yaml:"undervoltage" doc:"The supply is too low. To suspend for it the meter must measure before the relay, else it never sees the supply come back."`
	ResidualCurrent  ResidualCurrent  `yaml:"residual_current" doc:"Current that does not come back. Needs meter.residual, and replaces no residual-current breaker."`
	OverTemperature  OverTemperature  `yaml:"over_temperature" doc:"The outlet itself is hot. Needs a thermometer."`
	TemperatureRise  TemperatureRise  `yaml:"temperature_rise" doc:"The outlet warms fast. Not judged where over_temperature is off, as without a thermometer."`
	MeterImplausible MeterImplausible `yaml:"meter_implausible" doc:"The meter answers what cannot be: no numbers, frozen words, or power that does not fit volts and amps."`
	MeterStale       MeterStale       `yaml:"meter_stale" doc:"An outlet whose meter is silent is not fed."`
	RelayWelded      RelayWelded      `yaml:"relay_welded" doc:"Current flows although the relay was opened."`

	ChargeTooLong ChargeTooLong `yaml:"charge_too_long" doc:"A charge that does not come to an end."`
	FloatTooHigh  FloatTooHigh  `yaml:"float_too_high" doc:"Power stops falling after the taper: a battery that is hot or damaged. Trips at twice its limit or twice its time."`
	PowerUnstable PowerUnstable `yaml:"power_unstable" doc:"Power does what no healthy charge does: it rises late, jumps or swings. Trips at twice a limit."`
	ChargeUnusual ChargeUnusual `yaml:"charge_unusual" doc:"A charge far from what the outlet has learned from its healthy ones. Trips at twice its limit."`
	ReadingFrozen ReadingFrozen `yaml:"reading_frozen" doc:"The reading never changes while something charges. Trips at twice its limit."`
}

// Rule is what all rules have.
type Rule struct {
	Enabled  bool               `yaml:"enabled" doc:"Whether the rule is applied."`
	Severity shedguard.Severity `yaml:"severity" doc:"Severity of its alarm (ITU-T X.733)."`
	Action   protect.Act        `yaml:"action" enum:"report,suspend,trip" doc:"What is done: report raises the alarm only (to try a limit before it is trusted), suspend opens the outlet while the condition stands, trip opens it until a person resets it."`
}

func (r *Rule) protect() protect.Rule {
	return protect.Rule{Enabled: r.Enabled, Severity: r.Severity, Act: r.Action}
}

// ShortCircuit cuts after two conversions.
type ShortCircuit struct {
	Rule        `yaml:",inline"`
	TimesRating float64       `yaml:"times_rating" min:"2" max:"10" doc:"Current that counts as a short circuit, as a multiple of rating_amps."`
	Span        time.Duration `yaml:"span" min:"100ms" max:"3s" doc:"Time from the first to the last of at least two conversions that show it, so that nine half-cycles of an arc do not cut (GB 31252)."`
}

// Overcurrent is the thermal inverse-time rule.
type Overcurrent struct {
	Rule      `yaml:",inline"`
	PickUp    float64       `yaml:"pick_up" min:"1" max:"1.45" doc:"Steady current that just trips in the end, as a multiple of rating_amps; a breaker ignores what is below 1.45."`
	Heating   time.Duration `yaml:"heating" min:"5s" max:"1h" doc:"Time constant of the image while it heats."`
	Cooling   time.Duration `yaml:"cooling" min:"5s" max:"4h" doc:"Time constant of the image while it cools; not below heating, so that a pause does not forget."`
	ResetHeat float64       `yaml:"reset_heat" min:"0.5" max:"0.999" doc:"Heat above which a reset is refused; 1 is the heat that trips."`
}

// Overpower cuts after a delay.
type Overpower struct {
	Rule       `yaml:",inline"`
	LimitWatts float64       `yaml:"limit_watts" min:"10" max:"20000" doc:"Active power in W above which the outlet is cut."`
	Delay      time.Duration `yaml:"delay" min:"0s" max:"1m" doc:"Time from the first sample above the limit to the one that cuts."`
}

// OverTemperature cuts a hot outlet.
type OverTemperature struct {
	Rule         `yaml:",inline"`
	LimitCelsius float64       `yaml:"limit_celsius" min:"40" max:"90" doc:"Temperature of the outlet in degrees Celsius above which it is cut."`
	ResetCelsius float64       `yaml:"reset_celsius" min:"20" max:"90" doc:"Temperature above which a reset is refused; not above limit_celsius."`
	Delay        time.Duration `yaml:"delay" min:"0s" max:"1m" doc:"Time from the first sample above the limit to the one that cuts."`
	Stale        time.Duration `yaml:"stale" min:"1s" max:"1m" doc:"Age of the last temperature at which the thermometer counts as silent."`
}

// Overvoltage acts on a supply that is too high.
type Overvoltage struct {
	Rule       `yaml:",inline"`
	LimitVolts float64       `yaml:"limit_volts" min:"12" max:"300" doc:"Voltage in V above which it decides."`
	ResetVolts float64       `yaml:"reset_volts" min:"10" max:"300" doc:"Voltage at or under which it is over; not above limit_volts."`
	Delay      time.Duration `yaml:"delay" min:"0s" max:"1m" doc:"Time from the first sample above the limit to the one that decides."`
}

// Undervoltage acts on a supply that is too low.
type Undervoltage struct {
	Rule       `yaml:",inline"`
	LimitVolts float64       `yaml:"limit_volts" min:"8" max:"250" doc:"Voltage in V under which it decides."`
	ResetVolts float64       `yaml:"reset_volts" min:"8" max:"250" doc:"Voltage at or above which it is over; not under limit_volts, not above overvoltage.reset_volts."`
	Delay      time.Duration `yaml:"delay" min:"100ms" max:"1m" doc:"Time from the first sample under the limit to the one that decides; a shorter sag is ridden through."`
}

// ResidualCurrent acts on current that does not come back.
type ResidualCurrent struct {
	Rule      `yaml:",inline"`
	LimitAmps float64       `yaml:"limit_amps" min:"0.006" max:"1" doc:"Residual current in A above which the outlet is cut."`
	Delay     time.Duration `yaml:"delay" min:"0s" max:"10s" doc:"Time from the first to the last of at least two samples above the limit."`
}

// TemperatureRise acts on an outlet that warms fast.
type TemperatureRise struct {
	Rule           `yaml:",inline"`
	LimitPerMinute float64       `yaml:"limit_per_minute" min:"1" max:"100" doc:"Rise in degrees Celsius a minute, over the whole window; a faster rise decides sooner."`
	Window         time.Duration `yaml:"window" min:"10s" max:"10m" doc:"Time over which the rise is measured."`
}

// MeterImplausible acts on a meter that answers what cannot be.
type MeterImplausible struct {
	Rule        `yaml:",inline"`
	Tolerance   float64       `yaml:"tolerance" min:"0.02" max:"0.5" doc:"Share by which active power may be above volts x amps."`
	LeastFactor float64       `yaml:"least_factor" min:"0" max:"0.5" doc:"Active power as a share of volts x amps under which it cannot be a charger's."`
	FloorAmps   float64       `yaml:"floor_amps" min:"0.05" max:"10" doc:"Current in A under which the three are not compared."`
	Delay       time.Duration `yaml:"delay" min:"500ms" max:"10s" doc:"How long it must be so."`
}

// MeterStale opens an outlet that cannot be judged.
type MeterStale struct {
	Rule  `yaml:",inline"`
	Limit time.Duration `yaml:"limit" min:"500ms" max:"10s" doc:"Age of the last usable reading at which the outlet opens."`
}

// RelayWelded finds a relay that does not open.
type RelayWelded struct {
	Rule      `yaml:",inline"`
	LimitAmps float64       `yaml:"limit_amps" min:"0.02" max:"5" doc:"Current in A that still flows."`
	Delay     time.Duration `yaml:"delay" min:"100ms" max:"10s" doc:"Time from the first sample above the limit after opening to the one that decides."`
}

// Session says how a charging session is followed, as session knows it.
type Session struct {
	LoadWatts      float64       `yaml:"load_watts" min:"1" max:"200" doc:"Power in W from which something is drawing."`
	LoadAfter      time.Duration `yaml:"load_after" min:"100ms" max:"1m" doc:"Time at load_watts that begins a session."`
	NoLoadWatts    float64       `yaml:"no_load_watts" min:"0.5" max:"100" doc:"Power in W below which nothing is drawing; below load_watts."`
	NoLoadAfter    time.Duration `yaml:"no_load_after" min:"1s" max:"30m" doc:"Time below no_load_watts that ends a session as unplugged."`
	StartWithin    time.Duration `yaml:"start_within" min:"5s" max:"1h" doc:"Time after a start command in which something must draw."`
	SelfCheck      time.Duration `yaml:"self_check" min:"500ms" max:"5m" doc:"Good readings before the outlet is first fed."`
	ResumeAfter    time.Duration `yaml:"resume_after" min:"1s" max:"10m" doc:"Good readings before a suspended outlet is fed again."`
	ResumesPerHour int           `yaml:"resumes_per_hour" min:"1" max:"20" doc:"Most resumptions in an hour."`
	MaxWh          float64       `yaml:"max_wh" min:"10" max:"50000" doc:"Most energy of one session in Wh; a command may ask for less."`
	MaxMinutes     float64       `yaml:"max_minutes" min:"1" max:"1440" doc:"Longest session in minutes; a command may ask for less."`
	MaxWatts       float64       `yaml:"max_watts" min:"10" max:"20000" doc:"Most power of one session in W; a command may ask for less."`
	WattsDelay     time.Duration `yaml:"watts_delay" min:"100ms" max:"5m" doc:"Time above max_watts that ends the session."`
	MaxGap         time.Duration `yaml:"max_gap" min:"500ms" max:"1m" doc:"Longest gap between two readings over which energy is counted."`
}

// ChargeTooLong reports a long charge.
type ChargeTooLong struct {
	Rule  `yaml:",inline"`
	Limit time.Duration `yaml:"limit" min:"10m" max:"24h" doc:"Time of charging, without pauses and without the trickle of a full battery."`
}

// FloatTooHigh finds a battery that does not get full.
type FloatTooHigh struct {
	Rule       `yaml:",inline"`
	LimitWatts float64       `yaml:"limit_watts" min:"5" max:"500" doc:"Power in W that is too much; the larger of it and limit_share counts."`
	LimitShare float64       `yaml:"limit_share" min:"0.05" max:"0.9" doc:"Likewise, as a share of the session's plateau."`
	FallShare  float64       `yaml:"fall_share" min:"0.005" max:"0.2" doc:"Share of the plateau by which power must fall within after, else it has stopped falling."`
	After      time.Duration `yaml:"after" min:"5m" max:"6h" doc:"Time without falling."`
}

// PowerUnstable finds power that no healthy charge has.
type PowerUnstable struct {
	Rule          `yaml:",inline"`
	LateRiseShare float64       `yaml:"late_rise_share" min:"0.03" max:"1" doc:"Rise after the knee, as a share of the plateau."`
	RiseShare     float64       `yaml:"rise_share" min:"0.1" max:"3" doc:"Rise in constant current, as a share of its beginning."`
	StepShare     float64       `yaml:"step_share" min:"0.1" max:"1" doc:"Rise or lasting fall within two minutes, as a share of the plateau."`
	SwingShare    float64       `yaml:"swing_share" min:"0.05" max:"1" doc:"What counts as a swing, as a share of the plateau."`
	Swings        int           `yaml:"swings" min:"4" max:"20" doc:"Swings within the window."`
	Window        time.Duration `yaml:"window" min:"1m" max:"1h" doc:"Time in which swings are counted."`
}

// ChargeUnusual compares a charge with those before it.
type ChargeUnusual struct {
	Rule    `yaml:",inline"`
	Charges int     `yaml:"charges" min:"3" max:"9" doc:"Healthy charges that an outlet must have seen before it judges."`
	Factor  float64 `yaml:"factor" min:"1.5" max:"20" doc:"Multiple of what is usual there."`
}

// ReadingFrozen finds a meter that says the same for ever.
type ReadingFrozen struct {
	Rule  `yaml:",inline"`
	Limit time.Duration `yaml:"limit" min:"1m" max:"6h" doc:"Time without any change; a meter whose reading seldom changes gets twenty of its usual intervals."`
}

// Charge says how the charging curve is read.
type Charge struct {
	EmptyWatts   float64       `yaml:"empty_watts" min:"0.05" max:"5" doc:"Power in W below which nothing is plugged in."`
	StandbyWatts float64       `yaml:"standby_watts" min:"0.1" max:"10" doc:"Power in W below which a charger has no battery; not below empty_watts."`
	IdleWatts    float64       `yaml:"idle_watts" min:"1" max:"100" doc:"A load that never draws more, in W, is no charge; not below standby_watts."`
	KneeShare    float64       `yaml:"knee_share" min:"0.02" max:"0.3" doc:"Share of the plateau by which power must fall to leave constant current."`
	Settle       time.Duration `yaml:"settle" min:"1m" max:"1h" doc:"Time of smooth charging before its curve is judged."`
	Full         ChargeFull    `yaml:"full" doc:"When a battery is full; its outlet is switched off then. Power must also have fallen below 35 % of the session's plateau."`
}

// ChargeFull ends a session.
type ChargeFull struct {
	JudgeWatts  float64       `yaml:"judge_watts" min:"10" max:"200" doc:"Above this power in W, or 5 % of the plateau if that is more, no battery is full."`
	Watts       float64       `yaml:"watts" min:"1" max:"200" doc:"Power in W, or 4 % of the plateau if that is more, below which it is full after the time of after; not above judge_watts."`
	After       time.Duration `yaml:"after" min:"1m" max:"6h" doc:"Time below watts, without a change above change_watts."`
	ChangeWatts float64       `yaml:"change_watts" min:"0.5" max:"50" doc:"Change of power in W that begins the time anew."`
	Share       float64       `yaml:"share" min:"0.01" max:"0.35" doc:"Share of the plateau below which it is full after share_after."`
	ShareAfter  time.Duration `yaml:"share_after" min:"1m" max:"6h" doc:"Time below share."`
	IdleAfter   time.Duration `yaml:"idle_after" min:"1m" max:"6h" doc:"Time after which a load that never drew idle_watts ends its session."`
}

// ProtectLimits returns what protect needs for the outlet: its profile and what
// the configuration overrides.
func (o *Outlet) ProtectLimits() *protect.Limits {
	l := &o.Limits
	return &protect.Limits{
		RatingAmps: o.RatingAmps,
		ShortCircuit: protect.ShortCircuit{
			Rule:        l.ShortCircuit.protect(),
			TimesRating: l.ShortCircuit.TimesRating, Span: l.ShortCircuit.Span,
		},
		Overcurrent: protect.Overcurrent{
			Rule: l.Overcurrent.protect(), PickUp: l.Overcurrent.PickUp,
			Heating: l.Overcurrent.Heating, Cooling: l.Overcurrent.Cooling, ResetHeat: l.Overcurrent.ResetHeat,
		},
		Overpower: protect.Overpower{
			Rule:       l.Overpower.protect(),
			LimitWatts: l.Overpower.LimitWatts, Delay: l.Overpower.Delay,
		},
		Overvoltage: protect.Overvoltage{
			Rule: l.Overvoltage.protect(), LimitVolts: l.Overvoltage.LimitVolts,
			ResetVolts: l.Overvoltage.ResetVolts, Delay: l.Overvoltage.Delay,
		},
		Undervoltage: protect.Undervoltage{
			Rule: l.Undervoltage.protect(), LimitVolts: l.Undervoltage.LimitVolts,
			ResetVolts: l.Undervoltage.ResetVolts, Delay: l.Undervoltage.Delay,
		},
		ResidualCurrent: protect.ResidualCurrent{
			Rule: l.ResidualCurrent.protect(), LimitAmps: l.ResidualCurrent.LimitAmps, Delay: l.ResidualCurrent.Delay,
		},
		TemperatureRise: protect.TemperatureRise{
			Rule: l.TemperatureRise.protect(), LimitPerMinute: l.TemperatureRise.LimitPerMinute, Window: l.TemperatureRise.Window,
		},
		MeterImplausible: protect.MeterImplausible{
			Rule: l.MeterImplausible.protect(), Tolerance: l.MeterImplausible.Tolerance, LeastFactor: l.MeterImplausible.LeastFactor,
			FloorAmps: l.MeterImplausible.FloorAmps, Delay: l.MeterImplausible.Delay,
		},
		OverTemperature: protect.OverTemperature{
			Rule:         l.OverTemperature.protect(),
			LimitCelsius: l.OverTemperature.LimitCelsius, ResetCelsius: l.OverTemperature.ResetCelsius,
			Delay: l.OverTemperature.Delay, Stale: l.OverTemperature.Stale,
		},
		MeterStale: protect.MeterStale{
			Rule: l.MeterStale.protect(), Limit: l.MeterStale.Limit,
		},
		RelayWelded: protect.RelayWelded{
			Rule:      l.RelayWelded.protect(),
			LimitAmps: l.RelayWelded.LimitAmps, Delay: l.RelayWelded.Delay,
		},
	}
}

// SessionSettings returns what session needs for the outlet.
func (o *Outlet) SessionSettings() *session.Settings {
	s := &o.Session
	return &session.Settings{
		StartBy:        session.Start(o.Start),
		LoadWatts:      s.LoadWatts,
		LoadAfter:      s.LoadAfter,
		NoLoadWatts:    s.NoLoadWatts,
		NoLoadAfter:    s.NoLoadAfter,
		StartWithin:    s.StartWithin,
		SelfCheck:      s.SelfCheck,
		ResumeAfter:    s.ResumeAfter,
		ResumesPerHour: s.ResumesPerHour,
		MaxWh:          s.MaxWh,
		MaxMinutes:     s.MaxMinutes,
		MaxWatts:       s.MaxWatts,
		WattsDelay:     s.WattsDelay,
		MaxGap:         s.MaxGap,
	}
}

// ChargeSettings returns what charge needs for the outlet.
func (o *Outlet) ChargeSettings() *charge.Settings {
	l, c := &o.Limits, &o.Charge
	return &charge.Settings{
		EmptyWatts: c.EmptyWatts, StandbyWatts: c.StandbyWatts, IdleWatts: c.IdleWatts,
		KneeShare: c.KneeShare, Settle: c.Settle,
		MaxGap: min(max(o.Session.MaxGap, charge.MinGap), charge.MaxGap),
		Full: charge.Full{
			JudgeWatts: c.Full.JudgeWatts, Watts: c.Full.Watts, After: c.Full.After, ChangeWatts: c.Full.ChangeWatts,
			Share: c.Full.Share, ShareAfter: c.Full.ShareAfter, IdleAfter: c.Full.IdleAfter,
		},
		TooLong: charge.TooLong{Rule: l.ChargeTooLong.protect(), Limit: l.ChargeTooLong.Limit},
		FloatTooHigh: charge.FloatTooHigh{
			Rule:       l.FloatTooHigh.protect(),
			LimitWatts: l.FloatTooHigh.LimitWatts, LimitShare: l.FloatTooHigh.LimitShare,
			FallShare: l.FloatTooHigh.FallShare, After: l.FloatTooHigh.After,
		},
		Unstable: charge.Unstable{
			Rule:          l.PowerUnstable.protect(),
			LateRiseShare: l.PowerUnstable.LateRiseShare, RiseShare: l.PowerUnstable.RiseShare, StepShare: l.PowerUnstable.StepShare,
			SwingShare: l.PowerUnstable.SwingShare, Swings: l.PowerUnstable.Swings, Window: l.PowerUnstable.Window,
		},
		Envelope: charge.Envelope{Rule: l.ChargeUnusual.protect(), Charges: l.ChargeUnusual.Charges, Factor: l.ChargeUnusual.Factor},
		Frozen:   charge.Frozen{Rule: l.ReadingFrozen.protect(), Limit: l.ReadingFrozen.Limit},
	}
}

// rules checks what the ranges of single values cannot say, by asking the
// packages that will use them, once every value is in its range.
func (c *checker) rules(at string, o *Outlet) {
	clean := func(prefix string) bool {
		return !slices.ContainsFunc(c.found, func(f *Fault) bool {
			return strings.HasPrefix(f.Path, prefix) || f.Path == at+".profile" || f.Path == at+".battery" || f.Path == at+".rating_amps"
		})
	}
	if clean(at + ".limits") {
		c.report(at+".limits.", o.ProtectLimits().Validate())
	}
	if clean(at + ".session") {
		c.report(at+".session.", o.SessionSettings().Validate())
	}
	if clean(at+".limits") && clean(at+".charge") && clean(at+".session") {
		c.curve(at, o)
	}
}

// curve checks how charges are judged. The rules of the curve stand among the
// limits.
func (c *checker) curve(at string, o *Outlet) {
	err := o.ChargeSettings().Validate()
	if err == nil {
		return
	}
	for text := range strings.SplitSeq(err.Error(), "\n") {
		name, _, _ := strings.Cut(text, ".")
		section := at + ".charge."
		if slices.Contains(o.Limits.names(), name) {
			section = at + ".limits."
		}
		c.report(section, errors.New(text))
	}
}

// report turns the errors of a package that will use some values into faults.
func (c *checker) report(prefix string, err error) {
	if err == nil {
		return
	}
	for text := range strings.SplitSeq(err.Error(), "\n") {
		path, rest, _ := strings.Cut(text, ": ")
		value, want, ok := strings.Cut(rest, ": want ")
		if !ok {
			value, want = rest, "settings that fit together"
		}
		c.fault(prefix+path, value, want)
	}
}

// named is a rule and its key.
type named struct {
	name string
	rule *Rule
}

func (l *Limits) rules() []named {
	return []named{
		{"short_circuit", &l.ShortCircuit.Rule},
		{"overcurrent", &l.Overcurrent.Rule},
		{"overpower", &l.Overpower.Rule},
		{"overvoltage", &l.Overvoltage.Rule},
		{"undervoltage", &l.Undervoltage.Rule},
		{"residual_current", &l.ResidualCurrent.Rule},
		{"over_temperature", &l.OverTemperature.Rule},
		{"temperature_rise", &l.TemperatureRise.Rule},
		{"meter_implausible", &l.MeterImplausible.Rule},
		{"meter_stale", &l.MeterStale.Rule},
		{"relay_welded", &l.RelayWelded.Rule},
		{"charge_too_long", &l.ChargeTooLong.Rule},
		{"float_too_high", &l.FloatTooHigh.Rule},
		{"power_unstable", &l.PowerUnstable.Rule},
		{"charge_unusual", &l.ChargeUnusual.Rule},
		{"reading_frozen", &l.ReadingFrozen.Rule},
	}
}

// names are the keys of the rules.
func (l *Limits) names() []string {
	var all []string
	for _, r := range l.rules() {
		all = append(all, r.name)
	}
	return all
}

// notes are the rules that are switched off or only watch, each with the word
// for it.
func (l *Limits) notes() []string {
	var notes []string
	for _, r := range l.rules() {
		switch {
		case !r.rule.Enabled && r.name == "residual_current": // most meters cannot
		case r.name == "temperature_rise" && !l.OverTemperature.Enabled: // said once
		case !r.rule.Enabled:
			notes = append(notes, r.name+": disabled")
		case r.name == "charge_too_long", r.name == "charge_unusual": // shipped so
		case r.rule.Action == protect.ActReport:
			notes = append(notes, r.name+": only reports")
		}
	}
	return notes
}
