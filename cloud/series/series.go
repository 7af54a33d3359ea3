package series

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shedguard/shedguard"
)

// The bounds of one query.
const (
	MaxPoints     = 10_000
	DefaultPoints = 600
)

// Store keeps points and answers for them. It is safe for concurrent use.
type Store interface {
	// Append stores points and returns nil once they are as durable as the
	// back end promises. A point that the store can never take (too old, or
	// unlike what it already holds for that millisecond) is counted and left
	// out; it never keeps the rest of the batch out. After an error any part
	// of the batch may be stored, and the whole batch may be sent again.
	Append(ctx context.Context, points []shedguard.Point) error
	// Range answers with one Series per set of tags that q matches.
	Range(ctx context.Context, q Query) ([]Series, error)
	// Latest is the newest value of every field of a measurement, per set of
	// tags, that is no older than within.
	Latest(ctx context.Context, measurement string, tags map[string]string, within time.Duration) ([]Latest, error)
	Close() error
}

// Query asks for one field of a measurement over a span of time, cut into at
// most Points equal buckets. Tags that are given must be equal; others may
// take any value.
type Query struct {
	Measurement string
	Field       string
	Tags        map[string]string
	From, To    time.Time // From is included, To is not
	Points      int       // 1 to MaxPoints; 0 is DefaultPoints
}

// Validate reports what is wrong with the query, every fault at once.
func (q *Query) Validate() error {
	var errs []error
	if q.Measurement == "" {
		errs = append(errs, errors.New("measurement: required"))
	}
	if q.Field == "" {
		errs = append(errs, errors.New("field: required"))
	}
	if q.From.IsZero() || !q.From.Before(q.To) {
		errs = append(errs, fmt.Errorf("from %s, to %s: want from before to", q.From.Format(time.RFC3339), q.To.Format(time.RFC3339)))
	}
	if q.Points < 0 || q.Points > MaxPoints {
		errs = append(errs, fmt.Errorf("points: %d: want 1 to %d", q.Points, MaxPoints))
	}
	return errors.Join(errs...)
}

// Step is the width of one bucket: whole milliseconds, wide enough that
// Points buckets cover the span.
func (q *Query) Step() time.Duration {
	points := int64(q.Points)
	if points == 0 {
		points = DefaultPoints
	}
	span := q.To.UnixMilli() - q.From.UnixMilli()
	return time.Duration(max((span+points-1)/points, 1)) * time.Millisecond
}

// Bucket sums up the values of one step. A step without values has no bucket:
// a gap is shown as a gap.
type Bucket struct {
	At             time.Time // where the step begins
	Min, Mean, Max float64
	Count          int
}

// Series is one set of tags with its buckets, oldest first.
type Series struct {
	Tags    map[string]string
	Buckets []Bucket
}

// Latest is the newest value of one field.
type Latest struct {
	Field string
	Tags  map[string]string
	Value float64
	At    time.Time
}
