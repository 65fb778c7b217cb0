package youproxy_test

import (
	"context"
	"encoding/json"
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

func TestWaitForProxies(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		for without, shape := range map[string]youproxytest.ListShape{
			"nothing":           {},
			"numbers":           noNumbers,
			"numbers and dates": {Extra: map[string]any{"orderNumber": nil, "dateStart": nil}},
		} {
			for _, b := range buyings[:4] {
				t.Run(fmt.Sprintf("%s, reply lost: %t, the list leaves out %s", b.name, lost, without), func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						if lost {
							m.Inject("POST /order", youproxytest.DropAfterCommit)
						}
						purchase, err := m.client.Buy(t.Context(), b.order, b.limit())
						require.NoError(t, err)
						order := m.lastOrder()
						m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: b.quantity + 1})
						proxies, err := m.client.WaitForProxies(t.Context(), purchase)
						require.NoError(t, err)
						var ids []youproxy.IPAddressID
						for _, p := range proxies {
							assert.Equal(t, order.ID, p.OrderID)
							assert.Equal(t, b.proxies, p.ProxyType)
							assert.Equal(t, b.country, p.Country)
							ids = append(ids, p.ID)
						}
						assert.Equal(t, m.idsOf(order.ID), ids)
						assert.Equal(t, order.ID, purchase.OrderID)
						assert.Equal(t, order.ID, m.entry(purchase.Attempt.ID).OrderID, "the journal has it as well")
						assert.Equal(t, []string{"POST /order"}, m.sends())
					}, youproxytest.WithProvisioningDelay(20*time.Second), youproxytest.WithListShape(shape))
				})
			}
		}
	}
}

func TestWaitForProxiesPauses(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		started := time.Now()
		var looks []int
		m.before["GET /ipAddress"] = func() { looks = append(looks, int(time.Since(started)/time.Second)) }
		proxies, err := m.client.WaitForProxies(t.Context(), purchase)
		require.NoError(t, err)
		assert.Len(t, proxies, 3)
		assert.Equal(t, []int{0, 1, 3, 7, 15, 30, 45, 60, 75, 90}, looks)
	}, youproxytest.WithProvisioningDelay(80*time.Second))
}

func TestWaitForProxiesUntilAllAreThere(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		forNumbers(t, func(t *testing.T, m *market, _ bool) {
			if lost {
				m.Inject("POST /order", youproxytest.DropAfterCommit)
			}
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			m.hides(func() youproxy.OrderID { return m.lastOrder().ID }, 2, time.Now().Add(25*time.Second))
			started := time.Now()
			proxies, err := m.client.WaitForProxies(t.Context(), purchase)
			require.NoError(t, err)
			assert.Len(t, proxies, 3)
			assert.Equal(t, 30*time.Second, time.Since(started))
		})
	}
	t.Run("one is not there yet, and the list shows the others twice", func(t *testing.T) {
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
}

// Its errors say that the purchase stands.
func TestWaitForProxiesEndsWithTheContext(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		arrange func(m *market)
		text    string
	}{
		{"none came", func(m *market) {
			m.hides(func() youproxy.OrderID { return m.lastOrder().ID }, 0, time.Now().Add(time.Hour))
		}, "youproxy: GET /ipAddress: the order stands, 0 of 3 proxies came: context deadline exceeded; the call spends nothing"},
		{"some came", func(m *market) {
			m.hides(func() youproxy.OrderID { return m.lastOrder().ID }, 2, time.Now().Add(time.Hour))
		}, "youproxy: GET /ipAddress: the order stands, 2 of 3 proxies came: context deadline exceeded; the call spends nothing"},
		{"the last look failed", func(m *market) {
			m.hides(func() youproxy.OrderID { return m.lastOrder().ID }, 1, time.Now().Add(time.Hour))
			started := time.Now()
			m.before["GET /ipAddress"] = func() {
				if time.Since(started) > 10*time.Second {
					m.Inject("GET /ipAddress", youproxytest.InternalError)
				}
			}
		}, "youproxy: GET /ipAddress: the order stands, 1 of 3 proxies came, and the last look failed: HTTP status 500: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				tc.arrange(m)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
				defer cancel()
				started := time.Now()
				proxies, err := m.client.WaitForProxies(ctx, purchase)
				assert.Nil(t, proxies)
				assert.Equal(t, 50*time.Second, time.Since(started))
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.ErrorContains(t, err, tc.text)
				assert.ErrorContains(t, err, "; the call spends nothing")
				assertHidesSecrets(t, m, err)

				clear(m.before)
				clear(m.rewrite)
				proxies, err = m.client.WaitForProxies(t.Context(), purchase)
				require.NoError(t, err, "it can be waited for again")
				assert.Len(t, proxies, 3)
			})
		})
	}
}

