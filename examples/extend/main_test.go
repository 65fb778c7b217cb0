package main

import (
	"context"
	"flag"
	"os"
	"strings"
	"sync/atomic"
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
	assert.NotContains(t, strings.ToLower(out.String()+errOut.String()), strings.ToLower(testKey))
	return code, out.String(), errOut.String()
}

// withKey makes the program take a fake for the real service. Its account holds two
// IPv4 proxies, an IPv6 order of three and a MOBILE proxy that end in under 5 days,
// and ISP that ends in under 30.
func withKey(t *testing.T, opts ...youproxytest.Option) *youproxytest.Server {
	t.Helper()
	fake := youproxytest.NewServer(append(opts, youproxytest.WithAPIKey(testKey))...)
	t.Cleanup(fake.Close)
	soon := time.Now().AddDate(0, 0, -25)
	for _, o := range []youproxytest.Order{
		{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2, CreatedAt: soon},
		{ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 3, CreatedAt: soon},
		{ProxyType: youproxy.ProxyTypeMobile, Country: "GBR", Quantity: 1, CreatedAt: soon},
		{ProxyType: youproxy.ProxyTypeISP, Country: "FRA", Quantity: 1},
	} {
		fake.AddOrder(o)
	}
	t.Setenv("YOUPROXY_API_KEY", testKey)
	t.Setenv("YOUPROXY_BASE_URL", fake.URL())
	return fake
}

// The total of what ends in under 5 days, for 30 days: 2.62 + 0.81 + 18.5.
const total30 = "21.93 USD"

// ops gives what was asked for, in order.
func ops(fake *youproxytest.Server) (list []string) {
	for _, r := range fake.Requests() {
		list = append(list, r.Op)
	}
	return list
}

var quoteOps = []string{
	"GET /ipAddress", "POST /calculate/extend", "POST /calculate/extend/order", "POST /calculate/extend",
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

func TestTheCommandThatIsShownBuys(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", "")
	args := []string{"-type", "IPv6", "-promo", "SPRING"}
	_, stdout, _ := start(t.Context(), t, args...)
	assert.Contains(t, stdout, `  go run ./examples/extend -type IPv6 -within 7 -days 30 -promo 'SPRING' -buy -max-price '0.98 USD'`+"\n")

	code, stdout, stderr := start(t.Context(), t, append(args, "-within", "7", "-days", "30", "-buy", "-max-price", "0.98 USD")...)
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "IPv6    4 of 4 extended by 30 days, which leaves 99.02 USD\n")
}

func TestAKeyAloneOnlyQuotes(t *testing.T) {
	for name, args := range map[string][]string{"no flags": nil, "only max-price": {"-max-price", "100 USD"}} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			code, stdout, stderr := start(t.Context(), t, args...)
			assert.Equal(t, 0, code, stderr)
			assert.Contains(t, stdout, "Proxies to extend, as they end within 7 days: 6\n")
			assert.Contains(t, stdout, "This is only a quote. To extend:\n  go run ./examples/extend -within 7 -days 30 -buy -max-price '"+total30+"'\n")
			assert.Equal(t, quoteOps, ops(fake))
			assert.Empty(t, fake.Extensions())
		})
	}
}

func TestNothingEnds(t *testing.T) {
	fake := withKey(t)
	code, stdout, stderr := start(t.Context(), t, "-within", "3", "-buy", "-max-price", "100 USD")
	assert.Equal(t, 0, code, stderr)
	assert.Equal(t, "\nProxies to extend, as they end within 3 days: 0\n", stdout)
	assert.Equal(t, []string{"GET /ipAddress"}, ops(fake))
}

func TestBuy(t *testing.T) {
	fake := withKey(t, youproxytest.WithPromoCode("TENTH", 10))
	ips := fake.IPAddresses()

	code, stdout, stderr := start(t.Context(), t, "-days", "360", "-promo", "TENTH", "-type", "ipv4", "-buy", "-max-price", "100 USD")
	require.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "28.3 USD, promo code VALID, discount 10 %")
	assert.Contains(t, stdout, "IPv4    2 of 2 extended by 360 days, which leaves 71.7 USD\n")

	code, stdout, stderr = start(t.Context(), t, "-buy", "-max-price", "100 USD")
	require.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "IPv6    3 of 3 extended by 30 days, which leaves 70.89 USD\n")
	assert.Contains(t, stdout, "MOBILE  1 of 1 extended by 30 days, which leaves 52.39 USD\n")

	done := fake.Extensions()
	require.Len(t, done, 3)
	assert.Equal(t, []youproxy.IPAddressID{ips[0].ID, ips[1].ID}, done[0].IPAddressIDs)
	assert.Nil(t, done[0].OrderIDs)
	assert.Equal(t, "TENTH", done[0].PromoCode)
	assert.Equal(t, 360, done[0].RentPeriodDays)
	assert.Equal(t, []youproxy.OrderID{ips[2].OrderID}, done[1].OrderIDs, "IPv6 is extended as whole orders")
	assert.Len(t, done[1].IPAddressIDs, 3)
	assert.Empty(t, done[1].PromoCode)
	assert.Equal(t, []youproxy.IPAddressID{ips[5].ID}, done[2].IPAddressIDs)
}

