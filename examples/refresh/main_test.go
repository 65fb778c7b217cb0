package main

import (
	"context"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
	checkSecrecy(t, out.String()+errOut.String())
	return code, out.String(), errOut.String()
}

func checkSecrecy(t *testing.T, shown string) {
	t.Helper()
	assert.NotContains(t, strings.ToLower(shown), strings.ToLower(testKey))
	assert.NotRegexp(t, `(?i)pw[0-9a-f]{8}`, shown, "a password of a fake")
}

// withKey makes the program take a fake for the real service.
func withKey(t *testing.T, opts ...youproxytest.Option) *youproxytest.Server {
	t.Helper()
	fake := youproxytest.NewServer(append(opts, youproxytest.WithAPIKey(testKey))...)
	t.Cleanup(fake.Close)
	t.Setenv("YOUPROXY_API_KEY", testKey)
	t.Setenv("YOUPROXY_BASE_URL", fake.URL())
	return fake
}

// watched is a keeper of a fake, and what it prints.
type watched struct {
	*keeper

	fake  *youproxytest.Server
	clock *clock
	out   strings.Builder
}

func newWatched(t *testing.T, args ...string) *watched {
	t.Helper()
	w := &watched{clock: &clock{at: time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)}}
	w.fake = youproxytest.NewServer(youproxytest.WithClock(w.clock.now))
	t.Cleanup(w.fake.Close)
	client, err := w.fake.Client(youproxy.WithReadRetries(0))
	require.NoError(t, err)
	o, err := parse(args, &w.out)
	require.NoError(t, err, &w.out)
	w.keeper, err = newKeeper(o, client, w.clock.now, printer{&w.out})
	require.NoError(t, err)
	return w
}

// printed gives what was printed since the last time.
func (w *watched) printed() string {
	defer w.out.Reset()
	return w.out.String()
}

// withoutKey makes the program use its own fake.
func withoutKey(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("not every system has an address on loopback for each proxy")
	}
	t.Setenv("YOUPROXY_API_KEY", "")
}

var port = regexp.MustCompile(`(127\.0\.0\.\d):\d+`)

func TestWithoutAKey(t *testing.T) {
	withoutKey(t)
	const golden = "testdata/output.txt"

	code, stdout, stderr := start(t.Context(), t)

	require.Equal(t, 0, code, stderr)
	assert.Empty(t, stderr)
	got := port.ReplaceAllString(stdout, "$1:40001")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

func TestSchemesAndTypesWithoutAKey(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"SOCKS5":            {[]string{"-scheme", "socks5"}, []string{"joined socks5://login1:***@127.0.0.2:40001\n", "\n200 requests, 0 not"}},
		"HTTP":              {[]string{"-scheme", "http"}, []string{"left out: youproxy: proxy 1111111111111111113 cannot be used in this way: it has no port for http\n", "\n120 requests, 0 not"}},
		"one type":          {[]string{"-type", "isp"}, []string{"joined http://login3:***@127.0.0.6:40001\n", "\n60 requests, 0 not"}},
		"nothing at all":    {[]string{"-type", "MOBILE"}, []string{"stays: youproxy: ", "\n0 requests, 0 not answered.\n"}},
		"what ends at once": {[]string{"-type", "IPv4"}, []string{"left   http://login1:***@127.0.0.3:40001\n", "\n60 requests, 0 not"}},
	} {
		t.Run(name, func(t *testing.T) {
			withoutKey(t)
			code, stdout, stderr := start(t.Context(), t, test.args...)
			assert.Equal(t, 0, code, stderr)
			stdout = port.ReplaceAllString(stdout, "$1:40001")
			for _, want := range test.want {
				assert.Equal(t, 1, strings.Count(stdout, want), "%s in %s", want, stdout)
			}
		})
	}
}

func TestItStopsWithoutAKey(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	code, _, stderr := start(ctx, t)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "context canceled")
}

