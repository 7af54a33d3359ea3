package influx

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/influxdata/influxdb-client-go/v2/api"
	"github.com/influxdata/influxdb-client-go/v2/api/query"

	"github.com/shedguard/shedguard/cloud/series"
)

// fluxReader asks InfluxDB 2.
type fluxReader struct {
	api    api.QueryAPI
	bucket string
	ahead  time.Duration
}

// Range asks for min, max, mean and count of each step, as four results of one
// question.
func (f *fluxReader) Range(ctx context.Context, q series.Query) ([]series.Series, error) {
	out := make(map[string]*series.Series)
	err := f.each(ctx, rangeQuery(f.bucket, &q), func(r *query.FluxRecord) error {
		value, err := number(r.Value())
		if err != nil {
			return err
		}
		s, err := entry(out, recordTags(r))
		if err != nil {
			return err
		}
		begin := r.Time().UTC()
		at, known := slices.BinarySearchFunc(s.Buckets, begin, func(b series.Bucket, t time.Time) int { return b.At.Compare(t) })
		if !known {
			s.Buckets = slices.Insert(s.Buckets, at, series.Bucket{At: begin})
		}
		b := &s.Buckets[at]
		switch result := r.Result(); result {
		case "min":
			b.Min = value
		case "max":
			b.Max = value
		case "mean":
			b.Mean = value
		case "count":
			b.Count = int(value)
		default:
			return fmt.Errorf("result %q: want min, max, mean or count", result)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sorted(out), nil
}

// Latest asks for the last value of each series.
func (f *fluxReader) Latest(ctx context.Context, measurement string, want map[string]string, within time.Duration) ([]series.Latest, error) {
	var found []*series.Latest
	now := time.Now()
	err := f.each(ctx, latestQuery(f.bucket, measurement, want, now.Add(-within), now.Add(f.ahead)), func(r *query.FluxRecord) error {
		value, err := number(r.Value())
		if err != nil {
			return err
		}
		if len(found) == MaxSeriesPerAnswer {
			return ErrTooManySeries
		}
		found = append(found, &series.Latest{Field: r.Field(), Tags: recordTags(r), Value: value, At: r.Time().UTC()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return latest(found), nil
}

func (f *fluxReader) each(ctx context.Context, text string, visit func(*query.FluxRecord) error) (err error) {
	table, err := f.api.Query(ctx, text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, table.Close()) }()
	for table.Next() {
		if err := visit(table.Record()); err != nil {
			return err
		}
	}
	return table.Err()
}

func rangeQuery(bucket string, q *series.Query) string {
	from, step := q.From.UnixMilli(), q.Step().Milliseconds()
	var b strings.Builder
	b.WriteString("data = " + selection(bucket, q.Measurement, q.Tags, from, q.To.UnixMilli()))
	b.WriteString(" |> filter(fn: (r) => r._field == " + fluxString(q.Field) + ")\n")
	for _, fn := range []string{"min", "max", "mean", "count"} {
		// The offset makes a step begin at the query's own beginning.
		fmt.Fprintf(&b, "data |> aggregateWindow(every: %dms, offset: %dms, fn: %s, createEmpty: false, timeSrc: \"_start\") |> yield(name: %q)\n", step, from%step, fn, fn)
	}
	return b.String()
}

func latestQuery(bucket, measurement string, tags map[string]string, from, to time.Time) string {
	return selection(bucket, measurement, tags, from.UnixMilli(), to.UnixMilli()) + " |> last()\n"
}

// selection is the span of a measurement; its end is not part of it.
func selection(bucket, measurement string, tags map[string]string, from, to int64) string {
	var b strings.Builder
	fmt.Fprintf(&b, "from(bucket: %s) |> range(start: %s, stop: %s)", fluxString(bucket), stamp(from), stamp(to))
	b.WriteString(" |> filter(fn: (r) => r._measurement == " + fluxString(measurement))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		b.WriteString(" and r[" + fluxString(k) + "] == " + fluxString(tags[k]))
	}
	b.WriteString(")")
	return b.String()
}

// stamp writes a time as Flux reads it.
func stamp(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// fluxString quotes a string so that nothing in it is Flux: neither quote nor
// backslash, nor the beginning of an interpolation.
func fluxString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '$':
			b.WriteString(`\x24`) // ${ begins an interpolation
		case r < ' ' || r == 0x7f || r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	b.WriteByte('"')
	return b.String()
}

// recordTags are the columns of a record that InfluxDB did not add itself.
func recordTags(r *query.FluxRecord) map[string]string {
	tags := make(map[string]string)
	for k, v := range r.Values() {
		text, ok := v.(string)
		if ok && k != "result" && !strings.HasPrefix(k, "_") {
			tags[k] = text
		}
	}
	return tags
}

func number(v any) (float64, error) {
	switch v := v.(type) {
	case float64:
		return v, nil
	case int64:
		return float64(v), nil
	case uint64:
		return strconv.ParseFloat(strconv.FormatUint(v, 10), 64)
	}
	return 0, fmt.Errorf("value %v: want a number", v)
}
