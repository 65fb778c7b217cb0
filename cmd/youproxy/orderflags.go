package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/youproxy-go/youproxy"
)

// orderFlags are the flags of an order.
type orderFlags struct {
	proxyType, country, goal, promo string
	protocol, operator, rotation    string
	authIP                          string
	quantity, days                  int
}

// add adds the flags to a command. Types and countries are completed with those on sale.
func (o *orderFlags) add(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.proxyType, "type", string(youproxy.ProxyTypeIPv4), "proxy `type`: IPv4, IPv6, MOBILE or ISP")
	flags.StringVar(&o.country, "country", "", "country, an ISO 3166-1 alpha-3 `code` such as USA")
	flags.IntVar(&o.quantity, "quantity", 1, "`number` of proxies")
	flags.IntVar(&o.days, "days", 30, "rent period in `days`")
	flags.StringVar(&o.goal, "goal", "", "`purpose` of the proxies, such as 'price monitoring'; the service refuses some")
	flags.StringVar(&o.protocol, "protocol", "", "`protocol` of IPv6 proxies: HTTP or SOCKS (default HTTP)")
	flags.StringVar(&o.operator, "operator", "", "`tag` of the mobile operator, for MOBILE")
	flags.StringVar(&o.rotation, "rotation", "", "`seconds` between changes of address, for MOBILE; or link, to change it only by opening the proxy's link")
	flags.StringVar(&o.authIP, "auth-ip", "", "`address` that may use the proxies, instead of a login and a password")
	flags.StringVar(&o.promo, "promo", "", "promo `code`; one that is not valid stops the purchase")
	_ = cmd.RegisterFlagCompletionFunc("type", a.completeTypes)
	_ = cmd.RegisterFlagCompletionFunc("country", a.completeCountries(&o.proxyType))
	for flag, values := range map[string][]string{"protocol": {"HTTP", "SOCKS"}, "rotation": {"link"}} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// request returns the order that the flags describe.
func (o *orderFlags) request() (youproxy.OrderRequest, error) {
	proxyType, err := parseType(o.proxyType)
	if err != nil {
		return nil, err
	}
	mobile := proxyType == youproxy.ProxyTypeMobile
	switch {
	case (o.operator != "" || o.rotation != "") && !mobile:
		return nil, usageError{errors.New("--operator and --rotation can be used with --type MOBILE only")}
	case o.protocol != "" && proxyType != youproxy.ProxyTypeIPv6:
		return nil, usageError{errors.New("--protocol can be used with --type IPv6 only")}
	}
	auth, authIP := youproxy.AuthTypeLogin, netip.Addr{}
	if o.authIP != "" {
		auth = youproxy.AuthTypeIP
		if authIP, err = netip.ParseAddr(o.authIP); err != nil {
			return nil, usageError{fmt.Errorf("--auth-ip must be an IP address, not %q", o.authIP)}
		}
	}
	seconds, byLink, err := o.rotationTime()
	if err != nil {
		return nil, err
	}
	country := strings.ToUpper(o.country)
	var request youproxy.OrderRequest
	switch proxyType {
	case youproxy.ProxyTypeIPv6:
		protocol := youproxy.ProtocolHTTP
		if o.protocol != "" {
			protocol = youproxy.Protocol(strings.ToUpper(o.protocol))
		}
		request = youproxy.IPv6OrderRequest{
			Country: country, Quantity: o.quantity, RentPeriodDays: o.days, Goal: o.goal,
			AuthType: auth, AuthIP: authIP, PromoCode: o.promo, Protocol: protocol,
		}
	case youproxy.ProxyTypeMobile:
		request = youproxy.MobileOrderRequest{
			Country: country, Quantity: o.quantity, RentPeriodDays: o.days, Goal: o.goal,
			AuthType: auth, AuthIP: authIP, PromoCode: o.promo,
			MobileOperator: o.operator, RotationTime: seconds, RotateByLink: byLink,
		}
	case youproxy.ProxyTypeISP:
		request = youproxy.ISPOrderRequest{
			Country: country, Quantity: o.quantity, RentPeriodDays: o.days, Goal: o.goal,
			AuthType: auth, AuthIP: authIP, PromoCode: o.promo,
		}
	default:
		request = youproxy.IPv4OrderRequest{
			Country: country, Quantity: o.quantity, RentPeriodDays: o.days, Goal: o.goal,
			AuthType: auth, AuthIP: authIP, PromoCode: o.promo,
		}
	}
	return request, byFlag(request.Validate())
}

// rotationTime returns the value of --rotation.
func (o *orderFlags) rotationTime() (seconds int, byLink bool, err error) {
	switch o.rotation {
	case "":
		return 0, false, nil
	case "link":
		return 0, true, nil
	}
	seconds, err = strconv.Atoi(o.rotation)
	if err != nil || seconds < 1 {
		return 0, false, usageError{fmt.Errorf("--rotation must be a number of seconds or link, not %q", o.rotation)}
	}
	return seconds, false, nil
}

// String returns what is ordered, such as "2 x IPv4, USA, 30 days".
func (o *orderFlags) String() string {
	proxyType, _ := parseType(o.proxyType)
	return fmt.Sprintf("%d x %s, %s, %d days", o.quantity, proxyType, strings.ToUpper(o.country), o.days)
}

// parseType returns a proxy type, in whatever letter case it is written.
func parseType(name string) (youproxy.ProxyType, error) {
	var t typeValue
	if t.Set(name) != nil {
		return "", usageError{fmt.Errorf("--type must be IPv4, IPv6, MOBILE or ISP, not %q", name)}
	}
	return youproxy.ProxyType(t), nil
}

// flagNames are the names of the fields of requests on the command line.
var flagNames = map[string]string{
	"quantity": "--quantity", "rentPeriodDays": "--days", "country": "--country", "goal": "--goal", "promoCode": "--promo",
	"protocol": "--protocol", "mobileOperator": "--operator", "rotationTime": "--rotation", "authIp": "--auth-ip",
	"proxyType": "--type", "ipAddressIds": "the list of ids", "orderIds": "--order",
	"endsWithin": "--within", "proxyTypes": "--type", "limit": "--max-price", "key": "--idempotency-key",
}

// byFlag returns, for an invalid request, an error that names the wrong flags.
func byFlag(err error) error {
	var invalid *youproxy.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	wrong := make([]string, len(invalid.Fields))
	for i, f := range invalid.Fields {
		name := f.Field
		if flagNames[name] != "" {
			name = flagNames[name]
		}
		wrong[i] = name + " " + f.Message
	}
	return usageError{errors.New(strings.Join(wrong, "; "))}
}
