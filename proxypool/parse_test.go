package proxypool

import (
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// proxyOf is the URL of a proxy whose login and password are the usual ones.
func proxyOf(scheme, host string) *url.URL {
	return &url.URL{Scheme: scheme, User: url.UserPassword("login", "pass"), Host: host}
}

func httpProxy(host, login, password string) *url.URL {
	return &url.URL{Scheme: "http", User: url.UserPassword(login, password), Host: host}
}

// readable are texts that ParseURL reads.
var readable = map[string]*url.URL{
	// The forms.
	"http://login:pass@proxy.example.com:8080":    proxyOf("http", "proxy.example.com:8080"),
	"https://login:pass@192.0.2.1:443":            proxyOf("https", "192.0.2.1:443"),
	"socks5://login:pass@192.0.2.1:1080":          proxyOf("socks5", "192.0.2.1:1080"),
	"socks5h://login:pass@192.0.2.1:1080":         proxyOf("socks5h", "192.0.2.1:1080"),
	"SOCKS5://login:pass@192.0.2.1:1080":          proxyOf("socks5", "192.0.2.1:1080"),
	"http://login:pass@192.0.2.1":                 proxyOf("http", "192.0.2.1"),
	"http://192.0.2.1":                            {Scheme: "http", Host: "192.0.2.1"},
	"http://[2001:db8::1]":                        {Scheme: "http", Host: "[2001:db8::1]"},
	"http://login@192.0.2.1:80":                   {Scheme: "http", User: url.User("login"), Host: "192.0.2.1:80"},
	"http://:pass@192.0.2.1:80":                   httpProxy("192.0.2.1:80", "", "pass"),
	"192.0.2.1:8080":                              {Scheme: "http", Host: "192.0.2.1:8080"},
	"[2001:db8::1]:8080":                          {Scheme: "http", Host: "[2001:db8::1]:8080"},
	"proxy:8080":                                  {Scheme: "http", Host: "proxy:8080"},
	"socks5://192.0.2.1:8080":                     {Scheme: "socks5", Host: "192.0.2.1:8080"},
	"192.0.2.1:8080:login:pass":                   proxyOf("http", "192.0.2.1:8080"),
	"proxy.example.com:8080:login:pass":           proxyOf("http", "proxy.example.com:8080"),
	"localhost:8080:login:pass":                   proxyOf("http", "localhost:8080"),
	"proxy.example.com.:8080:login:pass":          proxyOf("http", "proxy.example.com.:8080"),
	"login:pass@proxy.example.com.:8080":          proxyOf("http", "proxy.example.com.:8080"),
	"192.0.2.1:8080:http:pass":                    {Scheme: "http", User: url.UserPassword("http", "pass"), Host: "192.0.2.1:8080"},
	"proxy:8080:login:pass":                       proxyOf("http", "proxy:8080"),
	"[2001:db8::1]:8080:login:pass":               proxyOf("http", "[2001:db8::1]:8080"),
	"login:pass@192.0.2.1:8080":                   proxyOf("http", "192.0.2.1:8080"),
	"login:pass@[2001:db8::1]:8080":               proxyOf("http", "[2001:db8::1]:8080"),
	"login:pass:192.0.2.1:8080":                   proxyOf("http", "192.0.2.1:8080"),
	"login:pass:[2001:db8::1]:8080":               proxyOf("http", "[2001:db8::1]:8080"),
	"192.0.2.1:8080@login:pass":                   proxyOf("http", "192.0.2.1:8080"),
	"[2001:db8::1]:8080@login:pass":               proxyOf("http", "[2001:db8::1]:8080"),
	"http://192.0.2.1:8080:login:pass":            proxyOf("http", "192.0.2.1:8080"),
	"socks5://login:pass:192.0.2.1:8080":          proxyOf("socks5", "192.0.2.1:8080"),
	"socks5h://192.0.2.1:8080@login:pass":         proxyOf("socks5h", "192.0.2.1:8080"),
	"https://[2001:db8::1]:8080:login:pass":       proxyOf("https", "[2001:db8::1]:8080"),
	"http://login:pass@192.0.2.1:8080/":           proxyOf("http", "192.0.2.1:8080"),
	"192.0.2.1:8080/":                             {Scheme: "http", Host: "192.0.2.1:8080"},
	"login:pass:192.0.2.1:8080/":                  proxyOf("http", "192.0.2.1:8080"),
	"HTTP://login:pass@PROXY.Example.COM:08080/":  proxyOf("http", "proxy.example.com:8080"),
	"socks5://login:pass@[::FFFF:192.0.2.1]:1080": proxyOf("socks5", "[::ffff:192.0.2.1]:1080"),

	// Passwords.
	"192.0.2.1:80:login:pa:ss:":         httpProxy("192.0.2.1:80", "login", "pa:ss:"),
	"192.0.2.1:80:login:p@ss":           httpProxy("192.0.2.1:80", "login", "p@ss"),
	"192.0.2.1:80:login:[x]":            httpProxy("192.0.2.1:80", "login", "[x]"),
	"192.0.2.1:80:login:a://b":          httpProxy("192.0.2.1:80", "login", "a://b"),
	"192.0.2.1:80:login:100%":           httpProxy("192.0.2.1:80", "login", "100%"),
	"192.0.2.1:80:login:%41":            httpProxy("192.0.2.1:80", "login", "%41"),
	"192.0.2.1:80@login:p@s:s%41":       httpProxy("192.0.2.1:80", "login", "p@s:s%41"),
	"login:pa:ss:192.0.2.1:80":          httpProxy("192.0.2.1:80", "login", "pa:ss"),
	"login:p@ss:192.0.2.1:80":           httpProxy("192.0.2.1:80", "login", "p@ss"),
	"login::[:[2001:db8::1]:80":         httpProxy("[2001:db8::1]:80", "login", ":["),
	"login:p@s:s@192.0.2.1:80":          httpProxy("192.0.2.1:80", "login", "p@s:s"),
	"login:100%@192.0.2.1:80":           httpProxy("192.0.2.1:80", "login", "100%"),
	"login:a%zz%41@192.0.2.1:80":        httpProxy("192.0.2.1:80", "login", "a%zz%41"),
	"http://login:p/?#@:[]@192.0.2.1:1": httpProxy("192.0.2.1:1", "login", "p/?#@:[]"),
	"http://login:%70%40%25@h.test:1":   httpProxy("h.test:1", "login", "p@%"),
	"http://l%3Ain:pass@h.test:1":       httpProxy("h.test:1", "l:in", "pass"),
	"http://login:100%@h.test:1":        httpProxy("h.test:1", "login", "100%"),
	"http://login:p%@s%41%@h.test:1":    httpProxy("h.test:1", "login", "p%@s%41%"),
	"http://login:@h.test:1":            httpProxy("h.test:1", "login", ""),
	"192.0.2.1:80:login:ключ\xff":       httpProxy("192.0.2.1:80", "login", "ключ\xff"),
	"192.0.2.1:80:login:pass#comment":   httpProxy("192.0.2.1:80", "login", "pass#comment"),

	"socks5://192.0.2.1:80@login:p@ss": {Scheme: "socks5", User: url.UserPassword("login", "p@ss"), Host: "192.0.2.1:80"},
	"http://192.0.2.1:80:login:p@ss.a": httpProxy("192.0.2.1:80", "login", "p@ss.a"),

	// Two forms, but one host is better.
	"192.0.2.1:80:proxy.test:81":              httpProxy("192.0.2.1:80", "proxy.test", "81"),
	"proxy.test:81:192.0.2.1:80":              httpProxy("192.0.2.1:80", "proxy.test", "81"),
	"proxy.test:80:login:81":                  httpProxy("proxy.test:80", "login", "81"),
	"login:81@proxy.test:80":                  httpProxy("proxy.test:80", "login", "81"),
	"proxy.test:80@login:81":                  httpProxy("proxy.test:80", "login", "81"),
	"-login:81:proxy:80":                      httpProxy("proxy:80", "-login", "81"),
	"login:81@localhost:80":                   httpProxy("localhost:80", "login", "81"),
	"192.0.2.1:80:login:pa:55":                httpProxy("192.0.2.1:80", "login", "pa:55"),
	"login:1:2:192.0.2.1:80":                  httpProxy("192.0.2.1:80", "login", "1:2"),
	"http://john.doe:1234@proxy.test:80":      httpProxy("proxy.test:80", "john.doe", "1234"), // a URL
	"http://john:1234@proxy:80":               httpProxy("proxy:80", "john", "1234"),
	"http://192.0.2.1:1234@192.0.2.2:80":      httpProxy("192.0.2.2:80", "192.0.2.1", "1234"),
	"login:70000:proxy:80":                    httpProxy("proxy:80", "login", "70000"),
	"proxy:80:999.1.1.1:81":                   httpProxy("proxy:80", "999.1.1.1", "81"),
	"socks5://proxy.test:1080:login.x:secret": {Scheme: "socks5", User: url.UserPassword("login.x", "secret"), Host: "proxy.test:1080"},
}

func TestParseURL(t *testing.T) {
	for text, want := range readable {
		t.Run(text, func(t *testing.T) {
			u, err := ParseURL(text)
			require.NoError(t, err)
			assert.Equal(t, want, u)
			checkParsed(t, u)
			again, err := ParseURL(" \t" + text + "\r\n")
			require.NoError(t, err, "with blanks around")
			assert.Equal(t, u, again)
		})
	}
}

// checkParsed checks what holds for everything that is read.
func checkParsed(t *testing.T, u *url.URL) {
	t.Helper()
	_, err := New([]*url.URL{u})
	require.NoError(t, err)
	again, err := ParseURL(u.String())
	require.NoError(t, err)
	assert.Equal(t, u, again)
	standard, err := url.Parse(u.String())
	require.NoError(t, err)
	assert.Equal(t, u, standard, "as net/url reads it")
}

// unread are texts that ParseURL does not read, and the end of its error.
var unread = map[string]string{
	"":                                         "one of the usual places",
	" ":                                        "one of the usual places",
	"/":                                        "one of the usual places",
	"S3cret":                                   "one of the usual places",
	"proxy.test":                               "one of the usual places",
	"S3cret:80:":                               "one of the usual places",
	"proxy.test:80:S3cret":                     "one of the usual places",
	"proxy.test:80:login:":                     "one of the usual places",
	"proxy.test:80::S3cret":                    "one of the usual places",
	"proxy.test:0:login:S3cret":                "one of the usual places",
	"proxy.test:65536:login:S3cret":            "one of the usual places",
	"proxy.test:+80:login:S3cret":              "one of the usual places",
	"login:S3cret@proxy.test":                  "one of the usual places",
	"login:S3cret@":                            "one of the usual places",
	"@proxy.test:80":                           "one of the usual places",
	"http://:@proxy.test:80":                   "one of the usual places",
	"proxy.test:80@S3cret":                     "one of the usual places",
	"http://proxy.test:80/S3cret":              "one of the usual places",
	"http://login:S3cret@proxy.test:80/a":      "one of the usual places",
	"http://login:S3cret@proxy.test:80/?a":     "one of the usual places",
	"http://login:S3cret@proxy.test:80//":      "one of the usual places",
	"http://login:S3cret@":                     "one of the usual places",
	"http://":                                  "one of the usual places",
	"://login:S3cret@proxy.test:80":            "one of the usual places",
	"login:S3cret@[fe80::1%25eth0]:80":         "one of the usual places",
	"login:S3cret@[192.0.2.1]:80":              "one of the usual places",
	"login:S3cret@[::1]x:80":                   "one of the usual places",
	"login:S3cret@proxy..test:80":              "one of the usual places",
	"login:S3cret@прокси.test:80":              "one of the usual places",
	"ftp://login:S3cret@proxy.test:80":         "the scheme is not http, https, socks5 or socks5h",
	"socks://login:S3cret@proxy.test:80":       "has no version: write socks5 or socks5h",
	"socks4://login:S3cret@proxy.test:80":      "SOCKS4 is not supported: the scheme must be http, https, socks5 or socks5h",
	"http:/login:S3cret@proxy.test:80":         "not with a scheme and a ://",
	"SOCKS5:S3cret@proxy.test:80":              "not with a scheme and a ://",
	"//login:S3cret@proxy.test:80":             "not with a scheme and a ://",
	"socks4a://proxy.test:80":                  "SOCKS4 is not supported: the scheme must be http, https, socks5 or socks5h",
	"2001:db8::1:8080":                         "must be in brackets, as in [2001:db8::1]:8080",
	"2001:db8::1":                              "must be in brackets, as in [2001:db8::1]:8080",
	"http://2001:db8:1:2:3:4:5:6:8080":         "must be in brackets, as in [2001:db8::1]:8080",
	"192.0.2.1:80:192.0.2.2:81":                "both ends could be the host",
	"proxy.test:80:john.doe:81":                "both ends could be the host",
	"proxy:80:login:81":                        "both ends could be the host",
	"proxy:80:login:a:55":                      "both ends could be the host",
	"proxy.test:80@john.doe:81":                "both ends could be the host",
	"john.doe:80@proxy.test:81":                "both ends could be the host",
	"http://192.0.2.1:80@login:81":             "both ends could be the host",
	"http://192.0.2.1:%38%30@login:81":         "both ends could be the host",
	"http://192.0.2.1:80:login:S3@192.0.2.2:1": "both ends could be the host",
	"http://login:S3@cret@proxy.test":          "one of the usual places",
	"http://proxy.test:80@login:S3@cret.a:1":   "both ends could be the host",
	"http://proxy.test:80:login:S3@cret.a:1":   "both ends could be the host",
	"proxy.test:80:login:S3cret/":              "the slash at its end may belong to the password",
	"http://proxy.test:80@login:S3cret/":       "the slash at its end may belong to the password",
	"login:S3cr%65t@proxy.test:80":             "may or may not be escaped",
	"http://login:S3@cr%65t@proxy.test:80":     "may or may not be escaped",
	"http://login:ю%65S3cret@proxy.test:80":    "may or may not be escaped",
	"proxy.test:80 login S3cret":               "it contains a blank or a control character",
	"proxy.test:80:login:S3cret # mine":        "it contains a blank or a control character",
	"proxy.test:80\tlogin:S3cret":              "it contains a blank or a control character",
	"proxy.test:80:login:S3cret\x00":           "it contains a blank or a control character",
	"socks5://:S3cret@proxy.test:80":           "SOCKS5 allows a login of 1 to 255 bytes",
}

func TestParseURLRefuses(t *testing.T) {
	for text, want := range unread {
		t.Run(text, func(t *testing.T) {
			u, err := ParseURL(text)
			require.Nil(t, u)
			require.ErrorContains(t, err, want)
			assert.True(t, strings.HasPrefix(err.Error(), "proxypool: the proxy cannot be read: "))
			assert.NotContains(t, err.Error(), "S3")
		})
	}
}

func FuzzParseURL(f *testing.F) {
	reasons := make(map[string]bool)
	for text, want := range unread {
		f.Add(text)
		if _, err := ParseURL(text); assert.ErrorContains(f, err, want) {
			reasons[err.Error()] = true
		}
	}
	for _, text := range []string{
		"http://login:pass@192.0.2.1:80/", "192.0.2.1:80:login:p@s:s", "login:pass:[2001:db8::1]:80", "socks5h://proxy.test:80@l:p",
		"http://192.0.2.1:8%30@a:1", "login:%zz@localhost:1", "a:1:b:c:d@e:2", "[::1]:1:[::2]:2", "a:1@b:2@c:3", "h://a:1", "1:2:3:4",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseURL(text)
		if err != nil {
			// Errors are fixed texts, and so contain no password.
			if !reasons[err.Error()] {
				t.Fatalf("%q: another error: %v", text, err)
			}
			return
		}
		checkParsed(t, u)
		if login, password := u.User.Username(), passwordOf(u); strings.Count(text, "%") == 0 && !strings.Contains(text, login+":"+password) && password != "" {
			t.Fatalf("%q: the login %q and the password %q are not in it", text, login, password)
		}
	})
}

