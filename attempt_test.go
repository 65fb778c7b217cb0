package youproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func anAttempt() youproxy.Attempt {
	return youproxy.Attempt{
		Version: 2, ID: "ATTEMPT1", Key: "job 7", Request: "0f1e", Account: "89abcdef", At: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC), Op: "POST /order",
		ProxyType: youproxy.ProxyTypeISP, RentPeriodDays: 30, Price: youproxy.MustMoney("7.2 USD"), Limit: youproxy.MustMoney("10 USD"),
		PriceIfEach: youproxy.MustMoney("21.6 USD"), Discount: decimal.RequireFromString("12.5"),
		PromoCode: "CLIENT-PROMO", Country: "GBR", Quantity: 3, Goal: "ad checks", MobileOperator: "verizon", RotationTime: 300,
		SpendMillis: 120000, PatienceMillis: 60000,
		Before: youproxy.Holdings{
			Balance: youproxy.MustMoney("100 USD"),
			Date:    time.Date(2026, 1, 2, 3, 4, 4, 0, time.UTC),
			Orders:  []youproxy.OrderID{"11122233342", "11122233343"},
		},
	}
}

func anAttemptToExtend() youproxy.Attempt {
	return youproxy.Attempt{
		Version: 2, ID: "ATTEMPT2", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Op: "POST /extend",
		ProxyType: youproxy.ProxyTypeIPv4, RentPeriodDays: 60, Price: youproxy.MustMoney("5.24 USD"), Limit: youproxy.MustMoney("5.24 USD"),
		Quantity: 2, IPAddressIDs: []youproxy.IPAddressID{"1", "2"}, OrderIDs: []youproxy.OrderID{"7"},
		Before: youproxy.Holdings{
			Balance: youproxy.MustMoney("5.24 USD"),
			Orders:  []youproxy.OrderID{"7"},
			Beside:  []youproxy.IPAddressID{"3"},
			Ends: map[youproxy.IPAddressID]time.Time{
				"1": time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), "2": time.Date(2026, 2, 1, 0, 0, 0, 5e6, time.UTC),
			},
			Renewing: []youproxy.IPAddressID{"2"},
		},
	}
}

// The form of version 2, which every later version of the package must read.
const (
	attemptJSON = `{"version":2,"id":"ATTEMPT1","key":"job 7","request":"0f1e","account":"89abcdef","at":"2026-01-02T03:04:05.678901234Z","op":"POST /order",` +
		`"proxyType":"ISP","rentPeriodDays":30,"price":"7.2 USD","priceIfEach":"21.6 USD","discount":"12.5","limit":"10 USD","promoCode":"CLIENT-PROMO",` +
		`"quantity":3,"country":"GBR","goal":"ad checks","mobileOperator":"verizon","rotationTime":300,"spendMillis":120000,"patienceMillis":60000,` +
		`"before":{"balance":"100 USD","date":"2026-01-02T03:04:04Z","orders":["11122233342","11122233343"]}}`
	attemptToExtendJSON = `{"version":2,"id":"ATTEMPT2","at":"2026-01-02T03:04:05Z","op":"POST /extend","proxyType":"IPv4","rentPeriodDays":60,` +
		`"price":"5.24 USD","limit":"5.24 USD","quantity":2,"ipAddressIds":["1","2"],"orderIds":["7"],` +
		`"before":{"balance":"5.24 USD","orders":["7"],"ends":{"1":"2026-02-01T00:00:00Z","2":"2026-02-01T00:00:00.005Z"},"beside":["3"],"renewing":["2"]}}`
)

// The form of version 1, which is read as well.
const (
	firstAttemptJSON = `{"version":1,"id":"ATTEMPT1","at":"2026-01-02T03:04:05.678901234Z","op":"POST /order","proxyType":"ISP","rentPeriodDays":30,` +
		`"price":"7.2 USD","limit":"10 USD","promoCode":"CLIENT-PROMO","country":"GBR","quantity":3,` +
		`"before":{"balance":"100 USD","orders":["11122233342","11122233343"],"unseen":["NUMBER-1"]}}`
	firstAttemptToExtendJSON = `{"version":1,"id":"ATTEMPT2","at":"2026-01-02T03:04:05Z","op":"POST /extend","proxyType":"IPv4","rentPeriodDays":60,` +
		`"price":"5.24 USD","limit":"5.24 USD","quantity":2,` +
		`"before":{"balance":"5.24 USD","ends":{"1":"2026-02-01T00:00:00Z","2":"2026-02-01T00:00:00.005Z"},"renewing":["2"],"disturbed":true}}`
)

