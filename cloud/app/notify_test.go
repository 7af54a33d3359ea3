package app_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/shedguard/shedguard"
	"github.com/shedguard/shedguard/cloud/app"
	"github.com/shedguard/shedguard/cloud/book"
	"github.com/shedguard/shedguard/cloud/notify"
	"github.com/shedguard/shedguard/cloud/notify/webhook"
)

// desk is a receiver of the signed webhook, as somebody else would write one.
type desk struct {
	secret []byte
	mu     sync.Mutex
	got    []webhook.Payload
	forged int
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var p webhook.Payload
	if err := errors.Join(err, webhook.Verify(r.Header, d.secret, body, time.Now()), json.Unmarshal(body, &p)); err != nil {
		d.mu.Lock()
		d.forged++
		d.mu.Unlock()
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.got = append(d.got, p)
}

// kinds lists the messages about an alarm.
func (d *desk) kinds(alarm string) (kinds []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.got {
		for j := range d.got[i].Alarms {
			if d.got[i].Alarms[j].ID == alarm {
				kinds = append(kinds, d.got[i].Kind)
			}
		}
	}
	return kinds
}

// tell makes a collector that tells one person over a signed webhook.
func (d *desk) tell(t *testing.T, o *app.Options, address string) {
	t.Helper()
	d.secret = []byte("a secret of more than 16 bytes")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, append(d.secret, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	o.Config.Notify = notify.Settings{
		BaseURL: "https://sheds.example.com", Resend: []time.Duration{10 * time.Second},
		Channels: []notify.Channel{{Name: "desk", Webhook: &notify.Webhook{URL: address, SecretFile: file}}},
		People:   []notify.Person{{Name: "duty", Language: notify.LanguageBoth, Channels: []string{"desk"}}},
		Routes:   []notify.Route{{Sheds: []string{"shed-*"}, Steps: []notify.Step{{People: []string{"duty"}}}}},
	}
}

// From a gateway's alarm to a signed message, and again until somebody
// acknowledges.
func TestFromGatewayToMessage(t *testing.T) {
	t.Parallel()
	d := &desk{}
	receiver := httptest.NewServer(d)
	defer receiver.Close()
	o := options(t.TempDir(), t.Output())
	d.tell(t, &o, receiver.URL+"/in")
	r := startWith(t, o)
	g := connect(t, r.BrokerAddr(), "shed-1")
	alarmID, ignored := ulid.Make().String(), ulid.Make().String()
	g.alarm(t, shedguard.EventAlarmRaised, alarmID, 1)
	r.until(t, "told", func() bool { return len(d.kinds(alarmID)) > 0 })
	d.mu.Lock()
	p := d.got[0]
	d.mu.Unlock()
	if p.Kind != "raised" || p.Person != "duty" || len(p.Alarms) != 1 || p.Alarms[0].Shed != "shed-1" || !strings.Contains(p.Text, "过电流") ||
		!strings.Contains(p.Text, "overcurrent") || p.Link != "https://sheds.example.com/alarms/"+alarmID {
		t.Errorf("message %+v", p)
	}
	if status, body := r.ask(t, http.MethodPost, "/api/v1/alarms/"+alarmID+"/acknowledge", `{"comment":"going"}`, nil); status != 200 {
		t.Fatalf("acknowledge: %d %s", status, body)
	}
	// The reminder of the first alarm would come before that of the second.
	g.alarm(t, shedguard.EventAlarmRaised, ignored, 2)
	r.until(t, "reminded, as nobody has answered", func() bool { return slices.Contains(d.kinds(ignored), "reminder") })
	if got := d.kinds(alarmID); !slices.Equal(got, []string{"raised"}) {
		t.Errorf("told of the acknowledged alarm: %q", got)
	}
	g.alarm(t, shedguard.EventAlarmCleared, alarmID, 3)
	r.until(t, "told that it is over", func() bool { return slices.Contains(d.kinds(alarmID), "cleared") })

	if status, body := r.ask(t, http.MethodPost, "/api/v1/notify/test", `{"name":"duty"}`, nil); status != 204 {
		t.Errorf("test: %d %s", status, body)
	}
	var log struct{ Deliveries []book.Delivery }
	r.ask(t, http.MethodGet, "/api/v1/notify/deliveries?alarm="+alarmID, "", &log)
	var kinds []string
	for i := range log.Deliveries {
		kinds = append(kinds, string(log.Deliveries[i].Kind))
		if log.Deliveries[i].State != book.DeliverySent {
			t.Errorf("delivery %+v", log.Deliveries[i])
		}
	}
	if !slices.Equal(kinds, []string{"cleared", "raised"}) {
		t.Errorf("log of the alarm: %q", kinds)
	}
	if _, body := r.ask(t, http.MethodGet, "/metrics", "", nil); !strings.Contains(body, `shedcloud_notify_messages_total{outcome="sent"} 4`) {
		t.Error("metrics do not count four messages about alarms")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.forged > 0 || d.got[len(d.got)-1].Kind != "test" {
		t.Errorf("%d messages whose signature does not hold; the last one: %+v", d.forged, d.got[len(d.got)-1])
	}
}
