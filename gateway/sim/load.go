package sim

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/shedguard/shedguard/gateway/recording"
)

// Draw is what a load takes from the mains at one moment.
type Draw struct {
	Amps  float64 // A, RMS
	Watts float64 // W, active
}

// Load is something plugged into an outlet.
type Load interface {
	// Draw is what the load takes after dt more under voltage.
	Draw(dt time.Duration, volts float64) Draw
	// Off tells the load that it lost its supply.
	Off()
}

// Resistor is a load of constant resistance: a kettle, or a fault.
type Resistor struct {
	Ohms float64
}

// Draw implements [Load].
func (r *Resistor) Draw(_ time.Duration, volts float64) Draw {
	amps := volts / r.Ohms
	return Draw{Amps: amps, Watts: volts * amps}
}

// Off implements [Load].
func (*Resistor) Off() {}

// Charger is an e-bike charger with its battery. In constant current the power
// rises slowly with the battery's voltage, in constant voltage it falls
// exponentially, and a full battery leaves a trickle: the shape that recorded
// charges of 48 V lithium batteries have.
type Charger struct {
	Watts       float64       // at the start of constant current
	Rise        float64       // by how much the power grows until the knee, as a fraction
	PowerFactor float64       // under load
	ConstantFor time.Duration // of constant current that is left
	Taper       time.Duration // time constant of constant voltage
	Trickle     float64       // W, once full

	charged  time.Duration // battery time under voltage
	inrushed bool
}

// inrush is how far the first step after switching on exceeds the charger's
// current: the input capacitors, gone before the next mains cycles.
const inrush = 3

// Draw implements [Load].
func (c *Charger) Draw(dt time.Duration, volts float64) Draw {
	c.charged += dt
	watts := c.Watts
	switch past := c.charged - c.ConstantFor; {
	case past <= 0:
		watts *= 1 + c.Rise*float64(c.charged)/float64(c.ConstantFor)
	default:
		watts *= (1 + c.Rise) * math.Exp(-float64(past)/float64(c.Taper))
	}
	watts = max(watts, c.Trickle)
	// A rectifier's power factor falls with its load.
	pf := c.PowerFactor * (0.55 + 0.45*min(1, watts/c.Watts))
	d := Draw{Amps: watts / (volts * pf), Watts: watts}
	if !c.inrushed {
		c.inrushed = true
		d.Amps *= inrush
	}
	return d
}

// Off implements [Load].
func (c *Charger) Off() { c.inrushed = false }

// Full reports whether the charger has fallen to its trickle.
func (c *Charger) Full() bool {
	past := c.charged - c.ConstantFor
	return past > 0 && c.Watts*(1+c.Rise)*math.Exp(-float64(past)/float64(c.Taper)) <= c.Trickle
}

// Row is one sample of a recording.
type Row struct {
	At    time.Duration // since the recording's first sample
	Volts float64       // V, RMS; NaN when not recorded
	Amps  float64       // A, RMS; NaN when not recorded
	Watts float64       // W; NaN when not recorded
}

// Recording is a load that draws what was once recorded. Between two samples
// it holds the earlier one; after the last it holds the last. Time passes while
// the outlet is fed.
type Recording struct {
	Rows []Row

	played time.Duration
	next   int
}

// MaxRecordingRows bounds a recording that is read into memory.
const MaxRecordingRows = 5_000_000

// ReadRecording reads a plain CSV as package recording does, with at least one
// of amps and watts. Errors name the line.
func ReadRecording(r io.Reader) (*Recording, error) {
	in, err := recording.Open(r, recording.Options{Format: recording.FormatCSV})
	if err != nil {
		return nil, err
	}
	rec := &Recording{}
	var first time.Duration
	known := false
	for {
		var s recording.Sample
		err := in.Next(&s)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(rec.Rows) == MaxRecordingRows {
			return nil, fmt.Errorf("recording: more than %d samples", MaxRecordingRows)
		}
		if len(rec.Rows) == 0 {
			first = s.At
		}
		known = known || !math.IsNaN(s.Amps) || !math.IsNaN(s.Watts)
		rec.Rows = append(rec.Rows, Row{At: s.At - first, Volts: s.Volts, Amps: s.Amps, Watts: s.Watts})
	}
	if len(rec.Rows) == 0 {
		return nil, errors.New("recording: no samples")
	}
	if !known {
		return nil, errors.New("recording: no value in amps or watts: want at least one")
	}
	return rec, nil
}

// Draw implements [Load]. A recording without amps takes watts over volts, as
// at power factor 1; one without watts takes volts times amps.
func (r *Recording) Draw(dt time.Duration, volts float64) Draw {
	r.played += dt
	for r.next+1 < len(r.Rows) && r.Rows[r.next+1].At <= r.played {
		r.next++
	}
	row := r.Rows[r.next]
	if !math.IsNaN(row.Volts) && row.Volts > 0 {
		volts = row.Volts
	}
	d := Draw{Amps: row.Amps, Watts: row.Watts}
	if math.IsNaN(d.Watts) {
		d.Watts = volts * d.Amps
	}
	if math.IsNaN(d.Amps) {
		d.Amps = d.Watts / volts
	}
	if math.IsNaN(d.Amps) { // neither was recorded at this moment
		return Draw{}
	}
	return d
}

// Off implements [Load].
func (*Recording) Off() {}

// Done reports whether the last sample has been reached.
func (r *Recording) Done() bool { return r.next == len(r.Rows)-1 }
