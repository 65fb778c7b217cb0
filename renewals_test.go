package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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
		"a fault of the service":      {refuse(35), nil, "IPv6 3 0.81 USD, ISP 3 7.2 USD", "1 IPv4 refused by the quote"},
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
		return roundTripperFunc(func(r *http.Request) (*http.Response, error) {
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

func TestPlanFailsWhole(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(m *market)
		is    error
	}{
		"no list": {func(m *market) {
			m.Inject("GET /ipAddress", slices.Repeat([]youproxytest.Fault{youproxytest.BadGateway}, 9)...)
		}, youproxy.ErrNotSent},
		"the key is refused": {func(m *market) { m.Refuse("POST /calculate/extend", 2) }, youproxy.ErrInvalidAPIKey},
		"no quote": {func(m *market) {
			m.Inject("POST /calculate/extend", slices.Repeat([]youproxytest.Fault{youproxytest.HTMLPage}, 9)...)
		}, youproxy.ErrNotSent},
		"no price of one alone": {func(m *market) {
			m.Inject("POST /calculate/extend", append([]youproxytest.Fault{0}[:0], slices.Repeat([]youproxytest.Fault{youproxytest.HTMLPage}, 9)...)...)
		}, youproxy.ErrNotSent},
		"no journal":       {func(m *market) { m.journal.onEntries = func(youproxy.EntryQuery) error { return io.ErrUnexpectedEOF } }, io.ErrUnexpectedEOF},
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
			}, youproxy.WithBudget(youproxy.MustMoney("50 USD"), aDay))
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
		_, err = (*youproxy.Client)(nil).PlanRenewals(t.Context(), youproxy.RenewalPolicy{})
		assert.ErrorIs(t, err, youproxy.ErrNotSent)
		_, err = m.client.PlanRenewals(nil, youproxy.RenewalPolicy{}) //nolint:staticcheck // as somebody may
		assert.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.Empty(t, m.ops())
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

func TestTheSamePlanRenewsOnce(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		var wait sync.WaitGroup
		for range 3 {
			wait.Go(func() { assert.Equal(t, allRenewed, done(renewAll(t.Context(), m.client, plan))) })
		}
		wait.Wait()
		time.Sleep(100 * aDay)
		for _, y := range renewAll(t.Context(), m.client, plan) {
			require.NoError(t, y.err)
			assert.Empty(t, y.renewal.LeftOut)
		}
		assert.Len(t, m.sends(), 3)
	})
}

// A process ends after any of its records, before or after it sent; the next one carries out
// the same plan.
func TestACrashWhileAPlanIsCarriedOut(t *testing.T) {
	t.Parallel()
	for n := range 6 {
		for _, fault := range []youproxytest.Fault{0, youproxytest.DropBeforeCommit, youproxytest.DropAfterCommit} {
			t.Run(fmt.Sprintf("record %d, %s", n, fault), func(t *testing.T) {
				t.Parallel()
				inMarket(t, func(t *testing.T, m *market) {
					plan := m.plan(t, nil)
					ctx, end := context.WithCancel(t.Context())
					records := 0
					m.journal.recorded = func(youproxy.Entry) error {
						if records++; records > n {
							end()
						}
						return nil
					}
					if fault != 0 {
						m.Inject("POST /extend", fault)
						m.Inject("POST /extend/order", fault)
					}
					renewAll(ctx, m.client, plan)
					m.journal.recorded = nil
					synctest.Wait()
					other := m.anotherClient(t, youproxy.WithJournal(m.journal))
					renewAll(t.Context(), other, plan) // which may meet the other fault
					assert.Equal(t, allRenewed, done(renewAll(t.Context(), other, plan)))
					assertMoney(t, "90.68 USD", m.Balance())
					assert.Len(t, m.Extensions(), 3)
				})
			})
		}
	}
}

