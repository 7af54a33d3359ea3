package ds3231_test

import (
	"fmt"
	"log"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/ds3231"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// On hardware, bus comes from i2creg.Open.
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	chip := sim.NewDS3231()
	bus.Attach(0x68, chip)

	clock, err := ds3231.New(bus, ds3231.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}
	var now time.Time
	fmt.Println(clock.Sense(&now)) // it never had a battery

	if err := clock.Configure(time.Date(2026, 11, 23, 23, 59, 30, 0, time.UTC)); err != nil {
		log.Fatal(err)
	}
	chip.Advance(time.Minute) // the gateway is off meanwhile
	if err := clock.Sense(&now); err != nil {
		log.Fatal(err)
	}
	fmt.Println(now)
	// Output:
	// ds3231@i2c1/0x68: OSF is set: clock stood still
	// 2026-11-24 00:00:30 +0000 UTC
}
