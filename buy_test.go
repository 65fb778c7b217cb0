package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// calls gives what a purchase sends where its reply tells how it ended: the quote, that of
// one where it is for more, the list, and what spends.
func (b buying) calls() []string {
	calls := []string{b.quoteOp(), b.quoteOp(), "GET /ipAddress", b.op}
	if b.quantity == 1 || b.op == "POST /extend/order" {
		return calls[1:]
	}
	return calls
}

func TestBuyAndRenew(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		now := time.Now()
		limit := youproxy.MustMoney("50 USD")
		got, err := b.buyFor(t.Context(), m, m.client, limit)
		require.NoError(t, err)
		assertExecuted(t, m, b)
		assert.Equal(t, b.calls(), m.ops())
		assert.Equal(t, now, time.Now(), "it waits for nothing")

		assert.False(t, got.recovered)
		assert.Equal(t, b.proxies, got.quote.ProxyType)
		assertMoney(t, b.price, got.quote.Price)
		assertMoney(t, m.opened.balance, got.quote.Balance)
		require.NotNil(t, got.charged)
		assertMoney(t, b.price, *got.charged)
		assertAttempt(t, m, b, got.attempt, now)
		assertMoney(t, "50 USD", got.attempt.Limit)
		assert.Equal(t, []youproxy.Attempt{got.attempt}, m.recorded)
		assert.Equal(t, []int{0}, m.sentThen, "it is recorded before it is sent")
		assertSettled(t, m, youproxy.EntryExecuted, now)
		if b.isOrder() {
			assert.Equal(t, m.lastOrder().Number, got.OrderNumber)
			assert.Empty(t, got.OrderID, "the reply does not tell it")
			assert.Equal(t, b.promo != "", got.Purchase.PromoCodeStatus == youproxy.PromoCodeValid)
			assert.False(t, got.Purchase.AboveLimit())
			return
		}
		assert.Equal(t, m.Extensions()[0].IPAddressIDs, got.IPAddressIDs)
		assert.Equal(t, m.Extensions()[0].OrderIDs, got.OrderIDs)
		assert.Equal(t, b.promo != "", got.Renewal.PromoCodeStatus == youproxy.PromoCodeValid)
		assert.False(t, got.Renewal.AboveLimit())
	})
}

// assertSettled holds the one entry of the journal against what it must tell, and gives
// it.
func assertSettled(t *testing.T, m *market, state youproxy.EntryState, at time.Time) youproxy.Entry {
	t.Helper()
	entries := m.journal.all()
	require.Len(t, entries, 1)
	e := entries[0]
	assert.Equal(t, state, e.State)
	assert.Equal(t, state == youproxy.EntryOpen, e.SettledAt.IsZero())
	if state != youproxy.EntryOpen {
		assert.True(t, at.Equal(e.SettledAt), "%s, not %s", e.SettledAt, at)
		assert.Equal(t, time.UTC, e.SettledAt.Location())
	}
	assert.Empty(t, e.Note)
	return e
}

func TestPriceEqualToTheLimitPasses(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		limit := youproxy.Money{Amount: decimal.RequireFromString(b.limit().Amount.StringFixed(5)), Currency: "USD"} // written differently
		_, err := b.buyFor(t.Context(), m, m.client, limit)
		require.NoError(t, err)
		assertExecuted(t, m, b)
	})
}

func TestBalanceEqualToThePricePasses(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		m.SetBalance(b.limit())
		got, err := b.buy(t.Context(), m, m.client)
		require.NoError(t, err)
		assertMoney(t, "0 USD", m.Balance())
		assertMoney(t, b.price, *got.charged)
	})
}

func TestEveryAttemptHasItsOwnID(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		for range 3 {
			_, err := buyIPv4.buy(t.Context(), m, m.client)
			require.NoError(t, err)
		}
		assert.NotEqual(t, m.recorded[0].ID, m.recorded[1].ID)
		assert.NotEqual(t, m.recorded[0].ID, m.recorded[2].ID)
		assert.NotEqual(t, m.recorded[1].ID, m.recorded[2].ID)
		assert.Equal(t, m.recorded[0].Request, m.recorded[1].Request, "the same was asked for")
		assert.NotEqual(t, m.recorded[0].Account, m.recorded[1].Account, "which tells nothing of the key")
	})
}

func TestBuyWithTheJournalInMemory(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		got, err := b.buy(t.Context(), m, m.anotherClient(t))
		require.NoError(t, err)
		assert.NotEmpty(t, got.attempt.ID)
		assert.Equal(t, b.calls(), m.ops())
		assert.Empty(t, m.recorded)
	})
}

