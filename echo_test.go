package youproxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// A service that echoes the key, in whatever it says, does not bring it into
// errors or attempts.
func TestEchoesOfTheKey(t *testing.T) {
	t.Parallel()
	echo := func(name string) func(reply string) string {
		return func(reply string) string {
			var all map[string]any
			if json.Unmarshal([]byte(reply), &all) != nil {
				return reply
			}
			all[name] = youproxytest.DefaultAPIKey
			text, _ := json.Marshal(all)
			return string(text)
		}
	}
	t.Run("in the quote", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			m.rewrite[b.quoteOp()] = echo("currency")
			_, err := b.buy(t.Context(), m, m.client)
			require.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
			assertNoSecrets(t, m, err)
		})
	})
	t.Run("in the balance", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			m.rewrite["GET /balance"] = echo("currencyCode")
			_, err := b.buy(t.Context(), m, m.client)
			require.ErrorIs(t, err, youproxy.ErrCurrencyMismatch)
			assertNoSecrets(t, m, err)
		}, youproxytest.WithNullBalances())
	})
	t.Run("in the cause of the caller's context", func(t *testing.T) {
		forEachBuying(t, func(t *testing.T, m *market, b buying) {
			ctx, cancel := context.WithCancelCause(t.Context())
			m.before["GET /balance"] = func() { cancel(errors.New("the caller's cause with " + youproxytest.DefaultAPIKey)) }
			m.Inject(b.op, youproxytest.DropBeforeCommit)
			_, err := b.buy(ctx, m, m.client)
			require.ErrorIs(t, err, youproxy.ErrUndetermined)
			require.ErrorContains(t, err, "the caller's cause")
			assertNoSecrets(t, m, err)
		})
	})
	for _, field := range []string{"orderId", "orderNumber", "country", "ipAddressId"} {
		t.Run("in the list, "+field, func(t *testing.T) {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.Inject(b.op, youproxytest.DropAfterCommit)
				m.editList(func(r map[string]any) bool {
					r[field] = youproxytest.DefaultAPIKey
					return true
				})
				_, err := b.buy(t.Context(), m, m.client)
				if err != nil { // an order whose number alone is odd is found
					assertNoSecrets(t, m, err)
				}
				text, err := json.Marshal([]any{m.journal.all(), m.recorded})
				require.NoError(t, err)
				assert.NotContains(t, string(text), youproxytest.DefaultAPIKey)
			})
		})
	}
	t.Run("in the reply of what spends", func(t *testing.T) {
		for _, field := range []string{"orderNumber", "promoCodeStatus", "currency"} {
			forEachBuying(t, func(t *testing.T, m *market, b buying) {
				m.rewrite[b.op] = echo(field)
				got, err := b.buy(t.Context(), m, m.client)
				require.NoError(t, err)
				text, err := json.Marshal(m.journal.all())
				require.NoError(t, err)
				assert.NotContains(t, string(text), youproxytest.DefaultAPIKey)
				text, err = json.Marshal([]any{got.Purchase, got.Renewal})
				require.NoError(t, err)
				assert.NotContains(t, string(text), youproxytest.DefaultAPIKey)
			})
		}
	})
}
