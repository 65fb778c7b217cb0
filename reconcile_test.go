package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// assertRecovered holds a purchase whose reply was lost against what all of them
// promise.
func assertRecovered(t *testing.T, m *market, b buying, got *bought, err error) {
	t.Helper()
	require.NoError(t, err)
	assertExecuted(t, m, b)
	assert.True(t, got.recovered)
	assertMoney(t, b.price, got.quote.Price)
	assert.Equal(t, b.promo != "", got.quote.PromoCodeStatus == youproxy.PromoCodeValid, "it is the quote that was had")
	require.NotNil(t, got.charged)
	assertMoney(t, b.price, *got.charged)
	assert.Equal(t, []youproxy.Attempt{got.attempt}, m.recorded)
	if b.isOrder() {
		assert.Nil(t, got.Order)
		assert.Equal(t, m.lastOrder().ID, got.OrderID)
	} else {
		assert.Nil(t, got.Extension)
	}
}

func TestLostReplies(t *testing.T) {
	t.Parallel()
	const patience = 2 * time.Minute
	for _, tc := range []struct {
		fault    youproxytest.Fault
		executed bool
		after    time.Duration // when that is known
		status   int
		matches  error
	}{
		{youproxytest.DropAfterCommit, true, 0, 0, nil},
		{youproxytest.Truncated, true, 0, 200, nil},
		{youproxytest.EmptyReply, true, 0, 200, nil},
		{youproxytest.Slow, true, 2 * time.Minute, 0, nil},
		{youproxytest.CommitLate, true, time.Minute, 0, nil},
		{youproxytest.DropBeforeCommit, false, patience, 0, nil},
		{youproxytest.BadGateway, false, patience, 502, nil},
		{youproxytest.ServiceUnavailable, false, patience, 503, nil},
		{youproxytest.InternalError, false, patience, 500, nil},
		{youproxytest.HTMLPage, false, patience, 200, nil},
		{youproxytest.Redirect, false, patience, 307, youproxy.ErrRedirect},
		{youproxytest.ServiceFault, false, patience, 0, youproxy.ErrServiceFault},
	} {
		t.Run(tc.fault.String(), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Inject(b.op, tc.fault)
				started := time.Now()
				got, err := b.buy(t.Context(), m, m.client)
				assert.Equal(t, tc.after, time.Since(started))
				if tc.executed {
					assertRecovered(t, m, b, got, err)
					assertAttempt(t, m, b, got.attempt, started)
					return
				}
				assert.Nil(t, got)
				assert.Equal(t, m.opened, m.ledger())
				failed := assertSpendError(t, m, err, youproxy.VerdictNotExecuted)
				assertAttempt(t, m, b, failed.Attempt, started)
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err), "in effect")
				assertStayed(t, m, b, failed.Evidence, started.Add(patience))
				if tc.matches != nil {
					assert.ErrorIs(t, err, tc.matches)
				}
				var refused *youproxy.APIError
				var lost *youproxy.CallError
				if tc.fault == youproxytest.ServiceFault {
					require.ErrorAs(t, err, &refused)
					assert.Equal(t, youproxy.ErrServiceFault, refused.Code)
					assert.Equal(t, b.op, refused.Op)
					return
				}
				require.ErrorAs(t, err, &lost)
				assert.Equal(t, tc.status, lost.HTTPStatus)
				assert.Equal(t, b.op, lost.Op)
			})
		})
	}
}

// assertStayed holds the evidence against an account that stayed as it was.
func assertStayed(t *testing.T, m *market, b buying, e youproxy.Evidence, at time.Time) {
	t.Helper()
	assert.NoError(t, e.Err)
	assert.True(t, at.Equal(e.At), "%s, not %s", e.At, at)
	assertMoney(t, m.opened.balance, *e.Balance)
	assertMoney(t, "0 USD", *e.Fell)
	assert.Empty(t, e.NewOrders)
	unmoved := 0
	if !b.isOrder() {
		unmoved = b.quantity
	}
	assert.Equal(t, []int{0, unmoved, 0}, []int{e.Moved, e.Unmoved, e.Otherwise})
}

func TestLooksGrowApart(t *testing.T) {
	for _, b := range []buying{buyIPv4, renewIPs} {
		inMarket(t, func(t *testing.T, m *market) {
			started := time.Now()
			var looks []int
			m.before["GET /ipAddress"] = func() { looks = append(looks, int(time.Since(started)/time.Second)) }
			m.Inject(b.op, youproxytest.DropBeforeCommit)
			_, err := b.buy(t.Context(), m, m.client)
			failed := assertSpendError(t, m, err, youproxy.VerdictNotExecuted)
			assert.Equal(t, []int{0, 0, 1, 3, 7, 15, 30, 45, 60, 75, 90, 105, 120}, looks, "the first is that of what was held before")
			assert.Equal(t, len(looks)-1, failed.Evidence.Looks)
		})
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	for _, patience := range []time.Duration{0, time.Nanosecond, 10 * time.Second, 5 * time.Minute} {
		t.Run(patience.String(), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Inject(b.op, youproxytest.DropBeforeCommit)
				started := time.Now()
				_, err := b.buy(t.Context(), m, m.client)
				assertSpendError(t, m, err, youproxy.VerdictNotExecuted)
				assert.Equal(t, patience, time.Since(started))

				m.Inject(b.op, youproxytest.DropAfterCommit)
				got, err := b.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				assert.True(t, got.recovered)
			}, youproxy.WithReconcilePatience(patience))
		})
	}
}

// The service may still execute what the client gave up on, so that the patience
// has to begin there.
func TestPatienceAfterATimeout(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		const late = 20 * time.Second
		inner := m.Transport()
		client, err := m.client.With(youproxy.WithHTTPClient(&http.Client{Transport: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			if opOf(r) != b.op {
				return inner.RoundTrip(r)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			<-r.Context().Done()
			time.AfterFunc(late, func() {
				again, err := http.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body))
				if !assert.NoError(t, err) {
					return
				}
				again.Header = r.Header
				if resp, err := inner.RoundTrip(again); assert.NoError(t, err) {
					_ = resp.Body.Close()
				}
			})
			return nil, r.Context().Err()
		})}))
		require.NoError(t, err)
		got, err := b.buy(t.Context(), m, client)
		time.Sleep(late)
		synctest.Wait()
		assertRecovered(t, m, b, got, err)
	})
}

func TestPatienceAfterASlowRecorder(t *testing.T) {
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		client, err := m.client.With(youproxy.WithAttemptRecorder(func(ctx context.Context, a youproxy.Attempt) error {
			time.Sleep(2 * time.Minute)
			return m.record(ctx, a)
		}))
		require.NoError(t, err)
		m.Inject(b.op, youproxytest.CommitLate)
		got, err := b.buy(t.Context(), m, client)
		time.Sleep(time.Hour) // it is executed by then at the latest
		assertRecovered(t, m, b, got, err)
	})
}

