package chart_test

import (
	"image"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/replay"
	"github.com/shedguard/shedguard/gateway/replay/chart"
)

// draw replays samples and draws them.
func draw(t *testing.T, samples []recording.Sample) (image.Image, replay.Summary) {
	t.Helper()
	limits, settings, err := replay.Profile("outlet-5a")
	if err != nil {
		t.Fatal(err)
	}
	c := chart.New(limits)
	p, err := replay.New(replay.Options{Limits: limits, Session: settings, Emit: func(e *replay.Event) { c.Mark(0, e) }})
	if err != nil {
		t.Fatal(err)
	}
	for len(samples) > 0 {
		n := min(1000, len(samples))
		p.Feed(samples[:n])
		c.Add(samples[:n])
		samples = samples[n:]
	}
	sum, err := p.Finish()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.png")
	if err := c.Save(path, sum); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img, sum
}

// bluest is the highest row, as a share of the height, that holds a pixel as
// blue as the curve of power.
func bluest(img image.Image) float64 {
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			r, g, b, _ := img.At(x, y).RGBA()
			if r>>8 < 0x60 && g>>8 > 0x40 && g>>8 < 0xa0 && b>>8 > 0x90 {
				return float64(y) / float64(img.Bounds().Dy())
			}
		}
	}
	return 1
}

func watts(n int, every time.Duration) []recording.Sample {
	nan := math.NaN()
	all := make([]recording.Sample, n)
	for i := range all {
		all[i] = recording.Sample{At: time.Duration(i) * every, Volts: nan, Amps: nan, Watts: 20, PeakAmps: nan, PeakWatts: nan}
	}
	return all
}

func TestOneSampleIsSeenInHours(t *testing.T) {
	t.Parallel()
	samples := watts(10_800, time.Second)
	flat, _ := draw(t, samples)
	samples[5_000].Watts = 900
	spike, sum := draw(t, samples)
	if sum.PeakWatts != 900 || sum.Trips != 0 {
		t.Fatalf("%+v", sum)
	}
	// Both fill their panel: the flat one with its 20 W, the other with 900 W
	// under the limit of 1000 W, which is in sight then.
	if y := bluest(spike); y > 0.3 {
		t.Errorf("the highest pixel of the curve is at %g of the height", y)
	}
	if y := bluest(flat); y > 0.3 {
		t.Errorf("a flat curve is at %g of the height", y)
	}
}

func TestDrawsWhatIsThere(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"one sample": 1, "two": 2, "hours": 9000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			samples := watts(n, time.Second)
			for i := n / 2; i < n; i++ {
				samples[i].Amps, samples[i].Watts = 40, 8800
				samples[i].At += time.Duration(n/7000) * time.Hour // a gap
			}
			_, sum := draw(t, samples)
			if n > 2 && (sum.FirstTrip != shedguard.CauseShortCircuit || sum.Gaps != 1) {
				t.Errorf("%+v", sum)
			}
		})
	}
}

func TestNothingToDraw(t *testing.T) {
	t.Parallel()
	limits, _, err := replay.Profile("outlet-5a")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.png")
	c := chart.New(limits)
	if err := c.Save(path, replay.Summary{}); err == nil || !strings.Contains(err.Error(), "no samples") {
		t.Errorf("no samples: %v", err)
	}
	nan := math.NaN()
	c.Add([]recording.Sample{{Volts: 220, Amps: nan, Watts: nan, PeakAmps: nan, PeakWatts: nan}})
	if err := c.Save(path, replay.Summary{}); err == nil || !strings.Contains(err.Error(), "neither power nor current") {
		t.Errorf("volts only: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a picture of nothing")
	}
}