func passwordOf(u *url.URL) string {
	password, _ := u.User.Password()
	return password
}

func TestReadURLs(t *testing.T) {
	const (
		one   = "http://192.0.2.1:80"
		two   = "http://login:pass@192.0.2.2:80"
		three = "socks5://login:p%40ss@192.0.2.3:80"
	)
	long := "192.0.2.1:80:login:" + strings.Repeat("x", maxLine-len("192.0.2.1:80:login:"))
	for name, test := range map[string]struct {
		text   string
		want   []string
		errors []string
	}{
		"nothing":                  {"", nil, nil},
		"blank lines and comments": {"\n \r\n# 192.0.2.1:80\n\t#\n", nil, nil},
		"the forms":                {"192.0.2.1:80\n192.0.2.2:80:login:pass\nsocks5://192.0.2.3:80@login:p@ss\n", []string{one, two, three}, nil},
		"CRLF":                     {"192.0.2.1:80\r\n\r\n192.0.2.2:80:login:pass\r\n", []string{one, two}, nil},
		"no line feed at the end":  {"192.0.2.1:80\nlogin:pass@192.0.2.2:80", []string{one, two}, nil},
		"a byte order mark":        {"\ufeff192.0.2.1:80\n", []string{one}, nil},
		"one before a comment":     {"\ufeff# proxies\n192.0.2.1:80\n", []string{one}, nil},
		"one in the middle":        {"192.0.2.1:80\n\ufeff192.0.2.1:80\n", []string{one}, []string{"line 2 cannot be read: it is not host:port"}},
		"duplicates":               {"192.0.2.1:80\n192.0.2.1:80\n", []string{one, one}, nil},
		"lines that cannot be read": {
			"S3cret\n\n192.0.2.1:80\n# x\nproxy:80:login:81\n192.0.2.2:80:login:pass\nsocks4://S3cret:1",
			[]string{one, two},
			[]string{"line 1 cannot be read: it is not host:port", "line 5 cannot be read: both ends could be the host", "line 7 cannot be read: SOCKS4 is"},
		},
		"the longest lines": {long + "\n" + long + "\r\n" + long, []string{"http://login:", "http://login:", "http://login:"}, nil},
		"longer lines": {
			strings.Repeat("S3cret", 10*maxLine) + "\n192.0.2.1:80\n" + strings.Repeat("#", 2*maxLine+5) + "\n192.0.2.2:80:login:pass\n" + long + "xxx",
			[]string{one, two},
			[]string{"line 1 cannot be read: it is longer than 4096 bytes", "line 3 cannot be read: it is longer", "line 5 cannot be read: it is longer"},
		},
	} {
		for kind, reader := range map[string]func(io.Reader) io.Reader{
			"at once":     func(r io.Reader) io.Reader { return r },
			"in bytes":    iotest.OneByteReader,
			"end at once": iotest.DataErrReader,
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				urls, err := ReadURLs(reader(strings.NewReader(test.text)))
				require.Len(t, urls, len(test.want))
				for i, u := range urls {
					assert.True(t, strings.HasPrefix(u.String(), test.want[i]), "%d", i)
				}
				_, errNew := New(urls)
				require.NoError(t, errNew)
				if test.errors == nil {
					require.NoError(t, err)
					return
				}
				require.Error(t, err)
				lines := strings.Split(err.Error(), "\n")
				require.Len(t, lines, len(test.errors))
				for i, want := range test.errors {
					assert.Contains(t, lines[i], "proxypool: "+want)
				}
				assert.NotContains(t, err.Error(), "S3")
			})
		}
	}
}

func TestReadURLsBreaksOff(t *testing.T) {
	broken := errors.New("broken")
	urls, err := ReadURLs(io.MultiReader(strings.NewReader("x\n192.0.2.1:80\n192.0.2.2:8"), iotest.ErrReader(broken)))
	require.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "proxypool: line 1 cannot be read: it is not host:port")
	assert.ErrorContains(t, err, "proxypool: reading line 3: broken")
	require.Len(t, urls, 1, "the line that broke off is not a proxy")
	assert.Equal(t, "http://192.0.2.1:80", urls[0].String())
}
