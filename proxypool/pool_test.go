package proxypool

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBadOptions(t *testing.T) {
	for name, opt := range map[string]Option{
		"nil":                 nil,
		"tries":               WithTries(0),
		"negative tries":      WithTries(-1),
		"connect timeout":     WithConnectTimeout(0),
		"negative timeout":    WithConnectTimeout(-1),
		"no first rest":       WithRest(0, time.Second),
		"negative rest":       WithRest(-1, time.Second),
		"rests in disorder":   WithRest(2, 1),
		"transport":           WithTransport(nil),
		"logger":              WithLogger(nil),
		"sticky without keys": Sticky(nil),
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(manyURLs(1), opt)
			require.ErrorContains(t, err, "proxypool: ")
			assert.Nil(t, p)
		})
	}
}

func TestBadLists(t *testing.T) {
	for name, u := range map[string]*url.URL{
		"nil": nil, "empty": {}, "scheme": {Scheme: "ftp", Host: "h"}, "host": {Scheme: "http"},
		"query": {Scheme: "http", Host: "h", RawQuery: "q"}, "path": {Scheme: "http", Host: "h", Path: "/p"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := New(append(manyURLs(2), u))
			require.ErrorContains(t, err, "index 2")
			assert.Nil(t, p)
		})
	}
}

func TestPoolsThatAreNone(t *testing.T) {
	for name, p := range map[string]*Pool{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			body := countedBody(strings.NewReader("x"))
			_, err := p.RoundTrip(request(t, http.MethodPost, "http://t.test/", body))
			require.ErrorContains(t, err, "proxypool: ")
			assert.EqualValues(t, 1, body.closes.Load())
			require.Error(t, p.Replace(manyURLs(1)))
			assert.Empty(t, p.Stats())
			p.CloseIdleConnections()
			assert.NotEmpty(t, p.String())
			assert.NotEmpty(t, fmt.Sprintf("%+v", p))
			assert.NotEmpty(t, p.LogValue().String())
		})
	}
	p, err := New(nil)
	require.NoError(t, err)
	_, err = p.RoundTrip(nil)
	require.Error(t, err)
}

func TestError(t *testing.T) {
	inner := &because{ErrRefused, "it answered 403 to CONNECT", nil}
	err := &Error{Proxy: "http://l:***@h:1", Tries: 3, MayHaveArrived: true, Err: inner}
	assert.Equal(t, "proxypool: through http://l:***@h:1, after 2 others: the proxy made no connection to the target: it answered 403 to CONNECT (the request may have arrived)", err.Error())
	assert.ErrorIs(t, err, ErrRefused)
	assert.NotErrorIs(t, err, ErrUnreachable)
	assert.False(t, err.Timeout())
	assert.True(t, (&Error{Err: context.DeadlineExceeded}).Timeout())
	var b bytes.Buffer
	slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "err", err)
	var line struct{ Err map[string]any }
	require.NoError(t, json.Unmarshal(b.Bytes(), &line))
	assert.Equal(t, map[string]any{
		"proxy": "http://l:***@h:1", "tries": 3.0, "may_have_arrived": true,
		"error": "the proxy made no connection to the target: it answered 403 to CONNECT",
	}, line.Err)
}

func TestClientTimeout(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto.name, func(t *testing.T) {
			w := newWorld(t)
			_, urls := w.proxies("http", 2)
			asked := make(chan struct{})
			to := target(t, proto, func(_ http.ResponseWriter, r *http.Request) {
				close(asked)
				<-r.Context().Done()
				panic(http.ErrAbortHandler)
			})
			pool := w.pool(urls)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { <-asked; cancel() }()
			resp, err := (&http.Client{Transport: pool}).Do(request(t, http.MethodGet, to.URL, nil).WithContext(ctx))
			if err == nil {
				_ = resp.Body.Close()
			}
			var failure *Error
			require.ErrorAs(t, err, &failure)
			assert.ErrorIs(t, err, context.Canceled)
			assert.True(t, failure.MayHaveArrived)
			assert.Equal(t, 1, failure.Tries)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("a", mute)
		p, err := New(memoryURLs("a"), WithTransport(m.base()))
		require.NoError(t, err)
		resp, err := (&http.Client{Transport: p, Timeout: time.Second}).Get("http://t.test/")
		if err == nil {
			_ = resp.Body.Close()
		}
		var timeout interface{ Timeout() bool }
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())
		assert.ErrorContains(t, err, "through http://login:***@a:1")
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("a", good)
		var logged bytes.Buffer
		urls := memoryURLs("a", "b")
		p, err := New(urls, WithTransport(m.base()), WithRest(time.Hour, time.Hour), WithLogger(slog.New(slog.NewJSONHandler(&logged, nil))))
		require.NoError(t, err)
		for range 4 {
			require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
		}
		stats := p.Stats()
		require.Len(t, stats, 2)
		assert.Equal(t, ProxyStats{Proxy: Name(urls[0]), Requests: 4, Connections: 1, Connects: 1}, stats[0])
		assert.Equal(t, uint64(1), stats[1].Requests)
		assert.Equal(t, uint64(1), stats[1].Failures)
		assert.Contains(t, stats[1].LastError, "refused")
		within(t, time.Hour, time.Until(stats[1].RestsUntil))
		assert.Equal(t, "proxy pool: 2 proxies, 1 resting", p.String())
		assert.Equal(t, 1, strings.Count(logged.String(), "a proxy rests"))
		text, err := json.Marshal(stats)
		require.NoError(t, err)
		assert.Contains(t, string(text), `{"proxy":"http://login:***@a:1","requests":4,"failures":0,"inFlight":0,"connections":1,"connects":1}`)
		m.set("b", good)
		time.Sleep(2 * time.Hour)
		for range 4 {
			require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
		}
		synctest.Wait()
		assert.Zero(t, p.Stats()[1].RestsUntil)
		assert.NotEmpty(t, p.Stats()[1].LastError)
		assert.Equal(t, 1, strings.Count(logged.String(), "a proxy is back"))
		p.CloseIdleConnections()
		synctest.Wait()
		for _, s := range p.Stats() {
			assert.Zero(t, s.Connections)
		}
	})
}

