package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/shedguard/shedguard/vision"
	"github.com/shedguard/shedguard/vision/opencv"
)

type evaluateCmd struct {
	modelFlags

	Images   string        `type:"existingdir" placeholder:"DIR" help:"The pictures, with those in folders inside."`
	Labels   string        `type:"existingdir" placeholder:"DIR" help:"Their labels in YOLO form: one file .txt a picture with the same name, one box a line (0 flame, 1 smoke), empty for neither."`
	Manifest string        `type:"existingfile" placeholder:"FILE.csv" help:"Which classes were labelled in which picture (columns path, classes_labelled); manifest.csv beside the folder of the pictures is taken where it is there."`
	Videos   string        `type:"existingdir" placeholder:"DIR" help:"Videos: tells the share of frames over the thresholds, when first, and what confirmation over time makes of them, as of a camera that has learned nothing yet."`
	Reel     time.Duration `placeholder:"DURATION" help:"Draw sheds in which nothing burns for so long in all, and fires besides; fails unless the first give no alarm and hardly a pre-alarm, and all of the second are told of in time. 2h is what the shipped settings are held to."`
	FPS      float64       `name:"fps" default:"5" placeholder:"N" help:"Frames of a video that are judged each second of it; 0 judges all; ${default} unless given."`
	Limit    int           `placeholder:"N" help:"Only so many pictures, spread evenly over all; all unless given."`
	Scores   string        `type:"path" placeholder:"FILE.csv" help:"Write each picture's scores: path,flame,smoke."`
	JSON     bool          `name:"json" help:"Write one JSON object a line: pictures, videos, and last a summary."`
}

// Help is shown by evaluate --help.
func (evaluateCmd) Help() string {
	return `The pictures go through the same code, model and thresholds as a camera's frames.

ROC-AUC and average precision set the pictures that show a class against those that do not. Recall at 1 % and 5 % false positives sets them against the pictures that show neither flame nor smoke. "any" is the higher of the two scores. Where a manifest says that only flame was labelled in a picture, it is left out of everything about smoke. Pictures of one source are told by the part of their file name before the first underscore.`
}

// pictureLine is one labelled picture.
type pictureLine struct {
	Kind   string         `json:"kind"`
	Path   string         `json:"path"`
	Labels []vision.Class `json:"labels"` // classes that it shows
	Flame  vision.Number  `json:"flame"`
	Smoke  vision.Number  `json:"smoke"`
	Boxes  []boxLine      `json:"boxes"`
	MS     vision.Number  `json:"ms"`
}

// videoLine is one video.
type videoLine struct {
	Kind    string        `json:"kind"`
	Path    string        `json:"path"`
	Frames  int           `json:"frames"` // judged
	Seconds vision.Number `json:"seconds"`
	Flame   seenLine      `json:"flame"`
	Smoke   seenLine      `json:"smoke"`
	Any     seenLine      `json:"any"`
}

// seenLine tells how often something was over its threshold.
type seenLine struct {
	Share  vision.Number `json:"share_over"`
	FirstS vision.Number `json:"first_over_s"` // null when never
	Max    vision.Number `json:"max_score"`
	frames int
}

// summaryLine is the last line.
type summaryLine struct {
	Kind       string        `json:"kind"`
	Model      string        `json:"model"`
	Version    string        `json:"version"`
	Thresholds vision.Scores `json:"thresholds"`
	Pictures   int           `json:"pictures"` // judged and labelled
	Videos     int           `json:"videos"`
	Faults     int           `json:"faults"` // pictures and videos that could not be judged
	MSMedian   vision.Number `json:"ms_median"`
	MSP95      vision.Number `json:"ms_p95"`
	Reel       *reelLine     `json:"reel,omitempty"`
	vision.Metrics
}

