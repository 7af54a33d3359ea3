package app

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// The pauses before a part is started again.
const (
	firstPause  = time.Second
	longestWait = time.Minute
)

// keep runs a part until ctx ends, and starts it again when it errs, returns
// or panics.
func (a *App) keep(ctx context.Context, name string, run func(context.Context) error) {
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := guarded(ctx, run)
		if ctx.Err() != nil {
			if err != nil {
				a.log.Warn("part ended with an error", "part", name, "err", err)
			}
			return
		}
		if time.Since(began) > longestWait {
			pause = firstPause // it worked for a while
		}
		a.restarts.Add(1)
		a.log.Error("part ended, starting it again", "part", name, "err", err, "retry_in", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, longestWait)
	}
}

// guarded turns a panic of a part into an error.
func guarded(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return run(ctx)
}
