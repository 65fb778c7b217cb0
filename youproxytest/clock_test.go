package youproxytest_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestEveryReplyTellsTheTime(t *testing.T) {
	c := newClock()
	s := newServer(t, youproxytest.WithClock(func() time.Time { return c.Now().In(time.FixedZone("", 3*60*60)) }))
	addOrders(s)
	c.advance(36*time.Hour + 5*time.Second + 999*time.Millisecond)
	const now = "Tue, 03 Mar 2026 00:00:05 GMT"
	for op, body := range allBodies {
		_, header, _ := send(t, s, op, body)
		assert.Equal(t, []string{now}, header["Date"], op)
	}
	for _, f := range youproxytest.Faults() {
		if f == youproxytest.Slow {
			continue // it has no reply
		}
		s.Inject("GET /balance", f)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/client/api/v1/"+s.APIKey()+"/balance", nil)
		require.NoError(t, err)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(req)
		if err != nil {
			continue // what drops the connection has no reply
		}
		require.NoError(t, resp.Body.Close())
		assert.Equal(t, []string{now}, resp.Header["Date"], f)
	}
	assert.Empty(t, s.Pending())
	s.Refuse("GET /balance", 14)
	_, header, _ := send(t, s, "GET /balance", "")
	assert.Equal(t, now, header.Get("Date"))
	_, header, _ = sendTo(t, s, http.MethodGet, "/nowhere", "", "")
	assert.Equal(t, now, header.Get("Date"))
	_, header, _ = send(t, s, "POST /order", "{")
	assert.Equal(t, now, header.Get("Date"))
}

func TestDateInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := youproxytest.NewServer()
		defer s.Close()
		for _, want := range []string{"Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2000 00:01:30 GMT"} {
			_, header, _ := send(t, s, "GET /balance", "")
			assert.Equal(t, want, header.Get("Date"))
			time.Sleep(90 * time.Second)
		}
	})
}

func TestClockSkew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, skew := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
			s := youproxytest.NewServer(youproxytest.WithClockSkew(skew))
			defer s.Close()
			_, header, _ := send(t, s, "POST /order", ipv4Body)
			assert.Equal(t, time.Now().Add(skew), s.Orders()[0].CreatedAt)
			assert.Equal(t, time.Now().Add(skew).UTC().Format(http.TimeFormat), header.Get("Date"))
			time.Sleep(time.Second)
			send(t, s, "POST /order", ipv4Body)
			assert.Equal(t, time.Now().Add(skew), s.Orders()[1].CreatedAt)
		}
	})
	c := newClock()
	for _, opts := range [][]youproxytest.Option{
		{youproxytest.WithClockSkew(time.Hour), youproxytest.WithClock(c.Now)},
		{youproxytest.WithClock(c.Now), youproxytest.WithClockSkew(time.Hour)},
	} {
		s := newServer(t, opts...)
		send(t, s, "POST /order", ipv4Body)
		assert.Equal(t, c.Now().Add(time.Hour), s.Orders()[0].CreatedAt)
	}
}

func TestWithoutDate(t *testing.T) {
	s := newServer(t, youproxytest.WithoutDate(), youproxytest.WithCache(youproxytest.Cache{MaxAge: time.Hour}))
	s.Inject("GET /balance", youproxytest.BadGateway)
	for _, status := range []int{502, 200, 200} {
		got, header, _ := send(t, s, "GET /balance", "")
		assert.Equal(t, status, got)
		assert.NotContains(t, header, "Date")
	}
	assert.True(t, s.Requests()[2].Cached)
	_, header, _ := send(t, s, "POST /order", ipv4Body)
	assert.NotContains(t, header, "Date")
}

// A purchase quotes, and then orders. What holds at the one need not hold at the
// other.
func TestPromoCodeThatEndsBetweenQuoteAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := youproxytest.NewServer(youproxytest.WithPromoCodes(youproxytest.PromoCode{Code: "ENDS", Percent: 50, End: time.Now().Add(time.Minute)}))
		defer s.Close()
		c := newClient(t, s)
		r := ipv4Order
		r.PromoCode = "ENDS"
		quote, err := c.QuoteOrder(t.Context(), r)
		require.NoError(t, err)
		assert.Equal(t, youproxy.PromoCodeValid, quote.PromoCodeStatus)
		assert.Equal(t, "1.31 USD", quote.Price.String())

		time.Sleep(time.Minute + 1)
		order, err := c.CreateOrder(t.Context(), r)
		require.NoError(t, err)
		assert.Equal(t, youproxy.PromoCodeNotValid, order.PromoCodeStatus)
		assert.Equal(t, "2.62 USD", s.Orders()[0].Price.String())
	})
}
