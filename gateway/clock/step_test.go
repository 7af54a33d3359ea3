package clock

import (
	"testing"
	"time"
	"unsafe"
)

// stepped returns t as it would read had the wall clock been set by d since:
// the wall part moves, the monotonic part does not. It relies on the layout of
// time.Time with a monotonic part (wall: 1 bit flag, 33 bits of seconds since
// 1885, 30 bits of nanoseconds), since nothing in a test can set the clock.
func stepped(t *testing.T, at time.Time, seconds int64) time.Time {
	t.Helper()
	moved := at
	wall := (*uint64)(unsafe.Pointer(&moved))
	*wall += uint64(seconds) << 30
	if moved.Round(0).Sub(at.Round(0)) != time.Duration(seconds)*time.Second || moved.Sub(at) != 0 {
		t.Skip("time.Time is laid out differently in this version of Go")
	}
	return moved
}

// TestASetClockMovesThePast: a sample taken before the clock was set gets the
// wall time that it should have had.
func TestASetClockMovesThePast(t *testing.T) {
	const year = 365 * 24 * 3600
	for name, step := range map[string]int64{"forwards": 3 * year, "backwards": -3 * year, "not": 0} {
		t.Run(name, func(t *testing.T) {
			sample := time.Now()
			now := stepped(t, sample.Add(10*time.Second), step)
			want := now.Round(0).Add(-10 * time.Second)
			if got := wall(now, sample); !got.Equal(want) {
				t.Errorf("wall time %s, want %s", got, want)
			}
		})
	}
}
