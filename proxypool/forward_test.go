package proxypool

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// forwarding starts a server with a Forwarder, on loopback.
func forwarding(t testing.TB, p *Pool, opts ...ForwardOption) (*Forwarder, *httptest.Server) {
	t.Helper()
	f := Forward(p, opts...)
	s := target(t, protocols[0], f.ServeHTTP)
	t.Cleanup(func() { require.NoError(t, f.Close()) }) // before the server's
	return f, s
}

// throughForwarder is a client of a forwarding server.
func throughForwarder(t testing.TB, s *httptest.Server) *http.Client {
	t.Helper()
	at, err := url.Parse(s.URL)
	require.NoError(t, err)
	transport := &http.Transport{
		Proxy: http.ProxyURL(at), TLSClientConfig: &tls.Config{RootCAs: testRoots()}, ForceAttemptHTTP2: true,
		ExpectContinueTimeout: time.Minute,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// rawConn is a connection with a server, to write and read what no client would.
type rawConn struct {
	*net.TCPConn

	t testing.TB
	r *bufio.Reader
}

// say connects and sends the request. Each line of it ends with a line feed alone.
func say(t testing.TB, s *httptest.Server, request string) *rawConn {
	t.Helper()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	raw := &rawConn{TCPConn: c.(*net.TCPConn), t: t, r: bufio.NewReader(c)}
	raw.say(strings.ReplaceAll(request, "\n", "\r\n"))
	return raw
}

func (c *rawConn) say(text string) {
	c.t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(c.t, err)
}

// hear reads as much as it expects.
func (c *rawConn) hear(text string) {
	c.t.Helper()
	b := make([]byte, len(text))
	n, err := io.ReadFull(c.r, b)
	require.NoError(c.t, err, "it said %q", b[:n])
	require.Equal(c.t, text, string(b))
}

// ends reads until the other side has sent all.
func (c *rawConn) ends() string {
	c.t.Helper()
	b, err := io.ReadAll(c.r)
	require.NoError(c.t, err)
	return string(b)
}

// answer reads a response whole.
func (c *rawConn) answer(method string) (*http.Response, string) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	require.NoError(c.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	require.NoError(c.t, resp.Body.Close())
	return resp, string(body)
}

func echo(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "%s %s", r.Method, b)
}

func TestForward(t *testing.T) {
	t.Parallel()
	for i, scheme := range []string{"http", "https", "socks5"} {
		for j, proto := range protocols {
			if !Sampled(i+j, 2) {
				continue
			}
			t.Run(scheme+" to "+proto.name, func(t *testing.T) {
				w := newWorld(t)
				servers, urls := w.proxies(scheme, 2)
				to := target(t, proto, echo)
				_, s := forwarding(t, w.pool(urls))
				for range 2 {
					client := throughForwarder(t, s)
					for method, body := range map[string]string{"GET": "", "POST": "body", "PUT": strings.Repeat("long", 1<<20)} {
						resp, err := client.Do(request(t, method, to.URL, strings.NewReader(body)))
						require.NoError(t, err)
						got, err := io.ReadAll(resp.Body)
						require.NoError(t, err)
						require.NoError(t, resp.Body.Close())
						same := method+" "+body == string(got)
						assert.True(t, same, "another body came back")
					}
				}
				for _, p := range servers {
					assert.Positive(t, p.tunnels.Load()+p.plain.Load(), "both serve")
				}
			})
		}
	}
}

func TestForwardRefusesRequests(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 1)
	pool := w.pool(urls)
	_, s := forwarding(t, pool)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	require.NoError(t, err)
	for name, line := range map[string]string{
		"a page":                     "GET / HTTP/1.1\nHost: rebound.example.com",
		"a page of itself":           "GET / HTTP/1.1\nHost: 127.0.0.1:" + port,
		"a WebSocket of a page":      "GET / HTTP/1.1\nHost: 127.0.0.1\nConnection: Upgrade\nUpgrade: websocket",
		"a form":                     "POST /http://example.com/ HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 0",
		"another scheme":             "GET ftp://example.com:80/ HTTP/1.1\nHost: example.com",
		"no host":                    "GET http:///x HTTP/1.1\nHost: example.com",
		"only a port":                "GET http://:80/x HTTP/1.1\nHost: example.com",
		"a bad port":                 "GET http://example.com:99999/ HTTP/1.1\nHost: example.com",
		"an opaque URL":              "GET http:x HTTP/1.1\nHost: example.com",
		"itself":                     "GET http://127.0.0.1:" + port + "/ HTTP/1.1\nHost: example.com",
		"itself, another address":    "GET http://127.8.8.8:" + port + "/ HTTP/1.1\nHost: example.com",
		"itself, mapped":             "GET http://[::ffff:0.0.0.0]:" + port + "/ HTTP/1.1\nHost: example.com",
		"itself by name":             "GET http://LocalHost.:" + port + "/ HTTP/1.1\nHost: example.com",
		"itself through CONNECT":     "CONNECT 127.0.0.1:" + port + " HTTP/1.1\nHost: example.com",
		"itself, any address":        "CONNECT 0.0.0.0:" + port + " HTTP/1.1\nHost: example.com",
		"itself, any IPv6 address":   "CONNECT [::]:" + port + " HTTP/1.1\nHost: example.com",
		"CONNECT without a port":     "CONNECT example.com HTTP/1.1\nHost: example.com:443",
		"CONNECT with an empty port": "CONNECT example.com: HTTP/1.1\nHost: example.com:443",
		"CONNECT to port 0":          "CONNECT example.com:0 HTTP/1.1\nHost: example.com:443",
		"CONNECT to a high port":     "CONNECT example.com:65536 HTTP/1.1\nHost: example.com:443",
		"CONNECT without a host":     "CONNECT :443 HTTP/1.1\nHost: example.com:443",
		"CONNECT with a login":       "CONNECT user@example.com:443 HTTP/1.1\nHost: example.com:443",
		"CONNECT with a path":        "CONNECT example.com:443/x HTTP/1.1\nHost: example.com:443",
		"CONNECT to a path":          "CONNECT /x HTTP/1.1\nHost: example.com:443",
		"CONNECT to an odd host":     "CONNECT ex<ample.com:443 HTTP/1.1\nHost: example.com:443",
	} {
		t.Run(name, func(t *testing.T) {
			resp, text := say(t, s, line+"\n\n").answer(http.MethodGet)
			assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
			assert.NotEmpty(t, text)
			assert.Equal(t, "text/plain; charset=utf-8", resp.Header.Get("Content-Type"))
		})
	}
	assert.Zero(t, servers[0].accepted.Load())
	assert.Zero(t, pool.Stats()[0].Requests)
}

