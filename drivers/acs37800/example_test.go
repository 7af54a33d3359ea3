package acs37800_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/acs37800"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// A board with a charger on it. On hardware, bus comes from i2creg.Open.
	meter := sim.NewACS37800(sim.MainsBoard())
	meter.Set(221.4, 1.82, 389.1)
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x60, meter)

	dev, err := acs37800.New(bus, acs37800.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}
	var m acs37800.Measurement
	if err := dev.Sense(&m); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.1f V, %.2f A, %.0f W, pf %.2f\n",
		float64(m.Volts)/float64(physic.Volt), float64(m.Amps)/float64(physic.Ampere),
		float64(m.Watts)/float64(physic.Watt), m.PowerFactor)
	// Output: 221.4 V, 1.82 A, 389 W, pf 0.97
}