// Two processes plan the same night's renewals, and carry both plans out.
func TestTwoPlansPayOnce(t *testing.T) {
	t.Parallel()
	const allLeft = "1 IPv4 renewed since, 3 IPv6 renewed since, 3 ISP renewed since"
	for name, tc := range map[string]struct {
		fault youproxytest.Fault
		lags  bool // the list does not show what was renewed
		other string
		left  string
	}{
		"the list shows it":            {0, false, "not sent, not sent, not sent", allLeft},
		"the list lags":                {0, true, "not sent, not sent, not sent", allLeft},
		"the reply to a part was lost": {youproxytest.DropAfterCommit, false, "not sent, not sent, not sent", allLeft},
		"a part came late":             {youproxytest.CommitLate, false, "not sent, not sent, not sent", allLeft},
		"a part was not executed":      {youproxytest.DropBeforeCommit, false, "IPv4 1, not sent, ISP 3", "3 IPv6 renewed since"},
		"a part was refused":           {youproxytest.Forbidden, false, "IPv4 1, not sent, ISP 3", "3 IPv6 renewed since"},
		"a part is not settled":        {youproxytest.PartialExtensionDropped, false, "not sent, not sent, not sent", "1 IPv4 renewed since, 3 IPv6 renewed since, 3 ISP renewal not settled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				one, two := m.plan(t, nil), m.plan(t, nil)
				assert.NotEqual(t, one.ID, two.ID)
				if tc.fault != 0 {
					m.Inject("POST /extend", tc.fault, tc.fault)
				}
				if tc.lags {
					m.editList(func(record map[string]any) bool {
						record["dateEnd"] = "2000-01-31T00:00:00.000+00:00"
						return true
					})
				}
				renewAll(t.Context(), m.client, one)
				other := m.anotherClient(t, youproxy.WithJournal(m.journal), youproxy.WithMiddleware(m.around))
				second := renewAll(t.Context(), other, two)
				assert.Equal(t, tc.other, done(second))
				var left []youproxy.LeftOut
				for _, y := range second {
					var part *youproxy.PartError
					if y.err != nil && assert.ErrorAs(t, y.err, &part) {
						assert.ErrorIs(t, y.err, youproxy.ErrNothingToRenew)
						assert.ErrorContains(t, y.err, "nothing was spent")
						left = append(left, part.LeftOut...)
					}
				}
				assert.Equal(t, tc.left, reasonsOf(left))
				assertPaidOnce(t, m)
			}, youproxytest.WithCommitDelay(90*time.Second))
		})
	}
}

func assertPaidOnce(t *testing.T, m *market) {
	t.Helper()
	paid := make(map[youproxy.IPAddressID]int)
	for _, x := range m.Extensions() {
		for _, id := range x.IPAddressIDs {
			paid[id]++
			assert.LessOrEqual(t, paid[id], 1, id)
		}
	}
}

