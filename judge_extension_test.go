package youproxy_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// extended returns the order that an extension of buyings is about.
func (m *market) extended(b buying) youproxytest.Order {
	if b.op == "POST /extend/order" {
		return m.ipv6
	}
	return m.ipv4
}

// hideOne makes the list leave out one of the proxies that b extends.
func (m *market) hideOne(b buying) {
	gone := string(m.idsOf(m.extended(b).ID)[1])
	m.editList(func(record map[string]any) bool { return record["ipAddressId"] != gone })
}

var noEnds = youproxytest.ListShape{Extra: map[string]any{"dateEnd": nil}}

// extendToo extends some of what b is about, as somebody else would.
func extendToo(t *testing.T, m *market, b buying, days, proxies int) {
	_, err := m.anotherClient(t).Extend(t.Context(), youproxy.ExtendIPsRequest{
		ProxyType: b.proxies, IPAddressIDs: m.idsOf(m.extended(b).ID)[:proxies], RentPeriodDays: days,
	})
	assert.NoError(t, err)
}

var undeterminedExtensions = []struct {
	name    string
	fault   youproxytest.Fault
	arrange func(m *market)
	then    func(t *testing.T, m *market, b buying)
	ends    func(b buying) [3]int // moved, unmoved, otherwise
	text    string
	only    string // the one op where it is possible
}{
	{
		name: "the end moved by another amount", fault: requestLost, then: func(t *testing.T, m *market, b buying) { extendToo(t, m, b, 360, b.quantity) },
		ends: func(b buying) [3]int { return [3]int{0, 0, b.quantity} }, text: "not extended: ",
	},
	{
		name: "the end moved twice", fault: replyLost, then: func(t *testing.T, m *market, b buying) { extendToo(t, m, b, b.days, b.quantity) },
		ends: func(b buying) [3]int { return [3]int{0, 0, b.quantity} },
	},
	{
		name: "the end of some moved", fault: requestLost, only: "POST /extend",
		then: func(t *testing.T, m *market, b buying) { extendToo(t, m, b, b.days, 1) },
		ends: func(buying) [3]int { return [3]int{1, 1, 0} },
		text: "of 2 proxies, extended: 1, not extended: 1, with another end: 0",
	},
	{
		name: "a proxy vanished, the others were extended", fault: replyLost, then: func(_ *testing.T, m *market, b buying) { m.hideOne(b) },
		ends: func(b buying) [3]int { return [3]int{b.quantity - 1, 0, 1} },
	},
	{
		name: "a proxy vanished, the others were not extended", fault: requestLost, then: func(_ *testing.T, m *market, b buying) { m.hideOne(b) },
		ends: func(b buying) [3]int { return [3]int{0, b.quantity - 1, 1} },
	},
	{
		name: "all proxies vanished", fault: requestLost, then: func(_ *testing.T, m *market, b buying) {
			m.editList(func(r map[string]any) bool { return r["orderId"] != string(m.extended(b).ID) })
		},
		ends: func(b buying) [3]int { return [3]int{0, 0, b.quantity} },
	},
	{name: "the list does not tell the ends", fault: replyLost, arrange: func(m *market) { m.SetListShape(noEnds) }},
	{name: "the list does not tell the ends, and nothing was paid", fault: requestLost, arrange: func(m *market) { m.SetListShape(noEnds) }},
	{name: "the list does not tell the ends any more", fault: requestLost, then: func(_ *testing.T, m *market, _ buying) { m.SetListShape(noEnds) }},
	{
		name: "the price was paid, but the ends did not move", fault: requestLost, then: func(_ *testing.T, m *market, b buying) { m.payFor(b) },
		ends: func(b buying) [3]int { return [3]int{0, b.quantity, 0} },
	},
	{
		name: "the ends moved, but something else was paid", fault: replyLost, then: func(_ *testing.T, m *market, _ buying) { m.pay("-50") },
		ends: func(b buying) [3]int { return [3]int{b.quantity, 0, 0} },
	},
	{name: "the ends moved, and nothing was paid", fault: replyLost, then: func(_ *testing.T, m *market, b buying) {
		m.pay("-" + b.limit().Amount.String())
	}},
	{name: "something else was paid, and the ends did not move", fault: requestLost, then: func(_ *testing.T, m *market, _ buying) { m.pay("0.02") }},
	{name: "the balance is in another currency, and the ends did not move", fault: requestLost, then: func(_ *testing.T, m *market, _ buying) {
		m.SetBalance(youproxy.MustMoney("100 EUR"))
	}},
	{name: "the list is unreadable", fault: replyLost, then: func(_ *testing.T, m *market, _ buying) {
		m.fault20("GET /ipAddress", youproxytest.InternalError)
	}, text: "the account could not be read: HTTP status 500"},
	{name: "the last look fails", fault: requestLost, arrange: func(m *market) {
		started := time.Now()
		m.before["GET /ipAddress"] = func() {
			if time.Since(started) >= thePatience {
				m.Refuse("GET /ipAddress", 3)
			}
		}
	}, ends: func(b buying) [3]int { return [3]int{0, b.quantity, 0} }},
}

