package proxypool

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/youproxy-go/youproxy/internal/hostname"
)

// Forwarder is an HTTP proxy without a login, in front of the proxies of a [Pool]. It is
// for browsers and other programs that cannot log in to a proxy. It is an [http.Handler].
// [Forward] makes one.
//
// It serves requests for http URLs with [Pool.RoundTrip], and WebSockets and tunnels
// (CONNECT), which programs use for https, with [Pool.DialContext].
//
// Requests and responses are streamed unchanged, except for their headers. Fields that
// concern a single connection, such as Proxy-Authorization and those that the Connection
// field lists, are removed; so are Via, Forwarded and the X-Forwarded fields, which
// reveal the caller. If a request has no Accept-Encoding, the Forwarder sets it to
// identity, so that the response comes unchanged.
//
// If there is no response, the caller gets status 502, or 504 after a timeout, and the
// text of the error. For an http URL, only the kind of the error is sent, since the
// scripts of a web page can read it; [Pool.Stats] has the rest. A request that is not
// one for a proxy gets status 400. So does a page that a browser loads from the address
// of the Forwarder, so that no web page can use it from a script.
//
// Everybody who can connect can use the proxies. Requests from other machines therefore
// get status 403 unless [AllowRemote] is set. The RemoteAddr of a request decides: if it
// is not a loopback address with a port, the request counts as one from another machine.
// That includes callers over a Unix socket or an in-memory listener.
//
// Programs must speak HTTP/1 with the Forwarder. HTTP/2 requests get status 505. An
// [http.Server] that serves TLS must not offer HTTP/2 (see its Protocols field).
type Forwarder struct {
	pool     *Pool
	remote   bool
	patience time.Duration // how long the open half of a tunnel may be silent

	life context.Context // ends when the Forwarder is closed
	end  context.CancelFunc

	mu      sync.Mutex // keeps tunnels from beginning while Close waits
	tunnels sync.WaitGroup
}

// ForwardOption changes how a [Forwarder] works.
type ForwardOption func(*Forwarder)

// AllowRemote lets other machines use the proxies. There is no login: make sure that only
// the machines that may use them can connect.
func AllowRemote() ForwardOption { return func(f *Forwarder) { f.remote = true } }

// Forward returns a [Forwarder] in front of the proxies of the pool. The caller closes it
// after its server.
func Forward(p *Pool, opts ...ForwardOption) *Forwarder {
	f := &Forwarder{pool: p, patience: 5 * time.Minute}
	f.life, f.end = context.WithCancel(context.Background())
	for _, opt := range opts {
		if opt != nil {
			opt(f)
		}
	}
	return f
}

// Close ends the tunnels and the running requests, and returns when the tunnels have
// ended. Later requests get status 503. To let running requests complete, call
// [http.Server.Shutdown] first, which waits for requests, but not for tunnels. The pool
// stays open. The error is always nil.
func (f *Forwarder) Close() error {
	if !f.made() {
		return nil
	}
	f.mu.Lock()
	f.end()
	f.mu.Unlock()
	f.tunnels.Wait()
	return nil
}

func (f *Forwarder) made() bool { return f != nil && f.life != nil }

var (
	errNoForwarder     = errors.New("the forwarder was not made by Forward")
	errForwarderClosed = errors.New("the forwarder is closed")
)

// ServeHTTP sends a request that is meant for a proxy through the pool.
func (f *Forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		w.Header().Set("Connection", "close") // if there is no tunnel: what follows is for the target, and no request
	}
	switch {
	case !f.made():
		refuse(w, http.StatusServiceUnavailable, errNoForwarder)
		return
	case !f.remote && !fromLoopback(r):
		refuse(w, http.StatusForbidden, errors.New("only programs on the same machine may use this proxy"))
		return
	case !f.pool.made():
		refuse(w, http.StatusServiceUnavailable, errNotMade)
		return
	case f.life.Err() != nil:
		refuse(w, http.StatusServiceUnavailable, errForwarderClosed)
		return
	case r.ProtoMajor != 1:
		refuse(w, http.StatusHTTPVersionNotSupported, errors.New("this proxy speaks HTTP/1.1 only"))
		return
	}
	addr, err := targetOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(f.life, cancel)()
	h := &hijacker{ResponseWriter: w, forwarder: f}
	defer h.end()
	if r.Method == http.MethodConnect {
		f.connect(ctx, h, addr)
		return
	}
	f.forward(h, r.WithContext(ctx))
}

