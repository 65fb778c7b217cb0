package proxypool

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crowd has 64 goroutines do it n times in all.
func crowd(n int, do func()) {
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for range n / 64 {
				do()
			}
		})
	}
	all.Wait()
}

func TestRoundRobinIsEven(t *testing.T) {
	t.Parallel()
	for i, scheme := range []string{"http", "socks5"} {
		for j, proto := range protocols {
			if !Sampled(i+j, 2) {
				continue
			}
			t.Run(scheme+"/"+proto.name, func(t *testing.T) {
				requests := Sized(320, 1600)
				w := newWorld(t)
				servers, urls := w.proxies(scheme, 8)
				to := target(t, proto, hello)
				pool := w.pool(urls, WithConnectTimeout(5*time.Minute)) // on a busy machine connecting takes long
				crowd(requests, func() { assert.NoError(t, send(pool, http.MethodGet, to.URL)) })
				for i, s := range pool.Stats() {
					assert.InDelta(t, requests/8, s.Requests, float64(requests)/8*0.01)
					assert.Zero(t, s.Failures)
					assert.Zero(t, s.InFlight)
					if proto.name == "HTTP/2" {
						assert.EqualValues(t, 1, servers[i].tunnels.Load(), "one connection serves all")
						assert.Equal(t, 1, s.Connections)
					}
					assert.LessOrEqual(t, s.Connects, uint64(64), "no more than there are requests at once")
					assert.EqualValues(t, s.Connects, servers[i].accepted.Load())
				}
			})
		}
	}
}

func TestFirstConnectionIsMadeAlone(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 1)
	one := target(t, protocols[2], hello)
	two := target(t, protocols[2], hello)
	pool := w.pool(urls)
	crowd(640, func() {
		assert.NoError(t, send(pool, http.MethodPost, one.URL))
		assert.NoError(t, send(pool, http.MethodPost, two.URL))
	})
	assert.EqualValues(t, 2, servers[0].tunnels.Load(), "one a host")
	until(t, "connections stay", func() bool {
		pool.CloseIdleConnections() // over HTTP/2 one may be idle only a moment after its last response
		return servers[0].open() == 0 && pool.Stats()[0].Connections == 0
	})
	crowd(640, func() { assert.NoError(t, send(pool, http.MethodPost, one.URL)) })
	assert.EqualValues(t, 3, servers[0].tunnels.Load())
	for _, x := range pool.pool().roster.Load().proxies {
		x.mu.Lock()
		assert.LessOrEqual(t, len(x.line.hosts), 1, "hosts without connections are forgotten")
		x.mu.Unlock()
	}
}

// pick asks the strategy of a pool.
func pick(p *Pool, req *http.Request, tried ...*proxy) *proxy {
	return p.pool().settings.strategy.choose(p.pool().roster.Load(), req, want{tried: tried, pool: p.pool()})
}

// layUp lets proxies rest, by their place in the list.
func layUp(p *Pool, positions ...int) {
	for _, x := range p.pool().roster.Load().proxies {
		for _, i := range positions {
			if x.position == i {
				p.pool().rest(&attempt{proxy: x, epoch: x.epoch.Load()}, ErrUnreachable, false)
			}
		}
	}
}

func TestThoseThatAreLeftShareEvenly(t *testing.T) {
	for _, resting := range [][]int{{0, 1, 2}, {1, 4, 7}, {5, 6, 7}} {
		p, err := New(manyURLs(8), WithRest(time.Hour, time.Hour))
		require.NoError(t, err)
		layUp(p, resting...)
		var mu sync.Mutex
		counts := map[int]int{}
		crowd(6400, func() {
			x := pick(p, &http.Request{})
			mu.Lock()
			counts[x.position]++
			mu.Unlock()
		})
		require.Len(t, counts, 5)
		for i, n := range counts {
			assert.InDelta(t, 1280, n, 12.8, "%d, %v rest", i, resting)
		}
	}
}

func TestRandomIsEven(t *testing.T) {
	p, err := New(manyURLs(8), Random(), WithRest(time.Hour, time.Hour))
	require.NoError(t, err)
	count := func() map[int]int {
		counts := map[int]int{}
		for range 80_000 {
			counts[pick(p, &http.Request{}).position]++
		}
		return counts
	}
	counts := count()
	require.Len(t, counts, 8)
	for _, n := range counts {
		assert.InDelta(t, 10_000, n, 1000) // ten times the standard deviation
	}
	layUp(p, 0, 1, 2)
	counts = count()
	require.Len(t, counts, 5)
	for _, n := range counts {
		assert.InDelta(t, 16_000, n, 1200)
	}
}