func TestAllIsQuotedBeforeAnythingIsBought(t *testing.T) {
	fake := withKey(t)
	code, _, stderr := start(t.Context(), t, "-buy", "-max-price", total30)
	require.Equal(t, 0, code, stderr, "the limit itself is allowed")
	assert.Equal(t, append(quoteOps[:4:4], "POST /extend", "POST /extend/order", "POST /extend"), ops(fake))
}

func TestBuyStopsBeforeTheFirstExtension(t *testing.T) {
	for name, test := range map[string]struct {
		balance string
		args    []string
		spoil   func(*youproxytest.Server)
		want    string
	}{
		"sum above the limit":    {"100 USD", []string{"-max-price", "21.92 USD"}, nil, "the price of 21.93 USD is above the limit of 21.92 USD"},
		"another currency":       {"100 USD", []string{"-max-price", "100 EUR"}, nil, "currencies"},
		"sum above the balance":  {"19 USD", []string{"-max-price", "100 USD"}, nil, "the price of 21.93 USD is above the balance of 19 USD"},
		"a warning":              {"10 USD", []string{"-max-price", "100 USD"}, nil, `the service would not extend MOBILE: "Insufficient funds on balance"`},
		"promo code not valid":   {"100 USD", []string{"-max-price", "100 USD", "-promo", "EXPIRED"}, nil, "the promo code is not valid for IPv4"},
		"period not sold of all": {"100 USD", []string{"-max-price", "100 USD", "-days", "60"}, nil, "IPv6: youproxy: POST /calculate/extend/order: refused"},
		"request breaks rules":   {"100 USD", []string{"-max-price", "100 USD", "-promo", " SPACE"}, nil, "promoCode must be"},
		"list refused":           {"100 USD", []string{"-max-price", "100 USD"}, func(f *youproxytest.Server) { f.Refuse("GET /ipAddress", 3) }, "GET /ipAddress: refused"},
		"list breaks off":        {"100 USD", []string{"-max-price", "100 USD"}, func(f *youproxytest.Server) { f.Inject("GET /ipAddress", youproxytest.Truncated) }, "GET /ipAddress"},
		"quote without answer":   {"100 USD", []string{"-max-price", "100 USD"}, func(f *youproxytest.Server) { f.Inject("POST /calculate/extend", youproxytest.EchoKey) }, "IPv4: youproxy: POST /calculate/extend: HTTP status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t, youproxytest.WithBalance(youproxy.MustMoney(test.balance)))
			if test.spoil != nil {
				test.spoil(fake)
			}
			code, _, stderr := start(t.Context(), t, append(test.args, "-buy")...)
			assert.Equal(t, 1, code)
			assert.Contains(t, stderr, test.want)
			assert.Contains(t, stderr, "extend: nothing was extended\n")
			assert.Empty(t, fake.Extensions())
			assert.NotContains(t, ops(fake), "POST /extend")
			assert.NotContains(t, ops(fake), "POST /extend/order")
		})
	}
}

func TestAQuoteThatCouldNotBeBoughtSaysSo(t *testing.T) {
	withKey(t, youproxytest.WithBalance(youproxy.MustMoney("19 USD")))
	code, stdout, stderr := start(t.Context(), t)
	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, stdout, "This is only a quote, and it could not be bought: the price of 21.93 USD is above the balance of 19 USD.\n")
	assert.NotContains(t, stdout, "-buy")
}

func TestARefusedQuoteDoesNotHideTheOthers(t *testing.T) {
	withKey(t)
	code, stdout, stderr := start(t.Context(), t, "-days", "90")
	assert.Equal(t, 1, code)
	assert.Contains(t, stdout, "7.86 USD")
	assert.Contains(t, stdout, "2.43 USD")
	assert.NotContains(t, stdout, "Total")
	assert.Contains(t, stderr, "MOBILE: youproxy: POST /calculate/extend: refused")
}

