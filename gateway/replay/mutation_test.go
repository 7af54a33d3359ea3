package replay_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/replay"
	"github.com/shedguard/shedguard/gateway/session"
)

// mutation changes a recording from one moment on.
type mutation struct {
	name string
	// what is wrong, in the table's words
	text string
	// from tells at which moments it makes sense.
	from func(c *curve, at time.Duration) bool
	// watts is what is read instead of w, d after the moment; at the moment it
	// was w0, and the plateau is p. Not a number: no reading at all.
	watts func(w, w0, p float64, d time.Duration) float64
	exact bool // the reading has no noise any more
	// goes is how long the load goes on after the recording's end.
	goes time.Duration
}

// curve is a recording as a meter that is read once a second would have had it:
// values held, and its last digits restless.
type curve struct {
	watts   []float64 // one a second
	plateau float64
}

func curveOf(t *testing.T, path string) *curve {
	t.Helper()
	c := &curve{}
	var last recording.Sample
	for _, s := range samplesOf(t, path) {
		for at := time.Duration(len(c.watts)) * time.Second; at < s.At; at += time.Second {
			c.watts = append(c.watts, last.Watts)
		}
		last = s
		c.plateau = max(c.plateau, s.Watts)
	}
	c.watts = append(c.watts, last.Watts)
	return c
}

func (c *curve) at(d time.Duration) float64 { return c.watts[min(int(d/time.Second), len(c.watts)-1)] }

// tapering is from 90 % to 30 % of the plateau, after it.
func tapering(c *curve, at time.Duration) bool {
	w := c.at(at)
	return w < 0.9*c.plateau && w > 0.3*c.plateau
}

func mutations() []mutation {
	const creep = 0.01 // of the plateau, a minute
	return []mutation{
		{
			name: "overload creep", text: "1 % of the plateau more each minute", goes: 3 * time.Hour,
			from:  func(*curve, time.Duration) bool { return true },
			watts: func(w, _, p float64, d time.Duration) float64 { return w + creep*p*d.Minutes() },
		},
		{
			name: "float stuck high", text: "power stops falling between 90 and 30 % of the plateau", goes: 5 * time.Hour,
			from:  tapering,
			watts: func(_, w0, _ float64, _ time.Duration) float64 { return w0 },
		},
		{
			name: "late rise", text: "25 % of the plateau more within 20 min, in the taper", goes: 3 * time.Hour,
			from:  tapering,
			watts: func(w, _, p float64, d time.Duration) float64 { return max(w, 0) + 0.25*p*min(1, d.Minutes()/20) },
		},
		{
			name: "meter freezes", text: "the same value for ever, to the last digit", goes: 3 * time.Hour, exact: true,
			from:  func(c *curve, at time.Duration) bool { return c.at(at) >= 45 },
			watts: func(_, w0, _ float64, _ time.Duration) float64 { return w0 },
		},
		{
			name: "dropout", text: "no readings any more", goes: time.Hour,
			from:  func(*curve, time.Duration) bool { return true },
			watts: func(_, _, _ float64, _ time.Duration) float64 { return math.NaN() },
		},
	}
}

// caught is how a mutation ended.
type caught struct {
	after  time.Duration   // from the mutation to the first alarm
	opened time.Duration   // to the opening; 0: never
	cause  shedguard.Cause // of the first alarm
	full   bool            // the outlet was switched off as full instead
}

// mutate plays a curve that is wrong from a moment on.
func (m *mutation) mutate(t *testing.T, c *curve, from time.Duration) caught {
	t.Helper()
	var got caught
	opts := options(t, "outlet-5a")
	opts.MeterStale = true
	over := false
	opts.Emit = func(e *replay.Event) {
		at := time.Duration(e.TimeS*1e9) - from
		switch {
		case over:
		case e.Kind == replay.KindAlarm:
			if at < 0 {
				t.Errorf("%s from %s: %s before it", m.name, from, e.Text)
			}
			if got.cause == "" {
				got.cause, got.after = e.Cause, at
			}
		case e.Kind == replay.KindSession && e.Reason != "":
			over = true
			got.full = e.Phase == session.PhaseFull && got.cause == ""
		}
		if e.Kind == replay.KindDecision && e.Cause != "" && e.Action != shedguard.ActionNone && got.opened == 0 {
			got.opened = at
		}
	}
	p, err := replay.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Duration(len(c.watts))*time.Second + m.goes
	nan := math.NaN()
	var batch []recording.Sample
	for at := time.Duration(0); at < end; at += time.Second {
		w := c.at(at)
		noise := 1 + 0.002*math.Sin(1.7*at.Seconds())
		if at >= from {
			w = m.watts(w, c.at(from), c.plateau, at-from)
			if m.exact {
				noise = 1
			}
		}
		s := recording.Sample{At: at, Volts: 220, Amps: nan, Watts: w * noise, PeakAmps: nan, PeakWatts: nan}
		if math.IsNaN(w) {
			if at+time.Second < end {
				continue
			}
			s.Watts = c.at(from) // the meter comes back at the very end
		}
		batch = append(batch, s)
	}
	p.Feed(batch)
	if _, err := p.Finish(); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestMutations makes the recorded charges go wrong in many ways, from every
// ten minutes on, and holds the table of the docs to what came out.
func TestMutations(t *testing.T) {
	t.Parallel()
	dir := recordings(t)
	var table strings.Builder
	table.WriteString("| what goes wrong | recording | points | caught | off as full first | missed | first alarm | until the alarm, median and most | until the cut, median and most |\n|---|---|--:|--:|--:|--:|---|--:|--:|\n")
	for _, m := range mutations() {
		for _, file := range []string{"ebike_lectric_battery_1_full.csv", "ebike_rad_battery_1_nominal.csv", "ebike_rad_battery_2_full.csv"} {
			c := curveOf(t, filepath.Join(dir, file))
			points, full, missed := 0, 0, 0
			var after, opened []time.Duration
			causes := map[shedguard.Cause]int{}
			for at := time.Minute; at < time.Duration(len(c.watts))*time.Second; at += 10 * time.Minute {
				if !m.from(c, at) {
					continue
				}
				points++
				got := m.mutate(t, c, at)
				switch {
				case got.full:
					full++
				case got.cause == "":
					missed++
					t.Errorf("%s, %s from %s: not caught", file, m.name, at)
				default:
					causes[got.cause]++
					after = append(after, got.after)
					if got.opened > 0 {
						opened = append(opened, got.opened)
					}
				}
			}
			if points == 0 {
				continue
			}
			var first []string
			for _, cause := range shedguard.Causes() {
				if n := causes[cause]; n > 0 {
					first = append(first, fmt.Sprintf("%s %d", cause, n))
				}
			}
			fmt.Fprintf(&table, "| %s: %s | %s | %d | %d | %d | %d | %s | %s | %s |\n", m.name, m.text, file, points,
				len(after), full, missed, strings.Join(first, ", "), spread(after), spread(opened))
		}
	}
	inDocs(t, "mutations", table.String())
}

// spread is the median and the largest of some times.
func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "–"
	}
	slices.Sort(d)
	text := func(d time.Duration) string {
		if d > 2*time.Minute {
			return fmt.Sprintf("%.0f min", d.Minutes())
		}
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%s, %s (%d)", text(d[len(d)/2]), text(d[len(d)-1]), len(d))
}
