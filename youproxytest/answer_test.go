package youproxytest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

const (
	ipv4Body   = `{"proxyType": "IPv4", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "prices", "authType": "LOGIN"}`
	ipv6Body   = `{"proxyType": "IPv6", "quantity": 3, "rentPeriodDays": 30, "country": "USA", "goal": "prices", "authType": "IP", "authIp": "192.0.2.7", "protocol": "HTTP", "promoCode": "WELCOME"}`
	mobileBody = `{"proxyType": "MOBILE", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "prices", "authType": "LOGIN", "rotationTime": 300, "mobileOperator": "verizon", "promoCode": "NOPE"}`
	quoteBody  = `{"proxyType": "IPv4", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "prices"}`
)

// An account with an order of two IPv4 proxies, and one of three IPv6 proxies, as
// added by addOrders, takes these.
const (
	ipv4ID, ipv4ID2  = "1111111111111111111", "1111111111111111112"
	ipv4Order1       = "1112223334283d122"
	ipv6Order        = "1112223334c6748bd"
	extendBody       = `{"proxyType": "IPv4", "ipAddressIds": ["` + ipv4ID + `"], "rentPeriodDays": 30}`
	extendOrdersBody = `{"proxyType": "IPv4", "orderIds": ["` + ipv4Order1 + `"], "rentPeriodDays": 30}`
	autoBody         = `{"proxyType": "IPv4", "ipAddressIds": ["` + ipv4ID + `"], "rentPeriodDays": 30, "autoExtend": true}`
	autoOrdersBody   = `{"proxyType": "IPv4", "orderIds": ["` + ipv4Order1 + `"], "rentPeriodDays": 30, "autoExtend": true}`
)

func addOrders(s *youproxytest.Server) {
	s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2})
	s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "USA", Quantity: 3})
}

