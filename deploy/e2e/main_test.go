// Package e2e_test runs the real programs as processes and does to them what
// happens to programs: brokers that go away, kill -9, clocks that are wrong,
// garbage. What goes in is counted and must come out, once.
package e2e_test

import (
	"os"
	"testing"

	"github.com/shedguard/shedguard/internal/programs"
)

// bin is the folder of the programs under test.
var bin string

func TestMain(m *testing.M) {
	os.Exit(programs.Main(func(dir string) int {
		bin = dir
		return m.Run()
	}, programs.Static("../../gateway/cmd/shedguard", "../../cloud/cmd/shedcloud", "../demo")))
}
