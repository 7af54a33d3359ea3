package protect_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/protect"
)

func TestEveryCauseByItsWord(t *testing.T) {
	t.Parallel()
	want := []shedguard.Cause{ // most urgent first
		"fire", "short_circuit", "residual_current", "relay_welded", "smoke_contact", "flame_seen", "smoke_seen",
		"temperature_rise", "over_temperature", "overcurrent", "overpower", "float_too_high", "power_unstable",
		"charge_too_long", "overvoltage", "undervoltage", "shed_overload", "door_open", "bus_fault", "state_lost",
		"meter_implausible", "meter_stale",
	}
	if diff := cmp.Diff(want, protect.All().List()); diff != "" {
		t.Error(diff)
	}
	if protect.All().Has(shedguard.CauseCameraLost) || protect.All().Has("") {
		t.Error("keeps a cause that it does not know")
	}
}

func TestActionsThatOpen(t *testing.T) {
	t.Parallel()
	for action, opens := range map[shedguard.Action]bool{
		"": false, shedguard.ActionNone: false, shedguard.ActionRefusedStart: false,
		shedguard.ActionSuspended: true, shedguard.ActionTripped: true, shedguard.ActionCutZone: true,
		shedguard.ActionCutShed: true, shedguard.ActionSiren: true,
	} {
		b := newBench(limits(), 0, 0)
		v := b.tell(time.Second, protect.Condition{Cause: shedguard.CauseFire, Severity: shedguard.SeverityCritical, Action: action})
		if v.MustOpen() != opens || v.Opening().Has(shedguard.CauseFire) != opens || v.Latched() != 0 {
			t.Errorf("%q: opens %t, latched %v", action, v.MustOpen(), v.Latched())
		}
	}
}

// TestConditionsOfOneCause: whoever tells of it, and in which order, the
// strongest counts, and the decision is as old as it is.
func TestConditionsOfOneCause(t *testing.T) {
	t.Parallel()
	tell := func(action shedguard.Action, latch bool) protect.Condition {
		return protect.Condition{Cause: shedguard.CauseFire, Severity: shedguard.SeverityCritical, Action: action, Latch: latch}
	}
	report, suspend, cut := tell(shedguard.ActionNone, false), tell(shedguard.ActionSuspended, false), tell(shedguard.ActionCutZone, true)
	tests := map[string]struct {
		steps   [][]protect.Condition
		action  shedguard.Action
		latched bool
		at      int // the step that decided
	}{
		"a report again":            {[][]protect.Condition{{report}, {report}, {report}}, shedguard.ActionNone, false, 0},
		"a suspension again":        {[][]protect.Condition{{suspend}, {suspend}}, shedguard.ActionSuspended, false, 0},
		"a latch again":             {[][]protect.Condition{{cut}, {cut}, {cut}}, shedguard.ActionCutZone, true, 0},
		"a report, then a latch":    {[][]protect.Condition{{report}, {cut}}, shedguard.ActionCutZone, true, 1},
		"open, then a latch":        {[][]protect.Condition{{suspend}, {cut}, {cut}}, shedguard.ActionCutZone, true, 1},
		"open and a latch at once":  {[][]protect.Condition{{suspend, cut}}, shedguard.ActionCutZone, true, 0},
		"a latch and open at once":  {[][]protect.Condition{{cut, suspend}}, shedguard.ActionCutZone, true, 0},
		"a latch, then a report":    {[][]protect.Condition{{cut}, {report}}, shedguard.ActionCutZone, true, 0},
		"a latch, then open":        {[][]protect.Condition{{cut}, {suspend}}, shedguard.ActionCutZone, true, 0},
		"a report and open at once": {[][]protect.Condition{{report, suspend}}, shedguard.ActionSuspended, false, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(limits(), 0, 0)
			var at []time.Time
			var v protect.Verdict
			for _, step := range tt.steps {
				v = b.tell(time.Second, step...)
				at = append(at, b.now)
			}
			d := v.Decisions()
			if len(d) != 1 || d[0].Action != tt.action || d[0].Latched != tt.latched || !d[0].At.Equal(at[tt.at]) {
				t.Errorf("%+v, want %s, latched %t, at %v", d, tt.action, tt.latched, at[tt.at])
			}
			if acts := tt.action != shedguard.ActionNone; v.MustOpen() != acts || v.Suspends() != (acts && !tt.latched) {
				t.Errorf("opens %t, suspends %t", v.MustOpen(), v.Suspends())
			}
		})
	}
}

