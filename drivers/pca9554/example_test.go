package pca9554_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/pca9554"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// On hardware, bus comes from i2creg.Open.
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip := sim.NewPCA9554()
	bus.Attach(0x20, chip)

	// Six relays, open until somebody closes one.
	relays, err := pca9554.New(bus, &pca9554.Opts{Addr: 0x20, Outputs: 0x3F, Initial: 0})
	if err != nil {
		log.Fatal(err)
	}
	if err := relays.Set(1 << 3); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%#02x\n", chip.Outputs())

	chip.Reset() // the supply of the relay board fails for a moment
	fmt.Printf("%#02x %v\n", chip.Outputs(), relays.Check() != nil)
	// Output:
	// 0x08
	// 0x00 true
}

// After the program died, with one relay still closed.
func ExampleOpen() {
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip := sim.NewMAX7310()
	bus.Attach(0x18, chip)
	opts := &pca9554.Opts{Chip: pca9554.MAX7310, Addr: 0x18, Outputs: 0xFF, Initial: 0}
	relays, err := pca9554.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := relays.Set(1 << 3); err != nil {
		log.Fatal(err)
	}

	if err := pca9554.Open(bus, opts); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%#02x\n", chip.Outputs())
	// Output: 0x00
}
