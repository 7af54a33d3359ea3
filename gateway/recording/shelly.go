package recording

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// shellyPeriod is how much a row of a stored-data CSV covers: Shelly's energy
// meters keep one-minute data.
const shellyPeriod = time.Minute

func openShelly(l *lines, head []byte, channel int) (source, error) {
	first := bytes.TrimSpace(head)
	if len(first) == 0 || first[0] != '{' && first[0] != '[' {
		return openShellyCSV(l, channel)
	}
	line, _, _ := bytes.Cut(first, []byte("\n"))
	if bytes.Contains(line, []byte(`"params"`)) || bytes.Contains(line, []byte(`power"`)) && !bytes.Contains(line, []byte(`"keys"`)) {
		return &shellyLines{lines: l, channel: channel, held: unsaid(0)}, nil
	}
	return openShellyData(l, channel)
}

// keys say which stored value is what.
type keys struct {
	names                               []string
	energy, volts, amps, maxAmps, maxWs int
}

// newKeys finds the values of a channel: EM1Data has none in its names, EMData
// has a_, b_ and c_.
func newKeys(names []string, channel, line int) (keys, error) {
	k := keys{names: names}
	prefix := ""
	if slices.Contains(names, "a_total_act_energy") || slices.Contains(names, "a_avg_current") {
		if channel > 3 {
			return k, &Error{Line: line, Column: "channel", Value: strconv.Itoa(channel), Want: "1 to 3, the phases a, b and c"}
		}
		prefix = string(rune('a'+channel-1)) + "_"
	}
	at := func(name string) int { return slices.Index(names, prefix+name) }
	k.energy, k.volts, k.amps = at("total_act_energy"), at("avg_voltage"), at("avg_current")
	k.maxAmps, k.maxWs = at("max_current"), at("max_act_power")
	if k.energy < 0 && k.amps < 0 {
		return k, &Error{Line: line, Column: "columns", Value: strings.Join(names, ","), Want: "timestamp and " + prefix + "total_act_energy or " + prefix + "avg_current; ask the device with add_keys=true"}
	}
	return k, nil
}

// fill takes a row of stored values over period. A nil value says nothing.
func (k *keys) fill(s *Sample, period time.Duration, value func(i int) (float64, bool)) (bad int) {
	bad = -1
	get := func(i int, into *float64) {
		if i < 0 {
			return
		}
		v, ok := value(i)
		if !ok {
			bad = i
			return
		}
		*into = v
	}
	get(k.energy, &s.Watts)
	s.Watts /= period.Hours() // Wh of the period
	get(k.volts, &s.Volts)
	get(k.amps, &s.Amps)
	get(k.maxAmps, &s.PeakAmps)
	get(k.maxWs, &s.PeakWatts)
	return bad
}

// shellyCSV reads /em1data/N/data.csv.
type shellyCSV struct {
	*lines
	clock
	keys
	at   int
	last time.Time
	end  bool
}

func openShellyCSV(l *lines, channel int) (source, error) {
	header, err := l.header()
	if err != nil {
		return nil, err
	}
	t := &shellyCSV{lines: l, at: slices.Index(header, "timestamp")}
	if t.at < 0 {
		return nil, &Error{Line: l.n, Column: "columns", Value: strings.Join(header, ","), Want: "timestamp first; ask the device with add_keys=true"}
	}
	t.keys, err = newKeys(header, channel, l.n)
	return t, err
}

func (t *shellyCSV) next(s *Sample) (int, error) {
	fields, err := t.row(len(t.names))
	if errors.Is(err, io.EOF) && !t.end && t.set {
		// The last minute has an end.
		t.end = true
		*s = unsaid(t.since(t.last.Add(shellyPeriod)))
		s.Lost = true
		return t.n, nil
	}
	if err != nil {
		return 0, err
	}
	at, ok := instant(strings.TrimSpace(string(fields[t.at])))
	if !ok {
		return 0, &Error{Line: t.n, Column: "timestamp", Value: string(fields[t.at]), Want: wantInstant}
	}
	t.last = at
	*s = unsaid(t.since(at))
	bad := t.fill(s, shellyPeriod, func(i int) (float64, bool) {
		if len(fields[i]) == 0 {
			return math.NaN(), true
		}
		return parse(fields[i])
	})
	if bad >= 0 {
		return 0, &Error{Line: t.n, Column: t.names[bad], Value: string(fields[bad]), Want: "a finite number or nothing"}
	}
	return t.n, nil
}