func TestConditionsOfEarlierBoots(t *testing.T) {
	t.Parallel()
	for latch, want := range map[bool]shedguard.Action{true: shedguard.ActionCutZone, false: shedguard.ActionTripped} {
		b := newBench(limits(), 0, protect.NewCauses(shedguard.CauseFire))
		v := b.tell(time.Second, protect.Condition{Cause: shedguard.CauseFire, Severity: shedguard.SeverityCritical, Action: shedguard.ActionCutZone, Latch: latch})
		if d := v.Decisions(); len(d) != 1 || d[0].Action != want || !d[0].Latched || !d[0].At.Equal(b.now) {
			t.Errorf("latch %t: %+v", latch, d)
		}
	}
}

// TestOthersDoNotOverrideARule: what a rule of the package has decided keeps its
// value and limit, whatever others say of the same cause.
func TestOthersDoNotOverrideARule(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	b.in.Conditions = []protect.Condition{{Cause: shedguard.CauseShortCircuit, Severity: shedguard.SeverityWarning, Value: 1, Limit: 2, Unit: "W"}}
	var v protect.Verdict
	for range 5 {
		v = b.sample(100*time.Millisecond, 40)
	}
	d, ok := v.Why()
	if !ok || d.Cause != shedguard.CauseShortCircuit || d.Value != 40 || d.Limit != 30 || d.Unit != "A" || d.Severity != shedguard.SeverityCritical || !d.Latched {
		t.Errorf("%+v", d)
	}
}

func TestSeverityOfConditions(t *testing.T) {
	t.Parallel()
	for given, want := range map[shedguard.Severity]shedguard.Severity{
		shedguard.SeverityCleared: shedguard.SeverityMajor, shedguard.SeverityCritical: shedguard.SeverityCritical,
		shedguard.SeverityWarning: shedguard.SeverityWarning, shedguard.SeverityWarning + 1: shedguard.SeverityMajor,
	} {
		b := newBench(limits(), 0, 0)
		v := b.tell(time.Second, protect.Condition{Cause: shedguard.CauseFire, Severity: given})
		if got := v.Decisions()[0].Severity; got != want {
			t.Errorf("%v: %v, want %v", given, got, want)
		}
	}
}

// rules are the rules of limits by the names that their faults have.
func rules(l *protect.Limits) map[string]*protect.Rule {
	return map[string]*protect.Rule{
		"short_circuit":     &l.ShortCircuit.Rule,
		"overcurrent":       &l.Overcurrent.Rule,
		"overpower":         &l.Overpower.Rule,
		"overvoltage":       &l.Overvoltage.Rule,
		"undervoltage":      &l.Undervoltage.Rule,
		"residual_current":  &l.ResidualCurrent.Rule,
		"over_temperature":  &l.OverTemperature.Rule,
		"temperature_rise":  &l.TemperatureRise.Rule,
		"meter_implausible": &l.MeterImplausible.Rule,
		"meter_stale":       &l.MeterStale.Rule,
		"relay_welded":      &l.RelayWelded.Rule,
	}
}

func TestValidateRules(t *testing.T) {
	t.Parallel()
	suspends := map[string]bool{ // may do so
		"overvoltage": true, "undervoltage": true, "over_temperature": true, "temperature_rise": true, "meter_implausible": true, "meter_stale": true,
	}
	for name := range rules(limits()) {
		for severity, good := range map[shedguard.Severity]bool{
			shedguard.SeverityCleared: false, shedguard.SeverityCritical: true, shedguard.SeverityWarning: true, shedguard.SeverityWarning + 1: false,
		} {
			l := limits()
			rules(l)[name].Severity = severity
			oneFault(t, l, good, name+".severity: ")
		}
		for act, good := range map[protect.Act]bool{
			protect.ActTrip: true, protect.ActReport: name != "meter_stale", protect.ActSuspend: suspends[name], "": false,
		} {
			l := limits()
			rules(l)[name].Act = act
			oneFault(t, l, good, name+".action: ")
			rules(l)[name].Enabled = false
			oneFault(t, l, true, "")
		}
	}
}