func TestTries(t *testing.T) {
	for _, c := range choosers {
		m := newMemory()
		urls := manyURLs(20)
		p, err := New(urls, WithTransport(m.base()), WithTries(3), c.option)
		require.NoError(t, err)
		err = send(p, http.MethodPost, "https://t.test/")
		var failure *Error
		require.ErrorAs(t, err, &failure)
		assert.Equal(t, 3, failure.Tries)
		assert.False(t, failure.MayHaveArrived)
		dials := 0
		for _, u := range urls {
			n := m.dialed(u.Hostname())
			assert.LessOrEqual(t, n, 1)
			dials += n
		}
		assert.Equal(t, 3, dials)
	}
}

func TestVia(t *testing.T) {
	assert.Empty(t, Via(nil))
	assert.Empty(t, Via(&http.Response{}))
	assert.Empty(t, Via(&http.Response{Request: &http.Request{}}))
	w := newWorld(t)
	_, urls := w.proxies("socks5", 1)
	to := target(t, protocols[2], func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/end" {
			http.Redirect(w, r, "/end", http.StatusFound)
		}
	})
	resp, err := (&http.Client{Transport: w.pool(urls)}).Get(to.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, Name(urls[0]), Via(resp))
	assert.Equal(t, "/end", resp.Request.URL.Path)
}

// baseTransport is a transport that a caller has a pool copy.
type baseTransport struct {
	name   string
	scheme string
	change func(w *world, base *http.Transport, calls *atomic.Int64)
	major  int // of HTTP, to a target of HTTP/2
	called bool
}

var baseTransports = []baseTransport{
	{"DialContext", "http", func(*world, *http.Transport, *atomic.Int64) {}, 2, false},
	{"Dial", "http", func(w *world, b *http.Transport, calls *atomic.Int64) {
		b.DialContext = nil
		b.Dial = func(n, a string) (net.Conn, error) { //nolint:staticcheck // callers may still use it
			calls.Add(1)
			return w.dial(context.Background(), n, a)
		}
	}, 2, true},
	{"DialTLSContext", "https", func(w *world, b *http.Transport, calls *atomic.Int64) {
		b.DialContext = nil
		b.DialTLSContext = func(ctx context.Context, n, a string) (net.Conn, error) {
			calls.Add(1)
			c, err := w.dial(ctx, n, a)
			if err != nil {
				return nil, err
			}
			return tls.Client(c, &tls.Config{RootCAs: testRoots(), ServerName: "example.com"}), nil
		}
	}, 2, true},
	{"DialTLS", "https", func(w *world, b *http.Transport, calls *atomic.Int64) {
		b.DialContext = nil
		b.DialTLS = func(n, a string) (net.Conn, error) { //nolint:staticcheck // callers may still use it
			calls.Add(1)
			c, err := w.dial(context.Background(), n, a)
			if err != nil {
				return nil, err
			}
			return tls.Client(c, &tls.Config{RootCAs: testRoots(), ServerName: "example.com"}), nil
		}
	}, 2, true},
	{"TLS to the proxy", "https", func(*world, *http.Transport, *atomic.Int64) {}, 2, false},
	{"OnProxyConnectResponse", "http", func(_ *world, b *http.Transport, calls *atomic.Int64) {
		b.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error { calls.Add(1); return nil }
	}, 2, true},
	{"ForceAttemptHTTP2 unset, as net/http has it", "http", func(_ *world, b *http.Transport, _ *atomic.Int64) { b.ForceAttemptHTTP2 = false }, 1, false},
	{"TLSNextProto empty", "http", func(_ *world, b *http.Transport, _ *atomic.Int64) {
		b.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		b.ForceAttemptHTTP2 = false
	}, 1, false},
	{"MaxConnsPerHost", "http", func(_ *world, b *http.Transport, _ *atomic.Int64) { b.MaxConnsPerHost = 1 }, 2, false},
	{"MaxConnsPerHost of HTTP/1.1", "socks5", func(_ *world, b *http.Transport, _ *atomic.Int64) {
		b.MaxConnsPerHost = 1
		b.ForceAttemptHTTP2 = false
	}, 1, false},
	{"a Proxy of its own", "http", func(_ *world, b *http.Transport, calls *atomic.Int64) {
		b.Proxy = func(*http.Request) (*url.URL, error) { panic("not asked") }
	}, 2, false},
}

