package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

var errJournal = errors.New("disk failure")

// failing makes records of a state fail, as often as given; whole ones are written all the
// same.
func (j *testJournal) failing(state youproxy.EntryState, times int, whole bool) {
	fail := func(e youproxy.Entry) error {
		if e.State != state || times == 0 {
			return nil
		}
		times--
		return errJournal
	}
	note := j.onRecord
	j.recorded = nil
	if whole {
		j.recorded = fail
		return
	}
	j.onRecord = func(ctx context.Context, e youproxy.Entry) error {
		if err := fail(e); err != nil {
			return err
		}
		return note(ctx, e)
	}
}

// heal lets nothing fail any more.
func (m *market) heal() {
	m.journal.onRecord, m.journal.recorded, m.journal.onLock, m.journal.onEntries = m.record, nil, nil, nil
}

func assertNotSent(t *testing.T, err error, words ...string) {
	t.Helper()
	require.ErrorIs(t, err, youproxy.ErrNotSent)
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
	assert.NotErrorIs(t, err, youproxy.ErrUndetermined)
	assert.NotErrorIs(t, err, youproxy.ErrPending)
	assert.Contains(t, err.Error(), "nothing was sent, nothing was spent")
	for _, word := range words {
		assert.Contains(t, err.Error(), word)
	}
}

// spends is Buy or Renew, and a plain order.
func spends(b buying) map[string]func(ctx context.Context, m *market, c *youproxy.Client) error {
	return map[string]func(ctx context.Context, m *market, c *youproxy.Client) error{
		"with a guard": func(ctx context.Context, m *market, c *youproxy.Client) error {
			_, err := b.buy(ctx, m, c)
			return err
		},
		"plainly": func(ctx context.Context, _ *market, c *youproxy.Client) error {
			_, err := c.CreateOrder(ctx, anIPv4Order())
			return err
		},
	}
}

// What cannot be recorded is not sent, and stands in nobody's way.
func TestFirstRecordFails(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{false, true} {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			for name, spend := range spends(b) {
				m.heal()
				sent, entries := len(m.sends()), len(m.journal.all())
				m.journal.failing(youproxy.EntryOpen, 1, whole)
				err := spend(t.Context(), m, m.client)
				assertNotSent(t, err, "the attempt could not be recorded: disk failure")
				assert.ErrorIs(t, err, errJournal)
				assert.Len(t, m.sends(), sent)

				started := time.Now()
				_, err = b.buy(t.Context(), m, m.client)
				require.NoError(t, err, name)
				assert.Zero(t, time.Since(started))
				states := m.journal.states()[entries:]
				if whole { // what was written all the same is settled, without a look
					assert.Equal(t, []youproxy.EntryState{youproxy.EntryNotExecuted, youproxy.EntryExecuted}, states)
				} else {
					assert.Equal(t, []youproxy.EntryState{youproxy.EntryExecuted}, states)
				}
			}
		})
	}
}

// Also in another process, which only finds it open.
func TestFirstRecordFailsAndTheProcessEnds(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.journal.failing(youproxy.EntryOpen, 1, true)
		_, err := b.buy(t.Context(), m, m.client)
		assertNotSent(t, err)
		client := m.sharing(t)
		_, err = b.buy(t.Context(), m, client)
		assertPending(t, err, m.journal.all()[0].Attempt)
		found, err := client.Recover(t.Context())
		require.NoError(t, err)
		require.Len(t, found, 1)
		assert.Equal(t, youproxy.VerdictNotExecuted, found[0].Verdict)
		_, err = b.buy(t.Context(), m, client)
		require.NoError(t, err)
	})
}

// A record may take ten seconds, and does not end with the caller's context.
func TestRecordHasTimeOfItsOwn(t *testing.T) {
	t.Parallel()
	for name := range spends(buyIPv4) {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.journal.onRecord = func(ctx context.Context, _ youproxy.Entry) error {
					<-ctx.Done()
					return ctx.Err()
				}
				started := time.Now()
				assertNotSent(t, spends(buyIPv4)[name](t.Context(), m, m.client), "deadline exceeded")
				assert.Equal(t, 10*time.Second, time.Since(started))
				assert.Empty(t, m.sends())

				ctx, cancel := context.WithCancel(t.Context())
				var records []error
				m.journal.onRecord = func(ctx context.Context, _ youproxy.Entry) error {
					cancel()
					deadline, ok := ctx.Deadline()
					assert.True(t, ok)
					assert.Equal(t, 10*time.Second, time.Until(deadline))
					records = append(records, ctx.Err())
					return ctx.Err()
				}
				err := spends(buyIPv4)[name](ctx, m, m.client)
				require.ErrorIs(t, err, context.Canceled)
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
				assert.Equal(t, []error{nil, nil}, records)
				assert.Equal(t, []youproxy.EntryState{youproxy.EntryNotExecuted}, m.journal.states())
				assert.Empty(t, m.sends())
			})
		})
	}
}

