// Package sim is a simulated charging shed: mains, chargers, batteries, relays
// and faults, wired to the register-level chip models of drivers/sim.
//
// # Model
//
// A [Shed] has one I²C bus with an MCP23017 for the relays and two PCA9548
// muxes; behind each mux port sit one ACS37800 meter and one TMP102 at the
// socket. [Shed.Step] moves the physics on: what the relays feed draws current
// and warms its socket, and the results are written into the meters' registers.
// The gateway under test sees registers only.
//
// A contact is closed while its output is high and the enable line was toggled
// within its hold time, or for ever once it is welded. The expander's registers
// can live in a mapped file ([Memory]), so that outputs survive the death of
// the process as they do on a real board.
//
// Loads are [Charger] (constant current, then constant voltage, then trickle),
// [Resistor], and [Recording], which plays a recorded CSV. A [Scenario] plugs
// chargers in and out and brings one fault.
//
// # Caveats
//
// Quantities are RMS; there is no waveform. Battery time can run faster than
// real time ([Options].Speed), so that a whole charge fits a demonstration;
// electrical time and heat never do.
package sim
