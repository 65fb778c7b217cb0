package youproxy_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

// wait is one of the waits of a call.
type wait struct {
	name    string
	answer  answer
	call    func(*youproxy.Client, context.Context) error
	taken   bool // another spend has the turn
	outcome youproxy.Outcome
}

func waits() []wait {
	balance := func(c *youproxy.Client, ctx context.Context) error { _, err := c.Balance(ctx); return err }
	order := func(c *youproxy.Client, ctx context.Context) error {
		_, err := c.CreateOrder(ctx, benchOrder)
		return err
	}
	post := func(c *youproxy.Client, ctx context.Context) error { return c.Call(ctx, "POST", "/x", nil, nil, nil) }
	return []wait{
		{"a slow reply to a read", never, balance, false, youproxy.OutcomeUnknown},
		{"a slow reply to a spend", never, order, false, youproxy.OutcomeUnknown},
		{"a slow body of a read", neverEnds, balance, false, youproxy.OutcomeUnknown},
		{"a slow body of a spend", neverEnds, order, false, youproxy.OutcomeUnknown},
		{"a slow body of Call", neverEnds, post, false, youproxy.OutcomeUnknown},
		{"the pause before a retry", status(503, ""), balance, false, youproxy.OutcomeUnknown},
		{"the pause a service asks for", status(429, "", "Retry-After", "20"), balance, false, youproxy.OutcomeRejected},
		{"the turn of a spend", never, order, true, youproxy.OutcomeNotSent},
		{"the turn of Call", never, post, true, youproxy.OutcomeNotSent},
	}
}

// begin starts the call in a bubble and returns when it waits. A deadline may
// come after many pauses, so the retries do not run out.
func (w wait) begin(ctx context.Context, t *testing.T) (errs <-chan error) {
	t.Helper()
	s := &script{answers: []answer{w.answer}}
	c := clientFor(t, s.option(), youproxy.WithReadRetries(1000))
	if w.taken {
		holder, release := context.WithCancel(t.Context())
		held := make(chan struct{})
		go func() {
			defer close(held)
			_, _ = c.CreateOrder(holder, benchOrder)
		}()
		t.Cleanup(func() { release(); <-held })
		synctest.Wait()
	}
	ch := make(chan error, 1)
	go func() { ch <- w.call(c, ctx) }()
	synctest.Wait()
	select {
	case err := <-ch:
		t.Fatalf("the call did not wait: %v", err)
	default:
	}
	return ch
}

func TestCancellingEndsEachWaitAtOnce(t *testing.T) {
	t.Parallel()
	errOwner := errors.New("the owner hung up")
	for _, w := range waits() {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				errs := w.begin(ctx, t)
				started := time.Now()
				cancel()
				synctest.Wait()
				select {
				case err := <-errs:
					require.ErrorIs(t, err, context.Canceled)
					assert.NotErrorIs(t, err, context.DeadlineExceeded)
					assert.Equal(t, w.outcome, youproxy.OutcomeOf(err))
					assert.Equal(t, w.outcome == youproxy.OutcomeNotSent, errors.Is(err, youproxy.ErrNotSent))
				default:
					t.Error("the call still waits")
				}
				assert.Zero(t, time.Since(started))
			})
		})
		t.Run(w.name+", with a cause", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				errs := w.begin(ctx, t)
				started := time.Now()
				cancel(errOwner)
				err := <-errs
				assert.ErrorIs(t, err, context.Canceled)
				assert.ErrorIs(t, err, errOwner)
				assert.Zero(t, time.Since(started))
			})
		})
	}
}

func TestDeadlineEndsEachWait(t *testing.T) {
	t.Parallel()
	for _, w := range waits() {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				err := <-w.begin(ctx, t)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				assert.NotErrorIs(t, err, context.Canceled)
				assert.Equal(t, w.outcome, youproxy.OutcomeOf(err))
				assert.Equal(t, 5*time.Second, time.Since(started))
			})
		})
	}
}

func TestTimeoutsBoundEachAttempt(t *testing.T) {
	t.Parallel()
	balance := func(c *youproxy.Client, ctx context.Context) error { _, err := c.Balance(ctx); return err }
	quote := func(c *youproxy.Client, ctx context.Context) error {
		_, err := c.QuoteOrder(ctx, benchOrder)
		return err
	}
	order := func(c *youproxy.Client, ctx context.Context) error {
		_, err := c.CreateOrder(ctx, benchOrder)
		return err
	}
	get := func(c *youproxy.Client, ctx context.Context) error { return c.Call(ctx, "GET", "/x", nil, nil, nil) }
	post := func(c *youproxy.Client, ctx context.Context) error { return c.Call(ctx, "POST", "/x", nil, nil, nil) }
	for _, tc := range []struct {
		name     string
		timeouts youproxy.Timeouts
		call     func(*youproxy.Client, context.Context) error
		want     time.Duration
	}{
		{"Balance by default", youproxy.Timeouts{}, balance, 30 * time.Second},
		{"QuoteOrder by default", youproxy.Timeouts{}, quote, 30 * time.Second},
		{"CreateOrder by default", youproxy.Timeouts{}, order, 120 * time.Second},
		{"Call GET by default", youproxy.Timeouts{}, get, 30 * time.Second},
		{"Call POST by default", youproxy.Timeouts{}, post, 120 * time.Second},
		{"Balance with its own", youproxy.Timeouts{Read: 7 * time.Second}, balance, 7 * time.Second},
		{"CreateOrder with its own", youproxy.Timeouts{Spend: 70 * time.Second}, order, 70 * time.Second},
		{"Balance, where only that of a spend is set", youproxy.Timeouts{Spend: time.Second}, balance, 30 * time.Second},
		{"CreateOrder, where only that of a read is set", youproxy.Timeouts{Read: time.Second}, order, 120 * time.Second},
	} {
		for _, slow := range []struct {
			name   string
			answer answer
		}{{"no header", never}, {"no end", neverEnds}} {
			t.Run(tc.name+": "+slow.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					started := time.Now()
					s := &script{answers: []answer{slow.answer}}
					c := clientFor(t, s.option(), youproxy.WithTimeouts(tc.timeouts), youproxy.WithReadRetries(0))
					err := tc.call(c, t.Context())
					require.ErrorIs(t, err, context.DeadlineExceeded)
					assert.NotErrorIs(t, err, context.Canceled)
					assert.Equal(t, youproxy.OutcomeUnknown, youproxy.OutcomeOf(err))
					assert.Equal(t, tc.want, time.Since(started))
				})
			})
		}
	}
	t.Run("a read may take its timeout again at each attempt", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: []answer{never}}
			c := clientFor(t, s.option(), youproxy.WithTimeouts(youproxy.Timeouts{Read: 10 * time.Second}))
			_, err := c.Balance(t.Context())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Len(t, s.times, 3)
			for _, pause := range s.pauses() {
				assert.Greater(t, pause, 10*time.Second)
				assert.Less(t, pause, 11*time.Second)
			}
		})
	})
}
