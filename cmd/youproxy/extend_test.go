package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func TestExtend(t *testing.T) {
	t.Parallel()
	for name, args := range map[string]func(s *shell, o youproxytest.Order) []string{
		"proxies":         func(s *shell, o youproxytest.Order) []string { return s.idsOf(o) },
		"an order":        func(_ *shell, o youproxytest.Order) []string { return []string{"--order", string(o.ID)} },
		"with the type":   func(s *shell, o youproxytest.Order) []string { return append(s.idsOf(o), "--type", "isp") },
		"in another form": func(s *shell, o youproxytest.Order) []string { return append(s.idsOf(o), "--output", "json") },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				s.answer = "y\n"
				o := s.addISP(2)
				s.addISP(1)
				code, stdout, stderr := s.run(append([]string{"extend", "--max-price", "20 USD"}, args(s, o)...)...)
				require.Equal(t, exitDone, code, stderr)
				require.Len(t, s.Extensions(), 1)
				assert.Len(t, s.Extensions()[0].IPAddressIDs, o.Quantity)
				assert.Contains(t, stderr, "Price       4.8 USD\nBalance     100 USD\nLimit       20 USD\nSpend up to 20 USD? [y/N]")
				if name == "in another form" {
					assert.Contains(t, stdout, `"charged": "4.8 USD"`)
				} else {
					assert.Equal(t, "ISP\t2\t30\t4.8 USD\t4.8 USD\n", stdout)
				}
			})
		})
	}
}

func TestExtendFailures(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args string
		code int
		want string
	}{
		"nothing named":    {"extend --max-price 9_USD --yes", exitUsage, "nothing is named"},
		"both":             {"extend 1 --order 2 --max-price 9_USD --yes", exitUsage, "cannot be used together"},
		"no limit":         {"extend 1 --yes", exitUsage, "--max-price is missing"},
		"in a pipe":        {"extend 1 --max-price 9_USD", exitUsage, "add --yes"},
		"no days":          {"extend 1 --days 0 --max-price 9_USD --yes", exitUsage, "--days must be 1 or more"},
		"no type":          {"extend 1 --type IPX --max-price 9_USD --yes", exitUsage, "--type must be IPv4"},
		"twice":            {"extend ISP ISP --max-price 9_USD --yes", exitUsage, "the list of ids is at index 1 the same"},
		"not there":        {"extend nosuch --max-price 9_USD --yes", exitFailed, "youproxy list shows the ids"},
		"no such order":    {"extend --order nosuch --max-price 9_USD --yes", exitFailed, "youproxy list shows the ids"},
		"a number":         {"extend --order NUMBER --max-price 9_USD --yes", exitFailed, "takes the id of an order, not its number"},
		"auto: a number":   {"auto-extend on --order NUMBER", exitFailed, "takes the id of an order, not its number"},
		"two types":        {"extend ISP IPv6 --max-price 9_USD --yes", exitFailed, "name those of one type at a time"},
		"a part of IPv6":   {"extend IPv6 --max-price 9_USD --yes", exitFailed, "the order with --order"},
		"above the limit":  {"extend ISP --max-price 1_USD --yes", exitFailed, "more than --max-price"},
		"auto: no state":   {"auto-extend", exitUsage, "requires at least 1 arg"},
		"auto: odd state":  {"auto-extend yes ISP", exitUsage, "on or off"},
		"auto: no ids":     {"auto-extend on", exitUsage, "nothing is named"},
		"auto: not there":  {"auto-extend off nosuch", exitFailed, "is not in the account"},
		"renew: no limit":  {"renew", exitUsage, "--max-price is missing"},
		"renew: no time":   {"renew --within 0d --max-price 9_USD", exitUsage, "must be more than 0"},
		"renew: odd time":  {"renew --within soon --max-price 9_USD", exitUsage, "such as 7d or 12h"},
		"renew: too early": {"renew --within 31d --max-price 9_USD --yes", exitUsage, "must not be longer than --days"},
		"renew: odd type":  {"renew --type x --max-price 9_USD", exitUsage, "--type must be IPv4"},
		"renew: odd limit": {"renew --max-price 9_USD --max-day 5_EUR --yes", exitFailed, "in the currency of the account"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *shell) {
				order := s.addISP(1)
				isp := s.idsOf(order)[0]
				v6 := s.idsOf(s.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv6, Country: "USA", Quantity: 3}))[0]
				args := strings.Fields(test.args)
				for i := range args {
					switch args[i] {
					case "ISP":
						args[i] = isp
					case "NUMBER":
						args[i] = string(order.Number)
					case "IPv6":
						args[i] = v6
					}
					args[i] = strings.ReplaceAll(args[i], "_", " ")
				}
				code, stdout, stderr := s.run(args...)
				assert.Equal(t, test.code, code, stderr)
				assert.Contains(t, stderr, test.want)
				assert.Empty(t, stdout)
				assert.Empty(t, s.Extensions())
			})
		})
	}
}

