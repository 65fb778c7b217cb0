package youproxy_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// assertNothingSent holds an error of a guard, and the account, against its
// promises.
func assertNothingSent(t *testing.T, m *market, before ledger, got *bought, err error) {
	t.Helper()
	require.Error(t, err)
	assert.Nil(t, got)
	assert.Empty(t, m.sends())
	assert.Equal(t, before, m.ledger())
	assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err), "%v", err)
	assert.ErrorIs(t, err, youproxy.ErrNotSent)
	assert.NotErrorIs(t, err, youproxy.ErrOutcomeUnknown)
	assert.NotErrorIs(t, err, youproxy.ErrUndetermined)
	assert.ErrorContains(t, err, "nothing was spent")
	assert.True(t, strings.HasPrefix(err.Error(), "youproxy: "), "%v", err)
	assert.Equal(t, 1, strings.Count(err.Error(), "youproxy: "), "%v", err)
	assertNoSecrets(t, m, err)
}

// assertNoSecrets looks for the key and the proxies' passwords in all the ways a
// value is printed.
func assertNoSecrets(t *testing.T, m *market, values ...any) {
	t.Helper()
	var shown seen
	for _, v := range values {
		shown.addPrinted(fmt.Sprintf("%T", v), v)
		if err, ok := v.(error); ok {
			shown.addError("error", err)
		}
	}
	shown.check(t, m.APIKey())
	for _, ip := range m.IPAddresses() {
		for _, text := range shown.texts {
			assert.False(t, ip.Password != "" && strings.Contains(text, ip.Password), "a password shows: %s", text)
		}
	}
}