// Requests to an account with two orders, and the replies to them.
var replyCases = []struct {
	name, balance, op, body, want string
}{
	{"balance", "25.03 USD", "GET /balance", "",
		`{"success": true, "balance": 25.03, "currencyCode": "USD", "error": null}`},
	{"balance without cents", "5.00 USD", "GET /balance", "",
		`{"success": true, "balance": 5, "currencyCode": "USD", "error": null}`},
	{"price", "7.18 USD", "POST /calculate/order", quoteBody,
		`{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.31, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null, "warnings": null}`},
	{"price with warnings", "7.18 USD", "POST /calculate/order", edit(quoteBody, `"quantity": 1`, `"quantity": 10`, `"prices"`, `"Spam"`),
		`{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 13.1, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null, ` +
			`"warnings": [{"code": 14, "message": "Incorrect goal"}, {"code": 16, "message": "Insufficient funds on balance"}]}`},
	{"price with a discount", "7.18 USD", "POST /calculate/order", edit(quoteBody, `"goal"`, `"promoCode": "WELCOME", "goal"`),
		`{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.18, "currency": "USD", "discount": 10, "promoCodeStatus": "VALID", "error": null, "warnings": null}`},
	{"price refused", "7.18 USD", "POST /calculate/order", edit(quoteBody, `"IPv4"`, `"IPv5"`),
		`{"success": false, "proxyType": null, "balance": 7.18, "price": null, "currency": "USD", "discount": null, "promoCodeStatus": null, ` +
			`"error": {"code": 4, "message": "Incorrect proxy type"}, "warnings": null}`},
	{"order IPv4", "5.88 USD", "POST /order", ipv4Body,
		`{"success": true, "proxyType": "IPv4", "orderNumber": "NUMBER-112233", "balance": 4.57, "currency": "USD", "error": null, "promoCodeStatus": null}`},
	{"order IPv6", "4.49 USD", "POST /order", ipv6Body,
		`{"success": true, "proxyType": "IPv6", "orderNumber": "NUMBER-112233", "balance": 3.76, "currency": "USD", "error": null, "promoCodeStatus": "VALID"}`},
	{"order MOBILE", "20.45 USD", "POST /order", mobileBody,
		`{"success": true, "proxyType": "MOBILE", "orderNumber": "NUMBER-112233", "balance": 1.95, "currency": "USD", "error": null, "promoCodeStatus": "NO_VALID"}`},
	{"order ISP", "3.05 USD", "POST /order", edit(ipv4Body, "IPv4", "ISP"),
		`{"success": true, "proxyType": "ISP", "orderNumber": "NUMBER-112233", "balance": 0.65, "currency": "USD", "error": null, "promoCodeStatus": null}`},
	{"order refused", "7.18 USD", "POST /order", edit(ipv4Body, `"prices"`, `" "`),
		`{"success": false, "proxyType": null, "orderNumber": null, "balance": 7.18, "currency": "USD", "error": {"code": 14, "message": "Incorrect goal"}, "promoCodeStatus": null}`},
	{"order beyond the balance", "1.30 USD", "POST /order", ipv4Body,
		`{"success": false, "proxyType": null, "orderNumber": null, "balance": 1.3, "currency": "USD", "error": {"code": 16, "message": "Insufficient funds on balance"}, "promoCodeStatus": null}`},
	{"order malformed", "7.18 USD", "POST /order", `{}`,
		`{"success": false, "proxyType": null, "orderNumber": null, "balance": 7.18, "currency": "USD", "error": {"code": 1, "message": "field \"proxyType\" is missing"}, "promoCodeStatus": null}`},

	{"proxy types", "5 USD", "GET /proxyType", "",
		`{"success": true, "proxyTypes": ["IPv4", "IPv6", "MOBILE", "ISP"], "error": null}`},
	{"countries", "5 USD", "GET /country?proxyType=ISP", "",
		`{"success": true, "countries": [{"alpha3code": "USA", "name": "United States"}, {"alpha3code": "DEU", "name": "Germany"}, ` +
			`{"alpha3code": "GBR", "name": "United Kingdom"}, {"alpha3code": "FRA", "name": "France"}, {"alpha3code": "NLD", "name": "Netherlands"}], "error": null}`},
	{"countries with an operator", "5 USD", "GET /country?proxyType=MOBILE", "",
		`{"success": true, "countries": [{"alpha3code": "USA", "name": "United States"}, {"alpha3code": "DEU", "name": "Germany"}, ` +
			`{"alpha3code": "GBR", "name": "United Kingdom"}], "error": null}`},
	{"countries refused", "5 USD", "GET /country?proxyType=isp", "",
		`{"success": false, "countries": [], "error": {"code": 4, "message": "Incorrect proxy type"}}`},
	{"rent periods", "5 USD", "GET /rentPeriod?proxyType=IPv4", "",
		`{"success": true, "rentPeriodDays": [30, 60, 90, 180, 360], "error": null}`},
	{"rent periods refused", "5 USD", "GET /rentPeriod?proxyType=", "",
		`{"success": false, "rentPeriodDays": [], "error": {"code": 4, "message": "Incorrect proxy type"}}`},
	{"mobile operators", "5 USD", "GET /mobileOperator", "",
		`{"success": true, "mobileOperators": [{"code": "verizon", "name": "Verizon", "country": "USA", "rotationTimes": [120, 300, 600]}, ` +
			`{"code": "tmobile", "name": "T-Mobile", "country": "USA", "rotationTimes": [300, 600]}, ` +
			`{"code": "vodafone", "name": "Vodafone", "country": "GBR", "rotationTimes": [300, 600, 1800]}, ` +
			`{"code": "telekom", "name": "Telekom", "country": "DEU", "rotationTimes": [300, 600]}], "error": null}`},
	{"promo codes", "5 USD", "GET /promoCode", "",
		`{"success": true, "promoCodes": [{"code": "WELCOME", "countUses": 0, "startDate": "1970-01-01T00:00:00.000+00:00", "endDate": null, "endless": true, "discount": 10, "descriptionsByLocale": {}}], "error": null}`},

	{"extension price", "7.18 USD", "POST /calculate/extend", edit(extendBody, `30`, `60`),
		`{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 2.62, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null, "warnings": null}`},
	{"extension price by orders", "2.34 USD", "POST /calculate/extend/order", edit(extendOrdersBody, `}`, `, "promoCode": "WELCOME"}`),
		`{"success": true, "proxyType": "IPv4", "balance": 2.34, "price": 2.36, "currency": "USD", "discount": 10, "promoCodeStatus": "VALID", "error": null, ` +
			`"warnings": [{"code": 16, "message": "Insufficient funds on balance"}]}`},
	{"extension price refused", "0.65 USD", "POST /calculate/extend", edit(extendBody, ipv4ID, "1"),
		`{"success": false, "proxyType": null, "balance": 0.65, "price": null, "currency": "USD", "discount": null, "promoCodeStatus": null, ` +
			`"error": {"code": 24, "message": "Incorrect ip addresses"}, "warnings": null}`},
	{"extension price by orders refused", "0.65 USD", "POST /calculate/extend/order", edit(extendOrdersBody, ipv4Order1, "NUMBER-112233"),
		`{"success": false, "proxyType": null, "balance": 0.65, "price": null, "currency": "USD", "discount": null, "promoCodeStatus": null, ` +
			`"error": {"code": 29, "message": "Incorrect orderIds"}, "warnings": null}`},
	{"extension", "1.96 USD", "POST /extend", extendBody,
		`{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 1, "ipAddressIds": ["1111111111111111111"], "balance": 0.65, "currency": "USD", "error": null, "promoCodeStatus": null}`},
	{"extension by orders", "3.00 USD", "POST /extend/order", edit(extendOrdersBody, `}`, `, "promoCode": "OTHER"}`),
		`{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 2, "ipAddressIds": ["1111111111111111111", "1111111111111111112"], ` +
			`"balance": 0.38, "currency": "USD", "error": null, "promoCodeStatus": "NO_VALID"}`},
	{"extension refused", "0.65 USD", "POST /extend", edit(extendBody, ipv4ID, "1"),
		`{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], "balance": 0.65, "currency": "USD", ` +
			`"error": {"code": 24, "message": "Incorrect ip addresses"}, "promoCodeStatus": null}`},
	{"extension by orders refused", "0.65 USD", "POST /extend/order", edit(extendOrdersBody, ipv4Order1, "1"),
		`{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], "balance": 0.65, "currency": "USD", ` +
			`"error": {"code": 29, "message": "Incorrect orderIds"}, "promoCodeStatus": null}`},
	{"auto-extension", "5 USD", "POST /extend/auto", autoBody,
		`{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 1, "ipAddressIds": ["1111111111111111111"], "balance": 5, "currency": "USD", "error": null}`},
	{"auto-extension by orders", "5 USD", "POST /extend/order/auto", autoOrdersBody,
		`{"success": true, "proxyType": "IPv4", "rentPeriodDays": 30, "quantity": 2, "ipAddressIds": ["1111111111111111111", "1111111111111111112"], "balance": 5, "currency": "USD", "error": null}`},
	{"auto-extension refused", "5 USD", "POST /extend/auto", edit(autoBody, "IPv4", "ipv4"),
		`{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], "balance": 5, "currency": "USD", "error": {"code": 4, "message": "Incorrect proxy type"}}`},
	{"auto-extension by orders refused", "5 USD", "POST /extend/order/auto", edit(autoOrdersBody, "30", "31"),
		`{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], "balance": 5, "currency": "USD", "error": {"code": 11, "message": "Incorrect rent period"}}`},

	{"list", "5 USD", "GET /ipAddress", "",
		`{"success": true, "IPv4": [` +
			`{"ipAddressId": "1111111111111111111", "ipAddressIp": "198.18.0.1", "orderId": "1112223334283d122", "orderNumber": "NUMBER-112233", "country": "USA", ` +
			`"dateStart": "2026-03-01T12:00:00.000+00:00", "dateEnd": "2026-03-31T12:00:00.000+00:00", "httpsPort": "59100", "socks5Port": "59101", ` +
			`"authInfo": {"login": "login1", "password": "Pw9e3779b1"}, "extendInfo": {"autoExtend": false, "extendDays": null}}, ` +
			`{"ipAddressId": "1111111111111111112", "ipAddressIp": "198.18.0.2", "orderId": "1112223334283d122", "orderNumber": "NUMBER-112233", "country": "USA", ` +
			`"dateStart": "2026-03-01T12:00:00.000+00:00", "dateEnd": "2026-03-31T12:00:00.000+00:00", "httpsPort": "59100", "socks5Port": "59101", ` +
			`"authInfo": {"login": "login1", "password": "Pw9e3779b1"}, "extendInfo": {"autoExtend": false, "extendDays": null}}], ` +
			`"IPv6": [` +
			`{"ipAddressId": "1111111111111111113", "ipAddressIp": "198.18.0.3", "orderId": "1112223334c6748bd", "orderNumber": "NUMBER-112234", "country": "USA", ` +
			`"dateStart": "2026-03-01T12:00:00.000+00:00", "dateEnd": "2026-03-31T12:00:00.000+00:00", "port": "10001", "protocol": "HTTP", ` +
			`"authInfo": {"login": "login2", "password": "Pw3c6ef362"}, "extendInfo": {"autoExtend": false, "extendDays": null}}, ` +
			`{"ipAddressId": "1111111111111111114", "ipAddressIp": "198.18.0.3", "orderId": "1112223334c6748bd", "orderNumber": "NUMBER-112234", "country": "USA", ` +
			`"dateStart": "2026-03-01T12:00:00.000+00:00", "dateEnd": "2026-03-31T12:00:00.000+00:00", "port": "10002", "protocol": "HTTP", ` +
			`"authInfo": {"login": "login2", "password": "Pw3c6ef362"}, "extendInfo": {"autoExtend": false, "extendDays": null}}, ` +
			`{"ipAddressId": "1111111111111111115", "ipAddressIp": "198.18.0.3", "orderId": "1112223334c6748bd", "orderNumber": "NUMBER-112234", "country": "USA", ` +
			`"dateStart": "2026-03-01T12:00:00.000+00:00", "dateEnd": "2026-03-31T12:00:00.000+00:00", "port": "10003", "protocol": "HTTP", ` +
			`"authInfo": {"login": "login2", "password": "Pw3c6ef362"}, "extendInfo": {"autoExtend": false, "extendDays": null}}], ` +
			`"MOBILE": [], "ISP": [], "error": null}`},
	{"list of one type", "5 USD", "GET /ipAddress?proxyType=ISP", "",
		`{"success": true, "ISP": [], "error": null}`},
	{"list refused", "5 USD", "GET /ipAddress?proxyType=isp", "",
		`{"success": false, "IPv4": [], "IPv6": [], "MOBILE": [], "ISP": [], "error": {"code": 4, "message": "Incorrect proxy type"}}`},
}

