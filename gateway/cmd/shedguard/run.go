package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"periph.io/x/conn/v3/i2c"

	"github.com/shedguard/shedguard/gateway/app"
	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/sim"
	"github.com/shedguard/shedguard/internal/niceness"
)

// expireWithin is how long a last word may take when the guard stands still.
const expireWithin = 300 * time.Millisecond

// simFlags choose the simulated shed in place of hardware.
type simFlags struct {
	Sim   bool   `help:"Run on the simulated shed: no hardware, no configuration file."`
	State string `type:"path" placeholder:"DIR" help:"With --sim: where state is kept, the simulated board included. A new folder under the system's temporary one when left out."`
	Shed  string `default:"demo-1" placeholder:"ID" help:"With --sim: the shed's id."`
}

type runCmd struct {
	Config string `short:"c" type:"path" placeholder:"FILE" help:"The configuration. See shedguard check."`
	simFlags
	Scenario   string  `default:"quiet" placeholder:"NAME" help:"With --sim: what happens on outlet 3 after 10 s: quiet, overload, short, hot, rise, welded, overvoltage, undervoltage, smoke, fire, meter-dead, bus-hang; check adds a hot socket on outlet 9 to an overload, demo is a longer story."`
	Profile    string  `default:"outlet-10a" placeholder:"NAME" help:"With --sim: the protection profile of every outlet."`
	Broker     string  `default:"mqtt://127.0.0.1:1883" placeholder:"URL" help:"With --sim: the MQTT broker."`
	CAFile     string  `type:"existingfile" placeholder:"FILE" help:"With --sim and a broker mqtts://: PEM file of the authority that signed the broker's certificate."`
	CertFile   string  `type:"existingfile" placeholder:"FILE" help:"With --sim and a broker mqtts://: PEM file of the gateway's certificate, common name = shed id."`
	KeyFile    string  `type:"existingfile" placeholder:"FILE" help:"With --sim and a broker mqtts://: PEM file of the key of --cert-file."`
	Status     string  `default:"127.0.0.1:9108" placeholder:"ADDR" help:"With --sim: where the local page listens; port 0 takes a free one."`
	Camera     string  `placeholder:"URL" help:"With --sim: a camera over the zone of outlets 7 to 12."`
	Vision     string  `type:"path" placeholder:"FILE" help:"With --sim and --camera: the camera worker, shedguard-vision."`
	Suppress   bool    `name:"suppression" help:"With --sim: an output for a suppression agent, which a fire releases after 30 s unless somebody vetoes. The second zone has no smoke contact then."`
	Speed      float64 `default:"60" placeholder:"N" help:"With --sim: how many seconds a battery lives in one; electrical time and heat are never hurried."`
	Play       string  `type:"existingfile" placeholder:"FILE" help:"With --sim: a recorded CSV (time_s and amps or watts) that the load on --play-outlet draws."`
	PlayOutlet int     `default:"3" placeholder:"N" help:"With --sim: the outlet of --play."`
}

// Run runs the gateway.
func (c *runCmd) Run(e *env) error {
	if c.Sim == (c.Config != "") {
		return usageError{errors.New("run: want either --config FILE or --sim")}
	}
	if (c.Camera == "") != (c.Vision == "") {
		return usageError{errors.New("run: want both --camera URL and --vision FILE, or neither")}
	}
	if c.Sim {
		return c.simulate(e)
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return fmt.Errorf("run: %s: %w", c.Config, err)
	}
	hw, err := openHardware(cfg, e.log)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	opts := app.Options{Config: cfg, Buses: hw.buses(), Recover: hw.reopen, Resets: hw.resets}
	if hw.enable != nil {
		opts.EnableLine = hw.enable
	}
	return errors.Join(serve(e, &opts), hw.close())
}

// serve runs the gateway until the context ends, as a service of systemd when
// it is one.
func serve(e *env, opts *app.Options) error {
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	opts.Version, opts.Built, opts.Log = version, built(), e.log
	opts.Expired = func(err error) { expire(e, err) }
	release, locked, err := takeLock(opts.Config.State.Dir)
	if errors.Is(err, errTaken) {
		return fmt.Errorf("run: %w: two of them would switch the muxes under each other's hands", err)
	}
	if !locked {
		e.log.Warn("a second gateway would not be noticed", "err", err)
	}
	defer func() {
		if err := release(); err != nil {
			e.log.Warn("lock not released", "err", err)
		}
	}()
	if err := niceness.Raise(niceness.Guard); err != nil {
		e.log.Info("other programs may take the processor from the guard: run it as a service, as root or with CAP_SYS_NICE", "err", err)
	}
	for _, w := range opts.Config.Warnings() {
		e.log.Warn("configuration", "warning", w)
	}
	fed := make(chan struct{}, 1)
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("run: systemd watchdog: %w", err)
	}
	if interval > 0 {
		opts.Watchdog = func() error {
			select {
			case fed <- struct{}{}:
			default: // the notice before this one is still on its way
			}
			return nil
		}
	}
	var notices sync.WaitGroup
	notices.Go(func() { notify(ctx, e, fed, interval/4) })
	opts.Ready = func() {
		if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
			e.log.Warn("systemd not told that the gateway is ready", "err", err)
		}
	}
	a, err := app.New(ctx, *opts)
	if err == nil {
		err = a.Run(ctx)
	}
	stop()
	notices.Wait()
	return err
}

