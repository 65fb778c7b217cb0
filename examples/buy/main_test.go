package main

import (
	"context"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

const testKey = "Key-5d1f0c77"

var (
	password = regexp.MustCompile(`Pw[0-9a-f]{8}`)
	ready    = regexp.MustCompile(`^(http|socks5)://login\d+:Pw[0-9a-f]{8}@198\.18\.\d+\.\d+:\d+$`)
)

// result is what a run of the program left.
type result struct {
	code           int
	stdout, stderr string
}

// ready gives the lines with proxies that are ready to use.
func (r result) ready() (lines []string) {
	for line := range strings.Lines(r.stdout) {
		if line = strings.TrimSpace(line); ready.MatchString(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// start runs the program with nobody to ask.
func start(t *testing.T, args ...string) result {
	t.Helper()
	return startWith(t.Context(), t, strings.NewReader(""), args...)
}

// startWith runs the program, and makes sure that it shows no key, and passwords
// only in the lines that are for them.
func startWith(ctx context.Context, t *testing.T, stdin io.Reader, args ...string) (r result) {
	t.Helper()
	var stdout, stderr strings.Builder
	r.code = runToItsEnd(ctx, args, stdin, &stdout, &stderr)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	shown := strings.ToLower(r.stdout + r.stderr)
	for _, key := range []string{testKey, youproxytest.DefaultAPIKey} {
		assert.NotContains(t, shown, strings.ToLower(key))
	}
	assert.NotRegexp(t, password, r.stderr)
	assert.Len(t, password.FindAllString(r.stdout, -1), len(r.ready()))
	return r
}

// ended is a panic in place of the end of the process.
type ended struct{ code int }

// runToItsEnd runs the program until it returns or, as a fault lets it, ends.
func runToItsEnd(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func(was func(int)) { exit = was }(exit)
	exit = func(code int) { panic(ended{code}) }
	defer func() {
		if end, ok := recover().(ended); ok {
			code = end.code
		}
	}()
	return run(ctx, args, stdin, stdout, stderr)
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

// sandboxed gives the program a fake that outlasts it.
func sandboxed(t *testing.T, opts ...youproxytest.Option) *youproxytest.Server {
	t.Helper()
	fake := youproxytest.NewServer(opts...)
	t.Cleanup(fake.Close)
	t.Setenv("YOUPROXY_API_KEY", "")
	t.Setenv("YOUPROXY_BASE_URL", fake.URL())
	return fake
}

// behind puts a handler in front of a fake, which may answer in its place.
func behind(t *testing.T, fake *youproxytest.Server, answered func(w http.ResponseWriter, r *http.Request) bool) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answered(w, r) {
			fake.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("YOUPROXY_BASE_URL", server.URL)
}

func isOrder(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/order") && !isQuote(r)
}

func isQuote(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/calculate/order") }

func builtIn(t *testing.T) {
	t.Helper()
	t.Setenv("YOUPROXY_API_KEY", "")
	t.Setenv("YOUPROXY_BASE_URL", "")
}

func TestOutput(t *testing.T) {
	for golden, args := range map[string][]string{
		"testdata/output.txt":            nil,
		"testdata/drop-after-commit.txt": {"-fault", "drop-after-commit"},
	} {
		t.Run(golden, func(t *testing.T) {
			builtIn(t)

			r := start(t, args...)

			require.Equal(t, 0, r.code, r.stderr)
			assert.Empty(t, r.stderr)
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(r.stdout), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			assert.Equal(t, string(want), r.stdout)
		})
	}
}

func TestAnOrderThatWasLostIsNotExecuted(t *testing.T) {
	builtIn(t)
	r := start(t, "-fault", "drop-before-commit", "-patience", "10ms")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "it was not executed, nothing was spent\n")
	assert.Empty(t, r.ready())
}

func TestALostOrderIsWaitedForOnlyShortly(t *testing.T) {
	for want, args := range map[time.Duration][]string{
		2 * time.Minute: {"-fault", "drop-after-commit"},
		3 * time.Second: {"-fault", "drop-before-commit"},
		time.Minute:     {"-fault", "drop-before-commit", "-patience", "1m"},
	} {
		o, err := parse(args, service{}, io.Discard)
		require.NoError(t, err)
		assert.Equal(t, want, o.patience, args)
	}
}

func TestBuy(t *testing.T) {
	const promo = "TENTH"
	for name, test := range map[string]struct {
		args []string
		want string // sent
		over string
		line string
	}{
		"IPv4": {
			nil,
			`{"proxyType":"IPv4","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN"}`,
			"HTTP", ready.String(),
		},
		"IPv6": {
			[]string{"-type", "ipv6", "-quantity", "3", "-protocol", "socks"},
			`{"proxyType":"IPv6","quantity":3,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN","protocol":"SOCKS"}`,
			"SOCKS5", strings.Replace(ready.String(), "(http|socks5)", "socks5", 1),
		},
		"MOBILE": {
			[]string{"-type", "mobile", "-operator", "tmobile", "-rotation", "600"},
			`{"proxyType":"MOBILE","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN","rotationTime":600,"mobileOperator":"tmobile"}`,
			"HTTP", ready.String(),
		},
		"ISP": {
			[]string{"-type", "ISP", "-country", "NLD", "-quantity", "2", "-days", "60", "-goal", "ad checks", "-promo", promo, "-auth-ip", "192.0.2.7"},
			`{"proxyType":"ISP","quantity":2,"rentPeriodDays":60,"country":"NLD","goal":"ad checks","authType":"IP","authIp":"192.0.2.7","promoCode":"TENTH"}`,
			"HTTP", `^http://198\.18\.\d+\.\d+:\d+$`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t, youproxytest.WithPromoCode(promo, 10))
			r := start(t, append(test.args, "-yes", "-max-price", "100 USD")...)
			require.Equal(t, 0, r.code, r.stderr)
			require.Len(t, fake.Orders(), 1)
			bought, list, found := strings.Cut(r.stdout, "ready to use over "+test.over+":\n")
			require.True(t, found, r.stdout)
			assert.Contains(t, bought, string(fake.Orders()[0].Number))
			lines := strings.Split(strings.TrimSpace(list), "\n")
			assert.Len(t, lines, fake.Orders()[0].Quantity)
			for _, line := range lines {
				assert.Regexp(t, test.line, line)
			}
			for _, sent := range fake.Requests() {
				if sent.Op == "POST /order" {
					assert.JSONEq(t, test.want, string(sent.Body))
				}
			}
		})
	}
}

func TestNothingIsBought(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"price above the limit": {[]string{"-max-price", "0.01 USD"}, "above the limit of 0.01 USD; nothing was sent, nothing was spent"},
		"another currency":      {[]string{"-max-price", "100 EUR"}, "the price is 1.31 USD, and the limit 100 EUR; nothing was sent"},
		"goal not accepted":     {[]string{"-max-price", "100 USD", "-goal", "spam"}, "Incorrect goal"},
		"balance too small":     {[]string{"-max-price", "9999 USD", "-quantity", "999"}, "Insufficient funds"},
		"promo code not valid":  {[]string{"-max-price", "100 USD", "-promo", "EXPIRED"}, "promo code is not valid"},
		"request breaks rules":  {[]string{"-max-price", "100 USD", "-quantity", "0"}, "quantity must be 1 or more"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			r := start(t, append(test.args, "-yes")...)
			assert.Equal(t, 1, r.code)
			assert.Contains(t, r.stderr, test.want)
			assert.NotContains(t, sent(fake), "POST /order")
		})
	}
}

// sent gives the requests that a fake has seen.
func sent(fake *youproxytest.Server) (ops []string) {
	for _, r := range fake.Requests() {
		ops = append(ops, r.Op)
	}
	return ops
}

func TestRefused(t *testing.T) {
	fake := withKey(t)
	fake.Refuse("POST /order", int(youproxy.ErrCountryUnavailable))
	r := start(t, "-yes", "-max-price", "10 USD")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stderr, "(code 7)")
	assert.Contains(t, r.stderr, "nothing was spent")
	assert.Empty(t, fake.Orders())
}

