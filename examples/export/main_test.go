package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var update = flag.Bool("update", false, "write testdata/output.txt anew")

// asProgram makes a process of the tests one of the program.
const asProgram = "EXPORT_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

const (
	testKey = "Key-5d1f0c77"
	notice  = "YOUPROXY_API_KEY is not set: this is a fake Youproxy inside this program.\n"
)

// start runs the program with arguments, and makes sure that it shows the key
// nowhere, and secrets of proxies only on stdout.
func start(ctx context.Context, t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out strings.Builder
	code, stderr = startInto(ctx, t, &out, args...)
	return code, out.String(), stderr
}

func startInto(ctx context.Context, t *testing.T, stdout io.Writer, args ...string) (code int, stderr string) {
	t.Helper()
	var out, errOut strings.Builder
	code = run(ctx, args, io.MultiWriter(stdout, &out), &errOut)
	checkSecrecy(t, out.String(), errOut.String())
	return code, errOut.String()
}

func checkSecrecy(t *testing.T, stdout, stderr string) {
	t.Helper()
	assert.NotContains(t, strings.ToLower(stdout+stderr), strings.ToLower(testKey))
	assert.NotRegexp(t, `Pw[0-9a-f]{8}|reboot\.youproxy`, stderr, "a secret of a fake's proxy")
}

func withoutKey(t *testing.T) {
	t.Helper()
	t.Setenv("YOUPROXY_API_KEY", "")
}

// withKey makes the program take a fake for the real service.
func withKey(t *testing.T) *youproxytest.Server {
	t.Helper()
	fake := youproxytest.NewServer(youproxytest.WithAPIKey(testKey))
	t.Cleanup(fake.Close)
	t.Setenv("YOUPROXY_API_KEY", testKey)
	t.Setenv("YOUPROXY_BASE_URL", fake.URL())
	return fake
}

// inFrontOf puts a handler in front of a fake, which it may ask.
func inFrontOf(t *testing.T, handler http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	t.Setenv("YOUPROXY_BASE_URL", server.URL)
}

// addOrders puts five proxies into the account: two of them speak only SOCKS5.
func addOrders(t *testing.T, fake *youproxytest.Server) {
	t.Helper()
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2})
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 2, Protocol: youproxy.ProtocolSOCKS})
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeMobile, Country: "GBR", Quantity: 1})
	for _, ip := range fake.IPAddresses() {
		require.Regexp(t, `^Pw[0-9a-f]{8}$`, ip.Password, "checkSecrecy looks for it")
	}
}

// urls is the list of addOrders as URLs.
func urls(fake *youproxytest.Server) (list string) {
	for _, ip := range fake.IPAddresses() {
		scheme, port := "http", ip.HTTPPort
		if port == 0 {
			scheme, port = "socks5", ip.SOCKS5Port
		}
		list += fmt.Sprintf("%s://%s:%s@%s:%d\n", scheme, ip.Login, ip.Password, ip.Host, port)
	}
	return list
}

func TestWithoutAKey(t *testing.T) {
	withoutKey(t)
	const golden = "testdata/output.txt"

	code, stdout, stderr := start(t.Context(), t)

	require.Equal(t, 0, code, stderr)
	assert.Equal(t, notice+"Proxies: 7\n", stderr)
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(stdout), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), stdout)
}

func TestWithAKey(t *testing.T) {
	fake := withKey(t)
	addOrders(t, fake)
	code, stdout, stderr := start(t.Context(), t)
	assert.Equal(t, 0, code)
	assert.Equal(t, "Proxies: 5\n", stderr)
	assert.Equal(t, urls(fake), stdout)
	require.Len(t, fake.Requests(), 1)
	assert.Equal(t, "GET /ipAddress", fake.Requests()[0].Op)
}

func TestConnectionsAreClosed(t *testing.T) {
	withKey(t)
	before := goleak.IgnoreCurrent()
	code, _, stderr := start(t.Context(), t)
	assert.Equal(t, 0, code, stderr)
	goleak.VerifyNone(t, before)
}

