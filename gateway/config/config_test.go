package config_test

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	firmwareconfig "github.com/shedguard/shedguard/firmware-config"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/session"
)

var update = flag.Bool("update", false, "rewrite golden files")

// small is the least that a configuration must say.
const small = `shed: s1
uplink: {broker: "mqtts://b:8883"}
buses: [{name: main, path: /dev/i2c-1, khz: 400}]
relays: [{name: k, chip: mcp23017, bus: main, active_low: false}]
outlets:
  - {number: 1, profile: outlet-5a, meter: {chip: acs37800, bus: main}, thermometer: {chip: tmp102, bus: main}, relay: {name: k, pin: 0}}
`

func shipped(t testing.TB, name string) []byte {
	t.Helper()
	b, err := fs.ReadFile(firmwareconfig.Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parsed(t testing.TB, text string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return c
}

func TestShippedExample(t *testing.T) {
	c := parsed(t, string(shipped(t, "gateway.yaml")))
	if len(c.Outlets) != 12 || c.Poll.Hz != 10 || c.Outbox.MaxMB != 256 || c.Outlets[11].Meter.Address != 0x61 {
		t.Errorf("the example reads as %d outlets, %d Hz, %d MiB, meter of 12 at %#x", len(c.Outlets), c.Poll.Hz, c.Outbox.MaxMB, c.Outlets[11].Meter.Address)
	}
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("the example gives warnings: %q", w)
	}
}

func TestProfilesAndOverrides(t *testing.T) {
	entries, err := fs.ReadDir(firmwareconfig.Files(), "profiles")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Run(e.Name(), func(t *testing.T) {
			name := strings.TrimSuffix(e.Name(), ".yaml")
			text := strings.Replace(small, "outlet-5a", name, 1)
			text = strings.Replace(text, "acs37800,", "acs37800, range_amps: 90,", 1)
			o := parsed(t, text).Outlets[0]
			if err := o.ProtectLimits().Validate(); err != nil {
				t.Error(err)
			}
			if err := o.SessionSettings().Validate(); err != nil {
				t.Error(err)
			}
			if err := o.ChargeSettings().Validate(); err != nil {
				t.Error(err)
			}
			// A zero would be a value that somebody forgot to hand on.
			for _, v := range []any{*o.ProtectLimits(), *o.SessionSettings(), *o.ChargeSettings()} {
				noZero(t, reflect.TypeOf(v).String(), reflect.ValueOf(v))
			}
		})
	}

	over := strings.Replace(small, "profile: outlet-5a,", "profile: outlet-5a, rating_amps: 6, start: command, limits: {overpower: {limit_watts: 1200}}, session: {max_wh: 100},", 1)
	got, base := parsed(t, over).Outlets[0], parsed(t, small).Outlets[0]
	l := got.ProtectLimits()
	if l.RatingAmps != 6 || l.Overpower.LimitWatts != 1200 || got.SessionSettings().MaxWh != 100 || got.SessionSettings().StartBy != session.StartCommand {
		t.Errorf("overrides not applied: %+v", l)
	}
	if l.Overpower.Delay != base.Limits.Overpower.Delay || l.Overcurrent != base.ProtectLimits().Overcurrent {
		t.Error("an override changed its neighbours")
	}
}

