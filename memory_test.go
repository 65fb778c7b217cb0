package youproxy_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/journaltest"
	"github.com/youproxy-go/youproxy/internal/long"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestMemoryJournalKeepsTheContract(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, func(*testing.T) func() youproxy.Journal {
		j := youproxy.NewMemoryJournal()
		return func() youproxy.Journal { return j }
	})
}

// anEntry is one of a purchase, settled now unless it is open.
func anEntry(id, key string, state youproxy.EntryState) youproxy.Entry {
	e := youproxy.Entry{State: state, Attempt: youproxy.Attempt{
		Version: 2, ID: id, Key: key, At: time.Now(), Op: "POST /order", ProxyType: youproxy.ProxyTypeIPv4, RentPeriodDays: 30, Quantity: 1,
		Price: youproxy.MustMoney("1 USD"), Limit: youproxy.MustMoney("1 USD"), Before: youproxy.Holdings{Balance: youproxy.MustMoney("10 USD")},
	}}
	if state != youproxy.EntryOpen {
		e.SettledAt = time.Now()
	}
	return e
}

// aPlainEntry is one of a plain call.
func aPlainEntry(id string, state youproxy.EntryState) youproxy.Entry {
	e := anEntry(id, "", state)
	e.Attempt.Price, e.Attempt.Limit, e.Attempt.Before = youproxy.Money{}, youproxy.Money{}, youproxy.Holdings{}
	return e
}

// write records n entries as they are while their purchase is made, under one lock.
func write(t testing.TB, j youproxy.Journal, n int, entry func(i int, state youproxy.EntryState) youproxy.Entry) {
	t.Helper()
	unlock, err := j.Lock(t.Context())
	require.NoError(t, err)
	defer unlock()
	for i := range n {
		require.NoError(t, j.Record(t.Context(), entry(i, youproxy.EntryOpen)))
		require.NoError(t, j.Record(t.Context(), entry(i, youproxy.EntryExecuted)))
	}
}

func entriesOf(t testing.TB, j youproxy.Journal, q youproxy.EntryQuery) []youproxy.Entry {
	t.Helper()
	var entries []youproxy.Entry
	for e, err := range j.Entries(t.Context(), q) {
		require.NoError(t, err)
		entries = append(entries, e)
	}
	return entries
}

// ever selects all that a journal has kept.
var ever = youproxy.EntryQuery{Since: time.Unix(1, 0)}

// It remembers 100,000 keys, and forgets the oldest first, but none that is open.
func TestMemoryJournalForgetsKeys(t *testing.T) {
	t.Parallel()
	if !long.Run() {
		t.Skip("a hundred thousand keys take seconds")
	}
	synctest.Test(t, func(t *testing.T) {
		j := youproxy.NewMemoryJournal()
		write(t, j, youproxy.MostKeys, func(i int, state youproxy.EntryState) youproxy.Entry {
			if i == 1 {
				state = youproxy.EntryOpen
			}
			return anEntry(fmt.Sprint(i), fmt.Sprintf("job %d", i), state)
		})
		has := func(i int) bool {
			for _, e := range entriesOf(t, j, youproxy.EntryQuery{Key: fmt.Sprintf("job %d", i)}) {
				if e.Attempt.ID == fmt.Sprint(i) {
					return true
				}
			}
			return false
		}
		assert.Equal(t, []bool{true, true, true, true}, []bool{has(0), has(1), has(2), has(3)})
		time.Sleep(1000 * time.Hour)
		assert.True(t, has(0), "none is forgotten for its age")
		write(t, j, 2, func(i int, state youproxy.EntryState) youproxy.Entry {
			return anEntry(fmt.Sprint("new ", i), fmt.Sprint("new ", i), state)
		})
		assert.Equal(t, []bool{false, true, false, true}, []bool{has(0), has(1), has(2), has(3)}, "one of them is open")
		assert.Equal(t, youproxy.MostKeys, len(entriesOf(t, j, ever))) //nolint:testifylint // else it prints them
	})
}