// A reply that does not tell the balance is no less a success.
func TestChargedIsUnknown(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"no balance":       `"nothing": 1`,
		"another currency": `"balance": 1, "currency": "EUR"`,
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.rewrite["POST /order"] = func(string) string {
					return `{"success": true, "orderNumber": "N", "error": null, ` + reply + `}`
				}
				got, err := buyIPv4.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				assert.Nil(t, got.charged)
				assert.False(t, got.Purchase.AboveLimit(), "as far as that is known")
				assert.Equal(t, youproxy.OrderNumber("N"), got.OrderNumber)
			})
		})
	}
}

// The service says no to what it quoted, or to the request as a whole: nothing
// was bought, and where the service says so itself that is known at once.
func TestRefusedPurchases(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		refuse func(m *market, op string)
		want   error
		text   string
		looks  bool // it is no word of the service's own: the account is looked at first
	}{
		{"incorrect goal", func(m *market, op string) { m.Refuse(op, 14) }, youproxy.ErrIncorrectGoal, `refused: "Incorrect goal" (code 14)`, false},
		{"insufficient funds", func(m *market, op string) { m.Refuse(op, 16) }, youproxy.ErrInsufficientFunds, "(code 16)", false},
		{"an unknown code", func(m *market, op string) { m.Refuse(op, 99) }, youproxy.ErrorCode(99), "(code 99)", true},
		{"too many requests", func(m *market, op string) { m.Inject(op, youproxytest.TooManyRequests) }, nil, "HTTP status 429", true},
		{"a page that shows the key", func(m *market, op string) { m.Inject(op, youproxytest.EchoKey) }, nil, "HTTP status 404", true},
		{"a page of a firewall", func(m *market, op string) { m.Inject(op, youproxytest.Forbidden) }, nil, "HTTP status 403", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				tc.refuse(m, b.op)
				now := time.Now()
				got, err := b.buy(t.Context(), m, m.client)
				assert.Nil(t, got)
				assert.Equal(t, b.calls(), m.ops()[:len(b.calls())])
				assert.Equal(t, m.opened, m.ledger())
				failed := assertSpendError(t, m, err, youproxy.VerdictNotExecuted)
				assert.Equal(t, youproxy.OutcomeRejected, youproxy.OutcomeOf(err))
				assertSettled(t, m, youproxy.EntryNotExecuted, time.Now())
				if tc.looks {
					assert.Equal(t, 2*time.Minute, time.Since(now), "the patience")
					assert.Positive(t, failed.Evidence.Looks)
				} else {
					assert.Equal(t, now, time.Now(), "it is known at once")
					assert.Equal(t, b.calls(), m.ops())
					assert.Zero(t, failed.Evidence)
				}
				assert.ErrorContains(t, err, tc.text)
				if tc.want == nil {
					var call *youproxy.CallError
					require.ErrorAs(t, err, &call)
					assert.Equal(t, youproxy.OutcomeRejected, call.Outcome)
					return
				}
				assert.ErrorIs(t, err, tc.want)
				var refused *youproxy.APIError
				require.ErrorAs(t, err, &refused)
				assert.Equal(t, b.op, refused.Op)
				assertMoney(t, "100 USD", *refused.Balance)
			})
		})
	}
	t.Run("a documented code that tells no balance", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			m.Refuse(b.op, 14)
			now := time.Now()
			_, err := b.buy(t.Context(), m, m.client)
			assertSpendError(t, m, err, youproxy.VerdictNotExecuted)
			assert.ErrorIs(t, err, youproxy.ErrIncorrectGoal)
			assert.Equal(t, now, time.Now(), "it is known at once")
		}, youproxytest.WithNullBalances())
	})
}

// What rejects a purchase may have executed it all the same: then it is found, and
// nobody buys it again.
func TestRejectedPurchasesThatWereExecuted(t *testing.T) {
	t.Parallel()
	for _, fault := range []youproxytest.Fault{
		youproxytest.RejectAfterCommit, youproxytest.UnknownCodeAfterCommit, youproxytest.RefusedAfterCommit,
		youproxytest.Forbidden.AfterCommit(), youproxytest.TooManyRequests.AfterCommit(),
	} {
		t.Run(fault.String(), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Inject(b.op, fault)
				got, err := b.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				assert.True(t, got.recovered)
				assert.Len(t, m.sends(), 1)
				assert.Empty(t, m.Pending())
			})
		})
	}
	t.Run("a documented code beside a balance that fell", func(t *testing.T) {
		inMarket(t, func(t *testing.T, m *market) {
			m.rewrite["POST /order"] = func(reply string) string { return strings.Replace(reply, `"code": 99`, `"code": 14`, 1) }
			m.Inject("POST /order", youproxytest.UnknownCodeAfterCommit)
			purchase, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			assert.True(t, purchase.Recovered)
		})
	})
}