// oneFault wants no fault, or one with the prefix.
func oneFault(t *testing.T, l *protect.Limits, good bool, prefix string) {
	t.Helper()
	err := l.Validate()
	if good != (err == nil) {
		t.Errorf("%s%v, want good: %t", prefix, err, good)
	} else if !good && (!strings.HasPrefix(err.Error(), prefix) || strings.Contains(err.Error(), "\n")) {
		t.Errorf("%v, want one fault, of %s", err, prefix)
	}
}

// TestValidateRanges tries both ends of every range, and what is just beyond.
func TestValidateRanges(t *testing.T) {
	t.Parallel()
	type set func(*protect.Limits, float64)
	number := func(of func(*protect.Limits) *float64) set {
		return func(l *protect.Limits, v float64) { *of(l) = v }
	}
	span := func(of func(*protect.Limits) *time.Duration) set {
		return func(l *protect.Limits, v float64) { *of(l) = time.Duration(v) }
	}
	const ms, s, m, h = float64(time.Millisecond), float64(time.Second), float64(time.Minute), float64(time.Hour)
	tests := map[string]struct {
		set       set
		low, high float64
		beyond    float64
	}{
		"rating_amps":                       {number(func(l *protect.Limits) *float64 { return &l.RatingAmps }), 0.5, 63, 1e-6},
		"short_circuit.times_rating":        {number(func(l *protect.Limits) *float64 { return &l.ShortCircuit.TimesRating }), 2, 10, 1e-6},
		"short_circuit.span":                {span(func(l *protect.Limits) *time.Duration { return &l.ShortCircuit.Span }), 100 * ms, 3 * s, 1},
		"overcurrent.pick_up":               {number(func(l *protect.Limits) *float64 { return &l.Overcurrent.PickUp }), 1, 1.45, 1e-6},
		"overcurrent.heating":               {span(func(l *protect.Limits) *time.Duration { return &l.Overcurrent.Heating }), 5 * s, h, 1},
		"overcurrent.cooling":               {span(func(l *protect.Limits) *time.Duration { return &l.Overcurrent.Cooling }), 2 * m, 4 * h, 1}, // not below heating
		"overcurrent.reset_heat":            {number(func(l *protect.Limits) *float64 { return &l.Overcurrent.ResetHeat }), 0.5, 0.999, 1e-6},
		"overpower.limit_watts":             {number(func(l *protect.Limits) *float64 { return &l.Overpower.LimitWatts }), 10, 20000, 1e-2},
		"overpower.delay":                   {span(func(l *protect.Limits) *time.Duration { return &l.Overpower.Delay }), 0, m, 1},
		"over_temperature.limit_celsius":    {number(func(l *protect.Limits) *float64 { return &l.OverTemperature.LimitCelsius }), 60, 120, 1e-6}, // not below the reset
		"over_temperature.reset_celsius":    {number(func(l *protect.Limits) *float64 { return &l.OverTemperature.ResetCelsius }), 20, 65, 1e-6},
		"over_temperature.delay":            {span(func(l *protect.Limits) *time.Duration { return &l.OverTemperature.Delay }), 0, m, 1},
		"over_temperature.stale":            {span(func(l *protect.Limits) *time.Duration { return &l.OverTemperature.Stale }), s, m, 1},
		"overvoltage.limit_volts":           {number(func(l *protect.Limits) *float64 { return &l.Overvoltage.LimitVolts }), 250, 300, 1e-6}, // not below the reset
		"overvoltage.delay":                 {span(func(l *protect.Limits) *time.Duration { return &l.Overvoltage.Delay }), 0, m, 1},
		"undervoltage.limit_volts":          {number(func(l *protect.Limits) *float64 { return &l.Undervoltage.LimitVolts }), 8, 187, 1e-6}, // not above the reset
		"undervoltage.delay":                {span(func(l *protect.Limits) *time.Duration { return &l.Undervoltage.Delay }), 100 * ms, m, 1},
		"residual_current.limit_amps":       {number(func(l *protect.Limits) *float64 { return &l.ResidualCurrent.LimitAmps }), 0.006, 1, 1e-6},
		"residual_current.delay":            {span(func(l *protect.Limits) *time.Duration { return &l.ResidualCurrent.Delay }), 0, 10 * s, 1},
		"temperature_rise.limit_per_minute": {number(func(l *protect.Limits) *float64 { return &l.TemperatureRise.LimitPerMinute }), 1, 100, 1e-6},
		"temperature_rise.window":           {span(func(l *protect.Limits) *time.Duration { return &l.TemperatureRise.Window }), 10 * s, 10 * m, 1},
		"meter_implausible.tolerance":       {number(func(l *protect.Limits) *float64 { return &l.MeterImplausible.Tolerance }), 0.02, 0.5, 1e-6},
		"meter_implausible.least_factor":    {number(func(l *protect.Limits) *float64 { return &l.MeterImplausible.LeastFactor }), 0, 0.5, 1e-6},
		"meter_implausible.floor_amps":      {number(func(l *protect.Limits) *float64 { return &l.MeterImplausible.FloorAmps }), 0.05, 10, 1e-6},
		"meter_implausible.delay":           {span(func(l *protect.Limits) *time.Duration { return &l.MeterImplausible.Delay }), 500 * ms, 10 * s, 1},
		"meter_stale.limit":                 {span(func(l *protect.Limits) *time.Duration { return &l.MeterStale.Limit }), 500 * ms, 10 * s, 1},
		"relay_welded.limit_amps":           {number(func(l *protect.Limits) *float64 { return &l.RelayWelded.LimitAmps }), 0.02, 5, 1e-6},
		"relay_welded.delay":                {span(func(l *protect.Limits) *time.Duration { return &l.RelayWelded.Delay }), 100 * ms, 10 * s, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for v, good := range map[float64]bool{tt.low: true, tt.high: true, tt.low - tt.beyond: false, tt.high + tt.beyond: false} {
				l := limits()
				if name == "overcurrent.heating" {
					l.Overcurrent.Cooling = 4 * time.Hour
				}
				tt.set(l, v)
				prefix := name + ": "
				switch { // it is the other one that may not be beyond it
				case name == "over_temperature.limit_celsius" && v < tt.low:
					prefix = "over_temperature.reset_celsius: "
				case name == "overvoltage.limit_volts" && v < tt.low:
					prefix = "overvoltage.reset_volts: "
				case name == "undervoltage.limit_volts" && v > tt.high:
					prefix = "undervoltage.reset_volts: "
				}
				oneFault(t, l, good, prefix)
			}
			if tt.beyond < 1 {
				l := limits()
				tt.set(l, math.NaN())
				if err := l.Validate(); err == nil || !strings.Contains(err.Error(), name+": NaN") {
					t.Errorf("NaN: %v", err)
				}
			}
		})
	}
	l := limits()
	l.Overcurrent.Heating, l.Overcurrent.Cooling = 5*time.Second, 5*time.Second
	oneFault(t, l, true, "")
	l.Overcurrent.Heating, l.Overcurrent.Cooling = time.Second, 2*time.Second
	if err := l.Validate(); err == nil || !strings.Contains(err.Error(), "overcurrent.cooling: 2s: want 5s to 4h0m0s") {
		t.Errorf("%v", err)
	}
}

