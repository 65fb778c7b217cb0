package youproxy_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

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
	t.Parallel()
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
	t.Parallel()
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
			assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
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
	t.Parallel()
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
		{"a middleware that returns nil", []youproxy.Option{youproxy.WithMiddleware(func(http.RoundTripper) http.RoundTripper { return nil })}, "nil round tripper"},
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
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
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
	t.Parallel()
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
		assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
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
