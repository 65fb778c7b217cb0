package youproxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// scene is where a case plays: the API, another host, and a transport to both.
type scene struct {
	t         *testing.T
	key       string
	api       *httptest.Server
	other     *httptest.Server
	transport *http.Transport
	seen      seen
	ctx       context.Context
	baseURL   string
	timeout   time.Duration
	rt        http.RoundTripper
	inside    func(http.RoundTripper) http.RoundTripper // the case's own middleware, which sees bodies and so the key
}

// TestKeyNeverShows plays every kind of failure, and looks for the key in
// whatever anybody but the API was shown.
func TestKeyNeverShows(t *testing.T) {
	t.Parallel()
	for i, tc := range secrecyCases() {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			n := i // but in the long runs each case has some of the keys and versions
			for _, key := range secretKeys {
				for _, http2 := range []bool{false, true} {
					if n++; n%size(1, 3, 6) == 0 {
						playScene(t, tc, key, http2)
					}
				}
			}
		})
	}
}

func playScene(t *testing.T, tc secrecyCase, key string, http2 bool) {
	s := &scene{t: t, key: key, timeout: 5 * time.Second}
	start := func(h http.HandlerFunc) *httptest.Server {
		srv := httptest.NewUnstartedServer(h)
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.EnableHTTP2 = http2
		srv.StartTLS()
		return srv
	}
	s.api = start(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		assert.True(t, strings.HasPrefix(r.URL.Path, "/client/api/v1/"+key+"/"), "the API gets the key: %q", r.URL.Path)
		tc.handle(s, rw, r)
	})
	s.other = start(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.seen.add("other host", r.RequestURI, r.Host, r.Header, string(body))
		if r.URL.Path != "/warm" {
			t.Errorf("the other host got %s %s", r.Method, r.URL)
		}
	})
	s.transport = &http.Transport{TLSClientConfig: trusting(s.api), ForceAttemptHTTP2: http2}
	defer s.other.Close()
	defer s.api.Close()
	defer s.api.CloseClientConnections()
	defer s.transport.CloseIdleConnections()

	var log bytes.Buffer
	s.ctx = httptrace.WithClientTrace(t.Context(), s.seen.trace())
	s.baseURL, s.rt = s.api.URL, s.transport
	if tc.arrange != nil {
		tc.arrange(s)
	}
	middleware := s.inside
	if middleware == nil {
		middleware = s.seen.middleware
	}
	handlers := slog.NewMultiHandler(
		slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}),
		slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c, err := youproxy.New(key,
		youproxy.WithBaseURL(s.baseURL), youproxy.WithHTTPClient(&http.Client{Transport: s.rt}), youproxy.WithReadRetries(0),
		youproxy.WithTimeouts(youproxy.Timeouts{Read: s.timeout, Spend: s.timeout}), youproxy.WithLogger(slog.New(handlers)),
		youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
			s.seen.addPrinted("observer", e)
			s.seen.addError("observer", e.Err)
		}),
		youproxy.WithMiddleware(middleware))
	require.NoError(t, err)

	_, orderErr := c.CreateOrder(s.ctx, guardOrder)
	_, quoteErr := c.QuoteOrder(s.ctx, guardOrder)
	getErr := c.Call(s.ctx, http.MethodGet, "/balance", nil, nil, nil)
	for what, err := range map[string]error{"order": orderErr, "quote": quoteErr, "call": getErr} {
		if !strings.Contains(tc.name, "followed") {
			assert.Error(t, err, what)
		}
		s.seen.addError(what, err)
		s.seen.addStrings(what+", deep", err)
	}
	s.seen.add("log", log.String())
	assert.NotEmpty(t, log.String())
	s.seen.check(t, key)
}

