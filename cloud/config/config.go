package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Config is the configuration of one collector.
type Config struct {
	Data     string   `yaml:"data"`
	HTTP     HTTP     `yaml:"http"`
	Broker   Broker   `yaml:"broker"`
	MQTT     MQTT     `yaml:"mqtt"`
	Presence Presence `yaml:"presence"`
	Keep     Keep     `yaml:"keep"`
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

// MQTT is a broker outside the collector.
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
}

// Default is what holds where the file says nothing.
func Default() *Config {
	const day = 24 * time.Hour
	return &Config{
		Data:     "/var/lib/shedcloud",
		HTTP:     HTTP{Listen: "127.0.0.1:8080"},
		MQTT:     MQTT{ClientID: "shedcloud", Group: "shedcloud"},
		Presence: Presence{Trust: 90 * time.Second, Silent: time.Minute},
		Keep:     Keep{Telemetry: 400 * day, TelemetryMB: 20 << 10, Events: 400 * day},
	}
}

// Load reads and checks the file at path. Paths in it are taken from its
// folder. Faults in the file come as [Faults].
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, faults := parse(b)
	if len(faults) > 0 {
		return nil, faults
	}
	dir := filepath.Dir(path)
	for _, p := range []*string{
		&c.Data, &c.HTTP.CertFile, &c.HTTP.KeyFile, &c.Broker.CertFile, &c.Broker.KeyFile, &c.Broker.ClientCAFile,
		&c.MQTT.PasswordFile, &c.MQTT.CAFile, &c.MQTT.CertFile, &c.MQTT.KeyFile,
	} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
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
	fault(!word(m.Group), "mqtt.group", quote(m.Group), "1 to 40 letters, digits, - or _; the same for all collectors that share the telemetry")
	pair("mqtt", m.CertFile, m.KeyFile)
	fault((m.Username == "") != (m.PasswordFile == ""), "mqtt.username", quote(m.Username), "given together with password_file")
	between := func(path string, d, from, to time.Duration) {
		fault(d < from || d > to, path, d, fmt.Sprintf("%s to %s", from, to))
	}
	between("presence.trust", c.Presence.Trust, 10*time.Second, 10*time.Minute)
	between("presence.silent", c.Presence.Silent, 20*time.Second, time.Hour)
	const day = 24 * time.Hour
	between("keep.telemetry", c.Keep.Telemetry, 8*day, 10*365*day)
	between("keep.events", c.Keep.Events, 8*day, 10*365*day)
	fault(c.Keep.TelemetryMB < 256 || c.Keep.TelemetryMB > 1<<24, "keep.telemetry_mb", c.Keep.TelemetryMB, "256 to 16777216")
	return faults
}

// files lists the named files that cannot be read.
func (c *Config) files() Faults {
	var faults Faults
	for path, file := range map[string]string{
		"http.cert_file": c.HTTP.CertFile, "http.key_file": c.HTTP.KeyFile,
		"broker.cert_file": c.Broker.CertFile, "broker.key_file": c.Broker.KeyFile, "broker.client_ca_file": c.Broker.ClientCAFile,
		"mqtt.password_file": c.MQTT.PasswordFile, "mqtt.ca_file": c.MQTT.CAFile, "mqtt.cert_file": c.MQTT.CertFile, "mqtt.key_file": c.MQTT.KeyFile,
	} {
		if file == "" {
			continue
		}
		f, err := os.Open(file) //nolint:gosec // the operator names the file
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			var pe *os.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			faults = append(faults, Fault{Path: path, Value: quote(file), Want: "a file that can be read: " + err.Error()})
		}
	}
	faults.sort()
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
