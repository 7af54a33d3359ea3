package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/oklog/ulid/v2"
	"periph.io/x/conn/v3/i2c"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/app"
	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/calibration"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/guard"
	"github.com/shedguard/shedguard/gateway/sim"
)

const (
	feedWithin   = time.Minute      // self-checks, stagger and whoever must be fed first
	loadWithin   = 30 * time.Second // until a load draws
	settleFor    = 3 * time.Second  // after a relay moved, and inrush
	feedMinutes  = 30.0             // the longest that a calibration feeds an outlet
	simLoadOhms  = 50.0             // what is plugged into a simulated outlet
	calibratedBy = "calibrate"
)

type calibrateCmd struct {
	Config  string  `short:"c" type:"path" placeholder:"FILE" help:"The configuration."`
	Outlet  int     `placeholder:"N" help:"The outlet, by its number."`
	Zero    bool    `help:"Measure the open outlet, and nothing else."`
	Volts   float64 `placeholder:"V" help:"What the reference shows of the known load, in V. With --amps: measure it without asking."`
	Amps    float64 `placeholder:"A" help:"The same in A."`
	Watts   float64 `placeholder:"W" help:"The same in W; volts times amperes for a resistive load when left out."`
	Seconds int     `default:"10" placeholder:"N" help:"How long to average, 3 to 120."`
	By      string  `placeholder:"NAME" help:"Who holds the reference; kept with the result."`
	List    bool    `help:"Show what is kept, and measure nothing."`
	Clear   bool    `help:"Forget what is kept of the outlet."`
	simFlags
}

// Help is what the command's own help says in full.
func (*calibrateCmd) Help() string {
	return "Without --zero, --volts and --amps it asks: first for the open outlet, then for known loads, one after the other. " +
		"Stop the service first. While it runs, this command is the gateway, with all rules, alarms and the other outlets: only the " +
		"guard feeds the load, and cuts it as ever. The result lies in the state folder beside the configuration's own corrections and " +
		"takes their place when the gateway starts. Exit code 0: kept; 1: refused or failed; 2: wrong usage."
}

func (c *calibrateCmd) usage() error {
	bad := func(format string, args ...any) error { return usageError{fmt.Errorf("calibrate: "+format, args...)} }
	load := c.Volts != 0 || c.Amps != 0 || c.Watts != 0
	modes := 0
	for _, on := range []bool{c.Zero, load, c.List, c.Clear} {
		if on {
			modes++
		}
	}
	switch {
	case c.Sim == (c.Config != ""):
		return bad("want either --config FILE or --sim --state DIR")
	case c.Sim && c.State == "":
		return bad("--sim needs --state DIR: where the result is kept")
	case modes > 1:
		return bad("want one of --zero, --volts with --amps, --list, --clear")
	case load && (c.Volts <= 0 || c.Amps <= 0 || c.Watts < 0):
		return bad("--volts and --amps belong together, both above 0; --watts may join them")
	case c.Outlet == 0 && !c.List:
		return bad("--outlet: required")
	case c.Seconds < 3 || c.Seconds > 120:
		return bad("--seconds %d: want 3 to 120", c.Seconds)
	}
	return nil
}

// Run calibrates one outlet.
func (c *calibrateCmd) Run(e *env) (err error) {
	if err := c.usage(); err != nil {
		return err
	}
	b, err := c.prepare(e)
	if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	defer func() {
		if cerr := b.close(); err == nil {
			err = cerr
		}
	}()
	if c.List {
		records, err := calibration.Load(b.path)
		if err != nil {
			return fmt.Errorf("calibrate: %w", err)
		}
		return list(e.out, records, b.cfg)
	}
	i := slices.IndexFunc(b.cfg.Outlets, func(o config.Outlet) bool { return o.Number == c.Outlet })
	if i < 0 {
		return usageError{fmt.Errorf("calibrate: --outlet %d: the configuration has none of that number", c.Outlet)}
	}
	release, locked, err := takeLock(b.cfg.State.Dir)
	if !locked {
		if errors.Is(err, errTaken) {
			err = usageError{fmt.Errorf("%w: stop it first (systemctl stop shedguard)", err)}
		}
		return fmt.Errorf("calibrate: %w", err)
	}
	defer func() { err = errors.Join(err, release()) }()
	records, err := calibration.Load(b.path)
	if errors.Is(err, calibration.ErrDamaged) {
		aside, aerr := calibration.SetAside(b.path, time.Now())
		if aerr != nil {
			return fmt.Errorf("calibrate: %w", errors.Join(err, aerr))
		}
		fmt.Fprintf(e.errs, "shedguard: %v; set aside as %s\n", err, aside)
	} else if err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	if c.Clear {
		records = slices.DeleteFunc(records, func(r calibration.Record) bool { return r.Outlet == c.Outlet })
		if err := calibration.Save(b.path, records); err != nil {
			return fmt.Errorf("calibrate: %w", err)
		}
		fmt.Fprintf(e.out, "outlet %d: forgotten in %s; the gateway follows its configuration when it starts\n", c.Outlet, b.path)
		return nil
	}
	w := &work{cmd: c, env: e, box: b, outlet: &b.cfg.Outlets[i], records: records}
	if err := w.run(); err != nil {
		return fmt.Errorf("calibrate: %w", err)
	}
	return nil
}

