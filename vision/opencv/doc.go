// Package opencv decodes, scales and judges pictures and draws on them, with
// OpenCV. It is the only package of shedguard with cgo and the only one that knows
// OpenCV.
//
// It is built with OpenCV 4.6 (Debian 12, Raspberry Pi OS 12: libopencv-dev) and
// gocv v0.31.0, the version made for 4.6; v0.41.0 does not compile against it. Both
// come in only with the build tag opencv, which the Makefile sets where pkg-config
// finds OpenCV:
//
//	CGO_LDFLAGS=-Wl,--as-needed go build -tags opencv ./vision/cmd/shedguard-vision
//
// Without the tag, or without cgo, the package has the same names, and all that
// opens or decodes something returns [ErrNotBuilt]. So everything builds, vets and
// tests on a machine without OpenCV. --as-needed leaves away the forty libraries
// that opencv4.pc names and nothing here calls.
//
// Cameras that speak RTSP are read with FFmpeg itself (stream.cpp), which OpenCV brings
// along: cv::VideoCapture holds a lock of the whole process while it opens a stream, so
// that one camera that hangs would keep all others from being opened, takes two seconds
// of frames to open it, and hands out the last picture of a camera that fell silent
// when it gives up, eight seconds old, as if it had just come.
//
// # Caveats
//
// A C++ exception that reaches Go ends the process, and gocv lets all of them
// through. The calls whose input comes from outside (decoding, loading a network,
// running it) therefore go through a few lines of C++ here that turn an exception
// into an error. What hangs inside OpenCV (a device's driver) or while a name is looked
// up cannot be stopped from Go: that is why cameras live in a process of their own.
//
// A [Still] is a camera's JPEG of which an eighth is decoded, in grey, until more is asked
// for: libjpeg itself does that, and tells of damage, which OpenCV fills with grey. Bytes
// too many are no damage; some cameras send them.
//
// Depthwise convolutions are ours (depthwise.cpp): those of OpenCV 4.6 took most of the
// time of the network.
//
// An [Image], a [Still], a [Video] and a [Detector] hold memory that Go does not see: close
// them. None of them is safe for use by several goroutines at once; different ones
// are. The number of threads is the process's ([SetThreads]).
package opencv
