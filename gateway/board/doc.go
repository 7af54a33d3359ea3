// Package board turns a configuration and open I2C buses into what the guard
// works on: meters and thermometers to poll, expanders to switch.
//
// # Model
//
// [New] makes one driver for each chip that the configuration names, and
// nothing else: it does no input or output, so a chip that is missing stops
// nobody. A driver that must first set its chip up does so when the chip is
// used for the first time, and again as long as that fails; its outlet stays
// open meanwhile, because its meter is stale.
//
// [Board.Polls] and [Board.Relays] are ready for poll.New and actuate.New.
// [OpenRelays] is for a process that only wants everything open, whatever the
// chips did before.
//
// # Errors
//
// An error of a chip names outlet, chip, bus, mux port and address.
//
// # Caveats
//
// All chips of one bus belong to one goroutine, that of its poll.Line, except
// the expanders, which never sit behind a mux. A bus must take transactions
// from several goroutines, one at a time, as periph's do.
package board
