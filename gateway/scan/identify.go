package scan

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
)

// adeAddress is the only address of an ADE7953.
const adeAddress = 0x38

// Chips that are asked for their identity only where the configuration has them.
const (
	ade   = "ade7953"
	maxim = "max34451"
)

// expanderRead is twice the registers of a MCP23017.
const expanderRead = 2 * 22

// identify finds out which chip answered, by its registers where they may be
// asked for, else by its address.
func (s *search) identify(item *Item, b byte, want string) {
	addr := item.Address
	item.Evidence = fmt.Sprintf("read %#02x", b)
	switch {
	case s.quiet[addr], addr >= 0x20 && addr <= 0x27:
		s.expander(item, want)
	case addr == adeAddress:
		item.Chips = []string{"ade7953", "pcf8574", "pca9554"}
		if s.opts.ADE7953 || s.named == ade {
			s.ade7953(item)
		}
	case addr > adeAddress && addr <= 0x3F:
		item.Chips = []string{"pcf8574", "pca9554"}
	case addr == 0x33:
		item.Chips = []string{"mlx90640"}
	case addr >= 0x50 && addr <= 0x57:
		item.Chips = []string{"at24"}
	case addr >= firstMux:
		switch {
		case s.named == maxim && (item.Mux != 0 || !s.echoes(addr, 1)): // nor a mux, which would take the pointer for its ports
			s.pmbus(item)
		case item.Mux != 0:
			item.Chips = []string{"pca9548"}
		case s.named == maxim:
			_ = s.join(addr, 0) // a mux: it is left again as it was
		}
	case addr >= 0x40 && addr <= 0x4F:
		if !s.pmbus(item) && !s.texas(item) {
			s.monitor(item)
		}
	case s.pmbus(item):
	case addr >= 0x60 && addr <= 0x6F:
		s.acs37800(item)
		if addr == 0x68 || addr == 0x69 {
			s.warmth(item)
		}
		if addr == 0x68 {
			s.clock(item)
		}
	}
	if len(item.Chips) == 0 {
		item.Evidence += ", unknown"
	}
}

// expander reads many bytes without a pointer. A MCP23017's registers run round;
// smaller ones repeat what they show.
func (s *search) expander(item *Item, want string) {
	item.Chips = []string{"pcf8574", "pca9554", "max7310"}
	var b [expanderRead]byte
	if err := s.read(item.Address, nil, b[:]); err != nil {
		item.Chips = append(item.Chips, "mcp23017")
		return
	}
	repeats := func(n int) bool { return bytes.Equal(b[n:], b[:len(b)-n]) }
	switch {
	case repeats(1):
		item.Evidence += ", repeated"
		if b[0] == 0 { // all of its pins are outputs and low
			item.Chips = append([]string{"mcp23017"}, item.Chips...)
		}
	case repeats(2):
		item.Chips, item.Evidence = []string{"pcf8575"}, item.Evidence+", two bytes in turn"
	case repeats(expanderRead / 2):
		item.Chips, item.Evidence = []string{"mcp23017"}, "22 registers that run round"
	default: // inputs that moved meanwhile
		item.Chips = append([]string{"mcp23017"}, item.Chips...)
	}
	if !expander(want) { // nobody says that it is an expander at all
		return
	}
	for i, chip := range item.Chips {
		if chip == want { // what cannot be told apart is taken as wanted
			copy(item.Chips[1:i+1], item.Chips[:i])
			item.Chips[0] = want
		}
	}
}

// texas asks for the identity of the INA monitors.
func (s *search) texas(item *Item) bool {
	const maker = 0x5449 // "TI"
	id := func(chip string, device uint16) bool {
		item.Chips, item.Sure, item.Evidence = []string{chip}, true, fmt.Sprintf("maker %#04x, device %#04x", maker, device)
		return true
	}
	if s.word(item.Address, 0xFE) == maker {
		device, config := s.word(item.Address, 0xFF), s.word(item.Address, 0x00)
		switch {
		case device == 0x3220, item.Address <= 0x43 && config>>12 != 4:
			return id("ina3221", device)
		case device&0xFFF0 == 0x2260:
			return id("ina226", device)
		}
	}
	if s.word(item.Address, 0x3E) == maker {
		if device := s.word(item.Address, 0x3F); device&0xFFF0 == 0x2280 {
			return id("ina228", device)
		}
	}
	return false
}

