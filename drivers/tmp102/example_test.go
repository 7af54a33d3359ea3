package tmp102_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/sim"
	"github.com/shedguard/shedguard/drivers/tmp102"
)

func Example() {
	// On hardware, bus comes from i2creg.Open.
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip := sim.NewTMP102()
	bus.Attach(0x48, chip)

	opts := tmp102.DefaultOpts()
	opts.Low, opts.High = physic.ZeroCelsius+55*physic.Celsius, physic.ZeroCelsius+60*physic.Celsius
	dev, err := tmp102.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	chip.SetCelsius(61.25)
	var t physic.Temperature
	if err := dev.Sense(&t); err != nil {
		log.Fatal(err)
	}
	fmt.Println(t, chip.Alert())
	// Output: 61.250°C true
}
