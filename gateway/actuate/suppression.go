package actuate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shedguard/shedguard"
)

var (
	// ErrNotArmed comes from a veto when nothing is armed.
	ErrNotArmed = errors.New("suppression is not armed")
	// ErrOneSense comes from Arm when no two independent senses agree on a fire.
	ErrOneSense = errors.New("a fire needs two independent senses")
	// ErrSpent comes from Arm when the agent was released, or its release was
	// vetoed, and nobody has reset it since.
	ErrSpent = errors.New("suppression was released or vetoed and waits for a reset")
)

// SuppressionRecord is what must outlive a restart.
type SuppressionRecord struct {
	Phase   shedguard.SuppressionPhase `json:"phase"`
	Zone    string                     `json:"zone,omitempty"`
	AlarmID string                     `json:"alarm_id,omitempty"`
	Senses  []shedguard.Cause          `json:"senses,omitempty"`
	Elapsed time.Duration              `json:"elapsed_ns"` // of the window or of the release, while the gateway was alive
	By      string                     `json:"by,omitempty"`
	At      time.Time                  `json:"at,omitzero"` // of the last change of the phase
}

// SuppressionSettings say how the output acts.
type SuppressionSettings struct {
	Veto    time.Duration // from arming until the release, in which a person may veto
	Release time.Duration // how long the output is on
}

// Validate reports what is wrong, every fault at once.
func (s *SuppressionSettings) Validate() error {
	var errs []error
	if s.Veto < 5*time.Second || s.Veto > 5*time.Minute {
		errs = append(errs, fmt.Errorf("veto: %v: want 5s to 5m0s", s.Veto))
	}
	if s.Release < 100*time.Millisecond || s.Release > 10*time.Minute {
		errs = append(errs, fmt.Errorf("release: %v: want 100ms to 10m0s", s.Release))
	}
	return errors.Join(errs...)
}

// Fire is what somebody found that is to arm the suppression.
type Fire struct {
	Grade   shedguard.Grade
	Zone    string
	AlarmID string
	// Senses are the causes that agree, of one zone within a minute.
	Senses []shedguard.Cause
}

// Suppression decides about the output of a suppression agent. It is armed only
// by a fire of the highest grade on which two independent senses agree; then a
// person has the veto window; then it releases, once, until somebody resets it.
//
// It is arithmetic: [Suppression.Next] says whether the output is to be on, and
// whether the record must be on disk before that is done. Time that passes while
// the program is dead does not count, so that a person always has the whole
// window. It is not safe for concurrent use.
type Suppression struct {
	settings SuppressionSettings
	record   SuppressionRecord
	at       time.Time // up to when Elapsed counts
}

// NewSuppression goes on from what was kept; the zero record is one that was
// never armed. A record that makes no sense counts as lost.
func NewSuppression(settings SuppressionSettings, kept SuppressionRecord) (*Suppression, error) {
	if err := settings.Validate(); err != nil {
		return nil, fmt.Errorf("suppression: %w", err)
	}
	s := &Suppression{settings: settings, record: kept}
	known := slices.Contains(shedguard.SuppressionPhases(), kept.Phase)
	switch {
	case kept.Phase == "":
		s.record = SuppressionRecord{Phase: shedguard.SuppressionIdle}
	case !known, kept.Elapsed < 0, kept.Phase.Runs() && !independent(kept.Senses):
		s.record = SuppressionRecord{Phase: shedguard.SuppressionUnknown}
	}
	return s, nil
}

// Record is what must be kept.
func (s *Suppression) Record() SuppressionRecord {
	r := s.record
	r.Senses = slices.Clone(r.Senses)
	return r
}

// Left is how long the veto window or the release still takes; 0 in every other
// phase.
func (s *Suppression) Left() time.Duration {
	var whole time.Duration
	switch s.record.Phase {
	case shedguard.SuppressionArmed:
		whole = s.settings.Veto
	case shedguard.SuppressionReleasing:
		whole = s.settings.Release
	case shedguard.SuppressionIdle, shedguard.SuppressionVetoed, shedguard.SuppressionReleased, shedguard.SuppressionUnknown:
		return 0
	}
	return max(0, whole-s.record.Elapsed)
}

// Ends is when the veto window or the release ends if the program lives until
// then; zero in every other phase, and before the first Next.
func (s *Suppression) Ends() time.Time {
	if left := s.Left(); left > 0 && !s.at.IsZero() {
		return s.at.Add(left)
	}
	return time.Time{}
}

