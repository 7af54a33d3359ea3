package adm1272_test

import (
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/adm1272"
	"github.com/shedguard/shedguard/drivers/pmbus"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// The 48 V feed of a row of outlets. On hardware, bus comes from i2creg.Open.
	chip := sim.NewADM1272(0x10, 0.001)
	chip.Set(48, 12)
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x10, chip)

	opts := adm1272.DefaultOpts()
	opts.PEC = true
	opts.Warn = 20 * physic.Ampere
	dev, err := adm1272.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	var m adm1272.Measurement
	if err := dev.Sense(&m); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.1f V, %.1f A, %.0f W\n",
		float64(m.Volts)/float64(physic.Volt), float64(m.Amps)/float64(physic.Ampere), float64(m.Watts)/float64(physic.Watt))
	chip.Set(48, 25)
	_, iout, err := dev.Status()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("warned:", iout&pmbus.IoutWarning != 0)
	// Output:
	// 48.0 V, 12.0 A, 576 W
	// warned: true
}
