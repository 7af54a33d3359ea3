package board

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"periph.io/x/conn/v3/i2c"

	"github.com/shedguard/shedguard/drivers/pca9548"
	"github.com/shedguard/shedguard/gateway/actuate"
	"github.com/shedguard/shedguard/gateway/calibration"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/poll"
)

// Board is a configuration on its buses.
type Board struct {
	polls   []poll.Options
	relays  actuate.Options
	outlets map[int]*config.Outlet // copies: calibration changes them
	index   map[string]int         // of the expanders in relays
}

// New wires cfg to the open buses, by their names in cfg. The configuration
// must be one that config.Load accepted. Every fault comes at once. Without a
// recovery nothing but the muxes themselves is asked to bring a bus back.
func New(cfg *config.Config, buses map[string]i2c.Bus, recovery *Recovery) (*Board, error) {
	b := &Board{outlets: make(map[int]*config.Outlet)}
	var errs []error
	muxes := map[string]*pca9548.Dev{}
	healers := map[string]*healer{}
	for i := range cfg.Buses {
		h := &healer{bus: cfg.Buses[i].Name}
		if recovery != nil {
			h.reopen = recovery.Reopen
		}
		healers[h.bus] = h
	}
	for i := range cfg.Muxes {
		m := &cfg.Muxes[i]
		bus, ok := buses[m.Bus]
		if !ok {
			errs = append(errs, fmt.Errorf("mux %s: bus %s is not open", m.Name, m.Bus))
			continue
		}
		dev, err := pca9548.New(bus, &pca9548.Opts{Addr: address(m.Address)})
		if err != nil {
			errs = append(errs, fmt.Errorf("mux %s: %w", m.Name, err))
			continue
		}
		muxes[m.Name] = dev
		if h := healers[m.Bus]; h != nil {
			errs = append(errs, h.add(m, dev, recovery))
		}
	}
	at := func(p *config.Place) (i2c.Bus, error) {
		if p.Mux == "" {
			if bus, ok := buses[p.Bus]; ok {
				return bus, nil
			}
			return nil, fmt.Errorf("bus %s is not open", p.Bus)
		}
		mux, ok := muxes[p.Mux]
		if !ok || p.Port == nil || *p.Port < 0 || *p.Port >= pca9548.Ports {
			return nil, fmt.Errorf("mux %s: no such port", p.Mux)
		}
		return mux.Port(*p.Port), nil
	}
	points := map[string][]poll.Point{}
	chips := map[spot]*chip{}
	for i := range cfg.Outlets {
		own := cfg.Outlets[i]
		o := &own
		b.outlets[o.Number] = o
		point, err := newPoint(o, &cfg.Poll, at, chips)
		if err != nil {
			errs = append(errs, fmt.Errorf("outlet %d: %w", o.Number, err))
			continue
		}
		name := cfg.BusOf(&o.Meter.Place)
		points[name] = append(points[name], point)
	}
	if f := cfg.Feeder; f != nil && f.Enabled && f.Meter != nil {
		point, err := newPoint(&config.Outlet{Number: poll.Feeder, Meter: *f.Meter}, &cfg.Poll, at, chips)
		if err != nil {
			errs = append(errs, fmt.Errorf("feeder: %w", err))
		}
		name := cfg.BusOf(&f.Meter.Place)
		points[name] = append(points[name], point)
	}
	for i := range cfg.Buses {
		name := cfg.Buses[i].Name
		if len(points[name]) > 0 {
			b.polls = append(b.polls, poll.Options{Name: name, Points: points[name], Ladder: healers[name].ladder()})
		}
	}
	relays, index, err := newRelays(cfg, buses)
	b.relays, b.index = relays, index
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("board: %w", err)
	}
	return b, nil
}

// Polls returns one line for each bus with meters, in the order of the
// configuration.
func (b *Board) Polls() []poll.Options { return slices.Clone(b.polls) }

// Calibrate makes the meters of the records follow them in place of the
// configuration's own corrections, and returns how many do. It must be called
// before a meter is read. A record that does not fit its outlet is not applied;
// the errors say so.
func (b *Board) Calibrate(records []calibration.Record) (applied int, errs []error) {
	for i := range records {
		r := &records[i]
		o, ok := b.outlets[r.Outlet]
		if !ok {
			errs = append(errs, fmt.Errorf("outlet %d: calibrated, but not configured", r.Outlet))
			continue
		}
		if err := r.Check(o); err != nil {
			errs = append(errs, err)
			continue
		}
		r.Apply(&o.Meter)
		applied++
	}
	return applied, errs
}

// Relays returns the outputs.
func (b *Board) Relays() actuate.Options { return b.relays }

// Contact returns the pin of a smoke contact.
func (b *Board) Contact(c *config.SmokeContact) actuate.Pin {
	return actuate.Pin{Expander: b.index[c.Name], Pin: c.Pin, ActiveLow: c.ActiveLow}
}

// spot is where a chip is.
type spot struct {
	bus, mux      string
	port, address int
}

