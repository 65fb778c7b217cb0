package proxypool

import (
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// delays has connecting with hosts take a time.
type delays map[string]time.Duration

func (d delays) base(m *memory) *http.Transport {
	base := m.base()
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(addr)
		select {
		case <-time.After(d[host]):
			return m.dial(ctx, network, addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return base
}

// after answers as good does, but not at once.
func after(d time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1<<12))
		time.Sleep(d)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		_ = c.Close()
	}
}

// hedged runs a test in a bubble, with proxies a and b. Where connecting with one
// takes a second, requests connect with the other.
func hedged(t *testing.T, d delays, do func(t *testing.T, p *Pool, m *memory), opts ...Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("a", good)
		m.set("b", good)
		opts = append([]Option{WithTransport(d.base(m)), WithConnectTimeout(32 * time.Second), inOrder()}, opts...)
		p, err := New(memoryURLs("a", "b"), opts...)
		require.NoError(t, err)
		do(t, p, m)
		require.NoError(t, p.Replace(nil))
		p.CloseIdleConnections()
		synctest.Wait()
	})
}

// However soon a connection is there, or fails, the request has it once.
func TestCountersAreExact(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for name, serve := range map[string]func(net.Conn){"connections": good, "none": nil} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			m.set("a", serve)
			m.set("b", serve)
			base := m.base()
			base.DisableKeepAlives = true
			p, err := New(memoryURLs("a", "b"), WithTransport(base), WithRest(1, 1))
			require.NoError(t, err)
			requests := Sized(1600, 6400)
			var tries atomic.Int64
			crowd(requests, func() {
				err := send(p, http.MethodGet, "http://t.test/")
				var failure *Error
				switch {
				case err == nil:
					tries.Add(1)
				case assert.ErrorAs(t, err, &failure):
					tries.Add(int64(failure.Tries))
				}
			})
			require.NoError(t, p.Replace(memoryURLs("a", "b")))
			until(t, "requests are in flight", func() bool {
				stats := p.Stats()
				return stats[0].InFlight == 0 && stats[1].InFlight == 0
			})
			if serve != nil {
				stats := p.Stats()
				assert.EqualValues(t, requests, stats[0].Requests+stats[1].Requests)
				assert.Zero(t, stats[0].Failures+stats[1].Failures)
			}
			require.NoError(t, p.Replace(nil))
		})
	}
}

// A request that another proxy serves leaves its connection to others, and does not
// close it under them.
func TestAConnectionThatIsLeftToOthers(t *testing.T) {
	hedged(t, delays{"a": 2 * time.Second}, func(t *testing.T, p *Pool, m *memory) {
		m.set("a", after(time.Minute))
		m.set("b", after(20*time.Second))
		var both sync.WaitGroup
		both.Go(func() { assert.NoError(t, send(p, http.MethodPost, "http://t.test/")) })
		time.Sleep(3 * time.Second)
		both.Go(func() { assert.NoError(t, send(p, http.MethodPost, "http://t.test/")) })
		both.Wait()
		assert.Equal(t, 1, m.dialed("a"))
		assert.EqualValues(t, 2, p.Stats()[0].Requests)
		assert.EqualValues(t, 1, p.Stats()[0].Failures, "it was too slow once")
	})
}

// A connection that another request has left shows how the proxy is, as its own would.
func TestAConnectionThatOthersLeftFails(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]habit{
		"in TLS":           {cutInTLS: true},
		"its certificate":  {ownCertificate: true},
		"nothing, in time": {silentAfter: true},
	} {
		t.Run(name, func(t *testing.T) {
			if h.silentAfter && !whole() {
				t.Skip("it takes long")
			}
			t.Parallel()
			w := newWorld(t)
			servers, urls := w.proxies("http", 2)
			servers[0].behave(h)
			to := target(t, protocols[1], hello)
			base, goOn := w.base(), make(chan struct{})
			base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if addr == urls[0].Host {
					select {
					case <-goOn:
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}
				return w.dial(ctx, network, addr)
			}
			connect := 16 * time.Second // all are connected with by then, also on a busy machine
			if h.silentAfter {
				connect = 4 * time.Second // of which it takes all
			}
			pool := w.pool(urls, WithTransport(base), WithConnectTimeout(connect), inOrder())
			require.Equal(t, Name(urls[1]), get(t, pool, to.URL))
			close(goOn)
			until(t, "it is not back", func() bool { return pool.Stats()[0].RestsUntil.IsZero() })
			require.Equal(t, Name(urls[1]), get(t, pool, to.URL))
			assert.EqualValues(t, 1, servers[0].accepted.Load(), "it took what was there")
			assert.EqualValues(t, 2, pool.Stats()[0].Failures)
		})
	}
}

// A proxy that had no time to connect has not failed.
func TestTheSlowOneIsFirst(t *testing.T) {
	hedged(t, delays{"a": 1001 * time.Millisecond, "b": time.Second}, func(t *testing.T, p *Pool, _ *memory) {
		require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
		stats := p.Stats()
		assert.EqualValues(t, 1, stats[0].Requests)
		assert.Zero(t, stats[0].Failures)
		assert.Zero(t, stats[1].Requests)
		assert.Zero(t, stats[1].Failures)
		assert.Zero(t, stats[1].RestsUntil)
	})
}

// Where the faster proxy leads nowhere, the other is tried after all.
func TestTheFasterLeadsNowhere(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 2)
	servers[1].behave(habit{cutInTLS: true})
	to := target(t, protocols[1], hello)
	base := w.base()
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == urls[0].Host {
			until(t, "the other is not tried", func() bool { return servers[1].open() == 0 && servers[1].tunnels.Load() == 1 })
		}
		return w.dial(ctx, network, addr)
	}
	pool := w.pool(urls, WithTransport(base), WithConnectTimeout(16*time.Second), WithTries(2), inOrder())
	assert.Equal(t, Name(urls[0]), get(t, pool, to.URL))
	assert.Zero(t, pool.Stats()[0].InFlight)
	assert.Zero(t, pool.Stats()[1].InFlight)
	assert.EqualValues(t, 1, servers[0].accepted.Load())
}

// The last proxy that a request learns is that which served it.
func TestARequestLearnsWhichWasFaster(t *testing.T) {
	for _, d := range []delays{{"a": 2 * time.Second, "b": time.Minute}, {"a": time.Minute, "b": time.Millisecond}} {
		hedged(t, d, func(t *testing.T, p *Pool, _ *memory) {
			var used []string
			req := request(t, http.MethodGet, "http://t.test/", nil)
			resp, err := p.RoundTrip(req.WithContext(OnUse(t.Context(), func(proxy string) { used = append(used, proxy) })))
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			require.NotEmpty(t, used)
			assert.Equal(t, Via(resp), used[len(used)-1])
		})
	}
}

// A proxy that is preferred to others again, as connecting with it is over, is not
// put back by who saw it take long before.
func TestConnectingEndsAsItIsFoundSlow(t *testing.T) {
	p, err := New(memoryURLs("a", "b"))
	require.NoError(t, err)
	x := p.pool().roster.Load().proxies[0]
	for range 10_000 {
		for _, s := range []step{reached, prepared} {
			a := &attempt{proxy: x, pool: p.pool(), epoch: x.epoch.Load()}
			p.pool().suspend(a)
			require.Equal(t, "proxy pool: 2 proxies, 1 resting", p.String())
			var connecting sync.WaitGroup
			connecting.Go(func() {
				a.mark(s)
				p.pool().resume(x)
			})
			p.pool().suspend(a)
			connecting.Wait()
			require.Zero(t, x.until.Load())
			p.pool().suspend(a)
			require.Zero(t, x.until.Load())
		}
	}
	require.Equal(t, "proxy pool: 2 proxies, 0 resting", p.String())
	require.Empty(t, p.pool().lesser)
}

// Requests that wait for a connection through a proxy that only a suspicion speaks
// against have it.
func TestManyRequestsThroughASuspect(t *testing.T) {
	hedged(t, delays{"b": time.Millisecond}, func(t *testing.T, p *Pool, m *memory) {
		m.set("a", nil)
		require.NoError(t, send(p, http.MethodGet, "http://first.test/"))
		suspect(p, 1)
		crowd(64, func() { assert.NoError(t, send(p, http.MethodPost, "http://t.test/")) })
		assert.Zero(t, p.Stats()[1].Failures)
	}, WithRest(time.Hour, time.Hour))
}

// suspect lets a proxy rest on a suspicion.
func suspect(p *Pool, i int) {
	x := p.pool().roster.Load().proxies[i]
	p.pool().rest(&attempt{proxy: x, epoch: x.epoch.Load()}, errBroke, true)
}

// A suspect whose trial another proxy took over has not shown that it serves.
func TestATrialThatAnotherProxyTakesOver(t *testing.T) {
	d := delays{}
	hedged(t, d, func(t *testing.T, p *Pool, m *memory) {
		suspect(p, 0)
		time.Sleep(2 * time.Second)
		require.NoError(t, send(p, http.MethodGet, "http://t.test/")) // has it tried
		synctest.Wait()
		require.EqualValues(t, 1, p.pool().onTrial.Load())
		d["a"] = 10 * time.Second
		require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
		time.Sleep(20 * time.Second)
		assert.NotZero(t, p.Stats()[0].RestsUntil)
		assert.EqualValues(t, 1, p.pool().onTrial.Load())
		d["a"] = 0
		require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
		assert.Zero(t, p.Stats()[0].RestsUntil)
		assert.Zero(t, p.pool().onTrial.Load())
	})
}

// What the caller's functions do with a panic leaves nothing behind.
func TestPanics(t *testing.T) {
	boom := func() { panic("boom") }
	for name, with := range map[string]func(ctx context.Context, armed *atomic.Bool) (context.Context, Option){
		"WithBan": func(ctx context.Context, armed *atomic.Bool) (context.Context, Option) {
			return ctx, WithBan(func(*http.Response) bool {
				if armed.Load() {
					boom()
				}
				return false
			})
		},
		"OnUse": func(ctx context.Context, armed *atomic.Bool) (context.Context, Option) {
			return OnUse(ctx, func(string) {
				if armed.Load() {
					boom()
				}
			}), RoundRobin()
		},
		"Sticky": func(ctx context.Context, armed *atomic.Bool) (context.Context, Option) {
			return ctx, Sticky(func(*http.Request) string {
				if armed.Load() {
					boom()
				}
				return "key"
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.set("a", good)
				var armed atomic.Bool
				ctx, opt := with(t.Context(), &armed)
				p, err := New(memoryURLs("a"), WithTransport(m.base()), opt)
				require.NoError(t, err)
				for _, ill := range []bool{false, true} {
					if ill {
						layUp(p, 0)
						time.Sleep(2 * time.Second)
					}
					armed.Store(true)
					assert.PanicsWithValue(t, "boom", func() { _ = sendWith(ctx, p, http.MethodGet, "http://t.test/") })
					armed.Store(false)
					assert.Zero(t, p.Stats()[0].InFlight)
					require.NoError(t, sendWith(ctx, p, http.MethodGet, "http://t.test/"))
					if name != "WithBan" && name != "Sticky" {
						armed.Store(true)
						assert.PanicsWithValue(t, "boom", func() { _, _ = p.DialContext(ctx, "tcp", "t.test:80") })
						armed.Store(false)
						assert.Zero(t, p.Stats()[0].InFlight)
					}
				}
				require.NoError(t, p.Replace(nil))
				synctest.Wait()
				assert.Zero(t, p.pool().settings.idle.n)
			})
		})
	}
}

// A proxy that makes a tunnel again is back, however long the request takes then.
func TestALongRequestHoldsNobodyUp(t *testing.T) {
	w := newWorld(t)
	_, urls := w.proxies("http", 1)
	begun, goOn := make(chan struct{}), make(chan struct{})
	to := target(t, protocols[1], func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-goOn
		}
	})
	pool := w.pool(urls, WithRest(1, 1))
	layUp(pool, 0)
	var slow sync.WaitGroup
	slow.Go(func() { assert.NoError(t, send(pool, http.MethodPost, to.URL+"/slow")) })
	<-begun
	assert.NoError(t, send(pool, http.MethodPost, to.URL))
	close(goOn)
	slow.Wait()
}

