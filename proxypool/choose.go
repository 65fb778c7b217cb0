package proxypool

import (
	"math/bits"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
)

// strategy chooses the proxy of a request.
type strategy interface {
	// arrange returns the roster of a list.
	arrange(list []*proxy) *roster
	// choose returns a proxy that is well and fits, or nil if there is none.
	choose(r *roster, req *http.Request, w want) *proxy
	// hedges reports whether another proxy may serve the request if connecting to
	// the chosen one takes long.
	hedges(req *http.Request) bool
}

// want is what the proxy of a request has to be.
type want struct {
	tried []*proxy // it is none of these
	host  string   // it does not rest for this host; empty if no proxy rests for hosts
	pool  *pool
}

func (w want) fits(x *proxy) bool {
	return (len(w.tried) == 0 || !slices.Contains(w.tried, x)) && (w.host == "" || !x.restsFor(w.host, w.pool))
}

// choice is a proxy that was chosen.
type choice struct {
	proxy  *proxy
	epoch  uint32 // of the proxy when it was chosen
	probe  bool   // the request shows whether it works again
	lesser bool   // it rested on a suspicion
}

// RoundRobin uses the proxies in turn, in the order of the list. It is the default.
func RoundRobin() Option {
	return func(s *settings) error {
		s.strategy = &roundRobin{}
		return nil
	}
}

// Random uses a random proxy for each request. Each is equally likely.
func Random() Option {
	return func(s *settings) error {
		s.strategy = random{}
		return nil
	}
}

// roster is the list from which requests choose. Only the marks of the proxies that rest
// change, so that choosing takes no lock and touches little memory.
type roster struct {
	proxies []*proxy        // in the order of the strategy
	resting []atomic.Uint64 // a bit a proxy
	well    atomic.Int64    // the number of proxies that do not rest
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

// take returns the proxy at i if it is well and fits.
func (r *roster) take(i int, w want) *proxy {
	if x := r.proxies[i]; !r.rests(i) && w.fits(x) {
		return x
	}
	return nil
}

// scan returns the first proxy from i on that is well and fits.
func (r *roster) scan(i int, w want) *proxy {
	n := len(r.proxies)
	if r.well.Load() == 0 {
		return nil
	}
	for left := n; left > 0; {
		if i%64 == 0 && n-i >= 64 && r.resting[i/64].Load() == ^uint64(0) {
			i, left = (i+64)%n, left-64
			continue
		}
		if x := r.take(i, w); x != nil {
			return x
		}
		i, left = (i+1)%n, left-1
	}
	return nil
}

// draws is how often a strategy draws before it scans the list.
const draws = 16

type roundRobin struct {
	next  atomic.Uint64 // place in the list
	among atomic.Uint64 // place among those that are well, if many rest
}

func (*roundRobin) arrange(list []*proxy) *roster { return newRoster(list) }

func (*roundRobin) hedges(*http.Request) bool { return true }

func (s *roundRobin) choose(r *roster, _ *http.Request, w want) *proxy {
	if r.well.Load() == 0 {
		return nil
	}
	for range draws {
		if len(w.tried) > 0 {
			break // a request takes one turn
		}
		if x := r.take(s.turn(r), w); x != nil {
			return x
		}
	}
	return r.scan(r.nthWell(int(s.among.Add(1)%uint64(max(r.well.Load(), 1)))), w)
}

// turn returns the next place. A proxy that rests misses its turn, so that the one after
// it is not used twice as much.
func (s *roundRobin) turn(r *roster) int {
	return int((s.next.Add(1) - 1) % uint64(len(r.proxies)))
}

type random struct{}

func (random) arrange(list []*proxy) *roster { return newRoster(list) }

func (random) hedges(*http.Request) bool { return true }

func (random) choose(r *roster, _ *http.Request, w want) *proxy {
	if r.well.Load() == 0 {
		return nil
	}
	for range draws {
		if x := r.take(anyBelow(len(r.proxies)), w); x != nil {
			return x
		}
	}
	return r.scan(r.nthWell(anyBelow(max(int(r.well.Load()), 1))), w)
}

func anyBelow(n int) int {
	high, _ := bits.Mul64(rand.Uint64(), uint64(n))
	return int(high)
}

// nthWell returns the place of the kth that does not rest, and 0 if there are fewer.
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
