package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/replay"
	"github.com/shedguard/shedguard/gateway/replay/chart"
	"github.com/shedguard/shedguard/gateway/session"
)

const (
	replayBatch   = 1024
	progressEvery = 200 * time.Millisecond
	tableRows     = 60 // events that the table for people shows
)

type replayCmd struct {
	File    string           `arg:"" type:"existingfile" help:"The recording: CSV with time_s and any of volts, amps, watts, or an export of Tasmota, Shelly or Home Assistant."`
	Profile string           `default:"outlet-10a" placeholder:"NAME" help:"Shipped rules to replay with: outlet-5a, outlet-10a, outlet-16a; ${default} unless given."`
	Config  string           `short:"c" type:"existingfile" placeholder:"FILE" help:"Take the rules of an outlet of this configuration instead of a profile's."`
	Outlet  int              `default:"1" placeholder:"N" help:"The outlet of --config."`
	JSON    bool             `name:"json" help:"Write one JSON object a line; the last is the summary."`
	Format  recording.Format `default:"auto" enum:"auto,csv,tasmota,shelly,homeassistant" help:"Shape of the recording: ${enum}."`
	Channel int              `default:"1" placeholder:"N" help:"Channel or phase of a meter with several; ${default} unless given."`
	Plot    string           `type:"path" placeholder:"OUT.png" help:"Draw the curve with what was decided."`

	Volts      float64       `default:"220" placeholder:"V" help:"Mains voltage where the recording has none; ${default} unless given."`
	Gap        time.Duration `placeholder:"DURATION" help:"Silence that counts as a gap; told from the recording unless given."`
	MeterStale bool          `help:"Take a gap for a silent meter."`
	ResetAfter time.Duration `placeholder:"DURATION" help:"Reset each trip so long after it, to judge the rest too; else the rest is only measured."`
	Heat       float64       `placeholder:"0..1" help:"Heat of the wiring at the beginning; 1 trips."`
}

// Run replays a recording.
func (c *replayCmd) Run(e *env) error {
	limits, settings, name, err := c.rules()
	if err != nil {
		return usageError{err}
	}
	if c.Plot != "" && !strings.EqualFold(filepath.Ext(c.Plot), ".png") {
		return usageError{fmt.Errorf("--plot %s: want a name that ends in .png", c.Plot)}
	}
	f, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("open recording: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	progress := newProgress(e.errs, f)
	rec, err := recording.Open(progress, recording.Options{Format: c.Format, Channel: c.Channel})
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}

	out := bufio.NewWriter(e.out)
	write := newTable(out).event
	if c.JSON {
		write = newLines(out).event
	}
	var drawing *chart.Chart
	if c.Plot != "" {
		drawing = chart.New(limits)
	}
	player, err := replay.New(replay.Options{
		Limits: limits, Session: settings, MainsVolts: c.Volts, Gap: c.Gap, OnChange: rec.OnChange(),
		MeterStale: c.MeterStale, ResetAfter: c.ResetAfter, Heat: c.Heat,
		Emit: func(ev *replay.Event) {
			write(ev)
			if drawing != nil {
				drawing.Mark(ev)
			}
		},
	})
	if err != nil {
		return usageError{err}
	}
	sum, err := c.play(e, rec, player, drawing)
	progress.done()
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", c.File, err), out.Flush())
	}
	sum.File, sum.Format, sum.Profile = filepath.Base(c.File), rec.Format(), name
	sum.Notes = append(sum.Notes, rec.Notes()...)
	if c.JSON {
		newLines(out).write(&sum)
	} else {
		newTable(out).summary(&sum)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	if drawing == nil {
		return nil
	}
	if err := drawing.Save(c.Plot, &sum); err != nil {
		return fmt.Errorf("draw %s: %w", c.Plot, err)
	}
	if !c.JSON {
		fmt.Fprintf(e.out, "\nThe curve is in %s.\n", c.Plot)
	}
	return nil
}

// rules are those of the profile or of the configuration, and their name.
func (c *replayCmd) rules() (*protect.Limits, *session.Settings, string, error) {
	if c.Config == "" {
		limits, settings, err := replay.Profile(c.Profile)
		return limits, settings, c.Profile, err
	}
	cfg, err := config.Load(c.Config)
	if err != nil {
		return nil, nil, "", err
	}
	limits, settings, err := replay.Rules(cfg, c.Outlet)
	if err != nil {
		return nil, nil, "", fmt.Errorf("%s: %w", c.Config, err)
	}
	return limits, settings, fmt.Sprintf("%s outlet %d", filepath.Base(c.Config), c.Outlet), nil
}

// play feeds the recording to the player and the drawing.
func (*replayCmd) play(e *env, rec *recording.Reader, player *replay.Player, drawing *chart.Chart) (replay.Summary, error) {
	batch := make([]recording.Sample, replayBatch)
	for {
		if err := e.ctx.Err(); err != nil {
			return replay.Summary{}, err
		}
		n := 0
		var err error
		for n < len(batch) && err == nil {
			if err = rec.Next(&batch[n]); err == nil {
				n++
			}
		}
		player.Feed(batch[:n])
		if drawing != nil {
			drawing.Add(batch[:n])
		}
		if errors.Is(err, io.EOF) {
			return player.Finish()
		}
		if err != nil {
			return replay.Summary{}, err
		}
	}
}

