package proxypool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// line is a transport through a proxy, with its connections. A proxy gets a new line when
// the connections of the old one must not be used again: after a rest, after the requests
// or the time of [WithRotation], and when its idle connections had to be closed.
type line struct {
	proxy     *proxy
	transport *http.Transport
	born      time.Time

	// Guarded by the mutex of the proxy.
	requests int
	users    int
	over     bool // whether no request will use it any more
	hosts    map[string]*acquaintance
}

// acquaintance is what a line knows of a host: how many connections lead there, and
// whether a request is making the first.
type acquaintance struct {
	open  int
	first chan struct{} // nil, or closed when the first is made, or has failed
	ready *conn         // made, and not yet taken by the transport
}

// enter returns the line for another request, which must leave it.
func (x *proxy) enter() *line {
	var worn *line
	x.mu.Lock()
	if x.line != nil && x.line.isWorn() {
		worn, x.line = x.line, nil
	}
	if x.line == nil {
		x.line = x.newLine()
	}
	l := x.line
	l.requests++
	l.users++
	x.mu.Unlock()
	worn.close()
	return l
}

// leave closes a line that is no longer the proxy's with its last request.
func (l *line) leave() {
	x := l.proxy
	x.mu.Lock()
	l.users--
	old := x.line != l
	x.mu.Unlock()
	if old {
		l.close()
	}
}

// isWorn must be called with the mutex of the proxy held.
func (l *line) isWorn() bool {
	s := l.proxy.settings
	return s.rotateRequests > 0 && l.requests >= s.rotateRequests || s.rotateAge > 0 && time.Since(l.born) >= s.rotateAge
}

// renew makes the next request use new connections. The old ones are closed when their
// requests are done.
func (x *proxy) renew() {
	x.mu.Lock()
	l := x.line
	x.line = nil
	x.mu.Unlock()
	l.close()
}

// shrink closes the idle connections, and drops the transport if no request uses it.
func (x *proxy) shrink() {
	x.mu.Lock()
	l := x.line
	busy := l != nil && l.users > 0
	if !busy {
		x.line = nil
	}
	x.mu.Unlock()
	if busy {
		l.closeIdle()
	} else {
		l.close()
	}
}

// close closes the connections of a line that is no longer the proxy's: all, if no
// request is left, and else those that are idle.
func (l *line) close() {
	if l == nil {
		return
	}
	x := l.proxy
	var unused []*conn
	x.mu.Lock()
	if l.over = l.users == 0; l.over {
		for c := range x.conns {
			if c.line == l {
				unused = append(unused, c)
			}
		}
	}
	x.mu.Unlock()
	l.closeIdle()
	for _, c := range unused {
		_ = c.Close() // HTTP/2 keeps some open for a moment after their last request
	}
}

// closeIdle closes the connections of a line that no request uses, or may be about to
// take.
func (l *line) closeIdle() {
	l.transport.CloseIdleConnections()
	x := l.proxy
	var unused []*conn
	x.mu.Lock()
	for c := range x.conns {
		if c.line == l && l.users == 0 && c == l.hosts[c.host].ready {
			unused = append(unused, c)
		}
	}
	x.mu.Unlock()
	for _, c := range unused {
		_ = c.Close()
	}
}

func (x *proxy) newLine() *line {
	l := &line{proxy: x, born: time.Now(), hosts: make(map[string]*acquaintance)}
	t := x.settings.dialer.base.Clone()
	t.Proxy = nil
	if x.plainProxy != nil {
		t.Proxy = func(req *http.Request) (*url.URL, error) {
			if req.URL.Scheme == "http" {
				return x.plainProxy, nil
			}
			return nil, nil // the tunnel is made below
		}
	}
	t.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) {
		c, err := l.dial(ctx, attemptOf(ctx), addr)
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	t.Dial, t.DialTLS, t.DialTLSContext = nil, nil, nil //nolint:staticcheck // they are of the dialer
	l.transport = t
	return l
}

// dial is how the transport gets its connections: one that is ready, or a new one.
func (l *line) dial(ctx context.Context, a *attempt, addr string) (*conn, error) {
	x := l.proxy
	x.mu.Lock()
	if known := l.hosts[a.key]; known != nil && known.ready != nil {
		c := known.ready
		known.ready = nil
		x.mu.Unlock()
		a.takes(c)
		return c, nil
	}
	x.mu.Unlock()
	if a.plain {
		addr = ""
	}
	c, err := l.connect(ctx, a, addr)
	if err != nil {
		a.fell(err)
	}
	return c, err
}

// takes makes the attempt use a connection that another one may have made.
func (a *attempt) takes(c *conn) {
	if a.took(dialed) {
		return
	}
	a.mark(dialed | reached)
	if !a.plain {
		a.mark(tunnelled)
	}
	c.wait(a.proxy.settings.connectTimeout, func() { a.mark(timedOut) })
}

// acquaint must be called with the mutex of the proxy held.
func (l *line) acquaint(host string) *acquaintance {
	known := l.hosts[host]
	if known == nil {
		known = &acquaintance{}
		l.hosts[host] = known
	}
	return known
}

