package youproxy_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// timesOut reports which of the ways to ask for a timeout an error answers.
func timesOut(err error) (ways []string) {
	var network net.Error
	var timeout interface{ Timeout() bool }
	for way, yes := range map[string]bool{
		"context": errors.Is(err, context.DeadlineExceeded), "os": errors.Is(err, os.ErrDeadlineExceeded),
		"net.Error": errors.As(err, &network) && network.Timeout(), "Timeout": errors.As(err, &timeout) && timeout.Timeout(),
	} {
		if yes {
			ways = append(ways, way)
		}
	}
	slices.Sort(ways)
	return ways
}

// A loop that repeats timeouts must not repeat a purchase that may have been made.
func TestUndeterminedPurchasesAreNoTimeouts(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]func(*testing.T, *market, buying) *youproxy.Client{
		"of the context": func(_ *testing.T, m *market, b buying) *youproxy.Client {
			m.Inject(b.op, youproxytest.Slow)
			return m.client
		},
		"of the transport": func(t *testing.T, m *market, b buying) *youproxy.Client {
			client, err := m.client.With(youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
				return stubTransport(func(r *http.Request) (*http.Response, error) {
					resp, err := next.RoundTrip(r)
					if opOf(r) == b.op {
						_ = resp.Body.Close()
						m.Inject("GET /ipAddress", slices.Repeat([]youproxytest.Fault{youproxytest.BadGateway}, 100)...)
						return nil, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
					}
					return resp, err
				})
			}))
			require.NoError(t, err)
			return client
		},
	} {
		t.Run(name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				got, err := b.buy(ctx, m, client(t, m, b))
				assert.Nil(t, got)
				failed := assertSpendError(t, m, err, youproxy.VerdictUndetermined)
				assert.Empty(t, timesOut(err))
				assert.NotEmpty(t, timesOut(failed.Err), "which is what went wrong")
			})
		})
	}
}

// What was not executed may be repeated, and tells why it was not.
func TestPurchasesThatWereNotExecutedMayBeTimeouts(t *testing.T) {
	t.Parallel()
	t.Run("of the context", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			m.journal.onRecord = func(ctx context.Context, e youproxy.Entry) error {
				time.Sleep(6 * time.Second)
				return m.record(ctx, e)
			}
			_, err := b.buy(ctx, m, m.client)
			require.ErrorIs(t, err, youproxy.ErrNotExecuted)
			assert.Equal(t, []string{"Timeout", "context", "net.Error"}, timesOut(err))
			assert.Empty(t, m.sends())
		})
	})
	t.Run("of the transport", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			client, err := m.client.With(youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
				return stubTransport(func(r *http.Request) (*http.Response, error) {
					if opOf(r) == b.op {
						return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
					}
					return next.RoundTrip(r)
				})
			}))
			require.NoError(t, err)
			_, err = b.buy(t.Context(), m, client)
			require.ErrorIs(t, err, youproxy.ErrNotExecuted)
			assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
			assert.Equal(t, []string{"Timeout", "net.Error", "os"}, timesOut(err))
			assert.Empty(t, m.sends())
		})
	})
}

var cancellings = []struct {
	name     string
	arrange  func(m *market, b buying)
	options  []any
	calls    int // that reached the service, beside those of a purchase
	sent     bool
	executed bool
}{
	{name: "in the quote", arrange: func(m *market, b buying) { m.Inject(b.quoteOp(), youproxytest.Slow) }, calls: 1},
	{name: "in the list", arrange: func(m *market, _ buying) { m.Inject("GET /ipAddress", youproxytest.Slow) }, calls: -1},
	{name: "in the balance", arrange: func(m *market, _ buying) { m.Inject("GET /balance", youproxytest.Slow) }, options: []any{youproxytest.WithNullBalances()}},
	{name: "while it is sent", arrange: func(m *market, b buying) { m.Inject(b.op, youproxytest.Slow) }, sent: true, executed: true},
	{name: "while waiting for the next look", arrange: func(m *market, b buying) { m.Inject(b.op, youproxytest.DropBeforeCommit) }, calls: 3 * 3, sent: true},
	{name: "while looking", arrange: func(m *market, b buying) {
		m.Inject(b.op, youproxytest.DropAfterCommit)
		m.Inject("GET /balance", youproxytest.Slow)
	}, calls: 2, sent: true, executed: true},
}

// A purchase whose context ends stops there and then, and tells how far it came.
func TestCancelling(t *testing.T) {
	t.Parallel()
	for _, tc := range cancellings {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				tc.arrange(m, b)
				errWhy := errors.New("the shop closes")
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				time.AfterFunc(5*time.Second, func() { cancel(errWhy) })
				started := time.Now()
				got, err := b.buy(ctx, m, m.client)
				assert.Equal(t, 5*time.Second, time.Since(started))
				assert.Nil(t, got)
				require.ErrorIs(t, err, context.Canceled)
				assert.ErrorContains(t, err, context.Canceled.Error())
				calls := len(b.calls()) + tc.calls
				if tc.name == "in the quote" {
					calls = 1
				}
				assert.Len(t, m.ops(), calls)
				if !tc.sent {
					assertNothingSent(t, m, m.opened, got, err)
					assert.Empty(t, m.recorded)
					return
				}
				assert.ErrorIs(t, err, errWhy)
				assert.NotContains(t, err.Error(), "to repeat it", "nothing that spends is repeated")
				failed := assertSpendError(t, m, err, youproxy.VerdictUndetermined)
				assert.Error(t, failed.Evidence.Err)
				assert.ErrorContains(t, err, "the account could not be read: ")

				m.before, m.after = nil, nil
				found, err := m.client.Reconcile(t.Context(), failed.Attempt)
				require.NoError(t, err)
				want := youproxy.VerdictNotExecuted
				if tc.executed {
					want = youproxy.VerdictExecuted
				}
				assert.Equal(t, want, found.Verdict)
			}, tc.options...)
		})
	}
}

func TestCancelledBeforeItBegins(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		got, err := b.buy(ctx, m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, m.Requests())
	})
}

func TestCancelledWhileItIsRecorded(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		m.journal.onRecord = func(ctx context.Context, e youproxy.Entry) error {
			if cancel(); e.State == youproxy.EntryOpen {
				time.Sleep(7 * time.Second)
			}
			assert.NoError(t, ctx.Err(), "that is not given up halfway")
			return m.record(ctx, e)
		}
		got, err := b.buy(ctx, m, m.client)
		assertNothingSent(t, m, m.opened, got, err)
		assert.ErrorIs(t, err, context.Canceled)
		assert.ErrorIs(t, err, youproxy.ErrNotExecuted)
		assertSettled(t, m, youproxy.EntryNotExecuted, time.Now())
	})
}
