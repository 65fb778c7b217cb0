package proxypool_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy/proxypool"
)

const (
	login    = "login"
	password = "pass-WORD"
	greeting = "hello from the target"

	// How long a target takes inside a synctest bubble, where it costs nothing.
	latency = 5 * time.Millisecond
)

// long is an answer of many packets.
var long = strings.Repeat(greeting, 5000)

// network is where proxies and targets find each other by name: in memory, for a
// synctest bubble, or on loopback.
type network struct {
	t        testing.TB
	loopback bool
	mu       sync.Mutex
	hosts    map[string]*host
	conns    map[net.Conn]struct{} // of the servers
	work     sync.WaitGroup
}

// host is a machine of the network.
type host struct {
	before   func(ctx context.Context) error // what happens to a connection before it is made; nil for nothing
	listener net.Listener
}

func newNetwork(t testing.TB, loopback bool) *network {
	n := &network{t: t, loopback: loopback, hosts: make(map[string]*host), conns: make(map[net.Conn]struct{})}
	t.Cleanup(n.close)
	return n
}

// close ends all servers, and waits for them.
func (n *network) close() {
	n.mu.Lock()
	for _, h := range n.hosts {
		_ = h.listener.Close()
	}
	for c := range n.conns {
		_ = c.Close()
	}
	n.mu.Unlock()
	n.work.Wait()
}

// listen makes a host of that name.
func (n *network) listen(name string, before func(context.Context) error) net.Listener {
	var l net.Listener = &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	if n.loopback {
		var err error
		l, err = net.Listen("tcp", "127.0.0.1:0")
		require.NoError(n.t, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[name] = &host{before: before, listener: l}
	return l
}

// serve answers each connection with a host of that name.
func (n *network) serve(name string, before func(context.Context) error, conduct func(net.Conn)) {
	l := n.listen(name, before)
	n.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n.mu.Lock()
			n.conns[c] = struct{}{}
			n.mu.Unlock()
			n.work.Go(func() {
				conduct(c)
				_ = c.Close()
				n.mu.Lock()
				delete(n.conns, c)
				n.mu.Unlock()
			})
		}
	})
}

// dial connects with a host, whatever the port.
func (n *network) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	failed := func(err error) error { return &net.OpError{Op: "dial", Net: network, Err: err} }
	name, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, failed(err)
	}
	n.mu.Lock()
	h := n.hosts[name]
	n.mu.Unlock()
	if h == nil {
		return nil, failed(&net.DNSError{Err: "no such host", Name: name, IsNotFound: true})
	}
	if h.before != nil {
		if err := h.before(ctx); err != nil {
			return nil, failed(err)
		}
	}
	if p, ok := h.listener.(*pipes); ok {
		c, err := p.dial(ctx)
		if err != nil {
			return nil, failed(err)
		}
		return c, nil
	}
	return new(net.Dialer).DialContext(ctx, "tcp", h.listener.Addr().String())
}

// base is a transport of the network.
func (n *network) base() *http.Transport {
	return &http.Transport{
		DialContext:       n.dial,
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: certificates().roots},
	}
}

// pool makes a pool of proxies of the network. Its connections end with the test.
func (n *network) pool(urls []*url.URL, opts ...proxypool.Option) *proxypool.Pool {
	p, err := proxypool.New(urls, append([]proxypool.Option{proxypool.WithTransport(n.base())}, opts...)...)
	require.NoError(n.t, err)
	n.t.Cleanup(func() { require.NoError(n.t, p.Replace(nil)) })
	return p
}

// pipes is a listener of connections in memory.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (p *pipes) dial(ctx context.Context) (net.Conn, error) {
	near, far := net.Pipe()
	broken := new(atomic.Bool)
	select {
	case p.conns <- &farEnd{Conn: far, broken: broken}:
		return &nearEnd{Conn: near, broken: broken}, nil
	case <-p.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// farEnd is the server's end of a pipe.
type farEnd struct {
	net.Conn
	broken *atomic.Bool // it has been reset
}

// nearEnd is the client's end. It fails as a socket does.
type nearEnd struct {
	net.Conn
	broken *atomic.Bool
}

func (c *nearEnd) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF && c.broken.Load() {
		err = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	}
	return n, err
}

func (c *nearEnd) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if errors.Is(err, io.ErrClosedPipe) {
		err = &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	return n, err
}

// reset ends a connection without ceremony.
func reset(c net.Conn) {
	for {
		switch end := c.(type) {
		case *readerConn:
			c = end.Conn
			continue
		case *farEnd:
			end.broken.Store(true)
		case *net.TCPConn:
			_ = end.SetLinger(0)
		}
		_ = c.Close()
		return
	}
}

// readerConn reads what a buffer holds before the rest.
type readerConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *readerConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// pair are certificates for *.example.com, and the roots that know the first one.
type pair struct {
	known, stranger, elsewhere tls.Certificate
	roots                      *x509.CertPool
}