func TestForwardOverHTTP2(t *testing.T) {
	w := newWorld(t)
	_, urls := w.proxies("http", 1)
	s := target(t, protocols[2], Forward(w.pool(urls)).ServeHTTP)
	resp, err := s.Client().Get(s.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusHTTPVersionNotSupported, resp.StatusCode)
}

func TestForwardCallers(t *testing.T) {
	w := newWorld(t)
	_, urls := w.proxies("http", 1)
	pool, to := w.pool(urls), target(t, protocols[0], hello)
	for from, local := range map[string]bool{
		"127.0.0.1:1": true, "127.1.2.3:65535": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"192.0.2.1:1": false, "[2001:db8::1]:1": false, "[::ffff:192.0.2.1]:1": false, "0.0.0.0:1": false, "[::]:1": false,
		"": false, "@": false, "pipe": false, "127.0.0.1": false, "::1": false, "localhost:1": false,
	} {
		t.Run(from, func(t *testing.T) {
			ask := func(method, target string, opts ...ForwardOption) int {
				r := httptest.NewRequest(method, target, nil).WithContext(t.Context())
				r.RemoteAddr = from
				r.Header.Set("X-Forwarded-For", "127.0.0.1")
				recorder := httptest.NewRecorder()
				Forward(pool, opts...).ServeHTTP(recorder, r)
				return recorder.Code
			}
			want := map[bool]int{true: 200, false: 403}[local]
			assert.Equal(t, want, ask(http.MethodGet, to.URL))
			assert.Equal(t, 200, ask(http.MethodGet, to.URL, nil, AllowRemote()))
			want = map[bool]int{true: 400, false: 403}[local]
			assert.Equal(t, want, ask(http.MethodConnect, "example.com:0"))
		})
	}
}

func TestForwardFailures(t *testing.T) {
	t.Parallel()
	silent := habit{silent: true}
	for name, c := range map[string]struct {
		scheme string
		habit  habit
		none   bool
		plain  int // statuses
		tunnel int
		text   string
	}{
		"an empty list":          {none: true, plain: 502, tunnel: 502, text: "the list is empty"},
		"it hangs up":            {scheme: "http", habit: habit{hangUp: true}, plain: 502, tunnel: 502, text: "through "},
		"it is silent":           {scheme: "http", habit: silent, tunnel: 504, text: "the proxy cannot be reached"},
		"it is silent, SOCKS5":   {scheme: "socks5", habit: silent, plain: 504, tunnel: 504, text: "the proxy cannot be reached"},
		"it refuses the login":   {scheme: "socks5", habit: habit{refuseSOCKSLogin: true}, plain: 502, tunnel: 502, text: ErrAuthentication.Error()},
		"it refuses the target":  {scheme: "http", habit: habit{connectAnswer: "HTTP/1.1 403 Forbidden\r\n\r\n"}, tunnel: 502, text: ErrRefused.Error()},
		"it wants another login": {scheme: "http", habit: habit{plainAnswer: "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"{authorization}\"\r\nContent-Length: 0\r\n\r\n"}, plain: 502, text: ErrAuthentication.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			connect := time.Minute
			if c.habit.silent {
				connect = 100 * time.Millisecond
			}
			var urls []*url.URL
			if !c.none {
				p := w.proxy(c.scheme, "p0.example.com", someUser)
				p.behave(c.habit)
				urls = append(urls, p.url)
			}
			for request, status := range map[string]int{
				"GET http://example.com/ HTTP/1.1\nHost: example.com\n\n":            c.plain,
				"CONNECT example.com:443 HTTP/1.1\nHost: example.com:443\n\n":        c.tunnel,
				"HEAD http://example.com/ HTTP/1.1\nHost: example.com\nX-H: yes\n\n": c.plain,
			} {
				if status == 0 {
					continue
				}
				_, s := forwarding(t, w.pool(urls, WithConnectTimeout(connect)))
				method, _, _ := strings.Cut(request, " ")
				resp, text := say(t, s, request).answer(method)
				assert.Equal(t, status, resp.StatusCode, request)
				assert.NotContains(t, text+fmt.Sprint(resp.Header), "pass-WORD")
				assert.NotContains(t, text+fmt.Sprint(resp.Header), "bG9naW4", "the login in Base64")
				assert.Empty(t, resp.Header.Get("Proxy-Authenticate"))
				if tunnel := method == http.MethodConnect; !c.none {
					// Scripts of a page can read what is answered to its requests, but not to CONNECT.
					assert.Equal(t, tunnel, strings.Contains(text, "p0.example.com"), text)
				}
				if method != http.MethodHead {
					assert.Contains(t, text, c.text)
				}
			}
		})
	}
}

