// Package session says whether an outlet should be fed, and keeps the charging
// session on it: pure steps from (settings, state, input, now) to an outcome.
//
// # Model
//
// An outlet starts sessions by plug (it is fed as soon as its readings are
// good, and drawing power begins a session) or by command (it is fed only
// while a session runs). A session ends by a command, because the load is
// gone, because one of its limits is reached, because the curve of its charge
// says that the battery is full, or because the outlet trips. A
// passing fault only suspends it: the relay opens, and after enough good
// readings it closes again by itself, a bounded number of times an hour.
//
// Closing is always asked of the caller: [Input].MayClose carries what one
// outlet cannot know, the stagger between two closings and the shed's load.
// Opening never waits.
//
// # Time
//
// The age of a session counts the time that the gateway was alive; while it
// is down the outlets are open. So a session that outlived a restart is never
// judged by a wall clock that may have been set since.
//
// # Caveats
//
// Only good readings count here. A suspect one, such as a glitch of a single
// sample, is left out of plug detection, limits and energy; protection looks
// at it elsewhere. Energy joins two readings by a straight line, and over a
// gap longer than MaxGap counts only MaxGap of the last power: less is billed
// than was drawn, never more.
//
// Not safe for concurrent use of one State.
package session
