package proxypool

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	plainTarget  = "http://target.test/"
	secureTarget = "https://target.test/"
)

// socksAnswers answers each message with the next text.
func socksAnswers(answers ...string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		for _, a := range answers {
			if _, err := c.Read(make([]byte, 512)); err != nil {
				return
			}
			if _, err := io.WriteString(c, a); err != nil {
				return
			}
		}
		_, _ = c.Read(make([]byte, 512))
	}
}

func hangUp(c net.Conn) { _ = c.Close() }

// failingProxy is a proxy that serves no request.
type failingProxy struct {
	name   string
	scheme string
	target string
	serve  func(net.Conn)
	rests  bool
	is     error
}

var failingProxies = []failingProxy{
	{"refused", "http", plainTarget, nil, true, ErrUnreachable},
	{"refused, CONNECT", "http", secureTarget, nil, true, ErrUnreachable},
	{"refused, SOCKS", "socks5", plainTarget, nil, true, ErrUnreachable},
	{"closed at CONNECT", "http", secureTarget, hangUp, true, ErrUnreachable},
	{"closed at SOCKS", "socks5", plainTarget, hangUp, true, ErrUnreachable},
	{"silence at CONNECT", "http", secureTarget, mute, true, ErrUnreachable},
	{"silence at SOCKS", "socks5", secureTarget, mute, true, ErrUnreachable},
	{"silence after the login at SOCKS", "socks5", plainTarget, socksAnswers("\x05\x02", "\x01\x00"), true, ErrUnreachable},
	{"silence in TLS with the proxy", "https", plainTarget, mute, true, ErrUnreachable},
	{"garbage at CONNECT", "http", secureTarget, answering("\x00\x01garbage\r\n\r\n"), true, ErrUnreachable},
	{"garbage at SOCKS", "socks5", plainTarget, socksAnswers("HTTP/1.1 400 Bad Request\r\n\r\n"), true, ErrUnreachable},
	{"garbage in TLS with the proxy", "https", plainTarget, answering("garbage"), true, ErrUnreachable},
	{"407 to CONNECT", "http", secureTarget, answering("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), true, ErrAuthentication},
	{"407 in plain", "http", plainTarget, answering("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"), true, ErrAuthentication},
	{"SOCKS login", "socks5", secureTarget, socksAnswers("\x05\x02", "\x01\x01"), true, ErrAuthentication},
	{"SOCKS wants no login", "socks5", secureTarget, socksAnswers("\x05\xff"), true, ErrAuthentication},
	{"403 to CONNECT", "http", secureTarget, answering("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), false, ErrRefused},
	{"502 to CONNECT", "http", secureTarget, answering("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n"), false, ErrRefused},
	{"503 to CONNECT", "http", secureTarget, answering("HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n"), false, ErrRefused},
	{"SOCKS reply 1", "socks5", plainTarget, socksAnswers("\x05\x00", "\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"), false, ErrRefused},
	{"SOCKS reply 2", "socks5", plainTarget, socksAnswers("\x05\x00", "\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00"), false, ErrRefused},
	{"SOCKS reply 3", "socks5", plainTarget, socksAnswers("\x05\x00", "\x05\x03\x00\x01\x00\x00\x00\x00\x00\x00"), false, ErrRefused},
	{"SOCKS reply 4", "socks5h", secureTarget, socksAnswers("\x05\x00", "\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00"), false, ErrRefused},
	{"SOCKS reply 5", "socks5", plainTarget, socksAnswers("\x05\x00", "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"), false, ErrRefused},
	{"SOCKS reply 6", "socks5", plainTarget, socksAnswers("\x05\x00", "\x05\x06\x00\x01\x00\x00\x00\x00\x00\x00"), false, ErrRefused},
	{"SOCKS reply 7", "socks5", plainTarget, socksAnswers("\x05\x00", "\x05\x07\x00\x01\x00\x00\x00\x00\x00\x00"), false, ErrRefused},
	{"SOCKS reply 8", "socks5", plainTarget, socksAnswers("\x05\x00", "\x05\x08\x00\x01\x00\x00\x00\x00\x00\x00"), false, ErrRefused},
	{"closed after CONNECT", "http", secureTarget, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		_ = c.Close()
	}, false, ErrRefused},
	{"silence after CONNECT", "http", secureTarget, answering("HTTP/1.1 200 OK\r\n\r\n"), false, ErrRefused},
}

func TestWhatLetsAProxyRest(t *testing.T) {
	for _, f := range failingProxies {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, f.alone)
			synctest.Test(t, f.besideAnother)
		})
	}
}

