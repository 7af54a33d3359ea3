package uplink

import (
	"math/rand/v2"
	"time"
)

// backoff gives the waits between connections: decorrelated jitter, each
// between base and three times the one before, at most most. A fleet that lost
// its broker in one moment thereby comes back spread over time.
type backoff struct {
	base, most time.Duration
	last       time.Duration
}

// next is how long to wait now.
func (b *backoff) next() time.Duration {
	upper := min(b.most, 3*max(b.last, b.base))
	b.last = b.base
	if upper > b.base {
		b.last += rand.N(upper - b.base)
	}
	return b.last
}

// settle tells how long the last attempt and its connection lasted. Only one
// that outlived the longest wait starts the series anew.
func (b *backoff) settle(lived time.Duration) {
	if lived >= b.most {
		b.last = 0
	}
}
