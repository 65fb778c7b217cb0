package youproxytest_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/listshapes"
	"github.com/youproxy-go/youproxy/internal/long"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// newProxies returns a server whose proxies work: an IPv4 proxy with a login, and an ISP
// proxy that is authorised by IP.
func newProxies(t *testing.T, opts ...youproxytest.Option) (s *youproxytest.Server, withLogin, byIP youproxytest.IPAddress) {
	t.Helper()
	s = newServer(t, append(opts, youproxytest.WithProxies())...)
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1})
	s.AddOrder(youproxytest.Order{ProxyType: "ISP", Country: "DEU", Quantity: 1, AuthIP: netip.MustParseAddr("192.0.2.1")})
	ips := s.IPAddresses()
	return s, ips[0], ips[1]
}

func httpAt(ip youproxytest.IPAddress) string {
	return net.JoinHostPort(ip.Host, strconv.Itoa(ip.HTTPPort))
}

func socks5At(ip youproxytest.IPAddress) string {
	return net.JoinHostPort(ip.Host, strconv.Itoa(ip.SOCKS5Port))
}

// urlOf returns the URL of a proxy, or nil where it does not speak the scheme.
func urlOf(scheme string, ip youproxytest.IPAddress) *url.URL {
	u := &url.URL{Scheme: scheme, Host: httpAt(ip)}
	if scheme == "socks5" {
		u.Host = socks5At(ip)
	}
	if u.Port() == "0" {
		return nil
	}
	if ip.Login != "" {
		u.User = url.UserPassword(ip.Login, ip.Password)
	}
	return u
}