// box is what is calibrated: a shed with its buses, or a simulated one.
type box struct {
	cfg   *config.Config
	path  string // of the result
	opts  app.Options
	shed  *sim.Shed // nil on hardware
	close func() error
}

func (c *calibrateCmd) prepare(e *env) (*box, error) {
	b := &box{close: func() error { return nil }}
	switch {
	case c.Sim:
		shed, cfg, closeBoard, err := c.open(e, sim.Settings{Broker: "mqtt://127.0.0.1:1883", Status: "127.0.0.1:0", Profile: "outlet-10a"}, 1, nil)
		if err != nil {
			return nil, err
		}
		b.cfg, b.shed, b.close = cfg, shed, closeBoard
		b.opts = app.Options{
			Buses: map[string]i2c.Bus{sim.BusName: shed.Bus}, EnableLine: shed,
			Resets: map[string]board.Line{sim.ResetLine: shed.MuxReset()},
		}
	default:
		cfg, err := config.Load(c.Config)
		if err != nil {
			return nil, usageError{fmt.Errorf("%s: %w", c.Config, err)}
		}
		b.cfg = cfg
		if c.List || c.Clear {
			break // without hardware
		}
		hw, err := openHardware(cfg, e.log)
		if err != nil {
			return nil, err
		}
		b.close = hw.close
		b.opts = app.Options{Buses: hw.buses(), Recover: hw.reopen, Resets: hw.resets}
		if hw.enable != nil {
			b.opts.EnableLine = hw.enable
		}
	}
	b.path = filepath.Join(b.cfg.State.Dir, app.CalibrationFile)
	return b, nil
}

// work is one calibration under way.
type work struct {
	cmd     *calibrateCmd
	env     *env
	box     *box
	outlet  *config.Outlet
	records []calibration.Record
	app     *app.App
	lines   chan string // what a person types
}

// run runs the gateway around the calibration.
func (w *work) run() error {
	ctx, stop := context.WithCancelCause(w.env.ctx)
	defer stop(nil)
	var physics sync.WaitGroup
	if w.box.shed != nil {
		physics.Go(func() { _ = w.box.shed.Run(ctx) }) // ends with the context, never otherwise
	}
	opts := &w.box.opts
	opts.Config, opts.Version, opts.Built, opts.Hold = w.box.cfg, version, built(), w.outlet.Number
	opts.Log = slog.New(quiet{w.env.log.Handler()})
	opts.Expired = func(err error) { expire(w.env, err) }
	a, err := app.New(ctx, *opts)
	if err != nil {
		return err
	}
	w.app = a
	var gateway sync.WaitGroup
	var gerr error
	gateway.Go(func() {
		gerr = a.Run(ctx)
		stop(errors.New("the guard ended"))
	})
	err = w.calibrate(ctx)
	stop(nil)
	gateway.Wait()
	physics.Wait()
	return errors.Join(err, gerr)
}

