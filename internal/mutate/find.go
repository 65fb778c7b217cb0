package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"strconv"
	"strings"
)

// A mutant is a place in the code, and how it is broken.
type mutant struct {
	number     int
	room       string
	source     *source
	line       int
	start, end int    // of the code that is replaced, in the file
	broken     string // what replaces it; isOn stands for "the mutant is switched on"
	what       string // for readers
}

// isOn stands in broken code for the call that reports whether the mutant is on.
const isOn = "\x00"

func (m mutant) overlaps(other mutant) bool {
	return m.source == other.source && m.start < other.end && other.start < m.end
}

func (m mutant) compare(other mutant) int {
	return cmp.Or(cmp.Compare(m.source.path, other.source.path), cmp.Compare(m.start, other.start))
}

func (m mutant) String() string {
	return fmt.Sprintf("%3d %-7s %s:%d: %s", m.number, m.room, m.source.name, m.line, m.what)
}

// finder finds the mutants of a file.
type finder struct {
	source *source
	found  []mutant
}

// mutants returns all mutants of a file. Many overlap.
func (s *source) mutants() []mutant {
	f := finder{source: s}
	ast.PreorderStack(s.file, nil, f.visit)
	return f.found
}

func (f *finder) visit(n ast.Node, stack []ast.Node) bool {
	var parent ast.Node
	if len(stack) > 0 {
		parent = stack[len(stack)-1]
	}
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case *ast.ArrayType:
		return false
	case *ast.IfStmt:
		f.condition(n.Cond)
	case *ast.ForStmt:
		f.condition(n.Cond)
	case *ast.CaseClause:
		if outer, ok := stack[len(stack)-2].(*ast.SwitchStmt); ok && outer.Tag == nil {
			for _, e := range n.List {
				f.condition(e)
			}
		}
	case *ast.BinaryExpr:
		f.binary(n)
	case *ast.BasicLit:
		f.literal(n)
	case *ast.ReturnStmt:
		f.result(n, stack)
	}
	if s, ok := n.(ast.Stmt); ok && isInBlock(s, parent) {
		f.statement(s)
	}
	return true
}

func (f *finder) text(n ast.Node) string {
	return string(f.source.text[f.source.offset(n.Pos()):f.source.offset(n.End())])
}

func (f *finder) add(n ast.Node, broken, what string) {
	f.found = append(f.found, mutant{
		source: f.source, line: f.source.fset.Position(n.Pos()).Line,
		start: f.source.offset(n.Pos()), end: f.source.offset(n.End()),
		broken: broken, what: f.describe(n) + "  =>  " + short(what),
	})
}

// describe returns the code of n, of a long comparison what is beside the operator.
func (f *finder) describe(n ast.Node) string {
	if e, ok := n.(*ast.BinaryExpr); ok {
		x := []rune(strings.Join(strings.Fields(f.text(e.X)), " "))
		return string(x[max(0, len(x)-30):]) + " " + e.Op.String() + " " + short(f.text(e.Y))
	}
	return short(f.text(n))
}

// short returns the beginning of a text in one line.
func short(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 70 {
		return string(r[:70]) + "…"
	}
	return s
}

// condition negates a condition. Comparisons and the like have mutants of their own.
func (f *finder) condition(e ast.Expr) {
	if _, ok := e.(*ast.BinaryExpr); e != nil && !ok {
		f.add(e, "("+f.text(e)+") != "+isOn, "negated")
	}
}

var (
	otherLogic = map[token.Token]token.Token{
		token.LSS: token.LEQ, token.LEQ: token.LSS, token.GTR: token.GEQ, token.GEQ: token.GTR,
		token.EQL: token.NEQ, token.NEQ: token.EQL, token.LAND: token.LOR, token.LOR: token.LAND,
	}
	otherSums = map[token.Token]token.Token{token.ADD: token.SUB, token.SUB: token.ADD, token.MUL: token.QUO, token.QUO: token.MUL}
)

// binary replaces an operator: < by <=, == by !=, && by ||, + by -, * by /.
func (f *finder) binary(e *ast.BinaryExpr) {
	as := f.source.info.Types[e]
	if as.Value != nil {
		return
	}
	x, y := f.text(e.X), f.text(e.Y)
	if op, ok := otherLogic[e.Op]; ok {
		other := fmt.Sprintf("(%s) %s (%s)", x, op, y)
		f.add(e, fmt.Sprintf("(%s && (%s) || !%s && (%s))", isOn, other, isOn, f.text(e)), op.String())
	}
	basic, _ := as.Type.Underlying().(*types.Basic)
	if op, ok := otherSums[e.Op]; ok && basic != nil && basic.Info()&types.IsNumeric != 0 {
		other := fmt.Sprintf("(%s) %s (%s)", x, op, y)
		f.add(e, fmt.Sprintf("(func() %s { if %s { return %s }; return %s }())", f.source.typeName(as.Type), isOn, other, f.text(e)), op.String())
	}
}

// literal replaces an integer by the next one.
func (f *finder) literal(e *ast.BasicLit) {
	value, err := strconv.ParseInt(e.Value, 0, 32)
	basic, _ := f.source.info.TypeOf(e).(*types.Basic)
	if e.Kind != token.INT || err != nil || basic != nil && basic.Info()&types.IsUntyped != 0 {
		return
	}
	next := strconv.FormatInt(value+1, 10)
	f.add(e, fmt.Sprintf("(func() %s { if %s { return %s }; return %s }())", f.source.typeName(f.source.info.TypeOf(e)), isOn, next, e.Value), next)
}

// result swaps true and false, and replaces a returned error by nil.
func (f *finder) result(s *ast.ReturnStmt, stack []ast.Node) {
	for _, e := range s.Results {
		switch id, _ := e.(*ast.Ident); {
		case id == nil:
		case id.Name == "true":
			f.add(id, "!"+isOn, "false")
		case id.Name == "false":
			f.add(id, isOn, "true")
		}
	}
	results := f.source.signature(stack).Results()
	last := len(s.Results) - 1
	if last < 0 || results.Len() != last+1 || !types.Identical(results.At(last).Type(), types.Universe.Lookup("error").Type()) || f.text(s.Results[last]) == "nil" {
		return
	}
	text, without := f.text(s), "return "
	for _, e := range s.Results[:last] {
		without += f.text(e) + ", "
	}
	f.add(s, fmt.Sprintf("if %s { %snil }; %s", isOn, without, text), without+"nil")
}

// isInBlock reports whether a statement stands in a list of statements.
func isInBlock(s ast.Stmt, parent ast.Node) bool {
	switch parent := parent.(type) {
	case *ast.BlockStmt:
		return true
	case *ast.CaseClause:
		return true
	case *ast.CommClause:
		return s != parent.Comm
	}
	return false
}

// statement leaves out a statement, if the code compiles without it.
func (f *finder) statement(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.ExprStmt:
		if strings.HasPrefix(f.text(s), "panic(") {
			return
		}
	case *ast.AssignStmt:
		if s.Tok == token.DEFINE || strings.HasPrefix(f.text(s), "_ = ") {
			return
		}
	case *ast.ReturnStmt:
		if len(s.Results) > 0 {
			return
		}
	case *ast.IncDecStmt, *ast.DeferStmt, *ast.SendStmt, *ast.BranchStmt:
	default:
		return
	}
	f.add(s, fmt.Sprintf("if !%s { %s }", isOn, f.text(s)), "nothing")
}
