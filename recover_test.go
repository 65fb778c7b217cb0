package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestReconcile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		fault youproxytest.Fault
		own   bool // by the client that sent it
		later time.Duration
		want  youproxy.Verdict
		takes time.Duration
	}{
		{youproxytest.DropAfterCommit, true, 0, youproxy.VerdictExecuted, 0},
		{youproxytest.DropAfterCommit, false, 3 * time.Hour, youproxy.VerdictExecuted, 0},
		{youproxytest.DropBeforeCommit, true, 0, youproxy.VerdictNotExecuted, thePatience},
		{youproxytest.DropBeforeCommit, true, 30 * time.Second, youproxy.VerdictNotExecuted, thePatience - 30*time.Second},
		{youproxytest.DropBeforeCommit, true, thePatience, youproxy.VerdictNotExecuted, 0},
		{youproxytest.DropBeforeCommit, false, 0, youproxy.VerdictNotExecuted, theTimeout + thePatience},
		{youproxytest.DropBeforeCommit, false, 50 * time.Minute, youproxy.VerdictNotExecuted, theTimeout + thePatience},
		{youproxytest.DropBeforeCommit, false, 3 * time.Hour, youproxy.VerdictNotExecuted, time.Second}, // two looks
	} {
		t.Run(fmt.Sprintf("%s, by the sender %t, %s later", tc.fault, tc.own, tc.later), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				a := anAttemptOf(t, m, b, tc.fault)
				before := m.ledger()
				time.Sleep(tc.later)
				client := m.client
				if !tc.own {
					client = m.withJournal(t)
				}
				asked := len(m.ops())
				started := time.Now()
				found, err := client.Reconcile(t.Context(), a)
				require.NoError(t, err)
				require.Equal(t, tc.want, found.Verdict)
				assert.Equal(t, tc.takes, time.Since(started))
				assert.Equal(t, before, m.ledger(), "it spends nothing")
				assert.Equal(t, []string{b.op}, m.sends())
				assert.Equal(t, []string{"GET /balance", "GET /ipAddress", b.quoteOp()}, slices.Compact(slices.Sorted(slices.Values(m.ops()[asked:]))))
				assert.NoError(t, found.Evidence.Err)
				assert.Positive(t, found.Evidence.Looks)
				assert.Equal(t, a, found.Attempt)

				state := map[youproxy.Verdict]youproxy.EntryState{youproxy.VerdictExecuted: youproxy.EntryExecuted, youproxy.VerdictNotExecuted: youproxy.EntryNotExecuted}[tc.want]
				assert.Equal(t, []youproxy.EntryState{state}, m.journal.states(), "it settles the entry")
				assertFound(t, m, b, found)

				// What is settled stays so, whatever the account shows.
				asked = len(m.ops())
				m.pay("3")
				again, err := m.withJournal(t).Reconcile(t.Context(), a)
				require.NoError(t, err)
				assert.Equal(t, tc.want, again.Verdict)
				assertFound(t, m, b, again)
				assert.Len(t, m.ops(), asked, "nobody has to look")

				_, err = b.buy(t.Context(), m, m.client)
				assert.NoError(t, err, "it does not stand in the way any more")
			})
		})
	}
}

// assertFound holds what was found against the purchase of b.
func assertFound(t *testing.T, m *market, b buying, found *youproxy.Reconciliation) {
	t.Helper()
	executed := found.Verdict == youproxy.VerdictExecuted
	assert.Equal(t, executed && b.isOrder(), found.Purchase != nil)
	assert.Equal(t, executed && !b.isOrder(), found.Renewal != nil)
	var got *bought
	switch {
	case found.Purchase != nil:
		got, _ = asBought(found.Purchase, nil)
		assert.Equal(t, m.lastOrder().ID, got.OrderID)
	case found.Renewal != nil:
		got, _ = asRenewed(found.Renewal, nil)
		assert.ElementsMatch(t, m.Extensions()[0].IPAddressIDs, got.IPAddressIDs)
	default:
		return
	}
	assert.True(t, got.recovered)
	assertMoney(t, b.price, *got.charged)
	assertMoney(t, b.price, got.quote.Price)
	assert.Equal(t, b.proxies, got.quote.ProxyType)
	assert.Equal(t, b.promo != "", got.quote.PromoCodeStatus == youproxy.PromoCodeValid)
}

