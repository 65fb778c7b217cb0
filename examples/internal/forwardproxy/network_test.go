package forwardproxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	first  = youproxytest.IPAddress{Host: "198.18.0.1", HTTPPort: 59100, SOCKS5Port: 59101, Login: "login1", Password: "secret: 1"}
	second = youproxytest.IPAddress{Host: "198.18.0.2", HTTPPort: 59100, SOCKS5Port: 59101}
)

func newNetwork(t *testing.T) *Network {
	t.Helper()
	n := New()
	t.Cleanup(n.Close)
	require.NoError(t, n.Add(first))
	require.NoError(t, n.Add(second))
	return n
}

// through gives a client that sends through a proxy of the network.
func through(t *testing.T, n *Network, proxy *url.URL, tlsOf *httptest.Server) *http.Client {
	t.Helper()
	transport := n.Transport()
	transport.Proxy = http.ProxyURL(proxy)
	if tlsOf != nil {
		transport.TLSClientConfig = tlsOf.Client().Transport.(*http.Transport).TLSClientConfig
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func proxyURL(scheme string, p youproxytest.IPAddress) *url.URL {
	u := &url.URL{Scheme: scheme, Host: net.JoinHostPort(p.Host, strconv.Itoa(p.HTTPPort))}
	if scheme == "socks5" {
		u.Host = net.JoinHostPort(p.Host, strconv.Itoa(p.SOCKS5Port))
	}
	if p.Login != "" {
		u.User = url.UserPassword(p.Login, p.Password)
	}
	return u
}

func TestEachProxyHasItsExitAddress(t *testing.T) {
	n := newNetwork(t)
	plain, err := n.Serve(http.HandlerFunc(CallersAddress))
	require.NoError(t, err)
	secure := httptest.NewTLSServer(http.HandlerFunc(CallersAddress))
	defer secure.Close()
	for _, scheme := range []string{"http", "socks5"} {
		for _, target := range []string{plain, secure.URL} {
			for i, p := range []youproxytest.IPAddress{first, second} {
				client := through(t, n, proxyURL(scheme, p), secure)
				for range 2 {
					resp, err := client.Get(target)
					require.NoError(t, err)
					body, err := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					require.NoError(t, err)
					if runtime.GOOS == "linux" {
						assert.Equal(t, "127.0.0."+strconv.Itoa(i+2)+"\n", string(body))
					}
				}
				client.CloseIdleConnections()
			}
		}
	}
}

// The proxy tells the target nothing about itself, and changes nothing.
func TestARequestArrivesAsItWasSent(t *testing.T) {
	n := newNetwork(t)
	seen := make(chan *http.Request, 1)
	target, err := n.Serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen <- r
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(append([]byte("got "), body...))
	}))
	require.NoError(t, err)
	req, err := http.NewRequest(http.MethodPut, target+"a%2Fb?x=1;2&y", strings.NewReader("text"))
	require.NoError(t, err)
	req.Header.Set("X-Mine", "1")
	resp, err := through(t, n, proxyURL("http", first), nil).Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, http.StatusTeapot, resp.StatusCode)
	assert.Equal(t, "got text", string(body))
	r := <-seen
	assert.Equal(t, "/a%2Fb", r.URL.EscapedPath())
	assert.Equal(t, "1", r.Header.Get("X-Mine"))
	assert.Equal(t, req.URL.Host, r.Host)
	for _, name := range []string{"Proxy-Authorization", "X-Forwarded-For", "Via"} {
		assert.Empty(t, r.Header.Values(name), name)
	}
}

func TestWrongLogins(t *testing.T) {
	n := newNetwork(t)
	target, err := n.Serve(http.HandlerFunc(CallersAddress))
	require.NoError(t, err)
	wrong, none := first, first
	wrong.Password = "secret: 2"
	none.Login = ""
	for _, p := range []youproxytest.IPAddress{wrong, none} {
		resp, err := through(t, n, proxyURL("http", p), nil).Get(target)
		require.NoError(t, err)
		_ = resp.Body.Close()
		assert.Equal(t, http.StatusProxyAuthRequired, resp.StatusCode)
		_, err = through(t, n, proxyURL("http", p), nil).Get("https://192.0.2.1/")
		assert.ErrorContains(t, err, "Proxy Authentication Required")
		_, err = through(t, n, proxyURL("socks5", p), nil).Get(target)
		assert.ErrorContains(t, err, "authentication")
	}
}