func TestWhatBecameOfTheMoney(t *testing.T) {
	const (
		notTriedIPv6   = "IPv6    not tried, after the error before\n"
		notTriedMobile = "MOBILE  not tried, after the error before\n"
	)
	for name, test := range map[string]struct {
		op       string
		fault    youproxytest.Fault
		want     []string
		extended []youproxy.ProxyType
	}{
		"refused, so the rest follows": {
			"POST /extend", youproxytest.TooManyRequests,
			[]string{"IPv4    not extended: the service refused\n", "IPv6    3 of 3 extended", "MOBILE  1 of 1 extended"},
			[]youproxy.ProxyType{youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile},
		},
		"no answer": {
			"POST /extend", youproxytest.DropBeforeCommit,
			[]string{"IPv4    may have been extended: look at when it ends before you try again\n", notTriedIPv6, notTriedMobile},
			nil,
		},
		"no answer, but extended": {
			"POST /extend/order", youproxytest.DropAfterCommit,
			[]string{"IPv4    2 of 2 extended", "IPv6    may have been extended", notTriedMobile},
			[]youproxy.ProxyType{youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6},
		},
		"an answer cut short": {
			"POST /extend/order", youproxytest.Truncated,
			[]string{"IPv4    2 of 2 extended", "IPv6    may have been extended", notTriedMobile},
			[]youproxy.ProxyType{youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6},
		},
		"an unknown error of the service": {
			"POST /extend", youproxytest.ServiceFault,
			[]string{"IPv4    may have been extended", notTriedIPv6, notTriedMobile},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			fake.Inject(test.op, test.fault)
			code, stdout, stderr := start(t.Context(), t, "-buy", "-max-price", "100 USD")
			assert.Equal(t, 1, code)
			for _, line := range test.want {
				assert.Contains(t, stdout, line)
			}
			assert.Contains(t, stderr, "youproxy: "+test.op+": ")
			var extended []youproxy.ProxyType
			for _, e := range fake.Extensions() {
				extended = append(extended, e.ProxyType)
			}
			assert.Equal(t, test.extended, extended)
		})
	}
}

func TestAPlainRefusalIsTheOnlyErrorShown(t *testing.T) {
	fake := withKey(t)
	fake.Refuse("POST /extend/order", 28)
	code, stdout, stderr := start(t.Context(), t, "-buy", "-max-price", "100 USD")
	assert.Equal(t, 1, code)
	assert.Contains(t, stdout, "IPv6    not extended: the service refused\nMOBILE  1 of 1 extended by 30 days")
	assert.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	assert.Len(t, fake.Extensions(), 2)
}

func TestUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":        {[]string{"-color"}, "not defined"},
		"unknown type":        {[]string{"-type", "IPv5"}, "must be IPv4, IPv6, MOBILE or ISP"},
		"not a number":        {[]string{"-days", "many"}, "days"},
		"within no days":      {[]string{"-within", "0"}, "-within and -days must be 1 or more"},
		"by no days":          {[]string{"-days", "-30"}, "-within and -days must be 1 or more"},
		"not money":           {[]string{"-buy", "-max-price", "1.50"}, "is not money"},
		"buy without a limit": {[]string{"-buy"}, "-buy needs -max-price"},
		"a blank promo code":  {[]string{"-promo", ""}, "-promo is blank"},
		"more than flags":     {[]string{"-type", "ISP", "USA"}, `"USA" is not a flag`},
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
	assert.Contains(t, stderr, "nothing was extended")
}

// when does something as soon as a text is printed, such as Ctrl-C.
type when struct {
	*strings.Builder

	text string
	do   func()
}

func (w when) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		w.do()
	}
	return w.Builder.Write(p)
}

func TestAPromoCodeThatEndsAfterTheQuoteStopsTheRest(t *testing.T) {
	var later atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	fake := withKey(t, youproxytest.WithClock(clock), youproxytest.WithPromoCodes(
		youproxytest.PromoCode{Code: "TENTH", Percent: 10, End: time.Now().Add(time.Hour)},
	))
	var stdout, stderr strings.Builder

	code := run(t.Context(), []string{"-promo", "TENTH", "-buy", "-max-price", "100 USD"},
		when{&stdout, "Balance", func() { later.Store(int64(2 * time.Hour)) }}, &stderr)

	assert.Equal(t, 1, code)
	assert.Contains(t, stdout.String(), "IPv4    2 of 2 extended by 30 days, which leaves 97.38 USD\nIPv6    not tried, after the error before\n")
	assert.Equal(t, "extend: IPv4: it was extended, but the promo code was not taken this time: the full price was charged\n", stderr.String())
	assert.Len(t, fake.Extensions(), 1)
}

