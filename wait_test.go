package youproxy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// Where the list carries no order numbers, an earlier order of this client stands
// in the way of the next one's recovery only until its proxies were waited for.
func TestWaitingTellsOrdersApart(t *testing.T) {
	for _, waited := range []bool{false, true} {
		inMarket(t, func(t *testing.T, m *market) {
			first, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			require.NoError(t, err)
			if waited {
				_, err = m.client.WaitForProxies(t.Context(), first)
				require.NoError(t, err)
			}
			m.Inject("POST /order", youproxytest.DropAfterCommit)
			second, err := m.client.Buy(t.Context(), anISPOrder(), buyISP.limit())
			if !waited {
				assert.ErrorIs(t, err, youproxy.ErrUndetermined)
				return
			}
			require.NoError(t, err)
			assert.True(t, second.Recovered)
			assert.Equal(t, m.lastOrder().ID, second.OrderID)
		}, youproxytest.WithListShape(youproxytest.ListShape{Extra: map[string]any{"orderNumber": nil}}))
	}
}
