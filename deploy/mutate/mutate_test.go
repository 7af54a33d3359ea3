package main

import (
	"bytes"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// named lists the mutants of a source text.
func named(t *testing.T, fset *token.FileSet, imports types.Importer, src string) []mutant {
	t.Helper()
	file, err := parser.ParseFile(fset, "rule.go", src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	info := newInfo()
	conf := types.Config{Importer: imports}
	pkg, err := conf.Check("rule", fset, []*ast.File{file}, info)
	if err != nil {
		t.Fatal(err)
	}
	return mutants(fset, info, pkg, file, []byte(src))
}

func TestWaysToBreak(t *testing.T) {
	tests := map[string]struct {
		body string
		want []string
	}{
		"comparison": {"return x < 1", []string{"boundary: x < 1 -> x <= 1", "direction: x < 1 -> x > 1"}},
		"comparison by call": {"return at.After(now)", []string{
			"boundary: at.After(now) -> !at.Before(now)", "direction: at.After(now) -> at.Before(now)",
		}},
		"equality": {"return x != 0", []string{"direction: x != 0 -> x == 0"}},
		"parts":    {"return a && !b", []string{"part: a && !b -> a", "part: a && !b -> !b", "part: !b -> b"}},
		"branch":   {"if a {\nreturn b\n}\nreturn a", []string{"never: a -> (a) && false"}},
		"switch":   {"switch {\ncase a:\nreturn b\n}\nreturn a", []string{"never: a -> (a) && false"}},
		"latch":    {"s.trip = a\nreturn b", []string{"drop: s.trip = a -> _ = a"}},
		"call":     {"s.open(x)\nreturn b", []string{"drop: s.open(x) -> _, _ = x, s"}},
		"count":    {"s.n++\nreturn b", []string{"drop: s.n++ ->"}},
		"limit":    {"return b == (x == s.high)", []string{"direction: b == (x == s.high) -> b != (x == s.high)", "direction: x == s.high -> x != s.high", "limit: s.high -> s.low"}},
		"delay":    {"return s.wait == 0", []string{"direction: s.wait == 0 -> s.wait != 0", "delay: s.wait -> (s.wait * 0)"}},
		"constant": {"return s.kind == Minor", []string{"direction: s.kind == Minor -> s.kind != Minor", "constant: Minor -> Major"}},
		"truth":    {"s.trip = true\nreturn b", []string{"drop: s.trip = true -> _ = true", "constant: true -> false"}},
		"sign":     {"return x == -1", []string{"direction: x == -1 -> x != -1", "sign: -1 -> 1"}},
		"twice":    {"return x == 0 || x == 0", []string{"part: x == 0 || x == 0 -> x == 0", "part: x == 0 || x == 0 -> x == 0 #2", "direction: x == 0 -> x != 0", "direction: x == 0 -> x != 0 #2"}},
		"bounds":   {"return max(x, 1) == x", []string{"direction: max(x, 1) == x -> max(x, 1) != x", "boundary: max(x, 1) -> min(x, 1)"}},
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "source", nil)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			src := `package rule
import "time"
type Kind string
const (
	Major Kind = "major"
	Minor Kind = "minor"
)
type state struct { low, high float64; wait time.Duration; n int; trip bool; kind Kind }
func (s *state) open(float64) {}
func (s *state) next(x float64, a, b bool, at, now time.Time) bool {
` + tt.body + "\n}\n"
			var got []string
			for _, m := range named(t, fset, imports, src) {
				got = append(got, strings.TrimPrefix(m.name(), "state.next: "))
				if text := src[:m.start] + m.with + src[m.end:]; text == src {
					t.Errorf("%s changes nothing", m.name())
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMutate breaks a small module whose tests notice all but one thing.
func TestMutate(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs tests")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.org/shed\n\ngo 1.26\n",
		"rule.go": "package shed\n\n// Over says whether the limit is exceeded.\nfunc Over(amps, limit float64) bool { return amps > limit }\n",
		"rule_test.go": `package shed

import "testing"

func TestOver(t *testing.T) {
	if Over(1, 2) || !Over(3, 2) {
		t.Error("wrong")
	}
}
`,
		"same.txt":  "# reasons\n\n. Over: boundary: amps > limit -> amps >= limit ## nobody asked\n",
		"stale.txt": ". Over: boundary: amps > limit -> amps >= limit ## nobody asked\n. Over: gone ## was never there\n",
		"bad.txt":   "Over: boundary\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	tests := map[string]struct {
		equivalent string
		want       []string
		err        string // empty: none
	}{
		"survivor": {"", []string{
			"survived . Over: boundary: amps > limit -> amps >= limit (line 4)", "killed . Over: direction: amps > limit -> amps < limit (line 4)",
		}, "no test notices: . Over: boundary"},
		"equivalent": {"same.txt", []string{
			"survived . Over: boundary: amps > limit -> amps >= limit (line 4) (equivalent: nobody asked)",
			"killed . Over: direction: amps > limit -> amps < limit (line 4)",
		}, ""},
		"entry without a use": {"stale.txt", nil, "stale.txt: line 2:"},
		"entry without why":   {"bad.txt", nil, "want a mutant's name, ##, and the reason"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := (&cli{Packages: []string{"."}, Equivalent: tt.equivalent, Every: 1}).run(t.Context(), &out)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%v, want %q", err, tt.err)
			}
			lines := slices.Collect(strings.Lines(out.String()))
			for i, want := range tt.want {
				if i >= len(lines) || strings.TrimSpace(lines[i]) != want {
					t.Fatalf("%s\nwant %q", out.String(), tt.want)
				}
			}
		})
	}
	t.Run("again", func(t *testing.T) {
		former := "killed . Over: direction: amps > limit -> amps < limit (line 4)\nsurvived . Over: boundary: amps > limit -> amps >= limit (line 9)\n"
		if err := os.WriteFile(filepath.Join(dir, "former.txt"), []byte(former), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		err := (&cli{Packages: []string{"."}, Again: "former.txt", Every: 1}).run(t.Context(), &out)
		if err == nil || strings.Contains(out.String(), "direction:") || !strings.Contains(out.String(), "survived . Over: boundary:") {
			t.Errorf("%v: %s", err, out.String())
		}
	})
	if left, err := filepath.Glob(filepath.Join(dir, "*.go")); err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