// What became of a purchase is recorded again, each time under a new lock, for half a
// minute.
func TestLastRecordIsRepeated(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.journal.failing(youproxy.EntryExecuted, 5, false)
		started := time.Now()
		p, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.False(t, p.recovered)
		assert.Less(t, time.Since(started), 30*time.Second)
		assert.Equal(t, 6, m.journal.locks)
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryExecuted}, m.journal.states())
		assertExecuted(t, m, b)
		assert.Empty(t, m.journal.turn, "it is unlocked")
	})
	// what was not executed as well
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.journal.failing(youproxy.EntryNotExecuted, 5, false)
		m.Refuse(b.op, 14)
		_, err := b.buy(t.Context(), m, m.client)
		require.ErrorIs(t, err, youproxy.ErrNotExecuted)
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryNotExecuted}, m.journal.states())
	})
	// and what a look found out
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.journal.failing(youproxy.EntryExecuted, 5, false)
		m.Inject(b.op, youproxytest.DropAfterCommit)
		p, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.True(t, p.recovered)
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryExecuted}, m.journal.states())
	})
}

// Where it cannot be recorded for good, the caller is told of the purchase all the same,
// and the next turn records it.
func TestLastRecordFailsForGood(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		var log bytes.Buffer
		client := m.sharing(t, youproxy.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))))
		m.journal.failing(youproxy.EntryExecuted, -1, false)
		started := time.Now()
		p, err := b.buy(t.Context(), m, client)
		require.NoError(t, err)
		assert.Equal(t, 30*time.Second, time.Since(started))
		assert.Contains(t, log.String(), "could not be recorded")
		assert.Contains(t, log.String(), "disk failure")
		assert.Contains(t, log.String(), p.attempt.ID)
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states())
		assert.Empty(t, m.journal.turn, "it is unlocked")

		_, err = b.buy(t.Context(), m, client)
		assertNotSent(t, err, "the journal could not be brought up to date: disk failure")
		m.heal()
		time.Sleep(time.Hour)
		_, err = b.buy(t.Context(), m, client)
		require.NoError(t, err, "it is no longer in the way")
		watched, owed := youproxy.OpenOf(client)
		assert.Equal(t, []int{0, 0}, []int{watched, owed})
		entries := m.journal.all()
		require.Len(t, entries, 2)
		assert.Equal(t, youproxy.EntryExecuted, entries[0].State)
		assert.True(t, started.Add(time.Minute).After(entries[0].SettledAt), "when it was settled first")
		assert.Equal(t, p.charged, entries[0].Charged)
		if b.isOrder() {
			assert.Equal(t, p.OrderNumber, entries[0].OrderNumber)
		}
		assert.Len(t, m.sends(), 2)
	})
}

// What others settled meanwhile stays as they settled it.
func TestOthersSettleWhatIsOwed(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		settle func(t *testing.T, m *market, other *youproxy.Client, a youproxy.Attempt)
		state  youproxy.EntryState
	}{
		{"dismissed", func(t *testing.T, _ *market, other *youproxy.Client, a youproxy.Attempt) {
			require.NoError(t, other.Dismiss(t.Context(), a.ID, "seen by a person"))
		}, youproxy.EntryDismissed},
		{"recovered", func(t *testing.T, _ *market, other *youproxy.Client, _ youproxy.Attempt) {
			found, err := other.Recover(t.Context())
			require.NoError(t, err)
			require.Len(t, found, 1)
			assert.Equal(t, youproxy.VerdictExecuted, found[0].Verdict)
		}, youproxy.EntryExecuted},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.journal.failing(youproxy.EntryExecuted, -1, false)
				p, err := b.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				m.heal()
				tc.settle(t, m, m.sharing(t), p.attempt)
				before := m.journal.all()
				require.Len(t, before, 1)
				require.Equal(t, tc.state, before[0].State)
				_, err = b.buy(t.Context(), m, m.client, job)
				require.NoError(t, err)
				assert.Equal(t, before[0], m.journal.all()[0])
				assert.Len(t, m.sends(), 2)
			})
		})
	}
}

