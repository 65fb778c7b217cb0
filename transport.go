package youproxy

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/youproxy-go/youproxy/internal/untraced"
)

// apiPath is the path between the base URL and the API key.
const apiPath = "/client/api/v1/"

// keyPlaceholder replaces the API key in the path of every request above the innermost
// round tripper.
const keyPlaceholder = "REDACTED"

var (
	errSecondSend = errors.New("a second attempt to send it was stopped: what spends money is sent once")
	errTooLate    = errors.New("the call had ended before it was sent")
	errOutdated   = fmt.Errorf("more than %s had passed since the attempt was recorded: it was not sent", recordBound)
	errOtherHost  = errors.New("the transport turned to another host, which must not see the API key: it was stopped")
	errNotACall   = errors.New("a middleware changed the request's context, host or path: the API key is not sent that way")
	errNoResponse = errors.New("the transport returned neither a response nor an error")
	errFollowed   = fmt.Errorf("the transport followed a redirect: %w", ErrRedirect)
)

// newTransport returns the transport of a client without WithHTTPClient. It closes idle
// connections before servers usually do, as a request is lost if the server is just
// closing its connection.
func newTransport() *http.Transport {
	t, ok := http.DefaultTransport.(*http.Transport)
	if ok {
		t = t.Clone()
	} else {
		t = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second}
	}
	t.MaxIdleConnsPerHost = 16
	t.IdleConnTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = 256 << 10
	return t
}

// keyTransport is the innermost round tripper. It alone knows the key: it puts the key
// into the path of a request, and removes it from everything that comes back except the
// body. It keeps the sending informed of its progress.
type keyTransport struct {
	base   func() http.RoundTripper // looked up at each request, as it may change
	api    *url.URL                 // scheme, host and the path before apiPath
	key    func() string
	redact func(string) string

	// The Referer. Without it, a transport that follows redirects would send the URL,
	// with the key, to the next host.
	referer []string
	addr    string // of the API, in the form of net/http
}

func (t *keyTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	s, _ := req.Context().Value(sendingKey{}).(*sending)
	path, ok := strings.CutPrefix(req.URL.Path, t.api.Path+apiPath+keyPlaceholder)
	if s == nil || !ok || req.URL.Scheme != t.api.Scheme || req.URL.Host != t.api.Host || req.Host != t.api.Host {
		closeBody(req)
		return nil, errNotACall
	}
	resp, _, err := t.exchange(req.Context(), s, replayed(req.Method, req.Header), func(ctx context.Context) *http.Request {
		inner := req.WithContext(ctx)
		inner.URL = t.address(path, req.URL.RawQuery)
		inner.Header = maps.Clone(req.Header)
		return inner
	})
	if err != nil {
		closeBody(req)
		return nil, err
	}
	resp.Request = req
	return resp, nil
}

// address returns the URL of a path below the key, including the key.
func (t *keyTransport) address(path, query string) *url.URL {
	return &url.URL{Scheme: t.api.Scheme, Host: t.api.Host, Path: t.api.Path + apiPath + t.key() + path, RawQuery: query}
}

// exchange sends the request that the function request returns for a context, and returns
// the response without the key. replayed reports whether net/http may send the request
// again. native reports whether the body of the response is of net/http itself, so that
// it ends with its context.
func (t *keyTransport) exchange(ctx context.Context, s *sending, replayed bool, request func(context.Context) *http.Request) (resp *http.Response, native bool, err error) {
	base := t.base()
	plain, _ := base.(*http.Transport)
	if err = ctx.Err(); err == nil {
		err = s.hand(plain != nil)
	}
	if err != nil {
		return nil, false, outside(t.redact, err)
	}
	req := request(t.traced(ctx, s, replayed, plain))
	if plain == nil {
		if req.Header == nil {
			req.Header = make(http.Header)
		}
		req.Header["Referer"] = t.referer
	}
	resp, err = base.RoundTrip(req)
	switch {
	case err == nil && resp == nil:
		err = errNoResponse
	case err == nil && resp.Request != nil && resp.Request.Response != nil:
		err = errFollowed
	}
	if err != nil {
		s.back()
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		return nil, false, outside(t.redact, err)
	}
	if plain == nil { // it may be returned again
		clean := *resp
		resp = &clean
	}
	resp.Request = nil
	resp.Status = t.redact(resp.Status)
	resp.Header = t.redactHeader(resp.Header)
	resp.Trailer = nil // the API sends none, and they arrive too late to be checked
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	return resp, plain != nil && s.stage.Load() >= got, nil
}

