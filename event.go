package shedguard

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The event types.
const (
	EventAlarmRaised        = "shedguard.alarm.raised"
	EventAlarmUpdated       = "shedguard.alarm.updated"
	EventAlarmAcknowledged  = "shedguard.alarm.acknowledged"
	EventAlarmCleared       = "shedguard.alarm.cleared"
	EventSessionBegun       = "shedguard.session.begun"
	EventSessionPhase       = "shedguard.session.phase"
	EventSessionEnded       = "shedguard.session.ended"
	EventRelayOperated      = "shedguard.relay.operated"
	EventSuppressionChanged = "shedguard.suppression.changed"
	EventConfigApplied      = "shedguard.config.applied"
	EventConfigRefused      = "shedguard.config.refused"
	EventWorkerRestarted    = "shedguard.worker.restarted"
	EventCommandDone        = "shedguard.command.done"
)

// MaxEventBytes bounds an event's payload. Nothing a gateway says about one
// change comes near it; a longer payload is refused before it is parsed.
const MaxEventBytes = 64 << 10

// TimeFormat is RFC 3339 with milliseconds, as every instant in JSON is
// written (always in UTC).
const TimeFormat = "2006-01-02T15:04:05.000Z07:00"

// Event is one change, in the structured JSON mode of CloudEvents 1.0.
type Event struct {
	ID      string    // a ULID; the book de-duplicates by it
	Source  string    // "shedguard/<shed>", or "shedcloud" for what the cloud itself sees
	Type    string    // one of the Event constants
	Subject string    // what it is about: "outlet/3", "bus/main", "shed"; may be empty
	Time    time.Time // when the change happened, UTC, whole milliseconds
	Data    json.RawMessage
}

// Source is the CloudEvents source of a shed's gateway.
func Source(shed string) string { return "shedguard/" + shed }

// OutletSubject is the CloudEvents subject of an outlet.
func OutletSubject(outlet int) string { return "outlet/" + strconv.Itoa(outlet) }

// SubjectOutlet is the outlet number of a subject, or false when the subject
// is not an outlet.
func SubjectOutlet(subject string) (int, bool) {
	s, ok := strings.CutPrefix(subject, "outlet/")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 1 && n <= MaxOutlets && strconv.Itoa(n) == s
}

// Shed is the shed id in the event's source, or "" when the source is not a
// gateway.
func (e *Event) Shed() string {
	shed, ok := strings.CutPrefix(e.Source, "shedguard/")
	if !ok || !ValidShedID(shed) {
		return ""
	}
	return shed
}

// NewEvent is an event with data encoded as JSON.
func NewEvent(id, source, typ, subject string, at time.Time, data any) (Event, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return Event{}, fmt.Errorf("event %s: encode data: %w", typ, err)
	}
	e := Event{ID: id, Source: source, Type: typ, Subject: subject, Time: at.UTC().Truncate(time.Millisecond), Data: b}
	return e, e.Validate()
}

// Validate reports what is wrong with the envelope, every fault at once.
func (e *Event) Validate() error {
	var errs []error
	if !ValidID(e.ID) {
		errs = append(errs, fmt.Errorf("id: %q: want a ULID", e.ID))
	}
	if e.Shed() == "" && e.Source != "shedcloud" {
		errs = append(errs, fmt.Errorf("source: %q: want shedguard/<shed> or shedcloud", e.Source))
	}
	if !strings.HasPrefix(e.Type, "shedguard.") || len(e.Type) > 80 {
		errs = append(errs, fmt.Errorf("type: %q: want shedguard.…", e.Type))
	}
	if e.Time.IsZero() || e.Time.Year() > 9999 {
		errs = append(errs, errors.New("time: required, RFC 3339"))
	}
	if len(e.Subject) > 200 {
		errs = append(errs, fmt.Errorf("subject: %d bytes: want at most 200", len(e.Subject)))
	}
	if len(e.Data) == 0 || !json.Valid(e.Data) {
		errs = append(errs, errors.New("data: required, JSON"))
	}
	return errors.Join(errs...)
}

// wireEvent is the JSON form of [Event].
type wireEvent struct {
	SpecVersion     string          `json:"specversion"`
	ID              string          `json:"id"`
	Source          string          `json:"source"`
	Type            string          `json:"type"`
	Subject         string          `json:"subject,omitempty"`
	Time            string          `json:"time"`
	DataContentType string          `json:"datacontenttype"`
	Data            json.RawMessage `json:"data"`
}

