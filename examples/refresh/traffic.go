package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/youproxy-go/youproxy/proxypool"
)

// traffic sends requests through a pool, and counts the answers.
type traffic struct {
	client *http.Client

	mu      sync.Mutex
	sent    int
	lost    int                    // not answered
	first   error                  // of these
	answers map[string]map[int]int // of a proxy in a period
}

func newTraffic(pool *proxypool.Pool, timeout time.Duration) *traffic {
	return &traffic{client: &http.Client{Transport: pool, Timeout: timeout}, answers: make(map[string]map[int]int)}
}

// keep sends a request at each tick, until ctx is over, and tells of those that
// are not answered.
func (t *traffic) keep(ctx context.Context, target string, ticks <-chan time.Time, tell func(string, ...any)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks:
			if err := t.get(ctx, target, 0); err != nil {
				tell("not answered: %v", err)
			}
		}
	}
}

// get sends a request in a period. One that ctx has stopped does not count.
func (t *traffic) get(ctx context.Context, target string, period int) error {
	name, err := t.fetch(ctx, target)
	if err != nil && ctx.Err() != nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent++
	if err != nil {
		t.lost++
		t.first = cmp.Or(t.first, err)
		return err
	}
	if t.answers[name] == nil {
		t.answers[name] = make(map[int]int)
	}
	t.answers[name][period]++
	return nil
}

// fetch gives the name of the proxy that the answer came through. One with a
// status of 400 or above is none.
func (t *traffic) fetch(ctx context.Context, target string) (name string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return "", err
	}
	response, err := t.client.Do(request)
	var full *url.Error
	if errors.As(err, &full) {
		err = full.Err // without the URL, which may hold a secret
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	name = proxypool.Via(response)
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", fmt.Errorf("the answer through %s broke off: %w", name, err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return "", fmt.Errorf("status %d through %s", response.StatusCode, name)
	}
	return name, nil
}

// report shows how many answers came through which proxy, in each period.
func (t *traffic) report(out printer, periods []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out.line("\n%d requests, %d not answered.", t.sent, t.lost)
	if len(t.answers) == 0 {
		return
	}
	out.line("")
	w := tabwriter.NewWriter(out.w, 0, 0, 2, ' ', 0)
	printer{w}.line("  Proxy\t%s", strings.Join(periods, "\t"))
	for _, name := range slices.Sorted(maps.Keys(t.answers)) {
		cells := make([]string, len(periods))
		for i := range periods {
			cells[i] = "-"
			if n := t.answers[name][i]; n > 0 {
				cells[i] = strconv.Itoa(n)
			}
		}
		printer{w}.line("  %s\t%s", name, strings.Join(cells, "\t"))
	}
	_ = w.Flush()
}

// failed is an error where a request was not answered.
func (t *traffic) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d requests were not answered, the first: %w", t.lost, t.sent, t.first)
}
