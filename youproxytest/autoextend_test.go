package youproxytest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestAutoExtendSetsTheFlags(t *testing.T) {
	for _, opts := range [][]youproxytest.Option{nil, {youproxytest.WithOrderIDsInAutoExtend()}} {
		s := newServer(t, opts...)
		addOrders(s)
		want := `"ipAddressIds": ["` + ipv4ID + `", "` + ipv4ID2 + `"]`
		none := `"ipAddressIds": []`
		if opts != nil {
			want, none = `"orderIds": ["`+ipv4Order1+`"]`, `"orderIds": []`
		}
		_, _, reply := send(t, s, "POST /extend/order/auto", edit(autoOrdersBody, "30", "60"))
		assert.Equal(t, `{"success": true, "proxyType": "IPv4", "rentPeriodDays": 60, "quantity": 2, `+want+`, "balance": 100, "currency": "USD", "error": null}`, reply)
		_, _, reply = send(t, s, "POST /extend/order/auto", edit(autoOrdersBody, "30", "31"))
		assert.Contains(t, reply, `"quantity": 0, `+none+`, "balance": 100`)
		_, _, reply = send(t, s, "POST /extend/auto", edit(autoBody, "true", "false"))
		assert.Contains(t, reply, `"quantity": 1, "ipAddressIds": ["`+ipv4ID+`"]`)

		ips := s.IPAddresses()
		assert.False(t, ips[0].AutoExtend)
		assert.Equal(t, 30, ips[0].AutoExtendDays)
		assert.True(t, ips[1].AutoExtend)
		assert.Equal(t, 60, ips[1].AutoExtendDays)
		_, _, reply = send(t, s, "GET /ipAddress?proxyType=IPv4", "")
		assert.Equal(t, 1, strings.Count(reply, `"extendInfo": {"autoExtend": false, "extendDays": 30}`))
		assert.Equal(t, 1, strings.Count(reply, `"extendInfo": {"autoExtend": true, "extendDays": 60}`))
		assert.Empty(t, s.Extensions())
		assert.Equal(t, "100 USD", s.Balance().String())
	}
}

func TestAutoExtendRenewsAtTheEnd(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now))
	addOrders(s)
	end := c.Now().Add(30 * day)
	send(t, s, "POST /extend/order/auto", autoOrdersBody)
	send(t, s, "POST /extend/auto", extension("IPv6", "ipAddressIds", 90, `, "autoExtend": true`, wholeIPv6(true)...))

	c.advance(30*day - 1)
	assert.Empty(t, s.Extensions())
	assert.Equal(t, 5, listed(t, s))

	c.advance(1)
	assert.Equal(t, 5, listed(t, s), "there is no gap")
	assert.Equal(t, []youproxytest.Extension{
		{IPAddressIDs: []youproxy.IPAddressID{ipv4ID, ipv4ID2}, ProxyType: "IPv4", RentPeriodDays: 30, Price: s.Extensions()[0].Price, CreatedAt: end},
		{
			IPAddressIDs: []youproxy.IPAddressID{"1111111111111111113", "1111111111111111114", "1111111111111111115"},
			ProxyType:    "IPv6", RentPeriodDays: 90, Price: s.Extensions()[1].Price, CreatedAt: end,
		},
	}, s.Extensions())
	assert.Equal(t, "2.62 USD", s.Extensions()[0].Price.String())
	assert.Equal(t, "2.43 USD", s.Extensions()[1].Price.String())

	c.advance(70 * day) // IPv4 twice more, late
	assert.Equal(t, "89.71 USD", s.Balance().String())
	require.Len(t, s.Extensions(), 4)
	assert.Equal(t, end.Add(30*day), s.Extensions()[2].CreatedAt)
	assert.Equal(t, end.Add(60*day), s.Extensions()[3].CreatedAt)
	assert.Equal(t, end.Add(90*day), s.IPAddresses()[0].End)
	assert.Equal(t, end.Add(90*day), s.IPAddresses()[4].End)

	send(t, s, "POST /extend/order/auto", edit(autoOrdersBody, "true", "false"))
	send(t, s, "POST /extend/order/auto", extension("IPv6", "orderIds", 90, `, "autoExtend": false`, ipv6Order))
	c.advance(100 * day)
	assert.Len(t, s.Extensions(), 4, "it can be switched off")
	assert.Equal(t, 0, listed(t, s))
}

func TestAutoExtendEndsWithTheMoney(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithBalance(youproxy.MustMoney("4 USD")))
	addOrders(s)
	send(t, s, "POST /extend/auto", edit(autoBody, ipv4ID+`"`, ipv4ID+`", "`+ipv4ID2+`"`))
	send(t, s, "POST /extend/order/auto", extension("IPv6", "orderIds", 90, `, "autoExtend": true`, ipv6Order))
	c.advance(30 * day)
	assert.Equal(t, 2, listed(t, s), "2.62 USD suffice, 2.43 USD more do not")
	assert.Equal(t, "1.38 USD", s.Balance().String())

	c.advance(day)
	s.SetBalance(youproxy.MustMoney("100 USD"))
	assert.Equal(t, 2, listed(t, s), "what has ended stays so")
	assert.Len(t, s.Extensions(), 1)

	c.advance(29*day + time.Hour)
	s.SetBalance(youproxy.MustMoney("0 USD"))
	assert.Len(t, s.Extensions(), 2, "the money of that moment counts")
}

func TestRenewalsComeInTheOrderOfTime(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now))
	var orders []string
	for _, days := range []int{40, 20, 20, 50} { // that are left
		o := s.AddOrder(youproxytest.Order{ProxyType: "ISP", Country: "USA", Quantity: 1, RentPeriodDays: days})
		orders = append(orders, string(o.ID))
	}
	for _, id := range []string{orders[3], orders[0], orders[1], orders[2]} {
		send(t, s, "POST /extend/order/auto", extension("ISP", "orderIds", 30, `, "autoExtend": true`, id))
	}
	started := c.Now()
	c.advance(25 * day)
	assert.Len(t, s.Extensions(), 2, "what is due first, whatever was set first")
	c.advance(30 * day)
	var got []string
	for _, e := range s.Extensions() {
		for _, id := range e.IPAddressIDs {
			got = append(got, fmt.Sprint(id[18:], " after ", int(e.CreatedAt.Sub(started)/day)))
		}
	}
	assert.Equal(t, []string{"2 after 20", "3 after 20", "1 after 40", "2 after 50", "3 after 50", "4 after 50"}, got)
	assert.Len(t, s.Extensions(), 6, "each order by itself")
}

func TestMoneyIsSpentInTheOrderOfTime(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithBalance(youproxy.MustMoney("1.31 USD")), youproxytest.WithCommitDelay(30*day-1))
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1})
	send(t, s, "POST /extend/auto", autoBody)
	s.Inject("POST /order", youproxytest.CommitLate)
	lose(t, s, "POST /order", ipv4Body)
	c.advance(60 * day)
	assert.Len(t, s.Orders(), 2, "the order came just before the renewal")
	assert.Empty(t, s.Extensions())

	c = newClock()
	s = newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithBalance(youproxy.MustMoney("1.31 USD")), youproxytest.WithCommitDelay(30*day+1))
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1})
	send(t, s, "POST /extend/auto", autoBody)
	s.Inject("POST /order", youproxytest.CommitLate)
	lose(t, s, "POST /order", ipv4Body)
	c.advance(60 * day)
	assert.Len(t, s.Orders(), 1, "the renewal came just before the order")
	assert.Len(t, s.Extensions(), 1)
}