// quiet lets a person read: only what matters passes.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// calibrate does what was asked for.
func (w *work) calibrate(ctx context.Context) error {
	n := w.outlet.Number
	fmt.Fprintf(w.env.out, "outlet %d: %s, %g A\n", n, calibration.Meter(&w.outlet.Meter), w.outlet.RatingAmps)
	if err := w.ready(ctx); err != nil {
		return err
	}
	switch {
	case w.cmd.Zero:
		return w.zero(ctx)
	case w.cmd.Amps > 0:
		return w.load(ctx, func(context.Context) (calibration.Values, error) {
			return calibration.Values{Volts: w.cmd.Volts, Amps: w.cmd.Amps, Watts: w.cmd.Watts}, nil
		})
	default:
		return w.ask(ctx)
	}
}

// ask leads a person through all steps.
func (w *work) ask(ctx context.Context) error {
	w.lines = make(chan string)
	// Nobody waits for it: reading ends with the input, or with the process, since
	// a terminal cannot be told to stop.
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(w.lines)
		in := bufio.NewScanner(w.env.in)
		for in.Scan() {
			select {
			case w.lines <- strings.TrimSpace(in.Text()):
			case <-ctx.Done():
				return
			}
		}
	})
	say := func(format string, args ...any) { fmt.Fprintf(w.env.out, format, args...) }
	say("Unplug everything from outlet %d. It stays open for this step.\nEnter: measure; s: skip. ", w.outlet.Number)
	answer, err := w.answer(ctx)
	if err != nil {
		return err
	}
	if answer != "s" {
		if err := w.zero(ctx); err != nil {
			return err
		}
	}
	for kind := "a known load"; ; kind = "another load, at least half as large again or as small" {
		say("Plug in %s, beside a reference meter. The guard will feed it.\nEnter: feed it; q: done. ", kind)
		answer, err := w.answer(ctx)
		if err != nil || answer == "q" {
			return err
		}
		if err := w.load(ctx, w.reference); err != nil {
			if ctx.Err() != nil || errors.Is(err, errGivenUp) {
				return err
			}
			say("not kept: %v\n", err) // and the person may try again
		}
	}
}

// errGivenUp comes from a person who has enough.
var errGivenUp = errors.New("given up")

// reference asks what the reference meter shows.
func (w *work) reference(ctx context.Context) (v calibration.Values, err error) {
	for {
		fmt.Fprint(w.env.out, "When the reference is steady, type what it shows: volts amperes [watts]; q: give up. ")
		answer, err := w.answer(ctx)
		if err != nil {
			return v, err
		}
		if answer == "q" {
			return v, errGivenUp
		}
		if v, err = parseReference(answer); err == nil {
			return v, nil
		}
		fmt.Fprintln(w.env.out, err)
	}
}

func parseReference(s string) (v calibration.Values, err error) {
	fields := strings.Fields(s)
	if len(fields) < 2 || len(fields) > 3 {
		return v, fmt.Errorf("%q: want two or three numbers, as 229.8 4.53", s)
	}
	for i, to := range []*float64{&v.Volts, &v.Amps, &v.Watts}[:len(fields)] {
		if *to, err = strconv.ParseFloat(fields[i], 64); err != nil || !(*to > 0 && *to < 1e5) {
			return v, fmt.Errorf("%q: want a number above 0", fields[i])
		}
	}
	return v, nil
}

// answer is the next line that a person types; the end of the input is "q".
func (w *work) answer(ctx context.Context) (string, error) {
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case line, ok := <-w.lines:
		if !ok {
			return "q", nil
		}
		return line, nil
	}
}

// await looks at the outlet until ok, or says what it waited for.
func (w *work) await(ctx context.Context, within time.Duration, what string, ok func(*guard.OutletView) (bool, error)) error {
	deadline := time.After(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		v, _ := w.app.View(w.outlet.Number)
		if done, err := ok(&v); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline:
			return fmt.Errorf("%s: not within %s%s", what, within, why(&v))
		case <-tick.C:
		}
	}
}

// why is what speaks against an outlet, for the end of a sentence.
func why(v *guard.OutletView) string {
	reasons := []string{v.State.String()}
	for _, cause := range v.Latched.List() {
		reasons = append(reasons, string(cause))
	}
	for _, err := range []error{v.MeterErr, v.ThermometerErr, v.RelayErr} {
		if err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	return ": " + strings.Join(reasons, "; ")
}

// ready waits until the meter answers. An outlet that is latched or serves
// somebody is not calibrated.
func (w *work) ready(ctx context.Context) error {
	err := w.await(ctx, feedWithin, "a good reading", func(v *guard.OutletView) (bool, error) {
		switch {
		case v.Latched != 0:
			return false, fmt.Errorf("outlet %d is latched%s; reset it with the gateway first", v.Outlet, why(v))
		case v.Running:
			return false, fmt.Errorf("a session runs on outlet %d: stop it first", v.Outlet)
		}
		return v.Reading.Quality == shedguard.QualityGood && !v.Reading.At.IsZero(), nil
	})
	return err
}

// zero measures the open outlet.
func (w *work) zero(ctx context.Context) error {
	if w.box.shed != nil {
		w.box.shed.Plug(w.outlet.Number, nil)
	}
	m, err := w.measure(ctx, false)
	if err != nil {
		return err
	}
	p, err := m.Rest(w.outlet, time.Now(), w.cmd.By)
	if err != nil {
		return err
	}
	return w.keep(p)
}

// load has the guard feed a known load and measures it.
func (w *work) load(ctx context.Context, reference func(context.Context) (calibration.Values, error)) (err error) {
	n, minutes := w.outlet.Number, feedMinutes
	if w.box.shed != nil {
		w.box.shed.Plug(n, &sim.Resistor{Ohms: simLoadOhms})
	}
	if err := w.app.Order(ctx, guard.Order{
		Kind: shedguard.CommandStart, Outlet: n, By: calibratedBy, SessionID: ulid.Make().String(),
		Args: shedguard.StartArgs{Outlet: n, MaxMinutes: &minutes},
	}); err != nil {
		return err
	}
	defer func() {
		// It is open at the end of the gateway in any case.
		serr := w.app.Order(context.WithoutCancel(ctx), guard.Order{Kind: shedguard.CommandStop, Outlet: n, By: calibratedBy})
		if ctx.Err() == nil {
			err = errors.Join(err, serr)
		}
	}()
	if err := w.await(ctx, feedWithin, "feeding the load", func(v *guard.OutletView) (bool, error) { return v.Closed, nil }); err != nil {
		return err
	}
	least := w.outlet.RatingAmps / 100
	if err := w.await(ctx, loadWithin, "a load that draws", func(v *guard.OutletView) (bool, error) {
		return v.Reading.Amps > least || v.Reading.Amps < -least, w.fed(v)
	}); err != nil {
		return err
	}
	ref, err := reference(ctx)
	if err != nil {
		return err
	}
	m, err := w.measure(ctx, true)
	if err != nil {
		return err
	}
	p, err := m.Load(w.outlet, ref, time.Now(), w.cmd.By)
	if err != nil {
		return err
	}
	return w.keep(p)
}

// fed is an error once the guard has opened the outlet.
func (w *work) fed(v *guard.OutletView) error {
	if v.Closed {
		return nil
	}
	return fmt.Errorf("the guard opened outlet %d%s", v.Outlet, why(v))
}

// measure averages for as long as was asked, once the relay has rested.
func (w *work) measure(ctx context.Context, closed bool) (*calibration.Measurement, error) {
	if err := w.await(ctx, feedWithin, "a relay at rest", func(v *guard.OutletView) (bool, error) {
		if closed {
			return time.Since(v.SwitchedAt) > settleFor, w.fed(v)
		}
		return !v.Closed && time.Since(v.SwitchedAt) > settleFor, nil
	}); err != nil {
		return nil, err
	}
	in := w.effective()
	m := new(calibration.Measurement)
	var last time.Time
	var failed error
	end := time.Now().Add(time.Duration(w.cmd.Seconds) * time.Second)
	err := w.await(ctx, feedWithin+time.Until(end), "readings", func(v *guard.OutletView) (bool, error) {
		if closed {
			if err := w.fed(v); err != nil {
				return false, err
			}
		}
		switch {
		case v.Reading.At.After(last):
			last, failed = v.Reading.At, nil
			m.Take(&v.Reading, in)
		case v.MeterErr != nil && !errors.Is(v.MeterErr, failed):
			failed = v.MeterErr
			m.Bad()
		}
		return time.Now().After(end), nil
	})
	return m, err
}

// effective is the meter with the corrections that are in effect.
func (w *work) effective() *config.Meter {
	m := w.outlet.Meter
	// As the gateway had it when it started: what was kept since has no effect yet.
	for i := range w.records {
		if r := &w.records[i]; r.Outlet == w.outlet.Number && r.Check(w.outlet) == nil {
			r.Apply(&m)
		}
	}
	return &m
}

// keep takes a point in, saves and tells.
func (w *work) keep(p calibration.Point) error {
	kept, err := calibration.Load(w.box.path)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(kept, func(r calibration.Record) bool { return r.Outlet == w.outlet.Number })
	record := calibration.New(w.outlet)
	if i >= 0 {
		if kept[i].Meter == record.Meter && kept[i].Wiring == record.Wiring {
			*record = kept[i]
		}
		kept = slices.Delete(kept, i, i+1)
	}
	if err := record.Add(p, w.outlet); err != nil {
		tellPoint(w.env.out, &p)
		return err
	}
	if err := calibration.Save(w.box.path, append(kept, *record)); err != nil {
		return err
	}
	tellPoint(w.env.out, &p)
	tellTrims(w.env.out, record)
	fmt.Fprintf(w.env.out, "kept in %s; in effect when the gateway starts\n", w.box.path)
	return nil
}

// tellPoint says what was measured.
func tellPoint(w io.Writer, p *calibration.Point) {
	what := "open outlet"
	if p.True != nil {
		what = "known load"
	}
	fmt.Fprintf(w, "  %s: %d readings in %g s\n", what, p.Samples, p.Seconds)
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "    measured\t%.2f V ± %.2f\t%.4f A ± %.4f\t%.1f W ± %.1f\n", p.Mean.Volts, p.Spread.Volts, p.Mean.Amps, p.Spread.Amps, p.Mean.Watts, p.Spread.Watts)
	if p.True != nil {
		watts := "-"
		if p.True.Watts != 0 {
			watts = fmt.Sprintf("%.1f W", p.True.Watts)
		}
		fmt.Fprintf(t, "    true\t%.2f V\t%.4f A\t%s\n", p.True.Volts, p.True.Amps, watts)
	}
	_ = t.Flush() // to a terminal, as all that is said here
}

