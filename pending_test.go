package youproxy_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// renewing extends proxies of the account of a market, whatever that costs.
func renewing(m *market, c *youproxy.Client, req youproxy.ExtendRequest, opts ...youproxy.SpendOption) error {
	_, err := c.Renew(context.Background(), req, youproxy.MustMoney("100 USD"), opts...)
	return err
}

func extendIPs(ids ...youproxy.IPAddressID) youproxy.ExtendIPsRequest {
	return youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: ids, RentPeriodDays: 30}
}

func extendOrder(o youproxytest.Order) youproxy.ExtendOrdersRequest {
	return youproxy.ExtendOrdersRequest{ProxyType: o.ProxyType, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: 30}
}

// afterOpen is what follows while an attempt is open.
type afterOpen struct {
	name    string
	buy     func(m *market) error
	stopped bool
}

func byBuying(b buying) func(m *market) error {
	return func(m *market) error {
		_, err := b.buy(context.Background(), m, m.client)
		return err
	}
}

func byRenewing(req func(m *market) youproxy.ExtendRequest) func(m *market) error {
	return func(m *market) error { return renewing(m, m.client, req(m)) }
}

func theFirst(m *market) youproxy.ExtendRequest  { return extendIPs(m.idsOf(m.ipv4.ID)[0]) }
func theSecond(m *market) youproxy.ExtendRequest { return extendIPs(m.idsOf(m.ipv4.ID)[1]) }
func theOrder(m *market) youproxy.ExtendRequest  { return extendOrder(m.ipv4) }

func oneOfTheOtherOrder(m *market) youproxy.ExtendRequest {
	return extendIPs(m.idsOf(m.Orders()[2].ID)...)
}

func theOtherOrder(m *market) youproxy.ExtendRequest { return extendOrder(m.Orders()[2]) }

var stops = []struct {
	name string
	open func(t *testing.T, m *market) youproxy.Attempt
	next []afterOpen
}{
	{"an order", func(t *testing.T, m *market) youproxy.Attempt {
		return buyIPv4.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit)
	}, []afterOpen{
		{"the same order", byBuying(buyIPv4), true},
		{"another order of its type", func(m *market) error {
			order := change(anIPv4Order(), func(r *youproxy.IPv4OrderRequest) { r.Country, r.Quantity = "DEU", 5 })
			_, err := m.client.Buy(context.Background(), order, youproxy.MustMoney("100 USD"))
			return err
		}, true},
		{"an order of another type", byBuying(buyISP), false},
		{"an extension of its type", byRenewing(theOrder), false},
	}},
	{"an extension of a proxy", func(t *testing.T, m *market) youproxy.Attempt {
		b := renewIPs
		b.extend, b.price = theFirst, "1.31 USD"
		return b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit)
	}, []afterOpen{
		{"of that proxy", byRenewing(theFirst), true},
		{"of another proxy of its order", byRenewing(theSecond), true},
		{"of its order", byRenewing(theOrder), true},
		{"of another order", byRenewing(theOtherOrder), false},
		{"of a proxy of another order", byRenewing(oneOfTheOtherOrder), false},
		{"an order", byBuying(buyIPv4), false},
	}},
	{"an extension of an order", func(t *testing.T, m *market) youproxy.Attempt {
		b := renewIPs
		b.op, b.extend = "POST /extend/order", theOrder
		return b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit)
	}, []afterOpen{
		{"of that order", byRenewing(theOrder), true},
		{"of one of its proxies", byRenewing(theSecond), true},
		{"of another order", byRenewing(theOtherOrder), false},
		{"of a proxy of another order", byRenewing(oneOfTheOtherOrder), false},
		{"an order", byBuying(buyIPv4), false},
	}},
	{"a plain order", func(t *testing.T, m *market) youproxy.Attempt {
		return leavePlain(t, m, func() error {
			_, err := m.client.CreateOrder(t.Context(), anIPv4Order())
			return err
		}, "POST /order", youproxytest.DropBeforeCommit)
	}, []afterOpen{
		{"an order of its type", byBuying(buyIPv4), true},
		{"an extension of its type", byRenewing(theOrder), true},
		{"an order of another type", byBuying(buyISP), false},
		{"an extension of another type", func(m *market) error { return renewing(m, m.client, extendOrder(m.ipv6)) }, false},
	}},
	{"a plain extension", func(t *testing.T, m *market) youproxy.Attempt {
		return leavePlain(t, m, func() error {
			_, err := m.client.Extend(t.Context(), theFirst(m))
			return err
		}, "POST /extend", youproxytest.DropBeforeCommit)
	}, []afterOpen{
		{"an order of its type", byBuying(buyIPv4), true},
		{"an extension of another order of its type", byRenewing(theOtherOrder), true},
		{"an order of another type", byBuying(buyISP), false},
	}},
	{"a call of one's own", func(t *testing.T, m *market) youproxy.Attempt {
		return leavePlain(t, m, func() error {
			return m.client.Call(t.Context(), "POST", "/extend", nil, map[string]any{}, nil)
		}, "POST /extend", youproxytest.DropBeforeCommit)
	}, []afterOpen{
		{"an order", byBuying(buyIPv4), true},
		{"an order of another type", byBuying(buyISP), true},
		{"an extension", byRenewing(theOrder), true},
	}},
}

