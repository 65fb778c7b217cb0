package integration

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/outcometest"
)

const retryKey = "Retry-Key-0123456789"

// newRetryClient returns a caller's client that makes up to five attempts.
func newRetryClient(transport http.RoundTripper) *retryablehttp.Client {
	rc := retryablehttp.NewClient()
	rc.HTTPClient = &http.Client{Transport: transport}
	rc.RetryWaitMin, rc.RetryWaitMax, rc.RetryMax = time.Millisecond, time.Millisecond, 4
	rc.Logger = nil
	return rc
}

// failure is one way in which an order can go wrong, and what must follow if the
// caller's client tries again by itself.
type failure struct {
	name    string
	outcome youproxy.Outcome
	reached int32 // how often the whole order reached the service
	silent  bool  // not even a request header arrives
	hidden  bool  // unknown, unless net/http's own transport sends it

	serve  func(http.ResponseWriter, *http.Request) // nil: the order is placed
	unread bool                                     // serve comes before the order was read
	warm   bool                                     // the connection was used before
	before func(*setting)                           // changes the setting before the order
	onTLS  bool                                     // needs TLS
}

// setting is what one order needs: a service, the ways to it, and a context.
type setting struct {
	t         *testing.T
	ctx       context.Context
	cancel    context.CancelFunc
	wire      wire
	service   *service
	baseURL   string
	transport *http.Transport
	closed    chan struct{} // receives once the transport has closed a connection
	retry     *retryablehttp.Client

	middleware bool // the client that tries again is a middleware
}

