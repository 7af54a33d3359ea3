package config

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/shedguard/shedguard"
)

// Bounds of what is parsed at all.
const (
	maxBytes = 256 << 10
	maxDepth = 32
)

// parse turns bytes into one mapping. The parser is a guest: what it may panic
// about becomes a fault.
func parse(b []byte) (m *ast.MappingNode, fault *Fault) {
	if len(b) > maxBytes {
		return nil, &Fault{Value: fmt.Sprintf("%d bytes", len(b)), Want: fmt.Sprintf("at most %d", maxBytes)}
	}
	defer func() {
		if r := recover(); r != nil {
			m, fault = nil, &Fault{Value: show(fmt.Sprint(r)), Want: "a YAML file"}
		}
	}()
	tokens := lexer.Tokenize(string(b))
	if line := tooDeep(tokens); line > 0 {
		return nil, &Fault{Value: "nested too deeply", Want: fmt.Sprintf("at most %d levels", maxDepth), Line: line}
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxFault(err)
	}
	docs := slices.DeleteFunc(slices.Clone(file.Docs), func(d *ast.DocumentNode) bool { return d.Body == nil })
	switch {
	case len(docs) == 0:
		return nil, &Fault{Value: "empty file", Want: "a configuration"}
	case len(docs) > 1:
		return nil, &Fault{Value: "several documents", Want: "one", Line: line(docs[1].Body)}
	}
	m, ok := mapping(docs[0].Body)
	if !ok {
		return nil, &Fault{Value: kindOf(docs[0].Body), Want: "keys and values", Line: line(docs[0].Body)}
	}
	return m, nil
}

// tooDeep returns the line on which the nesting gets deeper than a recursive
// parser should be asked to follow, or 0.
func tooDeep(tokens token.Tokens) int {
	flow, row, inRow := 0, 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			if t.Position.Line != row {
				row, inRow = t.Position.Line, 0
			}
			if flow == 0 {
				inRow++
			}
		default: // adds no depth
		}
		if flow > maxDepth || inRow > maxDepth {
			return t.Position.Line
		}
	}
	return 0
}

func syntaxFault(err error) *Fault {
	f := &Fault{Value: show(err.Error()), Want: "a YAML file"}
	var pos interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if errors.As(err, &pos) {
		f.Value = show(pos.GetMessage())
		if t := pos.GetToken(); t != nil && t.Position != nil {
			f.Line = t.Position.Line
		}
	}
	return f
}

// mapping returns n as a mapping; a file with one key parses as its only pair.
func mapping(n ast.Node) (*ast.MappingNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n, true
	case *ast.MappingValueNode:
		return &ast.MappingNode{BaseNode: &ast.BaseNode{}, Start: n.Start, Values: []*ast.MappingValueNode{n}}, true
	default:
		return nil, false
	}
}

func line(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}

// decoder fills Go values from trees and collects faults. A value is described
// by several trees in order of precedence: what the user wrote comes first, the
// shipped files stand behind it.
type decoder struct {
	base    fs.FS // the folders that a base tag names
	keep    bool  // what no layer says stays as it is, and is no fault
	faults  Faults
	partial int // structures being decoded one of whose layers is unreadable
}

// layer is one of the trees. Faults of a shipped file carry no line, since it
// would be taken for one of the user's file.
type layer struct {
	node    ast.Node
	shipped bool
}

func (l layer) line() int {
	if l.shipped {
		return 0
	}
	return line(l.node)
}

func (d *decoder) fault(l layer, path, value, want string) {
	d.faults = append(d.faults, &Fault{Path: path, Value: value, Want: want, Line: l.line()})
}

// value decodes the layers of one value into v. It is only called with at least
// one layer.
func (d *decoder) value(path string, v reflect.Value, f field, layers []layer) {
	top := layers[0]
	switch n := top.node.(type) {
	case *ast.NullNode:
		d.fault(top, path, "null", f.want(v.Type()))
		return
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.fault(top, path, kindOf(n), "a plain value; anchors, aliases and tags are not allowed")
		return
	}
	switch {
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, v.Elem(), f, layers)
	case v.Kind() == reflect.Struct:
		d.structure(path, v, layers)
	case v.Kind() == reflect.Slice:
		d.slice(path, v, f, top)
	default:
		if fault := scalar(v, f, top.node); fault != nil {
			d.fault(top, path, fault.Value, fault.Want)
		}
	}
}

