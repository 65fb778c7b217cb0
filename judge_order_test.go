package youproxy_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// after1 runs f once, as soon as a request of b has been dealt with.
func (m *market) after1(b buying, f func()) {
	m.after[b.op] = func() {
		delete(m.after, b.op)
		f()
	}
}

// pay takes an amount off the balance, for something else.
func (m *market) pay(amount string) { m.SetBalance(less(m.Balance(), amount)) }

// payFor takes the price of b off the balance.
func (m *market) payFor(b buying) { m.pay(b.limit().Amount.String()) }

// fault20 makes the next calls of op fail, each as often as it is made again.
func (m *market) fault20(op string, f youproxytest.Fault) {
	m.Inject(op, slices.Repeat([]youproxytest.Fault{f}, 60)...)
}

// assertStopped calls b again, which an attempt stands in the way of.
func assertStopped(t *testing.T, m *market, b buying, id string) {
	t.Helper()
	sent := len(m.sends())
	_, err := b.buy(t.Context(), m, m.client)
	var pending *youproxy.PendingError
	require.ErrorAs(t, err, &pending)
	assert.Equal(t, id, pending.Attempt.ID)
	assert.ErrorIs(t, err, youproxy.ErrPending)
	assert.ErrorIs(t, err, youproxy.ErrNotSent)
	assert.NotErrorIs(t, err, youproxy.ErrUndetermined)
	assert.NotErrorIs(t, err, youproxy.ErrNotExecuted)
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
	assert.Len(t, m.sends(), sent)
	assertHidesSecrets(t, m, err)
}

func assertNoLook(t *testing.T, _ *market, _ buying, e youproxy.Evidence) {
	t.Helper()
	assert.Zero(t, e.Looks)
	assert.Zero(t, e.At)
	assert.Nil(t, e.Balance)
	assert.Nil(t, e.Quoted)
	assert.Nil(t, e.Fell)
	assert.Error(t, e.Err)
}

// What is lost of a purchase.
const (
	replyLost   = youproxytest.DropAfterCommit
	requestLost = youproxytest.DropBeforeCommit
)