func (f failingProxy) alone(t *testing.T) {
	m := newMemory()
	m.set("bad", f.serve)
	urls := memoryURLs("bad")
	urls[0].Scheme = f.scheme
	p, err := New(urls, WithTransport(m.base()), WithRest(time.Hour, time.Hour))
	require.NoError(t, err)
	err = send(p, http.MethodPost, f.target)
	var failure *Error
	require.ErrorAs(t, err, &failure)
	assert.ErrorIs(t, err, f.is)
	if f.name != "407 in plain" {
		assert.False(t, failure.MayHaveArrived)
	}
	assert.Equal(t, f.rests, !p.Stats()[0].RestsUntil.IsZero(), "%v", err)
	assert.Equal(t, 1, m.dialed("bad"))
	require.NoError(t, p.Replace(nil))
	synctest.Wait()
}

// Another proxy is tried, whether this one rests or not.
func (f failingProxy) besideAnother(t *testing.T) {
	m := newMemory()
	m.set("bad", f.serve)
	urls := memoryURLs("bad", "good")
	urls[0].Scheme = f.scheme
	p, err := New(urls, WithTransport(m.base()), WithRest(time.Hour, time.Hour), inOrder())
	require.NoError(t, err)
	m.set("good", good)
	_ = send(p, http.MethodGet, f.target) // the good one answers, or with TLS talks nonsense
	assert.Equal(t, 1, m.dialed("good"))
	require.NoError(t, p.Replace(nil))
	synctest.Wait()
}

func TestWhatLetsNoProxyRest(t *testing.T) {
	t.Run("no more files", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: syscall.EMFILE}
			}}
			p, err := New(memoryURLs("a", "b"), WithTransport(base))
			require.NoError(t, err)
			err = send(p, http.MethodGet, "http://target.test/")
			require.ErrorIs(t, err, syscall.EMFILE)
			synctest.Wait()
			for _, s := range p.Stats() {
				assert.Zero(t, s.RestsUntil)
			}
			require.NoError(t, p.Replace(nil))
			synctest.Wait()
		})
	})
	t.Run("the caller gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			for _, h := range []string{"a", "b"} {
				m.set(h, mute)
			}
			p, err := New(memoryURLs("a", "b"), WithTransport(m.base()))
			require.NoError(t, err)
			for _, to := range []string{"http://target.test/", "https://target.test/"} {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				err = sendWith(ctx, p, http.MethodGet, to)
				cancel()
				require.ErrorIs(t, err, context.DeadlineExceeded)
				var failure *Error
				require.ErrorAs(t, err, &failure)
				assert.True(t, failure.Timeout())
				assert.Equal(t, 1, failure.Tries)
				synctest.Wait()
				for _, s := range p.Stats() {
					assert.Zero(t, s.RestsUntil)
				}
			}
			require.NoError(t, p.Replace(nil))
			time.Sleep(time.Minute) // connections that were begun for it end
			for _, s := range p.Stats() {
				assert.Zero(t, s.Connections)
			}
		})
	})
	t.Run("a certificate", func(t *testing.T) {
		w := newWorld(t)
		servers, urls := w.proxies("http", 2)
		to := target(t, protocols[2], hello)
		base := w.base()
		base.TLSClientConfig = nil
		pool := w.pool(urls, WithTransport(base), inOrder())
		failure := failureOf(t, pool, request(t, http.MethodGet, to.URL, nil))
		var certificate *tls.CertificateVerificationError
		require.ErrorAs(t, failure, &certificate)
		assert.Equal(t, 2, failure.Tries, "the proxy may show its own: another is asked")
		assert.False(t, failure.MayHaveArrived)
		for i, s := range pool.Stats() {
			assert.Zero(t, s.RestsUntil)
			assert.EqualValues(t, 1, servers[i].accepted.Load())
		}
	})
}

func within(t *testing.T, want, got time.Duration) {
	t.Helper()
	assert.GreaterOrEqual(t, got, time.Duration(0.9*float64(want))-time.Microsecond)
	assert.LessOrEqual(t, got, time.Duration(1.1*float64(want))+time.Microsecond)
}

