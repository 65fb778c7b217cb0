package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

const aDay = 24 * time.Hour

// yielded is what RenewAll yields for a part.
type yielded struct {
	renewal *youproxy.Renewal
	err     error
}

func renewAll(ctx context.Context, c *youproxy.Client, plan *youproxy.RenewalPlan) (list []yielded) {
	for renewal, err := range c.RenewAll(ctx, plan) {
		list = append(list, yielded{renewal, err})
	}
	return list
}

// plan plans to renew all of a market but the two IPv4 proxies that end in 60 days:
// 1 x IPv4 for 1.31 USD, 3 x IPv6 for 0.81 USD, 3 x ISP for 7.2 USD.
func (m *market) plan(t *testing.T, change func(*youproxy.RenewalPolicy)) *youproxy.RenewalPlan {
	t.Helper()
	policy := youproxy.RenewalPolicy{EndsWithin: 31 * aDay, RentPeriodDays: 30, Limit: youproxy.MustMoney("50 USD")}
	if change != nil {
		change(&policy)
	}
	plan, err := m.client.PlanRenewals(t.Context(), policy)
	require.NoError(t, err)
	return plan
}

const planned = "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 3 7.2 USD"

// partsOf returns the parts of a plan in a line.
func partsOf(plan *youproxy.RenewalPlan) string {
	var parts []string
	for _, p := range plan.Parts {
		parts = append(parts, fmt.Sprintf("%s %d %s", p.ProxyType, len(p.Proxies), p.Price))
	}
	return strings.Join(parts, ", ")
}

// reasonsOf returns how many proxies of each type are left out, and why.
func reasonsOf(list []youproxy.LeftOut) string {
	counts := make(map[string]int)
	var kinds []string
	for _, l := range list {
		kind := fmt.Sprintf("%s %s", l.ProxyType, l.Reason)
		if counts[kind]++; counts[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	for i, kind := range kinds {
		kinds[i] = fmt.Sprintf("%d %s", counts[kind], kind)
	}
	return strings.Join(kinds, ", ")
}

// done returns what was renewed, in a line, with the outcome of what was not.
func done(list []yielded) string {
	var lines []string
	for _, y := range list {
		if y.err != nil {
			lines = append(lines, youproxy.OutcomeOf(y.err).String())
		} else {
			lines = append(lines, fmt.Sprintf("%s %d", y.renewal.Attempt.ProxyType, y.renewal.Attempt.Quantity))
		}
	}
	return strings.Join(lines, ", ")
}

const allRenewed = "IPv4 1, IPv6 3, ISP 3"

func TestPlanRenewals(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		assert.Equal(t, planned, partsOf(plan))
		assert.Empty(t, plan.LeftOut)
		assertMoney(t, "9.32 USD", plan.Price())
		assertMoney(t, "100 USD", plan.Balance)
		assert.Equal(t, []string{
			"GET /ipAddress", "POST /calculate/extend", "POST /calculate/extend/order", "POST /calculate/extend", "POST /calculate/extend",
		}, m.ops(), "a list, and the price of all and of one")
		assert.Equal(t, []youproxy.OrderID{m.ipv6.ID}, plan.Parts[1].Request().(youproxy.ExtendOrdersRequest).OrderIDs)

		assert.Equal(t, allRenewed, done(renewAll(t.Context(), m.client, plan)))
		assertMoney(t, "90.68 USD", m.Balance())
		assert.Empty(t, m.plan(t, nil).Parts, "all of it ends later by now")
	})
}

