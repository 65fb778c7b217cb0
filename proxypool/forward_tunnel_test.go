package proxypool

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// listening starts a server of its own protocol, and returns its address.
func listening(t testing.TB, serve func(c *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// halfClosing starts a proxy that lets one way of a tunnel end before the other, and
// returns its URL.
func halfClosing(t testing.TB) *url.URL {
	t.Helper()
	addr := listening(t, func(c *net.TCPConn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", r.Host)
		if err != nil {
			return
		}
		defer to.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		relay(c, to, time.Minute)
	})
	return &url.URL{Scheme: "http", Host: addr}
}

// repeat sends back what it gets.
func repeat(c *net.TCPConn) { _, _ = io.Copy(struct{ io.Writer }{c}, c) }

// throughTunnel opens one to addr.
func throughTunnel(t testing.TB, s *httptest.Server, addr string) *rawConn {
	t.Helper()
	raw := say(t, s, "CONNECT "+addr+" HTTP/1.1\nHost: "+addr+"\n\n")
	raw.hear("HTTP/1.1 200 Connection established\r\n\r\n")
	return raw
}

func newPool(t testing.TB, urls ...*url.URL) *Pool {
	t.Helper()
	p, err := New(urls)
	require.NoError(t, err)
	return p
}

func TestTunnel(t *testing.T) {
	_, s := forwarding(t, newPool(t, halfClosing(t)))
	long := strings.Repeat("a long text ", 1<<18)
	t.Run("the client has sent all", func(t *testing.T) {
		addr := listening(t, func(c *net.TCPConn) {
			b, _ := io.ReadAll(c)
			_, _ = c.Write(b)
		})
		raw := throughTunnel(t, s, addr)
		raw.say(long)
		require.NoError(t, raw.CloseWrite())
		same := long == raw.ends()
		assert.True(t, same, "another text came back")
	})
	t.Run("the target has sent all", func(t *testing.T) {
		got := make(chan string, 1)
		addr := listening(t, func(c *net.TCPConn) {
			_, _ = io.WriteString(c, "all")
			_ = c.CloseWrite()
			b, _ := io.ReadAll(c)
			got <- string(b)
		})
		raw := throughTunnel(t, s, addr)
		require.Equal(t, "all", raw.ends())
		raw.say(long)
		require.NoError(t, raw.CloseWrite())
		same := long == <-got
		assert.True(t, same, "another text arrived")
	})
	t.Run("the client does not wait for the answer", func(t *testing.T) {
		raw := say(t, s, "CONNECT "+listening(t, repeat)+" HTTP/1.1\nHost: x\n\nearly")
		raw.hear("HTTP/1.1 200 Connection established\r\n\r\nearly")
		raw.say(" late")
		raw.hear(" late")
		require.NoError(t, raw.CloseWrite())
		assert.Empty(t, raw.ends())
	})
	t.Run("the target breaks off", func(t *testing.T) {
		addr := listening(t, func(c *net.TCPConn) {
			_, _ = c.Read(make([]byte, 1))
			_ = c.SetLinger(0)
		})
		raw := throughTunnel(t, s, addr)
		raw.say("x")
		assert.Empty(t, raw.ends())
	})
	t.Run("the client breaks off", func(t *testing.T) {
		ended := make(chan error, 1)
		addr := listening(t, func(c *net.TCPConn) {
			_, err := io.Copy(io.Discard, c)
			ended <- err
		})
		raw := throughTunnel(t, s, addr)
		require.NoError(t, raw.SetLinger(0))
		require.NoError(t, raw.Close())
		<-ended
	})
}

// One that sends nothing for ever is not waited for when the other side has ended.
func TestTunnelIsSilentAtLast(t *testing.T) {
	for name, last := range map[string]int{"at once": 0, "after a while": 5} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, near := halfClosingPipe()
				target, far := halfClosingPipe()
				var relaying sync.WaitGroup
				relaying.Go(func() { relay(near, far, time.Minute) })
				time.Sleep(time.Hour) // both sides may be silent
				require.NoError(t, client.CloseWrite())
				_, err := io.ReadAll(target)
				require.NoError(t, err)
				for range last {
					time.Sleep(59 * time.Second)
					_, err := io.WriteString(target, ".")
					require.NoError(t, err)
					_, err = client.Read(make([]byte, 1))
					require.NoError(t, err)
				}
				silent := time.Now()
				relaying.Wait()
				assert.Equal(t, time.Minute, time.Since(silent))
			})
		})
	}
}

// halfPipe is an end of a pair of pipes, one for each way.
type halfPipe struct {
	net.Conn // to read from

	out net.Conn
}

func halfClosingPipe() (a, b *halfPipe) {
	r1, w1 := net.Pipe()
	r2, w2 := net.Pipe()
	return &halfPipe{r1, w2}, &halfPipe{r2, w1}
}

func (p *halfPipe) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p *halfPipe) CloseWrite() error           { return p.out.Close() }
func (p *halfPipe) Close() error                { return errors.Join(p.out.Close(), p.Conn.Close()) }

