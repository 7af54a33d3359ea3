package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/shedguard/shedguard"
)

const (
	user     = "admin"
	password = "correct horse battery"
	// faultOutlet is where the scenarios' faults happen.
	faultOutlet = 3
)

// collector is a shedcloud and its API, with somebody logged in.
type collector struct {
	*program
	*client
	broker string // host:port of the embedded broker; empty without one
}

// startCollector runs shedcloud with a configuration; ports 0 are free ones.
// The caller may start it again on the same dir after its end.
func startCollector(t *testing.T, dir, config string) *collector {
	t.Helper()
	file, secret := filepath.Join(dir, "shedcloud.yaml"), filepath.Join(dir, "password")
	config = fmt.Sprintf("data: %q\nhttp: {listen: '127.0.0.1:0'}\n%s", filepath.Join(dir, "data"), config)
	for path, text := range map[string]string{file: config, secret: password + "\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, "shedcloud", "--log-format", "json", "serve", "--config", file, "--admin-password-file", secret)
	c := &collector{program: p, client: newClient(t, p.awaitLog(t, "serving", "page"))}
	if strings.Contains(config, "\nbroker:") {
		c.broker = p.awaitLog(t, "broker listens", "address")
	}
	until(t, "shedcloud is healthy", func() bool { return c.try(t, http.MethodGet, "/healthz", nil, nil) == nil })
	if err := c.try(t, http.MethodPost, "/api/v1/login", map[string]string{"user": user, "password": password}, nil); err != nil {
		t.Fatal(err)
	}
	return c
}

// beside is the configuration of a collector beside a broker.
func beside(broker string) string { return fmt.Sprintf("mqtt: {url: 'tcp://%s'}\n", broker) }

// withBroker is the configuration of a collector with its own broker.
const withBroker = "broker: {listen: '127.0.0.1:0', trust_loopback: true}\n"

// alarm is what the API says of an alarm.
type alarm struct {
	ID       string    `json:"alarm_id"`
	Shed     string    `json:"shed"`
	Subject  string    `json:"subject"`
	Cause    string    `json:"cause"`
	State    string    `json:"state"`
	RaisedAt time.Time `json:"raised_at"`
	Value    float64   `json:"value"`
	History  []struct {
		Type string `json:"type"`
	} `json:"history"`
}

// alarms are all alarms of a shed, over all pages.
func (c *collector) alarms(t *testing.T, shed string) (all []alarm) {
	t.Helper()
	for cursor := ""; ; {
		var page struct {
			Alarms []alarm
			Next   string
		}
		c.get(t, "/api/v1/alarms?"+url.Values{"shed": {shed}, "limit": {"500"}, "cursor": {cursor}}.Encode(), &page)
		all = append(all, page.Alarms...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// find are the alarms of a shed with that cause.
func (c *collector) find(t *testing.T, shed string, cause shedguard.Cause) (found []alarm) {
	t.Helper()
	for _, a := range c.alarms(t, shed) {
		if a.Cause == string(cause) {
			found = append(found, a)
		}
	}
	return found
}

// history are the types of what happened to an alarm, oldest first.
func (c *collector) history(t *testing.T, id string) (types []string) {
	t.Helper()
	var a alarm
	c.get(t, "/api/v1/alarms/"+id, &a)
	for _, h := range a.History {
		types = append(types, h.Type)
	}
	return types
}

// shedState is the state of a shed's gateway; empty for an unknown shed.
func (c *collector) shedState(t *testing.T, shed string) string {
	t.Helper()
	var s struct{ State string }
	if err := c.try(t, http.MethodGet, "/api/v1/sheds/"+shed, nil, &s); err != nil {
		return ""
	}
	return s.State
}

// sample is one stored value.
type sample struct {
	at    time.Time
	value float64
}

// widest is the longest span that one question can ask of to the millisecond.
const widest = 10 * time.Second

// samples are the stored values of a field from one time to another, each at
// its own millisecond, by outlet.
func (c *collector) samples(t *testing.T, shed, field string, from, to time.Time) map[int][]sample {
	t.Helper()
	found := make(map[int][]sample)
	for from = from.Truncate(time.Millisecond); from.Before(to); from = from.Add(widest) {
		var got struct {
			StepMS int64 `json:"step_ms"`
			Series []struct {
				Tags   map[string]string
				Points [][4]float64
			}
		}
		c.get(t, fmt.Sprintf("/api/v1/sheds/%s/series?%s", shed, url.Values{
			"field": {field}, "points": {"10000"},
			"from": {from.UTC().Format(time.RFC3339Nano)}, "to": {from.Add(widest).UTC().Format(time.RFC3339Nano)},
		}.Encode()), &got)
		if got.StepMS != 1 {
			t.Fatalf("series in steps of %d ms, want 1", got.StepMS)
		}
		for _, s := range got.Series {
			outlet, err := strconv.Atoi(s.Tags["outlet"])
			if err != nil {
				t.Fatalf("series with tags %v", s.Tags)
			}
			for _, p := range s.Points {
				if p[1] != p[3] {
					t.Fatalf("two values in one millisecond: %v", p)
				}
				found[outlet] = append(found[outlet], sample{time.UnixMilli(int64(p[0])), p[2]})
			}
		}
	}
	return found
}

// count asks in PromQL how many values of a metric a shed has in the store.
func (c *collector) count(t *testing.T, shed, metric string) int {
	t.Helper()
	var got struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	q := fmt.Sprintf("sum(count_over_time(%s{shed=%q}[1h]))", metric, shed)
	c.get(t, "/api/v1/prom/api/v1/query?"+url.Values{"query": {q}}.Encode(), &got)
	if len(got.Data.Result) == 0 {
		return 0
	}
	n, err := strconv.Atoi(fmt.Sprint(got.Data.Result[0].Value[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// gateway is a shedguard on a simulated shed and its local page.
type gateway struct {
	*program
	*client
	dir string
}

// startGateway runs shedguard on the board and the state of dir.
func startGateway(t *testing.T, dir, shed, broker, scenario string, args ...string) *gateway {
	t.Helper()
	p := start(t, "shedguard", append([]string{
		"--log-format", "json", "run", "--sim", "--scenario", scenario, "--shed", shed,
		"--broker", broker, "--state", dir, "--status", "127.0.0.1:0",
	}, args...)...)
	return &gateway{program: p, client: newClient(t, "http://"+p.awaitLog(t, "gateway started", "status")), dir: dir}
}

func (g *gateway) state(t *testing.T) (s shedguard.ShedState) {
	t.Helper()
	g.get(t, "/api/v1/state", &s)
	return s
}

// awaitAlarm waits until the gateway itself has an alarm of that cause open.
func (g *gateway) awaitAlarm(t *testing.T, cause shedguard.Cause) (found shedguard.Alarm) {
	t.Helper()
	until(t, fmt.Sprintf("the gateway raises %s", cause), func() bool {
		s := g.state(t)
		i := slices.IndexFunc(s.Alarms, func(a shedguard.Alarm) bool { return a.Cause == cause })
		if i >= 0 {
			found = s.Alarms[i]
		}
		return i >= 0
	})
	return found
}

// awaitKept waits until an alarm is on the gateway's disk. A page shows it a
// moment before, and a relay acts before that: neither waits for a disk.
func (g *gateway) awaitKept(t *testing.T, a *shedguard.Alarm) {
	t.Helper()
	until(t, fmt.Sprintf("alarm %s is on disk", a.ID), func() bool {
		return slices.ContainsFunc(g.logged(t, "alarm changed"), func(line map[string]any) bool { return line["alarm_id"] == a.ID })
	})
}

// awaitTrip waits until the overload has cut the fault's outlet, at the relay
// board's own latch.
func (g *gateway) awaitTrip(t *testing.T) shedguard.Alarm {
	t.Helper()
	a := g.awaitAlarm(t, shedguard.CauseOvercurrent)
	g.mustBeCut(t)
	return a
}

// mustBeCut looks at the program and, whoever drives it, at the relay board.
func (g *gateway) mustBeCut(t *testing.T) {
	t.Helper()
	if latch(t, g.dir)&(1<<(faultOutlet-1)) != 0 {
		t.Errorf("the board's output %d is on", faultOutlet)
	}
	// The view of an outlet may be a sample older than its alarm.
	until(t, "the outlet is shown tripped and open", func() bool {
		o := g.state(t).Outlets[faultOutlet-1]
		return o.State == shedguard.StateTripped && !o.Closed
	})
}

// latch is OLATA and OLATB of the simulated expander.
func latch(t *testing.T, dir string) uint16 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "board"))
	if err != nil {
		t.Fatal(err)
	}
	return uint16(b[0x14]) | uint16(b[0x15])<<8
}

// noHole checks that an outlet's values are never further apart than most.
func noHole(t *testing.T, what string, in []sample, from, to time.Time, most time.Duration) {
	t.Helper()
	last := from
	for _, s := range append(slices.Clone(in), sample{at: to}) {
		if s.at.Before(from) || s.at.After(to) {
			continue
		}
		if hole := s.at.Sub(last); hole > most {
			t.Errorf("%s: nothing for %s after %s", what, hole, last.Format(time.StampMilli))
		}
		last = s.at
	}
}

func outlets[V any](m map[int]V) []int { return slices.Sorted(maps.Keys(m)) }
