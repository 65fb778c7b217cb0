package proxypool

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kind is a kind of request.
type kind struct {
	name   string
	method string
	body   bool
	pipe   bool // without GetBody
	key    bool // with Idempotency-Key
}

var kinds = []kind{
	{name: "GET", method: http.MethodGet},
	{name: "HEAD", method: http.MethodHead},
	{name: "OPTIONS", method: http.MethodOptions},
	{name: "GET with body", method: http.MethodGet, body: true},
	{name: "POST", method: http.MethodPost},
	{name: "POST with body", method: http.MethodPost, body: true},
	{name: "POST with body without GetBody", method: http.MethodPost, body: true, pipe: true},
	{name: "POST with key", method: http.MethodPost, key: true},
	{name: "POST with key and body", method: http.MethodPost, body: true, key: true},
	{name: "PUT", method: http.MethodPut, body: true},
	{name: "PUT with key and body", method: http.MethodPut, body: true, key: true},
	{name: "PATCH", method: http.MethodPatch, body: true},
	{name: "DELETE", method: http.MethodDelete},
	{name: "DELETE with key", method: http.MethodDelete, key: true},
}

// bodySize is more than the buffers on the way hold, so that a body can be cut.
const bodySize = 1 << 20

var largeBody = bytes.Repeat([]byte("0123456789abcdef"), bodySize/16)

func (k kind) request(t *testing.T, target string) *http.Request {
	t.Helper()
	var body io.Reader
	switch {
	case k.pipe:
		body = struct{ io.Reader }{bytes.NewReader(largeBody)}
	case k.body:
		body = bytes.NewReader(largeBody)
	}
	req := request(t, k.method, target, body)
	if k.pipe {
		req.ContentLength = bodySize
	}
	if k.key {
		req.Header.Set("Idempotency-Key", "1")
	}
	return req
}

// repeatable is what the documentation allows to be sent again.
func (k kind) repeatable() bool {
	return !k.body && (k.method == http.MethodGet || k.method == http.MethodHead || k.method == http.MethodOptions)
}

// failurePoint is where the first proxy fails a request.
type failurePoint struct {
	name string
	// before sets the proxy up, for those before the target sees anything.
	before func(*proxyServer)
	// at is what the target does with the first request, with a way to end the proxy.
	at func(w http.ResponseWriter, r *http.Request, end func())
	// served says that the response has begun by then.
	served bool
}

var failurePoints = []failurePoint{
	{name: "before connecting", before: func(s *proxyServer) { s.kill() }},
	{name: "at once when connected", before: func(s *proxyServer) { s.behave(habit{hangUp: true}) }},
	{name: "with garbage", before: func(s *proxyServer) { s.behave(habit{greeting: "\x00\xffgarbage\r\n\r\n"}) }},
	{name: "at CONNECT with 502", before: func(s *proxyServer) {
		s.behave(habit{connectAnswer: "HTTP/1.1 502 Bad Gateway\r\n\r\n", socksReply: 1})
	}},
	{name: "at the login", before: func(s *proxyServer) {
		s.behave(habit{connectAnswer: "HTTP/1.1 407 No\r\n\r\n", plainAnswer: "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", refuseSOCKSLogin: true})
	}},
	{name: "after CONNECT", before: func(s *proxyServer) { s.behave(habit{cutAfterConnect: true}) }},
	{name: "in TLS", before: func(s *proxyServer) { s.behave(habit{cutInTLS: true}) }},
	{name: "after the header", at: func(_ http.ResponseWriter, r *http.Request, end func()) { end() }},
	{name: "in the body", at: func(_ http.ResponseWriter, r *http.Request, end func()) {
		_, _ = io.CopyN(io.Discard, r.Body, bodySize/2)
		end()
	}},
	{name: "after the body", at: func(_ http.ResponseWriter, r *http.Request, end func()) {
		_, _ = io.Copy(io.Discard, r.Body)
		end()
	}},
	{name: "in the header of the response", at: func(w http.ResponseWriter, r *http.Request, end func()) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.ProtoMajor == 1 {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
				end()
				_ = c.Close()
			}
			return
		}
		w.WriteHeader(http.StatusEarlyHints)
		end()
	}},
	{name: "in the body of the response", served: true, at: func(w http.ResponseWriter, r *http.Request, end func()) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}},
}

