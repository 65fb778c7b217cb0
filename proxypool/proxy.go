package proxypool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// proxy is one of a pool, or of a check: its transport, its connections, and how
// it is.
type proxy struct {
	*address

	settings *settings
	life     context.Context // ends when the proxy was dropped and nothing uses it
	end      context.CancelFunc

	requests, failures, connects atomic.Uint64
	inFlight                     atomic.Int64
	dropped                      atomic.Bool

	// Since when nothing is to go through it, and until when, in nanoseconds of
	// the pool's clock; 0 while it is well.
	until   atomic.Int64
	probing atomic.Bool   // a request is trying whether it is back
	epoch   atomic.Uint32 // counts how often it fell ill or got well

	// Guarded by the mutex of the pool.
	place    int    // in the roster
	hash     uint64 // where a sticky pool places it
	position int    // in the list
	pauses   int    // in a row

	mu        sync.Mutex
	closed    bool
	transport *http.Transport // nil until it is needed
	conns     map[*conn]struct{}
	hosts     map[string]*acquaintance
	lastError string
}

func newProxy(a *address, s *settings) *proxy {
	p := &proxy{address: a, settings: s, conns: make(map[*conn]struct{}), hosts: make(map[string]*acquaintance)}
	p.life, p.end = context.WithCancel(context.Background())
	return p
}

// roundTripper gives the transport, and makes it the first time.
func (p *proxy) roundTripper() *http.Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.transport != nil {
		return p.transport
	}
	t := p.settings.newTransport()
	t.Proxy = http.ProxyURL(p.url)
	dial := dialerOf(t)
	t.Dial = nil //nolint:staticcheck // DialContext stands for it now
	t.DialContext = p.dialing(dial)
	if t.DialTLSContext != nil { // net/http takes it for proxies of https
		t.DialTLSContext = p.dialing(t.DialTLSContext)
	} else if old := t.DialTLS; old != nil { //nolint:staticcheck // callers may still use it
		t.DialTLSContext, t.DialTLS = p.dialing(withoutContext(old)), nil //nolint:staticcheck // the same
	}
	theirs := t.OnProxyConnectResponse
	t.OnProxyConnectResponse = func(ctx context.Context, u *url.URL, req *http.Request, res *http.Response) error {
		if theirs != nil {
			if err := theirs(ctx, u, req, res); err != nil {
				return &because{ErrRefused, err.Error(), err} // the proxy itself works
			}
		}
		return attemptOf(ctx).connectAnswer(res)
	}
	p.transport = t
	return t
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

func withoutContext(dial func(network, addr string) (net.Conn, error)) dialFunc {
	return func(_ context.Context, network, addr string) (net.Conn, error) { return dial(network, addr) }
}

// dialing wraps what connects with the proxy. The context is that of an attempt,
// but does not end with it: net/http finishes a connection for later requests.
func (p *proxy) dialing(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		a := attemptOf(ctx)
		a.mark(dialed)
		deadline := time.Now().Add(p.settings.connectTimeout)
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		defer context.AfterFunc(p.life, cancel)()
		c, err := dial(ctx, network, addr)
		switch {
		case err != nil && p.life.Err() != nil:
			return nil, errDropped
		case err != nil:
			err = &because{ErrUnreachable, err.Error(), err}
			a.fell(err)
			return nil, err
		}
		return p.track(c, a, time.Until(deadline))
	}
}

var errDropped = errors.New("the proxy was taken out of the list")

// track keeps the connection among the proxy's, until it is closed: by net/http,
// by the end of the proxy, or after patience, unless a request got it by then.
func (p *proxy) track(c net.Conn, a *attempt, patience time.Duration) (net.Conn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		_ = c.Close()
		return nil, errDropped
	}
	tracked := &conn{Conn: c, proxy: p}
	if a != nil {
		tracked.host = a.host
	}
	p.conns[tracked] = struct{}{}
	p.acquaint(tracked.host).open++
	// Under the lock, so that giveUp finds the timer.
	tracked.patience = time.AfterFunc(patience, func() {
		a.mark(timedOut)
		_ = tracked.Close()
		if a != nil && !a.took(tunnelled) {
			a.fell(&because{ErrUnreachable, fmt.Sprintf("no connection within %s", p.settings.connectTimeout), os.ErrDeadlineExceeded})
		}
	})
	p.mu.Unlock()
	p.connects.Add(1)
	a.mark(reached)
	return tracked, nil
}

