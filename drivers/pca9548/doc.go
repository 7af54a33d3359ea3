// Package pca9548 drives the NXP PCA9548 and TI TCA9548A, eight-port I²C
// switches, and makes each port an i2c.Bus.
//
// # Model
//
// The chip has one register, written and read without an address: bit n joins
// port n to the bus; several may be joined; a reset joins none. A [Dev] joins
// one port at a time. [Dev.Port] returns a bus on which a driver talks as if it
// were wired to its chip: each transaction first joins the port, unless it is
// the one that was joined last, and then goes on to the bus.
//
// The driver forgets which port is joined after any error of a transaction,
// the chips' behind the port included, since the mux itself may have been reset
// meanwhile. It forgets it too by [Dev.Reset].
//
// # Sources
//
// NXP PCA9548A and TI TCA9548A datasheets, control register (one byte, 0 at
// power-on); in agreement: esphome tca9548a, RobTillaart TCA9548, QEMU
// hw/i2c/i2c_mux_pca954x.c.
//
// # Caveats
//
//   - A Dev owns its mux: one goroutine at a time for the Dev and all its ports,
//     and no other Dev for the same chip. There is no lock.
//   - Two muxes on one bus are joined at the same time, each with its last
//     port. No address may exist behind both; if one must, call [Dev.Deselect]
//     before using the other mux.
//   - A mux that loses its supply between two transactions joins nothing, and
//     the next transaction fails; the one after that works. A mux that joined a
//     wrong port by itself is noticed only by [Dev.Mask].
//   - A chip behind the joined port that holds a line low hangs the whole bus,
//     and no byte can free it: wire the reset pin of the mux, and tell the
//     driver by Reset.
package pca9548
