// Package ingest brings what gateways publish into the book and the series
// store.
//
// # Sessions
//
// A collector holds two persistent MQTT sessions. "<id>-book" subscribes to
// status, alarm, event, reply and evidence of every shed; "<id>-series" to the
// telemetry. Each has its own queue and its own worker, so telemetry that
// cannot be stored never keeps an alarm waiting. A
// third connection, "<id>-send", clean and without a subscription, carries
// commands and acks: a broker that keeps one table of packet ids per client
// (mochi-mqtt does) would otherwise take our own publish for an answer to a
// delivery with the same id and forget that delivery.
//
// Several collectors with the same Options.Group split the telemetry
// ($share/<group>/…). One alone must do without: Mosquitto forgets shared
// subscriptions when it restarts and keeps the others (2.0.11: tried). What
// gateways then send before the collector is back has no subscriber, is
// acknowledged all the same, and is gone.
//
// # When a message counts as stored
//
// A message is acknowledged to the broker after its content was committed, in
// the order in which it came; until then the broker keeps it and delivers it
// again to the next connection. When the book or the store fails, the message
// in hand is tried again with growing waits, nothing behind it is acknowledged,
// and the links stay up. Both stores take the same message twice without harm,
// so at least once becomes once. After the commit of an alarm or event its id
// goes back to the gateway on "ack"; a lost ack costs one repetition.
//
// Every connection is a new paho client. On one client that reconnects by
// itself an acknowledgement made after the loss is dropped without a word, and
// so is the knowledge of what was delivered on which connection.
//
// # Refusals
//
// What can never be stored is a dead letter: counted by reason, logged once an
// hour per shed and reason, kept in the book (up to MaxLetters an hour per shed
// and reason), and acknowledged to the broker so that it cannot come for ever.
// A refused event is not acked to its gateway. One bad line of telemetry costs
// that line. Lines more than MaxAhead before or MaxBehind after the collector's
// clock are refused and told to the watcher, which raises clock_unsynced.
// Dead letters are written beside the main path: a crash may lose the last of
// them, a book that stands still costs those that do not fit the queue, which
// is counted.
package ingest
