// Package presence judges each gateway by what the collector itself sees of
// it.
package presence
