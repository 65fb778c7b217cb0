package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// buying returns the arguments of a purchase.
func buying(more ...string) []string {
	return append([]string{"buy", "--country", "USA", "--goal", "price monitoring", "--max-price", "10 USD"}, more...)
}

func TestBuyPrintsProxies(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		s.answer = "yes\n"
		code, stdout, stderr := s.run(buying("--quantity", "2")...)
		assert.Equal(t, exitDone, code, stderr)
		assert.Equal(t, s.lastURLs(), stdout)
		assert.Equal(t, 2, strings.Count(stdout, "\n"))
		for _, word := range []string{"2 x IPv4, USA, 30 days", "Price       2.62 USD", "Balance     100 USD", "Limit       10 USD", "Spend up to 10 USD? [y/N]", "Bought 2 x IPv4, USA, 30 days for 2.62 USD."} {
			assert.Contains(t, stderr, word)
		}
	})
}

func TestBuyForms(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		code, stdout, stderr := s.run(buying("--yes", "--output", "json")...)
		require.Equal(t, exitDone, code, stderr)
		var value struct {
			OrderNumber, OrderID, Charged, IdempotencyKey string
			Proxies                                       []youproxy.Proxy
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &value))
		assert.Equal(t, string(s.Orders()[0].Number), value.OrderNumber)
		assert.Equal(t, string(s.Orders()[0].ID), value.OrderID)
		assert.Equal(t, "1.31 USD", value.Charged)
		require.Len(t, value.Proxies, 1)
		assert.Equal(t, s.IPAddresses()[0].Password, value.Proxies[0].Credentials.Password.Reveal())

		code, stdout, _ = s.run(buying("--yes", "--output", "csv")...)
		assert.Equal(t, exitDone, code)
		assert.Equal(t, 2, strings.Count(stdout, "\n"))

		code, stdout, _ = s.run(buying("--yes", "--no-wait", "--output", "json")...)
		assert.Equal(t, exitDone, code)
		assert.NotContains(t, stdout, "proxies")
		code, stdout, _ = s.run(buying("--yes", "--no-wait")...)
		assert.Equal(t, exitDone, code)
		assert.Empty(t, stdout)
		assert.Len(t, s.Orders(), 4)
	})
}

// Where the answer cannot be yes, nobody is asked.
func TestBuyDoesNotAskInVain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		want string
		opts []youproxytest.Option
	}{
		"above the limit":     {[]string{"--max-price", "1 USD"}, "1.31 USD is more than --max-price 1 USD; nothing was spent\nIf you want", nil},
		"price of each":       {[]string{"--quantity", "3", "--max-price", "3 USD"}, "3.93 USD is more than --max-price 3 USD", []youproxytest.Option{youproxytest.WithPricePerProxy()}},
		"another currency":    {[]string{"--max-price", "10 EUR"}, "youproxy balance shows it", nil},
		"no funds":            {[]string{"--quantity", "10", "--max-price", "100 USD"}, "Add money to the account", []youproxytest.Option{youproxytest.WithBalance(youproxy.MustMoney("5 USD"))}},
		"no funds of each":    {[]string{"--quantity", "4", "--max-price", "100 USD"}, "Add money to the account", []youproxytest.Option{youproxytest.WithBalance(youproxy.MustMoney("5 USD")), youproxytest.WithPricePerProxy()}},
		"promo code":          {[]string{"--promo", "GONE"}, "Leave out --promo", nil},
		"a goal":              {[]string{"--goal", "spam"}, "Say in --goal", nil},
		"a country":           {[]string{"--country", "ATA"}, "youproxy catalog shows", nil},
		"a wrong rent period": {[]string{"--days", "17"}, "youproxy catalog shows", nil},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				s.answer = "yes\n"
				code, stdout, stderr := s.run(buying(test.args...)...)
				assert.Equal(t, exitFailed, code)
				assert.Contains(t, stderr, test.want)
				assert.NotContains(t, stderr, "[y/N]")
				assert.Empty(t, stdout)
				assert.Zero(t, s.sent("POST /order"))
			}, test.opts...)
		})
	}
}

func TestBuyAnswers(t *testing.T) {
	t.Parallel()
	for answer, orders := range map[string]int{"y\n": 1, "YES\n": 1, "yes": 1, "n\n": 0, "\n": 0, "yesterday\n": 0, " ": 0} {
		t.Run(strconv.Quote(answer), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				s.answer = answer
				code, _, stderr := s.run(buying()...)
				assert.Len(t, s.Orders(), orders)
				if orders == 0 {
					assert.Equal(t, exitFailed, code)
					assert.Contains(t, stderr, "the answer was not yes: nothing was spent")
				}
			})
		})
	}
}

func TestBuyInterruptedAtTheQuestion(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		ctx, cancel := context.WithCancel(t.Context())
		in, out := io.Pipe() // nobody answers
		s.in, s.asks = in, true
		s.onErr = func(text string) {
			if strings.Contains(text, "[y/N]") {
				cancel()
			}
		}
		code, _, stderr := s.runContext(ctx, buying()...)
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "interrupted: nothing was spent")
		assert.Empty(t, s.Orders())
		require.NoError(t, out.Close())
	})
}

func TestBuyWithoutAJournal(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		file := filepath.Join(s.folder, "file")
		require.NoError(t, os.WriteFile(file, []byte("no journal\n"), 0o600))
		for _, journal := range []string{filepath.Join(file, "journal"), file, s.folder} {
			code, _, stderr := s.run(buying("--yes", "--journal", journal)...)
			assert.Equal(t, exitFailed, code)
			assert.Contains(t, stderr, "nothing is spent without a journal")
		}
		assert.Empty(t, s.Requests())
	})
}

func TestQuote(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		args := []string{"quote", "--country", "USA", "--goal", "price monitoring"}
		code, stdout, stderr := s.run(args...)
		assert.Equal(t, exitDone, code, stderr)
		assert.Equal(t, "IPv4\t1.31 USD\t100 USD\t0%\t-\t-\n", stdout)
		code, stdout, _ = s.run(append(args, "--output", "json")...)
		assert.Equal(t, exitDone, code)
		assert.JSONEq(t, `{"proxyType":"IPv4","price":"1.31 USD","balance":"100 USD","discount":"0"}`, stdout)
		code, stdout, stderr = s.run(append(args, "--max-price", "1 USD")...)
		assert.Equal(t, exitFailed, code)
		assert.NotEmpty(t, stdout)
		assert.Contains(t, stderr, "more than --max-price")
		code, stdout, stderr = s.run(append(args, "--goal", "spam")...)
		assert.Equal(t, exitDone, code, stderr)
		assert.Contains(t, stdout, "goal")
		assert.NoFileExists(t, s.journal())
	})
}
