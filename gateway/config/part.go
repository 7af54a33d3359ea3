package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// part is what the rest of a meter's entry must say for a chip.
type part struct {
	low, high int      // addresses
	needs     []string // keys without which it cannot measure
	may       []string // further keys of its own
	channels  []string // where it serves several outlets
	alert     bool     // it compares the current with a limit by itself
	// reach is the RMS or direct current at the end of its range, and the key
	// that decides it.
	reach func(m *Meter) float64
	key   string
	// volts is the highest direct voltage it measures; 0 where a divider decides.
	volts float64
	// step is the least limit in A; in V across the shunt where there is one.
	step float64
	// bits on the bus for reading that many outlets once.
	bits func(outlets, alerts int) int
}

// Bits on the bus: a start, a stop, addresses, and nine for each byte.
const (
	portBits  = 11 + 9       // the control byte that selects a port of a mux
	setBits   = 11 + 9*2     // a register of one byte is written
	byteBits  = 21 + 9*(1+1) // a register of one byte is read
	wordBits  = 21 + 9*(1+2)
	threeBits = 21 + 9*(1+3)
	fourBits  = 21 + 9*(1+4)
	adeBits   = 21 + 9*(2+4) // of 32 bits, by an address of 16
	adeHalf   = 21 + 9*(2+2)
	pageBits  = setBits + byteBits
)

// An ADS1115 samples both transformers in turn for a window, and its bus does
// nothing else meanwhile.
const (
	samplingTakes = 300 * time.Millisecond // a window of 250 ms, its first and last conversion, and slack
	samplingKHz   = 400                    // below, a conversion and its bytes do not fit into 1.5 ms
)

const (
	sampling = "ads1115"
	warns    = "ina3221" // of an overcurrent as well
	energy   = "ade7953"
	pages    = "max34451"
)

// parts are the chips that measure.
func parts() map[string]*part {
	shunt := func(millivolts float64) func(*Meter) float64 {
		return func(m *Meter) float64 { return millivolts / 1000 / m.ShuntOhms }
	}
	direct := func(low, high int, volts, millivolts float64, alert bool, bits int) *part {
		return &part{
			volts: volts,
			low:   low, high: high, needs: []string{"shunt_ohms"}, alert: alert, reach: shunt(millivolts), key: "shunt_ohms",
			step: 50e-6,
			bits: func(_, alerts int) int { return bits + alerts*wordBits },
		}
	}
	hotSwap := func(volts, millivolts float64, config int) *part {
		p := direct(0x08, 0x77, volts, millivolts, true, 3*wordBits+config)
		p.bits = func(_, alerts int) int { return 3*wordBits + config + alerts*(wordBits+byteBits) }
		return p
	}
	acs := &part{low: 0x08, high: 0x77, needs: []string{"range_amps", "divider"}, key: "range_amps"}
	acs.reach = func(m *Meter) float64 { return 1.1 * float64(m.RangeAmps) } // it clips at 1.19 x range
	acs.bits = func(int, int) int { return 3 * fourBits }
	ade := &part{low: 0x38, high: 0x38, needs: []string{"channel", "divider", "amps_per_volt", "volts_pga", "amps_pga"}, may: []string{"reversed", "residual"}}
	ade.channels, ade.alert, ade.key, ade.step = []string{"a", "b"}, true, "amps_pga", 0.1
	ade.reach = func(m *Meter) float64 { return 0.5 / math.Sqrt2 / float64(m.AmpsPGA) * m.AmpsPerVolt }
	ade.bits = func(outlets, alerts int) int {
		return 2*adeBits + adeHalf + outlets*(4*adeBits+adeHalf) + min(alerts, 1)*2*adeBits
	}
	ads := &part{
		low: 0x48, high: 0x4B, key: "amps_per_volt", may: []string{"phase_degrees", "reversed"},
		needs: []string{"divider", "amps_per_volt", "volts_input", "amps_input", "volts_range_mv", "amps_range_mv", "supply_mv", "every"},
	}
	ads.reach = func(m *Meter) float64 { // around half the supply
		return float64(min(m.SupplyMV/2, m.AmpsRangeMV)) / 1000 / math.Sqrt2 * m.AmpsPerVolt
	}
	ina3221 := direct(0x40, 0x43, 26, 163.7, true, 0)
	ina3221.needs, ina3221.channels = append(ina3221.needs, "channel"), []string{"1", "2", "3"}
	ina3221.bits = func(outlets, alerts int) int { return (2*outlets + 1 + min(alerts, 1)) * wordBits }
	maxim := &part{low: 0x08, high: 0x77, needs: []string{"volts_channel", "amps_channel"}, alert: true, key: "amps_channel", step: 0.02}
	maxim.channels = []string{} // its two channels are checked apart
	maxim.reach = func(*Meter) float64 { return 327 }
	maxim.bits = func(outlets, alerts int) int {
		return 2*outlets*(pageBits+2*wordBits) + alerts*(2*wordBits+pageBits)
	}
	return map[string]*part{
		"acs37800": acs,
		energy:     ade,
		"adm1272":  hotSwap(100, 30, wordBits),
		"adm1275":  hotSwap(20, 25.3, byteBits),
		"adm1276":  hotSwap(20, 25.3, byteBits),
		"adm1278":  hotSwap(20, 25.3, wordBits),
		sampling:   ads,
		"ina219":   direct(0x40, 0x4F, 26, 320, false, 3*wordBits),
		"ina226":   direct(0x40, 0x4F, 36, 81.91, true, 3*wordBits),
		"ina228":   direct(0x40, 0x4F, 85, 163.8, true, 2*threeBits+wordBits),
		"ina3221":  ina3221,
		pages:      maxim,
	}
}

