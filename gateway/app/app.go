package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/i2c"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/alarm"
	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/calibration"
	"github.com/shedguard/shedguard/gateway/clock"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/guard"
	"github.com/shedguard/shedguard/gateway/outbox"
	"github.com/shedguard/shedguard/gateway/poll"
	"github.com/shedguard/shedguard/gateway/session"
	"github.com/shedguard/shedguard/gateway/status"
	"github.com/shedguard/shedguard/gateway/telemetry"
	"github.com/shedguard/shedguard/gateway/uplink"
)

// Grace is how long the parts behind the guard may take to end.
const Grace = 5 * time.Second

// The files in the state folder.
const (
	alarmFile  = "alarms.json"
	outboxFile = "outbox.db"
	clockFile  = "clock"
	// CalibrationFile is package calibration's.
	CalibrationFile = "calibration.json"
)

// Options are what a gateway is made of besides its configuration.
type Options struct {
	Config  *config.Config
	Version string
	Built   time.Time // of the program; zero when unknown
	// Buses are the open buses by their names in the configuration.
	Buses map[string]i2c.Bus
	// Recover brings a bus back, for example by opening it again; may be nil.
	Recover func(bus string) error
	// Resets are the reset lines of muxes by their names in the configuration.
	Resets map[string]board.Line
	// EnableLine is the coil enable; nil where there is none.
	EnableLine EnableLine
	// Hold is an outlet that is fed by a start command only, whatever its
	// configuration says; 0 is none.
	Hold int
	// Watchdog is fed after completed work of the guard; may be nil. It must
	// not block.
	Watchdog func() error
	// Ready is called once the guard runs; may be nil.
	Ready func()
	// Expired ends the process because the guard stands still.
	Expired func(error)
	Log     *slog.Logger
}

// EnableLine is the pin that keeps the supply of the relay coils alive.
type EnableLine interface {
	Out(l gpio.Level) error
}

// App is one gateway.
type App struct {
	cfg     *config.Config
	version string
	hash    string
	boot    string
	log     *slog.Logger
	ready   func()
	zones   map[int]string // of the outlets that have one

	relays   *actuate.Relays
	deadline *actuate.Deadline
	guard    *guard.Guard
	alarms   *alarm.Book
	clock    *clock.Clock
	outbox   *outbox.Outbox
	recorder *telemetry.Recorder
	uplink   *uplink.Uplink
	status   *status.Server
	// suppressor is nil where no suppression output is enabled.
	suppressor *actuate.Suppressor
	phase      shedguard.SuppressionPhase // that was reported last; of whoever holds the suppressor
	phases     chan phaseChange
	until      steadyEnd
	// eyes is nil where there are no fire zones.
	eyes *eyes

	restarts   atomic.Int64   // of parts behind the guard
	calibrated int            // outlets whose meters follow a calibration
	refused    int            // calibrations that were not applied
	checks     sync.WaitGroup // self-tests that may still wait for a bus

	mu      sync.Mutex
	resetBy map[int]string // outlets whose latches a person just cleared
}

// New builds a gateway. All outlets are open when it returns, also with an
// error; what it opened is closed then.
func New(ctx context.Context, opts Options) (_ *App, err error) {
	if opts.Config == nil || opts.Log == nil || opts.Expired == nil {
		return nil, errors.New("gateway: config, log and expired: required")
	}
	cfg := opts.Config
	a := &App{
		cfg: cfg, version: opts.Version, hash: cfg.Hash(), boot: ulid.Make().String(), log: opts.Log,
		ready: opts.Ready, zones: make(map[int]string), resetBy: make(map[int]string), phases: make(chan phaseChange, phaseQueue),
	}
	for i := range cfg.Outlets {
		if zone := cfg.Outlets[i].Zone; zone != "" {
			a.zones[cfg.Outlets[i].Number] = zone
		}
	}
	// First of all, nothing is fed.
	wired, err := board.New(cfg, opts.Buses, &board.Recovery{Reopen: opts.Recover, Resets: opts.Resets})
	if err != nil {
		return nil, err
	}
	if a.relays, err = actuate.New(wired.Relays()); err != nil {
		return nil, err
	}
	for _, o := range cfg.Outlets {
		if err := a.relays.Fault(o.Number); err != nil {
			a.log.Error("relay not confirmed open at start", "outlet", o.Number, "err", err)
		}
	}
	if err := os.MkdirAll(cfg.State.Dir, 0o750); err != nil {
		// Not fatal: outbox and alarm book say what they lose by it.
		a.log.Error("state folder cannot be made, nothing will outlive a restart", "path", cfg.State.Dir, "err", err)
	}
	a.calibrate(wired)
	if err := a.keepers(&opts); err != nil {
		return nil, err
	}
	if err := a.protectors(wired, &opts); err != nil {
		return nil, errors.Join(err, a.outbox.Close())
	}
	a.newSuppressor()
	if a.eyes, err = a.newEyes(); err != nil {
		return nil, errors.Join(err, a.outbox.Close())
	}
	if err := a.reporters(ctx); err != nil {
		return nil, errors.Join(err, a.outbox.Close())
	}
	return a, nil
}