func noZero(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	if strings.HasSuffix(path, ".Rule.Enabled") {
		return // off is a choice
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			noZero(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
		return
	}
	if v.IsZero() {
		t.Errorf("%s is zero", path)
	}
}

func TestEveryShippedNumberHasItsSource(t *testing.T) {
	value := regexp.MustCompile(`^\s*[a-z_]+:\s*([^#\s].*)$`)
	err := fs.WalkDir(firmwareconfig.Files(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".yaml") || path == "gateway.yaml" {
			return err
		}
		for i, line := range strings.Split(string(shipped(t, path)), "\n") {
			m := value.FindStringSubmatch(line)
			if m == nil || strings.HasPrefix(m[1], "true") || strings.HasPrefix(m[1], "false") || strings.Contains(line, "severity:") {
				continue
			}
			if _, source, ok := strings.Cut(line, "# "); !ok || len(source) < 5 {
				t.Errorf("%s:%d: %s: no source beside it", path, i+1, strings.TrimSpace(line))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTenFaults is the promise of the package: ten faults, ten lines.
func TestTenFaults(t *testing.T) {
	b, err := os.ReadFile("testdata/ten-faults.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = config.Parse(b)
	if err == nil {
		t.Fatal("no error")
	}
	if n := len(strings.Split(err.Error(), "\n")); n != 10 {
		t.Errorf("%d lines, want 10:\n%v", n, err)
	}
	golden(t, "testdata/ten-faults.golden", []byte(err.Error()+"\n"))
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", path, d)
	}
}

func TestSchemaFile(t *testing.T) {
	golden(t, "../../firmware-config/schema/gateway.schema.json", config.Schema())
}

// TestSchemaDescribesEveryKey walks the schema and the Go types together.
func TestSchemaDescribesEveryKey(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(shipped(t, "schema/gateway.schema.json"), &root); err != nil {
		t.Fatal(err)
	}
	keys := 0
	var walk func(path string, t reflect.Type, node map[string]any)
	walk = func(path string, typ reflect.Type, node map[string]any) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			if typ.Kind() == reflect.Slice {
				node, _ = node["items"].(map[string]any)
			}
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		properties, _ := node["properties"].(map[string]any)
		if node["additionalProperties"] != false {
			t.Errorf("%s: unknown keys are allowed", path)
		}
		for f := range typ.Fields() {
			if f.Anonymous {
				// Its keys stand in the same object.
				walk(path, f.Type, node)
				continue
			}
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			property, ok := properties[key].(map[string]any)
			if !ok {
				t.Errorf("%s.%s: not in the schema", path, key)
				continue
			}
			keys++
			if text, _ := property["description"].(string); len(text) < 12 || !strings.HasSuffix(text, ".") {
				t.Errorf("%s.%s: description %q: want a sentence", path, key, text)
			}
			walk(path+"."+key, f.Type, property)
		}
	}
	walk("", reflect.TypeFor[config.Config](), root)
	if keys < 80 {
		t.Errorf("only %d keys seen", keys)
	}
}

func TestFaults(t *testing.T) {
	replace := func(from, to string) string {
		if !strings.Contains(small, from) {
			t.Fatalf("%q is not in the text", from)
		}
		return strings.Replace(small, from, to, 1)
	}
	second := func(s string) string { return small + "  - " + s + "\n" }
	twin := `{number: 2, profile: outlet-5a, meter: {chip: acs37800, bus: main, address: 0x61}, thermometer: {chip: tmp102, bus: main, address: 0x49}, relay: {name: k, pin: 1}}`
	if _, err := config.Parse([]byte(second(twin))); err != nil {
		t.Fatalf("two outlets: %v", err)
	}
	change := func(from, to string) string {
		if !strings.Contains(twin, from) {
			t.Fatalf("%q is not in the text", from)
		}
		return second(strings.Replace(twin, from, to, 1))
	}
	muxed := func(port1, port2 int) string {
		return fmt.Sprintf(`shed: s1
uplink: {broker: "mqtts://b:8883"}
buses: [{name: main, path: /dev/i2c-1, khz: 400}]
muxes: [{name: m, chip: pca9548, bus: main}, {name: n, chip: pca9548, bus: main, address: 0x71}]
relays: [{name: k, chip: mcp23017, bus: main, active_low: false}]
outlets:
  - {number: 1, profile: outlet-5a, meter: {chip: acs37800, mux: m, port: %d}, thermometer: {chip: tmp102, bus: main}, relay: {name: k, pin: 0}}
  - {number: 2, profile: outlet-5a, meter: {chip: acs37800, mux: m, port: %d}, thermometer: {chip: tmp102, bus: main, address: 0x49}, relay: {name: k, pin: 1}}
`, port1, port2)
	}
	if _, err := config.Parse([]byte(muxed(0, 1))); err != nil {
		t.Fatalf("one address behind two ports: %v", err)
	}

	profile := func(meter string) string {
		for _, chip := range []string{"ina", "adm"} {
			if strings.Contains(meter, "chip: "+chip) {
				return "direct-5a"
			}
		}
		return "outlet-5a"
	}
	metered := func(meters ...string) string {
		text := small[:strings.Index(small, "  - ")]
		for i, m := range meters {
			text += fmt.Sprintf("  - {number: %d, profile: %s, limits: {over_temperature: {enabled: false}}, meter: {bus: main, %s}, relay: {name: k, pin: %d}}\n", i+1, profile(m), m, i)
		}
		return text
	}
	for _, good := range []string{
		metered("chip: ade7953, channel: a", "chip: ade7953, channel: b, alert: false"),
		metered("chip: ade7953, channel: b, amps_pga: 16"),
		strings.Replace(metered("chip: ade7953, channel: b, alert: false, residual: {amps_per_volt: 1, pga: 4}"), "limits: {", "limits: {residual_current: {enabled: true}, ", 1),
		metered("chip: ina3221, shunt_ohms: 0.01, channel: 3", "chip: ina3221, shunt_ohms: 0.005, channel: 1"),
		metered("chip: max34451, volts_channel: 0, amps_channel: 1", "chip: max34451, volts_channel: 0, amps_channel: 2"),
		metered("chip: ads1115", "chip: ads1115, address: 0x49, every: 600ms"),
		metered("chip: adm1276, shunt_ohms: 0.001, alert: true", "chip: ina228, shunt_ohms: 0.01"),
	} {
		if _, err := config.Parse([]byte(good)); err != nil {
			t.Errorf("%v in\n%s", err, good)
		}
	}

	for name, tt := range map[string]struct{ text, want string }{
		"empty":                {"", "empty file: want a configuration"},
		"reset is enable line": {strings.Replace(muxed(0, 1), "bus: main}, {name: n", "bus: main, reset: GPIO17}, {name: n", 1) + "actuate: {enable_line: GPIO17}\n", "muxes[0].reset: GPIO17: want a line of its own: it is actuate.enable_line (line 4)"},
		"reset of two buses": {strings.NewReplacer(
			"khz: 400}]", "khz: 400}, {name: other, path: /dev/i2c-2, khz: 400}]", "bus: main}, {name: n, chip: pca9548, bus: main", "bus: main, reset: GPIO27}, {name: n, chip: pca9548, reset: GPIO27, bus: other",
		).Replace(muxed(0, 1)), "muxes[1].reset: GPIO27: want a line for one bus: it resets a mux on bus main, too (line 4)"},
		"frozen at rest":             {replace("chip: acs37800,", "chip: acs37800, frozen: {after: 20s, at_rest: 10s},"), "outlets[0].meter.frozen.at_rest: 10s: want after or longer, 20s"},
		"frozen too soon":            {replace("chip: acs37800,", "chip: acs37800, frozen: {after: 1s},"), "outlets[0].meter.frozen.after: 1s: want a duration with its unit, 5s to 10m"},
		"comment only":               {"# nothing\n", "empty file: want a configuration"},
		"not a mapping":              {"- 1\n- 2\n", "a list: want keys and values (line 1)"},
		"two documents":              {small + "---\nshed: s2\n", "several documents: want one (line 8)"},
		"syntax":                     {"shed: [s1\n", "want a YAML file"},
		"unknown key":                {"shedd: s1\n" + small, "shedd: unknown key: want perhaps shed (line 1)"},
		"unknown far key":            {"qqqqqqqqq: s1\n" + small, "qqqqqqqqq: unknown key: want one of shed, uplink"},
		"twice":                      {"shed: s1\n" + small, "shed: given twice: want one value (line 2)"},
		"null":                       {replace("shed: s1", "shed:"), "shed: null: want 1 to 63 of"},
		"number for text":            {replace("shed: s1", "shed: 12"), "shed: 12: want 1 to 63 of"},
		"anchor":                     {replace("shed: s1", "shed: &a s1"), "shed: an anchor: want a plain value"},
		"alias":                      {replace("shed: s1", "zed: &a s1\nshed: *a"), "shed: an alias: want a plain value"},
		"merge key":                  {replace("shed: s1", "shed: s1\n<<: {}"), "<<: a merge key: want a plain key"},
		"missing section":            {replace("uplink: {broker: \"mqtts://b:8883\"}\n", ""), "uplink.broker: missing: want mqtts://host:port"},
		"broker with user":           {replace("mqtts://b", "mqtts://u:p@b"), "uplink.broker: mqtts://u:p@b:8883: want mqtts://host:port"},
		"cert without key":           {replace(`8883"`, `8883", cert_file: a.pem`), "uplink.key_file: missing: want both cert_file and key_file"},
		"user alone":                 {replace(`8883"`, `8883", username: joe`), "uplink.password_file: missing: want both username and password_file"},
		"plain with ca":              {replace(`"mqtts://b:8883"`, `"mqtt://b:1883", ca_file: a.pem`), "uplink.broker: mqtt://b:1883: want mqtts:// with certificates"},
		"no limit":                   {replace("profile: outlet-5a,", "profile: outlet-5a, limits: {overpower: {limit_watts: null}},"), "outlets[0].limits.overpower.limit_watts: null: want a number, 10 to 20000"},
		"zero limit":                 {replace("profile: outlet-5a,", "profile: outlet-5a, limits: {overpower: {limit_watts: 0}},"), "outlets[0].limits.overpower.limit_watts: 0: want a number, 10 to 20000"},
		"nan limit":                  {replace("profile: outlet-5a,", "profile: outlet-5a, limits: {overpower: {limit_watts: .nan}},"), "limit_watts: .nan: want a number, 10 to 20000"},
		"duration, no unit":          {replace("profile: outlet-5a,", "profile: outlet-5a, limits: {meter_stale: {limit: 3}},"), "outlets[0].limits.meter_stale.limit: 3: want a duration with its unit, 500ms to 10s"},
		"limits not mapping":         {replace("profile: outlet-5a,", "profile: outlet-5a, limits: 3,"), "outlets[0].limits: 3: want keys and values (line 6)"},
		"cooling below heat":         {replace("profile: outlet-5a,", "profile: outlet-5a, limits: {overcurrent: {cooling: 60s}},"), "outlets[0].limits.overcurrent.cooling: 1m0s: want 2m0s to 4h0m0s (line 6)"},
		"reset above limit":          {replace("profile: outlet-5a,", "profile: outlet-5a, limits: {over_temperature: {reset_celsius: 80}},"), "outlets[0].limits.over_temperature.reset_celsius: 80: want 20 to 65"},
		"severity":                   {replace("profile: outlet-5a,", "profile: outlet-5a, limits: {meter_stale: {severity: cleared}},"), "severity: cleared: want one of critical, major, minor, warning"},
		"no thermometer":             {replace(" thermometer: {chip: tmp102, bus: main},", ""), "outlets[0].limits.over_temperature.enabled: true: want false where there is no thermometer"},
		"unknown profile":            {replace("outlet-5a", "outlet-9a"), "outlets[0].profile: outlet-9a: want one of direct-5a, outlet-10a, outlet-16a, outlet-5a (line 6)"},
		"profile a path":             {replace("outlet-5a", "../defaults"), "outlets[0].profile: ../defaults: want one of"},
		"unknown chip":               {replace("acs37800", "ade7954"), "outlets[0].meter.chip: ade7954: want one of acs37800"},
		"short too large":            {replace("profile: outlet-5a,", "profile: outlet-16a,"), "outlets[0].meter.range_amps: 30: want a range that can measure a short circuit of 48 A"},
		"no bus":                     {replace("acs37800, bus: main", "acs37800"), "outlets[0].meter.bus: missing: want either bus, or mux and port"},
		"unknown bus":                {replace("acs37800, bus: main", "acs37800, bus: mian"), "outlets[0].meter.bus: mian: want a name of buses: main"},
		"bus and mux":                {replace("acs37800, bus: main", "acs37800, bus: main, mux: m, port: 1"), "outlets[0].meter.mux: m: want either bus, or mux and port"},
		"mux, no port":               {replace("acs37800, bus: main", "acs37800, mux: m"), "outlets[0].meter.port: missing: want a whole number, 0 to 7"},
		"unknown mux":                {replace("acs37800, bus: main", "acs37800, mux: m, port: 1"), "outlets[0].meter.mux: m: want a name of muxes"},
		"port 8":                     {muxed(0, 8), "outlets[1].meter.port: 8: want a whole number, 0 to 7"},
		"same address":               {change("0x61", "0x60"), "outlets[1].meter.address: 0x60: want an address of its own on bus main: the meter of outlet 1 answers there, too"},
		"same port":                  {muxed(1, 1), "outlets[1].meter.address: 0x60: want an address of its own on bus main: the meter of outlet 1"},
		"behind two muxes":           {strings.Replace(muxed(0, 1), "mux: m, port: 1", "mux: n, port: 1", 1), "outlets[1].meter.address: 0x60: want an address of its own"},
		"bus against mux":            {strings.Replace(muxed(0, 1), "mux: m, port: 1", "bus: main", 1), "outlets[1].meter.address: 0x60: want an address of its own"},
		"relay takes meter's":        {change("0x61", "0x20"), "outlets[1].meter.address: 0x20: want an address of its own on bus main: the relay expander k"},
		"number twice":               {change("number: 2", "number: 1"), "outlets[1].number: 1: want a number of its own: outlets[0].number has it already (line 7)"},
		"number 0":                   {change("number: 2", "number: 0"), "outlets[1].number: 0: want a whole number, 1 to 256"},
		"number huge":                {change("number: 2", "number: 99999999999999999999"), "outlets[1].number: 99999999999999999999: want a whole number, 1 to 256"},
		"number a fraction":          {change("number: 2", "number: 2.5"), "outlets[1].number: 2.5: want a whole number, 1 to 256"},
		"shunt of a hall part":       {replace("{chip: acs37800, bus: main}", "{chip: acs37800, bus: main, shunt_ohms: 0.1}"), "outlets[0].meter.shunt_ohms: 0.1: want left out: the acs37800 has no use for it"},
		"range of a shunt":           {strings.Replace(replace("{chip: acs37800, bus: main}", "{chip: ina226, bus: main, range_amps: 30}"), "outlet-5a", "direct-5a", 1), "outlets[0].meter.range_amps: 30: want left out"},
		"no channel":                 {metered("chip: ade7953"), "outlets[0].meter.channel: missing: want a value: the ade7953 of this board needs it"},
		"channel of another":         {metered("chip: ade7953, channel: 2"), "outlets[0].meter.channel: 2: want one of a, b for a ade7953"},
		"channel as text":            {metered("chip: ina3221, shunt_ohms: 0.01, channel: \"2\""), "outlets[0].meter.channel: 2: want one of a, b, 1, 2, 3"},
		"channel 4":                  {metered("chip: ina3221, shunt_ohms: 0.01, channel: 4"), "outlets[0].meter.channel: 4: want one of a, b, 1, 2, 3"},
		"channel of a single":        {metered("chip: ina226, shunt_ohms: 0.001, channel: a"), "outlets[0].meter.channel: a: want left out: the ina226 has no use for it"},
		"channel twice":              {metered("chip: ina3221, shunt_ohms: 0.01, channel: 2", "chip: ina3221, shunt_ohms: 0.01, channel: 2"), "outlets[1].meter.channel: 2: want a channel of its own: outlets[0].meter.channel has it already"},
		"channel a twice":            {metered("chip: ade7953, channel: a", "chip: ade7953, channel: a"), "outlets[1].meter.channel: a: want a channel of its own"},
		"amps channel twice":         {metered("chip: max34451, volts_channel: 0, amps_channel: 1", "chip: max34451, volts_channel: 0, amps_channel: 1"), "outlets[1].meter.amps_channel: 1: want a channel of its own"},
		"volts where amps":           {metered("chip: max34451, volts_channel: 0, amps_channel: 1", "chip: max34451, volts_channel: 1, amps_channel: 2"), "outlets[1].meter.volts_channel: 1: want a channel of voltage: outlets[0].meter.amps_channel measures a current there"},
		"volts is amps":              {metered("chip: max34451, volts_channel: 3, amps_channel: 3"), "outlets[0].meter.amps_channel: 3: want another channel than volts_channel"},
		"no amps channel":            {metered("chip: max34451, volts_channel: 3"), "outlets[0].meter.amps_channel: missing: want a value"},
		"channel 16":                 {metered("chip: max34451, volts_channel: 16, amps_channel: 0"), "outlets[0].meter.volts_channel: 16: want a whole number, 0 to 15"},
		"another chip there":         {metered("chip: ina3221, shunt_ohms: 0.01, channel: 2", "chip: ina226, shunt_ohms: 0.001"), "outlets[1].meter.address: 0x40: want an address of its own on bus main: the meter of outlet 1"},
		"two dividers":               {metered("chip: ade7953, channel: a", "chip: ade7953, channel: b, divider: 500"), "outlets[1].meter.divider: 500: want 991, as outlets[0].meter: both channels have it in common"},
		"one alert of two":           {metered("chip: ade7953, channel: a, alert: true", "chip: ade7953, channel: b"), "outlets[1].meter.alert: false: want true, as outlets[0].meter"},
		"two ratings":                {strings.Replace(metered("chip: ade7953, channel: a, alert: true", "chip: ade7953, channel: b, alert: true"), "number: 2,", "number: 2, rating_amps: 6,", 1), "outlets[1].meter.alert: true: want the same short circuit as outlets[0].meter, 15 A"},
		"residual is not measured":   {replace("meter: {", "limits: {residual_current: {enabled: true}}, meter: {"), "outlets[0].limits.residual_current.enabled: true: want false where the meter does not measure it"},
		"residual of another chip":   {metered("chip: ina226, shunt_ohms: 0.001, residual: {amps_per_volt: 1, pga: 1}"), "outlets[0].meter.residual: keys and values: want left out: the ina226 has no use for it"},
		"residual on a used channel": {metered("chip: ade7953, channel: a, residual: {amps_per_volt: 1, pga: 1}", "chip: ade7953, channel: b"), "outlets[1].meter.channel: b: want a channel of its own: outlets[0].meter.residual has it already"},
		"residual beside alert":      {metered("chip: ade7953, channel: a, alert: true, residual: {amps_per_volt: 1, pga: 1}"), "outlets[0].meter.alert: true: want false beside residual"},
		"residual out of reach":      {strings.Replace(metered("chip: ade7953, channel: a, residual: {amps_per_volt: 2, pga: 16}"), "limits: {", "limits: {residual_current: {enabled: true}, ", 1), "outlets[0].meter.residual.pga: 16: want a gain at which the channel measures twice limits.residual_current.limit_amps, 0.06 A: it ends at 0.0442 A"},
		"mains limits of 24 V":       {strings.Replace(metered("chip: ina219, shunt_ohms: 0.01"), "limits: {", "limits: {overvoltage: {enabled: true}, ", 1), "outlets[0].limits.overvoltage.limit_volts: 264: want at most 26, the highest voltage that the ina219 measures, or enabled: false"},
		"swapped volts":              {replace("meter: {", "limits: {undervoltage: {limit_volts: 200, reset_volts: 180}}, meter: {"), "outlets[0].limits.undervoltage.reset_volts: 180: want 200 to 250"},
		"under above over":           {replace("meter: {", "limits: {overvoltage: {limit_volts: 170, reset_volts: 165}}, meter: {"), "outlets[0].limits.undervoltage.limit_volts: 176: want 8 to 165"},
		"suspending a short circuit": {replace("meter: {", "limits: {short_circuit: {action: suspend}}, meter: {"), "outlets[0].limits.short_circuit.action: \"suspend\": want report or trip"},
		"an unknown action":          {replace("meter: {", "limits: {short_circuit: {action: cut}}, meter: {"), "outlets[0].limits.short_circuit.action: cut: want one of report, suspend, trip"},
		"an unknown battery":         {replace("meter: {", "battery: alkaline, meter: {"), "outlets[0].battery: alkaline: want one of lead-acid, lithium, mixed"},
		"contact of no zone":         {small + "smoke_contacts: [{zone: z, name: k, pin: 9, active_low: true, normally_closed: true, debounce: 1s, severity: critical, action: cut_zone}]\n", "smoke_contacts[0].zone: z: want a zone that an outlet names"},
		"contact on a relay":         {replace("profile: outlet-5a,", "profile: outlet-5a, zone: z,") + "smoke_contacts: [{zone: z, name: k, pin: 0, active_low: true, normally_closed: true, debounce: 1s, severity: critical, action: cut_zone}]\n", "smoke_contacts[0].pin: k pin 0: want a pin of its own: outlets[0].relay.pin has it already"},
		"contact of no expander":     {replace("profile: outlet-5a,", "profile: outlet-5a, zone: z,") + "smoke_contacts: [{zone: z, name: j, pin: 9, active_low: true, normally_closed: true, debounce: 1s, severity: critical, action: cut_zone}]\n", "smoke_contacts[0].name: j: want a name of relays: k"},
		"contact without debounce":   {replace("profile: outlet-5a,", "profile: outlet-5a, zone: z,") + "smoke_contacts: [{zone: z, name: k, pin: 9, active_low: true, normally_closed: true, debounce: 0s, severity: critical, action: cut_zone}]\n", "smoke_contacts[0].debounce: 0s: want a duration with its unit, 100ms to 10s"},
		"contact that trips":         {replace("profile: outlet-5a,", "profile: outlet-5a, zone: z,") + "smoke_contacts: [{zone: z, name: k, pin: 9, active_low: true, normally_closed: true, debounce: 1s, severity: critical, action: trip}]\n", "smoke_contacts[0].action: trip: want one of report, cut_zone, cut_shed"},
		"gain 22 on b":               {metered("chip: ade7953, channel: b, amps_pga: 22"), "outlets[0].meter.amps_pga: 22: want one of 1, 2, 4, 8, 16 on channel b"},
		"gain too high":              {metered("chip: ade7953, channel: a, amps_per_volt: 100"), "outlets[0].meter.amps_pga: 8: want a gain at which the ade7953 measures a short circuit of 15 A"},
		"address of an ade":          {metered("chip: ade7953, channel: a, address: 0x39"), "outlets[0].meter.address: 0x39: want 0x38 for a ade7953"},
		"address of an ads":          {metered("chip: ads1115, address: 0x4C"), "outlets[0].meter.address: 0x4c: want 0x48 to 0x4b for a ads1115"},
		"large shunt":                {metered("chip: ina228"), "outlets[0].meter.shunt_ohms: 0.015: want at most 0.0109, so that the ina228 measures a short circuit of 15 A (3 x rating_amps)"},
		"small transformer":          {metered("chip: ads1115, amps_per_volt: 10"), "outlets[0].meter.amps_per_volt: 10: want at least 12.9, so that the ads1115 measures a short circuit of 15 A"},
		"one input":                  {metered("chip: ads1115, volts_input: a1"), "outlets[0].meter.amps_input: a1: want another input than volts_input"},
		"alert without":              {metered("chip: ina219, shunt_ohms: 0.01, alert: true"), "outlets[0].meter.alert: true: want false: the ina219 has no limit"},
		"alert, no rule":             {strings.Replace(metered("chip: ina226, shunt_ohms: 0.001, alert: true"), "limits: {", "limits: {short_circuit: {enabled: false}, ", 1), "outlets[0].meter.alert: true: want false where limits.short_circuit is not enabled"},
		"two samplers":               {metered("chip: ads1115, every: 500ms", "chip: ads1115, address: 0x49"), "outlets[0].meter.every: 500ms: want at least 600ms for 2 ADS1115 on bus main: each keeps the bus for 300ms"},
		"four samplers":              {metered("chip: ads1115", "chip: ads1115, address: 0x49", "chip: ads1115, address: 0x4A", "chip: ads1115, address: 0x4B"), "outlets[0].meter.chip: ads1115: want at most 3 of them on bus main (there are 4)"},
		"sampler and others":         {metered("chip: ads1115", "chip: ina226, shunt_ohms: 0.001"), "outlets[0].meter.chip: ads1115: want no other kind of meter on bus main"},
		"sampler, slow bus":          {strings.Replace(metered("chip: ads1115"), "khz: 400", "khz: 100", 1), "buses[0].khz: 100: want at least 400 for an ADS1115"},
		"sampler, stale soon":        {strings.Replace(metered("chip: ads1115"), "limits: {", "limits: {meter_stale: {limit: 1500ms}, ", 1), "outlets[0].meter.every: 1s: want at most half of limits.meter_stale.limit, 1.5s"},
		"every of another":           {metered("chip: ina226, shunt_ohms: 0.001, every: 1s"), "outlets[0].meter.every: 1s: want left out"},
		"pin beyond chip":            {strings.Replace(replace("chip: mcp23017", "chip: max7310"), "pin: 0", "pin: 8", 1), "outlets[0].relay.pin: 8: want 0 to 7, the pins of expander k"},
		"sinks only":                 {replace("chip: mcp23017", "chip: pcf8574"), "relays[0].active_low: false: want true"},
		"pin twice":                  {change("pin: 1", "pin: 0"), "outlets[1].relay.pin: k pin 0: want a pin of its own: outlets[0].relay.pin has it already"},
		"siren takes pin":            {small + "siren: {name: k, pin: 0}\n", "siren.pin: k pin 0: want a pin of its own"},
		"unknown expander":           {change("{name: k, pin: 1}", "{name: kk, pin: 1}"), "outlets[1].relay.name: kk: want a name of relays: k"},
		"unused expander":            {replace("active_low: false}", "active_low: false}, {name: j, chip: mcp23017, bus: main, address: 0x21, active_low: true}"), "relays[1].name: j: want an expander that an outlet"},
		"no polarity":                {replace(", active_low: false", ""), "relays[0].active_low: missing: want true or false"},
		"no outlets":                 {small[:strings.Index(small, "  - ")] + "  []\n", "outlets: empty list: want at least 1 entry"},
		"bus too slow":               {replace("khz: 400", "khz: 10") + "poll: {hz: 50}\n", "poll.hz: 50: want at most 41 for 1 meters on bus main at 10 kHz"},
		"remote page":                {small + "status: {listen: \"0.0.0.0:9108\"}\n", "status.listen: 0.0.0.0:9108: want a loopback address"},
		"listen without ip":          {small + "status: {listen: \"localhost:9108\"}\n", "status.listen: localhost:9108: want an IP address and a port"},
		"nested too deeply":          {"a: " + strings.Repeat("[", 5000) + "\n", "nested too deeply"},
		"entries on one line":        {strings.Repeat("- ", 5000) + "\n", "nested too deeply"},
		"too large":                  {small + "# " + strings.Repeat("x", 300<<10), "bytes: want at most 262144"},
		"control characters":         {replace("shed: s1", `shed: "a\u001b[31m\nb"`), `shed: "a\x1b[31m\nb": want`},
		"alert below a step":         {strings.Replace(metered("chip: ina3221, shunt_ohms: 0.00001, channel: 1, alert: true"), "number: 1,", "number: 1, rating_amps: 3,", 1), "outlets[0].meter.alert: true: want false: with this shunt and calibration the ina3221 cannot tell"},
		"calibrated away":            {metered("chip: ina226, shunt_ohms: 0.004, amps: {gain: 0.5, offset: 0}"), "outlets[0].meter.shunt_ohms: 0.004: want at most 0.00273, so that the ina226 measures a short circuit of 15 A"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]byte(tt.text))
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error:\n%v\nwant in it:\n%s", err, tt.want)
			}
			if _, ok := errors.AsType[config.Faults](err); !ok {
				t.Errorf("%T is no Faults", err)
			}
			if _, ok := errors.AsType[*config.Fault](err); !ok {
				t.Error("no single Fault in it")
			}
			if n := len(strings.Split(err.Error(), "\n")); n > 2 {
				t.Errorf("one mistake gives %d lines:\n%v", n, err)
			}
		})
	}
}

