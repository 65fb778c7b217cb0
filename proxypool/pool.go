package proxypool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Pool sends requests through proxies. It is an [http.RoundTripper], for the
// Transport of an [http.Client]. It is safe for concurrent use, runs nothing in
// the background, and must not be copied. It prints without its URLs.
//
// Each proxy has a transport of its own, and so connections of its own, which are
// kept open and used again. The first request to a host of https makes its
// connection alone, as over HTTP/2 it serves all others.
//
// A proxy that cannot be connected with, or does not accept its login, rests. A
// request of which nothing can have arrived is tried through another then; so is
// one without a body whose method is GET, HEAD, OPTIONS or TRACE, whatever
// happened before its response began. All others are sent once: a request with a
// body that may have arrived is never sent again, neither by the pool nor by
// net/http, whatever its method and header. Where the body of a response breaks
// off, it is for the caller to ask again.
type Pool struct {
	// A function, as nothing that walks through fields, such as the dump of a failed
	// assertion, finds what it holds: URLs with passwords.
	pool func() *pool
}

// pool is what a Pool holds.
type pool struct {
	settings *settings
	started  time.Time
	roster   atomic.Pointer[roster]

	mu sync.Mutex // for all that changes the roster or the health of a proxy
}

// New makes a pool of the proxies with these URLs, as [http.ProxyURL] takes them:
// http, https, socks5 or socks5h, with the login and the password in it. The list
// may be empty until [Pool.Replace] fills it. No error tells a password.
func New(urls []*url.URL, opts ...Option) (*Pool, error) {
	s := newSettings()
	for _, opt := range opts {
		if opt == nil {
			return nil, errors.New("proxypool: an option is nil")
		}
		if err := opt(s); err != nil {
			return nil, err
		}
	}
	p := &pool{settings: s, started: time.Now()}
	if err := p.replace(urls); err != nil {
		return nil, err
	}
	return &Pool{pool: func() *pool { return p }}, nil
}

// errNotMade is of a Pool that does not come from [New].
var errNotMade = errors.New("proxypool: the pool was not made by New")

// made reports whether the pool comes from New.
func (p *Pool) made() bool { return p != nil && p.pool != nil }

// Replace puts another list in the place of the pool's. Proxies that are in both
// stay as they are, with their connections. Those that left get no new requests,
// what is under way through them goes on until its response's body is read to its
// end or closed, or its context ends, and then they are closed. The list is taken
// whole or, with an error, not at all.
func (p *Pool) Replace(urls []*url.URL) error {
	if !p.made() {
		return errNotMade
	}
	return p.pool().replace(urls)
}

func (p *pool) replace(urls []*url.URL) error {
	addresses, err := parseAll(urls)
	if err != nil {
		return err
	}
	p.mu.Lock()
	var known map[string]*proxy
	if r := p.roster.Load(); r != nil {
		known = r.known
	}
	next := make(map[string]*proxy, len(addresses))
	list := make([]*proxy, len(addresses))
	for i, a := range addresses {
		x := known[a.identity]
		if x == nil {
			x = newProxy(a, p.settings)
		}
		x.position = i
		next[a.identity], list[i] = x, x
	}
	var left []*proxy
	for identity, x := range known {
		if next[identity] == nil {
			left = append(left, x)
		}
	}
	r := p.settings.strategy.arrange(list)
	r.known = next
	p.roster.Store(r)
	p.mu.Unlock()
	for _, x := range left {
		x.drop()
	}
	return nil
}

// RoundTrip sends the request through a proxy. Its errors are of type *[Error],
// except for requests that nothing could send.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := p.check(req); err != nil {
		if req != nil && req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	return p.pool().roundTrip(req)
}

func (p *pool) roundTrip(req *http.Request) (*http.Response, error) {
	body := newUpload(req)
	failure := &Error{}
	var tried []*proxy
	for len(tried) < p.settings.tries {
		x, probe := p.acquire(req, tried)
		if x == nil {
			break
		}
		lent, ok := body.next()
		if !ok {
			p.settle(&attempt{proxy: x, probe: probe}, over, nil)
			x.release()
			break // what remains of the body is not the whole of it
		}
		tried = append(tried, x)
		a := newAttempt(req, x, probe)
		a.pool = p
		resp, v, err := a.try(req, lent)
		p.settle(a, v, err)
		if v == served {
			body.keep()
			lend(req.Context(), resp, func() {
				a.end()
				x.release()
			})
			resp.Request = req.WithContext(context.WithValue(req.Context(), viaKey{}, x.name))
			return resp, nil
		}
		body.back()
		a.end()
		x.release()
		arrived := a.mayHaveArrived()
		failure.Proxy, failure.Tries, failure.Err = x.name, len(tried), err
		failure.MayHaveArrived = failure.MayHaveArrived || arrived
		if v == over || arrived && !safe(req) || req.Context().Err() != nil {
			break
		}
	}
	body.end()
	if failure.Err == nil {
		failure.Err = p.noProxy()
	}
	return nil, failure
}

