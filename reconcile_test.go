package youproxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// The times that a client has unless options set others.
const (
	theTimeout  = 2 * time.Minute // of a call that spends
	thePatience = 2 * time.Minute
)

// noNumbers is a list without the numbers of orders.
var noNumbers = youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}}

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
	entries := m.journal.all()
	require.Len(t, entries, 1)
	e := entries[0]
	assert.Equal(t, youproxy.EntryExecuted, e.State)
	assert.True(t, e.Recovered)
	require.NotNil(t, e.Charged)
	assertMoney(t, b.price, *e.Charged)
	if b.isOrder() {
		assert.Equal(t, m.lastOrder().ID, got.OrderID)
		assert.Equal(t, got.OrderID, e.OrderID)
	} else {
		assert.ElementsMatch(t, m.Extensions()[0].IPAddressIDs, got.IPAddressIDs)
		assert.Equal(t, m.Extensions()[0].OrderIDs, got.OrderIDs)
	}
}

// assertFailed holds an error of a purchase against what all of them promise, and gives
// it.
func assertFailed(t *testing.T, m *market, err error, verdict youproxy.Verdict) *youproxy.SpendError {
	t.Helper()
	var failed *youproxy.SpendError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, verdict, failed.Verdict, "%v", err)
	require.NotEmpty(t, m.recorded)
	assert.Equal(t, m.recorded[len(m.recorded)-1], failed.Attempt)

	undetermined := verdict == youproxy.VerdictUndetermined
	assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrUndetermined))
	assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrOutcomeUnknown))
	assert.Equal(t, verdict == youproxy.VerdictNotExecuted, errors.Is(err, youproxy.ErrNotExecuted))
	text := err.Error()
	assert.Equal(t, undetermined, strings.Contains(text, "money may have been spent"), text)
	assert.Equal(t, !undetermined, strings.Contains(text, "nothing was spent"), text)
	state := map[bool]youproxy.EntryState{true: youproxy.EntryOpen, false: youproxy.EntryNotExecuted}[undetermined]
	assert.Equal(t, state, m.entry(failed.Attempt.ID).State, "as the journal has it")
	assertHidesSecrets(t, m, err, *failed, failed.Evidence)
	return failed
}

// assertHidesSecrets looks for the key in all the ways a value is printed.
func assertHidesSecrets(t *testing.T, m *market, values ...any) {
	t.Helper()
	var shown seen
	for _, v := range values {
		shown.addPrinted(fmt.Sprintf("%T", v), v)
		if err, ok := v.(error); ok {
			shown.addError("error", err)
		}
	}
	shown.check(t, m.APIKey())
}

// entry returns what the journal has of an attempt.
func (m *market) entry(id string) youproxy.Entry {
	entries := m.journal.all()
	i := slices.IndexFunc(entries, func(e youproxy.Entry) bool { return e.Attempt.ID == id })
	if i < 0 {
		return youproxy.Entry{}
	}
	return entries[i]
}

func TestLostReplies(t *testing.T) {
	t.Parallel()
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
		{youproxytest.Slow, true, theTimeout, 0, nil},
		{youproxytest.CommitLate, true, time.Minute, 0, nil},
		{youproxytest.DropBeforeCommit, false, thePatience, 0, nil},
		{youproxytest.BadGateway, false, thePatience, 502, nil},
		{youproxytest.ServiceUnavailable, false, thePatience, 503, nil},
		{youproxytest.InternalError, false, thePatience, 500, nil},
		{youproxytest.HTMLPage, false, thePatience, 200, nil},
		{youproxytest.Redirect, false, thePatience, 307, youproxy.ErrRedirect},
		{youproxytest.ServiceFault, false, thePatience, 0, youproxy.ErrServiceFault},
		{youproxytest.BadGateway.AfterCommit(), true, 0, 502, nil},
		{youproxytest.ServiceUnavailable.AfterCommit(), true, 0, 503, nil},
		{youproxytest.InternalError.AfterCommit(), true, 0, 500, nil},
		{youproxytest.HTMLPage.AfterCommit(), true, 0, 200, nil},
		{youproxytest.Redirect.AfterCommit(), true, 0, 307, nil},
		{youproxytest.ServiceFault.AfterCommit(), true, 0, 0, nil},
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
				assert.Equal(t, []string{b.op}, m.sends(), "sent once")
				failed := assertFailed(t, m, err, youproxy.VerdictNotExecuted)
				assertAttempt(t, m, b, failed.Attempt, started)
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err), "in effect")
				assertStayed(t, m, b, failed.Evidence, started.Add(thePatience))
				if tc.matches != nil {
					assert.ErrorIs(t, err, tc.matches)
				}
				var refused *youproxy.APIError
				var lost *youproxy.CallError
				if tc.fault == youproxytest.ServiceFault {
					require.ErrorAs(t, err, &refused)
					assert.Equal(t, youproxy.ErrServiceFault, refused.Code)
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
	assertMoney(t, m.opened.balance, *e.Quoted)
	assertMoney(t, "0 USD", *e.Fell)
	assert.Empty(t, e.NewOrders)
	unmoved := 0
	if !b.isOrder() {
		unmoved = b.quantity
	}
	assert.Equal(t, []int{0, unmoved, 0}, []int{e.Moved, e.Unmoved, e.Otherwise})
}

