package mlx90640_test

import (
	"errors"
	"fmt"
	"log"

	"periph.io/x/conn/v3/physic"

	"github.com/shedguard/shedguard/drivers/mlx90640"
	"github.com/shedguard/shedguard/drivers/sim"
)

func Example() {
	// On hardware, bus comes from i2creg.Open.
	bus := sim.NewBus("i2c2", 1*physic.MegaHertz)
	chip := sim.NewMLX90640(eeprom(1))
	bus.Attach(0x33, chip)

	dev, err := mlx90640.New(bus, mlx90640.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}
	var f mlx90640.Frame
	for subpage := range 2 {
		chip.Measure(subpage, ram(1))
		if err := dev.Sense(&f); err != nil && !errors.Is(err, mlx90640.ErrNoData) {
			log.Fatal(err)
		}
	}
	t, at := f.Hottest()
	fmt.Printf("%.1f °C at row %d, column %d; chip %.1f °C\n",
		t.Celsius(), at/mlx90640.Width, at%mlx90640.Width, f.Chip.Celsius())
	// Output: 151.3 °C at row 1, column 28; chip 39.2 °C
}
