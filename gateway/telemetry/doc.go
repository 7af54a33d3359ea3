// Package telemetry turns the guard's samples into batches of line protocol:
// few numbers while all is quiet, every number around an incident.
//
// # What is written
//
//   - Every outlet gets one line a window (10 s): the means of the fresh and
//     plausible samples, the highest current, the last energy, the worst
//     quality, and the number n of samples behind it. A window without a
//     sample that can be trusted says so with n=0 and no electrical fields.
//   - A sample that leaves the dead band around the last value written, or that
//     changes state or quality, is written at once, with n=1.
//   - [Recorder.Incident] writes the outlet's samples of the past 10 s and of
//     the next 30 s one by one.
//   - [Recorder.Add] takes points of other measurements: climate, feeder,
//     gateway.
//
// A number that is not finite is left out; a line without a number is not
// written. Every series has at most one value a millisecond: the milliseconds
// at which windows end belong to the window lines, and a sample is written
// once.
//
// # Time
//
// Timestamps are whole milliseconds since the start of the boot, moved to wall
// time when the clock is known; else the batch says that it is not synced and
// the outbox moves it later. A batch is one or the other as a whole.
//
// # Cost
//
// Taking a sample does not allocate. Memory is bounded: batches that nobody
// takes are dropped and counted.
package telemetry
