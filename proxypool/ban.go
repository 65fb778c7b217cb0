package proxypool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"time"
)

// WithBan sets a function that reports, from the status, the header or the body of a
// response, whether the target bans the proxy, or the proxy has answered in place of the
// target. The proxy then rests for the host of this target, each time longer as
// [WithRest] describes, and goes on serving other hosts. A GET, HEAD, OPTIONS or TRACE
// request without a body is tried through another proxy; if no other proxy does better,
// the caller gets the last response. Any other request is not repeated, and the caller
// gets its response.
//
// banned is called before the body of the response is read. It may read up to 64 KiB of
// the body, and the caller still gets all of it. It must not change the response or keep
// it. It is called by many goroutines at once.
func WithBan(banned func(*http.Response) bool) Option {
	return func(s *settings) error {
		if banned == nil {
			return errors.New("proxypool: WithBan needs a function, not nil")
		}
		s.banned = banned
		return nil
	}
}

// looksBanned calls the function of the caller with a response.
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
	returned := false
	defer func() {
		if !returned { // it panics
			_ = resp.Body.Close()
		}
	}()
	banned := s.banned(&shown)
	returned = true
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

// looked is a body whose beginning was read.
type looked struct {
	io.ReadCloser

	seen *bytes.Reader
	err  error // of its end, if it was read to it
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

// hostRest is the rest of a proxy for a host.
type hostRest struct {
	until  int64
	pauses int
}

// restFor makes a proxy rest for a host.
func (p *pool) restFor(x *proxy, host string) {
	now, s := p.now(), p.settings
	p.mu.Lock()
	rests := make(map[string]hostRest)
	if old := x.hostRests.Load(); old != nil {
		maps.Copy(rests, *old)
		maps.DeleteFunc(rests, func(_ string, r hostRest) bool { return r.until+int64(s.longestRest) < now })
	}
	pauses := rests[host].pauses
	if rests[host].until > now {
		p.mu.Unlock()
		return // another request saw it
	}
	pause := s.pause(pauses)
	rests[host] = hostRest{until: now + int64(pause), pauses: pauses + 1}
	x.hostRests.Store(&rests)
	p.bans.Store(true)
	p.mu.Unlock()
	if s.logger != nil {
		s.logger.LogAttrs(context.Background(), slog.LevelWarn, "a proxy rests for a host that bans it",
			slog.String("proxy", x.name), slog.String("host", host), slog.Duration("pause", pause))
	}
}

// welcomes ends the rest of a proxy for a host.
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

// hostRestsUntil returns the hosts for which a proxy rests, and until when.
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
