package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// buyerRole buys with the key that it is told, until that succeeds.
func buyerRole(c settings) (func(string, []string) error, error) {
	j, err := c.journal()
	if err != nil {
		return nil, err
	}
	client, err := youproxy.New(c.Key, youproxy.WithBaseURL(c.URL), youproxy.WithJournal(j),
		youproxy.WithTimeouts(youproxy.Timeouts{Spend: 2 * time.Second}), youproxy.WithReconcilePatience(time.Second))
	if err != nil {
		return nil, err
	}
	request := youproxy.IPv4OrderRequest{
		Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
	}
	return func(_ string, args []string) error {
		var err error
		for range 100 {
			if _, err = client.Buy(context.Background(), request, youproxy.MustMoney("10 USD"), youproxy.IdempotencyKey(args[0])); err == nil {
				return nil
			}
			time.Sleep(50 * time.Millisecond)
		}
		return fmt.Errorf("%s is not bought: %w", args[0], err)
	}, nil
}

// shop is a fake service in front of which it is counted how many orders are under way.
type shop struct {
	*youproxytest.Server
	front   *httptest.Server
	inside  atomic.Int32
	overlap atomic.Int32 // how often a second one was
	ordered atomic.Int32
	onOrder func() // once an order was executed, before its reply leaves
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{Server: youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney("10000 USD")))}
	t.Cleanup(s.Close)
	target, err := url.Parse(s.URL())
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if f := s.onOrder; f != nil && strings.HasSuffix(r.Request.URL.Path, "/order") && !strings.Contains(r.Request.URL.Path, "/calculate/") {
			f()
		}
		return nil
	}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) {}
	s.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/order") && !strings.Contains(r.URL.Path, "/calculate/") {
			if s.inside.Add(1) > 1 {
				s.overlap.Add(1)
			}
			defer s.inside.Add(-1)
			s.ordered.Add(1)
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.front.Close)
	return s
}

// buyer starts a process that buys in the shop.
func (s *shop) buyer(t *testing.T, c settings) *child {
	t.Helper()
	c.URL, c.Key = s.front.URL, s.APIKey()
	return startChild(t, "buyer", c)
}

// keysOf returns how often each key is executed in the journal.
func keysOf(t *testing.T, j youproxy.Journal) map[string]int {
	t.Helper()
	keys := make(map[string]int)
	for e, err := range j.Entries(t.Context(), youproxy.EntryQuery{Since: time.Unix(1, 0)}) {
		require.NoError(t, err)
		assert.NotEqual(t, youproxy.EntryOpen, e.State)
		if e.State == youproxy.EntryExecuted {
			keys[e.Attempt.Key]++
		}
	}
	return keys
}

// assertBoughtOnce holds the books of the shop against the keys.
func (s *shop) assertBoughtOnce(t *testing.T, j youproxy.Journal, keys int) {
	t.Helper()
	orders := s.Orders()
	assert.Len(t, orders, keys)
	total := s.Balance()
	for _, o := range orders {
		var err error
		total, err = total.Add(o.Price)
		require.NoError(t, err)
	}
	assert.Equal(t, "10000 USD", total.String())
	executed := keysOf(t, j)
	assert.Len(t, executed, keys)
	for key, times := range executed {
		assert.Equal(t, 1, times, key)
	}
}

// Eight processes buy 500 times with one account: each key once, one order at a time.
func TestSQLPurchases(t *testing.T) {
	const processes, purchases = 8, 500
	for kind, start := range databaseServers {
		t.Run(kind, func(t *testing.T) {
			db := start(t)
			database := db.database(t)
			shop := openShop(t)
			jobs := make(chan string, purchases+purchases/10)
			for n := range purchases {
				jobs <- fmt.Sprintf("job-%d", n)
				if n%10 == 0 { // a queue that hands a job out twice
					jobs <- fmt.Sprintf("job-%d", n)
				}
			}
			close(jobs)
			began := time.Now()
			var work sync.WaitGroup
			for range processes {
				p := shop.buyer(t, db.settings(database))
				work.Go(func() {
					for job := range jobs {
						p.tell(t, "buy "+job)
						assert.Equal(t, "ok", p.answer(t, 2*time.Minute))
					}
				})
			}
			work.Wait()
			t.Logf("%d purchases by %d processes in %s: %.0f a second", purchases, processes, time.Since(began).Round(time.Millisecond), purchases/time.Since(began).Seconds())
			assert.Zero(t, shop.overlap.Load(), "orders at the same time")
			assert.EqualValues(t, purchases, shop.ordered.Load())
			shop.assertBoughtOnce(t, db.journal(t, database), purchases)
		})
	}
}

// Processes are killed and sessions ended at any moment while they buy: each key once.
func TestSQLPurchasesOfKilledProcesses(t *testing.T) {
	const processes, purchases = 4, 40
	for kind, start := range databaseServers {
		t.Run(kind, func(t *testing.T) {
			db := start(t)
			database := db.database(t)
			shop := openShop(t)
			jobs := make(chan string, purchases)
			for n := range purchases {
				jobs <- fmt.Sprintf("job-%d", n)
			}
			var open atomic.Int32
			open.Store(purchases)
			var killed atomic.Int32
			workers := make([]atomic.Pointer[child], processes)
			for n := range workers {
				workers[n].Store(shop.buyer(t, db.settings(database)))
			}
			kill := func(n int) {
				if workers[n].Load().process.Process.Kill() == nil {
					killed.Add(1)
				}
			}
			shop.onOrder = func() { // between the commit and the reply
				if rand.IntN(6) == 0 {
					kill(rand.IntN(processes))
				}
			}
			stop := make(chan struct{})
			var chaos, work sync.WaitGroup
			chaos.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond):
					}
					if rand.IntN(3) == 0 {
						db.endSessions(t, database)
					} else {
						kill(rand.IntN(processes))
					}
				}
			})
			for n := range workers {
				w := &workers[n]
				work.Go(func() {
					for open.Load() > 0 {
						var job string
						select {
						case job = <-jobs:
						case <-time.After(100 * time.Millisecond):
							continue
						}
						if err := w.Load().ask("buy " + job); err != nil {
							jobs <- job // it is to be done again
							w.Load().kill()
							w.Store(shop.buyer(t, db.settings(database)))
							continue
						}
						open.Add(-1)
					}
				})
			}
			work.Wait()
			close(stop)
			chaos.Wait()
			shop.onOrder = nil
			t.Logf("%d purchases, %d processes killed, %d orders sent", purchases, killed.Load(), shop.ordered.Load())
			shop.assertBoughtOnce(t, db.journal(t, database), purchases)
		})
	}
}
