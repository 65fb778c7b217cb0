package youproxy_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

var (
	fullProxy = youproxy.Proxy{
		ID: "1", OrderID: "2", OrderNumber: "N-3", ProxyType: youproxy.ProxyTypeMobile, Host: "192.0.2.1", IP: firstIP, HTTPPort: 8080, SOCKS5Port: 9090,
		Protocol: youproxy.ProtocolHTTP, Credentials: credentials("us<er", `wo:rd @&"`), Country: "USA",
		Start: time.Date(2026, 10, 1, 8, 30, 0, 0, time.UTC), End: time.Date(2026, 10, 31, 8, 30, 0, 220e6, time.UTC), AutoExtend: true, AutoExtendDays: 30,
		MobileOperator: "Op, Inc.", RotationTime: 300, RebootURL: youproxy.NewSecret("https://example.com/reboot?a=1&b=2"),
	}
	sixProxy  = youproxy.Proxy{ID: "4", Host: "2001:db8::1", IP: netip.MustParseAddr("2001:db8::1"), HTTPPort: 8081, SOCKS5Port: 9091, Credentials: credentials("user", "word")}
	openProxy = youproxy.Proxy{ID: "5", Host: "192.0.2.2", IP: secondIP, HTTPPort: 8082, SOCKS5Port: 9092}
	openSix   = youproxy.Proxy{ID: "6", Host: "2001:db8::2", IP: netip.MustParseAddr("2001:db8::2"), HTTPPort: 8083, SOCKS5Port: 9093}
)

const (
	csvHeader = "id,type,host,http_port,socks5_port,login,password,country,start,end,auto_extend,auto_extend_days,order_id,order_number,mobile_operator,rotation_time,reboot_url"
	http1     = youproxy.SchemeHTTP
	socks5    = youproxy.SchemeSOCKS5
	socks5h   = youproxy.SchemeSOCKS5H
)

var exampleTemplate = template.Must(template.New("t").Parse(`{{.Host}} {{.HTTPPort}}{{with .Credentials}} {{.Login}} {{.Password.Reveal}}{{end}}`))