// What an open attempt stands in the way of.
func TestWhatIsStopped(t *testing.T) {
	t.Parallel()
	for _, tc := range stops {
		for _, next := range tc.next {
			t.Run(tc.name+"/"+next.name, func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					attempt := tc.open(t, m)
					sent := len(m.sends())
					err := next.buy(m)
					if !next.stopped {
						require.NoError(t, err)
						assert.Len(t, m.sends(), sent+1)
						return
					}
					assertPending(t, err, attempt)
					assert.Len(t, m.sends(), sent)
					_, err = m.client.CreateOrder(t.Context(), anISPOrder())
					require.NoError(t, err, "plain calls are not stopped")
				})
			})
		}
	}
}

// leavePlain makes a plain call whose reply is lost.
func leavePlain(t *testing.T, m *market, call func() error, op string, fault youproxytest.Fault) youproxy.Attempt {
	t.Helper()
	m.Inject(op, fault)
	require.ErrorIs(t, call(), youproxy.ErrOutcomeUnknown)
	entries := m.journal.all()
	last := entries[len(entries)-1]
	require.Equal(t, youproxy.EntryOpen, last.State)
	assert.True(t, last.Attempt.Before.Balance.IsZero())
	return last.Attempt
}

// A loop on Buy costs nothing while the patience for the earlier one runs, and looks at
// the account every 15 seconds at the most after that.
func TestRepeatingCostsNothing(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		attempt := b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit)
		m.SetBalance(less(m.Balance(), "0.5")) // so that it stays undetermined
		entries, asked := m.journal.all(), len(m.Requests())
		over := time.Now().Add(2 * time.Minute)
		for time.Now().Before(over) {
			_, err := b.buy(t.Context(), m, m.client)
			pending := assertPending(t, err, attempt, "its outcome is not known", "call Recover")
			assert.Zero(t, pending.Evidence.Looks)
			time.Sleep(time.Second)
		}
		assert.Len(t, m.Requests(), asked)

		var looks []time.Duration
		for range 600 {
			before := len(m.Requests())
			_, err := b.buy(t.Context(), m, m.client)
			pending := assertPending(t, err, attempt, "the balance fell by 0.5 USD")
			assert.Equal(t, youproxy.VerdictUndetermined, pending.Verdict)
			if n := len(m.Requests()) - before; n > 0 {
				assert.Equal(t, 3, n, "a list, the balance, and a quote")
				looks = append(looks, time.Since(over))
			}
			time.Sleep(100 * time.Millisecond)
		}
		assert.Equal(t, []time.Duration{0, 15 * time.Second, 30 * time.Second, 45 * time.Second}, looks)
		assert.Equal(t, entries, m.journal.all())
		assert.Equal(t, []string{b.op}, m.sends())
	})
}

// Without a key, what turns out not executed is settled by the next purchase, which goes
// on.
func TestNextPurchaseSettlesWhatDidNotHappen(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			attempt := b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit)
			client, patience := m.client, 2*time.Minute
			if !own { // it is first seen now, and may still be under way
				time.Sleep(30 * time.Minute)
				client, patience = m.sharing(t), 4*time.Minute
			}
			_, err := b.buy(t.Context(), m, client)
			assertPending(t, err, attempt)
			time.Sleep(patience - time.Second)
			_, err = b.buy(t.Context(), m, client)
			assertPending(t, err, attempt)
			time.Sleep(time.Second)
			got, err := b.buy(t.Context(), m, client)
			require.NoError(t, err)
			assert.False(t, got.recovered)
			assert.Equal(t, []youproxy.EntryState{youproxy.EntryNotExecuted, youproxy.EntryExecuted}, m.journal.states())
			assert.Len(t, m.sends(), 2)
		})
	}
}

