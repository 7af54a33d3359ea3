// Command demo runs the whole of shedguard on this machine: the collector with
// its embedded broker and stores, and a gateway on a simulated shed.
//
//	demo          until Ctrl-C, for a person with a browser
//	demo -smoke   without a person: follows one overload from the chip's register
//	              to the web API, resets it, prints one JSON line of latencies
//	demo COMMAND  runs a command beside a system on free ports, with an overload
//	              to come, and ends with it: the tests of the page in a browser
//
// It needs the built programs beside itself and no root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shedguard/shedguard/vision/scene"
)

func main() {
	var o options
	smoke := flag.Bool("smoke", false, "inject an overload, check it everywhere, print one JSON line, exit 0 or 1")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:8080", "address of the page")
	flag.StringVar(&o.broker, "broker", "127.0.0.1:1883", "address of the embedded broker")
	flag.StringVar(&o.status, "status", "127.0.0.1:8081", "address of the gateway's own page")
	flag.StringVar(&o.scenario, "scenario", "demo", "what happens in the simulated shed; see shedguard run --help")
	flag.StringVar(&o.dir, "dir", "", "folder of what the programs store; a new one that is deleted at the end when left out")
	flag.Parse()
	o.command = flag.Args()
	if *smoke && len(o.command) > 0 {
		fmt.Fprintf(os.Stderr, "demo: unexpected argument %q; see demo -help\n", o.command[0])
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := demo
	switch {
	case *smoke:
		run = runSmoke
	case len(o.command) > 0:
		run = runBeside
	}
	if err := run(ctx, &o); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

// options are where the system runs and what happens in it.
type options struct {
	listen, broker string
	scenario       string
	dir            string
	status         string // of the gateway
	password       string // of the administrator
	command        []string
	camera         *drawn // nil without a camera worker
	log            io.Writer
	said           logBuffer // log, where nobody watches it
}

const (
	shed  = "demo-1"
	admin = "admin"
)

// demo runs the system until ctx ends and tells a person where to look.
func demo(ctx context.Context, o *options) error {
	o.log = os.Stderr
	return withSystem(ctx, o, func(ctx context.Context) error {
		seen := "After 140 s flames break out in its camera's picture, and with the hot contact\n  it is a fire."
		if o.camera == nil {
			seen = "There is no camera: shedguard-vision is not built. deploy/setup.sh vision\n  installs OpenCV (Debian 12), then make demo again."
		}
		fmt.Printf(`
  shedguard is running.

    page      http://%s
    user      %s
    password  %s

    gateway   http://%s   (the box's own page)
    broker    mqtt://%s

  The simulated shed %q has twelve outlets. After 30 s outlet 3 is overloaded and
  trips; after 75 s the meter of outlet 7 falls silent for half a minute; after
  150 s the contact of outlet 10 runs hot. Reset what tripped from the page.
  %s

  Ctrl-C ends it.

`, o.listen, admin, o.password, o.status, o.broker, shed, seen)
		<-ctx.Done()
		return nil
	})
}

// runBeside runs a command that finds the system by its environment:
// SHEDGUARD_URL, SHEDGUARD_USER and SHEDGUARD_PASSWORD.
func runBeside(ctx context.Context, o *options) error {
	if err := onFreePorts(ctx, o); err != nil {
		return err
	}
	return withSystem(ctx, o, func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, o.command[0], o.command[1:]...) //nolint:gosec // the caller's own command
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), "SHEDGUARD_URL=http://"+o.listen, "SHEDGUARD_USER="+admin, "SHEDGUARD_PASSWORD="+o.password)
		if err := cmd.Run(); err != nil {
			o.said.show()
			return fmt.Errorf("%s: %w", o.command[0], err)
		}
		return nil
	})
}

// withSystem starts collector and gateway, calls use once both answer, and ends
// them when it returns.
func withSystem(ctx context.Context, o *options, use func(context.Context) error) (err error) {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the built programs: %w", err)
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "shedguard-demo-"); err != nil {
			return fmt.Errorf("make a folder: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.dir)) }()
	}
	o.password = newPassword()
	secret := filepath.Join(o.dir, "admin-password")
	if err := os.WriteFile(secret, []byte(o.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the first password: %w", err)
	}
	programs := []struct {
		name  string
		args  []string
		ready string
	}{
		{"shedcloud", []string{
			"serve", "--data", filepath.Join(o.dir, "cloud"), "--listen", o.listen,
			"--broker-listen", o.broker, "--admin-password-file", secret,
		}, "http://" + o.listen + "/healthz"},
		{"shedguard", []string{
			"run", "--sim", "--scenario", o.scenario, "--shed", shed, "--broker", "mqtt://" + o.broker,
			"--state", filepath.Join(o.dir, "gateway"), "--status", o.status,
		}, "http://" + o.status + "/healthz"},
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if worker := eyes(filepath.Join(filepath.Dir(self), "shedguard-vision")); worker != "" {
		script := scene.Burning(demoSmokeAfter, demoFlameAfter-demoSmokeAfter, time.Hour, 0.45, 0.4)
		if o.scenario == checkScenario {
			script = scene.Script{{Kind: scene.Flame, At: checkFlameAfter, For: time.Hour, X: 0.45, Size: 0.4}}
		}
		if o.camera, err = film(ctx, g, script); err != nil {
			return err
		}
		args := &programs[1].args
		*args = append(*args, "--camera", o.camera.url, "--vision", worker)
	}
	for _, p := range programs {
		ended, err := start(ctx, g, filepath.Join(filepath.Dir(self), p.name), p.args, o.log)
		if err != nil {
			cancel()
			return errors.Join(err, g.Wait())
		}
		if err := waitReady(ctx, p.ready, ended); err != nil {
			cancel()
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), g.Wait())
		}
	}
	g.Go(func() error {
		defer cancel()
		return use(ctx)
	})
	return g.Wait()
}

// start runs a program until ctx ends; a program that ends before is an error.
func start(ctx context.Context, g *errgroup.Group, path string, args []string, log io.Writer) (<-chan struct{}, error) {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // a program beside this one
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	// Ctrl-C goes to the whole foreground group; the order of the end is ours.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w; build it with make build", filepath.Base(path), err)
	}
	ended := make(chan struct{})
	g.Go(func() error {
		defer close(ended)
		err := cmd.Wait()
		if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || cmd.ProcessState.ExitCode() == 0) {
			return nil
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	})
	return ended, nil
}
