package main

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var update = flag.Bool("update", false, "write testdata/output.txt anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testKey = "Key-5d1f0c77"

// start runs the program with arguments, and makes sure that it never shows the
// key or a password.
func start(ctx context.Context, t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut strings.Builder
	code = run(ctx, args, &out, &errOut)
	shown := strings.ToLower(out.String() + errOut.String())
	assert.NotContains(t, shown, strings.ToLower(testKey))
	assert.NotRegexp(t, `pw[0-9a-f]{8}`, shown, "a password of a fake")
	return code, out.String(), errOut.String()
}

// withoutKey makes the program use its own fake.
func withoutKey(t *testing.T) {
	t.Helper()
	t.Setenv("YOUPROXY_API_KEY", "")
}

// world is a service with a key, whose proxies work, and a page.
type world struct {
	fake *youproxytest.Server
	page string
}

// withKey makes the program take a fake for the real service.
func withKey(t *testing.T, page http.HandlerFunc) *world {
	t.Helper()
	site := httptest.NewServer(page)
	t.Cleanup(site.Close)
	w := &world{fake: youproxytest.NewServer(youproxytest.WithAPIKey(testKey), youproxytest.WithProxies()), page: site.URL}
	t.Cleanup(w.fake.Close)
	t.Setenv("YOUPROXY_API_KEY", testKey)
	t.Setenv("YOUPROXY_BASE_URL", w.fake.URL())
	w.order()
	require.Regexp(t, `^Pw[0-9a-f]{8}$`, w.fake.IPAddresses()[0].Password, "start looks for it")
	return w
}

func (w *world) order() {
	w.fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 1})
}

// breakProxy makes the nth proxy fail.
func (w *world) breakProxy(n int, f youproxytest.ProxyFault) {
	w.fake.BreakProxy(w.fake.IPAddresses()[n].ID, f)
}

var (
	port  = regexp.MustCompile(`(127\.0\.0\.\d):\d+`)
	exact = regexp.MustCompile(`\d(ms|s)$`)
)

// rows gives the cells of the lines of the table that begins with a head.
func rows(stdout, head string) (cells [][]string) {
	_, table, _ := strings.Cut(stdout, "\n  "+head)
	table, _, _ = strings.Cut(table, "\n\n")
	for _, line := range strings.Split(strings.TrimSpace(table), "\n")[1:] {
		cells = append(cells, regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1))
	}
	return cells
}

func TestWithoutAKey(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("not every system has an address on loopback for each proxy")
	}
	withoutKey(t)
	const golden = "testdata/output.txt"

	code, stdout, stderr := start(t.Context(), t)

	require.Equal(t, 0, code, stderr)
	var lines strings.Builder
	for i := range 6 {
		printer{&lines}.line("fetch: %d of 6 proxies tried", i+1)
	}
	assert.Equal(t, lines.String(), stderr)
	got := port.ReplaceAllString(stdout, "$1:40001")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func TestTheOutputDoesNotDependOnTheConcurrency(t *testing.T) {
	withoutKey(t)
	var first string
	for i, n := range []string{"1", "3", "32"} {
		code, stdout, stderr := start(t.Context(), t, "-concurrency", n, "-n", "50")
		require.Equal(t, 0, code, stderr)
		stdout = port.ReplaceAllString(stdout, "$1:40001")
		if i == 0 {
			first = stdout
		}
		assert.Equal(t, first, stdout)
	}
}

func TestSchemesAndTypesWithoutAKey(t *testing.T) {
	for name, test := range map[string]struct {
		args       []string
		code       int
		good, rest int // rows
		want       string
	}{
		"SOCKS5":  {[]string{"-scheme", "socks5"}, 0, 4, 2, "username/password authentication failed"},
		"HTTP":    {[]string{"-scheme", "HTTP"}, 1, 3, 1, "proxy 1111111111111111111 cannot be used in this way: it has no port for http"},
		"a type":  {[]string{"-type", "ipv6"}, 0, 1, 1, ": connect: connection refused"},
		"nothing": {[]string{"-type", "MOBILE"}, 1, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			withoutKey(t)
			code, stdout, stderr := start(t.Context(), t, test.args...)
			assert.Equal(t, test.code, code, stderr)
			assert.Contains(t, stdout, test.want)
			assert.Equal(t, test.good, strings.Count(stdout, "  200  "))
			assert.Equal(t, test.rest, strings.Count(stdout, "  rests, as it failed\n"))
		})
	}
}

