// Package niceness sets how a program stands in the queue for the processor: the
// guard of a shed before everything else on its box, a camera worker behind.
package niceness

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// Guard is the niceness of the program that watches the outlets, as its service
// file has it.
const Guard = -10

// Set gives all threads of this process a niceness, from -20 (first) to 19 (last).
// Linux keeps one for each thread; threads and programs to come have that of the
// one that starts them. A negative one takes root or CAP_SYS_NICE.
func Set(nice int) error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("nice %d: %w", nice, err)
	}
	for _, task := range tasks {
		id, err := strconv.Atoi(task.Name())
		if err != nil {
			return fmt.Errorf("nice %d: thread %q: %w", nice, task.Name(), err)
		}
		if err := syscall.Setpriority(syscall.PRIO_PROCESS, id, nice); err != nil && !errors.Is(err, syscall.ESRCH) { // a thread that has ended since
			return fmt.Errorf("nice %d: %w", nice, err)
		}
	}
	return nil
}

// Raise is Set for a process that may already stand there, because whoever
// started it saw to it: then it needs no right.
func Raise(nice int) error {
	if now, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0); err == nil && 20-now <= nice { // the kernel returns 20 - nice
		return nil
	}
	return Set(nice)
}
