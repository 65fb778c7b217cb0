// Order quotes and orders proxies.
//
//	go run ./examples/order
//
// shows the main job of the package against a fake Youproxy in its own process:
// no account is needed and no money is spent.
//
// With an API key in YOUPROXY_API_KEY it asks the real service what one order
// would cost, and places it only if -buy and -max-price are both given:
//
//	go run ./examples/order -type ISP -country DEU -buy -max-price "3.50 USD"
//
// Without a key the same flags run that one order against the fake.
//
// It exits with 0 if all went well, 1 after an error, and 2 if the flags are
// wrong.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"

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

	live := os.Getenv("YOUPROXY_API_KEY") != ""
	var client *youproxy.Client
	if live {
		client, err = youproxy.NewFromEnv()
	} else {
		out.line("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program, and no money is spent.")
		fake := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("25 USD")))
		defer fake.Close()
		client, err = fake.Client()
	}
	if err != nil {
		return fail(stderr, err, "nothing was ordered")
	}
	defer client.CloseIdleConnections()

	if !live && len(args) == 0 {
		if err := tour(ctx, client, out); err != nil {
			return fail(stderr, err, "the demonstration ends here")
		}
		return 0
	}
	return order(ctx, client, o, out, stderr)
}

// order quotes what the flags describe and, if they ask for it, orders it.
func order(ctx context.Context, client *youproxy.Client, o *options, out printer, stderr io.Writer) int {
	request := o.request()
	quote, err := client.QuoteOrder(ctx, request)
	if err != nil {
		return fail(stderr, err, "nothing was ordered")
	}
	out.line("")
	out.line("Request     %s", o)
	out.line("Price       %s", quote.Price)
	if quote.PromoCodeStatus != "" {
		out.line("Promo code  %s, discount %s %%", quote.PromoCodeStatus, quote.Discount)
	}
	out.line("Balance     %s", quote.Balance)
	for _, w := range quote.Warnings {
		out.line("Warning     %q (code %d): the service would not execute the order", w.Message, int(w.Code))
	}
	if !o.buy {
		out.line("This is only a quote: with -buy and -max-price it would be ordered.")
		return 0
	}
	if err := o.check(quote); err != nil {
		return fail(stderr, err, "nothing was ordered")
	}

	placed, err := client.CreateOrder(ctx, request) // sends nothing if Ctrl-C came before
	if err != nil {
		return fail(stderr, err, afterOrder(err))
	}
	out.line("Ordered     %s, which leaves %s", placed.Number, placed.Balance)
	return 0
}

// check stops an order that is not what the caller meant to pay for.
func (o *options) check(quote *youproxy.Quote) error {
	if len(quote.Warnings) > 0 {
		return fmt.Errorf("the service would not execute this order: %q", quote.Warnings[0].Message)
	}
	if o.promo != "" && quote.PromoCodeStatus != youproxy.PromoCodeValid {
		return errors.New("the promo code is not valid, so the full price would be charged")
	}
	compared, err := quote.Price.Cmp(o.maxPrice)
	if err != nil {
		return err // the currencies differ
	}
	if compared > 0 {
		return fmt.Errorf("the price of %s is above the limit of %s", quote.Price, o.maxPrice)
	}
	return nil
}

// afterOrder says what became of the money of an order that failed.
func afterOrder(err error) string {
	switch youproxy.OutcomeOf(err) {
	case youproxy.OutcomeNotSent:
		return "nothing was ordered; it is safe to try again"
	case youproxy.OutcomeRejected:
		return "nothing was ordered: the service refused"
	default:
		return "the order may have been placed: look at the account before you try again"
	}
}

func fail(stderr io.Writer, err error, consequence string) int {
	printer{stderr}.line("order: %v\norder: %s", err, consequence)
	return 1
}

// options is what the flags say.
type options struct {
	proxyType youproxy.ProxyType
	country   string
	quantity  int
	days      int
	goal      string
	promo     string
	operator  string
	rotation  int
	protocol  string
	authIP    netip.Addr
	buy       bool
	maxPrice  youproxy.Money
}