// notify passes completed work on to systemd's watchdog, not more often than
// every pause. A socket that blocks holds up nobody but itself.
func notify(ctx context.Context, e *env, fed <-chan struct{}, pause time.Duration) {
	last := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-fed:
		}
		if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); err != nil && err.Error() != last {
			last = err.Error()
			e.log.Warn("systemd watchdog not fed", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// simulate runs the gateway on a simulated shed.
func (c *runCmd) simulate(e *env) error {
	shed, cfg, closeBoard, err := c.open(e, sim.Settings{
		Broker: c.Broker, CAFile: c.CAFile, CertFile: c.CertFile, KeyFile: c.KeyFile, Status: c.Status, Profile: c.Profile,
		Camera: c.Camera, Vision: c.Vision, Suppression: c.Suppress,
	}, c.Speed, c.script)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if c.Play != "" {
		rec, err := readRecording(c.Play)
		if err == nil && (c.PlayOutlet < 1 || c.PlayOutlet > sim.Outlets) {
			err = usageError{fmt.Errorf("--play-outlet %d: want 1 to %d", c.PlayOutlet, sim.Outlets)}
		}
		if err != nil {
			return errors.Join(fmt.Errorf("run: %w", err), closeBoard())
		}
		shed.Plug(c.PlayOutlet, rec)
		e.log.Info("playing a recording", "path", c.Play, "outlet", c.PlayOutlet, "samples", len(rec.Rows))
	}
	ctx, stop := context.WithCancel(e.ctx)
	var physics sync.WaitGroup
	physics.Go(func() { _ = shed.Run(ctx) }) // ends with the context, never otherwise
	err = serve(e, &app.Options{Config: cfg, Buses: map[string]i2c.Bus{sim.BusName: shed.Bus}, EnableLine: shed, Resets: map[string]board.Line{sim.ResetLine: shed.MuxReset()}})
	stop()
	physics.Wait()
	return errors.Join(err, closeBoard())
}

// script is the scenario, on outlets of the profile's rating.
func (c *runCmd) script(cfg *config.Config) (sim.Script, error) {
	script, err := sim.NewScript(c.Scenario, cfg.Outlets[0].RatingAmps)
	if err != nil {
		return nil, usageError{err}
	}
	return script, nil
}

// open makes the simulated shed and the configuration that is wired to it.
func (f *simFlags) open(e *env, s sim.Settings, speed float64, script func(*config.Config) (sim.Script, error)) (*sim.Shed, *config.Config, func() error, error) {
	dir := f.State
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "shedguard-sim-"); err != nil {
			return nil, nil, nil, fmt.Errorf("make a state folder: %w", err)
		}
		e.log.Info("state is kept in a new folder", "path", dir)
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, nil, nil, fmt.Errorf("make the state folder: %w", err)
	}
	s.Shed, s.Dir = f.Shed, dir
	text, err := sim.Config(s)
	if err != nil {
		return nil, nil, nil, err
	}
	cfg, err := config.Parse(text)
	if err != nil {
		return nil, nil, nil, err
	}
	opts := sim.Options{Speed: speed, Seed: uint64(time.Now().UnixNano())}
	if script != nil {
		if opts.Script, err = script(cfg); err != nil {
			return nil, nil, nil, err
		}
	}
	if opts.Memory, err = sim.OpenMemory(filepath.Join(dir, "board")); err != nil {
		return nil, nil, nil, err
	}
	shed, err := sim.New(opts)
	if err != nil {
		return nil, nil, nil, errors.Join(err, opts.Memory.Close())
	}
	return shed, cfg, opts.Memory.Close, nil
}

func readRecording(path string) (*sim.Recording, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	rec, err := sim.ReadRecording(f)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return rec, nil
}

type openCmd struct {
	Config string `short:"c" type:"path" placeholder:"FILE" help:"The configuration."`
	simFlags
}

// Run opens every outlet.
func (c *openCmd) Run(e *env) error {
	if c.Sim == (c.Config != "") {
		return usageError{errors.New("open: want either --config FILE or --sim --state DIR")}
	}
	if c.Sim {
		if c.State == "" {
			return usageError{errors.New("open: --sim needs --state DIR: where the simulated board is")}
		}
		shed, cfg, closeBoard, err := c.open(e, sim.Settings{Broker: "mqtt://127.0.0.1:1883", Status: "127.0.0.1:0", Profile: "outlet-10a"}, 1, nil)
		if err != nil {
			return fmt.Errorf("open: %w", err)
		}
		return errors.Join(board.OpenRelays(cfg, map[string]i2c.Bus{sim.BusName: shed.Bus}), closeBoard())
	}
	// A fault in the file is no reason to leave closed what it does name.
	text, err := os.ReadFile(c.Config)
	if err != nil {
		return fmt.Errorf("open: read configuration: %w", err)
	}
	cfg, err := config.Parse(text)
	if cfg == nil {
		return fmt.Errorf("open: %s: %w", c.Config, err)
	}
	hw, herr := openHardware(cfg, e.log)
	if herr != nil {
		return errors.Join(fmt.Errorf("open: %w", herr), err)
	}
	oerr := board.OpenRelays(cfg, hw.buses())
	if oerr != nil && len(hw.resets) > 0 {
		// A chip behind a mux may hold the bus of the relays.
		if rerr := board.ResetMuxes(cfg, hw.resets); rerr != nil {
			oerr = errors.Join(oerr, rerr)
		} else {
			oerr = board.OpenRelays(cfg, hw.buses())
		}
	}
	return errors.Join(oerr, hw.close(), err)
}
