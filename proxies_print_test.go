package youproxy_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// secretive is a proxy all of whose secrets are hushed.
func secretive(t *testing.T) youproxy.Proxy {
	t.Helper()
	quoted, err := json.Marshal(hushed)
	require.NoError(t, err)
	list, err := readText(t, inEnvelope(fmt.Sprintf(`"ipv4": [{"ipAddressId": "1", "ip": "192.0.2.1", "orderId": "o", "orderNumber": "N-1", "country": "USA", "dateStart": "2026-10-01T08:30:00Z",
		"dateEnd": "2026-10-31T08:30:00Z", "httpsPort": 8080, "socks5Port": 9090, "authInfo": {"login": "user", "password": %s}, "rebootLink": %[1]s,
		"token": %[1]s, "list": [%[1]s], "protocol": {"x": %[1]s}}]`, quoted)))
	require.NoError(t, err)
	require.Len(t, list, 1)
	p := list[0]
	require.Equal(t, hushed, p.Credentials.Password.Reveal())
	require.Equal(t, hushed, p.RebootURL.Reveal())
	require.Len(t, p.Extra, 3)
	return p
}

// asString tells what a verb makes of a value that has a String and a GoString,
// and whether it asks for one.
func asString(verb, text string) (string, bool) {
	switch verb {
	case "%v", "%+v", "%#v":
		return text, true
	}
	return fmt.Sprintf(verb, text), strings.ContainsAny(verb[len(verb)-1:], "sqxX")
}

// showsHushed reports whether text holds the beginning of the secret in some
// encoding, such as the list of bytes that package fmt makes of JSON.
func showsHushed(text string) bool {
	text = strings.ToLower(text)
	for _, form := range []string{hushed[:4], base64.StdEncoding.EncodeToString([]byte(hushed[:3])), base64.StdEncoding.EncodeToString([]byte(`"` + hushed[:5]))} {
		if strings.Contains(text, strings.ToLower(form)) {
			return true
		}
	}
	for _, verb := range []string{"%d", "%o", "%b", "%c", "%U", "%q", "%x", "%#x"} {
		var forms []string
		for _, b := range []byte(hushed[:4]) {
			forms = append(forms, strings.ToLower(fmt.Sprintf(verb, b)))
		}
		for _, separator := range []string{" ", ", ", ","} {
			if strings.Contains(text, strings.Join(forms, separator)) {
				return true
			}
		}
	}
	return strings.Contains(text, hex.EncodeToString([]byte(hushed[:4])))
}

func TestShowsHushed(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%s", "%d", "%o", "%b", "%c", "%U", "%q", "%x", "%X", "% x", "%#x", "%v", "%#v"} {
		assert.True(t, showsHushed(fmt.Sprintf("a "+verb+" b", []byte(hushed))), verb)
		assert.True(t, showsHushed(fmt.Sprintf(verb, raw("a", strconv.Quote(hushed)))), verb)
	}
	assert.True(t, showsHushed(base64.StdEncoding.EncodeToString([]byte(hushed))))
	assert.True(t, showsHushed(url.QueryEscape(hushed)))
	assert.False(t, showsHushed("proxy 1 at 192.0.2.1, *** [112 97]"))
}

func TestProxyUnderEveryVerb(t *testing.T) {
	t.Parallel()
	p := secretive(t)
	const text = "IPv4 proxy 1 at 192.0.2.1, HTTP port 8080, SOCKS5 port 9090, USA, ends 2026-10-31T08:30:00Z"
	assert.Equal(t, text, p.String())
	assert.Equal(t, text, p.GoString())
	assert.Equal(t, text, fmt.Sprint(p))
	type holder struct {
		Proxy   youproxy.Proxy
		Pointer *youproxy.Proxy
		List    []youproxy.Proxy
	}
	for _, verb := range verbs {
		want, asked := asString(verb, text)
		if asked {
			assert.Equal(t, want, fmt.Sprintf(verb, p), verb)
			assert.Equal(t, want, fmt.Sprintf(verb, &p), verb)
		}
		shapes := []any{
			p, &p, []youproxy.Proxy{p}, map[string]youproxy.Proxy{"a": p}, holder{Proxy: p, List: []youproxy.Proxy{p}}, &holder{Proxy: p}, []any{p},
			struct{ youproxy.Proxy }{p}, p.Credentials, *p.Credentials, p.RebootURL, struct{ *youproxy.Credentials }{p.Credentials},
		}
		if !strings.ContainsAny(verb[len(verb)-1:], "tcUez") { // no verbs for a pointer: package fmt asks nothing behind one then
			shapes = append(shapes, []*youproxy.Proxy{&p}, holder{p, &p, nil})
		}
		for _, v := range shapes {
			text := fmt.Sprintf(verb, v)
			assert.False(t, showsHushed(text), "%s of a %T: %.200s", verb, v, text)
		}
	}
	assert.Equal(t, `"`+text+`"`, fmt.Sprintf("%q", p))
	assert.Equal(t, hex.EncodeToString([]byte(text)), fmt.Sprintf("%x", p))
	assert.Equal(t, strings.ToUpper(hex.EncodeToString([]byte(text))), fmt.Sprintf("%X", p))
	assert.Equal(t, "proxy", fmt.Sprint(youproxy.Proxy{}))
	assert.NotPanics(t, func() { _ = fmt.Sprint((*youproxy.Proxy)(nil)) })
}

