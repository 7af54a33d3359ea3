package book

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/shedguard/shedguard"
)

// The errors that callers branch on.
var (
	// ErrNotFound comes when a shed, alarm, user or command is not in the book.
	ErrNotFound = errors.New("not found")
	// ErrInvalid comes when what is to be written contradicts itself or the
	// book. Trying again cannot help; a message that caused it is a dead letter.
	ErrInvalid = errors.New("invalid")
	// ErrConflict comes when what is to be made is already there.
	ErrConflict = errors.New("conflict")
	// ErrDamaged comes from Open when the file is not a sound book.
	ErrDamaged = errors.New("the book's file is damaged")
)

// SourceCloud is the CloudEvents source of what the collector itself sees. The
// subject of such an event is "shed/<shed id>", made by [ShedSubject].
const SourceCloud = "shedcloud"

// ShedSubject is the subject of an event of the collector about a shed.
func ShedSubject(shed string) string { return "shed/" + shed }

// State is how a shed's gateway stands, as the collector sees it.
type State string

// The states of a shed's gateway.
const (
	StateOnline  State = "online"
	StateOffline State = "offline" // the last will came
	StateSilent  State = "silent"  // connected, no telemetry
	StateStopped State = "stopped" // ended on purpose
	StateUnknown State = "unknown" // never heard, or only a retained word
)

// States lists every state.
func States() []State {
	return []State{StateOnline, StateOffline, StateSilent, StateStopped, StateUnknown}
}

// Shed is one shed as the book knows it.
type Shed struct {
	ID         string                    `json:"shed" doc:"shed id, as in topics"`
	Name       string                    `json:"name" doc:"name for people; the id until one is given"`
	Place      string                    `json:"place" doc:"where it stands"`
	State      State                     `json:"state" enum:"online,offline,silent,stopped,unknown"`
	Since      time.Time                 `json:"since" doc:"since when it is in this state"`
	LastSeen   time.Time                 `json:"last_seen" doc:"receipt of its last message"`
	Version    string                    `json:"version" doc:"of the gateway program"`
	ConfigHash string                    `json:"config_hash"`
	Clock      shedguard.ClockQuality    `json:"clock" doc:"synced, holdover, unsynced; empty when never heard"`
	BootID     string                    `json:"boot_id" doc:"of the gateway's latest status"`
	Conn       uint64                    `json:"conn" doc:"connection counter of that boot"`
	Outlets    []shedguard.OutletSummary `json:"outlets"`
	OpenAlarms int                       `json:"open_alarms"`
	Worst      string                    `json:"worst" doc:"severity of the worst open alarm; empty when none is open"`

	// Both are what its gateway last said: a word from its end changes neither.
	Siren       bool         `json:"siren" doc:"a signal is given in which the siren has a part, as the gateway last said"`
	Suppression *Suppression `json:"suppression" doc:"the output of a suppression agent, as the gateway last said; null where none is enabled"`
}

// Suppression is the output of a suppression agent at a shed.
type Suppression struct {
	Phase   shedguard.SuppressionPhase `json:"phase" enum:"idle,armed,vetoed,releasing,released,unknown" doc:"armed: the agent is released at the end of the window unless somebody vetoes it; vetoed, released and unknown last until somebody resets it"`
	Zone    string                     `json:"zone" doc:"whose fire armed it; empty when none did"`
	AlarmID string                     `json:"alarm_id" doc:"of that fire; empty when none did"`
	By      string                     `json:"by" doc:"who vetoed or reset it last; empty when nobody did"`
	Until   *time.Time                 `json:"until" doc:"end of the veto window (armed) or of the release (releasing); null in every other phase, and while the gateway does not know the time"`
}

// AlarmState is whether an alarm still stands.
type AlarmState string

// The alarm states.
const (
	AlarmOpen    AlarmState = "open"
	AlarmCleared AlarmState = "cleared"
)

