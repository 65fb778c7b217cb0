package youproxytest_test

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/long"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// listed returns how many proxies the list shows.
func listed(t *testing.T, s *youproxytest.Server) int {
	t.Helper()
	_, _, reply := send(t, s, "GET /ipAddress", "")
	return strings.Count(reply, `"ipAddressId": "`)
}

func TestAnOrderBecomesProxies(t *testing.T) {
	for _, tc := range []struct {
		body string
		want youproxytest.IPAddress
	}{
		{ipv4Body, youproxytest.IPAddress{
			ProxyType: "IPv4", Host: "198.18.0.1", HTTPPort: 59100, SOCKS5Port: 59101, Login: "login1", Password: "Pw9e3779b1",
		}},
		{ipv6Body, youproxytest.IPAddress{
			ProxyType: "IPv6", Host: "198.18.0.1", HTTPPort: 10001, Protocol: "HTTP", AuthIP: netip.MustParseAddr("192.0.2.7"),
		}},
		{edit(ipv6Body, "HTTP", "SOCKS"), youproxytest.IPAddress{
			ProxyType: "IPv6", Host: "198.18.0.1", SOCKS5Port: 10001, Protocol: "SOCKS", AuthIP: netip.MustParseAddr("192.0.2.7"),
		}},
		{mobileBody, youproxytest.IPAddress{
			ProxyType: "MOBILE", Host: "198.18.0.1", HTTPPort: 59100, SOCKS5Port: 59101, Login: "login1", Password: "Pw9e3779b1",
			MobileOperator: "verizon", RotationTime: 300,
		}},
	} {
		c := newClock()
		s := newServer(t, youproxytest.WithClock(c.Now))
		send(t, s, "POST /order", tc.body)
		want := tc.want
		want.ID, want.OrderID, want.OrderNumber, want.Country = ipv4ID, ipv4Order1, "NUMBER-112233", "USA"
		want.Start, want.ReadyAt, want.End = c.Now(), c.Now(), c.Now().Add(30*day)
		require.Len(t, s.IPAddresses(), s.Orders()[0].Quantity)
		assert.Equal(t, want, s.IPAddresses()[0])
		assert.Equal(t, s.Orders()[0].Quantity, listed(t, s))
	}
}

func TestProxiesAppearAfterTheDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := youproxytest.NewServer(youproxytest.WithProvisioningDelay(90 * time.Second))
		defer s.Close()
		started := time.Now()
		send(t, s, "POST /order", ipv4Body)
		time.Sleep(90*time.Second - time.Nanosecond)
		assert.Equal(t, 0, listed(t, s))
		for op, code := range map[string]string{"POST /extend": "24", "POST /extend/order": "29", "POST /extend/auto": "24", "POST /extend/order/auto": "29"} {
			_, _, reply := send(t, s, op, allBodies[op])
			assert.Contains(t, reply, `"error": {"code": `+code, "%s: not there yet", op)
		}
		ips := s.IPAddresses()
		require.Len(t, ips, 1, "the ledger shows it at once")
		assert.Equal(t, started.Add(90*time.Second), ips[0].ReadyAt)
		assert.Equal(t, started.Add(30*day), ips[0].End, "the period begins with the order")

		time.Sleep(time.Nanosecond)
		assert.Equal(t, 1, listed(t, s))
		time.Sleep(30*day - 90*time.Second - time.Nanosecond)
		assert.Equal(t, 1, listed(t, s))
		time.Sleep(time.Nanosecond)
		assert.Equal(t, 0, listed(t, s))
		assert.Len(t, s.IPAddresses(), 1, "the ledger forgets nothing")
		for op, code := range map[string]string{"POST /extend": "24", "POST /extend/order": "29"} {
			_, _, reply := send(t, s, op, allBodies[op])
			assert.Contains(t, reply, `"error": {"code": `+code, "%s: ended", op)
		}
	})
}

func TestAddOrder(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithProvisioningDelay(time.Hour))
	past := c.Now().Add(-10 * day)
	for _, tc := range []struct {
		name        string
		order, want youproxytest.Order
	}{
		{
			"the least",
			youproxytest.Order{ProxyType: "IPv4", Country: "NLD", Quantity: 1},
			youproxytest.Order{ID: "1112223334283d122", Number: "NUMBER-112233", ProxyType: "IPv4", Country: "NLD", Quantity: 1, RentPeriodDays: 30, AuthType: "LOGIN", CreatedAt: c.Now()},
		},
		{
			"names of its own",
			youproxytest.Order{ID: "own", Number: "NUMBER-112235", ProxyType: "ISP", Country: "USA", Quantity: 2, RentPeriodDays: 7, CreatedAt: past, Price: youproxy.MustMoney("3 USD"), PromoCode: "X"},
			youproxytest.Order{ID: "own", Number: "NUMBER-112235", ProxyType: "ISP", Country: "USA", Quantity: 2, RentPeriodDays: 7, CreatedAt: past, Price: youproxy.MustMoney("3 USD"), PromoCode: "X", AuthType: "LOGIN"},
		},
		{
			"number that is taken is left out",
			youproxytest.Order{ProxyType: "IPv6", Country: "USA", Quantity: 3, AuthIP: netip.MustParseAddr("192.0.2.7"), CreatedAt: past},
			youproxytest.Order{ID: "111222333464ac058", Number: "NUMBER-112236", ProxyType: "IPv6", Country: "USA", Quantity: 3, RentPeriodDays: 30, AuthType: "IP", AuthIP: netip.MustParseAddr("192.0.2.7"), Protocol: "HTTP", CreatedAt: past},
		},
		{
			"mobile",
			youproxytest.Order{ProxyType: "MOBILE", Country: "GBR", Quantity: 1},
			youproxytest.Order{ID: "111222333402e37f3", Number: "NUMBER-112237", ProxyType: "MOBILE", Country: "GBR", Quantity: 1, RentPeriodDays: 30, AuthType: "LOGIN", MobileOperator: "vodafone", RotationTime: 300, CreatedAt: c.Now()},
		},
		{
			"mobile with an operator",
			youproxytest.Order{ProxyType: "MOBILE", Country: "USA", Quantity: 1, MobileOperator: "tmobile", RotationTime: 600},
			youproxytest.Order{ID: "1112223334a11af8e", Number: "NUMBER-112238", ProxyType: "MOBILE", Country: "USA", Quantity: 1, RentPeriodDays: 30, AuthType: "LOGIN", MobileOperator: "tmobile", RotationTime: 600, CreatedAt: c.Now()},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, s.AddOrder(tc.order))
			orders := s.Orders()
			assert.Equal(t, tc.want, orders[len(orders)-1])
		})
	}
	assert.Equal(t, "100 USD", s.Balance().String())
	assert.Len(t, s.IPAddresses(), 8)
	assert.Equal(t, 3, listed(t, s), "those that were placed now are not ready, and those of 7 days have ended")
}

