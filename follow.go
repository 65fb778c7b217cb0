package youproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/url"
	"time"
)

// SkippedProxy is a proxy of a list that is not used, and the reason.
type SkippedProxy struct {
	Proxy Proxy
	Err   error // the reason, without the password; matches [ErrNotUsable] unless the scheme is invalid
}

// ProxyURLs returns the URLs of proxies for a scheme, in the same order, for package
// proxypool and [http.ProxyURL]. A proxy without a URL does not stop the others: it is
// returned in skipped, with the error of [Proxy.URL].
func ProxyURLs(proxies []Proxy, s Scheme) (urls []*url.URL, skipped []SkippedProxy) {
	for _, p := range proxies {
		u, err := p.URL(s)
		if err != nil {
			skipped = append(skipped, SkippedProxy{p, err})
			continue
		}
		urls = append(urls, u)
	}
	return urls, skipped
}

// ErrEmptyList is matched by the errors of a list without a usable proxy.
var ErrEmptyList = errors.New("the list has no proxy that can be used, and AllowEmpty is not set")

// Follow configures [Client.FollowProxies]. The zero value follows all proxies of the
// account every 5 minutes, over HTTP if they have a port for it and over SOCKS5
// otherwise.
type Follow struct {
	Query  ProxyQuery
	Scheme Scheme
	Select func(Proxy) bool // reports whether to use a proxy; nil for all
	// Every is the time from the end of one list to the beginning of the next; 0 means 5
	// minutes. It varies by up to a tenth, so that many programs do not ask at once.
	Every time.Duration
	// AllowEmpty allows a list without a usable proxy. Otherwise such a list is an error,
	// and the previous one stays in use.
	AllowEmpty bool
	// Tell is called with the result of each list. The next list waits until it returns.
	// If it is nil, the result is logged: see [WithLogger].
	Tell func(FollowEvent)
}

// FollowEvent is the result of one list that [Client.FollowProxies] requested.
type FollowEvent struct {
	Used    int            // number of proxies passed to replace; 0 if it was not called or failed
	Skipped []SkippedProxy // proxies that cannot be used, also if the list was not used
	Err     error          // why the list was not used, so that the previous one stays in use; or nil
}

// FollowProxies keeps a user of proxies, such as a pool of package proxypool, up to date
// with the account's list:
//
//	pool, err := proxypool.New(nil)
//	...
//	done, err := client.FollowProxies(ctx, youproxy.Follow{Every: time.Minute}, pool.Replace)
//
// FollowProxies reads the list, calls replace with the URLs, and returns. If this fails,
// it returns the error and follows nothing; done is nil then. Otherwise a goroutine does
// the same after each pause until ctx is over, and closes done when it has ended. replace
// and f.Tell are never called at the same time, nor after done is closed.
//
// A list is used as a whole or not at all. It is not used if it cannot be read to its end
// within a minute, if it has no usable proxy (unless f.AllowEmpty is set), or if replace
// returns an error. The previous list then stays in use until the next one, after the
// usual pause. Proxies that cannot be used are skipped and reported to f.Tell. So are
// proxies that are still listed although their rent period has ended by the service's
// clock.
func (c *Client) FollowProxies(ctx context.Context, f Follow, replace func([]*url.URL) error) (done <-chan struct{}, err error) {
	if err := c.check(ctx); err != nil {
		return nil, notSent("FollowProxies", err)
	}
	var v brokenRules
	if f.Every < 0 {
		v.add("every", ruleRange, "must be more than 0, or 0 for 5 minutes")
	}
	if !f.Scheme.Valid() {
		v.add("scheme", ruleUnknown, "must be one of the schemes, such as SchemeHTTP")
	}
	if replace == nil {
		v.add("replace", ruleRequired, "must be a function that takes the URLs, such as Replace of a pool")
	}
	if err := v.asError("Follow"); err != nil {
		return nil, err
	}
	if f.Every == 0 {
		f.Every = 5 * time.Minute
	}
	f.Every = min(f.Every, math.MaxInt64/2) // which takes a tenth more
	refresh := func() error {
		e := c.follow(ctx, f, replace)
		if e.Err != nil && ctx.Err() != nil {
			return e.Err // it was stopped rather than failed
		}
		if f.Tell != nil {
			f.Tell(e)
		} else {
			c.core().logFollow(ctx, e)
		}
		return e.Err
	}
	if err := refresh(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			pause := time.NewTimer(f.Every - f.Every/10 + rand.N(f.Every/5+1))
			select {
			case <-ctx.Done():
				pause.Stop()
				return
			case <-pause.C:
				_ = refresh() // it was reported
			}
		}
	}()
	return ended, nil
}

// follow reads the list once and passes it to replace.
func (c *Client) follow(ctx context.Context, f Follow, replace func([]*url.URL) error) (e FollowEvent) {
	asked, cancel := context.WithTimeoutCause(ctx, listBound, errSlowList)
	defer cancel()
	var listed []Proxy
	reply, err := c.list(asked, f.Query, func(p *Proxy) bool {
		if f.Select == nil || f.Select(*p) {
			listed = append(listed, *p)
		}
		return true
	})
	if err != nil {
		e.Err = err
		return e
	}
	now := reply.date
	if now.IsZero() {
		now = time.Now()
	}
	var urls []*url.URL
	for _, p := range listed {
		u, err := p.URL(f.Scheme)
		if !p.End.IsZero() && !p.End.After(now) {
			err = p.notUsable("its rent period ended at %s", p.End.UTC().Format(time.RFC3339))
		}
		if err != nil {
			e.Skipped = append(e.Skipped, SkippedProxy{p, err})
			continue
		}
		urls = append(urls, u)
	}
	if len(urls) == 0 && !f.AllowEmpty {
		e.Err = fmt.Errorf("youproxy: %w", ErrEmptyList)
		if n := len(e.Skipped); n > 0 {
			e.Err = fmt.Errorf("%w: all %d are skipped, the first because %s", e.Err, n, reasonOf(e.Skipped[0].Err))
		}
		return e
	}
	if err := replace(urls); err != nil {
		e.Err = fmt.Errorf("youproxy: the list was not used: %w", err)
		return e
	}
	e.Used = len(urls)
	return e
}

// logFollow logs an event. It does not log the text of an error, which may come from a
// function of the caller's that knows the passwords.
func (c *core) logFollow(ctx context.Context, e FollowEvent) {
	if e.Err != nil {
		c.log(ctx, slog.LevelWarn, "youproxy: the list of proxies was not used", slog.Int("skipped", len(e.Skipped)), slog.Bool("empty", errors.Is(e.Err, ErrEmptyList)))
		return
	}
	c.log(ctx, slog.LevelInfo, "youproxy: the list of proxies was used", slog.Int("proxies", e.Used), slog.Int("skipped", len(e.Skipped)))
}