var guardCases = []struct {
	name    string
	options []any
	arrange func(t *testing.T, m *market, b buying)
	limit   func(price youproxy.Money) youproxy.Money // the price, where nil
	want    []error
	not     []error
	text    string
}{
	{
		name:  "price above the limit",
		limit: func(price youproxy.Money) youproxy.Money { return less(price, "0.01") },
		want:  []error{youproxy.ErrPriceAboveLimit}, text: "USD is above the limit of ",
	},
	{
		name:  "limit of nothing",
		limit: func(youproxy.Money) youproxy.Money { return youproxy.MustMoney("0 USD") },
		want:  []error{youproxy.ErrPriceAboveLimit}, text: "above the limit of 0 USD",
	},
	{
		name:  "limit in another currency",
		limit: func(youproxy.Money) youproxy.Money { return youproxy.MustMoney("1000 EUR") },
		want:  []error{youproxy.ErrCurrencyMismatch}, not: []error{youproxy.ErrPriceAboveLimit}, text: "cannot be compared with the limit of 1000 EUR: their currencies are not the same",
	},
	{
		name:  "limit without a currency",
		limit: func(youproxy.Money) youproxy.Money { return youproxy.Money{Amount: decimal.NewFromInt(1000)} },
		want:  []error{youproxy.ErrCurrencyMismatch}, text: `pass one such as MustMoney("10 USD")`,
	},
	{
		name:  "limit that is not known",
		limit: func(youproxy.Money) youproxy.Money { return youproxy.Money{} },
		want:  []error{youproxy.ErrCurrencyMismatch}, text: `the limit is missing: pass one such as MustMoney("10 USD")`,
	},
	{
		name: "limit in a currency with blanks",
		limit: func(youproxy.Money) youproxy.Money {
			return youproxy.Money{Amount: decimal.NewFromInt(1000), Currency: " USD "}
		},
		want: []error{youproxy.ErrCurrencyMismatch}, text: "without blanks",
	},
	{
		name:    "price without a currency",
		arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "currency", nil) },
		want:    []error{youproxy.ErrCurrencyMismatch},
	},
	{
		name:    "price of nothing",
		arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "price", 0) },
		want:    []error{youproxy.ErrQuoteWarning}, text: "without a full discount",
	},
	{
		name:    "quote of another proxy type",
		arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "proxyType", "IPv9") },
		text:    `its "proxyType" is not what was asked for`,
	},
	{
		name: "a warning that stands alone",
		arrange: func(_ *testing.T, m *market, b buying) {
			m.changeQuote(b, "warnings", map[string]any{"code": 14, "message": "Incorrect goal"})
		},
		want: []error{youproxy.ErrQuoteWarning, youproxy.ErrIncorrectGoal}, text: "Incorrect goal",
	},
	{
		name:    "a warning in words",
		arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "warnings", "not today") },
		want:    []error{youproxy.ErrQuoteWarning}, text: "not today",
	},
	{
		name:    "negative price",
		arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "price", -1) },
		want:    []error{youproxy.ErrQuoteWarning}, text: "negative",
	},
	{
		name:    "balance too small by the quote",
		arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "balance", 1.3) },
		want:    []error{youproxy.ErrInsufficientFunds}, not: []error{youproxy.ErrQuoteWarning}, text: "the balance of 1.3 USD is less than the price of ",
	},
	{
		name: "balance too small by a warning",
		arrange: func(_ *testing.T, m *market, b buying) {
			m.SetBalance(less(b.limit(), "0.01"))
		},
		want: []error{youproxy.ErrInsufficientFunds, youproxy.ErrQuoteWarning}, text: "Insufficient funds on balance",
	},
	{
		name:    "quote refused",
		arrange: func(_ *testing.T, m *market, b buying) { m.Refuse(b.quoteOp(), 11) },
		want:    []error{youproxy.ErrIncorrectRentPeriod}, text: "the quote failed",
	},
	{
		name:    "quote refused with a fault of the service",
		arrange: func(_ *testing.T, m *market, b buying) { m.Refuse(b.quoteOp(), 35) },
		want:    []error{youproxy.ErrServiceFault},
	},
	{
		name:    "quote unreachable",
		arrange: func(_ *testing.T, m *market, b buying) { m.Inject(b.quoteOp(), threeTimes(youproxytest.BadGateway)...) },
		text:    "the quote failed: HTTP status 502",
	},
	{
		name:    "quote without a price",
		arrange: func(_ *testing.T, m *market, b buying) { m.changeQuote(b, "price", nil) },
	},
	{
		name:    "quote that shows the key",
		arrange: func(_ *testing.T, m *market, b buying) { m.Inject(b.quoteOp(), youproxytest.EchoKey) },
	},
	{
		name:    "list refused",
		arrange: func(_ *testing.T, m *market, _ buying) { m.Refuse("GET /ipAddress", 3) },
		want:    []error{youproxy.ErrCallerNotAllowed}, text: "what the account holds could not be read",
	},
	{
		name: "list unreadable",
		arrange: func(_ *testing.T, m *market, _ buying) {
			m.Inject("GET /ipAddress", threeTimes(youproxytest.HTMLPage)...)
		},
		text: "what the account holds could not be read",
	},
	{
		name: "list that breaks off",
		arrange: func(_ *testing.T, m *market, _ buying) {
			m.Inject("GET /ipAddress", threeTimes(youproxytest.Truncated)...)
		},
		text: "what the account holds could not be read",
	},
	{
		name: "balance too small where the quote tells none",
		arrange: func(_ *testing.T, m *market, b buying) {
			m.changeQuote(b, "balance", nil)
			m.after[b.quoteOp()] = func() { m.SetBalance(less(b.limit(), "0.01")) }
		},
		want: []error{youproxy.ErrInsufficientFunds}, not: []error{youproxy.ErrQuoteWarning}, text: "USD is less than the price of ",
	},
	{
		name: "balance in another currency where the quote tells none",
		arrange: func(_ *testing.T, m *market, b buying) {
			m.changeQuote(b, "balance", nil)
			m.after[b.quoteOp()] = func() { m.SetBalance(youproxy.MustMoney("100 EUR")) }
		},
		want: []error{youproxy.ErrCurrencyMismatch},
	},
	{
		name: "balance refused",
		arrange: func(_ *testing.T, m *market, b buying) {
			m.changeQuote(b, "balance", nil)
			m.Refuse("GET /balance", 2)
		},
		want: []error{youproxy.ErrInvalidAPIKey}, text: "what the account holds could not be read",
	},
	{
		name: "balance unreadable",
		arrange: func(_ *testing.T, m *market, b buying) {
			m.changeQuote(b, "balance", nil)
			m.Inject("GET /balance", threeTimes(youproxytest.ServiceUnavailable)...)
		},
		text: "what the account holds could not be read: HTTP status 503",
	},
	{
		name:    "a journal that cannot record",
		arrange: func(_ *testing.T, m *market, _ buying) { m.journal.onRecord = recordFails(errDisk) },
		want:    []error{errDisk}, text: "the attempt could not be recorded: the disk is full",
	},
	{
		name: "an error of recording that shows the key and looks unknown",
		arrange: func(_ *testing.T, m *market, _ buying) {
			m.journal.onRecord = recordFails(looksUnknown{"https://x/" + youproxytest.DefaultAPIKey})
		},
	},
	{
		name: "a journal that cannot lock",
		arrange: func(_ *testing.T, m *market, _ buying) {
			m.journal.onLock = func(context.Context) error { return errDisk }
		},
		want: []error{errDisk}, not: []error{youproxy.ErrNotExecuted}, text: "the journal could not be locked: the disk is full",
	},
	{
		name: "an error of locking that shows the key",
		arrange: func(_ *testing.T, m *market, _ buying) {
			m.journal.onLock = func(context.Context) error { return errors.New("lock/" + youproxytest.DefaultAPIKey) }
		},
		text: "the journal could not be locked",
	},
	{
		name:    "a journal that cannot be read",
		options: []any{youproxy.WithJournal(unreadableJournal{newTestJournal(), errDisk})},
		want:    []error{errDisk}, not: []error{youproxy.ErrNotExecuted}, text: "the journal could not be read: the disk is full",
	},
}

