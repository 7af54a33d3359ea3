package shedguard

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// GatewayState is what a gateway's retained status says of it.
type GatewayState string

// The gateway states.
const (
	GatewayOnline  GatewayState = "online"
	GatewayOffline GatewayState = "offline" // the last will
	GatewayStopped GatewayState = "stopped" // ended on purpose
)

// Status is the retained presence of a gateway and its last will. BootID and
// Conn order the messages: an offline older than the last seen pair is from a
// connection that was already replaced.
type Status struct {
	State      GatewayState    `json:"state"`
	Since      time.Time       `json:"since"` // the will's is the connect time
	BootID     string          `json:"boot_id"`
	Conn       uint64          `json:"conn"` // connections of this boot, from 1
	Version    string          `json:"version"`
	ConfigHash string          `json:"config_hash"`
	Clock      ClockQuality    `json:"clock"`
	Outlets    []OutletSummary `json:"outlets,omitempty"`
	Siren      bool            `json:"siren,omitempty"` // a signal is given in which the siren has a part
	// Suppression is nil where none is enabled, in a will, and from a gateway that
	// is older than this member.
	Suppression *Suppression `json:"suppression,omitempty"`
}

// SuppressionPhase is how far the output of a suppression agent is.
type SuppressionPhase string

// The phases.
const (
	SuppressionIdle      SuppressionPhase = "idle"
	SuppressionArmed     SuppressionPhase = "armed"     // the veto window runs
	SuppressionVetoed    SuppressionPhase = "vetoed"    // by a person; until a reset
	SuppressionReleasing SuppressionPhase = "releasing" // the output is on
	SuppressionReleased  SuppressionPhase = "released"  // it was; until a reset
	// SuppressionUnknown is a suppression whose record was lost. It does
	// nothing until a reset: it may have released already.
	SuppressionUnknown SuppressionPhase = "unknown"
)

// SuppressionPhases lists every phase.
func SuppressionPhases() []SuppressionPhase {
	return []SuppressionPhase{
		SuppressionIdle, SuppressionArmed, SuppressionVetoed, SuppressionReleasing, SuppressionReleased, SuppressionUnknown,
	}
}

// Runs reports whether a phase ends by itself: the veto window or the release.
func (p SuppressionPhase) Runs() bool { return p == SuppressionArmed || p == SuppressionReleasing }

// Suppression is the output of a suppression agent in a gateway's status.
type Suppression struct {
	Phase   SuppressionPhase `json:"phase"`
	Zone    string           `json:"zone,omitempty"`     // whose fire armed it
	AlarmID string           `json:"alarm_id,omitempty"` // of that fire
	By      string           `json:"by,omitempty"`       // who vetoed or reset it
	// Until is when the veto window or the release ends; zero in every other
	// phase, and while the gateway does not know the time.
	Until time.Time `json:"until,omitzero"`
}

// faults are all that is wrong with it. At is where it was read.
func (s *Suppression) faults(at string) (errs []error) {
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(at+format, args...))
		}
	}
	check(slices.Contains(SuppressionPhases(), s.Phase), "phase: %q: want one of %q", s.Phase, SuppressionPhases())
	check(len(s.Zone) <= MaxTagBytes, "zone: %d bytes: want at most %d", len(s.Zone), MaxTagBytes)
	check(s.AlarmID == "" || ValidID(s.AlarmID), "alarm_id: %q: want a ULID", s.AlarmID)
	check(len(s.By) <= maxPerson, "by: %d bytes: want at most %d", len(s.By), maxPerson)
	check(s.Until.IsZero() || s.Phase.Runs(), "until: %s: want it in phase %s or %s only, this is %q",
		s.Until.Format(TimeFormat), SuppressionArmed, SuppressionReleasing, s.Phase)
	year := s.Until.UTC().Year()
	check(year >= 1 && year <= 9999, "until: year %d in UTC: want 1 to 9999", year)
	return errs
}

// OutletSummary is one outlet in a gateway's status.
type OutletSummary struct {
	Outlet  int         `json:"outlet"`
	State   OutletState `json:"state"`
	Quality Quality     `json:"quality"`
	Latched []Cause     `json:"latched,omitempty"` // what holds it open until a reset
}

