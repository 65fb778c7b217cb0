package youproxytest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/youproxy-go/youproxy"
)

// WithProxies makes the proxies of the account work. Each listens on loopback, at the
// host and the ports that the list shows, and forwards requests: over HTTP, with CONNECT
// or whole URLs, and over SOCKS5, each at its port.
//
// A proxy works as long as the list shows it, by the clock of the server, and accepts the
// login it was sold with. Before and after, and for other logins, it answers 407, or
// refuses the login over SOCKS5. A request or a tunnel that began before the end of the
// rent period goes on. A proxy that is authorised by IP accepts callers without a login:
// all callers are on this machine, and count as the IP address of the order.
//
// The hosts are 127.0.0.2, 127.0.0.3 and so on, and a proxy reaches other servers on
// this machine from its host, so that they can distinguish the proxies. On systems without
// such addresses, such as macOS, the host is 127.0.0.1. The ports differ from run to run.
//
// Each port is a socket from the order until [Server.Close]: 2000 sockets for an order of
// 1000 proxies that speak both. If there are too few sockets, the order is refused with
// error code 35, and costs nothing.
//
// A real socket hangs in a [testing/synctest] bubble, so NewServer panics there.
func WithProxies() Option {
	return func(s *Server) {
		if time.Now().Year() < 2020 { // a bubble begins in 2000
			panic("youproxytest: WithProxies does not work inside a testing/synctest bubble, nor with the clock of the system in the past")
		}
		p := &proxies{server: s, look: s.look, conns: make(map[*proxyConn]struct{})}
		p.life, p.end = context.WithCancel(context.Background())
		p.transport = &http.Transport{DialContext: p.dial, DisableKeepAlives: true, DisableCompression: true}
		p.forward = newForward(p.transport)
		s.account.proxies = p
	}
}

// ProxyRequests returns how many requests and tunnels each proxy of [WithProxies] has
// accepted: each request for a whole URL, each CONNECT and each SOCKS5 connection.
// Proxies that have accepted none are not in the map, so its length is the number of
// proxies that were used.
func (s *Server) ProxyRequests() map[youproxy.IPAddressID]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[youproxy.IPAddressID]int)
	for _, o := range s.look().orders {
		for _, p := range o.proxies {
			if p.requests > 0 {
				counts[p.ip.ID] = p.requests
			}
		}
	}
	return counts
}

// ProxyFault is a way in which a proxy of [WithProxies] fails.
type ProxyFault uint8

const (
	// ProxyDown makes a proxy refuse connections, and drop those that it has.
	ProxyDown ProxyFault = iota + 1
	// ProxyRefusesLogin makes a proxy refuse every request as if its login were wrong.
	ProxyRefusesLogin
)

// BreakProxy makes a proxy of [WithProxies] fail from now on. The account and the list
// do not change. It panics if the account does not have the proxy, or if there is no such
// fault.
func (s *Server) BreakProxy(id youproxy.IPAddressID, f ProxyFault) {
	s.mu.Lock()
	var broken *soldProxy
	for _, o := range s.look().orders {
		for _, p := range o.proxies {
			if p.ip.ID == id {
				broken = p
				broken.fault = f
			}
		}
	}
	s.mu.Unlock()
	switch {
	case f != ProxyDown && f != ProxyRefusesLogin:
		panic(fmt.Sprintf("youproxytest: %d is not a fault of a proxy", f))
	case broken == nil:
		panic(fmt.Sprintf("youproxytest: there is no proxy %s that works: see WithProxies", id))
	case f == ProxyDown:
		broken.stop()
	}
}

// proxies is the state of [WithProxies].
type proxies struct {
	server    *Server
	look      func() *account // of the server; a method would refer to endpoints, which refers to this
	life      context.Context // until the server is closed
	end       context.CancelFunc
	transport *http.Transport
	forward   *httputil.ReverseProxy

	mu    sync.Mutex
	conns map[*proxyConn]struct{} // those that are open, with clients and with targets
	over  bool
}

// soldProxy is a proxy that works.
type soldProxy struct {
	*proxies

	ip        *IPAddress
	listeners []net.Listener

	down     bool       // guarded by the mutex of proxies
	requests int        // guarded by the mutex of the server
	fault    ProxyFault // likewise
}