// redactHeader returns h itself if it does not contain the key. A field whose name
// contains the key is left out.
func (t *keyTransport) redactHeader(h http.Header) http.Header {
	var clean http.Header
	for name, values := range h {
		named := t.redact(name) != name
		if !named && !slices.ContainsFunc(values, func(v string) bool { return t.redact(v) != v }) {
			continue
		}
		if clean == nil {
			clean = h.Clone()
		}
		if named {
			delete(clean, name)
			continue
		}
		for i, value := range values {
			clean[name][i] = t.redact(value)
		}
	}
	if clean == nil {
		return h
	}
	return clean
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

// traced returns the context of a request with the hooks that inform the sending.
func (t *keyTransport) traced(ctx context.Context, s *sending, replayed bool, plain *http.Transport) context.Context {
	if ctx != context.Context(s) {
		// The middleware's context may not end with the sending.
		c, cancel := context.WithCancelCause(ctx)
		context.AfterFunc(s, func() { cancel(context.Cause(s)) })
		ctx = c
		s.mu.Lock()
		s.others = append(s.others, cancel)
		s.mu.Unlock()
	}
	if theirs := httptrace.ContextClientTrace(ctx); theirs != nil {
		ctx = httptrace.WithClientTrace(untraced.Context(ctx), t.quiet(theirs))
	}
	trace := new(httptrace.ClientTrace)
	if plain == nil {
		w := &watch{sending: s, api: t.addr}
		trace.GetConn, trace.GotConn, trace.WroteHeaderField = w.getConn, w.gotConn, w.wroteField
		return httptrace.WithClientTrace(ctx, trace)
	}
	trace.GetConn, trace.GotConn = s.askedFor, s.gotConn
	if p := plain.Protocols; t.api.Scheme == "http" && p != nil && p.UnencryptedHTTP2() && !p.HTTP1() {
		s.http2.Store(true)
	}
	if t.api.Scheme == "https" || plain.Protocols != nil && plain.Protocols.UnencryptedHTTP2() {
		trace.WroteHeaderField = s.wroteField
	}
	if s.spend && replayed {
		trace.WroteHeaders = s.wroteHeader
	}
	return httptrace.WithClientTrace(ctx, trace)
}

// replayed reports whether net/http may send a request with this method and header again
// after writing a part of it. Over HTTP/1 it repeats other requests only if it wrote
// nothing.
func replayed(method string, h http.Header) bool {
	return slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}, method) ||
		h["Idempotency-Key"] != nil || h["X-Idempotency-Key"] != nil
}

