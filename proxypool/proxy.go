package proxypool

import (
	"container/list"
	"context"
	"net/url"
	"sync"
	"sync/atomic"
)

// proxy is a proxy of a pool or of a check: its transport, its connections and its health.
type proxy struct {
	*address

	settings   *settings
	plainProxy *url.URL // its URL for net/http; nil for SOCKS5

	requests, failures, connects atomic.Uint64
	inFlight                     atomic.Int64
	dropped                      atomic.Bool

	health

	position int // in the list; guarded by the mutex of the pool

	// Guarded by the mutex of idleConns.
	open, idle int // connections
	order      *list.Element

	mu        sync.Mutex
	closed    bool                             // it was dropped, and no request uses it
	begun     map[*context.CancelFunc]struct{} // stop connecting to it
	line      *line                            // nil until it is needed
	conns     map[*conn]struct{}
	lastError string
}

func newProxy(a *address, s *settings) *proxy {
	x := &proxy{address: a, settings: s}
	if a.url.Scheme == "http" || a.url.Scheme == "https" {
		x.plainProxy = &url.URL{Scheme: "http", Host: a.url.Host, User: a.url.User} // the TLS to it is made by dialer
	}
	return x
}

// closeIdle closes the connections that no request uses.
func (x *proxy) closeIdle() {
	x.mu.Lock()
	l := x.line
	x.mu.Unlock()
	if l != nil {
		l.closeIdle()
	}
}

// acquire takes the proxy for a request, unless it was dropped.
func (x *proxy) acquire() bool {
	x.inFlight.Add(1)
	if x.dropped.Load() {
		x.release()
		return false
	}
	return true
}

// release ends the use of the proxy by a request. The last use of a dropped proxy closes
// it.
func (x *proxy) release() {
	left := x.inFlight.Add(-1)
	if !x.dropped.Load() {
		return
	}
	if left > 0 {
		x.closeIdle()
		return
	}
	x.close()
}

// drop takes the proxy out of use. Running requests go on.
func (x *proxy) drop() {
	x.dropped.Store(true)
	x.closeIdle()
	if x.inFlight.Load() == 0 {
		x.close()
	}
}

// close closes all connections of the proxy. HTTP/2 keeps some open for a moment after
// their last request, when they are not yet idle.
func (x *proxy) close() {
	x.closeIdle()
	x.mu.Lock()
	x.closed = true
	for cancel := range x.begun {
		(*cancel)()
	}
	open := make([]*conn, 0, len(x.conns))
	for c := range x.conns {
		open = append(open, c)
	}
	x.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}

func (x *proxy) isClosed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.closed
}

// connecting lets close call cancel, until done is called.
func (x *proxy) connecting(cancel *context.CancelFunc) (done func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		(*cancel)()
	}
	if x.begun == nil {
		x.begun = make(map[*context.CancelFunc]struct{})
	}
	x.begun[cancel] = struct{}{}
	return func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if delete(x.begun, cancel); len(x.begun) == 0 {
			x.begun = nil // saves memory, as there may be many proxies
		}
	}
}

// fails records a failure.
func (x *proxy) fails(err error) {
	x.failures.Add(1)
	x.note(err)
}

// note records the last error.
func (x *proxy) note(err error) {
	x.mu.Lock()
	x.lastError = err.Error()
	x.mu.Unlock()
}
