package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progress is a line on a terminal that tells how far the work is.
type progress struct {
	w       io.Writer // nil when stderr is no terminal
	what    string
	of      int
	done    int
	started time.Time
	shown   time.Time
}

const progressEvery = 200 * time.Millisecond

func newProgress(w io.Writer, what string, of int) *progress {
	p := &progress{what: what, of: of, started: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.w = w
	}
	return p
}

// step counts one more.
func (p *progress) step() {
	p.done++
	now := time.Now()
	if p.w == nil || now.Sub(p.shown) < progressEvery {
		return
	}
	p.shown = now
	perSecond := float64(p.done) / now.Sub(p.started).Seconds()
	line := fmt.Sprintf("%d %s, %.1f/s", p.done, p.what, perSecond)
	if p.of > 0 {
		left := time.Duration(float64(max(p.of-p.done, 0)) / perSecond * float64(time.Second))
		line = fmt.Sprintf("%d of %d %s, %.1f/s, %s left", p.done, p.of, p.what, perSecond, left.Round(time.Second))
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", line)
}

// clear takes the line away, before something else is written and at the end.
func (p *progress) clear() {
	if p.w != nil && !p.shown.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = time.Time{}
	}
}
