//go:build opencv

package eyes_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/shedguard/shedguard/internal/programs"
)

// bin is the folder of the programs under test; why says why they are not there.
var bin, why string

func TestMain(m *testing.M) {
	if dir := os.Getenv(standInEnv); dir != "" {
		standIn(dir)
		return
	}
	builds := []programs.Build{programs.Static("../../gateway/cmd/shedguard"), {
		Packages: []string{"../../vision/cmd/shedguard-vision"}, Flags: []string{"-tags", "opencv"},
		Env: []string{"CGO_ENABLED=1", "CGO_LDFLAGS=-Wl,--as-needed"},
	}}
	if err := exec.Command("pkg-config", "--atleast-version=4.6", "opencv4").Run(); err != nil {
		why = "OpenCV 4.6 is not installed; deploy/setup.sh vision installs it (Debian 12)"
		builds = nil
	}
	os.Exit(programs.Main(func(dir string) int {
		bin = dir
		return m.Run()
	}, builds...))
}