func TestPlanOrdersByTheEnd(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeMobile, Country: "USA", Quantity: 1, CreatedAt: time.Now().Add(-29 * aDay)})
		all := m.plan(t, func(p *youproxy.RenewalPolicy) { p.EndsWithin = 60 * aDay })
		assert.Equal(t, "MOBILE 1 18.5 USD, IPv4 3 3.93 USD, IPv6 3 0.81 USD, ISP 3 7.2 USD", partsOf(all))
		assert.True(t, all.Parts[1].Proxies[0].End.Before(all.Parts[1].Proxies[2].End))
		first := m.plan(t, func(p *youproxy.RenewalPolicy) {
			p.EndsWithin, p.ProxyTypes, p.Limit = 60*aDay, []youproxy.ProxyType{youproxy.ProxyTypeIPv4}, youproxy.MustMoney("1.31 USD")
		})
		assert.Equal(t, all.Parts[1].Proxies[:1], first.Parts[0].Proxies, "what ends first")
		some := m.plan(t, func(p *youproxy.RenewalPolicy) { p.ProxyTypes = []youproxy.ProxyType{"ISP", "IPv4", "ISP"} })
		assert.Equal(t, "IPv4 1 1.31 USD, ISP 3 7.2 USD", partsOf(some))
		lists := slices.DeleteFunc(m.ops(), func(op string) bool { return op != "GET /ipAddress" })
		assert.Len(t, lists, 4, "one for all types, and one for each that is asked for")
	})
}

