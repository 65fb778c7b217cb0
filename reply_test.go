package youproxy_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/routetest"
)

// documentedOps is every endpoint of which the documentation prints replies.
var documentedOps = []string{
	"GET /balance", "GET /rentPeriod", "GET /promoCode",
	"POST /calculate/order", "POST /calculate/extend", "POST /calculate/extend/order",
	"POST /order", "POST /extend", "POST /extend/order", "POST /extend/auto", "POST /extend/order/auto",
}

type caller func(context.Context, *youproxy.Client) (any, error)

func quoting(req youproxy.OrderRequest) caller {
	return func(ctx context.Context, c *youproxy.Client) (any, error) { return c.QuoteOrder(ctx, req) }
}

func ordering(req youproxy.OrderRequest) caller {
	return func(ctx context.Context, c *youproxy.Client) (any, error) { return c.CreateOrder(ctx, req) }
}

func quotingExtension(req youproxy.ExtendRequest) caller {
	return func(ctx context.Context, c *youproxy.Client) (any, error) { return c.QuoteExtension(ctx, req) }
}

func extending(req youproxy.ExtendRequest) caller {
	return func(ctx context.Context, c *youproxy.Client) (any, error) { return c.Extend(ctx, req) }
}

func autoExtending(req youproxy.AutoExtendRequest) caller {
	return func(ctx context.Context, c *youproxy.Client) (any, error) { return c.SetAutoExtend(ctx, req) }
}

func rentPeriods(of youproxy.ProxyType) caller {
	return func(ctx context.Context, c *youproxy.Client) (any, error) { return c.RentPeriods(ctx, of) }
}

var ofIP = []youproxy.IPAddressID{"1111111111111111111"}

