package youproxytest_test

import (
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// What a quote says of the price, and what is then charged.
func TestPricesInOtherForms(t *testing.T) {
	perProxy, total := youproxytest.WithPricePerProxy(), youproxytest.WithTotalBesidePrice()
	for _, tc := range []struct {
		name, quantity, promo string
		opts                  []youproxytest.Option
		quote, charged        string
	}{
		{"one proxy", "1", "", []youproxytest.Option{perProxy}, `"price": 1.31, "currency"`, "1.31"},
		{"three proxies", "3", "", []youproxytest.Option{perProxy}, `"price": 1.31, "currency"`, "3.93"},
		{"rounded for each", "3", "THIRD", []youproxytest.Option{perProxy}, `"price": 0.88, "currency": "USD", "discount": 33`, "2.64"}, // 0.8777
		{"tax on one", "1", "", []youproxytest.Option{total}, `"price": 1.31, "total": 1.58, "currency"`, "1.58"},                       // 1.572
		{"tax on three", "3", "", []youproxytest.Option{total}, `"price": 3.93, "total": 4.72, "currency"`, "4.72"},                     // 4.716
		{"tax on nothing", "3", "ALL", []youproxytest.Option{total}, `"price": 0, "total": 0, "currency"`, "0"},
		{"both", "3", "", []youproxytest.Option{perProxy, total}, `"price": 1.31, "total": 4.72, "currency"`, "4.72"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newServer(t, append(tc.opts, youproxytest.WithPromoCode("THIRD", 33), youproxytest.WithPromoCode("ALL", 100))...)
			body := func(body string) string {
				if tc.promo != "" {
					body = edit(body, "{", `{"promoCode": "`+tc.promo+`", `)
				}
				return edit(body, `"quantity": 1`, `"quantity": `+tc.quantity)
			}
			_, _, reply := send(t, s, "POST /calculate/order", body(quoteBody))
			assert.Contains(t, reply, tc.quote)
			_, _, reply = send(t, s, "POST /order", body(ipv4Body))
			assert.NotContains(t, reply, `"total"`)
			assert.Equal(t, tc.charged+" USD", s.Orders()[0].Price.String())
			left := charged(t, "100 USD", tc.charged+" USD")
			assert.Equal(t, left, s.Balance().String())
		})
	}
}

func charged(t *testing.T, before, price string) string {
	t.Helper()
	left, err := youproxy.MustMoney(before).Sub(youproxy.MustMoney(price))
	assert.NoError(t, err)
	return left.String()
}

func TestPricesOfExtensionsInOtherForms(t *testing.T) {
	s := newServer(t, youproxytest.WithPricePerProxy(), youproxytest.WithTotalBesidePrice(), youproxytest.WithBalance(youproxy.MustMoney("3.14 USD")))
	addOrders(s)
	_, _, reply := send(t, s, "POST /calculate/extend/order", extendOrdersBody)
	assert.Contains(t, reply, `"price": 1.31, "total": 3.15, "currency"`) // 3.144
	assert.Contains(t, reply, `"warnings": [{"code": 16, `, "what is charged counts")
	_, _, reply = send(t, s, "POST /extend/order", extendOrdersBody)
	assert.Contains(t, reply, `"error": {"code": 16, `)
	s.SetBalance(youproxy.MustMoney("3.15 USD"))
	send(t, s, "POST /extend/order", extendOrdersBody)
	assert.Equal(t, "3.15 USD", s.Extensions()[0].Price.String())
	assert.Equal(t, "0 USD", s.Balance().String())
	_, _, reply = send(t, s, "POST /calculate/extend", edit(extendBody, "IPv4", "IPv5"))
	assert.Contains(t, reply, `"price": null, "currency"`, "a refusal has no total")
}

func TestNullBalances(t *testing.T) {
	s := newServer(t, youproxytest.WithNullBalances())
	addOrders(s)
	for op, body := range allBodies {
		_, _, reply := send(t, s, op, body)
		switch op {
		case "POST /calculate/order", "POST /calculate/extend", "POST /calculate/extend/order":
			assert.Contains(t, reply, `"balance": null, "price": `, op)
			assert.Contains(t, reply, `"currency": "USD"`, op)
		case "GET /balance", "POST /order", "POST /extend", "POST /extend/order", "POST /extend/auto", "POST /extend/order/auto":
			assert.Regexp(t, `"balance": \d`, reply, op)
		}
	}
	for op, body := range map[string]string{
		"POST /calculate/order": edit(quoteBody, "USA", "ATA"), "POST /order": edit(ipv4Body, "USA", "ATA"), "POST /extend": edit(extendBody, "IPv4", "IPv5"),
		"POST /extend/auto": edit(autoBody, "IPv4", "IPv5"), "POST /extend/order": "{",
	} {
		_, _, reply := send(t, s, op, body)
		assert.Contains(t, reply, `"success": false`, op)
		assert.Contains(t, reply, `"balance": null`, op)
		assert.Contains(t, reply, `"currency": null`, op)
	}
	s.Refuse("GET /balance", 35)
	_, _, reply := send(t, s, "GET /balance", "")
	assert.Equal(t, `{"success": false, "balance": null, "currencyCode": null, "error": {"code": 35, "message": "Unknown error"}}`, reply)
}

func TestSetPrice(t *testing.T) {
	s := newServer(t)
	s.SetPrice(youproxy.ProxyTypeIPv4, decimal.RequireFromString("1.5"))
	_, _, reply := send(t, s, "POST /calculate/order", quoteBody)
	assert.Contains(t, reply, `"price": 1.5,`)
	_, _, _ = send(t, s, "POST /order", ipv4Body)
	assert.Equal(t, "98.5 USD", s.Balance().String())
	assert.PanicsWithValue(t, `youproxytest: a price of -1 for proxy type "IPv4": it must not be negative, and the type must be on sale`, func() {
		s.SetPrice(youproxy.ProxyTypeIPv4, decimal.NewFromInt(-1))
	})
	assert.Panics(t, func() { s.SetPrice("ipv4", decimal.NewFromInt(1)) })
}
