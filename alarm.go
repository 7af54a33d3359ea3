package shedguard

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Cause is why an alarm was raised. The words are part of the wire contract.
type Cause string

// The causes.
const (
	CauseOvercurrent      Cause = "overcurrent"
	CauseShortCircuit     Cause = "short_circuit"
	CauseOverpower        Cause = "overpower"
	CauseShedOverload     Cause = "shed_overload"
	CauseOvervoltage      Cause = "overvoltage"
	CauseUndervoltage     Cause = "undervoltage"
	CauseResidualCurrent  Cause = "residual_current"
	CauseOverTemperature  Cause = "over_temperature"
	CauseTemperatureRise  Cause = "temperature_rise"
	CauseSmokeContact     Cause = "smoke_contact"
	CauseSmokeSeen        Cause = "smoke_seen"
	CauseFlameSeen        Cause = "flame_seen"
	CauseFire             Cause = "fire"
	CauseRelayWelded      Cause = "relay_welded"
	CauseRelayFailed      Cause = "relay_failed"
	CauseMeterStale       Cause = "meter_stale"
	CauseMeterImplausible Cause = "meter_implausible"
	CauseBusFault         Cause = "bus_fault"
	CauseChargeTooLong    Cause = "charge_too_long"
	CauseFloatTooHigh     Cause = "float_too_high"
	CausePowerUnstable    Cause = "power_unstable"
	CauseCameraLost       Cause = "camera_lost"
	CauseCameraBlind      Cause = "camera_blind"
	CauseGatewayOffline   Cause = "gateway_offline"
	CauseGatewaySilent    Cause = "gateway_silent"
	CauseStorageLow       Cause = "storage_low"
	CauseRecordsDropped   Cause = "records_dropped"
	CauseClockUnsynced    Cause = "clock_unsynced"
	CauseConfigRefused    Cause = "config_refused"
	CauseStateLost        Cause = "state_lost"
	CauseDoorOpen         Cause = "door_open"
)

// Causes lists every cause of this version in the order of the contract.
func Causes() []Cause {
	return []Cause{
		CauseOvercurrent, CauseShortCircuit, CauseOverpower, CauseShedOverload, CauseOvervoltage,
		CauseUndervoltage, CauseResidualCurrent, CauseOverTemperature, CauseTemperatureRise,
		CauseSmokeContact, CauseSmokeSeen, CauseFlameSeen, CauseFire, CauseRelayWelded,
		CauseRelayFailed, CauseMeterStale, CauseMeterImplausible, CauseBusFault,
		CauseChargeTooLong, CauseFloatTooHigh, CausePowerUnstable, CauseCameraLost,
		CauseCameraBlind, CauseGatewayOffline, CauseGatewaySilent, CauseStorageLow,
		CauseRecordsDropped, CauseClockUnsynced, CauseConfigRefused, CauseStateLost, CauseDoorOpen,
	}
}

// WellFormed reports whether c can be a cause: lower-case words joined by
// underscores, at most 40 bytes. A collector accepts a well-formed cause that
// it does not know, so that a newer gateway's alarm is shown and not refused.
func (c Cause) WellFormed() bool {
	if c == "" || len(c) > 40 || c[0] == '_' || c[len(c)-1] == '_' {
		return false
	}
	for i := range len(c) {
		if (c[i] < 'a' || c[i] > 'z') && c[i] != '_' {
			return false
		}
	}
	return true
}

// Severity is the perceived severity of ITU-T X.733, most urgent first.
type Severity uint8

// The severities. Their numbers are the alarm levels 1 (highest) to 4 that
// Chinese platforms use; Cleared has no level.
const (
	SeverityCleared  Severity = 0
	SeverityCritical Severity = 1
	SeverityMajor    Severity = 2
	SeverityMinor    Severity = 3
	SeverityWarning  Severity = 4
)

// Severities lists the severities from critical to warning, then cleared.
func Severities() []Severity {
	return []Severity{SeverityCritical, SeverityMajor, SeverityMinor, SeverityWarning, SeverityCleared}
}

func (s Severity) String() string {
	switch s {
	case SeverityCleared:
		return "cleared"
	case SeverityCritical:
		return "critical"
	case SeverityMajor:
		return "major"
	case SeverityMinor:
		return "minor"
	case SeverityWarning:
		return "warning"
	default:
		return fmt.Sprintf("severity(%d)", uint8(s))
	}
}

