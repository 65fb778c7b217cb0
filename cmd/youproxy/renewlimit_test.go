package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// To run the same command until it succeeds spends no more than --max-price in all.
func TestRenewUntilItSucceeds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fail  func(s *shell)
		pause time.Duration
		again []string
		spent string
	}{
		"not printed":              {func(s *shell) { s.out = brokenPipe{} }, 0, nil, "4.8 USD"},
		"refused in part":          {func(s *shell) { s.addIPv6(3); s.Refuse("POST /extend/order", 24) }, 0, nil, "3.21 USD"},
		"all of it":                {func(s *shell) { s.out = brokenPipe{} }, 0, []string{}, "4.8 USD"},
		"the day after":            {func(s *shell) { s.out = brokenPipe{} }, 24 * time.Hour, nil, "9.6 USD"},
		"with another limit":       {func(s *shell) { s.out = brokenPipe{} }, 0, []string{"--max-price", "5.01 USD"}, "9.6 USD"},
		"with the same limit, too": {func(s *shell) { s.out = brokenPipe{} }, 0, []string{"--max-price", "5.00 USD"}, "4.8 USD"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				s.addISP(5) // 2.4 USD each
				test.fail(s)
				args := []string{"renew", "--max-price", "5 USD", "--yes"}
				if name == "all of it" {
					args[2] = "4.8 USD"
				}
				code, _, stderr := s.run(args...)
				require.Equal(t, exitMaySpent, code, stderr)
				s.out = nil
				time.Sleep(test.pause)
				code, _, stderr = s.run(append(args, test.again...)...)
				assert.Equal(t, exitDone, code, stderr)
				spent, err := youproxy.MustMoney("100 USD").Sub(s.Balance())
				require.NoError(t, err)
				assert.Equal(t, test.spent, spent.String())

				if test.again != nil {
					return
				}
				s.SetBalance(youproxy.MustMoney("100 USD"))
				code, _, stderr = s.run(args...) // another one
				assert.Equal(t, exitDone, code, stderr)
				assert.NotContains(t, stderr, "did not finish")
			})
		})
	}
}

// What is not known to be spent counts, too.
func TestRenewLimitWithAnOpenPart(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.addISP(2)
		s.addISP(1)
		s.Inject("POST /extend", youproxytest.DropBeforeCommit)
		s.onErr = func(text string) {
			if strings.Contains(text, "No reply") {
				s.SetBalance(youproxy.MustMoney("50 USD")) // so that nobody can tell
			}
		}
		args := []string{"renew", "--max-price", "5 USD", "--yes"}
		for range 3 {
			code, _, stderr := s.run(args...)
			assert.Equal(t, exitMaySpent, code, stderr)
		}
		assert.Equal(t, 1, s.sent("POST /extend"))
		time.Sleep(13 * time.Hour)
		code, _, stderr := s.run(args...)
		assert.Equal(t, exitMaySpent, code, stderr) // for what is open still
		assert.Equal(t, 2, s.sent("POST /extend"))
	})
}

func TestRenewLimitThatIsExceeded(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.addISP(2)
		s.out = brokenPipe{}
		code, _, _ := s.run("renew", "--max-price", "5 USD", "--yes")
		require.Equal(t, exitMaySpent, code)
		a := s.app(io.Discard, io.Discard)
		marks, err := a.marks(plans)
		require.NoError(t, err)
		require.Len(t, marks, 1)
		l := &renewLimit{a: a, request: marks[0].request}
		left, err := l.left(t.Context(), youproxy.MustMoney("3 USD"))
		require.NoError(t, err)
		assert.Equal(t, "0 USD", left.String())
		for _, end := range a.closers {
			require.NoError(t, end())
		}
	})
}