func TestProxiesThatAppearLater(t *testing.T) {
	for _, b := range buyings[:4] {
		t.Run(b.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.Inject(b.op, youproxytest.DropAfterCommit)
				started := time.Now()
				got, err := b.buy(t.Context(), m, m.client)
				assertRecovered(t, m, b, got, err)
				assert.Equal(t, 30*time.Second, time.Since(started))
			}, youproxytest.WithProvisioningDelay(20*time.Second))
		})
	}
}

// hides makes the list leave out all but some of the proxies of an order, for
// some time.
func (m *market) hides(order func() youproxy.OrderID, but int, until time.Time) {
	m.editList(func(record map[string]any) bool {
		if record["orderId"] != string(order()) || !time.Now().Before(until) {
			return true
		}
		return slices.Contains(m.idsOf(order())[:but], youproxy.IPAddressID(record["ipAddressId"].(string)))
	})
}

func TestProxiesThatAppearOneByOne(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		m.Inject("POST /order", youproxytest.Truncated)
		m.hides(func() youproxy.OrderID { return m.lastOrder().ID }, 2, time.Now().Add(50*time.Second))
		started := time.Now()
		got, err := buyISP.buy(t.Context(), m, m.client)
		assertRecovered(t, m, buyISP, got, err)
		assert.Equal(t, time.Minute, time.Since(started))
	})
}

// afterSend runs f as soon as the request of b has been dealt with.
func (m *market) afterSend(b buying, f func()) { m.after[b.op] = f }

func TestUndeterminedOrders(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		fault    youproxytest.Fault
		arrange  func(t *testing.T, m *market, b buying)
		options  []any
		evidence func(t *testing.T, m *market, b buying, e youproxy.Evidence)
		text     string
	}{
		{
			name: "somebody else ordered the same", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) { m.afterSend(b, func() { b.again(m) }) },
			evidence: func(t *testing.T, m *market, b buying, e youproxy.Evidence) {
				orders := m.Orders()[len(m.opened.orders):]
				require.Len(t, e.NewOrders, 2)
				for i, o := range orders {
					assert.Equal(t, youproxy.SeenOrder{
						ID: o.ID, Number: o.Number, Country: o.Country, Proxies: o.Quantity, Start: o.CreatedAt.UTC().Truncate(time.Millisecond),
					}, e.NewOrders[i])
				}
				assertMoney(t, b.price, *e.Fell)
			},
			text: "new orders: 2: ",
		},
		{
			name: "somebody else ordered the same, and this was not executed", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) { m.afterSend(b, func() { b.again(m) }) },
			text:    "new orders: 1: ",
		},
		{
			name: "somebody else ordered and paid the same long before, and it appears now", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() {
					m.AddOrder(youproxytest.Order{
						ProxyType: b.proxies, Country: b.country, Quantity: b.quantity, CreatedAt: time.Now().Add(-11 * time.Second),
					})
					m.SetBalance(less(m.Balance(), b.limit().Amount.String()))
				})
			},
		},
		{
			name: "somebody else ordered another quantity at the same price", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() {
					m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: b.quantity + 1})
					m.SetBalance(less(m.Balance(), b.limit().Amount.String()))
				})
			},
		},
		{
			name: "somebody else ordered for another country", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() {
					m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: map[bool]string{true: "GBR", false: "DEU"}[b.country != "GBR"], Quantity: b.quantity})
					m.SetBalance(less(m.Balance(), b.limit().Amount.String()))
				})
			},
		},
		{
			name: "somebody else ordered something else beside it", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() {
					m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: b.country, Quantity: b.quantity + 1})
				})
			},
			text: "new orders: 2: ",
		},
		{
			name: "the balance moved otherwise", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.SetBalance(less(m.Balance(), "0.01")) })
			},
			evidence: func(t *testing.T, m *market, b buying, e youproxy.Evidence) {
				assert.Len(t, e.NewOrders, 1)
				assertMoney(t, less(b.limit(), "-0.01").String(), *e.Fell)
				assertMoney(t, m.Balance().String(), *e.Balance)
			},
			text: "the balance fell by ",
		},
		{
			name: "the balance moved, and nothing was ordered", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.SetBalance(less(m.Balance(), "-5")) })
			},
			text: "the balance fell by -5 USD",
		},
		{
			name: "the balance moved for a while", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() {
					was := m.Balance()
					m.SetBalance(less(was, "1"))
					time.AfterFunc(10*time.Second, func() { m.SetBalance(was) })
				})
			},
			text: "; the balance is as it was; ",
		},
		{
			name: "the balance is in another currency", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.SetBalance(youproxy.MustMoney("50 EUR")) })
			},
			evidence: func(t *testing.T, _ *market, _ buying, e youproxy.Evidence) {
				assert.Nil(t, e.Fell)
				assertMoney(t, "50 EUR", *e.Balance)
			},
		},
		{
			name: "the balance is in another currency, and nothing was ordered", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.SetBalance(youproxy.MustMoney("100 EUR")) })
			},
		},
		{
			name: "its proxies do not appear", fault: youproxytest.DropAfterCommit,
			options: []any{youproxytest.WithProvisioningDelay(3 * time.Minute)},
			evidence: func(t *testing.T, _ *market, b buying, e youproxy.Evidence) {
				assert.Empty(t, e.NewOrders)
				assertMoney(t, b.price, *e.Fell)
				assert.Equal(t, 12, e.Looks)
			},
		},
		{
			name: "the list leaves the order's id out", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.SetListShape(youproxytest.ListShape{Extra: map[string]any{"orderId": nil}})
			},
		},
		{
			name: "the list is unreadable", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.Inject("GET /ipAddress", slices.Repeat(threeTimes(youproxytest.InternalError), 20)...) })
			},
			evidence: assertNoLook, text: "the account could not be read: HTTP status 500",
		},
		{
			name: "the list shows the key and nothing else", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.Inject("GET /ipAddress", slices.Repeat(threeTimes(youproxytest.EchoKey), 20)...) })
			},
			evidence: assertNoLook, text: "the account could not be read: HTTP status 404",
		},
		{
			name: "the list breaks off", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.Inject("GET /ipAddress", slices.Repeat(threeTimes(youproxytest.Truncated), 20)...) })
			},
			evidence: assertNoLook, text: "the account could not be read: ",
		},
		{
			name: "the list is refused", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.Refuse("GET /ipAddress", slices.Repeat([]int{3}, 20)...) })
			},
			evidence: assertNoLook, text: "the account could not be read: refused: ",
		},
		{
			name: "the balance is unreadable", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.Inject("GET /balance", slices.Repeat(threeTimes(youproxytest.InternalError), 20)...) })
			},
			evidence: assertNoLook, text: "the account could not be read: ",
		},
		{
			name: "the last look fails", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				started := time.Now()
				m.before["GET /balance"] = func() {
					if time.Since(started) >= 2*time.Minute {
						m.Refuse("GET /balance", 3)
					}
				}
			},
			evidence: func(t *testing.T, m *market, b buying, e youproxy.Evidence) {
				assert.ErrorIs(t, e.Err, youproxy.ErrCallerNotAllowed)
				assert.Equal(t, 11, e.Looks)
				assertMoney(t, "0 USD", *e.Fell)
			},
			text: "the balance is as it was; the account could not be read: ",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, b := range []buying{buyMobile, buyISP} {
				t.Run(b.name, func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						if tc.arrange != nil {
							tc.arrange(t, m, b)
						}
						m.Inject(b.op, tc.fault)
						started := time.Now()
						got, err := b.buy(t.Context(), m, m.client)
						assert.Nil(t, got)
						assert.InDelta(t, 121, time.Since(started).Seconds(), 1.5, "the whole patience")
						failed := assertSpendError(t, m, err, youproxy.VerdictUndetermined)
						if tc.evidence != nil {
							tc.evidence(t, m, b, failed.Evidence)
						}
						assert.ErrorContains(t, err, tc.text)
					}, tc.options...)
				})
			}
		})
	}
}

