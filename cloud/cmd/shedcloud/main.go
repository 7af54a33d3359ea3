// Command shedcloud is the collector: it takes what the gateways in charging
// sheds say, keeps telemetry and alarms, and serves the page where people see
// them.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/shedguard/shedguard/cloud/app"
	"github.com/shedguard/shedguard/cloud/config"
	"github.com/shedguard/shedguard/cloud/web"
	"github.com/shedguard/shedguard/internal/logflags"
)

// version is set by the linker.
var version = ""

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2 // wrong usage or configuration
)

// endWithin bounds the shutdown: a part that hangs must not keep the process.
const endWithin = 15 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// cli is what people type.
type cli struct {
	logflags.Flags

	Serve   serveCmd   `cmd:"" help:"Collect from gateways and serve the page until told to stop (SIGTERM or Ctrl-C)."`
	Check   checkCmd   `cmd:"" help:"Read a configuration and the files it names, and list every fault in them."`
	Notify  notifyCmd  `cmd:"" help:"Messages to people."`
	Token   tokenCmd   `cmd:"" help:"Access of programs, as Grafana, to the API."`
	Version versionCmd `cmd:"" help:"Tell the version."`
}

// env is what a command works with.
type env struct {
	ctx  context.Context //nolint:containedctx // kong hands commands their arguments by type
	out  io.Writer
	errs io.Writer
	log  *slog.Logger
}

// run is main without the process around it.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	var c cli
	exited := -1
	parser, err := kong.New(&c,
		kong.Name("shedcloud"),
		kong.Description("Collects telemetry and alarms of charging sheds over MQTT and serves the page where people see them.\n\n"+
			"To try it on one machine, without a configuration:\n"+
			"shedcloud serve --data ./shedcloud-data --broker-listen 127.0.0.1:1883"),
		kong.Writers(out, errs),
		kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		return fail(errs, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help was printed
		return exited
	}
	if err != nil {
		return fail(errs, usageError{fmt.Errorf("%w; see shedcloud --help", err)})
	}
	if err := parsed.Run(&env{ctx: ctx, out: out, errs: errs, log: c.Logger(errs)}); err != nil {
		return fail(errs, err)
	}
	return exitDone
}

// usageError is an error that is the caller's to mend.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func fail(errs io.Writer, err error) int {
	fmt.Fprintf(errs, "shedcloud: %v\n", err)
	_, usage := errors.AsType[usageError](err)
	_, faults := errors.AsType[config.Faults](err)
	if usage || faults {
		return exitUsage
	}
	return exitFailed
}

type serveCmd struct {
	Config            string `short:"c" type:"path" placeholder:"FILE" help:"The configuration; see shedcloud check. Flags that are given count before it."`
	Data              string `type:"path" placeholder:"DIR" help:"Folder of the alarm book, time series and broker queues."`
	Listen            string `placeholder:"ADDR" help:"Where the page and the API are served, host:port (default 127.0.0.1:8080). Port 0 takes a free one."`
	BrokerListen      string `placeholder:"ADDR" help:"Run an MQTT broker here, host:port on the loopback interface. Any program on this machine may then be any gateway, without a password: for demonstrations."`
	AdminPasswordFile string `type:"path" placeholder:"FILE" help:"First line: password of the first admin, made at the first start. Without it a random one is printed once."`
}

// config is the file with the flags over it.
func (c *serveCmd) config() (*config.Config, error) {
	cfg := config.Default()
	if c.Config != "" {
		var err error
		if cfg, err = config.Load(c.Config); err != nil {
			return nil, err
		}
	} else if c.BrokerListen == "" || c.Data == "" {
		return nil, usageError{errors.New("serve: want --config FILE, or --data DIR and --broker-listen ADDR")}
	}
	if c.Data != "" {
		cfg.Data = c.Data
	}
	if c.Listen != "" {
		cfg.HTTP.Listen = c.Listen
	}
	if c.BrokerListen != "" {
		cfg.Broker.Listen, cfg.Broker.TrustLoopback = c.BrokerListen, true
	}
	if faults := cfg.Check(); len(faults) > 0 {
		return nil, faults
	}
	return cfg, nil
}

// Run serves until the context ends.
func (c *serveCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	opts := app.Options{Config: cfg, Page: page(), Version: versionOf(), Log: e.log, FirstLogin: func(user, password string) {
		// For the person at the terminal, once, and never into a log.
		if c.AdminPasswordFile == "" {
			fmt.Fprintf(e.errs, "\n  First login: user %s, password %s\n  It is shown this once and kept only as a hash.\n\n", user, password)
		}
	}}
	if c.AdminPasswordFile != "" {
		if opts.AdminPassword, err = firstLine(c.AdminPasswordFile); err != nil {
			return usageError{fmt.Errorf("admin password: %w", err)}
		}
	}
	for _, w := range cfg.Warnings() {
		e.log.Warn("configuration", slog.String("warning", w))
	}
	a, err := app.New(e.ctx, opts)
	if err != nil {
		return err
	}
	scheme := "http"
	if cfg.HTTP.CertFile != "" {
		scheme = "https"
	}
	e.log.Info("serving", slog.String("page", scheme+"://"+a.Addr().String()), slog.String("version", opts.Version), slog.String("data", cfg.Data))
	if addr := a.BrokerAddr(); addr != nil {
		e.log.Info("broker listens", slog.String("address", addr.String()))
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		e.log.Warn("systemd was not told", slog.Any("err", err))
	}
	bound := context.AfterFunc(e.ctx, func() {
		time.AfterFunc(endWithin, func() {
			e.log.Error("a part does not end, leaving", slog.Duration("after", endWithin))
			os.Exit(exitFailed)
		})
	})
	defer bound()
	if err := a.Run(e.ctx); err != nil {
		return err
	}
	e.log.Info("ended")
	return nil
}

// page is the built page, or nil when the program was built without one.
func page() fs.FS {
	if !web.Built() {
		return nil
	}
	return web.FS()
}

func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	line, err := bufio.NewReader(io.LimitReader(f, 4096)).ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" && err == nil {
		err = fmt.Errorf("%s: the first line is empty", path)
	}
	return line, errors.Join(err, f.Close())
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
	fmt.Fprintf(e.out, "%s: good: page on %s, data in %s\n", c.Config, cfg.HTTP.Listen, cfg.Data)
	return nil
}

type versionCmd struct{}

// Run tells the version.
func (versionCmd) Run(e *env) error { //nolint:unparam // kong wants an error
	fmt.Fprintf(e.out, "shedcloud %s %s %s/%s\n", versionOf(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

// versionOf is the linker's word, else what the build knows of its source.
func versionOf() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return "dev-" + s.Value[:min(len(s.Value), 12)]
		}
	}
	return "dev"
}
