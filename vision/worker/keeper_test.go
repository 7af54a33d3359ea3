package worker_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/shedguard/shedguard/vision/worker"
)

// TestWhatWaitsForADiskIsBounded: in bytes, in order, and what must be done is never refused.
func TestWhatWaitsForADiskIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later, end := worker.Keeper()
		var did []string
		stuck := make(chan struct{})
		give := func(name string, bytes int, do func(), ok bool) {
			t.Helper()
			err := later(bytes, func() {
				if do != nil {
					do()
				}
				did = append(did, name)
			})
			if (err == nil) != ok {
				t.Errorf("%s: %v, want taken: %t", name, err, ok)
			}
		}
		give("larger than all", worker.MostWaiting+1, func() { <-stuck }, true)
		synctest.Wait()
		give("while it is written", 1, nil, false)
		give("nothing", 0, nil, true)
		close(stuck)
		synctest.Wait()
		stuck = make(chan struct{})
		give("half", worker.MostWaiting/2, func() { <-stuck }, true)
		give("other half", worker.MostWaiting-worker.MostWaiting/2, nil, true)
		give("one more byte", 1, nil, false)
		give("nothing more", 0, nil, true)
		synctest.Wait()
		close(stuck)
		end()
		if want := []string{"larger than all", "nothing", "half", "other half", "nothing more"}; !slices.Equal(did, want) {
			t.Errorf("did %q, want %q", did, want)
		}
	})
}