func TestExtraUnderEveryVerb(t *testing.T) {
	t.Parallel()
	e := secretive(t).Extra
	const names = `["list" "protocol" "token"]`
	type holder struct{ Extra youproxy.Extra }
	for _, verb := range verbs {
		assert.Equal(t, names, fmt.Sprintf(verb, e), verb)
		assert.Equal(t, names, fmt.Sprintf(verb, &e), verb)
		for _, v := range []any{holder{e}, &holder{e}, []youproxy.Extra{e}, map[string]youproxy.Extra{"a": e}, []any{e, &e}, struct{ youproxy.Extra }{e}} {
			text := fmt.Sprintf(verb, v)
			assert.False(t, showsHushed(text), "%s of a %T: %.200s", verb, v, text)
			assert.Contains(t, text, names, "%s of a %T", verb, v)
		}
		assert.Equal(t, "[]", fmt.Sprintf(verb, youproxy.Extra(nil)), verb)
		evil := fmt.Sprintf(verb, youproxy.Extra(raw("a\r\nlevel=INFO\x1b[31m\u202e", "1")))
		assert.False(t, strings.ContainsAny(evil, "\r\n\x1b\u202e"), "%q", evil)
	}
}

func TestExtraInLogs(t *testing.T) {
	t.Parallel()
	e := secretive(t).Extra
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			for what, v := range map[string]any{"itself": e, "a pointer": &e, "a group": slog.GroupValue(slog.Any("inside", e))} {
				var b bytes.Buffer
				log := slog.New(handler(&b))
				log.Info("found", "extra", v)
				log.With("extra", v).WithGroup("g").Info("found")
				assert.False(t, showsHushed(b.String()), what)
				assert.Equal(t, 2, strings.Count(b.String(), "\n"), what)
				assert.Equal(t, 2, strings.Count(b.String(), "token"), what)
				assert.Equal(t, 2, strings.Count(b.String(), "protocol"), what)
			}
			var b bytes.Buffer
			slog.New(handler(&b)).Info("found", "extra", youproxy.Extra(raw("a\nlevel=INFO msg=forged", "1")))
			assert.Equal(t, 1, strings.Count(b.String(), "\n"))
		})
	}
}

func TestProxyInLogs(t *testing.T) {
	t.Parallel()
	p := secretive(t)
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			for what, v := range map[string]any{
				"a proxy": p, "a pointer": &p, "a list": []youproxy.Proxy{p}, "a list of pointers": []*youproxy.Proxy{&p}, "a map": map[string]youproxy.Proxy{"a": p},
				"credentials": p.Credentials, "a struct": struct{ P youproxy.Proxy }{p},
			} {
				var b bytes.Buffer
				log := slog.New(handler(&b))
				log.Info("found", "proxy", v)
				log.With("proxy", v).WithGroup("g").Info("found")
				assertHushed(t, b.String())
				assert.Equal(t, 2, strings.Count(b.String(), "\n"), what)
			}
			var b bytes.Buffer
			slog.New(handler(&b)).Info("found", "proxy", p)
			for _, want := range []string{"192.0.2.1", "8080", "9090", "USA", "N-1", "2026-10-31T08:30:00", "order_id"} {
				assert.Contains(t, b.String(), want)
			}
		})
	}
}

