package youproxy_test

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// withBudget gives clients that share a journal: one of the test's, or that in the memory
// of the first.
func (m *market) withBudget(t *testing.T, memory bool, budget string, per time.Duration, opts ...youproxy.Option) (first, second *youproxy.Client) {
	t.Helper()
	opts = append(opts, youproxy.WithMiddleware(m.around), youproxy.WithBudget(youproxy.MustMoney(budget), per))
	if !memory {
		return m.anotherClient(t, append(opts, youproxy.WithJournal(m.journal))...), m.anotherClient(t, append(opts, youproxy.WithJournal(m.journal))...)
	}
	first = m.anotherClient(t, opts...)
	second, err := first.With(youproxy.WithUserAgent("second"))
	require.NoError(t, err)
	return first, second
}

// forEachJournal runs f with a journal of the test's and with that in memory.
func forEachJournal(t *testing.T, f func(t *testing.T, m *market, memory bool), opts ...any) {
	for _, memory := range []bool{true, false} {
		t.Run(map[bool]string{true: "in memory", false: "another journal"}[memory], func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) { f(t, m, memory) }, opts...)
		})
	}
}

func assertOverBudget(t *testing.T, err error, words ...string) {
	t.Helper()
	require.ErrorIs(t, err, youproxy.ErrOverBudget)
	assert.ErrorIs(t, err, youproxy.ErrNotSent)
	assert.NotErrorIs(t, err, youproxy.ErrPending)
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
	for _, word := range words {
		assert.Contains(t, err.Error(), word)
	}
}

// The budget is of any time as long as it says, and of all clients together.
func TestBudgetSlides(t *testing.T) {
	t.Parallel()
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		first, second := m.withBudget(t, memory, "4 USD", 24*time.Hour)
		for range 3 { // 3.93 USD, an hour apart
			_, err := buyIPv4.buy(t.Context(), m, first)
			require.NoError(t, err)
			time.Sleep(time.Hour)
			first, second = second, first
		}
		sent := len(m.sends())
		for range 21 {
			_, err := buyIPv4.buy(t.Context(), m, first)
			assertOverBudget(t, err, "the price of 1.31 USD", "5.24 USD would be spent within 24h0m0s", "the budget is 4 USD", "nothing was spent")
			time.Sleep(time.Hour)
		}
		_, err := buyIPv4.buy(t.Context(), m, second)
		assertOverBudget(t, err) // the first was just 24 hours ago
		assert.Len(t, m.sends(), sent)
		time.Sleep(time.Nanosecond)
		_, err = buyIPv4.buy(t.Context(), m, second)
		require.NoError(t, err)
		_, err = buyIPv4.buy(t.Context(), m, first)
		assertOverBudget(t, err)
		time.Sleep(10 * 24 * time.Hour)
		for range 3 {
			_, err = buyIPv4.buy(t.Context(), m, first)
			require.NoError(t, err)
		}
	})
}

// A purchase may use the budget up, to the cent; renewals count as orders do.
func TestBudgetIsExact(t *testing.T) {
	t.Parallel()
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client, another := m.withBudget(t, memory, "11.13 USD", time.Hour)
		for _, b := range []buying{buyIPv4, renewIPs, buyISP} { // 1.31, 2.62, 7.20
			_, err := b.buy(t.Context(), m, client)
			require.NoError(t, err)
		}
		_, err := buyIPv4.buy(t.Context(), m, another)
		assertOverBudget(t, err, "12.44 USD")
	})
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client, _ := m.withBudget(t, memory, "11.129999999 USD", time.Hour)
		for i, b := range []buying{buyIPv4, renewIPs, buyISP} {
			_, err := b.buy(t.Context(), m, client)
			assert.Equal(t, i < 2, err == nil, "%v", err)
		}
	})
}

