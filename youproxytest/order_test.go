package youproxytest_test

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestPrices(t *testing.T) {
	for _, tc := range []struct {
		proxyType      youproxy.ProxyType
		quantity, days int
		promoCode      string
		want           string
		status         youproxy.PromoCodeStatus
	}{
		{"IPv4", 1, 30, "", "1.31 USD", ""},
		{"IPv4", 3, 360, "", "47.16 USD", ""},
		{"IPv4", 1, 30, "TEN", "1.18 USD", "VALID"},   // 1.179
		{"IPv4", 3, 30, "THIRD", "2.64 USD", "VALID"}, // 2.6331
		{"IPv4", 1, 30, "NOTHING", "1.31 USD", "VALID"},
		{"IPv4", 1, 30, "ALL", "0 USD", "VALID"},
		{"IPv4", 1, 30, "ten", "1.31 USD", "NO_VALID"},
		{"IPv6", 10, 90, "", "8.1 USD", ""},
		{"MOBILE", 1, 360, "", "222 USD", ""},
		{"ISP", 1000, 180, "TEN", "12960 USD", "VALID"},
	} {
		t.Run(fmt.Sprint(tc.proxyType, tc.quantity, tc.days, tc.promoCode), func(t *testing.T) {
			s := newServer(t, youproxytest.WithBalance(youproxy.MustMoney("20000 USD")), youproxytest.WithPromoCode("TEN", 10),
				youproxytest.WithPromoCode("THIRD", 33), youproxytest.WithPromoCode("NOTHING", 0), youproxytest.WithPromoCode("ALL", 100))
			c := newClient(t, s)
			r := ipv4Order
			r.Quantity, r.RentPeriodDays, r.PromoCode = tc.quantity, tc.days, tc.promoCode
			req := map[youproxy.ProxyType]youproxy.OrderRequest{
				"IPv4": r,
				"ISP":  youproxy.ISPOrderRequest(r),
				"IPv6": youproxy.IPv6OrderRequest{
					Country: r.Country, Quantity: r.Quantity, RentPeriodDays: r.RentPeriodDays, Goal: r.Goal, PromoCode: r.PromoCode,
					AuthType: youproxy.AuthTypeIP, AuthIP: netip.MustParseAddr("2001:db8::1"), Protocol: youproxy.ProtocolSOCKS,
				},
				"MOBILE": youproxy.MobileOrderRequest{
					Country: r.Country, Quantity: r.Quantity, RentPeriodDays: r.RentPeriodDays, Goal: r.Goal, PromoCode: r.PromoCode,
					AuthType: youproxy.AuthTypeLogin, MobileOperator: "verizon", RotationTime: 300,
				},
			}[tc.proxyType]

			quote, err := c.QuoteOrder(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, tc.want, quote.Price.String())
			assert.Equal(t, tc.status, quote.PromoCodeStatus)
			assert.Equal(t, "20000 USD", s.Balance().String(), "a price costs nothing")

			order, err := c.CreateOrder(t.Context(), req)
			require.NoError(t, err)
			assert.Equal(t, tc.status, order.PromoCodeStatus)
			ledger := s.Orders()
			require.Len(t, ledger, 1)
			assert.WithinDuration(t, time.Now(), ledger[0].CreatedAt, time.Minute)
			ledger[0].CreatedAt = time.Time{}
			want := youproxytest.Order{
				ID: "1112223334283d122", Number: order.Number, ProxyType: tc.proxyType, Country: "USA", Quantity: tc.quantity, RentPeriodDays: tc.days,
				AuthType: youproxy.AuthTypeLogin, Price: ledger[0].Price, PromoCode: tc.promoCode,
			}
			switch tc.proxyType {
			case youproxy.ProxyTypeIPv6:
				want.AuthType, want.AuthIP, want.Protocol = youproxy.AuthTypeIP, netip.MustParseAddr("2001:db8::1"), youproxy.ProtocolSOCKS
			case youproxy.ProxyTypeMobile:
				want.MobileOperator, want.RotationTime = "verizon", 300
			}
			assert.Equal(t, want, ledger[0])
			assert.Equal(t, tc.want, ledger[0].Price.String())
			assert.True(t, s.Balance().Amount.Add(quote.Price.Amount).Equal(quote.Balance.Amount))
			assert.True(t, order.Balance.Equal(s.Balance()))
		})
	}
}

func TestDiscountOutOfRange(t *testing.T) {
	for _, percent := range []int{-1, 101} {
		assert.Panics(t, func() { youproxytest.WithPromoCode("X", percent) })
	}
}

func TestOrderNumbersRise(t *testing.T) {
	s := newServer(t)
	c := newClient(t, s)
	for _, want := range []youproxy.OrderNumber{"NUMBER-112233", "NUMBER-112234", "NUMBER-112235"} {
		order, err := c.CreateOrder(t.Context(), ipv4Order)
		require.NoError(t, err)
		assert.Equal(t, want, order.Number)
	}
}

func TestBalanceCanBeSet(t *testing.T) {
	s := newServer(t)
	c := newClient(t, s)
	s.SetBalance(youproxy.MustMoney("2.61 EUR"))
	left, err := c.Balance(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "2.61 EUR", left.String())
	_, err = c.CreateOrder(t.Context(), ipv4Order)
	require.ErrorIs(t, err, youproxy.ErrInsufficientFunds)
	s.SetBalance(youproxy.MustMoney("2.62 EUR"))
	order, err := c.CreateOrder(t.Context(), ipv4Order)
	require.NoError(t, err)
	assert.Equal(t, "0 EUR", order.Balance.String())
	assert.Equal(t, "2.62 EUR", s.Orders()[0].Price.String())
}

func TestConcurrentOrdersSpendExactly(t *testing.T) {
	s := newServer(t, youproxytest.WithBalance(youproxy.MustMoney("26.20 USD")))
	var wg sync.WaitGroup
	for range 15 {
		c := newClient(t, s)
		wg.Go(func() {
			_, err := c.CreateOrder(t.Context(), ipv4Order)
			if err != nil {
				assert.ErrorIs(t, err, youproxy.ErrInsufficientFunds)
			}
			_, _ = s.Requests(), s.Orders()
		})
	}
	wg.Wait()
	assert.Equal(t, "0 USD", s.Balance().String())
	assert.Len(t, s.Orders(), 10)
	assert.Len(t, s.Requests(), 15)
}

// A sibling service means with a rotation time of 0 that only the link changes the
// address.
func TestRotationByLink(t *testing.T) {
	s := newServer(t, youproxytest.WithRotateByLink())
	_, _, reply := send(t, s, "GET /mobileOperator", "")
	assert.Contains(t, reply, `"code": "verizon", "name": "Verizon", "country": "USA", "rotationTimes": [120, 300, 600, 0]}`)
	_, _, reply = send(t, newServer(t), "GET /mobileOperator", "")
	assert.NotContains(t, reply, ` 0]`, "the other servers do not list it")

	byLink := edit(mobileBody, "300", "0")
	for _, order := range []struct{ op, body string }{
		{"POST /calculate/order", edit(byLink, `"authType": "LOGIN", `, "")},
		{"POST /order", byLink},
	} {
		_, _, reply = send(t, s, order.op, order.body)
		assert.Contains(t, reply, `"success": true`)
	}
	_, _, reply = send(t, s, "GET /ipAddress", "")
	assert.Contains(t, reply, `"rotationTime": 0, "rebootLink": "https://`)
}