var documentedReplies = []struct {
	name  string
	op    string
	call  caller
	reply string
	want  any
}{
	{
		"balance", "GET /balance",
		func(ctx context.Context, c *youproxy.Client) (any, error) { return c.Balance(ctx) },
		`{"success": true, "balance": 25.03, "currencyCode": "USD", "error": null}`,
		youproxy.MustMoney("25.03 USD"),
	},
	{
		"rent periods, IPv4", "GET /rentPeriod", rentPeriods("IPv4"),
		`{"success": true, "rentPeriodDays": [30, 60, 90, 180, 360], "error": null}`,
		[]int{30, 60, 90, 180, 360},
	},
	{
		"rent periods, IPv6", "GET /rentPeriod", rentPeriods("IPv6"),
		`{"success": true, "rentPeriodDays": [90, 180, 360], "error": null}`,
		[]int{90, 180, 360},
	},
	{
		"rent periods, mobile", "GET /rentPeriod", rentPeriods("MOBILE"),
		`{"success": true, "rentPeriodDays": [30, 360], "error": null}`,
		[]int{30, 360},
	},
	{
		"promo codes", "GET /promoCode",
		func(ctx context.Context, c *youproxy.Client) (any, error) { return c.PromoCodes(ctx) },
		`{"success": true, "promoCodes": [{"code": "CLIENT-PROMO", "countUses": 0, "startDate": "2023-10-26T10:49:49.220+00:00",
 "endDate": "2023-11-28T10:49:49.220+00:00", "endless": false, "discount": 10,
 "descriptionsByLocale": {"en": "Description in english locale"}}], "error": null}`,
		[]youproxy.PromoCode{{
			Code:         "CLIENT-PROMO",
			Start:        time.Date(2023, time.October, 26, 10, 49, 49, 220e6, time.UTC),
			End:          time.Date(2023, time.November, 28, 10, 49, 49, 220e6, time.UTC),
			Discount:     decimal.RequireFromString("10"),
			Descriptions: map[string]string{"en": "Description in english locale"},
		}},
	},
	{
		"price of an order", "POST /calculate/order", quoting(anIPv4Order()),
		`{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.31, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null, "warnings": null}`,
		&youproxy.Quote{ProxyType: "IPv4", Price: youproxy.MustMoney("1.31 USD"), Balance: youproxy.MustMoney("7.18 USD"), Discount: decimal.RequireFromString("0")},
	},
	{
		"price of an order, with warnings", "POST /calculate/order", quoting(anIPv4Order()),
		`{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 22.61, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null,
 "warnings": [{"code": 14, "message": "Incorrect goal"}, {"code": 16, "message": "Insufficient funds on balance"}]}`,
		&youproxy.Quote{
			ProxyType: "IPv4", Price: youproxy.MustMoney("22.61 USD"), Balance: youproxy.MustMoney("7.18 USD"), Discount: decimal.RequireFromString("0"),
			Warnings: []youproxy.Warning{
				{Code: youproxy.ErrIncorrectGoal, Message: "Incorrect goal"},
				{Code: youproxy.ErrInsufficientFunds, Message: "Insufficient funds on balance"},
			},
		},
	},
	{
		"price of an order, with a promo code", "POST /calculate/order", quoting(anIPv4Order()),
		`{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.18, "currency": "USD", "discount": 10, "promoCodeStatus": "VALID", "error": null, "warnings": null}`,
		&youproxy.Quote{
			ProxyType: "IPv4", Price: youproxy.MustMoney("1.18 USD"), Balance: youproxy.MustMoney("7.18 USD"), Discount: decimal.RequireFromString("10"),
			PromoCodeStatus: youproxy.PromoCodeValid,
		},
	},
	{
		"price of an extension by IPs", "POST /calculate/extend", quotingExtension(anExtension()),
		`{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 2.65, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null, "warnings": null}`,
		&youproxy.Quote{ProxyType: "IPv4", Price: youproxy.MustMoney("2.65 USD"), Balance: youproxy.MustMoney("7.18 USD"), Discount: decimal.RequireFromString("0")},
	},
	{
		"price of an extension by orders", "POST /calculate/extend/order", quotingExtension(anExtensionOfOrders()),
		`{"success": true, "proxyType": "IPv6", "balance": 7.18, "price": 0.80, "currency": "USD", "discount": 0, "promoCodeStatus": "NO_VALID", "error": null,
 "warnings": [{"code": 16, "message": "Insufficient funds on balance"}]}`,
		&youproxy.Quote{
			ProxyType: "IPv6", Price: youproxy.MustMoney("0.80 USD"), Balance: youproxy.MustMoney("7.18 USD"), Discount: decimal.RequireFromString("0"),
			PromoCodeStatus: youproxy.PromoCodeNotValid,
			Warnings:        []youproxy.Warning{{Code: youproxy.ErrInsufficientFunds, Message: "Insufficient funds on balance"}},
		},
	},
	{
		"IPv4 order", "POST /order", ordering(anIPv4Order()),
		`{"success": true, "proxyType": "IPv4", "orderNumber": "NUMBER-112233", "balance": 4.57, "currency": "USD", "error": null, "promoCodeStatus": null}`,
		&youproxy.Order{Number: "NUMBER-112233", ProxyType: "IPv4", Balance: youproxy.MustMoney("4.57 USD")},
	},
	{
		"IPv6 order", "POST /order", ordering(anIPv6Order()),
		`{"success": true, "proxyType": "IPv6", "orderNumber": "NUMBER-22334455", "balance": 3.76, "currency": "USD", "error": null, "promoCodeStatus": "VALID"}`,
		&youproxy.Order{Number: "NUMBER-22334455", ProxyType: "IPv6", Balance: youproxy.MustMoney("3.76 USD"), PromoCodeStatus: youproxy.PromoCodeValid},
	},
	{
		"mobile order", "POST /order", ordering(aMobileOrder()),
		`{"success": true, "proxyType": "MOBILE", "orderNumber": "NUMBER-4455566677", "balance": 1.95, "currency": "USD", "error": null, "promoCodeStatus": "NO_VALID"}`,
		&youproxy.Order{Number: "NUMBER-4455566677", ProxyType: "MOBILE", Balance: youproxy.MustMoney("1.95 USD"), PromoCodeStatus: youproxy.PromoCodeNotValid},
	},
	{
		"extension by IPs", "POST /extend", extending(youproxy.ExtendIPsRequest{ProxyType: "IPv4", IPAddressIDs: ofIP, RentPeriodDays: 30}),
		`{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 1, "ipAddressIds": ["1111111111111111111"], "balance": 0.65, "currency": "USD", "error": null, "promoCodeStatus": null}`,
		&youproxy.Extension{ProxyType: "IPv4", RentPeriodDays: 30, Quantity: 1, IPAddressIDs: ofIP, Balance: youproxy.MustMoney("0.65 USD")},
	},
	{
		"extension by orders lists IPs, too", "POST /extend/order", extending(youproxy.ExtendOrdersRequest{ProxyType: "IPv4", OrderIDs: []youproxy.OrderID{"2"}, RentPeriodDays: 30}),
		`{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 1, "ipAddressIds": ["1111111111111111111"], "balance": 0.65, "currency": "USD", "error": null, "promoCodeStatus": null}`,
		&youproxy.Extension{ProxyType: "IPv4", RentPeriodDays: 30, Quantity: 1, IPAddressIDs: ofIP, Balance: youproxy.MustMoney("0.65 USD")},
	},
	{
		"automatic extension by IPs", "POST /extend/auto", autoExtending(youproxy.AutoExtendIPsRequest{ProxyType: "IPv4", IPAddressIDs: []youproxy.IPAddressID{"1111111111111111"}, RentPeriodDays: 30, AutoExtend: true}),
		`{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 1, "ipAddressIds": ["1111111111111111"], "balance": 5, "currency": "USD", "error": null}`,
		&youproxy.Extension{
			ProxyType: "IPv4", RentPeriodDays: 30, Quantity: 1, IPAddressIDs: []youproxy.IPAddressID{"1111111111111111"}, Balance: youproxy.MustMoney("5 USD"),
		},
	},
	{
		"automatic extension by orders", "POST /extend/order/auto", autoExtending(youproxy.AutoExtendOrdersRequest{ProxyType: "IPv4", OrderIDs: []youproxy.OrderID{"1111111111111111"}, RentPeriodDays: 30}),
		`{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 1, "orderIds": ["1111111111111111"], "balance": 5, "currency": "USD", "error": null}`,
		&youproxy.Extension{
			ProxyType: "IPv4", RentPeriodDays: 30, Quantity: 1, OrderIDs: []youproxy.OrderID{"1111111111111111"}, Balance: youproxy.MustMoney("5 USD"),
		},
	},
}

