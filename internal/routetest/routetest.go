// Package routetest is the table of what each call of the client sends where. The
// tests of the SDK hold the calls against it, and those of the API's description
// hold it against that.
package routetest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/youproxy-go/youproxy"
)

// OrderID is the order of IPv6 proxies that requests name.
const OrderID youproxy.OrderID = "2222222222222222222"

// Route is a call, and what it sends where.
type Route struct {
	Method string // of the client
	About  string // what tells it apart from others of the method
	Call   func(context.Context, *youproxy.Client) error
	Op     string // such as "POST /order"
	Query  string // as it is sent
	Body   string // as it is sent
	Effect string // "read", "write" or "spend"
	Stream bool   // its reply is handed out while it arrives
}

// Name tells the route apart from all others.
func (r Route) Name() string { return strings.TrimSuffix(r.Method+" "+r.About, " ") }

// Path is what the route asks for with a key: the path below the base URL, and
// the query.
func (r Route) Path(key string) string {
	_, path, _ := strings.Cut(r.Op, " ")
	path = "/client/api/v1/" + key + path
	if r.Query != "" {
		path += "?" + r.Query
	}
	return path
}

// The requests, and their bodies up to what differs.
var (
	address = netip.MustParseAddr("203.0.113.7")
	ipv4    = youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring",
		AuthType: youproxy.AuthTypeIP, AuthIP: address, PromoCode: "CLIENT-PROMO",
	}
	ipv6 = youproxy.IPv6OrderRequest{
		Country: "DEU", Quantity: 10, RentPeriodDays: 90, Goal: "search results",
		AuthType: youproxy.AuthTypeIP, AuthIP: address, Protocol: youproxy.ProtocolSOCKS, PromoCode: "CLIENT-PROMO",
	}
	mobile = youproxy.MobileOrderRequest{
		Country: "USA", Quantity: 2, RentPeriodDays: 30, Goal: "app tests",
		AuthType: youproxy.AuthTypeIP, AuthIP: address, MobileOperator: "verizon", RotationTime: 300, PromoCode: "OLD-PROMO",
	}
	isp = youproxy.ISPOrderRequest{
		Country: "GBR", Quantity: 3, RentPeriodDays: 30, Goal: "ad checks",
		AuthType: youproxy.AuthTypeIP, AuthIP: address, PromoCode: "CLIENT-PROMO",
	}
)

const (
	ipv4Terms   = `{"proxyType":"IPv4","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","promoCode":"CLIENT-PROMO"`
	ipv6Terms   = `{"proxyType":"IPv6","quantity":10,"rentPeriodDays":90,"country":"DEU","goal":"search results","promoCode":"CLIENT-PROMO"`
	mobileTerms = `{"proxyType":"MOBILE","quantity":2,"rentPeriodDays":30,"country":"USA","goal":"app tests","promoCode":"OLD-PROMO","rotationTime":300,"mobileOperator":"verizon"`
	ispTerms    = `{"proxyType":"ISP","quantity":3,"rentPeriodDays":30,"country":"GBR","goal":"ad checks","promoCode":"CLIENT-PROMO"`
	auth        = `,"authType":"IP","authIp":"203.0.113.7"`
	ips         = `{"proxyType":"IPv4","ipAddressIds":["1111111111111111111","1112223334283d122"],"rentPeriodDays":30`
	orders      = `{"proxyType":"IPv6","orderIds":["2222222222222222222"],"rentPeriodDays":90`
	promo       = `,"promoCode":"CLIENT-PROMO"`
)

