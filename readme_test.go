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

var update = flag.Bool("update", false, "write what the README takes from elsewhere anew")

// inREADME holds what stands in the README between two comments against what
// should; -update writes it.
func inREADME(t *testing.T, begin, want, end string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(readme), begin)
	require.True(t, ok, "the README has no %s", begin)
	shown, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "the README has no %s", end)
	if *update {
		require.NoError(t, os.WriteFile("README.md", []byte(before+begin+want+end+after), 0o644))
		return
	}
	assert.Equal(t, want, shown, "go test -run README -update writes it anew")
}

func TestREADMEOutcomes(t *testing.T) {
	var table strings.Builder
	table.WriteString("| What happens to the order | It arrives | `OutcomeOf` | Error |\n|---|---|---|---|\n")
	for _, c := range outcometest.Cases {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", c.Name,
			[]string{"never", "once"}[c.Reached], c.Outcome, c.Error)
	}
	inREADME(t, "<!-- outcomes: written by go test -run README -update -->\n", table.String(), "<!-- end of outcomes -->")
}

// TestREADMEExamples holds the README against the examples there are, and against the
// output of the first.
func TestREADMEExamples(t *testing.T) {
	output, err := os.ReadFile("examples/order/testdata/output.txt")
	require.NoError(t, err)
	inREADME(t, "<!-- output of examples/order -->\n", "```text\n"+string(output)+"```\n", "<!-- end of output -->")

	programs, err := filepath.Glob("examples/*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, programs)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, program := range programs {
		dir := filepath.ToSlash(filepath.Dir(program))
		assert.Contains(t, string(readme), "| [`"+filepath.Base(dir)+"`]("+dir+") |")
	}
}
