package youproxy_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/proxypool"
)

var sendings = flag.Int("sendings", 0, "how many calls TestNotSentIsTrue makes in each way; 0 for as many as is usual")

// way is a way in which calls are sent, and given up.
type way struct {
	name    string
	options func(*http.Transport) []youproxy.Option
	patient bool // the context never ends: the transport gives up by itself
}

// soon is a moment around that of sending.
func soon() time.Duration { return time.Duration(rand.Int64N(int64(400 * time.Microsecond))) }

var errOwnTimer = errors.New("the middleware's own time is over")

// giveUp is a middleware that returns after a time of its own, while what it called
// goes on.
func giveUp(change func(*http.Request) *http.Request, wait func()) youproxy.Option {
	return youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			answers := make(chan *http.Response, 1)
			go func() {
				wait()
				resp, err := next.RoundTrip(change(r))
				if err == nil {
					answers <- resp
				}
			}()
			select {
			case resp := <-answers:
				return resp, nil
			case <-time.After(soon()):
				return nil, errOwnTimer
			}
		})
	})
}

// untold is a transport that hands requests on as its own, and so tells nothing.
type untold struct{ inner http.RoundTripper }

func (u untold) RoundTrip(r *http.Request) (*http.Response, error) {
	own, cancel := context.WithCancel(context.Background())
	defer context.AfterFunc(r.Context(), cancel)()
	return u.inner.RoundTrip(r.Clone(own))
}

// refusing drops what comes back, and says that there was no connection at last.
type refusing struct{ inner http.RoundTripper }

func (u refusing) RoundTrip(r *http.Request) (*http.Response, error) {
	if resp, err := u.inner.RoundTrip(r); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

// failover tries one transport after the other, with the body that it kept.
type failover struct{ first, second http.RoundTripper }

func (f failover) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	again := func() *http.Request {
		c := r.Clone(r.Context())
		if r.Body != nil {
			c.Body = io.NopCloser(strings.NewReader(string(body)))
		}
		return c
	}
	resp, err := f.first.RoundTrip(again())
	if err == nil {
		return resp, nil
	}
	return f.second.RoundTrip(again())
}

func ways() []way {
	through := func(around func(*http.Transport) http.RoundTripper) func(*http.Transport) []youproxy.Option {
		return func(t *http.Transport) []youproxy.Option {
			return []youproxy.Option{youproxy.WithHTTPClient(&http.Client{Transport: around(t)})}
		}
	}
	itself := func(t *http.Transport) http.RoundTripper { return t }
	with := func(o youproxy.Option) func(*http.Transport) []youproxy.Option {
		return func(t *http.Transport) []youproxy.Option { return append(through(itself)(t), o) }
	}
	same := func(r *http.Request) *http.Request { return r }
	lasting := func(r *http.Request) *http.Request { return r.WithContext(context.WithoutCancel(r.Context())) }
	dead := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}}
	return []way{
		{name: "net/http", options: through(itself)},
		{name: "a transport around net/http's", options: through(func(t *http.Transport) http.RoundTripper { return struct{ http.RoundTripper }{t} })},
		{name: "a middleware with a timer", options: with(giveUp(same, func() {})), patient: true},
		{name: "a middleware with a timer and a context", options: with(giveUp(lasting, func() {})), patient: true},
		{name: "a middleware that hands over late", options: with(giveUp(same, func() { time.Sleep(soon()) })), patient: true},
		{name: "a transport that tells nothing", options: through(func(t *http.Transport) http.RoundTripper { return untold{t} })},
		{name: "one that tells nothing and is refused at last", options: through(func(t *http.Transport) http.RoundTripper { return refusing{untold{t}} })},
		{name: "one that tells and is refused at last", options: through(func(t *http.Transport) http.RoundTripper { return refusing{t} })},
		{name: "a failover to one that tells nothing", options: through(func(t *http.Transport) http.RoundTripper { return failover{dead, refusing{untold{t}}} })},
	}
}

// TestNotSentIsTrue gives calls up at any moment. Of none that was called not sent
// the request arrives, then or later.
func TestNotSentIsTrue(t *testing.T) {
	t.Parallel()
	calls := *sendings
	if calls == 0 {
		calls = size(200, 10, 5)
	}
	for _, w := range wires {
		for _, way := range ways() {
			for _, body := range []any{nil, map[string]string{"note": "a body"}} {
				t.Run(fmt.Sprintf("%s/%s/body %t", w.name, way.name, body != nil), func(t *testing.T) {
					giveUpAnyTime(t, w, way, body, calls)
				})
			}
		}
	}
}

func giveUpAnyTime(t *testing.T, w wire, way way, body any, most int) {
	var arrived, notSent sync.Map
	g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
		arrived.Store(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], true)
		_, _ = io.WriteString(rw, `{"success": true, "error": null}`)
	})
	var claims, calls atomic.Int64
	var workers sync.WaitGroup
	for range 4 {
		c, err := youproxy.New(guardKey, append(way.options(g.transport), youproxy.WithBaseURL(g.URL))...)
		require.NoError(t, err)
		workers.Go(func() {
			for n := calls.Add(1); n <= int64(most); n = calls.Add(1) {
				ctx, cancel := context.WithCancel(t.Context())
				if !way.patient {
					time.AfterFunc(soon(), cancel)
				}
				id := fmt.Sprint(n)
				err := c.Call(ctx, http.MethodPost, "/n/"+id, nil, body, nil)
				cancel()
				if youproxy.OutcomeOf(err) == youproxy.OutcomeNotSent {
					claims.Add(1)
					notSent.Store(id, err)
				}
			}
		})
	}
	workers.Wait()
	g.transport.CloseIdleConnections()
	g.Close() // waits for what arrived
	wrong := 0
	notSent.Range(func(id, err any) bool {
		if _, ok := arrived.Load(id); ok {
			wrong++
			t.Errorf("call %s arrived: %v", id, err)
		}
		return wrong < 10
	})
	t.Logf("%d calls, %d not sent, %d of them arrived", most, claims.Load(), wrong)
}

