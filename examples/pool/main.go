// Pool sends requests through the proxies of an account, while the list of these changes
// and one of them fails.
//
//	go run ./examples/pool
//
// It has a fake Youproxy in its own process, which serves the proxies it sells.
package main

import (
	"context"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/proxypool"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func main() {
	server := youproxytest.NewServer(youproxytest.WithProxies())
	defer server.Close()
	server.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 3})
	client := must(server.Client()) // with an account: youproxy.NewFromEnv()

	pool := must(proxypool.New(nil))
	defer pool.CloseIdleConnections()
	ctx, cancel := context.WithCancel(context.Background())
	lists := make(chan youproxy.FollowEvent, 1000)
	follow := youproxy.Follow{Every: 50 * time.Millisecond, Tell: func(e youproxy.FollowEvent) { lists <- e }}
	done := must(client.FollowProxies(ctx, follow, pool.Replace))
	send(pool, fmt.Sprintf("The pool has %d proxies.", (<-lists).Used))

	server.BreakProxy(server.IPAddresses()[0].ID, youproxytest.ProxyDown)
	send(pool, "One proxy is down. It rests, and others serve its requests.")

	request := youproxy.ISPOrderRequest{Country: "FRA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin}
	must(client.Buy(ctx, request, youproxy.MustMoney("5 USD")))
	for (<-lists).Used < 4 { // the list of before
	}
	send(pool, "One was bought. The pool follows the list.")
	cancel()
	<-done
}

// send sends requests, and prints the addresses that they came from.
func send(pool *proxypool.Pool, why string) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		w.Header().Set("From", host)
	}))
	defer site.Close()
	through, from := &http.Client{Transport: pool}, map[string]int{}
	for range 12 {
		from[ask(through, site.URL)]++
	}
	fmt.Printf("%s\n  12 requests came from %v\n", why, slices.Sorted(maps.Keys(from)))
}

// ask returns where the site was asked from.
func ask(through *http.Client, site string) (from string) {
	resp, err := through.Get(site)
	if err != nil {
		log.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.Header.Get("From")
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
