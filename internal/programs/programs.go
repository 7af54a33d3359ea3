package programs

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// atOnce is how many tests run at once: those of programs wait much more than they compute.
const atOnce = 16

// Build says how packages are built.
type Build struct {
	Packages []string
	Flags    []string // of go build, besides -trimpath
	Env      []string // added to the environment
}

// Static builds packages with the flags of make build, so that what it compiled is used
// again.
func Static(packages ...string) Build {
	return Build{Packages: packages, Env: []string{"CGO_ENABLED=0"}}
}

// Into builds into a folder. The programs are named after their packages.
func (b *Build) Into(ctx context.Context, dir string) error {
	args := append([]string{"build", "-trimpath", "-o", dir + string(filepath.Separator)}, b.Flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, b.Packages...)...) //nolint:gosec // a test says what
	cmd.Env = append(cmd.Environ(), b.Env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %q: %w\n%s", b.Packages, err, out)
	}
	return nil
}

// Main is the body of a TestMain: it builds into a folder, calls run with it, which runs
// the tests, many at once, deletes the folder, and returns the exit code.
func Main(run func(dir string) int, builds ...Build) int {
	code, err := buildAndRun(run, builds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "programs:", err)
		return 1
	}
	return code
}

func buildAndRun(run func(dir string) int, builds []Build) (code int, err error) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(atOnce)); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "shedguard-programs-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder harms nobody
	for i := range builds {
		if err := builds[i].Into(context.Background(), dir); err != nil {
			return 0, err
		}
	}
	return run(dir), nil
}