func TestEffectiveConfigurationReadsBack(t *testing.T) {
	c := parsed(t, strings.Replace(small, `8883"`, `8883", username: joe, password_file: /run/secret`, 1)+
		`  - {number: 2, profile: outlet-5a, meter: {chip: ade7953, bus: main, channel: b, reversed: true}, thermometer: {chip: tmp102, bus: main, address: 0x49}, relay: {name: k, pin: 1}}
  - {number: 3, profile: direct-5a, meter: {chip: ina3221, bus: main, channel: 2, shunt_ohms: 0.01}, thermometer: {chip: tmp102, bus: main, address: 0x4A}, relay: {name: k, pin: 2}}
  - {number: 4, profile: outlet-5a, meter: {chip: max34451, bus: main, volts_channel: 0, amps_channel: 1}, thermometer: {chip: tmp102, bus: main, address: 0x4B}, relay: {name: k, pin: 3}}
`)
	text := c.String()
	if strings.Contains(text, "joe") {
		t.Error("the user name is shown")
	}
	back, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatalf("String does not parse: %v\n%s", err, text)
	}
	back.Uplink.Username = "joe"
	if d := cmp.Diff(c, back); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if c.Hash() != back.Hash() || len(c.Hash()) != 16 {
		t.Errorf("hashes %q and %q: want the same 16 digits", c.Hash(), back.Hash())
	}
	back.Outlets[0].Limits.Overpower.LimitWatts++
	if c.Hash() == back.Hash() {
		t.Error("the hash does not see a limit")
	}
	if again := parsed(t, "# moved\n"+small); again.Hash() != parsed(t, small).Hash() {
		t.Error("the hash sees a comment")
	}
}

