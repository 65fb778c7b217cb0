package proxypool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"

	"github.com/youproxy-go/youproxy/proxypool"
)

// startProxy starts a stand-in for a proxy server, which answers in the place of
// every target.
func startProxy(name string) (*url.URL, func()) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s for %s", name, r.URL)
	}))
	host := server.Listener.Addr().String()
	return &url.URL{Scheme: "http", User: url.UserPassword("login", "password"), Host: host}, server.Close
}

func show(client *http.Client, target string) {
	resp, err := client.Get(target)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	fmt.Println(string(text), err)
}

func Example() {
	first, stopFirst := startProxy("the first")
	defer stopFirst()
	second, stopSecond := startProxy("the second")
	defer stopSecond()

	pool, err := proxypool.New([]*url.URL{first, second})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.CloseIdleConnections()
	client := &http.Client{Transport: pool}
	for range 3 {
		show(client, "http://example.com/")
	}
	fmt.Println(pool)
	// Output:
	// the first for http://example.com/ <nil>
	// the second for http://example.com/ <nil>
	// the first for http://example.com/ <nil>
	// proxy pool of 2, 2 well
}

func ExampleSticky() {
	first, stopFirst := startProxy("the first")
	defer stopFirst()
	second, stopSecond := startProxy("the second")
	defer stopSecond()

	pool, err := proxypool.New([]*url.URL{first, second}, proxypool.Sticky(func(r *http.Request) string {
		return r.Header.Get("Account") // each account keeps its proxy
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.CloseIdleConnections()
	used := make(map[string]bool)
	for range 10 {
		req, err := http.NewRequest(http.MethodGet, "http://example.com/", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		req.Header.Set("Account", "alice")
		resp, err := pool.RoundTrip(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		used[proxypool.Via(resp)] = true
		_ = resp.Body.Close()
	}
	fmt.Println(len(used))
	// Output: 1
}

func ExamplePool_Replace() {
	first, stopFirst := startProxy("the first")
	defer stopFirst()
	second, stopSecond := startProxy("the second")
	defer stopSecond()

	pool, err := proxypool.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: pool}
	for _, urls := range [][]*url.URL{{first}, {second}, {}} {
		if err := pool.Replace(urls); err != nil {
			fmt.Println(err)
			return
		}
		show(client, "http://example.com/")
	}
	// Output:
	// the first for http://example.com/ <nil>
	// the second for http://example.com/ <nil>
	// Get "http://example.com/": proxypool: there is no proxy to use: the list is empty
}

func ExampleError() {
	dead, stop := startProxy("")
	stop()
	pool, err := proxypool.New([]*url.URL{dead})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = (&http.Client{Transport: pool}).Post("http://example.com/orders", "text/plain", nil)
	var failure *proxypool.Error
	if errors.As(err, &failure) && !failure.MayHaveArrived {
		fmt.Println("it can be sent again:", errors.Is(err, proxypool.ErrUnreachable))
	}
	// Output: it can be sent again: true
}

func ExampleCheck() {
	good, stop := startProxy("good")
	defer stop()
	dead, stopDead := startProxy("dead")
	stopDead()

	for result, err := range proxypool.Check(context.Background(), []*url.URL{good, dead}, "http://example.com/",
		proxypool.CheckConcurrency(1)) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(result.Done, "of", result.Total, result.OK(), result.Status, errors.Is(result.Err, proxypool.ErrUnreachable))
	}
	// Output:
	// 1 of 2 true 200 false
	// 2 of 2 false 0 true
}
