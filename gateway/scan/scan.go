package scan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"periph.io/x/conn/v3/i2c"
)

// ErrHung comes when a bus carries no transaction since a port was joined.
var ErrHung = errors.New("bus hangs")

// The addresses that chips may have; the others are reserved.
const (
	first    = 0x08
	last     = 0x77
	firstMux = 0x70
	alert    = 0x0C // of SMBus: a read there ends an alert
)

// errSkipped comes for an address that is not asked.
var errSkipped = errors.New("not asked")

// attempts is how often a chip that ought to be there is asked.
const attempts = 3

// Line is a bus by its name.
type Line struct {
	Name string
	Bus  i2c.Bus
}

// Place is where a chip is: at an address of a bus, or behind a port of the mux
// at address Mux, which is 0 when there is none before it.
type Place struct {
	Bus     string
	Mux     uint16
	Port    int
	Address uint16
}

// String is the place as the drivers' messages write it, as main/0x70.3/0x60.
func (p Place) String() string {
	if p.Mux == 0 {
		return fmt.Sprintf("%s/%#02x", p.Bus, p.Address)
	}
	return fmt.Sprintf("%s/%#02x.%d/%#02x", p.Bus, p.Mux, p.Port, p.Address)
}

// Want is a chip that ought to be found.
type Want struct {
	Place
	Chip string
	Part string // what it is for, as "outlet 3 meter"
}

// Verdict is how what was found differs from what ought to be.
type Verdict string

// The verdicts.
const (
	Found      Verdict = "found" // there is nothing to compare it with
	Good       Verdict = "good"  // can be the chip that ought to be there
	Missing    Verdict = "missing"
	Hidden     Verdict = "hidden" // ought to be behind a port, but its address answers before the mux
	Unexpected Verdict = "unexpected"
	Other      Verdict = "other" // another chip than ought to be there
)

// Item is a chip that answered, or that ought to.
type Item struct {
	Place
	Chips    []string // which it can be, the likeliest first; none when unknown or silent
	Sure     bool     // it told its identity
	Evidence string
	Want     string   // which it ought to be
	Parts    []string // what for
	Verdict  Verdict
}

// Differs reports whether the chip is not as it ought to be.
func (i *Item) Differs() bool { return i.Verdict != Found && i.Verdict != Good }

// Fault is why a bus could not be searched to the end.
type Fault struct {
	Bus string
	Err error
}

// Result is what Run found: chips in the order of bus, mux, port and address.
type Result struct {
	Items  []Item
	Faults []Fault
}

// Differences counts the chips that are not as they ought to be, and the faults.
func (r *Result) Differences() int {
	n := len(r.Faults)
	for i := range r.Items {
		if r.Items[i].Differs() {
			n++
		}
	}
	return n
}

// Options are what Run searches and expects.
type Options struct {
	Lines   []Line
	Want    []Want
	Compare bool // judge by Want; otherwise all that answers is Found
	ADE7953 bool // ask at 0x38 by registers: there is no PCF8574A
}

// Run searches all lines. It fails only when ctx ends; then, too, no mux is left
// with a port joined, as far as the bus allows.
func Run(ctx context.Context, opts Options) (*Result, error) {
	r := &Result{}
	for _, line := range opts.Lines {
		s := &search{line: line, opts: &opts, want: map[Place]Want{}, ask: map[uint16]bool{}, quiet: map[uint16]bool{}}
		for _, w := range opts.Want {
			if w.Bus != line.Name {
				continue
			}
			s.want[w.Place] = w
			if expander(w.Chip) {
				s.quiet[w.Address] = true
			}
		}
		err := s.run(ctx)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("scan %s: %w", line.Name, errors.Join(ctx.Err(), err))
		}
		if err != nil {
			r.Faults = append(r.Faults, Fault{line.Name, err})
		}
		items := s.judge()
		slices.SortFunc(items, func(a, b Item) int {
			return cmp.Or(cmp.Compare(a.Mux, b.Mux), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Address, b.Address))
		})
		r.Items = append(r.Items, items...)
	}
	return r, nil
}

// search is the search of one bus.
type search struct {
	line  Line
	opts  *Options
	want  map[Place]Want
	quiet map[uint16]bool // addresses of relay expanders, wherever they are
	ask   map[uint16]bool // addresses that answered before the muxes
	found []Item
	named string // the chip that ought to be at the place that is asked
}

