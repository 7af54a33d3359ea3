package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/series"
)

// The defaults of Options.
const (
	DefaultRetention     = 400 * 24 * time.Hour
	DefaultOutOfOrder    = 8 * 24 * time.Hour
	DefaultAhead         = 10 * time.Minute
	DefaultMaxSeries     = 2_000_000
	DefaultSeriesPerShed = 20_000
)

// MaxSeriesPerAnswer bounds how many series one query may return.
const MaxSeriesPerAnswer = 2000

// ErrTooManySeries comes from a query that more than MaxSeriesPerAnswer series
// match.
var ErrTooManySeries = errors.New("query matches too many series: name more tags")

// Options says where the store is and how much it keeps. The zero value of
// each number is its default.
type Options struct {
	Dir           string
	Retention     time.Duration // blocks older than that leave
	MaxBytes      int64         // all blocks together; 0 for no bound
	OutOfOrder    time.Duration // how far behind the newest point backfill may be
	Ahead         time.Duration // how far ahead of this machine's clock a point may be
	MaxSeries     int           // new series beyond are refused
	SeriesPerShed int           // new series of one shed beyond are refused
	Log           *slog.Logger
}

// Store is a time-series database in a folder. It implements series.Store.
type Store struct {
	db       *tsdb.DB
	opts     Options
	registry *prometheus.Registry
	setAside int
	repaired int

	stored, refused, refusedSeries atomic.Uint64

	scratch sync.Pool // *[]sample

	mu     sync.Mutex // guards the fields below, never held over I/O
	groups map[string]*group
	sheds  map[string]int // series seen of each shed since the start
	known  int
}

var _ series.Store = (*Store)(nil)

// group is the series of one measurement and set of tags.
type group struct {
	shed   string
	fields []*field
}

type field struct {
	key    string
	labels labels.Labels
	ref    atomic.Uint64 // what the database last called the series
}

type sample struct {
	field *field
	at    int64
	value float64
}

// Stats is what a store has counted since it was opened.
type Stats struct {
	Stored        uint64 // values
	Refused       uint64 // values that can never be stored
	RefusedSeries uint64 // of these, values of a series beyond the bounds
	Series        uint64 // in memory now
	SetAside      int    // folders that were moved away at the start
	Repaired      int    // logs that were cut at the start
}

// Open opens the store in opts.Dir, makes it when it is not there, and mends
// or sets aside what it cannot read.
func Open(opts Options) (*Store, error) {
	if opts.Dir == "" {
		return nil, errors.New("open series store: dir: required")
	}
	if opts.Log == nil {
		return nil, errors.New("open series store: log: required")
	}
	def(&opts.Retention, DefaultRetention)
	def(&opts.OutOfOrder, DefaultOutOfOrder)
	def(&opts.Ahead, DefaultAhead)
	def(&opts.MaxSeries, DefaultMaxSeries)
	def(&opts.SeriesPerShed, DefaultSeriesPerShed)
	if opts.Retention < opts.OutOfOrder {
		return nil, fmt.Errorf("open series store: retention %v: want at least the out-of-order window, %v", opts.Retention, opts.OutOfOrder)
	}
	s := &Store{opts: opts, groups: make(map[string]*group), sheds: make(map[string]int)}
	s.scratch.New = func() any { return new([]sample) }
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open series store %s: %w", opts.Dir, err)
	}
	return s, nil
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// open tries, after each failure, to go on without one more part.
func (s *Store) open() error {
	aside := fmt.Sprintf("%s.corrupt-%s", filepath.Clean(s.opts.Dir), time.Now().UTC().Format("20060102T150405.000"))
	remedies := []func() (moved int, err error){
		func() (int, error) { return move(s.opts.Dir, aside, "chunks_head") }, // made again from the logs
		func() (int, error) { return move(s.opts.Dir, aside, "wbl") },
		func() (int, error) { return move(s.opts.Dir, aside, "wal") },
		func() (int, error) {
			names, err := entries(s.opts.Dir)
			if err != nil {
				return 0, err
			}
			return move(s.opts.Dir, aside, names...)
		},
	}
	err := s.moveBadBlocks(aside)
	if err != nil {
		return err
	}
	err = s.start()
	for _, remedy := range remedies {
		if err == nil || outside(err) {
			break
		}
		moved, moveErr := remedy()
		if moveErr != nil {
			return errors.Join(err, moveErr)
		}
		if moved == 0 {
			continue
		}
		s.setAside += moved
		s.opts.Log.Error("series store is damaged, set parts of it aside", "err", err, "parts", moved, "folder", aside)
		err = s.start()
	}
	if err != nil {
		return err
	}
	s.repaired = int(counter(s.registry, "prometheus_tsdb_wal_corruptions_total"))
	if s.repaired > 0 {
		s.opts.Log.Error("series store log was damaged and cut", "repairs", s.repaired)
	}
	return nil
}