// everyLayout is each layout, and what it makes of fullProxy, sixProxy,
// openProxy and openSix.
var everyLayout = []struct {
	name   string
	layout youproxy.Layout
	prints string
	array  bool
	head   string
	want   [4]string
}{
	{"host:port", youproxy.LayoutHostPort(http1), "host:port", false, "", [4]string{"192.0.2.1:8080", "[2001:db8::1]:8081", "192.0.2.2:8082", "[2001:db8::2]:8083"}},
	{"host:port, SOCKS5", youproxy.LayoutHostPort(socks5), "host:port", false, "", [4]string{"192.0.2.1:9090", "[2001:db8::1]:9091", "192.0.2.2:9092", "[2001:db8::2]:9093"}},
	{"host:port:login:password", youproxy.LayoutHostPortLoginPassword(http1), "host:port:login:password", false, "",
		[4]string{`192.0.2.1:8080:us<er:wo:rd @&"`, "[2001:db8::1]:8081:user:word", "192.0.2.2:8082", "[2001:db8::2]:8083"}},
	{"host:port:login:password, SOCKS5", youproxy.LayoutHostPortLoginPassword(socks5), "host:port:login:password", false, "",
		[4]string{`192.0.2.1:9090:us<er:wo:rd @&"`, "[2001:db8::1]:9091:user:word", "192.0.2.2:9092", "[2001:db8::2]:9093"}},
	{"login:password@host:port", youproxy.LayoutLoginPasswordHostPort(youproxy.SchemeAny), "login:password@host:port", false, "",
		[4]string{`us<er:wo:rd @&"@192.0.2.1:8080`, "user:word@[2001:db8::1]:8081", "192.0.2.2:8082", "[2001:db8::2]:8083"}},
	{"URL", youproxy.LayoutURL(http1), "URL", false, "",
		[4]string{"http://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:8080", "http://user:word@[2001:db8::1]:8081", "http://192.0.2.2:8082", "http://[2001:db8::2]:8083"}},
	{"URL, SOCKS5", youproxy.LayoutURL(socks5), "URL", false, "",
		[4]string{"socks5://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:9090", "socks5://user:word@[2001:db8::1]:9091", "socks5://192.0.2.2:9092", "socks5://[2001:db8::2]:9093"}},
	{"URL, SOCKS5H", youproxy.LayoutURL(socks5h), "URL", false, "",
		[4]string{"socks5h://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:9090", "socks5h://user:word@[2001:db8::1]:9091", "socks5h://192.0.2.2:9092", "socks5h://[2001:db8::2]:9093"}},
	{"curl", youproxy.LayoutCurl(http1), "curl", false, "",
		[4]string{`proxy = "http://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:8080"`, `proxy = "http://user:word@[2001:db8::1]:8081"`, `proxy = "http://192.0.2.2:8082"`, `proxy = "http://[2001:db8::2]:8083"`}},
	{"curl, SOCKS5", youproxy.LayoutCurl(socks5), "curl", false, "",
		[4]string{`proxy = "socks5h://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:9090"`, `proxy = "socks5h://user:word@[2001:db8::1]:9091"`, `proxy = "socks5h://192.0.2.2:9092"`, `proxy = "socks5h://[2001:db8::2]:9093"`}},
	{"Playwright", youproxy.LayoutPlaywright(http1), "Playwright", true, "",
		[4]string{
			`{"server":"http://192.0.2.1:8080","username":"us<er","password":"wo:rd @&\""}`, `{"server":"http://[2001:db8::1]:8081","username":"user","password":"word"}`,
			`{"server":"http://192.0.2.2:8082"}`, `{"server":"http://[2001:db8::2]:8083"}`,
		}},
	{"Scrapy", youproxy.LayoutScrapy(youproxy.SchemeAny), "Scrapy", true, "",
		[4]string{
			`{"proxy":"http://us%3Cer:wo%3Ard%20%40&%22@192.0.2.1:8080"}`, `{"proxy":"http://user:word@[2001:db8::1]:8081"}`,
			`{"proxy":"http://192.0.2.2:8082"}`, `{"proxy":"http://[2001:db8::2]:8083"}`,
		}},
	{"JSON lines", youproxy.LayoutJSONLines(), "JSON lines", false, "",
		[4]string{
			`{"ipAddressId":"1","ipAddressIp":"192.0.2.1","proxyType":"` + string(youproxy.ProxyTypeMobile) + `","orderId":"2","orderNumber":"N-3","country":"USA","dateStart":"2026-10-01T08:30:00Z",` +
				`"dateEnd":"2026-10-31T08:30:00.22Z","httpsPort":8080,"socks5Port":9090,"protocol":"` + string(youproxy.ProtocolHTTP) + `","extendInfo":{"autoExtend":true,"extendDays":30},` +
				`"mobileOperator":"Op, Inc.","rotationTime":300,"authInfo":{"login":"us<er","password":"wo:rd @&\""},"rebootLink":"https://example.com/reboot?a=1&b=2"}`,
			`{"ipAddressId":"4","ipAddressIp":"2001:db8::1","httpsPort":8081,"socks5Port":9091,"extendInfo":{"autoExtend":false},"authInfo":{"login":"user","password":"word"}}`,
			`{"ipAddressId":"5","ipAddressIp":"192.0.2.2","httpsPort":8082,"socks5Port":9092,"extendInfo":{"autoExtend":false}}`,
			`{"ipAddressId":"6","ipAddressIp":"2001:db8::2","httpsPort":8083,"socks5Port":9093,"extendInfo":{"autoExtend":false}}`,
		}},
	{"CSV", youproxy.LayoutCSV(), "CSV", false, csvHeader + "\n",
		[4]string{
			`'1,` + string(youproxy.ProxyTypeMobile) + `,192.0.2.1,8080,9090,us<er,"wo:rd @&""",USA,2026-10-01T08:30:00Z,2026-10-31T08:30:00.22Z,true,30,'2,N-3,"Op, Inc.",300,https://example.com/reboot?a=1&b=2`,
			`'4,,2001:db8::1,8081,9091,user,word,,,,false,,,,,,`, `'5,,192.0.2.2,8082,9092,,,,,,false,,,,,,`, `'6,,2001:db8::2,8083,9093,,,,,,false,,,,,,`,
		}},
	{"template", youproxy.LayoutTemplate(exampleTemplate), "template", false, "",
		[4]string{`192.0.2.1 8080 us<er wo:rd @&"`, "2001:db8::1 8081 user word", "192.0.2.2 8082", "2001:db8::2 8083"}},
}

