package influx

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shedguard/shedguard/cloud/series"
)

// maxAnswer bounds the answer to one question.
const maxAnswer = 256 << 20

// safelyPast is far enough back that no server thinks values are still missing.
const safelyPast = 10 * time.Minute

// statLabel tells apart what one question asks of each series.
const statLabel = "__stat__"

// promReader asks VictoriaMetrics. Everything but tlast_over_time and
// keep_metric_names is plain PromQL.
type promReader struct {
	url    string // ends in /
	token  string
	client *http.Client
	ahead  time.Duration
}

// Range asks for min, max, mean and count of each step at once. A window of
// PromQL lacks its beginning and holds its end, a bucket the other way round:
// each is asked for at its last millisecond.
func (p *promReader) Range(ctx context.Context, q series.Query) ([]series.Series, error) {
	from, to, step := q.From.UnixMilli(), q.To.UnixMilli(), q.Step().Milliseconds()
	out := make(map[string]*series.Series)
	whole := (to - from) / step
	if whole > 0 {
		end := from + whole*step
		if err := p.span(ctx, q, out, from, end, step); err != nil {
			return nil, err
		}
		from = end
	}
	if from < to { // the last step ends early
		if err := p.span(ctx, q, out, from, to, to-from); err != nil {
			return nil, err
		}
	}
	return sorted(out), nil
}

func (p *promReader) span(ctx context.Context, q series.Query, out map[string]*series.Series, from, to, step int64) error {
	window := selector(strconv.Quote(q.Measurement+"_"+q.Field), "=", q.Tags) + "[" + strconv.FormatInt(step, 10) + "ms]"
	// VictoriaMetrics repeats an older value for steps that end later than
	// -search.latencyOffset before now. Asked from the past, by a negative
	// offset, it tells what it has.
	back := int64(0)
	if late := to - time.Now().Add(-safelyPast).UnixMilli(); late > 0 {
		back = late
		window += " offset -" + strconv.FormatInt(back, 10) + "ms"
	}
	found, err := p.ask(ctx, "api/v1/query_range", url.Values{
		"query": {stats("min", "min_over_time("+window+")", "max", "max_over_time("+window+")", "mean", "avg_over_time("+window+")", "count", "count_over_time("+window+")")},
		"start": {seconds(from - back + step - 1)}, "end": {seconds(to - back - 1)}, "step": {seconds(step)}, "nocache": {"1"},
	})
	if err != nil {
		return err
	}
	for i := range found {
		f := &found[i]
		s, err := entry(out, f.tags())
		if err != nil {
			return err
		}
		// The four answers of a series come one after another, each with all its steps.
		at := 0
		for _, v := range f.Values {
			begin := time.UnixMilli(int64(math.Round(v.at*1000)) + back - step + 1).UTC()
			for at < len(s.Buckets) && s.Buckets[at].At.Before(begin) {
				at++
			}
			if at == len(s.Buckets) || !s.Buckets[at].At.Equal(begin) {
				s.Buckets = slices.Insert(s.Buckets, at, series.Bucket{At: begin})
			}
			b := &s.Buckets[at]
			switch f.Metric[statLabel] {
			case "min":
				b.Min = v.value
			case "max":
				b.Max = v.value
			case "mean":
				b.Mean = v.value
			case "count":
				b.Count = int(v.value)
			}
		}
	}
	return nil
}

// entry is the series with those tags.
func entry(out map[string]*series.Series, tags map[string]string) (*series.Series, error) {
	k := key(tags)
	s := out[k]
	if s == nil {
		if len(out) == MaxSeriesPerAnswer {
			return nil, ErrTooManySeries
		}
		s = &series.Series{Tags: tags}
		out[k] = s
	}
	return s, nil
}

func key(tags map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		b.WriteString(strconv.Quote(k) + strconv.Quote(tags[k]))
	}
	return b.String()
}

func sorted(m map[string]*series.Series) []series.Series {
	var out []series.Series
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, *m[k])
	}
	return out
}