// assertSpendError holds an error of a purchase against what all of them promise,
// and gives it.
func assertSpendError(t *testing.T, m *market, err error, verdict youproxy.Verdict) *youproxy.SpendError {
	t.Helper()
	var failed *youproxy.SpendError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, verdict, failed.Verdict, "%v", err)
	assert.Len(t, m.sends(), 1, "sent once")
	require.Len(t, m.recorded, 1)
	assert.Equal(t, []int{0}, m.sentThen, "it is recorded before it is sent")
	assert.Equal(t, m.recorded[0], failed.Attempt)

	undetermined := verdict == youproxy.VerdictUndetermined
	assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrUndetermined))
	assert.Equal(t, undetermined, errors.Is(err, youproxy.ErrOutcomeUnknown))
	assert.Equal(t, undetermined, youproxy.OutcomeOf(err) == youproxy.OutcomeUnknown)
	assert.Equal(t, undetermined, m.journal.all()[0].State == youproxy.EntryOpen, "what is undetermined stays open")
	assert.Equal(t, verdict == youproxy.VerdictNotExecuted, errors.Is(err, youproxy.ErrNotExecuted))
	assert.Equal(t, youproxy.OutcomeOf(err) == youproxy.OutcomeNotSent, errors.Is(err, youproxy.ErrNotSent))

	text := err.Error()
	assert.True(t, strings.HasPrefix(text, "youproxy: "+failed.Attempt.String()+": "), text)
	assert.Equal(t, 1, strings.Count(text, "youproxy: "), text)
	assert.NotContains(t, text, "\n")
	if undetermined {
		assert.True(t, strings.HasSuffix(text, "; money may have been spent: let Recover or Reconcile find out, or look at the account, before buying again"), text)
		assert.NotContains(t, text, "nothing was")
	} else {
		assert.True(t, strings.HasSuffix(text, "; it was not executed, nothing was spent"), text)
		assert.NotContains(t, text, "may have been spent")
	}
	assertNoSecrets(t, m, err, *failed, failed.Attempt, failed.Evidence)
	return failed
}
func TestInvalidPurchasesAskNothing(t *testing.T) {
	t.Parallel()
	limit := youproxy.MustMoney("50 USD")
	for name, buy := range map[string]func(context.Context, *youproxy.Client) (*bought, error){
		"nil order": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asBought(c.Buy(ctx, nil, limit))
		},
		"nil pointer to an order": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asBought(c.Buy(ctx, (*youproxy.IPv4OrderRequest)(nil), limit))
		},
		"empty order": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asBought(c.Buy(ctx, youproxy.ISPOrderRequest{}, limit))
		},
		"nil extension": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asRenewed(c.Renew(ctx, nil, limit))
		},
		"nil pointer to an extension": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asRenewed(c.Renew(ctx, (*youproxy.ExtendOrdersRequest)(nil), limit))
		},
		"empty extension": func(ctx context.Context, c *youproxy.Client) (*bought, error) {
			return asRenewed(c.Renew(ctx, youproxy.ExtendIPsRequest{}, limit))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				got, err := buy(t.Context(), m.client)
				assertNothingSent(t, m, m.opened, got, err)
				var invalid *youproxy.ValidationError
				assert.ErrorAs(t, err, &invalid)
				assert.Empty(t, m.Requests())
			})
		})
	}
	for name, buy := range map[string]func(*market, context.Context, *youproxy.Client) (*bought, error){
		"order": func(m *market, ctx context.Context, c *youproxy.Client) (*bought, error) {
			return buyIPv4.buy(ctx, m, c)
		},
		"extension": func(m *market, ctx context.Context, c *youproxy.Client) (*bought, error) {
			return renewIPs.buy(ctx, m, c)
		},
	} {
		t.Run(name+" without a client or a context", func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				var none context.Context
				got, err := buy(m, none, m.client)
				assertNothingSent(t, m, m.opened, got, err)
				for _, c := range []*youproxy.Client{nil, {}} {
					got, err = buy(m, t.Context(), c)
					assertNothingSent(t, m, m.opened, got, err)
				}
				assert.Empty(t, m.Requests())
			})
		})
	}
}

