package proxypool

import (
	"cmp"
	"slices"
	"time"
)

// ProxyStats is what a [Pool] knows of a proxy, since that joined the list. No
// password is in it.
type ProxyStats struct {
	Proxy       string    `json:"proxy"`               // as [Name] gives it
	Requests    uint64    `json:"requests"`            // tried through it
	Failures    uint64    `json:"failures"`            // of these, those without a response
	InFlight    int64     `json:"inFlight"`            // requests that have it now, until their response's body ends
	Connections int       `json:"connections"`         // open now
	Connects    uint64    `json:"connects"`            // connections made in all
	RestsUntil  time.Time `json:"restsUntil,omitzero"` // zero while it is well
	LastError   string    `json:"lastError,omitempty"` // of the last failure, however long ago
}

// Stats gives what is known of each proxy, in the order of the list.
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
	p.mu.Unlock()
	stats := make([]ProxyStats, len(proxies))
	for i, x := range proxies {
		stats[i] = x.stats()
		if until := x.until.Load(); until != 0 {
			stats[i].RestsUntil = p.started.Add(time.Duration(until - 1)).Round(0)
		}
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