func TestGuards(t *testing.T) {
	t.Parallel()
	for _, tc := range guardCases {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				if tc.arrange != nil {
					tc.arrange(t, m, b)
				}
				limit := b.limit()
				if tc.limit != nil {
					limit = tc.limit(limit)
				}
				got, err := b.buyFor(t.Context(), m, m.client, limit)
				before := m.opened
				before.balance = m.Balance().String() // some cases set it
				assertNothingSent(t, m, before, got, err)
				for _, want := range tc.want {
					assert.ErrorIs(t, err, want)
				}
				for _, not := range tc.not {
					assert.NotErrorIs(t, err, not)
				}
				assert.ErrorContains(t, err, tc.text)
				assert.Empty(t, m.recorded)
			}, tc.options...)
		})
	}
}

func threeTimes(f youproxytest.Fault) []youproxytest.Fault {
	return slices.Repeat([]youproxytest.Fault{f}, 3)
}

// An error that a journal brings from another purchase tells nothing of this one.
func TestErrorsOfOtherPurchases(t *testing.T) {
	t.Parallel()
	other := &youproxy.SpendError{Verdict: youproxy.VerdictUndetermined, Err: errors.New("of another one")}
	for name, journal := range map[string]func() youproxy.Journal{
		"recording": func() youproxy.Journal {
			j := newTestJournal()
			j.onRecord = recordFails(other)
			return j
		},
		"locking": func() youproxy.Journal {
			j := newTestJournal()
			j.onLock = func(context.Context) error { return other }
			return j
		},
		"reading": func() youproxy.Journal { return unreadableJournal{newTestJournal(), other} },
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				_, err := m.anotherClient(t, youproxy.WithJournal(journal())).Buy(t.Context(), anISPOrder(), buyISP.limit())
				require.ErrorContains(t, err, "of another one")
				assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
				assert.NotErrorIs(t, err, youproxy.ErrUndetermined)
				assert.NotErrorIs(t, err, youproxy.ErrOutcomeUnknown)
				assert.Empty(t, m.sends())
			})
		})
	}
}

