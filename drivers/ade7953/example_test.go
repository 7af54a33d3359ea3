package ade7953_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/ade7953"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// Two outlets on one chip. On hardware, bus comes from i2creg.Open.
	meter := sim.NewADE7953(sim.ADE7953Outlets())
	meter.Set(221.4, 50, sim.ADE7953Load{Amps: 1.82, Watts: 389.1, Vars: -101}, sim.ADE7953Load{Amps: 0.05, Watts: 4, Vars: -10})
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(ade7953.Addr, meter)

	opts := ade7953.DefaultOpts()
	opts.Limits = ade7953.LimitsFor(10*physic.Ampere, 220*physic.Volt, 3)
	dev, err := ade7953.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := dev.Configure(); err != nil {
		log.Fatal(err)
	}
	var m ade7953.Measurement
	if err := dev.Sense(&m); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.1f V, %.2f Hz\n", float64(m.Volts)/float64(physic.Volt), float64(m.Frequency)/float64(physic.Hertz))
	for _, l := range []ade7953.Load{m.A, m.B} {
		fmt.Printf("%.2f A, %.0f W, pf %.2f\n",
			float64(l.Amps)/float64(physic.Ampere), float64(l.Watts)/float64(physic.Watt), l.PowerFactor)
	}
	// Output:
	// 221.4 V, 50.00 Hz
	// 1.82 A, 389 W, pf 0.97
	// 0.05 A, 4 W, pf 0.36
}
