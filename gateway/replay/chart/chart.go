package chart

import (
	"cmp"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/recording"
	"github.com/shedguard/shedguard/gateway/replay"
)

const (
	maxBins  = 2000 // stretches of time, twice what a picture's width shows
	maxMarks = 400
	maxLabel = 6 // decisions with a label; the rest are lines

	width  = 12 * vg.Inch
	height = 6.5 * vg.Inch
	dpi    = 110

	sans = "Sans"
)

// bin is the least, the largest and the last of a stretch of time; NaN: none.
type bin struct{ low, high, last float64 }

func none() bin { return bin{math.NaN(), math.NaN(), math.NaN()} }

func (b *bin) add(v float64) {
	if math.IsNaN(v) {
		return
	}
	v = math.Abs(v)
	b.last = v
	if math.IsNaN(b.low) {
		b.low, b.high = v, v
		return
	}
	b.low, b.high = min(b.low, v), max(b.high, v)
}

func (b *bin) join(o bin) {
	b.add(o.low)
	b.add(o.high)
	b.add(o.last)
}

// span is a stretch of the recording in seconds.
type span struct{ from, to float64 }

// mark is a decision.
type mark struct {
	at    float64
	text  string
	other bool // of the rules that are compared with
}

// Chart collects what is to be drawn.
type Chart struct {
	limits *protect.Limits
	other  *protect.Limits // nil: nothing to compare with
	zero   time.Duration
	begun  bool
	width  time.Duration // of a bin
	watts  []bin
	amps   []bin
	gaps   []span
	marks  []mark
}

// New returns an empty chart of an outlet with these limits.
func New(limits *protect.Limits) *Chart {
	return &Chart{limits: limits, width: time.Millisecond}
}

// Add takes the next samples.
func (c *Chart) Add(samples []recording.Sample) {
	for i := range samples {
		s := &samples[i]
		if !c.begun {
			c.zero, c.begun = s.At, true
		}
		i := int((s.At - c.zero) / c.width)
		for ; i >= maxBins; i = int((s.At - c.zero) / c.width) {
			c.widen()
		}
		for len(c.watts) <= i {
			c.watts, c.amps = append(c.watts, none()), append(c.amps, none())
		}
		c.watts[i].add(s.PeakWatts)
		c.watts[i].add(s.Watts)
		c.amps[i].add(s.PeakAmps)
		c.amps[i].add(s.Amps)
	}
}

// widen makes the bins twice as wide.
func (c *Chart) widen() {
	c.width *= 2
	for _, bins := range [...]*[]bin{&c.watts, &c.amps} {
		b := *bins
		n := (len(b) + 1) / 2
		for i := range n {
			joined := b[2*i]
			if 2*i+1 < len(b) {
				joined.join(b[2*i+1])
			}
			b[i] = joined
		}
		*bins = b[:n]
	}
}

// Compare has the chart show the decisions of a second setting, too.
func (c *Chart) Compare(limits *protect.Limits) { c.other = limits }

// Mark takes an event of a setting: 0, or 1 for the one that is compared with.
func (c *Chart) Mark(setting int, e *replay.Event) {
	switch {
	case setting == 0 && e.Kind == replay.KindPhase && e.Phase == replay.PhaseGap && e.UntilS != nil && len(c.gaps) < maxMarks:
		c.gaps = append(c.gaps, span{e.TimeS, *e.UntilS})
	case e.Kind == replay.KindAlarm && len(c.marks) < maxMarks:
		text := e.Cause.Text().EN
		if e.Value != nil && e.Unit != "" {
			text = fmt.Sprintf("%s\n%.4g %s", text, *e.Value, e.Unit)
		}
		c.marks = append(c.marks, mark{e.TimeS, text, setting > 0})
	}
}

