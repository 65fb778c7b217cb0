package youproxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// A server that switches to another protocol says nothing more. Nobody waits for it.
func TestSwitchingProtocols(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	ended := make(chan struct{}, 10)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
				_, _ = io.Copy(io.Discard, conn)
				ended <- struct{}{}
			}()
		}
	}()
	c := clientFor(t, youproxy.WithBaseURL("http://"+ln.Addr().String()))
	for range 2 { // the turn of the first is over
		_, err := c.CreateOrder(t.Context(), benchOrder)
		var failed *youproxy.CallError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, 101, failed.HTTPStatus)
		assert.Equal(t, youproxy.OutcomeUnknown, failed.Outcome)
		<-ended // its connection is closed
	}
	for _, err := range c.Proxies(t.Context(), youproxy.ProxyQuery{}) {
		assert.ErrorContains(t, err, "another protocol")
	}
	<-ended
}

// deaf is a body that does not hear of its context, nor of being closed.
type deaf struct {
	io.Reader
	wait <-chan struct{}
}

func (d deaf) Read(p []byte) (int, error) {
	if n, err := d.Reader.Read(p); n > 0 || !errors.Is(err, io.EOF) {
		return n, err
	}
	<-d.wait
	return 0, io.EOF
}

func (deaf) Close() error { return nil }

// Whatever a body does, a call takes no longer than it may.
func TestBodiesThatDoNotEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		begin string
		call  func(context.Context, *youproxy.Client) error
		after time.Duration
	}{
		{"an order", `{"success": tr`, func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.CreateOrder(ctx, benchOrder)
			return err
		}, 70 * time.Second},
		{"a balance", ``, func(ctx context.Context, c *youproxy.Client) error { _, err := c.Balance(ctx); return err }, 7 * time.Second},
		{"a list", `{"success": true, "list": [{"ipAddressId": "1"}, `, func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.ListProxies(ctx, youproxy.ProxyQuery{})
			return err
		}, 7 * time.Second},
		{"a list that does not begin", ``, func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.ListProxies(ctx, youproxy.ProxyQuery{})
			return err
		}, 7 * time.Second},
		{"a page for a list", `<html>`, func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.ListProxies(ctx, youproxy.ProxyQuery{})
			return err
		}, 7 * time.Second},
	} {
		for _, cancelled := range []bool{false, true} {
			t.Run(tt.name+map[bool]string{true: ", called off"}[cancelled], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					release := make(chan struct{})
					defer close(release)
					c := clientFor(t, youproxy.WithReadRetries(0), youproxy.WithTimeouts(youproxy.Timeouts{Read: 7 * time.Second, Spend: 70 * time.Second}),
						byStub(func(r *http.Request) (*http.Response, error) {
							resp := stubReply(r, 200, "")
							resp.ContentLength, resp.Body = -1, deaf{strings.NewReader(tt.begin), release}
							return resp, nil
						}))
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					after, want := tt.after, context.DeadlineExceeded
					if cancelled {
						after, want = time.Second, context.Canceled
						time.AfterFunc(after, cancel)
					}
					started := time.Now()
					err := tt.call(ctx, c)
					assert.Equal(t, after, time.Since(started))
					assert.ErrorIs(t, err, want)
					assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
				})
			})
		}
	}
}

// A body that panics does so where its caller can recover.
func TestBodiesThatPanic(t *testing.T) {
	t.Parallel()
	c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
		resp := stubReply(r, 200, "")
		resp.ContentLength, resp.Body = -1, io.NopCloser(panickingReader{})
		return resp, nil
	}))
	assert.PanicsWithValue(t, "odd", func() { _, _ = c.CreateOrder(t.Context(), benchOrder) })
	assert.PanicsWithValue(t, "odd", func() { _, _ = c.CreateOrder(t.Context(), benchOrder) }, "the turn was given on")
}

type panickingReader struct{}

func (panickingReader) Read([]byte) (int, error) { panic("odd") }

