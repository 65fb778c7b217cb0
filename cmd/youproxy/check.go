package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/proxypool"
)

// checking is what the flags of check say.
type checking struct {
	filter

	scheme      youproxy.Scheme
	from        string // empty for the account
	target      string
	timeout     time.Duration
	concurrency int
}

// check tries proxies.
func (a *app) check() *cobra.Command {
	o := &checking{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Try the proxies of the account, or of a list",
		Long: `check fetches a page through every proxy of the account, or of a list. A list has one proxy a
line, in a usual form: a URL, host:port:login:password, login:password@host:port and so on. A
proxy works if the page comes through it with a status below 400. The exit address is shown if
the page contains it, as the default page does. check fails if no proxy works.`,
		Example: "  youproxy check\n  youproxy check --type ISP --target https://example.com/\n  youproxy check --from proxies.txt --output json",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(cmd); err != nil {
				return usageError{err}
			}
			urls, err := a.toCheck(cmd.Context(), o)
			if err != nil {
				return err
			}
			results, err := a.checkAll(cmd.Context(), o, urls)
			if err != nil {
				return err
			}
			return a.showChecks(results)
		},
	}
	a.filterFlags(cmd, &o.filter)
	a.schemeFlag(cmd, &o.scheme)
	cmd.Flags().StringVar(&o.from, "from", "", "`file` with a list in place of the account's, - for stdin")
	cmd.Flags().StringVar(&o.target, "target", "https://api.ipify.org/", "`URL` of the page")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 15*time.Second, "how long the check of a proxy may take")
	cmd.Flags().IntVar(&o.concurrency, "concurrency", 16, "`number` of proxies at once")
	return cmd
}

func (o *checking) validate(cmd *cobra.Command) error {
	target, err := url.Parse(o.target)
	switch {
	case err != nil || target.Scheme != "http" && target.Scheme != "https" || target.Host == "":
		return errors.New("--target must be a URL of http or https with a host")
	case o.timeout <= 0:
		return errors.New("--timeout must be more than 0")
	case o.concurrency < 1:
		return errors.New("--concurrency must be 1 or more")
	case !cmd.Flags().Changed("from"):
		return nil
	case o.from == "":
		return errors.New("--from must name a file, or - for stdin")
	}
	for _, name := range []string{"type", "country", "scheme"} {
		if cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s selects proxies of the account, and cannot be used with --from", name)
		}
	}
	return nil
}

// toCheck returns the proxies to check.
func (a *app) toCheck(ctx context.Context, o *checking) ([]*url.URL, error) {
	if o.from != "" {
		return a.readList(o.from)
	}
	a.proxiesWork = true
	client, err := a.client()
	if err != nil {
		return nil, err
	}
	var urls []*url.URL
	for p, err := range o.proxies(ctx, client) {
		if err != nil {
			return nil, err
		}
		u, err := p.URL(o.scheme)
		if err != nil {
			a.note("left out: %s", strings.TrimPrefix(err.Error(), "youproxy: "))
			continue
		}
		urls = append(urls, u)
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("there are no %s to check", &o.filter)
	}
	return urls, nil
}

// readList reads the proxies in a file. It reports lines that it cannot read by their
// numbers.
func (a *app) readList(name string) ([]*url.URL, error) {
	in := a.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, usageError{fmt.Errorf("the list cannot be read: %w", err)}
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	urls, err := proxypool.ReadURLs(in)
	switch {
	case len(urls) == 0 && err != nil:
		return nil, fmt.Errorf("no proxy can be read from the list: %s", withoutPackage(err))
	case len(urls) == 0:
		return nil, errors.New("there are no proxies in the list")
	case err != nil:
		a.note("left out: %s", strings.ReplaceAll(withoutPackage(err), "\n", "\nleft out: "))
	}
	return urls, nil
}

// withoutPackage returns the lines of an error without the name of the package.
func withoutPackage(err error) string {
	return strings.ReplaceAll(err.Error(), "proxypool: ", "")
}

// checkAll tries every proxy, and returns the results in the order of the list.
func (a *app) checkAll(ctx context.Context, o *checking, urls []*url.URL) ([]proxypool.CheckResult, error) {
	bar := a.newProgress()
	defer bar.end()
	bar.show(0, len(urls))
	results := make([]proxypool.CheckResult, 0, len(urls))
	opts := []proxypool.CheckOption{proxypool.CheckConcurrency(o.concurrency), proxypool.CheckTimeout(o.timeout)}
	for r, err := range proxypool.Check(ctx, urls, o.target, opts...) {
		if err != nil {
			return nil, err
		}
		results = append(results, r)
		bar.show(r.Done, r.Total)
	}
	slices.SortFunc(results, func(a, b proxypool.CheckResult) int { return cmp.Compare(a.Index, b.Index) })
	return results, nil
}

func (a *app) showChecks(results []proxypool.CheckResult) error {
	s := a.newStream("PROXY", "STATUS", "TIME", "EXIT ADDRESS", "PROBLEM")
	working := 0
	for _, r := range results {
		took, exit := "", ""
		if r.ExitIP.IsValid() {
			exit = r.ExitIP.String()
		}
		if r.OK() {
			took = r.Latency.Round(time.Millisecond).String()
		}
		if r.OK() && r.Status < http.StatusBadRequest {
			working++
		}
		if s.add(r, r.Proxy, number(r.Status), took, exit, problem(r)) != nil {
			break // end returns it
		}
	}
	if err := s.end(nil); err != nil {
		return err
	}
	if working == 0 {
		return fmt.Errorf("none of %d proxies works", len(results))
	}
	a.note("working proxies: %d of %d", working, len(results))
	return nil
}

// problem returns why a proxy failed, without its name, which another column has.
func problem(r proxypool.CheckResult) string {
	var full *proxypool.Error
	switch {
	case r.Err == nil:
		return ""
	case errors.As(r.Err, &full):
		return strings.TrimPrefix(full.Err.Error(), "proxyconnect tcp: ")
	}
	return r.Err.Error()
}