// The lock is lost while an order is under way: another process takes it, and settles what
// it finds.
func TestLockIsLost(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		lost := false
		m.journal.onRecord = func(ctx context.Context, e youproxy.Entry) error {
			if e.State != youproxy.EntryExecuted || lost {
				return m.record(ctx, e)
			}
			lost = true
			<-m.journal.turn // as the lock of another holder
			found, err := m.sharing(t).Recover(t.Context())
			require.NoError(t, err)
			require.Len(t, found, 1)
			assert.Equal(t, youproxy.VerdictExecuted, found[0].Verdict)
			m.journal.turn <- struct{}{} // which the first one unlocks
			return errors.New("the lock was lost")
		}
		p, err := m.client.Buy(t.Context(), anIPv4Order(), buyIPv4.limit())
		require.NoError(t, err)
		assert.False(t, p.Recovered)
		assert.Equal(t, m.lastOrder().Number, p.OrderNumber)
		entries := m.journal.all()
		require.Len(t, entries, 1)
		assert.Equal(t, youproxy.EntryExecuted, entries[0].State)
		assert.True(t, entries[0].Recovered, "the other's verdict stays")
		assert.Len(t, m.sends(), 1)
	})
}

// Where the lock was given up to record what became of an earlier attempt, others may have
// bought meanwhile: nothing is sent by what was read before.
func TestLockIsGivenUpBeforeSending(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]youproxy.SpendOption{"no key": nil, "a key": {job}} {
		t.Run(name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit, opts...)
				time.Sleep(2 * time.Minute)
				m.journal.failing(youproxy.EntryNotExecuted, 1, false)
				note, other := m.journal.onRecord, make(chan error, 1)
				m.journal.onRecord = func(ctx context.Context, e youproxy.Entry) error {
					err := note(ctx, e)
					if err != nil { // another process gets its turn
						go func() {
							_, err := b.buy(context.Background(), m, m.sharing(t, youproxy.WithReconcilePatience(0)), opts...)
							other <- err
						}()
						synctest.Wait()
					}
					return err
				}
				_, err := b.buy(t.Context(), m, m.client, opts...)
				first := <-other
				if first == nil { // it was the other's turn before
					assert.ErrorIs(t, err, youproxy.ErrNotSent)
				}
				bought := len(m.sends()) - 1
				_, err = b.buy(t.Context(), m, m.client, opts...)
				require.NoError(t, err)
				if opts != nil {
					assert.Equal(t, 1, bought)
					assert.Len(t, m.sends(), 2, "a key buys once")
				}
			})
		})
	}
}

func TestJournalCannotBeLocked(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.journal.onLock = func(context.Context) error { return errJournal }
		for _, spend := range spends(b) {
			assertNotSent(t, spend(t.Context(), m, m.client), "the journal could not be locked: disk failure")
		}
		_, err := m.client.Recover(t.Context())
		assertNotSent(t, err, "the journal could not be locked: disk failure")
		assertNotSent(t, m.client.Dismiss(t.Context(), "id", ""), "the journal could not be locked: disk failure")
		assert.Empty(t, m.Requests())

		m.heal()
		m.journal.turn <- struct{}{} // somebody spends
		for _, spend := range spends(b) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			started := time.Now()
			err := spend(ctx, m, m.client)
			cancel()
			assertNotSent(t, err, "while waiting for another purchase to end")
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, time.Minute, time.Since(started))
			ctx, cancel = context.WithCancel(t.Context())
			cancel()
			assertNotSent(t, spend(ctx, m, m.client))
		}
		<-m.journal.turn
		assert.Empty(t, m.Requests())
	})
}

