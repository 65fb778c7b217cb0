package youproxytest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

const (
	ipv4Body   = `{"proxyType": "IPv4", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "prices", "authType": "LOGIN"}`
	ipv6Body   = `{"proxyType": "IPv6", "quantity": 3, "rentPeriodDays": 30, "country": "USA", "goal": "prices", "authType": "IP", "authIp": "192.0.2.7", "protocol": "HTTP", "promoCode": "WELCOME"}`
	mobileBody = `{"proxyType": "MOBILE", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "prices", "authType": "LOGIN", "rotationTime": 300, "mobileOperator": "verizon", "promoCode": "NOPE"}`
	quoteBody  = `{"proxyType": "IPv4", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "prices"}`
)

func TestRepliesAreThoseOfTheDocumentation(t *testing.T) {
	for _, tc := range []struct {
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
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t, youproxytest.WithBalance(youproxy.MustMoney(tc.balance)), youproxytest.WithPromoCode("WELCOME", 10))
			_, header, reply := send(t, s, tc.op, tc.body)
			assert.Equal(t, "application/json", header.Get("Content-Type"))
			assert.Equal(t, tc.want, reply)
		})
	}
}

func TestWrongKey(t *testing.T) {
	s := newServer(t)
	for op, want := range map[string]string{
		"GET /balance": `{"success": false, "balance": null, "currencyCode": null, "error": {"code": 2, "message": "Error api key"}}`,
		"POST /calculate/order": `{"success": false, "proxyType": null, "balance": null, "price": null, "currency": null, "discount": null, "promoCodeStatus": null, ` +
			`"error": {"code": 2, "message": "Error api key"}, "warnings": null}`,
		"POST /order": `{"success": false, "proxyType": null, "orderNumber": null, "balance": null, "currency": null, "error": {"code": 2, "message": "Error api key"}, "promoCodeStatus": null}`,
	} {
		method, path, _ := strings.Cut(op, " ")
		status, _, reply := sendTo(t, s, method, "/client/api/v1/other-key"+path, "application/json", ipv4Body)
		assert.Equal(t, http.StatusOK, status, op)
		assert.Equal(t, want, reply, op)
	}
	assert.Empty(t, s.Orders())
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
		{"trailing data", "POST /order", ipv4Body + "{}", "goes on after its end"},
		{"trailing brace", "POST /order", ipv4Body + "}", "goes on after its end"},
		{"unknown field", "POST /order", with(ipv4Body, `"goal"`, `"colour": "red", "goal"`), `"colour" does not belong`},
		{"other letter case", "POST /order", with(ipv4Body, `"goal"`, `"Goal"`), `"Goal" does not belong`},
		{"field given twice", "POST /order", with(ipv4Body, `"goal"`, `"quantity": 1, "goal"`), `"quantity" is given twice`},
		{"missing goal", "POST /order", with(ipv4Body, `"goal": "prices", `, ``), `"goal" is missing`},
		{"missing authType", "POST /order", quoteBody, `"authType" is missing`},
		{"quantity as a string", "POST /order", with(ipv4Body, `"quantity": 1`, `"quantity": "1"`), `"quantity" must be a whole number`},
		{"quantity with a fraction", "POST /order", with(ipv4Body, `"quantity": 1`, `"quantity": 1.0`), `"quantity" must be a whole number`},
		{"country as a number", "POST /order", with(ipv4Body, `"USA"`, `840`), `"country" must be a string`},
		{"promoCode null", "POST /order", with(ipv4Body, `"goal"`, `"promoCode": null, "goal"`), `"promoCode" must be a string`},
		{"authIp with LOGIN", "POST /order", with(ipv4Body, `"goal"`, `"authIp": "192.0.2.7", "goal"`), `"authIp" does not belong`},
		{"IP without authIp", "POST /order", with(ipv4Body, `"LOGIN"`, `"IP"`), `"authIp" is missing`},
		{"protocol with IPv4", "POST /order", with(ipv4Body, `"goal"`, `"protocol": "HTTP", "goal"`), `"protocol" does not belong`},
		{"IPv6 without protocol", "POST /order", with(ipv4Body, `"IPv4"`, `"IPv6"`), `"protocol" is missing`},
		{"MOBILE without rotationTime", "POST /order", with(mobileBody, `"rotationTime": 300, `, ``), `"rotationTime" is missing`},
		{"MOBILE with rotationTime 0", "POST /order", with(mobileBody, `300`, `0`), `"rotationTime" must not be 0`},
		{"MOBILE without mobileOperator", "POST /order", with(mobileBody, `"mobileOperator": "verizon", `, ``), `"mobileOperator" is missing`},
		{"mobileOperator with ISP", "POST /order", with(ipv4Body, `IPv4`, `ISP`, `"goal"`, `"mobileOperator": "verizon", "goal"`), `"mobileOperator" does not belong`},
		{"authType with a price", "POST /calculate/order", ipv4Body, `"authType" does not belong`},
		{"protocol with a price", "POST /calculate/order", with(quoteBody, `IPv4`, `IPv6`, `"goal"`, `"protocol": "HTTP", "goal"`), `"protocol" does not belong`},
		{"body of a GET", "GET /balance", "{}", "has no body"},
		{"parameter", "GET /balance?proxyType=IPv4", "", `"proxyType" is unknown`},
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