func TestUndeterminedExtensions(t *testing.T) {
	t.Parallel()
	for _, tc := range undeterminedExtensions {
		t.Run(tc.name, func(t *testing.T) {
			for _, b := range buyings[4:] {
				if tc.only != "" && tc.only != b.op {
					continue
				}
				t.Run(b.name, func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						if tc.arrange != nil {
							tc.arrange(m)
						}
						if tc.then != nil {
							m.after1(b, func() { tc.then(t, m, b) })
						}
						m.Inject(b.op, tc.fault)
						started := time.Now()
						got, err := b.buy(t.Context(), m, m.client)
						assert.Nil(t, got)
						assert.InDelta(t, 121, time.Since(started).Seconds(), 1.5, "the whole patience")
						e := assertFailed(t, m, err, youproxy.VerdictUndetermined).Evidence
						if tc.ends != nil {
							want := tc.ends(b)
							assert.Equal(t, want, [3]int{e.Moved, e.Unmoved, e.Otherwise})
						}
						assert.ErrorContains(t, err, tc.text)
						assertStopped(t, m, b, m.recorded[0].ID)
					})
				})
			}
		})
	}
}

// A service may count months, or to the end of a day.
func TestHowEndsMove(t *testing.T) {
	t.Parallel()
	plus := func(d time.Duration) func(time.Time, int) time.Time {
		return func(end time.Time, days int) time.Time { return end.AddDate(0, 0, days).Add(d) }
	}
	for _, tc := range []struct {
		name     string
		end      func(end time.Time, days int) time.Time
		executed bool
	}{
		{"calendar months", func(end time.Time, days int) time.Time { return end.AddDate(0, days/30, 0) }, true},
		{"an hour more", plus(time.Hour), true},
		{"an hour less", plus(-time.Hour), true},
		{"to the end of the day", func(end time.Time, days int) time.Time {
			return end.AddDate(0, 0, days).Truncate(24 * time.Hour).Add(24*time.Hour - time.Second)
		}, true},
		{"36 hours more", plus(36 * time.Hour), true},
		{"36 hours less", plus(-36 * time.Hour), true},
		{"more than that", plus(36*time.Hour + time.Second), false},
		{"less than that", plus(-36*time.Hour - time.Second), false},
		{"back", func(end time.Time, _ int) time.Time { return end.Add(-time.Hour) }, false},
	} {
		for _, renamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, new ids %t", tc.name, renamed), func(t *testing.T) {
				for _, b := range buyings[4:] {
					opts := []any{youproxytest.WithExtensionEnd(tc.end)}
					if renamed {
						opts = append(opts, youproxytest.WithRenewedIDs())
					}
					inMarket(t, func(t *testing.T, m *market) {
						m.Inject(b.op, youproxytest.DropAfterCommit)
						got, err := b.buy(t.Context(), m, m.client)
						if tc.executed {
							assertRecovered(t, m, b, got, err)
							return
						}
						e := assertFailed(t, m, err, youproxy.VerdictUndetermined).Evidence
						assert.Equal(t, [3]int{0, 0, b.quantity}, [3]int{e.Moved, e.Unmoved, e.Otherwise})
					}, opts...)
				}
			})
		}
	}
}

