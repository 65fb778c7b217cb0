package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/youproxy-go/youproxy/proxypool"
)

// page gives the URL of the page.
func (f *fetcher) page() string { return cmp.Or(f.target, defaultTarget) }

// pageName is the URL of the page without what may be a secret in it.
func (f *fetcher) pageName() string {
	u, err := url.Parse(f.page())
	if err != nil {
		return "the page"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// check fetches the page through every proxy.
func (f *fetcher) check(ctx context.Context, urls []*url.URL) ([]proxypool.CheckResult, error) {
	opts := []proxypool.CheckOption{proxypool.CheckConcurrency(f.concurrency), proxypool.CheckTimeout(f.timeout)}
	progress := newProgress(f.stderr)
	defer progress.end()
	var results []proxypool.CheckResult
	for r, err := range proxypool.Check(ctx, urls, f.page(), opts...) {
		if err != nil {
			return nil, err
		}
		results = append(results, r)
		progress.show(r.Done, r.Total)
	}
	slices.SortFunc(results, func(a, b proxypool.CheckResult) int { return cmp.Compare(a.Index, b.Index) })
	return results, nil
}

// report shows what the check found.
func (f *fetcher) report(results []proxypool.CheckResult, unusable []error) {
	f.out.line("\n%s through every proxy:\n", f.pageName())
	t := newTable(f.out.w, "Proxy\tExit address\tStatus\tTime")
	why := unusable
	for _, r := range results {
		exit := "-"
		if r.ExitIP.IsValid() {
			exit = r.ExitIP.String()
		}
		t.line("%s\t%s\t%s\t%s", r.Proxy, exit, status(r), f.took(r))
		if r.Err != nil {
			why = append(why, fmt.Errorf("%s: %w", r.Proxy, reason(r.Err)))
		}
	}
	t.end()
	if len(why) > 0 {
		f.out.line("")
	}
	for _, err := range why {
		f.out.line("  %v", err)
	}
}

// reason leaves out what the table shows.
func reason(err error) error {
	var full *proxypool.Error
	if errors.As(err, &full) {
		return full.Err
	}
	return err
}

// brought reports whether the page came through the proxy.
func brought(r proxypool.CheckResult) bool { return r.OK() && r.Status < http.StatusBadRequest }

// status tells in a few words what came of a check.
func status(r proxypool.CheckResult) string {
	switch {
	case r.Err == nil:
		return fmt.Sprint(r.Status)
	case errors.Is(r.Err, proxypool.ErrAuthentication):
		return "login refused"
	case errors.Is(r.Err, proxypool.ErrUnreachable):
		return "not reached"
	case errors.Is(r.Err, proxypool.ErrRefused):
		return "target not reached"
	default:
		return "no answer"
	}
}

func (f *fetcher) took(r proxypool.CheckResult) string {
	switch {
	case r.Err != nil:
		return "-"
	case f.exact:
		return r.Latency.Round(time.Millisecond).String()
	default:
		return "< " + f.timeout.String()
	}
}

// table writes columns, two blanks from the margin.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer, head string) *table {
	t := &table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.line("%s", head)
	return t
}

func (t *table) line(format string, args ...any) { printer{t.w}.line("  "+format, args...) }
func (t *table) end()                            { _ = t.w.Flush() }
