package youproxy_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// wire is a way in which a client and a server speak.
type wire struct {
	name  string
	start func(*httptest.Server) *http.Transport
}

var wires = []wire{
	{"HTTP/1.1", func(s *httptest.Server) *http.Transport {
		s.Start()
		return &http.Transport{}
	}},
	{"HTTP/1.1 over TLS", func(s *httptest.Server) *http.Transport {
		s.StartTLS()
		return &http.Transport{TLSClientConfig: trusting(s)}
	}},
	{"HTTP/2", func(s *httptest.Server) *http.Transport {
		s.EnableHTTP2 = true
		s.StartTLS()
		return &http.Transport{TLSClientConfig: trusting(s), ForceAttemptHTTP2: true}
	}},
	{"HTTP/2 without TLS", func(s *httptest.Server) *http.Transport {
		only := new(http.Protocols)
		only.SetUnencryptedHTTP2(true)
		s.Config.Protocols = only
		s.Start()
		return &http.Transport{Protocols: only}
	}},
}

func trusting(s *httptest.Server) *tls.Config {
	return &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
}

func (w wire) isHTTP2() bool { return strings.HasPrefix(w.name, "HTTP/2") }

// guarded is a server that counts what reaches it, and a transport to it.
type guarded struct {
	*httptest.Server
	transport *http.Transport
	orders    atomic.Int32
	conns     atomic.Int32
}

func serveOn(t *testing.T, w wire, handle func(g *guarded, rw http.ResponseWriter, r *http.Request)) *guarded {
	t.Helper()
	g := new(guarded)
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			g.orders.Add(1)
		}
		_, _ = io.Copy(io.Discard, r.Body)
		handle(g, rw, r)
	}))
	g.Config.ErrorLog = log.New(io.Discard, "", 0)
	g.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			g.conns.Add(1)
		}
	}
	g.transport = w.start(g.Server)
	t.Cleanup(func() {
		g.transport.CloseIdleConnections()
		g.CloseClientConnections()
		g.Close()
	})
	return g
}

func (g *guarded) client(t *testing.T, rt http.RoundTripper, opts ...youproxy.Option) *youproxy.Client {
	t.Helper()
	opts = append([]youproxy.Option{
		youproxy.WithBaseURL(g.URL), youproxy.WithHTTPClient(&http.Client{Transport: rt}), youproxy.WithReadRetries(0),
		youproxy.WithTimeouts(youproxy.Timeouts{Read: 10 * time.Second, Spend: 10 * time.Second}),
	}, opts...)
	c, err := youproxy.New(guardKey, opts...)
	require.NoError(t, err)
	return c
}