// Where the list does not tell the zone, the ends are off by as much before and after it.
func TestEndsWithoutAZone(t *testing.T) {
	t.Parallel()
	for _, layout := range []string{time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		for _, hours := range []int{0, 14, -12} {
			for _, b := range buyings[4:] {
				t.Run(fmt.Sprintf("%s in a zone of %+d hours, %s", layout, hours, b.name), func(t *testing.T) {
					shape := youproxytest.ListShape{DateLayout: layout, Zone: time.FixedZone("", hours*3600)}
					for _, renamed := range []bool{false, true} {
						opts := []any{youproxytest.WithListShape(shape)}
						if renamed {
							opts = append(opts, youproxytest.WithRenewedIDs())
						}
						inMarket(t, func(t *testing.T, m *market) {
							m.Inject(b.op, youproxytest.DropBeforeCommit)
							_, err := b.buy(t.Context(), m, m.client)
							assertFailed(t, m, err, youproxy.VerdictNotExecuted)
						}, opts...)
						inMarket(t, func(t *testing.T, m *market) {
							m.Inject(b.op, youproxytest.DropAfterCommit)
							got, err := b.buy(t.Context(), m, m.client)
							assertRecovered(t, m, b, got, err)
						}, opts...)
					}
				})
			}
		}
	}
}

// A period that is shorter than that does not move an end that stays.
func TestShortExtensionsThatWereNotMade(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		if b.isOrder() {
			return
		}
		m.Inject(b.op, youproxytest.DropBeforeCommit)
		_, err := b.buy(t.Context(), m, m.client)
		assertFailed(t, m, err, youproxy.VerdictNotExecuted)
	}, youproxytest.WithRenewedIDs())
}

// Ids may change on renewal: by proxies and by orders, of a part of an order, and where
// the quote refuses the old ones.
func TestRenewedIDs(t *testing.T) {
	t.Parallel()
	part := func(m *market) youproxy.ExtendRequest {
		return youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: m.idsOf(m.ipv4.ID)[:1], RentPeriodDays: 30}
	}
	whole := func(m *market) youproxy.ExtendRequest {
		return youproxy.ExtendOrdersRequest{ProxyType: youproxy.ProxyTypeIPv4, OrderIDs: []youproxy.OrderID{m.ipv4.ID}, RentPeriodDays: 30}
	}
	limit := youproxy.MustMoney("10 USD")
	for _, tc := range []struct {
		name string
		op   string
		req  func(m *market) youproxy.ExtendRequest
		then func(t *testing.T, m *market) // at once after it
		want youproxy.Verdict
	}{
		{"a part", "POST /extend", part, nil, youproxy.VerdictExecuted},
		{"an order", "POST /extend/order", whole, nil, youproxy.VerdictExecuted},
		{"a part, and somebody else the rest", "POST /extend", part, func(t *testing.T, m *market) {
			_, err := m.anotherClient(t).Extend(t.Context(), youproxy.ExtendIPsRequest{
				ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: m.idsOf(m.ipv4.ID)[1:], RentPeriodDays: 30,
			})
			assert.NoError(t, err)
		}, youproxy.VerdictUndetermined},
		{"an order, and a proxy is gone", "POST /extend/order", whole, func(_ *testing.T, m *market) {
			m.hideOne(renewIPs)
		}, youproxy.VerdictUndetermined},
	} {
		for _, null := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, refusals without balance %t", tc.name, null), func(t *testing.T) {
				opts := []any{youproxytest.WithRenewedIDs()}
				if null {
					opts = append(opts, youproxytest.WithNullBalances())
				}
				inMarket(t, func(t *testing.T, m *market) {
					if tc.then != nil {
						m.after[tc.op] = func() {
							delete(m.after, tc.op)
							tc.then(t, m)
						}
					}
					m.Inject(tc.op, youproxytest.DropAfterCommit)
					req := tc.req(m)
					renewal, err := m.client.Renew(t.Context(), req, limit)
					if tc.want != youproxy.VerdictExecuted {
						assertFailed(t, m, err, tc.want)
						return
					}
					require.NoError(t, err)
					assert.True(t, renewal.Recovered)
					assert.ElementsMatch(t, m.Extensions()[0].IPAddressIDs, renewal.IPAddressIDs, "as they were named before")
				}, opts...)
			})
		}
	}
}