func TestRestsGrow(t *testing.T) {
	for _, tc := range []struct{ first, longest time.Duration }{
		{time.Second, time.Minute},
		{time.Second, time.Second},
		{3 * time.Second, 100 * time.Second},
		{time.Millisecond, 1 << 62},
		{1 << 40, 1 << 62},
	} {
		t.Run(fmt.Sprint(tc.first, tc.longest), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				p, err := New(memoryURLs("a"), WithTransport(m.base()), WithRest(tc.first, tc.longest))
				require.NoError(t, err)
				want, dials := tc.first, 0
				for range 12 {
					require.ErrorIs(t, send(p, http.MethodGet, "http://target.test/"), ErrUnreachable)
					dials++
					rest := restOf(p, 0)
					within(t, want, rest)
					if rest > 1<<50 {
						return
					}
					require.ErrorIs(t, send(p, http.MethodGet, "http://target.test/"), ErrNoProxy)
					time.Sleep(rest - 1)
					require.ErrorIs(t, send(p, http.MethodGet, "http://target.test/"), ErrNoProxy)
					require.Equal(t, dials, m.dialed("a"))
					time.Sleep(2 * time.Nanosecond)
					if want > tc.longest/2 {
						want = tc.longest
					} else {
						want *= 2
					}
				}
				m.set("a", good)
				time.Sleep(2 * tc.longest)
				require.NoError(t, send(p, http.MethodGet, "http://target.test/"))
				assert.Zero(t, p.Stats()[0].RestsUntil)
				// It begins anew.
				m.set("a", nil)
				p.CloseIdleConnections()
				synctest.Wait()
				require.Error(t, send(p, http.MethodGet, "http://target.test/"))
				within(t, tc.first, restOf(p, 0))
				require.NoError(t, p.Replace(nil))
				synctest.Wait()
			})
		})
	}
}

func TestManyFailuresAtOnceCountOnce(t *testing.T) {
	for _, to := range []string{"http://target.test/", "https://target.test/"} {
		t.Run(to, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var dials atomic.Int32
				base := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
					dials.Add(1)
					time.Sleep(time.Duration(dials.Load()) * time.Millisecond)
					return nil, errNoDial
				}}
				p, err := New(memoryURLs("a"), WithTransport(base), WithRest(time.Minute, time.Hour))
				require.NoError(t, err)
				began := time.Now()
				var all sync.WaitGroup
				for range 64 {
					all.Go(func() { assert.Error(t, send(p, http.MethodGet, to)) })
				}
				all.Wait()
				within(t, time.Minute, restOf(p, 0)+time.Since(began))
			})
		})
	}
}

// afterItsRest runs a test in a bubble, with a proxy whose rest is over.
func afterItsRest(t *testing.T, name string, do func(t *testing.T, m *memory, p *Pool)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := newMemory()
			p, err := New(memoryURLs("a"), WithTransport(m.base()), WithRest(time.Second, time.Hour))
			require.NoError(t, err)
			require.Error(t, send(p, http.MethodGet, plainTarget))
			time.Sleep(2 * time.Second)
			require.Equal(t, 1, m.dialed("a"))
			do(t, m, p)
			require.NoError(t, p.Replace(nil))
			synctest.Wait()
		})
	})
}

// sendMany sends 64 requests at once. It returns how many were served, and how many
// found no proxy.
func sendMany(p *Pool) (well, none int) {
	var mu sync.Mutex
	crowd(64, func() {
		err := send(p, http.MethodGet, plainTarget)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil:
			well++
		case errors.Is(err, ErrNoProxy):
			none++
		}
	})
	return well, none
}

func TestOneProbe(t *testing.T) {
	slow := func(then func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			time.Sleep(time.Second)
			then(c)
		}
	}
	afterItsRest(t, "good", func(t *testing.T, m *memory, p *Pool) {
		m.set("a", slow(good))
		well, none := sendMany(p)
		assert.Equal(t, 1, well)
		assert.Equal(t, 63, none)
		assert.Equal(t, 2, m.dialed("a"))
		assert.Zero(t, p.Stats()[0].RestsUntil)
		m.set("a", good)
		well, _ = sendMany(p)
		assert.Equal(t, 64, well, "it is back for all")
	})
	afterItsRest(t, "failed", func(t *testing.T, m *memory, p *Pool) {
		m.set("a", slow(hangUp))
		_, none := sendMany(p)
		assert.Equal(t, 63, none)
		assert.Equal(t, 2, m.dialed("a"))
		within(t, 2*time.Second, restOf(p, 0))
	})
}

// A probe that does not show whether the proxy works leaves that to another.
func TestProbesThatShowNothing(t *testing.T) {
	afterItsRest(t, "abandoned", func(t *testing.T, m *memory, p *Pool) {
		m.set("a", mute)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		require.ErrorIs(t, sendWith(ctx, p, http.MethodGet, plainTarget), context.Canceled)
		m.set("a", good)
		require.NoError(t, send(p, http.MethodGet, plainTarget), "another may try it")
		assert.Zero(t, p.Stats()[0].RestsUntil)
	})
	afterItsRest(t, "of a refused target", func(t *testing.T, m *memory, p *Pool) {
		m.set("a", answering("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"))
		require.ErrorIs(t, send(p, http.MethodGet, secureTarget), ErrRefused)
		assert.Zero(t, p.Stats()[0].RestsUntil, "the proxy works")
	})
	afterItsRest(t, "of a request that nothing can send", func(t *testing.T, m *memory, p *Pool) {
		require.Error(t, send(p, http.MethodGet, "http://target.test:99999999/"))
		req, err := http.NewRequest(http.MethodGet, plainTarget, nil)
		require.NoError(t, err)
		req.Header["Bad Header\n"] = []string{"x"}
		_, err = p.RoundTrip(req)
		require.Error(t, err)
		time.Sleep(time.Hour)
		m.set("a", good)
		require.NoError(t, send(p, http.MethodGet, plainTarget))
	})
}

