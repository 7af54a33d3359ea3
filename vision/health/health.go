package health

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// Width and Height are the size of the grey copies in pixels.
const (
	Width  = 80
	Height = 48
)

// Size is the number of their pixels.
const Size = Width * Height

// Fault is why a camera is blind.
type Fault string

// The faults, and None.
const (
	None        Fault = ""
	Frozen      Fault = "frozen"
	Black       Fault = "black"
	Overexposed Fault = "overexposed"
	Covered     Fault = "covered"
	Defocused   Fault = "defocused"
	Moved       Fault = "moved"
)

// Settings are how long a fault must stand to be told.
type Settings struct {
	Frozen time.Duration // the very same picture
	Blind  time.Duration // black, overexposed, covered, defocused
	Moved  time.Duration
	// Learn is how long the picture must be well before it is known.
	Learn time.Duration
}

// DefaultSettings suit a fixed camera at 1 to 25 frames a second.
func DefaultSettings() Settings {
	return Settings{Frozen: 30 * time.Second, Blind: 10 * time.Second, Moved: 20 * time.Second, Learn: 30 * time.Second}
}

// Validate reports what is wrong with the settings, every fault at once.
func (s *Settings) Validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		v    time.Duration
	}{{"frozen", s.Frozen}, {"blind", s.Blind}, {"moved", s.Moved}, {"learn", s.Learn}} {
		if f.v < time.Second || f.v > 10*time.Minute {
			errs = append(errs, fmt.Errorf("%s: %v: want 1s to 10m", f.name, f.v))
		}
	}
	return errors.Join(errs...)
}

const (
	dark      = 32   // grey level: hardly anything is brighter in a black picture
	bright    = 245  // grey level: nearly everything is above it in an overexposed one
	least     = 0.25 // of the usual detail that is left in a covered picture
	soft      = 0.73 // of the usual detail that is left in a defocused one
	alike     = 0.3  // correlation of edges below which the picture is another one
	shifted   = 0.6  // correlation at which a shifted picture is the usual one
	maxShift  = 24   // pixels of the grey copy that a moved camera is looked for
	shiftStep = 2
	shiftDown = 10
)

// Check follows one camera. It is for one goroutine, and allocates nothing after
// New.
type Check struct {
	settings Settings
	edges    [Size]float32 // of this frame
	usual    [Size]float32
	detail   float64 // usual sum of edges
	known    time.Duration
	last     [Size]uint8
	at       time.Time
	seen     bool
	same     time.Duration // how long the picture has been the very same
	state    Fault         // told
	now      Fault         // stands since
	since    time.Time
}

// New returns a check of a camera that was not seen yet.
func New(s Settings) (*Check, error) {
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("health: %w", err)
	}
	return &Check{settings: s}, nil
}

// Fault is what is told now.
func (c *Check) Fault() Fault { return c.state }

// Known reports whether the picture has been well for long enough to be known.
func (c *Check) Known() bool { return c.known >= c.settings.Learn }

// Forget begins anew: the camera was moved on purpose.
func (c *Check) Forget() {
	s := c.settings
	*c = Check{settings: s}
}

// Next takes a frame, grey pixels row by row, and reports what is told now.
func (c *Check) Next(grey []uint8, at time.Time) (Fault, error) {
	if len(grey) != Size {
		return c.state, fmt.Errorf("health: %d grey pixels: want %d x %d", len(grey), Width, Height)
	}
	gap := time.Duration(0)
	if c.seen {
		gap = min(max(at.Sub(c.at), 0), 5*time.Second)
	}
	if c.seen && string(grey) == string(c.last[:]) {
		c.same += gap
	} else {
		c.same = 0
	}
	copy(c.last[:], grey)
	c.at, c.seen = at, true

	found := c.look(grey)
	if found == None {
		c.learn(gap)
	}
	if found != c.now {
		c.now, c.since = found, at
	}
	if c.now != c.state && at.Sub(c.since) >= c.patience() {
		c.state = c.now
	}
	return c.state, nil
}

// patience is how long what stands now must stand to be told. A frozen picture
// has been waited for already; to be well again takes as long as to be blind.
func (c *Check) patience() time.Duration {
	switch c.now {
	case Frozen:
		return 0
	case Moved:
		return c.settings.Moved
	default:
		return c.settings.Blind
	}
}

// look finds what is wrong with a frame.
func (c *Check) look(grey []uint8) Fault {
	if c.same >= c.settings.Frozen {
		return Frozen
	}
	lit, high := 0, 0
	for _, v := range grey {
		if v > dark {
			lit++
		}
		if v >= bright {
			high++
		}
	}
	switch {
	case lit < Size*3/100: // the camera's own clock stays
		return Black
	case high >= Size*8/10:
		return Overexposed
	}
	detail := c.outline(grey)
	if !c.Known() {
		return None
	}
	still := correlation(&c.edges, &c.usual, 0, 0)
	switch {
	case detail < least*c.detail: // whether or not somewhat shines through
		return Covered
	case detail < soft*c.detail && still >= alike:
		return Defocused
	case still < alike:
		if c.elsewhere() || detail >= soft*c.detail {
			return Moved
		}
		return Covered
	default:
		return None
	}
}

// outline measures the edges of a frame: the root of the gradient, so that a
// lamp does not outweigh everything else.
func (c *Check) outline(grey []uint8) float64 {
	sum := 0.0
	for y := 1; y < Height-1; y++ {
		for x := 1; x < Width-1; x++ {
			i := y*Width + x
			gx := float64(grey[i+1]) - float64(grey[i-1])
			gy := float64(grey[i+Width]) - float64(grey[i-Width])
			e := math.Sqrt(math.Abs(gx) + math.Abs(gy))
			if e < 2 { // sensor noise
				e = 0
			}
			c.edges[i] = float32(e)
			sum += e
		}
	}
	return sum
}

// learn takes the edges of a good frame into the usual ones: all of them within
// Learn at first, then within a quarter of an hour.
func (c *Check) learn(gap time.Duration) {
	c.known = min(c.known+gap, c.settings.Learn)
	f := float32(gap.Seconds() / 900)
	if !c.Known() {
		f = float32(max(gap.Seconds(), 0.02) / max(c.known.Seconds(), 0.02))
	}
	f = min(f, 1)
	c.detail = 0
	for i, e := range c.edges {
		c.usual[i] += (e - c.usual[i]) * f
		c.detail += float64(c.usual[i])
	}
}

// elsewhere reports whether the usual edges are found shifted.
func (c *Check) elsewhere() bool {
	for dy := -shiftDown; dy <= shiftDown; dy += shiftStep {
		for dx := -maxShift; dx <= maxShift; dx += shiftStep {
			if correlation(&c.edges, &c.usual, dx, dy) >= shifted {
				return true
			}
		}
	}
	return false
}

// correlation of a, shifted by dx and dy, with b where they overlap.
func correlation(a, b *[Size]float32, dx, dy int) float64 {
	var n, sa, sb, saa, sbb, sab float64
	for y := max(1, 1-dy); y < min(Height-1, Height-1-dy); y++ {
		for x := max(1, 1-dx); x < min(Width-1, Width-1-dx); x++ {
			p, q := float64(a[(y+dy)*Width+x+dx]), float64(b[y*Width+x])
			n++
			sa += p
			sb += q
			saa += p * p
			sbb += q * q
			sab += p * q
		}
	}
	va, vb := saa-sa*sa/n, sbb-sb*sb/n
	if va <= 0 || vb <= 0 {
		return 0
	}
	return (sab - sa*sb/n) / math.Sqrt(va*vb)
}