// TestSeverityOfARestoredLatch: it is that of the rule as it is now.
func TestSeverityOfARestoredLatch(t *testing.T) {
	t.Parallel()
	for name := range rules(limits()) {
		if name == "meter_stale" { // only where it is set to trip
			continue
		}
		l := limits()
		rules(l)[name].Severity = shedguard.SeverityMinor
		b := newBench(l, 0, protect.NewCauses(shedguard.Cause(name)))
		v := b.sample(time.Second, 0)
		if d := v.Decisions(); len(d) != 1 || d[0].Severity != shedguard.SeverityMinor {
			t.Errorf("%s: %+v", name, d)
		}
	}
	for _, on := range []bool{true, false} { // of the meter, and of the thermometer where that is all there is
		l := limits()
		l.MeterStale.Enabled, l.MeterStale.Severity, l.OverTemperature.Severity = on, shedguard.SeverityMinor, shedguard.SeverityWarning
		want := shedguard.SeverityMinor
		if !on {
			want = shedguard.SeverityWarning
		}
		b := newBench(l, 0, protect.NewCauses(shedguard.CauseMeterStale))
		v := b.sample(time.Second, 0)
		if d := v.Decisions(); len(d) != 1 || d[0].Severity != want {
			t.Errorf("meter_stale, on: %t: %+v", on, d)
		}
	}
	// A latch without a rule is major, and so is one of which nothing is known yet.
	b := newBench(limits(), 0, protect.NewCauses(shedguard.CauseFire))
	v := b.sample(time.Second, 0)
	if d := v.Decisions(); len(d) != 1 || d[0].Severity != shedguard.SeverityMajor {
		t.Errorf("fire: %+v", d)
	}
}