func TestLayouts(t *testing.T) {
	const template = `{{.Host}} {{.HTTPPort}}{{with .Credentials}} {{.Login}} {{.Password.Reveal}}{{end}}`
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"host and port":      {[]string{"-layout", "host:port"}, "198.18.0.5:59100\n198.18.0.6:59100\n"},
		"login behind":       {[]string{"-layout", "host:port:login:password"}, "198.18.0.5:59100:login3:Pwdaa66d13\n198.18.0.6:59100\n"},
		"login before":       {[]string{"-layout", "login:password@host:port"}, "login3:Pwdaa66d13@198.18.0.5:59100\n198.18.0.6:59100\n"},
		"URL":                {[]string{"-layout", "URL"}, "http://login3:Pwdaa66d13@198.18.0.5:59100\nhttp://198.18.0.6:59100\n"},
		"curl":               {[]string{"-layout", "curl"}, "proxy = \"http://login3:Pwdaa66d13@198.18.0.5:59100\"\nproxy = \"http://198.18.0.6:59100\"\n"},
		"a template":         {[]string{"-template", template}, "198.18.0.5 59100 login3 Pwdaa66d13\n198.18.0.6 59100\n"},
		"SOCKS5":             {[]string{"-scheme", "SOCKS5"}, "socks5://login3:Pwdaa66d13@198.18.0.5:59101\nsocks5://198.18.0.6:59101\n"},
		"SOCKS5H":            {[]string{"-scheme", "socks5h"}, "socks5h://login3:Pwdaa66d13@198.18.0.5:59101\nsocks5h://198.18.0.6:59101\n"},
		"the port of SOCKS5": {[]string{"-scheme", "socks5", "-layout", "host:port"}, "198.18.0.5:59101\n198.18.0.6:59101\n"},
		"HTTP":               {[]string{"-scheme", "http"}, "http://login3:Pwdaa66d13@198.18.0.5:59100\nhttp://198.18.0.6:59100\n"},
		"any scheme":         {[]string{"-scheme", "any"}, "http://login3:Pwdaa66d13@198.18.0.5:59100\nhttp://198.18.0.6:59100\n"},
	} {
		t.Run(name, func(t *testing.T) {
			withoutKey(t)
			var all string
			for _, proxyType := range []string{"MOBILE", "isp"} { // these have both ports, the latter no login
				code, stdout, stderr := start(t.Context(), t, append(test.args, "-type", proxyType)...)
				assert.Equal(t, 0, code)
				assert.Equal(t, notice+"Proxies: 1\n", stderr)
				all += stdout
			}
			assert.Equal(t, test.want, all)
		})
	}
}

// TestLayoutsReadBack gives the list to readers that are not this module's.
func TestLayoutsReadBack(t *testing.T) {
	for name, test := range map[string]struct {
		args      []string
		passwords func(t *testing.T, stdout string) []string
	}{
		"CSV": {[]string{"-layout", "csv"}, func(t *testing.T, stdout string) (found []string) {
			rows, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
			require.NoError(t, err)
			require.Equal(t, "password", rows[0][6])
			for _, row := range rows[1:] {
				found = append(found, row[6])
			}
			return found
		}},
		"JSON lines": {[]string{"-layout", "jsonl"}, func(t *testing.T, stdout string) (found []string) {
			for line := range strings.Lines(stdout) {
				var p youproxy.Proxy
				require.NoError(t, json.Unmarshal([]byte(line), &p))
				found = append(found, p.Credentials.Password.Reveal())
			}
			return found
		}},
		"Playwright": {[]string{"-layout", "playwright", "-skip"}, func(t *testing.T, stdout string) (found []string) {
			var list []map[string]string
			require.NoError(t, json.Unmarshal([]byte(stdout), &list))
			for _, p := range list {
				found = append(found, p["password"])
			}
			return found
		}},
		"Scrapy": {[]string{"-layout", "scrapy", "-skip"}, func(t *testing.T, stdout string) (found []string) {
			var list []map[string]string
			require.NoError(t, json.Unmarshal([]byte(stdout), &list))
			for _, p := range list {
				_, rest, _ := strings.Cut(strings.TrimPrefix(p["proxy"], "http://"), ":")
				password, _, _ := strings.Cut(rest, "@")
				found = append(found, password)
			}
			return found
		}},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			addOrders(t, fake)
			code, stdout, stderr := start(t.Context(), t, test.args...)
			require.Equal(t, 0, code, stderr)
			var want []string
			for _, ip := range fake.IPAddresses() {
				if ip.HTTPPort != 0 || !strings.Contains(stderr, "left out: 2\n") {
					want = append(want, ip.Password)
				}
			}
			assert.Equal(t, want, test.passwords(t, stdout))
		})
	}
}

