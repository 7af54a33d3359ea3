package session

import (
	"errors"
	"fmt"
	"math"
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
	ReasonEmergencyStop  = "EmergencyStop"  // an emergency cut of the zone or shed
	ReasonEVDisconnected = "EVDisconnected" // the load is gone
	ReasonLocal          = "Local"          // stopped at the box
	ReasonPowerLoss      = "PowerLoss"      // the mains failed for good
	ReasonReboot         = "Reboot"         // the gateway is being stopped on purpose
	ReasonRemote         = "Remote"         // stopped by a command
	ReasonOther          = "Other"          // tripped, or a limit of the session; its phase says which
)

// The phases of a session that runs. While something is drawing, the curve of
// its charge may say more than PhaseCharging: see [Curve].
const (
	PhaseWaiting   = "waiting"   // nothing is drawing
	PhaseCharging  = "charging"  // something is
	PhaseSuspended = "suspended" // open for a passing fault
)

// The last phase of a session says how it ended.
const (
	PhaseStopped      = "stopped"       // by a person or program
	PhaseUnplugged    = "unplugged"     // the load went away
	PhaseNoLoad       = "no_load"       // nothing was ever plugged in
	PhaseTripped      = "tripped"       // a latched cause opened the outlet
	PhaseFull         = "full"          // the battery is full
	PhaseIdle         = "idle_load"     // what was plugged in never charged
	PhaseLimitWh      = "limit_wh"      // it drew the most it may
	PhaseLimitMinutes = "limit_minutes" // it lasted as long as it may
	PhaseLimitWatts   = "limit_watts"   // it drew too much at once
)

// maxResumes bounds Settings.ResumesPerHour.
const maxResumes = 12

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
	Curve     Curve
}

// Curve is what is known of the charge that the session is about; the zero
// Curve is nothing.
type Curve struct {
	Phase    string // of it; empty: not known
	Attached bool   // the battery is still there, however little it draws
	Over     bool   // the session ends with Phase
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
	Off     bool      `json:"off,omitempty"`  // open by a planned stop
	Full    bool      `json:"full,omitempty"` // its battery was full when it opened
	Session *Running  `json:"session,omitempty"`
	Resumes []float64 `json:"resumes_s,omitempty"` // seconds since each resume of the last hour
}

// Running is a session that runs, and its limits.
type Running struct {
	shedguard.Session
	AgeS       float64 `json:"age_s"` // seconds, while the gateway was alive
	Drawn      bool    `json:"drawn"` // something has drawn since it began
	MaxWh      float64 `json:"max_wh"`
	MaxMinutes float64 `json:"max_minutes"`
	MaxWatts   float64 `json:"max_watts"`
}

// State is what is remembered of one outlet between two steps.
type State struct {
	outlet int
	newID  func() string

	now  time.Time             // of the last step
	was  shedguard.OutletState // after it
	seen bool                  // the outlet was permitted once since the start

	off       bool // open by a planned stop
	full      bool // the battery was full when it opened
	fed       bool
	fedAt     time.Time
	suspended bool      // opened by a passing fault: the next closing is a resume
	goodSince time.Time // permitted without a break
	resumes   [maxResumes]time.Time
	restored  []float64 // Record.Resumes, until the first step knows the time

	at          time.Time // of the last good reading
	watts       float64   // of it, magnitude
	drawing     bool
	loadSince   time.Time
	noLoadSince time.Time
	highSince   time.Time // above the session's MaxWatts
	wh, peak    float64   // since loadSince, for a session that begins by plug

	active       bool
	run          Running
	began, ended bool // to be told with the next step
	last         shedguard.Session
}

// NewState is the state of an outlet after a start of the gateway, from what
// was kept of it; the zero Record is an outlet of which nothing is known. A
// session that ran goes on as after a suspension. newID makes the id of a
// session that begins by plug and must not be nil.
func NewState(outlet int, kept Record, newID func() string) State {
	if newID == nil {
		panic("session: nil newID")
	}
	s := State{outlet: outlet, newID: newID, off: kept.Off, full: kept.Off && kept.Full, restored: kept.Resumes}
	if kept.Session != nil {
		s.active, s.suspended, s.run = true, true, *kept.Session
		s.run.Outlet = outlet
	}
	return s
}

// Record is what must outlive a restart.
func (s *State) Record() Record {
	r := Record{Off: s.off, Full: s.full}
	if s.now.IsZero() {
		r.Resumes = s.restored
	}
	for _, at := range s.resumes {
		if !at.IsZero() && s.now.Sub(at) < time.Hour {
			r.Resumes = append(r.Resumes, s.now.Sub(at).Seconds())
		}
	}
	if s.active {
		run := s.run
		r.Session = &run
	}
	return r
}

