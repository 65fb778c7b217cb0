package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jarcoal/httpmock"
	"github.com/shopspring/decimal"
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

// clientFor makes a client that leaves no connection behind.
func clientFor(t *testing.T, opts ...youproxy.Option) *youproxy.Client {
	t.Helper()
	c, err := youproxy.New(clientKey, opts...)
	require.NoError(t, err)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// listen serves h on a loopback listener.
func listen(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// reply answers a request in a server, having read its body.
func reply(w http.ResponseWriter, r *http.Request, status int, body string) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// byStub gives a client option that sends through f instead of a network.
func byStub(f func(*http.Request) (*http.Response, error)) youproxy.Option {
	return youproxy.WithHTTPClient(&http.Client{Transport: stubTransport(f)})
}

// stubReply makes the response of a stub, whose header fields come in pairs.
func stubReply(r *http.Request, status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Request: r,
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// named is a middleware that writes its name into trail when a request passes.
func named(name string, trail *[]string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			*trail = append(*trail, name)
			return next.RoundTrip(r)
		})
	}
}

// visibleKey is every character that a key may have.
func visibleKey() string {
	var b strings.Builder
	for c := byte('!'); c <= '~'; c++ {
		if !strings.ContainsRune("/?#", rune(c)) {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestKeyArrivesIntact(t *testing.T) {
	for _, tc := range []struct{ name, key string }{
		{"plain", "0123456789abcdef0123456789abcdef"},
		{"one byte", "k"},
		{"a percent sign alone", "%"},
		{"an escaped slash, literally", "a%2Fb"},
		{"escaped dots, literally", "%2e%2e"},
		{"a percent sign that escapes nothing", "a%b"},
		{"three dots", "..."},
		{"a double quote", `a"b`},
		{"a single quote", "a'b"},
		{"a backslash", `a\b`},
		{"colon, at sign and semicolon", "a:b@c;d"},
		{"plus, ampersand and equals sign", "a+b&c=d"},
		{"every visible character but / ? #", visibleKey()},
		{"the word that stands in the key's place", "REDACTED"},
		{"very long", strings.Repeat("0123456789abcdef", 512)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var path string
			s := listen(t, func(w http.ResponseWriter, r *http.Request) {
				path = r.URL.EscapedPath()
				reply(w, r, 200, clientBalance)
			})
			c, err := youproxy.New(tc.key, youproxy.WithBaseURL(s.URL))
			require.NoError(t, err)
			defer c.CloseIdleConnections()
			balance, err := c.Balance(t.Context())
			require.NoError(t, err)
			assert.Equal(t, "25.03 USD", balance.String())

			segments := strings.Split(path, "/")
			require.Len(t, segments, 6, "/client/api/v1/{key}/balance")
			assert.Equal(t, []string{"", "client", "api", "v1"}, segments[:4])
			assert.Equal(t, "balance", segments[5])
			arrived, err := url.PathUnescape(segments[4])
			require.NoError(t, err)
			assert.Equal(t, tc.key, arrived)
		})
	}
}

func TestBadKeyIsRefusedWithoutShowingIt(t *testing.T) {
	for _, tc := range []struct{ name, key string }{
		{"empty", ""},
		{"a dot", "."},
		{"two dots", ".."},
		{"only spaces", "   "},
		{"a space within", "Zq7 xW4"},
		{"a space before", " Zq7xW4"},
		{"a newline at the end", "Zq7xW4\n"},
		{"a carriage return at the end", "Zq7xW4\r"},
		{"a tab", "Zq7\txW4"},
		{"a slash", "Zq7/xW4"},
		{"a question mark", "Zq7?xW4"},
		{"a hash", "Zq7#xW4"},
		{"a whole URL", "https://youproxy.io/client/api/v1/Zq7xW4"},
		{"a letter outside ASCII", "Zq7éxW4"},
		{"a no-break space", "Zq7\u00a0xW4"},
		{"invalid UTF-8", "Zq7\xffxW4"},
		{"a byte order mark", "\ufeffZq7xW4"},
		{"a NUL", "Zq7\x00xW4"},
		{"a DEL", "Zq7\x7fxW4"},
		{"an escape character", "Zq7\x1bxW4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := youproxy.New(tc.key)
			require.Error(t, err)
			assert.Nil(t, c)
			assert.True(t, strings.HasPrefix(err.Error(), "youproxy: the API key "), err.Error())
			for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
				text := fmt.Sprintf(verb, err)
				assert.NotContains(t, text, "Zq7")
				assert.NotContains(t, text, "xW4")
			}
			if strings.Trim(tc.key, " ") != "" && !strings.Contains(tc.key, "Zq7") {
				assert.NotContains(t, err.Error(), tc.key)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	base := func(raw string) []youproxy.Option { return []youproxy.Option{youproxy.WithBaseURL(raw)} }
	for _, tc := range []struct {
		name string
		opts []youproxy.Option
		says string
	}{
		{"a nil option", []youproxy.Option{nil}, "option 1 is nil"},
		{"a nil option after a good one", []youproxy.Option{youproxy.WithPlainHTTP(), nil}, "option 2 is nil"},
		{"a nil client", []youproxy.Option{youproxy.WithHTTPClient(nil)}, "HTTP client is nil"},
		{"a nil middleware", []youproxy.Option{youproxy.WithMiddleware(nil)}, "middleware is nil"},
		{
			"a nil middleware after a good one",
			[]youproxy.Option{youproxy.WithMiddleware(func(rt http.RoundTripper) http.RoundTripper { return rt }, nil)},
			"middleware is nil",
		},
		{
			"a middleware that returns nil",
			[]youproxy.Option{youproxy.WithMiddleware(func(http.RoundTripper) http.RoundTripper { return nil })},
			"nil round tripper",
		},
		{"a negative read timeout", []youproxy.Option{youproxy.WithTimeouts(youproxy.Timeouts{Read: -1})}, "timeout is negative"},
		{"a negative spend timeout", []youproxy.Option{youproxy.WithTimeouts(youproxy.Timeouts{Read: 1, Spend: -1})}, "timeout is negative"},
		{"negative retries", []youproxy.Option{youproxy.WithReadRetries(-1)}, "retries is negative"},
		{"a reply size of 0", []youproxy.Option{youproxy.WithMaxReplySize(0)}, "not positive"},
		{"a negative reply size", []youproxy.Option{youproxy.WithMaxReplySize(-1)}, "not positive"},
		{"a nil logger", []youproxy.Option{youproxy.WithLogger(nil)}, "logger is nil"},
		{"a nil observer", []youproxy.Option{youproxy.WithObserver(nil)}, "observer is nil"},
		{"an empty user agent", []youproxy.Option{youproxy.WithUserAgent("")}, "user agent is blank"},
		{"a blank user agent", []youproxy.Option{youproxy.WithUserAgent(" \t ")}, "user agent is blank"},
		{"a user agent with a line break", []youproxy.Option{youproxy.WithUserAgent("shop\r\nX-Evil: 1")}, "header cannot carry"},
		{"a user agent with a NUL", []youproxy.Option{youproxy.WithUserAgent("shop\x00")}, "header cannot carry"},
		{"a user agent outside ASCII", []youproxy.Option{youproxy.WithUserAgent("läden/1")}, "header cannot carry"},

		{"an empty base URL", base(""), "must begin with https://"},
		{"a base URL without a scheme", base("youproxy.io"), "must begin with https://"},
		{"a base URL of nothing but a colon", base("://"), "cannot be read"},
		{"a base URL with a control character", base("https://youproxy.io/\x7f"), "cannot be read"},
		{"an ftp base URL", base("ftp://youproxy.io"), "must begin with https://"},
		{"a base URL without a host", base("https://"), "names no host"},
		{"a base URL with a path in the place of the host", base("https:///client"), "names no host"},
		{"a base URL without slashes", base("https:youproxy.io"), "names no host"},
		{"a base URL with nothing but a port", base("https://:443"), "names no host"},
		{"a base URL with a colon but no port", base("https://youproxy.io:"), "colon but no port"},
		{"a base URL with a login", base("https://secretlogin@youproxy.io"), "login or a password"},
		{"a base URL with a password", base("https://secretlogin:secretpassword@youproxy.io"), "login or a password"},
		{"a base URL with a query", base("https://youproxy.io?x=1"), "query or a fragment"},
		{"a base URL with an empty query", base("https://youproxy.io?"), "query or a fragment"},
		{"a base URL with a fragment", base("https://youproxy.io#x"), "query or a fragment"},
		{"a base URL with dots", base("https://youproxy.io/a/../b"), "holds .."},
		{"a base URL that ends with dots", base("https://youproxy.io/.."), "holds .."},
		{"a base URL with escaped dots", base("https://youproxy.io/%2e%2e/b"), "holds .."},
		{"a base URL with an escaped slash", base("https://youproxy.io/a%2Fb"), "escaped character"},
		{"a base URL that holds the key", base("https://youproxy.io" + clientPathOfKey), "holds the API key"},
		{"a base URL that holds the key in another letter case", base("https://youproxy.io" + strings.ToUpper(clientPathOfKey)), "holds the API key"},
		{"a base URL that holds the key, escaped", base("https://youproxy.io/%5A" + clientKey[1:]), ""},
		{"plain http", base("http://youproxy.io"), "is http"},
		{"plain http to an address", base("http://192.0.2.1:8080"), "is http"},
		{"plain http to all addresses", base("http://0.0.0.0"), "is http"},
		{"plain http to a name that begins like a loopback address", base("http://127.0.0.1.example.com"), "is http"},
		{"plain http to a name that begins like localhost", base("http://localhost.example.com"), "is http"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check := func(c *youproxy.Client, err error) {
				t.Helper()
				require.Error(t, err)
				assert.Nil(t, c)
				assert.True(t, strings.HasPrefix(err.Error(), "youproxy: "), err.Error())
				assert.Contains(t, err.Error(), tc.says)
				assert.NotContains(t, strings.ToLower(err.Error()), strings.ToLower(clientKey))
				assert.NotContains(t, err.Error(), "secret")
			}
			check(youproxy.New(clientKey, tc.opts...))

			good := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, 200, clientBalance), nil }))
			check(good.With(tc.opts...))
			_, err := good.Balance(t.Context())
			assert.NoError(t, err, "the client is as it was")
		})
	}
}

