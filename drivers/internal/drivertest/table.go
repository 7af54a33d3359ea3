package drivertest

import (
	"errors"
	"math"
	"strings"
	"testing"

	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/i2c/i2ctest"
)

// Fail is a Sense that must fail: after Ops the bus answers no more.
type Fail struct {
	Ops  []i2ctest.IO
	Err  error  // in its chain, where it has a name
	Text string // in its message
}

// Fails carries out a table of failures: each Sense says what was tried, and leaves
// stale as it was. Make plays the bytes of the driver's start, then more.
func Fails[M comparable, D Dev[M]](t *testing.T, stale M, newDev func(testing.TB, ...i2ctest.IO) (D, *i2ctest.Playback), tests map[string]Fail) {
	t.Helper()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dev, bus := newDev(t, tt.Ops...)
			m := stale
			err := dev.Sense(&m)
			if err == nil || tt.Err != nil && !errors.Is(err, tt.Err) {
				t.Fatalf("error %v, want %v", err, tt.Err)
			}
			if !strings.HasPrefix(err.Error(), dev.String()+": ") || !strings.Contains(err.Error(), tt.Text) {
				t.Errorf("error %q: want %q", err, tt.Text)
			}
			if m != stale {
				t.Errorf("a failed Sense wrote %+v", m)
			}
			_ = bus.Close()
		})
	}
}

// Refusal is a New that must fail.
type Refusal[O any] struct {
	Change func(*O) // of the default options; nil for none
	Ops    []i2ctest.IO
	Err    error
}

// Refuses carries out a table of options and chips that New must refuse, after
// exactly the bytes of Ops.
func Refuses[O any, D comparable](t *testing.T, defaults func() *O, start func(i2c.Bus, *O) (D, error), tests map[string]Refusal[O]) {
	t.Helper()
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opts := defaults()
			if tt.Change != nil {
				tt.Change(opts)
			}
			bus := &i2ctest.Playback{Ops: tt.Ops, DontPanic: true}
			var none D
			if dev, err := start(bus, opts); err == nil || dev != none || tt.Err != nil && !errors.Is(err, tt.Err) {
				t.Errorf("got %v, %v, want the error %v", dev, err, tt.Err)
			}
			if err := bus.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Within fails unless got is within slack of want; a little more for the rounding
// of the test itself.
func Within(tb interface {
	Helper()
	Fatalf(format string, args ...any)
}, what string, got, want, slack float64,
) {
	tb.Helper()
	if math.Abs(got-want) > slack*(1+1e-5)+2e-9 {
		tb.Fatalf("%s %.12g, want %.12g ± %g", what, got, want, slack)
	}
}
