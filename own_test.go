package youproxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// What a client sent itself, by whatever method, and lost sight of, is not taken
// for a purchase that was not executed.
func TestWhatWasSentBeforeIsNoPurchase(t *testing.T) {
	t.Parallel()
	recovering := func(f func()) {
		defer func() { _ = recover() }()
		f()
	}
	byHand := func(t *testing.T, m *market, b buying) error {
		body := map[string]any{
			"proxyType": b.proxies, "quantity": b.quantity, "rentPeriodDays": b.days, "country": b.country, "goal": "tests", "authType": "LOGIN",
		}
		if !b.isOrder() {
			body = map[string]any{"proxyType": b.proxies, "rentPeriodDays": b.days, "ipAddressIds": m.idsOf(m.ipv4.ID)}
		}
		return m.client.Call(t.Context(), http.MethodPost, strings.TrimPrefix(b.op, "POST "), nil, body, nil)
	}
	for _, tc := range []struct {
		name string
		send func(t *testing.T, m *market, b buying) error
	}{
		{"Call", byHand},
		{"the plain method", func(t *testing.T, m *market, b buying) error {
			if b.isOrder() {
				_, err := m.client.CreateOrder(t.Context(), b.order)
				return err
			}
			_, err := m.client.Extend(t.Context(), b.extend(m))
			return err
		}},
		{"a purchase whose observer panics", func(t *testing.T, m *market, b buying) error {
			c, err := m.client.With(youproxy.WithObserver(func(_ context.Context, e youproxy.CallEvent) {
				if e.Op == b.op {
					panic("observer")
				}
			}))
			require.NoError(t, err)
			recovering(func() { _, _ = b.buy(t.Context(), m, c) })
			return youproxy.ErrOutcomeUnknown
		}},
		{"a purchase that was given up", func(t *testing.T, m *market, b buying) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := b.buy(ctx, m, m.client)
			return err
		}},
	} {
		for _, b := range []buying{buyIPv4, buyISP, renewIPs} {
			t.Run(tc.name+"/"+b.name, func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					m.Inject(b.op, youproxytest.CommitLate)
					require.ErrorIs(t, tc.send(t, m, b), youproxy.ErrOutcomeUnknown)
					m.Inject(b.op, youproxytest.DropBeforeCommit)
					got, err := b.buy(t.Context(), m, m.client)
					assert.Nil(t, got, "it was not executed")
					assert.ErrorIs(t, err, youproxy.ErrUndetermined)
				}, youproxytest.WithCommitDelay(20*time.Second))
			})
		}
	}
}

// What a client sends after an attempt, and loses sight of, is not taken for the
// attempt's.
func TestWhatWasSentAfterIsNotTheAttempts(t *testing.T) {
	t.Parallel()
	for _, shape := range []youproxytest.ListShape{{}, {Extra: map[string]any{"orderNumber": nil}}} {
		for _, b := range []buying{buyIPv4, buyISP, renewIPs} {
			t.Run(fmt.Sprintf("%s, numbers %t", b.name, shape.Extra == nil), func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					m.SetListShape(shape)
					a := anAttemptOf(t, m, b, youproxytest.DropBeforeCommit)
					m.Inject(b.op, youproxytest.DropAfterCommit)
					if b.isOrder() {
						_, err := m.client.CreateOrder(t.Context(), b.order)
						require.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
					} else {
						_, err := m.client.Extend(t.Context(), b.extend(m))
						require.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
					}
					found, err := m.client.Reconcile(t.Context(), a)
					require.NoError(t, err)
					assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
				})
			})
		}
	}
}

// After a day a client has forgotten what it sent, and does not say then whose it
// is what the account shows.
func TestWhatIsForgotten(t *testing.T) {
	for _, b := range []buying{buyIPv4, renewIPs} {
		inMarket(t, func(t *testing.T, m *market) {
			m.SetListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil, "dateStart": nil}})
			a := anAttemptOf(t, m, b, youproxytest.DropBeforeCommit)
			if b.isOrder() {
				_, err := m.client.CreateOrder(t.Context(), b.order)
				require.NoError(t, err)
			} else {
				_, err := m.client.Extend(t.Context(), b.extend(m))
				require.NoError(t, err)
			}
			time.Sleep(25 * time.Hour)
			_, err := m.client.CreateOrder(t.Context(), youproxy.IPv4OrderRequest{Country: "XXX", Quantity: 1, RentPeriodDays: 30, Goal: "refused", AuthType: youproxy.AuthTypeLogin})
			require.Equal(t, youproxy.OutcomeRejected, youproxy.OutcomeOf(err))
			found, err := m.client.Reconcile(t.Context(), a)
			require.NoError(t, err)
			assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
		})
	}
}

