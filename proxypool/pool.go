package proxypool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Pool sends requests through proxies. It is an [http.RoundTripper], for the
// Transport of an [http.Client]. It is safe for concurrent use, and must not be
// copied. It prints without its URLs.
//
// Each proxy has a transport of its own, and so connections of its own, which are
// kept open and used again. The first request to a host makes its connection alone,
// as over HTTP/2 it serves all others. While connecting with a proxy takes long,
// another one is connected with, and the request has the first that is ready; not
// so with [Sticky].
//
// A request of which nothing can have arrived is tried through another proxy where
// one fails; so is one without a body whose method is GET, HEAD, OPTIONS or TRACE,
// whatever happened before its response began. All others are sent once: a request
// with a body that may have arrived is never sent again, neither by the pool nor by
// net/http, whatever its method and header. Where the body of a response breaks
// off, it is for the caller to ask again.
//
// # Rest
//
// A proxy rests, for a growing while,
//
//   - that cannot be connected with, or does not accept its login;
//   - that did not serve two requests, with no more than six between that it served,
//     while another proxy served the same hosts, be it the same requests. It refused a
//     tunnel, say, showed a certificate that is not the target's, broke off, or let a
//     time run out, whichever time that was. A kept connection that broke does not
//     count, nor does a context that was cancelled rather than ended by a time. Five in
//     a row are needed for a host that other proxies serve at one time and not at
//     another. Such a proxy is used all the same where there is no other.
//
// So a target that answers nobody lets no proxy rest. Nor can a pool tell over plain
// HTTP, without a tunnel, whether an answer comes from the target or from the proxy:
// see [WithBan].
//
// When its rest is over, the pool connects with the proxy again, in the background
// while there are others: once at a time for each proxy, 16 at most at once, for no
// longer than the connect timeout. One that rested on a suspicion has to serve a
// request then, a single one, before others follow. Nothing else runs when no request
// does.
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
	watch    watch
	soonest  atomic.Int64 // when the first rest is over; 0 for none
	onTrial  atomic.Int64 // the length of trials
	bans     atomic.Bool  // a proxy has rested for a host

	mu      sync.Mutex // for all that changes the roster or the health of a proxy
	resting restingHeap
	trials  []*proxy // that wait for a request
	lesser  []*proxy // that rest on a suspicion
	turn    int      // among those
	probes  int
	alone   map[*attempt]struct{} // those that connect with nobody waiting
	latency time.Duration         // of connecting, smoothed as RFC 6298 has it
	spread  time.Duration
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
	s.complete()
	p := &pool{settings: s, started: time.Now(), alone: make(map[*attempt]struct{})}
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
			x.dropped.Store(true)
			p.takeOut(x)
			p.setLesser(x, false)
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
	r := &race{pool: p, req: req}
	defer r.end()
	failure := &Error{}
	distrusted := false
	for a := r.next(); a != nil; a = r.next() {
		resp, v, err := p.send(a, req, body)
		if v == served {
			p.settle(a, v, nil)
			p.lend(req, resp, a)
			body.keep()
			if !p.settings.looksBanned(resp) {
				p.welcomes(a.proxy, a.target.host)
				return resp, nil
			}
			p.restFor(a.proxy, a.target.host)
			if !safe(req) {
				return resp, nil
			}
			if r.unwelcome != nil {
				_ = r.unwelcome.Body.Close()
			}
			r.unwelcome = resp
			continue
		}
		p.settle(a, v, err)
		arrived := a.mayHaveArrived()
		failure.MayHaveArrived = failure.MayHaveArrived || arrived
		if err != errBodySpent { //nolint:errorlint // it is never wrapped
			failure.Proxy, failure.Tries, failure.Err = a.proxy.name, failure.Tries+1, err
		}
		a.end()
		a.proxy.release()
		if v == over || v == late || v == untrue && distrusted || arrived && !safe(req) || req.Context().Err() != nil {
			break
		}
		distrusted = distrusted || v == untrue // what a second proxy shows as well is the target's
	}
	body.end()
	if resp := r.unwelcome; resp != nil {
		r.unwelcome = nil
		return resp, nil
	}
	if failure.Err == nil {
		failure.Err = p.noProxy(req.URL.Host)
	}
	return nil, failure
}

// errBodySpent is of a request whose body was read in part, and cannot be had again.
var errBodySpent = errors.New("the body of the request cannot be read again")

// send sends the request, if there is a connection, and its body is still whole.
func (p *pool) send(a *attempt, req *http.Request, body *upload) (*http.Response, verdict, error) {
	if err := a.outcome(); err != nil {
		v, err := a.judge(req, err)
		return nil, v, a.failed(v, err)
	}
	lent, ok := body.next()
	if !ok {
		return nil, over, errBodySpent
	}
	resp, v, err := a.try(req, lent)
	if v != served {
		body.back()
	}
	return resp, v, err
}