// The replies are those that the documentation prints. Of the price of an
// extension it prints the price only, and of a few calls by orders that the reply
// is as by IPs.
func TestDocumentedReplies(t *testing.T) {
	t.Parallel()
	answered := map[string]bool{}
	for _, tt := range documentedReplies {
		answered[tt.op] = true
		t.Run(tt.name, func(t *testing.T) {
			client, transport := answering(t, http.StatusOK, tt.reply)
			got, err := tt.call(t.Context(), client)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
			require.Len(t, transport.requests, 1)
			_, path, _ := strings.Cut(tt.op, " ")
			address, _, _ := strings.Cut(transport.requests[0].url, "?")
			assert.Equal(t, "https://youproxy.io/client/api/v1/"+cannedKey+path, address)
		})
	}
	assert.ElementsMatch(t, documentedOps, slices.Collect(maps.Keys(answered)))
}

var documentedRefusals = []struct {
	name    string
	op      string
	reply   string
	code    youproxy.ErrorCode
	message string
	balance string // empty where the service named none
}{
	{
		"balance", "GET /balance",
		`{"success": false, "balance": null, "currencyCode": null, "error": {"code": 2, "message": "Error api key"}}`,
		youproxy.ErrInvalidAPIKey, "Error api key", "",
	},
	{
		"rent periods", "GET /rentPeriod",
		`{"success": false, "rentPeriodDays": [], "error": {"code": 4, "message": "Incorrect proxy type"}}`,
		youproxy.ErrIncorrectProxyType, "Incorrect proxy type", "",
	},
	{
		"promo codes", "GET /promoCode",
		`{"success": false, "promoCodes": [], "error": {"code": 2, "message": "Error api key"}}`,
		youproxy.ErrInvalidAPIKey, "Error api key", "",
	},
	{
		"price of an order", "POST /calculate/order",
		`{"success": false, "proxyType": null, "balance": 7.18, "price": null, "currency": "USD", "discount": null, "promoCodeStatus": null,
 "error": {"code": 4, "message": "Incorrect proxy type"}, "warnings": null}`,
		youproxy.ErrIncorrectProxyType, "Incorrect proxy type", "7.18 USD",
	},
	{
		"price of an extension by IPs", "POST /calculate/extend",
		`{"success": false, "proxyType": null, "balance": 0.65, "price": null, "currency": "USD", "discount": null, "promoCodeStatus": null,
 "error": {"code": 24, "message": "Incorrect ip addresses"}, "warnings": null}`,
		youproxy.ErrIncorrectIPAddresses, "Incorrect ip addresses", "0.65 USD",
	},
	{
		"price of an extension by orders, no balance", "POST /calculate/extend/order",
		`{"success": false, "proxyType": null, "balance": null, "price": null, "currency": null, "discount": null, "promoCodeStatus": null,
 "error": {"code": 29, "message": "Incorrect orderIds"}, "warnings": null}`,
		youproxy.ErrIncorrectOrderIDs, "Incorrect orderIds", "",
	},
	{
		"price of an extension by orders", "POST /calculate/extend/order",
		`{"success": false, "proxyType": null, "balance": 0.65, "price": null, "currency": "USD", "discount": null, "promoCodeStatus": null,
 "error": {"code": 29, "message": "Incorrect orderIds"}, "warnings": null}`,
		youproxy.ErrIncorrectOrderIDs, "Incorrect orderIds", "0.65 USD",
	},
	{
		"IPv4 or ISP order", "POST /order",
		`{"success": false, "proxyType": null, "orderNumber": null, "balance": 7.18, "currency": "USD", "error": {"code": 14, "message": "Incorrect goal"}, "promoCodeStatus": null}`,
		youproxy.ErrIncorrectGoal, "Incorrect goal", "7.18 USD",
	},
	{
		"IPv6 order", "POST /order",
		`{"success": false, "proxyType": null, "orderNumber": null, "balance": 4.57, "currency": "USD", "error": {"code": 13, "message": "Incorrect protocol"}, "promoCodeStatus": null}`,
		youproxy.ErrIncorrectProtocol, "Incorrect protocol", "4.57 USD",
	},
	{
		"mobile order", "POST /order",
		`{"success": false, "proxyType": null, "orderNumber": null, "balance": 3.76, "currency": "USD", "error": {"code": 8, "message": "Incorrect mobile operator"}, "promoCodeStatus": null}`,
		youproxy.ErrIncorrectMobileOperator, "Incorrect mobile operator", "3.76 USD",
	},
	{
		"extension by IPs", "POST /extend",
		`{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], "balance": 0.65, "currency": "USD",
 "error": {"code": 24, "message": "Incorrect ip addresses"}, "promoCodeStatus": null}`,
		youproxy.ErrIncorrectIPAddresses, "Incorrect ip addresses", "0.65 USD",
	},
	{
		"extension by orders", "POST /extend/order",
		`{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], "balance": 0.65, "currency": "USD",
 "error": {"code": 29, "message": "Incorrect orderIds"}, "promoCodeStatus": null}`,
		youproxy.ErrIncorrectOrderIDs, "Incorrect orderIds", "0.65 USD",
	},
	{
		"automatic extension by IPs", "POST /extend/auto",
		`{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], "balance": 5, "currency": "USD", "error": {"code": 4, "message": "Incorrect proxy type"}}`,
		youproxy.ErrIncorrectProxyType, "Incorrect proxy type", "5 USD",
	},
	{
		"automatic extension by orders", "POST /extend/order/auto",
		`{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "orderIds": [], "balance": 5, "currency": "USD", "error": {"code": 4, "message": "Incorrect proxy type"}}`,
		youproxy.ErrIncorrectProxyType, "Incorrect proxy type", "5 USD",
	},
	{
		"proxy types", "GET /proxyType",
		`{"success": false, "error": {"code": 2, "message": "Error api key"}}`,
		youproxy.ErrInvalidAPIKey, "Error api key", "",
	},
	{
		"countries", "GET /country",
		`{"success": false, "countries": [], "error": {"code": 4, "message": "Incorrect proxy type"}}`,
		youproxy.ErrIncorrectProxyType, "Incorrect proxy type", "",
	},
	{
		"mobile operators", "GET /mobileOperator",
		`{"success": false, "mobileOperators": null, "error": {"code": 2, "message": "Error api key"}}`,
		youproxy.ErrInvalidAPIKey, "Error api key", "",
	},
	{
		"proxies", "GET /ipAddress",
		`{"success": false, "ipv4": null, "error": {"code": 2, "message": "Error api key"}}`,
		youproxy.ErrInvalidAPIKey, "Error api key", "",
	},
}