func assertNoLook(t *testing.T, _ *market, _ buying, e youproxy.Evidence) {
	t.Helper()
	assert.Zero(t, e.Looks)
	assert.Zero(t, e.At)
	assert.Nil(t, e.Balance)
	assert.Nil(t, e.Fell)
	assert.Error(t, e.Err)
}

func TestUndeterminedExtensions(t *testing.T) {
	t.Parallel()
	// extend extends some of what b is about, as somebody else would.
	extend := func(t *testing.T, m *market, b buying, days, proxies int) {
		of := m.ipv4.ID
		if b.op == "POST /extend/order" {
			of = m.ipv6.ID
		}
		_, err := m.anotherClient(t).Extend(t.Context(), youproxy.ExtendIPsRequest{
			ProxyType: b.proxies, IPAddressIDs: m.idsOf(of)[:proxies], RentPeriodDays: days,
		})
		assert.NoError(t, err)
	}
	for _, tc := range []struct {
		name     string
		fault    youproxytest.Fault
		arrange  func(t *testing.T, m *market, b buying)
		evidence func(t *testing.T, b buying, e youproxy.Evidence)
		text     string
		only     string // the one op where it is possible
	}{
		{
			name: "the end moved by another amount", fault: youproxytest.DropBeforeCommit,
			arrange: func(t *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.after = nil; extend(t, m, b, 360, b.quantity) })
			},
			evidence: func(t *testing.T, b buying, e youproxy.Evidence) {
				assert.Equal(t, []int{0, 0, b.quantity}, []int{e.Moved, e.Unmoved, e.Otherwise})
			},
			text: "were not, ",
		},
		{
			name: "the end moved twice", fault: youproxytest.DropAfterCommit,
			arrange: func(t *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.after = nil; extend(t, m, b, b.days, b.quantity) })
			},
			evidence: func(t *testing.T, b buying, e youproxy.Evidence) { assert.Equal(t, b.quantity, e.Otherwise) },
		},
		{
			name: "the end of some moved", fault: youproxytest.DropBeforeCommit, only: "POST /extend",
			arrange: func(t *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.after = nil; extend(t, m, b, b.days, 1) })
			},
			evidence: func(t *testing.T, b buying, e youproxy.Evidence) {
				assert.Equal(t, []int{1, 1, 0}, []int{e.Moved, e.Unmoved, e.Otherwise})
			},
			text: "of 2 proxies 1 were extended, 1 were not, 0 end otherwise",
		},
		{
			name: "a proxy vanished, the others were extended", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) { m.afterSend(b, func() { m.hideOne(b) }) },
			evidence: func(t *testing.T, b buying, e youproxy.Evidence) {
				assert.Equal(t, []int{b.quantity - 1, 0, 1}, []int{e.Moved, e.Unmoved, e.Otherwise})
			},
		},
		{
			name: "a proxy vanished, the others were not extended", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) { m.afterSend(b, func() { m.hideOne(b) }) },
			evidence: func(t *testing.T, b buying, e youproxy.Evidence) {
				assert.Equal(t, []int{0, b.quantity - 1, 1}, []int{e.Moved, e.Unmoved, e.Otherwise})
			},
		},
		{
			name: "the list does not tell the ends", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.SetListShape(youproxytest.ListShape{Extra: map[string]any{"dateEnd": nil}})
			},
		},
		{
			name: "the list does not tell the ends, and nothing was paid", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.SetListShape(youproxytest.ListShape{Extra: map[string]any{"dateEnd": nil}})
			},
		},
		{
			name: "the list does not tell the ends any more", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.SetListShape(youproxytest.ListShape{Extra: map[string]any{"dateEnd": nil}}) })
			},
		},
		{
			name: "the price was paid, but the ends did not move", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.SetBalance(less(m.Balance(), b.limit().Amount.String())) })
			},
			evidence: func(t *testing.T, b buying, e youproxy.Evidence) {
				assert.Equal(t, b.quantity, e.Unmoved)
				assertMoney(t, b.price, *e.Fell)
			},
		},
		{
			name: "the ends moved, but something else was paid", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.SetBalance(less(m.Balance(), "-50")) })
			},
			evidence: func(t *testing.T, b buying, e youproxy.Evidence) {
				assert.Equal(t, b.quantity, e.Moved)
				assertMoney(t, less(b.limit(), "50").String(), *e.Fell)
			},
		},
		{
			name: "something else was paid, and the ends did not move", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.SetBalance(less(m.Balance(), less(b.limit(), "-0.01").Amount.String())) })
			},
		},
		{
			name: "the balance is in another currency, and the ends did not move", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.SetBalance(youproxy.MustMoney("100 EUR")) })
			},
		},
		{
			name: "the list is unreadable", fault: youproxytest.DropAfterCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				m.afterSend(b, func() { m.Inject("GET /ipAddress", slices.Repeat(threeTimes(youproxytest.InternalError), 20)...) })
			},
			evidence: func(t *testing.T, b buying, e youproxy.Evidence) { assertNoLook(t, nil, b, e) },
			text:     "the account could not be read: HTTP status 500",
		},
		{
			name: "the last look fails", fault: youproxytest.DropBeforeCommit,
			arrange: func(_ *testing.T, m *market, b buying) {
				started := time.Now()
				m.before["GET /ipAddress"] = func() {
					if time.Since(started) >= 2*time.Minute {
						m.Refuse("GET /ipAddress", 3)
					}
				}
			},
			evidence: func(t *testing.T, b buying, e youproxy.Evidence) {
				assert.ErrorIs(t, e.Err, youproxy.ErrCallerNotAllowed)
				assert.Equal(t, b.quantity, e.Unmoved)
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, b := range buyings[4:] {
				if tc.only != "" && tc.only != b.op {
					continue
				}
				t.Run(b.name, func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						tc.arrange(t, m, b)
						m.Inject(b.op, tc.fault)
						started := time.Now()
						got, err := b.buy(t.Context(), m, m.client)
						assert.Nil(t, got)
						assert.InDelta(t, 121, time.Since(started).Seconds(), 1.5, "the whole patience")
						m.after = nil
						var failed *youproxy.SpendError
						require.ErrorAs(t, err, &failed)
						require.Equal(t, youproxy.VerdictUndetermined, failed.Verdict, "%v", err)
						assert.ErrorIs(t, err, youproxy.ErrUndetermined)
						assert.ErrorIs(t, err, youproxy.ErrOutcomeUnknown)
						if tc.evidence != nil {
							tc.evidence(t, b, failed.Evidence)
						}
						assert.ErrorContains(t, err, tc.text)
						assertNoSecrets(t, m, err)
					})
				})
			}
		})
	}
}

