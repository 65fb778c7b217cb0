package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// A lost reply is found out about by the same run.
func TestBuyFindsOut(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault  youproxytest.Fault
		code   int
		want   string
		orders int
	}{
		"executed":      {youproxytest.DropAfterCommit, exitDone, "the reply was lost, the account shows it", 1},
		"executed late": {youproxytest.CommitLate, exitDone, "the reply was lost, the account shows it", 1},
		"not executed":  {youproxytest.DropBeforeCommit, exitFailed, "nothing was spent\nThe same command can be run again.", 0},
		"slow":          {youproxytest.Slow, exitDone, "the reply was lost, the account shows it", 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				s.Inject("POST /order", test.fault)
				code, stdout, stderr := s.run(buying("--yes")...)
				assert.Equal(t, test.code, code, stderr)
				assert.Contains(t, stderr, "No reply says what became of it")
				assert.Contains(t, stderr, test.want)
				assert.Len(t, s.Orders(), test.orders)
				if test.orders > 0 {
					assert.Equal(t, s.lastURLs(), stdout)
				}
			})
		})
	}
}

// An interrupted purchase says what to run next, and that finds what was bought.
func TestBuyInterruptedAndRunAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault  youproxytest.Fault
		args   []string
		bought bool // by the first run
	}{
		"the reply is slow":  {youproxytest.Slow, nil, true},
		"with a key":         {youproxytest.Slow, []string{"--idempotency-key", "it's monday"}, true},
		"the reply was lost": {youproxytest.DropAfterCommit, []string{"--quantity", "3"}, true},
		"not executed":       {youproxytest.DropBeforeCommit, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				s.Inject("POST /order", test.fault)
				ctx, cancel := context.WithCancel(t.Context())
				s.onErr = func(text string) {
					if strings.Contains(text, "No reply") {
						cancel()
					}
				}
				if test.fault == youproxytest.Slow {
					time.AfterFunc(5*time.Second, cancel)
				}
				code, stdout, stderr := s.runContext(ctx, buying(append(test.args, "--yes")...)...)
				assert.Equal(t, exitMaySpent, code)
				assert.Empty(t, stdout)
				assert.Contains(t, stderr, "youproxy: interrupted, and it may have been executed: order of ")
				assert.Contains(t, stderr, "; money may have been spent\nTo find out, and to buy only if it was not bought, run:\n  youproxy buy ")
				assert.Contains(t, stderr, "To find out and buy nothing, run:\n  youproxy journal recover --journal ")

				next := s.next(stderr)
				code, stdout, stderr = s.run(next...)
				assert.Equal(t, exitDone, code, stderr)
				assert.Equal(t, s.lastURLs(), stdout)
				assert.Len(t, s.Orders(), 1)
				if test.bought {
					assert.Equal(t, 1, s.sent("POST /order"))
					assert.Contains(t, stderr, "nothing was spent now")
					assert.NotContains(t, stderr, "Balance  ")
				} else {
					assert.Contains(t, stderr, "It was not executed, and nothing was spent.")
				}

				s.SetBalance(youproxy.MustMoney("0 USD"))
				code, again, stderr := s.run(next...)
				assert.Equal(t, exitDone, code, stderr)
				assert.Equal(t, stdout, again)
				assert.Len(t, s.Orders(), 1)
			})
		})
	}
}

// Ctrl-C ends the wait for proxies; the purchase stands.
func TestBuyInterruptedWhileWaiting(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		code, stdout, stderr := s.runContext(ctx, buying("--yes")...)
		assert.Equal(t, exitMaySpent, code)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, "it was bought, but its proxies were not all printed")
		assert.Contains(t, stderr, "To print it, which spends nothing, run:\n")
		code, stdout, stderr = s.run(s.next(stderr)...)
		assert.Equal(t, exitDone, code, stderr)
		assert.Equal(t, s.lastURLs(), stdout)
		assert.Len(t, s.Orders(), 1)
	}, youproxytest.WithProvisioningDelay(time.Minute))
}

