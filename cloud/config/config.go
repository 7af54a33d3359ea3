package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/shedguard/shedguard/cloud/notify"
)

// Config is the configuration of one collector.
type Config struct {
	Data     string          `yaml:"data"`
	HTTP     HTTP            `yaml:"http"`
	Broker   Broker          `yaml:"broker"`
	MQTT     MQTT            `yaml:"mqtt"`
	Series   Series          `yaml:"series"`
	Presence Presence        `yaml:"presence"`
	Keep     Keep            `yaml:"keep"`
	Notify   notify.Settings `yaml:"notify"`
}

// HTTP is how people and programs reach the collector.
type HTTP struct {
	Listen         string `yaml:"listen"`
	CertFile       string `yaml:"cert_file"`
	KeyFile        string `yaml:"key_file"`
	BehindTLSProxy bool   `yaml:"behind_tls_proxy"`
}

// Broker is the broker inside the collector. Without a Listen and a TLSListen
// there is none, and MQTT names another.
type Broker struct {
	Listen        string `yaml:"listen"`
	TLSListen     string `yaml:"tls_listen"`
	CertFile      string `yaml:"cert_file"`
	KeyFile       string `yaml:"key_file"`
	ClientCAFile  string `yaml:"client_ca_file"`
	TrustLoopback bool   `yaml:"trust_loopback"`
}

// On reports whether the collector runs its own broker.
func (b *Broker) On() bool { return b.Listen != "" || b.TLSListen != "" }

// MQTT is a broker outside the collector. Group is for several collectors that
// share the telemetry; one alone leaves it empty, because a broker may forget
// shared subscriptions when it restarts.
type MQTT struct {
	URL          string `yaml:"url"`
	ClientID     string `yaml:"client_id"`
	Group        string `yaml:"group"`
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	CAFile       string `yaml:"ca_file"`
	CertFile     string `yaml:"cert_file"`
	KeyFile      string `yaml:"key_file"`
}

// The kinds of series store.
const (
	SeriesEmbedded = "embedded" // in a folder of Data
	SeriesInflux   = "influx"   // another machine's, written in InfluxDB line protocol
)

// The languages that a database is asked in.
const (
	LanguagePromQL = "promql" // VictoriaMetrics
	LanguageFlux   = "flux"   // InfluxDB 2
)

// Series is where telemetry is kept. All but Kind is for [SeriesInflux].
type Series struct {
	Kind      string        `yaml:"kind"`
	URL       string        `yaml:"url"`
	ReadURL   string        `yaml:"read_url"`
	Language  string        `yaml:"language"`
	TokenFile string        `yaml:"token_file"`
	Org       string        `yaml:"org"`
	Bucket    string        `yaml:"bucket"`
	CAFile    string        `yaml:"ca_file"`
	QueueMB   int64         `yaml:"queue_mb"`
	Settle    time.Duration `yaml:"settle"`
}

// Presence is how gateways are judged.
type Presence struct {
	Trust  time.Duration `yaml:"trust"`
	Silent time.Duration `yaml:"silent"`
}

// Keep is how long things are kept.
type Keep struct {
	Telemetry   time.Duration `yaml:"telemetry"`
	TelemetryMB int64         `yaml:"telemetry_mb"`
	Events      time.Duration `yaml:"events"`
	Pictures    time.Duration `yaml:"pictures"`
	PicturesMB  int64         `yaml:"pictures_mb"`
}

// Default is what holds where the file says nothing.
func Default() *Config {
	const day = 24 * time.Hour
	return &Config{
		Data:     "/var/lib/shedcloud",
		HTTP:     HTTP{Listen: "127.0.0.1:8080"},
		MQTT:     MQTT{ClientID: "shedcloud"},
		Series:   Series{Kind: SeriesEmbedded, Language: LanguagePromQL, QueueMB: 4 << 10, Settle: 10 * time.Second},
		Presence: Presence{Trust: 90 * time.Second, Silent: time.Minute},
		Keep:     Keep{Telemetry: 400 * day, TelemetryMB: 20 << 10, Events: 400 * day, Pictures: 30 * day, PicturesMB: 4 << 10},
		Notify:   notify.DefaultSettings(),
	}
}

// Load reads and checks the file at path. Paths in it are taken from its
// folder. Faults in the file come as [Faults].
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, faults := parse(b)
	if len(faults) > 0 {
		return nil, faults
	}
	dir := filepath.Dir(path)
	for _, f := range c.named() {
		if !filepath.IsAbs(*f.file) {
			*f.file = filepath.Join(dir, *f.file)
		}
	}
	if !filepath.IsAbs(c.Data) {
		c.Data = filepath.Join(dir, c.Data)
	}
	if faults := c.files(); len(faults) > 0 {
		return nil, faults
	}
	return c, nil
}