func TestReconcileWithAnotherAccount(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: "USA", Quantity: 1}) // without any there is nothing to tell it by
		a := anAttemptOf(t, m, b, youproxytest.DropAfterCommit)
		other := youproxytest.NewServer(youproxytest.WithBalance(a.Before.Balance))
		defer other.Close()
		client, err := other.Client()
		require.NoError(t, err)
		time.Sleep(3 * time.Hour)
		found, err := client.Reconcile(t.Context(), a)
		require.NoError(t, err)
		assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
		if b.isOrder() {
			assert.Contains(t, found.Evidence.String(), "it may be another account")
		}
	})
}

// twice makes the list show everything under two spellings of its type, but for
// what is hidden.
func (m *market) twice(hidden youproxy.IPAddressID) {
	m.rewrite["GET /ipAddress"] = func(reply string) string {
		var list map[string]any
		if json.Unmarshal([]byte(reply), &list) != nil {
			return reply
		}
		again := make(map[string]any)
		for name, group := range list {
			records, ok := group.([]any)
			if !ok {
				again[name] = group
				continue
			}
			var kept []any
			for _, r := range records {
				if r.(map[string]any)["ipAddressId"] != string(hidden) {
					kept = append(kept, r)
				}
			}
			again[strings.ToUpper(name)], again[strings.ToLower(name)] = kept, kept
		}
		text, _ := json.Marshal(again)
		return string(text)
	}
}

func TestListsThatShowAProxyTwice(t *testing.T) {
	t.Parallel()
	t.Run("lost replies", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			m.twice("")
			m.Inject(b.op, youproxytest.DropAfterCommit)
			got, err := b.buy(t.Context(), m, m.client)
			assertRecovered(t, m, b, got, err)
			if b.isOrder() {
				proxies, err := m.client.WaitForProxies(t.Context(), got.Purchase)
				require.NoError(t, err)
				assert.Len(t, proxies, b.quantity)
			}
		})
	})
	t.Run("one is not there yet", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			m.twice(m.idsOf(m.lastOrder().ID)[1])
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err = m.client.WaitForProxies(ctx, purchase)
			assert.ErrorContains(t, err, "2 of 3 proxies came")
		})
	})
	t.Run("one is gone", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.Inject(renewIPs.op, youproxytest.DropAfterCommit)
			m.afterSend(renewIPs, func() { m.twice(m.idsOf(m.ipv4.ID)[1]) })
			renewal, err := m.client.Renew(t.Context(), renewIPs.extend(m), renewIPs.limit())
			assert.Nil(t, renewal)
			assert.ErrorIs(t, err, youproxy.ErrUndetermined)
		})
	})
}

// An order of another process that was placed just before, and shows only now, is
// not taken for the one whose reply was lost.
func TestAnOrderFromJustBeforeThatShowsFirst(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		var lock sync.Mutex
		locked := youproxy.WithSpendLock(func(context.Context) (func(), error) {
			lock.Lock()
			return lock.Unlock, nil
		})
		theirs, ours := m.anotherClient(t, locked), m.anotherClient(t, locked)
		_, err := theirs.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		m.Inject("POST /order", youproxytest.DropAfterCommit)
		purchase, err := ours.Buy(t.Context(), anISPOrder(), buyISP.limit())
		assert.Nil(t, purchase)
		assert.ErrorIs(t, err, youproxy.ErrUndetermined)
		assert.ErrorContains(t, err, "new orders: 2: ")
	}, youproxytest.WithProvisioningDelay(50*time.Second))
}

// An order that began before the attempt by the service's clock is the attempt's
// where no other one shows for the whole patience.
// A list tells milliseconds: an order of the same one is no order from before.
func TestALostReplyWithinAMillisecond(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		time.Sleep(1_234_567 * time.Nanosecond)
		m.Inject(b.op, youproxytest.DropAfterCommit)
		started := time.Now()
		got, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.True(t, got.recovered)
		assert.Zero(t, time.Since(started), "it shows at once")
	})
}

func TestAClockThatIsBehind(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		m.editList(func(r map[string]any) bool {
			if start, err := time.Parse(time.RFC3339, r["dateStart"].(string)); err == nil {
				r["dateStart"] = start.Add(-8 * time.Second).Format(time.RFC3339Nano)
			}
			return true
		})
		m.Inject("POST /order", youproxytest.DropAfterCommit)
		purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		assert.True(t, purchase.Recovered)
		assert.Equal(t, m.lastOrder().ID, purchase.OrderID)
	})
}

