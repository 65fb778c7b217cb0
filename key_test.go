package youproxy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// leaveOpen buys with a client of m, meets a fault, and gives up just after: the attempt
// stays open in the journal.
func (b buying) leaveOpen(t *testing.T, m *market, c *youproxy.Client, fault youproxytest.Fault, opts ...youproxy.SpendOption) youproxy.Attempt {
	t.Helper()
	m.Inject(b.op, fault)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.after[b.op] = cancel
	_, err := b.buy(ctx, m, c, opts...)
	delete(m.after, b.op)
	require.Empty(t, m.Pending())
	require.ErrorIs(t, err, youproxy.ErrUndetermined)
	var failed *youproxy.SpendError
	require.ErrorAs(t, err, &failed)
	again := strings.Contains(err.Error(), "repeat the purchase with the same key and journal, which looks first, or let Recover")
	assert.Equal(t, failed.Attempt.Key != "", again, err)
	return failed.Attempt
}

// sharing gives another client of the service with the same journal, as another process.
func (m *market) sharing(t *testing.T, opts ...youproxy.Option) *youproxy.Client {
	t.Helper()
	return m.anotherClient(t, append([]youproxy.Option{youproxy.WithMiddleware(m.around), youproxy.WithJournal(m.journal)}, opts...)...)
}

func assertPending(t *testing.T, err error, earlier youproxy.Attempt, words ...string) *youproxy.PendingError {
	t.Helper()
	require.ErrorIs(t, err, youproxy.ErrPending)
	assert.ErrorIs(t, err, youproxy.ErrNotSent)
	assert.NotErrorIs(t, err, youproxy.ErrNotExecuted)
	assert.NotErrorIs(t, err, youproxy.ErrUndetermined)
	assert.NotErrorIs(t, err, youproxy.ErrOutcomeUnknown)
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
	var pending *youproxy.PendingError
	require.ErrorAs(t, err, &pending)
	assert.Equal(t, earlier.ID, pending.Attempt.ID)
	assert.Contains(t, err.Error(), earlier.ID)
	assert.Contains(t, err.Error(), "nothing was spent")
	for _, word := range words {
		assert.Contains(t, err.Error(), word)
	}
	return pending
}

var job = youproxy.IdempotencyKey("job 17")

// What was bought with a key is returned to whoever comes with that key again, and
// nothing is asked of the service.
func TestKeyOfWhatWasBought(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		first, err := b.buy(t.Context(), m, m.client, job)
		require.NoError(t, err)
		asked := len(m.Requests())
		for _, client := range []*youproxy.Client{m.client, m.sharing(t)} {
			for _, limit := range []youproxy.Money{b.limit(), less(b.limit(), "1"), youproxy.MustMoney("1000 USD")} {
				time.Sleep(time.Hour)
				again, err := b.buyFor(t.Context(), m, client, limit, job)
				require.NoError(t, err)
				assertSameBought(t, first, again)
			}
		}
		assert.Len(t, m.Requests(), asked)
		assertExecuted(t, m, b)
		if !b.isOrder() {
			return
		}
		_, err = m.client.WaitForProxies(t.Context(), first.Purchase)
		require.NoError(t, err)
		again, err := b.buy(t.Context(), m, m.sharing(t), job)
		require.NoError(t, err)
		assert.Equal(t, m.lastOrder().ID, again.OrderID, "as it was noted meanwhile")
		assertSameBought(t, first, again)
	})
}

func assertSameBought(t *testing.T, want, got *bought) {
	t.Helper()
	assert.Equal(t, want.quote, got.quote)
	assert.Equal(t, want.charged, got.charged)
	assert.Equal(t, want.recovered, got.recovered)
	assert.Equal(t, []any{want.attempt.ID, want.attempt.Key, want.attempt.Limit}, []any{got.attempt.ID, got.attempt.Key, got.attempt.Limit})
	if want.Purchase != nil {
		if want.OrderID == "" {
			want.OrderID = got.OrderID // which may be known by now
		}
		assert.Equal(t, []any{want.OrderNumber, want.OrderID, want.Purchase.PromoCodeStatus}, []any{got.OrderNumber, got.OrderID, got.Purchase.PromoCodeStatus})
		return
	}
	assert.Equal(t, []any{want.IPAddressIDs, want.OrderIDs, want.Renewal.PromoCodeStatus}, []any{got.IPAddressIDs, got.OrderIDs, got.Renewal.PromoCodeStatus})
}