// colours of the picture; chosen to be told apart without red and green.
func ink() color.Color      { return color.RGBA{0x33, 0x33, 0x33, 0xff} }
func powerInk() color.Color { return color.RGBA{0x0b, 0x5f, 0xa5, 0xff} }
func ampsInk() color.Color  { return color.RGBA{0x6a, 0x3d, 0x9a, 0xff} }
func faint() color.Color    { return color.RGBA{0xe6, 0xe6, 0xe6, 0xff} }
func gapInk() color.Color   { return color.RGBA{0xec, 0xec, 0xec, 0xff} }
func chargeInk() color.Color {
	return color.RGBA{0xe3, 0xf1, 0xe6, 0xff}
}
func limitInk() color.Color { return color.RGBA{0xd9, 0x7b, 0x00, 0xff} }
func tripInk() color.Color  { return color.RGBA{0xc0, 0x1c, 0x28, 0xff} }

// Those of the rules that are compared with.
func otherLimitInk() color.Color { return color.RGBA{0x00, 0x8b, 0x8b, 0xff} }
func otherTripInk() color.Color  { return color.RGBA{0x00, 0x5f, 0x60, 0xff} }

// limit is a line across a panel.
type limit struct {
	at     float64
	name   string
	ink    color.Color
	inside bool // its name stands above the line, clear of the names beside it
}

// limitsOf are the lines of one setting in the panels of power and current.
func limitsOf(l *protect.Limits, ink color.Color) (power, current []limit) {
	if l.Overpower.Enabled {
		power = append(power, limit{at: l.Overpower.LimitWatts, name: fmt.Sprintf("overpower\n%g W for %s", l.Overpower.LimitWatts, l.Overpower.Delay), ink: ink})
	}
	if l.Overcurrent.Enabled {
		current = append(current, limit{at: l.Overcurrent.PickUp * l.RatingAmps, name: fmt.Sprintf("overcurrent\nfrom %.3g A", l.Overcurrent.PickUp*l.RatingAmps), ink: ink})
	}
	if l.ShortCircuit.Enabled {
		current = append(current, limit{at: l.ShortCircuit.TimesRating * l.RatingAmps, name: fmt.Sprintf("short circuit\n%.3g A", l.ShortCircuit.TimesRating*l.RatingAmps), ink: ink})
	}
	return power, current
}

// beside adds the lines of the other setting that say something else.
func beside(own, other []limit) []limit {
	all := slices.Clone(own)
	for _, l := range other {
		if !slices.ContainsFunc(own, func(o limit) bool { return o.name == l.name }) {
			l.name, l.inside = "what if: "+strings.ReplaceAll(l.name, "\n", " "), true
			all = append(all, l)
		}
	}
	return all
}

// Save draws the picture from the summary of each setting. The file is complete
// or not there.
func (c *Chart) Save(path string, sums ...replay.Summary) error {
	if !c.begun {
		return errors.New("no samples")
	}
	sum := &sums[0]
	judged := sum.JudgedUntilS
	power, current := limitsOf(c.limits, limitInk())
	if c.other != nil {
		otherPower, otherCurrent := limitsOf(c.other, otherLimitInk())
		power, current = beside(power, otherPower), beside(current, otherCurrent)
		slices.SortStableFunc(c.marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
		judged = max(judged, sums[1].JudgedUntilS)
	}
	panels := []*plot.Plot{}
	add := func(bins []bin, name string, line color.Color, limits []limit, peak float64) error {
		if !known(bins) {
			return nil
		}
		p, err := c.panel(bins, name, line, limits, peak, sum, judged, len(panels) == 0)
		panels = append(panels, p)
		return err
	}
	if err := errors.Join(
		add(c.watts, "Power (W)", powerInk(), power, sum.PeakWatts),
		add(c.amps, "Current (A)", ampsInk(), current, sum.PeakAmps),
	); err != nil {
		return err
	}
	if len(panels) == 0 {
		return errors.New("neither power nor current is recorded")
	}
	panels[0].Title.Text = fmt.Sprintf("%s, rules of %s", sum.File, sum.Profile)
	if c.other != nil {
		panels[0].Title.Text += " and what if: " + sums[1].Profile
	}
	panels[0].Title.TextStyle.Font.Size, panels[0].Title.TextStyle.Font.Variant = 14, sans
	panels[0].Title.TextStyle.Color = ink()
	panels[0].Title.Padding = 6
	panels[len(panels)-1].X.Label.Text = "Time since the beginning of the recording"

	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi))
	grid := make([][]*plot.Plot, len(panels))
	for i, p := range panels {
		grid[i] = []*plot.Plot{p}
	}
	whole := draw.New(canvas)
	whole.FillText(text.Style{
		Color: ink(), Font: font.Font{Typeface: plot.DefaultFont.Typeface, Variant: sans, Size: 10}, Handler: plot.DefaultTextHandler,
	}, vg.Point{X: 12, Y: 10}, c.legend(sums, judged))
	foot := vg.Length(28)
	if c.other != nil {
		foot += 28 // two lines more in the legend
	}
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadTop: 8, PadBottom: foot, PadLeft: 8, PadRight: 18, PadY: 10}
	for i, row := range plot.Align(grid, tiles, whole) {
		panels[i].Draw(row[0])
	}
	return write(path, vgimg.PngCanvas{Canvas: canvas})
}

