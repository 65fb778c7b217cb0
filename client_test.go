package youproxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const (
	clientKey       = "Zq7-Client-xW4"
	clientBalance   = `{"success": true, "balance": 25.03, "currencyCode": "USD", "error": null}`
	clientNoFunds   = `{"success": false, "balance": 7.18, "currency": "USD", "error": {"code": 16, "message": "Insufficient funds on balance"}}`
	clientPathOfKey = "/client/api/v1/" + clientKey
)

func TestWithMakesAVariant(t *testing.T) {
	t.Parallel()
	t.Run("it shares the connections", func(t *testing.T) {
		s, opened := countConnections(t, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, clientBalance) })
		c := clientFor(t, youproxy.WithBaseURL(s.URL))
		var trail []string
		plain, err := c.With(youproxy.WithUserAgent("shop/2.1"))
		require.NoError(t, err)
		wrapped, err := plain.With(youproxy.WithMiddleware(named("a", &trail)))
		require.NoError(t, err)
		prefixed, err := c.With(youproxy.WithBaseURL(s.URL + "/prefix"))
		require.NoError(t, err)
		for _, client := range []*youproxy.Client{c, plain, wrapped, prefixed, c} {
			_, err := client.Balance(t.Context())
			require.NoError(t, err)
		}
		assert.EqualValues(t, 1, opened.Load())
		assert.Equal(t, []string{"a"}, trail)
	})
	t.Run("it does not change the original", func(t *testing.T) {
		var agents, trail []string
		c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
			agents = append(agents, r.Header.Get("User-Agent")+" at "+r.URL.Host)
			return stubReply(r, 200, clientBalance), nil
		}), youproxy.WithUserAgent("first"),
			// Added one by one, so that their slice has room for one more, which siblings must not share.
			youproxy.WithMiddleware(named("1", &trail)), youproxy.WithMiddleware(named("2", &trail)), youproxy.WithMiddleware(named("3", &trail)))
		one, err := c.With(youproxy.WithUserAgent("one"), youproxy.WithMiddleware(named("one", &trail)), youproxy.WithBaseURL("https://one.example.com"))
		require.NoError(t, err)
		two, err := c.With(youproxy.WithUserAgent("two"), youproxy.WithMiddleware(named("two", &trail)))
		require.NoError(t, err)
		more, err := one.With(youproxy.WithMiddleware(named("more", &trail)))
		require.NoError(t, err)
		for i, client := range []*youproxy.Client{c, one, two, c, more} {
			if i > 0 {
				trail = append(trail, " ")
			}
			_, err := client.Balance(t.Context())
			require.NoError(t, err)
		}
		assert.Equal(t, "123 123one 123two 123 123onemore", strings.Join(trail, ""))
		require.Len(t, agents, 5)
		assert.True(t, strings.HasSuffix(agents[0], " first at youproxy.io"), agents[0])
		assert.True(t, strings.HasSuffix(agents[1], " one at one.example.com"), agents[1])
		assert.True(t, strings.HasSuffix(agents[2], " two at youproxy.io"), agents[2])
		assert.Equal(t, agents[0], agents[3])
	})
	t.Run("without options it is the same", func(t *testing.T) {
		c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, 200, clientBalance), nil }))
		variant, err := c.With()
		require.NoError(t, err)
		_, err = variant.Balance(t.Context())
		require.NoError(t, err)
	})
}

func TestBalanceTakesMembersNobodyKnows(t *testing.T) {
	t.Parallel()
	c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
		return stubReply(r, 200, `{"success": true, "bonus": {"balance": 3}, "balance": 25.03, "currencyCode": "USD", "error": null, "tags": []}`), nil
	}))
	assert.NotPanics(t, func() {
		balance, err := c.Balance(t.Context())
		require.NoError(t, err)
		assert.Equal(t, "25.03 USD", balance.String())
	})
}

