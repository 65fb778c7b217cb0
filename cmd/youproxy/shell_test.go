package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

const shellKey = "Key-5d1f0c77"

// shell runs the program as a person or a script does. Its runs share an environment and a
// state folder.
type shell struct {
	*youproxytest.Server // nil where the program has one of its own, as with --sandbox

	t       *testing.T
	folder  string // of the state
	env     map[string]string
	options []youproxy.Option // with which clients reach the server, if not over its URL

	answer    string            // of a person, who is not there where it is empty
	asks      bool              // there is a person, also where answer is empty
	in        io.Reader         // in place of answer
	out       io.Writer         // also gets what goes to stdout
	onErr     func(text string) // when something goes to stderr, with all of it
	tty, live bool
}

// newShell returns a shell that reaches a fake service over HTTP.
func newShell(t *testing.T, opts ...youproxytest.Option) *shell {
	t.Helper()
	s := newSandboxShell(t)
	s.Server = youproxytest.NewServer(append(opts, youproxytest.WithAPIKey(shellKey))...)
	t.Cleanup(s.Close)
	s.env["YOUPROXY_API_KEY"], s.env["YOUPROXY_BASE_URL"] = shellKey, s.URL()
	return s
}

// inBubble calls f with a shell in a bubble, where waiting takes no time. The shell reaches
// the fake service in memory.
func inBubble(t *testing.T, f func(t *testing.T, s *shell), opts ...youproxytest.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSandboxShell(t)
		s.Server = youproxytest.NewServer(append(opts, youproxytest.WithAPIKey(shellKey))...)
		t.Cleanup(s.Close)
		s.env["YOUPROXY_API_KEY"], s.env["YOUPROXY_BASE_URL"] = shellKey, "http://127.0.0.1:1"
		s.options = []youproxy.Option{youproxy.WithHTTPClient(&http.Client{Transport: s.Transport()})}
		f(t, s)
	})
}

// newSandboxShell returns a shell for --sandbox: it has no key, and no fake service of its
// own.
func newSandboxShell(t *testing.T) *shell {
	folder := t.TempDir()
	return &shell{t: t, folder: folder, env: map[string]string{"XDG_STATE_HOME": folder, "HOME": folder}}
}

// with returns a shell with one variable more.
func (s *shell) with(name, value string) *shell {
	more := *s
	more.env = maps.Clone(s.env)
	more.env[name] = value
	return &more
}

// app returns a run of the program.
func (s *shell) app(out, errOut io.Writer) *app {
	a := &app{
		in: s.in, out: out, err: errOut, tty: s.tty, live: s.live, asks: s.asks || s.answer != "",
		env: func(name string) string { return s.env[name] }, options: slices.Clip(s.options),
	}
	if a.in == nil {
		a.in = strings.NewReader(s.answer)
	}
	return a
}

// run runs a command, and checks that it shows no key, and passwords on stdout alone and
// only where that is its purpose.
func (s *shell) run(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	return s.runContext(s.t.Context(), args...)
}

func (s *shell) runContext(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errOut output
	errOut.onWrite = func(text string) {
		if s.onErr != nil {
			s.onErr(text)
		}
	}
	a := s.app(&out, &errOut)
	if s.out != nil {
		a.out = io.MultiWriter(s.out, &out)
	}
	code = a.run(ctx, args)
	stdout, stderr = out.String(), errOut.String()
	for _, key := range []string{shellKey, s.env["YOUPROXY_API_KEY"]} {
		if key != "" {
			assert.NotContains(s.t, strings.ToLower(stdout+stderr), strings.ToLower(key))
		}
	}
	const secret = `Pw[0-9a-f]{8}|reboot\.youproxy`
	assert.NotRegexp(s.t, secret, stderr)
	if args[0] != "export" && args[0] != "buy" {
		assert.NotRegexp(s.t, secret, stdout)
	}
	return code, stdout, stderr
}