func TestBaseURLsThatAreTaken(t *testing.T) {
	base, plain := youproxy.WithBaseURL, youproxy.WithPlainHTTP
	for _, tc := range []struct {
		name string
		opts []youproxy.Option
		sent string // the URL a request goes to
	}{
		{"none", nil, "https://youproxy.io" + clientPathOfKey + "/balance"},
		{"the default", []youproxy.Option{base(youproxy.DefaultBaseURL)}, "https://youproxy.io" + clientPathOfKey + "/balance"},
		{"a slash at the end", []youproxy.Option{base("https://youproxy.io/")}, "https://youproxy.io" + clientPathOfKey + "/balance"},
		{"a scheme in capitals", []youproxy.Option{base("HTTPS://youproxy.io")}, "https://youproxy.io" + clientPathOfKey + "/balance"},
		{"a port", []youproxy.Option{base("https://youproxy.io:8443")}, "https://youproxy.io:8443" + clientPathOfKey + "/balance"},
		{"a path", []youproxy.Option{base("https://gate.example.com/youproxy")}, "https://gate.example.com/youproxy" + clientPathOfKey + "/balance"},
		{"a path with a slash at the end", []youproxy.Option{base("https://gate.example.com/a/b/")}, "https://gate.example.com/a/b" + clientPathOfKey + "/balance"},
		{"http to 127.0.0.1", []youproxy.Option{base("http://127.0.0.1:8080")}, "http://127.0.0.1:8080" + clientPathOfKey + "/balance"},
		{"http to another loopback address", []youproxy.Option{base("http://127.8.9.10")}, "http://127.8.9.10" + clientPathOfKey + "/balance"},
		{"http to [::1]", []youproxy.Option{base("http://[::1]:8080")}, "http://[::1]:8080" + clientPathOfKey + "/balance"},
		{"http to localhost", []youproxy.Option{base("http://localhost:8080")}, "http://localhost:8080" + clientPathOfKey + "/balance"},
		{"http elsewhere, allowed before", []youproxy.Option{plain(), base("http://gate.internal")}, "http://gate.internal" + clientPathOfKey + "/balance"},
		{"http elsewhere, allowed after", []youproxy.Option{base("http://gate.internal"), plain()}, "http://gate.internal" + clientPathOfKey + "/balance"},
		{"the last of two", []youproxy.Option{base("http://gate.internal"), base("https://gate.example.com")}, "https://gate.example.com" + clientPathOfKey + "/balance"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var sent string
			stub := byStub(func(r *http.Request) (*http.Response, error) {
				sent = r.URL.String()
				return stubReply(r, 200, clientBalance), nil
			})
			for _, opts := range [][]youproxy.Option{append([]youproxy.Option{stub}, tc.opts...), append(slices.Clone(tc.opts), stub)} {
				sent = ""
				_, err := clientFor(t, opts...).Balance(t.Context())
				require.NoError(t, err)
				assert.Equal(t, tc.sent, sent)
			}
			sent = ""
			variant, err := clientFor(t, stub).With(tc.opts...)
			require.NoError(t, err)
			_, err = variant.Balance(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tc.sent, sent)
		})
	}
}

