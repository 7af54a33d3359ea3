package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/replay"
)

const (
	columnWidth = 46  // most that one of two columns takes
	different   = "≠" // marks a row in which two settings differ
)

// comparison is the table of two settings for a person.
type comparison struct {
	w       io.Writer
	names   [2]string
	changes []config.Change
	shown   []row
	total   int
	differ  int
}

// rows keeps what is shown: the width of a column is known at the end only.
func (t *comparison) rows(rows []row) {
	for _, r := range rows {
		t.total++
		if !same(r) {
			t.differ++
		}
		if len(t.shown) < tableRows {
			t.shown = append(t.shown, r)
		}
	}
}

// same reports whether both settings say the same.
func same(r row) bool { return r[0] != nil && r[1] != nil && r[0].Text == r[1].Text }

func (t *comparison) summary(sums []replay.Summary) {
	t.changed()
	a, b := &sums[0], &sums[1]
	var g grid
	g.add("TIME", "", t.names[0], t.names[1])
	for _, r := range t.shown {
		at := r[0]
		if at == nil {
			at = r[1]
		}
		mark := ""
		if !same(r) {
			mark = different
		}
		g.add(clockOf(at.TimeS), mark, brief(r[0]), brief(r[1]))
	}
	if hidden := t.total - len(t.shown); hidden > 0 {
		g.add("…", "", fmt.Sprintf("%d more; --json lists all of it", hidden), "")
	}
	if t.total == 0 {
		g.add("", "", "nothing happened", "nothing happened")
	}
	g.write(t.w, true)

	fmt.Fprintln(t.w)
	about(t.w, a)
	fmt.Fprintln(t.w)
	g = grid{}
	g.add("", "", t.names[0], t.names[1])
	both := func(name string, of func(*replay.Summary) string) {
		left, right := of(a), of(b)
		if left == "" && right == "" {
			return
		}
		mark := ""
		if left != right {
			mark = different
		}
		g.add(name, mark, left, right)
	}
	both("Judged", func(s *replay.Summary) string { return duration(s.JudgedS).String() })
	both("Delivered", func(s *replay.Summary) string { return fmt.Sprintf("%.1f Wh in sessions", delivered(s)) })
	both("Heat", func(s *replay.Summary) string { return fmt.Sprintf("at most %.0f %% of what trips", s.PeakHeat*100) })
	for _, cause := range shedguard.Causes() {
		if a.Alarms[cause]+b.Alarms[cause] > 0 {
			both("Alarm", func(s *replay.Summary) string { return fmt.Sprintf("%s × %d", cause.Text().EN, s.Alarms[cause]) })
		}
	}
	both("First trip", firstTrip)
	for i := range min(max(len(a.Sessions), len(b.Sessions)), tableSessions) {
		both("Session", func(s *replay.Summary) string {
			if i >= len(s.Sessions) {
				return ""
			}
			return sessionText(&s.Sessions[i])
		})
	}
	if len(a.Sessions) > tableSessions || len(b.Sessions) > tableSessions {
		both("Sessions", func(s *replay.Summary) string { return fmt.Sprintf("%d in all; --json lists them", len(s.Sessions)) })
	}
	both("Outlet", func(s *replay.Summary) string { return s.State.String() + " at the end" })
	both("Result", func(s *replay.Summary) string { return s.Text })
	g.write(t.w, false)
	if t.differ == 0 {
		fmt.Fprintf(t.w, "\nBoth decide the same on this recording.\n")
	} else {
		fmt.Fprintf(t.w, "\n%s marks where they differ.\n", different)
	}
}

// changed lists what is compared.
func (t *comparison) changed() {
	if len(t.changes) == 0 {
		fmt.Fprintf(t.w, "%s changes nothing of %s.\n\n", t.names[1], t.names[0])
		return
	}
	fmt.Fprintf(t.w, "%s changes of %s:\n", t.names[1], t.names[0])
	path, from := 0, 0
	for _, c := range t.changes {
		path, from = max(path, len(c.Path)), max(from, utf8.RuneCountInString(c.From))
	}
	for _, c := range t.changes {
		fmt.Fprintf(t.w, "  %-*s  %*s → %s\n", path, c.Path, from, c.From, c.To)
	}
	fmt.Fprintln(t.w)
}

