package youproxy_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// What another entry did is not taken for what an attempt did that the journal does not have.
func TestReconcileOfAForgottenAttempt(t *testing.T) {
	t.Parallel()
	for _, b := range []buying{buyISP, renewIPs} {
		forNumbers(t, func(t *testing.T, m *market, _ bool) {
			a := anAttemptOf(t, m, b, youproxytest.DropBeforeCommit)
			m.journal = newTestJournal() // that of the process ended with it
			m.journal.onRecord = m.record
			time.Sleep(10 * time.Minute)
			c := m.withJournal(t)
			_, err := b.buy(t.Context(), m, c)
			require.NoError(t, err)
			found, err := c.Reconcile(t.Context(), a)
			require.NoError(t, err)
			assert.NotEqual(t, youproxy.VerdictExecuted, found.Verdict, b.name)
		})
	}
}

// A verdict does not change because the journal in memory has dropped the entries.
func TestReconcileOfWhatMemoryDropped(t *testing.T) {
	t.Parallel()
	for _, b := range []buying{buyISP, renewIPs} {
		inMarket(t, func(t *testing.T, m *market) {
			c, err := m.Client()
			require.NoError(t, err)
			m.Inject(b.op, youproxytest.DropBeforeCommit)
			_, err = b.buy(t.Context(), m, c)
			var failed *youproxy.SpendError
			require.ErrorAs(t, err, &failed)
			_, err = b.buy(t.Context(), m, c)
			require.NoError(t, err)
			time.Sleep(25 * time.Hour)
			m.Inject(buyIPv4.op, youproxytest.DropBeforeCommit)
			_, err = buyIPv4.buy(t.Context(), m, c)
			require.ErrorIs(t, err, youproxy.ErrNotExecuted)
			found, err := c.Reconcile(t.Context(), failed.Attempt)
			require.ErrorIs(t, err, youproxy.ErrUndetermined)
			assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
		})
	}
}

// The journal's own attempt is what counts: that of the caller may lack its key.
func TestReconcileKeepsTheKey(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		a := anAttemptOf(t, m, buyISP, youproxytest.DropAfterCommit, youproxy.IdempotencyKey("k"))
		a.Key = ""
		found, err := m.client.Reconcile(t.Context(), a)
		require.NoError(t, err)
		assert.Equal(t, youproxy.VerdictExecuted, found.Verdict)
		assert.Equal(t, "k", m.journal.all()[0].Attempt.Key)
		_, err = buyISP.buy(t.Context(), m, m.client, youproxy.IdempotencyKey("k"))
		require.NoError(t, err)
		assert.Len(t, m.sends(), 1)
	})
}

// unaskedJournal yields all entries, whatever it is asked for.
type unaskedJournal struct{ *testJournal }

func (j unaskedJournal) Entries(context.Context, youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	return func(yield func(youproxy.Entry, error) bool) {
		for _, e := range j.all() {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// An entry that this version does not know must not pass for one that was not executed.
func TestEntriesThatAreNotKnown(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(e *youproxy.Entry){
		"no state":      func(e *youproxy.Entry) { e.State = "" },
		"another state": func(e *youproxy.Entry) { e.State = "refunded" },
		"no id":         func(e *youproxy.Entry) { e.Attempt.ID = "" },
		"newer":         func(e *youproxy.Entry) { e.Attempt.Version = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				c, err := m.Client(youproxy.WithJournal(unaskedJournal{m.journal}))
				require.NoError(t, err)
				_, err = buyISP.buy(t.Context(), m, c, youproxy.IdempotencyKey("k"))
				require.NoError(t, err)
				found, err := c.Recover(t.Context())
				require.NoError(t, err)
				assert.Empty(t, found, "nothing is open")
				change(&m.journal.entries[0])
				_, err = buyISP.buy(t.Context(), m, c, youproxy.IdempotencyKey("k"))
				require.ErrorIs(t, err, youproxy.ErrNotSent)
				assert.ErrorContains(t, err, "a form that this version does not know")
				_, err = c.Recover(t.Context())
				require.ErrorIs(t, err, youproxy.ErrNotSent)
				assert.Len(t, m.sends(), 1)
			})
		})
	}
}

// A patience above an hour is kept.
func TestLongPatience(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.Inject(buyISP.op, youproxytest.CommitLate)
		got, err := buyISP.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.True(t, got.recovered)
		assert.Len(t, m.sends(), 1)
	}, youproxy.WithReconcilePatience(3*time.Hour), youproxytest.WithCommitDelay(2*time.Hour))
}

// The balance in a refusal that a cache tells counts as little as that in a quote.
func TestRefusedQuoteFromACache(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.Inject(buyISP.op, youproxytest.DropBeforeCommit)
		sent := false
		m.before[buyISP.op] = func() { sent = true }
		c := m.withJournal(t, youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return stubTransport(func(r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil && sent && strings.Contains(r.URL.Path, "calculate") {
					old, _ := io.ReadAll(resp.Body)
					resp.Header.Set("Age", "300")
					text := strings.NewReplacer(`"success": true`, `"success": false`, `"success":true`, `"success":false`,
						`"error": null`, `"error": {"code":16,"message":"x"}`, `"error":null`, `"error":{"code":16,"message":"x"}`).Replace(string(old))
					resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
				}
				return resp, err
			})
		}))
		_, err := buyISP.buy(t.Context(), m, c)
		var failed *youproxy.SpendError
		require.ErrorAs(t, err, &failed)
		assert.Equal(t, youproxy.VerdictUndetermined, failed.Verdict)
		assert.Nil(t, failed.Evidence.Quoted)
	})
}

