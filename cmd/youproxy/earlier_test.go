package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/filejournal"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// marks returns how many purchases are not finished.
func (s *shell) marks() int {
	files, err := filepath.Glob(s.journal() + "." + madeUp + "*")
	require.NoError(s.t, err)
	return len(files)
}

// To run the same command until it succeeds buys once, wherever it fails.
func TestBuyUntilItIsPrinted(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"--output", "json"}, {"--output", "csv"}, {"--output", "json", "--no-wait"}} {
		for name, between := range map[string]func(s *shell){
			"at once": func(*shell) {},
			"after a look at the journal": func(s *shell) {
				code, _, stderr := s.run("journal", "recover")
				assert.Equal(t, exitDone, code, stderr)
			},
			"after a week":    func(*shell) { time.Sleep(7 * 24 * time.Hour) },
			"with less money": func(s *shell) { s.SetBalance(youproxy.MustMoney("1 USD")) },
		} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, s *shell) {
					args := buying(append(args, "--yes")...)
					s.out = brokenPipe{}
					for range 3 {
						code, _, stderr := s.run(args...)
						assert.Equal(t, exitMaySpent, code, stderr)
						assert.Equal(t, 1, s.marks())
					}
					s.out = nil
					between(s)
					code, stdout, stderr := s.run(args...)
					assert.Equal(t, exitDone, code, stderr)
					assert.NotEmpty(t, stdout)
					assert.Contains(t, stderr, "Going on with the same purchase of an earlier run")
					assert.Contains(t, stderr, "nothing was spent now")
					assert.Len(t, s.Orders(), 1)
					assert.Zero(t, s.marks())

					s.SetBalance(youproxy.MustMoney("10 USD"))
					code, _, stderr = s.run(args...) // another one
					assert.Equal(t, exitDone, code, stderr)
					assert.Len(t, s.Orders(), 2)
				})
			})
		}
	}
}

// A purchase that was not printed is of no use to a command that asks for something else,
// and to nobody once it has ended.
func TestBuyOtherThanWhatWasNotPrinted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more  []string
		sleep time.Duration
		marks int
	}{
		"more":                    {[]string{"--quantity", "2"}, 0, 1},
		"for another address":     {[]string{"--auth-ip", "192.0.2.1"}, 0, 1},
		"with a key":              {[]string{"--idempotency-key", "second"}, 0, 1},
		"when the first is ended": {nil, 31 * 24 * time.Hour, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				s.out = brokenPipe{}
				code, _, _ := s.run(buying("--yes", "--no-wait", "--output", "json")...)
				require.Equal(t, exitMaySpent, code)
				s.out = nil
				time.Sleep(test.sleep)
				code, _, stderr := s.run(buying(append(test.more, "--yes")...)...)
				assert.Equal(t, exitDone, code, stderr)
				assert.Len(t, s.Orders(), 2)
				assert.Equal(t, test.marks, s.marks())
			})
		})
	}
}

// What is open stops an order for another address, though the journal does not tell that.
func TestBuyForAnotherAddress(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.Inject("POST /order", youproxytest.Slow)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		code, _, _ := s.runContext(ctx, buying("--yes")...)
		require.Equal(t, exitMaySpent, code)
		code, _, stderr := s.run(buying("--yes", "--auth-ip", "192.0.2.1")...)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "an earlier purchase stands in the way")
		assert.Len(t, s.Orders(), 1)
	})
}

// What spent nothing leaves no mark.
func TestBuyThatFailsLeavesNoMark(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.Refuse("POST /order", 24)
		code, _, _ := s.run(buying("--yes")...)
		assert.Equal(t, exitFailed, code)
		assert.Zero(t, s.marks())

		left := s.journal() + "." + madeUp + "aaaaaaaaaaaaaaaa.0123" // of a run that was killed before it sent anything
		require.NoError(t, os.WriteFile(left, nil, 0o600))
		code, _, stderr := s.run(buying("--yes")...)
		assert.Equal(t, exitDone, code, stderr)
		assert.Zero(t, s.marks())
		assert.Len(t, s.Orders(), 1)
	})
}

// A program that still waits for its proxies is left alone.
func TestBuyWhileAnotherWaits(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		done := make(chan int)
		for range 3 {
			go func() {
				code, _, stderr := s.run(buying("--yes")...)
				assert.NotContains(t, stderr, "earlier run")
				done <- code
			}()
			time.Sleep(10 * time.Second)
		}
		for range 3 {
			assert.Equal(t, exitDone, <-done)
		}
		assert.Len(t, s.Orders(), 3)
		assert.Zero(t, s.marks())
	}, youproxytest.WithProvisioningDelay(time.Minute))
}

// What was bought before is not told to be nothing.
func TestBuyInterruptedAfterItWasBought(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		args := buying("--yes", "--idempotency-key", "monday")
		code, _, _ := s.run(args...)
		require.Equal(t, exitDone, code)
		journal, err := filejournal.Open(s.journal())
		require.NoError(t, err)
		unlock, err := journal.Lock(t.Context())
		require.NoError(t, err)
		defer unlock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		code, _, stderr := s.runContext(ctx, args...)
		assert.Equal(t, exitMaySpent, code)
		assert.ElementsMatch(t, args, s.next(stderr))
		assert.Len(t, s.Orders(), 1)
	})
}

func TestExtendUntilItIsPrinted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		list := s.idsOf(s.addISP(2))
		args := append([]string{"extend", "--max-price", "20 USD", "--yes"}, list...)
		s.out = brokenPipe{}
		for range 2 {
			code, _, stderr := s.run(args...)
			assert.Equal(t, exitMaySpent, code)
			assert.Contains(t, stderr, "it was extended, but that was not printed: broken pipe\nTo print it, which spends nothing, run:\n")
		}
		s.out = nil
		code, stdout, stderr := s.run("extend", list[1], list[0], "--max-price", "20 USD", "--yes")
		assert.Equal(t, exitDone, code, stderr)
		assert.Equal(t, "ISP\t2\t30\t4.8 USD\t4.8 USD\n", stdout)
		assert.Len(t, s.Extensions(), 1)
		code, _, _ = s.run(args...) // another one
		assert.Equal(t, exitDone, code)
		assert.Len(t, s.Extensions(), 2)
		assert.Zero(t, s.marks())
	})
}

func TestRecoverThatCannotPrint(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.interrupted(youproxytest.Slow, "job")
		s.out = brokenPipe{}
		code, _, stderr := s.run("journal", "recover")
		assert.Equal(t, exitMaySpent, code)
		assert.Equal(t, []string{"journal", "list"}, s.next(stderr))
	})
}

// A mistake in the program is not wrong usage.
func TestPanic(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.onErr = func(text string) {
			if len(text) > 0 {
				s.onErr = nil
				panic("a mistake")
			}
		}
		code, _, stderr := s.run(buying("--yes")...)
		assert.Equal(t, exitMaySpent, code)
		assert.Equal(t, []string{"journal", "recover"}, s.next(stderr))
	})
}
