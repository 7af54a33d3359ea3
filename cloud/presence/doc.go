// Package presence judges each gateway by what the collector itself sees of
// it, and raises what it finds as alarms of source shedcloud.
//
// A gateway is offline when its last will came, or when a retained "online" of
// before was not borne out by any message within Limits.Trust. It is silent
// when it is connected and no telemetry of it was stored for Limits.Silent.
// Its clock is unsynced when lines of its telemetry carried impossible times.
//
// Every wait is measured on the collector's own receipt times: a will carries
// the time of the connect, and a gateway's clock may be wrong. While the
// collector itself does not listen (no broker, a store that stands still)
// nobody is judged, and the waits begin again when it listens.
//
// Statuses are ordered by boot and connection. The last will of a connection
// that was already replaced is ignored. Traffic alone does not make a gateway
// online again after its will: telemetry of before may still be on its way.
//
// What is not known is left as it was: after a restart an alarm that was open
// stays open, under its id, until the gateway shows that it is over; and it is
// not raised a second time. An event that could not be committed is offered
// again with the same id.
//
// One collector judges from the telemetry that it stored. Where several share
// the telemetry of a group, one of them must be told of all of it before its
// word on silence can be believed.
package presence
