package youproxy_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/listshapes"
	"github.com/youproxy-go/youproxy/internal/long"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// The form of the list is not documented. These tests spend with a guard in every form that
// was thought of: what the list tells is found, what it does not tell is undetermined, and
// whatever it is, nothing false is said and nothing is paid twice.

// briefly lets a client wait for half a minute, both for a reply and for the account to
// show what became of a purchase.
var briefly = []youproxy.Option{
	youproxy.WithTimeouts(youproxy.Timeouts{Spend: 30 * time.Second}), youproxy.WithReconcilePatience(30 * time.Second),
}

// inForm runs f in a market with a form of the list, where proxies appear 20 seconds after
// they were ordered.
func inForm(t *testing.T, shape youproxytest.ListShape, f func(t *testing.T, m *market)) {
	t.Helper()
	inMarket(
		t, f, youproxytest.WithListShape(shape), youproxytest.WithProvisioningDelay(20*time.Second), youproxytest.WithCommitDelay(10*time.Second),
		briefly[0], briefly[1],
	)
}

// inEveryForm runs f for every form of the list and some ways to buy, each in its own
// market. But in the long runs, each form has one of the ways.
func inEveryForm(t *testing.T, some []buying, f func(t *testing.T, m *market, b buying, form listshapes.Shape)) {
	for i, form := range listshapes.All() {
		t.Run(form.Name, func(t *testing.T) {
			t.Parallel()
			some := some
			if !long.Run() {
				some = some[i%len(some):][:1]
			}
			for _, b := range some {
				t.Run(b.name, func(t *testing.T) {
					inForm(t, form.Shape, func(t *testing.T, m *market) { f(t, m, b, form) })
				})
			}
		})
	}
}

// assertHas holds proxies against what the service made of an order.
func assertHas(t *testing.T, m *market, o youproxytest.Order, proxies []youproxy.Proxy) {
	t.Helper()
	want := make(map[youproxy.IPAddressID]string)
	for _, ip := range m.proxiesOf(o.ID) {
		want[ip.ID] = ip.Host
	}
	got := make(map[youproxy.IPAddressID]string)
	for _, p := range proxies {
		got[p.ID] = p.Host
		if kept, ok := p.Extra["ipWithPort"]; ok { // a name that is not known for an address
			var text string
			require.NoError(t, json.Unmarshal(kept, &text))
			got[p.ID], _, _ = strings.Cut(text, ":")
		}
		assert.Equal(t, o.ProxyType, p.ProxyType)
	}
	assert.Len(t, proxies, o.Quantity)
	assert.Equal(t, want, got)
}

// isLost reports whether the list cannot be read from the start, since it shows proxies of
// that type. Nothing may be bought then.
func isLost(m *market, b buying, form listshapes.Shape) bool {
	return form.Loud && slices.ContainsFunc(m.opened.orders, func(o youproxytest.Order) bool { return o.ProxyType == b.proxies })
}

// What is bought is found, though somebody else buys as well. Nothing is bought where the
// account cannot be read.
func TestBuyInEveryForm(t *testing.T) {
	t.Parallel()
	inEveryForm(t, buyings[:4], func(t *testing.T, m *market, b buying, form listshapes.Shape) {
		got, err := b.buy(t.Context(), m, m.client)
		if isLost(m, b, form) {
			assertNothingSent(t, m, m.opened, got, err)
			return
		}
		require.NoError(t, err)
		assertExecuted(t, m, b)
		order := m.lastOrder()
		m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: b.quantity + 1})

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
		defer cancel()
		purchase := got.Purchase
		proxies, err := m.client.WaitForProxies(ctx, purchase)
		if form.Tells {
			require.NoError(t, err)
		}
		if err != nil {
			assert.ErrorContains(t, err, "the order stands")
			assert.Equal(t, form.Loud, strings.Contains(err.Error(), "the last look failed: "), "%v", err)
			assert.Empty(t, purchase.OrderID)
			return
		}
		assertHas(t, m, order, proxies)
		assert.Equal(t, order.ID, purchase.OrderID)
		assert.Equal(t, order.ID, m.entry(purchase.Attempt.ID).OrderID, "the journal has it as well")
	})
}

// What is renewed ends later.
func TestRenewInEveryForm(t *testing.T) {
	t.Parallel()
	inEveryForm(t, buyings[4:], func(t *testing.T, m *market, b buying, form listshapes.Shape) {
		got, err := b.buy(t.Context(), m, m.client)
		if form.Loud || err != nil && !form.Tells {
			assertNothingSent(t, m, m.opened, got, err)
			return
		}
		require.NoError(t, err)
		assertExecuted(t, m, b)
		assert.ElementsMatch(t, m.idsOf(m.extended(b).ID), got.IPAddressIDs)

		proxies, err := m.client.ListProxies(t.Context(), youproxy.ProxyQuery{ProxyType: b.proxies})
		require.NoError(t, err)
		seen := 0
		for _, p := range proxies {
			before, ok := got.attempt.Before.Ends[p.ID]
			if ok && !before.IsZero() {
				assert.Equal(t, before.AddDate(0, 0, b.days), p.End)
				seen++
			}
		}
		if form.Tells {
			assert.Equal(t, b.quantity, seen)
		}
	})
}