// quiet returns a copy of the caller's trace that receives no header fields, one of which
// is the path over HTTP/2, and receives errors without the key.
func (t *keyTransport) quiet(theirs *httptrace.ClientTrace) *httptrace.ClientTrace {
	trace := *theirs
	trace.WroteHeaderField = nil
	trace.Got1xxResponse = nil
	if f := theirs.WroteRequest; f != nil {
		trace.WroteRequest = func(info httptrace.WroteRequestInfo) {
			info.Err = outside(t.redact, info.Err)
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
		trace.PutIdleConn = func(err error) { f(outside(t.redact, err)) }
	}
	if f := theirs.ConnectDone; f != nil {
		trace.ConnectDone = func(network, addr string, err error) { f(network, addr, outside(t.redact, err)) }
	}
	if f := theirs.TLSHandshakeDone; f != nil {
		trace.TLSHandshakeDone = func(s tls.ConnectionState, err error) { f(s, outside(t.redact, err)) }
	}
	if f := theirs.DNSDone; f != nil {
		trace.DNSDone = func(info httptrace.DNSDoneInfo) {
			info.Err = outside(t.redact, info.Err)
			f(info)
		}
	}
	return &trace
}

// stage is how far a sending got. It only rises, except that a transport which failed
// without a connection resets it.
type stage = uint32

const (
	made    stage = iota // no transport has it yet
	entered              // a transport has it and has reported nothing
	asked                // the transport asked for a connection, so it reports what it does
	got                  // it has a connection, or may have: from here on something may be written
	wrote                // the header is being written
	over                 // the call has ended: from here on nothing must be written
)

// sending is one attempt of a call in progress. It is the context of its request, so that
// the innermost round tripper finds it. It ends with the context of its call, when its
// time is over, or when it is stopped.
type sending struct {
	context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	patience time.Duration
	until    time.Time // zero if only each wait is bounded
	spend    bool
	recorded time.Time // when the attempt was recorded; it must be written soon after
	stage    atomic.Uint32
	http2    atomic.Bool // the connection is known to be HTTP/2
	mu       sync.Mutex
	others   []context.CancelCauseFunc // of contexts that a middleware made
	native   bool                      // the body of the reply ends with its context
	whole    atomic.Bool               // the body was read and is being closed
}

type sendingKey struct{}

// The causes of the end of a sending.
var (
	errTooSlow = fmt.Errorf("no complete reply within the timeout: %w", context.DeadlineExceeded)
	errStalled = fmt.Errorf("nothing more came within the timeout: %w", context.DeadlineExceeded)
)

// newSending begins a sending. Its time is bounded as a whole or, if steps is set, for
// each wait, the first of which begins now.
func newSending(ctx context.Context, patience time.Duration, spend, steps bool) *sending {
	s := &sending{spend: spend, patience: patience}
	s.Context, s.cancel = context.WithCancelCause(ctx)
	cause := errStalled
	if !steps {
		cause, s.until = errTooSlow, time.Now().Add(patience)
	}
	s.timer = time.AfterFunc(patience, func() { s.cancel(cause) })
	return s
}

func (s *sending) Value(key any) any {
	if key == (sendingKey{}) {
		return s
	}
	return s.Context.Value(key)
}

func (s *sending) Deadline() (time.Time, bool) {
	theirs, ok := s.Context.Deadline()
	if s.until.IsZero() || ok && theirs.Before(s.until) {
		return theirs, ok
	}
	return s.until, true
}

// wait begins another wait, if each is bounded.
func (s *sending) wait() {
	if s.timer != nil && s.until.IsZero() {
		s.timer.Reset(s.patience)
	}
}

// end ends the sending. unsent reports whether certainly nothing was or will be written.
func (s *sending) end() (unsent bool) {
	before := s.stage.Swap(over)
	s.timer.Stop()
	return before == made || before == asked
}

// hand notes that the request is about to be passed to a transport. A transport other
// than that of net/http may do anything with it without reporting, so it may have been
// written from then on. A request that spends is passed on once, unless the transport
// failed without a connection.
func (s *sending) hand(plain bool) error {
	for {
		at := s.stage.Load()
		next := entered
		switch {
		case at == over:
			return errTooLate
		case s.isOutdated():
			return errOutdated
		case at > made && s.spend:
			return errSecondSend
		case at > made || !plain:
			next = max(at, got)
		}
		if s.stage.CompareAndSwap(at, next) {
			return nil
		}
	}
}

// back notes that the transport returned an error.
func (s *sending) back() { s.stage.CompareAndSwap(asked, made) }

func (s *sending) askedFor(string) { s.stage.CompareAndSwap(entered, asked) }

// gotConn stops a request that spends if it is about to be sent again, and any request
// after its call has ended.
func (s *sending) gotConn(info httptrace.GotConnInfo) {
	for {
		at := s.stage.Load()
		switch {
		case at == over:
			s.stop(errTooLate, info.Conn)
			return
		case at < got && s.isOutdated():
			s.stop(errOutdated, info.Conn)
			return
		case at == wrote && s.spend:
			s.stop(errSecondSend, info.Conn)
			return
		case at >= got || s.stage.CompareAndSwap(at, got):
			return
		}
	}
}

// isOutdated reports whether the attempt was recorded too long ago to be sent: others may
// not wait for it any more.
func (s *sending) isOutdated() bool {
	return !s.recorded.IsZero() && elapsed(s.recorded) > recordBound
}

// elapsed returns the time since t by the wall clock or the monotonic clock, whichever is
// longer: the monotonic clock stops while a machine sleeps.
func elapsed(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// stop ends a sending that has a connection. On HTTP/1 canceling alone is too late, so
// the connection is closed as well. An HTTP/2 connection is shared with other calls, and
// canceling is enough.
func (s *sending) stop(why error, conn net.Conn) {
	s.cancel(why)
	s.mu.Lock()
	for _, cancel := range s.others { // now, and not soon after
		cancel(why)
	}
	s.mu.Unlock()
	shared := s.http2.Load()
	if c, ok := conn.(interface{ ConnectionState() tls.ConnectionState }); ok {
		shared = c.ConnectionState().NegotiatedProtocol == "h2"
	}
	if !shared {
		closeConn(conn)
	}
}

// closeConn closes the connection that a transport reported. That of HTTP/3 is not a real
// one, and panics.
func closeConn(conn net.Conn) {
	defer func() { _ = recover() }()
	if conn != nil {
		_ = conn.Close()
	}
}

func (s *sending) wroteHeader() { s.stage.CompareAndSwap(got, wrote) }

// wroteField is called for each header field before the header is sent. Over HTTP/2
// net/http repeats a request that the server refused, even if it was written.
func (s *sending) wroteField(name string, _ []string) {
	if strings.HasPrefix(name, ":") {
		s.http2.Store(true)
		s.wroteHeader()
	}
}

// watch follows what a transport does that may follow redirects, and stops a request to
// another host. GetConn alone does not show one: behind a proxy all hosts have the same
// address, and an HTTP/2 connection may exist already.
type watch struct {
	*sending
	api        string // the API's own address
	mu         sync.Mutex
	addr, host string   // the first ones
	conn       net.Conn // the last one
	strayed    bool
}

// hold stops the sending if now differs from its first value. If api is not empty, the
// first value must have been api for that.
func (w *watch) hold(first *string, now, api string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	*first = cmp.Or(*first, now)
	if *first == now || api != "" && *first != api {
		return
	}
	w.strayed = true
	w.cancel(errOtherHost)
	closeConn(w.conn)
}

func (w *watch) getConn(hostPort string) { w.hold(&w.addr, hostPort, w.api) }

func (w *watch) gotConn(info httptrace.GotConnInfo) {
	w.mu.Lock()
	w.conn = info.Conn
	strayed := w.strayed
	w.mu.Unlock()
	if strayed {
		closeConn(info.Conn)
		return
	}
	w.sending.gotConn(info)
	w.wroteHeader() // or may, soon
}

func (w *watch) wroteField(name string, values []string) {
	w.sending.wroteField(name, values)
	if (name == "Host" || name == ":authority") && len(values) == 1 {
		w.hold(&w.host, values[0], "")
	}
}

// body returns the body of a request. Its type is known to net/http to be in memory, so
// header and body are sent in one write. The body of a request that spends is not
// returned again once the header was written.
func (s *sending) body(data []byte) (io.ReadCloser, error) {
	if s.spend && s.stage.Load() == wrote {
		return nil, errSecondSend
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// await calls f, which may not end with the sending, and waits for it until the sending
// ends.
func await[T any](s *sending, f func() (T, error)) (T, error) {
	if s.native {
		return f()
	}
	type outcome struct {
		value    T
		err      error
		panicked any
	}
	done := make(chan outcome, 1)
	go func() {
		var r outcome
		defer func() {
			r.panicked = recover()
			done <- r
		}()
		r.value, r.err = f()
	}()
	select {
	case r := <-done:
		if r.panicked != nil {
			panic(r.panicked)
		}
		return r.value, r.err
	case <-s.Done():
		var none T
		return none, context.Cause(s)
	}
}

// close closes the body of a reply. A body that is not of net/http may block.
func (s *sending) close(body io.Closer) {
	switch {
	case s.whole.Load():
	case !s.native && s.Err() != nil:
		go func() {
			defer func() { _ = recover() }()
			_ = body.Close()
		}()
	default:
		s.wait()
		_, _ = await(s, func() (struct{}, error) { return struct{}{}, body.Close() })
	}
}