// Alarm is one fault as the book knows it.
type Alarm struct {
	ID           string             `json:"alarm_id" doc:"ULID, kept from first sight until it clears"`
	Shed         string             `json:"shed"`
	ShedName     string             `json:"shed_name"`
	Subject      string             `json:"subject" doc:"what it is about: outlet/3, bus/main, shed"`
	Cause        shedguard.Cause    `json:"cause"`
	Detail       shedguard.Detail   `json:"detail" doc:"what of the cause was seen; empty when it has one face"`
	Severity     shedguard.Severity `json:"severity"`
	Level        int                `json:"level" doc:"1 critical to 4 warning; 0 when only its clearing is known"`
	Grade        shedguard.Grade    `json:"grade" doc:"how sure of a fire; empty for other alarms"`
	State        AlarmState         `json:"state" enum:"open,cleared"`
	RaisedAt     time.Time          `json:"raised_at" doc:"the sample on which the rule decided"`
	Since        time.Time          `json:"since" doc:"when the condition began"`
	ClearedAt    *time.Time         `json:"cleared_at" doc:"null while it stands"`
	ReceivedAt   time.Time          `json:"received_at" doc:"when the collector first heard of it"`
	Value        float64            `json:"value"`
	Limit        float64            `json:"limit"`
	Unit         string             `json:"unit"`
	Action       shedguard.Action   `json:"action" doc:"what the gateway did by itself"`
	Latched      bool               `json:"latched" doc:"stays until a person resets it"`
	Evidence     []string           `json:"evidence"`
	PictureCount int                `json:"picture_count" doc:"pictures of it that are kept here"`
	Text         shedguard.Text     `json:"text"`
	Acknowledged *Acknowledgement   `json:"acknowledged" doc:"null until somebody has acknowledged"`
}

// Acknowledgement is that a person has taken note of an alarm.
type Acknowledgement struct {
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Comment string    `json:"comment"`
}

// HistoryEntry is one event in the life of an alarm.
type HistoryEntry struct {
	At       time.Time           `json:"at"`
	Type     string              `json:"type" doc:"raised, updated, acknowledged, cleared, comment"`
	By       string              `json:"by"`
	Text     string              `json:"text" doc:"what a person wrote; empty for an event"`
	Message  *shedguard.Text     `json:"message,omitempty" doc:"the event's text; absent for what a person did"`
	Severity *shedguard.Severity `json:"severity,omitempty" doc:"absent for what a person did"`
	Value    *float64            `json:"value,omitempty" doc:"absent for what a person did"`
}

// AlarmQuery picks alarms, newest first.
type AlarmQuery struct {
	State    AlarmState         // empty: all
	Shed     string             // empty: every shed
	Subject  string             // as outlet/3; empty: every subject
	From, To time.Time          // that stood at some moment of this span, To excluded; zero: without that end
	Severity shedguard.Severity // cleared (0): every severity
	Cursor   string             // next of the page before
	Limit    int                // 1 to MaxPage; 0: DefaultPage
}

// The sizes of a page.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// DeadLetter is a message that was refused.
type DeadLetter struct {
	ID       int64     `json:"id"` // given by the book
	At       time.Time `json:"at"`
	Shed     string    `json:"shed" doc:"of the topic; empty when the topic names none"`
	Topic    string    `json:"topic"`
	Reason   string    `json:"reason"`
	Payload  []byte    `json:"payload" doc:"its first bytes"`
	Original int       `json:"bytes" doc:"length of the whole payload"`
}

// MaxDeadLetterBytes is how much of a refused payload is kept.
const MaxDeadLetterBytes = 4 << 10

// MaxDeadLetters is how many refused messages are kept, newest first, so that
// a gateway that talks garbage cannot fill the disk.
const MaxDeadLetters = 10_000

// User is a person who may log in.
type User struct {
	Name         string
	Role         string
	PasswordHash string // argon2id in its encoded form
	CreatedAt    time.Time
}

// AuditEntry is one deed of a person.
type AuditEntry struct {
	At      time.Time       `json:"at"`
	By      string          `json:"by"`
	Address string          `json:"address" doc:"of the client"`
	Deed    string          `json:"deed" doc:"login, login_refused, logout, acknowledge, comment, command, shed_changed, look, notify_test, token_created, token_revoked, token_refused"`
	Target  string          `json:"target" doc:"alarm id, shed id, command id"`
	Detail  json.RawMessage `json:"detail,omitempty"`
}

// CommandRecord is a command that was given and what became of it.
type CommandRecord struct {
	Shed    string
	Command shedguard.Command
	Reply   *shedguard.Reply // nil until one came
}

// Change is what a committed write made different; exactly one of its members
// is set.
type Change struct {
	Shed     *Shed
	Alarm    *Alarm
	Reply    *Reply
	Picture  *AlarmPicture
	Snapshot *ShedSnapshot
}

// Reply is a gateway's reply and the shed that gave it.
type Reply struct {
	Shed string `json:"shed"`
	shedguard.Reply
}