// Of two clients the longer times count.
func TestReconcileWaitsTheLongerTimes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ sender, other []youproxy.Option }{
		{[]youproxy.Option{youproxy.WithReconcilePatience(10 * time.Minute), youproxy.WithTimeouts(youproxy.Timeouts{Spend: 5 * time.Minute})}, nil},
		{nil, []youproxy.Option{youproxy.WithReconcilePatience(10 * time.Minute), youproxy.WithTimeouts(youproxy.Timeouts{Spend: 5 * time.Minute})}},
	} {
		inMarket(t, func(t *testing.T, m *market) {
			var err error
			m.client, err = m.client.With(tc.sender...)
			require.NoError(t, err)
			a := anAttemptOf(t, m, buyISP, youproxytest.DropBeforeCommit)
			started := time.Now()
			found, err := m.withJournal(t, tc.other...).Reconcile(t.Context(), a)
			require.NoError(t, err)
			assert.Equal(t, youproxy.VerdictNotExecuted, found.Verdict)
			assert.Equal(t, 15*time.Minute, time.Since(started))
		})
	}
}

// An attempt of another process may still be under way when it is looked at first.
func TestReconcileWhileItIsUnderWay(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		a := anAttemptOf(t, m, b, youproxytest.CommitLate)
		found, err := m.withJournal(t).Reconcile(t.Context(), a)
		require.NoError(t, err)
		assert.Equal(t, youproxy.VerdictExecuted, found.Verdict)
	}, youproxytest.WithCommitDelay(theTimeout+thePatience-time.Second))
}

// The attempt's clock may have been wrong.
func TestReconcileOfAnAttemptFromTheFuture(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		a := anAttemptOf(t, m, buyIPv4, youproxytest.DropBeforeCommit)
		a.At = a.At.Add(24 * time.Hour)
		started := time.Now()
		found, err := m.anotherClient(t).Reconcile(t.Context(), a)
		require.NoError(t, err)
		assert.Equal(t, youproxy.VerdictNotExecuted, found.Verdict)
		assert.Equal(t, theTimeout+thePatience, time.Since(started))
	})
}

// What the journal does not have is not recorded.
func TestReconcileOfWhatTheJournalDoesNotHave(t *testing.T) {
	t.Parallel()
	for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			a := anAttemptOf(t, m, b, fault)
			journal := newTestJournal()
			found, err := m.anotherClient(t, youproxy.WithJournal(journal)).Reconcile(t.Context(), a)
			require.NoError(t, err)
			assert.NotEqual(t, youproxy.VerdictUndetermined, found.Verdict)
			assert.Empty(t, journal.all())
			assert.Equal(t, 1, journal.locks)
			assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states())
		})
	}
}

// An executed order whose id is missing is looked for, and the id noted.
func TestReconcileNotesAMissingOrderID(t *testing.T) {
	t.Parallel()
	for _, reply := range []string{"the reply told its number", "it was recovered"} {
		forNumbers(t, func(t *testing.T, m *market, numbers bool) {
			lost := reply == "it was recovered"
			if lost { // and nobody knew which of two it was
				m.SetListShape(noNumbers)
				_, err := m.withJournal(t).Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				m.Inject("POST /order", youproxytest.DropAfterCommit)
			}
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			require.Empty(t, purchase.OrderID)
			require.Empty(t, m.entry(purchase.Attempt.ID).OrderID)
			if numbers {
				m.SetListShape(youproxytest.ListShape{})
			}
			time.Sleep(time.Minute)
			found, err := m.withJournal(t).Reconcile(t.Context(), purchase.Attempt)
			require.NoError(t, err)
			assert.Equal(t, youproxy.VerdictExecuted, found.Verdict)
			assertMoney(t, buyISP.price, *found.Purchase.Charged)
			assert.Equal(t, lost, found.Purchase.Recovered)
			want := m.lastOrder().ID
			if lost && !numbers {
				want = ""
			}
			assert.Equal(t, want, found.Purchase.OrderID)
			assert.Equal(t, want, m.entry(purchase.Attempt.ID).OrderID)
			assert.Equal(t, youproxy.EntryExecuted, m.entry(purchase.Attempt.ID).State)
		}, youproxytest.WithProvisioningDelay(50*time.Second))
	}
}

