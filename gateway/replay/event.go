package replay

import (
	"fmt"
	"math"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/recording"
)

// Kind says what an event is about.
type Kind string

// The kinds.
const (
	KindAlarm    Kind = "alarm"    // a fault begins
	KindDecision Kind = "decision" // the outlet is operated, or an alarm is over
	KindPhase    Kind = "phase"    // the session or the recording enters another phase
	KindSession  Kind = "session"  // a session begins or ends
	KindSummary  Kind = "summary"
)

// PhaseGap is the phase of a recording in which nothing is known.
const PhaseGap = "gap"

// Event is what happens at one moment of a recording.
type Event struct {
	TimeS    float64            `json:"time_s"`
	Kind     Kind               `json:"kind"`
	Cause    shedguard.Cause    `json:"cause"`
	Action   shedguard.Action   `json:"action"`
	Severity shedguard.Severity `json:"severity,omitzero"`
	Value    *float64           `json:"value,omitempty"`
	Limit    *float64           `json:"limit,omitempty"`
	Unit     string             `json:"unit,omitempty"`
	Phase    string             `json:"phase,omitempty"`
	Reason   string             `json:"reason,omitempty"` // of a session's end
	EnergyWh *float64           `json:"energy_wh,omitempty"`
	UntilS   *float64           `json:"until_s,omitempty"` // end of a gap
	Text     string             `json:"text"`
}

// Session is one charging session in a recording.
type Session struct {
	BegunS    float64  `json:"begun_s"`
	EndedS    *float64 `json:"ended_s"` // null while it runs at the end
	Phase     string   `json:"phase"`
	Reason    string   `json:"reason,omitempty"`
	EnergyWh  float64  `json:"energy_wh"`
	PeakWatts float64  `json:"peak_watts"`
}

// Summary is what a recording came to. It marshals as the last line.
type Summary struct {
	TimeS        float64                 `json:"time_s"` // of the last sample
	Kind         Kind                    `json:"kind"`
	File         string                  `json:"file"`
	Format       recording.Format        `json:"format"`
	Profile      string                  `json:"profile"`
	Samples      int                     `json:"samples"`
	DurationS    float64                 `json:"duration_s"`
	SamplingS    float64                 `json:"sampling_s"` // usual interval
	Gaps         int                     `json:"gaps"`
	LongestGapS  float64                 `json:"longest_gap_s"`
	JudgedS      float64                 `json:"judged_s"` // of the duration
	JudgedUntilS float64                 `json:"judged_until_s"`
	EnergyWh     float64                 `json:"energy_wh"`
	PeakWatts    float64                 `json:"peak_watts"`
	PeakWattsAtS float64                 `json:"peak_watts_at_s"`
	PeakAmps     float64                 `json:"peak_amps"`
	PeakAmpsAtS  float64                 `json:"peak_amps_at_s"`
	PeakHeat     float64                 `json:"peak_heat"` // of the thermal image; 1 trips
	Alarms       map[shedguard.Cause]int `json:"alarms"`
	Trips        int                     `json:"trips"`
	FirstTripS   *float64                `json:"first_trip_s"` // null: none
	FirstTrip    shedguard.Cause         `json:"first_trip,omitempty"`
	Sessions     []Session               `json:"sessions"`
	State        shedguard.OutletState   `json:"state"`   // at the end
	Derived      []string                `json:"derived"` // quantities that were not recorded
	NotJudged    []string                `json:"not_judged"`
	Notes        []string                `json:"notes"`
	Text         string                  `json:"text"`
}

// notJudged lists what this replay says nothing about.
func notJudged(o *Options) []string {
	list := []string{}
	if o.Charge == nil {
		list = append(list, "full_charge")
		for _, c := range judgesCurve() {
			list = append(list, string(c))
		}
	}
	if !o.MeterStale {
		list = append(list, string(shedguard.CauseMeterStale))
	}
	// A recording has no thermometer, no residual current, and no relay that
	// could be looked at.
	return append(list, string(shedguard.CauseOverTemperature), string(shedguard.CauseTemperatureRise),
		string(shedguard.CauseResidualCurrent), string(shedguard.CauseRelayWelded))
}

// places drops the digits that come of adding, and keeps what was recorded.
func places(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// round drops them from the sums.
func (s *Summary) round() {
	for _, v := range [...]*float64{
		&s.TimeS, &s.DurationS, &s.SamplingS, &s.LongestGapS, &s.JudgedS, &s.JudgedUntilS, &s.EnergyWh,
		&s.PeakWatts, &s.PeakWattsAtS, &s.PeakAmps, &s.PeakAmpsAtS, &s.PeakHeat,
	} {
		*v = places(*v)
	}
	for i := range s.Sessions {
		one := &s.Sessions[i]
		one.BegunS, one.EnergyWh, one.PeakWatts = places(one.BegunS), places(one.EnergyWh), places(one.PeakWatts)
	}
}

// sentence sums the summary up for a person.
func (s *Summary) sentence() string {
	text := "Nothing was raised."
	if s.FirstTripS != nil {
		text = fmt.Sprintf("Tripped for %s after %s.", s.FirstTrip.Text().EN, Span(s.FirstTripS, s.TimeS-s.DurationS))
		if s.Trips > 1 {
			text = fmt.Sprintf("Tripped %d times, first for %s after %s.", s.Trips, s.FirstTrip.Text().EN, Span(s.FirstTripS, s.TimeS-s.DurationS))
		}
	} else if len(s.Alarms) > 0 {
		text = "Raised alarms, but did not trip."
	}
	if s.JudgedUntilS < s.TimeS && s.State == shedguard.StateFull {
		text += fmt.Sprintf(" The battery was full and the outlet switched off after %s.", Span(&s.JudgedUntilS, s.TimeS-s.DurationS))
	} else if s.JudgedUntilS < s.TimeS && s.State == shedguard.StateOff {
		text += fmt.Sprintf(" A session's limit switched the outlet off after %s.", Span(&s.JudgedUntilS, s.TimeS-s.DurationS))
	}
	switch n := len(s.Sessions); n {
	case 0:
		return text + " No charging session."
	case 1:
		return text + " One charging session."
	default:
		return text + fmt.Sprintf(" %d charging sessions.", n)
	}
}

// Span is the time from zero to at as a person reads it.
func Span(at *float64, zero float64) string {
	return Round(time.Duration((*at - zero) * float64(time.Second))).String()
}

// Round drops the digits of a duration that say nothing.
func Round(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	default:
		return d.Round(time.Millisecond)
	}
}
