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

// apiPath stands between the base URL and the API key.
const apiPath = "/client/api/v1/"

// keyPlaceholder stands in the path where the key will be, in every request
// above the innermost round tripper.
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

// newTransport returns the transport of a client whose caller brings none. It
// closes idle connections before servers usually do, as a request on a connection
// that the server is just closing is lost.
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

// keyTransport is the innermost round tripper. It alone knows the key: it puts
// it into the path of a request, and takes it out of whatever comes back but
// the body. It keeps the sending informed of how far it got.
type keyTransport struct {
	base   func() http.RoundTripper // looked up at each request, for it may be swapped
	api    *url.URL                 // scheme, host and the path before apiPath
	key    func() string
	redact func(string) string

	// What a transport that follows redirects would tell the next host it came from,
	// key and all, were the field not there.
	referer []string
	addr    string // of the API, as net/http tells it
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

// address returns the URL of a path below the key, with the key.
func (t *keyTransport) address(path, query string) *url.URL {
	return &url.URL{Scheme: t.api.Scheme, Host: t.api.Host, Path: t.api.Path + apiPath + t.key() + path, RawQuery: query}
}

// exchange sends the request that it lets make for a context, and returns its
// response without the key in it. A replayed one is such as net/http may send again.
// The body of a native one is net/http's own, which ends with its context.
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
	if plain == nil { // it may be given again
		clean := *resp
		resp = &clean
	}
	resp.Request = nil
	resp.Status = t.redact(resp.Status)
	resp.Header = t.redactHeader(resp.Header)
	resp.Trailer = nil // the API sends none, and they come after they could be looked through
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	return resp, plain != nil && s.stage.Load() >= got, nil
}

// redactHeader returns h itself where the key is nowhere in it. A field whose name
// is the key is left out.
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

// replayed reports whether net/http may send a request with that method and header
// again though it wrote some of it. Of others it repeats, over HTTP/1, only what it
// wrote nothing of.
func replayed(method string, h http.Header) bool {
	return slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace}, method) ||
		h["Idempotency-Key"] != nil || h["X-Idempotency-Key"] != nil
}

// quiet returns a copy of the caller's trace that is not shown header fields, one
// of which is the path over HTTP/2, and is shown errors without the key.
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

// stage is how far a sending got. It only rises, but for a transport that came
// back without a connection: then the sending is as it was made.
type stage = uint32

const (
	made    stage = iota // no transport has it
	entered              // a transport has it, and has told nothing
	asked                // the transport asks for a connection, so it tells what it does
	got                  // it has one, or may have: from here on something may be written
	wrote                // the header is being written
	over                 // the call has ended: from here on nothing is to be written
)

// sending is one attempt of a call on its way. It is the context of its request, so
// that the innermost round tripper finds it, and ends with its call's context, when
// its time is over, or when it is stopped.
type sending struct {
	context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	patience time.Duration
	until    time.Time // zero where there is only a bound for each wait
	spend    bool
	recorded time.Time // when the attempt was recorded: it is to be written soon after
	stage    atomic.Uint32
	http2    atomic.Bool // what it uses is known to be HTTP/2
	mu       sync.Mutex
	others   []context.CancelCauseFunc // of contexts that a middleware made
	native   bool                      // the reply's body ends with its context
	whole    atomic.Bool               // it was read, and is being closed
}

type sendingKey struct{}

// Why a sending ends.
var (
	errTooSlow = fmt.Errorf("no complete reply within the timeout: %w", context.DeadlineExceeded)
	errStalled = fmt.Errorf("nothing more came within the timeout: %w", context.DeadlineExceeded)
)

// newSending begins a sending whose time is bounded as a whole or, in steps, for
// each wait, of which the first has begun.
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

// wait begins another wait, where each is bounded.
func (s *sending) wait() {
	if s.timer != nil && s.until.IsZero() {
		s.timer.Reset(s.patience)
	}
}

// end ends the sending, and reports whether it is certain that nothing of it was
// written, or will be.
func (s *sending) end() (unsent bool) {
	before := s.stage.Swap(over)
	s.timer.Stop()
	return before == made || before == asked
}

// hand notes that the request is about to be handed to a transport. One that is
// not net/http's own may do anything with it, and use some that tell nothing: from
// here on it may have been written. What spends is handed over once, unless the
// transport came back without having had a connection.
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

// gotConn stops a spend that is about to be sent again, or after its call has
// ended.
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

// isOutdated reports whether the attempt was recorded so long ago, by the wall clock or
// the monotonic one, that others may not wait for it any more.
func (s *sending) isOutdated() bool {
	return !s.recorded.IsZero() && elapsed(s.recorded) > recordBound
}

// elapsed returns how long ago it was, by the wall clock or the monotonic one, which stands
// still while a machine sleeps.
func elapsed(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// stop ends a sending that has a connection. On HTTP/1 cancelling alone comes too
// late, so the connection is closed as well; one of HTTP/2 is shared with other
// calls, and cancelling is enough there.
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

// closeConn closes what a transport told of. That of HTTP/3 is none, and panics.
func closeConn(conn net.Conn) {
	defer func() { _ = recover() }()
	if conn != nil {
		_ = conn.Close()
	}
}

func (s *sending) wroteHeader() { s.stage.CompareAndSwap(got, wrote) }

// wroteField is told of each field before the header leaves. Over HTTP/2 net/http
// repeats what the server refused, though it was written.
func (s *sending) wroteField(name string, _ []string) {
	if strings.HasPrefix(name, ":") {
		s.http2.Store(true)
		s.wroteHeader()
	}
}

// watch is told what a transport does that may follow redirects, and stops a request
// to another host. GetConn alone is not told of one: behind a proxy all hosts are at
// one address, and an HTTP/2 connection may be there already.
type watch struct {
	*sending
	api        string // the API's own address
	mu         sync.Mutex
	addr, host string   // the first
	conn       net.Conn // the last
	strayed    bool
}

// hold stops the sending where now is not what it was at first, and that was api,
// unless api is empty.
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

// body returns what is sent. It is a reader that net/http knows to be in memory,
// so that header and body leave in one write. That of a spend is not given again
// once the header was written.
func (s *sending) body(data []byte) (io.ReadCloser, error) {
	if s.spend && s.stage.Load() == wrote {
		return nil, errSecondSend
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

// await calls f, which may not end with the sending, and waits for it no longer
// than the sending lasts.
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

// close closes the body of a reply. One that is not net/http's own may wait.
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