func answer(status int, body string, header ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// failures returns those that the SDK's own table of outcomes lacks. They concern a
// client that tries again, or the difference between a header and a whole order.
func failures() []failure {
	const (
		unknown = youproxy.OutcomeUnknown
		notSent = youproxy.OutcomeNotSent
		done    = youproxy.OutcomeDone
	)
	return []failure{
		{name: "none", outcome: done, reached: 1},
		{name: "none, on a warm connection", outcome: done, reached: 1, warm: true},
		{name: "302 without a Location", outcome: unknown, reached: 1, serve: answer(302, "")},
		{name: "429 with Retry-After 0", outcome: unknown, reached: 1, serve: answer(429, "", "Retry-After", "0")},
		{name: "429, a complete refusal", outcome: unknown, reached: 1, serve: answer(429, orderRefused)},
		{name: "503, a complete refusal", outcome: unknown, reached: 1, serve: answer(503, orderRefused)},
		{name: "503 with Retry-After 0", outcome: unknown, reached: 1, serve: answer(503, "", "Retry-After", "0")},
		{name: "503, on a warm connection", outcome: unknown, reached: 1, serve: answer(503, ""), warm: true},
		{name: "501, which that client does not repeat", outcome: unknown, reached: 1, serve: answer(501, "")},
		{
			name: "refused connection", outcome: notSent, silent: true, hidden: true,
			before: func(s *setting) { s.baseURL = refusedAddress(s.t, s.wire.scheme()) },
		},
		{
			name: "bad certificate", outcome: notSent, silent: true, hidden: true, onTLS: true,
			before: func(s *setting) { s.transport.TLSClientConfig.RootCAs = nil },
		},
		{
			name: "context cancelled while waiting", outcome: unknown, reached: 1,
			serve:  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			before: func(s *setting) { s.whenRead(s.cancel) },
		},
		{
			name: "deadline while waiting", outcome: unknown, reached: 1,
			serve:  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			before: (*setting).expires,
		},
		{
			name: "deadline while that client waits to repeat", outcome: unknown, reached: 1,
			serve:  answer(503, "", "Retry-After", "1"),
			before: (*setting).expires,
		},
		{
			name: "reset before the body was read", outcome: unknown, reached: 0, unread: true,
			serve: func(_ http.ResponseWriter, r *http.Request) { reset(r) },
		},
		{
			name: "reset after the body was read", outcome: unknown, reached: 1,
			serve: func(_ http.ResponseWriter, r *http.Request) { reset(r) },
		},
		{
			name: "aborted after the body was read", outcome: unknown, reached: 1,
			serve: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		},
		{
			name: "warm connection reset before the body was read", outcome: unknown, reached: 0, warm: true, unread: true,
			serve: func(_ http.ResponseWriter, r *http.Request) { reset(r) },
		},
		{
			name: "warm connection reset after the body was read", outcome: unknown, reached: 1, warm: true,
			serve: func(_ http.ResponseWriter, r *http.Request) { reset(r) },
		},
		{ // the client sees it and takes another connection
			name: "warm connection dropped before the order", outcome: done, reached: 1, warm: true,
			before: func(s *setting) {
				s.service.CloseClientConnections()
				select {
				case <-s.closed:
				case <-s.ctx.Done():
				}
			},
		},
	}
}

// whenRead calls f shortly after the service has read the order.
func (s *setting) whenRead(f func()) {
	ctx, order := s.ctx, s.service.first
	go func() {
		select {
		case <-order:
			time.Sleep(50 * time.Millisecond)
			f()
		case <-ctx.Done():
		}
	}()
}

// expires sets a context whose deadline passes shortly after the service has read
// the order, however slow the machine is.
func (s *setting) expires() {
	ctx := deadlineContext{s.ctx, make(chan struct{})}
	s.whenRead(func() { close(ctx.over) })
	s.ctx = ctx
}

type deadlineContext struct {
	context.Context
	over chan struct{}
}

func (c deadlineContext) Done() <-chan struct{} { return c.over }

func (c deadlineContext) Err() error {
	select {
	case <-c.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

func newSetting(t *testing.T, w wire, s *service) *setting {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	tr := s.transport(t)
	closed := make(chan struct{}, 1)
	dial := tr.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return watchedConn{c, closed}, nil
	}
	return &setting{t: t, ctx: ctx, cancel: cancel, wire: w, service: s, baseURL: s.URL, transport: tr, closed: closed, retry: newRetryClient(tr)}
}

type watchedConn struct {
	net.Conn
	closed chan<- struct{}
}

func (c watchedConn) Close() error {
	err := c.Conn.Close()
	select {
	case c.closed <- struct{}{}:
	default:
	}
	return err
}

// client returns an SDK client that sends through the client that tries again.
func (s *setting) client() *youproxy.Client {
	option := youproxy.WithHTTPClient(s.retry.StandardClient())
	if s.middleware {
		option = youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			s.retry.HTTPClient.Transport = next
			return s.retry.StandardClient().Transport
		})
	}
	c, err := youproxy.New(retryKey, youproxy.WithBaseURL(s.baseURL),
		youproxy.WithHTTPClient(&http.Client{Transport: s.transport}), option)
	require.NoError(s.t, err)
	return c
}

// The SDK's own table of outcomes holds, except for what only net/http's own
// transport can tell.
func TestRetryableHTTPKeepsTheTableOfOutcomes(t *testing.T) {
	for _, c := range outcometest.Cases {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/http2=%t", c.Name, http2), func(t *testing.T) {
				t.Parallel()
				reached, err := c.Run(t, http2, func(hc *http.Client) *http.Client {
					return newRetryClient(hc.Transport).StandardClient()
				})
				want := c.Outcome
				if c.Hidden {
					want = youproxy.OutcomeUnknown
				}
				assert.Equal(t, c.Reached, reached, "orders that reached the service; %v", err)
				assert.LessOrEqual(t, reached, int64(1))
				assert.Equal(t, want.String(), youproxy.OutcomeOf(err).String(), "outcome of %v", err)
			})
		}
	}
}

// An order that the caller's client tries to repeat reaches the service once, and
// its outcome is never reported as better than it is.
func TestRetryableHTTPSendsAnOrderOnce(t *testing.T) {
	for _, w := range wires {
		for _, f := range failures() {
			if f.onTLS && !w.tls {
				continue
			}
			t.Run(w.name+"/"+f.name+"/as the HTTP client", func(t *testing.T) { f.test(t, w, false) })
			t.Run(w.name+"/"+f.name+"/as a middleware", func(t *testing.T) { f.test(t, w, true) })
		}
	}
}

