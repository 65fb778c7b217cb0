// Fetch fetches a page through every proxy of an account, and then sends requests
// through all of them in turn.
//
//	go run ./examples/fetch
//
// does it with a fake Youproxy in its own process, proxies on this machine and a
// page that tells the caller's address: no account is needed and no money is
// spent. Two of those proxies are meant to fail.
//
// With an API key in YOUPROXY_API_KEY it takes the proxies of the real account. It
// buys nothing, but what goes through the proxies is sent to -target:
//
//	go run ./examples/fetch -type ISP -target https://example.com/ -n 100
//
// The exit address is shown where the page tells it, as that of the default target
// does. Passwords are never shown. Progress goes to stderr: a bar on a terminal,
// otherwise lines. Without a key and a terminal, times are shown as below the
// -timeout only, so that the output is the same but for the ports.
//
// It exits with 0 if the page came through every proxy (without a key: but for
// those that are meant to fail) and with all requests, 1 if not or if there are no
// proxies, and 2 if the flags are wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/youproxy-go/youproxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // parse said why
	}
	f := &fetcher{options: o, out: printer{stdout}, stderr: stderr, exact: true}
	if os.Getenv("YOUPROXY_API_KEY") != "" {
		f.client, err = youproxy.NewFromEnv()
	} else {
		f.out.line("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program, with proxies on this machine.")
		f.exact = isTerminal(stdout)
		var d *demo
		if d, err = newDemo(ctx); err == nil {
			defer d.close()
			d.use(f)
		}
	}
	if err == nil {
		defer f.client.CloseIdleConnections()
		err = f.fetch(ctx)
	}
	if err != nil {
		printer{stderr}.line("fetch: %v", err)
		return 1
	}
	return 0
}

// fetcher is a run of this program.
type fetcher struct {
	*options

	client  *youproxy.Client
	failing map[youproxy.IPAddressID]bool // the proxies that are meant to fail
	exact   bool                          // show exact times

	out    printer
	stderr io.Writer
}

// fetch tries every proxy, and then uses all of them.
func (f *fetcher) fetch(ctx context.Context) error {
	list, err := f.client.ListProxies(ctx, youproxy.ProxyQuery{ProxyType: f.proxyType})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return errors.New("there are no proxies")
	}
	var urls []*url.URL
	var ids []youproxy.IPAddressID // of their proxies
	var unusable []error
	for _, p := range list {
		u, err := p.URL(f.scheme)
		if err != nil {
			unusable = append(unusable, err)
			continue
		}
		urls, ids = append(urls, u), append(ids, p.ID)
	}
	results, err := f.check(ctx, urls)
	if err != nil {
		return err
	}
	f.report(results, unusable)
	good, failed := 0, len(unusable)
	for _, r := range results {
		switch {
		case brought(r):
			good++
		case !f.failing[ids[r.Index]]:
			failed++
		}
	}
	if good == 0 {
		return fmt.Errorf("none of %d proxies brought the page", len(list))
	}
	if err := f.use(ctx, urls); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d proxies did not bring the page", failed, len(list))
	}
	return nil
}

// defaultTarget tells the caller's address, and nothing else.
const defaultTarget = "https://api.ipify.org/"

// options is what the flags say.
type options struct {
	target      string             // empty for the default
	proxyType   youproxy.ProxyType // empty for all
	scheme      youproxy.Scheme
	requests    int
	timeout     time.Duration
	concurrency int
}

// parse reads the flags. What is wrong with them it tells on stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("fetch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("target", "`URL` of the page (default "+defaultTarget+", without a key a page on this machine)", o.setTarget)
	flags.Func("type", "only this proxy `type`: IPv4, IPv6, MOBILE or ISP", o.setType)
	flags.Func("scheme", "what to speak with the proxies: `any`, http or socks5 (default any)", o.setScheme)
	flags.IntVar(&o.requests, "n", 20, "`number` of requests through all proxies in turn; 0 is none")
	flags.DurationVar(&o.timeout, "timeout", 15*time.Second, "how long a proxy may take for a request")
	flags.IntVar(&o.concurrency, "concurrency", 8, "`number` of requests at once")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var err error
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("%q is not a flag: see -help", flags.Arg(0))
	case o.requests < 0:
		err = errors.New("-n must not be negative")
	case o.timeout <= 0:
		err = errors.New("-timeout must be more than 0")
	case o.concurrency < 1:
		err = errors.New("-concurrency must be 1 or more")
	}
	if err != nil {
		printer{stderr}.line("fetch: %v", err)
		return nil, err
	}
	return o, nil
}

func (o *options) setTarget(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("must be a URL of http or https with a host")
	}
	o.target = s
	return nil
}

func (o *options) setType(s string) error {
	for _, t := range []youproxy.ProxyType{
		youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP,
	} {
		if strings.EqualFold(s, string(t)) {
			o.proxyType = t
			return nil
		}
	}
	return errors.New("must be IPv4, IPv6, MOBILE or ISP")
}

func (o *options) setScheme(s string) error {
	for name, scheme := range map[string]youproxy.Scheme{
		"any": youproxy.SchemeAny, "http": youproxy.SchemeHTTP, "socks5": youproxy.SchemeSOCKS5,
	} {
		if strings.EqualFold(s, name) {
			o.scheme = scheme
			return nil
		}
	}
	return errors.New("must be any, http or socks5")
}

// printer writes lines for a person.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }
