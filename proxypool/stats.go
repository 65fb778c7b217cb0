package proxypool

import (
	"cmp"
	"slices"
	"time"
)

// ProxyStats is the state of a proxy of a [Pool]. It counts from when the proxy joined
// the list. It contains no password.
type ProxyStats struct {
	Proxy       string    `json:"proxy"`               // the name of the proxy, as [Name] returns it
	Requests    uint64    `json:"requests"`            // requests tried through it
	Failures    uint64    `json:"failures"`            // those of them that got no response
	InFlight    int64     `json:"inFlight"`            // requests running now, until the body of their response ends
	Connections int       `json:"connections"`         // connections open now
	Connects    uint64    `json:"connects"`            // connections made since it joined the list
	RestsUntil  time.Time `json:"restsUntil,omitzero"` // when its rest is over; zero if it does not rest
	// RestsForHosts maps the hosts that ban the proxy, according to [WithBan], to the
	// time until which it rests for them.
	RestsForHosts map[string]time.Time `json:"restsForHosts,omitempty"`
	LastError     string               `json:"lastError,omitempty"` // why it last failed or rested, however long ago
}

// Stats returns the state of each proxy, in the order of the list.
func (p *Pool) Stats() []ProxyStats {
	if !p.made() {
		return nil
	}
	return p.pool().stats()
}

func (p *pool) stats() []ProxyStats {
	p.mu.Lock()
	proxies := slices.Clone(p.roster.Load().proxies)
	slices.SortFunc(proxies, func(a, b *proxy) int { return cmp.Compare(a.position, b.position) })
	rests := make([]int64, len(proxies))
	for i, x := range proxies {
		rests[i] = x.until.Load()
	}
	p.mu.Unlock()
	stats := make([]ProxyStats, len(proxies))
	for i, x := range proxies {
		stats[i] = x.stats()
		if rests[i] != 0 {
			stats[i].RestsUntil = p.time(rests[i])
		}
		stats[i].RestsForHosts = p.hostRestsUntil(x)
	}
	return stats
}

func (p *proxy) stats() ProxyStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ProxyStats{
		Proxy: p.name, Requests: p.requests.Load(), Failures: p.failures.Load(), InFlight: p.inFlight.Load(),
		Connections: len(p.conns), Connects: p.connects.Load(), LastError: p.lastError,
	}
}
