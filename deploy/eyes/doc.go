// Package eyes runs the camera worker, alone and under a gateway, against cameras
// that misbehave and with faults of its own: a real RTSP server that stalls, hangs,
// sends noise, changes its picture, goes and returns; a worker that is killed, does
// not return from C, or eats memory.
//
// The tests need OpenCV and GStreamer's RTSP server. They are run by
// `make vision-test`, with the build tag opencv.
package eyes
