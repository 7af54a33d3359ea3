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
// Outlets that name one chip (ADE7953, INA3221, MAX34451) share its driver: the
// first of them that is read takes what concerns the others along, which get it
// once and within 15 ms. An ADS1115 is the one meter whose reading takes long, 0.3
// s; config sees to it that nothing else waits on its bus.
//
// # Alert pins
//
// With alert: true a chip's own limit of the current is programmed where its
// outlet's short circuit begins, and again after a reset, for a board that wires
// the pin to the enable of the coil. The pin holds until the next reading. That
// reading shows at least the limit as the current, whatever flows by then, so that
// protect sees a short circuit that the pin cut before it was sampled; if it comes
// again with the next closing of the pin, 100 ms later, the outlet trips for good.
// A single surge is cut for no longer than that.
//
//	INA226    ALERT, of the average over 8.8 ms
//	INA228    ALERT, of each conversion, 1.05 ms
//	INA3221   CRITICAL, of each conversion, 0.59 ms; WARNING, of the average, where
//	          overcurrent picks up
//	ADE7953   IRQ for channel A, ZX_I for B, of each sample (143 µs), at the peak of
//	          a sine: the inrush of a charger may pass it
//	ADM127x   the warning, MAX34451 the fault of its output current; what they pull
//	          is in the board's configuration of the chip
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
