// Package forwardproxy has proxies on loopback, for examples that run without an
// account: HTTP proxies, which take whole URLs and CONNECT, and SOCKS5 proxies,
// each with its login.
package forwardproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/youproxy-go/youproxy/youproxytest"
)

// Network has proxies that work behind the addresses of a fake's, which lead
// nowhere. It is safe for concurrent use. Close it in the end.
type Network struct {
	mu      sync.Mutex
	routes  map[string]string // to where an address leads
	proxies int
	conns   map[net.Conn]bool
	closers []func()
	closed  bool
	running sync.WaitGroup
	life    context.Context // until it is closed
	end     context.CancelFunc
}

// New makes a network without proxies.
func New() *Network {
	n := &Network{routes: make(map[string]string), conns: make(map[net.Conn]bool)}
	n.life, n.end = context.WithCancel(context.Background())
	return n
}

// Add starts a proxy that can be dialed at the host and the ports of p, and takes
// its login. Each one reaches what is on this machine from another address:
// 127.0.0.2, 127.0.0.3 and so on. Where there are no such addresses, as on many
// systems but Linux, it is 127.0.0.1 for all.
func (n *Network) Add(p youproxytest.IPAddress) error {
	n.mu.Lock()
	n.proxies++
	x := &proxy{
		network: n, login: p.Login, password: p.Password,
		exit: netip.AddrFrom4([4]byte{127, 0, byte((n.proxies + 1) >> 8), byte(n.proxies + 1)}),
	}
	n.mu.Unlock()
	if p.HTTPPort != 0 {
		at, err := n.listen(x.serveHTTP)
		if err != nil {
			return err
		}
		n.lead(p.Host, p.HTTPPort, at)
	}
	if p.SOCKS5Port != 0 {
		at, err := n.listen(x.serveSOCKS5)
		if err != nil {
			return err
		}
		n.lead(p.Host, p.SOCKS5Port, at)
	}
	return nil
}

func (n *Network) lead(host string, port int, to string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.routes[net.JoinHostPort(host, strconv.Itoa(port))] = to
}

// Serve serves a website on loopback, and gives its URL.
func (n *Network) Serve(h http.Handler) (url string, err error) {
	at, err := n.listen(func(l net.Listener) { n.serve(l, h) })
	return "http://" + at + "/", err
}

// CallersAddress is a website that tells the address a request comes from.
func CallersAddress(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	_, _ = fmt.Fprintln(w, host)
}

// At gives where on loopback the proxy listens that has this address; empty if
// there is none.
func (n *Network) At(addr string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.routes[addr]
}

// Transport gives a transport that finds the proxies of the network, and no
// others: what proxypool.WithTransport takes.
func (n *Network) Transport() *http.Transport {
	return &http.Transport{DialContext: n.dial, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute}
}

func (n *Network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	to := n.At(addr)
	if to == "" {
		err := &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
		if at, parseErr := netip.ParseAddrPort(addr); parseErr == nil {
			err.Addr = net.TCPAddrFromAddrPort(at)
		}
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, to)
}

// Close ends the proxies and the websites, with all their connections, and returns
// when nothing of them runs any more.
func (n *Network) Close() {
	n.mu.Lock()
	n.closed = true
	closers := n.closers
	n.closers = nil
	for c := range n.conns {
		_ = c.Close()
	}
	n.mu.Unlock()
	n.end()
	for _, f := range closers {
		f()
	}
	n.running.Wait()
}

var errClosed = errors.New("the network is closed")

// listen begins to serve on a free port.
func (n *Network) listen(serve func(net.Listener)) (addr string, err error) {
	l, err := (&net.ListenConfig{}).Listen(n.life, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	if !n.start(func() { _ = l.Close() }) {
		_ = l.Close()
		return "", errClosed
	}
	go func() {
		defer n.running.Done()
		serve(l)
	}()
	return l.Addr().String(), nil
}

// start notes that something runs, and how it is ended. It reports whether the
// network is open. What runs calls running.Done in the end.
func (n *Network) start(end func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return false
	}
	if end != nil {
		n.closers = append(n.closers, end)
	}
	n.running.Add(1)
	return true
}

// serve serves HTTP until the network is closed.
func (n *Network) serve(l net.Listener, h http.Handler) {
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !n.start(nil) {
			panic(http.ErrAbortHandler)
		}
		defer n.running.Done()
		h.ServeHTTP(w, r)
	})}
	_ = server.Serve(l) // which ends when the listener is closed
	_ = server.Close()
}

// keep closes a connection with the network. It reports whether that is open.
func (n *Network) keep(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		_ = c.Close()
		return false
	}
	n.conns[c] = true
	return true
}

// drop closes a connection.
func (n *Network) drop(c net.Conn) {
	n.mu.Lock()
	delete(n.conns, c)
	n.mu.Unlock()
	_ = c.Close()
}

// tunnel carries bytes both ways until both sides have ended. What was read of
// the client, but not used, is in early.
func (n *Network) tunnel(client net.Conn, early io.Reader, target net.Conn) {
	defer n.drop(client)
	defer n.drop(target)
	if !n.keep(client) || !n.keep(target) {
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		carry(target, early)
	}()
	carry(client, target)
	<-sent
}

// carry copies until the end of from, and tells to of it.
func carry(to net.Conn, from io.Reader) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		_ = to.Close()
	}
}