func TestPlanLeavesOut(t *testing.T) {
	t.Parallel()
	ofISP := func(record map[string]any) bool { return record["ipAddressId"] == "1111111111111111111" }
	ofIPv6 := func(record map[string]any) bool { return record["ipAddressId"] == "1111111111111111118" }
	set := func(is func(map[string]any) bool, name string, value any) func(m *market) {
		return func(m *market) {
			m.editList(func(record map[string]any) bool {
				if is(record) {
					record[name] = value
				}
				return true
			})
		}
	}
	extends := func(value any) map[string]any { return map[string]any{"autoExtend": value, "extendDays": 30} }
	refuse := func(codes ...int) func(m *market) {
		return func(m *market) { m.Refuse("POST /calculate/extend", codes...) }
	}
	for name, tc := range map[string]struct {
		spoil  func(m *market)
		change func(*youproxy.RenewalPolicy)
		parts  string
		left   string
	}{
		"what extends itself":         {set(ofISP, "extendInfo", extends(true)), nil, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 2 4.8 USD", "1 ISP extends itself"},
		"what may extend itself":      {set(ofISP, "extendInfo", extends("perhaps")), nil, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 2 4.8 USD", "1 ISP may extend itself"},
		"an end that is not known":    {set(ofISP, "dateEnd", "soon"), nil, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 2 4.8 USD", "1 ISP end not known"},
		"what has ended":              {set(ofISP, "dateEnd", "1999-12-31T00:00:00.000+00:00"), nil, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 2 4.8 USD", "1 ISP has ended"},
		"an order that may extend":    {set(ofIPv6, "extendInfo", extends("perhaps")), nil, "IPv4 1 1.31 USD, ISP 3 7.2 USD", "3 IPv6 may extend itself"},
		"an order with an odd end":    {set(ofIPv6, "dateEnd", nil), nil, "IPv4 1 1.31 USD, ISP 3 7.2 USD", "3 IPv6 end not known"},
		"an order that is not known":  {set(ofIPv6, "orderId", nil), nil, "IPv4 1 1.31 USD, IPv6 2 0.81 USD, ISP 3 7.2 USD", "1 IPv6 order not known"},
		"a type that is not known":    {set(ofISP, "proxyType", "SATELLITE"), nil, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 2 4.8 USD", "1 SATELLITE proxy type not known"},
		"an order that ends later":    {set(ofIPv6, "dateEnd", "2000-03-31T00:00:00.000+00:00"), nil, planned, ""},
		"a period that is not sold":   {refuse(11), nil, "IPv6 3 0.81 USD, ISP 3 7.2 USD", "1 IPv4 refused by the quote"},
		"a code that is not known":    {refuse(77), nil, "IPv6 3 0.81 USD, ISP 3 7.2 USD", "1 IPv4 refused by the quote"},
		"a negative price":            {func(m *market) { m.changeQuote(renewIPs, "price", -1) }, nil, "IPv6 3 0.81 USD", "1 IPv4 refused by the quote, 3 ISP refused by the quote"},
		"a promo code":                {nil, func(p *youproxy.RenewalPolicy) { p.PromoCode = "CLIENT-PROMO" }, "IPv4 1 1.18 USD, IPv6 3 0.73 USD, ISP 3 6.48 USD", ""},
		"a promo code without effect": {nil, func(p *youproxy.RenewalPolicy) { p.PromoCode = "NONE" }, "", "1 IPv4 refused by the quote, 3 IPv6 refused by the quote, 3 ISP refused by the quote"},
		"a gift":                      {nil, func(p *youproxy.RenewalPolicy) { p.PromoCode, p.Limit = "GIFT", youproxy.MustMoney("0 USD") }, "IPv4 1 0 USD, IPv6 3 0 USD, ISP 3 0 USD", ""},
		"a part of an IPv6 order": {nil, func(p *youproxy.RenewalPolicy) {
			p.Select = func(proxy youproxy.Proxy) bool { return proxy.ID != "1111111111111111118" }
		}, "IPv4 1 1.31 USD, ISP 3 7.2 USD", "2 IPv6 a part of an IPv6 order"},
		"nothing that is not selected": {nil, func(p *youproxy.RenewalPolicy) {
			p.Select = func(proxy youproxy.Proxy) bool { return proxy.ProxyType == youproxy.ProxyTypeISP }
		}, "ISP 3 7.2 USD", ""},
		"nothing that ends later":   {nil, func(p *youproxy.RenewalPolicy) { p.EndsWithin = aDay }, "", ""},
		"what is above the limit":   {nil, func(p *youproxy.RenewalPolicy) { p.Limit = youproxy.MustMoney("7 USD") }, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 2 4.8 USD", "1 ISP above the limit"},
		"a part of an order":        {nil, func(p *youproxy.RenewalPolicy) { p.Limit = youproxy.MustMoney("2.11 USD") }, "IPv4 1 1.31 USD", "3 IPv6 above the limit, 3 ISP above the limit"},
		"what is above the balance": {func(m *market) { m.SetBalance(youproxy.MustMoney("4.53 USD")) }, nil, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 1 2.4 USD", "2 ISP above the balance"},
		"all of it":                 {nil, func(p *youproxy.RenewalPolicy) { p.Limit = youproxy.MustMoney("0 USD") }, "", "1 IPv4 above the limit, 3 IPv6 above the limit, 3 ISP above the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				if tc.spoil != nil {
					tc.spoil(m)
				}
				plan := m.plan(t, tc.change)
				assert.Equal(t, tc.parts, partsOf(plan))
				assert.Equal(t, tc.left, reasonsOf(plan.LeftOut))
				for _, l := range plan.LeftOut {
					assert.NotEmpty(t, l.ID)
					assert.Equal(t, l.Reason == youproxy.LeaveRefused, l.Detail != "", l.Detail)
				}
			})
		})
	}
}

func TestPlanTellsWarnings(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.changeQuote(renewIPs, "warnings", []any{map[string]any{"code": 7, "message": "not\noffered"}, map[string]any{"code": 16, "message": "Insufficient funds"}})
		plan := m.plan(t, nil)
		assert.Equal(t, "IPv6 3 0.81 USD", partsOf(plan))
		for _, l := range plan.LeftOut {
			assert.Equal(t, []youproxy.Warning{{Code: 7, Message: "not\noffered"}}, l.Warnings)
			assert.Equal(t, `the service would not execute it: "not\noffered" (code 7)`, l.Detail)
			assert.Equal(t, fmt.Sprintf("%s proxy %s: refused by the quote: %s", l.ProxyType, l.ID, l.Detail), l.String())
		}
		assert.Contains(t, plan.String(), "3 x ISP, refused by the quote: the service would not")
	})
}

// The price may be that of one proxy: the limit must allow it for each.
func TestPlanTakesTheLargerPrice(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		assert.Equal(t, "IPv4 1 1.31 USD, IPv6 3 0.27 USD, ISP 3 7.2 USD", partsOf(plan), "of one order that is not known")
		assert.Equal(t, "IPv4 1 1.31 USD, IPv6 3 0.27 USD, ISP 1 2.4 USD", partsOf(m.plan(t, func(p *youproxy.RenewalPolicy) { p.Limit = youproxy.MustMoney("6 USD") })))
		assert.Equal(t, allRenewed, done(renewAll(t.Context(), m.client, plan)))
	}, youproxytest.WithPricePerProxy())
}