// What is not to be renewed any more is left out, and the rest is quoted anew.
func TestWhatAPartLeavesOut(t *testing.T) {
	t.Parallel()
	const first = "1111111111111111111" // of three ISP
	extendISP := youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeISP, IPAddressIDs: []youproxy.IPAddressID{first}, RentPeriodDays: 30}
	edit := func(change func(record map[string]any) bool) func(*testing.T, *market) {
		return func(_ *testing.T, m *market) {
			m.editList(func(record map[string]any) bool { return record["ipAddressId"] != first || change(record) })
		}
	}
	for name, tc := range map[string]struct {
		meanwhile func(t *testing.T, m *market)
		done      string
		left      string
	}{
		"renewed by a plain call": {func(t *testing.T, m *market) {
			_, err := m.client.Extend(t.Context(), extendISP)
			require.NoError(t, err)
		}, "IPv4 1, IPv6 3, ISP 2", "1 ISP renewed since"},
		"renewed by others": {func(t *testing.T, m *market) {
			_, err := m.anotherClient(t).Extend(t.Context(), extendISP)
			require.NoError(t, err)
		}, "IPv4 1, IPv6 3, ISP 2", "1 ISP ends later by now"},
		"renewed long before, by the journal": {func(t *testing.T, m *market) {
			m.journal.add(youproxy.Entry{State: youproxy.EntryExecuted, SettledAt: time.Now().Add(-time.Hour), Attempt: youproxy.Attempt{
				Version: 2, ID: "A", Op: "POST /extend", ProxyType: youproxy.ProxyTypeISP, IPAddressIDs: extendISP.IPAddressIDs, At: time.Now(),
			}})
		}, allRenewed, ""},
		"renewed by an older version": {func(t *testing.T, m *market) {
			m.journal.add(youproxy.Entry{State: youproxy.EntryExecuted, IPAddressIDs: extendISP.IPAddressIDs, Attempt: youproxy.Attempt{
				Version: 1, ID: "A", Op: "POST /extend", ProxyType: youproxy.ProxyTypeISP, At: time.Now(),
			}})
		}, "IPv4 1, IPv6 3, ISP 2", "1 ISP renewed since"},
		"not executed": {func(t *testing.T, m *market) {
			m.Refuse("POST /extend", 24)
			_, err := m.client.Extend(t.Context(), extendISP)
			require.Error(t, err)
		}, allRenewed, ""},
		"not settled, and its order neither": {func(t *testing.T, m *market) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			m.Inject("POST /extend", youproxytest.DropBeforeCommit)
			_, err := m.client.Renew(ctx, extendISP, youproxy.MustMoney("5 USD"))
			require.ErrorIs(t, err, youproxy.ErrUndetermined)
		}, "IPv4 1, IPv6 3, not sent", "3 ISP renewal not settled"},
		"not settled for long": {func(t *testing.T, m *market) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			m.Inject("POST /extend", youproxytest.DropBeforeCommit)
			_, err := m.client.Renew(ctx, extendISP, youproxy.MustMoney("5 USD"))
			require.ErrorIs(t, err, youproxy.ErrUndetermined)
			time.Sleep(aDay)
		}, "IPv4 1, IPv6 3, ISP 2", "1 ISP renewal not settled"},
		"extends itself by now": {edit(func(record map[string]any) bool {
			record["extendInfo"] = map[string]any{"autoExtend": true, "extendDays": 30}
			return true
		}), "IPv4 1, IPv6 3, ISP 2", "1 ISP extends itself"},
		"has ended": {edit(func(record map[string]any) bool {
			record["dateEnd"] = "2000-01-01T00:00:00.000+00:00"
			return true
		}), "IPv4 1, IPv6 3, ISP 2", "1 ISP has ended"},
		"an end that is not known any more": {edit(func(record map[string]any) bool {
			record["dateEnd"] = nil
			return true
		}), "IPv4 1, IPv6 3, ISP 2", "1 ISP end not known"},
		"gone": {edit(func(map[string]any) bool { return false }), "IPv4 1, IPv6 3, ISP 2", "1 ISP not in the account any more"},
		"an order that lost a proxy": {func(_ *testing.T, m *market) {
			m.editList(func(record map[string]any) bool { return record["ipAddressId"] != "1111111111111111118" })
		}, "IPv4 1, not sent, ISP 3", "3 IPv6 not in the account any more"},
		"an order that got a proxy": {func(_ *testing.T, m *market) {
			m.rewrite["GET /ipAddress"] = func(reply string) string {
				var list map[string]any
				_ = json.Unmarshal([]byte(reply), &list)
				for name, group := range list {
					if records, ok := group.([]any); ok && len(records) > 0 {
						record := maps.Clone(records[0].(map[string]any))
						record["ipAddressId"] = "new in " + name
						list[name] = append(records, record)
					}
				}
				text, _ := json.Marshal(list)
				return string(text)
			}
		}, "IPv4 1, not sent, ISP 3", "3 IPv6 a part of an IPv6 order"},
		"an order with another id": {func(_ *testing.T, m *market) {
			m.editList(func(record map[string]any) bool {
				if record["orderId"] == string(m.ipv6.ID) {
					record["orderId"] = "another"
				}
				return true
			})
		}, "IPv4 1, not sent, ISP 3", "3 IPv6 not in the account any more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				plan := m.plan(t, nil)
				tc.meanwhile(t, m)
				list := renewAll(t.Context(), m.client, plan)
				assert.Equal(t, tc.done, done(list))
				var left []youproxy.LeftOut
				for _, y := range list {
					var part *youproxy.PartError
					switch {
					case y.err == nil:
						left = append(left, y.renewal.LeftOut...)
					case assert.ErrorAs(t, y.err, &part) && assert.ErrorIs(t, y.err, youproxy.ErrNothingToRenew):
						left = append(left, part.LeftOut...)
					}
				}
				assert.Equal(t, tc.left, reasonsOf(left))
				assertPaidOnce(t, m)
				again := renewAll(t.Context(), m.client, plan)
				assert.Equal(t, tc.done, done(again))
				for n, y := range again {
					if y.err == nil && len(list[n].renewal.LeftOut) > 0 {
						assert.Equal(t, "1 ISP left out before", reasonsOf(y.renewal.LeftOut))
						assertMoney(t, "4.8 USD", y.renewal.Quote.Price)
					}
				}
				assertPaidOnce(t, m)
			})
		})
	}
}

