package youproxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

func TestProxyTypesInEachForm(t *testing.T) {
	four := []youproxy.ProxyType{youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP}
	none := []youproxy.ProxyType{}
	for _, tt := range []struct {
		name, members string
		want          []youproxy.ProxyType
	}{
		{"proxyTypes", `"proxyTypes": ["IPv4", "IPv6", "MOBILE", "ISP"]`, four},
		{"types", `"types": ["IPv4", "IPv6", "MOBILE", "ISP"]`, four},
		{"items", `"items": ["IPv4", "IPv6", "MOBILE", "ISP"]`, four},
		{"objects with proxyType", `"proxyTypes": [{"proxyType": "IPv4"}, {"proxyType": "ISP", "more": [1]}]`, []youproxy.ProxyType{"IPv4", "ISP"}},
		{"objects with code", `"types": [{"code": "IPv4"}, {"id": 2, "code": "ISP"}]`, []youproxy.ProxyType{"IPv4", "ISP"}},
		{"objects with name", `"items": [{"name": "IPv4"}, {"name": "ISP"}]`, []youproxy.ProxyType{"IPv4", "ISP"}},
		{"objects with title", `"proxyTypes": [{"title": "IPv4"}, {"title": "ISP"}]`, []youproxy.ProxyType{"IPv4", "ISP"}},
		{"the likeliest of several members", `"types": [{"title": "d", "name": "c", "code": "b", "proxyType": "IPv4"}, {"title": "d", "name": "c", "code": "ISP"}]`, []youproxy.ProxyType{"IPv4", "ISP"}},
		{"the first that says anything", `"types": [{"proxyType": null, "code": " ", "name": ["x"], "title": "IPv4"}]`, []youproxy.ProxyType{"IPv4"}},
		{"texts and objects", `"types": ["IPv4", {"name": "ISP"}]`, []youproxy.ProxyType{"IPv4", "ISP"}},
		{"other letter case", `"types": ["ipv4", "IPV6", {"code": "Mobile"}, "isp"]`, four},
		{"types that came later", `"types": ["IPv9", "Residential"]`, []youproxy.ProxyType{"IPv9", "Residential"}},
		{"white space around", `"types": [" IPv4 ", {"code": "ISP\n"}]`, []youproxy.ProxyType{"IPv4", "ISP"}},
		{"escapes", `"proxy\u0054ypes": ["IPv\u0034"]`, []youproxy.ProxyType{"IPv4"}},
		{"a null among them", `"types": [null, "IPv4", null]`, []youproxy.ProxyType{"IPv4"}},
		{"empty", `"proxyTypes": []`, none},
		{"null", `"proxyTypes": null`, none},
		{"the likeliest of several lists", `"items": ["c"], "proxyTypes": ["IPv4"], "types": ["b"]`, []youproxy.ProxyType{"IPv4"}},
		{"the likeliest of two lists", `"items": ["c"], "types": ["IPv4"]`, []youproxy.ProxyType{"IPv4"}},
		{"a list beside what is none", `"proxyTypes": {"total": 1}, "types": ["IPv4"], "items": 1`, []youproxy.ProxyType{"IPv4"}},
		{"a list after null", `"proxyTypes": null, "types": ["IPv4"]`, []youproxy.ProxyType{"IPv4"}},
		{"a list before null", `"items": ["IPv4"], "types": null`, []youproxy.ProxyType{"IPv4"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, `{"success": true, `+tt.members+`, "error": null}`)
			got, err := client.ProxyTypes(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestCountriesInEachForm(t *testing.T) {
	none := []youproxy.Country{}
	usa := []youproxy.Country{{Code: "USA", Name: "United States"}}
	for _, tt := range []struct {
		name, members string
		want          []youproxy.Country
	}{
		{"alpha3code and name", `"countries": [{"alpha3code": "USA", "name": "United States"}]`, usa},
		{"alpha3code and countryName", `"countries": [{"alpha3code": "USA", "countryName": "United States", "id": 1}]`, usa},
		{"alpha3", `"countries": [{"alpha3": "USA", "name": "United States"}]`, usa},
		{"countryCode", `"countries": [{"countryCode": "USA", "name": "United States"}]`, usa},
		{"code", `"countries": [{"code": "USA", "name": "United States"}]`, usa},
		{"the likeliest of each", `"countries": [{"code": "us", "countryCode": "U", "alpha3": "X", "alpha3code": "USA", "countryName": "USA", "name": "United States"}]`, usa},
		{"the first that says anything", `"countries": [{"alpha3code": "", "alpha3": null, "code": "USA", "name": " ", "countryName": "United States"}]`, usa},
		{"no name", `"countries": [{"alpha3code": "USA"}, {"alpha3code": "DEU", "name": null}]`, []youproxy.Country{{Code: "USA"}, {Code: "DEU"}}},
		{"texts", `"countries": ["USA", "DEU"]`, []youproxy.Country{{Code: "USA"}, {Code: "DEU"}}},
		{"a code as it is written", `"countries": ["usa", "XK"]`, []youproxy.Country{{Code: "usa"}, {Code: "XK"}}},
		{"a null among them", `"countries": [null, {"code": "USA", "name": "United States"}]`, usa},
		{"given twice", `"countries": [{"code": "USA", "name": "United States"}], "countries": []`, usa},
		{"empty", `"countries": []`, none},
		{"null", `"countries": null`, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, `{"success": true, `+tt.members+`}`)
			got, err := client.Countries(t.Context(), youproxy.ProxyTypeIPv4)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestMobileOperatorsInEachForm(t *testing.T) {
	none := []youproxy.MobileOperator{}
	verizon := []youproxy.MobileOperator{{Tag: "verizon", Name: "Verizon", Country: "USA", RotationTimes: []int{300, 600}}}
	withTimes := func(times ...int) []youproxy.MobileOperator {
		return []youproxy.MobileOperator{{Tag: "verizon", RotationTimes: times}}
	}
	for _, tt := range []struct {
		name, members string
		want          []youproxy.MobileOperator
	}{
		{"mobileOperators", `"mobileOperators": [{"code": "verizon", "name": "Verizon", "country": "USA", "rotationTimes": [300, 600]}]`, verizon},
		{"operators", `"operators": [{"code": "verizon", "name": "Verizon", "country": "USA", "rotationTimes": [300, 600]}]`, verizon},
		{"id and title", `"operators": [{"id": "verizon", "title": "Verizon", "country": "USA", "rotationTimes": ["300", " 600 "]}]`, verizon},
		{"id that is a number", `"operators": [{"id": 7, "title": "Verizon"}]`, []youproxy.MobileOperator{{Tag: "7", Name: "Verizon"}}},
		{"operator alone is both tag and name", `"operators": [{"operator": "verizon"}]`, []youproxy.MobileOperator{{Tag: "verizon", Name: "verizon"}}},
		{"operator beside a code is the name", `"operators": [{"code": "vz", "operator": "Verizon"}]`, []youproxy.MobileOperator{{Tag: "vz", Name: "Verizon"}}},
		{"the likeliest of each", `"operators": [{"operator": "o", "id": "i", "code": "verizon", "title": "t", "name": "Verizon", "country": "USA", "rotationTime": 5, "rotationTimes": [300, 600]}]`, verizon},
		{"texts", `"mobileOperators": ["verizon", "att"]`, []youproxy.MobileOperator{{Tag: "verizon"}, {Tag: "att"}}},
		{"a tag as it is written", `"operators": ["Verizon LTE"]`, []youproxy.MobileOperator{{Tag: "Verizon LTE"}}},
		{"a list of times", `"operators": [{"code": "verizon", "rotationTime": [300]}]`, withTimes(300)},
		{"a time", `"operators": [{"code": "verizon", "rotationTime": 300}]`, withTimes(300)},
		{"a time in quotes", `"operators": [{"code": "verizon", "rotationTime": "300"}]`, withTimes(300)},
		{"a single one of times", `"operators": [{"code": "verizon", "rotationTimes": 300}]`, withTimes(300)},
		{"a negative time, as sibling services use it", `"operators": [{"code": "verizon", "rotationTime": -1}]`, withTimes(-1)},
		{"times of which one cannot be read", `"operators": [{"code": "verizon", "rotationTimes": [300, null, "soon", {}, [], 600]}]`, withTimes(300, 600)},
		{"times that are null", `"operators": [{"code": "verizon", "rotationTimes": null, "rotationTime": 300}]`, withTimes(300)},
		{"no times", `"operators": [{"code": "verizon", "rotationTimes": []}]`, withTimes()},
		{"times in an odd form", `"operators": [{"code": "verizon", "rotationTimes": {"min": 300}, "rotationTime": true}]`, withTimes()},
		{"a null among them", `"operators": [null, "verizon"]`, []youproxy.MobileOperator{{Tag: "verizon"}}},
		{"both lists", `"operators": ["att"], "mobileOperators": ["verizon"]`, []youproxy.MobileOperator{{Tag: "verizon"}}},
		{"one list, and null", `"mobileOperators": null, "operators": ["verizon"]`, []youproxy.MobileOperator{{Tag: "verizon"}}},
		{"empty", `"operators": []`, none},
		{"null", `"mobileOperators": null`, none},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, `{"success": true, `+tt.members+`}`)
			got, err := client.MobileOperators(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

// A list that is not found, or not understood, is no empty list.
func TestCatalogueInAnUnknownForm(t *testing.T) {
	for _, tt := range []struct {
		op      string
		member  string   // which the error names where there is none
		members []string // which it may be
	}{
		{"GET /proxyType", "proxyTypes", []string{"proxyTypes", "types", "items"}},
		{"GET /country", "countries", []string{"countries"}},
		{"GET /mobileOperator", "mobileOperators", []string{"mobileOperators", "operators"}},
	} {
		check := func(reply, member string) {
			t.Run(tt.op+" "+reply, func(t *testing.T) {
				client, transport := answering(t, http.StatusOK, reply)
				err := routeTo(t, tt.op).Call(t.Context(), client)
				var failed *youproxy.CallError
				require.ErrorAs(t, err, &failed)
				assert.Equal(t, tt.op, failed.Op)
				assert.Equal(t, http.StatusOK, failed.HTTPStatus)
				assert.Equal(t, youproxy.OutcomeUnknown, failed.Outcome)
				assert.ErrorContains(t, err, `"`+member+`"`)
				assert.ErrorContains(t, err, "the call spends nothing")
				assert.Len(t, transport.requests, 1)
			})
		}
		check(`{"success": true}`, tt.member)
		check(`{"success": true, "data": ["IPv4"]}`, tt.member)
		check(`{"success": true, "data": {"`+tt.member+`": ["IPv4"]}}`, tt.member)
		check(`{"success": true, "`+strings.ToUpper(tt.member)+`": ["IPv4"]}`, tt.member)
		for _, member := range tt.members {
			for _, value := range []string{`{}`, `{"IPv4": 1}`, `"IPv4"`, `4`, `true`, `false`} {
				check(`{"success": true, "`+member+`": `+value+`}`, tt.member)
			}
			for _, entry := range []string{`{}`, `[]`, `["IPv4"]`, `true`, `""`, `" "`, `{"other": "IPv4"}`, `{"code": null}`, `{"code": {"code": "IPv4"}}`} {
				check(`{"success": true, "`+member+`": [`+entry+`]}`, member)
				check(`{"success": true, "`+member+`": ["IPv4", `+entry+`, "ISP"]}`, member)
			}
		}
	}
}

func TestRentPeriodsInEachForm(t *testing.T) {
	for _, tt := range []struct {
		name, members string
		want          []int
	}{
		{"numbers", `, "rentPeriodDays": [30, 60]`, []int{30, 60}},
		{"texts", `, "rentPeriodDays": ["30", " 60 "]`, []int{30, 60}},
		{"in the service's order", `, "rentPeriodDays": [90, 30, 30]`, []int{90, 30, 30}},
		{"that are none", `, "rentPeriodDays": [0, -30, 30]`, []int{30}},
		{"empty", `, "rentPeriodDays": []`, []int{}},
		{"null", `, "rentPeriodDays": null`, []int{}},
		{"none", ``, []int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, `{"success": true, "error": null`+tt.members+`}`)
			got, err := client.RentPeriods(t.Context(), youproxy.ProxyTypeISP)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestPromoCodesInEachForm(t *testing.T) {
	start := time.Date(2023, time.October, 26, 10, 49, 49, 220e6, time.UTC)
	of := func(c youproxy.PromoCode) []youproxy.PromoCode { return []youproxy.PromoCode{c} }
	for _, tt := range []struct {
		name, list string
		want       []youproxy.PromoCode
	}{
		{"endless, and so without an end", `[{"code": "P", "startDate": "2023-10-26T10:49:49.220+00:00", "endDate": null, "endless": true, "discount": 10}]`, of(youproxy.PromoCode{
			Code: "P", Start: start, Endless: true, Discount: decimal.RequireFromString("10"),
		})},
		{"endless, with an end all the same", `[{"code": "P", "endDate": "2023-10-26T10:49:49.220+00:00", "endless": true}]`, of(youproxy.PromoCode{
			Code: "P", End: start, Endless: true,
		})},
		{"neither endless nor with an end", `[{"code": "P", "endDate": null, "endless": false}]`, of(youproxy.PromoCode{Code: "P"})},
		{"endless that is null", `[{"code": "P", "endless": null}]`, of(youproxy.PromoCode{Code: "P"})},
		{"a date in another zone", `[{"code": "P", "startDate": "2023-10-26T12:49:49.220+02:00"}]`, of(youproxy.PromoCode{Code: "P", Start: start})},
		{"a date with a Z", `[{"code": "P", "startDate": "2023-10-26T10:49:49.22Z"}]`, of(youproxy.PromoCode{Code: "P", Start: start})},
		{"dates in words, in numbers, without a zone", `[{"code": "P", "startDate": "soon", "endDate": 1698317389220}, {"code": "Q", "startDate": "2023-10-26", "endDate": "2023-10-26T10:49:49"}]`, []youproxy.PromoCode{
			{Code: "P"}, {Code: "Q"},
		}},
		{"dates that are no texts", `[{"code": "P", "startDate": {}, "endDate": []}, {"code": "Q", "startDate": true, "endDate": ""}]`, []youproxy.PromoCode{
			{Code: "P"}, {Code: "Q"},
		}},
		{"a date that there is not", `[{"code": "P", "startDate": "2023-02-30T00:00:00.000+00:00"}]`, of(youproxy.PromoCode{Code: "P"})},
		{"numbers in quotes", `[{"code": "P", "countUses": "3", "discount": "12.50"}]`, of(youproxy.PromoCode{
			Code: "P", Uses: 3, Discount: decimal.RequireFromString("12.50"),
		})},
		{"numbers in an odd form", `[{"code": "P", "countUses": "many", "discount": {"percent": 10}}]`, of(youproxy.PromoCode{Code: "P"})},
		{"a code that is a number", `[{"code": 2024}]`, of(youproxy.PromoCode{Code: "2024"})},
		{"descriptions", `[{"code": "P", "descriptionsByLocale": {"en": "Ten", "de": "Zehn"}}]`, of(youproxy.PromoCode{
			Code: "P", Descriptions: map[string]string{"en": "Ten", "de": "Zehn"},
		})},
		{"descriptions of which some are odd", `[{"code": "P", "descriptionsByLocale": {"en": "Ten", "de": null, "fr": {"text": "Dix"}, "es": ["Diez"], "it": 10, "ru": ""}}]`, of(youproxy.PromoCode{
			Code: "P", Descriptions: map[string]string{"en": "Ten", "it": "10"},
		})},
		{"descriptions that are null", `[{"code": "P", "descriptionsByLocale": null}]`, of(youproxy.PromoCode{Code: "P"})},
		{"descriptions that are empty", `[{"code": "P", "descriptionsByLocale": {}}]`, of(youproxy.PromoCode{Code: "P"})},
		{"descriptions that are none", `[{"code": "P", "descriptionsByLocale": ["Ten"]}, {"code": "Q", "descriptionsByLocale": "Ten"}]`, []youproxy.PromoCode{
			{Code: "P"}, {Code: "Q"},
		}},
		{"members nobody knows", `[{"id": 1, "code": "P", "limits": {"code": "Q"}}]`, of(youproxy.PromoCode{Code: "P"})},
		{"nothing of one stays in the next", `[{"code": "P", "countUses": 3, "endless": true, "discount": 10, "startDate": "2023-10-26T10:49:49.220+00:00", "descriptionsByLocale": {"en": "Ten"}}, {"code": "Q"}]`, []youproxy.PromoCode{
			{Code: "P", Uses: 3, Start: start, Endless: true, Discount: decimal.RequireFromString("10"), Descriptions: map[string]string{"en": "Ten"}},
			{Code: "Q"},
		}},
		{"empty", `[]`, []youproxy.PromoCode{}},
		{"null", `null`, []youproxy.PromoCode{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, _ := answering(t, http.StatusOK, `{"success": true, "promoCodes": `+tt.list+`, "error": null}`)
			got, err := client.PromoCodes(t.Context())
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestProxyTypeOfACall(t *testing.T) {
	calls := map[string]func(context.Context, *youproxy.Client, youproxy.ProxyType) error{
		"Countries": func(ctx context.Context, c *youproxy.Client, of youproxy.ProxyType) error {
			list, err := c.Countries(ctx, of)
			return withoutList(list, err)
		},
		"RentPeriods": func(ctx context.Context, c *youproxy.Client, of youproxy.ProxyType) error {
			list, err := c.RentPeriods(ctx, of)
			return withoutList(list, err)
		},
		"ProxyQuery": func(ctx context.Context, c *youproxy.Client, of youproxy.ProxyType) error {
			list, err := c.ListProxies(ctx, youproxy.ProxyQuery{ProxyType: of})
			return withoutList(list, err)
		},
	}
	for name, call := range calls {
		for of, rule := range map[youproxy.ProxyType]string{
			"": "required", " ": "required", "\t\n": "required", "\u00a0": "required", "IPv4\xff": "format",
		} {
			if name == "ProxyQuery" && of == "" {
				continue // which asks for all
			}
			t.Run(name+" refuses "+quoteJSON(string(of)), func(t *testing.T) {
				client, transport := answering(t, http.StatusOK, routeReply)
				err := call(t.Context(), client, of)
				var invalid *youproxy.ValidationError
				require.ErrorAs(t, err, &invalid)
				assert.Equal(t, name, invalid.Request)
				assert.Equal(t, []string{"proxyType " + rule}, brokenRules(invalid))
				assert.NotEmpty(t, invalid.Fields[0].Message)
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
				assert.Empty(t, transport.requests)
			})
		}
		for _, of := range []youproxy.ProxyType{"IPv4", "IPv9", "ipv4", "RESIDENTIAL", "a b&c=d#e/é"} {
			t.Run(name+" sends "+string(of), func(t *testing.T) {
				client, transport := answering(t, http.StatusOK, routeReply)
				require.NoError(t, call(t.Context(), client, of))
				require.Len(t, transport.requests, 1)
				sent, err := url.Parse(transport.requests[0].url)
				require.NoError(t, err)
				assert.Equal(t, url.Values{"proxyType": {string(of)}}, sent.Query())
				assert.Empty(t, sent.Fragment)
			})
		}
	}
}

// Nothing of a reply that broke off is taken for a part of the next.
func TestCatalogueForgetsAReplyThatBrokeOff(t *testing.T) {
	for _, tt := range []struct {
		name   string
		call   caller
		first  string
		second string
		want   any    // or
		lacks  string // which the second reply does not carry
	}{
		{
			"Balance", func(ctx context.Context, c *youproxy.Client) (any, error) { return c.Balance(ctx) },
			`"balance": 99, "currency": "EUR"`, `"balance": 25.03, "currencyCode": "USD"`,
			youproxy.MustMoney("25.03 USD"), "balance",
		},
		{
			"ProxyTypes", func(ctx context.Context, c *youproxy.Client) (any, error) { return c.ProxyTypes(ctx) },
			`"proxyTypes": ["IPv4", "IPv6", "MOBILE"]`, `"items": ["ISP"]`,
			[]youproxy.ProxyType{"ISP"}, "proxyTypes",
		},
		{
			"Countries", func(ctx context.Context, c *youproxy.Client) (any, error) { return c.Countries(ctx, "IPv4") },
			`"countries": [{"alpha3code": "USA", "name": "United States"}, "GBR"]`, `"countries": ["DEU"]`,
			[]youproxy.Country{{Code: "DEU"}}, "countries",
		},
		{
			"RentPeriods", rentPeriods("IPv4"),
			`"rentPeriodDays": [30, 60, 90]`, `"rentPeriodDays": [360]`,
			[]int{360}, "",
		},
		{
			"RentPeriods, none", rentPeriods("IPv4"),
			`"rentPeriodDays": [30, 60, 90]`, `"more": true`,
			[]int{}, "",
		},
		{
			"MobileOperators", func(ctx context.Context, c *youproxy.Client) (any, error) { return c.MobileOperators(ctx) },
			`"mobileOperators": [{"code": "att", "name": "AT&T", "rotationTime": 300}]`, `"operators": [{"code": "verizon"}]`,
			[]youproxy.MobileOperator{{Tag: "verizon"}}, "mobileOperators",
		},
		{
			"PromoCodes", func(ctx context.Context, c *youproxy.Client) (any, error) { return c.PromoCodes(ctx) },
			`"promoCodes": [{"code": "A", "countUses": 3, "endless": true, "descriptionsByLocale": {"en": "Ten"}}, {"code": "B"}]`, `"promoCodes": [{"code": "C"}]`,
			[]youproxy.PromoCode{{Code: "C"}}, "",
		},
		{
			"PromoCodes, none", func(ctx context.Context, c *youproxy.Client) (any, error) { return c.PromoCodes(ctx) },
			`"promoCodes": [{"code": "A"}]`, `"more": true`,
			[]youproxy.PromoCode{}, "",
		},
		{
			"QuoteExtension", quotingExtension(anExtension()),
			`"proxyType": "IPv6", "price": 9, "balance": 9, "currency": "EUR", "discount": 9, "promoCodeStatus": "VALID", "warnings": [{"code": 14}]`,
			`"price": 2.65`,
			&youproxy.Quote{Price: youproxy.Money{Amount: decimal.RequireFromString("2.65")}}, "price",
		},
		{
			"SetAutoExtend", autoExtending(anAutoExtension(true)),
			`"proxyType": "IPv6", "rentPeriodDays": 30, "quantity": 2, "ipAddressIds": ["1", "2"], "orderIds": ["3"], "balance": 9, "promoCodeStatus": "VALID"`,
			`"ipAddressIds": ["1111111111111111111", "1112223334283d122"]`,
			&youproxy.Extension{IPAddressIDs: anExtension().IPAddressIDs}, "ipAddressIds",
		},
	} {
		seconds := map[string]string{"": tt.second}
		if tt.lacks != "" {
			seconds[" that lacks what it must carry"] = `"more": true`
		}
		for about, second := range seconds {
			for _, first := range []string{
				`{"success": true, ` + tt.first + `, "error"`,
				`{` + tt.first + `, "success": false, "error": {"code": 2, "message": "Error api key"}, `,
				`{"success": true, ` + tt.first[:len(tt.first)-1],
			} {
				t.Run(tt.name+about+" after "+first, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := &script{answers: []answer{breakingOff(first), status(200, `{"success": true, `+second+`}`)}}
						got, err := tt.call(t.Context(), clientFor(t, s.option()))
						assert.Len(t, s.times, 2)
						if about != "" {
							assertUnreadable(t, err, tt.lacks)
							return
						}
						require.NoError(t, err)
						assert.Equal(t, tt.want, got)
					})
				})
			}
		}
	}
}

// breakingOff gives only the beginning of a reply.
func breakingOff(beginning string) answer {
	return func(r *http.Request) (*http.Response, error) {
		resp := stubReply(r, 200, "")
		resp.ContentLength = -1
		resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(beginning), iotest.ErrReader(errors.New("connection reset"))))
		return resp, nil
	}
}