var undeterminedOrders = []struct {
	name     string
	fault    youproxytest.Fault
	arrange  func(m *market, b buying) // before the order is sent
	then     func(m *market, b buying) // as soon as it was dealt with
	options  []any
	evidence func(t *testing.T, m *market, b buying, e youproxy.Evidence)
	text     string
}{
	{
		name: "somebody else ordered the same", fault: replyLost, then: func(m *market, b buying) { b.again(m) },
		evidence: func(t *testing.T, m *market, b buying, e youproxy.Evidence) {
			orders := m.Orders()[len(m.opened.orders):]
			require.Len(t, e.NewOrders, 2)
			for i, o := range orders {
				assert.Equal(t, youproxy.SeenOrder{
					ID: o.ID, Number: o.Number, Country: o.Country, Proxies: o.Quantity, Start: o.CreatedAt.UTC().Truncate(time.Millisecond),
				}, e.NewOrders[i])
			}
			assertMoney(t, b.price, *e.Fell)
		},
		text: "new orders: 2: ",
	},
	{name: "somebody else ordered the same, and this was not executed", fault: requestLost, then: func(m *market, b buying) { b.again(m) }, text: "new orders: 1: "},
	{name: "somebody else ordered and paid the same long before, and it appears now", fault: requestLost, then: func(m *market, b buying) {
		m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: b.quantity, CreatedAt: time.Now().Add(-11 * time.Second)})
		m.payFor(b)
	}},
	{name: "somebody else ordered another quantity at the same price", fault: requestLost, then: func(m *market, b buying) {
		m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: b.quantity + 1})
		m.payFor(b)
	}},
	{name: "somebody else ordered for another country", fault: requestLost, then: func(m *market, b buying) {
		country := map[bool]string{true: "GBR", false: "DEU"}[b.country != "GBR"]
		m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: country, Quantity: b.quantity})
		m.payFor(b)
	}},
	{name: "somebody else ordered something else beside it", fault: replyLost, then: func(m *market, b buying) {
		m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: b.quantity + 1})
	}, text: "new orders: 2: "},
	{
		name: "the balance moved otherwise", fault: replyLost, then: func(m *market, _ buying) { m.pay("0.02") },
		evidence: func(t *testing.T, m *market, b buying, e youproxy.Evidence) {
			assert.Len(t, e.NewOrders, 1)
			assertMoney(t, less(b.limit(), "-0.02").String(), *e.Fell)
			assertMoney(t, m.Balance().String(), *e.Balance)
		},
		text: "the balance fell by ",
	},
	{name: "the balance moved, and nothing was ordered", fault: requestLost, then: func(m *market, _ buying) { m.pay("-5") }, text: "the balance fell by -5 USD"},
	{name: "the balance moved by less than a cent, and nothing was ordered", fault: requestLost, then: func(m *market, _ buying) { m.pay("0.004") }},
	{name: "the price was paid, and nothing was ordered", fault: requestLost, then: func(m *market, b buying) { m.payFor(b) }},
	{name: "the order appeared, and nothing was paid", fault: requestLost, then: func(m *market, b buying) { b.again(m) }},
	{name: "the order appeared, and money came in", fault: requestLost, then: func(m *market, b buying) {
		b.again(m)
		m.pay("-" + b.limit().Amount.String())
	}},
	{name: "the balance moved for a while", fault: requestLost, then: func(m *market, _ buying) {
		was := m.Balance()
		m.pay("1")
		time.AfterFunc(10*time.Second, func() { m.SetBalance(was) })
	}, text: "; the balance is as it was; "},
	{name: "an order was listed for a while", fault: requestLost, then: func(m *market, b buying) {
		other := b.again(m).ID
		until := time.Now().Add(10 * time.Second)
		m.editList(func(r map[string]any) bool { return r["orderId"] != string(other) || time.Now().Before(until) })
	}, text: "; the balance is as it was; "},
	{
		name: "the balance is in another currency", fault: replyLost, then: func(m *market, _ buying) { m.SetBalance(youproxy.MustMoney("50 EUR")) },
		evidence: func(t *testing.T, _ *market, _ buying, e youproxy.Evidence) {
			assert.Nil(t, e.Fell)
			assertMoney(t, "50 EUR", *e.Balance)
		},
	},
	{name: "the balance is in another currency, and nothing was ordered", fault: requestLost, then: func(m *market, _ buying) {
		m.SetBalance(youproxy.MustMoney("100 EUR"))
	}},
	{
		name: "its proxies do not appear", fault: replyLost, options: []any{youproxytest.WithProvisioningDelay(3 * time.Minute)},
		evidence: func(t *testing.T, _ *market, b buying, e youproxy.Evidence) {
			assert.Empty(t, e.NewOrders)
			assertMoney(t, b.price, *e.Fell)
			assert.Equal(t, 12, e.Looks)
		},
	},
	{name: "the list leaves the order's id out", fault: replyLost, arrange: func(m *market, _ buying) {
		m.SetListShape(youproxytest.ListShape{Extra: map[string]any{"orderId": nil}})
	}},
	{name: "none of the orders from before is listed", fault: replyLost, then: func(m *market, b buying) {
		own := m.lastOrder().ID
		m.editList(func(r map[string]any) bool { return r["orderId"] == string(own) })
	}, arrange: func(m *market, b buying) { b.again(m) }, text: "it may be another account"},
	{name: "none of the orders from before is listed, nor any other", fault: requestLost, arrange: func(m *market, b buying) { b.again(m) }, then: func(m *market, _ buying) {
		m.editList(func(map[string]any) bool { return false })
	}, text: "it may be another account"},
	{name: "the list is unreadable", fault: replyLost, then: func(m *market, _ buying) {
		m.fault20("GET /ipAddress", youproxytest.InternalError)
	}, evidence: assertNoLook, text: "the account could not be read: HTTP status 500"},
	{name: "the list shows the key and nothing else", fault: requestLost, then: func(m *market, _ buying) {
		m.fault20("GET /ipAddress", youproxytest.EchoKey)
	}, evidence: assertNoLook, text: "the account could not be read: HTTP status 404"},
	{name: "the list breaks off", fault: requestLost, then: func(m *market, _ buying) {
		m.fault20("GET /ipAddress", youproxytest.Truncated)
	}, evidence: assertNoLook, text: "the account could not be read: "},
	{name: "the list is refused", fault: requestLost, then: func(m *market, _ buying) {
		m.Refuse("GET /ipAddress", slices.Repeat([]int{3}, 20)...)
	}, evidence: assertNoLook, text: "the account could not be read: refused: "},
	{name: "the balance is unreadable", fault: replyLost, then: func(m *market, _ buying) {
		m.fault20("GET /balance", youproxytest.InternalError)
	}, evidence: assertNoLook, text: "the account could not be read: "},
	{
		name: "no quote tells the balance", fault: requestLost, then: func(m *market, b buying) { m.fault20(b.quoteOp(), youproxytest.InternalError) },
		evidence: func(t *testing.T, _ *market, _ buying, e youproxy.Evidence) {
			assert.Positive(t, e.Looks)
			assert.Nil(t, e.Quoted)
			assertMoney(t, "0 USD", *e.Fell)
		},
		text: "; the balance is as it was; ",
	},
	{
		name: "the quote tells another balance", fault: requestLost, then: func(m *market, b buying) { m.changeQuote(b, "balance", 60) },
		evidence: func(t *testing.T, m *market, _ buying, e youproxy.Evidence) {
			assertMoney(t, m.opened.balance, *e.Balance)
			assertMoney(t, "60 USD", *e.Quoted)
			assertMoney(t, "40 USD", *e.Fell) // that of the quote counts
		},
	},
	{
		name: "the last look fails", fault: requestLost, arrange: func(m *market, _ buying) {
			started := time.Now()
			m.before["GET /balance"] = func() {
				if time.Since(started) >= thePatience {
					m.Refuse("GET /balance", 3)
				}
			}
		},
		evidence: func(t *testing.T, _ *market, _ buying, e youproxy.Evidence) {
			assert.ErrorIs(t, e.Err, youproxy.ErrCallerNotAllowed)
			assert.Equal(t, 11, e.Looks)
			assertMoney(t, "0 USD", *e.Fell)
		},
		text: "the balance is as it was; the account could not be read: ",
	},
}

