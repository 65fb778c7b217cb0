package main

import (
	"net/http"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
)

const (
	// The key is part of the path, and that of a test may be anything.
	quoteURL = "https://youproxy.io/client/api/v1/test-key/calculate/order"
	orderURL = "https://youproxy.io/client/api/v1/test-key/order"

	quoteReply = `{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.31, "currency": "USD", "discount": 0, "promoCodeStatus": null, "error": null, "warnings": null}`
	orderReply = `{"success": true, "proxyType": "IPv4", "orderNumber": "NUMBER-112233", "balance": 5.87, "currency": "USD", "error": null, "promoCodeStatus": null}`
)

// newMock gives a Restocker whose client sends to the stubs of mock. Nothing
// leaves the program: a request without a stub is an error.
func newMock(t *testing.T) (mock *httpmock.MockTransport, restocker *Restocker) {
	mock = httpmock.NewMockTransport()
	client, err := youproxy.New("test-key",
		youproxy.WithHTTPClient(&http.Client{Transport: mock}),
		youproxy.WithReadRetries(0)) // a test need not wait for retries
	require.NoError(t, err)
	return mock, &Restocker{Ordering: client, Country: "USA", Target: 5, MaxPrice: youproxy.MustMoney("4 USD")}
}

func TestRestockWithStubbedReplies(t *testing.T) {
	mock, restocker := newMock(t)
	mock.RegisterResponder(http.MethodPost, quoteURL, httpmock.NewStringResponder(200, quoteReply))
	mock.RegisterMatcherResponder(http.MethodPost, orderURL,
		httpmock.BodyContainsString(`"quantity":1`), httpmock.NewStringResponder(200, orderReply))

	decision, order, err := restocker.Restock(t.Context(), 4)

	require.NoError(t, err)
	assert.Equal(t, Restocked, decision)
	assert.Equal(t, youproxy.OrderNumber("NUMBER-112233"), order.Number)
	assert.Equal(t, 1, mock.GetCallCountInfo()["POST "+quoteURL])
}

func TestRestockWithAStubbedOrder(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		reply  string
		want   Decision
	}{
		"refused, with status 200": {200, `{"success": false, "proxyType": null, "orderNumber": null, "balance": 7.18, "currency": "USD", "error": {"code": 14, "message": "Incorrect goal"}, "promoCodeStatus": null}`, GiveUp},
		"too many requests":        {429, ``, RepeatLater},
		"a gateway's error page":   {502, `<html>Bad Gateway</html>`, AskHuman},
		"a reply cut short":        {200, orderReply[:40], AskHuman},
	} {
		t.Run(name, func(t *testing.T) {
			mock, restocker := newMock(t)
			mock.RegisterResponder(http.MethodPost, quoteURL, httpmock.NewStringResponder(200, quoteReply))
			mock.RegisterResponder(http.MethodPost, orderURL, httpmock.NewStringResponder(test.status, test.reply))

			decision, _, err := restocker.Restock(t.Context(), 4)

			require.Error(t, err)
			assert.Equal(t, test.want, decision)
			assert.Equal(t, 1, mock.GetCallCountInfo()["POST "+orderURL], "an order is sent once, whatever comes of it")
		})
	}
}