// Session is the session that runs, if one does.
func (s *State) Session() (shedguard.Session, bool) {
	if !s.active {
		return shedguard.Session{}, false
	}
	return s.run.Session, true
}

// Wanted reports whether the outlet would be fed if nothing held it open.
func (c *Settings) Wanted(s *State) bool {
	return !s.off && (c.StartBy == StartPlug || s.active)
}

// MaxWatts is the most that the session that runs may draw; 0 when none runs.
func (s *State) MaxWatts() float64 { return s.run.MaxWatts }

// Next takes the state one step further.
func (c *Settings) Next(s *State, in *Input, now time.Time) Outcome {
	s.pass(now)
	c.read(s, in)
	s.hold(in, now)
	c.bound(s, in, now)
	wanted := c.Wanted(s)
	if wanted {
		c.feed(s, in, now)
	} else {
		s.open()
	}
	if s.fed && s.drawing && !s.active {
		c.plugged(s)
	}
	return s.outcome(in, wanted)
}

// pass lets time pass for the session.
func (s *State) pass(now time.Time) {
	if s.now.IsZero() {
		for i, ago := range s.restored[:min(len(s.restored), maxResumes)] {
			s.resumes[i] = now.Add(-time.Duration(ago * float64(time.Second)))
		}
		s.restored = nil
	} else if s.active {
		s.run.AgeS += max(0, now.Sub(s.now).Seconds())
	}
	s.now = now
}

// read takes a good reading into energy, load detection and peak.
func (c *Settings) read(s *State, in *Input) {
	r := &in.Reading
	if !in.Fresh || r.Quality != shedguard.QualityGood || !r.Finite() || !r.At.After(s.at) || r.At.After(s.now) {
		return
	}
	fromAt, fromWatts := s.at, s.watts
	s.at, s.watts = r.At, math.Abs(r.Watts)
	if !s.fed || !s.at.After(s.fedAt) {
		return
	}
	if fromAt.Before(s.fedAt) {
		fromAt, fromWatts = s.fedAt, 0
	}

	wh := energy(s.at.Sub(fromAt), fromWatts, s.watts, c.MaxGap)
	s.wh += wh
	s.peak = max(s.peak, s.watts)
	if s.watts >= c.LoadWatts {
		if s.loadSince.IsZero() {
			s.loadSince, s.wh, s.peak = s.at, 0, s.watts
		}
		s.drawing = s.drawing || s.at.Sub(s.loadSince) >= c.LoadAfter
	} else {
		s.loadSince = time.Time{}
	}
	if s.watts >= c.NoLoadWatts {
		s.noLoadSince = time.Time{}
	} else if s.noLoadSince.IsZero() {
		s.noLoadSince = s.at
	}
	if !s.noLoadSince.IsZero() && s.at.Sub(s.noLoadSince) >= c.NoLoadAfter {
		s.drawing = false
	}

	if !s.active {
		return
	}
	s.run.EnergyWh += wh
	s.run.PeakWatts = max(s.run.PeakWatts, s.watts)
	s.run.Drawn = s.run.Drawn || s.drawing
	switch {
	case s.watts <= s.run.MaxWatts:
		s.highSince = time.Time{}
	case s.highSince.IsZero():
		s.highSince = s.at
	}
}

// energy is the watt-hours between two readings.
func energy(d time.Duration, from, to float64, maxGap time.Duration) float64 {
	if d > maxGap {
		return from * maxGap.Hours()
	}
	return (from + to) / 2 * d.Hours()
}

// hold opens what may not be fed.
func (s *State) hold(in *Input, now time.Time) {
	s.seen = s.seen || in.Permit
	if !in.Permit || in.Tripped || in.Fault || in.Suspended {
		s.goodSince = time.Time{}
	} else if s.goodSince.IsZero() {
		s.goodSince = now
	}
	switch {
	case in.Tripped:
		s.open()
		s.suspended = false
		s.end(PhaseTripped, ReasonOther)
	case s.goodSince.IsZero() && s.fed:
		s.open()
		s.suspended = true
	}
}

// bound ends a session that has reached a limit or lost its load.
func (c *Settings) bound(s *State, in *Input, now time.Time) {
	if !s.active {
		return
	}
	gone := s.fed && !s.noLoadSince.IsZero() && s.at.Sub(s.noLoadSince) >= c.NoLoadAfter
	switch {
	case s.run.EnergyWh >= s.run.MaxWh:
		s.finish(PhaseLimitWh)
	case s.run.AgeS >= s.run.MaxMinutes*60:
		s.finish(PhaseLimitMinutes)
	case !s.highSince.IsZero() && s.at.Sub(s.highSince) >= c.WattsDelay:
		s.finish(PhaseLimitWatts)
	case s.run.Drawn && s.fed && in.Curve.Over:
		s.finish(in.Curve.Phase)
		s.full = in.Curve.Phase == PhaseFull
	case s.run.Drawn && gone && !in.Curve.Attached:
		s.end(PhaseUnplugged, ReasonEVDisconnected)
	case !s.run.Drawn && s.fed && s.loadSince.IsZero() && s.run.AgeS >= c.StartWithin.Seconds() && now.Sub(s.fedAt) >= c.StartWithin:
		s.end(PhaseNoLoad, ReasonOther)
	}
}

