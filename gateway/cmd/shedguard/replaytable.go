package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/replay"
)

const (
	tableRows     = 60 // events that the table for people shows
	tableSessions = 10 // likewise
)

// jsonLines writes one object a line.
type jsonLines struct{ enc *json.Encoder }

func newLines(w io.Writer) jsonLines {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return jsonLines{enc}
}

func (l jsonLines) rows(rows []row) {
	for _, r := range rows {
		l.write(r[0])
	}
}

func (l jsonLines) summary(sums []replay.Summary) { l.write(&sums[0]) }

// write ignores the writer's error: it is buffered, and flushing reports it.
func (l jsonLines) write(v any) { _ = l.enc.Encode(v) }

// eventTable is the table for a person.
type eventTable struct {
	w io.Writer
	n int
}

func newTable(w io.Writer) *eventTable { return &eventTable{w: w} }

func (t *eventTable) rows(rows []row) {
	for _, r := range rows {
		t.event(r[0])
	}
}

func (t *eventTable) event(ev *replay.Event) {
	t.n++
	switch t.n {
	case 1:
		fmt.Fprintf(t.w, "%12s  WHAT\n", "TIME")
	case tableRows + 1:
		fmt.Fprintf(t.w, "%12s  %-8s  More follows; --json lists all of it.\n", "…", "")
	}
	if t.n <= tableRows {
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

func (t *eventTable) summary(sums []replay.Summary) {
	s := &sums[0]
	fmt.Fprintln(t.w)
	w := newRows(t.w)
	w.about(s)
	w.row("Rules", "%s, judged %s", s.Profile, duration(s.JudgedS))
	w.row("Energy", "%.1f Wh", s.EnergyWh)
	w.row("Peak", "%s", peak(s))
	w.row("Heat", "at most %.0f %% of what trips", s.PeakHeat*100)
	for _, cause := range shedguard.Causes() {
		if n := s.Alarms[cause]; n > 0 {
			w.row("Alarm", "%s × %d", cause.Text().EN, n)
		}
	}
	if s.FirstTripS != nil {
		w.row("First trip", "%s", firstTrip(s))
	}
	for i := range s.Sessions {
		if i == tableSessions {
			w.row("Session", "and %d more; --json lists them", len(s.Sessions)-i)
			break
		}
		w.row("Session", "%s", sessionText(&s.Sessions[i]))
	}
	w.row("Outlet", "%s at the end", s.State)
	w.judging(s)
	w.row("Result", "%s", s.Text)
	_ = w.Flush() // to a buffer
}

// about tells of the recording itself, whatever the rules.
func about(out io.Writer, s *replay.Summary) {
	w := newRows(out)
	w.about(s)
	w.row("Energy", "%.1f Wh recorded", s.EnergyWh)
	w.row("Peak", "%s", peak(s))
	w.judging(s)
	_ = w.Flush() // to a buffer
}

// tableOf writes a name and what belongs to it, one a row.
type tableOf struct{ *tabwriter.Writer }

func newRows(w io.Writer) tableOf { return tableOf{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

func (w tableOf) row(name, format string, args ...any) {
	fmt.Fprintf(w, name+"\t"+format+"\n", args...)
}

func (w tableOf) about(s *replay.Summary) {
	every := "usually every " + duration(s.SamplingS).String()
	if s.Format == recording.FormatHomeAssistant {
		every = "written on change"
	}
	w.row("Recording", "%s (%s), %d samples over %s, %s", s.File, s.Format, s.Samples, duration(s.DurationS), every)
	if s.Gaps > 0 {
		w.row("Gaps", "%d, the longest %s", s.Gaps, duration(s.LongestGapS))
	}
}

func (w tableOf) judging(s *replay.Summary) {
	if len(s.Derived) > 0 {
		w.row("Not recorded", "%s (worked out, see docs/REPLAY.md)", strings.Join(s.Derived, ", "))
	}
	w.row("Not judged", "%s", strings.Join(s.NotJudged, ", "))
	for _, note := range s.Notes {
		w.row("Note", "%s", note)
	}
}

func peak(s *replay.Summary) string {
	return fmt.Sprintf("%.1f W at %s, %.2f A at %s", s.PeakWatts, clockOf(s.PeakWattsAtS), s.PeakAmps, clockOf(s.PeakAmpsAtS))
}

func sessionText(s *replay.Session) string {
	end := "still running"
	if s.EndedS != nil {
		end = clockOf(*s.EndedS)
	}
	return fmt.Sprintf("%s to %s, %.1f Wh, peak %.0f W, %s", clockOf(s.BegunS), end, s.EnergyWh, s.PeakWatts, s.Phase)
}

func duration(s float64) time.Duration { return replay.Round(time.Duration(s * float64(time.Second))) }
