package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// index finds the lines of the file by path.
type index struct{ root *ast.MappingNode }

// line is the line of the longest part of path that stands in the file, or 0.
func (x *index) line(path string) int {
	var at ast.Node = x.root
	row := 0
	for part := range strings.FieldsFuncSeq(path, func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
		var next ast.Node
		if seq, ok := at.(*ast.SequenceNode); ok {
			if i, err := strconv.Atoi(part); err == nil && i < len(seq.Values) {
				next = seq.Values[i]
			}
		} else if m, ok := mapping(at); ok {
			for _, pair := range m.Values {
				if pair.Key.GetToken().Value == part {
					next = pair.Value
				}
			}
		}
		if next == nil {
			break
		}
		at, row = next, line(next)
	}
	return row
}

// checker collects the faults that concern more than one value. Values that
// could not be read are zero; they have their fault already.
type checker struct {
	lines  *index
	found  Faults // by the decoder
	faults Faults
}

func (c *checker) fault(path, value, want string) {
	c.faults = append(c.faults, &Fault{Path: path, Value: value, Want: want, Line: c.lines.line(path)})
}

// unique returns a check that each value but the empty one comes once.
func (c *checker) unique(what string) func(path, value string) {
	first := map[string]string{}
	return func(path, value string) {
		if value == "" {
			return
		}
		if other, taken := first[value]; taken {
			c.fault(path, show(value), fmt.Sprintf("a %s of its own: %s has it already", what, other))
			return
		}
		first[value] = path
	}
}

// reference checks that a name is one of those defined; what is empty has its
// fault already.
func (c *checker) reference(path, name, where string, names []string) {
	if name == "" {
		return
	}
	if slices.Contains(names, name) {
		return
	}
	want := "a name of " + where
	if len(names) > 0 && len(names) <= 12 {
		want += ": " + strings.Join(names, ", ")
	}
	c.fault(path, show(name), want)
}

// check finds the faults between values.
func (c *Config) check(lines *index, found Faults) Faults {
	k := &checker{lines: lines, found: found}
	k.names(c)
	k.resets(c)
	k.addresses(c)
	k.shared(c)
	k.outputs(c)
	k.cameras(c)
	k.outlets(c)
	k.feeder(c)
	k.plan(c)
	k.parts(c)
	return k.faults
}

func busNames(c *Config) []string {
	var names []string
	for _, b := range c.Buses {
		names = append(names, b.Name)
	}
	return names
}

func muxNames(c *Config) []string {
	var names []string
	for _, m := range c.Muxes {
		names = append(names, m.Name)
	}
	return names
}

func relayNames(c *Config) []string {
	var names []string
	for _, r := range c.Relays {
		names = append(names, r.Name)
	}
	return names
}

// names checks that names are unique and references lead somewhere.
func (c *checker) names(cfg *Config) {
	name, device := c.unique("name"), c.unique("device")
	for i, b := range cfg.Buses {
		name(fmt.Sprintf("buses[%d].name", i), b.Name)
		device(fmt.Sprintf("buses[%d].path", i), b.Path)
	}
	name = c.unique("name")
	for i, m := range cfg.Muxes {
		name(fmt.Sprintf("muxes[%d].name", i), m.Name)
		c.reference(fmt.Sprintf("muxes[%d].bus", i), m.Bus, "buses", busNames(cfg))
	}
	name = c.unique("name")
	for i, r := range cfg.Relays {
		name(fmt.Sprintf("relays[%d].name", i), r.Name)
	}
}

// resets checks that a reset line does one thing: what it resets on another bus
// would go unnoticed there.
func (c *checker) resets(cfg *Config) {
	buses := map[string]string{}
	for i, m := range cfg.Muxes {
		path := fmt.Sprintf("muxes[%d].reset", i)
		switch other, taken := buses[m.Reset]; {
		case m.Reset == "":
		case m.Reset == cfg.Actuate.EnableLine:
			c.fault(path, show(m.Reset), "a line of its own: it is actuate.enable_line")
		case taken && other != m.Bus:
			c.fault(path, show(m.Reset), "a line for one bus: it resets a mux on bus "+other+", too")
		default:
			buses[m.Reset] = m.Bus
		}
	}
}

// chip is one chip of the configuration, wherever it stands in it.
type chip struct {
	path   string
	what   string
	place  Place
	serves string // the part, where one chip serves several outlets
}