func TestWaitForProxiesPastFailures(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		m.Inject("GET /ipAddress", youproxytest.InternalError, youproxytest.HTMLPage, youproxytest.EchoKey, youproxytest.Truncated, youproxytest.EmptyReply)
		m.Refuse("GET /ipAddress", 35, 99)
		proxies, err := m.client.WaitForProxies(t.Context(), purchase)
		require.NoError(t, err)
		assert.Len(t, proxies, 3)
		assert.Empty(t, m.Pending())
	})
	inMarket(t, func(t *testing.T, m *market) { // a cache tells nothing
		purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		m.SetCache(youproxytest.Cache{MaxAge: time.Minute})
		m.warm(t, buyISP)
		time.Sleep(10 * time.Second)
		proxies, err := m.client.WaitForProxies(t.Context(), purchase)
		require.NoError(t, err)
		assert.Len(t, proxies, 3)
	}, youproxytest.WithProvisioningDelay(5*time.Second))
}

// To ask again would not help.
func TestWaitForProxiesRefused(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]error{2: youproxy.ErrInvalidAPIKey, 3: youproxy.ErrCallerNotAllowed, 4: youproxy.ErrIncorrectProxyType} {
		inMarket(t, func(t *testing.T, m *market) {
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			m.Refuse("GET /ipAddress", code)
			started := time.Now()
			_, err = m.client.WaitForProxies(t.Context(), purchase)
			var refused *youproxy.APIError
			require.ErrorAs(t, err, &refused)
			assert.ErrorIs(t, err, want)
			assert.ErrorContains(t, err, "the order stands")
			assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err), "it is no reason to buy again")
			assert.Zero(t, time.Since(started))
		})
	}
}

func TestWaitForProxiesOfNothing(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		renewal, err := m.client.Renew(t.Context(), renewIPs.extend(m), renewIPs.limit())
		require.NoError(t, err)
		purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		asked := len(m.ops())
		var none context.Context
		for name, wait := range map[string]func() ([]youproxy.Proxy, error){
			"no purchase": func() ([]youproxy.Proxy, error) { return m.client.WaitForProxies(t.Context(), nil) },
			"no attempt": func() ([]youproxy.Proxy, error) {
				return m.client.WaitForProxies(t.Context(), &youproxy.Purchase{OrderNumber: purchase.OrderNumber, OrderID: "1"})
			},
			"an extension": func() ([]youproxy.Proxy, error) {
				return m.client.WaitForProxies(t.Context(), &youproxy.Purchase{Attempt: renewal.Attempt})
			},
			"no client":    func() ([]youproxy.Proxy, error) { return (*youproxy.Client)(nil).WaitForProxies(t.Context(), purchase) },
			"empty client": func() ([]youproxy.Proxy, error) { return new(youproxy.Client).WaitForProxies(t.Context(), purchase) },
			"no context":   func() ([]youproxy.Proxy, error) { return m.client.WaitForProxies(none, purchase) },
		} {
			proxies, err := wait()
			assert.Nil(t, proxies, name)
			assert.ErrorIs(t, err, youproxy.ErrNotSent, name)
			assert.ErrorContains(t, err, "youproxy: GET /ipAddress: ", name)
		}
		assert.Len(t, m.ops(), asked)
	})
}

// waitsInVain waits for a purchase for a minute, and wants that it cannot be told.
func waitsInVain(t *testing.T, m *market, p *youproxy.Purchase) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	proxies, err := m.client.WaitForProxies(ctx, p)
	assert.Nil(t, proxies, "it cannot be told")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "the order stands")
	assert.Empty(t, p.OrderID)
	assert.Empty(t, m.entry(p.Attempt.ID).OrderID)
}

