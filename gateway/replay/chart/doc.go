// Package chart draws a replayed recording: power and current over time, the
// limits that apply, charging sessions, gaps, and what the rules decided.
//
// # Model
//
// A [Chart] is fed the samples and the events as they pass, and keeps the least
// and the largest value of each stretch of time, so that a picture of any length
// takes the same memory and one sample of inrush is still seen. [Chart.Save]
// writes a PNG.
package chart