func TestPricesThatRise(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		m.rewrite["POST /calculate/extend"] = func(reply string) string {
			return strings.ReplaceAll(reply, `7.2`, `7.21`)
		}
		list := renewAll(t.Context(), m.client, plan)
		assert.Equal(t, "IPv4 1, IPv6 3, not sent", done(list))
		assert.ErrorIs(t, list[2].err, youproxy.ErrPriceAboveLimit)
		assert.EqualError(t, list[2].err, "youproxy: 3 x ISP for 30 days: POST /extend: the price of 7.21 USD is above the limit of 7.2 USD; nothing was sent, nothing was spent")
		m.rewrite = make(map[string]func(string) string)
		assert.Equal(t, allRenewed, done(renewAll(t.Context(), m.client, plan)), "the price fell again")
		assertMoney(t, "90.68 USD", m.Balance())
	})
}

func TestBudgetOfAPlan(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		whole := m.plan(t, nil)
		assert.Equal(t, "IPv4 1 1.31 USD, IPv6 3 0.81 USD, ISP 2 4.8 USD", partsOf(whole))
		assert.Equal(t, "1 ISP above the budget", reasonsOf(whole.LeftOut))
		rich := m.anotherClient(t, youproxy.WithJournal(m.journal))
		plan, err := rich.PlanRenewals(t.Context(), youproxy.RenewalPolicy{EndsWithin: 31 * aDay, RentPeriodDays: 30, Limit: youproxy.MustMoney("50 USD")})
		require.NoError(t, err)
		slices.Reverse(plan.Parts)
		plan.Parts = append(plan.Parts[1:], plan.Parts[0], plan.Parts[1])
		list := renewAll(t.Context(), m.client, plan)
		assert.Equal(t, "IPv6 3, IPv4 1, not sent", done(list), "then it is over")
		assert.ErrorIs(t, list[2].err, youproxy.ErrOverBudget)

		assert.Equal(t, "ISP 2 4.8 USD", partsOf(m.plan(t, nil)), "what is left of the budget")
		time.Sleep(aDay + time.Second)
		assert.Equal(t, "ISP 3 7.2 USD", partsOf(m.plan(t, nil)))
	}, youproxy.WithBudget(youproxy.MustMoney("8 USD"), aDay))
}

func TestWhatEndsAPlan(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		spoil func(m *market, end func())
		is    error
		done  string
	}{
		"no money":             {func(m *market, _ func()) { m.SetBalance(youproxy.MustMoney("1 USD")) }, youproxy.ErrInsufficientFunds, "not sent"},
		"money that was spent": {func(m *market, _ func()) { m.Refuse("POST /extend", 16) }, youproxy.ErrInsufficientFunds, "rejected"},
		"the key":              {func(m *market, _ func()) { m.Refuse("POST /calculate/extend", 2) }, youproxy.ErrInvalidAPIKey, "not sent"},
		"the context":          {func(_ *market, end func()) { end() }, context.Canceled, "not sent"},
		"the context meanwhile": {func(m *market, end func()) {
			m.after["POST /extend/order"] = end
		}, context.Canceled, "IPv4 1, unknown"},
		"nothing of a refusal": {func(m *market, _ func()) { m.Refuse("POST /extend", 24) }, youproxy.ErrNotExecuted, "rejected, IPv6 3, ISP 3"},
		"nothing of a fault":   {func(m *market, _ func()) { m.Inject("POST /extend", youproxytest.DropBeforeCommit) }, youproxy.ErrNotExecuted, "not sent, IPv6 3, ISP 3"},
		"nothing of a plain call": {func(m *market, _ func()) {
			m.journal.add(youproxy.Entry{State: youproxy.EntryOpen, Attempt: youproxy.Attempt{Version: 2, ID: "A", Op: "POST /extend", ProxyType: youproxy.ProxyTypeIPv4, At: time.Now()}})
		}, youproxy.ErrPending, "not sent, IPv6 3, ISP 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				plan := m.plan(t, nil)
				ctx, end := context.WithCancel(t.Context())
				defer end()
				tc.spoil(m, end)
				list := renewAll(ctx, m.client, plan)
				assert.Equal(t, tc.done, done(list))
				failed := slices.IndexFunc(list, func(y yielded) bool { return y.err != nil })
				require.GreaterOrEqual(t, failed, 0)
				var part *youproxy.PartError
				assert.ErrorAs(t, list[failed].err, &part)
				assert.ErrorIs(t, list[failed].err, tc.is)
				assert.Regexp(t, "nothing was spent|money may have been spent", list[failed].err.Error())
			})
		})
	}
}

