package proxypool

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// world is a set of proxy servers on loopback, with names of their own, and the
// only way to them.
type world struct {
	t     testing.TB
	mu    sync.Mutex
	hosts map[string]*proxyServer
}

func newWorld(t testing.TB) *world {
	return &world{t: t, hosts: make(map[string]*proxyServer)}
}

// dial connects with a server by its name. One that is dead refuses.
func (w *world) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	s := w.hosts[addr]
	w.mu.Unlock()
	if s == nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}}
	}
	at := s.address()
	if at == "" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return new(net.Dialer).DialContext(ctx, network, at)
}

// base is a transport that finds the servers, and trusts them and the targets.
func (w *world) base() *http.Transport {
	return &http.Transport{
		DialContext:         w.dial,
		ForceAttemptHTTP2:   true,
		TLSClientConfig:     &tls.Config{RootCAs: testRoots()},
		MaxIdleConnsPerHost: 64,
	}
}

// pool makes a pool, and closes its connections when the test ends.
func (w *world) pool(urls []*url.URL, opts ...Option) *Pool {
	w.t.Helper()
	p, err := New(urls, append([]Option{WithTransport(w.base())}, opts...)...)
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		require.NoError(w.t, p.Replace(nil))
	})
	return p
}

// habit is what a proxy server does instead of its duty.
type habit struct {
	silent           bool   // takes connections, and says nothing
	hangUp           bool   // takes connections, and closes them
	greeting         string // what each connection gets after its first bytes, and then its end
	connectAnswer    string // in the place of 200 to CONNECT
	cutAfterConnect  bool   // hangs up when it has answered CONNECT, or SOCKS
	cutInTLS         bool   // and when the first bytes went through
	silentAfter      bool   // lets nothing through what it made
	ownCertificate   bool   // answers in the place of the target
	plainAnswer      string // to requests in absolute form
	socksReply       byte   // to CONNECT
	refuseSOCKSLogin bool
	socksMethod      byte // in the place of the right one
}

// proxyServer is a forward proxy: HTTP (CONNECT and absolute form, Basic), with
// TLS or without, or SOCKS5 (RFC 1928, RFC 1929).
type proxyServer struct {
	t      testing.TB
	url    *url.URL
	habits atomic.Pointer[habit]

	accepted, tunnels, plain atomic.Int64
	frozen                   atomic.Bool // nothing more comes through the tunnels that are there

	mu       sync.Mutex
	listener net.Listener // nil while it is dead
	conns    map[net.Conn]struct{}
	work     sync.WaitGroup
	onward   *http.Transport
}

// proxy starts one: scheme://login:password@name:3128.
func (w *world) proxy(scheme, name string, user *url.Userinfo) *proxyServer {
	w.t.Helper()
	s := &proxyServer{
		t: w.t, url: &url.URL{Scheme: scheme, User: user, Host: name + ":3128"},
		conns:  make(map[net.Conn]struct{}),
		onward: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
	}
	s.behave(habit{})
	w.mu.Lock()
	w.hosts[s.url.Host] = s
	w.mu.Unlock()
	s.start()
	w.t.Cleanup(func() {
		s.kill()
		s.work.Wait()
	})
	return s
}

var someUser = url.UserPassword("login", "pass-WORD")

// proxies starts n of them.
func (w *world) proxies(scheme string, n int) ([]*proxyServer, []*url.URL) {
	w.t.Helper()
	servers, urls := make([]*proxyServer, n), make([]*url.URL, n)
	for i := range servers {
		servers[i] = w.proxy(scheme, fmt.Sprintf("p%d.example.com", i), someUser)
		urls[i] = servers[i].url
	}
	return servers, urls
}

func (s *proxyServer) behave(h habit) { s.habits.Store(&h) }