// A plain extension of unknown outcome, by proxies or by orders, may be executed
// while a renewal of the same proxies is under way: what the account shows then is
// not taken for the renewal's. One that is known to be done by then is no matter.
func TestRenewAfterAPlainExtension(t *testing.T) {
	t.Parallel()
	byIPs := func(m *market) youproxy.ExtendRequest {
		return youproxy.ExtendIPsRequest{ProxyType: m.ipv4.ProxyType, IPAddressIDs: m.idsOf(m.ipv4.ID), RentPeriodDays: 30}
	}
	byOrders := func(m *market) youproxy.ExtendRequest {
		return youproxy.ExtendOrdersRequest{ProxyType: m.ipv4.ProxyType, OrderIDs: []youproxy.OrderID{m.ipv4.ID}, RentPeriodDays: 30}
	}
	for _, plain := range []struct {
		name    string
		request func(*market) youproxy.ExtendRequest
		op      string
	}{{"by IPs", byIPs, "POST /extend"}, {"by orders", byOrders, "POST /extend/order"}} {
		for _, late := range []bool{false, true} {
			for _, again := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, late %t, and another time %t", plain.name, late, again), func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						if late {
							m.Inject(plain.op, youproxytest.CommitLate)
						}
						_, err := m.client.Extend(t.Context(), plain.request(m))
						require.Equal(t, late, youproxy.OutcomeOf(err) == youproxy.OutcomeUnknown, "%v", err)
						if again { // which does not make the first one known
							_, err := m.client.Extend(t.Context(), plain.request(m))
							require.NoError(t, err)
						}
						m.Inject("POST /extend", youproxytest.DropBeforeCommit)
						renewal, err := m.client.Renew(t.Context(), byIPs(m), youproxy.MustMoney("50 USD"))
						assert.Nil(t, renewal, "it was not executed")
						want := youproxy.ErrNotExecuted
						if late {
							want = youproxy.ErrUndetermined
						}
						assert.ErrorIs(t, err, want)
					}, youproxytest.WithCommitDelay(10*time.Second))
				})
			}
		}
	}
}

// hideOne makes the list leave out one of the proxies that b extends.
func (m *market) hideOne(b buying) {
	of := m.ipv4.ID
	if b.op == "POST /extend/order" {
		of = m.ipv6.ID
	}
	gone := string(m.idsOf(of)[1])
	m.editList(func(record map[string]any) bool { return record["ipAddressId"] != gone })
}

// Where the service may have extended the proxies by itself, their ends do not
// tell whether it was asked to.
func TestAutomaticExtensionInBetween(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault youproxytest.Fault
		ends  time.Duration // after the attempt
		want  youproxy.Verdict
		ended [3]int // moved, unmoved, otherwise
	}{
		{"by itself only", youproxytest.DropBeforeCommit, time.Minute, youproxy.VerdictUndetermined, [3]int{2, 0, 0}},
		{"by itself as well", youproxytest.CommitLate, 30 * time.Second, youproxy.VerdictUndetermined, [3]int{0, 0, 2}},
		{"before it was due", youproxytest.DropAfterCommit, time.Minute, youproxy.VerdictExecuted, [3]int{}},
		{"long before it was due", youproxytest.DropBeforeCommit, time.Hour, youproxy.VerdictNotExecuted, [3]int{0, 2, 0}},
		{"just about when it was due", youproxytest.DropAfterCommit, 5 * time.Second, youproxy.VerdictUndetermined, [3]int{2, 0, 0}},
	} {
		for _, byOrder := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, by order: %t", tc.name, byOrder), func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					o := m.AddOrder(youproxytest.Order{
						ProxyType: youproxy.ProxyTypeISP, Country: "USA", Quantity: 2,
						RentPeriodDays: 30, CreatedAt: time.Now().Add(tc.ends - 30*24*time.Hour),
					})
					_, err := m.client.SetAutoExtend(t.Context(), youproxy.AutoExtendOrdersRequest{
						ProxyType: o.ProxyType, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: 30, AutoExtend: true,
					})
					require.NoError(t, err)
					var req youproxy.ExtendRequest = youproxy.ExtendIPsRequest{ProxyType: o.ProxyType, IPAddressIDs: m.idsOf(o.ID), RentPeriodDays: 30}
					op := "POST /extend"
					if byOrder {
						req = youproxy.ExtendOrdersRequest{ProxyType: o.ProxyType, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: 30}
						op = "POST /extend/order"
					}
					m.Inject(op, tc.fault)
					renewal, err := m.client.Renew(t.Context(), req, youproxy.MustMoney("4.80 USD"))
					require.Len(t, m.recorded, 1)
					assert.ElementsMatch(t, m.idsOf(o.ID), m.recorded[0].Before.Renewing)
					if tc.want == youproxy.VerdictExecuted {
						require.NoError(t, err)
						assert.True(t, renewal.Recovered)
						assertMoney(t, "4.8 USD", *renewal.Charged)
						return
					}
					assert.Nil(t, renewal)
					failed := assertSpendError(t, m, err, tc.want)
					e := failed.Evidence
					ended := [3]int{e.Moved, e.Unmoved, e.Otherwise}
					assert.Equal(t, tc.ended, ended)
				})
			})
		}
	}
}

// What is ordered beside it does not matter to an extension.
func TestExtensionsBesideOrders(t *testing.T) {
	for _, b := range buyings[4:] {
		t.Run(b.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.afterSend(b, func() { m.AddOrder(youproxytest.Order{ProxyType: b.proxies, Country: "FRA", Quantity: 1}) })
				m.Inject(b.op, youproxytest.DropAfterCommit)
				got, err := b.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				assert.True(t, got.recovered)
				assertMoney(t, b.price, *got.charged)
			})
		})
	}
}

func TestLooksThatFailInBetween(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.afterSend(b, func() { m.Refuse("GET /ipAddress", 3, 3, 3) })
		m.Inject(b.op, youproxytest.DropAfterCommit)
		got, err := b.buy(t.Context(), m, m.client)
		assertRecovered(t, m, b, got, err)
	})
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.afterSend(b, func() { m.Refuse("GET /ipAddress", slices.Repeat([]int{3}, 11)...) })
		m.Inject(b.op, youproxytest.DropBeforeCommit)
		started := time.Now()
		_, err := b.buy(t.Context(), m, m.client)
		failed := assertSpendError(t, m, err, youproxy.VerdictNotExecuted)
		assert.Equal(t, 1, failed.Evidence.Looks, "the last one tells")
		assertStayed(t, m, b, failed.Evidence, started.Add(2*time.Minute))
	})
}