// serves reports whether a chip measures several outlets.
func serves(chip string) bool {
	p := parts()[chip]
	return p != nil && p.channels != nil
}

// Reach is the RMS or direct current in A at the end of the meter's range, before
// calibration.
func (m *Meter) Reach() float64 {
	if p := parts()[m.Chip]; p != nil {
		return p.reach(m)
	}
	return 0
}

// Shown is what the meter shows of a current before calibration.
func (m *Meter) Shown(amps float64) float64 { return (amps - m.Amps.Offset) / m.Amps.Gain }

// AlertAmps is the current at which a short circuit begins, and at which the
// meter's own limit is programmed where there is one.
func (o *Outlet) AlertAmps() float64 { return o.Limits.ShortCircuit.TimesRating * o.RatingAmps }

// wiring checks that a meter's board is described as its chip needs, and no
// further: a value that another chip would use is a mistake about the part.
func (c *checker) wiring(at string, m *Meter) {
	p := parts()[m.Chip]
	number := func(x float64) (bool, string) { return x != 0, strconv.FormatFloat(x, 'g', -1, 64) }
	pointer := func(n *int) (bool, string) {
		if n == nil {
			return false, ""
		}
		return true, strconv.Itoa(*n)
	}
	word := func(s string) (bool, string) { return s != "", show(s) }
	check := func(key string, given bool, value string) {
		switch {
		case slices.Contains(p.needs, key) && !given:
			c.fault(at+"."+key, "", "a value: the "+m.Chip+" of this board needs it")
		case given && !slices.Contains(p.needs, key) && !slices.Contains(p.may, key):
			c.fault(at+"."+key, value, "left out: the "+m.Chip+" has no use for it")
		}
	}
	for _, v := range []struct {
		key   string
		given func() (bool, string)
	}{
		{"channel", func() (bool, string) { return word(string(m.Channel)) }},
		{"volts_channel", func() (bool, string) { return pointer(m.VoltsChannel) }},
		{"amps_channel", func() (bool, string) { return pointer(m.AmpsChannel) }},
		{"range_amps", func() (bool, string) { return number(float64(m.RangeAmps)) }},
		{"divider", func() (bool, string) { return number(m.Divider) }},
		{"amps_per_volt", func() (bool, string) { return number(m.AmpsPerVolt) }},
		{"shunt_ohms", func() (bool, string) { return number(m.ShuntOhms) }},
		{"volts_pga", func() (bool, string) { return number(float64(m.VoltsPGA)) }},
		{"amps_pga", func() (bool, string) { return number(float64(m.AmpsPGA)) }},
		{"volts_input", func() (bool, string) { return word(m.VoltsInput) }},
		{"amps_input", func() (bool, string) { return word(m.AmpsInput) }},
		{"volts_range_mv", func() (bool, string) { return number(float64(m.VoltsRangeMV)) }},
		{"amps_range_mv", func() (bool, string) { return number(float64(m.AmpsRangeMV)) }},
		{"supply_mv", func() (bool, string) { return number(float64(m.SupplyMV)) }},
		{"phase_degrees", func() (bool, string) { return number(m.PhaseDegrees) }},
		{"reversed", func() (bool, string) { return m.Reversed, "true" }},
		{"residual", func() (bool, string) { return m.Residual != nil, "keys and values" }},
		{"every", func() (bool, string) { return m.Every != 0, m.Every.String() }},
	} {
		given, value := v.given()
		if c.broken(at + "." + v.key) {
			continue
		}
		check(v.key, given, value)
	}
	if m.Address != 0 && (m.Address < p.low || m.Address > p.high) {
		want := fmt.Sprintf("%#02x to %#02x", p.low, p.high)
		if p.low == p.high {
			want = fmt.Sprintf("%#02x", p.low)
		}
		c.fault(at+".address", fmt.Sprintf("%#02x", m.Address), want+" for a "+m.Chip)
	}
	if m.Channel != "" && len(p.channels) > 0 && !slices.Contains(p.channels, string(m.Channel)) {
		c.fault(at+".channel", string(m.Channel), "one of "+strings.Join(p.channels, ", ")+" for a "+m.Chip)
	}
	if m.Chip == energy && m.AmpsPGA == 22 && m.Channel != "a" {
		c.fault(at+".amps_pga", "22", "one of 1, 2, 4, 8, 16 on channel "+string(m.Channel))
	}
	if m.Chip == sampling && m.VoltsInput != "" && m.VoltsInput == m.AmpsInput {
		c.fault(at+".amps_input", m.AmpsInput, "another input than volts_input")
	}
	if m.Chip == pages && m.VoltsChannel != nil && m.AmpsChannel != nil && *m.VoltsChannel == *m.AmpsChannel {
		c.fault(at+".amps_channel", strconv.Itoa(*m.AmpsChannel), "another channel than volts_channel")
	}
}

