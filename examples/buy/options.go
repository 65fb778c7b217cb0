package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/youproxy-go/youproxy"
)

// The faults of -fault.
const (
	dropAfterCommit  = "drop-after-commit"
	dropBeforeCommit = "drop-before-commit"
	crashAfterSend   = "crash-after-send"
)

var faults = []string{dropAfterCommit, dropBeforeCommit, crashAfterSend}

// shortPatience is for a fault that is to be waited out.
const shortPatience = 3 * time.Second

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

	maxPrice youproxy.Money
	yes      bool
	wait     time.Duration
	patience time.Duration
	journal  string
	fault    string
}

// parse reads the flags. What is wrong with them it tells on stderr.
func parse(args []string, from service, stderr io.Writer) (*options, error) {
	o := &options{proxyType: youproxy.ProxyTypeIPv4, maxPrice: youproxy.MustMoney("10 USD")}
	flags := flag.NewFlagSet("buy", flag.ContinueOnError)
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
	flags.Func("max-price", "the most that may be paid, such as \"10 USD\"; needed with an API key (default 10 USD)", o.setMaxPrice)
	flags.BoolVar(&o.yes, "yes", false, "buy without asking; without an API key nothing is asked anyway")
	flags.DurationVar(&o.wait, "wait", 10*time.Minute, "how long to wait for the proxies")
	flags.DurationVar(&o.patience, "patience", 2*time.Minute, "how long after an order without an answer it may still be executed;\nwith -fault "+dropBeforeCommit+" "+shortPatience.String())
	flags.StringVar(&o.journal, "journal", "", "`file` that remembers orders whose outcome is not known yet")
	flags.Func("fault", "what is to go wrong: "+strings.Join(faults, ", "), o.setFault)
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := o.conflict(given, flags.Args(), from); err != nil {
		printer{stderr}.line("buy: %v", err)
		return nil, err
	}
	if o.fault == dropBeforeCommit && !given["patience"] {
		o.patience = shortPatience
	}
	return o, nil
}

// conflict tells what is wrong with flags that are each well written.
func (o *options) conflict(given map[string]bool, rest []string, from service) error {
	mobile := o.proxyType == youproxy.ProxyTypeMobile
	switch {
	case len(rest) > 0:
		return fmt.Errorf("%q is not a flag: see -help", rest[0])
	case from.key != "" && !given["max-price"]:
		return errors.New("-max-price is missing, the most that may be paid")
	case given["promo"] && strings.TrimSpace(o.promo) == "":
		return errors.New("-promo is blank: leave it out to pay the full price")
	case given["operator"] && !mobile, given["rotation"] && !mobile:
		return errors.New("-operator and -rotation go with -type MOBILE only")
	case given["protocol"] && o.proxyType != youproxy.ProxyTypeIPv6:
		return errors.New("-protocol goes with -type IPv6 only")
	case o.wait <= 0:
		return errors.New("-wait must be positive")
	case o.patience < 0:
		return errors.New("-patience must not be negative")
	case given["journal"] && o.journal == "":
		return errors.New("-journal is empty: give a file")
	case o.fault == crashAfterSend && !from.local():
		return fmt.Errorf("-fault %s goes with a fake on this machine only", o.fault)
	case o.fault != "" && o.fault != crashAfterSend && !from.builtIn():
		return fmt.Errorf("-fault %s goes with the built-in fake only", o.fault)
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

func (o *options) setFault(s string) error {
	if !slices.Contains(faults, s) {
		return errors.New("must be one of " + strings.Join(faults, ", "))
	}
	o.fault = s
	return nil
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