// Where the ids are others after the extension, the next run finds it all the same.
func TestExtendInterruptedAndRunAgain(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		list := s.idsOf(s.addISP(2))
		s.Inject("POST /extend", youproxytest.Slow)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		code, stdout, stderr := s.runContext(ctx, append([]string{"extend", "--max-price", "20 USD", "--yes"}, list...)...)
		assert.Equal(t, exitMaySpent, code)
		assert.Empty(t, stdout)
		next := s.next(stderr)

		code, _, stderr = s.run("extend", list[0], "--max-price", "20 USD", "--yes")
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "an earlier purchase stands in the way")
		code, stdout, stderr = s.run(append([]string{"extend", "--max-price", "20 USD", "--yes"}, list...)...)
		assert.Equal(t, exitDone, code, stderr)
		assert.Contains(t, stderr, "Going on with the same purchase")
		assert.Equal(t, "ISP\t2\t30\t4.8 USD\t4.8 USD\n", stdout)
		for range 2 {
			code, stdout, stderr = s.run(next...)
			assert.Equal(t, exitDone, code, stderr)
			assert.Equal(t, "ISP\t2\t30\t4.8 USD\t4.8 USD\n", stdout)
			assert.Contains(t, stderr, "nothing was spent now")
		}
		assert.Len(t, s.Extensions(), 1)
	}, youproxytest.WithRenewedIDs())
}

func TestExtendOrdersInterrupted(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		first, second := s.addISP(1), s.addISP(2)
		s.Inject("POST /extend/order", youproxytest.Slow)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		code, _, stderr := s.runContext(ctx, "extend", "--order", string(first.ID)+","+string(second.ID), "--max-price", "20 USD", "--yes", "--idempotency-key", "job")
		assert.Equal(t, exitMaySpent, code)
		next := s.next(stderr)
		assert.Equal(t, []string{"extend", "--idempotency-key", "job", "--max-price", "20 USD", "--order", string(first.ID), "--order", string(second.ID), "--yes"}, next)
		code, stdout, stderr := s.run(next...)
		assert.Equal(t, exitDone, code, stderr)
		assert.Equal(t, "ISP\t3\t30\t7.2 USD\t7.2 USD\n", stdout)
		assert.Len(t, s.Extensions(), 1)
	})
}

func TestAutoExtend(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *shell) {
		o := s.addISP(2)
		code, stdout, stderr := s.run(append([]string{"auto-extend", "on", "--days", "60"}, s.idsOf(o)...)...)
		require.Equal(t, exitDone, code, stderr)
		assert.Equal(t, "ISP\t2\ton\t60\n", stdout)
		assert.Contains(t, stderr, "charges the account")
		assert.True(t, s.IPAddresses()[0].AutoExtend)
		assert.Equal(t, 60, s.IPAddresses()[0].AutoExtendDays)
		code, stdout, _ = s.run("auto-extend", "off", "--order", string(o.ID), "-o", "json")
		assert.Equal(t, exitDone, code)
		assert.Contains(t, stdout, `"autoExtend": false`)
		assert.False(t, s.IPAddresses()[0].AutoExtend)
		assert.Equal(t, "100 USD", s.Balance().String())

		for range 3 {
			s.Inject("POST /extend/order/auto", youproxytest.DropAfterCommit)
		}
		code, _, stderr = s.run("auto-extend", "on", "--order", string(o.ID))
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, stderr, "It is not known whether it was switched on: youproxy list shows that.")
	})
}