// What is extended in part is neither executed nor not.
func TestPartialExtensions(t *testing.T) {
	t.Parallel()
	for _, b := range buyings[4:] {
		for _, fault := range []youproxytest.Fault{youproxytest.PartialExtension, youproxytest.PartialExtensionDropped} {
			for _, renamed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, new ids %t", b.name, fault, renamed), func(t *testing.T) {
					var opts []any
					if renamed {
						opts = append(opts, youproxytest.WithRenewedIDs())
					}
					inMarket(t, func(t *testing.T, m *market) {
						m.Inject(b.op, fault)
						_, err := b.buy(t.Context(), m, m.client)
						e := assertFailed(t, m, err, youproxy.VerdictUndetermined).Evidence
						half := (b.quantity + 1) / 2
						if !renamed {
							assert.Equal(t, [3]int{half, b.quantity - half, 0}, [3]int{e.Moved, e.Unmoved, e.Otherwise})
						}
						assertStopped(t, m, b, m.recorded[0].ID)
					}, opts...)
				})
			}
		}
	}
}

// aboutToEnd adds an order that ends after d, and returns a function that switches on its
// automatic extension.
func (m *market) aboutToEnd(t *testing.T, d time.Duration) (o youproxytest.Order, switchOn func()) {
	o = m.AddOrder(youproxytest.Order{
		ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: 2,
		RentPeriodDays: 30, CreatedAt: time.Now().Add(d - 30*24*time.Hour),
	})
	return o, func() {
		_, err := m.anotherClient(t).SetAutoExtend(t.Context(), youproxy.AutoExtendOrdersRequest{
			ProxyType: o.ProxyType, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: 30, AutoExtend: true,
		})
		assert.NoError(t, err)
	}
}

// extensionOf returns the request to extend an order by its id, or by those of its proxies.
func extensionOf(m *market, o youproxytest.Order, byOrder bool) (op string, req youproxy.ExtendRequest) {
	if byOrder {
		return "POST /extend/order", youproxy.ExtendOrdersRequest{ProxyType: o.ProxyType, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: 30}
	}
	return "POST /extend", youproxy.ExtendIPsRequest{ProxyType: o.ProxyType, IPAddressIDs: m.idsOf(o.ID), RentPeriodDays: 30}
}

// forEachExtension runs f for extensions by proxies and by orders, with ids that stay and
// with others.
func forEachExtension(t *testing.T, name string, f func(t *testing.T, byOrder bool, opts ...any)) {
	for _, byOrder := range []bool{false, true} {
		t.Run(fmt.Sprintf("%s, by order: %t", name, byOrder), func(t *testing.T) { f(t, byOrder) })
		t.Run(fmt.Sprintf("%s, by order: %t, new ids", name, byOrder), func(t *testing.T) { f(t, byOrder, youproxytest.WithRenewedIDs()) })
	}
}

