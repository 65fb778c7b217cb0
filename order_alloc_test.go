package youproxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const orderedReply = `{"success": true, "proxyType": "IPv4", "orderNumber": "NUMBER-112233", "balance": 4.57, "currency": "USD", "error": null, "promoCodeStatus": null}`

var benchOrder = youproxy.IPv4OrderRequest{
	Country: "USA", Quantity: 1, RentPeriodDays: 30, Goal: "price monitoring", AuthType: youproxy.AuthTypeLogin,
}

// stubbed answers every order without a network, having read it.
func stubbed() *http.Client {
	header := http.Header{"Content-Type": {"application/json"}}
	return &http.Client{Transport: stubTransport(func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: header, Request: r,
			ContentLength: int64(len(orderedReply)), Body: io.NopCloser(strings.NewReader(orderedReply)),
		}, nil
	})}
}

func orderServer(tb testing.TB) *httptest.Server {
	tb.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, orderedReply)
	}))
	tb.Cleanup(s.Close)
	return s
}

// TestOrderAllocations bounds what CreateOrder allocates on a stub transport. Module
// bench compares it with the same call written by hand.
func TestOrderAllocations(t *testing.T) {
	c, err := youproxy.New("a-key-for-tests", youproxy.WithHTTPClient(stubbed()))
	require.NoError(t, err)
	allocated := testing.AllocsPerRun(200, func() { _, _ = c.CreateOrder(t.Context(), benchOrder) })
	t.Logf("CreateOrder: %.0f allocations", allocated)
	most := 46.0
	if isRaceDetected() {
		most += 2 // of its own
	}
	assert.LessOrEqual(t, allocated, most)
}