// recordFails gives a hook of a journal that cannot record.
func recordFails(err error) func(context.Context, youproxy.Entry) error {
	return func(context.Context, youproxy.Entry) error { return err }
}

// unreadableJournal is a journal that can be locked, and not be read.
type unreadableJournal struct {
	*testJournal

	err error
}

func (j unreadableJournal) Entries(context.Context, youproxy.EntryQuery) iter.Seq2[youproxy.Entry, error] {
	return func(yield func(youproxy.Entry, error) bool) { yield(youproxy.Entry{}, j.err) }
}

// looksUnknown matches what an error whose outcome is unknown does.
type looksUnknown struct{ text string }

func (e looksUnknown) Error() string        { return e.text }
func (e looksUnknown) Is(target error) bool { return target == youproxy.ErrOutcomeUnknown }

// A refused quote, list or balance can be asked for what the service said.
func TestGuardsKeepTheRefusal(t *testing.T) {
	t.Parallel()
	for _, asked := range []string{"quote", "GET /ipAddress", "GET /balance"} {
		t.Run(asked, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				op := asked
				if op == "quote" {
					op = b.quoteOp()
				}
				if op == "GET /balance" {
					m.changeQuote(b, "balance", nil)
				}
				m.Refuse(op, 99)
				_, err := b.buy(t.Context(), m, m.client)
				var refused *youproxy.APIError
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, youproxy.ErrorCode(99), refused.Code)
				assert.Equal(t, op, refused.Op)
				assert.ErrorIs(t, err, youproxy.ErrorCode(99))
				assert.ErrorContains(t, err, `"Error 99" (code 99)`)
				assert.ErrorIs(t, err, youproxy.ErrNotSent)
			})
		})
	}
}

// A quote that could not be had keeps how long the service asks to wait.
func TestGuardsKeepTheCallError(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.Inject(b.quoteOp(), threeTimes(youproxytest.TooManyRequests)...)
		_, err := b.buy(t.Context(), m, m.client)
		var lost *youproxy.CallError
		require.ErrorAs(t, err, &lost)
		assert.Equal(t, time.Second, lost.RetryAfter)
		assert.Equal(t, youproxy.OutcomeNotSent, youproxy.OutcomeOf(err))
	})
}

func TestWarningsStopThePurchase(t *testing.T) {
	t.Parallel()
	for _, code := range []youproxy.ErrorCode{2, 3, 4, 6, 7, 8, 10, 11, 13, 14, 16, 19, 23, 24, 25, 28, 29, 35, 99, 0} {
		t.Run(fmt.Sprint(int(code)), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.changeQuote(b, "warnings", []map[string]any{{"code": code, "message": "Such a pity"}, {"code": 98, "message": m.APIKey()}})
				got, err := b.buy(t.Context(), m, m.client)
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, youproxy.ErrQuoteWarning)
				assert.ErrorIs(t, err, code)
				assert.ErrorIs(t, err, youproxy.ErrorCode(98))
				assert.NotErrorIs(t, err, youproxy.ErrorCode(97))
				assert.ErrorContains(t, err, fmt.Sprintf(`the service would not execute it: "Such a pity" (code %d), `, int(code)))
			})
		})
	}
	t.Run("of the service", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.SetBalance(youproxy.MustMoney("1 USD"))
			before := m.ledger()
			got, err := asBought(m.client.Buy(t.Context(), change(anIPv4Order(), func(r *youproxy.IPv4OrderRequest) { r.Goal = "spam" }), buyIPv4.limit()))
			assertNothingSent(t, m, before, got, err)
			assert.ErrorIs(t, err, youproxy.ErrQuoteWarning)
			assert.ErrorIs(t, err, youproxy.ErrIncorrectGoal)
			assert.ErrorIs(t, err, youproxy.ErrInsufficientFunds)
			assert.EqualError(t, err, `youproxy: POST /order: the service would not execute it: "Incorrect goal" (code 14), "Insufficient funds on balance" (code 16); nothing was sent, nothing was spent`)
		})
	})
}