// Latest asks for the last value of each series and its time.
func (p *promReader) Latest(ctx context.Context, measurement string, want map[string]string, within time.Duration) ([]series.Latest, error) {
	window := selector(strconv.Quote(regexp.QuoteMeta(measurement)+"_.+"), "=~", want) + "[" + strconv.FormatInt((within+p.ahead).Milliseconds(), 10) + "ms]"
	found, err := p.ask(ctx, "api/v1/query", url.Values{
		"query": {stats("value", "last_over_time("+window+") keep_metric_names", "at", "tlast_over_time("+window+") keep_metric_names")},
		"time":  {seconds(time.Now().Add(p.ahead).UnixMilli())}, "nocache": {"1"},
	})
	if err != nil {
		return nil, err
	}
	type id struct{ field, tags string }
	out := make(map[id]*series.Latest)
	for i := range found {
		f := &found[i]
		field, tags := strings.TrimPrefix(f.Metric["__name__"], measurement+"_"), f.tags()
		k := id{field, key(tags)}
		l := out[k]
		if l == nil {
			if len(out) == MaxSeriesPerAnswer {
				return nil, ErrTooManySeries
			}
			l = &series.Latest{Field: field, Tags: tags}
			out[k] = l
		}
		if f.Metric[statLabel] == "at" {
			l.At = time.UnixMilli(int64(math.Round(f.Value.value * 1000))).UTC()
		} else {
			l.Value = f.Value.value
		}
	}
	return latest(slices.Collect(maps.Values(out))), nil
}

// latest puts values in the order of field and tags.
func latest(found []*series.Latest) []series.Latest {
	slices.SortFunc(found, func(a, b *series.Latest) int {
		return cmp.Or(cmp.Compare(a.Field, b.Field), cmp.Compare(key(a.Tags), key(b.Tags)))
	})
	var out []series.Latest
	for _, l := range found {
		out = append(out, *l)
	}
	return out
}

// selector selects series by name and tags.
func selector(name, match string, tags map[string]string) string {
	var b strings.Builder
	b.WriteString("{__name__" + match + name)
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		b.WriteString("," + k + "=" + strconv.Quote(tags[k]))
	}
	b.WriteByte('}')
	return b.String()
}

// stats joins expressions, each labelled with its name.
func stats(namesAndExprs ...string) string {
	var parts []string
	for pair := range slices.Chunk(namesAndExprs, 2) {
		parts = append(parts, "label_replace("+pair[1]+`,"`+statLabel+`","`+pair[0]+`","","")`)
	}
	return strings.Join(parts, " or ")
}

// seconds writes whole milliseconds, and a fifth of one: VictoriaMetrics turns
// seconds into milliseconds by cutting what binary fractions leave of them, so
// that 1017 ms became 1016.
func seconds(ms int64) string { return strconv.FormatFloat((float64(ms)+0.2)/1000, 'f', 4, 64) }

// answered is one series of an answer.
type answered struct {
	Metric map[string]string
	Value  sample
	Values []sample
}

func (a *answered) tags() map[string]string {
	tags := make(map[string]string, len(a.Metric))
	for k, v := range a.Metric {
		if k != "__name__" && k != statLabel {
			tags[k] = v
		}
	}
	return tags
}

// sample is a pair of seconds and a number in quotes.
type sample struct{ at, value float64 }

// UnmarshalJSON reads the pair.
func (s *sample) UnmarshalJSON(b []byte) error {
	at, value, ok := strings.Cut(strings.Trim(string(b), "[] "), ",")
	if !ok {
		return fmt.Errorf("sample %.40q: want [seconds,\"value\"]", b)
	}
	var err1, err2 error
	s.at, err1 = strconv.ParseFloat(strings.TrimSpace(at), 64)
	s.value, err2 = strconv.ParseFloat(strings.Trim(value, `" `), 64)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("sample %.40q: %w", b, err)
	}
	return nil
}

func (p *promReader) ask(ctx context.Context, path string, form url.Values) ([]answered, error) {
	b, err := p.get(ctx, path, form)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status, Error string
		IsPartial     bool
		Data          struct{ Result []answered }
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", path, err)
	}
	if answer.Status != "success" || answer.IsPartial { // a part must not look like the whole
		return nil, fmt.Errorf("%s: status %q, partial %t: %s", path, answer.Status, answer.IsPartial, answer.Error)
	}
	return answer.Data.Result, nil
}

// get posts the form, or gets when there is none.
func (p *promReader) get(ctx context.Context, path string, form url.Values) ([]byte, error) {
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", path, err)
	}
	if len(b) > maxAnswer {
		return nil, fmt.Errorf("answer of %s is longer than %d bytes", path, maxAnswer)
	}
	if resp.StatusCode != http.StatusOK {
		var said struct{ Error string }
		_ = json.Unmarshal(b, &said) // not every error is JSON
		return nil, fmt.Errorf("%s: %s: %.300s", path, resp.Status, cmp.Or(said.Error, strings.TrimSpace(string(b))))
	}
	return b, nil
}
