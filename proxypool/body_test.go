package proxypool

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// counted is a body that counts its ends.
type counted struct {
	io.Reader
	closes atomic.Int32
	closed chan struct{}
	once   sync.Once
}

func countedBody(r io.Reader) *counted { return &counted{Reader: r, closed: make(chan struct{})} }

func (c *counted) Close() error {
	c.closes.Add(1)
	c.once.Do(func() { close(c.closed) })
	return nil
}

// ended waits for the body's end, which net/http may be late with, and then lets
// what else there is go on.
func (c *counted) ended(t *testing.T) {
	t.Helper()
	<-c.closed
}

// bodyEnd is a way in which a request with a body ends.
type bodyEnd struct {
	name    string
	proxies []func(*proxyServer) // nil for one that does its duty
	handler http.HandlerFunc     // readBody unless it is set
	change  func(*http.Request)
	plain   bool // for http only
}

func readBody(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusOK)
}

var bodyEnds = []bodyEnd{
	{name: "sent", proxies: []func(*proxyServer){nil}},
	{name: "no proxy"},
	{name: "dead", proxies: []func(*proxyServer){(*proxyServer).kill}},
	{name: "dead, then sent", proxies: []func(*proxyServer){(*proxyServer).kill, (*proxyServer).kill, nil}},
	{name: "refused", proxies: []func(*proxyServer){func(s *proxyServer) { s.behave(habit{connectAnswer: "HTTP/1.1 403 No\r\n\r\n"}) }}},
	{name: "407", plain: true, proxies: []func(*proxyServer){func(s *proxyServer) {
		s.behave(habit{plainAnswer: "HTTP/1.1 407 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"})
	}}},
	{name: "broken", proxies: []func(*proxyServer){nil}, handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	{name: "answered early", proxies: []func(*proxyServer){nil}, handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }},
	{
		name: "not wanted", proxies: []func(*proxyServer){nil},
		handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusExpectationFailed) },
		change:  func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
	},
	{name: "bad scheme", proxies: []func(*proxyServer){nil}, change: func(r *http.Request) { r.URL.Scheme = "ftp" }},
	{name: "no host", proxies: []func(*proxyServer){nil}, change: func(r *http.Request) { r.URL.Host = "" }},
	{name: "no URL", proxies: []func(*proxyServer){nil}, change: func(r *http.Request) { r.URL = nil }},
	{name: "no header", proxies: []func(*proxyServer){nil}, change: func(r *http.Request) { r.Header = nil }},
	{name: "bad header", proxies: []func(*proxyServer){nil}, change: func(r *http.Request) { r.Header["A\n"] = []string{"x"} }},
	{name: "bad method", proxies: []func(*proxyServer){nil}, change: func(r *http.Request) { r.Method = "A B" }},
}

func TestBodyIsClosedOnce(t *testing.T) {
	t.Parallel()
	for i, end := range bodyEnds {
		for j, proto := range protocols {
			for _, again := range []bool{false, true} {
				if end.plain && proto.name != "http" || !Sampled(i+j, 1) {
					continue
				}
				t.Run(fmt.Sprint(end.name, "/", proto.name, "/GetBody ", again), func(t *testing.T) {
					t.Parallel()
					end.isClosedOnce(t, proto, again)
				})
			}
		}
	}
}

// bodies are the bodies of a request.
type bodies struct {
	mu  sync.Mutex
	all []*counted
}

func (b *bodies) add() io.ReadCloser {
	b.mu.Lock()
	defer b.mu.Unlock()
	body := countedBody(bytes.NewReader(largeBody))
	b.all = append(b.all, body)
	return body
}

// end waits until each was closed.
func (b *bodies) end(t *testing.T) {
	t.Helper()
	for i, body := range b.all {
		select {
		case <-body.closed:
		case <-time.After(10 * time.Second): // it hangs
			t.Fatalf("body %d is never closed", i)
		}
	}
}