func TestAnAccountWithoutProxies(t *testing.T) {
	for layout, want := range map[string]string{
		"url": "", "csv": "id,type,host,", "jsonl": "", "playwright": "[\n\n]\n", "host:port": "",
	} {
		t.Run(layout, func(t *testing.T) {
			withKey(t)
			code, stdout, stderr := start(t.Context(), t, "-layout", layout)
			assert.Equal(t, 0, code)
			assert.Equal(t, "Proxies: 0\n", stderr)
			if want == "" {
				assert.Empty(t, stdout)
			}
			assert.True(t, strings.HasPrefix(stdout, want), stdout)
		})
	}
}

func TestProxiesThatCannotBeWritten(t *testing.T) {
	for name, test := range map[string]struct {
		args    []string
		badAuth bool
		unfit   int // the first of them
		why     string
	}{
		"no port for the scheme":              {args: []string{"-scheme", "http"}, unfit: 2, why: "it has no port for http"},
		"a layout that lacks the scheme":      {args: []string{"-layout", "scrapy"}, unfit: 2, why: "it has no port for http"},
		"a layout that lacks logins":          {args: []string{"-layout", "playwright"}, unfit: 2, why: "browsers cannot log in to a SOCKS5 proxy"},
		"a template that asks for the scheme": {args: []string{"-template", `{{.URL "http"}}`}, unfit: 2, why: "it has no port for http"},
		"a login with a colon":                {args: []string{"-layout", "login:password@host:port"}, badAuth: true, why: "HTTP cannot carry a login with a colon"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			addOrders(t, fake)
			if test.badAuth {
				fake.SetListShape(youproxytest.ListShape{Extra: map[string]any{"authInfo": map[string]string{"login": "a:b", "password": "Pw12345678"}}})
			}
			code, stdout, stderr := start(t.Context(), t, test.args...)
			assert.Equal(t, 1, code)
			assert.Contains(t, stderr, "proxy "+string(fake.IPAddresses()[test.unfit].ID))
			assert.Contains(t, stderr, test.why)
			assert.Contains(t, stderr, "export: -skip leaves out what cannot be written\nexport: the list is not complete\n")
			assert.NotContains(t, stderr, "Proxies:")
			assert.NotContains(t, stdout, fake.IPAddresses()[4].Host, "it ends at the first")
		})
	}
}

func TestSkip(t *testing.T) {
	fake := withKey(t)
	addOrders(t, fake)

	code, stdout, stderr := start(t.Context(), t, "-scheme", "http", "-skip")
	assert.Equal(t, 0, code)
	lines := strings.SplitAfter(urls(fake), "\n")
	assert.Equal(t, lines[0]+lines[1]+lines[4], stdout)
	why := func(i int) string {
		return fmt.Sprintf("export: left out: youproxy: proxy %s cannot be used in this way: it has no port for http\n", fake.IPAddresses()[i].ID)
	}
	assert.Equal(t, why(2)+why(3)+"Proxies: 3; left out: 2\n", stderr)

	code, stdout, stderr = start(t.Context(), t, "-skip")
	assert.Equal(t, 0, code)
	assert.Equal(t, urls(fake), stdout)
	assert.Equal(t, "Proxies: 5; left out: 0\n", stderr)
}