// Where the service may have extended the proxies by itself, their ends do not tell
// whether it was asked to.
func TestAutomaticExtensionInBetween(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault youproxytest.Fault
		ends  time.Duration // after the attempt
		since bool          // it is switched on only after the attempt
		want  youproxy.Verdict
		moves [3]int // moved, unmoved, otherwise
		zone  int    // that the list does not tell, in hours
	}{
		{"by itself only", requestLost, time.Minute, false, youproxy.VerdictUndetermined, [3]int{2, 0, 0}, 0},
		{"by itself only, switched on since", requestLost, time.Minute, true, youproxy.VerdictUndetermined, [3]int{2, 0, 0}, 0},
		{"by itself as well", youproxytest.CommitLate, 30 * time.Second, false, youproxy.VerdictUndetermined, [3]int{0, 0, 2}, 0},
		{"long before it was due", replyLost, time.Hour, false, youproxy.VerdictExecuted, [3]int{}, 0},
		{"long before it was due, and not extended", requestLost, time.Hour, false, youproxy.VerdictNotExecuted, [3]int{0, 2, 0}, 0},
		{"just about when it was due", replyLost, 5 * time.Second, false, youproxy.VerdictUndetermined, [3]int{2, 0, 0}, 0},
		{"by itself only, in the east", requestLost, time.Minute, false, youproxy.VerdictUndetermined, [3]int{2, 0, 0}, 14},
		{"by itself only, switched on since, in the east", requestLost, time.Minute, true, youproxy.VerdictUndetermined, [3]int{2, 0, 0}, 14},
		{"by itself only, in the west", requestLost, time.Minute, false, youproxy.VerdictUndetermined, [3]int{2, 0, 0}, -12},
		{"long before it was due, in the east", replyLost, 25 * time.Hour, false, youproxy.VerdictExecuted, [3]int{}, 14},
		{"long before it was due, in the west", replyLost, 37 * time.Hour, false, youproxy.VerdictExecuted, [3]int{}, -12},
	} {
		forEachExtension(t, tc.name, func(t *testing.T, byOrder bool, opts ...any) {
			inMarket(t, func(t *testing.T, m *market) {
				o, switchOn := m.aboutToEnd(t, tc.ends)
				op, req := extensionOf(m, o, byOrder)
				if tc.zone != 0 {
					m.SetListShape(youproxytest.ListShape{DateLayout: time.DateTime, Zone: time.FixedZone("", tc.zone*3600)})
				}
				if tc.since {
					m.after[op] = switchOn
				} else {
					switchOn()
				}
				m.Inject(op, tc.fault)
				renewal, err := m.client.Renew(t.Context(), req, youproxy.MustMoney("4.80 USD"))
				if tc.want == youproxy.VerdictExecuted {
					require.NoError(t, err)
					assert.True(t, renewal.Recovered)
					assertMoney(t, "4.8 USD", *renewal.Charged)
					return
				}
				e := assertFailed(t, m, err, tc.want).Evidence
				if len(opts) == 0 {
					want := tc.moves
					assert.Equal(t, want, [3]int{e.Moved, e.Unmoved, e.Otherwise})
				}
				assert.Equal(t, tc.want == youproxy.VerdictUndetermined, e.Renewed)
			}, opts...)
		})
	}
}

