package auth

import (
	"sync"
	"time"
)

// Limiter lets a number of attempts through for each key, then one every so
// often. It remembers at most a bounded number of keys, the busiest longest.
// It is safe for concurrent use.
type Limiter struct {
	burst time.Duration // attempts x every
	every time.Duration

	mu   sync.Mutex
	full map[string]time.Time // guarded by mu; when the key's attempts are all forgotten
}

// maxKeys bounds what a Limiter remembers.
const maxKeys = 50_000

// NewLimiter lets attempts through at once for each key, and forgets one of
// them every every.
func NewLimiter(attempts int, every time.Duration) *Limiter {
	if attempts < 1 || every <= 0 {
		panic("auth: NewLimiter: attempts and every must be positive")
	}
	return &Limiter{burst: time.Duration(attempts) * every, every: every, full: map[string]time.Time{}}
}

// Take counts one attempt for key, or says how long to wait and counts
// nothing.
func (l *Limiter) Take(key string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.full[key]
	if next.Before(now) {
		next = now
	}
	next = next.Add(l.every)
	if over := next.Sub(now) - l.burst; over > 0 {
		return over
	}
	l.forget(now)
	l.full[key] = next
	return 0
}

// Give takes back one attempt: it was a good one.
func (l *Limiter) Give(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.full[key]; ok {
		l.full[key] = at.Add(-l.every)
	}
}

// forget makes room: keys without attempts go, and if that does not help, the
// ones with the fewest.
func (l *Limiter) forget(now time.Time) {
	if len(l.full) < maxKeys {
		return
	}
	for edge := now; len(l.full) > maxKeys/2; edge = edge.Add(l.every) {
		for key, at := range l.full {
			if !at.After(edge) {
				delete(l.full, key)
			}
		}
	}
}