// Where it is not known what became of a part, none of its type is tried.
func TestAPartThatIsNotKnown(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		plan := m.plan(t, nil)
		one, two := plan.Parts[2], plan.Parts[2]
		one.Proxies, two.Proxies = one.Proxies[:2], two.Proxies[2:]
		plan.Parts = []youproxy.RenewalPart{one, two, plan.Parts[1]}
		m.Inject("POST /extend", youproxytest.PartialExtensionDropped)
		list := renewAll(t.Context(), m.client, plan)
		assert.Equal(t, "unknown, not sent, IPv6 3", done(list))
		assert.ErrorIs(t, list[0].err, youproxy.ErrUndetermined)
		assert.ErrorIs(t, list[1].err, youproxy.ErrPending)
		var pending *youproxy.PendingError
		assert.ErrorAs(t, list[1].err, &pending)
		assert.ErrorContains(t, list[1].err, "nothing was spent")
		for range list {
			break // as a caller may
		}
		for range m.client.RenewAll(t.Context(), plan) {
			break
		}
		assertPaidOnce(t, m)
	})
}

// A plan made by hand cannot spend more than its limit, nor twice.
func TestHandMadePlans(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(plan *youproxy.RenewalPlan)
		done   string
	}{
		"the same part twice": {func(plan *youproxy.RenewalPlan) { plan.Parts = append(plan.Parts, plan.Parts[2]) }, "IPv4 1, IPv6 3, ISP 3, ISP 3"},
		"a proxy in two parts": {func(plan *youproxy.RenewalPlan) {
			part := plan.Parts[2]
			part.Proxies = part.Proxies[:2]
			plan.Parts = append(plan.Parts, part)
		}, "IPv4 1, IPv6 3, ISP 3, not sent"},
		"a limit below the parts": {func(plan *youproxy.RenewalPlan) { plan.Limit = youproxy.MustMoney("9.31 USD") }, "IPv4 1, IPv6 3, not sent"},
		"no limit":                {func(plan *youproxy.RenewalPlan) { plan.Limit = youproxy.MustMoney("0 USD") }, "not sent, not sent, not sent"},
		"ids of nobody": {func(plan *youproxy.RenewalPlan) {
			plan.Parts[2].Proxies = []youproxy.PlannedRenewal{{ID: "nobody", End: time.Now()}}
		}, "IPv4 1, IPv6 3, not sent"},
		"an end of another time": {func(plan *youproxy.RenewalPlan) { plan.Parts[2].Proxies[0].End = time.Now() }, "IPv4 1, IPv6 3, ISP 2"},
		"another type":           {func(plan *youproxy.RenewalPlan) { plan.Parts[2].ProxyType = youproxy.ProxyTypeIPv4 }, "IPv4 1, IPv6 3, not sent"},
		"a part of an order":     {func(plan *youproxy.RenewalPlan) { plan.Parts[1].Proxies = plan.Parts[1].Proxies[1:] }, "IPv4 1, not sent, ISP 3"},
		"no parts":               {func(plan *youproxy.RenewalPlan) { plan.Parts = nil }, ""},
		"a plan of the future":   {func(plan *youproxy.RenewalPlan) { plan.At = plan.At.AddDate(50, 0, 0) }, allRenewed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				plan := m.plan(t, nil)
				tc.change(plan)
				assert.Equal(t, tc.done, done(renewAll(t.Context(), m.client, plan)))
				assertPaidOnce(t, m)
				assert.Equal(t, tc.done, done(renewAll(t.Context(), m.client, plan)))
				assertPaidOnce(t, m)
			})
		})
	}
}