func TestRepliesAreThoseOfTheDocumentation(t *testing.T) {
	for _, tc := range replyCases {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t, youproxytest.WithBalance(youproxy.MustMoney(tc.balance)), youproxytest.WithPromoCode("WELCOME", 10), youproxytest.WithClock(newClock().Now))
			if !strings.HasSuffix(tc.op, "/order") || strings.Contains(tc.op, "/extend/") {
				addOrders(s)
			}
			_, header, reply := send(t, s, tc.op, tc.body)
			assert.Equal(t, "application/json", header.Get("Content-Type"))
			assert.Equal(t, tc.want, reply)
		})
	}
}

// allBodies holds a request of each operation that is in order.
var allBodies = map[string]string{
	"GET /proxyType":                 "",
	"GET /balance":                   "",
	"GET /country?proxyType=IPv4":    "",
	"GET /rentPeriod?proxyType=IPv4": "",
	"GET /mobileOperator":            "",
	"GET /promoCode":                 "",
	"GET /ipAddress":                 "",
	"POST /calculate/order":          quoteBody,
	"POST /calculate/extend":         extendBody,
	"POST /calculate/extend/order":   extendOrdersBody,
	"POST /order":                    ipv4Body,
	"POST /extend":                   extendBody,
	"POST /extend/order":             extendOrdersBody,
	"POST /extend/auto":              autoBody,
	"POST /extend/order/auto":        autoOrdersBody,
}

