package calibration_test

import (
	"fmt"

	"github.com/shedguard/shedguard/gateway/calibration"
	"github.com/shedguard/shedguard/gateway/config"
)

func Example() {
	outlet := &config.Outlet{Number: 3, RatingAmps: 10, Meter: config.Meter{
		Chip: "ina226", Place: config.Place{Bus: "main", Address: 0x40}, ShuntOhms: 0.002,
		Volts: config.Trim{Gain: 1}, Amps: config.Trim{Gain: 1}, Watts: config.Trim{Gain: 1},
	}}
	record := calibration.New(outlet)
	// The open outlet, and a load of 4.40 A that the meter takes for 4.03 A.
	for _, p := range []calibration.Point{
		{Mean: calibration.Values{Volts: 48, Amps: 0.03}},
		{Mean: calibration.Values{Volts: 48, Amps: 4.03}, True: &calibration.Values{Volts: 48.48, Amps: 4.40}},
	} {
		if err := record.Add(p, outlet); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Printf("%s: volts x %.3f, amperes x %.3f %+.3f A\n", record.Meter, record.Volts.Gain, record.Amps.Gain, record.Amps.Offset)
	// Output:
	// ina226 at main/0x40: volts x 1.010, amperes x 1.100 -0.033 A
}