// TestKeyNeverShowsThroughProxy: behind a proxy every host is reached at the
// same address.
func TestKeyNeverShowsThroughProxy(t *testing.T) {
	t.Parallel()
	for _, key := range secretKeys {
		var shown seen
		other := httptest.NewServer(nil)
		defer other.Close()
		forward := &http.Transport{}
		defer forward.CloseIdleConnections()
		proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Host == "other.test" {
				shown.add("other host", r.RequestURI, r.Header)
				return
			}
			rw.Header().Set("Location", "http://other.test/")
			rw.WriteHeader(http.StatusFound)
		}))
		proxyURL, err := url.Parse(proxy.URL)
		require.NoError(t, err)
		transport := &http.Transport{Proxy: http.ProxyURL(proxyURL)}
		c, err := youproxy.New(key, youproxy.WithBaseURL("http://api.test"), youproxy.WithPlainHTTP(), youproxy.WithReadRetries(0),
			youproxy.WithHTTPClient(&http.Client{Transport: following{transport}}))
		require.NoError(t, err)
		_, err = c.CreateOrder(t.Context(), guardOrder)
		shown.addError("order", err)
		err = c.Call(t.Context(), http.MethodGet, "/balance", nil, nil, nil)
		shown.addError("call", err)
		shown.check(t, key)
		transport.CloseIdleConnections()
		proxy.Close()
	}
}

// TestClientShowsItsKeyNowhere prints a client in all the places it may stand.
func TestClientShowsItsKeyNowhere(t *testing.T) {
	srv := orderServer(t)
	for _, key := range secretKeys {
		own, err := youproxy.New(key)
		require.NoError(t, err)
		t.Setenv("YOUPROXY_API_KEY", key)
		fromEnv, err := youproxy.NewFromEnv(youproxy.WithBaseURL(srv.URL), youproxy.WithLogger(slog.New(slog.DiscardHandler)))
		require.NoError(t, err)
		_, err = fromEnv.CreateOrder(t.Context(), guardOrder)
		require.NoError(t, err)
		variant, err := fromEnv.With(youproxy.WithUserAgent("shop/1"))
		require.NoError(t, err)
		var shown seen
		for _, c := range []*youproxy.Client{own, fromEnv, variant} {
			type service struct {
				c      *youproxy.Client
				v      youproxy.Client
				inside any
				List   []youproxy.Client
				Map    map[string]*youproxy.Client
			}
			for name, v := range map[string]any{
				"pointer": c, "copy": *c, "pointer to pointer": &c, "list": []*youproxy.Client{c}, "copies": []youproxy.Client{*c},
				"struct":            service{c, *c, *c, []youproxy.Client{*c}, map[string]*youproxy.Client{"c": c}},
				"pointer to struct": &service{c: c, v: *c, inside: c},
			} {
				shown.addPrinted(name, v)
				shown.addStrings(name+", deep", v)
			}
		}
		shown.check(t, key)
		fromEnv.CloseIdleConnections()
	}
}

// TestBadSettingsKeepTheKey: what New and its options refuse is not shown.
func TestBadSettingsKeepTheKey(t *testing.T) {
	t.Parallel()
	for _, key := range secretKeys {
		var shown seen
		for _, bad := range []string{key + "/", key + "?", key + " ", " " + key, key + "\n", key + "é", "https://h/" + key} {
			_, err := youproxy.New(bad)
			require.Error(t, err, "%q", bad)
			shown.addError("New", err)
		}
		escaped := url.PathEscape(key)
		for _, base := range []string{
			"https://youproxy.io/client/api/v1/" + escaped, "https://" + escaped + "@youproxy.io", "https://youproxy.io?key=" + escaped,
			"ftp://youproxy.io/" + key, "https://youproxy.io:" + key, "http://youproxy.io/" + key, "://" + key, key,
		} {
			_, err := youproxy.New(key, youproxy.WithBaseURL(base))
			require.Error(t, err, "%q", base)
			shown.addError("WithBaseURL", err)
		}
		c, err := youproxy.New(key)
		require.NoError(t, err)
		shown.addError("Call", c.Call(t.Context(), http.MethodGet, "/"+key+"/../x", nil, nil, nil))
		shown.addError("Call", c.Call(t.Context(), "get "+key, "/x", nil, nil, nil))
		shown.addError("Call", c.Call(t.Context(), http.MethodPost, "/x", nil, keyInJSONError(key), nil))
		shown.check(t, key)
	}
}

type keyInJSONError string

func (k keyInJSONError) MarshalJSON() ([]byte, error) { return nil, errors.New("cannot: " + string(k)) }
