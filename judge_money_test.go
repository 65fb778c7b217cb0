package youproxy_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// The balance may fall by a cent more or less than the price.
func TestPricesToWithinACent(t *testing.T) {
	t.Parallel()
	for more, executed := range map[string]bool{
		"0.01": true, "-0.01": true, "0.004": true, "0.0101": false, "-0.0101": false, "0.02": false, "-1": false,
	} {
		t.Run(more+" more", func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.after1(b, func() { m.pay(more) })
				m.Inject(b.op, youproxytest.DropAfterCommit)
				got, err := b.buy(t.Context(), m, m.client)
				if !executed {
					assertFailed(t, m, err, youproxy.VerdictUndetermined)
					return
				}
				require.NoError(t, err)
				assert.True(t, got.recovered)
				assertMoney(t, less(youproxy.MustMoney(m.opened.balance), m.Balance().Amount.String()).String(), *got.charged)
			})
		})
	}
}

// A price may be that of one proxy. What was charged tells which it was.
func TestPricesPerProxy(t *testing.T) {
	t.Parallel()
	const each, all = "2.4 USD", "7.2 USD"
	limit := youproxy.MustMoney(all)
	t.Run("it was", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.Inject("POST /order", youproxytest.DropAfterCommit)
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), limit)
			require.NoError(t, err)
			assertMoney(t, each, purchase.Attempt.Price)
			assertMoney(t, all, purchase.Attempt.PriceIfEach)
			assertMoney(t, all, *purchase.Charged)
		}, youproxytest.WithPricePerProxy())
	})
	t.Run("it was not", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.changeQuote(buyISP, "price", 7.2) // of one as well
			m.Inject("POST /order", youproxytest.DropAfterCommit)
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), youproxy.MustMoney("21.6 USD"))
			require.NoError(t, err)
			assertMoney(t, all, purchase.Attempt.Price)
			assertMoney(t, "21.6 USD", purchase.Attempt.PriceIfEach)
			assertMoney(t, all, *purchase.Charged)
		})
	})
	t.Run("it was neither", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.after1(buyISP, func() { m.pay("-2.4") }) // as if for two
			m.Inject("POST /order", youproxytest.DropAfterCommit)
			_, err := m.client.Buy(t.Context(), anISPOrder(), limit)
			assertFailed(t, m, err, youproxy.VerdictUndetermined)
		}, youproxytest.WithPricePerProxy())
	})
	t.Run("an extension", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.Inject("POST /extend", youproxytest.DropAfterCommit)
			got, err := renewIPs.buy(t.Context(), m, m.client)
			require.NoError(t, err)
			assertMoney(t, "1.31 USD", got.attempt.Price)
			assertMoney(t, renewIPs.price, *got.charged)
		}, youproxytest.WithPricePerProxy())
	})
	t.Run("not executed", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.Inject("POST /order", youproxytest.DropBeforeCommit)
			_, err := m.client.Buy(t.Context(), anISPOrder(), limit)
			assertFailed(t, m, err, youproxy.VerdictNotExecuted)
		}, youproxytest.WithPricePerProxy())
	})
}

// Where a purchase costs a cent or less, the balance does not tell that it was not
// executed, nor a balance that stayed that it was.
func TestPurchasesThatCostNothing(t *testing.T) {
	t.Parallel()
	for _, price := range []float64{0.004, 0.01} {
		for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
			t.Run(fmt.Sprintf("%v, %s", price, fault), func(t *testing.T) {
				for _, b := range []buying{buyIPv4, renewIPs} {
					inMarket(t, func(t *testing.T, m *market) {
						m.changeQuote(b, "price", price)
						paid := fault == youproxytest.DropAfterCommit
						m.after1(b, func() {
							if paid { // what is quoted, not what the fake takes
								m.pay("-" + less(b.limit(), fmt.Sprint(price)).Amount.String())
							}
						})
						m.Inject(b.op, fault)
						got, err := b.buy(t.Context(), m, m.client)
						if paid {
							require.NoError(t, err)
							assert.True(t, got.recovered)
							assertMoney(t, fmt.Sprint(price)+" USD", *got.charged)
							return
						}
						assertFailed(t, m, err, youproxy.VerdictUndetermined)
					})
				}
			})
		}
	}
	gift := change(anIPv4Order(), func(r *youproxy.IPv4OrderRequest) { r.PromoCode = "GIFT" })
	for _, fault := range []youproxytest.Fault{0, youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
		t.Run("a gift, "+fault.String(), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				if fault != 0 {
					m.Inject("POST /order", fault)
				}
				_, err := m.client.Buy(t.Context(), gift, youproxy.MustMoney("0 USD"))
				if fault == 0 {
					require.NoError(t, err)
					return
				}
				assertFailed(t, m, err, youproxy.VerdictUndetermined)
			})
		})
	}
}

// chargedOf returns what was charged for a purchase or a renewal that was found.
func chargedOf(r *youproxy.Reconciliation) *youproxy.Money {
	if r.Purchase != nil {
		return r.Purchase.Charged
	}
	return r.Renewal.Charged
}