// Routes is the table: every method of the client that calls the service, with
// every form of its request. The requests have every field that does not
// contradict another. Those of the method Call are of no endpoint there is.
func Routes() []Route {
	ipIDs, orderIDs := []youproxy.IPAddressID{"1111111111111111111", "1112223334283d122"}, []youproxy.OrderID{OrderID}
	extendIPs := youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: ipIDs, RentPeriodDays: 30}
	extendIPsWithPromo := extendIPs
	extendIPsWithPromo.PromoCode = "CLIENT-PROMO"
	extendOrders := youproxy.ExtendOrdersRequest{ProxyType: youproxy.ProxyTypeIPv6, OrderIDs: orderIDs, RentPeriodDays: 90}
	extendOrdersWithPromo := extendOrders
	extendOrdersWithPromo.PromoCode = "CLIENT-PROMO"
	ipsOff := youproxy.AutoExtendIPsRequest{ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: ipIDs, RentPeriodDays: 30}
	ipsOn := ipsOff
	ipsOn.AutoExtend = true
	ordersOff := youproxy.AutoExtendOrdersRequest{ProxyType: youproxy.ProxyTypeIPv6, OrderIDs: orderIDs, RentPeriodDays: 90}
	ordersOn := ordersOff
	ordersOn.AutoExtend = true
	all, ofOneType := youproxy.ProxyQuery{}, youproxy.ProxyQuery{ProxyType: youproxy.ProxyTypeMobile}

	return []Route{
		{Method: "Balance", Op: "GET /balance", Effect: "read", Call: func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.Balance(ctx)
			return err
		}},
		{Method: "ProxyTypes", Op: "GET /proxyType", Effect: "read", Call: func(ctx context.Context, c *youproxy.Client) error {
			list, err := c.ProxyTypes(ctx)
			return withoutList(list, err)
		}},
		{Method: "Countries", Op: "GET /country", Query: "proxyType=IPv4", Effect: "read", Call: func(ctx context.Context, c *youproxy.Client) error {
			list, err := c.Countries(ctx, youproxy.ProxyTypeIPv4)
			return withoutList(list, err)
		}},
		{Method: "RentPeriods", Op: "GET /rentPeriod", Query: "proxyType=IPv6", Effect: "read", Call: func(ctx context.Context, c *youproxy.Client) error {
			list, err := c.RentPeriods(ctx, youproxy.ProxyTypeIPv6)
			return withoutList(list, err)
		}},
		{Method: "MobileOperators", Op: "GET /mobileOperator", Effect: "read", Call: func(ctx context.Context, c *youproxy.Client) error {
			list, err := c.MobileOperators(ctx)
			return withoutList(list, err)
		}},
		{Method: "PromoCodes", Op: "GET /promoCode", Effect: "read", Call: func(ctx context.Context, c *youproxy.Client) error {
			list, err := c.PromoCodes(ctx)
			return withoutList(list, err)
		}},

		quoteRoute("IPv4", ipv4, ipv4Terms),
		quoteRoute("IPv6", ipv6, ipv6Terms),
		quoteRoute("mobile", mobile, mobileTerms),
		quoteRoute("ISP", isp, ispTerms),
		orderRoute("IPv4", ipv4, ipv4Terms+auth),
		orderRoute("IPv6", ipv6, ipv6Terms+auth+`,"protocol":"SOCKS"`),
		orderRoute("mobile", mobile, mobileTerms+auth),
		orderRoute("ISP", isp, ispTerms+auth),

		extendQuoteRoute("of IPs", extendIPs, "POST /calculate/extend", ips),
		extendQuoteRoute("of orders", extendOrdersWithPromo, "POST /calculate/extend/order", orders+promo),
		extendRoute("IPs", extendIPsWithPromo, "POST /extend", ips+promo),
		extendRoute("orders", extendOrders, "POST /extend/order", orders),
		autoExtendRoute("on, IPs", ipsOn, "POST /extend/auto", ips+`,"autoExtend":true`),
		autoExtendRoute("off, IPs", ipsOff, "POST /extend/auto", ips+`,"autoExtend":false`),
		autoExtendRoute("on, orders", ordersOn, "POST /extend/order/auto", orders+`,"autoExtend":true`),
		autoExtendRoute("off, orders", ordersOff, "POST /extend/order/auto", orders+`,"autoExtend":false`),

		proxiesRoute("all", all, ""),
		proxiesRoute("of a type", ofOneType, "proxyType=MOBILE"),
		listRoute("all", all, ""),
		listRoute("of a type", ofOneType, "proxyType=MOBILE"),

		{Method: "Call", About: "GET", Op: "GET /some/page", Query: "page=2&proxyType=IPv4", Effect: "read", Call: func(ctx context.Context, c *youproxy.Client) error {
			return c.Call(ctx, http.MethodGet, "/some/page", url.Values{"proxyType": {"IPv4"}, "page": {"2"}}, nil, nil)
		}},
		{Method: "Call", About: "POST", Op: "POST /some/page", Body: `{"n":0}`, Effect: "spend", Call: func(ctx context.Context, c *youproxy.Client) error {
			return c.Call(ctx, http.MethodPost, "/some/page", nil, map[string]int{"n": 0}, new(any))
		}},
	}
}

