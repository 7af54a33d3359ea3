package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/replay"
	"github.com/shedguard/shedguard/gateway/replay/chart"
)

const replayBatch = 1024

type replayCmd struct {
	Files   []string         `arg:"" name:"file" type:"path" help:"The recording: CSV with time_s and any of volts, amps, watts, or an export of Tasmota, Shelly or Home Assistant. Several, or a folder of them, come to a table with a line each."`
	Profile string           `default:"outlet-10a" placeholder:"NAME" help:"Shipped rules to replay with: outlet-5a, outlet-10a, outlet-16a; ${default} unless given."`
	Config  string           `short:"c" type:"existingfile" placeholder:"FILE" help:"Take the rules of an outlet of this configuration instead of a profile's."`
	Outlet  int              `default:"1" placeholder:"N" help:"The outlet of --config."`
	WhatIf  string           `placeholder:"FILE" help:"Compare with other rules: YAML with those values of a profile that are to be others, or the name of a shipped profile."`
	JSON    bool             `name:"json" help:"Write one JSON object a line; the last is the summary."`
	Format  recording.Format `default:"auto" enum:"auto,csv,tasmota,shelly,homeassistant" help:"Shape of the recording: ${enum}."`
	Channel int              `default:"1" placeholder:"N" help:"Channel or phase of a meter with several; ${default} unless given."`
	Plot    string           `type:"path" placeholder:"OUT.png" help:"Draw the curve with what was decided; of one recording."`

	Volts      float64       `default:"220" placeholder:"V" help:"Mains voltage where the recording has none; ${default} unless given."`
	Gap        time.Duration `placeholder:"DURATION" help:"Silence that counts as a gap; told from the recording unless given."`
	MeterStale bool          `help:"Take a gap for a silent meter."`
	ResetAfter time.Duration `placeholder:"DURATION" help:"Reset each trip so long after it, to judge the rest too; else the rest is only measured."`
	Heat       float64       `placeholder:"0..1" help:"Heat of the wiring at the beginning; 1 trips."`
}

// The settings, as JSON calls them.
const (
	settingProfile = "profile"
	settingWhatIf  = "what_if"
)

// setting is a set of rules that recordings are replayed with.
type setting struct {
	key    string
	name   string // for people
	outlet *config.Outlet
}

// Run replays recordings.
func (c *replayCmd) Run(e *env) error {
	settings, changes, err := c.settings()
	if err != nil {
		return usageError{err}
	}
	files, several, err := c.recordings()
	if err != nil {
		return usageError{err}
	}
	switch {
	case c.Plot != "" && !strings.EqualFold(filepath.Ext(c.Plot), ".png"):
		return usageError{fmt.Errorf("--plot %s: want a name that ends in .png", c.Plot)}
	case c.Plot != "" && several:
		return usageError{fmt.Errorf("--plot %s: want one recording, not %d", c.Plot, len(files))}
	case several:
		return c.all(e, files, settings, changes)
	}
	return c.one(e, files[0], settings, changes)
}

// settings are the rules as they are, and those to compare them with.
func (c *replayCmd) settings() ([]setting, []config.Change, error) {
	base := setting{key: settingProfile, name: c.Profile}
	var err error
	if c.Config == "" {
		base.outlet, err = replay.ProfileOutlet(c.Profile)
	} else {
		base.name = fmt.Sprintf("%s outlet %d", filepath.Base(c.Config), c.Outlet)
		var cfg *config.Config
		if cfg, err = config.Load(c.Config); err == nil {
			if base.outlet, err = replay.OutletOf(cfg, c.Outlet); err != nil {
				err = fmt.Errorf("%s: %w", c.Config, err)
			}
		}
	}
	if err != nil || c.WhatIf == "" {
		return []setting{base}, nil, err
	}
	other := setting{key: settingWhatIf, name: filepath.Base(c.WhatIf)}
	var changes []config.Change
	if slices.Contains(replay.Profiles(), c.WhatIf) {
		other.outlet, changes, err = base.outlet.Tune([]byte("profile: " + c.WhatIf))
	} else {
		other.outlet, changes, err = base.outlet.LoadTuning(c.WhatIf)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("--what-if %s: %w", c.WhatIf, err)
	}
	return []setting{base, other}, changes, nil
}

// recordings are the files that are meant, and whether that may be several.
func (c *replayCmd) recordings() (files []string, several bool, err error) {
	for _, path := range c.Files {
		info, err := os.Stat(path)
		if err != nil {
			return nil, false, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, false, err
		}
		several = true
		for _, entry := range entries {
			if entry.Type()&fs.ModeType == 0 && slices.Contains(endings(), strings.ToLower(filepath.Ext(entry.Name()))) {
				files = append(files, filepath.Join(path, entry.Name()))
			}
		}
	}
	if len(files) == 0 {
		return nil, false, fmt.Errorf("%s: want a file that ends in one of %s", strings.Join(c.Files, ", "), strings.Join(endings(), ", "))
	}
	return files, several || len(files) > 1, nil
}

// endings are those of the recordings in a folder.
func endings() []string { return []string{".csv", ".json", ".jsonl", ".log", ".ndjson", ".txt"} }