func TestPlansThatAreNotValid(t *testing.T) {
	t.Parallel()
	for field, change := range map[string]func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan{
		"plan":    func(*youproxy.RenewalPlan) *youproxy.RenewalPlan { return nil },
		"version": func(*youproxy.RenewalPlan) *youproxy.RenewalPlan { return new(youproxy.RenewalPlan) },
		"id": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.ID = strings.Repeat("x", 101)
			return plan
		},
		"at": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan { plan.At = time.Time{}; return plan },
		"limit": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Limit.Amount = plan.Limit.Amount.Neg()
			return plan
		},
		"parts[1].price": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[1].Price = youproxy.Money{}
			return plan
		},
		"parts[0].proxyType":    func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan { plan.Parts[0].ProxyType = "ipv4"; return plan },
		"parts[0].ipAddressIds": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan { plan.Parts[0].Proxies = nil; return plan },
		"parts[1].orderIds": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[1].Proxies[1].OrderID = ""
			return plan
		},
		"parts[2].rentPeriodDays": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[2].RentPeriodDays = -30
			return plan
		},
		"parts[2].promoCode": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan { plan.Parts[2].PromoCode = " "; return plan },
		"parts[1].proxies": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[1].Proxies = append(plan.Parts[1].Proxies, plan.Parts[1].Proxies[0])
			return plan
		},
		"parts[2].proxies": func(plan *youproxy.RenewalPlan) *youproxy.RenewalPlan {
			plan.Parts[2].Proxies[0].End = time.Time{}
			return plan
		},
	} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			inMarket(t, func(t *testing.T, m *market) {
				plan := change(m.plan(t, nil))
				asked := len(m.ops())
				list := renewAll(t.Context(), m.client, plan)
				require.Len(t, list, 1)
				var invalid *youproxy.ValidationError
				require.ErrorAs(t, list[0].err, &invalid)
				assert.Equal(t, field, invalid.Fields[0].Field)
				assert.Len(t, m.ops(), asked)
			})
		})
	}
	for _, y := range renewAll(t.Context(), nil, new(youproxy.RenewalPlan)) {
		assert.ErrorIs(t, y.err, youproxy.ErrNotSent)
	}
}

func TestManyRenewalsInFewRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("10000 USD")))
		defer server.Close()
		for _, proxyType := range modelTypes {
			for range 25 {
				server.AddOrder(youproxytest.Order{ProxyType: proxyType, Country: "USA", Quantity: 5})
			}
		}
		client, err := server.Client()
		require.NoError(t, err)
		plan, err := client.PlanRenewals(t.Context(), youproxy.RenewalPolicy{EndsWithin: 31 * aDay, RentPeriodDays: 30, Limit: youproxy.MustMoney("10000 USD")})
		require.NoError(t, err)
		asked := len(server.Requests())
		total := 0
		for renewal, err := range client.RenewAll(t.Context(), plan) {
			require.NoError(t, err)
			total += renewal.Attempt.Quantity
		}
		t.Logf("500 proxies of 4 types: planned with %d requests, carried out with %d", asked, len(server.Requests())-asked)
		assert.Equal(t, 500, total)
		assert.Equal(t, 1, strings.Count(fmt.Sprint(server.Requests()[:asked]), "GET /ipAddress"))
		assert.LessOrEqual(t, len(server.Requests())-asked, 20)
	})
}

// A part is so small that a journal takes its entry.
func TestPartsAreBounded(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeISP, Country: "GBR", Quantity: 2100})
		plan := m.plan(t, func(p *youproxy.RenewalPolicy) {
			p.Limit, p.ProxyTypes = youproxy.MustMoney("9000 USD"), []youproxy.ProxyType{youproxy.ProxyTypeISP}
		})
		assert.Equal(t, "ISP 1000 2400 USD, ISP 1000 2400 USD, ISP 103 247.2 USD", partsOf(plan))
		assert.Equal(t, "ISP 1000, ISP 1000, ISP 103", done(renewAll(t.Context(), m.client, plan)))
		for _, e := range m.journal.all() {
			text, err := json.Marshal(e)
			require.NoError(t, err)
			assert.Less(t, len(text), 1<<19)
		}
	}, youproxytest.WithBalance(youproxy.MustMoney("9000 USD")))
}
