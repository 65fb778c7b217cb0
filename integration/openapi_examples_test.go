package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/youproxytest"
)

// exampleRuns has the arguments of each run of an example.
var exampleRuns = map[string][][]string{
	"list":  {nil},
	"order": {nil},
}

const ownFake = "it takes no key: it starts a fake service"

// examplesNotRun has the reason why an example is not run.
var examplesNotRun = map[string]string{
	"buy":     ownFake,
	"forward": ownFake,
	"mocking": ownFake,
	"pool":    ownFake,
	"renew":   ownFake,
}

// buildExamples builds the examples and returns the folder of the programs.
func buildExamples(t *testing.T) string {
	t.Helper()
	programs := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", programs+string(filepath.Separator), "./examples/...")
	build.Dir = ".."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return programs
}

// With a key, each example program sends what the document says and succeeds.
func TestExamplesKeepTheContract(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	mains, err := filepath.Glob("../examples/*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, mains)
	programs := buildExamples(t)
	for _, main := range mains {
		name := filepath.Base(filepath.Dir(main))
		if why := examplesNotRun[name]; why != "" {
			t.Logf("%s is not run: %s", name, why)
			continue
		}
		require.NotEmpty(t, exampleRuns[name], "%s is not run, and there is no reason", name)
		for _, args := range exampleRuns[name] {
			t.Run(name+" "+strings.Join(args, " "), func(t *testing.T) {
				t.Parallel()
				const key = "Example-Key-4711"
				fake := startSeller(t, youproxytest.WithAPIKey(key))
				before := fake.Balance()
				url, seen := startWatched(t, fake)

				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				program := exec.CommandContext(ctx, filepath.Join(programs, name), args...)
				program.Dir = t.TempDir()
				program.Env = append(os.Environ(), "YOUPROXY_API_KEY="+key, "YOUPROXY_BASE_URL="+url)
				out, err := program.CombinedOutput()
				require.NoError(t, err, "%s", out)
				assert.NotContains(t, strings.ToLower(string(out)), strings.ToLower(key))
				assert.NotEmpty(t, seen.all(), "it made no call:\n%s", out)
				assert.True(t, fake.Balance().Equal(before), "an example spent money with a key:\n%s", out)
			})
		}
	}
}