func TestSkipThatLeavesNothing(t *testing.T) {
	for name, args := range map[string][]string{
		"the scheme": {"-scheme", "http", "-type", "IPv6"},
		"a template": {"-template", `{{.URL "http"}}`, "-type", "IPv6"},
		"an array":   {"-layout", "playwright", "-type", "IPv6"},
	} {
		t.Run(name, func(t *testing.T) {
			addOrders(t, withKey(t))
			code, stdout, stderr := start(t.Context(), t, append(args, "-skip")...)
			assert.Equal(t, 1, code)
			assert.Empty(t, stdout)
			assert.Equal(t, 2, strings.Count(stderr, "export: left out: "))
			assert.Contains(t, stderr, "export: youproxy: none of 2 proxies can be written in the layout ")
		})
	}
}

func TestSkipWithoutProxies(t *testing.T) {
	withKey(t)
	code, stdout, stderr := start(t.Context(), t, "-skip")
	assert.Equal(t, 0, code)
	assert.Empty(t, stdout)
	assert.Equal(t, "Proxies: 0; left out: 0\n", stderr)
}

func TestTemplateErrors(t *testing.T) {
	for name, test := range map[string]struct{ template, want string }{
		"an unknown field": {"{{.Hosst}}", "can't evaluate field Hosst"},
		"no login":         {"{{.Credentials.Login}}", "nil pointer"},
		"a secret":         {`{{.URL .Credentials.Password.Reveal}}`, "wrong type"},
	} {
		t.Run(name, func(t *testing.T) {
			withoutKey(t)
			for _, args := range [][]string{{"-template", test.template}, {"-template", test.template, "-skip"}} {
				code, _, stderr := start(t.Context(), t, args...)
				assert.Equal(t, 1, code, "the template is at fault, and no proxy")
				assert.Contains(t, stderr, "proxy 11111111111111111")
				assert.Contains(t, stderr, test.want)
				assert.NotContains(t, stderr, "-skip")
				assert.NotContains(t, stderr, "left out")
			}
		})
	}
}

func TestAListThatBreaksOff(t *testing.T) {
	for name, layout := range map[string]string{"lines": "url", "an array": "scrapy"} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			addOrders(t, fake)
			fake.Inject("GET /ipAddress", youproxytest.Truncated)
			code, stdout, stderr := start(t.Context(), t, "-layout", layout)
			assert.Equal(t, 1, code)
			assert.Contains(t, stdout, fake.IPAddresses()[0].Host, "what came is there")
			assert.NotContains(t, stdout, "]")
			assert.Contains(t, stderr, "export: the list is not complete\n")
			assert.NotContains(t, stderr, "Proxies:")
			assert.NotContains(t, stderr, "-skip")
		})
	}
}

func TestAnErrorBeforeTheList(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*youproxytest.Server)
		want  string
	}{
		"refused":             {func(fake *youproxytest.Server) { fake.Refuse("GET /ipAddress", 2) }, "Error api key"},
		"a page with the key": {func(fake *youproxytest.Server) { fake.Inject("GET /ipAddress", youproxytest.EchoKey) }, "HTTP status 404"},
		"HTML":                {func(fake *youproxytest.Server) { fake.Inject("GET /ipAddress", youproxytest.HTMLPage) }, "GET /ipAddress"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			addOrders(t, fake)
			test.spoil(fake)
			code, stdout, stderr := start(t.Context(), t, "-layout", "csv")
			assert.Equal(t, 1, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.want)
			assert.Contains(t, stderr, "export: the list is not complete\n")
		})
	}
}

// firstWrite closes wrote when the first of the list is written.
type firstWrite struct {
	wrote chan struct{}
	begun bool
}

func (w *firstWrite) Write(b []byte) (int, error) {
	if !w.begun {
		w.begun = true
		close(w.wrote)
	}
	return len(b), nil
}

