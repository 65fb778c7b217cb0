package forwardproxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"time"
)

// proxy is one of a network.
type proxy struct {
	network         *Network
	login, password string     // without a login it takes everyone
	exit            netip.Addr // from where it reaches what is on this machine
}

func (p *proxy) knows(login, password string) bool {
	return p.login == "" || login == p.login && password == p.password
}

// dial connects with a target.
func (p *proxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if at, err := netip.ParseAddrPort(addr); err == nil && at.Addr().IsLoopback() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.exit, 0))
		if c, err := dialer.DialContext(ctx, network, addr); err == nil {
			return c, nil
		}
		dialer.LocalAddr = nil // this system may not have that address
	}
	return dialer.DialContext(ctx, network, addr)
}

// serveHTTP serves an HTTP proxy (RFC 9110, RFC 7617).
func (p *proxy) serveHTTP(l net.Listener) {
	transport := &http.Transport{DialContext: p.dial, DisableCompression: true}
	defer transport.CloseIdleConnections()
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(*httputil.ProxyRequest) {}, // the URL is that of the target
		ErrorLog:  log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			http.Error(w, "the target cannot be reached", http.StatusBadGateway)
		},
	}
	p.network.serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
		login, password, _ := given.BasicAuth()
		switch {
		case !p.knows(login, password):
			w.Header().Set("Proxy-Authenticate", `Basic realm="proxy"`)
			http.Error(w, "the login is not accepted", http.StatusProxyAuthRequired)
		case r.Method == http.MethodConnect:
			p.connect(w, r)
		case r.URL.Scheme != "http" || r.URL.Host == "":
			http.Error(w, "this is a proxy: ask for a whole URL of http, or use CONNECT", http.StatusBadRequest)
		default:
			forward.ServeHTTP(w, r)
		}
	}))
}

// connect answers CONNECT.
func (p *proxy) connect(w http.ResponseWriter, r *http.Request) {
	// Not with the context of r, which also ends when the client has sent all.
	target, err := p.dial(p.network.life, "tcp", r.Host)
	if err != nil {
		w.Header().Set("Connection", "close") // what follows is no request to a proxy
		http.Error(w, "the target cannot be reached", http.StatusBadGateway)
		return
	}
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = target.Close()
		http.Error(w, "there are no tunnels over this protocol", http.StatusHTTPVersionNotSupported)
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n") // a tunnel that is broken ends at once
	p.network.tunnel(client, buffered.Reader, target)
}

// serveSOCKS5 serves a SOCKS5 proxy (RFC 1928, RFC 1929).
func (p *proxy) serveSOCKS5(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if !p.network.start(nil) {
			_ = c.Close()
			return
		}
		go func() {
			defer p.network.running.Done()
			defer p.network.drop(c)
			if p.network.keep(c) {
				p.socks5(c)
			}
		}()
	}
}

// What a SOCKS5 server answers to a request.
const (
	succeeded               = 0
	hostUnreachable         = 4
	commandNotSupported     = 7
	addressTypeNotSupported = 8
)

// socks5 serves one connection.
func (p *proxy) socks5(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	in := &reader{from: bufio.NewReader(c)}
	if !p.admit(c, in) {
		return
	}
	request := in.bytes(4) // version, command, reserved, type of the address
	if in.failed || request[0] != 5 {
		return
	}
	var host string
	switch request[3] {
	case 1:
		host = address(in.bytes(4))
	case 3:
		host = in.text()
	case 4:
		host = address(in.bytes(16))
	default:
		answer(c, addressTypeNotSupported)
		return
	}
	port := in.bytes(2)
	switch {
	case in.failed:
		return
	case request[1] != 1:
		answer(c, commandNotSupported)
		return
	}
	target, err := p.dial(p.network.life, "tcp", net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port)))))
	if err != nil {
		answer(c, hostUnreachable)
		return
	}
	answer(c, succeeded)
	_ = c.SetDeadline(time.Time{})
	p.network.tunnel(c, in.from, target)
}

// admit agrees on a method, and reports whether the client may go on.
func (p *proxy) admit(c net.Conn, in *reader) bool {
	version := in.bytes(1)
	methods := in.text()
	if in.failed || version[0] != 5 {
		return false
	}
	const none, password, noneAcceptable = 0, 2, 0xff
	method := byte(password)
	if p.login == "" {
		method = none
	}
	if !bytes.Contains([]byte(methods), []byte{method}) {
		_, _ = c.Write([]byte{5, noneAcceptable})
		return false
	}
	_, _ = c.Write([]byte{5, method})
	if method == none {
		return true
	}
	in.bytes(1) // version of the login
	given, secret := in.text(), in.text()
	if in.failed || !p.knows(given, secret) {
		_, _ = c.Write([]byte{1, 1})
		return false
	}
	_, _ = c.Write([]byte{1, 0})
	return true
}

// answer answers a request, without the address that the target is reached from.
func answer(c net.Conn, reply byte) { _, _ = c.Write([]byte{5, reply, 0, 1, 0, 0, 0, 0, 0, 0}) }

func address(b []byte) string {
	addr, _ := netip.AddrFromSlice(b)
	return addr.String()
}

// reader reads what a client says. After an error it gives zeros.
type reader struct {
	from   *bufio.Reader
	failed bool
}

func (r *reader) bytes(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(r.from, b); err != nil {
		r.failed = true
	}
	return b
}

// text reads a length, and as many bytes.
func (r *reader) text() string { return string(r.bytes(int(r.bytes(1)[0]))) }