// broken reports whether a value has its fault already.
func (c *checker) broken(path string) bool {
	return slices.ContainsFunc(c.found, func(f *Fault) bool { return f.Path == path })
}

// reach checks that a meter can measure what counts as a short circuit, and
// programs its limit only where there is one.
func (c *checker) reach(at string, o *Outlet) {
	p, m := parts()[o.Meter.Chip], &o.Meter
	if m.Chip == pages && m.AmpsChannel == nil {
		return // a fault of its own
	}
	short := &o.Limits.ShortCircuit
	if m.Amps.Gain == 0 || o.RatingAmps <= 0 {
		return // faults of their own
	}
	need := m.Shown(o.AlertAmps())
	if amps := p.reach(m); short.Enabled && amps > 0 && !math.IsInf(amps, 0) && need > amps {
		value, want := strconv.Itoa(m.RangeAmps), "a range that can measure"
		switch p.key {
		case "shunt_ohms":
			value, want = strconv.FormatFloat(m.ShuntOhms, 'g', -1, 64), fmt.Sprintf("at most %.3g, so that the %s measures", m.ShuntOhms*amps/need, m.Chip)
		case "amps_pga":
			value, want = strconv.Itoa(m.AmpsPGA), fmt.Sprintf("a gain at which the %s measures", m.Chip)
		case "amps_per_volt":
			value, want = strconv.FormatFloat(m.AmpsPerVolt, 'g', -1, 64), fmt.Sprintf("at least %.3g, so that the %s measures", m.AmpsPerVolt*need/amps, m.Chip)
		case "amps_channel":
			value, want = strconv.Itoa(*m.AmpsChannel), fmt.Sprintf("a meter other than the %s for", m.Chip)
		}
		c.fault(at+".meter."+p.key, value, fmt.Sprintf("%s a short circuit of %g A (%g x rating_amps)", want, o.AlertAmps(), short.TimesRating))
	}
	for _, v := range []struct {
		rule    string
		enabled bool
		volts   float64
	}{
		{"overvoltage", o.Limits.Overvoltage.Enabled, o.Limits.Overvoltage.LimitVolts},
		{"undervoltage", o.Limits.Undervoltage.Enabled, o.Limits.Undervoltage.LimitVolts},
	} {
		if v.enabled && p.volts > 0 && v.volts > p.volts {
			c.fault(at+".limits."+v.rule+".limit_volts", strconv.FormatFloat(v.volts, 'g', -1, 64),
				fmt.Sprintf("at most %g, the highest voltage that the %s measures, or enabled: false", p.volts, m.Chip))
		}
	}
	if r, l := m.Residual, &o.Limits.ResidualCurrent; r != nil && r.PGA != 0 && l.Enabled {
		if amps := 0.5 / math.Sqrt2 / float64(r.PGA) * r.AmpsPerVolt; amps > 0 && amps < 2*l.LimitAmps {
			c.fault(at+".meter.residual.pga", strconv.Itoa(r.PGA), fmt.Sprintf("a gain at which the channel measures twice limits.residual_current.limit_amps, %g A: it ends at %.3g A", 2*l.LimitAmps, amps))
		}
	}
	if m.Residual != nil && m.Alert {
		c.fault(at+".meter.alert", "true", "false beside residual: both channels have one limit")
	}
	switch {
	case m.Alert && !p.alert:
		c.fault(at+".meter.alert", "true", "false: the "+m.Chip+" has no limit of the current that can be programmed")
	case m.Alert && !short.Enabled:
		c.fault(at+".meter.alert", "true", "false where limits.short_circuit is not enabled: its limit is programmed from it")
	}
	if m.Alert && short.Enabled {
		c.alert(at, o, p)
	}
	if m.Every != 0 && m.Chip == sampling && o.Limits.MeterStale.Enabled && 2*m.Every > o.Limits.MeterStale.Limit {
		c.fault(at+".meter.every", m.Every.String(), fmt.Sprintf("at most half of limits.meter_stale.limit, %s", o.Limits.MeterStale.Limit))
	}
}

