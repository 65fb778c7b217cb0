package integration

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/internal/routetest"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// Each request of the table arrives byte for byte as the table has it, and the request
// and its reply are what the document says. Requests of Client.Call are left out, as the
// document does not have their endpoints.
func TestRoutesKeepTheContract(t *testing.T) {
	ops := map[string]bool{}
	for _, r := range routetest.Routes() {
		if r.Method == "Call" {
			continue
		}
		ops[r.Op] = true
		t.Run(r.Name(), func(t *testing.T) {
			fake := startSeller(t, youproxytest.WithPromoCode("CLIENT-PROMO", 10))
			fake.AddOrder(youproxytest.Order{ID: routetest.OrderID, ProxyType: youproxy.ProxyTypeIPv6, Country: "DEU", Quantity: 10})
			url, seen := startWatched(t, fake)
			err := r.Call(t.Context(), clientOf(t, url, fake.APIKey()))

			// The fake service chooses the ids of proxies, so it refuses those of the table.
			// The refusal must be what the document says, too.
			known := !strings.Contains(r.Body, "ipAddressIds")
			if known {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, youproxy.ErrIncorrectIPAddresses)
			}
			method, _, _ := strings.Cut(r.Op, " ")
			assert.Equal(t, []exchange{{
				op: r.Op, sent: method + " " + r.Path(fake.APIKey()), body: r.Body, success: known,
			}}, seen.all())

			recorded := fake.Requests()
			require.Len(t, recorded, 1)
			assert.Equal(t, r.Op, recorded[0].Op)
			assert.Equal(t, r.Query, recorded[0].Query.Encode())
			assert.Equal(t, r.Body, string(recorded[0].Body))
		})
	}

	var documented []string
	for _, o := range theContract(t).operations() {
		documented = append(documented, o.name)
	}
	assert.ElementsMatch(t, documented, slices.Collect(maps.Keys(ops)))
}
