package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// served is a sandbox that is being served.
type served struct {
	shell  *shell // with the variables that it printed
	cancel context.CancelFunc
	code   chan int
	stderr *bytes.Buffer // once it has ended
}

func (s *shell) serve(t *testing.T, args ...string) *served {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	stdout, w := io.Pipe()
	running := &served{shell: s, cancel: cancel, code: make(chan int, 1), stderr: &bytes.Buffer{}}
	go func() {
		running.code <- s.app(w, running.stderr).run(ctx, append([]string{"sandbox", "--addr", "127.0.0.1:0"}, args...))
		_ = w.Close()
	}()
	lines := bufio.NewScanner(stdout)
	for range 3 {
		require.True(t, lines.Scan(), "it ended")
		found := regexp.MustCompile(`^export (\w+)='(.*)'$`).FindStringSubmatch(lines.Text())
		require.NotNil(t, found, lines.Text())
		running.shell = running.shell.with(found[1], found[2])
	}
	return running
}

// stop is Ctrl-C. It returns what was printed on stderr.
func (s *served) stop(t *testing.T) string {
	s.cancel()
	assert.Equal(t, 0, <-s.code)
	return s.stderr.String()
}

func TestSandboxServes(t *testing.T) {
	t.Parallel()
	s := newSandboxShell(t)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "reached") }))
	defer target.Close()
	running := s.serve(t, "--fault", "POST /order=DropAfterCommit")

	code, out, stderr := running.shell.run("balance")
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, "100 USD\n", out)
	code, _, stderr = running.shell.with("YOUPROXY_API_KEY", "another-key").run("balance")
	assert.Equal(t, 1, code)
	assert.NotContains(t, stderr, "another-key")

	client, err := running.shell.app(io.Discard, io.Discard).spender()
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	purchase, err := client.Buy(t.Context(), sandboxOrder, youproxy.MustMoney("2 USD"))
	require.NoError(t, err)
	proxies, err := client.WaitForProxies(t.Context(), purchase)
	require.NoError(t, err)
	require.Len(t, proxies, 1)
	transport, err := proxies[0].Transport(youproxy.SchemeHTTP)
	require.NoError(t, err)
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(target.URL)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, "reached", string(body))

	stderr = running.stop(t)
	assert.Regexp(t, `^a fake Youproxy with 5 proxies is serving; no money is spent; Ctrl-C stops it\n`, stderr)
	assert.Contains(t, stderr, "GET  /balance  200\nGET  (wrong key)  200\n")
	assert.Contains(t, stderr, "\nPOST /order  connection dropped\n")
	assert.Regexp(t, `\nstopped after \d+ requests; orders: 4, balance: 98\.69 USD\n$`, stderr)
	assert.NotContains(t, stderr, youproxytest.DefaultAPIKey)
	assert.NotContains(t, stderr, "another-key")

	_, out, _ = s.run("--sandbox", "balance")
	assert.Equal(t, "98.69 USD\n", out, "it is the same account")
	assert.Equal(t, s.sandboxFile("journal.jsonl"), running.shell.env["YOUPROXY_JOURNAL"])
	assert.FileExists(t, s.sandboxFile("journal.jsonl"))
}

func TestSandboxStopsWhileARequestIsHeld(t *testing.T) {
	t.Parallel()
	running := newSandboxShell(t).serve(t, "--fault", "GET /balance=Slow")
	held := make(chan int)
	go func() {
		code, _, _ := running.shell.run("balance")
		held <- code
	}()
	client, err := running.shell.app(io.Discard, io.Discard).client(youproxy.WithReadRetries(0))
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	require.Eventually(t, func() bool {
		list, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
		return err == nil && len(list) == 5
	}, time.Minute, 10*time.Millisecond)
	running.stop(t)
	assert.Equal(t, 1, <-held)
}

func TestSandboxVariables(t *testing.T) {
	s := newSandboxShell(t)
	s.folder = filepath.Join(s.folder, "it's")
	s.env["XDG_STATE_HOME"] = s.folder
	journal := s.sandboxFile("journal.jsonl")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"sh":         {nil, "export YOUPROXY_BASE_URL='URL'\nexport YOUPROXY_API_KEY='youproxytest-key'\nexport YOUPROXY_JOURNAL='" + strings.ReplaceAll(journal, "'", `'\''`) + "'\n"},
		"PowerShell": {[]string{"--powershell"}, "$env:YOUPROXY_BASE_URL = 'URL'\n$env:YOUPROXY_API_KEY = 'youproxytest-key'\n$env:YOUPROXY_JOURNAL = '" + strings.ReplaceAll(journal, "'", "''") + "'\n"},
		"CSV":        {[]string{"-o", "csv"}, "NAME,VALUE\nYOUPROXY_BASE_URL,URL\nYOUPROXY_API_KEY,youproxytest-key\nYOUPROXY_JOURNAL," + journal + "\n"},
	} {
		code, out, _ := s.run(append([]string{"sandbox", "--addr", "localhost:0", "--for", "1ms"}, test.args...)...)
		assert.Equal(t, 0, code)
		assert.Equal(t, test.want, regexp.MustCompile(`http://[^'\n]+`).ReplaceAllString(out, "URL"), name)
	}
	code, out, _ := s.run("sandbox", "--addr", "127.0.0.1:0", "--for", "1ms", "-o", "json")
	assert.Equal(t, 0, code)
	var values map[string]string
	require.NoError(t, json.Unmarshal([]byte(out), &values))
	assert.Equal(t, journal, values["YOUPROXY_JOURNAL"])
}