// What is no documented code of the service beside a balance that did not fall does not
// tell that nothing was executed: the account does.
func TestRefusalsAreLookedAt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		fault    youproxytest.Fault
		refuse   int
		executed bool
	}{
		{name: "an unknown code", fault: youproxytest.UnknownCodeAfterCommit, executed: true},
		{name: "an unknown code", refuse: 99},
		{name: "a refusal whose own balance fell", fault: youproxytest.RefusedAfterCommit, executed: true},
		{name: "a 404 page", fault: youproxytest.RejectAfterCommit, executed: true},
		{name: "a 404 page that echoes", fault: youproxytest.EchoKey.AfterCommit(), executed: true},
		{name: "a 404 page that echoes", fault: youproxytest.EchoKey},
		{name: "a 403 page", fault: youproxytest.Forbidden.AfterCommit(), executed: true},
		{name: "a 403 page", fault: youproxytest.Forbidden},
		{name: "a 429 page", fault: youproxytest.TooManyRequests.AfterCommit(), executed: true},
		{name: "a 429 page", fault: youproxytest.TooManyRequests},
	} {
		t.Run(fmt.Sprintf("%s, executed %t", tc.name, tc.executed), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				if tc.refuse != 0 {
					m.Refuse(b.op, tc.refuse)
				} else {
					m.Inject(b.op, tc.fault)
				}
				started := time.Now()
				got, err := b.buy(t.Context(), m, m.client)
				if tc.executed {
					assertRecovered(t, m, b, got, err)
					assert.Zero(t, time.Since(started))
					return
				}
				assert.Nil(t, got)
				failed := assertFailed(t, m, err, youproxy.VerdictNotExecuted)
				assertStayed(t, m, b, failed.Evidence, started.Add(thePatience))
				assert.Equal(t, m.opened, m.ledger())
			})
		})
	}
	t.Run("a documented code, executed false", func(t *testing.T) {
		for _, null := range []bool{false, true} {
			var opts []any
			if null { // it does not tell the balance: then the code counts
				opts = append(opts, youproxytest.WithNullBalances())
			}
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Refuse(b.op, 16)
				started := time.Now()
				_, err := b.buy(t.Context(), m, m.client)
				failed := assertFailed(t, m, err, youproxy.VerdictNotExecuted)
				assert.ErrorIs(t, err, youproxy.ErrInsufficientFunds)
				assert.Equal(t, youproxy.OutcomeRejected, youproxy.OutcomeOf(err))
				assert.Zero(t, failed.Evidence.Looks)
				assert.Zero(t, time.Since(started))
			}, opts...)
		}
	})
}

func TestLooksGrowApart(t *testing.T) {
	t.Parallel()
	for _, b := range []buying{buyIPv4, renewIPs} {
		inMarket(t, func(t *testing.T, m *market) {
			started := time.Now()
			var looks []int
			m.before["GET /ipAddress"] = func() { looks = append(looks, int(time.Since(started)/time.Second)) }
			m.Inject(b.op, youproxytest.DropBeforeCommit)
			_, err := b.buy(t.Context(), m, m.client)
			failed := assertFailed(t, m, err, youproxy.VerdictNotExecuted)
			assert.Equal(t, []int{0, 0, 1, 3, 7, 15, 30, 45, 60, 75, 90, 105, 120}, looks, "the first is that of what was held before")
			assert.Equal(t, len(looks)-1, failed.Evidence.Looks)
		})
	}
}

// A look reads the list, the balance, and the balance in a fresh quote.
func TestWhatALookReads(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.Inject(b.op, youproxytest.DropAfterCommit)
		_, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		ops := m.ops()
		sent := slices.Index(ops, b.op)
		assert.Equal(t, []string{"GET /ipAddress", "GET /balance", b.quoteOp()}, ops[sent+1:])
	})
}

func TestPatience(t *testing.T) {
	t.Parallel()
	for _, patience := range []time.Duration{0, time.Nanosecond, 10 * time.Second, 5 * time.Minute} {
		t.Run(patience.String(), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Inject(b.op, youproxytest.DropBeforeCommit)
				started := time.Now()
				_, err := b.buy(t.Context(), m, m.client)
				assertFailed(t, m, err, youproxy.VerdictNotExecuted)
				assert.Equal(t, patience, time.Since(started))

				m.Inject(b.op, youproxytest.DropAfterCommit)
				got, err := b.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				assert.True(t, got.recovered)
			}, youproxy.WithReconcilePatience(patience))
		})
	}
}

