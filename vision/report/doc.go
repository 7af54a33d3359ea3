// Package report is what a camera worker says to the gateway: one JSON object a
// line on its standard output.
//
// # Model
//
// A worker begins with a [Hello]. Then it says a [Health] for every camera once a
// second, an [Observation] when flame or smoke was confirmed, each second while it
// goes on and once when it is over, and an [Evidence] for each picture or clip that
// it wrote.
//
// A line that the reader does not know is no fault: a newer worker may say more.
// A line that is damaged is told and skipped, and the next one is read. A line
// longer than [MaxLine] is skipped without being kept in memory.
package report