// pmbus asks for maker and model.
func (s *search) pmbus(item *Item) bool {
	const cmdMaker, cmdModel = 0x99, 0x9A
	var b [17]byte
	if s.read(item.Address, []byte{cmdMaker}, b[:]) != nil {
		return false
	}
	if b[0] == 0x4D && s.byte(item.Address, cmdModel) == 0x59 {
		item.Chips, item.Sure, item.Evidence = []string{"max34451"}, true, "maker 0x4d, model 0x59"
		return true
	}
	maker := text(b[:])
	if maker == "" || s.read(item.Address, []byte{cmdModel}, b[:]) != nil {
		return false
	}
	model := text(b[:])
	item.Sure, item.Evidence = true, fmt.Sprintf("maker %q, model %q", maker, model)
	if name, _, _ := strings.Cut(strings.ToLower(model), "-"); strings.EqualFold(maker, "ADI") && strings.HasPrefix(name, "adm") {
		item.Chips = []string{name}
	}
	return true
}

// text is a PMBus block of letters, or nothing.
func text(b []byte) string {
	n := int(b[0])
	if n < 2 || n >= len(b) {
		return ""
	}
	for _, c := range b[1 : n+1] {
		if c < ' ' || c > '~' {
			return ""
		}
	}
	return strings.TrimSpace(string(b[1 : n+1]))
}

// monitor tells by their registers the chips of 0x40 to 0x4F that have no
// identity.
func (s *search) monitor(item *Item) {
	var w [4]uint16
	for i := range w {
		w[i] = s.word(item.Address, byte(i)) // #nosec G115 -- 0 to 3
	}
	item.Evidence = fmt.Sprintf("registers %04x %04x %04x %04x", w[0], w[1], w[2], w[3])
	if item.Address >= 0x48 && item.Address <= 0x4B && w[2] != w[3] && int16(w[2]) < int16(w[3]) && // #nosec G115 -- two's complement
		w[2] == 0x8000 && w[3] == 0x7FFF || w[2] == 0 && w[3] == 0x8000 {
		item.Chips = []string{"ads1115"}
		return
	}
	if item.Address >= 0x48 {
		// TMP102: the resolution reads 3 and the lowest bits of both registers 0,
		// but for the mark of the extended mode.
		if w[1]&0x600F == 0x6000 && w[0]&6 == 0 && w[0]&1 == w[1]>>4&1 {
			item.Chips = append(item.Chips, "tmp102")
		}
		// LM75: a configuration of one byte, its highest bit 0; limits and
		// temperature of at most 12 bits. Those with 9 or 11 bits have no more.
		if conf := w[1] >> 8; conf&0x80 == 0 && (w[1]&0xFF == conf || w[1]&0xFF == 0xFF) && w[0]&0xF == 0 && w[2]&0xF == 0 && w[3]&0xF == 0 && w[2] != w[3] {
			if conf&0x60 == 0 && w[0]&0x1F == 0 {
				item.Chips = append(item.Chips, "lm75b", "ds75", "tmp75", "tmp105")
				if w[0]&0x7F == 0 {
					item.Chips = append(item.Chips, "lm75")
				}
			} else {
				item.Chips = append(item.Chips, "tmp75", "tmp105", "ds75")
			}
		}
	}
	// INA219: two bits of the configuration and one of the bus voltage read 0.
	// Not every word of a chip can be the same.
	if len(item.Chips) == 0 && w[0]&0xC000 == 0 && w[2]&4 == 0 && w[0] != 0 {
		item.Chips = []string{"ina219"}
	}
}

