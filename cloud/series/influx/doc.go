// Package influx is the series store on another machine: points are written
// in InfluxDB line protocol and read by PromQL from VictoriaMetrics or by Flux
// from InfluxDB 2.
//
// # What is durable
//
// Append returns nil once the points are in a queue on this machine's disk,
// fsync included; see [queue]. A sender drains it in order, gzipped, with the
// blocking write call of influxdb-client-go: the call that buffers and retries
// keeps its points in memory and gives up after minutes, which is why it is
// not used. When the queue is full Append fails with [queue.ErrFull], so that
// the caller does not acknowledge to the broker; nothing is dropped to make
// room.
//
// # What "arrived" means
//
// VictoriaMetrics answers a write with 204 some seconds before the points are
// on its disk and loses them when it is killed in between: a new series was
// gone when the server was killed 8 s after its answer and there when it was
// killed 12 s after (1.79.5). Points therefore stay in the queue for
// Options.Settle after the answer (30 s by default), and are only let go when
// the connection that carried them still stood after that time. On any failed
// write, and on any new connection that the server had not announced,
// everything that has not settled is sent again. This needs a database that
// stores a repeated point once: InfluxDB does, VictoriaMetrics with
// -dedup.minScrapeInterval=1ms. [Store.Check] asks VictoriaMetrics for that
// switch. With a proxy in between, a restart behind it is seen only when the
// proxy answers with an error or closes the connection.
//
// # What is refused
//
// As by the embedded store, and counted in [Stats]: values that are not
// finite, points more than Options.Ahead before or Options.Behind after this
// machine's clock, a second value for the millisecond that is the newest of
// its series, and new series beyond the bounds. Points are encoded anew with
// shedguard.AppendLine, never forwarded as bytes. Lines that the database
// refuses for ever (400, 413, 422) are found by halving the batch, written
// with the reason to refused.lp beside the queue, and counted; they never
// block the ones behind. Every other answer (401, 403, 404, 429, 5xx, none) is
// tried again with growing pauses: it says nothing about the points.
// VictoriaMetrics answers 204 to lines that it cannot read, so what is
// validated here is all that is validated.
//
// # Reading
//
// What was appended can be read once it has left the queue and the database
// shows it: about a second with VictoriaMetrics, longer while it is away.
// Buckets are computed by the database. Questions are put so that neither
// -search.latencyOffset (by default VictoriaMetrics shows an older value for
// the last 30 s) nor its cache of answers changes them.
//
// # What was tried
//
// The conformance suite, the outage and the kill tests run against a real
// VictoriaMetrics (1.79.5, Debian 12). The Flux side is tested against a
// server made from the public description of the InfluxDB 2 API (write,
// errors, Retry-After, annotated CSV), and the suite runs against a real
// InfluxDB 2 when INFLUX_URL, INFLUX_TOKEN, INFLUX_ORG and INFLUX_BUCKET are
// set; no such server was at hand when this was written.
package influx