func TestJournalCannotBeRead(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.journal.onEntries = func(youproxy.EntryQuery) error { return errJournal }
		_, err := b.buy(t.Context(), m, m.client)
		assertNotSent(t, err, "the journal could not be read: disk failure")
		_, err = m.client.Recover(t.Context())
		assertNotSent(t, err, "the journal could not be read: disk failure")
		assertNotSent(t, m.client.Dismiss(t.Context(), "id", ""), "the journal could not be read: disk failure")
		assert.Empty(t, m.Requests())
		assert.Empty(t, m.journal.turn, "it is unlocked")
	})
	// for the budget
	inMarket(t, func(t *testing.T, m *market) {
		client := m.sharing(t, youproxy.WithBudget(youproxy.MustMoney("100 USD"), time.Hour))
		m.journal.onEntries = func(q youproxy.EntryQuery) error {
			if q.Since.IsZero() {
				return nil
			}
			assert.True(t, time.Now().Add(-time.Hour).Equal(q.Since))
			return errJournal
		}
		_, err := buyIPv4.buy(t.Context(), m, client)
		assertNotSent(t, err, "the journal could not be read: disk failure")
		assert.Empty(t, m.sends())
	})
	// after an order was sent whose reply is lost: it stays open
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.Inject(b.op, youproxytest.DropAfterCommit)
		m.after[b.op] = func() { m.journal.onEntries = func(youproxy.EntryQuery) error { return errJournal } }
		_, err := b.buy(t.Context(), m, m.client)
		require.ErrorIs(t, err, youproxy.ErrUndetermined)
		assert.Contains(t, err.Error(), "the journal could not be read: disk failure")
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states())
		m.after = map[string]func(){}
		m.heal()
		found, err := m.client.Recover(t.Context())
		require.NoError(t, err)
		require.Len(t, found, 1)
		assert.Equal(t, youproxy.VerdictExecuted, found[0].Verdict)
	})
}

func TestDismiss(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		attempt := b.leaveOpen(t, m, m.client, youproxytest.DropBeforeCommit)
		asked := len(m.Requests())
		for _, id := range []string{"", "unknown", attempt.ID[1:]} {
			assertNotSent(t, m.client.Dismiss(t.Context(), id, "a note"), "the journal has no open attempt")
		}
		m.journal.failing(youproxy.EntryDismissed, -1, false)
		assertNotSent(t, m.client.Dismiss(t.Context(), attempt.ID, "a note"), "the journal could not be written: disk failure")
		m.heal()
		for _, client := range []*youproxy.Client{m.client, m.sharing(t)} { // nor is it dismissed later
			_, err := b.buy(t.Context(), m, client)
			assertPending(t, err, attempt)
		}
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states())

		require.NoError(t, m.sharing(t).Dismiss(t.Context(), attempt.ID, "a note"))
		assert.Len(t, m.Requests(), asked, "the account is not looked at")
		entries := m.journal.all()
		require.Len(t, entries, 1)
		assert.Equal(t, youproxy.EntryDismissed, entries[0].State)
		assert.Equal(t, "a note", entries[0].Note)
		assert.True(t, time.Now().Equal(entries[0].SettledAt))
		assertNotSent(t, m.client.Dismiss(t.Context(), attempt.ID, "again"), "the journal has no open attempt")
		found, err := m.client.Recover(t.Context())
		require.NoError(t, err)
		assert.Empty(t, found)
		_, err = b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		last := m.journal.all()[1].Attempt.ID
		assertNotSent(t, m.client.Dismiss(t.Context(), last, ""), "the journal has no open attempt")
	})
}

// comparable by no means.
type oddJournal struct {
	*testJournal

	_ []int
}

func TestJournalsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		j    youproxy.Journal
		says string
	}{
		{"nil", nil, "the journal is nil"},
		{"a typed nil", (*testJournal)(nil), "the journal is nil"},
		{"one that cannot be compared", oddJournal{testJournal: newTestJournal()}, "cannot be compared: give a pointer"},
	} {
		_, err := youproxy.New("key", youproxy.WithJournal(tc.j))
		require.Error(t, err, tc.name)
		assert.Contains(t, err.Error(), tc.says)
		client, err := youproxy.New("key")
		require.NoError(t, err)
		_, err = client.With(youproxy.WithJournal(tc.j))
		require.Error(t, err, tc.name)
	}
	_, err := youproxy.New("key", youproxy.WithJournal(&oddJournal{testJournal: newTestJournal()}))
	require.NoError(t, err)
}

