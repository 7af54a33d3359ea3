package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// The ways to break a rule.
const (
	kindBoundary  = "boundary"  // a comparison that is wrong by one step
	kindDirection = "direction" // a comparison the wrong way round
	kindPart      = "part"      // a condition that lost one of its parts
	kindNever     = "never"     // a branch that is never taken
	kindDrop      = "drop"      // a statement that is dropped
	kindLimit     = "limit"     // a setting swapped for its neighbour
	kindDelay     = "delay"     // a delay that is skipped
	kindConstant  = "constant"  // a constant swapped for its neighbour
	kindSign      = "sign"      // arithmetic turned round
)

// kinds lists them for the table.
func kinds() []string {
	return []string{kindBoundary, kindDirection, kindPart, kindNever, kindDrop, kindLimit, kindDelay, kindConstant, kindSign}
}

// mutant is one change of one file.
type mutant struct {
	file       string // as the compiler knows it
	line       int
	start, end int // bytes of the file that are replaced
	with       string
	fn         string // function that is broken
	kind       string
	was        string // what stood there, on one line
	nth        int    // of the same changes of a function, from 1
	form       form
	typ        string // of an expression
}

// form says what a mutant replaces.
type form int

const (
	formOther     form = iota
	formCondition      // an expression that is true or false
	formValue          // another expression
	formStatement
)

// name tells a mutant from all others and does not change with its line.
func (m *mutant) name() string {
	s := fmt.Sprintf("%s: %s: %s -> %s", m.fn, m.kind, m.was, oneLine(m.with))
	if m.nth > 1 {
		s += fmt.Sprintf(" #%d", m.nth)
	}
	return oneLine(s)
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// finder collects the mutants of one file.
type finder struct {
	fset *token.FileSet
	info *types.Info
	pkg  *types.Package
	src  []byte
	file string
	fn   string
	list []mutant
	set  map[ast.Node]bool // what is assigned to, or whose address is taken
}

// mutants lists the mutants of a file in the order of their places.
func mutants(fset *token.FileSet, info *types.Info, pkg *types.Package, file *ast.File, src []byte) []mutant {
	f := &finder{fset: fset, info: info, pkg: pkg, src: src, file: fset.Position(file.Pos()).Filename, set: map[ast.Node]bool{}}
	for _, decl := range file.Decls {
		if d, ok := decl.(*ast.FuncDecl); ok && d.Body != nil && d.Name.Name != "String" && d.Name.Name != "Error" {
			f.fn = functionName(d)
			ast.Inspect(d.Body, f.visit)
		}
	}
	slices.SortStableFunc(f.list, func(a, b mutant) int { return cmp.Compare(a.start, b.start) })
	seen := map[string]int{}
	for i := range f.list {
		m := &f.list[i]
		seen[m.name()]++
		m.nth = seen[m.name()]
	}
	return f.list
}

func functionName(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	return types.ExprString(t) + "." + d.Name.Name
}

func (f *finder) text(n ast.Node) string {
	return string(f.src[f.fset.Position(n.Pos()).Offset:f.fset.Position(n.End()).Offset])
}

func (f *finder) add(kind string, n ast.Node, with string) {
	was := f.text(n)
	if was == with {
		return
	}
	at := f.fset.Position(n.Pos())
	m := mutant{
		file: f.file, line: at.Line, start: at.Offset, end: f.fset.Position(n.End()).Offset,
		with: with, fn: f.fn, kind: kind, was: oneLine(was),
	}
	switch e, ok := n.(ast.Expr); {
	case !ok:
		m.form = formStatement
	case f.set[n]:
	default:
		t := types.Default(f.info.TypeOf(e))
		m.form, m.typ = formValue, types.TypeString(t, func(p *types.Package) string {
			if p == f.pkg {
				return ""
			}
			return p.Name()
		})
		if m.typ == "bool" {
			m.form = formCondition
		}
	}
	f.list = append(f.list, m)
}

func (f *finder) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for _, e := range n.Lhs {
			f.set[e] = true
		}
	case *ast.IncDecStmt:
		f.set[n.X] = true
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.UnaryExpr:
		switch n.Op {
		case token.AND:
			f.set[n.X] = true
		case token.NOT:
			f.add(kindPart, n, f.text(n.X))
		case token.SUB:
			f.add(kindSign, n, f.text(n.X))
		default: // an address or a receive
		}
	case *ast.CallExpr:
		f.call(n)
	case *ast.SelectorExpr:
		f.selector(n)
		ast.Inspect(n.X, f.visit)
		return false // the name behind the dot was looked at with it
	case *ast.Ident:
		f.constant(n, n)
	case *ast.IfStmt:
		f.never(n.Cond)
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, s := range n.Body.List {
				if c, ok := s.(*ast.CaseClause); ok {
					for _, cond := range c.List {
						f.never(cond)
					}
				}
			}
		}
	case *ast.BlockStmt:
		f.statements(n.List)
	case *ast.CaseClause:
		f.statements(n.Body)
	}
	return true
}