// finish ends the session at one of its limits. Its battery is still there,
// so the outlet stays off until it is started again.
func (s *State) finish(phase string) {
	s.end(phase, ReasonOther)
	s.off = true
}

// end ends the session that runs, if one does.
func (s *State) end(phase, reason string) {
	if !s.active {
		return
	}
	s.active, s.ended = false, true
	s.last = s.run.Session
	s.last.Phase, s.last.Reason, s.last.EndedAt = phase, reason, s.now
	s.run = Running{}
	s.highSince = time.Time{}
}

// open forgets what was seen of the load: without voltage nothing draws.
func (s *State) open() {
	s.fed, s.drawing = false, false
	s.loadSince, s.noLoadSince, s.highSince = time.Time{}, time.Time{}, time.Time{}
}

// feed closes the outlet when its readings were good for long enough, and a
// resume is left if it takes one.
func (c *Settings) feed(s *State, in *Input, now time.Time) {
	if s.fed || !in.MayClose || s.goodSince.IsZero() {
		return
	}
	wait := c.SelfCheck
	if s.suspended {
		wait = c.ResumeAfter
	}
	if now.Sub(s.goodSince) < wait || s.suspended && !c.resume(s, now) {
		return
	}
	s.fed, s.fedAt, s.suspended = true, now, false
}

// resume takes one of the hour's resumes, or reports that none is left.
func (c *Settings) resume(s *State, now time.Time) bool {
	used, oldest := 0, 0
	for i, at := range s.resumes {
		if !at.IsZero() && now.Sub(at) < time.Hour {
			used++
		}
		if at.Before(s.resumes[oldest]) {
			oldest = i
		}
	}
	if used >= min(c.ResumesPerHour, maxResumes) {
		return false
	}
	s.resumes[oldest] = now
	return true
}

// plugged begins a session with the load that was just recognised.
func (c *Settings) plugged(s *State) {
	s.begin(c, "plug", s.newID(), s.loadSince)
	s.run.EnergyWh, s.run.PeakWatts, s.run.Drawn = s.wh, s.peak, true
	s.run.AgeS = max(0, s.now.Sub(s.run.BegunAt).Seconds())
}

func (s *State) begin(c *Settings, by, id string, at time.Time) {
	s.active, s.began, s.highSince = true, true, time.Time{}
	s.run = Running{
		Session: shedguard.Session{ID: id, Outlet: s.outlet, BegunAt: at, By: by, Phase: PhaseWaiting},
		MaxWh:   c.MaxWh, MaxMinutes: c.MaxMinutes, MaxWatts: c.MaxWatts,
	}
}

// outcome says what the step came to.
func (s *State) outcome(in *Input, wanted bool) Outcome {
	out := Outcome{Close: s.fed, Began: s.began, Ended: s.ended}
	switch {
	case in.Tripped:
		out.Outlet = shedguard.StateTripped
	case in.Fault:
		out.Outlet = shedguard.StateFault
	case in.Suspended:
		out.Outlet = shedguard.StateSuspended
	case !s.seen:
		out.Outlet = shedguard.StateUnknown
	case s.fed && (s.drawing || s.active && in.Curve.Attached):
		out.Outlet = shedguard.StateCharging
	case s.fed:
		out.Outlet = shedguard.StateReady
	case wanted && s.suspended:
		out.Outlet = shedguard.StateSuspended
	case s.off && s.full:
		out.Outlet = shedguard.StateFull
	default:
		out.Outlet = shedguard.StateOff
	}
	s.was = out.Outlet

	if s.active {
		phase := PhaseWaiting
		if s.suspended {
			phase = PhaseSuspended
		} else if s.drawing || in.Curve.Attached {
			phase = PhaseCharging
			if in.Curve.Phase != "" {
				phase = in.Curve.Phase
			}
		}
		out.Phase = phase != s.run.Phase && !s.began
		s.run.Phase = phase
		out.Session = s.run.Session
	}
	if s.ended {
		out.Session = s.last
	}
	s.began, s.ended = false, false
	return out
}