var layoutProxies = []youproxy.Proxy{fullProxy, sixProxy, openProxy, openSix}

func TestFormat(t *testing.T) {
	t.Parallel()
	for _, l := range everyLayout {
		t.Run(l.name, func(t *testing.T) {
			for i, p := range layoutProxies {
				got, err := p.Format(l.layout)
				require.NoError(t, err)
				assert.Equal(t, l.want[i], got)
				again, err := p.Format(l.layout)
				require.NoError(t, err)
				assert.Equal(t, got, again)
			}
		})
	}
}

func TestLayoutsPrintTheirNames(t *testing.T) {
	t.Parallel()
	for _, l := range everyLayout {
		p := bothPorts("user", hushed)
		_, _ = p.Format(l.layout)
		assert.Equal(t, l.prints, l.layout.String())
		assert.Equal(t, l.prints, fmt.Sprint(l.layout))
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
			for _, v := range []any{l.layout, &l.layout, []youproxy.Layout{l.layout}, struct{ L youproxy.Layout }{l.layout}, struct{ l youproxy.Layout }{l.layout}} {
				text := fmt.Sprintf(verb, v)
				assert.False(t, showsHushed(text), text)
				assert.NotContains(t, text, "192.0.2.1")
			}
		}
	}
	assert.Equal(t, "no layout", youproxy.Layout{}.String())
	assert.Equal(t, "no layout", fmt.Sprint(youproxy.Layout{}))
}

// schemeLayouts are the layouts that use a proxy by a scheme.
var schemeLayouts = map[string]func(youproxy.Scheme) youproxy.Layout{
	"host:port": youproxy.LayoutHostPort, "host:port:login:password": youproxy.LayoutHostPortLoginPassword, "login:password@host:port": youproxy.LayoutLoginPasswordHostPort,
	"URL": youproxy.LayoutURL, "curl": youproxy.LayoutCurl, "Playwright": youproxy.LayoutPlaywright, "Scrapy": youproxy.LayoutScrapy,
}

func TestLayoutsOfAProxyThatIsNotUsable(t *testing.T) {
	t.Parallel()
	for name, layout := range schemeLayouts {
		t.Run(name, func(t *testing.T) {
			for _, test := range unusable {
				got, err := test.proxy.Format(layout(test.scheme))
				assert.ErrorIs(t, err, youproxy.ErrNotUsable, test.name)
				assert.Empty(t, got)
				assertTellsNoSecret(t, err)
			}
			_, err := fullProxy.Format(layout("https"))
			assert.ErrorContains(t, err, `"https" is not known`)
		})
	}
	for _, test := range unusable {
		for _, l := range []youproxy.Layout{youproxy.LayoutCSV(), youproxy.LayoutJSONLines(), youproxy.LayoutTemplate(template.Must(template.New("t").Parse(`{{.URL "http"}} {{.URL "socks5"}}`)))} {
			if _, err := test.proxy.Format(l); err != nil {
				assertTellsNoSecret(t, err)
			}
		}
	}
}

