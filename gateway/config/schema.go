package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/shedguard/shedguard"
	firmwareconfig "github.com/shedguard/shedguard/firmware-config"
)

// schema is one node of a JSON schema, in the order in which it is written.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	MinLength   int                `json:"minLength,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
	MinItems    int                `json:"minItems,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Closed      *bool              `json:"additionalProperties,omitempty"`
}

// Schema returns the JSON schema (draft 2020-12) of a configuration file. What
// every shipped file gives is not required.
func Schema() []byte {
	d := &decoder{base: firmwareconfig.Files()}
	var behind bases
	if defaults, ok := d.defaults(); ok {
		behind = bases{{{defaults}}}
	}
	root := d.object(reflect.TypeFor[Config](), behind)
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.ID = "https://github.com/shedguard/shedguard/firmware-config/schema/gateway.schema.json"
	root.Title = "shedguard gateway"
	root.Description = "Configuration of one gateway. What is left out comes from the defaults, the outlet's profile and the chip's defaults."
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("config: schema: %v", err))
	}
	return append(b, '\n')
}

// bases are the shipped files that may stand behind a value: of each key that
// names one, the files it can name, and of each file, itself and what stands
// behind it.
type bases [][][]ast.Node

// object describes a struct behind which some bases stand.
func (d *decoder) object(t reflect.Type, behind bases) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}, Closed: new(bool)}
	fields := fieldsOf(t)
	for _, f := range fields {
		if f.base == "" {
			continue
		}
		var files [][]ast.Node
		for _, name := range d.names(f.base) {
			l := layer{&ast.StringNode{Value: name}, true}
			if len(f.enum) > 0 && !slices.Contains(f.enum, name) {
				continue
			}
			if chain, ok := d.based("", f, l); ok {
				files = append(files, chain)
			}
		}
		behind = append(behind, files)
	}
	for _, f := range fields {
		inside, given := behind.under(f.name)
		if f.base != "" && len(f.enum) == 0 {
			f.enum = d.names(f.base)
		}
		s.Properties[f.name] = d.describe(t.FieldByIndex(f.index).Type, f, inside)
		if !f.optional && !given {
			s.Required = append(s.Required, f.name)
		}
	}
	return s
}

// under returns what the bases say of one key, and whether it is given whatever
// file is named.
func (b bases) under(key string) (inside bases, given bool) {
	for _, files := range b {
		var have [][]ast.Node
		for _, chain := range files {
			if values := under(chain, key); len(values) > 0 {
				have = append(have, values)
			}
		}
		if len(have) > 0 {
			inside = append(inside, have)
			given = given || len(have) == len(files)
		}
	}
	return inside, given
}

// under returns what some mappings say of one key.
func under(chain []ast.Node, key string) []ast.Node {
	var values []ast.Node
	for _, n := range chain {
		m, ok := mapping(n)
		if !ok {
			continue
		}
		for _, pair := range m.Values {
			if pair.Key.GetToken().Value == key {
				values = append(values, pair.Value)
			}
		}
	}
	return values
}

// describe describes one value.
func (d *decoder) describe(t reflect.Type, f field, behind bases) *schema {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var s *schema
	switch {
	case t == reflect.TypeFor[time.Duration]():
		s = &schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`}
	case t == reflect.TypeFor[shedguard.Severity]():
		s = &schema{Type: "string"}
		for _, word := range severities() {
			s.Enum = append(s.Enum, word)
		}
	case t.Kind() == reflect.Struct:
		s = d.object(t, behind)
	case t.Kind() == reflect.Slice:
		s = &schema{Type: "array", MinItems: f.least, Items: d.describe(t.Elem(), field{}, nil)}
	case t.Kind() == reflect.Bool:
		s = &schema{Type: "boolean"}
	case t.Kind() == reflect.Int:
		s = &schema{Type: "integer"}
	case t.Kind() == reflect.Float64:
		s = &schema{Type: "number"}
	default:
		s = &schema{Type: "string", MinLength: 1, Pattern: kinds()[f.kind].pattern}
	}
	s.Description = f.doc
	if f.ranged {
		if s.Type == "string" {
			s.Description += fmt.Sprintf(" %s to %s.", f.minText, f.maxText)
		} else {
			s.Minimum, s.Maximum = &f.min, &f.max
		}
	}
	if s.Type == "string" && slices.ContainsFunc(f.enum, isNumber) {
		s.Type, s.MinLength = "", 0 // letters and numbers
	}
	for _, word := range f.enum {
		if isNumber(word) {
			s.Enum = append(s.Enum, json.Number(word))
		} else {
			s.Enum = append(s.Enum, word)
		}
	}
	return s
}
