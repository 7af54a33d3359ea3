package config_test

import (
	"strings"
	"testing"

	"github.com/shedguard/shedguard/gateway/config"
)

func TestSuppressionIsChecked(t *testing.T) {
	agent := func(entry string) string { return small + "suppression: {" + entry + "}\n" }
	good := agent("enabled: true, output: {name: k, pin: 1}, veto: 15s, release: 10s")
	c := parsed(t, good)
	if !strings.Contains(strings.Join(c.Warnings(), "\n"), "suppression.enabled: true: a fire on which two senses agree releases the agent after 15s") {
		t.Errorf("warnings %q", c.Warnings())
	}
	if out := c.SuppressionOutput(); out == nil || out.Pin != 1 || parsed(t, small).SuppressionOutput() != nil {
		t.Errorf("output %+v", out)
	}
	for name, tt := range map[string]struct{ text, want string }{
		"pin of an outlet": {strings.Replace(good, "pin: 1}", "pin: 0}", 1), "suppression.output.pin: k pin 0: want a pin of its own: outlets[0].relay.pin has it already"},
		"no window":        {agent("enabled: true, output: {name: k, pin: 1}, release: 10s"), "suppression.veto: missing: want a duration with its unit, 15s to 5m"},
		"window too short": {strings.Replace(good, "15s", "5s", 1), "suppression.veto: 5s: want a duration with its unit, 15s to 5m"},
		"no release":       {strings.Replace(good, "release: 10s", "release: 0s", 1), "suppression.release: 0s: want a duration with its unit, 100ms to 10m"},
		"no word on it":    {strings.Replace(good, "enabled: true, ", "", 1), "suppression.enabled: missing: want true or false"},
		"closings":         {small + "actuate: {closings_per_hour: 0}\n", "actuate.closings_per_hour: 0: want a whole number, 1 to 120"},
		"one flap":         {small + "alarms: {flap_count: 1}\n", "alarms.flap_count: 1: want a whole number, 2 to 50"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := config.Parse([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error:\n%v\nwant in it:\n%s", err, tt.want)
			}
		})
	}
}