// Arm begins the veto window. While it runs, another fire changes nothing.
func (s *Suppression) Arm(f *Fire, now time.Time) error {
	switch {
	case f.Grade != shedguard.GradeFire:
		return fmt.Errorf("arm suppression: grade %q: want %q", f.Grade, shedguard.GradeFire)
	case !independent(f.Senses):
		return fmt.Errorf("arm suppression: %v: %w", f.Senses, ErrOneSense)
	}
	switch s.record.Phase {
	case shedguard.SuppressionArmed, shedguard.SuppressionReleasing:
		return nil
	case shedguard.SuppressionVetoed, shedguard.SuppressionReleased, shedguard.SuppressionUnknown:
		return fmt.Errorf("arm suppression: it is %s: %w", s.record.Phase, ErrSpent)
	case shedguard.SuppressionIdle:
	}
	s.record = SuppressionRecord{
		Phase: shedguard.SuppressionArmed, Zone: f.Zone, AlarmID: f.AlarmID, Senses: slices.Clone(f.Senses), At: now.UTC(),
	}
	s.at = now
	return nil
}

// Veto keeps an armed suppression from releasing. By is the person.
func (s *Suppression) Veto(by string, now time.Time) error {
	if s.record.Phase != shedguard.SuppressionArmed {
		return fmt.Errorf("veto: it is %s: %w", s.record.Phase, ErrNotArmed)
	}
	s.record.Phase, s.record.By, s.record.At = shedguard.SuppressionVetoed, by, now.UTC()
	return nil
}

// Reset makes it ready again: the agent was refilled, or the fire was none. It
// is refused while the window or the release runs.
func (s *Suppression) Reset(by string, now time.Time) error {
	if s.record.Phase.Runs() {
		return fmt.Errorf("reset suppression: it is %s", s.record.Phase)
	}
	s.record = SuppressionRecord{Phase: shedguard.SuppressionIdle, By: by, At: now.UTC()}
	return nil
}

// Next lets time pass. On is what the output is to be. When the phase changed,
// changed is true and the record must be on disk before the output is switched:
// a program that is killed in between goes on with the release that it had
// decided on, and never begins a second one.
func (s *Suppression) Next(now time.Time) (on, changed bool) {
	if s.record.Phase.Runs() {
		if !s.at.IsZero() && now.After(s.at) {
			s.record.Elapsed += now.Sub(s.at)
		}
		s.at = now
	}
	switch {
	case s.record.Phase == shedguard.SuppressionArmed && s.record.Elapsed >= s.settings.Veto:
		s.record.Phase, s.record.Elapsed, s.record.At = shedguard.SuppressionReleasing, 0, now.UTC()
		changed = true
	case s.record.Phase == shedguard.SuppressionReleasing && s.record.Elapsed >= s.settings.Release:
		s.record.Phase, s.record.Elapsed, s.record.At = shedguard.SuppressionReleased, 0, now.UTC()
		changed = true
	}
	return s.record.Phase == shedguard.SuppressionReleasing, changed
}

// sense is what a cause is seen by.
func sense(c shedguard.Cause) string {
	switch c {
	case shedguard.CauseSmokeSeen, shedguard.CauseFlameSeen:
		return "camera"
	case shedguard.CauseSmokeContact:
		return "contact"
	case shedguard.CauseOverTemperature, shedguard.CauseTemperatureRise:
		return "thermometer"
	case shedguard.CauseOvercurrent, shedguard.CauseShortCircuit, shedguard.CauseResidualCurrent:
		return "meter"
	default:
		return "" // nothing else tells of a fire
	}
}

// independent reports whether two causes come from different senses.
func independent(causes []shedguard.Cause) bool {
	first := ""
	for _, c := range causes {
		switch s := sense(c); {
		case s == "" || s == first:
		case first == "":
			first = s
		default:
			return true
		}
	}
	return false
}

// CheckSuppression plays every cause alone, and all causes of one sense
// together, at every grade, over the window and the release: none may switch the
// output on. A gateway calls it before it enables the output.
func CheckSuppression(settings SuppressionSettings) error {
	bySense := map[string][]shedguard.Cause{}
	tries := [][]shedguard.Cause{nil}
	for _, c := range shedguard.Causes() {
		tries = append(tries, []shedguard.Cause{c}, []shedguard.Cause{c, c})
		bySense[sense(c)] = append(bySense[sense(c)], c)
	}
	for _, causes := range bySense {
		tries = append(tries, causes)
	}
	for _, grade := range shedguard.Grades() {
		for _, causes := range tries {
			s, err := NewSuppression(settings, SuppressionRecord{})
			if err != nil {
				return err
			}
			now := time.Unix(0, 0)
			armed := s.Arm(&Fire{Grade: grade, Zone: "self-check", Senses: causes}, now) == nil
			for range 4 {
				on, _ := s.Next(now)
				if armed || on {
					return fmt.Errorf("suppression: self-check: %v at grade %q armed it", causes, grade)
				}
				now = now.Add(settings.Veto)
			}
		}
	}
	return nil
}
