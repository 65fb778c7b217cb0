package youproxy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/reach"
	"github.com/youproxy-go/youproxy/internal/routetest"
)

// told is what replies hold that nobody is to be shown.
var told = []string{"l0gin-Zq7", "pa55w0rd-Xk9"}

const (
	toldRecord = `{"ipAddressId": "1", "ipAddressIp": "192.0.2.1", "authInfo": {"login": "l0gin-Zq7", "password": "pa55w0rd-Xk9"}}`
	toldList   = `{"success": true, "ipv4": [` + toldRecord + `], "error": null}`
	toldLine   = "192.0.2.1:8080:l0gin-Zq7:pa55w0rd-Xk9"
)

// unreadable are replies that are none of the service's.
var unreadable = map[string]string{
	"a word before the JSON":           "OK" + toldList,
	"a PHP notice":                     "<br />\n<b>Notice</b>: Undefined index in <b>/app/l0gin-Zq7.php</b> on line <b>7</b><br />\n" + toldList,
	"a guard against inclusion":        ")]}',\n" + toldList,
	"a guard that loops":               "while(1);" + toldList,
	"a callback":                       "callback(" + toldList + ");",
	"a comment":                        "/* " + toldLine + " */ " + toldList,
	"a comment of a line":              "// " + toldLine + "\n" + toldList,
	"a comment of HTML":                "<!-- " + toldLine + " -->" + toldList,
	"a chunk size":                     "8f\r\n" + toldList + "\r\n0\r\n\r\n",
	"JSON in a JSON string":            fmt.Sprintf("%q", toldList),
	"XML":                              `<?xml version="1.0"?><proxies title="l0gin-Zq7"><title>pa55w0rd-Xk9</title></proxies>`,
	"a line":                           toldLine,
	"a line before the JSON":           toldLine + "\n" + toldList,
	"YAML":                             "proxies:\n  - login: l0gin-Zq7\n    password: pa55w0rd-Xk9\n",
	"a list":                           "[" + toldRecord + "]",
	"lines of JSON":                    toldRecord + "\n" + toldRecord + "\n",
	"two byte order marks":             "\ufeff\ufeff" + toldList,
	"UTF-16":                           "\xff\xfe" + strings.Join(strings.Split(toldList, ""), "\x00"),
	"a page":                           "<html><title>Sorry</title><p>" + toldLine + "</p></html>",
	"a page without a title":           "<html><p>" + toldLine + "</p></html>",
	"JSON that is cut":                 toldList[:len(toldList)-30],
	"JSON that goes on":                toldList + toldLine,
	"JSON with a word that is none":    `{"success": true, "password": pa55w0rd-Xk9}`,
	"JSON with a name that is one":     `{"l0gin-Zq7:pa55w0rd-Xk9": {"ipAddressId": [}}`,
	"JSON with a bad escape":           `{"success": true, "password": "\pa55w0rd-Xk9"}`,
	"a success that is none":           `{"success": "pa55w0rd-Xk9", "login": "l0gin-Zq7"}`,
	"a success that is given twice":    `{"success": true, "success": "pa55w0rd-Xk9"}`,
	"no success":                       `{"login": "l0gin-Zq7", "password": "pa55w0rd-Xk9"}`,
	"ids that are none":                `{"success": true, "ipAddressIds": ["l0gin-Zq7"], "orderIds": ["pa55w0rd-Xk9"], "proxyType": "pa55w0rd-Xk9"}`,
	"a record without an id":           `{"success": true, "list": [{"ip": "192.0.2.1", "port": 1, "login": "l0gin-Zq7", "password": "pa55w0rd-Xk9"}]}`,
	"a record in a group of that name": `{"success": true, "pa55w0rd-Xk9": [{"ip": "192.0.2.1", "port": 1, "l0gin-Zq7": [}]}`,
}

// assertShowsNothing looks for what was told in all that prints an error.
func assertShowsNothing(t *testing.T, what string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, secret := range told {
			assert.NotContains(t, text, secret, what)
		}
	}
}

func shownOf(err error) (texts []string) {
	for ; err != nil; err = errors.Unwrap(err) {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Error("failed", "err", err)
		texts = append(texts, err.Error(), fmt.Sprintf("%+v %#v", err, err), log.String())
	}
	return texts
}

// TestNothingOfAReplyIsQuoted: whatever comes instead of a reply may hold passwords.
func TestNothingOfAReplyIsQuoted(t *testing.T) {
	t.Parallel()
	for name, body := range unreadable {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{200, 404, 500} {
				for _, r := range routetest.Routes() {
					var log bytes.Buffer
					c := clientFor(t, youproxy.WithReadRetries(0),
						byStub(func(req *http.Request) (*http.Response, error) { return stubReply(req, status, body), nil }),
						youproxy.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))),
						youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
							assertShowsNothing(t, r.Name(), shownOf(e.Err)...)
							assertShowsNothing(t, r.Name(), fmt.Sprintf("%+v", e))
						}))
					err := r.Call(t.Context(), c)
					assertShowsNothing(t, r.Name(), append(shownOf(err), log.String())...)
					reach.Strings(err, func(text string) { assertShowsNothing(t, r.Name(), text) })
				}
			}
			for _, err := range youproxy.ReadProxies(strings.NewReader(body)) {
				assertShowsNothing(t, "ReadProxies", shownOf(err)...)
			}
		})
	}
}

