package integration

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestContractCatchesBadReplies(t *testing.T) {
	c := theContract(t)
	const ok = "application/json"
	const ips = `{"success": true, "IPV4": [{"orderId": "o", "list": [{"id": "1", "port": 80}]}, {"ipAddressId": "2", "orderId": "o"}]}`
	const operatorsInCountries = `{"success": true, "country": [{"operators": {"dedicated": [{"tag": "ee", "rotations": [{"id": 0}]}], "shared": []}}]}`
	type reply struct {
		name, op string
		status   int
		media    string
		body     string
	}
	for _, good := range []reply{
		{"order", "POST /order", 200, ok, orderPlaced},
		{"order with a charset", "POST /order", 200, ok + "; charset=utf-8", orderPlaced},
		{"refusal", "POST /order", 200, ok, orderRefused},
		{"proxy types", "GET /proxyType", 200, ok, `{"success": true, "types": ["IPv4", {"code": "IPv6"}]}`},
		{"refused proxy types", "GET /proxyType", 200, ok, `{"success": false, "error": {"code": 2, "message": "Error api key"}}`},
		{"countries", "GET /country", 200, ok, `{"success": true, "countries": [{"alpha3code": "USA", "countryName": "United States"}], "error": null}`},
		{"operators", "GET /mobileOperator", 200, ok, `{"success": true, "operators": [{"id": 7, "title": "Seven", "times": [300]}]}`},
		{"operators with tags", "GET /mobileOperator", 200, ok, `{"success": true, "mobileOperators": [{"tag": "verizon", "rotations": [{"id": 0, "name": "By link"}]}]}`},
		{"operators in countries", "GET /mobileOperator", 200, ok, operatorsInCountries},
		{"no proxies", "GET /ipAddress", 200, ok, `{"success": true, "error": null}`},
		{"proxies of one type", "GET /ipAddress", 200, ok, `{"success": true, "proxyType": "isp", "proxies": [{"id": "1", "dateEnd": "2023-10-26T10:49:49"}]}`},
		{"a page of proxies", "GET /ipAddress", 200, ok, `{"success": true, "content": [{"ipAddressId": "1"}], "totalElements": 1, "number": 0}`},
		{"proxies", "GET /ipAddress", 200, ok, ips},
	} {
		t.Run("good/"+good.name, func(t *testing.T) {
			assert.Empty(t, c.replyTo(good.op, good.status, good.media, good.body))
		})
	}
	for _, bad := range []reply{
		{"other status", "POST /order", 400, ok, orderRefused},
		{"page", "GET /balance", 200, "text/html", "<html></html>"},
		{"page that says it is JSON", "GET /balance", 200, ok, "<html></html>"},
		{"no media type", "GET /balance", 200, "", accountBalance},
		{"empty", "POST /order", 200, ok, ""},
		{"null", "POST /order", 200, ok, "null"},
		{"no object", "POST /order", 200, ok, "[]"},
		{"reply to another call", "GET /balance", 200, ok, orderPlaced},
		{"no success", "POST /order", 200, ok, changed(t, orderPlaced, `"success": true, `, ``)},
		{"success as a text", "POST /order", 200, ok, changed(t, orderPlaced, `true`, `"true"`)},
		{"success with an error", "POST /order", 200, ok, changed(t, orderPlaced, `"error": null`, `"error": {"code": 1, "message": ""}`)},
		{"refusal without an error", "POST /order", 200, ok, changed(t, orderPlaced, `true`, `false`)},
		{"error without a code", "POST /order", 200, ok, changed(t, orderRefused, `"code": 14, `, ``)},
		{"no order number", "POST /order", 200, ok, changed(t, orderPlaced, `"orderNumber": "NUMBER-112233", `, ``)},
		{"order number null", "POST /order", 200, ok, changed(t, orderPlaced, `"NUMBER-112233"`, `null`)},
		{"order number that is a number", "POST /order", 200, ok, changed(t, orderPlaced, `"NUMBER-112233"`, `112233`)},
		{"balance as a text", "POST /order", 200, ok, changed(t, orderPlaced, `4.57`, `"4.57"`)},
		{"balance null", "GET /balance", 200, ok, changed(t, accountBalance, `25.03`, `null`)},
		{"the other name of the currency", "GET /balance", 200, ok, changed(t, accountBalance, `currencyCode`, `currency`)},
		{"unknown promo code status", "POST /order", 200, ok, changed(t, orderPlaced, `"promoCodeStatus": null`, `"promoCodeStatus": "MAYBE"`)},
		{"member twice", "POST /order", 200, ok, changed(t, orderPlaced, `"balance"`, `"currency": "EUR", "balance"`)},
		{"date that is none", "GET /promoCode", 200, ok, `{"success": true, "promoCodes": [{"code": "A", "countUses": 0, "startDate": "yesterday", ` +
			`"endDate": null, "endless": true, "discount": 10, "descriptionsByLocale": {}}], "error": null}`},
		{"proxy types without a list", "GET /proxyType", 200, ok, `{"success": true}`},
		{"proxy types of numbers", "GET /proxyType", 200, ok, `{"success": true, "items": [4, 6]}`},
		{"countries without codes", "GET /country", 200, ok, `{"success": true, "countries": [{"name": "United States"}]}`},
		{"operators without tags", "GET /mobileOperator", 200, ok, `{"success": true, "operators": [{"title": "Seven"}]}`},
		{"operators in countries without tags", "GET /mobileOperator", 200, ok, changed(t, operatorsInCountries, `"tag": "ee", `, ``)},
		{"operators with a rotation of null", "GET /mobileOperator", 200, ok, changed(t, operatorsInCountries, `{"id": 0}`, `{"id": null}`)},
		{"countries without operators", "GET /mobileOperator", 200, ok, changed(t, operatorsInCountries, `"operators"`, `"tariffs"`)},
		{"proxies of one type without ids", "GET /ipAddress", 200, ok, `{"success": true, "proxyType": "isp", "proxies": [{"ip": "192.0.2.1"}]}`},
		{"a page that is no list", "GET /ipAddress", 200, ok, `{"success": true, "content": {"ipAddressId": "1"}}`},
		{"proxies that are no list", "GET /ipAddress", 200, ok, `{"success": true, "ipv4": {"id": "1"}}`},
		{"proxies without ids", "GET /ipAddress", 200, ok, changed(t, ips, `"ipAddressId": "2", `, ``)},
		{"proxies without ids in an order", "GET /ipAddress", 200, ok, changed(t, ips, `"id": "1", `, ``)},
		{"port that is none", "GET /ipAddress", 200, ok, changed(t, ips, `80`, `[80]`)},
	} {
		t.Run("bad/"+bad.name, func(t *testing.T) {
			assert.NotEmpty(t, c.replyTo(bad.op, bad.status, bad.media, bad.body))
		})
	}
}

func (c *contract) replyTo(op string, status int, media, body string) []string {
	header := http.Header{}
	if media != "" {
		header.Set("Content-Type", media)
	}
	return c.reply(operation{name: op}.request(""), status, header, []byte(body))
}