// TestTheOneThatIsLeftIsFound has all rest, or have been tried, but one.
func TestTheOneThatIsLeftIsFound(t *testing.T) {
	for _, c := range choosers {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range []int{1, 2, 63, 64, 65, 128, 200} {
				for _, left := range []int{0, n / 2, n - 1} {
					p, err := New(manyURLs(n), c.option, WithRest(time.Hour, time.Hour))
					require.NoError(t, err)
					var tried, others []*proxy
					var positions []int
					for _, x := range p.pool().roster.Load().proxies {
						if x.position != left {
							others = append(others, x)
							positions = append(positions, x.position)
						}
					}
					tried = append(tried, others...)
					for _, req := range manyRequests(5) {
						got := pick(p, req, tried...)
						require.NotNil(t, got)
						assert.Equal(t, left, got.position)
					}
					layUp(p, positions...)
					for _, req := range manyRequests(5) {
						got := pick(p, req)
						require.NotNil(t, got, "%d of %d", left, n)
						assert.Equal(t, left, got.position)
						assert.Nil(t, pick(p, req, got))
					}
					layUp(p, left)
					assert.Nil(t, pick(p, &http.Request{Host: "x"}))
				}
			}
		})
	}
}

// TestWellAndRestingAreCounted has many fall ill and get well at once.
func TestWellAndRestingAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := New(manyURLs(130), WithRest(time.Second, time.Second))
		require.NoError(t, err)
		var all sync.WaitGroup
		for _, x := range p.pool().roster.Load().proxies {
			epoch := x.epoch.Load()
			for range 8 {
				all.Go(func() { p.pool().rest(&attempt{proxy: x, epoch: epoch}, ErrUnreachable, false) })
			}
		}
		all.Wait()
		assert.Zero(t, p.pool().roster.Load().well.Load())
		time.Sleep(time.Minute)
		probes := map[*proxy]bool{}
		for range 130 {
			x := p.pool().claim(want{pool: p.pool()})
			require.NotNil(t, x)
			require.False(t, probes[x], "one probe each")
			probes[x] = true
			for range 4 {
				all.Go(func() { p.pool().wake(&attempt{proxy: x, epoch: x.epoch.Load()}) })
			}
			all.Wait()
		}
		assert.EqualValues(t, 130, p.pool().roster.Load().well.Load())
	})
}

func TestChoosingAllocatesNothing(t *testing.T) {
	n := Sized(5000, 20_000)
	reqs := manyRequests(1000)
	for _, c := range choosers {
		t.Run(c.name, func(t *testing.T) {
			p, err := New(manyURLs(n), c.option, WithRest(time.Hour, time.Hour))
			require.NoError(t, err)
			i := 0
			choose := func() {
				i++
				if pick(p, reqs[i%len(reqs)]) == nil {
					t.Error("none")
				}
			}
			assert.Zero(t, testing.AllocsPerRun(1000, choose))
			for _, x := range p.pool().roster.Load().proxies {
				if x.position%10 == 0 {
					p.pool().rest(&attempt{proxy: x}, ErrUnreachable, false)
				}
			}
			assert.EqualValues(t, n-n/10, p.pool().roster.Load().well.Load())
			assert.Zero(t, testing.AllocsPerRun(1000, choose))
		})
	}
}

func TestTheListMayBeEmpty(t *testing.T) {
	for _, c := range choosers {
		p, err := New(nil, c.option)
		require.NoError(t, err)
		require.ErrorIs(t, send(p, http.MethodGet, "http://t.test/"), ErrNoProxy)
		require.NoError(t, p.Replace([]*url.URL{}))
		assert.Empty(t, p.Stats())
	}
}

// Many that stand side by side may rest at once, as where a network is down: those
// that are well share what they would have had.
func TestManyThatRestSideBySide(t *testing.T) {
	t.Parallel()
	const n = 1000
	picks := Sized(20_000, 100_000)
	for _, c := range choosers[:2] {
		for _, resting := range []int{500, 900, 990} {
			t.Run(fmt.Sprint(c.name, " without ", resting), func(t *testing.T) {
				p, err := New(manyURLs(n), c.option, WithRest(time.Hour, time.Hour))
				require.NoError(t, err)
				for _, x := range p.pool().roster.Load().proxies[:resting] {
					p.pool().rest(&attempt{proxy: x}, ErrUnreachable, false)
				}
				taken := make(map[*proxy]int)
				for range picks {
					taken[pick(p, &http.Request{})]++
				}
				require.Len(t, taken, n-resting, "all that are well, and no other")
				for _, times := range taken {
					assert.LessOrEqual(t, times, 2*picks/(n-resting))
				}
			})
		}
	}
}