func (f failure) test(t *testing.T, w wire, middleware bool) {
	t.Parallel()
	s := startService(t, w, func(s *service, w http.ResponseWriter, r *http.Request) {
		if !f.unread {
			s.read(r)
		}
		if f.serve == nil || s.arrivals.Load() > 1 { // a second attempt would succeed
			answer(200, orderPlaced)(w, r)
			return
		}
		f.serve(w, r)
	})
	x := newSetting(t, w, s)
	x.middleware = middleware
	if f.warm {
		_, err := x.client().Balance(x.ctx)
		require.NoError(t, err)
	}
	if f.before != nil {
		f.before(x)
	}

	order, err := x.client().CreateOrder(x.ctx, anOrder())

	settle()
	want := f.outcome
	if f.hidden && !middleware {
		want = youproxy.OutcomeUnknown
	}
	assert.Equal(t, want.String(), youproxy.OutcomeOf(err).String(), "outcome of %v", err)
	assert.Equal(t, f.reached, s.orders.Load(), "orders that reached the service; %v", err)
	arrivals := int32(1)
	if f.silent {
		arrivals = 0
	}
	assert.Equal(t, arrivals, s.arrivals.Load(), "requests that arrived; %v", err)
	if f.outcome == youproxy.OutcomeDone {
		require.NoError(t, err)
		assert.Equal(t, youproxy.OrderNumber("NUMBER-112233"), order.Number)
	} else {
		assert.Error(t, err)
	}
}

// settle lets a request that should not have been sent arrive.
func settle() { time.Sleep(20 * time.Millisecond) }

// If the caller's client follows redirects, neither the key nor the order reaches
// another host.
func TestRetryableHTTPFollowsNoRedirectElsewhere(t *testing.T) {
	for _, w := range wires {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprintf("%s/%d", w.name, status), func(t *testing.T) {
				t.Parallel()
				var mu sync.Mutex
				var received []string
				elsewhere := &service{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					dump, _ := httputil.DumpRequest(r, true)
					mu.Lock()
					received = append(received, string(dump))
					mu.Unlock()
					_, _ = io.WriteString(w, orderPlaced)
				}))}
				elsewhere.start(t, w)
				away := func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Location", elsewhere.URL+r.URL.EscapedPath())
					w.WriteHeader(status)
				}
				home := &service{}
				home.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					home.arrivals.Add(1)
					home.read(r)
					away(w, r)
				}))
				home.start(t, w)
				x := newSetting(t, w, home)

				_, err := x.client().CreateOrder(x.ctx, anOrder())
				require.Error(t, err)
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err), "outcome of %v", err)
				settle()
				assert.EqualValues(t, 1, home.orders.Load())
				assert.EqualValues(t, 1, home.arrivals.Load())

				_, err = x.client().Balance(x.ctx)
				require.Error(t, err)
				settle()
				mu.Lock()
				defer mu.Unlock()
				assert.Empty(t, received, "requests at the other host")
			})
		}
	}
}

// sharedOrders is a service whose orders share one HTTP/2 connection. It tells them
// apart by their user agent. The order numbered failing is answered 503, once fail
// is closed; the others are answered once release is closed.
type sharedOrders struct {
	failing int
	waiting chan struct{} // gets each order that arrived
	fail    chan struct{}
	release chan struct{}

	mu      sync.Mutex
	reached map[string]int // how often each order arrived
}

