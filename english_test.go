package youproxy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// betterWords are words that the documentation does not use, with what it says instead.
var betterWords = map[string]string{
	`gives`:                    "returns, sets or has",
	`given`:                    "returned, passed or set",
	`tells?|told`:              "reports, returns or says",
	`hand(s|ed)? (out|over)`:   "returns, yields or passes",
	`be it|whilst|thusly`:      "whether, while, so",
	`there(of|by|in)|here(in)`: "its, so, in it",
	`befalls?|befell`:          "happens to",
}

// TestEnglish holds what go doc shows of every public package to the words of the standard
// library's documentation.
func TestEnglish(t *testing.T) {
	t.Parallel()
	dirs := make(map[string][]string)
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == "testdata" || d.Name() == "internal" || len(path) > 1 && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			dirs[filepath.Dir(path)] = append(dirs[filepath.Dir(path)], path)
		}
		return err
	}))
	for dir, paths := range dirs {
		t.Run(dir, func(t *testing.T) {
			for _, path := range paths {
				files := token.NewFileSet()
				f, err := parser.ParseFile(files, path, nil, parser.ParseComments)
				require.NoError(t, err)
				if ast.IsGenerated(f) {
					continue
				}
				ast.FileExports(f) // what is left is what go doc shows
				ast.Inspect(f, func(n ast.Node) bool {
					if c, ok := n.(*ast.CommentGroup); ok {
						checkWords(t, files.Position(c.Pos()), c.Text())
					}
					if f, ok := n.(*ast.FuncDecl); ok && reportsBool(f) && !strings.Contains(f.Doc.Text(), "report") {
						t.Errorf("%s: say what %s reports: \"%[2]s reports whether ...\"", files.Position(f.Pos()), f.Name)
					}
					return true
				})
			}
		})
	}
}

func checkWords(t *testing.T, at token.Position, doc string) {
	for word, better := range betterWords {
		for _, found := range regexp.MustCompile(`\b(`+word+`)\b`).FindAllString(doc, -1) {
			t.Errorf("%s: the comment says %q: write %s", at, found, better)
		}
	}
}

// reportsBool reports whether a function that go doc shows returns a bool, or a bool and an
// error.
func reportsBool(f *ast.FuncDecl) bool {
	if f.Type.Results == nil || f.Type.Results.NumFields() > 2 || f.Recv != nil && !ast.IsExported(receiver(f)) {
		return false
	}
	for i, r := range f.Type.Results.List {
		if name, ok := r.Type.(*ast.Ident); !ok || name.Name != []string{"bool", "error"}[i] {
			return false
		}
	}
	return true
}

func receiver(f *ast.FuncDecl) string {
	return strings.TrimLeft(types.ExprString(f.Recv.List[0].Type), "*")
}