func TestCancelled(t *testing.T) {
	for at, test := range map[string]struct {
		calls int
		want  string
	}{
		"Proxies to extend":       {1, "nothing was extended"},
		"Balance":                 {4, "extend: IPv4: youproxy: POST /extend: "},
		"IPv4    2 of 2 extended": {5, "extend: IPv6: youproxy: POST /extend/order: "},
	} {
		t.Run(at, func(t *testing.T) {
			fake := withKey(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var stdout, stderr strings.Builder

			code := run(ctx, []string{"-buy", "-max-price", "100 USD"}, when{&stdout, at, cancel}, &stderr)

			assert.Equal(t, 1, code)
			assert.Contains(t, stderr.String(), test.want)
			assert.Contains(t, stderr.String(), "context canceled")
			assert.Len(t, fake.Requests(), test.calls)
			if test.calls > 1 {
				assert.Contains(t, stdout.String(), "not extended; it is safe to try again\n")
				assert.Contains(t, stdout.String(), "MOBILE  not tried, after the error before\n")
			}
		})
	}
}

func TestPlan(t *testing.T) {
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	in := func(days int) time.Time { return now.AddDate(0, 0, days) }
	all := []youproxy.Proxy{
		{ID: "due", OrderID: "A", ProxyType: youproxy.ProxyTypeISP, End: in(7)},
		{ID: "later", OrderID: "A", ProxyType: youproxy.ProxyTypeISP, End: in(7).Add(time.Second)},
		{ID: "another order", OrderID: "B", ProxyType: youproxy.ProxyTypeISP, End: in(1)},
		{ID: "automatic", OrderID: "C", ProxyType: youproxy.ProxyTypeISP, End: in(1), AutoExtend: true},
		{ID: "automatic, but later", OrderID: "C", ProxyType: youproxy.ProxyTypeISP, End: in(30), AutoExtend: true},
		{ID: "ended", OrderID: "C", ProxyType: youproxy.ProxyTypeISP, End: now},
		{ID: "unknown", OrderID: "C", ProxyType: youproxy.ProxyTypeISP},
		{ID: "automatic, with an unknown end", OrderID: "C", ProxyType: youproxy.ProxyTypeISP, AutoExtend: true},
		{ID: "perhaps automatic", OrderID: "C", ProxyType: youproxy.ProxyTypeISP, End: in(1), AutoExtendUnknown: true},
		{ID: "all unknown", OrderID: "C", ProxyType: youproxy.ProxyTypeISP, AutoExtendUnknown: true},
		{ID: "6 later", OrderID: "D", ProxyType: youproxy.ProxyTypeIPv6, End: in(30)},
		{ID: "6 unknown", OrderID: "D", ProxyType: youproxy.ProxyTypeIPv6},
		{ID: "6 due", OrderID: "D", ProxyType: youproxy.ProxyTypeIPv6, End: in(3)},
		{ID: "6 not due", OrderID: "E", ProxyType: youproxy.ProxyTypeIPv6, End: in(30)},
		{ID: "6 due beside an automatic one", OrderID: "F", ProxyType: youproxy.ProxyTypeIPv6, End: in(3)},
		{ID: "6 automatic", OrderID: "F", ProxyType: youproxy.ProxyTypeIPv6, End: in(30), AutoExtend: true},
		{ID: "6 due beside one that is perhaps automatic", OrderID: "G", ProxyType: youproxy.ProxyTypeIPv6, End: in(3)},
		{ID: "6 unknown beside it", OrderID: "G", ProxyType: youproxy.ProxyTypeIPv6},
		{ID: "6 unknown beside an automatic one", OrderID: "H", ProxyType: youproxy.ProxyTypeIPv6},
		{ID: "6 automatic, with an unknown end", OrderID: "H", ProxyType: youproxy.ProxyTypeIPv6, AutoExtend: true},
		{ID: "6 perhaps automatic", OrderID: "G", ProxyType: youproxy.ProxyTypeIPv6, End: in(3), AutoExtendUnknown: true},
	}
	o := &options{within: 7, days: 60, promo: "TENTH"}

	batches, left := plan(all, o, now)

	assert.Equal(t, "3 set to extend automatically; 3 that may be set to extend automatically: the list does not say it in a known form; "+
		"4 in an IPv6 order with others that extend automatically, or may; 1 ended already; 1 with an end that is not known", left.String())
	require.Len(t, batches, 2)
	assert.Equal(t, youproxy.ExtendIPsRequest{
		ProxyType: youproxy.ProxyTypeISP, IPAddressIDs: []youproxy.IPAddressID{"due", "another order"}, RentPeriodDays: 60, PromoCode: "TENTH",
	}, batches[0].request(o))
	assert.Equal(t, []youproxy.OrderID{"A", "B"}, batches[0].orders)
	assert.Equal(t, in(1), batches[0].firstEnd())
	assert.Equal(t, youproxy.ExtendOrdersRequest{
		ProxyType: youproxy.ProxyTypeIPv6, OrderIDs: []youproxy.OrderID{"D"}, RentPeriodDays: 60, PromoCode: "TENTH",
	}, batches[1].request(o))
	assert.Len(t, batches[1].proxies, 3, "the whole order")
	assert.Equal(t, in(3), batches[1].firstEnd())
}

func TestAnEndThatIsNotKnownIsAnError(t *testing.T) {
	for name, args := range map[string][]string{"quote": nil, "buy": {"-buy", "-max-price", "100 USD"}} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			fake.SetListShape(youproxytest.ListShape{Template: `{"success": true,
				"ISP": [{"ipAddressId": "77", "ip": "192.0.2.1", "dateEnd": "at noon"}],
				"IPv4": [{"ipAddressId": "` + string(fake.IPAddresses()[0].ID) + `", "ip": "192.0.2.2", "orderId": "1", "dateEnd": "` +
				time.Now().AddDate(0, 0, 5).Format(time.RFC3339) + `"}]}`})
			code, stdout, stderr := start(t.Context(), t, args...)
			assert.Equal(t, 1, code)
			assert.Contains(t, stdout, "Left out: 1 with an end that is not known\n")
			assert.Contains(t, stdout, "1.31 USD", "the rest goes on")
			assert.Equal(t, "extend: the end of 1 proxies is not known, so they were left out: they may end soon\n", stderr)
			assert.Len(t, fake.Extensions(), len(args)/3)
		})
	}
}

