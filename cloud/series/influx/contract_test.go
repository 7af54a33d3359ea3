package influx_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/series"
	"github.com/shedguard/shedguard/cloud/series/influx"
)

// server behaves as the public description of the InfluxDB 2 API says: write
// and query need the token, errors are JSON of code and message, answers are
// annotated CSV.
type server struct {
	*httptest.Server
	t *testing.T

	mu      sync.Mutex
	refuse  func(line string) string // why a line is refused, or ""
	status  []int                    // what the next writes are answered instead
	lines   []string
	writes  int
	hangUp  bool // ends every connection after one write, and says so
	queries []string
	csv     string
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, refuse: func(string) string { return "" }}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v2/write", s.write)
	mux.HandleFunc("POST /api/v2/query", s.query)
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "message": message})
}

func (s *server) allowed(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Authorization") != "Token secret" {
		fail(w, http.StatusUnauthorized, "unauthorized", "unauthorized access")
		return false
	}
	if r.URL.Query().Get("org") != "sheds" {
		fail(w, http.StatusNotFound, "not found", "organization not found")
		return false
	}
	return true
}

func (s *server) write(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.hangUp {
		w.Header().Set("Connection", "close")
	}
	if len(s.status) > 0 {
		status := s.status[0]
		s.status = s.status[1:]
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "1")
		}
		fail(w, status, "unavailable", "not now")
		return
	}
	if q := r.URL.Query(); q.Get("bucket") != "telemetry" || q.Get("precision") != "ns" || r.Header.Get("Content-Encoding") != "gzip" {
		s.t.Errorf("write %s %v", r.URL, r.Header)
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	body, err := io.ReadAll(z)
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	// As InfluxDB: the good lines of a partly bad batch may be stored.
	var why string
	var reader shedguard.LineReader
	for line := range bytes.Lines(body) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		var p shedguard.Point
		if err := reader.Parse(line, &p); err != nil {
			s.t.Errorf("line %q: %v", line, err)
		}
		if reason := s.refuse(string(line)); reason != "" {
			why = reason
			continue
		}
		s.lines = append(s.lines, string(line))
	}
	if why != "" {
		fail(w, http.StatusUnprocessableEntity, "unprocessable entity", why)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *server) query(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r) {
		return
	}
	var ask struct {
		Query, Type string
		Dialect     struct{ Annotations []string }
	}
	if err := json.NewDecoder(r.Body).Decode(&ask); err != nil || ask.Type != "flux" || len(ask.Dialect.Annotations) != 3 {
		s.t.Errorf("query %+v, %v", ask, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queries = append(s.queries, ask.Query)
	if s.csv == "" {
		fail(w, http.StatusBadRequest, "invalid", "compilation failed")
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	_, _ = io.WriteString(w, strings.ReplaceAll(s.csv, "\n", "\r\n"))
}

// distinct is what is left when a repeated line is stored once.
func (s *server) distinct() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, l := range s.lines {
		seen[l] = true
	}
	return len(seen)
}

func (s *server) store(t *testing.T, dir string) *influx.Store {
	t.Helper()
	return open(t, influx.Options{URL: s.URL, Token: "secret", Org: "sheds", Bucket: "telemetry", Language: influx.Flux, Dir: dir})
}

func TestPoisonIsSetAside(t *testing.T) {
	srv := newServer(t)
	srv.refuse = func(line string) string {
		if strings.Contains(line, "outlet=7 ") {
			return `failure writing points to database: partial write: field type conflict: input field "watts" is type float, already exists as type integer dropped=1`
		}
		return ""
	}
	dir := t.TempDir()
	s := srv.store(t, dir)
	defer closed(t, s)
	now := time.Now()
	var batch []shedguard.Point
	for i := range 1000 {
		batch = append(batch, point("a", i%100, now.Add(time.Duration(i)*time.Millisecond), float64(i)))
	}
	if err := s.Append(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an empty queue", func() bool { return s.Stats().Waiting == 0 })
	if st := s.Stats(); st.RefusedLines != 10 || st.Retries != 0 || srv.distinct() != 990 {
		t.Errorf("stats %+v, %d stored", st, srv.distinct())
	}
	if srv.writes > 2*10*10+1 {
		t.Errorf("%d requests to find 10 bad lines of 1000", srv.writes)
	}
	text, err := os.ReadFile(filepath.Join(dir, "refused.lp"))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\noutlet,shed=a,outlet=7 watts="); n != 10 || !strings.Contains(string(text), " 422 unprocessable entity: failure writing") {
		t.Errorf("%d lines set aside, want 10:\n%s", n, text)
	}
}

func TestWhatIsNotThePointsFaultIsTriedAgain(t *testing.T) {
	srv := newServer(t)
	srv.status = []int{http.StatusInternalServerError, http.StatusTooManyRequests, http.StatusNotFound}
	s := srv.store(t, "")
	defer closed(t, s)
	if err := s.Append(t.Context(), windows(1, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an empty queue", func() bool { return s.Stats().Waiting == 0 })
	if st := s.Stats(); st.Retries != 3 || st.RefusedLines != 0 || srv.distinct() != 12 {
		t.Errorf("stats %+v, %d stored", st, srv.distinct())
	}
}

// A connection that ends as announced is no restart.
func TestAnnouncedEndSendsNothingAgain(t *testing.T) {
	srv := newServer(t)
	srv.hangUp = true
	s := srv.store(t, "")
	defer closed(t, s)
	now := time.Now()
	for i := range 10 {
		if err := s.Append(t.Context(), []shedguard.Point{point("a", 1, now.Add(time.Duration(i)*time.Millisecond), 1)}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "an empty queue", func() bool { return s.Stats().Waiting == 0 })
	}
	if st := s.Stats(); st.Resent != 0 || st.Retries != 0 || st.Sent != 10 || srv.distinct() != 10 {
		t.Errorf("stats %+v, %d stored", st, srv.distinct())
	}
}

func TestWrongTokenKeepsThePoints(t *testing.T) {
	srv := newServer(t)
	dir := t.TempDir()
	s := open(t, influx.Options{URL: srv.URL, Token: "wrong", Org: "sheds", Bucket: "telemetry", Language: influx.Flux, Dir: dir})
	if err := s.Append(t.Context(), windows(1, time.Now())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a refusal", func() bool { return s.Stats().Retries > 0 })
	closed(t, s)
	s = srv.store(t, dir)
	defer closed(t, s)
	eventually(t, "an empty queue", func() bool { return s.Stats().Waiting == 0 })
	if srv.distinct() != 12 {
		t.Errorf("%d stored, want 12", srv.distinct())
	}
}

func TestFluxRange(t *testing.T) {
	srv := newServer(t)
	from := time.Date(2026, 11, 23, 10, 0, 0, 500e6, time.UTC)
	for i, result := range []string{"min", "max", "mean", "count"} {
		kind := "double"
		if result == "count" {
			kind = "long"
		}
		srv.csv += fmt.Sprintf("#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,string,string,string,string,dateTime:RFC3339,%s\n"+
			"#group,false,false,true,true,true,true,true,true,false,false\n#default,%s,,,,,,,,,\n"+
			",result,table,_start,_stop,_field,_measurement,outlet,shed,_time,_value\n", kind, result)
		for table, outlet := range []string{"1", "2"} {
			for step := range 2 {
				srv.csv += fmt.Sprintf(",,%d,2026-11-23T10:00:00.5Z,2026-11-23T10:02:00.5Z,watts,outlet,%s,\"quo\"\"te\",2026-11-23T10:0%d:00.5Z,%d\n", table, outlet, step, 10*table+step+i)
			}
		}
		srv.csv += "\n"
	}
	s := srv.store(t, "")
	defer closed(t, s)
	got, err := s.Range(t.Context(), series.Query{Measurement: "outlet", Field: "watts", Tags: map[string]string{"shed": `quo"te`}, From: from, To: from.Add(2 * time.Minute), Points: 2})
	if err != nil {
		t.Fatal(err)
	}
	var want []series.Series
	for table, outlet := range []string{"1", "2"} {
		w := series.Series{Tags: map[string]string{"shed": `quo"te`, "outlet": outlet}}
		for step := range 2 {
			v := float64(10*table + step)
			w.Buckets = append(w.Buckets, series.Bucket{At: from.Add(time.Duration(step) * time.Minute), Min: v, Max: v + 1, Mean: v + 2, Count: int(v) + 3})
		}
		want = append(want, w)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
	const question = `data = from(bucket: "telemetry") |> range(start: 2026-11-23T10:00:00.500Z, stop: 2026-11-23T10:02:00.500Z) |> filter(fn: (r) => r._measurement == "outlet" and r["shed"] == "quo\"te") |> filter(fn: (r) => r._field == "watts")
data |> aggregateWindow(every: 60000ms, offset: 500ms, fn: min, createEmpty: false, timeSrc: "_start") |> yield(name: "min")
data |> aggregateWindow(every: 60000ms, offset: 500ms, fn: max, createEmpty: false, timeSrc: "_start") |> yield(name: "max")
data |> aggregateWindow(every: 60000ms, offset: 500ms, fn: mean, createEmpty: false, timeSrc: "_start") |> yield(name: "mean")
data |> aggregateWindow(every: 60000ms, offset: 500ms, fn: count, createEmpty: false, timeSrc: "_start") |> yield(name: "count")
`
	if d := cmp.Diff(question, srv.queries[0]); d != "" {
		t.Errorf("question (-want +got):\n%s", d)
	}
}

func TestFluxLatest(t *testing.T) {
	srv := newServer(t)
	srv.csv = `#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339Nano,double,string,string,string,string
#group,false,false,true,true,false,false,true,true,true,true
#default,_result,,,,,,,,,
,result,table,_start,_stop,_time,_value,_field,_measurement,outlet,shed
,,0,2026-11-23T09:59:00Z,2026-11-23T10:10:00Z,2026-11-23T10:00:00.123Z,389.1,watts,outlet,3,a

#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339Nano,long,string,string,string,string
#group,false,false,true,true,false,false,true,true,true,true
#default,_result,,,,,,,,,
,result,table,_start,_stop,_time,_value,_field,_measurement,outlet,shed
,,1,2026-11-23T09:59:00Z,2026-11-23T10:10:00Z,2026-11-23T10:00:00.123Z,3,state,outlet,3,a

`
	s := srv.store(t, "")
	defer closed(t, s)
	got, err := s.Latest(t.Context(), "outlet", map[string]string{"shed": "a"}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 10, 0, 0, 123e6, time.UTC)
	if d := cmp.Diff([]series.Latest{
		{Field: "state", Tags: map[string]string{"shed": "a", "outlet": "3"}, Value: 3, At: at},
		{Field: "watts", Tags: map[string]string{"shed": "a", "outlet": "3"}, Value: 389.1, At: at},
	}, got); d != "" {
		t.Errorf("answer (-want +got):\n%s", d)
	}
	if q := srv.queries[0]; !strings.HasSuffix(q, ` |> filter(fn: (r) => r._measurement == "outlet" and r["shed"] == "a") |> last()`+"\n") {
		t.Errorf("question %s", q)
	}
}

func TestFluxFailures(t *testing.T) {
	srv := newServer(t)
	s := srv.store(t, "")
	defer closed(t, s)
	for name, tt := range map[string]struct{ csv, want string }{
		"refused":          {"", "compilation failed"},
		"fails on the way": {"#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,engine: context canceled,897\n\n", "engine: context canceled"},
		"not a number": {"#datatype,string,long,dateTime:RFC3339,string,string,string\n#group,false,false,false,false,true,true\n#default,min,,,,,\n" +
			",result,table,_time,_value,_field,_measurement\n,,0,2026-11-23T10:00:00Z,abc,watts,outlet\n\n", "want a number"},
	} {
		srv.mu.Lock()
		srv.csv = tt.csv
		srv.mu.Unlock()
		got, err := s.Range(t.Context(), series.Query{Measurement: "outlet", Field: "watts", From: time.UnixMilli(1e12), To: time.UnixMilli(2e12)})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, %v, want %q", name, got, err, tt.want)
		}
	}
}