// To run the same command until it succeeds buys once, with a key or without.
func TestBuyUntilItSucceeds(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{0, time.Hour} {
		for _, fault := range []youproxytest.Fault{youproxytest.Slow, youproxytest.DropBeforeCommit, youproxytest.CommitLate} {
			inBubble(t, func(t *testing.T, s *shell) {
				s.Inject("POST /order", fault)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				code, _, _ := s.runContext(ctx, buying("--yes")...)
				require.Equal(t, exitMaySpent, code)
				time.Sleep(pause)

				code, _, stderr := s.run(buying("--yes", "--quantity", "2")...)
				assert.Equal(t, exitFailed, code)
				assert.Contains(t, stderr, "an earlier purchase stands in the way")
				assert.Equal(t, []string{"journal", "recover"}, s.next(stderr))

				code, stdout, stderr := s.run(buying("--yes")...)
				assert.Equal(t, exitDone, code, stderr)
				assert.Contains(t, stderr, "Going on with the same purchase of an earlier run")
				assert.Equal(t, s.lastURLs(), stdout)
				assert.Len(t, s.Orders(), 1)

				code, _, stderr = s.run(buying("--yes")...) // another one
				assert.Equal(t, exitDone, code, stderr)
				assert.Len(t, s.Orders(), 2)
			})
		}
	}
}

// An attempt of a program that still runs was not interrupted.
func TestBuyTwoAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.Inject("POST /order", youproxytest.CommitLate)
		done := make(chan int)
		for range 2 {
			go func() {
				code, _, stderr := s.run(buying("--yes")...)
				assert.NotContains(t, stderr, "earlier run")
				done <- code
			}()
			time.Sleep(10 * time.Millisecond)
		}
		assert.Equal(t, exitDone, <-done)
		assert.Equal(t, exitDone, <-done)
		assert.Len(t, s.Orders(), 2)
	})
}

func TestBuyBehindAnotherPurchase(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		s.Inject("POST /order", youproxytest.Slow)
		code, _, _ := s.runContext(ctx, buying("--yes", "--idempotency-key", "first")...)
		require.Equal(t, exitMaySpent, code)

		code, _, stderr := s.run(buying("--yes")...)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "an earlier purchase stands in the way")
		assert.NotContains(t, stderr, "Price")
		assert.Equal(t, []string{"journal", "recover"}, s.next(stderr))

		code, _, stderr = s.run(buying("--yes", "--idempotency-key", "second")...)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "stopped by an earlier purchase")
		assert.NotContains(t, stderr, "Recover")
		assert.Equal(t, []string{"journal", "recover"}, s.next(stderr))

		for _, other := range []string{"--quantity=2", "--country=DEU", "--days=60", "--goal=ads", "--type=ISP"} {
			code, _, stderr = s.run(buying("--yes", "--idempotency-key", "first", other)...)
			assert.Equal(t, exitFailed, code)
			assert.Contains(t, stderr, "Use another --idempotency-key for each purchase")
			assert.NotContains(t, stderr, "looking at the account")
		}
		assert.Equal(t, 1, s.sent("POST /order"))
	})
}

// brokenPipe is a stdout that takes nothing.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestBuyThatCannotPrint(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--output", "json"}, {"--output", "csv"}, {"--output", "json", "--no-wait"}} {
		inBubble(t, func(t *testing.T, s *shell) {
			s.out = brokenPipe{}
			code, _, stderr := s.run(buying(append(args, "--yes")...)...)
			assert.Equal(t, exitMaySpent, code)
			assert.Contains(t, stderr, "youproxy: it was bought, but its proxies were not all printed: ")
			assert.Contains(t, stderr, "broken pipe\nTo print it, which spends nothing, run:\n")
			s.out = nil
			code, stdout, stderr := s.run(s.next(stderr)...)
			assert.Equal(t, exitDone, code, stderr)
			assert.NotEmpty(t, stdout)
			assert.Len(t, s.Orders(), 1)
		})
	}
}

func TestCheckOfAQuote(t *testing.T) {
	for name, test := range map[string]struct {
		price, balance, limit string
		want                  error
	}{
		"all of it":        {"5 USD", "5 USD", "5 USD", nil},
		"above the limit":  {"5.01 USD", "9 USD", "5 USD", youproxy.ErrPriceAboveLimit},
		"no funds":         {"5 USD", "4.99 USD", "9 USD", youproxy.ErrInsufficientFunds},
		"another currency": {"5 USD", "9 USD", "9 EUR", youproxy.ErrCurrencyMismatch},
		"another balance":  {"5 USD", "9 EUR", "9 USD", youproxy.ErrInsufficientFunds},
	} {
		t.Run(name, func(t *testing.T) {
			d := &deal{flags: &spendFlags{maxPrice: price{youproxy.MustMoney(test.limit)}}}
			q := &youproxy.Quote{Price: youproxy.MustMoney(test.price), Balance: youproxy.MustMoney(test.balance)}
			err := d.check(q, q.Price)
			if test.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.want)
			assert.Contains(t, err.Error(), "nothing was spent")
		})
	}
}
