package at24_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/at24"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// On hardware, bus comes from i2creg.Open.
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x57, sim.NewAT24(4096, 32, 2))
	dev, err := at24.New(bus, at24.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}

	var r at24.Record
	fmt.Println(dev.Sense(&r)) // a new chip

	w, err := dev.Store(&at24.Record{
		Model: "shed-12", Serial: "0042", Revision: 3,
		Calibrated: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC),
		Channels:   []at24.Channel{{Amps: at24.Correction{GainPPM: -1250, OffsetMicros: 17_700}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	for done := false; !done; {
		done, err = w.Next()
		if errors.Is(err, at24.ErrBusy) {
			continue // a real caller waits a millisecond here, and not for ever
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	if err := dev.Sense(&r); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Model, r.Serial, r.Channels[0].Amps.GainPPM)
	// Output:
	// at24c32@i2c1/0x57: no record
	// shed-12 0042 -1250
}