// MarshalJSON writes the structured mode of CloudEvents 1.0.
func (e Event) MarshalJSON() ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("event %s: %w", e.Type, err)
	}
	return json.Marshal(wireEvent{
		SpecVersion: "1.0", ID: e.ID, Source: e.Source, Type: e.Type, Subject: e.Subject,
		Time: e.Time.UTC().Format(TimeFormat), DataContentType: "application/json", Data: e.Data,
	})
}

// UnmarshalJSON reads the structured mode of CloudEvents 1.0.
func (e *Event) UnmarshalJSON(b []byte) error {
	if len(b) > MaxEventBytes {
		return fmt.Errorf("event: %d bytes: want at most %d", len(b), MaxEventBytes)
	}
	var w wireEvent
	if err := json.Unmarshal(b, &w); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	if w.SpecVersion != "1.0" {
		return fmt.Errorf("event: specversion %q: want \"1.0\"", w.SpecVersion)
	}
	if w.DataContentType != "" && w.DataContentType != "application/json" {
		return fmt.Errorf("event: datacontenttype %q: want application/json", w.DataContentType)
	}
	at, err := time.Parse(time.RFC3339Nano, w.Time)
	if err != nil {
		return fmt.Errorf("event: time: %w", err)
	}
	read := Event{
		ID: w.ID, Source: w.Source, Type: w.Type, Subject: w.Subject,
		Time: at.UTC().Truncate(time.Millisecond), Data: w.Data,
	}
	if err := read.Validate(); err != nil {
		return fmt.Errorf("event: %w", err)
	}
	*e = read
	return nil
}

// IsAlarm reports whether the event's data is an [Alarm].
func (e *Event) IsAlarm() bool { return strings.HasPrefix(e.Type, "shedguard.alarm.") }

// Alarm reads the data of an alarm event.
func (e *Event) Alarm() (Alarm, error) {
	var a Alarm
	if !e.IsAlarm() {
		return Alarm{}, fmt.Errorf("event %s: not an alarm", e.Type)
	}
	if err := json.Unmarshal(e.Data, &a); err != nil {
		return Alarm{}, fmt.Errorf("event %s: data: %w", e.ID, err)
	}
	if err := a.Validate(); err != nil {
		return Alarm{}, fmt.Errorf("event %s: data: %w", e.ID, err)
	}
	return a, nil
}

// RelayOperated is the data of [EventRelayOperated].
type RelayOperated struct {
	Outlet        int    `json:"outlet"`
	Closed        bool   `json:"closed"`
	Why           string `json:"why"`             // a cause, "command", "session" or "start"
	SampleToRelay int64  `json:"sample_to_relay"` // µs from the deciding sample to the written relay, 0 when no sample decided
	Verified      bool   `json:"verified"`        // the expander's latch was read back and agrees
	Stamp
}

// SuppressionChanged is the data of [EventSuppressionChanged].
type SuppressionChanged struct {
	Phase   SuppressionPhase `json:"phase"`
	Zone    string           `json:"zone"`     // whose fire armed it; empty after a reset
	AlarmID string           `json:"alarm_id"` // of that fire; empty after a reset
	By      string           `json:"by"`       // who vetoed or reset it
	Senses  []Cause          `json:"senses"`   // what agreed on the fire
	Stamp
}

// Session is the data of the three session events.
type Session struct {
	ID        string    `json:"session_id"` // a ULID
	Outlet    int       `json:"outlet"`
	BegunAt   time.Time `json:"begun_at"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	Phase     string    `json:"phase,omitempty"`
	EnergyWh  float64   `json:"energy_wh"`
	PeakWatts float64   `json:"peak_watts"`
	By        string    `json:"by"`               // "plug", or who gave the command
	Reason    string    `json:"reason,omitempty"` // why it ended, in OCPP 1.6 words
	Stamp
}

// WorkerRestarted is the data of [EventWorkerRestarted].
type WorkerRestarted struct {
	Worker string `json:"worker"`
	Reason string `json:"reason"` // why it ended
	Starts int    `json:"starts"` // since the gateway started
	Stamp
}

// CommandDone is the data of [EventCommandDone].
type CommandDone struct {
	CommandID string    `json:"command_id"`
	Kind      string    `json:"kind"`
	By        string    `json:"by"`
	OK        bool      `json:"ok"`
	Code      ReplyCode `json:"code,omitempty"`
	Stamp
}

// ConfigChange is the data of [EventConfigApplied] and [EventConfigRefused].
type ConfigChange struct {
	Hash   string   `json:"hash"`
	Faults []string `json:"faults,omitempty"`
	Stamp
}