// TestSilentThermometer: it is told of as a silent meter, with the severity of
// its own rule while the meter's is off, and it never latches then.
func TestSilentThermometer(t *testing.T) {
	t.Parallel()
	for _, on := range []bool{true, false} {
		l := limits()
		l.MeterStale.Enabled, l.MeterStale.Severity, l.MeterStale.Act = on, shedguard.SeverityMinor, protect.ActTrip
		l.OverTemperature.Severity = shedguard.SeverityCritical
		b := newBench(l, 0, 0)
		b.in.ThermometerPolling = b.now
		var v protect.Verdict
		for range 11 { // the meter answers all the time
			v = b.sample(time.Second, 0)
		}
		d, ok := v.Why()
		want := protect.Decision{
			Cause: shedguard.CauseMeterStale, Severity: shedguard.SeverityMinor, Action: shedguard.ActionTripped, Latched: true,
			Value: 11, Limit: 10, Unit: "s", Since: start(), At: b.now, Standing: true,
		}
		if !on {
			want.Severity, want.Action, want.Latched = shedguard.SeverityCritical, shedguard.ActionSuspended, false
		}
		if diff := cmp.Diff(want, d); diff != "" || !ok {
			t.Errorf("meter_stale on: %t: %s", on, diff)
		}
	}
}

// TestSoundsForASiren: for that action only, and only while something acts.
func TestSoundsForASiren(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		list []protect.Condition
		want bool
	}{
		"nothing": {nil, false},
		"cut":     {[]protect.Condition{{Cause: shedguard.CauseFire, Action: shedguard.ActionCutZone}}, false},
		"opened":  {[]protect.Condition{{Cause: shedguard.CauseFire, Action: shedguard.ActionSuspended}}, false},
		"told":    {[]protect.Condition{{Cause: shedguard.CauseFire}}, false},
		"siren":   {[]protect.Condition{{Cause: shedguard.CauseOverpower, Action: shedguard.ActionTripped}, {Cause: shedguard.CauseMeterStale, Action: shedguard.ActionSiren}}, true},
	} {
		b := newBench(limits(), 0, 0)
		v := b.tell(time.Second, tt.list...)
		if v.Sounds() != tt.want {
			t.Errorf("%s: sounds %t", name, v.Sounds())
		}
		if d, ok := v.Why(); ok != v.MustOpen() || ok != (d.Cause != "") {
			t.Errorf("%s: opens %t, why %q %t", name, v.MustOpen(), d.Cause, ok)
		}
	}
}

func TestSilenceCountsFromTheFirstPoll(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		polling time.Duration // before the first call; 0: not said
		want    time.Duration // from the first call to the opening, in steps of 100 ms
	}{
		"not said":       {0, 3100 * time.Millisecond},
		"a second ago":   {time.Second, 2100 * time.Millisecond},
		"in an hour":     {-time.Hour, 3100 * time.Millisecond},
		"for an age now": {time.Hour, 0},
	} {
		b := newBench(limits(), 0, 0)
		b.in.Polling = time.Time{}
		if tt.polling != 0 {
			b.in.Polling = b.now.Add(-tt.polling)
		}
		v := b.wait(0)
		for !v.MustOpen() && b.now.Sub(start()) < 10*time.Second {
			v = b.wait(100 * time.Millisecond)
		}
		if got := b.now.Sub(start()); got != tt.want {
			t.Errorf("%s: opens after %v, want %v", name, got, tt.want)
		}
	}
}

func TestHeatIsUnknownWithoutItsRule(t *testing.T) {
	t.Parallel()
	l := limits()
	l.Overcurrent.Enabled = false
	b := newBench(l, protect.UnknownHeat, 0)
	b.sample(time.Second, 50)
	if got := b.state.Heat(); got != protect.UnknownHeat {
		t.Errorf("heat %g", got)
	}
}

func TestLimitOfARestoredLatch(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, protect.NewCauses(shedguard.CauseOverpower))
	v := b.sample(time.Second, 0)
	if d := v.Decisions(); len(d) != 1 || d[0].Limit != 2200 || d[0].Unit != "W" {
		t.Errorf("%+v", d)
	}
}

