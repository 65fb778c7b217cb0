package youproxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
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

// ownerKey is under what a context names who makes a call.
type ownerKey struct{}

// turns sees who calls, and takes its time, so that calls could overlap.
type turns struct {
	mu       sync.Mutex
	owners   []string
	inFlight int
	most     int
	held     int // locks
	locks    int
	unlocks  int
	without  []string // ops that came while no lock was held
}

func (w *turns) middleware(next http.RoundTripper) http.RoundTripper {
	return stubTransport(func(r *http.Request) (*http.Response, error) {
		owner, _ := r.Context().Value(ownerKey{}).(string)
		w.mu.Lock()
		w.owners = append(w.owners, owner)
		w.inFlight++
		w.most = max(w.most, w.inFlight)
		if w.held == 0 {
			w.without = append(w.without, opOf(r))
		}
		w.mu.Unlock()
		time.Sleep(time.Second)
		resp, err := next.RoundTrip(r)
		w.mu.Lock()
		w.inFlight--
		w.mu.Unlock()
		return resp, err
	})
}

// watchedJournal is a journal whose lock is seen by turns.
type watchedJournal struct {
	*testJournal

	turns *turns
}

func (w *turns) journal() *watchedJournal { return &watchedJournal{newTestJournal(), w} }

func (j *watchedJournal) Lock(ctx context.Context) (func(), error) {
	unlock, err := j.testJournal.Lock(ctx)
	if err != nil {
		return nil, err
	}
	w := j.turns
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held++
	w.locks++
	return func() {
		w.mu.Lock()
		w.held--
		w.unlocks++
		w.mu.Unlock()
		unlock()
	}, nil
}

// spenders is every call that takes its turn.
func spenders(m *market, missed youproxy.Attempt) map[string]func(context.Context, *youproxy.Client) error {
	all := map[string]func(context.Context, *youproxy.Client) error{
		"CreateOrder": func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.CreateOrder(ctx, anISPOrder())
			return err
		},
		"Extend": func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.Extend(ctx, youproxy.ExtendOrdersRequest{ProxyType: youproxy.ProxyTypeIPv6, OrderIDs: []youproxy.OrderID{m.ipv6.ID}, RentPeriodDays: 30})
			return err
		},
		"Call": func(ctx context.Context, c *youproxy.Client) error {
			return c.Call(ctx, "POST", "/order", nil, map[string]any{
				"proxyType": "ISP", "quantity": 1, "rentPeriodDays": 30, "country": "USA", "goal": "tests", "authType": "LOGIN",
			}, nil)
		},
		"Reconcile": func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.Reconcile(ctx, missed)
			return err
		},
	}
	for _, b := range buyings {
		all[b.name] = func(ctx context.Context, c *youproxy.Client) error {
			_, err := b.buy(ctx, m, c)
			return err
		}
	}
	return all
}

// missedAttempt gives one that was not executed.
func missedAttempt(t *testing.T, m *market) youproxy.Attempt {
	t.Helper()
	m.Refuse("POST /order", 99)
	_, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
	var failed *youproxy.SpendError
	require.ErrorAs(t, err, &failed)
	return failed.Attempt
}

func TestEverySpendTakesItsTurn(t *testing.T) {
	t.Parallel()
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprintf("a journal of its own: %t", own), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				missed := missedAttempt(t, m)
				var w turns
				opts := []youproxy.Option{youproxy.WithMiddleware(w.middleware)}
				if own {
					opts = append(opts, youproxy.WithJournal(w.journal()))
				}
				client := m.anotherClient(t, opts...)
				variant, err := client.With(youproxy.WithUserAgent("variant/1"))
				require.NoError(t, err)
				m.Inject("POST /extend", youproxytest.DropAfterCommit)
				m.Inject("POST /calculate/order", youproxytest.BadGateway)
				calls := spenders(m, missed)
				var all sync.WaitGroup
				for name, call := range calls {
					for i, c := range []*youproxy.Client{client, variant} {
						if i == 1 && (strings.Contains(name, "xten") || name == "Reconcile") {
							continue
						}
						ctx := context.WithValue(t.Context(), ownerKey{}, fmt.Sprint(name, " ", i))
						all.Go(func() {
							assert.NoError(t, call(ctx, c), "%s %d", name, i)
						})
					}
				}
				all.Wait()
				assert.Equal(t, 1, w.most, "requests in flight")
				turnsTaken := slices.Compact(slices.Clone(w.owners))
				assert.Len(t, turnsTaken, 2*len(calls)-4, "each calls without another in between: %q", turnsTaken)
				assert.Greater(t, len(w.owners), 3*len(calls))
				if own {
					assert.Equal(t, []int{len(turnsTaken), len(turnsTaken), 0}, []int{w.locks, w.unlocks, w.held})
					assert.Empty(t, w.without)
				}
			}, youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
		})
	}
}