// All attempts of a key are remembered with it, and count as one key.
func TestMemoryJournalKeepsAllOfAKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := youproxy.NewMemoryJournal()
		write(t, j, 5, func(i int, state youproxy.EntryState) youproxy.Entry { return anEntry(fmt.Sprint(i), "job", state) })
		time.Sleep(1000 * time.Hour)
		write(t, j, 10, func(i int, state youproxy.EntryState) youproxy.Entry {
			return anEntry(fmt.Sprint("other ", i), "", state)
		})
		assert.Len(t, entriesOf(t, j, youproxy.EntryQuery{Key: "job"}), 5)
	})
}

// But not for ever of one that is tried again and again.
func TestMemoryJournalForgetsAttemptsOfAKey(t *testing.T) {
	t.Parallel()
	large(t)
	inMarket(t, func(t *testing.T, m *market) {
		client := m.anotherClient(t)
		for range 500 {
			m.Refuse("POST /order", 14)
			_, err := buyIPv4.buy(t.Context(), m, client, job)
			require.ErrorIs(t, err, youproxy.ErrNotExecuted)
		}
		entries, _ := youproxy.KeptOf(client)
		assert.Equal(t, 100, entries)
		assert.Len(t, entriesOf(t, youproxy.JournalOf(client), youproxy.EntryQuery{Key: "job 17"}), 100)
		p, err := buyIPv4.buy(t.Context(), m, client, job)
		require.NoError(t, err)
		again, err := buyIPv4.buy(t.Context(), m, client, job)
		require.NoError(t, err)
		assertSameBought(t, p, again)
	})
}

// Of what has no key, it keeps 10,000 settled entries, for a day, and those of plain calls
// for an hour; longer only while an attempt is open that may have to be told from them.
func TestMemoryJournalForgetsSettledEntries(t *testing.T) {
	t.Parallel()
	large(t)
	synctest.Test(t, func(t *testing.T) {
		j := youproxy.NewMemoryJournal()
		one := func(i int, state youproxy.EntryState) youproxy.Entry {
			return anEntry(fmt.Sprint(time.Now(), i), "", state)
		}
		write(t, j, youproxy.MostRemaining+10, one)
		kept := entriesOf(t, j, ever)
		assert.Equal(t, youproxy.MostRemaining, len(kept)) //nolint:testifylint // else it prints them
		assert.True(t, strings.HasSuffix(kept[0].Attempt.ID, " 10"), "the oldest are dropped: %s", kept[0].Attempt.ID)
		time.Sleep(23 * time.Hour)
		write(t, j, 1, one)
		assert.Equal(t, youproxy.MostRemaining, len(entriesOf(t, j, ever))) //nolint:testifylint // else it prints them
		time.Sleep(time.Hour)
		write(t, j, 1, one)
		assert.Len(t, entriesOf(t, j, ever), 2)
	})
	for _, beside := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			j := youproxy.NewMemoryJournal()
			plain := func(i int, state youproxy.EntryState) youproxy.Entry {
				return aPlainEntry(fmt.Sprint(time.Now(), i), state)
			}
			write(t, j, 5, plain)
			time.Sleep(59 * time.Minute)
			unlock, err := j.Lock(t.Context())
			require.NoError(t, err)
			if beside {
				require.NoError(t, j.Record(t.Context(), anEntry("open", "", youproxy.EntryOpen)))
			}
			unlock()
			time.Sleep(2 * time.Minute)
			write(t, j, 1, plain)
			if beside {
				assert.Len(t, entriesOf(t, j, ever), 5+2)
			} else {
				assert.Len(t, entriesOf(t, j, ever), 1)
			}
		})
	}
}