// The refusals are those that the documentation prints, and the one it prints
// most of each call of which it prints none.
func TestDocumentedRefusals(t *testing.T) {
	t.Parallel()
	refused := map[string]bool{}
	for _, tt := range documentedRefusals {
		refused[tt.op] = true
		t.Run(tt.name, func(t *testing.T) {
			client, transport := answering(t, http.StatusOK, tt.reply)
			err := routeTo(t, tt.op).Call(t.Context(), client)
			var refusal *youproxy.APIError
			require.ErrorAs(t, err, &refusal)
			want := &youproxy.APIError{Op: tt.op, HTTPStatus: http.StatusOK, Code: tt.code, Message: tt.message}
			if tt.balance != "" {
				want.Balance = new(youproxy.MustMoney(tt.balance))
			}
			assert.Equal(t, want, refusal)
			assert.ErrorIs(t, err, tt.code)
			assert.Equal(t, youproxy.OutcomeRejected, youproxy.OutcomeOf(err))
			assert.Len(t, transport.requests, 1)
		})
	}
	for _, r := range routetest.Routes() {
		assert.True(t, refused[r.Op] || r.Method == "Call", "no refusal of %s", r.Op)
	}
}

// A refusal is one whatever stands beside it: in what order, and in what form.
func TestRefusalBesideOddLists(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ op, member string }{
		{"GET /proxyType", `"proxyTypes"`},
		{"GET /country", `"countries"`},
		{"GET /mobileOperator", `"mobileOperators"`},
		{"GET /rentPeriod", `"rentPeriodDays"`},
		{"GET /promoCode", `"promoCodes"`},
		{"GET /ipAddress", `"ipv4"`},
		{"POST /calculate/order", `"warnings"`},
		{"POST /calculate/extend", `"warnings"`},
		{"POST /extend", `"ipAddressIds"`},
		{"POST /extend/order/auto", `"orderIds"`},
	} {
		const no = `"success": false, "error": {"code": 2, "message": "Error api key"}`
		for _, value := range []string{`null`, `{}`, `"none"`, `0`, `[]`, `[null]`, `[{}]`, `["none"]`, `[[]]`, `[0]`} {
			for _, reply := range []string{`{` + no + `, ` + tt.member + `: ` + value + `}`, `{` + tt.member + `: ` + value + `, ` + no + `}`} {
				t.Run(tt.op+" "+reply, func(t *testing.T) {
					client, _ := answering(t, http.StatusOK, reply)
					err := routeTo(t, tt.op).Call(t.Context(), client)
					var refusal *youproxy.APIError
					require.ErrorAs(t, err, &refusal)
					assert.ErrorIs(t, err, youproxy.ErrInvalidAPIKey)
				})
			}
		}
	}
}

