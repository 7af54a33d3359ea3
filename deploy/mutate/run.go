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

// testTimeout ends a mutant that hangs.
const testTimeout = 90 * time.Second

// listed is what the go command says of a package.
type listed struct {
	Dir, ImportPath, Export   string
	GoFiles                   []string
	TestImports, XTestImports []string
	DepOnly                   bool
	Module                    *struct{ Path string }
}

// pkg is a package whose rules are broken.
type pkg struct {
	listed
	name    string // as people say it: its path in the module
	mutants []mutant
	files   map[string][]byte
	rapid   bool // its tests draw at random
}

// load reads packages with their types and finds their mutants.
func load(ctx context.Context, dir string, patterns []string) ([]*pkg, error) {
	args := append([]string{"list", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles,TestImports,XTestImports,DepOnly,Module"}, patterns...)
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
		if !l.DepOnly {
			p := &pkg{listed: l, name: l.ImportPath, files: map[string][]byte{}}
			if l.Module != nil {
				p.name = cmp.Or(strings.TrimPrefix(strings.TrimPrefix(l.ImportPath, l.Module.Path), "/"), ".")
			}
			p.rapid = slices.Contains(append(l.TestImports, l.XTestImports...), "pgregory.net/rapid")
			pkgs = append(pkgs, p)
		}
	}
	for _, p := range pkgs {
		if err := p.find(exports); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return pkgs, nil
}

// find type-checks the package and finds its mutants.
func (p *pkg) find(exports map[string]string) error {
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
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	if _, err := conf.Check(p.ImportPath, fset, files, info); err != nil {
		return err
	}
	for _, file := range files {
		path := fset.Position(file.Pos()).Filename
		p.mutants = append(p.mutants, mutants(fset, info, file, p.files[path])...)
	}
	return nil
}

// fate is what became of a mutant.
type fate string

const (
	killed   fate = "killed"
	survived fate = "survived"
	unbuilt  fate = "does not build"
)

// try runs the package's tests against a mutant. dir is for its files.
func (p *pkg) try(ctx context.Context, dir string, m *mutant) (fate, error) {
	src := p.files[m.file]
	changed := filepath.Join(dir, "mutant.go")
	if err := os.WriteFile(changed, slices.Concat(src[:m.start], []byte(m.with), src[m.end:]), 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{m.file: changed}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	return p.test(ctx, "-overlay", list)
}

// test runs the package's tests once.
func (p *pkg) test(ctx context.Context, flags ...string) (fate, error) {
	args := append([]string{"test", "-vet=off", "-count=1", "-failfast", "-short", "-timeout", testTimeout.String()}, flags...)
	args = append(args, p.ImportPath)
	if p.rapid {
		// The same draws for every mutant, and no time to make a failure small.
		args = append(args, "-rapid.seed=1", "-rapid.nofailfile", "-rapid.shrinktime=1ms")
	}
	out, err := command(ctx, p.Dir, args...).CombinedOutput()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	_, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case err == nil:
		return survived, nil
	case !failed:
		return "", fmt.Errorf("go test: %w", err)
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
