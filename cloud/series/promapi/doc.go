// Package promapi answers PromQL over HTTP from the embedded series store, in
// the format of Prometheus, so that Grafana can use the collector as a
// Prometheus data source.
//
// # Paths
//
// Below the place where the handler is mounted: query, query_range, series,
// labels, label/{name}/values and metadata, by GET and, but for the last two,
// by POST. Each also answers behind api/v1/, because Grafana puts that behind
// the address of a data source: with the handler under /api/v1/prom the
// address is https://host/api/v1/prom. Series are named {measurement}_{field}.
//
// # Limits
//
// A question takes at most Options.Timeout, waiting for its turn included,
// holds at most Options.MaxSamples samples in memory, and answers with at most
// MaxPoints points per series and MaxSeries series or names; a list that was
// cut carries a warning. At most Options.Concurrency questions run at once. A
// question that is over a limit is refused with a reason: an answer that lacks
// a part never looks like a whole one.
//
// # Who sees what
//
// Options.Sheds says which sheds the caller of a request may see. The
// restriction is put on every selection of the store, not on the text of the
// question, so that no question gets around it.
package promapi
