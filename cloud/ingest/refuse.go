package ingest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/shedguard/shedguard/cloud/book"
)

// MaxLetters is how many dead letters an hour are kept of one shed and reason;
// more are counted only.
const MaxLetters = 100

const (
	maxNotes   = 1000   // dead letters that wait for the book
	maxTallies = 10_000 // pairs of shed and reason remembered
	noteLimit  = 5 * time.Second
)

type pair struct{ shed, reason string }

type tally struct {
	since time.Time
	count int
}

// refusals counts, logs and keeps what was refused.
type refusals struct {
	log   *slog.Logger
	notes chan book.DeadLetter

	mu       sync.Mutex // guards the fields below, never held over I/O
	byReason map[string]uint64
	tallies  map[pair]*tally
	lost     uint64 // dead letters that found no room or no open book
}

func newRefusals(log *slog.Logger) *refusals {
	return &refusals{
		log: log, notes: make(chan book.DeadLetter, maxNotes),
		byReason: make(map[string]uint64), tallies: make(map[pair]*tally),
	}
}

// refuse counts lines or a payload, logs the first of an hour and hands a copy
// of the payload to the book.
func (r *refusals) refuse(shed, topic string, why *refusal, payload []byte, times int, at time.Time) {
	first, keep := r.count(pair{shed, why.reason}, times, at)
	if first {
		r.log.Warn("refused a message", "shed", shed, "topic", topic, "reason", why.reason, "err", why.err)
	}
	if keep {
		r.note(letter(shed, topic, why, payload, at))
	}
}

func letter(shed, topic string, why *refusal, payload []byte, at time.Time) book.DeadLetter {
	kept := payload[:min(len(payload), book.MaxDeadLetterBytes)]
	return book.DeadLetter{
		At: at, Shed: shed, Topic: topic, Reason: why.Error(),
		Payload: append([]byte(nil), kept...), Original: len(payload),
	}
}

func (r *refusals) count(p pair, times int, at time.Time) (first, keep bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byReason[p.reason] += uint64(times)
	t := r.tallies[p]
	if t == nil {
		if len(r.tallies) >= maxTallies {
			clear(r.tallies)
		}
		t = &tally{}
		r.tallies[p] = t
	}
	if first = at.Sub(t.since) >= time.Hour || at.Before(t.since); first {
		*t = tally{since: at}
	}
	t.count++
	return first, t.count <= MaxLetters
}

func (r *refusals) note(n book.DeadLetter) {
	select {
	case r.notes <- n:
	default:
		r.missed()
	}
}

func (r *refusals) missed() {
	r.mu.Lock()
	r.lost++
	r.mu.Unlock()
}

// run writes dead letters until ctx ends.
func (r *refusals) run(ctx context.Context, to ledger) error {
	said := ""
	for {
		var n book.DeadLetter
		select {
		case <-ctx.Done():
			return nil
		case n = <-r.notes:
		}
		err := write(ctx, to, n)
		switch {
		case err == nil:
			said = ""
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end was asked for
		default:
			r.missed()
			if err.Error() != said {
				said = err.Error()
				r.log.Error("book takes no dead letters", "shed", n.Shed, "err", err)
			}
		}
	}
}

func write(ctx context.Context, to ledger, n book.DeadLetter) error {
	ctx, cancel := context.WithTimeout(ctx, noteLimit)
	defer cancel()
	return to.DeadLetter(ctx, n)
}
