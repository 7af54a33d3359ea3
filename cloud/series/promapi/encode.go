package promapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

func success(d *data) []byte {
	b := append([]byte(`{"status":"success","data":`), d.body...)
	warnings, infos := d.warnings.AsStrings(d.query, 10, 10)
	if len(warnings) > 0 {
		b = appendStrings(append(b, `,"warnings":`...), warnings)
	}
	if len(infos) > 0 {
		b = appendStrings(append(b, `,"infos":`...), infos)
	}
	return append(b, '}')
}

func failure(kind string, err error) []byte {
	b := appendString([]byte(`{"status":"error","errorType":`), kind)
	return append(appendString(append(b, `,"error":`...), err.Error()), '}')
}

// appendValue appends a result as Prometheus writes it.
func appendValue(b []byte, v parser.Value) ([]byte, error) {
	b = appendString(append(b, `{"resultType":`...), string(v.Type()))
	b = append(b, `,"result":`...)
	switch v := v.(type) {
	case promql.Matrix:
		b = append(b, '[')
		for i := range v {
			if len(v[i].Histograms) > 0 {
				return nil, fmt.Errorf("%s is a native histogram: the store has none", v[i].Metric)
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = appendLabels(append(b, `{"metric":`...), v[i].Metric)
			b = append(b, `,"values":[`...)
			for j, p := range v[i].Floats {
				if j > 0 {
					b = append(b, ',')
				}
				b = appendPoint(b, p.T, p.F)
			}
			b = append(b, "]}"...)
		}
		b = append(b, ']')
	case promql.Vector:
		b = append(b, '[')
		for i := range v {
			if v[i].H != nil {
				return nil, fmt.Errorf("%s is a native histogram: the store has none", v[i].Metric)
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = appendLabels(append(b, `{"metric":`...), v[i].Metric)
			b = append(appendPoint(append(b, `,"value":`...), v[i].T, v[i].F), '}')
		}
		b = append(b, ']')
	case promql.Scalar:
		b = appendPoint(b, v.T, v.V)
	case promql.String:
		b = append(appendString(append(appendSeconds(append(b, '['), v.T), ','), v.V), ']')
	default:
		return nil, fmt.Errorf("result of type %T", v)
	}
	return append(b, '}'), nil
}

// appendPoint appends seconds and a number in quotes, because JSON has no NaN.
func appendPoint(b []byte, ms int64, v float64) []byte {
	b = appendSeconds(append(b, '['), ms)
	b = append(b, `,"`...)
	b = strconv.AppendFloat(b, v, 'f', -1, 64)
	return append(b, `"]`...)
}

func appendSeconds(b []byte, ms int64) []byte {
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if ms %= 1000; ms != 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return b
}

func appendLabels(b []byte, l labels.Labels) []byte {
	b = append(b, '{')
	first := true
	l.Range(func(l labels.Label) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendString(append(appendString(b, l.Name), ':'), l.Value)
	})
	return append(b, '}')
}

func appendStrings(b []byte, texts []string) []byte {
	b = append(b, '[')
	for i, s := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendString appends a JSON string. Names and most tag values need no
// escape.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			if err != nil { // a string always has JSON
				return append(b, `""`...)
			}
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func keys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