// What was recovered is known, and does not stand in the way of the next.
func TestLostRepliesOneAfterAnother(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		for range 3 {
			m.Inject(b.op, youproxytest.DropAfterCommit)
			got, err := b.buy(t.Context(), m, m.client)
			require.NoError(t, err)
			assert.True(t, got.recovered)
			m.Inject(b.op, youproxytest.DropBeforeCommit)
			_, err = b.buy(t.Context(), m, m.client)
			require.ErrorIs(t, err, youproxy.ErrNotExecuted)
		}
	}, youproxytest.WithBalance(youproxy.MustMoney("1000 USD")))
}

// The proxies of an order need not begin at the same time: the first counts.
func TestProxiesOfAnOrderThatBeginLater(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		records := 0
		m.editList(func(r map[string]any) bool {
			start, err := time.Parse(time.RFC3339, r["dateStart"].(string))
			if records++; err == nil && records%3 != 0 {
				r["dateStart"] = start.Add(time.Hour).Format(time.RFC3339Nano)
			}
			return true
		})
		m.Inject("POST /order", youproxytest.DropAfterCommit)
		purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		assert.True(t, purchase.Recovered)
	})
}

func TestAutomaticExtensionSwitchedOnSince(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		o := m.AddOrder(youproxytest.Order{
			ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: 2, RentPeriodDays: 30, CreatedAt: time.Now().Add(time.Minute - 30*24*time.Hour),
		})
		m.after["POST /extend"] = func() {
			_, err := m.anotherClient(t).SetAutoExtend(t.Context(), youproxy.AutoExtendOrdersRequest{
				ProxyType: o.ProxyType, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: 30, AutoExtend: true,
			})
			assert.NoError(t, err)
		}
		m.Inject("POST /extend", youproxytest.DropBeforeCommit)
		renewal, err := m.client.Renew(t.Context(), youproxy.ExtendIPsRequest{ProxyType: o.ProxyType, IPAddressIDs: m.idsOf(o.ID), RentPeriodDays: 30}, youproxy.MustMoney("10 USD"))
		assert.Nil(t, renewal)
		assert.ErrorIs(t, err, youproxy.ErrUndetermined)
		assert.ErrorContains(t, err, "the service may have extended some by itself")
	})
}

func TestARecorderThatIsTooSlow(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		client, err := m.client.With(youproxy.WithAttemptRecorder(func(context.Context, youproxy.Attempt) error {
			time.Sleep(2*time.Minute + time.Second)
			return nil
		}))
		require.NoError(t, err)
		got, err := b.buy(t.Context(), m, client)
		assert.Nil(t, got)
		assert.ErrorIs(t, err, youproxy.ErrNotExecuted)
		assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
		assert.ErrorContains(t, err, "took 2m1s")
		assert.Empty(t, m.sends())
	})
}

// The recorder gets an attempt of its own.
func TestARecorderThatChangesTheAttempt(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		client, err := m.client.With(youproxy.WithAttemptRecorder(func(ctx context.Context, a youproxy.Attempt) error {
			text, err := json.Marshal(a)
			require.NoError(t, err)
			clear(a.Before.Ends)
			clear(a.Before.Orders)
			a.Quantity = 0
			var before youproxy.Attempt
			require.NoError(t, json.Unmarshal(text, &before))
			return m.record(ctx, before)
		}))
		require.NoError(t, err)
		m.Inject(b.op, youproxytest.DropAfterCommit)
		got, err := b.buy(t.Context(), m, client)
		assertRecovered(t, m, b, got, err)
	})
}

// A purchase from within what a purchase calls would wait for itself.
func TestPurchasesWithinPurchases(t *testing.T) {
	for name, option := range map[string]func(within func(context.Context) error) youproxy.Option{
		"the recorder": func(within func(context.Context) error) youproxy.Option {
			return youproxy.WithAttemptRecorder(func(ctx context.Context, _ youproxy.Attempt) error { return within(ctx) })
		},
		"the lock": func(within func(context.Context) error) youproxy.Option {
			return youproxy.WithSpendLock(func(ctx context.Context) (func(), error) { return nil, within(ctx) })
		},
		"the observer": func(within func(context.Context) error) youproxy.Option {
			return youproxy.WithObserver(func(ctx context.Context, e youproxy.CallEvent) {
				if e.Op == "POST /order" {
					_ = within(ctx)
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				called := 0
				var client *youproxy.Client
				within := func(ctx context.Context) error {
					called++
					variant, err := client.With(youproxy.WithUserAgent("variant"))
					require.NoError(t, err)
					_, err = variant.CreateOrder(ctx, anISPOrder())
					require.ErrorContains(t, err, "would wait for itself")
					assert.ErrorIs(t, err, youproxy.ErrNotSent)
					_, err = m.anotherClient(t).Balance(ctx)
					assert.NoError(t, err)
					_, err = client.Balance(ctx)
					return err
				}
				client = m.anotherClient(t, option(within))
				purchase, err := client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				assert.NotNil(t, purchase.Order)
				assert.Equal(t, 1, called)
				_, err = client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				assert.NoError(t, err, "the turn is over")
			})
		})
	}
}