// shellyData reads the answer of EM1Data.GetData or EMData.GetData, value row
// by value row.
type shellyData struct {
	clock
	keys
	dec     *json.Decoder
	channel int
	at      time.Time // of the next row
	period  time.Duration
	rows    bool // inside "values"
	row     int
}

const wantData = `the answer of EM1Data.GetData or EMData.GetData: {"keys":[…],"data":[{"ts":…,"period":60,"values":[[…]]}]}`

func openShellyData(l *lines, channel int) (source, error) {
	d := &shellyData{dec: json.NewDecoder(l.in), channel: channel}
	// Members before "data" are looked at; an enclosing {"result": {…}} is
	// entered.
	for {
		key, err := d.member()
		if err != nil {
			return nil, err
		}
		switch key {
		case "result", "params":
			continue
		case "keys":
			var names []string
			if err := d.dec.Decode(&names); err != nil {
				return nil, decodeError(err, "keys as a list of words")
			}
			if d.keys, err = newKeys(names, channel, 0); err != nil {
				return nil, err
			}
		case "data":
			if d.names == nil {
				return nil, &Error{Column: "keys", Value: "", Want: "keys before data; ask the device with add_keys=true"}
			}
			if err := d.delim('['); err != nil {
				return nil, err
			}
			return d, nil
		default:
			var skip json.RawMessage
			if err := d.dec.Decode(&skip); err != nil {
				return nil, decodeError(err, wantData)
			}
		}
	}
}

// member is the next key of an object, entering one where it begins.
func (d *shellyData) member() (string, error) {
	for {
		tok, err := d.dec.Token()
		if err != nil {
			return "", decodeError(err, wantData)
		}
		switch v := tok.(type) {
		case string:
			return v, nil
		case json.Delim:
			if v == '{' {
				continue
			}
		}
		return "", &Error{Value: fmt.Sprint(tok), Want: wantData}
	}
}

func (d *shellyData) delim(want json.Delim) error {
	tok, err := d.dec.Token()
	if err != nil {
		return decodeError(err, wantData)
	}
	if tok != want {
		return &Error{Value: fmt.Sprint(tok), Want: wantData}
	}
	return nil
}

func (d *shellyData) next(s *Sample) (int, error) {
	for {
		if d.rows {
			if d.dec.More() {
				return 0, d.value(s)
			}
			if err := d.endBlock(); err != nil {
				return 0, err
			}
			*s = unsaid(d.since(d.at)) // where the block ends nothing is known
			s.Lost = true
			return 0, nil
		}
		if !d.dec.More() {
			// What stands after the data says nothing about it.
			if err := d.delim(']'); err != nil {
				return 0, err
			}
			return 0, io.EOF
		}
		if err := d.block(); err != nil {
			return 0, err
		}
	}
}

// block reads the beginning of one uninterrupted stretch.
func (d *shellyData) block() error {
	if err := d.delim('{'); err != nil {
		return err
	}
	d.period, d.at, d.row = shellyPeriod, time.Time{}, 0
	for d.dec.More() {
		key, err := d.member()
		if err != nil {
			return err
		}
		if key == "values" {
			if d.at.IsZero() {
				return &Error{Column: "ts", Value: "", Want: "ts before values, in seconds since 1970"}
			}
			d.rows = true
			return d.delim('[')
		}
		var raw json.RawMessage
		if err := d.dec.Decode(&raw); err != nil {
			return decodeError(err, wantData)
		}
		v, ok := parse(bytes.Trim(raw, `"`))
		switch key {
		case "ts":
			if !ok || v <= 0 || v > maxSeconds {
				return &Error{Column: "ts", Value: string(raw), Want: "seconds since 1970"}
			}
			d.at = unix(v)
		case "period":
			if !ok || v < 1 || v > 86400 {
				return &Error{Column: "period", Value: string(raw), Want: "1 to 86400 seconds"}
			}
			d.period = seconds(v)
		}
	}
	return &Error{Column: "values", Value: "", Want: wantData}
}

