// Package watch keeps the camera workers running and makes alarms of what they
// see.
//
// # Workers
//
// A camera worker (shedguard-vision) is a process of its own: video decoders hang
// and crash. [Worker] starts it, passes on what it says (vision/report), kills it
// when it says nothing for [Limits.Stall] or takes more memory than [Limits.Memory],
// and starts it again, at most [Limits.Starts] times within [Limits.Window] and then
// ever more seldom. It is asked to end by closing its standard input.
//
// # Eyes
//
// [Eyes] take what the workers say and what the guard decided about the outlets,
// and say with every [Eyes.Look] what stands: the alarms of cameras and zones, the
// conditions that the guard is to be told for the outlets of a zone that burns
// (gateway/fire), and whether the siren sounds. Nothing is remembered by edges: who
// missed a look loses nothing.
//
// # Caveats
//
// What a worker saw counts for [Settings.SightAge] after it last said so. Then it is
// forgotten, since a worker that has died sees nothing; a fire that two senses made
// stays.
package watch