// one replays a recording and tells what happens in it.
func (c *replayCmd) one(e *env, path string, settings []setting, changes []config.Change) error {
	out := bufio.NewWriter(e.out)
	var told teller = newTable(out)
	switch {
	case c.JSON && len(settings) > 1:
		told = &comparedLines{jsonLines: newLines(out), changes: changes}
	case c.JSON:
		told = newLines(out)
	case len(settings) > 1:
		told = &comparison{w: out, names: [2]string{settings[0].name, settings[1].name}, changes: changes}
	}
	var drawing *chart.Chart
	if c.Plot != "" {
		drawing = chart.New(settings[0].outlet.ProtectLimits())
		if len(settings) > 1 {
			drawing.Compare(settings[1].outlet.ProtectLimits())
		}
	}
	sums, err := c.replay(e, path, settings, told.rows, drawing)
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", path, err), out.Flush())
	}
	told.summary(sums)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	if drawing == nil {
		return nil
	}
	if err := drawing.Save(c.Plot, sums...); err != nil {
		return fmt.Errorf("draw %s: %w", c.Plot, err)
	}
	if !c.JSON {
		fmt.Fprintf(e.out, "\nThe curve is in %s.\n", c.Plot)
	}
	return nil
}

// teller writes what happens in a recording, as it comes.
type teller interface {
	rows([]row)
	summary([]replay.Summary) // of each setting
}

// row is what happens at one moment: with the rules as they are and with those
// that they are compared with. One of them may be nil.
type row [2]*replay.Event

// replay plays a recording with every setting, from one reading of the file.
func (c *replayCmd) replay(e *env, path string, settings []setting, tell func([]row), drawing *chart.Chart) ([]replay.Summary, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	progress := newProgress(e.errs, f)
	defer progress.done()
	rec, err := recording.Open(progress, recording.Options{Format: c.Format, Channel: c.Channel})
	if err != nil {
		return nil, err
	}
	players := make([]*replay.Player, len(settings))
	var events [2][]*replay.Event // since the last batch
	for i, s := range settings {
		players[i], err = replay.New(replay.Options{
			Limits: s.outlet.ProtectLimits(), Session: s.outlet.SessionSettings(), Charge: s.outlet.ChargeSettings(),
			MainsVolts: c.Volts, Gap: c.Gap, OnChange: rec.OnChange(),
			MeterStale: c.MeterStale, ResetAfter: c.ResetAfter, Heat: c.Heat,
			Emit: func(ev *replay.Event) {
				kept := *ev
				events[i] = append(events[i], &kept)
				if drawing != nil {
					drawing.Mark(i, ev)
				}
			},
		})
		if err != nil {
			return nil, usageError{err}
		}
	}
	told := func() {
		tell(pair(events[0], events[1]))
		events[0], events[1] = events[0][:0], events[1][:0]
	}
	batch := make([]recording.Sample, replayBatch)
	for err == nil {
		if err := e.ctx.Err(); err != nil {
			return nil, err
		}
		n := 0
		for n < len(batch) && err == nil {
			if err = rec.Next(&batch[n]); err == nil {
				n++
			}
		}
		for _, p := range players {
			p.Feed(batch[:n])
		}
		if drawing != nil {
			drawing.Add(batch[:n])
		}
		told()
	}
	if !errors.Is(err, io.EOF) {
		return nil, err
	}
	sums := make([]replay.Summary, len(players))
	for i, p := range players {
		if sums[i], err = p.Finish(); err != nil {
			return nil, err
		}
		sums[i].File, sums[i].Format, sums[i].Profile = filepath.Base(path), rec.Format(), settings[i].name
		sums[i].Notes = append(sums[i].Notes, rec.Notes()...)
	}
	told()
	return sums, nil
}

// pair puts side by side what happens at the same moment and is about the same
// thing. Both lists are in the order of time.
func pair(as, bs []*replay.Event) []row {
	var rows []row
	for len(as) > 0 || len(bs) > 0 {
		switch {
		case len(bs) == 0 || len(as) > 0 && as[0].TimeS < bs[0].TimeS:
			rows, as = append(rows, row{as[0], nil}), as[1:]
		case len(as) == 0 || bs[0].TimeS < as[0].TimeS:
			rows, bs = append(rows, row{nil, bs[0]}), bs[1:]
		default:
			// Of the same moment: what comes first in one list may come later in
			// the other, or not at all.
			i := slices.IndexFunc(bs, func(b *replay.Event) bool { return b.TimeS == as[0].TimeS && alike(as[0], b) })
			if i < 0 {
				rows, as = append(rows, row{as[0], nil}), as[1:]
				continue
			}
			for _, b := range bs[:i] {
				rows = append(rows, row{nil, b})
			}
			rows, as, bs = append(rows, row{as[0], bs[i]}), as[1:], bs[i+1:]
		}
	}
	return rows
}

// alike reports whether two events are about the same thing.
func alike(a, b *replay.Event) bool {
	return a.Kind == b.Kind && a.Cause == b.Cause && a.Phase == b.Phase && a.Action == b.Action
}
