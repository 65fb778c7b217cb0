package youproxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// times gives money so many times.
func times(m youproxy.Money, n int) youproxy.Money {
	return youproxy.Money{Amount: m.Amount.Mul(decimal.NewFromInt(int64(n))), Currency: m.Currency}
}

// asksForOne reports whether a purchase of b asks for the price of one as well.
func (b buying) asksForOne() bool { return len(b.calls()) == 4 }

// each gives the price of one of b where the price is per proxy.
func (b buying) each() youproxy.Money {
	cents := b.limit().Amount.Shift(2).DivRound(decimal.NewFromInt(int64(b.quantity)), 4).Ceil()
	return youproxy.Money{Amount: cents.Shift(-2), Currency: "USD"}
}

// A price may be that of one proxy. A limit that is meant for all stops the purchase, and
// nothing is charged that was not allowed.
func TestAPricePerProxyIsHeldAgainstTheLimit(t *testing.T) {
	t.Parallel()
	for _, b := range buyings {
		if !b.asksForOne() {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				all := times(b.each(), b.quantity)
				for _, limit := range []youproxy.Money{b.each(), less(all, "0.01")} {
					got, err := b.buyFor(t.Context(), m, m.client, limit)
					assertNothingSent(t, m, m.opened, got, err)
					assert.ErrorIs(t, err, youproxy.ErrPriceAboveLimit)
					assert.ErrorContains(t, err, fmt.Sprintf("the price may be per proxy: allow %d times as much, %s", b.quantity, all))
				}
				got, err := b.buyFor(t.Context(), m, m.client, all)
				require.NoError(t, err)
				assert.Len(t, m.sends(), 1)
				assertMoney(t, all.String(), *got.charged)
				assertMoney(t, b.each().String(), got.attempt.Price)
				assertMoney(t, all.String(), got.attempt.PriceIfEach)
				assertMoney(t, all.String(), less(youproxy.MustMoney(m.opened.balance), m.Balance().Amount.String()))
			}, youproxytest.WithPricePerProxy())
		})
	}
}

// It is held against the balance and the budget as well.
func TestAPricePerProxyIsHeldAgainstTheMoneyThereIs(t *testing.T) {
	t.Parallel()
	for _, b := range []buying{buyISP, renewIPs} {
		all := times(b.each(), b.quantity)
		t.Run(b.name+", balance", func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.changeQuote(b, "balance", less(all, "0.01").Amount.InexactFloat64())
				got, err := b.buyFor(t.Context(), m, m.client, all)
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorIs(t, err, youproxy.ErrInsufficientFunds)
				assert.ErrorContains(t, err, "is less than the price of "+all.String())
			}, youproxytest.WithPricePerProxy())
		})
		for _, enough := range []bool{false, true} {
			budget := all
			if !enough {
				budget = less(all, "0.01")
			}
			t.Run(fmt.Sprintf("%s, budget enough %t", b.name, enough), func(t *testing.T) {
				inMarket(t, func(t *testing.T, m *market) {
					got, err := b.buyFor(t.Context(), m, m.client, all)
					if enough {
						require.NoError(t, err)
						return
					}
					assertNothingSent(t, m, m.opened, got, err)
					assert.ErrorIs(t, err, youproxy.ErrOverBudget)
				}, youproxytest.WithPricePerProxy(), youproxy.WithBudget(budget, 24*time.Hour))
			})
		}
	}
}

// A lost reply to a purchase whose price was per proxy is found by what was charged.
func TestAPricePerProxyWhoseReplyIsLost(t *testing.T) {
	t.Parallel()
	for _, b := range []buying{buyISP, renewIPs} {
		t.Run(b.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				all := times(b.each(), b.quantity)
				m.Inject(b.op, youproxytest.DropAfterCommit)
				got, err := b.buyFor(t.Context(), m, m.client, all)
				require.NoError(t, err)
				assert.True(t, got.recovered)
				assertMoney(t, all.String(), *got.charged)
			}, youproxytest.WithPricePerProxy())
		})
	}
}

// Where only one order is extended, nothing tells a price per proxy.
func TestRenewingOneOrderCannotTellAPricePerProxy(t *testing.T) {
	t.Parallel()
	b := buyings[5]
	inMarket(t, func(t *testing.T, m *market) {
		got, err := b.buyFor(t.Context(), m, m.client, b.each())
		require.NoError(t, err)
		assert.Equal(t, []string{b.quoteOp(), "GET /ipAddress", b.op}, m.ops())
		assert.True(t, got.attempt.PriceIfEach.IsZero())
		assertMoney(t, times(b.each(), b.quantity).String(), *got.charged)
		assert.True(t, got.Renewal.AboveLimit(), "which is seen only then")
	}, youproxytest.WithPricePerProxy())
}

