package influx

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	influxhttp "github.com/influxdata/influxdb-client-go/v2/api/http"

	"github.com/shedguard/shedguard/cloud/series/influx/queue"
)

const (
	batchBytes   = 1 << 20  // of lines in one request, gzipped after
	refusedBytes = 16 << 20 // of refused.lp before it becomes refused.lp.1
	firstPause   = 500 * time.Millisecond
	longestPause = 30 * time.Second
	logEvery     = 10 * time.Minute // while the database stays away
	maxSetAside  = 10_000           // lines remembered, so that a repeat is not set aside twice
)

// source is the queue as the sender sees it.
type source interface {
	Next() (queue.Record, bool, error)
	Rewind()
	Close() error
}

// sender drains the queue into the database. Its unexported fields are its own
// goroutine's; the counters are for everybody.
type sender struct {
	source  source
	confirm func(queue.Position) error
	points  func() int // that source can ever have given
	wake    <-chan struct{}
	write   func(ctx context.Context, lines ...string) error
	ping    func(ctx context.Context) error // over the connection that writes use
	dials   func() uint64                   // connections ever made for writes
	ends    func() bool                     // the last answer announced the end of its connection
	settle  time.Duration
	refused string // the file for refused lines
	log     *slog.Logger

	unsettled []mark // written, oldest first
	dialled   uint64
	aside     map[uint64]bool // hashes of the lines set aside while unsettled
	seed      maphash.Seed
	batch     []byte
	carry     queue.Record // read and not fitting into the last batch
	carried   bool

	pause    time.Duration // 0 while all is well
	fault    string        // kind of the last failure
	loggedAt time.Time

	done                            atomic.Int64 // of points, those that were written
	oldest                          atomic.Int64 // when the first unsent record was put, in ms, 0 for none
	sent, refusals, retries, resent atomic.Uint64
}

// mark is a place in the queue up to which everything was written.
type mark struct {
	end    queue.Position
	at     time.Time
	points int
}

func newSender(q *queue.Queue, write func(ctx context.Context, lines ...string) error, log *slog.Logger) *sender {
	s := &sender{source: q.Reader(), confirm: q.Confirm, wake: q.Wake(), write: write, log: log, aside: make(map[uint64]bool), seed: maphash.MakeSeed()}
	s.points = q.Points
	return s
}

// waiting is how many points are not yet written.
func (s *sender) waiting() int64 { return max(int64(s.points())-s.done.Load(), 0) }

func (s *sender) close() error { return s.source.Close() }

// run sends until ctx ends.
func (s *sender) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		more, err := s.step(ctx)
		if ctx.Err() != nil {
			return
		}
		var wake <-chan struct{}
		var wait time.Duration
		switch {
		case err != nil:
			wait = s.failed(err)
		case more:
			continue
		default:
			wake = s.wake
			wait = time.Hour
			if len(s.unsettled) > 0 {
				wait = max(time.Until(s.unsettled[0].at.Add(s.settle)), time.Millisecond)
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
	}
}

// step sends one batch, or settles what is due when there is none, and reports
// whether there may be more to send at once.
func (s *sender) step(ctx context.Context) (more bool, err error) {
	m, err := s.read()
	if err != nil {
		return false, err
	}
	if m.points == 0 {
		if len(s.unsettled) == 0 || time.Since(s.unsettled[0].at) < s.settle {
			return false, nil
		}
		asked := time.Now()
		if err := s.ping(ctx); err != nil {
			return false, fmt.Errorf("ping: %w", err)
		}
		if err := s.renew(ctx); err != nil {
			return false, err
		}
		return s.settled(asked)
	}
	asked := time.Now()
	if err := s.deliver(ctx, s.batch); err != nil {
		return false, err
	}
	if err := s.renew(ctx); err != nil {
		return false, err
	}
	m.at = time.Now()
	s.unsettled = append(s.unsettled, m)
	s.done.Add(int64(m.points))
	s.oldest.Store(0)
	s.recovered()
	if _, err := s.settled(asked); err != nil {
		return false, err
	}
	return true, nil
}