func TestUndeterminedOrders(t *testing.T) {
	t.Parallel()
	for _, tc := range undeterminedOrders {
		t.Run(tc.name, func(t *testing.T) {
			for _, b := range []buying{buyMobile, buyISP} {
				t.Run(b.name, func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						if tc.arrange != nil {
							tc.arrange(m, b)
						}
						if tc.then != nil {
							m.after1(b, func() { tc.then(m, b) })
						}
						m.Inject(b.op, tc.fault)
						started := time.Now()
						got, err := b.buy(t.Context(), m, m.client)
						assert.Nil(t, got)
						assert.InDelta(t, 121, time.Since(started).Seconds(), 1.5, "the whole patience")
						failed := assertFailed(t, m, err, youproxy.VerdictUndetermined)
						if tc.evidence != nil {
							tc.evidence(t, m, b, failed.Evidence)
						}
						assert.ErrorContains(t, err, tc.text)
						assertStopped(t, m, b, failed.Attempt.ID)
					}, tc.options...)
				})
			}
		})
	}
}

// An order that somebody else placed without the journal just before, and that shows only
// now, is not taken for nothing.
func TestAnOrderFromJustBeforeThatShowsFirst(t *testing.T) {
	t.Parallel()
	for _, numbers := range []bool{true, false} {
		t.Run(fmt.Sprintf("numbers %t", numbers), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				if !numbers {
					m.SetListShape(noNumbers)
				}
				_, err := m.anotherClient(t).Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				time.Sleep(5 * time.Second)
				m.Inject("POST /order", youproxytest.DropBeforeCommit)
				_, err = m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				assertFailed(t, m, err, youproxy.VerdictUndetermined)
			}, youproxytest.WithProvisioningDelay(50*time.Second))
		})
	}
}

// A list tells milliseconds, and the Date header seconds: an order of the same one is no
// order from before.
func TestALostReplyWithinAMillisecond(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		time.Sleep(1_234_567 * time.Nanosecond)
		m.Inject(b.op, youproxytest.DropAfterCommit)
		started := time.Now()
		got, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.True(t, got.recovered)
		assert.Zero(t, time.Since(started), "it shows at once")
	})
}

// ownStarts is a list that tells the starts, and little else, under another name.
const ownStarts = `{"success": true, "{group}": [{"proxy_id": "{ipAddressId}", "host": "{ipAddressIp}", "order_id": "{orderId}", "start_date": "{dateStart}"}]}`

// Starts may be cut, told in another zone, or in one that the list does not tell, and the
// clocks may differ.
func TestStarts(t *testing.T) {
	t.Parallel()
	zone := func(hours int) *time.Location { return time.FixedZone("", hours*3600) }
	for name, shape := range map[string]youproxytest.ListShape{
		"milliseconds":            {},
		"seconds":                 {DateLayout: time.RFC3339},
		"minutes":                 {DateLayout: "2006-01-02T15:04:00Z07:00"},
		"midnights":               {DateLayout: "2006-01-02T00:00:00Z07:00"},
		"days":                    {DateLayout: time.DateOnly},
		"days in the east":        {DateLayout: time.DateOnly, Zone: zone(14)},
		"days in the west":        {DateLayout: time.DateOnly, Zone: zone(-12)},
		"another zone":            {Zone: zone(5)},
		"minutes in another zone": {DateLayout: "2006-01-02T15:04:00Z07:00", Zone: zone(-7)},
		"no zone":                 {DateLayout: time.DateTime},
		"no zone, in the east":    {DateLayout: time.DateTime, Zone: zone(14)},
		"no zone, in the west":    {DateLayout: time.DateTime, Zone: zone(-12)},
		"no zone, of the orders":  {DateLayout: "2006-01-02 15:04", Zone: zone(-12), Orders: true, ShortNames: true},
		"no zone, another name":   {DateLayout: time.DateTime, Zone: zone(-12), Template: ownStarts},
	} {
		for _, skew := range []time.Duration{0, 7 * time.Minute, -7 * time.Minute}[:size(3, 3, 1)] {
			for _, at := range []time.Duration{1500 * time.Millisecond, 23*time.Hour + 59*time.Minute + 59*time.Second + 900*time.Millisecond} {
				t.Run(fmt.Sprintf("%s, clock %s ahead, at %s", name, skew, at), func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(24*time.Hour + at)))
						m.Inject("POST /order", youproxytest.DropAfterCommit)
						started := time.Now()
						purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
						require.NoError(t, err)
						assert.True(t, purchase.Recovered)
						assert.Equal(t, m.lastOrder().ID, purchase.OrderID)
						assert.Zero(t, time.Since(started))

						m.Inject("POST /order", youproxytest.DropBeforeCommit)
						_, err = m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
						assertFailed(t, m, err, youproxy.VerdictNotExecuted)

						purchase, err = m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
						require.NoError(t, err)
						_, err = m.client.WaitForProxies(t.Context(), purchase)
						require.NoError(t, err)
						assert.Equal(t, m.lastOrder().ID, purchase.OrderID)
					}, youproxytest.WithListShape(shape), youproxytest.WithClockSkew(skew))
				})
			}
		}
	}
}