// Of several orders one is asked for, and where it costs as much as all, the price may be
// per order, or per proxy.
func TestRenewingOrdersAsksForOne(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		other := m.AddOrder(youproxytest.Order{ProxyType: youproxy.ProxyTypeIPv4, Country: "USA", Quantity: 2})
		before := m.ledger()
		x := youproxy.ExtendOrdersRequest{ProxyType: youproxy.ProxyTypeIPv4, OrderIDs: []youproxy.OrderID{m.ipv4.ID, other.ID}, RentPeriodDays: 30}
		got, err := asRenewed(m.client.Renew(t.Context(), x, youproxy.MustMoney("5.23 USD")))
		assertNothingSent(t, m, before, got, err)
		assert.ErrorContains(t, err, "the price may be per proxy: allow 4 times as much, 5.24 USD")
		got, err = asRenewed(m.client.Renew(t.Context(), x, youproxy.MustMoney("5.24 USD")))
		require.NoError(t, err)
		assertMoney(t, "5.24 USD", *got.charged)
	}, youproxytest.WithPricePerProxy())
}

// oneAlone changes the second quote of a purchase, which is for one.
func (m *market) oneAlone(b buying, change func(reply string) string) {
	quotes := 0
	m.rewrite[b.quoteOp()] = func(reply string) string {
		if quotes++; quotes%2 == 1 {
			return reply
		}
		return change(reply)
	}
}

// Where one alone cannot be quoted, the price counts as that of all, and that is logged.
func TestOneAloneCannotBeQuoted(t *testing.T) {
	t.Parallel()
	const logged = `level=INFO msg="youproxy: one alone cannot be quoted: the price counts as that of all" attempt.id=`
	for name, arrange := range map[string]func(m *market, b buying){
		"it is refused": func(m *market, b buying) {
			m.oneAlone(b, func(string) string {
				return `{"success": false, "error": {"code": 19, "message": "Incorrect quantity"}}`
			})
		},
		"it comes with warnings": func(m *market, b buying) {
			m.oneAlone(b, func(reply string) string {
				var quote map[string]any
				if json.Unmarshal([]byte(reply), &quote) != nil {
					return reply
				}
				quote["warnings"] = []map[string]any{{"code": 19, "message": "Incorrect quantity"}}
				quote["price"] = b.limit().Amount.InexactFloat64()
				text, _ := json.Marshal(quote)
				return string(text)
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, b := range buyings {
				if !b.asksForOne() {
					continue
				}
				t.Run(b.name, func(t *testing.T) {
					var log bytes.Buffer
					inMarket(t, func(t *testing.T, m *market) {
						arrange(m, b)
						got, err := b.buy(t.Context(), m, m.client)
						require.NoError(t, err)
						assertExecuted(t, m, b)
						assert.True(t, got.attempt.PriceIfEach.IsZero())
						assert.Equal(t, 1, strings.Count(log.String(), logged+got.attempt.ID), log.String())
						assert.NotContains(t, log.String(), m.APIKey())
					}, youproxy.WithReadRetries(0), youproxy.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				})
			}
		})
	}
	t.Run("but the price counts as that of all where it can", func(t *testing.T) {
		var log bytes.Buffer
		inMarket(t, func(t *testing.T, m *market) {
			got, err := buyISP.buy(t.Context(), m, m.client)
			require.NoError(t, err)
			assert.True(t, got.attempt.PriceIfEach.IsZero())
			assert.Empty(t, log.String())
		}, youproxy.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	})
}

// The price of all need not be as many times that of one: there may be a discount, or a
// price for the first. Only one that costs as much or more tells of a price per proxy.
func TestThePriceOfOneThatCostsMore(t *testing.T) {
	t.Parallel()
	for price, perProxy := range map[float64]bool{7.19: false, 7.2: true, 7.21: true} {
		t.Run(fmt.Sprint(price), func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.oneAlone(buyISP, func(reply string) string {
					var quote map[string]any
					require.NoError(t, json.Unmarshal([]byte(reply), &quote))
					quote["price"] = price
					text, _ := json.Marshal(quote)
					return string(text)
				})
				got, err := buyISP.buy(t.Context(), m, m.client)
				if !perProxy {
					require.NoError(t, err)
					return
				}
				assertNothingSent(t, m, m.opened, got, err)
				assert.ErrorContains(t, err, "allow 3 times as much, 21.6 USD")
			})
		})
	}
}

