package config_test

import (
	"io/fs"
	"strings"
	"testing"

	firmwareconfig "github.com/shedguard/shedguard/firmware-config"
	"github.com/shedguard/shedguard/gateway/config"
)

func TestFeederProfiles(t *testing.T) {
	entries, err := fs.ReadDir(firmwareconfig.Files(), "feeders")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			l := parsed(t, small+"feeder: {profile: "+strings.TrimSuffix(e.Name(), ".yaml")+"}\n").FeederLimits()
			if l == nil {
				t.Fatal("no limits")
			}
			if err := l.Validate(); err != nil {
				t.Error(err)
			}
			for line := range strings.SplitSeq(strings.TrimSpace(string(shipped(t, "feeders/"+e.Name()))), "\n") {
				if _, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") && strings.ContainsAny(value, "0123456789") && !strings.Contains(value, " # ") {
					t.Errorf("%q: no source beside it", line)
				}
			}
		})
	}
}

func TestFeederFaults(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing said":        {"feeder: {}\n", "feeder.profile: missing: want"},
		"unknown profile":     {"feeder: {profile: big}\n", "feeder.profile: big: want one of feeder-32a, feeder-40a"},
		"no limit":            {"feeder: {profile: feeder-40a, hard_watts: 0}\n", "feeder.hard_watts: 0: want a number, 100 to 200000"},
		"hard next to soft":   {"feeder: {profile: feeder-40a, soft_watts: 8600}\n", "feeder.hard_watts: 8700: want at least 1.05 x soft_watts"},
		"settle without unit": {"feeder: {profile: feeder-40a, settle: 10}\n", "feeder.settle: 10: want a duration with its unit, 1s to 10m"},
		"meter's address":     {"feeder: {profile: feeder-40a, meter: {chip: acs37800, bus: main, range_amps: 90}}\n", "outlets[0].meter.address: 0x60: want an address of its own on bus main: the meter of the feeder answers there, too"},
		"meter too small":     {"feeder: {profile: feeder-40a, meter: {chip: acs37800, bus: main, address: 0x62, range_amps: 30}}\n", "feeder.meter.range_amps: 30: want a range beyond 1.2 x hard_watts: it ends at 7260 W"},
		"meter of several":    {"feeder: {profile: feeder-40a, meter: {chip: ina3221, bus: main, address: 0x41, channel: 1, shunt_ohms: 0.001}}\n", "feeder.meter.chip: ina3221: want a chip that measures one circuit"},
		"shunt too large":     {"feeder: {profile: feeder-40a, meter: {chip: ina226, bus: main, address: 0x41, shunt_ohms: 0.1}}\n", "feeder.meter.shunt_ohms: 0.1: want a range beyond 1.2 x hard_watts"},
		"severity":            {"feeder: {profile: feeder-40a, severity: loud}\n", "feeder.severity: loud: want one of critical"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]byte(small + tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error:\n%v\nwant in it:\n%s", err, tt.want)
			}
		})
	}
}

func TestFeederMeter(t *testing.T) {
	c := parsed(t, small+"feeder: {profile: feeder-40a, meter: {chip: acs37800, bus: main, address: 0x62, range_amps: 90}}\n")
	if m := c.Feeder.Meter; m == nil || m.RangeAmps != 90 || m.Address != 0x62 || m.Watts.Gain != 1 {
		t.Errorf("meter %+v", m)
	}
}

func TestFeederWarning(t *testing.T) {
	twelve := string(shipped(t, "gateway.yaml"))
	for name, tt := range map[string]struct{ text, want string }{
		"one outlet":           {small, ""},
		"twelve with limits":   {twelve, ""},
		"twelve without":       {strings.Replace(twelve, "feeder: {profile: feeder-40a}", "", 1), "feeder: left out: 12 outlets may draw 120 A together"},
		"twelve, switched off": {strings.Replace(twelve, "feeder-40a}", "feeder-40a, enabled: false}", 1), "feeder.enabled: false: 12 outlets may draw 120 A together"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			for _, w := range parsed(t, tt.text).Warnings() {
				if strings.HasPrefix(w, "feeder") {
					got = w
				}
			}
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("warning %q, want %q", got, tt.want)
			}
		})
	}
	if c := parsed(t, small); c.FeederLimits() != nil || c.Outlets[0].RatedWatts() != 1100 {
		t.Errorf("limits %v, %g W", c.FeederLimits(), c.Outlets[0].RatedWatts())
	}
}
