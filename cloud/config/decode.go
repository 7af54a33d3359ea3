package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	Line  int    // in the file; 0 when the fault is not at one place
	Path  string // as http.listen
	Value string // as it stands there
	Want  string // what is allowed
}

func (f Fault) String() string {
	s := f.Path + ": "
	if f.Line > 0 {
		s = fmt.Sprintf("line %d: %s", f.Line, s)
	}
	if f.Value != "" {
		s += f.Value + ": "
	}
	return s + "want " + f.Want
}

// Faults is everything that is wrong with a configuration.
type Faults []Fault //nolint:errname // it is a list before it is an error

func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].String()
	}
	return "configuration: " + strings.Join(lines, "; ")
}

func (f Faults) sort() {
	slices.SortFunc(f, func(a, b Fault) int { return strings.Compare(a.Path, b.Path) })
}

// maxBytes bounds a configuration; nothing that people write comes near it.
const maxBytes = 1 << 20

// decode reads YAML into the struct at v and lists every fault.
func decode(b []byte, v any) Faults {
	if len(b) > maxBytes {
		return Faults{{Path: "file", Value: fmt.Sprintf("%d bytes", len(b)), Want: fmt.Sprintf("at most %d", maxBytes)}}
	}
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		var se yaml.Error
		if errors.As(err, &se) && se.GetToken() != nil {
			return Faults{{Line: se.GetToken().Position.Line, Path: "file", Value: se.GetMessage(), Want: "YAML"}}
		}
		return Faults{{Path: "file", Value: err.Error(), Want: "YAML"}}
	}
	var d decoder
	docs := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool { return d.Body == nil || d.Body.Type() == ast.CommentType })
	if len(docs) > 1 {
		d.fault(docs[1].Body, "file", "", "one document")
	}
	if len(docs) > 0 {
		d.value("", docs[0].Body, reflect.ValueOf(v).Elem())
	}
	return d.faults
}

type decoder struct{ faults Faults }

func (d *decoder) fault(n ast.Node, path, value, want string) {
	line := 0
	if t := n.GetToken(); t != nil && t.Position != nil {
		line = t.Position.Line
	}
	d.faults = append(d.faults, Fault{Line: line, Path: strings.TrimPrefix(path, "."), Value: value, Want: want})
}

// value sets v to what the node says. Where it cannot, v keeps its default.
func (d *decoder) value(path string, n ast.Node, v reflect.Value) {
	if n.Type() == ast.NullType {
		return // a section without content
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		if s, ok := d.text(path, n); ok {
			if err := u.UnmarshalText([]byte(s)); err != nil {
				d.fault(n, path, quote(s), err.Error())
			}
		}
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		if s, ok := d.text(path, n); ok {
			got, err := duration(s)
			if err != nil {
				d.fault(n, path, quote(s), "a duration, as 90s, 5m, 12h or 400d")
				return
			}
			*p = got
		}
		return
	default:
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(path, n, v)
	case reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		d.value(path, n, fresh.Elem())
		v.Set(fresh)
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			d.fault(n, path, n.String(), "a list")
			return
		}
		all := reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values))
		for i, e := range list.Values {
			d.value(fmt.Sprintf("%s[%d]", path, i), e, all.Index(i))
		}
		v.Set(all)
	case reflect.String:
		if s, ok := d.text(path, n); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.fault(n, path, n.String(), "true or false")
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(n.String(), "_", ""), 10, 64)
		if n.Type() != ast.IntegerType || err != nil || v.OverflowInt(i) {
			d.fault(n, path, n.String(), "a whole number")
			return
		}
		v.SetInt(i)
	default:
		panic("config: no decoding for " + v.Type().String())
	}
}

// structure sets the fields of a struct and finds keys that it does not have.
func (d *decoder) structure(path string, n ast.Node, v reflect.Value) {
	var entries []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		entries = m.Values
	case *ast.MappingValueNode:
		entries = []*ast.MappingValueNode{m}
	default:
		d.fault(n, cmp.Or(path, "file"), n.String(), "a section of key: value lines")
		return
	}
	fields := map[string]int{}
	var names []string
	for i := range v.NumField() {
		name := v.Type().Field(i).Tag.Get("yaml")
		fields[name] = i
		names = append(names, name)
	}
	for _, e := range entries {
		key := strings.Trim(e.Key.String(), `"'`)
		i, ok := fields[key]
		switch {
		case !ok:
			d.fault(e.Key, path+"."+key, "", "one of "+strings.Join(names, ", "))
		default:
			d.value(path+"."+key, e.Value, v.Field(i))
		}
	}
}

func (d *decoder) text(path string, n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.String(), true
	default:
		d.fault(n, path, n.String(), "text")
		return "", false
	}
}

// duration is time.ParseDuration with whole days.
func duration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(s)
}
