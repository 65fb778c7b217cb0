package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var update = flag.Bool("update", false, "write testdata/output.txt anew")

const testKey = "Key-5d1f0c77"

// start runs the program with arguments, and makes sure that it never shows the key.
func start(ctx context.Context, t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut strings.Builder
	code = run(ctx, args, &out, &errOut)
	assert.NotContains(t, strings.ToLower(out.String()+errOut.String()), strings.ToLower(testKey))
	return code, out.String(), errOut.String()
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

// addOrders puts five proxies into the account: IPv4 that end in under 3 days, and
// MOBILE that ends in under 30.
func addOrders(fake *youproxytest.Server) {
	soon := time.Now().AddDate(0, 0, -27)
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 4, CreatedAt: soon})
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeMobile, Country: "GBR", Quantity: 1})
}

// checkSecrecy makes sure that no password or reboot link of the account is shown.
func checkSecrecy(t *testing.T, fake *youproxytest.Server, shown string) {
	t.Helper()
	for _, ip := range fake.IPAddresses() {
		require.NotEmpty(t, ip.Password)
		assert.NotContains(t, shown, ip.Password)
	}
	assert.NotContains(t, shown, "reboot.youproxy")
}

func TestWithoutAKey(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", "")
	const golden = "testdata/output.txt"

	code, stdout, stderr := start(t.Context(), t)

	require.Equal(t, 0, code, stderr)
	assert.Empty(t, stderr)
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(stdout), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	assert.Equal(t, string(want), stdout)
}

func TestFlagsWithoutAKeyUseTheFake(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", "")
	code, stdout, stderr := start(t.Context(), t, "-ending", "4")
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "Proxies that end within 4 days, or have ended: 4 of 11\n")
	assert.NotContains(t, stdout, "IPv6")
}

func TestFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args       []string
		ipv4, rest int // rows
		want       string
	}{
		"none":            {nil, 4, 1, "\nProxies: 5\n"},
		"a type":          {[]string{"-type", "mobile"}, 0, 1, "\nProxies: 1\n"},
		"soon":            {[]string{"-ending", "3"}, 4, 0, "\nProxies that end within 3 days, or have ended: 4 of 5\n"},
		"sooner":          {[]string{"-ending", "2"}, 0, 0, "Proxies that end within 2 days, or have ended: 0 of 5\n"},
		"a type and soon": {[]string{"-type", "MOBILE", "-ending", "30"}, 0, 1, "or have ended: 1 of 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			addOrders(fake)
			code, stdout, stderr := start(t.Context(), t, test.args...)
			assert.Equal(t, 0, code)
			assert.Empty(t, stderr)
			assert.Contains(t, stdout, test.want)
			assert.Equal(t, test.ipv4, strings.Count(stdout, "  IPv4  "))
			assert.Equal(t, test.rest, strings.Count(stdout, "  MOBILE  "))
			checkSecrecy(t, fake, stdout)
			require.Len(t, fake.Requests(), 1)
			assert.Equal(t, "GET /ipAddress", fake.Requests()[0].Op)
		})
	}
}

