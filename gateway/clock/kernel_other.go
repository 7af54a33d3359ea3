//go:build !linux

package clock

import "errors"

// Kernel is only known on Linux.
func Kernel() (synced bool, err error) {
	return false, errors.New("clock source kernel: only on linux")
}