// An open attempt with the same key is looked at first.
func TestKeyOfWhatIsOpen(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		attempt := b.leaveOpen(t, m, m.client, youproxytest.DropAfterCommit, job)
		got, err := b.buy(t.Context(), m, m.sharing(t), job)
		require.NoError(t, err)
		assert.True(t, got.recovered)
		assert.Equal(t, attempt.ID, got.attempt.ID)
		assertMoney(t, b.price, *got.charged)
		assertExecuted(t, m, b)
		again, err := b.buy(t.Context(), m, m.client, job)
		require.NoError(t, err)
		assertSameBought(t, got, again)
	})
	for _, own := range []bool{true, false} {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			attempt := b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit, job)
			client, patience := m.client, 2*time.Minute
			if !own { // and the other process may still wait for its reply
				client, patience = m.sharing(t), 4*time.Minute
			}
			started := time.Now()
			got, err := b.buy(t.Context(), m, client, job)
			require.NoError(t, err)
			assert.False(t, got.recovered)
			assert.NotEqual(t, attempt.ID, got.attempt.ID)
			assert.WithinDuration(t, started.Add(patience), time.Now(), 5*time.Second, "as long as it may be executed still")
			assert.Equal(t, []youproxy.EntryState{youproxy.EntryNotExecuted, youproxy.EntryExecuted}, m.journal.states())
			assert.Len(t, m.sends(), 2)
			assert.Len(t, append(m.Orders(), make([]youproxytest.Order, len(m.Extensions()))...), len(m.opened.orders)+1)
		})
	}
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		attempt := b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit, job)
		m.SetBalance(less(m.Balance(), "0.5")) // somebody spends
		for range 3 {
			_, err := b.buy(t.Context(), m, m.client, job)
			pending := assertPending(t, err, attempt, "its outcome is not known", "the balance fell by 0.5 USD", "Dismiss")
			assert.Equal(t, youproxy.VerdictUndetermined, pending.Verdict)
			assert.Positive(t, pending.Evidence.Looks)
		}
		assert.Equal(t, []string{b.op}, m.sends())
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states())
	})
}

func TestKeyOfWhatWasNotExecuted(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		for range 3 {
			m.Inject(b.op, youproxytest.DropBeforeCommit)
			_, err := b.buy(t.Context(), m, m.client, job)
			require.ErrorIs(t, err, youproxy.ErrNotExecuted)
		}
		started := time.Now()
		_, err := b.buy(t.Context(), m, m.sharing(t), job)
		require.NoError(t, err)
		assert.Zero(t, time.Since(started), "what is settled needs no look")
		assert.Len(t, m.sends(), 4)
	})
}

// The key of an attempt that was dismissed buys nothing any more.
func TestKeyOfWhatWasDismissed(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		attempt := b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit, job)
		require.NoError(t, m.client.Dismiss(t.Context(), attempt.ID, "support says it was lost"))
		asked := len(m.Requests())
		for _, client := range []*youproxy.Client{m.client, m.sharing(t)} {
			time.Sleep(time.Hour)
			_, err := b.buy(t.Context(), m, client, job)
			pending := assertPending(t, err, attempt, "dismissed", "support says it was lost", "a new idempotency key")
			assert.Equal(t, "support says it was lost", pending.Note)
		}
		assert.Len(t, m.Requests(), asked)
		_, err := b.buy(t.Context(), m, m.client, youproxy.IdempotencyKey("job 17 again"))
		require.NoError(t, err)
	})
	inMarket(t, func(t *testing.T, m *market) {
		attempt := buyIPv4.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit, job)
		require.NoError(t, m.client.Dismiss(t.Context(), attempt.ID, ""))
		_, err := buyIPv4.buy(t.Context(), m, m.client, job)
		assertPending(t, err, attempt, "dismissed", "a new idempotency key")
	})
}

