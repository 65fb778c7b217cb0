package youproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/youproxy-go/youproxy/internal/untraced"
)

// apiPath stands between the base URL and the API key.
const apiPath = "/client/api/v1/"

// keyPlaceholder stands in the path where the key will be, in every request
// above the innermost round tripper.
const keyPlaceholder = "REDACTED"

var (
	errSecondSend = errors.New("a second attempt to send it was stopped: what spends money is sent once")
	errOtherHost  = errors.New("the transport turned to another host, which must not see the API key: it was stopped")
	errNotACall   = errors.New("a middleware changed the request's context, host or path: the API key is not sent that way")
	errNoResponse = errors.New("the transport returned neither a response nor an error")
)

// newTransport gives the transport a client uses where the caller brings none.
// It closes idle connections before servers usually do, as a request on a
// connection that the server is just closing is lost.
func newTransport() *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok { // stubbed or instrumented
		return nil
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = 16
	t.IdleConnTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = 256 << 10
	return t
}

// keyTransport is the innermost round tripper. It alone knows the key: it puts
// it into the path of a request, and takes it out of whatever comes back but
// the body. It keeps the attempt informed of how far it got.
type keyTransport struct {
	base   func() http.RoundTripper // looked up at each request, for it may be swapped
	api    *url.URL                 // scheme, host and the path before apiPath
	key    func() string
	redact func(string) string
}

func (t *keyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	a, _ := req.Context().Value(attemptKey{}).(*attempt)
	prefix := t.api.Path + apiPath
	rest, ok := strings.CutPrefix(req.URL.Path, prefix+keyPlaceholder+"/")
	if a == nil || !ok || req.URL.Scheme != t.api.Scheme || req.URL.Host != t.api.Host || req.Host != t.api.Host {
		closeBody(req)
		return nil, errNotACall
	}
	if !a.hand() {
		closeBody(req)
		return nil, errSecondSend
	}

	ctx := req.Context()
	if theirs := httptrace.ContextClientTrace(ctx); theirs != nil {
		ctx = httptrace.WithClientTrace(untraced.Context(ctx), t.quiet(theirs))
	}
	base := t.base()
	plain, isPlain := base.(*http.Transport)
	fields := !isPlain || t.api.Scheme == "http" && plain.Protocols != nil && plain.Protocols.UnencryptedHTTP2()
	inner := req.WithContext(httptrace.WithClientTrace(ctx, a.trace(fields)))
	inner.URL = &url.URL{
		Scheme:   t.api.Scheme,
		Host:     t.api.Host,
		Path:     prefix + t.key() + "/" + rest,
		RawQuery: req.URL.RawQuery,
	}
	if !isPlain {
		// One that follows redirects would tell the next host where it came from,
		// key and all, unless the field is there.
		inner.Header = req.Header.Clone()
		inner.Header.Set("Referer", t.api.Scheme+"://"+t.api.Host+"/")
	}
	resp, err := base.RoundTrip(inner)
	switch {
	case err != nil:
		a.back()
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		return nil, redactError(t.redact, err)
	case resp == nil:
		a.back()
		return nil, errNoResponse
	}

	clean := *resp
	clean.Request = req
	clean.Status = t.redact(resp.Status)
	clean.Header = t.redactHeader(resp.Header)
	clean.Trailer = nil // the API sends none, and they come after they could be looked through
	if clean.Body == nil {
		clean.Body = http.NoBody
	}
	if resp.Request != nil && resp.Request.Response != nil {
		a.mark(followed)
	}
	return &clean, nil
}