// What an entry counts with: what was charged if that is more, the larger reading of a
// price, and its price where it is open, of whatever age, or dismissed.
func TestWhatCountsInBudgets(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		left  func(t *testing.T, m *market, c *youproxy.Client)
		spent string // and 7.2 USD
	}{
		{"not executed", func(t *testing.T, m *market, c *youproxy.Client) {
			m.Inject("POST /order", youproxytest.DropBeforeCommit)
			_, err := buyIPv4.buy(t.Context(), m, c)
			require.ErrorIs(t, err, youproxy.ErrNotExecuted)
		}, "7.2"},
		{"open", func(t *testing.T, m *market, c *youproxy.Client) {
			buyIPv4.leaveOpen(t, m, c, youproxytest.DropBeforeCommit)
			time.Sleep(100 * 24 * time.Hour)
		}, "8.51"},
		{"dismissed", func(t *testing.T, m *market, c *youproxy.Client) {
			a := buyIPv4.leaveOpen(t, m, c, youproxytest.DropBeforeCommit)
			time.Sleep(24 * time.Hour) // it counts from now
			require.NoError(t, c.Dismiss(t.Context(), a.ID, "lost"))
		}, "8.51"},
		{"recovered", func(t *testing.T, m *market, c *youproxy.Client) {
			m.Inject("POST /order", youproxytest.DropAfterCommit)
			_, err := buyIPv4.buy(t.Context(), m, c)
			require.NoError(t, err)
		}, "8.51"},
		{"charged more", func(t *testing.T, m *market, c *youproxy.Client) {
			m.rewrite["POST /order"] = func(reply string) string {
				m.SetBalance(less(m.Balance(), "2"))
				return replaceBalance(reply, m.Balance())
			}
			p, err := buyIPv4.buy(t.Context(), m, c)
			require.NoError(t, err)
			assertMoney(t, "3.31 USD", *p.charged)
			assert.True(t, p.Purchase.AboveLimit())
			delete(m.rewrite, "POST /order")
		}, "10.51"},
		{"charged less", func(t *testing.T, m *market, c *youproxy.Client) {
			m.rewrite["POST /order"] = func(reply string) string {
				return replaceBalance(reply, less(m.Balance(), "-1"))
			}
			p, err := buyIPv4.buy(t.Context(), m, c)
			require.NoError(t, err)
			assertMoney(t, "0.31 USD", *p.charged)
			delete(m.rewrite, "POST /order")
		}, "8.51"},
		{"a plain call", func(t *testing.T, m *market, c *youproxy.Client) {
			_, err := c.CreateOrder(t.Context(), anIPv4Order())
			require.NoError(t, err)
		}, "7.2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, enough := range []bool{true, false} {
				forEachJournal(t, func(t *testing.T, m *market, memory bool) {
					budget := youproxy.MustMoney(tc.spent + " USD")
					if !enough {
						budget = less(budget, "0.01")
					}
					client, another := m.withBudget(t, memory, budget.String(), time.Hour)
					tc.left(t, m, client)
					_, err := buyISP.buy(t.Context(), m, another)
					if enough {
						require.NoError(t, err)
						return
					}
					assertOverBudget(t, err, tc.spent+" USD would be spent")
				})
			}
		})
	}
}

// replaceBalance gives a reply with another balance.
func replaceBalance(reply string, m youproxy.Money) string {
	return regexp.MustCompile(`"balance": *[0-9.]+`).ReplaceAllString(reply, `"balance":`+m.Amount.String())
}

// To come again with the key of what was bought costs nothing, and is not stopped.
func TestBudgetAndKeys(t *testing.T) {
	t.Parallel()
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client, another := m.withBudget(t, memory, "1.31 USD", time.Hour)
		first, err := buyIPv4.buy(t.Context(), m, client, job)
		require.NoError(t, err)
		for _, c := range []*youproxy.Client{client, another} {
			again, err := buyIPv4.buy(t.Context(), m, c, job)
			require.NoError(t, err)
			assertSameBought(t, first, again)
			_, err = buyIPv4.buy(t.Context(), m, c, youproxy.IdempotencyKey("job 18"))
			assertOverBudget(t, err)
		}
		assert.Len(t, m.sends(), 1)
	})
}