func TestJoiningAndLeaving(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", "")
	synctest.Test(t, func(t *testing.T) {
		w := newWatched(t)
		ipv4 := youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 1, RentPeriodDays: 30}
		w.fake.AddOrder(ipv4)
		ctx, cancel := context.WithCancel(t.Context())
		ticks, ended := make(chan time.Time), make(chan struct{})
		go func() {
			defer close(ended)
			w.keep(ctx, ticks)
		}()
		tick := func() {
			ticks <- time.Time{}
			synctest.Wait()
		}
		tick()
		assert.Equal(t, "2026-03-01 12:00:00  joined http://login1:***@198.18.0.1:59100\n", w.printed())
		tick()
		assert.Empty(t, w.printed())

		w.clock.move(29 * 24 * time.Hour)
		w.fake.AddOrder(ipv4)
		tick()
		assert.Equal(t, "2026-03-30 12:00:00  joined http://login2:***@198.18.0.2:59100\n", w.printed())
		assert.Len(t, w.pool.Stats(), 2)

		w.clock.move(24 * time.Hour)
		w.fake.Inject("GET /ipAddress", youproxytest.Truncated, youproxytest.ServiceFault)
		for range 2 {
			tick()
			assert.Contains(t, w.printed(), "2026-03-31 12:00:00  no new list, the old one of 2 stays: youproxy: GET /ipAddress: ")
			assert.Len(t, w.pool.Stats(), 2)
		}
		tick()
		assert.Equal(t, "2026-03-31 12:00:00  left   http://login1:***@198.18.0.1:59100\n", w.printed())
		require.Len(t, w.pool.Stats(), 1)

		w.clock.move(29 * 24 * time.Hour)
		tick()
		assert.Equal(t, "2026-04-29 12:00:00  left   http://login2:***@198.18.0.2:59100\n", w.printed())
		assert.Empty(t, w.pool.Stats())
		cancel()
		<-ended
		assert.Empty(t, w.printed())
	})
}

func TestForAWhile(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", testKey)
	synctest.Test(t, func(t *testing.T) {
		fake := youproxytest.NewServer()
		defer fake.Close()
		client, err := fake.Client()
		require.NoError(t, err)
		fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 1})
		var out strings.Builder
		o, err := parse([]string{"-every", "5m", "-for", "62m"}, &out)
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, live(t.Context(), o, client, printer{&out}))
		assert.Equal(t, 62*time.Minute, time.Since(began))
		assert.Len(t, fake.Requests(), 13)
		assert.Equal(t, "2000-01-01 00:00:00  joined http://login1:***@198.18.0.1:59100\n", out.String())
	})
}

func TestWhatCannotBeUsedIsToldOnce(t *testing.T) {
	w := newWatched(t, "-scheme", "http")
	w.fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 1, Protocol: youproxy.ProtocolSOCKS})
	w.fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 1})
	require.NoError(t, w.refresh(t.Context()))
	assert.Equal(t, "2026-03-01 12:00:00  left out: youproxy: proxy 1111111111111111111 cannot be used in this way: it has no port for http\n"+
		"2026-03-01 12:00:00  joined http://login2:***@198.18.0.2:59100\n", w.printed())

	w.fake.SetListShape(youproxytest.ListShape{Extra: map[string]any{"dateEnd": "2026-03-01T12:00:00.000+00:00"}})
	for range 3 {
		require.NoError(t, w.refresh(t.Context()))
	}
	assert.Equal(t, "2026-03-01 12:00:00  left out: proxy 1111111111111111112 has ended\n"+
		"2026-03-01 12:00:00  left   http://login2:***@198.18.0.2:59100\n", w.printed())
	assert.Empty(t, w.pool.Stats())
}

// Another password is another way to reach a proxy, of the same name.
func TestAPasswordChanges(t *testing.T) {
	w := newWatched(t)
	w.fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 1})
	require.NoError(t, w.refresh(t.Context()))
	w.printed()
	w.fake.SetListShape(youproxytest.ListShape{Extra: map[string]any{
		"authInfo": map[string]string{"login": "login1", "password": "Pw00000000"},
	}})
	require.NoError(t, w.refresh(t.Context()))
	assert.Equal(t, "2026-03-01 12:00:00  joined http://login1:***@198.18.0.1:59100\n"+
		"2026-03-01 12:00:00  left   http://login1:***@198.18.0.1:59100\n", w.out.String())
	checkSecrecy(t, w.printed())
	assert.Len(t, w.pool.Stats(), 1)
}

