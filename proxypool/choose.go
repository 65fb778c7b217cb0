package proxypool

import (
	"math/bits"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
)

// strategy tells through which proxy a request goes.
type strategy interface {
	// arrange makes the roster of a list.
	arrange(list []*proxy) *roster
	// choose gives a proxy that is none of tried, and nil where there is none. It
	// reports whether the request is the one that tries a resting proxy.
	choose(p *pool, r *roster, req *http.Request, tried []*proxy) (x *proxy, probe bool)
}

// RoundRobin takes the proxies in turn, in the order of the list. It is what a
// pool does unless another way is set.
func RoundRobin() Option {
	return func(s *settings) error {
		s.strategy = &roundRobin{}
		return nil
	}
}

// Random takes any proxy, each as likely as the others.
func Random() Option {
	return func(s *settings) error {
		s.strategy = random{}
		return nil
	}
}

// roster is the list as requests choose from it. Only its marks of who rests
// change, so that choosing takes no lock and touches little memory.
type roster struct {
	proxies []*proxy        // in the order of the strategy
	resting []atomic.Uint64 // a bit a proxy
	well    atomic.Int64    // how many do not rest
	ring    *ring           // of a sticky pool
	known   map[string]*proxy
}

func newRoster(proxies []*proxy) *roster {
	r := &roster{proxies: proxies, resting: make([]atomic.Uint64, (len(proxies)+63)/64)}
	for i, x := range proxies {
		x.place = i
		if x.until.Load() != 0 {
			r.resting[i/64].Or(1 << (i % 64))
		} else {
			r.well.Add(1)
		}
	}
	return r
}

func (r *roster) rests(i int) bool { return r.resting[i/64].Load()&(1<<(i%64)) != 0 }

// setResting must be called with the mutex of the pool held.
func (r *roster) setResting(x *proxy, rests bool) {
	if x.place >= len(r.proxies) || r.proxies[x.place] != x {
		return // it was dropped
	}
	word, bit := &r.resting[x.place/64], uint64(1)<<(x.place%64)
	if was := word.Load()&bit != 0; was == rests {
		return
	}
	if rests {
		word.Or(bit)
		r.well.Add(-1)
		return
	}
	word.And(^bit)
	r.well.Add(1)
}

// take gives the proxy at i if it is well, or has rested long enough and nobody
// else tries it.
func (r *roster) take(p *pool, i int, tried []*proxy) (x *proxy, probe bool) {
	x = r.proxies[i]
	if len(tried) > 0 && slices.Contains(tried, x) {
		return nil, false
	}
	if !r.rests(i) {
		return x, false
	}
	if x.claim(p) {
		return x, true
	}
	return nil, false
}

// scan takes the first that is to be had, from i on.
func (r *roster) scan(p *pool, i int, tried []*proxy) (x *proxy, probe bool) {
	n := len(r.proxies)
	if r.well.Load() > 0 {
		for left := n; left > 0; {
			if i%64 == 0 && n-i >= 64 && r.resting[i/64].Load() == ^uint64(0) {
				i, left = (i+64)%n, left-64
				continue
			}
			if !r.rests(i) {
				if x, probe = r.take(p, i, tried); x != nil {
					return x, probe
				}
			}
			i, left = (i+1)%n, left-1
		}
	}
	for range n {
		if x, probe = r.take(p, i, tried); x != nil {
			return x, probe
		}
		i = (i + 1) % n
	}
	return nil, false
}

// claim lets one request try a proxy whose rest is over. That one calls
// [Pool.settle].
func (x *proxy) claim(p *pool) bool {
	until := x.until.Load()
	return until != 0 && !x.probing.Load() && p.now() >= until && x.probing.CompareAndSwap(false, true)
}

// draws is how often a strategy draws before it looks through the list.
const draws = 16

type roundRobin struct {
	next  atomic.Uint64 // place in the list
	among atomic.Uint64 // those that are well, where many rest
}

func (*roundRobin) arrange(list []*proxy) *roster { return newRoster(list) }

func (s *roundRobin) choose(p *pool, r *roster, _ *http.Request, tried []*proxy) (x *proxy, probe bool) {
	for range draws {
		if x, probe = r.take(p, s.turn(r), tried); x != nil {
			return x, probe
		}
	}
	return r.scan(p, r.nthWell(int(s.among.Add(1)%uint64(max(r.well.Load(), 1)))), tried)
}

// turn gives the next place. One that rests loses its turn, so that the one
// behind it is not used twice as much.
func (s *roundRobin) turn(r *roster) int {
	return int((s.next.Add(1) - 1) % uint64(len(r.proxies)))
}

type random struct{}

func (random) arrange(list []*proxy) *roster { return newRoster(list) }

func (random) choose(p *pool, r *roster, _ *http.Request, tried []*proxy) (x *proxy, probe bool) {
	for range draws {
		if x, probe = r.take(p, anyBelow(len(r.proxies)), tried); x != nil {
			return x, probe
		}
	}
	return r.scan(p, r.nthWell(anyBelow(max(int(r.well.Load()), 1))), tried)
}

func anyBelow(n int) int {
	high, _ := bits.Mul64(rand.Uint64(), uint64(n))
	return int(high)
}

// nthWell gives the place of the kth that does not rest, and 0 if there are fewer.
func (r *roster) nthWell(k int) int {
	for w := range r.resting {
		well := ^r.resting[w].Load()
		if left := len(r.proxies) - w*64; left < 64 {
			well &= 1<<left - 1
		}
		if n := bits.OnesCount64(well); k >= n {
			k -= n
			continue
		}
		for range k {
			well &= well - 1
		}
		return w*64 + bits.TrailingZeros64(well)
	}
	return 0
}
