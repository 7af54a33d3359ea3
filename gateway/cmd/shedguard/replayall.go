package main

import (
	"bufio"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/replay"
	"github.com/shedguard/shedguard/gateway/session"
)

// kindTotal is the last line of several recordings.
const kindTotal replay.Kind = "total"

// total is what several recordings came to with one setting.
type total struct {
	EnergyWh    float64                 `json:"energy_wh"` // recorded
	DeliveredWh float64                 `json:"delivered_wh"`
	JudgedS     float64                 `json:"judged_s"`
	Sessions    int                     `json:"sessions"`
	Alarms      map[shedguard.Cause]int `json:"alarms"`
	Trips       int                     `json:"trips"`
}

func (t *total) add(s *replay.Summary) {
	t.EnergyWh += s.EnergyWh
	t.DeliveredWh += delivered(s)
	t.JudgedS += s.JudgedS
	t.Sessions += len(s.Sessions)
	t.Trips += s.Trips
	for cause, n := range s.Alarms {
		t.Alarms[cause] += n
	}
}

// totals is the last line of several recordings.
type totals struct {
	Kind      replay.Kind     `json:"kind"`
	Files     int             `json:"files"`
	Failed    []string        `json:"failed"` // that could not be read, and why
	DurationS float64         `json:"duration_s"`
	Differ    int             `json:"files_that_differ"` // on which they decide otherwise
	Changes   []config.Change `json:"changes,omitempty"`
	Profile   *total          `json:"profile"`
	WhatIf    *total          `json:"what_if,omitempty"`
	Text      string          `json:"text"`
}

// all replays several recordings and tells of each what it came to. One that
// cannot be read does not keep the others from being told of.
func (c *replayCmd) all(e *env, files []string, settings []setting, changes []config.Change) error {
	out := bufio.NewWriter(e.out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	compared := len(settings) > 1
	sum := totals{Kind: kindTotal, Files: len(files), Failed: []string{}, Changes: changes, Profile: &total{Alarms: map[shedguard.Cause]int{}}}
	if compared {
		sum.WhatIf = &total{Alarms: map[shedguard.Cause]int{}}
	}
	if !c.JSON {
		if compared {
			(&comparison{w: out, names: [2]string{settings[0].name, settings[1].name}, changes: changes}).changed()
		}
		c.heading(w, settings)
	}
	var errs []error
	for _, path := range files {
		differ := 0
		sums, err := c.replay(e, path, settings, func(rows []row) {
			for _, r := range rows {
				if compared && !same(r) {
					differ++
				}
			}
		}, nil)
		if e.ctx.Err() != nil || codeOf(err) == exitUsage {
			return err
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
			errs = append(errs, err)
			sum.Failed = append(sum.Failed, err.Error())
			if !c.JSON {
				fmt.Fprintf(w, "%s%scannot be read: see below\n", filepath.Base(path), strings.Repeat("\t", 3+2*len(settings)))
			}
			continue
		}
		sum.DurationS += sums[0].DurationS
		sum.Profile.add(&sums[0])
		if compared {
			sum.WhatIf.add(&sums[1])
		}
		apart := compared && decided(&sums[0]) != decided(&sums[1])
		if apart {
			sum.Differ++
		}
		switch {
		case c.JSON && compared:
			newLines(out).write(compare(&sums[0], &sums[1], changes, differ))
		case c.JSON:
			newLines(out).write(&sums[0])
		default:
			fmt.Fprintln(w, line(sums, apart))
		}
	}
	sum.Text = sum.sentence(settings)
	if c.JSON {
		newLines(out).write(&sum)
	} else {
		_ = w.Flush() // to a buffer
		fmt.Fprintf(out, "\n%s\n", sum.Text)
	}
	return errors.Join(append(errs, out.Flush())...)
}

func (*replayCmd) heading(w *tabwriter.Writer, settings []setting) {
	fmt.Fprint(w, "RECORDING\tLENGTH\tRECORDED\tPEAK\tSESSIONS\t")
	if len(settings) > 1 {
		fmt.Fprintf(w, " \t%s\t%s\n", settings[0].name, settings[1].name)
		return
	}
	fmt.Fprintf(w, "DECISIONS (%s)\n", settings[0].name)
}

// line is a recording's row.
func line(sums []replay.Summary, apart bool) string {
	s := &sums[0]
	cells := []string{
		s.File, duration(s.DurationS).String(), fmt.Sprintf("%.1f Wh", s.EnergyWh),
		fmt.Sprintf("%.0f W, %.2f A", s.PeakWatts, s.PeakAmps), fmt.Sprint(len(s.Sessions)),
	}
	if len(sums) > 1 {
		mark := " "
		if apart {
			mark = different
		}
		cells = append(cells, mark)
	}
	for i := range sums {
		cells = append(cells, decided(&sums[i]))
	}
	return strings.Join(cells, "\t")
}

// decided says what the rules decided, in a few words.
func decided(s *replay.Summary) string {
	var parts []string
	if s.FirstTripS != nil {
		parts = append(parts, firstTrip(s))
	}
	for _, cause := range shedguard.Causes() {
		n := s.Alarms[cause]
		if s.FirstTripS != nil && cause == s.FirstTrip {
			n--
			if n > 0 {
				parts = append(parts, fmt.Sprintf("%d more", n))
			}
			continue
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s × %d", cause.Text().EN, n))
		}
	}
	limits := map[string]int{}
	for i := range s.Sessions {
		limits[s.Sessions[i].Phase]++
	}
	for _, phase := range [...]string{session.PhaseLimitWh, session.PhaseLimitMinutes, session.PhaseLimitWatts} {
		if n := limits[phase]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s × %d", strings.ReplaceAll(phase, "_", " "), n))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func (t *totals) sentence(settings []setting) string {
	parts := []string{fmt.Sprintf("Recordings %d, %.1f hours, %.2f kWh.", t.Files-len(t.Failed), t.DurationS/3600, t.Profile.EnergyWh/1000)}
	for i, one := range [...]*total{t.Profile, t.WhatIf} {
		if one == nil {
			continue
		}
		alarms := 0
		for _, k := range one.Alarms {
			alarms += k
		}
		parts = append(parts, fmt.Sprintf("%s: alarms %d, trips %d, sessions %d, %.2f kWh delivered.", settings[i].name, alarms, one.Trips, one.Sessions, one.DeliveredWh/1000))
	}
	if t.WhatIf != nil {
		parts = append(parts, fmt.Sprintf("They decide otherwise on %d.", t.Differ))
	}
	if len(t.Failed) > 0 {
		parts = append(parts, fmt.Sprintf("%d could not be read.", len(t.Failed)))
	}
	return strings.Join(parts, " ")
}