func TestOrdersThatCannotBeAdded(t *testing.T) {
	s := newServer(t)
	addOrders(s)
	good := youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1}
	for message, change := range map[string]func(*youproxytest.Order){
		`proxy type "IPv5" is not sold`:                                   func(o *youproxytest.Order) { o.ProxyType = "IPv5" },
		`IPv4 is not sold in country "ATA"`:                               func(o *youproxytest.Order) { o.Country = "ATA" },
		`MOBILE is not sold in country "FRA"`:                             func(o *youproxytest.Order) { o.ProxyType, o.Country = "MOBILE", "FRA" },
		`there is no operator "vodafone" in USA`:                          func(o *youproxytest.Order) { o.ProxyType, o.MobileOperator = "MOBILE", "vodafone" },
		`the quantity is 0: it must be 1 or more`:                         func(o *youproxytest.Order) { o.Quantity = 0 },
		`the rent period is -1 days: it must be 1 or more`:                func(o *youproxytest.Order) { o.RentPeriodDays = -1 },
		`authorisation type "X" does not exist`:                           func(o *youproxytest.Order) { o.AuthType = "X" },
		`AuthIP is needed with AuthType IP, and not allowed with another`: func(o *youproxytest.Order) { o.AuthType = "IP" },
		`protocol "FTP" does not exist`:                                   func(o *youproxytest.Order) { o.ProxyType, o.Protocol = "IPv6", "FTP" },
		`order number NUMBER-112234 is taken`:                             func(o *youproxytest.Order) { o.Number = "NUMBER-112234" },
		`order id ` + ipv6Order + ` is taken`:                             func(o *youproxytest.Order) { o.ID = ipv6Order },
	} {
		o := good
		change(&o)
		assert.PanicsWithValue(t, "youproxytest: the order cannot be added: "+message, func() { s.AddOrder(o) })
	}
	assert.Len(t, s.Orders(), 2)
	assert.Panics(t, func() { youproxytest.WithClock(nil) })
}

func TestIdsAndAddressesAreTheSameEachTime(t *testing.T) {
	c := newClock()
	var ledgers [2][]youproxytest.IPAddress
	for i := range ledgers {
		s := newServer(t, youproxytest.WithClock(c.Now))
		addOrders(s)
		send(t, s, "POST /order", mobileBody)
		ledgers[i] = s.IPAddresses()
	}
	assert.Equal(t, ledgers[0], ledgers[1])
}

func TestManyProxiesAreDistinct(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes 192,000 proxies")
	}
	s := newServer(t)
	orders := 1
	if long.Run() {
		orders = 3
	}
	for range orders { // the first of them already need all of 198.18.0.0/15, and a second gateway
		s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 132_000})
		s.AddOrder(youproxytest.Order{ProxyType: "IPv6", Country: "USA", Quantity: 60_000})
	}
	where := make(map[string]bool)
	reserved := []netip.Prefix{netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4")}
	var last youproxy.IPAddressID
	for _, ip := range s.IPAddresses() {
		host := netip.MustParseAddr(ip.Host)
		switch {
		case len(ip.ID) != 19 || ip.ID <= last:
			t.Fatalf("id %s comes after %s", ip.ID, last)
		case !reserved[0].Contains(host) && !reserved[1].Contains(host):
			t.Fatalf("%s may lead somewhere", host)
		case ip.HTTPPort > 65535:
			t.Fatalf("port %d does not exist", ip.HTTPPort)
		}
		last = ip.ID
		where[net.JoinHostPort(ip.Host, strconv.Itoa(ip.HTTPPort))] = true
	}
	assert.Len(t, where, orders*192_000)
}

func TestManyOrdersAreDistinct(t *testing.T) {
	s := newServer(t)
	orders := make(map[youproxy.OrderID]bool)
	for range 5_000 {
		o := s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1})
		if len(o.ID) != 17 || strings.Trim(string(o.ID), "0123456789abcdef") != "" {
			t.Fatalf("%s does not look like an order id", o.ID)
		}
		orders[o.ID] = true
	}
	assert.Len(t, orders, 5_000)
}