func TestNewFromEnv(t *testing.T) {
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != clientPathOfKey+"/balance" {
			t.Errorf("the request went to %s", r.URL.Path)
		}
		reply(w, r, 200, clientBalance)
	})
	t.Run("key and base URL", func(t *testing.T) {
		t.Setenv("YOUPROXY_API_KEY", clientKey)
		t.Setenv("YOUPROXY_BASE_URL", s.URL)
		c, err := youproxy.NewFromEnv()
		require.NoError(t, err)
		defer c.CloseIdleConnections()
		_, err = c.Balance(t.Context())
		require.NoError(t, err)
	})
	t.Run("the key alone", func(t *testing.T) {
		t.Setenv("YOUPROXY_API_KEY", clientKey)
		t.Setenv("YOUPROXY_BASE_URL", "")
		c, err := youproxy.NewFromEnv()
		require.NoError(t, err)
		assert.Equal(t, "youproxy.Client(https://youproxy.io)", c.String())
	})
	t.Run("an option comes after the environment", func(t *testing.T) {
		t.Setenv("YOUPROXY_API_KEY", clientKey)
		t.Setenv("YOUPROXY_BASE_URL", "https://gate.example.com")
		c, err := youproxy.NewFromEnv(youproxy.WithBaseURL("https://other.example.com"))
		require.NoError(t, err)
		assert.Equal(t, "youproxy.Client(https://other.example.com)", c.String())
	})
	t.Run("no key", func(t *testing.T) {
		t.Setenv("YOUPROXY_API_KEY", "")
		c, err := youproxy.NewFromEnv()
		require.ErrorContains(t, err, "YOUPROXY_API_KEY")
		assert.Nil(t, c)
	})
	t.Run("a key with a line break", func(t *testing.T) {
		t.Setenv("YOUPROXY_API_KEY", clientKey+"\n")
		_, err := youproxy.NewFromEnv()
		require.Error(t, err)
		assert.NotContains(t, err.Error(), clientKey)
	})
	t.Run("a bad base URL", func(t *testing.T) {
		t.Setenv("YOUPROXY_API_KEY", clientKey)
		t.Setenv("YOUPROXY_BASE_URL", "http://youproxy.io")
		_, err := youproxy.NewFromEnv()
		require.ErrorContains(t, err, "is http")
	})
}

