package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/youproxy-go/youproxy/proxypool"
)

// tries is through how many proxies the pool tries a request.
const tries = 10

// use sends requests through all proxies in turn, also through those that the
// check found to fail: the pool finds that out by itself.
func (f *fetcher) use(ctx context.Context, urls []*url.URL) error {
	if f.requests == 0 {
		return nil
	}
	pool, err := proxypool.New(urls, proxypool.WithConnectTimeout(f.timeout), proxypool.WithTries(tries))
	if err != nil {
		return err
	}
	defer pool.CloseIdleConnections()
	client := &http.Client{Transport: pool, Timeout: tries * f.timeout}

	var next, brought atomic.Int64
	var first error
	var failed sync.Once
	var workers sync.WaitGroup
	for range min(f.concurrency, f.requests) {
		workers.Go(func() {
			for next.Add(1) <= int64(f.requests) && ctx.Err() == nil {
				if err := get(ctx, client, f.page()); err != nil {
					failed.Do(func() { first = err })
					continue
				}
				brought.Add(1)
			}
		})
	}
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	f.out.line("\n%d requests through the pool brought the page %d times:\n", f.requests, brought.Load())
	f.shares(pool.Stats())
	if first != nil {
		return fmt.Errorf("%d of %d requests did not bring the page, the first: %w", int64(f.requests)-brought.Load(), f.requests, first)
	}
	return nil
}

// get fetches the page.
func get(ctx context.Context, client *http.Client, page string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return fmt.Errorf("the page through %s broke off: %w", proxypool.Via(response), err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("status %d through %s", response.StatusCode, proxypool.Via(response))
	}
	return nil
}

// withoutURL leaves out the page's URL, which may hold a secret.
func withoutURL(err error) error {
	var full *url.Error
	if errors.As(err, &full) {
		return full.Err
	}
	return err
}

// shares shows how the requests were spread. A request that a proxy failed went on
// to the next.
func (f *fetcher) shares(stats []proxypool.ProxyStats) {
	var all uint64
	for _, s := range stats {
		all += s.Requests - s.Failures
	}
	t := newTable(f.out.w, "Proxy\tAnswers\tShare\tNow")
	for _, s := range stats {
		now := "works"
		if !s.RestsUntil.IsZero() {
			now = "rests, as it failed"
		}
		answers := s.Requests - s.Failures
		t.line("%s\t%d\t%d %%\t%s", s.Proxy, answers, (100*answers+all/2)/max(all, 1), now)
	}
	t.end()
}
