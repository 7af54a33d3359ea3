package influx

import (
	"strconv"
	"strings"
	"testing"
)

// unquoteFlux reads a string literal by the rules of the Flux specification.
func unquoteFlux(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"' || s[i] == '\n' || strings.HasPrefix(s[i:], "${"):
			return "", false
		case s[i] != '\\':
			b.WriteByte(s[i])
		case i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			b.WriteByte(s[i+1])
			i++
		case i+3 < len(s) && s[i+1] == 'x':
			n, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
			if err != nil {
				return "", false
			}
			b.WriteByte(byte(n))
			i += 3
		default:
			return "", false
		}
	}
	return b.String(), true
}

func FuzzFluxString(f *testing.F) {
	for _, s := range []string{"", "a", `"`, `\`, "${x}", "$", "\n\x00\xff", "中文", `") |> drop()`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := unquoteFlux(fluxString(s)); !ok || got != s {
			t.Errorf("%q became %s, read as %q %v", s, fluxString(s), got, ok)
		}
	})
}

func FuzzHalve(f *testing.F) {
	f.Add([]byte("a\nb\nc\n"))
	f.Add([]byte("a\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, lines []byte) {
		first, second, ok := halve(lines)
		if string(first)+string(second) != string(lines) {
			t.Errorf("%q became %q and %q", lines, first, second)
		}
		if ok && (len(first) == 0 || len(second) == 0 || first[len(first)-1] != '\n') {
			t.Errorf("%q became %q and %q: want whole lines on both sides", lines, first, second)
		}
	})
}