// A quote may tell a larger total beside its price. That counts.
func TestATotalBesideThePriceCounts(t *testing.T) {
	t.Parallel()
	forEachBuying(t, func(t *testing.T, m *market, b buying) {
		quote := func() youproxy.Money {
			if b.isOrder() {
				q, err := m.client.QuoteOrder(t.Context(), b.order)
				require.NoError(t, err)
				return q.Price
			}
			q, err := m.client.QuoteExtension(t.Context(), b.extend(m))
			require.NoError(t, err)
			return q.Price
		}
		total := quote()
		assert.Equal(t, 1, total.Amount.Cmp(b.limit().Amount))
		got, err := b.buyFor(t.Context(), m, m.client, less(total, "0.01"))
		assertNothingSent(t, m, m.opened, got, err)
		assert.ErrorIs(t, err, youproxy.ErrPriceAboveLimit)

		got, err = b.buyFor(t.Context(), m, m.client, total)
		require.NoError(t, err)
		assertMoney(t, total.String(), got.quote.Price)
		assertMoney(t, total.String(), got.attempt.Price)
		assertMoney(t, total.String(), *got.charged)
		assert.True(t, got.attempt.PriceIfEach.IsZero())
	}, youproxytest.WithTotalBesidePrice())
}

func TestATotalAndAPricePerProxy(t *testing.T) {
	t.Parallel()
	inMarket(t, func(t *testing.T, m *market) {
		m.Inject("POST /order", youproxytest.DropAfterCommit)
		got, err := buyISP.buyFor(t.Context(), m, m.client, youproxy.MustMoney("8.64 USD"))
		require.NoError(t, err)
		assertMoney(t, "8.64 USD", *got.charged)
		assertMoney(t, "8.64 USD", got.attempt.Price)
	}, youproxytest.WithTotalBesidePrice(), youproxytest.WithPricePerProxy())
}

func TestWhatIsATotalBesideThePrice(t *testing.T) {
	t.Parallel()
	for member, want := range map[string]string{
		`"total": 2`:                        "2 USD",
		`"total": "2.50"`:                   "2.5 USD",
		`"totalPrice": 2`:                   "2 USD",
		`"TOTAL_PRICE": 2`:                  "2 USD",
		`"price_to_tal": 2`:                 "2 USD",
		`"grandTotal": 2`:                   "2 USD",
		`"sum": 2`:                          "2 USD",
		`"SUM": 2`:                          "2 USD",
		`"amount": 2`:                       "2 USD",
		`"Amount_": 2`:                      "2 USD",
		`"total": 2, "sum": 3, "amount": 1`: "3 USD",
		`"total": 3, "sum": 2`:              "3 USD",
		`"total": 1.31`:                     "1.31 USD",
		`"total": 1`:                        "1.31 USD",
		`"total": -2`:                       "1.31 USD",
		`"total": null`:                     "1.31 USD",
		`"total": true`:                     "1.31 USD",
		`"total": "two"`:                    "1.31 USD",
		`"total": {"price": 2}`:             "1.31 USD",
		`"total": [2]`:                      "1.31 USD",
		`"nested": {"total": 2}`:            "1.31 USD",
		`"summary": 2`:                      "1.31 USD",
		`"amountOfProxies": 2`:              "1.31 USD",
		`"quantity": 2`:                     "1.31 USD",
	} {
		for name, reply := range map[string]string{
			"after":  `{"success": true, "balance": 25, "price": 1.31, "currency": "USD", ` + member + `, "error": null}`,
			"before": `{` + member + `, "currency": "USD", "price": 1.31, "balance": 25, "success": true, "error": null}`,
		} {
			t.Run(member+", "+name, func(t *testing.T) {
				client, _ := answering(t, http.StatusOK, reply)
				quote, err := client.QuoteOrder(t.Context(), anIPv4Order())
				require.NoError(t, err)
				assertMoney(t, want, quote.Price)
			})
		}
	}
	t.Run("without a price", func(t *testing.T) {
		client, _ := answering(t, http.StatusOK, `{"success": true, "balance": 25, "currency": "USD", "total": 2, "error": null}`)
		_, err := client.QuoteOrder(t.Context(), anIPv4Order())
		assert.ErrorContains(t, err, `"price" is missing`)
	})
	t.Run("of an attempt that failed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			client := clientFor(t, byStub(func(r *http.Request) (*http.Response, error) {
				if attempts++; attempts == 1 {
					return stubReply(r, 503, `{"success": true, "total": 9, "price": 9}`), nil
				}
				return stubReply(r, 200, `{"success": true, "price": 1.31, "currency": "USD"}`), nil
			}))
			quote, err := client.QuoteOrder(t.Context(), anIPv4Order())
			require.NoError(t, err)
			assertMoney(t, "1.31 USD", quote.Price)
		})
	})
}

// Where it is not known what one alone costs, the price may be per proxy.
func TestOneAloneThatIsNotAnswered(t *testing.T) {
	t.Parallel()
	for _, b := range buyings {
		if b.quantity == 1 || b.name == "extension of orders" {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			inMarket(t, func(t *testing.T, m *market) {
				m.oneAlone(b, func(string) string { return "<html></html>" })
				got, err := b.buy(t.Context(), m, m.client)
				assertNothingSent(t, m, m.opened, got, err)
			})
		})
	}
}