// The outcome of an attempt is not known the better because it could not be looked for:
// nothing may say that nothing was sent.
func TestReconcileThatCannotLook(t *testing.T) {
	t.Parallel()
	errLock := errors.New("the lock is broken")
	for _, tc := range []struct {
		name    string
		arrange func(m *market)
		after   time.Duration // when ctx ends; 0: before
		want    error
	}{
		{name: "a context that is over", want: context.DeadlineExceeded},
		{name: "a context that ends", after: 5 * time.Second, want: context.DeadlineExceeded},
		{name: "a context that ends in a look", after: 5 * time.Second, want: context.DeadlineExceeded, arrange: func(m *market) {
			m.Inject("GET /ipAddress", youproxytest.Slow)
		}},
		{name: "a lock that is not had", after: time.Hour, want: errLock, arrange: func(m *market) {
			m.journal.onLock = func(context.Context) error { return errLock }
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				a := anAttemptOf(t, m, b, youproxytest.DropAfterCommit)
				m.editList(func(map[string]any) bool { return false }) // else it would show at once
				if tc.arrange != nil {
					tc.arrange(m)
				}
				ctx, cancel := context.WithTimeout(t.Context(), tc.after)
				defer cancel()
				started := time.Now()
				found, err := m.client.Reconcile(ctx, a)
				if tc.after < time.Hour {
					assert.Equal(t, tc.after, time.Since(started), "it ends at once")
				}
				var failed *youproxy.SpendError
				require.ErrorAs(t, err, &failed)
				assert.ErrorIs(t, err, youproxy.ErrUndetermined)
				require.NotNil(t, found)
				assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
				assert.Nil(t, found.Purchase)
				assert.Nil(t, found.Renewal)
				assert.ErrorIs(t, found.Evidence.Err, tc.want)
				assert.NotErrorIs(t, found.Evidence.Err, youproxy.ErrNotSent)
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err), "%v", err)
				assert.NotErrorIs(t, err, youproxy.ErrNotSent)
				assert.NotErrorIs(t, err, context.DeadlineExceeded, "it is not to be repeated by a loop on timeouts")
				assert.NotContains(t, err.Error(), "nothing was s")
				assertHidesSecrets(t, m, err, found.Evidence)
				assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states())
			})
		})
	}
}

// Several attempts of several types, of other processes as well: one list for each type and
// one balance a round, and each is handed out once.
func TestRecover(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		t.Run(fmt.Sprintf("after a restart %t", restarted), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				recoverSeveral(t, m, restarted)
			})
		})
	}
}

func recoverSeveral(t *testing.T, m *market, restarted bool) {
	all := []struct {
		b     buying
		fault youproxytest.Fault
	}{
		{buyings[0], youproxytest.DropAfterCommit}, {buyings[1], youproxytest.DropBeforeCommit}, {buyings[2], youproxytest.DropBeforeCommit},
		{buyings[3], youproxytest.DropBeforeCommit}, {buyings[4], youproxytest.DropBeforeCommit},
	}
	var ids []string
	for i, x := range all {
		ids = append(ids, anAttemptOf(t, m, x.b, x.fault, youproxy.IdempotencyKey(fmt.Sprint("key ", i))).ID)
	}
	client, takes := m.client, thePatience
	if restarted {
		client, takes = m.withJournal(t), theTimeout+thePatience
	}
	asked := len(m.Requests())
	var rounds []time.Time
	m.before["GET /balance"] = func() { rounds = append(rounds, time.Now()) }
	started := time.Now()
	found, err := client.Recover(t.Context())
	require.NoError(t, err)
	assert.Equal(t, takes, time.Since(started))
	require.Len(t, found, len(all))
	for i, r := range found {
		want := youproxy.VerdictNotExecuted
		if all[i].fault == youproxytest.DropAfterCommit {
			want = youproxy.VerdictExecuted
		}
		assert.Equal(t, ids[i], r.Attempt.ID, "oldest first")
		assert.Equal(t, fmt.Sprint("key ", i), r.Attempt.Key)
		assert.Equal(t, want, r.Verdict, "%s: %s", all[i].b.name, r.Evidence.String())
	}
	require.NotNil(t, found[0].Purchase)
	assertMoney(t, all[0].b.price, *found[0].Purchase.Charged)

	lists := make(map[string]int)
	for _, r := range m.Requests()[asked:] {
		if r.Op == "GET /ipAddress" {
			lists[r.Query.Get("proxyType")]++
		}
	}
	for _, proxyType := range []youproxy.ProxyType{youproxy.ProxyTypeIPv4, youproxy.ProxyTypeIPv6, youproxy.ProxyTypeMobile, youproxy.ProxyTypeISP} {
		assert.Equal(t, len(rounds), lists[string(proxyType)], "one list of %s a round", proxyType)
	}
	assert.Len(t, slices.CompactFunc(slices.Clone(rounds), time.Time.Equal), len(rounds), "one balance a round")

	asked = len(m.ops())
	for _, c := range []*youproxy.Client{client, m.withJournal(t)} {
		again, err := c.Recover(t.Context())
		require.NoError(t, err)
		assert.Empty(t, again, "it was handed out")
	}
	assert.Len(t, m.ops(), asked)
}

