package integration

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var allProxyTypes = []youproxy.ProxyType{
	youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP,
}

// startSeller starts a fake whose account has proxies of each type.
func startSeller(t *testing.T, opts ...youproxytest.Option) *youproxytest.Server {
	t.Helper()
	fake := youproxytest.NewServer(append([]youproxytest.Option{
		youproxytest.WithBalance(youproxy.MustMoney("1000 USD")),
		youproxytest.WithPromoCodes(
			youproxytest.PromoCode{Code: "WELCOME", Percent: 10, Start: time.Now().Add(-time.Hour)},
			youproxytest.PromoCode{
				Code: "PAST", Percent: 20, Start: time.Now().Add(-2 * time.Hour), End: time.Now().Add(-time.Hour),
				Descriptions: map[string]string{"en": "Over"},
			}),
	}, opts...)...)
	t.Cleanup(fake.Close)
	for _, proxyType := range allProxyTypes {
		fake.AddOrder(youproxytest.Order{ProxyType: proxyType, Country: "USA", Quantity: 2})
	}
	return fake
}

func clientOf(t *testing.T, url, key string) *youproxy.Client {
	t.Helper()
	c, err := youproxy.New(key, youproxy.WithBaseURL(url))
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// sdkCall is one call of the SDK's.
type sdkCall struct {
	name string
	op   string
	call func(ctx context.Context, c *youproxy.Client) error
	want youproxy.ErrorCode // 0 where it succeeds
}

// sdkCalls gives every call there is, on the proxies that startSeller put into
// the account.
func sdkCalls(fake *youproxytest.Server) []sdkCall {
	type (
		ctx  = context.Context
		cl   = *youproxy.Client
		call = func(ctx, cl) error
	)
	quote := func(r youproxy.OrderRequest) call {
		return func(ctx ctx, c cl) error { _, err := c.QuoteOrder(ctx, r); return err }
	}
	buy := func(r youproxy.OrderRequest) call {
		return func(ctx ctx, c cl) error { _, err := c.CreateOrder(ctx, r); return err }
	}
	quoteMore := func(r youproxy.ExtendRequest) call {
		return func(ctx ctx, c cl) error { _, err := c.QuoteExtension(ctx, r); return err }
	}
	extend := func(r youproxy.ExtendRequest) call {
		return func(ctx ctx, c cl) error { _, err := c.Extend(ctx, r); return err }
	}
	auto := func(r youproxy.AutoExtendRequest) call {
		return func(ctx ctx, c cl) error { _, err := c.SetAutoExtend(ctx, r); return err }
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

	calls := []sdkCall{
		{"balance", "GET /balance", func(ctx ctx, c cl) error { _, err := c.Balance(ctx); return err }, 0},
		{"proxy types", "GET /proxyType", func(ctx ctx, c cl) error { _, err := c.ProxyTypes(ctx); return err }, 0},
		{"mobile operators", "GET /mobileOperator", func(ctx ctx, c cl) error { _, err := c.MobileOperators(ctx); return err }, 0},
		{"promo codes", "GET /promoCode", func(ctx ctx, c cl) error { _, err := c.PromoCodes(ctx); return err }, 0},
		{"proxies", "GET /ipAddress", func(ctx ctx, c cl) error { _, err := c.ListProxies(ctx, youproxy.ProxyQuery{}); return err }, 0},

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

		{"quote an extension of IPs", "POST /calculate/extend", quoteMore(extendIPs), 0},
		{"quote an extension of IPs that are not there", "POST /calculate/extend", quoteMore(noIPs), youproxy.ErrIncorrectIPAddresses},
		{"quote an extension of orders", "POST /calculate/extend/order", quoteMore(extendOrders), 0},
		{"quote an extension of orders that are not there", "POST /calculate/extend/order", quoteMore(noOrders), youproxy.ErrIncorrectOrderIDs},
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
	for _, proxyType := range allProxyTypes {
		calls = append(calls,
			sdkCall{"countries of " + string(proxyType), "GET /country", func(ctx ctx, c cl) error { _, err := c.Countries(ctx, proxyType); return err }, 0},
			sdkCall{"rent periods of " + string(proxyType), "GET /rentPeriod", func(ctx ctx, c cl) error { _, err := c.RentPeriods(ctx, proxyType); return err }, 0},
			sdkCall{"proxies of " + string(proxyType), "GET /ipAddress", func(ctx ctx, c cl) error {
				_, err := c.ListProxies(ctx, youproxy.ProxyQuery{ProxyType: proxyType})
				return err
			}, 0})
	}
	return calls
}

// Each call of the SDK sends, and takes, what the document says.
func TestSDKKeepsTheContract(t *testing.T) {
	fake := startSeller(t)
	url, seen := startWatched(t, fake)
	client, stranger := clientOf(t, url, fake.APIKey()), clientOf(t, url, "some-other-key")
	calls := sdkCalls(fake)

	type end struct {
		op      string
		success bool
	}
	driven := map[end]int{}
	drive := func(t *testing.T, s sdkCall, c *youproxy.Client, want youproxy.ErrorCode) {
		t.Helper()
		before := len(seen.all())
		err := s.call(t.Context(), c)
		if want == 0 {
			assert.NoError(t, err)
		} else {
			assert.ErrorIs(t, err, want)
		}
		passed := seen.all()[before:]
		require.Len(t, passed, 1)
		got := end{passed[0].op, passed[0].success}
		assert.Equal(t, end{s.op, want == 0}, got)
		driven[got]++
	}
	for _, s := range calls {
		t.Run(s.name, func(t *testing.T) { drive(t, s, client, s.want) })
		t.Run(s.name+" with another key", func(t *testing.T) { drive(t, s, stranger, youproxy.ErrInvalidAPIKey) })
	}
	t.Run("refusals", func(t *testing.T) {
		refused := map[string]bool{}
		for _, s := range calls {
			for _, code := range []int{3, 4, 6, 7, 8, 10, 11, 13, 14, 16, 19, 23, 24, 25, 28, 29, 35, 99} {
				if !refused[s.op] {
					fake.Refuse(s.op, code)
					drive(t, s, client, youproxy.ErrorCode(code))
				}
			}
			refused[s.op] = true
		}
	})

	for _, o := range theContract(t).operations() {
		assert.Positive(t, driven[end{o.name, true}], "%s did not succeed", o.name)
		assert.Positive(t, driven[end{o.name, false}], "%s was not refused", o.name)
	}
}

// The document takes the ways in which lists of proxies may come.
func TestListsKeepTheContract(t *testing.T) {
	for name, shape := range map[string]youproxytest.ListShape{
		"records":      {},
		"orders":       {Orders: true},
		"named orders": {Orders: true, OrdersKey: "ips"},
		"short names":  {ShortNames: true},
		"gateway":      {PortInIP: true},
		"sparse":       {Sparse: true, Orders: true, ShortNames: true},
		"numbers":      {NumericIDs: true},
		"numbers in orders, and nothing that is null": {NumericIDs: true, Orders: true, Sparse: true},
		"flat":            {Flat: true},
		"flat, numbers":   {Flat: true, NumericIDs: true, ShortNames: true},
		"flat, in orders": {Flat: true, Orders: true},
		"more members":    {Extra: map[string]any{"comment": "mine", "tags": []int{1}}},
		"lower case": {GroupName: func(t youproxy.ProxyType) string {
			return map[youproxy.ProxyType]string{"IPv4": "ipv4", "IPv6": "IPV6", "MOBILE": "mobile", "ISP": "Isp"}[t]
		}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := startSeller(t, youproxytest.WithListShape(shape))
			url, seen := startWatched(t, fake)
			proxies, err := clientOf(t, url, fake.APIKey()).ListProxies(t.Context(), youproxy.ProxyQuery{})
			require.NoError(t, err)
			var ids []youproxy.IPAddressID
			for _, p := range proxies {
				ids = append(ids, p.ID)
			}
			for _, ip := range fake.IPAddresses() {
				assert.True(t, slices.Contains(ids, ip.ID))
			}
			assert.Len(t, seen.all(), 1)
		})
	}
}

// Auto-extension by orders may be answered with the ids of either.
func TestOrderIDsInAutoExtendKeepTheContract(t *testing.T) {
	fake := startSeller(t, youproxytest.WithOrderIDsInAutoExtend())
	url, _ := startWatched(t, fake)
	order := fake.Orders()[0]
	done, err := clientOf(t, url, fake.APIKey()).SetAutoExtend(t.Context(), youproxy.AutoExtendOrdersRequest{
		ProxyType: order.ProxyType, OrderIDs: []youproxy.OrderID{order.ID}, RentPeriodDays: 30, AutoExtend: true,
	})
	require.NoError(t, err)
	assert.Equal(t, []youproxy.OrderID{order.ID}, done.OrderIDs)
	assert.Empty(t, done.IPAddressIDs)
}
