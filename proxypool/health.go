package proxypool

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// health is the health of a proxy. A proxy that does not rest is well.
type health struct {
	// The end of its rest, in nanoseconds of the pool's clock; 0 while it is well.
	until   atomic.Int64
	epoch   atomic.Uint32 // counts the beginnings and ends of its rests
	doubted atomic.Bool   // it has rested, or there is a suspicion

	hostRests atomic.Pointer[map[string]hostRest] // nil while it rests for none

	// Guarded by the mutex of the pool.
	place     int         // in the roster
	hash      uint64      // where a sticky pool places it
	pauses    int         // rests in a row
	lesser    bool        // it may be used if there is no other
	inLesser  int         // its place among those that may
	trialed   int64       // since when it has to serve a request
	suspended bool        // it rests because connecting to it takes long
	inHeap    int         // its place among those that rest, from 1
	target    destination // of the request for which it rests
	suspicion
}

// destination is where a request goes.
type destination struct {
	host   string // of the URL
	addr   string // host:port for a tunnel; empty for a request that the proxy itself sends
	secure bool   // with TLS
}

// rest makes a proxy rest, unless the attempt began before its last rest. A proxy that is
// only suspected still serves if there is no other.
func (p *pool) rest(a *attempt, err error, suspected bool) {
	x, s := a.proxy, p.settings
	p.mu.Lock()
	if x.epoch.Load() != a.epoch || x.dropped.Load() {
		p.mu.Unlock()
		return
	}
	pause := s.pause(x.pauses)
	x.pauses++
	x.target = a.target
	x.doubted.Store(true)
	p.layUp(x, p.now()+int64(pause), suspected)
	x.epoch.Add(1)
	p.mu.Unlock()
	x.renew()
	x.note(err)
	if s.logger != nil {
		s.logger.LogAttrs(context.Background(), slog.LevelWarn, "a proxy rests",
			slog.String("proxy", x.name), slog.Duration("pause", pause), slog.String("error", err.Error()))
	}
}

// pause returns how long a proxy rests that has rested that often in a row.
func (s *settings) pause(before int) time.Duration {
	pause := s.longestRest
	if before < 62 && s.firstRest <= s.longestRest>>before {
		pause = s.firstRest << before
	}
	return time.Duration(float64(pause) * (0.9 + 0.2*rand.Float64()))
}

// wake ends the rest of a proxy.
func (p *pool) wake(a *attempt) {
	x := a.proxy
	p.mu.Lock()
	if x.epoch.Load() != a.epoch || x.until.Load() == 0 {
		p.mu.Unlock()
		return
	}
	p.getUp(x)
	x.epoch.Add(1)
	p.mu.Unlock()
	if p.settings.logger != nil {
		p.settings.logger.LogAttrs(context.Background(), slog.LevelInfo, "a proxy is back", slog.String("proxy", x.name))
	}
}

// layUp begins a rest, and getUp ends it. The mutex must be held for both.
func (p *pool) layUp(x *proxy, until int64, lesser bool) {
	p.takeOut(x)
	p.setLesser(x, lesser)
	x.suspended = false
	x.until.Store(until)
	p.roster.Load().setResting(x, true)
	heap.Push(&p.resting, x)
	p.soonest.Store(p.resting[0].until.Load())
}

func (p *pool) getUp(x *proxy) {
	if x.until.Load() == 0 {
		return
	}
	p.takeOut(x)
	p.setLesser(x, false)
	x.suspended = false
	x.until.Store(0)
	p.roster.Load().setResting(x, false)
}

// setLesser keeps the list of the proxies that may be used if there is no other.
func (p *pool) setLesser(x *proxy, lesser bool) {
	switch {
	case lesser && !x.lesser:
		x.inLesser = len(p.lesser)
		p.lesser = append(p.lesser, x)
	case !lesser && x.lesser:
		last := p.lesser[len(p.lesser)-1]
		p.lesser[x.inLesser], last.inLesser = last, x.inLesser
		p.lesser = p.lesser[:len(p.lesser)-1]
	}
	x.lesser = lesser
}

// takeOut removes a proxy from those whose rest will be over, and from those that have to
// serve a request.
func (p *pool) takeOut(x *proxy) {
	if i := slices.Index(p.trials, x); i >= 0 {
		p.trials = slices.Delete(p.trials, i, i+1)
		p.onTrial.Store(int64(len(p.trials)))
	}
	if x.inHeap == 0 {
		return
	}
	heap.Remove(&p.resting, x.inHeap-1)
	soonest := int64(0)
	if len(p.resting) > 0 {
		soonest = p.resting[0].until.Load()
	}
	p.soonest.Store(soonest)
}

// restingHeap has the proxy first whose rest is over first.
type restingHeap []*proxy

func (h restingHeap) Len() int           { return len(h) }
func (h restingHeap) Less(i, j int) bool { return h[i].until.Load() < h[j].until.Load() }

func (h restingHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].inHeap, h[j].inHeap = i+1, j+1
}

func (h *restingHeap) Push(x any) {
	*h = append(*h, x.(*proxy))
	(*h)[len(*h)-1].inHeap = len(*h)
}

func (h *restingHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	x.inHeap = 0
	(*h)[last] = nil
	*h = (*h)[:last]
	return x
}

