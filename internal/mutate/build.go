package main

import (
	"bytes"
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
)

// A source is a file of a package.
type source struct {
	path, name string // name is the path within the module
	dir        string // of the package
	text       []byte
	fset       *token.FileSet
	file       *ast.File
	types      *types.Package
	info       *types.Info
}

func (s *source) offset(p token.Pos) int { return s.fset.Position(p).Offset }

// typeName returns a type as the file would write it.
func (s *source) typeName(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string {
		if p == s.types {
			return ""
		}
		return p.Name()
	})
}

// signature returns that of the innermost function.
func (s *source) signature(stack []ast.Node) *types.Signature {
	for _, n := range slices.Backward(stack) {
		switch n := n.(type) {
		case *ast.FuncLit:
			return s.info.TypeOf(n).(*types.Signature)
		case *ast.FuncDecl:
			return s.info.Defs[n.Name].Type().(*types.Signature)
		}
	}
	return nil
}

// load reads the files of packages, and what types their expressions have.
func load(packages []string) (all []*source, err error) {
	type listed struct {
		ImportPath, Dir, Export string
		GoFiles                 []string
	}
	args := []string{"list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles"}
	for _, p := range packages {
		args = append(args, "./"+p)
	}
	out, err := output("go", args...)
	if err != nil {
		return nil, err
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	exports := make(map[string]string)
	var ours []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
		if within, err := filepath.Rel(root, p.Dir); err == nil && slices.Contains(packages, within) {
			ours = append(ours, p)
		}
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, p := range ours {
		var files []*ast.File
		info := &types.Info{Types: make(map[ast.Expr]types.TypeAndValue), Defs: make(map[*ast.Ident]types.Object)}
		from := len(all)
		for _, name := range p.GoFiles {
			s := &source{path: filepath.Join(p.Dir, name), dir: p.Dir, fset: fset, info: info}
			s.name = filepath.ToSlash(strings.TrimPrefix(s.path, root+string(filepath.Separator)))
			if s.text, err = os.ReadFile(s.path); err != nil {
				return nil, err
			}
			if s.file, err = parser.ParseFile(fset, s.path, s.text, parser.SkipObjectResolution); err != nil {
				return nil, err
			}
			files, all = append(files, s.file), append(all, s)
		}
		checked, err := (&types.Config{Importer: imports}).Check(p.ImportPath, fset, files, info)
		if err != nil {
			return nil, err
		}
		for _, s := range all[from:] {
			s.types = checked
		}
	}
	return all, nil
}

// theSwitch is a file that is added to each package.
const theSwitch = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

var (
	mutantOn, _   = strconv.Atoi(os.Getenv("MUTANT"))
	mutantReached = os.Getenv("MUTANTS_REACHED")
	mutantSeen    [%d]atomic.Bool
)

func mutantIsOn(n int) bool {
	if mutantReached != "" && !mutantSeen[n].Swap(true) {
		f, err := os.OpenFile(mutantReached, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.WriteString(strconv.Itoa(n) + "\n")
		}
		if err != nil {
			panic(err)
		}
		f.Close()
	}
	return n == mutantOn
}
`

// A binary is the tests of a package, with all mutants in it.
type binary struct{ path, dir string }

// build compiles the tests with the mutants. It leaves the files of the packages alone.
func build(dir string, all []*source, chosen []mutant) (binaries []binary, err error) {
	replace := make(map[string]string)
	write := func(path, text string) error {
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		return os.WriteFile(replace[path], []byte(text), 0o600)
	}
	var dirs []string
	for _, s := range all {
		if !slices.Contains(dirs, s.dir) {
			dirs = append(dirs, s.dir)
			if err := write(filepath.Join(s.dir, "mutant_switch.go"), fmt.Sprintf(theSwitch, s.file.Name, len(chosen)+1)); err != nil {
				return nil, err
			}
		}
		text, end := "", len(s.text)
		for _, m := range slices.Backward(chosen) {
			if m.source == s {
				broken := strings.ReplaceAll(m.broken, isOn, fmt.Sprintf("mutantIsOn(%d)", m.number))
				text, end = broken+string(s.text[m.end:end])+text, m.start
			}
		}
		if text != "" {
			if err := write(s.path, string(s.text[:end])+text); err != nil {
				return nil, err
			}
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		return nil, err
	}
	for i, d := range dirs {
		b := binary{path: filepath.Join(dir, fmt.Sprintf("%d.test", i)), dir: d}
		if _, err := output("go", "test", "-c", "-vet=off", "-overlay", filepath.Join(dir, "overlay.json"), "-o", b.path, d); err != nil {
			return nil, err
		}
		binaries = append(binaries, b)
	}
	return binaries, nil
}

func output(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.String())
	}
	return out, nil
}