func TestTheLockIsHeldForAllOfIt(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		missed := missedAttempt(t, m)
		watched := func() (*turns, *watchedJournal, *youproxy.Client) {
			var w turns
			j := w.journal()
			client, err := m.client.With(youproxy.WithMiddleware(w.middleware), youproxy.WithJournal(j))
			require.NoError(t, err)
			return &w, j, client
		}
		for name, call := range spenders(m, missed) {
			w, j, client := watched()
			j.onRecord = func(context.Context, youproxy.Entry) error {
				assert.Equal(t, 1, w.held, name)
				return nil
			}
			assert.NoError(t, call(t.Context(), client), name)
			assert.NotEmpty(t, w.owners, name)
			assert.Empty(t, w.without, name)
			assert.Equal(t, []int{1, 1, 0}, []int{w.locks, w.unlocks, w.held}, name)
		}
		for _, b := range buyings {
			w, _, client := watched()
			m.Inject(b.op, youproxytest.DropBeforeCommit)
			_, err := b.buy(t.Context(), m, client)
			assert.ErrorIs(t, err, youproxy.ErrNotExecuted, b.name)
			assert.Empty(t, w.without, "looking included: %s", b.name)
			assert.Equal(t, []int{1, 1, 0}, []int{w.locks, w.unlocks, w.held}, b.name)
		}
		w, j, client := watched()
		j.add(youproxy.Entry{Attempt: missed, State: youproxy.EntryOpen})
		_, err := client.Recover(t.Context())
		require.NoError(t, err)
		assert.NotEmpty(t, w.owners)
		assert.Empty(t, w.without)
		assert.Equal(t, []int{1, 1, 0}, []int{w.locks, w.unlocks, w.held}, "Recover")
		err = client.Dismiss(t.Context(), missed.ID, "a person looked")
		require.NoError(t, err, "the account does not show what became of it")
		assert.Equal(t, []int{2, 2, 0}, []int{w.locks, w.unlocks, w.held}, "Dismiss")

		w, _, client = watched()
		_, err = client.Balance(t.Context())
		require.NoError(t, err)
		_, err = client.ListProxies(t.Context(), youproxy.ProxyQuery{})
		require.NoError(t, err)
		_, err = client.QuoteOrder(t.Context(), anISPOrder())
		require.NoError(t, err)
		assert.Zero(t, w.locks, "what spends nothing takes none")
	}, youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
}

func TestContextOverWhileWaitingForTheTurn(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.before["POST /slow"] = func() { time.Sleep(10 * time.Second) }
		var busy sync.WaitGroup
		busy.Go(func() { _ = m.client.Call(t.Context(), "POST", "/slow", nil, nil, nil) })
		defer busy.Wait()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		started := time.Now()
		got, err := b.buy(ctx, m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.Equal(t, 7*time.Second, time.Since(started))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "while waiting for another purchase to end")
		assert.Empty(t, m.ops())
	})
}

func TestTheLockGetsTheContext(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.journal.onLock = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		started := time.Now()
		got, err := buyIPv4.buy(ctx, m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 3*time.Second, time.Since(started))
	})
}

// unlockless is a journal whose lock has nothing to unlock.
type unlockless struct{ *testJournal }

func (j unlockless) Lock(context.Context) (func(), error) {
	select {
	case j.turn <- struct{}{}:
	default:
	}
	return nil, nil
}

func TestALockWithoutUnlock(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		missed := missedAttempt(t, m)
		client, err := m.client.With(youproxy.WithJournal(unlockless{newTestJournal()}))
		require.NoError(t, err)
		for name, call := range spenders(m, missed) {
			assert.NoError(t, call(t.Context(), client), name)
		}
	}, youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
}

