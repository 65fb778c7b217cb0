package proxypool

import (
	"cmp"
	"errors"
	"math/bits"
	"net/http"
	"slices"
	"sync/atomic"
)

// Sticky sends requests with the same key through the same proxy while that one
// is well: the account that a request is for, say, or the host. While it rests,
// its keys are spread over the others, and then go back. The keys of the others
// stay where they are; so they do when the list changes, but for those of the
// proxies that left, and those that a new one takes from all.
//
// The same list gives the same proxies to the same keys: in any order, in any
// process, whatever the passwords are, unless proxies differ in nothing else.
// Requests whose key is empty take the proxies in turn.
//
// key is called by many requests at once.
func Sticky(key func(*http.Request) string) Option {
	return func(s *settings) error {
		if key == nil {
			return errors.New("proxypool: Sticky takes a function, not nil")
		}
		s.strategy = &sticky{key: key}
		return nil
	}
}

type sticky struct {
	key   func(*http.Request) string
	turns roundRobin // for requests without a key
}

func (*sticky) arrange(list []*proxy) *roster {
	sorted := slices.Clone(list)
	for _, x := range sorted {
		x.hash = hashOf(x.point)
	}
	slices.SortFunc(sorted, func(a, b *proxy) int {
		return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.identity, b.identity))
	})
	for i := 1; i < len(sorted); i++ { // those that differ in nothing but their password
		if sorted[i].point == sorted[i-1].point {
			sorted[i].hash = mix(sorted[i-1].hash + probeStep)
		}
	}
	r := newRoster(sorted)
	r.ring = newRing(sorted)
	return r
}

func (s *sticky) choose(p *pool, r *roster, req *http.Request, tried []*proxy) (x *proxy, probe bool) {
	key := s.key(req)
	if key == "" {
		return s.turns.choose(p, r, req, tried)
	}
	slot := hashOf(key) >> (64 - slotBits)
	home := r.ring.home(slot)
	if x, probe = r.take(p, home, tried); x != nil {
		return x, probe
	}
	if r.well.Load() > 0 {
		if i := r.findWell(mix(slot), tried); i >= 0 {
			return r.proxies[i], false
		}
	}
	return r.scan(p, home, tried)
}

// ring places proxies and keys on a circle of 32 bits: multi-probe consistent
// hashing, by Appleton and O'Reilly (2015). Each proxy has four points. A key is
// looked up at four places, and goes to the proxy whose point follows one of them
// most closely. So few proxies get more than one and a half times their share, and
// one that leaves moves no other's keys.
//
// Keys are told apart by 22 bits, their slot. Of a long list the ring remembers
// which proxy each slot has, as its points are too many for a processor's cache.
type ring struct {
	points []uint32 // in order; behind the last is the end of the circle
	owners []uint32 // of each point
	first  []uint32 // the first point at or after the start of each sector
	shift  uint     // gives the sector of a place
	homes  []atomic.Uint32
}

const (
	slotBits = 22
	// remembering is from how many proxies on the homes of the slots are remembered.
	remembering = 1 << 14
)

// home gives the proxy of a slot.
func (g *ring) home(slot uint64) int {
	if g.homes == nil {
		return g.find(mix(slot))
	}
	known := &g.homes[slot]
	if home := known.Load(); home != 0 {
		return int(home - 1)
	}
	home := g.find(mix(slot))
	known.Store(uint32(home + 1))
	return home
}

const (
	pointsEach = 4
	probes     = 4
	probeMask  = 3
	probeStep  = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
)

func newRing(sorted []*proxy) *ring {
	n := len(sorted) * pointsEach
	type point struct {
		place, owner uint32
	}
	all := make([]point, 0, n)
	for owner, x := range sorted {
		for i := range uint32(pointsEach) {
			all = append(all, point{placeOf(x.hash, i), uint32(owner)})
		}
	}
	slices.SortFunc(all, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.place, b.place), cmp.Compare(a.owner, b.owner))
	})
	sectors := bits.Len(uint(max(n, 2) - 1))
	g := &ring{points: make([]uint32, n+1), owners: make([]uint32, n), first: make([]uint32, 1<<sectors), shift: uint(32 - sectors)}
	sector := 0
	for i, p := range all {
		g.points[i], g.owners[i] = p.place, p.owner
		for ; sector <= int(p.place>>g.shift); sector++ {
			g.first[sector] = uint32(i)
		}
	}
	for ; sector < len(g.first); sector++ {
		g.first[sector] = uint32(n)
	}
	g.points[n] = ^uint32(0)
	if len(sorted) >= remembering {
		g.homes = make([]atomic.Uint32, 1<<slotBits)
	}
	return g
}

// after gives the first point at or after a place, around the circle.
func (g *ring) after(place uint32) int {
	i := int(g.first[place>>g.shift])
	for g.points[i] < place {
		i++
	}
	if i == len(g.owners) {
		return 0
	}
	return i
}

// placeOf gives the place of a proxy's point, or of a key's probe.
func placeOf(hash uint64, i uint32) uint32 { return uint32(mix(hash+uint64(i)*probeStep) >> 32) }

// find gives the proxy of a key.
func (g *ring) find(key uint64) int {
	closest := ^uint32(0)
	for i := range uint32(probes) {
		place := placeOf(key, i)
		// The number of the probe stands in the low bits of its distance, so that
		// the least is found without a branch.
		closest = min(closest, (g.points[g.after(place)]-place)&^probeMask|i)
	}
	return int(g.owners[g.after(placeOf(key, closest&probeMask))])
}

// findWell gives the proxy that a key would have if those that rest, or were
// tried, were not in the list; -1 if there is no other.
func (r *roster) findWell(key uint64, tried []*proxy) int {
	g := r.ring
	best, closest := -1, ^uint32(0)
	for i := range uint32(probes) {
		place := placeOf(key, i)
		at := g.after(place)
		for left := len(g.owners); r.out(int(g.owners[at]), tried); left-- {
			if left == 0 {
				return -1
			}
			if at++; at == len(g.owners) {
				at = 0
			}
		}
		if distance := (g.points[at]-place)&^probeMask | i; distance < closest {
			best, closest = int(g.owners[at]), distance
		}
	}
	return best
}

// out reports whether the proxy at i rests, or was tried.
func (r *roster) out(i int, tried []*proxy) bool {
	return r.rests(i) || len(tried) > 0 && slices.Contains(tried, r.proxies[i])
}

// hashOf is FNV-1a, spread: the same in every process.
func hashOf(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finalizer of SplitMix64.
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
