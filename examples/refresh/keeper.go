package main

import (
	"context"
	"net/url"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/proxypool"
)

// keeper keeps a pool like the account's list.
type keeper struct {
	*options

	client *youproxy.Client
	now    func() time.Time
	out    printer
	pool   *proxypool.Pool
	urls   []*url.URL // those in the pool
	told   map[youproxy.IPAddressID]bool
}

// tries is through how many proxies the pool tries a request.
const tries = 10

// newKeeper gives one whose pool is empty.
func newKeeper(o *options, client *youproxy.Client, now func() time.Time, out printer) (*keeper, error) {
	pool, err := proxypool.New(nil, proxypool.WithConnectTimeout(o.timeout), proxypool.WithTries(tries))
	if err != nil {
		return nil, err
	}
	return &keeper{options: o, client: client, now: now, out: out, pool: pool, told: make(map[youproxy.IPAddressID]bool)}, nil
}

// keep refreshes the pool at each tick, until ctx is over.
func (k *keeper) keep(ctx context.Context, ticks <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			k.refreshOrKeep(ctx)
		}
	}
}

// refreshOrKeep refreshes the pool. Where that fails the pool goes on with the
// list it has.
func (k *keeper) refreshOrKeep(ctx context.Context) {
	if err := k.refresh(ctx); err != nil && ctx.Err() == nil {
		k.event("no new list, the old one of %d stays: %v", len(k.urls), err)
	}
}

// refresh makes the pool like the list. The pool takes it whole or, with an error,
// not at all.
func (k *keeper) refresh(ctx context.Context) error {
	list, err := k.client.ListProxies(ctx, youproxy.ProxyQuery{ProxyType: k.proxyType})
	if err != nil {
		return err
	}
	urls := k.usable(list)
	if err := k.pool.Replace(urls); err != nil {
		return err
	}
	for _, u := range without(urls, k.urls) {
		k.event("joined %s", proxypool.Name(u))
	}
	for _, u := range without(k.urls, urls) {
		k.event("left   %s", proxypool.Name(u))
	}
	k.urls = urls
	return nil
}

// usable gives the URLs of the proxies that can be used, and says once which
// cannot.
func (k *keeper) usable(list []youproxy.Proxy) (urls []*url.URL) {
	now := k.now()
	for _, p := range list {
		u, err := p.URL(k.scheme)
		switch {
		case !p.End.IsZero() && !now.Before(p.End):
			k.tellOnce(p.ID, "left out: proxy %s has ended", p.ID)
		case err != nil:
			k.tellOnce(p.ID, "left out: %v", err)
		default:
			urls = append(urls, u)
		}
	}
	return urls
}

func (k *keeper) tellOnce(id youproxy.IPAddressID, format string, args ...any) {
	if !k.told[id] {
		k.told[id] = true
		k.event(format, args...)
	}
}

// event tells what happened, and when.
func (k *keeper) event(format string, args ...any) {
	args = append([]any{k.now().UTC().Format("2006-01-02 15:04:05")}, args...)
	k.out.line("%s  "+format, args...)
}

// without gives what is in list, but not in other.
func without(list, other []*url.URL) (rest []*url.URL) {
	known := make(map[string]bool, len(other))
	for _, u := range other {
		known[u.String()] = true
	}
	for _, u := range list {
		if s := u.String(); !known[s] {
			known[s] = true // one that is given twice counts once
			rest = append(rest, u)
		}
	}
	return rest
}