// Whatever a purchase calls cannot spend: it would wait for the purchase.
func TestSpendingWithinAPurchase(t *testing.T) {
	t.Parallel()
	for _, call := range []struct {
		name string
		make func(context.Context, *youproxy.Client, *market) error
		ops  []string
	}{
		{"Buy", func(ctx context.Context, c *youproxy.Client, _ *market) error {
			_, err := c.Buy(ctx, anISPOrder(), buyISP.limit())
			return err
		}, []string{"POST /calculate/order", "GET /ipAddress", "POST /order"}},
		{"CreateOrder", func(ctx context.Context, c *youproxy.Client, _ *market) error {
			_, err := c.CreateOrder(ctx, anISPOrder())
			return err
		}, []string{"POST /order"}},
		{"Buy whose reply is lost", func(ctx context.Context, c *youproxy.Client, m *market) error {
			m.Inject("POST /order", youproxytest.DropAfterCommit)
			_, err := c.Buy(ctx, anISPOrder(), buyISP.limit())
			return err
		}, []string{"POST /calculate/order", "GET /ipAddress", "POST /order", "GET /balance"}},
	} {
		for _, from := range []string{"the observer", "a middleware"} {
			t.Run(call.name+", from "+from, func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					refused := map[string]bool{}
					var client *youproxy.Client
					spend := func(ctx context.Context, op string) {
						started := time.Now()
						_, err := client.CreateOrder(ctx, anISPOrder())
						assert.ErrorIs(t, err, youproxy.ErrNotSent)
						assert.ErrorContains(t, err, "would wait for itself", op)
						assert.Zero(t, time.Since(started), op)
						refused[op] = true
					}
					option := youproxy.WithObserver(func(ctx context.Context, e youproxy.CallEvent) { spend(ctx, e.Op) })
					if from == "a middleware" {
						option = youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
							return stubTransport(func(r *http.Request) (*http.Response, error) {
								_, path, _ := strings.Cut(r.URL.Path, "/REDACTED")
								spend(r.Context(), r.Method+" "+path)
								return next.RoundTrip(r)
							})
						})
					}
					client = m.anotherClient(t, option)
					require.NoError(t, call.make(t.Context(), client, m))
					for _, op := range call.ops {
						assert.True(t, refused[op], op)
					}
				})
			})
		}
	}
}

// What spends nothing is asked of no cache, and a cache that answers all the same
// does not pass for a look at the account.
func TestCaches(t *testing.T) {
	t.Parallel()
	for _, age := range []string{"180", "1", "180s", "60, 120"} {
		t.Run(age, func(t *testing.T) { testCache(t, age) })
	}
}

func testCache(t *testing.T, age string) {
	inMarket(t, func(t *testing.T, m *market) {
		var stale bool
		caching := youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return stubTransport(func(r *http.Request) (*http.Response, error) {
				spends := strings.HasSuffix(r.URL.Path, "/REDACTED/order")
				assert.Equal(t, spends, r.Header.Get("Cache-Control") == "", r.URL.Path)
				if spends {
					stale = true
				} else {
					assert.Equal(t, "no-cache", r.Header.Get("Cache-Control"))
				}
				resp, err := next.RoundTrip(r)
				if err == nil && stale && r.Method == http.MethodGet {
					resp.Header.Set("Age", age)
				}
				return resp, err
			})
		})
		client := m.anotherClient(t, caching)
		m.Inject("POST /order", youproxytest.DropBeforeCommit)
		_, err := client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		assert.ErrorIs(t, err, youproxy.ErrUndetermined, "nobody looked at the account")
		assert.ErrorContains(t, err, "cache")

		_, err = client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		assert.ErrorIs(t, err, youproxy.ErrNotSent, "nor does anybody know what it held before")
		assert.ErrorContains(t, err, "cache")
	})
}

// clinging is a body whose Close waits as its Read does.
type clinging struct {
	io.Reader
	wait <-chan struct{}
}

// explosive is a body whose Close panics.
type explosive struct{ deaf }

func (explosive) Close() error { panic("prohibited") }

func (c clinging) Close() error {
	<-c.wait
	return nil
}