func TestBaseTransports(t *testing.T) {
	t.Parallel()
	for i, b := range baseTransports {
		if !Sampled(i, 1) {
			continue
		}
		t.Run(b.name, func(t *testing.T) { b.serves(t) })
	}
}

func (b baseTransport) serves(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies(b.scheme, 2)
	to := target(t, protocols[2], func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.ProtoMajor) })
	base := w.base()
	var calls atomic.Int64
	b.change(w, base, &calls)
	pool := w.pool(urls, WithTransport(base))
	crowd(Sized(64, 256), func() {
		resp, err := pool.RoundTrip(request(t, http.MethodPost, to.URL, strings.NewReader("body")))
		if assert.NoError(t, err) {
			assert.Equal(t, b.major, resp.ProtoMajor)
			_, _ = io.Copy(io.Discard, resp.Body)
			assert.NoError(t, resp.Body.Close())
		}
	})
	assert.Equal(t, b.called, calls.Load() > 0)
	for _, s := range servers {
		assert.NotZero(t, s.tunnels.Load())
		if base.MaxConnsPerHost == 1 {
			// One at a time. Over HTTP/1.1 net/http gives up one whose last
			// request took it long to write.
			most := map[int]int64{1: 8, 2: 1}[b.major]
			assert.LessOrEqual(t, s.tunnels.Load(), most, "and there were 64 requests at once")
		}
	}
}

// TestTheirHookSpeaksFirst has a hook of the caller refuse what a proxy says.
func TestTheirHookSpeaksFirst(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 1)
	servers[0].behave(habit{connectAnswer: "HTTP/1.1 403 No\r\n\r\n"})
	mine := errors.New("mine")
	base := w.base()
	base.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
		if res.StatusCode != http.StatusOK {
			return mine
		}
		return nil
	}
	pool := w.pool(urls, WithTransport(base))
	failure := failureOf(t, pool, request(t, http.MethodGet, "https://example.com/", nil))
	require.ErrorIs(t, failure, mine)
	assert.Zero(t, pool.Stats()[0].RestsUntil, "the proxy works")
}

func TestWithoutABase(t *testing.T) {
	dead := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	ask := func() {
		p, err := New([]*url.URL{dead})
		require.NoError(t, err)
		failure := failureOf(t, p, request(t, http.MethodPost, "https://example.com/", strings.NewReader("x")))
		require.ErrorIs(t, failure, ErrUnreachable)
		assert.NotZero(t, p.Stats()[0].RestsUntil)

		w := newWorld(t)
		server := w.proxy("http", "p.example.com", someUser)
		to := target(t, protocols[0], hello)
		p, err = New([]*url.URL{{Scheme: "http", User: someUser, Host: server.address()}})
		require.NoError(t, err)
		get(t, p, to.URL)
		require.NoError(t, p.Replace(nil))
	}
	ask()
	theirs := http.DefaultTransport
	defer func() { http.DefaultTransport = theirs }()
	http.DefaultTransport = struct{ http.RoundTripper }{theirs}
	ask()
	p, err := New(manyURLs(1))
	require.NoError(t, err)
	assert.True(t, p.pool().roster.Load().proxies[0].enter().transport.ForceAttemptHTTP2)
}

func TestRequestsStayAsTheyAre(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 2)
	servers[0].kill()
	to := target(t, protocols[1], hello)
	pool := w.pool(urls, inOrder())
	req := request(t, http.MethodPut, to.URL, strings.NewReader("body"))
	req.Header.Set("Idempotency-Key", "1")
	header, body, ctx := req.Header.Clone(), req.Body, req.Context()
	resp, err := pool.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, header, req.Header)
	assert.Equal(t, body, req.Body)
	assert.NotNil(t, req.GetBody)
	assert.Equal(t, ctx, req.Context())
}

// x/net/http2 has all copies of a transport share its connections: each proxy gets
// HTTP/2 connections of its own all the same.
func TestATransportWithAnotherHTTP2(t *testing.T) {
	shared := func(string, *tls.Conn) http.RoundTripper { panic("connections are shared") }
	w := newWorld(t)
	_, urls := w.proxies("http", 4)
	to := target(t, protocols[2], hello)
	base := w.base()
	base.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{"h2": shared}
	pool := w.pool(urls, WithTransport(base))
	for range 8 {
		get(t, pool, to.URL)
	}
	for _, s := range pool.Stats() {
		assert.Equal(t, 1, s.Connections, s.Proxy)
		assert.EqualValues(t, 2, s.Requests, s.Proxy)
	}
}
