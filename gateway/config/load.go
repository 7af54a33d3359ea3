package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	firmwareconfig "github.com/shedguard/shedguard/firmware-config"
)

// Load reads the file at path, checks it, and checks the files that it names.
// Relative paths in it are taken from its folder. The error is a [Faults]
// unless the file cannot be read.
func Load(path string) (*Config, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > maxBytes {
		return nil, Faults{{Value: fmt.Sprintf("%d bytes", info.Size()), Want: fmt.Sprintf("at most %d", maxBytes)}}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	c, err := Parse(b)
	var faults Faults
	if err != nil && !errors.As(err, &faults) {
		return nil, err
	}
	faults = append(faults, c.resolve(filepath.Dir(path))...)
	if err := faults.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// Parse reads a configuration without looking at the files that it names. When
// the error is a [Faults], the configuration comes too, as far as it could be
// read; it must not be run.
func Parse(b []byte) (*Config, error) {
	c := new(Config)
	root, fault := parse(b)
	if fault != nil {
		return c, Faults{fault}
	}
	d := &decoder{base: firmwareconfig.Files()}
	layers := []layer{{node: root}}
	if defaults, ok := d.defaults(); ok {
		layers = append(layers, layer{defaults, true})
	}
	d.structure("", reflect.ValueOf(c).Elem(), layers)
	d.faults = append(d.faults, c.check(&index{root: root}, d.faults)...)
	return c, d.faults.err()
}

// defaults returns the file that stands behind the whole configuration.
func (d *decoder) defaults() (ast.Node, bool) {
	b, err := fs.ReadFile(d.base, "defaults.yaml")
	if err != nil {
		d.faults = append(d.faults, &Fault{Path: "defaults.yaml", Value: show(err.Error()), Want: "a readable file"})
		return nil, false
	}
	m, fault := parse(b)
	if fault != nil {
		d.faults = append(d.faults, fault)
		return nil, false
	}
	return m, true
}

// resolve makes the paths absolute and checks the files behind them.
func (c *Config) resolve(dir string) Faults {
	var faults Faults
	for _, f := range []struct {
		path  string
		file  *string
		check func(string) string
	}{
		{"uplink.ca_file", &c.Uplink.CAFile, readable},
		{"uplink.cert_file", &c.Uplink.CertFile, readable},
		{"uplink.key_file", &c.Uplink.KeyFile, secret},
		{"uplink.password_file", &c.Uplink.PasswordFile, secret},
		{"state.dir", &c.State.Dir, nil},
	} {
		if *f.file == "" {
			continue
		}
		if !filepath.IsAbs(*f.file) {
			*f.file = filepath.Join(dir, *f.file)
		}
		if f.check == nil {
			continue
		}
		if want := f.check(*f.file); want != "" {
			faults = append(faults, &Fault{Path: f.path, Value: show(*f.file), Want: want})
		}
	}
	return faults
}

// readable returns what is wanted of a file if it cannot be read.
func readable(path string) string {
	f, err := os.Open(path)
	if err != nil {
		if e, ok := errors.AsType[*fs.PathError](err); ok {
			err = e.Err
		}
		return "a readable file: " + err.Error()
	}
	defer f.Close() //nolint:errcheck // only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "a regular file"
	}
	return ""
}

// secret returns what is wanted of a file that must be kept from others.
func secret(path string) string {
	if want := readable(path); want != "" {
		return want
	}
	info, err := os.Stat(path)
	if err != nil {
		return "a readable file"
	}
	if mode := info.Mode().Perm(); mode&0o037 != 0 {
		return fmt.Sprintf("mode 0600 (it has %#o): nobody but its owner may read it, nobody else may write it", mode)
	}
	return ""
}

// Warnings are things that are allowed but that a person should know of.
func (c *Config) Warnings() []string {
	var warnings []string
	for path, file := range map[string]string{"uplink.key_file": c.Uplink.KeyFile, "uplink.password_file": c.Uplink.PasswordFile} {
		if file == "" {
			continue
		}
		if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o040 != 0 {
			warnings = append(warnings, fmt.Sprintf("%s: %s: its group may read it; mode 0600 keeps it to its owner", path, show(file)))
		}
	}
	return append(warnings, c.warnings()...)
}

// String is the effective configuration as YAML, defaults included. Secrets are
// not in it: a configuration holds the paths of secrets only, and the user name
// is left out.
func (c *Config) String() string {
	shown := *c
	if shown.Uplink.Username != "" {
		shown.Uplink.Username = "[redacted]"
	}
	b, err := yaml.Marshal(&shown)
	if err != nil {
		return "config: " + err.Error()
	}
	return string(b)
}

// Hash names the effective configuration: the same values give the same hash,
// whatever the file looks like. It is 16 hexadecimal digits.
func (c *Config) Hash() string {
	b, err := yaml.Marshal(c)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// Password reads the password file; empty when there is none. One line break
// at its end is not part of the password.
func (u *Uplink) Password() (string, error) {
	if u.PasswordFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(u.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read uplink.password_file: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
}

// loopback reports whether a listen address can be reached from this machine
// only.
func loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func loopbackBroker(broker string) bool {
	u, err := url.Parse(broker)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}