func TestLayoutsThatCannotCarryAProxy(t *testing.T) {
	t.Parallel()
	socks := bothPorts("user", hushed)
	socks.HTTPPort = 0
	for _, test := range []struct {
		name   string
		layout youproxy.Layout
		proxy  youproxy.Proxy
		why    string
	}{
		{"a colon in the login, host:port:login:password", youproxy.LayoutHostPortLoginPassword(socks5), bothPorts("a:b", hushed), "a login with a colon"},
		{"a colon in the login, login:password@host:port", youproxy.LayoutLoginPasswordHostPort(socks5), bothPorts("a:b", hushed), "a login with a colon"},
		{"a line feed in the login, host:port:login:password", youproxy.LayoutHostPortLoginPassword(socks5), bothPorts("a\nb", hushed), "a control character"},
		{"a line feed in the password, host:port:login:password", youproxy.LayoutHostPortLoginPassword(socks5), bothPorts("a", hushed+"\n"), "a control character"},
		{"a carriage return in the password, login:password@host:port", youproxy.LayoutLoginPasswordHostPort(socks5), bothPorts("a", "\r"+hushed), "a control character"},
		{"curl, a control character in the login", youproxy.LayoutCurl(socks5), bothPorts("us\ner", hushed), "a control character"}, // curl would go without a proxy
		{"curl, a control character in the password", youproxy.LayoutCurl(socks5), bothPorts("user", hushed+"\x00"), "a control character"},
		{"URL, a control character in the login", youproxy.LayoutURL(socks5), bothPorts("us\ner", hushed), "a control character"}, // so would curl with such a URL
		{"URL, a control character in the password", youproxy.LayoutURL(socks5h), bothPorts("user", hushed+"\t"), "a control character"},
		{"Playwright, SOCKS5 with a login", youproxy.LayoutPlaywright(socks5), socks, "browsers cannot log in"},
		{"Playwright, an empty login", youproxy.LayoutPlaywright(http1), bothPorts("", hushed), "an empty login"},
		{"Playwright, any, SOCKS5 with a login", youproxy.LayoutPlaywright(youproxy.SchemeAny), socks, "browsers cannot log in"},
		{"curl, SOCKS5H, a control character in the login", youproxy.LayoutCurl(socks5h), bothPorts("us\ner", hushed), "a control character"},
		{"Playwright, SOCKS5H with a login", youproxy.LayoutPlaywright(socks5h), socks, "browsers cannot log in"},
		{"Scrapy, SOCKS5", youproxy.LayoutScrapy(socks5), socks, "does not speak SOCKS5"},
		{"Scrapy, SOCKS5H", youproxy.LayoutScrapy(socks5h), socks, "does not speak SOCKS5"},
		{"Scrapy, an empty login", youproxy.LayoutScrapy(http1), bothPorts("", hushed), "an empty login"},
		{"Scrapy, an empty login and password", youproxy.LayoutScrapy(http1), bothPorts("", ""), "an empty login"},
		{"Scrapy, a login in Latin-1", youproxy.LayoutScrapy(http1), bothPorts("é", hushed), "outside ASCII"},
		{"Scrapy, a login outside Latin-1", youproxy.LayoutScrapy(http1), bothPorts("世", hushed), "outside ASCII"},
		{"Scrapy, a password in Latin-1", youproxy.LayoutScrapy(http1), bothPorts("user", hushed+"é"), "outside ASCII"},
		{"Scrapy, a password that is not UTF-8", youproxy.LayoutScrapy(http1), bothPorts("user", hushed+"\xff"), "outside ASCII"},
		{"Scrapy, any, SOCKS5 alone", youproxy.LayoutScrapy(youproxy.SchemeAny), socks, "no port for http"},
		{"CSV, a carriage return in the password", youproxy.LayoutCSV(), bothPorts("user", hushed+"\r\n"), "the carriage return in its password"},
		{"CSV, a carriage return in the login", youproxy.LayoutCSV(), bothPorts("us\rer", hushed), "the carriage return in its login"},
		{"CSV, a carriage return in the reboot link", youproxy.LayoutCSV(), youproxy.Proxy{RebootURL: youproxy.NewSecret(hushed + "\r")}, "the carriage return in its reboot_url"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.proxy.Format(test.layout)
			require.ErrorIs(t, err, youproxy.ErrNotUsable)
			assert.ErrorContains(t, err, test.why)
			assert.Empty(t, got)
			assertTellsNoSecret(t, err)
		})
	}
	open := openProxy
	open.HTTPPort = 0
	for _, s := range []youproxy.Scheme{youproxy.SchemeAny, socks5, socks5h} {
		got, err := open.Format(youproxy.LayoutPlaywright(s))
		require.NoError(t, err)
		assert.Equal(t, `{"server":"socks5://192.0.2.2:9092"}`, got, "without a login a browser can use it")
		got, err = open.Format(youproxy.LayoutCurl(s))
		require.NoError(t, err)
		assert.Equal(t, `proxy = "socks5h://192.0.2.2:9092"`, got, "the proxy looks names up, however it is asked for")
	}
}

