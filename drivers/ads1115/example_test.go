package ads1115_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/ads1115"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	chip := sim.NewADS1115(func() time.Duration { return 0 })
	chip.Set(2, sim.Wave{Bias: 1.25})
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x48, chip)

	opts := &ads1115.Opts{Addr: 0x48, Input: ads1115.A2, Range: ads1115.Range2048mV, Rate: ads1115.Rate128}
	dev, err := ads1115.New(bus, opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := dev.Start(); err != nil {
		log.Fatal(err)
	}
	var r ads1115.Reading
	// The clock of this converter stands still.
	fmt.Println(errors.Is(dev.Sense(&r), ads1115.ErrBusy))
	// Output: true
}

func ExampleMeter() {
	// Transformers on A0 and A1. On hardware, bus comes from i2creg.Open and the
	// time from time.Since.
	var now time.Duration
	chip := sim.NewADS1115(func() time.Duration { return now })
	chip.Set(0, sim.Wave{Bias: 1.65, RMS: 0.7, Hertz: 50})
	chip.Set(1, sim.Wave{Bias: 1.65, RMS: 0.1, Hertz: 50, Degrees: -30})
	bus := sim.NewBus("i2c1", 400*physic.KiloHertz)
	bus.Attach(0x48, chip)

	meter, err := ads1115.NewMeter(bus, ads1115.DefaultMeterOpts())
	if err != nil {
		log.Fatal(err)
	}
	for full := false; !full; now += ads1115.StepPeriod {
		if full, err = meter.Step(now); err != nil {
			log.Fatal(err)
		}
	}
	var m ads1115.Measurement
	if err := meter.Sense(&m); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%.0f V, %.2f A, %.0f W, pf %.2f, %.1f Hz\n",
		float64(m.Volts)/float64(physic.Volt), float64(m.Amps)/float64(physic.Ampere),
		float64(m.Watts)/float64(physic.Watt), m.PowerFactor, float64(m.Frequency)/float64(physic.Hertz))
	// Output: 230 V, 3.00 A, 597 W, pf 0.87, 50.0 Hz
}
