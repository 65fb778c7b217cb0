package proxypool_test

import (
	"context"
	"crypto/x509"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/proxypool"
)

// mixture is what came of requests for a good target and a bad one, through three
// good proxies.
type mixture struct {
	mu      sync.Mutex
	via     map[string]int // the good target's answers
	failed  []error        // of requests for the good target
	waited  int
	errors  []error // of requests for the bad target
	statusN map[int]int
	rested  map[string]bool
	allRest bool
}

// threeProxies starts good ones.
func threeProxies(n *network, scheme string) (urls []*url.URL) {
	for i := range 3 {
		urls = append(urls, n.goodProxy(scheme, "good"+strconv.Itoa(i)+".example.com"))
	}
	return urls
}

// mix sends fifty requests a second. Every fifth is for the bad target.
func mix(t *testing.T, pool *proxypool.Pool, o timeouts, good, bad string, requests int) *mixture {
	m := &mixture{via: make(map[string]int), statusN: make(map[int]int), rested: make(map[string]bool)}
	var all sync.WaitGroup
	for i := range requests {
		all.Go(func() {
			began := time.Now()
			target := good
			if i%5 == 0 {
				target = bad
			}
			status, via, err := askFor(t.Context(), pool, o.client, target)
			took := time.Since(began)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.look(pool)
			switch {
			case target == bad && err != nil:
				m.errors = append(m.errors, err)
			case target == bad:
				m.statusN[status]++
			case err != nil:
				m.failed = append(m.failed, err)
			default:
				m.via[via]++
				if took > o.shorter()/10 {
					m.waited++
				}
			}
		})
		time.Sleep(20 * time.Millisecond)
	}
	all.Wait()
	return m
}

// look notes which proxies rest.
func (m *mixture) look(pool *proxypool.Pool) {
	resting := 0
	stats := pool.Stats()
	for _, s := range stats {
		if !s.RestsUntil.IsZero() {
			m.rested[s.Proxy] = true
			resting++
		}
	}
	m.allRest = m.allRest || resting == len(stats)
}

func askFor(ctx context.Context, pool *proxypool.Pool, timeout time.Duration, target string) (status int, via string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := pool.RoundTrip(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, proxypool.Via(resp), err
}

// holds that the good target is served as if there were no other, by all evenly.
func (m *mixture) holds(t *testing.T, requests int) {
	t.Helper()
	assert.Empty(t, m.failed)
	assert.Zero(t, m.waited, "requests for another target waited")
	assert.Empty(t, m.rested, "proxies rest for what the target does")
	assert.Len(t, m.via, 3)
	share := float64(requests) * 4 / 5 / 3
	for proxy, n := range m.via {
		assert.InDelta(t, share, n, share/10, proxy)
	}
}

// eachTarget calls do for each protocol, and in the long runs for both timeouts.
func eachTarget(t *testing.T, do func(t *testing.T, n *network, p protocol, o timeouts)) {
	certificates()
	for i, p := range protocols {
		for j, o := range bothTimeouts {
			if !proxypool.Sampled(i+j, 2) {
				continue
			}
			t.Run(p.name+"/"+o.name, func(t *testing.T) {
				t.Parallel()
				inBubble(t, func(t *testing.T, n *network) { do(t, n, p, o) })
			})
		}
	}
}

// A target that says nothing to anyone rests nobody, and other targets go on.
func TestATargetThatHangs(t *testing.T) {
	t.Parallel()
	requests := proxypool.Sized(100, 500)
	hang := func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // or its answer would race the end of the request
	}
	for _, scheme := range []string{"http", "socks5"} {
		for _, samePlace := range []bool{false, true} {
			name := scheme + ", another host"
			if samePlace {
				name = scheme + ", another path"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				eachTarget(t, func(t *testing.T, n *network, p protocol, o timeouts) {
					known := certificates().known
					good := n.target("target.example.com", p, known, func(w http.ResponseWriter, r *http.Request) {
						if r.URL.Path == "/hang" {
							hang(w, r)
							return
						}
						n.greet(w, r)
					})
					bad := n.target("hanging.example.com", p, known, hang)
					if samePlace {
						bad = good + "hang"
					}
					pool := n.pool(threeProxies(n, scheme), proxypool.WithConnectTimeout(o.connect))
					alone := mix(t, pool, o, bad, bad, 20)
					assert.Empty(t, alone.rested, "alone")
					m := mix(t, pool, o, good, bad, requests)
					m.holds(t, requests)
					require.Len(t, m.errors, requests/5)
					for _, err := range m.errors {
						require.ErrorIs(t, err, context.DeadlineExceeded)
					}
				})
			})
		}
	}
}