func (s *Store) start() error {
	o := tsdb.DefaultOptions()
	o.RetentionDuration = s.opts.Retention.Milliseconds()
	o.MaxBytes = s.opts.MaxBytes
	o.OutOfOrderTimeWindow = s.opts.OutOfOrder.Milliseconds()
	// As Prometheus itself does: a block spans at most a tenth of the retention.
	o.MaxBlockDuration = max(min(s.opts.Retention/10, 31*24*time.Hour).Milliseconds(), o.MinBlockDuration)
	registry := prometheus.NewRegistry()
	db, err := openDB(s.opts.Dir, s.opts.Log, registry, o)
	if err != nil {
		return err
	}
	s.db, s.registry = db, registry
	return nil
}

// openDB turns a panic of the database over damaged files into an error.
func openDB(dir string, log *slog.Logger, r prometheus.Registerer, o *tsdb.Options) (db *tsdb.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("database panicked: %v", p)
		}
	}()
	return tsdb.Open(dir, log, r, o, nil)
}

// outside reports whether an error is about the machine and not the content.
func outside(err error) bool {
	for _, e := range []error{syscall.EWOULDBLOCK, syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ENOTDIR, os.ErrPermission} {
		if errors.Is(err, e) {
			return true
		}
	}
	return strings.Contains(err.Error(), "lock DB directory")
}

// moveBadBlocks moves every block that cannot be read: the database would
// start without it and leave it in the way for ever, refuse to start, or fail
// every query that touches it.
func (s *Store) moveBadBlocks(aside string) error {
	names, err := entries(s.opts.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := ulid.ParseStrict(name); err != nil {
			continue
		}
		bad := s.checkBlock(filepath.Join(s.opts.Dir, name))
		if bad == nil || outside(bad) {
			continue
		}
		moved, err := move(s.opts.Dir, aside, name)
		if err != nil {
			return err
		}
		s.setAside += moved
		s.opts.Log.Error("series block is damaged, set it aside", "block", name, "err", bad, "folder", aside)
	}
	return nil
}

// checkBlock reads a block's description and the whole of its index.
func (s *Store) checkBlock(dir string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("database panicked: %v", p)
		}
	}()
	block, err := tsdb.OpenBlock(s.opts.Log, dir, nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, block.Close()) }()
	ix, err := block.Index()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ix.Close()) }()
	key, value := index.AllPostingsKey()
	all, err := ix.Postings(context.Background(), key, value)
	if err != nil {
		return err
	}
	var builder labels.ScratchBuilder
	var metas []chunks.Meta
	for all.Next() {
		if err := ix.Series(all.At(), &builder, &metas); err != nil {
			return err
		}
	}
	if _, err := ix.SortedLabelValues(context.Background(), model.MetricNameLabel, nil); err != nil {
		return err
	}
	return all.Err()
}

func entries(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("set aside: %w", err)
	}
	names := make([]string, 0, len(list))
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names, nil
}

func move(dir, aside string, names ...string) (int, error) {
	moved := 0
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.MkdirAll(aside, 0o700); err != nil {
			return moved, fmt.Errorf("set aside: %w", err)
		}
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil {
			return moved, fmt.Errorf("set aside: %w", err)
		}
		moved++
	}
	return moved, nil
}

// Metrics gives the counters of the database for a /metrics page.
func (s *Store) Metrics() prometheus.Gatherer { return s.registry }

