package youproxytest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestPromoCodesAreListed(t *testing.T) {
	descriptions := map[string]string{"ru": "Описание", "en": "Description in english locale"}
	s := newServer(t, youproxytest.WithPromoCode("WELCOME", 5), youproxytest.WithPromoCodes(
		youproxytest.PromoCode{
			Code: "CLIENT-PROMO", Percent: 10, Descriptions: descriptions,
			Start: time.Date(2023, 10, 26, 10, 49, 49, 220e6, time.UTC),
			End:   time.Date(2023, 11, 28, 12, 49, 49, 220e6, time.FixedZone("", 2*60*60)),
		},
	), youproxytest.WithPromoCode("WELCOME", 6))
	descriptions["en"] = "X"
	_, _, reply := send(t, s, "GET /promoCode", "")
	assert.Equal(t, `{"success": true, "promoCodes": [`+
		`{"code": "WELCOME", "countUses": 0, "startDate": "1970-01-01T00:00:00.000+00:00", "endDate": null, "endless": true, "discount": 6, "descriptionsByLocale": {}}, `+
		`{"code": "CLIENT-PROMO", "countUses": 0, "startDate": "2023-10-26T10:49:49.220+00:00", "endDate": "2023-11-28T10:49:49.220+00:00", `+
		`"endless": false, "discount": 10, "descriptionsByLocale": {"en": "Description in english locale", "ru": "Описание"}}], "error": null}`, reply)
}

func TestPromoCodeHoldsFromStartToEnd(t *testing.T) {
	c := newClock()
	start, end := c.Now().Add(day), c.Now().Add(2*day)
	s := newServer(t, youproxytest.WithClock(c.Now), youproxytest.WithPromoCodes(
		youproxytest.PromoCode{Code: "BOTH", Percent: 10, Start: start, End: end},
		youproxytest.PromoCode{Code: "START", Percent: 10, Start: start},
		youproxytest.PromoCode{Code: "END", Percent: 10, End: end},
	))
	s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 1})
	for _, tc := range []struct {
		wait  time.Duration
		valid []string
	}{
		{day - 1, []string{"END"}},
		{1, []string{"BOTH", "START", "END"}},
		{day, []string{"BOTH", "START", "END"}},
		{1, []string{"START"}},
	} {
		c.advance(tc.wait)
		for _, code := range []string{"BOTH", "START", "END"} {
			want := `"price": 1.31, "currency": "USD", "discount": 0, "promoCodeStatus": "NO_VALID"`
			for _, valid := range tc.valid {
				if valid == code {
					want = `"price": 1.18, "currency": "USD", "discount": 10, "promoCodeStatus": "VALID"`
				}
			}
			promo := `"promoCode": "` + code + `"}`
			_, _, reply := send(t, s, "POST /calculate/order", edit(quoteBody, `}`, `, `+promo))
			assert.Contains(t, reply, want, code)
			_, _, reply = send(t, s, "POST /calculate/extend", edit(extendBody, `}`, `, `+promo))
			assert.Contains(t, reply, want, code)
		}
	}
}

func TestPromoCodeUsesAreThoseThatWereExecuted(t *testing.T) {
	s := newServer(t, youproxytest.WithPromoCode("TEN", 10), youproxytest.WithPromoCode("OTHER", 20))
	addOrders(s)
	promo := func(body string) string { return edit(body, `{`, `{"promoCode": "TEN", `) }
	for _, tc := range []struct {
		op, body string
		uses     string
	}{
		{"POST /calculate/order", promo(quoteBody), "0"},
		{"POST /calculate/extend", promo(extendBody), "0"},
		{"POST /order", promo(edit(ipv4Body, "USA", "XXX")), "0"},
		{"POST /order", promo(edit(ipv4Body, `"quantity": 1`, `"quantity": 1000`)), "0"},
		{"POST /order", promo(ipv4Body), "1"},
		{"POST /order", ipv4Body, "1"},
		{"POST /extend", promo(extendBody), "2"},
		{"POST /extend/order", promo(extendOrdersBody), "3"},
		{"POST /order", promo(ipv4Body), "4"},
	} {
		send(t, s, tc.op, tc.body)
		_, _, reply := send(t, s, "GET /promoCode", "")
		assert.Contains(t, reply, `"code": "TEN", "countUses": `+tc.uses+`,`, tc.op)
		assert.Contains(t, reply, `"code": "OTHER", "countUses": 0,`)
	}
}