func (d *decoder) slice(path string, v reflect.Value, f field, top layer) {
	seq, ok := top.node.(*ast.SequenceNode)
	if !ok {
		d.fault(top, path, found(top.node), "a list")
		return
	}
	if len(seq.Values) < f.least {
		d.fault(top, path, "empty list", fmt.Sprintf("at least %d entry", f.least))
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, n := range seq.Values {
		d.value(fmt.Sprintf("%s[%d]", path, i), v.Index(i), field{}, []layer{{n, top.shipped}})
	}
}

// structure decodes mappings into a struct, key by key.
func (d *decoder) structure(path string, v reflect.Value, layers []layer) {
	fields := fieldsOf(v.Type())
	values := map[string][]layer{}
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.name
	}
	partial := false // a layer is unreadable: do not list all that is missing for it
	collect := func(l layer) {
		m, ok := mapping(l.node)
		if !ok {
			d.fault(l, path, found(l.node), "keys and values")
			partial = true
			return
		}
		seen := map[string]bool{}
		for _, pair := range m.Values {
			at := layer{pair.Key, l.shipped}
			key := pair.Key.GetToken().Value
			switch {
			case pair.Key.Type() == ast.MergeKeyType || pair.Key.Type() == ast.AnchorType || pair.Key.Type() == ast.AliasType:
				d.fault(at, join(path, key), kindOf(pair.Key), "a plain key")
			case !slices.Contains(known, key):
				d.fault(at, join(path, show(key)), "unknown key", suggest(key, known))
			case seen[key]:
				d.fault(at, join(path, key), "given twice", "one value")
			default:
				values[key] = append(values[key], layer{pair.Value, l.shipped})
			}
			seen[key] = true
		}
	}
	for _, l := range layers {
		collect(l)
	}
	// Only after all layers above: the file that a key names stands behind them.
	for _, f := range fields {
		if l := values[f.name]; f.base != "" && len(l) > 0 {
			chain, ok := d.based(join(path, f.name), f, l[0])
			for _, n := range chain {
				collect(layer{n, true})
			}
			partial = partial || !ok
		}
	}
	if partial {
		d.partial++
		defer func() { d.partial-- }()
	}
	for _, f := range fields {
		switch l := values[f.name]; {
		case len(l) > 0:
			d.value(join(path, f.name), v.FieldByIndex(f.index), f, l)
		case !f.optional && d.partial == 0 && !d.keep:
			at := layer{nil, true}
			if len(layers) > 0 {
				at = layers[0]
			}
			if path == "" {
				at.shipped = true // the first line of the file says nothing
			}
			d.fault(at, join(path, f.name), "", f.want(v.FieldByIndex(f.index).Type()))
		}
	}
}

// based returns the mappings of the shipped file that l names and of those that
// stand behind it, the nearest first.
func (d *decoder) based(path string, f field, l layer) ([]ast.Node, bool) {
	text, ok := l.node.(*ast.StringNode)
	if !ok {
		if len(f.enum) == 0 {
			d.fault(l, path, found(l.node), "one of "+strings.Join(d.names(f.base), ", "))
		}
		return nil, false // a fault of the field itself
	}
	allowed := f.enum
	if len(allowed) == 0 {
		allowed = d.names(f.base)
	}
	if !slices.Contains(allowed, text.Value) {
		if len(f.enum) == 0 {
			d.fault(l, path, show(text.Value), "one of "+strings.Join(allowed, ", "))
		}
		return nil, false
	}
	var chain []ast.Node
	for name := text.Value; name != ""; {
		file := f.base + "/" + name + ".yaml"
		if len(chain) == maxBases {
			d.fault(l, path, show(text.Value), fmt.Sprintf("at most %d files behind each other", maxBases))
			return chain, false
		}
		b, err := fs.ReadFile(d.base, file)
		if err != nil {
			d.fault(l, path, show(text.Value), "a readable "+file)
			return chain, false
		}
		m, fault := parse(b)
		if fault != nil {
			d.fault(l, path, file+": "+fault.Value, fault.Want)
			return chain, false
		}
		name = takeBase(m)
		chain = append(chain, m)
	}
	return chain, true
}