func TestWithAKey(t *testing.T) {
	w := withKey(t, callersAddress)
	before := w.fake.Balance()

	code, stdout, stderr := start(t.Context(), t, "-target", w.page, "-n", "4")

	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, "fetch: 1 of 1 proxies tried\n", stderr)
	checked := rows(stdout, "Proxy  ")
	require.Len(t, checked, 1)
	require.Len(t, checked[0], 4)
	assert.Regexp(t, `^http://login1:\*\*\*@127\.0\.0\.\d:\d+$`, checked[0][0])
	assert.Equal(t, "200", checked[0][2])
	assert.Regexp(t, exact, checked[0][3])
	assert.Contains(t, stdout, "  4        100 %  works\n")
	assert.Equal(t, before, w.fake.Balance())
	for _, r := range w.fake.Requests() {
		assert.Equal(t, "GET /ipAddress", r.Op)
	}
}

func TestAProxyThatFailsMattersWithAKey(t *testing.T) {
	w := withKey(t, callersAddress)
	w.order()
	w.breakProxy(1, youproxytest.ProxyRefusesLogin)
	code, stdout, stderr := start(t.Context(), t, "-target", w.page, "-n", "4")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "fetch: 1 of 2 proxies did not bring the page\n")
	checked := rows(stdout, "Proxy  ")
	require.Len(t, checked, 2)
	assert.Equal(t, []string{"-", "login refused", "-"}, checked[1][1:])
	assert.Contains(t, stdout, "  4        100 %  works\n")
	assert.Contains(t, stdout, "  0        0 %    rests, as it failed\n")
}

func TestNoProxyWorks(t *testing.T) {
	w := withKey(t, callersAddress)
	w.breakProxy(0, youproxytest.ProxyDown)
	code, stdout, stderr := start(t.Context(), t, "-target", w.page)
	assert.Equal(t, 1, code)
	assert.Contains(t, stdout, "  not reached  -\n")
	assert.NotContains(t, stdout, "through the pool")
	assert.Contains(t, stderr, "fetch: none of 1 proxies brought the page\n")
}

func TestAPageWithAnErrorIsNotBrought(t *testing.T) {
	w := withKey(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	code, stdout, stderr := start(t.Context(), t, "-target", w.page)
	assert.Equal(t, 1, code)
	assert.Equal(t, []string{"-", "403"}, rows(stdout, "Proxy  ")[0][1:3])
	assert.Contains(t, stderr, "fetch: none of 1 proxies brought the page\n")
}

func TestRequestsThatFailAfterTheCheck(t *testing.T) {
	var asked atomic.Int64
	w := withKey(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 3 {
			w.WriteHeader(http.StatusTeapot)
		}
	})
	code, stdout, stderr := start(t.Context(), t, "-target", w.page+"?token=hush", "-concurrency", "1", "-n", "5")
	assert.Equal(t, 1, code)
	assert.Contains(t, stdout, "\n5 requests through the pool brought the page 4 times:\n")
	assert.Contains(t, stderr, "fetch: 1 of 5 requests did not bring the page, the first: status 418 through http://login1:***@")
	assert.NotContains(t, stdout+stderr, "hush")
}

func TestNoRequests(t *testing.T) {
	w := withKey(t, callersAddress)
	code, stdout, stderr := start(t.Context(), t, "-target", w.page, "-n", "0")
	assert.Equal(t, 0, code, stderr)
	assert.NotContains(t, stdout, "through the pool")
}

