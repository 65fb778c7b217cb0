package youproxy_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/internal/outcometest"
)

var update = flag.Bool("update", false, "write what the documentation takes from elsewhere anew")

// inDocs compares want with what the documentation shows between two marks; -update
// writes it.
func inDocs(t *testing.T, page, begin, want, end string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "%s has no %s", page, begin)
	shown, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "%s has no %s", page, end)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+want+end+after), 0o644))
		return
	}
	assert.Equal(t, want, shown, "the same test with -update writes %s anew", page)
}

func TestREADMEIsShort(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	assert.LessOrEqual(t, strings.Count(string(readme), "\n"), 180, "lines: the rest belongs into docs")
}

func TestDocsOutcomes(t *testing.T) {
	t.Parallel()
	var table strings.Builder
	table.WriteString("| What happens to the order | It arrives | `OutcomeOf` | Error |\n|---|---|---|---|\n")
	for _, c := range outcometest.Cases {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", c.Name,
			[]string{"never", "once"}[c.Reached], c.Outcome, c.Error)
	}
	inDocs(t, "docs/errors.md", "<!-- outcomes: written by go test -run TestDocsOutcomes . -update -->\n", table.String(), "<!-- end of outcomes -->")
}

// TestREADMEExamples checks that the README lists all examples, and that the
// documentation shows what the first one prints.
func TestREADMEExamples(t *testing.T) {
	t.Parallel()
	output, err := os.ReadFile("examples/order/testdata/output.txt")
	require.NoError(t, err)
	inDocs(t, "docs/errors.md", "<!-- output of examples/order -->\n", "```text\n"+string(output)+"```\n", "<!-- end of output -->")

	programs, err := filepath.Glob("examples/*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, programs)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, program := range programs {
		dir := filepath.ToSlash(filepath.Dir(program))
		assert.Contains(t, string(readme), "[`"+filepath.Base(dir)+"`]("+dir+")")
	}
}
