package proxypool

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func checkAll(t *testing.T, urls []*url.URL, target string, opts ...CheckOption) []CheckResult {
	t.Helper()
	results := make([]CheckResult, len(urls))
	seen := 0
	for r, err := range Check(t.Context(), urls, target, opts...) {
		require.NoError(t, err)
		seen++
		assert.Equal(t, seen, r.Done)
		assert.Equal(t, len(urls), r.Total)
		assert.Empty(t, results[r.Index].Proxy, "one result each")
		assert.Equal(t, Name(urls[r.Index]), r.Proxy)
		results[r.Index] = r
	}
	require.Equal(t, len(urls), seen)
	return results
}

// checked is a list of proxies, and where those of a kind stand in it.
type checked struct {
	world   *world
	urls    []*url.URL
	servers []*proxyServer
	at      map[string][]int
}

// add starts a proxy.
func (c *checked) add(kind, scheme string, change func(*proxyServer)) {
	s := c.world.proxy(scheme, fmt.Sprintf("p%d.example.com", len(c.urls)), someUser)
	if change != nil {
		change(s)
	}
	c.servers = append(c.servers, s)
	c.at[kind] = append(c.at[kind], len(c.urls))
	c.urls = append(c.urls, (&url.URL{Scheme: scheme, User: someUser, Host: s.url.Host}))
}

// wantOther has a proxy want another password than its URL has.
func wantOther(s *proxyServer) {
	s.url = &url.URL{Scheme: s.url.Scheme, User: url.UserPassword("login", "right"), Host: s.url.Host}
}

func startChecked(t *testing.T) *checked {
	c := &checked{world: newWorld(t), at: make(map[string][]int)}
	for _, scheme := range []string{"http", "https", "socks5"} {
		c.add("good", scheme, nil)
		c.add("dead", scheme, (*proxyServer).kill)
		c.add("hangs up", scheme, func(s *proxyServer) { s.behave(habit{hangUp: true}) })
	}
	c.add("another password", "http", wantOther)
	c.add("another password", "socks5", wantOther)
	c.add("refuses", "socks5", func(s *proxyServer) { s.behave(habit{socksReply: 2}) })
	c.add("refuses tunnels", "http", func(s *proxyServer) { s.behave(habit{connectAnswer: "HTTP/1.1 403 No\r\n\r\n"}) })
	n := len(c.urls)
	c.urls = append(c.urls, nil, &url.URL{Scheme: "ftp"}, c.urls[0])
	c.at["invalid"] = []int{n, n + 1}
	c.at["good"] = append(c.at["good"], n+2)
	return c
}

func TestCheck(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto.name, func(t *testing.T) {
			c := startChecked(t)
			to := target(t, proto, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/moved" {
					http.Redirect(w, r, "/", http.StatusFound)
					return
				}
				_, _ = io.WriteString(w, "192.0.2.7\n")
			})
			for i, r := range checkAll(t, c.urls, to.URL, CheckTransport(c.world.base())) {
				for kind, places := range c.at {
					if kind == "refuses tunnels" && proto.name == "http" {
						continue // which needs none
					}
					if slices.Contains(places, i) {
						checkResult(t, kind, r)
					}
				}
			}
			for _, s := range c.servers {
				until(t, "a connection stays", func() bool { return s.open() == 0 })
			}
			moved := checkAll(t, c.urls[:1], to.URL+"/moved", CheckTransport(c.world.base()))
			assert.Equal(t, http.StatusFound, moved[0].Status)
			assert.True(t, moved[0].OK())
		})
	}
}

