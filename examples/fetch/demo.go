package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// demo is what a run without a key has in place of the world: a fake service, whose
// proxies work, and a page.
type demo struct {
	fake    *youproxytest.Server
	client  *youproxy.Client
	website *httptest.Server
	bought  *youproxy.Purchase
	failing map[youproxy.IPAddressID]bool // the proxies that are meant to fail
}

func newDemo(ctx context.Context) (_ *demo, err error) {
	d := &demo{fake: youproxytest.NewServer(youproxytest.WithProxies()), website: httptest.NewServer(http.HandlerFunc(callersAddress)), failing: make(map[youproxy.IPAddressID]bool)}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.client, err = d.fake.Client(); err != nil {
		return nil, err
	}
	d.fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 2, Protocol: youproxy.ProtocolSOCKS})
	d.bought, err = d.client.Buy(ctx, youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 4, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}, youproxy.MustMoney("10 USD"))
	if err != nil {
		return nil, err
	}
	if _, err = d.client.WaitForProxies(ctx, d.bought); err != nil {
		return nil, err
	}
	for i, p := range d.fake.IPAddresses() {
		switch i {
		case 1:
			d.failing[p.ID] = true
			d.fake.BreakProxy(p.ID, youproxytest.ProxyDown)
		case 4:
			d.failing[p.ID] = true
			d.fake.BreakProxy(p.ID, youproxytest.ProxyRefusesLogin)
		}
	}
	return d, nil
}

func (d *demo) close() {
	d.fake.Close()
	d.website.Close()
}

// callersAddress is a page that tells the address a request comes from.
func callersAddress(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	_, _ = io.WriteString(w, host)
}

// use has a run take what it needs of the world from d.
func (d *demo) use(f *fetcher) {
	f.client, f.failing = d.client, d.failing
	if f.target == "" {
		f.target = d.website.URL + "/"
	}
	f.out.line("Bought %s for %s. Two of the account's proxies are meant to fail.", d.bought.OrderNumber, d.bought.Charged)
}