// through returns a client that sends through a proxy.
func through(t *testing.T, proxy *url.URL) *http.Client {
	t.Helper()
	transport := &http.Transport{Proxy: http.ProxyURL(proxy)}
	transport.TLSClientConfig = secure(t).Client().Transport.(*http.Transport).TLSClientConfig
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// tellCaller is a website that tells the address a request comes from.
func tellCaller(w http.ResponseWriter, r *http.Request) {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	_, _ = io.WriteString(w, host)
}

func website(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	site := httptest.NewServer(h)
	t.Cleanup(site.Close)
	return site
}

func secure(t *testing.T) *httptest.Server {
	t.Helper()
	site := httptest.NewTLSServer(http.HandlerFunc(tellCaller))
	t.Cleanup(site.Close)
	return site
}

// fetch returns the status and the body of a page, or an error.
func fetch(client *http.Client, page string) (status int, body string, err error) {
	resp, err := client.Get(page)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestProxiesForward(t *testing.T) {
	s, _, _ := newProxies(t)
	s.AddOrder(youproxytest.Order{ProxyType: "MOBILE", Country: "DEU", Quantity: 1})
	s.AddOrder(youproxytest.Order{ProxyType: "IPv6", Country: "USA", Quantity: 2, Protocol: youproxy.ProtocolHTTP})
	s.AddOrder(youproxytest.Order{ProxyType: "IPv6", Country: "USA", Quantity: 2, Protocol: youproxy.ProtocolSOCKS})
	plain, tls := website(t, tellCaller), secure(t)
	want := map[youproxy.IPAddressID]int{}
	at := map[string]bool{}
	for _, ip := range s.IPAddresses() {
		for _, scheme := range []string{"http", "socks5"} {
			u := urlOf(scheme, ip)
			if u == nil {
				continue
			}
			assert.False(t, at[u.Host], "two proxies have one address")
			at[u.Host] = true
			client := through(t, u)
			for _, page := range []string{strings.Replace(plain.URL, "127.0.0.1", "localhost", 1), tls.URL} {
				for range 2 {
					status, body, err := fetch(client, page)
					require.NoError(t, err, "%s %+v", scheme, ip)
					assert.Equal(t, http.StatusOK, status)
					assert.Equal(t, ip.Host, body, "it comes from where the list says")
				}
			}
			want[ip.ID] += 3 // each of two requests, and one tunnel for two
			if scheme == "socks5" {
				want[ip.ID]-- // one tunnel for each page
			}
			client.CloseIdleConnections()
		}
	}
	assert.Len(t, at, 10)
	assert.Equal(t, want, s.ProxyRequests())
	hosts := map[string]bool{}
	for _, ip := range s.IPAddresses() {
		hosts[ip.Host] = true
	}
	if runtime.GOOS == "linux" {
		assert.Len(t, hosts, 7)
		assert.Equal(t, "127.0.0.2", s.IPAddresses()[0].Host)
		assert.Equal(t, "127.0.0.3", s.IPAddresses()[1].Host)
	}
}

// What the API sells can be used, in whatever form the list has.
func TestProxiesOfEveryList(t *testing.T) {
	page := website(t, tellCaller)
	used := 0
	for _, shape := range listshapes.All() {
		if shape.Loud {
			continue
		}
		s, _, byIP := newProxies(t, youproxytest.WithListShape(shape.Shape))
		s.AddOrder(youproxytest.Order{ProxyType: "IPv6", Country: "USA", Quantity: 2})
		client := newClient(t, s)
		list, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
		require.NoError(t, err, shape.Name)
		for _, p := range list {
			u, err := p.URL(youproxy.SchemeAny)
			if err != nil || p.Credentials == nil && u.Host != httpAt(byIP) {
				continue // the list does not tell the login or the port
			}
			status, _, err := fetch(through(t, u), page.URL)
			require.NoError(t, err, shape.Name)
			assert.Equal(t, http.StatusOK, status, shape.Name)
			used++
		}
		s.Close()
	}
	assert.Greater(t, used, 50)
}

// A proxy tells the target nothing about itself, and changes nothing.
func TestARequestThroughAProxyArrivesAsItWasSent(t *testing.T) {
	_, ip, _ := newProxies(t)
	seen := make(chan *http.Request, 1)
	page := website(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- r
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(append([]byte("got "), body...))
	})
	req, err := http.NewRequest(http.MethodPut, page.URL+"/a%2Fb?x=1;2&y", strings.NewReader("text"))
	require.NoError(t, err)
	req.Header.Set("X-Mine", "1")
	resp, err := through(t, urlOf("http", ip)).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusTeapot, resp.StatusCode)
	assert.Equal(t, "got text", string(body))
	r := <-seen
	assert.Equal(t, "/a%2Fb", r.URL.EscapedPath())
	assert.Equal(t, "x=1;2&y", r.URL.RawQuery)
	assert.Equal(t, "1", r.Header.Get("X-Mine"))
	assert.Equal(t, req.URL.Host, r.Host)
	for _, name := range []string{"Proxy-Authorization", "X-Forwarded-For", "Via"} {
		assert.Empty(t, r.Header.Values(name), name)
	}
}

// checkRefused checks that a proxy accepts nothing, over whatever it speaks.
func checkRefused(t *testing.T, s *youproxytest.Server, ip youproxytest.IPAddress) {
	t.Helper()
	before := s.ProxyRequests()
	status, _, err := fetch(through(t, urlOf("http", ip)), "http://127.0.0.1:1")
	require.NoError(t, err)
	assert.Equal(t, http.StatusProxyAuthRequired, status)
	_, _, err = fetch(through(t, urlOf("http", ip)), "https://127.0.0.1:1")
	assert.ErrorContains(t, err, "Proxy Authentication Required")
	_, _, err = fetch(through(t, urlOf("socks5", ip)), "http://127.0.0.1:1")
	assert.ErrorContains(t, err, "authentication")
	assert.Equal(t, before, s.ProxyRequests())
}

func TestProxiesRefuseOtherLogins(t *testing.T) {
	s, ip, byIP := newProxies(t)
	wrong, other, none := ip, ip, ip
	wrong.Password += "x"
	other.Login += "x"
	none.Login = ""
	for _, ip := range []youproxytest.IPAddress{wrong, other, none} {
		checkRefused(t, s, ip)
	}
	page := website(t, tellCaller)
	byIP.Login, byIP.Password = "any", "login"
	for _, scheme := range []string{"http", "socks5"} {
		status, _, err := fetch(through(t, urlOf(scheme, byIP)), page.URL)
		require.NoError(t, err)
		assert.Equal(t, http.StatusOK, status, "it does not look at the login")
	}
}

