package integration

import (
	"context"
	"net/netip"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

type call func(ctx context.Context, c *youproxy.Client) error

// sdkCall is one call of the SDK.
type sdkCall struct {
	name string
	op   string
	call call
	want youproxy.ErrorCode // 0 if it succeeds
}

// sdkCalls returns every call there is, on the proxies that startSeller put into
// the account.
func sdkCalls(fake *youproxytest.Server) []sdkCall {
	calls := accountCalls()
	for _, proxyType := range allProxyTypes {
		calls = append(calls, callsOfType(proxyType)...)
	}
	calls = append(calls, orderCalls()...)
	return append(calls, extensionCalls(fake)...)
}

func accountCalls() []sdkCall {
	return []sdkCall{
		{"balance", "GET /balance", func(ctx context.Context, c *youproxy.Client) error { _, err := c.Balance(ctx); return err }, 0},
		{"proxy types", "GET /proxyType", func(ctx context.Context, c *youproxy.Client) error { _, err := c.ProxyTypes(ctx); return err }, 0},
		{"mobile operators", "GET /mobileOperator", func(ctx context.Context, c *youproxy.Client) error { _, err := c.MobileOperators(ctx); return err }, 0},
		{"promo codes", "GET /promoCode", func(ctx context.Context, c *youproxy.Client) error { _, err := c.PromoCodes(ctx); return err }, 0},
		{"proxies", "GET /ipAddress", func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.ListProxies(ctx, youproxy.ProxyQuery{})
			return err
		}, 0},
	}
}

func callsOfType(proxyType youproxy.ProxyType) []sdkCall {
	return []sdkCall{
		{"countries of " + string(proxyType), "GET /country", func(ctx context.Context, c *youproxy.Client) error { _, err := c.Countries(ctx, proxyType); return err }, 0},
		{"rent periods of " + string(proxyType), "GET /rentPeriod", func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.RentPeriods(ctx, proxyType)
			return err
		}, 0},
		{"proxies of " + string(proxyType), "GET /ipAddress", func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.ListProxies(ctx, youproxy.ProxyQuery{ProxyType: proxyType})
			return err
		}, 0},
	}
}

func orderCalls() []sdkCall {
	quote := func(r youproxy.OrderRequest) call {
		return func(ctx context.Context, c *youproxy.Client) error { _, err := c.QuoteOrder(ctx, r); return err }
	}
	buy := func(r youproxy.OrderRequest) call {
		return func(ctx context.Context, c *youproxy.Client) error { _, err := c.CreateOrder(ctx, r); return err }
	}

	ipv4 := *anOrder()
	byIP, promo, badPromo, spam, many := ipv4, ipv4, ipv4, ipv4, ipv4
	byIP.AuthType, byIP.AuthIP = youproxy.AuthTypeIP, netip.MustParseAddr("192.0.2.7")
	promo.PromoCode, badPromo.PromoCode = "WELCOME", "NOPE"
	spam.Goal, many.Quantity = "spam", 1000
	ipv6 := youproxy.IPv6OrderRequest{
		Country: "USA", Quantity: 3, RentPeriodDays: 90, Goal: "price monitoring",
		AuthType: youproxy.AuthTypeIP, AuthIP: netip.MustParseAddr("2001:db8::7"), Protocol: youproxy.ProtocolSOCKS,
	}
	mobile := youproxy.MobileOrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring",
		AuthType: youproxy.AuthTypeLogin, RotationTime: 300, MobileOperator: "verizon", PromoCode: "WELCOME",
	}
	badOperator := mobile
	badOperator.MobileOperator = "nobody"

	return []sdkCall{
		{"quote IPv4", "POST /calculate/order", quote(ipv4), 0},
		{"quote IPv6", "POST /calculate/order", quote(ipv6), 0},
		{"quote MOBILE", "POST /calculate/order", quote(mobile), 0},
		{"quote ISP", "POST /calculate/order", quote(youproxy.ISPOrderRequest(byIP)), 0},
		{"quote with a promo code", "POST /calculate/order", quote(promo), 0},
		{"quote with a promo code that is not valid", "POST /calculate/order", quote(badPromo), 0},
		{"quote with a warning", "POST /calculate/order", quote(spam), 0},
		{"quote refused", "POST /calculate/order", quote(badOperator), youproxy.ErrIncorrectMobileOperator},

		{"order IPv4", "POST /order", buy(ipv4), 0},
		{"order IPv4 by address", "POST /order", buy(byIP), 0},
		{"order IPv6", "POST /order", buy(&ipv6), 0},
		{"order MOBILE", "POST /order", buy(mobile), 0},
		{"order ISP", "POST /order", buy(youproxy.ISPOrderRequest(ipv4)), 0},
		{"order with a promo code", "POST /order", buy(promo), 0},
		{"order with a promo code that is not valid", "POST /order", buy(badPromo), 0},
		{"order refused for its goal", "POST /order", buy(spam), youproxy.ErrIncorrectGoal},
		{"order refused for the balance", "POST /order", buy(many), youproxy.ErrInsufficientFunds},
		{"order refused for its operator", "POST /order", buy(badOperator), youproxy.ErrIncorrectMobileOperator},
	}
}

