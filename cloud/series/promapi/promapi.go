package promapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// The defaults of Options.
const (
	DefaultTimeout     = 30 * time.Second
	DefaultMaxSamples  = 5_000_000
	DefaultConcurrency = 4
	DefaultLookback    = time.Minute
)

// The bounds of one answer and one question.
const (
	MaxPoints    = 11_000 // per series, as Prometheus
	MaxSeries    = 10_000
	MaxBodyBytes = 64 << 10
)

// Options says what is read and how much one question may cost. The zero value
// of each number is its default.
type Options struct {
	Store storage.Queryable
	// Sheds are the sheds that the caller of a request may see. It is required,
	// so that nobody forgets it.
	Sheds       func(r *http.Request) (sheds []string, all bool)
	Timeout     time.Duration // of one question
	MaxSamples  int           // in memory for one question
	Concurrency int           // questions at once
	Lookback    time.Duration // how long a value stands without a new one
	Log         *slog.Logger
}

type handler struct {
	opts   Options
	engine *promql.Engine
	parser parser.Parser
	turn   chan struct{}
}

// New is the handler of the endpoint; mount it with http.StripPrefix.
func New(opts Options) (http.Handler, error) {
	if opts.Store == nil || opts.Sheds == nil || opts.Log == nil {
		return nil, errors.New("promql endpoint: store, sheds and log: required")
	}
	def(&opts.Timeout, DefaultTimeout)
	def(&opts.MaxSamples, DefaultMaxSamples)
	def(&opts.Concurrency, DefaultConcurrency)
	def(&opts.Lookback, DefaultLookback)
	if opts.Timeout < 0 || opts.MaxSamples < 0 || opts.Concurrency < 0 || opts.Lookback < 0 {
		return nil, errors.New("promql endpoint: limits: want positive ones")
	}
	h := &handler{opts: opts, parser: parser.NewParser(parser.Options{}), turn: make(chan struct{}, opts.Concurrency)}
	h.engine = promql.NewEngine(promql.EngineOpts{
		Logger: opts.Log, MaxSamples: opts.MaxSamples, Timeout: opts.Timeout, LookbackDelta: opts.Lookback,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: h.parser,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
	})
	mux := http.NewServeMux()
	for _, at := range []string{"/", "/api/v1/"} {
		for path, answer := range map[string]func(*http.Request) (data, error){
			"query": h.query, "query_range": h.queryRange, "series": h.series, "labels": h.labels,
		} {
			mux.Handle("GET "+at+path, h.answers(answer))
			mux.Handle("POST "+at+path, h.answers(answer))
		}
		mux.Handle("GET "+at+"label/{name}/values", h.answers(h.values))
		mux.Handle("GET "+at+"metadata", h.answers(h.metadata))
	}
	return mux, nil
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// data is what an answer is made of.
type data struct {
	body     []byte // JSON
	warnings annotations.Annotations
	query    string
}

// requestError is an error of the one who asks.
type requestError struct{ error }

func (e requestError) Unwrap() error { return e.error }

func bad(name string, err error) error {
	return requestError{fmt.Errorf("invalid parameter %q: %w", name, err)}
}

var errBusy = errors.New("too many questions at once, ask again later")

// answers runs one question within its limits.
func (h *handler) answers(answer func(*http.Request) (data, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, MaxBodyBytes)
		d, err := h.limited(r, answer)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if err != nil {
			status, kind := classify(err)
			if status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "1")
			}
			if status == http.StatusInternalServerError {
				h.opts.Log.Error("promql question failed", "path", r.URL.Path, "err", err)
			}
			w.WriteHeader(status)
			_, _ = w.Write(failure(kind, err))
			return
		}
		_, _ = w.Write(success(&d)) //nolint:gosec // JSON, never shown as a page; the client may be gone
	})
}

func (h *handler) limited(r *http.Request, answer func(*http.Request) (data, error)) (data, error) {
	if err := r.ParseForm(); err != nil {
		return data{}, requestError{fmt.Errorf("read form: %w", err)}
	}
	timeout := h.opts.Timeout
	if text := r.Form.Get("timeout"); text != "" {
		d, err := span(text)
		if err != nil {
			return data{}, bad("timeout", err)
		}
		timeout = min(timeout, d)
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return data{}, errBusy
	}
	return answer(r.WithContext(ctx))
}