// Run judges everything and measures.
func (c *evaluateCmd) Run(e *env) (err error) {
	if err := checkFPS(c.FPS); err != nil {
		return err
	}
	if c.Limit < 0 {
		return usageError{fmt.Errorf("--limit %d: want 1 or more", c.Limit)}
	}
	if c.Reel != 0 && (c.Reel < time.Minute || c.Reel > 100*time.Hour) {
		return usageError{fmt.Errorf("--reel %s: want 1m to 100h", c.Reel)}
	}
	if (c.Images == "") != (c.Labels == "") {
		return usageError{errors.New("--images and --labels: want both or neither")}
	}
	if c.Images == "" && c.Videos == "" && c.Reel == 0 {
		return usageError{errors.New("nothing to evaluate: want --images and --labels, --videos or --reel")}
	}
	var files []found
	if c.Images != "" {
		if files, err = search(c.Images, "pictures", picture); err != nil {
			return usageError{err}
		}
		files = spread(files, c.Limit)
	}
	var videos []found
	if c.Videos != "" {
		if videos, err = search(c.Videos, "videos", video); err != nil {
			return usageError{err}
		}
	}
	manifest, err := c.manifest()
	if err != nil {
		return usageError{err}
	}
	detector, settings, err := c.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, detector.Close()) }()

	out := bufio.NewWriter(e.out)
	ev := &evaluation{evaluateCmd: c, env: e, detector: detector, settings: settings, manifest: manifest, out: out, lines: json.NewEncoder(out)}
	if c.Scores != "" {
		f, err := os.Create(c.Scores)
		if err != nil {
			return usageError{err}
		}
		ev.scores = csv.NewWriter(f)
		defer func() {
			ev.scores.Flush()
			err = errors.Join(err, ev.scores.Error(), f.Close())
		}()
		if err := ev.scores.Write([]string{"path", "flame", "smoke"}); err != nil {
			return err
		}
	}
	if err := ev.pictures(files); err != nil {
		return err
	}
	if err := ev.films(videos); err != nil {
		return err
	}
	if err := ev.rendered(); err != nil {
		return err
	}
	if e.ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if err := ev.tell(); err != nil {
		return err
	}
	if ev.faults > 0 {
		return fmt.Errorf("%d of %d files could not be judged", ev.faults, len(files)+len(videos))
	}
	if ev.reel != nil {
		return ev.reel.bars()
	}
	return nil
}

// spread takes n of the files at equal distances.
func spread(files []found, n int) []found {
	if n == 0 || n >= len(files) {
		return files
	}
	some := make([]found, n)
	for i := range n {
		some[i] = files[i*len(files)/n]
	}
	return some
}

