package recording

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// history is a Home Assistant export, sorted by time.
type history struct {
	rows  []change
	place int
	held  Sample
}

// change is one value of one quantity.
type change struct {
	at    time.Duration
	value float64 // NaN: unavailable or unknown
	line  int32
	what  uint8
}

// The quantities of an entity.
const (
	isVolts uint8 = iota
	isAmps
	isWatts
	isOther
)

// kindOf tells what an entity measures from its id: the export has no units.
func kindOf(entity string) uint8 {
	_, name, ok := strings.Cut(entity, ".")
	if !ok {
		return isOther
	}
	for _, other := range [...]string{"power_factor", "apparent", "reactive", "power_on", "cost", "energy"} {
		if strings.Contains(name, other) {
			return isOther
		}
	}
	// The last word says what it is: sensor.current_cost_plug_power is a power.
	kind, last := isOther, -1
	for word, k := range map[string]uint8{"voltage": isVolts, "current": isAmps, "power": isWatts, "watts": isWatts, "amps": isAmps, "volts": isVolts} {
		if i := strings.LastIndex(name, word); i > last {
			kind, last = k, i
		}
	}
	return kind
}

func openHistory(l *lines) (source, []string, error) {
	header, err := l.header()
	if err != nil {
		return nil, nil, err
	}
	entity, state := slices.Index(header, "entity_id"), slices.Index(header, "state")
	at := slices.Index(header, "last_changed")
	if at < 0 {
		at = slices.Index(header, "last_updated")
	}
	if entity < 0 || state < 0 || at < 0 {
		return nil, nil, &Error{Line: l.n, Column: "columns", Value: strings.Join(header, ","), Want: "entity_id, state and last_changed"}
	}
	h := &history{held: unsaid(0)}
	var names [isOther]string
	var clock clock
	for {
		fields, err := l.row(len(header))
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		id := string(fields[entity])
		what := kindOf(id)
		if what == isOther {
			continue
		}
		if names[what] == "" {
			names[what] = id
		} else if names[what] != id {
			return nil, nil, &Error{Line: l.n, Column: "entity_id", Value: id, Want: fmt.Sprintf("one plug in a file: %s is there already; download each plug by itself", names[what])}
		}
		c := change{line: int32(min(l.n, math.MaxInt32)), what: what, value: math.NaN()}
		switch text := strings.TrimSpace(string(fields[state])); text {
		case "unavailable", "unknown", "":
		default:
			v, ok := parse([]byte(text))
			if !ok {
				return nil, nil, &Error{Line: l.n, Column: "state", Value: text, Want: "a finite number, unavailable or unknown"}
			}
			c.value = v
		}
		t, ok := instant(strings.TrimSpace(string(fields[at])))
		if !ok {
			return nil, nil, &Error{Line: l.n, Column: header[at], Value: string(fields[at]), Want: wantInstant}
		}
		c.at = clock.since(t)
		if len(h.rows) == MaxHistoryRows {
			return nil, nil, &Error{Line: l.n, Value: id, Want: fmt.Sprintf("at most %d values in a file", MaxHistoryRows)}
		}
		h.rows = append(h.rows, c)
	}
	if names[isAmps] == "" && names[isWatts] == "" {
		return nil, nil, &Error{Column: "entity_id", Value: "", Want: "at least one entity whose id ends in power or current"}
	}
	slices.SortStableFunc(h.rows, func(a, b change) int { return int(min(1, max(-1, a.at-b.at))) })
	zero := h.rows[0].at // an entity further down the file may have begun earlier
	for i := range h.rows {
		h.rows[i].at -= zero
	}
	var notes []string
	for i, word := range [...]string{"volts", "amps", "watts"} {
		if names[i] != "" {
			notes = append(notes, word+" are read from "+names[i])
		}
	}
	return h, notes, nil
}

// next takes the changes of one instant together.
func (h *history) next(s *Sample) (int, error) {
	if h.place == len(h.rows) {
		return 0, io.EOF
	}
	at := h.rows[h.place].at
	line := 0
	for ; h.place < len(h.rows) && h.rows[h.place].at == at; h.place++ {
		c := &h.rows[h.place]
		line = int(c.line)
		switch c.what {
		case isVolts:
			h.held.Volts = c.value
		case isAmps:
			h.held.Amps = c.value
		default:
			h.held.Watts = c.value
		}
	}
	*s = h.held
	s.At = at
	s.Lost = math.IsNaN(s.Amps) && math.IsNaN(s.Watts)
	return line, nil
}
