package integration

import (
	"bufio"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serves starts a command that serves until Ctrl-C, and returns the first lines of its
// stdout, or of stderr. It ends with the test, and then must have ended well.
func (p *person) serves(lines int, onStderr bool, args ...string) []string {
	p.t.Helper()
	cmd := p.command("youproxy", args...)
	log, err := os.Create(filepath.Join(p.t.TempDir(), "stderr"))
	require.NoError(p.t, err)
	cmd.Stderr = log
	pipe := cmd.StdoutPipe
	if onStderr {
		cmd.Stderr, pipe = nil, cmd.StderrPipe
	}
	out, err := pipe()
	require.NoError(p.t, err)
	require.NoError(p.t, cmd.Start())
	reader := bufio.NewScanner(out)
	p.t.Cleanup(func() {
		assert.NoError(p.t, cmd.Process.Signal(os.Interrupt))
		for reader.Scan() {
			p.noSecrets(reader.Text(), args...)
		}
		assert.NoError(p.t, cmd.Wait(), "it ends well: %q", args)
		logged, err := os.ReadFile(log.Name())
		assert.NoError(p.t, err)
		p.noSecrets(string(logged), args...)
		_ = log.Close()
	})
	var first []string
	for len(first) < lines && reader.Scan() {
		first = append(first, reader.Text())
	}
	require.Len(p.t, first, lines, "%q", args)
	return first
}

// usesSandbox starts the sandbox as a service, and sets the variables that it prints.
func (p *person) usesSandbox(args ...string) {
	p.t.Helper()
	for _, line := range p.serves(3, false, append([]string{"sandbox", "--addr", "127.0.0.1:0"}, args...)...) {
		name, value, ok := strings.Cut(strings.TrimPrefix(line, "export "), "='")
		require.True(p.t, ok, line)
		p.env[name] = strings.TrimSuffix(value, "'")
	}
	require.NotEmpty(p.t, p.env["YOUPROXY_BASE_URL"])
	p.keys = append(p.keys, p.env["YOUPROXY_API_KEY"])
}

// What the sandbox answers to curl, and to every command, is as the document says.
func TestSandboxKeepsTheContract(t *testing.T) {
	p := newPerson(t)
	p.usesSandbox()
	at, err := url.Parse(p.env["YOUPROXY_BASE_URL"])
	require.NoError(t, err)
	watched, seen := startWatched(t, httputil.NewSingleHostReverseProxy(at))
	p.env["YOUPROXY_BASE_URL"] = watched
	for _, command := range []string{
		`/balance"`, `/proxyType"`, `/country?proxyType=IPv4"`, `/rentPeriod?proxyType=IPv4"`, `/ipAddress"`,
		`/order" -H 'Content-Type: application/json' -d '{"proxyType": "IPv4", "country": "USA", "quantity": 1, "rentPeriodDays": 30, "goal": "tests", "authType": "LOGIN"}'`,
	} {
		cmd := p.command("sh", "-c", `curl -q -sS --fail "$YOUPROXY_BASE_URL/client/api/v1/$YOUPROXY_API_KEY`+command)
		reply, err := cmd.Output()
		require.NoError(t, err, command)
		assert.Contains(t, string(reply), `"success": true`, command)
	}
	for _, c := range commandsOf(p) {
		if !c.serves && !c.free {
			assert.Equal(t, c.code, p.run(c.args...).code, "%s", &c)
		}
	}
	var ops []string
	for _, e := range seen.all() {
		ops = append(ops, e.op)
	}
	for _, op := range theContract(t).operations() {
		assert.Contains(t, ops, op.name)
	}
}

// What is bought is used: by curl with the exported file, by check, and through forward,
// all over proxies that work.
func TestProgramUsesTheProxies(t *testing.T) {
	p := newPerson(t)
	page := targets["http"](t)
	p.usesSandbox()
	curl := func(args ...string) string {
		out, err := p.command("curl", append([]string{"-q", "-sS", "--fail", page.URL}, args...)...).Output()
		require.NoError(t, err, args)
		return string(out)
	}
	p.ok("buy", "--type", "ISP", "--country", "GBR", "--goal", "ad checks", "--max-price", "10 USD", "--yes")
	before := page.times("")
	s := p.run("export", "--format", "curl", "--country", "GBR", "--type", "ISP", "--file", "proxy.conf")
	assert.Zero(t, s.code, s.stderr)
	assert.Equal(t, "written to proxy.conf: 1 ISP proxies in GBR\n", s.stderr)
	assert.NotEmpty(t, curl("-K", "proxy.conf"))
	info, err := os.Stat(filepath.Join(p.home, "proxy.conf"))
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())

	list := p.ok("export", "--scheme", "socks5h")
	assert.Equal(t, 6, strings.Count(list, "\n"))
	for line := range strings.Lines(list) {
		assert.NotEmpty(t, curl("--proxy", strings.TrimSpace(line)))
	}
	p.write("proxies.txt", list, 0o600)
	for _, args := range [][]string{{"check"}, {"check", "--from", "proxies.txt"}} {
		s = p.run(append(args, "--target", page.URL)...)
		assert.Zero(t, s.code, s.stderr)
		assert.Contains(t, s.stderr, "working proxies: 6 of 6")
	}

	lines := p.serves(2, true, "forward", "--addr", "127.0.0.1:0")
	assert.Equal(t, "in use: 6 proxies", lines[0])
	at, _, _ := strings.Cut(strings.TrimPrefix(lines[1], "the local proxy is "), ";")
	assert.NotEmpty(t, curl("--proxy", at))
	p.noSecretsKept()
	assert.GreaterOrEqual(t, page.times(""), before+1+6+2*6+1)
}

// A sandbox that another process serves is waited for until Ctrl-C, and its address is not
// taken twice.
func TestProgramSharesASandbox(t *testing.T) {
	p := newPerson(t)
	p.usesSandbox()
	term := p.at(p.command("youproxy", "--sandbox", "balance"))
	term.expect("waiting for another youproxy that uses the sandbox\n")
	term.keys(ctrlC)
	assert.Equal(t, 1, term.ends())
	assert.Contains(t, term.text(), "the sandbox cannot be locked: interrupted")

	s := newPerson(t).run("sandbox", "--addr", strings.TrimPrefix(p.env["YOUPROXY_BASE_URL"], "http://"))
	assert.Equal(t, 1, s.code)
	assert.Contains(t, s.stderr, "use another --addr, such as 127.0.0.1:0")
}