// What the account held before an attempt is dropped when it is settled; that of an order
// whose id is not known, a day later.
func TestMemoryJournalDropsWhatWasHeldBefore(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeMobile, Country: "USA", Quantity: 1})
		time.Sleep(time.Hour)
		client := m.anotherClient(t)
		j := youproxy.JournalOf(client)
		p, err := b.buy(t.Context(), m, client, job)
		require.NoError(t, err)
		assert.NotEmpty(t, p.attempt.Before, "the caller may need it")
		held := func() bool {
			before := entriesOf(t, j, youproxy.EntryQuery{Key: "job 17"})[0].Attempt.Before
			assert.False(t, before.Balance.IsZero())
			return before.Orders != nil || before.Ends != nil || before.Beside != nil || before.Renewing != nil
		}
		if !b.isOrder() {
			assert.False(t, held())
			return
		}
		assert.True(t, held())
		other := buyIPv4 // whose list does not show the order
		if b.proxies == other.proxies {
			other = buyISP
		}
		time.Sleep(23 * time.Hour)
		_, err = other.buy(t.Context(), m, client)
		require.NoError(t, err)
		assert.True(t, held())
		time.Sleep(time.Hour)
		_, err = other.buy(t.Context(), m, client)
		require.NoError(t, err)
		assert.False(t, held())
	})
	inMarket(t, func(t *testing.T, m *market) {
		client := m.anotherClient(t)
		p, err := client.Buy(t.Context(), anIPv4Order(), buyIPv4.limit())
		require.NoError(t, err)
		_, err = client.WaitForProxies(t.Context(), p)
		require.NoError(t, err)
		assert.NotEmpty(t, p.Attempt.Before.Orders)
		entries := entriesOf(t, youproxy.JournalOf(client), ever)
		require.Len(t, entries, 1)
		assert.Equal(t, m.lastOrder().ID, entries[0].OrderID)
		assert.Nil(t, entries[0].Attempt.Before.Orders)
	})
}

// A caller that changes what it was given does not change the journal.
func TestMemoryJournalIsNotTheCallers(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		client := m.anotherClient(t)
		for i := range 3 {
			p, err := b.buy(t.Context(), m, client, job)
			require.NoError(t, err)
			assertMoney(t, b.price, *p.charged)
			if i == 0 {
				assert.NotContains(t, p.attempt.Before.Orders, youproxy.OrderID("changed"))
			}
			*p.charged = youproxy.MustMoney("99 USD")
			for i := range p.attempt.Before.Orders {
				p.attempt.Before.Orders[i] = "changed"
			}
			for i := range p.attempt.IPAddressIDs {
				p.attempt.IPAddressIDs[i] = "changed"
			}
			if p.Renewal != nil {
				assert.NotContains(t, p.IPAddressIDs, youproxy.IPAddressID("changed"))
				for i := range p.IPAddressIDs {
					p.IPAddressIDs[i] = "changed"
				}
			}
		}
		for _, e := range entriesOf(t, youproxy.JournalOf(client), ever) {
			assert.NotContains(t, fmt.Sprintf("%+v", e), "changed")
		}
	})
}

// A year of purchases leaves nothing behind but a day of them, and what a budget needs.
func TestMemoryJournalDoesNotGrow(t *testing.T) {
	t.Parallel()
	large(t)
	inMarket(t, func(t *testing.T, m *market) {
		client := m.anotherClient(t, youproxy.WithBudget(youproxy.MustMoney("1000 USD"), 10*24*time.Hour))
		for i := range 60 {
			m.Inject("POST /order", []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit}[i%2])
			_, err := buyIPv4.buy(t.Context(), m, client)
			assert.Equal(t, i%2 == 0, err == nil, "%v", err)
			_, err = client.CreateOrder(t.Context(), anIPv4Order())
			require.NoError(t, err)
			time.Sleep(24 * time.Hour)
			m.SetBalance(youproxy.MustMoney("100 USD"))
		}
		entries, charges := youproxy.KeptOf(client)
		watched, owed := youproxy.OpenOf(client)
		assert.LessOrEqual(t, entries, 4)
		assert.LessOrEqual(t, charges, 6)
		assert.Zero(t, watched)
		assert.Zero(t, owed)
	})
}

