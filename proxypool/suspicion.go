package proxypool

import (
	"sync"
	"sync/atomic"
	"time"
)

// suspicion is the evidence against a proxy that can be connected to.
type suspicion struct {
	last  lapse // not yet known to be its fault
	row   int   // lapses in a row that were its fault
	score int   // their weight, less the requests that it has served since
	since int64 // the time of the last of them
}

// lapse is a request that a proxy did not serve. It counts as the proxy's fault if another
// proxy serves the same host before the proxy's next request ends.
type lapse struct {
	host string
	at   int64
}

const (
	aLapse    = 8           // the weight of a lapse; a request that was served has 1
	enough    = aLapse + 2  // the score of two lapses with at most six requests served between
	mostScore = 2 * aLapse  // so that a proxy can recover
	enoughRow = 5           // lapses in a row, if others serve the host unevenly as well
	unevenFor = time.Minute // how long a host counts as one that is served unevenly
)

// doubt records that a proxy did not serve a request, which may be the target's fault.
// Several such requests make the proxy rest if others serve the same hosts.
func (p *pool) doubt(a *attempt, err error) {
	x, host := a.proxy, a.target.host
	p.mu.Lock()
	p.watch.lapses(x, host, p.now())
	x.doubted.Store(true)
	before := x.last
	blamed := p.blame(x)
	x.last = lapse{host, p.now()}
	rests := blamed && p.isEnough(x, host, x.score, x.row)
	if (blamed || before.host != host) && x.score > 0 && p.watch.servedBesides(x, host, x.since) {
		rests = rests || p.isEnough(x, host, x.score+aLapse, x.row+1) // this one is its fault as well
	}
	p.mu.Unlock()
	if rests {
		p.rest(a, err, true)
	}
}

// isEnough reports whether the lapses of a proxy make it rest.
func (p *pool) isEnough(x *proxy, host string, score, row int) bool {
	if p.watch.isUneven(x, host, p.now()) {
		return row >= enoughRow
	}
	return score >= enough
}

// blame decides whether the last lapse was the proxy's fault. The mutex must be held.
func (p *pool) blame(x *proxy) bool {
	last := x.last
	x.last = lapse{}
	if last.host == "" || !p.watch.servedBesides(x, last.host, last.at) {
		return false
	}
	x.since = last.at
	x.row++
	x.score = min(x.score+aLapse, mostScore)
	return true
}

// serves records that a proxy served a request.
func (p *pool) serves(a *attempt) {
	x := a.proxy
	p.watch.serves(x, a.target.host, p.now())
	if !x.doubted.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.blame(x)
	x.row = 0
	if x.score = max(0, x.score-1); x.score == 0 {
		x.doubted.Store(false)
		x.pauses = 0
	}
}

// watch records which proxies served the hosts that some proxy did not serve.
type watch struct {
	busy  atomic.Bool
	mu    sync.Mutex
	hosts map[string]*watched
}

// watched is the record of a host.
type watched struct {
	asked                  int64
	served, lapsed, uneven lastTwo
}

// lastTwo are the last two proxies for which something was recorded, and when.
type lastTwo struct {
	by [2]*proxy
	at [2]int64
}

func (l *lastTwo) add(x *proxy, now int64) {
	if l.by[0] != x {
		l.by[1], l.at[1] = l.by[0], l.at[0]
	}
	l.by[0], l.at[0] = x, now
}

// of reports whether it has x, since then.
func (l *lastTwo) of(x *proxy, since int64) bool {
	return l.by[0] == x && l.at[0] >= since || l.by[1] == x && l.at[1] >= since
}

// besides reports whether it has another proxy than x, since then.
func (l *lastTwo) besides(x *proxy, since int64) bool {
	for i, by := range l.by {
		if by != nil && by != x && l.at[i] >= since {
			return true
		}
	}
	return false
}

// watchedHosts bounds how many hosts are recorded: those with the latest lapses.
const watchedHosts = 1024

// lapses records that x did not serve the host.
func (w *watch) lapses(x *proxy, host string, now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.hosts[host]
	if known == nil {
		w.makeRoom(now)
		known = &watched{}
		w.hosts[host] = known
		w.busy.Store(true)
	}
	known.asked = now
	known.lapsed.add(x, now)
}

// makeRoom forgets the host whose last lapse is the longest ago.
func (w *watch) makeRoom(now int64) {
	if w.hosts == nil {
		w.hosts = make(map[string]*watched)
	}
	if len(w.hosts) < watchedHosts {
		return
	}
	oldest, when := "", now
	for host, known := range w.hosts {
		if known.asked <= when {
			oldest, when = host, known.asked
		}
	}
	delete(w.hosts, oldest)
}

// serves records that x served the host.
func (w *watch) serves(x *proxy, host string, now int64) {
	if !w.busy.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.hosts[host]
	if known == nil {
		return
	}
	known.served.add(x, now)
	if known.lapsed.of(x, now-int64(unevenFor)) {
		known.uneven.add(x, now)
	}
}

// servedBesides reports whether another proxy than x has served the host since then.
func (w *watch) servedBesides(x *proxy, host string, since int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.hosts[host]
	return known != nil && known.served.besides(x, since)
}

// isUneven reports whether another proxy than x has recently both served the host and
// failed to serve it.
func (w *watch) isUneven(x *proxy, host string, now int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.hosts[host]
	return known != nil && known.uneven.besides(x, now-int64(unevenFor))
}