// classify is the status and the word that Prometheus has for an error.
func classify(err error) (status int, kind string) {
	var request requestError
	var timeout promql.ErrQueryTimeout
	var canceled promql.ErrQueryCanceled
	var stored promql.ErrStorage
	switch {
	case errors.As(err, &request):
		return http.StatusBadRequest, "bad_data"
	case errors.Is(err, errBusy):
		return http.StatusServiceUnavailable, "unavailable"
	case errors.As(err, &timeout), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable, "timeout"
	case errors.As(err, &canceled), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, "canceled"
	case errors.As(err, &stored):
		return http.StatusInternalServerError, "internal"
	}
	return http.StatusUnprocessableEntity, "execution"
}

func (h *handler) query(r *http.Request) (data, error) {
	at, err := instant(r.Form.Get("time"), time.Now())
	if err != nil {
		return data{}, bad("time", err)
	}
	text, err := h.text(r)
	if err != nil {
		return data{}, err
	}
	q, err := h.engine.NewInstantQuery(r.Context(), h.store(r), nil, text, at)
	return run(r.Context(), q, err)
}

func (h *handler) queryRange(r *http.Request) (data, error) {
	from, err := instant(r.Form.Get("start"), time.Time{})
	if err != nil {
		return data{}, bad("start", err)
	}
	to, err := instant(r.Form.Get("end"), time.Time{})
	if err != nil {
		return data{}, bad("end", err)
	}
	if to.Before(from) {
		return data{}, bad("end", errors.New("is before start"))
	}
	step, err := span(r.Form.Get("step"))
	if err != nil {
		return data{}, bad("step", err)
	}
	if to.Sub(from)/step >= MaxPoints {
		return data{}, bad("step", fmt.Errorf("makes more than %d points per series: take a longer one", MaxPoints))
	}
	text, err := h.text(r)
	if err != nil {
		return data{}, err
	}
	q, err := h.engine.NewRangeQuery(r.Context(), h.store(r), nil, text, from, to, step)
	return run(r.Context(), q, err)
}

// text is the question; one that does not parse is the asker's error.
func (h *handler) text(r *http.Request) (string, error) {
	text := r.Form.Get("query")
	if _, err := h.parser.ParseExpr(text); err != nil {
		return "", bad("query", err)
	}
	return text, nil
}

func run(ctx context.Context, q promql.Query, err error) (data, error) {
	if err != nil {
		return data{}, requestError{err}
	}
	defer q.Close()
	result := q.Exec(ctx)
	if result.Err != nil {
		return data{}, result.Err
	}
	body, err := appendValue(nil, result.Value)
	return data{body: body, warnings: result.Warnings, query: q.String()}, err
}

// selection is what series, labels and values share: a span and selectors.
func (h *handler) selection(r *http.Request) (q storage.Querier, sets [][]*labels.Matcher, limit int, err error) {
	from, err := instant(r.Form.Get("start"), time.UnixMilli(0))
	if err != nil {
		return nil, nil, 0, bad("start", err)
	}
	to, err := instant(r.Form.Get("end"), time.UnixMilli(math.MaxInt64/int64(time.Millisecond)))
	if err != nil {
		return nil, nil, 0, bad("end", err)
	}
	if to.Before(from) {
		return nil, nil, 0, bad("end", errors.New("is before start"))
	}
	for _, text := range r.Form["match[]"] {
		ms, err := h.parser.ParseMetricSelector(text)
		if err != nil {
			return nil, nil, 0, bad("match[]", err)
		}
		if !slices.ContainsFunc(ms, func(m *labels.Matcher) bool { return !m.Matches("") }) {
			return nil, nil, 0, bad("match[]", fmt.Errorf("%q: want a matcher that an empty label does not satisfy", text))
		}
		sets = append(sets, ms)
	}
	limit = MaxSeries
	if text := r.Form.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, nil, 0, bad("limit", fmt.Errorf("%q: want a whole number from 0", text))
		}
		if n > 0 {
			limit = min(limit, n)
		}
	}
	if q, err = h.store(r).Querier(from.UnixMilli(), to.UnixMilli()); err != nil {
		return nil, nil, 0, promql.ErrStorage{Err: err}
	}
	return q, sets, limit, nil
}

