package mosquittotest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/shedguard/shedguard/internal/servertest"
)

// startLimit is how long a broker may take until it accepts connections.
const startLimit = 10 * time.Second

// Server is one broker. Its methods are for the test's own goroutine.
type Server struct{ *servertest.Process }

// Start runs a broker until the test ends. The lines of conf are added behind
// the listener, so options of a listener (cafile, certfile, …) belong to it.
// Anonymous clients are let in unless conf says allow_anonymous itself.
func Start(tb testing.TB, conf ...string) *Server {
	tb.Helper()
	more := strings.Join(append(conf, ""), "\n")
	return &Server{servertest.Start(tb, &servertest.Spec{
		Name: "mosquitto", Package: "mosquitto", Limit: startLimit, End: syscall.SIGTERM,
		Programs: []string{"mosquitto", "/usr/sbin/mosquitto"}, // Debian puts it where only root's search path looks
		Args: func(dir string, port int) []string {
			path := filepath.Join(dir, "mosquitto.conf")
			if err := os.WriteFile(path, []byte(configuration(dir, port, more)), 0o600); err != nil {
				tb.Fatal(err)
			}
			return []string{"-c", path}
		},
		Up: func(addr string) bool {
			dialer := net.Dialer{Timeout: time.Second}
			c, err := dialer.DialContext(context.Background(), "tcp", addr)
			if err == nil {
				_ = c.Close() // it only had to open
			}
			return err == nil
		},
	})}
}

func configuration(dir string, port int, more string) string {
	text := fmt.Sprintf("user root\npersistence true\npersistence_location %s/\nautosave_interval 1\n"+
		"log_dest stdout\nlog_type all\nconnection_messages true\n", dir)
	if !strings.Contains("\n"+more, "\nallow_anonymous") {
		text += "allow_anonymous true\n"
	}
	return text + fmt.Sprintf("listener %d 127.0.0.1\n%s", port, more)
}