// fromLoopback reports whether the caller is on this machine.
func fromLoopback(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().IsLoopback()
}

// targetOf returns the host and port that a request to a proxy is for.
func targetOf(r *http.Request) (string, error) {
	u := r.URL
	port := u.Port()
	switch {
	case r.Method == http.MethodConnect:
		if u.Path != "" || u.RawQuery != "" || u.User != nil || port == "" {
			return "", errors.New("CONNECT takes a host and a port, such as example.com:443")
		}
	case u.Host == "":
		return "", errors.New("this is a proxy and has no pages: enter its address in the proxy settings of a program, as in curl --proxy")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", errors.New("this proxy serves http and https URLs only")
	case port == "":
		port = defaultPorts[u.Scheme]
	}
	host := u.Hostname()
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 || !hostname.Valid(host) {
		return "", errors.New("the request has no valid host and port")
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok && n == local.Port && isHere(host, local) {
		return "", errors.New("the request is for this proxy itself")
	}
	return net.JoinHostPort(host, strconv.Itoa(n)), nil
}

// isHere reports whether a host is the one that listens at local.
func isHere(host string, local *net.TCPAddr) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	ip = ip.Unmap()
	return err == nil && (ip.IsLoopback() || ip.IsUnspecified() || ip == local.AddrPort().Addr().Unmap())
}

// forward serves a request for a URL.
func (f *Forwarder) forward(w *hijacker, r *http.Request) {
	body := &forwardedBody{ReadCloser: r.Body}
	r.Body = body
	var switched io.Closer // ReverseProxy does not always close it
	defer func() {
		if switched != nil {
			_ = switched.Close()
		}
	}()
	(&httputil.ReverseProxy{
		Transport:     f.transport(r),
		Rewrite:       rewrite,
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // the caller gets the error
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, err error) { f.fail(w, err, withoutProxy(err)) },
		ModifyResponse: func(res *http.Response) error {
			switch res.StatusCode {
			case http.StatusProxyAuthRequired: // a browser would ask its user for a login
				return errors.New("the target answered 407, which is for proxies")
			case http.StatusSwitchingProtocols:
				switched = res.Body
			}
			if _, set := res.Header["Content-Type"]; !set {
				w.Header()["Content-Type"] = nil // or net/http would guess one
			}
			if r.ContentLength != 0 && !body.read.Load() {
				// To keep the connection, the server would read the rest of the body itself,
				// which would be missing here.
				w.Header().Set("Connection", "close")
			}
			return nil
		},
	}).ServeHTTP(w, r)
}

// transport returns the transport of a request. A WebSocket without TLS needs a tunnel,
// as browsers make one: HTTP proxies do not let a request upgrade its connection.
func (f *Forwarder) transport(r *http.Request) http.RoundTripper {
	if r.URL.Scheme != "http" || !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return f.pool
	}
	return &http.Transport{
		DialContext: func(_ context.Context, network, addr string) (net.Conn, error) {
			return f.pool.DialContext(r.Context(), network, addr) // ends with the request
		},
		DisableKeepAlives: true,
	}
}

// forwardedBody is the body of a request.
type forwardedBody struct {
	io.ReadCloser

	read atomic.Bool // whether it was read to its end
}

func (b *forwardedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.read.Store(true)
	}
	return n, err
}

// rewrite changes the request that is sent, beyond what ReverseProxy does.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Trailer = r.In.Trailer // which is filled when the body has been read
	r.Out.Header.Del("Via")
	if r.Out.Header.Get("Accept-Encoding") == "" {
		r.Out.Header.Set("Accept-Encoding", "identity") // or the transport would ask for gzip, and unpack it
	}
}