// Parse reads and checks a configuration. Files that it names are not opened.
func Parse(b []byte) (*Config, error) {
	c, faults := parse(b)
	if len(faults) > 0 {
		return nil, faults
	}
	return c, nil
}

func parse(b []byte) (*Config, Faults) {
	c := Default()
	faults := decode(b, c)
	return c, append(faults, c.Check()...)
}

// Check lists what is wrong with the values.
func (c *Config) Check() Faults {
	var faults Faults
	fault := func(wrong bool, path string, value any, want string) {
		if wrong {
			faults = append(faults, Fault{Path: path, Value: fmt.Sprintf("%v", value), Want: want})
		}
	}
	fault(c.Data == "", "data", `""`, "a folder")
	fault(!address(c.HTTP.Listen), "http.listen", quote(c.HTTP.Listen), "host:port")
	pair := func(section, cert, key string) {
		fault((cert == "") != (key == ""), section+".cert_file", quote(cert), "given together with key_file")
	}
	pair("http", c.HTTP.CertFile, c.HTTP.KeyFile)
	fault(c.HTTP.BehindTLSProxy && c.HTTP.CertFile != "", "http.behind_tls_proxy", true, "false when cert_file is given")
	b := &c.Broker
	pair("broker", b.CertFile, b.KeyFile)
	fault(b.Listen != "" && !loopback(b.Listen), "broker.listen", quote(b.Listen), "host:port on the loopback interface; use tls_listen for others")
	fault(b.TLSListen != "" && !address(b.TLSListen), "broker.tls_listen", quote(b.TLSListen), "host:port")
	fault(b.TLSListen != "" && (b.CertFile == "" || b.ClientCAFile == ""), "broker.tls_listen", quote(b.TLSListen), "cert_file, key_file and client_ca_file with it")
	fault(b.TrustLoopback && b.Listen == "", "broker.trust_loopback", true, "false when there is no listen")
	m := &c.MQTT
	fault(b.On() && m.URL != "", "mqtt.url", quote(redact(m.URL)), "empty when broker.listen or broker.tls_listen is given")
	fault(!b.On() && m.URL == "", "mqtt.url", `""`, "the broker, as ssl://host:8883; or give broker.listen or broker.tls_listen")
	if m.URL != "" {
		u, err := url.Parse(m.URL)
		fault(err != nil || u.Host == "" || u.Scheme != "tcp" && u.Scheme != "ssl" || u.User != nil, "mqtt.url", quote(redact(m.URL)),
			"tcp://host:port or ssl://host:port, without user or password")
	}
	fault(!word(m.ClientID), "mqtt.client_id", quote(m.ClientID), "1 to 40 letters, digits, - or _; another one for each collector")
	fault(m.Group != "" && !word(m.Group), "mqtt.group", quote(m.Group), "empty, or 1 to 40 letters, digits, - or _; the same for all collectors that share the telemetry")
	pair("mqtt", m.CertFile, m.KeyFile)
	fault((m.Username == "") != (m.PasswordFile == ""), "mqtt.username", quote(m.Username), "given together with password_file")
	between := func(path string, d, from, to time.Duration) {
		fault(d < from || d > to, path, d, fmt.Sprintf("%s to %s", from, to))
	}
	c.Series.check(fault)
	between("series.settle", c.Series.Settle, time.Second, 10*time.Minute)
	between("presence.trust", c.Presence.Trust, 10*time.Second, 10*time.Minute)
	between("presence.silent", c.Presence.Silent, 20*time.Second, time.Hour)
	const day = 24 * time.Hour
	between("keep.telemetry", c.Keep.Telemetry, 8*day, 10*365*day)
	between("keep.events", c.Keep.Events, 8*day, 10*365*day)
	between("keep.pictures", c.Keep.Pictures, day, 10*365*day)
	fault(c.Keep.PicturesMB < 64 || c.Keep.PicturesMB > 1<<20, "keep.pictures_mb", c.Keep.PicturesMB, "64 to 1048576")
	fault(c.Keep.TelemetryMB < 256 || c.Keep.TelemetryMB > 1<<24, "keep.telemetry_mb", c.Keep.TelemetryMB, "256 to 16777216")
	if err := c.Notify.Validate(); err != nil {
		faults = append(faults, notifyFaults(err)...)
	}
	return faults
}

