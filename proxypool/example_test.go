package proxypool_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"time"

	"github.com/youproxy-go/youproxy/proxypool"
)

// startProxy starts a stand-in for a proxy server, which answers in the place of
// every target, also in a tunnel.
func startProxy(name string) (*url.URL, func()) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect {
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n\r\n%s for %s", name, r.Host)
				_ = c.Close()
			}
			return
		}
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
	// proxy pool: 2 proxies, 0 resting
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

// A target that does not welcome a proxy answers 403: the request goes through
// another, and the proxy rests for this host.
func ExampleWithBan() {
	banned := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not welcome", http.StatusForbidden)
	}))
	defer banned.Close()
	second, stop := startProxy("the second")
	defer stop()

	first := &url.URL{Scheme: "http", Host: banned.Listener.Addr().String()}
	pool, err := proxypool.New([]*url.URL{first, second}, proxypool.WithBan(func(resp *http.Response) bool {
		return resp.StatusCode == http.StatusForbidden
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.CloseIdleConnections()
	show(&http.Client{Transport: pool}, "http://example.com/")
	for host := range pool.Stats()[0].RestsForHosts {
		fmt.Println("the first rests for", host)
	}
	// Output:
	// the second for http://example.com/ <nil>
	// the first rests for example.com
}

// Any protocol over TCP goes through a tunnel. Drivers of databases take DialContext as
// their dialer, and grpc.WithContextDialer takes a function that calls it with "tcp".
func ExamplePool_DialContext() {
	first, stop := startProxy("the first")
	defer stop()
	pool, err := proxypool.New([]*url.URL{first})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.CloseIdleConnections()
	c, err := pool.DialContext(context.Background(), "tcp", "db.example.com:5432")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = c.Close() }()
	text, err := io.ReadAll(c)
	fmt.Println(string(text), err)
	// Output: the first for db.example.com:5432 <nil>
}

// The context of a request reports its proxy, whatever library sends it.
func ExampleOnUse() {
	first, stop := startProxy("the first")
	defer stop()
	pool, err := proxypool.New([]*url.URL{first})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.CloseIdleConnections()

	var used string
	ctx := proxypool.OnUse(context.Background(), func(proxy string) { used = proxy })
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://example.com/", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := (&http.Client{Transport: pool}).Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = resp.Body.Close()
	fmt.Println(used == proxypool.Name(first))
	// Output: true
}

func ExampleReadURLs() {
	list := `# a list, as sellers have it
192.0.2.1:8080:login:password
login:password@192.0.2.2:8080
socks5://192.0.2.3:1080
192.0.2.4
`
	urls, err := proxypool.ReadURLs(strings.NewReader(list))
	for _, u := range urls {
		fmt.Println(proxypool.Name(u))
	}
	fmt.Println(err)
	// Output:
	// http://login:***@192.0.2.1:8080
	// http://login:***@192.0.2.2:8080
	// socks5://192.0.2.3:1080
	// proxypool: line 5 cannot be read: it is not host:port, with a login and a password in one of the usual places
}

// A proxy without a login on this machine, for a browser or another program that
// cannot log in to the proxies of the pool.
func ExampleForward() {
	first, stop := startProxy("the first")
	defer stop()
	pool, err := proxypool.New([]*url.URL{first})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.CloseIdleConnections()

	forwarder := proxypool.Forward(pool)
	defer func() { _ = forwarder.Close() }()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // or a fixed port, such as 8118
	if err != nil {
		fmt.Println(err)
		return
	}
	server := &http.Server{Handler: forwarder, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	// A program needs nothing but this address, as in HTTP_PROXY and HTTPS_PROXY.
	local := &url.URL{Scheme: "http", Host: listener.Addr().String()}
	transport := &http.Transport{Proxy: http.ProxyURL(local)}
	defer transport.CloseIdleConnections()
	show(&http.Client{Transport: transport}, "http://example.com/")
	// Output: the first for http://example.com/ <nil>
}