// checkResult checks what is found out about a proxy of that kind.
func checkResult(t *testing.T, kind string, r CheckResult) {
	t.Helper()
	reachable, authenticated := false, false
	switch kind {
	case "good":
		reachable, authenticated = true, true
		require.NoError(t, r.Err, "%d", r.Index)
		assert.Equal(t, http.StatusOK, r.Status)
		assert.Equal(t, netip.MustParseAddr("192.0.2.7"), r.ExitIP)
		assert.Positive(t, r.Latency)
	case "dead":
		assert.ErrorIs(t, r.Err, ErrUnreachable)
		assert.Zero(t, r.Status)
	case "hangs up":
		reachable = r.Reachable // either may be
	case "another password":
		reachable = true
		assert.ErrorIs(t, r.Err, ErrAuthentication)
	case "refuses", "refuses tunnels":
		reachable, authenticated = true, true
		assert.ErrorIs(t, r.Err, ErrRefused)
	case "invalid":
		assert.Error(t, r.Err)
		assert.Equal(t, "invalid proxy URL", r.Proxy)
	}
	assert.Equal(t, reachable, r.Reachable, "%s: %v", kind, r)
	assert.Equal(t, authenticated, r.Authenticated, "%s: %v", kind, r)
	assert.Equal(t, kind == "good", r.OK(), "%s: %v", kind, r)
}

func TestCheckOfASilentProxy(t *testing.T) {
	for _, scheme := range []string{"http", "socks5", "https"} {
		for _, to := range []string{"http://t.test/", "https://t.test/"} {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.set("a", mute)
				urls := memoryURLs("a")
				urls[0].Scheme = scheme
				began := time.Now()
				r := checkAll(t, urls, to, CheckTransport(m.base()), CheckTimeout(3*time.Second))[0]
				assert.Equal(t, 3*time.Second, time.Since(began))
				assert.False(t, r.OK() || r.Authenticated)
				took := scheme == "http" && to == "http://t.test/" // and it may be the target that is silent
				assert.Equal(t, took, r.Reachable, "it took the connection, and nothing more: %s to %s, %v", scheme, to, r.Err)
				var failure *Error
				require.ErrorAs(t, r.Err, &failure)
				assert.True(t, failure.Timeout(), "%#v %v", failure.Err, failure)
				synctest.Wait()
			})
		}
	}
}

// TestCheckTriesAgain lets a proxy fail in some ways before it works.
func TestCheckTriesAgain(t *testing.T) {
	hangsUp := func(c net.Conn) { _ = c.Close() }
	breaksOff := func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConte")
		_ = c.Close()
	}
	forbidden := answering("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n")
	noLogin := answering("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")
	silent := mute
	for name, test := range map[string]struct {
		fails []func(net.Conn) // nil refuses the connection
		opts  []CheckOption
		dials int
		want  int // status
		err   error
	}{
		"by default":               {[]func(net.Conn){nil}, nil, 2, 200, nil},
		"no more":                  {[]func(net.Conn){nil, nil}, nil, 2, 0, ErrUnreachable},
		"once":                     {[]func(net.Conn){nil}, []CheckOption{CheckTries(1)}, 1, 0, ErrUnreachable},
		"often":                    {[]func(net.Conn){nil, hangsUp, nil, hangsUp}, []CheckOption{CheckTries(5)}, 5, 200, nil},
		"it hangs up":              {[]func(net.Conn){hangsUp}, nil, 2, 200, nil},
		"it breaks off":            {[]func(net.Conn){breaksOff}, nil, 2, 200, nil},
		"a status is an answer":    {[]func(net.Conn){forbidden}, nil, 1, 502, nil},
		"a login is not":           {[]func(net.Conn){noLogin}, []CheckOption{CheckTries(3)}, 1, 0, ErrAuthentication},
		"as long as there is time": {[]func(net.Conn){silent}, []CheckOption{CheckTries(3), CheckTimeout(time.Second)}, 1, 0, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dials := 0
				m := newMemory()
				base := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					m.set("a", good)
					if dials < len(test.fails) {
						m.set("a", test.fails[dials])
					}
					dials++
					return m.dial(ctx, network, addr)
				}}
				r := checkAll(t, memoryURLs("a"), "http://t.test/", append(test.opts, CheckTransport(base))...)[0]
				assert.Equal(t, test.dials, dials)
				assert.Equal(t, test.want, r.Status)
				assert.ErrorIs(t, r.Err, test.err)
				assert.Equal(t, test.want != 0, r.OK() && r.Reachable && r.Authenticated, "%+v", r)
				synctest.Wait()
			})
		})
	}
}

