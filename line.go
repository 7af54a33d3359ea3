package shedguard

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// The telemetry measurements.
const (
	MeasurementOutlet  = "outlet"  // tags shed, outlet
	MeasurementFeeder  = "feeder"  // tag shed
	MeasurementClimate = "climate" // tags shed, zone
	MeasurementCamera  = "camera"  // tags shed, camera
	MeasurementGateway = "gateway" // tag shed
)

// The bounds of one line of telemetry.
const (
	MaxLineBytes  = 4096
	MaxLineTags   = 8
	MaxLineFields = 64
	MaxNameBytes  = 64
	MaxTagBytes   = 128
)

// ErrNotFinite comes when a field to be encoded is NaN or infinite. Line
// protocol has no word for either, and some stores keep them as 0.
var ErrNotFinite = errors.New("value is not finite")

// Tag is a low-cardinality label of a point.
type Tag struct {
	Key   string
	Value string
}

// Field is a number of a point.
type Field struct {
	Key   string
	Value float64
	Int   bool // written with the suffix i; Value is then a whole number
}

// Point is one line of telemetry: a measurement, its tags and numbers at one
// instant. The order of tags and fields is kept.
type Point struct {
	Measurement string
	Tags        []Tag
	Fields      []Field
	Time        time.Time // whole milliseconds
}

// Tag is the value of the tag with that key, or "".
func (p *Point) Tag(key string) string {
	for i := range p.Tags {
		if p.Tags[i].Key == key {
			return p.Tags[i].Value
		}
	}
	return ""
}

// AppendLine appends the point in InfluxDB line protocol, newline included,
// and returns the extended slice. It allocates nothing when dst has room. On
// an error dst is returned as it came.
func AppendLine(dst []byte, p *Point) ([]byte, error) {
	start := len(dst)
	fail := func(format string, args ...any) ([]byte, error) {
		return dst[:start], fmt.Errorf("line: "+format, args...)
	}
	if !validName(p.Measurement) {
		return fail("measurement %q: want a name of letters, digits and _", p.Measurement)
	}
	if len(p.Tags) > MaxLineTags || len(p.Fields) == 0 || len(p.Fields) > MaxLineFields {
		return fail("%s: %d tags and %d fields: want at most %d and 1 to %d", p.Measurement, len(p.Tags), len(p.Fields), MaxLineTags, MaxLineFields)
	}
	dst = append(dst, p.Measurement...)
	for i := range p.Tags {
		t := &p.Tags[i]
		if !validName(t.Key) || !validTag(t.Value) {
			return fail("%s: tag %q=%q: want a name and 1 to %d bytes of text without line breaks", p.Measurement, t.Key, t.Value, MaxTagBytes)
		}
		dst = append(dst, ',')
		dst = append(dst, t.Key...)
		dst = append(dst, '=')
		dst = appendEscaped(dst, t.Value)
	}
	for i := range p.Fields {
		f := &p.Fields[i]
		if !validName(f.Key) {
			return fail("%s: field %q: want a name of letters, digits and _", p.Measurement, f.Key)
		}
		if !finite(f.Value) {
			return fail("%s: field %s: %w", p.Measurement, f.Key, ErrNotFinite)
		}
		if i == 0 {
			dst = append(dst, ' ')
		} else {
			dst = append(dst, ',')
		}
		dst = append(dst, f.Key...)
		dst = append(dst, '=')
		if f.Int {
			if f.Value != math.Trunc(f.Value) || math.Abs(f.Value) > maxExactInt {
				return fail("%s: field %s: %g: want a whole number within 2^53", p.Measurement, f.Key, f.Value)
			}
			dst = strconv.AppendInt(dst, int64(f.Value), 10)
			dst = append(dst, 'i')
		} else {
			dst = strconv.AppendFloat(dst, f.Value, 'g', -1, 64)
		}
	}
	ms := p.Time.UnixMilli()
	if ms <= 0 || ms > maxUnixMilli {
		return fail("%s: time %s: want 1970 to 2262", p.Measurement, p.Time)
	}
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, ms, 10)
	dst = append(dst, "000000\n"...)
	if len(dst)-start > MaxLineBytes {
		return fail("%s: %d bytes: want at most %d", p.Measurement, len(dst)-start, MaxLineBytes)
	}
	return dst, nil
}

const (
	maxExactInt  = 1 << 53
	maxUnixMilli = math.MaxInt64 / int64(time.Millisecond)
)

// LineReader reads line protocol. It keeps the few names and tag values that
// it has seen, so that a steady stream costs no allocation per line. The zero
// value is ready; it is not safe for concurrent use.
type LineReader struct {
	words map[string]string
}

// maxWords bounds what a LineReader remembers; beyond it words are allocated.
const maxWords = 8192

func (r *LineReader) word(b []byte) string {
	if s, ok := r.words[string(b)]; ok {
		return s
	}
	s := string(b)
	if r.words == nil {
		r.words = make(map[string]string)
	}
	if len(r.words) < maxWords {
		r.words[s] = s
	}
	return s
}