// parsed is what a program makes of a line.
type parsed struct {
	host, port, login, password string
	known                       bool // a login is given
}

func parsedURL(t *testing.T, text string, schemes ...string) parsed {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	require.Contains(t, schemes, u.Scheme)
	require.Empty(t, u.Path+u.RawQuery+u.Fragment)
	password, known := u.User.Password()
	return parsed{u.Hostname(), u.Port(), u.User.Username(), password, known}
}

func parsedHostPort(t *testing.T, text string) parsed {
	t.Helper()
	host, port, err := net.SplitHostPort(text)
	require.NoError(t, err)
	return parsed{host: host, port: port}
}

// lineRules reads a line as the layout's documentation says.
var lineRules = map[string]func(t *testing.T, line string) parsed{
	"host:port": parsedHostPort,
	"host:port:login:password": func(t *testing.T, line string) parsed {
		at := 0
		if line[0] == '[' {
			at = strings.IndexByte(line, ']')
		}
		at += strings.IndexByte(line[at:], ':') + 1
		port, rest, known := strings.Cut(line[at:], ":")
		p := parsedHostPort(t, line[:at]+port)
		if p.known = known; known {
			p.login, p.password, known = strings.Cut(rest, ":")
			require.True(t, known)
		}
		return p
	},
	"login:password@host:port": func(t *testing.T, line string) parsed {
		at := strings.LastIndexByte(line, '@')
		p := parsedHostPort(t, line[at+1:])
		if p.known = at >= 0; p.known {
			var found bool
			p.login, p.password, found = strings.Cut(line[:at], ":")
			require.True(t, found)
		}
		return p
	},
	"URL": func(t *testing.T, line string) parsed { return parsedURL(t, line, "http", "socks5") },
	"curl": func(t *testing.T, line string) parsed {
		line, found := strings.CutPrefix(line, `proxy = "`)
		require.True(t, found)
		line, found = strings.CutSuffix(line, `"`)
		require.True(t, found)
		require.False(t, strings.ContainsAny(line, `"\`), line)
		return parsedURL(t, line, "http", "socks5h")
	},
}

func FuzzFormat(f *testing.F) {
	for _, sign := range append(oddSigns, "", "\n", "\r", "\x00", "\x7f", strings.Repeat("x", 256)) {
		f.Add("user", sign, "192.0.2.1", 8080, true, true)
		f.Add("a"+sign, "word"+sign, "2001:db8::1", 8080, false, true)
		f.Add(sign, "@:", "example.com", 8080, false, true)
		f.Add("", "", "a"+sign, 1, true, false)
	}
	f.Fuzz(func(t *testing.T, login, password, host string, port int, overHTTP, known bool) {
		p := youproxy.Proxy{Host: host}
		scheme := socks5
		if overHTTP {
			scheme, p.HTTPPort = http1, port
		} else {
			p.SOCKS5Port = port
		}
		want := parsed{host: host, port: strconv.Itoa(port)}
		another := p
		if known {
			p.Credentials = &youproxy.Credentials{Login: login, Password: youproxy.NewSecret(password)}
			want.login, want.password, want.known = login, password, true
			like := []byte(password)
			for i, c := range like {
				if c < ' ' || c == 0x7f {
					like[i] = '\n'
				} else {
					like[i] = 'x'
				}
			}
			another.Credentials = &youproxy.Credentials{Login: login, Password: youproxy.NewSecret(string(like))}
		}
		for name, rule := range lineRules {
			layout := schemeLayouts[name](scheme)
			line, err := p.Format(layout)
			if err != nil {
				require.ErrorIs(t, err, youproxy.ErrNotUsable)
				_, same := another.Format(layout)
				require.EqualError(t, same, err.Error(), "the text does not depend on the password")
				continue
			}
			require.False(t, strings.ContainsAny(line, "\r\n"), "%q", line)
			want := want
			if name == "host:port" {
				want.login, want.password, want.known = "", "", false
			}
			require.Equal(t, want, rule(t, line), "%s: %q", name, line)

			var b bytes.Buffer
			require.NoError(t, youproxy.WriteProxies(&b, layout, slices.Values([]youproxy.Proxy{p, p})))
			require.Equal(t, line+"\n"+line+"\n", b.String())
		}
	})
}
