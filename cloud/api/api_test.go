package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/api"
	"github.com/shedguard/shedguard/cloud/auth"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/live"
	"github.com/shedguard/shedguard/cloud/notify"
	"github.com/shedguard/shedguard/cloud/series"
)

func TestMain(m *testing.M) {
	// database/sql ends its opener a moment after Close returned.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

var update = flag.Bool("update", false, "rewrite the golden files")

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	boot     = "01KAAAAAAAAAAAAAAAAAAAAAA1"
	password = "correct horse battery"
)

func id(n int) string { return fmt.Sprintf("%026d", n) }

// fakeStore answers with two series and remembers what it was asked.
type fakeStore struct {
	asked   series.Query
	cameras []series.Latest
	feeder  []series.Latest
	err     error
}

func (f *fakeStore) Range(_ context.Context, q series.Query) ([]series.Series, error) {
	f.asked = q
	return []series.Series{{
		Tags:    map[string]string{"shed": "shed-1", "outlet": "3"},
		Buckets: []series.Bucket{{At: noon, Min: 1, Mean: 2, Max: 3, Count: 9}, {At: noon.Add(time.Minute), Min: 4, Mean: 5, Max: 6, Count: 9}},
	}, {Tags: map[string]string{"shed": "shed-1", "outlet": "4"}}}, f.err
}

func (f *fakeStore) Latest(_ context.Context, measurement string, tags map[string]string, _ time.Duration) ([]series.Latest, error) {
	if measurement == shedguard.MeasurementCamera {
		return slices.DeleteFunc(slices.Clone(f.cameras), func(l series.Latest) bool { return l.Tags["shed"] != tags["shed"] }), f.err
	}
	if measurement == shedguard.MeasurementFeeder {
		return slices.DeleteFunc(slices.Clone(f.feeder), func(l series.Latest) bool { return l.Tags["shed"] != tags["shed"] }), f.err
	}
	tags["outlet"] = "3"
	return []series.Latest{
		{Field: "volts", Tags: tags, Value: 221.5, At: noon},
		{Field: "watts", Tags: tags, Value: 389.25, At: noon.Add(time.Second)},
		{Field: "state", Tags: tags, Value: 3, At: noon},
		{Field: "amps_max", Tags: tags, Value: 2, At: noon},
		{Field: "volts", Tags: map[string]string{"outlet": "x"}, Value: 1, At: noon},
	}, f.err
}

// fakeSender takes messages, or fails as it is told.
type fakeSender struct{ err error }

func (f *fakeSender) Send(context.Context, *notify.Message) (bool, error) { return false, f.err }

// rig is an API with everything behind it that is not a fake.
type rig struct {
	*httptest.Server
	api    *api.Server
	book   *book.Book
	feed   *live.Feed
	store  *fakeStore
	sender *fakeSender
	log    *bytes.Buffer
	client *http.Client

	reply  func(context.Context, string, shedguard.Command) (shedguard.Reply, error)
	health map[string]error
}

func newRig(tb testing.TB, page fstest.MapFS) *rig {
	tb.Helper()
	return newRigWith(tb, page, true)
}

func newRigWith(tb testing.TB, page fstest.MapFS, prom bool) *rig {
	tb.Helper()
	r := &rig{feed: live.New(16, time.Now()), store: &fakeStore{}, sender: &fakeSender{}, log: &bytes.Buffer{}}
	var err error
	if r.book, err = book.Open(tb.Context(), book.Options{Path: filepath.Join(tb.TempDir(), "book.db")}); err != nil {
		tb.Fatal(err)
	}
	told, err := notify.New(notify.Options{
		Book: r.book, Senders: map[string]notify.Sender{"desk": r.sender},
		Settings: notify.Settings{
			Channels: []notify.Channel{{Name: "desk", Webhook: &notify.Webhook{URL: "https://desk.example.com", SecretFile: "x"}}},
			People:   []notify.Person{{Name: "duty", Channels: []string{"desk"}}},
			Routes:   []notify.Route{{Sheds: []string{"*"}, Steps: []notify.Step{{People: []string{"duty"}}}}},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	n := 0
	opts := api.Options{
		Book: r.book, Series: r.store, Feed: r.feed, Notify: told, Version: "v1.2.3", Registry: prometheus.NewRegistry(),
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
		NewID: func() string {
			n++
			return id(9000 + n)
		},
		Command: func(ctx context.Context, shed string, c shedguard.Command) (shedguard.Reply, error) {
			return r.reply(ctx, shed, c)
		},
		Health: func(context.Context) map[string]error { return r.health },
	}
	if page != nil {
		opts.Page = page
	}
	if prom {
		opts.Prom = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.URL.String())
		})
	}
	if r.api, err = api.New(opts); err != nil {
		tb.Fatal(err)
	}
	r.Server = httptest.NewServer(r.api)
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	r.client = r.Client()
	r.client.Jar = jar
	tb.Cleanup(func() {
		r.api.EndStreams()
		r.client.CloseIdleConnections()
		r.Close()
		if err := r.book.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := r.book.AddUser(tb.Context(), book.User{Name: "admin", Role: api.RoleAdmin, PasswordHash: auth.Hash(password), CreatedAt: noon}); err != nil {
		tb.Fatal(err)
	}
	return r
}

// do makes a request and returns status and body.
func (r *rig) do(tb testing.TB, method, path, body string, headers ...string) (int, string, http.Header) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, r.URL+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := r.client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		tb.Fatal(err)
	}
	return res.StatusCode, string(b), res.Header
}

func (r *rig) login(tb testing.TB) {
	tb.Helper()
	if status, body, _ := r.do(tb, http.MethodPost, "/api/v1/login", `{"user":"admin","password":"`+password+`"}`); status != http.StatusNoContent {
		tb.Fatalf("login: %d %s", status, body)
	}
}

