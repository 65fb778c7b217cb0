package integration

import (
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

// startSeller starts a fake service whose account has proxies of each type.
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

// Each call of the SDK sends and accepts what the document says.
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

// The document allows every shape in which a list of proxies may come.
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

// The reply to auto-extension by orders may have the ids of orders or of IP addresses.
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