// After a lost reply, Recover finds out what became of the purchase wherever the list tells
// enough, and says nothing false elsewhere. To buy with the same key again never pays twice.
func TestRecoverInEveryForm(t *testing.T) {
	t.Parallel()
	for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit, youproxytest.CommitLate} {
		t.Run(fault.String(), func(t *testing.T) {
			some := []buying{buyMobile, buyISP, buyings[4], buyings[5]}
			inEveryForm(t, some, func(t *testing.T, m *market, b buying, form listshapes.Shape) {
				recoverInForm(t, m, b, form, fault)
			})
		})
	}
}

func recoverInForm(t *testing.T, m *market, b buying, form listshapes.Shape, fault youproxytest.Fault) {
	truth := youproxy.VerdictExecuted
	if fault == youproxytest.DropBeforeCommit {
		truth = youproxy.VerdictNotExecuted
	}
	m.Inject(b.op, fault)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.after1(b, cancel)
	once := youproxy.IdempotencyKey("once")
	got, err := b.buy(ctx, m, m.client, once)
	if isLost(m, b, form) || !form.Tells && len(m.sends()) == 0 {
		assertNothingSent(t, m, m.opened, got, err)
		return
	}
	a := assertFailed(t, m, err, youproxy.VerdictUndetermined).Attempt

	client := m.withJournal(t, briefly...) // as after a restart
	found, err := client.Recover(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	assert.Equal(t, a.ID, found[0].Attempt.ID)
	if form.Loud && truth == youproxy.VerdictExecuted {
		assert.Equal(t, youproxy.VerdictUndetermined, found[0].Verdict)
	}
	if form.Tells || found[0].Verdict != youproxy.VerdictUndetermined {
		require.Equal(t, truth, found[0].Verdict, found[0].Evidence.String())
		assertFound(t, m, b, found[0])
	}

	_, err = b.buy(t.Context(), m, client, once)
	if found[0].Verdict == youproxy.VerdictUndetermined {
		require.Error(t, err)
		assert.Len(t, m.sends(), 1, "it stands in the way")
	} else {
		require.NoError(t, err)
	}
	paid := len(m.ledger().orders) - len(m.opened.orders) + len(m.Extensions())
	if truth == youproxy.VerdictExecuted || err == nil {
		assert.Equal(t, 1, paid, "once")
		assertMoney(t, less(youproxy.MustMoney(m.opened.balance), b.limit().Amount.String()).String(), m.Balance())
	} else {
		assert.Zero(t, paid)
	}
	if found[0].Purchase == nil {
		return
	}
	proxies, err := client.WaitForProxies(t.Context(), found[0].Purchase)
	require.NoError(t, err)
	assertHas(t, m, m.lastOrder(), proxies)
}

// What somebody else buys at that moment is not taken for a purchase that was not made, nor
// for nothing.
func TestSomebodyElseInEveryForm(t *testing.T) {
	t.Parallel()
	inEveryForm(t, []buying{buyMobile, buyISP}, func(t *testing.T, m *market, b buying, form listshapes.Shape) {
		if isLost(m, b, form) {
			t.Skip("nothing is sent")
		}
		m.after1(b, func() {
			m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: b.quantity + 1})
			m.payFor(b)
		})
		m.Inject(b.op, youproxytest.DropBeforeCommit)
		_, err := b.buy(t.Context(), m, m.client)
		failed := assertFailed(t, m, err, youproxy.VerdictUndetermined)
		assertStopped(t, m, b, failed.Attempt.ID)
	})
}

// A list that cannot be read any more tells nothing of what was sent.
func TestListsThatBecomeUnreadable(t *testing.T) {
	t.Parallel()
	for _, form := range listshapes.All() {
		if !form.Loud {
			continue
		}
		for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
			for _, b := range []buying{buyIPv4, buyISP, buyings[4], buyings[5]} {
				t.Run(form.Name+", "+fault.String()+", "+b.name, func(t *testing.T) {
					inForm(t, youproxytest.ListShape{}, func(t *testing.T, m *market) {
						m.after1(b, func() { m.SetListShape(form.Shape) })
						m.Inject(b.op, fault)
						_, err := b.buy(t.Context(), m, m.client)
						failed := assertFailed(t, m, err, youproxy.VerdictUndetermined)
						assert.ErrorContains(t, failed.Evidence.Err, "the list cannot be understood")
						assertStopped(t, m, b, failed.Attempt.ID)
					})
				})
			}
		}
	}
}
