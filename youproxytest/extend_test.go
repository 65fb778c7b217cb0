package youproxytest_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// extensionOps holds each operation on existing proxies with the name of its ids
// and the code that refuses them.
var extensionOps = []struct {
	op, ids string
	code    int
	last    string // field
}{
	{"POST /calculate/extend", "ipAddressIds", 24, ""},
	{"POST /calculate/extend/order", "orderIds", 29, ""},
	{"POST /extend", "ipAddressIds", 24, ""},
	{"POST /extend/order", "orderIds", 29, ""},
	{"POST /extend/auto", "ipAddressIds", 24, `, "autoExtend": true`},
	{"POST /extend/order/auto", "orderIds", 29, `, "autoExtend": true`},
}

func extension(proxyType, name string, days int, last string, ids ...string) string {
	quoted := make([]string, len(ids))
	for i, id := range ids {
		quoted[i] = `"` + id + `"`
	}
	return fmt.Sprintf(`{"proxyType": %q, %q: [%s], "rentPeriodDays": %d%s}`, proxyType, name, strings.Join(quoted, ", "), days, last)
}

func TestExtensionsThatAreRefused(t *testing.T) {
	for _, tc := range extensionOps {
		byIPs := tc.ids == "ipAddressIds"
		good, other := ipv4Order1, ipv6Order
		if byIPs {
			good, other = ipv4ID, "1111111111111111113"
		}
		cases := []struct {
			name string
			code int
			body string
		}{
			{"wrong type", 4, extension("IPv5", tc.ids, 30, tc.last, good)},
			{"no ids", tc.code, extension("IPv4", tc.ids, 30, tc.last)},
			{"unknown id", tc.code, extension("IPv4", tc.ids, 30, tc.last, good, "9")},
			{"empty id", tc.code, extension("IPv4", tc.ids, 30, tc.last, "")},
			{"repeated id", tc.code, extension("IPv4", tc.ids, 30, tc.last, good, good)},
			{"of another type", tc.code, extension("IPv4", tc.ids, 30, tc.last, good, other)},
			{"of another type alone", tc.code, extension("IPv6", tc.ids, 30, tc.last, good)},
			{"period not sold", 11, extension("IPv4", tc.ids, 31, tc.last, good)},
			{"period of another type", 11, extension("IPv6", tc.ids, 60, tc.last, wholeIPv6(byIPs)...)},
		}
		if byIPs {
			cases = append(cases, struct {
				name string
				code int
				body string
			}{"part of an IPv6 order", 28, extension("IPv6", tc.ids, 30, tc.last, "1111111111111111113", "1111111111111111115")})
		}
		for _, refusal := range cases {
			t.Run(tc.op+" "+refusal.name, func(t *testing.T) {
				s := newServer(t)
				addOrders(s)
				_, _, reply := send(t, s, tc.op, refusal.body)
				assert.Contains(t, reply, fmt.Sprintf(`"error": {"code": %d, `, refusal.code))
				assert.Empty(t, s.Extensions())
				assert.Equal(t, "100 USD", s.Balance().String())
			})
		}
		t.Run(tc.op+" whole IPv6 order", func(t *testing.T) {
			s := newServer(t)
			addOrders(s)
			_, _, reply := send(t, s, tc.op, extension("IPv6", tc.ids, 90, tc.last, wholeIPv6(byIPs)...))
			assert.Contains(t, reply, `"success": true`)
		})
	}
}

func wholeIPv6(byIPs bool) []string {
	if byIPs {
		return []string{"1111111111111111115", "1111111111111111113", "1111111111111111114"}
	}
	return []string{ipv6Order}
}

func TestExtensionsBeyondTheBalance(t *testing.T) {
	for op, body := range map[string]string{"POST /extend": extendBody, "POST /extend/order": extendOrdersBody} {
		s := newServer(t, youproxytest.WithBalance(youproxy.MustMoney("1.30 USD")))
		addOrders(s)
		_, _, reply := send(t, s, op, body)
		assert.Contains(t, reply, `"balance": 1.3, "currency": "USD", "error": {"code": 16, `)
		assert.Empty(t, s.Extensions())
		assert.Equal(t, "1.3 USD", s.Balance().String())
	}
}