// Whatever comes of a purchase, the next one gets its turn and the lock.
func TestTurnsAreGivenBack(t *testing.T) {
	t.Parallel()
	panicking := func(op string) youproxy.Option {
		return youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
			return stubTransport(func(r *http.Request) (*http.Response, error) {
				if opOf(r) == op {
					panic("middleware")
				}
				return next.RoundTrip(r)
			})
		})
	}
	for _, tc := range []struct {
		name    string
		arrange func(m *market, b buying)
		record  func(context.Context, youproxy.Entry) error
		option  youproxy.Option
		panics  bool
	}{
		{name: "success"},
		{name: "a guard", arrange: func(m *market, b buying) { m.changeQuote(b, "price", 90) }},
		{name: "a refused quote", arrange: func(m *market, b buying) { m.Refuse(b.quoteOp(), 11) }},
		{name: "an unreadable list", arrange: func(m *market, _ buying) { m.Refuse("GET /ipAddress", 3) }},
		{name: "a refusal", arrange: func(m *market, b buying) { m.Refuse(b.op, 14) }},
		{name: "a lost reply", arrange: func(m *market, b buying) { m.Inject(b.op, youproxytest.DropAfterCommit) }},
		{name: "a lost request", arrange: func(m *market, b buying) { m.Inject(b.op, youproxytest.DropBeforeCommit) }},
		{name: "a journal that cannot record", record: recordFails(io.ErrShortWrite)},
		{name: "a journal that panics", record: func(context.Context, youproxy.Entry) error { panic("journal") }, panics: true},
		{name: "an observer's panic", option: youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
			if strings.HasPrefix(e.Op, "POST /calculate") {
				panic("observer")
			}
		}), panics: true},
		{name: "an observer's panic after it was sent", option: youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
			if e.Op == "POST /order" || strings.HasPrefix(e.Op, "POST /extend") {
				panic("observer")
			}
		}), panics: true},
		{name: "a middleware's panic", option: panicking("GET /ipAddress"), panics: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				var w turns
				j := w.journal()
				j.onRecord = tc.record
				base, err := m.client.With(youproxy.WithJournal(j))
				require.NoError(t, err)
				client := base
				if tc.option != nil {
					client, err = base.With(tc.option)
					require.NoError(t, err)
				}
				if tc.arrange != nil {
					tc.arrange(m, b)
				}
				buy := func() { _, _ = b.buy(t.Context(), m, client) }
				if tc.panics {
					assert.Panics(t, buy)
				} else {
					buy()
				}
				assert.Zero(t, w.held)
				assert.Equal(t, w.locks, w.unlocks)
				j.onRecord = nil
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err = base.CreateOrder(ctx, anISPOrder())
				assert.NoError(t, err, "the next one")
			})
		})
	}
	t.Run("a panic of the lock", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.journal.onLock = func(context.Context) error { panic("lock") }
			assert.Panics(t, func() { _, _ = buyIPv4.buy(t.Context(), m, m.client) })
			m.journal.onLock = nil
			_, err := m.client.CreateOrder(t.Context(), anISPOrder())
			assert.NoError(t, err, "the next one")
		})
	})
}

// A purchase from within what a purchase calls would wait for itself.
func TestPurchasesWithinPurchases(t *testing.T) {
	t.Parallel()
	for name, arrange := range map[string]func(j *testJournal, within func(context.Context)) youproxy.Option{
		"recording": func(j *testJournal, within func(context.Context)) youproxy.Option {
			j.onRecord = func(ctx context.Context, e youproxy.Entry) error {
				if e.State == youproxy.EntryOpen {
					within(ctx)
				}
				return nil
			}
			return youproxy.WithJournal(j)
		},
		"reading the journal": func(j *testJournal, within func(context.Context)) youproxy.Option {
			return youproxy.WithJournal(&readJournal{testJournal: j, onEntries: within})
		},
		"the observer": func(_ *testJournal, within func(context.Context)) youproxy.Option {
			return youproxy.WithObserver(func(ctx context.Context, e youproxy.CallEvent) {
				if e.Op == "POST /order" {
					within(ctx)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				called := 0
				var client *youproxy.Client
				within := func(ctx context.Context) {
					if called++; called > 1 {
						return
					}
					started := time.Now()
					variant, err := client.With(youproxy.WithUserAgent("variant"))
					require.NoError(t, err)
					_, err = variant.CreateOrder(ctx, anISPOrder())
					require.ErrorContains(t, err, "would wait for itself")
					assert.ErrorIs(t, err, youproxy.ErrNotSent)
					assert.Zero(t, time.Since(started))
					_, err = m.anotherClient(t).Balance(ctx)
					assert.NoError(t, err)
					_, err = client.Balance(ctx)
					assert.NoError(t, err)
					_, err = m.anotherClient(t).CreateOrder(ctx, anISPOrder())
					assert.NoError(t, err, "which has another journal")
				}
				client = m.anotherClient(t, arrange(newTestJournal(), within))
				purchase, err := client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				assert.NotEmpty(t, purchase.OrderNumber)
				assert.Positive(t, called)
				_, err = client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				assert.NoError(t, err, "the turn is over")
			})
		})
	}
}

// readJournal is a journal that calls a function before it is read.
type readJournal struct {
	*testJournal

	onEntries func(context.Context)
}

func (j *readJournal) Entries(ctx context.Context, q youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	j.onEntries(ctx)
	return j.testJournal.Entries(ctx, q)
}