func (e bodyEnd) isClosedOnce(t *testing.T, proto protocol, again bool) {
	w := newWorld(t)
	servers, urls := w.proxies("http", len(e.proxies))
	for i, s := range servers {
		if e.proxies[i] != nil {
			e.proxies[i](s)
		}
	}
	handler := e.handler
	if handler == nil {
		handler = readBody
	}
	to := target(t, proto, handler)
	base := w.base()
	base.ExpectContinueTimeout = time.Hour
	pool := w.pool(urls, WithTransport(base), inOrder())
	sent := &bodies{}
	req := request(t, http.MethodPut, to.URL, sent.add())
	req.ContentLength = bodySize
	if again {
		req.GetBody = func() (io.ReadCloser, error) { return sent.add(), nil }
	}
	if e.change != nil {
		e.change(req)
	}
	resp, err := pool.RoundTrip(req)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		require.NoError(t, resp.Body.Close())
	}
	sent.mu.Lock()
	defer sent.mu.Unlock()
	sent.end(t)
	require.NoError(t, pool.Replace(nil))
	if again {
		return // net/http itself closes those it made a copy of more than once
	}
	for _, b := range sent.all {
		assert.EqualValues(t, 1, b.closes.Load())
	}
}

func TestBodyOfAPipeOutlivesDeadProxies(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto.name, func(t *testing.T) {
			w := newWorld(t)
			servers, urls := w.proxies("http", 3)
			servers[0].kill()
			servers[1].behave(habit{hangUp: true, connectAnswer: "x"})
			if proto.name == "http" {
				servers[1].kill() // where it would have got the request
			}
			var got bytes.Buffer
			to := target(t, proto, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(&got, r.Body) })
			pool := w.pool(urls, inOrder())
			r, pipe := io.Pipe()
			go func() {
				_, err := pipe.Write(largeBody)
				_ = pipe.CloseWithError(err)
			}()
			resp, err := pool.RoundTrip(request(t, http.MethodPost, to.URL, r))
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
			assert.True(t, bytes.Equal(largeBody, got.Bytes()))
			assert.Equal(t, Name(urls[2]), Via(resp))
		})
	}
}

func TestLengthsOfBodies(t *testing.T) {
	type arrival struct {
		length  int64
		content string
	}
	for _, proto := range protocols {
		for _, tc := range []struct {
			name string
			body func() io.Reader
			want arrival
		}{
			{"none", func() io.Reader { return nil }, arrival{}},
			{"http.NoBody", func() io.Reader { return http.NoBody }, arrival{}},
			{"bytes", func() io.Reader { return strings.NewReader("12345") }, arrival{length: 5, content: "12345"}},
			{"unknown", func() io.Reader { return io.MultiReader(strings.NewReader("12345")) }, arrival{length: -1, content: "12345"}},
		} {
			t.Run(proto.name+"/"+tc.name, func(t *testing.T) {
				w := newWorld(t)
				servers, urls := w.proxies("http", 2)
				servers[0].kill()
				got := make(chan arrival, 1)
				to := target(t, proto, func(_ http.ResponseWriter, r *http.Request) {
					content, _ := io.ReadAll(r.Body)
					got <- arrival{length: r.ContentLength, content: string(content)}
				})
				pool := w.pool(urls, inOrder())
				resp, err := pool.RoundTrip(request(t, http.MethodPost, to.URL, tc.body()))
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				assert.Equal(t, tc.want, <-got)
			})
		}
	}
}

func TestExpectContinue(t *testing.T) {
	w := newWorld(t)
	_, urls := w.proxies("http", 1)
	to := target(t, protocols[1], func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n)
	})
	base := w.base()
	base.ExpectContinueTimeout = time.Hour
	pool := w.pool(urls, WithTransport(base))
	for path, want := range map[string]int{"/no": http.StatusExpectationFailed, "/yes": http.StatusOK} {
		body := countedBody(bytes.NewReader(largeBody))
		req := request(t, http.MethodPost, to.URL+path, body)
		req.ContentLength = bodySize
		req.Header.Set("Expect", "100-continue")
		resp, err := pool.RoundTrip(req)
		require.NoError(t, err)
		assert.Equal(t, want, resp.StatusCode)
		require.NoError(t, resp.Body.Close())
	}
}