// What the service writes cannot begin a line of a log.
func TestProxyTextsCannotBreakALine(t *testing.T) {
	t.Parallel()
	const evil = "USA\r\nlevel=INFO msg=forged\x1b[31m\u2028\u202e\x00"
	quoted, err := json.Marshal(evil)
	require.NoError(t, err)
	list, err := readText(t, inEnvelope(fmt.Sprintf(`"ipv4": [{"ipAddressId": %s, "ip": %[1]s, "orderId": %[1]s, "orderNumber": %[1]s, "country": %[1]s, "proxyType": %[1]s,
		"protocol": %[1]s, "mobileOperator": %[1]s, "dateEnd": %[1]s, "authInfo": {"login": %[1]s}, %[1]s: %[1]s}]`, quoted)))
	require.NoError(t, err)
	require.Len(t, list, 1)
	p := list[0]
	assert.Equal(t, evil, p.Country, "it is kept as it came")
	assert.Empty(t, p.Host)
	for _, verb := range verbs {
		if _, asked := asString(verb, ""); !asked {
			continue
		}
		text := fmt.Sprintf(verb, p)
		assert.False(t, strings.ContainsAny(text, "\r\n\x1b\x00\u2028\u202e"), "%q", text)
	}
	for _, v := range []any{p, &p, list} {
		var text, js bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("found", "proxy", v)
		slog.New(slog.NewJSONHandler(&js, nil)).Info("found", "proxy", v)
		assert.Equal(t, 1, strings.Count(text.String(), "\n"))
		assert.Equal(t, 1, strings.Count(js.String(), "\n"))
	}
	long := youproxy.Proxy{ID: "1", Country: strings.Repeat("x", 1<<20)}
	assert.Less(t, len(long.String()), 1000)
}

// The service can send the key back wherever it likes.
func TestTheKeyInAList(t *testing.T) {
	t.Parallel()
	for _, key := range secretKeys {
		for _, echo := range echoes {
			if echo.name == "every byte as in JSON" {
				continue // a text in JSON is escaped once more below
			}
			quoted := quoteJSON(echo.echo(key))
			for _, reply := range []string{
				`{"success": true, "ipv4": [{"ipAddressId": true, "country": ` + quoted + `}]}`,
				`{"success": true, ` + quoted + `: [{"ip": "192.0.2.1", ` + quoted + `: ` + quoted + `}]}`,
				`{"success": true, ` + quoted + `: {` + quoted + `: [{"ipAddressId": ` + quoted + `}, {"ip": "192.0.2.1"}]}}`,
				`{"success": true, ` + quoted + `: [{"ipAddressId": ` + quoted + `, ` + quoted + `: [}]}`,
				`{"success": true, "` + strings.Repeat("x", 199-len(key)) + quoted[1:] + `: [{"ip": "192.0.2.1"}]}`,
				`{"success": false, ` + quoted + `: [{"ipAddressId": ` + quoted + `}], "error": {"code": 2, "message": ` + quoted + `}}`,
				`{"success": true, "ipv4": [], "error": {"code": 2, "message": ` + quoted + `}}`,
				`{"success": true, "ipv4": [{"ipAddressId": "1"}], ` + quoted,
				quoted, echo.echo(key),
			} {
				var events []youproxy.CallEvent
				c, err := youproxy.New(key, youproxy.WithReadRetries(0), byStub(func(r *http.Request) (*http.Response, error) { return stubReply(r, 200, reply), nil }),
					youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) { events = append(events, e) }))
				require.NoError(t, err)
				_, err = c.ListProxies(t.Context(), youproxy.ProxyQuery{})
				require.Error(t, err, reply)
				var s seen
				s.addError("list", err)
				for _, e := range events {
					s.addPrinted("event", e)
					s.addError("event", e.Err)
				}
				s.check(t, key)
			}
		}
	}
}

// A name that is cut where it is shown must not show most of the key.
func TestTheKeyInANameThatIsCut(t *testing.T) {
	t.Parallel()
	const key = "Secret-Key_0123456789"
	for shown := range len(key) {
		name := strings.Repeat("x", 200-shown-1) + key // a slash comes first
		c, err := youproxy.New(key, youproxy.WithReadRetries(0), byStub(func(r *http.Request) (*http.Response, error) {
			return stubReply(r, 200, `{"success": true, "`+name+`": [{"ip": "192.0.2.1"}]}`), nil
		}))
		require.NoError(t, err)
		_, err = c.ListProxies(t.Context(), youproxy.ProxyQuery{})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "Secret-")
	}
}
