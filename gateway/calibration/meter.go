package calibration

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/shedguard/shedguard/gateway/config"
)

// Mains reports whether a meter measures alternating current.
func Mains(m *config.Meter) bool {
	switch m.Chip {
	case "acs37800", "ade7953", "ads1115":
		return true
	default:
		return false
	}
}

// Meter names a meter by its chip and its place.
func Meter(m *config.Meter) string {
	at := m.Bus
	if m.Mux != "" && m.Port != nil {
		at = fmt.Sprintf("%s.%d", m.Mux, *m.Port)
	}
	name := fmt.Sprintf("%s at %s/%#02x", m.Chip, at, m.Address)
	if m.Channel != "" {
		name += " " + string(m.Channel)
	}
	if m.AmpsChannel != nil {
		name += fmt.Sprintf(" RS%d", *m.AmpsChannel)
	}
	return name
}

// Wiring names everything in a meter's configuration that scales its values:
// with another shunt a calibration means nothing. What is not given is not in the
// name, so that a key which a later version knows changes nothing.
func Wiring(m *config.Meter) string {
	sum := sha256.New()
	for _, scale := range []struct {
		key   string
		value any
		given bool
	}{
		{"range_amps", m.RangeAmps, m.RangeAmps != 0},
		{"divider", m.Divider, m.Divider != 0},
		{"amps_per_volt", m.AmpsPerVolt, m.AmpsPerVolt != 0},
		{"shunt_ohms", m.ShuntOhms, m.ShuntOhms != 0},
		{"volts_pga", m.VoltsPGA, m.VoltsPGA != 0},
		{"amps_pga", m.AmpsPGA, m.AmpsPGA != 0},
		{"volts_input", m.VoltsInput, m.VoltsInput != ""},
		{"amps_input", m.AmpsInput, m.AmpsInput != ""},
		{"volts_range_mv", m.VoltsRangeMV, m.VoltsRangeMV != 0},
		{"amps_range_mv", m.AmpsRangeMV, m.AmpsRangeMV != 0},
		{"phase_degrees", m.PhaseDegrees, m.PhaseDegrees != 0},
		{"reversed", m.Reversed, m.Reversed},
	} {
		if scale.given {
			fmt.Fprintf(sum, "%s=%v;", scale.key, scale.value)
		}
	}
	if m.VoltsChannel != nil {
		fmt.Fprintf(sum, "volts_channel=%d;", *m.VoltsChannel)
	}
	return hex.EncodeToString(sum.Sum(nil)[:4])
}

// FullScaleAmps is the current at which a meter ends, 0 where that depends on
// more than the configuration says.
func FullScaleAmps(m *config.Meter) float64 {
	// Of a shunt, in volts: the data sheets that the drivers name.
	switch ends := map[string]float64{"ina219": 0.32, "ina226": 0.08192, "ina228": 0.16384, "ina3221": 0.1638, "adm1272": 0.03}; {
	case m.Chip == "acs37800":
		return float64(m.RangeAmps)
	case m.ShuntOhms > 0 && ends[m.Chip] > 0:
		return ends[m.Chip] / m.ShuntOhms
	default:
		return 0
	}
}
