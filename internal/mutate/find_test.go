package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// check type-checks a file.
func check(t *testing.T, text string) *source {
	t.Helper()
	s := &source{
		name: "a.go", path: "a.go", text: []byte(text), fset: token.NewFileSet(),
		info: &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object)},
	}
	var err error
	s.file, err = parser.ParseFile(s.fset, s.name, text, parser.SkipObjectResolution)
	require.NoError(t, err, text)
	s.types, err = (&types.Config{Importer: importer.Default()}).Check("a", s.fset, []*ast.File{s.file}, s.info)
	require.NoError(t, err, text)
	return s
}

func TestMutants(t *testing.T) {
	const declared = `
type count int64
const most count = 1 << 3
var errBad error
var name string
func do() bool
func mutantIsOn(int) bool
`
	for code, want := range map[string]string{
		`func f(a, b count) bool { return a < b }`:                     "a < b  =>  <=",
		`func f(a, b count) bool { return a != most }`:                 "a != most  =>  ==",
		`func f(a, b bool) bool { return a && b }`:                     "a && b  =>  ||",
		`func f(a count) count { return a + most }`:                    "a + most  =>  -",
		`func f() string { return name + name }`:                       "",
		`func f() count { return 10 }`:                                 "10  =>  11",
		`func f() (bool, count) { return true, most }`:                 "true  =>  false",
		`func f() error { return errBad }`:                             "return errBad  =>  return nil",
		`func f() (string, error) { return name, errBad }`:             "return name, errBad  =>  return name, nil",
		`func f() error { return nil }`:                                "",
		`func f() { if do() { return } }`:                              "do()  =>  negated; return  =>  nothing",
		`func f() { for do() { continue } }`:                           "do()  =>  negated; continue  =>  nothing",
		`func f() { switch { case do(): do() } }`:                      "do()  =>  negated; do()  =>  nothing",
		`func f(c chan count) { select { case c <- most: do() } }`:     "do()  =>  nothing",
		`func f(a count) { a++; a = most; a, b := most, a; _ = b }`:    "a++  =>  nothing; a = most  =>  nothing",
		`func f() { defer do() }`:                                      "defer do()  =>  nothing",
		`func f() { panic("never") }`:                                  "",
		`type of [4]count; const c = 5; func f(a [6]bool) (b [7]bool)`: "",
	} {
		s := check(t, "package a\n"+declared+code)
		var found []string
		for _, m := range s.mutants() {
			found = append(found, m.what)
			broken := string(s.text[:m.start]) + strings.ReplaceAll(m.broken, isOn, "mutantIsOn(1)") + string(s.text[m.end:])
			check(t, broken)
		}
		assert.Equal(t, want, strings.Join(found, "; "), code)
	}
}
