package integration

import (
	"bufio"
	"context"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/youproxytest"
)

// exampleRuns is with which arguments an example is run.
var exampleRuns = map[string][][]string{
	"buy": {
		{"-job", "monday", "-max-price", "100 USD"},
		{"-job", "monday", "-quantity", "2", "-country", "DEU", "-max-price", "100 USD", "-journal", "journal"},
	},
	"account": {
		nil,
		{"-country", "USA"},
		{"-type", "ISP", "-days", "90"},
	},
	"export": {
		nil,
		{"-type", "IPv6", "-layout", "csv", "-o", "proxies.csv"},
	},
	"extend": {
		nil,
		{"-within", "40"},
		{"-within", "40", "-buy", "-max-price", "100 USD"},
		{"-within", "40", "-type", "IPv6", "-promo", "WELCOME", "-buy", "-max-price", "100 USD"},
	},
	"fetch": {
		{"-timeout", "1s", "-target", "http://127.0.0.1:9/"},
		{"-type", "ISP", "-timeout", "1s", "-target", "http://127.0.0.1:9/"},
	},
	"list": {
		nil,
		{"-type", "MOBILE", "-ending", "40"},
		{"-json"},
	},
	"order": {
		nil,
		{"-buy", "-max-price", "100 USD"},
		{"-type", "IPv6", "-quantity", "3", "-days", "90", "-protocol", "SOCKS", "-auth-ip", "192.0.2.7", "-buy", "-max-price", "100 USD"},
		{"-type", "MOBILE", "-promo", "WELCOME", "-buy", "-max-price", "100 USD"},
		{"-type", "ISP", "-country", "DEU"},
	},
	"refresh": {
		{"-every", "100ms", "-for", "1s"},
	},
	"renew": {
		{"-max-price", "20 USD", "-max-day", "30 USD"},
	},
}

// examplesThatFail is what an example says that does not end well, as the proxies
// of the fake lead nowhere.
var examplesThatFail = map[string]string{"fetch": "proxies brought the page"}

// examplesNotRun is why an example is not.
var examplesNotRun = map[string]string{
	"mocking": "it takes no key: it runs against a fake of its own",
	"sandbox": "it is a server: TestSandboxKeepsTheContract starts it",
}

// buildExamples gives the folder of the programs.
func buildExamples(t *testing.T) string {
	t.Helper()
	programs := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", programs+string(filepath.Separator), "./examples/...")
	build.Dir = ".."
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return programs
}

// What the sandbox says to try in a shell, it answers as the document says.
func TestSandboxKeepsTheContract(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds programs")
	}
	curl := program(t, "curl", "curl")
	sandbox := exec.Command(filepath.Join(buildExamples(t), "sandbox"), "-addr", "127.0.0.1:0", "-for", "1m")
	out, err := sandbox.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, sandbox.Start())
	lines := bufio.NewScanner(out)
	defer func() {
		assert.NoError(t, sandbox.Process.Signal(os.Interrupt))
		for lines.Scan() { // or it would wait for somebody to read
		}
		assert.NoError(t, sandbox.Wait(), "it ends well")
	}()
	var base, api string
	var commands []string
	for lines.Scan() && lines.Text() != "Requests:" {
		line := strings.TrimSpace(lines.Text())
		switch {
		case strings.HasPrefix(line, "Base URL"):
			base = strings.TrimSpace(strings.TrimPrefix(line, "Base URL"))
		case strings.HasPrefix(line, "API="):
			api = strings.Trim(strings.TrimPrefix(line, "API="), "'")
		case strings.HasPrefix(line, "curl "):
			commands = append(commands, line)
		}
	}
	at, err := url.Parse(base)
	require.NoError(t, err)
	watched, seen := startWatched(t, httputil.NewSingleHostReverseProxy(at))
	for _, command := range commands {
		script := "API='" + strings.Replace(api, base, watched, 1) + "'; " + strings.Replace(command, "curl ", curl+" -q -sS --fail ", 1)
		reply, err := run(t, "", "sh", "-c", script)
		require.NoError(t, err, command)
		assert.Contains(t, reply, `"success": true`, command)
	}
	assert.Len(t, seen.all(), 6)
}

// Each example program, given a key, sends what the document says, and ends well.
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
		require.NotEmpty(t, exampleRuns[name], "%s is neither run nor is it said why not", name)
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
				if failure := examplesThatFail[name]; failure != "" {
					assert.Equal(t, 1, program.ProcessState.ExitCode(), "%s", out)
					assert.Contains(t, string(out), failure)
				} else {
					require.NoError(t, err, "%s", out)
				}
				assert.NotContains(t, strings.ToLower(string(out)), strings.ToLower(key))
				assert.NotEmpty(t, seen.all(), "it made no call:\n%s", out)
				spends := slices.Contains(args, "-buy") || slices.Contains(args, "-job")
				assert.Equal(t, spends, !fake.Balance().Equal(before), "what it spent:\n%s", out)
			})
		}
	}
}
