// Account shows what an account holds, what it can buy, and its promo codes.
//
//	go run ./examples/account
//
// asks a fake Youproxy in its own process: no account is needed. With an API key
// in YOUPROXY_API_KEY it asks the real service. It spends nothing.
//
// Every price takes a call, and there may be many countries. So what is asked for
// is one proxy for the shortest period in each country. -country asks for every
// period in one country, and -days for one period:
//
//	go run ./examples/account -country USA
//	go run ./examples/account -type ISP -days 90
//
// It exits with 0 if all went well, 1 after an error or if a part is missing, and
// 2 if the flags are wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := printer{stdout}
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // parse said why
	}

	var client *youproxy.Client
	now := time.Now
	if os.Getenv("YOUPROXY_API_KEY") != "" {
		client, err = youproxy.NewFromEnv()
	} else {
		out.line("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program.")
		now = func() time.Time { return fakeToday }
		fake := newFake(now)
		defer fake.Close()
		client, err = fake.Client()
	}
	if err != nil {
		return fail(stderr, err)
	}
	defer client.CloseIdleConnections()

	r := &report{options: o, client: client, now: now(), out: out, problems: printer{stderr}}
	if err := r.show(ctx); err != nil {
		return fail(stderr, err)
	}
	if r.incomplete {
		return 1
	}
	return 0
}

// fakeToday is the time of the fake, so that it always shows the same.
var fakeToday = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func newFake(now func() time.Time) *youproxytest.Server {
	return youproxytest.NewServer(
		youproxytest.WithClock(now),
		youproxytest.WithBalance(youproxy.MustMoney("15 USD")),
		youproxytest.WithPromoCodes(
			youproxytest.PromoCode{Code: "SPRING", Percent: 10, Start: fakeToday.AddDate(0, -1, 0), End: fakeToday.AddDate(0, 1, 0)},
			youproxytest.PromoCode{Code: "SUMMER", Percent: 15, Start: fakeToday.AddDate(0, 3, 0), End: fakeToday.AddDate(0, 6, 0)},
			youproxytest.PromoCode{Code: "WINTER", Percent: 20, End: fakeToday.AddDate(0, -1, 0)},
			youproxytest.PromoCode{Code: "LOYAL", Percent: 5},
		),
	)
}

func fail(stderr io.Writer, err error) int {
	printer{stderr}.line("account: %v", err)
	return 1
}

// options is what the flags say.
type options struct {
	proxyType youproxy.ProxyType // empty for all
	country   string             // empty for all
	days      int                // 0: the shortest period or, of one country, all
	goal      string
}

// parse reads the flags. What is wrong with them it tells on stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("account", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("type", "only this proxy `type`: IPv4, IPv6, MOBILE or ISP", o.setType)
	flags.Func("country", "only this country, an ISO 3166-1 alpha-3 `code`, for every period", o.setCountry)
	flags.IntVar(&o.days, "days", 0, "only this rent period, in days")
	flags.StringVar(&o.goal, "goal", "price monitoring", "what the proxies are for")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	var err error
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case flags.NArg() > 0:
		err = fmt.Errorf("%q is not a flag: see -help", flags.Arg(0))
	case given["days"] && o.days < 1:
		err = errors.New("-days must be 1 or more")
	case strings.TrimSpace(o.goal) == "":
		err = errors.New("-goal is blank: the service wants to know what the proxies are for")
	}
	if err != nil {
		printer{stderr}.line("account: %v", err)
		return nil, err
	}
	return o, nil
}

func (o *options) setType(s string) error {
	for _, t := range documentedTypes {
		if strings.EqualFold(s, string(t)) {
			o.proxyType = t
			return nil
		}
	}
	return errors.New("must be IPv4, IPv6, MOBILE or ISP")
}

func (o *options) setCountry(s string) error {
	o.country = strings.ToUpper(s)
	if len(s) != 3 || strings.Trim(o.country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return errors.New("must be three letters, such as USA")
	}
	return nil
}

// printer writes lines for a person.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }
