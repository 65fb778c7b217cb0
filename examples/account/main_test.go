package main

import (
	"context"
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

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

// ops gives what was asked for, each thing with how often.
func ops(fake *youproxytest.Server) map[string]int {
	count := map[string]int{}
	for _, r := range fake.Requests() {
		count[r.Op]++
	}
	return count
}

// noSpaces makes rows of a table comparable, whatever the widths of its columns.
func noSpaces(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	return strings.Join(lines, "\n")
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

func TestAsksForTheShortestPeriodInEachCountry(t *testing.T) {
	fake := withKey(t)

	code, stdout, stderr := start(t.Context(), t)

	require.Equal(t, 0, code, stderr)
	assert.Contains(t, noSpaces(stdout), "Code Country 30 days\nUSA United States 1.31 USD\n")
	assert.Contains(t, stdout, "No promo codes")
	assert.Equal(t, map[string]int{
		"GET /balance": 1, "GET /proxyType": 1, "GET /rentPeriod": 4, "GET /country": 4,
		"GET /mobileOperator": 1, "GET /promoCode": 1, "POST /calculate/order": 5 + 5 + 4 + 5,
	}, ops(fake))
}

func TestFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args   []string
		quotes int
		want   string // among the rows
	}{
		"a type":             {[]string{"-type", "isp"}, 5, "Code Country 30 days\nUSA United States 2.4 USD\n"},
		"a country":          {[]string{"-type", "IPv6", "-country", "deu"}, 4, "Code Country 30 days 90 days 180 days 360 days\nDEU Germany 0.27 USD 0.81 USD 1.62 USD 3.24 USD\n"},
		"a period":           {[]string{"-type", "IPv4", "-days", "90"}, 5, "NLD Netherlands 3.93 USD\n"},
		"country and period": {[]string{"-type", "mobile", "-country", "USA", "-days", "30"}, 2, "Code Country Operator Rotation in seconds 30 days\nUSA United States verizon 120, 300, 600 18.5 USD\nUSA United States tmobile 300, 600 18.5 USD\n"},
		"period not sold":    {[]string{"-type", "IPv6", "-days", "60"}, 5, "FRA France \"Incorrect rent period\" (code 11)\n"},
		"country not sold":   {[]string{"-type", "IPv4", "-country", "ATA", "-days", "30"}, 1, "ATA \"Country is not available\" (code 7)\n"},
		"no operator there":  {[]string{"-type", "MOBILE", "-country", "FRA"}, 0, "FRA none known none known - -\n"},
		"goal not accepted":  {[]string{"-type", "IPv4", "-country", "USA", "-days", "30", "-goal", "spam"}, 1, "USA United States 1.31 USD *\n* would be refused now: \"Incorrect goal\" (code 14)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			code, stdout, stderr := start(t.Context(), t, test.args...)
			assert.Equal(t, 0, code)
			assert.Empty(t, stderr)
			assert.Contains(t, noSpaces(stdout), test.want)
			assert.Equal(t, test.quotes, ops(fake)["POST /calculate/order"])
		})
	}
}

func TestTheGoalIsSent(t *testing.T) {
	fake := withKey(t)
	code, _, stderr := start(t.Context(), t, "-type", "ISP", "-country", "GBR", "-days", "30", "-goal", "ad checks")
	require.Equal(t, 0, code, stderr)
	for _, r := range fake.Requests() {
		if r.Op == "POST /calculate/order" {
			assert.JSONEq(t, `{"proxyType":"ISP","quantity":1,"rentPeriodDays":30,"country":"GBR","goal":"ad checks"}`, string(r.Body))
		}
	}
}

func TestAWarningDoesNotHideThePrice(t *testing.T) {
	withKey(t, youproxytest.WithBalance(youproxy.MustMoney("1 USD")))
	code, stdout, stderr := start(t.Context(), t, "-type", "IPv6", "-country", "USA", "-goal", "spam")
	require.Equal(t, 0, code, stderr)
	assert.Contains(t, noSpaces(stdout), "USA United States 0.27 USD * 0.81 USD * 1.62 USD * 3.24 USD *\n"+
		"* would be refused now: \"Incorrect goal\" (code 14)\n"+
		"* would be refused now: \"Insufficient funds on balance\" (code 16)\n")
}

func TestARefusedPriceStandsInItsCell(t *testing.T) {
	fake := withKey(t)
	fake.Refuse("POST /calculate/order", 7)
	code, stdout, stderr := start(t.Context(), t, "-type", "IPv4", "-country", "USA")
	require.Equal(t, 0, code, stderr)
	assert.Contains(t, noSpaces(stdout), "USA United States \"Country is not available\" (code 7) 2.62 USD 3.93 USD 7.86 USD 15.72 USD\n")
}

func TestAMissingPartIsSkipped(t *testing.T) {
	for op, test := range map[string]struct {
		problem string
		shown   []string
		hidden  string
	}{
		"GET /proxyType":      {"going on without the list of proxy types", []string{"IPv4,", "IPv6,", "MOBILE,", "ISP,", "SPRING"}, "nothing"},
		"GET /rentPeriod":     {"going on without the prices of IPv4", []string{"IPv6,", "MOBILE,", "ISP,", "SPRING"}, "IPv4,"},
		"GET /country":        {"going on without the prices of IPv4", []string{"IPv6,", "MOBILE,", "ISP,", "SPRING"}, "IPv4,"},
		"GET /mobileOperator": {"going on without the prices of MOBILE", []string{"IPv4,", "IPv6,", "ISP,", "SPRING"}, "MOBILE,"},
		"GET /promoCode":      {"going on without the promo codes", []string{"IPv4,", "IPv6,", "MOBILE,", "ISP,"}, "Promo codes"},
	} {
		for name, spoil := range map[string]func(*youproxytest.Server){
			"refused": func(fake *youproxytest.Server) { fake.Refuse(op, 35) },
			"unread":  func(fake *youproxytest.Server) { fake.Inject(op, youproxytest.HTMLPage) },
		} {
			t.Run(op+" "+name, func(t *testing.T) {
				fake := withKey(t, youproxytest.WithPromoCode("SPRING", 10))
				spoil(fake)
				code, stdout, stderr := start(t.Context(), t)
				assert.Equal(t, 1, code)
				assert.Contains(t, stderr, test.problem)
				for _, shown := range test.shown {
					assert.Contains(t, stdout, shown)
				}
				assert.NotContains(t, stdout, test.hidden)
			})
		}
	}
}

func TestAnErrorEndsIt(t *testing.T) {
	for name, spoil := range map[string]func(*youproxytest.Server){
		"balance refused":      func(fake *youproxytest.Server) { fake.Refuse("GET /balance", 2) },
		"redirect":             func(fake *youproxytest.Server) { fake.Inject("GET /proxyType", youproxytest.Redirect) },
		"a page with the key":  func(fake *youproxytest.Server) { fake.Inject("GET /country", youproxytest.EchoKey) },
		"price without answer": func(fake *youproxytest.Server) { fake.Inject("POST /calculate/order", youproxytest.EchoKey) },
	} {
		t.Run(name, func(t *testing.T) {
			fake := withKey(t)
			spoil(fake)
			code, stdout, stderr := start(t.Context(), t)
			assert.Equal(t, 1, code)
			assert.Contains(t, stderr, "account: youproxy: ")
			assert.NotContains(t, stdout, "romo codes")
		})
	}
}

func TestThePricesBeforeAnErrorAreShown(t *testing.T) {
	fake := withKey(t)
	fake.Refuse("POST /calculate/order", 7)
	fake.Inject("POST /calculate/order", youproxytest.EchoKey)
	code, stdout, _ := start(t.Context(), t, "-type", "IPv4")
	assert.Equal(t, 1, code)
	assert.Contains(t, noSpaces(stdout), "USA United States \"Country is not available\" (code 7)\nDEU Germany\n")
	assert.NotContains(t, stdout, "GBR")
}

// TestOtherForms is about lists of which only the names are known.
func TestOtherForms(t *testing.T) {
	t.Setenv("YOUPROXY_API_KEY", testKey)
	t.Setenv("YOUPROXY_BASE_URL", "")
	httpmock.Activate(t)
	const api = "https://youproxy.io/client/api/v1/" + testKey
	for op, reply := range map[string]string{
		"GET /balance":          `{"success":true,"balance":5,"currencyCode":"USD"}`,
		"GET /proxyType":        `{"success":true,"types":["MOBILE","SATELLITE"]}`,
		"GET /rentPeriod":       `{"success":true,"rentPeriodDays":[30]}`,
		"GET /country":          `{"success":true,"countries":["USA","usa"]}`,
		"GET /mobileOperator":   `{"success":true,"operators":["verizon",{"code":"o2","country":"Großbritannien","rotationTime":60},{"code":"ee","rotationTimes":[0]}]}`,
		"GET /promoCode":        `{"success":true,"promoCodes":[{"code":"OPEN","endDate":null}]}`,
		"POST /calculate/order": `{"success":true,"price":2,"balance":5,"currency":"USD"}`,
	} {
		method, path, _ := strings.Cut(op, " ")
		httpmock.RegisterResponder(method, api+path, httpmock.NewStringResponder(http.StatusOK, reply))
	}

	code, stdout, stderr := start(t.Context(), t)

	assert.Equal(t, 0, code, stderr)
	assert.Contains(t, noSpaces(stdout), "USA verizon none known not asked: rotationTime is missing: give the seconds between changes of address\nUSA o2 60 2 USD\nUSA ee 0 2 USD\n")
	assert.Contains(t, noSpaces(stdout), "usa o2 60 not asked: country must be three capital letters")
	assert.Contains(t, stdout, "SATELLITE, a proxy type that this program cannot order")
	assert.Contains(t, noSpaces(stdout), "OPEN 0 % 0 end not known")
}

func TestUsageErrors(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown flag":    {[]string{"-color"}, "not defined"},
		"unknown type":    {[]string{"-type", "IPv5"}, "must be IPv4, IPv6, MOBILE or ISP"},
		"country's name":  {[]string{"-country", "Germany"}, "must be three letters"},
		"no such letters": {[]string{"-country", "U5A"}, "must be three letters"},
		"no days":         {[]string{"-days", "0"}, "-days must be 1 or more"},
		"a blank goal":    {[]string{"-goal", " "}, "-goal is blank"},
		"more than flags": {[]string{"USA"}, `"USA" is not a flag`},
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
	assert.Contains(t, stderr, "-country")
}

func TestABadBaseURLIsAnError(t *testing.T) {
	withKey(t)
	t.Setenv("YOUPROXY_BASE_URL", "http://example.com")
	code, _, stderr := start(t.Context(), t)
	assert.Equal(t, 1, code)
	assert.Contains(t, stderr, "base URL")
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

func TestCancelled(t *testing.T) {
	fake := withKey(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr strings.Builder

	code := run(ctx, nil, cancelAt{"IPv6, rent periods", cancel}, &stderr)

	assert.Equal(t, 1, code)
	assert.Contains(t, stderr.String(), "context canceled")
	assert.Equal(t, 5, ops(fake)["POST /calculate/order"], "only those of IPv4 were sent")
}

func TestHolds(t *testing.T) {
	now := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC)
	for want, code := range map[string]youproxy.PromoCode{
		"without end":                       {Endless: true},
		"end not known":                     {},
		"until 2026-03-02":                  {End: now.AddDate(0, 0, 1)},
		"ended 2026-02-28":                  {End: now.AddDate(0, 0, -1)},
		"from 2026-03-02, until 2026-03-03": {Start: now.AddDate(0, 0, 1), End: now.AddDate(0, 0, 2)},
		"from 2026-03-02, without end":      {Start: now.AddDate(0, 0, 1), Endless: true},
	} {
		assert.Equal(t, want, holds(code, now))
	}
}

func TestByOperator(t *testing.T) {
	usa, deu := youproxy.Country{Code: "USA"}, youproxy.Country{Code: "DEU", Name: "Germany"}
	for name, test := range map[string]struct {
		country string // the operator's
		want    []string
	}{
		"by code":       {"usa", []string{"USA o", "DEU "}},
		"by name":       {"germany", []string{"USA ", "DEU o"}},
		"unknown":       {"Atlantis", []string{"USA o", "DEU o"}},
		"none is named": {"", []string{"USA o", "DEU o"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, o := range byOperator([]offer{{country: usa}, {country: deu}},
				[]youproxy.MobileOperator{{Tag: "o", Country: test.country}}, []youproxy.Country{usa, deu}) {
				got = append(got, o.country.Code+" "+o.operator.Tag)
			}
			assert.Equal(t, test.want, got)
		})
	}
}