func TestPlanAsksForTheBalance(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.SetBalance(youproxy.MustMoney("2 USD"))
		plan := m.plan(t, nil)
		assert.Equal(t, "IPv4 1 1.31 USD", partsOf(plan))
		assertMoney(t, "2 USD", plan.Balance)
	}, youproxytest.WithNullBalances())
}

// unwilling answers for the service, which refuses all that names an id.
func unwilling(id, code string) youproxy.Option {
	return youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			if r.Body == nil {
				return next.RoundTrip(r)
			}
			body, _ := io.ReadAll(r.Body)
			_ = r.Body.Close()
			if bytes.Contains(body, []byte(id)) {
				text := `{"success": false, "error": {"code": ` + code + `, "message": "no"}}`
				return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(text)), Request: r}, nil
			}
			r = r.Clone(r.Context())
			r.Body = io.NopCloser(bytes.NewReader(body))
			return next.RoundTrip(r)
		})
	})
}

// One id that the service refuses does not keep the others from being renewed.
func TestPlanFindsOutWhatIsRefused(t *testing.T) {
	t.Parallel()
	for code, parts := range map[string]string{"24": "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 2 4.8 USD", "11": "IPv4 1 1.31 USD, IPv6 3 0.81 USD"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				plan := m.plan(t, nil)
				assert.Equal(t, parts, partsOf(plan))
				for _, l := range plan.LeftOut {
					assert.Equal(t, youproxy.LeaveRefused, l.Reason)
					assert.Contains(t, l.Detail, `"no" (code `+code+`)`)
				}
			}, unwilling("1111111111111111112", code))
		})
	}
	inMarket(t, func(t *testing.T, m *market) {
		m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "GBR", Quantity: 500})
		before := len(m.ops())
		plan := m.plan(t, nil)
		assert.Equal(t, "IPv4 1 1.31 USD, IPv6 3 0.81 USD", partsOf(plan), "what is refused cannot be found with so many")
		assert.LessOrEqual(t, len(m.ops())-before, 40, "quotes are bounded")
	}, unwilling(`"ISP"`, "24"))
}

// What is refused once, though each half of it is not, is planned as a whole; what is always
// refused as a whole is planned in pieces.
func TestPlanOfWhatIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	for name, times := range map[string]int{"once": 1, "always": 100} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				m.rewrite["POST /calculate/extend"] = func(reply string) string {
					if !strings.Contains(reply, `"price": 7.2,`) || times == 0 {
						return reply
					}
					times--
					return `{"success": false, "proxyType": null, "balance": 100, "price": null, "currency": "USD", "error": {"code": 24, "message": "Incorrect ip addresses"}}`
				}
				plan := m.plan(t, nil)
				isp, parts := 0, 0
				for _, part := range plan.Parts {
					if part.ProxyType == youproxy.ProxyTypeISP {
						isp += len(part.Proxies)
						parts++
					}
				}
				assert.Equal(t, 3, isp, "%s", plan)
				assert.Equal(t, name == "once", parts == 1, "%s", plan)
				assert.Empty(t, plan.LeftOut)
			})
		})
	}
}

// Prices may not be in proportion, and may change while a plan is made.
func TestPlanKeepsToTheLimit(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		quote func(m *market, n int) string // of the nth quote, for ISP
		parts string
	}{
		"a fixed price beside it": {func(_ *market, n int) string { return []string{"7.2", "3", "6.5", "3", "6"}[n] }, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 1 6 USD"},
		"a price that rises":      {func(_ *market, n int) string { return []string{"7.2", "3", "6.5", "3", "7"}[n] }, "IPv4 1 1.31 USD, IPv6 3 0.81 USD"},
		"a refusal meanwhile": {func(m *market, n int) string {
			if n == 1 {
				m.Refuse("POST /calculate/extend", 11)
			}
			return []string{"7.2", "3"}[n]
		}, "IPv4 1 1.31 USD, IPv6 3 0.81 USD"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				n := 0
				m.rewrite["POST /calculate/extend"] = func(reply string) string {
					var quote map[string]any
					if json.Unmarshal([]byte(reply), &quote) != nil || quote["proxyType"] != "ISP" {
						return reply
					}
					quote["price"] = json.Number(tc.quote(m, n))
					n++
					text, _ := json.Marshal(quote)
					return string(text)
				}
				plan := m.plan(t, func(p *youproxy.RenewalPolicy) { p.Limit = youproxy.MustMoney("8.5 USD") })
				assert.Equal(t, tc.parts, partsOf(plan))
			})
		})
	}
}