// refusals holds how each operation refuses; left stands for the members that
// tell the balance, and why for the error.
var refusals = map[string]string{
	"GET /proxyType":                 `{"success": false, "proxyTypes": [], "error": why}`,
	"GET /balance":                   `{"success": false, left, "error": why}`,
	"GET /country?proxyType=IPv4":    `{"success": false, "countries": [], "error": why}`,
	"GET /rentPeriod?proxyType=IPv4": `{"success": false, "rentPeriodDays": [], "error": why}`,
	"GET /mobileOperator":            `{"success": false, "mobileOperators": [], "error": why}`,
	"GET /promoCode":                 `{"success": false, "promoCodes": [], "error": why}`,
	"GET /ipAddress":                 `{"success": false, "IPv4": [], "IPv6": [], "MOBILE": [], "ISP": [], "error": why}`,
	"POST /calculate/order":          quoteRefusal,
	"POST /calculate/extend":         quoteRefusal,
	"POST /calculate/extend/order":   quoteRefusal,
	"POST /order":                    `{"success": false, "proxyType": null, "orderNumber": null, left, "error": why, "promoCodeStatus": null}`,
	"POST /extend":                   extensionRefusal,
	"POST /extend/order":             extensionRefusal,
	"POST /extend/auto":              autoExtendRefusal,
	"POST /extend/order/auto":        autoExtendRefusal,
}