// start makes the proxies of an order work, all or none, and sets their addresses. The
// caller holds the mutex of the server.
func (p *proxies) start(ips []IPAddress) (list []*soldProxy, err error) {
	defer func() {
		if err != nil {
			for _, x := range list {
				x.stop()
			}
		}
	}()
	if p.server.over {
		return nil, errors.New("the server is closed")
	}
	for i := range ips {
		ip := &ips[i]
		x := &soldProxy{proxies: p, ip: ip}
		list = append(list, x)
		for _, port := range []*int{&ip.HTTPPort, &ip.SOCKS5Port} {
			if *port == 0 {
				continue
			}
			l, err := listenAt(ip.Host)
			if err != nil {
				return list, err
			}
			x.listeners = append(x.listeners, l)
			at := l.Addr().(*net.TCPAddr).AddrPort()
			ip.Host, *port = at.Addr().String(), int(at.Port())
		}
	}
	for _, x := range list {
		for i, l := range x.listeners {
			if i == 0 && x.ip.HTTPPort != 0 {
				p.server.serve(proxyListener{l, x})
			} else {
				p.server.serving.Go(func() { x.serveSOCKS5(proxyListener{l, x}) })
			}
		}
	}
	return list, nil
}

// listenAt listens at a host on loopback, or at 127.0.0.1 where there is no such host.
func listenAt(host string) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	return l, err
}

// loopback returns the nth host of proxies that work.
func loopback(n int) string {
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], 127<<24+2+uint32(n))
	return netip.AddrFrom4(address).String()
}

// accepts reports whether the proxy forwards for a login, and counts what it does.
func (p *soldProxy) accepts(login, password string) bool {
	p.server.mu.Lock()
	defer p.server.mu.Unlock()
	a := p.look()
	if p.fault == ProxyRefusesLogin || !p.ip.isListed(a.now) || p.ip.Login != "" && (login != p.ip.Login || password != p.ip.Password) {
		return false
	}
	p.requests++
	return true
}

type proxyKey struct{}

// dial connects with a target: of this machine from the host of the proxy, which is in
// the context.
func (p *proxies) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	x := ctx.Value(proxyKey{}).(*soldProxy)
	if !p.server.enter() {
		return nil, net.ErrClosed
	}
	defer p.server.handlers.Done()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	defer context.AfterFunc(p.life, cancel)()
	dialer := &net.Dialer{}
	host, _, _ := net.SplitHostPort(addr)
	at, _ := netip.ParseAddr(host)
	if at = at.Unmap(); at.Is4() && at.IsLoopback() || strings.EqualFold(host, "localhost") {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(x.ip.Host)}
	}
	c, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return x.keep(c, false)
}

// tunnel carries bytes both ways until both sides have ended. What was read of the
// client, but not used, is in early.
func tunnel(client net.Conn, early io.Reader, target net.Conn) {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		carry(target, early)
	}()
	carry(client, target)
	<-sent
	_, _ = client.Close(), target.Close()
}

// carry copies until the end of from, and then ends to.
func carry(to net.Conn, from io.Reader) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		_ = to.Close()
	}
}

// proxyListener is where clients connect with a proxy.
type proxyListener struct {
	net.Listener

	proxy *soldProxy
}

func (l proxyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.proxy.keep(c, true)
}

// proxyConn is a connection of a proxy, with a client or a target.
type proxyConn struct {
	*net.TCPConn

	proxy  *soldProxy
	client bool
}

// keep notes a connection, so that it is closed with the server or the proxy.
func (p *soldProxy) keep(c net.Conn, client bool) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || p.down {
		_ = c.Close()
		return nil, net.ErrClosed
	}
	kept := &proxyConn{c.(*net.TCPConn), p, client}
	p.conns[kept] = struct{}{}
	return kept, nil
}

func (c *proxyConn) Close() error {
	c.proxy.mu.Lock()
	delete(c.proxy.conns, c)
	c.proxy.mu.Unlock()
	return c.TCPConn.Close()
}

// withProxy adds the proxy of a connection to the context of its requests.
func withProxy(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*proxyConn); ok {
		return context.WithValue(ctx, proxyKey{}, c.proxy)
	}
	return ctx
}

// stop closes the ports and the connections of a proxy.
func (p *soldProxy) stop() {
	p.drop(p)
	p.mute()
}

// mute closes the ports.
func (p *soldProxy) mute() {
	for _, l := range p.listeners {
		_ = l.Close()
	}
}

// drop closes the connections of one proxy, or of all where that is nil, for good: first
// those with clients, which would be told otherwise that the target is gone.
func (p *proxies) drop(one *soldProxy) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one == nil {
		p.over = true
	} else {
		one.down = true
	}
	for _, clients := range []bool{true, false} {
		for c := range p.conns {
			if c.client == clients && (one == nil || c.proxy == one) {
				delete(p.conns, c)
				_ = c.TCPConn.Close()
			}
		}
	}
}

// close ends all proxies, once no more can start. What serves them ends soon after.
func (p *proxies) close(orders []*placedOrder) {
	p.drop(nil)
	p.end()
	for _, o := range orders {
		for _, x := range o.proxies {
			x.mute()
		}
	}
	p.transport.CloseIdleConnections()
}