// The service may still execute what the client gave up on: the patience begins when the
// sending has ended.
func TestPatienceAfterATimeout(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		const late = thePatience - time.Second
		inner := m.Transport()
		client, err := m.client.With(youproxy.WithHTTPClient(&http.Client{Transport: stubTransport(func(r *http.Request) (*http.Response, error) {
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
		started := time.Now()
		got, err := b.buy(t.Context(), m, client)
		assert.Equal(t, theTimeout+thePatience, time.Since(started))
		synctest.Wait()
		assertRecovered(t, m, b, got, err)
	})
}

func TestLooksThatFailInBetween(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.after[b.op] = func() { m.Refuse("GET /ipAddress", 3, 3, 3) }
		m.Inject(b.op, youproxytest.DropAfterCommit)
		got, err := b.buy(t.Context(), m, m.client)
		assertRecovered(t, m, b, got, err)
	})
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.after[b.op] = func() { m.Refuse("GET /ipAddress", slices.Repeat([]int{3}, 11)...) }
		m.Inject(b.op, youproxytest.DropBeforeCommit)
		started := time.Now()
		_, err := b.buy(t.Context(), m, m.client)
		failed := assertFailed(t, m, err, youproxy.VerdictNotExecuted)
		assert.Equal(t, 1, failed.Evidence.Looks, "the last one tells")
		assertStayed(t, m, b, failed.Evidence, started.Add(thePatience))
	})
	for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
		forEachBuying(t, func(t *testing.T, m *market, b buying) { // a quote that fails is no change of the account
			m.after[b.op] = func() {
				m.Inject("GET /ipAddress", slices.Repeat([]youproxytest.Fault{youproxytest.InternalError}, 3)...)
				m.Inject("GET /balance", slices.Repeat([]youproxytest.Fault{youproxytest.InternalError}, 3)...)
				m.Inject(b.quoteOp(), slices.Repeat([]youproxytest.Fault{youproxytest.InternalError}, 3)...)
			}
			m.Inject(b.op, fault)
			got, err := b.buy(t.Context(), m, m.client)
			if fault == youproxytest.DropAfterCommit {
				assertRecovered(t, m, b, got, err)
				return
			}
			assertFailed(t, m, err, youproxy.VerdictNotExecuted)
			assert.Empty(t, m.Pending())
		})
	}
}

// What was recovered is known, and does not stand in the way of the next.
func TestLostRepliesOneAfterAnother(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string]youproxytest.ListShape{"numbers": {}, "no numbers": noNumbers} {
		t.Run(name, func(t *testing.T) {
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
			}, youproxytest.WithBalance(youproxy.MustMoney("1000 USD")), youproxytest.WithListShape(shape))
		})
	}
}

// Whatever the shape of the list, a lost order is found.
func TestLostRepliesInEveryShapeOfTheList(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string]youproxytest.ListShape{
		"flat":                     {Flat: true},
		"by order":                 {Orders: true, OrdersKey: "list"},
		"short names and numbers":  {ShortNames: true, NumericIDs: true},
		"sparse":                   {Sparse: true, PortInIP: true},
		"without numbers":          noNumbers,
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

// hides makes the list leave out all but some of the proxies of an order, for some time.
func (m *market) hides(order func() youproxy.OrderID, but int, until time.Time) {
	m.editList(func(record map[string]any) bool {
		if record["orderId"] != string(order()) || !time.Now().Before(until) {
			return true
		}
		return slices.Contains(m.idsOf(order())[:but], youproxy.IPAddressID(record["ipAddressId"].(string)))
	})
}

func TestProxiesThatAppearLater(t *testing.T) {
	t.Parallel()
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
	t.Run("one by one", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.Inject("POST /order", youproxytest.Truncated)
			m.hides(func() youproxy.OrderID { return m.lastOrder().ID }, 2, time.Now().Add(50*time.Second))
			started := time.Now()
			got, err := buyISP.buy(t.Context(), m, m.client)
			assertRecovered(t, m, buyISP, got, err)
			assert.Equal(t, time.Minute, time.Since(started))
		})
	})
}

// The proxies of an order need not begin at the same time: the first counts.
func TestProxiesOfAnOrderThatBeginLater(t *testing.T) {
	t.Parallel()
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

// twice makes the list show everything under two spellings of its type, but for what is
// hidden.
func (m *market) twice(hidden youproxy.IPAddressID) {
	m.rewrite["GET /ipAddress"] = func(reply string) string {
		var list map[string]any
		if json.Unmarshal([]byte(reply), &list) != nil {
			return reply
		}
		for name, group := range maps.Clone(list) {
			if records, ok := group.([]any); ok {
				kept := slices.DeleteFunc(records, func(r any) bool { return r.(map[string]any)["ipAddressId"] == string(hidden) })
				delete(list, name)
				list[strings.ToUpper(name)], list[strings.ToLower(name)] = kept, kept
			}
		}
		text, _ := json.Marshal(list)
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
	t.Run("one is gone", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.Inject(renewIPs.op, youproxytest.DropAfterCommit)
			m.after[renewIPs.op] = func() { m.twice(m.idsOf(m.ipv4.ID)[1]) }
			_, err := m.client.Renew(t.Context(), renewIPs.extend(m), renewIPs.limit())
			failed := assertFailed(t, m, err, youproxy.VerdictUndetermined)
			assert.Equal(t, []int{1, 0, 1}, []int{failed.Evidence.Moved, failed.Evidence.Unmoved, failed.Evidence.Otherwise})
		})
	})
}