// Each proxy says that it cannot reach the target. It is the target then.
func TestATargetThatIsDown(t *testing.T) {
	t.Parallel()
	requests := proxypool.Sized(100, 500)
	for _, scheme := range []string{"http", "https", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			eachTarget(t, func(t *testing.T, n *network, p protocol, o timeouts) {
				good := n.target("target.example.com", p, certificates().known, n.greet)
				bad := n.target("down.example.com", p, certificates().known, n.greet)
				_ = n.hosts["down.example.com"].listener.Close()
				pool := n.pool(threeProxies(n, scheme), proxypool.WithConnectTimeout(o.connect))
				alone := mix(t, pool, o, bad, bad, 20)
				assert.Empty(t, alone.rested, "alone")
				m := mix(t, pool, o, good, bad, requests)
				m.holds(t, requests)
				if p.name == "http" && scheme != "socks5" {
					assert.Equal(t, map[int]int{http.StatusBadGateway: requests / 5}, m.statusN)
					return
				}
				require.Len(t, m.errors, requests/5)
				for _, err := range m.errors {
					require.ErrorIs(t, err, proxypool.ErrRefused)
				}
			})
		})
	}
}

// The certificate that every proxy brings is the target's.
func TestATargetWithACertificateThatNobodyKnows(t *testing.T) {
	t.Parallel()
	requests := proxypool.Sized(100, 500)
	for _, scheme := range []string{"http", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			eachTarget(t, func(t *testing.T, n *network, p protocol, o timeouts) {
				if !p.secure {
					t.Skip("has no certificate")
				}
				good := n.target("target.example.com", p, certificates().known, n.greet)
				bad := n.target("stranger.example.com", p, certificates().stranger, n.greet)
				pool := n.pool(threeProxies(n, scheme), proxypool.WithConnectTimeout(o.connect))
				alone := mix(t, pool, o, bad, bad, 20)
				assert.Empty(t, alone.rested, "alone")
				m := mix(t, pool, o, good, bad, requests)
				m.holds(t, requests)
				require.Len(t, m.errors, requests/5)
				for _, err := range m.errors {
					var unknown x509.UnknownAuthorityError
					require.ErrorAs(t, err, &unknown)
				}
			})
		})
	}
}

// A target that breaks off half of what it is asked, by chance, costs no request
// that may be sent again, and no other target.
func TestATargetThatBreaksOffHalf(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"http", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			eachTarget(t, func(t *testing.T, n *network, p protocol, o timeouts) {
				if !p.secure && scheme == "http" {
					t.Skip("its proxy answers instead")
				}
				good := n.target("target.example.com", p, certificates().known, n.greet)
				var mu sync.Mutex
				chance := rand.New(rand.NewPCG(1, 2))
				bad := n.target("breaking.example.com", p, certificates().known, func(w http.ResponseWriter, r *http.Request) {
					mu.Lock()
					breaks := chance.IntN(2) == 0
					mu.Unlock()
					if breaks {
						panic(http.ErrAbortHandler)
					}
					n.greet(w, r)
				})
				pool := n.pool(threeProxies(n, scheme), proxypool.WithConnectTimeout(o.connect))
				m := mix(t, pool, o, good, bad, 500)
				assert.Empty(t, m.failed)
				assert.Zero(t, m.waited)
				assert.False(t, m.allRest, "all rest")
				// Three proxies are three tries, all of which break off one time in eight.
				assert.InDelta(t, 100.0/8, len(m.errors), 10)
				assert.Empty(t, m.rested, "proxies rest for what the target does")
			})
		})
	}
}