// Of two clients the longer times count.
func TestPatienceOfTheOther(t *testing.T) {
	t.Parallel()
	for _, longer := range []bool{true, false} {
		inMarket(t, func(t *testing.T, m *market) {
			clients := []*youproxy.Client{
				m.sharing(t, youproxy.WithReconcilePatience(10*time.Minute), youproxy.WithTimeouts(youproxy.Timeouts{Spend: 5 * time.Minute})),
				m.sharing(t, youproxy.WithReconcilePatience(time.Second), youproxy.WithTimeouts(youproxy.Timeouts{Spend: time.Second})),
			}
			if !longer {
				clients[0], clients[1] = clients[1], clients[0]
			}
			attempt := buyIPv4.leaveOpen(t, m, clients[0], youproxytest.DropBeforeCommit)
			_, err := buyIPv4.buy(t.Context(), m, clients[1])
			assertPending(t, err, attempt)
			time.Sleep(15*time.Minute - time.Second)
			_, err = buyIPv4.buy(t.Context(), m, clients[1])
			assertPending(t, err, attempt)
			time.Sleep(time.Second)
			_, err = buyIPv4.buy(t.Context(), m, clients[1])
			require.NoError(t, err)
		})
	}
}

// An attempt of more than an hour ago cannot be under way: two looks are enough.
func TestOldAttempt(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		attempt := b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit)
		time.Sleep(time.Hour + time.Second)
		client := m.sharing(t)
		_, err := b.buy(t.Context(), m, client)
		pending := assertPending(t, err, attempt)
		assert.Equal(t, 1, pending.Evidence.Looks)
		time.Sleep(14 * time.Second)
		_, err = b.buy(t.Context(), m, client)
		assertPending(t, err, attempt)
		time.Sleep(time.Second)
		_, err = b.buy(t.Context(), m, client)
		require.NoError(t, err)
		assert.Len(t, m.sends(), 2)
	})
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit, job)
		time.Sleep(time.Hour + time.Second)
		started := time.Now()
		_, err := b.buy(t.Context(), m, m.sharing(t), job)
		require.NoError(t, err)
		assert.Equal(t, time.Second, time.Since(started), "a second look after a pause")
	})
}

// Without a key, a purchase that was made is left to Recover, so that nobody loses it.
func TestNextPurchaseLeavesWhatWasBought(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		attempt := b.leaveOpen(t, m, m.client, youproxytest.DropAfterCommit)
		time.Sleep(2 * time.Minute)
		for range 3 {
			_, err := b.buy(t.Context(), m, m.client)
			pending := assertPending(t, err, attempt, "it was executed", "Recover returns it")
			assert.Equal(t, youproxy.VerdictExecuted, pending.Verdict)
			time.Sleep(20 * time.Second)
		}
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states())

		found, err := m.client.Recover(t.Context())
		require.NoError(t, err)
		require.Len(t, found, 1)
		assert.Equal(t, youproxy.VerdictExecuted, found[0].Verdict)
		assert.Equal(t, attempt.ID, found[0].Attempt.ID)
		assert.Equal(t, b.isOrder(), found[0].Purchase != nil)
		assert.Equal(t, !b.isOrder(), found[0].Renewal != nil)
		assertExecuted(t, m, b)
		found, err = m.client.Recover(t.Context())
		require.NoError(t, err)
		assert.Empty(t, found, "it is handed out once")
		_, err = b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
	})
}