// Its sum is right at every moment.
func TestMemoryJournalSum(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := youproxy.NewMemoryJournal()
		youproxy.KeepFor(j, 10*time.Hour)
		states := []youproxy.EntryState{youproxy.EntryExecuted, youproxy.EntryDismissed, youproxy.EntryNotExecuted, youproxy.EntryOpen}
		var all []youproxy.Entry
		unlock, err := j.Lock(t.Context())
		require.NoError(t, err)
		defer unlock()
		for i := range 100 {
			e := anEntry(fmt.Sprint(i), "", youproxy.EntryOpen)
			e.Attempt.Price = youproxy.MustMoney(fmt.Sprintf("%d.0000001 USD", i%7))
			require.NoError(t, j.Record(t.Context(), e))
			if e.State = states[i%4]; e.State != youproxy.EntryOpen {
				e.SettledAt = time.Now()
				require.NoError(t, j.Record(t.Context(), e))
				require.NoError(t, j.Record(t.Context(), e), "it counts once")
			}
			all = append(all, e)
			for _, window := range []time.Duration{0, time.Hour, 5*time.Hour + 1, 10 * time.Hour} {
				since := time.Now().Add(-window)
				want := youproxy.MustMoney("0 USD")
				for _, e := range all {
					if e.State == youproxy.EntryOpen || e.State != youproxy.EntryNotExecuted && !e.SettledAt.Before(since) {
						want, err = want.Add(e.Attempt.Price)
						require.NoError(t, err)
					}
				}
				sum, err := youproxy.SumOf(j, since, "USD")
				require.NoError(t, err)
				require.True(t, want.Equal(sum), "%s, not %s", sum, want)
			}
			time.Sleep(37 * time.Minute)
		}
	})
}

// stubService answers what Buy asks, always the same.
func stubService(t testing.TB, opts ...youproxy.Option) *youproxy.Client {
	t.Helper()
	c, err := youproxy.New("key", append([]youproxy.Option{byStub(func(r *http.Request) (*http.Response, error) {
		switch opOf(r) {
		case "POST /calculate/order":
			return stubReply(r, 200, `{"success": true, "proxyType": "IPv4", "price": 1, "discount": 0, "balance": 10, "currency": "USD", "warnings": [], "error": null, "promoCodeStatus": null}`), nil
		case "GET /ipAddress":
			return stubReply(r, 200, `{"success": true, "error": null, "IPv4": []}`), nil
		}
		return stubReply(r, 200, strings.Replace(orderedReply, "4.57", "9", 1)), nil
	})}, opts...)...)
	require.NoError(t, err)
	return c
}

// A purchase costs as much after 10,000 others as after 10, with a budget and without.
func TestMemoryJournalCostsTheSame(t *testing.T) {
	large(t)
	if isRaceDetected() {
		t.Skip("the race detector allocates")
	}
	for _, opts := range [][]youproxy.Option{nil, {youproxy.WithBudget(youproxy.MustMoney("100000 USD"), 24*time.Hour)}} {
		for _, keyed := range []bool{false, true} {
			cost := func(earlier int) float64 {
				c := stubService(t, opts...)
				write(t, youproxy.JournalOf(c), earlier, func(i int, state youproxy.EntryState) youproxy.Entry {
					return anEntry(fmt.Sprint(i), strings.Repeat(fmt.Sprintf("job %d", i), map[bool]int{true: 1}[keyed]), state)
				})
				n := 0
				return testing.AllocsPerRun(50, func() {
					n++
					var opts []youproxy.SpendOption
					if keyed {
						opts = append(opts, youproxy.IdempotencyKey(fmt.Sprintf("new %d", n)))
					}
					_, err := c.Buy(t.Context(), anIPv4Order(), youproxy.MustMoney("1 USD"), opts...)
					require.NoError(t, err)
				})
			}
			few, many := cost(10), cost(10_000)
			assert.InDelta(t, few, many, few/50, "allocations after 10 and after 10,000 others, keys: %v", keyed)
		}
	}
}

// BenchmarkBuyAfterOthers is for the time that this takes.
func BenchmarkBuyAfterOthers(b *testing.B) {
	for _, earlier := range []int{10, 10_000} {
		b.Run(fmt.Sprint(earlier), func(b *testing.B) {
			c := stubService(b, youproxy.WithBudget(youproxy.MustMoney("1000000000 USD"), 24*time.Hour))
			write(b, youproxy.JournalOf(c), earlier, func(i int, state youproxy.EntryState) youproxy.Entry { return anEntry(fmt.Sprint(i), "", state) })
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Buy(b.Context(), anIPv4Order(), youproxy.MustMoney("1 USD")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