func TestRequestHeader(t *testing.T) {
	t.Parallel()
	var header http.Header
	stub := byStub(func(r *http.Request) (*http.Response, error) {
		header = r.Header.Clone()
		return stubReply(r, 200, orderedReply), nil
	})
	c := clientFor(t, stub)
	_, err := c.CreateOrder(t.Context(), benchOrder)
	require.NoError(t, err)
	assert.Regexp(t, `^youproxy-go/\d+\.\d+\.\d+$`, header.Get("User-Agent"))
	assert.Equal(t, "application/json", header.Get("Content-Type"))
	assert.Equal(t, "application/json", header.Get("Accept"))
	assert.Regexp(t, `^https?://[^/]+/$`, header.Get("Referer"), "for a transport that may follow redirects, to hide the path")
	assert.ElementsMatch(t, []string{"User-Agent", "Content-Type", "Accept", "Referer"}, slices.Collect(maps.Keys(header)),
		"no Idempotency-Key above all, for net/http would repeat what carries one")

	c = clientFor(t, stub, youproxy.WithUserAgent(" shop/2.1 (+https://shop.example.com) "))
	_, err = c.CreateOrder(t.Context(), benchOrder)
	require.NoError(t, err)
	assert.Regexp(t, `^youproxy-go/\d+\.\d+\.\d+ shop/2\.1 \(\+https://shop\.example\.com\)$`, header.Get("User-Agent"))
}

func TestHTTPMock(t *testing.T) {
	respond := func() {
		httpmock.RegisterResponder(http.MethodGet, "https://youproxy.io"+clientPathOfKey+"/balance",
			httpmock.NewStringResponder(200, clientBalance))
	}
	t.Run("a client activated before New", func(t *testing.T) {
		hc := new(http.Client)
		httpmock.ActivateNonDefault(hc)
		t.Cleanup(httpmock.DeactivateAndReset)
		respond()
		_, err := clientFor(t, youproxy.WithHTTPClient(hc)).Balance(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, httpmock.GetTotalCallCount())
	})
	t.Run("a client activated after New", func(t *testing.T) {
		hc := new(http.Client)
		c := clientFor(t, youproxy.WithHTTPClient(hc))
		httpmock.ActivateNonDefault(hc)
		t.Cleanup(httpmock.DeactivateAndReset)
		respond()
		_, err := c.Balance(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, httpmock.GetTotalCallCount())
	})
	t.Run("activated before New", func(t *testing.T) {
		httpmock.Activate()
		t.Cleanup(httpmock.DeactivateAndReset)
		respond()
		c := clientFor(t)
		_, err := c.Balance(t.Context())
		require.NoError(t, err)
		variant, err := c.With(youproxy.WithMiddleware(func(rt http.RoundTripper) http.RoundTripper { return rt }))
		require.NoError(t, err)
		_, err = variant.Balance(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2, httpmock.GetTotalCallCount())
	})
	t.Run("activated after New, and no longer", func(t *testing.T) {
		c := clientFor(t)
		httpmock.Activate()
		t.Cleanup(httpmock.DeactivateAndReset)
		respond()
		_, err := c.Balance(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, httpmock.GetTotalCallCount())
		httpmock.DeactivateAndReset()

		s := listen(t, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, clientBalance) })
		c, err = c.With(youproxy.WithBaseURL(s.URL))
		require.NoError(t, err)
		_, err = c.Balance(t.Context())
		require.NoError(t, err, "its own transport serves again")
	})
	t.Run("activated before New, for a client without a transport", func(t *testing.T) {
		httpmock.Activate()
		t.Cleanup(httpmock.DeactivateAndReset)
		respond()
		_, err := clientFor(t, youproxy.WithHTTPClient(new(http.Client))).Balance(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 1, httpmock.GetTotalCallCount())
	})
}

func TestHTTPClientCountsForItsTransportOnly(t *testing.T) {
	t.Parallel()
	var cookies []string
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		cookies = append(cookies, r.Header.Get("Cookie"))
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
		if strings.HasSuffix(r.URL.Path, "/balance") {
			reply(w, r, 200, clientBalance)
			return
		}
		w.Header().Set("Location", "/elsewhere")
		reply(w, r, 302, "")
	})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	checked := false
	transport := s.Client().Transport
	hc := &http.Client{
		Transport:     transport,
		Timeout:       time.Nanosecond,
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { checked = true; return nil },
	}
	c := clientFor(t, youproxy.WithHTTPClient(hc), youproxy.WithBaseURL(s.URL))
	for range 2 {
		_, err = c.Balance(t.Context())
		require.NoError(t, err, "the client's own timeout does not count")
	}
	err = c.Call(t.Context(), http.MethodGet, "/moved", nil, nil, nil)
	require.ErrorIs(t, err, youproxy.ErrRedirect)
	assert.False(t, checked)
	assert.Equal(t, []string{"", "", ""}, cookies, "and no redirect is followed")

	at, err := url.Parse(s.URL)
	require.NoError(t, err)
	assert.Empty(t, jar.Cookies(at))
	assert.Same(t, transport, hc.Transport)
	assert.Equal(t, time.Nanosecond, hc.Timeout)
	assert.Same(t, jar, hc.Jar)
	assert.NotNil(t, hc.CheckRedirect)
}