// fill puts a shed that is online with two alarms, and one that is away.
func (r *rig) fill(tb testing.TB) {
	tb.Helper()
	ctx := tb.Context()
	status := shedguard.Status{
		State: shedguard.GatewayOnline, BootID: boot, Conn: 1, Version: "v9", ConfigHash: "c0ffee", Clock: shedguard.ClockSynced,
		Outlets: []shedguard.OutletSummary{{Outlet: 3, State: shedguard.StateTripped, Latched: []shedguard.Cause{shedguard.CauseOvercurrent}}, {Outlet: 4, State: shedguard.StateReady}},
		Siren:   true,
		Suppression: &shedguard.Suppression{
			Phase: shedguard.SuppressionArmed, Zone: "bay-1", AlarmID: id(1), Until: noon.Add(15*time.Second + 250*time.Millisecond).In(time.FixedZone("CST", 8*3600)),
		},
	}
	if _, err := r.book.PutStatus(ctx, "shed-1", status, noon, false); err != nil {
		tb.Fatal(err)
	}
	status.State, status.Siren, status.Suppression = shedguard.GatewayOffline, false, nil
	if _, err := r.book.PutStatus(ctx, "shed-2", status, noon, false); err != nil {
		tb.Fatal(err)
	}
	for n := 1; n <= 3; n++ {
		a := shedguard.Alarm{
			ID: id(n), Cause: shedguard.CauseOvercurrent, Severity: shedguard.Severity(n), Level: n, RaisedAt: noon, Since: noon.Add(-time.Second),
			Value: 25.5, Limit: 10.5, Unit: "A", Action: shedguard.ActionTripped, Latched: true, Evidence: []string{},
			Text:  shedguard.Text{ZH: "过流", EN: "overcurrent"},
			Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: boot, Seq: uint64(n)},
		}
		e, err := shedguard.NewEvent(id(100+n), shedguard.Source("shed-1"), shedguard.EventAlarmRaised, "outlet/3", noon, a)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := r.book.PutEvent(ctx, e, noon.Add(time.Minute)); err != nil {
			tb.Fatal(err)
		}
	}
	a := shedguard.Alarm{
		ID: id(3), Cause: shedguard.CauseOvercurrent, RaisedAt: noon, Action: shedguard.ActionNone,
		Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: boot, Seq: 4},
	}
	e, err := shedguard.NewEvent(id(200), shedguard.Source("shed-1"), shedguard.EventAlarmCleared, "outlet/3", noon.Add(time.Hour), a)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := r.book.PutEvent(ctx, e, noon.Add(time.Hour)); err != nil {
		tb.Fatal(err)
	}
	for n, shed := range []string{"shed-1", "shed-2", "shed-2"} {
		relay := shedguard.RelayOperated{Outlet: 3, Closed: true, Why: "command", Verified: true, Stamp: shedguard.Stamp{Clock: shedguard.ClockSynced, BootID: boot, Seq: uint64(10 + n)}}
		e, err := shedguard.NewEvent(id(300+n), shedguard.Source(shed), shedguard.EventRelayOperated, "outlet/3", noon.Add(time.Duration(n)*time.Second), relay)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := r.book.PutEvent(ctx, e, noon.Add(time.Minute)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := r.book.PutEvidence(ctx, "shed-1", id(1), 0, []byte("\xff\xd8jpeg"), noon); err != nil {
		tb.Fatal(err)
	}
	if err := r.book.DeadLetter(ctx, book.DeadLetter{At: noon, Shed: "shed-1", Topic: "shedguard/v1/shed-1/alarm", Reason: "not JSON", Payload: []byte("{")}); err != nil {
		tb.Fatal(err)
	}
}

// fillFeeder has the supply of the shed that is online measured.
func (r *rig) fillFeeder() {
	for n, field := range []string{"watts", "watts_max", "committed_watts", "soft_watts", "hard_watts", "refusing", "waiting", "shed"} {
		r.store.feeder = append(r.store.feeder, series.Latest{
			Field: field, Tags: map[string]string{"shed": "shed-1"}, At: noon.Add(time.Duration(n%2) * time.Second),
			Value: []float64{3520.5, 3800, 4100, 5000, 6000, 1, 2, 1}[n],
		})
	}
}

// What a reader of the API gets, byte for byte.
func TestGolden(t *testing.T) {
	r := newRigWith(t, nil, false)
	r.fill(t)
	r.fillCameras(t)
	r.login(t)
	r.reply = func(_ context.Context, shed string, c shedguard.Command) (shedguard.Reply, error) {
		if shed != "shed-1" || c.BootID != boot || c.By != "admin" || c.ExpiresAt.Sub(c.IssuedAt) != 10*time.Second || c.Validate() != nil {
			return shedguard.Reply{}, fmt.Errorf("command %+v", c)
		}
		if c.Kind == shedguard.CommandResetTrip {
			return shedguard.Reply{ID: c.ID, Error: shedguard.Refuse(shedguard.CodeCauseStands, "%s", c.Args)}, nil
		}
		result := any(map[string]int{"outlet": 3})
		switch c.Kind {
		case shedguard.CommandVetoSuppression: // of what came over: {} and {"reset":true} are not the same
			result = shedguard.SuppressionStatus{Phase: shedguard.SuppressionVetoed, Zone: string(c.Args), By: c.By}
		case shedguard.CommandSilenceSiren:
			return shedguard.Reply{ID: c.ID, OK: len(c.Args) == 0}, nil
		case shedguard.CommandSelfTest:
			result = shedguard.SelfTest{Checks: []shedguard.SelfTestCheck{{Name: "relays", OK: true}, {Name: "outlet/3/meter", Detail: "not acknowledged"}}}
		}
		b, err := json.Marshal(result)
		return shedguard.Reply{ID: c.ID, OK: true, Result: b}, err
	}
	r.fillFeeder()
	now := regexp.MustCompile(`"20[0-9T:.+-]+Z"`)
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		times                    bool // replace instants that depend on the clock
	}{
		{name: "me", path: "/me", status: 200},
		{name: "sheds", path: "/sheds", status: 200},
		{name: "shed", path: "/sheds/shed-1", status: 200},
		{name: "shed-unknown", path: "/sheds/shed-9", status: 404},
		{name: "shed-named", method: "PATCH", path: "/sheds/shed-1", body: `{"name":"东门","place":"杭州"}`, status: 200},
		{name: "alarms", path: "/alarms", status: 200},
		{name: "alarms-open-critical", path: "/alarms?state=open&severity=critical&shed=shed-1&limit=1", status: 200},
		{name: "alarms-paged", path: "/alarms?limit=1", status: 200},
		{name: "alarms-bad", path: "/alarms?state=sleeping&limit=0&severity=worse", status: 422},
		{name: "alarms-unknown-parameter", path: "/alarms?colour=red", status: 422},
		{name: "alarms-bad-cursor", path: "/alarms?cursor=x", status: 400},
		{name: "alarm", path: "/alarms/" + id(3), status: 200},
		{name: "alarm-unknown", path: "/alarms/" + id(99), status: 404},
		{name: "alarm-acknowledged", method: "POST", path: "/alarms/" + id(1) + "/acknowledge", body: `{"comment":"on my way"}`, status: 200, times: true},
		{name: "alarm-acknowledged-bare", method: "POST", path: "/alarms/" + id(2) + "/acknowledge", status: 200, times: true},
		{name: "alarm-acknowledged-unknown", method: "POST", path: "/alarms/" + id(99) + "/acknowledge", body: `{}`, status: 404},
		{name: "alarm-commented", method: "POST", path: "/alarms/" + id(1) + "/comment", body: `{"comment":"cable hot"}`, status: 200, times: true},
		{name: "alarm-commented-empty", method: "POST", path: "/alarms/" + id(1) + "/comment", body: `{"comment":""}`, status: 422},
		{name: "alarm-history", path: "/alarms/" + id(1), status: 200, times: true},
		{name: "cameras", path: "/sheds/shed-1/cameras", status: 200, times: true},
		{name: "cameras-none", path: "/sheds/shed-2/cameras", status: 200},
		{name: "cameras-unknown-shed", path: "/sheds/shed-9/cameras", status: 404},
		{name: "snapshot-unknown", path: "/sheds/shed-1/cameras/c3/snapshot", status: 404},
		{name: "snapshot-replaced", path: "/sheds/shed-1/cameras/c1/snapshot?id=" + id(1), status: 404},
		{name: "evidence-unknown", path: "/alarms/" + id(1) + "/evidence/7", status: 404},
		{name: "command", method: "POST", path: "/sheds/shed-1/commands", body: `{"kind":"stop","args":{"outlet":3}}`, status: 200},
		{name: "command-refused", method: "POST", path: "/sheds/shed-1/commands", body: `{"kind":"reset_trip","args":{"outlet":3}}`, status: 200},
		{name: "command-offline", method: "POST", path: "/sheds/shed-2/commands", body: `{"kind":"stop","args":{"outlet":3}}`, status: 409},
		{name: "command-veto", method: "POST", path: "/sheds/shed-1/commands", body: `{"kind":"veto_suppression","args":{}}`, status: 200},
		{name: "command-veto-reset", method: "POST", path: "/sheds/shed-1/commands", body: `{"kind":"veto_suppression","args":{"reset":true}}`, status: 200},
		{name: "command-silence", method: "POST", path: "/sheds/shed-1/commands", body: `{"kind":"silence_siren"}`, status: 200},
		{name: "command-self-test", method: "POST", path: "/sheds/shed-1/commands", body: `{"kind":"self_test"}`, status: 200},
		{name: "command-bad", method: "POST", path: "/sheds/shed-1/commands", body: `{"kind":"STOP","args":[],"hurry":true}`, status: 422},
		{name: "command-no-json", method: "POST", path: "/sheds/shed-1/commands", body: `{`, status: 400},
		{name: "series", path: "/sheds/shed-1/series?field=watts&outlet=3&from=2026-03-01T12:00:00Z&to=2026-03-01T13:00:00Z&points=60", status: 200},
		{name: "series-bad-span", path: "/sheds/shed-1/series?field=watts&from=2026-03-01T13:00:00Z&to=2026-03-01T12:00:00Z", status: 400},
		{name: "series-bad", path: "/sheds/shed-1/series?measurement=moon&outlet=999&from=yesterday", status: 422},
		{name: "series-unknown-shed", path: "/sheds/shed-9/series?field=watts", status: 404},
		{name: "dead-letters", path: "/dead-letters", status: 200},
		{name: "dead-letters-bad-cursor", path: "/dead-letters?cursor=x", status: 400},
		{name: "alarms-of-subject", path: "/alarms?shed=shed-1&subject=outlet%2F3&from=2026-03-01T12:30:00Z&to=2026-03-01T13:30:00Z&state=cleared", status: 200},
		{name: "alarms-before", path: "/alarms?to=2026-03-01T12:00:00Z", status: 200},
		{name: "alarms-bad-span", path: "/alarms?from=2026-03-01T13:00:00Z&to=2026-03-01T12:00:00Z", status: 400},
		{name: "alarms-acknowledged", method: "POST", path: "/alarms/acknowledge", body: `{"ids":["` + id(2) + `","` + id(99) + `","` + id(3) + `"],"comment":"all seen"}`, status: 200, times: true},
		{name: "alarms-acknowledged-bad", method: "POST", path: "/alarms/acknowledge", body: `{"ids":[],"comment":7}`, status: 422},
		{name: "alarms-acknowledged-twice", method: "POST", path: "/alarms/acknowledge", body: `{"ids":["x","x"]}`, status: 422},
		{name: "shed-events", path: "/sheds/shed-1/events", status: 200, times: true},
		{name: "shed-events-paged", path: "/sheds/shed-2/events?limit=1", status: 200, times: true},
		{name: "shed-events-bad-cursor", path: "/sheds/shed-1/events?cursor=x", status: 400},
		{name: "shed-events-unknown-shed", path: "/sheds/shed-9/events", status: 404},
		{name: "prom-elsewhere", path: "/prom/query?query=up", status: 404},
		{name: "notify", path: "/notify", status: 200},
		{name: "notify-test-unknown", method: "POST", path: "/notify/test", body: `{"name":"nobody"}`, status: 404},
		{name: "notify-test-bad", method: "POST", path: "/notify/test", body: `{"name":""}`, status: 422},
		{name: "deliveries", path: "/notify/deliveries?alarm=" + id(1) + "&person=duty", status: 200},
		{name: "deliveries-bad-cursor", path: "/notify/deliveries?cursor=x", status: 400},
		{name: "audit", path: "/audit", status: 200, times: true},
		{name: "no-such-path", path: "/moon", status: 404},
		{name: "no-such-method", method: "DELETE", path: "/sheds/shed-1", status: 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.method == "" {
				tt.method = http.MethodGet
			}
			status, body, header := r.do(t, tt.method, "/api/v1"+tt.path, tt.body)
			if status != tt.status {
				t.Errorf("status %d, want %d: %s", status, tt.status, body)
			}
			want := "application/json"
			if tt.status >= 400 {
				want = "application/problem+json"
			}
			if got := header.Get("Content-Type"); got != want {
				t.Errorf("content type %q, want %q", got, want)
			}
			if tt.times {
				body = now.ReplaceAllStringFunc(body, func(s string) string {
					if strings.HasPrefix(s, `"2026-03-01T1`) {
						return s
					}
					return `"NOW"`
				})
				body = regexp.MustCompile(`"address":"[^"]*"`).ReplaceAllString(body, `"address":"HERE"`)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, []byte(body), "", "  "); err != nil {
				t.Fatalf("%v: %s", err, body)
			}
			golden := filepath.Join("testdata", tt.name+".json")
			if *update {
				if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			b, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(b), pretty.String()); d != "" {
				t.Errorf("(-golden +got):\n%s", d)
			}
		})
	}
	if q := r.store.asked; q.Tags["shed"] != "shed-1" || q.Tags["outlet"] != "3" || q.Field != "watts" || q.Points != 60 {
		t.Errorf("store was asked %+v", q)
	}
	if _, body, header := r.do(t, http.MethodGet, "/api/v1/alarms/"+id(1)+"/evidence/0", ""); body != "\xff\xd8jpeg" || header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("evidence: %q %v", body, header)
	}
}

