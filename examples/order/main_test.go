package main

import (
	"context"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

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
	shown := strings.ToLower(out.String() + errOut.String())
	assert.NotContains(t, shown, strings.ToLower(testKey))
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

func withoutKey(t *testing.T) {
	t.Helper()
	t.Setenv("YOUPROXY_API_KEY", "")
}

func TestTour(t *testing.T) {
	withoutKey(t)
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
	withoutKey(t)

	code, stdout, stderr := start(t.Context(), t, "-type", "isp", "-country", "GBR")
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "YOUPROXY_API_KEY is not set")
	assert.Contains(t, stdout, "1 x ISP, GBR, 30 days")
	assert.Contains(t, stdout, "only a quote")

	code, stdout, stderr = start(t.Context(), t, "-type", "isp", "-buy", "-max-price", "20 USD")
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "Ordered ")
}

func TestAKeyAloneOnlyQuotes(t *testing.T) {
	for name, args := range map[string][]string{
		"no flags":       nil,
		"an order":       {"-type", "IPv6", "-protocol", "socks"},
		"only max-price": {"-max-price", "100 USD"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			code, stdout, stderr := start(t.Context(), t, args...)
			assert.Equal(t, 0, code, stderr)
			assert.Contains(t, stdout, "only a quote")
			require.Len(t, fake.Requests(), 1)
			assert.Equal(t, "POST /calculate/order", fake.Requests()[0].Op)
		})
	}
}

func TestBuy(t *testing.T) {
	const promo = "TENTH"
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"IPv4":   {nil, `{"proxyType":"IPv4","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN"}`},
		"IPv6":   {[]string{"-type", "ipv6", "-quantity", "10", "-protocol", "socks"}, `{"proxyType":"IPv6","quantity":10,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN","protocol":"SOCKS"}`},
		"MOBILE": {[]string{"-type", "mobile", "-operator", "tmobile", "-rotation", "600"}, `{"proxyType":"MOBILE","quantity":1,"rentPeriodDays":30,"country":"USA","goal":"price monitoring","authType":"LOGIN","rotationTime":600,"mobileOperator":"tmobile"}`},
		"ISP":    {[]string{"-type", "ISP", "-country", "NLD", "-days", "60", "-goal", "ad checks", "-promo", promo, "-auth-ip", "192.0.2.7"}, `{"proxyType":"ISP","quantity":1,"rentPeriodDays":60,"country":"NLD","goal":"ad checks","authType":"IP","authIp":"192.0.2.7","promoCode":"TENTH"}`},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t, youproxytest.WithPromoCode(promo, 10))
			code, stdout, stderr := start(t.Context(), t, append(test.args, "-buy", "-max-price", "100 USD")...)
			require.Equal(t, 0, code, stderr)
			require.Len(t, fake.Orders(), 1)
			assert.Contains(t, stdout, string(fake.Orders()[0].Number))
			requests := fake.Requests()
			assert.JSONEq(t, test.want, string(requests[len(requests)-1].Body))
		})
	}
}

func TestBuyAtExactlyTheLimit(t *testing.T) {
	fake := withKey(t)
	client, err := fake.Client()
	require.NoError(t, err)
	quote, err := client.QuoteOrder(t.Context(), (&options{country: "USA", quantity: 1, days: 30, goal: "price monitoring"}).request())
	require.NoError(t, err)

	code, _, stderr := start(t.Context(), t, "-buy", "-max-price", quote.Price.String())

	assert.Equal(t, 0, code, stderr)
	assert.Len(t, fake.Orders(), 1)
}

