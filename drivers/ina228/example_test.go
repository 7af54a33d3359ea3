package ina228_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/ina228"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// A 48 V charger behind a 2 mΩ shunt. On hardware, bus comes from
	// i2creg.Open.
	chip := sim.NewINA228(0.002)
	chip.Set(36, 4.2)
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x40, chip)

	opts := ina228.DefaultOpts()
	opts.Shunt, opts.Max = 2*physic.MilliOhm, 60*physic.Ampere
	// The pin cuts at 1.25 times the rating of 16 A, without software.
	opts.Alert = ina228.Alert{Enabled: true, Amps: 20 * physic.Ampere, Latch: true}
	dev, err := ina228.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	var m ina228.Measurement
	if err := dev.Sense(&m); err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Volts, m.Amps, m.Watts, "pin:", chip.Pin())
	chip.Set(36, 25)
	fmt.Println("pin:", chip.Pin())
	// Output:
	// 36V 4.200A 151.200W pin: true
	// pin: false
}