func TestWarnings(t *testing.T) {
	c := parsed(t, strings.Replace(small, `"mqtts://b:8883"`, `"mqtt://b:1883", require_ack: false`, 1)+
		"clock: {source: trust}\nstatus: {listen: \"0.0.0.0:1\", allow_remote: true}\n")
	c.Outlets[0].Limits.Overpower.Enabled = false
	c.Outlets[0].Meter.Frozen.Enabled = false
	c.Muxes = append(c.Muxes, config.Mux{Name: "m", Bus: "main"})
	all := strings.Join(c.Warnings(), "\n")
	for _, want := range []string{"enable_line", "plain MQTT", "clock.source", "no login", "require_ack", "overpower: disabled on outlet 1", "meter.frozen: disabled on outlet 1", "mux m has no reset line"} {
		if !strings.Contains(all, want) {
			t.Errorf("no warning about %s in:\n%s", want, all)
		}
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode fs.FileMode) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.Replace(small, `8883"`, `8883", ca_file: ca.pem, cert_file: c.pem, key_file: k.pem, username: joe, password_file: pw`, 1)
	file("gateway.yaml", text, 0o644)
	file("ca.pem", "x", 0o644)
	file("c.pem", "x", 0o644)
	file("k.pem", "x", 0o644)
	path := filepath.Join(dir, "gateway.yaml")

	_, err := config.Load(path)
	if err == nil || !strings.Contains(err.Error(), "k.pem: want mode 0600 (it has 0644)") || !strings.Contains(err.Error(), "pw: want a readable file: no such file") {
		t.Fatalf("Load: %v: want faults of key and password", err)
	}
	if n := len(strings.Split(err.Error(), "\n")); n != 2 {
		t.Errorf("%d lines, want 2:\n%v", n, err)
	}

	file("k.pem", "x", 0o640)
	file("pw", "hunter2\n", 0o600)
	c, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(c.Warnings(), "\n"); !strings.Contains(all, "uplink.key_file") || strings.Contains(all, "password_file") {
		t.Errorf("warnings: %s", all)
	}
	if c.Uplink.CAFile != filepath.Join(dir, "ca.pem") || c.State.Dir != "/var/lib/shedguard" {
		t.Errorf("paths %q and %q", c.Uplink.CAFile, c.State.Dir)
	}
	if pw, err := c.Uplink.Password(); err != nil || pw != "hunter2" {
		t.Errorf("Password: %q, %v", pw, err)
	}

	if _, err := config.Load(filepath.Join(dir, "absent.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of an absent file: %v", err)
	}
	file("k.pem", "x", 0o620)
	if _, err := config.Load(path); err == nil {
		t.Error("a key that its group may write is accepted")
	}
}