func (s *proxyServer) address() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// start makes it listen.
func (s *proxyServer) start() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(s.t, err)
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	s.work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			alive := s.listener == l
			if alive {
				s.conns[c] = struct{}{}
			}
			s.mu.Unlock()
			if !alive {
				_ = c.Close()
				continue
			}
			s.accepted.Add(1)
			s.work.Go(func() {
				defer s.closeConn(c)
				s.serve(c)
			})
		}
	})
}

// kill ends its listener and its connections at once.
func (s *proxyServer) kill() {
	s.mu.Lock()
	l := s.listener
	s.listener = nil
	s.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
	s.cut()
}

// cut ends its connections, and goes on listening.
func (s *proxyServer) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(-1)
		}
		_ = c.Close()
	}
	clear(s.conns)
}

func (s *proxyServer) closeConn(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
}

// open returns how many connections with clients there are.
func (s *proxyServer) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

func (s *proxyServer) serve(c net.Conn) {
	h := s.habits.Load()
	switch {
	case h.hangUp:
		return
	case h.silent:
		_, _ = io.Copy(io.Discard, c)
		return
	case h.greeting != "":
		_, _ = c.Read(make([]byte, 1<<16))
		_, _ = io.WriteString(c, h.greeting)
		return
	}
	if s.url.Scheme == "https" {
		secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{testCertificate()}})
		if secure.Handshake() != nil {
			return
		}
		c = secure
	}
	if strings.HasPrefix(s.url.Scheme, "socks") {
		s.serveSOCKS(c)
		return
	}
	s.serveHTTP(c)
}

// serveHTTP serves the connection until it ends.
func (s *proxyServer) serveHTTP(c net.Conn) {
	l := &oneConn{conn: c, closed: make(chan struct{})}
	var tunnel sync.WaitGroup
	server := &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				l.end()
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tunnel.Add(1)
			defer tunnel.Done()
			if r.Method == http.MethodConnect {
				s.connect(w, r)
				return
			}
			s.forward(w, r)
		}),
	}
	_ = server.Serve(l)
	tunnel.Wait()
	_ = server.Close()
}

func (s *proxyServer) knows(r *http.Request) bool {
	if s.url.User == nil {
		return true
	}
	password, _ := s.url.User.Password()
	login := base64.StdEncoding.EncodeToString([]byte(s.url.User.Username() + ":" + password))
	return r.Header.Get("Proxy-Authorization") == "Basic "+login
}

func (s *proxyServer) connect(w http.ResponseWriter, r *http.Request) {
	h := s.habits.Load()
	knows := s.knows(r)
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	switch {
	case h.connectAnswer != "":
		answer := h.connectAnswer
		answer = strings.ReplaceAll(answer, "{authorization}", r.Header.Get("Proxy-Authorization"))
		_, _ = io.WriteString(client, answer)
		return
	case !knows:
		_, _ = io.WriteString(client, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	target, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		_, _ = io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	s.tunnels.Add(1)
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	s.relay(client, target, h)
}

// relay lets bytes through both ways, until one side ends.
func (s *proxyServer) relay(client, target net.Conn, h *habit) {
	defer target.Close()
	switch {
	case h.cutAfterConnect:
		return
	case h.cutInTLS:
		_, _ = client.Read(make([]byte, 1))
		return
	case h.silentAfter:
		_, _ = io.Copy(io.Discard, client)
		return
	case h.ownCertificate:
		_ = tls.Server(client, &tls.Config{Certificates: []tls.Certificate{strangeCertificate()}}).Handshake()
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(struct{ io.Writer }{client}, icy{s, target}) // not by splice, which outlives a Close
		_ = client.Close()
	})
	_, err := io.Copy(struct{ io.Writer }{target}, icy{s, client})
	if half, ok := target.(*net.TCPConn); err != nil || !ok || half.CloseWrite() != nil {
		_ = target.Close()
	}
	back.Wait()
}

// icy reads nothing more once its server is frozen.
type icy struct {
	server *proxyServer
	from   io.Reader
}

func (r icy) Read(p []byte) (int, error) {
	for {
		n, err := r.from.Read(p)
		if err != nil || !r.server.frozen.Load() {
			return n, err
		}
	}
}

func (s *proxyServer) forward(w http.ResponseWriter, r *http.Request) {
	if h := s.habits.Load(); h.plainAnswer != "" {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(c, strings.ReplaceAll(h.plainAnswer, "{authorization}", r.Header.Get("Proxy-Authorization")))
			_ = c.Close()
		}
		return
	}
	if !s.knows(r) {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	s.plain.Add(1)
	(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) {},
		Transport:     s.onward,
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}).ServeHTTP(w, r)
}

