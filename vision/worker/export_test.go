package worker

import "sync"

// MostWaiting is mostWaiting.
const MostWaiting = mostWaiting

// Keeper runs a keeper: later and end are its methods, end waits until it has ended.
func Keeper() (later func(bytes int, do func()) error, end func()) {
	k := newKeeper()
	var running sync.WaitGroup
	running.Go(k.run)
	return k.later, func() { k.end(); running.Wait() }
}