// manifest says what was labelled; nil where nothing says so.
func (c *evaluateCmd) manifest() (map[string]vision.Labelled, error) {
	path := c.Manifest
	if path == "" && c.Images == "" {
		return nil, nil
	}
	if path == "" {
		path = filepath.Join(filepath.Dir(filepath.Clean(c.Images)), "manifest.csv")
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) && c.Manifest == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	m, err := vision.ParseManifest(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// evaluation is one run of evaluate.
type evaluation struct {
	*evaluateCmd
	*env
	detector *opencv.Detector
	settings vision.Settings
	manifest map[string]vision.Labelled
	out      *bufio.Writer
	lines    *json.Encoder
	scores   *csv.Writer
	judged   []vision.Judged
	seen     []videoLine
	clips    []clipLine // of videos, and rendered
	reel     *reelLine  // nil unless wanted
	took     []time.Duration
	faults   int
}

func (ev *evaluation) pictures(files []found) error {
	p := newProgress(ev.errs, "pictures", len(files))
	defer p.clear()
	for _, f := range files {
		if ev.ctx.Err() != nil {
			return nil
		}
		if err := ev.picture(f); err != nil {
			if err := ev.fault(p, f, err); err != nil {
				return err
			}
		}
		p.step()
	}
	return nil
}

// fault tells and counts a file that could not be judged; the others go on.
func (ev *evaluation) fault(p *progress, f found, err error) error {
	if _, ok := errors.AsType[writeError](err); ok {
		return err
	}
	ev.faults++
	p.clear()
	ev.log.Error("skipped", "path", f.path, "error", err)
	return ev.write(faultLine{Kind: "fault", Path: f.path, Error: err.Error()})
}

// write writes a line of JSON, if JSON is wanted.
func (ev *evaluation) write(line any) error {
	if !ev.JSON {
		return nil
	}
	if err := errors.Join(ev.lines.Encode(line), ev.out.Flush()); err != nil {
		return writeError{err}
	}
	return nil
}

func (ev *evaluation) picture(f found) error {
	data, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	img, err := opencv.Decode(data)
	if err != nil {
		return err
	}
	defer func() { _ = img.Close() }() // frees memory only
	began := time.Now()
	sight, err := ev.detector.See(img)
	if err != nil {
		return err
	}
	took := time.Since(began)
	if ev.scores != nil {
		row := []string{f.path, strconv.FormatFloat(sight.Flame, 'f', 6, 64), strconv.FormatFloat(sight.Smoke, 'f', 6, 64)}
		if err := ev.scores.Write(row); err != nil {
			return writeError{err}
		}
	}
	j := vision.Judged{Prefix: vision.Prefix(filepath.Base(f.path)), Labelled: vision.AllLabelled(), Sight: sight}
	if j.Labels, err = ev.labels(f); err != nil {
		return err
	}
	if l, ok := ev.manifest[filepath.Base(f.path)]; ok {
		j.Labelled = l
	}
	ev.judged = append(ev.judged, j)
	ev.took = append(ev.took, took)
	shows := make([]vision.Class, 0, 2)
	for _, c := range vision.Classes() {
		if slices.ContainsFunc(j.Labels, func(l vision.Label) bool { return l.Class == c }) {
			shows = append(shows, c)
		}
	}
	return ev.write(pictureLine{
		Kind: "picture", Path: f.path, Labels: shows, Flame: vision.Number(sight.Flame), Smoke: vision.Number(sight.Smoke),
		Boxes: boxLines(sight.Boxes), MS: milliseconds(took),
	})
}

// labels reads the labels of a picture. A file that is missing is no statement that
// there is nothing to see.
func (ev *evaluation) labels(f found) ([]vision.Label, error) {
	path := filepath.Join(ev.Labels, strings.TrimSuffix(f.rel, filepath.Ext(f.rel))+".txt")
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("labels (an empty file says that there is neither flame nor smoke): %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	labels, err := vision.ParseLabels(file)
	if err != nil {
		return nil, fmt.Errorf("labels: %s: %w", path, err)
	}
	return labels, nil
}

func (ev *evaluation) films(files []found) error {
	p := newProgress(ev.errs, "frames of videos", 0)
	defer p.clear()
	for _, f := range files {
		line := videoLine{Kind: "video", Path: f.path}
		line.Flame.FirstS, line.Smoke.FirstS, line.Any.FirstS = vision.Number(math.NaN()), vision.Number(math.NaN()), vision.Number(math.NaN())
		h, err := newTheatre(ev.detector, ev.settings, filepath.Base(f.path), 0)
		if err != nil {
			return err
		}
		err = eachFrame(ev.env, f.path, ev.FPS, func(_ *opencv.Video, img *opencv.Image, _ int, at time.Duration) error {
			sight, err := ev.detector.See(img)
			if err != nil {
				return err
			}
			if err := h.show(img, at); err != nil {
				return err
			}
			p.step()
			flame, smoke := sight.Over(ev.settings.Alarm)
			line.Frames++
			line.Seconds = vision.Number(at.Seconds())
			line.Flame.add(sight.Flame, flame, at)
			line.Smoke.add(sight.Smoke, smoke, at)
			line.Any.add(sight.Any(), flame || smoke, at)
			return nil
		})
		if ev.ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if err := ev.fault(p, f, err); err != nil {
				return err
			}
			continue
		}
		for _, s := range []*seenLine{&line.Flame, &line.Smoke, &line.Any} {
			s.Share = vision.Number(float64(s.frames) / float64(line.Frames))
		}
		ev.seen, ev.clips = append(ev.seen, line), append(ev.clips, h.done())
		if err := errors.Join(ev.write(line), ev.write(h.done())); err != nil {
			return err
		}
	}
	return nil
}

func (s *seenLine) add(score float64, over bool, at time.Duration) {
	s.Max = max(s.Max, vision.Number(score))
	if !over {
		return
	}
	if s.frames == 0 {
		s.FirstS = vision.Number(at.Seconds())
	}
	s.frames++
}

// tell writes the summary, as the last line or as a table for people.
func (ev *evaluation) tell() error {
	median, p95 := quantiles(ev.took)
	s := summaryLine{
		Kind: "summary", Model: ev.settings.Name, Version: ev.settings.Version, Thresholds: ev.settings.Alarm,
		Pictures: len(ev.judged), Videos: len(ev.seen), Faults: ev.faults,
		MSMedian: milliseconds(median), MSP95: milliseconds(p95), Reel: ev.reel, Metrics: ev.settings.Measure(ev.judged),
	}
	if ev.JSON {
		return ev.write(s)
	}
	if err := errors.Join(s.table(ev.out, ev.seen, ev.clips), ev.out.Flush()); err != nil {
		return writeError{err}
	}
	return nil
}

// quantiles are the median and the 95th percentile; 0 of nothing.
func quantiles(took []time.Duration) (median, p95 time.Duration) {
	if len(took) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[len(sorted)/2], sorted[min(len(sorted)*95/100, len(sorted)-1)]
}

// table is the summary for people.
func (s summaryLine) table(w io.Writer, videos []videoLine, clips []clipLine) error {
	fmt.Fprintf(w, "%s %s: %d pictures, %d faults, %.1f ms a picture (median), thresholds flame %.3f smoke %.3f\n\n",
		s.Model, s.Version, s.Pictures, s.Faults, float64(s.MSMedian), s.Thresholds.Flame, s.Thresholds.Smoke)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\twith\twithout\tROC-AUC\tAP\tAUC neither\trecall@1%\trecall@5%\tshipped\tfalse\tboxes\tbox recall\t")
	row := func(name string, m vision.Measure) {
		if m.Positives == 0 && m.Negatives == 0 {
			return
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t\n", name, m.Positives, m.Negatives,
			short(m.ROCAUC), short(m.AveragePrecision), short(m.ROCAUCClean), short(m.Recall1), short(m.Recall5),
			short(m.Recall), short(m.FalsePositives), m.Boxes, short(m.BoxRecall))
	}
	rows := func(name string, m vision.Measures) {
		row(name+"flame", m.Flame)
		row(name+"smoke", m.Smoke)
		row(name+"any", m.Any)
	}
	rows("", s.Overall)
	for _, prefix := range slices.Sorted(maps.Keys(s.ByPrefix)) {
		rows(prefix+"_ ", s.ByPrefix[prefix])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(clips) > 0 {
		fmt.Fprintln(w)
		if err := clipTable(w, clips, s.Reel); err != nil {
			return err
		}
	}
	if len(videos) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	fmt.Fprintln(t, "video\tframes\tflame over\tfirst s\tmax\tsmoke over\tfirst s\tmax\t")
	for _, v := range videos {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t\n", filepath.Base(v.Path), v.Frames,
			short(v.Flame.Share), short(v.Flame.FirstS), short(v.Flame.Max), short(v.Smoke.Share), short(v.Smoke.FirstS), short(v.Smoke.Max))
	}
	return t.Flush()
}

func short(n vision.Number) string {
	if math.IsNaN(float64(n)) {
		return "-"
	}
	return strconv.FormatFloat(float64(n), 'f', 4, 64)
}
