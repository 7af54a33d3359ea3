// Package board is the test of the gateway on an emulated ARM machine: QEMU's
// sabrelite with Debian's armhf kernel, and QEMU's own models of chips on its I²C
// buses. Nothing of this project is between the program and the chips but
// /dev/i2c.
//
//   - fetch.sh gets kernel and busybox from Debian's packages,
//   - init.sh is the first program in the machine,
//   - gateway.yaml is the gateway's configuration,
//   - the test builds the rest, boots, and injects faults from outside over QMP.
//
// Run it with make board. Times are those of an emulated processor.
package board
