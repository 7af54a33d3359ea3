package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

const progressEvery = 200 * time.Millisecond

// progress counts what is read of a file, and shows it on a terminal.
type progress struct {
	io.Reader
	w     io.Writer // nil: nobody looks
	total int64
	read  int64
	next  time.Time
	shown bool
}

func newProgress(w io.Writer, f *os.File) *progress {
	p := &progress{Reader: f, next: time.Now().Add(time.Second)} // short files need none
	if t, ok := w.(*os.File); ok && term.IsTerminal(int(t.Fd())) {
		if info, err := f.Stat(); err == nil && info.Size() > 0 {
			p.w, p.total = w, info.Size()
		}
	}
	return p
}

// Read implements [io.Reader].
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.read += int64(n)
	if p.w != nil && time.Now().After(p.next) {
		p.next, p.shown = time.Now().Add(progressEvery), true
		fmt.Fprintf(p.w, "\r%3d %% of %.1f MB", p.read*100/p.total, float64(p.total)/1e6)
	}
	return n, err
}

func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
