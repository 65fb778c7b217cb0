package proxypool

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/youproxy-go/youproxy/internal/untraced"
)

// attempt is one try of a request through one proxy. It records how far the try got. It
// is the context of its request, so that the transport's hooks find it.
type attempt struct {
	context.Context

	proxy  *proxy
	line   *line
	pool   *pool // nil in a check
	target destination
	key    string // of the acquaintance of its line: the target's addr
	plain  bool   // the proxy itself answers the request, without a tunnel
	began  int64
	epoch  uint32
	probe  bool // it shows whether the proxy works again
	lesser bool // the proxy rested on a suspicion
	steps  atomic.Uint32

	// Of connecting, before the request is handed over.
	tunnel         bool  // nothing but the tunnel is wanted
	made           *conn // the connection
	err            error // or why there is none
	hedged         bool  // it takes long, and another proxy is connected to
	givenUp        error // why its request no longer waits
	stopConnecting context.CancelFunc

	conn  *conn  // that the request has
	reads uint32 // of conn, when the request got it

	// resent reports whether net/http sends the request again by itself when a kept
	// connection of HTTP/1 breaks. Over HTTP/2 it does so with any request that the
	// target resets in some ways. stop prevents it; it is nil if that may happen.
	resent bool
	stop   context.CancelFunc
}

func newAttempt(req *http.Request, p *pool, c choice) *attempt {
	x := c.proxy
	a := &attempt{Context: req.Context(), proxy: x, pool: p, probe: c.probe, lesser: c.lesser, epoch: c.epoch, target: destinationOf(req), line: x.enter()}
	if p != nil {
		a.began = p.now()
	}
	if a.plain = req.URL.Scheme == "http" && x.plainProxy != nil; a.plain {
		a.target.addr, a.target.secure = "", false
	}
	if a.key = a.target.addr; a.key == "" && !a.plain {
		a.key = a.target.host
	}
	a.resent = !hasBody(req) && replayable(req)
	if !hasBody(req) && !safe(req) {
		a.Context, a.stop = context.WithCancel(a.Context)
	}
	x.requests.Add(1)
	return a
}

// destinationOf returns where a request goes.
func destinationOf(req *http.Request) destination {
	if strings.ContainsFunc(req.URL.Host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return destination{host: req.URL.Host} // net/http writes such a name in Punycode
	}
	port := req.URL.Port()
	if port == "" {
		port = defaultPorts[req.URL.Scheme]
	}
	return destination{host: req.URL.Host, addr: net.JoinHostPort(req.URL.Hostname(), port), secure: req.URL.Scheme == "https"}
}

// step is a step of an attempt.
type step uint32

const (
	dialed    step = 1 << iota // it began to connect to the proxy
	reached                    // it has connected to the proxy
	tunnelled                  // the proxy made the tunnel to the target
	got                        // it has a connection to write to
	written                    // it may have been written to an earlier connection
	stopped                    // it must not be written to a second connection
	timedOut                   // making a connection took too long
	waitedFor                  // others wait for its connection
	overHTTP2                  // its connection speaks HTTP/2
	streamed                   // its header was written to a connection of HTTP/2
	reused                     // its connection has served others
	prepared                   // connecting is over
	abandoned                  // its request goes on without it
	starved                    // there were no files left
)

type attemptKey struct{}

func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// attemptOf returns the attempt for which a connection is made. Only attempts use the
// transports of a pool.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

func (a *attempt) mark(s step) { a.steps.Or(uint32(s)) }

// fell makes the proxy rest, since connecting to it failed. The request may have given up
// by then.
func (a *attempt) fell(err error) {
	if a.pool != nil && (errors.Is(err, ErrUnreachable) || errors.Is(err, ErrAuthentication)) && !errors.Is(err, context.Canceled) {
		a.pool.rest(a, a.proxy.scrub(err), false)
	}
}