func TestCommandFailures(t *testing.T) {
	tests := map[string]struct {
		err    error
		status int
		text   string
	}{
		"no link":  {fmt.Errorf("x: %w", api.ErrNotConnected), 503, "nothing was sent"},
		"no reply": {fmt.Errorf("x: %w", api.ErrNoReply), 504, "whether it acted is not known"},
		"late":     {context.DeadlineExceeded, 504, "whether it acted is not known"},
		"broken":   {errors.New("secret detail"), 500, "internal error"},
	}
	r := newRig(t, nil)
	r.fill(t)
	r.login(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r.reply = func(context.Context, string, shedguard.Command) (shedguard.Reply, error) {
				return shedguard.Reply{}, tt.err
			}
			status, body, _ := r.do(t, http.MethodPost, "/api/v1/sheds/shed-1/commands", `{"kind":"stop"}`)
			if status != tt.status || !strings.Contains(body, tt.text) || strings.Contains(body, "secret") {
				t.Errorf("%d %s, want %d with %q", status, body, tt.status, tt.text)
			}
		})
	}
	if !strings.Contains(r.log.String(), "secret detail") {
		t.Error("what is not the client's doing was not logged")
	}
	r.store.err = errors.New("disk on fire")
	if status, body, _ := r.do(t, http.MethodGet, "/api/v1/sheds/shed-1", ""); status != 500 || strings.Contains(body, "fire") {
		t.Errorf("store fault: %d %s", status, body)
	}
}

// Without every quantity of it there is no feeder: a limit that is missing must
// not look like one of 0 W.
func TestFeederOfAShed(t *testing.T) {
	tests := map[string]struct {
		change func(f []series.Latest) []series.Latest
		want   string
	}{
		"whole":                {func(f []series.Latest) []series.Latest { return f }, `{"watts":3520.5,"committed_watts":4100,"soft_watts":5000,"hard_watts":6000,"refusing":true,"waiting":2,"shed":1,"at":"2026-03-01T12:00:01Z"}`},
		"nothing refused":      {func(f []series.Latest) []series.Latest { f[5].Value = 0; return f }, `{"watts":3520.5,"committed_watts":4100,"soft_watts":5000,"hard_watts":6000,"refusing":false,"waiting":2,"shed":1,"at":"2026-03-01T12:00:01Z"}`},
		"never heard":          {func([]series.Latest) []series.Latest { return nil }, "null"},
		"a limit is absent":    {func(f []series.Latest) []series.Latest { return slices.Delete(f, 4, 5) }, "null"},
		"not a number":         {func(f []series.Latest) []series.Latest { f[0].Value = math.NaN(); return f }, "null"},
		"half an outlet":       {func(f []series.Latest) []series.Latest { f[6].Value = 0.5; return f }, "null"},
		"more than a shed has": {func(f []series.Latest) []series.Latest { f[7].Value = 257; return f }, "null"},
	}
	r := newRig(t, nil)
	r.fill(t)
	r.login(t)
	r.fillFeeder()
	whole := r.store.feeder
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r.store.feeder = tt.change(slices.Clone(whole))
			var got struct{ Feeder json.RawMessage }
			status, body, _ := r.do(t, http.MethodGet, "/api/v1/sheds/shed-1", "")
			if err := json.Unmarshal([]byte(body), &got); status != 200 || err != nil || string(got.Feeder) != tt.want {
				t.Errorf("%d %s, %v, want %s", status, got.Feeder, err, tt.want)
			}
		})
	}
}

