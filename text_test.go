package shedguard_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
)

var updateGolden = flag.Bool("update", false, "rewrite the golden files")

// sample is a typical alarm of a cause, and its subject.
func sample(c shedguard.Cause) (string, *shedguard.Alarm) {
	a := &shedguard.Alarm{Cause: c, Severity: shedguard.SeverityMajor, Action: shedguard.ActionNone}
	set := func(action shedguard.Action, value, limit float64, unit string) {
		a.Action, a.Value, a.Limit, a.Unit = action, value, limit, unit
	}
	subject := "outlet/3"
	switch c {
	case shedguard.CauseOvercurrent:
		set(shedguard.ActionTripped, 25.04, 10.5, "A")
	case shedguard.CauseShortCircuit:
		set(shedguard.ActionTripped, 143.7, 30, "A")
	case shedguard.CauseOverpower:
		set(shedguard.ActionTripped, 2311.6, 2200, "W")
	case shedguard.CauseShedOverload:
		subject = "shed"
		set(shedguard.ActionRefusedStart, 7950, 7800, "W")
	case shedguard.CauseOvervoltage:
		set(shedguard.ActionSuspended, 268, 264, "V")
	case shedguard.CauseUndervoltage:
		set(shedguard.ActionSuspended, 171, 176, "V")
	case shedguard.CauseResidualCurrent:
		set(shedguard.ActionTripped, 34, 30, "mA")
	case shedguard.CauseOverTemperature:
		set(shedguard.ActionTripped, 71.25, 65, "°C")
	case shedguard.CauseTemperatureRise:
		set(shedguard.ActionTripped, 21.875, 20, "°C/min")
	case shedguard.CauseSmokeContact:
		subject = "zone/bay-1"
		set(shedguard.ActionCutZone, 0, 0, "")
	case shedguard.CauseFire:
		subject = "zone/bay-1"
		set(shedguard.ActionCutShed, 0, 0, "")
	case shedguard.CauseRelayWelded:
		set(shedguard.ActionSiren, 1.82, 0.2, "A")
	case shedguard.CauseRelayFailed:
		set(shedguard.ActionNone, 2.2, 0, "s")
	case shedguard.CauseMeterStale:
		set(shedguard.ActionSuspended, 3.0512, 3, "s")
	case shedguard.CauseBusFault:
		subject = "bus/main"
		set(shedguard.ActionNone, 1.5, 0, "s")
	case shedguard.CauseSmokeSeen, shedguard.CauseFlameSeen, shedguard.CauseCameraLost, shedguard.CauseCameraBlind:
		subject = "camera/c1"
	case shedguard.CauseStorageLow:
		subject = "gateway"
		set(shedguard.ActionNone, 4, 10, "%")
	case shedguard.CauseRecordsDropped:
		subject = "gateway"
		set(shedguard.ActionNone, 18230, 0, "")
	case shedguard.CauseGatewayOffline, shedguard.CauseGatewaySilent, shedguard.CauseClockUnsynced,
		shedguard.CauseConfigRefused, shedguard.CauseDoorOpen:
		subject = "gateway"
	case shedguard.CauseStateLost:
		set(shedguard.ActionTripped, 0, 0, "")
	case shedguard.CauseMeterImplausible:
		set(shedguard.ActionSuspended, 0, 0, "")
	case shedguard.CauseChargeTooLong:
		set(shedguard.ActionNone, 540, 480, "min")
	case shedguard.CauseFloatTooHigh:
		set(shedguard.ActionNone, 0.82, 0.65, "A")
	case shedguard.CausePowerUnstable:
		set(shedguard.ActionNone, 34.5, 30, "%")
	default:
	}
	return subject, a
}