// Another client of the same journal would wait for itself, too.
func TestPurchasesWithinPurchasesOfTheSameJournal(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		other := m.anotherClient(t, youproxy.WithJournal(m.journal))
		called := false
		client, err := m.client.With(youproxy.WithObserver(func(ctx context.Context, e youproxy.CallEvent) {
			if called = called || e.Op == "POST /order"; e.Op == "POST /order" {
				_, err := buyMobile.buy(ctx, m, other)
				assert.ErrorContains(t, err, "would wait for itself")
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
			}
		}))
		require.NoError(t, err)
		_, err = buyIPv4.buy(t.Context(), m, client)
		require.NoError(t, err)
		assert.True(t, called)
	})
}

// The journal gets an entry of its own, and may do with it what it likes.
func TestAJournalThatChangesTheEntry(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.journal.onRecord = func(ctx context.Context, e youproxy.Entry) error {
			text, err := json.Marshal(e)
			require.NoError(t, err)
			clear(e.Attempt.Before.Ends)
			clear(e.Attempt.Before.Orders)
			clear(e.Attempt.IPAddressIDs)
			clear(e.Attempt.OrderIDs)
			if e.Charged != nil {
				*e.Charged = youproxy.Money{}
			}
			var before youproxy.Entry
			require.NoError(t, json.Unmarshal(text, &before))
			return m.record(ctx, before)
		}
		m.Inject(b.op, youproxytest.DropAfterCommit)
		got, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assertExecuted(t, m, b)
		assert.True(t, got.recovered)
		assertMoney(t, b.price, *got.charged)
		require.Len(t, m.recorded, 1)
		recorded, err := json.Marshal(m.recorded[0])
		require.NoError(t, err)
		returned, err := json.Marshal(got.attempt)
		require.NoError(t, err)
		assert.JSONEq(t, string(recorded), string(returned))
	})
}

// What could not be recorded for sure may have been recorded all the same. It was not
// sent, so it is not executed as soon as the journal can be written again.
func TestAnAttemptWhoseRecordingFailedIsNotExecuted(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		broken := true
		m.journal.onRecord = func(_ context.Context, e youproxy.Entry) error {
			if !broken {
				return nil
			}
			if e.State == youproxy.EntryOpen {
				m.journal.add(e)
			}
			return errors.New("the network is gone")
		}
		got, err := b.buy(t.Context(), m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryOpen}, m.journal.states())
		broken = false
		_, err = b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.Equal(t, []youproxy.EntryState{youproxy.EntryNotExecuted, youproxy.EntryExecuted}, m.journal.states())
	})
}

func TestSpendsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most, sent int
		var mu sync.Mutex
		c := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
			if r.Method == http.MethodGet {
				return stubReply(r, 200, clientBalance), nil
			}
			mu.Lock()
			sent++
			now++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return stubReply(r, 200, orderedReply), nil
		}))
		variant, err := c.With(youproxy.WithUserAgent("variant"))
		require.NoError(t, err)
		another, err := variant.With(youproxy.WithMiddleware(func(rt http.RoundTripper) http.RoundTripper { return rt }))
		require.NoError(t, err)

		started := time.Now()
		var wg sync.WaitGroup
		for _, client := range []*youproxy.Client{c, variant, another} {
			wg.Go(func() {
				_, err := client.CreateOrder(t.Context(), benchOrder)
				assert.NoError(t, err)
			})
			wg.Go(func() {
				assert.NoError(t, client.Call(t.Context(), "DELETE", "/thing", nil, nil, nil))
			})
		}
		synctest.Wait()
		_, err = another.Balance(t.Context())
		require.NoError(t, err)
		assert.Zero(t, time.Since(started), "a read does not wait")
		wg.Wait()
		assert.Equal(t, 1, most)
		assert.Equal(t, 6, sent)
		assert.Equal(t, 6*time.Second, time.Since(started))
	})
	t.Run("two clients do not wait for each other", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			slow := func(r *http.Request) (*http.Response, error) {
				time.Sleep(time.Second)
				return stubReply(r, 200, orderedReply), nil
			}
			started := time.Now()
			var wg sync.WaitGroup
			for range 2 {
				c := clientFor(t, byStub(slow))
				wg.Go(func() {
					_, err := c.CreateOrder(t.Context(), benchOrder)
					assert.NoError(t, err)
				})
			}
			wg.Wait()
			assert.Equal(t, time.Second, time.Since(started))
		})
	})
	t.Run("a turn is given on after a failure", func(t *testing.T) {
		s := &script{answers: []answer{breaks(errors.New("reset")), status(200, clientNoFunds), status(200, orderedReply)}}
		c := clientFor(t, s.option())
		for _, want := range []youproxy.Outcome{youproxy.OutcomeUnknown, youproxy.OutcomeRejected, youproxy.OutcomeDone} {
			_, err := c.CreateOrder(t.Context(), benchOrder)
			assert.Equal(t, want, youproxy.OutcomeOf(err))
		}
	})
}
