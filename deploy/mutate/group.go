package main

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"strings"
)

// switchName is the variable that says which mutant a group is to be, and
// pickName the function that chooses a value by it.
const (
	switchName = "mutantInForce"
	pickName   = "mutantPick"
)

// switchFile is what a group needs beside the package's own files.
const switchFile = `package %s

import (
	"os"
	"strconv"
)

var ` + switchName + ` = func() int { n, _ := strconv.Atoi(os.Getenv("MUTANT")); return n }()

func ` + pickName + `[T any](other bool, a, b T) T {
	if other {
		return a
	}
	return b
}
`

// group is many mutants in one build: each stands beside the original, and a
// variable says which one is in force. It saves a build for each of them.
type group struct {
	p       *pkg
	numbers map[*mutant]int // from 1; 0 is the original
	files   map[string][]byte
}

// region is where the mutants of one place stand in a changed file.
type region struct {
	start, end int
	mutants    []*mutant
}

// newGroup puts as many mutants as can be into one build. What does not build
// there is left out, and is tried by itself.
func newGroup(p *pkg, mutants []*mutant) (*group, error) {
	g := &group{p: p, numbers: map[*mutant]int{}}
	for _, m := range mutants {
		if m.form != formOther {
			g.numbers[m] = len(g.numbers) + 1
		}
	}
	for range 100 {
		bad, err := g.render()
		if err != nil {
			return nil, err
		}
		if len(bad) == 0 {
			return g, nil
		}
		for _, m := range bad {
			delete(g.numbers, m)
		}
	}
	return nil, errors.New("does not build, whatever is left out")
}

// render writes the files and reports the mutants that keep them from building.
func (g *group) render() ([]*mutant, error) {
	g.files = map[string][]byte{}
	regions := map[string][]region{}
	fset := token.NewFileSet()
	var files []*ast.File
	add := func(path string, src []byte) error {
		file, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("what was made of %s: %w", path, err)
		}
		files = append(files, file)
		g.files[path] = src
		return nil
	}
	for _, name := range g.p.GoFiles {
		path := filepath.Join(g.p.Dir, name)
		w := &writer{g: g, src: g.p.files[path], places: g.places(path)}
		w.copy(0, len(w.src))
		regions[path] = w.regions
		if err := add(path, []byte(w.out.String())); err != nil {
			return nil, err
		}
	}
	if err := add(filepath.Join(g.p.Dir, "mutant_switch.go"), fmt.Appendf(nil, switchFile, files[0].Name.Name)); err != nil {
		return nil, err
	}
	var bad []*mutant
	var unexplained error
	conf := types.Config{Importer: g.p.imports(fset), Error: func(err error) {
		var fault types.Error
		if !errors.As(err, &fault) {
			unexplained = err
			return
		}
		at := fset.Position(fault.Pos)
		found := innermost(regions[at.Filename], at.Offset)
		if found == nil {
			unexplained = err
		}
		bad = append(bad, found...)
	}}
	_, _ = conf.Check(g.p.ImportPath, fset, files, nil) // told to Error
	if len(bad) == 0 && unexplained != nil {
		return nil, unexplained
	}
	return bad, nil
}

func innermost(regions []region, at int) []*mutant {
	var found []*mutant
	size := 0
	for _, r := range regions {
		if r.start <= at && at < r.end && (found == nil || r.end-r.start < size) {
			found, size = r.mutants, r.end-r.start
		}
	}
	return found
}

// places are the mutants of a file by what they replace, outer ones first.
func (g *group) places(path string) [][]*mutant {
	var list []*mutant
	for m := range g.numbers {
		if m.file == path {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *mutant) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end), cmp.Compare(b.form, a.form), cmp.Compare(g.numbers[a], g.numbers[b]))
	})
	var places [][]*mutant
	for _, m := range list {
		if n := len(places); n > 0 && places[n-1][0].start == m.start && places[n-1][0].end == m.end && places[n-1][0].form == m.form {
			places[n-1] = append(places[n-1], m)
			continue
		}
		places = append(places, []*mutant{m})
	}
	return places
}

// writer writes a file with the mutants beside what they replace.
type writer struct {
	g       *group
	src     []byte
	places  [][]*mutant // that are still to come
	out     strings.Builder
	regions []region
}

// copy writes the source from one byte to another.
func (w *writer) copy(from, to int) {
	for len(w.places) > 0 && w.places[0][0].start < to {
		place := w.places[0]
		w.places = w.places[1:]
		m := place[0]
		w.out.Write(w.src[from:m.start])
		start := w.out.Len()
		w.place(place)
		w.regions = append(w.regions, region{start, w.out.Len(), place})
		from = m.end
	}
	w.out.Write(w.src[from:to])
}

// place writes one place: the mutants, or what stood there.
func (w *writer) place(place []*mutant) {
	m := place[0]
	inner := func() { w.copy(m.start, m.end) }
	switch m.form {
	case formStatement:
		for _, m := range place {
			fmt.Fprintf(&w.out, "if %s == %d { %s } else ", switchName, w.g.numbers[m], m.with)
		}
		w.out.WriteString("{ ")
		inner()
		w.out.WriteString(" }")
	case formCondition:
		w.out.WriteString("(")
		for _, m := range place {
			fmt.Fprintf(&w.out, "%s == %d && (%s) || ", switchName, w.g.numbers[m], m.with)
		}
		for _, m := range place {
			fmt.Fprintf(&w.out, "%s != %d && ", switchName, w.g.numbers[m])
		}
		w.out.WriteString("(")
		inner()
		w.out.WriteString("))")
	default:
		for _, m := range place {
			fmt.Fprintf(&w.out, "%s[%s](%s == %d, %s, ", pickName, m.typ, switchName, w.g.numbers[m], m.with)
		}
		inner()
		w.out.WriteString(strings.Repeat(")", len(place)))
	}
}
