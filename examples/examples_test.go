// Package examples_test runs the examples, and compares what they print.
package examples_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata/output.txt anew")

func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("it links seven programs")
	}
	programs := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", programs+string(filepath.Separator), "./...").CombinedOutput()
	require.NoError(t, err, "%s", out)
	mains, err := filepath.Glob("*/main.go")
	require.NoError(t, err)
	require.Len(t, mains, 7)
	t.Setenv("YOUPROXY_API_KEY", "")
	for _, main := range mains {
		name := filepath.Dir(main)
		t.Run(name, func(t *testing.T) {
			program := exec.CommandContext(t.Context(), filepath.Join(programs, name))
			program.Stderr = os.Stderr
			out, err := program.Output()
			require.NoError(t, err)
			golden := filepath.Join(name, "testdata", "output.txt")
			if *update {
				require.NoError(t, os.WriteFile(golden, out, 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), string(out))
			text, err := os.ReadFile(main)
			require.NoError(t, err)
			assert.LessOrEqual(t, bytes.Count(text, []byte("\n")), 80, "an example is short enough to be read")
		})
	}
}