// TestResetWaitsForTheThermometer: a latch for temperature is not cleared while
// nobody has said how warm it is, and any other one is.
func TestResetWaitsForTheThermometer(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		latched      shedguard.Cause
		polled, read bool
		granted      bool
	}{
		"not read yet":            {shedguard.CauseOverTemperature, true, false, false},
		"read":                    {shedguard.CauseOverTemperature, true, true, true},
		"its rise not read yet":   {shedguard.CauseTemperatureRise, true, false, false},
		"its rise read":           {shedguard.CauseTemperatureRise, true, true, true},
		"there is none":           {shedguard.CauseOverTemperature, false, false, true},
		"latched for something":   {shedguard.CauseOverpower, true, false, true},
		"read, and for something": {shedguard.CauseOverpower, true, true, true},
	}
	for name, tt := range tests {
		b := newBench(limits(), 0, protect.NewCauses(tt.latched))
		if tt.polled {
			b.in.ThermometerPolling = b.now
		}
		if tt.read {
			b.in.Celsius, b.in.CelsiusAt = 20, b.now
		}
		b.sample(time.Second, 0)
		if err := b.limits.Reset(&b.state, &b.in, b.now); (err == nil) != tt.granted {
			t.Errorf("%s: %v, want it granted: %t", name, err, tt.granted)
		}
	}
}

func TestResetStartsDelaysAnew(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, protect.NewCauses(shedguard.CauseOverpower))
	b.in.Closed = false
	b.sample(100*time.Millisecond, 0)
	b.sample(100*time.Millisecond, 0.3) // through an open relay
	b.sample(300*time.Millisecond, 0.3)
	if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
		t.Fatal(err)
	}
	for i := range 6 { // the first of them begins the 500 ms
		v := b.sample(100*time.Millisecond, 0.3)
		if v.Latched().Has(shedguard.CauseRelayWelded) != (i == 5) {
			t.Errorf("%d ms after the first sample: %v", 100*i, v.Latched())
		}
	}
}

// TestSuspectReadingsCount: a glitch filter must never hide a short circuit.
func TestSuspectReadingsCount(t *testing.T) {
	t.Parallel()
	for quality, counts := range map[shedguard.Quality]bool{
		shedguard.QualityGood: true, shedguard.QualitySuspect: true, shedguard.QualityStale: false, shedguard.QualityFault: false,
	} {
		b := newBench(limits(), 0, 0)
		var v protect.Verdict
		for range 3 {
			b.now = b.now.Add(100 * time.Millisecond)
			b.in.Reading, b.in.Fresh = reading(b.now, 40), true
			b.in.Reading.Quality = quality
			v = b.step()
		}
		if v.Latched().Has(shedguard.CauseShortCircuit) != counts {
			t.Errorf("%v: %v, want it to count: %t", quality, v.Latched(), counts)
		}
	}
}

// TestLateReadingChangesNothing: one that is older than the last, or of the same
// conversion, is no news.
func TestLateReadingChangesNothing(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, time.Second, time.Hour} {
		b := newBench(limits(), 0, 0)
		b.sample(time.Second, 12)
		b.sample(time.Second, 12)
		before := b.state.Heat()
		b.in.Reading, b.in.Fresh = reading(b.now.Add(-late), 60), true
		v := b.step()
		if b.state.Heat() != before || len(v.Decisions()) != 0 {
			t.Errorf("%v late: heat %g, before %g, %v", late, b.state.Heat(), before, causes(v))
		}
		b.sample(time.Second, 12)
		same := newBench(limits(), 0, 0)
		for range 3 {
			same.sample(time.Second, 12)
		}
		if b.state.Heat() != same.state.Heat() {
			t.Errorf("%v late: heat %g a second later, want %g", late, b.state.Heat(), same.state.Heat())
		}
	}
}

// TestSamplesAsFarApartAsTheyMay: a value is one run of samples while they are no
// further apart than a reading speaks.
func TestSamplesAsFarApartAsTheyMay(t *testing.T) {
	t.Parallel()
	for gap, trips := range map[time.Duration]bool{3 * time.Second: true, 3*time.Second + 1: false} {
		b := newBench(limits(), 0, 0)
		b.sample(0, 10.4)
		b.sample(gap, 10.4)
		v := b.sample(gap, 10.4) // two gaps are more than the delay of 5 s
		if v.Latched().Has(shedguard.CauseOverpower) != trips {
			t.Errorf("%v apart: %v", gap, v.Latched())
		}
	}
}

