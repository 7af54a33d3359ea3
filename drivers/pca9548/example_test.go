package pca9548_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/pca9548"
	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/drivers/tmp102"
)

func Example() {
	// Two sensors with the same address, on two ports of a mux.
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	mux := sim.NewPCA9548()
	bus.Attach(0x70, mux)
	for port, celsius := range []float64{21.5, 64} {
		sensor := sim.NewTMP102()
		sensor.SetCelsius(celsius)
		mux.Attach(port, 0x48, sensor)
	}

	dev, err := pca9548.New(bus, pca9548.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}
	for port := range 2 {
		sensor, err := tmp102.New(dev.Port(port), tmp102.DefaultOpts())
		if err != nil {
			log.Fatal(err)
		}
		var t physic.Temperature
		if err := sensor.Sense(&t); err != nil {
			log.Fatal(err)
		}
		fmt.Println(sensor, t)
	}
	// Output:
	// tmp102@i2c1/0x70.0/0x48 21.500°C
	// tmp102@i2c1/0x70.1/0x48 64°C
}