// Each purchase is recorded before it is handed out, and what is settled when the context
// ends is returned.
func TestRecoverThatEndsInBetween(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		inMarket(t, func(t *testing.T, m *market) {
			anAttemptOf(t, m, buyISP, youproxytest.DropBeforeCommit)
			anAttemptOf(t, m, renewIPs, youproxytest.DropAfterCommit)
			client := m.client
			if restarted {
				client = m.withJournal(t)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			started := time.Now()
			found, err := client.Recover(ctx)
			assert.Equal(t, 10*time.Second, time.Since(started))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "before all outcomes were known")
			require.Len(t, found, 2)
			assert.Equal(t, youproxy.VerdictUndetermined, found[0].Verdict)
			assert.ErrorIs(t, found[0].Evidence.Err, context.DeadlineExceeded)
			require.Equal(t, youproxy.VerdictExecuted, found[1].Verdict)
			assertMoney(t, renewIPs.price, *found[1].Renewal.Charged)
			assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen, youproxy.EntryExecuted}, m.journal.states())

			found, err = client.Recover(t.Context())
			require.NoError(t, err)
			require.Len(t, found, 1, "what was handed out is not handed out again")
			assert.Equal(t, youproxy.VerdictNotExecuted, found[0].Verdict)
		})
	}
}

// What cannot be told stays open, until it can.
func TestRecoverOfWhatCannotBeTold(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		a := anAttemptOf(t, m, b, youproxytest.DropBeforeCommit)
		was := m.Balance()
		m.pay("3")
		found, err := m.client.Recover(t.Context())
		require.NoError(t, err)
		require.Len(t, found, 1)
		assert.Equal(t, youproxy.VerdictUndetermined, found[0].Verdict)
		assertMoney(t, "3 USD", *found[0].Evidence.Fell)
		assertStopped(t, m, b, a.ID)

		m.SetBalance(was) // a refund does not make it the better known
		found, err = m.client.Recover(t.Context())
		require.NoError(t, err)
		assert.Equal(t, youproxy.VerdictUndetermined, found[0].Verdict)

		require.NoError(t, m.client.Dismiss(t.Context(), a.ID, "it was a refund"))
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryDismissed}, m.journal.states())
		found, err = m.client.Recover(t.Context())
		require.NoError(t, err)
		assert.Empty(t, found)
		_, err = b.buy(t.Context(), m, m.client)
		assert.NoError(t, err)
	})
}

// Nothing shows what became of a plain call: it is given up once it cannot be under way.
func TestRecoverOfPlainCalls(t *testing.T) {
	t.Parallel()
	for _, restarted := range []bool{false, true} {
		inMarket(t, func(t *testing.T, m *market) {
			m.Inject("POST /order", youproxytest.DropAfterCommit)
			_, err := m.client.CreateOrder(t.Context(), anISPOrder())
			require.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
			client := m.client
			if restarted {
				client = m.withJournal(t)
			}
			recovered := func(want youproxy.EntryState) {
				t.Helper()
				found, err := client.Recover(t.Context())
				require.NoError(t, err)
				assert.Empty(t, found, "it is not among them")
				assert.Equal(t, []youproxy.EntryState{want}, m.journal.states())
			}
			recovered(youproxy.EntryOpen)
			time.Sleep(theTimeout + thePatience - time.Second)
			recovered(youproxy.EntryOpen)
			time.Sleep(2 * time.Second)
			recovered(youproxy.EntryDismissed)
			assert.Equal(t, "plain call, outcome not known", m.journal.all()[0].Note)
			_, err = buyISP.buy(t.Context(), m, m.client)
			assert.NoError(t, err)
		})
	}
}

// Two lost purchases of different types, with money from both: what one look shows of the
// later one accounts for the rest of the earlier one's.
func TestRecoverInOneLook(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		anAttemptOf(t, m, buyISP, youproxytest.DropAfterCommit)
		anAttemptOf(t, m, renewIPs, youproxytest.DropAfterCommit)
		anAttemptOf(t, m, buyMobile, youproxytest.DropAfterCommit)
		started := time.Now()
		found, err := m.withJournal(t).Recover(t.Context())
		require.NoError(t, err)
		assert.Zero(t, time.Since(started))
		require.Len(t, found, 3)
		for i, b := range []buying{buyISP, renewIPs, buyMobile} {
			require.Equal(t, youproxy.VerdictExecuted, found[i].Verdict)
			assertMoney(t, b.price, *chargedOf(found[i]))
		}
	})
}