// legend says what happened and what the colours mean.
func (c *Chart) legend(sums []replay.Summary, judged float64) string {
	sum := &sums[0]
	parts := []string{sum.Text}
	if c.other != nil {
		parts = nil
	}
	if len(sum.Sessions) > 0 {
		parts = append(parts, "Green: charging session.")
	}
	if len(c.gaps) > 0 {
		parts = append(parts, "Grey: gap in the recording.")
	}
	if judged < sum.TimeS {
		parts = append(parts, "Pale line: recorded, but the outlet would be off.")
	}
	text := strings.Join(parts, "  ")
	if c.other != nil {
		text = "Red, " + sum.Profile + ": " + sum.Text + "\nTeal, " + sums[1].Profile + ": " + sums[1].Text + "\n" + text
	}
	return text
}

// write puts the picture in place in one step.
func write(path string, png vgimg.PngCanvas) error {
	part := path + ".part"
	f, err := os.Create(part)
	if err != nil {
		return err
	}
	_, err = png.WriteTo(f)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}

func known(bins []bin) bool {
	for i := range bins {
		if !math.IsNaN(bins[i].high) {
			return true
		}
	}
	return false
}

// panel draws one quantity.
func (c *Chart) panel(bins []bin, name string, line color.Color, limits []limit, peak float64, sum *replay.Summary, judged float64, first bool) (*plot.Plot, error) {
	p := plot.New()
	p.BackgroundColor = color.White
	end := math.Max(sum.DurationS, 1e-3)
	top := peak * 1.08
	var shown []limit
	for _, l := range limits {
		// A limit far above the curve would flatten it.
		if l.at <= 2.5*math.Max(peak, 1e-9) {
			shown = append(shown, l)
			top = math.Max(top, l.at*1.12)
		}
	}
	if top <= 0 {
		top = 1
	}
	if first && len(c.marks) > 0 {
		top *= 1.22 // room for the labels
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, end, 0, top
	style(&p.X)
	style(&p.Y)
	p.Y.Label.Text = name
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{}, numbers{}

	begin := sum.TimeS - sum.DurationS
	for _, s := range sum.Sessions {
		to := sum.TimeS
		if s.EndedS != nil {
			to = *s.EndedS
		}
		if err := band(p, s.BegunS-begin, to-begin, top, chargeInk()); err != nil {
			return nil, err
		}
	}
	for _, g := range c.gaps {
		if err := band(p, g.from-begin, g.to-begin, top, gapInk()); err != nil {
			return nil, err
		}
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = faint(), faint()
	p.Add(grid)

	for _, part := range c.curve(bins, end) {
		if err := trace(p, part, judged-begin, line); err != nil {
			return nil, err
		}
	}
	for _, l := range shown {
		if err := across(p, l, end); err != nil {
			return nil, err
		}
	}
	return p, c.decisions(p, begin, end, top, first)
}

// curve is the values in the order of time, held between two samples and
// broken at gaps.
func (c *Chart) curve(bins []bin, end float64) []plotter.XYs {
	var parts []plotter.XYs
	var part plotter.XYs
	zero := c.zero.Seconds()
	last := math.NaN()
	gaps := c.gaps
	for i, b := range bins {
		if math.IsNaN(b.high) {
			continue
		}
		x := math.Min(float64(i)*c.width.Seconds(), end)
		for len(gaps) > 0 && gaps[0].to-zero <= x+c.width.Seconds() {
			if len(part) > 0 {
				parts = append(parts, append(part, plotter.XY{X: math.Max(part[len(part)-1].X, gaps[0].from-zero), Y: last}))
			}
			part, last, gaps = nil, math.NaN(), gaps[1:]
		}
		if !math.IsNaN(last) {
			part = append(part, plotter.XY{X: x, Y: last})
		}
		part = append(part, plotter.XY{X: x, Y: b.low}, plotter.XY{X: x, Y: b.high})
		last = b.last
	}
	if len(part) > 0 {
		parts = append(parts, append(part, plotter.XY{X: end, Y: last}))
	}
	return parts
}

// trace draws a piece of the curve, pale from the time on that is not judged.
func trace(p *plot.Plot, part plotter.XYs, judged float64, c color.Color) error {
	cut := slices.IndexFunc(part, func(xy plotter.XY) bool { return xy.X > judged })
	if cut < 0 {
		cut = len(part)
	}
	pale := part[cut:]
	if cut > 0 && len(pale) > 0 {
		turn := plotter.XY{X: judged, Y: part[cut-1].Y}
		part, pale = append(slices.Clone(part[:cut]), turn), append(plotter.XYs{turn}, pale...)
	}
	for _, piece := range [...]struct {
		points plotter.XYs
		color  color.Color
	}{{pale, paler(c)}, {part[:min(cut+1, len(part))], c}} {
		if len(piece.points) == 0 || piece.points[0].X > judged && piece.color == c {
			continue
		}
		curve, err := plotter.NewLine(piece.points)
		if err != nil {
			return err
		}
		curve.Color, curve.Width = piece.color, 1.1
		p.Add(curve)
	}
	return nil
}

// paler is a colour two thirds of the way to white.
func paler(c color.Color) color.Color {
	r, g, b, _ := c.RGBA()
	mix := func(v uint32) uint8 { return uint8((v>>8 + 2*0xff) / 3) }
	return color.RGBA{mix(r), mix(g), mix(b), 0xff}
}

func style(a *plot.Axis) {
	a.Label.TextStyle.Font.Variant, a.Tick.Label.Font.Variant = sans, sans
	a.Color, a.Label.TextStyle.Color, a.Tick.Label.Color, a.Tick.Color = ink(), ink(), ink(), ink()
	a.Label.TextStyle.Font.Size, a.Tick.Label.Font.Size = 11, 10
	a.Label.Padding = 4
	a.Padding = 0
}

func band(p *plot.Plot, from, to, top float64, c color.Color) error {
	area, err := plotter.NewPolygon(plotter.XYs{{X: from, Y: 0}, {X: to, Y: 0}, {X: to, Y: top}, {X: from, Y: top}})
	if err != nil {
		return err
	}
	area.Color, area.Width = c, 0
	p.Add(area)
	return nil
}

func across(p *plot.Plot, l limit, end float64) error {
	line, err := plotter.NewLine(plotter.XYs{{X: 0, Y: l.at}, {X: end, Y: l.at}})
	if err != nil {
		return err
	}
	line.Color, line.Width, line.Dashes = l.ink, 1.2, []vg.Length{6, 4}
	label, err := labels(plotter.XY{X: end, Y: l.at}, l.name, l.ink, text.XLeft)
	if err != nil {
		return err
	}
	label.TextStyle[0].YAlign = text.YCenter
	label.Offset = vg.Point{X: 6}
	if l.inside {
		label.TextStyle[0].XAlign, label.TextStyle[0].YAlign = text.XRight, text.YBottom
		label.Offset = vg.Point{X: -4, Y: 2}
	}
	p.Add(line, label)
	return nil
}

func labels(at plotter.XY, s string, c color.Color, align text.XAlignment) (*plotter.Labels, error) {
	l, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{at}, Labels: []string{s}})
	if err != nil {
		return nil, err
	}
	l.TextStyle[0].Color, l.TextStyle[0].Font.Size, l.TextStyle[0].Font.Variant = c, 10, sans
	l.TextStyle[0].XAlign = align
	return l, nil
}

