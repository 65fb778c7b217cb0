// Forward is a proxy without a login on this machine, in front of the proxies of an
// account: for browsers and programs that cannot log in.
//
//	go run ./examples/forward
//
// It has a fake Youproxy in its own process, which serves the proxies it sells, and sends a
// few requests. "youproxy forward" serves until Ctrl-C.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"

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
	done := must(client.FollowProxies(ctx, youproxy.Follow{}, pool.Replace))
	defer func() { cancel(); <-done }()

	forwarder := proxypool.Forward(pool)
	defer func() { _ = forwarder.Close() }()
	listener := must(net.Listen("tcp", "127.0.0.1:0")) // a program takes a port of its own, such as 127.0.0.1:8888
	local := &http.Server{Handler: forwarder}
	defer func() { _ = local.Close() }()
	go func() { _ = local.Serve(listener) }()

	// A program without a login: curl -x http://127.0.0.1:8888 https://example.com/
	plain, secure := httptest.NewServer(from), httptest.NewTLSServer(from)
	defer plain.Close()
	defer secure.Close()
	through := secure.Client()
	transport := through.Transport.(*http.Transport)
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: listener.Addr().String()})
	transport.DisableKeepAlives = true // or https requests share a tunnel, and so a proxy
	for _, site := range []*httptest.Server{plain, secure} {
		fmt.Println(must(url.Parse(site.URL)).Scheme)
		for range 3 {
			fmt.Println("  the site was asked by", ask(through, site.URL))
		}
	}
}

// from is a site that reports where a request came from.
var from = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	w.Header().Set("From", host)
})

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
