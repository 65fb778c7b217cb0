package youproxy_test

import (
	"bytes"
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
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// page is a Markdown file of the documentation.
type page struct {
	name     string // such as "docs/errors.md"
	prose    string // without its code blocks
	blocks   []goBlock
	headings []string // as anchors, the title first
	listed   []string // the anchors of the contents list
}

// goBlock is a block of Go code in a page.
type goBlock struct{ name, code string }

var (
	fence       = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	heading     = regexp.MustCompile(`(?m)^#+ (.*)$`)
	contents    = regexp.MustCompile(`(?m)^ *- \[.*\]\(#(.*)\)$`)
	link        = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	notInAnchor = regexp.MustCompile(`[^\pL\pN _-]`)
)

// pages returns README.md, the other pages beside it, and those of docs.
func pages(t *testing.T) map[string]page {
	t.Helper()
	beside, err := filepath.Glob("*.md")
	require.NoError(t, err)
	inDocs, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, inDocs)
	read := make(map[string]page)
	for _, name := range append(beside, inDocs...) {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		p := page{name: filepath.ToSlash(name)}
		for i, block := range fence.FindAllStringSubmatch(string(text), -1) {
			if block[1] == "go" {
				p.blocks = append(p.blocks, goBlock{fmt.Sprintf("%s, block %d", p.name, i+1), block[2]})
			}
		}
		p.prose = fence.ReplaceAllString(string(text), "")
		for _, h := range heading.FindAllStringSubmatch(p.prose, -1) {
			p.headings = append(p.headings, anchor(h[1]))
		}
		top, _, _ := strings.Cut(p.prose, "\n## ")
		for _, c := range contents.FindAllStringSubmatch(top, -1) {
			p.listed = append(p.listed, c[1])
		}
		read[p.name] = p
	}
	return read
}

// anchor returns the fragment that GitHub makes of a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

// Each page of docs begins with a list of its headings.
func TestDocsContents(t *testing.T) {
	t.Parallel()
	for name, p := range pages(t) {
		if strings.HasPrefix(name, "docs/") && assert.NotEmpty(t, p.headings, name) {
			assert.Equal(t, p.headings[1:], p.listed, "the contents list of %s", name)
		}
	}
}

// What a page links to in the repository is there, with its heading.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for name, p := range all {
		for _, l := range link.FindAllStringSubmatch(p.prose, -1) {
			path, fragment, _ := strings.Cut(l[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := name
			if path != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), path))
				_, err := os.Stat(target)
				assert.NoError(t, err, "%s links to %s", name, l[1])
			}
			if fragment != "" {
				assert.Contains(t, all[target].headings, fragment, "%s links to %s", name, l[1])
			}
		}
	}
}

// around is the file in which a block of the documentation is compiled: what the blocks
// import, and what the prose around them says is there.
const around = `package docs

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
	"github.com/youproxy-go/youproxy/proxypool"
	"github.com/youproxy-go/youproxy/sqljournal"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var (
	ctx      context.Context
	client   *youproxy.Client
	request  youproxy.IPv4OrderRequest
	purchase *youproxy.Purchase
	proxies  []youproxy.Proxy
	proxy    youproxy.Proxy
	pool     *proxypool.Pool
	urls     []*url.URL
	file     *os.File
	key, job, attemptID string
	err      error
)

`

// TestDocsCode compiles the Go code of the documentation. A block is a number of
// declarations, or what stands in a function that returns an error.
func TestDocsCode(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}",
		".", "./filejournal", "./proxypool", "./sqljournal", "./youproxytest", "testing/synctest")
	output, err := list.Output()
	require.NoError(t, err)
	exports := make(map[string]string)
	for line := range strings.Lines(string(output)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		exports[path] = file
	}
	fset := token.NewFileSet()
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		b, err := os.ReadFile(exports[path])
		return io.NopCloser(bytes.NewReader(b)), err
	})}
	for _, p := range pages(t) {
		for _, block := range p.blocks {
			code := around + block.code
			file, err := parser.ParseFile(fset, block.name, code, 0)
			if err != nil {
				code = around + "func _() error {\n" + block.code + "\nreturn nil\n}\n"
				file, err = parser.ParseFile(fset, block.name, code, 0)
			}
			if !assert.NoError(t, err, "%s:\n%s", block.name, block.code) {
				continue
			}
			config.Error = func(err error) {
				var wrong types.Error
				if errors.As(err, &wrong) && !wrong.Soft { // one that is soft says that something is not used
					t.Errorf("%v\n%s", err, block.code)
				}
			}
			_, _ = config.Check("docs", fset, []*ast.File{file}, nil)
		}
	}
}
