package board

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"periph.io/x/conn/v3/gpio"

	"github.com/shedguard/shedguard/drivers/pca9548"
	"github.com/shedguard/shedguard/gateway/config"
	"github.com/shedguard/shedguard/gateway/poll"
)

// resetPulse is how long a reset line is held low. The chip wants 6 ns (NXP
// PCA9548A data sheet, rev. 5.1, table 8); a filter on the line wants more.
const resetPulse = time.Millisecond

// Line is a pin that resets muxes while it is low.
type Line interface {
	Out(l gpio.Level) error
}

// Recovery is what the box offers to bring a bus back.
type Recovery struct {
	// Reopen opens a bus again; nil where that is not possible. It is called
	// from the goroutine that polls the bus.
	Reopen func(bus string) error
	// Resets are the reset lines of the muxes by their names in the
	// configuration. They are high.
	Resets map[string]Line
}

// healer is what may bring one bus back.
type healer struct {
	bus    string
	reopen func(string) error
	muxes  []*pca9548.Dev
	names  []string // of lines
	lines  []Line
}

// add takes a mux of the bus in.
func (h *healer) add(m *config.Mux, dev *pca9548.Dev, r *Recovery) error {
	h.muxes = append(h.muxes, dev)
	if m.Reset == "" || r == nil || slices.Contains(h.names, m.Reset) {
		return nil
	}
	line, ok := r.Resets[m.Reset]
	if !ok {
		return fmt.Errorf("mux %s: reset line %s is not open", m.Name, m.Reset)
	}
	h.names, h.lines = append(h.names, m.Reset), append(h.lines, line)
	return nil
}

// ladder lists the ways, the mildest first.
func (h *healer) ladder() []poll.Rung {
	var rungs []poll.Rung
	add := func(can bool, name string, do func() error) {
		if can {
			rungs = append(rungs, poll.Rung{Name: name, Do: func() error {
				defer h.forget()
				return do()
			}})
		}
	}
	add(h.reopen != nil, "open the bus again", func() error { return h.reopen(h.bus) })
	add(len(h.lines) > 0, "reset the muxes", func() error { return pulse(h.names, h.lines) })
	add(len(h.muxes) > 0, "deselect the muxes", h.deselect)
	return rungs
}

// forget makes the next transaction behind each mux select its port: whatever
// happened, the muxes may have been reset by it.
func (h *healer) forget() {
	for _, m := range h.muxes {
		m.Reset()
	}
}

func (h *healer) deselect() error {
	h.forget()
	var errs []error
	for _, m := range h.muxes {
		errs = append(errs, m.Deselect())
	}
	return errors.Join(errs...)
}

// pulse resets what is wired to the lines. Each is high afterwards, or tried
// to be.
func pulse(names []string, lines []Line) error {
	var errs []error
	for i, l := range lines {
		err := l.Out(gpio.Low)
		time.Sleep(resetPulse)
		if err = errors.Join(err, l.Out(gpio.High)); err != nil {
			errs = append(errs, fmt.Errorf("reset line %s: %w", names[i], err))
		}
	}
	return errors.Join(errs...)
}

// ResetMuxes resets every mux of the configuration that has a reset line: for a
// process that must reach the relays of a bus that a chip behind a mux holds.
func ResetMuxes(cfg *config.Config, resets map[string]Line) error {
	var names []string
	var lines []Line
	for i := range cfg.Muxes {
		name := cfg.Muxes[i].Reset
		if l, ok := resets[name]; ok && !slices.Contains(names, name) {
			names, lines = append(names, name), append(lines, l)
		}
	}
	return pulse(names, lines)
}