func (c *Config) chips() []chip {
	var chips []chip
	for i, r := range c.Relays {
		chips = append(chips, chip{fmt.Sprintf("relays[%d]", i), "relay expander " + r.Name, Place{Bus: r.Bus, Address: r.Address}, ""})
	}
	if f := c.Feeder; f != nil && f.Meter != nil {
		chips = append(chips, chip{"feeder.meter", "meter of the feeder", f.Meter.Place, ""})
	}
	for i := range c.Outlets {
		o := &c.Outlets[i]
		meter := chip{fmt.Sprintf("outlets[%d].meter", i), fmt.Sprintf("meter of outlet %d", o.Number), o.Meter.Place, ""}
		if serves(o.Meter.Chip) {
			meter.serves = o.Meter.Chip
		}
		chips = append(chips, meter)
		if o.Thermometer != nil {
			chips = append(chips, chip{fmt.Sprintf("outlets[%d].thermometer", i), fmt.Sprintf("thermometer of outlet %d", o.Number), o.Thermometer.Place, ""})
		}
	}
	return chips
}

// addresses checks that no two chips can answer at once: on a bus, behind a mux
// and on its bus, or behind two muxes of one bus, which are joined together.
func (c *checker) addresses(cfg *Config) {
	onBus := map[string]string{} // mux → bus
	type spot struct {
		bus, mux string
		port     int
		what     string
		serves   string
	}
	taken := map[int][]spot{}
	claim := func(path string, address int, s spot) {
		if address == 0 || s.bus == "" {
			return
		}
		for _, other := range taken[address] {
			if other.bus != s.bus {
				continue
			}
			if s.serves != "" && other.serves == s.serves && other.mux == s.mux && other.port == s.port {
				return // one chip
			}
			// Behind one mux only one port is joined at a time.
			if other.mux != "" && other.mux == s.mux && other.port != s.port {
				continue
			}
			c.fault(path+".address", fmt.Sprintf("%#02x", address),
				fmt.Sprintf("an address of its own on bus %s: the %s answers there, too", s.bus, other.what))
			return
		}
		taken[address] = append(taken[address], s)
	}
	for i, m := range cfg.Muxes {
		onBus[m.Name] = m.Bus
		claim(fmt.Sprintf("muxes[%d]", i), m.Address, spot{m.Bus, "", 0, "mux " + m.Name, ""})
	}
	for _, chip := range cfg.chips() {
		p := chip.place
		switch {
		case p.Bus == "" && p.Mux == "" && strings.HasPrefix(chip.path, "relays"): // its own fault
		case p.Bus == "" && p.Mux == "":
			c.fault(chip.path+".bus", "", "either bus, or mux and port")
		case p.Bus != "" && p.Mux != "":
			c.fault(chip.path+".mux", show(p.Mux), "either bus, or mux and port")
		case p.Bus != "" && p.Port != nil:
			c.fault(chip.path+".port", strconv.Itoa(*p.Port), "no port without a mux")
		case p.Bus != "":
			c.reference(chip.path+".bus", p.Bus, "buses", busNames(cfg))
			claim(chip.path, p.Address, spot{p.Bus, "", 0, chip.what, chip.serves})
		case p.Port == nil:
			c.fault(chip.path+".port", "", "a whole number, 0 to 7")
		default:
			c.reference(chip.path+".mux", p.Mux, "muxes", muxNames(cfg))
			claim(chip.path, p.Address, spot{onBus[p.Mux], p.Mux, *p.Port, chip.what, chip.serves})
		}
	}
}

