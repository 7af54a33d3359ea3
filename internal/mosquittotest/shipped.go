package mosquittotest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Shipped is the configuration that the project ships, for [Start]: that of
// the folder shipped, with the certificates of the folder certs (ca.crt,
// server.crt, server.key), less what belongs to the listener's port and the
// store, which the test's broker sets itself.
func Shipped(tb testing.TB, shipped, certs string) []string {
	tb.Helper()
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(shipped, name))
		if err != nil {
			tb.Fatal(err)
		}
		return string(b)
	}
	acl := filepath.Join(tb.TempDir(), "shedguard.acl")
	if err := os.WriteFile(acl, []byte(read("shedguard.acl")), 0o600); err != nil {
		tb.Fatal(err)
	}
	text := strings.NewReplacer(
		"/etc/mosquitto/certs", certs,
		"/etc/mosquitto/shedguard.acl", acl,
	).Replace(read("mosquitto.conf"))
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		word, _, _ := strings.Cut(line, " ")
		switch word {
		case "", "#", "listener", "per_listener_settings", "persistence", "persistence_location", "autosave_interval":
		default:
			lines = append(lines, line)
		}
	}
	return lines
}