// Another order of the very same kind stands beside it, of somebody without the journal.
func TestWaitForProxiesBesideATwin(t *testing.T) {
	t.Parallel()
	for _, earlier := range []bool{true, false} {
		t.Run(fmt.Sprintf("in the list before it: %t", earlier), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				if earlier {
					m.before["POST /order"] = func() { buyISP.again(m) }
				} else {
					m.after1(buyISP, func() { buyISP.again(m) })
				}
				purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				clear(m.before)
				i := slices.IndexFunc(m.Orders(), func(o youproxytest.Order) bool { return o.Number == purchase.OrderNumber })
				own := m.Orders()[i]

				m.SetListShape(noNumbers)
				waitsInVain(t, m, purchase)

				m.SetListShape(youproxytest.ListShape{})
				proxies, err := m.client.WaitForProxies(t.Context(), purchase)
				require.NoError(t, err)
				assert.Equal(t, own.ID, purchase.OrderID)
				require.Len(t, proxies, 3)
				for _, p := range proxies {
					assert.Equal(t, own.Number, p.OrderNumber)
				}
			})
		})
	}
	t.Run("that is complete already", func(t *testing.T) {
		forNumbers(t, func(t *testing.T, m *market, numbers bool) {
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			own := m.lastOrder().ID
			buyISP.again(m)
			m.hides(func() youproxy.OrderID { return own }, 2, time.Now().Add(10*time.Minute))
			if !numbers {
				waitsInVain(t, m, purchase)
				return
			}
			proxies, err := m.client.WaitForProxies(t.Context(), purchase)
			require.NoError(t, err)
			assert.Len(t, proxies, 3)
			assert.Equal(t, own, proxies[0].OrderID)
		})
	})
}

// Where the list has no numbers, the journal tells the orders apart once one of them was
// waited for, also a day later and after a restart.
func TestWaitForProxiesBesideOthersOfTheJournal(t *testing.T) {
	t.Parallel()
	for _, later := range []time.Duration{0, 12 * time.Hour, 25 * time.Hour, 30 * time.Hour} {
		t.Run(later.String()+" later", func(t *testing.T) {
			forNumbers(t, func(t *testing.T, m *market, _ bool) {
				var purchases []*youproxy.Purchase
				for range 3 {
					p, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
					require.NoError(t, err)
					purchases = append(purchases, p)
					time.Sleep(time.Minute) // it is in the list by then
				}
				time.Sleep(later)
				m.client = m.withJournal(t)
				for i, p := range slices.Backward(purchases) { // the last one shows that the others came before
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					proxies, err := m.client.WaitForProxies(ctx, p)
					cancel()
					require.NoError(t, err, i)
					assert.Len(t, proxies, 3)
					assert.Equal(t, m.Orders()[len(m.opened.orders)+i].ID, p.OrderID)
					assert.Equal(t, p.OrderID, m.entry(p.Attempt.ID).OrderID)
				}
			}, youproxytest.WithProvisioningDelay(30*time.Second))
		})
	}
	t.Run("of which none was seen before the other", func(t *testing.T) {
		forNumbers(t, func(t *testing.T, m *market, numbers bool) {
			var purchases []*youproxy.Purchase
			for range 2 {
				p, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				purchases = append(purchases, p)
			}
			for i, p := range purchases {
				if !numbers {
					waitsInVain(t, m, p)
					continue
				}
				_, err := m.client.WaitForProxies(t.Context(), p)
				require.NoError(t, err)
				assert.Equal(t, m.Orders()[len(m.opened.orders)+i].ID, p.OrderID)
			}
		}, youproxytest.WithProvisioningDelay(30*time.Second))
	})
	t.Run("that was a plain call", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			_, err := m.client.CreateOrder(t.Context(), anISPOrder())
			require.NoError(t, err)
			time.Sleep(30 * time.Second)
			p, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			time.Sleep(time.Minute)
			waitsInVain(t, m, p)
		}, youproxytest.WithProvisioningDelay(time.Minute), youproxytest.WithListShape(noNumbers))
	})
}

