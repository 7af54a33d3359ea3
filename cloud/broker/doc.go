// Package broker is an MQTT broker inside the collector's process, for a site
// that runs on one machine: mochi-mqtt with its bolt storage hook, and the
// rules that it lacks.
//
// # Who may do what
//
// A gateway is named by the CN of its client certificate, must use that name as
// its client id, and may publish and subscribe below shedguard/v1/<name>/ only,
// its last will included. The collector proves itself with a password made for
// this process. The plain listener is for this machine alone.
//
// # A PUBACK is a promise
//
// By itself the library acknowledges a message first and queues it after, and
// drops what does not fit without a word (12,000 acknowledged, 8,192 kept:
// tried). Here a message of QoS 1 is first stored for every session that is to
// have it, and then acknowledged. When a persistent session holds Options.Quota
// messages, publishers to it are not acknowledged until it has room: their
// PUBACK waits, other topics pass. A client with more than a window of such
// waiting messages is disconnected; what was not acknowledged it sends again.
// A clean session that acknowledges nothing is disconnected instead. QoS 2 is
// not served.
//
// # What survives
//
// Persistent sessions, their queues and retained messages are in one bbolt
// file, each change forced to the disk. A file that cannot be read is set aside
// as <file>.corrupt-<time> and counted; gateways say their status again when
// they connect. A write that fails is logged and counted in Stats.StoreErrors;
// the message is then kept in memory only. Order within a queue is kept while a
// subscriber stays connected; after a reconnect messages of the same second may
// come in any order.
//
// # Traps of the library (v2.7.9) that are avoided here
//
// Stored messages come back without their packet id, so that all but one of a
// session's queue would be lost at a restart, and a reconnect deletes what is
// stored of the queue that it takes over. What is queued while a session is taken over is lost. Retained and queued messages
// expire after a day by default. Refused subscriptions are stored and come back
// as granted; one whose packet id is also that of a queued delivery is refused.
// A will is not checked against the access rules. There is no time
// limit until the CONNECT packet. A publisher and a subscriber on one client
// share one table of packet ids, so a publish of ours may erase a delivery with
// the same id: a client with a persistent session must publish on another
// connection, as the collector does.
package broker
