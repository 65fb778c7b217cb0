package proxypool

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
)

// race finds attempts for a request, one after the other. A request is sent when there is
// a connection: if connecting to a proxy takes long, the race connects to another one as
// well, and the request uses the first that is ready.
type race struct {
	pool    *pool
	req     *http.Request
	tunnel  bool // the request is for a tunnel
	tried   []*proxy
	pending []*attempt
	results chan *attempt

	unwelcome *http.Response // the last one through a proxy that the target bans
}

// next returns the next attempt to make, or nil if there is no other proxy. Its err is set
// if connecting failed. If the context ended while an attempt was connecting, it is
// returned with the error of the context.
func (r *race) next() *attempt {
	a := r.find()
	if a == nil {
		return nil
	}
	if f, ok := a.Value(onUseKey{}).(func(string)); ok {
		f(a.proxy.name)
	}
	r.remove(a)
	if a.outcome() == nil {
		r.leave()
		if a.probe && !a.lesser && a.took(tunnelled) {
			r.pool.wake(a)
			a.probe, a.epoch = false, a.proxy.epoch.Load()
		}
	}
	return a
}

// find returns the attempt for next, which is still among those that are pending.
func (r *race) find() *attempt {
	p, ctx := r.pool, r.req.Context()
	var hedge <-chan time.Time
	more := true
	for {
		if more && hedge == nil {
			a, ready := r.begin()
			more = a != nil
			for _, slow := range r.pending {
				if more && slow != a && slow.isSlow() && slow.connects() {
					slow.hedged = true
					p.suspend(slow)
				}
			}
			if ready {
				return a
			}
		}
		if len(r.pending) == 0 {
			return nil
		}
		hedge = nil
		var timer *time.Timer
		if more && p.settings.strategy.hedges(r.req) {
			timer = time.NewTimer(p.patience())
			hedge = timer.C
		}
		select {
		case a := <-r.results:
			stop(timer)
			return a
		case <-hedge:
			if newest := r.pending[len(r.pending)-1]; newest.isSlow() {
				hedge = nil // begin with another
			}
			continue
		case <-ctx.Done():
			stop(timer)
			return r.giveUp(ctx.Err())
		case <-r.req.Cancel: //nolint:staticcheck // callers may still use it
			stop(timer)
			return r.giveUp(errCancelled)
		}
	}
}

var (
	errCancelled = errors.New("the request was cancelled")
	errOvertaken = &because{ErrUnreachable, "connecting took longer than to another", nil}
)

func stop(t *time.Timer) {
	if t != nil {
		t.Stop()
	}
}

// begin chooses a proxy, and begins to connect to it unless the request needs no new
// connection.
func (r *race) begin() (a *attempt, ready bool) {
	p := r.pool
	if len(r.tried) >= p.settings.tries {
		return nil, false
	}
	c := p.acquire(r.req, r.tried)
	if c.proxy == nil {
		return nil, false
	}
	r.tried = append(r.tried, c.proxy)
	a = newAttempt(r.req, p, c)
	a.tunnel = r.tunnel
	r.pending = append(r.pending, a)
	made, needed := a.needsConnection()
	if !needed {
		a.mark(prepared)
		return a, true
	}
	if r.results == nil {
		r.results = make(chan *attempt, p.settings.tries)
	}
	results := r.results
	connecting, cancel := context.WithCancel(context.WithoutCancel(a))
	a.stopConnecting = cancel
	go func() {
		defer cancel()
		a.prepare(connecting, made)
		results <- a
	}()
	return a, false
}

// remove removes an attempt from those that are pending.
func (r *race) remove(a *attempt) {
	r.pending = slices.DeleteFunc(r.pending, func(other *attempt) bool { return other == a })
}

// giveUp returns the attempt that was begun first, as one that failed.
func (r *race) giveUp(err error) *attempt {
	a := r.pending[0]
	a.givenUp = err
	if a.tunnel {
		a.stopConnecting() // others cannot use its tunnel
	}
	a.abandon()
	return a
}

// leave ends the wait for the pending attempts. Their connections are for other requests.
// This one may still be tried through their proxies.
func (r *race) leave() {
	for _, a := range r.pending {
		a.abandon()
		a.free()
		a.proxy.release()
		r.tried = slices.DeleteFunc(r.tried, func(x *proxy) bool { return x == a.proxy })
	}
	r.pending, r.results = nil, nil
}

// end frees what the request no longer needs.
func (r *race) end() {
	r.leave()
	if r.unwelcome != nil {
		_ = r.unwelcome.Body.Close()
	}
}

// needsConnection reports whether the attempt has to connect before its request is sent
// or, if made is not nil, to wait for another attempt that connects.
func (a *attempt) needsConnection() (made <-chan struct{}, needed bool) {
	if a.tunnel {
		return nil, true
	}
	if a.target.addr == "" && !a.plain {
		return nil, false // only net/http knows the name
	}
	first, made := a.line.await(a.key)
	if first {
		a.mark(waitedFor)
	}
	return made, first || made != nil
}

// prepare connects, or waits for another attempt that connects.
func (a *attempt) prepare(ctx context.Context, made <-chan struct{}) {
	if made != nil {
		a.err = a.wait(made)
	} else if c, err := a.line.connect(ctx, a, a.target.addr); err != nil {
		a.err = err
		a.fell(err)
	} else if a.made = c; !a.tunnel {
		a.line.keepReady(a.key, c)
	}
	old := a.steps.Or(uint32(prepared))
	a.pool.resume(a.proxy)
	if step(old)&abandoned != 0 {
		a.finish()
	}
}

func (a *attempt) wait(made <-chan struct{}) error {
	select {
	case <-made:
	case <-a.Done():
		return a.Err()
	}
	if a.proxy.until.Load() != 0 && a.proxy.epoch.Load() != a.epoch {
		return errFellIll
	}
	return nil // if the first failed, all go on at once
}

// isSlow reports whether the proxy has not yet accepted a connection. That includes an
// attempt that waits for another one.
func (a *attempt) isSlow() bool { return !a.took(reached | prepared | starved) }

// connects reports whether the attempt connects itself.
func (a *attempt) connects() bool { return a.tunnel || a.took(waitedFor) }

// abandon ends the wait for an attempt, which goes on connecting.
func (a *attempt) abandon() {
	switch {
	case a.givenUp != nil:
	case a.hedged && a.isSlow():
		a.proxy.fails(errOvertaken)
	default:
		a.proxy.requests.Add(^uint64(0)) // it was not tried
	}
	a.pool.unattended(a)
	if old := a.steps.Or(uint32(abandoned)); step(old)&prepared != 0 {
		a.finish()
	}
}

// finish ends an attempt for which no request waits.
func (a *attempt) finish() {
	p := a.pool
	p.attended(a)
	a.met()
	switch {
	case a.err == nil && a.tunnel:
		_ = a.made.Close()
	case a.err == nil && a.made != nil:
		a.line.leaveReady(a.key, a.made)
	}
	if a.probe {
		p.conclude(a, a.err)
	}
}

// learn records how long connecting to a proxy took.
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

// patience returns how long a request waits for a connection before the pool connects to
// another proxy: as long as connecting takes except for outliers, but at least a
// thirty-second and at most half of the connect timeout.
func (p *pool) patience() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	most := p.settings.connectTimeout
	return min(max(p.latency+4*p.spread, most/32), most/2)
}