func TestNothingButEndsThatAreNotKnown(t *testing.T) {
	fake := withKey(t)
	fake.SetListShape(youproxytest.ListShape{Extra: map[string]any{"dateEnd": "at noon"}})
	code, stdout, stderr := start(t.Context(), t, "-buy", "-max-price", "100 USD")
	assert.Equal(t, 1, code)
	assert.Equal(t, "\nProxies to extend, as they end within 7 days: 0\nLeft out: 7 with an end that is not known\n", stdout)
	assert.Contains(t, stderr, "extend: the end of 7 proxies is not known")
	assert.Equal(t, []string{"GET /ipAddress"}, ops(fake))
}

func TestTotalIsExact(t *testing.T) {
	of := func(prices ...string) (batches []*batch) {
		for _, p := range prices {
			batches = append(batches, &batch{quote: &youproxy.Quote{Price: youproxy.MustMoney(p)}})
		}
		return batches
	}
	sum, err := total(of("0.1 USD", "0.2 USD", "10000000000000000 USD"))
	require.NoError(t, err)
	assert.Equal(t, "10000000000000000.3 USD", sum.String())

	_, err = total(of("0.1 USD", "0.2 EUR"))
	assert.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
}

func TestCompareTellsWhatWasNotQuoted(t *testing.T) {
	b := &batch{proxies: make([]youproxy.Proxy, 2)}
	valid := youproxy.PromoCodeValid
	assert.NoError(t, b.compare(&youproxy.Extension{Quantity: 2}, &options{}))
	assert.NoError(t, b.compare(&youproxy.Extension{Quantity: 2, PromoCodeStatus: valid}, &options{promo: "TENTH"}))
	assert.ErrorContains(t, b.compare(&youproxy.Extension{Quantity: 1}, &options{}), "1 proxies in place of 2")
	assert.ErrorContains(t, b.compare(&youproxy.Extension{Quantity: 2, PromoCodeStatus: youproxy.PromoCodeNotValid}, &options{promo: "TENTH"}), "the full price was charged")
}

func TestThePromoCodeIsQuotedForTheShell(t *testing.T) {
	o := &options{within: 7, days: 30, promo: "$(reboot)'s"}
	assert.Equal(t, `go run ./examples/extend -within 7 -days 30 -promo '$(reboot)'\''s' -buy -max-price '1 USD'`, o.command(youproxy.MustMoney("1 USD")))
}
