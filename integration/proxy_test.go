package integration

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// throughAll runs f for each server, each scheme that it speaks, and each target.
func throughAll(t *testing.T, f func(t *testing.T, s *proxyServer, scheme youproxy.Scheme, g *target)) {
	t.Helper()
	for kind, start := range proxyServers {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			for _, scheme := range s.schemes() {
				for name, startTarget := range targets {
					t.Run(fmt.Sprint(scheme, " to ", name), func(t *testing.T) { f(t, s, scheme, startTarget(t)) })
				}
			}
		})
	}
}

func TestTransportThroughServers(t *testing.T) {
	throughAll(t, func(t *testing.T, s *proxyServer, scheme youproxy.Scheme, g *target) {
		transport, err := s.proxy().Transport(scheme, g.trusting)
		require.NoError(t, err)
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport}

		resp, err := client.Get(g.URL)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, page, string(body))
		assert.Equal(t, 200, resp.StatusCode)

		transport.CloseIdleConnections() // V2Ray can close one in the middle of the next request
		sent := strings.Repeat("body ", 100_000)
		resp, err = client.Post(g.URL, "text/plain", strings.NewReader(sent))
		require.NoError(t, err)
		body, err = io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		same := sent == string(body) // a body is too long to be printed
		assert.True(t, same, "another body came back")

		want := "HTTP/1.1"
		if strings.HasSuffix(t.Name(), "HTTP/2") {
			want = "HTTP/2.0"
		}
		assert.Equal(t, want, g.spoke())
	})
}

func TestTransportWithAWrongPassword(t *testing.T) {
	throughAll(t, func(t *testing.T, s *proxyServer, scheme youproxy.Scheme, g *target) {
		const wrong = "wr@ng/Password-9"
		transport, err := s.proxyWith(wrong).Transport(scheme, g.trusting)
		require.NoError(t, err)
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(g.URL)
		assert.Empty(t, g.requests)
		if err == nil {
			require.NoError(t, resp.Body.Close())
			// Over plain HTTP the server itself answers, Tinyproxy with the wrong status.
			assert.Equal(t, map[bool]int{true: 401, false: 407}[s.kind == "tinyproxy"], resp.StatusCode)
			assert.Equal(t, youproxy.SchemeHTTP, scheme)
			return
		}
		s.assertNoPassword(t, fmt.Sprintf("%v %+v %#v", err, err, err), wrong)
	})
}
