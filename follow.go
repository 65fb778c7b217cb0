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

// SkippedProxy is a proxy of a list that is not used, and why.
type SkippedProxy struct {
	Proxy Proxy
	Err   error // says why, without the password; matches [ErrNotUsable] where the proxy is at fault
}

// ProxyURLs returns the URLs of proxies for a scheme, in their order, as package proxypool
// and [http.ProxyURL] take them. Those that have none are skipped: they are not among the
// URLs, and are returned each with the error of [Proxy.URL]. So one odd proxy does not
// stand in the way of the others.
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

// ErrEmptyList is matched by errors of a list without a proxy that can be used.
var ErrEmptyList = errors.New("the list has no proxy that can be used")

// Follow says which proxies [Client.FollowProxies] follows, and how. The zero value is all
// proxies of the account, over HTTP where they speak it, every 5 minutes.
type Follow struct {
	Query  ProxyQuery
	Scheme Scheme
	Select func(Proxy) bool // reports whether to use a proxy; nil for all
	// Every is the time between two lists, from the end of one to the beginning of the
	// next; 5 minutes where it is 0. Each time it is up to a tenth more or less, so that
	// many programs do not ask at once.
	Every time.Duration
	// AllowEmpty allows a list without a proxy that can be used. Unless it is set, such a
	// list is an error, and the one before stays.
	AllowEmpty bool
	// Tell is called with what became of each list. The next list waits until it returns.
	// Where it is nil, that is logged, see [WithLogger].
	Tell func(FollowEvent)
}

// FollowEvent is what became of a list that [Client.FollowProxies] asked for.
type FollowEvent struct {
	Used    int            // how many were handed over; 0 where none were
	Skipped []SkippedProxy // those that cannot be used, also of a list that was not taken
	Err     error          // why the list was not taken, so that the one before stays; nil where it was
}

// FollowProxies keeps something, such as a pool of package proxypool, in step with the
// account's list:
//
//	pool, err := proxypool.New(nil)
//	...
//	done, err := client.FollowProxies(ctx, youproxy.Follow{Every: time.Minute}, pool.Replace)
//
// It reads the list, calls replace with the URLs, and returns. An error says that this
// first list was not taken; nothing is followed then. Otherwise a goroutine does the same
// after each pause until ctx is over. When it has ended, done is closed, and replace and
// f.Tell are not called any more. They are never called at the same time.
//
// A list is taken whole or not at all. It is not taken where it cannot be read to its end
// within a minute, where it has no proxy that can be used, unless f.AllowEmpty is set, or
// where replace returns an error. The list before stays then, and the next one is read
// after the usual pause. Proxies that cannot be used are skipped, and f.Tell gets them. So
// are those that are still listed although their rent period has ended by the service's
// clock.
//
// done is nil where the error is not.
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
			return e.Err // it is stopped, and has not failed
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
				_ = refresh() // it was told
			}
		}
	}()
	return ended, nil
}

// follow reads the list once and hands it over.
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
		e.Err = fmt.Errorf("youproxy: the list was not taken: %w", err)
		return e
	}
	e.Used = len(urls)
	return e
}

// logFollow does not log the text of an error: it may be that of a function of the caller's,
// which knows the passwords.
func (c *core) logFollow(ctx context.Context, e FollowEvent) {
	if e.Err != nil {
		c.log(ctx, slog.LevelWarn, "youproxy: the list of proxies was not taken", slog.Int("skipped", len(e.Skipped)), slog.Bool("empty", errors.Is(e.Err, ErrEmptyList)))
		return
	}
	c.log(ctx, slog.LevelInfo, "youproxy: the list of proxies was taken", slog.Int("proxies", e.Used), slog.Int("skipped", len(e.Skipped)))
}