// The list names the numbers of orders, so that those this client placed before
// are not taken for the attempt's.
func TestOwnOrdersThatAreNotProvisionedYet(t *testing.T) {
	t.Parallel()
	const delay = 50 * time.Second
	first := map[string]func(t *testing.T, m *market){
		"Buy": func(t *testing.T, m *market) {
			_, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
		},
		"CreateOrder of a variant": func(t *testing.T, m *market) {
			variant, err := m.client.With(youproxy.WithUserAgent("variant/1"))
			require.NoError(t, err)
			_, err = variant.CreateOrder(t.Context(), anISPOrder())
			require.NoError(t, err)
		},
	}
	for name, place := range first {
		for _, apart := range []time.Duration{0, 9 * time.Second, 30 * time.Second} {
			for _, list := range []string{"with numbers", "newest first", "without numbers"} {
				numbers := list != "without numbers"
				for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
					t.Run(fmt.Sprintf("%s, %s apart, %s, %s", name, apart, list, fault), func(t *testing.T) {
						inMarket(t, func(t *testing.T, m *market) {
							if !numbers {
								m.SetListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}})
							}
							if list == "newest first" {
								m.reverseList()
							}
							place(t, m)
							one := m.lastOrder()
							time.Sleep(apart)
							m.recorded = nil
							m.Inject("POST /order", fault)
							purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
							two := m.lastOrder()
							require.Len(t, m.recorded, 1)
							assert.Equal(t, []youproxy.OrderNumber{one.Number}, m.recorded[0].Before.Unseen)
							assert.NotContains(t, m.recorded[0].Before.Orders, one.ID)

							found, reconcileErr := m.anotherClient(t, youproxy.WithMiddleware(m.around)).Reconcile(t.Context(), m.recorded[0])
							require.NoError(t, reconcileErr)
							switch {
							case !numbers:
								assert.Nil(t, purchase)
								assert.ErrorIs(t, err, youproxy.ErrUndetermined)
								assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
							case fault == youproxytest.DropBeforeCommit:
								assert.ErrorIs(t, err, youproxy.ErrNotExecuted)
								assert.Equal(t, one, two)
								assert.Equal(t, youproxy.VerdictNotExecuted, found.Verdict)
							default:
								require.NoError(t, err)
								assert.True(t, purchase.Recovered)
								assert.NotEqual(t, one.ID, two.ID)
								assert.Equal(t, two.ID, purchase.OrderID)
								assertMoney(t, "7.2 USD", *purchase.Charged)
								require.Equal(t, youproxy.VerdictExecuted, found.Verdict)
								assert.Equal(t, two.ID, found.Purchase.OrderID)
							}
						}, youproxytest.WithProvisioningDelay(delay))
					})
				}
			}
		}
	}
}

// An order whose reply was lost as well, and that nobody waited for, is no less an
// earlier one.
func TestOwnOrdersOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(context.Context, *youproxy.Client) error{
		"Buy": func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.Buy(ctx, anISPOrder(), buyISP.limit())
			return err
		},
		"CreateOrder": func(ctx context.Context, c *youproxy.Client) error {
			_, err := c.CreateOrder(ctx, anISPOrder())
			return err
		},
	} {
		for _, lost := range []bool{true, false} {
			for _, numbers := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s, second reply lost: %t, numbers: %t", name, lost, numbers), func(t *testing.T) {
					inMarket(t, func(t *testing.T, m *market) {
						if !numbers {
							m.SetListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}})
						}
						m.Inject("POST /order", youproxytest.DropAfterCommit)
						started := time.Now()
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						defer cancel()
						require.ErrorIs(t, place(ctx, m.client), youproxy.ErrOutcomeUnknown)
						time.Sleep(time.Until(started.Add(9 * time.Second))) // so that a look sees the first alone
						one := m.lastOrder().ID
						if lost {
							m.Inject("POST /order", youproxytest.DropAfterCommit)
						}
						purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
						two := m.lastOrder().ID
						require.NotEqual(t, one, two)
						if err != nil {
							assert.ErrorIs(t, err, youproxy.ErrUndetermined)
							return
						}
						assert.NotEqual(t, one, purchase.OrderID)
						ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
						defer cancel()
						proxies, _ := m.client.WaitForProxies(ctx, purchase)
						for _, p := range proxies {
							require.Equal(t, two, p.OrderID)
						}
					}, youproxytest.WithProvisioningDelay(50*time.Second))
				})
			}
		}
	}
}

func TestOwnOrdersAreForgottenOnceSeen(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		for _, o := range []youproxy.OrderRequest{anISPOrder(), anIPv4Order()} {
			_, err := m.client.Buy(t.Context(), o, youproxy.MustMoney("50 USD"))
			require.NoError(t, err)
		}
		unseen := m.lastOrder().Number
		buy := func(o youproxy.OrderRequest) []youproxy.OrderNumber {
			_, err := m.client.Buy(t.Context(), o, youproxy.MustMoney("50 USD"))
			require.NoError(t, err)
			return m.recorded[len(m.recorded)-1].Before.Unseen
		}
		assert.Equal(t, []youproxy.OrderNumber{unseen}, buy(anIPv4Order()), "those of that type")
		assert.Empty(t, buy(aMobileOrder()))
		time.Sleep(time.Minute)
		assert.Empty(t, buy(anIPv4Order()), "the list shows them by now")
	}, youproxytest.WithProvisioningDelay(time.Minute))
	inMarket(t, func(t *testing.T, m *market) {
		for _, want := range []int{0, 1, 2} {
			_, err := buyIPv4.buy(t.Context(), m, m.client)
			require.NoError(t, err)
			assert.Len(t, m.recorded[want].Before.Unseen, want)
		}
		time.Sleep(time.Hour + time.Second)
		_, err := buyIPv4.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assert.Empty(t, m.recorded[3].Before.Unseen, "a list without numbers never shows them")
	}, youproxytest.WithListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}}))
}

// Whatever the shape of the list, a lost order is found.
func TestLostRepliesInEveryShapeOfTheList(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string]youproxytest.ListShape{
		"flat":                     {Flat: true},
		"by order":                 {Orders: true, OrdersKey: "list"},
		"short names and numbers":  {ShortNames: true, NumericIDs: true},
		"sparse":                   {Sparse: true, PortInIP: true},
		"without numbers":          {Extra: map[string]any{"orderNumber": nil}},
		"without start":            {Extra: map[string]any{"dateStart": nil}},
		"with names for countries": {Extra: map[string]any{"country": "Somewhere"}},
	} {
		t.Run(name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Inject(b.op, youproxytest.DropAfterCommit)
				got, err := b.buy(t.Context(), m, m.client)
				assertRecovered(t, m, b, got, err)
			}, youproxytest.WithListShape(shape))
		})
	}
}

