// Package ingest brings what gateways publish into the book and the series
// store.
package ingest