// output is a buffer that a command and its goroutines may write to.
type output struct {
	mu      sync.Mutex
	buffer  bytes.Buffer
	onWrite func(text string) // with all of it
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	n, err := o.buffer.Write(p)
	o.mu.Unlock()
	if o.onWrite != nil {
		o.onWrite(o.String())
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
}

// journal is the file of the journal.
func (s *shell) journal() string { return filepath.Join(s.folder, "youproxy", "journal.jsonl") }

// sandboxFile is a file of --sandbox.
func (s *shell) sandboxFile(name string) string {
	return filepath.Join(s.folder, "youproxy", "sandbox", name)
}

// sent returns how many requests of an operation came.
func (s *shell) sent(op string) (n int) {
	for _, r := range s.Requests() {
		if r.Op == op {
			n++
		}
	}
	return n
}

// fill puts five proxies into the account: two of them speak only SOCKS5.
func (s *shell) fill() {
	s.t.Helper()
	created := time.Now().Add(-12 * time.Hour).Truncate(time.Second)
	for _, o := range []youproxytest.Order{
		{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2},
		{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 2, Protocol: youproxy.ProtocolSOCKS},
		{ProxyType: youproxy.ProxyTypeMobile, Country: "GBR", Quantity: 1},
	} {
		o.CreatedAt, o.RentPeriodDays = created, 30
		s.AddOrder(o)
	}
	for _, ip := range s.IPAddresses() {
		require.Regexp(s.t, `^Pw[0-9a-f]{8}$`, ip.Password, "run looks for it")
	}
}

// addISP adds ISP proxies that end in two days.
func (s *shell) addISP(quantity int) youproxytest.Order {
	return s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: quantity, CreatedAt: time.Now().AddDate(0, 0, -28)})
}

// addIPv6 adds an IPv6 order that ends in a day.
func (s *shell) addIPv6(quantity int) {
	s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "USA", Quantity: quantity, CreatedAt: time.Now().AddDate(0, 0, -29)})
}

// idsOf returns the ids of the proxies of an order.
func (s *shell) idsOf(o youproxytest.Order) (list []string) {
	for _, p := range s.IPAddresses() {
		if p.OrderID == o.ID {
			list = append(list, string(p.ID))
		}
	}
	return list
}

// urls returns all proxies of the account as URLs.
func (s *shell) urls() string { return urls(s.IPAddresses()) }

// lastURLs returns the proxies of the last order as URLs.
func (s *shell) lastURLs() string {
	orders := s.Orders()
	require.NotEmpty(s.t, orders)
	return urls(slices.DeleteFunc(s.IPAddresses(), func(ip youproxytest.IPAddress) bool { return ip.OrderID != orders[len(orders)-1].ID }))
}

func urls(ips []youproxytest.IPAddress) (list string) {
	for _, ip := range ips {
		scheme, port := "http", ip.HTTPPort
		if port == 0 {
			scheme, port = "socks5", ip.SOCKS5Port
		}
		list += fmt.Sprintf("%s://%s:%s@%s:%d\n", scheme, ip.Login, ip.Password, ip.Host, port)
	}
	return list
}

// inFrontOf puts a handler in front of the service, which it may ask.
func (s *shell) inFrontOf(handler http.HandlerFunc) {
	server := httptest.NewServer(handler)
	s.t.Cleanup(server.Close)
	s.env["YOUPROXY_BASE_URL"] = server.URL
}

// next returns the arguments of the first command that the program says to run next, but for
// the journal.
func (s *shell) next(stderr string) []string {
	s.t.Helper()
	for line := range strings.Lines(stderr) {
		if rest, ok := strings.CutPrefix(line, "  youproxy "); ok {
			words := shellWords(strings.TrimSpace(rest))
			i := slices.Index(words, "--journal")
			require.GreaterOrEqual(s.t, i, 0, "another environment can have another journal: %s", line)
			assert.Equal(s.t, s.journal(), words[i+1])
			return slices.Delete(words, i, i+2)
		}
	}
	require.Fail(s.t, "nothing to run next", stderr)
	return nil
}

// shellWords splits a line as a shell does, as far as [commandLine] quotes.
func shellWords(line string) (words []string) {
	word, quoted := "", false
	line = strings.ReplaceAll(line, `'\''`, "\x00")
	for _, r := range line {
		switch {
		case r == 0:
			word += "'"
		case r == '\'':
			quoted = !quoted
		case r == ' ' && !quoted:
			words = append(words, word)
			word = ""
		default:
			word += string(r)
		}
	}
	return append(words, word)
}