func quoteRoute(about string, req youproxy.OrderRequest, terms string) Route {
	return Route{Method: "QuoteOrder", About: about, Op: "POST /calculate/order", Body: terms + "}", Effect: "read",
		Call: func(ctx context.Context, c *youproxy.Client) error {
			quote, err := c.QuoteOrder(ctx, req)
			return withoutResult(quote, err)
		}}
}

func orderRoute(about string, req youproxy.OrderRequest, terms string) Route {
	return Route{Method: "CreateOrder", About: about, Op: "POST /order", Body: terms + "}", Effect: "spend",
		Call: func(ctx context.Context, c *youproxy.Client) error {
			order, err := c.CreateOrder(ctx, req)
			return withoutResult(order, err)
		}}
}

func extendQuoteRoute(about string, req youproxy.ExtendRequest, op, terms string) Route {
	return Route{Method: "QuoteExtension", About: about, Op: op, Body: terms + "}", Effect: "read",
		Call: func(ctx context.Context, c *youproxy.Client) error {
			quote, err := c.QuoteExtension(ctx, req)
			return withoutResult(quote, err)
		}}
}

func extendRoute(about string, req youproxy.ExtendRequest, op, terms string) Route {
	return Route{Method: "Extend", About: about, Op: op, Body: terms + "}", Effect: "spend",
		Call: func(ctx context.Context, c *youproxy.Client) error {
			done, err := c.Extend(ctx, req)
			return withoutResult(done, err)
		}}
}

func autoExtendRoute(about string, req youproxy.AutoExtendRequest, op, terms string) Route {
	return Route{Method: "SetAutoExtend", About: about, Op: op, Body: terms + "}", Effect: "write",
		Call: func(ctx context.Context, c *youproxy.Client) error {
			done, err := c.SetAutoExtend(ctx, req)
			return withoutResult(done, err)
		}}
}

func proxiesRoute(about string, q youproxy.ProxyQuery, query string) Route {
	return Route{Method: "Proxies", About: about, Op: "GET /ipAddress", Query: query, Effect: "read", Stream: true,
		Call: func(ctx context.Context, c *youproxy.Client) error {
			var last error
			for _, err := range c.Proxies(ctx, q) {
				last = errors.Join(last, err)
			}
			return last
		}}
}

func listRoute(about string, q youproxy.ProxyQuery, query string) Route {
	return Route{Method: "ListProxies", About: about, Op: "GET /ipAddress", Query: query, Effect: "read", Stream: true,
		Call: func(ctx context.Context, c *youproxy.Client) error {
			list, err := c.ListProxies(ctx, q)
			return withoutList(list, err)
		}}
}

// withoutList holds that a list comes with no error, and never is nil.
func withoutList[T any](list []T, err error) error {
	if (list == nil) != (err != nil) {
		return fmt.Errorf("the list %v came with the error %w", list, err)
	}
	return err
}

// withoutResult holds that a result comes with no error, and an error with none.
func withoutResult[T any](result *T, err error) error {
	if (result == nil) != (err != nil) {
		return fmt.Errorf("the result %v came with the error %w", result, err)
	}
	return err
}
