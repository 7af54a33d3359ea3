// Command shedguard is the gateway in a charging shed: it watches every outlet,
// cuts power by itself, and tells the collector.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/internal/logflags"
)

// version is set by the linker.
var version = "dev"

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// cli is what people type.
type cli struct {
	logflags.Flags

	Run       runCmd       `cmd:"" help:"Watch the outlets until told to stop (SIGTERM or Ctrl-C); all outlets are open before and after."`
	Open      openCmd      `cmd:"" help:"Open every outlet now and end: for ExecStopPost, and for a person at the box."`
	Check     checkCmd     `cmd:"" help:"Read a configuration and list every fault in it."`
	Scan      scanCmd      `cmd:"" help:"Tell which chips answer, and how that differs from the configuration; only while no gateway runs."`
	Calibrate calibrateCmd `cmd:"" help:"Correct the meter of an outlet by a known load; runs the gateway meanwhile, in place of the service."`
	Replay    replayCmd    `cmd:"" help:"Run a recording through the rules and tell what they decide."`
	Version   versionCmd   `cmd:"" help:"Tell the version."`
}

// env is what a command works with.
type env struct {
	ctx  context.Context //nolint:containedctx // kong hands commands their arguments by type
	in   io.Reader
	out  io.Writer
	errs io.Writer
	log  *slog.Logger
}

// run is main without the process around it.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("shedguard"),
		kong.Description("Watches the charging outlets of a shed, cuts power by itself, and raises alarms over MQTT.\n\n"+
			"Without hardware: shedguard run --sim --scenario overload"),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return fail(errs, err, exitFailed)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help was printed
		return exited
	}
	if err != nil {
		return fail(errs, fmt.Errorf("%w; see shedguard --help", err), exitUsage)
	}
	e := &env{ctx: ctx, in: os.Stdin, out: out, errs: errs, log: c.Logger(errs)}
	if err := parsed.Run(e); err != nil {
		return fail(errs, err, codeOf(err))
	}
	return exitDone
}

// usageError is an error that is the caller's to mend.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func codeOf(err error) int {
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[config.Faults](err); ok {
		return exitUsage
	}
	return exitFailed
}

func fail(errs io.Writer, err error, code int) int {
	fmt.Fprintf(errs, "shedguard: %v\n", err)
	return code
}

type checkCmd struct {
	Config string `required:"" short:"c" type:"path" placeholder:"FILE" help:"The configuration."`
}

// Run lists every fault, one a line.
func (c *checkCmd) Run(e *env) error {
	cfg, err := config.Load(c.Config)
	if faults, ok := errors.AsType[config.Faults](err); ok {
		for _, f := range faults {
			fmt.Fprintln(e.out, f)
		}
		return usageError{fmt.Errorf("%s: %d faults", c.Config, len(faults))}
	}
	if err != nil {
		return usageError{err}
	}
	for _, w := range cfg.Warnings() {
		fmt.Fprintln(e.out, "warning:", w)
	}
	fmt.Fprintf(e.out, "%s: good: shed %s, %d outlets, %d buses, configuration %s\n", c.Config, cfg.Shed, len(cfg.Outlets), len(cfg.Buses), cfg.Hash())
	return nil
}

type versionCmd struct{}

// Run tells the version.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintf(e.out, "shedguard %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// built is when the program was made, as far as it knows.
func built() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return t
			}
		}
	}
	return time.Time{}
}