// calibrate corrects the meters. Whatever is wrong with the file, the gateway
// starts and says it: a meter that is off by a few percent protects, one that is
// not read does not.
func (a *App) calibrate(wired *board.Board) {
	path := filepath.Join(a.cfg.State.Dir, CalibrationFile)
	records, err := calibration.Load(path)
	if err != nil {
		a.refused++
		aside := ""
		if errors.Is(err, calibration.ErrDamaged) {
			var aerr error
			aside, aerr = calibration.SetAside(path, time.Now())
			err = errors.Join(err, aerr)
		}
		a.log.Error("calibration not applied, meters follow the configuration", "aside", aside, "err", err)
		return
	}
	applied, errs := wired.Calibrate(records)
	for _, err := range errs {
		a.log.Error("calibration of an outlet not applied, its meter follows the configuration", "err", err)
	}
	a.calibrated, a.refused = applied, len(errs)
	if applied > 0 {
		a.log.Info("meters calibrated", "outlets", applied)
	}
}

// keepers opens what outlives a restart.
func (a *App) keepers(opts *Options) (err error) {
	path := func(name string) string { return filepath.Join(a.cfg.State.Dir, name) }
	source := clock.Kernel
	if a.cfg.Clock.Source == "trust" {
		source = clock.Trust
	}
	if a.clock, err = clock.New(clock.Options{
		Source: source, Built: opts.Built, FloorPath: path(clockFile), Log: a.part("clock"),
	}); err != nil {
		return err
	}
	if a.outbox, err = outbox.Open(path(outboxFile), outbox.Options{
		BootID: a.boot, MaxTelemetryBytes: int64(a.cfg.Outbox.MaxMB) << 20, Log: a.part("outbox"),
	}); err != nil {
		return err
	}
	a.alarms, err = alarm.Open(alarm.Options{
		Path: path(alarmFile), Shed: a.cfg.Shed, BootID: a.boot, Outlets: outletNumbers(a.cfg),
		Started: a.clock.Started(), Put: a.put, Clock: a.clock.Quality, Log: a.part("alarms"),
		Damping: &alarm.Damping{
			ReportAfter: a.cfg.Alarms.ReportAfter, ClearAfter: a.cfg.Alarms.ClearAfter,
			FlapCount: a.cfg.Alarms.FlapCount, FlapWindow: a.cfg.Alarms.FlapWindow, FlapCalm: max(a.cfg.Alarms.FlapCalm, a.cfg.Alarms.ClearAfter),
		},
		Inhibit: inhibitions(a.cfg),
	}, time.Now())
	if err != nil {
		return errors.Join(err, a.outbox.Close())
	}
	return nil
}

// inhibitions let the fault of a bus stand for what its outlets' meters do not
// say.
func inhibitions(cfg *config.Config) []alarm.Inhibition {
	var all []alarm.Inhibition
	for i := range cfg.Buses {
		in := alarm.Inhibition{
			Subject: guard.BusSubject(cfg.Buses[i].Name), Cause: shedguard.CauseBusFault,
			Hides: []shedguard.Cause{shedguard.CauseMeterStale, shedguard.CauseMeterImplausible},
		}
		for j := range cfg.Outlets {
			if o := &cfg.Outlets[j]; cfg.BusOf(&o.Meter.Place) == cfg.Buses[i].Name {
				in.Of = append(in.Of, shedguard.OutletSubject(o.Number))
			}
		}
		if f := cfg.Feeder; f != nil && f.Meter != nil && cfg.BusOf(&f.Meter.Place) == cfg.Buses[i].Name {
			in.Of = append(in.Of, guard.FeederSubject)
		}
		all = append(all, in)
	}
	return all
}