// Start begins a session by command. The next step reports it. It is refused
// as MayStart says.
func (c *Settings) Start(s *State, args shedguard.StartArgs, by, id string, now time.Time) error {
	run, err := c.start(s, &args, by, id)
	if err != nil {
		return err
	}
	s.off, s.full = false, false
	s.begin(c, by, id, now)
	s.run.MaxWh, s.run.MaxMinutes, s.run.MaxWatts = run.MaxWh, run.MaxMinutes, run.MaxWatts
	return nil
}

// MayStart is why Start would refuse, and what the session may draw at most. A
// refusal is a [*shedguard.ReplyError]: bad_args, cause_stands while the outlet
// is tripped, busy while a session runs, not_permitted otherwise.
func (c *Settings) MayStart(s *State, args shedguard.StartArgs, by, id string) (maxWatts float64, err error) {
	run, err := c.start(s, &args, by, id)
	return run.MaxWatts, err
}

// start is the limits of a session that may be started.
func (c *Settings) start(s *State, args *shedguard.StartArgs, by, id string) (run Running, err error) {
	maxWh, errWh := within("max_wh", args.MaxWh, c.MaxWh)
	maxMinutes, errMinutes := within("max_minutes", args.MaxMinutes, c.MaxMinutes)
	maxWatts, errWatts := within("max_watts", args.MaxWatts, c.MaxWatts)
	if err := errors.Join(errWh, errMinutes, errWatts); err != nil {
		return run, shedguard.Refuse(shedguard.CodeBadArgs, "%v", err)
	}
	switch {
	case args.Outlet != s.outlet:
		err = shedguard.Refuse(shedguard.CodeBadArgs, "outlet: %d: want %d", args.Outlet, s.outlet)
	case by == "" || !shedguard.ValidID(id):
		err = shedguard.Refuse(shedguard.CodeBadArgs, "by %q, id %q: want a name and a ULID", by, id)
	case s.active || s.ended:
		err = shedguard.Refuse(shedguard.CodeBusy, "outlet %d: a session runs", s.outlet)
	case s.was == shedguard.StateTripped:
		err = shedguard.Refuse(shedguard.CodeCauseStands, "outlet %d is tripped: reset it first", s.outlet)
	case s.was == shedguard.StateUnknown, s.was == shedguard.StateFault, s.was == shedguard.StateSuspended:
		err = shedguard.Refuse(shedguard.CodeNotPermitted, "outlet %d is %s", s.outlet, s.was)
	}
	return Running{MaxWh: maxWh, MaxMinutes: maxMinutes, MaxWatts: maxWatts}, err
}

// within is the limit asked for, or the most when none was.
func within(name string, asked *float64, most float64) (float64, error) {
	if asked == nil {
		return most, nil
	}
	if !(*asked > 0 && *asked <= most) { // NaN is refused too
		return 0, fmt.Errorf("%s: %g: want above 0, at most %g", name, *asked, most)
	}
	return *asked, nil
}

// Stop opens the outlet and ends its session, if one runs; the next step
// reports it. The outlet stays off until it is started. Reason is one of the
// Reason constants.
func (*Settings) Stop(s *State, reason string, now time.Time) error {
	switch reason {
	case ReasonEmergencyStop, ReasonEVDisconnected, ReasonLocal, ReasonPowerLoss, ReasonReboot, ReasonRemote, ReasonOther:
	default:
		return fmt.Errorf("stop outlet %d: reason %q: want a word of OCPP 1.6", s.outlet, reason)
	}
	s.pass(now)
	s.end(PhaseStopped, reason)
	s.open()
	s.off, s.full, s.suspended = true, false, false
	return nil
}

// Validate reports what is wrong with the settings, every fault at once, each
// with its path.
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
	if c.StartBy != StartPlug && c.StartBy != StartCommand {
		errs = append(errs, fmt.Errorf("start: %q: want plug or command", c.StartBy))
	}
	number("load_watts", c.LoadWatts, 0.5, 200)
	span("load_after", c.LoadAfter, 0, time.Minute)
	number("no_load_watts", c.NoLoadWatts, 0.1, c.LoadWatts)
	span("no_load_after", c.NoLoadAfter, time.Second, time.Hour)
	span("start_within", c.StartWithin, 10*time.Second, time.Hour)
	span("self_check", c.SelfCheck, 0, time.Minute)
	span("resume_after", c.ResumeAfter, time.Second, 10*time.Minute)
	number("resumes_per_hour", float64(c.ResumesPerHour), 1, maxResumes)
	number("max_wh", c.MaxWh, 1, 100_000)
	number("max_minutes", c.MaxMinutes, 1, 24*60)
	number("max_watts", c.MaxWatts, 10, 20_000)
	span("watts_delay", c.WattsDelay, 0, time.Minute)
	span("max_gap", c.MaxGap, time.Second, time.Minute)
	return errors.Join(errs...)
}
