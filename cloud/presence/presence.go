package presence

import (
	"context"
	"log/slog"
	"time"

	"github.com/shedguard/shedguard"
)

// SourceCloud is the CloudEvents source of the alarms that presence raises.
const SourceCloud = "shedcloud"

// Subject is the CloudEvents subject of a shed seen from the cloud.
func Subject(shed string) string { return "shed/" + shed }

// Limits are the waits of the judgement; the zero value of each is its default.
type Limits struct {
	Trust  time.Duration // a retained online without traffic for so long is not believed; default 90 s
	Silent time.Duration // connected without telemetry for so long is silent; default 60 s
}

// Open is an alarm of source shedcloud that was open when the collector ended.
type Open struct {
	Shed  string
	Alarm shedguard.Alarm
}

// Options says what presence knows at start and whom it tells.
type Options struct {
	Limits Limits
	Open   func(ctx context.Context) ([]Open, error)               // open alarms of source shedcloud, from the book
	Put    func(ctx context.Context, e shedguard.Event) error      // commits an event; tried again until it returns nil
	Text   func(subject string, a *shedguard.Alarm) shedguard.Text // default shedguard.AlarmText
	BootID string                                                  // a ULID, one a start of the collector
	Log    *slog.Logger
}

// Watch follows every shed.
type Watch struct {
	opts Options
}

// New checks the options.
func New(opts Options) (*Watch, error) { return &Watch{opts: opts}, nil }

// Run raises and clears alarms until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Status tells of a status message.
func (w *Watch) Status(shed string, s shedguard.Status, retained bool, at time.Time) {}

// Traffic tells of any message that a gateway itself published just now.
func (w *Watch) Traffic(shed string, at time.Time) {}

// Telemetry tells of stored lines and of lines refused for their time.
func (w *Watch) Telemetry(shed string, good, refused int, at time.Time) {}

// State says how a shed's gateway is: online, offline, silent, stopped or
// unknown.
type State string

// The states of a gateway as the collector sees it.
const (
	StateUnknown State = "unknown" // no status yet, or a retained online that nothing has borne out
	StateOnline  State = "online"
	StateSilent  State = "silent"
	StateOffline State = "offline"
	StateStopped State = "stopped"
)

// State is how a shed's gateway is now, and since when.
func (w *Watch) State(shed string) (State, time.Time) { return StateUnknown, time.Time{} }