// What cannot be read of an automatic extension may be one that is due.
func TestAutomaticExtensionThatCannotBeRead(t *testing.T) {
	t.Parallel()
	says := func(something any) youproxytest.ListShape {
		return youproxytest.ListShape{Extra: map[string]any{"extendInfo": map[string]any{"autoExtend": something}}}
	}
	for _, tc := range []struct {
		name          string
		before, after youproxytest.ListShape // the attempt
		fault         youproxytest.Fault
		ends          time.Duration
		want          youproxy.Verdict
	}{
		{"by itself only", says("soon"), says("soon"), requestLost, time.Minute, youproxy.VerdictUndetermined},
		{"by itself only, told before", says("soon"), says(false), requestLost, time.Minute, youproxy.VerdictUndetermined},
		{"by itself only, told since", says(false), says("soon"), requestLost, time.Minute, youproxy.VerdictUndetermined},
		{"just about when it was due", says("soon"), says("soon"), replyLost, 5 * time.Second, youproxy.VerdictUndetermined},
		{"just about when it was due, told before", says([]any{1}), says(nil), replyLost, 5 * time.Second, youproxy.VerdictUndetermined},
		{"just about when it was due, told since", says(nil), says(2.5), replyLost, 5 * time.Second, youproxy.VerdictUndetermined},
		{"just about when the proxies end, and there is none", says(nil), says("off"), replyLost, 5 * time.Second, youproxy.VerdictExecuted},
		{"long before it was due", says("soon"), says("soon"), replyLost, time.Hour, youproxy.VerdictExecuted},
		{"long before it was due, and not extended", says("soon"), says("soon"), requestLost, time.Hour, youproxy.VerdictNotExecuted},
	} {
		forEachExtension(t, tc.name, func(t *testing.T, byOrder bool, opts ...any) {
			inMarket(t, func(t *testing.T, m *market) {
				o, switchOn := m.aboutToEnd(t, tc.ends)
				op, req := extensionOf(m, o, byOrder)
				switchOn()
				m.SetListShape(tc.before)
				m.after[op] = func() { m.SetListShape(tc.after) }
				m.Inject(op, tc.fault)
				renewal, err := m.client.Renew(t.Context(), req, youproxy.MustMoney("4.80 USD"))
				if tc.want == youproxy.VerdictExecuted {
					require.NoError(t, err)
					assert.True(t, renewal.Recovered)
					return
				}
				e := assertFailed(t, m, err, tc.want).Evidence
				assert.Equal(t, tc.want == youproxy.VerdictUndetermined, e.Renewed)
			}, opts...)
		})
	}
}

// What is ordered beside it does not matter to an extension.
func TestExtensionsBesideOrders(t *testing.T) {
	t.Parallel()
	for _, b := range buyings[4:] {
		t.Run(b.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.after1(b, func() { m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: "FRA", Quantity: 1}) })
				m.Inject(b.op, youproxytest.DropAfterCommit)
				got, err := b.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				assert.True(t, got.recovered)
				assertMoney(t, b.price, *got.charged)
			})
		})
	}
}

// A plain extension of unknown outcome may be executed while a renewal of the same proxies
// is under way: it stops renewals until it cannot be under way any more. What it may
// account for is not taken for the renewal's, for a day.
func TestRenewAfterAPlainExtension(t *testing.T) {
	t.Parallel()
	byOrders := func(m *market) youproxy.ExtendRequest {
		return youproxy.ExtendOrdersRequest{ProxyType: m.ipv4.ProxyType, OrderIDs: []youproxy.OrderID{m.ipv4.ID}, RentPeriodDays: 30}
	}
	for _, plain := range []struct {
		name    string
		request func(*market) youproxy.ExtendRequest
		op      string
	}{{"by IPs", renewIPs.extend, "POST /extend"}, {"by orders", byOrders, "POST /extend/order"}} {
		for _, lost := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, lost %t", plain.name, lost), func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					if lost {
						m.Inject(plain.op, youproxytest.CommitLate)
					}
					_, err := m.client.Extend(t.Context(), plain.request(m))
					require.Equal(t, lost, youproxy.OutcomeOf(err) == youproxy.OutcomeUnknown, "%v", err)
					if lost {
						assertStopped(t, m, renewIPs, m.journal.all()[0].Attempt.ID)
						time.Sleep(theTimeout + thePatience)
					}
					m.Inject("POST /extend", youproxytest.DropBeforeCommit)
					_, err = renewIPs.buy(t.Context(), m, m.client)
					assertFailed(t, m, err, youproxy.VerdictNotExecuted)

					m.Inject("POST /extend", youproxytest.DropAfterCommit)
					renewal, err := renewIPs.buy(t.Context(), m, m.client)
					if !lost {
						require.NoError(t, err)
						assert.True(t, renewal.recovered)
						return
					}
					assert.Equal(t, youproxy.EntryDismissed, m.journal.all()[0].State)
					assert.Equal(t, "plain call, outcome not known", m.journal.all()[0].Note)
					assertFailed(t, m, err, youproxy.VerdictUndetermined)
				}, youproxytest.WithCommitDelay(10*time.Second))
			})
		}
	}
}