// alert checks that the limits are at least a step of the chip.
func (c *checker) alert(at string, o *Outlet, p *part) {
	m := &o.Meter
	lowest := o.AlertAmps()
	if pick := &o.Limits.Overcurrent; m.Chip == warns && pick.Enabled {
		lowest = min(lowest, pick.PickUp*o.RatingAmps)
	}
	step := p.step
	if p.key == "shunt_ohms" {
		step /= m.ShuntOhms
	}
	if m.Shown(lowest) < step {
		c.fault(at+".meter.alert", "true", fmt.Sprintf("false: with this shunt and calibration the %s cannot tell %.3g A from none", m.Chip, lowest))
	}
}

// shared checks that outlets on one chip agree about it and share no channel.
func (c *checker) shared(cfg *Config) {
	first := map[string]int{} // of a chip, by its place
	taken := map[string]string{}
	claim := func(path, what string) {
		if other, ok := taken[what]; ok {
			c.fault(path, what[strings.LastIndexByte(what, ' ')+1:], "a channel of its own: "+other+" has it already")
			return
		}
		taken[what] = path
	}
	for i := range cfg.Outlets {
		m := &cfg.Outlets[i].Meter
		if !serves(m.Chip) || m.Address == 0 {
			continue
		}
		at := fmt.Sprintf("outlets[%d].meter", i)
		key := m.key() + " " + m.Chip
		if m.Channel != "" {
			claim(at+".channel", key+" "+string(m.Channel))
		}
		if m.Residual != nil && m.Channel != "" {
			claim(at+".residual", key+" "+map[Channel]string{"a": "b", "b": "a"}[m.Channel])
		}
		if m.AmpsChannel != nil {
			claim(at+".amps_channel", key+" "+strconv.Itoa(*m.AmpsChannel))
		}
		j, ok := first[key]
		if !ok {
			first[key] = i
			continue
		}
		if m.Chip == energy {
			c.agree(at, fmt.Sprintf("outlets[%d].meter", j), &cfg.Outlets[i], &cfg.Outlets[j])
		}
	}
	// A channel measures a voltage or a current.
	for i := range cfg.Outlets {
		m := &cfg.Outlets[i].Meter
		if m.Chip != pages || m.VoltsChannel == nil || m.AmpsChannel != nil && *m.VoltsChannel == *m.AmpsChannel {
			continue
		}
		what := m.key() + " " + m.Chip + " " + strconv.Itoa(*m.VoltsChannel)
		if other, ok := taken[what]; ok {
			c.fault(fmt.Sprintf("outlets[%d].meter.volts_channel", i), strconv.Itoa(*m.VoltsChannel), "a channel of voltage: "+other+" measures a current there")
		}
	}
}

