package sim

import (
	"hash/crc32"
	"math"
	"sync"
	"time"
)

// ADE7953Board is how a meter is wired: what turns mains volts and amps into
// volts at the pins of the chip.
type ADE7953Board struct {
	VoltsRatio float64    // mains volts for one volt between VP and VN
	AmpsPerV   [2]float64 // amps for one volt at the pins of channel A and B
}

// ADE7953Outlets returns a board for two outlets on 220-250 V mains: 990 kΩ and
// 1 kΩ, and a shunt of 1 mΩ a channel.
func ADE7953Outlets() ADE7953Board {
	return ADE7953Board{VoltsRatio: 991, AmpsPerV: [2]float64{1000, 1000}}
}

// ADE7953Load is what flows through one current channel.
type ADE7953Load struct {
	Amps  float64 // RMS
	Watts float64 // active power; negative when it flows back
	Vars  float64 // reactive power; negative for a capacitive load
	Crest float64 // peak over RMS; 0 is a sine
}

// Registers of the ADE7953 that do something in the model, those of 24 bits at
// their 24-bit address.
const (
	adeSAGCYC   = 0x000
	adeLCYCMODE = 0x004
	adePGA      = 0x007 // voltage, then current A and B
	adeUnlock   = 0x0FE
	adeLINECYC  = 0x101
	adeCONFIG   = 0x102
	adePF       = 0x10A // A, then B
	adePeriod   = 0x10E
	adeInternal = 0x120
	adeSAGLVL   = 0x200
	adeVA       = 0x210 // A, then B; so are those that follow
	adeWATT     = 0x212
	adeVAR      = 0x214
	adeIRMS     = 0x21A
	adeVRMS     = 0x21C
	adeENERGY   = 0x21E // active A and B, reactive A and B, apparent A and B
	adeOVLVL    = 0x224
	adeOILVL    = 0x225
	adeVPEAK    = 0x226 // and with reset; then current A and B likewise
	adeIRQ      = 0x22C // enable, status, status with reset; then B likewise
	adeCRC      = 0x37F
	adeVersion  = 0x702

	adeOI    = 1 << 13
	adeOV    = 1 << 16
	adeEnd   = 1 << 18
	adeSag   = 1 << 19
	adeReset = 1 << 20
	adeSum   = 1 << 21
)

// ADE7953 is the model of an AC meter with two current channels.
type ADE7953 struct {
	board ADE7953Board

	mu     sync.Mutex // guards all below
	regs   [0x801]uint32
	point  uint16
	ready  bool
	opened bool // the write before this one unlocked 0x120
	frozen bool
	volts  float64
	hertz  float64
	loads  [2]ADE7953Load
	phase  float64    // half cycles since the last end of a line-cycle window
	low    float64    // half cycles that the voltage has been below the sag level
	joules [6]float64 // accumulated since the last end of a window
	sum    uint32     // the checksum that was last computed
	summed [43 * 3]byte
}

var _ Chip = (*ADE7953)(nil)

// NewADE7953 returns a meter after power-on, on a line of 50 Hz and 0 V.
func NewADE7953(board ADE7953Board) *ADE7953 {
	c := &ADE7953{board: board, hertz: 50}
	c.Reset()
	return c
}

// Reset implements Chip.
func (c *ADE7953) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.regs = [len(c.regs)]uint32{
		adeLCYCMODE: 0x40, 0x100: 0xFFFF, adeCONFIG: 0x8004, 0x103: 0x3F, 0x104: 0x3F, 0x107: 0x0300,
		0x203: 0x00E419, 0x204: 0x00E419, adeOVLVL: 0xFFFFFF, adeOILVL: 0xFFFFFF, adeIRQ: 0x100000,
		adeVersion: 0x05,
	}
	for _, gain := range []uint16{0x280, 0x281, 0x282, 0x283, 0x284, 0x28C, 0x28D, 0x28E, 0x28F, 0x290} {
		c.regs[gain] = 0x400000
	}
	c.regs[adeIRQ+1] = adeReset
	c.joules, c.phase, c.low, c.point, c.opened, c.ready, c.sum = [6]float64{}, 0, 0, 0, false, true, 0
	c.measure()
}

// HoldReset keeps the chip in reset, when it does not answer, or ends that by a
// power-on reset.
func (c *ADE7953) HoldReset(on bool) {
	c.Reset()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready = !on
}

// Set applies an RMS voltage, its frequency and the loads of both channels. A
// NaN reads as zero.
func (c *ADE7953) Set(volts, hertz float64, a, b ADE7953Load) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.volts, c.hertz, c.loads = volts, hertz, [2]ADE7953Load{a, b}
	c.measure()
}

// Freeze stops the measuring registers from changing, or lets them follow
// again.
func (c *ADE7953) Freeze(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frozen = on
	c.measure()
}

// IRQ reports whether the interrupt pin is pulled low, and whether the output
// of channel B's interrupts is.
func (c *ADE7953) IRQ() (a, b bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.regs[adeIRQ+1]&(c.regs[adeIRQ]|adeReset) != 0, c.regs[adeIRQ+4]&c.regs[adeIRQ+3] != 0
}