// jsonLines writes one object a line.
type jsonLines struct{ enc *json.Encoder }

func newLines(w io.Writer) jsonLines {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return jsonLines{enc}
}

func (l jsonLines) event(ev *replay.Event) { l.write(ev) }

// write ignores the writer's error: it is buffered, and flushing reports it.
func (l jsonLines) write(v any) { _ = l.enc.Encode(v) }

// eventTable is the table for a person.
type eventTable struct {
	w    io.Writer
	rows int
}

func newTable(w io.Writer) *eventTable { return &eventTable{w: w} }

func (t *eventTable) event(ev *replay.Event) {
	t.rows++
	switch t.rows {
	case 1:
		fmt.Fprintf(t.w, "%12s  WHAT\n", "TIME")
	case tableRows + 1:
		fmt.Fprintf(t.w, "%12s  %-8s  More follows; --json lists all of it.\n", "…", "")
	}
	if t.rows <= tableRows {
		fmt.Fprintf(t.w, "%12s  %-8s  %s\n", clockOf(ev.TimeS), ev.Kind, ev.Text)
	}
}

// clockOf writes a time of the recording as hours, minutes and seconds.
func clockOf(s float64) string {
	sign := ""
	if s < 0 {
		sign, s = "-", -s
	}
	tenths := int64(s*10 + 0.5)
	return fmt.Sprintf("%s%d:%02d:%02d.%d", sign, tenths/36000, tenths/600%60, tenths/10%60, tenths%10)
}

func (t *eventTable) summary(s *replay.Summary) {
	w := tabwriter.NewWriter(t.w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, name+"\t"+format+"\n", args...) }
	fmt.Fprintln(w)
	every := "usually every " + duration(s.SamplingS).String()
	if s.Format == recording.FormatHomeAssistant {
		every = "written on change"
	}
	row("Recording", "%s (%s), %d samples over %s, %s", s.File, s.Format, s.Samples, duration(s.DurationS), every)
	if s.Gaps > 0 {
		row("Gaps", "%d, the longest %s", s.Gaps, duration(s.LongestGapS))
	}
	row("Rules", "%s, judged %s", s.Profile, duration(s.JudgedS))
	row("Energy", "%.1f Wh", s.EnergyWh)
	row("Peak", "%.1f W at %s, %.2f A at %s", s.PeakWatts, clockOf(s.PeakWattsAtS), s.PeakAmps, clockOf(s.PeakAmpsAtS))
	row("Heat", "at most %.0f %% of what trips", s.PeakHeat*100)
	for _, cause := range shedguard.Causes() {
		if n := s.Alarms[cause]; n > 0 {
			row("Alarm", "%s × %d", cause.Text().EN, n)
		}
	}
	if s.FirstTripS != nil {
		row("First trip", "%s at %s", s.FirstTrip.Text().EN, clockOf(*s.FirstTripS))
	}
	for i, one := range s.Sessions {
		if i == 10 {
			row("Session", "and %d more; --json lists them", len(s.Sessions)-i)
			break
		}
		end := "still running"
		if one.EndedS != nil {
			end = clockOf(*one.EndedS)
		}
		row("Session", "%s to %s, %.1f Wh, peak %.0f W, %s", clockOf(one.BegunS), end, one.EnergyWh, one.PeakWatts, one.Phase)
	}
	row("Outlet", "%s at the end", s.State)
	if len(s.Derived) > 0 {
		row("Not recorded", "%s (worked out, see docs/REPLAY.md)", strings.Join(s.Derived, ", "))
	}
	row("Not judged", "%s", strings.Join(s.NotJudged, ", "))
	for _, note := range s.Notes {
		row("Note", "%s", note)
	}
	row("Result", "%s", s.Text)
	_ = w.Flush() // to a buffer
}

func duration(s float64) time.Duration { return replay.Round(time.Duration(s * float64(time.Second))) }

// progress counts what is read of a file, and shows it on a terminal.
type progress struct {
	io.Reader
	w     io.Writer // nil: nobody looks
	total int64
	read  int64
	next  time.Time
	shown bool
}

func newProgress(w io.Writer, f *os.File) *progress {
	p := &progress{Reader: f, next: time.Now().Add(time.Second)} // short files need none
	if t, ok := w.(*os.File); ok && term.IsTerminal(int(t.Fd())) {
		if info, err := f.Stat(); err == nil && info.Size() > 0 {
			p.w, p.total = w, info.Size()
		}
	}
	return p
}

// Read implements [io.Reader].
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.read += int64(n)
	if p.w != nil && time.Now().After(p.next) {
		p.next, p.shown = time.Now().Add(progressEvery), true
		fmt.Fprintf(p.w, "\r%3d %% of %.1f MB", p.read*100/p.total, float64(p.total)/1e6)
	}
	return n, err
}

func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