// CloseIdleConnections closes the connections that nothing uses, as
// [http.Client.CloseIdleConnections] asks for.
func (p *Pool) CloseIdleConnections() {
	if !p.made() {
		return
	}
	for _, x := range p.pool().roster.Load().proxies {
		x.closeIdle()
	}
}

// Via gives the name of the proxy, as [Name] does, that a response of a [Pool]
// came through; empty for other responses.
func Via(resp *http.Response) string {
	if resp == nil || resp.Request == nil {
		return ""
	}
	name, _ := resp.Request.Context().Value(viaKey{}).(string)
	return name
}

type viaKey struct{}

// String tells how many proxies there are.
func (p *Pool) String() string {
	if !p.made() {
		return "no proxy pool"
	}
	r := p.pool().roster.Load()
	return fmt.Sprintf("proxy pool of %d, %d well", len(r.proxies), r.well.Load())
}

// Format writes what String gives, whatever the verb.
func (p *Pool) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue gives slog what String gives.
func (p *Pool) LogValue() slog.Value { return slog.StringValue(p.String()) }

// check finds what no proxy could send.
func (p *Pool) check(req *http.Request) error {
	switch {
	case !p.made():
		return errNotMade
	case req == nil || req.URL == nil:
		return errors.New("proxypool: the request has no URL")
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return errors.New("proxypool: the scheme of the request is not http or https")
	case req.URL.Host == "":
		return errors.New("proxypool: the URL of the request has no host")
	}
	return nil
}

// safe reports whether a request can be repeated that may have arrived.
func safe(req *http.Request) bool { return !hasBody(req) && safeMethod(req.Method) }

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func safeMethod(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// acquire chooses a proxy, and takes it. Who gets one releases it.
func (p *pool) acquire(req *http.Request, tried []*proxy) (x *proxy, probe bool) {
	for {
		r := p.roster.Load()
		if len(r.proxies) == 0 {
			return nil, false
		}
		x, probe = p.settings.strategy.choose(p, r, req, tried)
		if x == nil || x.acquire() {
			return x, probe
		}
		// It was dropped meanwhile: there is another list.
	}
}

// now is the pool's clock.
func (p *pool) now() int64 { return int64(time.Since(p.started)) + 1 }

// settle takes down what an attempt shows of the health of its proxy.
func (p *pool) settle(a *attempt, v verdict, err error) {
	x := a.proxy
	switch {
	case v == faulty:
		p.rest(a, err)
	case !a.probe:
	case v == served, v == refused && !errors.Is(err, errFellIll), v == broken && a.took(tunnelled):
		p.wake(a)
	case v == broken:
		p.rest(a, err)
	default:
		x.probing.Store(false) // another request will show it
	}
}

// rest lets a proxy rest, unless that is from a time before it last did.
func (p *pool) rest(a *attempt, err error) {
	x, s := a.proxy, p.settings
	p.mu.Lock()
	if x.epoch.Load() != a.epoch {
		p.mu.Unlock()
		return
	}
	pause := s.longestRest
	if shift := x.pauses; shift < 62 && s.firstRest <= s.longestRest>>shift {
		pause = s.firstRest << shift
	}
	pause = time.Duration(float64(pause) * (0.9 + 0.2*rand.Float64()))
	x.pauses++
	x.until.Store(p.now() + int64(pause))
	x.epoch.Add(1)
	p.roster.Load().setResting(x, true)
	x.probing.Store(false)
	p.mu.Unlock()
	if s.logger != nil {
		s.logger.LogAttrs(context.Background(), slog.LevelWarn, "a proxy rests",
			slog.String("proxy", x.name), slog.Duration("pause", pause), slog.String("error", err.Error()))
	}
}

// wake ends the rest of a proxy.
func (p *pool) wake(a *attempt) {
	x := a.proxy
	p.mu.Lock()
	if x.epoch.Load() != a.epoch {
		p.mu.Unlock()
		return
	}
	x.pauses = 0
	x.until.Store(0)
	x.epoch.Add(1)
	p.roster.Load().setResting(x, false)
	x.probing.Store(false)
	p.mu.Unlock()
	if p.settings.logger != nil {
		p.settings.logger.LogAttrs(context.Background(), slog.LevelInfo, "a proxy is back", slog.String("proxy", x.name))
	}
}

// noProxy says why there is none.
func (p *pool) noProxy() error {
	proxies, soonest := p.roster.Load().proxies, int64(0)
	for _, x := range proxies {
		if until := x.until.Load(); until != 0 && (soonest == 0 || until < soonest) {
			soonest = until
		}
	}
	if len(proxies) == 0 {
		return &because{ErrNoProxy, "the list is empty", nil}
	}
	wait := time.Duration(soonest - p.now()).Round(time.Millisecond)
	if wait <= 0 {
		return &because{ErrNoProxy, fmt.Sprintf("all %d rest, and one is being tried", len(proxies)), nil}
	}
	return &because{ErrNoProxy, fmt.Sprintf("all %d rest, the first is tried again in %s", len(proxies), wait), nil}
}