// TestNothingOfWhatIsNoHTTPIsQuoted: net/http quotes what it cannot read.
func TestNothingOfWhatIsNoHTTPIsQuoted(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"a line":                toldLine + "\r\n",
		"a version":             "HTTP/" + toldLine + " 200 OK\r\n\r\n",
		"a status":              "HTTP/1.1 " + toldLine + "\r\n\r\n",
		"a header field":        "HTTP/1.1 200 OK\r\n" + toldLine[10:] + "\r\n\r\n",
		"a continued field":     "HTTP/1.1 200 OK\r\n " + toldLine + "\r\n\r\n",
		"a length":              "HTTP/1.1 200 OK\r\nContent-Length: " + toldLine + "\r\n\r\n",
		"two lengths":           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: pa55w0rd-Xk9\r\n\r\n",
		"a transfer coding":     "HTTP/1.1 200 OK\r\nTransfer-Encoding: pa55w0rd-Xk9\r\n\r\n",
		"a chunk size":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + toldLine + "\r\n",
		"a status line's words": "HTTP/1.1 500 " + toldLine + "\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var library bytes.Buffer
			s := newRawServer(t, answer)
			log.SetOutput(&library)
			defer log.SetOutput(io.Discard)
			c := clientFor(t, youproxy.WithBaseURL("http://"+s), youproxy.WithReadRetries(0))
			_, err := c.CreateOrder(t.Context(), benchOrder)
			require.Error(t, err)
			assertShowsNothing(t, "order", shownOf(err)...)
			_, err = c.ListProxies(t.Context(), youproxy.ProxyQuery{})
			require.Error(t, err)
			assertShowsNothing(t, "list", shownOf(err)...)
		})
	}
}

// newRawServer answers every connection with the same bytes, and closes it. It
// returns its address.
func newRawServer(t *testing.T, answer string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	return ln.Addr().String()
}

// failing notes what a failed assertion prints.
type failing struct{ strings.Builder }

func (f *failing) Errorf(format string, args ...any) { fmt.Fprintf(f, format, args...) }

// TestNothingIsReached walks through whatever a caller may hold, as the dump of a
// failed assertion does, after a hundred calls.
func TestNothingIsReached(t *testing.T) {
	t.Parallel()
	const key = "Secret-Key_0123456789"
	type service struct {
		client  *youproxy.Client
		copied  youproxy.Client
		proxies []youproxy.Proxy
		secret  *youproxy.Secret
		errs    []error
		option  []youproxy.Option
	}
	for _, w := range wires {
		t.Run(w.name, func(t *testing.T) {
			g := serveOn(t, w, func(_ *guarded, rw http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/ipAddress"):
					_, _ = io.WriteString(rw, toldList)
				case r.Method == http.MethodGet:
					_, _ = io.WriteString(rw, balanceReply)
				default:
					_, _ = io.WriteString(rw, "<html><p>"+r.URL.Path+toldLine)
				}
			})
			var held service
			held.option = []youproxy.Option{youproxy.WithBaseURL(g.URL), youproxy.WithHTTPClient(&http.Client{Transport: g.transport})}
			c, err := youproxy.New(key, held.option...)
			require.NoError(t, err)
			for range 100 {
				held.proxies, err = c.ListProxies(t.Context(), youproxy.ProxyQuery{})
				require.NoError(t, err)
				_, err = c.CreateOrder(t.Context(), guardOrder)
				held.errs = append(held.errs, err)
			}
			held.client, held.copied = c, *c
			held.secret = &held.proxies[0].Credentials.Password
			assert.Equal(t, told[1], held.secret.Reveal())
			secrets := append([]string{key}, told[1])

			found := 0
			reach.Strings(&held, func(text string) {
				found++
				for _, secret := range secrets {
					assert.NotContains(t, text, secret)
				}
			})
			assert.Greater(t, found, 100, "it was walked through")

			other := held
			other.errs = nil
			var out failing
			assert.False(t, assert.Equal(&out, held, other))
			assert.False(t, assert.Nil(&out, &held))
			assert.False(t, assert.Nil(&out, held.secret))
			assert.Greater(t, out.Len(), 1000)
			for _, secret := range secrets {
				assert.NotContains(t, out.String(), secret)
			}
		})
	}
	t.Run("its own transport", func(t *testing.T) {
		s := listen(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, toldList) })
		c, err := youproxy.New(key, youproxy.WithBaseURL(s.URL))
		require.NoError(t, err)
		defer c.CloseIdleConnections()
		_, err = c.ListProxies(t.Context(), youproxy.ProxyQuery{})
		require.NoError(t, err)
		reach.Strings(struct{ c *youproxy.Client }{c}, func(text string) { t.Errorf("a client holds %q", text) })
	})
}