// Advance lets time pass on the line: energy accumulates, windows of line
// cycles end, a sag lasts.
func (c *ADE7953) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hertz <= 0 || c.frozen {
		return
	}
	for left := d.Seconds() * 2 * c.hertz; left > 0; {
		step := min(left, 1)
		if n := float64(c.regs[adeLINECYC]); n > 0 {
			step = min(step, n-c.phase)
		}
		left -= step
		c.pass(max(step, 1e-9))
	}
}

// pass lets up to a half cycle pass.
func (c *ADE7953) pass(halves float64) {
	seconds := halves / (2 * c.hertz)
	for i, load := range c.loads {
		for n, power := range [3]float64{load.Watts, load.Vars, math.Abs(c.volts * load.Amps)} {
			c.joules[2*n+i] += power * seconds
		}
	}
	c.phase += halves
	n := float64(c.regs[adeLINECYC])
	ended := n > 0 && c.phase >= n-1e-6
	for i := range c.joules {
		// 206900 codes a second at the power of a full-scale sine.
		reg, joule := adeENERGY+uint16(i), 206900/c.fullWatts(i%2)
		switch lined := c.regs[adeLCYCMODE]>>i&1 != 0; {
		case !lined:
			whole := math.Trunc(c.joules[i] * joule)
			c.regs[reg] = signed24(float64(int32(c.regs[reg]<<8)>>8) + whole)
			c.joules[i] -= whole / joule
		case ended:
			c.regs[reg], c.joules[i] = signed24(c.joules[i]*joule), 0
		}
	}
	if ended {
		c.phase = 0
		c.regs[adeIRQ+1] |= adeEnd
	}
	c.low += halves
	if level := c.regs[adeSAGLVL]; c.peak(adePGA, c.volts*math.Sqrt2/c.board.VoltsRatio) >= float64(level) {
		c.low = 0
	} else if cycles := c.regs[adeSAGCYC]; cycles > 0 && c.low >= float64(cycles) {
		c.regs[adeIRQ+1] |= adeSag
	}
}

// gain is the gain that a PGA register holds.
func (c *ADE7953) gain(reg uint16) float64 {
	return [8]float64{1, 2, 4, 8, 16, 22, 1, 1}[c.regs[reg]&7]
}

// fullWatts is the power of a full-scale sine of voltage and current, 500 mV
// peak behind the amplifiers.
func (c *ADE7953) fullWatts(channel int) float64 {
	return 0.5 / c.gain(adePGA) * 0.5 / c.gain(adePGA+1+uint16(channel)) / 2 * c.board.VoltsRatio * c.board.AmpsPerV[channel]
}

// rms is the code of an RMS register for RMS volts at the pins: 9032007 for a
// sine of 500 mV peak. The converter ends 20 % above.
func (c *ADE7953) rms(pga uint16, volts float64) uint32 {
	return uint32(clamp(math.Abs(volts)*c.gain(pga)*math.Sqrt2/0.5*9032007, 0, 1.2*9032007))
}

// peak is the code of a waveform for peak volts at the pins: 6500000 for 500 mV.
func (c *ADE7953) peak(pga uint16, volts float64) float64 {
	return clamp(math.Abs(volts)*c.gain(pga)/0.5*6500000, 0, 1.2*6500000)
}

// measure does what the chip does at each sample.
func (c *ADE7953) measure() {
	if !c.frozen {
		c.regs[adeVRMS] = c.rms(adePGA, c.volts/c.board.VoltsRatio)
		c.regs[adePeriod] = uint32(clamp(223750/c.hertz-1, 0, 0xFFFF))
		for i, load := range c.loads {
			ch := uint16(i)
			c.regs[adeIRMS+ch] = c.rms(adePGA+1+ch, load.Amps/c.board.AmpsPerV[i])
			apparent := math.Abs(c.volts * load.Amps)
			watt := 4862401 / c.fullWatts(i)
			c.regs[adeWATT+ch] = signed24(load.Watts * watt)
			c.regs[adeVAR+ch] = signed24(load.Vars * watt)
			c.regs[adeVA+ch] = signed24(apparent * watt)
			factor := 0.0
			if apparent > 0 {
				factor = math.Copysign(math.Abs(load.Watts)/apparent*32768, load.Vars)
			}
			c.regs[adePF+ch] = uint32(uint16(int16(clamp(factor, -32768, 32767))))
		}
	}
	volts := c.peak(adePGA, c.volts*math.Sqrt2/c.board.VoltsRatio)
	c.note(adeVPEAK, volts)
	if volts > float64(c.regs[adeOVLVL]) {
		c.regs[adeIRQ+1] |= adeOV
	}
	for i, load := range c.loads {
		crest := load.Crest
		if crest == 0 {
			crest = math.Sqrt2
		}
		peak := c.peak(adePGA+1+uint16(i), load.Amps*crest/c.board.AmpsPerV[i])
		c.note(adeVPEAK+2+2*uint16(i), peak)
		if peak > float64(c.regs[adeOILVL]) {
			c.regs[adeIRQ+1+3*uint16(i)] |= adeOI
		}
	}
	c.checksum()
}