var certificates = sync.OnceValue(func() pair {
	p := pair{
		known:     proxypool.Certificate("*.example.com"),
		stranger:  proxypool.Certificate("*.example.com"),
		elsewhere: proxypool.Certificate("example.net"),
	}
	p.roots = x509.NewCertPool()
	p.roots.AddCert(p.known.Leaf)
	p.roots.AddCert(p.elsewhere.Leaf)
	return p
})

// protocol is how a target speaks.
type protocol struct {
	name   string
	secure bool
	http2  bool
}

var protocols = []protocol{{name: "http"}, {name: "TLS 1.1", secure: true}, {name: "TLS h2", secure: true, http2: true}}

// target starts a server that requests are for, and returns its URL.
func (n *network) target(name string, p protocol, cert tls.Certificate, handler http.HandlerFunc) string {
	s := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0), Protocols: new(http.Protocols)}
	s.Protocols.SetHTTP1(!p.http2)
	s.Protocols.SetHTTP2(p.http2)
	s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
	l := n.listen(name, nil)
	n.work.Go(func() {
		if p.secure {
			_ = s.ServeTLS(l, "", "")
			return
		}
		_ = s.Serve(l)
	})
	n.t.Cleanup(func() { _ = s.Close() })
	if p.secure {
		return "https://" + name + "/"
	}
	return "http://" + name + "/"
}

// greet answers well.
func (n *network) greet(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if !n.loopback {
		time.Sleep(latency)
	}
	if r.URL.Path == "/long" {
		_, _ = io.WriteString(w, long)
		return
	}
	_, _ = io.WriteString(w, greeting)
}

// goodProxy starts a forward proxy that does its duty: http, https or socks5.
func (n *network) goodProxy(scheme, name string) *url.URL {
	s := &server{network: n, scheme: scheme}
	n.serve(name, nil, s.forward)
	return proxyURL(scheme, name)
}

func proxyURL(scheme, name string) *url.URL {
	return &url.URL{Scheme: scheme, User: url.UserPassword(login, password), Host: name + ":3128"}
}

// server is a proxy of a network, good or bad.
type server struct {
	network  *network
	scheme   string
	taken    atomic.Int64 // connections
	requests atomic.Int64

	mu        sync.Mutex
	swallowed bytes.Buffer // what it read and did not send on
}

// Write keeps what it swallows.
func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.swallowed.Write(p)
}

// forward serves a connection as a proxy should.
func (s *server) forward(c net.Conn) {
	switch s.scheme {
	case "socks5":
		socks{}.serve(s, c)
		return
	case "https":
		c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificates().known}})
	}
	r := bufio.NewReader(c)
	for s.forwardOne(c, r, nil) {
	}
}

// forwardOne serves a request: a tunnel through it is carried by relay, if that is
// not nil. It reports whether the connection can take another one.
func (s *server) forwardOne(c net.Conn, r *bufio.Reader, relay func(client, target net.Conn)) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	s.requests.Add(1)
	answer := func(status string) bool {
		_, _ = io.Copy(s, req.Body)
		_, err := io.WriteString(c, "HTTP/1.1 "+status+"\r\nContent-Length: 0\r\n\r\n")
		return err == nil
	}
	if req.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte(login+":"+password)) {
		return answer("407 Proxy Authentication Required")
	}
	target, err := s.network.dial(context.Background(), "tcp", net.JoinHostPort(req.URL.Hostname(), "1"))
	if err != nil {
		return answer("502 Bad Gateway")
	}
	defer target.Close()
	if req.Method == http.MethodConnect {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		if relay == nil {
			relay = pass
		}
		relay(&readerConn{Conn: c, r: r}, target)
		return false
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return false
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	req.Header.Del("Proxy-Authorization")
	req.Close = true
	next := make(chan struct{}) // another request has begun, or the client has gone
	s.network.work.Go(func() {
		defer close(next)
		if _, err := r.Peek(1); err != nil {
			_ = target.Close()
		}
	})
	if resp, err := exchange(target, req); err != nil {
		answer("502 Bad Gateway")
	} else if _, err := c.Write(resp); err != nil {
		_ = c.Close()
	}
	<-next
	return true
}

// exchange sends a request over a connection of its own, and returns the response as
// it is written.
func exchange(target net.Conn, req *http.Request) ([]byte, error) {
	if err := req.Write(target); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(target), req)
	if err != nil {
		return nil, err
	}
	resp.Close = false
	resp.Header.Del("Connection")
	var text bytes.Buffer
	err = resp.Write(&text)
	return text.Bytes(), err
}

// pass carries bytes both ways until one end is closed, and then closes the other.
func pass(client, target net.Conn) { carry(client, target, target) }

// carry lets the client read from back, which is the target with something in
// between.
func carry(client, target net.Conn, back io.Reader) {
	var other sync.WaitGroup
	other.Go(func() {
		_, err := io.Copy(struct{ io.Writer }{client}, struct{ io.Reader }{back})
		if errors.Is(err, syscall.ECONNRESET) {
			reset(client)
		}
		_ = client.Close()
	})
	_, _ = io.Copy(struct{ io.Writer }{target}, struct{ io.Reader }{client})
	_ = target.Close()
	other.Wait()
}