func (h *handler) series(r *http.Request) (d data, err error) {
	if len(r.Form["match[]"]) == 0 {
		return data{}, bad("match[]", errors.New("required"))
	}
	q, sets, limit, err := h.selection(r)
	if err != nil {
		return data{}, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	hints := &storage.SelectHints{Start: 0, End: math.MaxInt64, Func: "series"} // the querier keeps to its span
	var found []storage.SeriesSet
	for _, ms := range sets {
		found = append(found, q.Select(r.Context(), true, hints, ms...))
	}
	set := storage.NewMergeSeriesSet(found, 0, storage.ChainedSeriesMerge)
	b := []byte{'['}
	for n := 0; set.Next(); n++ {
		if err := r.Context().Err(); err != nil {
			return data{}, err
		}
		if n == limit {
			d.warnings.Add(errCut)
			break
		}
		if n > 0 {
			b = append(b, ',')
		}
		b = appendLabels(b, set.At().Labels())
	}
	if set.Err() != nil {
		return data{}, promql.ErrStorage{Err: set.Err()}
	}
	d.body = append(b, ']')
	d.warnings.Merge(set.Warnings())
	return d, nil
}

var errCut = errors.New("the list was cut at its limit")

func (h *handler) labels(r *http.Request) (data, error) {
	return h.list(r, func(q storage.Querier, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(r.Context(), nil, ms...)
	})
}

func (h *handler) values(r *http.Request) (data, error) {
	name := r.PathValue("name")
	if !model.LegacyValidation.IsValidLabelName(name) {
		return data{}, bad("name", fmt.Errorf("%q: want a label name", name))
	}
	return h.list(r, func(q storage.Querier, ms []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(r.Context(), name, nil, ms...)
	})
}

// list answers with names, sorted and each once.
func (h *handler) list(r *http.Request, names func(storage.Querier, []*labels.Matcher) ([]string, annotations.Annotations, error)) (d data, err error) {
	q, sets, limit, err := h.selection(r)
	if err != nil {
		return data{}, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	if len(sets) == 0 {
		sets = append(sets, nil)
	}
	all := make(map[string]bool)
	for _, ms := range sets {
		found, warnings, err := names(q, ms)
		if err != nil {
			return data{}, promql.ErrStorage{Err: err}
		}
		d.warnings.Merge(warnings)
		for _, name := range found {
			all[strings.Clone(name)] = true // they die with the querier
		}
	}
	sorted := keys(all)
	if len(sorted) > limit {
		sorted = sorted[:limit]
		d.warnings.Add(errCut)
	}
	d.body = appendStrings(nil, sorted)
	return d, nil
}

// metadata says of every metric that it is a gauge: a number that a gateway
// measured, energy included.
func (h *handler) metadata(r *http.Request) (d data, err error) {
	q, _, limit, err := h.selection(r)
	if err != nil {
		return data{}, err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	var only []*labels.Matcher
	if name := r.Form.Get("metric"); name != "" {
		only = append(only, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	}
	found, warnings, err := q.LabelValues(r.Context(), model.MetricNameLabel, nil, only...)
	if err != nil {
		return data{}, promql.ErrStorage{Err: err}
	}
	d.warnings.Merge(warnings)
	b := []byte{'{'}
	for i, name := range found[:min(len(found), limit)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
		b = append(b, `:[{"type":"gauge","help":"","unit":""}]`...)
	}
	d.body = append(b, '}')
	return d, nil
}

// instant reads a time: seconds since 1970 or RFC 3339.
func instant(text string, otherwise time.Time) (time.Time, error) {
	if text == "" {
		if otherwise.IsZero() {
			return time.Time{}, errors.New("required")
		}
		return otherwise, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if seconds, notFloat := strconv.ParseFloat(text, 64); notFloat == nil {
		whole, part := math.Modf(seconds)
		if math.IsNaN(seconds) || math.Abs(whole) > math.MaxInt64/1e9 {
			return time.Time{}, fmt.Errorf("%q: want a time from 1970 to 2262", text)
		}
		t, err = time.Unix(int64(whole), int64(math.Round(part*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%q: want seconds since 1970 or RFC 3339", text)
	}
	if t.Year() < 1970 || t.Year() > 2261 {
		return time.Time{}, fmt.Errorf("%q: want a time from 1970 to 2262", text)
	}
	return t, nil
}

// span reads a positive duration: seconds, or as 1m30s.
func span(text string) (time.Duration, error) {
	var d time.Duration
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(seconds > 0) || seconds > math.MaxInt64/1e9 {
			return 0, fmt.Errorf("%q: want a positive time", text)
		}
		d = time.Duration(seconds * 1e9)
	} else if long, err := model.ParseDuration(text); err == nil {
		d = time.Duration(long)
	} else {
		return 0, fmt.Errorf("%q: want seconds or a duration as 30s", text)
	}
	if d < time.Millisecond {
		return 0, fmt.Errorf("%q: want at least 1ms", text)
	}
	return d, nil
}
