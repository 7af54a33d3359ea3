package broker

import (
	"context"
	"log/slog"
	"sync/atomic"
)

// quieter turns the library's everyday lines into debug lines: a client that
// breaks off is no event for a person. Errors stay errors.
type quieter struct{ slog.Handler }

// Enabled reports whether a line of that level would be written.
func (q quieter) Enabled(ctx context.Context, l slog.Level) bool {
	return q.Handler.Enabled(ctx, lower(l))
}

// Handle writes a line at its lowered level.
func (q quieter) Handle(ctx context.Context, r slog.Record) error {
	r.Level = lower(r.Level)
	return q.Handler.Handle(ctx, r)
}

// WithAttrs adds attributes.
func (q quieter) WithAttrs(a []slog.Attr) slog.Handler { return quieter{q.Handler.WithAttrs(a)} }

// WithGroup opens a group.
func (q quieter) WithGroup(name string) slog.Handler { return quieter{q.Handler.WithGroup(name)} }

func lower(l slog.Level) slog.Level {
	if l < slog.LevelError {
		return slog.LevelDebug
	}
	return l
}

// counting counts errors: the storage hook tells of a failed write only there.
type counting struct {
	slog.Handler
	errors *atomic.Uint64
}

// Handle counts and writes a line.
func (c *counting) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		c.errors.Add(1)
	}
	return c.Handler.Handle(ctx, r)
}

// Enabled lets errors through even where they are not written.
func (c *counting) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelError || c.Handler.Enabled(ctx, l)
}

// WithAttrs adds attributes.
func (c *counting) WithAttrs(a []slog.Attr) slog.Handler {
	return &counting{c.Handler.WithAttrs(a), c.errors}
}

// WithGroup opens a group.
func (c *counting) WithGroup(name string) slog.Handler {
	return &counting{c.Handler.WithGroup(name), c.errors}
}