func TestPromoCodeThatIsNotValidStopsThePurchase(t *testing.T) {
	t.Parallel()
	limit := youproxy.MustMoney("100 USD")
	for name, status := range map[string]any{"NO_VALID": "NO_VALID", "null": nil, "unheard of": "HALF"} {
		t.Run(name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.changeQuote(b, "promoCodeStatus", status)
				got, err := b.buyFor(t.Context(), m, m.client, limit)
				if b.promo == "" {
					require.NoError(t, err, "none was sent")
					return
				}
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, youproxy.ErrPromoCodeNotValid)
				assert.ErrorContains(t, err, "the promo code is not valid: the full price of "+b.price+" would be charged")
			})
		})
	}
	t.Run("of the service", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			got, err := asBought(m.client.Buy(t.Context(), change(anIPv4Order(), func(r *youproxy.IPv4OrderRequest) { r.PromoCode = "WRONG" }), limit))
			assertNothingSent(t, m, m.opened, got, err)
			assert.ErrorIs(t, err, youproxy.ErrPromoCodeNotValid)
			x := renewIPs.extend(m).(youproxy.ExtendIPsRequest)
			x.PromoCode = "WRONG"
			got, err = asRenewed(m.client.Renew(t.Context(), x, limit))
			assertNothingSent(t, m, m.opened, got, err)
			assert.ErrorIs(t, err, youproxy.ErrPromoCodeNotValid)
		})
	})
}

func TestRenewRefusesWhatItCannotFollow(t *testing.T) {
	t.Parallel()
	byIPs := func(of youproxy.ProxyType, ids ...youproxy.IPAddressID) youproxy.ExtendRequest {
		return youproxy.ExtendIPsRequest{ProxyType: of, IPAddressIDs: ids, RentPeriodDays: 90}
	}
	byOrders := func(of youproxy.ProxyType, ids ...youproxy.OrderID) youproxy.ExtendRequest {
		return youproxy.ExtendOrdersRequest{ProxyType: of, OrderIDs: ids, RentPeriodDays: 90}
	}
	for _, tc := range []struct {
		name string
		req  func(m *market) youproxy.ExtendRequest
		want youproxy.ErrorCode
		text string
	}{
		{"a proxy that is not in the account", func(m *market) youproxy.ExtendRequest {
			return byIPs(youproxy.ProxyTypeIPv4, append(m.idsOf(m.ipv4.ID), "42")...)
		}, youproxy.ErrIncorrectIPAddresses, "42 is not among the account's proxies of that type"},
		{"a proxy of another type", func(m *market) youproxy.ExtendRequest {
			return byIPs(youproxy.ProxyTypeISP, m.idsOf(m.ipv4.ID)[0])
		}, youproxy.ErrIncorrectIPAddresses, "is not among"},
		{"an order that is not in the account", func(m *market) youproxy.ExtendRequest {
			return byOrders(youproxy.ProxyTypeIPv4, m.ipv4.ID, "42")
		}, youproxy.ErrIncorrectOrderIDs, "42 is not among"},
		{"an order of another type", func(m *market) youproxy.ExtendRequest {
			return byOrders(youproxy.ProxyTypeISP, m.ipv4.ID)
		}, youproxy.ErrIncorrectOrderIDs, "is not among"},
		{"a part of an IPv6 order", func(m *market) youproxy.ExtendRequest {
			return byIPs(youproxy.ProxyTypeIPv6, m.idsOf(m.ipv6.ID)[:2]...)
		}, youproxy.ErrWholeOrderRequired, "only a part of the IPv6 order "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				limit := youproxy.MustMoney("50 USD")
				got, err := asRenewed(m.client.Renew(t.Context(), tc.req(m), limit))
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, tc.want)
				assert.ErrorContains(t, err, "the quote failed", "the service refuses it as well")

				for _, op := range []string{"POST /calculate/extend", "POST /calculate/extend/order"} {
					m.rewrite[op] = func(string) string {
						return `{"success": true, "balance": 100, "price": 1, "currency": "USD", "error": null}`
					}
				}
				got, err = asRenewed(m.client.Renew(t.Context(), tc.req(m), limit))
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, tc.want)
				assert.ErrorContains(t, err, tc.text)
				assert.Empty(t, m.recorded)
			})
		})
	}
	t.Run("but not all proxies of an IPv6 order, nor some of an IPv4 order", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			limit := youproxy.MustMoney("50 USD")
			_, err := m.client.Renew(t.Context(), byIPs(youproxy.ProxyTypeIPv6, m.idsOf(m.ipv6.ID)...), limit)
			require.NoError(t, err)
			renewal, err := m.client.Renew(t.Context(), byIPs(youproxy.ProxyTypeIPv4, m.idsOf(m.ipv4.ID)[0]), limit)
			require.NoError(t, err)
			assert.Equal(t, 1, renewal.Attempt.Quantity)
			assert.Len(t, m.Extensions(), 2)
		})
	})
}