// acs37800 compares the memory of an ACS37800 with its shadow, of which a program
// may have changed a word or two. The highest byte holds check bits.
func (s *search) acs37800(item *Item) {
	const words = 5
	agree, blank := 0, true
	for reg := byte(0x0B); reg < 0x0B+words; reg++ {
		var memory, shadow [4]byte
		if s.read(item.Address, []byte{reg}, memory[:]) != nil || s.read(item.Address, []byte{reg + 0x10}, shadow[:]) != nil {
			return
		}
		if bytes.Equal(memory[:3], shadow[:3]) {
			agree++
		}
		blank = blank && memory == [4]byte{0xFF, 0xFF, 0xFF, 0xFF}
	}
	if agree < words-2 || blank {
		return
	}
	item.Chips, item.Evidence = []string{"acs37800"}, fmt.Sprintf("%d of %d words of memory in the shadow", agree, words)
}

// warmth tells an AMG8833 by its mode, its rate and its thermistor.
func (s *search) warmth(item *Item) {
	mode, rate := s.byte(item.Address, 0x00), s.byte(item.Address, 0x02)
	low, high := s.byte(item.Address, 0x0E), s.byte(item.Address, 0x0F)
	known := mode == 0 || mode == 0x10 || mode == 0x20 || mode == 0x21
	if known && rate <= 1 && high&0xF0 == 0 && (low != 0 || high != 0) {
		item.Chips, item.Evidence = []string{"amg8833"}, fmt.Sprintf("mode %#02x, thermistor %#02x%02x", mode, high, low)
	}
}

// clock tells a DS3231, DS1338 or DS1307 by a date that can be one.
func (s *search) clock(item *Item) {
	var b [7]byte
	if s.read(item.Address, []byte{0}, b[:]) != nil {
		return
	}
	for i, limit := range [...]struct{ mask, low, high byte }{
		{0x7F, 0, 0x59}, {0xFF, 0, 0x59}, {0x7F, 0, 0x72}, {0xFF, 1, 7}, {0xFF, 1, 0x31}, {0x7F, 1, 0x12}, {0xFF, 0, 0x99},
	} {
		if v := b[i] & limit.mask; v < limit.low || v > limit.high || v&0xF > 9 {
			return
		}
	}
	item.Chips, item.Evidence = []string{"ds3231", "ds1338", "ds1307"}, fmt.Sprintf("date 20%02x-%02x-%02x", b[6], b[5]&0x1F, b[4])
}

// ade7953 asks for version, gain and checksum.
func (s *search) ade7953(item *Item) {
	var version [1]byte
	var gain, sum [4]byte
	if s.read(adeAddress, []byte{0x07, 0x02}, version[:]) != nil || s.read(adeAddress, []byte{0x03, 0x80}, gain[:]) != nil ||
		s.read(adeAddress, []byte{0x03, 0x7F}, sum[:]) != nil {
		return
	}
	g := binary.BigEndian.Uint32(gain[:])
	if version[0] == 0xFF || g < 0x200000 || g > 0x600000 {
		item.Chips = []string{"pcf8574", "pca9554"}
		return
	}
	item.Chips, item.Sure = []string{"ade7953"}, true
	item.Evidence = fmt.Sprintf("version %d, checksum %#08x", version[0], binary.BigEndian.Uint32(sum[:]))
}

// word reads a register of two bytes, the most significant first; 0xFFFF when it
// does not answer.
func (s *search) word(addr uint16, reg byte) uint16 {
	var b [2]byte
	if s.read(addr, []byte{reg}, b[:]) != nil {
		return 0xFFFF
	}
	return binary.BigEndian.Uint16(b[:])
}

// byte reads a register of one byte; 0xFF when it does not answer.
func (s *search) byte(addr uint16, reg byte) byte {
	var b [1]byte
	if s.read(addr, []byte{reg}, b[:]) != nil {
		return 0xFF
	}
	return b[0]
}