// Where an order costs nothing, the balance does not tell that it was not
// executed.
func TestOrdersThatCostNothing(t *testing.T) {
	req := change(anIPv4Order(), func(r *youproxy.IPv4OrderRequest) { r.PromoCode = "GIFT" })
	limit := youproxy.MustMoney("0 USD")
	for fault, want := range map[youproxytest.Fault]youproxy.Verdict{
		0: youproxy.VerdictExecuted, youproxytest.DropAfterCommit: youproxy.VerdictExecuted, youproxytest.DropBeforeCommit: youproxy.VerdictUndetermined,
	} {
		t.Run(fault.String(), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				if fault != 0 {
					m.Inject("POST /order", fault)
				}
				purchase, err := m.client.Buy(t.Context(), req, limit)
				if want == youproxy.VerdictUndetermined {
					assertSpendError(t, m, err, want)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, fault != 0, purchase.Recovered)
				assertMoney(t, "0 USD", *purchase.Charged)
			})
		})
	}
	for fault, executed := range map[youproxytest.Fault]bool{youproxytest.DropAfterCommit: true, youproxytest.DropBeforeCommit: false} {
		t.Run("extension, "+fault.String(), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				x := renewIPs.extend(m).(youproxy.ExtendIPsRequest)
				x.PromoCode = "GIFT"
				m.Inject("POST /extend", fault)
				renewal, err := m.client.Renew(t.Context(), x, limit)
				if !executed {
					assertSpendError(t, m, err, youproxy.VerdictNotExecuted)
					return
				}
				require.NoError(t, err)
				assert.True(t, renewal.Recovered)
			})
		})
	}
}

// anAttemptOf gives one of b whose outcome was not heard of.
func anAttemptOf(t *testing.T, m *market, b buying, fault youproxytest.Fault) youproxy.Attempt {
	t.Helper()
	m.Inject(b.op, fault)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var spendLost bool
	m.before["GET /ipAddress"] = func() {
		if spendLost {
			cancel()
		}
	}
	m.after[b.op] = func() { spendLost = true }
	_, err := b.buy(ctx, m, m.client)
	clear(m.before)
	clear(m.after)
	return assertSpendError(t, m, err, youproxy.VerdictUndetermined).Attempt
}

func TestReconcile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		fault youproxytest.Fault
		want  youproxy.Verdict
		later time.Duration // when it is asked
		takes time.Duration
	}{
		{youproxytest.DropAfterCommit, youproxy.VerdictExecuted, 0, 0},
		{youproxytest.DropAfterCommit, youproxy.VerdictExecuted, 3 * time.Hour, 0},
		{youproxytest.DropBeforeCommit, youproxy.VerdictNotExecuted, time.Minute, 2 * time.Minute},
		{youproxytest.DropBeforeCommit, youproxy.VerdictNotExecuted, 5 * time.Minute, time.Minute}, // the spend timeout is 2 minutes
		{youproxytest.DropBeforeCommit, youproxy.VerdictNotExecuted, 6 * time.Minute, 0},
		{youproxytest.DropBeforeCommit, youproxy.VerdictNotExecuted, 3 * time.Hour, 0},
	} {
		t.Run(fmt.Sprintf("%s %s later", tc.fault, tc.later), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				a := anAttemptOf(t, m, b, tc.fault)
				before := m.ledger()
				time.Sleep(time.Until(a.At.Add(tc.later)))
				asked := len(m.ops())
				started := time.Now()
				found, err := m.anotherClient(t).Reconcile(t.Context(), a)
				require.NoError(t, err)
				require.Equal(t, tc.want, found.Verdict)
				assert.Equal(t, tc.takes, time.Since(started).Round(time.Second))
				assert.Equal(t, before, m.ledger(), "it spends nothing")
				assert.Equal(t, []string{b.op}, m.sends())
				assert.Equal(t, []string{"GET /balance", "GET /ipAddress"}, slices.Compact(slices.Sorted(slices.Values(m.ops()[asked:]))))
				assert.NoError(t, found.Evidence.Err)
				assert.Positive(t, found.Evidence.Looks)
				assert.Equal(t, tc.want == youproxy.VerdictExecuted && b.isOrder(), found.Purchase != nil)
				assert.Equal(t, tc.want == youproxy.VerdictExecuted && !b.isOrder(), found.Renewal != nil)
				var got *bought
				switch {
				case found.Purchase != nil:
					got, _ = asBought(found.Purchase, nil)
					assert.Equal(t, m.lastOrder().ID, got.OrderID)
					assert.Nil(t, got.Order)
				case found.Renewal != nil:
					got, _ = asRenewed(found.Renewal, nil)
					assert.Nil(t, got.Extension)
				default:
					return
				}
				assert.True(t, got.recovered)
				assert.Equal(t, a, got.attempt)
				assertMoney(t, b.price, *got.charged)
				assertMoney(t, b.price, got.quote.Price)
				assert.Equal(t, b.proxies, got.quote.ProxyType)
			})
		})
	}
}

// The outcome of an attempt is not known the better because it could not be looked
// for: nothing may say that nothing was sent.
func TestReconcileThatCannotLook(t *testing.T) {
	t.Parallel()
	errLock := errors.New("the lock is broken")
	for _, tc := range []struct {
		name    string
		arrange func(m *market)
		option  youproxy.Option
		after   time.Duration // when ctx ends; 0: before
		want    error
	}{
		{name: "a context that is over", want: context.DeadlineExceeded},
		{name: "a context that ends", after: 5 * time.Second, want: context.DeadlineExceeded},
		{name: "a context that ends in a look", after: 5 * time.Second, want: context.DeadlineExceeded, arrange: func(m *market) {
			m.Inject("GET /ipAddress", youproxytest.Slow)
		}},
		{name: "a lock that is not had", after: time.Hour, want: errLock, option: youproxy.WithSpendLock(func(context.Context) (func(), error) {
			return nil, errLock
		})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				a := anAttemptOf(t, m, b, youproxytest.DropAfterCommit)
				m.editList(func(map[string]any) bool { return false }) // else it would show at once
				client := m.client
				if tc.option != nil {
					var err error
					client, err = client.With(tc.option)
					require.NoError(t, err)
				}
				if tc.arrange != nil {
					tc.arrange(m)
				}
				ctx, cancel := context.WithTimeout(t.Context(), tc.after)
				defer cancel()
				started := time.Now()
				found, err := client.Reconcile(ctx, a)
				if tc.after < time.Hour {
					assert.Equal(t, tc.after, time.Since(started), "it ends at once")
				}
				require.ErrorIs(t, err, tc.want)
				require.NotNil(t, found)
				assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
				assert.Nil(t, found.Purchase)
				assert.Nil(t, found.Renewal)
				assert.ErrorIs(t, found.Evidence.Err, tc.want)
				assert.NotErrorIs(t, found.Evidence.Err, youproxy.ErrNotSent)
				assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err), "%v", err)
				assert.NotErrorIs(t, err, youproxy.ErrNotSent)
				assert.NotContains(t, err.Error(), "nothing was s")
				assertNoSecrets(t, m, err, found.Evidence)
			})
		})
	}
}