// aged lets the replies to an op come from a cache.
func aged(op, age string) youproxy.Option {
	return youproxy.WithMiddleware(func(next http.RoundTripper) http.RoundTripper {
		return stubTransport(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && opOf(r) == op {
				resp.Header.Set("Age", age)
			}
			return resp, err
		})
	})
}

// What a cache told may be long past: nothing is bought by it.
func TestRepliesFromACacheStopThePurchase(t *testing.T) {
	t.Parallel()
	for _, b := range buyings {
		for op, text := range map[string]string{
			b.quoteOp():      "the quote failed: ",
			"GET /ipAddress": "what the account holds could not be read: ",
			"GET /balance":   "what the account holds could not be read: ",
		} {
			for age, stops := range map[string]bool{"1": true, "86400": true, "60, 0": true, "0": false, "": false} {
				t.Run(fmt.Sprintf("%s, %s, age %q", b.name, op, age), func(t *testing.T) {
					opts := []any{aged(op, age)}
					if op == "GET /balance" {
						opts = append(opts, youproxytest.WithNullBalances())
					}
					inMarket(t, func(t *testing.T, m *market) {
						got, err := b.buy(t.Context(), m, m.client)
						if !stops {
							require.NoError(t, err)
							return
						}
						assertNothingSent(t, m, m.opened, got, err)
						assert.ErrorContains(t, err, text)
						assert.ErrorContains(t, err, "cache")
						assert.Empty(t, m.recorded)
					}, opts...)
				})
			}
		}
	}
}

// A quote need not tell the balance. Then it is asked for.
func TestAQuoteWithoutABalance(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		got, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		calls := b.calls()
		assert.Equal(t, append(calls[:len(calls)-1:len(calls)-1], "GET /balance", b.op), m.ops())
		assertMoney(t, m.opened.balance, got.attempt.Before.Balance)
		assertMoney(t, b.price, *got.charged)
		m.changeQuote(b, "warnings", nil)
		m.SetBalance(youproxy.MustMoney("0.01 USD"))
		_, err = b.buy(t.Context(), m, m.client)
		require.ErrorIs(t, err, youproxy.ErrInsufficientFunds)
		assert.ErrorContains(t, err, "the balance of 0.01 USD is less")
		assert.Len(t, m.sends(), 1)
	}, youproxytest.WithNullBalances())
}