// countConnections serves h and counts the connections that reach it.
func countConnections(t *testing.T, h http.HandlerFunc) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	opened := new(atomic.Int32)
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s, opened
}

func TestWithMakesAVariant(t *testing.T) {
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

func TestMiddlewareOrder(t *testing.T) {
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
	var arrived string
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		arrived = r.URL.Path
		w.Header().Set("Location", "https://elsewhere.example.com"+r.URL.Path)
		reply(w, r, 200, clientBalance)
	})
	var seen []string
	c := clientFor(t, youproxy.WithBaseURL(s.URL), youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
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
				return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
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
	retry := func(next http.RoundTripper) http.RoundTripper {
		return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
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

func TestBalanceTakesMembersNobodyKnows(t *testing.T) {
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

func TestLoggerWritesAnAllowList(t *testing.T) {
	always := []string{"time", "level", "msg", "op", "attempt", "status", "duration", "outcome"}
	for _, tc := range []struct {
		name   string
		status int
		body   string
		fields []string
		want   map[string]any
	}{
		{"success", 200, clientBalance, always, map[string]any{"level": "DEBUG", "op": "GET /balance", "attempt": 1.0, "status": 200.0, "outcome": "done"}},
		{"a refusal", 200, clientNoFunds, append(slices.Clone(always), "code"), map[string]any{"level": "WARN", "op": "GET /balance", "attempt": 1.0, "status": 200.0, "outcome": "rejected", "code": 16.0}},
		{"an error page", 500, "<html>" + clientKey + " secret</html>", always, map[string]any{"level": "WARN", "op": "GET /balance", "attempt": 1.0, "status": 500.0, "outcome": "unknown"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log bytes.Buffer
			c := clientFor(t,
				byStub(func(r *http.Request) (*http.Response, error) {
					return stubReply(r, tc.status, tc.body, "X-Secret", "secret"), nil
				}),
				youproxy.WithLogger(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			_, _ = c.Balance(t.Context())

			var line map[string]any
			require.NoError(t, json.Unmarshal(log.Bytes(), &line), "one line: %s", log.String())
			assert.ElementsMatch(t, tc.fields, slices.Collect(maps.Keys(line)))
			for field, value := range tc.want {
				assert.Equal(t, value, line[field], field)
			}
			assert.NotContains(t, log.String(), clientKey)
			assert.NotContains(t, log.String(), "secret")
		})
	}
	t.Run("a level that is off", func(t *testing.T) {
		var log bytes.Buffer
		c := clientFor(t,
			byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, 200, clientBalance), nil }),
			youproxy.WithLogger(slog.New(slog.NewJSONHandler(&log, nil))))
		_, err := c.Balance(t.Context())
		require.NoError(t, err)
		assert.Empty(t, log.String())
	})
}

func TestObserverSeesEachAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type contextKey struct{}
		var events []youproxy.CallEvent
		attempts := 0
		c := clientFor(t,
			byStub(func(r *http.Request) (*http.Response, error) {
				attempts++
				time.Sleep(time.Duration(attempts) * time.Second)
				if attempts == 1 {
					return stubReply(r, 503, "busy", "Retry-After", "1"), nil
				}
				if attempts == 2 {
					return nil, errors.New("the line is dead")
				}
				return stubReply(r, 200, clientNoFunds), nil
			}),
			youproxy.WithObserver(func(ctx context.Context, e youproxy.CallEvent) {
				assert.Equal(t, "the caller's", ctx.Value(contextKey{}))
				events = append(events, e)
			}))
		_, err := c.QuoteOrder(context.WithValue(t.Context(), contextKey{}, "the caller's"), benchOrder)
		require.ErrorIs(t, err, youproxy.ErrInsufficientFunds)

		require.Len(t, events, 3)
		for i, e := range events {
			assert.Equal(t, "POST /calculate/order", e.Op)
			assert.Equal(t, i+1, e.Attempt)
			assert.Equal(t, time.Duration(i+1)*time.Second, e.Duration)
			assert.Error(t, e.Err)
		}
		assert.Equal(t, []int{503, 0, 200}, []int{events[0].HTTPStatus, events[1].HTTPStatus, events[2].HTTPStatus})
		assert.Equal(t, []youproxy.Outcome{youproxy.OutcomeUnknown, youproxy.OutcomeUnknown, youproxy.OutcomeRejected},
			[]youproxy.Outcome{events[0].Outcome, events[1].Outcome, events[2].Outcome})
		assert.Equal(t, err, events[2].Err)
	})
	t.Run("success", func(t *testing.T) {
		var events []youproxy.CallEvent
		c := clientFor(t,
			byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, 200, orderedReply), nil }),
			youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) { events = append(events, e) }))
		_, err := c.CreateOrder(t.Context(), benchOrder)
		require.NoError(t, err)
		require.Len(t, events, 1)
		events[0].Duration = 0
		assert.Equal(t, youproxy.CallEvent{Op: "POST /order", Attempt: 1, HTTPStatus: 200, Outcome: youproxy.OutcomeDone}, events[0])
	})
}