func TestAttemptJSON(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		attempt youproxy.Attempt
		text    string
	}{
		"order":     {anAttempt(), attemptJSON},
		"extension": {anAttemptToExtend(), attemptToExtendJSON},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(tc.attempt)
			require.NoError(t, err)
			assert.Equal(t, tc.text, string(text))
			var read youproxy.Attempt
			require.NoError(t, json.Unmarshal([]byte(tc.text), &read))
			assert.Equal(t, tc.attempt, read)
		})
	}
}

// What was written down says the same to a client that was started later.
func TestAttemptIsReconciledFromItsJSON(t *testing.T) {
	t.Parallel()
	for fault, want := range map[youproxytest.Fault]youproxy.Verdict{
		youproxytest.DropAfterCommit:  youproxy.VerdictExecuted,
		youproxytest.DropBeforeCommit: youproxy.VerdictNotExecuted,
	} {
		t.Run(fault.String(), func(t *testing.T) {
			var saved []byte
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				saved = nil
				m.journal.onRecord = func(_ context.Context, e youproxy.Entry) (err error) {
					if e.State == youproxy.EntryOpen {
						saved, err = json.Marshal(e.Attempt)
					}
					return err
				}
				m.Inject(b.op, fault)
				got, err := b.buy(t.Context(), m, m.client)
				var a youproxy.Attempt
				require.NoError(t, json.Unmarshal(saved, &a))
				again, marshalErr := json.Marshal(a)
				require.NoError(t, marshalErr)
				assert.JSONEq(t, string(saved), string(again))
				assertAttempt(t, m, b, a, a.At)
				assertMoney(t, b.price, a.Limit)

				found, reconcileErr := m.anotherClient(t).Reconcile(t.Context(), a)
				require.NoError(t, reconcileErr)
				assert.Equal(t, want, found.Verdict)
				if want == youproxy.VerdictNotExecuted {
					require.ErrorIs(t, err, youproxy.ErrNotExecuted)
					return
				}
				require.NoError(t, err)
				if b.isOrder() {
					assert.Equal(t, got.OrderID, found.Purchase.OrderID)
				} else {
					assert.NotNil(t, found.Renewal)
				}
				assert.NotContains(t, string(saved), m.APIKey())
				for _, ip := range m.IPAddresses() {
					assert.True(t, ip.Password == "" || !bytes.Contains(saved, []byte(ip.Password)))
				}
			})
		})
	}
}

func TestAttemptsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(a *youproxy.Attempt)
		text   string
	}{
		{"empty", func(a *youproxy.Attempt) { *a = youproxy.Attempt{} }, "version 0"},
		{"an earlier version", func(a *youproxy.Attempt) { a.Version = 0 }, "the attempt has version 0, and this package reads 1 and 2"},
		{"a later version", func(a *youproxy.Attempt) { a.Version = 3 }, "the attempt has version 3, and this package reads 1 and 2"},
		{"no id", func(a *youproxy.Attempt) { a.ID = "" }, "no id"},
		{"no time", func(a *youproxy.Attempt) { a.At = time.Time{} }, "no time"},
		{"no proxy type", func(a *youproxy.Attempt) { a.ProxyType = "" }, "type"},
		{"a proxy type that is none", func(a *youproxy.Attempt) { a.ProxyType = "ipv4" }, `the proxy type "ipv4", which does not exist`},
		{"no quantity", func(a *youproxy.Attempt) { a.Quantity = 0 }, "no quantity"},
		{"negative quantity", func(a *youproxy.Attempt) { a.Quantity = -1 }, "no quantity"},
		{"no period", func(a *youproxy.Attempt) { a.RentPeriodDays = 0 }, "period"},
		{"no balance", func(a *youproxy.Attempt) { a.Before.Balance = youproxy.Money{} }, "does not contain what the account held before"},
		{"no op", func(a *youproxy.Attempt) { a.Op = "" }, `the attempt is a call of "", which is not a purchase`},
		{"another op", func(a *youproxy.Attempt) { a.Op = "GET /balance" }, `"GET /balance", which is not a purchase`},
		{"an op that spends nothing", func(a *youproxy.Attempt) { a.Op = "POST /extend/auto" }, "not a purchase"},
		{"an extension of nothing", func(a *youproxy.Attempt) { a.Op, a.Before.Ends = "POST /extend/order", nil }, "does not contain when its proxies ended"},
	} {
		for kind, a := range map[string]youproxy.Attempt{"order": anAttempt(), "extension": anAttemptToExtend()} {
			t.Run(tc.name+", "+kind, func(t *testing.T) {
				client, transport := answering(t, http.StatusOK, `{"success": true, "balance": 100, "currencyCode": "USD"}`)
				tc.change(&a)
				found, err := client.Reconcile(t.Context(), a)
				require.ErrorIs(t, err, youproxy.ErrUndetermined)
				require.NotNil(t, found)
				assert.Equal(t, youproxy.VerdictUndetermined, found.Verdict)
				assert.ErrorContains(t, found.Evidence.Err, tc.text)
				assert.ErrorContains(t, err, tc.text)
				assert.ErrorContains(t, err, "money may have been spent")
				assert.True(t, strings.HasPrefix(err.Error(), "youproxy: "), "%v", err)
				assert.NotErrorIs(t, err, youproxy.ErrNotSent, "what was attempted may have been sent")
				assert.Empty(t, transport.requests)
			})
		}
	}
	t.Run("without a client or a context", func(t *testing.T) {
		client, transport := answering(t, http.StatusOK, "{}")
		var none context.Context
		_, err := client.Reconcile(none, anAttempt())
		require.Error(t, err)
		for _, c := range []*youproxy.Client{nil, {}} {
			found, err := c.Reconcile(t.Context(), anAttempt())
			require.Error(t, err)
			require.NotNil(t, found)
			assert.NotErrorIs(t, err, youproxy.ErrNotSent, "what was attempted may have been sent")
		}
		assert.NotErrorIs(t, err, youproxy.ErrNotSent, "what was attempted may have been sent")
		assert.Empty(t, transport.requests)
	})
}

