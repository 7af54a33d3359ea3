package mcp23017_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/mcp23017"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// On hardware, bus comes from i2creg.Open.
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip, err := sim.NewMCP23017(nil)
	if err != nil {
		log.Fatal(err)
	}
	bus.Attach(0x20, chip)

	// Twelve relays, open until somebody closes one.
	relays, err := mcp23017.New(bus, &mcp23017.Opts{Addr: 0x20, Outputs: 0x0FFF, Initial: 0})
	if err != nil {
		log.Fatal(err)
	}
	if err := relays.Set(1 << 3); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%#04x\n", chip.Outputs())

	chip.Reset() // the supply of the relay board fails for a moment
	fmt.Printf("%#04x %v\n", chip.Outputs(), relays.Check() != nil)
	// Output:
	// 0x0008
	// 0x0000 true
}

// After the program died, with one relay still closed.
func ExampleOpen() {
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip, err := sim.NewMCP23017(nil)
	if err != nil {
		log.Fatal(err)
	}
	bus.Attach(0x20, chip)
	opts := &mcp23017.Opts{Addr: 0x20, Outputs: 0x0FFF, Initial: 0}
	relays, err := mcp23017.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := relays.Set(1 << 3); err != nil {
		log.Fatal(err)
	}

	if err := mcp23017.Open(bus, opts); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%#04x\n", chip.Outputs())
	// Output: 0x0000
}