// TestNotSentIsSaid: what is known is said as well.
func TestNotSentIsSaid(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{}, 1)
	hanging := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		waiting <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	t.Cleanup(hanging.CloseIdleConnections)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := clientFor(t, youproxy.WithHTTPClient(&http.Client{Transport: hanging}))
	go func() {
		<-waiting
		cancel()
	}()
	_, err := c.CreateOrder(ctx, benchOrder)
	assert.ErrorIs(t, err, youproxy.ErrNotSent, "while it waited for a connection")
	assert.ErrorIs(t, err, context.Canceled)

	errOpen := errors.New("the breaker is open")
	c = clientFor(t, youproxy.WithMiddleware(func(http.RoundTripper) http.RoundTripper {
		return stubTransport(func(*http.Request) (*http.Response, error) {
			return nil, fmt.Errorf("%w: %w", errOpen, youproxy.ErrOutcomeUnknown)
		})
	}))
	_, err = c.CreateOrder(t.Context(), benchOrder)
	assert.ErrorIs(t, err, youproxy.ErrNotSent, "the middleware handed nothing over")
	assert.ErrorIs(t, err, errOpen)
	assert.NotErrorIs(t, err, youproxy.ErrOutcomeUnknown, "which is not for a middleware to say")
}

// closeNotice is a connection that tells when the client has closed it.
type closeNotice struct {
	net.Conn
	once   sync.Once
	closed chan<- struct{}
}

func (c *closeNotice) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() { c.closed <- struct{}{} })
	return err
}

// TestClosedIdleConnections: orders that follow pauses in which the server closed
// the connection all go through, once.
func TestClosedIdleConnections(t *testing.T) {
	t.Parallel()
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, orderedReply) })
			var dialed, gone int32
			var open atomic.Int32 // it may dial one more than it uses
			orders := size(200, 20, 10)
			closed := make(chan struct{}, 2*orders)
			g.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				open.Add(1)
				return &closeNotice{Conn: conn, closed: closed}, nil
			}
			c := g.client(t, g.transport)
			for range orders {
				_, err := c.CreateOrder(t.Context(), guardOrder)
				require.NoError(t, err)
				g.CloseClientConnections()
				for dialed = open.Load(); gone < dialed; gone++ {
					<-closed
				}
			}
			assert.EqualValues(t, orders, g.orders.Load())
		})
	}
}

// brittle is a connection that breaks as soon as it is written to a second time,
// before a byte of that.
type brittle struct {
	net.Conn
	writes atomic.Int32
}

func (c *brittle) Write(p []byte) (int, error) {
	if c.writes.Add(1) > 1 {
		_ = c.Close()
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(p)
}

// TestNothingWrittenIsRepeated: what net/http repeats by itself, as it wrote nothing
// of it, still goes through.
func TestNothingWrittenIsRepeated(t *testing.T) {
	t.Parallel()
	g := serveOn(t, wires[0], func(_ *guarded, rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, orderedReply) })
	g.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &brittle{Conn: conn}, err
	}
	c := g.client(t, g.transport)
	for range 3 {
		_, err := c.CreateOrder(t.Context(), guardOrder)
		require.NoError(t, err)
	}
	assert.EqualValues(t, 3, g.orders.Load())
	assert.EqualValues(t, 3, g.conns.Load(), "a connection each")
}

// oddConns is a transport that tells of connections that are none, as HTTP/3 may.
type oddConns struct{ conn net.Conn }

func (o oddConns) RoundTrip(r *http.Request) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(r.Context())
	for range 2 {
		trace.GetConn("youproxy.io:443")
		trace.GotConn(httptrace.GotConnInfo{Conn: o.conn})
	}
	trace.GetConn("elsewhere.example.com:443")
	trace.GotConn(httptrace.GotConnInfo{Conn: o.conn})
	return nil, r.Context().Err()
}

type noConn struct{ net.Conn }

func (noConn) Close() error { panic("prohibited") }

func TestConnectionsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, conn := range []net.Conn{nil, noConn{}} {
		c := clientFor(t, youproxy.WithHTTPClient(&http.Client{Transport: oddConns{conn}}))
		assert.NotPanics(t, func() {
			_, err := c.CreateOrder(t.Context(), benchOrder)
			assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
		})
	}
}

// A pool of proxies is asked for connections with many addresses, none of which is
// that of another host.
func TestProxiesAreNoOtherHosts(t *testing.T) {
	t.Parallel()
	var orders atomic.Int32
	proxy := listen(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "api.test", r.Host)
		orders.Add(1)
		reply(w, r, 200, orderedReply)
	})
	live, err := url.Parse(proxy.URL)
	require.NoError(t, err)
	dead := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	for range 4 {
		pool, err := proxypool.New([]*url.URL{dead, live})
		require.NoError(t, err)
		c := clientFor(t, youproxy.WithBaseURL("http://api.test"), youproxy.WithPlainHTTP(), youproxy.WithHTTPClient(&http.Client{Transport: pool}))
		_, err = c.CreateOrder(t.Context(), benchOrder)
		require.NoError(t, err)
		pool.CloseIdleConnections()
	}
	assert.EqualValues(t, 4, orders.Load())
}