func TestCheckIsBounded(t *testing.T) {
	for _, most := range []int{1, 4, 100} {
		synctest.Test(t, func(t *testing.T) {
			var now, peak, all atomic.Int64
			base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				all.Add(1)
				for n := now.Add(1); ; {
					old := peak.Load()
					if n <= old || peak.CompareAndSwap(old, n) {
						break
					}
				}
				time.Sleep(time.Second)
				now.Add(-1)
				return nil, errNoDial
			}}
			checkAll(t, manyURLs(50), "http://t.test/", CheckTransport(base), CheckConcurrency(most))
			assert.EqualValues(t, min(most, 50), peak.Load())
			assert.EqualValues(t, 2*50, all.Load(), "each is tried twice")
		})
	}
}

func TestCheckEndsWithItsLoop(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 8)
	for _, s := range servers[1:] {
		s.behave(habit{silent: true})
	}
	to := target(t, protocols[2], hello)
	n := 0
	for r, err := range Check(t.Context(), urls, to.URL, CheckTransport(w.base())) {
		require.NoError(t, err)
		require.True(t, r.OK(), r)
		n++
		break
	}
	assert.Equal(t, 1, n)
	for _, s := range servers {
		until(t, "a connection stays", func() bool { return s.open() == 0 })
	}
	synctest.Test(t, func(t *testing.T) {
		var dials atomic.Int64
		base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			time.Sleep(time.Second)
			return nil, errNoDial
		}}
		for range Check(t.Context(), manyURLs(100), "http://t.test/", CheckTransport(base), CheckConcurrency(2)) {
			break
		}
		time.Sleep(time.Hour)
		assert.LessOrEqual(t, dials.Load(), int64(2*2+2), "two tries of the first two proxies, and one of the next two")
	})
}

func TestCheckEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 4)
	for _, s := range servers {
		s.behave(habit{silent: true})
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for _, s := range servers {
			for s.accepted.Load() == 0 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
		cancel()
	}()
	var last error
	for _, err := range Check(ctx, urls, "https://example.com/", CheckTransport(w.base())) {
		require.NoError(t, last, "nothing comes after the error")
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
	ended, end := context.WithCancelCause(t.Context())
	end(errors.New("why"))
	n := 0
	for _, err := range Check(ended, urls, "https://example.com/", CheckTransport(w.base())) {
		n++
		last = err
	}
	assert.ErrorContains(t, last, "why")
	assert.LessOrEqual(t, n, len(urls)+1)
}

func TestBadChecks(t *testing.T) {
	for name, opt := range map[string]CheckOption{
		"nil": nil, "concurrency": CheckConcurrency(0), "timeout": CheckTimeout(0), "tries": CheckTries(0), "transport": CheckTransport(nil), "exit": CheckExitIP(nil),
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			for r, err := range Check(t.Context(), manyURLs(3), "http://t.test/", opt) {
				n++
				require.ErrorContains(t, err, "proxypool: ")
				assert.Zero(t, r)
			}
			assert.Equal(t, 1, n)
		})
	}
	for _, to := range []string{"", "t.test", "ftp://t.test/secret", "http://", "http://t.test:secret/", "\x00secret", "http:///secret"} {
		t.Run(to, func(t *testing.T) {
			n := 0
			for _, err := range Check(t.Context(), manyURLs(3), to) {
				n++
				require.Error(t, err)
				assert.NotContains(t, err.Error(), "secret")
			}
			assert.Equal(t, 1, n)
		})
	}
	for _, err := range Check(nil, manyURLs(1), "http://t.test/") { //nolint:staticcheck // it must not panic
		require.Error(t, err)
	}
	for range Check(t.Context(), nil, "http://t.test/") {
		t.Error("there is nothing to check")
	}
}

