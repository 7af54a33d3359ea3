package ina219_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/ina219"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// The supply of the gateway itself. On hardware, bus comes from i2creg.Open.
	chip := sim.NewINA219(0.1)
	chip.Set(12.08, 0.82)
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x40, chip)

	dev, err := ina219.New(bus, ina219.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}
	var m ina219.Measurement
	if err := dev.Sense(&m); err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Volts, m.Amps, m.Watts)
	// Output: 12.080V 820mA 9.906W
}
