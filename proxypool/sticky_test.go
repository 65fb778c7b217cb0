package proxypool

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func stickyPool(t testing.TB, urls []*url.URL) *Pool {
	t.Helper()
	p, err := New(urls, Sticky(byAccount), WithRest(time.Hour, time.Hour))
	require.NoError(t, err)
	return p
}

// mapping returns the names of the proxies of n keys.
func mapping(p *Pool, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = pick(p, &http.Request{Host: fmt.Sprint("key-", i)}).name
	}
	return list
}

// slowHash and slowRing are the documented placing, without anything clever.
func slowHash(s string) uint64 {
	f := fnv.New64a()
	_, _ = f.Write([]byte(s))
	return slowMix(f.Sum64())
}

func slowMix(h uint64) uint64 {
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

func slowPlace(hash uint64, i int) uint32 {
	return uint32(slowMix(hash+uint64(i)*0x9e3779b97f4a7c15) >> 32)
}

// slowPoints returns the hashes that proxies are placed by. Those of one point are placed
// one by one, in the order of their identity.
func slowPoints(all []*proxy) map[*proxy]uint64 {
	sorted := slices.Clone(all)
	slices.SortFunc(sorted, func(a, b *proxy) int { return cmp.Compare(a.identity, b.identity) })
	last := make(map[string]uint64)
	hashes := make(map[*proxy]uint64)
	for _, x := range sorted {
		hash, again := last[x.point]
		if again {
			hash = slowMix(hash + 0x9e3779b97f4a7c15)
		} else {
			hash = slowHash(x.point)
		}
		last[x.point], hashes[x] = hash, hash
	}
	return hashes
}

// slowHome is the proxy of a key among candidates, which are some of a list of n.
func slowHome(hashes map[*proxy]uint64, n int, candidates []*proxy, name string) *proxy {
	if n > 256 {
		return slowRing(hashes, candidates, name)
	}
	key := slowMix(slowHash(name) >> 46) // its slot
	var best *proxy
	var greatest uint64
	for _, x := range candidates {
		high, low := bits.Mul64(key^hashes[x], 0x9e3779b97f4a7c15)
		if w := high ^ low; best == nil || w > greatest {
			best, greatest = x, w
		}
	}
	return best
}

func slowRing(hashes map[*proxy]uint64, candidates []*proxy, name string) *proxy {
	sorted := slices.Clone(candidates)
	slices.SortFunc(sorted, func(a, b *proxy) int {
		return cmp.Or(cmp.Compare(hashes[a], hashes[b]), cmp.Compare(a.identity, b.identity))
	})
	key := slowMix(slowHash(name) >> 42) // its slot
	var best *proxy
	var closest uint32
	for i := range 4 {
		var owner *proxy
		var nearest uint32
		for _, x := range sorted {
			for j := range 4 {
				d := slowPlace(hashes[x], j) - slowPlace(key, i)
				if owner == nil || d < nearest {
					owner, nearest = x, d
				}
			}
		}
		if owner != nil && (best == nil || nearest>>2 < closest>>2) {
			best, closest = owner, nearest
		}
	}
	return best
}

func TestStickyAgreesWithItsDefinition(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range Sized(60, 300) {
		n := 1 + random.IntN(40)
		if round%10 == 0 {
			n = 255 + random.IntN(6)
		}
		urls := make([]*url.URL, n)
		for i := range urls {
			urls[i] = &url.URL{Scheme: "http", Host: fmt.Sprintf("h%d:%d", random.IntN(25*n), 1+random.IntN(3))}
			if random.IntN(2) == 0 { // the same place for several
				urls[i].User = url.UserPassword("login", fmt.Sprint(random.IntN(5)))
			}
		}
		p := stickyPool(t, urls)
		var tried, others []*proxy
		for _, x := range p.pool().roster.Load().proxies {
			switch {
			case round%3 > 0 && random.IntN(3) == 0:
				layUp(p, x.position)
			case round%3 > 1 && random.IntN(3) == 0:
				tried = append(tried, x)
			default:
				others = append(others, x)
			}
		}
		for range 50 {
			key := fmt.Sprint(random.Uint64())
			all := p.pool().roster.Load().proxies
			want := slowHome(slowPoints(all), len(all), others, key)
			got := pick(p, &http.Request{Host: key}, tried...)
			if want == nil {
				require.Nil(t, got)
				continue
			}
			require.NotNil(t, got)
			require.Equal(t, want.identity, got.identity, "%d proxies, round %d", n, round)
		}
	}
}

func FuzzSticky(f *testing.F) {
	f.Add(uint8(3), false, "key", uint64(1))
	f.Add(uint8(1), false, "k", uint64(0))
	f.Add(uint8(64), false, "\x00", ^uint64(0)>>1)
	f.Add(uint8(64), true, "key", ^uint64(0)>>1)
	f.Fuzz(func(t *testing.T, n uint8, long bool, key string, resting uint64) {
		urls := manyURLs(int(n)%64 + 1)
		if long {
			urls = manyURLs(257 + int(n)%64)
		}
		p := stickyPool(t, urls)
		var others []*proxy
		for _, x := range p.pool().roster.Load().proxies {
			if resting>>(x.position%64)&1 != 0 {
				layUp(p, x.position)
				continue
			}
			others = append(others, x)
		}
		if key == "" {
			return
		}
		got, want := pick(p, &http.Request{Host: key}), slowHome(slowPoints(p.pool().roster.Load().proxies), len(urls), others, key)
		if want != got {
			t.Fatalf("%v, not %v", got, want)
		}
	})
}

func TestStickyIsTheSameEverywhere(t *testing.T) {
	urls := manyURLs(50)
	want := mapping(stickyPool(t, urls), 1000)
	assert.Equal(t, want, mapping(stickyPool(t, urls), 1000), "another pool")
	shuffled := slices.Clone(urls)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	assert.Equal(t, want, mapping(stickyPool(t, shuffled), 1000), "another order")
	other := make([]*url.URL, len(urls))
	for i, u := range urls {
		other[i] = &url.URL{Scheme: "HTTP", User: url.UserPassword("login", fmt.Sprint("other", i)), Host: u.Host, Path: "/"}
	}
	assert.Equal(t, want, mapping(stickyPool(t, other), 1000), "other passwords")
}

// TestStickyStaysAsItWas keeps a new version from moving accounts to other proxies.
func TestStickyStaysAsItWas(t *testing.T) {
	var urls []*url.URL
	for i := range 9 {
		urls = append(urls, &url.URL{Scheme: "socks5", User: url.UserPassword("login", "x"), Host: fmt.Sprintf("p%d.example.com:1080", i)})
	}
	p := stickyPool(t, urls)
	const homes = "585138310043228203864277277636635273710168658777483518702163" // of account-0, account-1 and so on
	for i, want := range homes {
		key := fmt.Sprint("account-", i)
		assert.Equal(t, fmt.Sprintf("socks5://login:***@p%c.example.com:1080", want), pick(p, &http.Request{Host: key}).name, key)
	}
	p = stickyPool(t, manyURLs(300)) // a long list
	for i, want := range []int{165, 121, 32, 213, 163, 200, 169, 122, 43, 222, 203, 204, 12, 177, 172, 231, 190, 150, 74, 42} {
		assert.Equal(t, want, pick(p, &http.Request{Host: fmt.Sprint("account-", i)}).position, "account-%d", i)
	}
}

func TestStickySharesShortListsEvenly(t *testing.T) {
	t.Parallel()
	for n, within := range map[int]float64{2: 0.005, 3: 0.01, 8: 0.02, 64: 0.08, 256: 0.15} {
		g := stickyPool(t, manyURLs(n)).pool().roster.Load().ring
		shares := make([]float64, n) // of all slots
		for slot := range uint64(1 << 18) {
			shares[g.home(slot)] += float64(n) / (1 << 18)
		}
		for _, share := range shares {
			assert.InDelta(t, 1, share, within, "of %d", n)
		}
	}
	counts := map[string]int{}
	for _, name := range mapping(stickyPool(t, manyURLs(2)), 3000) {
		counts[name]++
	}
	for _, count := range counts {
		assert.InDelta(t, 1500, count, 110, "four times what chance does")
	}
}

func TestStickyWhenTheListChanges(t *testing.T) {
	t.Parallel()
	keys := Sized(5000, 20_000)
	for _, n := range []int{2, 3, 8, 50, 255, 1000} {
		urls := manyURLs(n + 1)
		p := stickyPool(t, urls[:n])
		before := mapping(p, keys)
		for _, i := range []int{0, n / 2, n - 1} {
			left := Name(urls[i])
			require.NoError(t, p.Replace(slices.Delete(slices.Clone(urls[:n]), i, i+1)))
			moved := 0
			for k, now := range mapping(p, keys) {
				if now != before[k] {
					moved++
					require.Equal(t, left, before[k], "only its own move")
				}
			}
			assert.LessOrEqual(t, moved, 2*keys/n, "%d proxies", n)
			assert.NotZero(t, moved)
		}
		require.NoError(t, p.Replace(urls))
		moved := 0
		for k, now := range mapping(p, keys) {
			if now != before[k] {
				moved++
				require.Equal(t, Name(urls[n]), now, "only to the new one")
			}
		}
		assert.LessOrEqual(t, moved, 2*keys/(n+1), "%d proxies", n)
		assert.NotZero(t, moved)
	}
}

func TestStickyWhileOneRests(t *testing.T) {
	const keys = 10_000
	urls := manyURLs(8)
	p := stickyPool(t, urls)
	before := mapping(p, keys)
	layUp(p, 3)
	elsewhere := map[string]int{}
	for k, now := range mapping(p, keys) {
		if before[k] != Name(urls[3]) {
			require.Equal(t, before[k], now, "others stay")
			continue
		}
		require.NotEqual(t, before[k], now)
		elsewhere[now]++
	}
	require.Len(t, elsewhere, 7, "they are spread over all others")
	for _, count := range elsewhere {
		assert.InDelta(t, keys/8/7, count, 60, "evenly")
	}
	for _, x := range p.pool().roster.Load().proxies {
		if x.position == 3 {
			p.pool().wake(&attempt{proxy: x, epoch: x.epoch.Load()})
		}
	}
	assert.Equal(t, before, mapping(p, keys), "they come back")
}

func TestStickyWithoutAKeyTakesTurns(t *testing.T) {
	p := stickyPool(t, manyURLs(8))
	counts := map[*proxy]int{}
	for range 800 {
		counts[pick(p, &http.Request{})]++
	}
	require.Len(t, counts, 8)
	for _, n := range counts {
		assert.Equal(t, 100, n)
	}
}

// BenchmarkStickyShort shows what choosing costs with a short list: all are well, a
// tenth rests, or the slots are not remembered yet.
func BenchmarkStickyShort(b *testing.B) {
	reqs := manyRequests(1 << 13)
	for _, n := range []int{2, 16, 256} {
		for _, rests := range []bool{false, true} {
			p := stickyPool(b, manyURLs(n))
			for i := 0; rests && i < n; i += 10 {
				layUp(p, i)
			}
			b.Run(fmt.Sprintf("%d/resting=%t", n, rests), func(b *testing.B) {
				b.ReportAllocs()
				for i := range b.N {
					pick(p, reqs[i%len(reqs)])
				}
			})
		}
		g := stickyPool(b, manyURLs(n)).pool().roster.Load().ring
		b.Run(fmt.Sprintf("%d/first", n), func(b *testing.B) {
			for i := range b.N {
				g.find(uint64(i))
			}
		})
	}
}

func TestStickyThroughServers(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 3)
	to := target(t, protocols[2], hello)
	pool := w.pool(urls, Sticky(func(r *http.Request) string { return r.URL.Path }), WithRest(time.Hour, time.Hour))
	home := get(t, pool, to.URL+"/account")
	for range 20 {
		require.Equal(t, home, get(t, pool, to.URL+"/account"))
	}
	for i, u := range urls {
		if Name(u) == home {
			servers[i].kill()
			pool.CloseIdleConnections()
		}
	}
	elsewhere := get(t, pool, to.URL+"/account")
	require.NotEqual(t, home, elsewhere)
	for range 20 {
		require.Equal(t, elsewhere, get(t, pool, to.URL+"/account"))
	}
}