// Parse reads one line, without its newline, into p, reusing p's slices. On an
// error p holds nothing of use. The timestamp is required and is cut to whole
// milliseconds; string and boolean fields are refused.
func (r *LineReader) Parse(line []byte, p *Point) error {
	p.Measurement, p.Tags, p.Fields, p.Time = "", p.Tags[:0], p.Fields[:0], time.Time{}
	if len(line) > MaxLineBytes {
		return fmt.Errorf("line: %d bytes: want at most %d", len(line), MaxLineBytes)
	}
	head, rest, ok := cutUnescaped(line, ' ')
	if !ok {
		return errors.New("line: want measurement,tags fields time")
	}
	fields, stamp, ok := bytes.Cut(rest, []byte{' '})
	if !ok || len(stamp) == 0 {
		return errors.New("line: time: required, in nanoseconds")
	}
	name, tags, hasTags := bytes.Cut(head, []byte{','})
	if !validName(name) {
		return fmt.Errorf("line: measurement %q: want a name of letters, digits and _", name)
	}
	p.Measurement = r.word(name)
	for hasTags {
		var tag []byte
		tag, tags, hasTags = cutUnescaped(tags, ',')
		if err := r.tag(tag, p); err != nil {
			return err
		}
	}
	for more := true; more; {
		var field []byte
		field, fields, more = bytes.Cut(fields, []byte{','})
		if err := r.field(field, p); err != nil {
			return err
		}
	}
	ns, err := strconv.ParseInt(string(stamp), 10, 64)
	if err != nil || ns < int64(time.Millisecond) {
		return fmt.Errorf("line: time %q: want nanoseconds since 1970, positive", stamp)
	}
	p.Time = time.UnixMilli(ns / int64(time.Millisecond)).UTC()
	return nil
}

func (r *LineReader) tag(b []byte, p *Point) error {
	key, value, ok := bytes.Cut(b, []byte{'='})
	if !ok || !validName(key) {
		return fmt.Errorf("line: tag %q: want name=value", b)
	}
	if len(p.Tags) == MaxLineTags {
		return fmt.Errorf("line: more than %d tags", MaxLineTags)
	}
	var plain [2 * MaxTagBytes]byte
	text, ok := unescape(plain[:0], value)
	if !ok || !validTag(text) {
		return fmt.Errorf("line: tag %s=%q: want 1 to %d bytes of text", key, value, MaxTagBytes)
	}
	if p.Tag(string(key)) != "" {
		return fmt.Errorf("line: tag %s: given twice", key)
	}
	p.Tags = append(p.Tags, Tag{Key: r.word(key), Value: r.word(text)})
	return nil
}

func (r *LineReader) field(b []byte, p *Point) error {
	key, value, ok := bytes.Cut(b, []byte{'='})
	if !ok || !validName(key) || len(value) == 0 {
		return fmt.Errorf("line: field %q: want name=number", b)
	}
	if len(p.Fields) == MaxLineFields {
		return fmt.Errorf("line: more than %d fields", MaxLineFields)
	}
	for i := range p.Fields {
		if p.Fields[i].Key == string(key) {
			return fmt.Errorf("line: field %s: given twice", key)
		}
	}
	f := Field{Key: r.word(key)}
	if whole, isInt := bytes.CutSuffix(value, []byte{'i'}); isInt {
		n, err := strconv.ParseInt(string(whole), 10, 64)
		if err != nil || n > maxExactInt || n < -maxExactInt {
			return fmt.Errorf("line: field %s=%q: want a whole number within 2^53", key, value)
		}
		f.Value, f.Int = float64(n), true
	} else {
		if value[0] != '-' && value[0] != '+' && value[0] != '.' && (value[0] < '0' || value[0] > '9') {
			return fmt.Errorf("line: field %s=%q: want a number", key, value)
		}
		v, err := strconv.ParseFloat(string(value), 64)
		if err != nil || !finite(v) || bytes.ContainsAny(value, "xXpP_") {
			return fmt.Errorf("line: field %s=%q: want a finite decimal number", key, value)
		}
		f.Value = v
	}
	p.Fields = append(p.Fields, f)
	return nil
}

// validName reports whether s can name a measurement, tag or field: a letter
// or _, then letters, digits and _, as every time-series store accepts.
func validName[T string | []byte](s T) bool {
	if len(s) == 0 || len(s) > MaxNameBytes {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func validTag[T string | []byte](s T) bool {
	if len(s) == 0 || len(s) > MaxTagBytes {
		return false
	}
	for i := range len(s) {
		// A backslash has no spelling that every reader of the protocol agrees on.
		if s[i] < ' ' || s[i] == 0x7f || s[i] == '\\' {
			return false
		}
	}
	return utf8.ValidString(string(s))
}

// appendEscaped escapes what ends a tag value: space, comma and equals sign.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c == ' ' || c == ',' || c == '=' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return dst
}

// unescape undoes appendEscaped and refuses a bare special character.
func unescape(dst, b []byte) ([]byte, bool) {
	if len(b) > 2*MaxTagBytes {
		return dst, false
	}
	for i := 0; i < len(b); i++ {
		special := b[i] == ' ' || b[i] == ',' || b[i] == '='
		if special {
			return dst, false
		}
		if b[i] == '\\' && i+1 < len(b) && (b[i+1] == ' ' || b[i+1] == ',' || b[i+1] == '=') {
			i++
		}
		dst = append(dst, b[i])
	}
	return dst, true
}

// cutUnescaped cuts b at the first sep that no backslash stands before.
func cutUnescaped(b []byte, sep byte) (before, after []byte, found bool) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case sep:
			return b[:i], b[i+1:], true
		}
	}
	return b, nil, false
}