func TestEmptyClient(t *testing.T) {
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

// shout writes and reads itself in its own way, as callers' types do.
type shout string

func (s shout) MarshalJSON() ([]byte, error) { return json.Marshal(strings.ToUpper(string(s))) }

func (s *shout) UnmarshalJSON(data []byte) error {
	var text string
	err := json.Unmarshal(data, &text)
	*s = shout(strings.ToLower(text))
	return err
}

func TestCallSendsWhatItIsGiven(t *testing.T) {
	var method, path, query, body, contentType string
	s := listen(t, func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		method, path, query, body, contentType = r.Method, r.URL.Path, r.URL.RawQuery, string(sent), r.Header.Get("Content-Type")
		reply(w, r, 200, `{"success": true, "Name": "LOUD", "count": "7", "ORDERNUMBER": "N-1", "error": null}`)
	})
	c := clientFor(t, youproxy.WithBaseURL(s.URL))

	t.Run("body and reply pass through encoding/json", func(t *testing.T) {
		var got struct {
			Name        shout `json:"name"`
			Count       int   `json:"count,string"`
			OrderNumber string
		}
		err := c.Call(t.Context(), http.MethodPost, "/some/thing", url.Values{"proxyType": {"IPv4"}, "a": {"1 2", "&"}}, struct {
			Name shout  `json:"name"`
			Tag  string `json:"tag,omitempty"`
			Size int    `json:"size,string"`
			HTML string
		}{"quiet", "", 3, "<a&b>"}, &got)
		require.NoError(t, err)
		assert.Equal(t, "POST", method)
		assert.Equal(t, clientPathOfKey+"/some/thing", path)
		assert.Equal(t, "a=1+2&a=%26&proxyType=IPv4", query)
		assert.Equal(t, `{"name":"QUIET","size":"3","HTML":"\u003ca\u0026b\u003e"}`, body)
		assert.Equal(t, "application/json", contentType)
		assert.Equal(t, shout("loud"), got.Name)
		assert.Equal(t, 7, got.Count)
		assert.Equal(t, "N-1", got.OrderNumber, "letter case does not matter to encoding/json")
	})
	t.Run("no body, no query, no reply", func(t *testing.T) {
		require.NoError(t, c.Call(t.Context(), http.MethodGet, "/balance", nil, nil, nil))
		assert.Equal(t, "GET", method)
		assert.Equal(t, clientPathOfKey+"/balance", path)
		assert.Empty(t, query)
		assert.Empty(t, body)
		assert.Empty(t, contentType)
	})
	t.Run("the whole reply as it came", func(t *testing.T) {
		var raw json.RawMessage
		require.NoError(t, c.Call(t.Context(), http.MethodGet, "/balance", nil, nil, &raw))
		assert.Equal(t, `{"success": true, "Name": "LOUD", "count": "7", "ORDERNUMBER": "N-1", "error": null}`, string(raw))
	})
	t.Run("a path with characters that need escaping", func(t *testing.T) {
		require.NoError(t, c.Call(t.Context(), http.MethodGet, "/a b/ü/%2F/100%", nil, nil, nil))
		assert.Equal(t, clientPathOfKey+"/a b/ü/%2F/100%", path)
	})
}

