package proxypool

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A proxy in whose place another serves the same request is to blame.
func TestAProxyInWhosePlaceAnotherServes(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]habit{
		"503":                 {connectAnswer: "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"},
		"402":                 {connectAnswer: "HTTP/1.1 402 Payment Required\r\nContent-Length: 0\r\n\r\n"},
		"403":                 {connectAnswer: "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"},
		"429":                 {connectAnswer: "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\n\r\n"},
		"204":                 {connectAnswer: "HTTP/1.1 204 No Content\r\n\r\n"},
		"a redirect":          {connectAnswer: "HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\nContent-Length: 0\r\n\r\n"},
		"a page in TLS":       {connectAnswer: "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n<html>"},
		"closed after 200":    {cutAfterConnect: true},
		"closed in TLS":       {cutInTLS: true},
		"silence after 200":   {silentAfter: true},
		"its own certificate": {ownCertificate: true},
	} {
		for _, proto := range protocols[1:] {
			if h.silentAfter && !whole() {
				continue // it takes long: twice the connect timeout
			}
			t.Run(name+"/"+proto.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				servers, urls := w.proxies("http", 2)
				servers[0].behave(h)
				connect := 16 * time.Second // all are connected with by then, also on a busy machine
				if h.silentAfter {
					connect = 4 * time.Second // of which it takes all
				}
				pool := w.pool(urls, inOrder(), WithRest(time.Hour, time.Hour), WithConnectTimeout(connect))
				to := target(t, proto, hello)
				for range 6 {
					assert.Equal(t, Name(urls[1]), get(t, pool, to.URL))
				}
				stats := pool.Stats()
				assert.NotZero(t, stats[0].RestsUntil, stats[0].LastError)
				assert.EqualValues(t, 2, stats[0].Requests)
				assert.EqualValues(t, 2, stats[0].Failures)
				assert.Zero(t, stats[1].RestsUntil)

				// Where no other is to be had, it is used all the same.
				servers[0].behave(habit{})
				servers[1].kill()
				until(t, "the suspect is not used", func() bool {
					return send(pool, http.MethodGet, to.URL) == nil
				})
				assert.Zero(t, pool.Stats()[0].RestsUntil, "it serves")
			})
		}
	}
}

func TestAKeptConnectionThatBreaksIsNoFault(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto.name, func(t *testing.T) {
			w := newWorld(t)
			servers, urls := w.proxies("http", 2)
			pool := w.pool(urls, inOrder())
			to := target(t, proto, hello)
			get(t, pool, to.URL)
			servers[0].cut()
			get(t, pool, to.URL)
			assert.Zero(t, pool.Stats()[0].RestsUntil)
		})
	}
}

// What a proxy said of why it made no tunnel is in the error.
func TestWhyATunnelWasRefused(t *testing.T) {
	for answer, want := range map[string]string{
		"HTTP/1.1 403 Domain not allowed\r\n\r\n":                                                                 "it answered 403 to CONNECT: Domain not allowed",
		"HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\n\r\n":                               "it answered 503 to CONNECT: X-Squid-Error ERR_DNS_FAIL 0",
		"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\nno\r\n more \t\x00ips": "it answered 502 to CONNECT: no more ips",
		"HTTP/1.1 402 Payment Required\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p>x":               "it answered 402 to CONNECT",
		"HTTP/1.1 429 Slow down\r\nRetry-After: 7\r\n\r\ntraffic used up":                                         "it answered 429 to CONNECT: Slow down: Retry-After 7: traffic used up",
		"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\npass-WORD":                                                   "it answered 403 to CONNECT, and more that is not shown, since it contains the password",
		"HTTP/1.1 403 No\r\nX-Error: {authorization}\r\n\r\n":                                                     "it answered 403 to CONNECT, and more that is not shown, since it contains the password",
		"HTTP/1.1 403 " + strings.Repeat("long", 100) + "\r\nContent-Length: 0\r\n\r\n":                           "it answered 403 to CONNECT: " + strings.Repeat("long", 50) + "…",
		"HTTP/1.1 403 No\r\nContent-Type: text/plain\r\nContent-Length: 2000\r\n\r\n" + strings.Repeat("a", 2000): "it answered 403 to CONNECT: No",
	} {
		w := newWorld(t)
		servers, urls := w.proxies("http", 1)
		servers[0].behave(habit{connectAnswer: answer})
		failure := failureOf(t, w.pool(urls), request(t, http.MethodGet, "https://example.com/", nil))
		require.ErrorIs(t, failure, ErrRefused)
		assert.Equal(t, ErrRefused.Error()+": "+want, failure.Err.Error())
	}
}