// TestEveryRangeIsKept draws values beyond the ranges that the schema shows and
// expects each to be refused under its own path.
func TestEveryRangeIsKept(t *testing.T) {
	for path, text := range map[string]string{
		"poll.hz":                "poll: {hz: %v}",
		"outbox.max_mb":          "outbox: {max_mb: %v}",
		"telemetry.window":       "telemetry: {window: %v}",
		"poll.thermometer_every": "poll: {thermometer_every: %v}",
		"actuate.stagger":        "actuate: {stagger: %v}",
	} {
		rapid.Check(t, func(t *rapid.T) {
			n := rapid.OneOf(rapid.IntRange(-1000000, -1), rapid.IntRange(100000, 1000000)).Draw(t, "n")
			value := fmt.Sprint(n)
			if path != "poll.hz" && path != "outbox.max_mb" {
				value = (time.Duration(n) * time.Second).String()
			}
			_, err := config.Parse([]byte(small + fmt.Sprintf(text, value) + "\n"))
			if err == nil || !strings.HasPrefix(err.Error(), path+": ") {
				t.Fatalf("%s: %s: error %v", path, value, err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	for _, name := range []string{"gateway.yaml", "defaults.yaml", "profiles/outlet-5a.yaml"} {
		f.Add(shipped(f, name))
	}
	for _, chip := range []string{"ade7953, channel: a", "ina3221, channel: 2, shunt_ohms: 0.01", "max34451, volts_channel: 0, amps_channel: 1", "ads1115", "ina228, shunt_ohms: 0.01, alert: true"} {
		f.Add([]byte(strings.Replace(small, "acs37800", chip, 1)))
	}
	for _, s := range []string{"", "a", "a: &a [*a]", "? a\n: b", "!!binary a: b", "a: |\n  b", "---\n...\n---", "<<: *x", "outlets: {}", "outlets: [[[]]]", "a: {b: [", "\x00", "\xff\xfe"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := config.Parse(b)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.Contains(line, ": want ") {
					t.Errorf("%q does not say what is wanted", line)
				}
			}
			return
		}
		back, err := config.Parse([]byte(c.String()))
		if err != nil {
			t.Fatalf("String of an accepted configuration does not parse: %v", err)
		}
		if c.Uplink.Username == "" && back.Hash() != c.Hash() {
			t.Errorf("hash changes from %s to %s", c.Hash(), back.Hash())
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := shipped(b, "gateway.yaml")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := config.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