func TestCallAnswers(t *testing.T) {
	type fits struct {
		Balance float64
	}
	for _, tc := range []struct {
		name    string
		status  int
		body    string
		into    any
		outcome youproxy.Outcome
		is      error
	}{
		{"success", 200, clientBalance, new(fits), youproxy.OutcomeDone, nil},
		{"success, the reply not wanted", 200, clientBalance, nil, youproxy.OutcomeDone, nil},
		{"a refusal", 200, clientNoFunds, new(fits), youproxy.OutcomeRejected, youproxy.ErrInsufficientFunds},
		{"a refusal, the reply not wanted", 200, clientNoFunds, nil, youproxy.OutcomeRejected, youproxy.ErrInsufficientFunds},
		{"a refusal with 400", 400, clientNoFunds, nil, youproxy.OutcomeRejected, youproxy.ErrInsufficientFunds},
		{"a refusal with a code nobody knows", 200, `{"success": false, "error": {"code": 77, "message": "No"}}`, nil, youproxy.OutcomeRejected, youproxy.ErrorCode(77)},
		{"a page", 200, "<html></html>", nil, youproxy.OutcomeUnknown, youproxy.ErrOutcomeUnknown},
		{"no success", 200, `{"balance": 1}`, new(fits), youproxy.OutcomeUnknown, youproxy.ErrOutcomeUnknown},
		{"trailing bytes", 200, clientBalance + "x", new(fits), youproxy.OutcomeUnknown, youproxy.ErrOutcomeUnknown},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(tc.name+" to "+method, func(t *testing.T) {
				c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, tc.status, tc.body), nil }))
				err := c.Call(t.Context(), method, "/thing", nil, nil, tc.into)
				assert.Equal(t, tc.outcome, youproxy.OutcomeOf(err))
				if tc.is == nil {
					require.NoError(t, err)
					if got, ok := tc.into.(*fits); ok {
						assert.InDelta(t, 25.03, got.Balance, 0)
					}
					return
				}
				require.ErrorIs(t, err, tc.is)
				assert.Contains(t, err.Error(), method+" /thing")
			})
		}
	}
}