// Of bounds that are equal, the limit is the first that somebody can change.
func TestPlanWhoseLimitIsTheBalance(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.SetBalance(youproxy.MustMoney("2.5 USD"))
		plan := m.plan(t, func(p *youproxy.RenewalPolicy) { p.Limit = youproxy.MustMoney("2.5 USD") })
		assert.Equal(t, "IPv4 1 1.31 USD, IPv6 3 0.81 USD", partsOf(plan))
		assert.Equal(t, "3 ISP above the limit", reasonsOf(plan.LeftOut))
	})
}

func TestPlanWithoutTheServicesClock(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		assert.Equal(t, planned, partsOf(plan))
		assert.Equal(t, allRenewed, done(renewAll(t.Context(), m.client, plan)))
	}, youproxytest.WithoutDate())
}

func TestPlanFailsWhole(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(m *market)
		is    error
	}{
		"no list": {func(m *market) {
			m.Inject("GET /ipAddress", slices.Repeat([]youproxytest.Fault{youproxytest.BadGateway}, 9)...)
		}, youproxy.ErrNotSent},
		"a fault of the service": {func(m *market) { m.Refuse("POST /calculate/extend", 35) }, youproxy.ErrServiceFault},
		"the key is refused":     {func(m *market) { m.Refuse("POST /calculate/extend", 2) }, youproxy.ErrInvalidAPIKey},
		"no quote": {func(m *market) {
			m.Inject("POST /calculate/extend", slices.Repeat([]youproxytest.Fault{youproxytest.HTMLPage}, 9)...)
		}, youproxy.ErrNotSent},
		"no journal": {func(m *market) { m.journal.onEntries = func(youproxy.EntryQuery) error { return io.ErrUnexpectedEOF } }, io.ErrUnexpectedEOF},
		"no journal at first": {func(m *market) {
			n := 0
			m.journal.onEntries = func(youproxy.EntryQuery) error {
				if n++; n == 1 {
					return io.ErrUnexpectedEOF
				}
				return nil
			}
		}, io.ErrUnexpectedEOF},
		"no price of what is cut": {func(m *market) {
			n := 0
			m.before["POST /calculate/extend"] = func() {
				if n++; n == 4 {
					m.Inject("POST /calculate/extend", slices.Repeat([]youproxytest.Fault{youproxytest.HTMLPage}, 9)...)
				}
			}
		}, youproxy.ErrNotSent},
		"no balance": {func(m *market) {
			m.changeQuote(renewIPs, "balance", nil)
			m.changeQuote(buyings[5], "balance", nil)
			m.Inject("GET /balance", slices.Repeat([]youproxytest.Fault{youproxytest.HTMLPage}, 9)...)
		}, youproxy.ErrNotSent},
		"another currency": {func(m *market) { m.changeQuote(renewIPs, "currency", "EUR") }, youproxy.ErrCurrencyMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				tc.spoil(m)
				plan, err := m.client.PlanRenewals(t.Context(), youproxy.RenewalPolicy{EndsWithin: 31 * aDay, RentPeriodDays: 30, Limit: youproxy.MustMoney("50 USD")})
				assert.Nil(t, plan)
				assert.ErrorIs(t, err, tc.is)
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err), "%v", err)
				assert.ErrorContains(t, err, "nothing was spent")
			}, youproxy.WithBudget(youproxy.MustMoney("7 USD"), aDay))
		})
	}
}

