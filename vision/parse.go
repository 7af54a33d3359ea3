package vision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// object reads the fields of one JSON object and keeps every fault, so that all of
// them can be told at once: path, value, what is allowed.
type object struct {
	path   string
	fields map[string]json.RawMessage
	read   map[string]bool
	faults *[]error
}

func parseObject(b []byte) (object, error) {
	o := object{read: make(map[string]bool), faults: new([]error)}
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&o.fields); err != nil {
		return o, fmt.Errorf("no JSON object: %w", err)
	}
	if dec.More() {
		return o, errors.New("something follows after the JSON object")
	}
	if o.fields == nil {
		return o, errors.New("null: want a JSON object")
	}
	return o, nil
}

func (o object) faultf(key, format string, args ...any) {
	*o.faults = append(*o.faults, fmt.Errorf("%s%s: %s", o.path, key, fmt.Sprintf(format, args...)))
}

// raw is a field's text, nil when it is missing.
func (o object) raw(key string) json.RawMessage {
	o.read[key] = true
	return o.fields[key]
}

// has tells whether an optional field is there.
func (o object) has(key string) bool { return o.raw(key) != nil }

// sub is an object inside.
func (o object) sub(key string) object {
	inner := object{path: o.path + key + ".", read: make(map[string]bool), faults: o.faults}
	raw := o.raw(key)
	if o.absent() {
		return inner
	}
	if raw == nil {
		o.faultf(key, "missing")
		return inner
	}
	if err := json.Unmarshal(raw, &inner.fields); err != nil || inner.fields == nil {
		o.faultf(key, "%.40s: want an object", raw)
		inner.fields = nil
	}
	return inner
}

// absent tells that an object was missing or was none, which has been told.
func (o object) absent() bool { return o.fields == nil }

// done tells what nobody asked for.
func (o object) done() {
	for _, key := range slices.Sorted(maps.Keys(o.fields)) {
		if !o.read[key] {
			o.faultf(key, "not known; known here are %s", strings.Join(slices.Sorted(maps.Keys(o.read)), ", "))
		}
	}
}

func (o object) number(key string, least, most float64) float64 {
	raw := o.raw(key)
	if o.absent() {
		return 0
	}
	if raw == nil {
		o.faultf(key, "missing: want a number from %g to %g", least, most)
		return 0
	}
	var v *float64
	if err := json.Unmarshal(raw, &v); err != nil || v == nil || !(*v >= least && *v <= most) {
		o.faultf(key, "%.40s: want a number from %g to %g", raw, least, most)
		return 0
	}
	return *v
}

func (o object) integer(key string, least, most int) int {
	v := o.number(key, float64(least), float64(most))
	if v != math.Trunc(v) {
		o.faultf(key, "%g: want a whole number", v)
		return 0
	}
	return int(v)
}

func (o object) text(key string) string {
	raw := o.raw(key)
	if o.absent() {
		return ""
	}
	if raw == nil {
		o.faultf(key, "missing: want text")
		return ""
	}
	var v string
	if err := json.Unmarshal(raw, &v); err != nil || v == "" {
		o.faultf(key, "%.40s: want text", raw)
		return ""
	}
	return v
}

func (o object) word(key string, allowed ...string) string {
	if o.absent() {
		return ""
	}
	if !o.has(key) {
		o.raw(key)
		o.faultf(key, "missing: want %s", strings.Join(allowed, " or "))
		return ""
	}
	v := o.text(key)
	if v != "" && !slices.Contains(allowed, v) {
		o.faultf(key, "%.40q: want %s", v, strings.Join(allowed, " or "))
		return ""
	}
	return v
}

// numbers is a list of exactly n numbers.
func (o object) numbers(key string, n int, least, most float64) []float64 {
	raw := o.raw(key)
	if o.absent() {
		return make([]float64, n)
	}
	if raw == nil {
		o.faultf(key, "missing: want %d numbers from %g to %g", n, least, most)
		return make([]float64, n)
	}
	var v []float64
	if err := json.Unmarshal(raw, &v); err != nil || len(v) != n ||
		slices.ContainsFunc(v, func(x float64) bool { return !(x >= least && x <= most) }) {
		o.faultf(key, "%.60s: want %d numbers from %g to %g", raw, n, least, most)
		return make([]float64, n)
	}
	return v
}