func TestPowerThatFlowsBackCounts(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	var v protect.Verdict
	for range 8 {
		v = b.sample(time.Second, -10.4)
	}
	d, ok := v.Why()
	if !ok || d.Cause != shedguard.CauseOverpower || d.Value != 10.4*220 {
		t.Errorf("%+v", d)
	}
}

// TestOvercurrentSince: the decision names the largest current and the first
// sample above the pick-up, or its own when there was none.
func TestOvercurrentSince(t *testing.T) {
	t.Parallel()
	b := newBench(overcurrentOnly(), 0.9, 0)
	for range 10 {
		b.sample(time.Second, 10.5) // the pick-up itself
	}
	b.sample(time.Second, 20)
	since := b.now
	var d protect.Decision
	for ok := false; !ok; {
		v := b.sample(time.Second, 20)
		if d, ok = v.Why(); b.now.Sub(since) > time.Minute {
			t.Fatal("no trip")
		}
	}
	if !d.Since.Equal(since) || d.Value != 20 || !d.At.Equal(b.now) {
		t.Errorf("%+v, want it since %v", d, since)
	}

	b = newBench(overcurrentOnly(), 0.999, 0)
	b.sample(time.Second, 20)
	v := b.sample(time.Second, 5)
	if d, ok := v.Why(); !ok || d.Value != 20 || !d.Since.Equal(b.now) {
		t.Errorf("%+v, want the current that warmed it", d)
	}

	b = newBench(overcurrentOnly(), 1, 0) // kept from before
	v = b.sample(time.Second, 1)
	if d, ok := v.Why(); !ok || d.Cause != shedguard.CauseOvercurrent || !d.Since.Equal(b.now) {
		t.Errorf("%+v", d)
	}
}

func TestResetAtTheHeatThatAllowsIt(t *testing.T) {
	t.Parallel()
	for heat, granted := range map[float64]bool{0.97: true, math.Nextafter(0.97, 1): false} {
		b := newBench(limits(), heat, protect.NewCauses(shedguard.CauseOvercurrent))
		b.sample(time.Second, 0)
		if err := b.limits.Reset(&b.state, &b.in, b.now); (err == nil) != granted {
			t.Errorf("heat %g: %v", heat, err)
		}
	}
}

func TestShortCircuitStandsAsLongAsItFlows(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	b.sample(100*time.Millisecond, 40)
	b.sample(100*time.Millisecond, 40)
	v := b.sample(100*time.Millisecond, 60)
	if d, ok := v.Why(); !ok || d.Value != 60 || !d.Standing {
		t.Errorf("while it flows: %+v", d)
	}
	if err := b.limits.Reset(&b.state, &b.in, b.now); err == nil {
		t.Error("reset while it flows")
	}
	v = b.sample(100*time.Millisecond, 0)
	if d, ok := v.Why(); !ok || d.Value != 60 || d.Standing {
		t.Errorf("after it: %+v", d)
	}
	if err := b.limits.Reset(&b.state, &b.in, b.now); err != nil {
		t.Errorf("reset after it: %v", err)
	}
}

// TestWeldIsLookedForAfterTheSwitching: what was converted until then is the
// current of a closed relay.
func TestWeldIsLookedForAfterTheSwitching(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	b.sample(time.Second, 5)
	b.in.Closed, b.in.SwitchedAt = false, b.now.Add(time.Second)
	b.sample(900*time.Millisecond, 0.3)
	b.sample(100*time.Millisecond, 0.3) // the very instant
	began := b.now.Add(100 * time.Millisecond)
	for range 20 {
		v := b.sample(100*time.Millisecond, 0.3)
		if welded := v.Latched().Has(shedguard.CauseRelayWelded); welded != (b.now.Sub(began) >= 500*time.Millisecond) {
			t.Fatalf("%v after the first sample: %v", b.now.Sub(began), v.Latched())
		}
	}
	v := b.step()
	if d, ok := v.Why(); !ok || d.Value != 0.3 || !d.Since.Equal(began) {
		t.Errorf("%+v, want 0.3 A since %v", d, began)
	}
}