// note records a peak in a peak register and its twin.
func (c *ADE7953) note(reg uint16, peak float64) {
	c.regs[reg] = max(c.regs[reg], uint32(peak))
	c.regs[reg+1] = c.regs[reg]
}

// checksum computes the checksum over the registers that configure, and raises
// its flag when it changed. The order of the real chip is another.
func (c *ADE7953) checksum() {
	if c.regs[adeCONFIG]&0x100 == 0 {
		c.regs[adeCRC], c.sum = 0xFFFFFFFF, 0
		return
	}
	data := &c.summed
	for i, reg := range [43]uint16{
		0x000, 0x001, 0x004, 0x007, 0x008, 0x009, 0x040, 0x100, 0x101, 0x102, 0x103, 0x104, 0x107, 0x108, 0x109, 0x110, 0x120,
		0x200, 0x203, 0x204, 0x205, 0x224, 0x225, 0x22C, 0x22F, 0x280, 0x281, 0x282, 0x283, 0x284, 0x286, 0x288, 0x289, 0x28A,
		0x28B, 0x28C, 0x28E, 0x28F, 0x290, 0x292, 0x295, 0x296, 0x297,
	} {
		word := c.regs[reg]
		copy(data[3*i:], []byte{byte(word), byte(word >> 8), byte(word >> 16)})
	}
	sum := crc32.ChecksumIEEE(data[:])
	if c.sum != 0 && sum != c.sum {
		c.regs[adeIRQ+1] |= adeSum
	}
	c.regs[adeCRC], c.sum = sum, sum
}

// Tx implements Chip: a register address of two bytes, followed by the bytes of
// the register, as many as the address says, the most significant first.
func (c *ADE7953) Tx(w, r []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ready {
		return ErrNACK
	}
	c.measure()
	if len(w) == 1 {
		return ErrNACK
	}
	if len(w) >= 2 {
		c.point = uint16(w[0])<<8 | uint16(w[1])
	}
	reg, width := adeRegister(c.point)
	if width == 0 {
		return ErrNACK
	}
	if len(w) > 2 {
		if len(w)-2 != width {
			return ErrNACK
		}
		var word uint32
		for _, b := range w[2:] {
			word = word<<8 | uint32(b)
		}
		c.store(reg, word)
	}
	if len(r) == 0 {
		return nil
	}
	word := c.regs[reg]
	if reg == adeIRQ+2 || reg == adeIRQ+5 { // the status, with reset
		word = c.regs[reg-1]
	}
	if width == 4 && reg != adeCRC && word&0x800000 != 0 && (reg >= adeVA && reg < adeIRMS || reg >= adeENERGY && reg < adeOVLVL) {
		word |= 0xFF000000
	}
	for i := range r {
		r[i] = 0xFF // past the register nobody drives the line
		if i < width {
			r[i] = byte(word >> (8 * (width - 1 - i)))
		}
	}
	c.clearOnRead(reg)
	return nil
}

// clearOnRead does what reading a register does to it.
func (c *ADE7953) clearOnRead(reg uint16) {
	switch {
	case reg >= adeENERGY && reg < adeENERGY+6:
		if c.regs[adeLCYCMODE]&0x40 != 0 {
			c.regs[reg] = 0
		}
	case reg == adeVPEAK+1 || reg == adeVPEAK+3 || reg == adeVPEAK+5:
		c.regs[reg], c.regs[reg-1] = 0, 0
	case reg == adeIRQ+2 || reg == adeIRQ+5:
		c.regs[reg-1] = 0
	}
}

// store writes a register that can be written.
func (c *ADE7953) store(reg uint16, word uint32) {
	opened := c.opened
	c.opened = reg == adeUnlock && word == 0xAD
	switch {
	case reg == adeUnlock || reg == adeInternal && !opened,
		reg >= adePF && reg <= adePeriod,
		reg >= adeVA && reg < adeOVLVL,
		reg >= adeVPEAK && reg < adeIRQ,
		reg == adeIRQ+1, reg == adeIRQ+2, reg == adeIRQ+4, reg == adeIRQ+5,
		reg == adeCRC, reg == adeVersion:
		return
	case reg == adeIRQ:
		word |= adeReset
	}
	c.regs[reg] = word
	if reg == adeLINECYC || reg == adeLCYCMODE {
		c.phase = 0
	}
	c.measure()
}

// adeRegister returns the register behind an address and how many bytes it has
// at that address, 0 if there is none.
func adeRegister(addr uint16) (reg uint16, width int) {
	switch {
	case addr == adeCRC:
		return addr, 4
	case addr < 0x400:
		width = 1 + int(addr>>8)
		if addr >= 0x300 {
			addr -= 0x100
		}
		return addr, width
	case addr == adeVersion || addr == 0x800:
		return addr, 1
	default:
		return 0, 0
	}
}

// signed24 is a code in two's complement of 24 bits, saturated.
func signed24(code float64) uint32 {
	return uint32(int32(clamp(code, -1<<23, 1<<23-1))) & 0xFFFFFF
}
