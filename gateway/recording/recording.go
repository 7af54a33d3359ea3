package recording

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Format names the shape of a recording.
type Format string

// The formats.
const (
	FormatAuto          Format = "auto" // told from the file's beginning
	FormatCSV           Format = "csv"
	FormatTasmota       Format = "tasmota"
	FormatShelly        Format = "shelly"
	FormatHomeAssistant Format = "homeassistant"
)

// Formats lists every format.
func Formats() []Format {
	return []Format{FormatAuto, FormatCSV, FormatTasmota, FormatShelly, FormatHomeAssistant}
}

const (
	// MaxLineBytes bounds one line of a file.
	MaxLineBytes = 1 << 20
	// MaxHistoryRows bounds the values of a Home Assistant export.
	MaxHistoryRows = 10_000_000

	// MaxValue bounds every quantity, in V, A and W.
	MaxValue = 1e7

	peekBytes  = 64 << 10
	maxSeconds = 9e9 // 285 years: what a time.Duration holds
)

// Sample is one row of a recording. What it does not say is NaN.
type Sample struct {
	At    time.Duration // since the recording's zero: time_s of a CSV, else the first sample
	Volts float64       // V, RMS
	Amps  float64       // A, RMS
	Watts float64       // W, active
	// PeakAmps and PeakWatts are the largest of the interval that begins here,
	// where the recording keeps them apart from the mean.
	PeakAmps, PeakWatts float64
	// Lost is true where the recording says that nothing is known from here on.
	Lost bool
}

// unsaid is a sample that says nothing but its time.
func unsaid(at time.Duration) Sample {
	nan := math.NaN()
	return Sample{At: at, Volts: nan, Amps: nan, Watts: nan, PeakAmps: nan, PeakWatts: nan}
}

// Error is a fault in a file.
type Error struct {
	Line   int    // from 1; 0 for the file as a whole
	Column string // or key
	Value  string // what stood there
	Want   string // what may
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Column != "" {
		b.WriteString(e.Column + " ")
	}
	value := e.Value
	if len(value) > 60 {
		value = value[:60] + "…"
	}
	fmt.Fprintf(&b, "%q: want %s", value, e.Want)
	return b.String()
}

// Options say how to read a file.
type Options struct {
	Format  Format // empty: auto
	Channel int    // of a meter with several, from 1; 0: the first
}

// source gives the samples of one format. It need not check their order.
type source interface {
	// next fills s or returns io.EOF. line is where s stands.
	next(s *Sample) (line int, err error)
}

// Reader gives the samples of a recording.
type Reader struct {
	src    source
	format Format
	notes  []string
	any    bool
	last   time.Duration
}

// Open reads the beginning of a recording.
func Open(r io.Reader, opts Options) (*Reader, error) {
	if opts.Channel < 0 || opts.Channel > 8 {
		return nil, fmt.Errorf("recording: channel %d: want 1 to 8", opts.Channel)
	}
	if opts.Channel == 0 {
		opts.Channel = 1
	}
	in := bufio.NewReaderSize(r, peekBytes)
	head, err := in.Peek(peekBytes)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) { // a byte order mark
		head = head[3:]
		if _, err := in.Discard(3); err != nil {
			return nil, fmt.Errorf("recording: %w", err)
		}
	}
	format := opts.Format
	if format == FormatAuto || format == "" {
		if format = detect(head); format == "" {
			first, _, _ := bytes.Cut(head, []byte("\n"))
			return nil, fmt.Errorf("recording: header: %w", &Error{
				Line: 1, Value: strings.TrimSpace(string(first)),
				Want: "a CSV header with time_s and any of volts, amps, watts, or an export of Tasmota, Shelly or Home Assistant",
			})
		}
	}
	rec := &Reader{format: format}
	l := &lines{in: in}
	switch format {
	case FormatCSV:
		rec.src, rec.notes, err = openCSV(l)
	case FormatTasmota:
		rec.src, err = openTasmota(l, head, opts.Channel)
	case FormatShelly:
		rec.src, err = openShelly(l, head, opts.Channel)
	case FormatHomeAssistant:
		rec.src, rec.notes, err = openHistory(l)
	default:
		err = fmt.Errorf("format %q: want one of %q", format, Formats())
	}
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return rec, nil
}

// Format is the format that is read.
func (r *Reader) Format() Format { return r.format }

// OnChange reports whether the recording holds changes, so that a silence in it
// means "as before".
func (r *Reader) OnChange() bool { return r.format == FormatHomeAssistant }

// Notes tell a person how the file was understood.
func (r *Reader) Notes() []string { return r.notes }

// Next fills s with the next sample, or returns io.EOF at the end. Samples
// come in the order of time; several may stand at one instant.
func (r *Reader) Next(s *Sample) error {
	line, err := r.src.next(s)
	if err != nil {
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return fmt.Errorf("recording: %w", err)
	}
	if r.any && s.At < r.last {
		return fmt.Errorf("recording: %w", &Error{
			Line: line, Column: "time", Value: fmt.Sprintf("%gs", s.At.Seconds()),
			Want: fmt.Sprintf("%gs or later: time goes back", r.last.Seconds()),
		})
	}
	for _, q := range [...]struct {
		value  float64
		column string
	}{{s.Volts, "volts"}, {s.Amps, "amps"}, {s.Watts, "watts"}, {s.PeakAmps, "peak amps"}, {s.PeakWatts, "peak watts"}} {
		if q.value > MaxValue || q.value < -MaxValue {
			return fmt.Errorf("recording: %w", &Error{
				Line: line, Column: q.column, Value: fmt.Sprintf("%g", q.value), Want: fmt.Sprintf("at most %g either way", float64(MaxValue)),
			})
		}
	}
	r.any, r.last = true, s.At
	return nil
}

// detect tells the format from the first bytes of a file; empty when it cannot.
func detect(head []byte) Format {
	first, _, _ := bytes.Cut(head, []byte("\n"))
	low := strings.ToLower(strings.TrimSpace(string(first)))
	has := func(words ...string) bool {
		for _, w := range words {
			if !strings.Contains(low, w) {
				return false
			}
		}
		return true
	}
	switch {
	case strings.HasPrefix(low, "{") || strings.HasPrefix(low, "["), strings.Contains(low, "{\""):
		return detectJSON(head)
	case has("entity_id", "state"):
		return FormatHomeAssistant
	case has("time_s"):
		return FormatCSV
	case has("timestamp", "_energy"), has("timestamp", "avg_voltage"), has("timestamp", "act_power"):
		return FormatShelly
	case has("time", "power"), has("time", "current"):
		return FormatTasmota
	default:
		return detectJSON(head)
	}
}

func detectJSON(head []byte) Format {
	for _, m := range []struct {
		mark   string
		format Format
	}{
		{`"ENERGY"`, FormatTasmota},
		{`"NotifyStatus"`, FormatShelly},
		{`"apower"`, FormatShelly},
		{`"act_power"`, FormatShelly},
		{`"keys"`, FormatShelly},
		{`"values"`, FormatShelly},
		{`SENSOR`, FormatTasmota},
	} {
		if bytes.Contains(head, []byte(m.mark)) {
			return m.format
		}
	}
	return ""
}