func (d *shellyData) value(s *Sample) error {
	var row []*float64
	if err := d.dec.Decode(&row); err != nil {
		return decodeError(err, fmt.Sprintf("a list of %d numbers", len(d.names)))
	}
	d.row++
	if len(row) != len(d.names) {
		return &Error{Column: fmt.Sprintf("values[%d]", d.row-1), Value: fmt.Sprintf("%d numbers", len(row)), Want: fmt.Sprintf("%d, as keys has", len(d.names))}
	}
	*s = unsaid(d.since(d.at))
	d.at = d.at.Add(d.period)
	d.fill(s, d.period, func(i int) (float64, bool) {
		if row[i] == nil {
			return math.NaN(), true
		}
		return *row[i], true
	})
	return nil
}

func (d *shellyData) endBlock() error {
	if err := d.delim(']'); err != nil {
		return err
	}
	d.rows = false
	for d.dec.More() { // members after values
		if _, err := d.member(); err != nil {
			return err
		}
		var skip json.RawMessage
		if err := d.dec.Decode(&skip); err != nil {
			return decodeError(err, wantData)
		}
	}
	return d.delim('}')
}

// shellyLines reads notifications or statuses, one a line. A notification
// holds what changed; the rest is as before.
type shellyLines struct {
	*lines
	clock
	channel int
	held    Sample
}

// shellyStatus is the status of a Switch, PM1 or EM1.
type shellyStatus struct {
	Apower   *float64 `json:"apower"`
	ActPower *float64 `json:"act_power"`
	Voltage  *float64 `json:"voltage"`
	Current  *float64 `json:"current"`
	Output   *bool    `json:"output"`
}

func (t *shellyLines) next(s *Sample) (int, error) {
	for {
		object, line, err := t.object()
		if err != nil {
			return 0, err
		}
		var msg struct {
			Params map[string]json.RawMessage `json:"params"`
		}
		bad := func(err error) error {
			return &Error{Line: t.n, Value: string(line), Want: "a JSON object with params.ts, or a status with ts: " + err.Error()}
		}
		if err := json.Unmarshal(object, &msg); err != nil {
			return 0, bad(err)
		}
		members := msg.Params
		if members == nil {
			if err := json.Unmarshal(object, &members); err != nil {
				return 0, bad(err)
			}
			if _, ok := members["ts"]; ok {
				members["switch:"+strconv.Itoa(t.channel-1)] = json.RawMessage(object)
			}
		}
		var status shellyStatus
		found := false
		for _, part := range [...]string{"switch", "pm1", "em1"} {
			raw, ok := members[part+":"+strconv.Itoa(t.channel-1)]
			if !ok {
				continue
			}
			if err := json.Unmarshal(raw, &status); err != nil {
				return 0, bad(err)
			}
			found = true
		}
		if !found || !t.take(&status) {
			continue // another part of the device
		}
		var ts float64
		if err := json.Unmarshal(members["ts"], &ts); err != nil || !(ts > 0 && ts < maxSeconds) {
			return 0, &Error{Line: t.n, Column: "ts", Value: string(members["ts"]), Want: "seconds since 1970"}
		}
		*s = t.held
		s.At = t.since(unix(ts))
		return t.n, nil
	}
}

// take holds what a status says, and reports whether it said anything.
func (t *shellyLines) take(status *shellyStatus) bool {
	took := false
	set := func(to *float64, from *float64) {
		if from != nil {
			*to, took = *from, true
		}
	}
	set(&t.held.Watts, status.Apower)
	set(&t.held.Watts, status.ActPower)
	set(&t.held.Volts, status.Voltage)
	set(&t.held.Amps, status.Current)
	return took
}
