package integration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/proxypool"
)

// eight returns eight servers, at least one of each kind.
func eight(t *testing.T) (servers []*proxyServer, urls []*url.URL) {
	t.Helper()
	add := func(s *proxyServer, scheme youproxy.Scheme) {
		servers, urls = append(servers, s), append(urls, s.url(scheme))
	}
	add(startSquid(t, oddLogin, oddPassword), youproxy.SchemeHTTP)
	add(startMicrosocks(t, oddLogin5, oddPassword), youproxy.SchemeSOCKS5)
	add(startTinyproxy(t, "user", "password"), youproxy.SchemeHTTP)
	add(startDante(t, oddLogin, oddPassword), youproxy.SchemeSOCKS5)
	add(startV2ray(t, oddLogin, oddPassword), youproxy.SchemeHTTP)
	add(startSquid(t, oddLogin, oddPassword), youproxy.SchemeHTTP)
	add(startMicrosocks(t, oddLogin5, oddPassword), youproxy.SchemeSOCKS5)
	add(startV2ray(t, oddLogin, oddPassword), youproxy.SchemeSOCKS5)
	return servers, urls
}

// atOnce runs f n times from 64 goroutines.
func atOnce(n int, f func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				f(i)
			}
		})
	}
	all.Wait()
}

// send sends a request with a number. The response has no body.
func send(ctx context.Context, pool *proxypool.Pool, method, target string, i int) error {
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader("a body")
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	req.Header.Set("Id", strconv.Itoa(i))
	req.Header.Set("Bare", "yes")
	resp, err := (&http.Client{Transport: pool}).Do(req)
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusNoContent {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// Eight real proxies carry 8,000 requests to one HTTP/2 target, 64 at once. Each proxy
// carries an eighth of them over one connection.
func TestPoolSharesTheLoad(t *testing.T) {
	_, urls := eight(t)
	g := startHTTP2Target(t)
	pool, err := proxypool.New(urls, proxypool.WithTransport(g.transport()))
	require.NoError(t, err)
	defer pool.CloseIdleConnections()

	const n = 8000
	atOnce(n, func(i int) {
		method := []string{http.MethodGet, http.MethodPost}[i%2]
		assert.NoError(t, send(t.Context(), pool, method, g.URL, i))
	})
	for i := range n {
		require.Equal(t, 1, g.times(strconv.Itoa(i+1)))
	}
	assert.Equal(t, "HTTP/2.0", g.spoke())
	assert.EqualValues(t, 8, g.conns.Load(), "one connection a proxy")
	for _, s := range pool.Stats() {
		assert.InDelta(t, n/8, float64(s.Requests), n/8*0.01, s.Proxy)
		assert.EqualValues(t, 1, s.Connects, s.Proxy)
		assert.Zero(t, s.Failures, s.Proxy)
		t.Log(s.Proxy, s.Requests, "requests,", s.Connects, "connections")
	}
}

// Three of the eight are killed while requests run. A request without a body still
// succeeds. One with a body arrives once, or its error says that it may have arrived.
func TestPoolLosesProxies(t *testing.T) {
	servers, urls := eight(t)
	g := startHTTP2Target(t)
	pool, err := proxypool.New(urls, proxypool.WithTransport(g.transport()))
	require.NoError(t, err)
	defer pool.CloseIdleConnections()

	const n = 8000
	kill := map[int]*proxyServer{n / 4: servers[0], n / 2: servers[1], 3 * n / 4: servers[4]}
	var killed sync.WaitGroup
	var lost, told atomic.Int64
	atOnce(n, func(i int) {
		if s := kill[i]; s != nil {
			killed.Go(s.kill)
		}
		if i%2 == 0 {
			assert.NoError(t, send(t.Context(), pool, http.MethodGet, g.URL, i))
			return
		}
		err := send(t.Context(), pool, http.MethodPost, g.URL, i)
		if err == nil {
			return
		}
		lost.Add(1)
		var e *proxypool.Error
		if assert.ErrorAs(t, err, &e) && assert.True(t, e.MayHaveArrived, "%v: nothing of it arrived, so it was safe", err) {
			told.Add(1)
		}
		for _, s := range servers {
			s.assertNoPassword(t, fmt.Sprintf("%v %+v %#v", err, err, e))
		}
	})
	killed.Wait()
	for i := 1; i <= n; i++ {
		times := g.times(strconv.Itoa(i))
		if i%2 == 0 {
			require.Positive(t, times)
			continue
		}
		require.LessOrEqual(t, times, 1, "a POST arrived twice")
	}
	t.Logf("%d of %d POSTs broke off with a proxy, %d of which say that they may have arrived; no GET did", lost.Load(), n/2, told.Load())
	for i, s := range pool.Stats() {
		dead := i == 0 || i == 1 || i == 4
		assert.Equal(t, dead, !s.RestsUntil.IsZero(), s.Proxy)
		assert.Equal(t, dead, s.LastError != "", "%s %s", s.Proxy, s.LastError)
	}
}

// Each kind of server is killed and restarted repeatedly while requests run. It rests
// and comes back by itself.
func TestPoolTakesProxiesBack(t *testing.T) {
	servers, urls := eight(t)
	for name, startTarget := range targets {
		t.Run(name, func(t *testing.T) {
			g := startTarget(t)
			pool, err := proxypool.New(urls, proxypool.WithTransport(g.transport()), proxypool.WithRest(5*time.Millisecond, 50*time.Millisecond))
			require.NoError(t, err)
			defer pool.CloseIdleConnections()

			ctx, stop := context.WithCancel(t.Context())
			var requests sync.WaitGroup
			for range 16 {
				requests.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						assert.NoError(t, send(context.WithoutCancel(ctx), pool, http.MethodGet, g.URL, i))
					}
				})
			}
			for i, s := range servers[:5] {
				s.kill()
				require.Eventually(t, func() bool { return !pool.Stats()[i].RestsUntil.IsZero() }, 30*time.Second, time.Millisecond, s.kind)
				s.start()
				back := func() bool { return pool.Stats()[i].RestsUntil.IsZero() }
				require.Eventually(t, back, 30*time.Second, time.Millisecond, "%s is not back", s.kind)
				before := pool.Stats()[i]
				served := func() bool {
					now := pool.Stats()[i]
					return now.Requests-now.Failures > before.Requests-before.Failures
				}
				require.Eventually(t, served, 30*time.Second, time.Millisecond, "%s serves nothing", s.kind)
			}
			stop()
			requests.Wait()
		})
	}
}