type laterPurchase struct {
	name   string
	atOnce bool // another type, for which there is no need to wait
	opts   []youproxy.SpendOption
	shape  youproxytest.ListShape
	later  []youproxytest.Fault
	more   string // is quoted for the later one than is charged
	spoil  bool   // what is known of it does not suffice
}

// What the journal says that later purchases cost is accounted for.
func TestLaterPurchasesAreAccountedFor(t *testing.T) {
	t.Parallel()
	for _, tc := range []laterPurchase{
		{name: "of another type", atOnce: true},
		{name: "of another type, recovered", atOnce: true, later: []youproxytest.Fault{youproxytest.DropAfterCommit}},
		{name: "of another type, not executed", atOnce: true, later: []youproxytest.Fault{youproxytest.DropBeforeCommit}},
		{name: "that cost another price", atOnce: true, more: "1", spoil: true},
		{name: "of the same kind", opts: []youproxy.SpendOption{youproxy.IdempotencyKey("another")}},
		{name: "of the same kind, without numbers", opts: []youproxy.SpendOption{youproxy.IdempotencyKey("another")}, shape: noNumbers},
	} {
		for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
			for _, b := range []buying{buyISP, renewIPs} {
				if b.op == renewIPs.op && !tc.atOnce {
					continue // it moves the same ends
				}
				t.Run(fmt.Sprintf("%s, %s, %s", tc.name, b.name, fault), func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						tc.follow(t, m, b, fault)
					})
				})
			}
		}
	}
}

// follow loses the reply of b, makes the later purchase, and looks what is said of b.
func (l laterPurchase) follow(t *testing.T, m *market, b buying, fault youproxytest.Fault) {
	m.SetListShape(l.shape)
	a := anAttemptOf(t, m, b, fault)
	other := b
	if l.atOnce {
		other = buyMobile
	} else {
		time.Sleep(thePatience + time.Second)
	}
	if l.more != "" {
		m.changeQuote(other, "price", less(other.limit(), "-"+l.more).Amount.InexactFloat64())
	}
	m.Inject(other.op, l.later...)
	_, err := other.buyFor(t.Context(), m, m.client, youproxy.MustMoney("80 USD"), l.opts...)
	if len(l.later) == 0 || l.later[0] == youproxytest.DropAfterCommit {
		require.NoError(t, err)
	}
	clear(m.rewrite)

	found, err := m.client.Reconcile(t.Context(), a)
	require.NoError(t, err)
	lost := fault == youproxytest.DropAfterCommit
	switch {
	case lost:
		require.Equal(t, youproxy.VerdictExecuted, found.Verdict)
		assertMoney(t, b.price, *chargedOf(found))
	case l.spoil:
		assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
	default:
		assert.Equal(t, youproxy.VerdictNotExecuted, found.Verdict)
	}
}

// A later purchase of which nobody knows what it cost, or whether it was made, leaves it
// open.
func TestLaterPurchasesOfUnknownCost(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		later func(a youproxy.Attempt) youproxy.Entry
		pay   string
	}{
		{"executed, and the charge is not known", func(a youproxy.Attempt) youproxy.Entry {
			return youproxy.Entry{Attempt: a, State: youproxy.EntryExecuted, OrderNumber: "ELSEWHERE"}
		}, "37"},
		{"executed, in another currency", func(a youproxy.Attempt) youproxy.Entry {
			return youproxy.Entry{Attempt: a, State: youproxy.EntryExecuted, OrderNumber: "ELSEWHERE", Charged: new(youproxy.MustMoney("37 EUR"))}
		}, "37"},
		{"dismissed, and it was paid", func(a youproxy.Attempt) youproxy.Entry {
			return youproxy.Entry{Attempt: a, State: youproxy.EntryDismissed}
		}, "37"},
		{"open, and it was paid", func(a youproxy.Attempt) youproxy.Entry {
			return youproxy.Entry{Attempt: a, State: youproxy.EntryOpen}
		}, "37"},
	} {
		for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
			t.Run(tc.name+", "+fault.String(), func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					a := anAttemptOf(t, m, buyISP, fault)
					later := a
					later.ID, later.ProxyType, later.Quantity, later.Country = "LATER", youproxy.ProxyTypeMobile, 2, "USA"
					later.Price = youproxy.MustMoney("37 USD")
					m.journal.add(tc.later(later))
					m.pay(tc.pay)
					found, err := m.client.Reconcile(t.Context(), a)
					require.NoError(t, err)
					assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
				})
			})
		}
	}
}

// The evidence is that of the account, whatever the attempt's JSON went through.
func TestReconcileOfASavedAttempt(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		text, err := json.Marshal(anAttemptOf(t, m, b, youproxytest.DropAfterCommit))
		require.NoError(t, err)
		var a youproxy.Attempt
		require.NoError(t, json.Unmarshal(text, &a))
		found, err := m.anotherClient(t).Reconcile(t.Context(), a)
		require.NoError(t, err)
		assert.Equal(t, youproxy.VerdictExecuted, found.Verdict)
	})
}