// tellTrims says what will correct the meter.
func tellTrims(w io.Writer, r *calibration.Record) {
	for _, c := range []struct {
		name, unit string
		trim       *calibration.Trim
	}{{"volts", "V", r.Volts}, {"amperes", "A", r.Amps}, {"watts", "W", r.Watts}} {
		if c.trim == nil {
			continue
		}
		fmt.Fprintf(w, "  %s = %.5f x measured", c.name, c.trim.Gain)
		if c.trim.Offset != 0 {
			fmt.Fprintf(w, " %+.4f %s", c.trim.Offset, c.unit)
		}
		fmt.Fprintln(w)
	}
}

// list shows what is kept.
func list(w io.Writer, records []calibration.Record, cfg *config.Config) error {
	if len(records) == 0 {
		_, err := fmt.Fprintln(w, "no outlet is calibrated")
		return err
	}
	for i := range records {
		r := &records[i]
		state := "applies"
		j := slices.IndexFunc(cfg.Outlets, func(o config.Outlet) bool { return o.Number == r.Outlet })
		if j < 0 {
			state = "not applied: the configuration has no such outlet"
		} else if err := r.Check(&cfg.Outlets[j]); err != nil {
			state = "not applied: " + strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		by := ""
		if len(r.Points) > 0 && r.Points[len(r.Points)-1].By != "" {
			by = " by " + r.Points[len(r.Points)-1].By
		}
		rest := "without the open outlet"
		if r.Zero() != nil {
			rest = "and the open outlet"
		}
		loads := fmt.Sprintf("%d loads", r.Loads())
		if r.Loads() == 1 {
			loads = "1 load"
		}
		if _, err := fmt.Fprintf(w, "outlet %d: %s: %s%s, %s %s: %s\n", r.Outlet, r.Meter, r.At().Format(time.DateOnly), by, loads, rest, state); err != nil {
			return err
		}
		tellTrims(w, r)
	}
	return nil
}

// expire ends a process whose guard stands still: what stands behind it opens
// the relays.
func expire(e *env, err error) {
	time.AfterFunc(expireWithin, func() { os.Exit(exitFailed) }) // nothing may keep it
	e.log.Error("guard stands still, ending the process", "err", err)
	os.Exit(exitFailed)
}