// lend has the response keep the proxy until its body ends.
func (p *pool) lend(req *http.Request, resp *http.Response, a *attempt) {
	lend(req.Context(), resp, func() {
		a.end()
		a.proxy.release()
	})
	resp.Request = req.WithContext(context.WithValue(req.Context(), viaKey{}, a.proxy.name))
}

// CloseIdleConnections closes the connections that nothing uses, as
// [http.Client.CloseIdleConnections] asks for, and ends the connecting that goes on in
// the background.
func (p *Pool) CloseIdleConnections() {
	if !p.made() {
		return
	}
	pool := p.pool()
	pool.mu.Lock()
	for a := range pool.alone {
		a.stopConnecting()
	}
	pool.mu.Unlock()
	for _, x := range pool.roster.Load().proxies {
		x.closeIdle()
	}
}

// OnUse returns a context for requests, and for [Pool.DialContext]: f is told the
// name, as of [Name], of each proxy that such a request is tried through, before it
// is. The last that it was told served the request, if one did. That is how a
// program learns it where the response is not at hand: through the client of
// another library.
func OnUse(ctx context.Context, f func(proxy string)) context.Context {
	return context.WithValue(ctx, onUseKey{}, f)
}

type onUseKey struct{}

// Via returns the name of the proxy, as [Name] does, that a response of a [Pool]
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

// Format writes what String returns, whatever the verb.
func (p *Pool) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue returns what String does.
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
func (p *pool) acquire(req *http.Request, tried []*proxy) choice {
	for {
		r := p.roster.Load()
		if len(r.proxies) == 0 {
			return choice{}
		}
		w := want{tried: tried, pool: p}
		if p.bans.Load() {
			w.host = req.URL.Host
		}
		c := p.choose(r, req, w)
		if c.proxy == nil || c.proxy.acquire() {
			return c
		}
		// It was dropped meanwhile: there is another list.
	}
}

// choose takes a proxy that waits for a request to show that it is back, else one that
// is well, else one whose rest is over, else one that rests on a suspicion.
func (p *pool) choose(r *roster, req *http.Request, w want) choice {
	if x := p.trial(req, w); x != nil {
		return choice{proxy: x, epoch: x.epoch.Load(), probe: true, lesser: true}
	}
	if x := p.settings.strategy.choose(r, req, w); x != nil {
		if p.isDue() {
			p.probeAll()
		}
		c := choice{proxy: x, epoch: x.epoch.Load()}
		if x.until.Load() != 0 {
			c.epoch-- // it began to rest since it was chosen: that counts once
		}
		return c
	}
	if x := p.claim(w); x != nil {
		return choice{proxy: x, epoch: x.epoch.Load(), probe: true, lesser: p.isLesser(x)}
	}
	if x := p.secondBest(w); x != nil {
		return choice{proxy: x, epoch: x.epoch.Load(), lesser: true}
	}
	return choice{}
}

// now is the pool's clock.
func (p *pool) now() int64 { return int64(time.Since(p.started)) + 1 }

// time returns a time of the pool's clock.
func (p *pool) time(t int64) time.Time { return p.started.Add(time.Duration(t - 1)).Round(0) }

// settle takes down what an attempt shows of the health of its proxy.
func (p *pool) settle(a *attempt, v verdict, err error) {
	switch {
	case v == served:
		p.serves(a)
		if a.probe || a.lesser {
			p.wake(a)
		}
	case v == faulty:
		p.rest(a, err, false)
	case v == over, errors.Is(err, errFellIll), errors.Is(err, errDropped):
		if a.probe {
			p.restOn(a) // another request will show it
		}
	case a.probe && a.lesser:
		p.rest(a, err, true)
	case a.probe && v == broken && !a.took(tunnelled):
		p.rest(a, err, false)
	default:
		if a.probe && (v == refused || a.took(tunnelled|got)) {
			p.wake(a) // the proxy itself works
		} else if a.probe {
			p.restOn(a)
		}
		if v != broken || !a.took(reused) {
			p.doubt(a, err)
		}
	}
}

// noProxy says why there is none for a host.
func (p *pool) noProxy(host string) error {
	r := p.roster.Load()
	n := len(r.proxies)
	if n == 0 {
		return &because{ErrNoProxy, "the list is empty", nil}
	}
	if r.well.Load() > 0 {
		return &because{ErrNoProxy, fmt.Sprintf("all %d rest, or rest for %s, which bans them", n, host), nil}
	}
	wait := time.Duration(p.soonest.Load() - p.now()).Round(time.Millisecond)
	if wait <= 0 {
		return &because{ErrNoProxy, fmt.Sprintf("all %d rest, and one is being tried", n), nil}
	}
	return &because{ErrNoProxy, fmt.Sprintf("all %d rest, the first is tried again in %s", n, wait), nil}
}