// timed sends a request that has a time, and returns its error.
func timed(p *Pool, target string, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return sendWith(ctx, p, http.MethodGet, target)
}

// mute answers no request.
func mute(c net.Conn) { _, _ = io.Copy(io.Discard, c); _ = c.Close() }

// muteFor answers requests for other hosts.
func muteFor(host string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		r := bufio.NewReader(c)
		for {
			req, err := http.ReadRequest(r)
			if err != nil || req.Host == host {
				_, _ = io.Copy(io.Discard, c)
				return
			}
			if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
				return
			}
		}
	}
}

// amongThree runs a test in a bubble, with three proxies that do their duty.
func amongThree(t *testing.T, do func(t *testing.T, m *memory, p *Pool)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.setAll(good)
		p, err := New(memoryURLs("a", "b", "c"), WithTransport(m.base()), WithRest(time.Minute, time.Hour))
		require.NoError(t, err)
		do(t, m, p)
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}

// setAll sets how each of three proxies serves.
func (m *memory) setAll(serve func(net.Conn)) {
	for _, host := range []string{"a", "b", "c"} {
		m.set(host, serve)
	}
}

// patience is how long a request of the tests below waits.
const patience = 100 * time.Millisecond

// timeouts sends n requests, one after the other, and returns how many failed.
func timeouts(p *Pool, target string, n int) (failed int) {
	for range n {
		if timed(p, target, patience) != nil {
			failed++
		}
	}
	return failed
}

func TestOneIsSilent(t *testing.T) {
	amongThree(t, func(t *testing.T, m *memory, p *Pool) {
		m.set("a", mute)
		assert.Equal(t, 2, timeouts(p, "http://t.test/", 30))
		s := p.Stats()[0]
		assert.EqualValues(t, 2, s.Failures)
		assert.NotZero(t, s.RestsUntil)
		assert.Contains(t, s.LastError, "deadline")
		// After its rest, which grows, one more request each shows it.
		for i := range 4 {
			time.Sleep(restOf(p, 0) + time.Second)
			assert.NoError(t, timed(p, "http://t.test/", patience), "it is connected with in the background")
			synctest.Wait()
			assert.Equal(t, 1, timeouts(p, "http://t.test/", 30))
			want := 2 * time.Minute << i
			assert.InDelta(t, want, restOf(p, 0), float64(want/10+time.Second))
		}
		m.set("a", good)
		time.Sleep(time.Hour * 2)
		assert.NoError(t, timed(p, "http://t.test/", patience))
		synctest.Wait()
		assert.Zero(t, timeouts(p, "http://t.test/", 30))
		assert.Zero(t, p.Stats()[0].RestsUntil)
	})
}

func TestTheTargetIsSilentForAll(t *testing.T) {
	amongThree(t, func(t *testing.T, m *memory, p *Pool) {
		m.setAll(muteFor("dead.test"))
		for range 20 {
			assert.Equal(t, 3, timeouts(p, "http://dead.test/", 3))
			assert.Zero(t, timeouts(p, "http://t.test/", 3))
		}
		for _, s := range p.Stats() {
			assert.Zero(t, s.RestsUntil)
			assert.EqualValues(t, 20, s.Failures)
		}
	})
}

func TestOneIsSilentAndATargetForAll(t *testing.T) {
	amongThree(t, func(t *testing.T, m *memory, p *Pool) {
		m.setAll(muteFor("dead.test"))
		m.set("a", mute)
		for range 6 {
			timeouts(p, "http://t.test/", 3)
			timeouts(p, "http://dead.test/", 3)
		}
		assert.NotZero(t, p.Stats()[0].RestsUntil)
		assert.Zero(t, p.Stats()[1].RestsUntil)
		assert.Zero(t, p.Stats()[2].RestsUntil)
	})
}

func TestCallersThatCancel(t *testing.T) {
	amongThree(t, func(t *testing.T, m *memory, p *Pool) {
		m.set("a", mute)
		for range 9 {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(patience, cancel)
			_ = sendWith(ctx, p, http.MethodGet, "http://t.test/")
			cancel()
		}
		assert.Zero(t, p.Stats()[0].RestsUntil)
		assert.Zero(t, p.Stats()[0].Failures)
	})
}

// Suspicion leaves nobody without a proxy.
func TestAllAreSilent(t *testing.T) {
	amongThree(t, func(t *testing.T, m *memory, p *Pool) {
		timeouts(p, "http://t.test/", 3)
		m.setAll(mute)
		p.CloseIdleConnections()
		synctest.Wait()
		assert.Equal(t, 30, timeouts(p, "http://t.test/", 30))
		m.setAll(good)
		assert.Zero(t, timeouts(p, "http://t.test/", 30))
	})
}

