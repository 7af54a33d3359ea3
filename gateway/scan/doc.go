// Package scan finds the chips on the buses of a box and behind the ports of its
// muxes, tells which chip each can be, and compares that with a configuration.
//
// # Model
//
// [Run] first sets every mux to no port, so that each chip of a bus is seen once,
// then reads one byte from every address from 0x08 to 0x77 (those outside are
// reserved) but 0x0C, the alert response address, where a read would end an alert
// that holds a relay open. What takes and gives back the control byte of a PCA9548
// is a mux: its ports are joined one at a time and searched for what did not answer
// before. In the end no port is joined.
//
// A chip that answered is asked for its identity, where the chips of that address
// have one: maker and device registers (INA226, INA228, INA3221), maker and model
// (PMBus), version, gain and checksum (ADE7953). Otherwise the content of a few
// registers decides what it cannot be. [Item.Sure] says which of the two it was.
// [Expect] makes of a configuration what ought to be found.
//
// # What is written
//
// The control byte of a mux, and the pointer that chooses a register before it is
// read. Nothing else, and a pointer goes only where it is a pointer:
//
//   - Never to 0x20-0x27, 0x38-0x3F and the address of any relay expander of the
//     configuration, behind every port too: a PCF8574 takes each byte for its
//     outputs. There the chip is only read. A MCP23017 shows itself by 22 registers
//     that run round; a PCA9554 and a PCF8574 look alike.
//   - Never to 0x30-0x37 and 0x50-0x57: a memory with a short address would store
//     the second byte, and some memories are locked for good by a byte to 0x30-0x37.
//   - To 0x38, for an ADE7953, only where the configuration has one, or with
//     Options.ADE7953: somebody who looked at the board says that no PCF8574A is
//     there.
//   - To 0x70-0x77 only where the configuration has a MAX34451, and what is there
//     does not give a control byte back.
//
// # Caveats
//
//   - Not beside a gateway that runs: it would lose the port it joined between two
//     bytes. The caller sees to that.
//   - A read is harmless for the chips that shedguard knows. It ends the interrupt
//     of an expander, and takes from an ADE7953 the register that was read last, if
//     reading clears it. So may it clear a latched alert of an INA226 or INA228: open
//     the relays first where an alert pin cuts power; a gateway that stops does. Clock generators at 0x69 that cannot
//     be read, and PCA9670 to PCA9675 expanders outside the range of the PCF8574,
//     do not belong on a bus that is scanned.
//   - At 0x70-0x77 every chip that answers gets a control byte. To the sensors
//     and drivers known at these addresses that is a pointer or a command without
//     effect.
//   - A chip behind a port with the address of one before the mux cannot be told
//     from it, and is reported as hidden. Muxes behind muxes are not searched.
//   - A MCP23017 in byte mode (IOCON.SEQOP) does not run round and is taken for a
//     smaller expander; shedguard never leaves it so.
//   - A port whose line is held low hangs the bus as soon as it is joined; only the
//     mux's reset pin ends that. The fault names the port, and the search of that
//     bus ends there.
package scan