func TestPolicyIsValidated(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		_, err := m.client.PlanRenewals(t.Context(), youproxy.RenewalPolicy{ProxyTypes: []youproxy.ProxyType{"IPv4", "ipv4"}, PromoCode: " X", Limit: youproxy.Money{Currency: "USD", Amount: youproxy.MustMoney("1 USD").Amount.Neg()}})
		var invalid *youproxy.ValidationError
		require.ErrorAs(t, err, &invalid)
		var fields []string
		for _, f := range invalid.Fields {
			fields = append(fields, f.Field)
		}
		assert.Equal(t, []string{"endsWithin", "rentPeriodDays", "proxyTypes", "promoCode", "limit"}, fields)
		_, err = m.client.PlanRenewals(t.Context(), youproxy.RenewalPolicy{EndsWithin: aDay, RentPeriodDays: 30})
		assert.ErrorContains(t, err, "limit must be an amount")
		_, err = m.client.PlanRenewals(t.Context(), youproxy.RenewalPolicy{EndsWithin: 3, RentPeriodDays: 30, Limit: youproxy.MustMoney("1 USD")})
		assert.ErrorContains(t, err, "endsWithin must be a minute or more")
		_, err = (*youproxy.Client)(nil).PlanRenewals(t.Context(), youproxy.RenewalPolicy{})
		assert.ErrorIs(t, err, youproxy.ErrNotSent)
		_, err = m.client.PlanRenewals(nil, youproxy.RenewalPolicy{}) //nolint:staticcheck // as somebody may
		assert.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.Empty(t, m.ops())
	})
}

func TestTheSmallestPolicy(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan, err := m.client.PlanRenewals(t.Context(), youproxy.RenewalPolicy{EndsWithin: time.Minute, RentPeriodDays: 1, Limit: youproxy.MustMoney("0 USD")})
		require.NoError(t, err)
		assert.Empty(t, plan.Parts)
	})
}

// What was written down as JSON is carried out by another process.
func TestAPlanIsPlainJSON(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, func(p *youproxy.RenewalPolicy) { p.Limit, p.PromoCode = youproxy.MustMoney("6 USD"), "CLIENT-PROMO" })
		text, err := json.Marshal(plan)
		require.NoError(t, err)
		for _, ip := range m.IPAddresses() {
			assert.NotContains(t, string(text), ip.Password)
			assert.NotContains(t, string(text), ip.Login)
		}
		assert.NotContains(t, string(text), m.APIKey())
		var read youproxy.RenewalPlan
		require.NoError(t, json.Unmarshal(text, &read))
		again, err := json.Marshal(read)
		require.NoError(t, err)
		assert.JSONEq(t, string(text), string(again))
		assert.Equal(t, plan.String(), read.String())

		other := m.anotherClient(t, youproxy.WithJournal(m.journal))
		assert.Equal(t, "IPv4 1, IPv6 3, ISP 1", done(renewAll(t.Context(), other, &read)))
		for _, x := range m.Extensions() {
			assert.Equal(t, "CLIENT-PROMO", x.PromoCode)
		}
		assert.Equal(t, "IPv4 1, IPv6 3, ISP 1", done(renewAll(t.Context(), m.client, plan)), "with the same journal it is done")
		assert.Len(t, m.Extensions(), 3)
	})
}

func TestAPlanPrintsAsATable(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, func(p *youproxy.RenewalPolicy) { p.Limit = youproxy.MustMoney("6 USD") })
		assert.Equal(t, ""+
			"Type   Proxies  First end (UTC)   Days  Price\n"+
			"IPv4   1        2000-01-31 00:00  30    1.31 USD\n"+
			"IPv6   3        2000-01-31 00:00  30    0.81 USD\n"+
			"ISP    1        2000-01-31 00:00  30    2.4 USD\n"+
			"Total  5                                4.52 USD of at most 6 USD\n"+
			"Left out: 2 x ISP, above the limit\n", plan.String())
		odd := "a\x1b[31m\tb\r\nc\u202e"
		hostile := youproxy.RenewalPlan{
			Limit:   youproxy.Money{Currency: odd},
			Parts:   []youproxy.RenewalPart{{ProxyType: youproxy.ProxyType(odd), Price: youproxy.Money{Currency: odd}}},
			LeftOut: []youproxy.LeftOut{{ProxyType: youproxy.ProxyType(odd), Reason: youproxy.LeaveReason(odd), Detail: odd}},
		}
		for _, text := range []string{hostile.String(), hostile.Parts[0].String(), new(youproxy.RenewalPlan).String()} {
			assert.NotContains(t, text, "\x1b")
			assert.NotContains(t, text, "\r")
			assert.NotContains(t, text, "\u202e")
		}
		assert.Equal(t, 4, strings.Count(hostile.String(), "\n"))
	})
}