// A key says that it is another purchase: what is open under another key, or none, stops
// it only as long as that may still be executed.
func TestKeyPassesWhatIsOpen(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]youproxy.SpendOption{"none": nil, "another key": {youproxy.IdempotencyKey("job 16")}} {
		t.Run(name, func(t *testing.T) {
			for _, own := range []bool{true, false} {
				forEachBuying(t, func(t *testing.T, m *market, b buying) {
					attempt := b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit, opts...)
					client, patience := m.client, 2*time.Minute
					if !own {
						client, patience = m.sharing(t), 4*time.Minute
					}
					m.SetBalance(less(m.Balance(), "0.5")) // it stays undetermined
					_, err := b.buy(t.Context(), m, client, job)
					assertPending(t, err, attempt)
					time.Sleep(patience - time.Second)
					_, err = b.buy(t.Context(), m, client, job)
					assertPending(t, err, attempt)
					time.Sleep(time.Second)
					_, err = b.buy(t.Context(), m, client, job)
					require.NoError(t, err)
					assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen, youproxy.EntryExecuted}, m.journal.states())
					assert.Len(t, m.sends(), 2)
				})
			}
		})
	}
}

// While another one is open, a lost reply is not taken for executed by what may be the
// other's.
func TestOwnLostReplyBesideAnOpenOne(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		buyIPv4.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit)
		m.SetBalance(less(m.Balance(), "0.5"))
		time.Sleep(2 * time.Minute)
		m.Inject("POST /order", youproxytest.DropAfterCommit)
		_, err := buyIPv4.buy(t.Context(), m, m.client, job)
		require.ErrorIs(t, err, youproxy.ErrUndetermined)
	}, youproxytest.WithListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}}))
}

// A plain call of which no reply came stops others for a while; then the next holder
// gives up on it.
func TestPlainCallIsDismissed(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{true, false} {
		inMarket(t, func(t *testing.T, m *market) {
			attempt := leavePlain(t, m, func() error {
				_, err := m.client.CreateOrder(t.Context(), anIPv4Order())
				return err
			}, "POST /order", youproxytest.DropBeforeCommit)
			client, patience := m.client, 4*time.Minute
			if !own {
				client = m.sharing(t)
			}
			asked := len(m.Requests())
			_, err := buyIPv4.buy(t.Context(), m, client)
			assertPending(t, err, attempt, "its outcome is not known yet")
			time.Sleep(patience - time.Second)
			_, err = buyIPv4.buy(t.Context(), m, client, job)
			assertPending(t, err, attempt)
			assert.Len(t, m.Requests(), asked)
			time.Sleep(time.Second)
			_, err = buyIPv4.buy(t.Context(), m, client)
			require.NoError(t, err)
			entries := m.journal.all()
			require.Len(t, entries, 2)
			assert.Equal(t, youproxy.EntryDismissed, entries[0].State)
			assert.Equal(t, "plain call, outcome not known", entries[0].Note)
			assert.Equal(t, youproxy.EntryExecuted, entries[1].State)
		})
	}
}

// What became of plain calls is in the journal.
func TestPlainCallsAreWrittenDown(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault youproxytest.Fault
		code  int
		state youproxy.EntryState
	}{
		{"done", 0, 0, youproxy.EntryExecuted},
		{"refused", 0, 14, youproxy.EntryNotExecuted},
		{"a page", youproxytest.Forbidden, 0, youproxy.EntryDismissed},
		{"an unknown code", youproxytest.UnknownCodeAfterCommit, 0, youproxy.EntryDismissed},
		{"lost", youproxytest.DropAfterCommit, 0, youproxy.EntryOpen},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				if tc.fault != 0 {
					m.Inject("POST /order", tc.fault)
				}
				if tc.code != 0 {
					m.Refuse("POST /order", tc.code)
				}
				order, err := m.client.CreateOrder(t.Context(), anIPv4Order())
				assert.Equal(t, tc.state == youproxy.EntryExecuted, err == nil)
				entries := m.journal.all()
				require.Len(t, entries, 1)
				e := entries[0]
				assert.Equal(t, tc.state, e.State)
				assert.Equal(t, tc.state == youproxy.EntryOpen, e.SettledAt.IsZero())
				assert.Equal(t, []any{"POST /order", youproxy.ProxyTypeIPv4, 1, 30, "USA"},
					[]any{e.Attempt.Op, e.Attempt.ProxyType, e.Attempt.Quantity, e.Attempt.RentPeriodDays, e.Attempt.Country})
				assert.Equal(t, []int{0}, m.sentThen, "it was recorded before it was sent")
				if err == nil {
					assert.Equal(t, order.Number, e.OrderNumber)
				}
			})
		})
	}
}