// Stats is a copy of the counters.
func (s *Store) Stats() Stats {
	return Stats{
		Stored: s.stored.Load(), Refused: s.refused.Load(), RefusedSeries: s.refusedSeries.Load(),
		Series: s.db.Head().NumSeries(), SetAside: s.setAside, Repaired: s.repaired,
	}
}

// Append stores points; see the package comment for what that promises.
func (s *Store) Append(ctx context.Context, points []shedguard.Point) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("append to series store: %w", err)
	}
	scratch, _ := s.scratch.Get().(*[]sample)
	samples := s.resolve(points, (*scratch)[:0], time.Now().Add(s.opts.Ahead).UnixMilli())
	defer func() {
		clear(samples)
		*scratch = samples[:0]
		s.scratch.Put(scratch)
	}()
	if len(samples) == 0 {
		return nil
	}
	app := s.db.Appender(ctx)
	stored := uint64(0)
	for i := range samples {
		x := &samples[i]
		ref, err := app.Append(storage.SeriesRef(x.field.ref.Load()), x.field.labels, x.at, x.value)
		switch {
		case err == nil:
			x.field.ref.Store(uint64(ref))
			stored++
		case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrTooOldSample),
			errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
			s.refused.Add(1)
		default:
			return errors.Join(fmt.Errorf("append to series store: %w", err), app.Rollback())
		}
	}
	if err := app.Commit(); err != nil {
		return fmt.Errorf("commit to series store: %w", err)
	}
	s.stored.Add(stored)
	return nil
}

// resolve finds the series of every number of the points.
func (s *Store) resolve(points []shedguard.Point, samples []sample, latest int64) []sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	var room [512]byte
	for i := range points {
		p := &points[i]
		at := p.Time.UnixMilli()
		if at > latest {
			s.refused.Add(uint64(len(p.Fields)))
			continue
		}
		key := append(room[:0], p.Measurement...)
		for j := range p.Tags {
			key = append(append(key, 0xff), p.Tags[j].Key...)
			key = append(append(key, 0xfe), p.Tags[j].Value...)
		}
		g := s.groups[string(key)]
		if g == nil {
			g = &group{shed: p.Tag("shed")}
		}
		before := len(g.fields)
		for j := range p.Fields {
			f := g.field(p.Fields[j].Key, j)
			if f == nil {
				f = s.add(g, p, p.Fields[j].Key)
			}
			if f == nil || math.IsNaN(p.Fields[j].Value) || math.IsInf(p.Fields[j].Value, 0) {
				s.refused.Add(1)
				continue
			}
			samples = append(samples, sample{field: f, at: at, value: p.Fields[j].Value})
		}
		if before == 0 && len(g.fields) > 0 {
			s.groups[string(key)] = g
		}
	}
	return samples
}

// field finds a field by name, first where it stood in the last point.
func (g *group) field(key string, guess int) *field {
	if guess < len(g.fields) && g.fields[guess].key == key {
		return g.fields[guess]
	}
	for _, f := range g.fields {
		if f.key == key {
			return f
		}
	}
	return nil
}

func (s *Store) add(g *group, p *shedguard.Point, key string) *field {
	if s.known >= s.opts.MaxSeries || s.sheds[g.shed] >= s.opts.SeriesPerShed {
		s.refusedSeries.Add(1)
		return nil
	}
	s.known++
	s.sheds[g.shed]++
	b := labels.NewScratchBuilder(len(p.Tags) + 1)
	b.Add(model.MetricNameLabel, name(p.Measurement, key))
	for i := range p.Tags {
		b.Add(p.Tags[i].Key, p.Tags[i].Value)
	}
	b.Sort()
	f := &field{key: key, labels: b.Labels()}
	g.fields = append(g.fields, f)
	return f
}

func name(measurement, field string) string { return measurement + "_" + field }