// What was waited for is told apart from what is bought then.
func TestWaitingTellsOrdersApart(t *testing.T) {
	t.Parallel()
	for _, waited := range []bool{false, true} {
		t.Run(fmt.Sprint(waited), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				first, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				m.hides(func() youproxy.OrderID { return m.lastOrder().ID }, 0, time.Now())
				if waited {
					_, err = m.client.WaitForProxies(t.Context(), first)
					require.NoError(t, err)
				}
				one := m.lastOrder().ID
				hidden := time.Now().Add(time.Second) // from the snapshot of the second alone
				m.hides(func() youproxy.OrderID { return one }, 0, hidden)
				m.before["POST /order"] = func() { time.Sleep(2 * time.Second) }
				m.Inject("POST /order", youproxytest.DropAfterCommit)
				second, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				assert.True(t, second.Recovered)
				assert.Equal(t, map[bool]youproxy.OrderID{true: m.lastOrder().ID}[waited], second.OrderID)
			}, youproxytest.WithListShape(noNumbers))
		})
	}
}

// While the lock is taken, or the journal cannot be written, the order's id is owed, and
// noted at the next turn.
func TestWaitForProxiesOwesTheOrderID(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"the lock is taken", "the lock is broken", "the journal cannot be written"} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				broken := errors.New("the disk is full")
				repair := func() { m.journal.onLock, m.journal.onRecord = nil, m.record }
				switch name {
				case "the lock is taken":
					unlock, err := m.journal.Lock(t.Context())
					require.NoError(t, err)
					repair = unlock
				case "the lock is broken":
					m.journal.onLock = func(context.Context) error { return broken }
				default:
					m.journal.onRecord = func(context.Context, youproxy.Entry) error { return broken }
				}
				started := time.Now()
				proxies, err := m.client.WaitForProxies(t.Context(), purchase)
				require.NoError(t, err)
				assert.Len(t, proxies, 3)
				assert.LessOrEqual(t, time.Since(started), time.Second)
				assert.Equal(t, m.lastOrder().ID, purchase.OrderID)
				assert.Empty(t, m.entry(purchase.Attempt.ID).OrderID)
				repair()
				_, err = buyIPv4.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				e := m.entry(purchase.Attempt.ID)
				assert.Equal(t, purchase.OrderID, e.OrderID)
				assert.Equal(t, youproxy.EntryExecuted, e.State)
				assert.Empty(t, e.Attempt.Before.Orders, "nobody needs them any more")
			}, youproxytest.WithListShape(noNumbers))
		})
	}
}

// A purchase can be saved, and waited for later, by a client without the journal as well.
func TestWaitForProxiesOfASavedPurchase(t *testing.T) {
	t.Parallel()
	for _, later := range []time.Duration{0, 25 * time.Hour} {
		forNumbers(t, func(t *testing.T, m *market, _ bool) {
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			text, err := json.Marshal(purchase.Attempt)
			require.NoError(t, err)
			saved := youproxy.Purchase{OrderNumber: purchase.OrderNumber}
			require.NoError(t, json.Unmarshal(text, &saved.Attempt))
			time.Sleep(later)
			proxies, err := m.anotherClient(t).WaitForProxies(t.Context(), &saved)
			require.NoError(t, err)
			assert.Len(t, proxies, 3)
			assert.Equal(t, m.lastOrder().ID, saved.OrderID)
		})
	}
}

// So can one that a key gives back.
func TestWaitForProxiesOfAKey(t *testing.T) {
	t.Parallel()
	for _, later := range []time.Duration{0, 25 * time.Hour} {
		for _, beside := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s later, others beside it %t", later, beside), func(t *testing.T) {
				forNumbers(t, func(t *testing.T, m *market, _ bool) {
					_, err := buyISP.buy(t.Context(), m, m.client, youproxy.IdempotencyKey("job"))
					require.NoError(t, err)
					own := m.lastOrder().ID
					time.Sleep(time.Hour)
					if beside {
						_, err = buyISP.buy(t.Context(), m, m.client)
						require.NoError(t, err)
					}
					time.Sleep(later)
					client := m.withJournal(t)
					purchase, err := client.Buy(t.Context(), anISPOrder(), buyISP.limit(), youproxy.IdempotencyKey("job"))
					require.NoError(t, err)
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					proxies, err := client.WaitForProxies(ctx, purchase)
					if err != nil { // then it cannot be told
						assert.True(t, beside)
						assert.Empty(t, purchase.OrderID)
						return
					}
					assert.Len(t, proxies, 3)
					assert.Equal(t, own, purchase.OrderID)
				})
			})
		}
	}
}
