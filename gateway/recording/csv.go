package recording

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lines gives the lines of a file without their ends.
type lines struct {
	in     *bufio.Reader
	n      int // of the line given last, from 1
	long   []byte
	fields [][]byte
}

// next is the next line that is not empty; it is valid until the next call.
func (l *lines) next() ([]byte, error) {
	for {
		line, err := l.read()
		if err != nil {
			return nil, err
		}
		l.n++
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) > 0 {
			return line, nil
		}
	}
}

// object is the next line from its first brace on, and the whole of it; lines
// without one, such as those of a log, are passed over.
func (l *lines) object() (object, line []byte, err error) {
	for {
		line, err := l.next()
		if err != nil {
			return nil, nil, err
		}
		if i := bytes.IndexByte(line, '{'); i >= 0 {
			return line[i:], line, nil
		}
	}
}

func (l *lines) read() ([]byte, error) {
	line, err := l.in.ReadSlice('\n')
	if err == nil {
		return line[:len(line)-1], nil
	}
	l.long = append(l.long[:0], line...)
	for errors.Is(err, bufio.ErrBufferFull) {
		if len(l.long) > MaxLineBytes {
			return nil, &Error{Line: l.n + 1, Value: string(l.long[:60]), Want: "at most " + strconv.Itoa(MaxLineBytes) + " bytes in a line"}
		}
		line, err = l.in.ReadSlice('\n')
		l.long = append(l.long, line...)
	}
	switch {
	case err == nil:
		return l.long[:len(l.long)-1], nil
	case errors.Is(err, io.EOF) && len(l.long) > 0:
		return l.long, nil
	default:
		return nil, err
	}
}

// split cuts a line at its commas; it is valid until the next call.
func (l *lines) split(line []byte) ([][]byte, error) {
	l.fields = l.fields[:0]
	if bytes.IndexByte(line, '"') < 0 {
		for {
			i := bytes.IndexByte(line, ',')
			if i < 0 {
				l.fields = append(l.fields, line)
				return l.fields, nil
			}
			l.fields = append(l.fields, line[:i])
			line = line[i+1:]
		}
	}
	for whole := line; ; {
		field := line
		end := bytes.IndexByte(line, ',')
		if len(line) > 0 && line[0] == '"' {
			var text []byte
			rest := line[1:]
			for {
				i := bytes.IndexByte(rest, '"')
				if i < 0 {
					return nil, &Error{Line: l.n, Value: string(whole), Want: "a closing quote on the same line"}
				}
				text = append(text, rest[:i]...)
				rest = rest[i+1:]
				if len(rest) == 0 || rest[0] != '"' {
					break
				}
				text, rest = append(text, '"'), rest[1:]
			}
			if len(rest) > 0 && rest[0] != ',' {
				return nil, &Error{Line: l.n, Value: string(whole), Want: "a comma after a closing quote"}
			}
			field, end = text, -1
			if len(rest) > 0 {
				end = len(line) - len(rest)
			}
		} else if end >= 0 {
			field = line[:end]
		}
		l.fields = append(l.fields, field)
		if end < 0 {
			return l.fields, nil
		}
		line = line[end+1:]
	}
}

// header reads the header row.
func (l *lines) header() ([]string, error) {
	line, err := l.next()
	if errors.Is(err, io.EOF) {
		return nil, &Error{Line: 1, Value: "", Want: "a header row: the file is empty"}
	}
	if err != nil {
		return nil, err
	}
	fields, err := l.split(line)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = strings.TrimSpace(string(f))
	}
	return names, nil
}

// row reads the next row, which must be as wide as the header.
func (l *lines) row(width int) ([][]byte, error) {
	line, err := l.next()
	if err != nil {
		return nil, err
	}
	fields, err := l.split(line)
	if err != nil {
		return nil, err
	}
	if len(fields) != width {
		return nil, &Error{Line: l.n, Value: string(line), Want: strconv.Itoa(width) + " columns, as the header has"}
	}
	return fields, nil
}

// table reads a CSV of numbers: what stands in which column.
type table struct {
	*lines
	header           []string
	at               int
	volts, amps, pow int // -1: not there
}

// openCSV reads the header of a plain CSV.
func openCSV(l *lines) (source, []string, error) {
	header, err := l.header()
	if err != nil {
		return nil, nil, err
	}
	t := &table{lines: l, header: header, at: slices.Index(header, "time_s")}
	var notes []string
	column := func(name string) int {
		if i := slices.Index(header, name); i >= 0 {
			return i
		}
		i := slices.Index(header, name+"_scaled")
		if i >= 0 {
			notes = append(notes, name+" are read from "+header[i])
		}
		return i
	}
	t.volts, t.amps, t.pow = column("volts"), column("amps"), column("watts")
	if t.at < 0 || t.volts < 0 && t.amps < 0 && t.pow < 0 {
		return nil, nil, &Error{Line: 1, Column: "columns", Value: strings.Join(header, ","), Want: "time_s and at least one of volts, amps, watts"}
	}
	return t, notes, nil
}

func (t *table) next(s *Sample) (int, error) {
	fields, err := t.row(len(t.header))
	if err != nil {
		return 0, err
	}
	at, ok := parse(fields[t.at])
	if !ok || at < -maxSeconds || at > maxSeconds {
		return 0, &Error{Line: t.n, Column: "time_s", Value: string(fields[t.at]), Want: "a number of seconds"}
	}
	*s = unsaid(seconds(at))
	for _, q := range [...]struct {
		column int
		value  *float64
	}{{t.volts, &s.Volts}, {t.amps, &s.Amps}, {t.pow, &s.Watts}} {
		if q.column < 0 {
			continue
		}
		f := fields[q.column]
		if len(f) == 0 {
			continue
		}
		if *q.value, ok = parse(f); !ok {
			return 0, &Error{Line: t.n, Column: t.header[q.column], Value: string(f), Want: "a finite number or nothing"}
		}
	}
	return t.n, nil
}

func seconds(s float64) time.Duration { return time.Duration(math.Round(s * 1e9)) }

// parse reads a finite number. The numbers that meters write, up to 15 digits
// without an exponent, take the short way, which is exact: both the digits and
// the power of ten are whole numbers below 2^53.
func parse(b []byte) (float64, bool) {
	var digits uint64
	n, point, i := 0, -1, 0
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		i = 1
	}
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c >= '0' && c <= '9':
			digits = digits*10 + uint64(c-'0')
			if n++; n > 15 {
				return parseLong(b)
			}
		case c == '.' && point < 0:
			point = n
		default:
			return parseLong(b)
		}
	}
	if n == 0 {
		return parseLong(b)
	}
	v := float64(digits)
	if point >= 0 {
		v /= math.Pow10(n - point)
	}
	if negative {
		v = -v
	}
	return v, true
}

func parseLong(b []byte) (float64, bool) {
	v, err := strconv.ParseFloat(string(bytes.TrimSpace(b)), 64)
	return v, err == nil && !math.IsNaN(v) && !math.IsInf(v, 0)
}
