package pcf8574_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/pcf8574"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// On hardware, bus comes from i2creg.Open.
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip := sim.NewPCF8574()
	bus.Attach(0x20, chip)

	// Eight relays that close on a low pin, open until somebody closes one.
	relays, err := pcf8574.New(bus, pcf8574.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}
	if err := relays.Set(0xFF &^ (1 << 3)); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%#02x\n", chip.Outputs())

	chip.Reset() // the supply of the relay board fails for a moment
	fmt.Printf("%#02x %v\n", chip.Outputs(), relays.Check() != nil)
	// Output:
	// 0xf7
	// 0xff true
}

// After the program died, with one relay still closed.
func ExampleOpen() {
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip := sim.NewPCF8574()
	bus.Attach(0x20, chip)
	relays, err := pcf8574.New(bus, pcf8574.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}
	if err := relays.Set(0xF7); err != nil {
		log.Fatal(err)
	}

	if err := pcf8574.Open(bus, pcf8574.DefaultOpts()); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%#02x\n", chip.Outputs())
	// Output: 0xff
}
