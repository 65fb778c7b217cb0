// Extend shows what of an account ends soon and what it costs to extend it, and
// extends it if it is told to.
//
//	go run ./examples/extend
//
// shows it with a fake Youproxy in its own process: no account is needed and no
// money is spent. With an API key in YOUPROXY_API_KEY it asks the real service,
// and extends only if -buy and -max-price, the limit for all of it, are both given:
//
//	go run ./examples/extend -within 3 -days 30 -buy -max-price "25 USD"
//
// The limit is held against the quotes, just before: the service itself takes none.
// Left out is what extends automatically, or may, and what has ended. IPv6 proxies are
// extended with the rest of their order, as the service asks for.
//
// It exits with 0 if all went well, 1 after an error, and 2 if the flags are wrong.
// A proxy whose end the list does not tell in a known form is an error, after the
// others were quoted or extended: it may end soon.
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
		out.line("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program, and no money is spent.")
		now = func() time.Time { return fakeToday }
		fake := newFake(now)
		defer fake.Close()
		if client, err = fake.Client(); err == nil {
			err = autoExtendISP(ctx, client)
		}
	}
	if err != nil {
		return fail(stderr, err)
	}
	defer client.CloseIdleConnections()

	all, err := client.ListProxies(ctx, youproxy.ProxyQuery{ProxyType: o.proxyType})
	if err != nil {
		return fail(stderr, err)
	}
	batches, left := plan(all, o, now())
	out.line("")
	out.line("Proxies to extend, as they end within %d days: %d", o.within, countOf(batches))
	if reasons := left.String(); reasons != "" {
		out.line("Left out: %s", reasons)
	}
	code := 0
	if len(batches) > 0 {
		out.line("")
		code = o.carryOut(ctx, client, batches, out, stderr)
	}
	if n := left[isUnknown]; n > 0 {
		printer{stderr}.line("extend: the end of %d proxies is not known, so they were left out: they may end soon", n)
		return 1
	}
	return code
}

// carryOut quotes the extensions, and buys them if that is asked for.
func (o *options) carryOut(ctx context.Context, client *youproxy.Client, batches []*batch, out printer, stderr io.Writer) int {
	price, err := quote(ctx, client, batches, o, out)
	if err != nil {
		return fail(stderr, err)
	}
	out.line("")
	err = o.check(batches, price)
	switch {
	case !o.buy && err != nil:
		out.line("This is only a quote, and it could not be bought: %v.", err)
	case !o.buy:
		out.line("This is only a quote. To extend:")
		out.line("  %s", o.command(price))
	case err != nil:
		return fail(stderr, err)
	default:
		return extend(ctx, client, batches, o, out, printer{stderr})
	}
	return 0
}

// fail tells of an error before the first extension.
func fail(stderr io.Writer, err error) int {
	printer{stderr}.line("extend: %v\nextend: nothing was extended", err)
	return 1
}

// options is what the flags say.
type options struct {
	proxyType youproxy.ProxyType // empty for all
	within    int                // days
	days      int
	promo     string
	buy       bool
	maxPrice  youproxy.Money
}

// parse reads the flags. What is wrong with them it tells on stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet("extend", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("type", "only this proxy `type`: IPv4, IPv6, MOBILE or ISP", o.setType)
	flags.IntVar(&o.within, "within", 7, "extend what ends within this number of `days`")
	flags.IntVar(&o.days, "days", 30, "by how many `days` to extend it")
	flags.StringVar(&o.promo, "promo", "", "promo `code`")
	flags.BoolVar(&o.buy, "buy", false, "extend it; needs -max-price")
	flags.Func("max-price", "the most that may be paid for all of it, such as \"10 USD\"", o.setMaxPrice)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := o.conflict(given, flags.Args()); err != nil {
		printer{stderr}.line("extend: %v", err)
		return nil, err
	}
	return o, nil
}

// conflict tells what is wrong with flags that are each well written.
func (o *options) conflict(given map[string]bool, rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is not a flag: see -help", rest[0])
	case o.within < 1 || o.days < 1:
		return errors.New("-within and -days must be 1 or more")
	case o.buy && !given["max-price"]:
		return errors.New("-buy needs -max-price, the most that may be paid for all of it")
	case given["promo"] && strings.TrimSpace(o.promo) == "":
		return errors.New("-promo is blank: leave it out to pay the full price")
	}
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

func (o *options) setMaxPrice(s string) (err error) {
	o.maxPrice, err = youproxy.ParseMoney(s)
	return err
}

// command is what to type to buy at a price.
func (o *options) command(price youproxy.Money) string {
	command := "go run ./examples/extend"
	if o.proxyType != "" {
		command += " -type " + string(o.proxyType)
	}
	command += fmt.Sprintf(" -within %d -days %d", o.within, o.days)
	if o.promo != "" {
		command += " -promo " + shellQuoted(o.promo)
	}
	return command + " -buy -max-price " + shellQuoted(price.String())
}

func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// printer writes lines for a person.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }
