package proxypool

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// until waits for what other goroutines are to do, however long they take, but
// not where they never do.
func until(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for range 10_000 {
		if reached() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal(what)
}

// gone asserts that nothing is left of a proxy that was dropped.
func gone(t *testing.T, x *proxy) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	assert.True(t, x.closed, "a dropped proxy that nothing uses is closed")
	assert.Empty(t, x.conns)
}

func TestReplaceUnderLoad(t *testing.T) {
	t.Parallel()
	strategies := []struct {
		name   string
		option Option
	}{
		{"RoundRobin", RoundRobin()},
		{"Random", Random()},
		{"Sticky", Sticky(func(r *http.Request) string { return r.URL.Path })},
	}
	for i, scheme := range []string{"http", "socks5"} {
		for j, proto := range protocols {
			if !Sampled(i+j, 2) {
				continue
			}
			strategy := strategies[(i+j)%len(strategies)]
			t.Run(scheme+"/"+proto.name+"/"+strategy.name, func(t *testing.T) {
				t.Parallel()
				replaceUnderLoad(t, scheme, proto, strategy.option)
			})
		}
	}
}

func replaceUnderLoad(t *testing.T, scheme string, proto protocol, strategy Option) {
	w := newWorld(t)
	servers, urls := w.proxies(scheme, 8)
	l := &changingList{urls: urls, pool: w.pool(urls, strategy)}
	to := target(t, proto, hello)
	var all sync.WaitGroup
	for g := range 64 {
		all.Go(func() {
			for i := range Sized(2, 10) {
				l.send(t, fmt.Sprintf("%s/%d", to.URL, g), i%2 == 0)
			}
		})
	}
	all.Wait()
	require.NoError(t, l.pool.Replace(urls[:1]))
	kept := l.pool.pool().roster.Load().proxies[0]
	l.seen.Range(func(key, _ any) bool {
		if x := key.(*proxy); x != kept {
			gone(t, x)
			assert.Zero(t, x.inFlight.Load())
		}
		return true
	})
	for _, s := range servers[1:] {
		until(t, "a dropped proxy keeps connections", func() bool { return s.open() == 0 })
	}
	require.NoError(t, l.pool.Replace(urls), "they may come back")
	for range 8 {
		get(t, l.pool, to.URL)
	}
	for _, s := range l.pool.Stats() {
		assert.Zero(t, s.InFlight)
	}
}

// changingList is a pool whose list changes with every fourth request.
type changingList struct {
	urls []*url.URL
	pool *Pool
	sent atomic.Int64
	seen sync.Map // the proxies that were in the list
}

func (l *changingList) send(t *testing.T, target string, safe bool) {
	method, body := http.MethodPost, io.Reader(strings.NewReader("body"))
	if safe {
		method, body = http.MethodGet, nil
	}
	req, err := http.NewRequest(method, target, body)
	if !assert.NoError(t, err) {
		return
	}
	resp, err := l.pool.RoundTrip(req)
	if !assert.NoError(t, err) {
		return
	}
	if n := l.sent.Add(1); n%4 == 0 { // while others, and this one's response, are under way
		l.change(t, int(n/4))
	}
	_, err = io.Copy(io.Discard, resp.Body)
	assert.NoError(t, err)
	assert.NoError(t, resp.Body.Close())
}

func (l *changingList) change(t *testing.T, i int) {
	for _, x := range l.pool.pool().roster.Load().proxies {
		l.seen.Store(x, true)
	}
	assert.NoError(t, l.pool.Replace(append(append([]*url.URL{}, l.urls[i%8:]...), l.urls[:(i+3)%8]...)))
}

func TestWhatIsUnderWayThroughADroppedProxyGoesOn(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		for _, proto := range protocols {
			t.Run(scheme+"/"+proto.name, func(t *testing.T) {
				w := newWorld(t)
				servers, urls := w.proxies(scheme, 2)
				begin, goOn := make(chan struct{}, 2), make(chan struct{})
				to := target(t, proto, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/body" {
						_, _ = io.WriteString(w, "one ")
						_ = http.NewResponseController(w).Flush()
					}
					begin <- struct{}{}
					<-goOn
					_, _ = io.WriteString(w, "two")
				})
				pool := w.pool(urls[:1])
				old := pool.pool().roster.Load().proxies[0]
				var all sync.WaitGroup
				for path, want := range map[string]string{"/header": "two", "/body": "one two"} {
					all.Go(func() {
						resp, err := pool.RoundTrip(request(t, http.MethodPost, to.URL+path, nil))
						if assert.NoError(t, err) {
							got, err := io.ReadAll(resp.Body)
							assert.NoError(t, err)
							assert.Equal(t, want, string(got))
							assert.NoError(t, resp.Body.Close())
						}
					})
				}
				<-begin
				<-begin
				require.NoError(t, pool.Replace(urls[1:]))
				require.Len(t, pool.Stats(), 1)
				assert.Equal(t, Name(urls[1]), pool.Stats()[0].Proxy)
				assert.False(t, old.isClosed())
				close(goOn)
				all.Wait()
				gone(t, old)
				until(t, "it keeps connections", func() bool { return servers[0].open() == 0 })
			})
		}
	}
}

// TestResponsesReadToTheirEnd has callers not close what they have read.
func TestResponsesReadToTheirEnd(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto.name, func(t *testing.T) {
			w := newWorld(t)
			servers, urls := w.proxies("http", 1)
			to := target(t, proto, hello)
			pool := w.pool(urls)
			old := pool.pool().roster.Load().proxies[0]
			resp, err := pool.RoundTrip(request(t, http.MethodGet, to.URL, nil))
			require.NoError(t, err)
			assert.EqualValues(t, 1, pool.Stats()[0].InFlight)
			require.NoError(t, pool.Replace(nil))
			got, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			assert.Equal(t, "hello", string(got))
			gone(t, old)
			assert.Zero(t, old.inFlight.Load())
			until(t, "a connection stays", func() bool { return servers[0].open() == 0 })
			require.NoError(t, resp.Body.Close())
			assert.Zero(t, old.inFlight.Load(), "it is given back once")
		})
	}
}

// TestAbandonedResponses has callers not read what they get.
func TestAbandonedResponses(t *testing.T) {
	t.Parallel()
	for _, proto := range protocols {
		for _, way := range []string{"closed unread", "cancelled and never closed", "cancelled, then dropped"} {
			t.Run(proto.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				servers, urls := w.proxies("http", 1)
				to := target(t, proto, func(w http.ResponseWriter, r *http.Request) {
					for {
						if _, err := w.Write(make([]byte, 1<<16)); err != nil {
							return
						}
					}
				})
				pool := w.pool(urls)
				old := pool.pool().roster.Load().proxies[0]
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				resp, err := pool.RoundTrip(request(t, http.MethodGet, to.URL, nil).WithContext(ctx))
				require.NoError(t, err)
				switch way {
				case "closed unread":
					require.NoError(t, resp.Body.Close())
					assert.Zero(t, pool.Stats()[0].InFlight)
					pool.CloseIdleConnections()
					require.NoError(t, pool.Replace(nil))
				case "cancelled and never closed":
					require.NoError(t, pool.Replace(nil))
					cancel()
				default:
					cancel()
					until(t, "the request goes on", func() bool { return old.inFlight.Load() == 0 })
					require.NoError(t, pool.Replace(nil))
				}
				until(t, "it is never closed", func() bool { return servers[0].open() == 0 && old.isClosed() })
				gone(t, old)
			})
		}
	}
}

func TestConnectionsThatComeTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Int32
		base := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			time.Sleep(5 * time.Second) // whatever the context says
			client, server := net.Pipe()
			go func() {
				_, _ = io.Copy(io.Discard, server)
				late.Add(1)
				_ = server.Close()
			}()
			return client, nil
		}}
		p, err := New(memoryURLs("a"), WithTransport(base))
		require.NoError(t, err)
		old := p.pool().roster.Load().proxies[0]
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, sendWith(ctx, p, http.MethodGet, "http://target.test/"), context.DeadlineExceeded)
		require.NoError(t, p.Replace(nil))
		gone(t, old)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.EqualValues(t, 1, late.Load(), "the connection is closed")
		gone(t, old)
	})
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Bool
		base := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			ended.Store(true)
			return nil, ctx.Err()
		}}
		p, err := New(memoryURLs("a"), WithTransport(base), WithConnectTimeout(24*time.Hour))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, sendWith(ctx, p, http.MethodGet, "http://target.test/"), context.DeadlineExceeded)
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
		assert.True(t, ended.Load(), "to connect with a dropped proxy ends")
	})
}

func TestReplaceIsAllOrNothing(t *testing.T) {
	urls := memoryURLs("a", "b", "c")
	p, err := New(urls)
	require.NoError(t, err)
	before := p.pool().roster.Load().proxies
	require.Error(t, p.Replace([]*url.URL{urls[0], nil}))
	require.Error(t, p.Replace([]*url.URL{urls[0], {Scheme: "ftp", Host: "x"}}))
	assert.Equal(t, namesOf(urls), statNames(p))
	require.NoError(t, p.Replace([]*url.URL{urls[2], urls[0], urls[2]}))
	assert.Equal(t, namesOf([]*url.URL{urls[2], urls[0]}), statNames(p), "in the order of the list, each once")
	after := p.pool().roster.Load().proxies
	assert.Same(t, before[2], after[0])
	assert.Same(t, before[0], after[1])
	require.NoError(t, p.Replace(nil))
	assert.Empty(t, p.Stats())
	require.NoError(t, p.Replace(urls))
	for _, x := range p.pool().roster.Load().proxies {
		assert.NotContains(t, before, x, "what was dropped is made anew")
	}
}

func TestReplaceKeepsRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		urls := memoryURLs("a", "b")
		p, err := New(urls, WithTransport(m.base()), WithRest(time.Hour, time.Hour))
		require.NoError(t, err)
		require.Error(t, send(p, http.MethodGet, "http://t.test/"))
		require.Equal(t, "proxy pool: 2 proxies, 2 resting", p.String())
		require.NoError(t, p.Replace([]*url.URL{urls[1]}))
		assert.Equal(t, "proxy pool: 1 proxies, 1 resting", p.String())
		require.ErrorIs(t, send(p, http.MethodGet, "http://t.test/"), ErrNoProxy)
		require.NoError(t, p.Replace(urls))
		assert.Equal(t, "proxy pool: 2 proxies, 1 resting", p.String(), "one that was dropped begins anew")
		require.NoError(t, p.Replace(nil))
		require.ErrorIs(t, send(p, http.MethodGet, "http://t.test/"), ErrNoProxy)
	})
}

func namesOf(urls []*url.URL) (names []string) {
	for _, u := range urls {
		names = append(names, Name(u))
	}
	return names
}

func statNames(p *Pool) (names []string) {
	for _, s := range p.Stats() {
		names = append(names, s.Proxy)
	}
	return names
}
