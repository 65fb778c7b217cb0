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

// Pool sends requests through proxies. It is an [http.RoundTripper], to be used as the
// Transport of an [http.Client]. It is safe for concurrent use, and must not be
// copied. [New] makes one. A printed Pool does not show its URLs.
//
// Each proxy has its own transport, and so its own connections, which are kept open
// and used again. The first connection of a proxy to a host is made by one request
// while others wait for it, since over HTTP/2 it serves all of them. If connecting to a
// proxy takes long, the pool connects to another one as well, and the request goes
// through whichever is ready first. With [Sticky], it waits for its own proxy.
//
// # Retries
//
// If a proxy fails, a request is tried through another one in two cases: if nothing of
// it can have reached the target; and, whatever happened before its response began, if
// it has no body and its method is GET, HEAD, OPTIONS or TRACE. Any other request that
// may have arrived is never sent again, neither by the pool nor by net/http, whatever
// its method and header are. If the body of a response breaks off, the caller decides
// whether to ask again.
//
// # Rest
//
// A proxy rests, each time longer than before, in two cases:
//
//   - It cannot be connected to, or does not accept its login.
//   - It failed two requests, and served at most six between them, while another proxy
//     served the same hosts or even the same requests.
//
// A failure of the second kind is a refused tunnel, a certificate that is not the
// target's, a connection that broke, or a timeout of whatever kind. A kept connection
// that broke does not count, and neither does a context that was cancelled before its
// deadline. If the same host sometimes fails through other proxies too, five failures
// in a row are needed. A proxy that rests after such failures is still used where there
// is no other.
//
// A target that answers nobody therefore makes no proxy rest. Over plain HTTP, without a
// tunnel, a pool cannot know whether a response comes from the target or from the proxy:
// see [WithBan].
//
// When its rest is over, the pool connects to the proxy again: in the background as long
// as there are other proxies, once at a time for each proxy, to at most 16 at once, and
// for no longer than the connect timeout. A proxy that rested after failures of the
// second kind then has to serve a single request before it gets others. Without
// requests nothing runs in the background.
type Pool struct {
	// A function, so that nothing that walks through fields, such as the dump of a
	// failed assertion, finds the URLs with their passwords.
	pool func() *pool
}

// pool is what the function of a Pool returns.
type pool struct {
	settings *settings
	started  time.Time
	roster   atomic.Pointer[roster]
	watch    watch
	soonest  atomic.Int64 // when the first rest is over; 0 for none
	onTrial  atomic.Int64 // the length of trials
	bans     atomic.Bool  // whether a proxy has ever rested for a host

	mu      sync.Mutex // guards what changes the roster or the health of a proxy
	resting restingHeap
	trials  []*proxy // that have to serve a request
	lesser  []*proxy // that rest on a suspicion
	turn    int      // the index of the next of those
	probes  int
	alone   map[*attempt]struct{} // those that connect while no request waits
	latency time.Duration         // of connecting, smoothed as RFC 6298 has it
	spread  time.Duration
}

// New returns a pool of the proxies with these URLs. They are like those of
// [http.ProxyURL]: the scheme is http, https, socks5 or socks5h, and the login and the
// password are part of the URL. Duplicates count once. The list may be empty until
// [Pool.Replace] fills it. No error contains a password.
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

// errNotMade is the error of a Pool that does not come from [New].
var errNotMade = errors.New("proxypool: the pool was not made by New")

// made reports whether the pool comes from New.
func (p *Pool) made() bool { return p != nil && p.pool != nil }

// Replace replaces the list of the pool. Proxies that are in both lists keep their
// connections and their state. A proxy that is no longer in the list gets no new
// requests. Its running requests go on until the body of the response is read to its end
// or closed, or the context ends; then its connections are closed. If Replace returns an
// error, the list stays as it was.
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

// RoundTrip sends the request through a proxy. Its errors are of type *[Error], except
// for requests that are invalid, such as one without a host.
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

// errBodySpent is the error of a request whose body was read in part, and has no GetBody.
var errBodySpent = errors.New("the body of the request cannot be read again")

// send sends the request if there is a connection, and its body is still whole.
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

// lend releases the proxy when the body of the response ends.
func (p *pool) lend(req *http.Request, resp *http.Response, a *attempt) {
	lend(req.Context(), resp, func() {
		a.end()
		a.proxy.release()
	})
	resp.Request = req.WithContext(context.WithValue(req.Context(), viaKey{}, a.proxy.name))
}

// CloseIdleConnections closes the connections that no request uses, and stops
// connecting in the background. [http.Client.CloseIdleConnections] calls it.
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

// OnUse returns a context for requests and for [Pool.DialContext]. Before such a request
// is tried through a proxy, f is called with the name of that proxy, as [Name] returns
// it. If the request is served, the last call has the proxy that served it. Use OnUse
// where the response is out of reach, as with the client of another library; otherwise
// [Via] is simpler.
func OnUse(ctx context.Context, f func(proxy string)) context.Context {
	return context.WithValue(ctx, onUseKey{}, f)
}

type onUseKey struct{}

// Via returns the name of the proxy through which a response of a [Pool] came, as [Name]
// returns it. It returns an empty string for other responses.
func Via(resp *http.Response) string {
	if resp == nil || resp.Request == nil {
		return ""
	}
	name, _ := resp.Request.Context().Value(viaKey{}).(string)
	return name
}

type viaKey struct{}

// String returns how many proxies the pool has, and how many of them rest.
func (p *Pool) String() string {
	if !p.made() {
		return "no proxy pool"
	}
	r := p.pool().roster.Load()
	return fmt.Sprintf("proxy pool: %d proxies, %d resting", len(r.proxies), len(r.proxies)-int(r.well.Load()))
}

// Format writes what String returns, for every verb.
func (p *Pool) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue returns what String returns.
func (p *Pool) LogValue() slog.Value { return slog.StringValue(p.String()) }

// check returns an error for a request that no proxy could send.
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

// safe reports whether a request can be repeated although it may have arrived.
func safe(req *http.Request) bool { return !hasBody(req) && safeMethod(req.Method) }

func hasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

func safeMethod(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	return false
}

// acquire chooses a proxy and takes it. The caller releases it.
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
		// It was dropped in the meantime: there is another list.
	}
}

// choose returns a proxy that has to serve a request to show that it works again, else
// one that is well, else one whose rest is over, else one that rests on a suspicion.
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

// settle records what an attempt shows of the health of its proxy.
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

// noProxy returns the error that explains why there is no proxy for a host.
func (p *pool) noProxy(host string) error {
	r := p.roster.Load()
	n := len(r.proxies)
	if n == 0 {
		return &because{ErrNoProxy, "the list is empty", nil}
	}
	if r.well.Load() > 0 {
		return &because{ErrNoProxy, fmt.Sprintf("all proxies (%d) rest, or rest for %s, which bans them", n, host), nil}
	}
	wait := time.Duration(p.soonest.Load() - p.now()).Round(time.Millisecond)
	if wait <= 0 {
		return &because{ErrNoProxy, fmt.Sprintf("all proxies (%d) rest, and one is being tried", n), nil}
	}
	return &because{ErrNoProxy, fmt.Sprintf("all proxies (%d) rest; the first is tried again in %s", n, wait), nil}
}
