// Package rtsptest is network cameras for tests: a real RTSP server (GStreamer's),
// and a relay before one that answers as broken cameras do.
//
// A [Camera] streams a test picture as H.264 or H.265 over TCP and stalls, changes
// its size, drops its clients and comes back when it is told to. A [Relay] stands
// between a camera and whoever looks at it: it says nothing, sends noise instead of
// answers, or noise instead of pictures.
//
// A test is skipped where Debian's packages for the server are missing, as
// servertest says.
package rtsptest
