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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

func anAttempt() youproxy.Attempt {
	return youproxy.Attempt{
		Version: 1, ID: "ATTEMPT1", At: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC), Op: "POST /order",
		ProxyType: youproxy.ProxyTypeISP, RentPeriodDays: 30, Price: youproxy.MustMoney("7.2 USD"), Limit: youproxy.MustMoney("10 USD"),
		PromoCode: "CLIENT-PROMO", Country: "GBR", Quantity: 3,
		Before: youproxy.Holdings{
			Balance: youproxy.MustMoney("100 USD"),
			Orders:  []youproxy.OrderID{"11122233342", "11122233343"},
			Unseen:  []youproxy.OrderNumber{"NUMBER-1"},
		},
	}
}

func anAttemptToExtend() youproxy.Attempt {
	return youproxy.Attempt{
		Version: 1, ID: "ATTEMPT2", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Op: "POST /extend",
		ProxyType: youproxy.ProxyTypeIPv4, RentPeriodDays: 60, Price: youproxy.MustMoney("5.24 USD"), Limit: youproxy.MustMoney("5.24 USD"),
		Quantity: 2,
		Before: youproxy.Holdings{
			Balance: youproxy.MustMoney("5.24 USD"),
			Ends: map[youproxy.IPAddressID]time.Time{
				"1": time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), "2": time.Date(2026, 2, 1, 0, 0, 0, 5e6, time.UTC),
			},
			Renewing: []youproxy.IPAddressID{"2"},
		},
	}
}

// The form of version 1, which every later version of the package must read.
const (
	attemptJSON = `{"version":1,"id":"ATTEMPT1","at":"2026-01-02T03:04:05.678901234Z","op":"POST /order","proxyType":"ISP","rentPeriodDays":30,` +
		`"price":"7.2 USD","limit":"10 USD","promoCode":"CLIENT-PROMO","country":"GBR","quantity":3,` +
		`"before":{"balance":"100 USD","orders":["11122233342","11122233343"],"unseen":["NUMBER-1"]}}`
	attemptToExtendJSON = `{"version":1,"id":"ATTEMPT2","at":"2026-01-02T03:04:05Z","op":"POST /extend","proxyType":"IPv4","rentPeriodDays":60,` +
		`"price":"5.24 USD","limit":"5.24 USD","quantity":2,` +
		`"before":{"balance":"5.24 USD","ends":{"1":"2026-02-01T00:00:00Z","2":"2026-02-01T00:00:00.005Z"},"renewing":["2"]}}`
)

func TestAttemptJSON(t *testing.T) {
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
			}, youproxy.WithAttemptRecorder(func(_ context.Context, a youproxy.Attempt) (err error) {
				saved, err = json.Marshal(a)
				return err
			}))
		})
	}
}

func TestAttemptsThatAreNone(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(a *youproxy.Attempt)
		text   string
	}{
		{"empty", func(a *youproxy.Attempt) { *a = youproxy.Attempt{} }, "version 0"},
		{"an earlier version", func(a *youproxy.Attempt) { a.Version = 0 }, "the attempt is of version 0, and this package reads 1"},
		{"a later version", func(a *youproxy.Attempt) { a.Version = 2 }, "the attempt is of version 2, and this package reads 1"},
		{"no id", func(a *youproxy.Attempt) { a.ID = "" }, "no id"},
		{"no time", func(a *youproxy.Attempt) { a.At = time.Time{} }, "no time"},
		{"no proxy type", func(a *youproxy.Attempt) { a.ProxyType = "" }, "type"},
		{"a proxy type that is none", func(a *youproxy.Attempt) { a.ProxyType = "ipv4" }, `the proxy type "ipv4", which is none`},
		{"no quantity", func(a *youproxy.Attempt) { a.Quantity = 0 }, "no quantity"},
		{"negative quantity", func(a *youproxy.Attempt) { a.Quantity = -1 }, "no quantity"},
		{"no period", func(a *youproxy.Attempt) { a.RentPeriodDays = 0 }, "period"},
		{"no op", func(a *youproxy.Attempt) { a.Op = "" }, `the attempt is at "", which is no purchase`},
		{"another op", func(a *youproxy.Attempt) { a.Op = "GET /balance" }, `"GET /balance", which is no purchase`},
		{"an op that spends nothing", func(a *youproxy.Attempt) { a.Op = "POST /extend/auto" }, "no purchase"},
		{"an extension of nothing", func(a *youproxy.Attempt) { a.Op, a.Before.Ends = "POST /extend/order", nil }, "does not tell when its proxies ended"},
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
	a := anAttempt()
	assert.Equal(t, "order of 3 x ISP for 30 days at 7.2 USD, attempt ATTEMPT1 at 2026-01-02T03:04:05Z", a.String())
	a.ID, a.ProxyType = "a\nb", "I\"P"
	assert.Equal(t, `order of 3 x "I\"P" for 30 days at 7.2 USD, attempt "a\nb" at 2026-01-02T03:04:05Z`, a.String())
	assert.Equal(t, "extension of 2 x IPv4 for 60 days at 5.24 USD, attempt ATTEMPT2 at 2026-01-02T03:04:05Z", anAttemptToExtend().String())
}

func TestAttemptInLogs(t *testing.T) {
	for name, tc := range map[string]struct {
		value any
		want  string
	}{
		"attempt": {anAttempt(), `"what":{"id":"ATTEMPT1","at":"2026-01-02T03:04:05.678901234Z","op":"POST /order","type":"ISP","quantity":3,"days":30,"price":"7.2 USD","limit":"10 USD"}`},
		"error": {
			&youproxy.SpendError{Attempt: anAttempt(), Verdict: youproxy.VerdictNotExecuted, Err: io.ErrUnexpectedEOF},
			`"what":{"attempt":{"id":"ATTEMPT1","at":"2026-01-02T03:04:05.678901234Z","op":"POST /order","type":"ISP","quantity":3,"days":30,"price":"7.2 USD","limit":"10 USD"},"verdict":"not executed","outcome":"not sent","error":"unexpected EOF"}`,
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
	for name, opt := range map[string]youproxy.Option{
		"nil recorder":      youproxy.WithAttemptRecorder(nil),
		"negative patience": youproxy.WithReconcilePatience(-1),
		"nil lock":          youproxy.WithSpendLock(nil),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := youproxy.New(cannedKey, opt)
			require.Error(t, err)
			assert.True(t, strings.HasPrefix(err.Error(), "youproxy: the "), "%v", err)
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
		attemptJSON, attemptToExtendJSON, `{}`, `null`, `[]`, `{"version":1}`,
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