// Variants of a client share its journal, unless they are given another.
func TestVariantsShareTheJournal(t *testing.T) {
	t.Parallel()
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client := m.client
		if memory {
			client = m.anotherClient(t, youproxy.WithMiddleware(m.around))
		}
		attempt := buyIPv4.leaveOpen(t, m, client, youproxytest.DropBeforeCommit)
		variant, err := client.With(youproxy.WithUserAgent("variant"), youproxy.WithReconcilePatience(time.Minute))
		require.NoError(t, err)
		another, err := client.With(youproxy.WithJournal(newTestJournal()))
		require.NoError(t, err)
		for _, c := range []*youproxy.Client{client, variant} {
			_, err = buyIPv4.buy(t.Context(), m, c)
			assertPending(t, err, attempt)
		}
		_, err = buyIPv4.buy(t.Context(), m, another)
		require.NoError(t, err)
		_, err = buyIPv4.buy(t.Context(), m, m.anotherClient(t))
		require.NoError(t, err, "each client has a journal in memory of its own")
		m.SetBalance(youproxy.MustMoney(m.opened.balance))
		m.editList(func(record map[string]any) bool {
			return record["orderId"] != string(m.lastOrder().ID) && record["orderId"] != string(m.Orders()[len(m.Orders())-2].ID)
		})
		time.Sleep(2 * time.Minute)
		_, err = buyIPv4.buy(t.Context(), m, variant)
		require.NoError(t, err, "they share when its sending ended")
	})
}

// An observer that spends would wait for itself, by whatever client of the same journal.
func TestObserverSpends(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		other func(t *testing.T, m *market, first *youproxy.Client) *youproxy.Client
		may   bool
	}{
		{"the same client", func(_ *testing.T, _ *market, first *youproxy.Client) *youproxy.Client { return first }, false},
		{"a variant", func(t *testing.T, _ *market, first *youproxy.Client) *youproxy.Client {
			variant, err := first.With(youproxy.WithUserAgent("variant"))
			require.NoError(t, err)
			return variant
		}, false},
		{"another client of the journal", func(t *testing.T, m *market, _ *youproxy.Client) *youproxy.Client {
			return m.anotherClient(t, youproxy.WithJournal(m.journal))
		}, false},
		{"a client with another journal", func(t *testing.T, m *market, _ *youproxy.Client) *youproxy.Client {
			return m.anotherClient(t, youproxy.WithJournal(newTestJournal()))
		}, true},
		{"a client with a journal in memory", func(t *testing.T, m *market, _ *youproxy.Client) *youproxy.Client { return m.anotherClient(t) }, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				var other *youproxy.Client
				var errs []error
				within := false
				client := m.sharing(t, youproxy.WithObserver(func(ctx context.Context, e youproxy.CallEvent) {
					if e.Op != "POST /order" || within {
						return
					}
					within = true
					defer func() { within = false }()
					for _, spend := range spends(buyISP) {
						errs = append(errs, spend(ctx, m, other))
					}
					_, err := other.Recover(ctx)
					errs = append(errs, err, ignoreUnknown(other.Dismiss(ctx, "unknown", "")))
				}))
				other = tc.other(t, m, client)
				_, err := buyIPv4.buy(t.Context(), m, client)
				require.NoError(t, err)
				require.Len(t, errs, 4)
				for _, err := range errs {
					if tc.may {
						assert.NoError(t, err)
						continue
					}
					assertNotSent(t, err, "would wait for itself")
				}
				assert.Len(t, m.sends(), map[bool]int{true: 3, false: 1}[tc.may])
			})
		})
	}
}

func ignoreUnknown(err error) error {
	if err != nil && bytes.Contains([]byte(err.Error()), []byte("no open attempt")) {
		return nil
	}
	return err
}

// What is recorded is plain JSON, and comes back as it was.
func TestEntriesAreJSON(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		check := func(e youproxy.Entry) error {
			text, err := json.Marshal(e)
			require.NoError(t, err)
			assert.NotContains(t, string(text), m.APIKey())
			var back youproxy.Entry
			require.NoError(t, json.Unmarshal(text, &back))
			again, err := json.Marshal(back)
			require.NoError(t, err)
			assert.JSONEq(t, string(text), string(again))
			return nil
		}
		m.journal.recorded = check
		_, err := b.buy(t.Context(), m, m.client, job)
		require.NoError(t, err)
		m.Inject(b.op, youproxytest.DropAfterCommit)
		_, err = b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.Len(t, m.journal.all(), 2)
	})
}