func TestExtensionMovesTheEnd(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithPromoCode("TEN", 10))
	addOrders(s)
	ends := s.IPAddresses()[0].End
	c.advance(day)
	send(t, s, "POST /extend", edit(extendBody, "30", "60"))
	c.advance(day)
	send(t, s, "POST /extend/order", edit(extendOrdersBody, "}", `, "promoCode": "TEN"}`))

	ips := s.IPAddresses()
	assert.Equal(t, ends.Add(90*day), ips[0].End)
	assert.Equal(t, ends.Add(30*day), ips[1].End)
	assert.Equal(t, ends, ips[2].End)
	first := youproxytest.Extension{
		IPAddressIDs: []youproxy.IPAddressID{ipv4ID}, ProxyType: "IPv4", RentPeriodDays: 60,
		Price: s.Extensions()[0].Price, CreatedAt: c.Now().Add(-day),
	}
	second := youproxytest.Extension{
		IPAddressIDs: []youproxy.IPAddressID{ipv4ID, ipv4ID2}, OrderIDs: []youproxy.OrderID{ipv4Order1}, ProxyType: "IPv4", RentPeriodDays: 30,
		Price: s.Extensions()[1].Price, PromoCode: "TEN", CreatedAt: c.Now(),
	}
	assert.Equal(t, []youproxytest.Extension{first, second}, s.Extensions())
	assert.Equal(t, "2.62 USD", first.Price.String())
	assert.Equal(t, "2.36 USD", second.Price.String()) // 2.358
	assert.Equal(t, "95.02 USD", s.Balance().String())

	s.Extensions()[1].IPAddressIDs[0], s.Extensions()[1].OrderIDs[0] = "X", "X"
	assert.Equal(t, second, s.Extensions()[1], "what is given out is a copy")
	assert.Len(t, s.Orders(), 2, "an extension is no order")
}

func TestAnOrderThatPartlyEndedExtendsTheRest(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now))
	addOrders(s)
	send(t, s, "POST /extend", extendBody)
	c.advance(31 * day)
	_, _, reply := send(t, s, "POST /extend/order", extendOrdersBody)
	assert.Contains(t, reply, `"quantity": 1, "ipAddressIds": ["`+ipv4ID+`"]`)
}

func TestExtensionEnd(t *testing.T) {
	months := func(end time.Time, days int) time.Time { return end.AddDate(0, days/30, 0) }
	endOfDay := func(end time.Time, days int) time.Time {
		return end.Truncate(day).Add(time.Duration(days+1)*day - time.Second)
	}
	offset := func(end time.Time, days int) time.Time { return end.Add(time.Duration(days)*day + time.Hour) }
	for name, tc := range map[string]struct {
		end  func(time.Time, int) time.Time
		want string
	}{
		"calendar months": {months, "2026-05-31 12:00:00"},
		"end of the day":  {endOfDay, "2026-05-30 23:59:59"},
		"offset":          {offset, "2026-05-30 13:00:00"},
	} {
		c := newClock()
		s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithExtensionEnd(tc.end))
		addOrders(s)
		send(t, s, "POST /extend", edit(extendBody, "30", "60"))
		assert.Equal(t, tc.want, s.IPAddresses()[0].End.Format(time.DateTime), name)
		assert.Equal(t, c.Now().Add(30*day), s.IPAddresses()[1].End, name)

		send(t, s, "POST /extend/auto", edit(autoBody, ipv4ID, ipv4ID2))
		end := s.IPAddresses()[1].End
		c.advance(30 * day)
		assert.Len(t, s.Extensions(), 2, name)
		assert.Equal(t, tc.end(end, 30), s.IPAddresses()[1].End, "%s: also by itself", name)
	}
	assert.Panics(t, func() { youproxytest.WithExtensionEnd(nil) })
}

