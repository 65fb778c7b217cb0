package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestRenewPrintsThePlan(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.addISP(3)
		s.addIPv6(10)
		code, stdout, stderr := s.run("renew", "--max-price", "6 USD")
		assert.Equal(t, exitDone, code, stderr)
		lines := strings.Split(stdout, "\n")
		require.Len(t, lines, 3)
		assert.Regexp(t, `^IPv6\t10\t\S+\t30\t\S+ USD$`, lines[0])
		assert.Regexp(t, `^ISP\t1\t\S+\t30\t2.4 USD$`, lines[1])
		assert.Contains(t, stderr, "Left out: 2 x ISP, above the limit\n")
		next := s.next(stderr)
		assert.Equal(t, []string{"renew", "--max-price", "6 USD", "--yes"}, next)
		assert.Empty(t, s.Extensions())

		code, stdout, _ = s.run("renew", "--max-price", "6 USD", "--type", "isp", "--output", "json")
		assert.Equal(t, exitDone, code)
		var plan youproxy.RenewalPlan
		require.NoError(t, json.Unmarshal([]byte(stdout), &plan))
		assert.Len(t, plan.Parts, 1)

		for range 2 { // the second time there is nothing to renew
			code, _, stderr = s.run(next...)
			assert.Equal(t, exitDone, code, stderr)
			next = []string{"renew", "--max-price", "2 USD", "--yes", "--output", "json"}
		}
		assert.Len(t, s.Extensions(), 2)
	})
}

func TestRenewAsks(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.addISP(1)
		s.answer = "no\n"
		code, stdout, stderr := s.run("renew", "--max-price", "6 USD")
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "Renew for up to 2.4 USD? [y/N]")
		assert.Contains(t, stderr, "nothing was renewed")
		assert.Empty(t, stdout)
		assert.Empty(t, s.Extensions())
		s.answer = "yes\n"
		code, stdout, stderr = s.run("renew", "--max-price", "6 USD")
		assert.Equal(t, exitDone, code, stderr)
		assert.Equal(t, "ISP\t1\t30\t2.4 USD\t2.4 USD\n", stdout)
		assert.Len(t, s.Extensions(), 1)
		code, stdout, stderr = s.run("renew", "--max-price", "6 USD", "--output", "json")
		assert.Equal(t, exitDone, code)
		assert.JSONEq(t, `{"renewed":[],"leftOut":[],"failed":[]}`, stdout)
		assert.Contains(t, stderr, "There is nothing to renew.")
		assert.Len(t, s.Extensions(), 1)
	})
}

func TestRenewWithinADay(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.addISP(3)
		args := []string{"renew", "--max-price", "20 USD", "--max-day", "5 USD", "--yes"}
		code, stdout, stderr := s.run(args...)
		assert.Equal(t, exitDone, code, stderr)
		assert.Equal(t, "ISP\t2\t30\t4.8 USD\t4.8 USD\n", stdout)
		assert.Contains(t, stderr, "Left out: 1 x ISP, above the budget")
		code, stdout, _ = s.run(args...)
		assert.Equal(t, exitDone, code)
		assert.Empty(t, stdout)
		time.Sleep(25 * time.Hour)
		code, _, _ = s.run(args...)
		assert.Equal(t, exitDone, code)
		assert.Len(t, s.Extensions(), 2)
	})
}

// Whatever fails, running the same command again renews the rest, and nothing twice.
func TestRenewFailsAndRunsAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fail func(s *shell)
		stop time.Duration
		code int
		want string
		made int // by the first run
	}{
		"a reply is lost":     {func(s *shell) { s.Inject("POST /extend", youproxytest.DropAfterCommit) }, 0, exitDone, "No reply", 2},
		"interrupted":         {func(s *shell) { s.Inject("POST /extend", youproxytest.Slow) }, 5 * time.Second, exitMaySpent, "of 1 it is not known", 2},
		"interrupted at once": {func(s *shell) { s.Inject("POST /extend/order", youproxytest.Slow) }, 5 * time.Second, exitMaySpent, "of 1 it is not known", 1},
		"interrupted before":  {func(s *shell) { s.Inject("POST /extend", youproxytest.DropBeforeCommit) }, 5 * time.Second, exitMaySpent, "of 1 it is not known", 1},
		"one is refused":      {func(s *shell) { s.Refuse("POST /extend", 24) }, 0, exitMaySpent, "of 2 parts of the plan 1 were renewed, and 1 not", 1},
		"all are refused":     {func(s *shell) { s.Refuse("POST /extend", 24); s.Refuse("POST /extend/order", 29) }, 0, exitFailed, "nothing was renewed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				s.addISP(2)
				s.addIPv6(3)
				test.fail(s)
				ctx := t.Context()
				if test.stop > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.stop)
					defer cancel()
				}
				args := []string{"renew", "--max-price", "20 USD", "--yes"}
				code, _, stderr := s.runContext(ctx, args...)
				assert.Equal(t, test.code, code, stderr)
				assert.Contains(t, stderr, test.want)
				assert.Len(t, s.Extensions(), test.made)
				if code == exitMaySpent {
					assert.Equal(t, args, s.next(stderr))
				}
				code, _, stderr = s.run(args...)
				assert.Equal(t, exitDone, code, stderr)
				assert.Len(t, s.Extensions(), 2)
				assert.NotEqual(t, s.Extensions()[0].ProxyType, s.Extensions()[1].ProxyType)
				_, open, _ := s.run("journal", "list", "--since", "0d", "--output", "json")
				assert.Equal(t, "[]\n", open)
			})
		})
	}
}

// What somebody else renews while the question stands is not renewed again.
func TestRenewWhatWasRenewedMeanwhile(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		o := s.addISP(1)
		s.answer = "yes\n"
		s.onErr = func(text string) {
			if strings.HasSuffix(text, "[y/N] ") {
				client, err := s.Client()
				require.NoError(t, err)
				_, err = client.Extend(t.Context(), youproxy.ExtendOrdersRequest{ProxyType: youproxy.ProxyTypeISP, OrderIDs: []youproxy.OrderID{o.ID}, RentPeriodDays: 30})
				require.NoError(t, err)
			}
		}
		code, stdout, stderr := s.run("renew", "--max-price", "6 USD")
		assert.Equal(t, exitDone, code, stderr)
		assert.Empty(t, stdout)
		assert.Contains(t, stderr, "Left out: 1 x ISP, ends later by now")
		assert.Len(t, s.Extensions(), 1)
	})
}
