package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	firmwareconfig "github.com/shedguard/shedguard/firmware-config"
)

// Change is one value that tuning has changed.
type Change struct {
	Path string `json:"path"` // as limits.overpower.delay
	From string `json:"from"`
	To   string `json:"to"`
}

// fixed lists the keys of an outlet that say how it is built, and so are none
// that can be tuned.
func fixed() []string { return []string{"number", "zone", "start", "meter", "thermometer", "relay"} }

// Tune returns a copy of the outlet with the values that b gives, and what they
// change. b is YAML with any of the keys that a profile has, and may name another
// profile to stand behind them; what it does not say stays. It is read as
// strictly as a configuration, and the error is a [Faults].
func (o *Outlet) Tune(b []byte) (*Outlet, []Change, error) {
	tuned := *o
	root, fault := parse(b)
	if fault != nil {
		return nil, nil, Faults{fault}
	}
	d := &decoder{base: firmwareconfig.Files(), keep: true}
	rest := *root
	rest.Values = nil
	for _, pair := range root.Values {
		if key := pair.Key.GetToken().Value; slices.Contains(fixed(), key) {
			d.fault(layer{pair.Key, false}, key, found(pair.Value), "left out: only rules are tuned, not how the outlet is built")
			continue
		}
		rest.Values = append(rest.Values, pair)
	}
	d.structure("", reflect.ValueOf(&tuned).Elem(), []layer{{node: &rest}})
	k := &checker{lines: &index{root: root}}
	for _, f := range d.faults { // under the path that the check gives the outlet
		k.found = append(k.found, &Fault{Path: "." + f.Path})
	}
	k.rules("", &tuned)
	for _, f := range k.faults {
		f.Path = strings.TrimPrefix(f.Path, ".")
		d.faults = append(d.faults, f)
	}
	if err := d.faults.err(); err != nil {
		return nil, nil, err
	}
	return &tuned, changes("", reflect.ValueOf(o).Elem(), reflect.ValueOf(&tuned).Elem()), nil
}

// LoadTuning is [Outlet.Tune] with the file at path.
func (o *Outlet) LoadTuning(path string) (*Outlet, []Change, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read tuning: %w", err)
	}
	if info.Size() > maxBytes {
		return nil, nil, Faults{{Value: fmt.Sprintf("%d bytes", info.Size()), Want: fmt.Sprintf("at most %d", maxBytes)}}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read tuning: %w", err)
	}
	return o.Tune(b)
}

// changes lists the values in which two of a type differ, in their order.
func changes(path string, from, to reflect.Value) []Change {
	if from.Kind() != reflect.Struct {
		if reflect.DeepEqual(from.Interface(), to.Interface()) {
			return nil
		}
		return []Change{{Path: path, From: fmt.Sprint(from.Interface()), To: fmt.Sprint(to.Interface())}}
	}
	var list []Change
	for _, f := range fieldsOf(from.Type()) {
		list = append(list, changes(join(path, f.name), from.FieldByIndex(f.index), to.FieldByIndex(f.index))...)
	}
	return list
}