// Where the price may be of one proxy, the price of all counts.
func TestBudgetCountsTheLargerReading(t *testing.T) {
	t.Parallel()
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client, another := m.withBudget(t, memory, "7.2 USD", time.Hour)
		limit := youproxy.MustMoney("100 USD")
		_, err := client.Buy(t.Context(), anISPOrder(), limit) // 3 for 2.4 each
		require.NoError(t, err)
		_, err = buyIPv4.buy(t.Context(), m, another)
		assertOverBudget(t, err, "8.51 USD would be spent")
	}, youproxytest.WithPricePerProxy())
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client, _ := m.withBudget(t, memory, "7.19 USD", time.Hour)
		_, err := client.Buy(t.Context(), anISPOrder(), youproxy.MustMoney("100 USD"))
		assertOverBudget(t, err, "with the price of 7.2 USD")
	}, youproxytest.WithPricePerProxy())
}

func TestBudgetInAnotherCurrency(t *testing.T) {
	t.Parallel()
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client, _ := m.withBudget(t, memory, "1000 EUR", time.Hour)
		_, err := buyIPv4.buy(t.Context(), m, client)
		require.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
		assert.ErrorIs(t, err, youproxy.ErrNotSent)
		assert.NotErrorIs(t, err, youproxy.ErrOverBudget)
		assert.Contains(t, err.Error(), "the budget is 1000 EUR, and the price, or an amount in the journal, has another currency or none")
		assert.Empty(t, m.sends())
	})
	// The account changed its currency: what was paid in the other one counts as long as
	// it is in the time of the budget.
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client, another := m.withBudget(t, memory, "1000 USD", time.Hour)
		euros, err := client.With(youproxy.WithBudget(youproxy.MustMoney("1000 EUR"), time.Hour))
		require.NoError(t, err)
		_, err = buyIPv4.buy(t.Context(), m, client)
		require.NoError(t, err)
		m.SetBalance(youproxy.MustMoney("100 EUR"))
		_, err = euros.Buy(t.Context(), anIPv4Order(), youproxy.MustMoney("10 EUR"))
		require.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
		time.Sleep(time.Hour + 1)
		_, err = euros.Buy(t.Context(), anIPv4Order(), youproxy.MustMoney("10 EUR"))
		require.NoError(t, err)

		m.SetBalance(youproxy.MustMoney("100 USD"))
		_, err = buyIPv4.buy(t.Context(), m, another)
		require.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
		time.Sleep(time.Hour + 1)
		_, err = buyIPv4.buy(t.Context(), m, another)
		require.NoError(t, err)
		_, err = buyIPv4.buy(t.Context(), m, another)
		require.NoError(t, err)
	})
}

// Both currencies are in the time of the budget.
func TestBudgetBesideTwoCurrencies(t *testing.T) {
	t.Parallel()
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client := m.client
		if memory {
			client = m.anotherClient(t)
		}
		_, err := buyIPv4.buy(t.Context(), m, client)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		m.SetBalance(youproxy.MustMoney("100 EUR"))
		limit := youproxy.MustMoney("10 EUR")
		for range 2 {
			_, err = client.Buy(t.Context(), anIPv4Order(), limit)
			require.NoError(t, err)
		}
		client, err = client.With(youproxy.WithBudget(youproxy.MustMoney("3.93 EUR"), time.Hour))
		require.NoError(t, err)
		for range 59 {
			_, err = client.Buy(t.Context(), anIPv4Order(), limit)
			require.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Nanosecond)
		_, err = client.Buy(t.Context(), anIPv4Order(), limit)
		require.NoError(t, err, "the dollars are over")
		_, err = client.Buy(t.Context(), anIPv4Order(), limit)
		assertOverBudget(t, err, "5.24 EUR")
	})
}

