package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/shedguard/shedguard/cloud/config"
	"github.com/shedguard/shedguard/cloud/notify"
)

// The shipped file says what holds by default, and names every key there is.
func TestShippedFileIsTheDefault(t *testing.T) {
	b, err := os.ReadFile("shedcloud.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.Parse(b)
	var faults config.Faults
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Path != "mqtt.url" {
		t.Errorf("as shipped: %v, want nothing but the missing broker", err)
	}
	c, err := config.Parse([]byte(strings.Replace(string(b), `listen: ""`, "listen: 127.0.0.1:1883", 1)))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Broker.Listen = "127.0.0.1:1883"
	if d := cmp.Diff(want, c, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("(-default +shipped):\n%s", d)
	}
	var keys func(reflect.Type)
	keys = func(typ reflect.Type) {
		for f := range typ.Fields() {
			if !strings.Contains(string(b), "\n"+f.Tag.Get("yaml")+":") && !strings.Contains(string(b), "  "+f.Tag.Get("yaml")+":") {
				t.Errorf("shedcloud.yaml lacks %s", f.Tag.Get("yaml"))
			}
			if f.Type.Kind() == reflect.Struct {
				keys(f.Type)
			}
		}
	}
	keys(reflect.TypeFor[config.Config]())
}

// Ten faults give ten lines, each with path, value and what is allowed.
func TestFaultsComeAllAtOnce(t *testing.T) {
	_, err := config.Load(filepath.Join("testdata", "ten-faults.yaml"))
	var faults config.Faults
	if !errors.As(err, &faults) {
		t.Fatalf("Load: %v", err)
	}
	var got []string
	for _, f := range faults {
		got = append(got, f.String())
	}
	want := []string{
		`line 1: dta: want one of data, http, broker, mqtt, series, presence, keep, notify`,
		`line 5: http.behind_tls_proxy: maybe: want true or false`,
		`line 8: broker.ports: want one of listen, tls_listen, cert_file, key_file, client_ca_file, trust_loopback`,
		`line 15: presence.silent: "soon": want a duration, as 90s, 5m, 12h or 400d`,
		`line 17: keep.telemetry_mb: lots: want a whole number`,
		`http.listen: "8080": want host:port`,
		`http.cert_file: "x.pem": want given together with key_file`,
		`broker.listen: "0.0.0.0:1883": want host:port on the loopback interface; use tls_listen for others`,
		`mqtt.url: "mqtt://li:xxxxx@host": want empty when broker.listen or broker.tls_listen is given`,
		`mqtt.url: "mqtt://li:xxxxx@host": want tcp://host:port or ssl://host:port, without user or password`,
		`mqtt.client_id: "a/b": want 1 to 40 letters, digits, - or _; another one for each collector`,
		`presence.trust: 1s: want 10s to 10m0s`,
		`keep.events: 24h0m0s: want 192h0m0s to 87600h0m0s`,
		`keep.pictures: 0s: want 24h0m0s to 87600h0m0s`,
		`keep.pictures_mb: 0: want 64 to 1048576`,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestParseRefuses(t *testing.T) {
	const good = "broker: {listen: '127.0.0.1:1'}\n"
	for name, tt := range map[string]struct{ yaml, want string }{
		"no YAML":         {"a: [", "YAML"},
		"a list":          {"- 1", "file: "},
		"a word":          {"hello", "a section"},
		"two documents":   {"data: x\n---\ndata: y", "one document"},
		"a key twice":     {"data: x\ndata: y", "already defined"},
		"list for text":   {"data: [x]", "data: "},
		"text for a part": {"http: x", "http: x: want a section"},
		"no broker":       {"data: x", "mqtt.url"},
		"tls alone":       {"broker: {tls_listen: '0.0.0.0:8883'}", "client_ca_file"},
		"notify in part":  {good + "notify: {people: [{name: x, channels: [y]}], flap: {count: 999}}", `notify.people[0].channels[0]: "y": want one of []`},
		"notify unknown":  {good + "notify: {channels: [{name: x, pigeon: {}}]}", "notify.channels[0].pigeon: want one of name, timeout, wecom"},
		"no such store":   {good + "series: {kind: csv}", `series.kind: "csv": want embedded or influx`},
		"store unnamed":   {good + "series: {kind: influx}", `series.url: "": want the address`},
		"store in vain":   {good + "series: {url: 'http://db:8428'}", "want empty when kind is not influx"},
		"store's secret":  {good + "series: {kind: influx, url: 'http://u:pw@db:8428'}", `series.url: "http://u:xxxxx@db:8428"`},
		"flux, no bucket": {good + "series: {kind: influx, url: 'http://db:8086', language: flux, org: o}", `series.bucket: "": want a name when language is flux`},
		"trust alone":     {"broker: {trust_loopback: true}", "trust_loopback"},
		"user alone":      {"broker: {listen: '127.0.0.1:1'}\nmqtt: {username: li}", "password_file"},
		"too long":        {"#" + strings.Repeat("x", 2<<20), "at most"},
	} {
		t.Run(name, func(t *testing.T) {
			var faults config.Faults
			if _, err := config.Parse([]byte(tt.yaml)); !errors.As(err, &faults) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse: %v, want %q", err, tt.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	if err := os.WriteFile(path, []byte("data: store\nmqtt: {url: 'ssl://broker:8883', username: li, password_file: secret}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(path); err == nil || !strings.Contains(err.Error(), `mqtt.password_file`) {
		t.Errorf("without the secret: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	c.Notify.Channels = make([]notify.Channel, 1) // not Off, which is a warning
	if c.Data != filepath.Join(dir, "store") || c.MQTT.PasswordFile != filepath.Join(dir, "secret") || len(c.Warnings()) != 0 {
		t.Errorf("Load: %+v, %v", c, err)
	}
	if _, err := config.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	open := config.Default()
	open.HTTP.Listen, open.Broker.TrustLoopback, open.MQTT.URL = "0.0.0.0:80", true, "tcp://broker:1883"
	open.Series.Kind, open.Series.URL, open.Series.TokenFile = config.SeriesInflux, "http://db:8428", "token"
	if w := open.Warnings(); len(w) != 5 {
		t.Errorf("warnings %q, want 5", w)
	}
}

// The files of notify are found from the folder of the configuration, and what
// is wrong in them is a fault of it.
func TestNotifyFiles(t *testing.T) {
	dir := t.TempDir()
	path, secret := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "hook.secret")
	if err := os.WriteFile(path, []byte(`
broker: {listen: 127.0.0.1:1883}
notify:
  channels: [{name: desk, webhook: {url: "https://desk.example.com/in", secret_file: hook.secret}}]
  people: [{name: duty, channels: [desk], quiet_hours: {from: "22:00", to: "07:00"}}]
  routes: [{sheds: ["*"], severity: minor, steps: [{people: [duty]}]}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"missing":     {want: `notify.channels[0].webhook.secret_file: "` + secret + `": want a file that can be read: no such file`},
		"short":       {"abc", 0o600, `notify.channel desk: webhook.secret_file`},
		"for anybody": {"a-secret-of-32-bytes-or-so-long", 0o644, "cannot read (chmod 600 or 640)"},
		"good":        {"a-secret-of-32-bytes-or-so-long", 0o600, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.mode != 0 {
				if err := errors.Join(os.WriteFile(secret, []byte(tt.content), tt.mode), os.Chmod(secret, tt.mode)); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := os.Remove(secret); err != nil {
						t.Error(err)
					}
				})
			}
			c, err := config.Load(path)
			if tt.want == "" {
				if err != nil || c.Notify.Channels[0].Webhook.SecretFile != secret || len(c.Warnings()) > 0 {
					t.Errorf("Load: %v", err)
				}
				return
			}
			var faults config.Faults
			if !errors.As(err, &faults) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Load: %v, want %q", err, tt.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"shedcloud.yaml", "testdata/ten-faults.yaml"} {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("http: {listen: !!binary x}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := config.Parse(b)
		if err == nil && len(c.Check()) > 0 {
			t.Errorf("taken, yet %v", c.Check())
		}
	})
}
