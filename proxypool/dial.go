package proxypool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/youproxy-go/youproxy/internal/hostname"
)

// DialContext makes a tunnel through a proxy to a host and port, for gRPC, WebSocket,
// databases and any other protocol over TCP. It has the signature of
// [net.Dialer.DialContext]. The network must be tcp, tcp4 or tcp6; all mean the same,
// since the proxy looks up the host.
//
// The proxy is chosen as for a request. The function of [Sticky] is called with a
// request whose method is CONNECT and whose URL has the host and port. If a proxy makes
// no tunnel, others are tried, since nothing was sent. Errors are of type *[Error].
//
// ctx bounds the making of the tunnel, but not its use. The caller closes the tunnel.
// The connection has a method CloseWrite, which returns an error if the way to the proxy
// cannot be closed for writing alone.
func (p *Pool) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	req, err := p.tunnelRequest(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return p.pool().dial(req)
}

// tunnelRequest returns the request with which the proxy of a tunnel is chosen.
func (p *Pool) tunnelRequest(ctx context.Context, network, addr string) (*http.Request, error) {
	host, port, err := net.SplitHostPort(addr)
	n, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case !p.made():
		return nil, errNotMade
	case ctx == nil:
		return nil, errors.New("proxypool: the context is nil")
	case network != "tcp" && network != "tcp4" && network != "tcp6":
		return nil, &Error{Err: errors.New("the network is not tcp: a proxy makes no other connections")}
	case err != nil || portErr != nil || n == 0 || !hostname.Valid(host):
		return nil, &Error{Err: errors.New("the address is not a host and a port, as in example.com:443")}
	}
	addr = net.JoinHostPort(host, strconv.FormatUint(n, 10))
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Host: addr}, Host: addr, Header: make(http.Header)}
	return req.WithContext(ctx), nil
}

func (p *pool) dial(req *http.Request) (net.Conn, error) {
	r := &race{pool: p, req: req, tunnel: true}
	defer r.end()
	failure := &Error{}
	for a := r.next(); a != nil; a = r.next() {
		v, err := served, a.outcome()
		if err != nil {
			v, err = a.judge(req, err)
			err = a.failed(v, err)
		}
		if v == served {
			a.made.keep()
			p.settings.idle.taken(a.made)
			return &tunnel{conn: a.made, attempt: a}, nil
		}
		p.settle(a, v, err)
		a.end()
		a.proxy.release()
		failure.Proxy, failure.Tries, failure.Err = a.proxy.name, len(r.tried), err
		if v == over || v == late {
			break
		}
	}
	if failure.Err == nil {
		failure.Err = p.noProxy(req.URL.Host)
	}
	return nil, failure
}

// tunnel is a connection through a proxy. Its use shows whether the proxy works.
type tunnel struct {
	*conn

	attempt      *attempt
	heard, asked atomic.Bool
	since        atomic.Int64 // when something was first written, by the pool's clock
	judged       sync.Once
	ended        sync.Once
}

func (t *tunnel) Read(p []byte) (int, error) {
	n, err := t.conn.Read(p)
	switch {
	case n > 0 && !t.heard.Load():
		t.heard.Store(true)
		t.judge(served, nil)
	case err != nil && t.asked.Load() && !errors.Is(err, net.ErrClosed):
		t.judge(late, err)
	}
	return n, err
}

func (t *tunnel) Write(p []byte) (int, error) {
	if !t.asked.Load() {
		t.since.Store(t.attempt.pool.now())
		t.asked.Store(true)
	}
	return t.conn.Write(p)
}

func (t *tunnel) Close() error {
	err := t.conn.Close()
	t.ended.Do(func() {
		p := t.attempt.pool
		if t.asked.Load() && p.now()-t.since.Load() >= int64(p.settings.connectTimeout) {
			t.judge(late, os.ErrDeadlineExceeded)
		}
		t.judged.Do(func() { p.settle(t.attempt, over, nil) })
		t.attempt.end()
		t.attempt.proxy.release()
	})
	return err
}

// judge records that the first answer came through the tunnel, or that none did.
func (t *tunnel) judge(v verdict, err error) {
	t.judged.Do(func() {
		if v != served {
			err = t.attempt.failed(v, &because{ErrRefused, fmt.Sprintf("nothing came through its tunnel: %v", err), err})
		}
		t.attempt.pool.settle(t.attempt, v, err)
	})
}