// newPoint makes the drivers of one outlet. Outlets that name one chip share its
// driver.
func newPoint(o *config.Outlet, p *config.Poll, at func(*config.Place) (i2c.Bus, error), chips map[spot]*chip) (poll.Point, error) {
	bus, err := at(&o.Meter.Place)
	if err != nil {
		return poll.Point{}, fmt.Errorf("meter: %w", err)
	}
	where := spot{bus: o.Meter.Bus, mux: o.Meter.Mux, address: o.Meter.Address}
	if o.Meter.Port != nil {
		where.port = *o.Meter.Port
	}
	c := chips[where]
	if c == nil {
		c = &chip{bus: bus}
		chips[where] = c
	}
	m := &meter{outlet: o.Number, chip: c, place: len(c.outlets)}
	c.outlets = append(c.outlets, o)
	every := time.Second / time.Duration(p.Hz)
	if o.Meter.Every > 0 {
		every = o.Meter.Every
	}
	point := poll.Point{Outlet: o.Number, Meter: m, Every: every}
	if f := &o.Meter.Frozen; f.Enabled {
		point.Frozen = &poll.Frozen{After: f.After, AboveAmps: f.AboveAmps, AtRestAfter: f.AtRest}
	}
	if o.Thermometer == nil {
		return point, nil
	}
	if bus, err = at(&o.Thermometer.Place); err != nil {
		return poll.Point{}, fmt.Errorf("thermometer: %w", err)
	}
	point.Thermometer = &thermometer{outlet: o.Number, bus: bus, of: o}
	point.ThermometerEvery = max(p.ThermometerEvery, every)
	return point, nil
}

// newRelays makes the drivers of the expanders and says what is wired to them.
func newRelays(cfg *config.Config, buses map[string]i2c.Bus) (actuate.Options, map[string]int, error) {
	var opts actuate.Options
	var errs []error
	index := map[string]int{}
	for i := range cfg.Relays {
		r := &cfg.Relays[i]
		bus, ok := buses[r.Bus]
		if !ok {
			errs = append(errs, fmt.Errorf("relays %s: bus %s is not open", r.Name, r.Bus))
			continue
		}
		index[r.Name] = len(opts.Expanders)
		opts.Expanders = append(opts.Expanders, &expander{name: r.Name, bus: bus, wiring: outputs(cfg, r)})
	}
	pin := func(p *config.Pin) actuate.Pin {
		return actuate.Pin{Expander: index[p.Name], Pin: p.Pin, ActiveLow: activeLow(cfg, p)}
	}
	for i := range cfg.Outlets {
		o := &cfg.Outlets[i]
		opts.Outlets = append(opts.Outlets, actuate.Outlet{Number: o.Number, Pin: pin(&o.Relay)})
	}
	for _, out := range []struct {
		from *config.Pin
		to   **actuate.Pin
	}{{cfg.Siren, &opts.Siren}, {cfg.Lamp, &opts.Lamp}, {cfg.SuppressionOutput(), &opts.Suppression}} {
		if out.from != nil {
			p := pin(out.from)
			*out.to = &p
		}
	}
	return opts, index, errors.Join(errs...)
}

// activeLow says whether a low pin closes what is wired to it.
func activeLow(cfg *config.Config, p *config.Pin) bool {
	if p.ActiveLow != nil {
		return *p.ActiveLow
	}
	i := slices.IndexFunc(cfg.Relays, func(r config.Expander) bool { return r.Name == p.Name })
	return i >= 0 && cfg.Relays[i].ActiveLow
}

// outputs says which pins of an expander are used, and the levels at which all
// of them are open.
func outputs(cfg *config.Config, r *config.Expander) wiring {
	w := wiring{chip: r.Chip, addr: address(r.Address)}
	use := func(p *config.Pin) {
		if p == nil || p.Name != r.Name {
			return
		}
		w.outputs |= 1 << p.Pin
		if activeLow(cfg, p) {
			w.initial |= 1 << p.Pin
		}
	}
	for i := range cfg.Outlets {
		use(&cfg.Outlets[i].Relay)
	}
	use(cfg.Siren)
	use(cfg.Lamp)
	use(cfg.SuppressionOutput())
	return w
}

// OpenRelays writes every output of the configuration open, with as few bytes
// as that takes and without asking the chips about their state. It tries every
// expander, those of different buses at the same time, and joins the errors:
// each names an expander that may still feed its outlets.
func OpenRelays(cfg *config.Config, buses map[string]i2c.Bus) error {
	perBus := map[string][]*config.Expander{}
	for i := range cfg.Relays {
		r := &cfg.Relays[i]
		perBus[r.Bus] = append(perBus[r.Bus], r)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex // guards errs
		errs []error
	)
	for name, expanders := range perBus {
		wg.Go(func() {
			for _, r := range expanders {
				if err := openOne(cfg, r, buses[name]); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func openOne(cfg *config.Config, r *config.Expander, bus i2c.Bus) error {
	if bus == nil {
		return fmt.Errorf("open relays %s: bus %s is not open", r.Name, r.Bus)
	}
	w := outputs(cfg, r)
	if w.outputs == 0 {
		return nil
	}
	if err := w.open(bus); err != nil {
		return fmt.Errorf("open relays %s: %w", r.Name, err)
	}
	return nil
}

// address is an I2C address of a configuration, which has checked its range.
func address(n int) uint16 { return uint16(n & 0x7F) }
