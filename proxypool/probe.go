package proxypool

import (
	"context"
	"errors"
	"net"
	"time"
)

// probesAtOnce bounds how many proxies are connected with at once to see whether
// they are back.
const probesAtOnce = 16

// probeAll has those tried whose rest is over.
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

// probe connects with a proxy whose rest is over, and through it with the target of
// the request for which it rests. Where it rests on a suspicion, all of that has to
// succeed; else the proxy itself.
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

// conclude takes down what connecting shows, where no request waits for it, of a proxy
// whose rest is over.
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

// unattended takes down that an attempt connects with nobody waiting, so that
// [Pool.CloseIdleConnections] can end it.
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

// learn takes down how long connecting with a proxy took.
func (p *pool) learn(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latency == 0 {
		p.latency, p.spread = d, d/2
		return
	}
	p.spread += ((p.latency - d).Abs() - p.spread) / 4
	p.latency += (d - p.latency) / 8
}

// patience returns how long a request waits for a connection before another proxy
// is connected with: what it takes but for outliers, and from a thirty-second to a
// half of the connect timeout.
func (p *pool) patience() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := p.settings.connectTimeout
	return min(max(p.latency+4*p.spread, most/32), most/2)
}