func TestProxiesWorkForTheirRentPeriod(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithProxies(), youproxytest.WithClock(c.Now), youproxytest.WithProvisioningDelay(time.Hour), youproxytest.WithRenewedIDs())
	s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1})
	s.AddOrder(youproxytest.Order{ProxyType: "ISP", Country: "DEU", Quantity: 1, AuthIP: netip.MustParseAddr("192.0.2.1")})
	page := website(t, tellCaller)
	check := func(works ...bool) {
		t.Helper()
		for i, ip := range s.IPAddresses() {
			if !works[i] {
				checkRefused(t, s, ip)
				continue
			}
			for _, scheme := range []string{"http", "socks5"} {
				status, _, err := fetch(through(t, urlOf(scheme, ip)), page.URL)
				require.NoError(t, err)
				assert.Equal(t, http.StatusOK, status)
			}
		}
	}
	check(false, false)
	c.advance(time.Hour)
	check(true, true)
	period := s.IPAddresses()[0].End.Sub(c.Now())
	c.advance(period - time.Second)
	check(true, true)
	before := s.IPAddresses()[0].ID
	client := newClient(t, s)
	_, err := client.Extend(t.Context(), youproxy.ExtendIPsRequest{ProxyType: "IPv4", IPAddressIDs: []youproxy.IPAddressID{before}, RentPeriodDays: 30})
	require.NoError(t, err)
	c.advance(time.Second)
	check(true, false)
	after := s.IPAddresses()[0].ID
	assert.NotEqual(t, before, after)
	assert.Equal(t, 6, s.ProxyRequests()[after], "they go with the id")
	c.advance(30 * day)
	check(false, false)
}

// An HTTP connection that is kept open is refused as well.
func TestAKeptConnectionEndsWithTheRentPeriod(t *testing.T) {
	c := newClock()
	_, ip, _ := newProxies(t, youproxytest.WithClock(c.Now))
	client := through(t, urlOf("http", ip))
	page := website(t, tellCaller)
	for _, want := range []int{http.StatusOK, http.StatusProxyAuthRequired} {
		status, _, err := fetch(client, page.URL)
		require.NoError(t, err)
		assert.Equal(t, want, status)
		c.advance(365 * day)
	}
}

func TestATargetThatIsNotThere(t *testing.T) {
	_, ip, _ := newProxies(t)
	const nobody = "127.0.0.1:1"
	status, _, err := fetch(through(t, urlOf("http", ip)), "http://"+nobody)
	require.NoError(t, err)
	assert.Equal(t, http.StatusBadGateway, status)
	_, _, err = fetch(through(t, urlOf("http", ip)), "https://"+nobody)
	assert.ErrorContains(t, err, "Bad Gateway")
	_, _, err = fetch(through(t, urlOf("socks5", ip)), "http://"+nobody)
	assert.ErrorContains(t, err, "host unreachable")
}

// raw sends bytes to a proxy, and returns what it answers before it hangs up.
func raw(t *testing.T, at, sent string) string {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", at)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, sent)
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	return string(answer)
}

