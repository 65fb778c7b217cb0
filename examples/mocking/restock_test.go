package main

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/jarcoal/httpmock"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/youproxy-go/youproxy"
	"github.com/youproxy-go/youproxy/youproxytest"
)

// stub answers with an error, and counts.
type stub struct {
	err   error
	calls int
}

func (s *stub) Buy(context.Context, youproxy.OrderRequest, youproxy.Money, ...youproxy.SpendOption) (*youproxy.Purchase, error) {
	s.calls++
	return &youproxy.Purchase{}, s.err
}

// The first way, for the program's own decisions: a stub of its interface. The errors of
// the package can be made by hand.
func TestWithAStub(t *testing.T) {
	for name, test := range map[string]struct {
		stock, calls int
		err          error
		want         string
	}{
		"enough in stock": {5, 0, nil, "nothing"},
		"bought":          {4, 1, nil, "use them"},
		"no money":        {4, 1, youproxy.ErrInsufficientFunds, "ask a human"},
		"too expensive":   {4, 1, youproxy.ErrPriceAboveLimit, "try later"},
		"not executed":    {4, 1, &youproxy.SpendError{Verdict: youproxy.VerdictNotExecuted, Err: errors.New("EOF")}, "try later"},
		"undetermined":    {4, 1, &youproxy.SpendError{Verdict: youproxy.VerdictUndetermined, Err: errors.New("EOF")}, "ask a human"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stub{err: test.err}
			next, err := (&Restocker{Buyer: s, Target: 5}).Restock(t.Context(), test.stock)
			assert.Equal(t, test.want, next)
			assert.Equal(t, test.err, err)
			assert.Equal(t, test.calls, s.calls)
		})
	}
}

// The second, for exact replies: httpmock, as programs that use it do already.
func TestWithHTTPMock(t *testing.T) {
	const api = "https://youproxy.io/client/api/v1/test-key" // the key is part of the path
	mock := httpmock.NewMockTransport()
	client, err := youproxy.New("test-key", youproxy.WithHTTPClient(&http.Client{Transport: mock}))
	require.NoError(t, err)
	for op, reply := range map[string]string{
		"POST /calculate/order": `{"success": true, "proxyType": "IPv4", "balance": 7.18, "price": 1.31, "currency": "USD", "discount": 0}`,
		"GET /ipAddress":        `{"success": true, "ipv4": []}`,
		"POST /order":           `{"success": false, "balance": 7.18, "currency": "USD", "error": {"code": 14, "message": "Incorrect goal"}}`,
	} {
		method, path, _ := strings.Cut(op, " ")
		mock.RegisterResponder(method, api+path, httpmock.NewStringResponder(200, reply))
	}
	next, err := (&Restocker{Buyer: client, Target: 5, Limit: youproxy.MustMoney("4 USD")}).Restock(t.Context(), 4)
	assert.Equal(t, "try later", next)
	assert.ErrorIs(t, err, youproxy.ErrIncorrectGoal)
	assert.Equal(t, 1, mock.GetCallCountInfo()["POST "+api+"/order"])
}

// The third, for what depends on the account, and on connections that break: the fake.
func TestWithTheFake(t *testing.T) {
	for name, test := range map[string]struct {
		balance string
		fault   youproxytest.Fault
		want    string
		orders  int
	}{
		"no answer, but ordered": {"100 USD", youproxytest.DropAfterCommit, "use them", 1},
		"no answer, not ordered": {"100 USD", youproxytest.DropBeforeCommit, "try later", 0},
		"too many requests":      {"100 USD", youproxytest.TooManyRequests, "try later", 0},
		"no money":               {"1 USD", youproxytest.BadGateway, "ask a human", 0},
	} {
		t.Run(name, func(t *testing.T) {
			server := youproxytest.NewServer(youproxytest.WithBalance(youproxy.MustMoney(test.balance)))
			defer server.Close()
			server.Inject("POST /order", test.fault)
			client, err := server.Client(youproxy.WithReconcilePatience(0)) // or it takes two minutes to tell that nothing was bought
			require.NoError(t, err)
			defer client.CloseIdleConnections()
			next, _ := (&Restocker{Buyer: client, Target: 5, Limit: youproxy.MustMoney("10 USD")}).Restock(t.Context(), 3)
			assert.Equal(t, test.want, next)
			assert.Len(t, server.Orders(), test.orders)
		})
	}
}
