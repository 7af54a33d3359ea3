package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lockFile is in the state folder; who holds it owns the buses.
const lockFile = "lock"

// errTaken comes when another process holds the lock.
var errTaken = errors.New("a gateway runs on this state folder")

// takeLock makes sure that no other gateway works on the state folder and its
// buses. The kernel lets go when the process ends, whatever ends it. A lock that
// cannot be made, as on a full disk, is no reason not to protect: locked is false
// then, and the error says why.
func takeLock(dir string) (release func() error, locked bool, err error) {
	none := func() error { return nil }
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return none, false, fmt.Errorf("lock: %w", err)
	}
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return none, false, fmt.Errorf("lock: %w", err)
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return none, false, errors.Join(fmt.Errorf("%w: %s is held", errTaken, path), f.Close())
	case err != nil:
		return none, false, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f.Close, true, nil
}
