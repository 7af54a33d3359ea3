package main

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/confirm"
)

// Three minutes in which nothing burns, and fires: a cut of the two hours of make reel,
// held to the same bars. The command fails where one is missed.
func TestReel(t *testing.T) {
	needsOpenCV(t)
	code, out, errs := program(t, "evaluate", "--reel", "3m", "--json")
	all := strings.Split(strings.TrimSpace(out), "\n")
	burning, quiet := 0, 0
	for _, line := range all[:len(all)-1] {
		var c clipLine
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatal(err)
		}
		if c.Burns {
			burning++
			t.Logf("%s: flame in the picture %s s and seen %s s after it is drawn; in the picture to pre-alarm %s s, to alarm %s s", c.Name, tenth(c.InPictureS-c.DrawnS), tenth(c.SeenS-c.DrawnS), tenth(c.FlamePreAlarmS), tenth(c.FlameAlarmS))
			continue
		}
		quiet++
		t.Logf("%s: %d pre-alarms, %d alarms, %d of %d frames judged: %+v", c.Name, c.PreAlarms, c.Alarms, c.Judged, c.Frames, c.Told)
		if c.Frames < 890 || c.LookedOnS != 90 {
			t.Errorf("%s: %d frames after %.0f s of looking on", c.Name, c.Frames, float64(c.LookedOnS))
		}
	}
	if quiet != 1 || burning != 3 {
		t.Fatalf("%d quiet clips, %d that burn; %s", quiet, burning, errs)
	}
	var s summaryLine
	if err := json.Unmarshal([]byte(all[len(all)-1]), &s); err != nil {
		t.Fatal(err)
	}
	if s.Reel == nil || s.Reel.Burning != 3 || math.Abs(float64(s.Reel.Hours)-0.05) > 0.001 {
		t.Fatalf("summary %+v", s.Reel)
	}
	if code != exitDone || s.Reel.InTime != 3 || s.Reel.Alarms != 0 || s.Reel.PreAlarms > 1 {
		t.Errorf("exit code %d, %+v: %s", code, *s.Reel, errs)
	}
}

func TestGradesByTime(t *testing.T) {
	// step is seconds in which something is seen, or not.
	type step struct {
		seen bool
		long time.Duration
	}
	for name, c := range map[string]struct {
		steps             []step
		preAlarms, alarms int
	}{
		"nothing":               {[]step{{false, time.Minute}}, 0, 0},
		"short":                 {[]step{{true, 8 * time.Second}, {false, time.Minute}}, 1, 0},
		"long":                  {[]step{{true, 30 * time.Second}}, 1, 1},
		"a gap that counts not": {[]step{{true, 5 * time.Second}, {false, 2 * time.Second}, {true, 5 * time.Second}}, 1, 1},
		"a gap that counts":     {[]step{{true, 5 * time.Second}, {false, 4 * time.Second}, {true, 5 * time.Second}}, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := &theatre{told: make(map[uint64]bool), start: time.Date(2026, 1, 1, 20, 0, 0, 0, time.UTC)}
			now, id := time.Duration(0), uint64(0)
			for _, s := range c.steps {
				id++
				since := h.start.Add(now)
				for end := now + s.long; now < end; now += time.Second / reelFPS {
					var sights []confirm.Sight
					if s.seen {
						sights = []confirm.Sight{{ID: id, Class: vision.Flame, Since: since}}
					}
					h.grade(sights, now)
				}
			}
			if h.line.PreAlarms != c.preAlarms || h.line.Alarms != c.alarms {
				t.Errorf("%d pre-alarms, %d alarms: want %d, %d", h.line.PreAlarms, h.line.Alarms, c.preAlarms, c.alarms)
			}
		})
	}
}

func TestReelBars(t *testing.T) {
	good := reelLine{Hours: 2, PreAlarms: 1, Burning: 3, InTime: 3}
	if err := good.bars(); err != nil {
		t.Error(err)
	}
	for want, r := range map[string]reelLine{
		"1 alarms where nothing burns":          {Hours: 2, Alarms: 1},
		"2 pre-alarms where nothing burns":      {Hours: 2, PreAlarms: 2},
		"1 of 3 fires were not told of in time": {Hours: 2, Burning: 3, InTime: 2},
	} {
		if err := r.bars(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", r, err, want)
		}
	}
}