func TestTheListFails(t *testing.T) {
	w := withKey(t, callersAddress)
	w.fake.Refuse("GET /ipAddress", 2)
	code, stdout, stderr := start(t.Context(), t, "-target", w.page)
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "Error api key")
}

func TestABadKey(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", "a/b")
	code, stdout, stderr := start(t.Context(), t)
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "fetch: youproxy: ")
}

func TestItStopsWhileTheFakeSells(t *testing.T) {
	withoutKey(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, stderr := start(ctx, t)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "context canceled")
}

func TestItStopsWhileTheProxiesAreTried(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := withKey(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	code, stdout, stderr := start(ctx, t, "-target", w.page)
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "fetch: proxypool: 1 of 1 proxies are not checked: context canceled")
}

func TestItStopsWhileThePoolIsUsed(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	w := withKey(t, func(_ http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 3 {
			cancel()
			<-r.Context().Done()
		}
	})
	code, stdout, stderr := start(ctx, t, "-target", w.page, "-concurrency", "1", "-n", "1000000000")
	assert.Equal(t, 1, code)
	assert.NotContains(t, stdout, "through the pool")
	assert.Contains(t, stderr, "fetch: context canceled\n")
	assert.EqualValues(t, 3, asked.Load())
}

func TestProgressInAPipe(t *testing.T) {
	var out strings.Builder
	p := newProgress(&out)
	for i := range 25 {
		p.show(i+1, 25)
	}
	p.end()
	assert.Equal(t, 10, strings.Count(out.String(), "\n"))
	assert.True(t, strings.HasSuffix(out.String(), "\nfetch: 25 of 25 proxies tried\n"))
}

func TestProgressOnATerminal(t *testing.T) {
	var out strings.Builder
	p := &progress{w: &out, terminal: true}
	p.show(1, 3)
	p.show(3, 3)
	p.end()
	assert.Equal(t, "\r[##########--------------------] 1 of 3"+
		"\r[##############################] 3 of 3"+
		"\r"+strings.Repeat(" ", 39)+"\r", out.String())
}

func TestIsTerminal(t *testing.T) {
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer device.Close()
	file, err := os.Create(t.TempDir() + "/file")
	require.NoError(t, err)
	defer file.Close()
	assert.True(t, isTerminal(device))
	assert.False(t, isTerminal(file))
	assert.False(t, isTerminal(&strings.Builder{}))
}

func TestExactTimesOnATerminal(t *testing.T) {
	withoutKey(t)
	terminal, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer terminal.Close()
	assert.Equal(t, 0, run(t.Context(), nil, terminal, terminal))
}

func TestUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":      {[]string{"-color"}, "not defined"},
		"more than flags":   {[]string{"all"}, `"all" is not a flag`},
		"a type":            {[]string{"-type", "v4"}, "must be IPv4, IPv6, MOBILE or ISP"},
		"a scheme":          {[]string{"-scheme", "ftp"}, "must be any, http or socks5"},
		"a file":            {[]string{"-target", "file:///etc/hosts"}, "must be a URL of http or https with a host"},
		"no host":           {[]string{"-target", "https:///"}, "must be a URL of http or https with a host"},
		"less than nothing": {[]string{"-n", "-1"}, "-n must not be negative"},
		"no time":           {[]string{"-timeout", "0s"}, "-timeout must be more than 0"},
		"none at once":      {[]string{"-concurrency", "0"}, "-concurrency must be 1 or more"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := start(t.Context(), t, test.args...)
			assert.Equal(t, 2, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.want)
		})
	}
}

func TestHelp(t *testing.T) {
	code, _, stderr := start(t.Context(), t, "-help")
	assert.Equal(t, 0, code)
	assert.Contains(t, stderr, "-concurrency")
}

func TestTheDefaultPage(t *testing.T) {
	o, err := parse(nil, &strings.Builder{})
	require.NoError(t, err)
	f := &fetcher{options: o}
	assert.Equal(t, defaultTarget, f.page())
	u, err := url.Parse(defaultTarget)
	require.NoError(t, err)
	assert.Equal(t, "https", u.Scheme)
}
