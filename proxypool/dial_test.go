package proxypool

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// service is a server of its own protocol: it speaks first, sends lines back, and
// sends their number when its peer has written everything.
func service(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var work sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
	})
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				_, _ = io.WriteString(c, "ready\n")
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						_, _ = io.WriteString(c, "all")
						return
					}
					_, _ = io.WriteString(c, line)
				}
			})
		}
	})
	return l.Addr().String()
}

func TestTunnels(t *testing.T) {
	for _, scheme := range []string{"http", "https", "socks5", "socks5h"} {
		t.Run(scheme, func(t *testing.T) {
			w := newWorld(t)
			servers, urls := w.proxies(scheme, 1)
			pool := w.pool(urls)
			c, err := pool.DialContext(t.Context(), "tcp", service(t))
			require.NoError(t, err)
			assert.EqualValues(t, 1, servers[0].tunnels.Load())
			r := bufio.NewReader(c)
			line, err := r.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "ready\n", line)
			_, err = io.WriteString(c, "hello\n")
			require.NoError(t, err)
			line, err = r.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "hello\n", line)
			s := pool.Stats()[0]
			assert.EqualValues(t, 1, s.InFlight)
			assert.EqualValues(t, 1, s.Requests)

			// It outlives its place in the list.
			require.NoError(t, pool.Replace(nil))
			_, err = io.WriteString(c, "again\n")
			require.NoError(t, err)
			line, err = r.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "again\n", line)
			require.NoError(t, c.Close())
			_ = c.Close()
			until(t, "the tunnel stays", func() bool { return servers[0].open() == 0 })
		})
	}
}

func TestATunnelIsClosedForWritingAlone(t *testing.T) {
	w := newWorld(t)
	for _, scheme := range []string{"http", "https", "socks5"} {
		_, urls := w.proxies(scheme, 1)
		c, err := w.pool(urls).DialContext(t.Context(), "tcp", service(t))
		require.NoError(t, err)
		require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
		text, err := io.ReadAll(c)
		require.NoError(t, err)
		assert.Equal(t, "ready\nall", string(text))
		require.NoError(t, c.Close())
	}
	m := newMemory()
	m.set("a", func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	p, err := New(memoryURLs("a"), WithTransport(m.base()))
	require.NoError(t, err)
	c, err := p.DialContext(t.Context(), "tcp", "t.test:1")
	require.NoError(t, err)
	require.ErrorIs(t, c.(interface{ CloseWrite() error }).CloseWrite(), errors.ErrUnsupported)
	require.NoError(t, c.Close())
}

func TestWhereATunnelIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 4)
	servers[0].kill()
	servers[1].behave(habit{connectAnswer: "HTTP/1.1 503 Busy\r\n\r\n"})
	servers[2].behave(habit{connectAnswer: "HTTP/1.1 407 No\r\n\r\n"})
	pool := w.pool(urls, inOrder(), WithRest(time.Hour, time.Hour))
	to := service(t)
	for range 2 {
		c, err := pool.DialContext(t.Context(), "tcp", to)
		require.NoError(t, err)
		_, err = io.ReadFull(c, make([]byte, 5))
		require.NoError(t, err)
		require.NoError(t, c.Close())
	}
	for i, s := range pool.Stats() {
		assert.Equal(t, i < 3, !s.RestsUntil.IsZero(), "%d", i)
		assert.Zero(t, s.InFlight)
	}
	servers[3].behave(habit{connectAnswer: "HTTP/1.1 502 No\r\n\r\n"})
	_, err := pool.DialContext(t.Context(), "tcp", "example.com:443")
	var failure *Error
	require.ErrorAs(t, err, &failure)
	require.ErrorIs(t, err, ErrRefused)
	assert.Equal(t, 2, failure.Tries, "the suspect as well, as there is no other")
	assert.False(t, failure.MayHaveArrived)
}

func TestWhatIsNoTunnel(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 1)
	pool := w.pool(urls)
	for _, tc := range []struct{ network, addr string }{
		{"udp", "example.com:53"},
		{"unix", "/socket"},
		{"tcp", "example.com"},
		{"tcp", "example.com:"},
		{"tcp", "example.com:0"},
		{"tcp", "example.com:65536"},
		{"tcp", "example.com:https"},
		{"tcp", ":443"},
		{"tcp", "exa mple.com:443"},
		{"tcp", "example.com/:443"},
		{"tcp", "user@example.com:443"},
		{"tcp", "example.com\r\nX: y:443"},
		{"tcp", "пример.test:443"},
	} {
		_, err := pool.DialContext(t.Context(), tc.network, tc.addr)
		var failure *Error
		require.ErrorAs(t, err, &failure, "%s %s", tc.network, tc.addr)
	}
	_, err := (&Pool{}).DialContext(t.Context(), "tcp", "example.com:443")
	require.Error(t, err)
	_, err = pool.DialContext(nil, "tcp", "example.com:443") //nolint:staticcheck // it must not panic
	require.Error(t, err)
	assert.Zero(t, servers[0].accepted.Load())
	_, err = w.pool(nil).DialContext(t.Context(), "tcp", "example.com:443")
	require.ErrorIs(t, err, ErrNoProxy)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = pool.DialContext(ctx, "tcp", service(t))
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, pool.Stats()[0].InFlight)
}

// A proxy through whose tunnels nothing comes rests, where others let something
// through.
func TestTunnelsThroughWhichNothingComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		tunnel := func(then func(net.Conn)) func(net.Conn) {
			return func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
					then(c)
				}
				_ = c.Close()
			}
		}
		echo := func(c net.Conn) { _, _ = io.Copy(c, c) }
		m.set("silent", tunnel(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }))
		m.set("cuts", tunnel(func(c net.Conn) { _, _ = c.Read(make([]byte, 100)) }))
		m.set("good", tunnel(echo))
		m.set("fine", tunnel(echo))
		p, err := New(memoryURLs("silent", "good", "cuts", "fine"), WithTransport(m.base()), WithRest(time.Hour, time.Hour))
		require.NoError(t, err)
		failed := 0
		for range 40 {
			c, err := p.DialContext(t.Context(), "tcp", "t.test:1")
			require.NoError(t, err)
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Second)))
			_, err = io.WriteString(c, "hello")
			require.NoError(t, err)
			if _, err = io.ReadFull(c, make([]byte, 5)); err != nil {
				failed++
			}
			require.NoError(t, c.Close())
		}
		assert.Equal(t, 4, failed, "two of each")
		for i, s := range p.Stats() {
			assert.Equal(t, i%2 == 0, !s.RestsUntil.IsZero(), s.Proxy)
			assert.Zero(t, s.InFlight)
		}
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
	// What a caller does not use shows nothing.
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		for _, host := range []string{"a", "b"} {
			m.set(host, func(c net.Conn) {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
					_, _ = io.Copy(c, c)
				}
				_ = c.Close()
			})
		}
		p, err := New(memoryURLs("a", "b"), WithTransport(m.base()))
		require.NoError(t, err)
		for range 20 {
			c, err := p.DialContext(t.Context(), "tcp", "t.test:1")
			require.NoError(t, err)
			time.Sleep(time.Minute)
			require.NoError(t, c.Close())
		}
		for _, s := range p.Stats() {
			assert.Zero(t, s.RestsUntil)
			assert.Zero(t, s.Failures)
		}
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}