func TestAttemptText(t *testing.T) {
	t.Parallel()
	a := anAttempt()
	assert.Equal(t, "order of 3 x ISP for 30 days at 7.2 USD, attempt ATTEMPT1 at 2026-01-02T03:04:05Z", a.String())
	a.ID, a.ProxyType = "a\nb", "I\"P"
	assert.Equal(t, `order of 3 x "I\"P" for 30 days at 7.2 USD, attempt "a\nb" at 2026-01-02T03:04:05Z`, a.String())
	assert.Equal(t, "extension of 2 x IPv4 for 60 days at 5.24 USD, attempt ATTEMPT2 at 2026-01-02T03:04:05Z", anAttemptToExtend().String())
}

func TestAttemptInLogs(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value any
		want  string
	}{
		"attempt": {anAttempt(), `"what":{"id":"ATTEMPT1","at":"2026-01-02T03:04:05.678901234Z","key":"job 7","op":"POST /order","type":"ISP","quantity":3,"days":30,"price":"7.2 USD","limit":"10 USD"}`},
		"error": {
			&youproxy.SpendError{Attempt: anAttempt(), Verdict: youproxy.VerdictNotExecuted, Err: io.ErrUnexpectedEOF},
			`"what":{"attempt":{"id":"ATTEMPT1","at":"2026-01-02T03:04:05.678901234Z","key":"job 7","op":"POST /order","type":"ISP","quantity":3,"days":30,"price":"7.2 USD","limit":"10 USD"},"verdict":"not executed","outcome":"not sent","error":"unexpected EOF"}`,
		},
		"error without a cause": {
			&youproxy.SpendError{Attempt: anAttempt()},
			`"limit":"10 USD"},"verdict":"undetermined","outcome":"unknown"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			slog.New(slog.NewJSONHandler(&log, nil)).Info("bought", "what", tc.value)
			assert.Contains(t, log.String(), tc.want)
		})
	}
}

func TestGuardOptionsThatAreNone(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]youproxy.Option{
		"nil journal":              youproxy.WithJournal(nil),
		"nil pointer to a journal": youproxy.WithJournal((*testJournal)(nil)),
		"a journal of slices":      youproxy.WithJournal(uncomparableJournal{}),
		"negative patience":        youproxy.WithReconcilePatience(-1),
		"budget of nothing known":  youproxy.WithBudget(youproxy.Money{}, time.Hour),
		"negative budget":          youproxy.WithBudget(less(youproxy.MustMoney("1 USD"), "2"), time.Hour),
		"budget for no time":       youproxy.WithBudget(youproxy.MustMoney("1 USD"), 0),
		"budget for years":         youproxy.WithBudget(youproxy.MustMoney("1 USD"), 401*24*time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := youproxy.New(cannedKey, opt)
			require.Error(t, err)
			assert.True(t, strings.HasPrefix(err.Error(), "youproxy: the "), "%v", err)
		})
	}
}

// uncomparableJournal is a journal that cannot be told from another.
type uncomparableJournal struct {
	*testJournal

	_ []int
}

// Attempts of version 1 are told apart by what they hold, as those of this version are.
func TestAttemptsOfVersion1(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"order": firstAttemptJSON, "extension": firstAttemptToExtendJSON} {
		t.Run(name, func(t *testing.T) {
			var a youproxy.Attempt
			require.NoError(t, json.Unmarshal([]byte(text), &a))
			again, err := json.Marshal(a)
			require.NoError(t, err)
			assert.JSONEq(t, text, string(again))
		})
	}
	for fault, want := range map[youproxytest.Fault]youproxy.Verdict{
		youproxytest.DropAfterCommit:  youproxy.VerdictExecuted,
		youproxytest.DropBeforeCommit: youproxy.VerdictNotExecuted,
	} {
		t.Run(fault.String(), func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Inject(b.op, fault)
				_, _ = b.buy(t.Context(), m, m.client)
				a := m.recorded[0]
				first := youproxy.Attempt{
					Version: 1, ID: a.ID, At: a.At, Op: a.Op, ProxyType: a.ProxyType, RentPeriodDays: a.RentPeriodDays,
					Price: a.Price, Limit: a.Limit, PromoCode: a.PromoCode, Country: a.Country, Quantity: a.Quantity,
					Before: youproxy.Holdings{Balance: a.Before.Balance, Ends: a.Before.Ends},
				}
				if b.isOrder() {
					first.Before.Orders = a.Before.Orders
				}
				found, err := m.anotherClient(t).Reconcile(t.Context(), first)
				require.NoError(t, err)
				assert.Equal(t, want, found.Verdict)
			})
		})
	}
}

// closing tells when a body was read.
type closing struct {
	io.Reader
	f func()
}

func (c closing) Close() error {
	c.f()
	return nil
}

// FuzzAttempt reads attempts that anybody may have written.
func FuzzAttempt(f *testing.F) {
	for _, text := range []string{
		attemptJSON, attemptToExtendJSON, firstAttemptJSON, firstAttemptToExtendJSON, `{}`, `null`, `[]`, `{"version":1}`,
		`{"version":1,"id":"x","at":"9999-12-31T23:59:59Z","op":"POST /order","proxyType":"ISP","rentPeriodDays":9223372036854775807,"quantity":9223372036854775807,"price":"1e100","limit":"-1e-100 EUR","before":{"balance":"1e-100"}}`,
		`{"version":1,"id":"x","at":"0001-01-01T00:00:01Z","op":"POST /extend/order","proxyType":"IPv4","rentPeriodDays":1000000000,"quantity":1,"before":{"ends":{"1":"9999-12-31T23:59:59Z","":"0001-01-01T00:00:00Z"},"renewing":["3"]}}`,
		`{"version":1,"id":"x","at":"2026-01-02T03:04:05Z","op":"POST /order","proxyType":"ISP","rentPeriodDays":1,"quantity":1,"price":"50 USD","country":"GBR","before":{"balance":"100 USD","orders":[""],"unseen":[""]}}`,
		`{"version":1,"id":"x","at":"2026-01-02T03:04:05+23:59","op":"POST /order","proxyType":"nothing","rentPeriodDays":1,"quantity":1}`,
	} {
		f.Add([]byte(text))
	}
	const list = `{"success": true, "ISP": [{"ipAddressId": "1", "orderId": "o1", "orderNumber": "N1", "country": "GBR", "dateEnd": "2026-04-02T00:00:00.000+00:00"}, {"ipAddressId": "2"}], "error": null}`
	f.Fuzz(func(t *testing.T, data []byte) {
		var a youproxy.Attempt
		if json.Unmarshal(data, &a) != nil {
			return
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		client, err := youproxy.New(cannedKey, youproxy.WithReadRetries(0), youproxy.WithReconcilePatience(0), byStub(func(r *http.Request) (*http.Response, error) {
			if opOf(r) == "GET /ipAddress" {
				return stubReply(r, 200, list), nil
			}
			resp := stubReply(r, 200, clientBalance)
			resp.Body = closing{resp.Body, cancel} // one look is enough
			return resp, nil
		}))
		require.NoError(t, err)
		if a.ProxyType != "" && !a.ProxyType.Valid() {
			cancel() // no list is asked for
		}
		found, err := client.Reconcile(ctx, a)
		if found == nil {
			require.Error(t, err)
		} else {
			assert.Equal(t, found.Verdict == youproxy.VerdictExecuted, found.Purchase != nil || found.Renewal != nil)
			assert.True(t, err == nil || found.Verdict == youproxy.VerdictUndetermined)
			failed := &youproxy.SpendError{Attempt: a, Verdict: found.Verdict, Evidence: found.Evidence, Err: err}
			assert.NotContains(t, failed.Error(), cannedKey)
			_ = failed.LogValue().Resolve()
		}
		assert.NotContains(t, a.String(), "\n")
		_ = a.LogValue().Resolve()
	})
}