func TestCallReplyThatDoesNotFit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		into   any
	}{
		{"a number where text is wanted", 200, new(struct{ Balance string })},
		{"an object where a list is wanted", 200, new([]string)},
		{"another status of success", 201, new(struct{ Balance string })},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, tc.status, clientBalance), nil }))
			err := c.Call(t.Context(), http.MethodPost, "/thing", nil, nil, tc.into)
			var call *youproxy.CallError
			require.ErrorAs(t, err, &call)
			assert.Equal(t, youproxy.OutcomeDone, call.Outcome)
			assert.Equal(t, youproxy.OutcomeDone, youproxy.OutcomeOf(err))
			assert.Equal(t, tc.status, call.HTTPStatus)
			assert.Equal(t, "POST /thing", call.Op)
			assert.ErrorContains(t, err, "does not fit")
			assert.NotErrorIs(t, err, youproxy.ErrOutcomeUnknown)
			assert.NotErrorIs(t, err, youproxy.ErrNotSent)
		})
	}
}

// The errors of a caller's types may repeat what they were given.
func TestCallReplyIsNotQuoted(t *testing.T) {
	for _, into := range []any{
		new(struct{ Password decimal.Decimal }), new(map[string]map[int]int), new(struct{ Password int8 }), new(struct{ Password picky }),
	} {
		c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
			return stubReply(r, 200, `{"success": true, "password": "hunter2", "odd": {"hunter2": 1}}`), nil
		}))
		err := c.Call(t.Context(), http.MethodGet, "/thing", nil, nil, into)
		assert.ErrorContains(t, err, fmt.Sprintf("the reply does not fit into %T", into))
		assert.NotContains(t, fmt.Sprintf("%v %+v", err, err), "hunter2")
		assert.Equal(t, youproxy.OutcomeDone, youproxy.OutcomeOf(err))
	}
}

type picky struct{}

func (*picky) UnmarshalJSON(b []byte) error { return fmt.Errorf("not %s", b) }

func TestCallRefusesToSend(t *testing.T) {
	var none context.Context
	ctx := t.Context()
	over, cancel := context.WithCancel(ctx)
	cancel()
	for _, tc := range []struct {
		name         string
		ctx          context.Context
		method, path string
		body         any
	}{
		{"an empty path", ctx, "GET", "", nil},
		{"a path without a slash", ctx, "GET", "balance", nil},
		{"a URL", ctx, "GET", "https://elsewhere.example.com/balance", nil},
		{"a path with dots", ctx, "GET", "/a/../../b", nil},
		{"a path of dots", ctx, "POST", "/..", nil},
		{"a path with a query", ctx, "GET", "/a?b=c", nil},
		{"a path with a fragment", ctx, "GET", "/a#b", nil},
		{"no method", ctx, "", "/a", nil},
		{"a method in small letters", ctx, "get", "/a", nil},
		{"a method in mixed letters", ctx, "Get", "/a", nil},
		{"a method with a space", ctx, "GET ", "/a", nil},
		{"a method with a line break", ctx, "GET\r\n", "/a", nil},
		{"a method outside ASCII", ctx, "ПОСТ", "/a", nil},
		{"a body that is no JSON", ctx, "POST", "/a", make(chan int)},
		{"a nil context", none, "GET", "/a", nil},
		{"a nil context of a call that spends", none, "POST", "/a", nil},
		{"a context that is over", over, "GET", "/a", nil},
		{"a context that is over, of a call that spends", over, "POST", "/a", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sent := false
			c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
				sent = true
				return stubReply(r, 200, clientBalance), nil
			}))
			err := c.Call(tc.ctx, tc.method, tc.path, nil, tc.body, nil)
			require.ErrorIs(t, err, youproxy.ErrNotSent)
			assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
			assert.False(t, sent)
			if tc.ctx == over {
				assert.ErrorIs(t, err, context.Canceled)
			}
		})
	}
}

func TestCallEffects(t *testing.T) {
	for _, tc := range []struct {
		method string
		sent   int
	}{
		{"GET", 3},
		{"POST", 1},
		{"PUT", 1},
		{"PATCH", 1},
		{"DELETE", 1},
		{"HEAD", 1},
		{"OPTIONS", 1},
		{"QUERY", 1},
	} {
		t.Run(tc.method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent := 0
				c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
					sent++
					return stubReply(r, 503, ""), nil
				}))
				err := c.Call(t.Context(), tc.method, "/thing", nil, nil, nil)
				require.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
				assert.Equal(t, tc.sent, sent)
			})
		})
	}
}