// The error says that the password is wrong, without quoting it. The proxy rests, and
// the others are used.
func TestPoolWithAWrongPassword(t *testing.T) {
	const wrong = "wr@ng/Password-9"
	throughAll(t, func(t *testing.T, s *proxyServer, scheme youproxy.Scheme, g *target) {
		pool, err := proxypool.New([]*url.URL{s.urlWith(scheme, wrong)}, proxypool.WithTransport(g.transport()))
		require.NoError(t, err)
		defer pool.CloseIdleConnections()
		err = send(t.Context(), pool, http.MethodGet, g.URL, 1)
		if s.kind == "tinyproxy" && g.Certificate() == nil {
			require.EqualError(t, err, "status 401", "it answers as if it were the target")
			return
		}
		require.ErrorIs(t, err, proxypool.ErrAuthentication)
		stats := pool.Stats()
		assert.False(t, stats[0].RestsUntil.IsZero())
		s.assertNoPassword(t, fmt.Sprintf("%v %+v %#v %+v %v", err, err, errors.Unwrap(err), stats, pool), wrong)
		assert.Zero(t, g.times("1"))

		require.NoError(t, pool.Replace([]*url.URL{s.urlWith(scheme, wrong), s.url(scheme)}))
		for i := range 4 {
			require.NoError(t, send(t.Context(), pool, http.MethodGet, g.URL, i))
		}
	})
}

// A check reports on each server with the right password, with a wrong one, with a
// target that is not there, and when the server is killed.
func TestCheckOfServers(t *testing.T) {
	throughAll(t, func(t *testing.T, s *proxyServer, scheme youproxy.Scheme, g *target) {
		check := func(password, target string) proxypool.CheckResult {
			for r, err := range proxypool.Check(t.Context(), []*url.URL{s.urlWith(scheme, password)}, target, proxypool.CheckTransport(g.transport())) {
				require.NoError(t, err)
				s.assertNoPassword(t, fmt.Sprintf("%v %+v %#v %v", r, r, r, r.Err), password)
				return r
			}
			return proxypool.CheckResult{}
		}
		r := check(s.password, g.URL)
		assert.True(t, r.OK() && r.Reachable && r.Authenticated, r)

		r = check("wrong", g.URL)
		if plain := g.Certificate() == nil; s.kind != "tinyproxy" || !plain {
			assert.ErrorIs(t, r.Err, proxypool.ErrAuthentication)
			assert.True(t, r.Reachable)
			assert.False(t, r.Authenticated)
		}

		nowhere := "https://" + address(freePort(t))
		r = check(s.password, nowhere)
		assert.Error(t, r.Err)
		assert.True(t, r.Reachable, r)
		if s.kind != "v2ray" { // which accepts a tunnel before it has a connection
			assert.ErrorIs(t, r.Err, proxypool.ErrRefused)
			assert.True(t, r.Authenticated, r)
		}

		s.kill()
		defer s.start()
		r = check(s.password, g.URL)
		assert.ErrorIs(t, r.Err, proxypool.ErrUnreachable)
		assert.False(t, r.Reachable || r.Authenticated, r)
	})
}

// The list changes continually while requests run through real proxies.
func TestReplaceUnderLoad(t *testing.T) {
	_, urls := eight(t)
	g := startHTTP2Target(t)
	pool, err := proxypool.New(urls, proxypool.WithTransport(g.transport()))
	require.NoError(t, err)
	done := make(chan struct{})
	var replacing sync.WaitGroup
	replacing.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			list := make([]*url.URL, 0, len(urls))
			for _, i := range rand.Perm(len(urls))[:1+rand.IntN(len(urls))] {
				list = append(list, urls[i])
			}
			assert.NoError(t, pool.Replace(list))
		}
	})
	atOnce(4000, func(i int) {
		assert.NoError(t, send(t.Context(), pool, []string{http.MethodGet, http.MethodPost}[i%2], g.URL, i))
	})
	close(done)
	replacing.Wait()
	for i := 1; i <= 4000; i++ {
		require.Equal(t, 1, g.times(strconv.Itoa(i)))
	}
	require.NoError(t, pool.Replace(nil))
	require.ErrorIs(t, send(t.Context(), pool, http.MethodGet, g.URL, 0), proxypool.ErrNoProxy)
}