func TestRenewedIDs(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithRenewedIDs())
	addOrders(s)
	s.AddOrder(youproxytest.Order{Number: "NUMBER-112233-1", ProxyType: "ISP", Country: "USA", Quantity: 1}) // takes the first suffix
	before := s.IPAddresses()
	send(t, s, "POST /extend/auto", edit(autoBody, ipv4ID, ipv4ID2))
	_, _, reply := send(t, s, "POST /extend", extendBody)
	assert.Contains(t, reply, `"ipAddressIds": ["`+ipv4ID+`"]`, "those that were asked for")

	const renewed, renewed2 = "1111111111111111117", "1111111111111111118"
	done := s.Extensions()[0]
	assert.Equal(t, []youproxy.IPAddressID{ipv4ID}, done.IPAddressIDs)
	assert.Equal(t, []youproxy.IPAddressID{renewed}, done.RenewedIDs)
	s.Extensions()[0].RenewedIDs[0] = "X"
	assert.Equal(t, done, s.Extensions()[0], "what is given out is a copy")
	want := before
	want[0].ID, want[0].End = renewed, want[0].End.Add(30*day)
	want[0].OrderNumber, want[1].OrderNumber = "NUMBER-112233-2", "NUMBER-112233-2"
	want[1].AutoExtend, want[1].AutoExtendDays = true, 30
	assert.Equal(t, want, s.IPAddresses(), "order ids and all the rest stay")
	_, _, reply = send(t, s, "GET /ipAddress?proxyType=IPv4", "")
	assert.NotContains(t, reply, ipv4ID)
	assert.Contains(t, reply, `"ipAddressId": "`+renewed+`", "ipAddressIp": "198.18.0.1", "orderId": "`+ipv4Order1+`", "orderNumber": "NUMBER-112233-2"`)
	assert.Equal(t, youproxy.OrderNumber("NUMBER-112233"), s.Orders()[0].Number, "what the reply to the order had")

	_, _, reply = send(t, s, "POST /extend", extendBody)
	assert.Contains(t, reply, `"code": 24`, "the id before is gone")
	_, _, reply = send(t, s, "POST /extend", edit(extendBody, ipv4ID, renewed))
	assert.Contains(t, reply, `"success": true`)
	assert.Equal(t, youproxy.OrderNumber("NUMBER-112233-3"), s.IPAddresses()[0].OrderNumber)

	c.advance(30 * day)
	assert.Equal(t, []youproxy.IPAddressID{ipv4ID2}, s.Extensions()[2].IPAddressIDs)
	assert.Equal(t, []youproxy.IPAddressID{"1111111111111111119"}, s.Extensions()[2].RenewedIDs, "also by itself")
	send(t, s, "POST /extend/order", extendOrdersBody)
	ids := make(map[youproxy.IPAddressID]bool)
	for _, ip := range s.IPAddresses() {
		ids[ip.ID] = true
	}
	assert.Len(t, ids, 6, "no id comes twice")
	assert.False(t, ids[renewed2])
	assert.Equal(t, youproxy.OrderNumber("NUMBER-112233-5"), s.IPAddresses()[0].OrderNumber)
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1})
	assert.Equal(t, youproxy.IPAddressID("1111111111111111122"), s.IPAddresses()[6].ID)
}

func TestConcurrentExtensionsSpendExactly(t *testing.T) {
	s := newServer(t, youproxytest.WithBalance(youproxy.MustMoney("26.20 USD")))
	addOrders(s)
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			switch i % 3 {
			case 0:
				send(t, s, "POST /extend", extendBody)
			case 1:
				send(t, s, "POST /order", ipv4Body)
			default:
				send(t, s, "POST /extend/auto", autoBody)
			}
			send(t, s, "GET /ipAddress", "")
			s.SetListShape(youproxytest.ListShape{Flat: i%2 == 0})
			_, _, _, _ = s.Requests(), s.Orders(), s.Extensions(), s.IPAddresses()
		})
	}
	wg.Wait()
	assert.Equal(t, "0 USD", s.Balance().String())
	assert.Equal(t, 20, len(s.Extensions())+len(s.Orders())-2)
	ip := s.IPAddresses()[0]
	assert.Equal(t, time.Duration(30+30*len(s.Extensions()))*day, ip.End.Sub(ip.Start))
}
