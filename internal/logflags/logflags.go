// Package logflags is how the programs' command lines say what is logged.
package logflags

import (
	"io"
	"log/slog"
)

// Flags are embedded in what kong parses.
type Flags struct {
	LogFormat string `help:"How logs are written to stderr: ${enum}." enum:"text,json" default:"text" placeholder:"FORMAT"`
	LogLevel  string `help:"Least severity that is logged: ${enum}." enum:"debug,info,warn,error" default:"info" placeholder:"LEVEL"`
}

// Logger is the log that the flags ask for.
func (f *Flags) Logger(w io.Writer) *slog.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(f.LogLevel)); err != nil {
		least = slog.LevelInfo // kong has checked the word
	}
	opts := &slog.HandlerOptions{Level: least}
	if f.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