func TestNotifyTest(t *testing.T) {
	r := newRig(t, nil)
	r.login(t)
	r.sender.err = errors.New("the service answered 403")
	if status, body, _ := r.do(t, http.MethodPost, "/api/v1/notify/test", `{"name":"desk"}`); status != 502 || !strings.Contains(body, "channel desk: the service answered 403") {
		t.Errorf("a channel that refuses: %d %s", status, body)
	}
	r.sender.err = nil
	if status, body, _ := r.do(t, http.MethodPost, "/api/v1/notify/test", `{"name":"duty"}`); status != 204 {
		t.Errorf("a person: %d %s", status, body)
	}
	var log struct {
		Deliveries []book.Delivery
	}
	_, body, _ := r.do(t, http.MethodGet, "/api/v1/notify/deliveries?limit=2", "")
	if err := json.Unmarshal([]byte(body), &log); err != nil {
		t.Fatal(err)
	}
	if d := log.Deliveries; len(d) != 2 || d[0].Person != "duty" || d[0].State != book.DeliverySent || d[1].State != book.DeliveryFailed || d[1].Log[0].Error == "" {
		t.Errorf("log: %s", body)
	}
	trail, err := r.book.AuditTrail(t.Context(), 1)
	if err != nil || trail[0].Deed != "notify_test" || trail[0].Target != "duty" {
		t.Errorf("audit trail %+v, %v", trail, err)
	}
}

func TestWithoutLogin(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t)
	for _, path := range []string{"/me", "/sheds", "/sheds/shed-1", "/sheds/shed-9", "/alarms", "/alarms/" + id(1), "/stream", "/dead-letters", "/audit", "/notify", "/notify/deliveries", "/prom/query", "/sheds/shed-1/events", "/sheds/shed-1/cameras", "/sheds/shed-1/cameras/c1/snapshot", "/alarms/" + id(1) + "/evidence/0", "/sheds/shed-1/series?field=watts"} {
		if status, body, _ := r.do(t, http.MethodGet, "/api/v1"+path, ""); status != http.StatusUnauthorized || !strings.Contains(body, "log in first") {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/logout", "/alarms/" + id(1) + "/acknowledge", "/alarms/" + id(1) + "/comment", "/sheds/shed-1/commands", "/notify/test", "/alarms/acknowledge", "/prom/query"} {
		if status, body, _ := r.do(t, http.MethodPost, "/api/v1"+path, `{"kind":"stop","comment":"x"}`); status != http.StatusUnauthorized {
			t.Errorf("POST %s: %d %s", path, status, body)
		}
	}
	if status, _, _ := r.do(t, http.MethodGet, "/api/v1/me", "", "Cookie", "shedguard_session=made-up"); status != http.StatusUnauthorized {
		t.Errorf("a made-up session: %d", status)
	}
}

func TestLogin(t *testing.T) {
	r := newRig(t, nil)
	_, _, header := r.do(t, http.MethodPost, "/api/v1/login", `{"user":"admin","password":"`+password+`"}`)
	cookie := header.Get("Set-Cookie")
	for _, want := range []string{"shedguard_session=", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q lacks %q", cookie, want)
		}
	}
	if status, _, _ := r.do(t, http.MethodGet, "/api/v1/me", ""); status != 200 {
		t.Errorf("me after login: %d", status)
	}
	stolen, _, _ := strings.Cut(cookie, ";")
	if status, body, _ := r.do(t, http.MethodPost, "/api/v1/logout", ""); status != 204 {
		t.Errorf("logout: %d %s", status, body)
	}
	if status, _, _ := r.do(t, http.MethodGet, "/api/v1/me", "", "Cookie", stolen); status != 401 {
		t.Errorf("the ended session still works: %d", status)
	}
	trail, err := r.book.AuditTrail(t.Context(), 10)
	if err != nil || len(trail) != 2 || trail[0].Deed != "logout" || trail[1].Deed != "login" || trail[1].Address != "127.0.0.1" {
		t.Errorf("audit trail %+v, %v", trail, err)
	}
}