func TestWhatIsNoRequestToAProxy(t *testing.T) {
	s, _, ip := newProxies(t)
	assert.Contains(t, raw(t, httpAt(ip), "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), " 400 Bad Request")
	assert.Contains(t, raw(t, httpAt(ip), "GET https://a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), " 400 Bad Request")
	assert.Contains(t, raw(t, httpAt(ip), "GET /client/api/v1/"+s.APIKey()+"/balance HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), " 400 Bad Request", "the API is elsewhere")
	for name, test := range map[string]struct{ sent, want string }{
		"nothing":                 {"", ""},
		"SOCKS4":                  {"\x04\x01\x00\x50", ""},
		"only with a login":       {"\x05\x01\x02", "\x05\xff"},
		"it breaks off":           {"\x05\x01\x00\x05\x01", "\x05\x00"},
		"another version":         {"\x05\x01\x00\x04\x01\x00\x01\x7f\x00\x00\x01\x00\x01", "\x05\x00"},
		"no address":              {"\x05\x01\x00\x05\x01\x00\x01\x7f\x00", "\x05\x00"},
		"to listen":               {"\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x01", "\x05\x00\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"},
		"another kind of address": {"\x05\x01\x00\x05\x01\x00\x05", "\x05\x00\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00"},
		"an IPv6 address":         {"\x05\x01\x00\x05\x01\x00\x04" + strings.Repeat("\x00", 15) + "\x01\x00\x01", "\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"},
	} {
		assert.Equal(t, test.want, raw(t, socks5At(ip), test.sent), name)
	}
}

// What a client sends at once with its request is part of the tunnel, and one that has
// sent all still gets the answer.
func TestATunnelCarriesEverything(t *testing.T) {
	_, _, ip := newProxies(t)
	host := strings.TrimPrefix(website(t, tellCaller).URL, "http://")
	at := netip.MustParseAddrPort(host)
	const request = "GET / HTTP/1.0\r\n\r\n"
	for proxy, sent := range map[string]string{
		httpAt(ip):   "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n" + request,
		socks5At(ip): "\x05\x01\x00\x05\x01\x00\x03\x09127.0.0.1" + string([]byte{byte(at.Port() >> 8), byte(at.Port())}) + request,
	} {
		answer := raw(t, proxy, sent)
		assert.Contains(t, answer, "HTTP/1.0 200 OK")
		assert.True(t, strings.HasSuffix(answer, "\r\n\r\n"+ip.Host), answer)
	}
}

// hold makes a request through SOCKS5 that is not answered, and a tunnel through HTTP to
// a server that is silent. It returns once both are under way.
func hold(t *testing.T, ip youproxytest.IPAddress) (tunnel net.Conn, ended <-chan error) {
	t.Helper()
	held := make(chan struct{}, 1)
	page := website(t, func(_ http.ResponseWriter, r *http.Request) {
		held <- struct{}{}
		<-r.Context().Done()
	})
	silent, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	end := make(chan error, 1)
	client := through(t, urlOf("socks5", ip))
	go func() {
		_, _, err := fetch(client, page.URL)
		end <- err
	}()
	<-held
	tunnel, err = new(net.Dialer).DialContext(t.Context(), "tcp", httpAt(ip))
	require.NoError(t, err)
	t.Cleanup(func() { _ = tunnel.Close() })
	_, err = io.WriteString(tunnel, "CONNECT "+silent.Addr().String()+" HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(tunnel).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 200 Connection established\r\n", line)
	return tunnel, end
}

func TestCloseEndsProxies(t *testing.T) {
	s, _, ip := newProxies(t)
	tunnel, ended := hold(t, ip)
	s.Close()
	assert.Error(t, <-ended)
	_, _ = io.ReadAll(tunnel) // which ends
	for _, at := range []string{httpAt(ip), socks5At(ip)} {
		_, err := new(net.Dialer).DialContext(t.Context(), "tcp", at)
		assert.Error(t, err)
	}
	assert.Panics(t, func() { s.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1}) })
	assert.Len(t, s.ProxyRequests(), 1)
	s.Close() // twice is no mistake
}

func TestBreakProxy(t *testing.T) {
	s, one, two := newProxies(t)
	tunnel, ended := hold(t, two)
	s.BreakProxy(one.ID, youproxytest.ProxyRefusesLogin)
	checkRefused(t, s, one)
	s.BreakProxy(two.ID, youproxytest.ProxyDown)
	assert.Error(t, <-ended)
	_, _ = io.ReadAll(tunnel) // which ends
	for _, at := range []string{httpAt(two), socks5At(two)} {
		_, err := new(net.Dialer).DialContext(t.Context(), "tcp", at)
		assert.ErrorContains(t, err, "refused")
	}
	assert.Len(t, s.IPAddresses(), 2)
	assert.PanicsWithValue(t, "youproxytest: there is no proxy 7 that works: see WithProxies", func() { s.BreakProxy("7", youproxytest.ProxyDown) })
	assert.PanicsWithValue(t, "youproxytest: 0 is not a fault of a proxy", func() { s.BreakProxy(two.ID, 0) })
	idle := newServer(t)
	idle.AddOrder(youproxytest.Order{ProxyType: "IPv4", Country: "USA", Quantity: 1})
	assert.Panics(t, func() { idle.BreakProxy(idle.IPAddresses()[0].ID, youproxytest.ProxyDown) })
	assert.Empty(t, idle.ProxyRequests())
}

// A proxy that goes down answers nothing more: neither that a login is wrong, nor that a
// target is gone.
func TestAProxyGoesDownInSilence(t *testing.T) {
	page := website(t, tellCaller)
	rounds := 3
	if long.Run() {
		rounds = 20
	}
	for range rounds {
		s, one, _ := newProxies(t)
		var asking sync.WaitGroup
		var asked atomic.Int64
		for i := range 8 {
			client := through(t, urlOf([]string{"http", "socks5"}[i%2], one))
			client.Transport.(*http.Transport).DisableKeepAlives = true
			asking.Go(func() {
				for {
					status, body, err := fetch(client, page.URL)
					if err != nil {
						assert.NotContains(t, err.Error(), "username/password")
						assert.NotContains(t, err.Error(), "unreachable")
						return
					}
					if !assert.Equal(t, http.StatusOK, status, body) {
						return
					}
					asked.Add(1)
				}
			})
		}
		require.Eventually(t, func() bool { return asked.Load() > 20 }, time.Minute, time.Millisecond)
		s.BreakProxy(one.ID, youproxytest.ProxyDown)
		asking.Wait()
	}
}

func TestAThousandProxies(t *testing.T) {
	s := newServer(t, youproxytest.WithProxies(), youproxytest.WithBalance(youproxy.MustMoney("10000 USD")))
	client := newClient(t, s)
	order := ipv4Order
	order.Quantity = 1000
	_, err := client.CreateOrder(t.Context(), order)
	require.NoError(t, err)
	list, err := client.ListProxies(t.Context(), youproxy.ProxyQuery{})
	require.NoError(t, err)
	require.Len(t, list, 1000)
	page := website(t, tellCaller)
	for _, p := range []youproxy.Proxy{list[0], list[255], list[999]} {
		u, err := p.URL(youproxy.SchemeHTTP)
		require.NoError(t, err)
		_, body, err := fetch(through(t, u), page.URL)
		require.NoError(t, err)
		assert.Equal(t, p.Host, body)
	}
	assert.Len(t, s.ProxyRequests(), 3)
}

func TestProxiesDoNotWorkInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		assert.PanicsWithValue(t, "youproxytest: WithProxies does not work inside a testing/synctest bubble, nor with the clock of the system in the past",
			func() { youproxytest.NewServer(youproxytest.WithProxies()) })
	})
}

func ExampleWithProxies() {
	server := youproxytest.NewServer(youproxytest.WithProxies())
	defer server.Close()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer site.Close()
	client, err := server.Client()
	if err != nil {
		panic(err)
	}

	ctx := context.Background()
	bought, err := client.Buy(ctx, youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 2, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}, youproxy.MustMoney("10 USD"))
	if err != nil {
		panic(err)
	}
	proxies, err := client.WaitForProxies(ctx, bought)
	if err != nil {
		panic(err)
	}
	for _, proxy := range proxies {
		transport, err := proxy.Transport(youproxy.SchemeSOCKS5)
		if err != nil {
			panic(err)
		}
		resp, err := (&http.Client{Transport: transport}).Get(site.URL)
		if err != nil {
			panic(err)
		}
		page, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
		fmt.Printf("%s: %s\n", resp.Status, page)
	}
	fmt.Println("proxies used:", len(server.ProxyRequests()))
	// Output:
	// 200 OK: hello
	// 200 OK: hello
	// proxies used: 2
}