// A client that does not read keeps nothing open when the target is gone.
func TestTunnelToAStuckClient(t *testing.T) {
	near, client := net.Pipe()
	target, far := net.Pipe()
	defer client.Close()
	var relaying sync.WaitGroup
	relaying.Go(func() { relay(near, far, time.Minute) })
	_, err := io.WriteString(target, "nobody reads this")
	require.NoError(t, err)
	require.NoError(t, target.Close())
	_, err = io.WriteString(client, "nor this")
	require.NoError(t, err)
	relaying.Wait()
}

// Without half-closing connections, the end of one side is that of both.
func TestTunnelOfPipes(t *testing.T) {
	client, near := net.Pipe()
	target, far := net.Pipe()
	var relaying sync.WaitGroup
	relaying.Go(func() { relay(near, far, time.Minute) })
	go func() { _, _ = io.WriteString(target, "hello"); _ = target.Close() }()
	b, err := io.ReadAll(client)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(b))
	relaying.Wait()
	require.ErrorIs(t, errors.Join(client.SetDeadline(time.Now()), near.SetDeadline(time.Now())), io.ErrClosedPipe)
}

// upgrading starts a target that switches protocols, and then sends back what it
// gets.
func upgrading(t *testing.T, answer string) *httptest.Server {
	t.Helper()
	return target(t, protocols[0], func(w http.ResponseWriter, _ *http.Request) {
		c, b, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, strings.ReplaceAll(answer, "\n", "\r\n"))
		_, _ = io.Copy(struct{ io.Writer }{c}, b.Reader)
	})
}

func askToUpgrade(to *httptest.Server) string {
	return "GET " + to.URL + "/ HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: websocket\n\n"
}

const upgradedAnswer = "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\nX-A: b\n\n"

func TestForwardUpgrades(t *testing.T) {
	for _, scheme := range []string{"http", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			w := newWorld(t)
			servers, urls := w.proxies(scheme, 1)
			_, s := forwarding(t, w.pool(urls))
			raw := say(t, s, askToUpgrade(upgrading(t, upgradedAnswer))+"early")
			resp, err := http.ReadResponse(raw.r, &http.Request{Method: http.MethodGet})
			require.NoError(t, err)
			assert.Equal(t, 101, resp.StatusCode)
			assert.Equal(t, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "X-A": {"b"}}, resp.Header)
			raw.hear("early")
			assert.EqualValues(t, 1, servers[0].tunnels.Load(), "HTTP proxies let no request upgrade")
			for _, text := range []string{"one", strings.Repeat("two", 1000)} {
				raw.say(text)
				raw.hear(text)
			}
			require.NoError(t, raw.Close())
			require.Eventually(t, func() bool { return servers[0].open() == 0 }, time.Minute, time.Millisecond)
		})
	}
	for name, c := range map[string]struct{ ask, answer string }{
		"nobody asked":    {"GET %/ HTTP/1.1\nHost: x\n\n", upgradedAnswer},
		"another":         {askToUpgrade(&httptest.Server{URL: "%"}), "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: h2c\n\n"},
		"a bad protocol":  {"GET %/ HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: w\x01\n\n", upgradedAnswer},
		"an odd protocol": {"GET %/ HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: \xff\n\n", upgradedAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			servers, urls := w.proxies("socks5", 1)
			_, s := forwarding(t, w.pool(urls))
			resp, _ := say(t, s, strings.ReplaceAll(c.ask, "%", upgrading(t, c.answer).URL)).answer(http.MethodGet)
			assert.GreaterOrEqual(t, resp.StatusCode, 400)
			require.Eventually(t, func() bool { return servers[0].open() == 0 }, time.Minute, time.Millisecond, "its connection is closed")
		})
	}
}