// claim returns a proxy whose rest is over, so that a single request or probe tries it.
// The caller calls rest, wake or restOn.
func (p *pool) claim(w want) *proxy {
	if !p.isDue() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	const most = 64 // those whose rest was over first are near the front of the heap
	for _, x := range p.resting[:min(len(p.resting), most)] {
		if x.until.Load() <= p.now() && w.fits(x) {
			p.takeOut(x)
			return x
		}
	}
	return nil
}

// isDue reports whether the rest of a proxy is over.
func (p *pool) isDue() bool {
	soonest := p.soonest.Load()
	return soonest != 0 && soonest <= p.now()
}

// tryWithRequest lets a single request go through a proxy that rests on a suspicion, once
// connecting to it works.
func (p *pool) tryWithRequest(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := a.proxy; x.epoch.Load() == a.epoch && x.until.Load() != 0 && !x.dropped.Load() {
		p.trials = append(p.trials, x)
		p.onTrial.Store(int64(len(p.trials)))
		x.trialed = p.now()
	}
}

// trial returns one of those. A request that is not safe to repeat gets it only after the
// time of a first rest.
func (p *pool) trial(req *http.Request, w want) *proxy {
	if p.onTrial.Load() == 0 {
		return nil
	}
	spared := !safe(req) && req.Method != http.MethodConnect
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.trials {
		if w.fits(x) && (!spared || p.now()-x.trialed >= int64(p.settings.firstRest)) {
			p.takeOut(x)
			return x
		}
	}
	return nil
}

// restOn ends a claim without a verdict: another request may try the proxy.
func (p *pool) restOn(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x := a.proxy; x.epoch.Load() == a.epoch && x.until.Load() != 0 && !x.dropped.Load() {
		p.layUp(x, x.until.Load(), x.lesser)
	}
}

func (p *pool) isLesser(x *proxy) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return x.lesser
}

// secondBest returns one of those that rest on a suspicion, in turn.
func (p *pool) secondBest(w want) *proxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.lesser)
	for i := range n {
		if x := p.lesser[(p.turn+i)%n]; w.fits(x) {
			p.turn = (p.turn + i + 1) % n
			return x
		}
	}
	return nil
}

// suspend makes requests prefer other proxies while connecting to one takes long.
func (p *pool) suspend(a *attempt) {
	x := a.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.epoch.Load() != a.epoch || x.until.Load() != 0 || x.dropped.Load() {
		return
	}
	x.until.Store(p.now() + int64(p.settings.connectTimeout))
	p.setLesser(x, true)
	x.suspended = true
	p.roster.Load().setResting(x, true)
	if !a.isSlow() {
		p.getUp(x) // resume came too early
	}
}

// resume ends what suspend began.
func (p *pool) resume(x *proxy) {
	if x.until.Load() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.suspended {
		p.getUp(x)
	}
}

// probesAtOnce bounds how many proxies are probed at once.
const probesAtOnce = 16

// probeAll probes the proxies whose rest is over, in the background.
func (p *pool) probeAll() {
	for {
		p.mu.Lock()
		busy := p.probes >= probesAtOnce
		if !busy {
			p.probes++
		}
		p.mu.Unlock()
		if busy {
			return
		}
		x := p.claim(want{pool: p})
		if x == nil {
			p.probed()
			return
		}
		go func() {
			defer p.probed()
			p.probe(x)
		}()
	}
}

func (p *pool) probed() {
	p.mu.Lock()
	p.probes--
	p.mu.Unlock()
}

// probe connects to a proxy whose rest is over, and through it to the target of the
// request for which it rests. If it rests on a suspicion, both must succeed; otherwise
// connecting to the proxy is enough.
func (p *pool) probe(x *proxy) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a := &attempt{Context: ctx, proxy: x, pool: p, probe: true, lesser: p.isLesser(x), stopConnecting: cancel, line: x.enter()}
	p.mu.Lock()
	a.target, a.epoch = x.target, x.epoch.Load()
	p.mu.Unlock()
	a.key = a.target.addr
	p.unattended(a)
	err := a.reach(ctx)
	p.attended(a)
	a.line.leave()
	p.conclude(a, err)
}

// conclude records what connecting shows of a proxy whose rest is over, if no request
// waits for the connection.
func (p *pool) conclude(a *attempt, err error) {
	x := a.proxy
	switch {
	case err == nil && a.lesser:
		p.tryWithRequest(a)
	case err == nil:
		p.wake(a)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), noMoreFiles(err), errors.Is(err, errDropped):
		p.restOn(a)
	case errors.Is(err, ErrUnreachable), errors.Is(err, ErrAuthentication):
		p.rest(a, x.scrub(err), false)
	case a.lesser:
		p.rest(a, x.scrub(err), true)
	default:
		p.wake(a)
	}
}

// reach makes a connection, and closes it.
func (a *attempt) reach(ctx context.Context) error {
	c, err := a.line.connect(ctx, a, a.target.addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if !a.lesser || !a.target.secure {
		return nil
	}
	host, _, err := net.SplitHostPort(a.target.addr)
	if err != nil {
		return err
	}
	_, err = a.proxy.settings.dialer.secure(ctx, c, host)
	return err
}

// unattended records that an attempt connects while no request waits, so that
// [Pool.CloseIdleConnections] can stop it.
func (p *pool) unattended(a *attempt) {
	p.mu.Lock()
	p.alone[a] = struct{}{}
	p.mu.Unlock()
}

func (p *pool) attended(a *attempt) {
	p.mu.Lock()
	delete(p.alone, a)
	p.mu.Unlock()
}