// both gives a sample of the thermometer beside one of the meter.
func (b *bench) both(d time.Duration, celsius float64) protect.Verdict {
	b.now = b.now.Add(d)
	b.in.Celsius, b.in.CelsiusAt = celsius, b.now
	b.in.Reading, b.in.Fresh = reading(b.now, 0), true
	return b.step()
}

func TestThermometerToTheSecond(t *testing.T) {
	t.Parallel()
	slow := func() *protect.Limits { // as slow a meter as the thermometer
		l := limits()
		l.MeterStale.Enabled, l.TemperatureRise.Enabled = false, false
		return l
	}
	for gap, trips := range map[time.Duration]bool{5 * time.Second: true, 10 * time.Second: true, 10*time.Second + 1: false} {
		b := newBench(slow(), 0, 0)
		b.both(time.Second, 70)
		v := b.both(gap, 70)
		if v.Latched().Has(shedguard.CauseOverTemperature) != trips {
			t.Errorf("%v apart: %v", gap, v.Latched())
		}
	}
	b := newBench(slow(), 0, 0)
	for _, celsius := range []float64{70, 70, 71, 80, 62} {
		b.both(time.Second, celsius)
	}
	v := b.step()
	if d, ok := v.Why(); !ok || d.Value != 80 || !d.Standing {
		t.Errorf("%+v, want 80 °C, standing above 60 °C", d)
	}
	b = newBench(slow(), 0, 0)
	for range 5 {
		v = b.both(time.Second, math.Inf(1))
	}
	if v.MustOpen() {
		t.Errorf("opened for what is no temperature: %v", v.Opening())
	}
}

func TestThermometerThatIsNotJudged(t *testing.T) {
	t.Parallel()
	l := limits()
	l.OverTemperature.Enabled, l.TemperatureRise.Enabled = false, false
	b := newBench(l, 0, 0)
	b.in.ThermometerPolling = b.now
	var v protect.Verdict
	for range 20 {
		v = b.sample(time.Second, 0) // it never answers
	}
	if v.MustOpen() {
		t.Errorf("silent: %v", v.Opening())
	}
	for range 20 {
		v = b.both(time.Second, 90)
	}
	if v.MustOpen() {
		t.Errorf("hot: %v", v.Opening())
	}
}

func TestTemperatureFromTheFuture(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	b.in.ThermometerPolling, b.in.Celsius, b.in.CelsiusAt = b.now, 25, b.now.Add(time.Hour)
	b.sample(time.Second, 0)
	var v protect.Verdict
	b.in.CelsiusAt = b.now // no news any more
	for range 11 {
		v = b.sample(time.Second, 0)
	}
	if !v.Opening().Has(shedguard.CauseMeterStale) {
		t.Errorf("silent for 11 s: %v", v.Held())
	}
}

func TestSilentMeterOfAHotOutlet(t *testing.T) {
	t.Parallel()
	b := newBench(limits(), 0, 0)
	for range 5 {
		b.both(time.Second, 70)
	}
	var v protect.Verdict
	for range 4 { // the meter is silent, the thermometer is not
		b.now = b.now.Add(time.Second)
		b.in.CelsiusAt = b.now
		v = b.step()
	}
	if !v.Held().Has(shedguard.CauseOverTemperature) || !v.Held().Has(shedguard.CauseMeterStale) {
		t.Errorf("%v", v.Held())
	}
}

// TestLatchOutlivesItsRule: a latch of an earlier boot stays until a reset, though
// its rule only reports or suspends by now and decides again.
func TestLatchOutlivesItsRule(t *testing.T) {
	t.Parallel()
	for _, act := range []protect.Act{protect.ActReport, protect.ActSuspend, protect.ActTrip} {
		l := limits()
		l.OverTemperature.Act = act
		b := newBench(l, 0, protect.NewCauses(shedguard.CauseOverTemperature))
		for range 5 {
			b.both(time.Second, 70)
		}
		for range 5 {
			b.both(time.Second, 20)
		}
		v := b.step()
		d, ok := v.Why()
		if !ok || !v.Latched().Has(shedguard.CauseOverTemperature) || v.Suspends() || !d.Latched || d.Action != shedguard.ActionTripped || d.Standing {
			t.Errorf("%s: %+v, latched %v", act, d, v.Latched())
		}
	}
}