// never is a branch that is not taken; its condition is still worked out.
func (f *finder) never(cond ast.Expr) {
	f.add(kindNever, cond, "("+f.text(cond)+") && false")
}

func (f *finder) binary(n *ast.BinaryExpr) {
	swap := func(op token.Token) string { return f.text(n.X) + " " + op.String() + " " + f.text(n.Y) }
	switch n.Op {
	case token.LSS:
		f.add(kindBoundary, n, swap(token.LEQ))
		f.add(kindDirection, n, swap(token.GTR))
	case token.LEQ:
		f.add(kindBoundary, n, swap(token.LSS))
		f.add(kindDirection, n, swap(token.GEQ))
	case token.GTR:
		f.add(kindBoundary, n, swap(token.GEQ))
		f.add(kindDirection, n, swap(token.LSS))
	case token.GEQ:
		f.add(kindBoundary, n, swap(token.GTR))
		f.add(kindDirection, n, swap(token.LEQ))
	case token.EQL:
		f.add(kindDirection, n, swap(token.NEQ))
	case token.NEQ:
		f.add(kindDirection, n, swap(token.EQL))
	case token.LAND, token.LOR:
		f.add(kindPart, n, f.text(n.X))
		f.add(kindPart, n, f.text(n.Y))
	case token.ADD:
		f.add(kindSign, n, swap(token.SUB)) // does not build for strings
	case token.SUB:
		f.add(kindSign, n, swap(token.ADD))
	case token.MUL:
		f.add(kindSign, n, swap(token.QUO))
	case token.QUO:
		f.add(kindSign, n, swap(token.MUL))
	case token.AND_NOT:
		f.add(kindSign, n, swap(token.AND))
	case token.AND:
		f.add(kindSign, n, swap(token.OR))
	case token.OR:
		f.add(kindSign, n, swap(token.AND))
	default: // shifts: a bit's place
	}
}

// call turns the comparisons round that are calls.
func (f *finder) call(n *ast.CallExpr) {
	args := func(name string) string {
		from, to := f.fset.Position(n.Fun.End()).Offset, f.fset.Position(n.End()).Offset
		return name + string(f.src[from:to])
	}
	switch fun := n.Fun.(type) {
	case *ast.SelectorExpr:
		x := f.text(fun.X)
		switch fun.Sel.Name {
		case "After":
			f.add(kindBoundary, n, "!"+args(x+".Before"))
			f.add(kindDirection, n, args(x+".Before"))
		case "Before":
			f.add(kindBoundary, n, "!"+args(x+".After"))
			f.add(kindDirection, n, args(x+".After"))
		case "IsZero":
			f.add(kindDirection, n, "!"+f.text(n))
		case "Abs":
			if x == "math" {
				f.add(kindSign, n, f.text(n.Args[0]))
			}
		}
	case *ast.Ident:
		if _, builtin := f.info.Uses[fun].(*types.Builtin); !builtin {
			return
		}
		switch fun.Name {
		case "min":
			f.add(kindBoundary, n, args("max"))
		case "max":
			f.add(kindBoundary, n, args("min"))
		}
	}
}

