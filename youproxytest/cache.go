package youproxytest

import (
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Cache is a cache between the client and the service. It answers a GET request with
// an earlier reply to the same request, including its Date header, whatever has happened
// since. POST requests pass through it, and so do requests that meet a fault of
// [Server.Inject] or a code of [Server.Refuse]. It keeps replies with status 200 only,
// and ignores Cache-Control.
type Cache struct {
	// MaxAge is the age up to which a reply is used again, by the clock of the server.
	// Where it is 0, there is no cache.
	MaxAge time.Duration
	// Silent leaves out the Age header, which is the age of the reply in whole seconds,
	// rounded down.
	Silent bool
}

// WithCache puts a cache between the clients and the service.
func WithCache(c Cache) Option {
	return func(s *Server) { s.cache.Cache = c }
}

// SetCache replaces the cache between the clients and the service with an empty one. The
// zero Cache removes it.
func (s *Server) SetCache(c Cache) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cache = cache{Cache: c}
}

// cache is a Cache with its replies.
type cache struct {
	Cache

	kept map[string]keptReply // by cacheKey
}

// keptReply is a reply and its time.
type keptReply struct {
	at    time.Time
	reply *reply
}

// cacheKey returns what requests with the same reply have in common.
func (c *call) cacheKey() string { return strings.Join([]string{c.key, c.op, c.query}, "\n") }

// fromCache returns the reply to a call that the cache has, or nil. The caller holds
// mu.
func (s *Server) fromCache(c *call, now time.Time) *reply {
	kept, ok := s.cache.kept[c.cacheKey()]
	age := now.Sub(kept.at)
	if !ok || age > s.cache.MaxAge {
		return nil
	}
	hit := *kept.reply
	hit.header = maps.Clone(hit.header)
	s.setDate(hit.header, kept.at)
	if !s.cache.Silent {
		hit.header.Set("Age", strconv.Itoa(int(age/time.Second)))
	}
	return &hit
}

// keep puts the reply to a call, as it was at a moment, into the cache, if there is one
// that keeps it, and returns the reply.
func (s *Server) keep(c *call, at time.Time, p *reply) *reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache.MaxAge <= 0 || !strings.HasPrefix(c.op, http.MethodGet+" ") || p.status != http.StatusOK {
		return p
	}
	if s.cache.kept == nil {
		s.cache.kept = make(map[string]keptReply)
	}
	if before, ok := s.cache.kept[c.cacheKey()]; !ok || !before.at.After(at) {
		s.cache.kept[c.cacheKey()] = keptReply{at, p}
	}
	return p
}
