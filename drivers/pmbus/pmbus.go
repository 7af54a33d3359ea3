package pmbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"periph.io/x/conn/v3/i2c"
)

// Commands that most chips know.
const (
	Page            = 0x00
	ClearFaults     = 0x03
	IoutOCFault     = 0x46
	IoutOCWarn      = 0x4A
	StatusByte      = 0x78
	StatusWord      = 0x79
	StatusVout      = 0x7A
	StatusIout      = 0x7B
	StatusInput     = 0x7C
	StatusTemp      = 0x7D
	StatusCML       = 0x7E
	StatusSpecific  = 0x80
	ReadVin         = 0x88
	ReadVout        = 0x8B
	ReadIout        = 0x8C
	ReadTemperature = 0x8D
	ReadPin         = 0x97
	MfrID           = 0x99
	MfrModel        = 0x9A
	MfrRevision     = 0x9B
)

// ErrPEC comes when the packet error code of what was read is wrong: a bit
// flipped on the bus, or the chip has no PEC.
var ErrPEC = errors.New("wrong packet error code")

// Coefficients are the direct format of one quantity of one chip.
type Coefficients struct {
	M, B float64
	R    int
}

// Decode returns the number that travels as word.
func (c Coefficients) Decode(word uint16) float64 {
	return (float64(int16(word))*math.Pow10(-c.R) - c.B) / c.M
}

// Encode returns the word of x, rounded down, and whether x fits in it.
func (c Coefficients) Encode(x float64) (word uint16, ok bool) {
	// A number that is a whole word must stay one in spite of the rounding of
	// floating point.
	y := math.Floor((c.M*x+c.B)*math.Pow10(c.R) + 1e-6)
	if math.IsNaN(y) || y < math.MinInt16 || y > math.MaxInt16 {
		return 0, false
	}
	return uint16(int16(y)), true
}

// Status is the status word.
type Status uint16

// The bits of the status word. The lower eight are also the status byte.
const (
	// CML is a communication, memory or logic fault.
	CML Status = 1 << 1
	// Temperature is a fault or a warning of a temperature.
	Temperature Status = 1 << 2
	// VinUV is an input that was too low.
	VinUV Status = 1 << 3
	// IoutOC is an output overcurrent fault.
	IoutOC Status = 1 << 4
	// VoutOV is an output overvoltage fault.
	VoutOV Status = 1 << 5
	// Off says that the output is off, for whatever reason.
	Off Status = 1 << 6
	// Other is a fault of the byte STATUS_OTHER.
	Other Status = 1 << 9
	// PowerNotGood says that the power is not good.
	PowerNotGood Status = 1 << 11
	// Specific is a fault of the byte STATUS_MFR_SPECIFIC.
	Specific Status = 1 << 12
	// Input is a fault or a warning of the input.
	Input Status = 1 << 13
	// Iout is a fault or a warning of the output current or power.
	Iout Status = 1 << 14
	// Vout is a fault or a warning of the output voltage.
	Vout Status = 1 << 15
)

// IoutStatus is the status byte of the output current.
type IoutStatus uint8

// The bits of the status byte of the output current that concern overcurrent.
const (
	// IoutWarning is set when the current was above its warning limit.
	IoutWarning IoutStatus = 1 << 5
	// IoutFault is set when the current was above its fault limit.
	IoutFault IoutStatus = 1 << 7
)

// maxBlock is the most bytes that SMBus allows in a block.
const maxBlock = 32

// Conn is the way to one chip. Its zero value with Dev set is ready.
type Conn struct {
	Dev i2c.Dev
	// PEC ends every transaction with a packet error code.
	PEC bool

	write [5]byte // address for the CRC, command, word, PEC
	read  [maxBlock + 3]byte
}

// Byte reads a byte.
func (c *Conn) Byte(command byte) (byte, error) {
	data, err := c.get(command, 1)
	if err != nil {
		return 0, err
	}
	return data[0], nil
}

// Word reads a word.
func (c *Conn) Word(command byte) (uint16, error) {
	data, err := c.get(command, 2)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint16(data), nil
}

// Block reads a block, of which it asks for n bytes. The block may be shorter;
// what it has beyond n is read and dropped, its PEC is left unread.
func (c *Conn) Block(command byte, n int) ([]byte, error) {
	if n < 1 || n > maxBlock {
		return nil, fmt.Errorf("read command %#02x: block of %d bytes: want 1 to %d", command, n, maxBlock)
	}
	data, err := c.tx(command, 1+n)
	if err != nil {
		return nil, err
	}
	length := int(data[0])
	if length > maxBlock {
		return nil, fmt.Errorf("read command %#02x: block says it has %d bytes: want up to %d", command, length, maxBlock)
	}
	block := slices.Clone(data[1 : 1+min(length, n)])
	if length > n {
		// A block that is not read to its end is finished: QEMU's model, unlike
		// silicon, begins the next transfer with the rest.
		if _, err := c.tx(command, length-n); err != nil {
			return nil, err
		}
	}
	return block, nil
}

// get reads n bytes, and their PEC.
func (c *Conn) get(command byte, n int) ([]byte, error) {
	if !c.PEC {
		return c.tx(command, n)
	}
	data, err := c.tx(command, n+1)
	if err != nil {
		return nil, err
	}
	addr := byte(c.Dev.Addr << 1)
	sum := crc(crc(crc(0, addr), command), addr|1)
	for _, b := range data[:n] {
		sum = crc(sum, b)
	}
	if sum != data[n] {
		return nil, fmt.Errorf("read command %#02x: got % x, want %#02x at the end: %w", command, data, sum, ErrPEC)
	}
	return data[:n], nil
}

func (c *Conn) tx(command byte, n int) ([]byte, error) {
	c.write[1] = command
	if err := c.Dev.Tx(c.write[1:2], c.read[:n]); err != nil {
		return nil, fmt.Errorf("read command %#02x: %w", command, err)
	}
	return c.read[:n], nil
}

// Send sends a command without data.
func (c *Conn) Send(command byte) error { return c.set(command, 0, 0) }

// SetByte writes a byte.
func (c *Conn) SetByte(command, value byte) error { return c.set(command, uint16(value), 1) }

// SetWord writes a word.
func (c *Conn) SetWord(command byte, value uint16) error { return c.set(command, value, 2) }

// set writes a command, n bytes of value, and the PEC.
func (c *Conn) set(command byte, value uint16, n int) error {
	c.write = [5]byte{byte(c.Dev.Addr << 1), command, byte(value), byte(value >> 8)}
	end := 2 + n
	if c.PEC {
		sum := byte(0)
		for _, b := range c.write[:end] {
			sum = crc(sum, b)
		}
		c.write[end] = sum
		end++
	}
	if err := c.Dev.Tx(c.write[1:end], nil); err != nil {
		return fmt.Errorf("write command %#02x: %w", command, err)
	}
	return nil
}

// crc adds a byte to a CRC-8.
func crc(sum, b byte) byte {
	sum ^= b
	for range 8 {
		carry := sum >> 7
		sum = sum<<1 ^ carry*0x07
	}
	return sum
}