// What was bought after an attempt is not the attempt's: it was heard of, or is
// too late.
func TestReconcileAfterBuyingTheSameAgain(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		later     time.Duration
		restarted bool
		shape     youproxytest.ListShape
	}{
		{name: "just after", later: 10 * time.Second},
		{name: "just after, without numbers", later: 10 * time.Second, shape: youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}}},
		{name: "an hour later", later: time.Hour},
		{name: "an hour later, after a restart", later: time.Hour, restarted: true},
	} {
		for _, b := range buyings[:4] {
			t.Run(tc.name+", "+b.name, func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					a := anAttemptOf(t, m, b, youproxytest.DropBeforeCommit)
					time.Sleep(tc.later)
					client := m.client
					_, err := b.buy(t.Context(), m, client)
					require.NoError(t, err)
					if tc.restarted {
						client = m.anotherClient(t)
					}
					found, err := client.Reconcile(t.Context(), a)
					require.NoError(t, err)
					assert.NotEqual(t, youproxy.VerdictExecuted, found.Verdict, "it was not executed")
				}, youproxytest.WithListShape(tc.shape))
			})
		}
	}
}

// A clock that was ahead makes no purchase wait for it.
func TestReconcileOfAnAttemptFromTheFuture(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		a := anAttemptOf(t, m, buyIPv4, youproxytest.DropBeforeCommit)
		a.At = a.At.Add(24 * time.Hour)
		started := time.Now()
		_, err := m.client.Reconcile(t.Context(), a)
		require.NoError(t, err)
		assert.LessOrEqual(t, time.Since(started), 2*time.Minute)
	})
}

func TestVerdict(t *testing.T) {
	for v, want := range map[youproxy.Verdict]string{
		youproxy.VerdictUndetermined: "undetermined", youproxy.VerdictExecuted: "executed", youproxy.VerdictNotExecuted: "not executed", 99: "undetermined",
	} {
		assert.Equal(t, want, v.String())
	}
	assert.Zero(t, youproxy.VerdictUndetermined, "what is not set is not known")
}

func TestEvidenceText(t *testing.T) {
	fell := youproxy.MustMoney("7.2 USD")
	many := make([]youproxy.SeenOrder, 7)
	for i := range many {
		many[i] = youproxy.SeenOrder{ID: youproxy.OrderID(fmt.Sprint("o", i)), Proxies: i}
	}
	for _, tc := range []struct {
		name string
		e    youproxy.Evidence
		want string
	}{
		{"none", youproxy.Evidence{}, ""},
		{"no look that succeeded", youproxy.Evidence{Fell: &fell, Err: errors.New("no route\nto host")}, "the account could not be read: no route\nto host"},
		{"a look", youproxy.Evidence{Looks: 1, Fell: &fell}, "the balance fell by 7.2 USD"},
		{"a balance that stayed", youproxy.Evidence{Looks: 1, Fell: new(youproxy.MustMoney("0.00 USD"))}, "the balance is as it was"},
		{"an order", youproxy.Evidence{Looks: 1, NewOrders: many[3:4]}, "new orders: 1: o3 (3 proxies)"},
		{"many orders", youproxy.Evidence{Looks: 1, NewOrders: many}, "new orders: 7: o0 (0 proxies), o1 (1 proxies), o2 (2 proxies), o3 (3 proxies), o4 (4 proxies)"},
		{"an odd id", youproxy.Evidence{Looks: 1, NewOrders: []youproxy.SeenOrder{{ID: "a\nb", Proxies: 1}}}, `new orders: 1: "a\nb" (1 proxies)`},
		{"ends", youproxy.Evidence{Looks: 1, Moved: 1, Unmoved: 2, Otherwise: 3}, "of 6 proxies 1 were extended, 2 were not, 3 end otherwise"},
		{"all", youproxy.Evidence{Looks: 2, Fell: &fell, Moved: 1, Err: io.EOF}, "the balance fell by 7.2 USD; of 1 proxies 1 were extended, 0 were not, 0 end otherwise; the account could not be read: EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) { assert.Equal(t, tc.want, tc.e.String()) })
	}
}

func TestSpendErrorText(t *testing.T) {
	a := anAttempt()
	what := "youproxy: order of 3 x ISP for 30 days at 7.2 USD, attempt ATTEMPT1 at 2026-01-02T03:04:05Z"
	fell := youproxy.MustMoney("7.2 USD")
	for _, tc := range []struct {
		name string
		err  *youproxy.SpendError
		want string
	}{
		{"no cause", &youproxy.SpendError{Attempt: a}, what + "; money may have been spent: look at the account, or reconcile the attempt, before buying again"},
		{
			"undetermined", &youproxy.SpendError{Attempt: a, Err: io.ErrUnexpectedEOF, Evidence: youproxy.Evidence{Looks: 1, Fell: &fell}},
			what + ": unexpected EOF; the balance fell by 7.2 USD; money may have been spent: look at the account, or reconcile the attempt, before buying again",
		},
		{
			"not executed", &youproxy.SpendError{Attempt: a, Verdict: youproxy.VerdictNotExecuted, Err: &youproxy.APIError{Op: "POST /order", Code: 14}},
			what + ": refused: incorrect goal (code 14); it was not executed, nothing was spent",
		},
		{"executed", &youproxy.SpendError{Attempt: a, Verdict: youproxy.VerdictExecuted, Err: youproxy.ErrChargedAboveLimit}, what + ": more than the limit was charged; it was executed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			assert.EqualError(t, tc.err, tc.want)
			assert.Equal(t, tc.err.Err == nil, errors.Unwrap(tc.err) == nil)
			if tc.err.Err != nil {
				assert.ErrorIs(t, tc.err, tc.err.Err)
				assert.EqualError(t, errors.Unwrap(tc.err), tc.err.Err.Error())
			}
		})
	}
}