// decisions draws a line at each decision, and names the first few on the
// first panel.
func (c *Chart) decisions(p *plot.Plot, begin, end, top float64, named bool) error {
	var names [2]int // by setting: those that are compared have a row of their own
	lastX := [2]float64{math.Inf(-1), math.Inf(-1)}
	for i, m := range c.marks {
		x := m.at - begin
		crowded := i+1 < len(c.marks) && c.marks[i+1].at-m.at < end/10
		line, err := plotter.NewLine(plotter.XYs{{X: x, Y: 0}, {X: x, Y: top}})
		if err != nil {
			return err
		}
		line.Color, line.Width = tripInk(), 1.3
		of := 0
		if m.other {
			of = 1
			line.Color, line.Dashes = otherTripInk(), []vg.Length{3, 3}
		}
		p.Add(line)
		if !named || names[of] == maxLabel || x-lastX[of] < end/10 {
			continue
		}
		names[of], lastX[of] = names[of]+1, x
		align, shift := text.XLeft, vg.Length(5)
		if x > 0.8*end || crowded && x > end/8 {
			align, shift = text.XRight, -5
		}
		label, err := labels(plotter.XY{X: x, Y: top}, m.text, line.Color, align)
		if err != nil {
			return err
		}
		label.TextStyle[0].YAlign = text.YTop
		label.Offset = vg.Point{X: shift, Y: -4 - vg.Length(of)*30}
		p.Add(label)
	}
	return nil
}