// closeIdle closes the connections that nothing uses.
func (p *proxy) closeIdle() {
	p.mu.Lock()
	t := p.transport
	p.mu.Unlock()
	if t != nil {
		t.CloseIdleConnections()
	}
}

// acquire takes the proxy for a request, unless it was dropped.
func (p *proxy) acquire() bool {
	p.inFlight.Add(1)
	if p.dropped.Load() {
		p.release()
		return false
	}
	return true
}

// release gives it back. Who gives a dropped proxy back last, closes it.
func (p *proxy) release() {
	left := p.inFlight.Add(-1)
	if !p.dropped.Load() {
		return
	}
	if left > 0 {
		p.closeIdle()
		return
	}
	p.close()
}

// drop takes the proxy out of use. What is under way through it goes on.
func (p *proxy) drop() {
	p.dropped.Store(true)
	p.closeIdle()
	if p.inFlight.Load() == 0 {
		p.close()
	}
}

// close ends all connections of the proxy. HTTP/2 keeps some open for a moment
// after their last request, when they are not yet idle.
func (p *proxy) close() {
	p.end()
	p.closeIdle()
	p.mu.Lock()
	p.closed = true
	open := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		open = append(open, c)
	}
	p.mu.Unlock()
	for _, c := range open {
		_ = c.Close()
	}
}

func (p *proxy) failed(err error) {
	p.failures.Add(1)
	p.mu.Lock()
	p.lastError = err.Error()
	p.mu.Unlock()
}

// acquaintance is what a proxy knows of a host: how many connections lead there,
// and whether somebody is making the first.
type acquaintance struct {
	open  int
	first chan struct{} // nil, or closed when it is made, or failed
}

// acquaint must be called with the mutex held.
func (p *proxy) acquaint(host string) *acquaintance {
	known := p.hosts[host]
	if known == nil {
		known = &acquaintance{}
		p.hosts[host] = known
	}
	return known
}

// forget must be called with the mutex held.
func (p *proxy) forget(host string) {
	if known := p.hosts[host]; known != nil && known.open == 0 && known.first == nil {
		delete(p.hosts, host)
	}
}

// await lets one request make the first connection to a host while the others
// wait: over HTTP/2 that one serves all of them, where net/http would have each
// make its own. It reports whether the caller is to make it, and calls met then.
func (p *proxy) await(ctx context.Context, host string) (first bool, err error) {
	p.mu.Lock()
	known := p.acquaint(host)
	if known.first == nil {
		first = known.open == 0
		if first {
			known.first = make(chan struct{})
		}
		p.mu.Unlock()
		return first, nil
	}
	made := known.first
	p.mu.Unlock()
	select {
	case <-made:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if p.until.Load() != 0 {
		return false, errFellIll
	}
	return false, nil // if the first failed, all go on at once
}

var errFellIll = errors.New("the proxy began to rest")

// met ends the wait of the others.
func (p *proxy) met(host string) {
	p.mu.Lock()
	known := p.acquaint(host)
	if known.first != nil {
		close(known.first)
		known.first = nil
	}
	p.forget(host)
	p.mu.Unlock()
}

// conn is a connection with a proxy.
type conn struct {
	net.Conn

	proxy    *proxy
	host     string // what it was made for
	patience *time.Timer
	once     sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() {
		p := c.proxy
		p.mu.Lock()
		c.patience.Stop()
		delete(p.conns, c)
		p.acquaint(c.host).open--
		p.forget(c.host)
		p.mu.Unlock()
	})
	return c.Conn.Close()
}

// NetConn gives the connection below, as that of crypto/tls does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// keep lets a connection live that a request got.
func keep(c net.Conn) {
	for {
		switch inner := c.(type) {
		case *conn:
			inner.proxy.mu.Lock()
			inner.patience.Stop()
			inner.proxy.mu.Unlock()
			return
		case interface{ NetConn() net.Conn }:
			c = inner.NetConn()
		default:
			return
		}
	}
}