func (s *Series) check(fault func(wrong bool, path string, value any, want string)) {
	remote := s.Kind == SeriesInflux
	fault(!remote && s.Kind != SeriesEmbedded, "series.kind", quote(s.Kind), SeriesEmbedded+" or "+SeriesInflux)
	fault(remote && s.URL == "", "series.url", `""`, "the address of the database, as https://host:8428/")
	web := func(key, addr string) {
		u, err := url.Parse(addr)
		good := err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
		fault(addr != "" && !good, key, quote(redact(addr)), "http:// or https:// and a host, without user and password")
		fault(addr != "" && !remote, key, quote(redact(addr)), "empty when kind is not "+SeriesInflux)
	}
	web("series.url", s.URL)
	web("series.read_url", s.ReadURL)
	flux := s.Language == LanguageFlux
	fault(s.Language != LanguagePromQL && !flux, "series.language", quote(s.Language), LanguagePromQL+" or "+LanguageFlux)
	fault(remote && flux && s.Org == "", "series.org", `""`, "a name when language is "+LanguageFlux)
	fault(remote && flux && s.Bucket == "", "series.bucket", `""`, "a name when language is "+LanguageFlux)
	fault(s.QueueMB < 64 || s.QueueMB > 1<<20, "series.queue_mb", s.QueueMB, "64 to 1048576")
}

// namedFile is a file that the configuration names.
type namedFile struct {
	path string // of the key, as http.cert_file
	file *string
}

// named lists the files that the configuration names: the values of the keys
// that end in _file.
func (c *Config) named() (files []namedFile) {
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(path, v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(strings.TrimPrefix(path+"."+v.Type().Field(i).Tag.Get("yaml"), "."), v.Field(i))
			}
		case reflect.String:
			if file, ok := reflect.TypeAssert[*string](v.Addr()); ok && *file != "" && strings.HasSuffix(path, "_file") {
				files = append(files, namedFile{path, file})
			}
		default:
		}
	}
	walk("", reflect.ValueOf(c).Elem())
	return files
}

// files lists the named files that cannot be read, and what is wrong in those
// of notify.
func (c *Config) files() Faults {
	var faults Faults
	for _, n := range c.named() {
		f, err := os.Open(*n.file)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			if pe, ok := errors.AsType[*os.PathError](err); ok {
				err = pe.Err
			}
			faults = append(faults, Fault{Path: n.path, Value: quote(*n.file), Want: "a file that can be read: " + err.Error()})
		}
	}
	if len(faults) == 0 {
		if err := notify.Check(c.Notify); err != nil {
			faults = append(faults, notifyFaults(err)...)
		}
	}
	faults.sort()
	return faults
}

// notifyFaults are the faults of the section notify. Each error is one or more
// lines of path: value: want what.
func notifyFaults(err error) (faults Faults) {
	for line := range strings.Lines(err.Error()) {
		f := Fault{Path: "notify", Want: strings.TrimPrefix(strings.TrimSpace(line), "notify: ")}
		if path, rest, ok := strings.Cut(f.Want, ": "); ok {
			if value, want, ok := strings.Cut(rest, ": want "); ok {
				f = Fault{Path: "notify." + path, Value: value, Want: want}
			}
		}
		faults = append(faults, f)
	}
	return faults
}

// Warnings are what is allowed and yet should be looked at.
func (c *Config) Warnings() []string {
	var w []string
	if !loopback(c.HTTP.Listen) && c.HTTP.CertFile == "" && !c.HTTP.BehindTLSProxy {
		w = append(w, "http.listen: "+c.HTTP.Listen+" is reachable from elsewhere without TLS: passwords can be read on the way; give cert_file, or behind_tls_proxy")
	}
	if c.Broker.TrustLoopback {
		w = append(w, "broker.trust_loopback: any program on this machine can be any gateway: for demonstrations")
	}
	if strings.HasPrefix(c.MQTT.URL, "tcp://") && !loopback(strings.TrimPrefix(c.MQTT.URL, "tcp://")) {
		w = append(w, "mqtt.url: without TLS alarms and commands can be read and forged on the way; use ssl://")
	}
	if u, err := url.Parse(c.Series.URL); err == nil && u.Scheme == "http" && c.Series.TokenFile != "" && !local(u.Hostname()) {
		w = append(w, "series.url: without TLS the token can be read on the way; use https://")
	}
	if c.Notify.Off() {
		w = append(w, "notify: nobody is told of alarms: give channels, people and routes")
	}
	return w
}

func address(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := net.LookupPort("tcp", port) //nolint:noctx // a number, or a name of the machine's own table
	return err == nil && n >= 0
}

func loopback(s string) bool {
	host, _, err := net.SplitHostPort(s)
	if err != nil || !address(s) {
		return false
	}
	return local(host)
}

func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func word(s string) bool {
	ok := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
	}
	return s != "" && len(s) <= 40 && strings.IndexFunc(s, func(r rune) bool { return !ok(r) }) < 0
}

func quote(s string) string { return fmt.Sprintf("%q", s) }

// redact hides a password that should not be in an address.
func redact(s string) string {
	if u, err := url.Parse(s); err == nil {
		return u.Redacted()
	}
	return "unreadable"
}
