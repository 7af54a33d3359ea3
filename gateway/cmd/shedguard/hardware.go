package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpioreg"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2creg"
	"periph.io/x/conn/v3/physic"
	"periph.io/x/host/v3"

	"github.com/shedguard/shedguard/gateway/board"
	"github.com/shedguard/shedguard/gateway/config"
)

// i2cTimeout is the request of Linux's i2c-dev that bounds a transaction, in
// units of 10 ms (Documentation/i2c/dev-interface).
const i2cTimeout = 0x0702

// busTimeout bounds one transaction where the adapter's driver heeds it.
const busTimeout = 5 // × 10 ms

// hardware is the box: its buses by name, the enable line, and the reset lines
// of muxes.
type hardware struct {
	all    map[string]*bus
	enable gpio.PinOut
	resets map[string]board.Line
}

// bus is an open I²C bus that can be opened again under those who use it.
type bus struct {
	path string

	mu  sync.Mutex
	dev i2c.BusCloser
}

// openHardware opens what the configuration names. On an error nothing is left
// open.
func openHardware(cfg *config.Config, log *slog.Logger) (_ *hardware, err error) {
	if _, err := host.Init(); err != nil {
		return nil, fmt.Errorf("find the box's hardware: %w", err)
	}
	h := &hardware{all: make(map[string]*bus), resets: make(map[string]board.Line)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	for _, b := range cfg.Buses {
		dev, err := i2creg.Open(b.Path)
		if err != nil {
			return nil, fmt.Errorf("open bus %s at %s: %w; is i2c-dev loaded, and may this user use it?", b.Name, b.Path, err)
		}
		h.all[b.Name] = &bus{path: b.Path, dev: dev}
		if err := dev.SetSpeed(physic.Frequency(b.KHz) * physic.KiloHertz); err != nil {
			log.Info("bus speed is as the kernel set it", "bus", b.Name, "err", err)
		}
		if err := boundTransactions(b.Path); err != nil {
			log.Warn("bus transactions are not bounded to 50 ms", "bus", b.Name, "err", err)
		}
	}
	for i, m := range cfg.Muxes {
		if m.Reset == "" || h.resets[m.Reset] != nil {
			continue
		}
		pin := gpioreg.ByName(m.Reset)
		if pin == nil {
			return nil, fmt.Errorf("muxes[%d].reset: %s: no such pin on this box", i, m.Reset)
		}
		if err := pin.Out(gpio.High); err != nil { // no reset
			return nil, fmt.Errorf("muxes[%d].reset: %s: %w", i, m.Reset, err)
		}
		h.resets[m.Reset] = pin
	}
	if name := cfg.Actuate.EnableLine; name != "" {
		pin := gpioreg.ByName(name)
		if pin == nil {
			return nil, fmt.Errorf("actuate.enable_line: %s: no such pin on this box", name)
		}
		h.enable = pin
	}
	return h, nil
}

// boundTransactions tells the adapter how long a transaction may take. The
// setting belongs to the adapter, not to the descriptor.
func boundTransactions(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	err = unix.IoctlSetInt(int(f.Fd()), i2cTimeout, busTimeout)
	return errors.Join(err, f.Close())
}

func (h *hardware) buses() map[string]i2c.Bus {
	m := make(map[string]i2c.Bus, len(h.all))
	for name, b := range h.all {
		m[name] = b
	}
	return m
}

// reopen opens a bus again; it stays as it was when that fails.
func (h *hardware) reopen(name string) error {
	b, ok := h.all[name]
	if !ok {
		return fmt.Errorf("bus %s: unknown", name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	cerr := b.dev.Close()
	dev, err := i2creg.Open(b.path)
	if err != nil {
		return errors.Join(fmt.Errorf("open %s again: %w", b.path, err), cerr)
	}
	b.dev = dev
	return nil
}

func (h *hardware) close() error {
	var errs []error
	for _, b := range h.all {
		errs = append(errs, b.dev.Close())
	}
	return errors.Join(errs...)
}

// Tx implements i2c.Bus. The lock is that of one transaction, as the kernel's.
func (b *bus) Tx(addr uint16, w, r []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dev.Tx(addr, w, r)
}

// SetSpeed implements i2c.Bus.
func (b *bus) SetSpeed(f physic.Frequency) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dev.SetSpeed(f)
}

func (b *bus) String() string { return b.path }