// cheapen makes every quote tell a twentieth of its price, and gives that of b.
func (m *market) cheapen(b buying) youproxy.Money {
	m.rewrite[b.quoteOp()] = func(reply string) string {
		var quote map[string]any
		dec := json.NewDecoder(strings.NewReader(reply))
		dec.UseNumber()
		if dec.Decode(&quote) != nil || quote["price"] == nil {
			return reply
		}
		quote["price"] = json.Number(decimal.RequireFromString(quote["price"].(json.Number).String()).Div(decimal.NewFromInt(20)).String())
		text, _ := json.Marshal(quote)
		return string(text)
	}
	return youproxy.Money{Amount: b.limit().Amount.Div(decimal.NewFromInt(20)), Currency: "USD"}
}

// The price rises after the quote, which the service does not tell. It was bought, so
// that is no error.
func TestChargedAboveTheLimit(t *testing.T) {
	t.Parallel()
	aboveLimit := func(b buying, got *bought) bool {
		if b.isOrder() {
			return got.Purchase.AboveLimit()
		}
		return got.Renewal.AboveLimit()
	}
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		limit := m.cheapen(b)
		var log bytes.Buffer
		client, err := m.client.With(youproxy.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		require.NoError(t, err)
		got, err := b.buyFor(t.Context(), m, client, limit)
		require.NoError(t, err)
		assertExecuted(t, m, b)
		assert.False(t, got.recovered)
		assertMoney(t, b.price, *got.charged)
		assertMoney(t, limit.String(), got.quote.Price)
		assertMoney(t, limit.String(), got.attempt.Limit)
		assert.True(t, aboveLimit(b, got))
		assert.Equal(t, 1, strings.Count(log.String(), `level=WARN msg="youproxy: more than the limit was charged" attempt.id=`+got.attempt.ID), log.String())
		assert.Contains(t, log.String(), `charged="`+b.price+`"`)
	})
	t.Run("the reply is lost as well", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			limit := m.cheapen(b)
			m.Inject(b.op, youproxytest.DropAfterCommit)
			got, err := b.buyFor(t.Context(), m, m.client, limit)
			assert.Nil(t, got)
			assertExecuted(t, m, b)
			assertSpendError(t, m, err, youproxy.VerdictUndetermined)
			assert.ErrorContains(t, err, "; the balance fell by "+b.price)
		})
	})
	t.Run("up to the limit", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			m.cheapen(b)
			var log bytes.Buffer
			client, err := m.client.With(youproxy.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			require.NoError(t, err)
			got, err := b.buy(t.Context(), m, client)
			require.NoError(t, err)
			assertMoney(t, b.price, *got.charged)
			assert.False(t, aboveLimit(b, got))
			assert.Empty(t, log.String())
		})
	})
}

// A promo code that the quote honored, and the order did not, is told.
func TestAPromoCodeThatTheOrderDidNotHonor(t *testing.T) {
	t.Parallel()
	for _, b := range buyings {
		if b.promo == "" {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.rewrite[b.op] = func(reply string) string { return strings.Replace(reply, `"VALID"`, `"NO_VALID"`, 1) }
				got, err := b.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				assert.Equal(t, youproxy.PromoCodeValid, got.quote.PromoCodeStatus)
				if b.isOrder() {
					assert.Equal(t, youproxy.PromoCodeNotValid, got.Purchase.PromoCodeStatus)
				} else {
					assert.Equal(t, youproxy.PromoCodeNotValid, got.Renewal.PromoCodeStatus)
				}
				assert.Equal(t, youproxy.PromoCodeNotValid, m.journal.all()[0].PromoCodeStatus)
			})
		})
	}
}

// Whatever happens to what spends, the error is nil exactly when it was bought.
func TestTheErrorIsNilExactlyWhenItWasBought(t *testing.T) {
	t.Parallel()
	for _, fault := range youproxytest.Faults() {
		t.Run(fault.String(), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Inject(b.op, fault)
				got, err := b.buy(t.Context(), m, m.client)
				assert.Len(t, m.sends(), 1)
				assert.Empty(t, m.Pending())
				if fault.String() == "PartialExtension" || fault.String() == "PartialExtensionDropped" {
					if !b.isOrder() {
						assert.Nil(t, got)
						assertSpendError(t, m, err, youproxy.VerdictUndetermined)
						return
					}
				}
				executed := m.Balance().String() != m.opened.balance
				assert.Equal(t, executed, err == nil, "%v", err)
				assert.Equal(t, executed, got != nil)
				if executed {
					assertExecuted(t, m, b)
					return
				}
				assert.Equal(t, m.opened, m.ledger())
				assert.ErrorIs(t, err, youproxy.ErrNotExecuted)
			})
		})
	}
}
