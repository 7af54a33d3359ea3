package sim

import (
	"math"
	"sync"
)

// AMG8833Pixels is the number of pixels of the array.
const AMG8833Pixels = 64

// Registers of the AMG8833.
const (
	amgPower      = 0x00
	amgReset      = 0x01
	amgFrameRate  = 0x02
	amgIntControl = 0x03
	amgStatus     = 0x04
	amgClear      = 0x05
	amgLevels     = 0x08
	amgThermistor = 0x0E
	amgIntTable   = 0x10
	amgPixels     = 0x80
)

// AMG8833 is the model of an 8×8 thermopile array. It converts a frame at every
// call of SetCelsius.
type AMG8833 struct {
	mu     sync.Mutex // guards all below
	regs   [256]byte
	point  byte
	frozen bool
	pixels [AMG8833Pixels]float64
	board  float64
}

var _ Chip = (*AMG8833)(nil)

// NewAMG8833 returns an array after power-on: its frame is all zero until
// SetCelsius.
func NewAMG8833() *AMG8833 {
	a := &AMG8833{}
	a.Reset()
	return a
}

// SetCelsius applies the temperatures that the pixels see and that of the chip
// itself. The chip rounds them to 1/4 and 1/16 °C and saturates at the ends of its
// formats. A NaN reads as zero.
func (a *AMG8833) SetCelsius(pixels *[AMG8833Pixels]float64, board float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pixels, a.board = *pixels, board
	a.convert()
}

// Freeze stops the conversions, or lets them go on.
func (a *AMG8833) Freeze(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.frozen = on
	a.convert()
}

// convert does what the chip does at each frame. Pixels are two's complement,
// the thermistor is sign and magnitude.
func (a *AMG8833) convert() {
	if a.frozen || a.regs[amgPower] != 0 {
		return
	}
	for i, celsius := range a.pixels {
		a.word(amgPixels+2*i, uint16(int16(clamp(celsius*4, -1<<11, 1<<11-1)))&0xFFF)
	}
	sign := uint16(0)
	if a.board < 0 {
		sign = 1 << 11
	}
	a.word(amgThermistor, uint16(clamp(math.Abs(a.board)*16, 0, 1<<11-1))|sign)
}

func (a *AMG8833) word(reg int, word uint16) {
	a.regs[reg], a.regs[reg+1] = byte(word), byte(word>>8)
}

// Tx implements Chip: a register, followed by bytes that are written from there
// on, or read from there on.
func (a *AMG8833) Tx(w, r []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(w) > 0 {
		a.point = w[0]
		for _, b := range w[1:] {
			a.store(b)
			a.point++
		}
	}
	for i := range r {
		r[i] = a.regs[a.point]
		if a.point == amgReset || a.point == amgClear {
			r[i] = 0 // write only
		}
		a.point++
	}
	return nil
}

func (a *AMG8833) store(b byte) {
	switch reg := a.point; {
	case reg == amgReset && b == 0x3F:
		power := a.regs[amgPower]
		clear(a.regs[:amgThermistor])
		a.regs[amgPower] = power
	case reg == amgReset && b == 0x30, reg == amgClear:
		a.regs[amgStatus] = 0
		clear(a.regs[amgIntTable : amgIntTable+8])
	case reg == amgPower:
		a.regs[amgPower] = b
	case reg == amgFrameRate:
		a.regs[reg] = b & 1
	case reg == amgIntControl:
		a.regs[reg] = b & 3
	case reg >= amgLevels && reg < amgThermistor:
		a.regs[reg] = b & (0xFF >> (4 * (reg & 1)))
	}
}

// Reset implements Chip: ten frames a second, and no frame yet.
func (a *AMG8833) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.regs[:])
	a.point = 0
}
