package main

import (
	"context"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// fakeToday is the time of the fake, so that it always shows the same.
var fakeToday = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

// newFake gives a service whose account holds orders that end now and then.
func newFake(now func() time.Time) *youproxytest.Server {
	fake := youproxytest.NewServer(youproxytest.WithClock(now), youproxytest.WithPromoCode("SPRING", 10))
	today := now()
	for _, o := range []youproxytest.Order{
		{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 3, RentPeriodDays: 30, CreatedAt: today.AddDate(0, 0, -26)},
		{ProxyType: youproxy.ProxyTypeIPv4, Country: "GBR", Quantity: 2, RentPeriodDays: 60, CreatedAt: today.AddDate(0, 0, -55)},
		{ProxyType: youproxy.ProxyTypeIPv4, Country: "NLD", Quantity: 9, RentPeriodDays: 180, CreatedAt: today.AddDate(0, 0, -8)},
		{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 4, RentPeriodDays: 90, CreatedAt: today.AddDate(0, 0, -84)},
		{ProxyType: youproxy.ProxyTypeMobile, Country: "GBR", Quantity: 1, RentPeriodDays: 30, CreatedAt: today.AddDate(0, 0, -30).Add(9 * time.Hour)},
		{ProxyType: youproxy.ProxyTypeISP, Country: "FRA", Quantity: 2, RentPeriodDays: 30, CreatedAt: today.AddDate(0, 0, -28)},
	} {
		fake.AddOrder(o)
	}
	return fake
}

// autoExtendISP makes the ISP proxies extend by themselves.
func autoExtendISP(ctx context.Context, client *youproxy.Client) error {
	list, err := client.ListProxies(ctx, youproxy.ProxyQuery{ProxyType: youproxy.ProxyTypeISP})
	if err != nil {
		return err
	}
	_, err = client.SetAutoExtend(ctx, youproxy.AutoExtendOrdersRequest{
		ProxyType: youproxy.ProxyTypeISP, OrderIDs: []youproxy.OrderID{list[0].OrderID},
		RentPeriodDays: 30, AutoExtend: true,
	})
	return err
}
