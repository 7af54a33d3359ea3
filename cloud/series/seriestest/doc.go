// Package seriestest is the suite that every back end of series.Store must
// pass.
package seriestest
