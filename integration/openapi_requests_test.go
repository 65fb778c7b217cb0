package integration

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	goodOrder  = `{"proxyType": "IPv4", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "prices", "authType": "LOGIN"}`
	goodExtend = `{"proxyType": "IPv4", "ipAddressIds": ["1"], "rentPeriodDays": 30}`
	goodAuto   = `{"proxyType": "IPv4", "orderIds": ["1"], "rentPeriodDays": 30, "autoExtend": false}`
)

// changed replaces each old string, which must be there, with the new one after it.
func changed(t *testing.T, text string, oldNew ...string) string {
	t.Helper()
	for i := 0; i < len(oldNew); i += 2 {
		require.Contains(t, text, oldNew[i])
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	return text
}

// sample is a request. Its op may have a query.
type sample struct{ name, op, body string }

func goodRequests(t *testing.T) []sample {
	order := func(oldNew ...string) string { return changed(t, goodOrder, oldNew...) }
	return []sample{
		{"balance", "GET /balance", ""},
		{"country", "GET /country?proxyType=MOBILE", ""},
		{"all proxies", "GET /ipAddress", ""},
		{"proxies of one type", "GET /ipAddress?proxyType=IPv6", ""},
		{"order", "POST /order", goodOrder},
		{"order by IPv4 address", "POST /order", order(`"LOGIN"`, `"IP", "authIp": "192.0.2.7"`)},
		{"order by IPv6 address", "POST /order", order(`"LOGIN"`, `"IP", "authIp": "2001:db8::1"`)},
		{"order of mobile proxies", "POST /order", order(`IPv4`, `MOBILE`, `"goal"`, `"rotationTime": 300, "mobileOperator": "verizon", "goal"`)},
		{"order of mobile proxies that rotate by link", "POST /order", order(`IPv4`, `MOBILE`, `"goal"`, `"rotationTime": 0, "mobileOperator": "verizon", "goal"`)},
		{"price", "POST /calculate/order", order(`, "authType": "LOGIN"`, ``)},
		{"extension", "POST /extend", goodExtend},
		{"auto-extension", "POST /extend/order/auto", goodAuto},
	}
}

func badRequests(t *testing.T) []sample {
	order := func(oldNew ...string) string { return changed(t, goodOrder, oldNew...) }
	return []sample{
		{"unknown path", "GET /nothing", ""},
		{"path too long", "POST /order/more", goodOrder},
		{"other letter case", "POST /Order", goodOrder},
		{"other method", "GET /order", ""},
		{"method with a body", "PUT /order", goodOrder},
		{"unknown parameter", "GET /balance?page=1", ""},
		{"parameter in other letter case", "GET /ipAddress?proxytype=IPv4", ""},
		{"parameter of a POST", "POST /order?dryRun=1", goodOrder},
		{"parameter twice", "GET /country?proxyType=IPv4&proxyType=IPv6", ""},
		{"missing parameter", "GET /country", ""},
		{"missing parameter of periods", "GET /rentPeriod", ""},
		{"empty parameter", "GET /ipAddress?proxyType=", ""},
		{"parameter of an unknown value", "GET /ipAddress?proxyType=ipv4", ""},
		{"body of a GET", "GET /balance", "{}"},
		{"no body", "POST /order", ""},
		{"no object", "POST /order", "[]"},
		{"null", "POST /order", "null"},
		{"no JSON", "POST /order", "quantity=1"},
		{"cut off", "POST /order", goodOrder[:len(goodOrder)-1]},
		{"trailing brace", "POST /order", goodOrder + "}"},
		{"member twice", "POST /order", order(`"goal"`, `"quantity": 2, "goal"`)},
		{"additional member", "POST /order", order(`"goal"`, `"colour": "red", "goal"`)},
		{"member in other letter case", "POST /order", order(`"goal"`, `"Goal"`)},
		{"wrong type", "POST /order", order(`"quantity": 1`, `"quantity": "1"`)},
		{"fraction", "POST /order", order(`"quantity": 1`, `"quantity": 1.5`)},
		{"none", "POST /order", order(`"quantity": 1`, `"quantity": 0`)},
		{"null member", "POST /order", order(`"goal"`, `"promoCode": null, "goal"`)},
		{"empty promo code", "POST /order", order(`"goal"`, `"promoCode": "", "goal"`)},
		{"missing member", "POST /order", order(`"goal": "prices", `, ``)},
		{"alpha-2 country", "POST /order", order(`USA`, `US`)},
		{"unknown proxy type", "POST /order", order(`IPv4`, `IPv5`)},
		{"proxy type in other letter case", "POST /order", order(`IPv4`, `ipv4`)},
		{"authIp with LOGIN", "POST /order", order(`"goal"`, `"authIp": "192.0.2.7", "goal"`)},
		{"IP without authIp", "POST /order", order(`LOGIN`, `IP`)},
		{"authIp that is none", "POST /order", order(`"LOGIN"`, `"IP", "authIp": "here"`)},
		{"protocol with IPv4", "POST /order", order(`"goal"`, `"protocol": "HTTP", "goal"`)},
		{"protocol with ISP", "POST /order", order(`IPv4`, `ISP`, `"goal"`, `"protocol": "HTTP", "goal"`)},
		{"IPv6 without protocol", "POST /order", order(`IPv4`, `IPv6`)},
		{"MOBILE without operator", "POST /order", order(`IPv4`, `MOBILE`, `"goal"`, `"rotationTime": 300, "goal"`)},
		{"MOBILE without rotation", "POST /order", order(`IPv4`, `MOBILE`, `"goal"`, `"mobileOperator": "verizon", "goal"`)},
		{"rotation with ISP", "POST /order", order(`IPv4`, `ISP`, `"goal"`, `"rotationTime": 300, "goal"`)},
		{"price with authType", "POST /calculate/order", goodOrder},
		{"price of IPv6 with protocol", "POST /calculate/order", order(`IPv4`, `IPv6`, `, "authType": "LOGIN"`, `, "protocol": "HTTP"`)},
		{"price of MOBILE without its members", "POST /calculate/order", order(`IPv4`, `MOBILE`, `, "authType": "LOGIN"`, ``)},
		{"extension by the other ids", "POST /extend/order", goodExtend},
		{"extension by the ids of an old page", "POST /extend", changed(t, goodExtend, `ipAddressIds`, `IpAddressIds`)},
		{"extension of nothing", "POST /extend", changed(t, goodExtend, `["1"]`, `[]`)},
		{"extension by one id", "POST /extend", changed(t, goodExtend, `["1"]`, `"1"`)},
		{"id that is a number", "POST /calculate/extend", changed(t, goodExtend, `["1"]`, `[1]`)},
		{"auto-extension without a switch", "POST /extend/order/auto", changed(t, goodAuto, `, "autoExtend": false`, ``)},
		{"auto-extension without a period", "POST /extend/order/auto", changed(t, goodAuto, `"rentPeriodDays": 30, `, ``)},
		{"auto-extension with a promo code", "POST /extend/order/auto", changed(t, goodAuto, `"autoExtend"`, `"promoCode": "A", "autoExtend"`)},
	}
}

func (s sample) brokenIn(c *contract) []string {
	method, path, _ := strings.Cut(s.op, " ")
	return c.request(newRequest(method, basePath+"key"+path, s.body), []byte(s.body))
}

func TestContractCatchesBadRequests(t *testing.T) {
	c := theContract(t)
	for _, good := range goodRequests(t) {
		t.Run("good/"+good.name, func(t *testing.T) { assert.Empty(t, good.brokenIn(c)) })
	}
	for _, bad := range badRequests(t) {
		t.Run("bad/"+bad.name, func(t *testing.T) { assert.NotEmpty(t, bad.brokenIn(c)) })
	}
	for name, target := range map[string]string{
		"no key": "/client/api/v1/balance", "empty key": "/client/api/v1//balance", "other version": "/client/api/v2/key/balance", "no base": "/key/balance",
	} {
		t.Run("bad/"+name, func(t *testing.T) {
			assert.NotEmpty(t, c.request(newRequest("GET", target, ""), nil))
		})
	}
	t.Run("bad/media type", func(t *testing.T) {
		for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
			r := newRequest("POST", basePath+"key/order", goodOrder)
			r.Header.Del("Content-Type")
			if media != "" {
				r.Header.Set("Content-Type", media)
			}
			assert.NotEmpty(t, c.request(r, []byte(goodOrder)), "%q", media)
		}
	})
}
