package max34451_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/max34451"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// A bus of 12 V and the currents of two outlets. On hardware, bus comes from
	// i2creg.Open.
	chip := sim.NewMAX34451(0x74, 0x12)
	chip.Set(0, 12, 0)
	chip.Set(1, 0, 3.5)
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x74, chip)

	outlet := max34451.Channel{Kind: max34451.Amps, Warn: 10 * physic.Ampere, Fault: 16 * physic.Ampere}
	opts := &max34451.Opts{Addr: 0x74, PEC: true}
	opts.Channels[0].Kind = max34451.Volts
	opts.Channels[1], opts.Channels[2] = outlet, outlet
	dev, err := max34451.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	var m max34451.Measurement
	if err := dev.Sense(&m); err != nil {
		log.Fatal(err)
	}
	fmt.Println(m[0].Volts, m[1].Amps, m[2].Amps)
	// Output: 12V 3.500A 0A
}