// brief is an event in a column.
func brief(ev *replay.Event) string {
	if ev == nil {
		return ""
	}
	if ev.Kind != replay.KindAlarm || ev.Value == nil || ev.Limit == nil {
		return strings.TrimSuffix(ev.Text, ".")
	}
	text := ev.Cause.Text().EN
	if ev.Unit != "" {
		text = fmt.Sprintf("%s: %.4g %s, limit %.4g %s", text, *ev.Value, ev.Unit, *ev.Limit, ev.Unit)
	}
	if ev.Action == shedguard.ActionNone {
		return text + ", reported only"
	}
	return text + ", " + strings.ReplaceAll(string(ev.Action), "_", " ")
}

// delivered is the energy of the sessions in Wh.
func delivered(s *replay.Summary) float64 {
	wh := 0.0
	for i := range s.Sessions {
		wh += s.Sessions[i].EnergyWh
	}
	return wh
}

func firstTrip(s *replay.Summary) string {
	if s.FirstTripS == nil {
		return "none"
	}
	return fmt.Sprintf("%s at %s", s.FirstTrip.Text().EN, clockOf(*s.FirstTripS))
}

// grid is a table of a name, a mark and two columns that wrap.
type grid [][4]string

func (g *grid) add(name, mark, left, right string) {
	*g = append(*g, [4]string{name, mark, left, right})
}

// write aligns the columns; names stand to the right where they are times.
func (g grid) write(w io.Writer, times bool) {
	name, left := 0, 0
	cells := make([][2][]string, len(g))
	for i, r := range g {
		name = max(name, utf8.RuneCountInString(r[0]))
		cells[i] = [2][]string{wrap(r[2], columnWidth), wrap(r[3], columnWidth)}
		for _, line := range cells[i][0] {
			left = max(left, utf8.RuneCountInString(line))
		}
	}
	if times {
		name = -name // fmt aligns to the left where a width is negative
	}
	for i, r := range g {
		for k := range max(len(cells[i][0]), len(cells[i][1]), 1) {
			first, mark := r[0], r[1]
			if k > 0 {
				first, mark = "", ""
			}
			line := fmt.Sprintf("%*s  %-1s %-*s  %s", -name, first, mark, left, at(cells[i][0], k), at(cells[i][1], k))
			fmt.Fprintln(w, strings.TrimRight(line, " "))
		}
	}
}

func at(lines []string, k int) string {
	if k < len(lines) {
		return lines[k]
	}
	return ""
}

// wrap breaks text between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// comparedLines writes one object a line, each with its setting, and both
// summaries as the last one.
type comparedLines struct {
	jsonLines
	changes []config.Change
	differ  int
}

func (l *comparedLines) rows(rows []row) {
	for _, r := range rows {
		if !same(r) {
			l.differ++
		}
		for i, ev := range r {
			if ev == nil {
				continue
			}
			l.write(&struct {
				Setting string `json:"setting"`
				*replay.Event
			}{[...]string{settingProfile, settingWhatIf}[i], ev})
		}
	}
}

func (l *comparedLines) summary(sums []replay.Summary) {
	a, b := &sums[0], &sums[1]
	l.write(compare(a, b, l.changes, l.differ))
}

// comparedSummary is the last line of a comparison.
type comparedSummary struct {
	TimeS   float64         `json:"time_s"`
	Kind    replay.Kind     `json:"kind"`
	Setting string          `json:"setting"` // both
	File    string          `json:"file"`
	Changes []config.Change `json:"changes"`
	Differ  int             `json:"differences"` // moments at which they do not say the same
	Profile *replay.Summary `json:"profile"`
	WhatIf  *replay.Summary `json:"what_if"`
	Text    string          `json:"text"`
}

func compare(a, b *replay.Summary, changes []config.Change, differ int) *comparedSummary {
	text := "Both decide the same."
	if differ > 0 {
		text = fmt.Sprintf("%s: %s %s: %s", a.Profile, a.Text, b.Profile, b.Text)
	}
	if changes == nil {
		changes = []config.Change{}
	}
	return &comparedSummary{
		TimeS: a.TimeS, Kind: replay.KindSummary, Setting: "both", File: a.File, Changes: changes, Differ: differ,
		Profile: a, WhatIf: b, Text: text,
	}
}
