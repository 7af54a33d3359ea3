package lm75_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/lm75"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// On hardware, bus comes from i2creg.Open.
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip := sim.NewTMP75()
	bus.Attach(0x4F, chip)

	dev, err := lm75.New(bus, &lm75.Opts{
		Chip: lm75.TMP75, Addr: 0x4F,
		Low: physic.ZeroCelsius + 55*physic.Celsius, High: physic.ZeroCelsius + 60*physic.Celsius,
	})
	if err != nil {
		log.Fatal(err)
	}
	chip.SetCelsius(61.25)
	var t physic.Temperature
	if err := dev.Sense(&t); err != nil {
		log.Fatal(err)
	}
	fmt.Println(dev, t, chip.Alert())
	// Output: tmp75@i2c1/0x4f 61.250°C true
}
