package youproxy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// bothPorts is a proxy that speaks HTTP and SOCKS5.
func bothPorts(login, password string) youproxy.Proxy {
	return youproxy.Proxy{ID: "1", Host: "192.0.2.1", IP: firstIP, HTTPPort: 8080, SOCKS5Port: 9090, Credentials: credentials(login, password)}
}

func TestScheme(t *testing.T) {
	t.Parallel()
	for _, s := range []youproxy.Scheme{youproxy.SchemeAny, youproxy.SchemeHTTP, youproxy.SchemeSOCKS5, youproxy.SchemeSOCKS5H, "", "http", "socks5", "socks5h"} {
		assert.True(t, s.Valid(), "%q", s)
	}
	for _, s := range []youproxy.Scheme{"HTTP", "https", "socks5H", "socks4", "any", " http"} {
		assert.False(t, s.Valid(), "%q", s)
	}
}

func TestProxyURL(t *testing.T) {
	t.Parallel()
	sixth := netip.MustParseAddr("2001:db8::1")
	for _, test := range []struct {
		name   string
		proxy  youproxy.Proxy
		scheme youproxy.Scheme
		want   string
	}{
		{"HTTP", bothPorts("user", "word"), youproxy.SchemeHTTP, "http://user:word@192.0.2.1:8080"},
		{"SOCKS5", bothPorts("user", "word"), youproxy.SchemeSOCKS5, "socks5://user:word@192.0.2.1:9090"},
		{"SOCKS5H", bothPorts("user", "word"), youproxy.SchemeSOCKS5H, "socks5h://user:word@192.0.2.1:9090"},
		{"any is HTTP", bothPorts("user", "word"), youproxy.SchemeAny, "http://user:word@192.0.2.1:8080"},
		{"any of one with HTTP alone", youproxy.Proxy{Host: "192.0.2.1", HTTPPort: 1}, youproxy.SchemeAny, "http://192.0.2.1:1"},
		{"any of one with SOCKS5 alone", youproxy.Proxy{Host: "192.0.2.1", SOCKS5Port: 65535}, youproxy.SchemeAny, "socks5://192.0.2.1:65535"},
		{"the other port is out of range", youproxy.Proxy{Host: "192.0.2.1", HTTPPort: 80, SOCKS5Port: -1}, youproxy.SchemeHTTP, "http://192.0.2.1:80"},
		{"without credentials", youproxy.Proxy{Host: "192.0.2.1", HTTPPort: 8080}, youproxy.SchemeHTTP, "http://192.0.2.1:8080"},
		{"a host name", youproxy.Proxy{Host: "a-1.b_2.Example.com", HTTPPort: 80}, youproxy.SchemeHTTP, "http://a-1.b_2.Example.com:80"},
		{"a host name, and an address", youproxy.Proxy{Host: "example.com", IP: firstIP, HTTPPort: 80}, youproxy.SchemeHTTP, "http://example.com:80"},
		{"an address alone", youproxy.Proxy{IP: firstIP, SOCKS5Port: 9090}, youproxy.SchemeSOCKS5, "socks5://192.0.2.1:9090"},
		{"IPv6", youproxy.Proxy{Host: "2001:db8::1", HTTPPort: 8080, Credentials: credentials("l", "p")}, youproxy.SchemeHTTP, "http://l:p@[2001:db8::1]:8080"},
		{"IPv6 by SOCKS5", youproxy.Proxy{Host: "2001:db8::1", IP: sixth, SOCKS5Port: 9090}, youproxy.SchemeSOCKS5, "socks5://[2001:db8::1]:9090"},
		{"an IPv6 address alone", youproxy.Proxy{IP: sixth, HTTPPort: 8080}, youproxy.SchemeHTTP, "http://[2001:db8::1]:8080"},
		{"an empty password", bothPorts("user", ""), youproxy.SchemeHTTP, "http://user:@192.0.2.1:8080"},
		{"an empty password, SOCKS5", bothPorts("user", ""), youproxy.SchemeSOCKS5, "socks5://user:@192.0.2.1:9090"},
		{"an absolute host name", youproxy.Proxy{Host: "example.com.", HTTPPort: 80}, youproxy.SchemeHTTP, "http://example.com.:80"},
		{"an empty login", bothPorts("", "word"), youproxy.SchemeHTTP, "http://:word@192.0.2.1:8080"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, err := test.proxy.URL(test.scheme)
			require.NoError(t, err)
			assert.Equal(t, test.want, u.String())
			parsed, err := url.Parse(u.String())
			require.NoError(t, err)
			assert.Equal(t, u.Host, parsed.Host)
			assert.Equal(t, u.User == nil, parsed.User == nil)
		})
	}
}

