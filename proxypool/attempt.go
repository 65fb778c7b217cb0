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
	"syscall"

	"github.com/youproxy-go/youproxy/internal/untraced"
)

// attempt is one try of a request through one proxy: what is known of how far it
// got. It is the context of its request, so that the transport's hooks find it.
type attempt struct {
	context.Context

	proxy *proxy
	host  string
	epoch uint32
	probe bool
	steps atomic.Uint32
	pool  *pool // nil in a check

	// resent says that net/http sends the request again by itself when a kept
	// connection of HTTP/1 breaks. Over HTTP/2 it does that with any request that
	// the target resets in some ways. stop, where that must not be, keeps it from it.
	resent bool
	stop   context.CancelFunc
}

func newAttempt(req *http.Request, x *proxy, probe bool) *attempt {
	a := &attempt{Context: req.Context(), proxy: x, probe: probe, epoch: x.epoch.Load()}
	a.resent = !hasBody(req) && replayable(req)
	if !hasBody(req) && !safe(req) {
		a.Context, a.stop = context.WithCancel(a.Context)
	}
	if req.URL.Scheme == "https" {
		a.host = req.URL.Host
	}
	if !probe && x.until.Load() != 0 {
		a.epoch-- // it began to rest since it was chosen: that counts once
	}
	return a
}

// step is one that an attempt took.
type step uint32

const (
	dialed    step = 1 << iota // it began to connect with the proxy
	reached                    // it has connected with the proxy
	tunnelled                  // the proxy let it through to the target
	got                        // it has a connection to write to
	written                    // it had another before, and may have been written to it
	stopped                    // it was not to be written to this one as well
	timedOut                   // a connection took too long
	waitedFor                  // others wait for its connection
	overHTTP2                  // its connection is one of HTTP/2
	streamed                   // its header went to one of HTTP/2
)

type attemptKey struct{}