// reachedIn records how long connecting to the proxy took.
func (a *attempt) reachedIn(d time.Duration) {
	if a.pool != nil {
		a.pool.learn(d)
		a.pool.resume(a.proxy)
	}
}

// took reports whether the attempt took one of the steps.
func (a *attempt) took(s step) bool { return a.steps.Load()&uint32(s) != 0 }

// mayHaveArrived reports whether the target may have received any of the request.
func (a *attempt) mayHaveArrived() bool { return a.took(got | written) }

// end frees what the attempt holds. Its request is over.
func (a *attempt) end() {
	a.met()
	a.free()
}

// free does what end does, but lets others go on waiting for the connection that the
// attempt makes.
func (a *attempt) free() {
	if a.stop != nil {
		a.stop()
	}
	a.line.leave()
	a.letGo()
}

// letGo releases the connection of the attempt.
func (a *attempt) letGo() {
	if a.conn != nil {
		a.proxy.settings.idle.released(a.conn)
		a.conn = nil
	}
}

// connect is called when net/http wants a connection. It wants another one if a kept one
// turned out to be closed: if nothing was written to it, or, although something was, if
// net/http considers the request to be one that can be sent again.
func (a *attempt) connect() {
	if !a.took(got) {
		return
	}
	again := a.resent || a.took(streamed)
	if again {
		a.mark(written)
	}
	a.steps.And(^uint32(got))
	a.letGo()
	if again && a.stop != nil {
		a.mark(stopped)
		a.stop()
	}
}

// verdict is the result of an attempt.
type verdict uint8

const (
	served  verdict = iota
	over            // the caller gave up, or the request cannot be sent
	late            // a time ran out
	faulty          // the proxy cannot be used
	refused         // the proxy works, but did not connect to the target
	untrue          // the target, or what answers in its place, is not what it should be
	broken          // the connection broke when the request may have arrived
)

// try sends the request once. The caller closes the body of the response.
func (a *attempt) try(req *http.Request, body io.ReadCloser) (*http.Response, verdict, error) {
	defer a.met()
	out := req.WithContext(a.traced())
	out.Body = body
	switch {
	case !hasBody(req) || req.GetBody == nil:
	case replayable(req):
		out.GetBody = nil // or net/http would send the body again
	default:
		out.GetBody = func() (io.ReadCloser, error) {
			if a.took(streamed) { // HTTP/2 sends a request again that the target reset
				a.mark(written | stopped)
				return nil, errBroke
			}
			return req.GetBody()
		}
	}
	resp, err := a.line.transport.RoundTrip(out)
	if err != nil {
		v, err := a.judge(req, err)
		return nil, v, a.failed(v, err)
	}
	if resp.StatusCode == http.StatusProxyAuthRequired && a.plain {
		_ = resp.Body.Close()
		return nil, faulty, a.failed(faulty, &because{ErrAuthentication, "it answered 407", nil})
	}
	return resp, served, nil
}

// outcome returns why there is no connection to send the request on. It is nil if there
// is one, or if the transport makes one.
func (a *attempt) outcome() error {
	if a.givenUp != nil {
		return a.givenUp
	}
	return a.err
}

// failed records a failure, and returns its error without the password.
func (a *attempt) failed(v verdict, err error) error {
	err = a.proxy.scrub(err)
	switch {
	case errors.Is(err, errFellIll), errors.Is(err, errDropped):
		a.proxy.requests.Add(^uint64(0)) // it was not tried
	case v != over:
		a.proxy.fails(err)
	}
	if v == late && a.conn != nil && a.conn.reads.Load() == a.reads {
		a.proxy.renew() // over HTTP/2 its connection would serve the next request as well
	}
	return err
}

// met ends the wait of the requests that wait for the first connection.
func (a *attempt) met() {
	if a.steps.And(^uint32(waitedFor))&uint32(waitedFor) != 0 {
		a.line.met(a.key)
	}
}