// oddSigns are what a URL, a shell, JSON, or a table could take for something
// else.
var oddSigns = []string{"@", ":", "/", "%", "#", "?", "space ", "&", "+", "=", ";", ",", `"`, `\`, "é", "%40", "[", "]", "'", "<", ">", "|", "$", "`", "{{", "*", "世界", "\u2028", "\u0085", "\xff"}

func TestProxyURLKeepsLoginAndPassword(t *testing.T) {
	t.Parallel()
	for _, s := range []youproxy.Scheme{youproxy.SchemeHTTP, youproxy.SchemeSOCKS5, youproxy.SchemeSOCKS5H} {
		logins, passwords := []string{"user"}, []string{"word"}
		for _, sign := range append(oddSigns, strings.Join(oddSigns, "")) {
			passwords = append(passwords, sign, "a"+sign+"b", sign+sign)
			if s != youproxy.SchemeHTTP || !strings.Contains(sign, ":") {
				logins = append(logins, sign, "a"+sign+"b", sign+sign)
			}
		}
		if s != youproxy.SchemeHTTP {
			logins, passwords = append(logins, "a\x00\r\nb"), append(passwords, "a\x00\r\nb\x7f", strings.Repeat("x", 255))
		}
		for _, login := range logins {
			for _, password := range passwords {
				u, err := bothPorts(login, password).URL(s)
				require.NoError(t, err, "%q %q", login, password)
				parsed, err := url.Parse(u.String())
				require.NoError(t, err, "%q %q", login, password)
				got, given := parsed.User.Password()
				assert.True(t, given)
				assert.Equal(t, login, parsed.User.Username(), s)
				assert.Equal(t, password, got, s)
				assert.Equal(t, u.Host, parsed.Host)
				assert.Equal(t, string(s), parsed.Scheme)
				assert.Empty(t, parsed.Path+parsed.RawQuery+parsed.Fragment, u)
			}
		}
	}
}

// unusable are proxies that have no URL.
var unusable = func() []unusableProxy {
	with := func(change func(p *youproxy.Proxy)) youproxy.Proxy {
		p := bothPorts("user", hushed)
		change(&p)
		return p
	}
	host := func(host string) youproxy.Proxy { return with(func(p *youproxy.Proxy) { p.Host = host }) }
	as := func(login, password string) youproxy.Proxy {
		return with(func(p *youproxy.Proxy) { p.Credentials = credentials(login, password) })
	}
	const both, h, s, sh = youproxy.SchemeAny, youproxy.SchemeHTTP, youproxy.SchemeSOCKS5, youproxy.SchemeSOCKS5H
	list := []unusableProxy{
		{"no HTTP port", with(func(p *youproxy.Proxy) { p.HTTPPort = 0 }), h, "no port for http"},
		{"no SOCKS5 port", with(func(p *youproxy.Proxy) { p.SOCKS5Port = 0 }), s, "no port for socks5"},
		{"no port", with(func(p *youproxy.Proxy) { p.HTTPPort, p.SOCKS5Port = 0, 0 }), both, "it has no port"},
		{"an HTTP port below the range", with(func(p *youproxy.Proxy) { p.HTTPPort = -1 }), h, "port -1 is out of range"},
		{"an HTTP port above the range", with(func(p *youproxy.Proxy) { p.HTTPPort = 65536 }), both, "port 65536 is out of range"},
		{"a SOCKS5 port out of range", with(func(p *youproxy.Proxy) { p.SOCKS5Port = 70000 }), s, "port 70000 is out of range"},
		{"no host", youproxy.Proxy{ID: "1", HTTPPort: 80, Credentials: credentials("user", hushed)}, h, "no host"},
		{"nothing", youproxy.Proxy{}, both, "no host"},
		{"an address with a zone", with(func(p *youproxy.Proxy) { p.Host, p.IP = "", netip.MustParseAddr("fe80::1%eth0") }), h, "neither an address nor a host name"},
		{"a colon in the login, HTTP", as("us:er", hushed), h, "a login with a colon"},
		{"a colon in the login, any", as("us:er", hushed), both, "a login with a colon"},
		{"an empty login, SOCKS5", as("", hushed), s, "a login of 0 bytes"},
		{"no SOCKS5 port, SOCKS5H", with(func(p *youproxy.Proxy) { p.SOCKS5Port = 0 }), sh, "no port for socks5h"},
		{"an empty login, SOCKS5H", as("", hushed), sh, "a login of 0 bytes"},
		{"a password of 256 bytes, SOCKS5H", as("user", strings.Repeat(hushed, 22)[:256]), sh, "a password of 256 bytes"},
		{"a login of 256 bytes, SOCKS5", as(strings.Repeat("x", 256), hushed), s, "a login of 256 bytes"},
		{"a login of 128 letters and 256 bytes, SOCKS5", as(strings.Repeat("é", 128), hushed), s, "a login of 256 bytes"},
		{"a password of 256 bytes, SOCKS5", as("user", strings.Repeat(hushed, 22)[:256]), s, "a password of 256 bytes"},
	}
	for _, text := range []string{
		"a b", " example.com", "example.com ", "a\nb", "192.0.2.1\n", "a\rb", "a\tb", "a\x00b", "fe80::1%eth0", "fe80::1%25eth0", "[2001:db8::1]", "192.0.2.1:80", "example.com:80",
		"user@example.com", "http://example.com", "example.com/", "a?b", "a#b", "a%b", "a\\b", "a,b", "a;b", `a"b`, "é.example", "a\xffb", "{{.}}", "=1", "*", strings.Repeat("a", 254),
	} {
		list = append(list, unusableProxy{fmt.Sprintf("the host %.20q", text), host(text), h, "neither an address nor a host name"},
			unusableProxy{fmt.Sprintf("the host %.20q, SOCKS5", text), host(text), s, "neither an address nor a host name"})
	}
	for _, control := range []string{"\x00", "\n", "\r", "\t", "\x1b", "\x1f", "\x7f"} {
		list = append(list, unusableProxy{fmt.Sprintf("%q in the login, HTTP", control), as("us"+control+"er", hushed), h, "a login with a control character"},
			unusableProxy{fmt.Sprintf("%q in the password, HTTP", control), as("user", hushed+control), both, "a password with a control character"})
	}
	return list
}()

type unusableProxy struct {
	name   string
	proxy  youproxy.Proxy
	scheme youproxy.Scheme
	why    string
}

// assertTellsNoSecret checks an error, all it wraps, and how they print.
func assertTellsNoSecret(t *testing.T, err error) {
	t.Helper()
	var s seen
	s.addError("error", err)
	for _, text := range s.texts {
		if showsHushed(text) {
			t.Errorf("the secret shows: %.300s", text)
			return
		}
	}
}

func TestProxyThatIsNotUsable(t *testing.T) {
	t.Parallel()
	for _, test := range unusable {
		t.Run(test.name, func(t *testing.T) {
			u, err := test.proxy.URL(test.scheme)
			require.ErrorIs(t, err, youproxy.ErrNotUsable)
			assert.Nil(t, u)
			assert.ErrorContains(t, err, test.why)
			assert.Less(t, len(err.Error()), 500)
			assert.False(t, strings.ContainsAny(err.Error(), "\r\n\x00\x1b"), "%q", err)
			if test.proxy.ID != "" {
				assert.ErrorContains(t, err, "youproxy: proxy 1 ")
			}
			assertTellsNoSecret(t, err)

			transport, err := test.proxy.Transport(test.scheme, func(*http.Transport) { t.Error("there is nothing to configure") })
			require.ErrorIs(t, err, youproxy.ErrNotUsable)
			assert.Nil(t, transport)
		})
	}
}

func TestUnknownScheme(t *testing.T) {
	t.Parallel()
	for _, s := range []youproxy.Scheme{"https", "HTTP", "socks4", "a\nb", youproxy.Scheme(strings.Repeat("x", 1<<20))} {
		_, err := bothPorts("user", hushed).URL(s)
		require.Error(t, err)
		assert.NotErrorIs(t, err, youproxy.ErrNotUsable, "the proxy is not at fault")
		assert.Less(t, len(err.Error()), 500)
		assert.NotContains(t, err.Error(), "\n")
		assertTellsNoSecret(t, err)
		_, err = bothPorts("user", hushed).Transport(s)
		assert.Error(t, err)
	}
}

func TestWhatIsJustUsable(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 255)
	for _, p := range []youproxy.Proxy{
		bothPorts(long, long), bothPorts("x", ""), bothPorts("a:b", "a:b"), bothPorts("\n", "\x00"),
		{Host: strings.Repeat("a", 253), SOCKS5Port: 1}, {Host: "localhost", SOCKS5Port: 1},
	} {
		_, err := p.URL(youproxy.SchemeSOCKS5)
		assert.NoError(t, err)
	}
	_, err := bothPorts(long+long, long+long).URL(youproxy.SchemeHTTP)
	assert.NoError(t, err, "HTTP has no such bound")
}

type otherTransport struct{ t *testing.T }

func (o otherTransport) RoundTrip(*http.Request) (*http.Response, error) {
	o.t.Error("the transport goes through http.DefaultTransport")
	return nil, http.ErrNotSupported
}

// get gives the protocol and the body of an answer.
func get(ctx context.Context, transport http.RoundTripper, address string) (proto, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", "", err
	}
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return "", "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.Proto, string(b), err
}

func TestTransportGoesThroughTheProxy(t *testing.T) {
	odd := credentials(`us@er/é %40"\`, `p@:/%#? &+=;,"\é`)
	for _, kind := range []struct {
		name   string
		scheme youproxy.Scheme
		start  func(*testing.T, *youproxy.Credentials, map[string]string) *aProxy
		asked  []string
	}{
		{"HTTP", youproxy.SchemeHTTP, httpProxy, []string{"GET http://example.com/plain", "CONNECT example.com:443", "GET http://127.0.0.1/loopback"}},
		{"SOCKS5", youproxy.SchemeSOCKS5, socks5Proxy, []string{"example.com:80", "example.com:443", "127.0.0.1:80"}},
	} {
		for _, as := range []struct {
			name        string
			credentials *youproxy.Credentials
		}{{"with a login", odd}, {"without a login", nil}} {
			for _, with := range []struct {
				name string
				base http.RoundTripper // http.DefaultTransport, or nil for what it is
			}{{"the default transport", nil}, {"another default transport", otherTransport{t}}} {
				for _, scheme := range []youproxy.Scheme{kind.scheme, youproxy.SchemeAny} {
					t.Run(fmt.Sprintf("%s, %s, %s, scheme %q", kind.name, as.name, with.name, scheme), func(t *testing.T) {
						if with.base != nil {
							old := http.DefaultTransport
							http.DefaultTransport = with.base
							defer func() { http.DefaultTransport = old }()
						}
						targets, trust := httpTargets(t)
						p := kind.start(t, as.credentials, targets)
						transport, err := p.proxy.Transport(scheme, func(tr *http.Transport) { tr.TLSClientConfig = trust })
						require.NoError(t, err)
						defer transport.CloseIdleConnections()

						proto, body, err := get(t.Context(), transport, "http://example.com/plain")
						require.NoError(t, err)
						assert.Equal(t, "HTTP/1.1", proto)
						assert.Equal(t, "/plain of example.com", body)

						proto, body, err = get(t.Context(), transport, "https://example.com/secure")
						require.NoError(t, err)
						assert.Equal(t, "HTTP/2.0", proto)
						assert.Equal(t, "/secure of example.com", body)

						_, body, err = get(t.Context(), transport, "http://127.0.0.1/loopback")
						require.NoError(t, err)
						assert.Equal(t, "/loopback of 127.0.0.1", body)

						assert.Equal(t, kind.asked, p.wasAsked(), "the proxy looks names up")
					})
				}
			}
		}
	}
}

func TestTransportWithAWrongPassword(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T, *youproxy.Credentials, map[string]string) *aProxy{"HTTP": httpProxy, "SOCKS5": socks5Proxy} {
		t.Run(name, func(t *testing.T) {
			targets, trust := httpTargets(t)
			p := start(t, credentials("user", "another"), targets)
			p.proxy.Credentials = credentials("user", hushed)
			transport, err := p.proxy.Transport(youproxy.SchemeAny, func(tr *http.Transport) { tr.TLSClientConfig = trust })
			require.NoError(t, err)
			defer transport.CloseIdleConnections()
			_, _, err = get(t.Context(), transport, "https://example.com/")
			require.Error(t, err)
			assertTellsNoSecret(t, err)
			assert.Empty(t, p.wasAsked())
		})
	}
}

func TestTransportIsConfiguredInOrder(t *testing.T) {
	t.Parallel()
	p := bothPorts("user", "word")
	var seen []string
	transport, err := p.Transport(youproxy.SchemeHTTP, nil,
		func(tr *http.Transport) {
			u, err := tr.Proxy(httptest.NewRequest(http.MethodGet, "http://127.0.0.1/", nil))
			assert.NoError(t, err)
			seen = append(seen, "first "+u.String())
			tr.MaxIdleConns = 1
		}, nil,
		func(tr *http.Transport) {
			seen = append(seen, fmt.Sprintf("second %d", tr.MaxIdleConns))
			tr.MaxIdleConns = 2
		}, nil)
	require.NoError(t, err)
	assert.Equal(t, []string{"first http://user:word@192.0.2.1:8080", "second 1"}, seen)
	assert.Equal(t, 2, transport.MaxIdleConns)

	again, err := p.Transport(youproxy.SchemeHTTP)
	require.NoError(t, err)
	assert.NotSame(t, transport, again)
	assert.NotEqual(t, 2, again.MaxIdleConns)
}

func TestTransportLeavesTheDefaultAsItIs(t *testing.T) {
	base := http.DefaultTransport.(*http.Transport)
	what := func() map[string]any {
		fields := map[string]any{}
		v := reflect.ValueOf(base).Elem()
		for i := range v.NumField() {
			switch f := v.Type().Field(i); {
			case !f.IsExported():
			case f.Type.Kind() == reflect.Func:
				fields[f.Name] = v.Field(i).Pointer()
			case f.Name == "TLSNextProto": // is filled when the transport is used first, or copied
			case f.Name == "TLSClientConfig":
				fields[f.Name+" has roots"] = base.TLSClientConfig != nil && base.TLSClientConfig.RootCAs != nil
			default:
				fields[f.Name] = v.Field(i).Interface()
			}
		}
		return fields
	}
	_ = base.Clone() // it sets what is set at the first use
	before := what()
	transport, err := bothPorts("user", "word").Transport(youproxy.SchemeHTTP, func(tr *http.Transport) {
		assert.Equal(t, base.MaxIdleConns, tr.MaxIdleConns)
		assert.Equal(t, base.IdleConnTimeout, tr.IdleConnTimeout)
		assert.Equal(t, base.TLSHandshakeTimeout, tr.TLSHandshakeTimeout)
		assert.True(t, tr.ForceAttemptHTTP2)
		tr.MaxIdleConns, tr.DisableKeepAlives, tr.ForceAttemptHTTP2 = 12345, true, false
		tr.DialContext, tr.TLSClientConfig = nil, &tls.Config{ServerName: "x"}
	})
	require.NoError(t, err)
	assert.NotSame(t, base, transport)
	assert.Same(t, base, http.DefaultTransport)
	assert.Equal(t, before, what())
}

// x/net/http2 has all copies of a transport share its connections, those that go
// through no proxy among them.
func TestTransportSharesNoConnections(t *testing.T) {
	theirs := http.DefaultTransport
	defer func() { http.DefaultTransport = theirs }()
	configured := theirs.(*http.Transport).Clone()
	configured.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{
		"h2": func(string, *tls.Conn) http.RoundTripper { panic("connections are shared") },
	}
	http.DefaultTransport = configured
	transport, err := fullProxy.Transport(youproxy.SchemeHTTP)
	require.NoError(t, err)
	assert.Empty(t, transport.TLSNextProto)
	assert.True(t, transport.ForceAttemptHTTP2)
}

// A proxy of which only the address is known is written down with it.
func TestAnAddressInThePlaceOfAHost(t *testing.T) {
	t.Parallel()
	p := youproxy.Proxy{ID: "1", IP: netip.MustParseAddr("2001:db8::1"), HTTPPort: 8080}
	u, err := p.URL(youproxy.SchemeHTTP)
	require.NoError(t, err)
	assert.Equal(t, "http://[2001:db8::1]:8080", u.String())
	row, err := p.Format(youproxy.LayoutCSV())
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(row, "'1,,2001:db8::1,8080,"), row)
	line, err := p.Format(youproxy.LayoutJSONLines())
	require.NoError(t, err)
	assert.Contains(t, line, `"ipAddressIp":"2001:db8::1"`)
}
