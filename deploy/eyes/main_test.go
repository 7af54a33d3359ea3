//go:build opencv

package eyes_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// atOnce is how many tests run at once: they wait much more than they compute.
const atOnce = 16

// bin is the folder of the programs under test; why says why they are not there.
var bin, why string

func TestMain(m *testing.M) {
	if dir := os.Getenv(standInEnv); dir != "" {
		standIn(dir)
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
		fmt.Fprintln(os.Stderr, "eyes:", err)
	}
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "eyes:", err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	if bin, err = os.MkdirTemp("", "shedguard-eyes-"); err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(bin) }() // a leftover in the temporary folder harms nobody
	if err := exec.Command("pkg-config", "--atleast-version=4.6", "opencv4").Run(); err != nil {
		why = "OpenCV 4.6 is not installed; deploy/setup.sh vision installs it (Debian 12)"
		return m.Run(), nil
	}
	// The flags of make build, so that what it compiled is used again.
	err = errors.Join(
		build("CGO_ENABLED=0", "shedguard", "../../gateway/cmd/shedguard"),
		build("CGO_ENABLED=1", "shedguard-vision", "../../vision/cmd/shedguard-vision", "-tags", "opencv"),
	)
	if err != nil {
		return 0, err
	}
	return m.Run(), nil
}

func build(cgo, name, pkg string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-o", filepath.Join(bin, name)}, flags...)
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Env = append(os.Environ(), cgo, "CGO_LDFLAGS=-Wl,--as-needed")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return nil
}