// put hands an event to the outbox. What the outbox keeps in memory only, or
// will never deliver, is taken all the same: it has said so itself.
func (a *App) put(ctx context.Context, e shedguard.Event) error {
	a.say(ctx, &e)
	err := a.outbox.PutAlarm(ctx, e)
	if errors.Is(err, outbox.ErrRefused) || errors.Is(err, outbox.ErrMemoryOnly) {
		return nil
	}
	return err
}

// say logs an alarm's life, for the operator at the box, and ends the silence of
// the siren when there is a new critical one.
func (a *App) say(ctx context.Context, e *shedguard.Event) {
	if !e.IsAlarm() {
		return
	}
	m, err := e.Alarm()
	if err != nil {
		a.log.Error("alarm event cannot be read back", "part", "alarms", "id", e.ID, "err", err)
		return
	}
	if e.Type == shedguard.EventAlarmRaised && m.Severity == shedguard.SeverityCritical && a.guard != nil {
		a.guard.Alarmed()
	}
	level := slog.LevelWarn
	if m.Severity == shedguard.SeverityCritical || m.Severity == shedguard.SeverityMajor {
		level = slog.LevelError
	}
	if e.Type == shedguard.EventAlarmCleared || e.Type == shedguard.EventAlarmAcknowledged {
		level = slog.LevelInfo
	}
	a.log.Log(ctx, level, "alarm changed", "change", strings.TrimPrefix(e.Type, "shedguard.alarm."), "subject", e.Subject, "cause", m.Cause, "severity", m.Severity,
		"value", m.Value, "limit", m.Limit, "unit", m.Unit, "action", m.Action, "latched", m.Latched, "by", m.By, "alarm_id", m.ID)
}

// protectors builds the guard from what was kept.
func (a *App) protectors(wired *board.Board, opts *Options) (err error) {
	var lines []*poll.Line
	for _, p := range wired.Polls() {
		line, err := poll.New(p)
		if err != nil {
			return err
		}
		lines = append(lines, line)
	}
	var enable *actuate.Enable
	if opts.EnableLine != nil {
		if enable, err = actuate.NewEnable(opts.EnableLine); err != nil {
			return err
		}
	}
	if a.deadline, err = actuate.NewDeadline(actuate.DeadlineOptions{
		Limit: actuate.DeadlineLimit, Enable: enable, Relays: a.relays, Expired: opts.Expired,
	}); err != nil {
		return err
	}
	var outlets []guard.Outlet
	for i := range a.cfg.Outlets {
		o := &a.cfg.Outlets[i]
		kept := a.alarms.Kept(o.Number)
		settings := o.SessionSettings()
		if o.Number == opts.Hold {
			settings.StartBy = session.StartCommand
		}
		outlets = append(outlets, guard.Outlet{
			Number: o.Number, Limits: o.ProtectLimits(), Session: settings, Charge: o.ChargeSettings(),
			Heat: kept.Heat, Latched: a.alarms.Latched(o.Number), Kept: kept.Session, Curves: kept.Charge,
			RatedWatts: o.RatedWatts(), Closings: kept.Closings,
		})
	}
	var shared *guard.Feeder
	if l := a.cfg.FeederLimits(); l != nil {
		shared = &guard.Feeder{Limits: l, Severity: a.cfg.Feeder.Severity}
	}
	a.guard, err = guard.New(guard.Options{
		Contacts: a.contacts(wired),
		Lines:    lines, Relays: a.relays, Outlets: outlets, Stagger: a.cfg.Actuate.Stagger, ClosingsPerHour: a.cfg.Actuate.ClosingsPerHour, Feeder: shared, Deadline: a.deadline, Enable: enable,
		Watchdog: opts.Watchdog, NewID: newID, ChangeQueue: 64, SampleQueue: 1024,
	})
	return err
}