func TestUpgrade(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		for _, proto := range protocols[:2] {
			t.Run(scheme+"/"+proto.name, func(t *testing.T) {
				w := newWorld(t)
				_, urls := w.proxies(scheme, 1)
				to := target(t, proto, func(w http.ResponseWriter, _ *http.Request) {
					c, rw, err := http.NewResponseController(w).Hijack()
					if err != nil {
						return
					}
					defer c.Close()
					_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
					_, _ = io.Copy(c, rw)
				})
				pool := w.pool(urls)
				req := request(t, http.MethodGet, to.URL, nil)
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", "echo")
				resp, err := pool.RoundTrip(req)
				require.NoError(t, err)
				require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
				rw, ok := resp.Body.(io.ReadWriteCloser)
				require.True(t, ok)
				assert.EqualValues(t, 1, pool.Stats()[0].InFlight)
				require.NoError(t, pool.Replace(nil), "what is under way goes on")
				for _, line := range []string{"one\n", "two\n"} {
					_, err = io.WriteString(rw, line)
					require.NoError(t, err)
					got := make([]byte, len(line))
					_, err = io.ReadFull(rw, got)
					require.NoError(t, err)
					assert.Equal(t, line, string(got))
				}
				require.NoError(t, rw.Close())
			})
		}
	}
}

// TestBodyIsLent has net/http fail with a body in every state.
func TestBodyIsLent(t *testing.T) {
	text := func() (*counted, *http.Request) {
		body := countedBody(strings.NewReader("12345"))
		return body, &http.Request{Method: http.MethodPost, Body: body, ContentLength: 5}
	}
	t.Run("unread", func(t *testing.T) {
		body, req := text()
		u := newUpload(req)
		first, ok := u.next()
		require.True(t, ok)
		require.NoError(t, first.Close())
		u.back()
		_, err := first.Read(make([]byte, 1))
		require.Error(t, err)
		second, ok := u.next()
		require.True(t, ok)
		got, err := io.ReadAll(second)
		require.NoError(t, err)
		assert.Equal(t, "12345", string(got))
		require.NoError(t, first.Close())
		assert.Zero(t, body.closes.Load())
		require.NoError(t, second.Close())
		require.NoError(t, second.Close())
		u.end()
		assert.EqualValues(t, 1, body.closes.Load())
	})
	t.Run("read in part", func(t *testing.T) {
		body, req := text()
		u := newUpload(req)
		first, _ := u.next()
		_, err := first.Read(make([]byte, 1))
		require.NoError(t, err)
		u.back()
		_, ok := u.next()
		assert.False(t, ok, "what remains is not the whole")
		u.end()
		u.end()
		assert.EqualValues(t, 1, body.closes.Load())
	})
	t.Run("GetBody fails", func(t *testing.T) {
		w := newWorld(t)
		servers, urls := w.proxies("http", 2)
		servers[0].behave(habit{cutInTLS: true})
		pool := w.pool(urls, inOrder())
		body := countedBody(strings.NewReader("12345"))
		req := request(t, http.MethodPost, target(t, protocols[1], hello).URL, body)
		req.GetBody = func() (io.ReadCloser, error) { return nil, io.ErrUnexpectedEOF }
		failure := failureOf(t, pool, req)
		assert.False(t, failure.MayHaveArrived)
		assert.ErrorIs(t, failure, ErrRefused)
		assert.Equal(t, 1, failure.Tries)
		body.ended(t)
		for _, s := range pool.Stats() {
			assert.Zero(t, s.InFlight)
		}
	})
}

// TestBodyOfAProbeThatCannotGo has a request find a resting proxy when its body is spent.
func TestBodyOfAProbeThatCannotGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p, err := New(memoryURLs("a", "b"), WithTransport(m.base()), inOrder(), WithRest(time.Second, time.Second))
		require.NoError(t, err)
		require.Error(t, send(p, http.MethodGet, "http://t.test/"))
		time.Sleep(time.Minute)
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://t.test/", strings.NewReader("x"))
		require.NoError(t, err)
		req.GetBody = func() (io.ReadCloser, error) { return nil, io.EOF }
		_, err = p.RoundTrip(req)
		require.Error(t, err)
		time.Sleep(time.Minute)
		m.set("a", good)
		m.set("b", good)
		require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
		require.NoError(t, send(p, http.MethodGet, "http://t.test/"))
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}
