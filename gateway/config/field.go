package config

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shedguard/shedguard"
)

// field is what the struct tags of a field say:
//
//	yaml      key; with omitempty it may be left out
//	doc       description
//	min, max  range of a number or a duration
//	enum      the allowed values
//	kind      a form of text, see kinds
//	base      folder of the shipped file that the value names
//	least     fewest entries of a list
type field struct {
	name, doc, kind, base string
	optional              bool
	ranged                bool
	min, max              float64
	minText, maxText      string
	enum                  []string
	least                 int
	index                 []int
}

// fieldsOf lists the fields of a struct, those of embedded ones in their place.
// A tag that cannot be read is a mistake in this package.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		if sf.Anonymous {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				fields = append(fields, f)
			}
			continue
		}
		name, optional, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		f := field{
			name:     name,
			doc:      sf.Tag.Get("doc"),
			kind:     sf.Tag.Get("kind"),
			base:     sf.Tag.Get("base"),
			optional: optional == "omitempty",
			minText:  sf.Tag.Get("min"),
			maxText:  sf.Tag.Get("max"),
			index:    []int{i},
		}
		if enum := sf.Tag.Get("enum"); enum != "" {
			f.enum = strings.Split(enum, ",")
		}
		if f.minText != "" {
			f.ranged, f.min, f.max = true, bound(f.minText), bound(f.maxText)
		}
		if least := sf.Tag.Get("least"); least != "" {
			f.least = int(bound(least))
		}
		fields = append(fields, f)
	}
	return fields
}

func bound(s string) float64 {
	if d, err := time.ParseDuration(s); err == nil {
		return float64(d)
	}
	if i, err := strconv.ParseInt(s, 0, 32); err == nil {
		return float64(i)
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(fmt.Sprintf("config: bound %q of a struct tag: %v", s, err))
	}
	return x
}

func (f field) within(x float64) bool { return !f.ranged || x >= f.min && x <= f.max }

// want says what is allowed.
func (f field) want(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if len(f.enum) > 0 {
		return "one of " + strings.Join(f.enum, ", ")
	}
	if k, ok := kinds()[f.kind]; ok {
		return k.want
	}
	between := ""
	if f.ranged {
		between = ", " + f.minText + " to " + f.maxText
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration with its unit" + between
	case t == reflect.TypeFor[shedguard.Severity]():
		return "one of " + strings.Join(severities(), ", ")
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number" + between
	case t.Kind() == reflect.Float64:
		return "a number" + between
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Struct:
		return "keys and values"
	default:
		return "text"
	}
}

// severities are those that a rule may raise.
func severities() []string {
	var words []string
	for _, s := range shedguard.Severities() {
		if s != shedguard.SeverityCleared {
			words = append(words, s.String())
		}
	}
	return words
}

// kind is a form that text must have.
type kind struct {
	want    string
	valid   func(string) bool
	pattern string // for the schema; no stricter than valid
}

func kinds() map[string]kind {
	const identifier = "^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
	return map[string]kind{
		"shed":   {"1 to 63 of A-Z a-z 0-9 _ -, a letter or digit first", shedguard.ValidShedID, identifier},
		"name":   {"a name: 1 to 63 of A-Z a-z 0-9 _ -, a letter or digit first", shedguard.ValidShedID, identifier},
		"file":   {"a path", func(s string) bool { return !strings.ContainsRune(s, 0) && filepath.Clean(s) != "." }, ""},
		"broker": {"mqtts://host:port or mqtt://host:port, without user, password and path", validBroker, "^mqtts?://[^/@]+:[0-9]+$"},
		"listen": {"an IP address and a port, as 127.0.0.1:9108", validListen, ":[0-9]+$"},
		"camera": {"rtsp:// or http:// without user and password, /dev/videoN or the path of a file", validCamera, ""},
		"gpio":   {"the name of a GPIO line, as GPIO17", shedguard.ValidShedID, identifier},
	}
}

func validBroker(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	port, err := strconv.Atoi(u.Port())
	return err == nil && port >= 1 && port <= 65535 && u.Hostname() != "" && slices.Contains([]string{"mqtt", "mqtts"}, u.Scheme)
}

func validListen(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || net.ParseIP(host) == nil {
		return false
	}
	p, err := strconv.Atoi(port)
	return err == nil && p >= 0 && p <= 65535
}

// suggest names the known key that an unknown one is nearest to.
func suggest(key string, known []string) string {
	best, most := "", max(2, len(key)/3)
	for _, k := range known {
		if n := distance(key, k); n <= most {
			best, most = k, n-1
		}
	}
	if best != "" {
		return "perhaps " + best
	}
	return "one of " + strings.Join(known, ", ")
}

// distance is the number of single-byte changes between a and b (Levenshtein).
func distance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
