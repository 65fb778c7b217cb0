package youproxy_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
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

// readmeMain does what its first argument says with the functions of the README.
const readmeMain = `
func run() error {
	ctx := context.Background()
	if os.Args[1] == "buy" {
		proxies, err := buyProxies(ctx, os.Args[2])
		if err == nil {
			fmt.Print(len(proxies))
		}
		return err
	}
	journal, err := filejournal.Open("purchases.jsonl")
	if err != nil {
		return err
	}
	client, err := youproxy.NewFromEnv(youproxy.WithJournal(journal))
	if err != nil {
		return err
	}
	if os.Args[1] == "renew" {
		return renewProxies(ctx, client)
	}
	pool, err := newPool(ctx, client)
		if err != nil {
			return err
		}
		return fetch(pool, os.Args[2])
}

func main() {
	if err := run(); err != nil {
		fmt.Fprint(os.Stderr, err)
		os.Exit(1)
	}
}
`

// buildReadme builds the functions that the README shows into a program.
func buildReadme(t *testing.T) readmeProgram {
	t.Helper()
	code := `package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
	"github.com/youproxy-go/youproxy/proxypool"
)

`
	for _, block := range pages(t)["README.md"].blocks {
		if strings.HasPrefix(block.code, "func ") {
			code += block.code + "\n"
		}
	}
	folder := t.TempDir()
	source, program := filepath.Join(folder, "main.go"), filepath.Join(folder, "program.exe") // Windows needs the extension
	require.NoError(t, os.WriteFile(source, []byte(code+readmeMain), 0o600))
	output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, source).CombinedOutput()
	require.NoError(t, err, "%s", output)
	return readmeProgram(program)
}

// readmeProgram is the path of the program.
type readmeProgram string

// command returns the program, to be run against the server in a folder, and its output.
func (p readmeProgram) command(t *testing.T, server *youproxytest.Server, folder string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	var output bytes.Buffer
	cmd := exec.CommandContext(t.Context(), string(p), args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "YOUPROXY_API_KEY="+server.APIKey(), "YOUPROXY_BASE_URL="+server.URL())
	cmd.Stdout, cmd.Stderr = &output, &output
	return cmd, &output
}

// run runs the program until it succeeds, and returns what it prints then.
func (p readmeProgram) run(t *testing.T, server *youproxytest.Server, folder string, args ...string) string {
	t.Helper()
	for try := 0; ; try++ {
		cmd, output := p.command(t, server, folder, args...)
		err := cmd.Run()
		assert.NotContains(t, output.String(), server.APIKey())
		if err == nil {
			return output.String()
		}
		require.Less(t, try, 5, output.String())
	}
}

// buys runs the purchase until it succeeds, and checks that it was made once.
func (p readmeProgram) buys(t *testing.T, server *youproxytest.Server, folder string) {
	t.Helper()
	assert.Equal(t, "5", p.run(t, server, folder, "buy", "monday"))
	assert.Len(t, server.Orders(), 1)
	assertMoney(t, "93.45 USD", server.Balance())
}

// TestReadmeProgram runs what the README shows until it succeeds, as somebody does who
// knows nothing but that it failed, while orders fail in all ways that the account shows
// soon, and the process is killed as it waits for the reply.
func TestReadmeProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a program")
	}
	t.Parallel()
	program := buildReadme(t)
	serve := func(t *testing.T, opts ...youproxytest.Option) *youproxytest.Server {
		t.Helper()
		server := youproxytest.NewServer(append(opts, youproxytest.WithBalance(youproxy.MustMoney("100 USD")))...)
		t.Cleanup(server.Close)
		return server
	}
	for _, f := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.Truncated, youproxytest.EmptyReply, youproxytest.UnknownCodeAfterCommit} {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			server, folder := serve(t), t.TempDir()
			server.Inject("POST /calculate/order", youproxytest.BadGateway, youproxytest.BadGateway, youproxytest.BadGateway)
			server.Inject("POST /order", f)
			program.buys(t, server, folder)
			program.buys(t, server, folder)
		})
	}
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		server, folder := serve(t), t.TempDir()
		server.Inject("POST /order", youproxytest.Slow)
		cmd, output := program.command(t, server, folder, "buy", "monday")
		require.NoError(t, cmd.Start())
		require.Eventually(t, func() bool { return len(server.Orders()) == 1 }, time.Minute, time.Millisecond)
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
		assert.Empty(t, output.String())
		program.buys(t, server, folder)
	})
	t.Run("renewed", func(t *testing.T) {
		t.Parallel()
		server, folder := serve(t), t.TempDir()
		server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 3, CreatedAt: time.Now().AddDate(0, 0, -28)})
		server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: 1})
		server.Inject("POST /extend", youproxytest.DropAfterCommit)
		program.run(t, server, folder, "renew")
		program.run(t, server, folder, "renew")
		require.Len(t, server.Extensions(), 1)
		assert.Len(t, server.Extensions()[0].IPAddressIDs, 3)
		assert.Empty(t, server.Pending())
	})
	t.Run("used", func(t *testing.T) {
		t.Parallel()
		server, folder := serve(t, youproxytest.WithProxies()), t.TempDir()
		server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2})
		site := httptest.NewServer(http.NotFoundHandler())
		defer site.Close()
		server.BreakProxy(server.IPAddresses()[0].ID, youproxytest.ProxyDown)
		assert.Contains(t, program.run(t, server, folder, "fetch", site.URL), "404 Not Found through http://login")
		assert.Equal(t, map[youproxy.IPAddressID]int{server.IPAddresses()[1].ID: 1}, server.ProxyRequests())
	})
}