func TestExitIP(t *testing.T) {
	var answer atomic.Value
	w := newWorld(t)
	_, urls := w.proxies("http", 1)
	to := target(t, protocols[0], func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer.Load().(string)) })
	for _, tc := range []struct{ name, answer, want string }{
		{"plain", "192.0.2.1", "192.0.2.1"},
		{"line", " 192.0.2.1\r\n", "192.0.2.1"},
		{"IPv6", "2001:db8::1\n", "2001:db8::1"},
		{"mapped", "::ffff:192.0.2.1", "192.0.2.1"},
		{"zone", "fe80::1%eth0", "fe80::1"},
		{"ip", `{"ip":"192.0.2.1"}`, "192.0.2.1"},
		{"origin", `{"origin": "192.0.2.1, 198.51.100.1"}`, "192.0.2.1"},
		{"query", `{"status":"success","query":"192.0.2.1"}`, "192.0.2.1"},
		{"address", `{"address":"2001:db8::1"}`, "2001:db8::1"},
		{"trace", "fl=1\nh=x\nip=192.0.2.1\nts=1\n", "192.0.2.1"},
		{"trace with CRLF", "a=b\r\nip=2001:db8::1\r\n", "2001:db8::1"},
		{"ip of a number", `{"ip":1}`, ""},
		{"ip null, then query", `{"ip":null,"query":"192.0.2.1"}`, "192.0.2.1"},
		{"nothing", "", ""},
		{"nonsense", "<html>192.0.2.1</html>", ""},
		{"no address", "ip=example.com", ""},
		{"list", `["192.0.2.1"]`, ""},
		{"null", `null`, ""},
		{"too high", "999.1.1.1", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			answer.Store(tc.answer)
			r := checkAll(t, urls, to.URL, CheckTransport(w.base()))[0]
			require.NoError(t, r.Err)
			if tc.want == "" {
				assert.False(t, r.ExitIP.IsValid(), r.ExitIP)
				return
			}
			assert.Equal(t, tc.want, r.ExitIP.String())
			assert.Contains(t, r.String(), "from "+tc.want)
		})
	}
	answer.Store("anything")
	want := netip.MustParseAddr("198.51.100.9")
	r := checkAll(t, urls, to.URL, CheckTransport(w.base()), CheckExitIP(func(resp *http.Response, body []byte) netip.Addr {
		assert.Equal(t, http.StatusOK, resp.StatusCode)
		assert.Equal(t, "anything", string(body))
		return want
	}))[0]
	assert.Equal(t, want, r.ExitIP)
}

func TestCheckReadsNoLongAnswers(t *testing.T) {
	w := newWorld(t)
	_, urls := w.proxies("socks5", 1)
	ended := make(chan struct{})
	to := target(t, protocols[1], func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		for { // without an end
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	})
	var got int
	r := checkAll(t, urls, to.URL, CheckTransport(w.base()), CheckExitIP(func(_ *http.Response, body []byte) netip.Addr {
		got = len(body)
		return netip.Addr{}
	}))[0]
	require.NoError(t, r.Err)
	assert.Equal(t, 64<<10, got)
	<-ended
}

func TestCheckResult(t *testing.T) {
	r := CheckResult{
		Index: 1, Proxy: "http://l:***@h:1", Reachable: true, Authenticated: true, Status: 200, Latency: 1500 * time.Microsecond,
		ExitIP: netip.MustParseAddr("192.0.2.1"), Done: 2, Total: 3,
	}
	for _, v := range []any{r, &r} {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		assert.JSONEq(t, `{"index":1,"proxy":"http://l:***@h:1","reachable":true,"authenticated":true,"status":200,"latency":1500000,"exitIP":"192.0.2.1","done":2,"total":3}`, string(text))
	}
	assert.Equal(t, "http://l:***@h:1: status 200 in 2ms, from 192.0.2.1", r.String())
	failed := CheckResult{Proxy: "http://l:***@h:1", Err: ErrUnreachable}
	text, err := json.Marshal(failed)
	require.NoError(t, err)
	assert.JSONEq(t, `{"index":0,"proxy":"http://l:***@h:1","reachable":false,"authenticated":false,"status":0,"latency":0,"done":0,"total":0,"error":"the proxy cannot be reached"}`, string(text))
	assert.Equal(t, "http://l:***@h:1: the proxy cannot be reached", failed.String())
	assert.False(t, failed.OK() || CheckResult{}.OK())
	assert.True(t, r.OK())
}
