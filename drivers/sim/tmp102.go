package sim

import (
	"encoding/binary"
	"sync"
)

// TMP102 is the model of a temperature sensor.
type TMP102 struct {
	mu      sync.Mutex // guards all below
	regs    [4]uint16  // temperature, configuration, low limit, high limit
	point   byte
	frozen  bool
	celsius float64
	alert   bool
}

// Bits of the TMP102's configuration register that the model heeds.
const (
	tmpPolarity = 1 << 10
	tmpAlert    = 1 << 5
	tmpExtended = 1 << 4
	tmpWritable = 0x9FD0 // all but the resolution bits, AL and the unused ones
)

var _ Chip = (*TMP102)(nil)

// NewTMP102 returns a sensor after power-on: it reads 0 °C until SetCelsius.
func NewTMP102() *TMP102 {
	t := &TMP102{}
	t.Reset()
	return t
}

// SetCelsius applies a temperature; the chip rounds it to 1/16 °C and saturates
// at the ends of its format. A NaN reads as zero.
func (t *TMP102) SetCelsius(celsius float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.celsius = celsius
	t.convert()
}

// Freeze stops the conversions, or lets them go on.
func (t *TMP102) Freeze(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frozen = on
	t.convert()
}

// Alert reports whether the alert is active: at the high limit or above, until
// the temperature falls below the low limit.
func (t *TMP102) Alert() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.alert
}

// convert does what the chip does at each conversion.
func (t *TMP102) convert() {
	if t.frozen {
		return
	}
	sixteenths := t.celsius * 16
	if t.regs[1]&tmpExtended != 0 {
		t.regs[0] = uint16(int16(clamp(sixteenths, -1<<12, 1<<12-1)))<<3 | 1
	} else {
		t.regs[0] = uint16(int16(clamp(sixteenths, -1<<11, 1<<11-1))) << 4
	}
	// The format bit is the lowest one, so the words compare as they are.
	if temp := int16(t.regs[0]) &^ 1; temp >= int16(t.regs[3]) {
		t.alert = true
	} else if temp < int16(t.regs[2]) {
		t.alert = false
	}
	// With POL = 0 the bit reads 1 while there is no alert.
	t.regs[1] &^= tmpAlert
	if t.alert == (t.regs[1]&tmpPolarity != 0) {
		t.regs[1] |= tmpAlert
	}
}

// Tx implements Chip: a pointer byte, followed by up to two bytes that are
// written to the register, or read from it, the most significant first.
func (t *TMP102) Tx(w, r []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(w) > 0 {
		t.point = w[0] & 3
	}
	if len(w) > 1 && t.point != 0 {
		t.store(w[1:])
	}
	var word [2]byte
	binary.BigEndian.PutUint16(word[:], t.regs[t.point])
	for i := range r {
		r[i] = 0xFF
		if i < len(word) {
			r[i] = word[i]
		}
	}
	return nil
}

// store writes the register at the pointer, byte by byte.
func (t *TMP102) store(data []byte) {
	var word [2]byte
	binary.BigEndian.PutUint16(word[:], t.regs[t.point])
	copy(word[:], data)
	value := binary.BigEndian.Uint16(word[:])
	if t.point == 1 {
		value = value&tmpWritable | t.regs[1]&^tmpWritable
	} else {
		value &= 0xFFF8
	}
	t.regs[t.point] = value
	t.convert()
}

// Reset implements Chip.
func (t *TMP102) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.regs = [4]uint16{0, 0x60A0, 0x4B00, 0x5000}
	t.point, t.alert = 0, false
}