func TestARefreshThatIsStoppedIsNoFailure(t *testing.T) {
	w := newWatched(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.refreshOrKeep(ctx)
	assert.Empty(t, w.printed())
}

// stopper is Ctrl-C as soon as something is printed.
type stopper struct {
	strings.Builder

	stop context.CancelFunc
}

func (s *stopper) Write(p []byte) (int, error) {
	s.stop()
	return s.Builder.Write(p)
}

func TestWithAKey(t *testing.T) {
	fake := withKey(t)
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2})
	ctx, cancel := context.WithCancel(t.Context())
	out, errOut := &stopper{stop: cancel}, &strings.Builder{}
	code := run(ctx, nil, out, errOut)
	assert.Equal(t, 0, code)
	assert.Empty(t, errOut.String())
	checkSecrecy(t, out.String())
	assert.Equal(t, 2, strings.Count(out.String(), "\n"))
	assert.Equal(t, 2, strings.Count(out.String(), "  joined http://login1:***@198.18.0."))
	require.Len(t, fake.Requests(), 1)
	assert.Equal(t, "GET /ipAddress", fake.Requests()[0].Op)
}

func TestThereIsNoListToBeginWith(t *testing.T) {
	fake := withKey(t)
	fake.Refuse("GET /ipAddress", 2)
	code, stdout, stderr := start(t.Context(), t)
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "Error api key")
}

func TestABadKey(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", "a/b")
	code, stdout, stderr := start(t.Context(), t)
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "refresh: youproxy: ")
}

// withProxy makes the program take a fake for the real service, which has one proxy
// that works.
func withProxy(t *testing.T, page http.HandlerFunc) (target string) {
	t.Helper()
	site := httptest.NewServer(page)
	t.Cleanup(site.Close)
	fake := withKey(t, youproxytest.WithProxies())
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 1})
	require.Regexp(t, `^Pw[0-9a-f]{8}$`, fake.IPAddresses()[0].Password, "checkSecrecy looks for it")
	return site.URL
}

func TestRequestsUntilItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	target := withProxy(t, func(_ http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 3 {
			cancel()
			<-r.Context().Done()
		}
	})
	code, stdout, stderr := start(ctx, t, "-target", target, "-pause", "1ms")
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "\n2 requests, 0 not answered.\n")
	assert.Regexp(t, `\n  http://login1:\*\*\*@127\.0\.0\.\d:\d+ +2\n$`, stdout)
}

func TestRequestsThatAreNotAnswered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var asked atomic.Int64
	target := withProxy(t, func(w http.ResponseWriter, r *http.Request) {
		switch asked.Add(1) {
		case 2:
			w.WriteHeader(http.StatusTeapot)
		case 4:
			cancel()
			<-r.Context().Done()
		}
	})
	code, stdout, stderr := start(ctx, t, "-target", target+"?token=hush", "-pause", "1ms")
	assert.Equal(t, 1, code)
	assert.Contains(t, stdout, "  not answered: status 418 through http://login1:***@127.0.0.")
	assert.Contains(t, stdout, "\n3 requests, 1 not answered.\n")
	assert.Contains(t, stderr, "refresh: 1 of 3 requests were not answered, the first: status 418 ")
	assert.NotContains(t, stdout+stderr, "hush")
}

func TestUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		key  string
		args []string
		want string
	}{
		"unknown flag":             {testKey, []string{"-color"}, "not defined"},
		"more than flags":          {testKey, []string{"all"}, `"all" is not a flag`},
		"a type":                   {testKey, []string{"-type", "v4"}, "must be IPv4, IPv6, MOBILE or ISP"},
		"a scheme":                 {testKey, []string{"-scheme", "ftp"}, "must be any, http or socks5"},
		"a file":                   {testKey, []string{"-target", "file:///etc/hosts"}, "must be a URL of http or https with a host"},
		"never":                    {testKey, []string{"-every", "0s"}, "must be more than 0"},
		"no pause":                 {testKey, []string{"-target", "http://localhost", "-pause", "0s"}, "must be more than 0"},
		"no time":                  {testKey, []string{"-timeout", "-1s"}, "must be more than 0"},
		"a negative while":         {testKey, []string{"-for", "-1s"}, "-for must not be negative"},
		"a pause between nothing":  {testKey, []string{"-pause", "5s"}, "-pause goes with -target only"},
		"a timer without a key":    {"", []string{"-every", "5s"}, "go with an API key in YOUPROXY_API_KEY only"},
		"a while without a key":    {"", []string{"-for", "5s"}, "go with an API key in YOUPROXY_API_KEY only"},
		"requests without the key": {"", []string{"-target", "http://localhost"}, "go with an API key in YOUPROXY_API_KEY only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("YOUPROXY_API_KEY", test.key)
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
	assert.Contains(t, stderr, "-every")
}
