package proxypool

import (
	"cmp"
	"errors"
	"math/bits"
	"net/http"
	"slices"
	"sync/atomic"
)

// Sticky sends requests with the same key through the same proxy as long as that proxy
// does not rest. The key is, for example, the account that a request is for, or its
// host. While a proxy rests, its keys are spread over the other proxies; afterwards they
// return to it. The keys of the other proxies do not move. When the list changes, only
// the keys of removed proxies move, and those that a new proxy takes over.
//
// The same list maps the same keys to the same proxies: in any order, in any process,
// and with any passwords, unless proxies differ in nothing else. Requests with an empty
// key use the proxies in turn.
//
// Up to 256 proxies share the keys evenly: of two proxies, each has half of all possible
// keys within 0.5 percent, and of 256 each has its share within 15 percent. In a longer
// list, which is mapped in another way, a few proxies have one and a half times their
// share. If a list grows beyond 256 proxies, or shrinks to 256, most keys move.
//
// key is called by many goroutines at once.
func Sticky(key func(*http.Request) string) Option {
	return func(s *settings) error {
		if key == nil {
			return errors.New("proxypool: Sticky needs a function, not nil")
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
	for i := 1; i < len(sorted); i++ { // for proxies that differ in nothing but their password
		if sorted[i].point == sorted[i-1].point {
			sorted[i].hash = mix(sorted[i-1].hash + probeStep)
		}
	}
	r := newRoster(sorted)
	r.ring = newRing(sorted)
	return r
}

func (*sticky) hedges(*http.Request) bool { return false }

func (s *sticky) choose(r *roster, req *http.Request, w want) *proxy {
	key := s.key(req)
	if key == "" {
		return s.turns.choose(r, req, w)
	}
	if r.well.Load() == 0 {
		return nil
	}
	slot := hashOf(key) >> r.ring.slotShift
	if x := r.take(r.ring.home(slot), w); x != nil {
		return x
	}
	if i := r.findWell(mix(slot), w); i >= 0 {
		return r.proxies[i]
	}
	return nil
}

// ring finds the proxy of a key. Up to shortList proxies it uses rendezvous hashing, by
// Thaler and Ravishankar (1998): a key goes to the proxy with which it has the greatest
// weight. That takes 1.3 ns a proxy, or 10 ns if the home of the slot is remembered.
//
// A longer list places proxies and keys on a circle of 32 bits: multi-probe consistent
// hashing, by Appleton and O'Reilly (2015). Each proxy has four points. A key is looked
// up at four places, and goes to the proxy whose point follows one of them most closely.
// So few proxies get more than one and a half times their share, and a proxy that is
// removed moves only its own keys.
//
// Keys are distinguished by their slot, the first bits of their hash. For a short list,
// and for a long one whose points do not fit into a processor's cache, the ring
// remembers the proxy of each slot.
type ring struct {
	hashes []uint64 // of the proxies of a short list, which has no points

	points []uint32 // in order; after the last comes the end of the circle
	owners []uint32 // of each point
	first  []uint32 // the first point at or after the start of each sector
	shift  uint     // for the sector of a place

	homes     []atomic.Uint32
	slotShift uint // for the slot of a hash
}

const (
	shortList     = 256 // proxies at most
	shortSlotBits = 18
	slotBits      = 22
	// remembering is the length from which on the homes of a long list are remembered.
	remembering = 1 << 14
)

// home returns the proxy of a slot.
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
	if len(sorted) <= shortList {
		g := &ring{hashes: make([]uint64, len(sorted)), homes: make([]atomic.Uint32, 1<<shortSlotBits), slotShift: 64 - shortSlotBits}
		for i, x := range sorted {
			g.hashes[i] = x.hash
		}
		return g
	}
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
	g := &ring{points: make([]uint32, n+1), owners: make([]uint32, n), first: make([]uint32, 1<<sectors), shift: uint(32 - sectors), slotShift: 64 - slotBits}
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

// after returns the first point at or after a place, around the circle.
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

// placeOf returns the place of a proxy's point, or of a key's probe.
func placeOf(hash uint64, i uint32) uint32 { return uint32(mix(hash+uint64(i)*probeStep) >> 32) }

// find returns the proxy of a key.
func (g *ring) find(key uint64) int {
	if g.hashes != nil {
		best, greatest := 0, uint64(0)
		for i, hash := range g.hashes {
			if w := weight(key, hash); w > greatest {
				best, greatest = i, w
			}
		}
		return best
	}
	closest := ^uint32(0)
	for i := range uint32(probes) {
		place := placeOf(key, i)
		// The number of the probe stands in the low bits of its distance, so that
		// the least is found without a branch.
		closest = min(closest, (g.points[g.after(place)]-place)&^probeMask|i)
	}
	return int(g.owners[g.after(placeOf(key, closest&probeMask))])
}

// findWell returns the place of the proxy that a key would have if those that rest or
// were tried were not in the list, and -1 if there is no other.
func (r *roster) findWell(key uint64, w want) int {
	g := r.ring
	best, greatest, closest := -1, uint64(0), ^uint32(0)
	for i, hash := range g.hashes {
		if weight := weight(key, hash); weight >= greatest && r.take(i, w) != nil {
			best, greatest = i, weight
		}
	}
	if g.hashes != nil {
		return best
	}
	for i := range uint32(probes) {
		place := placeOf(key, i)
		at := g.after(place)
		for left := len(g.owners); r.take(int(g.owners[at]), w) == nil; left-- {
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

// weight returns the weight of a proxy for a key.
func weight(key, hash uint64) uint64 {
	high, low := bits.Mul64(key^hash, probeStep)
	return high ^ low
}

// hashOf returns the FNV-1a hash of a string, mixed. It is the same in every process.
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
