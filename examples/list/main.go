// List shows the proxies of an account, and when those end that end soon.
//
//	go run ./examples/list
//
// It shows those of a fake Youproxy in its own process, or, with an API key in
// YOUPROXY_API_KEY, those of the account. It spends nothing.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	if os.Getenv("YOUPROXY_API_KEY") != "" {
		client, err := youproxy.NewFromEnv()
		if err != nil {
			return err
		}
		return list(context.Background(), client, time.Now())
	}
	fmt.Print("YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program.\n\n")
	today := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	server := fake(today)
	defer server.Close()
	client, err := server.Client()
	if err != nil {
		return err
	}
	return list(context.Background(), client, today)
}

// list prints each proxy as it arrives. No password is printed.
func list(ctx context.Context, client *youproxy.Client, now time.Time) error {
	var all, ending int
	for proxy, err := range client.Proxies(ctx, youproxy.ProxyQuery{}) {
		if err != nil {
			return fmt.Errorf("the list is not complete, it ended after %d proxies: %w", all, err)
		}
		all++
		fmt.Print(proxy)
		if left := proxy.End.Sub(now); !proxy.End.IsZero() && left < 7*24*time.Hour && !proxy.AutoExtend {
			ending++
			fmt.Printf(", in %.1f days", left.Hours()/24)
		}
		fmt.Println()
	}
	fmt.Printf("\n%d proxies, of which %d end within a week and are not extended automatically\n", all, ending)
	return nil
}

// fake returns a service whose account has a few orders.
func fake(now time.Time) *youproxytest.Server {
	server := youproxytest.NewServer(youproxytest.WithClock(func() time.Time { return now }))
	for _, o := range []youproxytest.Order{
		{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 3, RentPeriodDays: 30, CreatedAt: now.AddDate(0, 0, -26)},
		{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 2, RentPeriodDays: 90, Protocol: youproxy.ProtocolSOCKS, CreatedAt: now},
		{ProxyType: youproxy.ProxyTypeMobile, Country: "GBR", Quantity: 1, RentPeriodDays: 30, CreatedAt: now.AddDate(0, 0, -30).Add(9 * time.Hour)},
	} {
		server.AddOrder(o)
	}
	return server
}