func TestBuyStopsBeforeTheOrder(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"price above the limit": {[]string{"-max-price", "0.01 USD"}, "above the limit of 0.01 USD"},
		"another currency":      {[]string{"-max-price", "100 EUR"}, "currencies"},
		"goal not accepted":     {[]string{"-max-price", "100 USD", "-goal", "spam"}, "Incorrect goal"},
		"balance too small":     {[]string{"-max-price", "9999 USD", "-quantity", "999"}, "Insufficient funds"},
		"promo code not valid":  {[]string{"-max-price", "100 USD", "-promo", "EXPIRED"}, "promo code is not valid"},
		"country not sold":      {[]string{"-max-price", "100 USD", "-country", "ATA"}, "country"},
		"request breaks rules":  {[]string{"-max-price", "100 USD", "-country", "usa", "-quantity", "0"}, "quantity must be 1 or more; country must be"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			code, _, stderr := start(t.Context(), t, append(test.args, "-buy")...)
			assert.Equal(t, 1, code)
			assert.Contains(t, stderr, test.want)
			assert.Contains(t, stderr, "order: nothing was ordered\n")
			assert.Empty(t, fake.Orders())
			for _, r := range fake.Requests() {
				assert.NotEqual(t, "POST /order", r.Op)
			}
		})
	}
}

func TestWhatBecameOfTheMoney(t *testing.T) {
	for name, test := range map[string]struct {
		fault  youproxytest.Fault
		want   string
		orders int
	}{
		"refused":               {youproxytest.TooManyRequests, "nothing was ordered: the service refused", 0},
		"a page with the key":   {youproxytest.EchoKey, "nothing was ordered: the service refused", 0},
		"a redirect":            {youproxytest.Redirect, "the order may have been placed", 0},
		"no answer":             {youproxytest.DropBeforeCommit, "the order may have been placed", 0},
		"no answer, but placed": {youproxytest.DropAfterCommit, "the order may have been placed", 1},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			fake.Inject("POST /order", test.fault)
			code, _, stderr := start(t.Context(), t, "-buy", "-max-price", "100 USD")
			assert.Equal(t, 1, code)
			assert.Contains(t, stderr, test.want)
			assert.Len(t, fake.Orders(), test.orders)
		})
	}
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
		"not money":              {[]string{"-buy", "-max-price", "1.50"}, "is not money"},
		"buy without a limit":    {[]string{"-buy"}, "-buy needs -max-price"},
		"a blank promo code":     {[]string{"-promo", ""}, "-promo is blank"},
		"operator of IPv4":       {[]string{"-operator", "verizon"}, "MOBILE only"},
		"rotation of ISP":        {[]string{"-type", "ISP", "-rotation", "300"}, "MOBILE only"},
		"protocol of MOBILE":     {[]string{"-type", "MOBILE", "-protocol", "HTTP"}, "IPv6 only"},
		"more than flags":        {[]string{"-type", "ISP", "USA"}, `"USA" is not a flag`},
		"price without its unit": {[]string{"-buy", "-max-price", "1.50", "USD"}, "is not money"},
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
	assert.Contains(t, stderr, "-max-price")
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
	code, _, stderr := start(ctx, t, "-buy", "-max-price", "100 USD")
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "context canceled")
	assert.Empty(t, fake.Requests())

	withoutKey(t)
	code, _, stderr = start(ctx, t)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "context canceled")
}

func TestCancelledWhileWaiting(t *testing.T) {
	fake := withKey(t)
	fake.Inject("POST /calculate/order", youproxytest.Slow)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	began := time.Now()
	code, _, _ := start(ctx, t)

	assert.Equal(t, 1, code)
	assert.Less(t, time.Since(began), 5*time.Second)
}

// cancelAt is a Ctrl-C that comes when a text is printed.
type cancelAt struct {
	text   string
	cancel context.CancelFunc
}

func (c cancelAt) Write(p []byte) (int, error) {
	if strings.Contains(string(p), c.text) {
		c.cancel()
	}
	return len(p), nil
}

func TestCancelledBetweenQuoteAndOrder(t *testing.T) {
	fake := withKey(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr strings.Builder

	code := run(ctx, []string{"-buy", "-max-price", "100 USD"}, cancelAt{"Price", cancel}, &stderr)

	assert.Equal(t, 1, code)
	assert.Contains(t, stderr.String(), "nothing was ordered; it is safe to try again")
	require.Len(t, fake.Requests(), 1, "only the quote was sent")
	assert.Empty(t, fake.Orders())
}

func TestCheckStopsAMissingPromoCodeStatus(t *testing.T) {
	o := &options{promo: "TENTH", maxPrice: youproxy.MustMoney("2 USD")}
	assert.Error(t, o.check(&youproxy.Quote{Price: youproxy.MustMoney("1 USD")}))
}
