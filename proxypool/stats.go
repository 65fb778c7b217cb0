package proxypool

import (
	"cmp"
	"slices"
	"time"
)

// ProxyStats is what a [Pool] knows of a proxy, since that joined the list. No
// password is in it.
type ProxyStats struct {
	Proxy       string    `json:"proxy"`               // as of [Name]
	Requests    uint64    `json:"requests"`            // tried through it
	Failures    uint64    `json:"failures"`            // of these, those without a response
	InFlight    int64     `json:"inFlight"`            // requests that have it now, until their response's body ends
	Connections int       `json:"connections"`         // open now
	Connects    uint64    `json:"connects"`            // connections made in all
	RestsUntil  time.Time `json:"restsUntil,omitzero"` // zero while it is well
	// RestsForHosts has the hosts for which it alone rests, as [WithBan] saw it
	// banned, and until when.
	RestsForHosts map[string]time.Time `json:"restsForHosts,omitempty"`
	LastError     string               `json:"lastError,omitempty"` // for which it failed or rested last, however long ago
}

// Stats returns what is known of each proxy, in the order of the list.
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