// A body that cannot be closed holds up nobody, nor does one that gives nothing.
func TestBodiesThatCannotBeClosed(t *testing.T) {
	t.Parallel()
	balance := func(ctx context.Context, c *youproxy.Client) error { _, err := c.Balance(ctx); return err }
	order := func(ctx context.Context, c *youproxy.Client) error {
		_, err := c.CreateOrder(ctx, benchOrder)
		return err
	}
	list := func(ctx context.Context, c *youproxy.Client) error {
		_, err := c.ListProxies(ctx, youproxy.ProxyQuery{})
		return err
	}
	for _, tt := range []struct {
		name    string
		reply   string
		ends    bool // what can be read of it
		call    func(context.Context, *youproxy.Client) error
		outcome youproxy.Outcome
		after   time.Duration
	}{
		{"nothing", ``, false, order, youproxy.OutcomeUnknown, 120 * time.Second},
		{"an order that does not end", orderedReply, false, order, youproxy.OutcomeUnknown, 120 * time.Second},
		{"an order", orderedReply, true, order, youproxy.OutcomeDone, 120 * time.Second},
		{"a balance", clientBalance, true, balance, youproxy.OutcomeDone, 30 * time.Second},
		{"a list", `{"success": true, "list": [{"ipAddressId": "1"}]}`, true, list, youproxy.OutcomeDone, 30 * time.Second},
		{"what is no list", `[]`, true, list, youproxy.OutcomeUnknown, 30 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				c := clientFor(t, youproxy.WithReadRetries(0), byStub(func(r *http.Request) (*http.Response, error) {
					resp := stubReply(r, 200, "")
					reader := io.Reader(deaf{strings.NewReader(tt.reply), release})
					if tt.ends {
						reader = strings.NewReader(tt.reply)
					}
					resp.ContentLength, resp.Body = -1, clinging{reader, release}
					return resp, nil
				}))
				for range 2 {
					started := time.Now()
					err := tt.call(t.Context(), c)
					assert.Equal(t, tt.outcome, youproxy.OutcomeOf(err), "%v", err)
					assert.Equal(t, tt.after, time.Since(started))
				}
			})
		})
	}
	t.Run("one that panics", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
				resp := stubReply(r, 200, "")
				resp.ContentLength, resp.Body = -1, explosive{deaf{strings.NewReader(""), release}}
				return resp, nil
			}))
			assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(order(t.Context(), c)))
		})
	})
	c := clientFor(t, youproxy.WithReadRetries(0), byStub(func(r *http.Request) (*http.Response, error) {
		resp := stubReply(r, 200, "")
		resp.ContentLength, resp.Body = -1, io.NopCloser(idleReader{})
		return resp, nil
	}))
	_, err := c.Balance(t.Context())
	assert.ErrorIs(t, err, io.ErrNoProgress)
	_, err = c.ListProxies(t.Context(), youproxy.ProxyQuery{})
	assert.Error(t, err)
}

// overstating is a reader that says it gave more, or less, than it can have.
type overstating int

func (n overstating) Read(p []byte) (int, error) { return len(p) + int(n), io.EOF }

func TestReadersThatMiscount(t *testing.T) {
	t.Parallel()
	for _, n := range []overstating{1, 1 << 20, -1 << 20} {
		c := clientFor(t, youproxy.WithReadRetries(0), byStub(func(r *http.Request) (*http.Response, error) {
			resp := stubReply(r, 200, "")
			resp.ContentLength, resp.Body = -1, io.NopCloser(n)
			return resp, nil
		}))
		assert.NotPanics(t, func() {
			_, err := c.CreateOrder(t.Context(), benchOrder)
			assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
			_, err = c.ListProxies(t.Context(), youproxy.ProxyQuery{})
			assert.Error(t, err)
			for _, err := range youproxy.ReadProxies(n) {
				assert.Error(t, err)
			}
		})
	}
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

// The turn of a purchase is over with it, and of one client only.
func TestTurnsEnd(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		var kept context.Context
		client := m.anotherClient(t, youproxy.WithObserver(func(ctx context.Context, _ youproxy.CallEvent) { kept = ctx }))
		_, err := client.CreateOrder(t.Context(), anISPOrder())
		require.NoError(t, err)
		_, err = client.CreateOrder(kept, anISPOrder())
		assert.NoError(t, err, "with a context that an observer kept")

		var a, b *youproxy.Client
		inner := errors.New("not called")
		a = m.anotherClient(t, youproxy.WithObserver(func(ctx context.Context, _ youproxy.CallEvent) { _, _ = b.CreateOrder(ctx, anISPOrder()) }))
		b = m.anotherClient(t, youproxy.WithObserver(func(ctx context.Context, _ youproxy.CallEvent) { _, inner = a.CreateOrder(ctx, anISPOrder()) }))
		started := time.Now()
		_, err = a.CreateOrder(t.Context(), anISPOrder())
		require.NoError(t, err)
		assert.ErrorContains(t, inner, "would wait for itself", "through the other client")
		assert.Zero(t, time.Since(started))
	})
}

// A date has no fractions of a second, and the clock has.
func TestRetryAfterADateIsRoundedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Second - time.Nanosecond)
		client := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
			return stubReply(r, http.StatusTooManyRequests, "busy", "Retry-After", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)), nil
		}))
		_, err := client.Balance(t.Context())
		var call *youproxy.CallError
		require.ErrorAs(t, err, &call)
		assert.Equal(t, time.Minute, call.RetryAfter, "it is 59 seconds and a nanosecond")
	})
}
