package main

import (
	"context"
	"net/http"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/examples/internal/forwardproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// demo is what a run without a key has in place of the world: a fake service, the
// proxies it sells, and a page.
type demo struct {
	fake    *youproxytest.Server
	network *forwardproxy.Network
	client  *youproxy.Client
	page    string
	bought  *youproxy.Purchase
	failing map[youproxy.IPAddressID]bool // the proxies that are meant to fail
}

func newDemo(ctx context.Context) (_ *demo, err error) {
	d := &demo{fake: youproxytest.NewServer(), network: forwardproxy.New(), failing: make(map[youproxy.IPAddressID]bool)}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	if d.page, err = d.network.Serve(http.HandlerFunc(forwardproxy.CallersAddress)); err != nil {
		return nil, err
	}
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
		case 1: // it is dead
			d.failing[p.ID] = true
			continue
		case 4: // it does not take the login that was sold
			d.failing[p.ID] = true
			p.Password += "-changed"
		}
		if err = d.network.Add(p); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *demo) close() {
	d.network.Close()
	d.fake.Close()
}

// use has a run take what it needs of the world from d.
func (d *demo) use(f *fetcher) {
	f.client, f.transport, f.failing = d.client, d.network.Transport(), d.failing
	if f.target == "" {
		f.target = d.page
	}
	f.out.line("Bought %s for %s. Two of the account's proxies are meant to fail.", d.bought.OrderNumber, d.bought.Charged)
}
