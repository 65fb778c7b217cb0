package youproxy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// readmeProgram builds the README's purchase, as a program that prints how many proxies
// it has, or fails.
func readmeProgram(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(readme), "<!-- the purchase -->\n```go\n")
	require.True(t, ok)
	purchase, _, ok := strings.Cut(rest, "```\n")
	require.True(t, ok)
	assert.LessOrEqual(t, strings.Count(purchase, "\n"), 25, "lines")

	root, err := os.Getwd()
	require.NoError(t, err)
	folder := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	write("main.go", `package main

import (
	"context"
	"fmt"
	"os"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
)

`+purchase+`
func run() error {
	proxies, err := buyProxies(context.Background(), os.Args[1])
	if err != nil {
		return err
	}
	fmt.Print(len(proxies))
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprint(os.Stderr, err)
		os.Exit(1)
	}
}
`)
	module, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	sums, err := os.ReadFile("go.sum")
	require.NoError(t, err)
	write("go.sum", string(sums))
	write("go.mod", strings.Replace(string(module), "module github.com/youproxy-go/youproxy", "module purchase", 1)+
		"\nrequire github.com/youproxy-go/youproxy v0.0.0\nreplace github.com/youproxy-go/youproxy => "+root+"\n")
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", "purchase", ".")
	build.Dir = folder
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return filepath.Join(folder, "purchase")
}

// TestReadmeProgram runs the README's purchase until it succeeds, as somebody does who
// knows nothing but that it failed, while orders fail in all ways that the account shows
// soon, and the process is killed as it waits for the reply.
func TestReadmeProgram(t *testing.T) {
	program := readmeProgram(t)
	start := func(t *testing.T, server *youproxytest.Server) (*exec.Cmd, *bytes.Buffer) {
		t.Helper()
		var output bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program, "monday")
		cmd.Dir = t.TempDir()
		cmd.Env = append(os.Environ(), "YOUPROXY_API_KEY="+server.APIKey(), "YOUPROXY_BASE_URL="+server.URL())
		cmd.Stdout, cmd.Stderr = &output, &output
		return cmd, &output
	}
	again := func(t *testing.T, server *youproxytest.Server, folder string) {
		t.Helper()
		for try := 0; ; try++ {
			cmd, output := start(t, server)
			cmd.Dir = folder
			if err := cmd.Run(); err == nil {
				assert.Equal(t, "5", output.String())
				break
			}
			require.Less(t, try, 5, output.String())
			assert.NotContains(t, output.String(), server.APIKey())
		}
		assert.Len(t, server.Orders(), 1)
		assertMoney(t, "93.45 USD", server.Balance())
	}
	faults := []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.Truncated, youproxytest.EmptyReply, youproxytest.UnknownCodeAfterCommit}
	for _, f := range faults {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			server := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("100 USD")))
			t.Cleanup(server.Close)
			server.Inject("POST /calculate/order", youproxytest.BadGateway, youproxytest.BadGateway, youproxytest.BadGateway)
			server.Inject("POST /order", f)
			folder := t.TempDir()
			again(t, server, folder)
			again(t, server, folder)
		})
	}
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		server := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("100 USD")))
		t.Cleanup(server.Close)
		server.Inject("POST /order", youproxytest.Slow)
		cmd, output := start(t, server)
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return len(server.Orders()) == 1 }, time.Minute, time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		assert.Empty(t, output.String())
		again(t, server, cmd.Dir)
	})
}