func TestTheQuestion(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		answer string
		asked  bool
		want   string
	}{
		"y":                     {nil, "y\n", true, ""},
		"yes, in capitals":      {nil, " YES \n", true, ""},
		"yes without an end":    {nil, "yes", true, ""},
		"no":                    {nil, "n\n", true, "the answer was not yes; nothing was bought"},
		"an empty line":         {nil, "\ny\n", true, "the answer was not yes; nothing was bought"},
		"nobody there":          {nil, "", true, "the answer was not yes; nothing was bought"},
		"-yes":                  {[]string{"-yes"}, "n\n", false, ""},
		"price above the limit": {[]string{"-quantity", "50"}, "y\n", false, "the price of 65.5 USD is above the limit of 10 USD; nothing was bought"},
		"another currency":      {[]string{"-max-price", "10 EUR"}, "y\n", false, "cannot be compared or added: 1.31 USD and 10 EUR; nothing was bought"},
		"a warning":             {[]string{"-goal", "spam"}, "y\n", false, `would not execute the order: "Incorrect goal"; nothing was bought`},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			r := startWith(t.Context(), t, strings.NewReader(test.answer), append([]string{"-max-price", "10 USD"}, test.args...)...)
			assert.Equal(t, test.asked, strings.Contains(r.stderr, "Buy 1 x IPv4, USA, 30 days for 1.31 USD? [y/N] "))
			if test.want == "" {
				assert.Equal(t, 0, r.code, r.stderr)
				assert.Len(t, fake.Orders(), 1)
				assert.Len(t, r.ready(), 1)
				return
			}
			assert.Equal(t, 1, r.code)
			assert.Contains(t, r.stderr, test.want)
			assert.Equal(t, []string{"POST /calculate/order"}, sent(fake))
		})
	}
}

