package ina226_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/ina226"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// A 48 V charger behind a 2 mΩ shunt. On hardware, bus comes from
	// i2creg.Open.
	chip := sim.NewINA226(0.002)
	chip.Set(36, 4.2)
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x40, chip)

	opts := ina226.DefaultOpts()
	opts.Shunt = 2 * physic.MilliOhm
	// The pin cuts at 1.25 times the rating of 16 A, without software.
	opts.Alert = ina226.Alert{Enabled: true, Above: 20 * physic.Ampere, Latch: true}
	dev, err := ina226.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	var m ina226.Measurement
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
