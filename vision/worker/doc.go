// Package worker watches cameras: the loop of shedguard-vision run, in pure Go.
//
// # Model
//
// For every camera one goroutine takes frames as they come and keeps the newest
// only: a camera that is slow or gone delays nobody, and nobody is shown what
// happened seconds ago. One goroutine judges: of the cameras that are due it takes
// the one that has waited longest, so that several share one processor fairly. A
// frame is looked at for the camera's health (vision/health), and goes to the model
// when something in it stands out from what the picture usually is, and does not always,
// as a camera's clock does, when something is being followed, and at least every
// [Settings.Idle]: a quiet shed costs little. The
// model sees the whole picture, and then a part of it as if that were all ([Gaze]): a
// flame that begins is a hundredth of a wide picture, and nothing at the model's few
// pixels. What it sees is confirmed over time (vision/confirm), told on standard output
// (vision/report), and kept (vision/evidence). [Judge] is that way without the camera.
//
// Health is said by the goroutine that judges, so that a model which does not return is
// noticed: the worker falls silent, and the gateway kills it. Files are written by a
// goroutine of their own, and so much may wait for it and no more.
//
// Where frames come from and what judges them are interfaces: [Source], [Picture],
// [Detector]. The program gives them OpenCV.
//
// # What goes wrong
//
// A source that fails is opened again after 1 to 5 s, one that refuses the password after
// two minutes, and the camera's health says why. A source that does not return at all cannot be stopped from Go: after
// [Settings.Wedged] [Worker.Run] ends with [ErrWedged], and so should the process;
// the gateway starts it again. Damaged pictures are left away; a camera that gives nothing
// else gives no frames. A background that cannot be read is set aside. A disk
// that is full or takes its time costs evidence and nothing else.
package worker
