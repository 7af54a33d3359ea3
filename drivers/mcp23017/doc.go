// Package mcp23017 drives the outputs of the Microchip MCP23017, a 16-pin I²C
// expander, such as the relays of a shed.
//
// # Model
//
// Pins are bits of a uint16: GPA0 is bit 0, GPB0 is bit 8. Opts.Outputs says
// which of them are outputs; the others stay inputs. A pin that becomes an
// output shows its latch, and the latch of a fresh chip is 0; so [Dev.Configure]
// writes in this order, and no relay chatters:
//
//	05 00           leaves the register map of BANK = 1 if a fault set it; with
//	                BANK = 0 this is GPINTENB, whose value is 0 anyway
//	0A 00           IOCON: BANK = 0, SEQOP = 0 (the pointer runs on)
//	14 lo hi        OLATA, OLATB: what the pins are to show
//	00 lo hi 00 …   IODIRA, IODIRB: outputs drive; IPOL: not inverted;
//	                GPINTEN: no interrupts
//
// and reads it back. [Dev.Set] then writes both latches in one transaction.
// [Dev.Latch] reads the latch from the chip, [Dev.Pins] the levels at the pins:
// a relay driver that pulls a pin down shows there.
//
// A chip that loses its supply makes all pins inputs, which the board must pull
// to the safe side. [Dev.Check] notices (ErrReset), and only Configure, with a
// latch that the caller chooses anew, takes the pins up again.
//
// # When the program is gone
//
// An expander keeps its outputs when the processor that wrote them dies. [Open]
// is for what runs after that: it knows nothing of the state of the chip and
// drives all outputs to Opts.Initial with three writes, 8 bytes.
//
// # Sources
//
// Microchip MCP23017 datasheet DS20001952: register map (Table 3-1), IOCON,
// sequential and byte mode (section 3.2.1). In agreement: RobTillaart
// MCP23017_RT, esphome mcp23x17, tinygo and periph drivers; captures of a real
// chip in sigrok-dumps microchip_mcp23017, where 94 of 94 writes to OLAT appear
// on the pins.
//
// # Caveats
//
//   - GPA7 and GPB7 can only be outputs on current silicon (Microchip note).
//   - Levels are levels: whether high closes a relay is the board's affair and
//     the caller's.
//   - Wire the reset pin, or an enable line of the relay coils, to something
//     that does not need the bus: a bus that hangs carries no "open".
//   - A bus that is stuck high reads as latch and pins 0xFFFF, which cannot be
//     told from 16 high pins; Check tells.
//   - A Dev is for one goroutine. It never retries, sleeps or logs.
package mcp23017