// A client may send what is for the target before it has a tunnel. Without one that is no
// request to the proxy, whoever made the client send it.
func TestForwardRefusedTunnelEndsItsConnection(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 1)
	servers[0].behave(habit{connectAnswer: "HTTP/1.1 403 Forbidden\r\n\r\n"})
	to := target(t, protocols[0], hello)
	_, s := forwarding(t, w.pool(urls))
	for _, host := range []string{"example.com:443", "example.com", "example.com:0"} {
		raw := say(t, s, "CONNECT "+host+" HTTP/1.1\nHost: x\n\nGET "+to.URL+" HTTP/1.1\nHost: x\n\n")
		resp, _ := raw.answer(http.MethodConnect)
		assert.GreaterOrEqual(t, resp.StatusCode, 400)
		assert.Empty(t, raw.ends(), host)
	}
	assert.Zero(t, servers[0].plain.Load())
}

// What goes through a SOCKS5 proxy is the target's word alone.
func TestForwardTargetAsksForAProxyLogin(t *testing.T) {
	w := newWorld(t)
	_, urls := w.proxies("socks5", 1)
	to := target(t, protocols[0], func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Authenticate", `Basic realm="tell me"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
	})
	_, s := forwarding(t, w.pool(urls))
	resp, text := say(t, s, "GET "+to.URL+" HTTP/1.1\nHost: x\n\n").answer(http.MethodGet)
	assert.Equal(t, http.StatusBadGateway, resp.StatusCode)
	assert.Empty(t, resp.Header.Get("Proxy-Authenticate"))
	assert.Contains(t, text, "407")
}

func TestForwardersThatAreNone(t *testing.T) {
	var none *Forwarder
	for name, f := range map[string]*Forwarder{
		"nil": none, "zero": {}, "without a pool": Forward(nil), "with an empty pool": Forward(&Pool{}),
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodConnect} {
				r := httptest.NewRequest(method, "http://example.com:80", nil)
				r.RemoteAddr = "127.0.0.1:1"
				recorder := httptest.NewRecorder()
				require.NotPanics(t, func() { f.ServeHTTP(recorder, r) })
				assert.GreaterOrEqual(t, recorder.Code, 403)
				assert.NotEmpty(t, recorder.Body.String())
			}
			require.NoError(t, f.Close())
			require.NoError(t, f.Close())
			assert.NotContains(t, fmt.Sprintf("%+v", f), "pass-WORD")
		})
	}
}

// The caller leaves while the target, or a proxy, lets it wait.
func TestForwardWithoutItsCaller(t *testing.T) {
	t.Run("request", func(t *testing.T) {
		w := newWorld(t)
		_, urls := w.proxies("socks5", 1)
		asked, left := make(chan struct{}), make(chan struct{})
		to := target(t, protocols[0], func(_ http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done()
			close(left)
			panic(http.ErrAbortHandler)
		})
		_, s := forwarding(t, w.pool(urls))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { <-asked; cancel() }()
		_, err := throughForwarder(t, s).Do(request(t, http.MethodGet, to.URL, nil).WithContext(ctx))
		require.ErrorIs(t, err, context.Canceled)
		<-left
	})
	t.Run("tunnel", func(t *testing.T) {
		w := newWorld(t)
		servers, urls := w.proxies("http", 1)
		servers[0].behave(habit{silent: true})
		pool := w.pool(urls, WithConnectTimeout(time.Hour))
		_, s := forwarding(t, pool)
		raw := say(t, s, "CONNECT example.com:443 HTTP/1.1\nHost: x\n\n")
		require.Eventually(t, func() bool { return servers[0].open() == 1 }, time.Minute, time.Millisecond)
		require.NoError(t, raw.Close())
		require.Eventually(t, func() bool { return servers[0].open() == 0 }, time.Minute, time.Millisecond, "well before the connect timeout")
	})
}