// forget must be called with the mutex of the proxy held.
func (l *line) forget(host string) {
	if known := l.hosts[host]; known != nil && known.open == 0 && known.first == nil {
		delete(l.hosts, host)
	}
}

// await lets one request make the first connection to a host while the others
// wait: over HTTP/2 that one serves all of them, where net/http would have each
// make its own. It reports whether the caller is to make it, and calls met then;
// or returns a channel that ends the wait.
func (l *line) await(host string) (first bool, made <-chan struct{}) {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	known := l.acquaint(host)
	if known.first != nil {
		return false, known.first
	}
	if known.open > 0 {
		return false, nil
	}
	known.first = make(chan struct{})
	return true, nil
}

// met ends the wait of the others.
func (l *line) met(host string) {
	l.proxy.mu.Lock()
	known := l.acquaint(host)
	if known.first != nil {
		close(known.first)
		known.first = nil
	}
	l.forget(host)
	l.proxy.mu.Unlock()
}

// keepReady lets the transport take c when it wants a connection to the host.
func (l *line) keepReady(host string, c *conn) {
	x := l.proxy
	x.mu.Lock()
	known := l.acquaint(host)
	kept := known.ready == nil && !x.closed && (x.line == l || l.users > 0)
	if kept {
		known.ready = c
	}
	x.mu.Unlock()
	if !kept {
		_ = c.Close()
	}
}

// leaveReady keeps c for other requests, for the connect timeout.
func (l *line) leaveReady(host string, c *conn) {
	l.proxy.mu.Lock()
	defer l.proxy.mu.Unlock()
	if l.acquaint(host).ready == c {
		c.arm(l.proxy.settings.connectTimeout, func() {})
	}
	l.forget(host)
}

// conn is a connection to a proxy.
type conn struct {
	net.Conn

	line     *line
	host     string      // the key of its acquaintance
	patience *time.Timer // closes it; nil once a request has it
	once     sync.Once
	begun    io.Reader // nil, or what came with the answer to CONNECT

	reads atomic.Uint32 // how often something was read
	use   use
}

// track keeps the connection among the proxy's, until it is closed: by its user, or
// by the end of the proxy.
func (l *line) track(c net.Conn, a *attempt) (*conn, error) {
	x := l.proxy
	x.mu.Lock()
	if x.closed || l.over {
		x.mu.Unlock()
		_ = c.Close()
		return nil, errDropped
	}
	tracked := &conn{Conn: c, line: l, host: a.key}
	if x.conns == nil {
		x.conns = make(map[*conn]struct{})
	}
	x.conns[tracked] = struct{}{}
	l.acquaint(tracked.host).open++
	x.mu.Unlock()
	x.settings.idle.opened(tracked)
	x.connects.Add(1)
	return tracked, nil
}

func (c *conn) Read(p []byte) (n int, err error) {
	if c.begun != nil {
		if n, _ = c.begun.Read(p); n > 0 {
			c.reads.Add(1)
			return n, nil
		}
		c.begun = nil
	}
	if n, err = c.Conn.Read(p); n > 0 {
		c.reads.Add(1)
	}
	return n, err
}

// Close closes the connection, and removes it from those of its proxy.
func (c *conn) Close() error {
	c.once.Do(func() {
		x := c.line.proxy
		x.mu.Lock()
		if c.patience != nil {
			c.patience.Stop()
		}
		if delete(x.conns, c); len(x.conns) == 0 {
			x.conns = nil
		}
		known := c.line.acquaint(c.host)
		known.open--
		if known.ready == c {
			known.ready = nil
		}
		c.line.forget(c.host)
		x.mu.Unlock()
		x.settings.idle.closed(c)
	})
	return c.Conn.Close()
}

// CloseWrite closes the connection for writing, if that to the proxy can be.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

var errNoHalfClose = fmt.Errorf("proxypool: the connection cannot be closed for writing alone: %w", errors.ErrUnsupported)

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errNoHalfClose
}

// NetConn returns the connection below, as that of crypto/tls does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// connOf returns the connection to a proxy below one of net/http.
func connOf(c net.Conn) *conn {
	for {
		switch inner := c.(type) {
		case *conn:
			return inner
		case interface{ NetConn() net.Conn }:
			c = inner.NetConn()
		default:
			return nil
		}
	}
}

// wait closes the connection after a time, unless a request has it by then.
func (c *conn) wait(patience time.Duration, late func()) {
	x := c.line.proxy
	x.mu.Lock()
	c.arm(patience, late)
	x.mu.Unlock()
	x.settings.idle.unused(c)
}

// arm must be called with the mutex of the proxy held.
func (c *conn) arm(patience time.Duration, late func()) {
	if c.patience != nil {
		c.patience.Stop()
	}
	c.patience = time.AfterFunc(patience, func() {
		late()
		_ = c.Close()
	})
}

// keep stops the timer of a connection that a request has.
func (c *conn) keep() {
	c.line.proxy.mu.Lock()
	if c.patience != nil {
		c.patience.Stop()
		c.patience = nil
	}
	c.line.proxy.mu.Unlock()
}

var (
	errDropped = errors.New("the proxy was taken out of the list")
	errFellIll = errors.New("the proxy began to rest")
)