const (
	quoteRefusal      = `{"success": false, "proxyType": null, "balance": B, "price": null, "currency": C, "discount": null, "promoCodeStatus": null, "error": why, "warnings": null}`
	extensionRefusal  = `{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], left, "error": why, "promoCodeStatus": null}`
	autoExtendRefusal = `{"success": false, "proxyType": null, "rentPeriodDays": 0, "quantity": 0, "ipAddressIds": [], left, "error": why}`
)

// refused returns the reply with which an operation refuses, the account at 100 USD or
// not shown.
func refused(op string, shown bool, code int, message string) string {
	balance, currency, name := "null", "null", "currency"
	if shown {
		balance, currency = "100", `"USD"`
	}
	if op == "GET /balance" {
		name = "currencyCode"
	}
	return strings.NewReplacer(
		"left", `"balance": `+balance+`, "`+name+`": `+currency,
		`": B`, `": `+balance, `": C`, `": `+currency,
		"why", fmt.Sprintf(`{"code": %d, "message": "%s"}`, code, message),
	).Replace(refusals[op])
}

func TestWrongKey(t *testing.T) {
	s := newServer(t)
	addOrders(s)
	for op, body := range allBodies {
		method, path, _ := strings.Cut(op, " ")
		status, _, reply := sendTo(t, s, method, "/client/api/v1/other-key"+path, "application/json", body)
		assert.Equal(t, http.StatusOK, status, op)
		assert.Equal(t, refused(op, false, 2, "Error api key"), reply, op)
	}
	assert.Len(t, s.Orders(), 2)
	assert.Empty(t, s.Extensions())
}