// ticks marks time in steps that people count in.
type ticks struct{}

// Ticks implements [plot.Ticker].
func (ticks) Ticks(low, high float64) []plot.Tick {
	const most = 11
	span := high - low
	stepS := span
	for _, s := range [...]float64{
		1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800,
		3600, 7200, 10800, 21600, 43200, 86400, 2 * 86400, 7 * 86400, 30 * 86400, 365 * 86400,
	} {
		if span/s <= most {
			stepS = s
			break
		}
	}
	var marks []plot.Tick
	for i := 0; float64(i)*stepS <= high+stepS/1e6; i++ {
		v := float64(i) * stepS
		marks = append(marks, plot.Tick{Value: v, Label: label(v, stepS)})
	}
	return marks
}

func label(v, step float64) string {
	whole := int64(math.Round(v))
	switch {
	case step < 1:
		return fmt.Sprintf("%g s", math.Round(v*1000)/1000)
	case step < 60:
		return fmt.Sprintf("%d:%02d min", whole/60, whole%60)
	case step < 600:
		return fmt.Sprintf("%d min", whole/60)
	case step < 86400:
		return fmt.Sprintf("%d:%02d h", whole/3600, whole/60%60)
	default:
		return fmt.Sprintf("%d d", whole/86400)
	}
}

// numbers marks values in steps of 1, 2 or 5.
type numbers struct{}

// Ticks implements [plot.Ticker].
func (numbers) Ticks(_, high float64) []plot.Tick {
	const most = 6
	step := math.Pow(10, math.Floor(math.Log10(high/most)))
	for _, times := range [...]float64{1, 2, 5, 10} {
		if high/(step*times) <= most {
			step *= times
			break
		}
	}
	var marks []plot.Tick
	for i := 0; float64(i)*step <= high; i++ {
		v := float64(i) * step
		marks = append(marks, plot.Tick{Value: v, Label: fmt.Sprintf("%.6g", v)})
	}
	return marks
}
