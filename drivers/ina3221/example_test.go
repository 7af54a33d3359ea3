package ina3221_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/ina3221"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// Two 24 V outlets; the third channel is not wired. On hardware, bus comes
	// from i2creg.Open.
	chip := sim.NewINA3221([3]float64{0.005, 0.005, 0})
	chip.Set(0, 24, 4)
	chip.Set(1, 24, 0)
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x40, chip)

	opts := ina3221.DefaultOpts()
	outlet := ina3221.Channel{Shunt: 5 * physic.MilliOhm, Critical: 20 * physic.Ampere, Warning: 12 * physic.Ampere}
	opts.Channels = [3]ina3221.Channel{outlet, outlet, {}}
	opts.Latch = true
	dev, err := ina3221.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	var m ina3221.Measurement
	if err := dev.Sense(&m); err != nil {
		log.Fatal(err)
	}
	for i := range m[:2] {
		fmt.Println(i+1, m[i].Volts, m[i].Amps, m[i].Watts)
	}
	chip.Set(1, 24, 25)
	fmt.Println(chip.Pins())
	// Output:
	// 1 24V 4A 96W
	// 2 24V 0A 0W
	// false false
}