func TestLoginIsLimited(t *testing.T) {
	r := newRig(t, nil)
	wrong := func(user, from string) (int, http.Header) {
		status, _, header := r.do(t, http.MethodPost, "/api/v1/login", `{"user":"`+user+`","password":"wrong"}`, "X-Forwarded-For", from)
		return status, header
	}
	for i := range 10 {
		if status, _ := wrong("admin", fmt.Sprintf("10.0.0.%d", i)); status != 401 {
			t.Fatalf("attempt %d: %d", i, status)
		}
	}
	status, header := wrong("admin", "10.0.1.1")
	if status != 429 || header.Get("Retry-After") == "" {
		t.Errorf("eleventh attempt on one user: %d, Retry-After %q", status, header.Get("Retry-After"))
	}
	if status, _, _ := r.do(t, http.MethodPost, "/api/v1/login", `{"user":"admin","password":"`+password+`"}`, "X-Forwarded-For", "10.0.1.2"); status != 429 {
		t.Errorf("the right password while limited: %d", status)
	}
	for i := range 30 {
		wrong(fmt.Sprint("user", i), "10.9.9.9")
	}
	if status, _ := wrong("another", "10.9.9.9"); status != 429 {
		t.Errorf("thirty-first attempt from one address: %d", status)
	}
	if status, _ := wrong("another", "10.9.9.8"); status != 401 {
		t.Errorf("another address: %d", status)
	}
}

func TestGuard(t *testing.T) {
	r := newRig(t, nil)
	r.login(t)
	t.Run("another site", func(t *testing.T) {
		for _, h := range [][]string{{"Origin", "https://evil.example"}, {"Sec-Fetch-Site", "cross-site"}} {
			if status, body, header := r.do(t, http.MethodPost, "/api/v1/logout", "", h...); status != 403 || header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s: %d %s", h, status, body)
			}
		}
	})
	t.Run("headers", func(t *testing.T) {
		_, _, h := r.do(t, http.MethodGet, "/api/v1/me", "")
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin",
		} {
			if !strings.Contains(h.Get(name), want) {
				t.Errorf("%s: %q, want %q", name, h.Get(name), want)
			}
		}
	})
	t.Run("long body", func(t *testing.T) {
		body := `{"user":"` + strings.Repeat("x", 64<<10) + `","password":"x"}`
		if status, _, _ := r.do(t, http.MethodPost, "/api/v1/login", body); status != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d, want 413", status)
		}
	})
	t.Run("panic", func(t *testing.T) {
		r.fill(t)
		r.reply = func(context.Context, string, shedguard.Command) (shedguard.Reply, error) { panic("boom") }
		if status, body, _ := r.do(t, http.MethodPost, "/api/v1/sheds/shed-1/commands", `{"kind":"stop"}`); status != 500 || strings.Contains(body, "boom") {
			t.Errorf("%d %s", status, body)
		}
		if !strings.Contains(r.log.String(), "boom") {
			t.Error("the panic was not logged")
		}
	})
}

func TestHealthMetricsOpenAPI(t *testing.T) {
	r := newRig(t, nil)
	if status, body, _ := r.do(t, http.MethodGet, "/healthz", ""); status != 200 || !strings.Contains(body, `"ok":true`) {
		t.Errorf("healthy: %d %s", status, body)
	}
	r.health = map[string]error{"book": errors.New("disk full"), "broker": nil}
	if status, body, _ := r.do(t, http.MethodGet, "/healthz", ""); status != 503 || !strings.Contains(body, "disk full") || strings.Contains(body, "broker") {
		t.Errorf("ill: %d %s", status, body)
	}
	r.login(t)
	if status, body, _ := r.do(t, http.MethodGet, "/metrics", ""); status != 200 ||
		!strings.Contains(body, `shedcloud_logins_total{outcome="ok"} 1`) || !strings.Contains(body, `route="/api/v1/login",status="204"`) {
		t.Errorf("metrics: %d %s", status, body)
	}
	if status, _, _ := r.do(t, http.MethodGet, "/metrics", "", "X-Forwarded-For", "10.0.0.1"); status != 403 {
		t.Errorf("metrics through a proxy: %d", status)
	}
	status, body, _ := r.do(t, http.MethodGet, "/openapi.json", "")
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != 200 || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("openapi: %d %v", status, err)
	}
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var documented, described []string
	for _, found := range regexp.MustCompile(`(?m)(GET|POST|PATCH) +(/\S+)`).FindAllStringSubmatch(string(source), -1) {
		documented = append(documented, strings.ToLower(found[1])+" /api/v1"+found[2])
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			described = append(described, method+" "+path)
			if readable := strings.Contains(fmt.Sprint(op), "token"); readable != (method == "get") {
				t.Errorf("%s %s: a token may use it: %v", method, path, readable)
			}
		}
	}
	slices.Sort(documented)
	slices.Sort(described)
	if d := cmp.Diff(documented, described); d != "" {
		t.Errorf("paths (-doc.go +openapi):\n%s", d)
	}
}

// token makes one and returns its header.
func (r *rig) token(t *testing.T, name string) string {
	t.Helper()
	token := auth.NewToken()
	hash, _ := auth.HashToken(token)
	if err := r.book.AddToken(t.Context(), book.Token{Name: name, Hash: hash, Scope: book.ScopeRead, CreatedAt: noon, CreatedBy: "root"}); err != nil {
		t.Fatal(err)
	}
	return "Bearer " + token
}