func TestEmptyClient(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		client *youproxy.Client
	}{
		{"nil", nil},
		{"zero", new(youproxy.Client)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, ctx := tc.client, t.Context()
			calls := map[string]func() error{
				"Balance":     func() error { _, err := c.Balance(ctx); return err },
				"QuoteOrder":  func() error { _, err := c.QuoteOrder(ctx, benchOrder); return err },
				"CreateOrder": func() error { _, err := c.CreateOrder(ctx, benchOrder); return err },
				"Call GET":    func() error { return c.Call(ctx, http.MethodGet, "/balance", nil, nil, nil) },
				"Call POST":   func() error { return c.Call(ctx, http.MethodPost, "/order", nil, struct{}{}, new(any)) },
			}
			for name, call := range calls {
				err := call()
				require.ErrorIs(t, err, youproxy.ErrNotSent, name)
				assert.ErrorContains(t, err, "make one with New", name)
			}
			variant, err := c.With(youproxy.WithReadRetries(1))
			require.Error(t, err)
			assert.Nil(t, variant)
			assert.NotPanics(t, c.CloseIdleConnections)
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
				assert.NotContains(t, fmt.Sprintf(verb, c), "PANIC", verb)
			}
		})
	}
}

func TestClientPrintsWithoutItsKey(t *testing.T) {
	t.Parallel()
	c := clientFor(t, youproxy.WithBaseURL("https://gate.example.com/youproxy"))
	const want = "youproxy.Client(https://gate.example.com/youproxy)"
	assert.Equal(t, want, c.String())

	type service struct {
		Client  *youproxy.Client
		private *youproxy.Client
		value   youproxy.Client
	}
	s := service{Client: c, private: c, value: *c}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%t", "%c", "%U", "%e"} {
		assert.Equal(t, want, fmt.Sprintf(verb, c), verb)
		assert.Equal(t, want, fmt.Sprintf(verb, *c), verb)
		for _, holder := range []any{s, &s, []any{s}, map[string]any{"s": &s}} {
			text := strings.ToLower(fmt.Sprintf(verb, holder))
			assert.NotContains(t, text, strings.ToLower(clientKey), verb)
			assert.NotContains(t, text, fmt.Sprintf("%x", clientKey), verb)
		}
	}
	var log bytes.Buffer
	for _, l := range []*slog.Logger{slog.New(slog.NewTextHandler(&log, nil)), slog.New(slog.NewJSONHandler(&log, nil))} {
		l.Info("a client", "pointer", c, "value", *c, "holder", s)
	}
	assert.Contains(t, log.String(), want)
	assert.NotContains(t, log.String(), clientKey)
	asJSON, err := json.Marshal(map[string]any{"c": c, "s": &s})
	require.NoError(t, err)
	assert.NotContains(t, string(asJSON), clientKey)
}

func TestCloseIdleConnections(t *testing.T) {
	t.Parallel()
	t.Run("its own", func(t *testing.T) {
		closed := make(chan struct{}, 1)
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, clientBalance) }))
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed <- struct{}{}
			}
		}
		s.Start()
		t.Cleanup(s.Close)
		c := clientFor(t, youproxy.WithBaseURL(s.URL))
		_, err := c.Balance(t.Context())
		require.NoError(t, err)
		variant, err := c.With(youproxy.WithReadRetries(0))
		require.NoError(t, err)
		variant.CloseIdleConnections()
		select {
		case <-closed:
		case <-time.After(10 * time.Second):
			t.Error("the connection is still open")
		}
	})
	t.Run("not those of a caller's client", func(t *testing.T) {
		s, opened := countConnections(t, func(w http.ResponseWriter, r *http.Request) { reply(w, r, 200, clientBalance) })
		c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithHTTPClient(s.Client()))
		for range 2 {
			_, err := c.Balance(t.Context())
			require.NoError(t, err)
			c.CloseIdleConnections()
		}
		assert.EqualValues(t, 1, opened.Load())
	})
}