func TestCallersThatAreNotAllowed(t *testing.T) {
	elsewhere := newServer(t, youproxytest.WithAllowedIPs(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128")))
	nowhere := newServer(t, youproxytest.WithAllowedIPs())
	for op, body := range allBodies {
		for _, s := range []*youproxytest.Server{elsewhere, nowhere} {
			_, _, reply := send(t, s, op, body)
			assert.Equal(t, refused(op, false, 3, "Caller is not allowed"), reply, op)
		}
	}
	assert.Empty(t, elsewhere.Orders())

	here := newServer(t, youproxytest.WithAllowedIPs(netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("127.0.0.0/8")))
	_, err := newClient(t, here).Balance(t.Context())
	require.NoError(t, err, "in memory")
	loopback, err := youproxy.New(here.APIKey(), youproxy.WithBaseURL(here.URL()))
	require.NoError(t, err)
	defer loopback.CloseIdleConnections()
	_, err = loopback.Balance(t.Context())
	require.NoError(t, err, "on loopback")

	for from, want := range map[string]bool{"192.0.2.7:1": true, "[::ffff:192.0.2.7]:1": true, "198.51.100.7:1": false} {
		r := httptest.NewRequest(http.MethodGet, "/client/api/v1/"+elsewhere.APIKey()+"/balance", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		elsewhere.ServeHTTP(w, r)
		assert.Equal(t, want, strings.Contains(w.Body.String(), `"success": true`), from)
	}
}

func TestNoOperationTakesOtherParameters(t *testing.T) {
	s := newServer(t)
	for op, body := range allBodies {
		op, _, _ = strings.Cut(op, "?")
		status, _, reply := send(t, s, op+"?x=", body)
		assert.Equal(t, http.StatusBadRequest, status, op)
		assert.Contains(t, reply, `"error": {"code": 1, "message": "parameter \"x\" is unknown"}`, op)
	}
	assert.Empty(t, s.Orders())
}

func TestEveryOperationCanBeExecuted(t *testing.T) {
	for op, body := range allBodies {
		s := newServer(t)
		addOrders(s)
		status, _, reply := send(t, s, op, body)
		assert.Equal(t, http.StatusOK, status, op)
		assert.Contains(t, reply, `"success": true`, op)
		assert.True(t, jsontext.Value(reply).IsValid(), op)
	}
}

func TestWhatIsNotInTheAPI(t *testing.T) {
	s := newServer(t)
	for _, path := range []string{"/", "/balance", "/client/api/v1", "/client/api/v1/", "/client/api/v1/" + s.APIKey(), "/client/api/v1/" + s.APIKey() + "/nothing"} {
		status, header, reply := sendTo(t, s, http.MethodGet, path, "", "")
		assert.Equal(t, http.StatusNotFound, status, path)
		assert.Equal(t, "text/html; charset=utf-8", header.Get("Content-Type"), path)
		assert.Contains(t, reply, "<h1>404 Not Found</h1>", path)
	}
	for op, allow := range map[string]string{"GET /order": "POST", "DELETE /order": "POST", "POST /balance": "GET"} {
		status, header, _ := send(t, s, op, "")
		assert.Equal(t, http.StatusMethodNotAllowed, status, op)
		assert.Equal(t, allow, header.Get("Allow"), op)
	}
}

func TestStrictness(t *testing.T) {
	with := edit
	for _, tc := range []struct{ name, op, body, message string }{
		{"no body", "POST /order", "", "Content-Type"},
		{"no JSON", "POST /order", "quantity=1", "the body is not a JSON object"},
		{"no object", "POST /order", "[]", "the body is not a JSON object"},
		{"null", "POST /order", "null", "the body is not a JSON object"},
		{"cut off", "POST /order", ipv4Body[:len(ipv4Body)-1], "the body is not JSON"},
		{"broken value", "POST /order", with(ipv4Body, `: 30`, `: thirty`), `"rentPeriodDays"`},
		{"trailing data", "POST /order", ipv4Body + "{}", "there is data after the end of the JSON object"},
		{"trailing brace", "POST /order", ipv4Body + "}", "there is data after the end of the JSON object"},
		{"unknown field", "POST /order", with(ipv4Body, `"goal"`, `"colour": "red", "goal"`), `"colour" is not part of this request`},
		{"other letter case", "POST /order", with(ipv4Body, `"goal"`, `"Goal"`), `"Goal" is not part of this request`},
		{"repeated field", "POST /order", with(ipv4Body, `"goal"`, `"quantity": 1, "goal"`), `"quantity" is repeated`},
		{"missing goal", "POST /order", with(ipv4Body, `"goal": "prices", `, ``), `"goal" is missing`},
		{"missing authType", "POST /order", quoteBody, `"authType" is missing`},
		{"quantity as a string", "POST /order", with(ipv4Body, `"quantity": 1`, `"quantity": "1"`), `"quantity" must be a whole number`},
		{"quantity with a fraction", "POST /order", with(ipv4Body, `"quantity": 1`, `"quantity": 1.0`), `"quantity" must be a whole number`},
		{"country as a number", "POST /order", with(ipv4Body, `"USA"`, `840`), `"country" must be a string`},
		{"promoCode null", "POST /order", with(ipv4Body, `"goal"`, `"promoCode": null, "goal"`), `"promoCode" must be a string`},
		{"authIp with LOGIN", "POST /order", with(ipv4Body, `"goal"`, `"authIp": "192.0.2.7", "goal"`), `"authIp" is not part of this request`},
		{"IP without authIp", "POST /order", with(ipv4Body, `"LOGIN"`, `"IP"`), `"authIp" is missing`},
		{"protocol with IPv4", "POST /order", with(ipv4Body, `"goal"`, `"protocol": "HTTP", "goal"`), `"protocol" is not part of this request`},
		{"IPv6 without protocol", "POST /order", with(ipv4Body, `"IPv4"`, `"IPv6"`), `"protocol" is missing`},
		{"MOBILE without rotationTime", "POST /order", with(mobileBody, `"rotationTime": 300, `, ``), `"rotationTime" is missing`},
		{"MOBILE with rotationTime 0", "POST /order", with(mobileBody, `300`, `0`), `"rotationTime" must not be 0`},
		{"MOBILE without mobileOperator", "POST /order", with(mobileBody, `"mobileOperator": "verizon", `, ``), `"mobileOperator" is missing`},
		{"mobileOperator with ISP", "POST /order", with(ipv4Body, `IPv4`, `ISP`, `"goal"`, `"mobileOperator": "verizon", "goal"`), `"mobileOperator" is not part of this request`},
		{"authType with a price", "POST /calculate/order", ipv4Body, `"authType" is not part of this request`},
		{"protocol with a price", "POST /calculate/order", with(quoteBody, `IPv4`, `IPv6`, `"goal"`, `"protocol": "HTTP", "goal"`), `"protocol" is not part of this request`},
		{"body of a GET", "GET /balance", "{}", "has no body"},
		{"parameter", "GET /balance?proxyType=IPv4", "", `"proxyType" is unknown`},
		{"parameter of a POST", "POST /order?proxyType=IPv4", ipv4Body, `"proxyType" is unknown`},
		{"parameter in another letter case", "GET /ipAddress?proxytype=IPv4", "", `"proxytype" is unknown`},
		{"repeated parameter", "GET /ipAddress?proxyType=IPv4&proxyType=IPv4", "", `"proxyType" is repeated`},
		{"one parameter too many", "GET /country?proxyType=IPv4&page=1", "", `"page" is unknown`},
		{"country without a type", "GET /country", "", `"proxyType" is missing`},
		{"rent period without a type", "GET /rentPeriod", "", `"proxyType" is missing`},
		{"broken query", "GET /ipAddress?proxyType=%zz", "", `the query is malformed`},
		{"semicolon in a query", "GET /ipAddress?proxyType=IPv4;page=1", "", `the query is malformed`},
		{"extension that is no JSON", "POST /extend", "[]", "the body is not a JSON object"},
		{"ids as a string", "POST /extend", with(extendBody, `["`+ipv4ID+`"]`, `"`+ipv4ID+`"`), `"ipAddressIds" must be an array of strings`},
		{"ids as numbers", "POST /extend", with(extendBody, `"`+ipv4ID+`"`, ipv4ID), `"ipAddressIds" must be an array of strings`},
		{"ids with null", "POST /extend/auto", with(autoBody, `["`, `[null, "`), `"ipAddressIds" must be an array of strings`},
		{"ids with null at the end", "POST /extend/auto", with(autoBody, `"]`, `", null]`), `"ipAddressIds" must be an array of strings`},
		{"ids null", "POST /extend/order", with(extendOrdersBody, `["`+ipv4Order1+`"]`, `null`), `"orderIds" must be an array of strings`},
		{"ids as an object", "POST /extend/order", with(extendOrdersBody, `["`+ipv4Order1+`"]`, `{"a": "b"}`), `"orderIds" must be an array of strings`},
		{"ids of an old page", "POST /extend", with(extendBody, `ipAddressIds`, `IpAddressIds`), `"IpAddressIds" is not part of this request`},
		{"orders by IPs", "POST /extend", extendOrdersBody, `"orderIds" is not part of this request`},
		{"IPs by orders", "POST /calculate/extend/order", extendBody, `"ipAddressIds" is not part of this request`},
		{"no ids", "POST /calculate/extend", with(extendBody, `"ipAddressIds": ["`+ipv4ID+`"], `, ``), `"ipAddressIds" is missing`},
		{"autoExtend as a string", "POST /extend/auto", with(autoBody, `true`, `"true"`), `"autoExtend" must be a boolean`},
		{"autoExtend as a number", "POST /extend/auto", with(autoBody, `true`, `1`), `"autoExtend" must be a boolean`},
		{"no autoExtend", "POST /extend/order/auto", extendOrdersBody, `"autoExtend" is missing`},
		{"autoExtend in an extension", "POST /extend", autoBody, `"autoExtend" is not part of this request`},
		{"promo code in auto-extension", "POST /extend/auto", with(autoBody, `}`, `, "promoCode": "X"}`), `"promoCode" is not part of this request`},
		{"no rent period when off", "POST /extend/auto", with(autoBody, `"rentPeriodDays": 30, `, ``, `true`, `false`), `"rentPeriodDays" is missing`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t)
			status, _, reply := send(t, s, tc.op, tc.body)
			assert.Equal(t, http.StatusBadRequest, status)
			assert.Contains(t, reply, `"success": false`)
			assert.Contains(t, reply, `"error": {"code": 1, "message": "`)
			assert.Contains(t, strings.ReplaceAll(reply, `\"`, `"`), tc.message)
			assert.Empty(t, s.Orders())
		})
	}
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		s := newServer(t)
		status, _, reply := sendTo(t, s, http.MethodPost, "/client/api/v1/"+s.APIKey()+"/order", contentType, ipv4Body)
		assert.Equal(t, http.StatusBadRequest, status, contentType)
		assert.Contains(t, reply, "Content-Type", contentType)
	}
}

