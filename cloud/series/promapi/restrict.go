package promapi

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// store is the store as the caller of r may see it.
func (h *handler) store(r *http.Request) storage.Queryable {
	sheds, all := h.opts.Sheds(r)
	if all {
		return h.opts.Store
	}
	if len(sheds) == 0 {
		return storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return storage.NoopQuerier(), nil })
	}
	quoted := make([]string, len(sheds))
	for i, s := range sheds {
		quoted[i] = regexp.QuoteMeta(s)
	}
	only := labels.MustNewMatcher(labels.MatchRegexp, "shed", strings.Join(quoted, "|"))
	return storage.QueryableFunc(func(from, to int64) (storage.Querier, error) {
		q, err := h.opts.Store.Querier(from, to)
		if err != nil {
			return nil, err
		}
		return restricted{q, only}, nil
	})
}

// restricted adds a matcher to whatever is asked for.
type restricted struct {
	storage.Querier
	only *labels.Matcher
}

func (q restricted) with(ms []*labels.Matcher) []*labels.Matcher {
	return append(append(make([]*labels.Matcher, 0, len(ms)+1), ms...), q.only)
}

// Select selects among the series that may be seen.
func (q restricted) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	return q.Querier.Select(ctx, sorted, hints, q.with(ms)...)
}

// LabelValues are those of the series that may be seen.
func (q restricted) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.Querier.LabelValues(ctx, name, hints, q.with(ms)...)
}

// LabelNames are those of the series that may be seen.
func (q restricted) LabelNames(ctx context.Context, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return q.Querier.LabelNames(ctx, hints, q.with(ms)...)
}
