package mains_test

import (
	"fmt"
	"log"
	"math"
	"time"

	"github.com/shedguard/shedguard/drivers/mains"
)

func Example() {
	window, err := mains.NewWindow(mains.DefaultOpts())
	if err != nil {
		log.Fatal(err)
	}
	// A converter takes volts and amps in turn, every 1.5 ms.
	for at := time.Duration(0); !window.Full(at); at += 1500 * time.Microsecond {
		angle := 2 * math.Pi * 50 * at.Seconds()
		if at/(1500*time.Microsecond)%2 == 0 {
			err = window.AddVolts(at, 311*math.Sin(angle), false)
		} else {
			err = window.AddAmps(at, 4*math.Sin(angle-math.Pi/6), false)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	var r mains.Result
	if err := window.Measure(&r); err != nil {
		log.Fatal(err)
	}
	// The converter of the default options averages; this one did not, which
	// shows as 0.6 % too much.
	fmt.Printf("%.0f V, %.2f A, %.0f W, pf %.2f, %.1f Hz\n", r.Volts, r.Amps, r.Watts, r.PowerFactor, r.Hertz)
	// Output: 221 V, 2.84 A, 545 W, pf 0.87, 50.0 Hz
}