// FuzzReplies has every call of the client read a reply. There is no panic, an
// error is a short line that does not tell the key, and the same reply gives the
// same again.
func FuzzReplies(f *testing.F) {
	routes := routetest.Routes()
	for _, reply := range []string{
		`{"success": true, "balance": 25.03, "currencyCode": "USD", "error": null}`,
		`{"success": true, "rentPeriodDays": [30, "60", 90.0, -1, 0, null, {}], "error": null}`,
		`{"success": true, "promoCodes": [{"code": "P", "countUses": 0, "startDate": "2023-10-26T10:49:49.220+00:00", "endDate": null, "endless": true, "discount": 10, "descriptionsByLocale": {"en": "D", "de": null}}]}`,
		`{"success": true, "countries": [{"alpha3code": "USA", "name": "United States"}, {"code": "DEU", "countryName": "Germany"}, "FRA", 7]}`,
		`{"success": true, "proxyTypes": ["IPv4", {"proxyType": "ISP"}, {"code": "MOBILE", "title": "Mobile"}]}`,
		`{"success": true, "mobileOperators": {"USA": [{"tag": "verizon", "rotationTimes": [120, "300"]}]}}`,
		`{"success": true, "operators": [{"code": "verizon", "title": "Verizon", "rotationTime": 300}]}`,
		`{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 22.61, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null, "warnings": [{"code": 14, "message": "Incorrect goal"}, null, {}]}`,
		`{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 1, "ipAddressIds": ["1", 2, null], "orderIds": ["o"], "balance": 5, "currency": "USD"}`,
		`{"success": true, "ipv4": [{"ipAddressId": "1", "ip": "192.0.2.1:80"}]}`,
		`{"success": false, "error": {"code": 2, "message": "Error api key ` + cannedKey + `"}}`, `{}`, ``, `<html>`,
	} {
		for pick := range routes {
			f.Add(byte(pick), reply)
		}
	}
	f.Fuzz(func(t *testing.T, pick byte, reply string) {
		route := routes[int(pick)%len(routes)]
		var texts [2]string
		for i := range texts {
			client, _ := answering(t, fuzzStatuses[int(pick)/len(routes)%len(fuzzStatuses)], reply)
			if err := route.Call(t.Context(), client); err != nil {
				texts[i] = err.Error()
			}
		}
		if texts[0] != texts[1] {
			t.Fatalf("once %q, and then %q", texts[0], texts[1])
		}
		if text := texts[0]; strings.ContainsAny(text, "\n\r\x00\x1b") || !utf8.ValidString(text) || len(text) > 4096 || strings.Contains(strings.ToLower(text), strings.ToLower(cannedKey)) {
			t.Fatalf("the text is no short line without the key: %q", text)
		}
	})
}
