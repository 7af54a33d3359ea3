package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// clock turns the instants of a file into time since the first.
type clock struct {
	zero time.Time
	set  bool
}

func (c *clock) since(t time.Time) time.Duration {
	if !c.set {
		c.zero, c.set = t, true
	}
	return t.Sub(c.zero)
}

// instant reads a time as devices write it: RFC 3339, the same without a zone
// (taken as it stands), or seconds since 1970.
func instant(text string) (time.Time, bool) {
	for _, layout := range [...]string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, t.Year() >= 1900 && t.Year() < 2200
		}
	}
	if v, ok := parse([]byte(text)); ok && math.Abs(v) < maxSeconds {
		return unix(v), true
	}
	return time.Time{}, false
}

func unix(s float64) time.Time {
	whole, part := math.Modf(s)
	return time.Unix(int64(whole), int64(math.Round(part*1e9))).UTC()
}

const wantInstant = "a time such as 2026-05-01T08:00:00 or seconds since 1970"

// tasmota reads SENSOR telemetry, a JSON object a line.
type tasmota struct {
	*lines
	clock
	channel int
}

func openTasmota(l *lines, head []byte, channel int) (source, error) {
	first, _, _ := bytes.Cut(head, []byte("\n"))
	if bytes.IndexByte(first, '{') >= 0 {
		return &tasmota{lines: l, channel: channel}, nil
	}
	header, err := l.header()
	if err != nil {
		return nil, err
	}
	t := &timed{table: table{lines: l, header: header, at: -1, volts: -1, amps: -1, pow: -1}}
	for i, name := range header {
		switch name = strings.ToLower(name); strings.TrimLeft(strings.TrimPrefix(name, "energy"), "._-/ ") {
		case "time", "timestamp", "date":
			t.at = i
		case "power":
			t.pow = i
		case "voltage":
			t.volts = i
		case "current":
			t.amps = i
		}
	}
	if t.at < 0 || t.pow < 0 && t.amps < 0 {
		return nil, &Error{Line: l.n, Column: "columns", Value: strings.Join(header, ","), Want: "JSON lines of SENSOR, or a CSV with Time and any of Power, Voltage, Current (ENERGY.Power and so on)"}
	}
	return t, nil
}

// timed is a table whose time is an instant.
type timed struct {
	table
	clock
}

func (t *timed) next(s *Sample) (int, error) {
	fields, err := t.row(len(t.header))
	if err != nil {
		return 0, err
	}
	at, ok := instant(strings.TrimSpace(string(fields[t.at])))
	if !ok {
		return 0, &Error{Line: t.n, Column: t.header[t.at], Value: string(fields[t.at]), Want: wantInstant}
	}
	*s = unsaid(t.since(at))
	for i, v := range map[int]*float64{t.volts: &s.Volts, t.amps: &s.Amps, t.pow: &s.Watts} {
		if i < 0 || len(fields[i]) == 0 {
			continue
		}
		if *v, ok = parse(fields[i]); !ok {
			return 0, &Error{Line: t.n, Column: t.header[i], Value: string(fields[i]), Want: "a finite number or nothing"}
		}
	}
	return t.n, nil
}

// sensor is the part of Tasmota's telemetry that is read.
type sensor struct {
	Time   string `json:"Time"`
	Energy *struct {
		Power   quantity `json:"Power"`
		Voltage quantity `json:"Voltage"`
		Current quantity `json:"Current"`
	} `json:"ENERGY"`
	Status *sensor `json:"StatusSNS"`
}

// quantity is a number, or one a channel.
type quantity []float64

// UnmarshalJSON implements [json.Unmarshaler].
func (q *quantity) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]float64)(q))
	}
	var v *float64
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*q = nil
	if v != nil {
		*q = quantity{*v}
	}
	return nil
}

// of is the value of a channel, from 1. A single value is that of every
// channel: a meter of two circuits has one voltage.
func (q quantity) of(channel int) (float64, bool) {
	switch {
	case len(q) == 0:
		return math.NaN(), true
	case len(q) == 1:
		return q[0], true
	case channel <= len(q):
		return q[channel-1], true
	default:
		return math.NaN(), false
	}
}

func (t *tasmota) next(s *Sample) (int, error) {
	for {
		object, line, err := t.object()
		if err != nil {
			return 0, err
		}
		var msg sensor
		if err := json.Unmarshal(object, &msg); err != nil {
			return 0, &Error{Line: t.n, Value: string(line), Want: "a JSON object of SENSOR telemetry: " + err.Error()}
		}
		if msg.Status != nil {
			msg = *msg.Status
		}
		if msg.Energy == nil {
			continue // STATE and other telemetry
		}
		at, ok := instant(msg.Time)
		if !ok {
			return 0, &Error{Line: t.n, Column: "Time", Value: msg.Time, Want: wantInstant}
		}
		*s = unsaid(t.since(at))
		for _, v := range [...]struct {
			from quantity
			to   *float64
			name string
		}{{msg.Energy.Voltage, &s.Volts, "Voltage"}, {msg.Energy.Current, &s.Amps, "Current"}, {msg.Energy.Power, &s.Watts, "Power"}} {
			if *v.to, ok = v.from.of(t.channel); !ok {
				return 0, &Error{Line: t.n, Column: "ENERGY." + v.name, Value: fmt.Sprint([]float64(v.from)), Want: "a channel " + strconv.Itoa(t.channel)}
			}
		}
		return t.n, nil
	}
}

// decodeError makes a JSON decoder's error one of the file.
func decodeError(err error, want string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Value: "end of file", Want: want}
	}
	return &Error{Value: err.Error(), Want: want}
}