// ledger is what a target saw of requests.
type ledger struct {
	mu     sync.Mutex
	seen   int
	failAt func(w http.ResponseWriter, r *http.Request)
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/warm" {
		hello(w, r)
		return
	}
	l.mu.Lock()
	l.seen++
	fail := l.failAt
	l.failAt = nil
	l.mu.Unlock()
	if fail != nil {
		fail(w, r)
		panic(http.ErrAbortHandler)
	}
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	w.Header().Set("X-Got", fmt.Sprint(n))
	_, _ = io.WriteString(w, "hello")
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// failing is a way in which the first of the proxies fails a request.
type failing struct {
	scheme string
	proto  protocol
	point  failurePoint
	used   string // the connection that the request gets
}

func (f failing) String() string {
	return strings.Join([]string{f.scheme, f.proto.name, f.used, f.point.name}, "/")
}

func failings() (list []failing) {
	for _, scheme := range []string{"http", "socks5", "https"} {
		for _, proto := range protocols {
			for _, point := range failurePoints {
				for _, used := range []string{"new", "kept", "kept, goes on listening"} {
					if scheme == "https" && (used != "new" || proto.name != "HTTP/1.1") {
						continue // it differs from http only in how its connection begins
					}
					if used != "new" && point.before != nil && point.name != "before connecting" {
						continue // what is kept has no more of these
					}
					list = append(list, failing{scheme, proto, point, used})
				}
			}
		}
	}
	return list
}

// TestNeverTwice has the first of two proxies, or the only one, fail a request, at any
// point, and asks what the target saw of it.
func TestNeverTwice(t *testing.T) {
	t.Parallel()
	for i, f := range failings() {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			for j, k := range kinds {
				if !Sampled(i+j, len(kinds)) {
					continue
				}
				t.Run(k.name, func(t *testing.T) {
					f.neverTwice(t, k, 2)
					f.neverTwice(t, k, 1)
				})
			}
		})
	}
}

func (f failing) neverTwice(t *testing.T, k kind, proxies int) {
	w := newWorld(t)
	servers, urls := w.proxies(f.scheme, proxies)
	book := &ledger{}
	to := target(t, f.proto, book.ServeHTTP)
	pool := w.pool(urls, inOrder())
	if f.used != "new" {
		get(t, pool, to.URL+"/warm")
	}
	end := f.setUp(servers[0], book)
	resp, err := pool.RoundTrip(k.request(t, to.URL+"/"))
	switch {
	case err != nil:
		k.failed(t, book, err, proxies)
		return
	case f.point.served:
		cutResponse(t, k, resp, end)
		require.Equal(t, 1, book.count())
	case resp.StatusCode == http.StatusBadGateway && f.proto.name == "http" && f.scheme != "socks5":
		// The proxy was quick enough to say it in the place of the target.
	default:
		require.Equal(t, http.StatusOK, resp.StatusCode)
		if k.body {
			assert.Equal(t, fmt.Sprint(bodySize), resp.Header.Get("X-Got"), "the body came whole")
		}
		if !k.repeatable() {
			assert.Equal(t, 1, book.count(), "sent once")
		}
	}
	require.NoError(t, resp.Body.Close())
}

// setUp makes the proxy fail, and returns what ends it.
func (f failing) setUp(bad *proxyServer, book *ledger) (end func()) {
	end = bad.kill
	if f.used == "kept, goes on listening" {
		end = bad.cut
	}
	switch {
	case f.point.at != nil:
		book.failAt = func(w http.ResponseWriter, r *http.Request) { f.point.at(w, r, end) }
	case f.used == "kept, goes on listening":
		bad.cut()
	default:
		f.point.before(bad)
	}
	return end
}

// cutResponse ends the proxy of a response half of which is there.
func cutResponse(t *testing.T, k kind, resp *http.Response, end func()) {
	t.Helper()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	if k.method == http.MethodHead {
		return
	}
	_, err := io.ReadFull(resp.Body, make([]byte, 4))
	require.NoError(t, err)
	end()
	_, err = io.ReadAll(resp.Body)
	require.Error(t, err, "the response was cut")
}

// failed checks what the error of a request says.
func (k kind) failed(t *testing.T, book *ledger, err error, proxies int) {
	t.Helper()
	var failure *Error
	require.ErrorAs(t, err, &failure)
	assert.NotErrorIs(t, err, context.Canceled, "nobody has cancelled it")
	if !failure.MayHaveArrived {
		assert.Zero(t, book.count(), "what the target saw of a request that cannot have arrived: %v", err)
	}
	if !k.repeatable() {
		assert.LessOrEqual(t, book.count(), 1, "sent again: %v", err)
	}
	assert.LessOrEqual(t, book.count(), 2)
	if proxies == 2 {
		assert.False(t, k.repeatable(), "another proxy would have done: %v", err)
		assert.True(t, failure.MayHaveArrived, "another proxy would have done: %v", err)
	}
}