func TestForwarderClose(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, urls := w.proxies("socks5", 1)
	hang := w.proxy("http", "hang.example.com", nil)
	hang.behave(habit{silent: true})
	working, hanging := w.pool(urls), w.pool([]*url.URL{hang.url}, WithConnectTimeout(time.Hour))
	asked := make(chan struct{}, 1)
	slow := target(t, protocols[0], func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	})
	wait := func(*rawConn) { <-asked }
	hangs := func(*rawConn) {
		require.Eventually(t, func() bool { return hang.accepted.Swap(0) == 1 }, time.Minute, time.Millisecond)
	}
	const status503 = `(?s)^HTTP/1\.1 503 .*the forwarder is closed\n$`
	for name, c := range map[string]struct {
		pool  *Pool
		ask   string
		until func(*rawConn) // it is under way
		then  string
	}{
		"a tunnel": {pool: working, ask: "CONNECT " + listening(t, repeat) + " HTTP/1.1\nHost: x\n\n", until: func(raw *rawConn) {
			raw.hear("HTTP/1.1 200 Connection established\r\n\r\n")
		}, then: "^$"},
		"a tunnel whose client does not read": {pool: working, ask: "CONNECT " + listening(t, flooding) + " HTTP/1.1\nHost: x\n\n", until: func(raw *rawConn) {
			raw.hear("HTTP/1.1 200 Connection established\r\n\r\n" + strings.Repeat("flood", 1<<16))
		}, then: "^(flood)*f?l?o?o?$"},
		"a tunnel that is being made":    {pool: hanging, ask: "CONNECT example.com:443 HTTP/1.1\nHost: x\nConnection: close\n\n", until: hangs, then: status503},
		"a WebSocket that is being made": {pool: hanging, ask: "GET http://example.com/ HTTP/1.1\nHost: x\nConnection: Upgrade, close\nUpgrade: websocket\n\n", until: hangs, then: status503},
		"an upgraded connection": {pool: working, ask: askToUpgrade(upgrading(t, upgradedAnswer)), until: func(raw *rawConn) {
			_, err := http.ReadResponse(raw.r, &http.Request{Method: http.MethodGet})
			require.NoError(t, err)
			raw.say("x")
			raw.hear("x")
		}, then: "^$"},
		"a request": {pool: working, ask: "GET " + slow.URL + "/ HTTP/1.1\nHost: x\nConnection: close\n\n", until: wait, then: status503},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := forwarding(t, c.pool)
			raw := say(t, s, c.ask)
			c.until(raw)
			require.NoError(t, f.Close())
			text, _ := io.ReadAll(raw.r) // a reset, where not all was read
			assert.Regexp(t, c.then, string(text))
			require.Eventually(t, func() bool { return hang.open() == 0 }, time.Minute, time.Millisecond, "before the connect timeout")

			before := c.pool.Stats()[0].Requests
			for range 10 {
				for _, line := range []string{"GET http://example.com/", "CONNECT example.com:443"} {
					resp, text := say(t, s, line+" HTTP/1.1\nHost: x\n\n").answer(http.MethodGet)
					assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
					assert.Equal(t, "the forwarder is closed\n", text)
				}
			}
			assert.Equal(t, before, c.pool.Stats()[0].Requests, "nothing is sent")
			require.NoError(t, f.Close())
		})
	}
}

// flooding sends for ever.
func flooding(c *net.TCPConn) {
	for {
		if _, err := io.WriteString(c, strings.Repeat("flood", 1<<10)); err != nil {
			return
		}
	}
}

// When Close returns, nothing of the tunnels is left.
func TestForwarderCloseWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, urls := w.proxies("http", 1)
	var open atomic.Int64
	base := w.base()
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := w.dial(ctx, network, addr)
		if err == nil {
			open.Add(1)
			c = &closingConn{Conn: c, closed: sync.OnceFunc(func() { open.Add(-1) })}
		}
		return c, err
	}
	pool, addr := w.pool(urls, WithTransport(base)), listening(t, repeat)
	for range 10 {
		f, s := forwarding(t, pool)
		for range 16 {
			throughTunnel(t, s, addr)
		}
		assert.EqualValues(t, 16, open.Load())
		require.NoError(t, f.Close())
		assert.Zero(t, open.Load())
	}
}

// closingConn reports when it is closed.
type closingConn struct {
	net.Conn

	closed func()
}

func (c *closingConn) Close() error {
	err := c.Conn.Close()
	c.closed()
	return err
}

// takenOver lends a connection out, as the server does for a handler.
type takenOver struct {
	http.ResponseWriter

	conn net.Conn
}

func (w *takenOver) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

func TestForwarderClosesWhatItTakesOver(t *testing.T) {
	f, s := forwarding(t, newPool(t, halfClosing(t)))
	quiet := func(c *net.TCPConn) {
		_ = c.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	}
	addr := listening(t, quiet)
	client, err := net.Dial("tcp", listening(t, quiet))
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodConnect, "http://"+addr, nil)
	r.URL, r.RemoteAddr = &url.URL{Host: addr}, s.Listener.Addr().String()
	f.ServeHTTP(&takenOver{httptest.NewRecorder(), client}, r)
	require.ErrorIs(t, client.SetDeadline(time.Now()), net.ErrClosed)

	require.NoError(t, f.Close())
	_, _, err = (&hijacker{ResponseWriter: &takenOver{conn: client}, forwarder: f}).Hijack()
	require.ErrorIs(t, err, errForwarderClosed, "none begins when Close may have returned")
}

// Tunnels begin while Close waits for others: none is left.
func TestForwarderCloseWhileTunnelsBegin(t *testing.T) {
	addr, via := listening(t, repeat), halfClosing(t)
	for range 20 {
		f, s := forwarding(t, newPool(t, via))
		var clients sync.WaitGroup
		begun := make(chan struct{}, 64)
		for range 16 {
			clients.Go(func() {
				c, err := net.Dial("tcp", s.Listener.Addr().String())
				if !assert.NoError(t, err) {
					return
				}
				defer c.Close()
				_, _ = io.WriteString(c, "CONNECT "+addr+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				begun <- struct{}{}
				_, _ = io.Copy(io.Discard, c) // until it is closed
			})
		}
		<-begun
		require.NoError(t, f.Close())
		clients.Wait()
	}
}