// outputs checks that every pin drives one thing.
func (c *checker) outputs(cfg *Config) {
	pin, used := c.unique("pin"), map[string]bool{}
	use := func(path string, p *Pin) {
		if p == nil || p.Name == "" {
			return
		}
		c.reference(path+".name", p.Name, "relays", relayNames(cfg))
		used[p.Name] = true
		if last := lastPin(cfg, p.Name); p.Pin > last {
			c.fault(path+".pin", strconv.Itoa(p.Pin), fmt.Sprintf("0 to %d, the pins of expander %s", last, p.Name))
		}
		if p.ActiveLow != nil && !*p.ActiveLow && sinksOnly(cfg, p.Name) {
			c.fault(path+".active_low", "false", "true: this expander's outputs are high before anybody wrote them")
		}
		pin(path+".pin", fmt.Sprintf("%s pin %d", p.Name, p.Pin))
	}
	for i := range cfg.Outlets {
		use(fmt.Sprintf("outlets[%d].relay", i), &cfg.Outlets[i].Relay)
	}
	use("siren", cfg.Siren)
	use("lamp", cfg.Lamp)
	use("suppression.output", cfg.SuppressionOutput())
	zones := map[string]bool{}
	for i := range cfg.Outlets {
		zones[cfg.Outlets[i].Zone] = true
	}
	for i := range cfg.SmokeContacts {
		s, at := &cfg.SmokeContacts[i], fmt.Sprintf("smoke_contacts[%d]", i)
		if s.Name != "" {
			c.reference(at+".name", s.Name, "relays", relayNames(cfg))
			if last := lastPin(cfg, s.Name); s.Pin > last {
				c.fault(at+".pin", strconv.Itoa(s.Pin), fmt.Sprintf("0 to %d, the pins of expander %s", last, s.Name))
			}
			pin(at+".pin", fmt.Sprintf("%s pin %d", s.Name, s.Pin))
		}
		if s.Zone != "" && !zones[s.Zone] {
			c.fault(at+".zone", show(s.Zone), "a zone that an outlet names")
		}
	}
	for i := range cfg.Relays {
		if r := &cfg.Relays[i]; r.Address != 0 && r.Chip != "" && r.Chip != "max7310" && (r.Address < 0x20 || r.Address > 0x27) {
			c.fault(fmt.Sprintf("relays[%d].address", i), fmt.Sprintf("%#02x", r.Address), "a whole number, 0x20 to 0x27, for a "+r.Chip)
		}
		if r := &cfg.Relays[i]; !r.ActiveLow && r.Chip == sinking {
			c.fault(fmt.Sprintf("relays[%d].active_low", i), "false", "true: a "+sinking+" can only sink, and its outputs are high before anybody wrote them")
		}
		if name := cfg.Relays[i].Name; name != "" && !used[name] {
			c.fault(fmt.Sprintf("relays[%d].name", i), show(name), "an expander that an outlet, the siren, the lamp or the suppression uses")
		}
	}
}

// sinking is the expander whose outputs can only pull low, and are high after
// power-on: a relay that closes on a high pin would be fed by it.
const sinking = "pcf8574"

func sinksOnly(cfg *Config, name string) bool {
	return slices.ContainsFunc(cfg.Relays, func(r Expander) bool { return r.Name == name && r.Chip == sinking })
}

// lastPin is the highest pin of an expander.
func lastPin(cfg *Config, name string) int {
	if slices.ContainsFunc(cfg.Relays, func(r Expander) bool { return r.Name == name && r.Chip != "mcp23017" && r.Chip != "" }) {
		return 7
	}
	return 15
}

// outlets checks each outlet by itself.
func (c *checker) outlets(cfg *Config) {
	number := c.unique("number")
	for i := range cfg.Outlets {
		o := &cfg.Outlets[i]
		at := fmt.Sprintf("outlets[%d]", i)
		if o.Number != 0 {
			number(at+".number", strconv.Itoa(o.Number))
		}
		if o.Meter.Chip != "" {
			c.wiring(at+".meter", &o.Meter)
			c.reach(at, o)
		}
		if f := &o.Meter.Frozen; f.AtRest != 0 && f.AtRest < f.After {
			c.fault(at+".meter.frozen.at_rest", f.AtRest.String(), "after or longer, "+f.After.String())
		}
		c.rules(at, o)
		if t := o.Limits.OverTemperature; t.Enabled && o.Thermometer == nil {
			c.fault(at+".limits.over_temperature.enabled", "true", "false where there is no thermometer")
		}
		if o.Limits.ResidualCurrent.Enabled && o.Meter.Residual == nil && o.Meter.Chip != "" {
			c.fault(at+".limits.residual_current.enabled", "true", "false where the meter does not measure it: only an ade7953 can, by its key residual")
		}
	}
}

// BusOf is the name of the bus that a place is on, mux or not.
func (c *Config) BusOf(p *Place) string {
	for _, m := range c.Muxes {
		if p.Mux != "" && m.Name == p.Mux {
			return m.Bus
		}
	}
	return p.Bus
}

