package niceness_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shedguard/shedguard/internal/niceness"
)

// TestMain is also the program whose niceness is set: a test's own cannot be
// taken back without rights.
func TestMain(m *testing.M) {
	switch os.Getenv("NICENESS_TEST") {
	case "":
		os.Exit(m.Run())
	case "behind":
		report(niceness.Set(7))
	case "already":
		report(niceness.Raise(0))
	case "before":
		report(niceness.Raise(niceness.Guard))
	}
}

// report prints the niceness of every thread of this process, and the error.
func report(err error) {
	if errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM) {
		fmt.Print("not permitted ")
	} else if err != nil {
		fmt.Print(err, " ")
	}
	stats, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil {
		panic(err)
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // a thread that has ended since
		}
		after := stat[strings.LastIndexByte(string(stat), ')')+2:]
		fmt.Print(strings.Fields(string(after))[16], " ") // proc(5): nice is field 19, the state after the name field 3
	}
}

func ran(t *testing.T, what string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "NICENESS_TEST="+what)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func TestSetReachesEveryThread(t *testing.T) {
	got := ran(t, "behind")
	if len(got) < 2 {
		t.Errorf("threads %v: want several", got)
	}
	for _, nice := range got {
		if nice != "7" {
			t.Errorf("%v: want 7 throughout", got)
			break
		}
	}
}

func TestRaise(t *testing.T) {
	if got := ran(t, "already"); strings.Contains(strings.Join(got, " "), "permitted") {
		t.Errorf("a process that stands there needs no right: %v", got)
	}
	got := strings.Join(ran(t, "before"), " ")
	if os.Geteuid() == 0 && strings.Contains(got, "-10 -10") || strings.HasPrefix(got, "not permitted") {
		return
	}
	t.Errorf("%s: want -10, or that it is not permitted", got)
}