// A token reads what is not for admins, and nothing else.
func TestToken(t *testing.T) {
	r := newRig(t, nil)
	r.fill(t)
	grafana := r.token(t, "grafana")
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/v1/me", "", 200},
		{"GET", "/api/v1/sheds", "", 200},
		{"GET", "/api/v1/alarms", "", 200},
		{"GET", "/api/v1/prom/query?query=up", "", 200},
		{"POST", "/api/v1/prom/api/v1/query", "", 200},
		{"GET", "/api/v1/audit", "", 403},
		{"GET", "/api/v1/notify", "", 403},
		{"GET", "/api/v1/notify/deliveries", "", 403},
		{"POST", "/api/v1/notify/test", `{"name":"duty"}`, 403},
		{"POST", "/api/v1/alarms/" + id(1) + "/acknowledge", `{}`, 403},
		{"POST", "/api/v1/alarms/acknowledge", `{"ids":["` + id(1) + `"]}`, 403},
		{"POST", "/api/v1/sheds/shed-1/commands", `{"kind":"stop"}`, 403},
		{"PATCH", "/api/v1/sheds/shed-1", `{"name":"x"}`, 403},
		{"POST", "/api/v1/logout", "", 403},
	} {
		if status, body, _ := r.do(t, tt.method, tt.path, tt.body, "Authorization", grafana); status != tt.status {
			t.Errorf("%s %s: %d %s, want %d", tt.method, tt.path, status, body, tt.status)
		}
	}
	_, body, _ := r.do(t, http.MethodGet, "/api/v1/me", "", "Authorization", grafana)
	if !strings.Contains(body, `"user":"token grafana"`) || !strings.Contains(body, `"role":"reader"`) {
		t.Errorf("me: %s", body)
	}
	if _, body, _ := r.do(t, http.MethodGet, "/api/v1/prom/api/v1/query?query=up", "", "Authorization", grafana); body != "/api/v1/query?query=up" {
		t.Errorf("prom was asked %q", body)
	}
	if all, err := r.book.Tokens(t.Context()); err != nil || time.Since(all[0].LastUsed) > time.Minute {
		t.Errorf("last use: %+v, %v", all, err)
	}
	if err := r.book.RevokeToken(t.Context(), "grafana", "root", noon); err != nil {
		t.Fatal(err)
	}
	if status, _, header := r.do(t, http.MethodGet, "/api/v1/sheds", "", "Authorization", grafana); status != 401 || header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("revoked: %d", status)
	}
}

// Who tries tokens is held back, and fills neither the book nor the log; who
// has one is not.
func TestBadTokensAreLimited(t *testing.T) {
	r := newRig(t, nil)
	good := r.token(t, "grafana")
	r.login(t)
	bad := []string{"Bearer " + auth.NewToken(), "Bearer", "Bearer x", "bearer  " + strings.Repeat("y", 9000), good[:len(good)-1]}
	paths := []string{"/api/v1/sheds", "/api/v1/prom/query"}
	for i := range 30 {
		if status, body, _ := r.do(t, http.MethodGet, paths[i%2], "", "Authorization", bad[i%len(bad)]); status != 401 || !strings.Contains(body, "token is not known") {
			t.Fatalf("attempt %d with %q: %d %s", i, bad[i%len(bad)], status, body)
		}
	}
	for _, path := range paths {
		if status, body, header := r.do(t, http.MethodGet, path, "", "Authorization", bad[0]); status != 429 || header.Get("Retry-After") == "" || header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("one too many on %s: %d %s", path, status, body)
		}
		if status, body, _ := r.do(t, http.MethodGet, path, "", "Authorization", good); status != 200 {
			t.Errorf("the good one on %s: %d %s", path, status, body)
		}
		if status, _, _ := r.do(t, http.MethodGet, path, "", "Authorization", bad[0], "X-Forwarded-For", "10.0.0.7"); status != 401 {
			t.Errorf("another address on %s: %d", path, status)
		}
	}
	trail, err := r.book.AuditTrail(t.Context(), 500)
	if err != nil || len(trail) != 34 || trail[0].Deed != "token_refused" || trail[0].Address != "10.0.0.7" {
		t.Errorf("%d deeds, %v", len(trail), err)
	}
	if status, _, _ := r.do(t, http.MethodGet, "/api/v1/sheds", "", "Authorization", "Basic YTpi"); status != 200 {
		t.Errorf("a session with what is for a proxy in front: %d", status)
	}
	for _, secret := range []string{bad[0], good} {
		if strings.Contains(r.log.String(), strings.TrimPrefix(secret, "Bearer ")) {
			t.Error("a token is in the log")
		}
	}
}

// Long answers are compressed for who takes that; the stream never is.
func TestCompression(t *testing.T) {
	long := strings.Repeat("long enough ", 500)
	r := newRig(t, fstest.MapFS{"index.html": {Data: []byte("<!doctype html>" + long)}, "assets/a-1.js": {Data: []byte("//" + long)}, "assets/b-1.js": {Data: []byte("1")}})
	r.fill(t)
	r.login(t)
	for path, want := range map[string]string{"/": "gzip", "/assets/a-1.js": "gzip", "/assets/b-1.js": "", "/api/v1/alarms": "gzip", "/api/v1/me": ""} {
		_, plain, header := r.do(t, http.MethodGet, path, "", "Accept-Encoding", "identity")
		if header.Get("Content-Encoding") != "" {
			t.Errorf("%s: not asked for: %q", path, header.Get("Content-Encoding"))
		}
		_, body, header := r.do(t, http.MethodGet, path, "", "Accept-Encoding", "gzip, br")
		if got := header.Get("Content-Encoding"); got != want {
			t.Errorf("%s: encoding %q, want %q", path, got, want)
			continue
		}
		if want == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(z)
			if err != nil || string(b) != plain || len(body) >= len(plain) || !strings.Contains(header.Get("Vary"), "Accept-Encoding") {
				t.Errorf("%s: %d bytes of %d, Vary %q, %v", path, len(body), len(plain), header.Get("Vary"), err)
			}
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.URL+"/api/v1/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip")
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if res.Header.Get("Content-Encoding") != "" {
		t.Error("the stream is compressed")
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestPage(t *testing.T) {
	built := fstest.MapFS{
		"index.html":       {Data: []byte("<!doctype html>page")},
		"first.js":         {Data: []byte("first")},
		"assets/a-1234.js": {Data: []byte("asset")},
	}
	tests := map[string]struct {
		path, body, cache string
		status            int
	}{
		"root":                 {"/", "page", "no-cache", 200},
		"a place in the page":  {"/sheds/shed-1?x=1", "page", "no-cache", 200},
		"index by name":        {"/index.html", "page", "no-cache", 200},
		"a file":               {"/first.js", "first", "no-cache", 200},
		"an asset":             {"/assets/a-1234.js", "asset", "public, max-age=31536000, immutable", 200},
		"a missing asset":      {"/assets/a-0000.js", "not found", "", 404},
		"the folder of assets": {"/assets/", "page", "no-cache", 200},
		"out of the folder":    {"/..%2f..%2fetc/passwd", "page", "no-cache", 200},
	}
	r := newRig(t, built)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			status, body, header := r.do(t, http.MethodGet, tt.path, "")
			if status != tt.status || !strings.Contains(body, tt.body) || header.Get("Cache-Control") != tt.cache {
				t.Errorf("%d %q %q, want %+v", status, body, header.Get("Cache-Control"), tt)
			}
		})
	}
	without := newRig(t, nil)
	if status, body, _ := without.do(t, http.MethodGet, "/", ""); status != 404 || !strings.Contains(body, "without its page") {
		t.Errorf("without a build: %d %s", status, body)
	}
}