func (a *attempt) Value(key any) any {
	if key == (attemptKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// attemptOf gives the attempt that a connection is made for. It is nil for none,
// whose methods do nothing.
func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

func (a *attempt) mark(s step) {
	if a != nil {
		a.steps.Or(uint32(s))
	}
}

// fell lets the proxy rest as no connection with it came about. The caller may
// have given up by then, and would not know.
func (a *attempt) fell(err error) {
	if a != nil && a.pool != nil && !errors.Is(err, syscall.EMFILE) && !errors.Is(err, context.Canceled) {
		a.pool.rest(a, a.proxy.scrub(err))
	}
}

// took reports whether it took one of the steps.
func (a *attempt) took(s step) bool { return a.steps.Load()&uint32(s) != 0 }

// mayHaveArrived reports whether the target may have got any of the request.
func (a *attempt) mayHaveArrived() bool { return a.took(got | written) }

// end frees what the attempt holds. Its request ends then.
func (a *attempt) end() {
	if a.stop != nil {
		a.stop()
	}
}

// connect is told when net/http wants a connection. It wants another one where a
// kept one turned out to be of no use: where nothing was written to it, or where
// it takes the request for one that can be sent again, be it that it was written.
func (a *attempt) connect() {
	if !a.took(got) {
		return
	}
	again := a.resent || a.took(streamed)
	if again {
		a.mark(written)
	}
	a.steps.And(^uint32(got))
	if again && a.stop != nil {
		a.mark(stopped)
		a.stop()
	}
}

// verdict is what became of an attempt.
type verdict uint8

const (
	served  verdict = iota
	over            // the caller gave up, or nothing can send such a request
	faulty          // the proxy is not to be had
	refused         // the proxy works, but led nowhere
	broken          // it broke off when it may have arrived
)

// try sends the request, once. The response's body is the caller's.
func (a *attempt) try(req *http.Request, body io.ReadCloser) (*http.Response, verdict, error) {
	p := a.proxy
	if req.URL.Scheme == "https" {
		first, err := p.await(a, a.host)
		if err != nil {
			if body != nil {
				_ = body.Close()
			}
			if errors.Is(err, errFellIll) {
				return nil, refused, &because{ErrUnreachable, err.Error(), err}
			}
			return nil, over, err
		}
		if first {
			a.mark(waitedFor)
		}
	}
	defer a.met()

	out := req.WithContext(a.traced())
	out.Body = body
	switch {
	case !hasBody(req) || req.GetBody == nil:
	case replayable(req):
		out.GetBody = nil // or net/http would send the body again
	default:
		out.GetBody = func() (io.ReadCloser, error) {
			if a.took(streamed) { // HTTP/2 sends again what the target reset
				a.mark(written | stopped)
				return nil, errBroke
			}
			return req.GetBody()
		}
	}
	p.requests.Add(1)
	resp, err := p.roundTripper().RoundTrip(out)
	if err != nil {
		v, err := a.judge(req, err)
		err = p.scrub(err)
		if v != over {
			p.failed(err)
		}
		return nil, v, err
	}
	if resp.StatusCode == http.StatusProxyAuthRequired && a.plain(req) {
		_ = resp.Body.Close()
		err := &because{ErrAuthentication, "it answered 407", nil}
		p.failed(err)
		return nil, faulty, err
	}
	return resp, served, nil
}

// met lets those go on who wait for the first connection.
func (a *attempt) met() {
	if a.steps.And(^uint32(waitedFor))&uint32(waitedFor) != 0 {
		a.proxy.met(a.host)
	}
}

// plain reports whether the proxy itself answers the request, and not through a
// tunnel the target.
func (a *attempt) plain(req *http.Request) bool {
	return req.URL.Scheme == "http" && strings.HasPrefix(a.proxy.url.Scheme, "http")
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

// connectAnswer judges the answer to CONNECT.
func (a *attempt) connectAnswer(res *http.Response) error {
	switch res.StatusCode {
	case http.StatusOK:
		a.mark(tunnelled)
		return nil
	case http.StatusProxyAuthRequired, http.StatusUnauthorized: // 401 is how Tinyproxy refuses a wrong password
		return &because{ErrAuthentication, fmt.Sprintf("it answered %d to CONNECT", res.StatusCode), nil}
	}
	return &because{ErrRefused, fmt.Sprintf("it answered %d to CONNECT", res.StatusCode), nil}
}

// judge tells what an error means. The order matters: what is certain comes
// first.
func (a *attempt) judge(req *http.Request, err error) (verdict, error) {
	answer := a.socks(err)
	switch {
	case req.Context().Err() != nil:
		if ended := req.Context().Err(); !errors.Is(err, ended) && !errors.Is(err, context.Cause(req.Context())) {
			err = &because{ended, err.Error(), err} // what broke as it ended
		}
		return over, err
	case cancelled(req):
		return over, err
	case a.took(stopped):
		return broken, errBroke
	case a.took(got):
		return broken, err
	case errors.Is(err, ErrAuthentication):
		return faulty, err
	case errors.Is(err, ErrRefused):
		return refused, err
	case errors.Is(err, errDropped):
		return refused, err
	case !a.took(dialed):
		return over, err
	case errors.Is(err, syscall.EMFILE):
		return over, err // it is this process that has no more files
	case !a.took(tunnelled) && answer == refusedBySOCKS:
		return refused, &because{ErrRefused, err.Error(), err}
	case !a.took(tunnelled) && answer == loginRefusedBySOCKS:
		return faulty, &because{ErrAuthentication, err.Error(), err}
	case a.took(tunnelled) && ofTheTarget(err):
		return over, err // no other proxy would mend it
	case a.took(tunnelled) && a.took(timedOut):
		return refused, &because{ErrRefused, fmt.Sprintf("no TLS handshake with it within %s", a.proxy.settings.connectTimeout), os.ErrDeadlineExceeded}
	case a.took(tunnelled):
		return refused, &because{ErrRefused, err.Error(), err}
	case a.took(timedOut):
		return faulty, &because{ErrUnreachable, fmt.Sprintf("no connection within %s", a.proxy.settings.connectTimeout), os.ErrDeadlineExceeded}
	case errors.Is(err, ErrUnreachable):
		return faulty, err
	}
	return faulty, &because{ErrUnreachable, err.Error(), err}
}

var errBroke = errors.New("the connection broke, or the target reset the request, and net/http would have sent it again")

// ofTheTarget reports whether err is what the target said, or showed, in the TLS
// handshake.
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

// socksAnswer is what a SOCKS5 server said no to.
type socksAnswer uint8

const (
	noSOCKSAnswer socksAnswer = iota
	loginRefusedBySOCKS
	refusedBySOCKS
)

// socks finds the answer of a SOCKS5 server in err. net/http gives it as a text
// alone.
func (a *attempt) socks(err error) socksAnswer {
	var op *net.OpError
	if !strings.HasPrefix(a.proxy.url.Scheme, "socks") || !errors.As(err, &op) || !strings.HasPrefix(op.Op, "socks") || op.Err == nil {
		return noSOCKSAnswer
	}
	switch text := op.Err.Error(); {
	case strings.Contains(text, "authentication failed"), strings.Contains(text, "authentication method"):
		return loginRefusedBySOCKS
	case strings.HasPrefix(text, "unknown error "): // and the reply that the server gave
		return refusedBySOCKS
	}
	return noSOCKSAnswer
}

// traced gives the context of the request, with hooks on its connection. Those
// of the caller are not shown the header field with the proxy's password.
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
			keep(info.Conn)
			a.met()
		},
		TLSHandshakeStart: func() {
			if a.proxy.url.Scheme != "https" { // where it may be that with the proxy
				a.mark(tunnelled)
			}
		},
	})
}