// parts checks uplink and status.
func (c *checker) parts(cfg *Config) {
	u := &cfg.Uplink
	if (u.CertFile == "") != (u.KeyFile == "") {
		missing := "cert_file"
		if u.KeyFile == "" {
			missing = "key_file"
		}
		c.fault("uplink."+missing, "", "both cert_file and key_file, or neither")
	}
	if (u.Username == "") != (u.PasswordFile == "") {
		missing := "username"
		if u.PasswordFile == "" {
			missing = "password_file"
		}
		c.fault("uplink."+missing, "", "both username and password_file, or neither")
	}
	if strings.HasPrefix(u.Broker, "mqtt:") && (u.CAFile != "" || u.CertFile != "") {
		c.fault("uplink.broker", show(u.Broker), "mqtts:// with certificates")
	}
	if s := &cfg.Status; s.Listen != "" && !s.AllowRemote && !loopback(s.Listen) {
		c.fault("status.listen", show(s.Listen), "a loopback address, as 127.0.0.1:9108, or allow_remote: true")
	}
}

// warnings are those that do not need the files.
func (c *Config) warnings() []string {
	var warnings []string
	if c.Actuate.EnableLine == "" {
		meters := map[string]bool{}
		for i := range c.Outlets {
			meters[c.BusOf(&c.Outlets[i].Meter.Place)] = true
		}
		for i := range c.Relays {
			if bus := c.Relays[i].Bus; meters[bus] {
				warnings = append(warnings, fmt.Sprintf(
					"relays[%d]: %s shares bus %s with meters and there is no actuate.enable_line: if that bus hangs, no relay can be opened by software",
					i, show(c.Relays[i].Name), bus))
			}
		}
	}
	for i, m := range c.Muxes {
		if m.Reset == "" {
			warnings = append(warnings, fmt.Sprintf("muxes[%d].reset: mux %s has no reset line: a chip behind it that holds the bus stops every outlet on bus %s", i, show(m.Name), m.Bus))
		}
	}
	if strings.HasPrefix(c.Uplink.Broker, "mqtt:") && !loopbackBroker(c.Uplink.Broker) {
		warnings = append(warnings, "uplink.broker: "+show(c.Uplink.Broker)+": plain MQTT: anybody on the way can read it and give commands")
	}
	if c.Clock.Source == "trust" {
		warnings = append(warnings, "clock.source: trust: commands with an expiry are believed whatever the clock says")
	}
	if c.Status.AllowRemote && !loopback(c.Status.Listen) {
		warnings = append(warnings, "status.allow_remote: "+show(c.Status.Listen)+": the page has no login")
	}
	if !c.Uplink.RequireAck {
		warnings = append(warnings, "uplink.require_ack: false: an alarm leaves the gateway on the broker's word alone")
	}
	if s := c.Suppression; s != nil && s.Enabled {
		warnings = append(warnings, "suppression.enabled: true: a fire on which two senses agree releases the agent after "+s.Veto.String()+" unless somebody vetoes")
	}
	if w := c.feederWarning(); w != "" {
		warnings = append(warnings, w)
	}
	for i := range c.SmokeContacts {
		s := &c.SmokeContacts[i]
		if !s.NormallyClosed {
			warnings = append(warnings, fmt.Sprintf("smoke_contacts[%d].normally_closed: false: nobody notices a broken wire to the detector of zone %s", i, s.Zone))
		}
		if s.Action == "report" {
			warnings = append(warnings, fmt.Sprintf("smoke_contacts[%d]: only reports smoke in zone %s", i, s.Zone))
		}
	}
	for i := range c.Outlets {
		o := &c.Outlets[i]
		if !o.Meter.Frozen.Enabled {
			warnings = append(warnings, fmt.Sprintf("outlets[%d].meter.frozen: disabled on outlet %d", i, o.Number))
		}
		if o.Meter.Chip == sampling && o.Limits.ShortCircuit.Enabled {
			warnings = append(warnings, fmt.Sprintf("outlets[%d].meter.every: %s: an ADS1115 sees a short circuit of outlet %d after up to %s: a fuse or breaker must be faster",
				i, o.Meter.Every, o.Number, 2*o.Meter.Every))
		}
		for _, note := range o.Limits.notes() {
			warnings = append(warnings, fmt.Sprintf("outlets[%d].limits.%s on outlet %d", i, note, o.Number))
		}
	}
	return warnings
}
