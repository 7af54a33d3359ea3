// Package shedguard holds the words that the gateway in a charging shed and
// the collector in the cloud share: readings, outlets, alarms, commands, and
// the topics and payloads that carry them.
//
// The edge and the cloud meet here and nowhere else. The package imports the
// standard library only, holds no state, and does no input or output.
//
// # Time
//
// Instants on the wire are RFC 3339 in UTC with milliseconds, or whole
// milliseconds written as nanoseconds in line protocol. A gateway whose clock
// was never set says so in [ClockQuality]; receivers then use their own
// receipt time.
//
// # Numbers
//
// Telemetry carries numbers only. Electrical quantities are RMS values of the
// mains: volts, amperes, watts of active power, a power factor of -1 to 1,
// watt-hours since the session began. A value that is not finite is never
// encoded.
package shedguard