// Range answers q. It keeps one bucket in hand per series while it reads, so
// the memory it needs is that of the answer, whatever the span.
func (s *Store) Range(ctx context.Context, q series.Query) ([]series.Series, error) {
	if err := q.Validate(); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	from, to, step := q.From.UnixMilli(), q.To.UnixMilli(), q.Step().Milliseconds()
	var out []series.Series
	err := s.each(ctx, from, to-1, matchers(name(q.Measurement, q.Field), q.Tags), func(l labels.Labels, it chunkenc.Iterator) error {
		r := series.Series{Tags: tags(l)}
		slot, sum := int64(-1), 0.0
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			if at < from || at >= to {
				continue
			}
			if n := (at - from) / step; n != slot {
				slot, sum = n, 0
				r.Buckets = append(r.Buckets, series.Bucket{At: time.UnixMilli(from + n*step).UTC(), Min: v, Max: v})
			}
			b := &r.Buckets[len(r.Buckets)-1]
			sum += v
			b.Count++
			b.Min, b.Max, b.Mean = min(b.Min, v), max(b.Max, v), sum/float64(b.Count)
		}
		if len(r.Buckets) > 0 {
			out = append(out, r)
		}
		return it.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", name(q.Measurement, q.Field), err)
	}
	return out, nil
}

// Latest finds the newest values of a measurement.
func (s *Store) Latest(ctx context.Context, measurement string, want map[string]string, within time.Duration) ([]series.Latest, error) {
	if measurement == "" || within <= 0 {
		return nil, fmt.Errorf("latest %q within %v: want a measurement and a positive span", measurement, within)
	}
	now := time.Now()
	ms := matchers("", want)
	m, err := labels.NewMatcher(labels.MatchRegexp, model.MetricNameLabel, regexp.QuoteMeta(measurement)+"_.+")
	if err != nil {
		return nil, fmt.Errorf("latest %s: %w", measurement, err)
	}
	ms = append(ms, m)
	var out []series.Latest
	err = s.each(ctx, now.Add(-within).UnixMilli(), now.Add(s.opts.Ahead).UnixMilli(), ms, func(l labels.Labels, it chunkenc.Iterator) error {
		var at int64
		var v float64
		found := false
		for it.Next() == chunkenc.ValFloat {
			at, v = it.At()
			found = true
		}
		if found {
			out = append(out, series.Latest{
				Field: strings.TrimPrefix(l.Get(model.MetricNameLabel), measurement+"_"),
				Tags:  tags(l), Value: v, At: time.UnixMilli(at).UTC(),
			})
		}
		return it.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("latest %s: %w", measurement, err)
	}
	return out, nil
}

// each visits the series that match, in the order of their labels.
func (s *Store) each(ctx context.Context, from, to int64, ms []*labels.Matcher, visit func(labels.Labels, chunkenc.Iterator) error) (err error) {
	q, err := s.db.Querier(from, to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	set := q.Select(ctx, true, &storage.SelectHints{Start: from, End: to}, ms...)
	var it chunkenc.Iterator
	for n := 0; set.Next(); n++ {
		if n == MaxSeriesPerAnswer {
			return ErrTooManySeries
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		found := set.At()
		it = found.Iterator(it)
		if err := visit(found.Labels(), it); err != nil {
			return err
		}
	}
	return errors.Join(set.Err(), warn(set.Warnings()))
}

// warn makes an error of the warnings of a query: an answer that lacks a part
// must not look like a whole one.
func warn(w annotations.Annotations) error { return errors.Join(w.AsErrors()...) }

func matchers(metric string, want map[string]string) []*labels.Matcher {
	var ms []*labels.Matcher
	if metric != "" {
		ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, metric))
	}
	for _, k := range slices.Sorted(maps.Keys(want)) {
		ms = append(ms, labels.MustNewMatcher(labels.MatchEqual, k, want[k]))
	}
	return ms
}

func tags(l labels.Labels) map[string]string {
	m := make(map[string]string, l.Len()-1)
	l.Range(func(l labels.Label) {
		if l.Name != model.MetricNameLabel {
			m[l.Name] = l.Value
		}
	})
	return m
}

func counter(g prometheus.Gatherer, want string) float64 {
	families, err := g.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() == want && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// Compact writes what is due to blocks and drops blocks beyond the retention
// at once, instead of at the next of its own turns (once a minute).
func (s *Store) Compact(ctx context.Context) error {
	if err := s.db.Compact(ctx); err != nil {
		return fmt.Errorf("compact series store: %w", err)
	}
	return nil
}

// Close ends the background work and closes the files.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close series store: %w", err)
	}
	return nil
}