func TestAYesHoldsForItsPriceOnly(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		code int
	}{
		"told yes": {nil, 1},
		"-yes":     {[]string{"-yes"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			quotes := 0
			behind(t, fake, func(w http.ResponseWriter, r *http.Request) bool {
				if isQuote(r) {
					quotes++
				}
				if !isQuote(r) || quotes == 1 {
					return false
				}
				_, _ = io.WriteString(w, `{"success": true, "proxyType": "IPv4", "balance": 100, "price": 1.41, "currency": "USD", "discount": 0}`)
				return true
			})

			r := startWith(t.Context(), t, strings.NewReader("y\n"), append(test.args, "-max-price", "10 USD")...)

			assert.Equal(t, test.code, r.code, r.stderr)
			if test.code != 0 {
				assert.Contains(t, r.stderr, "the price of 1.41 USD is above the limit of 1.31 USD; nothing was sent, nothing was spent")
				assert.Empty(t, fake.Orders())
			}
		})
	}
}

func TestASandboxIsNotAskedAbout(t *testing.T) {
	fake := sandboxed(t)
	r := start(t)
	require.Equal(t, 0, r.code, r.stderr)
	assert.Contains(t, r.stdout, "YOUPROXY_API_KEY is not set: this is the fake Youproxy at "+os.Getenv("YOUPROXY_BASE_URL")+", and no money is spent.\n")
	assert.Len(t, fake.Orders(), 1)
	assert.Empty(t, r.stderr)
}

func TestMoreThanTheLimitWasCharged(t *testing.T) {
	fake := withKey(t)
	behind(t, fake, func(_ http.ResponseWriter, r *http.Request) bool {
		if isOrder(r) { // something else is charged at the same moment
			fake.SetBalance(youproxy.MustMoney("50 USD"))
		}
		return false
	})
	r := start(t, "-yes", "-max-price", "10 USD")
	assert.Equal(t, 0, r.code, "it is bought")
	assert.Contains(t, r.stderr, "more than the limit was charged: 51.31 USD, where the limit was 10 USD")
	assert.Len(t, r.ready(), 1)
}

func TestTheProxiesDoNotCome(t *testing.T) {
	fake := sandboxed(t, youproxytest.WithProvisioningDelay(time.Hour))
	r := start(t, "-wait", "10ms")
	assert.Equal(t, 1, r.code)
	assert.Contains(t, r.stdout, "Bought      "+string(fake.Orders()[0].Number))
	assert.Contains(t, r.stderr, "0 of 1 proxies came: context deadline exceeded")
	assert.Contains(t, r.stderr, "; the order was bought all the same\n")
}

func TestAProxyWithoutAPortIsNotReadyToUse(t *testing.T) {
	sandboxed(t, youproxytest.WithListShape(youproxytest.ListShape{Extra: map[string]any{"httpsPort": nil, "socks5Port": nil}}))
	r := start(t)
	assert.Equal(t, 0, r.code, "it is bought")
	assert.Contains(t, r.stderr, "buy: youproxy: proxy 1111111111111111111 cannot be used in this way: it has no port: IPv4 proxy 1111111111111111111")
	assert.Empty(t, r.ready())
}

func TestUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":           {[]string{"-color"}, "not defined"},
		"unknown type":           {[]string{"-type", "IPv5"}, "must be IPv4, IPv6, MOBILE or ISP"},
		"not a number":           {[]string{"-quantity", "many"}, "quantity"},
		"not an address":         {[]string{"-auth-ip", ""}, "auth-ip"},
		"not money":              {[]string{"-max-price", "1.50"}, "is not money"},
		"no limit":               {nil, "-max-price is missing"},
		"-yes without a limit":   {[]string{"-yes"}, "-max-price is missing"},
		"a blank promo code":     {[]string{"-max-price", "1 USD", "-promo", ""}, "-promo is blank"},
		"operator of IPv4":       {[]string{"-max-price", "1 USD", "-operator", "verizon"}, "MOBILE only"},
		"rotation of ISP":        {[]string{"-max-price", "1 USD", "-type", "ISP", "-rotation", "300"}, "MOBILE only"},
		"protocol of MOBILE":     {[]string{"-max-price", "1 USD", "-type", "MOBILE", "-protocol", "HTTP"}, "IPv6 only"},
		"no wait":                {[]string{"-max-price", "1 USD", "-wait", "0s"}, "-wait must be positive"},
		"negative patience":      {[]string{"-max-price", "1 USD", "-patience", "-1s"}, "-patience must not be negative"},
		"journal without a name": {[]string{"-max-price", "1 USD", "-journal", ""}, "-journal is empty"},
		"more than flags":        {[]string{"-max-price", "1", "USD"}, "is not money"},
		"an argument":            {[]string{"-max-price", "1 USD", "USA"}, `"USA" is not a flag`},
		"unknown fault":          {[]string{"-max-price", "1 USD", "-fault", "crash"}, "must be one of drop-after-commit, drop-before-commit, crash-after-send"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			r := start(t, test.args...)
			assert.Equal(t, 2, r.code)
			assert.Empty(t, r.stdout)
			assert.Contains(t, r.stderr, test.want)
			assert.Empty(t, fake.Requests())
		})
	}
}

func TestFaultsAreForFakesOnly(t *testing.T) {
	const onThisMachine, elsewhere = "http://127.0.0.1:9", "https://proxies.example"
	for _, test := range []struct {
		fault, key, baseURL string
		want                bool
	}{
		{dropAfterCommit, "", "", true},
		{dropBeforeCommit, "", "", true},
		{crashAfterSend, "", "", true},
		{crashAfterSend, "", onThisMachine, true},
		{crashAfterSend, testKey, onThisMachine, true},
		{crashAfterSend, testKey, "http://LOCALHOST:9", true},
		{crashAfterSend, testKey, "http://[::1]:9", true},
		{crashAfterSend, testKey, "", false},
		{crashAfterSend, testKey, elsewhere, false},
		{crashAfterSend, testKey, "https://localhost.example", false},
		{crashAfterSend, testKey, "https://127.0.0.1@proxies.example", false},
		{crashAfterSend, testKey, "http://%zz", false},
		{crashAfterSend, "", elsewhere, false},
		{dropAfterCommit, "", onThisMachine, false},
		{dropAfterCommit, testKey, "", false},
		{dropBeforeCommit, testKey, onThisMachine, false},
	} {
		_, err := parse([]string{"-max-price", "1 USD", "-fault", test.fault}, service{test.key, test.baseURL}, io.Discard)
		assert.Equal(t, test.want, err == nil, test)
	}
}

func TestHelp(t *testing.T) {
	r := start(t, "-help")
	assert.Equal(t, 0, r.code)
	assert.Contains(t, r.stderr, "-max-price")
}

func TestNoServiceIsAnError(t *testing.T) {
	for name, test := range map[string]struct{ key, baseURL, want string }{
		"a base URL without a key": {"", "https://proxies.example", "YOUPROXY_API_KEY is not set"},
		"a base URL that is none":  {testKey, "http://proxies.example", "base URL"},
		"a loopback URL with junk": {"", "http://127.0.0.1:9?x=1", "base URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("YOUPROXY_API_KEY", test.key)
			t.Setenv("YOUPROXY_BASE_URL", test.baseURL)
			r := start(t, "-max-price", "1 USD")
			assert.Equal(t, 1, r.code)
			assert.Contains(t, r.stderr, test.want)
			assert.Empty(t, r.stdout)
		})
	}
}

func TestCancelledBeforeTheOrder(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		at   string // the end of a path
	}{
		"at the question":                {nil, "(none)"},
		"while it is quoted":             {[]string{"-yes"}, "/calculate/order"},
		"while the account is looked at": {[]string{"-yes"}, "/balance"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			behind(t, fake, func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, test.at) {
					cancel()
				}
				return false
			})

			r := startWith(ctx, t, cancelling{cancel, t.Context()}, append(test.args, "-max-price", "10 USD")...)

			assert.Equal(t, 1, r.code)
			assert.Contains(t, r.stderr, "context canceled")
			assert.Regexp(t, "nothing was (bought|spent)\n$", r.stderr)
			assert.NotContains(t, sent(fake), "POST /order")
		})
	}
}

// cancelling is somebody who answers a question with Ctrl-C.
type cancelling struct {
	cancel context.CancelFunc
	test   context.Context
}

func (c cancelling) Read([]byte) (int, error) {
	c.cancel()
	<-c.test.Done()
	return 0, io.EOF
}