// TestALongListIsWrittenWhileItArrives holds the second half of the list back
// until something of the first is written.
func TestALongListIsWrittenWhileItArrives(t *testing.T) {
	const half = 2000
	withKey(t)
	stdout := &firstWrite{wrote: make(chan struct{})}
	inFrontOf(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"success":true,"ipv4":[`)
		for i := range 2 * half {
			if i == half {
				_ = http.NewResponseController(w).Flush()
				select {
				case <-stdout.wrote:
				case <-time.After(20 * time.Second):
					return
				}
			}
			if i > 0 {
				_, _ = io.WriteString(w, ",")
			}
			_, _ = fmt.Fprintf(w, `{"ipAddressId":"%d","ipAddressIp":"proxy-%d.example.com","httpsPort":"8080"}`, i+1, i+1)
		}
		_, _ = io.WriteString(w, `]}`)
	})
	code, stderr := startInto(t.Context(), t, stdout)
	assert.Equal(t, 0, code)
	assert.Equal(t, fmt.Sprintf("Proxies: %d\n", 2*half), stderr)
}

// full is a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestStdoutThatCannotBeWritten(t *testing.T) {
	for name, args := range map[string][]string{"lines": nil, "an array": {"-layout", "scrapy", "-skip"}, "nothing but a header": {"-layout", "csv", "-type", "ISP"}} {
		t.Run(name, func(t *testing.T) {
			addOrders(t, withKey(t))
			code, stderr := startInto(t.Context(), t, full{}, args...)
			assert.Equal(t, 1, code)
			assert.Contains(t, stderr, "no space left\nexport: the list is not complete\n")
		})
	}
}

func TestUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":             {[]string{"-color"}, "not defined"},
		"more than flags":          {[]string{"csv"}, `"csv" is not a flag`},
		"unknown layout":           {[]string{"-layout", "xml"}, "must be host:port, host:port:login:password, login:password@host:port, url, csv, jsonl, curl, playwright or scrapy"},
		"unknown scheme":           {[]string{"-scheme", "ftp"}, "must be any, http, socks5 or socks5h"},
		"unknown type":             {[]string{"-type", "IPv5"}, "must be IPv4, IPv6, MOBILE or ISP"},
		"a template with an error": {[]string{"-template", "{{.Host"}, "unclosed action"},
		"an unknown function":      {[]string{"-template", "{{port .}}"}, `function "port" not defined`},
		"a blank template":         {[]string{"-template", " "}, "must not be blank"},
		"a hidden password":        {[]string{"-template", "{{with .Credentials}}{{.Password}}{{end}}"}, "writes *** for a secret: put .Reveal behind it"},
		"a hidden reboot link":     {[]string{"-template", "{{.RebootURL}}"}, "writes *** for a secret: put .Reveal behind it"},
		"two layouts":              {[]string{"-template", "{{.Host}}", "-layout", "url"}, "leave -layout out"},
		"a scheme for a template":  {[]string{"-template", "{{.Host}}", "-scheme", "http"}, "-scheme does not go with -template"},
		"a scheme for CSV":         {[]string{"-scheme", "http", "-layout", "csv"}, "-scheme does not go with -layout csv"},
		"a scheme for JSON lines":  {[]string{"-layout", "jsonl", "-scheme", "socks5"}, "-scheme does not go with -layout jsonl"},
		"no name of a file":        {[]string{"-o", ""}, "must not be empty"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			code, stdout, stderr := start(t.Context(), t, test.args...)
			assert.Equal(t, 2, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.want)
			assert.Empty(t, fake.Requests())
		})
	}
}

func TestStarsOfTheTemplateItself(t *testing.T) {
	withoutKey(t)
	code, stdout, stderr := start(t.Context(), t, "-type", "ISP", "-template", "*** {{.Host}} ***")
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, "*** 198.18.0.6 ***\n", stdout)
}

func TestHelp(t *testing.T) {
	code, _, stderr := start(t.Context(), t, "-help")
	assert.Equal(t, 0, code)
	assert.Contains(t, stderr, "-layout")
}

func TestABadBaseURLIsAnError(t *testing.T) {
	withKey(t)
	t.Setenv("YOUPROXY_BASE_URL", "http://example.com")
	code, _, stderr := start(t.Context(), t)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "base URL")
}

func TestCancelledBeforeItBegins(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fake := withKey(t)
	code, stdout, stderr := start(ctx, t, "-layout", "csv")
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "context canceled")
	assert.Empty(t, fake.Requests())
}
