package proxypool

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"time"
)

// WithBan sets what tells from a response that the target does not welcome the
// proxy, or that the proxy itself has answered in the place of the target: a
// status, a header field, a page. The proxy then rests for this target's host, a
// growing while as [WithRest] says, and goes on serving others. A request that is
// safe to repeat, as [Pool] says, goes through another proxy; the last response is
// the caller's where no other proxy does better, and for all other requests.
//
// banned gets the response before its body was read. It may read up to 64 KiB of
// that, and the request still gets all of it. It must not change the response or
// keep it, and is called by many requests at once.
func WithBan(banned func(*http.Response) bool) Option {
	return func(s *settings) error {
		if banned == nil {
			return errors.New("proxypool: WithBan takes a function, not nil")
		}
		s.banned = banned
		return nil
	}
}

// looksBanned asks the caller about a response.
func (s *settings) looksBanned(resp *http.Response) bool {
	if s.banned == nil {
		return false
	}
	shown := *resp
	if resp.StatusCode == http.StatusSwitchingProtocols || resp.Body == http.NoBody {
		shown.Body = http.NoBody
		return s.banned(&shown)
	}
	const most = 64 << 10
	look := &look{body: resp.Body}
	shown.Body = io.NopCloser(io.LimitReader(look, most))
	told := false
	defer func() {
		if !told { // it panics
			_ = resp.Body.Close()
		}
	}()
	banned := s.banned(&shown)
	told = true
	resp.Body = &looked{ReadCloser: resp.Body, seen: bytes.NewReader(look.seen.Bytes()), err: look.err}
	return banned
}

// look reads a body, and keeps what it read.
type look struct {
	body io.Reader
	seen bytes.Buffer
	err  error
}

func (l *look) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.body.Read(p)
	l.seen.Write(p[:n])
	l.err = err
	return n, err
}

// looked is a body of which the beginning was read.
type looked struct {
	io.ReadCloser

	seen *bytes.Reader
	err  error // how it ended, if it was read to its end
}

func (l *looked) Read(p []byte) (int, error) {
	if l.seen.Len() > 0 {
		return l.seen.Read(p)
	}
	if l.err != nil {
		return 0, l.err
	}
	return l.ReadCloser.Read(p)
}

// hostRest is how long a proxy rests for a host.
type hostRest struct {
	until  int64
	pauses int
}

// restFor lets a proxy rest for a host.
func (p *pool) restFor(x *proxy, host string) {
	now, s := p.now(), p.settings
	p.mu.Lock()
	defer p.mu.Unlock()
	rests := make(map[string]hostRest)
	if old := x.hostRests.Load(); old != nil {
		maps.Copy(rests, *old)
		maps.DeleteFunc(rests, func(_ string, r hostRest) bool { return r.until+int64(s.longestRest) < now })
	}
	pauses := rests[host].pauses
	if rests[host].until > now {
		return // another request saw it
	}
	rests[host] = hostRest{until: now + int64(s.pause(pauses)), pauses: pauses + 1}
	x.hostRests.Store(&rests)
	p.bans.Store(true)
}

// welcomes ends that.
func (p *pool) welcomes(x *proxy, host string) {
	old := x.hostRests.Load()
	if old == nil {
		return
	}
	if _, rested := (*old)[host]; !rested {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	rests := maps.Clone(*x.hostRests.Load())
	delete(rests, host)
	if len(rests) == 0 {
		x.hostRests.Store(nil)
		return
	}
	x.hostRests.Store(&rests)
}

// restsFor reports whether the proxy rests for a host.
func (x *proxy) restsFor(host string, p *pool) bool {
	rests := x.hostRests.Load()
	return rests != nil && (*rests)[host].until > p.now()
}

// hostRestsUntil returns the hosts that a proxy rests for, and until when.
func (p *pool) hostRestsUntil(x *proxy) map[string]time.Time {
	rests, now := x.hostRests.Load(), p.now()
	if rests == nil {
		return nil
	}
	var list map[string]time.Time
	for host, r := range *rests {
		if r.until > now {
			if list == nil {
				list = make(map[string]time.Time)
			}
			list[host] = p.time(r.until)
		}
	}
	return list
}