// agree checks what one voltage input and one register of the limit make common
// to both channels of an ADE7953.
func (c *checker) agree(at, other string, o, first *Outlet) {
	m, f := &o.Meter, &first.Meter
	for _, v := range []struct {
		key, value, want string
	}{
		{"divider", strconv.FormatFloat(m.Divider, 'g', -1, 64), strconv.FormatFloat(f.Divider, 'g', -1, 64)},
		{"volts_pga", strconv.Itoa(m.VoltsPGA), strconv.Itoa(f.VoltsPGA)},
		{"alert", strconv.FormatBool(m.Alert), strconv.FormatBool(f.Alert)},
	} {
		if v.value != v.want {
			c.fault(at+"."+v.key, v.value, v.want+", as "+other+": both channels have it in common")
		}
	}
	if m.Alert && f.Alert && o.AlertAmps() != first.AlertAmps() {
		c.fault(at+".alert", "true", fmt.Sprintf("the same short circuit as %s, %g A: both channels have one limit", other, first.AlertAmps()))
	}
}

// key tells places apart.
func (p *Place) key() string {
	port := -1
	if p.Port != nil {
		port = *p.Port
	}
	return fmt.Sprintf("%s/%s.%d/%#02x", p.Bus, p.Mux, port, p.Address)
}

const mostOfTheBus = 0.9

// plan checks that the buses carry the readings that are asked for.
func (c *checker) plan(cfg *Config) {
	for i, b := range cfg.Buses {
		var sampled []int // outlets
		meters, bits := 0, 0
		type load struct{ outlets, alerts int }
		chips := map[string]*load{}
		for i := range cfg.Outlets {
			m := &cfg.Outlets[i].Meter
			if cfg.BusOf(&m.Place) != b.Name || parts()[m.Chip] == nil {
				continue
			}
			meters++
			if m.Chip == sampling {
				sampled = append(sampled, i)
				continue
			}
			key := m.Chip + " " + m.key()
			if chips[key] == nil {
				chips[key] = &load{}
			}
			chips[key].outlets++
			if m.Residual != nil {
				chips[key].outlets++ // its channel is read as that of one
			}
			if m.Alert {
				chips[key].alerts++
			}
		}
		if f := cfg.Feeder; f != nil && f.Meter != nil && cfg.BusOf(&f.Meter.Place) == b.Name && parts()[f.Meter.Chip] != nil {
			meters++
			bits += parts()[f.Meter.Chip].bits(1, 0) + portBits
		}
		if len(sampled) > 0 {
			c.sampling(cfg, i, sampled, meters)
			continue
		}
		for key, l := range chips {
			chip, _, _ := strings.Cut(key, " ")
			bits += parts()[chip].bits(l.outlets, l.alerts) + l.outlets*portBits
		}
		if bits == 0 || b.KHz == 0 || cfg.Poll.Hz == 0 {
			continue
		}
		if most := int(mostOfTheBus * float64(b.KHz) * 1000 / float64(bits)); cfg.Poll.Hz > most {
			c.fault("poll.hz", strconv.Itoa(cfg.Poll.Hz), fmt.Sprintf("at most %d for %d meters on bus %s at %d kHz", most, meters, b.Name, b.KHz))
		}
	}
}

// sampling checks a bus on which a converter measures.
func (c *checker) sampling(cfg *Config, bus int, outlets []int, meters int) {
	b := &cfg.Buses[bus]
	if b.KHz != 0 && b.KHz < samplingKHz {
		c.fault(fmt.Sprintf("buses[%d].khz", bus), strconv.Itoa(b.KHz), fmt.Sprintf("at least %d for an ADS1115", samplingKHz))
	}
	least := time.Duration(len(outlets)) * samplingTakes
	for n, i := range outlets {
		m := &cfg.Outlets[i].Meter
		at := fmt.Sprintf("outlets[%d].meter", i)
		switch {
		case meters > len(outlets):
			if n == 0 {
				c.fault(at+".chip", sampling, fmt.Sprintf("no other kind of meter on bus %s: an ADS1115 keeps its bus for %s of each measurement", b.Name, samplingTakes))
			}
		case least > time.Second:
			if n == 0 {
				c.fault(at+".chip", sampling, fmt.Sprintf("at most %d of them on bus %s (there are %d): each keeps the bus for %s", time.Second/samplingTakes, b.Name, len(outlets), samplingTakes))
			}
		case m.Every != 0 && m.Every < least:
			c.fault(at+".every", m.Every.String(), fmt.Sprintf("at least %s for %d ADS1115 on bus %s: each keeps the bus for %s", least, len(outlets), b.Name, samplingTakes))
		}
	}
}