// MarshalText writes the severity's word.
func (s Severity) MarshalText() ([]byte, error) {
	if s > SeverityWarning {
		return nil, fmt.Errorf("severity %d: want 0 to %d", uint8(s), uint8(SeverityWarning))
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads the severity's word.
func (s *Severity) UnmarshalText(b []byte) error {
	for _, known := range Severities() {
		if known.String() == string(b) {
			*s = known
			return nil
		}
	}
	return fmt.Errorf("severity %q: want one of %v", b, Severities())
}

// Grade says how sure the gateway is of a fire. The empty grade is for alarms
// that are not about fire.
type Grade string

// The fire grades, least sure first.
const (
	GradeNone     Grade = ""
	GradeNotice   Grade = "notice"
	GradePreAlarm Grade = "pre_alarm"
	GradeAlarm    Grade = "alarm"
	GradeFire     Grade = "fire"
)

// Grades lists every grade.
func Grades() []Grade {
	return []Grade{GradeNone, GradeNotice, GradePreAlarm, GradeAlarm, GradeFire}
}

// Action is what the gateway did by itself about an alarm.
type Action string

// The actions, mildest first.
const (
	ActionNone         Action = "none"
	ActionRefusedStart Action = "refused_start"
	ActionSuspended    Action = "suspended"
	ActionTripped      Action = "tripped"
	ActionCutZone      Action = "cut_zone"
	ActionCutShed      Action = "cut_shed"
	ActionSiren        Action = "siren"
)

// Actions lists every action.
func Actions() []Action {
	return []Action{
		ActionNone, ActionRefusedStart, ActionSuspended, ActionTripped,
		ActionCutZone, ActionCutShed, ActionSiren,
	}
}

// Text is a sentence in the two languages that every alarm speaks.
type Text struct {
	ZH string `json:"zh"`
	EN string `json:"en"`
}

// ClockQuality says how far a gateway's wall clock can be trusted.
type ClockQuality string

// The clock qualities.
const (
	ClockSynced   ClockQuality = "synced"   // disciplined by a time source
	ClockHoldover ClockQuality = "holdover" // was synced in this boot, runs free now
	ClockUnsynced ClockQuality = "unsynced" // never set in this boot
)

// ClockQualities lists every clock quality.
func ClockQualities() []ClockQuality {
	return []ClockQuality{ClockSynced, ClockHoldover, ClockUnsynced}
}

// Stamp places an event in the life of one boot of a gateway, whatever its
// wall clock says.
type Stamp struct {
	Clock  ClockQuality `json:"clock"`
	MonoMS int64        `json:"mono_ms"` // milliseconds since the gateway started
	BootID string       `json:"boot_id"` // a ULID, one a start
	Seq    uint64       `json:"seq"`     // grows by one per event of a boot, from 1
}

// Alarm is one fault, from the moment it is first seen until it is cleared.
// It is the data of the four alarm events.
type Alarm struct {
	ID       string    `json:"alarm_id"` // a ULID: identity, never order
	Cause    Cause     `json:"cause"`
	Detail   Detail    `json:"detail,omitempty"` // what of the cause was seen
	Severity Severity  `json:"severity"`
	Level    int       `json:"level"` // 1 to 4, from Severity; 0 when cleared
	Grade    Grade     `json:"grade,omitempty"`
	RaisedAt time.Time `json:"raised_at"` // the sample on which the rule decided
	Since    time.Time `json:"since"`     // when the condition began
	Value    float64   `json:"value"`
	Limit    float64   `json:"limit"`
	Unit     string    `json:"unit"`
	Action   Action    `json:"action"`
	Latched  bool      `json:"latched"` // stays until a person resets it
	Evidence []string  `json:"evidence"`
	Text     Text      `json:"text"`
	By       string    `json:"by,omitempty"` // who acknowledged or reset
	// Flaps is how often it came within a short time, once that was too often
	// to be told each time: it stays open until it has been quiet for long.
	Flaps int `json:"flaps,omitempty"`
	// Covers are the subjects whose own alarms this one stands for, as the
	// outlets of a bus that is at fault.
	Covers []string `json:"covers,omitempty"`
	// CoveredBy is, in a cleared one, the alarm that stands for it now.
	CoveredBy string `json:"covered_by,omitempty"`
	Stamp
}

// Validate reports what is wrong with the alarm, every fault at once.
func (a *Alarm) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(ValidID(a.ID), "alarm_id: %q: want a ULID", a.ID)
	check(a.Cause.WellFormed(), "cause: %q: want lower-case words joined by underscores", a.Cause)
	check(a.Severity <= SeverityWarning, "severity: %d: want one of %v", a.Severity, Severities())
	check(a.Level == int(a.Severity), "level: %d: want %d for severity %s", a.Level, a.Severity, a.Severity)
	check(slices.Contains(Grades(), a.Grade), "grade: %q: want one of %q", a.Grade, Grades())
	check(slices.Contains(Actions(), a.Action), "action: %q: want one of %q", a.Action, Actions())
	check(slices.Contains(ClockQualities(), a.Clock), "clock: %q: want one of %q", a.Clock, ClockQualities())
	check(ValidID(a.BootID), "boot_id: %q: want a ULID", a.BootID)
	check(!a.RaisedAt.IsZero(), "raised_at: required")
	check(finite(a.Value), "value: %g: want a finite number", a.Value)
	check(finite(a.Limit), "limit: %g: want a finite number", a.Limit)
	return errors.Join(errs...)
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// ValidID reports whether s is a ULID in its canonical form: 26 characters of
// Crockford's base 32 in upper case, the first at most 7.
func ValidID(s string) bool {
	if len(s) != 26 || s[0] > '7' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
		case c >= 'A' && c <= 'Z' && c != 'I' && c != 'L' && c != 'O' && c != 'U':
		default:
			return false
		}
	}
	return true
}
