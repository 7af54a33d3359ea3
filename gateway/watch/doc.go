// Package watch keeps the camera workers running.
//
// A camera worker (shedguard-vision) is a process of its own: video decoders hang
// and crash. [Worker] starts it, passes on what it says (vision/report), kills it
// when it says nothing for [Limits.Stall] or takes more memory than [Limits.Memory],
// and starts it again, at most [Limits.Starts] times within [Limits.Window] and then
// ever more seldom. It is asked to end by closing its standard input.
package watch
