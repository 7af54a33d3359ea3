// Package series keeps telemetry as time series.
//
// A point of line protocol becomes one series per field, named
// {measurement}_{field} and labelled with the point's tags. A series holds
// one number per millisecond; appending the same point again changes nothing,
// so whatever a broker delivers twice is stored once. [Store] is what every
// back end offers; seriestest holds the suite that each of them must pass.
package series