// redactHeader gives h itself where the key is nowhere in it. A field whose name
// is the key is left out.
func (t *keyTransport) redactHeader(h http.Header) http.Header {
	leaks := false
	for name, values := range h {
		leaks = leaks || t.redact(name) != name
		for _, value := range values {
			leaks = leaks || t.redact(value) != value
		}
	}
	if !leaks {
		return h
	}
	clean := make(http.Header, len(h))
	for name, values := range h {
		if t.redact(name) != name {
			continue
		}
		for _, value := range values {
			clean[name] = append(clean[name], t.redact(value))
		}
	}
	return clean
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// quiet gives a copy of the caller's trace that is not shown header fields, one
// of which is the path over HTTP/2, and is shown errors without the key.
func (t *keyTransport) quiet(theirs *httptrace.ClientTrace) *httptrace.ClientTrace {
	trace := *theirs
	trace.WroteHeaderField = nil
	trace.Got1xxResponse = nil
	if f := theirs.WroteRequest; f != nil {
		trace.WroteRequest = func(info httptrace.WroteRequestInfo) {
			info.Err = redactError(t.redact, info.Err)
			f(info)
		}
	}
	if f := theirs.GetConn; f != nil {
		trace.GetConn = func(hostPort string) { f(t.redact(hostPort)) }
	}
	if f := theirs.DNSStart; f != nil {
		trace.DNSStart = func(info httptrace.DNSStartInfo) {
			info.Host = t.redact(info.Host)
			f(info)
		}
	}
	if f := theirs.PutIdleConn; f != nil {
		trace.PutIdleConn = func(err error) { f(redactError(t.redact, err)) }
	}
	if f := theirs.ConnectDone; f != nil {
		trace.ConnectDone = func(network, addr string, err error) { f(network, addr, redactError(t.redact, err)) }
	}
	if f := theirs.TLSHandshakeDone; f != nil {
		trace.TLSHandshakeDone = func(s tls.ConnectionState, err error) { f(s, redactError(t.redact, err)) }
	}
	if f := theirs.DNSDone; f != nil {
		trace.DNSDone = func(info httptrace.DNSDoneInfo) {
			info.Err = redactError(t.redact, info.Err)
			f(info)
		}
	}
	return &trace
}

// attempt is one try of a call: what is known of how far it got. It is the
// context of its request, so that the innermost round tripper finds it.
type attempt struct {
	context.Context
	spend bool
	stop  context.CancelFunc
	state atomic.Uint32
	addr  atomic.Pointer[string]   // the first a connection was asked for
	host  atomic.Pointer[string]   // the first a request named
	conn  atomic.Pointer[net.Conn] // the last that was got
}

type attemptKey struct{}

func newAttempt(ctx context.Context, stop context.CancelFunc, spend bool) *attempt {
	return &attempt{Context: ctx, stop: stop, spend: spend}
}

func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// What is known of an attempt.
const (
	handed   = 1 << iota // the innermost round tripper was reached
	busy                 // the transport has the request
	asked                // the transport asked for a connection, so it tells what it does
	wrote                // the header was written
	http2                // it went over HTTP/2
	over                 // the round trip ended
	followed             // the transport followed a redirect
	repeated             // a second sending was stopped
	strayed              // a connection to another host was stopped
)

func (a *attempt) mark(flag uint32) (before uint32) { return a.state.Or(flag) }
func (a *attempt) has(flag uint32) bool             { return a.state.Load()&flag != 0 }

// hand notes that the request is about to be handed to the transport. It reports
// false for a spend that is there already, or was and may have been sent.
func (a *attempt) hand() bool {
	again := a.spend && a.has(handed) && !a.unsent()
	if before := a.mark(handed | busy); a.spend && before&busy != 0 || again {
		a.mark(repeated)
		return false
	}
	return true
}

// back notes that the transport gave up.
func (a *attempt) back() { a.state.And(^uint32(busy)) }

// unsent reports whether it is certain that nothing was written. A transport
// that tells nothing may have written.
func (a *attempt) unsent() bool {
	s := a.state.Load()
	return s&handed == 0 || s&asked != 0 && s&wrote == 0
}

// body gives what is sent. It is a reader that net/http knows to be in memory,
// so that header and body leave in one write. That of a spend is not given again
// once the header was written.
func (a *attempt) body(data []byte) (io.ReadCloser, error) {
	if a.spend && a.has(wrote) {
		a.mark(repeated)
		return nil, errSecondSend
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// trace gives the hooks that inform the attempt. The header fields are asked for
// where the transport may follow redirects, or speak HTTP/2 without TLS.
func (a *attempt) trace(headerFields bool) *httptrace.ClientTrace {
	trace := &httptrace.ClientTrace{
		GetConn:      a.getConn,
		GotConn:      a.gotConn,
		WroteHeaders: a.wroteHeaders,
	}
	if headerFields {
		trace.WroteHeaderField = a.wroteHeaderField
	}
	return trace
}

func (a *attempt) getConn(hostPort string) {
	before := a.mark(asked)
	if !a.addr.CompareAndSwap(nil, &hostPort) && *a.addr.Load() != hostPort {
		a.mark(strayed)
		a.stop()
		return
	}
	if a.spend && before&wrote != 0 {
		a.mark(repeated)
		a.stop()
	}
}

// gotConn stops a spend that is about to be sent again. On HTTP/1 cancelling
// alone comes too late, so the connection is closed as well; one of HTTP/2 is
// shared with other calls, and cancelling is enough there. A connection to a
// host that is not the API's is closed in any case.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.conn.Store(&info.Conn)
	switch s := a.state.Load(); {
	case s&strayed != 0:
	case a.spend && s&(wrote|over) != 0:
		a.mark(repeated)
	default:
		return
	}
	a.stop()
	if a.has(strayed) || !a.isHTTP2(info.Conn) {
		_ = info.Conn.Close()
	}
}

func (a *attempt) isHTTP2(conn net.Conn) bool {
	if c, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		return c.ConnectionState().NegotiatedProtocol == "h2"
	}
	return a.has(http2)
}

func (a *attempt) wroteHeaders() { a.mark(wrote) }

// wroteHeaderField is told of each field before the header leaves. It stops a
// request to another host that getConn was not asked of: behind a proxy all are
// at one address, and an HTTP/2 connection may be there already.
func (a *attempt) wroteHeaderField(name string, values []string) {
	if strings.HasPrefix(name, ":") {
		a.mark(http2)
	}
	if name != "Host" && name != ":authority" || len(values) != 1 {
		return
	}
	if host := values[0]; !a.host.CompareAndSwap(nil, &host) && *a.host.Load() != host {
		a.mark(strayed)
		a.stop()
		if conn := a.conn.Load(); conn != nil {
			_ = (*conn).Close()
		}
	}
}
