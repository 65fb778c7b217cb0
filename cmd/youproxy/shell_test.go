package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

const shellKey = "Key-5d1f0c77"

// shell runs the program against a service.
type shell struct {
	*youproxytest.Server

	t         *testing.T
	env       map[string]string
	in        string
	out       io.Writer // besides what run returns
	tty, live bool
}

func newShell(t *testing.T, opts ...youproxytest.Option) *shell {
	t.Helper()
	server := youproxytest.NewServer(append(opts, youproxytest.WithAPIKey(shellKey))...)
	t.Cleanup(server.Close)
	return &shell{Server: server, t: t, env: map[string]string{
		"YOUPROXY_API_KEY": shellKey, "YOUPROXY_BASE_URL": server.URL(), "XDG_STATE_HOME": t.TempDir(),
	}}
}

// run runs a command, and makes sure that it shows the key nowhere, and a password of a
// proxy on stdout alone, and there only if it is for export.
func (s *shell) run(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	return s.runWith(s.t.Context(), args...)
}

func (s *shell) runWith(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errOut output
	a := &app{
		in: strings.NewReader(s.in), out: &out, err: &errOut, tty: s.tty, live: s.live,
		env: func(name string) string { return s.env[name] },
	}
	if s.out != nil {
		a.out = io.MultiWriter(s.out, &out)
	}
	code = a.run(ctx, args)
	assert.NotContains(s.t, strings.ToLower(out.String()+errOut.String()), strings.ToLower(shellKey))
	const secret = `Pw[0-9a-f]{8}|reboot\.youproxy`
	assert.NotRegexp(s.t, secret, errOut.String())
	if args[0] != "export" {
		assert.NotRegexp(s.t, secret, out.String())
	}
	return code, out.String(), errOut.String()
}

// output is a buffer that a command and its goroutines may write to.
type output struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buffer.String()
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

// urls is the list of fill as URLs.
func (s *shell) urls() (list string) {
	for _, ip := range s.IPAddresses() {
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
