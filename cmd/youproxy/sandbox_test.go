package main

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// use calls f with a client of the sandbox, as a run of a command does.
func (s *shell) use(f func(*youproxy.Client)) {
	s.t.Helper()
	a := s.app(io.Discard, io.Discard)
	a.ctx, a.sandbox = s.t.Context(), true
	client, err := a.spender()
	require.NoError(s.t, err)
	f(client)
	for _, end := range a.closers {
		require.NoError(s.t, end())
	}
}

var sandboxOrder = youproxy.IPv4OrderRequest{
	Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "tests", AuthType: youproxy.AuthTypeLogin,
}

func TestSandboxKeepsItsAccount(t *testing.T) {
	s := newSandboxShell(t).with("YOUPROXY_API_KEY", "the-real-key").with("YOUPROXY_BASE_URL", "http://192.0.2.1")
	code, out, stderr := s.run("--sandbox", "balance")
	assert.Equal(t, 0, code)
	assert.Equal(t, "100 USD\n", out)
	assert.Empty(t, stderr)

	s.use(func(client *youproxy.Client) {
		list, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
		require.NoError(t, err)
		types, ends := map[youproxy.ProxyType]int{}, map[time.Time]bool{}
		for _, p := range list {
			types[p.ProxyType]++
			ends[p.End] = true
			assert.Greater(t, time.Until(p.End), time.Hour)
		}
		assert.Equal(t, map[youproxy.ProxyType]int{"IPv4": 3, "ISP": 2}, types)
		assert.Len(t, ends, 3)
		_, err = client.Buy(t.Context(), sandboxOrder, youproxy.MustMoney("2 USD"))
		require.NoError(t, err)
	})
	code, out, _ = s.run("--sandbox", "balance")
	assert.Equal(t, 0, code)
	assert.Equal(t, "98.69 USD\n", out)
	for _, name := range []string{"account.jsonl", "journal.jsonl", "account.jsonl.lock"} {
		info, err := os.Stat(s.sandboxFile(name))
		require.NoError(t, err)
		assert.Zero(t, info.Mode().Perm()&0o077, name)
	}
}

func TestSandboxFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		faults string
		want   youproxy.Outcome
		after  string
	}{
		"none":             {"", youproxy.OutcomeDone, "98.69 USD\n"},
		"a lost reply":     {"POST /order=DropAfterCommit", youproxy.OutcomeUnknown, "98.69 USD\n"},
		"several":          {" GET /balance=BadGateway , POST /order=DropBeforeCommit,", youproxy.OutcomeUnknown, "100 USD\n"},
		"executed between": {"POST /order=CommitLate", youproxy.OutcomeUnknown, "98.69 USD\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSandboxShell(t)
				s.with("YOUPROXY_SANDBOX_FAULTS", test.faults).use(func(client *youproxy.Client) {
					_, err := client.CreateOrder(t.Context(), sandboxOrder)
					assert.Equal(t, test.want, youproxy.OutcomeOf(err))
				})
				time.Sleep(2 * time.Minute)
				code, out, _ := s.run("--sandbox", "balance")
				assert.Equal(t, 0, code)
				assert.Equal(t, test.after, out)
			})
		})
	}
}

func TestSandboxIsUsedByOneProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSandboxShell(t)
		s.use(func(*youproxy.Client) {
			code, _, stderr := s.run("--sandbox", "balance")
			assert.Equal(t, 1, code)
			assert.Contains(t, stderr, "waiting for another youproxy that uses the sandbox\nyouproxy: another youproxy uses the sandbox: wait until it ends")

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			code, _, stderr = s.runContext(ctx, "--sandbox", "balance")
			assert.Equal(t, 1, code)
			assert.Contains(t, stderr, "the sandbox cannot be locked: the time is over")
		})
		ended := make(chan bool)
		s.use(func(*youproxy.Client) {
			go func() {
				code, _, _ := s.run("--sandbox", "balance")
				ended <- code == 0
			}()
			time.Sleep(sandboxWait / 2)
		})
		assert.True(t, <-ended, "it had to wait")
	})
}

func TestSandboxErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	s := newSandboxShell(t)
	damaged := newSandboxShell(t)
	damaged.use(func(*youproxy.Client) {})
	require.NoError(t, os.WriteFile(damaged.sandboxFile("account.jsonl"), []byte("hello\n"), 0o600))
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for name, test := range map[string]struct {
		shell *shell
		args  []string
		code  int
		want  string
	}{
		"a fault of nothing":    {s.with("YOUPROXY_SANDBOX_FAULTS", "DropAfterCommit"), []string{"--sandbox", "balance"}, 2, `YOUPROXY_SANDBOX_FAULTS: "DropAfterCommit" must begin with an operation, as in POST /order=DropAfterCommit: GET /balance, `},
		"an unknown fault":      {s, []string{"sandbox", "--fault", "POST /order=Fault(99)"}, 2, `--fault "POST /order=Fault(99)" must end with a fault, as in POST /order=DropAfterCommit: DropBeforeCommit, DropAfterCommit, `},
		"an unknown operation":  {s, []string{"sandbox", "--fault", "POST /other=BadGateway"}, 2, "must begin with an operation"},
		"a damaged account":     {damaged, []string{"--sandbox", "balance"}, 1, `cannot be used: line 1: `},
		"what to do about it":   {damaged, []string{"sandbox"}, 1, `; "youproxy sandbox reset" creates a new one`},
		"no folder":             {newSandboxShell(t).with("XDG_STATE_HOME", file), []string{"--sandbox", "balance"}, 1, "the folder of the sandbox cannot be created: "},
		"an address in use":     {s, []string{"sandbox", "--addr", taken.Addr().String()}, 1, "use another --addr"},
		"an address of others":  {s, []string{"sandbox", "--addr", ":0"}, 2, "--addr must be an address of this machine alone"},
		"no duration":           {s, []string{"sandbox", "--for", "5"}, 2, "--for"},
		"a negative duration":   {s, []string{"sandbox", "--for", "-5s"}, 2, "--for must not be negative"},
		"an argument":           {s, []string{"sandbox", "8081"}, 2, "8081"},
		"a balance of nothing":  {s, []string{"sandbox", "reset", "--balance", "5"}, 2, "--balance: "},
		"an argument of reset":  {s, []string{"sandbox", "reset", "all"}, 2, "all"},
		"an unknown flag of it": {s, []string{"sandbox", "--color"}, 2, "--color"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, stderr := test.shell.run(test.args...)
			assert.Equal(t, test.code, code)
			assert.Empty(t, out)
			assert.Contains(t, stderr, test.want)
		})
	}
}

func TestSandboxReset(t *testing.T) {
	t.Parallel()
	s := newSandboxShell(t)
	for _, test := range []struct {
		args    []string
		balance string
		proxies int
	}{
		{nil, "100 USD", 5},
		{[]string{"--balance", "5.50 EUR"}, "5.5 EUR", 5},
		{[]string{"--empty"}, "100 USD", 0},
	} {
		s.use(func(client *youproxy.Client) {
			_, err := client.CreateOrder(t.Context(), sandboxOrder)
			require.NoError(t, err)
		})
		code, out, stderr := s.run(append([]string{"sandbox", "reset"}, test.args...)...)
		assert.Equal(t, 0, code)
		assert.Empty(t, out+stderr)
		assert.NoFileExists(t, s.sandboxFile("journal.jsonl"))
		s.use(func(client *youproxy.Client) {
			balance, err := client.Balance(t.Context())
			require.NoError(t, err)
			assert.Equal(t, test.balance, balance.String())
			list, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
			require.NoError(t, err)
			assert.Len(t, list, test.proxies)
		})
	}
	aside, err := filepath.Glob(s.sandboxFile("journal-*.jsonl"))
	require.NoError(t, err)
	assert.Len(t, aside, 3)

	require.NoError(t, os.WriteFile(s.sandboxFile("account.jsonl"), []byte("hello\n"), 0o600))
	require.NoError(t, os.WriteFile(s.sandboxFile("account.jsonl.new"), []byte("hello\n"), 0o600))
	code, _, stderr := s.run("sandbox", "reset")
	assert.Equal(t, 0, code, stderr)
}
