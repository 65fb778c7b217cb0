package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// startService starts a service to try things with; a real one takes
// youproxy.NewFromEnv.
func startService() (*youproxytest.Server, *youproxy.Client) {
	today := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	server := youproxytest.NewServer(youproxytest.WithClock(func() time.Time { return today }))
	client, err := server.Client()
	if err != nil {
		panic(err)
	}
	return server, client
}

var request = youproxy.IPv4OrderRequest{
	Country: "USA", Quantity: 2, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
}

func ExampleClient_Buy() {
	server, client := startService()
	defer server.Close()

	purchase, err := client.Buy(context.Background(), request, youproxy.MustMoney("10 USD"))
	if purchase == nil {
		fmt.Println(err, youproxy.OutcomeOf(err))
		return
	}
	proxies, err := client.WaitForProxies(context.Background(), purchase)
	fmt.Println(len(proxies), "proxies for", purchase.Charged, err)

	_, err = client.Buy(context.Background(), request, youproxy.MustMoney("2.50 USD"))
	fmt.Println(errors.Is(err, youproxy.ErrPriceAboveLimit), youproxy.OutcomeOf(err))
	// Output:
	// 2 proxies for 2.62 USD <nil>
	// true not sent
}

func ExampleClient_Recover() {
	server := youproxytest.NewServer()
	defer server.Close()
	client, err := server.Client(youproxy.WithReconcilePatience(0), youproxy.WithReadRetries(0), youproxy.WithObserver(
		func(_ context.Context, e youproxy.CallEvent) {
			if e.Op == "POST /order" {
				server.Inject("GET /ipAddress", youproxytest.BadGateway) // from now on
			}
		}))
	if err != nil {
		panic(err)
	}

	server.Inject("POST /order", youproxytest.DropAfterCommit)
	_, err = client.Buy(context.Background(), request, youproxy.MustMoney("10 USD"))
	fmt.Println("at once:", errors.Is(err, youproxy.ErrUndetermined), youproxy.OutcomeOf(err))

	_, err = client.Buy(context.Background(), request, youproxy.MustMoney("10 USD"))
	fmt.Println("again:", errors.Is(err, youproxy.ErrPending), youproxy.OutcomeOf(err))

	found, err := client.Recover(context.Background())
	fmt.Println("later:", found[0].Verdict, "for", found[0].Purchase.Charged, err)
	// Output:
	// at once: true unknown
	// again: true not sent
	// later: executed for 2.62 USD <nil>
}

func ExampleOutcomeOf() {
	server, client := startService()
	defer server.Close()

	for _, goal := range []string{"", "spam", "price monitoring"} {
		order := request
		order.Goal = goal
		_, err := client.CreateOrder(context.Background(), order)
		fmt.Println(youproxy.OutcomeOf(err))
	}
	// Output:
	// not sent
	// rejected
	// done
}

func ExampleClient_Proxies() {
	server, client := startService()
	defer server.Close()
	server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "FRA", Quantity: 2})

	for proxy, err := range client.Proxies(context.Background(), youproxy.ProxyQuery{}) {
		if err != nil {
			fmt.Println(err) // the list is not complete
			return
		}
		fmt.Println(proxy)
	}
	// Output:
	// ISP proxy 1111111111111111111 at 198.18.0.1, HTTP port 59100, SOCKS5 port 59101, FRA, ends 2026-03-31T12:00:00Z
	// ISP proxy 1111111111111111112 at 198.18.0.2, HTTP port 59100, SOCKS5 port 59101, FRA, ends 2026-03-31T12:00:00Z
}

func ExampleProxy_URL() {
	proxy := youproxy.Proxy{
		Host: "192.0.2.1", HTTPPort: 8080,
		Credentials: &youproxy.Credentials{Login: "user", Password: youproxy.NewSecret("p@ss:word/")},
	}
	u, err := proxy.URL(youproxy.SchemeHTTP)
	fmt.Println(u, err)
	_, err = proxy.URL(youproxy.SchemeSOCKS5)
	fmt.Println(err)
	// Output:
	// http://user:p%40ss%3Aword%2F@192.0.2.1:8080 <nil>
	// youproxy: the proxy cannot be used in this way: it has no port for socks5
}

func ExampleWriteProxies() {
	list := []youproxy.Proxy{
		{Host: "192.0.2.1", HTTPPort: 8080, Credentials: &youproxy.Credentials{Login: "user", Password: youproxy.NewSecret("word")}},
		{Host: "2001:db8::1", HTTPPort: 8081},
	}
	err := youproxy.WriteProxies(os.Stdout, youproxy.LayoutHostPortLoginPassword(youproxy.SchemeHTTP), slices.Values(list))
	fmt.Println(err)
	// Output:
	// 192.0.2.1:8080:user:word
	// [2001:db8::1]:8081
	// <nil>
}