// maxBases bounds how many shipped files stand behind each other.
const maxBases = 4

// takeBase takes the key out of a shipped file that names the file of the same
// folder behind it; empty when it stands for itself.
func takeBase(m *ast.MappingNode) (name string) {
	m.Values = slices.DeleteFunc(m.Values, func(pair *ast.MappingValueNode) bool {
		if pair.Key.GetToken().Value != "base" {
			return false
		}
		name, _ = stringOf(pair.Value)
		return true
	})
	return name
}

// names lists the files of a folder without their ending.
func (d *decoder) names(folder string) []string {
	entries, err := fs.ReadDir(d.base, folder)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".yaml"); ok {
			names = append(names, name)
		}
	}
	return names
}

// scalar decodes one plain value.
func scalar(v reflect.Value, f field, n ast.Node) *Fault {
	no := &Fault{Value: found(n), Want: f.want(v.Type())}
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		text, ok := n.(*ast.StringNode)
		if !ok {
			return no
		}
		t, err := time.ParseDuration(text.Value)
		if err != nil || !f.within(float64(t)) {
			return no
		}
		v.SetInt(int64(t))
	case v.Type() == reflect.TypeFor[shedguard.Severity]():
		text, ok := n.(*ast.StringNode)
		if !ok || !slices.Contains(severities(), text.Value) {
			return no
		}
		var s shedguard.Severity
		if err := s.UnmarshalText([]byte(text.Value)); err != nil {
			return no
		}
		v.Set(reflect.ValueOf(s))
	case v.Kind() == reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			return no
		}
		v.SetBool(b.Value)
	case v.Kind() == reflect.Int:
		i, ok := integer(n)
		if !ok || !f.within(float64(i)) || len(f.enum) > 0 && !slices.Contains(f.enum, strconv.FormatInt(i, 10)) {
			return no
		}
		v.SetInt(i)
	case v.Kind() == reflect.Float64:
		x, ok := number(n)
		if !ok || !f.within(x) {
			return no
		}
		v.SetFloat(x)
	case v.Kind() == reflect.String:
		text, ok := word(n, f)
		if !ok || text == "" || len(f.enum) > 0 && !slices.Contains(f.enum, text) {
			return no
		}
		if k, known := kinds()[f.kind]; known && !k.valid(text) {
			return no
		}
		v.SetString(text)
	default:
		panic(fmt.Sprintf("config: no decoding for a %s", v.Type()))
	}
	return nil
}

func integer(n ast.Node) (int64, bool) {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch x := i.Value.(type) {
	case int64:
		return x, true
	case uint64:
		return int64(min(x, math.MaxInt32)), true
	default:
		return 0, false
	}
}

func number(n ast.Node) (float64, bool) {
	if f, ok := n.(*ast.FloatNode); ok {
		return f.Value, !math.IsNaN(f.Value) && !math.IsInf(f.Value, 0)
	}
	i, ok := integer(n)
	return float64(i), ok
}

// word returns a text; a number is one where the field lists it as a value, and
// must then be written as a number.
func word(n ast.Node, f field) (string, bool) {
	text, ok := stringOf(n)
	if i, whole := integer(n); whole && len(f.enum) > 0 {
		return strconv.FormatInt(i, 10), true
	}
	return text, ok && (len(f.enum) == 0 || !isNumber(text))
}

func isNumber(word string) bool {
	_, err := strconv.Atoi(word)
	return err == nil
}

func stringOf(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	default:
		return "", false
	}
}

// found shows the value that stands in the file.
func found(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode, *ast.NullNode:
		return kindOf(n)
	case *ast.StringNode:
		return show(n.Value)
	case *ast.LiteralNode:
		return show(n.Value.Value)
	default:
		return show(n.GetToken().Value)
	}
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.AnchorNode:
		return "an anchor"
	case *ast.AliasNode:
		return "an alias"
	case *ast.MergeKeyNode:
		return "a merge key"
	case *ast.TagNode:
		return "a tag"
	default:
		return "a plain value"
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
