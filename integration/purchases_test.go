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

// buyerRole buys with the key of each command until that succeeds.
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
		return fmt.Errorf("%s was not bought: %w", args[0], err)
	}, nil
}

// shop is a fake service behind a front that counts the orders under way.
type shop struct {
	*youproxytest.Server
	front   *httptest.Server
	inside  atomic.Int32
	overlap atomic.Int32 // how often there was more than one
	ordered atomic.Int32
	onOrder func() // called when an order was executed, before its reply leaves
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

// keysOf returns how often each key was executed according to the journal.
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

// assertBoughtOnce compares the orders and the balance of the shop with the journal.
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

// Eight processes buy 500 times with one account. Each key is bought once, and there
// is one order at a time.
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

// crew are processes that buy in a shop, and are replaced when they are killed.
type crew struct {
	shop     *shop
	settings settings
	workers  []atomic.Pointer[child]
	killed   atomic.Int32
}

func (s *shop) crew(t *testing.T, c settings, processes int) *crew {
	t.Helper()
	all := &crew{shop: s, settings: c, workers: make([]atomic.Pointer[child], processes)}
	for n := range all.workers {
		all.workers[n].Store(s.buyer(t, c))
	}
	return all
}

// killOne kills any of the processes.
func (c *crew) killOne() {
	if c.workers[rand.IntN(len(c.workers))].Load().process.Process.Kill() == nil {
		c.killed.Add(1)
	}
}

// work has the process numbered n do jobs until none is left. A job whose process
// was killed goes back to the queue.
func (c *crew) work(t *testing.T, n int, jobs chan string, left *atomic.Int32) {
	for left.Load() > 0 {
		var job string
		select {
		case job = <-jobs:
		case <-time.After(100 * time.Millisecond):
			continue
		}
		if err := c.workers[n].Load().ask("buy " + job); err != nil {
			jobs <- job
			c.workers[n].Load().kill()
			c.workers[n].Store(c.shop.buyer(t, c.settings))
			continue
		}
		left.Add(-1)
	}
}

// harass kills processes and ends sessions of the database until stop is closed.
func (c *crew) harass(t *testing.T, db *databaseServer, database string, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(100+rand.IntN(400)) * time.Millisecond):
		}
		if rand.IntN(3) == 0 {
			db.endSessions(t, database)
		} else {
			c.killOne()
		}
	}
}

// Processes are killed and sessions are ended at any moment while they buy. Each key
// is bought once.
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
			var left atomic.Int32
			left.Store(purchases)
			crew := shop.crew(t, db.settings(database), processes)
			shop.onOrder = func() { // between the commit and the reply
				if rand.IntN(6) == 0 {
					crew.killOne()
				}
			}
			stop := make(chan struct{})
			var chaos, work sync.WaitGroup
			chaos.Go(func() { crew.harass(t, db, database, stop) })
			for n := range processes {
				work.Go(func() { crew.work(t, n, jobs, &left) })
			}
			work.Wait()
			close(stop)
			chaos.Wait()
			shop.onOrder = nil
			t.Logf("%d purchases, %d processes killed, %d orders sent", purchases, crew.killed.Load(), shop.ordered.Load())
			shop.assertBoughtOnce(t, db.journal(t, database), purchases)
		})
	}
}