// connect serves a tunnel.
func (f *Forwarder) connect(ctx context.Context, w *hijacker, addr string) {
	target, err := f.pool.DialContext(ctx, "tcp", addr)
	if err != nil {
		f.fail(w, err, err)
		return
	}
	defer func() { _ = target.Close() }()
	client, _, err := w.Hijack()
	if err != nil {
		f.fail(w, err, err)
		return
	}
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err == nil {
		relay(client, target, f.patience)
	}
}

// fail responds to a request for which there is no response: err decides the status, and
// shown is the text.
func (f *Forwarder) fail(w http.ResponseWriter, err, shown error) {
	switch {
	case f.life.Err() != nil:
		refuse(w, http.StatusServiceUnavailable, errForwarderClosed)
	case isTimeout(err):
		refuse(w, http.StatusGatewayTimeout, shown)
	default:
		refuse(w, http.StatusBadGateway, shown)
	}
}

// withoutProxy returns only the kind of an error whose text names a proxy. A script can
// read the response to a request of its page, since browsers take it for one of the target.
func withoutProxy(err error) error {
	if e := (*Error)(nil); !errors.As(err, &e) || e.Proxy == "" {
		return err
	}
	shown := errors.New("no response came through the proxies")
	if kinds := kindsOf(err); len(kinds) > 0 {
		shown = fmt.Errorf("%w: %w", shown, kinds[0])
	}
	return shown
}

func refuse(w http.ResponseWriter, status int, err error) { http.Error(w, err.Error(), status) }

// hijacker counts a hijacked connection as a tunnel of the forwarder.
type hijacker struct {
	http.ResponseWriter

	forwarder *Forwarder
	ends      func() // nil without a tunnel
}

// Unwrap returns the ResponseWriter below, for [http.ResponseController].
func (h *hijacker) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// Hijack takes the connection over from the server. The connection is closed with the
// forwarder.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	f := h.forwarder
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.life.Err() != nil {
		return nil, nil, errForwarderClosed
	}
	c, buffers, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	f.tunnels.Add(1)
	stop := context.AfterFunc(f.life, func() { _ = c.Close() })
	h.ends = func() {
		stop()
		_ = c.Close()
		f.tunnels.Done()
	}
	// Only what the server's reader has buffered is read from it: after that, it would end
	// the context of the request when the client has no more to send.
	early := io.LimitReader(buffers.Reader, int64(buffers.Reader.Buffered()))
	return &hijackedConn{Conn: c, reader: io.MultiReader(early, c)}, buffers, nil
}

// end ends the tunnel, if there is one.
func (h *hijacker) end() {
	if h.ends != nil {
		h.ends()
	}
}

// hijackedConn reads first what the server has read already.
type hijackedConn struct {
	net.Conn

	reader io.Reader
}

func (c *hijackedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }

// CloseWrite closes the connection for writing.
func (c *hijackedConn) CloseWrite() error { return closeWrite(c.Conn) }

// relay copies both ways until both sides have ended, or one breaks. When one side has
// sent all, the other side gets its end, and goes on until it is silent for the time of
// patience: perhaps nobody reads it any more.
func relay(client, target net.Conn, patience time.Duration) {
	t := &relaying{patience: patience}
	var copying sync.WaitGroup
	copying.Go(func() { t.copy(client, target) })
	t.copy(target, client)
	copying.Wait()
}

type relaying struct {
	patience time.Duration
	half     atomic.Bool // whether one side has sent all
}

// copy copies until src has sent all.
func (t *relaying) copy(dst, src net.Conn) {
	_, err := io.Copy(struct{ io.Writer }{dst}, &relayReader{src, t})
	if err == nil {
		err = closeWrite(dst)
	}
	if err != nil {
		_ = dst.Close()
		_ = src.Close()
		return
	}
	t.half.Store(true)
	_ = dst.SetReadDeadline(time.Now().Add(t.patience)) // for the Read under way
}

// relayReader reads one side of a tunnel.
type relayReader struct {
	net.Conn

	relay *relaying
}

func (r *relayReader) Read(p []byte) (int, error) {
	if r.relay.half.Load() {
		_ = r.SetReadDeadline(time.Now().Add(r.relay.patience))
	}
	return r.Conn.Read(p)
}
