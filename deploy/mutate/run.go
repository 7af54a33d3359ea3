package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A mutant that hangs is ended after so many times what the tests take without
// one, and not before so long.
const (
	patience      = 10
	leastPatience = 10 * time.Second
)

// listed is what the go command says of a package.
type listed struct {
	Dir, ImportPath, Export   string
	GoFiles                   []string
	TestImports, XTestImports []string
	DepOnly, Standard         bool
	Module                    *struct{ Path string }
}

// pkg is a package whose rules are broken.
type pkg struct {
	listed
	name    string // as people say it: its path in the module
	mutants []mutant
	files   map[string][]byte
	exports map[string]string // what is imported, by path
	rapid   bool              // its tests draw at random
}

// load reads packages with their types and finds their mutants.
func load(ctx context.Context, dir string, patterns []string) ([]*pkg, error) {
	args := append([]string{"list", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles,TestImports,XTestImports,DepOnly,Standard,Module", "os", "strconv"}, patterns...) // os and strconv for the switch of a group
	out, err := command(ctx, dir, args...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return nil, fmt.Errorf("go list: %w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list: %w", err)
	}
	exports := map[string]string{}
	var pkgs []*pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var l listed
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		exports[l.ImportPath] = l.Export
		if !l.DepOnly && !l.Standard {
			p := &pkg{listed: l, name: l.ImportPath, files: map[string][]byte{}, exports: exports}
			if l.Module != nil {
				p.name = cmp.Or(strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, l.Module.Path), "/"), ".")
			}
			p.rapid = slices.Contains(append(l.TestImports, l.XTestImports...), "pgregory.net/rapid")
			pkgs = append(pkgs, p)
		}
	}
	for _, p := range pkgs {
		if err := p.find(); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return pkgs, nil
}

// find type-checks the package and finds its mutants.
func (p *pkg) find() error {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		path := filepath.Join(p.Dir, name)
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		p.files[path] = src
		files = append(files, file)
	}
	info := newInfo()
	conf := types.Config{Importer: p.imports(fset)}
	checked, err := conf.Check(p.ImportPath, fset, files, info)
	if err != nil {
		return err
	}
	for _, file := range files {
		path := fset.Position(file.Pos()).Filename
		p.mutants = append(p.mutants, mutants(fset, info, checked, file, p.files[path])...)
	}
	return nil
}

func newInfo() *types.Info {
	return &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
	}
}

// imports reads what the compiler wrote of the packages that are imported.
func (p *pkg) imports(fset *token.FileSet) types.Importer {
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(p.exports[path]) })
}

// fate is what became of a mutant.
type fate string

const (
	killed   fate = "killed"
	survived fate = "survived"
	unbuilt  fate = "does not build"
)

// bench runs the tests of a package against its mutants. dir is for its files.
type bench struct {
	p      *pkg
	dir    string
	group  *group
	binary string        // the tests, with the whole group
	most   time.Duration // that a mutant may take
}

// prepare builds the tests with as many mutants as can be in one build, once the
// tests pass without any.
func prepare(ctx context.Context, p *pkg, list []*mutant, dir string) (*bench, error) {
	b := &bench{p: p, dir: dir, binary: filepath.Join(dir, "group.test"), most: time.Hour}
	began := time.Now()
	if f, err := b.alone(ctx); err != nil || f != survived {
		return nil, errors.Join(errors.New("its tests do not pass as it is"), err)
	}
	b.most = max(leastPatience, patience*time.Since(began))
	g, err := newGroup(p, list)
	if err != nil {
		return nil, err
	}
	flags, err := b.overlay(g.files)
	if err != nil {
		return nil, err
	}
	args := append([]string{"test", "-c", "-vet=off", "-o", b.binary}, flags...)
	if out, err := command(ctx, p.Dir, append(args, p.ImportPath)...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build all mutants at once: %w: %s", err, out)
	}
	b.group = g
	began = time.Now()
	f, err := b.together(ctx, 0)
	if err != nil {
		return nil, err
	}
	b.most = max(leastPatience, patience*time.Since(began))
	if f != survived {
		b.group = nil // a test that looks at how the code is compiled: one by one then
	}
	return b, nil
}

// try runs the tests against a mutant.
func (b *bench) try(ctx context.Context, m *mutant) (fate, error) {
	if b.group != nil && b.group.numbers[m] > 0 {
		return b.together(ctx, b.group.numbers[m])
	}
	src := b.p.files[m.file]
	flags, err := b.overlay(map[string][]byte{m.file: slices.Concat(src[:m.start], []byte(m.with), src[m.end:])})
	if err != nil {
		return "", err
	}
	return b.alone(ctx, flags...)
}

// overlay writes files and returns the flags that put them in the place of those
// of the tree.
func (b *bench) overlay(files map[string][]byte) ([]string, error) {
	replace := map[string]string{}
	for path, src := range files {
		replace[path] = filepath.Join(b.dir, filepath.Base(path))
		if err := os.WriteFile(replace[path], src, 0o600); err != nil {
			return nil, err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	list := filepath.Join(b.dir, "overlay.json")
	return []string{"-overlay", list}, os.WriteFile(list, text, 0o600)
}

// together runs the tests of the group with one of it in force.
func (b *bench) together(ctx context.Context, number int) (fate, error) {
	args := append([]string{"-test.failfast", "-test.short", "-test.timeout", b.most.String()}, b.p.draws()...)
	cmd := exec.CommandContext(ctx, b.binary, args...) //nolint:gosec // was built a moment ago
	cmd.Dir, cmd.Env = b.p.Dir, append(os.Environ(), fmt.Sprintf("MUTANT=%d", number))
	return outcome(ctx, cmd)
}

// alone builds the package with the flags and runs its tests.
func (b *bench) alone(ctx context.Context, flags ...string) (fate, error) {
	args := append([]string{"test", "-vet=off", "-count=1", "-failfast", "-short", "-timeout", b.most.String()}, flags...)
	args = append(args, b.p.ImportPath)
	return outcome(ctx, command(ctx, b.p.Dir, append(args, b.p.draws()...)...))
}

// draws are the flags of tests that draw: the same draws for every mutant, and no
// time to make a failure small.
func (p *pkg) draws() []string {
	if !p.rapid {
		return nil
	}
	return []string{"-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=1ms"}
}

// outcome runs tests and says what became of the mutant.
func outcome(ctx context.Context, cmd *exec.Cmd) (fate, error) {
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	_, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return survived, nil
	case !failed:
		return "", fmt.Errorf("run tests: %w", err)
	case bytes.Contains(out, []byte("[build failed]")) || bytes.Contains(out, []byte("[setup failed]")):
		return unbuilt, nil
	default:
		return killed, nil
	}
}

func command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the go command, with packages that the caller names
	cmd.Dir = dir
	return cmd
}
