package clock

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Kernel is the source that asks the kernel: a time daemon that has disciplined
// the clock clears STA_UNSYNC, and the kernel sets it again when the daemon has
// been silent for long enough that the error may exceed 16 s.
func Kernel() (synced bool, err error) {
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	if err != nil {
		return false, fmt.Errorf("adjtimex: %w", err)
	}
	return state != unix.TIME_ERROR && tx.Status&unix.STA_UNSYNC == 0, nil
}