// renew makes the next connection at once when the server announced the end of
// this one, as VictoriaMetrics does every two minutes: so short a gap is too
// short for a restart, and what is unsettled need not be sent again.
func (s *sender) renew(ctx context.Context) error {
	if !s.ends() {
		return nil
	}
	before := s.dials()
	if err := s.ping(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if s.dialled == before && s.dials() == before+1 {
		s.dialled++
	}
	return nil
}

// read fills the batch.
func (s *sender) read() (mark, error) {
	var m mark
	s.batch = s.batch[:0]
	for {
		r := s.carry
		if !s.carried {
			points := s.points()
			var ok bool
			var err error
			r, ok, err = s.source.Next()
			if err != nil {
				return mark{}, err
			}
			if !ok {
				if m.points == 0 { // also what could not be read waits no more
					s.done.Store(int64(points))
				}
				return m, nil
			}
		}
		s.carried = false
		if len(s.batch) > 0 && len(s.batch)+len(r.Data) > batchBytes {
			s.carry, s.carried = r, true
			return m, nil
		}
		if len(s.batch) == 0 {
			s.oldest.Store(r.At.UnixMilli())
		}
		s.batch = append(s.batch, r.Data...)
		m.end, m.points = r.End, m.points+r.Points
	}
}

// settled lets go of what was written long enough before now, a time at which
// the connection still stood, or begins again when it did not.
func (s *sender) settled(now time.Time) (more bool, err error) {
	if dials := s.dials(); dials != s.dialled {
		first := s.dialled == 0
		s.dialled = dials
		if !first && len(s.unsettled) > 0 {
			s.rewind()
			return true, nil
		}
	}
	n := 0
	for n < len(s.unsettled) && now.Sub(s.unsettled[n].at) >= s.settle {
		n++
	}
	if n == 0 {
		return false, nil
	}
	if err := s.confirm(s.unsettled[n-1].end); err != nil {
		return false, err
	}
	s.unsettled = append(s.unsettled[:0], s.unsettled[n:]...)
	if len(s.unsettled) == 0 {
		clear(s.aside)
	}
	return false, nil
}

// rewind begins again at the first record that has not settled.
func (s *sender) rewind() {
	for i := range s.unsettled {
		s.done.Add(-int64(s.unsettled[i].points))
	}
	if len(s.unsettled) > 0 {
		s.resent.Add(1)
	}
	s.unsettled = s.unsettled[:0]
	s.carried = false
	s.source.Rewind()
}

// failed begins again and says how long to wait before.
func (s *sender) failed(err error) time.Duration {
	s.retries.Add(1)
	s.rewind()
	s.dialled = 0 // nothing is unsettled: the next connection is as good as the first
	// Decorrelated jitter, so that collectors do not come back together.
	s.pause = min(longestPause, firstPause+rand.N(max(3*s.pause, firstPause)))
	var answer *influxhttp.Error
	if errors.As(err, &answer) && answer.RetryAfter > 0 {
		s.pause = min(longestPause, max(s.pause, time.Duration(answer.RetryAfter)*time.Second))
	}
	if f := kind(err); f != s.fault || time.Since(s.loggedAt) >= logEvery {
		s.fault, s.loggedAt = f, time.Now()
		s.log.Error("series database takes no points, they wait in the queue", "err", err, "waiting", s.waiting(), "retry_in", s.pause)
	}
	return s.pause
}

func (s *sender) recovered() {
	if s.fault != "" {
		s.log.Info("series database takes points again", "waiting", s.waiting())
	}
	s.pause, s.fault = 0, ""
}

// kind tells failures apart that a person would tell apart.
func kind(err error) string {
	var answer *influxhttp.Error
	if errors.As(err, &answer) && answer.StatusCode != 0 {
		return http.StatusText(answer.StatusCode) + answer.Code
	}
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err.Error()
	}
	return "network"
}

// deliver writes lines and returns nil when each is stored or set aside.
func (s *sender) deliver(ctx context.Context, lines []byte) error {
	err := s.write(ctx, string(lines))
	if err == nil {
		s.sent.Add(uint64(count(lines)))
		return nil
	}
	var answer *influxhttp.Error
	if !errors.As(err, &answer) {
		return fmt.Errorf("write: %w", err)
	}
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
	default:
		return fmt.Errorf("write: %w", err)
	}
	first, second, ok := halve(lines)
	if !ok {
		return s.setAside(lines, answer)
	}
	if err := s.deliver(ctx, first); err != nil {
		return err
	}
	return s.deliver(ctx, second)
}

func count(lines []byte) int {
	n := 0
	for i := range lines {
		if lines[i] == '\n' {
			n++
		}
	}
	return n
}

// halve cuts lines behind the line that its middle falls into, or reports that
// there is but one.
func halve(lines []byte) (first, second []byte, ok bool) {
	cut := 0
	for i := range lines[:max(len(lines)-1, 0)] {
		if lines[i] == '\n' {
			cut = i + 1
			if cut >= len(lines)/2 {
				break
			}
		}
	}
	return lines[:cut], lines[cut:], cut > 0
}

// setAside writes a refused line and its reason to the disk.
func (s *sender) setAside(line []byte, reason *influxhttp.Error) error {
	hash := maphash.Bytes(s.seed, line)
	if s.aside[hash] {
		return nil
	}
	if info, err := os.Stat(s.refused); err == nil && info.Size() > refusedBytes {
		if err := os.Rename(s.refused, s.refused+".1"); err != nil {
			return fmt.Errorf("set refused line aside: %w", err)
		}
	}
	f, err := os.OpenFile(s.refused, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("set refused line aside: %w", err)
	}
	text := strings.Join(strings.Fields(strings.ToValidUTF8(reason.Error(), "?")), " ")
	if len(text) > 500 {
		text = text[:500]
	}
	_, err = fmt.Fprintf(f, "# %s %d %s\n%s", time.Now().UTC().Format(time.RFC3339), reason.StatusCode, text, line)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("set refused line aside: %w", err)
	}
	if n := s.refusals.Add(1); n&(n-1) == 0 { // the 1st, 2nd, 4th, 8th …: a flood is told, not repeated
		s.log.Error("series database refused a line for ever, it is set aside", "reason", text, "refused", n, "file", s.refused)
	}
	if len(s.aside) < maxSetAside {
		s.aside[hash] = true
	}
	return nil
}

// drain reads the rest of an answer, so that its connection can be used again.
func drain(body io.ReadCloser) error {
	_, err := io.Copy(io.Discard, io.LimitReader(body, 1<<20))
	return errors.Join(err, body.Close())
}