func (s *search) run(ctx context.Context) (err error) {
	muxes := s.release()
	defer func() {
		// Whatever happened, no port stays joined.
		for _, addr := range muxes {
			if rerr := s.join(addr, 0); rerr != nil {
				err = errors.Join(err, fmt.Errorf("mux %#02x: leave its ports: %w", addr, rerr))
			}
		}
	}()
	var silence error
	for addr := uint16(first); addr <= last && ctx.Err() == nil; addr++ {
		if err := s.probe(Place{Bus: s.line.Name, Address: addr}); err == nil {
			s.ask[addr] = true
		} else if !errors.Is(err, errSkipped) {
			silence = err
		}
	}
	if len(s.ask) == 0 && silence != nil {
		return fmt.Errorf("nothing answers: %w", silence)
	}
	for _, addr := range muxes {
		ports, err := s.ports(addr)
		if err == nil {
			err = s.behind(ctx, addr, ports)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// release makes every mux leave its ports, and returns the addresses where one
// may be.
func (s *search) release() []uint16 {
	var muxes []uint16
	for addr := uint16(firstMux); addr <= last; addr++ {
		for range attempts {
			if s.mayJoin(addr) && s.read(addr, nil, make([]byte, 1)) == nil && s.join(addr, 0) == nil {
				muxes = append(muxes, addr)
				break
			}
		}
	}
	return muxes
}

// mayJoin reports whether a control byte may be written to an address.
func (s *search) mayJoin(addr uint16) bool { return addr >= firstMux && addr <= last && !s.quiet[addr] }

// join writes the control byte of a mux.
func (s *search) join(addr uint16, mask byte) error {
	if !s.mayJoin(addr) {
		return fmt.Errorf("%#02x: no mux may be there", addr)
	}
	return s.line.Bus.Tx(addr, []byte{mask}, nil)
}

// ports counts the ports of the mux at addr: 8, 4 for a PCA9546, 0 when it does
// not give its control byte back. The error is ErrHung when a line behind a port
// is held low.
func (s *search) ports(addr uint16) (int, error) {
	n := 0
	for n < 8 && s.echoes(addr, 1<<n) {
		n++
	}
	if !s.echoes(addr, 0) {
		if n == 0 { // no mux: it has something else to say than its control byte
			return 0, nil
		}
		return 0, fmt.Errorf("mux %#02x: port %d: %w", addr, n, ErrHung)
	}
	chip := map[int]string{8: "pca9548", 4: "pca9546"}[n]
	if chip == "" {
		return 0, nil
	}
	for i := range s.found {
		if item := &s.found[i]; item.Address == addr && item.Mux == 0 {
			item.Chips, item.Evidence = []string{chip}, fmt.Sprintf("%d ports", n)
		}
	}
	return n, nil
}

// echoes reports whether the mux takes a control byte and gives it back.
func (s *search) echoes(addr uint16, mask byte) bool {
	var got [1]byte
	if s.join(addr, mask) != nil {
		return false
	}
	return s.read(addr, nil, got[:]) == nil && got[0] == mask
}

// behind searches the ports of a mux.
func (s *search) behind(ctx context.Context, mux uint16, ports int) error {
	for port := 0; port < ports && ctx.Err() == nil; port++ {
		if !s.echoes(mux, 1<<port) {
			return fmt.Errorf("mux %#02x: port %d: %w", mux, port, ErrHung)
		}
		for addr := uint16(first); addr <= last && ctx.Err() == nil; addr++ {
			if s.ask[addr] {
				continue
			}
			_ = s.probe(Place{Bus: s.line.Name, Mux: mux, Port: port, Address: addr}) // an address that is silent is no fault
		}
	}
	if !s.echoes(mux, 0) {
		return fmt.Errorf("mux %#02x: leave its ports: %w", mux, ErrHung)
	}
	return nil
}

// probe reads one byte from a place; what answers is identified and kept.
func (s *search) probe(at Place) error {
	want, wanted := s.want[at]
	if at.Address == alert && !wanted {
		return errSkipped
	}
	tries := 1
	if wanted {
		tries = attempts
	}
	var got [1]byte
	var err error
	for range tries {
		if err = s.read(at.Address, nil, got[:]); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	item := Item{Place: at}
	s.named = want.Chip
	s.identify(&item, got[0], want.Chip)
	s.found = append(s.found, item)
	return nil
}

// judge compares what was found with what ought to be.
func (s *search) judge() []Item {
	items := s.found
	for i := range items {
		item := &items[i]
		want, wanted := s.want[item.Place]
		switch {
		case !s.opts.Compare:
			item.Verdict = Found
			continue
		case !wanted:
			item.Verdict = Unexpected
			continue
		case slices.Contains(item.Chips, want.Chip):
			item.Verdict = Good
		default:
			item.Verdict = Other
		}
		item.Want = want.Chip
	}
	for _, w := range s.opts.Want {
		if w.Bus != s.line.Name || !s.opts.Compare {
			continue
		}
		i := slices.IndexFunc(items, func(item Item) bool { return item.Place == w.Place })
		if i < 0 {
			i = len(items)
			items = append(items, s.absent(w))
		}
		if !slices.Contains(items[i].Parts, w.Part) {
			items[i].Parts = append(items[i].Parts, w.Part)
		}
	}
	return items
}

// absent is a chip that did not answer where it ought to.
func (s *search) absent(w Want) Item {
	item := Item{Place: w.Place, Want: w.Chip, Verdict: Missing, Evidence: "no answer"}
	switch {
	case w.Mux == 0:
	case !s.ask[w.Mux]:
		item.Evidence = fmt.Sprintf("mux %#02x does not answer", w.Mux)
	case s.ask[w.Address]:
		item.Verdict = Hidden
		item.Evidence = fmt.Sprintf("%#02x answers before the mux", w.Address)
	}
	return item
}

// read writes a pointer, if there is one and the address may get it, and reads.
func (s *search) read(addr uint16, pointer, into []byte) error {
	if len(pointer) > 0 && !s.mayPoint(addr, len(pointer)) {
		return fmt.Errorf("%#02x: a pointer may do harm there", addr)
	}
	return s.line.Bus.Tx(addr, pointer, into)
}

// mayPoint reports whether a chip at addr may be written n bytes that choose a
// register: see the package's documentation.
func (s *search) mayPoint(addr uint16, n int) bool {
	switch {
	case addr < first || addr > last, s.quiet[addr]:
		return false
	case addr >= firstMux:
		return s.named == maxim && n == 1
	case addr == adeAddress:
		return s.opts.ADE7953 || s.named == ade
	case addr >= 0x20 && addr <= 0x27, addr >= 0x30 && addr <= 0x3F, addr >= 0x50 && addr <= 0x57:
		return false
	default:
		return n == 1
	}
}

// expander reports whether a chip drives relays.
func expander(chip string) bool {
	for _, prefix := range []string{"mcp23", "pca9554", "max7310", "pcf857"} {
		if strings.HasPrefix(chip, prefix) {
			return true
		}
	}
	return false
}
