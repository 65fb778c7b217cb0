package youproxy_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// anAttemptOf gives one of b whose outcome was not heard of, as the journal has it open.
func anAttemptOf(t *testing.T, m *market, b buying, fault youproxytest.Fault, opts ...youproxy.SpendOption) youproxy.Attempt {
	t.Helper()
	m.Inject(b.op, fault)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m.after1(b, cancel)
	_, err := b.buy(ctx, m, m.client, opts...)
	return assertFailed(t, m, err, youproxy.VerdictUndetermined).Attempt
}

// warm lets a cache in front of the service take the list and the balance.
func (m *market) warm(t *testing.T, b buying) {
	t.Helper()
	reader := m.anotherClient(t)
	_, err := reader.ListProxies(t.Context(), youproxy.ProxyQuery{ProxyType: b.proxies})
	require.NoError(t, err)
	_, err = reader.Balance(t.Context())
	require.NoError(t, err)
}

// cached returns how many replies came from the cache.
func (m *market) cached() int {
	n := 0
	for _, r := range m.Requests() {
		if r.Cached {
			n++
		}
	}
	return n
}

// Looks that a cache answers tell nothing, whether it says so or not: nothing is said not
// to be executed by them.
func TestCachedLooks(t *testing.T) {
	t.Parallel()
	for _, silent := range []bool{false, true} {
		for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.Slow, youproxytest.DropBeforeCommit, youproxytest.CommitLate} {
			t.Run(fmt.Sprintf("%s, silent %t", fault, silent), func(t *testing.T) {
				forEachBuying(t, func(t *testing.T, m *market, b buying) {
					buyThroughCache(t, m, b, fault, silent)
				}, youproxytest.WithCache(youproxytest.Cache{MaxAge: map[bool]time.Duration{true: 3 * time.Minute}[silent], Silent: true}))
			})
		}
	}
}

func buyThroughCache(t *testing.T, m *market, b buying, fault youproxytest.Fault, silent bool) {
	if silent {
		m.warm(t, b)
	} else { // between the snapshot and the looks
		m.before[b.op] = func() {
			m.SetCache(youproxytest.Cache{MaxAge: 3 * time.Minute})
			m.warm(t, b)
			time.Sleep(time.Second)
		}
	}
	m.Inject(b.op, fault)
	got, err := b.buy(t.Context(), m, m.client)
	assert.Positive(t, m.cached())
	if fault == youproxytest.DropBeforeCommit && silent {
		// the quotes show that nothing was paid, and the list shows nothing else
		assertFailed(t, m, err, youproxy.VerdictNotExecuted)
		return
	}
	if err == nil { // once the cache had to ask
		assert.True(t, got.recovered)
		assertExecuted(t, m, b)
		return
	}
	failed := assertFailed(t, m, err, youproxy.VerdictUndetermined)
	if !silent && fault != youproxytest.Slow {
		assert.ErrorContains(t, failed.Evidence.Err, "cache")
	}
	assertStopped(t, m, b, failed.Attempt.ID)

	delete(m.before, b.op)
	m.SetCache(youproxytest.Cache{})
	found, err := m.client.Recover(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
	want := youproxy.VerdictExecuted
	if fault == youproxytest.DropBeforeCommit {
		want = youproxy.VerdictNotExecuted
	}
	assert.Equal(t, want, found[0].Verdict)
}

// What a cache tells at the snapshot is not what the account holds.
func TestCachedSnapshots(t *testing.T) {
	t.Parallel()
	t.Run("with Age", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			m.warm(t, b)
			time.Sleep(2 * time.Minute)
			_, err := b.buy(t.Context(), m, m.client)
			require.ErrorContains(t, err, "cache")
			assert.ErrorIs(t, err, youproxy.ErrNotSent)
			assert.Empty(t, m.recorded)
			time.Sleep(2 * time.Minute)
			_, err = b.buy(t.Context(), m, m.client)
			require.NoError(t, err)
		}, youproxytest.WithCache(youproxytest.Cache{MaxAge: 3 * time.Minute}))
	})
	for _, fault := range []youproxytest.Fault{youproxytest.DropAfterCommit, youproxytest.DropBeforeCommit} {
		t.Run("silent, "+fault.String(), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.warm(t, b)
				time.Sleep(30 * time.Second)
				_, err := b.buy(t.Context(), m, m.anotherClient(t)) // which the cached list does not show
				require.NoError(t, err)
				time.Sleep(2 * time.Minute)
				m.Inject(b.op, fault)
				_, err = b.buy(t.Context(), m, m.client)
				if fault == youproxytest.DropAfterCommit {
					assert.NotErrorIs(t, err, youproxy.ErrNotExecuted)
				} else {
					assert.Error(t, err, "it was not executed")
				}
			}, youproxytest.WithCache(youproxytest.Cache{MaxAge: 3 * time.Minute, Silent: true}))
		})
	}
}

// One reply of a look that has an Age is enough.
func TestAgesOfReplies(t *testing.T) {
	t.Parallel()
	for _, age := range []string{"1", "170", "0", "00"} {
		for _, what := range []string{"the list", "the balance", "the quote"} {
			t.Run(fmt.Sprintf("%s, Age %s", what, age), func(t *testing.T) {
				forEachBuying(t, func(t *testing.T, m *market, b buying) {
					op := map[string]string{"the list": "GET /ipAddress", "the balance": "GET /balance", "the quote": b.quoteOp()}[what]
					client, err := m.client.With(youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
						return stubTransport(func(r *http.Request) (*http.Response, error) {
							resp, err := next.RoundTrip(r)
							if err == nil && opOf(r) == op && len(m.recorded) > 0 {
								resp.Header.Set("Age", age)
							}
							return resp, err
						})
					}))
					require.NoError(t, err)
					m.Inject(b.op, youproxytest.DropBeforeCommit)
					_, err = b.buy(t.Context(), m, client)
					if age == "1" || age == "170" {
						assertFailed(t, m, err, youproxy.VerdictUndetermined)
						return
					}
					assertFailed(t, m, err, youproxy.VerdictNotExecuted)
				})
			})
		}
	}
}