// A proxy whose rest is over serves, even if another whose rest was over before may not.
func TestTheFirstWhoseRestIsOverIsBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("a", good)
		m.set("b", good)
		p, err := New(memoryURLs("a", "b"), WithTransport(m.base()), WithBan(bannedWith403), inOrder())
		require.NoError(t, err)
		for range 10 {
			p.pool().restFor(p.pool().roster.Load().proxies[0], "t.test")
			time.Sleep(10 * time.Second)
		}
		layUp(p, 0)
		time.Sleep(time.Second)
		layUp(p, 1)
		time.Sleep(10 * time.Second)
		require.NoError(t, send(p, http.MethodPost, "http://t.test/"))
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}

// What the pool tries by itself is no request, and ends with the list.
func TestATrialInTheBackgroundIsNoRequest(t *testing.T) {
	hedged(t, delays{"a": time.Hour}, func(t *testing.T, p *Pool, _ *memory) {
		layUp(p, 0)
		time.Sleep(2 * time.Second)
		require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
		assert.Zero(t, p.Stats()[0].InFlight)
		x := p.pool().roster.Load().proxies[0]
		require.NoError(t, p.Replace(memoryURLs("b")))
		synctest.Wait()
		gone(t, x)
		assert.Zero(t, p.pool().probes)
	})
}

// A tunnel is asked for with the name that net/http would ask for.
func TestNamesInOtherLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked string
		m := newMemory()
		m.set("a", func(c net.Conn) {
			b := make([]byte, 1<<12)
			n, _ := c.Read(b)
			asked, _, _ = strings.Cut(string(b[:n]), "\r\n")
			_ = c.Close()
		})
		p, err := New(memoryURLs("a"), WithTransport(m.base()))
		require.NoError(t, err)
		require.Error(t, send(p, http.MethodGet, "https://bücher.example/"))
		assert.Equal(t, "CONNECT xn--bcher-kva.example:443 HTTP/1.1", asked)
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}

// Connections that are not to be used again are closed, also of HTTP/2.
func TestOldConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]Option{"WithRotation": WithRotation(1, 0), "WithMaxIdleConns": WithMaxIdleConns(0)} {
		for i, proto := range protocols {
			if !Sampled(i, 2) {
				continue
			}
			t.Run(name+"/"+proto.name, func(t *testing.T) {
				w := newWorld(t)
				servers, urls := w.proxies("http", 2)
				to := target(t, proto, hello)
				pool := w.pool(urls, opt, WithConnectTimeout(time.Minute))
				first, then := Sized(20, 200), Sized(64, 256)
				for range first {
					get(t, pool, to.URL)
				}
				crowd(then, func() { assert.NoError(t, send(pool, http.MethodHead, to.URL)) })
				most := 1
				if name == "WithMaxIdleConns" {
					most = 0
				} else {
					assert.EqualValues(t, first+then, servers[0].accepted.Load()+servers[1].accepted.Load(), "a connection a request")
				}
				for _, s := range servers {
					until(t, "old connections stay", func() bool { return s.open() <= most })
				}
			})
		}
	}
}

// halfClosed is the body of a response that switched protocols, all of which is read.
type halfClosed struct{ io.ReadWriter }

func (halfClosed) Read([]byte) (int, error) { return 0, io.EOF }
func (halfClosed) Close() error             { return nil }

func TestAnUpgradedConnectionIsInUseUntilItIsClosed(t *testing.T) {
	done := false
	resp := &http.Response{Body: halfClosed{}}
	lend(t.Context(), resp, func() { done = true })
	_, err := resp.Body.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	assert.False(t, done)
	require.NoError(t, resp.Body.Close())
	assert.True(t, done)
}