// TestTexts holds every text in both languages against testdata/texts.golden;
// run with -update after a change, and read what changed aloud.
func TestTexts(t *testing.T) {
	var b strings.Builder
	line := func(kind, word string, text shedguard.Text) {
		fmt.Fprintf(&b, "%s %s\n  zh %s\n  en %s\n", kind, word, text.ZH, text.EN)
	}
	for _, c := range shedguard.Causes() {
		line("cause", string(c), c.Text())
	}
	for _, a := range shedguard.Actions() {
		line("action", string(a), a.Text())
	}
	for _, s := range shedguard.Severities() {
		line("severity", s.String(), s.Text())
	}
	for _, s := range shedguard.OutletStates() {
		line("state", s.String(), s.Text())
	}
	for _, c := range shedguard.Causes() {
		subject, a := sample(c)
		line("alarm", string(c), shedguard.AlarmText(subject, a))
	}
	for _, a := range shedguard.Actions() {
		line("alarm with action", string(a), shedguard.AlarmText("shed", &shedguard.Alarm{
			Cause: shedguard.CauseFire, Severity: shedguard.SeverityCritical, Action: a,
		}))
	}
	for _, c := range shedguard.Causes() {
		if subject, a := sample(c); strings.HasPrefix(subject, "outlet/") {
			a.Action = shedguard.ActionNone
			line("alarm that only reports", string(c), shedguard.AlarmText(subject, a))
		}
	}
	for _, d := range []struct {
		detail       shedguard.Detail
		value, limit float64
	}{
		{shedguard.DetailNoMeasurement, 2.004, 2}, {shedguard.DetailPowerExcess, 1.27, 1.15}, {shedguard.DetailPowerMissing, 0.04, 0.2},
	} {
		line("alarm in detail", string(d.detail), shedguard.AlarmText("outlet/3", &shedguard.Alarm{
			Cause: shedguard.CauseMeterImplausible, Severity: shedguard.SeverityMajor, Action: shedguard.ActionSuspended, Detail: d.detail, Value: d.value, Limit: d.limit,
		}))
	}
	line("cleared", "by a person", shedguard.AlarmText("outlet/3", &shedguard.Alarm{Cause: shedguard.CauseOvercurrent, By: "wang"}))
	line("cleared", "by itself", shedguard.AlarmText("bus/main", &shedguard.Alarm{Cause: shedguard.CauseBusFault}))
	line("unknown", "words", shedguard.AlarmText("boiler/7", &shedguard.Alarm{Cause: "steam_leak", Severity: shedguard.SeverityMinor, Action: "vented", Value: -1234.5, Unit: "Pa"}))

	golden := filepath.Join("testdata", "texts.golden")
	if *updateGolden {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")); diff != "" {
		t.Errorf("texts changed (-want +got):\n%s", diff)
	}
}

// TestTextsAreWhole: no known word is left untranslated, no text is said
// twice, and every alarm ends with what to do.
func TestTextsAreWhole(t *testing.T) {
	seen := map[string]string{}
	check := func(kind, word string, text shedguard.Text) {
		t.Helper()
		if !strings.ContainsFunc(text.ZH, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
			t.Errorf("%s %s: zh %q has no Chinese", kind, word, text.ZH)
		}
		if text.EN == "" || strings.ContainsFunc(text.EN, func(r rune) bool { return unicode.Is(unicode.Han, r) }) || strings.Contains(text.EN, "_") {
			t.Errorf("%s %s: en %q", kind, word, text.EN)
		}
		for _, s := range []string{text.ZH, text.EN} {
			if other, ok := seen[kind+s]; ok {
				t.Errorf("%s: %s and %s are both %q", kind, word, other, s)
			}
			seen[kind+s] = word
		}
	}
	for _, c := range shedguard.Causes() {
		check("cause", string(c), c.Text())
		subject, a := sample(c)
		text := shedguard.AlarmText(subject, a)
		check("alarm", string(c), text)
		if !strings.HasSuffix(text.ZH, "。") || !strings.HasSuffix(text.EN, ".") || strings.Contains(text.EN, "Go and have a look") {
			t.Errorf("%s: no advice of its own: %q", c, text.EN)
		}
		if where := shedguard.SubjectText(subject); !strings.HasPrefix(text.ZH, where.ZH+"：") {
			t.Errorf("%s: %q does not say where", c, text.ZH)
		}
	}
	for _, a := range shedguard.Actions() {
		check("action", string(a), a.Text())
	}
	for _, s := range shedguard.Severities() {
		check("severity", s.String(), s.Text())
	}
	for _, s := range shedguard.OutletStates() {
		check("state", s.String(), s.Text())
	}
}

