package scan

import (
	"fmt"
	"slices"

	"github.com/shedguard/shedguard/gateway/config"
)

// Expect returns the chips that a configuration names.
func Expect(cfg *config.Config) []Want {
	var wants []Want
	for _, m := range cfg.Muxes {
		wants = append(wants, Want{Place{Bus: m.Bus, Address: address(m.Address)}, m.Chip, "mux " + m.Name})
	}
	for _, r := range cfg.Relays {
		wants = append(wants, Want{Place{Bus: r.Bus, Address: address(r.Address)}, r.Chip, "relays " + r.Name})
	}
	if f := cfg.Feeder; f != nil && f.Meter != nil {
		wants = append(wants, Want{place(cfg, &f.Meter.Place), f.Meter.Chip, "feeder meter"})
	}
	for i := range cfg.Outlets {
		o := &cfg.Outlets[i]
		wants = append(wants, Want{place(cfg, &o.Meter.Place), o.Meter.Chip, fmt.Sprintf("outlet %d meter", o.Number)})
		if t := o.Thermometer; t != nil {
			wants = append(wants, Want{place(cfg, &t.Place), t.Chip, fmt.Sprintf("outlet %d thermometer", o.Number)})
		}
	}
	return wants
}

func place(cfg *config.Config, p *config.Place) Place {
	at := Place{Bus: p.Bus, Address: address(p.Address)}
	if i := slices.IndexFunc(cfg.Muxes, func(m config.Mux) bool { return m.Name == p.Mux }); i >= 0 {
		at.Bus, at.Mux = cfg.Muxes[i].Bus, address(cfg.Muxes[i].Address)
		if p.Port != nil {
			at.Port = *p.Port
		}
	}
	return at
}

// address is an address of a configuration, which has checked its range.
func address(n int) uint16 { return uint16(n & 0x7F) }