// What makes a request another one.
func TestKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	order := anIPv4Order()
	for name, other := range map[string]youproxy.OrderRequest{
		"quantity": change(order, func(r *youproxy.IPv4OrderRequest) { r.Quantity = 2 }),
		"country":  change(order, func(r *youproxy.IPv4OrderRequest) { r.Country = "DEU" }),
		"period":   change(order, func(r *youproxy.IPv4OrderRequest) { r.RentPeriodDays = 60 }),
		"goal":     change(order, func(r *youproxy.IPv4OrderRequest) { r.Goal = "price monitoring " }),
		"promo":    change(order, func(r *youproxy.IPv4OrderRequest) { r.PromoCode = "CLIENT-PROMO" }),
		"type":     anISPOrder(),
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				limit := youproxy.MustMoney("100 USD")
				for _, fault := range []youproxytest.Fault{youproxytest.DropBeforeCommit, 0} { // not executed, executed
					if fault != 0 {
						m.Inject("POST /order", fault)
					}
					_, err := m.client.Buy(t.Context(), order, limit, job)
					require.Equal(t, fault == 0, err == nil, "%v", err)
					asked := len(m.Requests())
					_, err = m.client.Buy(t.Context(), other, limit, job)
					require.ErrorIs(t, err, youproxy.ErrKeyReused)
					assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
					assert.NotErrorIs(t, err, youproxy.ErrPending)
					assert.Len(t, m.Requests(), asked)
				}
				_, err := m.client.Buy(t.Context(), &order, youproxy.MustMoney("2 USD"), job)
				require.NoError(t, err, "the limit is no part of the request, nor is a pointer")
			})
		})
	}
	inMarket(t, func(t *testing.T, m *market) {
		attempt := buyIPv4.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit, job)
		_, err := buyISP.buy(t.Context(), m, m.client, job)
		require.ErrorIs(t, err, youproxy.ErrKeyReused)
		assert.Contains(t, err.Error(), attempt.ID)
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states(), "it is not looked at")
	})
	inMarket(t, func(t *testing.T, m *market) {
		ids := m.idsOf(m.ipv4.ID)
		limit := youproxy.MustMoney("100 USD")
		renew := func(days int, ids ...youproxy.IPAddressID) error {
			_, err := m.client.Renew(t.Context(), youproxy.ExtendIPsRequest{ProxyType: youproxy.ProxyTypeIPv4, IPAddressIDs: ids, RentPeriodDays: days}, limit, job)
			return err
		}
		require.NoError(t, renew(30, ids[0], ids[1]))
		require.NoError(t, renew(30, ids[1], ids[0]), "the order of ids does not count")
		assert.ErrorIs(t, renew(60, ids...), youproxy.ErrKeyReused)
		assert.ErrorIs(t, renew(30, ids[0]), youproxy.ErrKeyReused)
		_, err := m.client.Renew(t.Context(), youproxy.ExtendOrdersRequest{ProxyType: youproxy.ProxyTypeIPv4, OrderIDs: []youproxy.OrderID{m.ipv4.ID}, RentPeriodDays: 30}, limit, job)
		assert.ErrorIs(t, err, youproxy.ErrKeyReused)
		_, err = buyIPv4.buy(t.Context(), m, m.client, job)
		assert.ErrorIs(t, err, youproxy.ErrKeyReused)
		assert.Len(t, m.sends(), 1)
	})
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"empty": "", "too long": strings.Repeat("k", 256), "not UTF-8": "job \xff", "NUL": "job\x00", "too long in bytes": strings.Repeat("é", 128),
	} {
		t.Run(name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				_, err := b.buy(t.Context(), m, m.client, youproxy.IdempotencyKey(key))
				var invalid *youproxy.ValidationError
				require.ErrorAs(t, err, &invalid)
				assert.Equal(t, []string{"key format"}, brokenRules(invalid))
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
				assert.Empty(t, m.Requests())
				assert.Zero(t, m.journal.locks)
			})
		})
	}
	inMarket(t, func(t *testing.T, m *market) {
		_, err := m.client.Buy(t.Context(), anIPv4Order(), buyIPv4.limit(), job, nil)
		require.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.Contains(t, err.Error(), "option 2 is nil")
		_, err = m.client.Renew(t.Context(), renewIPs.extend(m), renewIPs.limit(), nil)
		require.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.Contains(t, err.Error(), "option 1 is nil")
		assert.Empty(t, m.Requests())
		assert.Zero(t, m.journal.locks)
	})
}

// Keys are compared byte by byte.
func TestKeysThatLookAlike(t *testing.T) {
	t.Parallel()
	keys := []string{"job", "JOB", "job ", " job", "jöb", "jo\u0308b", "ｊob", strings.Repeat("k", 255), strings.Repeat("k", 254), "\n"}
	for _, journal := range []bool{true, false} {
		inMarket(t, func(t *testing.T, m *market) {
			client := m.client
			if !journal {
				client = m.anotherClient(t)
			}
			for range 2 {
				for _, key := range keys {
					_, err := buyIPv4.buy(t.Context(), m, client, youproxy.IdempotencyKey(key))
					require.NoError(t, err)
				}
				assert.Len(t, m.sends(), len(keys))
			}
		})
	}
}

// Of two that come at once with the same key, one buys, and the other is given the
// purchase.
func TestKeyOfTwoAtOnce(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.Inject(b.op, youproxytest.DropBeforeCommit, youproxytest.DropAfterCommit)
		got := make(chan *bought, 3)
		for _, client := range []*youproxy.Client{m.client, m.client, m.sharing(t)} {
			go func() {
				p, err := b.buy(t.Context(), m, client, job)
				if err != nil {
					assert.ErrorIs(t, err, youproxy.ErrNotExecuted)
				}
				got <- p
			}()
		}
		var purchases []*bought
		for range 3 {
			if p := <-got; p != nil {
				purchases = append(purchases, p)
			}
		}
		require.Len(t, purchases, 2)
		assertSameBought(t, purchases[0], purchases[1])
		assert.Len(t, m.sends(), 2)
		assert.Len(t, m.Orders(), len(m.opened.orders)+map[bool]int{true: 1}[b.isOrder()])
	})
}

// A journal that fails while its key is looked up stops the purchase.
func TestKeyThatCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.journal.onEntries = func(q youproxy.EntryQuery) error {
			assert.Equal(t, "job 17", q.Key)
			return errors.New("disk failure")
		}
		_, err := buyIPv4.buy(t.Context(), m, m.client, job)
		require.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.Contains(t, err.Error(), "the journal could not be read: disk failure")
		assert.Empty(t, m.Requests())
	})
}
