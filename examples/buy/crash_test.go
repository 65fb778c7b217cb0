package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// TestAProcessThatCrashesBuysOnce makes processes of this program and of the
// sandbox: the first ends when its order was executed, before it has read the
// answer, and the second finds that order and buys nothing.
func TestAProcessThatCrashesBuysOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be interrupted there")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	folder := t.TempDir()
	sandbox := serveSandbox(ctx, t, program(ctx, t, folder, "sandbox"))
	buy := program(ctx, t, folder, "buy")
	journal := filepath.Join(folder, "j.jsonl")
	process := func(args ...string) result { return runProcess(ctx, t, sandbox.baseURL, buy, args...) }

	r := process("-journal", journal, "-quantity", "2", "-fault", "crash-after-send")
	require.Equal(t, 3, r.code, r.stderr)
	assert.Empty(t, r.ready())
	first := lines(t, journal)
	require.Len(t, first, 1)

	r = process("-journal", journal, "-quantity", "2")
	require.Equal(t, 0, r.code, r.stderr)
	assert.Contains(t, r.stdout, first[0].Attempt.String())
	assert.Contains(t, r.stdout, "was executed, so nothing is bought now")
	assert.Len(t, r.ready(), 2)
	assert.Empty(t, r.stderr)

	client, err := youproxy.New(youproxytest.DefaultAPIKey, youproxy.WithBaseURL(sandbox.baseURL))
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	proxies, err := client.ListProxies(ctx, youproxy.ProxyQuery{ProxyType: youproxy.ProxyTypeIPv4})
	require.NoError(t, err)
	orders := map[youproxy.OrderID]int{}
	for _, p := range proxies {
		orders[p.OrderID]++
	}
	for _, known := range first[0].Attempt.Before.Orders {
		delete(orders, known)
	}
	bought := lines(t, journal)[1].OrderID
	assert.Equal(t, map[youproxy.OrderID]int{bought: 2}, orders, "one new order, of two proxies")

	log := sandbox.interrupt(t)
	assert.Equal(t, 1, strings.Count(log, "POST  /order  "), log)
	assert.Contains(t, log, "orders: 5,", "of which the sandbox began with 4")
}

// program builds one of the examples.
func program(ctx context.Context, t *testing.T, folder, name string) (path string) {
	t.Helper()
	path = filepath.Join(folder, name)
	output, err := exec.CommandContext(ctx, "go", "build", "-o", path, "../"+name).CombinedOutput()
	require.NoError(t, err, string(output))
	return path
}

// runProcess runs a program against the service at a base URL, without a key.
func runProcess(ctx context.Context, t *testing.T, baseURL, path string, args ...string) (r result) {
	t.Helper()
	var stdout, stderr strings.Builder
	command := exec.CommandContext(ctx, path, args...)
	command.Env = append(os.Environ(), "YOUPROXY_API_KEY=", "YOUPROXY_BASE_URL="+baseURL)
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	require.NotNil(t, command.ProcessState, err)
	return result{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// sandboxProcess is the sandbox while it runs.
type sandboxProcess struct {
	command *exec.Cmd
	baseURL string
	output  *bufio.Reader
}

func serveSandbox(ctx context.Context, t *testing.T, path string) *sandboxProcess {
	t.Helper()
	s := &sandboxProcess{command: exec.CommandContext(ctx, path, "-addr", "127.0.0.1:0")}
	stdout, err := s.command.StdoutPipe()
	require.NoError(t, err)
	s.command.Stderr = os.Stderr
	require.NoError(t, s.command.Start())
	t.Cleanup(func() {
		if s.command.ProcessState == nil {
			_ = s.command.Process.Kill()
			_ = s.command.Wait()
		}
	})
	s.output = bufio.NewReader(stdout)
	address := regexp.MustCompile(`^Base URL +(http://127\.0\.0\.1:\d+)\n$`)
	for {
		line, err := s.output.ReadString('\n')
		require.NoError(t, err, "it ended before it told its base URL")
		if found := address.FindStringSubmatch(line); found != nil {
			s.baseURL = found[1]
			return s
		}
	}
}

// interrupt ends the sandbox, and gives what it printed after its base URL.
func (s *sandboxProcess) interrupt(t *testing.T) string {
	t.Helper()
	require.NoError(t, s.command.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(s.output)
	require.NoError(t, err)
	require.NoError(t, s.command.Wait())
	return string(rest)
}