// replayable reports whether net/http would send the request again, with its
// body if it has one and can get it again, when a kept connection breaks.
func replayable(req *http.Request) bool {
	if safeMethod(req.Method) {
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xKey := req.Header["X-Idempotency-Key"]
	return key || xKey
}

// judge returns what an error means. The order matters: what is certain comes first.
func (a *attempt) judge(req *http.Request, err error) (verdict, error) {
	switch ended := req.Context().Err(); {
	case ended != nil:
		if !errors.Is(err, ended) && !errors.Is(err, context.Cause(req.Context())) {
			err = &because{ended, err.Error(), err} // something broke as the context ended
		}
		if timeRanOut(req) {
			return late, err
		}
		return over, err
	case cancelled(req) && timeRanOut(req):
		return late, err
	case cancelled(req):
		return over, err
	case a.took(stopped):
		return broken, errBroke
	case a.took(got):
		return broken, err
	case errors.Is(err, ErrAuthentication):
		return faulty, err
	case errors.Is(err, ErrRefused), errors.Is(err, errDropped), errors.Is(err, errFellIll):
		return refused, err
	case !a.took(dialed), noMoreFiles(err):
		return over, err
	case a.took(tunnelled) && ofTheTarget(err):
		return untrue, err
	case a.took(tunnelled) && a.took(timedOut):
		return refused, &because{ErrRefused, fmt.Sprintf("no TLS handshake with it within %s", a.proxy.settings.connectTimeout), os.ErrDeadlineExceeded}
	case a.took(tunnelled):
		return refused, &because{ErrRefused, err.Error(), err}
	case errors.Is(err, ErrUnreachable):
		return faulty, err
	}
	return faulty, &because{ErrUnreachable, err.Error(), err}
}

var errBroke = errors.New("the connection broke, or the target reset the request; net/http would have sent it again")

// timeRanOut reports whether a deadline ended the request. The Timeout of an
// [http.Client] sets one, but cancels the request as well.
func timeRanOut(req *http.Request) bool {
	ctx := req.Context()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) || isTimeout(context.Cause(ctx)) {
		return true
	}
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// ofTheTarget reports whether err comes from what the target sent in the TLS handshake.
func ofTheTarget(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var op *net.OpError
	return errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &op) && op.Op == "remote error"
}

func cancelled(req *http.Request) bool {
	select {
	case <-req.Cancel: //nolint:staticcheck // callers may still use it
		return true
	default:
		return false
	}
}

// traced returns the context of the request, with hooks on its connection. The hooks of
// the caller do not get the header field with the proxy's password.
func (a *attempt) traced() context.Context {
	ctx := context.Context(a)
	if theirs := httptrace.ContextClientTrace(ctx); theirs != nil && theirs.WroteHeaderField != nil {
		quiet := *theirs
		quiet.WroteHeaderField = func(key string, value []string) {
			if !strings.EqualFold(key, "Proxy-Authorization") {
				theirs.WroteHeaderField(key, value)
			}
		}
		ctx = httptrace.WithClientTrace(untraced.Context(ctx), &quiet)
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { a.connect() },
		WroteHeaders: func() {
			if a.took(overHTTP2) {
				a.mark(streamed)
			}
		},
		GotConn: func(info httptrace.GotConnInfo) {
			if c, ok := info.Conn.(interface{ ConnectionState() tls.ConnectionState }); ok && c.ConnectionState().NegotiatedProtocol == "h2" {
				a.mark(overHTTP2)
			}
			if a.took(stopped) && !a.took(overHTTP2) {
				_ = info.Conn.Close() // net/http does not always look at the context before it writes
			}
			a.mark(got)
			if info.Reused {
				a.mark(reused)
			}
			if c := connOf(info.Conn); c != nil {
				c.keep()
				a.letGo()
				a.conn, a.reads = c, c.reads.Load()
				a.proxy.settings.idle.taken(c)
			}
			a.met()
		},
	})
}