// The budget of the client that spends is the one that counts; one without a budget
// spends from that of others, too.
func TestBudgetsOfTwoClients(t *testing.T) {
	t.Parallel()
	forEachJournal(t, func(t *testing.T, m *market, memory bool) {
		client, _ := m.withBudget(t, memory, "3 USD", time.Hour)
		larger, err := client.With(youproxy.WithBudget(youproxy.MustMoney("5 USD"), 24*time.Hour))
		require.NoError(t, err)
		for range 2 {
			_, err = buyIPv4.buy(t.Context(), m, client)
			require.NoError(t, err)
		}
		_, err = buyIPv4.buy(t.Context(), m, client)
		assertOverBudget(t, err)
		_, err = buyIPv4.buy(t.Context(), m, larger)
		require.NoError(t, err)
		time.Sleep(2 * time.Hour)
		_, err = buyIPv4.buy(t.Context(), m, larger)
		assertOverBudget(t, err, "5.24 USD would be spent within 24h0m0s")
		_, err = buyIPv4.buy(t.Context(), m, client)
		require.NoError(t, err)
	})
}

// What was bought before a client had a budget counts as well.
func TestBudgetCountsWhatWasBoughtWithout(t *testing.T) {
	t.Parallel()
	for _, per := range []time.Duration{0, time.Hour} {
		inMarket(t, func(t *testing.T, m *market) {
			client := m.anotherClient(t)
			if per > 0 {
				client = m.anotherClient(t, youproxy.WithBudget(youproxy.MustMoney("1000 USD"), per))
			}
			for i := range 3 {
				_, err := buyIPv4.buy(t.Context(), m, client, []youproxy.SpendOption{job}[:i%2]...)
				require.NoError(t, err)
				time.Sleep(3 * time.Hour)
			}
			client, err := client.With(youproxy.WithBudget(youproxy.MustMoney("5 USD"), 24*time.Hour))
			require.NoError(t, err)
			_, err = buyIPv4.buy(t.Context(), m, client)
			assertOverBudget(t, err, "5.24 USD would be spent within 24h0m0s")
		})
	}
}

func TestBudgetLogsPlainCalls(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		var log bytes.Buffer
		logger := youproxy.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})))
		client, _ := m.withBudget(t, true, "1 USD", time.Hour, logger)
		_, err := client.CreateOrder(t.Context(), anIPv4Order())
		require.NoError(t, err)
		assert.Contains(t, log.String(), "a plain call spends without the budget")
		log.Reset()
		_, err = m.anotherClient(t, logger).CreateOrder(t.Context(), anIPv4Order())
		require.NoError(t, err)
		assert.Empty(t, log.String())
	})
}

func TestBudgetsThatAreNone(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]youproxy.Option{
		"no money":           youproxy.WithBudget(youproxy.Money{}, time.Hour),
		"no currency":        youproxy.WithBudget(youproxy.Money{Amount: youproxy.MustMoney("1 USD").Amount}, time.Hour),
		"an odd currency":    youproxy.WithBudget(youproxy.Money{Amount: youproxy.MustMoney("1 USD").Amount, Currency: "us dollar"}, time.Hour),
		"negative":           youproxy.WithBudget(less(youproxy.MustMoney("1 USD"), "2"), time.Hour),
		"no time":            youproxy.WithBudget(youproxy.MustMoney("1 USD"), 0),
		"a negative time":    youproxy.WithBudget(youproxy.MustMoney("1 USD"), -time.Second),
		"more than 400 days": youproxy.WithBudget(youproxy.MustMoney("1 USD"), 400*24*time.Hour+1),
	} {
		_, err := youproxy.New("key", opt)
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), "budget", name)
	}
	inMarket(t, func(t *testing.T, m *market) {
		client := m.anotherClient(t, youproxy.WithBudget(youproxy.MustMoney("0 USD"), 400*24*time.Hour))
		_, err := buyIPv4.buy(t.Context(), m, client)
		assertOverBudget(t, err, "the budget is 0 USD")
	})
}