// An id that another process has noted stays.
func TestNotedOrderIDsStay(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		_, err := buyISP.buy(t.Context(), m, m.client, youproxy.IdempotencyKey("A"))
		require.NoError(t, err)
		other := m.withJournal(t)
		again, err := buyISP.buy(t.Context(), m, other, youproxy.IdempotencyKey("A"))
		require.NoError(t, err)
		_, err = other.WaitForProxies(t.Context(), again.Purchase)
		require.NoError(t, err)
		time.Sleep(25 * time.Hour)
		_, err = buyISP.buy(t.Context(), m, m.client, youproxy.IdempotencyKey("B"))
		require.NoError(t, err)
		assert.Equal(t, again.OrderID, m.journal.all()[0].OrderID)
	}, youproxytest.WithListShape(noNumbers))
}

// The next snapshot notes the id of an order, also where its outcome was recorded late.
func TestOrderIDsAreNotedByTheNextSnapshot(t *testing.T) {
	t.Parallel()
	for _, failing := range []bool{false, true} {
		inMarket(t, func(t *testing.T, m *market) {
			m.journal.onRecord = func(_ context.Context, e youproxy.Entry) error {
				if failing && e.State == youproxy.EntryExecuted {
					failing = false
					return errors.New("the disk is full")
				}
				return nil
			}
			_, err := buyISP.buy(t.Context(), m, m.client)
			require.NoError(t, err)
			order := m.lastOrder().ID
			_, err = buyISP.buy(t.Context(), m, m.client)
			require.NoError(t, err)
			assert.Equal(t, order, m.journal.all()[0].OrderID)
		})
	}
}

// What the journal in memory has dropped does not count again.
func TestBudgetCountsOnce(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		c, err := m.Client(youproxy.WithBudget(youproxy.MustMoney("22.91 USD"), 72*time.Hour)) // 3 x 7.2 + 1.31
		require.NoError(t, err)
		for _, b := range []buying{buyISP, buyIPv4, buyISP, buyISP} {
			_, err = b.buy(t.Context(), m, c)
			require.NoError(t, err)
			time.Sleep(13 * time.Hour)
		}
		_, err = buyIPv4.buy(t.Context(), m, c)
		assert.ErrorIs(t, err, youproxy.ErrOverBudget)
	}, youproxytest.WithListShape(noNumbers))
}

// The lock is given back where a journal panics while what is owed to it is paid.
func TestPanicWhileOwedIsPaid(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.journal.onRecord = recordFails(io.ErrShortWrite)
		_, err := buyISP.buy(t.Context(), m, m.client)
		require.ErrorIs(t, err, youproxy.ErrNotSent)
		m.journal.onRecord = nil
		m.journal.onEntries = func(youproxy.EntryQuery) error { panic("the journal") }
		assert.Panics(t, func() { _, _ = buyISP.buy(t.Context(), m, m.client) })
		m.journal.onEntries = nil
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		_, err = buyISP.buy(ctx, m, m.client)
		assert.NoError(t, err)
	})
}

// Where the lock was given up to record what became of an earlier attempt, nothing is sent
// by what was read under it.
func TestNothingIsSentAfterTheLockWasGivenUp(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit)
		time.Sleep(thePatience)
		failing := true
		m.journal.onRecord = func(_ context.Context, e youproxy.Entry) error {
			if failing && e.State == youproxy.EntryNotExecuted {
				failing = false
				return errors.New("the connection was lost")
			}
			return nil
		}
		_, err := b.buy(t.Context(), m, m.client)
		require.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.ErrorContains(t, err, "others may have bought meanwhile")
		assert.Len(t, m.sends(), 1)
		_, err = b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.Len(t, m.sends(), 2)
	})
}

// A sending ends with its timeout, counted from when Record was called: others count the
// patience from then.
func TestTheTimeoutCountsFromTheRecord(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		var recorded, ended time.Time
		m.journal.onRecord = func(_ context.Context, e youproxy.Entry) error {
			if e.State == youproxy.EntryOpen {
				recorded = time.Now()
				time.Sleep(8 * time.Second)
			}
			return nil
		}
		c := m.withJournal(t, youproxy.WithTimeouts(youproxy.Timeouts{Spend: 30 * time.Second}), youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return stubTransport(func(r *http.Request) (*http.Response, error) {
				if opOf(r) != buyISP.op {
					return next.RoundTrip(r)
				}
				<-r.Context().Done()
				ended = time.Now()
				return nil, r.Context().Err()
			})
		}))
		_, err := buyISP.buy(t.Context(), m, c)
		require.Error(t, err)
		assert.Equal(t, 30*time.Second, ended.Sub(recorded))
	})
}