// contacts are the smoke contacts and the outlets that each of them cuts.
func (a *App) contacts(wired *board.Board) []guard.Contact {
	var all []guard.Contact
	for i := range a.cfg.SmokeContacts {
		s := &a.cfg.SmokeContacts[i]
		c := guard.Contact{
			Zone: s.Zone, Pin: wired.Contact(s), NormallyClosed: s.NormallyClosed, Debounce: s.Debounce,
			Severity: s.Severity, Action: shedguard.Action(s.Action),
		}
		if s.Action == "report" {
			c.Action = shedguard.ActionNone
		}
		for _, n := range outletNumbers(a.cfg) {
			if a.zones[n] == s.Zone || c.Action == shedguard.ActionCutShed {
				c.Outlets = append(c.Outlets, n)
			}
		}
		all = append(all, c)
	}
	return all
}

// reporters builds what tells others.
func (a *App) reporters(ctx context.Context) (err error) {
	if a.recorder, err = telemetry.New(telemetry.Options{
		Shed: a.cfg.Shed, Start: a.clock.Started(), Window: a.cfg.Telemetry.Window, SampleHz: a.cfg.Poll.Hz,
		DeadBand: telemetry.DefaultDeadBand(),
		Clock: func() (time.Time, bool) {
			return a.clock.Wall(a.clock.Started()), a.clock.Quality() != shedguard.ClockUnsynced
		},
		Put: func(ctx context.Context, synced bool, lines []byte) error {
			return a.outbox.PutTelemetry(ctx, outbox.Telemetry{BootID: a.boot, Synced: synced, Lines: lines})
		},
	}); err != nil {
		return err
	}
	if a.uplink, err = a.newUplink(); err != nil {
		return err
	}
	a.status, err = status.New(ctx, status.Options{
		Listen: a.cfg.Status.Listen, AllowRemote: a.cfg.Status.AllowRemote, State: a.State,
		LastTick: a.lastTick, Metrics: a.metrics(), Collectors: []prometheus.Collector{newJitter(a.guard.Lines)}, Log: a.part("status"),
	})
	return err
}

// StatusAddr is where the local page listens.
func (a *App) StatusAddr() string { return a.status.Addr().String() }

// BootID is the identity of this start.
func (a *App) BootID() string { return a.boot }

// Run runs the gateway until ctx ends, which is no error. The relays are open
// when it returns.
func (a *App) Run(ctx context.Context) error {
	// What reports must outlive the guard, to tell how it ended.
	after, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var reports sync.WaitGroup
	parts := map[string]func(context.Context) error{
		"alarms":    a.recordChanges,
		"telemetry": a.recordSamples,
		"uplink":    a.uplink.Run,
		"clock":     a.clock.Run,
		"status":    a.status.Run,
	}
	if a.suppressor != nil {
		parts["suppression"] = a.suppressor.Run
	}
	if a.eyes != nil {
		parts["eyes"] = a.eyes.run
		if a.eyes.worker != nil {
			parts["cameras"] = a.eyes.runWorker
		}
	}
	for name, run := range parts {
		reports.Go(func() { a.keep(after, name, run) })
	}
	var watch sync.WaitGroup
	var missed error
	watch.Go(func() { missed = a.deadline.Run(ctx) })
	a.log.Info("gateway started", "shed", a.cfg.Shed, "outlets", len(a.cfg.Outlets), "boot_id", a.boot, "version", a.version, "status", a.StatusAddr())
	if a.ready != nil {
		a.ready()
	}
	err := a.guard.Run(ctx)
	watch.Wait()
	err = errors.Join(err, missed)
	if err != nil {
		a.log.Error("guard ended", "err", err)
	}
	stop()
	if !waitFor(&reports, Grace) || !waitFor(&a.checks, Grace) {
		err = errors.Join(err, fmt.Errorf("gateway: a part did not end within %s", Grace))
	}
	if cerr := a.outbox.Close(); cerr != nil {
		err = errors.Join(err, cerr)
	}
	a.log.Info("gateway ended", "shed", a.cfg.Shed)
	return err
}

// waitFor reports whether all of wg ended within d.
func waitFor(wg *sync.WaitGroup, d time.Duration) bool {
	done := make(chan struct{})
	var waiter sync.WaitGroup
	waiter.Go(func() { wg.Wait(); close(done) })
	select {
	case <-done:
		return true
	case <-time.After(d):
		return false
	}
}

// part is the log of one part.
func (a *App) part(name string) *slog.Logger { return a.log.With("part", name) }

func newID() string { return ulid.Make().String() }

func outletNumbers(cfg *config.Config) []int {
	n := make([]int, len(cfg.Outlets))
	for i := range cfg.Outlets {
		n[i] = cfg.Outlets[i].Number
	}
	return n
}