// DecodeStatus reads a status and checks it, every fault at once.
func DecodeStatus(b []byte) (Status, error) {
	if len(b) > MaxEventBytes {
		return Status{}, fmt.Errorf("status: %d bytes: want at most %d", len(b), MaxEventBytes)
	}
	var s Status
	if err := json.Unmarshal(b, &s); err != nil {
		return Status{}, fmt.Errorf("status: %w", err)
	}
	var errs []error
	if s.State != GatewayOnline && s.State != GatewayOffline && s.State != GatewayStopped {
		errs = append(errs, fmt.Errorf("status: state: %q: want online, offline or stopped", s.State))
	}
	if !ValidID(s.BootID) {
		errs = append(errs, fmt.Errorf("status: boot_id: %q: want a ULID", s.BootID))
	}
	if s.Conn == 0 {
		errs = append(errs, errors.New("status: conn: want 1 or more"))
	}
	if !slices.Contains(ClockQualities(), s.Clock) {
		errs = append(errs, fmt.Errorf("status: clock: %q: want one of %q", s.Clock, ClockQualities()))
	}
	for i, o := range s.Outlets {
		if o.Outlet < 1 || o.Outlet > MaxOutlets {
			errs = append(errs, fmt.Errorf("status: outlets[%d].outlet: %d: want 1 to %d", i, o.Outlet, MaxOutlets))
		}
	}
	if s.Suppression != nil {
		errs = append(errs, s.Suppression.faults("status: suppression.")...)
	}
	return s, errors.Join(errs...)
}

// ShedState is everything a gateway knows of its shed at one moment: the
// result of get_state and the body of its local /api/v1/state.
type ShedState struct {
	Shed        string             `json:"shed"`
	Version     string             `json:"version"`
	At          time.Time          `json:"at"`
	Outlets     []OutletStatus     `json:"outlets"`
	Alarms      []Alarm            `json:"alarms"`                // open ones
	Feeder      *FeederStatus      `json:"feeder,omitempty"`      // absent where nothing watches it
	Suppression *SuppressionStatus `json:"suppression,omitempty"` // absent where none is enabled
	Siren       bool               `json:"siren"`
	Uplink      string             `json:"uplink"`    // connected, connecting, off
	Backlog     int                `json:"backlog"`   // records waiting in the outbox
	UptimeMS    int64              `json:"uptime_ms"` // of the gateway program
	Stamp
}

// FeederStatus is the supply that all outlets share, at one moment.
type FeederStatus struct {
	Watts          float64 `json:"watts" doc:"drawn now"`
	CommittedWatts float64 `json:"committed_watts" doc:"with what is kept for sessions that are not fed at the moment"`
	SoftWatts      float64 `json:"soft_watts" doc:"from here on nothing new begins"`
	HardWatts      float64 `json:"hard_watts" doc:"above, the youngest session is switched off"`
	Refusing       bool    `json:"refusing" doc:"nothing new begins"`
	Waiting        int     `json:"waiting" doc:"outlets that wait for room"`
	Shed           int     `json:"shed" doc:"outlets that were switched off for want of room"`
}

// SuppressionStatus is the output of a suppression agent, at one moment.
type SuppressionStatus struct {
	Phase   SuppressionPhase `json:"phase"`
	Zone    string           `json:"zone,omitempty"`
	AlarmID string           `json:"alarm_id,omitempty"`
	By      string           `json:"by,omitempty"` // who vetoed or reset it
	LeftMS  int64            `json:"left_ms"`      // of the veto window, or of the release
}

// OutletStatus is one outlet at one moment.
type OutletStatus struct {
	OutletSummary
	Volts       float64  `json:"volts"`
	Amps        float64  `json:"amps"`
	Watts       float64  `json:"watts"`
	PowerFactor float64  `json:"pf"`
	Celsius     *float64 `json:"celsius,omitempty"` // absent when no sensor or no good reading
	AgeMS       int64    `json:"age_ms"`            // of the reading; -1 when there was none
	Closed      bool     `json:"closed"`            // the relay's commanded state
	Heat        float64  `json:"heat"`              // heating image, 1 = trip
	Session     *Session `json:"session,omitempty"`
}