// A connection of HTTP/2 on which nothing comes serves no further request.
func TestASilentConnectionIsNotUsedAgain(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 1)
	to := target(t, protocols[2], hello)
	pool := w.pool(urls)
	get(t, pool, to.URL)
	servers[0].frozen.Store(true)
	require.Error(t, timed(pool, to.URL, time.Second))
	servers[0].frozen.Store(false)
	get(t, pool, to.URL)
	assert.EqualValues(t, 2, servers[0].tunnels.Load())
}

// While connecting with a proxy takes long, another is connected with.
func TestConnectingThatTakesLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("b", good)
		base := m.base()
		answers := make(chan struct{})
		base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "a:") {
				select {
				case <-answers:
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return m.dial(ctx, network, addr)
		}
		p, err := New(memoryURLs("a", "b"), WithTransport(base), WithConnectTimeout(32*time.Second), inOrder())
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, send(p, http.MethodPost, "http://t.test/"))
		assert.Equal(t, time.Second, time.Since(began), "a thirty-second of the connect timeout")
		for range 5 {
			require.NoError(t, send(p, http.MethodPost, "http://t.test/"))
		}
		assert.Equal(t, time.Second, time.Since(began), "meanwhile others do not wait for it")
		assert.Equal(t, "proxy pool: 2 proxies, 1 resting", p.String())
		assert.NotZero(t, p.Stats()[0].RestsUntil)
		assert.EqualValues(t, 1, p.Stats()[0].Failures)

		m.set("a", good)
		close(answers)
		synctest.Wait()
		assert.Equal(t, "proxy pool: 2 proxies, 0 resting", p.String())
		require.NoError(t, send(p, http.MethodPost, "http://t.test/"))
		assert.Equal(t, 1, m.dialed("a"), "the connection serves the next request")
		assert.EqualValues(t, 2, p.Stats()[0].Requests)
		assert.Zero(t, p.Stats()[0].RestsUntil)
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}

func TestConnectingThatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("b", good)
		base := m.base()
		base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "a:") {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return m.dial(ctx, network, addr)
		}
		p, err := New(memoryURLs("a", "b"), WithTransport(base), WithConnectTimeout(32*time.Second), inOrder())
		require.NoError(t, err)
		require.NoError(t, send(p, http.MethodPost, "http://t.test/"))
		time.Sleep(31 * time.Second)
		synctest.Wait()
		s := p.Stats()[0]
		assert.NotZero(t, s.RestsUntil)
		assert.EqualValues(t, 1, s.Failures)
		assert.Contains(t, s.LastError, "no connection within 32s")
		// Whether it is back is tried without a request.
		time.Sleep(2 * time.Second)
		began := time.Now()
		for range 5 {
			require.NoError(t, send(p, http.MethodPost, "http://t.test/"))
		}
		assert.Zero(t, time.Since(began))
		p.CloseIdleConnections()
		synctest.Wait()
		assert.Zero(t, p.Stats()[0].InFlight, "the connecting in the background ended")
		assert.NotZero(t, p.Stats()[0].RestsUntil)
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}

func TestARequestLearnsItsProxy(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 2)
	servers[0].kill()
	to := target(t, protocols[1], hello)
	pool := w.pool(urls, inOrder())
	var used []string
	ctx := OnUse(t.Context(), func(proxy string) { used = append(used, proxy) })
	resp, err := (&http.Client{Transport: pool}).Do(request(t, http.MethodGet, to.URL, nil).WithContext(ctx))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, []string{Name(urls[0]), Name(urls[1])}, used)
	c, err := pool.DialContext(ctx, "tcp", strings.TrimPrefix(to.URL, "https://"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	assert.Equal(t, Name(urls[1]), used[2])
}

// Two lapses let a proxy rest if it served no more than six requests between.
func TestHowFarApartLapsesCount(t *testing.T) {
	for between, rests := range map[int]bool{0: true, 6: true, 7: false} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			m.set("b", good)
			p, err := New(memoryURLs("a", "b"), WithTransport(m.base()), WithRest(time.Hour, time.Hour))
			require.NoError(t, err)
			ask := func(answers func(net.Conn), n int) {
				m.set("a", answers)
				p.CloseIdleConnections()
				synctest.Wait()
				for range n {
					_ = timed(p, "http://t.test/", time.Second) // through a
					require.NoError(t, timed(p, "http://t.test/", time.Second))
				}
			}
			ask(mute, 1)
			ask(good, between)
			ask(mute, 1)
			assert.Equal(t, rests, !p.Stats()[0].RestsUntil.IsZero(), "%d between", between)
			require.NoError(t, p.Replace(nil))
			synctest.Wait()
		})
	}
}
