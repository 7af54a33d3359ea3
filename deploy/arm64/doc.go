// Package arm64 is the test that the eyes see the same on ARM64: shedguard-vision,
// cross-built with OpenCV of Debian's arm64, judges drawn pictures under qemu-user,
// and this machine's own build judges them as well.
//
// sysroot.sh unpacks Debian's arm64 packages into a folder. Run it all with
// make arm64-vision. Times are those of an emulated processor and say nothing.
package arm64
