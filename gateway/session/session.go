package session

import (
	"time"

	"github.com/shedguard/shedguard"
)

// Start says what begins a session.
type Start string

// The ways to start.
const (
	StartPlug    Start = "plug"
	StartCommand Start = "command"
)

// The reasons of a session's end, in the words of OCPP 1.6 (StopTransaction,
// type Reason).
const (
	ReasonEVDisconnected = "EVDisconnected" // the load is gone
	ReasonLocal          = "Local"          // stopped at the box
	ReasonRemote         = "Remote"         // stopped by a command
	ReasonOther          = "Other"          // tripped, or a limit of the session; its phase says which
)

// The phases of a session. The last five say how it ended.
const (
	PhaseWaiting   = "waiting"   // fed, nothing has drawn yet
	PhaseCharging  = "charging"  // drawing
	PhaseSuspended = "suspended" // open for a passing fault
	PhaseStopped   = "stopped"
	PhaseUnplugged = "unplugged"
	PhaseNoLoad    = "no_load" // nothing was ever plugged in
	PhaseTripped   = "tripped"
	PhaseLimit     = "limit" // followed by the limit: limit_wh, limit_minutes, limit_watts
)

// Settings are how sessions run on one outlet.
type Settings struct {
	StartBy Start

	LoadWatts   float64       // W and above: something is drawing
	LoadAfter   time.Duration // for so long
	NoLoadWatts float64       // below, in W: nothing is drawing; under LoadWatts
	NoLoadAfter time.Duration // for so long
	StartWithin time.Duration // a commanded session that never draws ends after it

	SelfCheck      time.Duration // good readings before the outlet is first fed
	ResumeAfter    time.Duration // good readings before it is fed again after a suspension
	ResumesPerHour int

	MaxWh      float64       // of one session; a command may ask for less
	MaxMinutes float64       // likewise
	MaxWatts   float64       // likewise
	WattsDelay time.Duration // how long above MaxWatts ends the session
	MaxGap     time.Duration // longest gap between two readings that energy is counted over
}

// Input is what is known of the outlet at one moment.
type Input struct {
	Permit    bool // good readings, and nothing latched or standing
	Tripped   bool // a latched cause holds it open
	Suspended bool // a passing cause holds it open
	Fault     bool // it cannot be judged or switched
	Reading   shedguard.Reading
	Fresh     bool // Reading is a new conversion since the last call
	MayClose  bool // the stagger and the shed's load allow a closing now
}

// Outcome is what one step decided.
type Outcome struct {
	Close   bool // what the relay should be
	Outlet  shedguard.OutletState
	Began   bool              // a session began with this step
	Phase   bool              // it changed its phase
	Ended   bool              // it ended
	Session shedguard.Session // of the three above, or the one that runs; its Stamp is the caller's
}

// Record is what outlives a restart.
type Record struct {
	Off     bool           `json:"off,omitempty"` // open by a planned stop
	Session *RunningRecord `json:"session,omitempty"`
	Resumes []int64        `json:"resumes_s,omitempty"` // seconds since each resume of the last hour
}

// RunningRecord is a session that runs.
type RunningRecord struct {
	shedguard.Session
	AgeS       float64 `json:"age_s"`
	MaxWh      float64 `json:"max_wh"`
	MaxMinutes float64 `json:"max_minutes"`
	MaxWatts   float64 `json:"max_watts"`
}

// State is what is remembered of one outlet between two steps.
type State struct {
	outlet int
	newID  func() string
}

// NewState is the state of an outlet after a start of the gateway, from what
// was kept of it; the zero Record is an outlet of which nothing is known.
// newID makes the id of a session that begins by plug.
func NewState(outlet int, kept Record, newID func() string) State {
	return State{outlet: outlet, newID: newID}
}

// Record is what must outlive a restart.
func (s *State) Record(now time.Time) Record { return Record{} }

// Session is the session that runs, if one does.
func (s *State) Session() (shedguard.Session, bool) { return shedguard.Session{}, false }

// Validate reports what is wrong with the settings, every fault at once.
func (c *Settings) Validate() error { return nil }

// Next takes the state one step further.
func (c *Settings) Next(s *State, in *Input, now time.Time) Outcome { return Outcome{} }

// Start begins a session by command. The next step reports it. A refusal is a
// [*shedguard.ReplyError]: bad_args, cause_stands while the outlet is tripped,
// busy while a session runs, not_permitted otherwise.
func (c *Settings) Start(s *State, args shedguard.StartArgs, by, id string, now time.Time) error {
	return nil
}

// Stop opens the outlet and ends its session, if one runs; the next step
// reports it. The outlet stays off until it is started. Reason is one of the
// Reason constants.
func (c *Settings) Stop(s *State, reason string, now time.Time) error { return nil }