func TestATargetThatIsNotThere(t *testing.T) {
	n := newNetwork(t)
	const nobody = "127.0.0.1:1"
	resp, err := through(t, n, proxyURL("http", first), nil).Get("http://" + nobody)
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Equal(t, http.StatusBadGateway, resp.StatusCode)
	_, err = through(t, n, proxyURL("http", first), nil).Get("https://" + nobody)
	assert.ErrorContains(t, err, "Bad Gateway")
	_, err = through(t, n, proxyURL("socks5", first), nil).Get("http://" + nobody)
	assert.ErrorContains(t, err, "host unreachable")
}

func TestAProxyThatIsNotThere(t *testing.T) {
	n := newNetwork(t)
	third := youproxytest.IPAddress{Host: "198.18.0.3", HTTPPort: 59100}
	_, err := through(t, n, proxyURL("http", third), nil).Get("http://192.0.2.1/")
	assert.ErrorContains(t, err, "dial tcp 198.18.0.3:59100: connect: ")
	_, err = n.dial(t.Context(), "tcp", "no.proxy.invalid:1")
	assert.Error(t, err)
}

// raw sends bytes to a proxy, and gives what it answers before it hangs up.
func raw(t *testing.T, n *Network, port int, sent string) string {
	t.Helper()
	c, err := n.dial(t.Context(), "tcp", net.JoinHostPort(second.Host, strconv.Itoa(port)))
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
	n := newNetwork(t)
	assert.Contains(t, raw(t, n, second.HTTPPort, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), " 400 Bad Request")
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
		assert.Equal(t, test.want, raw(t, n, second.SOCKS5Port, test.sent), name)
	}
}

// What a client sends at once with its request is part of the tunnel, and one that
// has sent all still gets the answer.
func TestATunnelCarriesEverything(t *testing.T) {
	n := newNetwork(t)
	target, err := n.Serve(http.HandlerFunc(CallersAddress))
	require.NoError(t, err)
	host := strings.Trim(strings.TrimPrefix(target, "http:"), "/")
	_, port, err := net.SplitHostPort(host)
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	const request = "GET / HTTP/1.0\r\n\r\n"
	for at, sent := range map[int]string{
		second.HTTPPort:   "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n" + request,
		second.SOCKS5Port: "\x05\x01\x00\x05\x01\x00\x03\x09127.0.0.1" + string([]byte{byte(number >> 8), byte(number)}) + request,
	} {
		answer := raw(t, n, at, sent)
		assert.Contains(t, answer, "HTTP/1.0 200 OK")
		assert.Regexp(t, `\r\n\r\n127\.0\.0\.\d\n$`, answer)
	}
}

func TestCloseEndsTunnelsAndRequests(t *testing.T) {
	n := newNetwork(t)
	held := make(chan struct{}, 1)
	target, err := n.Serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		held <- struct{}{}
		<-r.Context().Done()
	}))
	require.NoError(t, err)
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()

	ended := make(chan error, 1)
	go func() {
		_, err := through(t, n, proxyURL("socks5", first), nil).Get(target)
		ended <- err
	}()
	<-held
	c, err := n.dial(t.Context(), "tcp", net.JoinHostPort(second.Host, strconv.Itoa(second.HTTPPort)))
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "CONNECT "+silent.Addr().String()+" HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(c).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 200 Connection established\r\n", line)

	n.Close()

	assert.Error(t, <-ended)
	_, err = n.Serve(nil)
	assert.ErrorIs(t, err, errClosed)
	assert.ErrorIs(t, n.Add(first), errClosed)
	assert.ErrorIs(t, n.Add(youproxytest.IPAddress{SOCKS5Port: 1}), errClosed)
	assert.ErrorIs(t, n.life.Err(), context.Canceled)
	n.Close() // twice is no mistake
}