// stream opens the stream and returns a reader of its events.
func (r *rig) stream(t *testing.T, after string) (next func() map[string]string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL+"/api/v1/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if after != "" {
		req.Header.Set("Last-Event-ID", after)
	}
	res, err := r.client.Do(req) //nolint:bodyclose // stop does
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("stream: %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	lines := bufio.NewScanner(res.Body)
	next = func() map[string]string {
		e := map[string]string{}
		for lines.Scan() {
			if lines.Text() == "" {
				return e
			}
			key, value, _ := strings.Cut(lines.Text(), ": ")
			e[key] = value
		}
		return nil // the end
	}
	return next, func() {
		cancel()
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestStream(t *testing.T) {
	r := newRig(t, nil)
	r.login(t)
	next, stop := r.stream(t, "")
	start := next()["id"]
	if start != fmt.Sprint(r.feed.Last()) {
		t.Errorf("the stream begins at %q, want %d", start, r.feed.Last())
	}
	r.feed.Publish(live.Change{Kind: live.KindAlarm, Shed: "s", Data: map[string]string{"alarm_id": "x", "text": "two\nlines"}})
	first := next()
	want := map[string]string{"id": fmt.Sprint(r.feed.Last()), "event": "alarm", "data": `{"alarm_id":"x","text":"two\nlines"}`}
	if d := cmp.Diff(want, first); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	stop()
	r.feed.Publish(live.Change{Kind: live.KindShed, Data: 1})
	next, stop = r.stream(t, first["id"])
	next()
	if e := next(); e["event"] != "shed" || e["data"] != "1" {
		t.Errorf("resumed with %v", e)
	}
	stop()
	for _, old := range []string{"5", "not-a-number"} {
		next, stop = r.stream(t, old)
		next()
		if e := next(); e["event"] != "reset" || e["id"] != fmt.Sprint(r.feed.Last()) {
			t.Errorf("after %s: %v, want reset", old, e)
		}
		stop()
	}
	next, stop = r.stream(t, "")
	defer stop()
	next()
	r.api.EndStreams()
	if e := next(); e != nil {
		t.Errorf("after the end: %v", e)
	}
}

// A client that does not read cannot hold the publisher, only itself.
func TestStreamOfASlowReader(t *testing.T) {
	r := newRig(t, nil)
	r.login(t)
	_, stop := r.stream(t, "")
	defer stop()
	big := strings.Repeat("x", 64<<10)
	for range 1000 {
		r.feed.Publish(live.Change{Kind: live.KindAlarm, Data: big})
	}
}

func FuzzRequests(f *testing.F) {
	r := newRig(f, nil)
	r.fill(f)
	r.login(f)
	r.reply = func(_ context.Context, _ string, c shedguard.Command) (shedguard.Reply, error) {
		if err := c.Validate(); err != nil {
			return shedguard.Reply{}, err
		}
		return shedguard.Reply{ID: c.ID, OK: true}, nil
	}
	f.Add("/api/v1/login", "", `{"user":"admin","password":"x"}`)
	f.Add("/api/v1/sheds/shed-1/commands", "", `{"kind":"stop","args":{"outlet":1e999}}`)
	f.Add("/api/v1/alarms/"+id(1)+"/comment", "", `{"comment":"\ud800"}`)
	f.Add("/api/v1/alarms", "state=open&cursor=9223372036854775807&limit=1", "")
	f.Add("/api/v1/sheds/shed-1/series", "field=watts&from=0000-01-01T00:00:00Z&to=9999-12-31T23:59:59Z&points=1", "")
	f.Add("/api/v1/sheds/%00", "", "")
	f.Add("/assets/%2e%2e/x", "", "")
	jarCookies := r.client.Jar.Cookies(must(f, r.URL))
	f.Fuzz(func(t *testing.T, path, query, body string) {
		if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/stream") {
			t.Skip("not a path, or one that does not end")
		}
		method := http.MethodGet
		if body != "" {
			method = http.MethodPost
		}
		req, err := http.NewRequestWithContext(t.Context(), method, "http://x/", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path, req.URL.RawQuery = path, query
		req.RemoteAddr = "127.0.0.1:1"
		req.Header.Set("Content-Type", "application/json")
		for _, c := range jarCookies {
			req.AddCookie(c)
		}
		w := httptest.NewRecorder()
		r.api.ServeHTTP(w, req)
		if w.Code >= 500 {
			t.Errorf("%s %s?%s %q: %d %s\n%s", method, path, query, body, w.Code, w.Body, r.log)
		}
	})
}

func must(tb testing.TB, address string) *url.URL {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}
