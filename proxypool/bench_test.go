package proxypool

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// manyURLs returns n proxies.
func manyURLs(n int) []*url.URL {
	urls := make([]*url.URL, n)
	for i := range urls {
		urls[i] = &url.URL{Scheme: "http", User: url.UserPassword("login", "password"), Host: fmt.Sprintf("10.%d.%d.%d:8080", i>>16, i>>8&255, i&255)}
	}
	return urls
}

// manyRequests returns requests, each with a key of its own for [byAccount].
func manyRequests(n int) []*http.Request {
	list := make([]*http.Request, n)
	for i := range list {
		list[i] = &http.Request{Host: "account-" + strconv.Itoa(i)}
	}
	return list
}

func byAccount(req *http.Request) string { return req.Host }

// choosers are the strategies, as options.
var choosers = []struct {
	name   string
	option Option
}{
	{"RoundRobin", RoundRobin()},
	{"Random", Random()},
	{"Sticky", Sticky(byAccount)},
}

// mutexRotator is what people write by hand: a lock, and a list.
type mutexRotator struct {
	mu   sync.Mutex
	next int
	list []*proxy
}

func (r *mutexRotator) choose() *proxy {
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.list[r.next%len(r.list)]
	r.next++
	return x
}

// BenchmarkChoose shows what choosing costs a request: a list of 100,000 proxies,
// 64 goroutines at once; all are well, or a tenth rests.
func BenchmarkChoose(b *testing.B) {
	const n = 100_000
	urls, reqs := manyURLs(n), manyRequests(1<<13)
	atOnce := func(b *testing.B, choose func(req *http.Request) *proxy) {
		b.ReportAllocs()
		b.SetParallelism((64 + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if choose(reqs[i%len(reqs)]) == nil {
					b.Error("none was chosen")
				}
			}
		})
	}
	for _, c := range choosers {
		for _, restOne := range []int{0, 10} {
			p, err := New(urls, c.option)
			require.NoError(b, err)
			name := c.name
			if restOne > 0 {
				name += "/a tenth rests"
				for i, x := range p.pool().roster.Load().proxies {
					if i%restOne == 0 {
						p.pool().rest(&attempt{proxy: x}, ErrUnreachable, false)
					}
				}
			}
			b.Run(name, func(b *testing.B) {
				atOnce(b, func(req *http.Request) *proxy {
					return p.pool().settings.strategy.choose(p.pool().roster.Load(), req, want{pool: p.pool()})
				})
			})
		}
	}
	b.Run("mutex and slice", func(b *testing.B) {
		p, err := New(urls)
		require.NoError(b, err)
		r := &mutexRotator{list: p.pool().roster.Load().proxies}
		atOnce(b, func(*http.Request) *proxy { return r.choose() })
	})
}

// BenchmarkNoneIsWell shows what it costs a request to find that all proxies rest.
func BenchmarkNoneIsWell(b *testing.B) {
	for _, c := range choosers {
		b.Run(c.name, func(b *testing.B) {
			p, err := New(manyURLs(100_000), c.option, WithRest(time.Hour, time.Hour))
			require.NoError(b, err)
			for _, x := range p.pool().roster.Load().proxies {
				p.pool().rest(&attempt{proxy: x}, ErrUnreachable, false)
			}
			req, err := http.NewRequest(http.MethodGet, "http://example.com/", nil)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.RoundTrip(req); err == nil {
					b.Fatal("a proxy was used")
				}
			}
		})
	}
}