func (o *sharedOrders) serve(t *testing.T, s *service, w http.ResponseWriter, r *http.Request) {
	body := s.read(r)
	_, who, _ := strings.Cut(r.UserAgent(), "order/")
	o.mu.Lock()
	o.reached[who]++
	again := o.reached[who] > 1
	o.mu.Unlock()
	assert.Equal(t, 2, r.ProtoMajor)
	assert.Contains(t, body, "price monitoring")
	o.waiting <- struct{}{}
	if who == strconv.Itoa(o.failing) && !again {
		await(t, o.fail)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if !again {
		await(t, o.release)
	}
	answer(200, strings.Replace(orderPlaced, "112233", who, 1))(w, r)
}

// clientOfOrder returns a client whose user agent has the number of its order.
func (s *setting) clientOfOrder(number int) *youproxy.Client {
	c, err := youproxy.New(retryKey, youproxy.WithBaseURL(s.baseURL), youproxy.WithHTTPClient(s.retry.StandardClient()),
		youproxy.WithUserAgent("order/"+strconv.Itoa(number)))
	require.NoError(s.t, err)
	return c
}

// Ten orders share one HTTP/2 connection. One is answered 503. The second attempt
// of the caller's client is stopped without harm to the other nine, whose replies
// are held back until then.
func TestRetryableHTTPLeavesOtherOrdersUntouched(t *testing.T) {
	const orders, failing = 10, 3
	shared := &sharedOrders{
		failing: failing, waiting: make(chan struct{}, 2*orders),
		fail: make(chan struct{}), release: make(chan struct{}), reached: make(map[string]int),
	}
	http2 := wires[len(wires)-1]
	s := startService(t, http2, func(s *service, w http.ResponseWriter, r *http.Request) { shared.serve(t, s, w, r) })
	x := newSetting(t, http2, s)
	_, err := x.clientOfOrder(0).Balance(x.ctx) // so that there is a connection to share
	require.NoError(t, err)

	type result struct {
		order *youproxy.Order
		err   error
	}
	results := make([]chan result, orders)
	for i := range orders {
		results[i] = make(chan result, 1)
		client := x.clientOfOrder(i)
		go func() {
			order, err := client.CreateOrder(x.ctx, anOrder())
			results[i] <- result{order, err}
		}()
	}
	for range orders {
		await(t, shared.waiting)
	}
	close(shared.fail)
	stopped := <-results[failing]
	settle()
	for i := range orders {
		assert.Empty(t, results[i], "order %d ended before its reply", i)
	}
	close(shared.release)

	assert.Nil(t, stopped.order)
	require.Error(t, stopped.err)
	assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(stopped.err), "outcome of %v", stopped.err)
	assert.ErrorContains(t, stopped.err, "second attempt")
	for i := range orders {
		if i == failing {
			continue
		}
		got := <-results[i]
		if assert.NoError(t, got.err, "order %d", i) {
			assert.Equal(t, youproxy.OrderNumber("NUMBER-"+strconv.Itoa(i)), got.order.Number)
		}
	}
	shared.mu.Lock()
	defer shared.mu.Unlock()
	assert.Len(t, shared.reached, orders)
	for who, times := range shared.reached {
		assert.Equal(t, 1, times, "times order %s reached the service", who)
	}
	assert.EqualValues(t, 1, s.connections.Load(), "connections")

	_, err = x.clientOfOrder(0).Balance(x.ctx) // the connection still works
	require.NoError(t, err)
}

func await(t *testing.T, c <-chan struct{}) {
	select {
	case <-c:
	case <-time.After(within):
		t.Error("waited in vain")
	}
}

// The caller's client may repeat what costs nothing.
func TestRetryableHTTPRepeatsReads(t *testing.T) {
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			quote := strings.NewReplacer(`"orderNumber": "NUMBER-112233"`, `"price": 1.31, "discount": 0, "warnings": null`)
			s := startService(t, w, func(s *service, w http.ResponseWriter, r *http.Request) {
				s.read(r)
				if s.arrivals.Load() < 4 {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				_, _ = quote.WriteString(w, orderPlaced)
			})
			x := newSetting(t, w, s)
			got, err := x.client().QuoteOrder(x.ctx, anOrder())
			require.NoError(t, err)
			assert.True(t, got.Price.Equal(youproxy.MustMoney("1.31 USD")), "price %s", got.Price)
			assert.EqualValues(t, 4, s.orders.Load())
		})
	}
}