func extensionCalls(fake *youproxytest.Server) []sdkCall {
	quote := func(r youproxy.ExtendRequest) call {
		return func(ctx context.Context, c *youproxy.Client) error { _, err := c.QuoteExtension(ctx, r); return err }
	}
	extend := func(r youproxy.ExtendRequest) call {
		return func(ctx context.Context, c *youproxy.Client) error { _, err := c.Extend(ctx, r); return err }
	}
	auto := func(r youproxy.AutoExtendRequest) call {
		return func(ctx context.Context, c *youproxy.Client) error { _, err := c.SetAutoExtend(ctx, r); return err }
	}

	orders := map[youproxy.ProxyType][]youproxy.OrderID{}
	ips := map[youproxy.ProxyType][]youproxy.IPAddressID{}
	for _, ip := range fake.IPAddresses() {
		ips[ip.ProxyType] = append(ips[ip.ProxyType], ip.ID)
		orders[ip.ProxyType] = []youproxy.OrderID{ip.OrderID}
	}
	extendIPs := youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: ips[youproxy.ProxyTypeIPv4], RentPeriodDays: 30}
	someIPs, noIPs, promoIPs := extendIPs, extendIPs, extendIPs
	someIPs.ProxyType, someIPs.IPAddressIDs = youproxy.ProxyTypeIPv6, ips[youproxy.ProxyTypeIPv6][:1]
	noIPs.IPAddressIDs = []youproxy.IPAddressID{"1"}
	promoIPs.PromoCode = "NOPE"
	extendOrders := youproxy.ExtendOrdersRequest{ProxyType: youproxy.ProxyTypeIPv6, OrderIDs: orders[youproxy.ProxyTypeIPv6], RentPeriodDays: 90, PromoCode: "WELCOME"}
	noOrders := extendOrders
	noOrders.OrderIDs = []youproxy.OrderID{"1"}
	autoIPs := youproxy.AutoExtendIPsRequest{ProxyType: youproxy.ProxyTypeMobile, IPAddressIDs: ips[youproxy.ProxyTypeMobile], RentPeriodDays: 30, AutoExtend: true}
	noAutoIPs := autoIPs
	noAutoIPs.IPAddressIDs = noIPs.IPAddressIDs
	autoOrders := youproxy.AutoExtendOrdersRequest{ProxyType: youproxy.ProxyTypeISP, OrderIDs: orders[youproxy.ProxyTypeISP], RentPeriodDays: 30}
	noAutoOrders := autoOrders
	noAutoOrders.OrderIDs = noOrders.OrderIDs

	return []sdkCall{
		{"quote an extension of IPs", "POST /calculate/extend", quote(extendIPs), 0},
		{"quote an extension of IPs that are not there", "POST /calculate/extend", quote(noIPs), youproxy.ErrIncorrectIPAddresses},
		{"quote an extension of orders", "POST /calculate/extend/order", quote(extendOrders), 0},
		{"quote an extension of orders that are not there", "POST /calculate/extend/order", quote(noOrders), youproxy.ErrIncorrectOrderIDs},
		{"extend IPs", "POST /extend", extend(extendIPs), 0},
		{"extend IPs with a promo code", "POST /extend", extend(promoIPs), 0},
		{"extend a part of an IPv6 order", "POST /extend", extend(someIPs), youproxy.ErrWholeOrderRequired},
		{"extend IPs that are not there", "POST /extend", extend(&noIPs), youproxy.ErrIncorrectIPAddresses},
		{"extend orders", "POST /extend/order", extend(extendOrders), 0},
		{"extend orders that are not there", "POST /extend/order", extend(noOrders), youproxy.ErrIncorrectOrderIDs},
		{"auto-extend IPs", "POST /extend/auto", auto(autoIPs), 0},
		{"auto-extend IPs that are not there", "POST /extend/auto", auto(noAutoIPs), youproxy.ErrIncorrectIPAddresses},
		{"auto-extend orders no longer", "POST /extend/order/auto", auto(autoOrders), 0},
		{"auto-extend orders that are not there", "POST /extend/order/auto", auto(noAutoOrders), youproxy.ErrIncorrectOrderIDs},
	}
}