// selector swaps a setting for the next one of its struct that has the same
// type, and skips a delay. Only fields that are read are settings here; one that
// is assigned to does not build or is a change of its own.
func (f *finder) selector(n *ast.SelectorExpr) {
	s, ok := f.info.Selections[n]
	if !ok || s.Kind() != types.FieldVal {
		if !ok {
			f.constant(n, n.Sel)
		}
		return
	}
	if s.Type().String() == "time.Duration" {
		f.add(kindDelay, n, "("+f.text(n)+" * 0)")
	}
	switch s.Type().String() {
	case "float64", "time.Duration":
	default:
		return
	}
	if next := sibling(s); next != "" {
		f.add(kindLimit, n, f.text(n.X)+"."+next)
	}
}

// sibling is the next field of the same type in the struct that holds the
// selected one, the first after the last; empty when there is no other.
func sibling(s *types.Selection) string {
	t := s.Recv()
	var fields *types.Struct
	index := s.Index()
	for i, at := range index {
		if p, ok := t.Underlying().(*types.Pointer); ok {
			t = p.Elem()
		}
		fields, _ = t.Underlying().(*types.Struct)
		if fields == nil {
			return ""
		}
		if i < len(index)-1 {
			t = fields.Field(at).Type()
		}
	}
	at := index[len(index)-1]
	for k := 1; k < fields.NumFields(); k++ {
		other := fields.Field((at + k) % fields.NumFields())
		if types.Identical(other.Type(), s.Type()) && other.Name() != "_" {
			return other.Name()
		}
	}
	return ""
}

// constant swaps true for false, and a named constant for the next one of its
// package that has the same named type.
func (f *finder) constant(whole ast.Expr, id *ast.Ident) {
	c, ok := f.info.Uses[id].(*types.Const)
	if !ok {
		return
	}
	if c.Pkg() == nil {
		switch c.Name() {
		case "true":
			f.add(kindConstant, whole, "false")
		case "false":
			f.add(kindConstant, whole, "true")
		}
		return
	}
	if _, named := c.Type().(*types.Named); !named || c.Type().String() == "time.Duration" {
		return
	}
	scope := c.Pkg().Scope()
	names := scope.Names()
	at := slices.Index(names, c.Name())
	for k := 1; at >= 0 && k < len(names); k++ {
		other, ok := scope.Lookup(names[(at+k)%len(names)]).(*types.Const)
		if !ok || !types.Identical(other.Type(), c.Type()) || constant.Compare(other.Val(), token.EQL, c.Val()) {
			continue
		}
		with := other.Name()
		if sel, ok := whole.(*ast.SelectorExpr); ok {
			with = f.text(sel.X) + "." + with
		}
		f.add(kindConstant, whole, with)
		return
	}
}

// statements drops each statement that only has an effect. What it names stays
// in use, or the mutant would not build.
func (f *finder) statements(list []ast.Stmt) {
	for i, s := range list {
		switch s := s.(type) {
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
			with := make([]string, len(s.Rhs))
			for j, e := range s.Rhs {
				with[j] = f.text(e)
			}
			f.add(kindDrop, s, strings.Repeat("_, ", max(len(s.Lhs), 1)-1)+"_ = "+strings.Join(with, ", "))
		case *ast.IncDecStmt:
			f.add(kindDrop, s, "")
		case *ast.ExprStmt:
			call, ok := s.X.(*ast.CallExpr)
			if !ok {
				continue
			}
			var with []string
			for _, e := range call.Args {
				with = append(with, f.text(e))
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				with = append(with, f.text(sel.X))
			}
			f.add(kindDrop, s, uses(with))
		case *ast.ReturnStmt:
			if len(s.Results) == 0 && i == len(list)-1 {
				f.add(kindDrop, s, "")
			}
		case *ast.BranchStmt:
			if s.Tok == token.CONTINUE || s.Tok == token.BREAK {
				f.add(kindDrop, s, "")
			}
		default: // holds others
		}
	}
}

func uses(exprs []string) string {
	if len(exprs) == 0 {
		return ""
	}
	return strings.TrimSuffix(strings.Repeat("_, ", len(exprs)), ", ") + " = " + strings.Join(exprs, ", ")
}