// parse reads the flags. What is wrong with them it tells on stderr.
func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{proxyType: youproxy.ProxyTypeIPv4}
	flags := flag.NewFlagSet("order", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("type", "proxy `type`: IPv4, IPv6, MOBILE or ISP (default IPv4)", o.setType)
	flags.StringVar(&o.country, "country", "USA", "ISO 3166-1 alpha-3 `code`")
	flags.IntVar(&o.quantity, "quantity", 1, "number of proxies")
	flags.IntVar(&o.days, "days", 30, "rent period in days")
	flags.StringVar(&o.goal, "goal", "price monitoring", "what the proxies are for")
	flags.StringVar(&o.promo, "promo", "", "promo `code`")
	flags.StringVar(&o.operator, "operator", "verizon", "mobile operator's `tag`, for MOBILE")
	flags.IntVar(&o.rotation, "rotation", 300, "`seconds` between changes of address, for MOBILE")
	flags.StringVar(&o.protocol, "protocol", "HTTP", "HTTP or SOCKS, for IPv6")
	flags.Func("auth-ip", "`address` to authorise, instead of login and password", o.setAuthIP)
	flags.BoolVar(&o.buy, "buy", false, "place the order; needs -max-price")
	flags.Func("max-price", "the most that may be paid, such as \"1.50 USD\"", o.setMaxPrice)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := o.conflict(given, flags.Args()); err != nil {
		printer{stderr}.line("order: %v", err)
		return nil, err
	}
	return o, nil
}

// conflict tells what is wrong with flags that are each well written.
func (o *options) conflict(given map[string]bool, rest []string) error {
	mobile := o.proxyType == youproxy.ProxyTypeMobile
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is not a flag: see -help", rest[0])
	case o.buy && !given["max-price"]:
		return errors.New("-buy needs -max-price, the most that may be paid")
	case given["promo"] && strings.TrimSpace(o.promo) == "":
		return errors.New("-promo is blank: leave it out to pay the full price")
	case given["operator"] && !mobile, given["rotation"] && !mobile:
		return errors.New("-operator and -rotation go with -type MOBILE only")
	case given["protocol"] && o.proxyType != youproxy.ProxyTypeIPv6:
		return errors.New("-protocol goes with -type IPv6 only")
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

func (o *options) setAuthIP(s string) (err error) {
	o.authIP, err = netip.ParseAddr(s)
	return err
}

func (o *options) setMaxPrice(s string) (err error) {
	o.maxPrice, err = youproxy.ParseMoney(s)
	return err
}

// String sums up the request.
func (o *options) String() string {
	return fmt.Sprintf("%d x %s, %s, %d days", o.quantity, o.proxyType, o.country, o.days)
}

// request is the typed request the flags describe.
func (o *options) request() youproxy.OrderRequest {
	auth := youproxy.AuthTypeLogin
	if o.authIP.IsValid() {
		auth = youproxy.AuthTypeIP
	}
	switch o.proxyType {
	case youproxy.ProxyTypeIPv6:
		return youproxy.IPv6OrderRequest{
			Country: o.country, Quantity: o.quantity, RentPeriodDays: o.days, Goal: o.goal,
			AuthType: auth, AuthIP: o.authIP, PromoCode: o.promo,
			Protocol: youproxy.Protocol(strings.ToUpper(o.protocol)),
		}
	case youproxy.ProxyTypeMobile:
		return youproxy.MobileOrderRequest{
			Country: o.country, Quantity: o.quantity, RentPeriodDays: o.days, Goal: o.goal,
			AuthType: auth, AuthIP: o.authIP, PromoCode: o.promo,
			RotationTime: o.rotation, MobileOperator: o.operator,
		}
	case youproxy.ProxyTypeISP:
		return youproxy.ISPOrderRequest{
			Country: o.country, Quantity: o.quantity, RentPeriodDays: o.days, Goal: o.goal,
			AuthType: auth, AuthIP: o.authIP, PromoCode: o.promo,
		}
	default:
		return youproxy.IPv4OrderRequest{
			Country: o.country, Quantity: o.quantity, RentPeriodDays: o.days, Goal: o.goal,
			AuthType: auth, AuthIP: o.authIP, PromoCode: o.promo,
		}
	}
}

// printer writes lines for a person.
type printer struct{ w io.Writer }

func (p printer) line(format string, args ...any) { _, _ = fmt.Fprintf(p.w, format+"\n", args...) }
