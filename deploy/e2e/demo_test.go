package e2e_test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// processes are the command lines of the running processes that name a folder.
func processes(t *testing.T, dir string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		b, err := os.ReadFile(path)
		if err == nil && bytes.Contains(b, []byte(dir)) { // else it has just ended
			found = append(found, string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// What make demo runs comes up, lets a person in, and leaves nothing behind,
// whether it is asked to end or killed.
func TestDemo(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ killed bool }{"ctrl-c": {false}, "killed": {true}}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, page, status := t.TempDir(), freeAddr(t), freeAddr(t)
			demo := startWith(t, []string{"TMPDIR=" + dir}, "demo", "-listen", page, "-broker", freeAddr(t), "-status", status)
			until(t, "the demo tells where it is", func() bool {
				select {
				case <-demo.ended:
					t.Fatalf("the demo ended: %v", demo.err)
				default:
				}
				return strings.Contains(demo.log(t), "shedguard is running")
			})
			word := regexp.MustCompile(`password +(\S+)`).FindStringSubmatch(demo.log(t))
			if len(word) != 2 {
				t.Fatalf("no password in:\n%s", demo.log(t))
			}
			cloud := &collector{program: demo, client: newClient(t, "http://"+page)}
			if err := cloud.try(t, http.MethodPost, "/api/v1/login", map[string]string{"user": user, "password": word[1]}, nil); err != nil {
				t.Error(err)
			}
			until(t, "the simulated shed is online", func() bool { return cloud.shedState(t, "demo-1") == "online" })
			newClient(t, "http://"+status).get(t, "/healthz", nil)
			if n := len(processes(t, dir)); n != 2 {
				t.Errorf("%d processes work in %s, want 2", n, dir)
			}
			if tt.killed {
				demo.kill()
			} else {
				demo.end(t, syscall.SIGINT)
				if left := processes(t, dir); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
				if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
					t.Errorf("left behind: %v, %v", left, err)
				}
			}
			until(t, "nothing runs any more", func() bool { return len(processes(t, dir)) == 0 })
		})
	}
}
