// Package uplink carries the outbox to an MQTT broker and commands to the
// gateway.
//
// # Connections
//
// Every connection is a new paho client with a clean session and a fresh
// subscription to the shed's own cmd, ack and config topics. On one client
// that reconnects, an old publish token completes without a PUBACK; a session
// that persists replays old commands. paho's own reconnect, retry and file
// store stay off. Between connections the uplink waits with decorrelated
// jitter, 1 s to 60 s; only a connection that lived as long as the longest wait
// starts the series anew, so a broker that accepts and then kicks is not
// stormed.
//
// # What leaves when
//
// The alarm lane goes first: no telemetry is handed to the connection while an
// alarm or event waits for its PUBACK. Telemetry leaves the outbox on the
// PUBACK of the connection it was published on. With RequireAck an alarm or
// event leaves only when its id comes back on the ack topic; a PUBACK without
// an ack is the broker's word alone, and the record is sent again, with the
// same id, after 30 s and then ever more slowly.
//
// A record that takes the connection down each time it is sent must not hold
// up the others: after a loss the uplink sends one record at a time until it
// knows which one it is. Telemetry is then set aside and counted; an alarm is
// never given up, it is tried again between the others, ever more slowly.
//
// # Commands
//
// A command is checked for shape, lifetime (an hour at most), expiry, repeat,
// kind, boot and clock; refusals are answered with the codes of the contract.
// Retained commands are refused: a command is for now. The handler gets what
// is left, one at a time, and may take its time: it never holds up the
// connection. Garbage is counted, logged once per kind, and stops nothing.
//
// # Status
//
// The retained status says online with boot, connection number and a summary;
// the last will says offline with the same numbers; a clean end says stopped.
// The number counts attempts to connect, so that no two connections share one.
// The status is published anew when it has changed, at the latest within a
// second and at once when somebody says so. Siren and suppression are in it, so
// that whoever subscribes later finds them as they are.
package uplink
