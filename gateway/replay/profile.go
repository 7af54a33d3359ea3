package replay

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	firmwareconfig "github.com/shedguard/shedguard/firmware-config"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/protect"
	"github.com/shedguard/shedguard/gateway/session"
)

// DefaultProfile is the profile of a replay that names none.
const DefaultProfile = "outlet-10a"

// Profiles lists the shipped profiles.
func Profiles() []string {
	entries, err := fs.ReadDir(firmwareconfig.Files(), "profiles")
	if err != nil {
		return nil // embedded
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	return names
}

// Profile returns the rules of a shipped profile, as an outlet that overrides
// nothing has them.
func Profile(name string) (*protect.Limits, *session.Settings, error) {
	o, err := ProfileOutlet(name)
	if err != nil {
		return nil, nil, err
	}
	return o.ProtectLimits(), o.SessionSettings(), nil
}

// ProfileOutlet returns an outlet that has a shipped profile and overrides
// nothing.
func ProfileOutlet(name string) (*config.Outlet, error) {
	if !slices.Contains(Profiles(), name) {
		return nil, fmt.Errorf("profile %q: want one of %s", name, strings.Join(Profiles(), ", "))
	}
	cfg, err := config.Parse(fmt.Appendf(nil, smallest, name))
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", name, err)
	}
	return OutletOf(cfg, 1)
}

// OutletOf returns an outlet of a configuration.
func OutletOf(cfg *config.Config, outlet int) (*config.Outlet, error) {
	for i := range cfg.Outlets {
		if o := &cfg.Outlets[i]; o.Number == outlet {
			return o, nil
		}
	}
	if len(cfg.Outlets) == 0 {
		return nil, errors.New("the configuration has no outlets")
	}
	return nil, fmt.Errorf("outlet %d: not in the configuration", outlet)
}

// smallest is a configuration with one outlet of a profile.
const smallest = `
shed: replay
uplink: {broker: "mqtt://127.0.0.1:1883"}
buses: [{name: main, path: /dev/i2c-1, khz: 400}]
relays: [{name: board, chip: mcp23017, bus: main, address: 0x20, active_low: false}]
outlets:
  - number: 1
    profile: %s
    meter: {chip: acs37800, bus: main, address: 0x60, range_amps: 90}
    thermometer: {chip: tmp102, bus: main, address: 0x48}
    relay: {name: board, pin: 0}
`