func TestJSON(t *testing.T) {
	fake := withKey(t)
	addOrders(fake)

	code, stdout, stderr := start(t.Context(), t, "-json")

	assert.Equal(t, 0, code)
	assert.Equal(t, "Proxies: 5\n", stderr)
	checkSecrecy(t, fake, stdout)
	lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
	require.Len(t, lines, 5)
	for i, line := range lines {
		var record struct {
			ID   youproxy.IPAddressID             `json:"ipAddressId"`
			Auth struct{ Login, Password string } `json:"authInfo"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		assert.Equal(t, fake.IPAddresses()[i].ID, record.ID)
		assert.Equal(t, fake.IPAddresses()[i].Login, record.Auth.Login)
		assert.Equal(t, "***", record.Auth.Password)
	}
}

func TestNothing(t *testing.T) {
	withKey(t)
	code, stdout, stderr := start(t.Context(), t)
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, "Proxies: 0\n", stdout)
}

func TestALongListIsComplete(t *testing.T) {
	fake := withKey(t)
	fake.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2*flushEvery + 1})
	code, stdout, stderr := start(t.Context(), t)
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, 2*flushEvery+1, strings.Count(stdout, "  IPv4  "))
	assert.Equal(t, 1, strings.Count(stdout, "Auto-extend\n"))
}

func TestALongListIsShownWhileItArrives(t *testing.T) {
	var stdout strings.Builder
	table := newTable(&stdout, time.Now())
	for range flushEvery {
		require.NotContains(t, stdout.String(), "ISP")
		require.NoError(t, table.write(youproxy.Proxy{ProxyType: youproxy.ProxyTypeISP}))
	}
	assert.Equal(t, flushEvery, strings.Count(stdout.String(), "ISP"))
}

func TestAListThatBreaksOffIsNotTakenForComplete(t *testing.T) {
	for name, args := range map[string][]string{"table": nil, "JSON": {"-json"}} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			addOrders(fake)
			fake.Inject("GET /ipAddress", youproxytest.Truncated)
			code, stdout, stderr := start(t.Context(), t, args...)
			assert.Equal(t, 1, code)
			assert.Contains(t, stdout, fake.IPAddresses()[0].ID, "what came is shown")
			assert.NotContains(t, stdout+stderr, "Proxies: ")
			assert.Contains(t, stderr, "list: the list is not complete: it ended after 2 proxies\n")
			checkSecrecy(t, fake, stdout+stderr)
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
			addOrders(fake)
			test.spoil(fake)
			code, stdout, stderr := start(t.Context(), t)
			assert.Equal(t, 1, code)
			assert.Empty(t, stdout)
			assert.Contains(t, stderr, test.want)
			assert.Contains(t, stderr, "list: the list is not complete: it ended after 0 proxies\n")
		})
	}
}

// TestOddRecords is about what the service may leave out.
func TestOddRecords(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", testKey)
	t.Setenv("YOUPROXY_BASE_URL", "")
	httpmock.Activate(t)
	httpmock.RegisterResponder(http.MethodGet, "https://youproxy.io/client/api/v1/"+testKey+"/ipAddress",
		httpmock.NewStringResponder(http.StatusOK, `{"success":true,"ipv4":[
			{"ipAddressId":"1"},
			{"ipAddressId":"2","orderId":"77","dateEnd":"2001-02-03T04:05:06.000+00:00","extendInfo":{"autoExtend":true}}
		]}`))

	code, stdout, stderr := start(t.Context(), t)
	assert.Equal(t, 0, code, stderr)
	rows := strings.Split(stdout, "\n")
	assert.Equal(t, []string{"1", "IPv4", "-", "-", "not", "known", "-", "no"}, strings.Fields(rows[2]))
	assert.Equal(t, []string{"2", "IPv4", "-", "-", "77", "2001-02-03", "04:05", "ended", "yes"}, strings.Fields(rows[3]))

	code, stdout, stderr = start(t.Context(), t, "-ending", "1")
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "or have ended: 1 of 2; the end of 1 is not known\n")
}

// TestTextsThatDoNotPrint is about a service that sends what a terminal obeys.
func TestTextsThatDoNotPrint(t *testing.T) {
	const evil = "a\x1b[31mb\tc\nd\x00\u007f\u009b1m\u202egnp.\u2066\U000e0041\u2028\ufeff\u200b"
	text, err := json.Marshal(evil)
	require.NoError(t, err)
	template := strings.NewReplacer("x", strings.Trim(string(text), `"`)).Replace(`{"success": true, "list": [{
		"ipAddressId": "{ipAddressId}x", "ip": "hostx", "proxyType": "typex", "country": "landx", "orderNumber": "numberx",
		"orderId": "orderx", "authInfo": {"login": "loginx", "password": "p"}, "mobileOperator": "operatorx"}]}`)
	for name, args := range map[string][]string{"table": nil, "JSON": {"-json"}} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t, youproxytest.WithListShape(youproxytest.ListShape{Template: template}))
			addOrders(fake)

			code, stdout, stderr := start(t.Context(), t, args...)

			assert.Equal(t, 0, code, stderr)
			for _, r := range strings.ReplaceAll(stdout+stderr, "\n", "") {
				assert.True(t, unicode.IsPrint(r), "%U in %q", r, stdout)
			}
			assert.Contains(t, stdout, `\u202egnp.`)
			if args == nil {
				assert.Contains(t, stdout, `a\x1b[31mb\tc\nd\x00`, "escaped, not left out")
				assert.Equal(t, 1+1+5+1+1, strings.Count(stdout, "\n"), "a line for each proxy")
				return
			}
			lines := strings.Split(strings.TrimSuffix(stdout, "\n"), "\n")
			require.Len(t, lines, 5)
			for i, line := range lines {
				var record map[string]any
				require.NoError(t, json.Unmarshal([]byte(line), &record))
				assert.Equal(t, string(fake.IPAddresses()[i].ID)+evil, record["ipAddressId"])
				assert.Equal(t, "number"+evil, record["orderNumber"])
			}
		})
	}
}

// The reader of lists leaves out hosts and types that are none, and the table does not
// rely on it.
func TestNoColumnPrintsWhatATerminalObeys(t *testing.T) {
	const evil = "\x1b[2J\u202e"
	var stdout strings.Builder
	table := newTable(&stdout, time.Now())
	require.NoError(t, table.write(youproxy.Proxy{ID: evil, ProxyType: evil, Host: evil, Country: evil, OrderNumber: evil}))
	require.NoError(t, table.write(youproxy.Proxy{OrderID: evil}))
	require.NoError(t, table.flush())
	assert.Equal(t, 6, strings.Count(stdout.String(), `"\x1b[2J\u202e"`))
	assert.NotContains(t, stdout.String(), "\x1b")
	assert.NotContains(t, stdout.String(), "\u202e")
}

func TestAMessageThatDoesNotPrint(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", testKey)
	t.Setenv("YOUPROXY_BASE_URL", "")
	httpmock.Activate(t)
	httpmock.RegisterResponder(http.MethodGet, "https://youproxy.io/client/api/v1/"+testKey+"/ipAddress",
		httpmock.NewStringResponder(http.StatusOK, `{"success":false,"error":{"code":3,"message":"\u001b[31m\u202e\u009b\nno"}}`))
	code, stdout, stderr := start(t.Context(), t)
	assert.Equal(t, 1, code)
	for _, r := range strings.ReplaceAll(stdout+stderr, "\n", "") {
		assert.True(t, unicode.IsPrint(r), "%U in %q", r, stderr)
	}
	assert.Equal(t, 2, strings.Count(stderr, "\n"))
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"":             "",
		"NUMBER-112/é": "NUMBER-112/é",
		"a b":          "a b",
		"a\u00a0b":     `"a\u00a0b"`,
		`say "no"`:     `"say \"no\""`,
		"\xff":         `"\xff"`,
		"\u202e":       `"\u202e"`,
	} {
		assert.Equal(t, want, plain(text))
	}
}

func TestAutoExtend(t *testing.T) {
	for want, p := range map[string]youproxy.Proxy{
		"no":         {AutoExtendDays: 30},
		"yes":        {AutoExtend: true},
		"by 30 days": {AutoExtend: true, AutoExtendDays: 30},
		"not known":  {AutoExtendUnknown: true},
	} {
		assert.Equal(t, want, autoExtend(p))
	}
}

func TestDaysLeft(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]int{
		-time.Hour: -1, 0: -1, time.Second: 0, 24*time.Hour - 1: 0, 24 * time.Hour: 1, 71 * time.Hour: 2,
	} {
		assert.Equal(t, want, daysLeft(youproxy.Proxy{End: now.Add(left)}, now), left)
	}
}

func TestUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":    {[]string{"-color"}, "not defined"},
		"unknown type":    {[]string{"-type", "IPv5"}, "must be IPv4, IPv6, MOBILE or ISP"},
		"not a number":    {[]string{"-ending", "soon"}, "must be a whole number of days, 1 or more"},
		"no days":         {[]string{"-ending", "0"}, "must be a whole number of days, 1 or more"},
		"more than flags": {[]string{"-json", "ISP"}, `"ISP" is not a flag`},
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

func TestHelp(t *testing.T) {
	code, _, stderr := start(t.Context(), t, "-help")
	assert.Equal(t, 0, code)
	assert.Contains(t, stderr, "-ending")
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
	code, stdout, stderr := start(ctx, t)
	assert.Equal(t, 1, code)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "context canceled")
	assert.Empty(t, fake.Requests())

	t.Setenv("YOUPROXY_API_KEY", "")
	code, _, stderr = start(ctx, t)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "context canceled")
}

// full is a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestOutputThatCannotBeWritten(t *testing.T) {
	for name, args := range map[string][]string{"table": nil, "JSON": {"-json"}} {
		t.Run(name, func(t *testing.T) {
			addOrders(withKey(t))
			var stderr strings.Builder
			assert.Equal(t, 1, run(t.Context(), args, full{}, &stderr))
			assert.Contains(t, stderr.String(), "no space left")
		})
	}
}
