package promapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/series/embedded"
	"github.com/shedguard/shedguard/cloud/series/promapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// base is a whole minute some hours ago.
func base() time.Time { return time.Now().UTC().Add(-3 * time.Hour).Truncate(time.Minute) }

func point(shed, outlet string, at time.Time, watts float64) shedguard.Point {
	return shedguard.Point{
		Measurement: "outlet", Time: at, Fields: []shedguard.Field{{Key: "watts", Value: watts}},
		Tags: []shedguard.Tag{{Key: "shed", Value: shed}, {Key: "outlet", Value: outlet}},
	}
}

// filled is a store with a minute of two sheds at 1 Hz from at.
func filled(tb testing.TB, at time.Time) *embedded.Store {
	tb.Helper()
	s, err := embedded.Open(embedded.Options{Dir: tb.TempDir(), Log: quiet()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	for i := range 60 {
		now := at.Add(time.Duration(i) * time.Second)
		if err := s.Append(context.Background(), []shedguard.Point{
			point("a", "1", now, float64(i)), point("a", "2", now, 100), point("b.c", "1", now, 200),
			{Measurement: "climate", Time: now, Fields: []shedguard.Field{{Key: "celsius", Value: 20.5}}, Tags: []shedguard.Tag{{Key: "shed", Value: "中文"}}},
		}); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

func all(*http.Request) ([]string, bool) { return nil, true }

func handler(tb testing.TB, opts promapi.Options) http.Handler {
	tb.Helper()
	opts.Log = quiet()
	if opts.Sheds == nil {
		opts.Sheds = all
	}
	h, err := promapi.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	return h
}

type answer struct {
	Status, ErrorType, Error string
	Warnings                 []string
	Data                     json.RawMessage
}

func ask(tb testing.TB, h http.Handler, path string, form url.Values) (int, answer) {
	tb.Helper()
	r := httptest.NewRequest(http.MethodGet, path+"?"+form.Encode(), http.NoBody)
	return serve(tb, h, r)
}

func serve(tb testing.TB, h http.Handler, r *http.Request) (int, answer) {
	tb.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		tb.Fatalf("%s: %d %q: %v", r.URL, w.Code, w.Body, err)
	}
	if (w.Code == http.StatusOK) != (a.Status == "success") {
		tb.Errorf("%s: status %d and %q", r.URL, w.Code, a.Status)
	}
	return w.Code, a
}

func stamp(t time.Time) string { return fmt.Sprintf("%d.%03d", t.Unix(), t.UnixMilli()%1000) }

func TestAnswers(t *testing.T) {
	at := base()
	h := handler(t, promapi.Options{Store: filled(t, at)})
	end := at.Add(59 * time.Second)
	for name, tt := range map[string]struct {
		path string
		form url.Values
		want string
	}{
		"vector": {"/query", url.Values{"query": {`outlet_watts{shed="a",outlet="1"}`}, "time": {stamp(end)}}, fmt.Sprintf(`{"resultType":"vector","result":[{"metric":{"__name__":"outlet_watts","outlet":"1","shed":"a"},"value":[%d,"59"]}]}`, end.Unix())},
		"scalar": {"/query", url.Values{"query": {`1/0`}, "time": {"1700000000.25"}}, `{"resultType":"scalar","result":[1700000000.250,"+Inf"]}`},
		"string": {"/query", url.Values{"query": {`"quo\"te"`}, "time": {"2023-11-14T22:13:20Z"}}, `{"resultType":"string","result":[1700000000,"quo\"te"]}`},
		"matrix": {
			"/query_range",
			url.Values{"query": {`sum by (shed) (outlet_watts)`}, "start": {stamp(at)}, "end": {at.Add(time.Second).Format(time.RFC3339)}, "step": {"1s"}},
			fmt.Sprintf(`{"resultType":"matrix","result":[{"metric":{"shed":"a"},"values":[[%[1]d,"100"],[%[2]d,"101"]]},{"metric":{"shed":"b.c"},"values":[[%[1]d,"200"],[%[2]d,"200"]]}]}`, at.Unix(), at.Unix()+1),
		},
		"as grafana":  {"/api/v1/query", url.Values{"query": {`count(outlet_watts)`}, "time": {stamp(end)}}, fmt.Sprintf(`{"resultType":"vector","result":[{"metric":{},"value":[%d,"3"]}]}`, end.Unix())},
		"series":      {"/series", url.Values{"match[]": {`outlet_watts{shed="a"}`, `climate_celsius`}}, `[{"__name__":"climate_celsius","shed":"中文"},{"__name__":"outlet_watts","outlet":"1","shed":"a"},{"__name__":"outlet_watts","outlet":"2","shed":"a"}]`},
		"no series":   {"/series", url.Values{"match[]": {`nothing`}}, `[]`},
		"labels":      {"/labels", nil, `["__name__","outlet","shed"]`},
		"some labels": {"/labels", url.Values{"match[]": {"climate_celsius"}}, `["__name__","shed"]`},
		"values":      {"/label/shed/values", nil, `["a","b.c","中文"]`},
		"names":       {"/api/v1/label/__name__/values", nil, `["climate_celsius","outlet_watts"]`},
		"metadata":    {"/metadata", nil, `{"climate_celsius":[{"type":"gauge","help":"","unit":""}],"outlet_watts":[{"type":"gauge","help":"","unit":""}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			code, got := ask(t, h, tt.path, tt.form)
			var g, w any
			if err := json.Unmarshal([]byte(tt.want), &w); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(got.Data, &g); err != nil {
				t.Fatalf("%d %+v: %v", code, got, err)
			}
			if d := cmp.Diff(w, g); d != "" {
				t.Errorf("%d (-want +got):\n%s", code, d)
			}
		})
	}
}

func TestPostedForm(t *testing.T) {
	at := base()
	h := http.StripPrefix("/api/v1/prom", handler(t, promapi.Options{Store: filled(t, at)}))
	r := httptest.NewRequest(http.MethodPost, "/api/v1/prom/api/v1/query_range", strings.NewReader(url.Values{"query": {"outlet_watts"}, "start": {stamp(at)}, "end": {stamp(at)}, "step": {"15"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if code, got := serve(t, h, r); code != http.StatusOK || strings.Count(string(got.Data), "metric") != 3 {
		t.Errorf("%d %s", code, got.Data)
	}
}

func TestBadQuestions(t *testing.T) {
	at := base()
	h := handler(t, promapi.Options{Store: filled(t, at), MaxSamples: 50})
	long := url.Values{"query": {"outlet_watts"}, "start": {stamp(at)}, "end": {stamp(at.Add(time.Minute))}, "step": {"1"}}
	with := func(key, value string) url.Values {
		v := url.Values{}
		for k := range long {
			v.Set(k, long.Get(k))
		}
		v.Set(key, value)
		return v
	}
	for name, tt := range map[string]struct {
		path string
		form url.Values
		code int
		kind string
	}{
		"no query":         {"/query", nil, 400, "bad_data"},
		"does not parse":   {"/query", url.Values{"query": {`outlet_watts{`}}, 400, "bad_data"},
		"bad time":         {"/query", url.Values{"query": {`1`}, "time": {"yesterday"}}, 400, "bad_data"},
		"time not finite":  {"/query", url.Values{"query": {`1`}, "time": {"NaN"}}, 400, "bad_data"},
		"time too far":     {"/query", url.Values{"query": {`1`}, "time": {"1e300"}}, 400, "bad_data"},
		"no start":         {"/query_range", with("start", ""), 400, "bad_data"},
		"backwards":        {"/query_range", with("end", "1"), 400, "bad_data"},
		"no step":          {"/query_range", with("step", ""), 400, "bad_data"},
		"step 0":           {"/query_range", with("step", "0"), 400, "bad_data"},
		"too many points":  {"/query_range", with("step", "0.001"), 400, "bad_data"},
		"a range vector":   {"/query_range", with("query", "outlet_watts[1m]"), 400, "bad_data"},
		"bad timeout":      {"/query_range", with("timeout", "-1"), 400, "bad_data"},
		"too many samples": {"/query_range", long, 422, "execution"},
		"many to many":     {"/query", url.Values{"query": {`outlet_watts * on (shed) outlet_watts`}, "time": {stamp(at)}}, 422, "execution"},
		"series of all":    {"/series", nil, 400, "bad_data"},
		"empty selector":   {"/series", url.Values{"match[]": {`{}`}}, 400, "bad_data"},
		"bad limit":        {"/series", url.Values{"match[]": {`outlet_watts`}, "limit": {"x"}}, 400, "bad_data"},
		"bad label":        {"/label/a-b/values", nil, 400, "bad_data"},
		"long form":        {"/query", nil, 400, "bad_data"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, tt.path+"?"+tt.form.Encode(), http.NoBody)
			if name == "long form" {
				r = httptest.NewRequest(http.MethodPost, tt.path, strings.NewReader("query="+strings.Repeat("1", promapi.MaxBodyBytes)))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if code, got := serve(t, h, r); code != tt.code || got.ErrorType != tt.kind || got.Error == "" {
				t.Errorf("%d %+v, want %d %s", code, got, tt.code, tt.kind)
			}
		})
	}
}

func TestCutListIsSaid(t *testing.T) {
	h := handler(t, promapi.Options{Store: filled(t, base())})
	for path, form := range map[string]url.Values{
		"/series":            {"match[]": {`outlet_watts`}, "limit": {"1"}},
		"/labels":            {"limit": {"1"}},
		"/label/shed/values": {"limit": {"1"}},
	} {
		code, got := ask(t, h, path, form)
		var list []any
		if err := json.Unmarshal(got.Data, &list); err != nil || code != 200 || len(list) != 1 || len(got.Warnings) != 1 {
			t.Errorf("%s: %d %s %q, want one of the list and a warning", path, code, got.Data, got.Warnings)
		}
	}
}

// Nobody sees a shed that is not theirs, by whatever question.
func TestRestriction(t *testing.T) {
	at := base()
	store := filled(t, at)
	questions := []string{
		`outlet_watts`, `{shed="a"}`, `{shed=~".+"}`, `{shed!="b.c",outlet=~".+"}`, `sum(outlet_watts{shed="a"})`, `outlet_watts{shed="b.c"} or outlet_watts`,
		`max_over_time(outlet_watts[1m])`, `label_replace(outlet_watts,"shed","a","","")`, `outlet_watts offset 1s`, `outlet_watts @ ` + stamp(at.Add(30*time.Second)), `max_over_time((outlet_watts)[30s:1s])`,
	}
	for name, tt := range map[string]struct {
		sheds  []string
		values string
		lists  string
	}{
		"one":   {[]string{"b.c"}, "200", `["b.c"]`},
		"none":  {nil, "", `[]`},
		"other": {[]string{"bxc", "b"}, "", `[]`},
		"regex": {[]string{".*"}, "", `[]`},
	} {
		h := handler(t, promapi.Options{Store: store, Sheds: func(*http.Request) ([]string, bool) { return tt.sheds, false }})
		for _, q := range questions {
			_, got := ask(t, h, "/query", url.Values{"query": {q}, "time": {stamp(at.Add(59 * time.Second))}})
			var vector struct{ Result []struct{ Value [2]any } }
			if err := json.Unmarshal(got.Data, &vector); err != nil {
				t.Fatalf("%s: %s: %v", name, q, err)
			}
			for _, r := range vector.Result {
				if r.Value[1] != tt.values {
					t.Errorf("%s: %s shows %v", name, q, r.Value[1])
				}
			}
		}
		if _, got := ask(t, h, "/label/shed/values", nil); string(got.Data) != tt.lists {
			t.Errorf("%s: sheds %s, want %s", name, got.Data, tt.lists)
		}
		if _, got := ask(t, h, "/label/__name__/values", nil); strings.Contains(string(got.Data), "climate") {
			t.Errorf("%s: names %s", name, got.Data)
		}
		if _, got := ask(t, h, "/metadata", nil); strings.Contains(string(got.Data), "climate") {
			t.Errorf("%s: metadata %s", name, got.Data)
		}
		if _, got := ask(t, h, "/series", url.Values{"match[]": {`{shed="a"}`, `{__name__=~".+"}`}}); strings.Contains(string(got.Data), `"a"`) {
			t.Errorf("%s: series %s", name, got.Data)
		}
	}
}

// slow is a store that answers when it is let.
type slow struct {
	storage.Queryable
	began chan struct{}
	let   chan struct{}
}

func (s slow) Querier(from, to int64) (storage.Querier, error) {
	q, err := s.Queryable.Querier(from, to)
	return slowQuerier{q, s}, err
}

type slowQuerier struct {
	storage.Querier
	s slow
}

func (q slowQuerier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, ms ...*labels.Matcher) storage.SeriesSet {
	select {
	case q.s.began <- struct{}{}:
	default:
	}
	select {
	case <-q.s.let:
		return q.Querier.Select(ctx, sorted, hints, ms...)
	case <-ctx.Done():
		return storage.ErrSeriesSet(ctx.Err())
	}
}

func TestTimeoutAndTurns(t *testing.T) {
	s := slow{filled(t, base()), make(chan struct{}, 1), make(chan struct{})}
	h := handler(t, promapi.Options{Store: s, Concurrency: 1})
	question := url.Values{"query": {"outlet_watts"}, "timeout": {"0.05"}}
	if code, got := ask(t, h, "/query", question); code != http.StatusServiceUnavailable || got.ErrorType != "timeout" {
		t.Errorf("slow store: %d %+v, want a timeout", code, got)
	}
	<-s.began
	done := make(chan int)
	go func() {
		code, _ := ask(t, h, "/query", url.Values{"query": {"outlet_watts"}})
		done <- code
	}()
	<-s.began // it has the only turn
	if code, got := ask(t, h, "/query", question); code != http.StatusServiceUnavailable || got.ErrorType != "unavailable" {
		t.Errorf("no turn: %d %+v, want unavailable", code, got)
	}
	close(s.let)
	if code := <-done; code != http.StatusOK {
		t.Errorf("the one with the turn: %d", code)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	store := filled(t, base())
	for name, opts := range map[string]promapi.Options{
		"no store":         {Sheds: all, Log: quiet()},
		"no sheds":         {Store: store, Log: quiet()},
		"no log":           {Store: store, Sheds: all},
		"negative timeout": {Store: store, Sheds: all, Log: quiet(), Timeout: -1},
	} {
		if _, err := promapi.New(opts); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

func FuzzQuery(f *testing.F) {
	h := handler(f, promapi.Options{Store: filled(f, base()), MaxSamples: 10_000})
	f.Add("query_range", `rate(outlet_watts[1m])`, "0", "60", "1")
	f.Add("query", `{__name__=~".*"}`, "", "", "")
	f.Add("series", `{`, "-1", "1e300", "NaN")
	f.Add("labels", `a`, "9223372036854775807", "-9223372036854775808", "1y")
	f.Fuzz(func(t *testing.T, path, query, start, end, step string) {
		if path != "query" && path != "query_range" && path != "series" && path != "labels" {
			return
		}
		code, _ := ask(t, h, "/"+path, url.Values{"query": {query}, "match[]": {query}, "time": {end}, "start": {start}, "end": {end}, "step": {step}, "timeout": {"1"}})
		if code == http.StatusInternalServerError {
			t.Errorf("internal error for %s %q %q %q %q", path, query, start, end, step)
		}
	})
}

func BenchmarkQueryRange(b *testing.B) {
	at := base()
	h := handler(b, promapi.Options{Store: filled(b, at)})
	r := httptest.NewRequest(http.MethodGet, "/query_range?"+url.Values{"query": {"outlet_watts"}, "start": {stamp(at)}, "end": {stamp(at.Add(time.Minute))}, "step": {"0.1"}}.Encode(), http.NoBody)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.Clone(b.Context()))
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
