package sim

import "sync"

// Bits of an LM75's configuration register that the model heeds.
const (
	lm75Shutdown   = 1 << 0
	lm75Resolution = 5 // shift of a TMP75's two bits
)

// LM75 is the model of a temperature sensor with an eight-bit configuration: the
// LM75 and those made to replace it.
type LM75 struct {
	bits     int  // of the temperature; 0 is what the configuration says
	writable byte // of the configuration
	limit    uint16

	mu      sync.Mutex // guards all below
	temp    uint16
	config  byte
	limits  [2]uint16 // T_HYST, T_OS
	point   byte
	frozen  bool
	celsius float64
	alert   bool
}

var _ Chip = (*LM75)(nil)

// NewLM75 returns an LM75 after power-on, whose step is 0.5 °C: it reads 0 °C
// until SetCelsius.
func NewLM75() *LM75 { return newLM75(9, 0x1F, 0xFF80) }

// NewLM75B returns an NXP LM75B after power-on, whose step is 0.125 °C.
func NewLM75B() *LM75 { return newLM75(11, 0x1F, 0xFF80) }

// NewTMP75 returns a TMP75, TMP105 or DS75 after power-on: its step is 0.5 °C
// until the resolution bits of the configuration make it smaller.
func NewTMP75() *LM75 { return newLM75(0, 0x7F, 0xFFF0) }

func newLM75(bits int, writable byte, limit uint16) *LM75 {
	l := &LM75{bits: bits, writable: writable, limit: limit}
	l.Reset()
	return l
}

// SetCelsius applies a temperature; the chip rounds it to its step and saturates
// at the ends of its format. A NaN reads as zero.
func (l *LM75) SetCelsius(celsius float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.celsius = celsius
	l.convert()
}

// Freeze stops the conversions, or lets them go on.
func (l *LM75) Freeze(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = on
	l.convert()
}

// Alert reports whether the O.S. output is active: above the high limit, until
// the temperature falls below the low one.
func (l *LM75) Alert() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alert
}

// convert does what the chip does at each conversion.
func (l *LM75) convert() {
	if l.frozen || l.config&lm75Shutdown != 0 {
		return
	}
	bits := l.bits
	if bits == 0 {
		bits = 9 + int(l.config>>lm75Resolution&3)
	}
	half := float64(int(1) << (bits - 1))
	steps := clamp(l.celsius*half/128, -half, half-1)
	l.temp = uint16(int16(steps)) << (16 - bits)
	if temp := int16(l.temp); temp > int16(l.limits[1]) {
		l.alert = true
	} else if temp < int16(l.limits[0]) {
		l.alert = false
	}
}

// Tx implements Chip: a pointer byte, followed by what is written to the register
// or read from it, the most significant byte first.
func (l *LM75) Tx(w, r []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(w) > 0 {
		l.point = w[0] & 3
		l.store(w[1:])
	}
	word := l.temp
	switch l.point {
	case 1:
		word = uint16(l.config) << 8
	case 2, 3:
		word = l.limits[l.point-2]
	}
	for i := range r {
		r[i] = 0xFF
		switch {
		case i == 0 || l.point == 1: // the configuration is sent again and again
			r[i] = byte(word >> 8)
		case i == 1:
			r[i] = byte(word)
		}
	}
	return nil
}

func (l *LM75) store(data []byte) {
	if len(data) == 0 {
		return
	}
	switch l.point {
	case 1:
		l.config = data[0] & l.writable
	case 2, 3:
		word := &l.limits[l.point-2]
		*word = *word&0x00FF | uint16(data[0])<<8
		if len(data) > 1 {
			*word = (*word&0xFF00 | uint16(data[1])) & l.limit
		}
	}
	l.convert()
}

// Reset implements Chip.
func (l *LM75) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.temp, l.config, l.point, l.alert = 0, 0, 0, false
	l.limits = [2]uint16{0x4B00, 0x5000}
}