// The verdict is later knowledge than what the call ended with.
func TestSpendErrorMatches(t *testing.T) {
	for _, cause := range []error{
		nil, youproxy.ErrOutcomeUnknown, youproxy.ErrNotSent, &youproxy.CallError{Outcome: youproxy.OutcomeNotSent}, &youproxy.CallError{},
		&youproxy.CallError{Outcome: youproxy.OutcomeRejected, Err: context.DeadlineExceeded}, &youproxy.APIError{Code: 35}, &youproxy.APIError{Code: 14},
		errors.Join(io.EOF, youproxy.ErrOutcomeUnknown),
	} {
		for _, v := range []youproxy.Verdict{youproxy.VerdictUndetermined, youproxy.VerdictExecuted, youproxy.VerdictNotExecuted, 99} {
			err := fmt.Errorf("bought: %w", &youproxy.SpendError{Attempt: anAttempt(), Verdict: v, Err: cause})
			undetermined := v == youproxy.VerdictUndetermined
			if v != 99 {
				assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrUndetermined), "%v", err)
				assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrOutcomeUnknown), "%v", err)
			}
			assert.Equal(t, v == youproxy.VerdictNotExecuted, errors.Is(err, youproxy.ErrNotExecuted), "%v", err)
			rejected := youproxy.OutcomeOf(cause) == youproxy.OutcomeRejected
			want := map[youproxy.Verdict]youproxy.Outcome{youproxy.VerdictExecuted: youproxy.OutcomeDone, youproxy.VerdictNotExecuted: youproxy.OutcomeNotSent}[v]
			if v == youproxy.VerdictNotExecuted && rejected {
				want = youproxy.OutcomeRejected
			}
			assert.Equal(t, want, youproxy.OutcomeOf(err), "%v", err)
			assert.Equal(t, want == youproxy.OutcomeNotSent, errors.Is(err, youproxy.ErrNotSent), "%v", err)
			var refused *youproxy.APIError
			var lost *youproxy.CallError
			assert.Equal(t, errors.As(cause, &refused), errors.As(err, &refused))
			assert.Equal(t, errors.As(cause, &lost), errors.As(err, &lost))
			assert.Equal(t, errors.Is(cause, context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded))
			assert.Equal(t, errors.Is(cause, youproxy.ErrIncorrectGoal), errors.Is(err, youproxy.ErrIncorrectGoal))
		}
	}
}

func TestWaitForProxies(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		for without, shape := range map[string]youproxytest.ListShape{
			"nothing":           {},
			"numbers":           {Extra: map[string]any{"orderNumber": nil}},
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
						assert.Equal(t, []string{"POST /order"}, m.sends())
					}, youproxytest.WithProvisioningDelay(20*time.Second), youproxytest.WithListShape(shape))
				})
			}
		}
	}
}

func TestWaitForProxiesPauses(t *testing.T) {
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
	for _, lost := range []bool{false, true} {
		inMarket(t, func(t *testing.T, m *market) {
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
}

func TestWaitForProxiesEndsWithTheContext(t *testing.T) {
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
				assertNoSecrets(t, m, err)

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
	inMarket(t, func(t *testing.T, m *market) {
		purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		m.Inject("GET /ipAddress", youproxytest.InternalError, youproxytest.HTMLPage, youproxytest.EchoKey, youproxytest.Truncated, youproxytest.EmptyReply)
		proxies, err := m.client.WaitForProxies(t.Context(), purchase)
		require.NoError(t, err)
		assert.Len(t, proxies, 3)
	})
}

func TestWaitForProxiesRefused(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		m.Refuse("GET /ipAddress", 2)
		started := time.Now()
		_, err = m.client.WaitForProxies(t.Context(), purchase)
		var refused *youproxy.APIError
		require.ErrorAs(t, err, &refused)
		assert.ErrorIs(t, err, youproxy.ErrInvalidAPIKey)
		assert.Zero(t, time.Since(started))
	})
}

func TestWaitForProxiesOfNothing(t *testing.T) {
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
				return m.client.WaitForProxies(t.Context(), &youproxy.Purchase{Order: purchase.Order, OrderID: "1"})
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

// Another order of the very same kind stands beside it.
func TestWaitForProxiesBesideATwin(t *testing.T) {
	for _, earlier := range []bool{true, false} {
		t.Run(fmt.Sprintf("in the list before it: %t", earlier), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				if earlier {
					m.before["POST /order"] = func() { buyISP.again(m) }
				} else {
					m.afterSend(buyISP, func() { buyISP.again(m) })
				}
				purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				clear(m.before)
				clear(m.after)
				i := slices.IndexFunc(m.Orders(), func(o youproxytest.Order) bool { return o.Number == purchase.Order.Number })
				own := m.Orders()[i]

				m.SetListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				proxies, err := m.client.WaitForProxies(ctx, purchase)
				assert.Nil(t, proxies, "without numbers it cannot tell")
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Empty(t, purchase.OrderID)

				m.SetListShape(youproxytest.ListShape{})
				proxies, err = m.client.WaitForProxies(t.Context(), purchase)
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
		inMarket(t, func(t *testing.T, m *market) {
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			own := m.lastOrder().ID
			buyISP.again(m)
			m.hides(func() youproxy.OrderID { return own }, 0, time.Now().Add(25*time.Second))
			proxies, err := m.client.WaitForProxies(t.Context(), purchase)
			require.NoError(t, err)
			assert.Len(t, proxies, 3)
			assert.Equal(t, own, purchase.OrderID)
			assert.Equal(t, own, proxies[0].OrderID)
		})
	})
	t.Run("that is complete already, without numbers", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			own := m.lastOrder().ID
			buyISP.again(m)
			m.hides(func() youproxy.OrderID { return own }, 2, time.Now().Add(time.Hour))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			proxies, err := m.client.WaitForProxies(ctx, purchase)
			assert.Nil(t, proxies, "it cannot tell")
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		}, youproxytest.WithListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}}))
	})
	t.Run("that this client placed just before", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			var own [2]*youproxy.Purchase
			for i := range own {
				var err error
				own[i], err = m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.NoError(t, err)
				time.Sleep(5 * time.Second)
			}
			for i, p := range own {
				proxies, err := m.client.WaitForProxies(t.Context(), p)
				require.NoError(t, err)
				assert.Len(t, proxies, 3)
				assert.Equal(t, m.Orders()[len(m.opened.orders)+i].ID, p.OrderID)
			}
		}, youproxytest.WithProvisioningDelay(time.Minute))
	})
	t.Run("that this client placed just before, without numbers", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			_, err := m.client.CreateOrder(t.Context(), anISPOrder())
			require.NoError(t, err)
			one := m.lastOrder().ID
			time.Sleep(30 * time.Second)
			two, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second) // the first shows by then
			defer cancel()
			proxies, err := m.client.WaitForProxies(ctx, two)
			assert.Nil(t, proxies)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.NotEqual(t, one, two.OrderID)
		}, youproxytest.WithProvisioningDelay(time.Minute), youproxytest.WithListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}}))
	})
}

// A purchase can be saved, and waited for later.
func TestWaitForProxiesOfASavedPurchase(t *testing.T) {
	inMarket(t, func(t *testing.T, m *market) {
		purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
		require.NoError(t, err)
		text, err := json.Marshal(purchase.Attempt)
		require.NoError(t, err)
		saved := youproxy.Purchase{Order: &youproxy.Order{Number: purchase.Order.Number}}
		require.NoError(t, json.Unmarshal(text, &saved.Attempt))
		proxies, err := m.anotherClient(t).WaitForProxies(t.Context(), &saved)
		require.NoError(t, err)
		assert.Len(t, proxies, 3)
		assert.Equal(t, m.lastOrder().ID, saved.OrderID)
	})
}