func (s *proxyServer) serveSOCKS(c net.Conn) {
	h := s.habits.Load()
	r := bufio.NewReader(c)
	read := func(n int) []byte {
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return nil
		}
		return b
	}
	hello := read(2)
	if hello == nil || hello[0] != 5 {
		return
	}
	methods := read(int(hello[1]))
	wanted := byte(0)
	if s.url.User != nil {
		wanted = 2
	}
	switch {
	case h.socksMethod != 0:
		_, _ = c.Write([]byte{5, h.socksMethod})
		return
	case !strings.Contains(string(methods), string(wanted)):
		_, _ = c.Write([]byte{5, 0xff})
		return
	}
	_, _ = c.Write([]byte{5, wanted})
	if wanted == 2 {
		head := read(2)
		if head == nil {
			return
		}
		login := read(int(head[1]))
		length := read(1)
		if length == nil {
			return
		}
		password := read(int(length[0]))
		right, _ := s.url.User.Password()
		if h.refuseSOCKSLogin || string(login) != s.url.User.Username() || string(password) != right {
			_, _ = c.Write([]byte{1, 1})
			return
		}
		_, _ = c.Write([]byte{1, 0})
	}
	head := read(4)
	if head == nil {
		return
	}
	var host string
	switch head[3] {
	case 1:
		host = net.IP(read(4)).String()
	case 3:
		host = string(read(int(read(1)[0])))
	case 4:
		host = net.IP(read(16)).String()
	}
	port := binary.BigEndian.Uint16(read(2))
	if h.socksReply != 0 {
		_, _ = c.Write([]byte{5, h.socksReply, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	target, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
	if err != nil {
		_, _ = c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	s.tunnels.Add(1)
	_, _ = c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	s.relay(&readConn{Conn: c, r: r}, target, h)
}

// readConn reads what a buffer has before the rest.
type readConn struct {
	net.Conn
	r io.Reader
}

func (c *readConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// oneConn is a listener of one connection.
type oneConn struct {
	conn   net.Conn
	taken  bool
	once   sync.Once
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if !l.taken {
		l.taken = true
		return l.conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) end()           { l.once.Do(func() { close(l.closed) }) }
func (l *oneConn) Close() error   { l.end(); return nil }
func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }

// inOrder takes the first proxy of the list that is to be had.
func inOrder() Option {
	return func(s *settings) error {
		s.strategy = inOrderStrategy{}
		return nil
	}
}

type inOrderStrategy struct{}

func (inOrderStrategy) arrange(list []*proxy) *roster { return newRoster(list) }

func (inOrderStrategy) hedges(*http.Request) bool { return true }

func (inOrderStrategy) choose(r *roster, _ *http.Request, w want) *proxy { return r.scan(0, w) }

// get sends a request, reads the whole response, and returns the proxy that served it.
func get(t testing.TB, rt http.RoundTripper, target string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	require.NoError(t, err)
	resp, err := rt.RoundTrip(req)
	require.NoError(t, err)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	return Via(resp)
}

// failureOf sends the request, which is to fail.
func failureOf(t testing.TB, rt http.RoundTripper, req *http.Request) *Error {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	require.Error(t, err)
	var failure *Error
	require.ErrorAs(t, err, &failure)
	return failure
}

// request makes one, or fails the test.
func request(t testing.TB, method, target string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	require.NoError(t, err)
	return req
}