// The lock is given back before the next purchase takes it.
func TestTheLockIsGivenBackFirst(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		var mu sync.Mutex
		held := false
		client := m.anotherClient(t, youproxy.WithSpendLock(func(context.Context) (func(), error) {
			mu.Lock()
			defer mu.Unlock()
			assert.False(t, held)
			held = true
			return func() {
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				held = false
			}, nil
		}))
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				_, err := client.CreateOrder(t.Context(), anISPOrder())
				assert.NoError(t, err)
			})
		}
		all.Wait()
	})
}

// An error that a function of the caller's brings from another purchase tells
// nothing of this one.
func TestErrorsOfOtherPurchases(t *testing.T) {
	other := &youproxy.SpendError{Verdict: youproxy.VerdictUndetermined, Err: errors.New("of another one")}
	for name, option := range map[string]youproxy.Option{
		"the recorder": youproxy.WithAttemptRecorder(func(context.Context, youproxy.Attempt) error { return other }),
		"the lock":     youproxy.WithSpendLock(func(context.Context) (func(), error) { return nil, other }),
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				_, err := m.anotherClient(t, option).Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.ErrorContains(t, err, "of another one")
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
				assert.NotErrorIs(t, err, youproxy.ErrUndetermined)
				assert.NotErrorIs(t, err, youproxy.ErrOutcomeUnknown)
			})
		})
	}
}

func TestAQuoteWithoutABalance(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.rewrite[b.quoteOp()] = func(reply string) string {
			var quote map[string]any
			require.NoError(t, json.Unmarshal([]byte(reply), &quote))
			quote["balance"], quote["warnings"] = nil, nil
			text, err := json.Marshal(quote)
			require.NoError(t, err)
			return string(text)
		}
		_, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		m.SetBalance(youproxy.MustMoney("0.01 USD"))
		_, err = b.buy(t.Context(), m, m.client)
		require.ErrorIs(t, err, youproxy.ErrInsufficientFunds)
		assert.ErrorContains(t, err, "the balance of 0.01 USD is less")
		assert.Len(t, m.sends(), 1)
	})
}

func TestWaitForProxiesPastARefusal(t *testing.T) {
	for _, code := range []int{35, 99} {
		inMarket(t, func(t *testing.T, m *market) {
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			m.Refuse("GET /ipAddress", code)
			proxies, err := m.client.WaitForProxies(t.Context(), purchase)
			require.NoError(t, err)
			assert.Len(t, proxies, 3)
		})
	}
}

// A service that echoes the key, in whatever it says, does not bring it into
// errors or attempts.
func TestEchoesOfTheKey(t *testing.T) {
	t.Parallel()
	echo := func(name string) func(reply string) string {
		return func(reply string) string {
			var all map[string]any
			if json.Unmarshal([]byte(reply), &all) != nil {
				return reply
			}
			all[name] = youproxytest.DefaultAPIKey
			text, _ := json.Marshal(all)
			return string(text)
		}
	}
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.rewrite[b.quoteOp()] = echo("currency")
		_, err := b.buy(t.Context(), m, m.client)
		require.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
		assertNoSecrets(t, m, err)
		m.rewrite[b.quoteOp()] = nil

		ctx, cancel := context.WithCancelCause(t.Context())
		m.before["GET /balance"] = func() {
			if len(m.sends()) > 0 {
				cancel(errors.New("the caller's cause with " + youproxytest.DefaultAPIKey))
			}
		}
		m.Inject(b.op, youproxytest.DropBeforeCommit)
		_, err = b.buy(ctx, m, m.client)
		require.ErrorIs(t, err, youproxy.ErrUndetermined)
		require.ErrorContains(t, err, "the caller's cause")
		assertNoSecrets(t, m, err)
		delete(m.before, "GET /balance")

		m.rewrite["GET /balance"] = echo("currencyCode")
		_, err = b.buy(t.Context(), m, m.client)
		require.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
		assertNoSecrets(t, m, err)
		m.rewrite["GET /balance"] = nil

		for _, field := range []string{"orderId", "orderNumber", "country"} {
			m.Inject(b.op, youproxytest.DropAfterCommit)
			m.editList(func(r map[string]any) bool {
				r[field] = youproxytest.DefaultAPIKey
				return true
			})
			_, err = b.buy(t.Context(), m, m.client)
			if err != nil { // an order whose number alone is odd is found
				assertNoSecrets(t, m, err)
			}
			text, err := json.Marshal(m.recorded)
			require.NoError(t, err)
			assert.NotContains(t, string(text), youproxytest.DefaultAPIKey)
			delete(m.rewrite, "GET /ipAddress")
		}
	})
}