func TestUnknownWordsStay(t *testing.T) {
	if got := shedguard.Cause("steam_leak").Text(); got != (shedguard.Text{ZH: "steam_leak", EN: "steam_leak"}) {
		t.Errorf("%+v", got)
	}
	if got := shedguard.Severity(9).Text().EN; got != "severity(9)" {
		t.Errorf("%q", got)
	}
	if got := shedguard.SubjectText("outlet/300").EN; got != "outlet/300" { // not an outlet we can have
		t.Errorf("%q", got)
	}
}

func TestAlarmTextOfFlapsAndCovers(t *testing.T) {
	t.Parallel()
	subject, a := sample(shedguard.CauseBusFault)
	a.Flaps, a.Covers = 5, []string{"outlet/10", "outlet/2", "bus/other"}
	got := shedguard.AlarmText(subject, a)
	for _, want := range []string{" No measurements because of it: bus other, outlets 2, 10.", " It came 5 times within a short while"} {
		if !strings.Contains(got.EN, want) {
			t.Errorf("%q, want in it %q", got.EN, want)
		}
	}
	for _, want := range []string{"因此没有测量数据：总线 other、2、10 号插座。", "反复出现 5 次"} {
		if !strings.Contains(got.ZH, want) {
			t.Errorf("%q, want in it %q", got.ZH, want)
		}
	}
	a = &shedguard.Alarm{Cause: shedguard.CauseMeterStale, Severity: shedguard.SeverityCleared, CoveredBy: "01JD0000000000000000000000"}
	if got := shedguard.AlarmText("outlet/3", a); !strings.Contains(got.EN, "it is part of the alarm that causes it") || !strings.Contains(got.ZH, "已并入引起它的另一条报警") {
		t.Errorf("%q", got)
	}
}

// TestDetails holds every detail to a clause in both languages that carries its
// numbers, which a picture has none of, and an alarm to the detail it has.
func TestDetails(t *testing.T) {
	t.Parallel()
	seen := map[string]shedguard.Detail{}
	for _, d := range shedguard.Details() {
		got := d.Text(23, 17)
		if d == shedguard.DetailNone {
			if got != (shedguard.Text{}) {
				t.Errorf("no detail says %q", got.EN)
			}
			continue
		}
		for _, text := range []string{got.ZH, got.EN} {
			numbers := strings.Contains(text, "23") && strings.Contains(text, "17")
			if numbers == strings.HasPrefix(string(d), "picture_") || text == "" || strings.HasSuffix(text, ".") || strings.HasSuffix(text, "。") {
				t.Errorf("%s: %q, want a clause with 23 and 17", d, text)
			}
			if other, ok := seen[text]; ok {
				t.Errorf("%s says the same as %s", d, other)
			}
			seen[text] = d
		}
	}
	if got := shedguard.Detail("of_another_version").Text(1, 2); got != (shedguard.Text{}) {
		t.Errorf("an unknown detail says %q", got.EN)
	}
	a := shedguard.Alarm{Cause: shedguard.CausePowerUnstable, Detail: shedguard.DetailLateRise, Severity: shedguard.SeverityMinor, Value: 18.2, Limit: 10, Unit: "%", Action: shedguard.ActionNone}
	want := shedguard.Text{
		"3 号插座：充电功率不稳：恒压阶段功率上升了 18.2%（限值 10%）。网关没有为此断电。电池或充电器可能异常：请通知车主尽快断开并检查。",
		"Outlet 3: unstable power: power rose by 18.2 % in the constant-voltage phase (limit 10 %). The gateway has not cut the power for it. Battery or charger may be faulty: ask the owner to unplug and check it soon.",
	}
	if got := shedguard.AlarmText("outlet/3", &a); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	a.Detail = "of_another_version"
	if got := shedguard.AlarmText("outlet/3", &a).EN; !strings.HasPrefix(got, "Outlet 3: unstable power (18.2 %, limit 10 %).") {
		t.Errorf("%q, want the numbers", got)
	}
}
