// Package e2e_test runs the real programs as processes and does to them what
// happens to programs: brokers that go away, kill -9, clocks that are wrong,
// garbage. What goes in is counted and must come out, once.
package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// bin is the folder of the programs under test.
var bin string

// atOnce is how many tests run at once: they wait much more than they compute.
const atOnce = 16

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
	}
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if bin, err = os.MkdirTemp("", "shedguard-e2e-"); err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(bin) }() // a leftover in the temporary folder harms nobody
	// The flags of make build, so that what it compiled is used again.
	build := exec.Command("go", "build", "-trimpath", "-o", bin+string(filepath.Separator),
		"../../gateway/cmd/shedguard", "../../cloud/cmd/shedcloud", "../demo")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	return m.Run(), nil
}
