package amg8833_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/amg8833"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// On hardware, bus comes from i2creg.Open.
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip := sim.NewAMG8833()
	bus.Attach(0x69, chip)

	dev, err := amg8833.New(bus, amg8833.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}
	var scene [sim.AMG8833Pixels]float64
	for i := range scene {
		scene[i] = 21.5
	}
	scene[35] = 74.25 // a plug that glows
	chip.SetCelsius(&scene, 24)

	var f amg8833.Frame
	if err := dev.Sense(&f); err != nil {
		log.Fatal(err)
	}
	t, at := f.Hottest()
	fmt.Printf("%s at row %d, column %d; chip %s\n", t, at/amg8833.Side, at%amg8833.Side, f.Chip)
	// Output: 74.250°C at row 4, column 3; chip 24°C
}
