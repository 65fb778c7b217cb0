package main

import (
	"net/netip"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// fakeToday is the time of the fake, so that it always shows the same.
var fakeToday = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// newFake gives a service whose account holds proxies of each type: those of IPv6
// speak only SOCKS5, and that of ISP knows its user by IP.
func newFake() *youproxytest.Server {
	fake := youproxytest.NewServer(youproxytest.WithClock(func() time.Time { return fakeToday }))
	for _, o := range []youproxytest.Order{
		{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 3},
		{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 2, Protocol: youproxy.ProtocolSOCKS},
		{ProxyType: youproxy.ProxyTypeMobile, Country: "GBR", Quantity: 1},
		{ProxyType: youproxy.ProxyTypeISP, Country: "FRA", Quantity: 1, AuthIP: netip.MustParseAddr("192.0.2.7")},
	} {
		fake.AddOrder(o)
	}
	return fake
}