func TestBusinessErrors(t *testing.T) {
	for _, tc := range []struct {
		code int
		body string
	}{
		{4, edit(ipv4Body, "IPv4", "ipv4")},
		{6, edit(ipv4Body, "USA", "us")},
		{6, edit(ipv4Body, "USA", "usa")},
		{7, edit(ipv4Body, "USA", "XXX")},
		{19, edit(ipv4Body, `"quantity": 1`, `"quantity": 0`)},
		{19, edit(ipv4Body, `"quantity": 1`, `"quantity": 1001`)},
		{11, edit(ipv4Body, ": 30", ": 31")},
		{11, edit(ipv6Body, ": 30", ": 60")},
		{11, edit(mobileBody, ": 30,", ": 90,")},
		{14, edit(ipv4Body, "prices", "more SPAM")},
		{14, edit(ipv4Body, "prices", "")},
		{10, edit(ipv4Body, "LOGIN", "login")},
		{23, edit(ipv6Body, "192.0.2.7", "192.0.2")},
		{13, edit(ipv6Body, "HTTP", "FTP")},
		{8, edit(mobileBody, "verizon", "nobody")},
		{8, edit(mobileBody, "verizon", "vodafone")}, // of another country
		{7, edit(mobileBody, "USA", "FRA")},          // no operator there
		{16, edit(ipv4Body, `"quantity": 1`, `"quantity": 1000`)},
	} {
		t.Run(fmt.Sprint(tc.code), func(t *testing.T) {
			s := newServer(t)
			status, _, reply := send(t, s, "POST /order", tc.body)
			assert.Equal(t, http.StatusOK, status)
			assert.Contains(t, reply, fmt.Sprintf(`"balance": 100, "currency": "USD", "error": {"code": %d, `, tc.code))
			assert.Empty(t, s.Orders())
			assert.Equal(t, "100 USD", s.Balance().String())
		})
	}
}

// edit replaces the first of each pair, which must be there, with the second.
func edit(text string, pairs ...string) string {
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			panic(pairs[i] + " is not in " + text)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}