// An order that somebody else placed and paid before the attempt, and that shows only
// now, is told by its start where the list is as precise as that.
func TestStartsFromBefore(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		shape   youproxytest.ListShape
		skew    time.Duration
		before  time.Duration
		options []any
		want    youproxy.Verdict
	}{
		{name: "a second before", before: 1500 * time.Millisecond},
		{name: "a second before, by a clock that is ahead", before: 1500 * time.Millisecond, skew: 9 * time.Minute},
		{name: "a second before, by a clock that is behind", before: 1500 * time.Millisecond, skew: -9 * time.Minute},
		{name: "seconds before", before: 2 * time.Second, shape: youproxytest.ListShape{DateLayout: time.RFC3339}},
		{name: "a minute before", before: time.Minute, shape: youproxytest.ListShape{DateLayout: "2006-01-02T15:04:00Z07:00"}},
		{name: "an hour before, in another zone", before: time.Hour, shape: youproxytest.ListShape{Zone: time.FixedZone("", 8*3600)}},
		{name: "three days before", before: 72 * time.Hour, shape: youproxytest.ListShape{DateLayout: "2006-01-02T00:00:00Z07:00"}},
		{name: "a day before, without a zone", before: 24*time.Hour + time.Second, shape: youproxytest.ListShape{DateLayout: time.DateTime}},
		{name: "two days before, without a zone, in the east", before: 38*time.Hour + time.Second, shape: youproxytest.ListShape{DateLayout: time.DateTime, Zone: time.FixedZone("", 14*3600)}},
		{name: "half a day before, without a zone, in the west", before: 12*time.Hour + time.Second, shape: youproxytest.ListShape{DateLayout: time.DateTime, Zone: time.FixedZone("", -12*3600)}},
		// What cannot be told from it is taken for it, as the documentation says.
		{name: "a day before, where the zone is assumed", before: 24 * time.Hour, shape: youproxytest.ListShape{DateLayout: "2006-01-02T00:00:00Z07:00"}, want: youproxy.VerdictExecuted},
		{name: "less than a day before, without a zone", before: 23 * time.Hour, shape: youproxytest.ListShape{DateLayout: time.DateTime}, want: youproxy.VerdictExecuted},
		{name: "without a Date", before: 72 * time.Hour, options: []any{youproxytest.WithoutDate()}, want: youproxy.VerdictExecuted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour + 10*time.Second)))
				m.after1(buyISP, func() {
					m.AddOrder(youproxytest.Order{
						ProxyType: buyISP.proxies, Country: buyISP.country, Quantity: buyISP.quantity,
						RentPeriodDays: 30, CreatedAt: time.Now().Add(tc.skew - tc.before),
					})
					m.payFor(buyISP)
				})
				m.Inject("POST /order", youproxytest.DropBeforeCommit)
				purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				if tc.want == youproxy.VerdictExecuted {
					require.NoError(t, err)
					assert.True(t, purchase.Recovered)
					return
				}
				assertFailed(t, m, err, youproxy.VerdictUndetermined)
			}, append(tc.options, youproxytest.WithListShape(tc.shape), youproxytest.WithClockSkew(tc.skew))...)
		})
	}
}

// The clock of this machine does not matter, nor that there is none in the replies.
func TestRepliesWithoutADate(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.Inject(b.op, youproxytest.DropAfterCommit)
		got, err := b.buy(t.Context(), m, m.client)
		assertRecovered(t, m, b, got, err)
		assert.True(t, got.attempt.Before.Date.IsZero())
	}, youproxytest.WithoutDate(), youproxytest.WithClockSkew(-3*time.Hour))
}