// resetting serves HTTP/2 by hand: it reads each request to its end, and resets it
// as one that was malformed. net/http sends such requests again.
func resetting(t *testing.T) (target string, seen *atomic.Int64) {
	t.Helper()
	seen = new(atomic.Int64)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{testCertificate()}, NextProtos: []string{"h2"}})
	require.NoError(t, err)
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	const (
		data, headers, rstStream, settings = 0, 1, 3, 4
		endStream, ack                     = 1, 1
		protocolError                      = 1
	)
	serve := func(c net.Conn) {
		defer c.Close()
		frame := func(kind, flags byte, stream, payload []byte) {
			n := len(payload)
			head := append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, stream...)
			_, _ = c.Write(append(head, payload...))
		}
		if _, err := io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
			return
		}
		frame(settings, 0, make([]byte, 4), nil)
		for {
			head := make([]byte, 9)
			if _, err := io.ReadFull(c, head); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
				return
			}
			kind, flags, stream := head[3], head[4], head[5:]
			if kind == settings && flags&ack == 0 {
				frame(settings, ack, make([]byte, 4), nil)
			}
			if kind == headers {
				seen.Add(1)
			}
			if (kind == headers || kind == data) && flags&endStream != 0 {
				frame(rstStream, 0, stream, []byte{0, 0, 0, protocolError})
			}
		}
	}
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { serve(c) })
		}
	})
	return "https://" + l.Addr().String() + "/", seen
}

func TestNeverTwiceWhereTheTargetResets(t *testing.T) {
	for _, k := range kinds {
		if k.repeatable() {
			continue // net/http repeats them for ever
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			to, seen := resetting(t)
			w := newWorld(t)
			_, urls := w.proxies("http", 2)
			req := k.request(t, to)
			if k.body && !k.pipe {
				short := request(t, k.method, to, strings.NewReader("short"))
				short.Header = req.Header
				req = short
			}
			if k.pipe {
				req.Body, req.ContentLength = io.NopCloser(strings.NewReader("short")), 5
			}
			failure := failureOf(t, w.pool(urls, inOrder()), req)
			assert.EqualValues(t, 1, seen.Load(), "%v", failure)
			assert.True(t, failure.MayHaveArrived)
			assert.Equal(t, 1, failure.Tries)
		})
	}
}

// What arrived through one proxy may have arrived, whatever the next one did.
func TestMayHaveArrivedThroughAnEarlierProxy(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 2)
	servers[1].kill()
	to := target(t, protocols[1], func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	failure := failureOf(t, w.pool(urls, inOrder()), request(t, http.MethodGet, to.URL, nil))
	assert.Equal(t, 2, failure.Tries)
	assert.True(t, failure.MayHaveArrived)
}

// What another proxy would not mend is tried through one, and where it may be the
// proxy that is at fault, through two. They stay well.
func TestWhatNoProxyMends(t *testing.T) {
	w := newWorld(t)
	_, urls := w.proxies("http", 2)
	plain := target(t, protocols[0], hello)
	noTLS := request(t, http.MethodGet, strings.Replace(plain.URL, "http:", "https:", 1), nil)
	cancelled := request(t, http.MethodGet, plain.URL, nil)
	over := make(chan struct{})
	close(over)
	cancelled.Cancel = over //nolint:staticcheck // callers may still use it
	for name, req := range map[string]*http.Request{"a target without TLS": noTLS, "a request that was cancelled": cancelled} {
		t.Run(name, func(t *testing.T) {
			tries := 1
			if req == noTLS {
				tries = 2
			}
			pool := w.pool(urls, inOrder())
			failure := failureOf(t, pool, req)
			assert.Equal(t, tries, failure.Tries, "%v", failure)
			for _, s := range pool.Stats() {
				assert.Zero(t, s.RestsUntil)
			}
		})
	}
}

// 401 is how some proxies refuse a login, though it means another thing.
func TestALoginRefusedWith401(t *testing.T) {
	w := newWorld(t)
	servers, urls := w.proxies("http", 1)
	servers[0].behave(habit{connectAnswer: "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"})
	pool := w.pool(urls)
	assert.ErrorIs(t, failureOf(t, pool, request(t, http.MethodGet, "https://example.com/", nil)), ErrAuthentication)
	assert.NotZero(t, pool.Stats()[0].RestsUntil)
}