// slowly answers with a first byte after a minute, and with a second one after another.
func slowly(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(time.Minute)
	_, _ = io.WriteString(w, "a")
	_ = http.NewResponseController(w).Flush()
	time.Sleep(time.Minute)
	_, _ = io.WriteString(w, "b")
}

// serveSlowly is a proxy that serves slowly itself: in plain, or through a tunnel.
func serveSlowly(c net.Conn, version string) {
	if version != "http" {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		protos := []string{"http/1.1"}
		if version == "HTTP/2" {
			protos = []string{"h2"}
		}
		secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{testCertificate()}, NextProtos: protos})
		if secure.Handshake() != nil {
			return
		}
		c = secure
	}
	l := &oneConn{conn: c, closed: make(chan struct{})}
	s := &http.Server{Handler: http.HandlerFunc(slowly), ConnState: func(_ net.Conn, s http.ConnState) {
		if s == http.StateClosed {
			l.end()
		}
	}}
	_ = s.Serve(l)
	_ = s.Close()
}

// TestConnectionsInUseLive has connections outlive the time that making them may take.
func TestConnectionsInUseLive(t *testing.T) {
	for version, to := range map[string]string{"http": "http://example.com/", "HTTP/1.1": "https://example.com/", "HTTP/2": "https://example.com/"} {
		t.Run(version, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.set("a", func(c net.Conn) { serveSlowly(c, version) })
				p, err := New(memoryURLs("a"), WithTransport(m.base()), WithConnectTimeout(time.Second))
				require.NoError(t, err)
				for range 2 {
					require.NoError(t, send(p, http.MethodPost, to))
					time.Sleep(time.Minute)
				}
				assert.Equal(t, 1, m.dialed("a"))
				require.NoError(t, p.Replace(nil))
				synctest.Wait()
				time.Sleep(time.Hour)
			})
		})
	}
}

func TestUnusedConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("a", mute)
		p, err := New(memoryURLs("a"), WithTransport(m.base()), WithConnectTimeout(time.Second))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		require.Error(t, sendWith(ctx, p, http.MethodGet, "https://target.test/"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Zero(t, p.Stats()[0].Connections)
	})
}

// Where the first connection to a host fails, those that waited for it do not wait
// for each other in turn.
func TestThoseThatWaitedFailTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.set("a", func(c net.Conn) {
			defer c.Close()
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				time.Sleep(2 * time.Second)
				_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
			}
		})
		p, err := New(memoryURLs("a"), WithTransport(m.base()))
		require.NoError(t, err)
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { assert.ErrorIs(t, send(p, http.MethodGet, "https://t.test/"), ErrRefused) })
		}
		all.Wait()
		assert.Equal(t, 4*time.Second, time.Since(began), "the first, and then all others at once")
		require.NoError(t, p.Replace(nil))
		synctest.Wait()
	})
}

// A proxy that takes longer to connect with than callers wait rests all the same.
func TestAProxyThatCallersGiveUp(t *testing.T) {
	for name, dial := range map[string]func(m *memory) func(ctx context.Context, network, addr string) (net.Conn, error){
		"it takes no connections": func(m *memory) func(context.Context, string, string) (net.Conn, error) {
			return func(ctx context.Context, network, addr string) (net.Conn, error) {
				if strings.HasPrefix(addr, "a:") {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return m.dial(ctx, network, addr)
			}
		},
		"it says nothing": func(m *memory) func(context.Context, string, string) (net.Conn, error) { return m.dial },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				m.set("a", mute)
				base := m.base()
				base.DialContext = dial(m)
				p, err := New(memoryURLs("a"), WithTransport(base), WithConnectTimeout(10*time.Second))
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				require.ErrorIs(t, sendWith(ctx, p, http.MethodGet, "https://t.test/"), context.DeadlineExceeded)
				assert.Zero(t, p.Stats()[0].RestsUntil, "it may still answer")
				time.Sleep(9*time.Second + 100*time.Millisecond)
				assert.NotZero(t, p.Stats()[0].RestsUntil)
				require.NoError(t, p.Replace(nil))
				synctest.Wait()
			})
		})
	}
}
