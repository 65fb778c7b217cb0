package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

func TestMiddlewareOrder(t *testing.T) {
	t.Parallel()
	var trail []string
	c := clientFor(t,
		youproxy.WithMiddleware(named("first", &trail), named("second", &trail)),
		byStub(func(r *http.Request) (*http.Response, error) {
			trail = append(trail, "transport")
			return stubReply(r, 200, clientBalance), nil
		}),
		youproxy.WithMiddleware(named("third", &trail)))
	variant, err := c.With(youproxy.WithMiddleware(named("fourth", &trail)))
	require.NoError(t, err)
	_, err = variant.Balance(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []string{"first", "second", "third", "fourth", "transport"}, trail)
}

func TestMiddlewareSeesAPlaceholder(t *testing.T) {
	t.Parallel()
	var arrived string
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		arrived = r.URL.Path
		w.Header().Set("Location", "https://elsewhere.example.com"+r.URL.Path)
		reply(w, r, 200, clientBalance)
	})
	var seen []string
	c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			seen = append(seen, r.URL.String(), r.RequestURI, fmt.Sprint(r.Header), resp.Request.URL.String(), fmt.Sprint(resp.Header))
			return resp, nil
		})
	}))
	_, err := c.Balance(t.Context())
	require.NoError(t, err)
	assert.Equal(t, clientPathOfKey+"/balance", arrived)
	require.Len(t, seen, 5)
	assert.NotContains(t, strings.ToLower(strings.Join(seen, "\n")), strings.ToLower(clientKey))
	assert.True(t, strings.HasSuffix(seen[0], "/balance"), seen[0])
	assert.Equal(t, seen[0], seen[3])
}

func TestMiddlewareCannotSendTheKeyElsewhere(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(r *http.Request, elsewhere string) *http.Request
	}{
		{"another host", func(r *http.Request, elsewhere string) *http.Request { r.URL.Host = elsewhere; return r }},
		{"another Host field", func(r *http.Request, elsewhere string) *http.Request { r.Host = elsewhere; return r }},
		{"another scheme", func(r *http.Request, _ string) *http.Request { r.URL.Scheme = "https"; return r }},
		{"another path", func(r *http.Request, _ string) *http.Request { r.URL.Path = "/log/" + r.URL.Path; return r }},
		{"no placeholder", func(r *http.Request, _ string) *http.Request { r.URL.Path = "/client/api/v1/order"; return r }},
		{"another context", func(r *http.Request, _ string) *http.Request { return r.WithContext(context.Background()) }},
		{"a new request", func(_ *http.Request, elsewhere string) *http.Request {
			r, _ := http.NewRequest(http.MethodPost, "http://"+elsewhere+"/client/api/v1/REDACTED/order", nil)
			return r
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var requests atomic.Int32
			count := func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				reply(w, r, 200, orderedReply)
			}
			api, elsewhere := listen(t, count), listen(t, count)
			c := clientFor(t, youproxy.WithBaseURL(api.URL), youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
				return stubTransport(func(r *http.Request) (*http.Response, error) {
					return next.RoundTrip(tc.change(r.Clone(r.Context()), strings.TrimPrefix(elsewhere.URL, "http://")))
				})
			}))
			_, err := c.CreateOrder(t.Context(), benchOrder)
			require.Error(t, err)
			assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
			assert.ErrorIs(t, err, youproxy.ErrNotSent)
			assert.Zero(t, requests.Load(), "nothing is sent")
		})
	}
}

func TestRetryingMiddlewareSendsAnOrderOnce(t *testing.T) {
	t.Parallel()
	retry := func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			var resp *http.Response
			var err error
			for range 3 {
				again := r.Clone(r.Context())
				if r.GetBody != nil {
					if again.Body, err = r.GetBody(); err != nil {
						return nil, err
					}
				}
				if resp, err = next.RoundTrip(again); err == nil && resp.StatusCode < 500 {
					return resp, nil
				}
				if err == nil {
					_ = resp.Body.Close()
				}
			}
			return nil, errors.Join(errors.New("gave up"), err)
		})
	}
	var requests atomic.Int32
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		reply(w, r, 503, "busy")
	})
	c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithMiddleware(retry), youproxy.WithReadRetries(0))
	_, err := c.CreateOrder(t.Context(), benchOrder)
	require.Error(t, err)
	assert.EqualValues(t, 1, requests.Load())
	assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))

	requests.Store(0)
	_, err = c.Balance(t.Context())
	require.Error(t, err)
	assert.EqualValues(t, 3, requests.Load(), "a call that spends nothing may be repeated")
}

// A middleware that sends two at once, to take the faster, gets one through.
func TestHedgingMiddlewareSendsOnce(t *testing.T) {
	t.Parallel()
	var orders atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		orders.Add(1)
		_, _ = io.WriteString(w, orderedReply)
	}))
	defer server.Close()
	hedge := func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			type answer struct {
				resp *http.Response
				err  error
			}
			answers := make(chan answer, 2)
			for range 2 {
				go func() {
					again := r.Clone(r.Context())
					again.Body, _ = r.GetBody()
					resp, err := next.RoundTrip(again)
					answers <- answer{resp, err}
				}()
			}
			first, second := <-answers, <-answers
			if first.err != nil {
				return second.resp, second.err
			}
			return first.resp, first.err
		})
	}
	for range 50 {
		c, err := youproxy.New("a-key-for-tests", youproxy.WithBaseURL(server.URL), youproxy.WithMiddleware(hedge))
		require.NoError(t, err)
		orders.Store(0)
		order, err := c.CreateOrder(t.Context(), benchOrder)
		require.NoError(t, err)
		assert.EqualValues(t, "NUMBER-112233", order.Number)
		assert.EqualValues(t, 1, orders.Load())
		c.CloseIdleConnections()
	}
}
