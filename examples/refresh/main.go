// Refresh keeps a pool of proxies like the account's list, while requests run.
//
//	go run ./examples/refresh
//
// shows four days of it in a moment, with a fake Youproxy in its own process,
// proxies on this machine and a page: an order joins, the list fails, another
// order ends. No account is needed and no money is spent.
//
// With an API key in YOUPROXY_API_KEY it takes the list of the real account, every
// -every, until Ctrl-C or the end of -for, and prints which proxies join and leave.
// It spends nothing. Only with -target it sends requests, one every -pause:
//
//	go run ./examples/refresh -every 5m -target https://example.com/ -pause 10s
//
// A refresh that fails keeps the list there was. Proxies that have ended, or that
// cannot be used with the -scheme, are left out, which is told once for each.
// Passwords are never shown.
//
// It exits with 0 when it was stopped, 1 if there was no list to begin with or a
// request was not answered, and 2 if the flags are wrong.
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
	"sync"
	"syscall"
	"time"

	"github.com/youproxy-go/youproxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
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
	if os.Getenv("YOUPROXY_API_KEY") != "" {
		var client *youproxy.Client
		if client, err = youproxy.NewFromEnv(); err == nil {
			defer client.CloseIdleConnections()
			err = live(ctx, o, client, printer{&shared{w: stdout}})
		}
	} else {
		printer{stdout}.line("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program, with proxies on this machine.")
		err = runDemo(ctx, o, printer{stdout})
	}
	if err != nil {
		printer{stderr}.line("refresh: %v", err)
		return 1
	}
	return 0
}

// live keeps a pool like the client's list, until ctx or the time of -for is over.
func live(ctx context.Context, o *options, client *youproxy.Client, out printer) error {
	if o.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.duration)
		defer cancel()
	}
	k, err := newKeeper(o, client, time.Now, out)
	if err != nil {
		return err
	}
	defer k.pool.CloseIdleConnections()
	if err := k.refresh(ctx); err != nil {
		return err
	}
	traffic := newTraffic(k.pool, tries*o.timeout)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if o.target != "" {
			pauses := time.NewTicker(o.pause)
			defer pauses.Stop()
			traffic.keep(ctx, o.target, pauses.C, k.event)
		}
	}()
	refreshes := time.NewTicker(o.every)
	defer refreshes.Stop()
	k.keep(ctx, refreshes.C)
	<-ended
	if o.target == "" {
		return nil
	}
	traffic.report(out, []string{"Answers"})
	return traffic.failed()
}

// options is what the flags say.
type options struct {
	proxyType youproxy.ProxyType // empty for all
	scheme    youproxy.Scheme
	every     time.Duration
	duration  time.Duration // 0 is until it is stopped
	target    string        // empty for no requests
	pause     time.Duration
	timeout   time.Duration
}

// parse reads the flags. What is wrong with them it tells on stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("refresh", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("type", "only this proxy `type`: IPv4, IPv6, MOBILE or ISP", o.setType)
	flags.Func("scheme", "what to speak with the proxies: `any`, http or socks5 (default any)", o.setScheme)
	flags.DurationVar(&o.every, "every", time.Minute, "how often to ask for the list")
	flags.DurationVar(&o.duration, "for", 0, "how long to run, such as 1h; 0 is until Ctrl-C")
	flags.Func("target", "`URL` to ask for through the pool", o.setTarget)
	flags.DurationVar(&o.pause, "pause", time.Second, "time between two requests")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Second, "how long a proxy may take to let a request through")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var err error
	switch demo := os.Getenv("YOUPROXY_API_KEY") == ""; {
	case flags.NArg() > 0:
		err = fmt.Errorf("%q is not a flag: see -help", flags.Arg(0))
	case o.every <= 0 || o.pause <= 0 || o.timeout <= 0:
		err = errors.New("-every, -pause and -timeout must be more than 0")
	case o.duration < 0:
		err = errors.New("-for must not be negative")
	case given["pause"] && o.target == "":
		err = errors.New("-pause goes with -target only")
	case demo && (given["every"] || given["for"] || given["target"]):
		err = errors.New("-every, -for and -target go with an API key in YOUPROXY_API_KEY only")
	}
	if err != nil {
		printer{stderr}.line("refresh: %v", err)
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

// shared is a writer for several goroutines.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// printer writes lines for a person.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }
